/* SPDX-License-Identifier: Apache-2.0 */
/* describe.c: the experiment with every default written out, its JSON, and differences. */
#include "describe.h"

#include <string.h>

static struct hd_value *describe_sampler(const struct hd_experiment *experiment)
{
    struct hd_value *map = hd_value_new_object();
    const struct hd_value *settings = experiment->sampler_settings;
    bool good = map != NULL && put(map, "name", hd_value_new_string(experiment->sampler_name));
    for (size_t i = 0; good && i < settings->as.object.count; i++) {
        struct hd_value *copy = NULL;
        good = hd_value_copy(settings->as.object.items[i], &copy, NULL) == HD_OK &&
               put(map, settings->as.object.keys[i], copy);
    }
    return finish(map, good);
}

static struct hd_value *describe_initial(const struct hd_experiment *experiment)
{
    struct hd_value *list = hd_value_new_array();
    size_t width = experiment->space->param_count;
    enum hd_code code = list != NULL ? HD_OK : HD_E_NOMEM;
    for (size_t i = 0; i < experiment->initial_count && code == HD_OK; i++) {
        struct hd_value *config = NULL;
        code =
            hd_config_to_value(experiment->space, experiment->initial + i * width, &config, NULL);
        if (code == HD_OK)
            code = hd_value_append(list, config);
    }
    if (code != HD_OK) {
        hd_value_free(list);
        return NULL;
    }
    return list;
}

static struct hd_value *describe_budget(const struct hd_experiment *experiment)
{
    if (!experiment->budget_given)
        return hd_value_new_null();
    const char *unit = experiment->budget_unit;
    struct hd_value *map = hd_value_new_object();
    bool good = map != NULL &&
                put(map, "min", hd_value_new_double(experiment->iter_gen.budget_min)) &&
                put(map, "max", hd_value_new_double(experiment->iter_gen.budget_max)) &&
                put(map, "unit", new_text(unit[0] != '\0' ? unit : NULL)) &&
                put(map, "integer", hd_value_new_bool(experiment->iter_gen.budget_integer));
    return finish(map, good);
}

static struct hd_value *new_limit(uint32_t limit)
{
    return limit != 0 ? hd_value_new_int(limit) : hd_value_new_null();
}

static struct hd_value *describe_stop(const struct hd_experiment *experiment)
{
    const struct hd_stop *stop = &experiment->stop;
    struct hd_value *map = hd_value_new_object();
    bool good =
        map != NULL && put(map, "iterations", new_limit(experiment->iter_gen.iterations_max)) &&
        put(map, "configs", new_limit(stop->configs)) && put(map, "jobs", new_limit(stop->jobs)) &&
        put(map, "full_evaluations", new_limit(stop->full_evaluations)) &&
        put(map, "time", stop->time_ms != 0 ? new_ms(stop->time_ms) : hd_value_new_null()) &&
        put(map, "failures", new_limit(stop->failures)) &&
        put(map, "budget",
            stop->budget > 0 ? hd_value_new_double(stop->budget) : hd_value_new_null()) &&
        put(map, "no_improvement", new_limit(stop->no_improvement));
    return finish(map, good);
}

static struct hd_value *describe_seed(const struct hd_experiment *experiment)
{
    char text[32];
    if (!experiment->has_seed)
        return hd_value_new_null();
    if (experiment->seed <= INT64_MAX)
        return hd_value_new_int((int64_t)experiment->seed);
    hd_format(text, sizeof(text), "%llu", (unsigned long long)experiment->seed);
    return hd_value_new_string(text);
}

static struct hd_value *describe_queue_sizes(const struct hd_experiment *experiment)
{
    struct hd_value *list = hd_value_new_array();
    if (list == NULL || hd_value_append(list, hd_value_new_int(experiment->queue_min)) != HD_OK ||
        hd_value_append(list, hd_value_new_int(experiment->queue_max)) != HD_OK) {
        hd_value_free(list);
        return NULL;
    }
    return list;
}

