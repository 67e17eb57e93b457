/* SPDX-License-Identifier: Apache-2.0 */
/* scalar.c: sets the losses of results with vectors; see scalar.h. */
#include "scalar.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>

#define AUGMENTATION 0.05 /* of the Chebyshev norm */
/* Volumes break ties in fronts up to so many results, of two and of three objectives. */
#define VOLUME_ROWS_2_MAX 512u
#define VOLUME_ROWS_3_MAX 96u
/* The reference point lies beyond the worst of a front by this part of its range. */
#define REFERENCE_MARGIN 0.1
#define INFEASIBLE_GAP 0.1

static bool reserve(struct hd_history *history, uint32_t count)
{
    if (count <= history->row_capacity)
        return true;
    uint32_t capacity = count + count / 2 + 64;
    struct hd_pareto_row *rows = hd_calloc(capacity, sizeof(*rows));
    double *scaled = hd_calloc(capacity, sizeof(*scaled));
    if (rows == NULL || scaled == NULL) {
        hd_free(rows);
        hd_free(scaled);
        return false;
    }
    hd_free(history->rows);
    hd_free(history->scaled);
    history->rows = rows;
    history->scaled = scaled;
    history->row_capacity = capacity;
    return true;
}

/* The first rows of the rung, in order of the results. */
static void fill_rows(const struct hd_history *history, const struct hd_history_rung *rung,
                      uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        const double *vector = hd_history_vector(history, rung, i);
        history->rows[i] =
            (struct hd_pareto_row){.losses = vector, .violation = vector[history->objective_count]};
    }
}

/* ---- the order ----------------------------------------------------------------------------- */

static int by_crowding(const void *a, const void *b)
{
    const struct hd_pareto_row *x = a, *y = b;
    if (x->crowding != y->crowding)
        return x->crowding > y->crowding ? -1 : 1;
    return (x->index > y->index) - (x->index < y->index);
}

/* Sorts one front by what its rows contribute to its volume. */
static enum hd_code sort_by_volume(const struct hd_history *history, struct hd_pareto_row *front,
                                   size_t count, struct hd_err *err)
{
    size_t objectives = history->objective_count;
    double low[HD_HYPERVOLUME_OBJECTIVES_MAX], reference[HD_HYPERVOLUME_OBJECTIVES_MAX];
    double *losses = hd_calloc(count, (objectives + 1) * sizeof(double));
    if (losses == NULL)
        return hd_fail(err, HD_E_NOMEM, "no memory for a front of %zu results", count);
    for (size_t k = 0; k < objectives; k++) {
        low[k] = INFINITY;
        reference[k] = -INFINITY;
        for (size_t i = 0; i < count; i++) {
            losses[i * objectives + k] = front[i].losses[k];
            low[k] = fmin(low[k], front[i].losses[k]);
            reference[k] = fmax(reference[k], front[i].losses[k]);
        }
        double range = reference[k] - low[k];
        reference[k] += range > 0 ? REFERENCE_MARGIN * range : fmax(1, fabs(reference[k]));
    }
    double *contributions = losses + count * objectives;
    enum hd_code code =
        hd_hypervolume_contributions(losses, count, objectives, reference, contributions, err);
    for (size_t i = 0; i < count && code == HD_OK; i++)
        front[i].crowding = contributions[i];
    hd_free(losses);
    if (code == HD_OK)
        qsort(front, count, sizeof(*front), by_crowding);
    return code;
}

/* Places, the best 0; volumes matter among those that can be of use to a sampler only. */
static enum hd_code scale_by_order(const struct hd_history *history,
                                   const struct hd_history_rung *rung, struct hd_err *err)
{
    size_t count = rung->told_count, most = 0; /* always all */
    if (history->objective_count == 2)
        most = VOLUME_ROWS_2_MAX;
    else if (history->objective_count == 3)
        most = VOLUME_ROWS_3_MAX;
    hd_pareto_order(history->rows, count, history->objective_count);
    for (size_t first = 0, end; first < count && first < HD_HISTORY_BEST_MAX; first = end) {
        struct hd_pareto_row *rows = history->rows;
        for (end = first; end < count && rows[end].rank == rows[first].rank; end++)
            ;
        bool feasible = !(rows[first].violation > 0);
        if (!feasible || end - first < 3 || end - first > most)
            continue;
        enum hd_code code = sort_by_volume(history, rows + first, end - first, err);
        if (code != HD_OK)
            return code;
    }
    for (size_t k = 0; k < count; k++)
        history->scaled[history->rows[k].index] = (double)k;
    return HD_OK;
}

