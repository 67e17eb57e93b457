/* SPDX-License-Identifier: Apache-2.0 */
/*
 * synchronous.c: brackets whose rungs are barriers: all configs of a rung end before the best of
 * them go on. Several brackets are open at once, since the next one starts while one waits.
 *
 * Memory is that of the open brackets; a bracket is released when its last rung has ended. A
 * bracket holds the members of its current rung only. The open brackets are sorted by iteration,
 * so a look-up is a binary search, and next() looks at them only if one of them is ready.
 */
#include "kind.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum member_state {
    MEMBER_WAITING, /* promoted to this rung, not handed out yet */
    MEMBER_RUNNING,
    MEMBER_OK,
    MEMBER_FAILED,
};

struct member {
    struct hd_config_id id;
    uint32_t config_number;
    enum member_state state;
    double loss;  /* of an ok member at this rung; of vectors its place, once the rung is over */
    uint32_t row; /* in the vectors of the bracket */
};

/* Invariant: ended_count <= taken_count <= member_count <= plan->counts[rung]. */
struct bracket {
    const struct hd_bracket_plan *plan; /* in the generator */
    uint32_t iteration;
    uint32_t rung;
    uint32_t member_count;
    uint32_t promoted_count; /* of the members: the first ones, best first; the rest was sampled */
    uint32_t taken_count;    /* of the members: how many were handed out, in their order */
    uint32_t ended_count;
    uint32_t capacity;
    struct member *members; /* in the order in which they are handed out */
    uint32_t *by_number;    /* member indexes, sorted by config number */
    /* Of several objectives or constraints, else NULL: [capacity][width] the losses and then the
     * violation, and scratch for [capacity] rows. */
    double *vectors;
    struct hd_pareto_row *rows;
    uint32_t width;
    bool ready;         /* something can be handed out; counted in ready_count */
    uint32_t new_count; /* new configs it still wants at this rung; counted in new_count */
};

enum closing {
    CLOSING_NOT,
    CLOSING_NEW, /* promotions go on */
    CLOSING_ALL,
};

struct synchronous {
    struct hd_iter_gen_spec spec;
    struct hd_bracket_plan *plans; /* one cycle */
    uint32_t cycle;
    uint64_t cycle_new_count; /* configs that start a bracket, summed over one cycle */
    uint32_t next_iteration;  /* the one that would be opened */
    enum closing closing;
    struct bracket **open; /* sorted by iteration */
    uint32_t open_count;
    uint32_t open_capacity;
    uint32_t ready_count;
    uint64_t new_count;
    struct bracket *spare; /* made by reserve() for the next opening */
    uint32_t width;        /* of a vector; 0: one loss is all */
    uint32_t objectives;
};

/* ---- life ------------------------------------------------------------------------------ */

static void bracket_free(struct bracket *bracket)
{
    if (bracket == NULL)
        return;
    hd_free(bracket->members);
    hd_free(bracket->by_number);
    hd_free(bracket->vectors);
    hd_free(bracket->rows);
    hd_free(bracket);
}

static enum hd_code synchronous_new(const struct hd_iter_gen_spec *spec, void **ret_state,
                                    struct hd_err *err)
{
    struct synchronous *gen = hd_calloc(1, sizeof(*gen));
    if (gen == NULL)
        return hd_fail(err, HD_E_NOMEM, "no memory for the iteration generator");
    gen->spec = *spec;
    gen->objectives = spec->objective_count > 0 ? spec->objective_count : 1;
    gen->width = gen->objectives > 1 || spec->constrained ? gen->objectives + 1 : 0;
    gen->cycle = hd_iter_gen_cycle(spec);
    gen->plans = hd_calloc(gen->cycle, sizeof(gen->plans[0]));
    if (gen->plans == NULL) {
        hd_free(gen);
        return hd_fail(err, HD_E_NOMEM, "no memory for the bracket table");
    }
    for (uint32_t i = 0; i < gen->cycle; i++) {
        hd_iter_gen_plan(spec, i, &gen->plans[i]);
        gen->cycle_new_count += gen->plans[i].counts[0];
    }
    *ret_state = gen;
    return HD_OK;
}

