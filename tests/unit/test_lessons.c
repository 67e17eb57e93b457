/* SPDX-License-Identifier: Apache-2.0 */
/* test_lessons.c: what a fact teaches the sampler of its run, when jobs end early. */
#include "testlib.h"

#include <math.h>
#include <string.h>

#include <hd/core.h>

static struct hd_core *core;
static struct hd_err err;
static uint64_t seq;
static uint32_t config_count, job_count;
static bool asynchronous; /* its configs share an iteration */
static struct hd_lesson lesson;

/* Is there a lesson? It is left in `lesson`. */
static bool apply(struct hd_fact fact)
{
    fact.seq = ++seq;
    assert_hd_ok(hd_core_apply(core, &fact, &err));
    return hd_core_lesson(core, &fact, &lesson);
}

static void open_run(const char *generator)
{
    char json[1024];
    struct hd_core_options options = {.ping_ms = 5000};
    hd_core_free(core);
    assert_hd_ok(hd_core_new(&options, &core, &err));
    seq = 0;
    config_count = job_count = 0;
    asynchronous = strstr(generator, "asha") != NULL;
    hd_format(
        json, sizeof(json),
        "{\"name\":\"r\",\"target\":{\"command\":[\"./t\"]},\"sampler\":{\"name\":\"random\"},"
        "\"space\":{\"x\":{\"type\":\"float\",\"low\":0,\"high\":1}},"
        "\"budget\":{\"min\":1,\"max\":9},\"iteration_generator\":%s}",
        generator);
    (void)apply((struct hd_fact){.kind = HD_FACT_RUN_CREATED, .as.run_created = {"r", 7, 1, json}});
}

static int teardown(void **state)
{
    (void)state;
    hd_core_free(core);
    core = NULL;
    return 0;
}

static uint32_t queue(uint32_t config, uint32_t rung, double budget, double previous)
{
    (void)apply((struct hd_fact){
        .kind = HD_FACT_JOB_QUEUED,
        .as.job_queued = {job_count, config, asynchronous ? 0 : config, rung, budget, previous}});
    (void)apply((struct hd_fact){
        .kind = HD_FACT_ATTEMPT_LEASED,
        .as.attempt_leased = {job_count, 1, "w", 1, job_count + 1, "root", "", previous}});
    return job_count++;
}

/* A new config and its job. */
static uint32_t start(uint32_t rung, double budget)
{
    double value = 0.5;
    (void)apply((struct hd_fact){
        .kind = HD_FACT_CONFIG_PROPOSED,
        .as.config_proposed = {.config = config_count,
                               .id = asynchronous ? (struct hd_config_id){0, 0, config_count}
                                                  : (struct hd_config_id){config_count, 0, 0},
                               .values = &value,
                               .value_count = 1,
                               .info = {.sampler = "random", .model_budget = (double)NAN}}});
    return queue(config_count++, rung, budget, (double)NAN);
}

static bool say(uint32_t job, double step, double loss)
{
    return apply(
        (struct hd_fact){.kind = HD_FACT_CURVE_POINT, .as.curve_point = {job, 1, step, loss}});
}

static bool end(uint32_t job, enum hd_outcome outcome, double loss)
{
    return apply((struct hd_fact){.kind = HD_FACT_ATTEMPT_ENDED,
                                  .as.attempt_ended = {.job = job,
                                                       .attempt = 1,
                                                       .outcome = outcome,
                                                       .loss = loss,
                                                       .by_report = true,
                                                       .worker = "w",
                                                       .incarnation = 1,
                                                       .sequence = job + 1,
                                                       .exit_code = -1,
                                                       .message = "",
                                                       .info_json = "",
                                                       .image_id = "",
                                                       .root = "root",
                                                       .directory = ""}});
}

static void assert_lesson(bool taught, uint32_t config, double budget, double loss)
{
    assert_true(taught);
    assert_int_equal(lesson.config, config);
    assert_true(lesson.budget == budget);
    assert_true(lesson.loss == loss || (isnan(lesson.loss) && isnan(loss)));
}

