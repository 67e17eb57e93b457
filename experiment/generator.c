/* SPDX-License-Identifier: Apache-2.0 */
/* generator.c: the iteration_generator part: name, ladder, own rungs and brackets, stopping. */
#include "describe.h"

#include <math.h>

static const char path[] = "iteration_generator";
static const char *const rules[] = {"hpbandster", "paper"};
static const char *const types[] = {"promotion", "stopping"};
static const char *const stopping_rules[] = {"none", "median", "curve"};

#define NAMES_MAX 16

/* What a file may say: the generators, and "auto", which stands for one of them. */
static size_t list_names(const char *names[NAMES_MAX])
{
    size_t count = 0;
    names[count++] = "auto";
    for (const char *const *own = hd_iter_gen_names(); *own != NULL; own++) {
        hd_assert(count < NAMES_MAX);
        names[count++] = *own;
    }
    return count;
}

/* HyperBand and SuccessiveHalving are the spellings of the older systems. */
static const char *known_generator(const char *given)
{
    static const char *const old[][2] = {{"HyperBand", "hyperband"},
                                         {"Hyperband", "hyperband"},
                                         {"SuccessiveHalving", "successive_halving"},
                                         {"Full", "full"},
                                         {"ASHA", "asha"},
                                         {"hyperband_async", "async_hyperband"}};
    for (size_t i = 0; i < HD_COUNT(old); i++)
        if (hd_streq(given, old[i][0]))
            return old[i][1];
    return given;
}

#define AUTO_DELAY_RESULTS 20
#define AUTO_OPENING 20
#define AUTO_RUNGS 6 /* with fewer of them the lowest one is the minimum budget itself */

/* A ladder from the top ends above the minimum budget in most cases. Where it is short, much is
 * seen for little at the minimum itself. */
static void lower_first_rung(struct hd_iter_gen_spec *spec)
{
    struct hd_err ignored;
    struct hd_bracket_plan plan;
    if (hd_iter_gen_spec_check(spec, &ignored) != HD_OK)
        return; /* the caller says what is wrong */
    hd_iter_gen_plan(spec, 0, &plan);
    if (plan.rung_count < 2 || plan.rung_count >= AUTO_RUNGS ||
        !(plan.budgets[0] > spec->budget_min))
        return;
    spec->rung_count = plan.rung_count;
    for (uint32_t k = 0; k < plan.rung_count; k++)
        spec->rungs[k] = plan.budgets[k];
    spec->rungs[0] = spec->budget_min;
}

/* What "auto" stands for with several budgets: the measured best of the asynchronous generators for
 * model-based samplers. A small eta loses less to a rung that ranks badly; the delay keeps the
 * first few results of a rung from promoting too many, the opening from promoting what is not known
 * to be good (docs/optimizers.md). Whole budgets stay whole unless the file says otherwise: an
 * epoch and a half is no epoch. */
static void choose_auto(const struct hd_value *root, const struct hd_value *object,
                        struct hd_iter_gen_spec *spec)
{
    const struct hd_value *budget = hd_read_member(root, "budget");
    if (budget == NULL || hd_read_member(budget, "integer") == NULL)
        spec->budget_integer = spec->budget_min == floor(spec->budget_min) &&
                               spec->budget_max == floor(spec->budget_max);
    hd_assert(hd_copy_text(spec->name, sizeof(spec->name), "asha"));
    spec->eta = 2;
    spec->delayed = true;
    spec->delay_results = AUTO_DELAY_RESULTS;
    spec->opening = AUTO_OPENING;
    bool own = spec->rung_count > 0 || spec->table_count > 0 ||
               (object != NULL && hd_read_member(object, "eta") != NULL);
    if (!own)
        lower_first_rung(spec);
}

static enum hd_code parse_name(const struct hd_reader *reader, const struct hd_value *root,
                               const struct hd_value *object, struct hd_experiment *experiment)
{
    struct hd_iter_gen_spec *spec = &experiment->iter_gen;
    const char *names[NAMES_MAX];
    size_t count = list_names(names), index = 0;
    const struct hd_value *name = hd_read_member(object, "name");
    const char *known = spec->budget_min < spec->budget_max ? "auto" : "full";
    if (name == NULL && spec->table_count > 0)
        known = "hyperband";
    if (name != NULL) {
        if (name->kind == HD_VALUE_STRING)
            known = known_generator(name->as.string);
        while (index < count && !hd_streq(names[index], known))
            index++;
        if (name->kind != HD_VALUE_STRING || index == count) /* tells what is wrong */
            return hd_read_choice(reader, object, path, "name", names, count, &index);
        if (hd_streq(known, "auto") && !(spec->budget_min < spec->budget_max))
            known = "full";
    }
    if (hd_streq(known, "auto")) {
        choose_auto(root, object, spec);
        return HD_OK;
    }
    hd_assert(hd_copy_text(spec->name, sizeof(spec->name), known));
    if (!hd_streq(known, "full") && !experiment->budget_given)
        return hd_read_fail(reader, HD_E_INVALID, object, path, "name",
                            "%s needs budget: {min: ..., max: ...}", known);
    return HD_OK;
}