static void synchronous_free(void *state)
{
    struct synchronous *gen = state;
    if (gen == NULL)
        return;
    for (uint32_t i = 0; i < gen->open_count; i++)
        bracket_free(gen->open[i]);
    bracket_free(gen->spare);
    hd_free(gen->open);
    hd_free(gen->plans);
    hd_free(gen);
}

/* ---- memory ---------------------------------------------------------------------------- */

static bool grow_vectors(struct bracket *bracket, uint32_t capacity)
{
    if (bracket->width == 0)
        return true;
    double *vectors = hd_realloc(bracket->vectors, capacity * bracket->width * sizeof(double));
    if (vectors == NULL)
        return false;
    bracket->vectors = vectors;
    struct hd_pareto_row *rows = hd_realloc(bracket->rows, capacity * sizeof(*rows));
    bracket->rows = rows != NULL ? rows : bracket->rows;
    return rows != NULL;
}

static enum hd_code bracket_grow(struct bracket *bracket, uint32_t capacity, struct hd_err *err)
{
    if (capacity <= bracket->capacity)
        return HD_OK;
    struct member *members = hd_realloc(bracket->members, capacity * sizeof(bracket->members[0]));
    if (members != NULL)
        bracket->members = members;
    uint32_t *by_number =
        members == NULL ? NULL
                        : hd_realloc(bracket->by_number, capacity * sizeof(bracket->by_number[0]));
    if (by_number != NULL)
        bracket->by_number = by_number;
    if (by_number == NULL || !grow_vectors(bracket, capacity))
        return hd_fail(err, HD_E_NOMEM, "no memory for %u configs of iteration %u", capacity,
                       bracket->iteration);
    bracket->capacity = capacity;
    return HD_OK;
}

static enum hd_code reserve_spare(struct synchronous *gen, struct hd_err *err)
{
    if (gen->spare == NULL)
        gen->spare = hd_calloc(1, sizeof(*gen->spare));
    if (gen->spare == NULL)
        return hd_fail(err, HD_E_NOMEM, "no memory for another iteration");
    gen->spare->width = gen->width;
    return bracket_grow(gen->spare, 1, err);
}

static enum hd_code reserve_open(struct synchronous *gen, struct hd_err *err)
{
    if (gen->open_count < gen->open_capacity)
        return HD_OK;
    uint32_t capacity = gen->open_capacity == 0 ? 8 : gen->open_capacity * 2;
    struct bracket **open = hd_realloc(gen->open, capacity * sizeof(gen->open[0]));
    if (open == NULL)
        return hd_fail(err, HD_E_NOMEM, "no memory for %u open iterations", capacity);
    gen->open = open;
    gen->open_capacity = capacity;
    return HD_OK;
}

static struct bracket *first_ready(const struct synchronous *gen)
{
    if (gen->ready_count == 0)
        return NULL;
    for (uint32_t i = 0; i < gen->open_count; i++) {
        if (gen->open[i]->ready)
            return gen->open[i];
    }
    hd_assert(false);
    return NULL;
}

static enum hd_code synchronous_reserve(void *state, struct hd_err *err)
{
    struct synchronous *gen = state;
    enum hd_code code = reserve_open(gen, err);
    if (code == HD_OK)
        code = reserve_spare(gen, err);
    struct bracket *bracket = first_ready(gen);
    if (code != HD_OK || bracket == NULL || bracket->member_count < bracket->capacity)
        return code;
    uint32_t wanted = bracket->plan->counts[bracket->rung];
    uint32_t doubled = bracket->capacity * 2;
    return bracket_grow(bracket, doubled < wanted ? doubled : wanted, err);
}

/* ---- looking --------------------------------------------------------------------------- */

static bool iterations_left(const struct synchronous *gen)
{
    uint32_t end = gen->spec.iterations_max == 0 ? UINT32_MAX : gen->spec.iterations_max;
    return gen->closing == CLOSING_NOT && gen->next_iteration < end;
}

