/* SPDX-License-Identifier: Apache-2.0 */
/*
 * core_world.h: the world around the pure core, for tests of one subject each: people, workers and
 * a clock. Behind every step stands a shadow that is fed with its facts alone: after each of them
 * restore equals live, whatever the test is about.
 *
 * Everything is static: a test file has one world of its own.
 */
#ifndef HD_TEST_CORE_WORLD_H
#define HD_TEST_CORE_WORLD_H

#include "testlib.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include <hd/core.h>

#define INBOX_MAX 1024
#define RUN_UID 77
#define NOTES_MAX 512

static struct hd_core *core, *shadow;
static struct hd_update update;
static struct hd_err err;
static int64_t now_ms;
static uint64_t last_address;
static size_t fact_counts[HD_FACT_KIND_COUNT];
static struct hd_fact last_facts[HD_FACT_KIND_COUNT]; /* texts are gone; numbers stay */
static struct hd_reply inbox[INBOX_MAX];              /* likewise */
static size_t inbox_count;
static struct hd_ask asks[HD_ASKS_MAX];
static size_t ask_count;
static char notes[NOTES_MAX][HD_NOTE_MAX]; /* the first ones of a test */
static size_t note_count;

/* ---- the world around the core ----------------------------------------------------------------
 */

static inline void open_core(struct hd_core_options options)
{
    hd_core_free(core);
    hd_core_free(shadow);
    if (options.ping_ms == 0)
        options.ping_ms = 5000;
    assert_hd_ok(hd_core_new(&options, &core, &err));
    assert_hd_ok(hd_core_new(&options, &shadow, &err));
    now_ms = 1000;
    inbox_count = ask_count = note_count = 0;
    memset(fact_counts, 0, sizeof(fact_counts));
}

static inline int setup(void **state)
{
    (void)state;
    open_core((struct hd_core_options){0});
    return 0;
}

static inline int teardown(void **state)
{
    (void)state;
    hd_core_free(core);
    hd_core_free(shadow);
    core = shadow = NULL;
    return 0;
}

static inline void take_update(void)
{
    for (size_t i = 0; i < update.fact_count; i++) {
        assert_hd_ok(hd_core_apply(shadow, &update.facts[i], &err));
        fact_counts[update.facts[i].kind]++;
        last_facts[update.facts[i].kind] = update.facts[i];
    }
    assert_true(hd_core_digest(core) == hd_core_digest(shadow));
    for (size_t i = 0; i < update.reply_count; i++) {
        assert_true(inbox_count < INBOX_MAX);
        inbox[inbox_count++] = update.replies[i];
    }
    for (size_t i = 0; i < update.ask_count; i++)
        asks[ask_count++] = update.asks[i];
    for (size_t i = 0; i < update.note_count && note_count < NOTES_MAX; i++)
        (void)hd_copy_text(notes[note_count++], HD_NOTE_MAX, update.notes[i].text);
}

static inline void step(struct hd_event event)
{
    event.now_ms = event.wall_ms = now_ms;
    assert_hd_ok(hd_core_reserve(core, &event, &err));
    hd_core_step(core, &event, &update);
    take_update();
}

/* Answers every ask and calls the core as often as it wants to be called now. */
static inline void settle(void)
{
    for (int calls = 0; ask_count > 0 || hd_core_deadline_ms(core) <= now_ms; calls++) {
        assert_true(calls < 10000);
        if (ask_count == 0) {
            step((struct hd_event){.kind = HD_EVENT_TIMEOUT});
            continue;
        }
        struct hd_ask ask = asks[0];
        memmove(asks, asks + 1, --ask_count * sizeof(asks[0]));
        double value = 0.5;
        step((struct hd_event){.kind = HD_EVENT_SUGGESTION,
                               .run = ask.run,
                               .config = ask.config,
                               .cut = ask.cut,
                               .values = &value,
                               .value_count = 1,
                               .info = {.sampler = "random", .model_budget = (double)NAN}});
    }
}

static inline void pass(int64_t ms)
{
    int64_t until_ms = now_ms + ms;
    int64_t deadline_ms;
    while ((deadline_ms = hd_core_deadline_ms(core)) <= until_ms) {
        now_ms = deadline_ms > now_ms ? deadline_ms : now_ms;
        settle();
    }
    now_ms = until_ms;
}

