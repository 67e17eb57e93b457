/* SPDX-License-Identifier: Apache-2.0 */
/* density.c: see density.h. The loops are written with vector types, so that gcc and clang use
 * the machine's lanes without being allowed to reorder sums. */
#include "density.h"

#include <math.h>
#include <string.h>

#define LANES 4u
#define VECTORS (HD_DENSITY_BLOCK / LANES)
#define SQRT_HALF 0.70710678118654752440
#define LOG_SQRT_TWO_PI 0.91893853320467274178
#define NO_WEIGHT (-1e30f)
#define MIDDLE 0.5f

typedef float lanes_f __attribute__((vector_size(16)));
typedef int32_t lanes_i __attribute__((vector_size(16)));

/* ---- axes ------------------------------------------------------------------------------------ */

void hd_axis_init(struct hd_axis *axis, const struct hd_param *param)
{
    double levels = hd_param_levels(param);
    *axis = (struct hd_axis){.param = param, .levels = levels};
    axis->optional = param->condition_count > 0;
    axis->choice = param->kind == HD_PARAM_CATEGORICAL || param->kind == HD_PARAM_BOOL;
    if (axis->choice || isinf(levels))
        return;
    double low, high;
    hd_param_level_range(param, hd_param_level_value(param, levels - 1), &low, &high);
    axis->width_min = high - low;
    if (levels > HD_DENSITY_GRID_MAX)
        return;
    axis->grid_count = (size_t)levels;
    for (size_t i = 0; i < axis->grid_count; i++) {
        hd_param_level_range(param, hd_param_level_value(param, (double)i), &low, &high);
        axis->grid[i] = (float)((low + high) / 2);
        axis->grid_width[i] = (float)(high - low);
        axis->width_min = high - low < axis->width_min ? high - low : axis->width_min;
    }
}

double hd_axis_snap(const struct hd_axis *axis, double unit)
{
    if (isinf(axis->levels))
        return unit;
    return hd_param_to_unit(axis->param, hd_param_from_unit(axis->param, unit));
}

double hd_axis_log_norm(const struct hd_axis *axis, double centre, double sigma)
{
    double factor = SQRT_HALF / sigma;
    if (axis->grid_count == 0) {
        double mass = 0.5 * (erfc((0 - centre) * factor) - erfc((1 - centre) * factor));
        return log(mass) + log(sigma) + LOG_SQRT_TWO_PI;
    }
    double sum = 0;
    for (size_t i = 0; i < axis->grid_count; i++) {
        double z = ((double)axis->grid[i] - centre) * factor;
        sum += (double)axis->grid_width[i] * exp(-z * z);
    }
    return log(sum);
}

/* Optional numbers are evaluated as they stand, since a kernel or a point may lack them. */
static bool is_expanded(const struct hd_axis *axis)
{
    return !axis->choice && !axis->optional;
}

float hd_density_square(const struct hd_density *density, size_t kernel)
{
    float sum = 0;
    for (size_t d = 0; d < density->dimension; d++) {
        float z = (*hd_density_centre(density, kernel, d) - MIDDLE) * density->scales[d];
        sum += is_expanded(&density->axes[d]) ? z * z : 0;
    }
    return sum;
}

/* ---- memory ---------------------------------------------------------------------------------- */

void hd_density_init(struct hd_density *density, const struct hd_axis *axes, size_t dimension)
{
    *density = (struct hd_density){.axes = axes, .dimension = dimension};
}

void hd_density_release(struct hd_density *density)
{
    hd_free(density->centres);
    hd_free(density->norms);
    hd_free(density->scales);
    hd_free(density->log_weights);
    hd_free(density->log_same);
    hd_free(density->log_other);
    hd_free(density->terms);
    hd_free(density->slopes);
    *density = (struct hd_density){0};
}

/* What does not grow: one number a dimension. */
static enum hd_code reserve_axes(struct hd_density *density, struct hd_err *err)
{
    if (density->scales != NULL)
        return HD_OK;
    size_t row = density->dimension + 1;
    density->log_same = hd_calloc(row, sizeof(float));
    density->log_other = hd_calloc(row, sizeof(float));
    density->scales = hd_calloc(row, sizeof(float));
    density->slopes = hd_calloc(row, sizeof(float));
    if (density->log_same != NULL && density->log_other != NULL && density->scales != NULL &&
        density->slopes != NULL)
        return HD_OK;
    hd_free(density->log_same);
    hd_free(density->log_other);
    hd_free(density->scales);
    hd_free(density->slopes);
    density->log_same = density->log_other = density->scales = density->slopes = NULL;
    return hd_fail(err, HD_E_NOMEM, "no memory for a density");
}

