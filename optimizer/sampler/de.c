/* SPDX-License-Identifier: Apache-2.0 */
/*
 * de.c: differential evolution with a population for every budget (Storn and Price, "Differential
 * evolution", 1997; Awad, Mallik and Hutter, "DEHB", 2021): rand/1/bin.
 *
 * A population is a fold over the results of its budget in the order of arrival: the result of
 * config number c competes for place place_of(c) and takes it when it is no worse than the one
 * that holds it. So it is a function of the history alone, whoever proposed the configs and whoever
 * was asked. What is kept between proposals is a cache of that fold; a result costs O(1).
 *
 * Where we differ is written in docs/optimizers.md.
 */
#include "sampler_priv.h"

#include <math.h>

#define POPULATION_MAX 256
/* Of a base vector, two that make the difference, and a target, none may be another one. */
#define MEMBERS_MIN 4
/* Attempts to make a config that is not used yet; attempt k redraws k coordinates in the mean, so
 * that a population of equal configs searches their neighbourhood. */
#define ATTEMPTS_MAX 16

struct population {
    const struct hd_history_rung *rung;
    uint32_t folded;         /* results that were looked at */
    uint32_t replaced_count; /* of the rung when they were */
    uint32_t places[];       /* 1 + index into rung->told; 0: nobody */
};

struct de {
    struct hd_sampler base;
    double size, factor, crossover;
    struct hd_sobol *sobol;
    struct population *populations[HD_HISTORY_RUNGS_MAX]; /* made when a budget is first needed */
    size_t population_count;
    uint32_t *members; /* [size]: config numbers of the donors with a finite loss */
    double *point;     /* [dimension] */
};

static enum hd_code de_prepare(struct hd_sampler *base, const struct hd_value *settings,
                               struct hd_err *err)
{
    struct de *de = (struct de *)base;
    de->size = 10;
    de->factor = 0.5;
    de->crossover = 0.5;
    const struct hd_setting table[] = {
        {"population", MEMBERS_MIN, POPULATION_MAX, true, &de->size},
        {"factor", 0.01, 2, false, &de->factor},
        {"crossover", 0, 1, false, &de->crossover},
    };
    enum hd_code code = hd_settings_read("de", settings, table, HD_COUNT(table), err);
    if (code == HD_OK)
        code = hd_sobol_new(base->seed, base->history->dimension, &de->sobol, err);
    if (code != HD_OK)
        return code;
    de->members = hd_calloc((size_t)de->size, sizeof(*de->members));
    de->point = hd_calloc(base->history->dimension + 1, sizeof(*de->point));
    if (de->members == NULL || de->point == NULL)
        return hd_fail(err, HD_E_NOMEM, "no memory for a population of %g", de->size);
    return HD_OK;
}

static void de_release(struct hd_sampler *base)
{
    struct de *de = (struct de *)base;
    for (size_t i = 0; i < de->population_count; i++)
        hd_free(de->populations[i]);
    hd_sobol_free(de->sobol);
    hd_free(de->members);
    hd_free(de->point);
}

/* ---- populations --------------------------------------------------------------------------- */

/* Numbers in a row have different places, as long as they are in one block; each block begins
 * elsewhere, so that whoever proposes every second config only still competes for every place. */
static uint32_t place_of(const struct de *de, uint32_t config_number)
{
    uint32_t size = (uint32_t)de->size;
    struct hd_rng rng;
    hd_rng_fork(de->base.seed, "de place", config_number / size, &rng);
    return (uint32_t)((config_number % size + hd_rng_below(&rng, size)) % size);
}

static void fold(const struct de *de, struct population *population)
{
    const struct hd_history_rung *rung = population->rung;
    if (population->replaced_count != rung->replaced_count) {
        population->replaced_count = rung->replaced_count;
        population->folded = 0;
        for (size_t i = 0; i < (size_t)de->size; i++)
            population->places[i] = 0;
    }
    for (; population->folded < rung->told_count; population->folded++) {
        const struct hd_told *told = &rung->told[population->folded];
        uint32_t *place = &population->places[place_of(de, told->config_number)];
        if (*place == 0 || told->loss <= rung->told[*place - 1].loss)
            *place = population->folded + 1;
    }
}

