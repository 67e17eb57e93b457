/* SPDX-License-Identifier: Apache-2.0 */
/*
 * param.c: one dimension: its levels, its unit interval, its scalars.
 *
 * Everything with levels (ints, stepped floats, choices) is a grid low + k * step; `struct grid`
 * is that view, so that the unit mapping is written once.
 */
#include "space_priv.h"

#include <math.h>

bool hd_param_has_choices(const struct hd_param *param)
{
    switch (param->kind) {
    case HD_PARAM_CATEGORICAL:
    case HD_PARAM_ORDINAL:
    case HD_PARAM_BOOL:
    case HD_PARAM_CONSTANT:
        return true;
    case HD_PARAM_FLOAT:
    case HD_PARAM_INT:
        return false;
    }
    hd_assert(false && "kind");
    return false;
}

double hd_param_levels(const struct hd_param *param)
{
    if (hd_param_has_choices(param))
        return (double)param->choice_count;
    if (param->low == param->high)
        return 1;
    if (param->step == 0)
        return INFINITY;
    /* The quotient of decimal fractions may miss its whole number by rounding: 0.3 / 0.1 < 3. */
    return floor((param->high - param->low) / param->step * (1 + 1e-12) + 1e-9) + 1;
}

bool hd_param_is_free(const struct hd_param *param)
{
    return hd_param_levels(param) > 1;
}

double hd_param_level_value(const struct hd_param *param, double level)
{
    if (hd_param_has_choices(param))
        return level;
    if (level == 0)
        return param->low;
    if (param->step_scale != 0)
        return (rint(param->low * param->step_scale) +
                level * rint(param->step * param->step_scale)) /
               param->step_scale;
    double value = param->low + level * param->step;
    return value < param->high ? value : param->high;
}

double hd_param_level_of(const struct hd_param *param, double value)
{
    if (hd_param_has_choices(param))
        return value;
    if (param->low == param->high)
        return 0;
    double level = rint((value - param->low) / param->step);
    double last = hd_param_levels(param) - 1;
    return level < 0 ? 0 : level > last ? last : level;
}

/* The interval that [0, 1] stands for, of values or of their logarithms: with half a step beyond
 * both ends. On a log scale the margin never reaches zero. */
struct interval {
    double low, high;
};

static struct interval param_interval(const struct hd_param *param)
{
    if (hd_param_has_choices(param))
        return (struct interval){-0.5, (double)param->choice_count - 0.5};
    double low = param->low, high = param->high;
    if (param->step != 0) {
        double margin = param->step / 2;
        double margin_low = param->log && margin > low / 2 ? low / 2 : margin;
        high = hd_param_level_value(param, hd_param_levels(param) - 1) + margin;
        low -= margin_low;
    }
    return param->log ? (struct interval){log(low), log(high)} : (struct interval){low, high};
}

static double clamp_unit(double unit)
{
    return unit > 0 ? (unit < 1 ? unit : 1) : 0;
}

static struct hd_normal normal_of(const struct hd_param *param, struct interval interval)
{
    struct hd_normal normal = {.mean = param->log ? log(param->mean) : param->mean,
                               .sd = param->sd,
                               .low = interval.low,
                               .high = interval.high};
    hd_normal_init(&normal);
    return normal;
}

static double to_unit_raw(const struct hd_param *param, struct interval interval, double value)
{
    double x = param->log ? log(value) : value;
    if (param->normal) {
        struct hd_normal normal = normal_of(param, interval);
        return clamp_unit(hd_normal_unit(&normal, x));
    }
    return clamp_unit((x - interval.low) / (interval.high - interval.low));
}

void hd_param_level_range(const struct hd_param *param, double value, double *ret_low,
                          double *ret_high)
{
    double levels = hd_param_levels(param);
    double level = hd_param_level_of(param, value);
    if (param->cumulative != NULL) {
        *ret_low = param->cumulative[(size_t)level];
        *ret_high = param->cumulative[(size_t)level + 1];
        return;
    }
    if (hd_param_has_choices(param) || levels == 1 || (!param->log && !param->normal)) {
        *ret_low = level / levels;
        *ret_high = (level + 1) / levels;
        return;
    }
    struct interval interval = param_interval(param);
    double centre = hd_param_level_value(param, level);
    *ret_low = level == 0 ? 0 : to_unit_raw(param, interval, centre - param->step / 2);
    *ret_high = level == levels - 1 ? 1 : to_unit_raw(param, interval, centre + param->step / 2);
}

double hd_param_to_unit(const struct hd_param *param, double value)
{
    if (isinf(hd_param_levels(param)))
        return to_unit_raw(param, param_interval(param), value);
    double low, high;
    hd_param_level_range(param, value, &low, &high);
    return (low + high) / 2;
}

static double normal_from_unit(const struct hd_param *param, double unit)
{
    struct hd_normal normal = normal_of(param, param_interval(param));
    double x = hd_normal_from_unit(&normal, unit);
    return param->log ? exp(x) : x;
}

static double continuous_from_unit(const struct hd_param *param, double unit)
{
    double value;
    if (param->normal)
        value = normal_from_unit(param, unit);
    else if (param->log)
        value = exp(log(param->low) * (1 - unit) + log(param->high) * unit);
    else
        value = param->low * (1 - unit) + param->high * unit;
    return value < param->low ? param->low : value > param->high ? param->high : value;
}

