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

static bool is_whole(double number)
{
    return number >= 1.0 && number == floor(number);
}

static enum hd_code check_rungs(const struct hd_iter_gen_spec *spec, struct hd_err *err)
{
    uint32_t count = spec->rung_count;
    if (count > HD_RUNGS_MAX)
        return hd_fail(err, HD_E_LIMIT, "at most %d rungs are possible", HD_RUNGS_MAX);
    for (uint32_t k = 0; k < count; k++) {
        if (!isfinite(spec->rungs[k]) || spec->rungs[k] <= (k > 0 ? spec->rungs[k - 1] : 0.0))
            return hd_fail(err, HD_E_INVALID,
                           "rungs: finite numbers above 0 that rise are expected");
        if (spec->budget_integer && !is_whole(spec->rungs[k]))
            return hd_fail(err, HD_E_INVALID, "rungs: whole numbers are expected");
    }
    if (count > 0 &&
        (spec->rungs[0] != spec->budget_min || spec->rungs[count - 1] != spec->budget_max))
        return hd_fail(err, HD_E_INVALID,
                       "rungs: the first is the minimum budget, the last the maximum budget");
    return HD_OK;
}

static enum hd_code check_row(const struct hd_iter_gen_spec *spec, uint32_t index,
                              struct hd_err *err)
{
    const struct hd_bracket_row *row = &spec->table[index];
    if (row->rung_count < 1 || row->rung_count > HD_TABLE_RUNGS_MAX)
        return hd_fail(err, HD_E_LIMIT, "bracket %u: 1 to %d rungs are possible", index,
                       HD_TABLE_RUNGS_MAX);
    for (uint32_t k = 0; k < row->rung_count; k++) {
        double before = k > 0 ? row->budgets[k - 1] : 0.0;
        if (!isfinite(row->budgets[k]) || row->budgets[k] <= before ||
            row->budgets[k] < spec->budget_min || row->budgets[k] > spec->budget_max)
            return hd_fail(err, HD_E_INVALID,
                           "bracket %u: budgets that rise, between the minimum and the maximum "
                           "budget, are expected",
                           index);
        if (spec->budget_integer && !is_whole(row->budgets[k]))
            return hd_fail(err, HD_E_INVALID, "bracket %u: whole budgets are expected", index);
        if (row->counts[k] < 1 || row->counts[k] > HD_RUNG_CONFIGS_MAX ||
            (k > 0 && row->counts[k] > row->counts[k - 1]))
            return hd_fail(err, HD_E_INVALID,
                           "bracket %u: counts from 1 to %u that do not rise are expected", index,
                           HD_RUNG_CONFIGS_MAX);
    }
    return HD_OK;
}

static enum hd_code check_table(const struct hd_iter_gen_spec *spec, struct hd_err *err)
{
    if (spec->table_count > HD_TABLE_BRACKETS_MAX)
        return hd_fail(err, HD_E_LIMIT, "at most %d brackets are possible", HD_TABLE_BRACKETS_MAX);
    for (uint32_t i = 0; i < spec->table_count; i++) {
        enum hd_code code = check_row(spec, i, err);
        if (code != HD_OK)
            return code;
    }
    return HD_OK;
}

static enum hd_code check_asynchronous(const struct hd_iter_gen_spec *spec, struct hd_err *err)
{
    char text[HD_DOUBLE_TEXT_SIZE];
    hd_format_double(text, sizeof(text), spec->promote_fraction);
    if (!(spec->promote_fraction >= 0.0 && spec->promote_fraction <= 1.0))
        return hd_fail(err, HD_E_INVALID,
                       "promote_fraction is %s: a share above 0 and at most 1 is expected", text);
    if (spec->type != HD_ASHA_TYPE_PROMOTION && spec->type != HD_ASHA_TYPE_STOPPING)
        return hd_fail(err, HD_E_INVALID,
                       "unknown type %d: \"promotion\" or \"stopping\" is expected",
                       (int)spec->type);
    if (spec->table_count > 0)
        return hd_fail(err, HD_E_INVALID,
                       "%s takes a number of brackets; a table of them is for successive_halving "
                       "and hyperband",
                       spec->name);
    return HD_OK;
}

