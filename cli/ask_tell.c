/* SPDX-License-Identifier: Apache-2.0 */
/*
 * hd ask-tell: the optimizer on standard input and output, one JSON object a line.
 *
 * It is the master's core with one worker that never dies: an ask is a lease, a tell is a
 * report. So promotions, failures and resume are those of a real run, and --state is an ordinary
 * state file.
 */
#include "act.h"
#include "commands.h"
#include "common/cli.h"

#include <hd/core.h>
#include <hd/driver.h>
#include <hd/store.h>

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LINE_MAX_BYTES (1024u * 1024u)
#define LEASE_MS (INT64_C(1000) * 60 * 60) /* any: they are held, see hold() */
#define WORKER "ask-tell"
#define CONNECTION 1

struct session {
    struct hd_core *core;
    struct hd_store *store;
    struct hd_sampler *sampler;
    struct hd_update *update;
    struct hd_proposal_info *infos; /* by config number */
    uint32_t info_count, info_capacity;
    uint32_t run;
    uint64_t incarnation;
    uint64_t lease_sequence, report_sequence, control_sequence;
    uint64_t address;
    int64_t stepped_ms;    /* when; 0 never */
    struct hd_reply reply; /* the last one to our own requests */
    bool replied;
    struct hd_ask asks[HD_ASKS_MAX];
    size_t ask_count;
};

/* ---- facts to the sampler
 * ------------------------------------------------------------------------- */

static enum hd_code keep_info(struct session *session, uint32_t config,
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

static enum hd_code learn(struct session *session, const struct hd_fact *fact, struct hd_err *err)
{
    if (fact->kind == HD_FACT_CONFIG_PROPOSED) {
        const struct hd_fact_config_proposed *proposed = &fact->as.config_proposed;
        enum hd_code code = keep_info(session, proposed->config, &proposed->info, err);
        return code == HD_OK
                   ? hd_sampler_add(session->sampler, proposed->config, proposed->values, err)
                   : code;
    }
    const struct hd_fact_attempt_ended *ended = &fact->as.attempt_ended;
    if (fact->kind != HD_FACT_ATTEMPT_ENDED || ended->requeued)
        return HD_OK;
    struct hd_job_view job;
    hd_core_view_job(session->core, session->run, ended->job, &job);
    double loss = ended->outcome == HD_OUTCOME_OK ? ended->loss : NAN;
    return hd_sampler_tell(session->sampler, job.config, job.budget, loss, err);
}

/* ---- stepping
 * -------------------------------------------------------------------------------------- */

static enum hd_code step_at(struct session *session, struct hd_event *event, int64_t now_ms,
                            struct hd_err *err)
{
    event->now_ms = now_ms;
    event->wall_ms = hd_clock_wall_ms();
    enum hd_code code = hd_core_reserve(session->core, event, err);
    if (code != HD_OK)
        return code;
    struct hd_update *update = session->update;
    hd_core_step(session->core, event, update);
    struct hd_buf params;
    hd_buf_init(&params, LINE_MAX_BYTES);
    code = hd_update_fill_params(session->core, update, &params, err);
    if (code == HD_OK && update->fact_count > 0)
        code = hd_store_append(session->store, update->facts, update->fact_count, err);
    hd_buf_release(&params);
    for (size_t i = 0; code == HD_OK && i < update->fact_count; i++)
        if (session->sampler != NULL)
            code = learn(session, &update->facts[i], err);
    for (size_t i = 0; i < update->reply_count; i++) {
        if (update->replies[i].address != session->address)
            continue;
        session->reply = update->replies[i];
        session->replied = true;
    }
    for (size_t i = 0; i < update->ask_count && session->ask_count < HD_ASKS_MAX; i++)
        session->asks[session->ask_count++] = update->asks[i];
    return code;
}

/* Nobody knows how long a person's benchmark takes: the time between two lines counts for no
 * lease. */
static enum hd_code hold(struct session *session, int64_t now_ms, struct hd_err *err)
{
    int64_t passed_ms = session->stepped_ms == 0 ? 0 : now_ms - session->stepped_ms;
    session->stepped_ms = now_ms;
    if (passed_ms == 0)
        return HD_OK;
    struct hd_event event = {.kind = HD_EVENT_HOLD, .hold_ms = passed_ms};
    return step_at(session, &event, now_ms, err);
}

static enum hd_code step_once(struct session *session, struct hd_event *event, struct hd_err *err)
{
    int64_t now_ms = hd_clock_ms();
    enum hd_code code = hold(session, now_ms, err);
    return code == HD_OK ? step_at(session, event, now_ms, err) : code;
}

static enum hd_code answer_ask(struct session *session, struct hd_err *err)
{
    struct hd_ask ask = session->asks[0];
    session->ask_count--;
    memmove(session->asks, session->asks + 1, session->ask_count * sizeof(ask));
    struct hd_run_view run;
    hd_core_view_run(session->core, session->run, &run);
    double values[HD_SPACE_PARAMS_MAX];
    struct hd_event event = {.kind = HD_EVENT_SUGGESTION,
                             .run = ask.run,
                             .config = ask.config,
                             .cut = ask.cut,
                             .values = values,
                             .value_count = run.experiment->space->param_count};
    enum hd_code code =
        hd_sampler_suggest(session->sampler, ask.config, ask.budget, values, &event.info, err);
    event.exhausted = code == HD_E_LIMIT;
    if (code != HD_OK && !event.exhausted)
        return code;
    return step_once(session, &event, err);
}

/* Steps until nothing more happens by itself. */
static enum hd_code settle(struct session *session, struct hd_event *event, struct hd_err *err)
{
    enum hd_code code = step_once(session, event, err);
    while (code == HD_OK) {
        if (session->ask_count > 0) {
            code = answer_ask(session, err);
        } else if (hd_core_deadline_ms(session->core) <= hd_clock_ms()) {
            struct hd_event timeout = {.kind = HD_EVENT_TIMEOUT};
            code = step_once(session, &timeout, err);
        } else {
            break;
        }
    }
    return code;
}

static enum hd_code request(struct session *session, struct hd_request *request, struct hd_err *err)
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
    enum hd_code code = settle(session, &event, err);
    if (code == HD_OK && session->replied && session->reply.kind == HD_REPLY_REFUSED)
        code = hd_fail(err, session->reply.code, "%s", session->reply.text);
    return code;
}

