/* SPDX-License-Identifier: Apache-2.0 */
/*
 * parzen.c: see parzen.h.
 *
 * Split, kernels and their mixture: Bergstra et al. 2011; one mixture index for all dimensions
 * (multivariate): Falkner et al. 2018; weights of the good by improvement, uniform prior and failed
 * results among the bad: Watanabe 2023. Ours: the bandwidths and the sampled bad set.
 */
#include "parzen.h"

#include <math.h>

#define SQRT_HALF 0.70710678118654752440
#define MASKED (-1e30f)
#define KERNELS_MAX (HD_PARZEN_BAD_MAX + 2 * HD_PARZEN_EXTRA_MAX)
/* A normal draw lands in [0, 1] at least every third time (centre 0.5, deviation 1). */
#define DRAWS_MAX 32
/* Wide draws: their part of the candidates rises with the dimension; see struct manner. */
#define WIDE_DIMENSION 24.0
#define WIDE_PART_MAX (2.0 / 3)
#define WIDE_FACTOR 2.5
#define CROSSED_PART 0.8

/* Deviation of good kernels: the spread of the good configs, shrunk towards a usual spread as if
 * SPREAD_COUNT more of them had that one: two or three good ones say little. The usual spread rises
 * a little with the dimension, falls as results come in, and the usual n^(-1/(d+4)) is applied. */
#define SPREAD 0.28
#define SPREAD_RISE 0.004 /* a dimension */
#define SPREAD_MAX 0.4
#define SPREAD_COUNT 4.0
#define SPREAD_FALL (-0.2)
#define SPREAD_FALL_FROM 10.0
#define GOOD_SIGMA_MIN 0.01
/* Deviation of bad kernels: Scott's rule, in steps of an eighth of an octave so that the log norms
 * can be kept, and never so narrow that holes open between them. */
#define BAD_SCOTT 1.06
#define BAD_SIGMA_MIN 0.03
#define SIGMA_STEPS 8.0
/* No deviation is below this part of a level: a narrower kernel would be its own level alone. */
#define LEVEL_SIGMA_MIN 0.5

enum hd_code hd_parzen_init(struct hd_parzen *parzen, const struct hd_history *history,
                            struct hd_err *err)
{
    size_t dimension = history->dimension;
    *parzen = (struct hd_parzen){.history = history};
    parzen->axes = hd_calloc(dimension + 1, sizeof(*parzen->axes));
    parzen->norms = hd_calloc(dimension + 1, sizeof(*parzen->norms));
    parzen->sums = hd_calloc(dimension + 1, sizeof(double));
    parzen->square_sums = hd_calloc(dimension + 1, sizeof(double));
    parzen->counts = hd_calloc(dimension + 1, sizeof(double));
    parzen->penalties = hd_calloc(KERNELS_MAX, sizeof(float));
    if (parzen->axes == NULL || parzen->norms == NULL || parzen->sums == NULL ||
        parzen->square_sums == NULL || parzen->counts == NULL || parzen->penalties == NULL) {
        hd_parzen_release(parzen);
        return hd_fail(err, HD_E_NOMEM, "no memory for a model of %zu dimensions", dimension);
    }
    for (size_t d = 0; d < dimension; d++)
        hd_axis_init(&parzen->axes[d], &history->space->params[history->params[d]]);
    hd_density_init(&parzen->good, parzen->axes, dimension);
    hd_density_init(&parzen->bad, parzen->axes, dimension);
    return HD_OK;
}

void hd_parzen_release(struct hd_parzen *parzen)
{
    hd_density_release(&parzen->good);
    hd_density_release(&parzen->bad);
    hd_free(parzen->axes);
    hd_free(parzen->norms);
    hd_free(parzen->sums);
    hd_free(parzen->square_sums);
    hd_free(parzen->counts);
    hd_free(parzen->penalties);
    *parzen = (struct hd_parzen){0};
}

static void set_centres(const struct hd_parzen *parzen, struct hd_density *density, size_t kernel,
                        uint32_t config_number)
{
    const float *row = hd_history_units(parzen->history, config_number);
    for (size_t d = 0; d < density->dimension; d++)
        *hd_density_centre(density, kernel, d) = row[d];
}

