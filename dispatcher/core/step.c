/* SPDX-License-Identifier: Apache-2.0 */
/* One step: the event goes in, facts, replies, asks and notes come out. */
#include "core_internal.h"

#include <stdio.h>
#include <string.h>

/* ---- what a step writes ---------------------------------------------------------------------- */

bool core_room(const struct hd_core *core)
{
    /* One decision makes at most a handful of facts, replies and notes. */
    return core->update->fact_count + 8 < HD_STEP_FACTS_MAX &&
           core->update->reply_count + 8 < HD_STEP_REPLIES_MAX &&
           core->scratch_used + 8 * HD_REASON_MAX < HD_SCRATCH_BYTES;
}

struct hd_fact *core_fact(struct hd_core *core, uint32_t run, enum hd_fact_kind kind)
{
    struct hd_update *update = core->update;
    hd_assert(update->fact_count < HD_STEP_FACTS_MAX);
    struct hd_fact *fact = &update->facts[update->fact_count];
    memset(fact, 0, sizeof(*fact));
    fact->run = run;
    fact->kind = kind;
    return fact;
}

void core_commit(struct hd_core *core, struct hd_fact *fact)
{
    fact->seq = core->last_seq + 1;
    fact->wall_ms = core->wall_ms;
    core->update->fact_count++;
    core_apply_fact(core, fact);
}

struct hd_reply *core_reply(struct hd_core *core, uint64_t address, enum hd_reply_kind kind,
                            enum hd_lane lane, uint64_t sequence)
{
    struct hd_update *update = core->update;
    hd_assert(update->reply_count < HD_STEP_REPLIES_MAX);
    struct hd_reply *reply = &update->replies[update->reply_count++];
    /* The command table is large and bounded by command_count: it needs no clearing. */
    memset(reply, 0, offsetof(struct hd_reply, commands));
    reply->command_count = 0;
    reply->drain = reply->leave = false;
    reply->ping_ms = 0;
    reply->echo = 0;
    reply->code = HD_OK;
    reply->text[0] = '\0';
    reply->view_json = "";
    reply->kind = kind;
    reply->address = address;
    reply->lane = lane;
    reply->sequence = sequence;
    reply->lease.run_id = reply->lease.root = reply->lease.directory = "";
    reply->lease.directory_owner = reply->lease.image_id = reply->lease.params_json =
        reply->lease.target_json = "";
    return reply;
}

void core_refuse(struct hd_core *core, const struct hd_event *event, enum hd_code code,
                 const char *fmt, ...)
{
    struct hd_reply *reply = core_reply(core, event->address, HD_REPLY_REFUSED,
                                        event->request->lane, event->request->sequence);
    reply->code = code;
    va_list args;
    va_start(args, fmt);
    (void)vsnprintf(reply->text, sizeof(reply->text), fmt, args);
    va_end(args);
}

void core_note(struct hd_core *core, enum hd_note_level level, uint32_t run, const char *fmt, ...)
{
    struct hd_update *update = core->update;
    if (update->note_count >= HD_STEP_NOTES_MAX)
        return;
    struct hd_note *note = &update->notes[update->note_count++];
    note->level = level;
    note->run = run;
    va_list args;
    va_start(args, fmt);
    (void)vsnprintf(note->text, sizeof(note->text), fmt, args);
    va_end(args);
}

const char *core_text(struct hd_core *core, const char *fmt, ...)
{
    char *text = core->scratch + core->scratch_used;
    size_t room = HD_SCRATCH_BYTES - core->scratch_used;
    hd_assert(room >= HD_REASON_MAX);
    va_list args;
    va_start(args, fmt);
    int size = vsnprintf(text, HD_REASON_MAX, fmt, args);
    va_end(args);
    size_t used = size < 0 ? 0 : (size_t)size;
    if (used >= HD_REASON_MAX) {
        size_t cut = HD_REASON_MAX - 4;
        while (cut > 0 && ((unsigned char)text[cut] & 0xc0) == 0x80) /* within a character */
            cut--;
        memcpy(text + cut, "...", 4);
        used = cut + 3;
    }
    core->scratch_used += used + 1;
    return text;
}

/* ---- reserve --------------------------------------------------------------------------------- */

static void prepare_submit(struct hd_core *core, const struct hd_request *request)
{
    core_free_run(core->pending_run);
    core->pending_run = NULL;
    core->pending_err.code = HD_OK;
    core->pending_err.text[0] = '\0';
    if (core_reserve_slot(core, &core->pending_err) != HD_OK)
        return;
    const struct hd_fact_run_created created = {.run_id = request->run_id,
                                                .run_uid = request->run_uid,
                                                .seed = request->seed,
                                                .experiment_json = request->experiment_json,
                                                .known_json = request->known_json};
    if (core_new_run(&created, &core->pending_run, &core->pending_err) != HD_OK)
        core->pending_run = NULL;
}

/* What a person's command needs beyond the rest. */
static enum hd_code prepare_command(struct hd_core *core, const struct hd_request *request,
                                    struct hd_err *err)
{
    uint32_t run;
    if (!hd_core_find_run(core, request->run_id, &run))
        return HD_OK;
    if (request->command == HD_COMMAND_REQUEUE_JOB)
        return core_reserve_reopened(core->runs[run], err);
    if (request->command != HD_COMMAND_SET_IMAGE)
        return HD_OK;
    core->pending_err.code = HD_OK;
    core->pending_err.text[0] = '\0';
    enum hd_code code = core_prepare_image(
        core, core->runs[run], request->image != NULL ? request->image : "", &core->pending_err);
    return code == HD_E_NOMEM ? hd_fail(err, code, "%s", core->pending_err.text) : HD_OK;
}

