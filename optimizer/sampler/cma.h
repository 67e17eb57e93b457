/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cma.h: the normal distribution of CMA-ES and how a generation of ranked points changes it
 * (Hansen, "The CMA evolution strategy: a tutorial", 2016, with negative weights; Hansen,
 * "Injecting external solutions into CMA-ES", 2011; Ros and Hansen, "A simple modification in
 * CMA-ES", 2008: the separable form; Hamano et al., "CMA-ES with margin", 2022). Private to
 * optimizer/sampler; it knows no history and no space.
 *
 *   x = mean + sigma * margin * B * D * z,   z standard normal,   C = B D^2 B^T
 *
 * All memory is taken by init(); the other calls cannot fail. A generation costs O(lambda n^2), and
 * O(n^3) when C is decomposed; O(lambda n) in the separable form.
 */
#ifndef HD_CMA_H
#define HD_CMA_H

#include <hd/base.h>

/* Above this the covariance is diagonal: a full one is not learned in any number of evaluations
 * that tuning spends. */
#define HD_CMA_FULL_MAX 40u

struct hd_cma {
    size_t dimension; /* at least 1 */
    size_t lambda, lambda_max, mu;
    bool separable;
    double mu_eff, rate_sigma, damping, rate_path, rate_one, rate_mu, chi;
    uint32_t generation, decomposed; /* the generation that basis and scale are of */
    double sigma;
    double *weights;    /* [lambda_max] by rank; those after mu are negative */
    double *mean;       /* [n] */
    double *margin;     /* [n] the diagonal A of CMA-ES with margin */
    double *path_sigma; /* [n] */
    double *path;       /* [n] */
    double *shift;      /* [n] the last step of the mean */
    double *covariance; /* [n][n], or [n] when separable */
    double *basis;      /* [n][n], eigenvectors in rows; unused when separable */
    double *scale;      /* [n] D: square roots of the eigenvalues */
    double *scratch;    /* [n][n] or [n]; shared by all calls */
    double *steps;      /* [lambda_max][n] */
    double *used;       /* [lambda_max] the weights of this generation's steps */
};

/* Nothing to release on failure. */
HD_NODISCARD enum hd_code hd_cma_init(struct hd_cma *cma, size_t dimension, size_t lambda_max,
                                      struct hd_err *err);
void hd_cma_release(struct hd_cma *cma); /* also of a zeroed struct */
/* Begins anew: independent coordinates of these means and deviations (positive). lambda: 4 ..
 * lambda_max. */
void hd_cma_start(struct hd_cma *cma, size_t lambda, const double *mean, const double *deviations);
/* A point of the distribution, its deviations widened by a factor. */
void hd_cma_draw(const struct hd_cma *cma, double factor, struct hd_rng *rng, double *ret_point);
/* The length of z of this point. Own points have about sqrt(n). */
double hd_cma_distance(const struct hd_cma *cma, const double *point);
/* Points with a longer z are shortened to this by update(). */
double hd_cma_distance_max(const struct hd_cma *cma);
/* points[lambda], best first. */
void hd_cma_update(struct hd_cma *cma, const double *const *points);
/* The marginal deviation of coordinate d. */
double hd_cma_deviation(const struct hd_cma *cma, size_t d);
/* The ratio of the longest to the shortest axis. */
double hd_cma_condition(const struct hd_cma *cma);
/* Coordinate d stands for the level that owns [low, high) around its mean; low = -INFINITY: the
 * first level, high = INFINITY: the last. Moves mean and deviation so that each side has a
 * probability of at least alpha / 2 (a first or last level: the other side alpha). */
void hd_cma_keep_margin(struct hd_cma *cma, size_t d, double low, double high, double alpha);
/* The quantile u, 0 <= u < 1, of the marginal of d truncated to [low, high] (either may be
 * infinite), to about a thousandth of a deviation. */
double hd_cma_draw_within(const struct hd_cma *cma, size_t d, double low, double high, double u);

/* Eigenvalues and, in rows, eigenvectors of a symmetric matrix [n][n] (destroyed). */
void hd_eigen_symmetric(size_t n, double *matrix, double *ret_values, double *ret_vectors);

#endif
