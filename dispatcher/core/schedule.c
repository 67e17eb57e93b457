/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Scheduling: which run feeds which waiting worker, and what a sampler is asked for.
 *
 * Runs are served by priority, then by fewest running attempts. Within a run, queued jobs come
 * first (those whose directory the worker holds before all others), then what the iteration
 * generator offers: promotions, then new configs. A new bracket is opened only for a worker
 * that would otherwise idle.
 */
#include "core_internal.h"

#include <math.h>

/* ---- what a run offers ----------------------------------------------------------------------- */

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

/* Another evaluation of a config of a noisy target, from the start: what the first one left in its
 * directory is at this budget already. */
static void queue_repeat(struct hd_core *core, uint32_t run_number,
                         const struct hd_race_estimate *estimate, uint32_t repeat)
{
    struct run *run = core->runs[run_number];
    const struct job *first = &run->jobs[estimate->job];
    struct hd_config_id id = run->configs[estimate->config].id;
    struct hd_fact *fact = core_fact(core, run_number, HD_FACT_JOB_QUEUED);
    fact->as.job_queued = (struct hd_fact_job_queued){
        .job = run->job_count,
        .config = estimate->config,
        .iteration = first->iteration,
        .rung = first->rung,
        .budget = run->experiment->iter_gen.budget_max,
        .budget_previous = NAN,
        .repeat = repeat,
    };
    core_commit(core, fact);
    run->generated = true;
    core_note(core, HD_NOTE_INFO, run_number,
              "job %u: config [%u,%u,%u] once more (repeat %u), its loss is about %g so far",
              run->job_count - 1, id.iteration, id.budget_index, id.running_index, repeat,
              estimate->loss);
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

enum offer {
    OFFER_NOTHING,
    OFFER_UNFIT, /* not for this worker */
    OFFER_QUEUED,
    OFFER_AWAITED,
};

static bool limited(const struct run *run)
{
    const struct hd_experiment *experiment = run->experiment;
    return core_limit_reached(run) ||
           (!experiment->queue_dynamic &&
            (int64_t)run->live_count + run->queue_count >= experiment->queue_max);
}

static uint32_t left(uint32_t limit, uint32_t count)
{
    return limit > count ? limit - count : 0;
}

/* How many new configs may still be asked for. */
static uint32_t asks_allowed(const struct run *run, const struct hd_slot *slot)
{
    const struct limits *limits = &run->limits;
    uint32_t allowed = slot->new_count < HD_ASKS_MAX ? slot->new_count : HD_ASKS_MAX;
    if (limits->configs > 0 && left(limits->configs, run->config_count) < allowed)
        allowed = left(limits->configs, run->config_count);
    if (limits->jobs > 0 && left(limits->jobs, run->job_count) < allowed)
        allowed = left(limits->jobs, run->job_count);
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
        if (config->root != HD_NONE &&
            (config->root == worker->root || core_has_copy(core, config)))
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
    struct hd_race_estimate estimate;
    uint32_t repeat;
    double budget = run->experiment->iter_gen.budget_max;
    if (core_next_repeat(run, &estimate, &repeat) &&
        (worker == NULL || core_fits(core, run_number, worker, budget, NAN))) {
        if (run->generated || !core_room(core)) {
            core->again = true;
            return OFFER_AWAITED;
        }
        queue_repeat(core, run_number, &estimate, repeat);
        return OFFER_QUEUED;
    }
    struct hd_slot slot;
    core->looks++;
    hd_iter_gen_next(run->gen, may_open, &slot);
    bool fresh = slot.kind == HD_SLOT_NEW;
    if (!fresh && slot.kind != HD_SLOT_PROMOTE)
        return OFFER_NOTHING;
    if (!fits_slot(core, run_number, &slot, worker))
        return OFFER_UNFIT;
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

static bool open_for_jobs(const struct run *run)
{
    return (run->state == HD_RUN_ACTIVE || run->state == HD_RUN_CLOSING) && !run->cancelling;
}

/* Nothing more can come from it in this pass, whoever asks. */
static bool is_spent(struct hd_core *core, struct run *run)
{
    if (run->limits.parallel > 0 && run->live_count >= run->limits.parallel)
        return true;
    return run->dry && core_queue_spent(core, run);
}

static bool goes_before(const struct run *run, const struct run *other)
{
    if (run->limits.priority != other->limits.priority)
        return run->limits.priority > other->limits.priority;
    return run->live_count + run->awaiting < other->live_count + other->awaiting;
}

static uint32_t next_run(struct hd_core *core, const struct worker *worker)
{
    uint32_t best = HD_NONE;
    for (uint32_t i = 0; i < core->open_count; i++) {
        struct run *run = core->runs[core->open[i]];
        if (run->visited || !core_serves(worker, run) || is_spent(core, run))
            continue;
        if (core_is_excluded(run, (uint32_t)(worker - core->workers)) ||
            core_missing_data(run, worker) != NULL)
            continue;
        /* It has more slots than GPUs: other runs may use the rest of them. */
        if (core_gpus_needed(run) > 0 &&
            (uint64_t)worker->gpus_used + core_gpus_needed(run) > worker->gpus)
            continue;
        if (best == HD_NONE || goes_before(run, core->runs[best]))
            best = core->open[i];
    }
    return best;
}

/* True when the worker is served or one of its runs is about to serve it. */
static bool feed_from(struct hd_core *core, uint32_t run_number, struct worker *worker)
{
    struct run *run = core->runs[run_number];
    for (;;) {
        uint32_t job = core_pick_queued(core, run_number, worker);
        if (job != HD_NONE) {
            core_lease(core, run_number, job, worker);
            return true;
        }
        if (run->dry)
            return false;
        enum offer offer = generate(core, run_number, worker, true);
        run->dry = offer == OFFER_NOTHING;
        if (offer != OFFER_QUEUED)
            return offer == OFFER_AWAITED;
        /* A promotion may have to wait for the holder of its directory: then look further. */
    }
}

static void feed(struct hd_core *core, struct worker *worker)
{
    for (uint32_t i = 0; i < core->open_count; i++)
        core->runs[core->open[i]]->visited = false;
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

static bool all_spent(struct hd_core *core)
{
    for (uint32_t i = 0; i < core->open_count; i++)
        if (!is_spent(core, core->runs[core->open[i]]))
            return false;
    return true;
}

static void begin_pass(struct hd_core *core)
{
    core->pass++;
    core->open_count = 0;
    for (uint32_t i = 0; i < core->run_count; i++) {
        struct run *run = core->runs[i];
        run->awaiting = 0;
        run->generated = run->dry = false;
        if (open_for_jobs(run))
            core->open[core->open_count++] = i;
    }
}

static void feed_all(struct hd_core *core)
{
    uint32_t index = core->parked_first;
    while (index != HD_NONE && !all_spent(core)) {
        if (core->leases_left == 0 || !core_room(core)) {
            core->again = true;
            return;
        }
        struct worker *worker = &core->workers[index];
        index = worker->parked.next;
        core->looks++;
        bool trusted =
            worker->state == HD_WORKER_ACTIVE || HD_PLANTED(core, HD_PLANT_QUARANTINE_IGNORED);
        if (worker->parked.deadline_ms >= core->now_ms && trusted)
            feed(core, worker);
    }
}

static bool enough_workers(const struct hd_core *core)
{
    uint32_t known = 0;
    for (uint32_t i = 0; i < core->worker_count; i++)
        known += core->workers[i].known ? 1 : 0;
    return known >= core->options.min_workers;
}

void core_schedule(struct hd_core *core)
{
    begin_pass(core);
    if (!core->enough_workers && !enough_workers(core))
        return;
    core->enough_workers = true;
    feed_all(core);
    for (uint32_t i = 0; i < core->open_count; i++) {
        prefetch(core, core->open[i]);
        ask(core, core->open[i]);
    }
}
