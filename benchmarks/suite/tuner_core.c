/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tuner_core.c: the master's core and W workers as a tuner. What a driver does with an update is
 * done here at once: facts teach the sampler, asks are answered, replies reach their workers. All
 * workers share one work root, as on a shared file system, so that any of them goes on where a
 * config was. Between events they ping as real ones do, and the core gets its timeouts.
 */
#include "tuner.h"

#include <hd/core.h>

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define RUN_UID 1
#define PING_MS 5000
#define DIRECTORY_MAX 16
#define SETTLE_MAX 1000000 /* steps at one moment */

struct bench_worker {
    char id[16];
    uint64_t sequences[HD_LANE_COUNT];
    bool polling; /* a poll is parked */
    bool leased;  /* its answer came and has not been fetched by ask() */
    bool busy;
    bool stopping;       /* the core wants its attempt ended */
    uint64_t lease_seen; /* the last poll that was answered */
    struct hd_lease lease;
};

struct core_tuner {
    struct bench_tuner base;
    struct hd_core *core;
    struct hd_update *update;
    struct hd_sampler *sampler;
    const struct hd_experiment *experiment; /* the core's own */
    struct bench_worker *workers;
    uint32_t worker_count;
    uint32_t config_count; /* that the sampler knows */
    struct hd_ask asks[HD_ASKS_MAX];
    size_t ask_count;
    int64_t now_ms, next_ping_ms;
    bool done;
};

static struct core_tuner *core_of(struct bench_tuner *tuner)
{
    return (struct core_tuner *)(void *)tuner;
}

/* ---- the sampler beside the core ------------------------------------------------------------- */

static enum hd_code learn_config(struct core_tuner *tuner, uint32_t config, const double *values,
                                 const char *proposed_by, struct hd_err *err)
{
    if (config < tuner->config_count)
        return HD_OK; /* its own suggestion, coming back as a fact */
    enum hd_code code = hd_sampler_credit(tuner->sampler, config, proposed_by, err);
    if (code == HD_OK)
        code = hd_sampler_add(tuner->sampler, config, values, err);
    if (code == HD_OK)
        tuner->config_count = config + 1;
    return code;
}

static enum hd_code learn(struct core_tuner *tuner, const struct hd_fact *fact, struct hd_err *err)
{
    struct hd_lesson lesson;
    if (fact->kind == HD_FACT_CONFIG_PROPOSED) {
        const struct hd_fact_config_proposed *proposed = &fact->as.config_proposed;
        return learn_config(tuner, proposed->config, proposed->values, proposed->info.sampler, err);
    }
    if (!hd_core_lesson(tuner->core, fact, &lesson))
        return HD_OK;
    return hd_sampler_tell_score(tuner->sampler, lesson.config, lesson.budget, &lesson.score, err);
}

/* ---- one event ------------------------------------------------------------------------------- */

static enum hd_code take_reply(struct core_tuner *tuner, const struct hd_reply *reply,
                               struct hd_err *err)
{
    if (reply->address >= tuner->worker_count)
        return reply->kind == HD_REPLY_OK ? HD_OK
                                          : hd_fail(err, HD_E_INVALID, "submit: %s", reply->text);
    struct bench_worker *worker = &tuner->workers[reply->address];
    if (reply->lane == HD_LANE_LEASE) {
        worker->polling = false;
        worker->lease_seen = reply->sequence;
    }
    for (size_t i = 0; i < reply->command_count; i++) {
        if (reply->commands[i].action == HD_ACTION_BRING ||
            reply->commands[i].action == HD_ACTION_OFFER)
            continue; /* nothing is left by what is only looked up */
        if (reply->commands[i].action != HD_ACTION_STOP)
            return hd_fail(err, HD_E_CONFLICT, "the core takes job %u from its worker",
                           reply->commands[i].attempt.job);
        worker->stopping = true;
    }
    switch (reply->kind) {
    case HD_REPLY_LEASE:
        worker->leased = true;
        worker->lease = reply->lease;
        return HD_OK;
    case HD_REPLY_DONE:
        tuner->done = true;
        return HD_OK;
    case HD_REPLY_OK:
    case HD_REPLY_NOTHING:
        return HD_OK;
    case HD_REPLY_STALE:
    case HD_REPLY_HELLO_FIRST:
    case HD_REPLY_REFUSED:
    case HD_REPLY_VIEW:
    case HD_REPLY_KIND_COUNT:
        break;
    }
    return hd_fail(err, HD_E_CONFLICT, "the core answers %s: %s", hd_reply_kind_name(reply->kind),
                   reply->text);
}

