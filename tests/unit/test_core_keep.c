/* SPDX-License-Identifier: Apache-2.0 */
/* Which work directories are still needed, as workers are told that ask. */
#include "core_world.h"

static struct worker w;
static struct hd_attempt_ref left[8]; /* by job */

static int one_worker(void **state)
{
    setup(state);
    w = (struct worker){.id = "w", .root = "disk", .incarnation = 1};
    memset(left, 0, sizeof(left));
    hello(&w, NULL, 0);
    return 0;
}

static void end_next(enum hd_outcome outcome, double loss)
{
    struct hd_attempt_ref attempt = lease(&w);
    assert_true(attempt.job < HD_COUNT(left));
    left[attempt.job] = attempt;
    assert_int_equal(answer_to(report(&w, attempt, outcome, loss))->verdict, HD_VERDICT_ACCEPTED);
}

static void report_measures(struct worker *worker, struct hd_attempt_ref attempt,
                            const double *measures, size_t count)
{
    struct hd_request request = from(worker, HD_REQUEST_REPORT, HD_LANE_REPORT, ++worker->report);
    request.result.attempt = attempt;
    request.result.outcome = HD_OUTCOME_OK;
    request.result.loss = measures[0];
    memcpy(request.result.measures, measures, count * sizeof(*measures));
    request.result.measure_count = count;
    request.result.directory = "config-0";
    assert_int_equal(answer_to(post(&request, worker->incarnation))->verdict,
                     HD_VERDICT_ACCEPTED);
}

static void assert_need(struct hd_attempt_ref attempt, enum hd_need need)
{
    const struct hd_left asked = {
        .attempt = attempt, .worker = "w", .root = "disk", .directory = "config-0"};
    assert_string_equal(hd_need_name(hd_core_need(core, &asked)), hd_need_name(need));
    assert_int_equal(hd_core_need(shadow, &asked), hd_core_need(core, &asked));
}

/* A state is needed until the rung is over, and then of those alone that go on. */
static void a_state_is_needed_while_its_config_may_go_on(void **state)
{
    (void)state;
    start("\"keep_work\":\"incumbent\"," HALVING);
    end_next(HD_OUTCOME_OK, 5);
    assert_need(left[0], HD_NEED_STATE); /* the other one may be worse */
    struct hd_attempt_ref second = lease(&w);
    assert_need(second, HD_NEED_STATE);
    report(&w, second, HD_OUTCOME_OK, 9);
    assert_need(second, HD_NEED_NOTHING);
    assert_need(left[0], HD_NEED_STATE); /* promoted */
    end_next(HD_OUTCOME_OK, 4);
    assert_need(left[2], HD_NEED_BEST);
    assert_need(second, HD_NEED_NOTHING);
}

/* Without a rule of the experiment nothing goes before room is needed, and the incumbent stays. */
static void all_directories_stay_unless_the_experiment_says_so(void **state)
{
    (void)state;
    start("\"stop\":{\"configs\":3}");
    end_next(HD_OUTCOME_OK, 5);
    end_next(HD_OUTCOME_OK, 2);
    end_next(HD_OUTCOME_OK, 7);
    assert_need(left[0], HD_NEED_ROOM);
    assert_need(left[1], HD_NEED_BEST);
    assert_need(left[2], HD_NEED_ROOM);
}

/* The highest budget leads, then the loss; of equals the result that was first. */
static void so_many_of_the_best_stay(void **state)
{
    (void)state;
    static const double losses[] = {5, 3, 8, 3, 1, 9};
    static const enum hd_need needs[] = {HD_NEED_NOTHING, HD_NEED_BEST, HD_NEED_NOTHING,
                                         HD_NEED_BEST,    HD_NEED_BEST, HD_NEED_NOTHING};
    start("\"keep_work\":3,\"stop\":{\"configs\":6}");
    for (size_t i = 0; i < HD_COUNT(losses); i++)
        end_next(HD_OUTCOME_OK, losses[i]);
    for (size_t i = 0; i < HD_COUNT(needs); i++)
        assert_need(left[i], needs[i]);
}

/* Of results that are as good the first is the incumbent, whatever its config's number: its
 * directory is the one that stays. */
static void the_incumbent_is_among_the_best(void **state)
{
    (void)state;
    struct worker other = {.id = "w2", .root = "disk", .incarnation = 2};
    start("\"keep_work\":\"incumbent\",\"stop\":{\"configs\":2}");
    hello(&other, NULL, 0);
    struct hd_attempt_ref slow = lease(&other), quick = lease(&w);
    assert_true(slow.job < quick.job);
    report(&w, quick, HD_OUTCOME_OK, 3);
    report(&other, slow, HD_OUTCOME_OK, 3);
    assert_need(quick, HD_NEED_BEST);
    assert_need(slow, HD_NEED_NOTHING);
}

