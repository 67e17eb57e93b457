/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fit.c: hyperparameters of the Gaussian process by their posterior mode. Every hyperparameter has
 * a log-normal prior; its mode is where the search begins.
 */
#include "kernel.h"
#include "minimize.h"

#include <math.h>
#include <string.h>

#define LANES HD_GP_LANES
#define LOG_TWO_PI 1.8378770664093454836
/* Logarithms beyond this many deviations of the prior are not tried. */
#define DEVIATIONS_MAX 6.0
#define TOLERANCE 0.05

/* ---- priors -------------------------------------------------------------------------------- */

struct prior {
    double mode, deviation; /* of the logarithm */
};

/* Length scales grow with the root of the dimension, as the distance of random points does
 * (Hvarfner, Hellsten and Nardi 2024). */
static struct prior prior_of(const struct hd_gp_shape *shape, uint32_t index)
{
    if (index < shape->scale_count)
        return (struct prior){log(0.4) + 0.5 * log((double)shape->scale_count), 1.0};
    switch ((enum hd_gp_tail)(index - shape->scale_count)) {
    case HD_GP_SIGNAL:
        return (struct prior){log(1.0), 1.0};
    case HD_GP_NOISE:
        return (struct prior){log(1e-3), 2.0};
    case HD_GP_GAP_SIGNAL:
        return (struct prior){log(0.5), 1.5};
    case HD_GP_GAP_NOISE:
        return (struct prior){log(1e-2), 2.0};
    case HD_GP_GAP_DECAY:
        return (struct prior){log(2.0), 0.7};
    case HD_GP_TAIL_COUNT:
        break;
    }
    hd_assert(!"a hyperparameter");
    return (struct prior){0, 1};
}

void hd_gp_hyper_default(const struct hd_gp_shape *shape, double *ret_hyper)
{
    for (uint32_t i = 0; i < HD_GP_HYPER_COUNT(shape); i++)
        ret_hyper[i] = prior_of(shape, i).mode;
}

/* ---- the objective ------------------------------------------------------------------------- */

struct fit {
    const struct hd_gp_shape *shape;
    const struct hd_gp_data *data;
    struct hd_kernel kernel;
    bool gapped;     /* some fidelity is below 1 */
    size_t stride;   /* data->count and a pad */
    double *columns; /* [feature][stride], scaled by the hyperparameters in question */
    double *scaled;  /* [count][feature]: the same, by points */
    double *gaps, *gap_slopes;
    uint32_t functions;
    double *triangle, *inverses;
    double *alphas;          /* [functions][count] */
    double *matern, *slopes; /* by rows of the triangle, without the diagonal's meaning */
    double *inverse_rows;    /* [count][count]: row i is column i of L^-1 */
    double *lanes;
    double *row, *slope_row; /* [stride] */
    double *hyper, *full_gradient;
};

static void fit_release(struct fit *fit)
{
    hd_free(fit->kernel.weights);
    hd_free(fit->kernel.scales);
    hd_free(fit->columns);
    hd_free(fit->scaled);
    hd_free(fit->gaps);
    hd_free(fit->gap_slopes);
    hd_free(fit->triangle);
    hd_free(fit->inverses);
    hd_free(fit->alphas);
    hd_free(fit->matern);
    hd_free(fit->slopes);
    hd_free(fit->inverse_rows);
    hd_free(fit->lanes);
    hd_free(fit->row);
    hd_free(fit->slope_row);
    hd_free(fit->hyper);
    hd_free(fit->full_gradient);
}

static double *array(size_t count)
{
    return hd_calloc(count + 1, sizeof(double));
}

