/* SPDX-License-Identifier: Apache-2.0 */
/* What a person sees while a run goes on: the line of a terminal, and the planned budget. */
#include "testlib.h"

#include <hd/value.h>
#include <math.h>
#include <progress.h>
#include <stdlib.h>
#include <string.h>

static struct hd_value *parse(const char *text)
{
    struct hd_err err;
    struct hd_value *value = NULL;
    assert_hd_ok(hd_yaml_parse(text, strlen(text), "test", &hd_value_limits_file, &value, &err));
    return value;
}

/* ---- the line ---------------------------------------------------------------------------------
 */

static const char status_text[] =
    "{run_id: a-run-with-a-name, state: active, direction: maximize, objective: validation_score,"
    " jobs: {closed: 1234, running: 16}, outcomes: {ok: 1200}, budget_spent: 30517.5,"
    " rate_per_minute: 123.4, incumbent: {job: 7, loss: -0.987654, budget: 27}}";

static const struct line_case {
    size_t columns;
    const char *line;
} lines[] = {
    {200, "a-run-with-a-name: 1234 done, 16 running, 34 not ok | budget 30517.5 of 100000 | best "
          "validation_score 0.987654 at budget 27 | 123.4 jobs/min"},
    {130, "1234 done, 16 running, 34 not ok | budget 30517.5 of 100000 | best validation_score "
          "0.987654 at budget 27 | 123.4 jobs/min"},
    {100, "1234 done, 16 running, 34 not ok | budget 30517.5/100000 | best 0.987654 at 27 | "
          "123.4/min"},
    {80, "1234 done, 16 running, 34 not ok | budget 30517.5/100000 | best 0.987654 at 27"},
    {79, "1234 done, 16 running, 34 not ok | budget 30517.5/100000 | best 0.987654 at 27"},
    {20, "1234 done, 16 runni"},
    {1, ""},
};

/* The line is always shorter than the terminal is wide, and words are left out before numbers. */
static void fits_the_terminal(void **state)
{
    (void)state;
    struct hd_value *status = parse(status_text);
    struct progress progress;
    progress_init(&progress, false);
    progress.budget_total = 100000;
    for (size_t i = 0; i < HD_COUNT(lines); i++) {
        char text[512];
        progress_line(&progress, status, lines[i].columns, text, sizeof(text));
        assert_string_equal(text, lines[i].line);
        assert_true(strlen(text) < lines[i].columns);
    }
    hd_value_free(status);
}

/* Nothing is said of a best config, a rate or a total before there is one. */
static void says_nothing_of_what_is_not_there(void **state)
{
    (void)state;
    struct hd_value *status = parse("{run_id: new, state: active, jobs: {closed: 0, running: 0},"
                                    " outcomes: {}, budget_spent: 0, rate_per_minute: null,"
                                    " incumbent: null}");
    struct progress progress;
    char text[512];
    progress_init(&progress, false);
    progress_line(&progress, status, 80, text, sizeof(text));
    assert_string_equal(text, "new: 0 done, 0 running | budget 0");
    hd_value_free(status);
}

/* ---- the plan ---------------------------------------------------------------------------------
 */

static const struct plan_case {
    const char *text; /* what an experiment says beside its target and space */
    double budget;
} plans[] = {
    /* 27 + 9 * 3 + 3 * 9 + 1 * 27, then 9 * 3 + 3 * 9 + 1 * 27, then 6 * 9 + 2 * 27, then 4 * 27
     */
    {"iteration_generator: {name: hyperband, eta: 3}\nbudget: {min: 1, max: 27}\n"
     "stop: {iterations: 4}\n",
     108 + 81 + 108 + 108},
    {"iteration_generator: {name: hyperband, eta: 3}\nbudget: {min: 1, max: 27}\n"
     "stop: {iterations: 6}\n",
     108 + 81 + 108 + 108 + 108 + 81},
    {"iteration_generator: {name: full}\nstop: {iterations: 50}\n", 50},
    {"iteration_generator: {name: hyperband, eta: 3}\nbudget: {min: 1, max: 27}\n"
     "stop: {iterations: 4, jobs: 10}\n",
     NAN},
    {"iteration_generator: {name: full}\nstop: {time: 1h}\n", NAN},
};

/* The planned budget is the sum over all rungs of all brackets, and unknown when another rule may
 * end the run first. */
static void knows_the_planned_budget(void **state)
{
    (void)state;
    for (size_t i = 0; i < HD_COUNT(plans); i++) {
        struct hd_err err;
        struct hd_experiment *experiment = NULL;
        struct hd_experiment_overrides none = {.budget_min = NAN, .budget_max = NAN, .eta = NAN};
        char text[1024];
        assert_true(hd_format(text, sizeof(text),
                              "target: {command: [./it]}\n"
                              "space: {x: {type: float, low: 0, high: 1}}\n%s",
                              plans[i].text));
        assert_hd_ok(
            hd_experiment_parse_text(text, strlen(text), "test", &none, &experiment, &err));
        double budget = progress_planned_budget(experiment);
        assert_true(isnan(budget) ? isnan(plans[i].budget) : budget == plans[i].budget);
        hd_experiment_free(experiment);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(fits_the_terminal),
        cmocka_unit_test(says_nothing_of_what_is_not_there),
        cmocka_unit_test(knows_the_planned_budget),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
