/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What becomes of configs' work directories: which of them may travel through the master, and which
 * nobody needs any more. A directory is of a version, the attempt that wrote it last; the master
 * says of which versions it has a copy, and that is no fact: after a restart it says so again.
 */
#include "core_internal.h"

#include <string.h>

#define OFFER_MS 60000 /* that a worker has for a state before it is asked for others */
#define OFFER_AGAIN_MS                                                                             \
    600000             /* a state that did not come may be too large for its disk, or ours         \
                        */
#define LOOKS_MAX 4096 /* configs that one ping looks at */

/* ---- travelling ------------------------------------------------------------------------------ */

bool core_has_copy(const struct hd_core *core, const struct config *config)
{
    (void)core; /* read by planted builds only */
    if (HD_PLANTED(core, HD_PLANT_OLD_COPY) && config->shelved_attempt > 0)
        return true;
    return config->root != HD_NONE && config->state_attempt > 0 &&
           config->shelved_job == config->state_job &&
           config->shelved_attempt == config->state_attempt;
}

bool core_is_shelved(const struct hd_core *core, const struct run *run, const struct job *job)
{
    return job->repeat == 0 && core_has_copy(core, &run->configs[job->config]);
}

/* Its holder would take it at once, and has the directory. */
static bool holder_waits(const struct hd_core *core, const struct run *run,
                         const struct config *config)
{
    if (config->owner == HD_NONE)
        return false;
    const struct worker *owner = &core->workers[config->owner];
    return owner->parked.active && owner->root == config->root && core_is_able(core, run, owner);
}

/* A first attempt need not wait for a holder that is busy. Another one does, as long as placement
 * would have it go there: what the attempt before did lies in the holder's directory only. */
bool core_may_travel(const struct hd_core *core, const struct run *run, const struct job *job)
{
    return core_is_shelved(core, run, job) && job->attempt == 0 &&
           !holder_waits(core, run, &run->configs[job->config]);
}

/* NULL: it is no run of ours. */
static struct config *find_config(struct hd_core *core, struct hd_attempt_ref attempt,
                                  struct run **ret_run)
{
    uint32_t run_number;
    struct run *run = core_find_run_uid(core, attempt.run_uid, &run_number);
    if (run == NULL || attempt.job >= run->job_count)
        return NULL;
    *ret_run = run;
    return &run->configs[run->jobs[attempt.job].config];
}

/* Its holder is asked for it once more. */
void core_handle_unshelved(struct hd_core *core, const struct hd_event *event)
{
    struct run *run;
    struct config *config = find_config(core, event->attempt, &run);
    if (config == NULL || config->shelved_job != event->attempt.job ||
        config->shelved_attempt != event->attempt.attempt)
        return;
    config->shelved_attempt = 0;
    config->offered_incarnation = 0;
    run->placement.fresh = false;
}

void core_handle_shelved(struct hd_core *core, const struct hd_event *event)
{
    struct run *run;
    struct config *config = find_config(core, event->attempt, &run);
    if (config == NULL)
        return;
    config->shelved_job = event->attempt.job;
    config->shelved_attempt = event->attempt.attempt;
    run->placement.fresh = false;
}

static bool may_go_on(const struct run *run, uint32_t config_number)
{
    const struct config *config = &run->configs[config_number];
    const struct job *job = &run->jobs[config->state_job];
    if (core_run_final(run) || run->cancelling)
        return false;
    return job->state != JOB_CLOSED ||
           (job->outcome == HD_OUTCOME_OK && job->budget < run->experiment->iter_gen.budget_max);
}

static bool is_elsewhere(const struct hd_core *core, const struct run *run, uint32_t root)
{
    for (uint32_t i = 0; i < core->worker_count; i++) {
        const struct worker *worker = &core->workers[i];
        if (worker->known && worker->root != root && core_serves(worker, run) &&
            !core_is_excluded(run, i))
            return true;
    }
    return false;
}

bool hd_core_wants_checkpoint(const struct hd_core *core, struct hd_attempt_ref attempt,
                              uint32_t *ret_config)
{
    uint32_t run_number;
    const struct run *run = core_find_run_uid(core, attempt.run_uid, &run_number);
    if (run == NULL || attempt.job >= run->job_count || core->options.no_copies ||
        run->experiment->checkpoints_stay)
        return false;
    uint32_t number = run->jobs[attempt.job].config;
    const struct config *config = &run->configs[number];
    if (config->root == HD_NONE || config->state_job != attempt.job ||
        config->state_attempt != attempt.attempt || !may_go_on(run, number) ||
        !is_elsewhere(core, run, config->root))
        return false;
    *ret_config = number;
    return true;
}

bool hd_core_lends_checkpoint(const struct hd_core *core, struct hd_attempt_ref leased,
                              uint32_t *ret_config, struct hd_attempt_ref *ret_state)
{
    uint32_t run_number;
    const struct run *run = core_find_run_uid(core, leased.run_uid, &run_number);
    if (run == NULL || leased.job >= run->job_count)
        return false;
    const struct job *job = &run->jobs[leased.job];
    const struct config *config = &run->configs[job->config];
    if (job->state != JOB_RUNNING || job->attempt != leased.attempt || config->state_attempt == 0 ||
        run->live[job->place].directory[0] == '\0')
        return false;
    *ret_config = job->config;
    *ret_state = (struct hd_attempt_ref){
        .run_uid = run->run_uid, .job = config->state_job, .attempt = config->state_attempt};
    return true;
}

bool hd_core_keeps_checkpoint(const struct hd_core *core, struct hd_attempt_ref attempt)
{
    uint32_t run_number;
    const struct run *run = core_find_run_uid(core, attempt.run_uid, &run_number);
    if (run == NULL || attempt.job >= run->job_count)
        return false;
    uint32_t number = run->jobs[attempt.job].config;
    const struct config *config = &run->configs[number];
    return config->state_job == attempt.job && config->state_attempt == attempt.attempt &&
           may_go_on(run, number);
}

