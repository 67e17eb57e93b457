/* SPDX-License-Identifier: Apache-2.0 */
/*
 * experiments.h: the experiments of the jobs that a worker holds. Each lease brings the text of its
 * run's; reading that takes longer than a short job, so one text is read once for as long as a job
 * has it, and the last few that no job has are kept for the next one. One thread.
 */
#ifndef HD_EXPERIMENTS_H
#define HD_EXPERIMENTS_H

#include <hd/experiment.h>

#define HD_EXPERIMENTS_IDLE_MAX 4 /* kept although no job has them */

struct hd_experiments;

HD_NODISCARD struct hd_experiments *hd_experiments_new(void); /* NULL: no memory */
void hd_experiments_free(struct hd_experiments *all);         /* every one; also of NULL */
/* `name` is what errors call the text; for errors see hd_experiment_parse_text. The experiment is
 * shared: unchanged, and given back by release. */
HD_NODISCARD enum hd_code hd_experiments_take(struct hd_experiments *all, const char *text,
                                              const char *name,
                                              const struct hd_experiment **ret_experiment,
                                              struct hd_err *err);
void hd_experiments_release(struct hd_experiments *all, const struct hd_experiment *experiment);
size_t hd_experiments_count(const struct hd_experiments *all); /* that are kept */

#endif
