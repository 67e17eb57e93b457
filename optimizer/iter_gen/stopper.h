/* SPDX-License-Identifier: Apache-2.0 */
/*
 * stopper.h: rules that end a running job early from what it reports, whatever the engine.
 *
 * Jobs are judged at milestones, budgets that grow by a factor from the grace on, by the best loss
 * so far.
 *
 * median: a config worse than the median of those that came to the milestone before it is stopped,
 * as soon as there are enough of them. (Golovin, Solnik, Moitra, Kochanski, Karro and Sculley 2017,
 * "Google Vizier", compare with running averages, which stops later.)
 *
 * curve: on a power law every doubling of the budget gains less than the one before. So a config
 * that went on gaining per doubling what it gained over the last one (times `optimism`) would end
 * no worse than it will. It is stopped when even that is worse than the best loss at the maximum
 * budget.
 */
#ifndef HD_ITER_GEN_STOPPER_H
#define HD_ITER_GEN_STOPPER_H

#include <hd/iter_gen.h>

struct hd_stopper;

HD_NODISCARD enum hd_code hd_stopper_new(const struct hd_iter_gen_spec *spec,
                                         struct hd_stopper **ret_stopper, struct hd_err *err);
void hd_stopper_free(struct hd_stopper *stopper);
/* Memory for one more job, of a config number up to the highest one so far plus one. */
HD_NODISCARD enum hd_code hd_stopper_reserve(struct hd_stopper *stopper, struct hd_err *err);
void hd_stopper_started(struct hd_stopper *stopper, uint32_t config_number, double budget);
/* ret_fresh: this report made it a stop. */
enum hd_decision hd_stopper_report(struct hd_stopper *stopper, uint32_t config_number, double step,
                                   double loss, bool *ret_fresh);
/* The last milestone of the config, NaN before the first. */
double hd_stopper_budget(const struct hd_stopper *stopper, uint32_t config_number);
void hd_stopper_ended(struct hd_stopper *stopper, uint32_t config_number, bool ok, double loss);
/* A job that ended without success runs once more; memory as for started(). */
void hd_stopper_reopened(struct hd_stopper *stopper, uint32_t config_number);
uint64_t hd_stopper_digest(const struct hd_stopper *stopper, uint64_t hash);

#endif
