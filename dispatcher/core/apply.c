/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The fold over facts: the only code that changes durable state, live and at restore alike.
 * core_apply_fact() trusts the fact (the step made it, or hd_core_apply() has checked it) and
 * cannot fail: memory was reserved before.
 */
#include "core_internal.h"

#include <math.h>
#include <string.h>

static void queue_job(struct hd_core *core, struct run *run, uint32_t job)
{
    hd_assert(run->queue_count < run->queue_capacity);
    run->jobs[job].state = JOB_QUEUED;
    run->jobs[job].place = run->queue_count;
    /* At restore there is no clock yet: the first event sets it. */
    int64_t now_ms = core->update != NULL ? core->now_ms : HD_NEVER_MS;
    run->queue[run->queue_count++] =
        (struct queued){.job = job, .avoid = HD_NONE, .since_ms = now_ms};
    run->placement.fresh = false;
}

static void unqueue_job(struct run *run, uint32_t job)
{
    uint32_t place = run->jobs[job].place;
    run->queue[place] = run->queue[--run->queue_count];
    run->jobs[run->queue[place].job].place = place;
    run->placement.fresh = false;
}

static void remove_live(struct hd_core *core, struct run *run, uint32_t job)
{
    uint32_t place = run->jobs[job].place;
    core->workers[run->live[place].worker].running--;
    core->workers[run->live[place].worker].gpus_used -= core_gpus_needed(run);
    run->live[place] = run->live[--run->live_count];
    run->jobs[run->live[place].job].place = place;
}

static void apply_run_created(struct hd_core *core, const struct hd_fact *fact)
{
    struct run *run = core->pending_run;
    hd_assert(run != NULL && core->run_count < core->run_capacity);
    core->pending_run = NULL;
    run->created_wall_ms = run->last_wall_ms = fact->wall_ms;
    core->runs[core->run_count++] = run;
}

static void apply_config_proposed(struct run *run, const struct hd_fact_config_proposed *fact)
{
    hd_assert(run->config_count < run->config_capacity);
    struct config *config = &run->configs[run->config_count];
    memset(config, 0, sizeof(*config));
    config->id = fact->id;
    config->root = config->owner = HD_NONE;
    config->state_budget = NAN;
    if (run->param_count > 0)
        memcpy(run->values + (size_t)run->config_count * run->param_count, fact->values,
               run->param_count * sizeof(double));
    run->config_count++;
}

static void apply_job_queued(struct hd_core *core, struct run *run,
                             const struct hd_fact_job_queued *fact)
{
    bool detached = false;
    if (fact->again > 0) {
        struct job *failed = &run->jobs[fact->again - 1];
        failed->followed = true;
        run->configs[failed->config].jobs_again--;
        detached = failed->detached ||
                   !hd_iter_gen_reopen(run->gen, failed->iteration, failed->rung, failed->config);
    } else if (fact->repeat == 0) {
        struct hd_slot slot;
        hd_iter_gen_next(run->gen, true, &slot);
        hd_iter_gen_queued(run->gen, &slot, fact->config);
    }
    if (run->race != NULL)
        hd_race_queued(run->race, fact->config, fact->repeat, fact->budget);
    hd_assert(run->job_count < run->job_capacity);
    run->jobs[run->job_count] = (struct job){.config = fact->config,
                                             .iteration = fact->iteration,
                                             .rung = fact->rung,
                                             .budget = fact->budget,
                                             .budget_previous = fact->budget_previous,
                                             .repeat = fact->repeat,
                                             .again = fact->again,
                                             .worker = HD_NONE,
                                             .detached = detached,
                                             .loss = NAN,
                                             .curve_loss = NAN,
                                             .budget_reached = NAN,
                                             .step_reached = NAN};
    run->budget_open += fact->budget;
    run->configs[fact->config].jobs_open++;
    queue_job(core, run, run->job_count++);
    if (run->limits.configs > 0 && run->config_count >= run->limits.configs)
        hd_iter_gen_close_new(run->gen);
}

/* Another history that grants the same number differs in one of these; never 0. */
static uint32_t stamp_of(const struct hd_fact *fact)
{
    const struct hd_fact_attempt_leased *leased = &fact->as.attempt_leased;
    uint64_t hash = hd_hash_u64(HD_HASH_INIT, fact->seq);
    hash = hd_hash_u64(hash, (uint64_t)fact->wall_ms);
    hash = hd_hash_text(hash, leased->worker);
    hash = hd_hash_u64(hash, leased->incarnation);
    hash = hd_hash_u64(hash, leased->sequence);
    uint32_t stamp = (uint32_t)(hash >> 32 ^ hash);
    return stamp != 0 ? stamp : 1;
}

