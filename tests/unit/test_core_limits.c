/* SPDX-License-Identifier: Apache-2.0 */
/* The limits of a run: what ends it, how they are changed, and how a finished run goes on. */
#include "core_world.h"

static struct worker w;

static int one_worker(void **state)
{
    setup(state);
    w = (struct worker){.id = "w", .root = "", .incarnation = 1};
    hello(&w, NULL, 0);
    return 0;
}

static uint64_t set_limit(enum hd_limit limit, const char *value)
{
    return order(HD_COMMAND_SET_LIMIT, NULL, limit, value);
}

/* Runs jobs with rising losses until the run is over or `max` are done; the number of them. */
static uint32_t work(uint32_t max)
{
    uint32_t done = 0;
    while (done < max && run_view(0).state != HD_RUN_FINISHED) {
        uint64_t address = poll(&w);
        if (answer_to(address) == NULL || answer_to(address)->kind != HD_REPLY_LEASE)
            break;
        report(&w, answer_to(address)->lease.attempt, HD_OUTCOME_OK, 1.0 + done++);
    }
    return done;
}

/* Each rule ends the run by itself, with its reason. */
static void each_limit_ends_the_run(void **state)
{
    (void)state;
    static const struct {
        const char *more;
        uint32_t jobs;
        const char *reason;
    } rows[] = {
        {"\"budget\":2,\"stop\":{\"budget\":7}", 4,
         "a budget of 8 spent, the limit of this run is 7"},
        {"\"budget\":2,\"stop\":{\"budget\":6}", 3, "a budget of 6 spent"},
        {"\"stop\":{\"no_improvement\":3}", 4, "no improvement over the last 3 jobs"},
        {"\"stop\":{\"jobs\":2}", 2, "2 jobs done"},
    };
    for (size_t i = 0; i < HD_COUNT(rows); i++) {
        one_worker(NULL);
        start(rows[i].more);
        assert_int_equal(work(10), rows[i].jobs);
        assert_state(HD_RUN_FINISHED, rows[i].reason);
    }
}

/* A job at a higher budget is an improvement, one at a lower budget says nothing. */
static void only_the_highest_budget_can_improve(void **state)
{
    (void)state;
    start("\"iteration_generator\":{\"name\":\"successive_halving\",\"eta\":2},"
          "\"budget\":{\"min\":1,\"max\":2},\"stop\":{\"no_improvement\":1,\"iterations\":3}");
    assert_int_equal(work(3), 2); /* two at budget 1: the second one was no better */
    assert_state(HD_RUN_FINISHED, "no improvement over the last 1 jobs at budget 1");
}

/* Of a noisy target few configs are evaluated again before the run ends, when no other can come:
 * one of few is as often the best by luck as one of many. A limit that is raised brings others
 * first. */
static void few_noisy_configs_are_repeated_at_last(void **state)
{
    (void)state;
    start("\"objective\":\"loss\",\"noise\":{\"repeats\":3,\"share\":0.5},"
          "\"stop\":{\"configs\":4}");
    assert_int_equal(work(5), 5);
    assert_int_equal(job_view(3).repeat, 0);
    assert_int_equal(job_view(4).repeat, 1);
    assert_answer(set_limit(HD_LIMIT_CONFIGS, "5"), HD_REPLY_OK);
    assert_int_equal(work(1), 1);
    assert_int_equal(job_view(5).repeat, 0);
    assert_int_equal(work(20), 4); /* half of the ten */
    for (uint32_t job = 6; job < 10; job++)
        assert_int_not_equal(job_view(job).repeat, 0);
    assert_state(HD_RUN_FINISHED, "5 configs done");
}

/* Time passes for a run that works, not for one that is paused. */
static void paused_time_does_not_count(void **state)
{
    (void)state;
    start("\"stop\":{\"time\":\"100s\"}");
    pass(60000);
    command(HD_COMMAND_PAUSE_RUN, 0);
    pass(1000000);
    assert_state(HD_RUN_PAUSED, "paused by command");
    command(HD_COMMAND_RESUME_RUN, 0);
    pass(39000);
    assert_state(HD_RUN_ACTIVE, "");
    pass(2000);
    assert_state(HD_RUN_FINISHED, "time limit reached");
}