/* ---- the Chebyshev norm -------------------------------------------------------------------- */

struct norm {
    double weights[HD_OBJECTIVES_MAX];
    double low[HD_OBJECTIVES_MAX], range[HD_OBJECTIVES_MAX];
};

/* Uniform over the weights that sum to one. */
static void draw_weights(struct norm *norm, const char *label, size_t objectives, uint64_t seed,
                         uint64_t number)
{
    struct hd_rng rng;
    double sum = 0;
    hd_rng_fork(seed, label, number, &rng);
    for (size_t k = 0; k < objectives; k++) {
        norm->weights[k] = -log(1 - hd_rng_double(&rng));
        sum += norm->weights[k];
    }
    for (size_t k = 0; k < objectives; k++)
        norm->weights[k] /= sum;
}

/* What the first `count` sorted rows span in an objective; false when it is nothing. */
static bool span(const struct hd_history *history, size_t count, size_t k, struct norm *norm)
{
    double low = INFINITY, high = -INFINITY;
    for (size_t i = 0; i < count; i++) {
        double loss = history->rows[i].losses[k];
        if (!isfinite(loss))
            continue;
        low = fmin(low, loss);
        high = fmax(high, loss);
    }
    norm->low[k] = isfinite(low) ? low : 0;
    norm->range[k] = high - low;
    return high > low && isfinite(high - low);
}

static void scale_by_norm(const struct hd_history *history, const struct hd_history_rung *rung,
                          uint32_t count, struct norm *norm)
{
    size_t objectives = history->objective_count, front = 0;
    hd_pareto_order(history->rows, count, objectives);
    while (front < count && history->rows[front].rank == history->rows[0].rank)
        front++;
    for (size_t k = 0; k < objectives; k++) {
        if (!span(history, front, k, norm) && !span(history, count, k, norm))
            norm->range[k] = 1;
    }
    for (uint32_t i = 0; i < count; i++) {
        const double *losses = hd_history_vector(history, rung, i);
        double most = -INFINITY, sum = 0;
        for (size_t k = 0; k < objectives; k++) {
            double part = norm->weights[k] * ((losses[k] - norm->low[k]) / norm->range[k]);
            most = fmax(most, part);
            sum += part;
        }
        history->scaled[i] = most + AUGMENTATION * sum;
    }
}

/* ---- constraints --------------------------------------------------------------------------- */

static double clamp(double loss)
{
    return loss < DBL_MAX ? loss : DBL_MAX;
}

/* Moves infeasible results behind the feasible ones; those that are not finite become INFINITY. */
static void put_infeasible_last(const struct hd_history *history,
                                const struct hd_history_rung *rung, uint32_t count)
{
    double best = INFINITY, worst = -INFINITY, violation_max = 0;
    for (uint32_t i = 0; i < count; i++) {
        double violation = hd_history_vector(history, rung, i)[history->objective_count];
        if (violation > 0 && isfinite(violation))
            violation_max = fmax(violation_max, violation);
        if (violation > 0)
            continue;
        best = fmin(best, history->scaled[i]);
        worst = fmax(worst, history->scaled[i]);
    }
    bool some = worst >= best;
    double spread = some && worst > best && isfinite(worst - best) ? worst - best : 1;
    /* Where a unit is lost against the numbers, a part of them is not. */
    spread = some ? fmax(spread, 1e-9 * fabs(worst)) : spread;
    for (uint32_t i = 0; i < count; i++) {
        double violation = hd_history_vector(history, rung, i)[history->objective_count];
        if (!isfinite(violation))
            history->scaled[i] = INFINITY;
        else if (violation > 0)
            history->scaled[i] =
                clamp((some ? worst : 0) + spread * (INFEASIBLE_GAP + violation / violation_max));
        else
            history->scaled[i] = clamp(history->scaled[i]);
    }
}