static enum hd_code get_population(struct de *de, const struct hd_history_rung *rung,
                                   struct population **ret_population, struct hd_err *err)
{
    struct population *population = NULL;
    for (size_t i = 0; i < de->population_count && population == NULL; i++)
        population = de->populations[i]->rung == rung ? de->populations[i] : NULL;
    if (population == NULL) {
        hd_assert(de->population_count < HD_HISTORY_RUNGS_MAX);
        population = hd_calloc(1, sizeof(*population) + (size_t)de->size * sizeof(uint32_t));
        if (population == NULL)
            return hd_fail(err, HD_E_NOMEM, "no memory for the population of a budget");
        population->rung = rung;
        de->populations[de->population_count++] = population;
    }
    fold(de, population);
    *ret_population = population;
    return HD_OK;
}

/* The config in this place, or UINT32_MAX when there is none with a finite loss. */
static uint32_t member_at(const struct population *population, uint32_t place)
{
    uint32_t index = population->places[place];
    if (index == 0 || !isfinite(population->rung->told[index - 1].loss))
        return UINT32_MAX;
    return population->rung->told[index - 1].config_number;
}

static size_t gather_members(struct de *de, const struct population *population)
{
    size_t count = 0;
    for (uint32_t i = 0; i < (uint32_t)de->size; i++) {
        uint32_t config_number = member_at(population, i);
        if (config_number != UINT32_MAX)
            de->members[count++] = config_number;
    }
    return count;
}

/* Whose configs are recombined: those of the highest budget with a full population, or while there
 * is none those of the budget with the most results. NULL: there is nothing to start from. */
static const struct hd_history_rung *choose_donors(const struct de *de)
{
    const struct hd_history *history = de->base.history;
    const struct hd_history_rung *fullest = NULL;
    for (uint32_t i = history->rung_count; i > 0; i--) {
        const struct hd_history_rung *rung = history->rungs[i - 1];
        if (rung->finite_count < MEMBERS_MIN)
            continue;
        if ((double)rung->told_count >= 2 * de->size)
            return rung;
        if (fullest == NULL || rung->told_count > fullest->told_count)
            fullest = rung;
    }
    return fullest != NULL && (double)fullest->told_count >= de->size ? fullest : NULL;
}

static const struct hd_history_rung *rung_at(const struct hd_history *history, double budget)
{
    for (uint32_t i = 0; i < history->rung_count; i++) {
        if (history->rungs[i]->budget == budget)
            return history->rungs[i];
    }
    return NULL;
}

/* The config that the new one will compete with at its budget, or any of the donors. */
static enum hd_code choose_target(struct de *de, uint32_t config_number, double budget,
                                  size_t member_count, struct hd_rng *rng, uint32_t *ret_target,
                                  struct hd_err *err)
{
    const struct hd_history_rung *rung = rung_at(de->base.history, budget);
    uint32_t target = UINT32_MAX;
    if (rung != NULL) {
        struct population *population;
        enum hd_code code = get_population(de, rung, &population, err);
        if (code != HD_OK)
            return code;
        target = member_at(population, place_of(de, config_number));
    }
    uint32_t other = de->members[hd_rng_below(rng, member_count)];
    *ret_target = target != UINT32_MAX ? target : other;
    return HD_OK;
}

/* ---- recombination ------------------------------------------------------------------------- */

/* Three different members, none of them the target. */
static void choose_parents(const struct de *de, size_t member_count, uint32_t target,
                           struct hd_rng *rng, const float *ret_rows[3])
{
    size_t taken[3];
    for (size_t i = 0; i < 3;) {
        taken[i] = hd_rng_below(rng, member_count);
        bool fresh = de->members[taken[i]] != target;
        for (size_t j = 0; j < i; j++)
            fresh = fresh && taken[j] != taken[i];
        if (!fresh)
            continue;
        ret_rows[i] = hd_history_units(de->base.history, de->members[taken[i]]);
        i++;
    }
}

