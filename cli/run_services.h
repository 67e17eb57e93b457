/* SPDX-License-Identifier: Apache-2.0 */
/*
 * run_services.h: the services of a run on this machine: one set a run, started before its cluster
 * and taken down after its end.
 *
 * The set is called after the state directory and the run, so that a later hd run --resume or hd
 * resume finds it: whoever is killed leaves master, workers and services running together.
 */
#ifndef HD_CLI_RUN_SERVICES_H
#define HD_CLI_RUN_SERVICES_H

#include <hd/experiment.h>

/* Starts what the experiment asks for; a set that is there and runs is taken over, one that is
 * there in part is made anew. *ret_made: they are ours to take down. Without services it does
 * nothing. */
HD_NODISCARD enum hd_code run_services_up(const struct hd_experiment *experiment,
                                          const char *state_dir, const char *run_id, bool quiet,
                                          bool (*interrupted)(void), bool *ret_made,
                                          struct hd_err *err);
/* The experiment of a run that the state directory holds. */
HD_NODISCARD enum hd_code run_services_stored(const char *state_dir, const char *run_id,
                                              struct hd_experiment **ret_experiment,
                                              struct hd_err *err);
/* How long workers may need to take down theirs, when each has its own. */
int64_t run_services_down_ms(const struct hd_experiment *experiment);
/* Takes down what workers below this state directory, which have all ended, could not; likewise. */
void run_services_down_left(const char *state_dir);
/* Takes them down; a failure is a line on stderr. */
void run_services_down(const struct hd_experiment *experiment, const char *state_dir,
                       const char *run_id);

#endif
