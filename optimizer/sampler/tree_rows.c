/* SPDX-License-Identifier: Apache-2.0 */
/* tree_rows.c: see tree_rows.h. */
#include "tree_rows.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Of budgets whose results are thinned, so many of the best stay (and at most half of the rows). */
#define BEST_KEPT HD_HISTORY_BEST_MAX

static enum hd_code reserve(struct hd_rows *rows, size_t count, struct hd_err *err)
{
    enum hd_code code = hd_tree_data_reserve(&rows->data, count, err);
    if (code != HD_OK)
        return code;
    rows->configs = hd_calloc(count, sizeof(*rows->configs));
    rows->losses = hd_calloc(count, sizeof(*rows->losses));
    rows->sorted = hd_calloc(count, sizeof(*rows->sorted));
    if (rows->configs == NULL || rows->losses == NULL || rows->sorted == NULL)
        return hd_fail(err, HD_E_NOMEM, "no memory for %zu rows of trees", count);
    return HD_OK;
}

enum hd_code hd_rows_init(struct hd_rows *rows, const struct hd_history *history,
                          struct hd_err *err)
{
    size_t dimension = history->dimension;
    bool choices[HD_SPACE_PARAMS_MAX + 1] = {false};
    *rows = (struct hd_rows){.history = history, .width = dimension + 1};
    rows->axes = hd_calloc(dimension + 1, sizeof(*rows->axes));
    rows->values = hd_calloc(history->space->param_count + 1, sizeof(*rows->values));
    if (rows->axes == NULL || rows->values == NULL) {
        hd_rows_release(rows);
        return hd_fail(err, HD_E_NOMEM, "no memory for the rows of trees");
    }
    for (size_t d = 0; d < dimension; d++) {
        const struct hd_param *param = &history->space->params[history->params[d]];
        struct hd_row_axis *axis = &rows->axes[d];
        axis->param = param;
        axis->levels = hd_param_levels(param);
        choices[d] = param->kind == HD_PARAM_CATEGORICAL || param->kind == HD_PARAM_BOOL;
        axis->choice_count = choices[d] ? param->choice_count : 0;
    }
    enum hd_code code = hd_tree_data_init(&rows->data, rows->width, choices, err);
    if (code == HD_OK)
        code = reserve(rows, HD_ROWS_MAX, err);
    if (code != HD_OK)
        hd_rows_release(rows);
    return code;
}

void hd_rows_release(struct hd_rows *rows)
{
    hd_tree_data_release(&rows->data);
    hd_free(rows->axes);
    hd_free(rows->configs);
    hd_free(rows->losses);
    hd_free(rows->sorted);
    hd_free(rows->values);
    *rows = (struct hd_rows){0};
}

static uint64_t count_tells(const struct hd_history *history)
{
    return (uint64_t)history->tell_count + history->replace_count;
}

bool hd_rows_current(const struct hd_rows *rows)
{
    return rows->collected && rows->tell_count == count_tells(rows->history);
}

/* ---- configs as rows ----------------------------------------------------------------------- */

bool hd_rows_encode(const struct hd_rows *rows, const double *point, float *ret_row)
{
    const struct hd_history *history = rows->history;
    if (!hd_history_values_of(history, point, rows->values))
        return false;
    for (size_t d = 0; d < history->dimension; d++) {
        const struct hd_row_axis *axis = &rows->axes[d];
        double value = rows->values[history->params[d]];
        if (isnan(value))
            ret_row[d] = NAN;
        else if (axis->choice_count > 0)
            ret_row[d] = (float)value;
        else
            ret_row[d] =
                (float)(isinf(axis->levels) ? point[d] : hd_param_to_unit(axis->param, value));
    }
    ret_row[history->dimension] = rows->log_budget;
    return true;
}

void hd_rows_of_config(const struct hd_rows *rows, uint32_t config_number, float *ret_row)
{
    const float *units = hd_history_units(rows->history, config_number);
    size_t dimension = rows->history->dimension;
    for (size_t d = 0; d < dimension; d++) {
        size_t choice_count = rows->axes[d].choice_count;
        ret_row[d] = units[d];
        if (choice_count > 0 && !isnan(units[d]))
            ret_row[d] = (float)hd_param_level_of(
                rows->axes[d].param, hd_param_from_unit(rows->axes[d].param, (double)units[d]));
    }
    ret_row[dimension] = rows->log_budget;
}