static bool has_optional_numbers(const struct hd_density *density)
{
    for (size_t d = 0; d < density->dimension; d++) {
        if (density->axes[d].optional && !density->axes[d].choice)
            return true;
    }
    return false;
}

enum hd_code hd_density_reserve(struct hd_density *density, size_t count, struct hd_err *err)
{
    size_t capacity = density->capacity != 0 ? density->capacity : 64;
    while (capacity < count)
        capacity *= 2;
    enum hd_code code = reserve_axes(density, err);
    if (code != HD_OK || density->capacity >= capacity)
        return code;
    /* Whole blocks only, so that the old ones are a prefix of the new ones. Each array that grew
     * before a failure is merely larger than capacity says. */
    size_t table = capacity * (density->dimension + 1) * sizeof(float);
    float *centres = hd_realloc(density->centres, table);
    density->centres = centres != NULL ? centres : density->centres;
    bool optional = has_optional_numbers(density);
    float *norms = optional ? hd_realloc(density->norms, table) : NULL;
    density->norms = norms != NULL ? norms : density->norms;
    float *log_weights = hd_realloc(density->log_weights, capacity * sizeof(float));
    density->log_weights = log_weights != NULL ? log_weights : density->log_weights;
    float *terms = hd_realloc(density->terms, capacity * sizeof(float));
    density->terms = terms != NULL ? terms : density->terms;
    if (centres == NULL || log_weights == NULL || terms == NULL || (optional && norms == NULL))
        return hd_fail(err, HD_E_NOMEM, "no memory for a density of %zu kernels", count);
    density->capacity = capacity;
    return HD_OK;
}

void hd_density_resize(struct hd_density *density, size_t count)
{
    hd_assert(count <= density->capacity);
    density->count = count;
    for (size_t k = count; k % HD_DENSITY_BLOCK != 0; k++) {
        density->log_weights[k] = NO_WEIGHT;
        for (size_t d = 0; d < density->dimension; d++) {
            *hd_density_centre(density, k, d) = 0;
            if (density->norms != NULL)
                *hd_density_norm(density, k, d) = 0;
        }
    }
}

void hd_density_set_choices(struct hd_density *density, double kernel_count)
{
    double smoothing = 1 / (kernel_count + 1);
    for (size_t d = 0; d < density->dimension; d++) {
        double levels = density->axes[d].levels;
        if (!density->axes[d].choice)
            continue;
        density->log_same[d] = (float)log((1 + smoothing) / (1 + levels * smoothing));
        density->log_other[d] = (float)log(smoothing / (1 + levels * smoothing));
    }
}

/* ---- evaluation ------------------------------------------------------------------------------ */

static inline lanes_f load(const float *at)
{
    lanes_f v;
    memcpy(&v, at, sizeof(v));
    return v;
}

static inline lanes_f all(float x)
{
    return (lanes_f){x, x, x, x};
}

static inline lanes_f choose(lanes_i mask, lanes_f yes, lanes_f no)
{
    return (lanes_f)((mask & (lanes_i)yes) | (~mask & (lanes_i)no));
}

/* e^x for x <= 0 to about 2e-7 relative; below -87 it is e^-87. With x = n ln 2 + r and
 * |r| <= ln(2) / 2 seven terms of the series of e^r suffice; ln 2 is taken off in two parts. */
static inline lanes_f exp_lanes(lanes_f x)
{
    x = choose(x < all(-87.0f), all(-87.0f), x);
    const lanes_f round = all(12582912.0f); /* 1.5 * 2^23: adding it rounds to a whole number */
    lanes_f shifted = x * all(1.44269504f) + round;
    lanes_f whole = shifted - round;
    lanes_f r = x - whole * all(0.693359375f) - whole * all(-2.12194440e-4f);
    lanes_f p = all(1.0f / 720);
    p = p * r + all(1.0f / 120);
    p = p * r + all(1.0f / 24);
    p = p * r + all(1.0f / 6);
    p = p * r + all(0.5f);
    p = p * r + all(1.0f);
    p = p * r + all(1.0f);
    lanes_i exponent = (lanes_i)shifted - (lanes_i)round;
    return (lanes_f)((lanes_i)p + (exponent << 23));
}

/* A block of kernels, kept in registers while all dimensions pass. */
struct block {
    lanes_f sums[VECTORS];
};

static inline void add_numeric(struct block *block, const float *centres, float factor)
{
    lanes_f slope = all(factor), middle = all(MIDDLE);
    for (size_t i = 0; i < VECTORS; i++)
        block->sums[i] += (load(centres + i * LANES) - middle) * slope;
}

