/* SPDX-License-Identifier: Apache-2.0 */
/* hd check: what an experiment would do, without doing it. */
#include "commands.h"
#include "common/cli.h"

#include <hd/driver.h>
#include <hd/experiment.h>

#include <ctype.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#define USED_UP_MAX 1e6 /* configs; nobody waits for the end of more */
#define BRACKETS_SHOWN 32

/* ---- space ---------------------------------------------------------------------------------- */

static const char *kind_name(enum hd_param_kind kind)
{
    switch (kind) {
    case HD_PARAM_FLOAT:
        return "float";
    case HD_PARAM_INT:
        return "int";
    case HD_PARAM_CATEGORICAL:
        return "categorical";
    case HD_PARAM_ORDINAL:
        return "ordinal";
    case HD_PARAM_BOOL:
        return "bool";
    case HD_PARAM_CONSTANT:
        return "constant";
    }
    return "";
}

static void describe_choices(const struct hd_param *param, char *cell)
{
    struct hd_buf text;
    hd_buf_init(&text, CLI_CELL_MAX - 1);
    bool fits = true;
    for (size_t i = 0; i < param->choice_count && fits; i++)
        fits = (i == 0 || hd_buf_puts(&text, ", ", NULL) == HD_OK) &&
               hd_json_write(param->choices[i], HD_JSON_COMPACT, &text, NULL) == HD_OK;
    (void)hd_format(cell, CLI_CELL_MAX, "%s%s", hd_buf_text(&text), fits ? "" : " ...");
    hd_buf_release(&text);
}

static void describe_range(const struct hd_param *param, char *cell)
{
    char low[CLI_CELL_MAX], high[CLI_CELL_MAX], step[CLI_CELL_MAX] = "";
    if (param->kind != HD_PARAM_FLOAT && param->kind != HD_PARAM_INT) {
        describe_choices(param, cell);
        return;
    }
    if (param->step > 0 && !(param->kind == HD_PARAM_INT && param->step <= 1))
        (void)cli_number(param->step, step);
    (void)hd_format(cell, CLI_CELL_MAX, "%.100s .. %.100s%s%s%.100s", cli_number(param->low, low),
                    cli_number(param->high, high), param->log ? ", log" : "",
                    step[0] != '\0' ? ", step " : "", step);
    if (param->normal) {
        char mean[CLI_CELL_MAX], range[CLI_CELL_MAX];
        (void)hd_copy_text(range, sizeof(range), cell);
        (void)hd_format(cell, CLI_CELL_MAX, "%.150s, normal %.40s +- %.40s", range,
                        cli_number(param->mean, mean), cli_number(param->sd, low));
    }
}

static void describe_default(const struct hd_param *param, char *cell)
{
    struct hd_value *value = NULL;
    cell[0] = '\0';
    if (hd_param_to_value(param, param->default_value, &value, NULL) != HD_OK)
        return;
    struct hd_buf text;
    hd_buf_init(&text, CLI_CELL_MAX - 1);
    if (value->kind == HD_VALUE_DOUBLE)
        (void)cli_number(value->as.number, cell);
    else if (hd_json_write(value, HD_JSON_COMPACT, &text, NULL) == HD_OK)
        (void)hd_copy_text(cell, CLI_CELL_MAX, hd_buf_text(&text));
    hd_buf_release(&text);
    hd_value_free(value);
}

static void print_rule(const struct hd_space *space, const char *subject,
                       const struct hd_condition *conditions, size_t count)
{
    struct hd_buf text;
    hd_buf_init(&text, HD_EXPERIMENT_BYTES_MAX);
    if (hd_conditions_write(space, conditions, count, &text, NULL) == HD_OK)
        printf("%s %s\n", subject, hd_buf_text(&text));
    hd_buf_release(&text);
}

