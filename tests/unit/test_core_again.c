/* SPDX-License-Identifier: Apache-2.0 */
/* Failed jobs that people have run once more, and another image for a run. */
#include "core_world.h"

static struct worker w;

static int one_worker(void **state)
{
    setup(state);
    w = (struct worker){.id = "w", .root = "", .incarnation = 1};
    hello(&w, NULL, 0);
    return 0;
}

static void end_next(enum hd_outcome outcome, double loss)
{
    struct hd_attempt_ref attempt = lease(&w);
    assert_int_equal(answer_to(report(&w, attempt, outcome, loss))->verdict, HD_VERDICT_ACCEPTED);
}

static void assert_refused(uint32_t job, enum hd_code code, const char *text)
{
    uint64_t address = command(HD_COMMAND_REQUEUE_JOB, job);
    assert_answer(address, HD_REPLY_REFUSED);
    assert_int_equal(answer_to(address)->code, code);
    assert_non_null(strstr(answer_to(address)->text, text));
}

/* The failed job stays; another one has its config and budget, from the start of its retries, and
 * its result is the best. Said twice it runs once. */
static void a_failed_job_runs_once_more(void **state)
{
    (void)state;
    start("\"stop\":{\"configs\":3}");
    end_next(HD_OUTCOME_OK, 5);
    end_next(HD_OUTCOME_OOM, (double)NAN);
    assert_answer(command(HD_COMMAND_REQUEUE_JOB, 1), HD_REPLY_OK);
    assert_refused(1, HD_E_EXISTS, "job 1 is run again already, as job 2");
    assert_int_equal(run_view(0).job_count, 3);
    assert_int_equal(job_view(2).again, 2);
    assert_int_equal(job_view(2).config, 1);
    assert_int_equal(job_view(2).seed, job_view(1).seed);
    assert_true(job_view(1).closed);
    end_next(HD_OUTCOME_OK, 1);
    assert_int_equal(run_view(0).incumbent_job, 2);
    end_next(HD_OUTCOME_OK, 2);
    assert_state(HD_RUN_FINISHED, "3 configs done");
    assert_int_equal(run_view(0).job_count, 4);
}

/* What the command cannot mean is refused, with why. */
static void only_failed_jobs_run_once_more(void **state)
{
    (void)state;
    start("\"stop\":{\"jobs\":9}");
    end_next(HD_OUTCOME_OK, 5);
    struct hd_attempt_ref attempt = lease(&w);
    static const struct {
        uint32_t job;
        const char *text;
    } rows[] = {{0, "ended ok"}, {7, "has no job 7"}};
    for (size_t i = 0; i < HD_COUNT(rows); i++) {
        uint64_t address = command(HD_COMMAND_REQUEUE_JOB, rows[i].job);
        assert_answer(address, HD_REPLY_REFUSED);
        assert_non_null(strstr(answer_to(address)->text, rows[i].text));
    }
    assert_refused(1, HD_E_CONFLICT, "job 1 still runs, on w");
    assert_int_equal(fact_counts[HD_FACT_COMMAND_GIVEN], 0);
    report(&w, attempt, HD_OUTCOME_DIVERGED, (double)NAN);
    assert_answer(command(HD_COMMAND_REQUEUE_JOB, 1), HD_REPLY_OK);
    assert_int_equal(run_view(0).job_count, 3);
    assert_refused(2, HD_E_CONFLICT, "job 2 waits for its attempt 1");
    command(HD_COMMAND_CANCEL_RUN, 0);
    assert_answer(command(HD_COMMAND_REQUEUE_JOB, 1), HD_REPLY_REFUSED);
}

