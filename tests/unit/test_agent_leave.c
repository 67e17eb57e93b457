/* SPDX-License-Identifier: Apache-2.0 */
/* How the agent leaves: when told, when idle, when its run is over, when its time is. */
#include "agent_story.h"

#include <string.h>

static void draining_ends_with_bye_when_the_hands_are_empty(void **state)
{
    (void)state;
    struct hd_agent *agent = agent_with(2, "", 0);
    STORY(agent, {"@0", "lookup"}, {"masters A=a", "connect 0 a; hello 0#1"},
          {"0 control#1 ok", "lease 0#1 wait=20000"},
          {"0 lease#1 lease 7.1", "start 7.1; lease 0#2 wait=20000"},
          {"drain", "ping 0#2 7.1 seen=1 draining"}, {"drain", ""}, {"0 control#2 ok", ""},
          /* granted before the master knew: given back without being started */
          {"0 lease#2 lease 8.1", "report 0#1 8.1 preempted"},
          {"0 report#1 ok accepted", "ack 8.1 accepted"}, {"ended 7.1 ok", "report 0#2 7.1 ok"},
          {"0 report#2 ok accepted", "ack 7.1 accepted; bye 0#3 seen=2 draining"},
          {"0 control#3 ok", "exit"}, {"drain", ""});
    hd_agent_free(agent);
}

static void leaving_stops_what_runs_and_does_not_wait_for_ever(void **state)
{
    (void)state;
    struct hd_agent *agent = agent_with(2, "", 0);
    STORY(agent, {"@0", "lookup"}, {"masters A=a", "connect 0 a; hello 0#1"},
          {"0 control#1 ok", "lease 0#1 wait=20000"},
          {"0 lease#1 lease 7.1", "start 7.1; lease 0#2 wait=20000"},
          {"drain", "ping 0#2 7.1 seen=1 draining"}, {"0 control#2 ok", ""},
          {"@1000 leave", "stop 7.1 preempted"}, {"leave", ""},
          {"ended 7.1 preempted", "report 0#1 7.1 preempted"},
          {"@2000 0 report#1 failed", "lookup"},
          {"@2100", "connect 0 a; hello 0#3 7.1 seen=2 draining"}, {"0 control#3 failed", ""},
          {"@11000", "exit"});
    /* The result was not acknowledged: it is still held, that is, on disk. */
    assert_int_equal(hd_agent_held_count(agent), 1);
    hd_agent_free(agent);
}

static void draining_does_not_wait_for_a_master_that_is_gone(void **state)
{
    (void)state;
    struct hd_agent *agent = agent_with(2, "", 0);
    STORY(agent, {"@0", "lookup"}, {"masters A=a", "connect 0 a; hello 0#1"},
          {"0 control#1 ok", "lease 0#1 wait=20000"},
          {"0 lease#1 lease 7.1", "start 7.1; lease 0#2 wait=20000"},
          {"drain", "ping 0#2 7.1 seen=1 draining"}, {"0 control#2 ok", ""},
          {"0 lease#2 nothing", ""}, {"@1000 ended 7.1 ok", "report 0#1 7.1 ok"},
          {"@2000 0 report#1 failed", "lookup"},
          {"@2100", "connect 0 a; hello 0#3 7.1 seen=2 draining"}, {"0 control#3 failed", ""},
          {"masters", ""}, {"@31000", "exit"});
    assert_int_equal(hd_agent_held_count(agent), 1);
    hd_agent_free(agent);
}

static void leaving_gives_up_targets_that_do_not_end(void **state)
{
    (void)state;
    struct hd_agent *agent = agent_with(1, "", 0);
    STORY(agent, {"@0 adopted A 7.1", "lookup"}, {"leave", "stop 7.1 preempted"},
          {"@30999", "lookup"}, {"@31000", "exit"});
    hd_agent_free(agent);
}