static void print_rules(const struct hd_space *space)
{
    for (size_t i = 0; i < space->param_count; i++) {
        const struct hd_param *param = &space->params[i];
        char subject[HD_PARAM_NAME_MAX + 32];
        (void)hd_format(subject, sizeof(subject), "%s when", param->name);
        if (param->condition_count > 0)
            print_rule(space, subject, param->conditions, param->condition_count);
    }
    for (size_t i = 0; i < space->forbidden_count; i++)
        print_rule(space, "never", space->forbidden[i].conditions,
                   space->forbidden[i].condition_count);
}

static void print_space(const struct hd_space *space)
{
    static const char *const titles[] = {"PARAM", "TYPE", "VALUES", "DEFAULT", "LEVELS"};
    char cells[3][CLI_CELL_MAX];
    struct cli_table *table = cli_table_new(titles, "llllr", HD_COUNT(titles));
    for (size_t i = 0; i < space->param_count; i++) {
        const struct hd_param *param = &space->params[i];
        double levels = hd_param_levels(param);
        describe_range(param, cells[0]);
        describe_default(param, cells[1]);
        const char *row[] = {param->name, kind_name(param->kind), cells[0], cells[1],
                             isinf(levels) ? "any" : cli_number(levels, cells[2])};
        cli_table_row(table, row);
    }
    cli_table_end(table);
    print_rules(space);
    double size = hd_space_size(space);
    printf("%zu param%s, %s%s config%s\n", space->param_count,
           cli_plural((double)space->param_count),
           space->size_exact || isinf(size) ? "" : "at most ",
           isinf(size) ? "infinitely many" : cli_number(size, cells[0]), cli_plural(size));
}

/* ---- brackets ------------------------------------------------------------------------------- */

struct totals {
    double jobs;
    double configs;
    double budget;
};

static struct totals plan_totals(const struct hd_bracket_plan *plan)
{
    struct totals totals = {0};
    for (uint32_t k = 0; k < plan->rung_count; k++) {
        totals.jobs += plan->counts[k];
        totals.budget += plan->counts[k] * plan->budgets[k];
    }
    totals.configs = plan->rung_count > 0 ? plan->counts[0] : 0;
    return totals;
}

static void print_brackets(const struct hd_iter_gen_spec *spec, uint32_t cycle)
{
    static const char *const titles[] = {"ITERATION", "CONFIGS x BUDGET", "JOBS", "BUDGET"};
    struct cli_table *table = cli_table_new(titles, "rlrr", HD_COUNT(titles));
    for (uint32_t i = 0; i < cycle && i < BRACKETS_SHOWN; i++) {
        struct hd_bracket_plan plan;
        char cells[4][CLI_CELL_MAX], number[CLI_CELL_MAX];
        struct hd_buf text;
        hd_iter_gen_plan(spec, i, &plan);
        struct totals totals = plan_totals(&plan);
        hd_buf_init(&text, CLI_CELL_MAX - 1);
        for (uint32_t k = 0; k < plan.rung_count; k++)
            if (hd_buf_printf(&text, NULL, "%s%u x %s", k > 0 ? ", " : "", plan.counts[k],
                              cli_number(plan.budgets[k], number)) != HD_OK)
                break;
        (void)hd_format(cells[0], CLI_CELL_MAX, "%u", i);
        (void)hd_copy_text(cells[1], CLI_CELL_MAX, hd_buf_text(&text));
        hd_buf_release(&text);
        const char *row[] = {cells[0], cells[1], cli_number(totals.jobs, cells[2]),
                             cli_number(totals.budget, cells[3])};
        cli_table_row(table, row);
    }
    cli_table_end(table);
}

/* Over all iterations, or over one cycle when they have no end. */
static struct totals sum_iterations(const struct hd_iter_gen_spec *spec, uint32_t cycle)
{
    struct totals sum = {0};
    uint32_t count = spec->iterations_max > 0 ? spec->iterations_max : cycle;
    for (uint32_t i = 0; i < cycle; i++) {
        struct hd_bracket_plan plan;
        hd_iter_gen_plan(spec, i, &plan);
        struct totals one = plan_totals(&plan);
        double times = count / cycle + (i < count % cycle ? 1 : 0);
        sum.jobs += times * one.jobs;
        sum.configs += times * one.configs;
        sum.budget += times * one.budget;
    }
    return sum;
}

