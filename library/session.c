/* SPDX-License-Identifier: Apache-2.0 */
/* session.c: stepping the core, and what is asked and told. */
#include "session.h"

#include <hd/driver.h>
#include <hd/os.h>

#include <math.h>
#include <string.h>

#define WORKER "ask-tell"
#define CONNECTION 1

/* ---- facts to the sampler ------------------------------------------------------------------- */

static enum hd_code keep_info(struct hyperdock_session *session, uint32_t config,
                              const struct hd_proposal_info *info, struct hd_err *err)
{
    if (config >= session->info_capacity) {
        uint32_t capacity = session->info_capacity == 0 ? 64 : session->info_capacity * 2;
        void *bigger = hd_realloc(session->infos, capacity * sizeof(*session->infos));
        if (bigger == NULL)
            return hd_fail(err, HD_E_NOMEM, "no memory for config %u", config);
        session->infos = bigger;
        session->info_capacity = capacity;
    }
    session->infos[config] = *info;
    session->info_count = config + 1;
    return HD_OK;
}

static enum hd_code keep_measures(struct hyperdock_session *session,
                                  const struct hd_fact_attempt_ended *ended, struct hd_err *err)
{
    if (ended->outcome != HD_OUTCOME_OK || ended->measure_count > HD_RESULT_MEASURES_MAX)
        return HD_OK;
    if (ended->job >= session->measure_capacity) {
        uint32_t capacity = ended->job + ended->job / 2 + 64;
        struct session_measures *bigger = hd_realloc(session->measures, capacity * sizeof(*bigger));
        if (bigger == NULL)
            return hd_fail(err, HD_E_NOMEM, "no memory for the values of job %u", ended->job);
        memset(bigger + session->measure_capacity, 0,
               (capacity - session->measure_capacity) * sizeof(*bigger));
        session->measures = bigger;
        session->measure_capacity = capacity;
    }
    struct hd_job_view view;
    hd_core_view_job(session->core, session->run, ended->job, &view);
    struct session_measures *measures = &session->measures[ended->job];
    *measures = (struct session_measures){
        .ok = true, .budget = view.budget, .violation = ended->violation, .values = {ended->loss}};
    if (ended->measure_count > 0)
        memcpy(measures->values, ended->measures, ended->measure_count * sizeof(double));
    return HD_OK;
}

const struct session_measures *session_measures_of(const struct hyperdock_session *session,
                                                   uint32_t job)
{
    bool has = job < session->measure_capacity && session->measures[job].ok;
    return has ? &session->measures[job] : NULL;
}

/* A job that reaches a rung on its way tells the sampler as much as one that ends there. */
enum hd_code session_learn(struct hyperdock_session *session, const struct hd_fact *fact,
                           struct hd_err *err)
{
    if (fact->kind == HD_FACT_CONFIG_PROPOSED) {
        const struct hd_fact_config_proposed *proposed = &fact->as.config_proposed;
        enum hd_code code = keep_info(session, proposed->config, &proposed->info, err);
        if (code == HD_OK)
            code =
                hd_sampler_credit(session->sampler, proposed->config, proposed->info.sampler, err);
        return code == HD_OK
                   ? hd_sampler_add(session->sampler, proposed->config, proposed->values, err)
                   : code;
    }
    if (fact->kind == HD_FACT_ATTEMPT_ENDED) {
        enum hd_code code = keep_measures(session, &fact->as.attempt_ended, err);
        if (code != HD_OK)
            return code;
    }
    struct hd_lesson lesson;
    return hd_core_lesson(session->core, fact, &lesson)
               ? hd_sampler_tell_score(session->sampler, lesson.config, lesson.budget,
                                       &lesson.score, err)
               : HD_OK;
}

/* ---- outstanding jobs ----------------------------------------------------------------------- */

enum hd_code session_reserve_held(struct hyperdock_session *session, struct hd_err *err)
{
    if (session->held_count < session->held_capacity)
        return HD_OK;
    size_t capacity = session->held_capacity * 2 + 16;
    uint32_t *held = hd_realloc(session->held, capacity * sizeof(*held));
    if (held == NULL)
        return hd_fail(err, HD_E_NOMEM, "no memory for another outstanding job");
    session->held = held;
    session->held_capacity = capacity;
    return HD_OK;
}

void session_hold_job(struct hyperdock_session *session, uint32_t job)
{
    size_t place = session->held_count;
    hd_assert(place < session->held_capacity);
    while (place > 0 && session->held[place - 1] > job) {
        session->held[place] = session->held[place - 1];
        place--;
    }
    session->held[place] = job;
    session->held_count++;
}

