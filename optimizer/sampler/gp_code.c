/* SPDX-License-Identifier: Apache-2.0 */
/* gp_code.c: configs as features. */
#include "gp_code.h"

#include <math.h>

#define INACTIVE_NUMBER 0.5
#define INACTIVE_OFFSET 0.86602540378443864676 /* with 0.5 beside it: distance 1 from the ends */
#define INACTIVE_CHOICE (-1.0)

static bool choice_like(const struct hd_param *param)
{
    switch (param->kind) {
    case HD_PARAM_CATEGORICAL:
    case HD_PARAM_BOOL:
    case HD_PARAM_CONSTANT:
        return true;
    case HD_PARAM_FLOAT:
    case HD_PARAM_INT:
    case HD_PARAM_ORDINAL:
        return false;
    }
    hd_assert(!"kind");
    return false;
}

enum hd_code hd_gp_code_init(struct hd_gp_code *code, const struct hd_history *history,
                             struct hd_err *err)
{
    const struct hd_space *space = history->space;
    size_t dimension = history->dimension;
    *code = (struct hd_gp_code){.history = history, .plain = space->forbidden_count == 0};
    code->features = hd_calloc(2 * dimension + 1, sizeof(*code->features));
    code->feature_of = hd_calloc(dimension + 1, sizeof(*code->feature_of));
    code->is_choice = hd_calloc(dimension + 1, sizeof(*code->is_choice));
    code->has_levels = hd_calloc(dimension + 1, sizeof(*code->has_levels));
    code->values = hd_calloc(space->param_count + 1, sizeof(*code->values));
    if (code->features == NULL || code->feature_of == NULL || code->is_choice == NULL ||
        code->has_levels == NULL || code->values == NULL) {
        hd_gp_code_release(code);
        return hd_fail(err, HD_E_NOMEM, "no memory for a model of %zu params", dimension);
    }
    uint32_t count = 0;
    for (size_t d = 0; d < dimension; d++) {
        const struct hd_param *param = &space->params[history->params[d]];
        bool choice = choice_like(param), conditional = param->condition_count > 0;
        code->plain &= !conditional;
        code->is_choice[d] = choice;
        code->has_levels[d] = isfinite(hd_param_levels(param));
        code->feature_of[d] = count;
        for (int i = 0; i < (conditional && !choice ? 2 : 1); i++)
            code->features[count++] =
                (struct hd_gp_feature){choice ? HD_GP_CHOICE : HD_GP_NUMBER, (uint32_t)d};
    }
    code->finite = isfinite(hd_space_size(space));
    code->shape = (struct hd_gp_shape){code->features, count, (uint32_t)dimension};
    return HD_OK;
}

void hd_gp_code_release(struct hd_gp_code *code)
{
    hd_free(code->features);
    hd_free(code->feature_of);
    hd_free(code->is_choice);
    hd_free(code->has_levels);
    hd_free(code->values);
    *code = (struct hd_gp_code){0};
}

static void encode(const struct hd_gp_code *code, size_t d, double unit, double *ret_features)
{
    uint32_t at = code->feature_of[d];
    uint32_t end =
        d + 1 < code->history->dimension ? code->feature_of[d + 1] : code->shape.feature_count;
    bool active = !isnan(unit);
    if (code->is_choice[d]) {
        ret_features[at] = active ? (double)(float)unit : INACTIVE_CHOICE;
        return;
    }
    ret_features[at] = active ? unit : INACTIVE_NUMBER;
    if (end - at == 2)
        ret_features[at + 1] = active ? 0 : INACTIVE_OFFSET;
}

void hd_gp_code_row(const struct hd_gp_code *code, const float *row, double *ret_features)
{
    for (size_t d = 0; d < code->history->dimension; d++)
        encode(code, d, (double)row[d], ret_features);
}

bool hd_gp_code_point(struct hd_gp_code *code, double *point, double *ret_features)
{
    const struct hd_history *history = code->history;
    for (size_t d = 0; d < history->dimension; d++) {
        if (code->has_levels[d]) {
            const struct hd_param *param = &history->space->params[history->params[d]];
            point[d] = hd_param_to_unit(param, hd_param_from_unit(param, point[d]));
        }
        encode(code, d, point[d], ret_features);
    }
    if (code->plain && !code->finite)
        return true;
    if (!hd_history_values_of(history, point, code->values) ||
        (code->finite && hd_history_has(history, code->values)))
        return false;
    for (size_t d = 0; d < history->dimension && !code->plain; d++) {
        if (isnan(code->values[history->params[d]]))
            encode(code, d, NAN, ret_features);
    }
    return true;
}

bool hd_gp_code_moves(const struct hd_gp_code *code, size_t dimension, const double *features)
{
    uint32_t at = code->feature_of[dimension];
    uint32_t end = dimension + 1 < code->history->dimension ? code->feature_of[dimension + 1]
                                                            : code->shape.feature_count;
    return !code->is_choice[dimension] && (end - at == 1 || features[at + 1] == 0);
}
