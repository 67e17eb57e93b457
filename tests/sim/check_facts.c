/* SPDX-License-Identifier: Apache-2.0 */
/* check_facts.c: promises about what becomes durable, judged fact by fact. */
#include "cluster.h"

#include <hd/known.h>

#include <inttypes.h>
#include <math.h>
#include <string.h>

static struct sim_ledger_run *run_of(const struct sim_probe *probe)
{
    struct sim_ledger *ledger = &probe->master->ledger;
    return probe->fact->run < ledger->run_count ? &ledger->runs[probe->fact->run] : NULL;
}

static void facts_in_sequence(struct sim *sim, const struct sim_checker *self,
                              const struct sim_probe *probe)
{
    if (probe->kind != SIM_PROBE_FACT)
        return;
    uint64_t expected = probe->master->ledger.fact_count + 1;
    if (probe->fact->seq != expected)
        sim_fail(sim, self->name, "fact %" PRIu64 " where %" PRIu64 " was due", probe->fact->seq,
                 expected);
}

static void one_result(struct sim *sim, const struct sim_checker *self,
                       const struct sim_probe *probe)
{
    if (probe->kind != SIM_PROBE_FACT || probe->fact->kind != HD_FACT_ATTEMPT_ENDED)
        return;
    const struct hd_fact_attempt_ended *ended = &probe->fact->as.attempt_ended;
    const struct sim_job *job =
        sim_ledger_job(&probe->master->ledger, probe->fact->run, ended->job);
    if (job == NULL) {
        sim_fail(sim, self->name, "a result for job %u, which does not exist", ended->job);
        return;
    }
    if (job->closed) {
        sim_fail(sim, self->name, "job %u has a result already (%s), attempt %u brings another",
                 ended->job, hd_outcome_name(job->outcome), ended->attempt);
        return;
    }
    if (job->attempt_count == 0)
        return;
    const struct sim_attempt *last = &job->attempts[job->attempt_count - 1];
    if (ended->attempt != last->number)
        sim_fail(sim, self->name, "job %u: attempt %u ended, and the latest is %u", ended->job,
                 ended->attempt, last->number);
    else if (ended->by_report && (!last->open || !hd_streq(last->worker, ended->worker)))
        sim_fail(sim, self->name, "job %u: a result of %s for attempt %u, leased to %s, %s",
                 ended->job, ended->worker, ended->attempt, last->worker,
                 last->open ? "open" : "over");
}

static void one_lease(struct sim *sim, const struct sim_checker *self,
                      const struct sim_probe *probe)
{
    if (probe->kind != SIM_PROBE_FACT || probe->fact->kind != HD_FACT_ATTEMPT_LEASED)
        return;
    const struct hd_fact_attempt_leased *leased = &probe->fact->as.attempt_leased;
    const struct sim_job *job =
        sim_ledger_job(&probe->master->ledger, probe->fact->run, leased->job);
    if (job == NULL || job->closed)
        sim_fail(sim, self->name, "job %u is leased and %s", leased->job,
                 job == NULL ? "does not exist" : "closed");
    else if (job->open)
        sim_fail(sim, self->name, "job %u is leased to %s while attempt %u lives", leased->job,
                 leased->worker, job->attempts[job->attempt_count - 1].number);
}

static void attempts_rise(struct sim *sim, const struct sim_checker *self,
                          const struct sim_probe *probe)
{
    if (probe->kind != SIM_PROBE_FACT || probe->fact->kind != HD_FACT_ATTEMPT_LEASED)
        return;
    const struct hd_fact_attempt_leased *leased = &probe->fact->as.attempt_leased;
    const struct sim_job *job =
        sim_ledger_job(&probe->master->ledger, probe->fact->run, leased->job);
    uint32_t last =
        job == NULL || job->attempt_count == 0 ? 0 : job->attempts[job->attempt_count - 1].number;
    if (leased->attempt != last + 1)
        sim_fail(sim, self->name, "job %u: attempt %u after %u", leased->job, leased->attempt,
                 last);
}

