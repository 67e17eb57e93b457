/* SPDX-License-Identifier: Apache-2.0 */
/* experiment.c: the experiment as a whole, without its target and its space. */
#include "read.h"

#include <hd/sampler.h>
#include <hd/services.h>

#include <math.h>
#include <string.h>

#define LEASE_MS_MAX INT64_C(86400000)
#define QUEUE_MAX 1000000

static const char *const top_names[] = {
    "name",
    "target",
    "objective",
    "constraints",
    "noise",
    "space",
    "initial",
    "sampler",
    "iteration_generator",
    "budget",
    "stop",
    "pause_after_failures",
    "priority",
    "parallel",
    "log_rules",
    "notify",
    "services",
    "services_per",
    "artifacts",
    "checkpoints",
    "bring_home",
    "keep_work",
    "seed",
    "job_queue_sizes",
    "dynamic_queue_size",
    "lease",
    "ping",
    "holder_wait",
};

void hd_experiment_free(struct hd_experiment *experiment)
{
    if (experiment == NULL)
        return;
    hd_free(experiment->name);
    hd_target_release(&experiment->target);
    hd_objectives_release(experiment);
    hd_space_free(experiment->space);
    hd_free(experiment->initial);
    hd_free(experiment->sampler_name);
    hd_value_free(experiment->sampler_settings);
    hd_free(experiment->budget_unit);
    hd_log_rules_release(experiment);
    hd_notify_release(&experiment->notify);
    hd_services_free(experiment->services);
    hd_artifacts_release(&experiment->artifacts);
    hd_free(experiment);
}

/* ---- name ---- */

/* "dir/digits.yaml" -> "digits", where that is a legal id. */
static void name_of_file(const char *file, char name[HD_ID_MAX + 1])
{
    const char *slash = strrchr(file, '/');
    const char *base = slash != NULL ? slash + 1 : file;
    const char *dot = strrchr(base, '.');
    size_t size = dot != NULL && dot != base ? (size_t)(dot - base) : strlen(base);
    bool fits = size <= HD_ID_MAX;
    hd_copy_text(name, (fits ? size : HD_ID_MAX) + 1, base);
    if (!fits || hd_check_id("name", name, NULL) != HD_OK)
        hd_copy_text(name, HD_ID_MAX + 1, "experiment");
}

static enum hd_code parse_name(const struct hd_reader *reader, const struct hd_value *root,
                               struct hd_experiment *experiment)
{
    char name[HD_ID_MAX + 1];
    name_of_file(reader->file, name);
    experiment->name = hd_strdup(name);
    if (experiment->name == NULL)
        return hd_read_nomem(reader);
    enum hd_code code = hd_read_text(reader, root, "", "name", &experiment->name);
    if (code == HD_OK && hd_check_id("the name", experiment->name, reader->err) != HD_OK)
        code = hd_read_wrap(reader, hd_value_get(root, "name"), "name", "");
    return code;
}

/* ---- space ---- */

static enum hd_code parse_space(const struct hd_reader *reader, const struct hd_value *root,
                                struct hd_experiment *experiment)
{
    const struct hd_value *space = hd_read_member(root, "space");
    if (space == NULL)
        return hd_read_fail(reader, HD_E_INVALID, NULL, "space", "",
                            "missing; give at least one param, such as "
                            "lr: {type: float, low: 1.0e-5, high: 1.0, log: true}");
    return hd_space_parse(space, reader->file, "space", &experiment->space, reader->err);
}

/* ---- initial configs ---- */

static enum hd_code parse_initial_config(const struct hd_reader *reader,
                                         const struct hd_value *item,
                                         struct hd_experiment *experiment)
{
    char path[READ_PATH_MAX];
    size_t width = experiment->space->param_count, number = experiment->initial_count;
    double *values = experiment->initial + number * width;
    hd_format(path, sizeof(path), "initial[%zu]", number);
    if (hd_config_from_value(experiment->space, item, values, reader->err) != HD_OK)
        return hd_read_wrap(reader, item, path, "");
    for (size_t i = 0; i < number; i++)
        if (hd_config_equal(experiment->space, experiment->initial + i * width, values))
            return hd_read_fail(reader, HD_E_INVALID, item, path, "", "is the same as initial[%zu]",
                                i);
    experiment->initial_count++;
    return HD_OK;
}

