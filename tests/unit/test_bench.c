/* SPDX-License-Identifier: Apache-2.0 */
/* test_bench.c: the benchmarks measure what they say: the surrogate, the charges, the statistics.
 */
#include <testlib.h>

#include <bench.h>
#include <hdbench.h>
#include <report.h>

#include <hd/os.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

static struct hd_err err;

static char *data_dir(void)
{
    char *path = hd_path_join(getenv("HD_SOURCE_ROOT"), "benchmarks/data");
    assert_non_null(path);
    return path;
}

static struct bench_problem *open_problem(const char *suite, const char *task)
{
    struct bench_problem *problem = NULL;
    char *data = data_dir();
    assert_hd_ok(bench_problem_open(suite, task, data, &problem, &err));
    hd_free(data);
    return problem;
}

static struct hd_value *yaml(const char *text)
{
    struct hd_value *value = NULL;
    assert_hd_ok(hd_yaml_parse(text, strlen(text), "test", &hd_value_limits_file, &value, &err));
    return value;
}

/* ---- the surrogate --------------------------------------------------------------------------- */

static size_t param_of(const struct hd_space *space, const char *name)
{
    for (size_t i = 0; i < space->param_count; i++)
        if (hd_streq(space->params[i].name, name))
            return i;
    fail_msg("no param %s", name);
    return 0;
}

/* One line: task, epoch, 7 params, 6 outputs. */
static void check_vector(char *line)
{
    static const char *const names[] = {"batch_size", "learning_rate", "momentum",   "weight_decay",
                                        "num_layers", "max_units",     "max_dropout"};
    double numbers[14], values[7], outputs[BENCH_LCBENCH_OUTPUTS];
    char *at = strchr(line, ',');
    *at++ = '\0';
    for (size_t i = 0; i < HD_COUNT(numbers); i++) {
        char *end = strpbrk(at, ",\r\n");
        if (end != NULL)
            *end = '\0';
        assert_true(hd_parse_double(at, &numbers[i]));
        at = end + 1;
    }
    struct bench_problem *problem = open_problem("lcbench", line);
    for (size_t i = 0; i < HD_COUNT(names); i++)
        values[param_of(problem->space, names[i])] = numbers[1 + i];
    bench_lcbench_outputs(problem, values, numbers[0], outputs);
    for (size_t i = 0; i < BENCH_LCBENCH_OUTPUTS; i++)
        if (!(fabs(outputs[i] - numbers[8 + i]) <= 1e-4 * fabs(numbers[8 + i])))
            fail_msg("task %s, output %zu: %g, not %g", line, i, outputs[i], numbers[8 + i]);
    bench_problem_free(problem);
}

/* The surrogate answers as the original network does, to 1e-4. */
static void test_vectors(void **state)
{
    char *data = data_dir(), *path = hd_path_join(data, "lcbench/vectors.csv");
    size_t size, count = 0;
    char *text = test_file_read(path, &size);
    (void)state;
    for (char *line = strchr(text, '\n') + 1; line != NULL && *line != '\0'; count++) {
        char *next = strchr(line, '\n');
        check_vector(line);
        line = next == NULL ? NULL : next + 1;
    }
    assert_true(count >= 60);
    free(text);
    hd_free(path);
    hd_free(data);
}

/* A curve computed in pieces is the curve computed at once, and its cost never falls. */
static void test_curve_pieces(void **state)
{
    struct bench_problem *problem = open_problem("lcbench", "3945");
    double values[7], whole[52], costs[52], pieces[52], piece_costs[52];
    struct hd_rng rng;
    (void)state;
    hd_rng_seed(&rng, 5);
    for (int round = 0; round < 5; round++) {
        hd_space_sample(problem->space, &rng, values);
        problem->ops->curve(problem, values, 0, 1, 52, whole, costs);
        for (uint32_t first = 1; first <= 52; first += 7)
            problem->ops->curve(problem, values, 0, first, first + 6 < 52 ? first + 6 : 52, pieces,
                                piece_costs);
        for (size_t i = 0; i < 52; i++) {
            assert_true(whole[i] == pieces[i] && costs[i] == piece_costs[i]);
            assert_true(i == 0 || costs[i] >= costs[i - 1]);
        }
    }
    bench_problem_free(problem);
}

