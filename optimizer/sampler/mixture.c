/* SPDX-License-Identifier: Apache-2.0 */
/* mixture.c: see mixture.h. Bergstra et al. 2011 (hyperopt); Falkner et al. 2018 (BOHB, with the
 * kernel of Aitchison and Aitken for choices); Watanabe 2023. */
#include "mixture.h"

#include <math.h>
#include <stdlib.h>

#define SQRT_TWO_PI 2.50662827463100050242
#define SQRT_HALF 0.70710678118654752440
#define LOG_LOWEST (-745.0) /* of a double above 0 */
#define PRIOR_CENTRE 0.5
#define PRIOR_SIGMA 1.0
#define DRAWS_MAX 32
#define ISOTROPIC_SIGMA_MIN 0.01

void hd_mixture_init(struct hd_mixture *mixture, const struct hd_history *history,
                     const struct hd_axis *axes)
{
    *mixture =
        (struct hd_mixture){.history = history, .axes = axes, .dimension = history->dimension};
}

void hd_mixture_release(struct hd_mixture *mixture)
{
    hd_free(mixture->centres);
    hd_free(mixture->sigmas);
    hd_free(mixture->norms);
    hd_free(mixture->weights);
    hd_free(mixture->log_weights);
    hd_free(mixture->cumulative);
    hd_free(mixture->terms);
    hd_free(mixture->sorted);
    *mixture = (struct hd_mixture){0};
}

static enum hd_code reserve(struct hd_mixture *mixture, size_t count, struct hd_err *err)
{
    if (count <= mixture->capacity)
        return HD_OK;
    size_t capacity = mixture->capacity != 0 ? mixture->capacity : 64;
    while (capacity < count)
        capacity *= 2;
    struct hd_mixture bigger = *mixture;
    size_t table = capacity * (mixture->dimension + 1);
    bigger.centres = hd_calloc(table, sizeof(float));
    bigger.sigmas = hd_calloc(table, sizeof(float));
    bigger.norms = hd_calloc(table, sizeof(float));
    bigger.weights = hd_calloc(capacity, sizeof(double));
    bigger.log_weights = hd_calloc(capacity, sizeof(double));
    bigger.cumulative = hd_calloc(capacity + 1, sizeof(double));
    bigger.terms = hd_calloc(capacity + 1, sizeof(double));
    bigger.sorted = hd_calloc(capacity + 1, sizeof(float));
    if (bigger.centres == NULL || bigger.sigmas == NULL || bigger.norms == NULL ||
        bigger.weights == NULL || bigger.log_weights == NULL || bigger.cumulative == NULL ||
        bigger.terms == NULL || bigger.sorted == NULL) {
        hd_mixture_release(&bigger);
        return hd_fail(err, HD_E_NOMEM, "no memory for a mixture of %zu kernels", count);
    }
    hd_mixture_release(mixture);
    *mixture = bigger;
    mixture->capacity = capacity;
    return HD_OK;
}

static float *row_of(const struct hd_mixture *mixture, float *table, size_t d)
{
    return table + d * mixture->capacity;
}

static double log_uniform(const struct hd_axis *axis)
{
    return axis->choice ? -log(axis->levels) : 0;
}

/* ---- bandwidths ------------------------------------------------------------------------------ */

static int compare(const void *a, const void *b)
{
    float x = *(const float *)a, y = *(const float *)b;
    return (x > y) - (x < y);
}

static double gap_sigma_min(const struct hd_mixture_rule *rule, size_t count)
{
    double fall = rule->sigma_fall > 0 ? pow((double)count + 2, -rule->sigma_fall) : 0;
    fall = fall > rule->sigma_fall_to ? fall : rule->sigma_fall_to;
    return rule->sigma_min > fall ? rule->sigma_min : fall;
}

