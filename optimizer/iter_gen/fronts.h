/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fronts.h: results with several losses or constraints, kept in the order of hd_pareto_order() as
 * far as promotion asks for it: which is the best that has not gone on, and how many stand before
 * it.
 *
 * Each result lies in its non-dominated front. A new one takes its place by halving over the
 * fronts, and what it dominates moves one front down, pushing on what it dominates there: as in
 * Li, Deb, Zhang and Zhang 2017, "Efficient nondomination level update method for steady-state
 * evolutionary multiobjective optimization". Only the front of the best open result is put in
 * order. So a result costs what moves and the order of one front, not that of all; when no result
 * dominates another that is the same.
 *
 * Infeasible results follow the feasible ones, the least infeasible first.
 */
#ifndef HD_ITER_GEN_FRONTS_H
#define HD_ITER_GEN_FRONTS_H

#include <hd/base.h>
#include <hd/pareto.h>

#define HD_FRONTS_NONE UINT32_MAX

struct hd_front {
    uint32_t head; /* of the list of its results, or NONE */
    uint32_t count, open_count;
};

struct hd_front_member {
    uint32_t next; /* in the list of its front, or NONE */
    bool is_open;
};

struct hd_fronts {
    uint32_t objectives;
    double *vectors; /* [capacity][objectives + 1]: the losses, then the violation */
    struct hd_front_member *members; /* [capacity], by index of the result */
    uint32_t *broken;                /* [capacity]: infeasible ones in their order */
    uint32_t *numbers;               /* [capacity], scratch */
    struct hd_front *fronts;         /* [capacity] */
    struct hd_pareto_row *rows;      /* [capacity], scratch; the front of the best open one */
    uint32_t count, capacity, front_count, broken_count;
    uint32_t best_front; /* that of the best open result; front_count: none, or infeasible */
    uint32_t best;       /* the best open result, or NONE */
    uint32_t best_place; /* how many stand before it */
};

/* Of a zeroed struct. */
void hd_fronts_init(struct hd_fronts *fronts, uint32_t objectives);
/* Room for so many results in all. HD_E_NOMEM. */
HD_NODISCARD enum hd_code hd_fronts_reserve(struct hd_fronts *fronts, uint32_t capacity,
                                            struct hd_err *err);
void hd_fronts_release(struct hd_fronts *fronts);
/* After reserve. Its index is the count before; all finite. */
void hd_fronts_add(struct hd_fronts *fronts, const struct hd_score *score);
/* The best open result goes on; there is one. */
void hd_fronts_promote_best(struct hd_fronts *fronts);

#endif