static void a_bye_that_is_not_answered_does_not_hold_the_worker(void **state)
{
    (void)state;
    struct hd_agent *agent = agent_with(1, "", 0);
    STORY(agent, {"@0", "lookup"}, {"masters A=a", "connect 0 a; hello 0#1"},
          {"0 control#1 ok", "lease 0#1 wait=20000"}, {"drain", "ping 0#2 draining"},
          {"0 control#2 ok", "bye 0#3 seen=1 draining"},
          /* it crossed the bye: the master knows that nothing is held */
          {"0 lease#1 lease 7.1", ""}, {"@2999", ""}, {"@3000", "exit"});
    assert_false(hd_agent_all_over(agent));
    hd_agent_free(agent);
}

static void a_worker_leaves_when_its_run_is_over(void **state)
{
    (void)state;
    struct hd_agent *agent = agent_with(1, "x", 0);
    STORY(agent, {"@0", "lookup"},
          {"masters A=a B=b", "connect 0 a; hello 0#1; connect 1 b; hello 1#1"},
          {"1 control#1 ok", "lease 1#1 wait=20000"}, {"0 control#1 ok", ""},
          {"1 lease#1 done", "lease 0#1 wait=0"}, {"0 lease#1 nothing", "lease 0#2 wait=5000"},
          {"@2000 0 lease#2 nothing", "lease 1#2 wait=5000"},
          {"1 lease#2 done", "lease 0#3 wait=5000"},
          {"0 lease#3 done", "ping 0#2 seen=3 draining; ping 1#2 seen=2 draining"},
          {"0 control#2 ok", "bye 0#3 seen=3 draining"},
          {"1 control#2 ok", "bye 1#3 seen=2 draining"}, {"0 control#3 ok", ""},
          {"1 control#3 ok", "exit"});
    assert_true(hd_agent_all_over(agent));
    hd_agent_free(agent);
}

static void a_worker_that_is_let_go_finishes_first(void **state)
{
    (void)state;
    struct hd_agent *agent = agent_with(1, "", 0);
    STORY(agent, {"@0", "lookup"}, {"masters A=a", "connect 0 a; hello 0#1"},
          {"0 control#1 ok", "lease 0#1 wait=20000"}, {"0 lease#1 lease 7.1", "start 7.1"},
          {"@5000", "ping 0#2 7.1 seen=1"}, {"0 control#2 ok drain", ""},
          {"ended 7.1 ok", "report 0#1 7.1 ok"},
          {"0 report#1 ok accepted", "ack 7.1 accepted; ping 0#3 seen=1 draining"},
          {"0 control#3 ok", "bye 0#4 seen=1 draining"}, {"0 control#4 ok", "exit"});
    hd_agent_free(agent);
}

static void an_idle_worker_leaves_after_its_time(void **state)
{
    (void)state;
    struct hd_agent *agent = agent_with(1, "", 4000);
    STORY(agent, {"@0", "lookup"}, {"masters A=a", "connect 0 a; hello 0#1"},
          {"0 control#1 ok", "lease 0#1 wait=20000"}, {"@3000 0 lease#1 lease 7.1", "start 7.1"},
          {"@4500", ""}, {"ended 7.1 ok", "report 0#1 7.1 ok next=2"},
          {"0 report#1 ok accepted", "ack 7.1 accepted; lease 0#3 wait=20000"},
          {"@8499", "ping 0#2 seen=2"}, {"@8500 0 control#2 ok", "ping 0#3 seen=2 draining"},
          {"0 control#3 ok", "bye 0#4 seen=3 draining"}, {"0 control#4 ok", "exit"});
    hd_agent_free(agent);
}

static struct hd_agent *agent_until(uint32_t slots, int64_t end_ms, int64_t grace_ms)
{
    return agent_of(
        (struct hd_agent_options){.slots = slots, .end_ms = end_ms, .grace_ms = grace_ms});
}

static void a_worker_that_knows_its_end_says_how_long_a_job_may_take(void **state)
{
    (void)state;
    struct hd_agent *agent = agent_until(1, 100000, 10000);
    STORY(agent, {"@0", "lookup"}, {"masters A=a", "connect 0 a; hello 0#1"},
          {"@1000 0 control#1 ok", "lease 0#1 wait=20000 left=89000"},
          {"0 lease#1 lease 7.1", "start 7.1"},
          {"@3000 ended 7.1 ok", "report 0#1 7.1 ok next=2 left=87000"},
          {"0 report#1 ok accepted", "ack 7.1 accepted; lease 0#3 wait=20000 left=87000"});
    hd_agent_free(agent);
}

