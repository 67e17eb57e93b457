/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Stories of the agent. Each row is an event and the actions it must cause, both in words:
 *
 *   @MS                     the clock (a TIMEOUT event when nothing follows)
 *   masters A=addr B=addr   the answer of a look-up
 *   M LANE#SEQ ANSWER       a reply of master number M: ok, nothing, done, stale, hello-first,
 *                           refused CODE, lease JOB.ATTEMPT; then any of accepted, rejected,
 *                           drain, stop=J.A, cancel=J.A, drop=J.A
 *   M LANE#SEQ failed       no reply
 *   adopted ID J.A, ended J.A OUTCOME [from ID], points J.A COUNT, drain, leave
 */
#include "testlib.h"

#include <hd/agent.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define RUN_UID UINT64_C(77)
#define WORDS_MAX 16

static struct hd_err err;
static struct hd_agent_update update;

struct row {
    const char *event;
    const char *actions;
};

static const char *const lane_names[] = {"control", "lease", "report"};
static const struct {
    const char *name;
    enum hd_outcome outcome;
} outcomes[] = {
    {"ok", HD_OUTCOME_OK},
    {"failed", HD_OUTCOME_FAILED},
    {"stopped", HD_OUTCOME_STOPPED},
    {"cancelled", HD_OUTCOME_CANCELLED},
    {"preempted", HD_OUTCOME_PREEMPTED},
};

static const char *outcome_name(enum hd_outcome outcome)
{
    for (size_t i = 0; i < HD_COUNT(outcomes); i++)
        if (outcomes[i].outcome == outcome)
            return outcomes[i].name;
    return "?";
}

static enum hd_outcome outcome_of(const char *name)
{
    for (size_t i = 0; i < HD_COUNT(outcomes); i++)
        if (strcmp(outcomes[i].name, name) == 0)
            return outcomes[i].outcome;
    fail_msg("no outcome %s", name);
    return HD_OUTCOME_OK;
}

/* ---- words to events ------------------------------------------------------------------------ */

static struct hd_attempt_ref ref_of(const char *text)
{
    unsigned job = 0, attempt = 0;
    if (sscanf(text, "%u.%u", &job, &attempt) != 2)
        fail_msg("not an attempt: %s", text);
    return (struct hd_attempt_ref){RUN_UID, job, attempt};
}

static size_t split(const char *text, char *copy, size_t copy_size, char *words[WORDS_MAX])
{
    assert_true(hd_copy_text(copy, copy_size, text));
    size_t count = 0;
    char *rest = copy, *word;
    while ((word = strsep(&rest, " ")) != NULL)
        if (word[0] != '\0') {
            assert_true(count < WORDS_MAX);
            words[count++] = word;
        }
    return count;
}

static void read_command(struct hd_reply *reply, const char *word)
{
    static const char *const names[] = {"stop=", "cancel=", "drop="};
    for (size_t i = 0; i < HD_COUNT(names); i++)
        if (strncmp(word, names[i], strlen(names[i])) == 0) {
            reply->commands[reply->command_count++] = (struct hd_attempt_command){
                ref_of(word + strlen(names[i])), (enum hd_attempt_action)i};
            return;
        }
    fail_msg("not understood: %s", word);
}

static void read_reply(char **words, size_t count, struct hd_reply *reply)
{
    static const char *const kinds[] = {"ok",    "lease",       "nothing", "done",
                                        "stale", "hello-first", "refused"};
    size_t kind = 0;
    while (kind < HD_COUNT(kinds) && strcmp(kinds[kind], words[0]) != 0)
        kind++;
    assert_true(kind < HD_COUNT(kinds));
    reply->kind = (enum hd_reply_kind)kind;
    reply->ping_ms = 5000;
    size_t next = 1;
    if (reply->kind == HD_REPLY_LEASE)
        reply->lease.attempt = ref_of(words[next++]);
    if (reply->kind == HD_REPLY_REFUSED) {
        const char *code = words[next++];
        reply->code = strcmp(code, "conflict") == 0  ? HD_E_CONFLICT
                      : strcmp(code, "invalid") == 0 ? HD_E_INVALID
                                                     : HD_E_AUTH;
    }
    for (; next < count; next++) {
        if (strcmp(words[next], "accepted") == 0)
            reply->verdict = HD_VERDICT_ACCEPTED;
        else if (strcmp(words[next], "rejected") == 0)
            reply->verdict = HD_VERDICT_REFUSED;
        else if (strcmp(words[next], "drain") == 0)
            reply->drain = true;
        else
            read_command(reply, words[next]);
    }
}

static void read_lane(const char *word, struct hd_agent_event *event)
{
    char name[16];
    unsigned long long sequence = 0;
    assert_int_equal(sscanf(word, "%15[a-z]#%llu", name, &sequence), 2);
    event->sequence = sequence;
    for (int i = 0; i < HD_LANE_COUNT; i++)
        if (strcmp(name, lane_names[i]) == 0)
            event->lane = (enum hd_lane)i;
}

