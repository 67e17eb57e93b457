/* SPDX-License-Identifier: Apache-2.0 */
/* What people ask for: a new run, pause, resume, cancel. All idempotent. */
#include "core_internal.h"

#include <string.h>

static void answer_ok(struct hd_core *core, const struct hd_event *event)
{
    (void)core_reply(core, event->address, HD_REPLY_OK, event->request->lane,
                     event->request->sequence);
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
    };
    core_commit(core, fact);
    core->runs[run_number]->elapsed_mark_ms = core->now_ms;
    core_note(core, HD_NOTE_INFO, run_number, "run %s created (seed %llu)", run->run_id,
              (unsigned long long)run->seed);
    answer_ok(core, event);
}

static void give(struct hd_core *core, uint32_t run, const struct hd_request *request)
{
    struct hd_fact *fact = core_fact(core, run, HD_FACT_COMMAND_GIVEN);
    fact->as.command_given = (struct hd_fact_command_given){
        .op = request->command, .job = request->job, .reason = request->reason};
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
    if (run->jobs[request->job].state != JOB_CLOSED) {
        give(core, run_number, request);
        core_end_attempt(core, run_number, request->job, HD_OUTCOME_CANCELLED,
                         with_reason(core, "cancelled", request->reason));
    }
    answer_ok(core, event);
}

void core_handle_command(struct hd_core *core, const struct hd_event *event)
{
    const struct hd_request *request = event->request;
    uint32_t run_number;
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
        if (!over && !run->cancelling)
            give(core, run_number, request);
        break;
    case HD_COMMAND_PAUSE_RUN:
        if (over) {
            core_refuse(core, event, HD_E_CONFLICT, "run %s is %s", run->run_id,
                        hd_run_state_name(run->state));
            return;
        }
        if (run->state != HD_RUN_PAUSED) {
            give(core, run_number, request);
            core_set_state(core, run_number, HD_RUN_PAUSED,
                           with_reason(core, "paused by command", request->reason));
        }
        break;
    case HD_COMMAND_RESUME_RUN:
        if (over) {
            core_refuse(core, event, HD_E_CONFLICT, "run %s is %s", run->run_id,
                        hd_run_state_name(run->state));
            return;
        }
        if (run->state == HD_RUN_PAUSED) {
            give(core, run_number, request);
            core_set_state(core, run_number, HD_RUN_ACTIVE, "resumed by command");
        }
        break;
    case HD_COMMAND_OP_COUNT:
        core_refuse(core, event, HD_E_INVALID, "unknown command");
        return;
    }
    answer_ok(core, event);
}
