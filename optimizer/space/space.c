/* SPDX-License-Identifier: Apache-2.0 */
/* space.c: points of a space: checking, identity, configs as trees. */
#include "space_priv.h"

#include <math.h>

void hd_param_release(struct hd_param *param)
{
    for (size_t i = 0; i < param->choice_count; i++)
        hd_value_free(param->choices[i]);
    hd_free(param->choices);
    hd_conditions_free(param->conditions, param->condition_count);
    hd_free(param->weights);
    hd_free(param->cumulative);
    hd_free(param->name);
}

void hd_space_free(struct hd_space *space)
{
    if (space == NULL)
        return;
    for (size_t i = 0; i < space->param_count; i++)
        hd_param_release(&space->params[i]);
    hd_free(space->params);
    for (size_t i = 0; i < space->forbidden_count; i++)
        hd_conditions_free(space->forbidden[i].conditions, space->forbidden[i].condition_count);
    hd_free(space->forbidden);
    hd_free(space->order);
    hd_free(space->witness);
    hd_free(space);
}

double hd_space_size(const struct hd_space *space)
{
    return space->size;
}

/* ---- checking and identity -------------------------------------------------------------- */

static enum hd_code check_param(const struct hd_param *param, double value, struct hd_err *err)
{
    double exact = value;
    if (param->kind == HD_PARAM_FLOAT || param->kind == HD_PARAM_INT) {
        enum hd_code code = hd_param_check_number(param, value, &exact, err);
        if (code != HD_OK)
            return code;
    } else if (!(value >= 0 && value < (double)param->choice_count && value == floor(value))) {
        return hd_fail(err, HD_E_INVALID, "%s: no choice has this index", param->name);
    }
    if (exact != value)
        return hd_fail(err, HD_E_INVALID, "%s: the value is beside its grid", param->name);
    return HD_OK;
}

static enum hd_code refuse_inactive(const struct hd_space *space, const struct hd_param *param,
                                    struct hd_err *err)
{
    struct hd_buf text;
    hd_buf_init(&text, HD_ERR_TEXT_MAX);
    (void)!hd_conditions_write(space, param->conditions, param->condition_count, &text, NULL);
    enum hd_code code =
        hd_fail(err, HD_E_INVALID, "%s is inactive but has a value; it is active when %s",
                param->name, hd_buf_text(&text));
    hd_buf_release(&text);
    return code;
}

static enum hd_code refuse_forbidden(const struct hd_space *space, size_t clause,
                                     struct hd_err *err)
{
    struct hd_buf text;
    hd_buf_init(&text, HD_ERR_TEXT_MAX);
    (void)!hd_conditions_write(space, space->forbidden[clause].conditions,
                               space->forbidden[clause].condition_count, &text, NULL);
    enum hd_code code = hd_fail(err, HD_E_INVALID, "the config meets forbidden clause %zu: %s",
                                clause + 1, hd_buf_text(&text));
    hd_buf_release(&text);
    return code;
}

enum hd_code hd_space_check(const struct hd_space *space, const double *values, struct hd_err *err)
{
    for (size_t i = 0; i < space->param_count; i++) {
        const struct hd_param *param = &space->params[i];
        bool active = hd_conditions_hold(param->conditions, param->condition_count, values);
        if (!active && !isnan(values[i]))
            return refuse_inactive(space, param, err);
        enum hd_code code = active ? check_param(param, values[i], err) : HD_OK;
        if (code != HD_OK)
            return code;
    }
    size_t clause = 0;
    return hd_forbidden_next(space, values, &clause) ? refuse_forbidden(space, clause, err) : HD_OK;
}

uint64_t hd_config_hash(const struct hd_space *space, const double *values)
{
    uint64_t hash = HD_HASH_INIT;
    for (size_t i = 0; i < space->param_count; i++) {
        if (hd_param_is_free(&space->params[i]))
            hash = hd_hash_double(hash, values[i]);
    }
    return hash;
}

bool hd_config_equal(const struct hd_space *space, const double *values_a, const double *values_b)
{
    for (size_t i = 0; i < space->param_count; i++) {
        bool both_inactive = isnan(values_a[i]) && isnan(values_b[i]);
        if (!both_inactive && values_a[i] != values_b[i])
            return false;
    }
    return true;
}

