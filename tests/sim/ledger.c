/* SPDX-License-Identifier: Apache-2.0 */
/* ledger.c: what the committed facts say, folded without the core. */
#include "cluster.h"

#include <math.h>
#include <string.h>

/* ---- a fact of our own
 * --------------------------------------------------------------------------- */

static const double *copy_doubles(struct sim *sim, const double *numbers, size_t count)
{
    double *copy = sim_alloc(sim, (count + 1) * sizeof(*copy));
    if (count > 0)
        memcpy(copy, numbers, count * sizeof(*copy));
    return copy;
}

static void copy_leased(struct sim *sim, struct hd_fact_attempt_leased *leased)
{
    leased->worker = sim_text(sim, leased->worker);
    leased->root = sim_text(sim, leased->root);
    leased->directory = sim_text(sim, leased->directory);
}

static void copy_ended(struct sim *sim, struct hd_fact_attempt_ended *ended)
{
    ended->measures = copy_doubles(sim, ended->measures, ended->measure_count);
    ended->worker = sim_text(sim, ended->worker);
    ended->message = sim_text(sim, ended->message);
    ended->info_json = sim_text(sim, ended->info_json);
    ended->image_id = sim_text(sim, ended->image_id);
    ended->graphs_json = sim_text(sim, ended->graphs_json);
    ended->root = sim_text(sim, ended->root);
    ended->directory = sim_text(sim, ended->directory);
}

struct hd_fact *sim_fact_copy(struct sim *sim, const struct hd_fact *fact)
{
    struct hd_fact *copy = sim_alloc(sim, sizeof(*copy));
    *copy = *fact;
    switch (fact->kind) {
    case HD_FACT_RUN_CREATED:
        copy->as.run_created.run_id = sim_text(sim, fact->as.run_created.run_id);
        copy->as.run_created.experiment_json = sim_text(sim, fact->as.run_created.experiment_json);
        copy->as.run_created.known_json = sim_text(sim, fact->as.run_created.known_json);
        break;
    case HD_FACT_CONFIG_PROPOSED:
        copy->as.config_proposed.values = copy_doubles(sim, fact->as.config_proposed.values,
                                                       fact->as.config_proposed.value_count);
        if (fact->as.config_proposed.params_json != NULL)
            copy->as.config_proposed.params_json =
                sim_text(sim, fact->as.config_proposed.params_json);
        break;
    case HD_FACT_ATTEMPT_LEASED:
        copy_leased(sim, &copy->as.attempt_leased);
        break;
    case HD_FACT_ATTEMPT_ENDED:
        copy_ended(sim, &copy->as.attempt_ended);
        break;
    case HD_FACT_REPORT_REFUSED:
        copy->as.report_refused.worker = sim_text(sim, fact->as.report_refused.worker);
        copy->as.report_refused.reason = sim_text(sim, fact->as.report_refused.reason);
        break;
    case HD_FACT_COMMAND_GIVEN:
        copy->as.command_given.reason = sim_text(sim, fact->as.command_given.reason);
        break;
    case HD_FACT_RUN_STATE:
        copy->as.run_state.reason = sim_text(sim, fact->as.run_state.reason);
        break;
    case HD_FACT_WORKER_STATE:
        copy->as.worker_state.worker = sim_text(sim, fact->as.worker_state.worker);
        copy->as.worker_state.reason = sim_text(sim, fact->as.worker_state.reason);
        break;
    case HD_FACT_JOB_QUEUED:
    case HD_FACT_CURVE_POINT:
    case HD_FACT_KIND_COUNT:
        break;
    }
    return copy;
}

/* ---- looking
 * ----------------------------------------------------------------------------------------- */

struct sim_ledger_run *sim_ledger_find(struct sim_ledger *ledger, uint64_t run_uid)
{
    for (size_t r = 0; r < ledger->run_count; r++)
        if (ledger->runs[r].run_uid == run_uid)
            return &ledger->runs[r];
    return NULL;
}

struct sim_job *sim_ledger_job(struct sim_ledger *ledger, uint32_t run, uint32_t job)
{
    if (run >= ledger->run_count || job >= ledger->runs[run].job_count)
        return NULL;
    return &ledger->runs[run].jobs[job];
}

