/* SPDX-License-Identifier: Apache-2.0 */
/*
 * check_faults.c: who is given a job after something failed. The facts alone tell it, but for
 * whether another worker is there: that is asked of the core.
 */
#include "cluster.h"

#include <inttypes.h>
#include <string.h>

#define LEASE_MS 30000

static bool is_state_of(const struct hd_fact *fact, const char *worker)
{
    return fact->kind == HD_FACT_WORKER_STATE && hd_streq(fact->as.worker_state.worker, worker);
}

/* ---- infrastructure ----------------------------------------------------------------------------
 */

static bool serves_run(const struct sim *sim, const char *worker, const char *run_id)
{
    for (uint32_t w = 0; w < sim->plan->worker_count; w++)
        if (hd_streq(sim->workers[w].id, worker))
            return !sim->plan->workers[w].knows_end && /* it may find a job too long */
                   (sim->plan->workers[w].run_id[0] == '\0' ||
                    hd_streq(sim->plan->workers[w].run_id, run_id));
    return false;
}

/* Another worker that waits for a job of this run, is heard and trusted; NULL: none. */
static const char *waiting_worker(const struct sim *sim, const struct sim_probe *probe,
                                  uint32_t run_number, const char *but)
{
    const struct hd_core *core = probe->master->core;
    struct hd_run_view run;
    hd_core_view_run(core, run_number, &run);
    for (uint32_t w = 0; w < hd_core_worker_count(core); w++) {
        struct hd_worker_view view;
        if (!hd_core_view_worker(core, w, &view))
            continue;
        bool heard = probe->event->now_ms - view.last_seen_ms < run.experiment->lease_ms;
        if (!hd_streq(view.id, but) && view.parked && view.reachable && !view.draining && heard &&
            serves_run(sim, view.id, run.run_id) && hd_core_may_serve(core, run_number, view.id))
            return view.id;
    }
    return NULL;
}

static void infra_goes_elsewhere(struct sim *sim, const struct sim_checker *self,
                                 const struct sim_probe *probe)
{
    if (probe->kind != SIM_PROBE_STEP)
        return;
    for (size_t f = 0; f < probe->update->fact_count; f++) {
        const struct hd_fact *fact = &probe->update->facts[f];
        const struct hd_fact_attempt_leased *leased = &fact->as.attempt_leased;
        if (fact->kind != HD_FACT_ATTEMPT_LEASED)
            continue;
        const struct sim_job *job = sim_ledger_job(&probe->master->ledger, fact->run, leased->job);
        if (job == NULL || job->attempt_count == 0)
            continue;
        const struct sim_attempt *last = &job->attempts[job->attempt_count - 1];
        if (last->open || last->number + 1 != leased->attempt ||
            last->outcome != HD_OUTCOME_INFRA || !hd_streq(last->worker, leased->worker))
            continue;
        const char *other = waiting_worker(sim, probe, fact->run, leased->worker);
        if (other != NULL)
            sim_fail(sim, self->name, "job %u failed on %s and goes there again, though %s waits",
                     leased->job, leased->worker, other);
    }
}

/* ---- trust -------------------------------------------------------------------------------------
 */

/* What the last fact about this worker lets it do. */
enum hd_worker_state sim_worker_state(const struct sim_ledger *ledger, const char *worker)
{
    for (size_t f = ledger->fact_count; f-- > 0;)
        if (is_state_of(ledger->facts[f], worker))
            return ledger->facts[f]->as.worker_state.state;
    return HD_WORKER_ACTIVE;
}

static bool is_going(enum hd_worker_state state)
{
    return state == HD_WORKER_DRAINING || state == HD_WORKER_LEAVING;
}

/* What it was before it was told to go, when that is what it was told last before this fact. */
static bool was_sent_away(const struct sim_ledger *ledger, const struct hd_fact *fact,
                          enum hd_worker_state *ret_before)
{
    bool sent = false;
    *ret_before = HD_WORKER_ACTIVE;
    for (size_t f = ledger->fact_count; f-- > 0;) {
        const struct hd_fact *earlier = ledger->facts[f];
        if (earlier->seq >= fact->seq || !is_state_of(earlier, fact->as.worker_state.worker))
            continue;
        *ret_before = earlier->as.worker_state.state;
        if (!is_going(*ret_before))
            return sent;
        sent = true;
    }
    *ret_before = HD_WORKER_ACTIVE;
    return sent;
}