static void its_targets_are_stopped_in_time_and_handed_back(void **state)
{
    (void)state;
    struct hd_agent *agent = agent_until(2, 20000, 8000);
    STORY(agent, {"@0", "lookup"}, {"masters A=a", "connect 0 a; hello 0#1"},
          {"0 control#1 ok", "lease 0#1 wait=20000 left=12000"},
          {"0 lease#1 lease 7.1", "start 7.1; lease 0#2 wait=20000 left=12000"},
          {"@11999", "ping 0#2 7.1 seen=1; lookup"}, {"0 control#2 ok", ""},
          /* a quarter of the grace, and at most two seconds, is kept for the report */
          {"@12000", "stop 7.1 preempted by=18000; ping 0#3 7.1 seen=1 draining"},
          {"0 control#3 ok", ""}, {"@14000 ended 7.1 preempted", "report 0#1 7.1 preempted"},
          {"0 report#1 ok accepted", "ack 7.1 accepted; bye 0#4 seen=2 draining"},
          {"0 control#4 ok", "exit"});
    hd_agent_free(agent);
}

static void it_is_gone_by_its_end_whoever_answers(void **state)
{
    (void)state;
    struct hd_agent *agent = agent_until(1, 20000, 8000);
    STORY(agent, {"@0 adopted A 7.1", "lookup"}, {"masters", ""},
          {"@12000", "stop 7.1 preempted by=18000; lookup"}, {"ended 7.1 preempted", ""},
          {"masters", ""}, {"@19999", "lookup"}, {"@20000", "exit"});
    assert_int_equal(hd_agent_held_count(agent), 1);
    hd_agent_free(agent);
}

static void a_notice_is_obeyed_at_once_and_a_shorter_one_shortens_it(void **state)
{
    (void)state;
    struct hd_agent *agent = agent_with(2, "", 0);
    STORY(agent, {"@0 adopted A 7.1", "lookup"}, {"adopted A 8.1", ""}, {"masters", ""},
          {"leave by=40000", "stop 7.1 preempted by=38000; stop 8.1 preempted by=38000"},
          /* said again: the targets were told */
          {"@1000 leave by=4000", "lookup"}, {"ended 7.1 preempted", ""}, {"@4000", "exit"});
    hd_agent_free(agent);
}

static void an_end_without_a_grace_is_refused(void **state)
{
    (void)state;
    struct hd_agent *agent;
    struct hd_err err;
    const struct hd_agent_options options = {.worker = "w", .slots = 1, .end_ms = 5};
    assert_hd_fails(hd_agent_new(&options, &agent, &err), HD_E_INVALID, "needs a grace");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(draining_ends_with_bye_when_the_hands_are_empty),
        cmocka_unit_test(leaving_stops_what_runs_and_does_not_wait_for_ever),
        cmocka_unit_test(draining_does_not_wait_for_a_master_that_is_gone),
        cmocka_unit_test(leaving_gives_up_targets_that_do_not_end),
        cmocka_unit_test(a_bye_that_is_not_answered_does_not_hold_the_worker),
        cmocka_unit_test(a_worker_leaves_when_its_run_is_over),
        cmocka_unit_test(a_worker_that_is_let_go_finishes_first),
        cmocka_unit_test(an_idle_worker_leaves_after_its_time),
        cmocka_unit_test(a_worker_that_knows_its_end_says_how_long_a_job_may_take),
        cmocka_unit_test(its_targets_are_stopped_in_time_and_handed_back),
        cmocka_unit_test(it_is_gone_by_its_end_whoever_answers),
        cmocka_unit_test(a_notice_is_obeyed_at_once_and_a_shorter_one_shortens_it),
        cmocka_unit_test(an_end_without_a_grace_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