struct sim_attempt *sim_job_attempt(const struct sim_job *job, uint32_t number)
{
    for (size_t a = job->attempt_count; a > 0; a--)
        if (job->attempts[a - 1].number == number)
            return &job->attempts[a - 1];
    return NULL;
}

struct sim_attempt *sim_job_open(const struct sim_job *job)
{
    return job->open ? &job->attempts[job->attempt_count - 1] : NULL;
}

bool sim_run_over(const struct sim_ledger_run *run)
{
    if (run->state == HD_RUN_ACTIVE || run->state == HD_RUN_CLOSING)
        return false;
    for (size_t j = 0; j < run->job_count; j++)
        if (run->jobs[j].open)
            return false;
    return true;
}

/* ---- folding
 * ----------------------------------------------------------------------------------------- */

static void fold_created(struct sim *sim, struct sim_ledger *ledger, const struct hd_fact *fact)
{
    if (ledger->run_count >= SIM_RUNS_MAX || fact->run != ledger->run_count)
        return;
    struct sim_ledger_run *run = &ledger->runs[ledger->run_count++];
    run->incumbent = NAN;
    run->run_uid = fact->as.run_created.run_uid;
    run->run_id = fact->as.run_created.run_id;
    run->seed = fact->as.run_created.seed;
    run->state = HD_RUN_ACTIVE;
    run->reason = "";
    for (uint32_t r = 0; r < sim_run_total(sim); r++)
        if (sim->plan->runs[r].run_uid == run->run_uid)
            run->plan = &sim->plan->runs[r];
}

static void fold_proposed(struct sim *sim, struct sim_ledger_run *run, const struct hd_fact *fact)
{
    run->configs = sim_grow(sim, run->configs, sizeof(*run->configs), run->config_count,
                            &run->config_capacity);
    struct sim_config *config = &run->configs[run->config_count++];
    *config = (struct sim_config){
        .id = fact->as.config_proposed.id,
        .values = fact->as.config_proposed.values,
        .value_count = fact->as.config_proposed.value_count,
        .cut = fact->as.config_proposed.cut,
        .seq = fact->seq,
        .root = "",
        .directory = "",
        .state_budget = NAN,
        .curve = {.best = INFINITY, .steps = {NAN, NAN}, .bests = {NAN, NAN}},
    };
}

static void fold_queued(struct sim *sim, struct sim_ledger_run *run, const struct hd_fact *fact)
{
    run->jobs = sim_grow(sim, run->jobs, sizeof(*run->jobs), run->job_count, &run->job_capacity);
    struct sim_job *job = &run->jobs[run->job_count++];
    uint32_t again = fact->as.job_queued.again;
    run->reruns += again > 0 ? 1 : 0;
    if (again > 0 && again < run->job_count)
        run->jobs[again - 1].followed = true;
    *job = (struct sim_job){
        .again = again,
        .config = fact->as.job_queued.config,
        .iteration = fact->as.job_queued.iteration,
        .rung = fact->as.job_queued.rung,
        .budget = fact->as.job_queued.budget,
        .budget_previous = fact->as.job_queued.budget_previous,
        .repeat = fact->as.job_queued.repeat,
        .queued_seq = fact->seq,
        .waiting_since_ms = sim->now_ms,
        .loss = NAN,
        .reached = NAN,
    };
}

/* The driver's wall clock is virtual time here, so a fact tells when its step was. */
static void fold_leased(struct sim *sim, const struct sim_master *master, struct sim_job *job,
                        const struct hd_fact *fact)
{
    const struct hd_fact_attempt_leased *leased = &fact->as.attempt_leased;
    job->attempts = sim_grow(sim, job->attempts, sizeof(*job->attempts), job->attempt_count,
                             &job->attempt_capacity);
    struct sim_attempt *attempt = &job->attempts[job->attempt_count++];
    *attempt = (struct sim_attempt){
        .number = leased->attempt,
        .open = true,
        .worker = leased->worker,
        .incarnation = leased->incarnation,
        .sequence = leased->sequence,
        .root = leased->root,
        .directory = leased->directory,
        .budget_previous = leased->budget_previous,
        .leased_seq = fact->seq,
        .leased_ms = fact->wall_ms + master->clock_offset_ms,
        .renewed_ms = fact->wall_ms + master->clock_offset_ms,
        .missed_ms = INT64_MIN,
        .outcome = HD_OUTCOME_COUNT,
    };
    job->open = true;
}