static struct hd_value *describe_log_rules(const struct hd_experiment *experiment)
{
    struct hd_value *list = hd_value_new_array();
    bool good = list != NULL;
    for (size_t i = 0; good && i < experiment->log_rule_count; i++) {
        const struct hd_log_rule *rule = &experiment->log_rules[i];
        struct hd_value *map = hd_value_new_object();
        good = map != NULL && put(map, "match", hd_value_new_string(rule->match)) &&
               put(map, "action", hd_value_new_string(hd_log_action_name(rule->action))) &&
               put(map, "label", new_text(rule->label[0] != '\0' ? rule->label : NULL));
        map = finish(map, good);
        good = map != NULL && hd_value_append(list, map) == HD_OK;
    }
    return finish(list, good);
}

static bool describe_running(const struct hd_experiment *experiment, struct hd_value *map)
{
    return put(map, "pause_after_failures", hd_value_new_int(experiment->pause_after_failures)) &&
           put(map, "priority", hd_value_new_int(experiment->priority)) &&
           put(map, "parallel", new_limit(experiment->parallel)) &&
           put(map, "log_rules", describe_log_rules(experiment)) &&
           (hd_notify_is_default(&experiment->notify) ||
            put(map, "notify", hd_notify_describe(&experiment->notify))) &&
           (experiment->services == NULL ||
            put(map, "services", hd_services_describe(experiment->services))) &&
           (!experiment->services_per_worker ||
            put(map, "services_per", hd_value_new_string("worker"))) &&
           (hd_artifacts_is_default(&experiment->artifacts) ||
            put(map, "artifacts", hd_artifacts_describe(&experiment->artifacts))) &&
           (!experiment->checkpoints_stay ||
            put(map, "checkpoints", hd_value_new_string("stay"))) &&
           (!experiment->files_stay || put(map, "bring_home", hd_value_new_string("none"))) &&
           (experiment->keep_work == 0 ||
            put(map, "keep_work", hd_value_new_int(experiment->keep_work))) &&
           put(map, "seed", describe_seed(experiment)) &&
           put(map, "job_queue_sizes", describe_queue_sizes(experiment)) &&
           put(map, "dynamic_queue_size", hd_value_new_bool(experiment->queue_dynamic)) &&
           put(map, "lease", new_ms(experiment->lease_ms)) &&
           put(map, "ping", new_ms(experiment->ping_ms)) &&
           put(map, "holder_wait", new_ms(experiment->holder_wait_ms));
}

enum hd_code hd_experiment_describe(const struct hd_experiment *experiment,
                                    struct hd_value **ret_value, struct hd_err *err)
{
    struct hd_value *space = NULL;
    enum hd_code code = hd_space_describe(experiment->space, &space, err);
    if (code != HD_OK)
        return code;
    struct hd_value *map = hd_value_new_object();
    bool good = map != NULL && put(map, "name", hd_value_new_string(experiment->name)) &&
                put(map, "target", hd_target_describe(&experiment->target)) &&
                put(map, "objective", hd_objectives_describe(experiment));
    if (!good) {
        hd_value_free(space);
        hd_value_free(map);
        return hd_fail(err, HD_E_NOMEM, "no memory to describe an experiment");
    }
    /* Where there are none the description is what it was before there could be any. */
    good = (experiment->constraint_count == 0 ||
            put(map, "constraints", hd_constraints_describe(experiment))) &&
           (experiment->noise.repeats == 1 || put(map, "noise", hd_noise_describe(experiment)));
    if (!good) {
        hd_value_free(space);
        hd_value_free(map);
        return hd_fail(err, HD_E_NOMEM, "no memory to describe an experiment");
    }
    good = put(map, "space", space) && put(map, "initial", describe_initial(experiment)) &&
           put(map, "sampler", describe_sampler(experiment)) &&
           put(map, "iteration_generator", hd_generator_describe(&experiment->iter_gen)) &&
           put(map, "budget", describe_budget(experiment)) &&
           put(map, "stop", describe_stop(experiment)) && describe_running(experiment, map);
    map = finish(map, good);
    if (map == NULL)
        return hd_fail(err, HD_E_NOMEM, "no memory to describe an experiment");
    *ret_value = map;
    return HD_OK;
}

enum hd_code hd_experiment_to_json(const struct hd_experiment *experiment, struct hd_buf *out,
                                   struct hd_err *err)
{
    struct hd_value *value;
    enum hd_code code = hd_experiment_describe(experiment, &value, err);
    if (code != HD_OK)
        return code;
    code = hd_json_write(value, HD_JSON_COMPACT, out, err);
    hd_value_free(value);
    return code;
}