/* ---- own rungs and brackets ---- */

/* Budgets that a list names are the run's, unless it gives its own. */
static void widen_budget(struct hd_experiment *experiment, double budget, bool first)
{
    struct hd_iter_gen_spec *spec = &experiment->iter_gen;
    if (first || budget < spec->budget_min)
        spec->budget_min = budget;
    if (first || budget > spec->budget_max)
        spec->budget_max = budget;
}

static enum hd_code parse_rungs(const struct hd_reader *reader, const struct hd_value *object,
                                struct hd_experiment *experiment)
{
    struct hd_iter_gen_spec *spec = &experiment->iter_gen;
    const struct hd_value *list = hd_read_member(object, "rungs");
    if (list == NULL)
        return HD_OK;
    if (list->kind != HD_VALUE_ARRAY)
        return hd_read_wrong_type(reader, list, path, "rungs", "a list of budgets");
    size_t count = list->as.array.count;
    if (count < 1 || count > HD_RUNGS_MAX)
        return hd_read_fail(reader, HD_E_INVALID, list, path, "rungs",
                            "a list of 1 to %d budgets is expected", HD_RUNGS_MAX);
    for (size_t k = 0; k < count; k++) {
        spec->rungs[k] = hd_value_number(list->as.array.items[k]);
        if (!isfinite(spec->rungs[k]) || spec->rungs[k] <= 0.0)
            return hd_read_fail(reader, HD_E_INVALID, list, path, "rungs",
                                "entry %zu is not a number above 0", k + 1);
        if (!experiment->budget_given)
            widen_budget(experiment, spec->rungs[k], k == 0);
    }
    spec->rung_count = (uint32_t)count;
    experiment->budget_given = true;
    return HD_OK;
}

static bool read_rung(const struct hd_value *pair, uint32_t *ret_count, double *ret_budget)
{
    if (pair->kind != HD_VALUE_ARRAY || pair->as.array.count != 2)
        return false;
    double count = hd_value_number(pair->as.array.items[0]);
    *ret_budget = hd_value_number(pair->as.array.items[1]);
    if (!(count >= 1.0 && count <= HD_RUNG_CONFIGS_MAX && count == floor(count)))
        return false;
    *ret_count = (uint32_t)count;
    return isfinite(*ret_budget) && *ret_budget > 0.0;
}

static enum hd_code parse_table(const struct hd_reader *reader, const struct hd_value *table,
                                struct hd_experiment *experiment)
{
    struct hd_iter_gen_spec *spec = &experiment->iter_gen;
    static const char wanted[] = "a list of brackets [[configs, budget], ...] is expected";
    bool given = experiment->budget_given;
    size_t count = table->as.array.count;
    if (count < 1 || count > HD_TABLE_BRACKETS_MAX)
        return hd_read_fail(reader, HD_E_INVALID, table, path, "brackets",
                            "1 to %d of them are possible", HD_TABLE_BRACKETS_MAX);
    for (size_t i = 0; i < count; i++) {
        const struct hd_value *bracket = table->as.array.items[i];
        struct hd_bracket_row *row = &spec->table[i];
        if (bracket->kind != HD_VALUE_ARRAY || bracket->as.array.count < 1 ||
            bracket->as.array.count > HD_TABLE_RUNGS_MAX)
            return hd_read_fail(reader, HD_E_INVALID, table, path, "brackets",
                                "%s, of 1 to %d rungs each", wanted, HD_TABLE_RUNGS_MAX);
        row->rung_count = (uint32_t)bracket->as.array.count;
        for (uint32_t k = 0; k < row->rung_count; k++) {
            if (!read_rung(bracket->as.array.items[k], &row->counts[k], &row->budgets[k]))
                return hd_read_fail(reader, HD_E_INVALID, table, path, "brackets", wanted);
            if (!given)
                widen_budget(experiment, row->budgets[k], i == 0 && k == 0);
        }
    }
    spec->table_count = (uint32_t)count;
    experiment->budget_given = true;
    return HD_OK;
}

