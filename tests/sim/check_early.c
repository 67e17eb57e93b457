/* SPDX-License-Identifier: Apache-2.0 */
/*
 * check_early.c: asynchronous halving and early stopping counted again, the slow way: a rung is a
 * plain list of losses, a rank is counted. Which jobs were to be stopped follows from the curve
 * points among the facts; that a promoted config had earned it, from the results.
 */
#include "cluster.h"

#include <math.h>

#define ETA_DEFAULT 3

static uint32_t rung_count(const struct sim_ledger_run *run, double *ret_budgets)
{
    const struct sim_run_plan *plan = run->plan;
    uint32_t count = 0, rungs = 0;
    double budget = plan->budget_min;
    for (; budget <= plan->budget_max * (1 + 1e-9); budget *= plan->eta)
        rungs++;
    budget = plan->budget_max;
    for (count = 0; count < rungs && count < SIM_RUNGS_MAX; count++) {
        ret_budgets[rungs - 1 - count] = budget;
        budget /= plan->eta;
    }
    return count;
}

/* ---- the fold ------------------------------------------------------------------------------- */

static void add_loss(struct sim *sim, struct sim_ledger_run *run, uint32_t rung, uint32_t config,
                     double loss)
{
    struct sim_rung *list = &run->rungs[rung];
    list->places = sim_grow(sim, list->places, sizeof(*list->places), list->count, &list->capacity);
    list->places[list->count++] = (struct sim_place){config, loss};
}

/* Results of the rung that stand before this one. */
static uint32_t rank_of(const struct sim_rung *list, uint32_t config, double loss)
{
    uint32_t rank = 0;
    for (size_t i = 0; i < list->count; i++)
        rank += list->places[i].loss < loss ||
                        (list->places[i].loss == loss && list->places[i].config < config)
                    ? 1
                    : 0;
    return rank;
}

/* ---- rules of early stopping ---------------------------------------------------------------- */

/* How many milestones lie at or below this step, and the last of them. */
static uint32_t milestones_below(const struct sim_run_plan *plan, double step, double *ret_last)
{
    double eta = plan->full ? ETA_DEFAULT : plan->eta; /* such a plan does not write it */
    double factor = plan->early == SIM_EARLY_CURVE ? sqrt(2) : eta;
    uint32_t count = 0;
    for (double at = plan->budget_min;
         at < plan->budget_max * (1 - 1e-9) && at <= step * (1 + 1e-9) && count < SIM_RUNGS_MAX;
         at *= factor) {
        *ret_last = at;
        count++;
    }
    return count;
}

/* More than half of those that were here before it, of enough, are better. */
static bool below_median(struct sim *sim, struct sim_ledger_run *run, uint32_t milestone,
                         uint32_t config, double best)
{
    struct sim_rung *list = &run->rungs[milestone];
    size_t better = 0, count = list->count;
    for (size_t i = 0; i < count; i++)
        better += list->places[i].loss < best ? 1 : 0;
    add_loss(sim, run, milestone, config, best);
    return count >= SIM_EARLY_CURVES_MIN && better >= (count + 1) / 2;
}

/* What the last doubling gained, granted for each that is left, does not reach the incumbent. */
static bool is_hopeless(const struct sim_ledger_run *run, const struct sim_curve *curve,
                        double step)
{
    for (int i = 0; i < 2; i++) {
        if (!(curve->steps[i] * 1.9 <= step))
            continue;
        double doublings = log2(step / curve->steps[i]);
        double left = log2(run->plan->budget_max / step);
        double gain = (curve->bests[i] - curve->best) / doublings * SIM_EARLY_OPTIMISM;
        return curve->best - gain * left > run->incumbent;
    }
    return false;
}