/* New configs that the iterations not opened yet start with, saturated. */
static uint64_t future_new_count(const struct synchronous *gen)
{
    if (!iterations_left(gen))
        return 0;
    if (gen->spec.iterations_max == 0)
        return UINT32_MAX;
    uint32_t left = gen->spec.iterations_max - gen->next_iteration;
    uint64_t count = (left / gen->cycle) * gen->cycle_new_count;
    for (uint32_t i = 0; i < left % gen->cycle; i++)
        count += gen->plans[(gen->next_iteration + i) % gen->cycle].counts[0];
    return count;
}

static void fill_new(const struct bracket *bracket, struct hd_slot *slot)
{
    slot->kind = HD_SLOT_NEW;
    slot->id = (struct hd_config_id){bracket->iteration, bracket->rung, bracket->taken_count};
}

static void fill_promote(const struct bracket *bracket, struct hd_slot *slot)
{
    const struct member *member = &bracket->members[bracket->taken_count];
    slot->kind = HD_SLOT_PROMOTE;
    slot->id = member->id;
    slot->config_number = member->config_number;
    slot->budget_previous = bracket->plan->budgets[bracket->rung - 1];
}

static void synchronous_next(const void *state, bool may_open, struct hd_slot *ret_slot)
{
    const struct synchronous *gen = state;
    struct hd_slot slot = {.kind = HD_SLOT_WAIT, .budget = NAN, .budget_previous = NAN};
    const struct bracket *bracket = first_ready(gen);
    if (bracket != NULL) {
        if (bracket->taken_count < bracket->promoted_count)
            fill_promote(bracket, &slot);
        else
            fill_new(bracket, &slot);
        slot.iteration = bracket->iteration;
        slot.rung = bracket->rung;
        slot.budget = bracket->plan->budgets[bracket->rung];
    } else if (iterations_left(gen)) {
        if (may_open) {
            slot.kind = HD_SLOT_NEW;
            slot.id.iteration = gen->next_iteration;
            slot.iteration = gen->next_iteration;
            slot.budget = gen->plans[gen->next_iteration % gen->cycle].budgets[0];
        }
    } else if (gen->open_count == 0 || gen->closing == CLOSING_ALL) {
        slot.kind = HD_SLOT_DONE;
    }
    if (slot.kind == HD_SLOT_NEW || slot.kind == HD_SLOT_PROMOTE) {
        uint64_t count = gen->new_count + (may_open ? future_new_count(gen) : 0);
        slot.new_count = count < UINT32_MAX ? (uint32_t)count : UINT32_MAX;
    }
    *ret_slot = slot;
}

static bool synchronous_finished(const void *state)
{
    const struct synchronous *gen = state;
    return gen->open_count == 0 && !iterations_left(gen);
}

/* ---- members --------------------------------------------------------------------------- */

