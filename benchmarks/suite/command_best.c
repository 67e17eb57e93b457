/* SPDX-License-Identifier: Apache-2.0 */
/*
 * command_best.c: hd-bench best-known: the best loss of a problem by a large search that no
 * optimizer under test takes part in: random configs, then differential evolution (rand/1/bin,
 * Storn and Price 1997) from the best of them, then steps of shrinking size around the very best.
 */
#include "commands.h"

#include <hd/os.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define POPULATION 32
#define DIMENSION_MAX 64

struct member {
    double cube[DIMENSION_MAX];
    double loss;
};

struct search {
    const struct bench_problem *problem;
    struct hd_rng rng;
    size_t dimension;
    struct member members[POPULATION]; /* stage one: rising by loss */
};

/* The lowest loss of a config: at any step from `first` on, or without noise at the full budget. */
static double loss_of(struct search *search, const double *cube, uint32_t first)
{
    const struct bench_problem *problem = search->problem;
    double values[HD_SPACE_PARAMS_MAX], losses[BENCH_STEPS_MAX] = {0}, costs[BENCH_STEPS_MAX] = {0};
    hd_space_from_cube(problem->space, cube, values);
    if (!hd_space_finish(problem->space, values))
        return INFINITY;
    if (problem->step_count == 0)
        return problem->ops->exact(problem, values);
    problem->ops->curve(problem, values, 0, first, problem->step_count, losses, costs);
    double lowest = INFINITY;
    for (uint32_t step = first; step <= problem->step_count; step++)
        if (losses[step - 1] < lowest)
            lowest = losses[step - 1];
    return lowest;
}

static void random_stage(struct search *search, int64_t count)
{
    uint32_t steps = search->problem->step_count;
    uint32_t first = steps > BENCH_STEPS_TOGETHER ? steps - BENCH_STEPS_TOGETHER + 1 : 1;
    for (size_t i = 0; i < POPULATION; i++)
        search->members[i].loss = INFINITY;
    for (int64_t n = 0; n < count; n++) {
        struct member member;
        for (size_t i = 0; i < search->dimension; i++)
            member.cube[i] = hd_rng_double(&search->rng);
        member.loss = loss_of(search, member.cube, first);
        size_t place = POPULATION;
        while (place > 0 && member.loss < search->members[place - 1].loss)
            place--;
        if (place == POPULATION)
            continue;
        memmove(&search->members[place + 1], &search->members[place],
                (POPULATION - 1 - place) * sizeof(member));
        search->members[place] = member;
    }
    for (size_t i = 0; i < POPULATION; i++)
        search->members[i].loss = loss_of(search, search->members[i].cube, 1);
}

static void evolve_stage(struct search *search, int64_t count)
{
    for (int64_t n = 0; n < count; n++) {
        struct member *target = &search->members[(size_t)n % POPULATION];
        const struct member *a = &search->members[hd_rng_below(&search->rng, POPULATION)];
        const struct member *b = &search->members[hd_rng_below(&search->rng, POPULATION)];
        const struct member *base = &search->members[hd_rng_below(&search->rng, POPULATION)];
        struct member child = *target;
        size_t sure = (size_t)hd_rng_below(&search->rng, search->dimension);
        for (size_t i = 0; i < search->dimension; i++) {
            if (i != sure && hd_rng_double(&search->rng) < 0.3)
                continue;
            double x = base->cube[i] + 0.6 * (a->cube[i] - b->cube[i]);
            child.cube[i] = x < 0 ? 0 : x >= 1 ? nextafter(1, 0) : x;
        }
        child.loss = loss_of(search, child.cube, 1);
        if (child.loss <= target->loss)
            *target = child;
    }
}

static const struct member *best_of(const struct search *search)
{
    const struct member *best = &search->members[0];
    for (size_t i = 1; i < POPULATION; i++)
        if (search->members[i].loss < best->loss)
            best = &search->members[i];
    return best;
}

static double polish_stage(struct search *search, int64_t count)
{
    struct member best = *best_of(search);
    double size = 0.1;
    for (int64_t n = 0; n < count; n++) {
        struct member child = best;
        for (size_t i = 0; i < search->dimension; i++) {
            double x = best.cube[i];
            if (hd_rng_double(&search->rng) < 0.5)
                x += size * hd_rng_normal(&search->rng);
            child.cube[i] = x < 0 ? 0 : x >= 1 ? nextafter(1, 0) : x;
        }
        child.loss = loss_of(search, child.cube, 1);
        if (child.loss < best.loss) {
            best = child;
            size *= 1.5;
        } else {
            size *= 0.98;
        }
        if (size < 1e-4 || size > 0.3)
            size = 0.1;
    }
    return best.loss;
}

static enum hd_code search_task(const char *suite, const char *task, const char *data_dir,
                                int64_t count, uint64_t seed, struct hd_err *err)
{
    struct bench_problem *problem = NULL;
    enum hd_code code = bench_problem_open(suite, task, data_dir, &problem, err);
    if (code == HD_OK && (problem->row_count > 0 || problem->space->free_count > DIMENSION_MAX))
        code = hd_fail(err, HD_E_UNSUPPORTED, "%s: not a space that can be searched so", suite);
    if (code == HD_OK) {
        struct search search = {.problem = problem, .dimension = problem->space->free_count};
        hd_rng_fork(seed, "best-known", 0, &search.rng);
        random_stage(&search, count);
        evolve_stage(&search, count / 4);
        char text[HD_DOUBLE_TEXT_SIZE];
        hd_format_double(text, sizeof(text), polish_stage(&search, count / 8));
        printf("{\"suite\":\"%s\",\"task\":\"%s\",\"loss\":%s}\n", suite, task, text);
        fflush(stdout);
    }
    bench_problem_free(problem);
    return code;
}

int bench_command_best(int argc, char **argv)
{
    struct hd_err err;
    const char *suite = "lcbench", *data_dir = bench_data_dir(), *tasks[256];
    int64_t count = 10000, seed = 1;
    const struct hd_option table[] = {
        {"suite", NULL, HD_OPTION_TEXT, &suite, "NAME", "the suite (lcbench)"},
        {"configs", NULL, HD_OPTION_INT, &count, "N",
         "random configs; a quarter as many evolved, an eighth polished (10000)", 100, 100000000},
        {"seed", NULL, HD_OPTION_INT, &seed, "N", "the seed (1)", 0, INT32_MAX},
        {"data", NULL, HD_OPTION_TEXT, &data_dir, "DIR", "the folder of the data"},
    };
    const struct hd_program program = {
        .name = "hd-bench best-known",
        .summary = "search the best loss of tasks; one JSON line each",
        .usage = "hd-bench best-known TASK... [options]",
        .epilogue = "How the values in the data were found that regret is measured against.",
        .options = table,
        .option_count = HD_COUNT(table),
        .positional_min = 1,
        .positional_max = HD_COUNT(tasks),
    };
    size_t task_count;
    switch (hd_options_parse(&program, argc, argv, tasks, &task_count)) {
    case HD_PARSE_GO:
        break;
    case HD_PARSE_EXIT_OK:
        return HD_EXIT_OK;
    case HD_PARSE_EXIT_USAGE:
        return HD_EXIT_USAGE;
    }
    for (size_t i = 0; i < task_count; i++)
        if (search_task(suite, tasks[i], data_dir, count, (uint64_t)seed, &err) != HD_OK)
            return bench_complain(&err);
    return HD_EXIT_OK;
}
