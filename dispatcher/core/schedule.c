/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Scheduling: which run feeds which waiting worker, what a sampler is asked for, and when a
 * run is over.
 *
 * Runs are served by priority, then by fewest running attempts. Within a run, queued jobs come
 * first (those whose directory the worker holds before all others), then what the iteration
 * generator offers: promotions, then new configs. A new bracket is opened only for a worker
 * that would otherwise idle.
 */
#include "core_internal.h"

#include <math.h>
#include <string.h>

/* ---- when a run is over ---------------------------------------------------------------------- */

int64_t core_run_elapsed_ms(const struct hd_core *core, const struct run *run)
{
    if (run->elapsed_mark_ms == HD_NEVER_MS)
        return run->elapsed_ms;
    /* What the next fact will make of it: decided otherwise, a limit that was passed between two
     * lives would be seen only after a job had been handed out. */
    int64_t silence_ms = core->wall_ms - run->last_wall_ms;
    if (silence_ms > HD_TIME_GAP_MS_MAX)
        silence_ms = HD_TIME_GAP_MS_MAX;
    int64_t since_ms = core->now_ms - run->elapsed_mark_ms;
    return run->elapsed_ms + (since_ms > silence_ms ? since_ms : silence_ms);
}

int64_t core_time_mark_ms(const struct run *run)
{
    return run->elapsed_mark_ms == HD_NEVER_MS ? HD_NEVER_MS
                                               : run->elapsed_mark_ms + HD_TIME_GAP_MS_MAX / 2;
}

bool core_job_limit_reached(const struct run *run)
{
    const struct hd_stop *stop = &run->experiment->stop;
    return stop->jobs > 0 && run->job_count >= stop->jobs;
}

static bool goal_reached(const struct run *run)
{
    const struct hd_objective *objective = &run->experiment->objective;
    if (!objective->has_goal || !run->has_incumbent || run->incumbent_score.violation > 0)
        return false;
    double goal = objective->maximize ? -objective->goal : objective->goal;
    return run->incumbent_loss <= goal;
}

/* Reasons that end a run at once, whatever still runs; NULL: none. */
static const char *end_now(struct hd_core *core, const struct run *run)
{
    const struct hd_stop *stop = &run->experiment->stop;
    if (run->cancelling)
        return "cancelled by command";
    if (run->goal_reached)
        return "goals of all objectives reached";
    if (run->experiment->objective_count == 1 && goal_reached(run)) {
        double sign = run->experiment->objective.maximize ? -1.0 : 1.0;
        return core_text(core, "goal reached: %s %g", run->experiment->objective.name,
                         sign * run->incumbent_loss);
    }
    if (stop->full_evaluations > 0 && run->full_evaluations >= stop->full_evaluations)
        return core_text(core, "%u full evaluations done", run->full_evaluations);
    if (stop->failures > 0 && run->jobs_failed >= stop->failures)
        return core_text(core, "%u jobs failed, the limit of this run", run->jobs_failed);
    if (stop->time_ms > 0 && core_run_elapsed_ms(core, run) >= stop->time_ms)
        return "time limit reached";
    return NULL;
}

/* Nothing runs, waits or can come any more; NULL: not so. */
static const char *drained(struct hd_core *core, const struct run *run)
{
    if (run->live_count > 0 || run->queue_count > 0)
        return NULL;
    if (core_job_limit_reached(run))
        return core_text(core, "%u jobs done, the limit of this run", run->job_count);
    struct hd_slot slot;
    hd_iter_gen_next(run->gen, true, &slot);
    if (slot.kind != HD_SLOT_DONE && !hd_iter_gen_finished(run->gen))
        return NULL;
    if (run->state == HD_RUN_CLOSING)
        return "every config of the space has been tried";
    if (run->experiment->stop.configs > 0 && run->config_count >= run->experiment->stop.configs)
        return core_text(core, "%u configs done, the limit of this run", run->config_count);
    return "all iterations done";
}

