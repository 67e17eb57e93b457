/* SPDX-License-Identifier: Apache-2.0 */
/* watch.h: what hd run, hd resume and hd attach share: looking at a run until something ends it. */
#ifndef HD_CLI_WATCH_H
#define HD_CLI_WATCH_H

#include "cluster.h"
#include "common/cli.h"
#include "progress.h"

#include <hd/experiment.h>

struct run_arguments {
    const char *run_id, *state_dir, *engine, *log_level, *eta, *min_budget, *max_budget;
    const char *iterations, *time_limit, *seed, *notify;
    int64_t workers;
    bool resume, detach, json;
    struct hd_text_list data, env, warm_start;
    struct cli_remote remote; /* resume, attach */
};

/* Interrupts become a graceful end, a second one sets watch_hurry; a hang-up is ignored. */
void watch_catch_signals(void);
bool watch_interrupted(void);
extern volatile bool watch_hurry;

/* A master serves the state directory: its runs are restored and taken up. */
bool watch_is_served(const struct run_arguments *arguments);
HD_NODISCARD enum hd_code watch_status(const struct run_arguments *arguments, const char *run_id,
                                       struct hd_value **ret_status, struct hd_err *err);
/* HD_E_CONFLICT: the run was started with another experiment; the text shows what differs. */
HD_NODISCARD enum hd_code watch_refuse_difference(const struct run_arguments *arguments,
                                                  const char *run_id,
                                                  const struct hd_experiment *experiment,
                                                  struct hd_err *err);
/* A master that is started resumes a paused run by itself; one that was left alive is told here. */
HD_NODISCARD enum hd_code watch_resume_paused(const struct run_arguments *arguments,
                                              const char *run_id, struct hd_err *err);
/* finished or cancelled */
bool watch_is_over(const struct hd_value *status);
/* No master is at work in the state directory, and no run of it is left to do. False also when it
 * cannot be told. */
bool watch_all_is_over(const struct run_arguments *arguments);
/* What a program says of that state: finished 0, paused 3, otherwise 130. */
int watch_exit_of(const struct hd_value *status);
/* " --state-dir DIR" for a command to paste, or nothing when it would find the same by itself. */
void watch_name_state_dir(const struct run_arguments *arguments, char *text, size_t text_size);

/* Shows the run until it is over, paused or interrupted, and tends `cluster` meanwhile (NULL:
 * somebody else does). *ret_exit: an exit status. `seen` (may be NULL) is called once, when there
 * is something to see. */
HD_NODISCARD enum hd_code watch(struct cluster *cluster, const struct run_arguments *arguments,
                                const char *run_id, struct progress *progress, void (*seen)(void),
                                int *ret_exit, struct hd_err *err);
/* The last words; how to go on when that is possible. `file` may be NULL. */
void watch_print_end(const struct run_arguments *arguments, const char *run_id, const char *file);
void watch_show_log_tail(const char *state_dir);

#endif
