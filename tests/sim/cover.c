/* SPDX-License-Identifier: Apache-2.0 */
/* cover.c: what a suite of seeds has reached. A fault or a move that never happens is not tested.
 */
#include "sim.h"

static const char *const plant_names[SIM_PLANT_COUNT] = {
    [SIM_PLANT_NONE] = "none",
    [SIM_PLANT_NO_FENCING] = "no-fencing",
    [SIM_PLANT_NO_DEDUP] = "no-dedup",
    [SIM_PLANT_LEASE_FORGOTTEN] = "lease-forgotten",
    [SIM_PLANT_CUT_FORGOTTEN] = "cut-forgotten",
    [SIM_PLANT_SAME_WORKER] = "same-worker",
    [SIM_PLANT_QUARANTINE_IGNORED] = "quarantine-ignored",
    [SIM_PLANT_QUARANTINE_HASTY] = "quarantine-hasty",
    [SIM_PLANT_LEAVING_FORGIVES] = "leaving-forgives",
    [SIM_PLANT_OLD_INCARNATION] = "old-incarnation",
    [SIM_PLANT_DRAINING_FED] = "draining-fed",
    [SIM_PLANT_REPLY_BEFORE_COMMIT] = "reply-before-commit",
    [SIM_PLANT_COMMIT_LOST] = "commit-lost",
    [SIM_PLANT_REPLY_TWICE] = "reply-twice",
    [SIM_PLANT_REPLY_FORGOTTEN] = "reply-forgotten",
    [SIM_PLANT_SAMPLER_PEEKS] = "sampler-peeks",
    [SIM_PLANT_KNOWN_FORGOTTEN] = "known-forgotten",
    [SIM_PLANT_SAMPLER_SLEEPS] = "sampler-sleeps",
    [SIM_PLANT_TIMEOUT_FORGOTTEN] = "timeout-forgotten",
    [SIM_PLANT_RESULT_NOT_KEPT] = "result-not-kept",
    [SIM_PLANT_DROP_IGNORED] = "drop-ignored",
    [SIM_PLANT_FACT_LOST] = "fact-lost",
    [SIM_PLANT_WRONG_LADDER] = "wrong-ladder",
    [SIM_PLANT_OPENING_IGNORED] = "opening-ignored",
    [SIM_PLANT_WRONG_COUNT] = "wrong-count",
    [SIM_PLANT_HOLD_FORGOTTEN] = "hold-forgotten",
    [SIM_PLANT_FACT_TWISTED] = "fact-twisted",
    [SIM_PLANT_VALUES_SWAPPED] = "values-swapped",
    [SIM_PLANT_ATTEMPT_REUSED] = "attempt-reused",
    [SIM_PLANT_DIRECTORY_LOST] = "directory-lost",
    [SIM_PLANT_WRONG_LIMITS] = "wrong-limits",
    [SIM_PLANT_STOPS_UNASKED] = "stops-unasked",
    [SIM_PLANT_STAMP_IGNORED] = "stamp-ignored",
    [SIM_PLANT_OLD_COPY] = "old-copy",
    [SIM_PLANT_STATE_GIVEN_UP] = "state-given-up",
    [SIM_PLANT_RERUNS_ANYTHING] = "reruns-anything",
    [SIM_PLANT_RIVAL_ADMITTED] = "rival-admitted",
    [SIM_PLANT_REFUSED_STAYS] = "refused-stays",
    [SIM_PLANT_LEASE_ENDLESS] = "lease-endless",
};

const char *sim_plant_name(enum sim_plant plant)
{
    return plant_names[plant];
}

bool sim_plant_parse(const char *name, enum sim_plant *ret_plant)
{
    for (int plant = 0; plant < SIM_PLANT_COUNT; plant++) {
        if (!hd_streq(plant_names[plant], name))
            continue;
        *ret_plant = (enum sim_plant)plant;
        return true;
    }
    return false;
}

/* ---- lines: one place that knows every counter
 * ------------------------------------------------------- */

typedef void (*line_fn)(void *context, const char *group, const char *name, uint64_t count,
                        bool needed);

/* Moves that the table allows and a run can make. */
static bool move_needed(int from, int to)
{
    if (from == HD_RUN_ACTIVE)
        return to != HD_RUN_ACTIVE;
    if (from == HD_RUN_CLOSING)
        return to == HD_RUN_FINISHED;
    if (from == HD_RUN_PAUSED)
        return to == HD_RUN_ACTIVE || to == HD_RUN_CANCELLED || to == HD_RUN_FINISHED;
    return false;
}

static void moves(const struct sim_cover *cover, line_fn line, void *context)
{
    for (int from = 0; from < HD_RUN_STATE_COUNT; from++)
        for (int to = 0; to < HD_RUN_STATE_COUNT; to++) {
            char name[64];
            hd_format(name, sizeof(name), "%s -> %s", hd_run_state_name((enum hd_run_state)from),
                      hd_run_state_name((enum hd_run_state)to));
            if (move_needed(from, to) || cover->moves[from][to] > 0)
                line(context, "run", name, cover->moves[from][to], move_needed(from, to));
        }
}