/* What the numbers take for granted. */
static const char *condition_of(const struct hd_iter_gen_spec *spec)
{
    struct hd_bracket_plan plan;
    hd_iter_gen_plan(spec, 0, &plan);
    if (spec->type == HD_ASHA_TYPE_STOPPING)
        return " (less budget: most jobs end early)";
    if (hd_iter_gen_is_asynchronous(spec))
        return " (when promotions come evenly)";
    return plan.rung_count > 1 ? " (more when jobs fail)" : "";
}

static void print_generator(const struct hd_experiment *experiment)
{
    const struct hd_iter_gen_spec *spec = &experiment->iter_gen;
    char cells[3][CLI_CELL_MAX];
    uint32_t cycle = hd_iter_gen_cycle(spec);
    struct totals sum = sum_iterations(spec, cycle);
    printf("iteration generator %s", spec->name);
    if (!hd_streq(spec->name, "full") && spec->rung_count == 0 && spec->table_count == 0)
        printf(", eta %s", cli_number(spec->eta, cells[0]));
    if (spec->type == HD_ASHA_TYPE_STOPPING)
        printf(", stopping");
    if (spec->early_stopping.rule != HD_STOPPING_RULE_NONE)
        printf(", early stopping by %s",
               spec->early_stopping.rule == HD_STOPPING_RULE_MEDIAN ? "median" : "curve");
    printf("; sampler %s\n", experiment->sampler_name);
    print_brackets(spec, cycle);
    if (spec->iterations_max > 0)
        printf("%u iteration%s: ", spec->iterations_max, cli_plural(spec->iterations_max));
    else if (cycle > 1)
        printf("iterations without end; every %u of them: ", cycle);
    else
        printf("iterations without end, each: ");
    printf("%s config%s%s, %s job%s, budget %s%s%s\n", cli_number(sum.configs, cells[0]),
           cli_plural(sum.configs), condition_of(spec), cli_number(sum.jobs, cells[1]),
           cli_plural(sum.jobs), cli_number(sum.budget, cells[2]),
           experiment->budget_unit[0] != '\0' ? " " : "", experiment->budget_unit);
}

static void print_limit(uint32_t limit, const char *what, const char *rest, unsigned *count)
{
    if (limit == 0)
        return;
    printf("%s %u %s%s%s", *count > 0 ? " or" : "ends after", limit, what, cli_plural(limit), rest);
    (*count)++;
}

static void print_stop(const struct hd_experiment *experiment)
{
    const struct hd_stop *stop = &experiment->stop;
    unsigned count = 0;
    char cell[CLI_CELL_MAX];
    print_limit(stop->configs, "config", "", &count);
    print_limit(stop->jobs, "job", "", &count);
    print_limit(stop->full_evaluations, "full evaluation", "", &count);
    print_limit(stop->failures, "failed job", "", &count);
    if (stop->time_ms > 0)
        printf("%s %lld s", count++ > 0 ? " or" : "ends after", (long long)(stop->time_ms / 1000));
    if (stop->budget > 0)
        printf("%s budget %s%s%s", count++ > 0 ? " or" : "ends after",
               cli_number(stop->budget, cell), experiment->budget_unit[0] != '\0' ? " " : "",
               experiment->budget_unit);
    print_limit(stop->no_improvement, "job", " without improvement", &count);
    if (count > 0)
        printf("%s\n", count > 1 ? ", whichever comes first" : "");
    if (experiment->objective.has_goal)
        printf("ends when %s reaches %s\n", experiment->objective.name,
               cli_number(experiment->objective.goal, cell));
    double size = hd_space_size(experiment->space);
    bool endless =
        count == 0 && !experiment->objective.has_goal && experiment->iter_gen.iterations_max == 0;
    if (endless && size <= USED_UP_MAX)
        printf("ends when every config has been tried, all %s\n", cli_number(size, cell));
    else if (endless)
        printf("ends never by itself: set stop, or stop it by hand\n");
}