void core_set_state(struct hd_core *core, uint32_t run_number, enum hd_run_state state,
                    const char *reason)
{
    struct hd_fact *fact = core_fact(core, run_number, HD_FACT_RUN_STATE);
    fact->as.run_state.state = state;
    fact->as.run_state.reason = reason;
    core_commit(core, fact);
    core_note(core, state == HD_RUN_PAUSED ? HD_NOTE_WARNING : HD_NOTE_INFO, run_number,
              "run %s: %s: %s", core->runs[run_number]->run_id, hd_run_state_name(state), reason);
}

static void mark_time(struct hd_core *core, uint32_t run_number)
{
    const struct run *run = core->runs[run_number];
    struct hd_fact *fact = core_fact(core, run_number, HD_FACT_RUN_STATE);
    fact->as.run_state.state = run->state;
    fact->as.run_state.reason = core_text(core, "%s", run->reason);
    core_commit(core, fact);
}

/* Ends queued and running jobs, some a step; true when none is left. */
static bool end_all(struct hd_core *core, uint32_t run_number, const char *reason)
{
    struct run *run = core->runs[run_number];
    while (run->live_count > 0 || run->queue_count > 0) {
        if (core->ends_left == 0 || !core_room(core)) {
            core->again = true;
            return false;
        }
        core->ends_left--;
        uint32_t job = run->live_count > 0 ? run->live[run->live_count - 1].job
                                           : run->queue[run->queue_count - 1].job;
        core_end_attempt(core, run_number, job, HD_OUTCOME_CANCELLED, reason);
    }
    return true;
}

static void update_state(struct hd_core *core, uint32_t run_number)
{
    struct run *run = core->runs[run_number];
    if (core_run_final(run))
        return;
    if (!core_room(core)) {
        core->again = true;
        return;
    }
    const char *reason = end_now(core, run);
    if (reason != NULL) {
        if (end_all(core, run_number, reason))
            core_set_state(core, run_number, run->cancelling ? HD_RUN_CANCELLED : HD_RUN_FINISHED,
                           reason);
        return;
    }
    /* A mark in a long silence, so that a restart knows how long the run has been going. */
    if (run->experiment->stop.time_ms > 0 && core->now_ms >= core_time_mark_ms(run))
        mark_time(core, run_number);
    if (run->state == HD_RUN_PAUSED)
        return;
    if (run->exhausted && run->ready_count == 0 && run->state == HD_RUN_ACTIVE)
        core_set_state(core, run_number, HD_RUN_CLOSING,
                       "every config of the space has been tried");
    uint32_t limit = run->experiment->pause_after_failures;
    if (limit > 0 && !run->had_success && run->failure_streak >= limit) {
        core_set_state(core, run_number, HD_RUN_PAUSED,
                       core_text(core,
                                 "%u failures without a success: see hd jobs and hd logs, then "
                                 "hd resume",
                                 run->failure_streak));
        return;
    }
    reason = drained(core, run);
    if (reason != NULL)
        core_set_state(core, run_number, HD_RUN_FINISHED, reason);
}

/* Polls of workers for whom there will never be a job again are answered at once. */
static void release_parked(struct hd_core *core)
{
    bool over = core->run_count > 0;
    for (uint32_t i = 0; i < core->run_count && over; i++)
        over = core_run_final(core->runs[i]);
    uint32_t index = core->parked_first;
    while (index != HD_NONE && core_room(core)) {
        struct worker *worker = &core->workers[index];
        index = worker->parked.next;
        uint32_t run_number;
        bool done = worker->parked.run_id[0] == '\0'
                        ? over && core->options.shutdown_workers
                        : hd_core_find_run(core, worker->parked.run_id, &run_number) &&
                              core_run_final(core->runs[run_number]);
        if (done)
            core_answer_parked(core, worker, HD_REPLY_DONE);
    }
}

