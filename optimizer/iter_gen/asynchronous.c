/* SPDX-License-Identifier: Apache-2.0 */
/*
 * asynchronous.c: rungs without barriers (ASHA, asynchronous Hyperband). A config goes on when it
 * is among the best share of the results its rung has so far; when none can go on, a new one
 * starts.
 *
 * All brackets share the rungs: bracket s merely starts its configs at rung s. The configs of an
 * iteration are numbered through, and the budget index of an id is the rung where its config began.
 * An opening holds each rung until it has results enough that the best of them is worth something:
 * of two results the better one is hardly more than a random config, and yet it would be the first
 * to reach the top, the incumbent. Plain Hyperband has no such start, as it fills its rungs. With
 * so many workers that a whole opening runs at once, new configs begin further up once the lowest
 * rung has its results (start_rung()); otherwise all their time would go to the lowest rungs.
 *
 * Which bracket is next follows from credits: each new config gives every bracket its share of the
 * weights, and the richest pays one for it.
 *
 * Two things are learned from configs that have results at two rungs. How often two of them stand
 * in the same order at rung s and at the top weighs bracket s (Li, Shen, Jiang, Zhang, Li, Liu,
 * Zhang and Cui 2022, "Hyper-Tune", learns the same from a surrogate). And a lowest rung that does
 * not order the next one (Kendall's correlation) is left out by new configs.
 *
 * Every result of the run stays, about 40 bytes a job, since each may be promoted later; an event
 * costs O(rungs + log results), of results with several losses or constraints what fronts.h says;
 * what is learned from the order of rungs is learned from their first loss.
 */
#include "kind.h"
#include "rung.h"

#include <math.h>

#define QUOTA_SLACK 1e-9  /* 3 * (1 / 3) is one */
#define WINDOW_MAX 64     /* of the latest results that a new one is compared with */
#define CONFIGS_MIN 8     /* with results at both rungs, before a rung is called uninformative */
#define TAU_MIN 0.2       /* Kendall's correlation below which it is */
#define PRIOR_PAIRS 4.0   /* in the same order, as if seen before any data */
#define SHARE_MIN 0.05    /* of its weight, that a bracket keeps however badly its rung predicts */
#define START_ABOVE 2     /* rungs, that new configs begin higher with many workers */
#define START_BELOW_TOP 3 /* rungs at least: a new config near the top would be the incumbent */

enum member_state { MEMBER_RUNNING, MEMBER_STOPPED, MEMBER_RESTING };

struct member {
    uint32_t iteration;
    uint32_t running_index;
    uint32_t result; /* index of its last one, in rung result_rung; or NONE */
    uint8_t start;   /* rung it was sampled at */
    uint8_t rung;    /* next one that it reaches */
    uint8_t result_rung;
    uint8_t state;
};

enum closing {
    CLOSING_NOT,
    CLOSING_NEW, /* promotions go on */
    CLOSING_ALL,
};

/* Pairs of configs that stand in the same order at two rungs, or in the opposite one. */
struct agreement {
    uint64_t same, opposite;
    uint32_t config_count;
};

struct asynchronous {
    struct hd_iter_gen_spec spec;
    uint32_t rung_count;
    double budgets[HD_RUNGS_MAX];
    double fractions[HD_RUNGS_MAX]; /* of a rung's results, that goes on */
    uint32_t opening[HD_RUNGS_MAX]; /* results that a rung needs before the first goes on */
    struct hd_rung rungs[HD_RUNGS_MAX];
    uint32_t expected[HD_RUNGS_MAX]; /* running jobs that may still bring a result to the rung */
    uint32_t bracket_count;
    uint32_t starts[HD_RUNGS_MAX]; /* new configs of an iteration, by its place in the cycle */
    double weights[HD_RUNGS_MAX];  /* of the brackets, before learning */
    double credits[HD_RUNGS_MAX];
    struct agreement with_next[HD_RUNGS_MAX]; /* of rung k with rung k + 1 */
    struct agreement with_top[HD_RUNGS_MAX];
    uint32_t iteration; /* of the next new config */
    uint32_t running_index;
    uint64_t new_total;     /* UINT64_MAX: without end */
    struct member *members; /* by config number */
    uint32_t member_count, member_capacity;
    uint32_t running_count;
    enum closing closing;
    uint64_t history; /* hash over the calls that changed something */
};

