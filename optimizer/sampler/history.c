/* SPDX-License-Identifier: Apache-2.0 */
/* history.c: configs, results by budget, and which configs are used. */
#include "history.h"

#include <math.h>
#include <string.h>

#define DRAWS_MAX 64
#define DRAWS_LAST 4096 /* where no table of all configs helps */

static enum hd_code make_grid(struct hd_history *history, struct hd_err *err)
{
    if (hd_space_size(history->space) > HD_HISTORY_GRID_MAX)
        return HD_OK;
    enum hd_code code = hd_grid_new(history->space, 0, &history->grid, err);
    /* Cases that are too many for a table: draws have to do. */
    return code == HD_E_LIMIT ? HD_OK : code;
}

enum hd_code hd_history_init(struct hd_history *history, const struct hd_space *space,
                             struct hd_err *err)
{
    *history =
        (struct hd_history){.space = space, .dimension = space->free_count, .objective_count = 1};
    history->params = hd_calloc(history->dimension + 1, sizeof(*history->params));
    history->scratch = hd_calloc(2 * space->param_count + 1, sizeof(*history->scratch));
    if (history->params == NULL || history->scratch == NULL) {
        hd_history_release(history);
        return hd_fail(err, HD_E_NOMEM, "no memory for a sampler's history");
    }
    size_t dimension = 0;
    for (size_t i = 0; i < space->param_count; i++) {
        if (hd_param_is_free(&space->params[i]))
            history->params[dimension++] = i;
    }
    hd_assert(dimension == history->dimension);
    enum hd_code code = make_grid(history, err);
    if (code != HD_OK)
        hd_history_release(history);
    return code;
}

enum hd_code hd_history_set_objectives(struct hd_history *history, uint32_t objective_count,
                                       bool constrained, struct hd_err *err)
{
    objective_count = objective_count > 0 ? objective_count : 1;
    if (objective_count > HD_OBJECTIVES_MAX)
        return hd_fail(err, HD_E_LIMIT, "%u objectives; at most %u are allowed", objective_count,
                       HD_OBJECTIVES_MAX);
    hd_assert(history->rung_count == 0);
    history->objective_count = objective_count;
    history->constrained = constrained;
    return HD_OK;
}

static void rung_free(struct hd_history_rung *rung)
{
    if (rung == NULL)
        return;
    hd_free(rung->told);
    hd_free(rung->slots);
    hd_free(rung->vectors);
    hd_free(rung);
}

void hd_history_release(struct hd_history *history)
{
    for (uint32_t i = 0; i < history->rung_count; i++)
        rung_free(history->rungs[i]);
    hd_free(history->rungs);
    hd_free(history->params);
    hd_free(history->units);
    hd_free(history->hashes);
    hd_free(history->pending);
    hd_free(history->scratch);
    hd_free(history->rows);
    hd_free(history->scaled);
    hd_grid_free(history->grid);
    *history = (struct hd_history){0};
}

/* Grows *array to capacity items of size bytes; the old one stays good on failure. */
static bool grow(void *array_address, size_t capacity, size_t size)
{
    void *old, *grown;
    memcpy(&old, array_address, sizeof(old));
    grown = hd_realloc(old, capacity * size);
    if (grown == NULL)
        return false;
    memcpy(array_address, &grown, sizeof(grown));
    return true;
}

/* ---- the set of hashes -------------------------------------------------------------------- */

static uint64_t mix(uint64_t hash)
{
    hash = (hash ^ (hash >> 32)) * UINT64_C(0x9e3779b97f4a7c15);
    return hash ^ (hash >> 29);
}

static uint64_t config_key(const struct hd_history *history, const double *values)
{
    uint64_t hash = mix(hd_config_hash(history->space, values));
    return hash != 0 ? hash : 1;
}

static size_t find_hash(const uint64_t *hashes, size_t slots, uint64_t key)
{
    size_t slot = key & (slots - 1);
    while (hashes[slot] != 0 && hashes[slot] != key)
        slot = (slot + 1) & (slots - 1);
    return slot;
}

static bool reserve_hash(struct hd_history *history)
{
    if ((history->distinct_count + 1) * 2 <= history->hash_slots)
        return true;
    size_t slots = history->hash_slots != 0 ? history->hash_slots * 2 : 64;
    uint64_t *hashes = hd_calloc(slots, sizeof(*hashes));
    if (hashes == NULL)
        return false;
    for (size_t i = 0; i < history->hash_slots; i++) {
        if (history->hashes[i] != 0)
            hashes[find_hash(hashes, slots, history->hashes[i])] = history->hashes[i];
    }
    hd_free(history->hashes);
    history->hashes = hashes;
    history->hash_slots = slots;
    return true;
}

