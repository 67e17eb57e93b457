/* SPDX-License-Identifier: Apache-2.0 */
/* The agent at work, in stories; how it leaves is test_agent_leave.c. */
#include "agent_story.h"

#include <string.h>

static struct hd_err err;

/* ---- stories -------------------------------------------------------------------------------- */

static void one_job_comes_runs_and_is_reported_with_the_next_one(void **state)
{
    (void)state;
    struct hd_agent *agent = agent_with(1, "", 0);
    STORY(agent, {"@0", "lookup"}, {"masters A=a", "connect 0 a; hello 0#1"},
          {"0 control#1 ok", "lease 0#1 wait=20000"}, {"@10 0 lease#1 lease 7.1", "start 7.1"},
          {"@5000", "ping 0#2 7.1 seen=1"}, {"0 control#2 ok", ""},
          {"@6000 ended 7.1 ok", "report 0#1 7.1 ok next=2"},
          {"0 report#1 lease 8.1 accepted", "ack 7.1 accepted; start 8.1"},
          {"@7000 ended 8.1 ok", "report 0#2 8.1 ok next=3"},
          {"0 report#2 ok accepted", "ack 8.1 accepted; lease 0#4 wait=20000"},
          {"@10000 0 lease#4 nothing", "ping 0#3 seen=4; lease 0#5 wait=20000; lookup"});
    hd_agent_free(agent);
}

static void polls_stop_when_every_slot_is_taken(void **state)
{
    (void)state;
    struct hd_agent *agent = agent_with(2, "", 0);
    STORY(agent, {"@0", "lookup"}, {"masters A=a", "connect 0 a; hello 0#1"},
          {"0 control#1 ok", "lease 0#1 wait=20000"},
          {"0 lease#1 lease 7.1", "start 7.1; lease 0#2 wait=20000"},
          {"0 lease#2 lease 8.1", "start 8.1"},
          /* a slot is free as soon as its attempt ended, before the acknowledgement */
          {"ended 8.1 failed", "report 0#1 8.1 failed next=3"},
          {"0 report#1 ok rejected", "ack 8.1 rejected; lease 0#4 wait=20000"});
    hd_agent_free(agent);
}

static void duplicates_and_late_answers_change_nothing(void **state)
{
    (void)state;
    struct hd_agent *agent = agent_with(2, "", 0);
    STORY(agent, {"@0", "lookup"}, {"masters A=a", "connect 0 a; hello 0#1"}, {"masters A=a", ""},
          {"0 control#1 ok", "lease 0#1 wait=20000"}, {"0 control#1 ok", ""},
          {"0 lease#1 lease 7.1", "start 7.1; lease 0#2 wait=20000"}, {"0 lease#1 lease 7.1", ""},
          {"0 lease#1 nothing", ""}, {"0 lease#1 failed", ""},
          /* the same job under a new sequence: held already */
          {"0 lease#2 lease 7.1", "lease 0#3 wait=20000"}, {"ended 7.1 ok", "report 0#1 7.1 ok"},
          {"ended 7.1 ok", ""}, {"0 report#1 ok accepted", "ack 7.1 accepted"},
          {"0 report#1 ok accepted", ""}, {"5 report#1 ok accepted", ""},
          /* nobody waits for this one */
          {"ended 7.1 ok", "drop 7.1"});
    hd_agent_free(agent);
}

static void a_failed_request_goes_out_again_with_its_sequence(void **state)
{
    (void)state;
    struct hd_agent *agent = agent_with(2, "", 0);
    STORY(agent, {"@0", "lookup"}, {"masters A=a", "connect 0 a; hello 0#1"},
          {"0 control#1 ok", "lease 0#1 wait=20000"},
          {"0 lease#1 lease 7.1", "start 7.1; lease 0#2 wait=20000"},
          {"@100 ended 7.1 ok", "report 0#1 7.1 ok"}, {"@200 0 report#1 failed", "lookup"},
          {"0 lease#2 failed", ""}, {"@300", "connect 0 a; hello 0#2 7.1 seen=1"},
          {"0 control#2 failed", ""}, {"@499", ""}, {"@500", "connect 0 a; hello 0#3 7.1 seen=1"},
          {"masters A=a", ""}, {"0 control#3 ok", "report 0#1 7.1 ok; lease 0#2 wait=20000"},
          {"0 report#1 ok accepted", "ack 7.1 accepted"},
          {"0 lease#2 lease 9.1", "start 9.1; lease 0#3 wait=20000"});
    hd_agent_free(agent);
}

