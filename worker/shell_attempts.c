/* SPDX-License-Identifier: Apache-2.0 */
/* Targets, from the lease to the acknowledgement. */
#include "mounts.h"
#include "shell_internal.h"

#include <math.h>
#include <string.h>

#define POINTS_MAX 256 /* read at once */
#define ROUNDS_MAX                                                                                 \
    16 /* of reading in one tick: a target that writes for ever stops nobody else                  \
        */
#define LAST_MS_MAX 2000 /* of reading when it is over */

/* ---- entries -------------------------------------------------------------------------------- */

struct entry *shell_find(struct shell *shell, struct hd_attempt_ref attempt)
{
    for (size_t i = 0; i < HD_HELD_MAX; i++)
        if (shell->entries[i] != NULL && hd_attempt_ref_equal(shell->entries[i]->attempt, attempt))
            return shell->entries[i];
    return NULL;
}

struct entry *shell_add_entry(struct shell *shell, struct hd_attempt_ref attempt)
{
    for (size_t i = 0; i < HD_HELD_MAX; i++) {
        if (shell->entries[i] != NULL)
            continue;
        struct entry *entry = hd_calloc(1, sizeof(*entry));
        if (entry == NULL)
            return NULL;
        entry->attempt = attempt;
        entry->stop_outcome = HD_OUTCOME_PREEMPTED; /* asked for by a process that is gone */
        entry->last_loss = entry->last_step = entry->budget = (double)NAN;
        entry->term_at_ms = HD_NEVER_MS;
        shell->entries[i] = entry;
        return entry;
    }
    return NULL;
}

void shell_free_entry(struct shell *shell, struct entry *entry)
{
    for (size_t i = 0; i < HD_HELD_MAX; i++)
        if (shell->entries[i] == entry)
            shell->entries[i] = NULL;
    if (entry != NULL) {
        hd_gpus_release(&shell->gpus, entry->attempt);
        hd_free(entry->graphs_json);
        shell_leave_services(shell, entry);
        hd_experiments_release(shell->experiments, entry->experiment);
        hd_collector_unpin(shell->collector, entry->pinned);
        hd_arena_free(entry->lease_arena);
    }
    hd_free(entry);
}

void shell_pin(struct shell *shell, struct entry *entry)
{
    (void)hd_copy_text(entry->pinned, sizeof(entry->pinned), entry->workspace.directory);
    hd_collector_pin(shell->collector, entry->pinned);
}

void shell_free_entries(struct shell *shell)
{
    for (size_t i = 0; i < HD_HELD_MAX; i++)
        if (shell->entries[i] != NULL)
            shell_free_entry(shell, shell->entries[i]);
}

/* ---- ends ----------------------------------------------------------------------------------- */

static void complain(struct shell *shell, struct entry *entry, const char *why)
{
    char text[HD_DOING_MAX];
    if (!entry->complained)
        hd_log(HD_LOG_ERROR, "job %u: its result cannot be kept, trying again: %s",
               entry->attempt.job, why);
    entry->complained = true;
    (void)hd_format(text, sizeof(text), "a result cannot be kept on its disk; make room for it");
    shell_tell_doing(shell, text);
}

/* That nothing came of it is known again when the job comes again. */
static bool may_be_forgotten(const struct hd_result *result)
{
    return result->outcome == HD_OUTCOME_INFRA || result->outcome == HD_OUTCOME_CONFIG_ERROR;
}

/* On disk first, then the agent hears of it. A full disk is tried again at the next tick; the job
 * of which nothing came does not wait for it, since another worker may have room. */
static void keep(struct shell *shell, struct entry *entry)
{
    struct hd_err err;
    if (hd_journal_keep_result(shell->journal_dir, &entry->result, !entry->warm, &err) != HD_OK &&
        !may_be_forgotten(&entry->result)) {
        complain(shell, entry, err.text);
        return;
    }
    entry->kept = true;
    const struct pending ended = {.kind = HD_AGENT_EVENT_ENDED, .attempt = entry->attempt};
    shell_add_pending(shell, &ended);
}

