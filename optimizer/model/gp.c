/* SPDX-License-Identifier: Apache-2.0 */
/* gp.c: the posterior of a Gaussian process, kept up as points come. */
#include "kernel.h"

#include <math.h>
#include <string.h>

#define LANES HD_GP_LANES
/* Deviations are at least this part of the prior's, so that nobody divides by zero. */
#define DEVIATION_MIN 1e-8

struct hd_gp {
    struct hd_gp_shape shape;
    struct hd_gp_feature *features;
    struct hd_kernel kernel;
    double *hyper;
    uint32_t points_max;
    uint32_t count;            /* points in the factor */
    uint32_t target_count;     /* those of them with a target */
    size_t stride;             /* points_max and a pad */
    double *columns;           /* [feature][stride], scaled */
    double *gaps;              /* [stride] */
    double *inverse_variances; /* [stride]: of what is observed; 0 from count on */
    double *scaled;            /* [feature]: of the point in question */
    double *triangle, *inverses;
    double *targets;                   /* [points_max] */
    double *alphas;                    /* K^-1 targets */
    double *lanes;                     /* [points_max][LANES] */
    double *row, *slope_rows, *matern; /* [stride], [LANES][stride], [stride] */
};

static double *array(size_t count)
{
    return hd_calloc(count + 1, sizeof(double));
}

static bool get_memory(struct hd_gp *gp, const struct hd_gp_shape *shape)
{
    size_t points = gp->points_max, features = shape->feature_count;
    gp->features = hd_calloc(features + 1, sizeof(*gp->features));
    gp->kernel.weights = array(features);
    gp->kernel.scales = array(features);
    gp->hyper = array(HD_GP_HYPER_COUNT(shape));
    gp->columns = array(features * gp->stride);
    gp->gaps = array(gp->stride);
    gp->inverse_variances = array(gp->stride);
    gp->scaled = array(features);
    gp->triangle = array(hd_row_at(points));
    gp->inverses = array(points);
    gp->targets = array(points);
    gp->alphas = array(points);
    gp->lanes = array(points * LANES);
    gp->row = array(gp->stride);
    gp->slope_rows = array(gp->stride * LANES);
    gp->matern = array(gp->stride);
    return gp->features != NULL && gp->kernel.weights != NULL && gp->kernel.scales != NULL &&
           gp->hyper != NULL && gp->columns != NULL && gp->gaps != NULL &&
           gp->inverse_variances != NULL && gp->scaled != NULL && gp->triangle != NULL &&
           gp->inverses != NULL && gp->targets != NULL && gp->alphas != NULL && gp->lanes != NULL &&
           gp->row != NULL && gp->slope_rows != NULL && gp->matern != NULL;
}

enum hd_code hd_gp_new(const struct hd_gp_shape *shape, uint32_t points_max, struct hd_gp **ret_gp,
                       struct hd_err *err)
{
    if (shape->feature_count > HD_GP_FEATURES_MAX || points_max > HD_GP_POINTS_MAX)
        return hd_fail(err, HD_E_LIMIT, "a Gaussian process has at most %u features and %u points",
                       HD_GP_FEATURES_MAX, HD_GP_POINTS_MAX);
    struct hd_gp *gp = hd_calloc(1, sizeof(*gp));
    if (gp == NULL)
        return hd_fail(err, HD_E_NOMEM, "no memory for a Gaussian process");
    gp->points_max = points_max;
    gp->stride = (size_t)points_max + HD_KERNEL_PAD;
    if (!get_memory(gp, shape)) {
        hd_gp_free(gp);
        return hd_fail(err, HD_E_NOMEM, "no memory for a Gaussian process of %u points",
                       points_max);
    }
    for (uint32_t f = 0; f < shape->feature_count; f++) {
        hd_assert(shape->features[f].scale < shape->scale_count);
        gp->features[f] = shape->features[f];
    }
    gp->shape = *shape;
    gp->shape.features = gp->features;
    hd_gp_hyper_default(&gp->shape, gp->hyper);
    hd_kernel_set(&gp->kernel, &gp->shape, gp->hyper);
    *ret_gp = gp;
    return HD_OK;
}

void hd_gp_free(struct hd_gp *gp)
{
    if (gp == NULL)
        return;
    hd_free(gp->features);
    hd_free(gp->kernel.weights);
    hd_free(gp->kernel.scales);
    hd_free(gp->hyper);
    hd_free(gp->columns);
    hd_free(gp->gaps);
    hd_free(gp->inverse_variances);
    hd_free(gp->scaled);
    hd_free(gp->triangle);
    hd_free(gp->inverses);
    hd_free(gp->targets);
    hd_free(gp->alphas);
    hd_free(gp->lanes);
    hd_free(gp->row);
    hd_free(gp->slope_rows);
    hd_free(gp->matern);
    hd_free(gp);
}

uint32_t hd_gp_count(const struct hd_gp *gp)
{
    return gp->count;
}

