/* SPDX-License-Identifier: Apache-2.0 */
/* What a run learns of how long its jobs take. */
#include "testlib.h"

#include "../../dispatcher/core/core_internal.h"

#include <math.h>
#include <string.h>

static void learn(struct run *run, double budget, double from, enum hd_outcome outcome,
                  uint32_t attempt, int64_t ms)
{
    const struct job job = {.budget = budget};
    const struct hd_fact_attempt_ended ended = {.outcome = outcome,
                                                .attempt = attempt,
                                                .by_report = true,
                                                .started_wall_ms = 1000,
                                                .finished_wall_ms = 1000 + ms};
    core_learn_duration(run, &job, from, &ended);
}

static void jobs_take_what_the_last_ones_took(void **state)
{
    (void)state;
    static struct run run;
    run = (struct run){0};
    assert_int_equal(core_usual_ms(&run, 9, NAN), 0);
    learn(&run, 9, NAN, HD_OUTCOME_OK, 1, 90000);
    assert_int_equal(core_usual_ms(&run, 9, NAN), 90000);
    /* the same amount of work, from a checkpoint */
    assert_int_equal(core_usual_ms(&run, 12, 3), 90000);
    /* more work takes at least as long; of less nothing is known */
    assert_int_equal(core_usual_ms(&run, 27, NAN), 90000);
    assert_int_equal(core_usual_ms(&run, 9, 3), 0);
    /* eight newer ones make the old one forgotten */
    for (int i = 0; i < HD_DURATIONS_KEPT; i++)
        learn(&run, 9, NAN, HD_OUTCOME_OK, 1, 10000 + i);
    assert_int_equal(core_usual_ms(&run, 9, NAN), 10006);
    /* one that hung among eight is passed over */
    learn(&run, 9, NAN, HD_OUTCOME_OK, 1, 5000000);
    assert_int_equal(core_usual_ms(&run, 9, NAN), 10007);
}

static void what_says_nothing_of_the_whole_job_is_not_learnt(void **state)
{
    (void)state;
    static struct run run;
    run = (struct run){0};
    learn(&run, 9, NAN, HD_OUTCOME_OK, 2, 90000); /* half of it may have been done before */
    learn(&run, 9, NAN, HD_OUTCOME_FAILED, 1, 90000);
    learn(&run, 9, NAN, HD_OUTCOME_OK, 1, -5); /* its clock was set back */
    assert_int_equal(core_usual_ms(&run, 9, NAN), 0);
    /* one that was cut would have taken longer still */
    learn(&run, 9, NAN, HD_OUTCOME_PREEMPTED, 3, 50000);
    assert_int_equal(core_usual_ms(&run, 9, NAN), 50000);
    learn(&run, 9, NAN, HD_OUTCOME_PREEMPTED, 4, 20000);
    assert_int_equal(core_usual_ms(&run, 9, NAN), 50000);
}

/* Who waits for a worker that stays waits on, however many short jobs find theirs meanwhile. */
static void a_long_job_is_not_made_to_wait_by_short_ones(void **state)
{
    (void)state;
    static struct run run;
    run = (struct run){.unfit_since_ms = 5000, .unfit_usual_ms = 90000};
    core_unfit_served(&run, 10000);
    assert_int_equal(run.unfit_since_ms, 5000);
    core_unfit_served(&run, 90000);
    assert_true(run.unfit_since_ms == HD_NEVER_MS);
}

static void the_table_is_bounded(void **state)
{
    (void)state;
    static struct run run;
    run = (struct run){0};
    for (int i = 1; i <= 2 * HD_DURATIONS_MAX; i++)
        learn(&run, i, NAN, HD_OUTCOME_OK, 1, i);
    assert_int_equal(run.duration_count, HD_DURATIONS_MAX);
    assert_int_equal(core_usual_ms(&run, 1e9, NAN), HD_DURATIONS_MAX);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(jobs_take_what_the_last_ones_took),
        cmocka_unit_test(what_says_nothing_of_the_whole_job_is_not_learnt),
        cmocka_unit_test(a_long_job_is_not_made_to_wait_by_short_ones),
        cmocka_unit_test(the_table_is_bounded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
