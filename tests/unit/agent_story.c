/* SPDX-License-Identifier: Apache-2.0 */
/* Events and actions of the agent in words. */
#include "agent_story.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define RUN_UID UINT64_C(77)
#define WORDS_MAX 16

static struct hd_err err;
static struct hd_agent_update update;

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

struct hd_attempt_ref story_ref(const char *text)
{
    unsigned job = 0, attempt = 0, stamp = 1;
    if (sscanf(text, "%u.%u.%u", &job, &attempt, &stamp) < 2)
        fail_msg("not an attempt: %s", text);
    return (struct hd_attempt_ref){RUN_UID, job, attempt, stamp};
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
                story_ref(word + strlen(names[i])), (enum hd_attempt_action)i};
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
        reply->lease.attempt = story_ref(words[next++]);
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
        else if (strncmp(words[next], "echo=", 5) == 0)
            reply->echo = strtoull(words[next] + 5, NULL, 10);
        else if (strncmp(words[next], "term=", 5) == 0)
            reply->lease.lease_ms = strtoll(words[next] + 5, NULL, 10);
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

void story_step(struct hd_agent *agent, const char *text, int64_t *now_ms)
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
    result = (struct hd_result){
        .loss = NAN, .message = "m", .info_json = "{}", .directory = "d", .image_id = "sha256:1"};
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
        event.attempt = story_ref(word[2]);
    } else if (strcmp(word[0], "ended") == 0) {
        event.kind = HD_AGENT_EVENT_ENDED;
        event.attempt = story_ref(word[1]);
        result.outcome = outcome_of(word[2]);
        event.result = &result;
        event.master_id = count == 5 ? word[4] : NULL;
    } else if (strcmp(word[0], "points") == 0) {
        event.kind = HD_AGENT_EVENT_PROGRESS;
        event.points = points;
        event.point_count = (size_t)atol(word[2]);
        for (size_t i = 0; i < event.point_count; i++)
            points[i] = (struct hd_point){story_ref(word[1]), (double)i, 1};
    } else if (strcmp(word[0], "described") == 0) {
        event.kind = HD_AGENT_EVENT_DESCRIBED;
        event.about = word[1];
        event.unfit = strcmp(word[1], "unfit") == 0;
    } else if (strcmp(word[0], "drain") == 0) {
        event.kind = HD_AGENT_EVENT_DRAIN;
    } else if (strcmp(word[0], "leave") == 0) {
        event.kind = HD_AGENT_EVENT_LEAVE;
        if (count == 2)
            event.leave_by_ms = strtoll(word[1] + strlen("by="), NULL, 10);
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
    if (request->kind == HD_REQUEST_LEASE && request->left_ms > 0)
        put(out, " left=%lld", (long long)request->left_ms);
    if (request->kind == HD_REQUEST_REPORT) {
        put(out, " %u.%u %s", request->result.attempt.job, request->result.attempt.attempt,
            outcome_name(request->result.outcome));
        if (request->lease_next)
            put(out, " next=%llu", (unsigned long long)request->lease_sequence);
        if (request->left_ms > 0)
            put(out, " left=%lld", (long long)request->left_ms);
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
    if (request->echo > 0)
        put(out, " echo=%llu %s%s", (unsigned long long)request->echo, request->about,
            request->unfit ? "!" : "");
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
        if (action->deadline_ms != HD_NEVER_MS)
            put(out, " by=%lld", (long long)action->deadline_ms);
        break;
    case HD_AGENT_DROP:
        put(out, "drop %u.%u", ref.job, ref.attempt);
        break;
    case HD_AGENT_ACKNOWLEDGED:
        put(out, "ack %u.%u %s", ref.job, ref.attempt,
            action->verdict == HD_VERDICT_ACCEPTED ? "accepted" : "rejected");
        break;
    case HD_AGENT_BRING:
        put(out, "bring %u.%u", ref.job, ref.attempt);
        break;
    case HD_AGENT_OFFER:
        put(out, "offer %u.%u", ref.job, ref.attempt);
        break;
    case HD_AGENT_DESCRIBE:
        put(out, "describe");
        break;
    case HD_AGENT_LOOKUP:
        put(out, "lookup");
        break;
    case HD_AGENT_EXIT:
        put(out, "exit");
        break;
    }
}

struct hd_agent *agent_of(struct hd_agent_options options)
{
    struct hd_agent *agent;
    options.incarnation = 3;
    options.stop_grace_ms = 1000;
    assert_true(hd_copy_text(options.worker, sizeof(options.worker), "w-0"));
    assert_true(hd_copy_text(options.root, sizeof(options.root), "r"));
    assert_true(hd_copy_text(options.host, sizeof(options.host), "h"));
    assert_hd_ok(hd_agent_new(&options, &agent, &err));
    return agent;
}

struct hd_agent *agent_with(uint32_t slots, const char *run_id, int64_t idle_timeout_ms)
{
    struct hd_agent_options options = {.slots = slots, .idle_timeout_ms = idle_timeout_ms};
    assert_true(hd_copy_text(options.run_id, sizeof(options.run_id), run_id));
    return agent_of(options);
}

void story_tell(struct hd_agent *agent, const struct story_row *rows, size_t count)
{
    int64_t now_ms = 0;
    struct hd_buf out;
    hd_buf_init(&out, 1u << 16);
    for (size_t i = 0; i < count; i++) {
        story_step(agent, rows[i].event, &now_ms);
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
