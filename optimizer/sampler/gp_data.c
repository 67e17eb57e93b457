/* SPDX-License-Identifier: Apache-2.0 */
/* gp_data.c: observations and targets of the Gaussian process. */
#include "gp_data.h"
#include "scalar.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define INVERSE_SQRT_TWO_PI 0.39894228040143267794
#define HUGE_LOSS 1e100   /* losses beyond it are scaled, so that differences cannot overflow */
#define FAILED_BEYOND 0.5 /* how much worse than the worst a failed one is, in deviations */

void hd_gp_seen_release(struct hd_gp_seen_list *list)
{
    hd_free(list->items);
    hd_free(list->marks);
    hd_free(list->sorted);
    *list = (struct hd_gp_seen_list){0};
}

static bool reserve(struct hd_gp_seen_list *list, const struct hd_history *history)
{
    if (list->mark_count < history->config_count) {
        uint32_t *marks = hd_calloc(history->config_capacity, sizeof(*marks));
        if (marks == NULL)
            return false;
        hd_free(list->marks);
        list->marks = marks;
        list->mark_count = history->config_capacity;
        list->generation = 0;
    }
    if (list->capacity < history->config_count) {
        struct hd_gp_seen *items = hd_calloc(history->config_capacity, sizeof(*items));
        double *sorted = hd_calloc(history->config_capacity, sizeof(*sorted));
        if (items == NULL || sorted == NULL) {
            hd_free(items);
            hd_free(sorted);
            return false;
        }
        hd_free(list->items);
        hd_free(list->sorted);
        list->items = items;
        list->sorted = sorted;
        list->capacity = history->config_capacity;
    }
    return true;
}

/* losses: of the told results, or NULL: as they are told. */
static void take_rung(struct hd_gp_seen_list *list, const struct hd_history_rung *rung,
                      const double *losses, uint32_t until)
{
    for (uint32_t i = 0; i < rung->told_count && rung->told[i].sequence < until; i++) {
        const struct hd_told *told = &rung->told[i];
        if (list->marks[told->config_number] == list->generation)
            continue;
        list->marks[told->config_number] = list->generation;
        list->items[list->count++] =
            (struct hd_gp_seen){told->config_number, told->sequence, rung->budget,
                                losses != NULL ? losses[i] : told->loss};
        list->budget_low = rung->budget;
    }
}

static int by_sequence(const void *a, const void *b)
{
    const struct hd_gp_seen *x = a, *y = b;
    return (x->sequence > y->sequence) - (x->sequence < y->sequence);
}

static int by_loss(const void *a, const void *b)
{
    const struct hd_gp_seen *x = a, *y = b;
    if (x->loss != y->loss)
        return x->loss < y->loss ? -1 : 1;
    return by_sequence(a, b);
}

/* Moves those that are kept to the front; the heap's worst is at its root. */
static void sift(struct hd_gp_seen *heap, uint32_t count, uint32_t at)
{
    for (;;) {
        uint32_t worst = at, child = 2 * at + 1;
        for (uint32_t i = child; i < child + 2 && i < count; i++)
            worst = by_loss(&heap[i], &heap[worst]) > 0 ? i : worst;
        if (worst == at)
            return;
        struct hd_gp_seen moved = heap[at];
        heap[at] = heap[worst];
        heap[worst] = moved;
        at = worst;
    }
}

static void keep_some(struct hd_gp_seen_list *list, uint32_t until, uint32_t limit)
{
    uint32_t recent = limit / 3, cut = until / HD_GP_SEEN_STEP * HD_GP_SEEN_STEP;
    cut = cut > recent ? cut - recent : 0;
    uint32_t old_count = 0;
    /* The old ones first; both parts keep to themselves. */
    for (uint32_t i = 0; i < list->count; i++) {
        if (list->items[i].sequence >= cut)
            continue;
        struct hd_gp_seen moved = list->items[i];
        list->items[i] = list->items[old_count];
        list->items[old_count++] = moved;
    }
    uint32_t young_count = list->count - old_count;
    uint32_t room = limit - recent - (HD_GP_SEEN_STEP < limit / 3 ? HD_GP_SEEN_STEP : limit / 3);
    uint32_t kept = old_count < room ? old_count : room;
    for (uint32_t i = kept / 2; i-- > 0;)
        sift(list->items, kept, i);
    for (uint32_t i = kept; i < old_count; i++) {
        if (by_loss(&list->items[i], &list->items[0]) < 0) {
            list->items[0] = list->items[i];
            sift(list->items, kept, 0);
        }
    }
    memmove(list->items + kept, list->items + old_count, young_count * sizeof(*list->items));
    list->count = kept + young_count;
}

