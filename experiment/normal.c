/* SPDX-License-Identifier: Apache-2.0 */
/*
 * normal.c: one spelling for everything, so that the parser knows one only.
 *
 * A copy of the file's tree is rewritten in three steps: sections under their old names move to
 * the new one, shorthands (sampler: tpe) become maps, single keys move into their section
 * (min_budget -> budget.min). Then the command line is written over it. Nodes keep their lines.
 */
#include "read.h"

#include <math.h>
#include <string.h>

struct normalizer {
    const struct hd_reader *reader;
    struct hd_value *root;
};

/* Unlinks a member; NULL when absent. */
static struct hd_value *take(struct hd_value *object, const char *key)
{
    if (object == NULL || object->kind != HD_VALUE_OBJECT)
        return NULL;
    size_t count = object->as.object.count, i = 0;
    while (i < count && !hd_streq(object->as.object.keys[i], key))
        i++;
    if (i == count)
        return NULL;
    struct hd_value *item = object->as.object.items[i];
    hd_free(object->as.object.keys[i]);
    for (; i + 1 < count; i++) {
        object->as.object.keys[i] = object->as.object.keys[i + 1];
        object->as.object.items[i] = object->as.object.items[i + 1];
    }
    object->as.object.count--;
    return item;
}

/* The section as a map, made when absent (or null) and standing at `line` then. */
static enum hd_code section(struct normalizer *normalizer, const char *name, int line,
                            struct hd_value **ret_section)
{
    struct hd_value *value = hd_value_get(normalizer->root, name);
    if (value != NULL && value->kind != HD_VALUE_NULL) {
        if (value->kind != HD_VALUE_OBJECT)
            return hd_read_wrong_type(normalizer->reader, value, name, "", "a map");
        *ret_section = value;
        return HD_OK;
    }
    value = hd_value_new_object();
    if (value != NULL)
        value->line = line;
    if (hd_value_set(normalizer->root, name, value) != HD_OK)
        return hd_read_nomem(normalizer->reader);
    *ret_section = value;
    return HD_OK;
}

struct alias {
    const char *from_section, *from_key; /* section NULL: at the top */
    const char *to_section, *to_key;
};

static const struct alias section_aliases[] = {
    {NULL, "optimizer", NULL, "sampler"},
    {NULL, "objectives", NULL, "objective"},
    {NULL, "iter_generator", NULL, "iteration_generator"},
    {NULL, "multi_fidelity_iter_generator", NULL, "iteration_generator"},
};

static const struct alias key_aliases[] = {
    {NULL, "forbidden", "space", "forbidden"},
    {"iteration_generator", "min_budget", "budget", "min"},
    {"iteration_generator", "max_budget", "budget", "max"},
    {NULL, "min_budget", "budget", "min"},
    {NULL, "max_budget", "budget", "max"},
    {NULL, "eta", "iteration_generator", "eta"},
    {NULL, "n_iterations", "stop", "iterations"},
    {NULL, "iterations", "stop", "iterations"},
};

static enum hd_code move_alias(struct normalizer *normalizer, const struct alias *alias)
{
    struct hd_value *from = normalizer->root, *to = normalizer->root;
    if (alias->from_section != NULL)
        from = hd_value_get(normalizer->root, alias->from_section);
    const struct hd_value *given = hd_value_get(from, alias->from_key);
    if (given == NULL)
        return HD_OK;
    if (given->kind == HD_VALUE_NULL) { /* not given, under any name */
        hd_value_free(take(from, alias->from_key));
        return HD_OK;
    }
    enum hd_code code = HD_OK;
    if (alias->to_section != NULL)
        code = section(normalizer, alias->to_section, given->line, &to);
    if (code != HD_OK)
        return code;
    if (hd_read_member(to, alias->to_key) != NULL)
        return hd_read_fail(normalizer->reader, HD_E_INVALID, given, "", alias->from_key,
                            "is also given as %s%s%s; keep one of them",
                            alias->to_section != NULL ? alias->to_section : "",
                            alias->to_section != NULL ? "." : "", alias->to_key);
    if (hd_value_set(to, alias->to_key, take(from, alias->from_key)) != HD_OK)
        return hd_read_nomem(normalizer->reader);
    return HD_OK;
}