static void read_masters(char **words, size_t count, struct hd_agent_master *masters)
{
    for (size_t i = 0; i < count; i++) {
        char *equals = strchr(words[i], '=');
        assert_non_null(equals);
        *equals = '\0';
        assert_true(hd_copy_text(masters[i].id, sizeof(masters[i].id), words[i]));
        assert_true(hd_copy_text(masters[i].address, sizeof(masters[i].address), equals + 1));
    }
}

static void step(struct hd_agent *agent, const char *text, int64_t *now_ms)
{
    /* Static, since the actions borrow from the event until the next one. */
    static char copy[512];
    static struct hd_agent_master masters[WORDS_MAX];
    static struct hd_reply reply;
    static struct hd_result result;
    static struct hd_point points[4];
    char *words[WORDS_MAX];
    size_t count = split(text, copy, sizeof(copy), words), first = 0;
    struct hd_agent_event event = {.kind = HD_AGENT_EVENT_TIMEOUT};
    memset(masters, 0, sizeof(masters));
    reply = (struct hd_reply){.verdict = HD_VERDICT_NONE};
    result = (struct hd_result){.loss = NAN, .message = "m", .info_json = "{}", .directory = "d"};
    if (words[0][0] == '@') {
        *now_ms = strtoll(words[0] + 1, NULL, 10);
        first = 1;
    }
    event.now_ms = *now_ms;
    char **word = words + first;
    count -= first;
    if (count == 0) {
        hd_agent_step(agent, &event, &update);
        return;
    }
    if (strcmp(word[0], "masters") == 0) {
        event.kind = HD_AGENT_EVENT_MASTERS;
        event.master_count = count - 1;
        event.masters = masters;
        read_masters(word + 1, count - 1, masters);
    } else if (strcmp(word[0], "adopted") == 0) {
        event.kind = HD_AGENT_EVENT_ADOPTED;
        event.master_id = word[1];
        event.attempt = ref_of(word[2]);
    } else if (strcmp(word[0], "ended") == 0) {
        event.kind = HD_AGENT_EVENT_ENDED;
        event.attempt = ref_of(word[1]);
        result.outcome = outcome_of(word[2]);
        event.result = &result;
        event.master_id = count == 5 ? word[4] : NULL;
    } else if (strcmp(word[0], "points") == 0) {
        event.kind = HD_AGENT_EVENT_PROGRESS;
        event.points = points;
        event.point_count = (size_t)atol(word[2]);
        for (size_t i = 0; i < event.point_count; i++)
            points[i] = (struct hd_point){ref_of(word[1]), (double)i, 1};
    } else if (strcmp(word[0], "drain") == 0) {
        event.kind = HD_AGENT_EVENT_DRAIN;
    } else if (strcmp(word[0], "leave") == 0) {
        event.kind = HD_AGENT_EVENT_LEAVE;
    } else {
        event.master = (uint32_t)atoi(word[0]);
        read_lane(word[1], &event);
        bool failed = strcmp(word[2], "failed") == 0;
        event.kind = failed ? HD_AGENT_EVENT_LANE_FAILED : HD_AGENT_EVENT_REPLY;
        if (!failed)
            read_reply(word + 2, count - 2, &reply);
        event.reply = &reply;
    }
    hd_agent_step(agent, &event, &update);
}

/* ---- actions to words ----------------------------------------------------------------------- */

static void put(struct hd_buf *out, const char *fmt, ...) HD_PRINTF(2, 3);
static void put(struct hd_buf *out, const char *fmt, ...)
{
    char text[256];
    va_list args;
    va_start(args, fmt);
    assert_true(vsnprintf(text, sizeof(text), fmt, args) < (int)sizeof(text));
    va_end(args);
    assert_hd_ok(hd_buf_puts(out, text, &err));
}

static void put_send(struct hd_buf *out, const struct hd_agent_action *action)
{
    static const char *const names[] = {"hello", "lease", "ping", "report", "bye"};
    const struct hd_request *request = &action->request;
    put(out, "%s %u#%llu", names[request->kind], action->master,
        (unsigned long long)request->sequence);
    if (request->kind == HD_REQUEST_LEASE)
        put(out, " wait=%lld", (long long)request->wait_ms);
    if (request->kind == HD_REQUEST_REPORT) {
        put(out, " %u.%u %s", request->result.attempt.job, request->result.attempt.attempt,
            outcome_name(request->result.outcome));
        if (request->lease_next)
            put(out, " next=%llu", (unsigned long long)request->lease_sequence);
        return;
    }
    for (size_t i = 0; i < request->held_count; i++)
        put(out, " %u.%u", request->held[i].job, request->held[i].attempt);
    if (request->point_count > 0)
        put(out, " points=%zu", request->point_count);
    if (request->lease_seen > 0 && request->kind != HD_REQUEST_LEASE)
        put(out, " seen=%llu", (unsigned long long)request->lease_seen);
    if (request->draining)
        put(out, " draining");
}