static enum hd_code parse_initial(const struct hd_reader *reader, const struct hd_value *root,
                                  struct hd_experiment *experiment)
{
    const struct hd_value *list = hd_read_member(root, "initial");
    if (list == NULL)
        return HD_OK;
    if (list->kind != HD_VALUE_ARRAY)
        return hd_read_wrong_type(reader, list, "initial", "",
                                  "a list of configs, such as [{lr: 0.1, units: 64}]");
    size_t count = list->as.array.count;
    if (count > HD_INITIAL_MAX)
        return hd_read_fail(reader, HD_E_LIMIT, list, "initial", "", "at most %d are allowed",
                            HD_INITIAL_MAX);
    experiment->initial = hd_calloc(count + 1, experiment->space->param_count * sizeof(double));
    if (experiment->initial == NULL)
        return hd_read_nomem(reader);
    enum hd_code code = HD_OK;
    for (size_t i = 0; i < count && code == HD_OK; i++)
        code = parse_initial_config(reader, list->as.array.items[i], experiment);
    return code;
}

/* ---- budget and iteration generator ---- */

static enum hd_code parse_one_budget(const struct hd_reader *reader, const struct hd_value *object,
                                     const char *key, double *budget)
{
    const struct hd_value *value = hd_read_member(object, key);
    if (value == NULL)
        return hd_read_fail(reader, HD_E_INVALID, object, "budget", key,
                            "missing; give budget: {min: ..., max: ...}, or one number for both");
    enum hd_code code = hd_read_double(reader, object, "budget", key, budget);
    if (code == HD_OK && *budget <= 0)
        code = hd_read_fail(reader, HD_E_INVALID, value, "budget", key, "must be above 0");
    return code;
}

static enum hd_code check_budget_order(const struct hd_reader *reader,
                                       const struct hd_value *object,
                                       const struct hd_iter_gen_spec *spec)
{
    char min[HD_DOUBLE_TEXT_SIZE], max[HD_DOUBLE_TEXT_SIZE];
    if (spec->budget_min <= spec->budget_max)
        return HD_OK;
    hd_format_double(min, sizeof(min), spec->budget_min);
    hd_format_double(max, sizeof(max), spec->budget_max);
    return hd_read_fail(reader, HD_E_INVALID, hd_value_get(object, "min"), "budget", "min",
                        "%s is above budget.max, which is %s", min, max);
}

static enum hd_code parse_budget(const struct hd_reader *reader, const struct hd_value *root,
                                 struct hd_experiment *experiment)
{
    static const char *const names[] = {"min", "max", "unit", "integer"};
    struct hd_iter_gen_spec *spec = &experiment->iter_gen;
    const struct hd_value *object;
    spec->budget_min = spec->budget_max = 1;
    enum hd_code code = hd_read_object(reader, root, "", "budget", &object);
    if (code == HD_OK && object != NULL) {
        experiment->budget_given = true;
        code = hd_read_keys(reader, object, "budget", names, HD_COUNT(names));
        if (code == HD_OK)
            code = parse_one_budget(reader, object, "min", &spec->budget_min);
        if (code == HD_OK)
            code = parse_one_budget(reader, object, "max", &spec->budget_max);
        if (code == HD_OK)
            code = check_budget_order(reader, object, spec);
        if (code == HD_OK)
            code = hd_read_text(reader, object, "budget", "unit", &experiment->budget_unit);
        if (code == HD_OK)
            code = hd_read_bool(reader, object, "budget", "integer", &spec->budget_integer);
    }
    if (code == HD_OK && experiment->budget_unit == NULL) {
        experiment->budget_unit = hd_strdup("");
        code = experiment->budget_unit != NULL ? HD_OK : hd_read_nomem(reader);
    }
    return code;
}

/* ---- stop rules ---- */

