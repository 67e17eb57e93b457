/* SPDX-License-Identifier: Apache-2.0 */
/*
 * functions.c: test functions with a known minimum. Those whose name ends in -mf have budgets from
 * 1 to 27: a budget b adds a smooth bias that vanishes at 27, so that low budgets mislead a little.
 */
#include "bench.h"

#include <math.h>

#define PI 3.14159265358979323846
#define DIMENSION_MAX 16
#define BUDGET_MAX 27

struct function {
    const char *name;
    const char *space; /* JSON */
    double minimum;
    double bias;      /* of the lowest budget, in units of the function; 0: one budget */
    double deviation; /* of the noise of each evaluation; 0: none */
    double (*value)(const double *x, size_t dimension);
};

static double branin(const double *x, size_t dimension)
{
    (void)dimension;
    double a = x[1] - 5.1 / (4 * PI * PI) * x[0] * x[0] + 5 / PI * x[0] - 6;
    return a * a + 10 * (1 - 1 / (8 * PI)) * cos(x[0]) + 10;
}

static double hartmann3(const double *x, size_t dimension)
{
    static const double weight[4] = {1, 1.2, 3, 3.2};
    static const double a[4][3] = {{3, 10, 30}, {0.1, 10, 35}, {3, 10, 30}, {0.1, 10, 35}};
    static const double p[4][3] = {{0.3689, 0.1170, 0.2673},
                                   {0.4699, 0.4387, 0.7470},
                                   {0.1091, 0.8732, 0.5547},
                                   {0.0381, 0.5743, 0.8828}};
    double sum = 0;
    for (size_t i = 0; i < 4; i++) {
        double inner = 0;
        for (size_t j = 0; j < dimension; j++)
            inner += a[i][j] * (x[j] - p[i][j]) * (x[j] - p[i][j]);
        sum -= weight[i] * exp(-inner);
    }
    return sum;
}

static double hartmann6(const double *x, size_t dimension)
{
    static const double weight[4] = {1, 1.2, 3, 3.2};
    static const double a[4][6] = {{10, 3, 17, 3.5, 1.7, 8},
                                   {0.05, 10, 17, 0.1, 8, 14},
                                   {3, 3.5, 1.7, 10, 17, 8},
                                   {17, 8, 0.05, 10, 0.1, 14}};
    static const double p[4][6] = {{0.1312, 0.1696, 0.5569, 0.0124, 0.8283, 0.5886},
                                   {0.2329, 0.4135, 0.8307, 0.3736, 0.1004, 0.9991},
                                   {0.2348, 0.1451, 0.3522, 0.2883, 0.3047, 0.6650},
                                   {0.4047, 0.8828, 0.8732, 0.5743, 0.1091, 0.0381}};
    double sum = 0;
    for (size_t i = 0; i < 4; i++) {
        double inner = 0;
        for (size_t j = 0; j < dimension; j++)
            inner += a[i][j] * (x[j] - p[i][j]) * (x[j] - p[i][j]);
        sum -= weight[i] * exp(-inner);
    }
    return sum;
}

/* Where a function of many dimensions has its minimum, in parts of the upper end of a range that is
 * even about 0: in its middle a sampler that begins there would find it at once. */
static const double shifts[10] = {0.31, -0.47, 0.12, 0.58, -0.22, 0.41, -0.63, 0.27, -0.35, 0.5};

static double ackley(const double *x, size_t dimension)
{
    double squares = 0, waves = 0, d = (double)dimension;
    for (size_t i = 0; i < dimension; i++) {
        double far = x[i] - 32.768 * shifts[i];
        squares += far * far;
        waves += cos(2 * PI * far);
    }
    return -20 * exp(-0.2 * sqrt(squares / d)) - exp(waves / d) + 20 + exp(1);
}

static double rosenbrock(const double *x, size_t dimension)
{
    double sum = 0;
    for (size_t i = 0; i + 1 < dimension; i++) {
        double valley = x[i + 1] - x[i] * x[i];
        sum += 100 * valley * valley + (1 - x[i]) * (1 - x[i]);
    }
    return sum;
}

