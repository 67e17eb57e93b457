/* SPDX-License-Identifier: Apache-2.0 */
/* Which attempts' files come to the master, and who is asked for them. */
#include "core_world.h"

static struct worker w;
static struct hd_attempt_ref left[8]; /* by job */

static void begin(const char *more)
{
    w = (struct worker){.id = "w", .root = "disk", .incarnation = 1};
    memset(left, 0, sizeof(left));
    start(more);
    hello(&w, NULL, 0);
}

/* What the answer to its report wants. */
static uint32_t end_next(double loss)
{
    struct hd_attempt_ref attempt = lease(&w);
    assert_true(attempt.job < HD_COUNT(left));
    left[attempt.job] = attempt;
    const struct hd_reply *reply = answer_to(report(&w, attempt, HD_OUTCOME_OK, loss));
    assert_int_equal(reply->verdict, HD_VERDICT_ACCEPTED);
    return reply->wanted & HD_WANTED_FILES;
}

static void tell(enum hd_event_kind kind, struct hd_attempt_ref attempt, enum hd_files files)
{
    step((struct hd_event){.kind = kind, .attempt = attempt, .files = files});
    settle();
}

/* The jobs that a ping asks for, in their order: "", "3", "0 3". */
static void assert_brings(const char *jobs)
{
    char text[256] = "";
    const struct hd_reply *reply = answer_to(ping(&w, NULL, 0));
    for (size_t i = 0; i < reply->command_count; i++) {
        char name[16];
        assert_int_equal(reply->commands[i].action, HD_ACTION_BRING);
        assert_true(
            hd_attempt_ref_same(reply->commands[i].attempt, left[reply->commands[i].attempt.job]));
        assert_true(hd_format(name, sizeof(name), "%s%u", i > 0 ? " " : "",
                              reply->commands[i].attempt.job));
        strncat(text, name, sizeof(text) - strlen(text) - 1);
    }
    assert_string_equal(text, jobs);
}

static void assert_wants(uint32_t job, bool wanted)
{
    assert_true(hd_core_wants_files(core, left[job]) == wanted);
}

#define SIX "\"stop\":{\"configs\":6}"

/* Whoever reports the best so far is asked for its files at once, and only the best is wanted. */
static void the_best_is_asked_for_at_its_report(void **state)
{
    (void)state;
    begin(SIX);
    assert_true(end_next(5) != 0);
    assert_true(end_next(7) == 0);
    assert_wants(0, true);
    assert_true(end_next(2) != 0);
    assert_wants(0, false);
    assert_wants(2, true);
    assert_true(hd_core_wants_files(shadow, left[2])); /* by the facts alone */
    struct hd_attempt_ref other = left[2];
    other.attempt++;
    assert_false(hd_core_wants_files(core, other));
    other = left[2];
    other.job = 99;
    assert_false(hd_core_wants_files(core, other));
    assert_int_equal(hd_core_files(core, other), HD_FILES_UNKNOWN);
}

/* Pings ask for what has not come, until it has, or will not. */
static void pings_ask_for_what_has_not_come(void **state)
{
    (void)state;
    begin(SIX);
    end_next(5);
    assert_brings("0");
    assert_int_equal(hd_core_files(core, left[0]), HD_FILES_COMING);
    assert_true(hd_core_awaits_files(core, false));
    tell(HD_EVENT_FILES, left[0], HD_FILES_HOME);
    assert_int_equal(hd_core_files(core, left[0]), HD_FILES_HOME);
    assert_brings("");
    end_next(3);
    assert_brings("1");
    tell(HD_EVENT_FILES, left[1], HD_FILES_NEVER);
    assert_brings("");
    assert_false(hd_core_awaits_files(core, true));
    tell(HD_EVENT_FILES, left[1], HD_FILES_AWAY);
    assert_brings("1");
}

/* Nothing comes when the master or the experiment says so, or when it lies on the master's own
 * disk. */
static void files_stay_where_they_are_wanted_to(void **state)
{
    (void)state;
    open_core((struct hd_core_options){.no_files = true});
    begin(SIX);
    assert_true(end_next(5) == 0);
    assert_brings("");
    open_core((struct hd_core_options){0});
    begin("\"bring_home\":\"none\"," SIX);
    assert_true(end_next(5) == 0);
    assert_brings("");
    open_core((struct hd_core_options){0});
    begin(SIX);
    struct hd_request request = from(&w, HD_REQUEST_HELLO, HD_LANE_CONTROL, ++w.control);
    step((struct hd_event){.kind = HD_EVENT_REQUEST,
                           .address = ++last_address,
                           .connection = w.incarnation,
                           .at_home = true,
                           .request = &request});
    settle();
    assert_true(end_next(5) == 0);
    assert_brings("");
    assert_false(hd_core_awaits_files(core, true));
    tell(HD_EVENT_ASKED, left[0], HD_FILES_AWAY); /* somebody elsewhere wants it */
    assert_brings("0");
}