static void apply_attempt_leased(struct hd_core *core, struct run *run, const struct hd_fact *whole)
{
    const struct hd_fact_attempt_leased *fact = &whole->as.attempt_leased;
    struct job *job = &run->jobs[fact->job];
    unqueue_job(run, fact->job);
    hd_assert(run->live_count < run->live_capacity);
    uint32_t worker_index = core_add_worker(core, fact->worker);
    struct worker *worker = &core->workers[worker_index];
    const struct config *config = &run->configs[job->config];
    struct live *live = &run->live[run->live_count];
    *live = (struct live){.job = fact->job,
                          .worker = worker_index,
                          .incarnation = fact->incarnation,
                          .lease_sequence = fact->sequence,
                          .budget_previous = fact->budget_previous,
                          .root = HD_NONE,
                          .owner = HD_NONE,
                          .leased_wall_ms = whole->wall_ms,
                          .until_ms = HD_NEVER_MS};
    if (fact->directory[0] != '\0') {
        live->root = core_add_root(core, fact->root);
        live->owner = config->owner;
        (void)hd_copy_text(live->directory, sizeof(live->directory), fact->directory);
    }
    job->state = JOB_RUNNING;
    job->attempt = fact->attempt;
    job->stamp = stamp_of(whole);
    job->worker = worker_index;
    job->place = run->live_count++;
    worker->running++;
    worker->gpus_used += core_gpus_needed(run);
    worker->lease_incarnation = fact->incarnation;
    worker->lease_sequence = fact->sequence;
    worker->lease_run = whole->run;
    worker->lease_job = fact->job;
    worker->lease_attempt = fact->attempt;
}

static void note_report(struct hd_core *core, const char *id, uint64_t incarnation,
                        uint64_t sequence)
{
    struct worker *worker = &core->workers[core_add_worker(core, id)];
    worker->report_incarnation = incarnation;
    worker->report_sequence = sequence;
}

struct hd_score core_score(const struct run *run, const struct hd_fact_attempt_ended *ended)
{
    struct hd_score score = hd_score_of(ended->loss);
    if (ended->measure_count == 0)
        return score;
    for (size_t i = 0; i < run->experiment->objective_count; i++)
        score.losses[i] = ended->measures[i];
    score.violation = ended->violation;
    return score;
}

/* With several objectives: it is feasible and as good as every goal that is given. */
static bool reaches_goals(const struct run *run, const struct hd_score *score)
{
    const struct hd_experiment *experiment = run->experiment;
    bool any = false;
    for (size_t i = 0; i < experiment->objective_count; i++) {
        const struct hd_objective *objective = hd_experiment_objective(experiment, i);
        double goal = objective->maximize ? -objective->goal : objective->goal;
        if (objective->has_goal && score->losses[i] > goal)
            return false;
        any = any || objective->has_goal;
    }
    return any && !(score->violation > 0);
}

static void count_success(struct run *run, const struct job *job, uint32_t job_number,
                          const struct hd_score *score)
{
    run->jobs_ok++;
    run->had_success = true;
    run->failure_streak = 0;
    if (job->budget >= run->experiment->iter_gen.budget_max && !job->stopping)
        run->full_evaluations++;
    uint32_t objectives = run->experiment->objective_count;
    bool highest = !run->has_incumbent || job->budget >= run->incumbent_budget;
    if (highest && objectives > 1 && reaches_goals(run, score))
        run->goal_reached = true;
    if (run->race != NULL && job->budget >= run->experiment->iter_gen.budget_max)
        return; /* judge_race() names the incumbent */
    bool better = !run->has_incumbent || job->budget > run->incumbent_budget ||
                  (highest && hd_score_compare(score, &run->incumbent_score, 1) < 0);
    if (!better) {
        run->unimproved += job->budget >= run->incumbent_budget ? 1 : 0;
        return;
    }
    run->unimproved = 0;
    run->has_incumbent = true;
    run->incumbent_config = job->config;
    run->incumbent_job = job_number;
    run->incumbent_budget = job->budget;
    run->incumbent_loss = job->loss;
    run->incumbent_results = 1;
    run->incumbent_error = NAN;
    run->incumbent_score = *score;
}

