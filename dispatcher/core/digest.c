/* SPDX-License-Identifier: Apache-2.0 */
/* The digest over durable state, and the views for drivers and checkers. */
#include "core_internal.h"

#include <math.h>

/* Indices of workers and roots depend on the order in which this life met them: their names count.
 */
static uint64_t digest_place(const struct hd_core *core, uint64_t hash, uint32_t root,
                             uint32_t worker)
{
    hash = hd_hash_text(hash, core_root_text(core, root));
    return hd_hash_text(hash, worker == HD_NONE ? "" : core->workers[worker].id);
}

static uint64_t digest_configs(const struct hd_core *core, const struct run *run, uint64_t hash)
{
    for (uint32_t i = 0; i < run->config_count; i++) {
        const struct config *config = &run->configs[i];
        hash = hd_hash_u64(hash, config->id.iteration);
        hash = hd_hash_u64(hash, config->id.budget_index);
        hash = hd_hash_u64(hash, config->id.running_index);
        hash = digest_place(core, hash, config->root, config->owner);
        hash = hd_hash_text(hash, config->directory);
        hash = hd_hash_double(hash, config->state_budget);
    }
    for (size_t i = 0; i < (size_t)run->config_count * run->param_count; i++)
        hash = hd_hash_double(hash, run->values[i]);
    return hash;
}

static uint64_t digest_jobs(const struct hd_core *core, const struct run *run, uint64_t hash)
{
    for (uint32_t i = 0; i < run->job_count; i++) {
        const struct job *job = &run->jobs[i];
        hash = hd_hash_u64(hash, job->config);
        hash = hd_hash_u64(hash, job->iteration);
        hash = hd_hash_u64(hash, job->rung);
        hash = hd_hash_double(hash, job->budget);
        hash = hd_hash_double(hash, job->budget_previous);
        hash = hd_hash_u64(hash, job->repeat);
        hash = hd_hash_u64(hash, job->again);
        hash = hd_hash_u64(hash, job->detached);
        hash = hd_hash_u64(hash, job->followed);
        hash = hd_hash_u64(hash, job->attempt);
        hash = hd_hash_u64(hash, job->stamp);
        hash = hd_hash_u64(hash, job->retries_infra);
        hash = hd_hash_u64(hash, job->retries_failed);
        hash = hd_hash_u64(hash, job->state);
        hash = hd_hash_u64(hash, job->outcome);
        hash = hd_hash_u64(hash, job->last_by_report);
        hash = hd_hash_u64(hash, job->stopping);
        hash = hd_hash_u64(hash, job->taught);
        hash = hd_hash_double(hash, job->curve_loss);
        hash = hd_hash_double(hash, job->budget_reached);
        hash = hd_hash_double(hash, job->step_reached);
        hash = hd_hash_double(hash, job->loss);
    }
    for (uint32_t i = 0; i < run->live_count; i++) {
        const struct live *live = &run->live[i];
        hash = hd_hash_u64(hash, live->job);
        hash = digest_place(core, hash, live->root, live->worker);
        hash = hd_hash_u64(hash, live->incarnation);
        hash = hd_hash_u64(hash, live->old_image);
        hash = hd_hash_u64(hash, live->lease_sequence);
        hash = hd_hash_double(hash, live->budget_previous);
        hash = hd_hash_text(hash, live->directory);
    }
    for (uint32_t i = 0; i < run->queue_count; i++) {
        hash = hd_hash_u64(hash, run->queue[i].job);
        hash = digest_place(core, hash, HD_NONE, run->queue[i].avoid);
    }
    for (uint32_t i = 0; i < run->excluded_count; i++)
        hash = digest_place(core, hash, HD_NONE, run->excluded[i]);
    return hash;
}

static uint64_t digest_limits(const struct limits *limits, uint64_t hash)
{
    hash = hd_hash_u64(hash, limits->configs);
    hash = hd_hash_u64(hash, limits->jobs);
    hash = hd_hash_u64(hash, limits->full_evaluations);
    hash = hd_hash_u64(hash, limits->iterations);
    hash = hd_hash_u64(hash, limits->failures);
    hash = hd_hash_u64(hash, limits->no_improvement);
    hash = hd_hash_u64(hash, limits->parallel);
    hash = hd_hash_u64(hash, (uint64_t)limits->time_ms);
    hash = hd_hash_double(hash, limits->budget);
    hash = hd_hash_u64(hash, limits->has_goal);
    hash = hd_hash_double(hash, limits->has_goal ? limits->goal : 0);
    return hd_hash_u64(hash, (uint64_t)limits->priority);
}

