/* SPDX-License-Identifier: Apache-2.0 */
/* shipper_internal.h: the queue, shared by shipper.c (the thread) and shipper_calls.c (what the
 * worker's shell asks for). All of these under the lock. */
#ifndef HD_ARTIFACTS_SHIPPER_INTERNAL_H
#define HD_ARTIFACTS_SHIPPER_INTERNAL_H

#include "ship.h"

#include <pthread.h>

#define SHIPPER_LOOK_EVERY_MS 10000 /* at a target that works */

struct hd_shipper {
    char directory[4096];
    struct hd_artifact_place place;
    bool off;
    struct hd_artifact_access *access;
    uint64_t bytes_max;
    bool manual;
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    bool closing, full_told;
    int event_fd;
    struct hd_artifact_store *store; /* of the thread; cancelled under the lock */
    struct hd_item **items;
    size_t count, capacity;
    int64_t retry_at_ms, retry_ms; /* of the store; 0: it is well */
    struct hd_err trouble;         /* with retry_ms: why */
    uint64_t shipped_attempts, shipped_bytes;
};

struct hd_item *shipper_find(struct hd_shipper *shipper, struct hd_attempt_ref attempt);
/* false: the queue is full, or there is no memory. */
bool shipper_add(struct hd_shipper *shipper, struct hd_item *item);
size_t shipper_count_waiting(const struct hd_shipper *shipper);
/* From the queue and from the disk. */
void shipper_erase(struct hd_shipper *shipper, struct hd_item *item);
/* On disk, or said: a restart would then do again what was done. */
void shipper_write_down(struct hd_shipper *shipper, const struct hd_item *item);

#endif