void hd_rows_point(const struct hd_rows *rows, const float *row, struct hd_rng *rng,
                   double *ret_point)
{
    for (size_t d = 0; d < rows->history->dimension; d++) {
        const struct hd_row_axis *axis = &rows->axes[d];
        if (isnan(row[d]))
            ret_point[d] = hd_rng_double(rng);
        else if (axis->choice_count > 0)
            ret_point[d] = hd_param_to_unit(axis->param, (double)row[d]);
        else
            ret_point[d] = (double)row[d];
    }
}

/* ---- which results ------------------------------------------------------------------------- */

static bool has_higher(const struct hd_history *history, uint32_t rung_index,
                       uint32_t config_number)
{
    for (uint32_t i = rung_index + 1; i < history->rung_count; i++) {
        if (hd_history_find(history->rungs[i], config_number) != NULL)
            return true;
    }
    return false;
}

static void take(struct hd_rows *rows, uint32_t rung_index, const struct hd_told *told)
{
    if (has_higher(rows->history, rung_index, told->config_number))
        return;
    size_t row = rows->data.row_count++;
    float *values = rows->data.values + row * rows->width;
    hd_assert(row < HD_ROWS_MAX);
    hd_rows_of_config(rows, told->config_number, values);
    values[rows->width - 1] = (float)log(rows->history->rungs[rung_index]->budget);
    if (!isfinite(values[rows->width - 1]))
        values[rows->width - 1] = 0; /* budgets of 0 and below have no logarithm */
    rows->configs[row] = told->config_number;
    rows->losses[row] = told->loss;
}

static void take_thinned(struct hd_rows *rows, uint32_t rung_index, uint32_t part)
{
    const struct hd_history_rung *rung = rows->history->rungs[rung_index];
    uint32_t best_count = rung->best_count < part / 2 ? rung->best_count : part / 2;
    for (uint32_t i = 0; i < best_count; i++)
        take(rows, rung_index, &rung->told[rung->best[i]]);
    static const struct hd_told nothing = {.loss = -INFINITY};
    const struct hd_told *last =
        best_count > 0 ? &rung->told[rung->best[best_count - 1]] : &nothing;
    uint32_t stride = 1;
    while (rung->told_count / stride > part - best_count)
        stride *= 2;
    for (uint32_t i = stride - 1; i < rung->told_count; i += stride) {
        const struct hd_told *told = &rung->told[i];
        bool taken = told->loss < last->loss ||
                     (told->loss == last->loss && told->config_number <= last->config_number);
        if (!taken)
            take(rows, rung_index, told);
    }
}

/* From the highest budget down: each gets all it has, or half of what is left when the lower ones
 * have more than the other half. */
static void take_all(struct hd_rows *rows)
{
    const struct hd_history *history = rows->history;
    uint64_t below = 0;
    for (uint32_t i = 0; i < history->rung_count; i++)
        below += history->rungs[i]->told_count;
    uint32_t left = HD_ROWS_MAX;
    for (uint32_t i = history->rung_count; i > 0; i--) {
        const struct hd_history_rung *rung = history->rungs[i - 1];
        below -= rung->told_count;
        uint32_t part = below < left / 2 ? left - (uint32_t)below : left - left / 2;
        if (rung->told_count <= part) {
            part = rung->told_count;
            for (uint32_t j = 0; j < rung->told_count; j++)
                take(rows, i - 1, &rung->told[j]);
        } else if (part >= 4) {
            take_thinned(rows, i - 1, part);
        }
        left -= part;
    }
}

/* ---- targets ------------------------------------------------------------------------------- */

static int compare_doubles(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static size_t sort_finite(struct hd_rows *rows)
{
    size_t count = 0;
    for (size_t i = 0; i < rows->data.row_count; i++) {
        if (isfinite(rows->losses[i]))
            rows->sorted[count++] = rows->losses[i];
    }
    qsort(rows->sorted, count, sizeof(double), compare_doubles);
    return count;
}

/* The quantile function of the normal distribution to 5e-4 (Abramowitz and Stegun 26.2.23). */
static double normal_quantile(double part)
{
    double tail = part < 0.5 ? part : 1 - part;
    double t = sqrt(-2 * log(tail));
    double z = t - (2.515517 + t * (0.802853 + t * 0.010328)) /
                       (1 + t * (1.432788 + t * (0.189269 + t * 0.001308)));
    return part < 0.5 ? -z : z;
}

/* Mean place of a loss among count sorted ones, in (0, 1). */
static double place_of(const double *sorted, size_t count, double loss)
{
    size_t low = 0, high = count, first;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (sorted[middle] < loss)
            low = middle + 1;
        else
            high = middle;
    }
    first = low;
    high = count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (sorted[middle] <= loss)
            low = middle + 1;
        else
            high = middle;
    }
    return (double)(first + low) / 2 / (double)count;
}

