/* SPDX-License-Identifier: Apache-2.0 */
/*
 * home.c: which attempts' files (out/, the result, the log) are to come to the master: those of the
 * best jobs of each run, so that they outlive their workers, and what a person has asked for.
 *
 * Whoever reports one of them is asked for its files in the answer. Pings ask for what was not best
 * when it was reported, and for what has not come: a worker may be gone in the middle of it, and a
 * master may forget. That files have come, or will not, is no fact: after a restart the master
 * tells what it has, and asks for the rest once more.
 */
#include "core_internal.h"

#include <hd/pareto.h>
#include <string.h>

/* ---- which are best -------------------------------------------------------------------------- */

/* As people see the front of several objectives: feasible results at the highest budget that none
 * dominates. Of equal ones the first. What comes when the list is full stays where it is. */
void core_front_result(struct run *run, uint32_t job, double budget, const struct hd_score *score)
{
    uint32_t objectives = run->experiment->objective_count, kept = 0;
    if (objectives < 2 || (run->front_count > 0 && budget < run->front_budget))
        return;
    if (run->front_count > 0 && budget > run->front_budget)
        run->front_count = 0;
    if (score->violation > 0)
        return;
    for (uint32_t i = 0; i < run->front_count; i++)
        if (memcmp(run->front[i].losses, score->losses, objectives * sizeof(double)) == 0 ||
            hd_pareto_dominates(run->front[i].losses, score->losses, objectives))
            return;
    for (uint32_t i = 0; i < run->front_count; i++)
        if (!hd_pareto_dominates(score->losses, run->front[i].losses, objectives))
            run->front[kept++] = run->front[i];
    run->front_count = kept;
    run->front_budget = budget;
    if (kept == HD_FRONT_HOME_MAX)
        return;
    run->front[kept].job = job;
    memcpy(run->front[kept].losses, score->losses, sizeof(run->front[kept].losses));
    run->front_count++;
}

static bool is_best(const struct run *run, uint32_t job)
{
    if (run->has_incumbent && run->incumbent_job == job)
        return true;
    for (uint32_t i = 0; i < run->front_count; i++)
        if (run->front[i].job == job)
            return true;
    return false;
}

/* ---- which are wanted ------------------------------------------------------------------------ */

static bool is_asked(const struct hd_core *core, struct hd_attempt_ref attempt)
{
    for (size_t i = 0; i < HD_ASKED_MAX; i++)
        if (core->asked[i].until_ms > core->now_ms &&
            hd_attempt_ref_equal(core->asked[i].attempt, attempt))
            return true;
    return false;
}

static struct hd_attempt_ref last_of(const struct run *run, uint32_t job)
{
    return (struct hd_attempt_ref){run->run_uid, job, run->jobs[job].attempt, run->jobs[job].stamp};
}

/* The last attempt of a job that is over, as this history has it; NULL: it is not. */
static struct job *find_ended(const struct hd_core *core, struct hd_attempt_ref attempt,
                              struct run **ret_run)
{
    uint32_t number;
    struct run *run = core_find_run_uid(core, attempt.run_uid, &number);
    if (run == NULL || attempt.job >= run->job_count || attempt.attempt == 0)
        return NULL;
    struct job *job = &run->jobs[attempt.job];
    *ret_run = run;
    return job->state == JOB_CLOSED && job->attempt == attempt.attempt ? job : NULL;
}

/* Where its worker's files are, the person who looks for them is too. */
static bool is_home(const struct hd_core *core, const struct job *job)
{
    return job->worker != HD_NONE && core->workers[job->worker].at_home;
}

static bool is_wanted(const struct hd_core *core, const struct run *run, uint32_t number)
{
    const struct job *job = &run->jobs[number];
    if (is_asked(core, last_of(run, number)))
        return true;
    return !core->options.no_files && !run->experiment->files_stay &&
           job->outcome == HD_OUTCOME_OK && is_best(run, number) && !is_home(core, job);
}

bool hd_core_wants_files(const struct hd_core *core, struct hd_attempt_ref attempt)
{
    struct run *run;
    return find_ended(core, attempt, &run) != NULL && is_wanted(core, run, attempt.job);
}