/* A test is answered by a ping at once, with what the host says it could do then; a reply that
 * repeats the question asks for nothing more, and a lost answer goes out again. */
static void a_test_is_answered_at_once_and_once(void **state)
{
    (void)state;
    struct hd_agent *agent = agent_with(1, "", 0);
    STORY(agent, {"@0", "lookup"}, {"masters A=a", "connect 0 a; hello 0#1"},
          {"0 control#1 ok", "lease 0#1 wait=20000"},
          {"@100 0 lease#1 nothing echo=7", "describe; lease 0#2 wait=20000"},
          {"described process", "ping 0#2 seen=1 echo=7 process"}, {"0 control#2 ok", ""},
          {"@200 0 lease#2 nothing echo=7", "lease 0#3 wait=20000"},
          {"@300 0 lease#3 nothing echo=8", "describe; lease 0#4 wait=20000"},
          {"described unfit", "ping 0#3 seen=3 echo=8 unfit!"}, {"0 control#3 failed", "lookup"},
          {"@400", "connect 0 a; hello 0#4 seen=3"}, {"masters A=a", ""},
          {"0 control#4 ok", "ping 0#5 seen=3 echo=8 unfit!; lease 0#4 wait=20000"},
          {"0 control#5 ok", ""});
    hd_agent_free(agent);
}

static void a_report_that_carried_a_poll_carries_it_again(void **state)
{
    (void)state;
    struct hd_agent *agent = agent_with(1, "", 0);
    STORY(agent, {"@0", "lookup"}, {"masters A=a", "connect 0 a; hello 0#1"},
          {"0 control#1 ok", "lease 0#1 wait=20000"}, {"0 lease#1 lease 7.1", "start 7.1"},
          {"masters A=a", ""}, {"ended 7.1 ok", "report 0#1 7.1 ok next=2"},
          {"0 report#1 failed", "lookup"}, {"@100", "connect 0 a; hello 0#2 7.1 seen=1"},
          {"0 control#2 ok", "report 0#1 7.1 ok next=2"},
          {"0 report#1 lease 8.1 accepted", "ack 7.1 accepted; start 8.1"});
    hd_agent_free(agent);
}

/* Its answer lay there while the worker was frozen, for longer than a lease lasts: nothing is begun
 * before the master has said that the attempt is still this worker's. */
static void a_lease_that_was_slept_through_is_asked_for_again(void **state)
{
    (void)state;
    struct hd_agent *agent = agent_with(1, "", 0);
    STORY(agent, {"@0", "lookup"}, {"masters A=a", "connect 0 a; hello 0#1"},
          {"0 control#1 ok", "lease 0#1 wait=20000"}, {"@5000", "ping 0#2"}, {"0 control#2 ok", ""},
          {"@35000 0 lease#1 lease 7.1 term=30000", "ping 0#3; lease 0#1 wait=20000; lookup"},
          /* it is, for a whole term from now on */
          {"0 lease#1 lease 7.1 term=30000", "start 7.1"});
    hd_agent_free(agent);
    agent = agent_with(1, "", 0);
    STORY(agent, {"@0", "lookup"}, {"masters A=a", "connect 0 a; hello 0#1"},
          {"0 control#1 ok", "lease 0#1 wait=20000"}, {"@5000", "ping 0#2"}, {"0 control#2 ok", ""},
          {"@34999 0 lease#1 lease 7.1 term=30000", "start 7.1; ping 0#3 7.1 seen=1; lookup"},
          {"masters A=a", ""}, {"0 control#3 ok", ""},
          {"@35000 ended 7.1 ok", "report 0#1 7.1 ok next=2"},
          /* the one that came with an acknowledgement: both again, with what they carried */
          {"@66000 0 report#1 lease 8.1 accepted term=30000",
           "report 0#1 7.1 ok next=2; ping 0#4 7.1 seen=1; lookup"},
          {"0 report#1 ok accepted", "ack 7.1 accepted; lease 0#3 wait=20000"});
    hd_agent_free(agent);
}