static enum hd_code step(struct core_tuner *tuner, struct hd_event event, struct hd_err *err)
{
    event.now_ms = event.wall_ms = tuner->now_ms;
    enum hd_code code = hd_core_reserve(tuner->core, &event, err);
    if (code != HD_OK)
        return code;
    hd_core_step(tuner->core, &event, tuner->update);
    const struct hd_update *update = tuner->update;
    for (size_t i = 0; code == HD_OK && i < update->fact_count; i++)
        code = learn(tuner, &update->facts[i], err);
    for (size_t i = 0; code == HD_OK && i < update->reply_count; i++)
        code = take_reply(tuner, &update->replies[i], err);
    for (size_t i = 0; code == HD_OK && i < update->ask_count; i++) {
        hd_assert(tuner->ask_count < HD_ASKS_MAX);
        tuner->asks[tuner->ask_count++] = update->asks[i];
    }
    return code;
}

static enum hd_code answer_ask(struct core_tuner *tuner, struct hd_err *err)
{
    struct hd_ask ask = tuner->asks[0];
    double *values = calloc(tuner->experiment->space->param_count + 1, sizeof(*values));
    if (values == NULL)
        return hd_fail(err, HD_E_NOMEM, "no memory for a config");
    memmove(tuner->asks, tuner->asks + 1, --tuner->ask_count * sizeof(tuner->asks[0]));
    struct hd_event suggestion = {
        .kind = HD_EVENT_SUGGESTION,
        .run = ask.run,
        .config = ask.config,
        .cut = ask.cut,
        .values = values,
        .value_count = tuner->experiment->space->param_count,
    };
    enum hd_code code =
        hd_sampler_suggest(tuner->sampler, ask.config, ask.budget, values, &suggestion.info, err);
    suggestion.exhausted = code == HD_E_LIMIT;
    if (code == HD_OK)
        code = learn_config(tuner, ask.config, values, suggestion.info.sampler, err);
    if (code == HD_OK || suggestion.exhausted)
        code = step(tuner, suggestion, err);
    free(values);
    return code;
}

/* Until the core wants nothing more at this moment. */
static enum hd_code settle(struct core_tuner *tuner, struct hd_err *err)
{
    for (int calls = 0; calls < SETTLE_MAX; calls++) {
        enum hd_code code;
        if (tuner->ask_count > 0)
            code = answer_ask(tuner, err);
        else if (hd_core_deadline_ms(tuner->core) <= tuner->now_ms)
            code = step(tuner, (struct hd_event){.kind = HD_EVENT_TIMEOUT}, err);
        else
            return HD_OK;
        if (code != HD_OK)
            return code;
    }
    return hd_fail(err, HD_E_LIMIT, "the core asks to be called again without end");
}

static struct hd_request blank(void)
{
    struct hd_request request = {.token = "", .worker = "", .run_id = "", .root = ""};
    request.host = request.experiment_json = request.reason = "";
    request.view = request.view_json = "";
    request.result.message = request.result.info_json = request.result.directory = "";
    return request;
}

static enum hd_code post(struct core_tuner *tuner, uint64_t address,
                         const struct hd_request *request, struct hd_err *err)
{
    enum hd_code code = step(tuner,
                             (struct hd_event){.kind = HD_EVENT_REQUEST,
                                               .address = address,
                                               .connection = address + 1,
                                               .request = request},
                             err);
    return code == HD_OK ? settle(tuner, err) : code;
}

/* `request` with what every request of this worker says. */
static enum hd_code send(struct core_tuner *tuner, uint32_t number, struct hd_request *request,
                         struct hd_err *err)
{
    struct bench_worker *worker = &tuner->workers[number];
    request->worker = worker->id;
    request->incarnation = 1;
    request->root = "shared";
    request->sequence = ++worker->sequences[request->lane];
    request->slots = 1;
    request->lease_seen = worker->lease_seen;
    if (worker->busy || worker->leased) {
        request->held = &worker->lease.attempt;
        request->held_count = 1;
    }
    return post(tuner, number, request, err);
}