enum hd_code hd_core_reserve(struct hd_core *core, const struct hd_event *event, struct hd_err *err)
{
    for (uint32_t i = 0; i < core->run_count; i++) {
        enum hd_code code = core_reserve_run(core->runs[i], HD_STEP_LEASES_MAX, err);
        if (code == HD_OK)
            code = core_reserve_roots(core, core->runs[i], err);
        if (code != HD_OK)
            return code;
    }
    if (event->kind != HD_EVENT_REQUEST)
        return HD_OK;
    const struct hd_request *request = event->request;
    if (request->kind == HD_REQUEST_SUBMIT) {
        prepare_submit(core, request);
        return core->pending_err.code == HD_E_NOMEM
                   ? hd_fail(err, HD_E_NOMEM, "%s", core->pending_err.text)
                   : HD_OK;
    }
    if (request->kind == HD_REQUEST_COMMAND)
        return prepare_command(core, request, err);
    /* Unknown workers are met in hello only; a full table is refused there, in the step. */
    struct hd_err ignored;
    if (request->kind == HD_REQUEST_HELLO) {
        enum hd_code code = core_reserve_worker(core, &ignored);
        if (code == HD_OK || code == HD_E_LIMIT)
            code = core_reserve_root(core, &ignored);
        if (code == HD_E_NOMEM)
            return hd_fail(err, HD_E_NOMEM, "the master is out of memory");
    }
    return HD_OK;
}

/* ---- events ---------------------------------------------------------------------------------- */

static void hold(struct hd_core *core, int64_t hold_ms)
{
    for (uint32_t r = 0; r < core->run_count; r++) {
        struct run *run = core->runs[r];
        for (uint32_t i = 0; i < run->live_count; i++)
            if (run->live[i].until_ms < HD_NEVER_MS - hold_ms)
                run->live[i].until_ms += hold_ms;
    }
}

static void disconnect(struct hd_core *core, uint64_t connection)
{
    for (uint32_t i = 0; i < core->worker_count; i++) {
        struct worker *worker = &core->workers[i];
        if (!worker->reachable || worker->connection != connection)
            continue;
        worker->reachable = false;
        if (worker->parked.active && core_room(core)) {
            core_answer_parked(core, worker, HD_REPLY_STALE);
        } else if (worker->parked.active) { /* its time is up: the next steps answer it */
            worker->parked.deadline_ms = core->parked_expiry_ms = core->now_ms - 1;
            core->again = true;
        }
        core_note(core, HD_NOTE_WARNING, HD_NONE,
                  "worker %s is unreachable: its connection ended (%u running)", worker->id,
                  worker->running);
    }
}

static void suggestion(struct hd_core *core, const struct hd_event *event)
{
    if (event->run >= core->run_count)
        return;
    struct run *run = core->runs[event->run];
    /* Answers come in the order of the asks; one from before a restart has no ask. */
    if (run->asks_outstanding == 0)
        return;
    run->asks_outstanding--;
    if (event->exhausted) {
        run->exhausted = true;
        return;
    }
    if (event->config != run->config_count + run->ready_count)
        return;
    hd_assert(event->value_count == run->param_count && run->ready_count < HD_ASKS_MAX);
    uint32_t place = (run->ready_first + run->ready_count++) % HD_ASKS_MAX;
    run->ready[place] =
        (struct ready){.config = event->config, .cut = event->cut, .info = event->info};
    if (run->param_count > 0)
        memcpy(run->ready_values + (size_t)place * run->param_count, event->values,
               run->param_count * sizeof(double));
}

void hd_core_step(struct hd_core *core, const struct hd_event *event, struct hd_update *update)
{
    update->fact_count = update->reply_count = update->ask_count = update->note_count = 0;
    core->update = update;
    core->milestone_count = 0;
    core->scratch_used = 0;
    core->again = core->reopened = false;
    core->leases_left = HD_STEP_LEASES_MAX;
    core->ends_left = HD_STEP_ENDS_MAX;
    if (event->now_ms > core->now_ms || !core->started)
        core->now_ms = event->now_ms;
    core->wall_ms = event->wall_ms;
    if (!core->started)
        core_first_event(core);
    bool schedule = true;
    switch (event->kind) {
    case HD_EVENT_TIMEOUT:
        break;
    case HD_EVENT_REQUEST:
        core_handle_request(core, event);
        /* A ping that changes nothing costs no scheduling pass. */
        schedule = event->request->kind != HD_REQUEST_PING;
        break;
    case HD_EVENT_DISCONNECT:
        disconnect(core, event->connection);
        break;
    case HD_EVENT_SUGGESTION:
        suggestion(core, event);
        break;
    case HD_EVENT_SHELVED:
        core_handle_shelved(core, event);
        break;
    case HD_EVENT_UNSHELVED:
        core_handle_unshelved(core, event);
        break;
    case HD_EVENT_FILES:
        core_handle_files(core, event);
        schedule = false;
        break;
    case HD_EVENT_ASKED:
        core_handle_asked(core, event);
        schedule = false;
        break;
    case HD_EVENT_HOLD:
        hold(core, event->hold_ms);
        break;
    }
    core_expire_leases(core);
    if (schedule || update->fact_count > 0) {
        core_run_states(core);
        if (core->reopened) /* the next event's reserve comes first */
            core->again = true;
        else
            core_schedule(core);
        core_run_states(core);
    }
    core_expire_parked(core);
    core->update = NULL;
}
