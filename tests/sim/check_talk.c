/* SPDX-License-Identifier: Apache-2.0 */
/* check_talk.c: promises about what is said, and to whom. */
#include "cluster.h"

#include <inttypes.h>
#include <math.h>

#define SLACK_MS 5000

/* ---- durable before spoken
 * ------------------------------------------------------------------------------ */

static bool same_number(double a, double b)
{
    return a == b || (isnan(a) && isnan(b));
}

static void lease_is_durable(struct sim *sim, const struct sim_checker *self,
                             const struct sim_probe *probe)
{
    const struct hd_lease *lease = &probe->reply->lease;
    struct sim_ledger_run *run = sim_ledger_find(&probe->master->ledger, lease->attempt.run_uid);
    const struct sim_job *job =
        run != NULL && lease->attempt.job < run->job_count ? &run->jobs[lease->attempt.job] : NULL;
    const struct sim_attempt *attempt =
        job == NULL ? NULL : sim_job_attempt(job, lease->attempt.attempt);
    if (attempt == NULL || !hd_streq(attempt->worker, probe->message->request.worker))
        sim_fail(sim, self->name, "job %u attempt %u is handed to %s, and no fact says so",
                 lease->attempt.job, lease->attempt.attempt, probe->message->request.worker);
    else if (lease->budget != job->budget ||
             !same_number(lease->budget_previous, attempt->budget_previous) ||
             !hd_streq(lease->directory, attempt->directory))
        sim_fail(sim, self->name, "the lease of job %u differs from its fact", lease->attempt.job);
}

static void verdict_is_durable(struct sim *sim, const struct sim_checker *self,
                               const struct sim_probe *probe)
{
    const struct hd_request *request = &probe->message->request;
    const struct hd_attempt_ref *ref = &request->result.attempt;
    struct sim_ledger_run *run = sim_ledger_find(&probe->master->ledger, ref->run_uid);
    const struct sim_job *job =
        run != NULL && ref->job < run->job_count ? &run->jobs[ref->job] : NULL;
    const struct sim_attempt *attempt = job == NULL ? NULL : sim_job_attempt(job, ref->attempt);
    if (probe->reply->verdict == HD_VERDICT_ACCEPTED &&
        (attempt == NULL || attempt->open || !attempt->by_report))
        sim_fail(sim, self->name, "job %u attempt %u is acknowledged, and no fact holds its result",
                 ref->job, ref->attempt);
    const struct sim_container *origin = probe->message->origin;
    bool own = origin == NULL || sim_is_own_grant(sim, origin, probe->master);
    if (probe->reply->verdict == HD_VERDICT_REFUSED && attempt != NULL && attempt->open && own &&
        hd_streq(attempt->worker, request->worker))
        sim_fail(sim, self->name, "job %u attempt %u is refused although it is the live one",
                 ref->job, ref->attempt);
}

/* An order is answered when a fact holds it, or when there was nothing to do. */
static bool was_ordered(const struct sim_ledger *ledger, const struct hd_request *request)
{
    if (request->command == HD_COMMAND_RESUME_WORKER)
        return true; /* an active worker needs no fact */
    for (size_t f = 0; f < ledger->fact_count; f++) {
        const struct hd_fact_worker_state *fact = &ledger->facts[f]->as.worker_state;
        if (ledger->facts[f]->kind == HD_FACT_WORKER_STATE && fact->state != HD_WORKER_ACTIVE &&
            hd_streq(fact->worker, request->subject))
            return true;
    }
    return false;
}