enum hd_code hd_gp_seen_gather(struct hd_gp_seen_list *list, struct hd_history *history,
                               enum hd_gp_losses losses, uint32_t until, double fraction,
                               uint32_t enough, uint32_t limit, struct hd_err *err)
{
    bool weigh = losses == HD_GP_LOSSES_THEN && hd_history_has_vectors(history);
    if (!reserve(list, history))
        return hd_fail(err, HD_E_NOMEM, "no memory for %u observations", history->config_count);
    if (++list->generation == 0) {
        memset(list->marks, 0, list->mark_count * sizeof(*list->marks));
        list->generation = 1;
    }
    list->count = 0;
    list->budget_low = list->budget_high = NAN;
    for (uint32_t i = history->rung_count; i-- > 0;) {
        const struct hd_history_rung *rung = history->rungs[i];
        if (rung->told_count == 0 || rung->told[0].sequence >= until)
            continue;
        if (isnan(list->budget_high))
            list->budget_high = rung->budget;
        else if (rung->budget < fraction * list->budget_high && list->count >= enough)
            break;
        enum hd_code code = HD_OK;
        if (weigh)
            code = hd_history_weigh(history, rung, until, 0, 0, err);
        if (code != HD_OK)
            return code;
        take_rung(list, rung, weigh ? history->scaled : NULL, until);
    }
    if (list->count > limit)
        keep_some(list, until, limit);
    if (list->count > 0)
        qsort(list->items, list->count, sizeof(*list->items), by_sequence);
    list->finite_count = 0;
    for (uint32_t i = 0; i < list->count; i++)
        list->finite_count += isfinite(list->items[i].loss) ? 1 : 0;
    return HD_OK;
}

enum hd_code hd_gp_seen_weigh(struct hd_gp_seen_list *list, struct hd_history *history,
                              uint32_t until, uint64_t seed, uint32_t which, struct hd_err *err)
{
    for (uint32_t r = 0; r < history->rung_count; r++) {
        const struct hd_history_rung *rung = history->rungs[r];
        enum hd_code code = hd_history_weigh(history, rung, until, seed, which, err);
        if (code != HD_OK)
            return code;
        for (uint32_t i = 0; i < list->count; i++) {
            struct hd_gp_seen *seen = &list->items[i];
            if (seen->budget == rung->budget)
                seen->loss =
                    history->scaled[hd_history_find(rung, seen->config_number) - rung->told];
        }
    }
    return HD_OK;
}

double hd_gp_seen_fidelity(const struct hd_gp_seen_list *list, double budget)
{
    double low = list->budget_low, high = list->budget_high;
    if (budget >= high)
        return 1;
    if (low > 0)
        return log(budget / low) / log(high / low);
    return (budget - low) / (high - low);
}

/* ---- targets ------------------------------------------------------------------------------- */

/* z >= 0 with P(Z <= z) = p, for p in [0.5, 1 - 1e-9]. Newton's method: the distribution is concave
 * there, so that it rises to the answer. */
static double upper_quantile(double p)
{
    double z = 0;
    for (int i = 0; i < 60; i++) {
        double missing = 0.5 * erfc(-z * sqrt(0.5)) - p;
        double step = missing / (INVERSE_SQRT_TWO_PI * exp(-z * z / 2));
        z -= step;
        if (fabs(step) < 1e-10)
            break;
    }
    return z;
}

static int by_number(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* How many of sorted[count] are below, and how many not above. */
static void find_ties(const double *sorted, uint32_t count, double number, uint32_t *ret_below,
                      uint32_t *ret_through)
{
    uint32_t low = 0, high = count;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (sorted[middle] < number)
            low = middle + 1;
        else
            high = middle;
    }
    *ret_below = low;
    while (low < count && sorted[low] <= number)
        low++;
    *ret_through = low;
}

static void standardize(double *targets, uint32_t count)
{
    double mean = 0, variance = 0;
    for (uint32_t i = 0; i < count; i++)
        mean += targets[i] / count;
    for (uint32_t i = 0; i < count; i++)
        variance += (targets[i] - mean) * (targets[i] - mean) / count;
    double deviation = variance > 0 ? sqrt(variance) : 1;
    for (uint32_t i = 0; i < count; i++)
        targets[i] = (targets[i] - mean) / deviation;
}

void hd_gp_seen_targets(struct hd_gp_seen_list *list, double *ret_targets)
{
    uint32_t finite = 0;
    double most = 0;
    for (uint32_t i = 0; i < list->count; i++) {
        if (isfinite(list->items[i].loss))
            most = fmax(most, fabs(list->items[i].loss));
    }
    double unit = most > HUGE_LOSS ? 1 / most : 1;
    for (uint32_t i = 0; i < list->count; i++) {
        if (isfinite(list->items[i].loss))
            list->sorted[finite++] = list->items[i].loss * unit;
    }
    if (finite > 0)
        qsort(list->sorted, finite, sizeof(*list->sorted), by_number);
    double median = finite > 0 ? list->sorted[(finite - 1) / 2] : 0, spread = 0;
    uint32_t good = finite > 0 ? (finite - 1) / 2 + 1 : 0;
    for (uint32_t i = 0; i < good; i++)
        spread += (list->sorted[i] - median) * (list->sorted[i] - median) / good;
    spread = spread > 0 ? sqrt(spread) : 1;
    double worst = 0;
    for (uint32_t i = 0; i < list->count; i++) {
        double loss = list->items[i].loss * unit;
        if (!isfinite(loss))
            continue;
        ret_targets[i] = (loss - median) / spread;
        if (loss > median) {
            uint32_t below, through;
            find_ties(list->sorted, finite, loss, &below, &through);
            double rank = 0.5 * ((double)below + (double)through) / finite;
            ret_targets[i] = upper_quantile(fmax(0.5, rank));
        }
        worst = fmax(worst, ret_targets[i]);
    }
    for (uint32_t i = 0; i < list->count; i++) {
        if (!isfinite(list->items[i].loss))
            ret_targets[i] = worst + FAILED_BEYOND;
    }
    standardize(ret_targets, list->count);
}