/* ---- asking workers -------------------------------------------------------------------------- */

/*
 * A state is asked for when it is reported. Pings ask for what was not wanted then, since all
 * workers had one disk, and for what did not come, since its worker was started again: those first
 * that somebody waits for. A directory in which an attempt may have begun since is left alone.
 */

static void note_offer(const struct hd_core *core, const struct worker *worker,
                       struct config *config)
{
    config->offered_incarnation = worker->incarnation;
    config->offered_ms = core->now_ms;
}

bool core_wants_state(struct hd_core *core, const struct worker *worker,
                      struct hd_attempt_ref attempt)
{
    struct run *run;
    uint32_t number;
    if (!hd_core_wants_checkpoint(core, attempt, &number))
        return false;
    note_offer(core, worker, find_config(core, attempt, &run));
    return true;
}

static bool was_asked(const struct hd_core *core, const struct worker *worker,
                      const struct config *config)
{
    return config->offered_incarnation == worker->incarnation &&
           core->now_ms - config->offered_ms < OFFER_AGAIN_MS;
}

/* It is the worker's, whole, and nobody has another one of it. */
static bool lacks_copy(const struct hd_core *core, const struct worker *worker,
                       const struct run *run, uint32_t number)
{
    const struct config *config = &run->configs[number];
    if (config->state_attempt == 0 || config->root == HD_NONE || config->root != worker->root ||
        config->owner != (uint32_t)(worker - core->workers) || core_has_copy(core, config) ||
        was_asked(core, worker, config))
        return false;
    const struct job *job = &run->jobs[config->state_job];
    return job->state == JOB_CLOSED && job->attempt == config->state_attempt &&
           may_go_on(run, number);
}

static bool is_under_way(const struct hd_core *core, const struct wish *wish)
{
    uint32_t run_number, config;
    return wish->until_ms > core->now_ms &&
           hd_core_wants_checkpoint(core, wish->attempt, &config) &&
           !core_has_copy(
               core, &core_find_run_uid(core, wish->attempt.run_uid, &run_number)->configs[config]);
}

/* NULL: it has enough to do. */
static struct wish *find_room(const struct hd_core *core, struct worker *worker,
                              const struct hd_reply *reply)
{
    if (reply->command_count >= HD_COMMANDS_MAX)
        return NULL;
    for (size_t i = 0; i < HD_WISHES_MAX; i++)
        if (!is_under_way(core, &worker->wishes[i]))
            return &worker->wishes[i];
    return NULL;
}

/* False: there is no room for more. */
static bool ask(struct hd_core *core, struct worker *worker, struct run *run, uint32_t number,
                struct hd_reply *reply)
{
    struct wish *wish = find_room(core, worker, reply);
    struct config *config = &run->configs[number];
    const struct job *job = &run->jobs[config->state_job];
    if (wish == NULL)
        return false;
    *wish = (struct wish){
        .attempt = {run->run_uid, config->state_job, config->state_attempt, job->stamp},
        .until_ms = core->now_ms + OFFER_MS};
    note_offer(core, worker, config);
    reply->commands[reply->command_count++] =
        (struct hd_attempt_command){.attempt = wish->attempt, .action = HD_ACTION_OFFER};
    return true;
}

static bool may_ask(const struct hd_core *core, const struct run *run, const struct worker *worker)
{
    return !core_run_final(run) && !run->cancelling && !run->experiment->checkpoints_stay &&
           is_elsewhere(core, run, worker->root);
}

/* Jobs that wait for this worker, whose state nobody else can have. */
static bool ask_needed(struct hd_core *core, struct worker *worker, struct run *run,
                       struct hd_reply *reply)
{
    bool judged = false;
    for (uint32_t i = 0; i < run->queue_count; i++) {
        const struct job *job = &run->jobs[run->queue[i].job];
        if (job->attempt > 0 || job->repeat > 0 || run->configs[job->config].jobs_open > 1 ||
            !lacks_copy(core, worker, run, job->config))
            continue;
        if (!judged && !may_ask(core, run, worker))
            return true;
        judged = true;
        if (!ask(core, worker, run, job->config, reply))
            return false;
    }
    return true;
}

/* The rest, a bounded number of them at a time: goes on where the ping before ended. */
static void ask_others(struct hd_core *core, struct worker *worker, struct hd_reply *reply)
{
    const struct run *judged = NULL;
    for (uint32_t looks = 0, rounds = 0; looks < LOOKS_MAX && rounds < 2; looks++) {
        if (worker->looked_run >= core->run_count) {
            worker->looked_run = worker->looked_config = 0;
            rounds++;
            continue;
        }
        struct run *run = core->runs[worker->looked_run];
        bool over = worker->looked_config >= run->config_count;
        if (over || (judged != run && !may_ask(core, run, worker))) {
            worker->looked_run++;
            worker->looked_config = 0;
            continue;
        }
        judged = run;
        if (run->configs[worker->looked_config].jobs_open == 0 &&
            lacks_copy(core, worker, run, worker->looked_config) &&
            !ask(core, worker, run, worker->looked_config, reply))
            return;
        worker->looked_config++;
    }
}

void core_ask_states(struct hd_core *core, struct worker *worker, struct hd_reply *reply)
{
    if (core->options.no_copies || find_room(core, worker, reply) == NULL)
        return;
    for (uint32_t r = 0; r < core->run_count; r++)
        if (!ask_needed(core, worker, core->runs[r], reply))
            return;
    ask_others(core, worker, reply);
}