static enum hd_code parse_stop(const struct hd_reader *reader, const struct hd_value *root,
                               struct hd_experiment *experiment)
{
    static const char *const names[] = {"iterations",       "configs", "jobs",
                                        "full_evaluations", "time",    "failures",
                                        "no_improvement",   "budget"};
    struct hd_stop *stop = &experiment->stop;
    uint32_t *const counts[] = {&experiment->iter_gen.iterations_max,
                                &stop->configs,
                                &stop->jobs,
                                &stop->full_evaluations,
                                NULL,
                                &stop->failures,
                                &stop->no_improvement,
                                NULL};
    const struct hd_value *object;
    enum hd_code code = hd_read_object(reader, root, "", "stop", &object);
    if (code != HD_OK || object == NULL)
        return code;
    code = hd_read_keys(reader, object, "stop", names, HD_COUNT(names));
    for (size_t i = 0; code == HD_OK && i < HD_COUNT(names); i++)
        if (counts[i] != NULL)
            code = hd_read_u32(reader, object, "stop", names[i], 1, UINT32_MAX - 1, counts[i]);
    if (code == HD_OK)
        code = hd_read_ms(reader, object, "stop", "time", 1, HD_DURATION_MS_MAX, &stop->time_ms);
    if (code == HD_OK)
        code = hd_read_double(reader, object, "stop", "budget", &stop->budget);
    if (code == HD_OK && hd_read_member(object, "budget") != NULL && stop->budget <= 0)
        code = hd_read_fail(reader, HD_E_INVALID, hd_value_get(object, "budget"), "stop", "budget",
                            "must be above 0");
    return code;
}

/* ---- running ---- */

/* An integer, or a text where 63 bits do not suffice. */
static enum hd_code parse_seed(const struct hd_reader *reader, const struct hd_value *root,
                               struct hd_experiment *experiment)
{
    const struct hd_value *value = hd_read_member(root, "seed");
    int64_t seed = 0;
    if (value == NULL)
        return HD_OK;
    experiment->has_seed = true;
    if (value->kind == HD_VALUE_STRING && hd_parse_u64(value->as.string, &experiment->seed))
        return HD_OK;
    enum hd_code code = hd_read_i64(reader, root, "", "seed", 0, INT64_MAX, &seed);
    if (code == HD_OK)
        experiment->seed = (uint64_t)seed;
    return code;
}

static enum hd_code parse_queue_sizes(const struct hd_reader *reader, const struct hd_value *root,
                                      struct hd_experiment *experiment)
{
    static const char key[] = "job_queue_sizes";
    const struct hd_value *value = hd_read_member(root, key);
    experiment->queue_min = -1;
    experiment->queue_max = 0;
    if (value == NULL)
        return HD_OK;
    int32_t sizes[2];
    if (value->kind != HD_VALUE_ARRAY || value->as.array.count != HD_COUNT(sizes))
        return hd_read_wrong_type(reader, value, "", key, "two integers, such as [-1, 0]");
    for (size_t i = 0; i < HD_COUNT(sizes); i++) {
        const struct hd_value *item = value->as.array.items[i];
        if (item->kind != HD_VALUE_INT || item->as.integer < -QUEUE_MAX ||
            item->as.integer > QUEUE_MAX)
            return hd_read_wrong_type(reader, item, "", key,
                                      "two integers from -1000000 to 1000000");
        sizes[i] = (int32_t)item->as.integer;
    }
    if (sizes[0] >= sizes[1])
        return hd_read_fail(reader, HD_E_INVALID, value, "", key,
                            "the first size must be below the second, got [%d, %d]", sizes[0],
                            sizes[1]);
    experiment->queue_min = sizes[0];
    experiment->queue_max = sizes[1];
    return HD_OK;
}

static enum hd_code parse_queue(const struct hd_reader *reader, const struct hd_value *root,
                                struct hd_experiment *experiment)
{
    experiment->queue_dynamic = true;
    enum hd_code code = parse_queue_sizes(reader, root, experiment);
    if (code == HD_OK)
        code = hd_read_bool(reader, root, "", "dynamic_queue_size", &experiment->queue_dynamic);
    if (code == HD_OK && !experiment->queue_dynamic && experiment->queue_max < 1)
        code = hd_read_fail(reader, HD_E_INVALID, hd_value_get(root, "dynamic_queue_size"), "",
                            "dynamic_queue_size",
                            "without it job_queue_sizes are absolute: the second must be at "
                            "least 1, got %d",
                            experiment->queue_max);
    return code;
}