/* ---- a run ----------------------------------------------------------------------------------- */

/* Nine steps of two seconds; the loss falls with each step and ends at x. */
static void stairs(const struct bench_problem *problem, const double *values, size_t row,
                   uint32_t first, uint32_t last, double *losses, double *costs)
{
    (void)problem;
    (void)row;
    for (uint32_t step = first; step <= last; step++) {
        losses[step - 1] = values[0] + 10.0 * (9 - step);
        costs[step - 1] = 2.0 * step;
    }
}

static const struct bench_problem_ops stairs_ops = {.curve = stairs};

static struct bench_problem *make_stairs(void)
{
    struct bench_problem *problem = calloc(1, sizeof(*problem));
    struct hd_value *space = yaml("{x: {type: float, low: 0, high: 1}}");
    assert_non_null(problem);
    assert_hd_ok(hd_space_parse(space, "test", "space", &problem->space, &err));
    hd_value_free(space);
    problem->budget_min = 1;
    problem->budget_max = problem->step_count = 9;
    problem->eta = 3;
    problem->best = 0;
    problem->ops = &stairs_ops;
    return problem;
}

struct way {
    const char *method;
    uint64_t seed;
    uint32_t workers;
    double full_evaluations;
    enum bench_accounting accounting;
    bool core;
};

static void run(const struct bench_problem *problem, const struct way *way,
                struct bench_trace *ret_trace)
{
    struct hd_value *method = yaml(way->method);
    struct hd_experiment *experiment = NULL;
    assert_hd_ok(bench_method_make(problem, method, &experiment, &err));
    struct bench_run_spec spec = {.problem = problem,
                                  .experiment = experiment,
                                  .seed = way->seed,
                                  .workers = way->workers,
                                  .full_evaluations = way->full_evaluations,
                                  .accounting = way->accounting,
                                  .core = way->core};
    assert_hd_ok(bench_run(&spec, ret_trace, &err));
    hd_experiment_free(experiment);
    hd_value_free(method);
}

#define HYPERBAND_ONCE                                                                             \
    "{sampler: {name: random}, iteration_generator: {name: hyperband}, stop: {iterations: 1}}"
#define FULL "{sampler: {name: random}, iteration_generator: {name: full}}"

/* A resumed config pays for its new steps only: 9 x 1, then 3 x (3 - 1), then 1 x (9 - 3). */
static void test_resume_charges(void **state)
{
    struct bench_problem *problem = make_stairs();
    struct bench_trace trace;
    (void)state;
    run(problem, &(struct way){HYPERBAND_ONCE, 1, 1, 100, BENCH_ACCOUNTING_ENDED}, &trace);
    assert_true(trace.exhausted);
    assert_int_equal(trace.configs, 9);
    assert_int_equal(trace.jobs, 13);
    assert_true(fabs(trace.spent - 21.0 / 9) < 1e-12);
    assert_true(fabs(trace.time - 42) < 1e-9);
    double last = trace.steps[trace.step_count - 1].regret;
    assert_true(last >= 0 && last <= 1); /* a config that reached step 9: its x */
    assert_true(bench_trace_at(&trace, 9.0 / 9) >= 80 && bench_trace_at(&trace, 15.0 / 9) >= 60);
    assert_true(isnan(bench_trace_at(&trace, 0.5 / 9)));
    bench_problem_free(problem);
}

