/* SPDX-License-Identifier: Apache-2.0 */
/* Attempts whose run has services of this worker's own: they wait until those are ready, and meet
 * them in the networks of their set. */
#include "shell_internal.h"

#include <poll.h>
#include <string.h>

#define LEAVE_WAIT_MS 200 /* how soon a signal is seen */

static bool needs_services(const struct entry *entry)
{
    return entry->experiment != NULL && entry->experiment->services_per_worker;
}

/* ---- opening --------------------------------------------------------------------------------- */

static void settle(const struct shell *shell, struct hd_service_sets_settings *ret_settings)
{
    *ret_settings = (struct hd_service_sets_settings){
        .state_dir = shell->settings->seat->state_dir,
        .host = shell->settings->host,
        .podman = shell->settings->engine == HD_ENGINE_PODMAN,
        .ask = hd_needed_ask_run,
        .context = shell->needed,
        .queue = shell->service_news,
    };
}

enum hd_code shell_open_services(struct shell *shell, struct hd_err *err)
{
    struct hd_service_sets_settings settings;
    settle(shell, &settings);
    return hd_service_sets_open(&settings, &shell->services, err);
}

void shell_reap_services(const struct shell *shell, const struct hd_seat *seat)
{
    struct hd_service_sets_settings settings;
    settle(shell, &settings);
    settings.state_dir = seat->state_dir;
    hd_service_sets_reap(&settings);
}

/* ---- waiting for them ------------------------------------------------------------------------ */

/* They are containers, whatever the target is. */
static enum hd_code find_engine(struct shell *shell, struct hd_err *err)
{
    struct hd_err ignored;
    if (shell->settings->engine == HD_ENGINE_PROCESS)
        return hd_fail(err, HD_E_UNSUPPORTED,
                       "services: they are containers, and this worker runs commands only "
                       "(--engine process)");
    if (shell->docker == NULL)
        (void)!shell_open_engines(shell, &ignored); /* it may have been started since */
    return shell->docker != NULL
               ? HD_OK
               : hd_fail(err, HD_E_NET,
                         "services: no engine for containers answers on this worker");
}

static enum hd_code want(struct shell *shell, struct entry *entry, const struct hd_lease *lease,
                         struct hd_err *err)
{
    struct hd_services_bounds bounds;
    struct hd_experiment *experiment = NULL;
    enum hd_code code = find_engine(shell, err);
    if (code == HD_OK)
        code = hd_experiment_parse_text(lease->target_json, strlen(lease->target_json),
                                        lease->run_id, NULL, &experiment, err);
    if (code == HD_OK)
        code = hd_services_judge(shell->settings->policy, hd_engine_name(shell->docker),
                                 experiment->services, &bounds, err);
    if (code == HD_OK && !shell_keep_lease(entry, lease))
        code = hd_fail(err, HD_E_NOMEM, "no memory for a job that waits");
    if (code != HD_OK) {
        hd_experiment_free(experiment);
        return code;
    }
    bounds.runtime = shell->settings->runtime;
    code = hd_service_sets_want(shell->services, lease->attempt.run_uid, lease->run_id,
                                !entry->holds_services, experiment, &bounds, err);
    entry->wants_services = code == HD_OK;
    entry->holds_services = entry->holds_services || code == HD_OK;
    return code;
}

bool shell_has_services(struct shell *shell, struct entry *entry, const struct hd_lease *lease)
{
    struct hd_err err;
    if (!needs_services(entry))
        return true;
    if (hd_service_sets_find(shell->services, entry->attempt.run_uid, !entry->holds_services,
                             entry->services_uuid)) {
        entry->holds_services = true;
        return true;
    }
    enum hd_code code = want(shell, entry, lease, &err);
    if (code == HD_OK)
        return false;
    shell_forget_lease(entry);
    shell_fail_start(shell, entry, lease,
                     code == HD_E_UNSUPPORTED || code == HD_E_INVALID ? HD_OUTCOME_CONFIG_ERROR
                                                                      : HD_OUTCOME_INFRA,
                     err.text);
    return false;
}

