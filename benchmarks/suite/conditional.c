/* SPDX-License-Identifier: Apache-2.0 */
/*
 * conditional.c: spaces with nested conditions and a known minimum of 0. Ours; what they have in
 * common with pipelines of machine learning is the shape of the space.
 *
 *   pipeline   which model, and what it needs: three branches of up to four levels. The branch
 *              with the minimum is bad in the mean, and its minimum is narrow.
 *   switches   six switches, each inside the one before and with one number of its own: every
 *              switch pays only when its number is right.
 *
 * Those whose name ends in -mf have budgets from 1 to 27: a budget below 27 adds a bias which is
 * larger where more is switched on, as large models learn slower.
 */
#include "bench.h"

#include <math.h>
#include <string.h>

#define BUDGET_MAX 27
#define SWITCH_COUNT 6

struct conditional {
    const char *name, *space; /* JSON */
    bool budgets;
    double (*loss)(const double *x);
    double (*slowness)(const double *x); /* the bias of budget 1 */
};

static double square(double x)
{
    return x * x;
}

/* ---- pipeline -------------------------------------------------------------------------------- */

enum pipeline_param {
    MODEL,
    STRENGTH,
    PENALTY,
    RATIO,
    DEPTH,
    BOOSTED,
    SHRINKAGE,
    OPTIMIZER,
    RATE,
    MOMENTUM,
    DECAY,
    LAYERS,
    UNITS_1,
    UNITS_2,
    UNITS_3,
};
enum model { LINEAR, TREES, NETWORK };
enum { PENALTY_BOTH = 2, OPTIMIZER_SGD = 0 };

#define PIPELINE                                                                                   \
    "{\"model\":{\"type\":\"categorical\",\"choices\":[\"linear\",\"trees\",\"network\"]},"        \
    "\"strength\":{\"type\":\"float\",\"low\":1e-6,\"high\":1,\"log\":true,"                       \
    "\"when\":{\"model\":\"linear\"}},"                                                            \
    "\"penalty\":{\"type\":\"categorical\",\"choices\":[\"l1\",\"l2\",\"both\"],"                  \
    "\"when\":{\"model\":\"linear\"}},"                                                            \
    "\"ratio\":{\"type\":\"float\",\"low\":0,\"high\":1,\"when\":{\"penalty\":\"both\"}},"         \
    "\"depth\":{\"type\":\"int\",\"low\":1,\"high\":12,\"when\":{\"model\":\"trees\"}},"           \
    "\"boosted\":{\"type\":\"bool\",\"when\":{\"model\":\"trees\"}},"                              \
    "\"shrinkage\":{\"type\":\"float\",\"low\":1e-3,\"high\":1,\"log\":true,"                      \
    "\"when\":{\"boosted\":true}},"                                                                \
    "\"optimizer\":{\"type\":\"categorical\",\"choices\":[\"sgd\",\"adam\"],"                      \
    "\"when\":{\"model\":\"network\"}},"                                                           \
    "\"rate\":{\"type\":\"float\",\"low\":1e-5,\"high\":1,\"log\":true,"                           \
    "\"when\":{\"model\":\"network\"}},"                                                           \
    "\"momentum\":{\"type\":\"float\",\"low\":0,\"high\":0.99,\"when\":{\"optimizer\":\"sgd\"}},"  \
    "\"decay\":{\"type\":\"float\",\"low\":0.8,\"high\":0.999,\"when\":{\"optimizer\":\"adam\"}}," \
    "\"layers\":{\"type\":\"int\",\"low\":1,\"high\":3,\"when\":{\"model\":\"network\"}},"         \
    "\"units_1\":{\"type\":\"int\",\"low\":8,\"high\":512,\"log\":true,"                           \
    "\"when\":{\"model\":\"network\"}},"                                                           \
    "\"units_2\":{\"type\":\"int\",\"low\":8,\"high\":512,\"log\":true,"                           \
    "\"when\":{\"layers\":{\"ge\":2}}},"                                                           \
    "\"units_3\":{\"type\":\"int\",\"low\":8,\"high\":512,\"log\":true,"                           \
    "\"when\":{\"layers\":{\"ge\":3}}}}"

static double network_loss(const double *x)
{
    static const double depth_loss[3] = {0.08, 0, 0.02};
    bool sgd = x[OPTIMIZER] == OPTIMIZER_SGD;
    int layers = (int)x[LAYERS];
    /* Plain descent wants a rate thirty times as large. */
    double loss = 0.08 * square(log10(x[RATE]) + (sgd ? 1.5 : 3));
    loss += sgd ? 0.6 * square(x[MOMENTUM] - 0.9) : 0.03 + square(x[DECAY] - 0.95);
    loss += depth_loss[layers - 1] + 0.02 * square(log2(x[UNITS_1] / 128));
    if (layers >= 2)
        loss += 0.02 * square(log2(x[UNITS_2] / 64));
    if (layers >= 3)
        loss += 0.02 * square(log2(x[UNITS_3] / 32));
    return loss;
}