/* A config that breaks a constraint is not the best, however low its loss. */
static void the_best_are_feasible(void **state)
{
    (void)state;
    static const double losses[] = {5, 1, 7}, sizes[] = {0, 9, 0};
    start("\"keep_work\":\"incumbent\",\"stop\":{\"configs\":3},"
          "\"objective\":\"loss\",\"constraints\":[{\"name\":\"size\",\"max\":4}]");
    for (size_t i = 0; i < HD_COUNT(losses); i++) {
        left[i] = lease(&w);
        report_measures(&w, left[i], (double[]){losses[i], sizes[i]}, 2);
    }
    assert_need(left[0], HD_NEED_BEST);
    assert_need(left[1], HD_NEED_NOTHING);
    assert_need(left[2], HD_NEED_NOTHING);
}

/* A person may have a failed job run again, from what its config had: until the run is over. */
static void a_failed_job_keeps_its_state_while_the_run_goes_on(void **state)
{
    (void)state;
    start("\"keep_work\":1,\"stop\":{\"configs\":3}");
    end_next(HD_OUTCOME_OK, 5);
    end_next(HD_OUTCOME_DIVERGED, (double)NAN);
    assert_need(left[1], HD_NEED_STATE);
    assert_answer(command(HD_COMMAND_REQUEUE_JOB, 1), HD_REPLY_OK);
    assert_need(left[1], HD_NEED_STATE);
    end_next(HD_OUTCOME_OK, 7);
    assert_need(left[2], HD_NEED_NOTHING);
    end_next(HD_OUTCOME_OOM, (double)NAN);
    assert_need(left[3], HD_NEED_NOTHING);
    assert_state(HD_RUN_FINISHED, "3 configs done");
}

/* What another history has granted, another machine has, or an older grant left is not judged. */
static void what_this_history_does_not_know_is_needed(void **state)
{
    (void)state;
    start("\"keep_work\":1,\"stop\":{\"configs\":3}");
    end_next(HD_OUTCOME_OK, 1);
    end_next(HD_OUTCOME_OK, 5);
    assert_need(left[1], HD_NEED_NOTHING);
    struct hd_attempt_ref other = left[1];
    other.stamp++;
    assert_need(other, HD_NEED_UNKNOWN);
    other.stamp = 0;
    assert_need(other, HD_NEED_UNKNOWN);
    other = left[1];
    other.run_uid++;
    assert_need(other, HD_NEED_UNKNOWN);
    other = left[1];
    other.attempt++;
    assert_need(other, HD_NEED_UNKNOWN);
    other = left[1];
    other.job = 900;
    assert_need(other, HD_NEED_UNKNOWN);
}

/* Nothing leads any more to a directory when its config's state is another one. */
static void a_state_that_was_left_behind_is_nobodys(void **state)
{
    (void)state;
    start("\"keep_work\":1,\"stop\":{\"configs\":2}");
    end_next(HD_OUTCOME_OK, 1);
    const struct hd_left elsewhere[] = {
        {left[0], "w", "disk", "config-0"},
        {left[0], "other", "disk", "config-0"},
        {left[0], "w", "another disk", "config-0"},
        {left[0], "w", "disk", "config-1"},
    };
    static const enum hd_need needs[] = {HD_NEED_BEST, HD_NEED_NOTHING, HD_NEED_NOTHING,
                                         HD_NEED_NOTHING};
    for (size_t i = 0; i < HD_COUNT(elsewhere); i++)
        assert_int_equal(hd_core_need(core, &elsewhere[i]), needs[i]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_state_is_needed_while_its_config_may_go_on, one_worker,
                                        teardown),
        cmocka_unit_test_setup_teardown(all_directories_stay_unless_the_experiment_says_so,
                                        one_worker, teardown),
        cmocka_unit_test_setup_teardown(so_many_of_the_best_stay, one_worker, teardown),
        cmocka_unit_test_setup_teardown(the_incumbent_is_among_the_best, one_worker, teardown),
        cmocka_unit_test_setup_teardown(the_best_are_feasible, one_worker, teardown),
        cmocka_unit_test_setup_teardown(a_failed_job_keeps_its_state_while_the_run_goes_on,
                                        one_worker, teardown),
        cmocka_unit_test_setup_teardown(what_this_history_does_not_know_is_needed, one_worker,
                                        teardown),
        cmocka_unit_test_setup_teardown(a_state_that_was_left_behind_is_nobodys, one_worker,
                                        teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
