/* SPDX-License-Identifier: Apache-2.0 */
/*
 * pareto.h: scores (one or several losses and a violation of constraints) and how they compare:
 * non-dominated ranks, an order over all, exact hypervolume of two and three objectives, and what
 * each point contributes to it. Pure. Every loss is minimised.
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

#define HD_OBJECTIVES_MAX 8u
#define HD_HYPERVOLUME_OBJECTIVES_MAX 3u

/* What a result says of its config. */
struct hd_score {
    double losses[HD_OBJECTIVES_MAX]; /* how many count is known from the run; minimised */
    double violation; /* the sum by which constraints are broken; 0: feasible; never below 0 */
};
static inline struct hd_score hd_score_of(double loss)
{
    return (struct hd_score){.losses = {loss}};
}
/* All losses and the violation are numbers that can be compared. */
bool hd_score_is_finite(const struct hd_score *score, size_t objectives);
/* Which of two goes before the other where one must be named: feasible before infeasible, less
 * violation before more (Deb 2000), then the losses from the first on. Both finite. -1, 0, 1. */
int hd_score_compare(const struct hd_score *a, const struct hd_score *b, size_t objectives);

/* One of many results that are put in order; the caller fills in the first two. */
struct hd_pareto_row {
    const double *losses;
    double violation;
    uint32_t rank;   /* 0 for what nothing dominates; infeasible rows stand alone in theirs */
    double crowding; /* within the rank: the sum of the gaps to its neighbours; INFINITY at ends */
    size_t index;    /* of the row in the call */
    size_t link, tail; /* scratch */
    size_t objectives;
};
/*
 * Sorts the rows from the best to the worst; row[k].index tells which one it was: by constraint
 * domination and non-dominated rank, then by crowding distance, the lonely ones first (Deb, Pratap,
 * Agarwal and Meyarivan 2002, "A fast and elitist multiobjective genetic algorithm: NSGA-II"), then
 * by index. Rows that are not finite are the last ones, with a rank after all others. Takes no
 * memory; costs as ranks below, and O(objectives * count log count) more.
 */
void hd_pareto_order(struct hd_pareto_row *rows, size_t count, size_t objectives);

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