static enum hd_code parse_times(const struct hd_reader *reader, const struct hd_value *root,
                                struct hd_experiment *experiment)
{
    experiment->lease_ms = 30000;
    experiment->ping_ms = 5000;
    experiment->holder_wait_ms = 20000;
    enum hd_code code =
        hd_read_ms(reader, root, "", "lease", 1, LEASE_MS_MAX, &experiment->lease_ms);
    if (code == HD_OK)
        code = hd_read_ms(reader, root, "", "ping", 1, LEASE_MS_MAX, &experiment->ping_ms);
    if (code == HD_OK)
        code = hd_read_ms(reader, root, "", "holder_wait", 0, LEASE_MS_MAX,
                          &experiment->holder_wait_ms);
    if (code == HD_OK && experiment->lease_ms < 2 * experiment->ping_ms) {
        const struct hd_value *lease = hd_read_member(root, "lease");
        code = hd_read_fail(reader, HD_E_INVALID,
                            lease != NULL ? lease : hd_read_member(root, "ping"), "lease", "",
                            "must last at least two pings, or a worker loses its job by one "
                            "late message");
    }
    return code;
}

/* One of two words; without the key the first. */
static enum hd_code parse_either(const struct hd_reader *reader, const struct hd_value *root,
                                 const char *key, const char *const words[2], bool *ret_second)
{
    size_t index = 0;
    enum hd_code code = hd_read_choice(reader, root, "", key, words, 2, &index);
    *ret_second = index == 1;
    return code;
}

/* Who starts the services. */
static enum hd_code parse_services_per(const struct hd_reader *reader, const struct hd_value *root,
                                       struct hd_experiment *experiment)
{
    static const char *const words[] = {"run", "worker"};
    const struct hd_value *value = hd_read_member(root, "services_per");
    if (value != NULL && experiment->services == NULL)
        return hd_read_fail(reader, HD_E_INVALID, value, "", "services_per",
                            "there are no services");
    return parse_either(reader, root, "services_per", words, &experiment->services_per_worker);
}

static enum hd_code parse_checkpoints(const struct hd_reader *reader, const struct hd_value *root,
                                      struct hd_experiment *experiment)
{
    static const char *const words[] = {"travel", "stay"};
    return parse_either(reader, root, "checkpoints", words, &experiment->checkpoints_stay);
}

static enum hd_code parse_bring_home(const struct hd_reader *reader, const struct hd_value *root,
                                     struct hd_experiment *experiment)
{
    static const char *const words[] = {"best", "none"};
    return parse_either(reader, root, "bring_home", words, &experiment->files_stay);
}

static enum hd_code parse_running(const struct hd_reader *reader, const struct hd_value *root,
                                  struct hd_experiment *experiment)
{
    int64_t priority = 0;
    experiment->pause_after_failures = 5;
    enum hd_code code = hd_read_u32(reader, root, "", "pause_after_failures", 0, UINT32_MAX - 1,
                                    &experiment->pause_after_failures);
    if (code == HD_OK)
        code = hd_read_i64(reader, root, "", "priority", INT32_MIN, INT32_MAX, &priority);
    experiment->priority = (int32_t)priority;
    if (code == HD_OK)
        code =
            hd_read_u32(reader, root, "", "parallel", 1, HD_COUNT_LIMIT_MAX, &experiment->parallel);
    if (code == HD_OK)
        code = hd_log_rules_parse(reader, root, experiment);
    if (code == HD_OK)
        code = hd_notify_parse(reader, root, &experiment->notify);
    if (code == HD_OK)
        code = hd_services_read(reader, root, experiment->target.base_dir, &experiment->services);
    if (code == HD_OK)
        code = parse_services_per(reader, root, experiment);
    if (code == HD_OK)
        code = hd_artifacts_parse(reader, root, experiment);
    if (code == HD_OK)
        code = parse_checkpoints(reader, root, experiment);
    if (code == HD_OK)
        code = parse_bring_home(reader, root, experiment);
    if (code == HD_OK)
        code = hd_keep_parse(reader, root, "", "keep_work", experiment, &experiment->keep_work);
    if (code == HD_OK)
        code = parse_seed(reader, root, experiment);
    if (code == HD_OK)
        code = parse_queue(reader, root, experiment);
    if (code == HD_OK)
        code = parse_times(reader, root, experiment);
    return code;
}

