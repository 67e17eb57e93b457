/* SPDX-License-Identifier: Apache-2.0 */
/*
 * counting.c: counting ones (Falkner, Klein and Hutter 2018): bits and probabilities, all of which
 * want to be one. A budget b draws b times from each probability and sees the mean; regret is
 * exact. Budgets 9 to 729 with eta 3, as there.
 */
#include "bench.h"

#include <string.h>

struct size {
    const char *name;
    size_t bits, floats;
};

static const struct size sizes[] = {
    {"4+4", 4, 4},
    {"8+8", 8, 8},
    {"16+16", 16, 16},
    {"32+32", 32, 32},
};

static double exact(const struct bench_problem *problem, const double *values)
{
    size_t count = problem->space->param_count;
    double sum = 0;
    for (size_t i = 0; i < count; i++)
        sum += values[i];
    return 1 - sum / (double)count;
}

static double value(const struct bench_problem *problem, const double *values, double budget,
                    struct hd_rng *rng)
{
    const struct size *size = problem->state;
    size_t draws = (size_t)(budget + 0.5), count = size->bits + size->floats;
    double sum = 0;
    for (size_t i = 0; i < size->bits; i++)
        sum += values[i];
    for (size_t i = size->bits; i < count; i++) {
        size_t ones = 0;
        for (size_t draw = 0; draw < draws; draw++)
            ones += hd_rng_double(rng) < values[i];
        sum += (double)ones / (double)draws;
    }
    return 1 - sum / (double)count;
}

static const struct bench_problem_ops ops = {.value = value, .exact = exact};

static enum hd_code make_space(struct bench_problem *problem, const struct size *size,
                               struct hd_err *err)
{
    struct hd_buf text;
    hd_buf_init(&text, 1 << 16);
    enum hd_code code = hd_buf_puts(&text, "{", err);
    for (size_t i = 0; code == HD_OK && i < size->bits; i++)
        code = hd_buf_printf(&text, err, "\"bit%zu\":{\"type\":\"categorical\",\"choices\":[0,1]},",
                             i);
    for (size_t i = 0; code == HD_OK && i < size->floats; i++)
        code = hd_buf_printf(&text, err, "\"float%zu\":{\"type\":\"float\",\"low\":0,\"high\":1}%s",
                             i, i + 1 < size->floats ? "," : "}");
    if (code == HD_OK)
        code = bench_parse_space(problem, hd_buf_text(&text), err);
    hd_buf_release(&text);
    return code;
}

enum hd_code bench_counting_open(struct bench_problem *problem, const char *data_dir,
                                 struct hd_err *err)
{
    (void)data_dir;
    for (size_t i = 0; i < HD_COUNT(sizes); i++) {
        if (!hd_streq(sizes[i].name, problem->task))
            continue;
        problem->ops = &ops;
        problem->state = (void *)(uintptr_t)&sizes[i];
        problem->budget_min = 9;
        problem->budget_max = 729;
        problem->eta = 3;
        problem->best = 0;
        return make_space(problem, &sizes[i], err);
    }
    return hd_fail(err, HD_E_NOTFOUND,
                   "counting_ones has no task %s; there are 4+4, 8+8, 16+16, 32+32", problem->task);
}

enum hd_code bench_counting_tasks(const char *data_dir, struct hd_buf *out, struct hd_err *err)
{
    static const char *const names[] = {"8+8", "32+32"};
    (void)data_dir;
    return bench_list(names, HD_COUNT(names), out, err);
}