/* ---- opening
 * ---------------------------------------------------------------------------------------- */

static enum hd_code restore(void *context, const struct hd_fact *fact, struct hd_err *err)
{
    struct session *session = context;
    enum hd_code code = hd_core_apply(session->core, fact, err);
    return code;
}

static enum hd_code replay(void *context, const struct hd_fact *fact, struct hd_err *err)
{
    return learn(context, fact, err);
}

static enum hd_code hello(struct session *session, struct hd_err *err)
{
    struct hd_run_view run;
    hd_core_view_run(session->core, session->run, &run);
    struct hd_attempt_ref *held = hd_calloc(run.jobs_running + 1, sizeof(*held));
    if (held == NULL)
        return hd_fail(err, HD_E_NOMEM, "no memory for %u pending jobs", run.jobs_running);
    size_t held_count = 0;
    for (uint32_t i = 0; i < run.job_count; i++) {
        struct hd_job_view job;
        hd_core_view_job(session->core, session->run, i, &job);
        if (job.running)
            held[held_count++] = (struct hd_attempt_ref){run.run_uid, i, job.attempt};
    }
    struct hd_request hello = {.kind = HD_REQUEST_HELLO,
                               .lane = HD_LANE_CONTROL,
                               .sequence = ++session->control_sequence,
                               .held = held,
                               .held_count = held_count,
                               .slots = UINT32_MAX,
                               .root = WORKER,
                               .host = WORKER};
    enum hd_code code = request(session, &hello, err);
    hd_free(held);
    return code;
}

static enum hd_code submit(struct session *session, const struct hd_experiment *experiment,
                           const char *json, struct hd_err *err)
{
    struct hd_request submit = {
        .kind = HD_REQUEST_SUBMIT,
        .run_id = experiment->name,
        .experiment_json = json,
        .seed = experiment->has_seed ? experiment->seed : hd_os_random_u64() >> 32,
        .run_uid = hd_os_random_u64(),
    };
    return request(session, &submit, err);
}

