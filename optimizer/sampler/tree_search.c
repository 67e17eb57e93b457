/* SPDX-License-Identifier: Apache-2.0 */
/* tree_search.c: see tree_search.h. */
#include "tree_search.h"

#include <math.h>
#include <string.h>

#define NEAREST_FACTOR 1e-12 /* what is left of the score of a pending config itself */

void hd_search_release(struct hd_search *search)
{
    hd_free(search->points);
    hd_free(search->table);
    hd_free(search->pending);
    hd_free(search->scores);
    hd_free(search->values);
    hd_free(search->best_values);
    *search = (struct hd_search){0};
}

enum hd_code hd_search_prepare(struct hd_search *search, struct hd_err *err)
{
    size_t dimension = search->rows->width - 1, width = search->rows->width;
    size_t params = search->rows->history->space->param_count + 1;
    /* Candidates; behind them the place of a climb and its neighbours. */
    size_t count = search->random_count + HD_ROWS_MAX + 1 + HD_SEARCH_NEIGHBOURS;
    search->points = hd_calloc(count * (dimension + 1), sizeof(double));
    search->table = hd_calloc(count * width, sizeof(float));
    search->pending = hd_calloc(HD_SEARCH_PENDING_MAX * width, sizeof(float));
    search->scores = hd_calloc(count, sizeof(double));
    search->values = hd_calloc(params, sizeof(double));
    search->best_values = hd_calloc(params, sizeof(double));
    if (search->points == NULL || search->table == NULL || search->pending == NULL ||
        search->scores == NULL || search->values == NULL || search->best_values == NULL)
        return hd_fail(err, HD_E_NOMEM, "no memory for %zu candidates", count);
    return HD_OK;
}

/* ---- scores -------------------------------------------------------------------------------- */

/* The newest ones. */
static void collect_pending(struct hd_search *search)
{
    const struct hd_history *history = search->rows->history;
    search->pending_count = 0;
    if (search->reach <= 0)
        return;
    uint32_t count = history->pending_count;
    for (uint32_t i = count > HD_SEARCH_PENDING_MAX ? count - HD_SEARCH_PENDING_MAX : 0; i < count;
         i++)
        hd_rows_of_config(search->rows, history->pending[i],
                          search->pending + (search->pending_count++) * search->rows->width);
}

/* Mean squared distance; params of which one is inactive, and different choices, are 1 apart. */
static double distance_of(const struct hd_rows *rows, const float *a, const float *b)
{
    size_t dimension = rows->width - 1;
    double sum = 0;
    for (size_t d = 0; d < dimension; d++) {
        bool a_inactive = isnan(a[d]), b_inactive = isnan(b[d]);
        if (a_inactive || b_inactive)
            sum += a_inactive != b_inactive ? 1 : 0;
        else if (rows->axes[d].choice_count > 0)
            sum += a[d] != b[d] ? 1 : 0;
        else
            sum += (double)(a[d] - b[d]) * (double)(a[d] - b[d]);
    }
    return sum / (double)(dimension > 0 ? dimension : 1);
}

static void score_rows(struct hd_search *search, size_t first, size_t count)
{
    const struct hd_rows *rows = search->rows;
    const float *table = search->table + first * rows->width;
    search->score(search->context, table, count, search->scores + first);
    for (size_t i = 0; i < count && search->pending_count > 0; i++) {
        for (uint32_t j = 0; j < search->pending_count; j++) {
            double distance =
                distance_of(rows, table + i * rows->width, search->pending + j * rows->width);
            double part = -expm1(-distance / (search->reach * search->reach));
            search->scores[first + i] += log(part > NEAREST_FACTOR ? part : NEAREST_FACTOR);
        }
    }
}

/* Is this candidate the best unused one so far? */
static void consider(struct hd_search *search, size_t at)
{
    const struct hd_history *history = search->rows->history;
    if (search->found && !(search->scores[at] > search->best_score))
        return;
    const double *point = search->points + at * history->dimension;
    if (!hd_history_values_of(history, point, search->values) ||
        hd_history_has(history, search->values))
        return;
    memcpy(search->best_values, search->values, history->space->param_count * sizeof(double));
    search->best_score = search->scores[at];
    search->found = true;
}

/* ---- candidates ---------------------------------------------------------------------------- */

static double *point_at(struct hd_search *search, size_t at)
{
    return search->points + at * search->rows->history->dimension;
}

static float *row_at(struct hd_search *search, size_t at)
{
    return search->table + at * search->rows->width;
}