static void close_job(struct sim_ledger_run *run, struct sim_job *job, const struct hd_fact *fact)
{
    const struct hd_fact_attempt_ended *ended = &fact->as.attempt_ended;
    job->closed = true;
    job->outcome = ended->outcome;
    job->loss = ended->loss;
    job->closed_seq = fact->seq;
    run->closed_count++;
    run->stopped_count += ended->outcome == HD_OUTCOME_STOPPED ? 1 : 0;
    run->last_result_seq = fact->seq;
    if (ended->outcome == HD_OUTCOME_OK && job->config < run->config_count) {
        run->ok_count++;
        struct sim_config *config = &run->configs[job->config];
        if (job->repeat == 0) { /* what a repeat leaves is nobody's */
            config->root = ended->root;
            config->directory = ended->directory;
            config->state_budget = job->budget;
        }
        run->failure_streak = 0;
        if (run->plan != NULL && job->budget >= run->plan->budget_max && !job->decided)
            run->full_count++;
        if (!run->has_best || job->budget > run->best_budget ||
            (job->budget == run->best_budget && ended->loss < run->best_loss)) {
            run->has_best = true;
            run->best_budget = job->budget;
            run->best_loss = ended->loss;
        }
    } else if (ended->outcome != HD_OUTCOME_DIVERGED && ended->outcome != HD_OUTCOME_CANCELLED &&
               ended->outcome != HD_OUTCOME_STOPPED && ended->outcome != HD_OUTCOME_PREEMPTED) {
        run->failure_streak++;
    }
}

static void fold_ended(struct sim *sim, struct sim_ledger_run *run, struct sim_job *job,
                       const struct hd_fact *fact)
{
    const struct hd_fact_attempt_ended *ended = &fact->as.attempt_ended;
    struct sim_attempt *attempt = sim_job_attempt(job, ended->attempt);
    /* A job that waits for another attempt ends under the number of its last one. */
    if (attempt != NULL && attempt->open) {
        attempt->open = false;
        attempt->outcome = ended->outcome;
        attempt->by_report = ended->by_report;
        if (job->attempt_count > 0 && attempt == &job->attempts[job->attempt_count - 1])
            job->open = false;
    }
    if (ended->by_report)
        job->accepted += ended->requeued ? 0 : 1;
    if (ended->charged)
        job->charged++;
    job->waiting_since_ms = sim->now_ms;
    if (!ended->requeued && !job->closed) {
        close_job(run, job, fact);
        if (job->repeat == 0)
            sim_early_closed(sim, run, job);
    }
}

uint32_t sim_told_job(const struct hd_fact *fact)
{
    return fact->kind == HD_FACT_CURVE_POINT ? fact->as.curve_point.job
                                             : fact->as.attempt_ended.job;
}

struct hd_score sim_told_score(const struct hd_fact *fact, double loss)
{
    struct hd_score score = hd_score_of(loss);
    if (fact->kind != HD_FACT_ATTEMPT_ENDED || fact->as.attempt_ended.measure_count == 0)
        return score;
    score.losses[1] = fact->as.attempt_ended.measures[1];
    score.violation = fact->as.attempt_ended.violation;
    return score;
}

/* Of a noisy target's config the mean of all that it came to at the highest budget. */
static double told_loss(const struct sim_ledger_run *run, const struct sim_job *job,
                        const struct hd_fact_attempt_ended *ended)
{
    if (run->plan == NULL || run->plan->repeats == 0 || job->budget < run->plan->budget_max ||
        ended->outcome != HD_OUTCOME_OK)
        return ended->loss;
    double sum = 0, count = 0;
    for (size_t j = 0; j < run->job_count; j++) {
        const struct sim_job *other = &run->jobs[j];
        if (other->config != job->config || other->budget < job->budget || !other->closed ||
            other->outcome != HD_OUTCOME_OK)
            continue;
        sum += other->loss;
        count++;
    }
    return sum / count;
}

