/* SPDX-License-Identifier: Apache-2.0 */
/*
 * lcbench.c: learning curves of neural networks on tabular data sets, by a surrogate: a residual
 * network that gives accuracy and time for a config at an epoch (see benchmarks/data/README.md).
 *
 * Many epochs of one config are computed together: an activation is a row of LANES floats, one an
 * epoch, so that each weight is read once and the inner loops are plain vectors. Sums run in the
 * same order whatever the width of a vector, so that every processor of a kind gives the same bits.
 */
#include "bench.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define LANES BENCH_STEPS_TOGETHER
#define HIDDEN 128
#define GATED 455
#define INPUTS_MAX 8
#define EMBEDDING 24
#define LAYERS 3
#define PARAMS_MAX 16

struct input {
    bool log;
    double minus, divide;
    size_t param; /* index in the space; SIZE_MAX: the epoch */
};

struct output {
    bool exp;
    double times, plus;
};

struct layer {
    const float *scale, *shift; /* the normalisation as one multiply and add */
    const float *weight0, *bias0, *weight1, *bias1;
};

struct surrogate {
    float *weights;
    size_t weight_count;
    float norm[(LAYERS + 1) * 2][HIDDEN];
    struct layer layers[LAYERS];
    const float *embedding, *first_weight, *first_bias, *head_weight, *head_bias;
    struct input inputs[INPUTS_MAX];
    size_t input_count;
    struct output outputs[BENCH_LCBENCH_OUTPUTS];
    float base[HIDDEN]; /* of the task: what its embedding adds to the first layer */
};

/* ---- the network ----------------------------------------------------------------------------- */

typedef float lanes __attribute__((vector_size(LANES * sizeof(float))));
typedef int32_t masks __attribute__((vector_size(LANES * sizeof(int32_t))));

/* out[row] = bias[row] + weight[row] . in, four rows at a time. */
static inline __attribute__((always_inline)) void multiply(const float *weight, const float *bias,
                                                           size_t rows, size_t columns,
                                                           const lanes *in, lanes *out)
{
    size_t row = 0;
    for (; row + 4 <= rows; row += 4) {
        const float *w = weight + row * columns;
        lanes a = {0}, b = {0}, c = {0}, d = {0};
        for (size_t column = 0; column < columns; column++) {
            a += w[column] * in[column];
            b += w[columns + column] * in[column];
            c += w[2 * columns + column] * in[column];
            d += w[3 * columns + column] * in[column];
        }
        out[row] = a + bias[row];
        out[row + 1] = b + bias[row + 1];
        out[row + 2] = c + bias[row + 2];
        out[row + 3] = d + bias[row + 3];
    }
    for (; row < rows; row++) {
        lanes a = {0};
        for (size_t column = 0; column < columns; column++)
            a += weight[row * columns + column] * in[column];
        out[row] = a + bias[row];
    }
}

static inline __attribute__((always_inline)) void keep_positive(lanes *x)
{
    const lanes zero = {0};
    *x = (lanes)((masks)*x & (*x > zero));
}

/* hidden[HIDDEN] in and out: the residual layers and the head. */
static inline __attribute__((always_inline)) void forward_body(const struct surrogate *surrogate,
                                                               lanes *hidden, lanes *ret_outputs)
{
    lanes normal[HIDDEN], gates[2 * GATED], delta[HIDDEN];
    for (size_t l = 0; l < LAYERS; l++) {
        const struct layer *layer = &surrogate->layers[l];
        for (size_t i = 0; i < HIDDEN; i++)
            normal[i] = hidden[i] * layer->scale[i] + layer->shift[i];
        multiply(layer->weight0, layer->bias0, 2 * GATED, HIDDEN, normal, gates);
        for (size_t i = 0; i < GATED; i++) {
            keep_positive(&gates[GATED + i]);
            gates[i] *= gates[GATED + i];
        }
        multiply(layer->weight1, layer->bias1, HIDDEN, GATED, gates, delta);
        for (size_t i = 0; i < HIDDEN; i++)
            hidden[i] += delta[i];
    }
    const float *scale = surrogate->norm[2 * LAYERS], *shift = surrogate->norm[2 * LAYERS + 1];
    for (size_t i = 0; i < HIDDEN; i++) {
        normal[i] = hidden[i] * scale[i] + shift[i];
        keep_positive(&normal[i]);
    }
    multiply(surrogate->head_weight, surrogate->head_bias, BENCH_LCBENCH_OUTPUTS, HIDDEN, normal,
             ret_outputs);
}