/* ---- life ------------------------------------------------------------------------------------ */

static uint64_t sum_new(const struct asynchronous *gen)
{
    uint64_t sum = 0, cycle = 0;
    if (gen->spec.iterations_max == 0)
        return UINT64_MAX;
    for (uint32_t s = 0; s < gen->bracket_count; s++)
        cycle += gen->starts[s];
    sum = gen->spec.iterations_max / gen->bracket_count * cycle;
    for (uint32_t s = 0; s < gen->spec.iterations_max % gen->bracket_count; s++)
        sum += gen->starts[s];
    return sum;
}

static void set_opening(struct asynchronous *gen)
{
    double results = gen->spec.opening;
    for (uint32_t k = 0; k < gen->rung_count; k++) {
        gen->opening[k] = (uint32_t)(results + 0.5);
        results *= gen->fractions[k];
    }
}

static enum hd_code asynchronous_make(const struct hd_iter_gen_spec *spec, void **ret_state,
                                      struct hd_err *err)
{
    struct asynchronous *gen = hd_calloc(1, sizeof(*gen));
    if (gen == NULL)
        return hd_fail(err, HD_E_NOMEM, "no memory for the iteration generator");
    gen->spec = *spec;
    gen->rung_count = hd_ladder_budgets(spec, gen->budgets);
    for (uint32_t k = 0; k < gen->rung_count; k++)
        gen->fractions[k] = hd_ladder_fraction(spec, k);
    set_opening(gen);
    for (uint32_t k = 0; k < gen->rung_count; k++)
        hd_rung_init(&gen->rungs[k], spec->objective_count, spec->constrained);
    gen->bracket_count = hd_asynchronous_brackets(spec);
    for (uint32_t s = 0; s < gen->bracket_count; s++) {
        struct hd_bracket_plan plan;
        hd_iter_gen_plan(spec, s, &plan);
        gen->starts[s] = plan.counts[0];
        gen->weights[s] = plan.counts[0];
    }
    gen->new_total = sum_new(gen);
    gen->history = HD_HASH_INIT;
    *ret_state = gen;
    return HD_OK;
}

static void asynchronous_destroy(void *state)
{
    struct asynchronous *gen = state;
    if (gen == NULL)
        return;
    for (uint32_t k = 0; k < gen->rung_count; k++)
        hd_rung_release(&gen->rungs[k]);
    hd_free(gen->members);
    hd_free(gen);
}

static enum hd_code asynchronous_reserve(void *state, struct hd_err *err)
{
    struct asynchronous *gen = state;
    if (gen->member_count == gen->member_capacity) {
        uint32_t capacity = gen->member_capacity == 0 ? 16 : gen->member_capacity * 2;
        struct member *members = hd_realloc(gen->members, capacity * sizeof(*members));
        if (members == NULL)
            return hd_fail(err, HD_E_NOMEM, "no memory for %u configs", capacity);
        gen->members = members;
        gen->member_capacity = capacity;
    }
    enum hd_code code = HD_OK;
    for (uint32_t k = 0; k < gen->rung_count && code == HD_OK; k++)
        code = hd_rung_reserve(&gen->rungs[k], gen->rungs[k].count + gen->expected[k] + 1, err);
    return code;
}

/* ---- the promotion rule ---------------------------------------------------------------------- */

/* How many of a rung's results may go on. One function, so that what promotes is said once. */
static uint32_t quota(double fraction, uint32_t result_count)
{
    return (uint32_t)((double)result_count * fraction * (1.0 + QUOTA_SLACK));
}

static uint32_t result_count(const struct hd_rung *rung)
{
    return rung->count + rung->failed_count;
}