static double rastrigin(const double *x, size_t dimension)
{
    double sum = 10 * (double)dimension;
    for (size_t i = 0; i < dimension; i++) {
        double far = x[i] - 5.12 * shifts[i];
        sum += far * far - 10 * cos(2 * PI * far);
    }
    return sum;
}

/* Currin et al. 1988, turned over: its maximum is about 13.7986. */
static double currin(const double *x, size_t dimension)
{
    (void)dimension;
    double factor = x[1] > 0 ? 1 - exp(-1 / (2 * x[1])) : 1;
    double a = 2300 * pow(x[0], 3) + 1900 * x[0] * x[0] + 2092 * x[0] + 60;
    double b = 100 * pow(x[0], 3) + 500 * x[0] * x[0] + 4 * x[0] + 20;
    return -factor * a / b;
}

/* A categorical chooses one of four bowls, an int and a bool shift it. */
static double mixed(const double *x, size_t dimension)
{
    static const double centre[4] = {0.2, 0.45, 0.7, 0.9}, depth[4] = {0.4, 0, 0.7, 0.2};
    size_t bowl = (size_t)x[3];
    (void)dimension;
    double far = log10(x[1]) + 4; /* the best rate is 1e-4; 1e-3 is the middle */
    return depth[bowl] + 4 * (x[0] - centre[bowl]) * (x[0] - centre[bowl]) + 0.1 * far * far +
           0.01 * fabs(x[2] - 12) + (x[4] > 0.5 ? 0.15 : 0);
}

#define UNIT "{\"type\":\"float\",\"low\":0,\"high\":1}"
#define WIDE(low, high) "{\"type\":\"float\",\"low\":" low ",\"high\":" high "}"
#define BRANIN "{\"x1\":" WIDE("-5", "10") ",\"x2\":" WIDE("0", "15") "}"
#define HARTMANN3 "{\"x1\":" UNIT ",\"x2\":" UNIT ",\"x3\":" UNIT "}"
#define HARTMANN6                                                                                  \
    "{\"x1\":" UNIT ",\"x2\":" UNIT ",\"x3\":" UNIT ",\"x4\":" UNIT ",\"x5\":" UNIT                \
    ",\"x6\":" UNIT "}"
#define CUBE10(x)                                                                                  \
    "{\"x1\":" x ",\"x2\":" x ",\"x3\":" x ",\"x4\":" x ",\"x5\":" x ",\"x6\":" x ",\"x7\":" x     \
    ",\"x8\":" x ",\"x9\":" x ",\"x10\":" x "}"
#define CUBE5(x) "{\"x1\":" x ",\"x2\":" x ",\"x3\":" x ",\"x4\":" x ",\"x5\":" x "}"
#define MIXED                                                                                      \
    "{\"x\":" UNIT ",\"rate\":{\"type\":\"float\",\"low\":1e-6,\"high\":1,\"log\":true},"          \
    "\"units\":{\"type\":\"int\",\"low\":1,\"high\":40},"                                          \
    "\"kind\":{\"type\":\"categorical\",\"choices\":[\"a\",\"b\",\"c\",\"d\"]},"                   \
    "\"flag\":{\"type\":\"bool\"}}"

static const struct function functions[] = {
    {"branin", BRANIN, 0.39788735772973816, 0, 0, branin},
    {"branin-mf", BRANIN, 0.39788735772973816, 20, 0, branin},
    {"hartmann3", HARTMANN3, -3.8627797873327, 0, 0, hartmann3},
    {"hartmann3-mf", HARTMANN3, -3.8627797873327, 1, 0, hartmann3},
    {"hartmann6", HARTMANN6, -3.3223680114155, 0, 0, hartmann6},
    {"hartmann6-mf", HARTMANN6, -3.3223680114155, 1, 0, hartmann6},
    {"currin-mf", "{\"x1\":" UNIT ",\"x2\":" UNIT "}", -13.798722044728434, 3, 0, currin},
    {"ackley10", CUBE10(WIDE("-32.768", "32.768")), 0, 0, 0, ackley},
    {"ackley10-mf", CUBE10(WIDE("-32.768", "32.768")), 0, 5, 0, ackley},
    {"rosenbrock5", CUBE5(WIDE("-5", "10")), 0, 0, 0, rosenbrock},
    {"rosenbrock5-mf", CUBE5(WIDE("-5", "10")), 0, 1000, 0, rosenbrock},
    {"rastrigin10", CUBE10(WIDE("-5.12", "5.12")), 0, 0, 0, rastrigin},
    {"rastrigin10-mf", CUBE10(WIDE("-5.12", "5.12")), 0, 30, 0, rastrigin},
    {"mixed", MIXED, 0, 0, 0, mixed},
    {"mixed-mf", MIXED, 0, 0.5, 0, mixed},
};

