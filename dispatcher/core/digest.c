/* SPDX-License-Identifier: Apache-2.0 */
/* The digest over durable state, and the views for drivers and checkers. */
#include "core_internal.h"

#include <math.h>
#include <string.h>

/* A word at a time: this is no hash that is kept anywhere, and simulations take it at each commit.
 */
static uint64_t mix(uint64_t hash, uint64_t number)
{
    hash = (hash ^ number) * UINT64_C(0x9e3779b97f4a7c15);
    return hash ^ hash >> 32;
}

static uint64_t mix_double(uint64_t hash, double number)
{
    uint64_t bits = 0;
    if (isnan(number))
        bits = UINT64_C(0x7ff8000000000000);
    else if (number > 0 || number < 0) /* both zeros stay at 0 */
        memcpy(&bits, &number, sizeof(bits));
    return mix(hash, bits);
}

static uint64_t mix_text(uint64_t hash, const char *text)
{
    size_t size = strlen(text), at = 0;
    uint64_t word = 0;
    hash = mix(hash, size);
    for (; at + sizeof(word) <= size; at += sizeof(word)) {
        memcpy(&word, text + at, sizeof(word));
        hash = mix(hash, word);
    }
    word = 0;
    memcpy(&word, text + at, size - at);
    return mix(hash, word);
}

/* Indices of workers and roots depend on the order in which this life met them: their names count.
 */
static uint64_t digest_place(const struct hd_core *core, uint64_t hash, uint32_t root,
                             uint32_t worker)
{
    hash = mix_text(hash, core_root_text(core, root));
    return mix_text(hash, worker == HD_NONE ? "" : core->workers[worker].id);
}

static uint64_t digest_configs(const struct hd_core *core, const struct run *run, uint64_t hash)
{
    for (uint32_t i = 0; i < run->config_count; i++) {
        const struct config *config = &run->configs[i];
        hash = mix(hash, config->id.iteration);
        hash = mix(hash, config->id.budget_index);
        hash = mix(hash, config->id.running_index);
        hash = digest_place(core, hash, config->root, config->owner);
        hash = mix_text(hash, config->directory);
        hash = mix(hash, config->state_job);
        hash = mix(hash, config->state_attempt);
        hash = mix_double(hash, config->state_budget);
        hash = mix(hash, (uint64_t)config->jobs_open << 32 | config->jobs_again);
    }
    for (size_t i = 0; i < (size_t)run->config_count * run->param_count; i++)
        hash = mix_double(hash, run->values[i]);
    return hash;
}

static uint64_t digest_jobs(const struct hd_core *core, const struct run *run, uint64_t hash)
{
    for (uint32_t i = 0; i < run->job_count; i++) {
        const struct job *job = &run->jobs[i];
        hash = mix(hash, job->config);
        hash = mix(hash, job->iteration);
        hash = mix(hash, job->rung);
        hash = mix_double(hash, job->budget);
        hash = mix_double(hash, job->budget_previous);
        hash = mix(hash, job->repeat);
        hash = mix(hash, job->again);
        hash = mix(hash, job->detached);
        hash = mix(hash, job->followed);
        hash = mix(hash, job->attempt);
        hash = mix(hash, job->stamp);
        hash = mix(hash, job->retries_infra);
        hash = mix(hash, job->retries_failed);
        hash = mix(hash, job->state);
        hash = mix(hash, job->outcome);
        hash = mix(hash, job->last_by_report);
        hash = mix(hash, job->stopping);
        hash = mix(hash, job->taught);
        hash = mix_double(hash, job->curve_loss);
        hash = mix_double(hash, job->budget_reached);
        hash = mix_double(hash, job->step_reached);
        hash = mix_double(hash, job->loss);
    }
    for (uint32_t i = 0; i < run->live_count; i++) {
        const struct live *live = &run->live[i];
        hash = mix(hash, live->job);
        hash = digest_place(core, hash, live->root, live->worker);
        hash = mix(hash, live->incarnation);
        hash = mix(hash, live->old_image);
        hash = mix(hash, live->lease_sequence);
        hash = mix_double(hash, live->budget_previous);
        hash = mix_text(hash, live->directory);
    }
    for (uint32_t i = 0; i < run->queue_count; i++) {
        hash = mix(hash, run->queue[i].job);
        hash = digest_place(core, hash, HD_NONE, run->queue[i].avoid);
    }
    for (uint32_t i = 0; i < run->excluded_count; i++)
        hash = digest_place(core, hash, HD_NONE, run->excluded[i]);
    return hash;
}

