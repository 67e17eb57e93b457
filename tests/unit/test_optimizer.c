/* SPDX-License-Identifier: Apache-2.0 */
/* test_optimizer.c: ask and tell. */
#include <math.h>
#include <string.h>

#include "testlib.h"

#include <hd/optimizer.h>

static struct hd_space *space_of(const char *json)
{
    struct hd_err err = {0};
    struct hd_value *value = NULL;
    struct hd_space *space = NULL;
    assert_hd_ok(hd_json_parse(json, strlen(json), "test", &hd_value_limits_file, &value, &err));
    assert_hd_ok(hd_space_parse(value, "test", "space", &space, &err));
    hd_value_free(value);
    return space;
}

static const char *const plane = "{\"x\":{\"type\":\"float\",\"low\":0,\"high\":1},"
                                 "\"y\":{\"type\":\"float\",\"low\":0,\"high\":1}}";

static struct hd_optimizer *optimizer_of(const struct hd_space *space, const char *gen_name,
                                         double budget_max, uint32_t iterations)
{
    struct hd_err err = {0};
    struct hd_optimizer *optimizer = NULL;
    struct hd_sampler_spec sampler = {.name = "tpe", .seed = 1};
    struct hd_iter_gen_spec gen = {
        .eta = 3, .budget_min = 1, .budget_max = budget_max, .iterations_max = iterations};
    hd_copy_text(gen.name, sizeof(gen.name), gen_name);
    assert_hd_ok(hd_optimizer_new(space, &sampler, &gen, &optimizer, &err));
    return optimizer;
}

/* Lower is better; the budget only removes some bias. */
static double loss_of(const struct hd_optimizer_job *job)
{
    double x = job->values[0] - 0.3, y = job->values[1] - 0.6;
    return x * x + y * y + 0.1 / job->budget;
}

#define CALLS 200
struct story {
    enum hd_ask_answer answers[CALLS];
    struct hd_optimizer_job jobs[CALLS]; /* values are not looked at */
    double values[CALLS][2];
    size_t job_count;
    struct hd_optimizer_best best;
    double best_values[2];
};

/* 200 asks and as many tells as there are jobs: results come out of order and every fifth fails.
 * tear: every call is first tried with each allocation failing. */
static void tell_story(const struct hd_space *space, bool tear, struct story *ret_story)
{
    struct hd_err err = {0};
    struct hd_rng rng;
    struct hd_optimizer *optimizer = optimizer_of(space, "hyperband", 27, 0);
    hd_rng_seed(&rng, 5);
    memset(ret_story, 0, sizeof(*ret_story));
    for (int call = 0; call < CALLS; call++) {
        struct hd_optimizer_job job;
        enum hd_code code = HD_E_NOMEM;
        for (int countdown = tear ? 0 : -1; code == HD_E_NOMEM; countdown++) {
            hd_test_fail_alloc_after(countdown);
            code = hd_optimizer_ask(optimizer, &ret_story->answers[call], &job, &err);
            hd_test_fail_alloc_after(-1);
        }
        assert_int_equal(code, HD_OK);
        if (ret_story->answers[call] == HD_ASK_ANSWER_JOB) {
            memcpy(ret_story->values[ret_story->job_count], job.values, sizeof(double) * 2);
            ret_story->jobs[ret_story->job_count++] = job;
        }
        while (hd_optimizer_pending_count(optimizer) > (call < CALLS - 1 ? 12 : 0)) {
            size_t count = hd_optimizer_pending_count(optimizer);
            hd_optimizer_pending(optimizer, hd_rng_below(&rng, count), &job);
            double loss = loss_of(&job);
            bool failed = job.job_number % 5 == 4;
            code = HD_E_NOMEM;
            for (int countdown = tear ? 0 : -1; code == HD_E_NOMEM; countdown++) {
                hd_test_fail_alloc_after(countdown);
                code = hd_optimizer_tell(optimizer, job.job_number, !failed, loss, &err);
                hd_test_fail_alloc_after(-1);
            }
            assert_int_equal(code, HD_OK);
            assert_int_equal(hd_optimizer_pending_count(optimizer), count - 1);
        }
    }
    assert_true(hd_optimizer_best(optimizer, &ret_story->best));
    memcpy(ret_story->best_values, ret_story->best.values, sizeof(double) * 2);
    hd_optimizer_free(optimizer);
}

