/* SPDX-License-Identifier: Apache-2.0 */
/* Restore: checks each fact against the state before it, then applies it as a live step would. */
#include "core_internal.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

static enum hd_code corrupt(const struct hd_fact *fact, const char *why, struct hd_err *err)
{
    return hd_fail(err, HD_E_CORRUPT, "fact %" PRIu64 " (%s) does not fit what came before: %s",
                   fact->seq, hd_fact_kind_name(fact->kind), why);
}

static bool same_budget(double a, double b)
{
    return a == b || (isnan(a) && isnan(b));
}

static enum hd_code check_repeat(const struct run *run, const struct hd_fact *fact,
                                 struct hd_err *err)
{
    const struct hd_fact_job_queued *queued = &fact->as.job_queued;
    struct hd_race_estimate estimate;
    uint32_t repeat;
    double budget = run->experiment->iter_gen.budget_max;
    if (queued->job != run->job_count)
        return corrupt(fact, "job out of order", err);
    if (!core_next_repeat(run, &estimate, &repeat))
        return corrupt(fact, "no config is to be evaluated again", err);
    const struct job *first = &run->jobs[estimate.job];
    bool fits = queued->config == estimate.config && queued->repeat == repeat &&
                queued->iteration == first->iteration && queued->rung == first->rung &&
                same_budget(queued->budget, budget) && isnan(queued->budget_previous);
    return fits ? HD_OK : corrupt(fact, "another config is to be evaluated again", err);
}

static enum hd_code check_again(const struct run *run, const struct hd_fact *fact,
                                struct hd_err *err)
{
    if (fact->as.job_queued.job != run->job_count)
        return corrupt(fact, "job out of order", err);
    return core_again_fits(run, &fact->as.job_queued)
               ? HD_OK
               : corrupt(fact, "no such job failed, or it runs once more already", err);
}

static enum hd_code check_job_queued(const struct run *run, const struct hd_fact *fact,
                                     struct hd_err *err)
{
    const struct hd_fact_job_queued *queued = &fact->as.job_queued;
    struct hd_slot slot;
    hd_iter_gen_next(run->gen, true, &slot);
    if (queued->job != run->job_count || queued->config >= run->config_count)
        return corrupt(fact, "job or config out of order", err);
    if (slot.kind != HD_SLOT_NEW && slot.kind != HD_SLOT_PROMOTE)
        return corrupt(fact, "the iteration generator has no such job", err);
    bool fits =
        slot.iteration == queued->iteration && slot.rung == queued->rung &&
        same_budget(slot.budget, queued->budget) &&
        same_budget(slot.budget_previous, queued->budget_previous) &&
        queued->config == (slot.kind == HD_SLOT_NEW ? run->config_count - 1 : slot.config_number);
    return fits ? HD_OK : corrupt(fact, "the iteration generator decides otherwise", err);
}

static enum hd_code check_command(struct hd_core *core, const struct run *run,
                                  const struct hd_fact *fact, struct hd_err *err)
{
    const struct hd_fact_command_given *given = &fact->as.command_given;
    if (given->op == HD_COMMAND_SET_LIMIT && !core_limits_check(given->limit, given->value))
        return corrupt(fact, "not a limit", err);
    if (given->op == HD_COMMAND_REQUEUE_JOB && given->job >= run->job_count)
        return corrupt(fact, "no such job", err);
    if (given->op != HD_COMMAND_SET_IMAGE)
        return HD_OK;
    struct hd_err why;
    enum hd_code code =
        core_prepare_image(core, run, given->image != NULL ? given->image : "", &why);
    if (code == HD_E_NOMEM)
        return hd_fail(err, code, "%s", why.text);
    return code == HD_OK ? HD_OK : corrupt(fact, "not an image for this run", err);
}