static void a_master_that_restarted_elsewhere_is_found_and_told_what_is_held(void **state)
{
    (void)state;
    struct hd_agent *agent = agent_with(2, "", 0);
    STORY(agent, {"@0", "lookup"}, {"masters A=a", "connect 0 a; hello 0#1"},
          {"0 control#1 ok", "lease 0#1 wait=20000"},
          {"0 lease#1 lease 7.1", "start 7.1; lease 0#2 wait=20000"},
          {"@1000 0 lease#2 failed", "lookup"},
          {"@1050 masters A=b", "connect 0 b; hello 0#2 7.1 seen=1"},
          {"0 control#2 ok", "lease 0#2 wait=20000"},
          /* it restarted behind the same connection */
          {"0 lease#2 hello-first", "hello 0#3 7.1 seen=1"},
          {"0 control#3 ok", "lease 0#2 wait=20000"}, {"@6050", "ping 0#4 7.1 seen=1"},
          {"0 control#4 hello-first", "hello 0#5 7.1 seen=1"}, {"0 control#5 ok", ""});
    hd_agent_free(agent);
}

static void results_wait_any_time_for_their_master(void **state)
{
    (void)state;
    struct hd_agent *agent = agent_with(1, "", 0);
    STORY(agent, {"@0 adopted A 7.1", "lookup"}, {"adopted A 7.1", ""}, {"ended 5.2 ok from A", ""},
          {"masters", ""}, {"@86400000", "lookup"}, {"ended 7.1 ok", ""},
          {"masters A=a B=b", "connect 0 a; hello 0#1 7.1 5.2; connect 1 b; hello 1#1"},
          {"0 control#1 ok", "report 0#1 5.2 ok next=1"},
          {"0 report#1 ok accepted", "ack 5.2 accepted; report 0#2 7.1 ok next=2"},
          {"0 report#2 ok rejected", "ack 7.1 rejected; lease 0#3 wait=20000"});
    hd_agent_free(agent);
}

static void commands_of_a_master_reach_what_runs(void **state)
{
    (void)state;
    struct hd_agent *agent = agent_with(4, "", 0);
    STORY(agent, {"@0 adopted A 1.1", "lookup"}, {"adopted A 2.1", ""}, {"adopted A 3.1", ""},
          {"adopted B 4.1", ""}, {"masters A=a", "connect 0 a; hello 0#1 1.1 2.1 3.1"},
          /* 4.1 is not this master's to command */
          {"0 control#1 ok stop=1.1 cancel=2.1 drop=3.1 drop=4.1",
           "stop 1.1 stopped; stop 2.1 cancelled; drop 3.1; lease 0#1 wait=20000"},
          {"@5000", "ping 0#2 1.1 2.1"}, {"0 control#2 ok stop=1.1 cancel=1.1 cancel=2.1", ""},
          {"ended 1.1 stopped", "report 0#1 1.1 stopped"},
          /* a drop that crosses the report of an ended attempt waits for its verdict */
          {"@10000", "ping 0#3 1.1 2.1; lookup"}, {"0 control#3 ok drop=1.1 drop=2.1", "drop 2.1"},
          {"ended 2.1 cancelled", "drop 2.1"}, {"0 report#1 ok accepted", "ack 1.1 accepted"});
    assert_true(hd_agent_holds(agent, story_ref("4.1")));
    assert_int_equal(hd_agent_held_count(agent), 1);
    hd_agent_free(agent);
}

