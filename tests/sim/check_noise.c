/* SPDX-License-Identifier: Apache-2.0 */
/* check_noise.c: repeats of a noisy target's configs. */
#include "cluster.h"

#include <math.h>

static const struct sim_ledger_run *run_of(const struct sim_probe *probe)
{
    const struct sim_ledger *ledger = &probe->master->ledger;
    return probe->fact->run < ledger->run_count ? &ledger->runs[probe->fact->run] : NULL;
}

/* What the config came to at the highest budget before. */
struct past {
    uint32_t ok, failed, repeats;
    const struct sim_job *first;
};

static struct past past_of(const struct sim_ledger_run *run, uint32_t config)
{
    struct past past = {0};
    for (size_t j = 0; j < run->job_count; j++) {
        const struct sim_job *job = &run->jobs[j];
        if (job->config != config || job->budget < run->plan->budget_max)
            continue;
        past.repeats += job->repeat > 0 ? 1 : 0;
        if (job->repeat == 0)
            past.first = job;
        if (job->closed && job->outcome == HD_OUTCOME_OK)
            past.ok++;
        else if (job->closed && !job->followed && /* what a person had run again has no say */
                 (job->outcome == HD_OUTCOME_FAILED || job->outcome == HD_OUTCOME_DIVERGED ||
                  job->outcome == HD_OUTCOME_OOM))
            past.failed++;
    }
    return past;
}

static void repeats_allowed(struct sim *sim, const struct sim_checker *self,
                            const struct sim_probe *probe)
{
    if (probe->kind != SIM_PROBE_FACT || probe->fact->kind != HD_FACT_JOB_QUEUED ||
        probe->fact->as.job_queued.repeat == 0)
        return;
    const struct sim_ledger_run *run = run_of(probe);
    const struct hd_fact_job_queued *queued = &probe->fact->as.job_queued;
    if (run == NULL || run->plan == NULL)
        return;
    sim->cover->repeats++;
    if (run->plan->repeats == 0) {
        sim_fail(sim, self->name, "job %u is repeat %u in a run without noise", queued->job,
                 queued->repeat);
        return;
    }
    struct past past = past_of(run, queued->config);
    double spent = queued->budget, repeated = queued->budget;
    for (size_t j = 0; j < run->job_count; j++) {
        spent += run->jobs[j].budget;
        repeated += run->jobs[j].repeat > 0 ? run->jobs[j].budget : 0;
    }
    if (queued->budget != run->plan->budget_max || !isnan(queued->budget_previous))
        sim_fail(sim, self->name, "job %u: repeat %u is at budget %g, from %g", queued->job,
                 queued->repeat, queued->budget, queued->budget_previous);
    else if (past.ok == 0 || past.first == NULL || past.failed > 0)
        sim_fail(sim, self->name, "job %u repeats config %u, with %u results and %u failures",
                 queued->job, queued->config, past.ok, past.failed);
    else if (past.first->iteration != queued->iteration || past.first->rung != queued->rung)
        sim_fail(sim, self->name, "job %u repeats config %u in another rung", queued->job,
                 queued->config);
    else if (queued->repeat != past.repeats + 1 || past.repeats + 2 > run->plan->repeats)
        sim_fail(sim, self->name, "job %u: repeat %u of config %u, which had %u of at most %u",
                 queued->job, queued->repeat, queued->config, past.repeats, run->plan->repeats - 1);
    else if (repeated > run->plan->share * spent * (1 + 1e-9))
        sim_fail(sim, self->name, "job %u: repeats take %g of %g, more than their share",
                 queued->job, repeated, spent);
}

static void repeats_differ(struct sim *sim, const struct sim_checker *self,
                           const struct sim_probe *probe)
{
    if (probe->kind != SIM_PROBE_CONTAINER || probe->lease->repeat == 0)
        return;
    const struct hd_lease *lease = probe->lease;
    if (!isnan(lease->budget_previous) || lease->directory[0] != '\0')
        sim_fail(sim, self->name, "repeat %u of config %u begins at budget %g in %s", lease->repeat,
                 lease->config, lease->budget_previous, lease->directory);
    for (const struct sim_container *other = probe->container->worker->containers; other != NULL;
         other = other->next) {
        if (other == probe->container || other->attempt.run_uid != lease->attempt.run_uid ||
            other->granted_by != probe->container->granted_by || other->config != lease->config ||
            other->attempt.job == lease->attempt.job)
            continue;
        if (other->seed == lease->seed)
            sim_fail(sim, self->name, "jobs %u and %u of config %u have one seed",
                     other->attempt.job, lease->attempt.job, lease->config);
        else if (other->directory == probe->container->directory)
            sim_fail(sim, self->name, "jobs %u and %u of config %u have one directory",
                     other->attempt.job, lease->attempt.job, lease->config);
    }
}

const struct sim_checker sim_checkers_noise[] = {
    {"repeats-allowed",
     "Only a config with results and no failure at the highest budget is evaluated again, at most "
     "as often as the experiment says, and within the share of the budget.",
     repeats_allowed},
    {"repeats-differ", "A repeat begins from the start, with a seed and in a directory of its own.",
     repeats_differ},
};
const size_t sim_checkers_noise_count = HD_COUNT(sim_checkers_noise);