/* What only a dispatcher needs is switched off: here the person's program decides. */
static void adapt(struct hd_experiment *experiment)
{
    experiment->lease_ms = LEASE_MS;
    experiment->pause_after_failures = 0;
    experiment->target.retries_infra = 0;
    experiment->target.retries_failed = 0;
}

/* A session keeps its seed; only another one is a difference. */
static enum hd_code compare(const struct session *session, struct hd_experiment *experiment,
                            struct hd_err *err)
{
    struct hd_run_view run;
    hd_core_view_run(session->core, session->run, &run);
    if (!experiment->has_seed) {
        experiment->has_seed = run.experiment->has_seed;
        experiment->seed = run.experiment->seed;
    }
    struct hd_buf diff;
    hd_buf_init(&diff, HD_EXPERIMENT_BYTES_MAX);
    enum hd_code code = hd_experiment_diff(run.experiment, experiment, &diff, err);
    if (code == HD_OK && diff.size > 0)
        code = hd_fail(err, HD_E_CONFLICT,
                       "the state file belongs to another experiment; this is what differs:\n%s",
                       hd_buf_text(&diff));
    hd_buf_release(&diff);
    return code;
}

static enum hd_code open_session(struct session *session, struct hd_experiment *experiment,
                                 const char *state_path, struct hd_err *err)
{
    adapt(experiment);
    struct hd_buf json;
    hd_buf_init(&json, HD_EXPERIMENT_BYTES_MAX);
    struct hd_core_options options = {.ping_ms = LEASE_MS / 2};
    session->incarnation = (uint64_t)hd_clock_wall_ms();
    session->update = hd_malloc(sizeof(*session->update));
    enum hd_code code = session->update == NULL ? hd_fail(err, HD_E_NOMEM, "no memory") : HD_OK;
    if (code == HD_OK)
        code = hd_experiment_to_json(experiment, &json, err);
    if (code == HD_OK)
        code = hd_core_new(&options, &session->core, err);
    if (code == HD_OK)
        code = state_path != NULL ? hd_store_open_sqlite(state_path, &session->store, err)
                                  : hd_store_open_memory(&session->store, err);
    if (code == HD_OK)
        code = hd_store_load(session->store, restore, session, err);
    if (code == HD_OK && hd_core_run_count(session->core) == 0)
        code = submit(session, experiment, hd_buf_text(&json), err);
    else if (code == HD_OK)
        code = compare(session, experiment, err);
    hd_buf_release(&json);
    if (code != HD_OK)
        return code;
    struct hd_run_view run;
    hd_core_view_run(session->core, session->run, &run);
    struct hd_sampler_spec spec = {.name = run.experiment->sampler_name,
                                   .settings = run.experiment->sampler_settings,
                                   .seed = run.seed};
    code = hd_sampler_new(&spec, run.experiment->space, &session->sampler, err);
    if (code == HD_OK)
        code = hd_store_load(session->store, replay, session, err);
    return code == HD_OK ? hello(session, err) : code;
}

static void close_session(struct session *session)
{
    hd_sampler_free(session->sampler);
    hd_store_close(session->store);
    hd_core_free(session->core);
    hd_free(session->update);
    hd_free(session->infos);
}

/* ---- the operations
 * ----------------------------------------------------------------------------------- */

static enum hd_code write_job(struct session *session, uint32_t number, struct hd_buf *out,
                              struct hd_err *err)
{
    struct hd_run_view run;
    struct hd_job_view job;
    char text[HD_DOUBLE_TEXT_SIZE];
    hd_core_view_run(session->core, session->run, &run);
    hd_core_view_job(session->core, session->run, number, &job);
    const struct hd_proposal_info *info = &session->infos[job.config];
    enum hd_code code = hd_buf_printf(
        out, err, "{\"job\":%u,\"config_id\":[%u,%u,%u],\"config\":", number,
        job.config_id.iteration, job.config_id.budget_index, job.config_id.running_index);
    if (code == HD_OK)
        code = hd_config_to_json(run.experiment->space,
                                 hd_core_config_values(session->core, session->run, job.config),
                                 out, err);
    hd_format_double(text, sizeof(text), job.budget);
    if (code == HD_OK)
        code = hd_buf_printf(out, err,
                             ",\"config_info\":{\"sampler\":\"%s\",\"model\":%s},\"budget\":%s,"
                             "\"budget_previous\":",
                             info->sampler, info->model ? "true" : "false", text);
    hd_format_double(text, sizeof(text), job.budget_previous);
    if (code == HD_OK)
        code = hd_buf_printf(out, err, "%s}", isnan(job.budget_previous) ? "null" : text);
    return code;
}