static uint64_t digest_run(const struct hd_core *core, const struct run *run, uint64_t hash)
{
    hash = hd_hash_text(hash, run->run_id);
    hash = hd_hash_u64(hash, run->run_uid);
    hash = hd_hash_u64(hash, run->seed);
    hash = hd_hash_text(hash, hd_buf_text(&run->json));
    hash = hd_hash_text(hash, hd_buf_text(&run->known_json));
    hash = hd_hash_u64(hash, (uint64_t)run->state);
    hash = hd_hash_text(hash, run->reason);
    hash = hd_hash_u64(hash, run->cancelling);
    hash = hd_hash_u64(hash, run->exhausted_by_fact);
    hash = hd_hash_u64(hash, run->set_since_end);
    hash = hd_hash_u64(hash, run->unimproved);
    hash = hd_hash_double(hash, run->budget_open);
    hash = digest_limits(&run->limits, hash);
    hash = hd_hash_u64(hash, run->jobs_ok);
    hash = hd_hash_u64(hash, run->jobs_failed);
    hash = hd_hash_u64(hash, run->full_evaluations);
    hash = hd_hash_u64(hash, run->failure_streak);
    hash = hd_hash_u64(hash, run->had_success);
    hash = hd_hash_double(hash, run->budget_spent);
    hash = hd_hash_u64(hash, run->has_incumbent);
    hash = hd_hash_u64(hash, run->incumbent_config);
    hash = hd_hash_u64(hash, run->incumbent_job);
    hash = hd_hash_double(hash, run->incumbent_loss);
    for (size_t i = 0; i < run->experiment->objective_count; i++)
        hash = hd_hash_double(hash, run->incumbent_score.losses[i]);
    hash = hd_hash_double(hash, run->incumbent_score.violation);
    hash = hd_hash_u64(hash, run->goal_reached);
    hash = hd_hash_u64(hash, run->cut);
    hash = hd_hash_u64(hash, (uint64_t)run->elapsed_ms);
    hash = hd_hash_text(hash, run->image_id);
    hash = hd_hash_text(hash, run->image);
    hash = hd_hash_u64(hash, hd_iter_gen_digest(run->gen));
    if (run->race != NULL)
        hash = hd_hash_u64(hash, hd_race_digest(run->race));
    for (uint32_t i = 0; i < run->duration_count; i++) {
        const struct duration *duration = &run->durations[i];
        hash = hd_hash_double(hash, duration->work);
        for (uint32_t k = 0; k < duration->count; k++)
            hash = hd_hash_u64(hash, (uint64_t)duration->kept_ms[k]);
    }
    return digest_jobs(core, run, digest_configs(core, run, hash));
}

uint64_t hd_core_digest(const struct hd_core *core)
{
    uint64_t hash = hd_hash_u64(HD_HASH_INIT, core->last_seq);
    for (uint32_t i = 0; i < core->run_count; i++)
        hash = digest_run(core, core->runs[i], hash);
    /* Workers stand in the order of meeting, so they are summed; one without facts does not count.
     */
    uint64_t sum = 0;
    for (uint32_t i = 0; i < core->worker_count; i++) {
        const struct worker *worker = &core->workers[i];
        bool active = worker->state == HD_WORKER_ACTIVE;
        if (worker->lease_sequence == 0 && worker->report_sequence == 0 && active)
            continue;
        uint64_t one = hd_hash_text(HD_HASH_INIT, worker->id);
        one = hd_hash_u64(one, worker->lease_incarnation);
        one = hd_hash_u64(one, worker->lease_sequence);
        one = hd_hash_u64(one, worker->lease_run);
        one = hd_hash_u64(one, worker->lease_job);
        one = hd_hash_u64(one, worker->lease_attempt);
        one = hd_hash_u64(one, worker->report_incarnation);
        one = hd_hash_u64(one, worker->report_sequence);
        one = hd_hash_u64(one, worker->running);
        one = hd_hash_u64(one, (uint64_t)worker->state);
        one = hd_hash_text(one, active ? "" : worker->reason);
        sum += one;
    }
    return hd_hash_u64(hash, sum);
}