static enum hd_code fit_init(struct fit *fit, const struct hd_gp_shape *shape,
                             const struct hd_gp_data *data, struct hd_err *err)
{
    size_t n = data->count, features = shape->feature_count;
    hd_assert(data->function_count <= LANES);
    if (n > HD_GP_POINTS_MAX || features > HD_GP_FEATURES_MAX)
        return hd_fail(err, HD_E_LIMIT, "a Gaussian process has at most %u points",
                       HD_GP_POINTS_MAX);
    *fit = (struct fit){.shape = shape, .data = data, .stride = n + HD_KERNEL_PAD};
    fit->kernel.weights = array(features);
    fit->kernel.scales = array(features);
    fit->columns = array(features * fit->stride);
    fit->scaled = array(features * n);
    fit->gaps = array(n);
    fit->gap_slopes = array(n);
    fit->triangle = array(hd_row_at(n));
    fit->inverses = array(n);
    fit->functions = data->function_count > 0 ? data->function_count : 1;
    fit->alphas = array(n * fit->functions);
    fit->matern = array(hd_row_at(n));
    fit->slopes = array(hd_row_at(n));
    fit->inverse_rows = array(n * n);
    fit->lanes = array(n * LANES);
    fit->row = array(fit->stride);
    fit->slope_row = array(fit->stride);
    fit->hyper = array(HD_GP_HYPER_COUNT(shape));
    fit->full_gradient = array(HD_GP_HYPER_COUNT(shape));
    if (fit->kernel.weights == NULL || fit->kernel.scales == NULL || fit->columns == NULL ||
        fit->scaled == NULL || fit->gaps == NULL || fit->slope_row == NULL ||
        fit->gap_slopes == NULL || fit->triangle == NULL || fit->inverses == NULL ||
        fit->alphas == NULL || fit->matern == NULL || fit->slopes == NULL ||
        fit->inverse_rows == NULL || fit->lanes == NULL || fit->row == NULL || fit->hyper == NULL ||
        fit->full_gradient == NULL) {
        fit_release(fit);
        return hd_fail(err, HD_E_NOMEM, "no memory for a fit to %zu points", n);
    }
    for (size_t i = 0; i < n; i++)
        fit->gapped |= data->fidelities[i] < 1;
    return HD_OK;
}

static void scale_points(struct fit *fit)
{
    size_t width = fit->shape->feature_count;
    for (size_t i = 0; i < fit->data->count; i++) {
        double *scaled = fit->scaled + i * width;
        hd_kernel_scale(&fit->kernel, fit->data->points + i * width, scaled);
        for (size_t f = 0; f < width; f++)
            fit->columns[f * fit->stride + i] = scaled[f];
    }
}

static void factorize(struct fit *fit)
{
    uint32_t n = fit->data->count;
    scale_points(fit);
    for (uint32_t first = 0; first < n; first += LANES) {
        uint32_t count = n - first < LANES ? n - first : LANES;
        double diagonal[LANES];
        memset(fit->lanes, 0, (size_t)n * LANES * sizeof(double));
        for (uint32_t lane = 0; lane < count; lane++) {
            uint32_t i = first + lane;
            double *matern = fit->matern + hd_row_at(i), *slopes = fit->slopes + hd_row_at(i);
            hd_kernel_matern(&fit->kernel, fit->scaled + (size_t)i * fit->shape->feature_count,
                             fit->columns, fit->stride, i, fit->row, fit->slope_row);
            memcpy(matern, fit->row, i * sizeof(double));
            memcpy(slopes, fit->slope_row, i * sizeof(double));
            matern[i] = 1;
            hd_kernel_covariances(&fit->kernel, fit->gaps[i], fit->gaps, matern, i, fit->row);
            for (uint32_t k = 0; k < i; k++)
                fit->lanes[(size_t)k * LANES + lane] = fit->row[k];
            diagonal[lane] = hd_kernel_variance(&fit->kernel, fit->gaps[i]) +
                             hd_kernel_noise(&fit->kernel, fit->gaps[i]);
        }
        hd_factor_append(fit->triangle, fit->inverses, first, count, diagonal, fit->lanes);
    }
}

