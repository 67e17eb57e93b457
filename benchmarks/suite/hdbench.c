/* SPDX-License-Identifier: Apache-2.0 */
/* hdbench.c: the plain C interface to the problems. */
#include "hdbench.h"

#include "bench.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

struct row_of {
    uint64_t hash;
    size_t row;
};

struct hdbench {
    struct bench_problem *problem;
    struct hd_buf space;
    uint8_t *used;
    struct row_of *rows; /* [row_count]: configs that have a row, in the order they came */
    size_t row_count;
};

static _Thread_local struct hd_err last_error;

const char *hdbench_error(void)
{
    return last_error.text;
}

static enum hd_code describe(struct hdbench *bench)
{
    struct hd_value *space = NULL;
    hd_buf_init(&bench->space, 1 << 20);
    enum hd_code code = hd_space_describe(bench->problem->space, &space, &last_error);
    if (code == HD_OK)
        code = hd_json_write(space, HD_JSON_COMPACT, &bench->space, &last_error);
    hd_value_free(space);
    return code;
}

struct hdbench *hdbench_open(const char *suite, const char *task, const char *data_dir)
{
    struct hdbench *bench = calloc(1, sizeof(*bench));
    if (bench == NULL || suite == NULL || task == NULL) {
        (void)hd_fail(&last_error, HD_E_INVALID, "no suite, no task or no memory");
        free(bench);
        return NULL;
    }
    enum hd_code code = bench_problem_open(
        suite, task, data_dir != NULL ? data_dir : HD_BENCH_DATA_DIR, &bench->problem, &last_error);
    if (code == HD_OK && bench->problem->objective_count > 0)
        code = hd_fail(&last_error, HD_E_UNSUPPORTED, "%s has several objectives", task);
    if (code == HD_OK)
        code = describe(bench);
    if (code == HD_OK) {
        size_t rows = bench->problem->row_count;
        bench->used = calloc(rows + 1, 1);
        bench->rows = calloc(rows + 1, sizeof(*bench->rows));
        if (bench->used == NULL || bench->rows == NULL)
            code = hd_fail(&last_error, HD_E_NOMEM, "no memory for a table");
    }
    if (code != HD_OK) {
        hdbench_close(bench);
        return NULL;
    }
    return bench;
}

void hdbench_close(struct hdbench *bench)
{
    if (bench == NULL)
        return;
    bench_problem_free(bench->problem);
    hd_buf_release(&bench->space);
    free(bench->used);
    free(bench->rows);
    free(bench);
}

const char *hdbench_space(const struct hdbench *bench)
{
    return hd_buf_text(&bench->space);
}

int hdbench_param_count(const struct hdbench *bench)
{
    return (int)bench->problem->space->param_count;
}

double hdbench_budget_min(const struct hdbench *bench)
{
    return bench->problem->budget_min;
}

double hdbench_budget_max(const struct hdbench *bench)
{
    return bench->problem->budget_max;
}

int hdbench_steps(const struct hdbench *bench)
{
    return (int)bench->problem->step_count;
}

double hdbench_best(const struct hdbench *bench)
{
    return bench->problem->best;
}

void hdbench_reset(struct hdbench *bench)
{
    memset(bench->used, 0, bench->problem->row_count + 1);
    bench->row_count = 0;
}

/* The row of these values: the one they had, or the nearest that is free. */
static int find_row(struct hdbench *bench, const double *values, size_t *ret_row)
{
    const struct bench_problem *problem = bench->problem;
    *ret_row = 0;
    if (problem->row_count == 0)
        return 0;
    uint64_t hash = HD_HASH_INIT;
    for (size_t i = 0; i < problem->space->param_count; i++)
        hash = hd_hash_double(hash, values[i]);
    for (size_t i = 0; i < bench->row_count; i++)
        if (bench->rows[i].hash == hash) {
            *ret_row = bench->rows[i].row;
            return 0;
        }
    if (bench->row_count == problem->row_count) {
        (void)hd_fail(&last_error, HD_E_LIMIT, "all %zu rows of the table are used",
                      problem->row_count);
        return -1;
    }
    *ret_row = problem->ops->nearest(problem, values, bench->used);
    bench->used[*ret_row] = 1;
    bench->rows[bench->row_count++] = (struct row_of){hash, *ret_row};
    return 0;
}

int hdbench_curve(struct hdbench *bench, const double *values, int last, double *losses,
                  double *costs)
{
    const struct bench_problem *problem = bench->problem;
    size_t row;
    if (problem->step_count == 0 || last < 1 || (uint32_t)last > problem->step_count) {
        (void)hd_fail(&last_error, HD_E_INVALID, "%s has steps 1 to %u, not %d", problem->task,
                      problem->step_count, last);
        return -1;
    }
    if (hd_space_check(problem->space, values, &last_error) != HD_OK ||
        find_row(bench, values, &row) != 0)
        return -1;
    problem->ops->curve(problem, values, row, 1, (uint32_t)last, losses, costs);
    return 0;
}

int hdbench_value(struct hdbench *bench, const double *values, double budget,
                  unsigned long long noise_seed, double *ret_loss, double *ret_exact)
{
    const struct bench_problem *problem = bench->problem;
    struct hd_rng rng;
    if (problem->step_count > 0 || !(budget >= problem->budget_min * 0.999) ||
        !(budget <= problem->budget_max * 1.001)) {
        (void)hd_fail(&last_error, HD_E_INVALID, "%s is a curve, or has no such budget",
                      problem->task);
        return -1;
    }
    if (hd_space_check(problem->space, values, &last_error) != HD_OK)
        return -1;
    hd_rng_fork(noise_seed, "noise", 0, &rng);
    *ret_loss = problem->ops->value(problem, values, budget, &rng);
    *ret_exact = problem->ops->exact(problem, values);
    return 0;
}
