/* SPDX-License-Identifier: Apache-2.0 */
/* space.c: points of a space: sampling, conditions, checking, identity. */
#include "space_priv.h"

#include <math.h>

void hd_param_release(struct hd_param *param)
{
    for (size_t i = 0; i < param->choice_count; i++)
        hd_value_free(param->choices[i]);
    hd_free(param->choices);
    for (size_t i = 0; i < param->condition_count; i++)
        hd_free(param->conditions[i].values);
    hd_free(param->conditions);
    hd_free(param->name);
}

void hd_space_free(struct hd_space *space)
{
    if (space == NULL)
        return;
    for (size_t i = 0; i < space->param_count; i++)
        hd_param_release(&space->params[i]);
    hd_free(space->params);
    for (size_t i = 0; i < space->forbidden_count; i++) {
        for (size_t j = 0; j < space->forbidden[i].clause_count; j++)
            hd_free(space->forbidden[i].clauses[j].values);
        hd_free(space->forbidden[i].clauses);
    }
    hd_free(space->forbidden);
    hd_free(space);
}

double hd_space_size(const struct hd_space *space)
{
    double size = 1;
    for (size_t i = 0; i < space->param_count; i++)
        size *= hd_param_levels(&space->params[i]);
    return size;
}

/* ---- conditions ------------------------------------------------------------------------- */

/* NaN (an inactive parent) fulfils nothing. */
static bool clause_holds(const struct hd_condition *clause, const double *values)
{
    double value = values[clause->parent_index];
    switch (clause->op) {
    case HD_CONDITION_IN:
        for (size_t i = 0; i < clause->value_count; i++) {
            if (value == clause->values[i])
                return true;
        }
        return false;
    case HD_CONDITION_LESS:
        return value < clause->values[0];
    case HD_CONDITION_GREATER:
        return value > clause->values[0];
    }
    hd_assert(false && "op");
    return false;
}

static bool conditions_hold(const struct hd_param *param, const double *values)
{
    for (size_t i = 0; i < param->condition_count; i++) {
        if (!clause_holds(&param->conditions[i], values))
            return false;
    }
    return true;
}

void hd_space_deactivate(const struct hd_space *space, double *values)
{
    /* Values only ever become NaN, so this ends: at the latest after one pass a param. */
    bool changed = true;
    while (changed) {
        changed = false;
        for (size_t i = 0; i < space->param_count; i++) {
            if (!isnan(values[i]) && !conditions_hold(&space->params[i], values)) {
                values[i] = NAN;
                changed = true;
            }
        }
    }
}

static bool forbidden_met(const struct hd_forbidden *forbidden, const double *values)
{
    for (size_t i = 0; i < forbidden->clause_count; i++) {
        if (!clause_holds(&forbidden->clauses[i], values))
            return false;
    }
    return forbidden->clause_count > 0;
}

bool hd_space_finish(const struct hd_space *space, double *values)
{
    hd_space_deactivate(space, values);
    for (size_t i = 0; i < space->forbidden_count; i++) {
        if (forbidden_met(&space->forbidden[i], values))
            return false;
    }
    return true;
}

/* ---- making configs --------------------------------------------------------------------- */

void hd_space_sample(const struct hd_space *space, struct hd_rng *rng, double *ret_values)
{
    for (size_t i = 0; i < space->param_count; i++) {
        const struct hd_param *param = &space->params[i];
        ret_values[i] =
            hd_param_from_unit(param, hd_param_is_free(param) ? hd_rng_double(rng) : 0.5);
    }
    hd_space_deactivate(space, ret_values);
}

void hd_space_from_cube(const struct hd_space *space, const double *cube, double *ret_values)
{
    size_t free_index = 0;
    for (size_t i = 0; i < space->param_count; i++) {
        const struct hd_param *param = &space->params[i];
        ret_values[i] =
            hd_param_from_unit(param, hd_param_is_free(param) ? cube[free_index++] : 0.5);
    }
    hd_assert(free_index == space->free_count);
    hd_space_deactivate(space, ret_values);
}

void hd_space_default(const struct hd_space *space, double *ret_values)
{
    for (size_t i = 0; i < space->param_count; i++)
        ret_values[i] = space->params[i].default_value;
    hd_space_deactivate(space, ret_values);
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

enum hd_code hd_space_check(const struct hd_space *space, const double *values, struct hd_err *err)
{
    for (size_t i = 0; i < space->param_count; i++) {
        const struct hd_param *param = &space->params[i];
        bool active = conditions_hold(param, values);
        if (!active && !isnan(values[i]))
            return hd_fail(err, HD_E_INVALID, "%s is inactive but has a value", param->name);
        enum hd_code code = active ? check_param(param, values[i], err) : HD_OK;
        if (code != HD_OK)
            return code;
    }
    for (size_t i = 0; i < space->forbidden_count; i++) {
        if (forbidden_met(&space->forbidden[i], values))
            return hd_fail(err, HD_E_INVALID, "the config meets forbidden clause %zu", i + 1);
    }
    return HD_OK;
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
    for (size_t i = 0; i < space->param_count; i++) {
        const struct hd_param *param = &space->params[i];
        bool active = conditions_hold(param, values);
        if (active && isnan(values[i]))
            return hd_fail(err, HD_E_INVALID, "the config gives no value for %s", param->name);
        /* A constant that is left out takes its value only where it is active. */
        if (!active && hd_value_get(value, param->name) == NULL)
            values[i] = NAN;
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