/* A target that diverges or is stopped works; the others may mean that nothing ever will. */
static bool counts_as_failure(enum hd_outcome outcome)
{
    switch (outcome) {
    case HD_OUTCOME_FAILED:
    case HD_OUTCOME_NO_RESULT:
    case HD_OUTCOME_TIMEOUT:
    case HD_OUTCOME_OOM:
    case HD_OUTCOME_CONFIG_ERROR:
    case HD_OUTCOME_INFRA:
        return true;
    case HD_OUTCOME_OK:
    case HD_OUTCOME_DIVERGED:
    case HD_OUTCOME_CANCELLED:
    case HD_OUTCOME_STOPPED:
    case HD_OUTCOME_PREEMPTED:
    case HD_OUTCOME_COUNT:
        return false;
    }
    return false;
}

/* A noisy target: any result at the largest budget may change what is believed of all of them. */
static void judge_race(struct run *run, const struct job *job, uint32_t job_number, bool ok)
{
    if (run->race == NULL || job->budget < run->experiment->iter_gen.budget_max)
        return;
    struct hd_race_estimate best;
    enum hd_race_end end = hd_outcome_race_end((enum hd_outcome)job->outcome);
    if (!ok && end == HD_RACE_END_OK)
        end = HD_RACE_END_FAILED;
    hd_race_ended(run->race, job->config, job_number, job->repeat > 0, end, job->loss);
    if (!hd_race_best(run->race, &best))
        return;
    bool changed = !run->has_incumbent || best.config != run->incumbent_config ||
                   run->incumbent_budget < job->budget;
    if (changed)
        run->unimproved = 0;
    else if (ok && job->repeat == 0)
        run->unimproved++;
    run->has_incumbent = true;
    run->incumbent_config = best.config;
    run->incumbent_job = best.job;
    run->incumbent_budget = job->budget;
    run->incumbent_loss = best.loss;
    run->incumbent_results = best.results;
    run->incumbent_error = best.error;
    run->incumbent_score = hd_score_of(best.loss);
}

/* What a stopped job had come to by its own word. */
static double budget_of_end(const struct job *job, enum hd_outcome outcome)
{
    bool early = outcome == HD_OUTCOME_STOPPED && job->step_reached < job->budget;
    return early ? job->step_reached : job->budget;
}

/* A decision to stop stands, also for a target that came to its end before it heard of it: the
 * generator ranks neither, so that what comes next does not depend on how fast a stop travels. */
static void close_job(struct run *run, uint32_t job_number, const struct hd_fact *fact)
{
    const struct hd_fact_attempt_ended *ended = &fact->as.attempt_ended;
    struct job *job = &run->jobs[job_number];
    struct hd_score score = core_score(run, ended);
    bool ok = ended->outcome == HD_OUTCOME_OK &&
              hd_score_is_finite(&score, run->experiment->objective_count);
    job->state = JOB_CLOSED;
    job->outcome = (uint8_t)ended->outcome;
    job->loss = ended->loss;
    run->cut = fact->seq;
    run->configs[job->config].jobs_open--;
    run->budget_open -= job->budget;
    if (run->live_count == 0 && run->queue_count == 0)
        run->budget_open = 0; /* nothing of what rounding left */
    if (ended->attempt > 0)
        run->budget_spent += budget_of_end(job, ended->outcome);
    if (ended->outcome != HD_OUTCOME_OK && ended->outcome != HD_OUTCOME_STOPPED && !job->stopping &&
        job->repeat == 0)
        run->configs[job->config].jobs_again++;
    if (ok) {
        core_keep_result(run, job->config, job->budget, &score);
        core_front_result(run, job_number, job->budget, &score);
    }
    if (ok) {
        count_success(run, job, job_number, &score);
    } else if (run->has_incumbent && job->budget >= run->incumbent_budget &&
               ended->outcome != HD_OUTCOME_CANCELLED && job->repeat == 0) {
        run->unimproved++;
    }
    judge_race(run, job, job_number, ok);
    if (!ok && ended->outcome != HD_OUTCOME_STOPPED) {
        run->jobs_failed++;
        if (counts_as_failure(ended->outcome))
            run->failure_streak++;
    }
    if (job->repeat == 0 && !job->detached)
        hd_iter_gen_ended_score(run->gen, job->iteration, job->rung, job->config,
                                ok && !job->stopping, &score);
}

/* The end is the worker's fault, as far as this run goes. */
static bool excludes_worker(const struct run *run, const struct hd_fact_attempt_ended *ended)
{
    const struct hd_experiment *experiment = run->experiment;
    if (!ended->by_report || ended->worker[0] == '\0')
        return false;
    bool ruled = ended->rule > 0 && ended->rule <= experiment->log_rule_count &&
                 experiment->log_rules[ended->rule - 1].action == HD_LOG_EXCLUDE_WORKER;
    return ruled || ended->outcome == HD_OUTCOME_CONFIG_ERROR;
}