/* What is seen and charged when, with two workers in step on full evaluations. */
static void test_accounting(void **state)
{
    static const struct {
        enum bench_accounting accounting;
        double early; /* the regret's tens when nothing of a job has been charged: NaN: unseen */
    } rows[] = {
        {BENCH_ACCOUNTING_ENDED, NAN},
        {BENCH_ACCOUNTING_RUNNING, 0},
        {BENCH_ACCOUNTING_STEPS, 70}, /* four of eighteen steps: both at step two */
    };
    struct bench_problem *problem = make_stairs();
    (void)state;
    for (size_t i = 0; i < HD_COUNT(rows); i++) {
        struct bench_trace trace;
        run(problem, &(struct way){FULL, 3, 2, 4, rows[i].accounting}, &trace);
        double early = bench_trace_at(&trace, 4.0 / 9);
        if (isnan(rows[i].early))
            assert_true(isnan(early));
        else
            assert_true(early >= rows[i].early && early <= rows[i].early + 1);
        assert_true(bench_trace_at(&trace, 2) <= 1);
        assert_true(fabs(trace.spent - 4) < 1e-9);
    }
    bench_problem_free(problem);
}

/* A job that is told to stop ends there: it pays for the steps it did. */
static void test_stopping(void **state)
{
    struct bench_problem *problem = make_stairs();
    struct bench_trace trace;
    (void)state;
    run(problem,
        &(struct way){
            "{sampler: {name: random}, iteration_generator: {name: asha, type: stopping}}", 1, 4,
            20, BENCH_ACCOUNTING_ENDED},
        &trace);
    assert_true(trace.stopped > 10);
    assert_true(trace.spent > 20 - 1e-6 && trace.spent < 21);
    assert_true((double)trace.configs > 30); /* 20 whole ones would be 20 */
    bench_problem_free(problem);
}

/* The same seed gives the same run, another seed another. */
static void test_determinism(void **state)
{
    static const struct {
        const char *suite, *task, *method;
    } rows[] = {
        {"lcbench", "167168", "{sampler: {name: tpe}, iteration_generator: {name: asha}}"},
        {"taskset", "imdb_patch32_GRU128_bs128", FULL},
        {"counting_ones", "4+4", "{sampler: {name: tpe}, iteration_generator: {name: hyperband}}"},
    };
    static struct bench_trace traces[3];
    (void)state;
    for (size_t i = 0; i < HD_COUNT(rows); i++) {
        struct bench_problem *problem = open_problem(rows[i].suite, rows[i].task);
        for (uint64_t k = 0; k < 3; k++) {
            run(problem, &(struct way){rows[i].method, 7 + k / 2, 8, 3, BENCH_ACCOUNTING_ENDED},
                &traces[k]);
            traces[k].optimizer_s = 0;
        }
        assert_memory_equal(&traces[0], &traces[1], sizeof(traces[0]));
        assert_true(memcmp(&traces[0], &traces[2], sizeof(traces[0])) != 0);
        bench_problem_free(problem);
    }
}

/* The master's core with its workers proposes what the optimizer alone proposes: with one worker,
 * and where no job waits for another with many. Failed and stopped jobs included. */
static void test_core(void **state)
{
    static const struct {
        const char *suite, *task, *method;
        uint32_t workers;
        double full_evaluations;
    } rows[] = {
        {"lcbench", "167168", "{sampler: {name: tpe}, iteration_generator: {name: hyperband}}", 1,
         4},
        {"lcbench", "126026", "{}", 1, 2},
        {"lcbench", "3945", HYPERBAND_ONCE, 1, 100},
        {"conditional", "pipeline-mf", "{}", 1, 4},
        {"counting_ones", "8+8", "{sampler: {name: tpe, preset: bohb}}", 8, 4},
        {"taskset", "imdb_patch32_GRU128_bs128", FULL, 8, 40},
        {"lcbench", "167168",
         "{sampler: {name: tpe}, iteration_generator: {name: asha, type: stopping}}", 8, 4},
    };
    static struct bench_trace traces[2];
    (void)state;
    for (size_t i = 0; i < HD_COUNT(rows); i++) {
        struct bench_problem *problem = open_problem(rows[i].suite, rows[i].task);
        for (int core = 0; core < 2; core++) {
            run(problem,
                &(struct way){rows[i].method, 3, rows[i].workers, rows[i].full_evaluations,
                              BENCH_ACCOUNTING_ENDED, core == 1},
                &traces[core]);
            traces[core].optimizer_s = 0;
        }
        assert_true(traces[0].jobs > 5);
        if (memcmp(&traces[0], &traces[1], sizeof(traces[0])) != 0)
            fail_msg("%s: %u jobs and %u, %u configs and %u", rows[i].task, traces[0].jobs,
                     traces[1].jobs, traces[0].configs, traces[1].configs);
        bench_problem_free(problem);
    }
}