static uint64_t new_left(const struct asynchronous *gen)
{
    if (gen->closing != CLOSING_NOT)
        return 0;
    if (gen->new_total == UINT64_MAX)
        return UINT64_MAX;
    return gen->new_total > gen->member_count ? gen->new_total - gen->member_count : 0;
}

/* Whether a config of the rung goes on by the rule, were there no opening. */
static bool deserves(const struct asynchronous *gen, uint32_t k)
{
    const struct hd_rung *rung = &gen->rungs[k];
    const struct hd_rung_result *best = hd_rung_best_open(rung);
    if (best == NULL || !best->in_top)
        return false;
    if (!gen->spec.delayed)
        return true;
    if (gen->spec.delay_results > 0 && result_count(&gen->rungs[k + 1]) >= gen->spec.delay_results)
        return true;
    return rung->promoted_count < quota(gen->fractions[k], result_count(rung));
}

/* The rung has too few results to say which is good, and more will come: of new configs, of what
 * runs there or below it, or of what is about to be promoted to it. */
static bool is_opening(const struct asynchronous *gen, uint32_t k)
{
    if (result_count(&gen->rungs[k]) >= gen->opening[k])
        return false;
    bool comes = new_left(gen) > 0;
    for (uint32_t below = 0; below < k && !comes; below++)
        comes = gen->expected[below] > 0 || deserves(gen, below);
    return comes || gen->expected[k] > 0;
}

static bool promotes(const struct asynchronous *gen, uint32_t k)
{
    return deserves(gen, k) && !is_opening(gen, k);
}

/* The end of a run that never filled its rungs: the best of the highest one goes on, so that
 * something reaches the top. */
static bool promotes_at_last(const struct asynchronous *gen, uint32_t k)
{
    if (hd_rung_best_open(&gen->rungs[k]) == NULL)
        return false;
    for (uint32_t above = k + 1; above < gen->rung_count; above++)
        if (result_count(&gen->rungs[above]) > 0)
            return false;
    return true;
}

typedef bool rule(const struct asynchronous *gen, uint32_t k);

/* The highest rung but the top one whose best open config goes on by the rule. */
static bool find_promotion(const struct asynchronous *gen, rule *applies, uint32_t *ret_rung)
{
    if (gen->spec.type == HD_ASHA_TYPE_STOPPING)
        return false;
    for (uint32_t k = gen->rung_count - 1; k-- > 0;) {
        if (applies(gen, k)) {
            *ret_rung = k;
            return true;
        }
    }
    return false;
}

/* ---- looking --------------------------------------------------------------------------------- */

static double tau(const struct agreement *agreement, double prior)
{
    double same = (double)agreement->same + prior, opposite = (double)agreement->opposite;
    return same + opposite > 0.0 ? (same - opposite) / (same + opposite) : 1.0;
}

/* The rung where new configs start at the earliest. One rung to promote from always remains. */
static uint32_t lowest_rung(const struct asynchronous *gen)
{
    uint32_t lowest = 0;
    while (gen->spec.raise_uninformative && lowest + 2 < gen->rung_count &&
           gen->with_next[lowest].config_count >= CONFIGS_MIN &&
           tau(&gen->with_next[lowest], 0.0) < TAU_MIN)
        lowest++;
    return lowest;
}

static double weight(const struct asynchronous *gen, uint32_t bracket)
{
    if (!gen->spec.learned_brackets || bracket + 1 == gen->rung_count)
        return gen->weights[bracket];
    double share = tau(&gen->with_top[bracket], PRIOR_PAIRS);
    return gen->weights[bracket] * (share > SHARE_MIN ? share : SHARE_MIN);
}

/* The bracket of the next new config; ret_shares[HD_RUNGS_MAX]: what each earns by it. */
static uint32_t next_bracket(const struct asynchronous *gen, double *ret_shares)
{
    uint32_t lowest = lowest_rung(gen), end = gen->bracket_count;
    if (lowest + 1 >= end)
        return lowest > 0 ? lowest : 0;
    double sum = 0.0;
    for (uint32_t s = lowest; s < end; s++)
        sum += weight(gen, s);
    uint32_t best = lowest;
    for (uint32_t s = lowest; s < end; s++) {
        ret_shares[s] = weight(gen, s) / sum;
        if (gen->credits[s] + ret_shares[s] > gen->credits[best] + ret_shares[best])
            best = s;
    }
    return best;
}

