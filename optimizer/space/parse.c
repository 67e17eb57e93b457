/* SPDX-License-Identifier: Apache-2.0 */
/*
 * parse.c: reads the `space:` object of an experiment file.
 *
 * Every refusal says the file, the line, the path, what is wrong and what would be right.
 */
#include "parse.h"

#include <math.h>
#include <string.h>

static const char *const kind_names[] = {
    [HD_PARAM_FLOAT] = "float",
    [HD_PARAM_INT] = "int",
    [HD_PARAM_CATEGORICAL] = "categorical",
    [HD_PARAM_ORDINAL] = "ordinal",
    [HD_PARAM_BOOL] = "bool",
    [HD_PARAM_CONSTANT] = "constant",
};

const char *hd_param_kind_name(enum hd_param_kind kind)
{
    return kind_names[kind];
}

enum hd_code hd_parse_fail_at(const struct place *place, const struct hd_value *at, const char *key,
                              struct hd_err *err)
{
    if (err == NULL)
        return HD_E_INVALID;
    return hd_fail_in(err, "%s:%d: %s%s%s", place->name, at != NULL ? at->line : 0, place->path,
                      key != NULL ? "." : "", key != NULL ? key : "");
}

/* ---- keys ------------------------------------------------------------------------------- */

#define KEYS_MAX 16
static const char *const *keys_of(enum hd_param_kind kind)
{
    static const char *const number_keys[] = {"type",   "low",     "high",  "log",  "step", "q",
                                              "normal", "default", "prior", "when", NULL};
    static const char *const choice_keys[] = {"type",  "choices", "weights", "default",
                                              "prior", "when",    NULL};
    static const char *const ordinal_keys[] = {"type", "choices", "default", "prior", "when", NULL};
    static const char *const bool_keys[] = {"type", "default", "prior", "when", NULL};
    static const char *const constant_keys[] = {"type", "value", "when", NULL};
    switch (kind) {
    case HD_PARAM_FLOAT:
    case HD_PARAM_INT:
        return number_keys;
    case HD_PARAM_CATEGORICAL:
        return choice_keys;
    case HD_PARAM_ORDINAL:
        return ordinal_keys;
    case HD_PARAM_BOOL:
        return bool_keys;
    case HD_PARAM_CONSTANT:
        return constant_keys;
    }
    hd_assert(false && "kind");
    return NULL;
}

static bool is_condition_key(const char *key)
{
    static const char *const names[] = {"if", "condition", "conditions", "active"};
    for (size_t i = 0; i < HD_COUNT(names); i++) {
        if (hd_streq(key, names[i]))
            return true;
    }
    return false;
}

static enum hd_code check_keys(const struct place *place, const struct hd_value *object,
                               enum hd_param_kind kind, struct hd_err *err)
{
    const char *const *keys = keys_of(kind);
    size_t count = 0;
    while (keys[count] != NULL)
        count++;
    hd_assert(count <= KEYS_MAX);
    for (size_t i = 0; i < object->as.object.count; i++) {
        const char *key = object->as.object.keys[i];
        const struct hd_value *item = object->as.object.items[i];
        bool known = false;
        for (size_t j = 0; j < count && !known; j++)
            known = hd_streq(key, keys[j]);
        if (known)
            continue;
        if (is_condition_key(key))
            return FAIL_AT(place, item, key, HD_E_INVALID,
                           "unknown key; a condition is written when: {optimizer: [adam, sgd]}");
        const char *nearest = hd_nearest(key, keys, count);
        if (nearest != NULL)
            return FAIL_AT(place, item, key, HD_E_INVALID,
                           "unknown key of a param of type %s; did you mean \"%s\"?",
                           kind_names[kind], nearest);
        return FAIL_AT(place, item, key, HD_E_INVALID, "unknown key of a param of type %s",
                       kind_names[kind]);
    }
    return HD_OK;
}

/* ---- numbers ---------------------------------------------------------------------------- */