/* The uniform component: a product of 1 for numbers and 1 / choices, without optional ones. */
static double log_uniform(const struct hd_parzen *parzen)
{
    double sum = 0;
    for (size_t d = 0; d < parzen->history->dimension; d++)
        sum -=
            parzen->axes[d].choice && !parzen->axes[d].optional ? log(parzen->axes[d].levels) : 0;
    return sum;
}

static double sigma_in_bounds(const struct hd_axis *axis, double sigma, double sigma_min)
{
    double level_min = LEVEL_SIGMA_MIN * axis->width_min;
    sigma_min = level_min > sigma_min ? level_min : sigma_min;
    sigma = sigma > sigma_min ? sigma : sigma_min;
    return sigma < HD_DENSITY_SIGMA_MAX ? sigma : HD_DENSITY_SIGMA_MAX;
}

/* ---- good ------------------------------------------------------------------------------------ */

/* By how much each good one is better than the best bad one, with sum count; all equal where that
 * says nothing (a constant objective, losses beyond what a double can subtract). */
static void weigh_by_improvement(const struct hd_history_rung *rung, size_t count,
                                 double *ret_weights)
{
    size_t bound = count < rung->best_count ? count : count - 1;
    double bound_loss = rung->told[rung->best[bound]].loss, sum = 0;
    for (size_t k = 0; k < count; k++) {
        double improvement = bound_loss - rung->told[rung->best[k]].loss;
        ret_weights[k] = improvement > 1e-12 ? improvement : 1e-12;
        sum += ret_weights[k];
    }
    for (size_t k = 0; k < count; k++)
        ret_weights[k] = isfinite(sum) ? ret_weights[k] / sum * (double)count : 1;
}

/* Over the good ones that have a value there. */
static double good_sigma(const struct hd_parzen *parzen, size_t d, double told_count)
{
    double mean = 0, squares = 0, count = 0;
    for (size_t k = 0; k < parzen->good.count; k++) {
        double centre = (double)*hd_density_centre(&parzen->good, k, d);
        mean += isnan(centre) ? 0 : centre;
        count += isnan(centre) ? 0 : 1;
    }
    if (count == 0)
        return HD_DENSITY_SIGMA_MAX;
    mean /= count;
    for (size_t k = 0; k < parzen->good.count; k++) {
        double offset = (double)*hd_density_centre(&parzen->good, k, d) - mean;
        squares += isnan(offset) ? 0 : offset * offset;
    }
    double usual = SPREAD + SPREAD_RISE * (double)parzen->history->dimension;
    usual = usual < SPREAD_MAX ? usual : SPREAD_MAX;
    double spread = usual * pow(told_count / SPREAD_FALL_FROM, SPREAD_FALL);
    double variance = (squares + SPREAD_COUNT * spread * spread) / (count - 1 + SPREAD_COUNT);
    double narrowing = pow(count, -1 / (4 + (double)parzen->history->dimension));
    return sigma_in_bounds(&parzen->axes[d], sqrt(variance) * narrowing, GOOD_SIGMA_MIN);
}

static void spread_good(struct hd_parzen *parzen, double told_count, double *log_weights)
{
    struct hd_density *good = &parzen->good;
    for (size_t d = 0; d < good->dimension; d++) {
        const struct hd_axis *axis = &parzen->axes[d];
        if (axis->choice)
            continue;
        double sigma = good_sigma(parzen, d, told_count);
        good->scales[d] = (float)(SQRT_HALF / sigma);
        for (size_t k = 0; k < good->count; k++) {
            double centre = (double)*hd_density_centre(good, k, d);
            double norm = isnan(centre) ? 0 : hd_axis_log_norm(axis, centre, sigma);
            if (axis->optional)
                *hd_density_norm(good, k, d) = (float)norm;
            else
                log_weights[k] -= norm;
        }
    }
}

static enum hd_code build_good(struct hd_parzen *parzen, const struct hd_parzen_settings *settings,
                               const struct hd_history_rung *rung, size_t count, struct hd_err *err)
{
    struct hd_density *good = &parzen->good;
    double weights[HD_HISTORY_BEST_MAX], log_weights[HD_HISTORY_BEST_MAX], cumulative = 0;
    enum hd_code code = hd_density_reserve(good, count, err);
    if (code != HD_OK)
        return code;
    hd_density_resize(good, count);
    weigh_by_improvement(rung, count, weights);
    double total = (double)count + settings->prior_weight;
    for (size_t k = 0; k < count; k++) {
        set_centres(parzen, good, k, rung->told[rung->best[k]].config_number);
        log_weights[k] = log(weights[k] / total);
        cumulative += weights[k] / total;
        parzen->good_cumulative[k] = cumulative;
    }
    good->log_prior = log(settings->prior_weight / total) + log_uniform(parzen);
    hd_density_set_choices(good, (double)count);
    spread_good(parzen, (double)rung->told_count, log_weights);
    for (size_t k = 0; k < count; k++)
        good->log_weights[k] = (float)log_weights[k] - hd_density_square(good, k);
    return HD_OK;
}

