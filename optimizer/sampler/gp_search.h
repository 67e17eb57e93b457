/* SPDX-License-Identifier: Apache-2.0 */
/*
 * gp_search.h: where the acquisition of a Gaussian process is best. Private to optimizer/sampler.
 */
#ifndef HD_SAMPLER_GP_SEARCH_H
#define HD_SAMPLER_GP_SEARCH_H

#include "gp_code.h"

enum hd_gp_acquisition {
    HD_GP_EI,  /* log of the expected improvement (Ament et al. 2023) */
    HD_GP_UCB, /* confidence bound */
};

struct hd_gp_goal {
    enum hd_gp_acquisition acquisition;
    double best;  /* EI: what is to be improved on */
    double kappa; /* UCB: deviations below the mean */
};

/* Higher is better; ret_by_mean and ret_by_deviation may be NULL. */
double hd_gp_score(const struct hd_gp_goal *goal, double mean, double deviation,
                   double *ret_by_mean, double *ret_by_deviation);

struct hd_gp_search {
    struct hd_gp_code *code; /* borrowed */
    uint32_t pool_max;
    uint32_t count;
    double *points;   /* [pool_max][dimension], on levels */
    double *features; /* [pool_max][feature_count] */
    double *scores;   /* [pool_max]; -INFINITY: used up */
    double *means, *deviations;
    uint32_t *order;                                        /* [pool_max] */
    double *mean_slopes, *deviation_slopes, *steps, *signs; /* [lanes][...] */
    double *draft;                                          /* [dimension] */
};

HD_NODISCARD enum hd_code hd_gp_search_init(struct hd_gp_search *search, struct hd_gp_code *code,
                                            uint32_t pool_max, struct hd_err *err);
void hd_gp_search_release(struct hd_gp_search *search); /* also of a zeroed struct */
/*
 * Fills the pool: random points, steps from the configs numbered in bases[base_count] (the best
 * first), scored by an optimistic bound, the best of them in truth; then from the best few
 * a climb along the slopes and random steps of single params. Cost is bounded by about
 * `work` multiplications, however many points the model has.
 */
void hd_gp_search_run(struct hd_gp_search *search, struct hd_gp *gp, const struct hd_gp_goal *goal,
                      const uint32_t *bases, uint32_t base_count, double work, struct hd_rng *rng);
/* The best unused config of the pool; false when there is none. */
bool hd_gp_search_take(struct hd_gp_search *search, double *ret_values);

#endif