void hd_gp_set_hyper(struct hd_gp *gp, const double *hyper)
{
    size_t size = HD_GP_HYPER_COUNT(&gp->shape) * sizeof(double);
    if (memcmp(gp->hyper, hyper, size) == 0)
        return;
    memcpy(gp->hyper, hyper, size);
    hd_kernel_set(&gp->kernel, &gp->shape, gp->hyper);
    hd_gp_truncate(gp, 0);
}

void hd_gp_truncate(struct hd_gp *gp, uint32_t count)
{
    for (uint32_t i = count; i < gp->count; i++)
        gp->inverse_variances[i] = 0;
    gp->count = count < gp->count ? count : gp->count;
    gp->target_count = gp->target_count < gp->count ? gp->target_count : gp->count;
}

/* Covariances of a point with the first count points, in gp->row; the scaled point is kept. */
static void fill_row(struct hd_gp *gp, const double *point, double gap, uint32_t count,
                     double *ret_slopes)
{
    hd_kernel_scale(&gp->kernel, point, gp->scaled);
    hd_kernel_matern(&gp->kernel, gp->scaled, gp->columns, gp->stride, count, gp->matern,
                     ret_slopes);
    hd_kernel_covariances(&gp->kernel, gap, gp->gaps, gp->matern, count, gp->row);
}

static void to_lane(const struct hd_gp *gp, uint32_t lane, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++)
        gp->lanes[(size_t)i * LANES + lane] = gp->row[i];
}

static void append_block(struct hd_gp *gp, const double *points, const double *fidelities,
                         uint32_t count)
{
    double diagonal[LANES];
    uint32_t first = gp->count, features = gp->shape.feature_count;
    for (uint32_t lane = 0; lane < count; lane++) {
        hd_kernel_scale(&gp->kernel, points + (size_t)lane * features, gp->scaled);
        for (uint32_t f = 0; f < features; f++)
            gp->columns[f * gp->stride + first + lane] = gp->scaled[f];
        gp->gaps[first + lane] = hd_kernel_gap(&gp->kernel, fidelities[lane]);
    }
    memset(gp->lanes, 0, (size_t)(first + count) * LANES * sizeof(double));
    for (uint32_t lane = 0; lane < count; lane++) {
        double gap = gp->gaps[first + lane];
        fill_row(gp, points + (size_t)lane * features, gap, first + lane, NULL);
        to_lane(gp, lane, first + lane);
        diagonal[lane] = hd_kernel_variance(&gp->kernel, gap) + hd_kernel_noise(&gp->kernel, gap);
        gp->inverse_variances[first + lane] = 1 / diagonal[lane];
    }
    hd_factor_append(gp->triangle, gp->inverses, first, count, diagonal, gp->lanes);
    gp->count += count;
}

void hd_gp_append(struct hd_gp *gp, const double *points, const double *fidelities, uint32_t count)
{
    hd_assert(count <= gp->points_max - gp->count);
    for (uint32_t done = 0; done < count; done += LANES) {
        uint32_t left = count - done;
        append_block(gp, points + (size_t)done * gp->shape.feature_count, fidelities + done,
                     left < LANES ? left : LANES);
    }
}

void hd_gp_set_targets(struct hd_gp *gp, const double *targets, uint32_t count)
{
    hd_assert(count <= gp->count);
    memcpy(gp->targets, targets, count * sizeof(double));
    memset(gp->lanes, 0, (size_t)count * LANES * sizeof(double));
    for (uint32_t i = 0; i < count; i++)
        gp->lanes[(size_t)i * LANES] = targets[i];
    hd_solve_forward(gp->triangle, gp->inverses, 0, 0, count, gp->lanes);
    for (uint32_t i = 0; i < count; i++)
        gp->alphas[i] = gp->lanes[(size_t)i * LANES];
    hd_solve_backward(gp->triangle, gp->inverses, count, gp->alphas);
    gp->target_count = count;
}

/* ---- predictions --------------------------------------------------------------------------- */

static double deviation_of(const struct hd_gp *gp, double variance)
{
    double prior = hd_kernel_variance(&gp->kernel, 0);
    double least = DEVIATION_MIN * DEVIATION_MIN * prior;
    return sqrt(variance > least ? variance : least);
}

void hd_gp_own_means(struct hd_gp *gp, const double *points, double *ret_means)
{
    for (uint32_t i = 0; i < gp->target_count; i++) {
        /* (K + noise) alpha = target, and K alpha is the mean. */
        ret_means[i] = gp->targets[i] - gp->kernel.noise * gp->alphas[i];
        if (gp->gaps[i] == 0)
            continue;
        fill_row(gp, points + (size_t)i * gp->shape.feature_count, 0, gp->target_count, NULL);
        hd_dot(gp->row, gp->alphas, gp->target_count, &ret_means[i]);
    }
}