static void exclude(struct hd_core *core, struct run *run, const char *id)
{
    uint32_t worker = core_add_worker(core, id);
    if (core_is_excluded(run, worker))
        return;
    hd_assert(run->excluded_count < run->excluded_capacity);
    run->excluded[run->excluded_count++] = worker;
}

static void readmit(struct run *run, uint32_t worker)
{
    for (uint32_t i = 0; i < run->excluded_count; i++)
        if (run->excluded[i] == worker)
            run->excluded[i--] = run->excluded[--run->excluded_count];
}

static void apply_attempt_ended(struct hd_core *core, struct run *run, const struct hd_fact *fact)
{
    const struct hd_fact_attempt_ended *ended = &fact->as.attempt_ended;
    struct job *job = &run->jobs[ended->job];
    double from_budget = NAN;
    bool old_image = false;
    if (job->state == JOB_RUNNING) {
        from_budget = run->live[job->place].budget_previous;
        old_image = run->live[job->place].old_image;
        remove_live(core, run, ended->job);
    }
    if (job->state == JOB_QUEUED)
        unqueue_job(run, ended->job);
    if (ended->by_report)
        note_report(core, ended->worker, ended->incarnation, ended->sequence);
    job->last_by_report = ended->by_report;
    core_learn_duration(run, job, from_budget, ended);
    if (ended->directory[0] != '\0' && job->repeat == 0) {
        struct config *config = &run->configs[job->config];
        config->root = core_add_root(core, ended->root);
        config->owner = core_add_worker(core, ended->worker);
        (void)hd_copy_text(config->directory, sizeof(config->directory), ended->directory);
        config->state_job = ended->job;
        config->state_attempt = ended->attempt;
        /* Only an ok attempt has reached its budget; another left what it began with, or less. */
        config->state_budget = ended->outcome == HD_OUTCOME_OK ? job->budget : from_budget;
    }
    if (run->image_id[0] == '\0' && ended->image_id != NULL && !old_image)
        (void)hd_copy_text(run->image_id, sizeof(run->image_id), ended->image_id);
    bool excludes = excludes_worker(run, ended);
    if (excludes)
        exclude(core, run, ended->worker);
    if (ended->charged && ended->outcome == HD_OUTCOME_FAILED && !excludes)
        job->retries_failed++;
    else if (ended->charged)
        job->retries_infra++;
    if (!ended->requeued) {
        close_job(run, ended->job, fact);
        return;
    }
    queue_job(core, run, ended->job);
    if (ended->charged && ended->outcome == HD_OUTCOME_INFRA && ended->worker[0] != '\0')
        run->queue[job->place].avoid = core_add_worker(core, ended->worker);
}

/* A point that arrived for a job in progress: the generator may see a milestone in it, and an end.
 */
static void apply_curve_point(struct hd_core *core, struct run *run, const struct hd_fact *fact)
{
    const struct hd_fact_curve_point *point = &fact->as.curve_point;
    struct job *job = &run->jobs[point->job];
    if (job->repeat > 0 || job->detached)
        return; /* its config is ranked already: nothing stops it early */
    if (!isfinite(point->step))
        return; /* a step that is no number places the loss nowhere */
    struct hd_report_answer answer;
    hd_iter_gen_report(run->gen, job->iteration, job->rung, job->config, point->step, point->loss,
                       &answer);
    bool stopping = answer.decision == HD_DECISION_STOP;
    if (stopping && !job->stopping)
        job->taught = answer.milestone && isfinite(point->loss);
    job->stopping = stopping;
    job->budget_reached = answer.budget;
    job->step_reached = point->step;
    if (isfinite(point->loss))
        job->curve_loss = point->loss;
    if (!answer.milestone || !isfinite(point->loss))
        return;
    run->cut = fact->seq;
    hd_assert(core->milestone_count < HD_STEP_FACTS_MAX);
    core->milestones[core->milestone_count++] = (struct milestone){fact->seq, answer.budget};
}

/* The experiment with it was made before the step, or before this fact was restored. */
static void apply_image(struct hd_core *core, struct run *run, const char *image)
{
    struct hd_buf made = core->pending_json;
    core->pending_json = run->image_json;
    run->image_json = made;
    (void)hd_copy_text(run->image, sizeof(run->image), image);
    run->image_id[0] = '\0';
    for (uint32_t i = 0; i < run->live_count; i++)
        run->live[i].old_image = true;
}