void shell_take_services(struct shell *shell, const struct hd_service_news *news)
{
    shell_tell_doing(shell, news->doing);
    for (size_t i = 0; news->ended && i < HD_HELD_MAX; i++) {
        struct entry *entry = shell->entries[i];
        if (entry != NULL && entry->wants_services && !entry->ended &&
            entry->attempt.run_uid == news->run_uid)
            shell_go_on(shell, entry, news->code == HD_OK ? NULL : news->err.text);
    }
}

/* ---- using them ------------------------------------------------------------------------------ */

void shell_hold_services(struct shell *shell, struct entry *entry)
{
    if (needs_services(entry) && !entry->holds_services)
        entry->holds_services = hd_service_sets_hold(shell->services, entry->attempt.run_uid);
}

void shell_release_services(struct shell *shell, struct entry *entry)
{
    if (!entry->holds_services || shell->services == NULL)
        return;
    if (entry->ended && entry->result.outcome != HD_OUTCOME_OK && !entry->wants_services)
        hd_service_sets_doubt(shell->services, entry->attempt.run_uid);
    hd_service_sets_release(shell->services, entry->attempt.run_uid);
    entry->holds_services = false;
}

void shell_leave_services(struct shell *shell, struct entry *entry)
{
    shell_release_services(shell, entry);
    if (needs_services(entry) && shell->services != NULL)
        hd_service_sets_look(shell->services, entry->attempt.run_uid);
}

static bool is_theirs(const struct hd_services *plan, const char *network)
{
    for (size_t i = 0; i < plan->count; i++)
        for (size_t k = 0; k < plan->items[i].network_count; k++)
            if (hd_streq(plan->items[i].networks[k], network))
                return true;
    return false;
}

/* A network of theirs is that of this worker's set; another one is the engine's. */
static enum hd_code rename(const struct entry *entry, struct hd_arena *arena, char **network,
                           struct hd_err *err)
{
    char name[HD_SERVICES_NAME_SIZE];
    if (!is_theirs(entry->experiment->services, *network) ||
        !hd_services_apart_name(*network, entry->services_uuid, name))
        return HD_OK;
    *network = hd_arena_strdup(arena, name);
    return *network != NULL ? HD_OK : hd_fail(err, HD_E_NOMEM, "no memory for a network");
}

enum hd_code shell_join_services(const struct entry *entry, struct hd_arena *arena,
                                 struct hd_container *container, struct hd_err *err)
{
    enum hd_code code = HD_OK;
    size_t count = 0;
    if (!needs_services(entry))
        return HD_OK;
    if (container->network != NULL)
        code = rename(entry, arena, &container->network, err);
    while (container->networks != NULL && container->networks[count] != NULL)
        count++;
    if (code != HD_OK || count == 0)
        return code;
    char **networks = hd_arena_alloc(arena, (count + 1) * sizeof(*networks));
    if (networks == NULL)
        return hd_fail(err, HD_E_NOMEM, "no memory for networks");
    for (size_t i = 0; i < count && code == HD_OK; i++) {
        networks[i] = container->networks[i];
        code = rename(entry, arena, &networks[i], err);
    }
    networks[count] = NULL;
    container->networks = networks;
    return code;
}

/* ---- leaving --------------------------------------------------------------------------------- */

void shell_end_services(struct shell *shell, bool (*hurried)(struct shell *shell))
{
    for (size_t i = 0; i < HD_HELD_MAX; i++)
        if (shell->entries[i] != NULL && shell->entries[i]->lease != NULL)
            shell_release_services(shell, shell->entries[i]); /* it never began */
    bool hurry = false;
    while (!hd_service_sets_leave(shell->services, hd_watchdog_feed(LEAVE_WAIT_MS))) {
        if (!hurry && hurried(shell))
            hd_service_sets_hurry(shell->services);
        hurry = hurry || hurried(shell);
    }
}