/* ---- configs as trees ------------------------------------------------------------------- */

enum hd_code hd_config_to_value(const struct hd_space *space, const double *values,
                                struct hd_value **ret_value, struct hd_err *err)
{
    struct hd_value *object = hd_value_new_object();
    if (object == NULL)
        return hd_fail(err, HD_E_NOMEM, "no memory for a config");
    for (size_t i = 0; i < space->param_count; i++) {
        struct hd_value *scalar = NULL;
        if (isnan(values[i]))
            continue;
        enum hd_code code = hd_param_to_value(&space->params[i], values[i], &scalar, err);
        if (code == HD_OK) {
            code = hd_value_set(object, space->params[i].name, scalar);
            if (code != HD_OK)
                code = hd_fail(err, code, "no memory for a config");
        }
        if (code != HD_OK) {
            hd_value_free(object);
            return code;
        }
    }
    *ret_value = object;
    return HD_OK;
}

enum hd_code hd_config_to_json(const struct hd_space *space, const double *values,
                               struct hd_buf *out, struct hd_err *err)
{
    struct hd_value *object = NULL;
    enum hd_code code = hd_config_to_value(space, values, &object, err);
    if (code == HD_OK)
        code = hd_json_write(object, HD_JSON_COMPACT, out, err);
    hd_value_free(object);
    return code;
}

static enum hd_code refuse_unknown(const struct hd_space *space, const struct hd_value *value,
                                   struct hd_err *err)
{
    const char *names[HD_SPACE_PARAMS_MAX];
    for (size_t i = 0; i < space->param_count; i++)
        names[i] = space->params[i].name;
    for (size_t i = 0; i < value->as.object.count; i++) {
        const char *key = value->as.object.keys[i];
        bool known = false;
        for (size_t j = 0; j < space->param_count && !known; j++)
            known = hd_streq(key, names[j]);
        if (known)
            continue;
        const char *nearest = hd_nearest(key, names, space->param_count);
        return hd_fail(err, HD_E_INVALID, "the space has no param \"%s\"%s%s%s", key,
                       nearest != NULL ? "; did you mean \"" : "", nearest != NULL ? nearest : "",
                       nearest != NULL ? "\"?" : "");
    }
    return HD_OK;
}

static enum hd_code values_from_object(const struct hd_space *space, const struct hd_value *value,
                                       double *values, struct hd_err *err)
{
    for (size_t i = 0; i < space->param_count; i++) {
        const struct hd_param *param = &space->params[i];
        const struct hd_value *item = hd_value_get(value, param->name);
        values[i] = param->kind == HD_PARAM_CONSTANT ? 0 : NAN;
        enum hd_code code =
            item != NULL ? hd_param_from_value(param, item, &values[i], err) : HD_OK;
        if (code != HD_OK)
            return code;
    }
    /* Parents first: a constant that is left out takes its value only where it is active. */
    for (size_t i = 0; i < space->param_count; i++) {
        size_t index = space->order[i];
        const struct hd_param *param = &space->params[index];
        bool given = hd_value_get(value, param->name) != NULL;
        bool active = hd_conditions_hold(param->conditions, param->condition_count, values);
        if (active && isnan(values[index]))
            return hd_fail(err, HD_E_INVALID, "the config gives no value for %s", param->name);
        if (!active && given)
            return refuse_inactive(space, param, err);
        if (!active)
            values[index] = NAN;
    }
    return hd_space_check(space, values, err);
}

enum hd_code hd_config_from_value(const struct hd_space *space, const struct hd_value *value,
                                  double *ret_values, struct hd_err *err)
{
    if (value == NULL || value->kind != HD_VALUE_OBJECT)
        return hd_fail(err, HD_E_INVALID, "a config is an object of param names and values");
    enum hd_code code = refuse_unknown(space, value, err);
    if (code != HD_OK)
        return code;
    double *values = hd_calloc(space->param_count + 1, sizeof(*values));
    if (values == NULL)
        return hd_fail(err, HD_E_NOMEM, "no memory for a config");
    code = values_from_object(space, value, values, err);
    for (size_t i = 0; code == HD_OK && i < space->param_count; i++)
        ret_values[i] = values[i];
    hd_free(values);
    return code;
}
