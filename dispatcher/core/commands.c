/* SPDX-License-Identifier: Apache-2.0 */
/* What people ask for: a new run, pause, resume, cancel, other limits. All idempotent. */
#include "core_internal.h"

#include <math.h>
#include <string.h>

static void answer_ok(struct hd_core *core, const struct hd_event *event)
{
    (void)core_reply(core, event->address, HD_REPLY_OK, event->request->lane,
                     event->request->sequence);
}

/* Workers that were quarantined before a person looked get another chance; not those that are here
 * for another run alone. */
static void release_workers(struct hd_core *core, const struct run *run, const char *reason)
{
    for (uint32_t i = 0; i < core->worker_count && core_room(core); i++) {
        struct worker *worker = &core->workers[i];
        if (worker->state == HD_WORKER_QUARANTINED && (!worker->known || core_serves(worker, run)))
            core_set_worker_state(core, worker, HD_WORKER_ACTIVE, reason);
    }
}

/* A new run may have no other workers than those that an earlier one has spoiled. */
static bool nobody_else_may_work(const struct hd_core *core, const struct run *run)
{
    for (uint32_t i = 0; i < core->worker_count; i++)
        if (core_is_able(core, run, &core->workers[i]))
            return false;
    return true;
}

void core_handle_submit(struct hd_core *core, const struct hd_event *event)
{
    const struct hd_request *request = event->request;
    uint32_t existing;
    if (hd_core_find_run(core, request->run_id, &existing)) {
        if (core->runs[existing]->run_uid == request->run_uid)
            answer_ok(core, event); /* a resend */
        else
            core_refuse(core, event, HD_E_EXISTS,
                        "a run named %s exists here: resume it, or give another --run-id",
                        request->run_id);
        return;
    }
    if (core->pending_run == NULL) {
        core_refuse(core, event, core->pending_err.code, "%s", core->pending_err.text);
        return;
    }
    const struct run *run = core->pending_run;
    uint32_t run_number = core->run_count;
    struct hd_fact *fact = core_fact(core, run_number, HD_FACT_RUN_CREATED);
    fact->as.run_created = (struct hd_fact_run_created){
        .run_id = run->run_id,
        .run_uid = run->run_uid,
        .seed = run->seed,
        .experiment_json = hd_buf_text(&run->json),
        .known_json = hd_buf_text(&run->known_json),
    };
    core_commit(core, fact);
    core->runs[run_number]->elapsed_mark_ms = core->now_ms;
    core_note(core, HD_NOTE_INFO, run_number, "run %s created (seed %llu)", run->run_id,
              (unsigned long long)run->seed);
    if (run->known != NULL)
        core_note(core, HD_NOTE_INFO, run_number,
                  "run %s begins with %u known results of %u configs", run->run_id,
                  run->known->result_count, run->known->config_count);
    if (nobody_else_may_work(core, run))
        release_workers(core, run, "released for a run that began while nobody else was here");
    answer_ok(core, event);
}

void core_give(struct hd_core *core, uint32_t run, const struct hd_request *request)
{
    struct hd_fact *fact = core_fact(core, run, HD_FACT_COMMAND_GIVEN);
    fact->as.command_given = (struct hd_fact_command_given){.op = request->command,
                                                            .job = request->job,
                                                            .reason = request->reason,
                                                            .limit = request->limit,
                                                            .image = request->image};
    core_commit(core, fact);
}

static const char *with_reason(struct hd_core *core, const char *what, const char *reason)
{
    return core_text(core, "%s%s%.180s", what, reason[0] != '\0' ? ": " : "", reason);
}

static void cancel_job(struct hd_core *core, const struct hd_event *event, uint32_t run_number)
{
    const struct hd_request *request = event->request;
    const struct run *run = core->runs[run_number];
    if (request->job >= run->job_count) {
        core_refuse(core, event, HD_E_NOTFOUND, "run %s has no job %u (it has %u so far)",
                    run->run_id, request->job, run->job_count);
        return;
    }
    const struct job *job = &run->jobs[request->job];
    if (job->state == JOB_CLOSED && job->outcome != HD_OUTCOME_CANCELLED) {
        core_refuse(core, event, HD_E_CONFLICT, "job %u of run %s has ended already: %s",
                    request->job, run->run_id, hd_outcome_name((enum hd_outcome)job->outcome));
        return;
    }
    if (job->state != JOB_CLOSED) {
        core_give(core, run_number, request);
        core_end_attempt(core, run_number, request->job, HD_OUTCOME_CANCELLED,
                         with_reason(core, "cancelled", request->reason));
    }
    answer_ok(core, event);
}