static void a_target_that_stops_unasked_has_failed(void **state)
{
    /* Promise: after a promotion the rung below keeps its result, whatever a target claims. */
    (void)state;
    open_run("{\"name\":\"asha\",\"eta\":3}");
    for (uint32_t i = 0; i < 3; i++) {
        uint32_t job = start(0, 1);
        assert_lesson(end(job, HD_OUTCOME_OK, 0.3 + i), i, 1, 0.3 + i);
    }
    uint32_t job = queue(0, 1, 3, 1);
    assert_false(say(job, 2, 0.9));
    assert_lesson(end(job, HD_OUTCOME_STOPPED, 0.9), 0, 3, (double)NAN);
}

/* With eta 3, four jobs side by side of which the last is the worst at budget 1. */
static uint32_t to_be_stopped(void)
{
    uint32_t jobs[4];
    for (uint32_t i = 0; i < 4; i++)
        jobs[i] = start(2, 9);
    for (uint32_t i = 0; i < 3; i++)
        assert_lesson(say(jobs[i], 1, 0.1 * i), i, 1, 0.1 * i);
    assert_lesson(say(jobs[3], 1, 0.8), 3, 1, 0.8);
    struct hd_job_view view;
    hd_core_view_job(core, 0, jobs[3], &view);
    assert_true(view.stopping);
    return jobs[3];
}

static void a_stop_is_one_lesson(void **state)
{
    /* Promise: the report that decided is what the sampler hears, however the job then ends. */
    (void)state;
    static const struct {
        enum hd_outcome outcome;
        double loss;
    } rows[] = {{HD_OUTCOME_STOPPED, 0.8},
                {HD_OUTCOME_STOPPED, 0.7},
                {HD_OUTCOME_OK, 0.01},
                {HD_OUTCOME_CANCELLED, (double)NAN}};
    for (size_t i = 0; i < HD_COUNT(rows); i++) {
        open_run("{\"name\":\"asha\",\"eta\":3,\"type\":\"stopping\"}");
        uint32_t job = to_be_stopped();
        assert_false(say(job, 4, 0.5));
        assert_false(end(job, rows[i].outcome, rows[i].loss));
        struct hd_run_view run;
        hd_core_view_run(core, 0, &run);
        /* A target that was faster has a result all the same. */
        assert_int_equal(run.has_incumbent, rows[i].outcome == HD_OUTCOME_OK);
        assert_true(run.budget_spent == (rows[i].outcome == HD_OUTCOME_STOPPED ? 4 : 9));
    }
}

static void a_rule_teaches_when_it_decides(void **state)
{
    /* Promise: so do the rules of early stopping; without a loss the config failed there. */
    (void)state;
    for (int finite = 0; finite < 2; finite++) {
        open_run("{\"name\":\"full\",\"early_stopping\":{\"rule\":\"median\",\"grace\":3,"
                 "\"curves_min\":2}}");
        for (uint32_t i = 0; i < 2; i++) {
            uint32_t job = start(0, 9);
            assert_false(say(job, 3, 0.1));
            assert_lesson(end(job, HD_OUTCOME_OK, 0.1), i, 9, 0.1);
        }
        uint32_t job = start(0, 9);
        bool taught = say(job, 4, finite ? 0.6 : (double)NAN);
        if (finite)
            assert_lesson(taught, 2, 3, 0.6);
        assert_int_equal(taught, finite);
        assert_false(say(job, 5, 0.05));
        taught = end(job, HD_OUTCOME_STOPPED, 0.05);
        if (!finite)
            assert_lesson(taught, 2, 3, (double)NAN);
        assert_int_equal(taught, !finite);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(a_target_that_stops_unasked_has_failed, teardown),
        cmocka_unit_test_teardown(a_stop_is_one_lesson, teardown),
        cmocka_unit_test_teardown(a_rule_teaches_when_it_decides, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