static enum hd_code parse_brackets(const struct hd_reader *reader, const struct hd_value *object,
                                   struct hd_experiment *experiment)
{
    const struct hd_value *value = hd_read_member(object, "brackets");
    if (value != NULL && value->kind == HD_VALUE_ARRAY)
        return parse_table(reader, value, experiment);
    return hd_read_u32(reader, object, path, "brackets", 1, HD_RUNGS_MAX,
                       &experiment->iter_gen.brackets);
}

/* ---- stopping ---- */

static enum hd_code parse_stopping(const struct hd_reader *reader, const struct hd_value *object,
                                   struct hd_early_stopping *stopping)
{
    static const char *const names[] = {"rule", "grace", "curves_min", "optimism"};
    static const char where[] = "iteration_generator.early_stopping";
    const struct hd_value *map;
    size_t rule = 0;
    enum hd_code code = hd_read_object(reader, object, path, "early_stopping", &map);
    if (code != HD_OK || map == NULL)
        return code;
    code = hd_read_keys(reader, map, where, names, HD_COUNT(names));
    if (code == HD_OK)
        code = hd_read_choice(reader, map, where, "rule", stopping_rules, HD_COUNT(stopping_rules),
                              &rule);
    stopping->rule = (enum hd_stopping_rule)rule;
    if (code == HD_OK)
        code = hd_read_double(reader, map, where, "grace", &stopping->grace);
    if (code == HD_OK)
        code = hd_read_u32(reader, map, where, "curves_min", 1, 1000000, &stopping->curves_min);
    if (code == HD_OK)
        code = hd_read_double(reader, map, where, "optimism", &stopping->optimism);
    return code;
}

static enum hd_code parse_asynchronous(const struct hd_reader *reader,
                                       const struct hd_value *object, struct hd_iter_gen_spec *spec)
{
    size_t type = 0;
    enum hd_code code = hd_read_choice(reader, object, path, "type", types, HD_COUNT(types), &type);
    spec->type = type == 1 ? HD_ASHA_TYPE_STOPPING : HD_ASHA_TYPE_PROMOTION;
    if (code == HD_OK)
        code = hd_read_bool(reader, object, path, "delayed", &spec->delayed);
    if (code == HD_OK)
        code = hd_read_u32(reader, object, path, "delay_results", 0, 1000000, &spec->delay_results);
    if (code == HD_OK)
        code = hd_read_u32(reader, object, path, "opening", 0, 1000000, &spec->opening);
    if (code == HD_OK)
        code = hd_read_bool(reader, object, path, "learned_brackets", &spec->learned_brackets);
    if (code == HD_OK)
        code =
            hd_read_bool(reader, object, path, "raise_uninformative", &spec->raise_uninformative);
    if (code == HD_OK)
        code = hd_read_double(reader, object, path, "promote_fraction", &spec->promote_fraction);
    return code;
}

/* What never promotes has nothing to hold back: an opening in the file is a misunderstanding. That
 * of `auto` ends with a type that the file gives. */
static enum hd_code check_opening(const struct hd_reader *reader, const struct hd_value *object,
                                  struct hd_iter_gen_spec *spec)
{
    bool asynchronous = hd_iter_gen_is_asynchronous(spec);
    if (spec->opening == 0 || (asynchronous && spec->type == HD_ASHA_TYPE_PROMOTION))
        return HD_OK;
    if (hd_read_member(object, "opening") == NULL) {
        spec->opening = 0;
        return HD_OK;
    }
    return hd_read_fail(reader, HD_E_INVALID, hd_value_get(object, "opening"), path, "opening",
                        "holds back promotions without barriers, and %s has none: leave it out, or "
                        "take asha or async_hyperband with type promotion",
                        asynchronous ? "type stopping" : spec->name);
}

