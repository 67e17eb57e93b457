/* SPDX-License-Identifier: Apache-2.0 */
/* When a run is over, pauses by itself or has no new configs any more. */
#include "core_internal.h"

void core_set_state(struct hd_core *core, uint32_t run_number, enum hd_run_state state,
                    const char *reason)
{
    struct hd_fact *fact = core_fact(core, run_number, HD_FACT_RUN_STATE);
    fact->as.run_state.state = state;
    fact->as.run_state.reason = reason;
    core_commit(core, fact);
    core_note(core, state == HD_RUN_PAUSED ? HD_NOTE_WARNING : HD_NOTE_INFO, run_number,
              "run %s: %s: %s", core->runs[run_number]->run_id, hd_run_state_name(state), reason);
}

static void mark_time(struct hd_core *core, uint32_t run_number)
{
    const struct run *run = core->runs[run_number];
    struct hd_fact *fact = core_fact(core, run_number, HD_FACT_RUN_STATE);
    fact->as.run_state.state = run->state;
    fact->as.run_state.reason = core_text(core, "%s", run->reason);
    core_commit(core, fact);
}

/* Ends queued and running jobs, some a step; true when none is left. */
static bool end_all(struct hd_core *core, uint32_t run_number, const char *reason)
{
    struct run *run = core->runs[run_number];
    while (run->live_count > 0 || run->queue_count > 0) {
        if (core->ends_left == 0 || !core_room(core)) {
            core->again = true;
            return false;
        }
        core->ends_left--;
        uint32_t job = run->live_count > 0 ? run->live[run->live_count - 1].job
                                           : run->queue[run->queue_count - 1].job;
        core_end_attempt(core, run_number, job, HD_OUTCOME_CANCELLED, reason);
    }
    return true;
}

static void update_state(struct hd_core *core, uint32_t run_number)
{
    struct run *run = core->runs[run_number];
    if (core_run_final(run))
        return;
    if (!core_room(core)) {
        core->again = true;
        return;
    }
    if (run->look_at_workers)
        core_pause_without_workers(core, run_number);
    const char *reason = core_end_now(core, run);
    if (reason != NULL) {
        if (end_all(core, run_number, reason))
            core_set_state(core, run_number, run->cancelling ? HD_RUN_CANCELLED : HD_RUN_FINISHED,
                           reason);
        return;
    }
    /* A mark in a long silence, so that a restart knows how long the run has been going. */
    if (run->limits.time_ms > 0 && core->now_ms >= core_time_mark_ms(run))
        mark_time(core, run_number);
    if (run->state == HD_RUN_PAUSED)
        return;
    if (run->exhausted && run->ready_count == 0 && run->state == HD_RUN_ACTIVE)
        core_set_state(core, run_number, HD_RUN_CLOSING,
                       "every config of the space has been tried");
    uint32_t limit = run->experiment->pause_after_failures;
    if (limit > 0 && !run->had_success && run->failure_streak >= limit) {
        core_set_state(core, run_number, HD_RUN_PAUSED,
                       core_text(core,
                                 "%u failures without a success: see hd jobs and hd logs, then "
                                 "hd resume",
                                 run->failure_streak));
        return;
    }
    reason = core_drained(core, run);
    if (reason != NULL)
        core_set_state(core, run_number, HD_RUN_FINISHED, reason);
}

/* Polls of workers for whom there will never be a job again are answered at once. */
static void release_parked(struct hd_core *core)
{
    bool over = core->run_count > 0;
    for (uint32_t i = 0; i < core->run_count && over; i++)
        over = core_run_final(core->runs[i]);
    uint32_t index = core->parked_first;
    while (index != HD_NONE && core_room(core)) {
        struct worker *worker = &core->workers[index];
        index = worker->parked.next;
        uint32_t run_number;
        bool done = worker->run_id[0] == '\0'
                        ? over && core->options.shutdown_workers
                        : hd_core_find_run(core, worker->run_id, &run_number) &&
                              core_run_final(core->runs[run_number]);
        if (done)
            core_answer_parked(core, worker, HD_REPLY_DONE);
    }
}

void core_run_states(struct hd_core *core)
{
    size_t before = core->update->fact_count;
    for (uint32_t i = 0; i < core->run_count; i++)
        update_state(core, i);
    if (core->update->fact_count > before)
        release_parked(core);
}