static inline struct hd_request blank(void)
{
    struct hd_request request = {.token = "", .worker = "", .run_id = "", .root = "", .host = "h"};
    request.experiment_json = request.reason = request.view = request.view_json = "";
    request.result.message = request.result.info_json = request.result.directory =
        request.result.image_id = "";
    return request;
}

/* The request's address; its answer may come later. */
static inline uint64_t post(const struct hd_request *request, uint64_t connection)
{
    uint64_t address = ++last_address;
    step((struct hd_event){.kind = HD_EVENT_REQUEST,
                           .address = address,
                           .connection = connection,
                           .request = request});
    settle();
    return address;
}

/* NULL: not answered yet. Nothing is answered twice. */
static inline const struct hd_reply *answer_to(uint64_t address)
{
    const struct hd_reply *found = NULL;
    for (size_t i = 0; i < inbox_count; i++) {
        if (inbox[i].address != address)
            continue;
        assert_null(found);
        found = &inbox[i];
    }
    return found;
}

static inline void assert_answer(uint64_t address, enum hd_reply_kind kind)
{
    const struct hd_reply *reply = answer_to(address);
    if (reply == NULL)
        fail_msg("no answer, expected %s", hd_reply_kind_name(kind));
    assert_string_equal(hd_reply_kind_name(reply->kind), hd_reply_kind_name(kind));
}

/* ---- people and workers ------------------------------------------------------------------------
 */

#define HALVING                                                                                    \
    "\"iteration_generator\":{\"name\":\"successive_halving\",\"eta\":2},"                         \
    "\"budget\":{\"min\":1,\"max\":2},\"stop\":{\"iterations\":1}"

static uint32_t gpus_of_jobs;             /* of runs that are submitted from now on */
static const char *data_of_jobs = "null"; /* likewise */

static inline uint64_t submit(const char *run_id, uint64_t run_uid, const char *more)
{
    char text[1024];
    assert_true(hd_format(text, sizeof(text),
                          "{\"name\":\"%s\",\"target\":{\"command\":[\"./t\"],"
                          "\"resources\":{\"gpus\":%u},\"data\":%s},"
                          "\"space\":{\"x\":{\"type\":\"float\",\"low\":0,\"high\":1}},"
                          "\"sampler\":{\"name\":\"random\"},%s}",
                          run_id, gpus_of_jobs, data_of_jobs, more));
    struct hd_request request = blank();
    request.kind = HD_REQUEST_SUBMIT;
    request.run_id = run_id;
    request.run_uid = run_uid;
    request.experiment_json = text;
    return post(&request, 0);
}

static inline void start(const char *more)
{
    assert_answer(submit("r", RUN_UID, more), HD_REPLY_OK);
}

static inline uint64_t command(enum hd_command_op op, uint32_t job)
{
    struct hd_request request = blank();
    request.kind = HD_REQUEST_COMMAND;
    request.run_id = "r";
    request.command = op;
    request.job = job;
    return post(&request, 0);
}

struct worker {
    const char *id;
    const char *root;
    uint64_t incarnation;
    uint64_t control, lease, report; /* sequences */
    uint32_t gpus;
    const char *data; /* data sets; NULL none */
};

static inline struct hd_request from(const struct worker *worker, enum hd_request_kind kind,
                                     enum hd_lane lane, uint64_t sequence)
{
    struct hd_request request = blank();
    request.kind = kind;
    request.worker = worker->id;
    request.root = worker->root;
    request.incarnation = worker->incarnation;
    request.lane = lane;
    request.sequence = sequence;
    request.slots = 1;
    request.gpus = worker->gpus;
    request.data = worker->data;
    request.wait_ms = 10000;
    return request;
}

static inline uint64_t hello(struct worker *worker, const struct hd_attempt_ref *held,
                             size_t held_count)
{
    struct hd_request request = from(worker, HD_REQUEST_HELLO, HD_LANE_CONTROL, ++worker->control);
    request.held = held;
    request.held_count = held_count;
    request.lease_seen = worker->lease;
    return post(&request, worker->incarnation);
}