static void put_action(struct hd_buf *out, const struct hd_agent_action *action)
{
    struct hd_attempt_ref ref = action->attempt;
    if (out->size > 0)
        put(out, "; ");
    switch (action->kind) {
    case HD_AGENT_SEND:
        put_send(out, action);
        break;
    case HD_AGENT_CONNECT:
        put(out, "connect %u %s", action->master, action->address);
        break;
    case HD_AGENT_START:
        assert_true(ref.job == action->lease->attempt.job);
        put(out, "start %u.%u", ref.job, ref.attempt);
        break;
    case HD_AGENT_STOP:
        put(out, "stop %u.%u %s", ref.job, ref.attempt, outcome_name(action->outcome));
        break;
    case HD_AGENT_DROP:
        put(out, "drop %u.%u", ref.job, ref.attempt);
        break;
    case HD_AGENT_ACKNOWLEDGED:
        put(out, "ack %u.%u %s", ref.job, ref.attempt,
            action->verdict == HD_VERDICT_ACCEPTED ? "accepted" : "rejected");
        break;
    case HD_AGENT_LOOKUP:
        put(out, "lookup");
        break;
    case HD_AGENT_EXIT:
        put(out, "exit");
        break;
    }
}

static struct hd_agent *agent_with(uint32_t slots, const char *run_id, int64_t idle_timeout_ms)
{
    struct hd_agent_options options = {
        .worker = "w-0",
        .incarnation = 3,
        .root = "r",
        .host = "h",
        .slots = slots,
        .idle_timeout_ms = idle_timeout_ms,
        .stop_grace_ms = 1000,
    };
    assert_true(hd_copy_text(options.run_id, sizeof(options.run_id), run_id));
    struct hd_agent *agent;
    assert_hd_ok(hd_agent_new(&options, &agent, &err));
    return agent;
}

static void tell(struct hd_agent *agent, const struct row *rows, size_t count)
{
    int64_t now_ms = 0;
    struct hd_buf out;
    hd_buf_init(&out, 1u << 16);
    for (size_t i = 0; i < count; i++) {
        step(agent, rows[i].event, &now_ms);
        hd_buf_clear(&out);
        for (size_t a = 0; a < update.action_count; a++)
            put_action(&out, &update.actions[a]);
        if (strcmp(hd_buf_text(&out), rows[i].actions) != 0)
            fail_msg("row %zu, after \"%s\":\n  expected: %s\n  got:      %s", i, rows[i].event,
                     rows[i].actions, hd_buf_text(&out));
        /* It never asks to be called for a moment that has passed. */
        if (hd_agent_deadline_ms(agent) <= now_ms)
            fail_msg("row %zu, after \"%s\": wants to be called at once, for ever", i,
                     rows[i].event);
    }
    hd_buf_release(&out);
}

#define STORY(agent, ...)                                                                          \
    do {                                                                                           \
        static const struct row rows_[] = {__VA_ARGS__};                                           \
        tell(agent, rows_, HD_COUNT(rows_));                                                       \
    } while (0)

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
    assert_true(hd_agent_holds(agent, ref_of("4.1")));
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
        step(agent, "points 7.1 4", &now_ms);
    STORY(agent, {"@10 masters A=a", "connect 0 a; hello 0#1 7.1"}, {"0 control#1 ok", ""},
          {"@5010", "ping 0#2 7.1 points=256"});
    hd_agent_free(agent);
}

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
        cmocka_unit_test(a_report_that_carried_a_poll_carries_it_again),
        cmocka_unit_test(a_master_that_restarted_elsewhere_is_found_and_told_what_is_held),
        cmocka_unit_test(results_wait_any_time_for_their_master),
        cmocka_unit_test(commands_of_a_master_reach_what_runs),
        cmocka_unit_test(a_newer_attempt_of_a_job_ends_the_older_one_first),
        cmocka_unit_test(several_masters_are_scanned_then_polled_in_turn),
        cmocka_unit_test(a_silent_master_does_not_keep_a_slot_from_the_others),
        cmocka_unit_test(refusals_are_retried_slowly_and_a_newer_process_takes_over),
        cmocka_unit_test(a_result_that_no_master_can_read_is_given_up),
        cmocka_unit_test(stale_answers_lead_to_a_resend_then_to_a_new_sequence),
        cmocka_unit_test(the_curve_of_an_attempt_goes_out_before_its_result),
        cmocka_unit_test(points_that_nobody_collects_are_thinned),
        cmocka_unit_test(draining_ends_with_bye_when_the_hands_are_empty),
        cmocka_unit_test(leaving_stops_what_runs_and_does_not_wait_for_ever),
        cmocka_unit_test(leaving_gives_up_targets_that_do_not_end),
        cmocka_unit_test(a_bye_that_is_not_answered_does_not_hold_the_worker),
        cmocka_unit_test(a_worker_leaves_when_its_run_is_over),
        cmocka_unit_test(a_worker_that_is_let_go_finishes_first),
        cmocka_unit_test(an_idle_worker_leaves_after_its_time),
        cmocka_unit_test(a_reply_that_never_comes_is_noticed_without_help),
        cmocka_unit_test(a_master_that_vanished_makes_room_and_one_too_many_is_not_served),
        cmocka_unit_test(a_worker_is_checked_at_the_door),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
