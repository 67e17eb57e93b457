/* SPDX-License-Identifier: Apache-2.0 */
/*
 * courier.h: work directories to and from the master, in pieces, by threads of its own: nobody's
 * report waits for them. A directory is first packed, on this disk, and then sent. What cannot be
 * sent or fetched is given up with a line in the log: the next attempt of that config then waits
 * for this worker, or begins from the start. Pieces that have come stay here until the directory is
 * whole, so that what was interrupted goes on (stash.h), also in the next process.
 */
#ifndef HD_COURIER_H
#define HD_COURIER_H

#include "contract.h"
#include "fetch.h"

#define HD_COURIER_QUEUE_MAX HD_HELD_MAX
#define HD_COURIER_PACKED_MAX 8 /* archives that wait to be sent; beyond, the newest is dropped */

struct hd_courier;

struct hd_courier_settings {
    struct hd_fetch *fetch;     /* outlives it */
    const struct hd_root *root; /* likewise: where attempts' directories are looked for */
    const char *state_dir;      /* where an archive is put while it is sent */
    uint64_t bytes_max;         /* of one directory that is sent */
    /* On the disk of that directory; NULL: the disk is asked. Copies leave as much as they take. */
    uint64_t (*free_bytes)(const char *directory);
    struct hd_queue *news; /* struct hd_courier_news *, free with hd_free */
};
struct hd_courier_news {
    struct hd_attempt_ref attempt;
    bool failed;            /* and `why` */
    bool lost;              /* the master does not have it, or not as it was */
    bool may_pass;          /* it was the network: the same again goes on where this one ended */
    char path[HD_PATH_MAX]; /* of what was fetched; "": a directory has been packed */
    double budget;          /* that what was fetched has been trained to; NaN none */
    char why[256];
};

HD_NODISCARD enum hd_code hd_courier_open(const struct hd_courier_settings *settings,
                                          struct hd_courier **ret_courier, struct hd_err *err);
/* What is under way is given up; pieces of it stay. */
void hd_courier_close(struct hd_courier *courier);

/* Offers what `attempt` left in work_dir to the master at `address`. Nothing when that is under way
 * already; forgotten when the queue is full. */
void hd_courier_send(struct hd_courier *courier, const char *address, struct hd_attempt_ref attempt,
                     const char *work_dir);
/* Sends what `attempt` left for people (hd_files_pack) to that master, after all that travels, or
 * tells it why that cannot be. run_dir "": it is looked for. Nothing when that is under way
 * already; forgotten when the queue is full. */
void hd_courier_bring(struct hd_courier *courier, const char *address,
                      struct hd_attempt_ref attempt, const char *run_dir);
/* This directory waits to be sent, or is. Any thread; NULL holds none. */
bool hd_courier_holds(struct hd_courier *courier, const char *run_dir);
/* `attempt` is going to write there. false: it may; true: it has to wait until the directory is
 * packed, and news say when. */
bool hd_courier_must_wait(struct hd_courier *courier, const char *work_dir,
                          struct hd_attempt_ref attempt);
/* Nothing waits to be sent or is being sent. */
bool hd_courier_is_idle(struct hd_courier *courier);
/* A directory is being packed, which needs no master. */
bool hd_courier_is_packing(struct hd_courier *courier);
/* Removes pieces that nobody has come for; now and then. */
void hd_courier_tidy(struct hd_courier *courier);
/* Rises with every call that a master has answered. */
uint64_t hd_courier_answers(struct hd_courier *courier);

/* Fetches the state that `attempt` goes on from into `path`, an empty directory; news say when it
 * is there. HD_E_LIMIT: too many at once. */
HD_NODISCARD enum hd_code hd_courier_fetch(struct hd_courier *courier, const char *address,
                                           struct hd_attempt_ref attempt, const char *path,
                                           struct hd_err *err);

/* Nothing of a courier of that worker stays there: it has left, or died long ago. */
void hd_courier_clean(const char *state_dir);

#endif
