/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Requests of workers. Each may arrive twice, late or from a dead incarnation: lanes and
 * sequences recognise a resend, attempts fence results.
 */
#include "core_internal.h"

#include <string.h>

static struct hd_reply *answer(struct hd_core *core, const struct hd_event *event,
                               enum hd_reply_kind kind)
{
    return core_reply(core, event->address, kind, event->request->lane, event->request->sequence);
}

/* ---- what a worker says it holds ------------------------------------------------------------- */

static void command(struct hd_reply *reply, struct hd_attempt_ref attempt,
                    enum hd_attempt_action action)
{
    if (reply->command_count < HD_COMMANDS_MAX)
        reply->commands[reply->command_count++] =
            (struct hd_attempt_command){.attempt = attempt, .action = action};
}

/* The job's last attempt, as this master granted it. A copy of its state may have given the same
 * number to other work. */
static bool is_last(const struct hd_core *core, const struct run *run, struct hd_attempt_ref ref)
{
    (void)core; /* read by planted builds only */
    const struct job *job = &run->jobs[ref.job];
    struct hd_attempt_ref last = {run->run_uid, ref.job, job->attempt, job->stamp};
    return HD_PLANTED(core, HD_PLANT_STAMP_IGNORED) ? hd_attempt_ref_equal(ref, last)
                                                    : hd_attempt_ref_same(ref, last);
}

/* Renews one held attempt, or has it ended when it is no longer the worker's. */
static bool renew(struct hd_core *core, const struct worker *worker, struct hd_attempt_ref held,
                  struct hd_reply *reply)
{
    uint32_t run_number;
    struct run *run = core_find_run_uid(core, held.run_uid, &run_number);
    if (run == NULL || held.job >= run->job_count) {
        command(reply, held, HD_ACTION_DROP);
        return false;
    }
    const struct job *job = &run->jobs[held.job];
    bool last = is_last(core, run, held);
    if (last && job->state == JOB_RUNNING) {
        struct live *live = &run->live[job->place];
        if (&core->workers[live->worker] == worker) {
            live->until_ms = core->now_ms + run->experiment->lease_ms;
            if (job->stopping)
                command(reply, held, HD_ACTION_STOP);
            return true;
        }
    }
    /* An end that its own report made: the worker waits for the acknowledgement and will resend,
     * and an order to end what has ended already is nothing to it. But what reported may have been
     * another machine with a copy of its disk, and the target still runs here, for nothing. */
    command(reply, held,
            last && job->state != JOB_RUNNING && job->last_by_report ? HD_ACTION_CANCEL
                                                                     : HD_ACTION_DROP);
    return false;
}

static bool holds(const struct hd_request *request, struct hd_attempt_ref attempt)
{
    for (size_t i = 0; i < request->held_count; i++)
        if (hd_attempt_ref_same(request->held[i], attempt))
            return true;
    return false;
}

/* Ends what was leased to this worker and is in nobody's hands: the lease's reply arrived (or
 * belonged to an earlier incarnation) and yet the worker does not hold the attempt. */
static void end_lost(struct hd_core *core, const struct worker *worker,
                     const struct hd_request *request)
{
    uint32_t worker_index = (uint32_t)(worker - core->workers);
    for (uint32_t r = 0; r < core->run_count; r++) {
        struct run *run = core->runs[r];
        for (uint32_t i = 0; i < run->live_count;) {
            const struct live *live = &run->live[i];
            const struct job *job = &run->jobs[live->job];
            struct hd_attempt_ref attempt = {run->run_uid, live->job, job->attempt, job->stamp};
            bool seen = live->incarnation < worker->incarnation ||
                        live->lease_sequence <= request->lease_seen;
            if (live->worker != worker_index || !seen || holds(request, attempt)) {
                i++;
                continue;
            }
            if (core->ends_left == 0 || !core_room(core))
                return; /* the next ping finds the rest */
            core->ends_left--;
            core_end_attempt(core, r, live->job, HD_OUTCOME_INFRA,
                             core_text(core, "%s came back without it", worker->id));
        }
    }
}

static void reconcile(struct hd_core *core, struct worker *worker, const struct hd_request *request,
                      struct hd_reply *reply)
{
    uint32_t renewed = 0;
    for (size_t i = 0; i < request->held_count; i++)
        renewed += renew(core, worker, request->held[i], reply) ? 1 : 0;
    if (renewed < worker->running)
        end_lost(core, worker, request);
}

