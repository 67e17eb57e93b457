/* SPDX-License-Identifier: Apache-2.0 */
/* fronts.c: see fronts.h. */
#include "fronts.h"

#include <stdlib.h>
#include <string.h>

void hd_fronts_init(struct hd_fronts *fronts, uint32_t objectives)
{
    fronts->objectives = objectives;
    fronts->best = HD_FRONTS_NONE;
}

static bool grow(void **array, size_t count, size_t size)
{
    void *grown = hd_realloc(*array, count * size);
    *array = grown != NULL ? grown : *array;
    return grown != NULL;
}

/* An array that grew before a failure is merely larger than the capacity says. */
enum hd_code hd_fronts_reserve(struct hd_fronts *fronts, uint32_t capacity, struct hd_err *err)
{
    size_t width = fronts->objectives + 1u;
    if (capacity <= fronts->capacity)
        return HD_OK;
    if (!grow((void **)&fronts->vectors, capacity * width, sizeof(double)) ||
        !grow((void **)&fronts->members, capacity, sizeof(*fronts->members)) ||
        !grow((void **)&fronts->broken, capacity, sizeof(uint32_t)) ||
        !grow((void **)&fronts->numbers, capacity, sizeof(uint32_t)) ||
        !grow((void **)&fronts->fronts, capacity, sizeof(*fronts->fronts)) ||
        !grow((void **)&fronts->rows, capacity, sizeof(*fronts->rows)))
        return hd_fail(err, HD_E_NOMEM, "no memory for the fronts of %u results", capacity);
    fronts->capacity = capacity;
    return HD_OK;
}

void hd_fronts_release(struct hd_fronts *fronts)
{
    hd_free(fronts->vectors);
    hd_free(fronts->members);
    hd_free(fronts->broken);
    hd_free(fronts->numbers);
    hd_free(fronts->fronts);
    hd_free(fronts->rows);
    *fronts = (struct hd_fronts){0};
}

static const double *vector_of(const struct hd_fronts *fronts, uint32_t index)
{
    return fronts->vectors + (size_t)index * (fronts->objectives + 1u);
}

static double violation_of(const struct hd_fronts *fronts, uint32_t index)
{
    return vector_of(fronts, index)[fronts->objectives];
}

/* ---- a new result ---------------------------------------------------------------------------- */

/* Does one of the list stand above the result in every objective that they differ in? */
static bool list_dominates(const struct hd_fronts *fronts, uint32_t head, uint32_t index)
{
    for (uint32_t at = head; at != HD_FRONTS_NONE; at = fronts->members[at].next) {
        if (hd_pareto_dominates(vector_of(fronts, at), vector_of(fronts, index),
                                fronts->objectives))
            return true;
    }
    return false;
}

/* What a front dominates is dominated by every front before it: halving finds the first that does
 * not dominate the result. */
static uint32_t find_front(const struct hd_fronts *fronts, uint32_t index)
{
    uint32_t low = 0, high = fronts->front_count;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (list_dominates(fronts, fronts->fronts[middle].head, index))
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static void put_in_front(struct hd_fronts *fronts, struct hd_front *front, uint32_t index)
{
    struct hd_front_member *member = &fronts->members[index];
    member->next = front->head;
    front->head = index;
    front->count++;
    front->open_count += member->is_open ? 1 : 0;
}

/* Those of the list come into the front; the list of those that have to leave it for them. */
static uint32_t displace(struct hd_fronts *fronts, struct hd_front *front, uint32_t coming)
{
    struct hd_front before = *front;
    uint32_t leaving = HD_FRONTS_NONE, next;
    *front = (struct hd_front){.head = HD_FRONTS_NONE};
    for (uint32_t at = before.head; at != HD_FRONTS_NONE; at = next) {
        next = fronts->members[at].next;
        if (list_dominates(fronts, coming, at)) {
            fronts->members[at].next = leaving;
            leaving = at;
        } else {
            put_in_front(fronts, front, at);
        }
    }
    for (uint32_t at = coming; at != HD_FRONTS_NONE; at = next) {
        next = fronts->members[at].next;
        put_in_front(fronts, front, at);
    }
    return leaving;
}

static uint32_t add_feasible(struct hd_fronts *fronts, uint32_t index)
{
    uint32_t first = find_front(fronts, index), moving = index;
    for (uint32_t f = first; moving != HD_FRONTS_NONE; f++) {
        if (f == fronts->front_count)
            fronts->fronts[fronts->front_count++] = (struct hd_front){.head = HD_FRONTS_NONE};
        moving = displace(fronts, &fronts->fronts[f], moving);
    }
    return first;
}

/* By violation; of two with the same the one that came first. */
static void add_broken(struct hd_fronts *fronts, uint32_t index)
{
    uint32_t low = 0, high = fronts->broken_count;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (violation_of(fronts, fronts->broken[middle]) <= violation_of(fronts, index))
            low = middle + 1;
        else
            high = middle;
    }
    memmove(&fronts->broken[low + 1], &fronts->broken[low],
            (fronts->broken_count - low) * sizeof(uint32_t));
    fronts->broken[low] = index;
    fronts->broken_count++;
}