static void pay(struct asynchronous *gen)
{
    double shares[HD_RUNGS_MAX] = {0};
    uint32_t bracket = next_bracket(gen, shares);
    if (shares[bracket] == 0.0)
        return; /* there was no choice */
    for (uint32_t s = 0; s < gen->bracket_count; s++)
        gen->credits[s] += shares[s];
    gen->credits[bracket] -= 1.0;
}

/* Where a new config of the bracket begins. When as many jobs run as an opening needs, and its own
 * rung has the results that a sampler learns from, it begins higher until the opening there is full
 * too: what is promoted would come later, and many workers spend much until then. */
static uint32_t start_rung(const struct asynchronous *gen, uint32_t bracket)
{
    uint32_t needed = gen->opening[bracket];
    if (needed == 0 || gen->spec.type == HD_ASHA_TYPE_STOPPING || gen->running_count < needed ||
        result_count(&gen->rungs[bracket]) < needed)
        return bracket;
    uint32_t start = bracket + START_ABOVE;
    while (start > bracket && start + START_BELOW_TOP >= gen->rung_count)
        start--;
    return result_count(&gen->rungs[start]) < gen->opening[start] ? start : bracket;
}

static void fill_new(const struct asynchronous *gen, struct hd_slot *slot)
{
    double shares[HD_RUNGS_MAX] = {0};
    uint32_t start = start_rung(gen, next_bracket(gen, shares));
    bool stopping = gen->spec.type == HD_ASHA_TYPE_STOPPING;
    slot->kind = HD_SLOT_NEW;
    slot->id = (struct hd_config_id){gen->iteration, start, gen->running_index};
    slot->iteration = gen->iteration;
    slot->rung = stopping ? gen->rung_count - 1 : start;
    slot->budget = gen->budgets[slot->rung];
}

static void fill_promote(const struct asynchronous *gen, uint32_t from, struct hd_slot *slot)
{
    uint32_t number = hd_rung_best_open(&gen->rungs[from])->config_number;
    const struct member *member = &gen->members[number];
    slot->kind = HD_SLOT_PROMOTE;
    slot->id = (struct hd_config_id){member->iteration, member->start, member->running_index};
    slot->config_number = number;
    slot->iteration = member->iteration;
    slot->rung = from + 1;
    slot->budget = gen->budgets[from + 1];
    slot->budget_previous = gen->budgets[from];
}

static void asynchronous_next(const void *state, bool may_open, struct hd_slot *ret_slot)
{
    const struct asynchronous *gen = state;
    struct hd_slot slot = {.kind = HD_SLOT_WAIT, .budget = NAN, .budget_previous = NAN};
    uint64_t left = new_left(gen);
    uint32_t from;
    if (gen->closing == CLOSING_ALL)
        slot.kind = HD_SLOT_DONE;
    else if (find_promotion(gen, promotes, &from))
        fill_promote(gen, from, &slot);
    else if (left > 0 && may_open)
        fill_new(gen, &slot);
    else if (left == 0 && gen->running_count == 0) {
        if (find_promotion(gen, promotes_at_last, &from))
            fill_promote(gen, from, &slot);
        else
            slot.kind = HD_SLOT_DONE;
    }
    if ((slot.kind == HD_SLOT_NEW || slot.kind == HD_SLOT_PROMOTE) && may_open)
        slot.new_count = left < UINT32_MAX ? (uint32_t)left : UINT32_MAX;
    *ret_slot = slot;
}

static bool asynchronous_finished(const void *state)
{
    const struct asynchronous *gen = state;
    struct hd_slot slot;
    if (gen->running_count > 0)
        return false;
    asynchronous_next(gen, true, &slot);
    return slot.kind == HD_SLOT_DONE;
}

/* ---- change ---------------------------------------------------------------------------------- */