static void lease_once(struct sim *sim, const struct sim_checker *self,
                       const struct sim_probe *probe)
{
    if (probe->kind != SIM_PROBE_FACT || probe->fact->kind != HD_FACT_ATTEMPT_LEASED)
        return;
    const struct hd_fact_attempt_leased *leased = &probe->fact->as.attempt_leased;
    struct sim_ledger *ledger = &probe->master->ledger;
    for (size_t r = 0; r < ledger->run_count; r++) {
        for (size_t j = 0; j < ledger->runs[r].job_count; j++) {
            const struct sim_job *job = &ledger->runs[r].jobs[j];
            for (size_t a = 0; a < job->attempt_count; a++) {
                const struct sim_attempt *attempt = &job->attempts[a];
                if (attempt->incarnation == leased->incarnation &&
                    attempt->sequence == leased->sequence &&
                    hd_streq(attempt->worker, leased->worker))
                    sim_fail(sim, self->name,
                             "request %" PRIu64 " of %s got job %u and, sent again, job %u",
                             leased->sequence, leased->worker, (uint32_t)j, leased->job);
            }
        }
    }
}

/* ---- retries
 * ------------------------------------------------------------------------------------------ */

static uint32_t requeued_by(const struct sim_job *job, enum hd_outcome outcome)
{
    uint32_t count = 0;
    for (size_t a = 0; a < job->attempt_count; a++)
        if (!job->attempts[a].open && job->attempts[a].outcome == outcome)
            count++;
    return count;
}

static void fail_if_charged(struct sim *sim, const struct sim_checker *self,
                            const struct hd_fact_attempt_ended *ended)
{
    if (ended->charged)
        sim_fail(sim, self->name, "job %u: what a worker could not start is charged", ended->job);
}

static void retries_as_set(struct sim *sim, const struct sim_checker *self,
                           const struct sim_probe *probe)
{
    if (probe->kind != SIM_PROBE_FACT || probe->fact->kind != HD_FACT_ATTEMPT_ENDED)
        return;
    const struct hd_fact_attempt_ended *ended = &probe->fact->as.attempt_ended;
    const struct sim_ledger_run *run = run_of(probe);
    const struct sim_job *job =
        sim_ledger_job(&probe->master->ledger, probe->fact->run, ended->job);
    if (run == NULL || job == NULL || run->plan == NULL || ended->attempt == 0)
        return;
    bool over = run->state == HD_RUN_FINISHED || run->state == HD_RUN_CANCELLED ||
                run->commands[HD_COMMAND_CANCEL_RUN] > 0;
    uint32_t allowed = 0;
    if (ended->outcome == HD_OUTCOME_INFRA)
        allowed = run->plan->retries_infra;
    else if (ended->outcome == HD_OUTCOME_FAILED)
        allowed = run->plan->retries_failed;
    uint32_t used = requeued_by(job, ended->outcome);
    bool again = ended->outcome == HD_OUTCOME_PREEMPTED || used < allowed;
    if (ended->outcome == HD_OUTCOME_PREEMPTED && ended->charged)
        sim_fail(sim, self->name, "job %u: a preempted attempt is charged", ended->job);
    else if (ended->outcome == HD_OUTCOME_CONFIG_ERROR && ended->requeued)
        fail_if_charged(sim, self, ended); /* another worker tries */
    else if (ended->requeued != (again && !over))
        sim_fail(sim, self->name, "job %u: %s, %u of %u retries used, and %s", ended->job,
                 hd_outcome_name(ended->outcome), used, allowed,
                 ended->requeued ? "queued again" : "closed");
}

/* ---- run states
 * ---------------------------------------------------------------------------------------- */