/* At which budget the sampler hears of a result; NaN: it is none. */
static double told_budget(const struct sim_job *job, const struct hd_fact_attempt_ended *ended)
{
    /* Of a job that was to be stopped it heard when that was decided. */
    bool lost = job->repeat > 0 && ended->outcome != HD_OUTCOME_OK;
    return ended->requeued || job->decided || lost ? NAN : job->budget;
}

void sim_ledger_fold(struct sim *sim, struct sim_ledger *ledger, const struct hd_fact *fact)
{
    struct sim_master *master = NULL;
    for (uint32_t m = 0; m < SIM_MASTERS_MAX; m++)
        if (&sim->masters[m].ledger == ledger)
            master = &sim->masters[m];
    ledger->facts = sim_grow(sim, ledger->facts, sizeof(*ledger->facts), ledger->fact_count,
                             &ledger->fact_capacity);
    ledger->told_budgets = sim_grow(sim, ledger->told_budgets, sizeof(*ledger->told_budgets),
                                    ledger->fact_count, &ledger->told_capacity);
    ledger->told_losses = sim_grow(sim, ledger->told_losses, sizeof(*ledger->told_losses),
                                   ledger->fact_count, &ledger->loss_capacity);
    double *told = &ledger->told_budgets[ledger->fact_count];
    double *loss = &ledger->told_losses[ledger->fact_count];
    *told = *loss = NAN;
    ledger->facts[ledger->fact_count++] = sim_fact_copy(sim, fact);
    fact = ledger->facts[ledger->fact_count - 1];
    if (fact->kind == HD_FACT_RUN_CREATED)
        fold_created(sim, ledger, fact);
    if (fact->run >= ledger->run_count)
        return;
    struct sim_ledger_run *run = &ledger->runs[fact->run];
    struct sim_job *job;
    switch (fact->kind) {
    case HD_FACT_CONFIG_PROPOSED:
        fold_proposed(sim, run, fact);
        break;
    case HD_FACT_JOB_QUEUED:
        fold_queued(sim, run, fact);
        break;
    case HD_FACT_ATTEMPT_LEASED:
        job = sim_ledger_job(ledger, fact->run, fact->as.attempt_leased.job);
        if (job != NULL)
            fold_leased(sim, master, job, fact);
        break;
    case HD_FACT_ATTEMPT_ENDED:
        job = sim_ledger_job(ledger, fact->run, fact->as.attempt_ended.job);
        if (job != NULL)
            fold_ended(sim, run, job, fact);
        if (job != NULL)
            *told = told_budget(job, &fact->as.attempt_ended);
        if (job != NULL)
            *loss = told_loss(run, job, &fact->as.attempt_ended);
        break;
    case HD_FACT_CURVE_POINT:
        job = sim_ledger_job(ledger, fact->run, fact->as.curve_point.job);
        *loss = fact->as.curve_point.loss;
        if (job != NULL && job->repeat == 0)
            *told = sim_early_point(sim, run, job, &fact->as.curve_point);
        if (!isnan(*told))
            run->last_result_seq = fact->seq;
        break;
    case HD_FACT_COMMAND_GIVEN:
        if (fact->as.command_given.op < HD_COMMAND_OP_COUNT)
            run->commands[fact->as.command_given.op]++;
        if (fact->as.command_given.op == HD_COMMAND_RESUME_RUN ||
            fact->as.command_given.op == HD_COMMAND_REQUEUE_JOB)
            run->failure_streak = 0;
        break;
    case HD_FACT_RUN_STATE:
        sim->cover->moves[run->state][fact->as.run_state.state]++;
        run->state = fact->as.run_state.state;
        run->moved_ms = sim->now_ms;
        run->reason = fact->as.run_state.reason;
        break;
    case HD_FACT_RUN_CREATED:
    case HD_FACT_REPORT_REFUSED:
    case HD_FACT_WORKER_STATE:
    case HD_FACT_KIND_COUNT:
        break;
    }
}