bool hd_history_has(const struct hd_history *history, const double *values)
{
    if (history->hash_slots == 0)
        return false;
    uint64_t key = config_key(history, values);
    return history->hashes[find_hash(history->hashes, history->hash_slots, key)] == key;
}

bool hd_history_values_of(const struct hd_history *history, const double *point, double *ret_values)
{
    const struct hd_space *space = history->space;
    for (size_t i = 0; i < space->param_count; i++)
        ret_values[i] = space->params[i].default_value;
    for (size_t d = 0; d < history->dimension; d++) {
        size_t index = history->params[d];
        ret_values[index] = hd_param_from_unit(&space->params[index], point[d]);
    }
    return hd_space_finish(space, ret_values);
}

/* ---- configs ------------------------------------------------------------------------------- */

static bool reserve_config(struct hd_history *history)
{
    if (history->config_count < history->config_capacity)
        return true;
    size_t capacity = history->config_capacity != 0 ? (size_t)history->config_capacity * 2 : 64;
    size_t row = history->dimension * sizeof(float);
    if (!grow(&history->units, capacity, row != 0 ? row : 1) ||
        !grow(&history->pending, capacity, sizeof(uint32_t)))
        return false;
    history->config_capacity = (uint32_t)capacity;
    return true;
}

const float *hd_history_units(const struct hd_history *history, uint32_t config_number)
{
    hd_assert(config_number < history->config_count);
    return history->units + (size_t)config_number * history->dimension;
}

static void use_config(struct hd_history *history, const double *values)
{
    uint64_t key = config_key(history, values);
    size_t slot = find_hash(history->hashes, history->hash_slots, key);
    history->distinct_count += history->hashes[slot] == 0;
    history->hashes[slot] = key;
}

enum hd_code hd_history_add_known(struct hd_history *history, uint32_t config_number,
                                  const double *values, struct hd_err *err)
{
    if (config_number != history->config_count)
        return hd_fail(err, HD_E_CONFLICT, "config number %u added, but the next is %u",
                       config_number, history->config_count);
    if (config_number >= HD_HISTORY_CONFIGS_MAX)
        return hd_fail(err, HD_E_LIMIT, "a sampler holds at most %u configs",
                       HD_HISTORY_CONFIGS_MAX);
    enum hd_code code = hd_space_check(history->space, values, err);
    if (code != HD_OK)
        return code;
    if (!reserve_config(history) || !reserve_hash(history))
        return hd_fail(err, HD_E_NOMEM, "no memory for config number %u", config_number);
    float *row = history->units + (size_t)config_number * history->dimension;
    for (size_t d = 0; d < history->dimension; d++) {
        size_t index = history->params[d];
        double value = values[index];
        row[d] =
            isnan(value) ? NAN : (float)hd_param_to_unit(&history->space->params[index], value);
    }
    history->pending[history->pending_count++] = config_number;
    history->config_count++;
    return HD_OK;
}

enum hd_code hd_history_add(struct hd_history *history, uint32_t config_number,
                            const double *values, struct hd_err *err)
{
    enum hd_code code = hd_history_add_known(history, config_number, values, err);
    if (code == HD_OK)
        use_config(history, values);
    return code;
}

/* ---- results ------------------------------------------------------------------------------- */