static void remember(struct asynchronous *gen, uint32_t what, uint32_t config_number, double number)
{
    gen->history = hd_hash_u64(gen->history, what);
    gen->history = hd_hash_u64(gen->history, config_number);
    gen->history = hd_hash_double(gen->history, number);
}

/* The rungs that the member's job may bring a result to: its own, or all from there on. */
static void expect(struct asynchronous *gen, const struct member *member, uint32_t change)
{
    uint32_t end = gen->spec.type == HD_ASHA_TYPE_STOPPING ? gen->rung_count : member->rung + 1u;
    for (uint32_t k = member->rung; k < end; k++)
        gen->expected[k] += change;
}

static void add_member(struct asynchronous *gen, const struct hd_slot *slot)
{
    uint32_t start = slot->id.budget_index;
    pay(gen);
    hd_assert(gen->member_count < gen->member_capacity);
    gen->members[gen->member_count++] = (struct member){
        .iteration = slot->iteration,
        .running_index = slot->id.running_index,
        .result = HD_RUNG_NONE,
        .start = (uint8_t)start,
        .rung = (uint8_t)start,
    };
    gen->running_index++;
    if (gen->running_index == gen->starts[gen->iteration % gen->bracket_count]) {
        gen->iteration++;
        gen->running_index = 0;
    }
}

static void asynchronous_queued(void *state, const struct hd_slot *slot, uint32_t config_number)
{
    struct asynchronous *gen = state;
    if (slot->kind == HD_SLOT_NEW) {
        hd_assert(config_number == gen->member_count);
        add_member(gen, slot);
    } else {
        hd_rung_promote_best(&gen->rungs[slot->rung - 1]);
    }
    struct member *member = &gen->members[config_number];
    member->state = MEMBER_RUNNING;
    expect(gen, member, 1);
    gen->running_count++;
    remember(gen, 0, config_number, slot->budget);
}

/* The result of the same config at the lower rung k; NULL: it has none there. */
static const struct hd_rung_result *result_below(const struct asynchronous *gen,
                                                 const struct hd_rung_result *result, uint32_t from,
                                                 uint32_t k)
{
    for (; from > k; from--) {
        if (result->below == HD_RUNG_NONE)
            return NULL;
        result = &gen->rungs[from - 1].results[result->below];
    }
    return result;
}

/* The newest result of rung `high` is compared with those before it, there and at rung `low`. */
static void learn(const struct asynchronous *gen, uint32_t low, uint32_t high,
                  struct agreement *agreement)
{
    const struct hd_rung *rung = &gen->rungs[high];
    const struct hd_rung_result *newest = &rung->results[rung->count - 1];
    const struct hd_rung_result *below = result_below(gen, newest, high, low);
    if (below == NULL)
        return;
    uint32_t first = rung->count > WINDOW_MAX ? rung->count - WINDOW_MAX : 0;
    agreement->config_count++;
    for (uint32_t i = first; i + 1 < rung->count; i++) {
        const struct hd_rung_result *other = &rung->results[i];
        const struct hd_rung_result *other_below = result_below(gen, other, high, low);
        if (other_below == NULL || other->loss == newest->loss || other_below->loss == below->loss)
            continue;
        if ((other->loss < newest->loss) == (other_below->loss < below->loss))
            agreement->same++;
        else
            agreement->opposite++;
    }
}

static void learn_from_newest(struct asynchronous *gen, uint32_t k)
{
    if (k > 0 && gen->spec.raise_uninformative)
        learn(gen, k - 1, k, &gen->with_next[k - 1]);
    if (k + 1 < gen->rung_count || !gen->spec.learned_brackets)
        return;
    for (uint32_t s = 0; s < gen->bracket_count && s < k; s++)
        learn(gen, s, k, &gen->with_top[s]);
}

