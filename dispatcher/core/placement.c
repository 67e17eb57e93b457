/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Placement: which queued job a worker may have.
 *
 * A job whose config's directory is in a work root goes to a worker of that root, for as long as
 * one is there and holder_wait has not passed; one of which the master has a copy goes to whoever
 * is free. A job that its last worker's infrastructure failed goes to another one, as long as
 * another is there and again for holder_wait. Among the rest, the oldest iteration comes first.
 *
 * What does not depend on who asks is found once a pass and after each change of the queue, so
 * that a thousand waiting workers look at a queue once, not a thousand times.
 */
#include "core_internal.h"

#include <math.h>

/* ---- the workers ----------------------------------------------------------------------------- */

/* It will ask for a job by itself: it waits for one, has one, or has just had one. */
static bool will_ask(const struct hd_core *core, const struct worker *worker)
{
    return worker->parked.active || worker->running > 0 ||
           (worker->asked && core->now_ms - worker->asked_ms < HD_ASKED_MS);
}

/* One that leaves soon may find a job too long. */
static bool is_waiting(const struct worker *worker)
{
    return worker->parked.active && worker->parked.leaves_ms == HD_NEVER_MS;
}

static void begin_pass(const struct hd_core *core, struct run *run)
{
    if (run->placement.pass != core->pass)
        run->placement = (struct placement){.pass = core->pass};
}

/* Once a pass, and only when a job has a directory or a worker to avoid: most have neither. */
static void count_workers(struct hd_core *core, struct run *run)
{
    struct placement *placement = &run->placement;
    if (placement->counted)
        return;
    placement->counted = true;
    for (uint32_t i = 0; i < core->root_count && i < run->root_able_capacity; i++)
        run->root_able[i] = 0;
    for (uint32_t i = 0; i < core->worker_count; i++) {
        const struct worker *worker = &core->workers[i];
        core->looks++;
        if (!core_is_able(core, run, worker))
            continue;
        placement->others += will_ask(core, worker) ? 1 : 0;
        placement->waiting += is_waiting(worker) ? 1 : 0;
        if (worker->root < run->root_able_capacity)
            run->root_able[worker->root]++;
    }
}

/* ---- the queue ------------------------------------------------------------------------------- */

/* Another one that waits too goes first; one that is busy for long does not keep a job from the
 * only one that is free. The one to be avoided is not among those who wait when it leaves soon, and
 * so it is taken out by name. */
static bool avoids(struct hd_core *core, struct run *run, const struct queued *queued)
{
    if (queued->avoid == HD_NONE || HD_PLANTED(core, HD_PLANT_SAME_WORKER))
        return false;
    count_workers(core, run);
    const struct worker *avoided = &core->workers[queued->avoid];
    uint32_t waiting = run->placement.waiting;
    if (is_waiting(avoided) && core_is_able(core, run, avoided))
        waiting--;
    int64_t since_ms =
        queued->not_before_ms > queued->since_ms ? queued->not_before_ms : queued->since_ms;
    return waiting > 0 ||
           (run->placement.others > 1 && core->now_ms - since_ms < run->experiment->holder_wait_ms);
}

/* Is its directory in nobody's reach? The worker that it avoids does not count. */
static bool unserved(struct hd_core *core, struct run *run, const struct queued *queued,
                     uint32_t root)
{
    count_workers(core, run);
    if (root >= run->root_able_capacity)
        return true;
    uint32_t able = run->root_able[root];
    if (avoids(core, run, queued)) {
        const struct worker *worker = &core->workers[queued->avoid];
        if (worker->root == root && core_is_able(core, run, worker))
            able--;
    }
    return able == 0;
}

static bool free_for_all(struct hd_core *core, struct run *run, const struct queued *queued)
{
    uint32_t root = core_job_root(run, &run->jobs[queued->job]);
    return root == HD_NONE || core->now_ms - queued->since_ms >= run->experiment->holder_wait_ms ||
           core_may_travel(core, run, &run->jobs[queued->job]) || unserved(core, run, queued, root);
}