/* Limits change while the run goes on; each change is a fact, a repeated one is none. */
static void limits_change_while_it_runs(void **state)
{
    (void)state;
    start("\"stop\":{\"jobs\":10}");
    assert_int_equal(work(2), 2);
    assert_answer(set_limit(HD_LIMIT_JOBS, "3"), HD_REPLY_OK);
    size_t before = fact_counts[HD_FACT_COMMAND_GIVEN];
    assert_answer(set_limit(HD_LIMIT_JOBS, "3"), HD_REPLY_OK);
    assert_int_equal(fact_counts[HD_FACT_COMMAND_GIVEN], before);
    assert_int_equal(work(10), 1);
    assert_state(HD_RUN_FINISHED, "3 jobs done");
}

static void what_is_no_limit_is_refused(void **state)
{
    (void)state;
    static const struct {
        enum hd_limit limit;
        const char *value;
    } rows[] = {{HD_LIMIT_JOBS, "1.5"},     {HD_LIMIT_JOBS, "-1"},      {HD_LIMIT_JOBS, "none"},
                {HD_LIMIT_JOBS, "1e30"},    {HD_LIMIT_JOBS, "nan"},     {HD_LIMIT_BUDGET, "inf"},
                {HD_LIMIT_BUDGET, "-2"},    {HD_LIMIT_TIME, "1e300"},   {HD_LIMIT_GOAL, "inf"},
                {HD_LIMIT_GOAL, ""},        {HD_LIMIT_PRIORITY, "0.5"}, {HD_LIMIT_PARALLEL, "x"},
                {HD_LIMIT_PRIORITY, "1e10"}};
    start("\"stop\":{\"jobs\":10}");
    for (size_t i = 0; i < HD_COUNT(rows); i++) {
        uint64_t address = set_limit(rows[i].limit, rows[i].value);
        assert_answer(address, HD_REPLY_REFUSED);
        assert_non_null(strstr(answer_to(address)->text, hd_limit_name(rows[i].limit)));
    }
    assert_int_equal(fact_counts[HD_FACT_COMMAND_GIVEN], 0);
}

/* A goal may be set, moved and taken away. */
static void a_goal_can_be_moved(void **state)
{
    (void)state;
    start("\"objective\":\"loss\"");
    assert_int_equal(work(2), 2);
    assert_answer(set_limit(HD_LIMIT_GOAL, "0.5"), HD_REPLY_OK);
    assert_state(HD_RUN_ACTIVE, "");
    assert_answer(set_limit(HD_LIMIT_GOAL, "none"), HD_REPLY_OK);
    assert_answer(set_limit(HD_LIMIT_GOAL, "1"), HD_REPLY_OK);
    assert_state(HD_RUN_FINISHED, "goal reached: loss 1");
}

/* No more attempts of a run at a time than it may have, and its place goes to another run. */
static void parallel_bounds_a_run(void **state)
{
    (void)state;
    struct worker others[3] = {{.id = "x", .root = "", .incarnation = 2},
                               {.id = "y", .root = "", .incarnation = 3},
                               {.id = "z", .root = "", .incarnation = 4}};
    start("\"parallel\":1,\"priority\":5,\"stop\":{\"jobs\":10}");
    assert_answer(submit("s", 78, "\"stop\":{\"jobs\":10}"), HD_REPLY_OK);
    uint64_t addresses[3];
    assert_int_equal(lease(&w).run_uid, RUN_UID);
    for (size_t i = 0; i < HD_COUNT(others); i++) {
        hello(&others[i], NULL, 0);
        addresses[i] = poll(&others[i]);
        assert_answer(addresses[i], HD_REPLY_LEASE);
        assert_int_equal(answer_to(addresses[i])->lease.attempt.run_uid, 78);
    }
    /* More of it from now on. */
    struct worker late = {.id = "late", .root = "", .incarnation = 5};
    hello(&late, NULL, 0);
    assert_answer(set_limit(HD_LIMIT_PARALLEL, "2"), HD_REPLY_OK);
    assert_int_equal(lease(&late).run_uid, RUN_UID);
}