static enum hd_code ping(struct core_tuner *tuner, uint32_t number, const struct hd_point *point,
                         struct hd_err *err)
{
    struct hd_request request = blank();
    request.kind = HD_REQUEST_PING;
    request.lane = HD_LANE_CONTROL;
    request.points = point;
    request.point_count = point != NULL ? 1 : 0;
    return send(tuner, number, &request, err);
}

/* ---- time ------------------------------------------------------------------------------------ */

static enum hd_code advance(struct core_tuner *tuner, double now, struct hd_err *err)
{
    int64_t until_ms = (int64_t)(now * 1000);
    for (;;) {
        int64_t deadline_ms = hd_core_deadline_ms(tuner->core);
        int64_t next_ms = deadline_ms < tuner->next_ping_ms ? deadline_ms : tuner->next_ping_ms;
        if (next_ms > until_ms)
            break;
        if (next_ms > tuner->now_ms)
            tuner->now_ms = next_ms;
        enum hd_code code = settle(tuner, err);
        for (uint32_t i = 0;
             code == HD_OK && next_ms == tuner->next_ping_ms && i < tuner->worker_count; i++)
            code = ping(tuner, i, NULL, err);
        if (code != HD_OK)
            return code;
        if (next_ms == tuner->next_ping_ms)
            tuner->next_ping_ms += PING_MS;
    }
    if (until_ms > tuner->now_ms)
        tuner->now_ms = until_ms;
    return HD_OK;
}

/* ---- the tuner ------------------------------------------------------------------------------- */

static enum hd_code poll(struct core_tuner *tuner, uint32_t number, struct hd_err *err)
{
    struct hd_request request = blank();
    request.kind = HD_REQUEST_LEASE;
    request.lane = HD_LANE_LEASE;
    request.wait_ms = HD_LEASE_WAIT_MS_MAX;
    tuner->workers[number].polling = true;
    return send(tuner, number, &request, err);
}

static enum hd_code ask(struct bench_tuner *base, uint32_t number, double now,
                        enum hd_ask_answer *ret_answer, struct hd_optimizer_job *ret_job,
                        struct hd_err *err)
{
    struct core_tuner *tuner = core_of(base);
    struct bench_worker *worker = &tuner->workers[number];
    enum hd_code code = advance(tuner, now, err);
    if (code == HD_OK && !worker->leased && !worker->polling)
        code = poll(tuner, number, err);
    if (code != HD_OK)
        return code;
    if (!worker->leased) {
        *ret_answer = tuner->done ? HD_ASK_ANSWER_DONE : HD_ASK_ANSWER_WAIT;
        return HD_OK;
    }
    const struct hd_lease *lease = &worker->lease;
    worker->leased = false;
    worker->busy = true;
    worker->stopping = false;
    *ret_answer = HD_ASK_ANSWER_JOB;
    *ret_job = (struct hd_optimizer_job){
        .job_number = lease->attempt.job,
        .config_number = lease->config,
        .config_id = lease->config_id,
        .values = hd_core_config_values(tuner->core, 0, lease->config),
        .budget = lease->budget,
        .budget_previous = lease->budget_previous,
    };
    return HD_OK;
}

static enum hd_code report(struct bench_tuner *base, uint32_t number, uint32_t job, double now,
                           double at, double loss, bool *ret_stop, struct hd_err *err)
{
    struct core_tuner *tuner = core_of(base);
    struct bench_worker *worker = &tuner->workers[number];
    struct hd_point point = {.attempt = worker->lease.attempt, .step = at, .loss = loss};
    hd_assert(worker->busy && worker->lease.attempt.job == job);
    enum hd_code code = advance(tuner, now, err);
    if (code == HD_OK)
        code = ping(tuner, number, &point, err);
    if (code == HD_OK)
        *ret_stop = worker->stopping;
    return code;
}

static enum hd_code tell(struct bench_tuner *base, uint32_t number, uint32_t job, double now,
                         double loss, bool stopped, struct hd_err *err)
{
    struct core_tuner *tuner = core_of(base);
    struct bench_worker *worker = &tuner->workers[number];
    char directory[DIRECTORY_MAX];
    struct hd_request request = blank();
    hd_assert(worker->busy && worker->lease.attempt.job == job);
    (void)hd_format(directory, sizeof(directory), "c%u", worker->lease.config);
    request.kind = HD_REQUEST_REPORT;
    request.lane = HD_LANE_REPORT;
    request.result.attempt = worker->lease.attempt;
    request.result.outcome = stopped          ? HD_OUTCOME_STOPPED
                             : isfinite(loss) ? HD_OUTCOME_OK
                                              : HD_OUTCOME_DIVERGED;
    request.result.loss = loss;
    request.result.directory = directory;
    enum hd_code code = advance(tuner, now, err);
    worker->busy = false;
    return code == HD_OK ? send(tuner, number, &request, err) : code;
}