/* How many of the sorted ones are below x; or_equal: not above. */
static size_t count_below(const float *sorted, size_t count, float x, bool or_equal)
{
    size_t low = 0, high = count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (sorted[middle] < x || (or_equal && sorted[middle] == x))
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

/* The larger gap beside centre; of equal centres each has the gaps of the whole group. */
static double gap_at(const struct hd_mixture *mixture, size_t count, float centre)
{
    const float *sorted = mixture->sorted;
    size_t first = count_below(sorted, count, centre, false);
    size_t after = count_below(sorted, count, centre, true);
    bool ends = mixture->rule.ends == HD_GAP_ENDS_RANGE;
    double left = ends ? (double)centre : 0, right = ends ? 1 - (double)centre : 0;
    if (first > 0)
        left = (double)(centre - sorted[first - 1]);
    if (after < count)
        right = (double)(sorted[after] - centre);
    return left > right ? left : right;
}

static void set_gap_sigmas(struct hd_mixture *mixture, size_t d)
{
    const float *centres = row_of(mixture, mixture->centres, d);
    float *sigmas = row_of(mixture, mixture->sigmas, d);
    size_t count = 0;
    for (size_t k = 0; k < mixture->count; k++) {
        if (!isnan(centres[k]))
            mixture->sorted[count++] = centres[k];
    }
    double sigma_min = gap_sigma_min(&mixture->rule, count);
    if (mixture->rule.ends == HD_GAP_ENDS_PRIOR)
        mixture->sorted[count++] = (float)PRIOR_CENTRE;
    qsort(mixture->sorted, count, sizeof(float), compare);
    for (size_t k = 0; k < mixture->count; k++) {
        double sigma = PRIOR_SIGMA;
        if (!isnan(centres[k]) && count > 1)
            sigma = gap_at(mixture, count, centres[k]);
        sigma = sigma > sigma_min ? sigma : sigma_min;
        sigmas[k] = (float)(sigma < PRIOR_SIGMA ? sigma : PRIOR_SIGMA);
    }
}

/* Of what has a value; of choices on the unit interval too. */
static double deviation(const struct hd_mixture *mixture, size_t d, size_t *ret_count)
{
    const float *centres = row_of(mixture, mixture->centres, d);
    double sum = 0, squares = 0, count = 0;
    for (size_t k = 0; k < mixture->count; k++) {
        if (isnan(centres[k]))
            continue;
        sum += (double)centres[k];
        squares += (double)centres[k] * (double)centres[k];
        count++;
    }
    *ret_count = (size_t)count;
    double variance = count > 0 ? squares / count - sum / count * (sum / count) : 0;
    return sqrt(variance > 0 ? variance : 0);
}

/* Odds of any other choice against the same one. */
static double aitken_odds(double h, double levels)
{
    double most = (levels - 1) / levels;
    h = h < most ? h : most;
    return h / (levels - 1) / (1 - h);
}

static void set_reference_sigmas(struct hd_mixture *mixture, size_t d)
{
    const struct hd_axis *axis = &mixture->axes[d];
    float *sigmas = row_of(mixture, mixture->sigmas, d);
    size_t count;
    double h = deviation(mixture, d, &count) * (axis->choice ? axis->levels : 1);
    h *= 1.06 * pow(count > 0 ? (double)count : 1, -1 / (4 + (double)mixture->dimension));
    h = h > mixture->rule.sigma_min ? h : mixture->rule.sigma_min;
    for (size_t k = 0; k < mixture->count; k++)
        sigmas[k] = (float)(axis->choice ? aitken_odds(h, axis->levels) : h);
}

/* A choice as the number it is for ISOTROPIC: 0 .. 1 by its index. */
static double isotropic_number(const struct hd_axis *axis, float centre)
{
    if (!axis->choice)
        return (double)centre;
    return ((double)centre * axis->levels - 0.5) / (axis->levels - 1);
}

static void set_isotropic_sigmas(struct hd_mixture *mixture)
{
    double sum = 0, squares = 0, count = 0;
    for (size_t d = 0; d < mixture->dimension; d++) {
        for (size_t k = 0; k < mixture->count; k++) {
            float centre = row_of(mixture, mixture->centres, d)[k];
            double number = isnan(centre) ? 0 : isotropic_number(&mixture->axes[d], centre);
            sum += number;
            squares += number * number;
            count += isnan(centre) ? 0 : 1;
        }
    }
    double variance = count > 1 ? (squares - sum * sum / count) / (count - 1) : 0;
    double h = sqrt(variance > 0 ? variance : 0) * pow((double)mixture->count, -0.2);
    h = h > ISOTROPIC_SIGMA_MIN ? h : ISOTROPIC_SIGMA_MIN;
    for (size_t d = 0; d < mixture->dimension; d++) {
        for (size_t k = 0; k < mixture->count; k++)
            row_of(mixture, mixture->sigmas, d)[k] = (float)h;
    }
}

/* ---- norms ----------------------------------------------------------------------------------- */

/* Turns what sigmas hold of a choice into log odds, and sets the norms. */
static void set_norms(struct hd_mixture *mixture, size_t d)
{
    const struct hd_axis *axis = &mixture->axes[d];
    enum hd_bandwidth bandwidth = mixture->rule.bandwidth;
    float *sigmas = row_of(mixture, mixture->sigmas, d),
          *norms = row_of(mixture, mixture->norms, d);
    for (size_t k = 0; k < mixture->count; k++) {
        float centre = row_of(mixture, mixture->centres, d)[k];
        double sigma = (double)sigmas[k], norm;
        if (isnan(centre)) {
            norm = -log_uniform(axis);
        } else if (axis->choice) {
            /* GAPS: one observation among n + 1 pseudo-counts of 1 / (n + 1) each (joint), or
             * counted as it is (not joint: the prior smoothes). */
            if (bandwidth == HD_BANDWIDTH_GAPS)
                sigma = mixture->rule.joint ? 1 / ((double)mixture->count + 2) : 0;
            else if (bandwidth == HD_BANDWIDTH_ISOTROPIC)
                sigma = exp(-0.5 / (sigma * sigma)); /* they are 1 apart */
            sigmas[k] = (float)(sigma > 0 ? log(sigma) : LOG_LOWEST);
            norm = log1p((axis->levels - 1) * sigma);
        } else if (bandwidth == HD_BANDWIDTH_GAPS) {
            norm = hd_axis_log_norm(axis, (double)centre, sigma);
        } else {
            norm = log(sigma * SQRT_TWO_PI);
        }
        norms[k] = (float)norm;
    }
}

static double kernel_log(const struct hd_mixture *mixture, size_t k, size_t d, double x)
{
    size_t at = d * mixture->capacity + k;
    double centre = (double)mixture->centres[at], norm = (double)mixture->norms[at];
    if (isnan(centre))
        return -norm;
    if (mixture->axes[d].choice)
        return ((float)x == mixture->centres[at] ? 0 : (double)mixture->sigmas[at]) - norm;
    double z = (x - centre) / (double)mixture->sigmas[at];
    return -0.5 * z * z - norm;
}

static double prior_log(const struct hd_mixture *mixture, size_t d, double x)
{
    const struct hd_axis *axis = &mixture->axes[d];
    if (axis->choice)
        return log_uniform(axis);
    double z = (x - PRIOR_CENTRE) / PRIOR_SIGMA;
    return -0.5 * z * z - hd_axis_log_norm(axis, PRIOR_CENTRE, PRIOR_SIGMA);
}

/* ---- fitting --------------------------------------------------------------------------------- */

static void set_weights(struct hd_mixture *mixture, const struct hd_mixture_item *items)
{
    double sum = mixture->prior_weight, before = 0;
    for (size_t k = 0; k < mixture->count; k++)
        sum += items[k].weight;
    for (size_t k = 0; k < mixture->count; k++) {
        mixture->weights[k] = items[k].weight / sum;
        mixture->log_weights[k] = log(mixture->weights[k]);
        before += mixture->weights[k];
        mixture->cumulative[k] = before;
    }
    mixture->prior_weight /= sum;
}

enum hd_code hd_mixture_fit(struct hd_mixture *mixture, const struct hd_mixture_rule *rule,
                            const struct hd_mixture_item *items, size_t count, double prior_weight,
                            struct hd_err *err)
{
    hd_assert(count > 0 || rule->prior);
    enum hd_code code = reserve(mixture, count, err);
    if (code != HD_OK)
        return code;
    mixture->rule = *rule;
    mixture->count = count;
    mixture->prior_weight = rule->prior ? prior_weight : 0;
    set_weights(mixture, items);
    for (size_t k = 0; k < count; k++) {
        const float *units = hd_history_units(mixture->history, items[k].config_number);
        for (size_t d = 0; d < mixture->dimension; d++)
            row_of(mixture, mixture->centres, d)[k] = units[d];
    }
    if (rule->bandwidth == HD_BANDWIDTH_ISOTROPIC)
        set_isotropic_sigmas(mixture);
    for (size_t d = 0; d < mixture->dimension; d++) {
        if (rule->bandwidth == HD_BANDWIDTH_REFERENCE)
            set_reference_sigmas(mixture, d);
        else if (rule->bandwidth == HD_BANDWIDTH_GAPS && !mixture->axes[d].choice)
            set_gap_sigmas(mixture, d);
        set_norms(mixture, d);
    }
    return HD_OK;
}

/* ---- evaluation ------------------------------------------------------------------------------ */

static double log_sum(const double *terms, size_t count)
{
    double most = LOG_LOWEST, sum = 0;
    for (size_t k = 0; k < count; k++)
        most = terms[k] > most ? terms[k] : most;
    for (size_t k = 0; k < count; k++)
        sum += terms[k] - most > LOG_LOWEST ? exp(terms[k] - most) : 0;
    return sum > 0 ? most + log(sum) : LOG_LOWEST;
}

double hd_mixture_log(const struct hd_mixture *mixture, const float *point)
{
    size_t count = mixture->count;
    for (size_t k = 0; k < count; k++)
        mixture->terms[k] = mixture->log_weights[k];
    if (mixture->prior_weight > 0)
        mixture->terms[count] = log(mixture->prior_weight);
    for (size_t d = 0; d < mixture->dimension; d++) {
        if (isnan(point[d]))
            continue;
        for (size_t k = 0; k < count; k++)
            mixture->terms[k] += kernel_log(mixture, k, d, (double)point[d]);
        if (mixture->prior_weight > 0)
            mixture->terms[count] += prior_log(mixture, d, (double)point[d]);
    }
    return log_sum(mixture->terms, count + (mixture->prior_weight > 0 ? 1 : 0));
}

/* Of a choice hyperopt counts the prior once a level. */
static double prior_weight_at(const struct hd_mixture *mixture, size_t d)
{
    const struct hd_axis *axis = &mixture->axes[d];
    return mixture->prior_weight * (axis->choice ? axis->levels : 1);
}

double hd_mixture_log_at(const struct hd_mixture *mixture, size_t d, double x)
{
    const float *centres = mixture->centres + d * mixture->capacity;
    double total = prior_weight_at(mixture, d);
    size_t count = 0;
    if (total > 0)
        mixture->terms[count++] = log(total) + prior_log(mixture, d, x);
    for (size_t k = 0; k < mixture->count; k++) {
        if (isnan(centres[k]))
            continue;
        total += mixture->weights[k];
        mixture->terms[count++] = mixture->log_weights[k] + kernel_log(mixture, k, d, x);
    }
    return count > 0 ? log_sum(mixture->terms, count) - log(total) : log_uniform(&mixture->axes[d]);
}

/* ---- drawing --------------------------------------------------------------------------------- */

size_t hd_mixture_pick(const struct hd_mixture *mixture, struct hd_rng *rng)
{
    double part = hd_rng_double(rng);
    size_t k = 0;
    while (k < mixture->count && part >= mixture->cumulative[k])
        k++;
    /* Without a prior rounding must not make one. */
    return k == mixture->count && mixture->prior_weight <= 0 ? k - 1 : k;
}

size_t hd_mixture_pick_at(const struct hd_mixture *mixture, size_t d, struct hd_rng *rng)
{
    const float *centres = mixture->centres + d * mixture->capacity;
    double total = prior_weight_at(mixture, d), sum = 0;
    for (size_t k = 0; k < mixture->count; k++)
        total += isnan(centres[k]) ? 0 : mixture->weights[k];
    double part = hd_rng_double(rng) * total;
    for (size_t k = 0; k < mixture->count; k++) {
        sum += isnan(centres[k]) ? 0 : mixture->weights[k];
        if (part < sum)
            return k;
    }
    return mixture->count;
}

static double draw_normal(double centre, double sigma, bool bounded, struct hd_rng *rng)
{
    if (!bounded)
        return centre + sigma * hd_rng_normal(rng);
    for (int draw = 0; draw < DRAWS_MAX; draw++) {
        double x = centre + sigma * hd_rng_normal(rng);
        if (x >= 0 && x < 1)
            return x;
    }
    return hd_rng_double(rng);
}

/* ISOTROPIC: a move by less than half the distance between two choices keeps the choice. */
static double draw_isotropic_choice(double centre, double log_odds, double levels, double factor,
                                    struct hd_rng *rng)
{
    if (factor * sqrt(-0.5 / log_odds) * hd_rng_normal(rng) < 0.5)
        return centre;
    double other = centre + (1 + floor(hd_rng_double(rng) * (levels - 1))) / levels;
    return other < 1 ? other : other - 1;
}

static double draw_choice(const struct hd_mixture *mixture, size_t at, double levels, double factor,
                          struct hd_rng *rng)
{
    double centre = (double)mixture->centres[at], log_odds = (double)mixture->sigmas[at];
    double odds = exp(log_odds);
    double others = (levels - 1) * odds, keep = (1 - odds) / (1 + others);
    switch (mixture->rule.bandwidth) {
    case HD_BANDWIDTH_ISOTROPIC:
        return draw_isotropic_choice(centre, log_odds, levels, factor, rng);
    case HD_BANDWIDTH_REFERENCE:
        keep = 1 / (1 + others); /* as BOHB: a uniform draw may give the same one again */
        break;
    case HD_BANDWIDTH_GAPS:
        break;
    }
    return hd_rng_double(rng) < keep ? centre : hd_rng_double(rng);
}

double hd_mixture_draw(const struct hd_mixture *mixture, size_t component, size_t d, double factor,
                       struct hd_rng *rng)
{
    const struct hd_axis *axis = &mixture->axes[d];
    size_t at = d * mixture->capacity + component;
    if (component == mixture->count)
        return axis->choice ? hd_rng_double(rng)
                            : draw_normal(PRIOR_CENTRE, PRIOR_SIGMA, true, rng);
    double centre = (double)mixture->centres[at];
    if (isnan(centre))
        return hd_rng_double(rng);
    if (axis->choice)
        return draw_choice(mixture, at, axis->levels, factor, rng);
    bool bounded = mixture->rule.bandwidth != HD_BANDWIDTH_ISOTROPIC;
    return draw_normal(centre, factor * (double)mixture->sigmas[at], bounded, rng);
}
