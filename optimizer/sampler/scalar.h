/* SPDX-License-Identifier: Apache-2.0 */
/*
 * scalar.h: several losses and constraints as the one number that samplers rank by. Private to
 * optimizer/sampler.
 *
 * Results with vectors are kept in the history as they came; before a sampler looks, hd_told.loss
 * is set for all of them by the scale that it asks for. Where nothing changed nothing is set, and
 * where a loss changed in place the rung's replaced_count rises, as for a result told anew.
 *
 * On every scale an infeasible result stands behind the feasible ones of its budget, by its
 * violation (Deb 2000, "An efficient constraint handling method for genetic algorithms"): at a
 * tenth of the spread of the feasible losses beyond the worst of them, and up to eleven tenths for
 * the greatest violation, so that models see a slope and no cliff.
 */
#ifndef HD_SCALAR_H
#define HD_SCALAR_H

#include "history.h"

enum hd_scale {
    /* Nobody looks. */
    HD_SCALE_NONE,
    /* With several objectives: the place in the order by non-dominated rank, then by what the
     * result contributes to the hypervolume of its rank (Ozaki, Tanigaki, Watanabe and Onishi 2020,
     * MOTPE); by crowding where that is too dear. */
    HD_SCALE_ORDER,
    /* With several objectives: the augmented Chebyshev norm with weights drawn for each config
     * (Knowles 2006, ParEGO), of losses scaled to what the non-dominated results span. */
    HD_SCALE_CHEBYSHEV,
};

/* HD_E_NOMEM: nothing has changed. One objective without constraints: nothing to do. */
HD_NODISCARD enum hd_code hd_history_scale(struct hd_history *history, enum hd_scale scale,
                                           uint64_t seed, uint32_t config_number,
                                           struct hd_err *err);

/* The results of a rung among the first `until` that were told, as they stood then, on the second
 * scale with weights that are drawn for `until` (which = 1 .. HD_HISTORY_WEIGHINGS - 1) or equal
 * (0): one number each in history->scaled, until the next call of either. Nothing else changes.
 * HD_E_NOMEM. */
#define HD_HISTORY_WEIGHINGS 4u
HD_NODISCARD enum hd_code hd_history_weigh(struct hd_history *history,
                                           const struct hd_history_rung *rung, uint32_t until,
                                           uint64_t seed, uint32_t which, struct hd_err *err);
/* How many results were told anew: replace_count without what scaling adds to it. */
uint64_t hd_history_changes(const struct hd_history *history);

#endif
