/* SPDX-License-Identifier: Apache-2.0 */
/* check_life.c: promises about restarts, leases, directories, and that things come to an end. */
#include "cluster.h"

#include <inttypes.h>
#include <math.h>

#define LEASE_MS 30000
#define SLACK_MS 4000
#define STARVING_TICKS_MAX 45
#define WAIT_MS_MAX 60000 /* holder wait (20 s) and back-off (30 s), and some */

/* ---- restore
 * -----------------------------------------------------------------------------------------------
 */

static void restore_equals_live(struct sim *sim, const struct sim_checker *self,
                                const struct sim_probe *probe)
{
    if (probe->kind != SIM_PROBE_COMMIT && probe->kind != SIM_PROBE_RESTORED)
        return;
    uint64_t shadow = hd_core_digest(probe->master->shadow);
    uint64_t other = hd_core_digest(probe->master->core);
    if (shadow != other)
        sim_fail(sim, self->name, "master %u, after fact %zu: the %s core is not the facts' fold",
                 probe->master->index, probe->master->ledger.fact_count,
                 probe->kind == SIM_PROBE_COMMIT ? "live" : "restored");
}

/* ---- no job is lost
 * ------------------------------------------------------------------------------------------- */

static void check_job(struct sim *sim, const struct sim_checker *self, struct sim_master *master,
                      uint32_t run, uint32_t number)
{
    const struct sim_job *job = &master->ledger.runs[run].jobs[number];
    struct hd_job_view view;
    hd_core_view_job(master->core, run, number, &view);
    bool queued = !job->closed && !job->open;
    if (view.queued != queued || view.running != job->open || view.closed != job->closed)
        sim_fail(sim, self->name, "job %u: the facts say %s, the core has it %s%s%s", number,
                 queued ? "queued" : (job->open ? "running" : "closed"),
                 view.queued ? "queued " : "", view.running ? "running " : "",
                 view.closed ? "closed" : "");
}

static void no_job_lost(struct sim *sim, const struct sim_checker *self,
                        const struct sim_probe *probe)
{
    if (probe->kind == SIM_PROBE_FACT && probe->fact->kind == HD_FACT_RUN_STATE &&
        probe->fact->run < probe->master->ledger.run_count) {
        const struct sim_ledger_run *run = &probe->master->ledger.runs[probe->fact->run];
        enum hd_run_state state = probe->fact->as.run_state.state;
        if ((state == HD_RUN_FINISHED || state == HD_RUN_CANCELLED) &&
            run->closed_count != run->job_count)
            sim_fail(sim, self->name, "run %s is over with %u of %zu jobs closed", run->run_id,
                     run->closed_count, run->job_count);
    }
    if (probe->kind != SIM_PROBE_COMMIT)
        return;
    struct sim_ledger *ledger = &probe->master->ledger;
    for (uint32_t r = 0; r < ledger->run_count; r++)
        for (uint32_t j = 0; j < ledger->runs[r].job_count && !sim->result->failed; j++)
            check_job(sim, self, probe->master, r, j);
}

/* ---- leases
 * ------------------------------------------------------------------------------------------------------
 */

static int64_t latest(int64_t a, int64_t b)
{
    return a > b ? a : b;
}

static void check_leases_end(struct sim *sim, const struct sim_checker *self,
                             struct sim_master *master)
{
    /* A held batch, a clock that leapt, or no first step yet: nothing can be said. */
    if (!master->alive || master->busy || master->jumped || master->first_event_ms == HD_NEVER_MS)
        return;
    int64_t now_ms = sim_master_clock(sim, master);
    int64_t limit_ms = LEASE_MS + SLACK_MS + 3 * sim->plan->climate.commit_max_ms;
    for (size_t r = 0; r < master->ledger.run_count; r++) {
        struct sim_ledger_run *run = &master->ledger.runs[r];
        for (size_t j = 0; j < run->job_count; j++) {
            const struct sim_attempt *attempt = sim_job_open(&run->jobs[j]);
            if (attempt == NULL)
                continue;
            int64_t from_ms =
                latest(latest(attempt->renewed_ms, master->first_event_ms), master->last_hold_ms);
            if (now_ms - from_ms > limit_ms)
                sim_fail(sim, self->name,
                         "job %zu attempt %u on %s: nothing heard for %" PRId64
                         " ms, and it is not queued again",
                         j, attempt->number, attempt->worker, now_ms - from_ms);
        }
    }
}

