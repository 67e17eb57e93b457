/* SPDX-License-Identifier: Apache-2.0 */
/*
 * check_brackets.c: the arithmetic of successive halving and Hyperband, counted again from the
 * facts with integers, by the formulas of HpBandSter: S rungs, s = S-1-(bracket mod S),
 * n0 = floor(S/(s+1)) * eta^s, n_i = max(1, floor(n0 / eta^i)), budgets anchored at the maximum.
 */
#include "cluster.h"

#include <math.h>

#define RUNGS_MAX 16

struct ladder {
    uint32_t rung_count;
    uint32_t counts[RUNGS_MAX];
    double budgets[RUNGS_MAX];
};

static uint32_t power(uint32_t base, uint32_t exponent)
{
    uint32_t product = 1;
    for (uint32_t i = 0; i < exponent; i++)
        product *= base;
    return product;
}

static void ladder_of(const struct sim_run_plan *plan, uint32_t iteration,
                      struct ladder *ret_ladder)
{
    if (plan->full) {
        *ret_ladder = (struct ladder){1, {1}, {plan->budget_max}};
        return;
    }
    uint32_t rungs = 1;
    while (plan->budget_min * power(plan->eta, rungs) <= plan->budget_max * (1 + 1e-9))
        rungs++;
    uint32_t s = rungs - 1 - (plan->hyperband ? iteration % rungs : 0);
    uint32_t first = rungs / (s + 1) * power(plan->eta, s);
    ret_ladder->rung_count = s + 1;
    hd_assert(s + 1 <= RUNGS_MAX);
    for (uint32_t rung = 0; rung <= s; rung++) {
        uint32_t count = first / power(plan->eta, rung);
        ret_ladder->counts[rung] = count > 0 ? count : 1;
        ret_ladder->budgets[rung] = plan->budget_max / power(plan->eta, s - rung);
    }
}

uint32_t sim_plan_first_count(const struct sim_run_plan *plan, uint32_t iteration)
{
    struct ladder ladder;
    ladder_of(plan, iteration, &ladder);
    return ladder.counts[0];
}

static struct sim_ledger_run *run_of(const struct sim_probe *probe)
{
    struct sim_ledger *ledger = &probe->master->ledger;
    return probe->fact->run < ledger->run_count ? &ledger->runs[probe->fact->run] : NULL;
}

/* ---- config ids
 * --------------------------------------------------------------------------------------- */

static void ids_unique(struct sim *sim, const struct sim_checker *self,
                       const struct sim_probe *probe)
{
    if (probe->kind != SIM_PROBE_FACT || probe->fact->kind != HD_FACT_CONFIG_PROPOSED)
        return;
    const struct sim_ledger_run *run = run_of(probe);
    const struct hd_fact_config_proposed *proposed = &probe->fact->as.config_proposed;
    if (run == NULL)
        return;
    if (proposed->config != run->config_count)
        sim_fail(sim, self->name, "config %u is proposed after %zu others", proposed->config,
                 run->config_count);
    for (size_t c = 0; c < run->config_count; c++) {
        const struct hd_config_id *id = &run->configs[c].id;
        if (id->iteration == proposed->id.iteration &&
            id->budget_index == proposed->id.budget_index &&
            id->running_index == proposed->id.running_index)
            sim_fail(sim, self->name, "configs %zu and %u are both [%u,%u,%u]", c, proposed->config,
                     id->iteration, id->budget_index, id->running_index);
    }
}

/* ---- what is queued
 * --------------------------------------------------------------------------------------- */

static bool id_less(struct hd_config_id a, struct hd_config_id b)
{
    if (a.iteration != b.iteration)
        return a.iteration < b.iteration;
    if (a.budget_index != b.budget_index)
        return a.budget_index < b.budget_index;
    return a.running_index < b.running_index;
}

static bool job_ok(const struct sim_job *job)
{
    return job->closed && job->outcome == HD_OUTCOME_OK && isfinite(job->loss) && !job->decided;
}

