/* SPDX-License-Identifier: Apache-2.0 */
/*
 * collect.h: work directories that are needed no more. One thread of its own removes what has been
 * superseded, what masters say that no config will go on from and no experiment keeps, and, when
 * this worker's directories take more than its limit: first those that no config will go on from,
 * then the best of them, at last those that were used longest ago. A config whose directory is gone
 * starts from the start, and its target is told so.
 *
 * A master's word is about the last grant in a directory, and holds while that is the last one.
 *
 * Only directories of configs (<run>/cfg/) whose .owner file names this worker are removed, and
 * none that is pinned. A directory vanishes by a rename under the lock; its contents follow without
 * it.
 */
#ifndef HD_COLLECT_H
#define HD_COLLECT_H

#include "collect_runs.h"
#include "contract.h"

#define HD_COLLECT_PINS_MAX (2 * HD_HELD_MAX)
#define HD_COLLECT_CANDIDATES_MAX 100000 /* directories of a worker that are looked at */

struct hd_collector;

/* limit_bytes 0: superseded ones only. The root is borrowed. Nothing is removed but by supersede
 * and look before the start: directories of attempts that an earlier worker left are pinned by
 * then. */
HD_NODISCARD enum hd_code hd_collector_open(const struct hd_root *root, const char *worker,
                                            uint64_t limit_bytes,
                                            struct hd_collector **ret_collector,
                                            struct hd_err *err);
/* Waits for a removal that is under way. All of these take NULL. */
void hd_collector_close(struct hd_collector *collector);
/* No directory vanishes between these two; short, but for a copy that is made in between. */
void hd_collector_hold(struct hd_collector *collector);
void hd_collector_release(struct hd_collector *collector);
/* A directory of this name, in whatever run, stays. Between hold and release. */
void hd_collector_pin(struct hd_collector *collector, const char *name);
void hd_collector_unpin(struct hd_collector *collector, const char *name);
/* The state in `work_dir` has moved on to a copy: it vanishes now. */
void hd_collector_supersede(struct hd_collector *collector, const char *work_dir);
/* Directories of attempts go too when they take more; limit_bytes 0: none does. Before the start;
 * `is_needed` is called by the thread, until close. */
void hd_collector_limit_runs(struct hd_collector *collector, uint64_t limit_bytes,
                             hd_run_dir_needed is_needed, void *context);
struct hd_collect_question {
    struct hd_attempt_ref attempt; /* the last grant in it that was acknowledged */
    const char *directory;
};
/* Any number of them; ret_needs[count] begin as HD_NEED_UNKNOWN. It may take seconds. */
typedef void (*hd_collect_asker)(void *context, const struct hd_collect_question *questions,
                                 size_t count, enum hd_need *ret_needs);
/* Once: the thread begins. It looks when something has ended, and now and then. `asker` is called
 * by it and by look, until close; NULL: no master can be asked. */
HD_NODISCARD enum hd_code hd_collector_start(struct hd_collector *collector, hd_collect_asker asker,
                                             void *context, struct hd_err *err);
/* The bytes that a directory takes on its disk. */
uint64_t hd_collector_bytes(const char *path);
/* What the thread does now and then; true when something was removed. For tests. */
bool hd_collector_look(struct hd_collector *collector);

#endif