/* Where the rung of this budget is or would be. */
static uint32_t find_rung(const struct hd_history *history, double budget)
{
    uint32_t low = 0, high = history->rung_count;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (history->rungs[middle]->budget < budget)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

const struct hd_history_rung *hd_history_rung_at(const struct hd_history *history, double budget)
{
    uint32_t at = find_rung(history, budget);
    bool found = at < history->rung_count && history->rungs[at]->budget == budget;
    return found ? history->rungs[at] : NULL;
}

static enum hd_code get_rung(struct hd_history *history, double budget,
                             struct hd_history_rung **ret_rung, struct hd_err *err)
{
    uint32_t at = find_rung(history, budget);
    if (at < history->rung_count && history->rungs[at]->budget == budget) {
        *ret_rung = history->rungs[at];
        return HD_OK;
    }
    if (history->rung_count >= HD_HISTORY_RUNGS_MAX)
        return hd_fail(err, HD_E_LIMIT, "a sampler holds results of at most %u budgets",
                       HD_HISTORY_RUNGS_MAX);
    if (history->rung_count == history->rung_capacity) {
        uint32_t capacity = history->rung_capacity != 0 ? history->rung_capacity * 2 : 8;
        if (!grow(&history->rungs, capacity, sizeof(struct hd_history_rung *)))
            return hd_fail(err, HD_E_NOMEM, "no memory for results");
        history->rung_capacity = capacity;
    }
    struct hd_history_rung *rung = hd_calloc(1, sizeof(*rung));
    if (rung == NULL)
        return hd_fail(err, HD_E_NOMEM, "no memory for results");
    rung->budget = budget;
    memmove(&history->rungs[at + 1], &history->rungs[at],
            (history->rung_count - at) * sizeof(struct hd_history_rung *));
    history->rungs[at] = rung;
    history->rung_count++;
    *ret_rung = rung;
    return HD_OK;
}

static uint32_t find_slot(const struct hd_told *told, const uint32_t *slots, uint32_t slot_count,
                          uint32_t config_number)
{
    uint32_t slot = (uint32_t)mix(config_number) & (slot_count - 1);
    while (slots[slot] != 0 && told[slots[slot] - 1].config_number != config_number)
        slot = (slot + 1) & (slot_count - 1);
    return slot;
}

const struct hd_told *hd_history_find(const struct hd_history_rung *rung, uint32_t config_number)
{
    if (rung->slot_count == 0)
        return NULL;
    uint32_t slot = find_slot(rung->told, rung->slots, rung->slot_count, config_number);
    return rung->slots[slot] != 0 ? &rung->told[rung->slots[slot] - 1] : NULL;
}

static bool reserve_told(const struct hd_history *history, struct hd_history_rung *rung)
{
    if (rung->told_count == rung->told_capacity) {
        uint32_t capacity = rung->told_capacity != 0 ? rung->told_capacity * 2 : 32;
        if (!grow(&rung->told, capacity, sizeof(struct hd_told)))
            return false;
        if (hd_history_has_vectors(history) &&
            !grow(&rung->vectors, capacity, hd_history_width(history) * sizeof(double)))
            return false;
        rung->told_capacity = capacity;
    }
    if ((rung->told_count + 1) * 2 <= rung->slot_count)
        return true;
    uint32_t slot_count = rung->slot_count != 0 ? rung->slot_count * 2 : 64;
    uint32_t *slots = hd_calloc(slot_count, sizeof(*slots));
    if (slots == NULL)
        return false;
    for (uint32_t i = 0; i < rung->told_count; i++)
        slots[find_slot(rung->told, slots, slot_count, rung->told[i].config_number)] = i + 1;
    hd_free(rung->slots);
    rung->slots = slots;
    rung->slot_count = slot_count;
    return true;
}

static bool is_better(const struct hd_told *a, const struct hd_told *b)
{
    return a->loss != b->loss ? a->loss < b->loss : a->config_number < b->config_number;
}

static void insert_best(struct hd_history_rung *rung, uint32_t index)
{
    const struct hd_told *told = &rung->told[index];
    if (!isfinite(told->loss))
        return;
    if (rung->best_count == HD_HISTORY_BEST_MAX) {
        if (!is_better(told, &rung->told[rung->best[rung->best_count - 1]]))
            return;
        rung->best_count--;
    }
    uint32_t at = rung->best_count++;
    for (; at > 0 && is_better(told, &rung->told[rung->best[at - 1]]); at--)
        rung->best[at] = rung->best[at - 1];
    rung->best[at] = index;
}

void hd_history_sort_best(struct hd_history_rung *rung)
{
    rung->best_count = 0;
    for (uint32_t i = 0; i < rung->told_count; i++)
        insert_best(rung, i);
}

static void replace_result(struct hd_history_rung *rung, uint32_t index, double loss)
{
    struct hd_told *told = &rung->told[index];
    rung->finite_count += (isfinite(loss) ? 1u : 0u) - (isfinite(told->loss) ? 1u : 0u);
    told->loss = loss;
    rung->replaced_count++;
    hd_history_sort_best(rung);
}

/* Keeps the vector of a result; false when it is the one that was there. */
static bool set_vector(const struct hd_history *history, struct hd_history_rung *rung,
                       uint32_t index, const struct hd_score *score)
{
    double vector[HD_OBJECTIVES_MAX + 1];
    size_t width = hd_history_width(history);
    double *row = rung->vectors + (size_t)index * width;
    bool finite = hd_score_is_finite(score, history->objective_count);
    for (size_t i = 0; i < width; i++)
        vector[i] = !finite                        ? INFINITY
                    : i < history->objective_count ? score->losses[i]
                    : history->constrained         ? score->violation
                                                   : 0;
    if (index < rung->told_count && memcmp(row, vector, width * sizeof(double)) == 0)
        return false;
    memcpy(row, vector, width * sizeof(double));
    return true;
}

static void end_pending(struct hd_history *history, uint32_t config_number)
{
    uint32_t low = 0, high = history->pending_count;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (history->pending[middle] < config_number)
            low = middle + 1;
        else
            high = middle;
    }
    if (low == history->pending_count || history->pending[low] != config_number)
        return;
    history->pending_count--;
    memmove(&history->pending[low], &history->pending[low + 1],
            (history->pending_count - low) * sizeof(*history->pending));
}