static enum hd_code op_ask(struct session *session, struct hd_buf *out, struct hd_err *err)
{
    struct hd_request lease = {.kind = HD_REQUEST_LEASE,
                               .lane = HD_LANE_LEASE,
                               .sequence = ++session->lease_sequence,
                               .root = WORKER,
                               .wait_ms = HD_LEASE_WAIT_MS_MAX};
    enum hd_code code = request(session, &lease, err);
    if (code != HD_OK)
        return code;
    if (session->replied && session->reply.kind == HD_REPLY_LEASE)
        return write_job(session, session->reply.lease.attempt.job, out, err);
    if (!session->replied) { /* the poll is parked: take it back */
        struct hd_event gone = {.kind = HD_EVENT_DISCONNECT, .connection = CONNECTION};
        code = settle(session, &gone, err);
    }
    struct hd_run_view run;
    hd_core_view_run(session->core, session->run, &run);
    bool done = run.state == HD_RUN_FINISHED || run.state == HD_RUN_CANCELLED;
    if (code != HD_OK || !done)
        return code == HD_OK ? hd_buf_puts(out, "{\"wait\":true}", err) : code;
    code = hd_buf_puts(out, "{\"done\":true,\"reason\":", err);
    if (code == HD_OK)
        code = hd_json_write_string(run.reason, out, err);
    return code == HD_OK ? hd_buf_puts(out, "}", err) : code;
}

static enum hd_code tell_result(const struct session *session, const struct hd_value *line,
                                struct hd_result *result, struct hd_err *err)
{
    struct hd_run_view run;
    hd_core_view_run(session->core, session->run, &run);
    const struct hd_value *state = hd_value_get(line, "state");
    const struct hd_value *loss = hd_value_get(line, "loss");
    const struct hd_value *value = hd_value_get(line, "value");
    result->loss = NAN;
    if (loss != NULL || value != NULL) {
        if (!hd_value_is_number(loss != NULL ? loss : value))
            return hd_fail(err, HD_E_INVALID, "%s must be a number",
                           loss != NULL ? "loss" : "value");
        result->loss = hd_value_number(loss != NULL ? loss : value);
        if (loss == NULL && run.experiment->objective.maximize)
            result->loss = -result->loss;
        result->outcome = HD_OUTCOME_OK;
    }
    if (state == NULL)
        return loss != NULL || value != NULL
                   ? HD_OK
                   : hd_fail(err, HD_E_INVALID, "tell needs a loss (or value), or a state");
    if (state->kind != HD_VALUE_STRING || !hd_outcome_parse(state->as.string, &result->outcome))
        return hd_fail(err, HD_E_INVALID,
                       "state must be ok, failed, diverged, timeout, oom, "
                       "no-result, cancelled or stopped");
    if (result->outcome == HD_OUTCOME_OK && loss == NULL && value == NULL)
        return hd_fail(err, HD_E_INVALID, "state ok needs a loss");
    return HD_OK;
}

static enum hd_code op_tell(struct session *session, const struct hd_value *line,
                            struct hd_buf *out, struct hd_err *err)
{
    struct hd_run_view run;
    struct hd_job_view job;
    hd_core_view_run(session->core, session->run, &run);
    const struct hd_value *number = hd_value_get(line, "job");
    if (number == NULL || number->kind != HD_VALUE_INT)
        return hd_fail(err, HD_E_INVALID, "tell needs a job number");
    if (number->as.integer < 0 || number->as.integer >= (int64_t)run.job_count)
        return hd_fail(err, HD_E_NOTFOUND, "there is no job %" PRId64 " (%u so far)",
                       number->as.integer, run.job_count);
    uint32_t job_number = (uint32_t)number->as.integer;
    hd_core_view_job(session->core, session->run, job_number, &job);
    if (!job.running)
        return hd_fail(err, HD_E_CONFLICT,
                       job.closed ? "job %u was told already" : "job %u was not asked for yet",
                       job_number);
    struct hd_request report = {
        .kind = HD_REQUEST_REPORT,
        .lane = HD_LANE_REPORT,
        .sequence = session->report_sequence + 1,
        .result = {.attempt = {run.run_uid, job_number, job.attempt},
                   .exit_code = -1,
                   .message = "",
                   .info_json = "",
                   .directory = WORKER},
    };
    enum hd_code code = tell_result(session, line, &report.result, err);
    if (code != HD_OK)
        return code;
    session->report_sequence++;
    code = request(session, &report, err);
    return code == HD_OK ? hd_buf_puts(out, "{\"ok\":true}", err) : code;
}