static bool may_move(const struct sim_ledger_run *run, enum hd_run_state to)
{
    enum hd_run_state from = run->state;
    switch (from) {
    case HD_RUN_ACTIVE:
        return true;
    case HD_RUN_CLOSING:
        return to != HD_RUN_ACTIVE;
    case HD_RUN_PAUSED:
        return true;
    case HD_RUN_FINISHED: /* it was given more to do */
        return to == HD_RUN_ACTIVE && ((run->commands[HD_COMMAND_SET_LIMIT] > 0 &&
                                        run->commands[HD_COMMAND_RESUME_RUN] > 0) ||
                                       run->commands[HD_COMMAND_REQUEUE_JOB] > 0);
    case HD_RUN_CANCELLED:
    case HD_RUN_STATE_COUNT:
        return false;
    }
    return false;
}

static void states_hold(struct sim *sim, const struct sim_checker *self,
                        const struct sim_probe *probe)
{
    if (probe->kind != SIM_PROBE_FACT)
        return;
    const struct sim_ledger_run *run = run_of(probe);
    if (run == NULL)
        return;
    bool moves = probe->fact->kind == HD_FACT_RUN_STATE;
    bool spends = probe->fact->kind == HD_FACT_CONFIG_PROPOSED ||
                  probe->fact->kind == HD_FACT_JOB_QUEUED ||
                  probe->fact->kind == HD_FACT_ATTEMPT_LEASED;
    /* A person may have it ready for when a paused run goes on. */
    bool rerun = probe->fact->kind == HD_FACT_JOB_QUEUED && probe->fact->as.job_queued.again > 0 &&
                 run->state == HD_RUN_PAUSED;
    if (moves && !may_move(run, probe->fact->as.run_state.state))
        sim_fail(sim, self->name, "run %s goes from %s to %s", run->run_id,
                 hd_run_state_name(run->state), hd_run_state_name(probe->fact->as.run_state.state));
    else if (moves && probe->fact->as.run_state.reason[0] == '\0')
        sim_fail(sim, self->name, "run %s becomes %s without a reason", run->run_id,
                 hd_run_state_name(probe->fact->as.run_state.state));
    else if (spends && run->state != HD_RUN_ACTIVE && run->state != HD_RUN_CLOSING && !rerun)
        sim_fail(sim, self->name, "run %s is %s, and yet: %s", run->run_id,
                 hd_run_state_name(run->state), hd_fact_kind_name(probe->fact->kind));
    else if (run->state == HD_RUN_CLOSING && probe->fact->kind == HD_FACT_CONFIG_PROPOSED)
        sim_fail(sim, self->name, "run %s takes no new configs, and got one", run->run_id);
}

/* Limits and rules of a run, looked at when a batch is durable. */
static const char *due_end(const struct sim_ledger_run *run)
{
    const struct sim_run_plan *plan = run->plan;
    if (plan->has_goal && run->has_best && run->best_loss <= plan->goal)
        return "its goal is reached";
    if (plan->full_evaluations_max > 0 && run->full_count >= plan->full_evaluations_max)
        return "its full evaluations are done";
    if (plan->failures_max > 0 &&
        run->closed_count - run->ok_count - run->stopped_count >= plan->failures_max)
        return "too many jobs failed";
    if (run->commands[HD_COMMAND_CANCEL_RUN] > 0)
        return "it was cancelled";
    return NULL;
}

static void limits_hold(struct sim *sim, const struct sim_checker *self,
                        const struct sim_probe *probe)
{
    if (probe->kind != SIM_PROBE_COMMIT)
        return;
    struct sim_ledger *ledger = &probe->master->ledger;
    for (size_t r = 0; r < ledger->run_count; r++) {
        const struct sim_ledger_run *run = &ledger->runs[r];
        const struct sim_run_plan *plan = run->plan;
        if (plan == NULL)
            continue;
        bool over = run->state == HD_RUN_FINISHED || run->state == HD_RUN_CANCELLED;
        const char *due = due_end(run);
        if (plan->configs_max > 0 && run->config_count > plan->configs_max)
            sim_fail(sim, self->name, "run %s: %zu configs, the limit is %u", run->run_id,
                     run->config_count, plan->configs_max);
        else if (plan->jobs_max > 0 && run->job_count > plan->jobs_max + run->reruns)
            sim_fail(sim, self->name, "run %s: %zu jobs, the limit is %u", run->run_id,
                     run->job_count, plan->jobs_max);
        else if (due != NULL && !over)
            sim_fail(sim, self->name, "run %s is %s although %s", run->run_id,
                     hd_run_state_name(run->state), due);
        else if (plan->pause_after > 0 && run->ok_count == 0 && !over &&
                 run->failure_streak >= plan->pause_after && run->state != HD_RUN_PAUSED)
            sim_fail(sim, self->name, "run %s: %u failures, no success, and it goes on",
                     run->run_id, run->failure_streak);
    }
}