struct warp {
    enum hd_rows_warp kind;
    const double *sorted;
    size_t count;
    double scale;      /* 1 / the largest size: losses times it are in [-1, 1] */
    double base, span; /* log: where it begins, and 1 / the range */
};

static void prepare_warp(struct warp *warp)
{
    const double *sorted = warp->sorted;
    size_t count = warp->count;
    double size = fmax(fabs(sorted[0]), fabs(sorted[count - 1]));
    warp->scale = size > 1e-300 ? 1 / size : 1;
    double least = sorted[0] * warp->scale, most = sorted[count - 1] * warp->scale;
    /* Begins before the best one by as much as the best 5 % spread. */
    double fifth = sorted[(count - 1) / 20 + (count > 1 ? 1 : 0)] * warp->scale;
    warp->base = least - (fifth - least) - 1e-10 * (most - least) - 1e-300;
    warp->span = most > warp->base ? 1 / (most - warp->base) : 1;
}

static double warp_loss(const struct warp *warp, double loss)
{
    double scaled = loss * warp->scale;
    switch (warp->kind) {
    case HD_ROWS_LOG:
        return log(fmax((scaled - warp->base) * warp->span, 1e-12));
    case HD_ROWS_RANK:
        return normal_quantile(place_of(warp->sorted, warp->count, loss));
    }
    hd_assert(false && "warp");
    return 0;
}

static void set_targets(struct hd_rows *rows, enum hd_rows_warp kind)
{
    struct warp warp = {.kind = kind, .sorted = rows->sorted, .count = sort_finite(rows)};
    double worst = 0;
    if (warp.count > 0) {
        prepare_warp(&warp);
        worst = warp_loss(&warp, rows->sorted[warp.count - 1]);
    }
    for (size_t i = 0; i < rows->data.row_count; i++)
        rows->data.targets[i] =
            (float)(isfinite(rows->losses[i]) ? warp_loss(&warp, rows->losses[i]) : worst);
}

static void swap_rows(struct hd_rows *rows, size_t a, size_t b)
{
    float *values = rows->data.values;
    for (size_t d = 0; d < rows->width; d++) {
        float value = values[a * rows->width + d];
        values[a * rows->width + d] = values[b * rows->width + d];
        values[b * rows->width + d] = value;
    }
    uint32_t config = rows->configs[a];
    rows->configs[a] = rows->configs[b];
    rows->configs[b] = config;
    double loss = rows->losses[a];
    rows->losses[a] = rows->losses[b];
    rows->losses[b] = loss;
}

static void hold_out(struct hd_rows *rows, double part)
{
    size_t end = rows->data.row_count;
    for (size_t i = 0; i < end;) {
        uint64_t hash = hd_hash_u64(HD_HASH_INIT, rows->configs[i]);
        if ((double)((hash ^ hash >> 32) & 0xffff) < part * 65536)
            swap_rows(rows, i, --end);
        else
            i++;
    }
    rows->held_out_count = rows->data.row_count - end;
}

bool hd_rows_enough(const struct hd_history *history, double wanted)
{
    double told = 0, finite = 0;
    for (uint32_t i = 0; i < history->rung_count; i++) {
        told += history->rungs[i]->told_count;
        finite += history->rungs[i]->finite_count;
    }
    return told >= wanted && finite >= 2;
}

void hd_rows_collect(struct hd_rows *rows, enum hd_rows_warp warp, double held_out_part)
{
    const struct hd_history *history = rows->history;
    rows->data.row_count = 0;
    rows->budget = NAN;
    for (uint32_t i = 0; i < history->rung_count; i++) {
        if (history->rungs[i]->finite_count > 0)
            rows->budget = history->rungs[i]->budget;
    }
    rows->log_budget = rows->budget > 0 ? (float)log(rows->budget) : 0;
    take_all(rows);
    hold_out(rows, held_out_part);
    set_targets(rows, warp);
    hd_tree_data_prepare(&rows->data);
    rows->tell_count = count_tells(history);
    rows->collected = true;
}
