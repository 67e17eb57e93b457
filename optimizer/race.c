/* SPDX-License-Identifier: Apache-2.0 */
/* race.c: posterior means of noisy results, and the rule of repeats. */
#include <hd/race.h>

#include <math.h>
#include <string.h>

#define RACE_FREEDOM_MIN 4 /* degrees of freedom before the noise's variance separates anything */
/* Configs with a result, before there is a prior and one is evaluated again: until then a new
 * config tells more, if there is one. */
#define RACE_ARMS_MIN 8
#define RACE_ARMS_MIN_CLOSED 2
/* A normal distribution's quantile at 1/2 less that at 1/8, in standard deviations. */
#define RACE_SPREAD 1.1503493803760079
/* What all configs have in common is never so certain that their own results do not count. */
#define RACE_PRIOR_FLOOR 0.25 /* of the noise's variance */
/* A smaller variance counts as none: the inverse of a part of it would not be a number. */
#define RACE_NOISE_MIN 1e-300
/* Two are told apart when their means differ by so many standard deviations of the difference. */
#define RACE_BOUND 1.6448536269514722

/* A config with a result. */
struct arm {
    uint32_t config, job;
    uint32_t results; /* ok ones */
    uint32_t asked;   /* repeats, whatever became of them */
    uint32_t pending; /* of them */
    bool failed;
    double mean;
    double squares; /* of the deviations from the mean */
};

struct hd_race {
    struct hd_race_spec spec;
    struct arm *arms; /* rising by config */
    double *firsts;   /* first results, rising */
    size_t count, capacity;
    double spent, repeated; /* budgets of the jobs that were queued */
    /* What next() found; a scratch. */
    bool looked, found;
    bool looked_closed; /* what it was asked for */
    struct hd_race_estimate next;
    uint32_t next_repeat;
};

/* What the results of all say of one. */
struct belief {
    double noise; /* variance of one result; NaN unknown */
    uint32_t freedom;
    bool has_prior;
    double prior_mean, prior_variance;
};

enum hd_code hd_race_new(const struct hd_race_spec *spec, struct hd_race **ret_race,
                         struct hd_err *err)
{
    hd_assert(spec->repeats >= 1 && spec->share > 0 && spec->share < 1);
    struct hd_race *race = hd_calloc(1, sizeof(*race));
    if (race == NULL)
        return hd_fail(err, HD_E_NOMEM, "no memory for a race");
    race->spec = *spec;
    *ret_race = race;
    return HD_OK;
}

void hd_race_free(struct hd_race *race)
{
    if (race == NULL)
        return;
    hd_free(race->arms);
    hd_free(race->firsts);
    hd_free(race);
}

enum hd_code hd_race_reserve(struct hd_race *race, struct hd_err *err)
{
    if (race->count < race->capacity)
        return HD_OK;
    size_t capacity = race->capacity * 2 + 16;
    struct arm *arms = hd_realloc(race->arms, capacity * sizeof(*arms));
    race->arms = arms != NULL ? arms : race->arms;
    double *firsts = hd_realloc(race->firsts, capacity * sizeof(*firsts));
    race->firsts = firsts != NULL ? firsts : race->firsts;
    if (arms == NULL || firsts == NULL)
        return hd_fail(err, HD_E_NOMEM, "no memory for another result");
    race->capacity = capacity;
    return HD_OK;
}

