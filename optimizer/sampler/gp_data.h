/* SPDX-License-Identifier: Apache-2.0 */
/*
 * gp_data.h: which results a Gaussian process is built on, and what it is told of their losses.
 * Private to optimizer/sampler.
 */
#ifndef HD_SAMPLER_GP_DATA_H
#define HD_SAMPLER_GP_DATA_H

#include "history.h"

/* The last result of a config: that at its highest budget. */
struct hd_gp_seen {
    uint32_t config_number;
    uint32_t sequence;
    double budget;
    double loss; /* finite or INFINITY */
};

struct hd_gp_seen_list {
    struct hd_gp_seen *items; /* by sequence, rising */
    uint32_t count, capacity;
    uint32_t finite_count;
    double budget_low, budget_high; /* of the items */
    uint32_t *marks;                /* per config: the generation that took it */
    uint32_t mark_count, generation;
    double *sorted; /* [capacity] scratch */
};

void hd_gp_seen_release(struct hd_gp_seen_list *list); /* also of a zeroed struct */
/* Which losses those are. */
enum hd_gp_losses {
    HD_GP_LOSSES_NOW, /* as the history is scaled at the moment */
    /* Of several objectives, and with constraints: as equal weights had them when `until` results
     * had been told, whatever is asked now. The same as the first otherwise. */
    HD_GP_LOSSES_THEN,
};

/* What was known when `until` results had been told, from budgets of at least `fraction` of the
 * highest with a result; lower budgets are taken, one after the other, while there are fewer than
 * `enough` configs. Of more than `limit` the newest third or so and the best of the rest are kept
 * (the cut moves every HD_GP_SEEN_STEP results, so that most rows stay where they are). A pure
 * function of the history; O(results). */
#define HD_GP_SEEN_STEP 32u
HD_NODISCARD enum hd_code hd_gp_seen_gather(struct hd_gp_seen_list *list,
                                            struct hd_history *history, enum hd_gp_losses losses,
                                            uint32_t until, double fraction, uint32_t enough,
                                            uint32_t limit, struct hd_err *err);
/* The losses of what was gathered with HD_GP_LOSSES_THEN become those of other weights, see
 * hd_history_weigh(). */
HD_NODISCARD enum hd_code hd_gp_seen_weigh(struct hd_gp_seen_list *list, struct hd_history *history,
                                           uint32_t until, uint64_t seed, uint32_t which,
                                           struct hd_err *err);
/* 1 for the highest budget of the list, 0 for the lowest: by the logarithm. */
double hd_gp_seen_fidelity(const struct hd_gp_seen_list *list, double budget);
/*
 * Targets of mean 0 and variance 1, lower is better, never NaN (output warping as in Vizier's
 * default: Song et al. 2024). Losses up to the median keep their distances; those above it keep
 * their ranks only and get the upper half of a normal distribution; failed ones are worse than all.
 */
void hd_gp_seen_targets(struct hd_gp_seen_list *list, double *ret_targets);

#endif
