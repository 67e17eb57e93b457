/* SPDX-License-Identifier: Apache-2.0 */
/* rung.c: heaps of result indexes, with sift-up and sift-down. */
#include "rung.h"

void hd_rung_init(struct hd_rung *rung, uint32_t objective_count, bool constrained)
{
    rung->has_fronts = objective_count > 1 || constrained;
    hd_fronts_init(&rung->fronts, objective_count > 0 ? objective_count : 1);
}

enum hd_code hd_rung_reserve(struct hd_rung *rung, uint32_t capacity, struct hd_err *err)
{
    if (capacity <= rung->capacity)
        return HD_OK;
    uint32_t next = rung->capacity < 8 ? 8 : rung->capacity;
    while (next < capacity)
        next = next > UINT32_MAX / 2 ? capacity : next * 2;
    struct hd_rung_result *results = hd_realloc(rung->results, next * sizeof(*results));
    rung->results = results != NULL ? results : rung->results;
    if (results == NULL)
        return hd_fail(err, HD_E_NOMEM, "no memory for %u results of a rung", next);
    enum hd_code code = rung->has_fronts ? hd_fronts_reserve(&rung->fronts, next, err) : HD_OK;
    if (code == HD_OK)
        rung->capacity = next;
    return code;
}

void hd_rung_release(struct hd_rung *rung)
{
    hd_free(rung->results);
    hd_fronts_release(&rung->fronts);
    *rung = (struct hd_rung){0};
}

static bool is_better(const struct hd_rung *rung, uint32_t a, uint32_t b)
{
    const struct hd_rung_result *left = &rung->results[a], *right = &rung->results[b];
    if (left->loss < right->loss || left->loss > right->loss)
        return left->loss < right->loss;
    return left->config_number < right->config_number;
}

/* Does a stand above b in that heap? */
static bool is_above(const struct hd_rung *rung, enum hd_rung_heap heap, uint32_t a, uint32_t b)
{
    return heap == HD_RUNG_TOP ? is_better(rung, b, a) : is_better(rung, a, b);
}

static void push(struct hd_rung *rung, enum hd_rung_heap heap, uint32_t index)
{
    uint32_t place = rung->size[heap]++;
    while (place > 0) {
        uint32_t parent = (place - 1) / 2, other = rung->results[parent].heap[heap];
        if (!is_above(rung, heap, index, other))
            break;
        rung->results[place].heap[heap] = other;
        place = parent;
    }
    rung->results[place].heap[heap] = index;
}

static uint32_t pop(struct hd_rung *rung, enum hd_rung_heap heap)
{
    hd_assert(rung->size[heap] > 0);
    uint32_t first = rung->results[0].heap[heap];
    uint32_t size = --rung->size[heap];
    uint32_t last = rung->results[size].heap[heap];
    uint32_t place = 0;
    for (;;) {
        uint32_t child = 2 * place + 1;
        if (child >= size)
            break;
        if (child + 1 < size && is_above(rung, heap, rung->results[child + 1].heap[heap],
                                         rung->results[child].heap[heap]))
            child++;
        uint32_t other = rung->results[child].heap[heap];
        if (!is_above(rung, heap, other, last))
            break;
        rung->results[place].heap[heap] = other;
        place = child;
    }
    rung->results[place].heap[heap] = last;
    return first;
}

/* Whether the best open one is among the best `quota`. */
static void mark_best(struct hd_rung *rung)
{
    if (rung->fronts.best != HD_FRONTS_NONE)
        rung->results[rung->fronts.best].in_top = rung->fronts.best_place < rung->quota;
}

uint32_t hd_rung_add(struct hd_rung *rung, uint32_t config_number, const struct hd_score *score,
                     uint32_t below)
{
    hd_assert(rung->count < rung->capacity);
    uint32_t index = rung->count++;
    struct hd_rung_result *result = &rung->results[index];
    /* Only the fields of this result: the heaps' places in it are not its own. */
    result->loss = score->losses[0];
    result->config_number = config_number;
    result->below = below;
    result->in_top = false;
    if (rung->has_fronts) {
        hd_fronts_add(&rung->fronts, score);
        mark_best(rung);
        return index;
    }
    push(rung, HD_RUNG_OPEN, index);
    if (rung->size[HD_RUNG_TOP] > 0 && is_better(rung, index, rung->results[0].heap[HD_RUNG_TOP])) {
        uint32_t worst = pop(rung, HD_RUNG_TOP);
        rung->results[worst].in_top = false;
        push(rung, HD_RUNG_REST, worst);
        rung->results[index].in_top = true;
        push(rung, HD_RUNG_TOP, index);
    } else {
        push(rung, HD_RUNG_REST, index);
    }
    return index;
}

void hd_rung_set_quota(struct hd_rung *rung, uint32_t quota)
{
    if (rung->has_fronts && quota > rung->quota) {
        rung->quota = quota;
        mark_best(rung);
    }
    while (rung->size[HD_RUNG_TOP] < quota && rung->size[HD_RUNG_REST] > 0) {
        uint32_t index = pop(rung, HD_RUNG_REST);
        rung->results[index].in_top = true;
        push(rung, HD_RUNG_TOP, index);
    }
}

const struct hd_rung_result *hd_rung_best_open(const struct hd_rung *rung)
{
    if (rung->has_fronts)
        return rung->fronts.best == HD_FRONTS_NONE ? NULL : &rung->results[rung->fronts.best];
    return rung->size[HD_RUNG_OPEN] == 0 ? NULL
                                         : &rung->results[rung->results[0].heap[HD_RUNG_OPEN]];
}

void hd_rung_promote_best(struct hd_rung *rung)
{
    rung->promoted_count++;
    if (rung->has_fronts) {
        hd_fronts_promote_best(&rung->fronts);
        mark_best(rung);
        return;
    }
    (void)pop(rung, HD_RUNG_OPEN);
}