static double pipeline_loss(const double *x)
{
    static const double penalty_loss[3] = {0.06, 0.03, 0};
    switch ((enum model)x[MODEL]) {
    case LINEAR:
        return 0.3 + 0.02 * square(log10(x[STRENGTH]) + 4) + penalty_loss[(int)x[PENALTY]] +
               (x[PENALTY] == PENALTY_BOTH ? 0.1 * square(x[RATIO] - 0.3) : 0);
    case TREES:
        return x[BOOSTED] > 0.5
                   ? 0.05 + 0.005 * square(x[DEPTH] - 5) + 0.1 * square(log10(x[SHRINKAGE]) + 1.5)
                   : 0.15 + 0.002 * square(x[DEPTH] - 10);
    case NETWORK:
        return network_loss(x);
    }
    hd_assert(!"model");
    return INFINITY;
}

static double pipeline_slowness(const double *x)
{
    switch ((enum model)x[MODEL]) {
    case LINEAR:
        return 0.02;
    case TREES:
        return x[BOOSTED] > 0.5 ? 0.15 : 0.05;
    case NETWORK:
        return 0.1 + 0.1 * x[LAYERS];
    }
    hd_assert(!"model");
    return INFINITY;
}

/* ---- switches -------------------------------------------------------------------------------- */

#define SWITCH(k, condition)                                                                       \
    "\"on_" k "\":{\"type\":\"bool\"" condition "},"                                               \
    "\"x_" k "\":{\"type\":\"float\",\"low\":0,\"high\":1,\"when\":{\"on_" k "\":true}}"
#define INSIDE(k) ",\"when\":{\"on_" k "\":true}"
#define SWITCHES                                                                                   \
    "{" SWITCH("1", "") "," SWITCH("2", INSIDE("1")) "," SWITCH("3", INSIDE("2")) "," SWITCH(      \
        "4", INSIDE("3")) "," SWITCH("5", INSIDE("4")) "," SWITCH("6", INSIDE("5")) "}"

/* How many are on: those inside one that is off are inactive. */
static int switched_on(const double *x)
{
    int count = 0;
    while (count < SWITCH_COUNT && x[2 * count] > 0.5)
        count++;
    return count;
}

static double switches_loss(const double *x)
{
    static const double centre[SWITCH_COUNT] = {0.7, 0.25, 0.55, 0.1, 0.85, 0.4};
    double loss = 1;
    for (int i = 0; i < switched_on(x); i++)
        loss -= (1.25 * exp(-square((x[2 * i + 1] - centre[i]) / 0.2)) - 0.25) / SWITCH_COUNT;
    return loss;
}

static double switches_slowness(const double *x)
{
    return 0.15 * switched_on(x);
}

/* ---- the suite ------------------------------------------------------------------------------- */

static const struct conditional conditionals[] = {
    {"pipeline", PIPELINE, false, pipeline_loss, pipeline_slowness},
    {"pipeline-mf", PIPELINE, true, pipeline_loss, pipeline_slowness},
    {"switches", SWITCHES, false, switches_loss, switches_slowness},
    {"switches-mf", SWITCHES, true, switches_loss, switches_slowness},
};

static double exact(const struct bench_problem *problem, const double *values)
{
    const struct conditional *conditional = problem->state;
    return conditional->loss(values);
}

static double value(const struct bench_problem *problem, const double *values, double budget,
                    struct hd_rng *rng)
{
    const struct conditional *conditional = problem->state;
    double left = log(problem->budget_max / budget) / log(BUDGET_MAX);
    (void)rng;
    return conditional->loss(values) + conditional->slowness(values) * left;
}

static const struct bench_problem_ops ops = {.value = value, .exact = exact};

enum hd_code bench_conditional_open(struct bench_problem *problem, const char *data_dir,
                                    struct hd_err *err)
{
    (void)data_dir;
    for (size_t i = 0; i < HD_COUNT(conditionals); i++) {
        if (!hd_streq(conditionals[i].name, problem->task))
            continue;
        problem->ops = &ops;
        problem->state = (void *)(uintptr_t)&conditionals[i];
        problem->budget_min = 1;
        problem->budget_max = conditionals[i].budgets ? BUDGET_MAX : 1;
        problem->eta = 3;
        problem->best = 0;
        return bench_parse_space(problem, conditionals[i].space, err);
    }
    return hd_fail(err, HD_E_NOTFOUND, "conditional has no task %s; hd-bench tasks lists them",
                   problem->task);
}

enum hd_code bench_conditional_tasks(const char *data_dir, struct hd_buf *out, struct hd_err *err)
{
    (void)data_dir;
    const char *names[HD_COUNT(conditionals)];
    for (size_t i = 0; i < HD_COUNT(conditionals); i++)
        names[i] = conditionals[i].name;
    return bench_list(names, HD_COUNT(names), out, err);
}
