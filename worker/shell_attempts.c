/* SPDX-License-Identifier: Apache-2.0 */
/* Targets, from the lease to the acknowledgement. */
#include "shell_internal.h"

#include <math.h>
#include <string.h>

#define POINTS_MAX 256 /* read at once */

/* ---- entries -------------------------------------------------------------------------------- */

struct entry *shell_find(struct shell *shell, struct hd_attempt_ref attempt)
{
    for (size_t i = 0; i < HD_HELD_MAX; i++)
        if (shell->entries[i] != NULL && hd_attempt_ref_equal(shell->entries[i]->attempt, attempt))
            return shell->entries[i];
    return NULL;
}

static struct entry *add_entry(struct shell *shell, struct hd_attempt_ref attempt)
{
    for (size_t i = 0; i < HD_HELD_MAX; i++) {
        if (shell->entries[i] != NULL)
            continue;
        struct entry *entry = hd_calloc(1, sizeof(*entry));
        if (entry == NULL)
            return NULL;
        entry->attempt = attempt;
        entry->stop_outcome = HD_OUTCOME_PREEMPTED; /* asked for by a process that is gone */
        entry->last_loss = (double)NAN;
        shell->entries[i] = entry;
        return entry;
    }
    return NULL;
}

static void free_entry(struct shell *shell, struct entry *entry)
{
    for (size_t i = 0; i < HD_HELD_MAX; i++)
        if (shell->entries[i] == entry)
            shell->entries[i] = NULL;
    if (entry != NULL)
        hd_experiment_free(entry->experiment);
    hd_free(entry);
}

void shell_free_entries(struct shell *shell)
{
    for (size_t i = 0; i < HD_HELD_MAX; i++)
        if (shell->entries[i] != NULL)
            free_entry(shell, shell->entries[i]);
}

/* ---- ends ----------------------------------------------------------------------------------- */

/* On disk first, then the agent hears of it. A full disk is tried again at the next tick. */
static void keep(struct shell *shell, struct entry *entry)
{
    struct hd_err err;
    if (hd_journal_keep_result(shell->journal_dir, &entry->result, &err) != HD_OK) {
        if (!entry->complained)
            hd_log(HD_LOG_ERROR, "job %u: its result cannot be kept, trying again: %s",
                   entry->attempt.job, err.text);
        entry->complained = true;
        return;
    }
    entry->kept = true;
    const struct pending ended = {.kind = HD_AGENT_EVENT_ENDED, .attempt = entry->attempt};
    shell_add_pending(shell, &ended);
}

/* The texts of `result` are copied. */
static void end(struct shell *shell, struct entry *entry, const struct hd_result *result)
{
    entry->ended = true;
    entry->result = *result;
    entry->result.attempt = entry->attempt;
    (void)hd_copy_text(entry->message, sizeof(entry->message), result->message);
    /* A JSON text that was cut is no JSON. */
    if (!hd_copy_text(entry->info_json, sizeof(entry->info_json), result->info_json))
        entry->info_json[0] = '\0';
    entry->result.message = entry->message;
    entry->result.info_json = entry->info_json;
    entry->result.directory = entry->workspace.directory;
    hd_log(HD_LOG_INFO, "job %u, attempt %u: %s%s%s", entry->attempt.job, entry->attempt.attempt,
           hd_outcome_name(result->outcome), entry->message[0] != '\0' ? ": " : "", entry->message);
    keep(shell, entry);
}

static void end_unstarted(struct shell *shell, struct entry *entry, enum hd_outcome outcome,
                          const char *why)
{
    int64_t now_wall_ms = hd_clock_wall_ms();
    const struct hd_result result = {
        .outcome = outcome,
        .loss = (double)NAN,
        .started_wall_ms = now_wall_ms,
        .finished_wall_ms = now_wall_ms,
        .exit_code = -1,
        .message = why,
        .info_json = "",
    };
    end(shell, entry, &result);
}