static void a_newer_attempt_of_a_job_ends_the_older_one_first(void **state)
{
    (void)state;
    struct hd_agent *agent = agent_with(3, "", 0);
    STORY(agent, {"@0 adopted A 7.1", "lookup"}, {"ended 8.1 ok from A", ""},
          {"masters A=a", "connect 0 a; hello 0#1 7.1 8.1"},
          {"0 control#1 ok", "report 0#1 8.1 ok next=1"},
          {"0 report#1 lease 7.2 rejected",
           "ack 8.1 rejected; drop 7.1; start 7.2; lease 0#2 wait=20000"});
    hd_agent_free(agent);
}

/* A copy of a master's state goes on with the same numbers: what it means by them is not what we
 * hold, and never ends in one directory with it. */
static void what_a_copy_of_its_master_grants_under_a_known_number_is_not_started(void **state)
{
    (void)state;
    struct hd_agent *agent = agent_with(3, "", 0);
    STORY(agent, {"@0", "lookup"}, {"masters A=a", "connect 0 a; hello 0#1"},
          {"0 control#1 ok", "lease 0#1 wait=20000"},
          {"0 lease#1 lease 7.1.5", "start 7.1; lease 0#2 wait=20000"},
          {"0 lease#2 lease 7.1.6", "lease 0#3 wait=20000"});
    hd_agent_free(agent);
}

static void several_masters_are_scanned_then_polled_in_turn(void **state)
{
    (void)state;
    struct hd_agent *agent = agent_with(1, "", 0);
    STORY(agent, {"@0", "lookup"},
          {"masters A=a B=b", "connect 0 a; hello 0#1; connect 1 b; hello 1#1"},
          {"0 control#1 ok", "lease 0#1 wait=20000"}, {"1 control#1 ok", ""},
          {"0 lease#1 nothing", "lease 1#1 wait=0"}, {"1 lease#1 nothing", "lease 0#2 wait=5000"},
          {"0 lease#2 nothing", "lease 1#2 wait=5000"}, {"1 lease#2 lease 7.1", "start 7.1"},
          /* the slot is offered to A first: it is its turn */
          {"ended 7.1 ok", "report 1#1 7.1 ok; lease 0#3 wait=0"},
          {"1 report#1 ok accepted", "ack 7.1 accepted"}, {"0 lease#3 lease 8.1", "start 8.1"},
          {"ended 8.1 ok", "report 0#1 8.1 ok; lease 1#3 wait=0"},
          /* A's result has not been acknowledged yet: it goes before the next poll there */
          {"1 lease#3 nothing", "lease 1#4 wait=5000"});
    hd_agent_free(agent);
}

static void a_silent_master_does_not_keep_a_slot_from_the_others(void **state)
{
    (void)state;
    struct hd_agent *agent = agent_with(1, "", 0);
    STORY(agent, {"@0", "lookup"},
          {"masters A=a B=b", "connect 0 a; hello 0#1; connect 1 b; hello 1#1"},
          {"0 control#1 ok", "lease 0#1 wait=20000"}, {"1 control#1 ok", ""},
          {"@100 0 lease#1 failed", "lookup"}, {"@200", "connect 0 a; hello 0#2"},
          {"@300 0 control#2 failed", "lease 1#1 wait=20000"},
          /* what A may have granted is told as seen, so that A finds it lost */
          {"@500", "connect 0 a; hello 0#3 seen=1"}, {"0 control#3 ok", ""},
          {"1 lease#1 nothing", "lease 0#2 wait=0"});
    hd_agent_free(agent);
}