static bool is_here(const struct hd_core *core, const struct job *job)
{
    const struct worker *worker = job->worker != HD_NONE ? &core->workers[job->worker] : NULL;
    return worker != NULL && worker->known && worker->reachable;
}

enum hd_files hd_core_files(const struct hd_core *core, struct hd_attempt_ref attempt)
{
    struct run *run;
    const struct job *job = find_ended(core, attempt, &run);
    if (job == NULL)
        return HD_FILES_UNKNOWN;
    if (job->files != HD_FILES_AWAY)
        return (enum hd_files)job->files;
    return is_here(core, job) && is_wanted(core, run, attempt.job) ? HD_FILES_COMING
                                                                   : HD_FILES_AWAY;
}

/* ---- what happens to them -------------------------------------------------------------------- */

void core_handle_files(struct hd_core *core, const struct hd_event *event)
{
    struct run *run;
    struct job *job = find_ended(core, event->attempt, &run);
    if (job != NULL)
        job->files = (uint8_t)event->files;
}

/* Anew for each person who asks: a worker that could not send them before may be able to now. */
void core_handle_asked(struct hd_core *core, const struct hd_event *event)
{
    struct run *run;
    struct job *job = find_ended(core, event->attempt, &run);
    struct asked *place = &core->asked[0];
    if (job == NULL)
        return;
    bool anew = !is_asked(core, event->attempt);
    for (size_t i = 0; i < HD_ASKED_MAX; i++) {
        struct asked *asked = &core->asked[i];
        bool same = hd_attempt_ref_equal(asked->attempt, event->attempt);
        if (same || asked->until_ms < place->until_ms)
            place = asked;
        if (same)
            break;
    }
    *place = (struct asked){.attempt = event->attempt, .until_ms = core->now_ms + HD_ASKED_KEPT_MS};
    if (anew && job->files == HD_FILES_NEVER)
        job->files = HD_FILES_AWAY;
}

/* ---- asking workers -------------------------------------------------------------------------- */

static void bring(const struct hd_core *core, uint32_t worker, struct run *run, uint32_t number,
                  struct hd_reply *reply)
{
    const struct job *job = &run->jobs[number];
    if (job->worker != worker || job->state != JOB_CLOSED || job->files != HD_FILES_AWAY ||
        !is_wanted(core, run, number) || reply->command_count >= HD_COMMANDS_MAX)
        return;
    reply->commands[reply->command_count++] =
        (struct hd_attempt_command){.attempt = last_of(run, number), .action = HD_ACTION_BRING};
}

void core_bring_files(const struct hd_core *core, const struct worker *worker,
                      struct hd_reply *reply)
{
    uint32_t index = (uint32_t)(worker - core->workers), number;
    struct run *run;
    for (uint32_t r = 0; r < core->run_count; r++) {
        run = core->runs[r];
        if (run->has_incumbent)
            bring(core, index, run, run->incumbent_job, reply);
        for (uint32_t i = 0; i < run->front_count; i++)
            if (run->front[i].job != run->incumbent_job)
                bring(core, index, run, run->front[i].job, reply);
    }
    for (size_t i = 0; i < HD_ASKED_MAX; i++) {
        const struct hd_attempt_ref attempt = core->asked[i].attempt;
        if (core->asked[i].until_ms <= core->now_ms ||
            (run = core_find_run_uid(core, attempt.run_uid, &number)) == NULL ||
            is_best(run, attempt.job) || find_ended(core, attempt, &run) == NULL)
            continue;
        bring(core, index, run, attempt.job, reply);
    }
}

static bool awaits(const struct hd_core *core, const struct run *run, uint32_t number, bool leavers)
{
    const struct job *job = &run->jobs[number];
    return job->files == HD_FILES_AWAY && is_wanted(core, run, number) &&
           (is_here(core, job) || (leavers && core->workers[job->worker].said_bye));
}

bool hd_core_awaits_files(const struct hd_core *core, bool from_leavers)
{
    bool any = false;
    for (uint32_t r = 0; r < core->run_count && !any; r++) {
        const struct run *run = core->runs[r];
        any = run->has_incumbent && awaits(core, run, run->incumbent_job, from_leavers);
        for (uint32_t i = 0; i < run->front_count && !any; i++)
            any = awaits(core, run, run->front[i].job, from_leavers);
    }
    return any;
}