/* The place in by_number of the first member whose config number is not below this one. */
static uint32_t number_place(const struct bracket *bracket, uint32_t count, uint32_t config_number)
{
    uint32_t low = 0, high = count;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (bracket->members[bracket->by_number[middle]].config_number < config_number)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

/* members[index] was just written: it takes its place among the first `index` numbers. */
static void number_insert(struct bracket *bracket, uint32_t index)
{
    uint32_t number = bracket->members[index].config_number;
    uint32_t place = number_place(bracket, index, number);
    hd_assert(place == index ||
              bracket->members[bracket->by_number[place]].config_number != number);
    memmove(&bracket->by_number[place + 1], &bracket->by_number[place],
            (index - place) * sizeof(bracket->by_number[0]));
    bracket->by_number[place] = index;
}

/* NULL: it is not in the current rung. */
static struct member *member_look(const struct bracket *bracket, uint32_t config_number)
{
    uint32_t place = number_place(bracket, bracket->member_count, config_number);
    if (place == bracket->member_count)
        return NULL;
    struct member *member = &bracket->members[bracket->by_number[place]];
    return member->config_number == config_number ? member : NULL;
}

static struct member *member_find(const struct bracket *bracket, uint32_t config_number)
{
    struct member *member = member_look(bracket, config_number);
    hd_assert(member != NULL);
    return member;
}

static int compare_u32(uint32_t a, uint32_t b)
{
    return (a > b) - (a < b);
}

/* Best first: ok before the rest, then loss, then config id: a total order, as ids differ. */
static int compare_rank(const void *left, const void *right)
{
    const struct member *a = left, *b = right;
    bool a_ok = a->state == MEMBER_OK, b_ok = b->state == MEMBER_OK;
    if (a_ok != b_ok)
        return a_ok ? -1 : 1;
    if (a_ok && (a->loss < b->loss || a->loss > b->loss))
        return a->loss < b->loss ? -1 : 1;
    int order = compare_u32(a->id.budget_index, b->id.budget_index);
    return order != 0 ? order : compare_u32(a->id.running_index, b->id.running_index);
}

/* ---- change ---------------------------------------------------------------------------- */

/* Brings ready, new_count and their sums in the generator up to date. */
static void bracket_refresh(struct synchronous *gen, struct bracket *bracket)
{
    uint32_t new_count = 0;
    if (gen->closing == CLOSING_NOT)
        new_count = bracket->plan->counts[bracket->rung] - bracket->member_count;
    bool promotes = gen->closing != CLOSING_ALL && bracket->taken_count < bracket->promoted_count;
    bool ready = promotes || new_count > 0;
    gen->new_count = gen->new_count - bracket->new_count + new_count;
    gen->ready_count = gen->ready_count - bracket->ready + ready;
    bracket->new_count = new_count;
    bracket->ready = ready;
}

/* Where the bracket of this iteration is among the open ones; false: it is over. */
static bool open_look(const struct synchronous *gen, uint32_t iteration, uint32_t *ret_place)
{
    uint32_t low = 0, high = gen->open_count;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (gen->open[middle]->iteration < iteration)
            low = middle + 1;
        else
            high = middle;
    }
    *ret_place = low;
    return low < gen->open_count && gen->open[low]->iteration == iteration;
}

static uint32_t open_place(const struct synchronous *gen, uint32_t iteration)
{
    uint32_t place;
    bool found = open_look(gen, iteration, &place);
    hd_assert(found);
    return place;
}

/* Takes it out of the open ones; its memory serves the next opening when none is spare. */
static void bracket_close(struct synchronous *gen, uint32_t place)
{
    struct bracket *bracket = gen->open[place];
    gen->new_count -= bracket->new_count;
    gen->ready_count -= bracket->ready;
    gen->open_count--;
    memmove(&gen->open[place], &gen->open[place + 1],
            (gen->open_count - place) * sizeof(gen->open[0]));
    if (gen->spare == NULL)
        gen->spare = bracket;
    else
        bracket_free(bracket);
}

static struct bracket *bracket_open(struct synchronous *gen)
{
    hd_assert(gen->spare != NULL && gen->open_count < gen->open_capacity);
    struct bracket *bracket = gen->spare;
    gen->spare = NULL;
    *bracket = (struct bracket){
        .plan = &gen->plans[gen->next_iteration % gen->cycle],
        .iteration = gen->next_iteration,
        .capacity = bracket->capacity,
        .members = bracket->members,
        .by_number = bracket->by_number,
        .vectors = bracket->vectors,
        .rows = bracket->rows,
        .width = bracket->width,
    };
    gen->next_iteration++;
    gen->open[gen->open_count++] = bracket;
    return bracket;
}

static void synchronous_queued(void *state, const struct hd_slot *slot, uint32_t config_number)
{
    struct synchronous *gen = state;
    struct bracket *bracket = first_ready(gen);
    if (bracket == NULL)
        bracket = bracket_open(gen);
    if (slot->kind == HD_SLOT_PROMOTE) {
        hd_assert(config_number == slot->config_number);
        bracket->members[bracket->taken_count].state = MEMBER_RUNNING;
    } else {
        hd_assert(slot->kind == HD_SLOT_NEW && bracket->member_count < bracket->capacity);
        bracket->members[bracket->member_count] = (struct member){
            .id = slot->id, .config_number = config_number, .state = MEMBER_RUNNING};
        number_insert(bracket, bracket->member_count);
        bracket->member_count++;
    }
    bracket->taken_count++;
    bracket_refresh(gen, bracket);
}