/* ---- proposals
 * ------------------------------------------------------------------------------------------ */

/* What the run was submitted with, whatever the master has made of it since. */
static struct hd_known *submitted_known(struct sim *sim, const struct hd_run_view *view)
{
    struct hd_known *known = NULL;
    struct hd_err err;
    for (uint32_t r = 0; r < sim_run_total(sim); r++) {
        const struct sim_run_plan *plan = &sim->plan->runs[r];
        if (plan->run_uid != view->run_uid)
            continue;
        const char *text = sim_known_text(sim, plan, view->experiment_json);
        enum hd_code code = hd_known_parse(text, view->experiment, &known, &err);
        hd_assert(code == HD_OK);
    }
    return known;
}

static struct hd_sampler *fresh_sampler(struct sim *sim, const struct sim_probe *probe,
                                        uint32_t run_number, uint32_t config, uint64_t cut)
{
    struct hd_run_view view;
    hd_core_view_run(probe->master->shadow, run_number, &view);
    struct hd_known *known = submitted_known(sim, &view);
    struct hd_sampler_spec spec = {.name = view.experiment->sampler_name,
                                   .settings = view.experiment->sampler_settings,
                                   .seed = view.seed,
                                   .initial = view.experiment->initial,
                                   .initial_count = view.experiment->initial_count,
                                   .objective_count = view.experiment->objective_count,
                                   .constrained = view.experiment->constraint_count > 0,
                                   .known = known};
    struct hd_sampler *sampler = NULL;
    struct hd_err err;
    enum hd_code code = hd_sampler_new(&spec, view.experiment->space, &sampler, &err);
    hd_assert(code == HD_OK);
    hd_known_free(known);
    const struct sim_ledger *ledger = &probe->master->ledger;
    const struct sim_ledger_run *run = &ledger->runs[run_number];
    for (uint32_t c = 0; c < config && c < run->config_count; c++) {
        code = hd_sampler_add(sampler, c, run->configs[c].values, &err);
        hd_assert(code == HD_OK);
    }
    for (size_t f = 0; f < ledger->fact_count && ledger->facts[f]->seq <= cut; f++) {
        const struct hd_fact *fact = ledger->facts[f];
        double loss = ledger->told_losses[f], budget = ledger->told_budgets[f];
        if (fact->run != run_number || isnan(budget))
            continue;
        const struct sim_job *job = &run->jobs[sim_told_job(fact)];
        if (job->config >= config)
            continue;
        struct hd_score score = sim_told_score(fact, loss);
        code = hd_sampler_tell_score(sampler, job->config, budget, &score, &err);
        hd_assert(code == HD_OK);
    }
    return sampler;
}