/* ---- problems -------------------------------------------------------------------------------- */

/* Each function has its minimum where the literature says (ours where we put it), and is nowhere
 * lower; its largest budget is without bias, its lowest is not. */
static void test_minima(void **state)
{
    static const struct {
        const char *suite, *task;
        double at[15];
    } rows[] = {
        {"functions", "branin", {3.141592653589793, 2.275}},
        {"functions", "hartmann3", {0.114614, 0.555649, 0.852547}},
        {"functions", "hartmann6", {0.20169, 0.150011, 0.476874, 0.275332, 0.311652, 0.6573}},
        {"functions", "currin-mf", {0.2166667, 0}},
        {"functions",
         "ackley10",
         {10.15808, -15.40096, 3.93216, 19.00544, -7.20896, 13.43488, -20.64384, 8.84736, -11.4688,
          16.384}},
        {"functions", "rosenbrock5", {1, 1, 1, 1, 1}},
        {"functions",
         "rastrigin10",
         {1.5872, -2.4064, 0.6144, 2.9696, -1.1264, 2.0992, -3.2256, 1.3824, -1.792, 2.56}},
        {"functions",
         "ackley10-mf",
         {10.15808, -15.40096, 3.93216, 19.00544, -7.20896, 13.43488, -20.64384, 8.84736, -11.4688,
          16.384}},
        {"functions", "rosenbrock5-mf", {1, 1, 1, 1, 1}},
        {"functions",
         "rastrigin10-mf",
         {1.5872, -2.4064, 0.6144, 2.9696, -1.1264, 2.0992, -3.2256, 1.3824, -1.792, 2.56}},
        {"functions", "mixed-mf", {0.45, 1e-4, 12, 1, 0}},
        {"conditional",
         "pipeline-mf",
         {2, NAN, NAN, NAN, NAN, NAN, NAN, 0, 0.03162277660168379, 0.9, NAN, 2, 128, 64, NAN}},
        {"conditional", "switches-mf", {1, 0.7, 1, 0.25, 1, 0.55, 1, 0.1, 1, 0.85, 1, 0.4}},
    };
    (void)state;
    for (size_t i = 0; i < HD_COUNT(rows); i++) {
        struct bench_problem *problem = open_problem(rows[i].suite, rows[i].task);
        double values[15], lowest = problem->ops->exact(problem, rows[i].at);
        struct hd_rng rng;
        int biased = 0;
        hd_rng_seed(&rng, i);
        assert_hd_ok(hd_space_check(problem->space, rows[i].at, &err));
        if (!(fabs(lowest - problem->best) < 1e-4))
            fail_msg("%s: %.9g, not %.9g", rows[i].task, lowest, problem->best);
        for (int n = 0; n < 2000; n++) {
            hd_space_sample(problem->space, &rng, values);
            double exact = problem->ops->exact(problem, values);
            assert_true(exact >= problem->best - 1e-9);
            assert_true(problem->ops->value(problem, values, problem->budget_max, &rng) == exact);
            biased += problem->ops->value(problem, values, problem->budget_min, &rng) != exact;
        }
        assert_true(problem->budget_min == problem->budget_max ? biased == 0 : biased > 500);
        bench_problem_free(problem);
    }
}