/* The texts of `result` are copied. */
void shell_end(struct shell *shell, struct entry *entry, const struct hd_result *result)
{
    hd_gpus_release(&shell->gpus, entry->attempt);
    entry->ended = true;
    entry->result = *result;
    entry->result.attempt = entry->attempt;
    (void)hd_copy_text(entry->message, sizeof(entry->message), result->message);
    /* A JSON text that was cut is no JSON. */
    if (!hd_copy_text(entry->info_json, sizeof(entry->info_json), result->info_json))
        entry->info_json[0] = '\0';
    entry->result.message = entry->message;
    (void)hd_copy_text(entry->image_id, sizeof(entry->image_id), result->image_id);
    entry->result.info_json = entry->info_json;
    entry->result.image_id = entry->image_id;
    entry->result.directory = entry->workspace.directory;
    shell_release_services(shell, entry);
    hd_free(entry->graphs_json);
    entry->graphs_json = entry->workspace.run_dir[0] != '\0'
                             ? hd_graphs_gather(entry->workspace.run_dir)
                             : NULL;
    if (result->outcome == HD_OUTCOME_OK && entry->workspace.directory[0] != '\0')
        hd_workspace_reach(entry->workspace.work_dir, shell->settings->seat->worker, entry->budget);
    keep(shell, entry); /* before anybody reads of it */
    hd_log(HD_LOG_INFO, "job %u, attempt %u: %s%s%s", entry->attempt.job, entry->attempt.attempt,
           hd_outcome_name(result->outcome), entry->message[0] != '\0' ? ": " : "", entry->message);
}

void shell_end_unstarted(struct shell *shell, struct entry *entry, enum hd_outcome outcome,
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
        .image_id = "",
    };
    shell_end(shell, entry, &result);
}

/* What the target has reported since; the rest in the next tick, or, when it is `over`, now. */
static void read_curve(struct shell *shell, struct entry *entry, bool over)
{
    struct hd_point points[POINTS_MAX];
    if (entry->experiment == NULL || entry->lease != NULL)
        return;
    int64_t until_ms = hd_clock_ms() + LAST_MS_MAX;
    for (int round = 0; over ? hd_clock_ms() < until_ms : round < ROUNDS_MAX; round++) {
        int64_t offset = entry->output.offset;
        size_t count = hd_metrics_read(&entry->metrics, entry->workspace.run_dir, entry->experiment,
                                       entry->attempt, points, POINTS_MAX);
        if (count == 0)
            count = hd_output_read(&entry->output, entry->workspace.run_dir, entry->experiment,
                                   entry->attempt, points, POINTS_MAX);
        if (count == 0 && over && entry->output.offset > offset)
            continue; /* much was printed that is no point */
        if (count == 0)
            return;
        entry->last_loss = points[count - 1].loss;
        entry->last_step = points[count - 1].step;
        struct hd_agent_event event = {
            .kind = HD_AGENT_EVENT_PROGRESS, .points = points, .point_count = count};
        shell_tell(shell, &event);
    }
}

/* It was asked to stop by itself and has ended: stopped, unless its curve says that it was done. */
static bool stopped_itself(const struct entry *entry, const struct hd_engine_end *end)
{
    bool done = end->exit_code == 0 && entry->last_step >= entry->budget;
    return entry->asked && end->kind == HD_END_EXITED && !end->oom_killed && !done;
}

/* The name means something else on this machine: its results may not be comparable. */
static void note_image(const struct entry *entry, const struct hd_engine_end *raw)
{
    if (raw->image_id[0] == '\0' || entry->run_image_id[0] == '\0' ||
        hd_streq(raw->image_id, entry->run_image_id))
        return;
    hd_log(HD_LOG_WARNING,
           "job %u: image %s is %s here, and was %s where this run began; target.strict: true "
           "refuses such jobs",
           entry->attempt.job, entry->experiment->target.image, raw->image_id, entry->run_image_id);
}

void shell_classify(struct shell *shell, struct entry *entry, const struct hd_engine_end *raw)
{
    struct hd_loss loss;
    struct hd_result result;
    char message[HD_MESSAGE_MAX];
    hd_workspace_own(shell->settings->root, entry->workspace.run_dir);
    hd_workspace_own(shell->settings->root, entry->workspace.work_dir);
    hd_loss_read(entry->workspace.run_dir, entry->experiment, &loss);
    hd_contract_finish(entry->workspace.run_dir, entry->experiment);
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
    result.image_id = raw->image_id;
    note_image(entry, raw);
    if (result.outcome != HD_OUTCOME_OK)
        result.rule = hd_log_match(entry->workspace.run_dir, entry->experiment);
    shell_end(shell, entry, &result);
}