/* ---- the best open one ----------------------------------------------------------------------- */

static int compare_numbers(const void *a, const void *b)
{
    const uint32_t *x = a, *y = b;
    return (*x > *y) - (*x < *y);
}

/* The rows of that front in order; row.index is that of the result. Rows are given in the order of
 * their coming, by which hd_pareto_order() breaks ties. */
static void order_front(struct hd_fronts *fronts, const struct hd_front *front)
{
    uint32_t count = 0;
    for (uint32_t at = front->head; at != HD_FRONTS_NONE; at = fronts->members[at].next)
        fronts->numbers[count++] = at;
    qsort(fronts->numbers, count, sizeof(uint32_t), compare_numbers);
    for (uint32_t i = 0; i < count; i++)
        fronts->rows[i] = (struct hd_pareto_row){.losses = vector_of(fronts, fronts->numbers[i])};
    hd_pareto_order(fronts->rows, count, fronts->objectives);
    for (uint32_t i = 0; i < count; i++)
        fronts->rows[i].index = fronts->numbers[fronts->rows[i].index];
}

/* The first open one of the best front, which is in order. */
static void choose_in_front(struct hd_fronts *fronts, uint32_t before)
{
    uint32_t place = 0;
    while (!fronts->members[fronts->rows[place].index].is_open)
        place++;
    fronts->best = (uint32_t)fronts->rows[place].index;
    fronts->best_place = before + place;
}

static void choose_broken(struct hd_fronts *fronts, uint32_t before)
{
    fronts->best = HD_FRONTS_NONE;
    for (uint32_t i = 0; i < fronts->broken_count && fronts->best == HD_FRONTS_NONE; i++) {
        if (!fronts->members[fronts->broken[i]].is_open)
            continue;
        fronts->best = fronts->broken[i];
        fronts->best_place = before + i;
    }
}

/* `in_order`: of the front that was the best one nobody came or left. */
static void choose(struct hd_fronts *fronts, bool in_order)
{
    uint32_t f = 0, before = 0;
    while (f < fronts->front_count && fronts->fronts[f].open_count == 0)
        before += fronts->fronts[f++].count;
    if (f == fronts->front_count) {
        choose_broken(fronts, before);
    } else {
        if (!in_order || f != fronts->best_front)
            order_front(fronts, &fronts->fronts[f]);
        choose_in_front(fronts, before);
    }
    fronts->best_front = f;
}

void hd_fronts_add(struct hd_fronts *fronts, const struct hd_score *score)
{
    hd_assert(fronts->count < fronts->capacity);
    uint32_t index = fronts->count++;
    double *vector = fronts->vectors + (size_t)index * (fronts->objectives + 1u);
    memcpy(vector, score->losses, fronts->objectives * sizeof(double));
    vector[fronts->objectives] = score->violation;
    fronts->members[index] = (struct hd_front_member){.next = HD_FRONTS_NONE, .is_open = true};
    bool in_order = true;
    if (score->violation > 0)
        add_broken(fronts, index);
    else
        in_order = add_feasible(fronts, index) > fronts->best_front;
    choose(fronts, in_order && fronts->best != HD_FRONTS_NONE);
}

void hd_fronts_promote_best(struct hd_fronts *fronts)
{
    hd_assert(fronts->best != HD_FRONTS_NONE && fronts->members[fronts->best].is_open);
    fronts->members[fronts->best].is_open = false;
    if (fronts->best_front < fronts->front_count)
        fronts->fronts[fronts->best_front].open_count--;
    choose(fronts, true);
}