static enum hd_code move_aliases(struct normalizer *normalizer, const struct alias *aliases,
                                 size_t count)
{
    enum hd_code code = HD_OK;
    for (size_t i = 0; code == HD_OK && i < count; i++)
        code = move_alias(normalizer, &aliases[i]);
    return code;
}

/* name: text  ->  name: {key: text} */
static enum hd_code expand_shorthand(struct normalizer *normalizer, const char *name,
                                     const char *key)
{
    const struct hd_value *value = hd_value_get(normalizer->root, name);
    if (value == NULL || value->kind == HD_VALUE_OBJECT || value->kind == HD_VALUE_NULL ||
        value->kind == HD_VALUE_ARRAY)
        return HD_OK;
    int line = value->line;
    struct hd_value *object = hd_value_new_object();
    if (object == NULL)
        return hd_read_nomem(normalizer->reader);
    object->line = line;
    if (hd_value_set(object, key, take(normalizer->root, name)) != HD_OK) {
        hd_value_free(object);
        return hd_read_nomem(normalizer->reader);
    }
    if (hd_value_set(normalizer->root, name, object) != HD_OK)
        return hd_read_nomem(normalizer->reader);
    return HD_OK;
}

/* budget: 27 is one budget: both ends. */
static enum hd_code expand_budget(struct normalizer *normalizer)
{
    bool single = hd_value_is_number(hd_value_get(normalizer->root, "budget"));
    enum hd_code code = single ? expand_shorthand(normalizer, "budget", "max") : HD_OK;
    if (!single || code != HD_OK)
        return code;
    struct hd_value *object = hd_value_get(normalizer->root, "budget"), *min;
    code = hd_value_copy(hd_value_get(object, "max"), &min, normalizer->reader->err);
    if (code == HD_OK && hd_value_set(object, "min", min) != HD_OK)
        code = hd_read_nomem(normalizer->reader);
    return code;
}

static enum hd_code expand_shorthands(struct normalizer *normalizer)
{
    static const char *const names[] = {"objective", "sampler", "iteration_generator"};
    enum hd_code code = expand_budget(normalizer);
    for (size_t i = 0; code == HD_OK && i < HD_COUNT(names); i++)
        code = expand_shorthand(normalizer, names[i], "name");
    return code;
}

/* ---- the command line ---- */

static enum hd_code override(struct normalizer *normalizer, const char *section_name,
                             const char *key, struct hd_value *item)
{
    struct hd_value *object = normalizer->root;
    enum hd_code code = HD_OK;
    if (item == NULL)
        return hd_read_nomem(normalizer->reader);
    item->line = READ_LINE_COMMAND;
    if (section_name != NULL)
        code = section(normalizer, section_name, READ_LINE_COMMAND, &object);
    if (code != HD_OK) {
        hd_value_free(item);
        return code;
    }
    return hd_value_set(object, key, item) == HD_OK ? HD_OK : hd_read_nomem(normalizer->reader);
}

static enum hd_code override_text(struct normalizer *normalizer, const char *section_name,
                                  const char *key, const char *text)
{
    if (text == NULL)
        return HD_OK;
    return override(normalizer, section_name, key, hd_value_new_string(text));
}

static enum hd_code override_number(struct normalizer *normalizer, const char *section_name,
                                    const char *key, double number)
{
    bool given = number < 0 || number > 0;
    return given ? override(normalizer, section_name, key, hd_value_new_double(number)) : HD_OK;
}

/* Seeds use all 64 bits, integers of a tree only 63: a text holds the rest. */
static enum hd_code override_seed(struct normalizer *normalizer, uint64_t seed)
{
    char text[32];
    hd_format(text, sizeof(text), "%llu", (unsigned long long)seed);
    return override(normalizer, NULL, "seed", hd_value_new_string(text));
}