static void release_job(struct hyperdock_session *session, uint32_t job)
{
    size_t place = 0;
    while (place < session->held_count && session->held[place] != job)
        place++;
    if (place == session->held_count)
        return;
    session->held_count--;
    memmove(&session->held[place], &session->held[place + 1],
            (session->held_count - place) * sizeof(*session->held));
}

/* ---- stepping ------------------------------------------------------------------------------- */

static void take_replies(struct hyperdock_session *session)
{
    const struct hd_update *update = session->update;
    for (size_t i = 0; i < update->reply_count; i++) {
        const struct hd_reply *reply = &update->replies[i];
        if (session->poll_open && reply->address == session->poll_address) {
            session->poll_open = false;
            session->poll_won = reply->kind == HD_REPLY_LEASE;
            if (!session->poll_won)
                continue;
            session->poll_job = reply->lease.attempt.job;
            session_hold_job(session, session->poll_job);
        } else if (reply->address == session->address) {
            session->reply = *reply;
            session->replied = true;
        }
    }
    for (size_t i = 0; i < update->ask_count; i++) {
        hd_assert(session->ask_count < HD_ASKS_MAX);
        session->asks[session->ask_count++] = update->asks[i];
    }
}

/* Jobs that the core has closed by itself, as when the goal is reached, are held no more. */
static void release_closed(struct hyperdock_session *session)
{
    size_t kept = 0, ends = 0;
    for (size_t i = 0; i < session->update->fact_count; i++)
        ends += session->update->facts[i].kind == HD_FACT_ATTEMPT_ENDED ? 1 : 0;
    for (size_t i = 0; i < session->held_count && ends > 0; i++) {
        struct hd_job_view view;
        hd_core_view_job(session->core, session->run, session->held[i], &view);
        if (view.running)
            session->held[kept++] = session->held[i];
    }
    session->held_count = ends > 0 ? kept : session->held_count;
}

static enum hd_code append_facts(struct hyperdock_session *session, struct hd_err *err)
{
    struct hd_update *update = session->update;
    struct hd_buf params;
    hd_buf_init(&params, SESSION_TEXT_BYTES_MAX);
    enum hd_code code = hd_update_fill_params(session->core, update, &params, err);
    if (code == HD_OK && update->fact_count > 0)
        code = hd_store_append(session->store, update->facts, update->fact_count, err);
    session->failed = code == HD_E_IO || code == HD_E_CORRUPT;
    hd_buf_release(&params);
    return code;
}

/* What is left to do of the last step. */
static enum hd_code finish_step(struct hyperdock_session *session, struct hd_err *err)
{
    enum hd_code code = HD_OK;
    if (session->failed)
        return hd_fail(err, HD_E_IO,
                       "the file of this session failed before: close the session and open it "
                       "again to see what the file holds");
    if (session->stage == SESSION_STEPPED) {
        code = append_facts(session, err);
        if (code != HD_OK)
            return code;
        session->stage = SESSION_APPENDED;
        session->learned = 0;
    }
    if (session->stage == SESSION_IDLE)
        return HD_OK;
    while (session->sampler != NULL && session->learned < session->update->fact_count) {
        code = session_learn(session, &session->update->facts[session->learned], err);
        if (code != HD_OK)
            return code;
        session->learned++;
    }
    session->stage = SESSION_IDLE;
    take_replies(session);
    release_closed(session);
    return HD_OK;
}

/* ret_moved: the core has seen the event, whatever became of the rest. */
static enum hd_code step_at(struct hyperdock_session *session, struct hd_event *event,
                            int64_t now_ms, bool *ret_moved, struct hd_err *err)
{
    enum hd_code code = finish_step(session, err);
    event->now_ms = now_ms;
    event->wall_ms = hd_clock_wall_ms();
    if (code == HD_OK)
        code = hd_core_reserve(session->core, event, err);
    if (code != HD_OK)
        return code;
    hd_core_step(session->core, event, session->update);
    session->stage = SESSION_STEPPED;
    *ret_moved = true;
    return finish_step(session, err);
}

/* Nobody knows how long a person's program takes: the time between two calls counts for no lease.
 */
static enum hd_code hold(struct hyperdock_session *session, int64_t now_ms, struct hd_err *err)
{
    int64_t passed_ms = session->stepped_ms == 0 ? 0 : now_ms - session->stepped_ms;
    bool moved = false;
    if (passed_ms == 0) {
        session->stepped_ms = now_ms;
        return HD_OK;
    }
    struct hd_event event = {.kind = HD_EVENT_HOLD, .hold_ms = passed_ms};
    enum hd_code code = step_at(session, &event, now_ms, &moved, err);
    if (moved)
        session->stepped_ms = now_ms;
    return code;
}