static void refusals_are_retried_slowly_and_a_newer_process_takes_over(void **state)
{
    (void)state;
    struct hd_agent *agent = agent_with(1, "", 0);
    STORY(agent, {"@0", "lookup"}, {"masters A=a", "connect 0 a; hello 0#1"},
          {"0 control#1 refused auth", ""}, {"@999", ""}, {"@1000", "hello 0#2; lookup"},
          {"masters A=a", ""}, {"0 control#2 refused auth", ""}, {"@2999", "lookup"},
          {"@3000", "hello 0#3"}, {"0 control#3 ok", "lease 0#1 wait=20000"},
          {"0 lease#1 refused conflict", "exit"}, {"@9000", ""});
    assert_true(hd_agent_deadline_ms(agent) == HD_NEVER_MS);
    hd_agent_free(agent);
}

static void a_result_that_no_master_can_read_is_given_up(void **state)
{
    (void)state;
    struct hd_agent *agent = agent_with(1, "", 0);
    STORY(agent, {"@0 ended 7.1 ok from A", "lookup"},
          {"masters A=a", "connect 0 a; hello 0#1 7.1"},
          {"0 control#1 ok", "report 0#1 7.1 ok next=1"},
          {"0 report#1 refused invalid", "ack 7.1 rejected; lease 0#2 wait=20000"});
    hd_agent_free(agent);
}

static void stale_answers_lead_to_a_resend_then_to_a_new_sequence(void **state)
{
    (void)state;
    struct hd_agent *agent = agent_with(2, "", 0);
    STORY(agent, {"@0 ended 7.1 ok from A", "lookup"},
          {"masters A=a", "connect 0 a; hello 0#1 7.1"},
          {"0 control#1 ok", "report 0#1 7.1 ok next=1"}, {"0 report#1 stale", ""},
          {"@100", "report 0#1 7.1 ok next=1"}, {"0 report#1 stale", ""},
          /* the poll rides on the result that waits, under a sequence of its own */
          {"@200", "report 0#2 7.1 ok next=2"},
          {"0 report#2 ok accepted", "ack 7.1 accepted; lease 0#3 wait=20000"},
          {"0 lease#3 stale", ""}, {"@300", "lease 0#3 wait=20000"}, {"0 lease#3 stale", ""},
          {"@400", "lease 0#4 wait=20000"});
    hd_agent_free(agent);
}

static void the_curve_of_an_attempt_goes_out_before_its_result(void **state)
{
    (void)state;
    struct hd_agent *agent = agent_with(1, "", 0);
    STORY(agent, {"@0", "lookup"}, {"masters A=a", "connect 0 a; hello 0#1"},
          {"0 control#1 ok", "lease 0#1 wait=20000"}, {"0 lease#1 lease 7.1", "start 7.1"},
          {"points 7.1 2", ""}, {"points 9.9 2", ""}, {"@5000", "ping 0#2 7.1 points=2 seen=1"},
          {"points 7.1 1", ""}, {"0 control#2 ok", ""},
          {"ended 7.1 ok", "ping 0#3 7.1 points=1 seen=1"},
          {"0 control#3 ok", "report 0#1 7.1 ok next=2"},
          {"0 report#1 ok accepted", "ack 7.1 accepted; lease 0#3 wait=20000"});
    hd_agent_free(agent);
}

static void points_that_nobody_collects_are_thinned(void **state)
{
    (void)state;
    struct hd_agent *agent = agent_with(1, "", 0);
    STORY(agent, {"@0 adopted A 7.1", "lookup"});
    int64_t now_ms = 1;
    for (int i = 0; i < HD_AGENT_POINTS_MAX; i++)
        story_step(agent, "points 7.1 4", &now_ms);
    STORY(agent, {"@10 masters A=a", "connect 0 a; hello 0#1 7.1"}, {"0 control#1 ok", ""},
          {"@5010", "ping 0#2 7.1 points=256"});
    hd_agent_free(agent);
}

static void a_reply_that_never_comes_is_noticed_without_help(void **state)
{
    (void)state;
    struct hd_agent *agent = agent_with(1, "", 0);
    STORY(agent, {"@0", "lookup"}, {"masters A=a", "connect 0 a; hello 0#1"}, {"@14999", "lookup"},
          {"@15000", ""}, {"@15100", "connect 0 a; hello 0#2"});
    hd_agent_free(agent);
}

