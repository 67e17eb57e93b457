/* SPDX-License-Identifier: Apache-2.0 */
/* spec.c: which kinds exist, what a spec may say, and its plans. */
#include "kind.h"

#include <math.h>

static const struct hd_iter_kind *const kinds[] = {
    &hd_iter_kind_full, &hd_iter_kind_successive_halving, &hd_iter_kind_hyperband,
    &hd_iter_kind_asha, &hd_iter_kind_async_hyperband,
};

static const char *const kind_names[] = {"full", "successive_halving", "hyperband",
                                         "asha", "async_hyperband",    NULL};

const char *const *hd_iter_gen_names(void)
{
    return kind_names;
}

const struct hd_iter_kind *hd_iter_kind_find(const char *name)
{
    for (size_t i = 0; i < HD_COUNT(kinds); i++) {
        if (hd_streq(kinds[i]->name, name))
            return kinds[i];
    }
    return NULL;
}

static enum hd_code fail_unknown_name(const char *name, struct hd_err *err)
{
    const char *nearest = hd_nearest(name, kind_names, HD_COUNT(kind_names) - 1);
    if (nearest != NULL)
        return hd_fail(err, HD_E_INVALID,
                       "unknown iteration generator \"%s\": did you mean \"%s\"?", name, nearest);
    return hd_fail(err, HD_E_INVALID,
                   "unknown iteration generator \"%s\": one of full, successive_halving, "
                   "hyperband, asha, async_hyperband is expected",
                   name);
}

static enum hd_code check_budgets(const struct hd_iter_gen_spec *spec, struct hd_err *err)
{
    char low[HD_DOUBLE_TEXT_SIZE], high[HD_DOUBLE_TEXT_SIZE];
    hd_format_double(low, sizeof(low), spec->budget_min);
    hd_format_double(high, sizeof(high), spec->budget_max);
    if (!isfinite(spec->budget_min) || spec->budget_min <= 0.0)
        return hd_fail(err, HD_E_INVALID,
                       "the minimum budget is %s: a finite number above 0 is expected", low);
    if (spec->budget_min > spec->budget_max)
        return hd_fail(err, HD_E_INVALID,
                       "the minimum budget %s is above the maximum budget %s: swap or raise them",
                       low, high);
    return HD_OK;
}

static enum hd_code check_sizes(const struct hd_iter_gen_spec *spec, struct hd_err *err)
{
    uint32_t rungs = hd_ladder_rungs(spec);
    if (rungs > HD_RUNGS_MAX)
        return hd_fail(err, HD_E_LIMIT,
                       "more than %d rungs between the budgets: raise the minimum budget or eta",
                       HD_RUNGS_MAX);
    for (uint32_t bracket_rungs = rungs; bracket_rungs > 0; bracket_rungs--) {
        double count = hd_ladder_start_count(spec, rungs, bracket_rungs);
        if (!(count <= (double)HD_RUNG_CONFIGS_MAX))
            return hd_fail(err, HD_E_LIMIT,
                           "a bracket would start %.0f configs, more than the %u allowed: raise "
                           "the minimum budget",
                           count, HD_RUNG_CONFIGS_MAX);
    }
    return HD_OK;
}

enum hd_code hd_iter_gen_spec_check(const struct hd_iter_gen_spec *spec, struct hd_err *err)
{
    const struct hd_iter_kind *kind = hd_iter_kind_find(spec->name);
    char text[HD_DOUBLE_TEXT_SIZE];
    if (kind == NULL)
        return fail_unknown_name(spec->name, err);
    hd_format_double(text, sizeof(text), spec->budget_max);
    if (!isfinite(spec->budget_max) || spec->budget_max <= 0.0)
        return hd_fail(err, HD_E_INVALID,
                       "the maximum budget is %s: a finite number above 0 is expected", text);
    if (!kind->uses_ladder)
        return HD_OK;
    hd_format_double(text, sizeof(text), spec->eta);
    if (!isfinite(spec->eta) || spec->eta < 2.0)
        return hd_fail(err, HD_E_INVALID, "eta is %s: a finite number of at least 2 is expected",
                       text);
    if (spec->rule != HD_BRACKET_RULE_HPBANDSTER && spec->rule != HD_BRACKET_RULE_PAPER)
        return hd_fail(err, HD_E_INVALID,
                       "unknown bracket rule %d: \"hpbandster\" or \"paper\" is expected",
                       (int)spec->rule);
    hd_format_double(text, sizeof(text), spec->promote_fraction);
    if (!(spec->promote_fraction >= 0.0 && spec->promote_fraction <= 1.0))
        return hd_fail(err, HD_E_INVALID,
                       "promote_fraction is %s: a share above 0 and at most 1 is expected", text);
    if (spec->type != HD_ASHA_TYPE_PROMOTION && spec->type != HD_ASHA_TYPE_STOPPING)
        return hd_fail(err, HD_E_INVALID,
                       "unknown type %d: \"promotion\" or \"stopping\" is expected",
                       (int)spec->type);
    enum hd_code code = check_budgets(spec, err);
    return code != HD_OK ? code : check_sizes(spec, err);
}

uint32_t hd_iter_gen_cycle(const struct hd_iter_gen_spec *spec)
{
    const struct hd_iter_kind *kind = hd_iter_kind_find(spec->name);
    hd_assert(kind != NULL);
    return kind->cycle(spec);
}

void hd_iter_gen_plan(const struct hd_iter_gen_spec *spec, uint32_t iteration,
                      struct hd_bracket_plan *ret_plan)
{
    const struct hd_iter_kind *kind = hd_iter_kind_find(spec->name);
    hd_assert(kind != NULL);
    kind->plan(spec, iteration, ret_plan);
}
