/* SPDX-License-Identifier: Apache-2.0 */
/*
 * gp.h: a Gaussian process over points of mixed kind, each observed at some fidelity. Pure numbers:
 * what a feature means is its caller's business.
 *
 * The function at full fidelity is f = c + g(x), g with a Matern-5/2 kernel with a length scale of
 * its own for each group of features (Rasmussen and Williams 2006); what a lower fidelity s shows
 * is f(x) + e(s) (c' + h(x) + noise'),     e(s) = (exp(-v s) - exp(-v)) / (1 - exp(-v)) with h like
 * g and e falling from 1 at s = 0 to 0 at s = 1. With s the logarithm of a budget that is a power
 * law, as learning curves have it (the exponentially decaying kernel of Swersky, Snoek and Adams
 * 2014 and of MOBSTER has the same aim). A fidelity that says nothing of the last one is recognised
 * by a large variance of h or of noise'.
 *
 * The Cholesky factor is kept by rows and each row depends on those before it alone, by the same
 * operations in the same order however points were added: appending is what a fresh factorisation
 * would have done, bit for bit. One object is used by one thread at a time.
 */
#ifndef HD_GP_H
#define HD_GP_H

#include <hd/base.h>

#define HD_GP_POINTS_MAX 2048u
#define HD_GP_FEATURES_MAX 4096u
#define HD_GP_LANES 8u /* points that are predicted together */

enum hd_gp_kind {
    HD_GP_NUMBER, /* distance |a - b|; values in [0, 1] */
    HD_GP_CHOICE, /* distance 1 when they differ */
};

struct hd_gp_feature {
    enum hd_gp_kind kind;
    uint32_t scale; /* which length scale it has: 0 .. scale_count - 1 */
};

struct hd_gp_shape {
    const struct hd_gp_feature *features;
    uint32_t feature_count; /* <= HD_GP_FEATURES_MAX */
    uint32_t scale_count;   /* <= feature_count */
};

/* Hyperparameters are an array of logarithms: the length scales, then these. */
enum hd_gp_tail {
    HD_GP_SIGNAL,     /* variance of g */
    HD_GP_NOISE,      /* variance of the noise at every fidelity */
    HD_GP_GAP_SIGNAL, /* variance of h */
    HD_GP_GAP_NOISE,  /* variance of noise' */
    HD_GP_GAP_DECAY,  /* v */
    HD_GP_TAIL_COUNT,
};
#define HD_GP_HYPER_COUNT(shape) ((shape)->scale_count + HD_GP_TAIL_COUNT)

/* points[count][feature_count]; fidelities in [0, 1]; targets of about unit variance: of one
 * function, or of several independent ones of the same kernel at the same points,
 * [function_count][count]. */
struct hd_gp_data {
    const double *points;
    const double *fidelities;
    const double *targets;
    uint32_t count;
    uint32_t function_count; /* <= HD_GP_LANES; 0: one */
};

struct hd_gp;

/* Holds up to points_max points; copies the shape. The hyperparameters are the priors' modes. */
HD_NODISCARD enum hd_code hd_gp_new(const struct hd_gp_shape *shape, uint32_t points_max,
                                    struct hd_gp **ret_gp, struct hd_err *err);
void hd_gp_free(struct hd_gp *gp);
uint32_t hd_gp_count(const struct hd_gp *gp);
/* The modes of the priors. hyper[HD_GP_HYPER_COUNT]. */
void hd_gp_hyper_default(const struct hd_gp_shape *shape, double *ret_hyper);
/* Drops all points when these differ from the current ones. */
void hd_gp_set_hyper(struct hd_gp *gp, const double *hyper);
/* Keeps the first count points. */
void hd_gp_truncate(struct hd_gp *gp, uint32_t count);
/* points[count][feature_count]; the sum of points is at most points_max. O(count n^2). */
void hd_gp_append(struct hd_gp *gp, const double *points, const double *fidelities, uint32_t count);
/* targets of the first count points; those after them are pending: they have no result, and narrow
 * the deviation only. O(n^2) */
void hd_gp_set_targets(struct hd_gp *gp, const double *targets, uint32_t count);

/* All predictions are of f, without noise. Deviations are positive. points[count][feature_count],
 * any count. ret_bounds: an upper bound of the deviation, from the nearest point alone; O(n) a
 * point. */
void hd_gp_predict_mean(struct hd_gp *gp, const double *points, uint32_t count, double *ret_means,
                        double *ret_bounds);
/* The means at the points with a target themselves: points as they were appended. O(1) for a point
 * of full fidelity, O(n) for another. */
void hd_gp_own_means(struct hd_gp *gp, const double *points, double *ret_means);
/* O(n^2) a point; HD_GP_LANES points cost little more than one. */
void hd_gp_predict(struct hd_gp *gp, const double *points, uint32_t count, double *ret_means,
                   double *ret_deviations);
/* Also the derivatives by each feature, [count][feature_count]; of a choice 0. About twice the
 * price. */
void hd_gp_predict_slopes(struct hd_gp *gp, const double *points, uint32_t count, double *ret_means,
                          double *ret_deviations, double *ret_mean_slopes,
                          double *ret_deviation_slopes);

/* The negative logarithm of (likelihood times prior) and its derivatives by the hyperparameters
 * (those of the gap are 0 when every fidelity is 1). ret_gradient may be NULL. */
HD_NODISCARD enum hd_code hd_gp_objective(const struct hd_gp_shape *shape,
                                          const struct hd_gp_data *data, const double *hyper,
                                          double *ret_value, double *ret_gradient,
                                          struct hd_err *err);
/* The hyperparameters that minimise the objective from the modes of the priors on, with at most
 * steps_max steps of BFGS. A pure function of its input. O(steps (n^3 + n^2 features)). */
HD_NODISCARD enum hd_code hd_gp_fit(const struct hd_gp_shape *shape, const struct hd_gp_data *data,
                                    uint32_t steps_max, double *ret_hyper, struct hd_err *err);

#endif