/* Suite noisy: what differs among good configs is less than the noise of one evaluation. */
static const struct function noisy[] = {
    {"branin", BRANIN, 0.39788735772973816, 0, 2, branin},
    {"hartmann3", HARTMANN3, -3.8627797873327, 0, 0.3, hartmann3},
    {"hartmann6", HARTMANN6, -3.3223680114155, 0, 0.3, hartmann6},
    {"hartmann6-mf", HARTMANN6, -3.3223680114155, 1, 0.3, hartmann6},
    {"rosenbrock5", CUBE5(WIDE("-5", "10")), 0, 0, 200, rosenbrock},
    {"mixed", MIXED, 0, 0, 0.2, mixed},
};

static double exact(const struct bench_problem *problem, const double *values)
{
    const struct function *function = problem->state;
    return function->value(values, problem->space->param_count);
}

/* The bias is a smooth wave over the unit cube, so that it moves the minimum as well. */
static double value(const struct bench_problem *problem, const double *values, double budget,
                    struct hd_rng *rng)
{
    const struct function *function = problem->state;
    const struct hd_space *space = problem->space;
    double loss = exact(problem, values), phase = 0.7;
    for (size_t i = 0; i < space->param_count; i++)
        if (space->params[i].kind == HD_PARAM_FLOAT)
            phase += (1 + 0.5 * (double)i) * hd_param_to_unit(&space->params[i], values[i]);
    double left = log(problem->budget_max / budget) / log(BUDGET_MAX);
    double noise = function->deviation > 0 ? function->deviation * hd_rng_normal(rng) : 0;
    return loss + noise + function->bias * left * left * (1 + sin(3 * phase));
}

static const struct bench_problem_ops ops = {.value = value, .exact = exact};

static enum hd_code open_one(struct bench_problem *problem, const struct function *list,
                             size_t count, struct hd_err *err)
{
    for (size_t i = 0; i < count; i++) {
        if (!hd_streq(list[i].name, problem->task))
            continue;
        problem->ops = &ops;
        problem->state = (void *)(uintptr_t)&list[i];
        problem->budget_min = 1;
        problem->budget_max = list[i].bias > 0 ? BUDGET_MAX : 1;
        problem->eta = 3;
        problem->best = list[i].minimum;
        return bench_parse_space(problem, list[i].space, err);
    }
    return hd_fail(err, HD_E_NOTFOUND, "%s has no task %s; hd-bench tasks lists them",
                   problem->suite, problem->task);
}

static enum hd_code list_all(const struct function *list, size_t count, struct hd_buf *out,
                             struct hd_err *err)
{
    enum hd_code code = HD_OK;
    for (size_t i = 0; i < count && code == HD_OK; i++)
        code = hd_buf_printf(out, err, "%s%s", i > 0 ? " " : "", list[i].name);
    return code;
}

enum hd_code bench_functions_open(struct bench_problem *problem, const char *data_dir,
                                  struct hd_err *err)
{
    (void)data_dir;
    return open_one(problem, functions, HD_COUNT(functions), err);
}

enum hd_code bench_functions_tasks(const char *data_dir, struct hd_buf *out, struct hd_err *err)
{
    (void)data_dir;
    return list_all(functions, HD_COUNT(functions), out, err);
}

enum hd_code bench_noisy_open(struct bench_problem *problem, const char *data_dir,
                              struct hd_err *err)
{
    (void)data_dir;
    return open_one(problem, noisy, HD_COUNT(noisy), err);
}

enum hd_code bench_noisy_tasks(const char *data_dir, struct hd_buf *out, struct hd_err *err)
{
    (void)data_dir;
    return list_all(noisy, HD_COUNT(noisy), out, err);
}