static void read_curve(struct shell *shell, struct entry *entry)
{
    struct hd_point points[POINTS_MAX];
    size_t count;
    if (entry->experiment == NULL)
        return;
    while ((count = hd_metrics_read(&entry->metrics, entry->workspace.run_dir, entry->experiment,
                                    entry->attempt, points, POINTS_MAX)) > 0) {
        entry->last_loss = points[count - 1].loss;
        struct hd_agent_event event = {
            .kind = HD_AGENT_EVENT_PROGRESS, .points = points, .point_count = count};
        shell_tell(shell, &event);
    }
}

static void classify(struct shell *shell, struct entry *entry, const struct hd_engine_end *raw)
{
    struct hd_loss loss;
    struct hd_result result;
    char message[HD_MESSAGE_MAX];
    hd_workspace_own(shell->settings->root, entry->workspace.run_dir);
    hd_workspace_own(shell->settings->root, entry->workspace.work_dir);
    hd_loss_read(entry->workspace.run_dir, entry->experiment, &loss);
    hd_classify(raw, &loss, entry->experiment, entry->stop_outcome, &result, message,
                sizeof(message));
    if (result.outcome == HD_OUTCOME_STOPPED && isnan(result.loss))
        result.loss = entry->last_loss;
    if (raw->kind == HD_END_NOT_STARTED && entry->workspace.directory[0] != '\0') {
        /* What was prepared for it is no state of the config. */
        hd_workspace_discard(&entry->workspace);
        entry->workspace.directory[0] = '\0';
    }
    result.message = message;
    result.info_json = loss.info_json;
    end(shell, entry, &result);
}

void shell_take_end(struct shell *shell, const struct hd_engine_news *news)
{
    struct entry *entry = shell_find(shell, news->attempt);
    if (entry == NULL || entry->ended || entry->experiment == NULL)
        return;
    read_curve(shell, entry);
    classify(shell, entry, &news->end);
}

/* ---- starting ------------------------------------------------------------------------------- */

/* NULL: *ret_outcome and *ret_why say what that means. */
static struct hd_engine *pick_engine(struct shell *shell, const struct hd_experiment *experiment,
                                     enum hd_outcome *ret_outcome, const char **ret_why)
{
    enum hd_engine_choice choice = shell->settings->engine;
    *ret_outcome = HD_OUTCOME_CONFIG_ERROR;
    if (experiment->target.image == NULL) {
        *ret_why = "the experiment has a command and no image, and this worker runs images only "
                   "(--engine docker)";
        return choice == HD_ENGINE_DOCKER ? NULL : shell->process;
    }
    *ret_why = "the experiment has an image, and this worker runs commands only (--engine process)";
    if (choice == HD_ENGINE_PROCESS)
        return NULL;
    struct hd_err err;
    if (shell->docker == NULL)
        (void)!shell_open_engines(shell, &err); /* it may have been started since */
    *ret_outcome = HD_OUTCOME_INFRA;
    *ret_why = "no Docker engine answers on this worker";
    return shell->docker;
}

static bool find_mapped(const struct shell *shell, const char *name, const char **ret_path)
{
    const struct hd_text_list *data = shell->settings->data;
    size_t size = strlen(name);
    for (size_t i = 0; i < data->count; i++)
        if (strncmp(data->items[i], name, size) == 0 && data->items[i][size] == '=') {
            *ret_path = data->items[i] + size + 1;
            return true;
        }
    return false;
}

/* The host path of the experiment's data. HD_E_INVALID: the experiment is wrong; HD_E_NOTFOUND:
 * this worker has no such data. */
static enum hd_code find_data(const struct shell *shell, const struct hd_target *target,
                              char **ret_path, struct hd_err *err)
{
    const char *mapped = NULL;
    char *path = NULL;
    if (target->data == NULL)
        return HD_OK;
    bool is_mapped = find_mapped(shell, target->data_name, &mapped);
    bool base = target->base_dir != NULL && target->base_dir[0] != '\0';
    enum hd_code code =
        is_mapped ? hd_path_absolute(NULL, mapped, &path, err)
                  : hd_path_absolute(base ? target->base_dir : NULL, target->data, &path, err);
    if (code != HD_OK)
        return code;
    if (hd_path_exists(path)) {
        *ret_path = path;
        return HD_OK;
    }
    if (!is_mapped && base && hd_path_exists(target->base_dir))
        code = hd_fail(err, HD_E_INVALID, "target.data: %s does not exist", path);
    else
        code = hd_fail(err, HD_E_NOTFOUND,
                       "this worker has no data set %s (%s): give it --data %s=PATH",
                       target->data_name, path, target->data_name);
    hd_free(path);
    return code;
}