static double rule_point(struct sim *sim, struct sim_ledger_run *run, struct sim_job *job,
                         const struct hd_fact_curve_point *point)
{
    struct sim_curve *curve = &run->configs[job->config].curve;
    double last = NAN;
    if (!(point->step > curve->last))
        return NAN;
    curve->last = point->step;
    curve->best = point->loss < curve->best ? point->loss : curve->best;
    uint32_t passed = milestones_below(run->plan, point->step, &last);
    if (passed <= curve->passed)
        return NAN;
    curve->passed = passed;
    job->reached = last;
    job->decided = run->plan->early == SIM_EARLY_MEDIAN
                       ? below_median(sim, run, passed - 1, job->config, curve->best)
                       : is_hopeless(run, curve, point->step);
    curve->steps[1] = curve->steps[0];
    curve->bests[1] = curve->bests[0];
    curve->steps[0] = point->step;
    curve->bests[0] = curve->best;
    return job->decided ? last : NAN;
}

static void rule_closed(struct sim_ledger_run *run, const struct sim_job *job)
{
    struct sim_curve *curve = &run->configs[job->config].curve;
    if (job->decided || job->outcome != HD_OUTCOME_OK || !isfinite(job->loss))
        return;
    curve->best = job->loss < curve->best ? job->loss : curve->best;
    curve->last = job->budget > curve->last ? job->budget : curve->last;
    if (job->budget >= run->plan->budget_max &&
        (isnan(run->incumbent) || job->loss < run->incumbent))
        run->incumbent = job->loss;
}

double sim_early_point(struct sim *sim, struct sim_ledger_run *run, struct sim_job *job,
                       const struct hd_fact_curve_point *point)
{
    double budgets[SIM_RUNGS_MAX];
    if (run->plan == NULL || job->closed || job->decided)
        return NAN;
    if (run->plan->early != SIM_EARLY_NONE && job->config < run->config_count)
        return rule_point(sim, run, job, point);
    if (run->plan->asha != SIM_ASHA_STOPPING)
        return NAN;
    uint32_t rungs = rung_count(run, budgets), passed = job->passed;
    while (passed + 1 < rungs && budgets[passed] <= point->step * (1 + 1e-9))
        passed++;
    if (passed == job->passed)
        return NAN;
    job->passed = passed;
    job->reached = budgets[passed - 1];
    struct sim_rung *list = &run->rungs[passed - 1];
    uint32_t rank = rank_of(list, job->config, point->loss);
    add_loss(sim, run, passed - 1, job->config, point->loss);
    size_t count = list->count + list->failed;
    job->decided = count >= run->plan->eta && rank >= (count + run->plan->eta - 1) / run->plan->eta;
    return job->reached;
}

void sim_early_closed(struct sim *sim, struct sim_ledger_run *run, struct sim_job *job)
{
    double budgets[SIM_RUNGS_MAX];
    if (run->plan != NULL && run->plan->early != SIM_EARLY_NONE && job->config < run->config_count)
        rule_closed(run, job);
    if (run->plan == NULL || run->plan->asha == SIM_ASHA_NONE)
        return;
    uint32_t top = rung_count(run, budgets) - 1;
    bool ok = job->outcome == HD_OUTCOME_OK && isfinite(job->loss) && !job->decided;
    uint32_t rung = run->plan->asha == SIM_ASHA_PROMOTION ? job->rung : ok ? top : job->passed;
    if (rung > top)
        return;
    if (ok)
        add_loss(sim, run, rung, job->config, job->loss);
    else if (!job->decided)
        run->rungs[rung].failed++;
}

/* ---- what is checked ------------------------------------------------------------------------ */

static struct sim_ledger_run *run_of(const struct sim_probe *probe)
{
    struct sim_ledger *ledger = &probe->master->ledger;
    return probe->fact->run < ledger->run_count ? &ledger->runs[probe->fact->run] : NULL;
}