static enum hd_code override_queue(struct normalizer *normalizer,
                                   const struct hd_experiment_overrides *overrides)
{
    struct hd_value *sizes = hd_value_new_array();
    if (sizes == NULL || hd_value_append(sizes, hd_value_new_int(overrides->queue_min)) != HD_OK ||
        hd_value_append(sizes, hd_value_new_int(overrides->queue_max)) != HD_OK) {
        hd_value_free(sizes);
        return hd_read_nomem(normalizer->reader);
    }
    enum hd_code code = override(normalizer, NULL, "job_queue_sizes", sizes);
    if (code == HD_OK)
        code = override(normalizer, NULL, "dynamic_queue_size",
                        hd_value_new_bool(overrides->queue_dynamic));
    return code;
}

static enum hd_code override_time(struct normalizer *normalizer, int64_t time_ms)
{
    char text[READ_MS_TEXT_SIZE];
    hd_format_ms(text, sizeof(text), time_ms);
    return override_text(normalizer, "stop", "time", text);
}

/* Not an override: the directory of the file is where relative paths begin when it does not say. */
static enum hd_code default_base_dir(struct normalizer *normalizer, const char *base_dir)
{
    const struct hd_value *target = hd_value_get(normalizer->root, "target");
    bool map = target != NULL && target->kind == HD_VALUE_OBJECT;
    const struct hd_value *own = map ? hd_read_member(target, "base_dir") : NULL;
    return own != NULL ? HD_OK : override_text(normalizer, "target", "base_dir", base_dir);
}

static enum hd_code apply_overrides(struct normalizer *normalizer,
                                    const struct hd_experiment_overrides *overrides)
{
    enum hd_code code = override_text(normalizer, NULL, "name", overrides->name);
    if (code == HD_OK)
        code = override_text(normalizer, "target", "image", overrides->image);
    if (code == HD_OK)
        code = default_base_dir(normalizer, overrides->base_dir);
    if (code == HD_OK)
        code = override_number(normalizer, "budget", "min", overrides->budget_min);
    if (code == HD_OK)
        code = override_number(normalizer, "budget", "max", overrides->budget_max);
    if (code == HD_OK)
        code = override_number(normalizer, "iteration_generator", "eta", overrides->eta);
    if (code == HD_OK && overrides->iterations != 0)
        code = override(normalizer, "stop", "iterations", hd_value_new_int(overrides->iterations));
    if (code == HD_OK && overrides->time_ms != 0)
        code = override_time(normalizer, overrides->time_ms);
    if (code == HD_OK && overrides->has_seed)
        code = override_seed(normalizer, overrides->seed);
    if (code == HD_OK && overrides->has_queue)
        code = override_queue(normalizer, overrides);
    return code;
}

enum hd_code hd_experiment_normalize(const struct hd_reader *reader, const struct hd_value *value,
                                     const struct hd_experiment_overrides *overrides,
                                     struct hd_value **ret_value)
{
    struct normalizer normalizer = {.reader = reader};
    if (value->kind == HD_VALUE_NULL)
        return hd_fail(reader->err, HD_E_INVALID,
                       "%s: the file is empty; an experiment has at least target and space",
                       reader->file);
    if (value->kind != HD_VALUE_OBJECT)
        return hd_read_wrong_type(reader, value, "", "", "a map of sections (target, space, ...)");
    if (hd_value_copy(value, &normalizer.root, reader->err) != HD_OK)
        return hd_read_nomem(reader);
    enum hd_code code = move_aliases(&normalizer, section_aliases, HD_COUNT(section_aliases));
    if (code == HD_OK)
        code = expand_shorthands(&normalizer);
    if (code == HD_OK)
        code = move_aliases(&normalizer, key_aliases, HD_COUNT(key_aliases));
    if (code == HD_OK && overrides != NULL)
        code = apply_overrides(&normalizer, overrides);
    if (code != HD_OK) {
        hd_value_free(normalizer.root);
        return code;
    }
    *ret_value = normalizer.root;
    return HD_OK;
}
