/* SPDX-License-Identifier: Apache-2.0 */
/* gp_search.c: acquisition functions and their maximisation. */
#include "gp_search.h"

#include <math.h>
#include <string.h>

#define LANES HD_GP_LANES
#define RANDOM_PART 0.5 /* of the pool; the rest are steps from the best configs */
#define TRUE_MIN 32u    /* scored in truth, at least */
#define TRUE_MAX 200u
#define CLIMBS_MAX 16u /* steps along the slopes */
#define WALKS_MAX 16u  /* rounds of random steps */
#define STEP_FIRST 0.03
#define STEP_MIN 1e-5
#define STEP_MAX 0.2

/* ---- acquisition --------------------------------------------------------------------------- */

/* log(phi(z) + z Phi(z)) and the ratios of phi and Phi to that sum, for any z: for negative z
 * through Mills' ratio, far out by its asymptotic series. */
static double log_improvement(double z, double *ret_density_ratio, double *ret_mass_ratio)
{
    static const double log_root = 0.91893853320467274178; /* log sqrt(2 pi) */
    if (z > -1) {
        double density = exp(-z * z / 2 - log_root), mass = 0.5 * erfc(-z * sqrt(0.5));
        double sum = density + z * mass;
        *ret_density_ratio = density / sum;
        *ret_mass_ratio = mass / sum;
        return log(sum);
    }
    double t = -z, mills, rest; /* rest: 1 - t mills */
    if (t < 25) {
        mills = sqrt(acos(-1.0) / 2) * exp(t * t / 2) * erfc(t * sqrt(0.5));
        rest = 1 - t * mills;
    } else {
        double square = 1 / (t * t);
        rest = square * (1 - 3 * square * (1 - 5 * square));
        mills = (1 - rest) / t;
    }
    *ret_density_ratio = 1 / rest;
    *ret_mass_ratio = mills / rest;
    return -z * z / 2 - log_root + log(rest);
}

double hd_gp_score(const struct hd_gp_goal *goal, double mean, double deviation,
                   double *ret_by_mean, double *ret_by_deviation)
{
    double by_mean = -1, by_deviation = goal->kappa, score = 0;
    switch (goal->acquisition) {
    case HD_GP_UCB:
        score = goal->kappa * deviation - mean;
        break;
    case HD_GP_EI:
        score = log(deviation) +
                log_improvement((goal->best - mean) / deviation, &by_deviation, &by_mean);
        by_deviation = by_deviation / deviation;
        by_mean = -by_mean / deviation;
        break;
    }
    if (ret_by_mean != NULL)
        *ret_by_mean = by_mean;
    if (ret_by_deviation != NULL)
        *ret_by_deviation = by_deviation;
    return score;
}

/* ---- the pool ------------------------------------------------------------------------------ */

enum hd_code hd_gp_search_init(struct hd_gp_search *search, struct hd_gp_code *code,
                               uint32_t pool_max, struct hd_err *err)
{
    size_t dimension = code->history->dimension, features = code->shape.feature_count;
    *search = (struct hd_gp_search){.code = code, .pool_max = pool_max};
    search->points = hd_calloc(pool_max * dimension + 1, sizeof(double));
    search->features = hd_calloc(pool_max * features + 1, sizeof(double));
    search->scores = hd_calloc(pool_max, sizeof(double));
    search->means = hd_calloc(pool_max, sizeof(double));
    search->deviations = hd_calloc(pool_max, sizeof(double));
    search->order = hd_calloc(pool_max, sizeof(*search->order));
    search->mean_slopes = hd_calloc(LANES * features + 1, sizeof(double));
    search->deviation_slopes = hd_calloc(LANES * features + 1, sizeof(double));
    search->steps = hd_calloc(LANES * dimension + 1, sizeof(double));
    search->signs = hd_calloc(LANES * dimension + 1, sizeof(double));
    search->draft = hd_calloc(dimension + 1, sizeof(double));
    if (search->points == NULL || search->features == NULL || search->scores == NULL ||
        search->means == NULL || search->deviations == NULL || search->order == NULL ||
        search->mean_slopes == NULL || search->deviation_slopes == NULL || search->steps == NULL ||
        search->signs == NULL || search->draft == NULL) {
        hd_gp_search_release(search);
        return hd_fail(err, HD_E_NOMEM, "no memory for %u candidates", pool_max);
    }
    return HD_OK;
}

