/* SPDX-License-Identifier: Apache-2.0 */
/*
 * pareto.h: comparing vectors of losses: non-dominated ranks, exact hypervolume of two and three
 * objectives, and what each point contributes to it. Pure. Every loss is minimised.
 *
 * Points are rows: losses[count][objectives]. A row with a loss that is not finite (a job that
 * failed) is dominated by every row without one and has no volume.
 *
 * Ranks: efficient non-dominated sort (Zhang, Tian, Cheng and Jin 2015), O(count log count) for two
 * objectives and at most O(count^2) for more. Volumes: a sweep over the last objective, O(count^2)
 * for three; contributions O(count) times that.
 */
#ifndef HD_PARETO_H
#define HD_PARETO_H

#include <hd/base.h>

#define HD_PARETO_OBJECTIVES_MAX 8u
#define HD_HYPERVOLUME_OBJECTIVES_MAX 3u

/* a is nowhere worse than b and somewhere better; both finite. */
bool hd_pareto_dominates(const double *a, const double *b, size_t objectives);
/* ret_ranks[count]: 0 for what no row dominates, 1 for what only rows of rank 0 do, ... Equal rows
 * have equal ranks. Rows that are not finite share the rank after the last. HD_E_NOMEM. */
HD_NODISCARD enum hd_code hd_pareto_ranks(const double *losses, size_t count, size_t objectives,
                                          uint32_t *ret_ranks, struct hd_err *err);
/* The volume between the rows and the reference point; rows that are not better than it in every
 * objective add nothing. 1 .. HD_HYPERVOLUME_OBJECTIVES_MAX objectives. HD_E_NOMEM. */
HD_NODISCARD enum hd_code hd_hypervolume(const double *losses, size_t count, size_t objectives,
                                         const double *reference, double *ret_volume,
                                         struct hd_err *err);
/* ret_contributions[count]: by how much the volume falls without this row (never below 0). */
HD_NODISCARD enum hd_code hd_hypervolume_contributions(const double *losses, size_t count,
                                                       size_t objectives, const double *reference,
                                                       double *ret_contributions,
                                                       struct hd_err *err);

#endif