/* A result of the member at the rung it has come to; it stands before the next one then. */
static const struct hd_rung_result *add_result(struct asynchronous *gen, struct member *member,
                                               uint32_t config_number, const struct hd_score *score)
{
    uint32_t k = member->rung;
    uint32_t below = member->result_rung + 1u == k ? member->result : HD_RUNG_NONE;
    uint32_t index = hd_rung_add(&gen->rungs[k], config_number, score, below);
    member->result = index;
    member->result_rung = (uint8_t)k;
    member->rung++;
    learn_from_newest(gen, k);
    return &gen->rungs[k].results[index];
}

static void asynchronous_ended(void *state, uint32_t iteration, uint32_t rung,
                               uint32_t config_number, bool ok, const struct hd_score *score)
{
    struct asynchronous *gen = state;
    hd_assert(config_number < gen->member_count);
    struct member *member = &gen->members[config_number];
    hd_assert(member->iteration == iteration && member->state != MEMBER_RESTING);
    bool stopped = member->state == MEMBER_STOPPED;
    expect(gen, member, UINT32_MAX);
    if (ok) {
        member->rung = (uint8_t)rung;
        (void)add_result(gen, member, config_number, score);
    } else if (!stopped) {
        gen->rungs[member->rung].failed_count++;
        rung = member->rung;
    }
    if (ok || !stopped)
        hd_rung_set_quota(&gen->rungs[rung],
                          quota(gen->fractions[rung], result_count(&gen->rungs[rung])));
    member->state = MEMBER_RESTING;
    gen->running_count--;
    remember(gen, ok ? 1 : 2, config_number, ok ? score->losses[0] : 0.0);
    for (uint32_t i = 1; ok && i < gen->spec.objective_count; i++)
        remember(gen, 1, config_number, score->losses[i]);
    if (ok && gen->spec.constrained)
        remember(gen, 1, config_number, score->violation);
}

/* Results and failures of the rung are counted as before its end; its quota stays, as quotas never
 * shrink. */
static bool asynchronous_reopen(void *state, uint32_t iteration, uint32_t rung,
                                uint32_t config_number)
{
    struct asynchronous *gen = state;
    hd_assert(config_number < gen->member_count);
    struct member *member = &gen->members[config_number];
    bool stopping = gen->spec.type == HD_ASHA_TYPE_STOPPING;
    if (member->iteration != iteration || member->state != MEMBER_RESTING ||
        (!stopping && member->rung != rung) || gen->rungs[member->rung].failed_count == 0)
        return false;
    gen->rungs[member->rung].failed_count--;
    member->state = MEMBER_RUNNING;
    expect(gen, member, 1);
    gen->running_count++;
    remember(gen, 5, config_number, 0.0);
    return true;
}

/* A result is promoted whenever enough worse ones have come, so all but those of the top may be. */
static bool asynchronous_may_go_on(const void *state, uint32_t iteration, uint32_t config_number)
{
    (void)iteration;
    const struct asynchronous *gen = state;
    hd_assert(config_number < gen->member_count);
    const struct member *member = &gen->members[config_number];
    if (member->state != MEMBER_RESTING)
        return true;
    return gen->closing != CLOSING_ALL && gen->spec.type != HD_ASHA_TYPE_STOPPING &&
           member->result != HD_RUNG_NONE && member->rung < gen->rung_count;
}

/* ---- reports --------------------------------------------------------------------------------- */

/* The stopping rule looks at a rung as it stands: too few results to judge, or among the best. */
static enum hd_decision judge(struct asynchronous *gen, uint32_t k, bool finite,
                              const struct hd_rung_result *result)
{
    struct hd_rung *rung = &gen->rungs[k];
    double share = (double)result_count(rung) * gen->fractions[k];
    hd_rung_set_quota(rung, (uint32_t)ceil(share * (1.0 - QUOTA_SLACK)));
    if (!finite)
        return HD_DECISION_STOP;
    return share * (1.0 + QUOTA_SLACK) < 1.0 || result->in_top ? HD_DECISION_CONTINUE
                                                               : HD_DECISION_STOP;
}