/* It will ask for a job, if this is not it. */
static void note_asking(const struct hd_core *core, struct worker *worker)
{
    worker->asked = true;
    worker->asked_ms = core->now_ms;
}

/* What it has asked for before it began to drain, it does not want any more. */
static void hear_whether_it_drains(struct hd_core *core, struct worker *worker,
                                   const struct hd_request *request)
{
    worker->draining = request->draining;
    if (worker->draining && worker->parked.active && !HD_PLANTED(core, HD_PLANT_DRAINING_FED))
        core_answer_parked(core, worker, HD_REPLY_NOTHING);
}

/* ---- control lane ---------------------------------------------------------------------------- */

static void hello(struct hd_core *core, const struct hd_event *event)
{
    const struct hd_request *request = event->request;
    struct worker *worker = core_find_worker(core, request->worker);
    if (worker == NULL &&
        (core->worker_count >= HD_WORKERS_MAX || core->worker_count == core->worker_capacity)) {
        core_refuse(core, event, HD_E_LIMIT, "this master knows %u workers already",
                    core->worker_count);
        return;
    }
    worker = &core->workers[core_add_worker(core, request->worker)];
    uint64_t newest = worker->lease_incarnation > worker->report_incarnation
                          ? worker->lease_incarnation
                          : worker->report_incarnation;
    if ((request->incarnation < worker->incarnation || request->incarnation < newest) &&
        !HD_PLANTED(core, HD_PLANT_OLD_INCARNATION)) {
        core_refuse(core, event, HD_E_CONFLICT, "a newer process serves as worker %s", worker->id);
        return;
    }
    if (worker->known && request->incarnation == worker->incarnation &&
        request->sequence <= worker->control_sequence) {
        answer(core, event, HD_REPLY_STALE);
        return;
    }
    if (worker->parked.active && request->incarnation > worker->incarnation)
        core_answer_parked(core, worker, HD_REPLY_STALE);
    if (!worker->known || request->incarnation > worker->incarnation) {
        worker->poll_sequence = worker->poll_answered = 0;
        worker->unfit_told = false;
        note_asking(core, worker);
        core_note(core, HD_NOTE_INFO, HD_NONE, "worker %s: hello (%u slots, %zu held)", worker->id,
                  request->slots, request->held_count);
    }
    /* What the old process was told is not meant for the new one. */
    if (newest > 0 && request->incarnation > newest && request->incarnation > worker->incarnation)
        core_end_going(core, worker, "it was started again");
    worker->known = worker->reachable = true;
    worker->said_bye = false;
    worker->incarnation = request->incarnation;
    worker->control_sequence = request->sequence;
    worker->connection = event->connection;
    worker->slots = request->slots;
    worker->gpus = request->gpus;
    worker->root = core_add_root(core, request->root);
    worker->at_home = event->at_home;
    hear_whether_it_drains(core, worker, request);
    worker->last_seen_ms = core->now_ms;
    (void)hd_copy_text(worker->data, sizeof(worker->data),
                       request->data != NULL ? request->data : "");
    (void)hd_copy_text(worker->host, sizeof(worker->host), request->host);
    (void)hd_copy_text(worker->run_id, sizeof(worker->run_id), request->run_id);
    struct hd_reply *reply = answer(core, event, HD_REPLY_OK);
    reply->ping_ms = core_ping_ms(core);
    core_tell_worker(worker, reply);
    reconcile(core, worker, request, reply);
}

static void keep_points(struct hd_core *core, const struct worker *worker,
                        const struct hd_request *request)
{
    for (size_t i = 0; i < request->point_count && core_room(core); i++) {
        const struct hd_point *point = &request->points[i];
        uint32_t run_number;
        const struct run *run = core_find_run_uid(core, point->attempt.run_uid, &run_number);
        if (run == NULL || point->attempt.job >= run->job_count)
            continue;
        const struct job *job = &run->jobs[point->attempt.job];
        if (job->state != JOB_RUNNING || !is_last(core, run, point->attempt) ||
            &core->workers[run->live[job->place].worker] != worker)
            continue;
        struct hd_fact *fact = core_fact(core, run_number, HD_FACT_CURVE_POINT);
        fact->as.curve_point = (struct hd_fact_curve_point){
            .job = point->attempt.job,
            .attempt = point->attempt.attempt,
            .step = point->step,
            .loss = point->loss,
        };
        bool stopping = job->stopping;
        core_commit(core, fact);
        if (job->stopping && !stopping)
            core_note(core, HD_NOTE_INFO, run_number,
                      "job %u: loss %g after %g of budget %g -> to be stopped early",
                      point->attempt.job, point->loss, point->step, job->budget);
    }
}