static void person_is_durable(struct sim *sim, const struct sim_checker *self,
                              const struct sim_probe *probe)
{
    const struct hd_request *request = &probe->message->request;
    const struct sim_ledger *ledger = &probe->master->ledger;
    const struct sim_ledger_run *run = NULL;
    if (request->kind == HD_REQUEST_COMMAND && request->subject[0] != '\0') {
        if (!was_ordered(ledger, request))
            sim_fail(sim, self->name, "%s of %s is acknowledged, and no fact holds it",
                     hd_command_op_name(request->command), request->subject);
        return;
    }
    for (size_t r = 0; r < ledger->run_count; r++)
        if (hd_streq(ledger->runs[r].run_id, request->run_id))
            run = &ledger->runs[r];
    if (run == NULL) {
        sim_fail(sim, self->name, "%s of run %s is acknowledged, and there is no such run",
                 hd_request_kind_name(request->kind), request->run_id);
        return;
    }
    if (request->kind != HD_REQUEST_COMMAND)
        return;
    bool over = run->state == HD_RUN_FINISHED || run->state == HD_RUN_CANCELLED;
    if (request->command == HD_COMMAND_REQUEUE_JOB) {
        if (request->job >= run->job_count || !run->jobs[request->job].followed)
            sim_fail(sim, self->name, "job %u is to run once more, and no fact says so",
                     request->job);
        return;
    }
    bool closed = request->command == HD_COMMAND_CANCEL_JOB && request->job < run->job_count &&
                  run->jobs[request->job].closed;
    /* Nothing to do is an answer too. Another command of the same batch may have followed. */
    bool moot = (request->command == HD_COMMAND_PAUSE_RUN &&
                 (run->state == HD_RUN_PAUSED || run->commands[HD_COMMAND_RESUME_RUN] > 0)) ||
                (request->command == HD_COMMAND_RESUME_RUN &&
                 (run->state != HD_RUN_PAUSED || run->commands[HD_COMMAND_PAUSE_RUN] > 0));
    /* What was so when it was answered may have changed later in the same batch. */
    bool moved = run->moved_ms == sim->now_ms;
    bool same = request->command == HD_COMMAND_SET_LIMIT; /* as it was, perhaps */
    if (run->commands[request->command] == 0 && !over && !closed && !moot && !moved && !same)
        sim_fail(sim, self->name, "%s of run %s is acknowledged, and no fact holds it",
                 hd_command_op_name(request->command), run->run_id);
}

static void durable_before_spoken(struct sim *sim, const struct sim_checker *self,
                                  const struct sim_probe *probe)
{
    if (probe->kind != SIM_PROBE_REPLY || probe->message == NULL)
        return;
    const struct hd_request *request = &probe->message->request;
    if (probe->reply->kind == HD_REPLY_LEASE)
        lease_is_durable(sim, self, probe);
    if (request->kind == HD_REQUEST_REPORT)
        verdict_is_durable(sim, self, probe);
    if (probe->reply->kind == HD_REPLY_OK &&
        (request->kind == HD_REQUEST_SUBMIT || request->kind == HD_REQUEST_COMMAND))
        person_is_durable(sim, self, probe);
}

/* ---- one reply a request
 * -------------------------------------------------------------------------------------- */

static void check_owed(struct sim *sim, const struct sim_checker *self, struct sim_master *master)
{
    if (!master->alive || master->busy)
        return;
    for (size_t o = 0; o < master->owed_count; o++) {
        const struct sim_owed *owed = &master->owed[o];
        int64_t since_ms =
            owed->since_ms > master->hold_ended_ms ? owed->since_ms : master->hold_ended_ms;
        int64_t limit_ms = HD_LEASE_WAIT_MS_MAX + SLACK_MS + 2 * sim->plan->climate.commit_max_ms;
        if (!owed->gone && sim->now_ms - since_ms > limit_ms) {
            sim_fail(sim, self->name, "%s of %s waits for its reply since %" PRId64 " ms",
                     hd_request_kind_name(owed->message->request.kind),
                     owed->message->request.worker, sim->now_ms - owed->since_ms);
            return;
        }
    }
}

static void one_reply(struct sim *sim, const struct sim_checker *self,
                      const struct sim_probe *probe)
{
    if (probe->kind == SIM_PROBE_REPLY && probe->message == NULL)
        sim_fail(sim, self->name, "a second %s for address %" PRIu64,
                 hd_reply_kind_name(probe->reply->kind), probe->reply->address);
    if (probe->kind == SIM_PROBE_REPLY && probe->message != NULL &&
        (probe->reply->sequence != probe->message->request.sequence ||
         probe->reply->lane != probe->message->request.lane))
        sim_fail(sim, self->name, "lane %d sequence %" PRIu64 " is answered as lane %d %" PRIu64,
                 (int)probe->message->request.lane, probe->message->request.sequence,
                 (int)probe->reply->lane, probe->reply->sequence);
    if (probe->kind == SIM_PROBE_TICK)
        for (uint32_t m = 0; m < sim->master_count; m++)
            check_owed(sim, self, &sim->masters[m]);
}

/* ---- acknowledged results
 * ------------------------------------------------------------------------------------------ */

