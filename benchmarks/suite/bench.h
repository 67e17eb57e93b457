/* SPDX-License-Identifier: Apache-2.0 */
/*
 * bench.h: problems that an optimizer is measured on, and the run of an optimizer on one of them in
 * virtual time. Part of hd-bench and libhdbench, not of the programs.
 *
 * A problem gives the loss (lower is better) of a config at a budget and what that costs. There are
 * two kinds. A curve has a loss and a cumulated cost after each whole step 1 .. step_count, and a
 * config goes on where it was: what its step 5 cost is paid once. A function has a loss at any
 * budget between budget_min and budget_max, and a job pays its whole budget. A full evaluation is
 * one job at budget_max from the start.
 */
#ifndef HD_BENCH_H
#define HD_BENCH_H

#include <hd/experiment.h>
#include <hd/optimizer.h>
#include <hd/space.h>

#define BENCH_STEPS_MAX 64
#define BENCH_STEPS_TOGETHER 8 /* steps of a curve that cost about as much as one */
#define BENCH_NAME_MAX 96
#define BENCH_FILE_BYTES_MAX (16u << 20)

struct bench_problem;

struct bench_problem_ops {
    /* Curves: losses and cumulated costs (non-decreasing) after the steps 1 .. last, both from the
     * first step on; those below `first` are there from an earlier call with the same values and
     * are left alone. */
    void (*curve)(const struct bench_problem *problem, const double *values, size_t row,
                  uint32_t first, uint32_t last, double *losses, double *costs);
    /* Functions: what a job at this budget sees (rng: its noise), and the noise-free loss at
     * budget_max, which regret is measured by. */
    double (*value)(const struct bench_problem *problem, const double *values, double budget,
                    struct hd_rng *rng);
    double (*exact)(const struct bench_problem *problem, const double *values);
    /* Several objectives, without budgets, in place of those two: what a job sees, and the part of
     * the volume of the whole front that losses[count][objective_count] dominate. */
    void (*score)(const struct bench_problem *problem, const double *values,
                  struct hd_score *ret_score);
    enum hd_code (*volume)(const struct bench_problem *problem, const double *losses, size_t count,
                           double *ret_part, struct hd_err *err);
    /* Tables: the row that stands for these values, among those of used[row_count] not set. */
    size_t (*nearest)(const struct bench_problem *problem, const double *values,
                      const uint8_t *used);
    void (*free)(void *state);
};

struct bench_problem {
    char suite[BENCH_NAME_MAX], task[BENCH_NAME_MAX];
    struct hd_space *space;
    double budget_min, budget_max, eta;
    uint32_t step_count;      /* 0: a function */
    size_t row_count;         /* 0: no table */
    uint32_t objective_count; /* 0: one loss; else at least two, see score() */
    bool constrained;
    double best; /* the best known loss; NaN: regret is unknown */
    const struct bench_problem_ops *ops;
    void *state;
};

/* The names of the suites, NULL-terminated. */
const char *const *bench_suites(void);
/* The tasks of a suite, separated by spaces; `all` also those without a best known value. */
HD_NODISCARD enum hd_code bench_tasks(const char *suite, const char *data_dir, struct hd_buf *out,
                                      struct hd_err *err);
HD_NODISCARD enum hd_code bench_problem_open(const char *suite, const char *task,
                                             const char *data_dir,
                                             struct bench_problem **ret_problem,
                                             struct hd_err *err);
void bench_problem_free(struct bench_problem *problem);

/* What each suite's file offers. They fill a problem whose names are set. */
HD_NODISCARD enum hd_code bench_lcbench_open(struct bench_problem *problem, const char *data_dir,
                                             struct hd_err *err);
HD_NODISCARD enum hd_code bench_lcbench_tasks(const char *data_dir, struct hd_buf *out,
                                              struct hd_err *err);
HD_NODISCARD enum hd_code bench_taskset_open(struct bench_problem *problem, const char *data_dir,
                                             struct hd_err *err);
HD_NODISCARD enum hd_code bench_taskset_tasks(const char *data_dir, struct hd_buf *out,
                                              struct hd_err *err);
HD_NODISCARD enum hd_code bench_counting_open(struct bench_problem *problem, const char *data_dir,
                                              struct hd_err *err);