static void a_master_that_vanished_makes_room_and_one_too_many_is_not_served(void **state)
{
    (void)state;
    struct hd_agent *agent = agent_with(1, "", 0);
    STORY(agent, {"@0", "lookup"}, {"masters A=a", "connect 0 a; hello 0#1"},
          {"@100 0 control#1 failed", "lookup"},
          /* the sequences of the place in the table go on */
          {"masters B=b", "connect 0 b; hello 0#2"}, {"0 control#1 ok", ""},
          {"0 control#2 ok", "lease 0#1 wait=20000"},
          /* a nameserver that forgot a master that answers is not believed */
          {"masters", ""}, {"@5100", "ping 0#3"},
          /* A may come back at any place: what it has seen of us is never said again */
          {"masters C=c", "connect 1 c; hello 1#4 seen=1"});
    hd_agent_free(agent);
}

static void a_worker_is_checked_at_the_door(void **state)
{
    (void)state;
    struct hd_agent *agent;
    struct hd_agent_options options = {.worker = "w", .slots = 0};
    assert_hd_fails(hd_agent_new(&options, &agent, &err), HD_E_INVALID, "parallelism is 0");
    options.slots = HD_HELD_MAX + 1;
    assert_hd_fails(hd_agent_new(&options, &agent, &err), HD_E_INVALID, "must be 1 to 256");
    options = (struct hd_agent_options){.slots = 1};
    assert_hd_fails(hd_agent_new(&options, &agent, &err), HD_E_INVALID, "needs an id");
    options = (struct hd_agent_options){.worker = "w", .slots = 1};
    for (int64_t i = 0; i < 3; i++) {
        hd_test_fail_alloc_after(i);
        assert_hd_fails(hd_agent_new(&options, &agent, &err), HD_E_NOMEM, "");
    }
    hd_test_fail_alloc_after(-1);
    hd_agent_free(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_job_comes_runs_and_is_reported_with_the_next_one),
        cmocka_unit_test(polls_stop_when_every_slot_is_taken),
        cmocka_unit_test(duplicates_and_late_answers_change_nothing),
        cmocka_unit_test(a_failed_request_goes_out_again_with_its_sequence),
        cmocka_unit_test(a_test_is_answered_at_once_and_once),
        cmocka_unit_test(a_report_that_carried_a_poll_carries_it_again),
        cmocka_unit_test(a_lease_that_was_slept_through_is_asked_for_again),
        cmocka_unit_test(a_master_that_restarted_elsewhere_is_found_and_told_what_is_held),
        cmocka_unit_test(results_wait_any_time_for_their_master),
        cmocka_unit_test(commands_of_a_master_reach_what_runs),
        cmocka_unit_test(a_newer_attempt_of_a_job_ends_the_older_one_first),
        cmocka_unit_test(what_a_copy_of_its_master_grants_under_a_known_number_is_not_started),
        cmocka_unit_test(several_masters_are_scanned_then_polled_in_turn),
        cmocka_unit_test(a_silent_master_does_not_keep_a_slot_from_the_others),
        cmocka_unit_test(refusals_are_retried_slowly_and_a_newer_process_takes_over),
        cmocka_unit_test(a_result_that_no_master_can_read_is_given_up),
        cmocka_unit_test(stale_answers_lead_to_a_resend_then_to_a_new_sequence),
        cmocka_unit_test(the_curve_of_an_attempt_goes_out_before_its_result),
        cmocka_unit_test(points_that_nobody_collects_are_thinned),
        cmocka_unit_test(a_reply_that_never_comes_is_noticed_without_help),
        cmocka_unit_test(a_master_that_vanished_makes_room_and_one_too_many_is_not_served),
        cmocka_unit_test(a_worker_is_checked_at_the_door),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