static enum hd_code step_once(struct hyperdock_session *session, struct hd_event *event,
                              bool *ret_moved, struct hd_err *err)
{
    int64_t now_ms = hd_clock_ms();
    enum hd_code code = hold(session, now_ms, err);
    return code == HD_OK ? step_at(session, event, now_ms, ret_moved, err) : code;
}

/* An ask is forgotten only when the core has its answer. */
static enum hd_code answer_ask(struct hyperdock_session *session, struct hd_err *err)
{
    struct hd_ask ask = session->asks[0];
    struct hd_run_view run;
    hd_core_view_run(session->core, session->run, &run);
    struct hd_event event = {.kind = HD_EVENT_SUGGESTION,
                             .run = ask.run,
                             .config = ask.config,
                             .cut = ask.cut,
                             .values = session->values,
                             .value_count = run.experiment->space->param_count};
    enum hd_code code = hd_sampler_suggest(session->sampler, ask.config, ask.budget,
                                           session->values, &event.info, err);
    event.exhausted = code == HD_E_LIMIT;
    if (code != HD_OK && !event.exhausted)
        return code;
    size_t ask_count = session->ask_count;
    bool moved = false;
    /* Room for what the core asks in return: the first place is free as soon as it has moved. */
    session->ask_count--;
    memmove(session->asks, session->asks + 1, session->ask_count * sizeof(ask));
    code = step_once(session, &event, &moved, err);
    if (moved)
        return code;
    memmove(session->asks + 1, session->asks, (ask_count - 1) * sizeof(ask));
    session->asks[0] = ask;
    session->ask_count = ask_count;
    return code;
}

/* Steps until nothing more happens by itself. */
static enum hd_code settle(struct hyperdock_session *session, struct hd_err *err)
{
    enum hd_code code = finish_step(session, err);
    while (code == HD_OK) {
        bool moved = false;
        if (session->sampler != NULL && session->ask_count > 0) {
            code = answer_ask(session, err);
        } else if (hd_core_deadline_ms(session->core) <= hd_clock_ms()) {
            struct hd_event timeout = {.kind = HD_EVENT_TIMEOUT};
            code = step_once(session, &timeout, &moved, err);
        } else {
            break;
        }
    }
    return code;
}

static enum hd_code send(struct hyperdock_session *session, struct hd_request *request,
                         bool *ret_moved, struct hd_err *err)
{
    request->token = "";
    request->worker = request->kind == HD_REQUEST_SUBMIT ? "" : WORKER;
    request->incarnation = session->incarnation;
    if (request->run_id == NULL)
        request->run_id = "";
    session->address++;
    session->replied = false;
    struct hd_event event = {.kind = HD_EVENT_REQUEST,
                             .address = session->address,
                             .connection = CONNECTION,
                             .request = request};
    return step_once(session, &event, ret_moved, err);
}

enum hd_code session_request(struct hyperdock_session *session, struct hd_request *request,
                             struct hd_err *err)
{
    bool moved = false;
    enum hd_code code = send(session, request, &moved, err);
    if (code == HD_OK)
        code = settle(session, err);
    if (code == HD_OK && session->replied && session->reply.kind == HD_REPLY_REFUSED)
        code = hd_fail(err, session->reply.code, "%s", session->reply.text);
    return code;
}

/* ---- asking --------------------------------------------------------------------------------- */

static enum hd_code open_poll(struct hyperdock_session *session, struct hd_err *err)
{
    struct hd_request lease = {.kind = HD_REQUEST_LEASE,
                               .lane = HD_LANE_LEASE,
                               .sequence = session->lease_sequence + 1,
                               .root = WORKER,
                               .wait_ms = HD_LEASE_WAIT_MS_MAX};
    bool moved = false;
    enum hd_code code = finish_step(session, err);
    if (code != HD_OK)
        return code;
    session->poll_address = session->address + 1;
    session->poll_open = true;
    code = send(session, &lease, &moved, err);
    if (moved)
        session->lease_sequence++;
    else
        session->poll_open = false;
    return code;
}

/* No job came: the parked poll is taken back, or a later step would answer it to nobody. */
static enum hd_code close_poll(struct hyperdock_session *session, struct hd_err *err)
{
    struct hd_event gone = {.kind = HD_EVENT_DISCONNECT, .connection = CONNECTION};
    bool moved = false;
    enum hd_code code = step_once(session, &gone, &moved, err);
    if (moved)
        session->poll_open = false;
    return code == HD_OK ? settle(session, err) : code;
}