static void check_ask(struct sim *sim, const struct sim_checker *self,
                      const struct sim_probe *probe, const struct hd_ask *ask)
{
    uint64_t last = ask->run < SIM_RUNS_MAX ? probe->master->result_seq[ask->run] : 0;
    for (size_t f = 0; f < probe->update->fact_count; f++) {
        const struct hd_fact *fact = &probe->update->facts[f];
        if (fact->run == ask->run && fact->kind == HD_FACT_ATTEMPT_ENDED &&
            !fact->as.attempt_ended.requeued)
            last = fact->seq;
    }
    /* A learning curve moves it too, and whether it does is known once it is committed. */
    const struct sim_ledger *ledger = &probe->master->ledger;
    bool later = ask->run < ledger->run_count && ledger->runs[ask->run].plan != NULL &&
                 (ledger->runs[ask->run].plan->asha == SIM_ASHA_STOPPING ||
                  ledger->runs[ask->run].plan->early != SIM_EARLY_NONE);
    if (ask->cut != last && !(later && ask->cut > last))
        sim_fail(sim, self->name,
                 "config %u is asked for with cut %" PRIu64 ", the last result is fact %" PRIu64,
                 ask->config, ask->cut, last);
}

static void check_proposal(struct sim *sim, const struct sim_checker *self,
                           const struct sim_probe *probe)
{
    const struct hd_fact_config_proposed *proposed = &probe->fact->as.config_proposed;
    const struct sim_ledger_run *run = run_of(probe);
    uint64_t luck = hd_hash_u64(hd_hash_u64(HD_HASH_INIT, sim->seed), probe->fact->seq);
    bool chosen = proposed->info.model || (luck >> 32) % 4 == 0;
    if (run == NULL || !chosen || proposed->config >= run->ask_count)
        return;
    sim->cover->proposals_checked++;
    struct hd_sampler *sampler =
        fresh_sampler(sim, probe, probe->fact->run, proposed->config, proposed->cut);
    double values[32];
    struct hd_proposal_info info;
    struct hd_err err;
    hd_assert(proposed->value_count <= HD_COUNT(values));
    enum hd_code code = hd_sampler_suggest(sampler, proposed->config,
                                           run->ask_budgets[proposed->config], values, &info, &err);
    hd_sampler_free(sampler);
    bool same = code == HD_OK;
    for (size_t v = 0; v < proposed->value_count && same; v++)
        same = values[v] == proposed->values[v] || (isnan(values[v]) && isnan(proposed->values[v]));
    if (!same)
        sim_fail(sim, self->name,
                 "config %u at cut %" PRIu64 ": the same history proposes something else",
                 proposed->config, proposed->cut);
}

static void proposals_by_cut(struct sim *sim, const struct sim_checker *self,
                             const struct sim_probe *probe)
{
    if (probe->kind == SIM_PROBE_FACT && probe->fact->kind == HD_FACT_CONFIG_PROPOSED)
        check_proposal(sim, self, probe);
    if (probe->kind == SIM_PROBE_STEP)
        for (size_t a = 0; a < probe->update->ask_count && !sim->result->failed; a++)
            check_ask(sim, self, probe, &probe->update->asks[a]);
}

const struct sim_checker sim_checkers_facts[] = {
    {"facts-in-sequence", "Facts are numbered 1, 2, 3 without a gap over all runs of a store.",
     facts_in_sequence},
    {"one-accepted-result",
     "A job gets one result, from its latest attempt and from the worker "
     "that attempt was leased to.",
     one_result},
    {"no-two-leases", "No job has two live attempts, and none is leased after its end.", one_lease},
    {"attempts-rise", "The attempt numbers of a job rise by one.", attempts_rise},
    {"lease-once", "A lease request that is sent again gets the same job, never a second one.",
     lease_once},
    {"retries-as-set",
     "A job is tried again exactly as often as its experiment says; being "
     "preempted costs nothing.",
     retries_as_set},
    {"states-hold",
     "A run moves between states as the table allows, says why, and spends nothing "
     "while paused or after its end.",
     states_hold},
    {"limits-hold",
     "Limits, goals, failures without success and cancels take effect with the "
     "commit that reaches them.",
     limits_hold},
    {"proposals-by-cut",
     "A proposal depends on the seed, the config number and the history up to "
     "its cut alone, and the cut is the last result.",
     proposals_by_cut},
};
const size_t sim_checkers_facts_count = HD_COUNT(sim_checkers_facts);
