/* SPDX-License-Identifier: Apache-2.0 */
/* The engines, and what an earlier process of this worker left in them and in its journal. */
#include "shell_internal.h"

#include <string.h>

/* ---- engines -------------------------------------------------------------------------------- */

/* Docker and Podman have one place: the first that is opened has it, and HD_E_CONFLICT is for the
 * other. */
static enum hd_code open_engine(struct shell *shell, const char *name, struct hd_err *err)
{
    const struct hd_shell_settings *settings = shell->settings;
    const struct hd_engine_options options = {
        .worker = settings->seat->worker,
        .state_dir = settings->seat->state_dir,
        .cgroup = settings->cgroup,
        .user = settings->target_user,
        .queue = shell->engine_news,
        .slots = settings->slots,
        .images = hd_fetch_source(shell->fetch),
        .files = settings->files,
    };
    bool process = hd_streq(name, "process");
    struct hd_engine **engine = process ? &shell->process : &shell->docker;
    if (*engine != NULL)
        return hd_streq(hd_engine_name(*engine), name)
                   ? HD_OK
                   : hd_fail(err, HD_E_CONFLICT, "this worker works with %s",
                             hd_engine_name(*engine));
    hd_engine_opener containers =
        hd_streq(name, "podman") ? hd_engine_open_podman : hd_engine_open_docker;
    return hd_engine_open_warm(&options, process ? hd_engine_open_process : containers, engine,
                               err);
}

enum hd_code shell_open_engines(struct shell *shell, struct hd_err *err)
{
    const enum hd_engine_choice choice = shell->settings->engine;
    bool only_images = choice == HD_ENGINE_DOCKER || choice == HD_ENGINE_PODMAN;
    enum hd_code code = HD_OK;
    if (!only_images)
        code = open_engine(shell, "process", err);
    if (code != HD_OK || choice == HD_ENGINE_PROCESS)
        return code;
    code = open_engine(shell, choice == HD_ENGINE_PODMAN ? "podman" : "docker", err);
    if (code == HD_OK || only_images)
        return code;
    hd_log(HD_LOG_INFO, "no Docker engine, commands only: %s", err->text);
    return HD_OK;
}

/* ---- what an earlier process left ----------------------------------------------------------- */

static struct hd_engine *engine_named(const struct shell *shell, const char *name)
{
    if (shell->docker != NULL && hd_streq(name, hd_engine_name(shell->docker)))
        return shell->docker;
    return hd_streq(name, "process") ? shell->process : NULL;
}

static bool copy_kept(struct entry *entry, const struct hd_journal_attempt *kept)
{
    struct hd_workspace *workspace = &entry->workspace;
    workspace->start = kept->start;
    entry->budget = kept->budget;
    entry->warm = kept->warm;
    (void)hd_copy_text(entry->gpus, sizeof(entry->gpus), kept->gpus);
    return hd_copy_text(entry->master, sizeof(entry->master), kept->master) &&
           hd_copy_text(workspace->run_dir, sizeof(workspace->run_dir), kept->run_dir) &&
           hd_copy_text(workspace->work_dir, sizeof(workspace->work_dir), kept->work_dir) &&
           hd_copy_text(workspace->directory, sizeof(workspace->directory), kept->directory);
}

static enum hd_code adopt(const struct shell *shell, struct entry *entry,
                          const struct hd_journal_attempt *kept, struct hd_err *err)
{
    char log_path[HD_PATH_MAX];
    if (!hd_format(log_path, sizeof(log_path), "%s/log.txt", kept->run_dir))
        return hd_fail(err, HD_E_LIMIT, "the path of the log is too long");
    const struct hd_target *target = &entry->experiment->target;
    struct hd_engine_job job = {
        .attempt = entry->attempt,
        .worker = shell->settings->seat->worker,
        .run_id = kept->run_id,
        .config_id = kept->config_id,
        .run_dir = kept->run_dir,
        .work_dir = kept->work_dir,
        .log_path = log_path,
        .image = target->image,
        .container = target->image != NULL ? &target->container : NULL,
        .timeout_ms = hd_experiment_timeout_ms(entry->experiment, kept->budget),
        .stop_grace_ms = target->stop_grace_ms,
        .cpus = target->cpus,
        .memory_bytes = target->memory_bytes,
        .pids = target->pids,
    };
    /* Its limits hold on; what the policy allows no longer, the caller ends. */
    enum hd_code code =
        hd_policy_apply(shell->settings->policy, entry->experiment, NULL, &job, err);
    return code != HD_OK ? code : hd_engine_adopt(entry->engine, entry->attempt, &job, err);
}

