/* SPDX-License-Identifier: Apache-2.0 */
/*
 * parzen.h: the pair of densities of TPE, built from the results at one budget. Private to
 * optimizer/sampler.
 *
 * good: the best configs; few, so it is built anew for each proposal.
 * bad: all others and the pending ones. Up to HD_PARZEN_BAD_MAX results each have a kernel; of
 * more, each block of 2^k results in the order of arrival is represented by one of its members,
 * with the weight of the block (a stratified sample). What a kernel's centre needs is kept between
 * proposals and only appended to; it is a cache: the densities depend on the history alone.
 */
#ifndef HD_PARZEN_H
#define HD_PARZEN_H

#include "density.h"
#include "history.h"

#define HD_PARZEN_BAD_MAX 2048u
#define HD_PARZEN_EXTRA_MAX                                                                        \
    1024u /* of pending configs, and of results after the last full block                          \
           */
#define HD_PARZEN_NORM_POINTS 129u

struct hd_parzen_settings {
    double gamma;        /* part of the results that counts as good */
    double gamma_max;    /* but at most so many, <= HD_HISTORY_BEST_MAX - 1 */
    double prior_weight; /* of the uniform component, in results */
};

/* log norms of one axis over its unit interval, for one deviation. */
struct hd_parzen_norms {
    double sigma;
    float at[HD_PARZEN_NORM_POINTS];
};

struct hd_parzen {
    const struct hd_history *history; /* borrowed */
    struct hd_axis *axes;
    struct hd_parzen_norms *norms; /* [dimension], of bad */
    struct hd_density good, bad;
    double good_cumulative[HD_HISTORY_BEST_MAX]; /* weights for drawing; the rest is the prior */
    const struct hd_history_rung *rung;          /* of what bad holds */
    uint32_t block_shift;                        /* a kernel stands for 2^block_shift results */
    size_t block_count;                          /* kernels of bad that stay */
    double *sums, *square_sums, *counts; /* [dimension], over these; without inactive ones */
    float *penalties;                    /* of the kernels of bad, see parzen.c */
    size_t penalty_count;                /* penalties that hold */
};

HD_NODISCARD enum hd_code hd_parzen_init(struct hd_parzen *parzen, const struct hd_history *history,
                                         struct hd_err *err);
void hd_parzen_release(struct hd_parzen *parzen); /* also of a zeroed struct */
/* The rung has at least two finite results. */
HD_NODISCARD enum hd_code hd_parzen_build(struct hd_parzen *parzen,
                                          const struct hd_parzen_settings *settings,
                                          const struct hd_history_rung *rung, struct hd_err *err);
/* A point of the good density, each coordinate at the centre of its level and none inactive: what
 * the config has no use for is dropped when it is made (hd_history_values_of). */
void hd_parzen_draw(const struct hd_parzen *parzen, struct hd_rng *rng, double *ret_point);
/* log good(point) - log bad(point): the higher the better. Inactive coordinates are NaN. */
double hd_parzen_score(const struct hd_parzen *parzen, const float *point);

#endif
