/* SPDX-License-Identifier: Apache-2.0 */
/*
 * family.h: the processes below this one. A shim is a subreaper, so whatever its target starts,
 * in whatever session or group, stays below it.
 */
#ifndef HD_ENGINE_FAMILY_H
#define HD_ENGINE_FAMILY_H

#include <hd/base.h>

#define HD_FAMILY_PROCESSES_MAX 65536u /* of the machine that are looked at */
#define HD_FAMILY_ROUNDS_MAX 10000     /* of killing what forks faster than we look */

/* Sends the signal to every descendant; gives how many there are. */
size_t hd_family_signal(int signal_number);
struct hd_family_use {
    uint64_t memory_bytes; /* resident, together; a page two of them share counts twice */
    uint64_t tasks;        /* processes and threads */
};
/* Of all descendants. */
struct hd_family_use hd_family_use(void);
/* Kills and reaps until no descendant is left; false when some could not be ended. */
bool hd_family_end(void);

#endif