static void lease_ends(struct sim *sim, const struct sim_checker *self,
                       const struct sim_probe *probe)
{
    if (probe->kind == SIM_PROBE_TICK)
        for (uint32_t m = 0; m < sim->master_count; m++)
            check_leases_end(sim, self, &sim->masters[m]);
}

/* Its worker has said, since it was leased, what it holds, and this attempt was not in it. */
static bool let_go(const struct sim *sim, const struct sim_probe *probe, uint32_t job,
                   const struct sim_attempt *attempt)
{
    if (attempt->worker[0] != 'w')
        return false;
    if (attempt->missed_ms == probe->fact->wall_ms) /* by that request; a later one may hold it */
        return true;
    const struct sim_heard *heard = &probe->master->heard[attempt->worker[1] - '0'];
    if (heard->request == NULL || heard->at_ms > probe->fact->wall_ms)
        return false;
    if (attempt->stamp == 0 && sim->plan->rival.kind == SIM_RIVAL_COPY)
        return true; /* its worker never heard of it, and may hold what has the same number */
    struct hd_attempt_ref ref = {probe->master->ledger.runs[probe->fact->run].run_uid, job,
                                 attempt->number, attempt->stamp};
    return !sim_request_holds(heard->request, ref) && sim_request_knows(heard->request, attempt);
}

static void full_term(struct sim *sim, const struct sim_checker *self,
                      const struct sim_probe *probe)
{
    if (probe->kind != SIM_PROBE_FACT || probe->fact->kind != HD_FACT_ATTEMPT_ENDED ||
        probe->master->jumped)
        return;
    const struct hd_fact_attempt_ended *ended = &probe->fact->as.attempt_ended;
    const struct sim_job *job =
        sim_ledger_job(&probe->master->ledger, probe->fact->run, ended->job);
    if (job == NULL || ended->by_report || ended->outcome != HD_OUTCOME_INFRA)
        return;
    const struct sim_attempt *attempt = sim_job_open(job);
    if (attempt == NULL || let_go(sim, probe, ended->job, attempt))
        return;
    /* Of two processes with its id the one that holds it not spoke first; then came the other. */
    if (sim_has_twin(sim, (uint32_t)(attempt->worker[1] - '0')))
        return;
    int64_t from_ms = latest(attempt->renewed_ms, probe->master->first_event_ms);
    int64_t term_ms = probe->fact->wall_ms + probe->master->clock_offset_ms - from_ms;
    if (from_ms <= probe->master->last_hold_ms - probe->master->last_held_ms)
        term_ms -= probe->master->last_held_ms; /* nobody was listened to meanwhile */
    if (term_ms < LEASE_MS)
        sim_fail(sim, self->name, "job %u attempt %u loses its lease after %" PRId64 " ms: %s",
                 ended->job, ended->attempt, term_ms, ended->message);
}

/* ---- directories
 * ----------------------------------------------------------------------------------------------------
 */

static void directories_fenced(struct sim *sim, const struct sim_checker *self,
                               const struct sim_probe *probe)
{
    if (probe->kind != SIM_PROBE_CONTAINER)
        return;
    const struct sim_container *container = probe->container;
    const struct sim_container *writer = container->directory->writer;
    if (writer != NULL && writer != container && writer->running)
        sim_fail(sim, self->name, "%s: job %u.%u and job %u.%u write it together",
                 container->directory->name, writer->attempt.job, writer->attempt.attempt,
                 container->attempt.job, container->attempt.attempt);
}

static void state_honest(struct sim *sim, const struct sim_checker *self,
                         const struct sim_probe *probe)
{
    if (probe->kind != SIM_PROBE_CONTAINER)
        return;
    const struct hd_lease *lease = probe->lease;
    const struct sim_container *container = probe->container;
    if (lease->directory[0] != '\0' && !sim->plan->travels &&
        !hd_streq(lease->root, container->worker->root->id))
        sim_fail(sim, self->name, "job %u continues from %s, which %s does not have",
                 lease->attempt.job, lease->root, container->worker->id);
    else if (!isnan(container->budget_previous) &&
             !(container->directory->budget >= container->budget_previous))
        sim_fail(sim, self->name,
                 "job %u.%u is told that it continues from budget %g, and %s holds budget %g",
                 lease->attempt.job, lease->attempt.attempt, container->budget_previous,
                 container->directory->name, container->directory->budget);
}

