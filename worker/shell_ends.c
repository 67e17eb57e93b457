/* SPDX-License-Identifier: Apache-2.0 */
/* Attempts that a master or this worker's leaving ends: stopped, dropped, acknowledged. */
#include "shell_internal.h"

#include <math.h>

static void terminate(struct entry *entry, int64_t grace_ms)
{
    entry->term_at_ms = HD_NEVER_MS;
    hd_workspace_ask_stop(entry->workspace.run_dir);
    hd_engine_stop(entry->engine, entry->attempt, grace_ms);
}

/* One that keeps checkpoints is asked at once, and may take until the last moment; another one
 * works on until then, and may be done before. */
void shell_stop(struct shell *shell, struct hd_attempt_ref attempt, enum hd_outcome outcome,
                int64_t deadline_ms)
{
    struct entry *entry = shell_find(shell, attempt);
    if (entry != NULL && !entry->ended && entry->lease != NULL) {
        shell_fail_start(shell, entry, entry->lease, outcome,
                         "asked to stop while its files were on the way");
        return;
    }
    if (entry == NULL || entry->ended || entry->engine == NULL)
        return;
    const struct hd_target *target = &entry->experiment->target;
    int64_t left_ms = deadline_ms - hd_clock_ms();
    entry->stop_outcome = outcome;
    hd_log(HD_LOG_INFO, "job %u, attempt %u: asked to stop (%s)", attempt.job, attempt.attempt,
           hd_outcome_name(outcome));
    if (deadline_ms == HD_NEVER_MS) {
        terminate(entry, target->stop_grace_ms);
        return;
    }
    if (left_ms < 0)
        left_ms = 0;
    entry->term_grace_ms =
        target->stop_grace_ms < left_ms / 2 ? target->stop_grace_ms : left_ms / 2;
    entry->term_at_ms = deadline_ms - entry->term_grace_ms;
    if (!target->checkpoint)
        return;
    entry->asked = true;
    hd_workspace_ask_stop(entry->workspace.run_dir);
    if (entry->warm) { /* only its engine reaches it, and sees to the rest */
        entry->term_at_ms = HD_NEVER_MS;
        hd_engine_stop(entry->engine, attempt, left_ms);
    }
}

int64_t shell_terminate(struct shell *shell, bool hurry)
{
    int64_t next_ms = HD_NEVER_MS, now_ms = hd_clock_ms();
    for (size_t i = 0; i < HD_HELD_MAX; i++) {
        struct entry *entry = shell->entries[i];
        if (entry == NULL || entry->ended || entry->term_at_ms == HD_NEVER_MS)
            continue;
        if (hurry || entry->term_at_ms <= now_ms)
            terminate(entry, entry->term_grace_ms);
        else if (entry->term_at_ms < next_ms)
            next_ms = entry->term_at_ms;
    }
    return next_ms;
}

void shell_drop(struct shell *shell, struct hd_attempt_ref attempt)
{
    struct entry *entry = shell_find(shell, attempt);
    struct hd_engine *engines[] = {shell->docker, shell->process};
    for (size_t i = 0; i < HD_COUNT(engines); i++)
        if (engines[i] != NULL && (entry == NULL || entry->engine == engines[i]))
            hd_engine_drop(engines[i], attempt);
    if (entry != NULL && entry->workspace.directory[0] != '\0')
        hd_workspace_discard(&entry->workspace);
    hd_log(HD_LOG_INFO, "job %u, attempt %u: dropped, the master has given it to another",
           attempt.job, attempt.attempt);
    hd_shipper_forget(shell->shipper, attempt);
    if (entry != NULL)
        hd_run_dir_done(shell->settings->root, entry->workspace.run_dir,
                        shell->settings->seat->worker, entry->budget, (double)NAN, 0);
    hd_journal_forget(shell->journal_dir, attempt);
    shell_free_entry(shell, entry);
}

/* What its result breaks of the constraints. */
static double violation_of(const struct entry *entry)
{
    struct hd_score score;
    if (entry->experiment == NULL || entry->experiment->constraint_count == 0 ||
        entry->result.measure_count != hd_experiment_measure_count(entry->experiment))
        return 0;
    hd_experiment_score(entry->experiment, entry->result.measures, &score);
    return score.violation;
}

/* Its config cannot be promoted any more. */
static bool is_last_budget(const struct entry *entry)
{
    return entry->experiment != NULL && entry->result.outcome == HD_OUTCOME_OK &&
           entry->experiment->noise.repeats == 1 &&
           entry->budget >= entry->experiment->iter_gen.budget_max;
}

void shell_acknowledge(struct shell *shell, struct hd_attempt_ref attempt, enum hd_verdict verdict,
                       uint32_t wanted)
{
    struct entry *entry = shell_find(shell, attempt);
    if (entry == NULL)
        return; /* given back by the agent without having been here */
    if (entry->engine != NULL)
        hd_engine_remove(entry->engine, attempt);
    if (verdict == HD_VERDICT_REFUSED) {
        hd_log(HD_LOG_WARNING, "job %u, attempt %u: the master refused its result (it came late)",
               attempt.job, attempt.attempt);
        if (entry->workspace.directory[0] != '\0')
            hd_workspace_discard(&entry->workspace);
    } else if (entry->workspace.directory[0] != '\0') {
        hd_workspace_touch(entry->workspace.work_dir);
        hd_workspace_leave(
            shell->settings->root, shell->settings->seat->worker, entry->workspace.work_dir,
            &(struct hd_left_by){entry->attempt,
                                 entry->experiment != NULL ? entry->experiment->keep_work : 0});
        if (is_last_budget(entry))
            hd_workspace_finish(entry->workspace.work_dir, shell->settings->seat->worker);
        if (entry->result.outcome == HD_OUTCOME_OK)
            hd_collector_supersede(shell->collector, entry->workspace.copied_from);
        if ((wanted & HD_WANTED_STATE) != 0)
            shell_send_state(shell, entry);
    }
    if ((wanted & HD_WANTED_FILES) != 0)
        shell_send_files(shell, entry);
    /* In the queue before it leaves the journal. */
    if (verdict == HD_VERDICT_REFUSED)
        hd_shipper_forget(shell->shipper, attempt);
    else
        hd_shipper_end(shell->shipper, attempt, entry->result.outcome, entry->result.loss,
                       violation_of(entry));
    bool good = verdict != HD_VERDICT_REFUSED && entry->result.outcome == HD_OUTCOME_OK;
    hd_run_dir_done(shell->settings->root, entry->workspace.run_dir, shell->settings->seat->worker,
                    entry->budget, good ? entry->result.loss : (double)NAN, violation_of(entry));
    hd_journal_forget(shell->journal_dir, attempt);
    shell_free_entry(shell, entry);
}