void hd_gp_search_release(struct hd_gp_search *search)
{
    hd_free(search->points);
    hd_free(search->features);
    hd_free(search->scores);
    hd_free(search->means);
    hd_free(search->deviations);
    hd_free(search->order);
    hd_free(search->mean_slopes);
    hd_free(search->deviation_slopes);
    hd_free(search->steps);
    hd_free(search->signs);
    hd_free(search->draft);
    *search = (struct hd_gp_search){0};
}

static double *point_at(const struct hd_gp_search *search, uint32_t index)
{
    return search->points + index * search->code->history->dimension;
}

static double *features_at(const struct hd_gp_search *search, uint32_t index)
{
    return search->features + (size_t)index * search->code->shape.feature_count;
}

/* Puts the draft into the pool when it is a legal point and there is room. */
static bool add_draft(struct hd_gp_search *search)
{
    if (search->count == search->pool_max)
        return false;
    size_t dimension = search->code->history->dimension;
    memcpy(point_at(search, search->count), search->draft, dimension * sizeof(double));
    if (!hd_gp_code_point(search->code, point_at(search, search->count),
                          features_at(search, search->count)))
        return false;
    search->scores[search->count++] = -INFINITY;
    return true;
}

static double mirror(double x)
{
    x = fabs(x);
    x = x > 1 ? 2 - x : x;
    return x < 0 ? 0 : (x > 1 ? 1 : x);
}

static double step_param(const struct hd_gp_code *code, size_t d, double unit, double size,
                         struct hd_rng *rng)
{
    if (code->is_choice[d] || isnan(unit))
        return hd_rng_double(rng);
    return mirror(unit + size * hd_rng_normal(rng));
}

/* Some params of a config moved by about the same size, others kept. */
static void draft_step(struct hd_gp_search *search, const float *row, struct hd_rng *rng)
{
    size_t dimension = search->code->history->dimension;
    double size = 0.2 * exp(-4 * hd_rng_double(rng));
    double part = fmax(hd_rng_double(rng), 1.0 / (double)(dimension + 1));
    bool moved = false;
    for (size_t d = 0; d < dimension; d++) {
        double unit = (double)row[d];
        bool move = hd_rng_double(rng) < part || isnan(unit);
        search->draft[d] = move ? step_param(search->code, d, unit, size, rng) : unit;
        moved |= move;
    }
    if (!moved && dimension > 0) {
        size_t d = hd_rng_below(rng, dimension);
        search->draft[d] = step_param(search->code, d, search->draft[d], size, rng);
    }
}

static void fill_pool(struct hd_gp_search *search, const uint32_t *bases, uint32_t base_count,
                      uint32_t want, struct hd_rng *rng)
{
    size_t dimension = search->code->history->dimension;
    search->count = 0;
    for (uint32_t i = 0; i < want; i++) {
        if (base_count > 0 && i >= RANDOM_PART * want) {
            uint32_t base = bases[i % base_count];
            draft_step(search, hd_history_units(search->code->history, base), rng);
        } else {
            for (size_t d = 0; d < dimension; d++)
                search->draft[d] = hd_rng_double(rng);
        }
        (void)add_draft(search);
    }
}

/* The `count` best of the pool by score go to order[0 .. count), best first; ties by index. */
static void find_best(struct hd_gp_search *search, uint32_t count)
{
    uint32_t taken = 0;
    for (uint32_t i = 0; i < search->count; i++) {
        double score = search->scores[i];
        if (taken == count && !(score > search->scores[search->order[taken - 1]]))
            continue;
        uint32_t at = taken < count ? taken++ : taken - 1;
        for (; at > 0 && score > search->scores[search->order[at - 1]]; at--)
            search->order[at] = search->order[at - 1];
        search->order[at] = i;
    }
}