static inline uint64_t ping(struct worker *worker, const struct hd_attempt_ref *held,
                            size_t held_count)
{
    struct hd_request request = from(worker, HD_REQUEST_PING, HD_LANE_CONTROL, ++worker->control);
    request.held = held;
    request.held_count = held_count;
    request.lease_seen = worker->lease;
    return post(&request, worker->incarnation);
}

static inline uint64_t poll_again(struct worker *worker, uint64_t sequence)
{
    struct hd_request request = from(worker, HD_REQUEST_LEASE, HD_LANE_LEASE, sequence);
    return post(&request, worker->incarnation);
}

static inline uint64_t poll(struct worker *worker)
{
    return poll_again(worker, ++worker->lease);
}

static inline struct hd_attempt_ref lease(struct worker *worker)
{
    uint64_t address = poll(worker);
    assert_answer(address, HD_REPLY_LEASE);
    return answer_to(address)->lease.attempt;
}

static inline uint64_t report_again(struct worker *worker, uint64_t sequence,
                                    struct hd_attempt_ref attempt, enum hd_outcome outcome,
                                    double loss)
{
    struct hd_request request = from(worker, HD_REQUEST_REPORT, HD_LANE_REPORT, sequence);
    request.result.attempt = attempt;
    request.result.outcome = outcome;
    request.result.loss = loss;
    request.result.directory = worker->root[0] != '\0' ? "config-0" : "";
    return post(&request, worker->incarnation);
}

static inline uint64_t report(struct worker *worker, struct hd_attempt_ref attempt,
                              enum hd_outcome outcome, double loss)
{
    return report_again(worker, ++worker->report, attempt, outcome, loss);
}

/* Ends an attempt with what its log rule says. */
static inline void report_saying(struct worker *worker, struct hd_attempt_ref attempt,
                                 enum hd_outcome outcome, uint32_t rule, const char *message)
{
    struct hd_request request = from(worker, HD_REQUEST_REPORT, HD_LANE_REPORT, ++worker->report);
    request.result.attempt = attempt;
    request.result.outcome = outcome;
    request.result.loss = (double)NAN;
    request.result.rule = rule;
    request.result.message = message;
    post(&request, worker->incarnation);
}

static inline void report_rule(struct worker *worker, struct hd_attempt_ref attempt,
                               enum hd_outcome outcome, uint32_t rule)
{
    report_saying(worker, attempt, outcome, rule, "as planned");
}

/* An order about a worker, or (worker NULL) a limit of run "r"; its address. */
static inline uint64_t order(enum hd_command_op op, const char *worker, enum hd_limit limit,
                             const char *value)
{
    struct hd_request request = blank();
    request.kind = HD_REQUEST_COMMAND;
    request.command = op;
    request.run_id = worker == NULL ? "r" : "";
    request.subject = worker != NULL ? worker : "";
    request.limit = limit;
    request.limit_value = value;
    return post(&request, 0);
}

static inline struct hd_worker_view worker_view(const char *id)
{
    struct hd_worker_view view;
    for (uint32_t i = 0; i < hd_core_worker_count(core); i++) {
        if (hd_core_view_worker(core, i, &view) && strcmp(view.id, id) == 0)
            return view;
    }
    fail_msg("no worker %s", id);
    return view;
}

static inline bool noted(const char *text)
{
    for (size_t i = 0; i < note_count; i++)
        if (strstr(notes[i], text) != NULL)
            return true;
    return false;
}

static inline struct hd_run_view run_view(uint32_t run)
{
    struct hd_run_view view;
    hd_core_view_run(core, run, &view);
    return view;
}

static inline struct hd_job_view job_view(uint32_t job)
{
    struct hd_job_view view;
    hd_core_view_job(core, 0, job, &view);
    return view;
}

static __attribute__((noinline, unused)) void assert_state(enum hd_run_state state,
                                                           const char *reason)
{
    struct hd_run_view view = run_view(0);
    assert_string_equal(hd_run_state_name(view.state), hd_run_state_name(state));
    const char *told = view.reason != NULL ? view.reason : "(none)";
    bool holds = strstr(told, reason) != NULL;
    if (!holds)
        print_error("reason: %s\n", told);
    assert_true(holds);
}

#endif