static bool all_over(const struct hd_core *core)
{
    for (uint32_t i = 0; i < core->run_count; i++)
        if (!core_run_final(core->runs[i]))
            return false;
    return core->run_count > 0;
}

static void ping(struct hd_core *core, const struct hd_event *event, struct worker *worker)
{
    const struct hd_request *request = event->request;
    if (request->sequence <= worker->control_sequence) {
        answer(core, event, HD_REPLY_STALE);
        return;
    }
    worker->control_sequence = request->sequence;
    hear_whether_it_drains(core, worker, request);
    core_take_doing(worker, request);
    core_take_echo(core, worker, request);
    struct hd_reply *reply = answer(core, event, HD_REPLY_OK);
    reply->drain = core->options.shutdown_workers && all_over(core);
    core_tell_worker(worker, reply);
    reply->ping_ms = core_ping_ms(core);
    keep_points(core, worker, request);
    reconcile(core, worker, request, reply);
    core_bring_files(core, worker, reply);
    core_ask_states(core, worker, reply);
}

static void bye(struct hd_core *core, const struct hd_event *event, struct worker *worker)
{
    if (event->request->sequence <= worker->control_sequence) {
        answer(core, event, HD_REPLY_STALE);
        return;
    }
    struct hd_reply *reply = answer(core, event, HD_REPLY_OK);
    worker->control_sequence = event->request->sequence;
    if (worker->parked.active)
        core_answer_parked(core, worker, HD_REPLY_STALE);
    reconcile(core, worker, event->request, reply);
    worker->known = worker->reachable = false;
    worker->said_bye = true;
    core_end_going(core, worker, "it has left, as it was told");
    core_note(core, HD_NOTE_INFO, HD_NONE, "worker %s: bye", worker->id);
}

/* ---- lease lane ------------------------------------------------------------------------------ */

static bool over_for(const struct hd_core *core, const char *run_id)
{
    if (run_id[0] == '\0')
        return core->options.shutdown_workers && all_over(core);
    for (uint32_t i = 0; i < core->run_count; i++)
        if (strcmp(core->runs[i]->run_id, run_id) == 0)
            return core_run_final(core->runs[i]);
    return false;
}

/* The lease of an earlier arrival of the same request, when it still stands. */
static struct live *granted(const struct hd_core *core, const struct worker *worker,
                            uint64_t sequence)
{
    if (worker->lease_incarnation != worker->incarnation || worker->lease_sequence != sequence ||
        HD_PLANTED(core, HD_PLANT_NO_DEDUP))
        return NULL;
    const struct run *run = core->runs[worker->lease_run];
    const struct job *job = &run->jobs[worker->lease_job];
    if (job->state != JOB_RUNNING || job->attempt != worker->lease_attempt)
        return NULL;
    return &run->live[job->place];
}

static bool old_lease_sequence(const struct hd_core *core, const struct worker *worker,
                               uint64_t sequence)
{
    (void)core; /* read by planted builds only */
    if (HD_PLANTED(core, HD_PLANT_NO_DEDUP))
        return false;
    return sequence < worker->poll_sequence ||
           (worker->lease_incarnation == worker->incarnation && sequence < worker->lease_sequence);
}

/* What a report is answered with. */
struct verdict {
    enum hd_verdict verdict;
    uint32_t wanted;
};

static void tell_verdict(struct hd_reply *reply, struct verdict verdict)
{
    reply->verdict = verdict.verdict;
    reply->wanted = verdict.wanted;
}