void core_run_states(struct hd_core *core)
{
    size_t before = core->update->fact_count;
    for (uint32_t i = 0; i < core->run_count; i++)
        update_state(core, i);
    if (core->update->fact_count > before)
        release_parked(core);
}

/* ---- what a run offers ----------------------------------------------------------------------- */

static bool root_is_served(const struct hd_core *core, uint32_t root, int64_t lease_ms)
{
    for (uint32_t i = 0; i < core->worker_count; i++) {
        const struct worker *worker = &core->workers[i];
        /* One that has been silent for a lease is not worth waiting for, connected or not. */
        bool heard = core->now_ms - worker->last_seen_ms < lease_ms;
        if (worker->known && worker->reachable && heard && !worker->draining &&
            worker->root == root)
            return true;
    }
    return false;
}

/* May this worker take this queued job now? rank: lower is better. */
static bool may_take(const struct hd_core *core, const struct run *run, const struct queued *queued,
                     const struct worker *worker, int *ret_rank)
{
    if (queued->not_before_ms > core->now_ms)
        return false;
    const struct config *config = &run->configs[run->jobs[queued->job].config];
    if (config->root != HD_NONE && config->root == worker->root) {
        *ret_rank = 0;
        return true;
    }
    *ret_rank = 1;
    return config->root == HD_NONE ||
           core->now_ms - queued->since_ms >= run->experiment->holder_wait_ms ||
           !root_is_served(core, config->root, run->experiment->lease_ms);
}

static bool fits_queued(struct hd_core *core, uint32_t run_number, const struct queued *queued,
                        struct worker *worker)
{
    const struct run *run = core->runs[run_number];
    const struct job *job = &run->jobs[queued->job];
    const struct config *config = &run->configs[job->config];
    bool holds = config->root != HD_NONE && config->root == worker->root;
    return core_fits(core, run_number, worker, job->budget, holds ? config->state_budget : NAN);
}

static uint32_t pick_queued(struct hd_core *core, uint32_t run_number, struct worker *worker)
{
    const struct run *run = core->runs[run_number];
    uint32_t best = HD_NONE;
    int best_rank = 0;
    for (uint32_t i = 0; i < run->queue_count; i++) {
        const struct queued *queued = &run->queue[i];
        int rank;
        if (!may_take(core, run, queued, worker, &rank) ||
            !fits_queued(core, run_number, queued, worker))
            continue;
        const struct job *job = &run->jobs[queued->job];
        const struct job *other = best == HD_NONE ? NULL : &run->jobs[best];
        bool better =
            other == NULL || rank < best_rank ||
            (rank == best_rank && (job->iteration < other->iteration ||
                                   (job->iteration == other->iteration && queued->job < best)));
        if (better) {
            best = queued->job;
            best_rank = rank;
        }
    }
    return best;
}

static void queue_job(struct hd_core *core, uint32_t run_number, const struct hd_slot *slot,
                      uint32_t config)
{
    struct run *run = core->runs[run_number];
    struct hd_fact *fact = core_fact(core, run_number, HD_FACT_JOB_QUEUED);
    fact->as.job_queued = (struct hd_fact_job_queued){
        .job = run->job_count,
        .config = config,
        .iteration = slot->iteration,
        .rung = slot->rung,
        .budget = slot->budget,
        .budget_previous = slot->budget_previous,
    };
    core_commit(core, fact);
    run->generated = true;
    if (slot->kind == HD_SLOT_PROMOTE)
        core_note(core, HD_NOTE_INFO, run_number, "job %u: config [%u,%u,%u] promoted to budget %g",
                  run->job_count - 1, slot->id.iteration, slot->id.budget_index,
                  slot->id.running_index, slot->budget);
}

