/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Workers: who may take jobs. What a person or the master decided about one is a fact; how many
 * jobs failed on it in a row is not, so that a restarted master counts from zero.
 */
#include "core_internal.h"

#include <string.h>

/* ---- who may --------------------------------------------------------------------------------- */

bool core_is_excluded(const struct run *run, uint32_t worker)
{
    for (uint32_t i = 0; i < run->excluded_count; i++)
        if (run->excluded[i] == worker)
            return true;
    return false;
}

bool core_serves(const struct worker *worker, const struct run *run)
{
    return worker->run_id[0] == '\0' || strcmp(worker->run_id, run->run_id) == 0;
}

uint32_t core_gpus_needed(const struct run *run)
{
    return (uint32_t)run->experiment->target.gpus;
}

static bool has_data(const char *names, const char *name)
{
    size_t size = strlen(name);
    for (const char *at = names; *at != '\0';) {
        size_t length = strcspn(at, ",");
        if (length == size && strncmp(at, name, size) == 0)
            return true;
        at += length + (at[length] == ',' ? 1 : 0);
    }
    return false;
}

const char *core_missing_data(const struct run *run, const struct worker *worker)
{
    const char *name;
    for (size_t i = 0; (name = hd_target_needed_data(&run->experiment->target, i)) != NULL; i++)
        if (!has_data(worker->data, name))
            return name;
    return NULL;
}

bool core_is_able(const struct hd_core *core, const struct run *run, const struct worker *worker)
{
    /* One that has been silent for a lease is not worth waiting for, connected or not. */
    return worker->known && worker->reachable && !worker->draining &&
           worker->state == HD_WORKER_ACTIVE &&
           core->now_ms - worker->last_seen_ms < run->experiment->lease_ms &&
           core_serves(worker, run) && worker->gpus >= core_gpus_needed(run) &&
           core_missing_data(run, worker) == NULL &&
           !core_is_excluded(run, (uint32_t)(worker - core->workers));
}

bool core_another_is_able(const struct hd_core *core, const struct run *run,
                          const struct worker *worker)
{
    for (uint32_t i = 0; i < core->worker_count; i++)
        if (&core->workers[i] != worker && core_is_able(core, run, &core->workers[i]))
            return true;
    return false;
}

/* ---- states ---------------------------------------------------------------------------------- */

void core_set_worker_state(struct hd_core *core, struct worker *worker, enum hd_worker_state state,
                           const char *reason)
{
    struct hd_fact *fact = core_fact(core, HD_RUN_NONE, HD_FACT_WORKER_STATE);
    fact->as.worker_state =
        (struct hd_fact_worker_state){.worker = worker->id, .state = state, .reason = reason};
    core_commit(core, fact);
    core_note(core, state == HD_WORKER_QUARANTINED ? HD_NOTE_WARNING : HD_NOTE_INFO, HD_NONE,
              "worker %s: %s: %s", worker->id, hd_worker_state_name(state), reason);
}

bool core_is_going(enum hd_worker_state state)
{
    return state == HD_WORKER_DRAINING || state == HD_WORKER_LEAVING;
}

void core_end_going(struct hd_core *core, struct worker *worker, const char *why)
{
    if (!core_is_going(worker->state))
        return;
    bool active = worker->before == HD_WORKER_ACTIVE || HD_PLANTED(core, HD_PLANT_LEAVING_FORGIVES);
    core_set_worker_state(core, worker, active ? HD_WORKER_ACTIVE : worker->before,
                          active ? why : core_text(core, "%s", worker->before_reason));
}

void core_tell_worker(const struct worker *worker, struct hd_reply *reply)
{
    reply->drain = reply->drain || worker->state == HD_WORKER_DRAINING;
    reply->leave = worker->state == HD_WORKER_LEAVING;
    reply->echo = core_open_test(worker);
}

/* ---- a worker on which everything fails ------------------------------------------------------ */

static bool is_new_job(const struct streak *streak, uint64_t key)
{
    for (uint32_t i = 0; i < streak->count; i++)
        if (streak->jobs[i] == key)
            return false;
    return true;
}

/* True when the target's failures here are the worker's: others had successes meanwhile. */
static bool others_succeed(const struct hd_core *core, const struct streak *streak)
{
    return core->runs[streak->run]->jobs_ok - streak->ok_before >= HD_QUARANTINE_FAILED;
}

static void count_failure(struct hd_core *core, struct worker *worker, uint32_t run, uint32_t job,
                          bool infra)
{
    struct streak *streak = &worker->streak;
    uint64_t key = (uint64_t)run << 32 | job;
    if (streak->count > 0 && core->now_ms - streak->since_ms > HD_QUARANTINE_WINDOW_MS)
        streak->count = streak->infra_count = 0;
    if (streak->count == 0) {
        streak->since_ms = core->now_ms;
        streak->run = run;
        streak->ok_before = core->runs[run]->jobs_ok;
    }
    if (streak->count == HD_COUNT(streak->jobs) || !is_new_job(streak, key))
        return;
    streak->jobs[streak->count++] = key;
    streak->infra_count += infra ? 1 : 0;
}