struct rung {
    uint32_t jobs, open, ok;
    uint32_t better; /* ok and ranked before the config in question */
    const struct sim_job *own;
};

static struct rung count_rung(const struct sim_ledger_run *run, uint32_t iteration, uint32_t number,
                              uint32_t config)
{
    struct rung rung = {0};
    for (size_t j = 0; j < run->job_count; j++)
        if (run->jobs[j].iteration == iteration && run->jobs[j].rung == number &&
            run->jobs[j].config == config && run->jobs[j].repeat == 0)
            rung.own = &run->jobs[j];
    for (size_t j = 0; j < run->job_count; j++) {
        const struct sim_job *job = &run->jobs[j];
        if (job->iteration != iteration || job->rung != number || job->repeat > 0)
            continue;
        rung.jobs++;
        rung.open += job->closed ? 0 : 1;
        if (!job_ok(job))
            continue;
        rung.ok++;
        if (rung.own == NULL || !job_ok(rung.own) || job == rung.own)
            continue;
        if (job->loss < rung.own->loss ||
            (job->loss == rung.own->loss &&
             id_less(run->configs[job->config].id, run->configs[rung.own->config].id)))
            rung.better++;
    }
    return rung;
}

static void slot_fits(struct sim *sim, const struct sim_checker *self,
                      const struct sim_probe *probe)
{
    if (probe->kind != SIM_PROBE_FACT || probe->fact->kind != HD_FACT_JOB_QUEUED)
        return;
    const struct sim_ledger_run *run = run_of(probe);
    const struct hd_fact_job_queued *queued = &probe->fact->as.job_queued;
    if (run == NULL || run->plan == NULL || queued->repeat > 0)
        return; /* check_noise.c */
    if (run->plan->asha != SIM_ASHA_NONE || run->reruns > 0 || queued->again > 0)
        return; /* check_early.c, check_again.c */
    struct ladder ladder;
    ladder_of(run->plan, queued->iteration, &ladder);
    struct rung rung = count_rung(run, queued->iteration, queued->rung, queued->config);
    if (queued->config >= run->config_count)
        sim_fail(sim, self->name, "job %u runs config %u, which nobody proposed", queued->job,
                 queued->config);
    else if (queued->iteration >= run->plan->iterations || queued->rung >= ladder.rung_count)
        sim_fail(sim, self->name, "job %u: iteration %u rung %u is not in the plan", queued->job,
                 queued->iteration, queued->rung);
    else if (fabs(queued->budget - ladder.budgets[queued->rung]) > 1e-9 * queued->budget)
        sim_fail(sim, self->name, "job %u: budget %g, the plan says %g", queued->job,
                 queued->budget, ladder.budgets[queued->rung]);
    else if (rung.own != NULL)
        sim_fail(sim, self->name, "job %u: config %u runs twice at rung %u of iteration %u",
                 queued->job, queued->config, queued->rung, queued->iteration);
    else if (rung.jobs >= ladder.counts[queued->rung])
        sim_fail(sim, self->name, "job %u: rung %u of iteration %u has its %u configs", queued->job,
                 queued->rung, queued->iteration, ladder.counts[queued->rung]);
}