static void forward_plain(const struct surrogate *surrogate, lanes *hidden, lanes *ret_outputs)
{
    forward_body(surrogate, hidden, ret_outputs);
}

#if defined(__x86_64__)
__attribute__((target("avx2"))) static void forward_avx2(const struct surrogate *surrogate,
                                                         lanes *hidden, lanes *ret_outputs)
{
    forward_body(surrogate, hidden, ret_outputs);
}
#endif

static void forward(const struct surrogate *surrogate, lanes *hidden, lanes *ret_outputs)
{
#if defined(__x86_64__)
    if (__builtin_cpu_supports("avx2")) {
        forward_avx2(surrogate, hidden, ret_outputs);
        return;
    }
#endif
    forward_plain(surrogate, hidden, ret_outputs);
}

static float scaled(const struct input *input, double value)
{
    double x = input->log ? log(value + 1e-12) : value;
    return (float)((x - input->minus) / input->divide);
}

static double restored(const struct output *output, float y)
{
    double value = 1 / (1 + exp(-(double)y)) * output->times + output->plus;
    return output->exp ? exp(value) - 1e-12 : value;
}

/* The first layer for up to LANES epochs: only one of its inputs differs between them. */
static void first_layer(const struct surrogate *surrogate, const double *values,
                        const double *epochs, lanes *hidden)
{
    const size_t columns = EMBEDDING + surrogate->input_count;
    memset(hidden, 0, HIDDEN * sizeof(*hidden));
    for (size_t i = 0; i < surrogate->input_count; i++) {
        const struct input *input = &surrogate->inputs[i];
        lanes x;
        for (size_t lane = 0; lane < LANES; lane++)
            x[lane] = scaled(input, input->param == SIZE_MAX ? epochs[lane] : values[input->param]);
        for (size_t row = 0; row < HIDDEN; row++)
            hidden[row] += surrogate->first_weight[row * columns + EMBEDDING + i] * x;
    }
    for (size_t row = 0; row < HIDDEN; row++)
        hidden[row] += surrogate->base[row];
}

static void evaluate(const struct surrogate *surrogate, const double *values, const double *epochs,
                     lanes *ret_outputs)
{
    lanes hidden[HIDDEN];
    first_layer(surrogate, values, epochs, hidden);
    forward(surrogate, hidden, ret_outputs);
}

void bench_lcbench_outputs(const struct bench_problem *problem, const double *values, double epoch,
                           double *ret_outputs)
{
    const struct surrogate *surrogate = problem->state;
    double epochs[LANES];
    lanes outputs[BENCH_LCBENCH_OUTPUTS];
    for (size_t lane = 0; lane < LANES; lane++)
        epochs[lane] = epoch;
    evaluate(surrogate, values, epochs, outputs);
    for (size_t i = 0; i < BENCH_LCBENCH_OUTPUTS; i++)
        ret_outputs[i] = restored(&surrogate->outputs[i], outputs[i][0]);
}

/* Outputs 0 and 1 are the time and the accuracy. The time is made non-decreasing. */
static void curve(const struct bench_problem *problem, const double *values, size_t row,
                  uint32_t first, uint32_t last, double *losses, double *costs)
{
    const struct surrogate *surrogate = problem->state;
    (void)row;
    for (uint32_t step = first; step <= last; step += LANES) {
        double epochs[LANES];
        lanes outputs[BENCH_LCBENCH_OUTPUTS];
        for (uint32_t lane = 0; lane < LANES; lane++)
            epochs[lane] = step + lane <= last ? step + lane : last;
        evaluate(surrogate, values, epochs, outputs);
        for (uint32_t lane = 0; lane < LANES && step + lane <= last; lane++) {
            uint32_t index = step + lane - 1;
            double cost = restored(&surrogate->outputs[0], outputs[0][lane]);
            losses[index] = -restored(&surrogate->outputs[1], outputs[1][lane]);
            costs[index] = index > 0 && costs[index - 1] > cost ? costs[index - 1] : cost;
        }
    }
}

