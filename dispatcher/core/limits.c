/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The limits of a run: the experiment's at first, then as people change them, and what they mean:
 * no more jobs, or an end at once. Changed by facts only.
 */
#include "core_internal.h"

#include <math.h>

void core_limits_init(struct run *run)
{
    const struct hd_experiment *experiment = run->experiment;
    const struct hd_stop *stop = &experiment->stop;
    const struct hd_objective *objective = &experiment->objective;
    run->limits = (struct limits){
        .configs = stop->configs,
        .jobs = stop->jobs,
        .full_evaluations = stop->full_evaluations,
        .iterations = experiment->iter_gen.iterations_max,
        .failures = stop->failures,
        .no_improvement = stop->no_improvement,
        .parallel = experiment->parallel,
        .time_ms = stop->time_ms,
        .budget = stop->budget,
        .has_goal = objective->has_goal,
        .goal = objective->maximize ? -objective->goal : objective->goal,
        .priority = experiment->priority,
    };
}

/* Whole numbers that fit their field; 0 takes the limit away. */
bool core_limits_check(enum hd_limit limit, double value)
{
    bool whole = isfinite(value) && value == floor(value);
    switch (limit) {
    case HD_LIMIT_GOAL:
        return !isinf(value);
    case HD_LIMIT_BUDGET:
        return isfinite(value) && value >= 0;
    case HD_LIMIT_TIME:
        return whole && value >= 0 && value <= (double)HD_DURATION_MS_MAX;
    case HD_LIMIT_PRIORITY:
        return whole && fabs(value) <= INT32_MAX;
    case HD_LIMIT_CONFIGS:
    case HD_LIMIT_JOBS:
    case HD_LIMIT_FULL_EVALUATIONS:
    case HD_LIMIT_ITERATIONS:
    case HD_LIMIT_FAILURES:
    case HD_LIMIT_NO_IMPROVEMENT:
    case HD_LIMIT_PARALLEL:
        return whole && value >= 0 && value <= HD_COUNT_LIMIT_MAX;
    case HD_LIMIT_COUNT:
        break;
    }
    return false;
}

static void set_generator(struct run *run, enum hd_limit limit)
{
    struct limits *limits = &run->limits;
    if (limit == HD_LIMIT_ITERATIONS)
        hd_iter_gen_set_iterations(run->gen, limits->iterations);
    if (limit != HD_LIMIT_CONFIGS || run->exhausted_by_fact)
        return;
    if (limits->configs > 0 && run->config_count >= limits->configs)
        hd_iter_gen_close_new(run->gen);
    else
        hd_iter_gen_open_new(run->gen);
}

void core_limits_set(struct run *run, enum hd_limit limit, double value)
{
    struct limits *limits = &run->limits;
    uint32_t count = value >= 0 && value <= HD_COUNT_LIMIT_MAX ? (uint32_t)value : 0;
    switch (limit) {
    case HD_LIMIT_CONFIGS:
        limits->configs = count;
        break;
    case HD_LIMIT_JOBS:
        limits->jobs = count;
        break;
    case HD_LIMIT_FULL_EVALUATIONS:
        limits->full_evaluations = count;
        break;
    case HD_LIMIT_ITERATIONS:
        limits->iterations = count;
        break;
    case HD_LIMIT_TIME:
        limits->time_ms = (int64_t)value;
        break;
    case HD_LIMIT_FAILURES:
        limits->failures = count;
        break;
    case HD_LIMIT_BUDGET:
        limits->budget = value;
        break;
    case HD_LIMIT_NO_IMPROVEMENT:
        limits->no_improvement = count;
        break;
    case HD_LIMIT_GOAL:
        limits->has_goal = !isnan(value);
        limits->goal = run->experiment->objective.maximize ? -value : value;
        break;
    case HD_LIMIT_PARALLEL:
        limits->parallel = count;
        break;
    case HD_LIMIT_PRIORITY:
        limits->priority = (int32_t)value;
        break;
    case HD_LIMIT_COUNT:
        break;
    }
    set_generator(run, limit);
}

/* ---- time ------------------------------------------------------------------------------------ */

bool core_time_stands(const struct run *run)
{
    return run->state == HD_RUN_PAUSED || core_run_final(run);
}

int64_t core_run_elapsed_ms(const struct hd_core *core, const struct run *run)
{
    if (run->elapsed_mark_ms == HD_NEVER_MS || core_time_stands(run))
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
    return run->elapsed_mark_ms == HD_NEVER_MS || core_time_stands(run)
               ? HD_NEVER_MS
               : run->elapsed_mark_ms + HD_TIME_GAP_MS_MAX / 2;
}

/* ---- what they mean -------------------------------------------------------------------------- */

bool core_limit_reached(const struct run *run)
{
    const struct limits *limits = &run->limits;
    return (limits->jobs > 0 && run->job_count >= limits->jobs) ||
           (limits->budget > 0 && run->budget_spent + run->budget_open >= limits->budget);
}

static bool goal_reached(const struct run *run)
{
    return run->limits.has_goal && run->has_incumbent && !(run->incumbent_score.violation > 0) &&
           run->incumbent_loss <= run->limits.goal;
}

/* Reasons that end a run at once, whatever still runs; NULL: none. */
const char *core_end_now(struct hd_core *core, const struct run *run)
{
    const struct limits *limits = &run->limits;
    if (run->cancelling)
        return "cancelled by command";
    if (run->goal_reached)
        return "goals of all objectives reached";
    if (run->experiment->objective_count == 1 && goal_reached(run)) {
        double sign = run->experiment->objective.maximize ? -1.0 : 1.0;
        return core_text(core, "goal reached: %s %g", run->experiment->objective.name,
                         sign * run->incumbent_loss);
    }
    if (limits->full_evaluations > 0 && run->full_evaluations >= limits->full_evaluations)
        return core_text(core, "%u full evaluations done", run->full_evaluations);
    if (limits->failures > 0 && run->jobs_failed >= limits->failures)
        return core_text(core, "%u jobs failed, the limit of this run", run->jobs_failed);
    if (limits->no_improvement > 0 && run->unimproved >= limits->no_improvement)
        return core_text(core, "no improvement over the last %u jobs at budget %g", run->unimproved,
                         run->incumbent_budget);
    if (limits->time_ms > 0 && core_run_elapsed_ms(core, run) >= limits->time_ms)
        return "time limit reached";
    return NULL;
}

/* Nothing runs, waits or can come any more; NULL: not so. */
const char *core_drained(struct hd_core *core, const struct run *run)
{
    const struct limits *limits = &run->limits;
    if (run->live_count > 0 || run->queue_count > 0)
        return NULL;
    if (limits->jobs > 0 && run->job_count >= limits->jobs)
        return core_text(core, "%u jobs done, the limit of this run", run->job_count);
    if (core_limit_reached(run))
        return core_text(core, "a budget of %g spent, the limit of this run is %g",
                         run->budget_spent, limits->budget);
    struct hd_race_estimate estimate;
    uint32_t repeat;
    if (core_next_repeat(run, &estimate, &repeat))
        return NULL;
    struct hd_slot slot;
    hd_iter_gen_next(run->gen, true, &slot);
    if (slot.kind != HD_SLOT_DONE && !hd_iter_gen_finished(run->gen))
        return NULL;
    if (run->exhausted_by_fact)
        return "every config of the space has been tried";
    if (limits->configs > 0 && run->config_count >= limits->configs)
        return core_text(core, "%u configs done, the limit of this run", run->config_count);
    return "all iterations done";
}
