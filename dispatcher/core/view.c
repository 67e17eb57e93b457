/* SPDX-License-Identifier: Apache-2.0 */
/* Reading the core: deadlines, and views for drivers, checkers and progress lines. */
#include "core_internal.h"

#include <math.h>
#include <string.h>

static int64_t earlier(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

static int64_t run_deadline_ms(const struct hd_core *core, const struct run *run)
{
    int64_t deadline_ms = HD_NEVER_MS;
    if (core_run_final(run))
        return deadline_ms;
    int64_t time_ms = run->limits.time_ms;
    if (time_ms > 0 && !core_time_stands(run))
        deadline_ms = earlier(core->now_ms + time_ms - core_run_elapsed_ms(core, run),
                              core_time_mark_ms(run));
    if (core->parked_count == 0 || run->state == HD_RUN_PAUSED)
        return deadline_ms;
    for (uint32_t i = 0; i < run->queue_count; i++) {
        const struct queued *queued = &run->queue[i];
        int64_t holder_ms = queued->since_ms + run->experiment->holder_wait_ms;
        if (queued->not_before_ms > core->now_ms)
            deadline_ms = earlier(deadline_ms, queued->not_before_ms);
        else if (holder_ms > core->now_ms)
            deadline_ms = earlier(deadline_ms, holder_ms);
        if (queued->avoid != HD_NONE && queued->not_before_ms <= core->now_ms)
            deadline_ms = earlier(deadline_ms, core->now_ms + HD_LOOK_AGAIN_MS);
    }
    return deadline_ms;
}

int64_t hd_core_deadline_ms(const struct hd_core *core)
{
    if (core->again || !core->started)
        return core->now_ms;
    int64_t deadline_ms = earlier(core->expiry_ms, core->parked_expiry_ms);
    for (uint32_t i = 0; i < core->run_count; i++)
        deadline_ms = earlier(deadline_ms, run_deadline_ms(core, core->runs[i]));
    return deadline_ms;
}

uint32_t hd_core_run_count(const struct hd_core *core)
{
    return core->run_count;
}

bool hd_core_find_run(const struct hd_core *core, const char *run_id, uint32_t *ret_run)
{
    for (uint32_t i = 0; i < core->run_count; i++) {
        if (strcmp(core->runs[i]->run_id, run_id) == 0) {
            *ret_run = i;
            return true;
        }
    }
    return false;
}

bool hd_core_is_over(const struct hd_core *core, uint32_t run)
{
    return core_run_final(core->runs[run]);
}

void hd_core_view_run(const struct hd_core *core, uint32_t run_number, struct hd_run_view *ret_view)
{
    hd_assert(run_number < core->run_count);
    const struct run *run = core->runs[run_number];
    *ret_view = (struct hd_run_view){
        .run_id = run->run_id,
        .run_uid = run->run_uid,
        .seed = run->seed,
        .state = run->state,
        .reason = run->reason,
        .experiment = run->experiment,
        .experiment_json = hd_buf_text(&run->json),
        .target_json = hd_buf_text(run->image[0] != '\0' ? &run->image_json : &run->json),
        .known = run->known,
        .image_id = run->image_id,
        .config_count = run->config_count,
        .job_count = run->job_count,
        .jobs_queued = run->queue_count,
        .jobs_running = run->live_count,
        .jobs_ok = run->jobs_ok,
        .jobs_failed = run->jobs_failed,
        .budget_spent = run->budget_spent,
        .has_incumbent = run->has_incumbent,
        .incumbent_config = run->incumbent_config,
        .incumbent_job = run->incumbent_job,
        .incumbent_budget = run->incumbent_budget,
        .incumbent_loss = run->incumbent_loss,
        .incumbent_results = run->incumbent_results,
        .incumbent_error = run->incumbent_error,
        .incumbent_feasible = !(run->incumbent_score.violation > 0),
    };
}

void hd_core_view_job(const struct hd_core *core, uint32_t run_number, uint32_t job_number,
                      struct hd_job_view *ret_view)
{
    hd_assert(run_number < core->run_count && job_number < core->runs[run_number]->job_count);
    const struct run *run = core->runs[run_number];
    const struct job *job = &run->jobs[job_number];
    *ret_view = (struct hd_job_view){
        .config = job->config,
        .config_id = run->configs[job->config].id,
        .iteration = job->iteration,
        .rung = job->rung,
        .budget = job->budget,
        .budget_previous = job->budget_previous,
        .repeat = job->repeat,
        .again = job->again,
        .seed = core_config_seed(run, job->config, job->repeat),
        .attempt = job->attempt,
        .retries_used = (uint32_t)job->retries_infra + job->retries_failed,
        .queued = job->state == JOB_QUEUED,
        .running = job->state == JOB_RUNNING,
        .closed = job->state == JOB_CLOSED,
        .outcome = (enum hd_outcome)job->outcome,
        .loss = job->loss,
        .stopping = job->stopping,
        .budget_reached = job->budget_reached,
        .worker = "",
    };
    if (job->state == JOB_RUNNING) {
        const struct live *live = &run->live[job->place];
        ret_view->worker = core->workers[live->worker].id;
        ret_view->lease_until_ms = live->until_ms;
    }
}

bool hd_core_estimate(const struct hd_core *core, uint32_t run_number, uint32_t config,
                      struct hd_race_estimate *ret_estimate)
{
    hd_assert(run_number < core->run_count);
    const struct run *run = core->runs[run_number];
    return run->race != NULL && hd_race_find(run->race, config, ret_estimate);
}

const double *hd_core_config_values(const struct hd_core *core, uint32_t run_number,
                                    uint32_t config)
{
    hd_assert(run_number < core->run_count && config < core->runs[run_number]->config_count);
    const struct run *run = core->runs[run_number];
    return run->values + (size_t)config * run->param_count;
}

bool hd_core_idle(const struct hd_core *core)
{
    for (uint32_t i = 0; i < core->run_count; i++) {
        const struct run *run = core->runs[i];
        if (run->live_count > 0 || (!core_run_final(run) && run->state != HD_RUN_PAUSED))
            return false;
    }
    return true;
}

uint64_t hd_core_placement_looks(const struct hd_core *core)
{
    return core->looks;
}

uint64_t hd_core_last_seq(const struct hd_core *core)
{
    return core->last_seq;
}

bool hd_core_may_serve(const struct hd_core *core, uint32_t run_number, const char *id)
{
    hd_assert(run_number < core->run_count);
    const struct worker *worker = core_find_worker(core, id);
    return worker == NULL ||
           (worker->state == HD_WORKER_ACTIVE &&
            !core_is_excluded(core->runs[run_number], (uint32_t)(worker - core->workers)));
}

uint32_t hd_core_worker_count(const struct hd_core *core)
{
    return core->worker_count;
}

bool hd_core_view_worker(const struct hd_core *core, uint32_t index,
                         struct hd_worker_view *ret_view)
{
    hd_assert(index < core->worker_count);
    const struct worker *worker = &core->workers[index];
    if (!worker->known)
        return false;
    *ret_view = (struct hd_worker_view){
        .id = worker->id,
        .host = worker->host,
        .root = core_root_text(core, worker->root),
        .incarnation = worker->incarnation,
        .slots = worker->slots,
        .running = worker->running,
        .gpus = worker->gpus,
        .gpus_used = worker->gpus_used,
        .reachable = worker->reachable,
        .draining = worker->draining,
        .parked = worker->parked.active,
        .state = worker->state,
        .reason = worker->reason,
        .last_seen_ms = worker->last_seen_ms,
    };
    return true;
}

static bool milestone_of(const struct hd_core *core, uint64_t seq, double *ret_budget)
{
    for (size_t i = 0; i < core->milestone_count; i++) {
        if (core->milestones[i].seq == seq) {
            *ret_budget = core->milestones[i].budget;
            return true;
        }
    }
    return false;
}

/* Of a job that was to be stopped the report that decided so is the lesson, whatever came after it:
 * what was said last depends on how fast the stop travelled. */
static bool lesson_of_end(const struct run *run, const struct job *job,
                          const struct hd_fact_attempt_ended *ended, struct hd_lesson *ret_lesson)
{
    *ret_lesson = (struct hd_lesson){.config = job->config, .budget = job->budget, .loss = NAN};
    ret_lesson->score.losses[0] = NAN;
    if (job->stopping) {
        if (isfinite(job->budget_reached))
            ret_lesson->budget = job->budget_reached;
        return !job->taught;
    }
    struct hd_race_estimate estimate;
    bool raced = run->race != NULL && job->budget >= run->experiment->iter_gen.budget_max &&
                 hd_race_find(run->race, job->config, &estimate);
    if (ended->outcome == HD_OUTCOME_OK) {
        ret_lesson->loss = raced ? estimate.loss : ended->loss;
        ret_lesson->score = raced ? hd_score_of(estimate.loss) : core_score(run, ended);
    }
    return ended->outcome == HD_OUTCOME_OK || job->repeat == 0;
}

bool hd_core_lesson(const struct hd_core *core, const struct hd_fact *fact,
                    struct hd_lesson *ret_lesson)
{
    double budget;
    if (fact->kind == HD_FACT_ATTEMPT_ENDED && !fact->as.attempt_ended.requeued) {
        const struct run *run = core->runs[fact->run];
        const struct job *job = &run->jobs[fact->as.attempt_ended.job];
        return lesson_of_end(run, job, &fact->as.attempt_ended, ret_lesson);
    }
    if (fact->kind == HD_FACT_CURVE_POINT && milestone_of(core, fact->seq, &budget)) {
        const struct job *job = &core->runs[fact->run]->jobs[fact->as.curve_point.job];
        double loss = fact->as.curve_point.loss;
        *ret_lesson = (struct hd_lesson){job->config, budget, loss, hd_score_of(loss)};
        return true;
    }
    return false;
}