static void surrogate_free(void *state)
{
    struct surrogate *surrogate = state;
    if (surrogate == NULL)
        return;
    free(surrogate->weights);
    free(surrogate);
}

static const struct bench_problem_ops ops = {.curve = curve, .free = surrogate_free};

/* ---- reading model.json and weights.f32 ------------------------------------------------------ */

static enum hd_code read_weights(struct surrogate *surrogate, const char *data_dir,
                                 struct hd_err *err)
{
    struct hd_buf bytes;
    hd_buf_init(&bytes, BENCH_FILE_BYTES_MAX);
    enum hd_code code = bench_read_file(data_dir, "lcbench/weights.f32", &bytes, err);
    if (code == HD_OK) {
        surrogate->weight_count = bytes.size / sizeof(float);
        surrogate->weights = malloc(bytes.size + 1);
        if (surrogate->weights == NULL)
            code = hd_fail(err, HD_E_NOMEM, "no memory for the weights");
    }
    for (size_t i = 0; code == HD_OK && i < surrogate->weight_count; i++) {
        const unsigned char *b = (const unsigned char *)bytes.data + i * sizeof(float);
        uint32_t bits = b[0] | (uint32_t)b[1] << 8 | (uint32_t)b[2] << 16 | (uint32_t)b[3] << 24;
        memcpy(&surrogate->weights[i], &bits, sizeof(bits));
    }
    hd_buf_release(&bytes);
    return code;
}

/* The array of this name, which must have so many numbers. */
static enum hd_code find_array(const struct surrogate *surrogate, const struct hd_value *model,
                               const char *name, size_t count, const float **ret_array,
                               struct hd_err *err)
{
    const struct hd_value *arrays = hd_value_get(model, "arrays");
    for (size_t i = 0; arrays != NULL && i < arrays->as.array.count; i++) {
        const struct hd_value *array = arrays->as.array.items[i];
        const struct hd_value *own_name = hd_value_get(array, "name");
        const struct hd_value *shape = hd_value_get(array, "shape");
        if (own_name == NULL || shape == NULL || !hd_streq(own_name->as.string, name))
            continue;
        size_t size = 1;
        for (size_t k = 0; k < shape->as.array.count; k++)
            size *= (size_t)shape->as.array.items[k]->as.integer;
        size_t offset = (size_t)hd_value_number(hd_value_get(array, "offset_floats"));
        if (size != count || offset + size > surrogate->weight_count)
            return hd_fail(err, HD_E_CORRUPT, "lcbench/model.json: %s has another size", name);
        *ret_array = surrogate->weights + offset;
        return HD_OK;
    }
    return hd_fail(err, HD_E_CORRUPT, "lcbench/model.json: there is no array %s", name);
}

static enum hd_code find_in(const struct surrogate *surrogate, const struct hd_value *model,
                            const char *group, const char *name, size_t count,
                            const float **ret_array, struct hd_err *err)
{
    char full[BENCH_NAME_MAX];
    (void)hd_format(full, sizeof(full), "%s.%s", group, name);
    return find_array(surrogate, model, full, count, ret_array, err);
}

/* (x - mean) / sqrt(var + 1e-5) * weight + bias as x * scale + shift. */
static enum hd_code read_norm(struct surrogate *surrogate, const struct hd_value *model,
                              const char *group, size_t index, struct hd_err *err)
{
    static const char *const names[] = {"weight", "bias", "running_mean", "running_var"};
    const float *parts[HD_COUNT(names)];
    for (size_t i = 0; i < HD_COUNT(names); i++) {
        enum hd_code code = find_in(surrogate, model, group, names[i], HIDDEN, &parts[i], err);
        if (code != HD_OK)
            return code;
    }
    for (size_t i = 0; i < HIDDEN; i++) {
        double scale = (double)parts[0][i] / sqrt((double)parts[3][i] + 1e-5);
        surrogate->norm[2 * index][i] = (float)scale;
        surrogate->norm[2 * index + 1][i] = (float)((double)parts[1][i] - parts[2][i] * scale);
    }
    return HD_OK;
}

