/* SPDX-License-Identifier: Apache-2.0 */
/*
 * collect_runs.h: directories of attempts (<run>/run/<job>-<attempt>) that ended long ago. One may
 * go once its master has answered for its result, which a file beside it says (<..>.done, with the
 * worker and how good it was), and once nothing in it is still to be shipped. The best attempt of
 * each run stays.
 */
#ifndef HD_COLLECT_RUNS_H
#define HD_COLLECT_RUNS_H

#include "contract.h"

#define HD_RUN_DIRS_MAX 200000 /* of a worker that are looked at */

/* The master has answered. A loss that is NaN: it is nobody's best; one that breaks
 * constraints is behind all that do not. A failure leaves the directory
 * for a person to remove. */
void hd_run_dir_done(const struct hd_root *root, const char *run_dir, const char *worker,
                     double budget, double loss, double violation);

typedef bool (*hd_run_dir_needed)(void *context, const char *run_dir);
/* Removes the oldest of this worker's until they take at most limit_bytes; true when any went. */
bool hd_run_dirs_make_room(const struct hd_root *root, const char *worker, uint64_t limit_bytes,
                           hd_run_dir_needed is_needed, void *context);

#endif