/* A poll by LEASE, or by REPORT with lease_next; both end in exactly one reply. */
static void poll(struct hd_core *core, const struct hd_event *event, struct worker *worker,
                 uint64_t lease_sequence, int64_t wait_ms_max, struct verdict verdict)
{
    const struct hd_request *request = event->request;
    bool combined = request->kind == HD_REQUEST_REPORT;
    struct parked parked = {
        .combined = combined,
        .address = event->address,
        .sequence = request->sequence,
        .lease_sequence = lease_sequence,
        .verdict = verdict.verdict,
        .wanted = verdict.wanted,
        .leaves_ms = request->left_ms > 0 && request->left_ms < HD_NEVER_MS - core->now_ms
                         ? core->now_ms + request->left_ms
                         : HD_NEVER_MS,
    };
    note_asking(core, worker);
    struct live *live = granted(core, worker, lease_sequence);
    if (live != NULL) {
        /* Its worker hears of it only now: the time until then was not its own. */
        live->until_ms = core->now_ms + core->runs[worker->lease_run]->experiment->lease_ms;
        struct hd_reply *reply = answer(core, event, HD_REPLY_LEASE);
        tell_verdict(reply, verdict);
        core_fill_lease(core, worker->lease_run, live, reply);
        return;
    }
    bool old = old_lease_sequence(core, worker, lease_sequence);
    /* Answered once: the worker needs a new sequence. A job for this one would reach nobody, and
     * its next ping would charge a retry for it. */
    bool spent = !HD_PLANTED(core, HD_PLANT_NO_DEDUP) &&
                 ((worker->lease_incarnation == worker->incarnation &&
                   worker->lease_sequence == lease_sequence) ||
                  worker->poll_answered == lease_sequence);
    if (old || spent || worker->draining) {
        enum hd_reply_kind kind = old && !combined ? HD_REPLY_STALE : HD_REPLY_NOTHING;
        struct hd_reply *reply = answer(core, event, combined ? HD_REPLY_OK : kind);
        tell_verdict(reply, verdict);
        return;
    }
    worker->poll_sequence = lease_sequence;
    if (over_for(core, request->run_id)) {
        struct hd_reply *reply = answer(core, event, combined ? HD_REPLY_OK : HD_REPLY_DONE);
        tell_verdict(reply, verdict);
        return;
    }
    int64_t wait_ms = request->wait_ms < 0 ? 0 : request->wait_ms;
    parked.deadline_ms = core->now_ms + (wait_ms < wait_ms_max ? wait_ms : wait_ms_max);
    core_park(core, worker, &parked);
}

/* ---- report lane ----------------------------------------------------------------------------- */

static void refuse_report(struct hd_core *core, uint32_t run, const struct hd_request *request,
                          const char *reason)
{
    struct hd_fact *fact = core_fact(core, run, HD_FACT_REPORT_REFUSED);
    fact->as.report_refused = (struct hd_fact_report_refused){
        .job = request->result.attempt.job,
        .attempt = request->result.attempt.attempt,
        .outcome = request->result.outcome,
        .loss = request->result.loss,
        .worker = request->worker,
        .incarnation = request->incarnation,
        .sequence = request->sequence,
        .reason = reason,
    };
    core_commit(core, fact);
    core_note(core, HD_NOTE_WARNING, run, "job %u: result of attempt %u refused: %s",
              request->result.attempt.job, request->result.attempt.attempt, reason);
}

static bool accepts(const struct hd_core *core, const struct run *run, const struct job *job,
                    const struct worker *worker, struct hd_attempt_ref attempt)
{
    if (job->state != JOB_RUNNING)
        return false;
    if (HD_PLANTED(core, HD_PLANT_NO_FENCING))
        return true;
    return is_last(core, run, attempt) && &core->workers[run->live[job->place].worker] == worker;
}

static enum hd_verdict take_report(struct hd_core *core, const struct worker *worker,
                                   const struct hd_request *request)
{
    struct hd_attempt_ref attempt = request->result.attempt;
    uint32_t run_number;
    struct run *run = core_find_run_uid(core, attempt.run_uid, &run_number);
    if (run == NULL)
        return HD_VERDICT_REFUSED; /* foreign: there is nothing to record it under */
    if (attempt.job >= run->job_count || attempt.attempt == 0 ||
        attempt.attempt > run->jobs[attempt.job].attempt) {
        core_note(core, HD_NOTE_WARNING, run_number,
                  "job %u: result of attempt %u of %s refused: foreign: another master with a copy "
                  "of this state granted it",
                  attempt.job, attempt.attempt, worker->id);
        return HD_VERDICT_REFUSED;
    }
    const struct job *job = &run->jobs[attempt.job];
    bool last = is_last(core, run, attempt);
    bool already = last && job->state != JOB_RUNNING && job->last_by_report;
    if (worker->report_incarnation == request->incarnation &&
        worker->report_sequence == request->sequence)
        return already ? HD_VERDICT_ACCEPTED : HD_VERDICT_REFUSED;
    if (accepts(core, run, job, worker, attempt)) {
        core_end_by_report(core, run_number, request);
        return HD_VERDICT_ACCEPTED;
    }
    if (already) {
        refuse_report(core, run_number, request, "repeated: this attempt's result is known");
        return HD_VERDICT_ACCEPTED;
    }
    refuse_report(core, run_number, request,
                  attempt.attempt == job->attempt && !last
                      ? "foreign: another master with a copy of this state granted it"
                  : job->state == JOB_RUNNING
                      ? core_text(core, "late: attempt %u is running", job->attempt)
                      : core_text(core, "late: the attempt had ended"));
    return HD_VERDICT_REFUSED;
}

