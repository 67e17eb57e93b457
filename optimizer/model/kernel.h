/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kernel.h: covariances of one point with many, and triangular systems. Private to optimizer/model.
 *
 * Loops run over arrays of points by feature, so that the compiler can take several points at once;
 * sums over features and over rows have a fixed order, so the results do not depend on how it does.
 */
#ifndef HD_MODEL_KERNEL_H
#define HD_MODEL_KERNEL_H

#include <hd/gp.h>

/* The prior variance of the two constants: targets have about unit variance. */
#define HD_GP_CONSTANT_VARIANCE 1.0
#define HD_GP_GAP_CONSTANT_VARIANCE 1.0

/* The hyperparameters as they are used. */
struct hd_kernel {
    const struct hd_gp_shape *shape;
    double *weights; /* [feature_count]: 1 / length^2 */
    double *scales;  /* [feature_count]: 1 / length */
    double signal, noise, gap_signal, gap_noise, decay;
};

/* kernel->weights and kernel->scales are the caller's. */
void hd_kernel_set(struct hd_kernel *kernel, const struct hd_gp_shape *shape, const double *hyper);
/* e(s), and its derivative by log v. */
double hd_kernel_gap(const struct hd_kernel *kernel, double fidelity);
double hd_kernel_gap_slope(const struct hd_kernel *kernel, double fidelity);

/* Rows of covariances and columns of features are so many numbers longer than what they hold,
 * rounded down: loops take several at a time and may write there. */
#define HD_KERNEL_PAD 16u

/* Features in units of their length scales; choices as they are. */
void hd_kernel_scale(const struct hd_kernel *kernel, const double *point, double *ret_scaled);
/* Matern-5/2 of a point and count points, all scaled; columns[feature][stride]; ret_slopes (may be
 * NULL): (5/3) (1 + sqrt(5) r) exp(-sqrt(5) r), which is -2 times the derivative by the squared
 * distance. Works on whole tiles of HD_KERNEL_PAD numbers. */
void hd_kernel_matern(const struct hd_kernel *kernel, const double *point, const double *columns,
                      size_t stride, uint32_t count, double *ret_matern, double *ret_slopes);
/* Covariances without noise of a point with gap e and count points with theirs. */
void hd_kernel_covariances(const struct hd_kernel *kernel, double gap, const double *gaps,
                           const double *matern, uint32_t count, double *ret_covariances);
/* The most that one of the points explains of the variance of the one with these covariances;
 * inverse_variances are those of the points with noise, and 0 from count on to the next multiple
 * of 4. */
void hd_kernel_explained(const double *covariances, const double *inverse_variances, uint32_t count,
                         double *ret_most);
double hd_kernel_variance(const struct hd_kernel *kernel, double gap);
/* The noise of an observation. */
double hd_kernel_noise(const struct hd_kernel *kernel, double gap);

/* A lower triangle by rows: row i begins at i (i + 1) / 2. */
static inline size_t hd_row_at(size_t row)
{
    return row * (row + 1) / 2;
}
/* Solves L v = b for HD_GP_LANES right sides, interleaved: lanes[row][lane]; from row `first` on,
 * the rows before are solved (or zero from row `zero` on backwards: sums begin at `zero`).
 * inverses: 1 / L_ii. */
void hd_solve_forward(const double *triangle, const double *inverses, uint32_t zero, uint32_t first,
                      uint32_t end, double *lanes);
/* Solves L^T w = v in place, for all lanes. */
void hd_solve_backward_lanes(const double *triangle, const double *inverses, uint32_t count,
                             double *lanes);
/* The same for one right side. */
void hd_solve_backward(const double *triangle, const double *inverses, uint32_t count,
                       double *vector);
/* Appends rows first .. first + count - 1 (count <= HD_GP_LANES) to the factor: lanes[row][lane]
 * holds the covariances of the new points with all points before them, diagonal[count] the
 * variances with noise. */
void hd_factor_append(double *triangle, double *inverses, uint32_t first, uint32_t count,
                      const double *diagonal, double *lanes);

/* The sum of a[i] * b[i]. */
void hd_dot(const double *a, const double *b, uint32_t count, double *ret_sum);

#endif