enum hd_code session_ask(struct hyperdock_session *session, enum hyperdock_answer *ret_answer,
                         uint32_t *ret_job, struct hd_err *err)
{
    enum hd_code code = session_reserve_held(session, err);
    if (code == HD_OK && !session->poll_won && !session->poll_open)
        code = open_poll(session, err);
    if (code == HD_OK)
        code = settle(session, err);
    if (code == HD_OK && session->poll_open)
        code = close_poll(session, err);
    if (code != HD_OK)
        return code;
    if (session->poll_won) {
        session->poll_won = false;
        *ret_answer = HYPERDOCK_ASK_JOB;
        *ret_job = session->poll_job;
        return HD_OK;
    }
    struct hd_run_view run;
    hd_core_view_run(session->core, session->run, &run);
    bool done = run.state == HD_RUN_FINISHED || run.state == HD_RUN_CANCELLED;
    *ret_answer = done ? HYPERDOCK_ASK_DONE : HYPERDOCK_ASK_WAIT;
    return HD_OK;
}

/* ---- telling -------------------------------------------------------------------------------- */

static enum hd_code running_job(struct hyperdock_session *session, uint32_t job,
                                struct hd_attempt_ref *ret_attempt, struct hd_err *err)
{
    struct hd_run_view run;
    struct hd_job_view view;
    hd_core_view_run(session->core, session->run, &run);
    if (job >= run.job_count)
        return hd_fail(err, HD_E_NOTFOUND, "there is no job %u (%u so far)", job, run.job_count);
    hd_core_view_job(session->core, session->run, job, &view);
    if (!view.running)
        return hd_fail(err, HD_E_CONFLICT,
                       view.closed ? "job %u was told already" : "job %u was not asked for yet",
                       job);
    *ret_attempt = (struct hd_attempt_ref){run.run_uid, job, view.attempt};
    return HD_OK;
}

enum hd_code session_tell(struct hyperdock_session *session, uint32_t job, enum hd_outcome outcome,
                          double loss, const double *measures, size_t measure_count,
                          struct hd_err *err)
{
    struct hd_request report = {
        .kind = HD_REQUEST_REPORT,
        .lane = HD_LANE_REPORT,
        .sequence = session->report_sequence + 1,
        .result = {.outcome = outcome,
                   .loss = loss,
                   .exit_code = -1,
                   .message = "",
                   .info_json = "",
                   .image_id = "",
                   .directory = WORKER},
    };
    hd_assert(measure_count <= HD_RESULT_MEASURES_MAX);
    report.result.measure_count = measure_count;
    if (measure_count > 0)
        memcpy(report.result.measures, measures, measure_count * sizeof(*measures));
    enum hd_code code = finish_step(session, err);
    if (code == HD_OK && session->unsure && session->unsure_job == job) {
        session->unsure = false;
        return HD_OK;
    }
    if (code == HD_OK)
        code = running_job(session, job, &report.result.attempt, err);
    if (code != HD_OK)
        return code;
    session->unsure = false;
    bool moved = false;
    code = send(session, &report, &moved, err);
    if (moved) {
        session->report_sequence++;
        release_job(session, job);
    }
    session->unsure = moved && code != HD_OK;
    session->unsure_job = job;
    if (code != HD_OK)
        return code;
    /* The result counts. What it sets off is finished by the next call when it cannot be now. */
    struct hd_err later;
    code = settle(session, &later);
    return session->failed ? hd_fail(err, code, "%s", later.text) : HD_OK;
}

/* ---- reporting ------------------------------------------------------------------------------ */

enum hd_code session_report(struct hyperdock_session *session, uint32_t job, double budget,
                            double loss, bool *ret_stop, struct hd_err *err)
{
    struct hd_point point = {.step = budget, .loss = loss};
    enum hd_code code = finish_step(session, err);
    if (code == HD_OK)
        code = running_job(session, job, &point.attempt, err);
    if (code != HD_OK)
        return code;
    /* A ping says all that is held, or the rest would count as lost. */
    struct hd_attempt_ref *held = hd_calloc(session->held_count, sizeof(*held));
    if (held == NULL)
        return hd_fail(err, HD_E_NOMEM, "no memory for %zu outstanding jobs", session->held_count);
    for (size_t i = 0; i < session->held_count; i++) {
        code = running_job(session, session->held[i], &held[i], err);
        hd_assert(code == HD_OK); /* those that are closed were released */
    }
    struct hd_request ping = {.kind = HD_REQUEST_PING,
                              .lane = HD_LANE_CONTROL,
                              .sequence = ++session->control_sequence,
                              .held = held,
                              .held_count = session->held_count,
                              .points = &point,
                              .point_count = 1};
    code = session_request(session, &ping, err);
    hd_free(held);
    if (code != HD_OK)
        return code;
    /* Not the reply's commands: it has room for some only, and each held job may have one. */
    struct hd_job_view view;
    hd_core_view_job(session->core, session->run, job, &view);
    *ret_stop = view.stopping || !view.running;
    return HD_OK;
}