/* A table has all its rows, some of which diverge, and gives none of them twice. */
static void test_table(void **state)
{
    struct bench_problem *problem = open_problem("taskset", "imdb_patch128_LSTM128_bs64");
    double values[8], losses[51], costs[51];
    size_t diverged = 0;
    struct hd_rng rng;
    (void)state;
    assert_int_equal(problem->row_count, 1000);
    assert_true(problem->best > 0.3 && problem->best < 0.4);
    uint8_t *used = calloc(problem->row_count, 1);
    assert_non_null(used);
    hd_rng_seed(&rng, 1);
    for (size_t i = 0; i < problem->row_count; i++) {
        hd_space_sample(problem->space, &rng, values);
        size_t row = problem->ops->nearest(problem, values, used);
        assert_true(row < problem->row_count && !used[row]);
        used[row] = 1;
        problem->ops->curve(problem, values, row, 1, 51, losses, costs);
        diverged += isnan(losses[50]) ? 1 : 0;
    }
    assert_true(diverged == 99);
    free(used);
    bench_problem_free(problem);
}

/* What cannot be is refused with a text that helps. */
static void test_refusals(void **state)
{
    static const struct {
        const char *suite, *task, *part;
    } rows[] = {
        {"lcbnech", "3945", "did you mean lcbench?"}, {"lcbench", "1", "no task 1"},
        {"lcbench", "#na#", "no task #na#"},          {"taskset", "x", "no task x"},
        {"functions", "branim", "no task branim"},    {"counting_ones", "8", "there are 4+4"},
    };
    struct bench_problem *problem = NULL;
    char *data = data_dir(), *own = test_dir_make();
    (void)state;
    for (size_t i = 0; i < HD_COUNT(rows); i++)
        assert_hd_fails(bench_problem_open(rows[i].suite, rows[i].task, data, &problem, &err),
                        HD_E_NOTFOUND, rows[i].part);
    char *folder = hd_path_join(own, "taskset");
    char *path = hd_path_join(folder, "imdb_patch32_GRU128_bs128.f32");
    assert_hd_ok(hd_mkdirs(folder, 0700, &err));
    test_file_write(path, "cut short");
    assert_hd_fails(bench_problem_open("taskset", "imdb_patch32_GRU128_bs128", own, &problem, &err),
                    HD_E_CORRUPT, "9 bytes are no rows of 59 numbers");
    assert_null(problem);
    hd_free(folder);
    hd_free(path);
    test_dir_remove(own);
    hd_free(data);
}

/* A method with a mistake is refused as an experiment file is. */
static void test_bad_methods(void **state)
{
    static const struct {
        const char *text, *part;
    } rows[] = {
        {"[]", "a method is a map"},
        {"{sampler: {name: random, frob: 1}}", "frob"},
        {"{sampler: {name: random}, iteration_generator: {name: asha, type: sideways}}", "type"},
        {"{sampler: {name: random}, budget: {min: 0}}", "budget.min"},
    };
    struct bench_problem *problem = make_stairs();
    (void)state;
    for (size_t i = 0; i < HD_COUNT(rows); i++) {
        struct hd_value *method = yaml(rows[i].text);
        struct hd_experiment *experiment = NULL;
        assert_hd_fails(bench_method_make(problem, method, &experiment, &err), HD_E_INVALID,
                        rows[i].part);
        assert_null(experiment);
        hd_value_free(method);
    }
    bench_problem_free(problem);
}

/* ---- statistics and the outside -------------------------------------------------------------- */