/* ---- liveness
 * ----------------------------------------------------------------------------------------------------------
 */

static bool may_serve(const struct sim *sim, const char *worker, const char *run_id)
{
    for (uint32_t w = 0; w < sim->plan->worker_count; w++)
        if (hd_streq(sim->workers[w].id, worker))
            return sim->plan->workers[w].run_id[0] == '\0' ||
                   hd_streq(sim->plan->workers[w].run_id, run_id);
    return false;
}

/* One that knows its end takes nothing that it cannot finish. */
static bool leaves_soon(const struct sim *sim, const char *id)
{
    for (uint32_t w = 0; w < sim->plan->worker_count; w++)
        if (hd_streq(sim->workers[w].id, id))
            return sim->workers[w].plan->knows_end && sim->workers[w].ends_ms != HD_NEVER_MS;
    return false;
}

static bool somebody_waits(const struct sim *sim, const struct sim_master *master,
                           const struct sim_ledger_run *run)
{
    for (uint32_t w = 0; w < hd_core_worker_count(master->core); w++) {
        struct hd_worker_view view;
        if (hd_core_view_worker(master->core, w, &view) && view.parked && !view.draining &&
            may_serve(sim, view.id, run->run_id) && !leaves_soon(sim, view.id) &&
            hd_core_may_serve(master->core, (uint32_t)(run - master->ledger.runs), view.id))
            return true;
    }
    return false;
}

static bool could_try(const struct sim *sim, const struct sim_ledger_run *run)
{
    const struct sim_run_plan *plan = run->plan;
    if (plan == NULL || (run->state != HD_RUN_ACTIVE && run->state != HD_RUN_CLOSING))
        return false;
    for (size_t j = 0; j < run->job_count; j++)
        if (!run->jobs[j].closed && !run->jobs[j].open &&
            sim->now_ms - run->jobs[j].waiting_since_ms > WAIT_MS_MAX)
            return true;
    if (run->state == HD_RUN_CLOSING ||
        (plan->configs_max > 0 && run->config_count >= plan->configs_max) ||
        (plan->jobs_max > 0 && run->job_count >= plan->jobs_max))
        return false;
    uint32_t begun = 0, planned = 0;
    for (uint32_t i = 0; i < plan->iterations; i++)
        planned += sim_plan_first_count(plan, i);
    for (size_t j = 0; j < run->job_count; j++)
        begun +=
            run->jobs[j].rung == 0 && run->jobs[j].repeat == 0 && run->jobs[j].again == 0 ? 1 : 0;
    return (plan->asha != SIM_ASHA_NONE ? run->config_count : begun) < planned;
}

static uint32_t live_attempts(const struct sim_ledger_run *run)
{
    uint32_t count = 0;
    for (size_t j = 0; j < run->job_count; j++)
        count += run->jobs[j].open ? 1 : 0;
    return count;
}

static void no_idle_worker(struct sim *sim, const struct sim_checker *self,
                           const struct sim_probe *probe)
{
    /* A worker that was served was not idle; a run of lower priority may wait for it. */
    if (probe->kind == SIM_PROBE_FACT && probe->fact->kind == HD_FACT_ATTEMPT_LEASED)
        for (size_t r = 0; r < probe->master->ledger.run_count; r++)
            probe->master->ledger.runs[r].starving_ticks = 0;
    if (probe->kind != SIM_PROBE_TICK || !sim->calm || sim->now_ms < sim->slow_sampler_until_ms)
        return;
    for (uint32_t m = 0; m < sim->master_count; m++) {
        struct sim_master *master = &sim->masters[m];
        if (!master->alive)
            continue;
        for (size_t r = 0; r < master->ledger.run_count; r++) {
            struct sim_ledger_run *run = &master->ledger.runs[r];
            if (!could_try(sim, run))
                run->starving_ticks = 0;
            else if (somebody_waits(sim, master, run))
                run->starving_ticks++;
            if (run->starving_ticks > STARVING_TICKS_MAX)
                sim_fail(sim, self->name,
                         "run %s: workers wait for %u s although a config could be tried "
                         "(%zu jobs, %u live)",
                         run->run_id, run->starving_ticks, run->job_count, live_attempts(run));
        }
    }
}