/* Moves order[0 .. count) to the front of the pool, in that order. */
static void compact(struct hd_gp_search *search, uint32_t count)
{
    size_t dimension = search->code->history->dimension;
    for (uint32_t i = 0; i < count; i++) {
        uint32_t from = search->order[i];
        /* What stood at i before may have been moved on to where an earlier one came from. */
        if (from != i) {
            for (size_t d = 0; d < dimension; d++) {
                double kept = point_at(search, i)[d];
                point_at(search, i)[d] = point_at(search, from)[d];
                point_at(search, from)[d] = kept;
            }
            for (uint32_t f = 0; f < search->code->shape.feature_count; f++) {
                double kept = features_at(search, i)[f];
                features_at(search, i)[f] = features_at(search, from)[f];
                features_at(search, from)[f] = kept;
            }
        }
        for (uint32_t j = i + 1; j < count; j++)
            search->order[j] = search->order[j] == i ? from : search->order[j];
    }
    search->count = count;
}

static void score_pool(struct hd_gp_search *search, struct hd_gp *gp, const struct hd_gp_goal *goal,
                       uint32_t first)
{
    hd_gp_predict(gp, features_at(search, first), search->count - first, search->means + first,
                  search->deviations + first);
    for (uint32_t i = first; i < search->count; i++)
        search->scores[i] = hd_gp_score(goal, search->means[i], search->deviations[i], NULL, NULL);
}

/*
 * Scores those of the pool, whose scores are upper bounds and fall, in truth: until no bound is
 * above the worst of the best LANES, so that these are the same as if all had been scored. Returns
 * how many were; the others leave the pool.
 */
static uint32_t score_truly(struct hd_gp_search *search, struct hd_gp *gp,
                            const struct hd_gp_goal *goal)
{
    uint32_t whole = search->count, done = 0;
    while (done < whole) {
        if (done >= TRUE_MIN) {
            find_best(search, LANES);
            if (search->scores[done] <= search->scores[search->order[LANES - 1]])
                break;
        }
        uint32_t next = done + LANES < whole ? done + LANES : whole;
        search->count = next;
        score_pool(search, gp, goal, done);
        done = next;
    }
    search->count = done;
    return done;
}

/* ---- from the best on ---------------------------------------------------------------------- */

/*
 * Each of the first `lanes` points climbs in its numbers by steps of their own, which grow while
 * the slope keeps its sign and shrink when it turns (Rprop: Riedmiller and Braun 1993). Where each
 * was best is added to the pool.
 */
static void climb(struct hd_gp_search *search, struct hd_gp *gp, const struct hd_gp_goal *goal,
                  uint32_t lanes, uint32_t rounds)
{
    const struct hd_gp_code *code = search->code;
    size_t dimension = code->history->dimension, width = code->shape.feature_count;
    double best[LANES];
    uint32_t start = search->count; /* the climbers, then their best places, above the pool */
    if (start + 2 * lanes > search->pool_max || lanes == 0)
        return;
    for (uint32_t i = 0; i < lanes; i++) {
        memcpy(features_at(search, start + i), features_at(search, i), width * sizeof(double));
        memcpy(point_at(search, start + lanes + i), point_at(search, i),
               dimension * sizeof(double));
        best[i] = -INFINITY;
    }
    for (size_t i = 0; i < lanes * dimension; i++) {
        search->steps[i] = STEP_FIRST;
        search->signs[i] = 0;
    }
    for (uint32_t round = 0; round < rounds; round++) {
        double means[LANES], deviations[LANES];
        hd_gp_predict_slopes(gp, features_at(search, start), lanes, means, deviations,
                             search->mean_slopes, search->deviation_slopes);
        for (uint32_t i = 0; i < lanes; i++) {
            double by_mean, by_deviation, *features = features_at(search, start + i);
            double score = hd_gp_score(goal, means[i], deviations[i], &by_mean, &by_deviation);
            bool better = score > best[i];
            best[i] = better ? score : best[i];
            for (size_t d = 0; d < dimension; d++) {
                size_t f = code->feature_of[d], at = i * dimension + d;
                if (!hd_gp_code_moves(code, d, features))
                    continue;
                if (better)
                    point_at(search, start + lanes + i)[d] = features[f];
                double slope = by_mean * search->mean_slopes[i * width + f] +
                               by_deviation * search->deviation_slopes[i * width + f];
                double sign = slope > 0 ? 1 : (slope < 0 ? -1 : 0);
                if (sign * search->signs[at] > 0)
                    search->steps[at] = fmin(search->steps[at] * 1.4, STEP_MAX);
                else if (sign * search->signs[at] < 0)
                    search->steps[at] = fmax(search->steps[at] * 0.4, STEP_MIN);
                search->signs[at] = sign;
                double moved = features[f] + sign * search->steps[at];
                features[f] = moved < 0 ? 0 : (moved > 1 ? 1 : moved);
            }
        }
    }
    for (uint32_t i = 0; i < lanes; i++) {
        memcpy(search->draft, point_at(search, start + lanes + i), dimension * sizeof(double));
        (void)add_draft(search);
    }
    score_pool(search, gp, goal, start);
}