void shell_take_end(struct shell *shell, const struct hd_engine_news *news)
{
    struct entry *entry = shell_find(shell, news->attempt);
    if (entry == NULL || entry->ended || entry->experiment == NULL)
        return;
    if (!news->ended && news->begun) {
        entry->warm = entry->warm || news->warm;
        hd_journal_note_begun(shell->journal_dir, entry->attempt, news->warm);
        return;
    }
    if (!news->ended) {
        shell_tell_doing(shell, news->doing);
        return;
    }
    read_curve(shell, entry, true);
    struct hd_engine_end end = news->end;
    end.stopped = end.stopped || stopped_itself(entry, &end);
    shell_classify(shell, entry, &end);
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
        return choice == HD_ENGINE_DOCKER || choice == HD_ENGINE_PODMAN ? NULL : shell->process;
    }
    *ret_why = "the experiment has an image, and this worker runs commands only (--engine process)";
    if (choice == HD_ENGINE_PROCESS)
        return NULL;
    struct hd_err err;
    if (shell->docker == NULL)
        (void)!shell_open_engines(shell, &err); /* it may have been started since */
    *ret_outcome = HD_OUTCOME_INFRA;
    *ret_why = choice == HD_ENGINE_PODMAN ? "no Podman service answers on this worker"
                                          : "no Docker engine answers on this worker";
    return shell->docker;
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
        .gpus = entry->gpus,
        .warm = entry->warm,
        .experiment_json = lease->target_json,
    };
    return hd_journal_keep_attempt(shell->journal_dir, &kept, err);
}

/* "[0,0,3]" is 0-0-3 in the names of a store. */
void shell_begin_shipping(struct shell *shell, const struct entry *entry, const char *run_id,
                          const char *config_id)
{
    char name[48];
    size_t used = 0;
    for (; *config_id != '\0' && used + 1 < sizeof(name); config_id++)
        if (strchr("[] ", *config_id) == NULL)
            name[used++] = (char)(*config_id == ',' ? '-' : *config_id);
    name[used] = '\0';
    const struct hd_shipment shipment = {
        .attempt = entry->attempt,
        .run_id = run_id,
        .config_id = name,
        .run_dir = entry->workspace.run_dir,
        .spec = &entry->experiment->artifacts,
        .budget = entry->budget,
    };
    hd_shipper_begin(shell->shipper, &shipment);
}

static void begin_shipping(struct shell *shell, const struct entry *entry,
                           const struct hd_lease *lease)
{
    char config_id[48];
    (void)hd_format(config_id, sizeof(config_id), "%u,%u,%u", lease->config_id.iteration,
                    lease->config_id.budget_index, lease->config_id.running_index);
    shell_begin_shipping(shell, entry, lease->run_id, config_id);
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
        shell_classify(shell, other, &lost);
    }
}

/* When a target here will be asked to stop, for its own plans; 0: not known. */
static int64_t stop_wall_ms(const struct hd_shell_settings *settings)
{
    if (settings->end_ms == 0)
        return 0;
    return hd_clock_wall_ms() + settings->end_ms - settings->grace_ms - hd_clock_ms();
}

/* What needs no workspace, before a whole state is copied for it; the command is judged later. */
static enum hd_code judge_early(const struct shell *shell, const struct entry *entry,
                                struct hd_err *err)
{
    const struct hd_target *target = &entry->experiment->target;
    struct hd_engine_job job = {
        .image = target->image,
        .engine = hd_engine_name(entry->engine),
        .container = target->image != NULL ? &target->container : NULL,
        .timeout_ms = hd_experiment_timeout_ms(entry->experiment, entry->budget),
        .cpus = target->cpus,
        .memory_bytes = target->memory_bytes,
        .pids = target->pids,
    };
    return hd_policy_apply(shell->settings->policy, entry->experiment, NULL, &job, err);
}

/* Its part of this machine: GPUs and directories. */
static enum hd_code take_place(struct shell *shell, struct entry *entry,
                               const struct hd_lease *lease, struct hd_err *err)
{
    const struct hd_shell_settings *settings = shell->settings;
    enum hd_code code = hd_gpus_take(&shell->gpus, entry->attempt, entry->experiment->target.gpus,
                                     entry->gpus, err);
    if (code != HD_OK)
        return code;
    hd_collector_hold(shell->collector);
    code = hd_workspace_make(settings->root, settings->seat->worker, lease, &entry->workspace, err);
    if (code == HD_OK)
        shell_pin(shell, entry);
    hd_collector_release(shell->collector);
    if (code == HD_OK)
        free_directory(shell, entry);
    return code;
}

