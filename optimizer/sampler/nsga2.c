/* SPDX-License-Identifier: Apache-2.0 */
/*
 * nsga2.c: a genetic algorithm whose population is the best results known (Deb, Pratap, Agarwal and
 * Meyarivan, "A fast and elitist multiobjective genetic algorithm: NSGA-II", 2002; simulated binary
 * crossover: Deb and Agrawal 1995; polynomial mutation: Deb and Goyal 1996; constraint domination:
 * Deb 2000).
 *
 * There are no generations: each proposal is one child of the population as it stands (steady
 * state: Nebro and Durillo 2009), so any number of jobs may be outstanding. The population is a
 * function of the history alone, whoever proposed the configs.
 *
 * Where we differ is written in docs/optimizers.md.
 */
#include "density.h"
#include "sampler_priv.h"

#include <math.h>

#define POPULATION_MIN 4
/* Attempts to make a config that is not used yet; attempt k mutates k + 1 coordinates in the mean.
 */
#define ATTEMPTS_MAX 32
#define FIT_ENOUGH                                                                                 \
    2 /* populations of results that a budget needs to be preferred to a lower one                 \
       */

struct nsga2 {
    struct hd_sampler base;
    double population, crossover, mutations, crossover_index, mutation_index;
    struct hd_sobol *sobol;
    struct hd_axis *axes;
    double *point; /* [dimension] */
};

static enum hd_code nsga2_prepare(struct hd_sampler *base, const struct hd_value *settings,
                                  struct hd_err *err)
{
    struct nsga2 *nsga2 = (struct nsga2 *)base;
    const struct hd_history *history = base->history;
    nsga2->population = 32;
    nsga2->crossover = 0.9;
    nsga2->mutations = 1;
    nsga2->crossover_index = 5;
    nsga2->mutation_index = 5;
    const struct hd_setting table[] = {
        {"population", POPULATION_MIN, HD_HISTORY_BEST_MAX, true, &nsga2->population},
        {"crossover", 0, 1, false, &nsga2->crossover},
        {"mutations", 0, 1000, false, &nsga2->mutations},
        {"crossover_index", 0, 1000, false, &nsga2->crossover_index},
        {"mutation_index", 0, 1000, false, &nsga2->mutation_index},
    };
    enum hd_code code = hd_settings_read("nsga2", settings, table, HD_COUNT(table), err);
    if (code == HD_OK)
        code = hd_sobol_new(base->seed, history->dimension, &nsga2->sobol, err);
    if (code != HD_OK)
        return code;
    nsga2->axes = hd_calloc(history->dimension + 1, sizeof(*nsga2->axes));
    nsga2->point = hd_calloc(history->dimension + 1, sizeof(*nsga2->point));
    if (nsga2->axes == NULL || nsga2->point == NULL)
        return hd_fail(err, HD_E_NOMEM, "no memory for sampler nsga2");
    for (size_t d = 0; d < history->dimension; d++)
        hd_axis_init(&nsga2->axes[d], &history->space->params[history->params[d]]);
    return HD_OK;
}

static void nsga2_release(struct hd_sampler *base)
{
    struct nsga2 *nsga2 = (struct nsga2 *)base;
    hd_sobol_free(nsga2->sobol);
    hd_free(nsga2->axes);
    hd_free(nsga2->point);
}

/* The highest budget with results enough, or the one with the most; NULL: none has a population. */
static const struct hd_history_rung *choose_rung(const struct nsga2 *nsga2)
{
    const struct hd_history *history = nsga2->base.history;
    const struct hd_history_rung *fullest = NULL;
    for (uint32_t i = history->rung_count; i > 0; i--) {
        const struct hd_history_rung *rung = history->rungs[i - 1];
        if (rung->finite_count < POPULATION_MIN)
            continue;
        if ((double)rung->told_count >= FIT_ENOUGH * nsga2->population)
            return rung;
        if (fullest == NULL || rung->told_count > fullest->told_count)
            fullest = rung;
    }
    bool full = fullest != NULL && (double)fullest->told_count >= nsga2->population;
    return full ? fullest : NULL;
}

/* The better of two members drawn: they are sorted. */
static const float *choose_parent(const struct nsga2 *nsga2, const struct hd_history_rung *rung,
                                  struct hd_rng *rng)
{
    uint32_t count = rung->best_count;
    if ((double)count > nsga2->population)
        count = (uint32_t)nsga2->population;
    uint32_t a = (uint32_t)hd_rng_below(rng, count), b = (uint32_t)hd_rng_below(rng, count);
    uint32_t winner = rung->best[a < b ? a : b];
    return hd_history_units(nsga2->base.history, rung->told[winner].config_number);
}

/* A coordinate within the level that owns unit: histories hold the centres of levels. */
static double dither(const struct hd_axis *axis, double unit, struct hd_rng *rng)
{
    if (isinf(axis->levels))
        return unit;
    double low, high;
    hd_param_level_range(axis->param, hd_param_from_unit(axis->param, unit), &low, &high);
    return low + (high - low) * hd_rng_double(rng);
}