/* Random candidates and all configs of the model, scored. Answers how many. */
static size_t fill_candidates(struct hd_search *search, struct hd_rng *rng)
{
    const struct hd_rows *rows = search->rows;
    size_t count = 0, dimension = rows->history->dimension;
    for (size_t i = 0; i < search->random_count; i++) {
        double *point = point_at(search, count);
        for (size_t d = 0; d < dimension; d++)
            point[d] = hd_rng_double(rng);
        count += hd_rows_encode(rows, point, row_at(search, count)) ? 1 : 0;
    }
    size_t random_count = count;
    for (size_t i = 0; i < rows->data.row_count; i++) {
        float *row = row_at(search, count);
        memcpy(row, rows->data.values + i * rows->width, rows->width * sizeof(float));
        row[dimension] = rows->log_budget;
        count++;
    }
    score_rows(search, 0, count);
    for (size_t i = 0; i < random_count; i++)
        consider(search, i);
    return count;
}

/* Another value for one coordinate: another choice, or a step. */
static double exchange(const struct hd_row_axis *axis, double unit, struct hd_rng *rng)
{
    static const double sigmas[] = {0.2, 0.2, 0.05, 0.01};
    if (axis->choice_count > 0) {
        double level = hd_param_level_of(axis->param, hd_param_from_unit(axis->param, unit));
        double other = (double)hd_rng_below(rng, axis->choice_count - 1);
        return hd_param_to_unit(axis->param, other + (other >= level ? 1 : 0));
    }
    double sigma = sigmas[hd_rng_below(rng, HD_COUNT(sigmas))];
    if (isfinite(axis->levels) && sigma < 1 / axis->levels)
        sigma = 1 / axis->levels;
    double moved = unit + sigma * hd_rng_normal(rng);
    moved = moved < 0 ? -moved : moved > 1 ? 2 - moved : moved; /* reflected */
    return moved < 0 ? 0 : moved > 1 ? 1 : moved;
}

/* A neighbour of the candidate `from` as candidate `to`: one active param takes another value,
 * sometimes two. */
static bool make_neighbour(struct hd_search *search, size_t from, size_t to, struct hd_rng *rng)
{
    const struct hd_rows *rows = search->rows;
    size_t dimension = rows->history->dimension;
    double *point = point_at(search, to);
    memcpy(point, point_at(search, from), dimension * sizeof(double));
    int changes = hd_rng_below(rng, 4) == 0 ? 2 : 1;
    for (int change = 0; change < changes; change++) {
        size_t d = (size_t)hd_rng_below(rng, dimension);
        for (size_t i = 0; i < dimension && isnan(row_at(search, from)[d]); i++)
            d = d + 1 < dimension ? d + 1 : 0;
        point[d] = exchange(&rows->axes[d], point[d], rng);
    }
    return hd_rows_encode(rows, point, row_at(search, to));
}

static void move(struct hd_search *search, size_t from, size_t to)
{
    size_t dimension = search->rows->history->dimension, width = search->rows->width;
    memcpy(point_at(search, to), point_at(search, from), dimension * sizeof(double));
    memcpy(row_at(search, to), row_at(search, from), width * sizeof(float));
    search->scores[to] = search->scores[from];
}

/* Climbs from the candidate at `place`, with room for neighbours behind it. */
static void climb(struct hd_search *search, size_t place, struct hd_rng *rng)
{
    int fails = 0;
    for (int step = 0; step < HD_SEARCH_STEPS_MAX && fails < HD_SEARCH_FAILS_MAX; step++) {
        size_t count = 0, best = place;
        for (size_t i = 0; i < HD_SEARCH_NEIGHBOURS; i++)
            count += make_neighbour(search, place, place + 1 + count, rng) ? 1 : 0;
        score_rows(search, place + 1, count);
        for (size_t i = 1; i <= count; i++) {
            consider(search, place + i);
            best = search->scores[place + i] > search->scores[best] ? place + i : best;
        }
        fails = best == place ? fails + 1 : 0;
        if (best != place)
            move(search, best, place);
    }
}

bool hd_search_run(struct hd_search *search, struct hd_rng *rng, double *ret_values)
{
    const struct hd_rows *rows = search->rows;
    size_t candidates = search->random_count + rows->data.row_count;
    search->found = false;
    search->best_score = -INFINITY;
    collect_pending(search);
    size_t count = fill_candidates(search, rng), random_count = count - rows->data.row_count;
    for (size_t start = 0; start < search->start_count && start < count; start++) {
        size_t best = 0;
        for (size_t i = 1; i < count; i++)
            best = search->scores[i] > search->scores[best] ? i : best;
        if (best >= random_count) /* a config that exists: a point for it is made now */
            hd_rows_point(rows, row_at(search, best), rng, point_at(search, best));
        move(search, best, candidates);
        search->scores[best] = -INFINITY;
        if (rows->history->dimension > 0)
            climb(search, candidates, rng);
    }
    if (search->found)
        memcpy(ret_values, search->best_values, rows->history->space->param_count * sizeof(double));
    return search->found;
}
