/* SPDX-License-Identifier: Apache-2.0 */
/* Attempts: how one begins (lease) and how it ends (report, lost lease, command). */
#include "core_internal.h"

#include <math.h>
#include <string.h>

/* ---- beginning ------------------------------------------------------------------------------- */

void core_fill_lease(struct hd_core *core, uint32_t run_number, const struct live *live,
                     struct hd_reply *reply)
{
    const struct run *run = core->runs[run_number];
    const struct job *job = &run->jobs[live->job];
    struct hd_lease *lease = &reply->lease;
    lease->attempt = (struct hd_attempt_ref){run->run_uid, live->job, job->attempt, job->stamp};
    lease->run_id = run->run_id;
    lease->config = job->config;
    lease->config_id = run->configs[job->config].id;
    lease->iteration = job->iteration;
    lease->rung = job->rung;
    lease->budget = job->budget;
    lease->budget_previous = live->budget_previous;
    lease->root = core_root_text(core, live->root);
    /* A later decision of this step may move the live attempts. */
    lease->directory = core_text(core, "%s", live->directory);
    lease->directory_owner = live->owner == HD_NONE ? "" : core->workers[live->owner].id;
    lease->repeat = job->repeat;
    lease->seed = core_config_seed(run, job->config, job->repeat);
    lease->lease_ms = run->experiment->lease_ms;
    reply->lease_run = run_number;
    reply->ping_ms = core_ping_ms(core);
}

void core_lease(struct hd_core *core, uint32_t run_number, uint32_t job_number,
                struct worker *worker)
{
    struct run *run = core->runs[run_number];
    const struct job *job = &run->jobs[job_number];
    const struct config *config = &run->configs[job->config];
    uint32_t root = core_job_root(run, job);
    bool holds = root != HD_NONE && (root == worker->root || core_is_shelved(core, run, job));
    struct parked parked = worker->parked;

    struct hd_fact *fact = core_fact(core, run_number, HD_FACT_ATTEMPT_LEASED);
    fact->as.attempt_leased = (struct hd_fact_attempt_leased){
        .job = job_number,
        .attempt = job->attempt + 1,
        .worker = worker->id,
        .incarnation = worker->incarnation,
        .sequence = parked.lease_sequence,
        .root = holds ? core_root_text(core, root) : "",
        .directory = holds ? config->directory : "",
        .budget_previous = holds ? config->state_budget : NAN,
    };
    core_commit(core, fact);
    core->leases_left--;
    core_unpark(core, worker);

    struct live *live = &run->live[run->jobs[job_number].place];
    core_unfit_served(run, core_usual_ms(run, job->budget, live->budget_previous));
    live->until_ms = core->now_ms + run->experiment->lease_ms;
    if (live->until_ms < core->expiry_ms)
        core->expiry_ms = live->until_ms;
    struct hd_reply *reply =
        core_reply(core, parked.address, HD_REPLY_LEASE,
                   parked.combined ? HD_LANE_REPORT : HD_LANE_LEASE, parked.sequence);
    reply->verdict = parked.verdict;
    reply->wanted = parked.wanted;
    core_fill_lease(core, run_number, live, reply);
    bool restarts = !isnan(job->budget_previous) && isnan(live->budget_previous);
    core_note(core, HD_NOTE_INFO, run_number, "job %u: attempt %u at budget %g -> %s%s", job_number,
              job->attempt, job->budget, worker->id,
              !restarts ? holds && root != worker->root ? " (its directory travels there)" : ""
              : holds   ? " (from the start: its directory holds no finished budget)"
                        : " (from the start: its directory is elsewhere)");
}

/* ---- ending ---------------------------------------------------------------------------------- */

struct ending {
    enum hd_outcome outcome;
    bool requeued;
    bool charged;
    double loss; /* NaN unless the end itself brings one */
};

static const struct hd_log_rule *rule_of(const struct run *run, uint32_t rule)
{
    return rule > 0 && rule <= run->experiment->log_rule_count
               ? &run->experiment->log_rules[rule - 1]
               : NULL;
}

/* What the target's output says counts only for an end that is a failure. */
static uint32_t rule_that_counts(enum hd_outcome outcome, uint32_t rule)
{
    switch (outcome) {
    case HD_OUTCOME_FAILED:
    case HD_OUTCOME_DIVERGED:
    case HD_OUTCOME_NO_RESULT:
    case HD_OUTCOME_TIMEOUT:
    case HD_OUTCOME_OOM:
    case HD_OUTCOME_CONFIG_ERROR:
    case HD_OUTCOME_INFRA:
        return rule;
    case HD_OUTCOME_OK:
    case HD_OUTCOME_CANCELLED:
    case HD_OUTCOME_STOPPED:
    case HD_OUTCOME_PREEMPTED:
    case HD_OUTCOME_COUNT:
        break;
    }
    return 0;
}