/* Row i of inverse_rows becomes column i of L^-1 (zero before i). */
static void invert(struct fit *fit)
{
    uint32_t n = fit->data->count;
    for (uint32_t first = 0; first < n; first += LANES) {
        uint32_t count = n - first < LANES ? n - first : LANES;
        memset(fit->lanes, 0, (size_t)n * LANES * sizeof(double));
        for (uint32_t lane = 0; lane < count; lane++)
            fit->lanes[(size_t)(first + lane) * LANES + lane] = 1;
        hd_solve_forward(fit->triangle, fit->inverses, first, first, n, fit->lanes);
        for (uint32_t lane = 0; lane < count; lane++) {
            double *row = fit->inverse_rows + (size_t)(first + lane) * n;
            for (uint32_t k = 0; k < n; k++)
                row[k] = k < first + lane ? 0 : fit->lanes[(size_t)k * LANES + lane];
        }
    }
}

/* Adds the part of row i (weight * (K^-1 - alpha alpha^T)_ik for k <= i) to the gradient. */
static void add_row_gradient(struct fit *fit, uint32_t i, double *gradient)
{
    uint32_t n = fit->data->count;
    double *tail = gradient + fit->shape->scale_count, *row = fit->row;
    const struct hd_kernel *kernel = &fit->kernel;
    const double *matern = fit->matern + hd_row_at(i), *slopes = fit->slopes + hd_row_at(i);
    double gap = fit->gaps[i], gap_slope = fit->gap_slopes[i];
    double signal = 0, gap_signal = 0, decay = 0;
    for (uint32_t k = 0; k <= i; k++) {
        /* Half of the trace; what is off the diagonal counts twice. */
        double a;
        hd_dot(fit->inverse_rows + (size_t)i * n + i, fit->inverse_rows + (size_t)k * n + i, n - i,
               &a);
        a *= fit->functions;
        for (uint32_t s = 0; s < fit->functions; s++)
            a -= fit->alphas[s * n + i] * fit->alphas[s * n + k];
        a *= k == i ? 0.5 : 1;
        double both = gap * fit->gaps[k];
        signal += a * matern[k];
        gap_signal += a * both * matern[k];
        decay += a * (gap_slope * fit->gaps[k] + gap * fit->gap_slopes[k]) *
                 (HD_GP_GAP_CONSTANT_VARIANCE + kernel->gap_signal * matern[k]);
        if (k == i) {
            tail[HD_GP_NOISE] += a * kernel->noise;
            tail[HD_GP_GAP_NOISE] += a * gap * gap * kernel->gap_noise;
            decay += a * 2 * gap * gap_slope * kernel->gap_noise;
        } else {
            row[k] = a * (kernel->signal + both * kernel->gap_signal) * slopes[k];
        }
    }
    tail[HD_GP_SIGNAL] += signal * kernel->signal;
    tail[HD_GP_GAP_SIGNAL] += gap_signal * kernel->gap_signal;
    tail[HD_GP_GAP_DECAY] += decay;
    for (uint32_t f = 0; f < fit->shape->feature_count; f++) {
        const double *column = fit->columns + f * fit->stride;
        bool choice = fit->shape->features[f].kind == HD_GP_CHOICE;
        double *squares = fit->slope_row, weight = kernel->weights[f], value = column[i], sum;
        for (uint32_t k = 0; k < i; k++) {
            double offset = column[k] - value;
            squares[k] = choice ? (offset != 0 ? weight : 0) : offset * offset;
        }
        hd_dot(row, squares, i, &sum);
        gradient[fit->shape->features[f].scale] += sum;
    }
}

static double add_priors(const struct fit *fit, const double *hyper, double *gradient)
{
    double sum = 0;
    for (uint32_t i = 0; i < HD_GP_HYPER_COUNT(fit->shape); i++) {
        struct prior prior = prior_of(fit->shape, i);
        double z = (hyper[i] - prior.mode) / prior.deviation;
        sum += z * z / 2;
        if (gradient != NULL)
            gradient[i] += z / prior.deviation;
    }
    return sum;
}