/* ---- the whole ---- */

/* What a file says shortly may be long with its defaults; stores and messages have the limit. */
static enum hd_code check_size(const struct hd_reader *reader,
                               const struct hd_experiment *experiment)
{
    struct hd_buf text;
    hd_buf_init(&text, HD_EXPERIMENT_BYTES_MAX);
    enum hd_code code = hd_experiment_to_json(experiment, &text, reader->err);
    hd_buf_release(&text);
    if (code == HD_E_LIMIT)
        return hd_fail(reader->err, HD_E_LIMIT,
                       "%s: with its defaults written out the experiment is larger than %u bytes",
                       reader->file, HD_EXPERIMENT_BYTES_MAX);
    return code;
}

static enum hd_code parse_root(const struct hd_reader *reader, const struct hd_value *root,
                               struct hd_experiment *experiment)
{
    enum hd_code code = hd_read_keys(reader, root, "", top_names, HD_COUNT(top_names));
    if (code == HD_OK)
        code = parse_name(reader, root, experiment);
    if (code == HD_OK)
        code = parse_space(reader, root, experiment);
    if (code == HD_OK)
        code = parse_initial(reader, root, experiment);
    if (code == HD_OK)
        code = hd_target_parse(reader, root, experiment->space, &experiment->target);
    if (code == HD_OK)
        code = hd_objectives_parse(reader, root, experiment);
    if (code == HD_OK)
        code = hd_sampler_part_parse(reader, root, experiment);
    if (code == HD_OK)
        code = parse_budget(reader, root, experiment);
    if (code == HD_OK)
        code = parse_stop(reader, root, experiment);
    if (code == HD_OK)
        code = hd_generator_parse(reader, root, experiment);
    if (code == HD_OK)
        code = parse_running(reader, root, experiment);
    return code == HD_OK ? check_size(reader, experiment) : code;
}

enum hd_code hd_experiment_parse(const struct hd_value *value, const char *file_name,
                                 const struct hd_experiment_overrides *overrides,
                                 struct hd_experiment **ret_experiment, struct hd_err *err)
{
    struct hd_err unread;
    struct hd_reader reader = {.file = file_name, .err = err != NULL ? err : &unread};
    struct hd_value *root = NULL;
    struct hd_experiment *experiment = hd_calloc(1, sizeof(*experiment));
    if (experiment == NULL)
        return hd_read_nomem(&reader);
    enum hd_code code = hd_experiment_normalize(&reader, value, overrides, &root);
    if (code == HD_OK)
        code = parse_root(&reader, root, experiment);
    hd_value_free(root);
    if (code != HD_OK) {
        hd_experiment_free(experiment);
        return code;
    }
    *ret_experiment = experiment;
    return HD_OK;
}

enum hd_code hd_experiment_parse_text(const char *text, size_t size, const char *file_name,
                                      const struct hd_experiment_overrides *overrides,
                                      struct hd_experiment **ret_experiment, struct hd_err *err)
{
    struct hd_value_limits limits = hd_value_limits_file;
    limits.bytes_max = HD_EXPERIMENT_BYTES_MAX;
    struct hd_value *value;
    enum hd_code code = hd_yaml_parse(text, size, file_name, &limits, &value, err);
    if (code != HD_OK)
        return code;
    code = hd_experiment_parse(value, file_name, overrides, ret_experiment, err);
    hd_value_free(value);
    return code;
}

int64_t hd_experiment_timeout_ms(const struct hd_experiment *experiment, double budget)
{
    const struct hd_target *target = &experiment->target;
    double ms = (double)target->timeout_base_ms + target->timeout_per_budget_ms * budget;
    if (!(ms > 0))
        return 0;
    if (ms >= (double)HD_DURATION_MS_MAX)
        return HD_DURATION_MS_MAX;
    return ms < 1 ? 1 : (int64_t)ms;
}