/* A finished run goes on for it, and ends again; one whose end was a goal does not. */
static void a_finished_run_goes_on_for_it(void **state)
{
    (void)state;
    start("\"stop\":{\"jobs\":2}");
    end_next(HD_OUTCOME_TIMEOUT, (double)NAN);
    end_next(HD_OUTCOME_NO_RESULT, (double)NAN);
    assert_state(HD_RUN_FINISHED, "2 jobs done");
    assert_answer(command(HD_COMMAND_REQUEUE_JOB, 0), HD_REPLY_OK);
    assert_answer(command(HD_COMMAND_REQUEUE_JOB, 1), HD_REPLY_OK);
    assert_state(HD_RUN_ACTIVE, "failed jobs are run again");
    end_next(HD_OUTCOME_OK, 3);
    end_next(HD_OUTCOME_NO_RESULT, (double)NAN);
    assert_state(HD_RUN_FINISHED, "4 jobs done");
    /* The second one's second failure may be tried again as well, the first failure no more. */
    assert_refused(1, HD_E_EXISTS, "as job 3");
    assert_state(HD_RUN_FINISHED, "4 jobs done");
    assert_answer(command(HD_COMMAND_REQUEUE_JOB, 3), HD_REPLY_OK);
    assert_state(HD_RUN_ACTIVE, "");

    one_worker(NULL);
    start("\"stop\":{\"jobs\":9},\"objective\":{\"name\":\"loss\",\"goal\":2}");
    end_next(HD_OUTCOME_OOM, (double)NAN);
    end_next(HD_OUTCOME_OK, 1);
    assert_state(HD_RUN_FINISHED, "goal reached");
    uint64_t address = command(HD_COMMAND_REQUEUE_JOB, 0);
    assert_answer(address, HD_REPLY_REFUSED);
    assert_non_null(strstr(answer_to(address)->text, "goal reached"));
}

/* In a rung that is not over its config is ranked as if it had never failed; afterwards the result
 * counts, and promotes nothing. */
static void a_rung_that_is_not_over_takes_it(void **state)
{
    (void)state;
    start(HALVING);
    end_next(HD_OUTCOME_OOM, (double)NAN);
    assert_answer(command(HD_COMMAND_REQUEUE_JOB, 0), HD_REPLY_OK);
    end_next(HD_OUTCOME_OK, 1);
    end_next(HD_OUTCOME_OK, 2);
    struct hd_attempt_ref attempt = lease(&w);
    assert_int_equal(job_view(attempt.job).config, 0);
    assert_true(job_view(attempt.job).budget > 1);
    report(&w, attempt, HD_OUTCOME_OK, 0.5);
    assert_state(HD_RUN_FINISHED, "all iterations done");

    one_worker(NULL);
    start(HALVING);
    end_next(HD_OUTCOME_OOM, (double)NAN);
    end_next(HD_OUTCOME_OK, 2);
    assert_answer(command(HD_COMMAND_REQUEUE_JOB, 0), HD_REPLY_OK);
    assert_true(noted("its rung is over: it will not be promoted"));
    end_next(HD_OUTCOME_OK, 1);
    attempt = lease(&w);
    assert_int_equal(job_view(attempt.job).config, 1);
    report(&w, attempt, HD_OUTCOME_OK, 0.5);
    assert_state(HD_RUN_FINISHED, "all iterations done");
}

/* With no barriers it always counts. */
static void an_asynchronous_rung_always_takes_it(void **state)
{
    (void)state;
    start("\"iteration_generator\":{\"name\":\"asha\",\"eta\":2,\"opening\":0},"
          "\"budget\":{\"min\":1,\"max\":2},\"stop\":{\"configs\":2}");
    end_next(HD_OUTCOME_OOM, (double)NAN);
    end_next(HD_OUTCOME_OK, 2);
    assert_answer(command(HD_COMMAND_REQUEUE_JOB, 0), HD_REPLY_OK);
    while (run_view(0).state == HD_RUN_ACTIVE || run_view(0).state == HD_RUN_CLOSING) {
        struct hd_attempt_ref attempt = lease(&w);
        report(&w, attempt, HD_OUTCOME_OK, job_view(attempt.job).config == 0 ? 0.5 : 2);
    }
    assert_int_equal(run_view(0).incumbent_config, 0);
    assert_true(run_view(0).incumbent_budget > 1);
}

/* ---- images ---------------------------------------------------------------------------------- */

static uint64_t set_image(const char *image)
{
    struct hd_request request = blank();
    request.kind = HD_REQUEST_COMMAND;
    request.run_id = "r";
    request.command = HD_COMMAND_SET_IMAGE;
    request.image = image;
    return post(&request, 0);
}