static void obey_rule(const struct run *run, const struct job *job, bool open, uint32_t rule_number,
                      struct ending *ending)
{
    const struct hd_log_rule *rule = rule_of(run, rule_number);
    if (rule == NULL)
        return;
    switch (rule->action) {
    case HD_LOG_NO_RETRY:
        ending->requeued = false;
        break;
    case HD_LOG_EXCLUDE_WORKER: /* not the target's fault: another worker tries */
        ending->charged = true;
        ending->requeued = open && job->retries_infra < run->experiment->target.retries_infra;
        break;
    case HD_LOG_LABEL:
    case HD_LOG_ACTION_COUNT:
        break;
    }
}

/* What an end means for the job: another attempt, or the end of it. `elsewhere`: another worker
 * may try. */
static struct ending decide(const struct run *run, const struct job *job, enum hd_outcome outcome,
                            uint32_t rule, bool elsewhere)
{
    const struct hd_target *target = &run->experiment->target;
    struct ending ending = {.outcome = outcome, .loss = NAN};
    bool open = !run->cancelling && !core_run_final(run) && job->attempt < HD_ATTEMPTS_MAX;
    switch (outcome) {
    case HD_OUTCOME_PREEMPTED: /* the worker had to leave: nobody's fault */
        ending.requeued = open;
        break;
    case HD_OUTCOME_INFRA:
        ending.charged = true;
        ending.requeued = open && job->retries_infra < target->retries_infra;
        break;
    case HD_OUTCOME_FAILED:
        ending.charged = true;
        ending.requeued = open && job->retries_failed < target->retries_failed;
        break;
    case HD_OUTCOME_CONFIG_ERROR: /* one machine may lack what others have */
        ending.requeued = open && elsewhere;
        break;
    case HD_OUTCOME_OOM: /* the limit is the same next time, and so would be the end */
    case HD_OUTCOME_OK:
    case HD_OUTCOME_DIVERGED:
    case HD_OUTCOME_NO_RESULT:
    case HD_OUTCOME_TIMEOUT:
    case HD_OUTCOME_CANCELLED:
    case HD_OUTCOME_STOPPED:
    case HD_OUTCOME_COUNT:
        break;
    }
    obey_rule(run, job, open, rule, &ending);
    /* It was to be stopped and nothing would come of another attempt: what it said last counts. */
    if (ending.requeued && job->stopping)
        ending = (struct ending){.outcome = HD_OUTCOME_STOPPED, .loss = job->curve_loss};
    return ending;
}

/* A machine that says it broke gets a little longer each time, so that retries are not burnt at
 * once. */
static void back_off(struct hd_core *core, struct run *run, uint32_t job_number)
{
    struct job *job = &run->jobs[job_number];
    int64_t wait_ms = HD_BACKOFF_MS_FIRST;
    for (uint32_t i = 1; i < job->retries_infra && wait_ms < HD_BACKOFF_MS_MAX; i++)
        wait_ms *= 2;
    run->queue[job->place].not_before_ms =
        core->now_ms + (wait_ms < HD_BACKOFF_MS_MAX ? wait_ms : HD_BACKOFF_MS_MAX);
    run->placement.fresh = false;
}

void core_end_attempt(struct hd_core *core, uint32_t run_number, uint32_t job_number,
                      enum hd_outcome outcome, const char *why)
{
    struct run *run = core->runs[run_number];
    struct job *job = &run->jobs[job_number];
    struct ending ending = decide(run, job, outcome, 0, false);
    bool running = job->state == JOB_RUNNING;
    const char *worker = running ? core->workers[run->live[job->place].worker].id : "";
    struct hd_fact *fact = core_fact(core, run_number, HD_FACT_ATTEMPT_ENDED);
    fact->as.attempt_ended = (struct hd_fact_attempt_ended){
        .job = job_number,
        .attempt = job->attempt,
        .outcome = running ? ending.outcome : outcome,
        .requeued = running && ending.requeued,
        .charged = running && ending.charged,
        .loss = running ? ending.loss : NAN,
        .worker = worker,
        .exit_code = -1,
        .message = why,
        .info_json = "",
        .root = "",
        .directory = "",
        .label = "",
        .image_id = "",
    };
    core_commit(core, fact);
    /* No back-off: a lost worker takes its time by itself, and its job goes before any new one, so
     * that one worker proposes the same through kills. */
    core_note(
        core, HD_NOTE_WARNING, run_number, "job %u: %s (attempt %u, %u of %u retries used) -> %s",
        job_number, why, job->attempt, job->retries_infra, run->experiment->target.retries_infra,
        job->state == JOB_QUEUED ? "queued again" : hd_outcome_name((enum hd_outcome)job->outcome));
}

