/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tree_rows.h: a history as rows for trees, and configs as such rows. Private to optimizer/sampler.
 *
 * A row holds one number a dimension (the unit coordinate; of a choice its index; NaN: inactive)
 * and the logarithm of the budget. There is one row a config: its result at the highest budget that
 * it has one for. Of more than HD_ROWS_MAX results each budget gives its best ones and every 2^k-th
 * of the others, so that the costs of a model are bounded and what it sees depends on the history
 * only.
 *
 * Targets are finite whatever the losses: see hd_rows_collect().
 */
#ifndef HD_TREE_ROWS_H
#define HD_TREE_ROWS_H

#include "history.h"
#include <hd/tree.h>

#define HD_ROWS_MAX 1000u

struct hd_row_axis {
    const struct hd_param *param;
    size_t choice_count; /* 0: a number */
    double levels;
};

struct hd_rows {
    const struct hd_history *history; /* borrowed */
    struct hd_row_axis *axes;         /* [dimension] */
    size_t width;                     /* dimension + 1: the last is the budget */
    struct hd_tree_data data;         /* prepared */
    uint32_t *configs;                /* [row] */
    double *losses;                   /* [row]: INFINITY: failed or diverged */
    double *sorted;                   /* [row]: scratch */
    double *values;                   /* [param]: scratch */
    size_t held_out_count;            /* of the rows: these are the last */
    double budget;                    /* the highest with a finite result */
    float log_budget;
    uint64_t tell_count; /* of the history when the rows were collected */
    bool collected;
};

/* What becomes of losses (failed and diverged ones get the worst finite one's target):
 *   LOG   log((loss - base) / (worst - base)), base as far before the best as the best 5 % spread
 *         (Lindauer et al. 2022)
 *   RANK  the normal quantile of the place among the losses (Salinas et al. 2023) */
enum hd_rows_warp { HD_ROWS_LOG, HD_ROWS_RANK };

HD_NODISCARD enum hd_code hd_rows_init(struct hd_rows *rows, const struct hd_history *history,
                                       struct hd_err *err);
void hd_rows_release(struct hd_rows *rows); /* also of a zeroed struct */
/* Are the rows those of the history as it is? */
bool hd_rows_current(const struct hd_rows *rows);
/* Of the rows about held_out_part, chosen by a hash of the config's number, come last. */
void hd_rows_collect(struct hd_rows *rows, enum hd_rows_warp warp, double held_out_part);
/* Enough results to begin with a model, two of them finite, at whatever budgets? */
bool hd_rows_enough(const struct hd_history *history, double wanted);
/* The row (at the highest budget) of the config that a point of the cube stands for; false when a
 * forbidden clause holds. */
bool hd_rows_encode(const struct hd_rows *rows, const double *point, float *ret_row);
/* The row of a config, and a point of the cube that stands for it (coordinates of inactive params
 * are random). */
void hd_rows_of_config(const struct hd_rows *rows, uint32_t config_number, float *ret_row);
void hd_rows_point(const struct hd_rows *rows, const float *row, struct hd_rng *rng,
                   double *ret_point);

#endif