static void start_image(const char *target)
{
    char text[512];
    assert_true(hd_format(text, sizeof(text),
                          "{\"name\":\"r\",\"target\":%s,\"space\":{\"x\":{\"type\":\"float\","
                          "\"low\":0,\"high\":1}},\"sampler\":{\"name\":\"random\"},"
                          "\"stop\":{\"jobs\":9}}",
                          target));
    struct hd_request request = blank();
    request.kind = HD_REQUEST_SUBMIT;
    request.run_id = "r";
    request.run_uid = RUN_UID;
    request.experiment_json = text;
    assert_answer(post(&request, 0), HD_REPLY_OK);
}

static void end_with_image(struct hd_attempt_ref attempt, const char *image_id)
{
    struct hd_request request = from(&w, HD_REQUEST_REPORT, HD_LANE_REPORT, ++w.report);
    request.result.attempt = attempt;
    request.result.outcome = HD_OUTCOME_OK;
    request.result.loss = 1;
    request.result.image_id = image_id;
    post(&request, w.incarnation);
}

/* Attempts that begin later run it, and the run's image is what the first of them says; one that
 * was on its way with the old image does not count. The experiment stays as it was. */
static void another_image_is_for_later_attempts(void **state)
{
    (void)state;
    start_image("{\"image\":\"a:1\"}");
    struct hd_attempt_ref attempt = lease(&w);
    assert_answer(set_image("b:2"), HD_REPLY_OK);
    assert_non_null(strstr(run_view(0).target_json, "\"b:2\""));
    assert_null(strstr(run_view(0).target_json, "\"a:1\""));
    assert_non_null(strstr(run_view(0).experiment_json, "\"a:1\""));
    end_with_image(attempt, "sha256:old");
    assert_string_equal(run_view(0).image_id, "");
    end_with_image(lease(&w), "sha256:new");
    assert_string_equal(run_view(0).image_id, "sha256:new");
    assert_answer(set_image("b:2"), HD_REPLY_OK); /* as it is */
    assert_int_equal(fact_counts[HD_FACT_COMMAND_GIVEN], 1);
    assert_answer(set_image("a:1"), HD_REPLY_OK); /* and back */
    assert_int_equal(fact_counts[HD_FACT_COMMAND_GIVEN], 2);
    assert_non_null(strstr(run_view(0).target_json, "\"a:1\""));
}

static void what_is_no_image_is_refused(void **state)
{
    (void)state;
    static const struct {
        const char *target, *image, *text;
    } rows[] = {
        {"{\"image\":\"a\"}", "-x", "is not the name of an image"},
        {"{\"image\":\"a\"}", "b c", "is not the name of an image"},
        {"{\"image\":\"a\"}", "", ""},
        {"{\"image\":\"a\"}", "x${params.x}", "image"},
        {"{\"command\":[\"./t\"]}", "b", "is a command: it has no image"},
        {"{\"image\":{\"build\":\"/nowhere\",\"name\":\"hyperdock-build:1\"}}", "b",
         "is built from a directory"},
    };
    for (size_t i = 0; i < HD_COUNT(rows); i++) {
        one_worker(NULL);
        start_image(rows[i].target);
        uint64_t address = set_image(rows[i].image);
        assert_answer(address, HD_REPLY_REFUSED);
        assert_non_null(strstr(answer_to(address)->text, rows[i].text));
        assert_int_equal(fact_counts[HD_FACT_COMMAND_GIVEN], 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define T(name) cmocka_unit_test_setup_teardown(name, one_worker, teardown)
        T(a_failed_job_runs_once_more),          T(only_failed_jobs_run_once_more),
        T(a_finished_run_goes_on_for_it),        T(a_rung_that_is_not_over_takes_it),
        T(an_asynchronous_rung_always_takes_it), T(another_image_is_for_later_attempts),
        T(what_is_no_image_is_refused),
#undef T
    };
    return cmocka_run_group_tests_name("core_again", tests, NULL, NULL);
}
