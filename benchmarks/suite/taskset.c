/* SPDX-License-Identifier: Apache-2.0 */
/*
 * taskset.c: real learning curves from tables: 1000 settings of Adam with 8 params, each with its
 * loss at 51 points of training a recurrent network. A proposal is snapped to the nearest row that
 * the run has not used, in the unit cube of the space (all params on a log scale). Some diverge:
 * their losses are NaN. All points cost the same.
 */
#include "bench.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define PARAMS 8
#define POINTS 51
#define WIDTH (PARAMS + POINTS)

struct table {
    size_t row_count;
    float *unit;   /* [row][PARAMS] */
    float *losses; /* [row][POINTS] */
};

static const char *const tasks[] = {
    "imdb_patch128_LSTM128_bs64",   "imdb_patch32_GRU128_bs128",
    "imdb_patch32_GRU64_avg_bs128", "imdb_patch32_IRNN64_relu_avg_bs128",
    "imdb_patch32_LSTM128_bs128",   "imdb_patch32_VRNN64_tanh_avg_bs128",
};

static const char space_text[] =
    "{\"learning_rate\":{\"type\":\"float\",\"low\":1e-8,\"high\":10,\"log\":true},"
    "\"one_minus_beta1\":{\"type\":\"float\",\"low\":1e-4,\"high\":1,\"log\":true},"
    "\"one_minus_beta2\":{\"type\":\"float\",\"low\":1e-6,\"high\":1,\"log\":true},"
    "\"epsilon\":{\"type\":\"float\",\"low\":1e-10,\"high\":1000,\"log\":true},"
    "\"l1\":{\"type\":\"float\",\"low\":1e-8,\"high\":10,\"log\":true},"
    "\"l2\":{\"type\":\"float\",\"low\":1e-8,\"high\":10,\"log\":true},"
    "\"linear_decay\":{\"type\":\"float\",\"low\":1e-8,\"high\":1e-4,\"log\":true},"
    "\"exponential_decay\":{\"type\":\"float\",\"low\":1e-6,\"high\":1e-3,\"log\":true}}";

static void curve(const struct bench_problem *problem, const double *values, size_t row,
                  uint32_t first, uint32_t last, double *losses, double *costs)
{
    const struct table *table = problem->state;
    (void)values;
    for (uint32_t step = first; step <= last; step++) {
        losses[step - 1] = table->losses[row * POINTS + step - 1];
        costs[step - 1] = step;
    }
}

static size_t nearest(const struct bench_problem *problem, const double *values,
                      const uint8_t *used)
{
    const struct table *table = problem->state;
    double unit[PARAMS], lowest = INFINITY;
    size_t found = SIZE_MAX;
    for (size_t i = 0; i < PARAMS; i++)
        unit[i] = hd_param_to_unit(&problem->space->params[i], values[i]);
    for (size_t row = 0; row < table->row_count; row++) {
        double far = 0;
        if (used[row])
            continue;
        for (size_t i = 0; i < PARAMS; i++) {
            double apart = unit[i] - table->unit[row * PARAMS + i];
            far += apart * apart;
        }
        if (far < lowest) {
            lowest = far;
            found = row;
        }
    }
    hd_assert(found != SIZE_MAX);
    return found;
}

static void table_free(void *state)
{
    struct table *table = state;
    if (table == NULL)
        return;
    free(table->unit);
    free(table->losses);
    free(table);
}

static const struct bench_problem_ops ops = {
    .curve = curve, .nearest = nearest, .free = table_free};

static float read_float(const char *bytes)
{
    const unsigned char *b = (const unsigned char *)bytes;
    uint32_t bits = b[0] | (uint32_t)b[1] << 8 | (uint32_t)b[2] << 16 | (uint32_t)b[3] << 24;
    float number;
    memcpy(&number, &bits, sizeof(number));
    return number;
}

static enum hd_code read_rows(struct bench_problem *problem, const struct hd_buf *bytes,
                              struct hd_err *err)
{
    struct table *table = problem->state;
    table->row_count = bytes->size / (WIDTH * sizeof(float));
    if (table->row_count == 0 || bytes->size % (WIDTH * sizeof(float)) != 0)
        return hd_fail(err, HD_E_CORRUPT, "taskset/%s.f32: %zu bytes are no rows of %d numbers",
                       problem->task, bytes->size, WIDTH);
    table->unit = calloc(table->row_count * PARAMS, sizeof(float));
    table->losses = calloc(table->row_count * POINTS, sizeof(float));
    if (table->unit == NULL || table->losses == NULL)
        return hd_fail(err, HD_E_NOMEM, "no memory for a table");
    double best = INFINITY;
    for (size_t row = 0; row < table->row_count; row++) {
        const char *at = bytes->data + row * WIDTH * sizeof(float);
        for (size_t i = 0; i < PARAMS; i++) {
            const struct hd_param *param = &problem->space->params[i];
            double value = read_float(at + i * sizeof(float));
            value = value < param->low ? param->low : value > param->high ? param->high : value;
            table->unit[row * PARAMS + i] = (float)hd_param_to_unit(param, value);
        }
        for (size_t i = 0; i < POINTS; i++) {
            float loss = read_float(at + (PARAMS + i) * sizeof(float));
            table->losses[row * POINTS + i] = loss;
            best = isfinite(loss) && loss < best ? loss : best;
        }
    }
    problem->best = best;
    problem->row_count = table->row_count;
    return HD_OK;
}

enum hd_code bench_taskset_open(struct bench_problem *problem, const char *data_dir,
                                struct hd_err *err)
{
    struct hd_value *space = NULL;
    struct hd_buf bytes;
    char name[BENCH_NAME_MAX + 16];
    bool known = false;
    for (size_t i = 0; i < HD_COUNT(tasks); i++)
        known = known || hd_streq(tasks[i], problem->task);
    if (!known)
        return hd_fail(err, HD_E_NOTFOUND, "taskset has no task %s; hd-bench tasks lists them",
                       problem->task);
    problem->state = calloc(1, sizeof(struct table));
    if (problem->state == NULL)
        return hd_fail(err, HD_E_NOMEM, "no memory for a table");
    problem->ops = &ops;
    problem->budget_min = 1;
    problem->budget_max = problem->step_count = POINTS;
    problem->eta = 3;
    hd_buf_init(&bytes, BENCH_FILE_BYTES_MAX);
    (void)hd_format(name, sizeof(name), "taskset/%s.f32", problem->task);
    enum hd_code code = hd_json_parse(space_text, strlen(space_text), "taskset",
                                      &hd_value_limits_file, &space, err);
    if (code == HD_OK)
        code = hd_space_parse(space, "taskset", "space", &problem->space, err);
    if (code == HD_OK)
        code = bench_read_file(data_dir, name, &bytes, err);
    if (code == HD_OK)
        code = read_rows(problem, &bytes, err);
    hd_value_free(space);
    hd_buf_release(&bytes);
    return code;
}

enum hd_code bench_taskset_tasks(const char *data_dir, struct hd_buf *out, struct hd_err *err)
{
    (void)data_dir;
    return bench_list(tasks, HD_COUNT(tasks), out, err);
}