static void priority_changes_at_once(void **state)
{
    (void)state;
    start("\"stop\":{\"jobs\":10}");
    assert_answer(submit("s", 78, "\"priority\":1,\"stop\":{\"jobs\":10}"), HD_REPLY_OK);
    struct hd_attempt_ref first = lease(&w);
    assert_int_equal(first.run_uid, 78);
    report(&w, first, HD_OUTCOME_OK, 1);
    assert_answer(set_limit(HD_LIMIT_PRIORITY, "2"), HD_REPLY_OK);
    assert_int_equal(lease(&w).run_uid, RUN_UID);
}

/* A finished run that is given more to do goes on where it was; without, resume says what to do. */
static void a_finished_run_is_extended(void **state)
{
    (void)state;
    static const struct {
        const char *more;
        enum hd_limit limit;
        const char *value;
        uint32_t jobs, jobs_more;
    } rows[] = {
        {"\"stop\":{\"jobs\":3}", HD_LIMIT_JOBS, "5", 3, 2},
        {"\"stop\":{\"configs\":3}", HD_LIMIT_CONFIGS, "4", 3, 1},
        {"\"stop\":{\"iterations\":2}", HD_LIMIT_ITERATIONS, "5", 2, 3},
        {"\"stop\":{\"full_evaluations\":2}", HD_LIMIT_FULL_EVALUATIONS, "3", 2, 1},
        {"\"budget\":3,\"stop\":{\"budget\":6}", HD_LIMIT_BUDGET, "12", 2, 2},
        {"\"objective\":{\"name\":\"loss\",\"goal\":5},\"stop\":{\"jobs\":2}", HD_LIMIT_GOAL, "0.5",
         1, 1},
        {"\"iteration_generator\":{\"name\":\"asha\",\"eta\":2},\"budget\":{\"min\":1,\"max\":2},"
         "\"stop\":{\"iterations\":1}",
         HD_LIMIT_ITERATIONS, "2", 3, 3},
        {HALVING, HD_LIMIT_ITERATIONS, "2", 3, 3},
    };
    for (size_t i = 0; i < HD_COUNT(rows); i++) {
        one_worker(NULL);
        start(rows[i].more);
        assert_int_equal(work(100), rows[i].jobs);
        assert_state(HD_RUN_FINISHED, "");
        uint64_t refused = command(HD_COMMAND_RESUME_RUN, 0);
        assert_answer(refused, HD_REPLY_REFUSED);
        assert_non_null(strstr(answer_to(refused)->text, "hd set r LIMIT=VALUE"));
        assert_answer(set_limit(rows[i].limit, "1"), HD_REPLY_OK); /* not enough */
        if (rows[i].limit != HD_LIMIT_GOAL)
            assert_answer(command(HD_COMMAND_RESUME_RUN, 0), HD_REPLY_REFUSED);
        assert_answer(set_limit(rows[i].limit, rows[i].value), HD_REPLY_OK);
        assert_state(HD_RUN_FINISHED, "");
        assert_answer(command(HD_COMMAND_RESUME_RUN, 0), HD_REPLY_OK);
        assert_state(HD_RUN_ACTIVE, "extended by command");
        assert_int_equal(work(100), rows[i].jobs_more);
        assert_state(HD_RUN_FINISHED, "");
    }
}

static void a_cancelled_run_stays_cancelled(void **state)
{
    (void)state;
    start("\"stop\":{\"jobs\":3}");
    command(HD_COMMAND_CANCEL_RUN, 0);
    assert_state(HD_RUN_CANCELLED, "");
    assert_answer(set_limit(HD_LIMIT_JOBS, "9"), HD_REPLY_REFUSED);
    assert_answer(command(HD_COMMAND_RESUME_RUN, 0), HD_REPLY_REFUSED);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define T(name) cmocka_unit_test_setup_teardown(name, one_worker, teardown)
        T(each_limit_ends_the_run),
        T(only_the_highest_budget_can_improve),
        T(paused_time_does_not_count),
        T(limits_change_while_it_runs),
        T(what_is_no_limit_is_refused),
        T(a_goal_can_be_moved),
        T(parallel_bounds_a_run),
        T(priority_changes_at_once),
        T(few_noisy_configs_are_repeated_at_last),
        T(a_finished_run_is_extended),
        T(a_cancelled_run_stays_cancelled),
#undef T
    };
    return cmocka_run_group_tests_name("core_limits", tests, NULL, NULL);
}