static enum hd_code keep_attempt(struct shell *shell, const struct entry *entry,
                                 const struct hd_lease *lease, struct hd_err *err)
{
    char config_id[48];
    hd_format(config_id, sizeof(config_id), "[%u,%u,%u]", lease->config_id.iteration,
              lease->config_id.budget_index, lease->config_id.running_index);
    const struct hd_journal_attempt kept = {
        .attempt = entry->attempt,
        .master = entry->master,
        .engine = entry->engine != NULL ? hd_engine_name(entry->engine) : "",
        .run_id = lease->run_id,
        .config_id = config_id,
        .run_dir = entry->workspace.run_dir,
        .work_dir = entry->workspace.work_dir,
        .directory = entry->workspace.directory,
        .start = entry->workspace.start,
        .budget = lease->budget,
        .experiment_json = lease->target_json,
    };
    return hd_journal_keep_attempt(shell->journal_dir, &kept, err);
}

/* Two targets never write one directory, whatever the master believes. */
static void free_directory(struct shell *shell, const struct entry *entry)
{
    for (size_t i = 0; i < HD_HELD_MAX; i++) {
        struct entry *other = shell->entries[i];
        if (other == NULL || other == entry || other->ended || other->engine == NULL ||
            !hd_streq(other->workspace.work_dir, entry->workspace.work_dir))
            continue;
        hd_log(HD_LOG_WARNING, "job %u, attempt %u still ran in %s: it is ended",
               other->attempt.job, other->attempt.attempt, other->workspace.work_dir);
        hd_engine_drop(other->engine, other->attempt);
        const struct hd_engine_end lost = {.kind = HD_END_ENGINE_LOST,
                                           .exit_code = -1,
                                           .message =
                                               "its directory was leased to another attempt"};
        classify(shell, other, &lost);
    }
}

static enum hd_code run_lease(struct shell *shell, struct entry *entry,
                              const struct hd_lease *lease, char *data_dir, struct hd_err *err)
{
    const struct hd_shell_settings *settings = shell->settings;
    struct hd_plan plan;
    enum hd_code code =
        hd_workspace_make(settings->root, settings->seat->worker, lease, &entry->workspace, err);
    if (code != HD_OK)
        return code;
    free_directory(shell, entry);
    const struct hd_plan_input input = {
        .worker = settings->seat->worker,
        .lease = lease,
        .experiment = entry->experiment,
        .workspace = &entry->workspace,
        .data_dir = data_dir,
        .extra_env = settings->env->items,
        .extra_env_count = settings->env->count,
        .container = entry->engine == shell->docker,
        .now_wall_ms = hd_clock_wall_ms(),
    };
    code = hd_plan_make(&input, &plan, err);
    if (code != HD_OK)
        return code;
    code = keep_attempt(shell, entry, lease, err);
    if (code == HD_OK)
        code = hd_engine_start(entry->engine, &plan.job, err);
    hd_plan_release(&plan);
    return code;
}

/* What is wrong with the lease is the experiment's fault; everything else is ours. */
static enum hd_outcome outcome_of(enum hd_code code)
{
    return code == HD_E_INVALID || code == HD_E_UNSUPPORTED ? HD_OUTCOME_CONFIG_ERROR
                                                            : HD_OUTCOME_INFRA;
}

static void fail_start(struct shell *shell, struct entry *entry, const struct hd_lease *lease,
                       enum hd_outcome outcome, const char *why)
{
    struct hd_err err;
    entry->engine = NULL;
    if (entry->workspace.directory[0] != '\0')
        hd_workspace_discard(&entry->workspace);
    entry->workspace.directory[0] = '\0';
    /* Without it a result would have no master to go to after our own death. */
    (void)!keep_attempt(shell, entry, lease, &err);
    end_unstarted(shell, entry, outcome, why);
}