static enum hd_code check_in_run(struct hd_core *core, const struct run *run,
                                 const struct hd_fact *fact, struct hd_err *err)
{
    uint32_t job = 0;
    switch (fact->kind) {
    case HD_FACT_CONFIG_PROPOSED:
        if (fact->as.config_proposed.config != run->config_count)
            return corrupt(fact, "config out of order", err);
        if (fact->as.config_proposed.value_count != run->param_count)
            return corrupt(fact, "a config of another space", err);
        return HD_OK;
    case HD_FACT_JOB_QUEUED:
        if (fact->as.job_queued.again > 0)
            return check_again(run, fact, err);
        return fact->as.job_queued.repeat > 0 ? check_repeat(run, fact, err)
                                              : check_job_queued(run, fact, err);
    case HD_FACT_ATTEMPT_LEASED:
        job = fact->as.attempt_leased.job;
        if (job >= run->job_count || run->jobs[job].state != JOB_QUEUED ||
            fact->as.attempt_leased.attempt != run->jobs[job].attempt + 1)
            return corrupt(fact, "that job is not waiting for this attempt", err);
        return HD_OK;
    case HD_FACT_ATTEMPT_ENDED:
        job = fact->as.attempt_ended.job;
        if (job >= run->job_count || run->jobs[job].state == JOB_CLOSED ||
            fact->as.attempt_ended.attempt != run->jobs[job].attempt ||
            (run->jobs[job].state == JOB_QUEUED && fact->as.attempt_ended.requeued))
            return corrupt(fact, "that attempt is not the job's current one", err);
        if (fact->as.attempt_ended.measure_count !=
            (fact->as.attempt_ended.outcome == HD_OUTCOME_OK
                 ? hd_experiment_measure_count(run->experiment)
                 : 0))
            return corrupt(fact, "other objectives or constraints", err);
        return HD_OK;
    case HD_FACT_CURVE_POINT:
        job = fact->as.curve_point.job;
        if (job >= run->job_count || run->jobs[job].state != JOB_RUNNING ||
            fact->as.curve_point.attempt != run->jobs[job].attempt)
            return corrupt(fact, "a learning curve of an attempt that does not run", err);
        return HD_OK;
    case HD_FACT_REPORT_REFUSED:
        return HD_OK;
    case HD_FACT_COMMAND_GIVEN:
        return check_command(core, run, fact, err);
    case HD_FACT_RUN_STATE: /* a finished run may be extended */
        return run->state == HD_RUN_CANCELLED ||
                       (run->state == HD_RUN_FINISHED && fact->as.run_state.state != HD_RUN_ACTIVE)
                   ? corrupt(fact, "the run is over", err)
                   : HD_OK;
    case HD_FACT_WORKER_STATE:
    case HD_FACT_RUN_CREATED:
    case HD_FACT_KIND_COUNT:
        break;
    }
    return corrupt(fact, "unknown kind", err);
}

static enum hd_code check_created(struct hd_core *core, const struct hd_fact *fact,
                                  struct hd_err *err)
{
    const struct hd_fact_run_created *created = &fact->as.run_created;
    if (fact->run != core->run_count)
        return corrupt(fact, "run out of order", err);
    enum hd_code code = core_reserve_slot(core, err);
    if (code != HD_OK)
        return code;
    core_free_run(core->pending_run);
    core->pending_run = NULL;
    return core_new_run(created, &core->pending_run, err);
}

/* The worker that a fact may bring in, or NULL. */
static const char *worker_of(const struct hd_fact *fact)
{
    switch (fact->kind) {
    case HD_FACT_ATTEMPT_LEASED:
        return fact->as.attempt_leased.worker;
    case HD_FACT_ATTEMPT_ENDED:
        return fact->as.attempt_ended.worker[0] != '\0' || fact->as.attempt_ended.by_report ||
                       fact->as.attempt_ended.directory[0] != '\0'
                   ? fact->as.attempt_ended.worker
                   : NULL;
    case HD_FACT_REPORT_REFUSED:
        return fact->as.report_refused.worker;
    case HD_FACT_WORKER_STATE:
        return fact->as.worker_state.worker;
    case HD_FACT_RUN_CREATED:
    case HD_FACT_CONFIG_PROPOSED:
    case HD_FACT_JOB_QUEUED:
    case HD_FACT_CURVE_POINT:
    case HD_FACT_COMMAND_GIVEN:
    case HD_FACT_RUN_STATE:
    case HD_FACT_KIND_COUNT:
        break;
    }
    return NULL;
}

/* A full table takes no new worker, and all that those in it did. */
static enum hd_code reserve_worker(struct hd_core *core, const struct hd_fact *fact,
                                   struct hd_err *err)
{
    const char *worker = worker_of(fact);
    bool known = worker == NULL || core_find_worker(core, worker) != NULL;
    return known ? HD_OK : core_reserve_worker(core, err);
}

/* A root more than the table holds is not kept, as in the step that made the fact. */
static enum hd_code reserve_root(struct hd_core *core, struct hd_err *err)
{
    return core->root_count >= HD_ROOTS_MAX ? HD_OK : core_reserve_root(core, err);
}

enum hd_code hd_core_apply(struct hd_core *core, const struct hd_fact *fact, struct hd_err *err)
{
    enum hd_code code;
    core->milestone_count = 0;
    if (fact->seq != core->last_seq + 1)
        return corrupt(fact, "a fact before it is missing", err);
    if (fact->kind == HD_FACT_RUN_CREATED) {
        code = check_created(core, fact, err);
    } else if (fact->kind == HD_FACT_WORKER_STATE) {
        code = reserve_worker(core, fact, err);
    } else {
        if (fact->run >= core->run_count)
            return corrupt(fact, "unknown run", err);
        struct run *run = core->runs[fact->run];
        code = core_reserve_run(run, 1, err);
        if (code == HD_OK)
            code = check_in_run(core, run, fact, err);
        if (code == HD_OK)
            code = reserve_worker(core, fact, err);
        if (code == HD_OK)
            code = reserve_root(core, err);
    }
    if (code == HD_OK)
        core_apply_fact(core, fact);
    return code;
}