/* It could not start a target of this run, and nobody has forgiven that. */
static bool is_excluded(const struct sim_ledger *ledger, uint32_t run, const char *worker)
{
    for (size_t f = ledger->fact_count; f-- > 0;) {
        const struct hd_fact *fact = ledger->facts[f];
        enum hd_worker_state before;
        if (is_state_of(fact, worker) && fact->as.worker_state.state == HD_WORKER_ACTIVE &&
            !was_sent_away(ledger, fact, &before))
            return false;
        if (fact->run != run)
            continue;
        if (fact->kind == HD_FACT_COMMAND_GIVEN &&
            (fact->as.command_given.op == HD_COMMAND_RESUME_RUN ||
             fact->as.command_given.op == HD_COMMAND_REQUEUE_JOB))
            return false;
        if (fact->kind == HD_FACT_ATTEMPT_ENDED && fact->as.attempt_ended.by_report &&
            fact->as.attempt_ended.outcome == HD_OUTCOME_CONFIG_ERROR &&
            hd_streq(fact->as.attempt_ended.worker, worker))
            return true;
    }
    return false;
}

static void no_trust_no_jobs(struct sim *sim, const struct sim_checker *self,
                             const struct sim_probe *probe)
{
    if (probe->kind != SIM_PROBE_FACT || probe->fact->kind != HD_FACT_ATTEMPT_LEASED)
        return;
    const struct sim_ledger *ledger = &probe->master->ledger;
    const struct hd_fact_attempt_leased *leased = &probe->fact->as.attempt_leased;
    enum hd_worker_state state = sim_worker_state(ledger, leased->worker);
    if (state != HD_WORKER_ACTIVE)
        sim_fail(sim, self->name, "%s is %s and gets job %u", leased->worker,
                 hd_worker_state_name(state), leased->job);
    else if (is_excluded(ledger, probe->fact->run, leased->worker))
        sim_fail(sim, self->name, "%s could not start this target and gets job %u", leased->worker,
                 leased->job);
}

/* ---- quarantine --------------------------------------------------------------------------------
 */

#define DESERVED 3 /* different jobs */

static bool is_failure(enum hd_outcome outcome)
{
    return outcome == HD_OUTCOME_FAILED || outcome == HD_OUTCOME_NO_RESULT ||
           outcome == HD_OUTCOME_INFRA;
}

static bool is_success(enum hd_outcome outcome)
{
    return outcome == HD_OUTCOME_OK || outcome == HD_OUTCOME_DIVERGED ||
           outcome == HD_OUTCOME_STOPPED;
}

static uint32_t failed_in_a_row(const struct sim_ledger *ledger, const char *worker)
{
    uint64_t jobs[DESERVED] = {0};
    uint32_t count = 0;
    for (size_t f = ledger->fact_count; f-- > 0 && count < DESERVED;) {
        const struct hd_fact *fact = ledger->facts[f];
        const struct hd_fact_attempt_ended *ended = &fact->as.attempt_ended;
        if (fact->kind != HD_FACT_ATTEMPT_ENDED || !ended->by_report ||
            !hd_streq(ended->worker, worker))
            continue;
        if (is_success(ended->outcome))
            break;
        uint64_t job = (uint64_t)fact->run << 32 | ended->job;
        bool known = !is_failure(ended->outcome);
        for (uint32_t i = 0; i < count; i++)
            known = known || jobs[i] == job;
        if (!known)
            jobs[count++] = job;
    }
    return count;
}