static void test_two_hundred_calls_out_of_order(void **state)
{
    /* Promise: with results out of order and failures each promotion goes to a higher budget, knows
     * the budget before, keeps the config and its id; the incumbent is the best of the highest. */
    (void)state;
    struct story story;
    struct hd_space *space = space_of(plane);
    tell_story(space, false, &story);
    assert_true(story.job_count > 150);
    size_t promoted = 0;
    double best_budget = 0, best_loss = INFINITY;
    for (size_t i = 0; i < story.job_count; i++) {
        const struct hd_optimizer_job *job = &story.jobs[i];
        assert_int_equal(job->job_number, i);
        size_t before = i;
        while (before > 0 && story.jobs[before - 1].config_number != job->config_number)
            before--;
        if (isnan(job->budget_previous)) {
            assert_int_equal(before, 0);
        } else {
            const struct hd_optimizer_job *last = &story.jobs[before - 1];
            promoted++;
            assert_true(before > 0 && last->budget == job->budget_previous);
            assert_true(job->budget > last->budget);
            assert_int_not_equal(last->job_number % 5, 4); /* a failed one never advances */
            assert_memory_equal(&job->config_id, &last->config_id, sizeof(job->config_id));
            assert_memory_equal(story.values[i], story.values[before - 1], sizeof(double) * 2);
        }
        struct hd_optimizer_job copy = *job;
        copy.values = story.values[i];
        double loss = loss_of(&copy);
        bool better = job->budget > best_budget || (job->budget == best_budget && loss < best_loss);
        if (i % 5 != 4 && better) {
            best_budget = job->budget;
            best_loss = loss;
        }
    }
    assert_true(promoted > 20);
    assert_true(story.best.budget == best_budget && story.best.loss == best_loss);
    hd_space_free(space);
}

static void test_same_calls_same_answers(void **state)
{
    /* Promise: the same calls give the same answers, bit for bit, and a call that ran out of memory
     * and is repeated gives the answer it would have given. */
    (void)state;
    static struct story calm, torn;
    struct hd_space *space = space_of(plane);
    tell_story(space, false, &calm);
    tell_story(space, true, &torn);
    assert_int_equal(calm.job_count, torn.job_count);
    assert_memory_equal(calm.answers, torn.answers, sizeof(calm.answers));
    assert_memory_equal(calm.values, torn.values, sizeof(calm.values));
    assert_memory_equal(calm.best_values, torn.best_values, sizeof(calm.best_values));
    for (size_t i = 0; i < calm.job_count; i++) {
        assert_int_equal(calm.jobs[i].config_number, torn.jobs[i].config_number);
        assert_true(calm.jobs[i].budget == torn.jobs[i].budget);
    }
    hd_space_free(space);
}

static void test_wait_and_done(void **state)
{
    /* Promise: when only results can open the next rung ask says wait, after the last iteration it
     * says done, and what is outstanding then can still be told. */
    (void)state;
    struct hd_err err = {0};
    enum hd_ask_answer answer;
    struct hd_optimizer_job jobs[4];
    struct hd_optimizer_best best;
    struct hd_space *space = space_of(plane);
    struct hd_optimizer *optimizer = optimizer_of(space, "successive_halving", 3, 1);
    assert_false(hd_optimizer_best(optimizer, &best));
    for (int i = 0; i < 3; i++) {
        assert_hd_ok(hd_optimizer_ask(optimizer, &answer, &jobs[i], &err));
        assert_int_equal(answer, HD_ASK_ANSWER_JOB);
    }
    for (uint32_t i = 0; i < 3; i++) {
        assert_hd_ok(hd_optimizer_ask(optimizer, &answer, &jobs[3], &err));
        assert_int_equal(answer, HD_ASK_ANSWER_WAIT);
        assert_hd_ok(hd_optimizer_tell(optimizer, 2 - i, true, 3.0 - i, &err));
    }
    assert_hd_ok(hd_optimizer_ask(optimizer, &answer, &jobs[3], &err));
    assert_int_equal(answer, HD_ASK_ANSWER_JOB);
    assert_true(jobs[3].budget == 3 && jobs[3].budget_previous == 1);
    assert_int_equal(jobs[3].config_number, 0);
    assert_true(hd_optimizer_best(optimizer, &best) && best.budget == 1 && best.loss == 1);
    assert_hd_ok(hd_optimizer_tell(optimizer, 3, true, 7, &err));
    assert_true(hd_optimizer_best(optimizer, &best) && best.budget == 3 && best.loss == 7);
    assert_hd_ok(hd_optimizer_ask(optimizer, &answer, &jobs[3], &err));
    assert_int_equal(answer, HD_ASK_ANSWER_DONE);
    hd_optimizer_free(optimizer);
    hd_space_free(space);
}

static void test_wrong_tells_are_refused(void **state)
{
    /* Promise: unknown jobs and second results are refused and change nothing; a result that is not
     * finite is a failure. */
    (void)state;
    struct hd_err err = {0};
    enum hd_ask_answer answer;
    struct hd_optimizer_job job;
    struct hd_optimizer_best best;
    struct hd_space *space = space_of(plane);
    struct hd_optimizer *optimizer = optimizer_of(space, "full", 3, 10);
    assert_hd_fails(hd_optimizer_tell(optimizer, 0, true, 1, &err), HD_E_NOTFOUND, "no job 0");
    assert_hd_ok(hd_optimizer_ask(optimizer, &answer, &job, &err));
    assert_hd_ok(hd_optimizer_tell(optimizer, 0, true, NAN, &err));
    assert_false(hd_optimizer_best(optimizer, &best));
    assert_hd_fails(hd_optimizer_tell(optimizer, 0, true, 1, &err), HD_E_CONFLICT, "told before");
    assert_false(hd_optimizer_best(optimizer, &best));
    assert_int_equal(hd_optimizer_pending_count(optimizer), 0);
    hd_optimizer_free(optimizer);
    hd_space_free(space);
}