static void propose(struct hd_core *core, uint32_t run_number, const struct hd_slot *slot)
{
    struct run *run = core->runs[run_number];
    const struct ready *ready = &run->ready[run->ready_first];
    struct hd_fact *fact = core_fact(core, run_number, HD_FACT_CONFIG_PROPOSED);
    fact->as.config_proposed = (struct hd_fact_config_proposed){
        .config = ready->config,
        .id = slot->id,
        .values = run->ready_values + (size_t)run->ready_first * run->param_count,
        .value_count = run->param_count,
        .info = ready->info,
        .cut = ready->cut,
    };
    run->ready_first = (run->ready_first + 1) % HD_ASKS_MAX;
    run->ready_count--;
    core_commit(core, fact);
    queue_job(core, run_number, slot, run->config_count - 1);
}

enum offer { OFFER_NOTHING, OFFER_QUEUED, OFFER_AWAITED };

static bool limited(const struct run *run)
{
    const struct hd_experiment *experiment = run->experiment;
    return core_job_limit_reached(run) ||
           (!experiment->queue_dynamic &&
            (int64_t)run->live_count + run->queue_count >= experiment->queue_max);
}

/* How many new configs may still be asked for. */
static uint32_t asks_allowed(const struct run *run, const struct hd_slot *slot)
{
    const struct hd_stop *stop = &run->experiment->stop;
    uint32_t allowed = slot->new_count < HD_ASKS_MAX ? slot->new_count : HD_ASKS_MAX;
    if (stop->configs > 0 && stop->configs - run->config_count < allowed)
        allowed = stop->configs - run->config_count;
    if (stop->jobs > 0 && stop->jobs - run->job_count < allowed)
        allowed = stop->jobs - run->job_count;
    return allowed;
}

/* Whether the worker, NULL for nobody yet, stays long enough for the generator's next job. */
static bool fits_slot(struct hd_core *core, uint32_t run_number, const struct hd_slot *slot,
                      struct worker *worker)
{
    const struct run *run = core->runs[run_number];
    double from = NAN;
    if (worker == NULL)
        return true;
    if (slot->kind == HD_SLOT_PROMOTE) {
        const struct config *config = &run->configs[slot->config_number];
        if (config->root != HD_NONE && config->root == worker->root)
            from = config->state_budget;
    }
    return core_fits(core, run_number, worker, slot->budget, from);
}

/* Queues the generator's next job, or says that a sampler must answer first. */
static enum offer generate(struct hd_core *core, uint32_t run_number, struct worker *worker,
                           bool may_open)
{
    struct run *run = core->runs[run_number];
    if (limited(run))
        return OFFER_NOTHING;
    struct hd_slot slot;
    hd_iter_gen_next(run->gen, may_open, &slot);
    bool fresh = slot.kind == HD_SLOT_NEW;
    if (!fresh && slot.kind != HD_SLOT_PROMOTE)
        return OFFER_NOTHING;
    if (!fits_slot(core, run_number, &slot, worker))
        return OFFER_NOTHING;
    if (fresh && run->ready_count == 0) {
        if (run->exhausted || run->awaiting >= asks_allowed(run, &slot))
            return OFFER_NOTHING;
        run->awaiting++;
        return OFFER_AWAITED;
    }
    if (run->generated || !core_room(core)) {
        core->again = true;
        return OFFER_AWAITED;
    }
    if (fresh)
        propose(core, run_number, &slot);
    else
        queue_job(core, run_number, &slot, slot.config_number);
    return OFFER_QUEUED;
}

/* ---- who gets what --------------------------------------------------------------------------- */

static bool serves(const struct worker *worker, const struct run *run)
{
    return worker->parked.run_id[0] == '\0' || strcmp(worker->parked.run_id, run->run_id) == 0;
}

static bool open_for_jobs(const struct run *run)
{
    return (run->state == HD_RUN_ACTIVE || run->state == HD_RUN_CLOSING) && !run->cancelling;
}