/* The choice whose share of [0, 1] holds the unit. */
static double weighted_level(const struct hd_param *param, double unit)
{
    size_t low = 0, high = param->choice_count;
    while (high - low > 1) {
        size_t middle = low + (high - low) / 2;
        if (param->cumulative[middle] <= unit)
            low = middle;
        else
            high = middle;
    }
    return (double)low;
}

double hd_param_from_unit(const struct hd_param *param, double unit)
{
    double levels = hd_param_levels(param);
    unit = clamp_unit(unit);
    if (levels == 1)
        return hd_param_level_value(param, 0);
    if (isinf(levels))
        return continuous_from_unit(param, unit);
    double level;
    if (param->cumulative != NULL) {
        level = weighted_level(param, unit);
    } else if (!hd_param_has_choices(param) && param->normal) {
        level = hd_param_level_of(param, normal_from_unit(param, unit));
    } else if (!hd_param_has_choices(param) && param->log) {
        struct interval interval = param_interval(param);
        double x = exp(interval.low * (1 - unit) + interval.high * unit);
        level = hd_param_level_of(param, x);
    } else {
        level = floor(unit * levels);
    }
    return hd_param_level_value(param, level < levels ? level : levels - 1);
}

/* ---- scalars ---------------------------------------------------------------------------- */

enum hd_code hd_param_to_value(const struct hd_param *param, double value,
                               struct hd_value **ret_value, struct hd_err *err)
{
    struct hd_value *scalar = NULL;
    if (hd_param_has_choices(param)) {
        hd_assert(value >= 0 && value < (double)param->choice_count);
        return hd_value_copy(param->choices[(size_t)value], ret_value, err);
    }
    if (param->kind == HD_PARAM_INT)
        scalar = hd_value_new_int((int64_t)value);
    else
        scalar = hd_value_new_double(value);
    if (scalar == NULL)
        return hd_fail(err, HD_E_NOMEM, "no memory for a value of %s", param->name);
    *ret_value = scalar;
    return HD_OK;
}

/* "12 is above high (10)": numbers as a person writes them. */
static enum hd_code refuse_number(const struct hd_param *param, double number, const char *what,
                                  double bound, struct hd_err *err)
{
    char number_text[HD_DOUBLE_TEXT_SIZE], bound_text[HD_DOUBLE_TEXT_SIZE];
    hd_format_double(number_text, sizeof(number_text), number);
    hd_format_double(bound_text, sizeof(bound_text), bound);
    return hd_fail(err, HD_E_INVALID, "%s of %s %s %s", number_text, param->name, what, bound_text);
}

enum hd_code hd_param_check_number(const struct hd_param *param, double number, double *ret_value,
                                   struct hd_err *err)
{
    if (isnan(number))
        return hd_fail(err, HD_E_INVALID, "NaN is no value for %s", param->name);
    if (number < param->low)
        return refuse_number(param, number, "is below its low bound", param->low, err);
    if (number > param->high)
        return refuse_number(param, number, "is above its high bound", param->high, err);
    double value = number;
    if (param->step != 0) {
        double level = hd_param_level_of(param, number);
        value = hd_param_level_value(param, level);
        if (fabs(value - number) > param->step * 1e-6)
            return refuse_number(param, number, "is not on its grid; the nearest value is", value,
                                 err);
    }
    *ret_value = value;
    return HD_OK;
}

static enum hd_code choice_from_value(const struct hd_param *param, const struct hd_value *value,
                                      double *ret_value, struct hd_err *err)
{
    struct hd_buf given;
    for (size_t i = 0; i < param->choice_count; i++) {
        if (hd_value_equal(param->choices[i], value)) {
            *ret_value = (double)i;
            return HD_OK;
        }
    }
    hd_buf_init(&given, 4096);
    enum hd_code code = hd_json_write(value, HD_JSON_COMPACT, &given, NULL);
    const char *text = code == HD_OK ? hd_buf_text(&given) : "this";
    if (param->kind == HD_PARAM_BOOL)
        code = hd_fail(err, HD_E_INVALID, "%s is no value for %s; it is true or false", text,
                       param->name);
    else if (param->kind == HD_PARAM_CONSTANT)
        code = hd_fail(err, HD_E_INVALID, "%s is not the constant value of %s", text, param->name);
    else
        code = hd_fail(err, HD_E_INVALID, "%s is not among the %zu choices of %s", text,
                       param->choice_count, param->name);
    hd_buf_release(&given);
    return code;
}

enum hd_code hd_param_from_value(const struct hd_param *param, const struct hd_value *value,
                                 double *ret_value, struct hd_err *err)
{
    hd_assert(value != NULL);
    if (hd_param_has_choices(param))
        return choice_from_value(param, value, ret_value, err);
    if (!hd_value_is_number(value))
        return hd_fail(err, HD_E_INVALID, "%s is a number, not %s", param->name,
                       hd_value_kind_name(value->kind));
    return hd_param_check_number(param, hd_value_number(value), ret_value, err);
}