/* The signed-rank test gives the exact two-sided chances, ties and zeros included. */
static void test_wilcoxon(void **state)
{
    static const struct {
        double differences[8];
        size_t count;
        double p;
    } rows[] = {
        {{1, 2, 3, 4, 5}, 5, 2.0 / 32},
        {{-1, 2, 3, 4, 5}, 5, 4.0 / 32},
        {{-5, 4, 3, 2, 1}, 5, 20.0 / 32}, /* ten subsets of 1 .. 5 sum to at most 5 */
        {{1, -1}, 2, 1},
        {{0, 0, 0}, 3, 1},
        {{0, 1, 1, 1, 1}, 5, 2.0 / 16},
        {{2, 2, 2, -2}, 4, 10.0 / 16},
    };
    (void)state;
    for (size_t i = 0; i < HD_COUNT(rows); i++) {
        double differences[8];
        memcpy(differences, rows[i].differences, sizeof(differences));
        double p = bench_wilcoxon(differences, rows[i].count);
        if (fabs(p - rows[i].p) > 1e-12)
            fail_msg("row %zu: %.9g, not %.9g", i, p, rows[i].p);
    }
}

/* The library for other languages answers what the bench itself computes. */
static void test_library(void **state)
{
    struct bench_problem *problem = open_problem("lcbench", "167168");
    char *data = data_dir();
    struct hdbench *bench = hdbench_open("lcbench", "167168", data);
    double values[7], losses[52], costs[52], own_losses[52], own_costs[52];
    struct hd_rng rng;
    (void)state;
    assert_non_null(bench);
    assert_int_equal(hdbench_param_count(bench), 7);
    assert_int_equal(hdbench_steps(bench), 52);
    assert_true(hdbench_best(bench) == problem->best);
    assert_non_null(strstr(hdbench_space(bench), "\"learning_rate\""));
    hd_rng_seed(&rng, 1);
    hd_space_sample(problem->space, &rng, values);
    problem->ops->curve(problem, values, 0, 1, 52, losses, costs);
    assert_int_equal(hdbench_curve(bench, values, 52, own_losses, own_costs), 0);
    assert_memory_equal(losses, own_losses, sizeof(losses));
    assert_memory_equal(costs, own_costs, sizeof(costs));
    assert_int_equal(hdbench_curve(bench, values, 53, own_losses, own_costs), -1);
    assert_non_null(strstr(hdbench_error(), "steps 1 to 52, not 53"));
    values[0] = NAN;
    assert_int_equal(hdbench_curve(bench, values, 1, own_losses, own_costs), -1);
    assert_null(hdbench_open("lcbench", "nothing", data));
    hdbench_close(bench);
    hdbench_close(NULL);
    hd_free(data);
    bench_problem_free(problem);
}

/* A table's row stays with its values until the next run. */
static void test_library_rows(void **state)
{
    char *data = data_dir();
    struct hdbench *bench = hdbench_open("taskset", "imdb_patch32_GRU128_bs128", data);
    double near[8] = {1e-3, 0.1, 1e-3, 1e-8, 1e-6, 1e-6, 1e-6, 1e-5}, also[8];
    double first[51], second[51], again[51], costs[51];
    (void)state;
    assert_non_null(bench);
    memcpy(also, near, sizeof(also));
    also[0] = 1.0001e-3;
    assert_int_equal(hdbench_curve(bench, near, 51, first, costs), 0);
    assert_int_equal(hdbench_curve(bench, also, 51, second, costs), 0);
    assert_int_equal(hdbench_curve(bench, near, 51, again, costs), 0);
    assert_memory_equal(first, again, sizeof(first));
    assert_memory_not_equal(first, second, sizeof(first));
    hdbench_reset(bench);
    assert_int_equal(hdbench_curve(bench, also, 51, again, costs), 0);
    assert_memory_equal(first, again, sizeof(first));
    hdbench_close(bench);
    hd_free(data);
}