static void note_end(struct hd_core *core, uint32_t run_number, uint32_t job_number,
                     enum hd_outcome outcome, const char *message, double violation,
                     const char *label)
{
    const struct run *run = core->runs[run_number];
    const struct job *job = &run->jobs[job_number];
    if (outcome == HD_OUTCOME_OK) {
        core_note(core, HD_NOTE_INFO, run_number, "job %u: ok at budget %g, loss %g%s%s",
                  job_number, job->budget, job->loss, violation > 0 ? " (infeasible)" : "",
                  run->has_incumbent && run->incumbent_job == job_number ? " (best so far)" : "");
        return;
    }
    if (outcome == HD_OUTCOME_STOPPED && job->stopping) {
        core_note(core, HD_NOTE_INFO, run_number,
                  "job %u: stopped early, at loss %g after %g of budget %g", job_number, job->loss,
                  job->budget_reached, job->budget);
        return;
    }
    const char *then = "closed";
    if (job->state == JOB_QUEUED)
        then = "queued again";
    else if (outcome == HD_OUTCOME_OOM)
        then = "closed: with the same target.resources.memory it would end alike";
    core_note(core, HD_NOTE_WARNING, run_number, "job %u: %s on attempt %u%s%s%s%.100s -> %s",
              job_number, hd_outcome_name(outcome), job->attempt, label[0] != '\0' ? ", " : "",
              label, message[0] != '\0' ? ": " : "", message, then);
}

/* The measures must be those that the experiment asks for, all of them, and numbers. NULL: they
 * are; otherwise *outcome says what it is instead, and what comes back tells the person. */
static const char *check_measures(const struct run *run, const struct hd_result *result,
                                  enum hd_outcome *outcome)
{
    size_t count = hd_experiment_measure_count(run->experiment);
    if (*outcome != HD_OUTCOME_OK)
        return NULL;
    if (result->measure_count != count) {
        *outcome = HD_OUTCOME_NO_RESULT;
        return count > result->measure_count
                   ? "the worker reported fewer values than there are objectives and constraints: "
                     "is it of an older version?"
                   : "the worker reported more values than there are objectives and constraints";
    }
    for (size_t i = 0; i < count; i++) {
        if (isfinite(result->measures[i]))
            continue;
        *outcome = HD_OUTCOME_DIVERGED;
        return "an objective or constraint is not finite: the configuration diverged";
    }
    return NULL;
}

/* A run that cannot start its target anywhere, or has no worker left, says so and waits for a
 * person. */
static void after_config_error(struct hd_core *core, uint32_t run_number, uint32_t job_number,
                               const struct worker *worker, const char *message)
{
    const struct run *run = core->runs[run_number];
    if (run->state != HD_RUN_ACTIVE && run->state != HD_RUN_CLOSING)
        return;
    if (run->jobs[job_number].state == JOB_QUEUED)
        return; /* another worker tries */
    if (core_another_is_able(core, run, worker))
        return; /* this job will not be tried again, but others may well run there */
    core_set_state(core, run_number, HD_RUN_PAUSED,
                   run->excluded_count > 1
                       ? core_text(core, "job %u could not be started, by none of %u workers: %s",
                                   job_number, run->excluded_count, message)
                       : core_text(core, "job %u could not be started: %s", job_number, message));
}