static enum hd_code op_best(struct session *session, struct hd_buf *out, struct hd_err *err)
{
    struct hd_run_view run;
    hd_core_view_run(session->core, session->run, &run);
    if (!run.has_incumbent)
        return hd_buf_puts(out, "{\"config\":null,\"budget\":null,\"loss\":null}", err);
    char budget[HD_DOUBLE_TEXT_SIZE], loss[HD_DOUBLE_TEXT_SIZE];
    hd_format_double(budget, sizeof(budget), run.incumbent_budget);
    hd_format_double(loss, sizeof(loss), run.incumbent_loss);
    enum hd_code code = hd_buf_puts(out, "{\"config\":", err);
    if (code == HD_OK)
        code = hd_config_to_json(
            run.experiment->space,
            hd_core_config_values(session->core, session->run, run.incumbent_config), out, err);
    return code == HD_OK ? hd_buf_printf(out, err, ",\"budget\":%s,\"loss\":%s,\"job\":%u}", budget,
                                         loss, run.incumbent_job)
                         : code;
}

static enum hd_code op_pending(struct session *session, struct hd_buf *out, struct hd_err *err)
{
    struct hd_run_view run;
    hd_core_view_run(session->core, session->run, &run);
    enum hd_code code = hd_buf_puts(out, "{\"pending\":[", err);
    bool first = true;
    for (uint32_t i = 0; code == HD_OK && i < run.job_count; i++) {
        struct hd_job_view job;
        hd_core_view_job(session->core, session->run, i, &job);
        if (!job.running)
            continue;
        code = first ? HD_OK : hd_buf_puts(out, ",", err);
        if (code == HD_OK)
            code = write_job(session, i, out, err);
        first = false;
    }
    return code == HD_OK ? hd_buf_puts(out, "]}", err) : code;
}

static enum hd_code obey(struct session *session, const struct hd_value *line, struct hd_buf *out,
                         struct hd_err *err)
{
    const struct hd_value *op = hd_value_get(line, "op");
    if (op == NULL || op->kind != HD_VALUE_STRING)
        return hd_fail(err, HD_E_INVALID,
                       "a line is an object with \"op\": ask, tell, best or "
                       "pending");
    if (hd_streq(op->as.string, "ask"))
        return op_ask(session, out, err);
    if (hd_streq(op->as.string, "tell"))
        return op_tell(session, line, out, err);
    if (hd_streq(op->as.string, "best"))
        return op_best(session, out, err);
    if (hd_streq(op->as.string, "pending"))
        return op_pending(session, out, err);
    return hd_fail(err, HD_E_INVALID, "unknown op \"%.40s\": ask, tell, best or pending",
                   op->as.string);
}

/* One line in, one line out. Only a broken store or memory ends the session. */
static enum hd_code handle_line(struct session *session, const char *text, size_t size,
                                struct hd_buf *out, struct hd_err *err)
{
    struct hd_value *line = NULL;
    hd_buf_clear(out);
    enum hd_code code = hd_json_parse(text, size, "line", &hd_value_limits_target, &line, err);
    if (code == HD_OK)
        code = obey(session, line, out, err);
    hd_value_free(line);
    if (code == HD_OK || code == HD_E_IO || code == HD_E_FULL || code == HD_E_CORRUPT ||
        code == HD_E_NOMEM)
        return code;
    hd_buf_clear(out);
    struct hd_err ignored;
    if (hd_buf_puts(out, "{\"error\":", &ignored) != HD_OK ||
        hd_json_write_string(err->text, out, &ignored) != HD_OK ||
        hd_buf_puts(out, "}", &ignored) != HD_OK)
        return HD_E_NOMEM;
    return HD_OK;
}