/* Random steps of one or two params from the best places so far, in rounds. */
static void walk(struct hd_gp_search *search, struct hd_gp *gp, const struct hd_gp_goal *goal,
                 uint32_t rounds, struct hd_rng *rng)
{
    size_t dimension = search->code->history->dimension;
    for (uint32_t round = 0; round < rounds && search->count > 0; round++) {
        uint32_t first = search->count;
        find_best(search, search->count < 4 ? search->count : 4);
        for (uint32_t i = 0; i < LANES; i++) {
            uint32_t from = search->order[i % (first < 4 ? first : 4)];
            double size = 0.15 * exp(-4 * hd_rng_double(rng));
            memcpy(search->draft, point_at(search, from), dimension * sizeof(double));
            for (uint64_t moves = 1 + hd_rng_below(rng, 2); moves > 0; moves--) {
                size_t d = hd_rng_below(rng, dimension);
                search->draft[d] = step_param(search->code, d, search->draft[d], size, rng);
            }
            (void)add_draft(search);
        }
        if (search->count > first)
            score_pool(search, gp, goal, first);
    }
}

static uint32_t at_most(double number, uint32_t least, uint32_t most)
{
    return number < least ? least : (number > most ? most : (uint32_t)number);
}

void hd_gp_search_run(struct hd_gp_search *search, struct hd_gp *gp, const struct hd_gp_goal *goal,
                      const uint32_t *bases, uint32_t base_count, double work, struct hd_rng *rng)
{
    const struct hd_gp_code *code = search->code;
    double n = hd_gp_count(gp) + 1, width = code->shape.feature_count;
    double cheap = n * (width + 12), whole = cheap + n * n / 2;
    uint32_t reserved = 2 * LANES + WALKS_MAX * LANES; /* of the pool, for the later stages */
    bool only_numbers = true, any_number = false;
    for (size_t d = 0; d < code->history->dimension; d++) {
        only_numbers &= !code->has_levels[d] && !code->is_choice[d];
        any_number |= !code->is_choice[d];
    }
    only_numbers &= code->plain;
    fill_pool(search, bases, base_count,
              at_most(work / 3 / cheap, 2 * TRUE_MIN, search->pool_max - reserved), rng);
    if (search->count == 0)
        return;
    hd_gp_predict_mean(gp, search->features, search->count, search->means, search->deviations);
    for (uint32_t i = 0; i < search->count; i++)
        search->scores[i] = hd_gp_score(goal, search->means[i], search->deviations[i], NULL, NULL);
    uint32_t truly = at_most(work / 4 / whole, TRUE_MIN, TRUE_MAX);
    truly = truly < search->count ? truly : search->count;
    find_best(search, truly);
    compact(search, truly);
    truly = score_truly(search, gp, goal);
    find_best(search, truly);
    compact(search, truly);
    uint32_t lanes = truly < LANES ? truly : LANES;
    if (any_number)
        climb(search, gp, goal, lanes, at_most(work / 4 / (2 * whole * LANES), 4, CLIMBS_MAX));
    if (!only_numbers)
        walk(search, gp, goal, at_most(work / 4 / (whole * LANES), 4, WALKS_MAX), rng);
}

bool hd_gp_search_take(struct hd_gp_search *search, double *ret_values)
{
    const struct hd_history *history = search->code->history;
    for (;;) {
        uint32_t best = 0;
        for (uint32_t i = 1; i < search->count; i++)
            best = search->scores[i] > search->scores[best] ? i : best;
        if (search->count == 0 || !(search->scores[best] > -INFINITY))
            return false;
        search->scores[best] = -INFINITY;
        double *values = search->code->values;
        if (hd_history_values_of(history, point_at(search, best), values) &&
            !hd_history_has(history, values)) {
            memcpy(ret_values, values, history->space->param_count * sizeof(double));
            return true;
        }
    }
}