/* A coordinate within the level that owns unit. Histories hold the centres of levels, and half a
 * difference of centres often lies on the border of two levels, which would always be the upper
 * one. */
static double dither(const struct hd_param *param, double unit, struct hd_rng *rng)
{
    if (isinf(hd_param_levels(param)))
        return unit;
    double low, high;
    hd_param_level_range(param, hd_param_from_unit(param, unit), &low, &high);
    return low + (high - low) * hd_rng_double(rng);
}

/* base + factor * (a - b); what leaves the cube, and what an inactive param would decide, is drawn
 * anew. Levels that are equal have no difference. */
static double mutate(const struct de *de, const struct hd_param *param, double base, double a,
                     double b, struct hd_rng *rng)
{
    if (isnan(base))
        return hd_rng_double(rng);
    double mutant = dither(param, base, rng);
    if (!isnan(a) && !isnan(b) && a != b)
        mutant += de->factor * (dither(param, a, rng) - dither(param, b, rng));
    return mutant >= 0 && mutant <= 1 ? mutant : hd_rng_double(rng);
}

/* Into de->point: the target crossed with a mutant; each coordinate is redrawn with probability
 * `fresh`. */
static void make_trial(struct de *de, size_t member_count, uint32_t target, double fresh,
                       struct hd_rng *rng)
{
    const struct hd_history *history = de->base.history;
    const float *rows[3], *old = hd_history_units(history, target);
    choose_parents(de, member_count, target, rng, rows);
    size_t always = hd_rng_below(rng, history->dimension);
    for (size_t d = 0; d < history->dimension; d++) {
        const struct hd_param *param = &history->space->params[history->params[d]];
        bool mutant = d == always || isnan(old[d]) || hd_rng_double(rng) < de->crossover;
        de->point[d] = mutant ? mutate(de, param, (double)rows[0][d], (double)rows[1][d],
                                       (double)rows[2][d], rng)
                              : (double)old[d];
        if (fresh > 0 && hd_rng_double(rng) < fresh)
            de->point[d] = hd_rng_double(rng);
    }
}

static enum hd_code de_suggest(struct hd_sampler *base, uint32_t config_number, double budget,
                               double *ret_values, struct hd_proposal_info *ret_info,
                               struct hd_err *err)
{
    struct de *de = (struct de *)base;
    struct hd_history *history = base->history;
    struct hd_rng rng;
    struct population *donors = NULL;
    hd_rng_fork(base->seed, "de", config_number, &rng);
    const struct hd_history_rung *rung = choose_donors(de);
    enum hd_code code = rung != NULL ? get_population(de, rung, &donors, err) : HD_OK;
    if (code != HD_OK)
        return code;
    size_t count = donors != NULL ? gather_members(de, donors) : 0;
    if (count < MEMBERS_MIN || history->dimension == 0)
        return hd_suggest_sobol(history, de->sobol, &rng, config_number, ret_values, ret_info, err);
    uint32_t target;
    code = choose_target(de, config_number, budget, count, &rng, &target, err);
    if (code != HD_OK)
        return code;
    for (int attempt = 0; attempt < ATTEMPTS_MAX; attempt++) {
        make_trial(de, count, target, attempt / (double)history->dimension, &rng);
        if (!hd_history_take_unused(history, de->point, ret_values))
            continue;
        ret_info->model = true;
        ret_info->model_budget = rung->budget;
        ret_info->model_count = rung->told_count;
        return HD_OK;
    }
    hd_copy_text(ret_info->sampler, sizeof(ret_info->sampler), "random");
    return hd_history_draw_unused(history, &rng, ret_values, err);
}

const struct hd_sampler_ops hd_sampler_de_ops = {
    .name = "de",
    .size = sizeof(struct de),
    .scale = HD_SCALE_CHEBYSHEV,
    .prepare = de_prepare,
    .release = de_release,
    .suggest = de_suggest,
};