static uint32_t next_run(const struct hd_core *core, const struct worker *worker)
{
    uint32_t best = HD_NONE;
    for (uint32_t i = 0; i < core->run_count; i++) {
        const struct run *run = core->runs[i];
        if (run->visited || !open_for_jobs(run) || !serves(worker, run))
            continue;
        const struct run *other = best == HD_NONE ? NULL : core->runs[best];
        if (other == NULL || run->experiment->priority > other->experiment->priority ||
            (run->experiment->priority == other->experiment->priority &&
             run->live_count + run->awaiting < other->live_count + other->awaiting))
            best = i;
    }
    return best;
}

/* True when the worker is served or one of its runs is about to serve it. */
static bool feed_from(struct hd_core *core, uint32_t run_number, struct worker *worker)
{
    for (;;) {
        uint32_t job = pick_queued(core, run_number, worker);
        if (job != HD_NONE) {
            core_lease(core, run_number, job, worker);
            return true;
        }
        enum offer offer = generate(core, run_number, worker, true);
        if (offer != OFFER_QUEUED)
            return offer == OFFER_AWAITED;
        /* A promotion may have to wait for the holder of its directory: then look further. */
    }
}

static void feed(struct hd_core *core, struct worker *worker)
{
    for (uint32_t i = 0; i < core->run_count; i++)
        core->runs[i]->visited = false;
    uint32_t run_number;
    while ((run_number = next_run(core, worker)) != HD_NONE) {
        core->runs[run_number]->visited = true;
        if (feed_from(core, run_number, worker))
            return;
    }
}

/* job_queue_sizes: keeps jobs ready beyond what waiting workers take, within open brackets. */
static void prefetch(struct hd_core *core, uint32_t run_number)
{
    struct run *run = core->runs[run_number];
    const struct hd_experiment *experiment = run->experiment;
    if (experiment->queue_max <= 0 || !open_for_jobs(run))
        return;
    int64_t filled =
        (int64_t)run->queue_count + (experiment->queue_dynamic ? 0 : (int64_t)run->live_count);
    int64_t ahead = filled + run->awaiting;
    if (ahead <= experiment->queue_min)
        run->refilling = true;
    else if (filled >= experiment->queue_max) /* what is only asked for does not fill it */
        run->refilling = false;
    while (run->refilling && ahead < experiment->queue_max) {
        if (generate(core, run_number, NULL, false) == OFFER_NOTHING)
            return;
        if (core->again)
            return;
        ahead++;
    }
}

static void ask(struct hd_core *core, uint32_t run_number)
{
    struct run *run = core->runs[run_number];
    struct hd_slot slot;
    if (run->awaiting <= run->asks_outstanding)
        return;
    hd_iter_gen_next(run->gen, true, &slot);
    while (run->asks_outstanding < run->awaiting &&
           run->asks_outstanding + run->ready_count < HD_ASKS_MAX) {
        if (core->update->ask_count == HD_STEP_ASKS_MAX) {
            core->again = true;
            return;
        }
        core->update->asks[core->update->ask_count++] = (struct hd_ask){
            .run = run_number,
            .config = run->config_count + run->ready_count + run->asks_outstanding,
            .cut = HD_PLANTED(core, HD_PLANT_CUT_FORGOTTEN) ? 0 : run->cut,
            .budget = slot.budget,
        };
        run->asks_outstanding++;
    }
}

void core_schedule(struct hd_core *core)
{
    for (uint32_t i = 0; i < core->run_count; i++) {
        core->runs[i]->awaiting = 0;
        core->runs[i]->generated = false;
    }
    if (!core->enough_workers && hd_core_worker_count(core) < core->options.min_workers)
        return;
    core->enough_workers = true;
    uint32_t index = core->parked_first;
    while (index != HD_NONE) {
        if (core->leases_left == 0 || !core_room(core)) {
            core->again = true;
            break;
        }
        struct worker *worker = &core->workers[index];
        index = worker->parked.next;
        if (worker->parked.deadline_ms >= core->now_ms)
            feed(core, worker);
    }
    for (uint32_t i = 0; i < core->run_count; i++) {
        prefetch(core, i);
        ask(core, i);
    }
}