static void test_a_used_up_space_ends_the_run(void **state)
{
    /* Promise: when a finite space has no config left, those that exist are still promoted, and
     * then the run is done: no error, no repeated config. */
    (void)state;
    struct hd_err err = {0};
    struct hd_space *space = space_of("{\"x\":{\"type\":\"int\",\"low\":0,\"high\":4},\"y\":1}");
    struct hd_optimizer *optimizer = optimizer_of(space, "hyperband", 9, 0);
    enum hd_ask_answer answer = HD_ASK_ANSWER_WAIT;
    uint32_t configs = 0, top = 0;
    for (int call = 0; call < 100 && answer != HD_ASK_ANSWER_DONE; call++) {
        struct hd_optimizer_job job;
        assert_hd_ok(hd_optimizer_ask(optimizer, &answer, &job, &err));
        if (answer != HD_ASK_ANSWER_JOB)
            continue;
        configs += isnan(job.budget_previous) ? 1 : 0;
        top += job.budget == 9 ? 1 : 0;
        assert_hd_ok(hd_optimizer_tell(optimizer, job.job_number, true, job.values[0], &err));
    }
    assert_int_equal(answer, HD_ASK_ANSWER_DONE);
    assert_int_equal(configs, 5);
    assert_true(top >= 1);
    hd_optimizer_free(optimizer);
    hd_space_free(space);
}

static void test_reports_stop_a_job(void **state)
{
    /* Promise: a job whose curve is among the worse is told to stop; its loss counts at the rung
     * that it reached, a rung on the way counts for the incumbent, and whoever ends by itself is
     * told as ever. */
    (void)state;
    struct hd_err err = {0};
    struct hd_space *space = space_of(plane);
    struct hd_optimizer *optimizer = NULL;
    struct hd_sampler_spec sampler = {.name = "random", .seed = 1};
    struct hd_iter_gen_spec gen = {
        .name = "asha", .eta = 2, .budget_min = 1, .budget_max = 4, .type = HD_ASHA_TYPE_STOPPING};
    assert_hd_ok(hd_optimizer_new(space, &sampler, &gen, &optimizer, &err));
    struct hd_optimizer_job jobs[2];
    enum hd_ask_answer answer;
    for (int i = 0; i < 2; i++)
        assert_hd_ok(hd_optimizer_ask(optimizer, &answer, &jobs[i], &err));
    enum hd_decision decision = HD_DECISION_STOP;
    assert_hd_ok(hd_optimizer_report(optimizer, 0, 1, 0.3, &decision, &err));
    assert_int_equal(decision, HD_DECISION_CONTINUE);
    struct hd_optimizer_best best;
    assert_true(hd_optimizer_best(optimizer, &best));
    assert_true(best.budget == 1 && best.loss == 0.3 && best.job_number == 0);
    assert_int_equal(hd_optimizer_tell_stopped(optimizer, 0, 0.3, &err), HD_E_CONFLICT);
    assert_hd_ok(hd_optimizer_report(optimizer, 1, 2, 0.5, &decision, &err));
    assert_int_equal(decision, HD_DECISION_CONTINUE); /* the first at budget 2 */
    assert_hd_ok(hd_optimizer_report(optimizer, 0, 2, 0.6, &decision, &err));
    assert_int_equal(decision, HD_DECISION_STOP);
    assert_hd_ok(hd_optimizer_tell_stopped(optimizer, 0, 0.25, &err));
    assert_true(hd_optimizer_best(optimizer, &best));
    assert_true(best.budget == 2 && best.loss == 0.25 && best.job_number == 0);
    assert_int_equal(hd_optimizer_report(optimizer, 0, 3, 0.1, &decision, &err), HD_E_CONFLICT);
    assert_int_equal(hd_optimizer_report(optimizer, 7, 1, 0.1, &decision, &err), HD_E_NOTFOUND);
    assert_int_equal(hd_optimizer_report(optimizer, 1, NAN, 0.1, &decision, &err), HD_E_INVALID);
    assert_hd_ok(hd_optimizer_tell(optimizer, 1, true, 0.4, &err));
    assert_true(hd_optimizer_best(optimizer, &best));
    assert_true(best.budget == 4 && best.loss == 0.4 && best.job_number == 1);
    assert_int_equal(hd_optimizer_pending_count(optimizer), 0);
    hd_optimizer_free(optimizer);
    hd_space_free(space);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_two_hundred_calls_out_of_order),
        cmocka_unit_test(test_same_calls_same_answers),
        cmocka_unit_test(test_wait_and_done),
        cmocka_unit_test(test_wrong_tells_are_refused),
        cmocka_unit_test(test_a_used_up_space_ends_the_run),
        cmocka_unit_test(test_reports_stop_a_job),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
