/* SPDX-License-Identifier: Apache-2.0 */
/* describe.c: a space as a tree, the difference of two, and its hash. */
#include "space_priv.h"

#include <math.h>

/* Accumulates set() calls; after the first failure the rest are dropped. */
struct description {
    struct hd_value *object;
    enum hd_code code;
};

static void put(struct description *description, const char *key, struct hd_value *item)
{
    if (description->code == HD_OK)
        description->code = hd_value_set(description->object, key, item);
    else
        hd_value_free(item);
}

static struct hd_value *number_of(const struct hd_param *param, double number)
{
    return param->kind == HD_PARAM_INT ? hd_value_new_int((int64_t)number)
                                       : hd_value_new_double(number);
}

static void put_choices(struct description *description, const struct hd_param *param)
{
    struct hd_value *array = hd_value_new_array();
    if (array == NULL)
        description->code = HD_E_NOMEM;
    for (size_t i = 0; description->code == HD_OK && i < param->choice_count; i++) {
        struct hd_value *copy = NULL;
        description->code = hd_value_copy(param->choices[i], &copy, NULL);
        if (description->code == HD_OK)
            description->code = hd_value_append(array, copy);
    }
    put(description, "choices", array);
}

static void put_body(struct description *description, const struct hd_param *param)
{
    struct hd_value *copy = NULL;
    switch (param->kind) {
    case HD_PARAM_FLOAT:
    case HD_PARAM_INT:
        put(description, "low", number_of(param, param->low));
        put(description, "high", number_of(param, param->high));
        if (param->log)
            put(description, "log", hd_value_new_bool(true));
        if (param->step != 0 && (param->kind == HD_PARAM_FLOAT || param->step != 1))
            put(description, "step", number_of(param, param->step));
        return;
    case HD_PARAM_CATEGORICAL:
    case HD_PARAM_ORDINAL:
        put_choices(description, param);
        return;
    case HD_PARAM_BOOL:
        return;
    case HD_PARAM_CONSTANT:
        if (description->code == HD_OK)
            description->code = hd_value_copy(param->choices[0], &copy, NULL);
        put(description, "value", copy);
        return;
    }
    hd_assert(false && "kind");
}

enum hd_code hd_param_describe(const struct hd_param *param, struct hd_value **ret_value,
                               struct hd_err *err)
{
    struct description description = {.object = hd_value_new_object()};
    struct hd_value *scalar = NULL;
    if (description.object == NULL)
        description.code = HD_E_NOMEM;
    put(&description, "type", hd_value_new_string(hd_param_kind_name(param->kind)));
    put_body(&description, param);
    if (param->has_default && description.code == HD_OK) {
        description.code = hd_param_to_value(param, param->default_value, &scalar, NULL);
        put(&description, "default", scalar);
    }
    if (description.code != HD_OK) {
        hd_value_free(description.object);
        return hd_fail(err, description.code, "no memory to describe param %s", param->name);
    }
    *ret_value = description.object;
    return HD_OK;
}

enum hd_code hd_space_describe(const struct hd_space *space, struct hd_value **ret_value,
                               struct hd_err *err)
{
    struct hd_value *object = hd_value_new_object();
    if (object == NULL)
        return hd_fail(err, HD_E_NOMEM, "no memory to describe a space");
    for (size_t i = 0; i < space->param_count; i++) {
        struct hd_value *param = NULL;
        enum hd_code code = hd_param_describe(&space->params[i], &param, err);
        if (code == HD_OK) {
            code = hd_value_set(object, space->params[i].name, param);
            if (code != HD_OK)
                hd_fail(err, code, "no memory to describe a space");
        }
        if (code != HD_OK) {
            hd_value_free(object);
            return code;
        }
    }
    *ret_value = object;
    return HD_OK;
}

/* ---- difference ------------------------------------------------------------------------- */

static const struct hd_param *find_param(const struct hd_space *space, const char *name)
{
    for (size_t i = 0; i < space->param_count; i++) {
        if (hd_streq(space->params[i].name, name))
            return &space->params[i];
    }
    return NULL;
}

static enum hd_code write_param(const struct hd_param *param, struct hd_buf *out,
                                struct hd_err *err)
{
    struct hd_value *description = NULL;
    enum hd_code code = hd_param_describe(param, &description, err);
    if (code == HD_OK)
        code = hd_json_write(description, HD_JSON_COMPACT, out, err);
    hd_value_free(description);
    return code;
}