enum hd_code hd_generator_parse(const struct hd_reader *reader, const struct hd_value *root,
                                struct hd_experiment *experiment)
{
    static const char *const names[] = {"name",
                                        "eta",
                                        "rule",
                                        "rungs",
                                        "brackets",
                                        "early_stopping",
                                        "type",
                                        "delayed",
                                        "delay_results",
                                        "opening",
                                        "learned_brackets",
                                        "raise_uninformative",
                                        "promote_fraction"};
    struct hd_iter_gen_spec *spec = &experiment->iter_gen;
    const struct hd_value *object;
    size_t rule = 0;
    spec->eta = 3;
    enum hd_code code = hd_read_object(reader, root, "", path, &object);
    if (code == HD_OK && object != NULL)
        code = hd_read_keys(reader, object, path, names, HD_COUNT(names));
    if (code == HD_OK)
        code = parse_rungs(reader, object, experiment);
    if (code == HD_OK)
        code = parse_brackets(reader, object, experiment);
    if (code == HD_OK)
        code = parse_name(reader, root, object, experiment);
    if (code == HD_OK)
        code = hd_read_double(reader, object, path, "eta", &spec->eta);
    if (code == HD_OK && spec->eta < 2)
        code = hd_read_fail(reader, HD_E_INVALID, hd_value_get(object, "eta"), path, "eta",
                            "must be at least 2");
    if (code == HD_OK)
        code = hd_read_choice(reader, object, path, "rule", rules, HD_COUNT(rules), &rule);
    spec->rule = rule == 1 ? HD_BRACKET_RULE_PAPER : HD_BRACKET_RULE_HPBANDSTER;
    if (code == HD_OK)
        code = parse_stopping(reader, object, &spec->early_stopping);
    if (code == HD_OK)
        code = parse_asynchronous(reader, object, spec);
    if (code == HD_OK && hd_iter_gen_spec_check(spec, reader->err) != HD_OK)
        code = hd_read_wrap(reader, object, path, "");
    if (code == HD_OK)
        code = check_opening(reader, object, spec);
    return code;
}

/* ---- describing ---- */

static struct hd_value *describe_rungs(const struct hd_iter_gen_spec *spec)
{
    if (spec->rung_count == 0)
        return hd_value_new_null();
    struct hd_value *list = hd_value_new_array();
    bool good = list != NULL;
    for (uint32_t k = 0; good && k < spec->rung_count; k++)
        good = hd_value_append(list, hd_value_new_double(spec->rungs[k])) == HD_OK;
    return finish(list, good);
}

static struct hd_value *describe_row(const struct hd_bracket_row *row)
{
    struct hd_value *rungs = hd_value_new_array();
    bool good = rungs != NULL;
    for (uint32_t k = 0; good && k < row->rung_count; k++) {
        struct hd_value *pair = hd_value_new_array();
        good = hd_value_append(rungs, pair) == HD_OK &&
               hd_value_append(pair, hd_value_new_int(row->counts[k])) == HD_OK &&
               hd_value_append(pair, hd_value_new_double(row->budgets[k])) == HD_OK;
    }
    return finish(rungs, good);
}

static struct hd_value *describe_brackets(const struct hd_iter_gen_spec *spec)
{
    if (spec->table_count == 0)
        return spec->brackets > 0 ? hd_value_new_int(spec->brackets) : hd_value_new_null();
    struct hd_value *table = hd_value_new_array();
    bool good = table != NULL;
    for (uint32_t i = 0; good && i < spec->table_count; i++)
        good = hd_value_append(table, describe_row(&spec->table[i])) == HD_OK;
    return finish(table, good);
}

/* A zero stands for a default that depends on other things. */
static struct hd_value *new_positive(double number)
{
    return number > 0.0 ? hd_value_new_double(number) : hd_value_new_null();
}

static struct hd_value *describe_stopping(const struct hd_early_stopping *stopping)
{
    struct hd_value *map = hd_value_new_object();
    struct hd_value *curves =
        stopping->curves_min > 0 ? hd_value_new_int(stopping->curves_min) : hd_value_new_null();
    bool good = map != NULL &&
                put(map, "rule", hd_value_new_string(stopping_rules[stopping->rule])) &&
                put(map, "grace", new_positive(stopping->grace));
    if (!good) {
        hd_value_free(curves);
        return finish(map, false);
    }
    return finish(map, put(map, "curves_min", curves) &&
                           put(map, "optimism", new_positive(stopping->optimism)));
}

struct hd_value *hd_generator_describe(const struct hd_iter_gen_spec *spec)
{
    struct hd_value *map = hd_value_new_object();
    bool good = map != NULL && put(map, "name", hd_value_new_string(spec->name)) &&
                put(map, "eta", hd_value_new_double(spec->eta)) &&
                put(map, "rule", hd_value_new_string(rules[spec->rule])) &&
                put(map, "rungs", describe_rungs(spec)) &&
                put(map, "brackets", describe_brackets(spec)) &&
                put(map, "early_stopping", describe_stopping(&spec->early_stopping)) &&
                put(map, "type", hd_value_new_string(types[spec->type])) &&
                put(map, "delayed", hd_value_new_bool(spec->delayed)) &&
                put(map, "delay_results", hd_value_new_int(spec->delay_results)) &&
                put(map, "opening", hd_value_new_int(spec->opening)) &&
                put(map, "learned_brackets", hd_value_new_bool(spec->learned_brackets)) &&
                put(map, "raise_uninformative", hd_value_new_bool(spec->raise_uninformative)) &&
                put(map, "promote_fraction", new_positive(spec->promote_fraction));
    return finish(map, good);
}