/* No result can change this rung any more. */
static bool rung_over(const struct synchronous *gen, const struct bracket *bracket)
{
    switch (gen->closing) {
    case CLOSING_NOT:
        return bracket->ended_count == bracket->plan->counts[bracket->rung];
    case CLOSING_NEW:
        return bracket->ended_count == bracket->member_count;
    case CLOSING_ALL:
        return bracket->ended_count == bracket->taken_count;
    }
    hd_assert(false);
    return false;
}

/* Of vectors: the loss of each ok member becomes its place among them. */
static void place_members(const struct synchronous *gen, struct bracket *bracket)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < bracket->member_count; i++) {
        struct member *member = &bracket->members[i];
        if (member->state != MEMBER_OK)
            continue;
        const double *vector = bracket->vectors + (size_t)member->row * bracket->width;
        bracket->rows[count++] =
            (struct hd_pareto_row){.losses = vector, .violation = vector[gen->objectives]};
        bracket->by_number[count - 1] = i; /* rows to members; it is made anew below */
    }
    hd_pareto_order(bracket->rows, count, gen->objectives);
    for (uint32_t place = 0; place < count; place++)
        bracket->members[bracket->by_number[bracket->rows[place].index]].loss = place;
}

/* The best members go on; false when the bracket has come to its end. */
static bool rung_advance(struct synchronous *gen, struct bracket *bracket)
{
    if (gen->closing == CLOSING_ALL || bracket->rung + 1 == bracket->plan->rung_count)
        return false;
    if (bracket->width > 0)
        place_members(gen, bracket);
    qsort(bracket->members, bracket->member_count, sizeof(bracket->members[0]), compare_rank);
    uint32_t wanted = bracket->plan->counts[bracket->rung + 1];
    uint32_t promoted = 0;
    while (promoted < wanted && promoted < bracket->member_count &&
           bracket->members[promoted].state == MEMBER_OK)
        promoted++;
    if (promoted == 0 && gen->closing == CLOSING_NEW)
        return false;
    for (uint32_t i = 0; i < promoted; i++) {
        bracket->members[i].state = MEMBER_WAITING;
        bracket->members[i].loss = 0.0;
        number_insert(bracket, i);
    }
    bracket->rung++;
    bracket->member_count = promoted;
    bracket->promoted_count = promoted;
    bracket->taken_count = 0;
    bracket->ended_count = 0;
    bracket_refresh(gen, bracket);
    return true;
}

static void synchronous_ended(void *state, uint32_t iteration, uint32_t rung,
                              uint32_t config_number, bool ok, const struct hd_score *score)
{
    struct synchronous *gen = state;
    uint32_t place = open_place(gen, iteration);
    struct bracket *bracket = gen->open[place];
    hd_assert(bracket->rung == rung);
    struct member *member = member_find(bracket, config_number);
    hd_assert(member->state == MEMBER_RUNNING);
    member->state = ok ? MEMBER_OK : MEMBER_FAILED;
    member->loss = member->state == MEMBER_OK ? score->losses[0] : 0.0;
    if (ok && bracket->width > 0) {
        /* Its place in the order of handing out is its row: members move only when a rung is over.
         */
        member->row = (uint32_t)(member - bracket->members);
        double *vector = bracket->vectors + (size_t)member->row * bracket->width;
        memcpy(vector, score->losses, gen->objectives * sizeof(double));
        vector[gen->objectives] = score->violation;
    }
    bracket->ended_count++;
    if (rung_over(gen, bracket) && !rung_advance(gen, bracket))
        bracket_close(gen, place);
}

static bool synchronous_reopen(void *state, uint32_t iteration, uint32_t rung,
                               uint32_t config_number)
{
    struct synchronous *gen = state;
    uint32_t place;
    if (!open_look(gen, iteration, &place) || gen->open[place]->rung != rung)
        return false;
    struct bracket *bracket = gen->open[place];
    struct member *member = member_look(bracket, config_number);
    if (member == NULL || member->state != MEMBER_FAILED)
        return false;
    member->state = MEMBER_RUNNING;
    bracket->ended_count--;
    return true;
}