/* Neither the job nor this machine failed: it is uncharged, and waits for nothing, so that one
 * worker proposes the same whenever it is killed. */
static void hand_back(struct shell *shell, struct entry *entry)
{
    /* What was prepared for it is no state of the config. */
    if (entry->workspace.directory[0] != '\0')
        hd_workspace_discard(&entry->workspace);
    entry->workspace.directory[0] = '\0';
    shell_end_unstarted(shell, entry, HD_OUTCOME_PREEMPTED,
                        "the worker ended before the target was started");
}

/* It ran, and somebody has removed it: what it had written is the config's, as when that is seen.
 * It may also run on where the engine does not look any more. */
static bool end_removed(struct shell *shell, struct entry *entry)
{
    struct hd_err err;
    const struct hd_engine_end end = {
        .kind = HD_END_ENGINE_LOST,
        .exit_code = -1,
        .message = "its container was removed while no worker watched it",
    };
    if (entry->workspace.directory[0] == '\0' ||
        hd_workspace_renew(shell->settings->root, shell->settings->seat->worker, &entry->workspace,
                           &err) != HD_OK)
        return false;
    shell_classify(shell, entry, &end);
    return true;
}

/* Nobody would watch it: it does not run on. */
static void end_unadopted(struct shell *shell, struct entry *entry,
                          const struct hd_journal_attempt *kept, enum hd_code code, const char *why)
{
    hd_engine_drop(entry->engine, entry->attempt);
    if (code == HD_E_NOTFOUND && kept->begun && end_removed(shell, entry))
        return;
    if (code == HD_E_NOTFOUND)
        hand_back(shell, entry);
    else
        shell_end_unstarted(shell, entry,
                            code == HD_E_UNSUPPORTED ? HD_OUTCOME_CONFIG_ERROR : HD_OUTCOME_INFRA,
                            why);
}

static void tell_adopted(struct shell *shell, const struct entry *entry)
{
    struct hd_agent_event event = {
        .kind = HD_AGENT_EVENT_ADOPTED, .attempt = entry->attempt, .master_id = entry->master};
    shell_tell(shell, &event);
}

static void recover_one(struct shell *shell, struct entry *entry,
                        const struct hd_journal_attempt *kept, const struct hd_result *result)
{
    struct hd_err err;
    enum hd_code code = HD_OK;
    entry->engine = engine_named(shell, kept->engine);
    if (hd_experiments_take(shell->experiments, kept->experiment_json, "kept experiment",
                            &entry->experiment, &err) != HD_OK)
        entry->experiment = NULL;
    if (entry->experiment != NULL)
        shell_begin_shipping(shell, entry, kept->run_id, kept->config_id);
    /* Held before it is ended: the agent learns whose it is. */
    tell_adopted(shell, entry);
    if (result != NULL) {
        hd_log(HD_LOG_INFO, "job %u, attempt %u: its result waits for master %s",
               entry->attempt.job, entry->attempt.attempt, entry->master);
        (void)hd_copy_text(entry->workspace.directory, sizeof(entry->workspace.directory),
                           result->directory);
        shell_end(shell, entry, result);
    } else if (entry->experiment == NULL) {
        shell_end_unstarted(shell, entry, HD_OUTCOME_INFRA,
                            "the worker's journal could not be read");
    } else if (entry->engine == NULL) {
        hand_back(shell, entry);
    } else if (kept->warm || entry->experiment->target.warm.on) {
        /* It ended with us; what it left in its directory is the config's. */
        shell_end_unstarted(shell, entry, HD_OUTCOME_PREEMPTED,
                            "the worker ended, and its warm targets with it");
    } else if ((code = adopt(shell, entry, kept, &err)) != HD_OK) {
        end_unadopted(shell, entry, kept, code, err.text);
    } else {
        /* Asked by the process before us; what it then leaves is no result. */
        hd_gpus_retake(&shell->gpus, entry->attempt, entry->gpus);
        shell_hold_services(shell, entry);
        entry->asked = entry->experiment->target.checkpoint &&
                       hd_workspace_asked_stop(entry->workspace.run_dir);
        hd_log(HD_LOG_INFO, "job %u, attempt %u: found again", entry->attempt.job,
               entry->attempt.attempt);
    }
}