/* Simulated binary crossover within [0, 1]: a child near `a`, as far off as the parents are apart
 * allows. */
static double cross_numbers(double a, double b, double index, struct hd_rng *rng)
{
    double low = fmin(a, b), gap = fabs(a - b), u = hd_rng_double(rng);
    if (gap < 1e-12)
        return a;
    bool lower = a <= b;
    double room = lower ? low : 1 - (low + gap);
    double beta = 1 + 2 * room / gap;
    double alpha = 2 - pow(beta, -(index + 1));
    double spread = u <= 1 / alpha ? pow(u * alpha, 1 / (index + 1))
                                   : pow(1 / (2 - u * alpha), 1 / (index + 1));
    double middle = low + gap / 2;
    double child = lower ? middle - spread * gap / 2 : middle + spread * gap / 2;
    return fmin(fmax(child, 0), 1);
}

/* Polynomial mutation within [0, 1]. */
static double mutate_number(double x, double index, struct hd_rng *rng)
{
    double u = hd_rng_double(rng), power = 1 / (index + 1);
    double moved;
    if (u < 0.5)
        moved = x + pow(2 * u + (1 - 2 * u) * pow(1 - x, index + 1), power) - 1;
    else
        moved = x + 1 - pow(2 * (1 - u) + (2 * u - 1) * pow(x, index + 1), power);
    return fmin(fmax(moved, 0), 1);
}

/* One coordinate of the child; what both parents have no value for is drawn, should the child need
 * it. */
static double inherit(const struct nsga2 *nsga2, size_t d, double a, double b, bool crosses,
                      double mutation, struct hd_rng *rng)
{
    const struct hd_axis *axis = &nsga2->axes[d];
    bool swaps = hd_rng_double(rng) < 0.5, mutates = hd_rng_double(rng) < mutation;
    if (isnan(a) && isnan(b))
        return hd_rng_double(rng);
    if (isnan(a) || isnan(b))
        swaps = isnan(a);
    if (axis->choice)
        return mutates ? hd_rng_double(rng) : crosses && swaps ? b : a;
    double x;
    if (isnan(a) || isnan(b)) {
        x = dither(axis, swaps ? b : a, rng);
    } else {
        a = dither(axis, a, rng);
        b = dither(axis, b, rng);
        double near = crosses && swaps ? b : a, far = crosses && swaps ? a : b;
        x = crosses ? cross_numbers(near, far, nsga2->crossover_index, rng) : a;
    }
    return mutates ? mutate_number(x, nsga2->mutation_index, rng) : x;
}

static void make_child(struct nsga2 *nsga2, const struct hd_history_rung *rung, double mutations,
                       struct hd_rng *rng)
{
    size_t dimension = nsga2->base.history->dimension;
    const float *mother = choose_parent(nsga2, rung, rng);
    const float *father = choose_parent(nsga2, rung, rng);
    bool crosses = hd_rng_double(rng) < nsga2->crossover;
    for (size_t d = 0; d < dimension; d++)
        nsga2->point[d] = inherit(nsga2, d, (double)mother[d], (double)father[d], crosses,
                                  mutations / (double)dimension, rng);
}

static enum hd_code nsga2_suggest(struct hd_sampler *base, uint32_t config_number, double budget,
                                  double *ret_values, struct hd_proposal_info *ret_info,
                                  struct hd_err *err)
{
    struct nsga2 *nsga2 = (struct nsga2 *)base;
    struct hd_rng rng;
    (void)budget; /* a child of those that are good at the highest budget is meant for any */
    hd_rng_fork(base->seed, "nsga2", config_number, &rng);
    const struct hd_history_rung *rung = choose_rung(nsga2);
    if (rung == NULL || base->history->dimension == 0)
        return hd_suggest_sobol(base->history, nsga2->sobol, &rng, config_number, ret_values,
                                ret_info, err);
    for (int attempt = 0; attempt < ATTEMPTS_MAX; attempt++) {
        make_child(nsga2, rung, nsga2->mutations + attempt, &rng);
        if (!hd_history_take_unused(base->history, nsga2->point, ret_values))
            continue;
        ret_info->model = true;
        ret_info->model_budget = rung->budget;
        ret_info->model_count = rung->told_count;
        return HD_OK;
    }
    hd_copy_text(ret_info->sampler, sizeof(ret_info->sampler), "random");
    return hd_history_draw_unused(base->history, &rng, ret_values, err);
}

const struct hd_sampler_ops hd_sampler_nsga2_ops = {
    .name = "nsga2",
    .size = sizeof(struct nsga2),
    .scale = HD_SCALE_ORDER,
    .prepare = nsga2_prepare,
    .release = nsga2_release,
    .suggest = nsga2_suggest,
};
