/* SPDX-License-Identifier: Apache-2.0 */
/* pool.h: many independent runs, some at a time, each in a process of its own. */
#ifndef HD_BENCH_POOL_H
#define HD_BENCH_POOL_H

#include "bench.h"

#include <stdio.h>

/* One run: results[index] belongs to units[index]. */
struct bench_unit {
    size_t problem_index, method_index;
    uint64_t seed;
};
struct bench_result {
    bool done;
    enum hd_code code;
    char error[HD_ERR_TEXT_MAX];
    struct bench_trace trace;
};

struct bench_plan {
    struct bench_problem *const *problems;
    const char *const *method_names;
    const struct hd_value *const *methods;
    size_t problem_count, method_count;
    const struct bench_unit *units;
    size_t unit_count;
    uint32_t workers;
    double full_evaluations;
    enum bench_accounting accounting;
    bool core;
    uint32_t processes;
    const double *checkpoints; /* [checkpoint_count]: where a line of JSON tells regrets */
    size_t checkpoint_count;
    bool progress; /* a bar on standard error when that is a terminal */
    FILE *lines;   /* a line of JSON for each run, when it ends; NULL: none */
};

/* ret_results[unit_count], zeroed memory shared between processes: from bench_results_new. The
 * first run that fails ends all, and its error is given. */
HD_NODISCARD enum hd_code bench_results_new(size_t unit_count, struct bench_result **ret_results,
                                            struct hd_err *err);
void bench_results_free(struct bench_result *results, size_t unit_count);
HD_NODISCARD enum hd_code bench_pool_run(const struct bench_plan *plan,
                                         struct bench_result *ret_results, struct hd_err *err);

#endif