static void quarantine_is_deserved(struct sim *sim, const struct sim_checker *self,
                                   const struct sim_probe *probe)
{
    if (probe->kind != SIM_PROBE_FACT || probe->fact->kind != HD_FACT_WORKER_STATE ||
        probe->fact->as.worker_state.state != HD_WORKER_QUARANTINED)
        return;
    const char *worker = probe->fact->as.worker_state.worker;
    enum hd_worker_state before;
    if (was_sent_away(&probe->master->ledger, probe->fact, &before) &&
        before == HD_WORKER_QUARANTINED)
        return; /* it is back */
    uint32_t count = failed_in_a_row(&probe->master->ledger, worker);
    if (count < DESERVED)
        sim_fail(sim, self->name, "%s is quarantined after %u different jobs", worker, count);
    else if (probe->fact->as.worker_state.reason[0] == '\0')
        sim_fail(sim, self->name, "%s is quarantined without a reason", worker);
}

static void leaving_forgives_nothing(struct sim *sim, const struct sim_checker *self,
                                     const struct sim_probe *probe)
{
    if (probe->kind != SIM_PROBE_FACT || probe->fact->kind != HD_FACT_WORKER_STATE)
        return;
    const struct hd_fact_worker_state *fact = &probe->fact->as.worker_state;
    enum hd_worker_state before;
    if (is_going(fact->state) || strncmp(fact->reason, "by command", 10) == 0 ||
        strncmp(fact->reason, "released", 8) == 0)
        return;
    if (was_sent_away(&probe->master->ledger, probe->fact, &before) && before != fact->state)
        sim_fail(sim, self->name, "%s was %s when it was told to go, and is %s when it is back",
                 fact->worker, hd_worker_state_name(before), hd_worker_state_name(fact->state));
}

static bool has_said_that_it_leaves(const struct hd_core *core, const char *worker)
{
    for (uint32_t w = 0; w < hd_core_worker_count(core); w++) {
        struct hd_worker_view view;
        if (hd_core_view_worker(core, w, &view) && hd_streq(view.id, worker))
            return view.draining;
    }
    return false;
}

static void leaving_gets_nothing(struct sim *sim, const struct sim_checker *self,
                                 const struct sim_probe *probe)
{
    if (probe->kind != SIM_PROBE_STEP)
        return;
    for (size_t f = 0; f < probe->update->fact_count; f++) {
        const struct hd_fact *fact = &probe->update->facts[f];
        const char *worker = fact->as.attempt_leased.worker;
        if (fact->kind == HD_FACT_ATTEMPT_LEASED &&
            has_said_that_it_leaves(probe->master->core, worker))
            sim_fail(sim, self->name, "job %u goes to %s, which has said that it takes no more",
                     fact->as.attempt_leased.job, worker);
    }
}

static void slept_through_is_not_begun(struct sim *sim, const struct sim_checker *self,
                                       const struct sim_probe *probe)
{
    if (probe->kind != SIM_PROBE_CONTAINER)
        return;
    const struct sim_container *container = probe->container;
    if (container->worker->unread_ms >= LEASE_MS)
        sim_fail(sim, self->name,
                 "%s begins job %u attempt %u by an answer that it has had for %" PRId64
                 " ms, longer than a lease lasts",
                 container->worker->id, container->attempt.job, container->attempt.attempt,
                 container->worker->unread_ms);
}

const struct sim_checker sim_checkers_faults[] = {
    {"infra-goes-elsewhere",
     "What a worker's infrastructure failed is not given to it again while another worker waits.",
     infra_goes_elsewhere},
    {"no-trust-no-jobs",
     "A worker that is paused, quarantined, to leave or excluded from a run gets no job of it.",
     no_trust_no_jobs},
    {"quarantine-is-deserved",
     "Only a worker on which different jobs failed in a row is quarantined, and the reason is "
     "kept.",
     quarantine_is_deserved},
    {"leaving-forgives-nothing",
     "A worker that was paused or quarantined before it was sent away is so when it is back.",
     leaving_forgives_nothing},
    {"leaving-gets-nothing",
     "A worker that has told the master that it takes no more jobs is given none.",
     leaving_gets_nothing},
    {"slept-through-is-not-begun",
     "A worker that was frozen for longer than a lease begins nothing by an answer from before.",
     slept_through_is_not_begun},
};
const size_t sim_checkers_faults_count = HD_COUNT(sim_checkers_faults);