/* The program: help, a small run with all its outputs, and what it refuses. */
static void test_program(void **state)
{
    char *dir = test_dir_make();
    char *log = hd_path_join(dir, "log"), *json = hd_path_join(dir, "r.json");
    char *svg = hd_path_join(dir, "r.svg");
    const char *const rows[][20] = {
        {"0", "best-known", "--help"},
        {"0", "--accounting", "run", "--help"},
        {"2", "did you mean tasks", "taks"},
        {"2", "name a --method", "run"},
        {"2", "there is no method tpe-ful", "run", "--method", "tpe-ful"},
        {"2", "--accounting: ended", "run", "--method", "tpe-full", "--accounting", "x"},
        {"2", "none up to", "run", "--method", "tpe-full", "--checkpoints", "90"},
        {"2", "--against gp", "run", "--method", "tpe-full", "--suite", "functions", "--against",
         "gp"},
        {"2", "'' is no task", "run", "--method", "tpe-full", "--task", ""},
        {"0", "currin-mf", "tasks"},
        {"0", "pipeline-mf", "tasks"},
        {"0", "\"core\":false,\"full_evaluations\":2,\"checkpoints\":[2],\"task\":\"switches\"",
         "run", "--suite", "conditional", "--task", "switches", "--method", "auto", "--seeds", "1",
         "--full-evaluations", "2", "--checkpoints", "2", "--lines", "-"},
        {"1", "--lines /nowhere", "run", "--method", "auto", "--lines", "/nowhere/file"},
        {"0", "Mean regret", "run", "--suite", "conditional", "--task", "switches-mf", "--method",
         "auto", "--seeds", "1", "--full-evaluations", "2", "--checkpoints", "2", "--core"},
        {"0", "Regret less that of random-full", "run", "--suite", "functions", "--task", "branin",
         "--method", "random-full", "--sampler", "{name: tpe}", "--against", "random-full",
         "--json", json, "--svg"},
    };
    (void)state;
    for (size_t i = 0; i < HD_COUNT(rows); i++) {
        const char *argv[24] = {getenv("HD_BENCH")};
        size_t count = 1, size;
        pid_t pid;
        int status;
        for (size_t k = 2; k < HD_COUNT(rows[i]) && rows[i][k] != NULL; k++)
            argv[count++] = rows[i][k];
        if (i + 1 == HD_COUNT(rows)) {
            argv[count++] = svg;
            argv[count++] = "--seeds=2";
        }
        (void)remove(log);
        assert_hd_ok(hd_spawn(argv, log, false, &pid, &err));
        assert_int_equal(waitpid(pid, &status, 0), pid);
        char *text = test_file_read(log, &size);
        if (strstr(text, rows[i][1]) == NULL || !WIFEXITED(status) ||
            WEXITSTATUS(status) != rows[i][0][0] - '0')
            fail_msg("row %zu: status %d: %s", i, status, text);
        free(text);
    }
    size_t size;
    char *text = test_file_read(json, &size);
    struct hd_value *value = NULL;
    assert_hd_ok(hd_json_parse(text, size, "json", &hd_value_limits_file, &value, &err));
    assert_int_equal(hd_value_get(value, "runs")->as.array.count, 4);
    hd_value_free(value);
    free(text);
    text = test_file_read(svg, &size);
    assert_non_null(strstr(text, "<polyline points"));
    assert_non_null(strstr(text, "</svg>"));
    free(text);
    hd_free(log);
    hd_free(json);
    hd_free(svg);
    test_dir_remove(dir);
}

/* ---- several objectives ---------------------------------------------------------------------- */

/* Point i of n on the front (dtlz2: of n by n). */
static void front_point(const char *task, size_t i, size_t n, double *values)
{
    double at = ((double)(i % n) + 0.5) / (double)n, other = ((double)(i / n) + 0.5) / (double)n;
    for (int k = 0; k < 7; k++)
        values[k] = hd_streq(task, "dtlz2") ? 0.35 : 0;
    values[0] = at;
    if (hd_streq(task, "dtlz2"))
        values[1] = other;
    if (!hd_streq(task, "constr"))
        return;
    values[0] = 7.0 / 18 + at * (11.0 / 18);
    values[1] = 6 - 9 * values[0] > 0 ? 6 - 9 * values[0] : 0;
}

