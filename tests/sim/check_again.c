/* SPDX-License-Identifier: Apache-2.0 */
/* check_again.c: failed jobs that people have run once more. */
#include "cluster.h"

#include <math.h>

static bool same_number(double a, double b)
{
    return a == b || (isnan(a) && isnan(b));
}

static bool may_run_again(const struct sim_job *job)
{
    return job->closed && !job->followed && !job->decided && job->repeat == 0 &&
           job->outcome != HD_OUTCOME_OK && job->outcome != HD_OUTCOME_STOPPED;
}

static void reruns_as_asked(struct sim *sim, const struct sim_checker *self,
                            const struct sim_probe *probe)
{
    if (probe->kind != SIM_PROBE_FACT || probe->fact->kind != HD_FACT_JOB_QUEUED)
        return;
    const struct hd_fact_job_queued *queued = &probe->fact->as.job_queued;
    struct sim_ledger *ledger = &probe->master->ledger;
    if (queued->again == 0 || probe->fact->run >= ledger->run_count)
        return;
    const struct sim_ledger_run *run = &ledger->runs[probe->fact->run];
    const struct sim_job *job = sim_ledger_job(ledger, probe->fact->run, queued->again - 1);
    if (job == NULL)
        sim_fail(sim, self->name, "job %u runs job %u once more, which is not there", queued->job,
                 queued->again - 1);
    else if (!may_run_again(job))
        sim_fail(sim, self->name, "job %u runs job %u once more, which %s", queued->job,
                 queued->again - 1,
                 !job->closed    ? "has not ended"
                 : job->followed ? "another one runs already"
                                 : "did not fail");
    else if (queued->config != job->config || queued->iteration != job->iteration ||
             queued->rung != job->rung || queued->budget != job->budget || queued->repeat != 0 ||
             !same_number(queued->budget_previous, job->budget_previous))
        sim_fail(sim, self->name, "job %u is not what job %u was", queued->job, queued->again - 1);
    else if (run->reruns >= run->commands[HD_COMMAND_REQUEUE_JOB])
        sim_fail(sim, self->name, "job %u runs job %u once more, and nobody said so", queued->job,
                 queued->again - 1);
    else if (run->state == HD_RUN_CANCELLED || run->commands[HD_COMMAND_CANCEL_RUN] > 0)
        sim_fail(sim, self->name, "job %u runs job %u once more in a cancelled run", queued->job,
                 queued->again - 1);
}

const struct sim_checker sim_checkers_again[] = {
    {"reruns-as-asked",
     "A person's word runs a failed job once more, as it was, once, and nothing else does.",
     reruns_as_asked},
};
const size_t sim_checkers_again_count = HD_COUNT(sim_checkers_again);