enum hd_code hd_parse_number_at(const struct place *place, const struct hd_value *object,
                                const char *key, bool required, bool whole, double *ret_number,
                                struct hd_err *err)
{
    const struct hd_value *item = hd_value_get(object, key);
    if (item == NULL && !required)
        return HD_OK;
    if (item == NULL)
        return FAIL_AT(place, object, NULL, HD_E_INVALID, "the key \"%s\" is missing", key);
    if (!hd_value_is_number(item))
        return FAIL_AT(place, item, key, HD_E_INVALID, "must be a number, not %s",
                       hd_value_kind_name(item->kind));
    double number = hd_value_number(item);
    if (!isfinite(number))
        return FAIL_AT(place, item, key, HD_E_INVALID, "must be finite");
    if (whole && (number != rint(number) || fabs(number) > INT_MAGNITUDE_MAX))
        return FAIL_AT(place, item, key, HD_E_INVALID,
                       "must be a whole number within 2^53 for a param of type int");
    *ret_number = number;
    return HD_OK;
}

static enum hd_code read_log(const struct place *place, const struct hd_value *object,
                             bool *ret_log, struct hd_err *err)
{
    const struct hd_value *item = hd_value_get(object, "log");
    if (item == NULL)
        return HD_OK;
    if (item->kind != HD_VALUE_BOOL)
        return FAIL_AT(place, item, "log", HD_E_INVALID, "must be true or false, not %s",
                       hd_value_kind_name(item->kind));
    *ret_log = item->as.boolean;
    return HD_OK;
}

/* The smallest power of ten that makes both numbers whole, or 0. */
static double decimal_scale(double low, double step)
{
    double scale = 1;
    for (int digits = 0; digits <= 15; digits++, scale *= 10) {
        bool small = fabs(low) * scale < INT_MAGNITUDE_MAX && step * scale < INT_MAGNITUDE_MAX;
        if (small && rint(low * scale) / scale == low && rint(step * scale) / scale == step)
            return scale;
    }
    return 0;
}

/* `q` is what other systems call it. */
static const char *step_key(const struct hd_value *object)
{
    return hd_value_get(object, "q") != NULL ? "q" : "step";
}

static enum hd_code check_range(const struct place *place, const struct hd_value *object,
                                struct hd_param *param, struct hd_err *err)
{
    char low[HD_DOUBLE_TEXT_SIZE], high[HD_DOUBLE_TEXT_SIZE];
    hd_format_double(low, sizeof(low), param->low);
    hd_format_double(high, sizeof(high), param->high);
    if (param->low > param->high)
        return FAIL_AT(place, hd_value_get(object, "low"), "low", HD_E_INVALID,
                       "the range is empty: low (%s) is above high (%s)", low, high);
    if (!isfinite(param->high - param->low))
        return FAIL_AT(place, hd_value_get(object, "high"), "high", HD_E_INVALID,
                       "the range is too wide for a double");
    if (param->log && param->low <= 0)
        return FAIL_AT(place, hd_value_get(object, "low"), "low", HD_E_INVALID,
                       "must be above 0 because log is true, but it is %s", low);
    const struct hd_value *step = hd_value_get(object, step_key(object));
    if (step != NULL && param->step <= 0)
        return FAIL_AT(place, step, step_key(object), HD_E_INVALID, "must be above 0");
    if (param->step != 0 && (param->high - param->low) / param->step > INT_MAGNITUDE_MAX)
        return FAIL_AT(place, step, step_key(object), HD_E_INVALID, "is too small for the range");
    return HD_OK;
}

static enum hd_code parse_number(const struct place *place, const struct hd_value *object,
                                 struct hd_param *param, struct hd_err *err)
{
    bool whole = param->kind == HD_PARAM_INT, normal = hd_value_get(object, "normal") != NULL;
    if (hd_value_get(object, "q") != NULL && hd_value_get(object, "step") != NULL)
        return FAIL_AT(place, hd_value_get(object, "q"), "q", HD_E_INVALID,
                       "is also given as step; keep one of them");
    enum hd_code code = hd_parse_number_at(place, object, "low", !normal, whole, &param->low, err);
    if (code == HD_OK)
        code = hd_parse_number_at(place, object, "high", !normal, whole, &param->high, err);
    param->step = whole ? 1 : 0;
    if (code == HD_OK)
        code = hd_parse_number_at(place, object, step_key(object), false, whole, &param->step, err);
    if (code == HD_OK)
        code = read_log(place, object, &param->log, err);
    if (code == HD_OK)
        code = hd_parse_normal(place, object, param, err);
    if (code == HD_OK)
        code = check_range(place, object, param, err);
    if (code == HD_OK && param->step != 0)
        param->step_scale = decimal_scale(param->low, param->step);
    return code;
}

/* ---- choices ---------------------------------------------------------------------------- */