static void promotions_earned(struct sim *sim, const struct sim_checker *self,
                              const struct sim_probe *probe)
{
    if (probe->kind != SIM_PROBE_FACT || probe->fact->kind != HD_FACT_JOB_QUEUED)
        return;
    const struct sim_ledger_run *run = run_of(probe);
    const struct hd_fact_job_queued *queued = &probe->fact->as.job_queued;
    if (run == NULL || run->plan == NULL || run->plan->asha != SIM_ASHA_NONE ||
        queued->config >= run->config_count || queued->repeat > 0 || run->reruns > 0 ||
        queued->again > 0)
        return;
    bool fresh = run->configs[queued->config].id.budget_index == queued->rung;
    if (fresh != isnan(queued->budget_previous))
        sim_fail(sim, self->name, "job %u: config [%u,%u,%u] at rung %u comes from budget %g",
                 queued->job, run->configs[queued->config].id.iteration,
                 run->configs[queued->config].id.budget_index,
                 run->configs[queued->config].id.running_index, queued->rung,
                 queued->budget_previous);
    if (queued->rung == 0 || sim->result->failed)
        return;
    struct ladder ladder;
    ladder_of(run->plan, queued->iteration, &ladder);
    struct rung below = count_rung(run, queued->iteration, queued->rung - 1, queued->config);
    bool cut_short = run->state == HD_RUN_CLOSING ||
                     (run->plan->configs_max > 0 && run->config_count >= run->plan->configs_max);
    if (below.open > 0 || (below.jobs < ladder.counts[queued->rung - 1] && !cut_short))
        sim_fail(sim, self->name, "job %u is at rung %u while %u of rung %u are unfinished",
                 queued->job, queued->rung,
                 below.open + ladder.counts[queued->rung - 1] - below.jobs, queued->rung - 1);
    else if (fresh && below.ok >= ladder.counts[queued->rung])
        sim_fail(sim, self->name, "job %u: a new config takes the place of a survivor",
                 queued->job);
    else if (!fresh && (below.own == NULL || !job_ok(below.own)))
        sim_fail(sim, self->name, "job %u: config %u advances without a result", queued->job,
                 queued->config);
    else if (!fresh && below.better >= ladder.counts[queued->rung])
        sim_fail(sim, self->name, "job %u: config %u advances, ranked %u of %u places", queued->job,
                 queued->config, below.better + 1, ladder.counts[queued->rung]);
}

/* ---- the whole ladder, when a run says that all iterations are done
 * ----------------------------------------- */

static void ladders_complete(struct sim *sim, const struct sim_checker *self,
                             const struct sim_probe *probe)
{
    if (probe->kind != SIM_PROBE_FACT || probe->fact->kind != HD_FACT_RUN_STATE ||
        probe->fact->as.run_state.state != HD_RUN_FINISHED ||
        !hd_streq(probe->fact->as.run_state.reason, "all iterations done"))
        return;
    const struct sim_ledger_run *run = run_of(probe);
    if (run == NULL || run->plan == NULL || run->reruns > 0)
        return;
    if (run->plan->asha != SIM_ASHA_NONE) {
        uint32_t planned = run->plan->iterations * sim_plan_first_count(run->plan, 0);
        if (run->config_count != planned)
            sim_fail(sim, self->name, "run %s is done with %zu of %u configs", run->run_id,
                     run->config_count, planned);
        return;
    }
    for (uint32_t iteration = 0; iteration < run->plan->iterations; iteration++) {
        struct ladder ladder;
        ladder_of(run->plan, iteration, &ladder);
        for (uint32_t number = 0; number < ladder.rung_count; number++) {
            struct rung rung = count_rung(run, iteration, number, UINT32_MAX);
            if (rung.jobs != ladder.counts[number] || rung.open > 0)
                sim_fail(sim, self->name,
                         "run %s is done with %u of %u jobs (%u open) at rung %u of iteration %u",
                         run->run_id, rung.jobs, ladder.counts[number], rung.open, number,
                         iteration);
        }
    }
}

const struct sim_checker sim_checkers_brackets[] = {
    {"config-ids-unique", "Configs are numbered without gaps and no two share an id.", ids_unique},
    {"slots-fit-the-plan",
     "Every job has a place in its bracket: iteration, rung, budget, and not "
     "more than the plan holds.",
     slot_fits},
    {"promotions-earned",
     "Only the best of a finished rung advance; a new config fills a slot only "
     "when no survivor can.",
     promotions_earned},
    {"ladders-complete", "A run whose iterations are done has run exactly what the plan says.",
     ladders_complete},
};
const size_t sim_checkers_brackets_count = HD_COUNT(sim_checkers_brackets);