static void acknowledged_kept(struct sim *sim, const struct sim_checker *self,
                              const struct sim_probe *probe)
{
    if (probe->kind != SIM_PROBE_ACKNOWLEDGED)
        return;
    const struct sim_container *container = probe->container;
    struct sim_master *master = &sim->masters[container->worker->heard_from];
    struct sim_ledger_run *run = sim_ledger_find(&master->ledger, probe->attempt.run_uid);
    bool own = sim_is_own_grant(sim, container, master);
    const struct sim_job *job =
        run != NULL && probe->attempt.job < run->job_count ? &run->jobs[probe->attempt.job] : NULL;
    const struct sim_attempt *attempt =
        job == NULL ? NULL : sim_job_attempt(job, probe->attempt.attempt);
    if (!container->on_disk)
        sim_fail(sim, self->name, "job %u attempt %u is acknowledged before it was told",
                 probe->attempt.job, probe->attempt.attempt);
    else if (probe->verdict == HD_VERDICT_ACCEPTED &&
             (attempt == NULL || attempt->open || !attempt->by_report))
        sim_fail(sim, self->name, "a worker forgets the result of job %u, and no fact holds it",
                 probe->attempt.job);
    else if (probe->verdict != HD_VERDICT_ACCEPTED && own && attempt != NULL && attempt->open)
        sim_fail(sim, self->name, "a worker forgets the result of job %u, whose attempt %u lives",
                 probe->attempt.job, probe->attempt.attempt);
}

static void results_delivered(struct sim *sim, const struct sim_checker *self,
                              const struct sim_probe *probe)
{
    if (probe->kind != SIM_PROBE_END)
        return;
    for (uint32_t w = 0; w < sim->plan->worker_count; w++)
        for (const struct sim_container *c = sim->workers[w].containers; c != NULL; c = c->next)
            if (c->on_disk && !c->settled && sim->workers[w].alive &&
                !sim->masters[c->granted_by].gone)
                sim_fail(sim, self->name,
                         "the result of job %u attempt %u is on the disk of %s, "
                         "and nobody was told or said drop it",
                         c->attempt.job, c->attempt.attempt, sim->workers[w].id);
}

/* ---- when workers are sent home
 * ---------------------------------------------------------------------------------------- */

static bool was_told_to_go(const struct sim_ledger *ledger, const char *worker)
{
    for (size_t f = 0; f < ledger->fact_count; f++) {
        const struct hd_fact_worker_state *fact = &ledger->facts[f]->as.worker_state;
        if (ledger->facts[f]->kind == HD_FACT_WORKER_STATE && hd_streq(fact->worker, worker) &&
            (fact->state == HD_WORKER_DRAINING || fact->state == HD_WORKER_LEAVING))
            return true;
    }
    return false;
}

static void done_means_done(struct sim *sim, const struct sim_checker *self,
                            const struct sim_probe *probe)
{
    if (probe->kind != SIM_PROBE_REPLY || probe->message == NULL ||
        (probe->reply->kind != HD_REPLY_DONE && !probe->reply->drain && !probe->reply->leave))
        return;
    const struct sim_ledger *ledger = &probe->master->ledger;
    if (probe->reply->kind != HD_REPLY_DONE &&
        was_told_to_go(ledger, probe->message->request.worker))
        return;
    const char *wanted = probe->reply->kind == HD_REPLY_DONE ? probe->message->request.run_id : "";
    for (size_t r = 0; r < ledger->run_count; r++) {
        const struct sim_ledger_run *run = &ledger->runs[r];
        if (wanted[0] != '\0' && !hd_streq(wanted, run->run_id))
            continue;
        /* A person has made it go on since, in the same batch. */
        bool reopened = run->commands[HD_COMMAND_REQUEUE_JOB] > 0 && run->moved_ms == sim->now_ms;
        if (run->state != HD_RUN_FINISHED && run->state != HD_RUN_CANCELLED && !reopened)
            sim_fail(sim, self->name, "%s is sent home while run %s is %s",
                     probe->message->request.worker, run->run_id, hd_run_state_name(run->state));
    }
}

const struct sim_checker sim_checkers_talk[] = {
    {"durable-before-spoken", "No reply acknowledges what is not in the store.",
     durable_before_spoken},
    {"one-reply-per-request",
     "Every request that arrives is answered once, within the longest "
     "poll, with its own lane and sequence.",
     one_reply},
    {"acknowledged-results-kept",
     "A worker forgets a result only when a fact holds it, or when "
     "its attempt is not the live one.",
     acknowledged_kept},
    {"results-delivered",
     "A result that is on a worker's disk is told, or dropped by order; it is "
     "never forgotten.",
     results_delivered},
    {"done-means-done", "Workers are sent home only when what they may serve is over, or by order.",
     done_means_done},
};
const size_t sim_checkers_talk_count = HD_COUNT(sim_checkers_talk);