/* Counts a report of a stopping job; false: it reaches no rung below the top. */
static bool reach(struct asynchronous *gen, struct member *member, double step)
{
    uint32_t reached = member->rung;
    while (reached + 1 < gen->rung_count && gen->budgets[reached] <= step * (1.0 + QUOTA_SLACK))
        reached++;
    if (reached == member->rung)
        return false;
    /* Of several rungs passed between two reports only the last one was seen. */
    for (uint32_t k = member->rung; k < reached; k++)
        gen->expected[k]--;
    member->rung = (uint8_t)(reached - 1);
    return true;
}

static void asynchronous_report(void *state, uint32_t config_number, double step, double loss,
                                struct hd_report_answer *ret_answer)
{
    struct asynchronous *gen = state;
    hd_assert(config_number < gen->member_count);
    struct member *member = &gen->members[config_number];
    hd_assert(member->state != MEMBER_RESTING);
    if (gen->spec.type == HD_ASHA_TYPE_STOPPING && member->state == MEMBER_RUNNING &&
        reach(gen, member, step)) {
        uint32_t k = member->rung;
        bool finite = isfinite(loss);
        const struct hd_rung_result *result = NULL;
        if (finite) {
            struct hd_score score = hd_score_of(loss);
            result = add_result(gen, member, config_number, &score);
        } else {
            gen->rungs[k].failed_count++;
            member->rung++;
        }
        if (judge(gen, k, finite, result) == HD_DECISION_STOP)
            member->state = MEMBER_STOPPED;
        ret_answer->milestone = true;
        ret_answer->budget = gen->budgets[k];
        remember(gen, 3, config_number, loss);
    } else if (member->rung > member->start) {
        ret_answer->budget = gen->budgets[member->rung - 1];
    }
    if (member->state == MEMBER_STOPPED)
        ret_answer->decision = HD_DECISION_STOP;
}

/* ---- ends ------------------------------------------------------------------------------------ */

static void close_as(struct asynchronous *gen, enum closing closing)
{
    if (gen->closing >= closing)
        return;
    gen->closing = closing;
    remember(gen, 4, 0, (double)closing);
}

static void asynchronous_close_new(void *state)
{
    close_as(state, CLOSING_NEW);
}

static void asynchronous_close(void *state)
{
    close_as(state, CLOSING_ALL);
}

static void asynchronous_open_new(void *state)
{
    struct asynchronous *gen = state;
    if (gen->closing != CLOSING_NEW)
        return;
    gen->closing = CLOSING_NOT;
    remember(gen, 4, 0, (double)CLOSING_NOT);
}

static void asynchronous_set_iterations(void *state, uint32_t iterations_max)
{
    struct asynchronous *gen = state;
    gen->spec.iterations_max = iterations_max;
    gen->new_total = sum_new(gen);
}

static uint64_t asynchronous_digest(const void *state, uint64_t hash)
{
    const struct asynchronous *gen = state;
    hash = hd_hash_u64(hash, gen->history);
    hash = hd_hash_u64(hash, gen->closing);
    hash = hd_hash_u64(hash, gen->running_count);
    hash = hd_hash_u64(hash, gen->member_count);
    for (uint32_t k = 0; k < gen->rung_count; k++) {
        const struct hd_rung *rung = &gen->rungs[k];
        hash = hd_hash_u64(hash, rung->count);
        hash = hd_hash_u64(hash, rung->failed_count);
        hash = hd_hash_u64(hash, rung->promoted_count);
        hash = hd_hash_u64(hash, gen->expected[k]);
    }
    return hash;
}

const struct hd_iter_engine hd_iter_engine_asynchronous = {
    .make = asynchronous_make,
    .destroy = asynchronous_destroy,
    .reserve = asynchronous_reserve,
    .next = asynchronous_next,
    .queued = asynchronous_queued,
    .ended = asynchronous_ended,
    .reopen = asynchronous_reopen,
    .may_go_on = asynchronous_may_go_on,
    .report = asynchronous_report,
    .close = asynchronous_close,
    .close_new = asynchronous_close_new,
    .open_new = asynchronous_open_new,
    .set_iterations = asynchronous_set_iterations,
    .finished = asynchronous_finished,
    .digest = asynchronous_digest,
};