/* Reads one line of at most LINE_MAX_BYTES; longer ones are swallowed and answered as an error. */
static bool read_line(struct hd_buf *line, bool *ret_too_long)
{
    hd_buf_clear(line);
    *ret_too_long = false;
    int byte;
    struct hd_err err;
    while ((byte = getc(stdin)) != EOF && byte != '\n') {
        char one = (char)byte;
        if (!*ret_too_long && hd_buf_append(line, &one, 1, &err) != HD_OK)
            *ret_too_long = true;
    }
    return byte != EOF || line->size > 0;
}

static enum hd_code converse(struct session *session, struct hd_err *err)
{
    struct hd_buf line, out;
    hd_buf_init(&line, LINE_MAX_BYTES);
    hd_buf_init(&out, 64 * LINE_MAX_BYTES);
    enum hd_code code = HD_OK;
    bool too_long;
    while (code == HD_OK && read_line(&line, &too_long)) {
        if (too_long) {
            puts("{\"error\":\"the line is longer than 1 MiB\"}");
        } else if (line.size > 0) {
            code = handle_line(session, line.data, line.size, &out, err);
            if (code == HD_OK)
                puts(hd_buf_text(&out));
        }
        if (code == HD_OK && fflush(stdout) != 0)
            break; /* nobody listens any more */
    }
    hd_buf_release(&line);
    hd_buf_release(&out);
    return code;
}

int cmd_ask_tell(int argc, char **argv)
{
    const char *state_path = NULL;
    int64_t seed = 0;
    bool seed_given = false;
    const struct hd_option options[] = {
        {.name = "seed",
         .kind = HD_OPTION_INT,
         .value = &seed,
         .hint = "S",
         .help = "seed of a new session",
         .int_min = 0,
         .int_max = INT64_MAX,
         .given = &seed_given},
        {.name = "state",
         .kind = HD_OPTION_TEXT,
         .value = &state_path,
         .hint = "FILE",
         .help = "keep the session in this file and resume it"},
    };
    const struct hd_program program = {
        .name = "hd ask-tell",
        .summary = "the optimizer on standard input and output, one JSON object a line",
        .usage = "hd ask-tell EXPERIMENT [--seed S] [--state FILE]",
        .epilogue =
            "  {\"op\":\"ask\"}                        a job, {\"wait\":true} or {\"done\":true}\n"
            "  {\"op\":\"tell\",\"job\":3,\"loss\":0.5}    its result\n"
            "  {\"op\":\"tell\",\"job\":3,\"state\":\"failed\"}\n"
            "  {\"op\":\"best\"}                       the incumbent\n"
            "  {\"op\":\"pending\"}                    jobs asked for and not yet told\n",
        .options = options,
        .option_count = HD_COUNT(options),
        .positional_min = 1,
        .positional_max = 1,
    };
    const char *file;
    size_t count;
    enum hd_parse_answer parsed = hd_options_parse(&program, argc, argv, &file, &count);
    if (parsed != HD_PARSE_GO)
        return parsed == HD_PARSE_EXIT_OK ? HD_EXIT_OK : HD_EXIT_USAGE;
    struct hd_err err;
    struct hd_experiment *experiment = NULL;
    struct hd_experiment_overrides overrides = {.budget_min = NAN,
                                                .budget_max = NAN,
                                                .eta = NAN,
                                                .has_seed = seed_given,
                                                .seed = (uint64_t)seed};
    struct session *session = hd_calloc(1, sizeof(*session));
    enum hd_code code = session == NULL ? hd_fail(&err, HD_E_NOMEM, "no memory")
                                        : hd_experiment_read(file, &overrides, &experiment, &err);
    if (code == HD_OK)
        code = open_session(session, experiment, state_path, &err);
    hd_experiment_free(experiment);
    if (code == HD_OK)
        code = converse(session, &err);
    if (session != NULL)
        close_session(session);
    hd_free(session);
    return code == HD_OK ? HD_EXIT_OK : cli_fail(&err);
}
