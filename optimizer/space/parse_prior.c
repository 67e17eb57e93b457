/* SPDX-License-Identifier: Apache-2.0 */
/* parse_prior.c: distributions that are not uniform, and what experts believe. */
#include "parse.h"

#include <math.h>
#include <string.h>

/* Where only `normal` is given the bounds are so many deviations away. */
#define DEVIATIONS 4
#define DEVIATION_RANGES_MAX 1000.0 /* beyond, a normal is a uniform */
#define DEVIATION_PART_MIN 1e-6     /* of the range */
#define WEIGHT_PART_MIN 1e-9        /* of the sum */

const char *hd_confidence_name(enum hd_confidence confidence)
{
    switch (confidence) {
    case HD_CONFIDENCE_LOW:
        return "low";
    case HD_CONFIDENCE_MEDIUM:
        return "medium";
    case HD_CONFIDENCE_HIGH:
        return "high";
    }
    hd_assert(false && "confidence");
    return "";
}

/* Refuses any key but the two. */
static enum hd_code check_two_keys(const struct place *place, const struct hd_value *object,
                                   const char *first, const char *second, struct hd_err *err)
{
    for (size_t i = 0; i < object->as.object.count; i++) {
        const char *key = object->as.object.keys[i];
        if (!hd_streq(key, first) && !hd_streq(key, second))
            return FAIL_AT(place, object->as.object.items[i], key, HD_E_INVALID,
                           "unknown key; known are %s and %s", first, second);
    }
    return HD_OK;
}

static void enter(const struct place *place, const char *key, struct place *ret_inner)
{
    *ret_inner = *place;
    hd_format(ret_inner->path, sizeof(ret_inner->path), "%s.%s", place->path, key);
}

/* ---- normal -------------------------------------------------------------------------------- */

/* Bounds at DEVIATIONS deviations: outward to whole numbers, inward to whole steps. */
static void imply_bounds(struct hd_param *param, bool has_low, bool has_high)
{
    double low, high, reach = DEVIATIONS * param->sd;
    if (param->log) {
        low = param->mean * exp(-reach);
        high = param->mean * exp(reach);
    } else {
        if (param->kind == HD_PARAM_FLOAT && param->step != 0)
            reach = floor(reach / param->step) * param->step;
        low = param->mean - reach;
        high = param->mean + reach;
    }
    if (param->kind == HD_PARAM_INT) {
        low = param->log && low < 1 ? 1 : floor(low);
        high = ceil(high);
    }
    if (!has_low)
        param->low = low;
    if (!has_high)
        param->high = high;
}

static enum hd_code check_normal(const struct place *place, const struct hd_value *object,
                                 const struct hd_param *param, struct hd_err *err)
{
    const struct hd_value *mean = hd_value_get(object, "mean"), *sd = hd_value_get(object, "sd");
    if (!(param->sd > 0))
        return FAIL_AT(place, sd, "sd", HD_E_INVALID, "must be above 0");
    if (param->log && !(param->mean > 0))
        return FAIL_AT(place, mean, "mean", HD_E_INVALID, "must be above 0 because log is true");
    return HD_OK;
}

/* Needs the bounds. Steps and whole numbers widen the interval a little; that is no matter here. */
static enum hd_code check_normal_range(const struct place *place, const struct hd_value *object,
                                       const struct hd_param *param, struct hd_err *err)
{
    const struct hd_value *mean = hd_value_get(object, "mean"), *sd = hd_value_get(object, "sd");
    if (param->low > param->high || (param->log && param->low <= 0) || param->low == param->high)
        return HD_OK; /* told by the check of the range, or of no effect */
    if (!isfinite(param->low) || !isfinite(param->high) ||
        (param->kind == HD_PARAM_INT &&
         fmax(fabs(param->low), fabs(param->high)) > INT_MAGNITUDE_MAX))
        return FAIL_AT(place, sd, "sd", HD_E_INVALID,
                       "is too large for bounds to follow from it; give low and high");
    if (param->mean < param->low || param->mean > param->high)
        return FAIL_AT(place, mean, "mean", HD_E_INVALID, "must lie between low and high");
    double range = param->log ? log(param->high / param->low) : param->high - param->low;
    if (param->sd > DEVIATION_RANGES_MAX * range)
        return FAIL_AT(place, sd, "sd", HD_E_INVALID,
                       "is more than %g times the range: leave normal out for a uniform "
                       "distribution",
                       DEVIATION_RANGES_MAX);
    if (param->sd < DEVIATION_PART_MIN * range)
        return FAIL_AT(place, sd, "sd", HD_E_INVALID,
                       "is less than %g of the range: draw low and high closer together",
                       DEVIATION_PART_MIN);
    return HD_OK;
}