static enum hd_code check_scalar(const struct place *place, const struct hd_value *item,
                                 const char *key, struct hd_err *err)
{
    if (item->kind == HD_VALUE_ARRAY || item->kind == HD_VALUE_OBJECT)
        return FAIL_AT(place, item, key, HD_E_INVALID,
                       "must be a scalar (text, number, true, false or null), not %s",
                       hd_value_kind_name(item->kind));
    if (item->kind == HD_VALUE_DOUBLE && !isfinite(item->as.number))
        return FAIL_AT(place, item, key, HD_E_INVALID, "must be finite");
    return HD_OK;
}

static enum hd_code add_choice(struct hd_param *param, const struct hd_value *item,
                               struct hd_err *err)
{
    struct hd_value *copy = NULL;
    enum hd_code code = hd_value_copy(item, &copy, err);
    if (code == HD_OK)
        param->choices[param->choice_count++] = copy;
    return code;
}

/* A hash under which equal scalars (1 and 1.0) agree. */
static uint64_t scalar_hash(const struct hd_value *value)
{
    switch (value->kind) {
    case HD_VALUE_NULL:
        return 1;
    case HD_VALUE_BOOL:
        return value->as.boolean ? 2 : 3;
    case HD_VALUE_INT:
    case HD_VALUE_DOUBLE:
        return hd_hash_double(HD_HASH_INIT, hd_value_number(value));
    case HD_VALUE_STRING:
        return hd_hash_text(HD_HASH_INIT, value->as.string);
    case HD_VALUE_ARRAY:
    case HD_VALUE_OBJECT:
        break;
    }
    hd_assert(false && "scalar");
    return 0;
}

/* Finds a choice that equals an earlier one, through a table of open addressing, so that ten
 * thousand choices cost ten thousand steps. */
static enum hd_code check_distinct(const struct place *place, const struct hd_param *param,
                                   struct hd_err *err)
{
    size_t size = 4;
    while (size < param->choice_count * 2)
        size *= 2;
    uint32_t *table = hd_calloc(size, sizeof(*table));
    if (table == NULL)
        return hd_fail(err, HD_E_NOMEM, "no memory for %zu choices", param->choice_count);
    enum hd_code code = HD_OK;
    for (size_t i = 0; code == HD_OK && i < param->choice_count; i++) {
        size_t slot = scalar_hash(param->choices[i]) & (size - 1);
        for (; table[slot] != 0; slot = (slot + 1) & (size - 1)) {
            if (!hd_value_equal(param->choices[table[slot] - 1], param->choices[i]))
                continue;
            code = FAIL_AT(place, param->choices[i], "choices", HD_E_INVALID,
                           "choice %zu is the same as choice %u", i + 1, table[slot]);
            break;
        }
        table[slot] = (uint32_t)(i + 1);
    }
    hd_free(table);
    return code;
}

static enum hd_code parse_choices(const struct place *place, const struct hd_value *object,
                                  struct hd_param *param, struct hd_err *err)
{
    const struct hd_value *choices = hd_value_get(object, "choices");
    if (choices == NULL)
        return FAIL_AT(place, object, NULL, HD_E_INVALID, "the key \"choices\" is missing");
    if (choices->kind != HD_VALUE_ARRAY || choices->as.array.count == 0)
        return FAIL_AT(place, choices, "choices", HD_E_INVALID,
                       "must be a list of at least one scalar");
    if (choices->as.array.count > HD_PARAM_CHOICES_MAX)
        return FAIL_AT(place, choices, "choices", HD_E_LIMIT, "at most %d choices are allowed",
                       HD_PARAM_CHOICES_MAX);
    param->choices = hd_calloc(choices->as.array.count, sizeof(struct hd_value *));
    if (param->choices == NULL)
        return hd_fail(err, HD_E_NOMEM, "no memory for the choices of %s", place->path);
    for (size_t i = 0; i < choices->as.array.count; i++) {
        const struct hd_value *item = choices->as.array.items[i];
        enum hd_code code = check_scalar(place, item, "choices", err);
        if (code == HD_OK)
            code = add_choice(param, item, err);
        if (code != HD_OK)
            return code;
    }
    enum hd_code code = check_distinct(place, param, err);
    return code == HD_OK ? hd_parse_weights(place, object, param, err) : code;
}