/* Where the config is or would be. */
static size_t place_of(const struct hd_race *race, uint32_t config)
{
    size_t low = 0, high = race->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (race->arms[middle].config < config)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static struct arm *find(const struct hd_race *race, uint32_t config)
{
    size_t place = place_of(race, config);
    return place < race->count && race->arms[place].config == config ? &race->arms[place] : NULL;
}

/* ---- what happens ---------------------------------------------------------------------------- */

void hd_race_queued(struct hd_race *race, uint32_t config, uint32_t repeat, double budget)
{
    race->looked = false;
    race->spent += budget;
    if (repeat == 0)
        return;
    struct arm *arm = find(race, config);
    hd_assert(arm != NULL && repeat == arm->asked + 1);
    arm->asked++;
    arm->pending++;
    race->repeated += budget;
}

static void add_arm(struct hd_race *race, uint32_t config, uint32_t job, double loss)
{
    size_t place = place_of(race, config), first = race->count;
    hd_assert(race->count < race->capacity);
    memmove(&race->arms[place + 1], &race->arms[place],
            (race->count - place) * sizeof(*race->arms));
    race->arms[place] = (struct arm){.config = config, .job = job};
    for (; first > 0 && race->firsts[first - 1] > loss; first--)
        race->firsts[first] = race->firsts[first - 1];
    race->firsts[first] = loss;
    race->count++;
}

/* Welford's step, in a form that does not pass what a double holds. */
static void add_result(struct arm *arm, double loss)
{
    double before = arm->mean, count = (double)++arm->results;
    arm->mean = before + (loss / count - before / count);
    arm->squares += (loss - before) * (loss - arm->mean);
}

void hd_race_result(struct hd_race *race, uint32_t config, uint32_t job, enum hd_race_end end,
                    double loss)
{
    struct arm *arm = find(race, config);
    race->looked = false;
    if (end == HD_RACE_END_FAILED && arm != NULL)
        arm->failed = true;
    if (end != HD_RACE_END_OK)
        return;
    hd_assert(isfinite(loss));
    if (arm == NULL) {
        add_arm(race, config, job, loss);
        arm = find(race, config);
    }
    add_result(arm, loss);
}

void hd_race_ended(struct hd_race *race, uint32_t config, uint32_t job, bool repeated,
                   enum hd_race_end end, double loss)
{
    struct arm *arm = find(race, config);
    hd_assert(!repeated || (arm != NULL && arm->pending > 0));
    if (repeated)
        arm->pending--;
    hd_race_result(race, config, job, end, loss);
}

/* ---- what is believed ------------------------------------------------------------------------ */

static double quantile(const struct hd_race *race, double part)
{
    double at = part * (double)(race->count - 1);
    size_t below = (size_t)at;
    double rest = at - (double)below;
    if (rest == 0)
        return race->firsts[below];
    return race->firsts[below] * (1 - rest) + race->firsts[below + 1] * rest;
}

static struct belief believe(const struct hd_race *race)
{
    struct belief belief = {.noise = NAN};
    double squares = 0;
    for (size_t i = 0; i < race->count; i++) {
        squares += race->arms[i].squares;
        belief.freedom += race->arms[i].results - 1;
    }
    if (belief.freedom > 0)
        belief.noise = squares / belief.freedom;
    if (!isfinite(belief.noise)) /* not known, or beyond what can be computed with */
        belief.noise = NAN;
    else if (belief.noise < RACE_NOISE_MIN)
        belief.noise = 0;
    if (race->count < RACE_ARMS_MIN || !(belief.noise > 0))
        return belief;
    belief.prior_mean = quantile(race, 0.5);
    double spread = (belief.prior_mean - quantile(race, 0.125)) / RACE_SPREAD;
    belief.prior_variance = fmax(spread * spread - belief.noise, RACE_PRIOR_FLOOR * belief.noise);
    belief.has_prior = isfinite(belief.prior_variance);
    return belief;
}

/* Variance of what is known of a config after so many results. */
static double variance_after(const struct belief *belief, uint32_t results)
{
    double precision = results / belief->noise;
    return 1 / (belief->has_prior ? precision + 1 / belief->prior_variance : precision);
}

static struct hd_race_estimate estimate_of(const struct arm *arm, const struct belief *belief)
{
    struct hd_race_estimate estimate = {.config = arm->config,
                                        .job = arm->job,
                                        .results = arm->results,
                                        .failed = arm->failed,
                                        .mean = arm->mean,
                                        .loss = arm->mean,
                                        .error = NAN};
    if (isnan(belief->noise))
        return estimate;
    double variance = belief->noise > 0 ? variance_after(belief, arm->results) : 0;
    estimate.error = sqrt(variance);
    if (belief->has_prior) {
        double trust = variance * arm->results / belief->noise;
        estimate.loss = arm->mean * trust + belief->prior_mean * (1 - trust);
    }
    return estimate;
}

int hd_race_compare(const struct hd_race_estimate *a, const struct hd_race_estimate *b)
{
    if (a->failed != b->failed)
        return a->failed ? 1 : -1;
    if (a->loss != b->loss)
        return a->loss < b->loss ? -1 : 1;
    return (a->config > b->config) - (a->config < b->config);
}

typedef bool (*arm_filter)(const struct hd_race *race, const struct arm *arm);

static size_t best_of(const struct hd_race *race, const struct belief *belief, size_t without,
                      arm_filter filter)
{
    size_t best = SIZE_MAX;
    struct hd_race_estimate leader = {.config = 0};
    for (size_t i = 0; i < race->count; i++) {
        if (i == without || (filter != NULL && !filter(race, &race->arms[i])))
            continue;
        struct hd_race_estimate estimate = estimate_of(&race->arms[i], belief);
        if (best == SIZE_MAX || hd_race_compare(&estimate, &leader) < 0) {
            best = i;
            leader = estimate;
        }
    }
    return best;
}

/* ---- who is evaluated again ------------------------------------------------------------------ */

static bool has_room(const struct hd_race *race, const struct arm *arm)
{
    return !arm->failed && arm->asked + 1 < race->spec.repeats;
}

/* Of two that are to be told apart the one that less is known of; SIZE_MAX: both had their all. */
static size_t lesser(const struct hd_race *race, size_t best, size_t challenger)
{
    const struct arm *a = &race->arms[best], *b = &race->arms[challenger];
    bool room_a = has_room(race, a), room_b = has_room(race, b);
    if (room_a && (!room_b || a->results + a->pending <= b->results + b->pending))
        return best;
    return room_b ? challenger : SIZE_MAX;
}

/* With repeats under way as results. */
static double variance_soon(const struct arm *arm, const struct belief *belief)
{
    return belief->noise > 0 ? variance_after(belief, arm->results + arm->pending) : 0;
}

/* While the noise is hardly known: the two best, then whoever is next. */
static size_t choose_blindly(const struct hd_race *race, const struct belief *belief, size_t best)
{
    size_t chosen = lesser(race, best, best_of(race, belief, best, NULL));
    return chosen != SIZE_MAX ? chosen : best_of(race, belief, SIZE_MAX, has_room);
}

static size_t choose(const struct hd_race *race, const struct belief *belief, bool closed)
{
    size_t arms_min = closed ? RACE_ARMS_MIN_CLOSED : RACE_ARMS_MIN;
    if (race->spec.repeats <= 1 || race->count < arms_min)
        return SIZE_MAX;
    size_t best = best_of(race, belief, SIZE_MAX, NULL), chosen = SIZE_MAX;
    if (belief->freedom < RACE_FREEDOM_MIN || isnan(belief->noise))
        return choose_blindly(race, belief, best);
    struct hd_race_estimate leader = estimate_of(&race->arms[best], belief);
    double leader_variance = variance_soon(&race->arms[best], belief), lowest = INFINITY;
    for (size_t i = 0; i < race->count; i++) {
        if (i == best || race->arms[i].failed)
            continue;
        struct hd_race_estimate estimate = estimate_of(&race->arms[i], belief);
        double variance = variance_soon(&race->arms[i], belief);
        double bound = estimate.loss - RACE_BOUND * sqrt(variance);
        bool apart = estimate.loss - leader.loss >= RACE_BOUND * sqrt(variance + leader_variance);
        if (apart || bound >= lowest || lesser(race, best, i) == SIZE_MAX)
            continue;
        lowest = bound;
        chosen = lesser(race, best, i);
    }
    return chosen;
}

static void look(struct hd_race *race, bool closed)
{
    struct belief belief = believe(race);
    size_t chosen = choose(race, &belief, closed);
    race->looked = true;
    race->looked_closed = closed;
    race->found = chosen != SIZE_MAX;
    if (!race->found)
        return;
    race->next = estimate_of(&race->arms[chosen], &belief);
    race->next_repeat = race->arms[chosen].asked + 1;
}

bool hd_race_next(struct hd_race *race, double budget, bool closed,
                  struct hd_race_estimate *ret_estimate, uint32_t *ret_repeat)
{
    if (race->repeated + budget > race->spec.share * (race->spent + budget))
        return false;
    if (!race->looked || race->looked_closed != closed)
        look(race, closed);
    if (!race->found)
        return false;
    *ret_estimate = race->next;
    *ret_repeat = race->next_repeat;
    return true;
}

/* ---- looking --------------------------------------------------------------------------------- */

bool hd_race_best(const struct hd_race *race, struct hd_race_estimate *ret_estimate)
{
    if (race->count == 0)
        return false;
    struct belief belief = believe(race);
    *ret_estimate = estimate_of(&race->arms[best_of(race, &belief, SIZE_MAX, NULL)], &belief);
    return true;
}

bool hd_race_find(const struct hd_race *race, uint32_t config,
                  struct hd_race_estimate *ret_estimate)
{
    const struct arm *arm = find(race, config);
    if (arm == NULL)
        return false;
    struct belief belief = believe(race);
    *ret_estimate = estimate_of(arm, &belief);
    return true;
}

size_t hd_race_count(const struct hd_race *race)
{
    return race->count;
}

void hd_race_all(const struct hd_race *race, struct hd_race_estimate *ret_estimates)
{
    struct belief belief = believe(race);
    for (size_t i = 0; i < race->count; i++)
        ret_estimates[i] = estimate_of(&race->arms[i], &belief);
}

double hd_race_noise(const struct hd_race *race)
{
    return believe(race).noise;
}

uint64_t hd_race_digest(const struct hd_race *race)
{
    uint64_t hash = hd_hash_double(HD_HASH_INIT, race->spent);
    hash = hd_hash_double(hash, race->repeated);
    for (size_t i = 0; i < race->count; i++) {
        const struct arm *arm = &race->arms[i];
        hash = hd_hash_u64(hash, arm->config);
        hash = hd_hash_u64(hash, arm->job);
        hash = hd_hash_u64(hash, arm->results);
        hash = hd_hash_u64(hash, arm->asked);
        hash = hd_hash_u64(hash, arm->pending);
        hash = hd_hash_u64(hash, arm->failed);
        hash = hd_hash_double(hash, arm->mean);
        hash = hd_hash_double(hash, arm->squares);
        hash = hd_hash_double(hash, race->firsts[i]);
    }
    return hash;
}