/* ---- all ----------------------------------------------------------------------------------- */

/* What was scaled before and is another number now counts as replaced. */
static void apply(struct hd_history *history, struct hd_history_rung *rung)
{
    bool changed = false;
    for (uint32_t i = 0; i < rung->told_count; i++) {
        double loss = history->scaled[i];
        changed = changed || (i < rung->scaled_count && rung->told[i].loss != loss);
        rung->told[i].loss = loss;
    }
    hd_history_sort_best(rung);
    if (!changed)
        return;
    rung->replaced_count++;
    history->replace_count++;
}

/* The first `count` results of the rung, as if there were no others, in history->scaled. */
static enum hd_code scale_rung(struct hd_history *history, const struct hd_history_rung *rung,
                               uint32_t count, enum hd_scale scale, struct norm *norm,
                               struct hd_err *err)
{
    enum hd_code code = HD_OK;
    if (!reserve(history, count))
        return hd_fail(err, HD_E_NOMEM, "no memory to compare %u results", count);
    if (history->objective_count == 1) {
        for (uint32_t i = 0; i < count; i++)
            history->scaled[i] = hd_history_vector(history, rung, i)[0];
    } else {
        fill_rows(history, rung, count);
        if (scale == HD_SCALE_ORDER)
            code = scale_by_order(history, rung, err);
        else
            scale_by_norm(history, rung, count, norm);
    }
    if (code == HD_OK && (history->objective_count == 1 || scale == HD_SCALE_CHEBYSHEV))
        put_infeasible_last(history, rung, count);
    else if (code == HD_OK)
        for (uint32_t i = 0; i < count; i++)
            if (isinf(hd_history_vector(history, rung, i)[history->objective_count]))
                history->scaled[i] = INFINITY;
    return code;
}

enum hd_code hd_history_scale(struct hd_history *history, enum hd_scale scale, uint64_t seed,
                              uint32_t config_number, struct hd_err *err)
{
    struct norm norm;
    if (!hd_history_has_vectors(history) || scale == HD_SCALE_NONE)
        return HD_OK;
    uint64_t key = 1; /* one objective: one scale for all */
    if (history->objective_count > 1 && scale == HD_SCALE_ORDER)
        key = 2;
    if (history->objective_count > 1 && scale == HD_SCALE_CHEBYSHEV) {
        draw_weights(&norm, "weights of objectives", history->objective_count, seed, config_number);
        key = UINT64_C(3) + config_number;
    }
    for (uint32_t r = 0; r < history->rung_count; r++) {
        struct hd_history_rung *rung = history->rungs[r];
        bool current = rung->scale == key && rung->scaled_count == rung->told_count &&
                       rung->scaled_changes == rung->changed_count;
        if (current || rung->told_count == 0)
            continue;
        if (rung->scaled_changes != rung->changed_count)
            rung->scaled_count = 0; /* replaced results were counted when they came */
        enum hd_code code = scale_rung(history, rung, rung->told_count, scale, &norm, err);
        if (code != HD_OK)
            return code;
        apply(history, rung);
        rung->scale = key;
        rung->scaled_count = rung->told_count;
        rung->scaled_changes = rung->changed_count;
    }
    return HD_OK;
}

enum hd_code hd_history_weigh(struct hd_history *history, const struct hd_history_rung *rung,
                              uint32_t until, uint64_t seed, uint32_t which, struct hd_err *err)
{
    struct norm norm;
    uint32_t count = 0, objectives = history->objective_count;
    while (count < rung->told_count && rung->told[count].sequence < until)
        count++;
    draw_weights(&norm, "weights of a fit", objectives, seed,
                 (uint64_t)until * HD_HISTORY_WEIGHINGS + which);
    for (uint32_t k = 0; k < objectives && which == 0; k++)
        norm.weights[k] = 1.0 / objectives;
    return scale_rung(history, rung, count, HD_SCALE_CHEBYSHEV, &norm, err);
}

uint64_t hd_history_changes(const struct hd_history *history)
{
    uint64_t changes = 0;
    if (!hd_history_has_vectors(history))
        return history->replace_count;
    for (uint32_t r = 0; r < history->rung_count; r++)
        changes += history->rungs[r]->changed_count;
    return changes;
}