static enum hd_code parse_bool(struct hd_param *param, struct hd_err *err)
{
    param->choices = hd_calloc(2, sizeof(struct hd_value *));
    if (param->choices == NULL)
        return hd_fail(err, HD_E_NOMEM, "no memory for a param");
    for (int i = 0; i < 2; i++) {
        param->choices[i] = hd_value_new_bool(i == 1);
        if (param->choices[i] == NULL)
            return hd_fail(err, HD_E_NOMEM, "no memory for a param");
        param->choice_count++;
    }
    return HD_OK;
}

static enum hd_code parse_constant(const struct place *place, const struct hd_value *scalar,
                                   struct hd_param *param, struct hd_err *err)
{
    enum hd_code code = check_scalar(place, scalar, NULL, err);
    if (code != HD_OK)
        return code;
    param->choices = hd_calloc(1, sizeof(struct hd_value *));
    if (param->choices == NULL)
        return hd_fail(err, HD_E_NOMEM, "no memory for a param");
    return add_choice(param, scalar, err);
}

/* ---- one param -------------------------------------------------------------------------- */

static enum hd_code read_kind(const struct place *place, const struct hd_value *object,
                              enum hd_param_kind *ret_kind, struct hd_err *err)
{
    const struct hd_value *type = hd_value_get(object, "type");
    if (type == NULL)
        return FAIL_AT(place, object, NULL, HD_E_INVALID,
                       "the key \"type\" is missing (float, int, categorical, ordinal, bool or "
                       "constant)");
    if (type->kind != HD_VALUE_STRING)
        return FAIL_AT(place, type, "type", HD_E_INVALID, "must be text, not %s",
                       hd_value_kind_name(type->kind));
    for (size_t i = 0; i < HD_COUNT(kind_names); i++) {
        if (hd_streq(type->as.string, kind_names[i])) {
            *ret_kind = (enum hd_param_kind)i;
            return HD_OK;
        }
    }
    const char *nearest = hd_nearest(type->as.string, kind_names, HD_COUNT(kind_names));
    if (nearest != NULL)
        return FAIL_AT(place, type, "type", HD_E_INVALID, "unknown type \"%s\"; did you mean %s?",
                       type->as.string, nearest);
    return FAIL_AT(place, type, "type", HD_E_INVALID,
                   "unknown type \"%s\"; known are float, int, categorical, ordinal, bool and "
                   "constant",
                   type->as.string);
}

static enum hd_code parse_by_kind(const struct place *place, const struct hd_value *object,
                                  struct hd_param *param, struct hd_err *err)
{
    const struct hd_value *value;
    switch (param->kind) {
    case HD_PARAM_FLOAT:
    case HD_PARAM_INT:
        return parse_number(place, object, param, err);
    case HD_PARAM_CATEGORICAL:
    case HD_PARAM_ORDINAL:
        return parse_choices(place, object, param, err);
    case HD_PARAM_BOOL:
        return parse_bool(param, err);
    case HD_PARAM_CONSTANT:
        value = hd_value_get(object, "value");
        if (value == NULL)
            return FAIL_AT(place, object, NULL, HD_E_INVALID, "the key \"value\" is missing");
        return parse_constant(place, value, param, err);
    }
    hd_assert(false && "kind");
    return HD_E_INVALID;
}

static enum hd_code parse_default(const struct place *place, const struct hd_value *object,
                                  struct hd_param *param, struct hd_err *err)
{
    bool middle = param->kind == HD_PARAM_FLOAT || param->kind == HD_PARAM_INT;
    param->default_value = middle ? hd_param_from_unit(param, 0.5) : 0;
    const struct hd_value *item = hd_value_get(object, "default");
    if (item == NULL)
        return HD_OK;
    enum hd_code code = hd_param_from_value(param, item, &param->default_value, err);
    if (code != HD_OK) {
        hd_parse_fail_at(place, item, "default", err);
        return code;
    }
    param->has_default = true;
    return HD_OK;
}

static enum hd_code parse_object(const struct place *place, const struct hd_value *object,
                                 struct hd_param *param, struct hd_err *err)
{
    enum hd_code code = read_kind(place, object, &param->kind, err);
    if (code == HD_OK)
        code = check_keys(place, object, param->kind, err);
    if (code == HD_OK)
        code = parse_by_kind(place, object, param, err);
    if (code == HD_OK)
        code = parse_default(place, object, param, err);
    if (code == HD_OK)
        code = hd_parse_prior(place, object, param, err);
    return code;
}