static void report(struct hd_core *core, const struct hd_event *event, struct worker *worker)
{
    const struct hd_request *request = event->request;
    if (worker->report_incarnation == request->incarnation &&
        request->sequence < worker->report_sequence) {
        answer(core, event, HD_REPLY_STALE);
        return;
    }
    note_asking(core, worker);
    struct verdict verdict = {.verdict = take_report(core, worker, request)};
    if (verdict.verdict == HD_VERDICT_ACCEPTED &&
        core_wants_state(core, worker, request->result.attempt))
        verdict.wanted |= HD_WANTED_STATE;
    if (verdict.verdict == HD_VERDICT_ACCEPTED &&
        hd_core_wants_files(core, request->result.attempt))
        verdict.wanted |= HD_WANTED_FILES;
    if (request->lease_next) {
        poll(core, event, worker, request->lease_sequence, HD_COMBINED_WAIT_MS_MAX, verdict);
        return;
    }
    tell_verdict(answer(core, event, HD_REPLY_OK), verdict);
}

/* ---- all ------------------------------------------------------------------------------------- */

/* The worker behind a request that only a known, current incarnation may make; NULL: answered. */
static struct worker *current_worker(struct hd_core *core, const struct hd_event *event)
{
    const struct hd_request *request = event->request;
    struct worker *worker = core_find_worker(core, request->worker);
    if (worker == NULL || !worker->known || request->incarnation > worker->incarnation) {
        answer(core, event, HD_REPLY_HELLO_FIRST);
        return NULL;
    }
    if (request->incarnation < worker->incarnation && !HD_PLANTED(core, HD_PLANT_OLD_INCARNATION)) {
        core_refuse(core, event, HD_E_CONFLICT, "a newer process serves as worker %s", worker->id);
        return NULL;
    }
    worker->last_seen_ms = core->now_ms;
    worker->reachable = true;
    worker->connection = event->connection;
    return worker;
}

/* Zeros mean "none yet" in our own books, so nobody may call himself so. */
static bool is_complete(const struct hd_request *request)
{
    bool asks_next = request->kind == HD_REQUEST_REPORT && request->lease_next;
    return request->worker[0] != '\0' && request->incarnation != 0 && request->sequence != 0 &&
           (!asks_next || request->lease_sequence != 0);
}

void core_handle_request(struct hd_core *core, const struct hd_event *event)
{
    const struct hd_request *request = event->request;
    struct worker *worker = NULL;
    bool needs_worker = request->kind == HD_REQUEST_LEASE || request->kind == HD_REQUEST_PING ||
                        request->kind == HD_REQUEST_REPORT || request->kind == HD_REQUEST_BYE;
    if ((needs_worker || request->kind == HD_REQUEST_HELLO) && !is_complete(request)) {
        core_refuse(
            core, event, HD_E_INVALID,
            "a worker's request needs its id, an incarnation and sequences, none of them 0");
        return;
    }
    if (needs_worker && (worker = current_worker(core, event)) == NULL)
        return;
    switch (request->kind) {
    case HD_REQUEST_HELLO:
        hello(core, event);
        break;
    case HD_REQUEST_LEASE:
        poll(core, event, worker, request->sequence, HD_LEASE_WAIT_MS_MAX,
             (struct verdict){HD_VERDICT_NONE, 0});
        break;
    case HD_REQUEST_PING:
        ping(core, event, worker);
        break;
    case HD_REQUEST_REPORT:
        report(core, event, worker);
        break;
    case HD_REQUEST_BYE:
        bye(core, event, worker);
        break;
    case HD_REQUEST_SUBMIT:
        core_handle_submit(core, event);
        break;
    case HD_REQUEST_COMMAND:
        core_handle_command(core, event);
        break;
    case HD_REQUEST_TEST:
        core_handle_test(core, event);
        break;
    case HD_REQUEST_VIEW: /* the driver's own; it never reaches the core */
    case HD_REQUEST_KIND_COUNT:
        core_refuse(core, event, HD_E_UNSUPPORTED, "the core does not answer this request");
        break;
    }
}