/* gradient may be NULL. */
static double objective(struct fit *fit, const double *hyper, double *gradient)
{
    uint32_t n = fit->data->count, hypers = HD_GP_HYPER_COUNT(fit->shape);
    hd_kernel_set(&fit->kernel, fit->shape, hyper);
    for (uint32_t i = 0; i < n; i++) {
        fit->gaps[i] = hd_kernel_gap(&fit->kernel, fit->data->fidelities[i]);
        fit->gap_slopes[i] = hd_kernel_gap_slope(&fit->kernel, fit->data->fidelities[i]);
    }
    factorize(fit);
    memset(fit->lanes, 0, (size_t)n * LANES * sizeof(double));
    for (uint32_t i = 0; i < n; i++)
        for (uint32_t s = 0; s < fit->functions; s++)
            fit->lanes[(size_t)i * LANES + s] = fit->data->targets[s * n + i];
    hd_solve_forward(fit->triangle, fit->inverses, 0, 0, n, fit->lanes);
    double value = 0.5 * n * fit->functions * LOG_TWO_PI;
    for (uint32_t i = 0; i < n; i++) {
        for (uint32_t s = 0; s < fit->functions; s++) {
            double z = fit->lanes[(size_t)i * LANES + s];
            fit->alphas[s * n + i] = z;
            value += 0.5 * z * z;
        }
        value -= fit->functions * log(fit->inverses[i]);
    }
    if (gradient != NULL) {
        memset(gradient, 0, hypers * sizeof(double));
        for (uint32_t s = 0; s < fit->functions; s++)
            hd_solve_backward(fit->triangle, fit->inverses, n, fit->alphas + s * n);
        invert(fit);
        for (uint32_t i = 0; i < n; i++)
            add_row_gradient(fit, i, gradient);
    }
    return value + add_priors(fit, hyper, gradient);
}

enum hd_code hd_gp_objective(const struct hd_gp_shape *shape, const struct hd_gp_data *data,
                             const double *hyper, double *ret_value, double *ret_gradient,
                             struct hd_err *err)
{
    struct fit fit;
    enum hd_code code = fit_init(&fit, shape, data, err);
    if (code != HD_OK)
        return code;
    *ret_value = objective(&fit, hyper, ret_gradient);
    fit_release(&fit);
    return HD_OK;
}

/* ---- the fit ------------------------------------------------------------------------------- */

/* The search moves in deviations of the priors, squeezed softly into DEVIATIONS_MAX. */
static double squeeze(double x, double *ret_slope)
{
    double t = tanh(x / DEVIATIONS_MAX);
    *ret_slope = 1 - t * t;
    return DEVIATIONS_MAX * t;
}

static uint32_t searched_count(const struct fit *fit)
{
    uint32_t unused = fit->gapped ? 0 : HD_GP_TAIL_COUNT - HD_GP_GAP_SIGNAL;
    return HD_GP_HYPER_COUNT(fit->shape) - unused;
}

static double searched(const double *x, double *ret_gradient, void *data)
{
    struct fit *fit = data;
    double slope;
    hd_gp_hyper_default(fit->shape, fit->hyper);
    for (uint32_t i = 0; i < searched_count(fit); i++)
        fit->hyper[i] += squeeze(x[i], &slope) * prior_of(fit->shape, i).deviation;
    double value = objective(fit, fit->hyper, fit->full_gradient);
    for (uint32_t i = 0; i < searched_count(fit); i++) {
        (void)squeeze(x[i], &slope);
        ret_gradient[i] = fit->full_gradient[i] * slope * prior_of(fit->shape, i).deviation;
    }
    return value;
}

enum hd_code hd_gp_fit(const struct hd_gp_shape *shape, const struct hd_gp_data *data,
                       uint32_t steps_max, double *ret_hyper, struct hd_err *err)
{
    struct fit fit;
    enum hd_code code = fit_init(&fit, shape, data, err);
    if (code != HD_OK)
        return code;
    double *x = array(HD_GP_HYPER_COUNT(shape));
    code = x == NULL
               ? hd_fail(err, HD_E_NOMEM, "no memory for a fit")
               : hd_minimize(searched, &fit, searched_count(&fit), steps_max, TOLERANCE, x, err);
    if (code == HD_OK) {
        double slope;
        hd_gp_hyper_default(shape, ret_hyper);
        for (uint32_t i = 0; i < searched_count(&fit); i++)
            ret_hyper[i] += squeeze(x[i], &slope) * prior_of(shape, i).deviation;
    }
    hd_free(x);
    fit_release(&fit);
    return code;
}