static enum hd_code read_layer(struct surrogate *surrogate, const struct hd_value *model,
                               size_t index, struct hd_err *err)
{
    struct layer *layer = &surrogate->layers[index];
    char group[BENCH_NAME_MAX], norm[BENCH_NAME_MAX];
    (void)hd_format(group, sizeof(group), "layers.%zu", index);
    (void)hd_format(norm, sizeof(norm), "layers.%zu.norm", index);
    enum hd_code code = read_norm(surrogate, model, norm, index, err);
    layer->scale = surrogate->norm[2 * index];
    layer->shift = surrogate->norm[2 * index + 1];
    if (code == HD_OK)
        code = find_in(surrogate, model, group, "linear0.weight", (size_t)2 * GATED * HIDDEN,
                       &layer->weight0, err);
    if (code == HD_OK)
        code =
            find_in(surrogate, model, group, "linear0.bias", (size_t)2 * GATED, &layer->bias0, err);
    if (code == HD_OK)
        code = find_in(surrogate, model, group, "linear1.weight", (size_t)GATED * HIDDEN,
                       &layer->weight1, err);
    if (code == HD_OK)
        code = find_in(surrogate, model, group, "linear1.bias", HIDDEN, &layer->bias1, err);
    return code;
}

static bool is_text(const struct hd_value *value, const char *text)
{
    return value != NULL && value->kind == HD_VALUE_STRING && hd_streq(value->as.string, text);
}

static enum hd_code read_inputs(struct surrogate *surrogate, const struct hd_value *model,
                                const struct hd_space *space, struct hd_err *err)
{
    const struct hd_value *inputs = hd_value_get(model, "inputs");
    if (inputs == NULL || inputs->as.array.count > INPUTS_MAX)
        return hd_fail(err, HD_E_CORRUPT, "lcbench/model.json: at most %d inputs", INPUTS_MAX);
    surrogate->input_count = inputs->as.array.count;
    for (size_t i = 0; i < surrogate->input_count; i++) {
        const struct hd_value *object = inputs->as.array.items[i];
        const struct hd_value *name = hd_value_get(object, "name");
        surrogate->inputs[i] = (struct input){
            .log = is_text(hd_value_get(object, "transform"), "log"),
            .minus = hd_value_number(hd_value_get(object, "minus")),
            .divide = hd_value_number(hd_value_get(object, "divide")),
            .param = SIZE_MAX,
        };
        if (is_text(name, "epoch"))
            continue;
        for (size_t p = 0; p < space->param_count; p++)
            if (is_text(name, space->params[p].name))
                surrogate->inputs[i].param = p;
        if (surrogate->inputs[i].param == SIZE_MAX)
            return hd_fail(err, HD_E_CORRUPT, "lcbench/model.json: input %zu is no param", i);
    }
    return HD_OK;
}

static enum hd_code read_outputs(struct surrogate *surrogate, const struct hd_value *model,
                                 struct hd_err *err)
{
    const struct hd_value *outputs = hd_value_get(model, "outputs");
    if (outputs == NULL || outputs->as.array.count != BENCH_LCBENCH_OUTPUTS ||
        !is_text(hd_value_get(outputs->as.array.items[0], "name"), "time") ||
        !is_text(hd_value_get(outputs->as.array.items[1], "name"), "val_accuracy"))
        return hd_fail(err, HD_E_CORRUPT, "lcbench/model.json: other outputs than expected");
    for (size_t i = 0; i < BENCH_LCBENCH_OUTPUTS; i++) {
        const struct hd_value *object = outputs->as.array.items[i];
        surrogate->outputs[i] = (struct output){
            .exp = is_text(hd_value_get(object, "transform"), "exp"),
            .times = hd_value_number(hd_value_get(object, "times")),
            .plus = hd_value_number(hd_value_get(object, "plus")),
        };
    }
    return HD_OK;
}