static enum hd_code check_name(const struct place *place, const char *key,
                               const struct hd_value *item, struct hd_err *err)
{
    size_t size = strlen(key);
    if (hd_streq(key, "conditions"))
        return FAIL_AT(place, item, NULL, HD_E_INVALID,
                       "the name is reserved; a param's condition is its key when");
    if (size == 0)
        return FAIL_AT(place, item, NULL, HD_E_INVALID, "a param needs a name");
    if (size > HD_PARAM_NAME_MAX)
        return FAIL_AT(place, item, NULL, HD_E_LIMIT, "the name of a param has at most %d bytes",
                       HD_PARAM_NAME_MAX);
    for (size_t i = 0; i < size; i++) {
        unsigned char byte = (unsigned char)key[i];
        if (byte < 0x20 || byte == 0x7f)
            return FAIL_AT(place, item, NULL, HD_E_INVALID,
                           "the name of a param holds no control characters");
    }
    return HD_OK;
}

static enum hd_code parse_param(struct place *place, const char *prefix, const char *key,
                                const struct hd_value *item, struct hd_param *param,
                                struct hd_err *err)
{
    hd_format(place->path, sizeof(place->path), "%s%s%s", prefix, prefix[0] != '\0' ? "." : "",
              key);
    enum hd_code code = check_name(place, key, item, err);
    if (code != HD_OK)
        return code;
    param->name = hd_strdup(key);
    if (param->name == NULL)
        return hd_fail(err, HD_E_NOMEM, "no memory for param %s", key);
    if (item->kind == HD_VALUE_OBJECT)
        return parse_object(place, item, param, err);
    if (item->kind == HD_VALUE_ARRAY)
        return FAIL_AT(place, item, NULL, HD_E_INVALID,
                       "must be an object such as {type: categorical, choices: [...]}, or a "
                       "scalar for a constant");
    if (item->kind == HD_VALUE_NULL)
        return FAIL_AT(place, item, NULL, HD_E_INVALID,
                       "is empty; write {type: ...}, or a scalar for a constant");
    param->kind = HD_PARAM_CONSTANT;
    return parse_constant(place, item, param, err);
}

/* ---- the space -------------------------------------------------------------------------- */

static enum hd_code parse_params(const struct hd_value *value, const char *name, const char *path,
                                 struct hd_space *space, struct hd_err *err)
{
    struct place place = {.name = name};
    size_t count = value->as.object.count;
    space->params = hd_calloc(count + 1, sizeof(*space->params));
    space->order = hd_calloc(count + 1, sizeof(*space->order));
    space->witness = hd_calloc(count + 1, sizeof(*space->witness));
    if (space->params == NULL || space->order == NULL || space->witness == NULL)
        return hd_fail(err, HD_E_NOMEM, "no memory for %zu params", count);
    for (size_t i = 0; i < count; i++) {
        if (hd_streq(value->as.object.keys[i], "forbidden"))
            continue;
        struct hd_param *param = &space->params[space->param_count++];
        enum hd_code code = parse_param(&place, path, value->as.object.keys[i],
                                        value->as.object.items[i], param, err);
        if (code != HD_OK)
            return code;
        if (hd_param_is_free(param))
            space->free_count++;
    }
    return HD_OK;
}

enum hd_code hd_space_parse(const struct hd_value *value, const char *name, const char *path,
                            struct hd_space **ret_space, struct hd_err *err)
{
    struct place place = {.name = name};
    hd_copy_text(place.path, sizeof(place.path), path);
    if (value == NULL || value->kind != HD_VALUE_OBJECT)
        return FAIL_AT(&place, value, NULL, HD_E_INVALID,
                       "must be an object of params, such as {lr: {type: float, low: 0, high: 1}}");
    size_t count = value->as.object.count - (hd_value_get(value, "forbidden") != NULL ? 1 : 0);
    if (count == 0)
        return FAIL_AT(&place, value, NULL, HD_E_INVALID, "has no params");
    if (count > HD_SPACE_PARAMS_MAX)
        return FAIL_AT(&place, value, NULL, HD_E_LIMIT, "at most %d params are allowed",
                       HD_SPACE_PARAMS_MAX);
    struct hd_space *space = hd_calloc(1, sizeof(*space));
    if (space == NULL)
        return hd_fail(err, HD_E_NOMEM, "no memory for a space");
    enum hd_code code = parse_params(value, name, path, space, err);
    if (code == HD_OK)
        code = hd_parse_conditions(value, name, path, space, err);
    if (code != HD_OK) {
        hd_space_free(space);
        return code;
    }
    *ret_space = space;
    return HD_OK;
}