static void stopped_when_decided(struct sim *sim, const struct sim_checker *self,
                                 const struct sim_probe *probe)
{
    if (probe->kind != SIM_PROBE_FACT || probe->fact->kind != HD_FACT_ATTEMPT_ENDED)
        return;
    const struct hd_fact_attempt_ended *ended = &probe->fact->as.attempt_ended;
    struct sim_job *job = sim_ledger_job(&probe->master->ledger, probe->fact->run, ended->job);
    if (job == NULL)
        return;
    if (ended->outcome == HD_OUTCOME_STOPPED && !job->decided &&
        sim_is_shared_grant(sim, sim_job_attempt(job, ended->attempt)))
        return; /* its other master wanted it, and has its curve */
    if (ended->outcome == HD_OUTCOME_STOPPED && !job->decided)
        sim_fail(sim, self->name, "job %u is stopped early and nobody decided that", ended->job);
    else if (ended->outcome == HD_OUTCOME_STOPPED && !isfinite(ended->loss))
        sim_fail(sim, self->name, "job %u is stopped early and its last loss is forgotten",
                 ended->job);
    else if (ended->requeued && job->decided)
        sim_fail(sim, self->name, "job %u was to be stopped and is tried again", ended->job);
}

/* No new config can come any more, and nothing runs. */
static bool at_last(const struct sim_ledger_run *run)
{
    for (size_t j = 0; j < run->job_count; j++)
        if (!run->jobs[j].closed)
            return false;
    return true;
}

static const struct sim_job *job_at(const struct sim_ledger_run *run, uint32_t config,
                                    uint32_t rung)
{
    for (size_t j = 0; j < run->job_count; j++)
        if (run->jobs[j].config == config && run->jobs[j].rung == rung && run->jobs[j].repeat == 0)
            return &run->jobs[j];
    return NULL;
}

/* ---- openings ------------------------------------------------------------------------------- */

#define CONFIGS_SURE 8 /* so many the smallest of the spaces has */

/* Results that the rung needs before one goes on. */
static size_t opening_of(const struct sim_run_plan *plan, uint32_t rung)
{
    return (size_t)(plan->opening / pow(plan->eta, rung) + 0.5);
}

static size_t result_count(const struct sim_ledger_run *run, uint32_t rung)
{
    return run->rungs[rung].count + run->rungs[rung].failed;
}

static uint32_t running_at(const struct sim_ledger_run *run, uint32_t rung)
{
    uint32_t count = 0;
    for (size_t j = 0; j < run->job_count; j++)
        count += run->jobs[j].rung == rung && run->jobs[j].repeat == 0 && !run->jobs[j].closed;
    return count;
}

/* Where a new config begins: above the lowest rung when as many jobs run as its opening needs, and
 * it has that many results, and the rung above lacks some of its own. */
static uint32_t start_of(const struct sim_ledger_run *run, uint32_t rungs)
{
    uint32_t running = 0, start = 2;
    for (uint32_t k = 0; k < rungs; k++)
        running += running_at(run, k);
    while (start > 0 && rungs - 1 < start + 3)
        start--;
    if (running < run->plan->opening || result_count(run, 0) < run->plan->opening ||
        result_count(run, start) >= opening_of(run->plan, start))
        return 0;
    return start;
}

/* For sure: something runs that brings a result there or below, or a new config will. */
static bool more_comes(const struct sim_ledger_run *run, uint32_t rung)
{
    const struct sim_run_plan *plan = run->plan;
    uint32_t planned = plan->iterations * sim_plan_first_count(plan, 0);
    for (uint32_t k = 0; k <= rung; k++)
        if (running_at(run, k) > 0)
            return true;
    return run->state == HD_RUN_ACTIVE && run->config_count < CONFIGS_SURE &&
           run->config_count < planned &&
           (plan->configs_max == 0 || run->config_count < plan->configs_max);
}

