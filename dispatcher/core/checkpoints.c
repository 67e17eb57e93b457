/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What becomes of configs' work directories: which of them may travel through the master, and which
 * nobody needs any more. A directory is of a version, the attempt that wrote it last; the master
 * says of which versions it has a copy, and that is no fact: after a restart it says so again.
 */
#include "core_internal.h"

#include <string.h>

/* ---- travelling ------------------------------------------------------------------------------ */

bool core_has_copy(const struct hd_core *core, const struct config *config)
{
    (void)core; /* read by planted builds only */
    if (HD_PLANTED(core, HD_PLANT_OLD_COPY) && config->shelved_attempt > 0)
        return true;
    return config->root != HD_NONE && config->state_attempt > 0 &&
           config->shelved_job == config->state_job &&
           config->shelved_attempt == config->state_attempt;
}

bool core_is_shelved(const struct hd_core *core, const struct run *run, const struct job *job)
{
    return job->repeat == 0 && core_has_copy(core, &run->configs[job->config]);
}

/* Its holder would take it at once, and has the directory. */
static bool holder_waits(const struct hd_core *core, const struct run *run,
                         const struct config *config)
{
    if (config->owner == HD_NONE)
        return false;
    const struct worker *owner = &core->workers[config->owner];
    return owner->parked.active && owner->root == config->root && core_is_able(core, run, owner);
}

/* A first attempt need not wait for a holder that is busy. Another one does, as long as placement
 * would have it go there: what the attempt before did lies in the holder's directory only. */
bool core_may_travel(const struct hd_core *core, const struct run *run, const struct job *job)
{
    return core_is_shelved(core, run, job) && job->attempt == 0 &&
           !holder_waits(core, run, &run->configs[job->config]);
}

void core_handle_shelved(struct hd_core *core, const struct hd_event *event)
{
    uint32_t run_number;
    struct run *run = core_find_run_uid(core, event->attempt.run_uid, &run_number);
    if (run == NULL || event->attempt.job >= run->job_count)
        return;
    struct config *config = &run->configs[run->jobs[event->attempt.job].config];
    config->shelved_job = event->attempt.job;
    config->shelved_attempt = event->attempt.attempt;
    run->placement.fresh = false;
}

static bool may_go_on(const struct run *run, uint32_t config_number)
{
    const struct config *config = &run->configs[config_number];
    const struct job *job = &run->jobs[config->state_job];
    if (core_run_final(run) || run->cancelling)
        return false;
    return job->state != JOB_CLOSED ||
           (job->outcome == HD_OUTCOME_OK && job->budget < run->experiment->iter_gen.budget_max);
}

static bool is_elsewhere(const struct hd_core *core, const struct run *run, uint32_t root)
{
    for (uint32_t i = 0; i < core->worker_count; i++) {
        const struct worker *worker = &core->workers[i];
        if (worker->known && worker->root != root && core_serves(worker, run) &&
            !core_is_excluded(run, i))
            return true;
    }
    return false;
}

bool hd_core_wants_checkpoint(const struct hd_core *core, struct hd_attempt_ref attempt,
                              uint32_t *ret_config)
{
    uint32_t run_number;
    const struct run *run = core_find_run_uid(core, attempt.run_uid, &run_number);
    if (run == NULL || attempt.job >= run->job_count || core->options.no_copies ||
        run->experiment->checkpoints_stay)
        return false;
    uint32_t number = run->jobs[attempt.job].config;
    const struct config *config = &run->configs[number];
    if (config->root == HD_NONE || config->state_job != attempt.job ||
        config->state_attempt != attempt.attempt || !may_go_on(run, number) ||
        !is_elsewhere(core, run, config->root))
        return false;
    *ret_config = number;
    return true;
}

bool hd_core_lends_checkpoint(const struct hd_core *core, struct hd_attempt_ref leased,
                              uint32_t *ret_config, struct hd_attempt_ref *ret_state)
{
    uint32_t run_number;
    const struct run *run = core_find_run_uid(core, leased.run_uid, &run_number);
    if (run == NULL || leased.job >= run->job_count)
        return false;
    const struct job *job = &run->jobs[leased.job];
    const struct config *config = &run->configs[job->config];
    if (job->state != JOB_RUNNING || job->attempt != leased.attempt || config->state_attempt == 0 ||
        run->live[job->place].directory[0] == '\0')
        return false;
    *ret_config = job->config;
    *ret_state = (struct hd_attempt_ref){
        .run_uid = run->run_uid, .job = config->state_job, .attempt = config->state_attempt};
    return true;
}

bool hd_core_keeps_checkpoint(const struct hd_core *core, struct hd_attempt_ref attempt)
{
    uint32_t run_number;
    const struct run *run = core_find_run_uid(core, attempt.run_uid, &run_number);
    if (run == NULL || attempt.job >= run->job_count)
        return false;
    uint32_t number = run->jobs[attempt.job].config;
    const struct config *config = &run->configs[number];
    return config->state_job == attempt.job && config->state_attempt == attempt.attempt &&
           may_go_on(run, number);
}