HD_NODISCARD enum hd_code bench_counting_tasks(const char *data_dir, struct hd_buf *out,
                                               struct hd_err *err);
/* Appends names, separated by spaces. */
HD_NODISCARD enum hd_code bench_list(const char *const *names, size_t count, struct hd_buf *out,
                                     struct hd_err *err);
HD_NODISCARD enum hd_code bench_functions_open(struct bench_problem *problem, const char *data_dir,
                                               struct hd_err *err);
HD_NODISCARD enum hd_code bench_functions_tasks(const char *data_dir, struct hd_buf *out,
                                                struct hd_err *err);
HD_NODISCARD enum hd_code bench_noisy_open(struct bench_problem *problem, const char *data_dir,
                                           struct hd_err *err);
HD_NODISCARD enum hd_code bench_noisy_tasks(const char *data_dir, struct hd_buf *out,
                                            struct hd_err *err);
HD_NODISCARD enum hd_code bench_conditional_open(struct bench_problem *problem,
                                                 const char *data_dir, struct hd_err *err);
HD_NODISCARD enum hd_code bench_conditional_tasks(const char *data_dir, struct hd_buf *out,
                                                  struct hd_err *err);
HD_NODISCARD enum hd_code bench_objectives_open(struct bench_problem *problem, const char *data_dir,
                                                struct hd_err *err);
HD_NODISCARD enum hd_code bench_objectives_tasks(const char *data_dir, struct hd_buf *out,
                                                 struct hd_err *err);
/* Fills problem->space from JSON; errors name the task. */
HD_NODISCARD enum hd_code bench_parse_space(struct bench_problem *problem, const char *json,
                                            struct hd_err *err);
/* All outputs of the surrogate, in the order of model.json; `epoch` need not be whole. */
#define BENCH_LCBENCH_OUTPUTS 6
void bench_lcbench_outputs(const struct bench_problem *problem, const double *values, double epoch,
                           double *ret_outputs);

/* ---- one run in virtual time ----------------------------------------------------------------- */

/* What is charged and what is seen when. */
enum bench_accounting {
    BENCH_ACCOUNTING_ENDED,   /* the steps of a job are seen and charged when it ends */
    BENCH_ACCOUNTING_RUNNING, /* a step is seen when it is reached, a job charged when it ends */
    BENCH_ACCOUNTING_STEPS,   /* a step is seen and charged when it is reached */
};

struct bench_run_spec {
    const struct bench_problem *problem;
    const struct hd_experiment *experiment; /* sampler, generator and budgets; of this problem */
    uint64_t seed;
    uint32_t workers;
    double full_evaluations; /* ends when so much is spent */
    enum bench_accounting accounting;
    bool core; /* through the master's core instead of the optimizer object; repeats of a noisy
                * target are decided there, so a method with noise: always goes through it */
};

/* After `spent` full evaluations, at virtual time `time`, the regret was this. Rising; only steps
 * that changed the regret, the last one always. */
#define BENCH_TRACE_MAX 256
struct bench_step {
    double spent, time, regret;
};
struct bench_trace {
    struct bench_step steps[BENCH_TRACE_MAX];
    uint32_t step_count;
    uint32_t jobs, configs, failed, stopped;
    double spent, time; /* at the end */
    double optimizer_s; /* processor seconds in the optimizer */
    bool exhausted;     /* the optimizer had nothing more to try */
};

HD_NODISCARD enum hd_code bench_run(const struct bench_run_spec *spec,
                                    struct bench_trace *ret_trace, struct hd_err *err);
/* The regret when at most so much was spent; NaN before the first. */
double bench_trace_at(const struct bench_trace *trace, double spent);

/* The experiment of a method on a problem. `method` holds sampler: and iteration_generator:, and
 * may hold budget: (what it leaves out is the problem's) and noise:. */
HD_NODISCARD enum hd_code bench_method_make(const struct bench_problem *problem,
                                            const struct hd_value *method,
                                            struct hd_experiment **ret_experiment,
                                            struct hd_err *err);

/* Reads data_dir/name as JSON or text. */
HD_NODISCARD enum hd_code bench_read_json(const char *data_dir, const char *name,
                                          struct hd_value **ret_value, struct hd_err *err);
HD_NODISCARD enum hd_code bench_read_file(const char *data_dir, const char *name,
                                          struct hd_buf *out, struct hd_err *err);

#endif