static inline void add_choice(struct block *block, const float *centres, float x, float log_same,
                              float log_other)
{
    lanes_f point = all(x), same = all(log_same), other = all(log_other);
    for (size_t i = 0; i < VECTORS; i++)
        block->sums[i] += choose(load(centres + i * LANES) == point, same, other);
}

/* Of a param that may be inactive: a kernel without a value is uniform. The point has a value. */
static void add_optional(const struct hd_density *density, struct block *block, size_t k, size_t d,
                         float x)
{
    const struct hd_axis *axis = &density->axes[d];
    const float *centres = hd_density_centre(density, k, d);
    lanes_f point = all(x), scale = all(density->scales[d]);
    lanes_f same = all(density->log_same[d]), other = all(density->log_other[d]);
    lanes_f uniform = all(axis->choice ? -(float)log(axis->levels) : 0);
    for (size_t i = 0; i < VECTORS; i++) {
        lanes_f centre = load(centres + i * LANES), term;
        if (axis->choice) {
            term = choose(centre == point, same, other);
        } else {
            lanes_f z = (point - centre) * scale;
            term = all(0) - z * z - load(hd_density_norm(density, k, d) + i * LANES);
        }
        block->sums[i] += choose(centre != centre, uniform, term);
    }
}

/* slopes[d]: what a numeric centre is multiplied by, 2 scale^2 (x - middle). */
static inline struct block sum_block(const struct hd_density *density, const float *point,
                                     const float *slopes, size_t k)
{
    struct block block;
    for (size_t i = 0; i < VECTORS; i++)
        block.sums[i] = load(density->log_weights + k + i * LANES);
    const float *centres = hd_density_centre(density, k, 0);
    for (size_t d = 0; d < density->dimension; d++, centres += HD_DENSITY_BLOCK) {
        if (density->axes[d].optional) {
            if (!isnan(point[d]))
                add_optional(density, &block, k, d, point[d]);
        } else if (density->axes[d].choice)
            add_choice(&block, centres, point[d], density->log_same[d], density->log_other[d]);
        else
            add_numeric(&block, centres, slopes[d]);
    }
    return block;
}

/* Fills terms with log(w_k kernel_k(point)) and returns the largest. */
static float fill_terms(const struct hd_density *density, const float *point)
{
    lanes_f top = all(NO_WEIGHT);
    for (size_t d = 0; d < density->dimension; d++)
        density->slopes[d] = 2 * density->scales[d] * density->scales[d] * (point[d] - MIDDLE);
    for (size_t k = 0; k < density->count; k += HD_DENSITY_BLOCK) {
        struct block block = sum_block(density, point, density->slopes, k);
        memcpy(density->terms + k, block.sums, sizeof(block.sums));
        for (size_t i = 0; i < VECTORS; i++)
            top = choose(block.sums[i] > top, block.sums[i], top);
    }
    float most = NO_WEIGHT;
    for (size_t lane = 0; lane < LANES; lane++)
        most = top[lane] > most ? top[lane] : most;
    return most;
}

/* The part of the exponents that depends on the point alone. */
static double point_square(const struct hd_density *density, const float *point)
{
    double sum = 0;
    for (size_t d = 0; d < density->dimension; d++) {
        double z = ((double)point[d] - (double)MIDDLE) * (double)density->scales[d];
        sum += is_expanded(&density->axes[d]) ? z * z : 0;
    }
    return sum;
}

/* What the optional choices of this point add to the uniform log density. */
static double log_optional(const struct hd_density *density, const float *point)
{
    double sum = 0;
    for (size_t d = 0; d < density->dimension; d++) {
        const struct hd_axis *axis = &density->axes[d];
        sum -= axis->optional && axis->choice && !isnan(point[d]) ? log(axis->levels) : 0;
    }
    return sum;
}

double hd_density_log(const struct hd_density *density, const float *point)
{
    double square = point_square(density, point);
    double log_prior = density->log_prior + log_optional(density, point) + square;
    double most = density->count > 0 ? (double)fill_terms(density, point) : (double)NO_WEIGHT;
    most = most > log_prior ? most : log_prior;
    lanes_f sums = all(0), shift = all((float)most);
    for (size_t k = 0; k < density->count; k += LANES) {
        lanes_f x = load(density->terms + k) - shift;
        /* Rounding of the shift may leave the largest a little above 0. */
        sums += exp_lanes(choose(x > all(0), all(0), x));
    }
    double sum = exp(log_prior - most);
    for (size_t lane = 0; lane < LANES; lane++)
        sum += (double)sums[lane];
    return most + log(sum) - square;
}