/* What an earlier process started goes on in the engine that it had, whatever this one may start.
 */
static bool open_for(struct shell *shell, const char *engine)
{
    struct hd_err err;
    bool process = hd_streq(engine, "process");
    if (!process && !hd_streq(engine, "docker") && !hd_streq(engine, "podman"))
        return true; /* nothing that could be opened */
    return open_engine(shell, engine, &err) == HD_OK || process;
}

static enum hd_code recover_kept(struct shell *shell, struct hd_attempt_ref attempt,
                                 struct hd_err *err)
{
    struct hd_arena *arena = NULL;
    struct hd_journal_attempt kept;
    struct hd_result result;
    bool has_result = false;
    enum hd_code code = hd_arena_new(2 * HD_JOURNAL_FILE_MAX, &arena, err);
    if (code != HD_OK)
        return code;
    if (hd_journal_read(shell->journal_dir, attempt, arena, &kept, &result, &has_result, err) !=
        HD_OK) {
        hd_log(HD_LOG_ERROR, "job %u, attempt %u: passed over: %s", attempt.job, attempt.attempt,
               err->text);
    } else if (!has_result && !open_for(shell, kept.engine)) {
        code =
            hd_fail(err, HD_E_BUSY,
                    "job %u of run %s was started in %s by an earlier process, and no such engine "
                    "answers: start it first, and the worker with the same --engine",
                    attempt.job, kept.run_id, kept.engine);
    } else {
        struct entry *entry = shell_add_entry(shell, kept.attempt);
        hd_collector_hold(shell->collector);
        bool taken = entry != NULL && copy_kept(entry, &kept);
        if (taken) {
            hd_workspace_recover(entry->workspace.work_dir);
            shell_pin(shell, entry);
        }
        hd_collector_release(shell->collector);
        if (!taken) {
            shell_free_entry(shell, entry);
            code = hd_fail(err, HD_E_LIMIT, "job %u, attempt %u: no room to take it up again",
                           attempt.job, attempt.attempt);
        } else {
            recover_one(shell, entry, &kept, has_result ? &result : NULL);
        }
    }
    hd_arena_free(arena);
    return code;
}

/* What an engine has and the journal does not: it was acknowledged, or never told to anybody. */
static enum hd_code drop_unknown(struct shell *shell, struct hd_engine *engine, struct hd_err *err)
{
    struct hd_engine_found *found = hd_calloc(HD_HELD_MAX, sizeof(*found));
    size_t count = 0;
    if (found == NULL)
        return hd_fail(err, HD_E_NOMEM, "no memory to list what the engine runs");
    enum hd_code code = hd_engine_list(engine, found, HD_HELD_MAX, &count, err);
    for (size_t i = 0; i < count && code == HD_OK; i++)
        if (shell_find(shell, found[i].attempt) == NULL)
            hd_engine_drop(engine, found[i].attempt);
    hd_free(found);
    return code;
}

enum hd_code shell_recover(struct shell *shell, struct hd_err *err)
{
    struct hd_attempt_ref attempts[HD_HELD_MAX];
    size_t count = 0;
    enum hd_code code = hd_journal_list(shell->journal_dir, attempts, HD_HELD_MAX, &count, err);
    for (size_t i = 0; i < count && code == HD_OK; i++)
        code = recover_kept(shell, attempts[i], err);
    struct hd_engine *engines[] = {shell->docker, shell->process};
    for (size_t i = 0; i < HD_COUNT(engines) && code == HD_OK; i++)
        if (engines[i] != NULL)
            code = drop_unknown(shell, engines[i], err);
    return code;
}
