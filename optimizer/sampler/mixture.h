/* SPDX-License-Identifier: Apache-2.0 */
/*
 * mixture.h: a kernel density with a deviation for every kernel and coordinate, by the published
 * rules: what the presets of tpe are made of. Private to optimizer/sampler.
 *
 * density.h is the fast form with one deviation a coordinate; this one is general and costs an
 * exponential a kernel (joint) or a kernel and coordinate (not joint). A coordinate that is NaN has
 * the meaning that it has there: a kernel without a value is uniform, a point without one has no
 * factor. Not joint: each coordinate has its own mixture of the kernels with a value (hyperopt).
 */
#ifndef HD_MIXTURE_H
#define HD_MIXTURE_H

#include "density.h"
#include "history.h"

/* How wide a numeric kernel is on the unit interval. n kernels, d coordinates. */
enum hd_bandwidth {
    HD_BANDWIDTH_GAPS,      /* the larger gap to the sorted neighbours (Bergstra et al. 2011) */
    HD_BANDWIDTH_REFERENCE, /* 1.06 * deviation * n^(-1/(4+d)), one a coordinate (BOHB) */
    HD_BANDWIDTH_ISOTROPIC, /* n^(-1/5) * deviation of all numbers together (ETPE) */
};

/* Whose neighbours the first and the last kernel have. */
enum hd_gap_ends {
    HD_GAP_ENDS_NONE,  /* the inner gap counts (Optuna) */
    HD_GAP_ENDS_RANGE, /* 0 and 1 (Watanabe) */
    HD_GAP_ENDS_PRIOR, /* none, but the middle of the prior stands among the kernels (hyperopt) */
};

struct hd_mixture_rule {
    enum hd_bandwidth bandwidth;
    enum hd_gap_ends ends;
    bool joint; /* one component decides all coordinates */
    bool prior; /* a component with a normal of deviation 1 about the middle, uniform choices */
    double sigma_min;     /* of GAPS: no kernel is narrower than the larger of this and */
    double sigma_fall;    /* (n + 2)^-sigma_fall, which is at least */
    double sigma_fall_to; /* this much; 0 switches it off */
};

struct hd_mixture_item {
    uint32_t config_number;
    double weight; /* > 0, of any scale */
};

struct hd_mixture {
    const struct hd_history *history; /* borrowed */
    const struct hd_axis *axes;       /* borrowed */
    struct hd_mixture_rule rule;
    size_t dimension, count, capacity;
    double prior_weight; /* on the scale of weights */
    float *centres, *sigmas,
        *norms; /* [dimension][capacity]; sigmas of choices: log odds of another one */
    double *weights, *log_weights; /* [capacity]: sum to one with the prior */
    double *cumulative;            /* [capacity + 1] */
    double *terms;                 /* [capacity + 1], scratch */
    float *sorted;                 /* [capacity + 1], scratch */
};

void hd_mixture_init(struct hd_mixture *mixture, const struct hd_history *history,
                     const struct hd_axis *axes);
void hd_mixture_release(struct hd_mixture *mixture); /* also of a zeroed struct */
/* count >= 1, or the rule has a prior. */
HD_NODISCARD enum hd_code hd_mixture_fit(struct hd_mixture *mixture,
                                         const struct hd_mixture_rule *rule,
                                         const struct hd_mixture_item *items, size_t count,
                                         double prior_weight, struct hd_err *err);
/* log of the density, finite; of a joint one. */
double hd_mixture_log(const struct hd_mixture *mixture, const float *point);
/* log of the density of one coordinate by itself. x is no NaN. */
double hd_mixture_log_at(const struct hd_mixture *mixture, size_t d, double x);
/* Which component a draw comes from; count is the prior. */
size_t hd_mixture_pick(const struct hd_mixture *mixture, struct hd_rng *rng);
/* One of those with a value in this coordinate, or the prior. */
size_t hd_mixture_pick_at(const struct hd_mixture *mixture, size_t d, struct hd_rng *rng);
/* A coordinate of a draw, with the kernel's deviation times factor. ISOTROPIC may leave [0, 1]. */
double hd_mixture_draw(const struct hd_mixture *mixture, size_t component, size_t d, double factor,
                       struct hd_rng *rng);

#endif