static enum hd_code check_objectives(const struct hd_iter_gen_spec *spec, struct hd_err *err)
{
    if (spec->objective_count > HD_OBJECTIVES_MAX)
        return hd_fail(err, HD_E_LIMIT, "%u objectives: at most %u are allowed",
                       spec->objective_count, HD_OBJECTIVES_MAX);
    if (spec->objective_count <= 1 && !spec->constrained)
        return HD_OK;
    if (spec->early_stopping.rule != HD_STOPPING_RULE_NONE)
        return hd_fail(err, HD_E_INVALID,
                       "early stopping judges one loss on its way; several objectives and "
                       "constraints are known at the end only");
    if (spec->type == HD_ASHA_TYPE_STOPPING)
        return hd_fail(err, HD_E_INVALID,
                       "type stopping judges one loss on its way; with several objectives or "
                       "constraints take type promotion");
    return HD_OK;
}

static enum hd_code check_stopping(const struct hd_iter_gen_spec *spec, struct hd_err *err)
{
    const struct hd_early_stopping *stopping = &spec->early_stopping;
    switch (stopping->rule) {
    case HD_STOPPING_RULE_NONE:
    case HD_STOPPING_RULE_MEDIAN:
    case HD_STOPPING_RULE_CURVE:
        break;
    }
    if (!(stopping->grace >= 0.0 && stopping->grace <= spec->budget_max))
        return hd_fail(err, HD_E_INVALID,
                       "early stopping: the grace must be a budget, at most the maximum budget");
    if (!(stopping->optimism >= 0.0 && isfinite(stopping->optimism)))
        return hd_fail(err, HD_E_INVALID,
                       "early stopping: the optimism must be a finite number above 0");
    return HD_OK;
}

static enum hd_code check_ladder(const struct hd_iter_gen_spec *spec, struct hd_err *err)
{
    char text[HD_DOUBLE_TEXT_SIZE];
    hd_format_double(text, sizeof(text), spec->eta);
    if (!isfinite(spec->eta) || spec->eta < 2.0)
        return hd_fail(err, HD_E_INVALID, "eta is %s: a finite number of at least 2 is expected",
                       text);
    if (spec->rule != HD_BRACKET_RULE_HPBANDSTER && spec->rule != HD_BRACKET_RULE_PAPER)
        return hd_fail(err, HD_E_INVALID,
                       "unknown bracket rule %d: \"hpbandster\" or \"paper\" is expected",
                       (int)spec->rule);
    enum hd_code code = check_budgets(spec, err);
    if (code == HD_OK && spec->budget_integer &&
        !(is_whole(spec->budget_min) && is_whole(spec->budget_max)))
        code = hd_fail(err, HD_E_INVALID, "whole budgets are asked for: min and max must be whole");
    if (code == HD_OK)
        code = check_rungs(spec, err);
    if (code == HD_OK)
        code = check_table(spec, err);
    return code != HD_OK ? code : check_sizes(spec, err);
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
    enum hd_code code = check_stopping(spec, err);
    if (code == HD_OK)
        code = check_objectives(spec, err);
    if (code != HD_OK || !kind->uses_ladder)
        return code;
    code = check_ladder(spec, err);
    if (code == HD_OK && kind->engine == &hd_iter_engine_asynchronous)
        code = check_asynchronous(spec, err);
    return code;
}

uint32_t hd_iter_gen_cycle(const struct hd_iter_gen_spec *spec)
{
    const struct hd_iter_kind *kind = hd_iter_kind_find(spec->name);
    hd_assert(kind != NULL);
    if (kind->uses_ladder && spec->table_count > 0)
        return spec->table_count;
    return kind->cycle(spec);
}

void hd_iter_gen_plan(const struct hd_iter_gen_spec *spec, uint32_t iteration,
                      struct hd_bracket_plan *ret_plan)
{
    const struct hd_iter_kind *kind = hd_iter_kind_find(spec->name);
    hd_assert(kind != NULL);
    if (!kind->uses_ladder || spec->table_count == 0) {
        kind->plan(spec, iteration, ret_plan);
        return;
    }
    const struct hd_bracket_row *row = &spec->table[iteration % spec->table_count];
    struct hd_bracket_plan plan = {.rung_count = row->rung_count};
    for (uint32_t k = 0; k < row->rung_count; k++) {
        plan.counts[k] = row->counts[k];
        plan.budgets[k] = row->budgets[k];
    }
    *ret_plan = plan;
}