static enum hd_code make_plan(struct shell *shell, const struct entry *entry,
                              const struct hd_lease *lease, const char *master_address,
                              const struct hd_mounts *mounts, struct hd_plan *ret_plan,
                              struct hd_err *err)
{
    const struct hd_shell_settings *settings = shell->settings;
    const struct hd_target *target = &entry->experiment->target;
    char code_dir[HD_PATH_MAX];
    if (target->code != NULL && !hd_code_cache_find(shell->codes, target->code_hash, code_dir))
        return hd_fail(err, HD_E_NOTFOUND, "target.code: it was removed from this worker's disk");
    const struct hd_plan_input input = {
        .worker = settings->seat->worker,
        .lease = lease,
        .experiment = entry->experiment,
        .workspace = &entry->workspace,
        .mounts = mounts,
        .code_dir = target->code != NULL ? code_dir : NULL,
        .extra_env = settings->env->items,
        .extra_env_count = settings->env->count,
        .gpus = shell->gpus.count > 0 ? entry->gpus : NULL,
        .container = entry->engine == shell->docker,
        .now_wall_ms = hd_clock_wall_ms(),
        .stop_wall_ms = stop_wall_ms(settings),
    };
    enum hd_code code = hd_plan_make(&input, ret_plan, err);
    if (code != HD_OK)
        return code;
    ret_plan->job.engine = hd_engine_name(entry->engine);
    if (target->build != NULL) {
        hd_fetch_set_token(shell->fetch, shell->token);
        ret_plan->job.handed_by = master_address;
    }
    return HD_OK;
}

/* On disk before it begins. */
static enum hd_code start_plan(struct shell *shell, struct entry *entry,
                               const struct hd_lease *lease, struct hd_plan *plan,
                               struct hd_err *err)
{
    const struct hd_shell_settings *settings = shell->settings;
    enum hd_code code =
        hd_policy_apply(settings->policy, entry->experiment, plan->arena, &plan->job, err);
    /* After the policy, which judges what the experiment asks for. */
    struct hd_container container = entry->experiment->target.container;
    if (container.runtime == NULL)
        container.runtime = settings->runtime;
    if (code == HD_OK && plan->job.container != NULL)
        code = shell_join_services(entry, plan->arena, &container, err);
    if (plan->job.container != NULL)
        plan->job.container = &container;
    const struct hd_warm_spec *warm = &entry->experiment->target.warm;
    entry->warm = warm->on || (warm->by_label && hd_engine_knows_warm(entry->engine, &plan->job));
    if (code == HD_OK)
        code = keep_attempt(shell, entry, lease, err);
    if (code == HD_OK)
        begin_shipping(shell, entry, lease);
    if (code == HD_OK)
        code = hd_engine_start(entry->engine, &plan->job, err);
    return code;
}

static enum hd_code run_lease(struct shell *shell, struct entry *entry,
                              const struct hd_lease *lease, const char *master_address,
                              const struct hd_mounts *mounts, struct hd_err *err)
{
    struct hd_plan plan;
    enum hd_code code = judge_early(shell, entry, err);
    if (code == HD_OK)
        code = take_place(shell, entry, lease, err);
    if (code == HD_OK)
        code = make_plan(shell, entry, lease, master_address, mounts, &plan, err);
    if (code != HD_OK)
        return code;
    code = start_plan(shell, entry, lease, &plan, err);
    hd_plan_release(&plan);
    return code;
}

/* What is wrong with the lease is the experiment's fault; everything else is ours. */
static enum hd_outcome outcome_of(enum hd_code code)
{
    return code == HD_E_INVALID || code == HD_E_UNSUPPORTED ? HD_OUTCOME_CONFIG_ERROR
                                                            : HD_OUTCOME_INFRA;
}

