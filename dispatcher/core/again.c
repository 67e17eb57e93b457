/* SPDX-License-Identifier: Apache-2.0 */
/*
 * again.c: failed jobs that people have run once more.
 *
 * The job that failed stays as it ended: what was decided from it stands. The new one has its
 * config, budget and place. Where the generator still waits for the rest of that rung it takes the
 * new result in place of the failure; otherwise it is told nothing (`detached`), and what comes of
 * the job counts for the sampler and the incumbent only.
 */
#include "core_internal.h"

#include <math.h>
#include <string.h>

static bool same_budget(double a, double b)
{
    return a == b || (isnan(a) && isnan(b));
}

/* What has been run again already, or has not ended. NULL: neither. */
static const char *why_not_now(struct hd_core *core, const struct run *run, uint32_t number,
                               enum hd_code *ret_code)
{
    const struct job *job = &run->jobs[number];
    *ret_code = HD_E_CONFLICT;
    if (job->state == JOB_RUNNING)
        return core_text(core, "job %u still runs, on %s: only jobs that failed are run again",
                         number, core->workers[run->live[job->place].worker].id);
    if (job->state == JOB_QUEUED)
        return core_text(core, "job %u waits for its attempt %u: it has not failed", number,
                         job->attempt + 1);
    if (!job->followed)
        return NULL;
    uint32_t follower = number + 1;
    while (follower < run->job_count && run->jobs[follower].again != number + 1)
        follower++;
    *ret_code = HD_E_EXISTS;
    return core_text(core, "job %u is run again already, as job %u", number, follower);
}

/* NULL: it may run once more. */
static const char *why_not(struct hd_core *core, const struct job *job, uint32_t number)
{
    if (job->outcome == HD_OUTCOME_OK)
        return core_text(core,
                         "job %u ended ok: only jobs that failed are run again (hd rerun %u "
                         "tries it in the foreground)",
                         number, number);
    if (job->outcome == HD_OUTCOME_STOPPED || job->stopping)
        return core_text(core, "job %u was stopped early, it did not fail", number);
    if (job->repeat > 0)
        return core_text(core,
                         "job %u repeats a result of a noisy target: which config is "
                         "evaluated how often is decided by the run",
                         number);
    return NULL;
}

bool core_again_fits(const struct run *run, const struct hd_fact_job_queued *queued)
{
    if (queued->again > run->job_count || core_run_final(run))
        return false;
    const struct job *job = &run->jobs[queued->again - 1];
    return job->state == JOB_CLOSED && !job->followed && job->outcome != HD_OUTCOME_OK &&
           job->outcome != HD_OUTCOME_STOPPED && !job->stopping && job->repeat == 0 &&
           queued->repeat == 0 && queued->config == job->config &&
           queued->iteration == job->iteration && queued->rung == job->rung &&
           same_budget(queued->budget, job->budget) &&
           same_budget(queued->budget_previous, job->budget_previous);
}

static void queue_again(struct hd_core *core, uint32_t run_number, uint32_t number)
{
    const struct run *run = core->runs[run_number];
    const struct job *job = &run->jobs[number];
    struct hd_fact *fact = core_fact(core, run_number, HD_FACT_JOB_QUEUED);
    fact->as.job_queued = (struct hd_fact_job_queued){
        .job = run->job_count,
        .config = job->config,
        .iteration = job->iteration,
        .rung = job->rung,
        .budget = job->budget,
        .budget_previous = job->budget_previous,
        .again = number + 1,
    };
    core_commit(core, fact);
    const struct job *fresh = &run->jobs[run->job_count - 1];
    core_note(core, HD_NOTE_INFO, run_number, "job %u: job %u once more, by command%s",
              run->job_count - 1, number,
              fresh->detached && fresh->budget < run->experiment->iter_gen.budget_max
                  ? " (its rung is over: it will not be promoted)"
                  : "");
}

void core_handle_requeue(struct hd_core *core, const struct hd_event *event, uint32_t run_number)
{
    const struct hd_request *request = event->request;
    struct run *run = core->runs[run_number];
    if (request->job >= run->job_count) {
        core_refuse(core, event, HD_E_NOTFOUND, "run %s has no job %u (it has %u so far)",
                    run->run_id, request->job, run->job_count);
        return;
    }
    if (run->cancelling || run->state == HD_RUN_CANCELLED) {
        core_refuse(core, event, HD_E_CONFLICT, "run %s is cancelled", run->run_id);
        return;
    }
    enum hd_code code;
    const char *reason = why_not_now(core, run, request->job, &code);
    if (reason == NULL && !HD_PLANTED(core, HD_PLANT_RERUNS_ANYTHING))
        reason = why_not(core, &run->jobs[request->job], request->job);
    if (reason != NULL) {
        core_refuse(core, event, code, "%s", reason);
        return;
    }
    bool finished = run->state == HD_RUN_FINISHED;
    reason = finished ? core_finished_for(core, run) : NULL;
    if (reason != NULL) {
        core_refuse(core, event, HD_E_CONFLICT,
                    "run %s is finished: %.120s: see hd set %s LIMIT=VALUE", run->run_id, reason,
                    run->run_id);
        return;
    }
    core_give(core, run_number, request);
    if (finished)
        core_set_state(core, run_number, HD_RUN_ACTIVE, "failed jobs are run again");
    queue_again(core, run_number, request->job);
    core->reopened = true;
    (void)core_reply(core, event->address, HD_REPLY_OK, request->lane, request->sequence);
}