/* Promise: points along the known front are feasible and dominate nearly all of the volume that the
 * formula says there is, and whatever is drawn never dominates more. */
static void test_fronts_have_their_volume(void **state)
{
    static const struct {
        const char *task;
        size_t side, count;
        double least;
    } rows[] = {
        {"zdt1", 400, 400, 0.995},
        {"zdt2", 400, 400, 0.995},
        {"dtlz2", 20, 400, 0.9},
        {"constr", 400, 400, 0.995},
    };
    static double losses[2 * 400 * 3];
    (void)state;
    for (size_t row = 0; row < HD_COUNT(rows); row++) {
        struct bench_problem *problem = open_problem("objectives", rows[row].task);
        size_t objectives = problem->objective_count, count = 0;
        struct hd_score score;
        struct hd_rng rng;
        double values[7], part;
        for (; count < rows[row].count; count++) {
            front_point(rows[row].task, count, rows[row].side, values);
            problem->ops->score(problem, values, &score);
            assert_true(score.violation < 1e-12);
            memcpy(losses + count * objectives, score.losses, objectives * sizeof(double));
        }
        assert_hd_ok(problem->ops->volume(problem, losses, count, &part, &err));
        if (part < rows[row].least || part > 1)
            fail_msg("%s: %g of the volume", rows[row].task, part);
        hd_rng_seed(&rng, 3);
        for (int i = 0; i < 400; i++) {
            hd_space_sample(problem->space, &rng, values);
            problem->ops->score(problem, values, &score);
            if (score.violation == 0)
                memcpy(losses + count++ * objectives, score.losses, objectives * sizeof(double));
        }
        double more;
        assert_hd_ok(problem->ops->volume(problem, losses, count, &more, &err));
        assert_true(more >= part && more <= 1);
        bench_problem_free(problem);
    }
}

/* Promise: a method sees all losses of such a problem: its regret falls from 1, and the core,
 * which is measured with one loss, is refused. */
static void test_runs_of_several_objectives(void **state)
{
    struct bench_problem *problem = open_problem("objectives", "constr");
    struct hd_value *method = yaml("{sampler: {name: nsga2}, iteration_generator: {name: full}}");
    struct hd_experiment *experiment = NULL;
    static struct bench_trace trace;
    (void)state;
    assert_hd_ok(bench_method_make(problem, method, &experiment, &err));
    assert_int_equal(experiment->objective_count, 2);
    assert_int_equal(experiment->constraint_count, 1);
    struct bench_run_spec spec = {.problem = problem,
                                  .experiment = experiment,
                                  .seed = 1,
                                  .workers = 3,
                                  .full_evaluations = 80};
    assert_hd_ok(bench_run(&spec, &trace, &err));
    assert_int_equal(trace.jobs - 2, 80); /* two were running at the end */
    double early = bench_trace_at(&trace, 10), late = bench_trace_at(&trace, 80);
    assert_true(early <= 1 && late < early && late > 0);
    spec.core = true;
    assert_int_equal(bench_run(&spec, &trace, &err), HD_E_UNSUPPORTED);
    hd_experiment_free(experiment);
    hd_value_free(method);
    bench_problem_free(problem);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_vectors),
        cmocka_unit_test(test_curve_pieces),
        cmocka_unit_test(test_resume_charges),
        cmocka_unit_test(test_accounting),
        cmocka_unit_test(test_stopping),
        cmocka_unit_test(test_determinism),
        cmocka_unit_test(test_core),
        cmocka_unit_test(test_minima),
        cmocka_unit_test(test_table),
        cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_bad_methods),
        cmocka_unit_test(test_wilcoxon),
        cmocka_unit_test(test_library),
        cmocka_unit_test(test_library_rows),
        cmocka_unit_test(test_program),
        cmocka_unit_test(test_fronts_have_their_volume),
        cmocka_unit_test(test_runs_of_several_objectives),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