static void apply_command(struct hd_core *core, struct run *run,
                          const struct hd_fact_command_given *fact)
{
    switch (fact->op) {
    case HD_COMMAND_CANCEL_RUN:
        run->cancelling = true;
        break;
    case HD_COMMAND_RESUME_RUN: /* what paused it is forgiven */
        run->failure_streak = 0;
        run->unimproved = 0;
        run->excluded_count = 0;
        break;
    case HD_COMMAND_REQUEUE_JOB: /* likewise; the job itself is a fact of its own */
        run->failure_streak = 0;
        run->excluded_count = 0;
        break;
    case HD_COMMAND_SET_IMAGE:
        apply_image(core, run, fact->image);
        break;
    case HD_COMMAND_SET_LIMIT:
        core_limits_set(run, fact->limit, fact->value);
        if (fact->limit == HD_LIMIT_NO_IMPROVEMENT)
            run->unimproved = 0;
        core->reopened = run->set_since_end = true;
        break;
    case HD_COMMAND_PAUSE_RUN:
    case HD_COMMAND_CANCEL_JOB:
    case HD_COMMAND_PAUSE_WORKER:
    case HD_COMMAND_RESUME_WORKER:
    case HD_COMMAND_DRAIN_WORKER:
    case HD_COMMAND_SHUTDOWN_WORKER:
    case HD_COMMAND_OP_COUNT:
        break;
    }
}

static void apply_run_state(struct run *run, const struct hd_fact_run_state *fact)
{
    run->state = fact->state;
    if (fact->state == HD_RUN_FINISHED)
        run->set_since_end = false;
    (void)hd_copy_text(run->reason, sizeof(run->reason), fact->reason);
    if (fact->state == HD_RUN_CLOSING) {
        hd_iter_gen_close_new(run->gen);
        run->exhausted = run->exhausted_by_fact = true;
    }
}

static void apply_worker_state(struct hd_core *core, const struct hd_fact_worker_state *fact)
{
    uint32_t index = core_add_worker(core, fact->worker);
    struct worker *worker = &core->workers[index];
    bool goes = core_is_going(fact->state), went = core_is_going(worker->state);
    if (goes && !went) {
        worker->before = worker->state;
        memcpy(worker->before_reason, worker->reason, sizeof(worker->before_reason));
    }
    worker->state = fact->state;
    (void)hd_copy_text(worker->reason, sizeof(worker->reason), fact->reason);
    /* One that is back from where it was sent is the same as before; a person forgives more. */
    for (uint32_t i = 0; i < core->run_count && fact->state == HD_WORKER_ACTIVE && !went; i++)
        readmit(core->runs[i], index);
}

static void count_time(struct hd_core *core, struct run *run, int64_t wall_ms)
{
    int64_t gap_ms = wall_ms - run->last_wall_ms;
    if (gap_ms > 0 && !core_time_stands(run))
        run->elapsed_ms += gap_ms < HD_TIME_GAP_MS_MAX ? gap_ms : HD_TIME_GAP_MS_MAX;
    run->last_wall_ms = wall_ms;
    if (core->update != NULL)
        run->elapsed_mark_ms = core->now_ms;
}

void core_apply_fact(struct hd_core *core, const struct hd_fact *fact)
{
    core->last_seq = fact->seq;
    if (fact->kind == HD_FACT_RUN_CREATED) {
        apply_run_created(core, fact);
        return;
    }
    if (fact->kind == HD_FACT_WORKER_STATE) {
        apply_worker_state(core, &fact->as.worker_state);
        return;
    }
    struct run *run = core->runs[fact->run];
    count_time(core, run, fact->wall_ms);
    switch (fact->kind) {
    case HD_FACT_CONFIG_PROPOSED:
        apply_config_proposed(run, &fact->as.config_proposed);
        break;
    case HD_FACT_JOB_QUEUED:
        apply_job_queued(core, run, &fact->as.job_queued);
        break;
    case HD_FACT_ATTEMPT_LEASED:
        apply_attempt_leased(core, run, fact);
        break;
    case HD_FACT_ATTEMPT_ENDED:
        apply_attempt_ended(core, run, fact);
        break;
    case HD_FACT_REPORT_REFUSED:
        note_report(core, fact->as.report_refused.worker, fact->as.report_refused.incarnation,
                    fact->as.report_refused.sequence);
        break;
    case HD_FACT_COMMAND_GIVEN:
        apply_command(core, run, &fact->as.command_given);
        break;
    case HD_FACT_RUN_STATE:
        apply_run_state(run, &fact->as.run_state);
        break;
    case HD_FACT_CURVE_POINT:
        apply_curve_point(core, run, fact);
        break;
    case HD_FACT_RUN_CREATED:
    case HD_FACT_WORKER_STATE:
    case HD_FACT_KIND_COUNT:
        break;
    }
}