/* ---- bad ------------------------------------------------------------------------------------- */

/* Which result stands for this block: anyone of it, by a hash. */
static uint32_t representative(uint32_t block, uint32_t shift)
{
    uint64_t hash = hd_hash_u64(HD_HASH_INIT, (uint64_t)block << 8 | shift);
    return (block << shift) + (uint32_t)((hash >> 24) & ((UINT64_C(1) << shift) - 1));
}

/* The kernels of bad: blocks of results, then results after the last full block, then pending. */
struct layout {
    uint32_t shift;
    size_t blocks;
    size_t tail_first, tail_count; /* results */
    size_t pending_first, pending_count;
    size_t count;
};

static struct layout lay_out(const struct hd_parzen *parzen, const struct hd_history_rung *rung)
{
    struct layout layout = {0};
    size_t told = rung->told_count, pending = parzen->history->pending_count;
    while (told >> layout.shift > HD_PARZEN_BAD_MAX)
        layout.shift++;
    layout.blocks = told >> layout.shift;
    layout.tail_count = told - (layout.blocks << layout.shift);
    if (layout.tail_count > HD_PARZEN_EXTRA_MAX)
        layout.tail_count = HD_PARZEN_EXTRA_MAX;
    layout.tail_first = told - layout.tail_count;
    layout.pending_count = pending < HD_PARZEN_EXTRA_MAX ? pending : HD_PARZEN_EXTRA_MAX;
    layout.pending_first = pending - layout.pending_count;
    layout.count = layout.blocks + layout.tail_count + layout.pending_count;
    return layout;
}

static void append_blocks(struct hd_parzen *parzen, const struct hd_history_rung *rung,
                          const struct layout *layout)
{
    struct hd_density *bad = &parzen->bad;
    if (parzen->rung != rung || parzen->block_shift != layout->shift) {
        parzen->block_count = parzen->penalty_count = 0;
        for (size_t d = 0; d < bad->dimension; d++)
            parzen->sums[d] = parzen->square_sums[d] = parzen->counts[d] = 0;
    }
    parzen->rung = rung;
    parzen->block_shift = layout->shift;
    for (size_t k = parzen->block_count; k < layout->blocks; k++) {
        uint32_t index = representative((uint32_t)k, layout->shift);
        set_centres(parzen, bad, k, rung->told[index].config_number);
        for (size_t d = 0; d < bad->dimension; d++) {
            double centre = (double)*hd_density_centre(bad, k, d);
            if (isnan(centre))
                continue;
            parzen->sums[d] += centre;
            parzen->square_sums[d] += centre * centre;
            parzen->counts[d]++;
        }
    }
    parzen->block_count = layout->blocks;
}

static void append_extras(struct hd_parzen *parzen, const struct hd_history_rung *rung,
                          const struct layout *layout)
{
    size_t k = layout->blocks;
    for (size_t i = 0; i < layout->tail_count; i++)
        set_centres(parzen, &parzen->bad, k++, rung->told[layout->tail_first + i].config_number);
    for (size_t i = 0; i < layout->pending_count; i++)
        set_centres(parzen, &parzen->bad, k++, parzen->history->pending[layout->pending_first + i]);
}

static double bad_sigma(const struct hd_parzen *parzen, size_t d, const struct layout *layout)
{
    double sum = parzen->sums[d], squares = parzen->square_sums[d], count = parzen->counts[d];
    for (size_t k = layout->blocks; k < layout->count; k++) {
        double centre = (double)*hd_density_centre(&parzen->bad, k, d);
        if (isnan(centre))
            continue;
        sum += centre;
        squares += centre * centre;
        count++;
    }
    if (count == 0)
        return HD_DENSITY_SIGMA_MAX;
    double variance = squares / count - sum / count * (sum / count);
    double sigma = BAD_SCOTT * sqrt(variance > 0 ? variance : 0) *
                   pow(count, -1 / (4 + (double)parzen->history->dimension));
    sigma = sigma_in_bounds(&parzen->axes[d], sigma, BAD_SIGMA_MIN);
    return exp2(rint(log2(sigma) * SIGMA_STEPS) / SIGMA_STEPS);
}

