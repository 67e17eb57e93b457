/* SPDX-License-Identifier: Apache-2.0 */
/* The experiment files of the examples say what their targets expect. */
#include "testlib.h"

#include <hd/experiment.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct hd_err err;

static struct hd_experiment *example(const char *name)
{
    char path[4096];
    size_t size;
    const char *root = getenv("HD_SOURCE_ROOT");
    assert_non_null(root);
    assert_true(hd_format(path, sizeof(path), "%s/examples/%s/experiment.yaml", root, name));
    char *text = test_file_read(path, &size);
    struct hd_experiment *experiment = NULL;
    assert_hd_ok(hd_experiment_parse_text(text, size, path, NULL, &experiment, &err));
    free(text);
    return experiment;
}

static void digits_is_hyperband_over_its_six_hyperparameters(void **state)
{
    (void)state;
    static const char defaults[] =
        "{\"learning_rate\":0.01,\"momentum\":0.9,\"weight_decay\":0.0001,"
        "\"units\":64,\"batch_size\":32,\"activation\":\"relu\"}";
    struct hd_experiment *experiment = example("digits");
    struct hd_bracket_plan plan;
    struct hd_buf json;
    double values[HD_SPACE_PARAMS_MAX];
    hd_buf_init(&json, 4096);
    hd_iter_gen_plan(&experiment->iter_gen, 0, &plan);
    assert_int_equal(plan.counts[0], 27);
    assert_true(plan.budgets[0] == 1.0 && plan.budgets[3] == 27.0);
    /* what train.c takes for a hyperparameter that it is not given */
    hd_space_default(experiment->space, values);
    assert_hd_ok(hd_config_to_json(experiment->space, values, &json, &err));
    assert_string_equal(hd_buf_text(&json), defaults);
    assert_string_equal(experiment->target.image, "hyperdock/digits:1");
    assert_string_equal(experiment->target.data_name, "data");
    hd_buf_release(&json);
    hd_experiment_free(experiment);
}

static void branin_runs_a_program_without_docker(void **state)
{
    (void)state;
    struct hd_experiment *experiment = example("branin");
    assert_null(experiment->target.image);
    assert_int_equal(experiment->target.command_count, 3);
    assert_string_equal(experiment->iter_gen.name, "full");
    assert_false(experiment->budget_given);
    hd_experiment_free(experiment);
}

static void trade_off_has_two_objectives_and_a_constraint(void **state)
{
    (void)state;
    struct hd_experiment *experiment = example("trade_off");
    assert_null(experiment->target.image);
    assert_int_equal(experiment->objective_count, 2);
    assert_int_equal(experiment->constraint_count, 1);
    hd_experiment_free(experiment);
}

static void warm_stays(void **state)
{
    (void)state;
    struct hd_experiment *experiment = example("warm");
    assert_null(experiment->target.image);
    assert_true(experiment->target.warm.on);
    hd_experiment_free(experiment);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(digits_is_hyperband_over_its_six_hyperparameters),
        cmocka_unit_test(branin_runs_a_program_without_docker),
        cmocka_unit_test(warm_stays),
        cmocka_unit_test(trade_off_has_two_objectives_and_a_constraint),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