/* A run whose jobs all fall into the opening has nothing at a higher budget. One that runs out of
 * configs or iterations before promotes what it has. */
static void print_opening(const struct hd_experiment *experiment)
{
    const struct hd_iter_gen_spec *spec = &experiment->iter_gen;
    uint32_t jobs = experiment->stop.jobs, configs = experiment->stop.configs;
    /* Where other brackets begin higher up their rungs have openings of their own. */
    bool one = hd_streq(spec->name, "asha") && hd_iter_gen_cycle(spec) == 1;
    bool runs_out = spec->iterations_max > 0 || (configs > 0 && configs < jobs) ||
                    hd_space_size(experiment->space) < jobs;
    struct hd_bracket_plan plan;
    if (!one || spec->type != HD_ASHA_TYPE_PROMOTION || jobs == 0 || jobs > spec->opening ||
        runs_out)
        return;
    hd_iter_gen_plan(spec, 0, &plan);
    if (plan.rung_count > 1)
        printf("note: no config goes on to a higher budget before there are %u results (opening):"
               " %u jobs are too few\n",
               spec->opening, jobs);
}

static char variable_letter(char c)
{
    return isalnum((unsigned char)c) ? (char)toupper((unsigned char)c) : '_';
}

static bool have_one_variable(const char *a, const char *b)
{
    while (*a != '\0' && *b != '\0' && variable_letter(*a) == variable_letter(*b))
        a++, b++;
    return *a == '\0' && *b == '\0';
}

/* The environment knows no case and no signs: a target that reads it sees one of them. */
static void print_shared_variables(const struct hd_space *space)
{
    for (size_t i = 0; i < space->param_count; i++)
        for (size_t j = i + 1; j < space->param_count; j++) {
            const char *name = space->params[i].name, *other = space->params[j].name;
            if (!have_one_variable(name, other))
                continue;
            printf("note: params %s and %s have one variable, HP_", name, other);
            for (const char *c = name; *c != '\0'; c++)
                putchar(variable_letter(*c));
            printf("; params.json and arguments tell them apart\n");
        }
}

static void print_objectives(const struct hd_experiment *experiment)
{
    char low[CLI_CELL_MAX], high[CLI_CELL_MAX];
    for (size_t i = 0; i < experiment->objective_count; i++) {
        const struct hd_objective *objective = hd_experiment_objective(experiment, i);
        printf("%-12s%s %s\n", i == 0 ? "objective" : "",
               objective->maximize ? "maximize" : "minimize", objective->name);
    }
    if (experiment->noise.repeats > 1)
        printf("%-12sup to %u evaluations of a config at the largest budget, %g%% of the budget\n",
               "noise", experiment->noise.repeats, 100 * experiment->noise.share);
    for (size_t i = 0; i < experiment->constraint_count; i++) {
        const struct hd_constraint *constraint = &experiment->constraints[i];
        bool from = isfinite(constraint->min), to = isfinite(constraint->max);
        printf("%-12s%s%s%s%s%s\n", i == 0 ? "feasible" : "",
               from ? cli_number(constraint->min, low) : "", from ? " <= " : "", constraint->name,
               to ? " <= " : "", to ? cli_number(constraint->max, high) : "");
    }
}

static void print_target(const struct hd_experiment *experiment)
{
    const struct hd_target *target = &experiment->target;
    if (target->image != NULL)
        printf("image       %s\n", target->image);
    if (target->command != NULL && target->command_count > 0) {
        printf("command     ");
        for (size_t i = 0; i < target->command_count; i++)
            printf("%s%s", i > 0 ? " " : "", target->command[i]);
        printf("\n");
    }
    if (experiment->objective.exit_code_only)
        printf("objective   none: exit code 0 is success\n");
    else
        print_objectives(experiment);
}