void hd_gp_predict_mean(struct hd_gp *gp, const double *points, uint32_t count, double *ret_means,
                        double *ret_bounds)
{
    double prior = hd_kernel_variance(&gp->kernel, 0);
    for (uint32_t p = 0; p < count; p++) {
        fill_row(gp, points + (size_t)p * gp->shape.feature_count, 0, gp->count, NULL);
        hd_dot(gp->row, gp->alphas, gp->target_count, &ret_means[p]);
        double explained;
        hd_kernel_explained(gp->row, gp->inverse_variances, gp->count, &explained);
        ret_bounds[p] = deviation_of(gp, prior - explained);
    }
}

/* Fills the lanes with K*, computes means and solves for the deviations. slopes: keep those of
 * the kernel in slope_rows. */
static void predict_block(struct hd_gp *gp, const double *points, uint32_t count, bool slopes,
                          double *ret_means, double *ret_deviations)
{
    double prior = hd_kernel_variance(&gp->kernel, 0), variances[LANES];
    if (count < LANES)
        memset(gp->lanes, 0, (size_t)gp->count * LANES * sizeof(double));
    for (uint32_t lane = 0; lane < count; lane++) {
        fill_row(gp, points + (size_t)lane * gp->shape.feature_count, 0, gp->count,
                 slopes ? gp->slope_rows + lane * gp->stride : NULL);
        to_lane(gp, lane, gp->count);
        hd_dot(gp->row, gp->alphas, gp->target_count, &ret_means[lane]);
    }
    hd_solve_forward(gp->triangle, gp->inverses, 0, 0, gp->count, gp->lanes);
    for (uint32_t lane = 0; lane < LANES; lane++)
        variances[lane] = prior;
    for (uint32_t i = 0; i < gp->count; i++) {
        const double *at = gp->lanes + (size_t)i * LANES;
        for (uint32_t lane = 0; lane < LANES; lane++)
            variances[lane] -= at[lane] * at[lane];
    }
    for (uint32_t lane = 0; lane < count; lane++)
        ret_deviations[lane] = deviation_of(gp, variances[lane]);
}

void hd_gp_predict(struct hd_gp *gp, const double *points, uint32_t count, double *ret_means,
                   double *ret_deviations)
{
    for (uint32_t done = 0; done < count; done += LANES) {
        uint32_t left = count - done;
        predict_block(gp, points + (size_t)done * gp->shape.feature_count,
                      left < LANES ? left : LANES, false, ret_means + done, ret_deviations + done);
    }
}

/* The derivatives of one lane, whose K^-1 k* is in the lanes. */
static void slopes_of_lane(struct hd_gp *gp, const double *point, uint32_t lane, double deviation,
                           double *ret_mean_slopes, double *ret_deviation_slopes)
{
    const double *slopes = gp->slope_rows + lane * gp->stride;
    double *restrict by_mean = gp->row, *restrict by_variance = gp->matern;
    for (uint32_t i = 0; i < gp->count; i++) {
        double slope = -gp->kernel.signal * slopes[i];
        by_mean[i] = i < gp->target_count ? slope * gp->alphas[i] : 0;
        by_variance[i] = slope * gp->lanes[(size_t)i * LANES + lane];
    }
    /* The sum of (point - column) times that. */
    double mean_sum = 0, variance_sum = 0;
    for (uint32_t i = 0; i < gp->count; i++) {
        mean_sum += by_mean[i];
        variance_sum += by_variance[i];
    }
    hd_kernel_scale(&gp->kernel, point, gp->scaled);
    for (uint32_t f = 0; f < gp->shape.feature_count; f++) {
        const double *column = gp->columns + f * gp->stride;
        double mean, variance, scale = gp->kernel.scales[f];
        bool choice = gp->shape.features[f].kind == HD_GP_CHOICE;
        hd_dot(column, by_mean, gp->count, &mean);
        hd_dot(column, by_variance, gp->count, &variance);
        mean = gp->scaled[f] * mean_sum - mean;
        variance = gp->scaled[f] * variance_sum - variance;
        ret_mean_slopes[f] = choice ? 0 : scale * mean;
        ret_deviation_slopes[f] = choice ? 0 : -scale * variance / deviation;
    }
}

void hd_gp_predict_slopes(struct hd_gp *gp, const double *points, uint32_t count, double *ret_means,
                          double *ret_deviations, double *ret_mean_slopes,
                          double *ret_deviation_slopes)
{
    size_t features = gp->shape.feature_count;
    for (uint32_t done = 0; done < count; done += LANES) {
        uint32_t block = count - done < LANES ? count - done : LANES;
        predict_block(gp, points + done * features, block, true, ret_means + done,
                      ret_deviations + done);
        hd_solve_backward_lanes(gp->triangle, gp->inverses, gp->count, gp->lanes);
        for (uint32_t lane = 0; lane < block; lane++) {
            size_t at = (done + lane) * features;
            slopes_of_lane(gp, points + at, lane, ret_deviations[done + lane], ret_mean_slopes + at,
                           ret_deviation_slopes + at);
        }
    }
}