static double limit_of(const struct run *run, enum hd_limit limit)
{
    const struct limits *limits = &run->limits;
    switch (limit) {
    case HD_LIMIT_CONFIGS:
        return limits->configs;
    case HD_LIMIT_JOBS:
        return limits->jobs;
    case HD_LIMIT_FULL_EVALUATIONS:
        return limits->full_evaluations;
    case HD_LIMIT_ITERATIONS:
        return limits->iterations;
    case HD_LIMIT_TIME:
        return (double)limits->time_ms;
    case HD_LIMIT_FAILURES:
        return limits->failures;
    case HD_LIMIT_BUDGET:
        return limits->budget;
    case HD_LIMIT_NO_IMPROVEMENT:
        return limits->no_improvement;
    case HD_LIMIT_GOAL:
        if (!limits->has_goal)
            return NAN;
        return run->experiment->objective.maximize ? -limits->goal : limits->goal;
    case HD_LIMIT_PARALLEL:
        return limits->parallel;
    case HD_LIMIT_PRIORITY:
        return limits->priority;
    case HD_LIMIT_COUNT:
        break;
    }
    return NAN;
}

static void set_limit(struct hd_core *core, const struct hd_event *event, uint32_t run_number)
{
    const struct hd_request *request = event->request;
    const struct run *run = core->runs[run_number];
    double now = limit_of(run, request->limit), wanted = NAN;
    const char *text = request->limit_value != NULL ? request->limit_value : "";
    bool none = strcmp(text, "none") == 0 && request->limit == HD_LIMIT_GOAL;
    if (!none && (!hd_parse_double(text, &wanted) || isnan(wanted) ||
                  !core_limits_check(request->limit, wanted))) {
        core_refuse(core, event, HD_E_INVALID, "\"%s\" is no limit for %s", text,
                    hd_limit_name(request->limit));
        return;
    }
    if (request->limit == HD_LIMIT_GOAL && run->experiment->objective_count > 1) {
        core_refuse(core, event, HD_E_UNSUPPORTED,
                    "run %s has several objectives: their goals cannot be changed", run->run_id);
        return;
    }
    if (run->cancelling || run->state == HD_RUN_CANCELLED) {
        core_refuse(core, event, HD_E_CONFLICT, "run %s is cancelled", run->run_id);
        return;
    }
    bool same = isnan(now) ? isnan(wanted) : !(now < wanted) && !(now > wanted) && !isnan(wanted);
    if (!same) {
        struct hd_fact *fact = core_fact(core, run_number, HD_FACT_COMMAND_GIVEN);
        fact->as.command_given = (struct hd_fact_command_given){.op = request->command,
                                                                .reason = request->reason,
                                                                .limit = request->limit,
                                                                .value = wanted};
        core_commit(core, fact);
        core_note(core, HD_NOTE_INFO, run_number, "run %s: %s is %g from now on", run->run_id,
                  hd_limit_name(request->limit), wanted);
    }
    answer_ok(core, event);
}

const char *core_finished_for(struct hd_core *core, struct run *run)
{
    uint32_t unimproved = run->unimproved;
    run->unimproved = 0; /* as after the command */
    const char *reason = core_end_now(core, run);
    run->unimproved = unimproved;
    return reason;
}

/* A finished run goes on when its limits leave it something to do. */
static const char *finished_for(struct hd_core *core, struct run *run)
{
    if (!run->set_since_end)
        return core_text(core, "%s", run->reason);
    const char *reason = core_finished_for(core, run);
    return reason != NULL ? reason : core_drained(core, run);
}