static enum hd_code write_line(const struct hd_param *before, const struct hd_param *after,
                               struct hd_buf *out, struct hd_err *err)
{
    const char *name = before != NULL ? before->name : after->name;
    const char *what = before == NULL ? "added" : after == NULL ? "removed" : "changed";
    enum hd_code code = hd_buf_printf(out, err, "%s: %s ", name, what);
    if (code == HD_OK && before != NULL)
        code = write_param(before, out, err);
    if (code == HD_OK && before != NULL && after != NULL)
        code = hd_buf_puts(out, " -> ", err);
    if (code == HD_OK && after != NULL)
        code = write_param(after, out, err);
    if (code == HD_OK)
        code = hd_buf_puts(out, "\n", err);
    return code;
}

/* Configs are stored by position, so another order is another space. */
static bool same_order(const struct hd_space *before, const struct hd_space *after)
{
    if (before->param_count != after->param_count)
        return true; /* the lines above say enough */
    for (size_t i = 0; i < before->param_count; i++) {
        if (!hd_streq(before->params[i].name, after->params[i].name))
            return false;
    }
    return true;
}

enum hd_code hd_space_diff(const struct hd_space *before, const struct hd_space *after,
                           struct hd_buf *out, struct hd_err *err)
{
    size_t lines = 0;
    for (size_t i = 0; i < before->param_count; i++) {
        const struct hd_param *other = find_param(after, before->params[i].name);
        if (other != NULL && hd_param_same(&before->params[i], other))
            continue;
        enum hd_code code = write_line(&before->params[i], other, out, err);
        if (code != HD_OK)
            return code;
        lines++;
    }
    for (size_t i = 0; i < after->param_count; i++) {
        if (find_param(before, after->params[i].name) != NULL)
            continue;
        enum hd_code code = write_line(NULL, &after->params[i], out, err);
        if (code != HD_OK)
            return code;
        lines++;
    }
    if (lines == 0 && !same_order(before, after))
        return hd_buf_puts(out, "the params stand in another order\n", err);
    return HD_OK;
}

/* ---- identity --------------------------------------------------------------------------- */

static uint64_t hash_choice(uint64_t hash, const struct hd_value *value)
{
    hash = hd_hash_u64(hash, (uint64_t)value->kind);
    if (value->kind == HD_VALUE_STRING)
        return hd_hash_text(hash, value->as.string);
    if (value->kind == HD_VALUE_BOOL)
        return hd_hash_u64(hash, value->as.boolean ? 1 : 0);
    if (value->kind == HD_VALUE_INT)
        return hd_hash_u64(hash, (uint64_t)value->as.integer);
    return hd_hash_double(hash, hd_value_number(value));
}

static uint64_t hash_clauses(uint64_t hash, const struct hd_condition *clauses, size_t count)
{
    hash = hd_hash_u64(hash, count);
    for (size_t i = 0; i < count; i++) {
        hash = hd_hash_u64(hash, clauses[i].parent_index);
        hash = hd_hash_u64(hash, (uint64_t)clauses[i].op);
        hash = hd_hash_u64(hash, clauses[i].value_count);
        for (size_t j = 0; j < clauses[i].value_count; j++)
            hash = hd_hash_double(hash, clauses[i].values[j]);
    }
    return hash;
}

static uint64_t hash_param(uint64_t hash, const struct hd_param *param)
{
    hash = hd_hash_text(hash, param->name);
    hash = hd_hash_u64(hash, (uint64_t)param->kind);
    hash = hd_hash_double(hash, param->low);
    hash = hd_hash_double(hash, param->high);
    hash = hd_hash_double(hash, param->step);
    hash = hd_hash_u64(hash, param->log ? 1 : 0);
    hash = hd_hash_u64(hash, param->has_default ? 1 : 0);
    hash = hd_hash_double(hash, param->default_value);
    hash = hd_hash_u64(hash, param->choice_count);
    for (size_t i = 0; i < param->choice_count; i++)
        hash = hash_choice(hash, param->choices[i]);
    return hash_clauses(hash, param->conditions, param->condition_count);
}

bool hd_param_same(const struct hd_param *a, const struct hd_param *b)
{
    return hash_param(HD_HASH_INIT, a) == hash_param(HD_HASH_INIT, b);
}

uint64_t hd_space_hash(const struct hd_space *space)
{
    uint64_t hash = hd_hash_u64(HD_HASH_INIT, space->param_count);
    for (size_t i = 0; i < space->param_count; i++)
        hash = hash_param(hash, &space->params[i]);
    hash = hd_hash_u64(hash, space->forbidden_count);
    for (size_t i = 0; i < space->forbidden_count; i++)
        hash = hash_clauses(hash, space->forbidden[i].clauses, space->forbidden[i].clause_count);
    return hash;
}