/* What a person asks for is brought, whatever it is, while he waits; and what could not come is
 * tried again for the next one. */
static void people_ask_for_others(void **state)
{
    (void)state;
    begin(SIX);
    end_next(2);
    end_next(5);
    tell(HD_EVENT_FILES, left[0], HD_FILES_HOME);
    assert_wants(1, false);
    tell(HD_EVENT_ASKED, left[1], HD_FILES_AWAY);
    assert_wants(1, true);
    assert_brings("1");
    tell(HD_EVENT_FILES, left[1], HD_FILES_NEVER);
    tell(HD_EVENT_ASKED, left[1], HD_FILES_AWAY); /* the same one still asks */
    assert_int_equal(hd_core_files(core, left[1]), HD_FILES_NEVER);
    assert_brings("");
    pass(61000);
    hello(&w, NULL, 0);
    assert_wants(1, false);
    tell(HD_EVENT_ASKED, left[1], HD_FILES_AWAY);
    assert_int_equal(hd_core_files(core, left[1]), HD_FILES_COMING);
    assert_brings("1");
    struct hd_attempt_ref running = lease(&w);
    tell(HD_EVENT_ASKED, running, HD_FILES_AWAY);
    assert_int_equal(hd_core_files(core, running), HD_FILES_UNKNOWN);
    for (uint32_t job = 40; job < 80; job++) /* however many ask for whatever */
        tell(HD_EVENT_ASKED, (struct hd_attempt_ref){RUN_UID, job, 1, 0}, HD_FILES_AWAY);
    assert_wants(1, true);
}

/* A worker that has said goodbye is waited for, one that has vanished is not. */
static void leavers_are_waited_for(void **state)
{
    (void)state;
    begin(SIX);
    end_next(5);
    assert_true(hd_core_awaits_files(core, false));
    struct hd_request bye = from(&w, HD_REQUEST_BYE, HD_LANE_CONTROL, ++w.control);
    post(&bye, w.incarnation);
    assert_false(hd_core_awaits_files(core, false));
    assert_true(hd_core_awaits_files(core, true));
    assert_int_equal(hd_core_files(core, left[0]), HD_FILES_AWAY);
    w.incarnation = 2;
    w.control = w.lease = w.report = 0;
    hello(&w, NULL, 0);
    assert_brings("0");
    step((struct hd_event){.kind = HD_EVENT_DISCONNECT, .connection = 2});
    assert_false(hd_core_awaits_files(core, true));
}

static uint32_t end_with(double first, double second, double third)
{
    struct hd_attempt_ref attempt = lease(&w);
    struct hd_request request = from(&w, HD_REQUEST_REPORT, HD_LANE_REPORT, ++w.report);
    left[attempt.job] = attempt;
    request.result.attempt = attempt;
    request.result.outcome = HD_OUTCOME_OK;
    request.result.loss = first;
    request.result.measure_count = 3;
    request.result.measures[0] = first;
    request.result.measures[1] = second;
    request.result.measures[2] = third;
    return answer_to(post(&request, w.incarnation))->wanted & HD_WANTED_FILES;
}

/* Of several objectives all results come that none dominates, and go when one does. */
static void a_front_comes_home(void **state)
{
    (void)state;
    begin("\"objective\":[{\"name\":\"a\"},{\"name\":\"b\"}],"
          "\"constraints\":[{\"name\":\"m\",\"max\":10}],\"stop\":{\"configs\":8}");
    assert_true(end_with(1, 1, 20) != 0); /* infeasible, and the best there is */
    assert_true(end_with(5, 5, 0) != 0);
    assert_wants(0, false);
    assert_true(end_with(4, 6, 0) != 0);
    assert_true(end_with(6, 4, 0) != 0);
    assert_true(end_with(6, 6, 0) == 0);
    assert_true(end_with(5, 5, 0) == 0); /* as good as one that is there */
    assert_brings("2 1 3");
    assert_true(end_with(4, 4, 0) != 0);
    assert_brings("2 6"); /* the first of those that are equal by the first objective */
    assert_wants(1, false);
    assert_wants(3, false);
}

int main(void)
{
#define TEST(function) cmocka_unit_test_setup_teardown(function, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(the_best_is_asked_for_at_its_report),
        TEST(pings_ask_for_what_has_not_come),
        TEST(files_stay_where_they_are_wanted_to),
        TEST(people_ask_for_others),
        TEST(leavers_are_waited_for),
        TEST(a_front_comes_home),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