static void update_norms(const struct hd_axis *axis, struct hd_parzen_norms *norms, double sigma)
{
    norms->sigma = sigma;
    for (size_t i = 0; i < HD_PARZEN_NORM_POINTS; i++) {
        double centre = (double)i / (HD_PARZEN_NORM_POINTS - 1);
        norms->at[i] = (float)hd_axis_log_norm(axis, centre, sigma);
    }
}

static float log_norm_at(const struct hd_parzen_norms *norms, float centre)
{
    if (isnan(centre))
        return 0;
    float at = centre * (float)(HD_PARZEN_NORM_POINTS - 1);
    int32_t left = (int32_t)at, last = (int32_t)HD_PARZEN_NORM_POINTS - 2;
    left = left < last ? left : last;
    return norms->at[left] + (at - (float)left) * (norms->at[left + 1] - norms->at[left]);
}

static float kernel_log_norm(struct hd_parzen *parzen, size_t kernel)
{
    float sum = 0;
    for (size_t d = 0; d < parzen->bad.dimension; d++) {
        if (parzen->axes[d].choice)
            continue;
        float norm = log_norm_at(&parzen->norms[d], *hd_density_centre(&parzen->bad, kernel, d));
        if (parzen->axes[d].optional)
            *hd_density_norm(&parzen->bad, kernel, d) = norm;
        else
            sum += norm;
    }
    return sum;
}

/* Sets the deviations, and penalties[k]: what kernel k's log weight is lowered by. Those of blocks
 * stay as long as no deviation moves to another step. */
static void spread_bad(struct hd_parzen *parzen, const struct layout *layout)
{
    struct hd_density *bad = &parzen->bad;
    for (size_t d = 0; d < bad->dimension; d++) {
        if (parzen->axes[d].choice)
            continue;
        double sigma = bad_sigma(parzen, d, layout);
        if (sigma == parzen->norms[d].sigma)
            continue;
        update_norms(&parzen->axes[d], &parzen->norms[d], sigma);
        bad->scales[d] = (float)(SQRT_HALF / sigma);
        parzen->penalty_count = 0;
    }
    for (size_t k = parzen->penalty_count; k < layout->count; k++)
        parzen->penalties[k] = kernel_log_norm(parzen, k) + hd_density_square(bad, k);
    parzen->penalty_count = layout->blocks;
}

/* The good ones have kernels among the blocks or the tail; they are taken out here. */
static void mask_good(struct hd_parzen *parzen, const struct hd_history_rung *rung,
                      const struct layout *layout, size_t good_count)
{
    for (size_t i = 0; i < good_count; i++) {
        uint32_t index = rung->best[i], block = index >> layout->shift;
        if (block < layout->blocks && representative(block, layout->shift) == index)
            parzen->bad.log_weights[block] = MASKED;
        if (index >= layout->tail_first)
            parzen->bad.log_weights[layout->blocks + index - layout->tail_first] = MASKED;
    }
}

static enum hd_code build_bad(struct hd_parzen *parzen, const struct hd_parzen_settings *settings,
                              const struct hd_history_rung *rung, size_t good_count,
                              struct hd_err *err)
{
    struct hd_density *bad = &parzen->bad;
    struct layout layout = lay_out(parzen, rung);
    hd_assert(layout.count <= KERNELS_MAX);
    enum hd_code code = hd_density_reserve(bad, layout.count, err);
    if (code != HD_OK)
        return code;
    append_blocks(parzen, rung, &layout);
    append_extras(parzen, rung, &layout);
    hd_density_resize(bad, layout.count);
    double total = (double)(layout.blocks << layout.shift) +
                   (double)(layout.tail_count + layout.pending_count) - (double)good_count +
                   settings->prior_weight;
    float of_block = (float)log((double)(UINT64_C(1) << layout.shift) / total);
    float of_one = (float)log(1 / total);
    bad->log_prior = log(settings->prior_weight / total) + log_uniform(parzen);
    hd_density_set_choices(bad, total);
    spread_bad(parzen, &layout);
    for (size_t k = 0; k < layout.count; k++)
        bad->log_weights[k] = (k < layout.blocks ? of_block : of_one) - parzen->penalties[k];
    mask_good(parzen, rung, &layout, good_count);
    return HD_OK;
}