void shell_fail_start(struct shell *shell, struct entry *entry, const struct hd_lease *lease,
                      enum hd_outcome outcome, const char *why)
{
    struct hd_err err;
    entry->engine = NULL;
    if (entry->workspace.directory[0] != '\0')
        hd_workspace_discard(&entry->workspace);
    entry->workspace.directory[0] = '\0';
    /* Without it a result would have no master to go to after our own death. */
    (void)!keep_attempt(shell, entry, lease, &err);
    shell_end_unstarted(shell, entry, outcome, why);
}

/* What of this machine its target sees. */
static enum hd_code find_mounts(const struct shell *shell, const struct entry *entry,
                                struct hd_mounts *ret_mounts, struct hd_err *err)
{
    const struct hd_shell_settings *settings = shell->settings;
    const struct hd_target *target = &entry->experiment->target;
    enum hd_code code = hd_mounts_find(target, settings->data, settings->policy, ret_mounts, err);
    if (code == HD_OK && target->data == NULL && target->data_sets == NULL &&
        settings->data_dir != NULL)
        code = hd_path_absolute(NULL, settings->data_dir, &ret_mounts->data_dir, err);
    return code;
}

void shell_start_target(struct shell *shell, struct entry *entry, const struct hd_lease *lease,
                        const char *address)
{
    struct hd_err err = {0};
    struct hd_mounts mounts = {0};
    const char *why = "";
    enum hd_outcome outcome;
    enum hd_code code = find_mounts(shell, entry, &mounts, &err);
    if (code != HD_OK) {
        shell_fail_start(shell, entry, lease, outcome_of(code), err.text);
        return;
    }
    entry->engine = pick_engine(shell, entry->experiment, &outcome, &why);
    if (entry->engine == NULL) {
        shell_fail_start(shell, entry, lease, outcome, why);
    } else if ((code = run_lease(shell, entry, lease, address, &mounts, &err)) != HD_OK) {
        if (code == HD_E_FULL)
            code = hd_fail_in(&err, "this worker's disk is full, make room on it");
        shell_fail_start(shell, entry, lease, outcome_of(code), err.text);
    } else {
        hd_log(HD_LOG_INFO, "job %u, attempt %u of %s: started at budget %g in %s",
               lease->attempt.job, lease->attempt.attempt, lease->run_id, lease->budget,
               entry->workspace.run_dir);
    }
    hd_mounts_release(&mounts);
}

void shell_prepare(struct shell *shell, struct entry *entry, const struct hd_lease *lease,
                   const char *address)
{
    if (shell_has_code(shell, entry, lease, address) && shell_has_services(shell, entry, lease) &&
        !shell_fetch_state(shell, entry, lease, address))
        shell_start_target(shell, entry, lease, address);
}

void shell_start(struct shell *shell, const struct hd_lease *lease, uint32_t master)
{
    struct hd_err err = {0};
    char name[HD_ID_MAX + 32];
    struct entry *entry = shell_add_entry(shell, lease->attempt);
    if (entry == NULL) {
        /* Not held here although the agent holds it: only the short memory is to blame. */
        hd_log(HD_LOG_ERROR, "job %u: no memory to start it", lease->attempt.job);
        shell->leaving = true;
        return;
    }
    (void)hd_copy_text(entry->master, sizeof(entry->master),
                       hd_agent_master_id(shell->agent, master));
    entry->budget = lease->budget;
    (void)hd_copy_text(entry->run_image_id, sizeof(entry->run_image_id), lease->image_id);
    hd_format(name, sizeof(name), "experiment of %s", lease->run_id);
    enum hd_code code =
        hd_experiments_take(shell->experiments, lease->target_json, name, &entry->experiment, &err);
    if (code != HD_OK)
        shell_fail_start(shell, entry, lease, outcome_of(code), err.text);
    else
        shell_prepare(shell, entry, lease, shell->clients[master].address);
}

/* ---- time ----------------------------------------------------------------------------------- */

void shell_tick(struct shell *shell)
{
    for (size_t i = 0; i < HD_HELD_MAX; i++) {
        struct entry *entry = shell->entries[i];
        if (entry != NULL && entry->ended && !entry->kept)
            keep(shell, entry);
        else if (entry != NULL && !entry->ended)
            read_curve(shell, entry, false);
    }
}

bool shell_needs_ticks(const struct shell *shell)
{
    for (size_t i = 0; i < HD_HELD_MAX; i++)
        if (shell->entries[i] != NULL && !shell->entries[i]->kept)
            return true;
    return false;
}