static bool goes_first(const struct run *run, uint32_t job, uint32_t other)
{
    if (other == HD_NONE)
        return true;
    const struct job *a = &run->jobs[job], *b = &run->jobs[other];
    return a->iteration < b->iteration || (a->iteration == b->iteration && job < other);
}

/* What any worker may take, whose own root holds none of it. */
static void look_at_queue(struct hd_core *core, struct run *run)
{
    struct placement *placement = &run->placement;
    if (placement->fresh)
        return;
    placement->fresh = true;
    placement->held = false;
    placement->anyones = placement->avoiding = placement->avoided = HD_NONE;
    for (uint32_t i = 0; i < core->root_count && i < run->root_ready_capacity; i++)
        run->root_ready[i] = 0;
    for (uint32_t i = 0; i < run->queue_count; i++) {
        const struct queued *queued = &run->queue[i];
        core->looks++;
        if (queued->not_before_ms > core->now_ms)
            continue;
        uint32_t root = core_job_root(run, &run->jobs[queued->job]);
        if (root != HD_NONE && root < run->root_ready_capacity)
            run->root_ready[root]++;
        if (!free_for_all(core, run, queued)) {
            placement->held = true;
        } else if (!avoids(core, run, queued)) {
            if (goes_first(run, queued->job, placement->anyones))
                placement->anyones = queued->job;
        } else if (goes_first(run, queued->job, placement->avoiding)) {
            placement->avoiding = queued->job;
            placement->avoided = queued->avoid;
        }
    }
}

/* Does it stay long enough? */
static bool fits(struct hd_core *core, uint32_t run_number, const struct job *job, bool own,
                 struct worker *worker)
{
    const struct config *config = &core->runs[run_number]->configs[job->config];
    return core_fits(core, run_number, worker, job->budget,
                     own || core_is_shelved(core, core->runs[run_number], job)
                         ? config->state_budget
                         : (double)NAN);
}

/* Every queued job, for a worker to whom what holds for most does not apply. */
static uint32_t search(struct hd_core *core, uint32_t run_number, struct worker *worker)
{
    struct run *run = core->runs[run_number];
    uint32_t index = (uint32_t)(worker - core->workers);
    uint32_t best = HD_NONE;
    bool best_own = false;
    for (uint32_t i = 0; i < run->queue_count; i++) {
        const struct queued *queued = &run->queue[i];
        const struct job *job = &run->jobs[queued->job];
        core->looks++;
        if (queued->not_before_ms > core->now_ms ||
            (queued->avoid == index && avoids(core, run, queued)))
            continue;
        uint32_t root = core_job_root(run, job);
        bool own = root != HD_NONE && root == worker->root;
        if ((!own && !free_for_all(core, run, queued)) || !fits(core, run_number, job, own, worker))
            continue;
        if (best == HD_NONE || (own && !best_own) ||
            (own == best_own && goes_first(run, queued->job, best))) {
            best = queued->job;
            best_own = own;
        }
    }
    return best;
}

/* The job for this worker, which waits for one; HD_NONE: none of the queued ones. */
uint32_t core_pick_queued(struct hd_core *core, uint32_t run_number, struct worker *worker)
{
    struct run *run = core->runs[run_number];
    if (run->queue_count == 0)
        return HD_NONE;
    begin_pass(core, run);
    look_at_queue(core, run);
    const struct placement *placement = &run->placement;
    bool own = worker->root < run->root_ready_capacity && run->root_ready[worker->root] > 0;
    bool avoided =
        placement->avoiding != HD_NONE && placement->avoided == (uint32_t)(worker - core->workers);
    if (own || avoided || worker->parked.leaves_ms != HD_NEVER_MS)
        return search(core, run_number, worker);
    if (placement->avoiding != HD_NONE && goes_first(run, placement->avoiding, placement->anyones))
        return placement->avoiding;
    return placement->anyones;
}

/* No worker that waits now would be given a queued job. */
bool core_queue_spent(struct hd_core *core, struct run *run)
{
    if (run->queue_count == 0)
        return true;
    begin_pass(core, run);
    look_at_queue(core, run);
    const struct placement *placement = &run->placement;
    return !placement->held && placement->anyones == HD_NONE && placement->avoiding == HD_NONE;
}