/* ---- both ------------------------------------------------------------------------------------ */

enum hd_code hd_parzen_build(struct hd_parzen *parzen, const struct hd_parzen_settings *settings,
                             const struct hd_history_rung *rung, struct hd_err *err)
{
    hd_assert(rung->finite_count >= 2 && settings->gamma_max < HD_HISTORY_BEST_MAX);
    double wanted = ceil(settings->gamma * (double)rung->told_count);
    wanted = wanted < settings->gamma_max ? wanted : settings->gamma_max;
    /* At least one finite result stays bad, as the bound that the good ones improve on. */
    size_t count = wanted < (double)rung->finite_count ? (size_t)wanted : rung->finite_count - 1;
    enum hd_code code = build_good(parzen, settings, rung, count, err);
    if (code == HD_OK)
        code = build_bad(parzen, settings, rung, count, err);
    return code;
}

/* How a candidate is drawn. All are judged by the same densities, so that a manner that does not
 * help costs no more than its share of the candidates. */
struct manner {
    bool crossed; /* each coordinate comes from a component of its own: good parts are recombined */
    bool wide;    /* broader steps, that end at the border of the cube rather than start again: with
                   * many params a config with some of them at their ends is never drawn otherwise */
};

static double draw_number(const struct hd_density *good, size_t d, size_t kernel, bool wide,
                          struct hd_rng *rng)
{
    double centre = (double)*hd_density_centre(good, kernel, d);
    double sigma = SQRT_HALF / (double)good->scales[d];
    if (wide) {
        double x = centre + WIDE_FACTOR * sigma * hd_rng_normal(rng);
        return x < 0 ? 0 : x > 1 ? 1 : x;
    }
    for (int draw = 0; draw < DRAWS_MAX; draw++) {
        double x = centre + sigma * hd_rng_normal(rng);
        if (x >= 0 && x < 1)
            return x;
    }
    return hd_rng_double(rng);
}

/* Keeping with the surplus of `same` over `other`, and else any choice, has the kernel's odds. */
static double draw_choice(const struct hd_density *good, size_t d, size_t kernel,
                          struct hd_rng *rng)
{
    double keep = exp((double)good->log_same[d]) - exp((double)good->log_other[d]);
    if (hd_rng_double(rng) < keep)
        return (double)*hd_density_centre(good, kernel, d);
    return hd_rng_double(rng);
}

static size_t draw_component(const struct hd_parzen *parzen, struct hd_rng *rng)
{
    double part = hd_rng_double(rng);
    size_t kernel = 0;
    while (kernel < parzen->good.count && part >= parzen->good_cumulative[kernel])
        kernel++;
    return kernel;
}

static struct manner draw_manner(const struct hd_parzen *parzen, struct hd_rng *rng)
{
    double wide = (double)parzen->history->dimension / WIDE_DIMENSION;
    wide = wide < WIDE_PART_MAX ? wide : WIDE_PART_MAX;
    struct manner manner = {.crossed = hd_rng_double(rng) < CROSSED_PART};
    manner.wide = hd_rng_double(rng) < wide;
    return manner;
}

void hd_parzen_draw(const struct hd_parzen *parzen, struct hd_rng *rng, double *ret_point)
{
    const struct hd_density *good = &parzen->good;
    struct manner manner = draw_manner(parzen, rng);
    size_t kernel = draw_component(parzen, rng);
    for (size_t d = 0; d < good->dimension; d++) {
        double x;
        if (manner.crossed)
            kernel = draw_component(parzen, rng);
        if (kernel == good->count || isnan(*hd_density_centre(good, kernel, d)))
            x = hd_rng_double(rng);
        else if (parzen->axes[d].choice)
            x = draw_choice(good, d, kernel, rng);
        else
            x = draw_number(good, d, kernel, manner.wide, rng);
        ret_point[d] = hd_axis_snap(&parzen->axes[d], x);
    }
}

double hd_parzen_score(const struct hd_parzen *parzen, const float *point)
{
    return hd_density_log(&parzen->good, point) - hd_density_log(&parzen->bad, point);
}
