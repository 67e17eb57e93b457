/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tree_search.h: looks for the config with the highest score: random configs, then a climb by
 * one-exchange neighbours from the best of them and of the configs that exist (the search of SMAC:
 * Hutter et al. 2011, Lindauer et al. 2022). Private to optimizer/sampler.
 *
 * Scores are plateaus where models are trees, so a climb takes the best of a few neighbours at
 * once and ends after HD_SEARCH_FAILS_MAX rounds without a better one.
 */
#ifndef HD_TREE_SEARCH_H
#define HD_TREE_SEARCH_H

#include "tree_rows.h"

#define HD_SEARCH_NEIGHBOURS 16u
#define HD_SEARCH_FAILS_MAX 3
#define HD_SEARCH_STEPS_MAX 20
#define HD_SEARCH_PENDING_MAX 256u

struct hd_search {
    struct hd_rows *rows; /* borrowed, collected */
    size_t random_count, start_count;
    /* Configs near pending ones score less: the log of 1 - exp(-(distance / reach)^2) is added for
     * each; distance is the root mean square over the dimensions. 0: no. */
    double reach;
    /* Scores of rows: what is sought is high. */
    void (*score)(void *context, const float *rows, size_t count, double *ret_scores);
    void *context;
    /* Owned. */
    double *points;               /* [candidate][dimension] */
    float *table;                 /* [candidate][width] */
    float *pending;               /* [HD_SEARCH_PENDING_MAX][width] */
    double *scores;               /* [candidate] */
    double *values, *best_values; /* [param] */
    uint32_t pending_count;
    double best_score;
    bool found;
};

void hd_search_release(struct hd_search *search); /* also of a zeroed struct */
/* Takes the memory; the fields above "Owned" are set. */
HD_NODISCARD enum hd_code hd_search_prepare(struct hd_search *search, struct hd_err *err);
/* The best unused config found; false: all that were seen are used. */
bool hd_search_run(struct hd_search *search, struct hd_rng *rng, double *ret_values);

#endif