static void set_image(struct hd_core *core, const struct hd_event *event, uint32_t run_number)
{
    const struct hd_request *request = event->request;
    const struct run *run = core->runs[run_number];
    if (run->cancelling || run->state == HD_RUN_CANCELLED) {
        core_refuse(core, event, HD_E_CONFLICT, "run %s is cancelled", run->run_id);
        return;
    }
    if (core->pending_err.code != HD_OK) {
        core_refuse(core, event, core->pending_err.code, "%s", core->pending_err.text);
        return;
    }
    const char *now = run->image[0] != '\0' ? run->image : run->experiment->target.image;
    if (strcmp(now, request->image) != 0) {
        core_give(core, run_number, request);
        core_note(core, HD_NOTE_INFO, run_number, "run %s: its image is %.160s from now on",
                  run->run_id, run->image);
    }
    answer_ok(core, event);
}

static void resume(struct hd_core *core, const struct hd_event *event, uint32_t run_number)
{
    struct run *run = core->runs[run_number];
    if (run->state == HD_RUN_CANCELLED) {
        core_refuse(core, event, HD_E_CONFLICT, "run %s is cancelled", run->run_id);
        return;
    }
    bool finished = run->state == HD_RUN_FINISHED;
    const char *reason = finished ? finished_for(core, run) : NULL;
    if (reason != NULL) {
        core_refuse(core, event, HD_E_CONFLICT,
                    "run %s is finished: %.120s: give it more to do with hd set %s LIMIT=VALUE",
                    run->run_id, reason, run->run_id);
        return;
    }
    if (finished || run->state == HD_RUN_PAUSED) {
        core_give(core, run_number, event->request);
        core_set_state(core, run_number, HD_RUN_ACTIVE,
                       finished ? "extended by command" : "resumed by command");
        release_workers(core, run, "released when a run was resumed");
        core->reopened = true;
    }
    answer_ok(core, event);
}

void core_handle_command(struct hd_core *core, const struct hd_event *event)
{
    const struct hd_request *request = event->request;
    uint32_t run_number;
    if (request->command >= HD_COMMAND_PAUSE_WORKER &&
        request->command <= HD_COMMAND_SHUTDOWN_WORKER) {
        core_handle_worker_command(core, event);
        return;
    }
    if (!hd_core_find_run(core, request->run_id, &run_number)) {
        core_refuse(core, event, HD_E_NOTFOUND, "there is no run named %s here", request->run_id);
        return;
    }
    const struct run *run = core->runs[run_number];
    bool over = core_run_final(run);
    switch (request->command) {
    case HD_COMMAND_CANCEL_JOB:
        cancel_job(core, event, run_number);
        return;
    case HD_COMMAND_CANCEL_RUN:
        if (run->state == HD_RUN_FINISHED) {
            core_refuse(core, event, HD_E_CONFLICT, "run %s has ended already: finished",
                        run->run_id);
            return;
        }
        if (!over && !run->cancelling)
            core_give(core, run_number, request);
        break;
    case HD_COMMAND_PAUSE_RUN:
        if (over) {
            core_refuse(core, event, HD_E_CONFLICT, "run %s is %s", run->run_id,
                        hd_run_state_name(run->state));
            return;
        }
        if (run->state != HD_RUN_PAUSED) {
            core_give(core, run_number, request);
            core_set_state(core, run_number, HD_RUN_PAUSED,
                           with_reason(core, "paused by command", request->reason));
        }
        break;
    case HD_COMMAND_RESUME_RUN:
        resume(core, event, run_number);
        return;
    case HD_COMMAND_SET_LIMIT:
        set_limit(core, event, run_number);
        return;
    case HD_COMMAND_REQUEUE_JOB:
        core_handle_requeue(core, event, run_number);
        return;
    case HD_COMMAND_SET_IMAGE:
        set_image(core, event, run_number);
        return;
    case HD_COMMAND_PAUSE_WORKER:
    case HD_COMMAND_RESUME_WORKER:
    case HD_COMMAND_DRAIN_WORKER:
    case HD_COMMAND_SHUTDOWN_WORKER:
    case HD_COMMAND_OP_COUNT:
        core_refuse(core, event, HD_E_INVALID, "unknown command");
        return;
    }
    answer_ok(core, event);
}