static bool best(struct bench_tuner *base, uint32_t *ret_config)
{
    struct hd_run_view run;
    hd_core_view_run(core_of(base)->core, 0, &run);
    *ret_config = run.incumbent_config;
    return run.has_incumbent;
}

static void release(struct bench_tuner *base)
{
    struct core_tuner *tuner = core_of(base);
    hd_sampler_free(tuner->sampler);
    hd_core_free(tuner->core);
    free(tuner->update);
    free(tuner->workers);
    free(tuner);
}

static const struct bench_tuner_ops ops = {
    .ask = ask, .report = report, .tell = tell, .best = best, .free = release};

/* ---- the start ------------------------------------------------------------------------------- */

static enum hd_code submit(struct core_tuner *tuner, const struct bench_run_spec *spec,
                           struct hd_err *err)
{
    struct hd_buf json;
    struct hd_request request = blank();
    hd_buf_init(&json, HD_EXPERIMENT_BYTES_MAX);
    enum hd_code code = hd_experiment_to_json(spec->experiment, &json, err);
    request.kind = HD_REQUEST_SUBMIT;
    request.run_id = "bench";
    request.run_uid = RUN_UID;
    request.seed = spec->seed;
    request.experiment_json = hd_buf_text(&json);
    if (code == HD_OK)
        code = post(tuner, tuner->worker_count, &request, err);
    hd_buf_release(&json);
    return code;
}

static enum hd_code make_sampler(struct core_tuner *tuner, struct hd_err *err)
{
    struct hd_run_view view;
    hd_core_view_run(tuner->core, 0, &view);
    tuner->experiment = view.experiment;
    struct hd_sampler_spec sampler = {
        .name = view.experiment->sampler_name,
        .settings = view.experiment->sampler_settings,
        .initial = view.experiment->initial,
        .initial_count = view.experiment->initial_count,
        .objective_count = view.experiment->objective_count,
        .constrained = view.experiment->constraint_count > 0,
        .seed = view.seed,
    };
    return hd_sampler_new(&sampler, view.experiment->space, &tuner->sampler, err);
}

static enum hd_code open(struct core_tuner *tuner, const struct bench_run_spec *spec,
                         struct hd_err *err)
{
    struct hd_core_options options = {.ping_ms = PING_MS, .shutdown_workers = true};
    tuner->update = calloc(1, sizeof(*tuner->update));
    tuner->workers = calloc(spec->workers, sizeof(*tuner->workers));
    if (tuner->update == NULL || tuner->workers == NULL)
        return hd_fail(err, HD_E_NOMEM, "no memory for a core");
    tuner->worker_count = spec->workers;
    tuner->next_ping_ms = PING_MS;
    enum hd_code code = hd_core_new(&options, &tuner->core, err);
    if (code == HD_OK)
        code = submit(tuner, spec, err);
    if (code == HD_OK)
        code = make_sampler(tuner, err);
    for (uint32_t i = 0; code == HD_OK && i < spec->workers; i++) {
        struct hd_request hello = blank();
        (void)hd_format(tuner->workers[i].id, sizeof(tuner->workers[i].id), "worker-%u", i);
        hello.kind = HD_REQUEST_HELLO;
        hello.lane = HD_LANE_CONTROL;
        code = send(tuner, i, &hello, err);
    }
    return code;
}

enum hd_code bench_tuner_core_new(const struct bench_run_spec *spec, struct bench_tuner **ret_tuner,
                                  struct hd_err *err)
{
    struct core_tuner *tuner = calloc(1, sizeof(*tuner));
    if (tuner == NULL)
        return hd_fail(err, HD_E_NOMEM, "no memory for a core");
    tuner->base.ops = &ops;
    enum hd_code code = open(tuner, spec, err);
    if (code != HD_OK) {
        release(&tuner->base);
        return code;
    }
    *ret_tuner = &tuner->base;
    return HD_OK;
}