static enum hd_code read_first_layer(struct surrogate *surrogate, const struct hd_value *model,
                                     const char *task, struct hd_err *err)
{
    const struct hd_value *tasks = hd_value_get(model, "tasks");
    const struct hd_value *number = hd_value_get(tasks, task);
    if (number == NULL || number->kind != HD_VALUE_INT || task[0] == '#')
        return hd_fail(err, HD_E_NOTFOUND, "lcbench has no task %s; hd-bench tasks lists them",
                       task);
    const size_t columns = EMBEDDING + surrogate->input_count;
    enum hd_code code = find_array(surrogate, model, "embds_fct.0.weight",
                                   tasks->as.object.count * EMBEDDING, &surrogate->embedding, err);
    if (code == HD_OK)
        code = find_array(surrogate, model, "first_layer.weight", columns * HIDDEN,
                          &surrogate->first_weight, err);
    if (code == HD_OK)
        code =
            find_array(surrogate, model, "first_layer.bias", HIDDEN, &surrogate->first_bias, err);
    for (size_t row = 0; code == HD_OK && row < HIDDEN; row++) {
        const float *own = surrogate->embedding + (size_t)number->as.integer * EMBEDDING;
        float sum = surrogate->first_bias[row];
        for (size_t i = 0; i < EMBEDDING; i++)
            sum += surrogate->first_weight[row * columns + i] * own[i];
        surrogate->base[row] = sum;
    }
    return code;
}

static enum hd_code read_model(struct surrogate *surrogate, const struct hd_value *model,
                               const struct bench_problem *problem, struct hd_err *err)
{
    enum hd_code code = read_inputs(surrogate, model, problem->space, err);
    if (code == HD_OK)
        code = read_outputs(surrogate, model, err);
    if (code == HD_OK)
        code = read_first_layer(surrogate, model, problem->task, err);
    for (size_t i = 0; code == HD_OK && i < LAYERS; i++)
        code = read_layer(surrogate, model, i, err);
    if (code == HD_OK)
        code = read_norm(surrogate, model, "last_normalization", LAYERS, err);
    if (code == HD_OK)
        code = find_array(surrogate, model, "head.weight", (size_t)BENCH_LCBENCH_OUTPUTS * HIDDEN,
                          &surrogate->head_weight, err);
    if (code == HD_OK)
        code = find_array(surrogate, model, "head.bias", BENCH_LCBENCH_OUTPUTS,
                          &surrogate->head_bias, err);
    return code;
}

/* Accuracies in percent, one a task, in lcbench/best.json; a task without one has no regret. */
static enum hd_code read_best(struct bench_problem *problem, const char *data_dir,
                              struct hd_err *err)
{
    struct hd_value *best = NULL;
    enum hd_code code = bench_read_json(data_dir, "lcbench/best.json", &best, err);
    if (code == HD_OK)
        problem->best = -hd_value_number(hd_value_get(best, problem->task));
    hd_value_free(best);
    return code;
}

enum hd_code bench_lcbench_open(struct bench_problem *problem, const char *data_dir,
                                struct hd_err *err)
{
    struct hd_value *model = NULL;
    struct surrogate *surrogate = aligned_alloc(64, (sizeof(*surrogate) + 63) / 64 * 64);
    if (surrogate == NULL)
        return hd_fail(err, HD_E_NOMEM, "no memory for a surrogate");
    memset(surrogate, 0, sizeof(*surrogate));
    problem->state = surrogate;
    problem->ops = &ops;
    problem->budget_min = 1;
    problem->budget_max = problem->step_count = 52;
    problem->eta = 3;
    enum hd_code code = bench_read_json(data_dir, "lcbench/model.json", &model, err);
    if (code == HD_OK)
        code = hd_space_parse(hd_value_get(model, "space"), "lcbench/model.json", "space",
                              &problem->space, err);
    if (code == HD_OK)
        code = read_weights(surrogate, data_dir, err);
    if (code == HD_OK)
        code = read_model(surrogate, model, problem, err);
    if (code == HD_OK)
        code = read_best(problem, data_dir, err);
    hd_value_free(model);
    return code;
}

enum hd_code bench_lcbench_tasks(const char *data_dir, struct hd_buf *out, struct hd_err *err)
{
    struct hd_value *best = NULL;
    enum hd_code code = bench_read_json(data_dir, "lcbench/best.json", &best, err);
    for (size_t i = 0; code == HD_OK && i < best->as.object.count; i++)
        code = hd_buf_printf(out, err, "%s%s", i > 0 ? " " : "", best->as.object.keys[i]);
    hd_value_free(best);
    return code;
}
