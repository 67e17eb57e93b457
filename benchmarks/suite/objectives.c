/* SPDX-License-Identifier: Apache-2.0 */
/*
 * objectives.c: problems with several objectives whose fronts are known, so that the volume of the
 * whole front is a formula. The loss of a run is that part of it, negative, which its feasible
 * results dominate: regret is the part that is missing, from 1 (nothing) to 0.
 *
 *   zdt1, zdt2   two objectives, 6 params: a convex and a concave front (Zitzler, Deb and Thiele
 *                2000, "Comparison of multiobjective evolutionary algorithms: empirical results";
 *                with 6 params in place of 30, as suits some hundred evaluations)
 *   dtlz2        three objectives, 7 params: an eighth of a sphere (Deb, Thiele, Laumanns and
 *                Zitzler 2002, "Scalable multi-objective optimization test problems"); the best of
 *                the last five params is 0.35 in place of 0.5, where some samplers begin
 *   constr       two objectives, two params, two constraints, of which one cuts into the front (Deb
 *                2001, "Multi-Objective Optimization using Evolutionary Algorithms", section 7.3)
 */
#include "bench.h"

#include <math.h>

#define PI 3.14159265358979323846

struct scored {
    const char *name;
    const char *space; /* JSON */
    uint32_t objective_count;
    bool constrained;
    double reference[3]; /* beyond what every result or every feasible one has, or nearly */
    double (*volume)(const double *reference);
    void (*score)(const double *x, struct hd_score *ret_score);
};

/* 1 on the front: the mean of the params after the first. */
static double zdt_far(const double *x)
{
    double sum = 0;
    for (int i = 1; i < 6; i++)
        sum += x[i];
    return 1 + 9 * sum / 5;
}

static void zdt1(const double *x, struct hd_score *ret_score)
{
    double far = zdt_far(x);
    ret_score->losses[0] = x[0];
    ret_score->losses[1] = far * (1 - sqrt(x[0] / far));
}

static void zdt2(const double *x, struct hd_score *ret_score)
{
    double far = zdt_far(x);
    ret_score->losses[0] = x[0];
    ret_score->losses[1] = far * (1 - (x[0] / far) * (x[0] / far));
}

/* Below a front from (0, 1) to (1, 0): the integral of the reference less the front, and what lies
 * beyond 1. */
static double zdt1_volume(const double *reference)
{
    return reference[1] - 1 + 2.0 / 3 + (reference[0] - 1) * reference[1];
}

static double zdt2_volume(const double *reference)
{
    return reference[1] - 1 + 1.0 / 3 + (reference[0] - 1) * reference[1];
}

static void dtlz2(const double *x, struct hd_score *ret_score)
{
    double far = 1;
    for (int i = 2; i < 7; i++)
        far += (x[i] - 0.35) * (x[i] - 0.35);
    double a = x[0] * PI / 2, b = x[1] * PI / 2;
    ret_score->losses[0] = far * cos(a) * cos(b);
    ret_score->losses[1] = far * cos(a) * sin(b);
    ret_score->losses[2] = far * sin(a);
}

static double dtlz2_volume(const double *reference)
{
    return reference[0] * reference[1] * reference[2] - PI / 6;
}

static void constr(const double *x, struct hd_score *ret_score)
{
    double first = 6 - x[1] - 9 * x[0], second = 1 + x[1] - 9 * x[0];
    ret_score->losses[0] = x[0];
    ret_score->losses[1] = (1 + x[1]) / x[0];
    ret_score->violation = (first > 0 ? first / 6 : 0) + (second > 0 ? second : 0);
}

/* The front is (7 - 9 x) / x from 7/18, where both constraints meet, to 2/3, and 1 / x from there
 * to 1. */
static double constr_volume(const double *reference)
{
    double low = 7.0 / 18, middle = 2.0 / 3, r = reference[1];
    return (r + 9) * (middle - low) - 7 * log(middle / low) + r * (1 - middle) + log(middle) +
           (reference[0] - 1) * (r - 1);
}

#define UNIT "{\"type\":\"float\",\"low\":0,\"high\":1}"
#define CUBE6                                                                                      \
    "{\"x1\":" UNIT ",\"x2\":" UNIT ",\"x3\":" UNIT ",\"x4\":" UNIT ",\"x5\":" UNIT                \
    ",\"x6\":" UNIT "}"
#define CUBE7                                                                                      \
    "{\"x1\":" UNIT ",\"x2\":" UNIT ",\"x3\":" UNIT ",\"x4\":" UNIT ",\"x5\":" UNIT                \
    ",\"x6\":" UNIT ",\"x7\":" UNIT "}"
#define CONSTR                                                                                     \
    "{\"x\":{\"type\":\"float\",\"low\":0.1,\"high\":1},"                                          \
    "\"y\":{\"type\":\"float\",\"low\":0,\"high\":5}}"

static const struct scored problems[] = {
    {"zdt1", CUBE6, 2, false, {1.1, 4}, zdt1_volume, zdt1},
    {"zdt2", CUBE6, 2, false, {1.1, 4}, zdt2_volume, zdt2},
    {"dtlz2", CUBE7, 3, false, {1.5, 1.5, 1.5}, dtlz2_volume, dtlz2},
    {"constr", CONSTR, 2, true, {1.1, 10}, constr_volume, constr},
};

static void score(const struct bench_problem *problem, const double *values,
                  struct hd_score *ret_score)
{
    const struct scored *scored = problem->state;
    *ret_score = (struct hd_score){.violation = 0};
    scored->score(values, ret_score);
}

static enum hd_code volume(const struct bench_problem *problem, const double *losses, size_t count,
                           double *ret_part, struct hd_err *err)
{
    const struct scored *scored = problem->state;
    double dominated;
    enum hd_code code =
        hd_hypervolume(losses, count, scored->objective_count, scored->reference, &dominated, err);
    if (code == HD_OK)
        *ret_part = dominated / scored->volume(scored->reference);
    return code;
}

static const struct bench_problem_ops ops = {.score = score, .volume = volume};

enum hd_code bench_objectives_open(struct bench_problem *problem, const char *data_dir,
                                   struct hd_err *err)
{
    (void)data_dir;
    for (size_t i = 0; i < HD_COUNT(problems); i++) {
        if (!hd_streq(problems[i].name, problem->task))
            continue;
        problem->ops = &ops;
        problem->state = (void *)(uintptr_t)&problems[i];
        problem->objective_count = problems[i].objective_count;
        problem->constrained = problems[i].constrained;
        problem->budget_min = 1;
        problem->budget_max = 1;
        problem->eta = 3;
        problem->best = -1;
        return bench_parse_space(problem, problems[i].space, err);
    }
    return hd_fail(err, HD_E_NOTFOUND, "objectives has no task %s; hd-bench tasks lists them",
                   problem->task);
}

enum hd_code bench_objectives_tasks(const char *data_dir, struct hd_buf *out, struct hd_err *err)
{
    (void)data_dir;
    const char *names[HD_COUNT(problems)];
    for (size_t i = 0; i < HD_COUNT(problems); i++)
        names[i] = problems[i].name;
    return bench_list(names, HD_COUNT(problems), out, err);
}