enum hd_code hd_parse_normal(const struct place *place, const struct hd_value *object,
                             struct hd_param *param, struct hd_err *err)
{
    const struct hd_value *normal = hd_value_get(object, "normal");
    struct place inner;
    if (normal == NULL)
        return HD_OK;
    if (normal->kind != HD_VALUE_OBJECT)
        return FAIL_AT(place, normal, "normal", HD_E_INVALID,
                       "must be a map such as {mean: 0.5, sd: 0.1}");
    enter(place, "normal", &inner);
    enum hd_code code = check_two_keys(&inner, normal, "mean", "sd", err);
    if (code == HD_OK)
        code = hd_parse_number_at(&inner, normal, "mean", true, false, &param->mean, err);
    if (code == HD_OK)
        code = hd_parse_number_at(&inner, normal, "sd", true, false, &param->sd, err);
    if (code == HD_OK)
        code = check_normal(&inner, normal, param, err);
    if (code != HD_OK)
        return code;
    param->normal = true;
    imply_bounds(param, hd_value_get(object, "low") != NULL, hd_value_get(object, "high") != NULL);
    return check_normal_range(&inner, normal, param, err);
}

/* ---- weights -------------------------------------------------------------------------------- */

static enum hd_code read_weights(const struct place *place, const struct hd_value *list,
                                 struct hd_param *param, double *ret_sum, struct hd_err *err)
{
    *ret_sum = 0;
    for (size_t i = 0; i < param->choice_count; i++) {
        const struct hd_value *item = list->as.array.items[i];
        double weight = hd_value_number(item);
        if (!(weight > 0) || !isfinite(weight))
            return FAIL_AT(place, item, "weights", HD_E_INVALID,
                           "must be numbers above 0; a choice that is never wanted is left out");
        param->weights[i] = weight;
        *ret_sum += weight;
    }
    for (size_t i = 0; i < param->choice_count; i++)
        if (!isfinite(*ret_sum) || param->weights[i] < WEIGHT_PART_MIN * *ret_sum)
            return FAIL_AT(place, list, "weights", HD_E_INVALID,
                           "weight %zu is less than a billionth of the sum; leave the choice out",
                           i + 1);
    return HD_OK;
}

enum hd_code hd_parse_weights(const struct place *place, const struct hd_value *object,
                              struct hd_param *param, struct hd_err *err)
{
    const struct hd_value *list = hd_value_get(object, "weights");
    double sum, before = 0;
    if (list == NULL)
        return HD_OK;
    if (list->kind != HD_VALUE_ARRAY || list->as.array.count != param->choice_count)
        return FAIL_AT(place, list, "weights", HD_E_INVALID,
                       "must be a list of %zu numbers, one for each choice", param->choice_count);
    param->weights = hd_calloc(param->choice_count, sizeof(double));
    param->cumulative = hd_calloc(param->choice_count + 1, sizeof(double));
    if (param->weights == NULL || param->cumulative == NULL)
        return hd_fail(err, HD_E_NOMEM, "no memory for the weights of %s", place->path);
    enum hd_code code = read_weights(place, list, param, &sum, err);
    for (size_t i = 0; i < param->choice_count && code == HD_OK; i++) {
        param->cumulative[i] = before / sum;
        before += param->weights[i];
    }
    param->cumulative[param->choice_count] = 1;
    return code;
}

/* ---- prior ----------------------------------------------------------------------------------- */

static enum hd_code read_confidence(const struct place *place, const struct hd_value *prior,
                                    struct hd_param *param, struct hd_err *err)
{
    const struct hd_value *item = hd_value_get(prior, "confidence");
    param->prior_confidence = HD_CONFIDENCE_MEDIUM;
    if (item == NULL)
        return HD_OK;
    for (int i = HD_CONFIDENCE_LOW; i <= HD_CONFIDENCE_HIGH; i++) {
        enum hd_confidence confidence = (enum hd_confidence)i;
        if (item->kind != HD_VALUE_STRING ||
            !hd_streq(item->as.string, hd_confidence_name(confidence)))
            continue;
        param->prior_confidence = confidence;
        return HD_OK;
    }
    return FAIL_AT(place, item, "confidence", HD_E_INVALID, "must be low, medium or high");
}

enum hd_code hd_parse_prior(const struct place *place, const struct hd_value *object,
                            struct hd_param *param, struct hd_err *err)
{
    const struct hd_value *prior = hd_value_get(object, "prior");
    struct place inner;
    if (prior == NULL)
        return HD_OK;
    if (prior->kind != HD_VALUE_OBJECT || hd_value_get(prior, "center") == NULL)
        return FAIL_AT(place, prior, "prior", HD_E_INVALID,
                       "must be a map such as {center: 0.01, confidence: medium}");
    enter(place, "prior", &inner);
    enum hd_code code = check_two_keys(&inner, prior, "center", "confidence", err);
    if (code != HD_OK)
        return code;
    const struct hd_value *center = hd_value_get(prior, "center");
    code = hd_param_from_value(param, center, &param->prior_center, err);
    if (code != HD_OK) {
        hd_parse_fail_at(&inner, center, "center", err);
        return code;
    }
    param->has_prior = true;
    return read_confidence(&inner, prior, param, err);
}