/* ---- differences ---- */

static enum hd_code write_side(const struct hd_value *value, struct hd_buf *out, struct hd_err *err)
{
    if (value == NULL || value->kind == HD_VALUE_NULL)
        return hd_buf_puts(out, "nothing", err);
    return hd_json_write(value, HD_JSON_COMPACT, out, err);
}

static enum hd_code diff_values(const char *path, const struct hd_value *before,
                                const struct hd_value *after, struct hd_buf *out,
                                struct hd_err *err);

static enum hd_code diff_member(const char *path, const char *key, const struct hd_value *before,
                                const struct hd_value *after, struct hd_buf *out,
                                struct hd_err *err)
{
    char member[READ_PATH_MAX];
    hd_format(member, sizeof(member), "%s%s%s", path, path[0] != '\0' ? "." : "", key);
    return diff_values(member, before, after, out, err);
}

static enum hd_code diff_maps(const char *path, const struct hd_value *before,
                              const struct hd_value *after, struct hd_buf *out, struct hd_err *err)
{
    enum hd_code code = HD_OK;
    for (size_t i = 0; code == HD_OK && i < before->as.object.count; i++) {
        const char *key = before->as.object.keys[i];
        code =
            diff_member(path, key, before->as.object.items[i], hd_value_get(after, key), out, err);
    }
    for (size_t i = 0; code == HD_OK && i < after->as.object.count; i++) {
        const char *key = after->as.object.keys[i];
        if (hd_value_get(before, key) == NULL)
            code = diff_member(path, key, NULL, after->as.object.items[i], out, err);
    }
    return code;
}

/* Where the file lay is no part of what a run is; the space has its own words for differences. */
static bool is_skipped(const char *path)
{
    return hd_streq(path, "target.base_dir") || hd_streq(path, "space");
}

static enum hd_code diff_values(const char *path, const struct hd_value *before,
                                const struct hd_value *after, struct hd_buf *out,
                                struct hd_err *err)
{
    if (is_skipped(path) || hd_value_equal(before, after))
        return HD_OK;
    if (before != NULL && after != NULL && before->kind == HD_VALUE_OBJECT &&
        after->kind == HD_VALUE_OBJECT)
        return diff_maps(path, before, after, out, err);
    enum hd_code code = hd_buf_printf(out, err, "%s: ", path);
    if (code == HD_OK)
        code = write_side(before, out, err);
    if (code == HD_OK)
        code = hd_buf_puts(out, " -> ", err);
    if (code == HD_OK)
        code = write_side(after, out, err);
    return code == HD_OK ? hd_buf_puts(out, "\n", err) : code;
}

static enum hd_code diff_spaces(const struct hd_space *before, const struct hd_space *after,
                                struct hd_buf *out, struct hd_err *err)
{
    struct hd_buf lines;
    hd_buf_init(&lines, out->size_max);
    enum hd_code code = hd_space_diff(before, after, &lines, err);
    for (const char *line = hd_buf_text(&lines); code == HD_OK && *line != '\0';) {
        size_t size = strcspn(line, "\n");
        code = hd_buf_puts(out, "space: ", err);
        if (code == HD_OK)
            code = hd_buf_append(out, line, size, err);
        if (code == HD_OK)
            code = hd_buf_puts(out, "\n", err);
        line += size + (line[size] == '\n' ? 1 : 0);
    }
    hd_buf_release(&lines);
    return code;
}

enum hd_code hd_experiment_diff(const struct hd_experiment *before,
                                const struct hd_experiment *after, struct hd_buf *out,
                                struct hd_err *err)
{
    struct hd_value *old_value = NULL, *new_value = NULL;
    enum hd_code code = hd_experiment_describe(before, &old_value, err);
    if (code == HD_OK)
        code = hd_experiment_describe(after, &new_value, err);
    if (code == HD_OK)
        code = diff_values("", old_value, new_value, out, err);
    hd_value_free(old_value);
    hd_value_free(new_value);
    return code == HD_OK ? diff_spaces(before->space, after->space, out, err) : code;
}