/* A bracket holds only whoever is in its current rung, and what left it never comes back. */
static bool synchronous_may_go_on(const void *state, uint32_t iteration, uint32_t config_number)
{
    const struct synchronous *gen = state;
    uint32_t place;
    if (!open_look(gen, iteration, &place))
        return false;
    const struct bracket *bracket = gen->open[place];
    const struct member *member = member_look(bracket, config_number);
    if (member == NULL || member->state == MEMBER_FAILED)
        return false;
    if (member->state == MEMBER_RUNNING)
        return true;
    bool last = bracket->rung + 1 == bracket->plan->rung_count;
    return gen->closing != CLOSING_ALL && !(last && member->state == MEMBER_OK);
}

static void close_as(struct synchronous *gen, enum closing closing)
{
    if (gen->closing >= closing)
        return;
    gen->closing = closing;
    for (uint32_t place = gen->open_count; place-- > 0;) {
        struct bracket *bracket = gen->open[place];
        bracket_refresh(gen, bracket);
        if (rung_over(gen, bracket) && !rung_advance(gen, bracket))
            bracket_close(gen, place);
    }
}

static void synchronous_close_new(void *state)
{
    close_as(state, CLOSING_NEW);
}

static void synchronous_close(void *state)
{
    close_as(state, CLOSING_ALL);
}

static void synchronous_open_new(void *state)
{
    struct synchronous *gen = state;
    if (gen->closing != CLOSING_NEW)
        return;
    gen->closing = CLOSING_NOT;
    for (uint32_t place = 0; place < gen->open_count; place++)
        bracket_refresh(gen, gen->open[place]);
}

static void synchronous_set_iterations(void *state, uint32_t iterations_max)
{
    struct synchronous *gen = state;
    gen->spec.iterations_max = iterations_max;
}

/* ---- digest ---------------------------------------------------------------------------- */

static uint64_t digest_bracket(uint64_t hash, const struct bracket *bracket)
{
    hash = hd_hash_u64(hash, bracket->iteration);
    hash = hd_hash_u64(hash, bracket->rung);
    hash = hd_hash_u64(hash, bracket->promoted_count);
    hash = hd_hash_u64(hash, bracket->taken_count);
    hash = hd_hash_u64(hash, bracket->ended_count);
    for (uint32_t i = 0; i < bracket->member_count; i++) {
        const struct member *member = &bracket->members[i];
        hash = hd_hash_u64(hash, member->id.budget_index);
        hash = hd_hash_u64(hash, member->id.running_index);
        hash = hd_hash_u64(hash, member->config_number);
        hash = hd_hash_u64(hash, member->state);
        hash = hd_hash_double(hash, member->loss);
        for (uint32_t k = 0; k < bracket->width && member->state == MEMBER_OK; k++)
            hash = hd_hash_double(hash, bracket->vectors[(size_t)member->row * bracket->width + k]);
    }
    return hash;
}

static uint64_t synchronous_digest(const void *state, uint64_t hash)
{
    const struct synchronous *gen = state;
    hash = hd_hash_u64(hash, gen->closing);
    hash = hd_hash_u64(hash, gen->next_iteration);
    for (uint32_t i = 0; i < gen->open_count; i++)
        hash = digest_bracket(hash, gen->open[i]);
    return hash;
}

const struct hd_iter_engine hd_iter_engine_synchronous = {
    .make = synchronous_new,
    .destroy = synchronous_free,
    .reserve = synchronous_reserve,
    .next = synchronous_next,
    .queued = synchronous_queued,
    .ended = synchronous_ended,
    .reopen = synchronous_reopen,
    .may_go_on = synchronous_may_go_on,
    .report = NULL,
    .close = synchronous_close,
    .close_new = synchronous_close_new,
    .open_new = synchronous_open_new,
    .set_iterations = synchronous_set_iterations,
    .finished = synchronous_finished,
    .digest = synchronous_digest,
};