static void counters(const struct sim_cover *cover, line_fn line, void *context)
{
    for (int i = 0; i < SIM_FAULT_COUNT; i++)
        line(context, "fault", sim_fault_name((enum sim_fault)i), cover->faults[i], true);
    for (int i = 0; i < HD_FACT_KIND_COUNT; i++)
        line(context, "fact", hd_fact_kind_name((enum hd_fact_kind)i), cover->facts[i], true);
    for (int i = 0; i < HD_OUTCOME_COUNT; i++)
        line(context, "outcome", hd_outcome_name((enum hd_outcome)i), cover->outcomes[i], true);
    for (int i = 0; i < HD_OUTCOME_COUNT; i++)
        if (cover->requeued[i] > 0 || i == HD_OUTCOME_INFRA || i == HD_OUTCOME_FAILED ||
            i == HD_OUTCOME_PREEMPTED)
            line(context, "queued-again", hd_outcome_name((enum hd_outcome)i), cover->requeued[i],
                 true);
    moves(cover, line, context);
    for (int i = 0; i < HD_REPLY_KIND_COUNT; i++)
        line(context, "reply", hd_reply_kind_name((enum hd_reply_kind)i), cover->replies[i],
             i != HD_REPLY_VIEW);
    line(context, "verdict", "accepted", cover->verdicts[HD_VERDICT_ACCEPTED], true);
    line(context, "verdict", "refused", cover->verdicts[HD_VERDICT_REFUSED], true);
    line(context, "action", "stop", cover->actions[HD_ACTION_STOP], true);
    line(context, "action", "drop", cover->actions[HD_ACTION_DROP], true);
    line(context, "action", "cancel", cover->actions[HD_ACTION_CANCEL], true);
    line(context, "action", "bring", cover->actions[HD_ACTION_BRING], true);
    line(context, "action", "offer", cover->actions[HD_ACTION_OFFER], true);
    for (int i = 0; i < HD_COMMAND_OP_COUNT; i++)
        line(context, "command", hd_command_op_name((enum hd_command_op)i), cover->commands[i],
             i < HD_COMMAND_PAUSE_WORKER || i == HD_COMMAND_REQUEUE_JOB);
    for (int i = 0; i < HD_WORKER_STATE_COUNT; i++)
        line(context, "worker", hd_worker_state_name((enum hd_worker_state)i),
             cover->worker_states[i], true);
    line(context, "rival", "refused by the nameserver", cover->rivals_refused, true);
    line(context, "rival", "goes on with a copy", cover->copies_served, true);
    line(context, "rival", "result of the other refused", cover->foreign_results, true);
    line(context, "twin", "refused for a newer one", cover->twins_refused, true);
    line(context, "life", "restores", cover->restores, true);
    line(context, "life", "containers adopted", cover->adopted, true);
    line(context, "life", "results harvested", cover->harvested, true);
    line(context, "directory", "in place", cover->resumed_in_place, true);
    line(context, "directory", "a copy", cover->resumed_from_copy, true);
    line(context, "directory", "from the master", cover->travelled, true);
    line(context, "directory", "not to be had", cover->not_fetched, true);
    line(context, "files", "brought home", cover->brought, true);
    line(context, "files", "not wanted any more", cover->not_wanted, true);
    line(context, "directory", "anew", cover->resumed_anew, true);
    for (int i = 0; i < HD_NEED_COUNT; i++)
        line(context, "directory, needed for", hd_need_name((enum hd_need)i), cover->needs[i],
             true);
    line(context, "directory", "removed for room", cover->removed[HD_NEED_ROOM], true);
    line(context, "directory", "removed at once", cover->removed[HD_NEED_NOTHING], true);
    line(context, "job", "evaluated again", cover->repeats, true);
    line(context, "job", "several objectives", cover->scored, true);
    line(context, "job", "promoted after an opening", cover->opened, true);
    line(context, "job", "begun above the lowest rung", cover->started_above, true);
    line(context, "end", "finished", cover->finished_ends, true);
    line(context, "end", "cancelled", cover->cancelled_ends, true);
    line(context, "end", "paused", cover->paused_ends, true);
    line(context, "checked", "proposals", cover->proposals_checked, true);
    line(context, "proposed", "by a model", cover->proposals_by_model, true);
    for (int i = 0; i < sim_note_kind_count(); i++)
        line(context, "note", sim_note_kind(i), cover->notes[i], true);
}

static void print_line(void *context, const char *group, const char *name, uint64_t count,
                       bool needed)
{
    (void)needed;
    fprintf(context, "  %-13s %-46s %10llu\n", group, name, (unsigned long long)count);
}

void sim_cover_print(const struct sim_cover *cover, FILE *file)
{
    fprintf(file, "coverage of %llu seeds, %llu events\n", (unsigned long long)cover->seeds,
            (unsigned long long)cover->events);
    counters(cover, print_line, file);
}

struct missing {
    FILE *file;
    size_t count;
};

static void count_missing(void *context, const char *group, const char *name, uint64_t count,
                          bool needed)
{
    struct missing *missing = context;
    if (!needed || count > 0)
        return;
    missing->count++;
    fprintf(missing->file, "never reached: %s %s\n", group, name);
}

size_t sim_cover_missing(const struct sim_cover *cover, FILE *file)
{
    struct missing missing = {file, 0};
    counters(cover, count_missing, &missing);
    return missing.count;
}