void shell_start(struct shell *shell, const struct hd_lease *lease, uint32_t master)
{
    struct hd_err err = {0};
    char name[HD_ID_MAX + 32];
    char *data_dir = NULL;
    const char *why = "";
    enum hd_outcome outcome;
    struct entry *entry = add_entry(shell, lease->attempt);
    if (entry == NULL) {
        /* Not held here although the agent holds it: only the short memory is to blame. */
        hd_log(HD_LOG_ERROR, "job %u: no memory to start it", lease->attempt.job);
        shell->leaving = true;
        return;
    }
    (void)hd_copy_text(entry->master, sizeof(entry->master),
                       hd_agent_master_id(shell->agent, master));
    hd_format(name, sizeof(name), "experiment of %s", lease->run_id);
    enum hd_code code = hd_experiment_parse_text(lease->target_json, strlen(lease->target_json),
                                                 name, NULL, &entry->experiment, &err);
    if (code == HD_OK)
        code = find_data(shell, &entry->experiment->target, &data_dir, &err);
    if (code != HD_OK) {
        fail_start(shell, entry, lease, outcome_of(code), err.text);
        return;
    }
    entry->engine = pick_engine(shell, entry->experiment, &outcome, &why);
    if (entry->engine == NULL) {
        fail_start(shell, entry, lease, outcome, why);
    } else if ((code = run_lease(shell, entry, lease, data_dir, &err)) != HD_OK) {
        fail_start(shell, entry, lease, outcome_of(code), err.text);
    } else {
        hd_log(HD_LOG_INFO, "job %u, attempt %u of %s: started at budget %g in %s",
               lease->attempt.job, lease->attempt.attempt, lease->run_id, lease->budget,
               entry->workspace.run_dir);
    }
    hd_free(data_dir);
}

/* ---- stopping and forgetting ---------------------------------------------------------------- */

void shell_stop(struct shell *shell, struct hd_attempt_ref attempt, enum hd_outcome outcome)
{
    struct entry *entry = shell_find(shell, attempt);
    if (entry == NULL || entry->ended || entry->engine == NULL)
        return;
    entry->stop_outcome = outcome;
    hd_workspace_ask_stop(entry->workspace.run_dir);
    hd_engine_stop(entry->engine, attempt, entry->experiment->target.stop_grace_ms);
    hd_log(HD_LOG_INFO, "job %u, attempt %u: asked to stop (%s)", attempt.job, attempt.attempt,
           hd_outcome_name(outcome));
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
    hd_journal_forget(shell->journal_dir, attempt);
    free_entry(shell, entry);
}

void shell_acknowledge(struct shell *shell, struct hd_attempt_ref attempt, enum hd_verdict verdict)
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
    }
    hd_journal_forget(shell->journal_dir, attempt);
    free_entry(shell, entry);
}

/* ---- time ----------------------------------------------------------------------------------- */

void shell_tick(struct shell *shell)
{
    for (size_t i = 0; i < HD_HELD_MAX; i++) {
        struct entry *entry = shell->entries[i];
        if (entry != NULL && entry->ended && !entry->kept)
            keep(shell, entry);
        else if (entry != NULL && !entry->ended)
            read_curve(shell, entry);
    }
}

bool shell_needs_ticks(const struct shell *shell)
{
    for (size_t i = 0; i < HD_HELD_MAX; i++)
        if (shell->entries[i] != NULL && !shell->entries[i]->kept)
            return true;
    return false;
}

/* ---- engines -------------------------------------------------------------------------------- */

enum hd_code shell_open_engines(struct shell *shell, struct hd_err *err)
{
    const struct hd_shell_settings *settings = shell->settings;
    const struct hd_engine_options options = {
        .worker = settings->seat->worker,
        .state_dir = settings->seat->state_dir,
        .queue = shell->engine_news,
    };
    enum hd_code code = HD_OK;
    if (settings->engine != HD_ENGINE_DOCKER && shell->process == NULL)
        code = hd_engine_open_process(&options, &shell->process, err);
    if (code != HD_OK || settings->engine == HD_ENGINE_PROCESS || shell->docker != NULL)
        return code;
    code = hd_engine_open_docker(&options, &shell->docker, err);
    if (code == HD_OK || settings->engine == HD_ENGINE_DOCKER)
        return code;
    hd_log(HD_LOG_INFO, "no Docker engine, commands only: %s", err->text);
    return HD_OK;
}