static void calm_finishes(struct sim *sim, const struct sim_checker *self,
                          const struct sim_probe *probe)
{
    if (probe->kind != SIM_PROBE_TICK || !sim->calm || sim->now_ms <= sim->calm_limit_ms)
        return;
    for (uint32_t r = 0; r < sim_run_total(sim); r++) {
        const struct sim_ledger_run *run = sim_find_run(sim, sim->plan->runs[r].run_uid, NULL);
        if (sim_is_served(sim, r) && (run == NULL || !sim_run_over(run)))
            sim_fail(sim, self->name, "run %s is %s long after the storm (%zu jobs, %u closed)",
                     sim->plan->runs[r].run_id,
                     run == NULL ? "unknown" : hd_run_state_name(run->state),
                     run == NULL ? 0 : run->job_count, run == NULL ? 0 : run->closed_count);
    }
    sim_fail(sim, self->name, "a person waits for an answer long after the storm");
}

static void nothing_left_running(struct sim *sim, const struct sim_checker *self,
                                 const struct sim_probe *probe)
{
    if (probe->kind != SIM_PROBE_END)
        return;
    for (uint32_t w = 0; w < sim->plan->worker_count; w++)
        for (const struct sim_container *c = sim->workers[w].containers; c != NULL; c = c->next)
            if (c->running && !c->removed && sim->workers[w].alive &&
                !sim->masters[c->granted_by].gone)
                sim_fail(sim, self->name, "job %u attempt %u still runs on %s", c->attempt.job,
                         c->attempt.attempt, sim->workers[w].id);
}

/* ---- bounds
 * --------------------------------------------------------------------------------------------------------------
 */

static void bounded(struct sim *sim, const struct sim_checker *self, const struct sim_probe *probe)
{
    if (probe->kind == SIM_PROBE_TICK)
        for (uint32_t w = 0; w < sim->plan->worker_count; w++)
            if (sim->workers[w].alive && hd_agent_held_count(sim->workers[w].agent) > HD_HELD_MAX)
                sim_fail(sim, self->name, "%s holds more than %d attempts", sim->workers[w].id,
                         HD_HELD_MAX);
    if (probe->kind != SIM_PROBE_STEP)
        return;
    const struct hd_update *update = probe->update;
    if (update->fact_count > HD_STEP_FACTS_MAX || update->reply_count > HD_STEP_REPLIES_MAX ||
        update->ask_count > HD_STEP_ASKS_MAX || update->note_count > HD_STEP_NOTES_MAX)
        sim_fail(sim, self->name, "a step gives %zu facts, %zu replies, %zu asks, %zu notes",
                 update->fact_count, update->reply_count, update->ask_count, update->note_count);
    for (size_t r = 0; r < update->reply_count; r++)
        if (update->replies[r].command_count > HD_COMMANDS_MAX)
            sim_fail(sim, self->name, "a reply with %zu commands",
                     update->replies[r].command_count);
}

const struct sim_checker sim_checkers_life[] = {
    {"restore-equals-live",
     "A core fed with the committed facts alone equals the live one, after "
     "every commit and at every restart.",
     restore_equals_live},
    {"no-job-lost",
     "Every job that was queued is queued, running or closed, and closed when its "
     "run is over.",
     no_job_lost},
    {"dead-worker-costs-one-lease", "An attempt of which nothing is heard for one lease is over.",
     lease_ends},
    {"lease-has-its-term", "No attempt loses its lease before its term, after a restart neither.",
     full_term},
    {"directories-fenced", "No two attempts write one directory.", directories_fenced},
    {"state-is-honest",
     "A target is told to continue only from a directory that is there and "
     "holds what it is told.",
     state_honest},
    {"no-idle-worker",
     "No worker that is trusted waits while a config could be tried, but for a holder or a "
     "back-off.",
     no_idle_worker},
    {"calm-leads-to-finished", "Once faults cease, every run ends or is paused with a reason.",
     calm_finishes},
    {"nothing-left-running", "When all is over, no target runs any more.", nothing_left_running},
    {"bounded", "Queues, updates and replies stay within their named limits.", bounded},
};
const size_t sim_checkers_life_count = HD_COUNT(sim_checkers_life);