enum hd_code hd_history_tell(struct hd_history *history, uint32_t config_number, double budget,
                             double loss, struct hd_err *err)
{
    struct hd_score score = hd_score_of(loss);
    for (size_t i = 1; i < history->objective_count; i++)
        score.losses[i] = loss;
    return hd_history_tell_score(history, config_number, budget, &score, err);
}

enum hd_code hd_history_tell_score(struct hd_history *history, uint32_t config_number,
                                   double budget, const struct hd_score *score, struct hd_err *err)
{
    struct hd_history_rung *rung = NULL;
    if (config_number >= history->config_count)
        return hd_fail(err, HD_E_NOTFOUND, "a result of config number %u, which was not added",
                       config_number);
    if (!isfinite(budget))
        return hd_fail(err, HD_E_INVALID, "a result at a budget that is not finite");
    /* An empty rung that a failure below leaves behind has no results and no effect. */
    enum hd_code code = get_rung(history, budget, &rung, err);
    if (code != HD_OK)
        return code;
    if (!reserve_told(history, rung))
        return hd_fail(err, HD_E_NOMEM, "no memory for the result of config %u", config_number);
    bool finite = hd_score_is_finite(score, history->objective_count);
    double loss = finite ? score->losses[0] : INFINITY;
    uint32_t slot = find_slot(rung->told, rung->slots, rung->slot_count, config_number);
    if (rung->slots[slot] != 0) {
        /* Said again, as by a job that ends at its last milestone: nothing that was folded is void.
         */
        uint32_t index = rung->slots[slot] - 1;
        bool same = hd_history_has_vectors(history) ? !set_vector(history, rung, index, score)
                                                    : rung->told[index].loss == loss;
        if (same)
            return HD_OK;
        rung->changed_count++;
        replace_result(rung, index, loss);
        history->replace_count++;
        return HD_OK;
    }
    if (hd_history_has_vectors(history))
        (void)set_vector(history, rung, rung->told_count, score);
    rung->told[rung->told_count] = (struct hd_told){
        .config_number = config_number, .sequence = history->tell_count++, .loss = loss};
    rung->finite_count += isfinite(loss) ? 1 : 0;
    rung->slots[slot] = ++rung->told_count;
    insert_best(rung, rung->told_count - 1);
    end_pending(history, config_number);
    return HD_OK;
}

/* ---- unused configs ------------------------------------------------------------------------ */

enum hd_code hd_history_check_left(const struct hd_history *history, struct hd_err *err)
{
    double size = hd_space_size(history->space);
    if ((double)history->distinct_count < size)
        return HD_OK;
    return hd_fail(err, HD_E_LIMIT, "all %zu configs of the space are used",
                   history->distinct_count);
}

bool hd_history_take_unused(const struct hd_history *history, const double *point,
                            double *ret_values)
{
    double *values = history->scratch;
    if (!hd_history_values_of(history, point, values) || hd_history_has(history, values))
        return false;
    memcpy(ret_values, values, history->space->param_count * sizeof(*values));
    return true;
}

/* The next unused config after a random place. Of distinct_count + 1 different configs one is
 * unused: the loop ends. */
static bool walk_grid(const struct hd_history *history, struct hd_rng *rng, double *values)
{
    uint64_t size = hd_grid_size(history->grid), place = hd_rng_below(rng, size);
    for (size_t i = 0; i <= history->distinct_count; i++) {
        hd_grid_config(history->grid, place, values);
        if (!hd_history_has(history, values))
            return true;
        place = place + 1 < size ? place + 1 : 0;
    }
    return false;
}

static bool draw_often(const struct hd_history *history, struct hd_rng *rng, double *values,
                       int draws)
{
    for (int draw = 0; draw < draws; draw++) {
        hd_space_sample(history->space, rng, values);
        if (!hd_history_has(history, values))
            return true;
    }
    return false;
}

enum hd_code hd_history_draw_unused(const struct hd_history *history, struct hd_rng *rng,
                                    double *ret_values, struct hd_err *err)
{
    enum hd_code code = hd_history_check_left(history, err);
    if (code != HD_OK)
        return code;
    double *values = history->scratch;
    bool found = draw_often(history, rng, values, DRAWS_MAX);
    if (!found && history->grid != NULL)
        found = walk_grid(history, rng, values);
    else if (!found)
        found = draw_often(history, rng, values, DRAWS_LAST);
    /* Of infinitely many: so unlikely that a repeated config is the better answer. */
    if (!found && !isinf(hd_space_size(history->space)))
        return hd_fail(err, HD_E_LIMIT, "no config of the space was found that is not used");
    memcpy(ret_values, values, history->space->param_count * sizeof(*values));
    return HD_OK;
}