/* ---- what an earlier process left ----------------------------------------------------------- */

static struct hd_engine *engine_named(const struct shell *shell, const char *name)
{
    if (hd_streq(name, "docker"))
        return shell->docker;
    return hd_streq(name, "process") ? shell->process : NULL;
}

static bool copy_kept(struct entry *entry, const struct hd_journal_attempt *kept)
{
    struct hd_workspace *workspace = &entry->workspace;
    workspace->start = kept->start;
    return hd_copy_text(entry->master, sizeof(entry->master), kept->master) &&
           hd_copy_text(workspace->run_dir, sizeof(workspace->run_dir), kept->run_dir) &&
           hd_copy_text(workspace->work_dir, sizeof(workspace->work_dir), kept->work_dir) &&
           hd_copy_text(workspace->directory, sizeof(workspace->directory), kept->directory);
}

static enum hd_code adopt(struct entry *entry, const struct hd_journal_attempt *kept,
                          const char *worker, struct hd_err *err)
{
    char log_path[HD_PATH_MAX];
    if (!hd_format(log_path, sizeof(log_path), "%s/log.txt", kept->run_dir))
        return hd_fail(err, HD_E_LIMIT, "the path of the log is too long");
    const struct hd_target *target = &entry->experiment->target;
    const struct hd_engine_job job = {
        .attempt = entry->attempt,
        .worker = worker,
        .run_id = kept->run_id,
        .config_id = kept->config_id,
        .run_dir = kept->run_dir,
        .work_dir = kept->work_dir,
        .log_path = log_path,
        .image = target->image,
        .timeout_ms = hd_experiment_timeout_ms(entry->experiment, kept->budget),
        .stop_grace_ms = target->stop_grace_ms,
        .cpus = target->cpus,
        .memory_bytes = target->memory_bytes,
        .pids = target->pids,
    };
    return hd_engine_adopt(entry->engine, entry->attempt, &job, err);
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
    entry->engine = engine_named(shell, kept->engine);
    if (hd_experiment_parse_text(kept->experiment_json, strlen(kept->experiment_json),
                                 "kept experiment", NULL, &entry->experiment, &err) != HD_OK)
        entry->experiment = NULL;
    /* Held before it is ended: the agent learns whose it is. */
    tell_adopted(shell, entry);
    if (result != NULL) {
        hd_log(HD_LOG_INFO, "job %u, attempt %u: its result waits for master %s",
               entry->attempt.job, entry->attempt.attempt, entry->master);
        (void)hd_copy_text(entry->workspace.directory, sizeof(entry->workspace.directory),
                           result->directory);
        end(shell, entry, result);
    } else if (entry->experiment == NULL) {
        end_unstarted(shell, entry, HD_OUTCOME_INFRA, "the worker's journal could not be read");
    } else if (entry->engine == NULL ||
               adopt(entry, kept, shell->settings->seat->worker, &err) != HD_OK) {
        end_unstarted(shell, entry, HD_OUTCOME_INFRA,
                      "the worker ended before the target was started");
    } else {
        hd_log(HD_LOG_INFO, "job %u, attempt %u: found again", entry->attempt.job,
               entry->attempt.attempt);
    }
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
    } else if (hd_streq(kept.engine, "docker") && shell->docker == NULL && !has_result) {
        code =
            hd_fail(err, HD_E_BUSY,
                    "job %u of run %s was started in Docker by an earlier process, and no Docker "
                    "engine answers: start it first",
                    attempt.job, kept.run_id);
    } else {
        struct entry *entry = add_entry(shell, attempt);
        if (entry == NULL || !copy_kept(entry, &kept)) {
            free_entry(shell, entry);
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