static enum hd_code read_experiment(const char *path, struct hd_experiment **ret_experiment,
                                    struct hd_err *err)
{
    const struct hd_experiment_overrides none = {
        .budget_min = NAN, .budget_max = NAN, .eta = NAN, .name = NULL};
    return hd_experiment_read(path, &none, ret_experiment, err);
}

/* {"experiment": ..., "brackets": [[{"configs": 9, "budget": 1.0}, ...], ...]} */
static enum hd_code add_brackets(const struct hd_iter_gen_spec *spec, struct hd_value *brackets)
{
    uint32_t cycle = hd_iter_gen_cycle(spec);
    enum hd_code code = HD_OK;
    for (uint32_t i = 0; i < cycle && code == HD_OK; i++) {
        struct hd_bracket_plan plan;
        hd_iter_gen_plan(spec, i, &plan);
        struct hd_value *rungs = hd_value_new_array();
        code = hd_value_append(brackets, rungs);
        for (uint32_t k = 0; k < plan.rung_count && code == HD_OK; k++) {
            struct hd_value *rung = hd_value_new_object();
            code = hd_value_append(rungs, rung);
            if (code == HD_OK)
                code = hd_value_set(rung, "configs", hd_value_new_int(plan.counts[k]));
            if (code == HD_OK)
                code = hd_value_set(rung, "budget", hd_value_new_double(plan.budgets[k]));
        }
    }
    return code;
}

static enum hd_code print_checked_json(const struct hd_experiment *experiment, struct hd_err *err)
{
    struct hd_value *answer = hd_value_new_object(), *described = NULL;
    enum hd_code code = hd_experiment_describe(experiment, &described, err);
    if (code != HD_OK || answer == NULL) {
        hd_value_free(answer);
        hd_value_free(described);
        return code != HD_OK ? code : hd_fail(err, HD_E_NOMEM, "no memory");
    }
    struct hd_value *brackets = hd_value_new_array();
    code = hd_value_set(answer, "experiment", described);
    if (code == HD_OK)
        code = hd_value_set(answer, "brackets", brackets);
    else
        hd_value_free(brackets);
    if (code == HD_OK)
        code = add_brackets(&experiment->iter_gen, brackets);
    if (code != HD_OK)
        code = hd_fail(err, code, "no memory");
    else
        code = cli_print_json(answer, HD_JSON_PRETTY, err);
    hd_value_free(answer);
    return code;
}

int cmd_check(int argc, char **argv)
{
    struct cli_common common = {0};
    struct hd_err err;
    struct hd_experiment *experiment = NULL;
    const char *words[1];
    const struct hd_option options[] = {CLI_JSON_OPTION(common)};
    const struct hd_program program = {
        .name = "hd check",
        .summary = "validate an experiment, print its space and brackets; costs nothing",
        .usage = "hd check EXPERIMENT [options]",
        .options = options,
        .option_count = HD_COUNT(options),
        .positional_min = 1,
        .positional_max = 1,
        .epilogue = "Exit code 2 when the file is wrong.",
    };
    enum hd_parse_answer answer = cli_parse(&program, argc, argv, &common, words, 1);
    if (answer != HD_PARSE_GO)
        return answer == HD_PARSE_EXIT_OK ? HD_EXIT_OK : HD_EXIT_USAGE;
    enum hd_code code = read_experiment(words[0], &experiment, &err);
    if (code == HD_OK && common.json) {
        code = print_checked_json(experiment, &err);
    } else if (code == HD_OK) {
        printf("experiment  %s\n", experiment->name);
        print_target(experiment);
        printf("\n");
        print_space(experiment->space);
        printf("\n");
        print_generator(experiment);
        print_stop(experiment);
        print_shared_variables(experiment->space);
        print_opening(experiment);
    }
    hd_experiment_free(experiment);
    return code == HD_OK ? HD_EXIT_OK : cli_fail(&err);
}