void core_end_by_report(struct hd_core *core, uint32_t run_number, const struct hd_request *request)
{
    const struct hd_result *result = &request->result;
    struct run *run = core->runs[run_number];
    uint32_t job_number = result->attempt.job;
    struct job *job = &run->jobs[job_number];
    struct worker *worker = core_find_worker(core, request->worker);
    enum hd_outcome outcome = result->outcome;
    /* An ok without a finite loss cannot be ranked: it is a divergence, whoever says otherwise. */
    if (outcome == HD_OUTCOME_OK && !isfinite(result->loss))
        outcome = HD_OUTCOME_DIVERGED;
    const char *why = check_measures(run, result, &outcome);
    bool measured = outcome == HD_OUTCOME_OK && result->measure_count > 0;
    struct hd_score score = hd_score_of(result->loss);
    if (measured) {
        hd_experiment_score(run->experiment, result->measures, &score);
        memcpy(core->measures, result->measures, sizeof(core->measures));
    }
    uint32_t rule_number = rule_that_counts(outcome, result->rule);
    const struct hd_log_rule *rule = rule_of(run, rule_number);
    const char *label = rule != NULL ? rule->label : "";
    struct ending ending =
        decide(run, job, outcome, rule_number, core_another_is_able(core, run, worker));
    double loss = why != NULL ? NAN : score.losses[0];
    if (outcome == HD_OUTCOME_STOPPED && !isfinite(loss))
        loss = job->curve_loss; /* what it said on its way is all there is */
    struct hd_fact *fact = core_fact(core, run_number, HD_FACT_ATTEMPT_ENDED);
    fact->as.attempt_ended = (struct hd_fact_attempt_ended){
        .job = job_number,
        .attempt = job->attempt,
        .outcome = ending.outcome,
        .requeued = ending.requeued,
        .charged = ending.charged,
        .loss = ending.outcome == outcome ? loss : ending.loss,
        .measures = measured ? core->measures : NULL,
        .measure_count = measured ? result->measure_count : 0,
        .violation = score.violation,
        .by_report = true,
        .worker = worker->id,
        .incarnation = request->incarnation,
        .sequence = request->sequence,
        .started_wall_ms = result->started_wall_ms,
        .finished_wall_ms = result->finished_wall_ms,
        .exit_code = result->exit_code,
        .message = why != NULL ? why : result->message,
        .info_json = result->info_json,
        .root = result->directory[0] != '\0' ? core_root_text(core, worker->root) : "",
        .directory = worker->root != HD_NONE ? result->directory : "",
        .rule = rule != NULL ? rule_number : 0,
        .label = label,
        .image_id = result->image_id,
        .graphs_json = result->graphs_json,
    };
    core_commit(core, fact);
    if (ending.requeued && ending.charged)
        back_off(core, run, job_number);
    note_end(core, run_number, job_number, outcome, why != NULL ? why : result->message,
             score.violation, label);
    if (outcome == HD_OUTCOME_CONFIG_ERROR)
        after_config_error(core, run_number, job_number, worker, result->message);
    if (rule != NULL && rule->action == HD_LOG_EXCLUDE_WORKER) {
        core_note(core, HD_NOTE_WARNING, run_number, "worker %s gets no more jobs of run %s: %s",
                  worker->id, run->run_id, label[0] != '\0' ? label : rule->match);
        core_pause_without_workers(core, run_number);
    } else {
        /* By what is recorded: a job that was to stop has stopped, however it ended. */
        core_judge_worker(core, worker, run_number, job_number, ending.outcome, result->message);
    }
}

/* ---- time ------------------------------------------------------------------------------------ */

void core_first_event(struct hd_core *core)
{
    core->started = true;
    for (uint32_t r = 0; r < core->run_count; r++) {
        struct run *run = core->runs[r];
        int64_t until_ms = core->now_ms + run->experiment->lease_ms;
        for (uint32_t i = 0; i < run->live_count; i++)
            if (!HD_PLANTED(core, HD_PLANT_LEASE_FORGOTTEN))
                run->live[i].until_ms = until_ms;
        if (run->live_count > 0 && until_ms < core->expiry_ms)
            core->expiry_ms = until_ms;
        for (uint32_t i = 0; i < run->queue_count; i++)
            run->queue[i].since_ms = core->now_ms;
        run->elapsed_mark_ms = core->now_ms;
    }
}

static void expire_run(struct hd_core *core, uint32_t run_number, int64_t *next_ms)
{
    struct run *run = core->runs[run_number];
    for (uint32_t i = 0; i < run->live_count;) {
        const struct live *live = &run->live[i];
        if (live->until_ms > core->now_ms) {
            if (live->until_ms < *next_ms)
                *next_ms = live->until_ms;
            i++;
            continue;
        }
        if (core->ends_left == 0 || !core_room(core)) {
            core->again = true;
            *next_ms = core->now_ms;
            return;
        }
        core->ends_left--;
        const struct worker *worker = &core->workers[live->worker];
        /* The end moves the last live attempt to place i. */
        core_end_attempt(core, run_number, live->job, HD_OUTCOME_INFRA,
                         core_text(core, "the lease on %s expired", worker->id));
    }
}

void core_expire_leases(struct hd_core *core)
{
    if (core->expiry_ms > core->now_ms)
        return;
    int64_t next_ms = HD_NEVER_MS;
    for (uint32_t r = 0; r < core->run_count; r++)
        expire_run(core, r, &next_ms);
    core->expiry_ms = next_ms;
}