static uint64_t digest_limits(const struct limits *limits, uint64_t hash)
{
    hash = mix(hash, limits->configs);
    hash = mix(hash, limits->jobs);
    hash = mix(hash, limits->full_evaluations);
    hash = mix(hash, limits->iterations);
    hash = mix(hash, limits->failures);
    hash = mix(hash, limits->no_improvement);
    hash = mix(hash, limits->parallel);
    hash = mix(hash, (uint64_t)limits->time_ms);
    hash = mix_double(hash, limits->budget);
    hash = mix(hash, limits->has_goal);
    hash = mix_double(hash, limits->has_goal ? limits->goal : 0);
    return mix(hash, (uint64_t)limits->priority);
}

static uint64_t digest_run(const struct hd_core *core, const struct run *run, uint64_t hash)
{
    hash = mix_text(hash, run->run_id);
    hash = mix(hash, run->run_uid);
    hash = mix(hash, run->seed);
    hash = mix_text(hash, hd_buf_text(&run->json));
    hash = mix_text(hash, hd_buf_text(&run->known_json));
    hash = mix(hash, (uint64_t)run->state);
    hash = mix_text(hash, run->reason);
    hash = mix(hash, run->cancelling);
    hash = mix(hash, run->exhausted_by_fact);
    hash = mix(hash, run->set_since_end);
    hash = mix(hash, run->unimproved);
    hash = mix_double(hash, run->budget_open);
    hash = digest_limits(&run->limits, hash);
    hash = mix(hash, run->jobs_ok);
    hash = mix(hash, run->jobs_failed);
    hash = mix(hash, run->full_evaluations);
    hash = mix(hash, run->failure_streak);
    hash = mix(hash, run->had_success);
    hash = mix_double(hash, run->budget_spent);
    hash = mix(hash, run->has_incumbent);
    hash = mix(hash, run->incumbent_config);
    hash = mix(hash, run->incumbent_job);
    hash = mix_double(hash, run->incumbent_loss);
    for (size_t i = 0; i < run->experiment->objective_count; i++)
        hash = mix_double(hash, run->incumbent_score.losses[i]);
    hash = mix_double(hash, run->incumbent_score.violation);
    hash = mix(hash, run->goal_reached);
    hash = mix(hash, run->cut);
    hash = mix(hash, (uint64_t)run->elapsed_ms);
    hash = mix_text(hash, run->image_id);
    hash = mix_text(hash, run->image);
    hash = mix(hash, hd_iter_gen_digest(run->gen));
    if (run->race != NULL)
        hash = mix(hash, hd_race_digest(run->race));
    for (uint32_t i = 0; i < run->duration_count; i++) {
        const struct duration *duration = &run->durations[i];
        hash = mix_double(hash, duration->work);
        for (uint32_t k = 0; k < duration->count; k++)
            hash = mix(hash, (uint64_t)duration->kept_ms[k]);
    }
    for (uint32_t i = 0; i < run->best_count; i++)
        hash = mix(hash, run->best[i].config);
    return digest_jobs(core, run, digest_configs(core, run, hash));
}

uint64_t hd_core_digest(const struct hd_core *core)
{
    uint64_t hash = mix(HD_HASH_INIT, core->last_seq);
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
        uint64_t one = mix_text(HD_HASH_INIT, worker->id);
        one = mix(one, worker->lease_incarnation);
        one = mix(one, worker->lease_sequence);
        one = mix(one, worker->lease_run);
        one = mix(one, worker->lease_job);
        one = mix(one, worker->lease_attempt);
        one = mix(one, worker->report_incarnation);
        one = mix(one, worker->report_sequence);
        one = mix(one, worker->running);
        one = mix(one, (uint64_t)worker->state);
        one = mix_text(one, active ? "" : worker->reason);
        sum += one;
    }
    return mix(hash, sum);
}