void core_judge_worker(struct hd_core *core, struct worker *worker, uint32_t run, uint32_t job,
                       enum hd_outcome outcome, const char *message)
{
    struct streak *streak = &worker->streak;
    switch (outcome) {
    case HD_OUTCOME_OK: /* it works */
    case HD_OUTCOME_DIVERGED:
    case HD_OUTCOME_STOPPED:
        streak->count = streak->infra_count = 0;
        return;
    case HD_OUTCOME_FAILED:
    case HD_OUTCOME_NO_RESULT:
    case HD_OUTCOME_INFRA:
        count_failure(core, worker, run, job, outcome == HD_OUTCOME_INFRA);
        break;
    case HD_OUTCOME_TIMEOUT: /* the config's, or nobody's */
    case HD_OUTCOME_OOM:
    case HD_OUTCOME_CANCELLED:
    case HD_OUTCOME_PREEMPTED:
    case HD_OUTCOME_CONFIG_ERROR: /* it is excluded from that run */
    case HD_OUTCOME_COUNT:
        return;
    }
    bool hasty = HD_PLANTED(core, HD_PLANT_QUARANTINE_HASTY);
    bool infra = hasty || streak->infra_count >= HD_QUARANTINE_INFRA;
    bool failed = streak->count >= HD_QUARANTINE_FAILED && others_succeed(core, streak);
    if (worker->state != HD_WORKER_ACTIVE || !(infra || failed))
        return;
    core_set_worker_state(core, worker, HD_WORKER_QUARANTINED,
                          core_text(core, "%u different jobs in a row failed on it%s: %s%s%s",
                                    streak->count, infra ? "" : ", while others succeed",
                                    hd_outcome_name(outcome), message[0] != '\0' ? ": " : "",
                                    message));
    streak->count = streak->infra_count = 0;
    for (uint32_t i = 0; i < core->run_count; i++)
        core_pause_without_workers(core, i);
}

/* The run cannot go on by itself: the last worker that it had is quarantined or excluded. */
void core_pause_without_workers(struct hd_core *core, uint32_t run_number)
{
    struct run *run = core->runs[run_number];
    const struct worker *unfit = NULL;
    run->look_at_workers = false;
    if ((run->state != HD_RUN_ACTIVE && run->state != HD_RUN_CLOSING) || run->cancelling)
        return;
    if (!core_room(core)) { /* the next step does it: states.c */
        run->look_at_workers = core->again = true;
        return;
    }
    for (uint32_t i = 0; i < core->worker_count; i++) {
        const struct worker *worker = &core->workers[i];
        if (!worker->known || !core_serves(worker, run))
            continue;
        bool excluded = core_is_excluded(run, i);
        if (!excluded && worker->state != HD_WORKER_QUARANTINED)
            return; /* one that may serve it, now or when a person or the network lets it */
        unfit = worker;
    }
    if (unfit == NULL)
        return;
    core_set_state(
        core, run_number, HD_RUN_PAUSED,
        unfit->state == HD_WORKER_QUARANTINED
            ? core_text(core, "no worker is left: %s is quarantined: %s", unfit->id, unfit->reason)
            : core_text(core, "no worker is left: %s gets no more jobs of this run", unfit->id));
}

/* ---- what people ask for --------------------------------------------------------------------- */

static const char *by_command(struct hd_core *core, const char *reason)
{
    return core_text(core, "by command%s%.180s", reason[0] != '\0' ? ": " : "", reason);
}

/* A waiting poll is answered at once, so that its worker hears of it. */
static void wake(struct hd_core *core, struct worker *worker)
{
    if (worker->parked.active)
        core_answer_parked(core, worker, HD_REPLY_NOTHING);
}

static enum hd_worker_state wanted_state(enum hd_command_op op)
{
    switch (op) {
    case HD_COMMAND_PAUSE_WORKER:
        return HD_WORKER_PAUSED;
    case HD_COMMAND_DRAIN_WORKER:
        return HD_WORKER_DRAINING;
    case HD_COMMAND_SHUTDOWN_WORKER:
        return HD_WORKER_LEAVING;
    case HD_COMMAND_RESUME_WORKER:
    case HD_COMMAND_PAUSE_RUN:
    case HD_COMMAND_RESUME_RUN:
    case HD_COMMAND_CANCEL_RUN:
    case HD_COMMAND_CANCEL_JOB:
    case HD_COMMAND_SET_LIMIT:
    case HD_COMMAND_REQUEUE_JOB:
    case HD_COMMAND_SET_IMAGE:
    case HD_COMMAND_OP_COUNT:
        break;
    }
    return HD_WORKER_ACTIVE;
}

static bool is_excluded_anywhere(const struct hd_core *core, uint32_t worker)
{
    for (uint32_t i = 0; i < core->run_count; i++)
        if (core_is_excluded(core->runs[i], worker))
            return true;
    return false;
}

void core_handle_worker_command(struct hd_core *core, const struct hd_event *event)
{
    const struct hd_request *request = event->request;
    struct worker *worker = core_find_worker(core, request->subject);
    if (worker == NULL) {
        core_refuse(core, event, HD_E_NOTFOUND, "this master knows no worker named %s",
                    request->subject);
        return;
    }
    enum hd_worker_state state = wanted_state(request->command);
    bool going = core_is_going(state);
    if (going && !worker->known) {
        core_refuse(core, event, HD_E_CONFLICT, "worker %s is not here: pause it instead",
                    worker->id);
        return;
    }
    bool changes =
        worker->state != state || (state == HD_WORKER_ACTIVE &&
                                   is_excluded_anywhere(core, (uint32_t)(worker - core->workers)));
    if (changes) {
        bool went = core_is_going(worker->state);
        core_set_worker_state(core, worker, state, by_command(core, request->reason));
        if (went && state == HD_WORKER_ACTIVE &&
            is_excluded_anywhere(core, (uint32_t)(worker - core->workers)))
            core_set_worker_state(core, worker, state, by_command(core, request->reason));
        worker->streak.count = worker->streak.infra_count = 0;
        if (going)
            wake(core, worker);
    }
    (void)core_reply(core, event->address, HD_REPLY_OK, request->lane, request->sequence);
}