static void openings_hold(struct sim *sim, const struct sim_checker *self,
                          const struct sim_probe *probe)
{
    if (probe->kind != SIM_PROBE_FACT || probe->fact->kind != HD_FACT_JOB_QUEUED)
        return;
    const struct sim_ledger_run *run = run_of(probe);
    const struct hd_fact_job_queued *queued = &probe->fact->as.job_queued;
    if (run == NULL || run->plan == NULL || run->plan->opening == 0 || queued->repeat > 0 ||
        run->reruns > 0 || queued->again > 0)
        return;
    if (isnan(queued->budget_previous)) {
        double budgets[SIM_RUNGS_MAX];
        uint32_t start = start_of(run, rung_count(run, budgets));
        if (queued->rung != start)
            sim_fail(sim, self->name, "job %u begins at rung %u, and not at %u", queued->job,
                     queued->rung, start);
        sim->cover->started_above += start > 0 ? 1 : 0;
        return;
    }
    uint32_t from = queued->rung - 1;
    size_t needed = opening_of(run->plan, from);
    if (queued->rung == 0 || from >= SIM_RUNGS_MAX)
        return; /* promoted-on-merit */
    if (result_count(run, from) < needed && more_comes(run, from))
        sim_fail(sim, self->name, "job %u leaves rung %u, which has %zu of %zu results",
                 queued->job, from, result_count(run, from), needed);
    sim->cover->opened += needed > run->plan->eta ? 1 : 0;
}

static void promoted_on_merit(struct sim *sim, const struct sim_checker *self,
                              const struct sim_probe *probe)
{
    if (probe->kind != SIM_PROBE_FACT || probe->fact->kind != HD_FACT_JOB_QUEUED)
        return;
    const struct sim_ledger_run *run = run_of(probe);
    const struct hd_fact_job_queued *queued = &probe->fact->as.job_queued;
    if (run == NULL || run->plan == NULL || run->plan->asha == SIM_ASHA_NONE ||
        queued->repeat > 0 || run->reruns > 0 || queued->again > 0)
        return;
    double budgets[SIM_RUNGS_MAX];
    uint32_t rungs = rung_count(run, budgets), rung = queued->rung;
    bool fresh = isnan(queued->budget_previous);
    uint32_t first = run->plan->asha == SIM_ASHA_STOPPING ? rungs - 1 : 0;
    if (rung >= rungs || fabs(queued->budget - budgets[rung]) > 1e-9 * queued->budget ||
        (fresh && rung != first && run->plan->opening == 0) || (!fresh && rung == 0)) {
        sim_fail(sim, self->name, "job %u: rung %u at budget %g is not in the plan", queued->job,
                 rung, queued->budget);
        return;
    }
    if (fresh)
        return;
    const struct sim_job *below = job_at(run, queued->config, rung - 1);
    const struct sim_rung *list = &run->rungs[rung - 1];
    if (job_at(run, queued->config, rung) != NULL)
        sim_fail(sim, self->name, "job %u: config %u runs twice at rung %u", queued->job,
                 queued->config, rung);
    else if (below == NULL || !below->closed || below->outcome != HD_OUTCOME_OK)
        sim_fail(sim, self->name, "job %u: config %u advances without a result", queued->job,
                 queued->config);
    else if (rank_of(list, queued->config, below->loss) >=
                 (list->count + list->failed) / run->plan->eta &&
             !at_last(run))
        sim_fail(sim, self->name, "job %u: config %u is not among the best of rung %u", queued->job,
                 queued->config, rung - 1);
}

const struct sim_checker sim_checkers_early[] = {
    {"stopped-when-decided",
     "A job is stopped early only when its curve said so, its last loss is kept, and it is not "
     "tried "
     "again.",
     stopped_when_decided},
    {"promoted-on-merit",
     "Without barriers, a config advances when it is among the best share of its rung so far.",
     promoted_on_merit},
    {"openings-hold",
     "No config leaves a rung before its opening is full, unless nothing more can come to it; a "
     "new "
     "one begins above the lowest rung only when as many jobs run as its opening needs.",
     openings_hold},
};
const size_t sim_checkers_early_count = HD_COUNT(sim_checkers_early);
