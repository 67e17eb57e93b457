/* SPDX-License-Identifier: Apache-2.0 */
/* Work directories that travel: fetched before a target starts, sent after its end. */
#include "shell_internal.h"

#include <poll.h>

#define SILENCE_MS 10000     /* of a master, after which a worker that leaves sends nothing more */
#define OVER_SILENCE_MS 3000 /* ... when every run is over: one that is gone does not come back */
#define IDLE_LOOK_MS 200

/* ---- here ------------------------------------------------------------------------------------ */

/* What is packed is what the attempt before left, so nobody writes there meanwhile. */
static bool wait_until_packed(struct shell *shell, struct entry *entry,
                              const struct hd_lease *lease)
{
    char path[HD_PATH_MAX];
    struct hd_err ignored;
    if (hd_workspace_path(shell->settings->root, lease, path, &ignored) != HD_OK ||
        !shell_keep_lease(entry, lease))
        return false;
    if (hd_courier_must_wait(shell->courier, path, lease->attempt))
        return true;
    shell_forget_lease(entry);
    return false;
}

/* Into a directory that is empty; the pieces that came before are with the courier. */
static enum hd_code begin_fetch(struct shell *shell, const struct hd_lease *lease,
                                const char *address, struct hd_err *err)
{
    char path[HD_PATH_MAX];
    struct hd_err ignored;
    hd_fetch_set_token(shell->fetch, shell->token);
    enum hd_code code =
        hd_workspace_import_begin(shell->settings->seat->state_dir, lease, path, err);
    if (code != HD_OK)
        return code;
    code = hd_courier_fetch(shell->courier, address, lease->attempt, path, err);
    if (code != HD_OK)
        (void)!hd_remove_tree(path, &ignored);
    return code;
}

bool shell_fetch_state(struct shell *shell, struct entry *entry, const struct hd_lease *lease,
                       const char *address)
{
    struct hd_err err;
    if (lease->directory[0] == '\0')
        return false;
    if (hd_streq(lease->root, shell->settings->root->id))
        return wait_until_packed(shell, entry, lease);
    enum hd_code code = shell_keep_lease(entry, lease) ? begin_fetch(shell, lease, address, &err)
                                                       : hd_fail(&err, HD_E_NOMEM, "no memory");
    if (code == HD_OK)
        return true;
    shell_forget_lease(entry);
    hd_log(HD_LOG_WARNING, "job %u: it begins from the start, its state cannot be fetched: %s",
           lease->attempt.job, err.text);
    return false;
}

/* Then the lease names it; otherwise the target begins from the start. */
static void put_in_place(const struct shell *shell, const struct hd_courier_news *news,
                         struct hd_lease *lease, char directory[HD_DIR_NAME_MAX])
{
    const struct hd_root *root = shell->settings->root;
    const char *worker = shell->settings->seat->worker;
    struct hd_err err, ignored;
    enum hd_code code = news->failed
                            ? hd_fail(&err, HD_E_IO, "%s", news->why)
                            : hd_workspace_import_end(root, worker, news->path, news->budget, lease,
                                                      directory, &err);
    if (code != HD_OK) {
        (void)!hd_remove_tree(news->path, &ignored);
        hd_log(HD_LOG_WARNING, "job %u: it begins from the start, its state cannot be fetched: %s",
               lease->attempt.job, err.text);
        return;
    }
    lease->root = root->id;
    lease->directory_owner = worker;
    lease->directory = directory;
    hd_log(HD_LOG_INFO, "job %u, attempt %u: its state has come from another worker",
           lease->attempt.job, lease->attempt.attempt);
}

/* A master that is not reached, or was started again elsewhere, has the state still: as long as the
 * attempt is ours, nothing is computed twice for want of patience. */
static bool fetch_again(struct shell *shell, const struct entry *entry,
                        const struct hd_courier_news *news)
{
    struct hd_err err;
    const char *address = shell_address_of(shell, entry->master);
    if (!news->failed || !news->may_pass || address == NULL ||
        begin_fetch(shell, entry->lease, address, &err) != HD_OK)
        return false;
    hd_log(HD_LOG_INFO, "job %u, attempt %u: its state is asked for once more: %s",
           entry->attempt.job, entry->attempt.attempt, news->why);
    return true;
}

/* The master knows by now, and has the job wait for whoever has the state: that is better than to
 * begin from the start. */
static void hand_back(struct shell *shell, struct entry *entry, const struct hd_lease *lease,
                      const struct hd_courier_news *news)
{
    char why[sizeof(news->why) + 64];
    struct hd_err ignored;
    (void)!hd_remove_tree(news->path, &ignored);
    (void)hd_format(why, sizeof(why), "not started: its state did not come: %s", news->why);
    shell_fail_start(shell, entry, lease, HD_OUTCOME_PREEMPTED, why);
}

void shell_take_fetched(struct shell *shell, const struct hd_courier_news *news)
{
    struct entry *entry = shell_find(shell, news->attempt);
    struct hd_err err;
    if (entry == NULL || entry->ended || entry->lease == NULL) {
        if (news->path[0] != '\0') /* dropped or stopped meanwhile */
            (void)!hd_remove_tree(news->path, &err);
        return;
    }
    if (fetch_again(shell, entry, news))
        return;
    struct hd_arena *arena = entry->lease_arena;
    struct hd_lease *lease = entry->lease;
    entry->lease = NULL;
    entry->lease_arena = NULL;
    char directory[HD_DIR_NAME_MAX];
    const char *address = shell_address_of(shell, entry->master);
    if (news->path[0] != '\0' && !news->lost)
        put_in_place(shell, news, lease, directory);
    if (news->lost)
        hand_back(shell, entry, lease, news);
    else
        shell_start_target(shell, entry, lease, address != NULL ? address : "");
    hd_arena_free(arena);
}

/* ---- there ----------------------------------------------------------------------------------- */

void shell_send_state(struct shell *shell, const struct entry *entry)
{
    const char *address = shell_address_of(shell, entry->master);
    if (address == NULL || shell->settings->travel_bytes_max == 0)
        return;
    hd_fetch_set_token(shell->fetch, shell->token);
    hd_courier_send(shell->courier, address, entry->attempt, entry->workspace.work_dir);
}

void shell_send_files(struct shell *shell, const struct entry *entry)
{
    const char *address = shell_address_of(shell, entry->master);
    if (address == NULL)
        return;
    hd_fetch_set_token(shell->fetch, shell->token);
    hd_courier_bring(shell->courier, address, entry->attempt, entry->workspace.run_dir);
}

void shell_bring(struct shell *shell, struct hd_attempt_ref attempt, uint32_t master)
{
    hd_fetch_set_token(shell->fetch, shell->token);
    hd_courier_bring(shell->courier, shell->clients[master].address, attempt, "");
}

/* An attempt may have begun in it since the master asked, and what it has done is not what is
 * asked for. */
static bool is_in_use(const struct shell *shell, const char *work_dir)
{
    for (size_t i = 0; i < HD_HELD_MAX; i++) {
        const struct entry *entry = shell->entries[i];
        if (entry != NULL && hd_streq(entry->workspace.work_dir, work_dir))
            return true;
    }
    return false;
}

void shell_offer(struct shell *shell, struct hd_attempt_ref attempt, uint32_t master)
{
    const struct hd_shell_settings *settings = shell->settings;
    char path[HD_PATH_MAX];
    if (settings->travel_bytes_max == 0 ||
        !hd_workspace_find(settings->root, settings->seat->worker, attempt, path) ||
        is_in_use(shell, path))
        return;
    hd_fetch_set_token(shell->fetch, shell->token);
    hd_courier_send(shell->courier, shell->clients[master].address, attempt, path);
}

/* A master that is gone, as after the end of its run, is not waited for. */
void shell_send_rest(struct shell *shell)
{
    const struct hd_shell_settings *settings = shell->settings;
    int64_t until_ms = hd_clock_ms() + settings->artifact_wait_ms;
    if (settings->end_ms != 0 && settings->end_ms < until_ms)
        until_ms = settings->end_ms;
    int64_t silence_ms = hd_agent_all_over(shell->agent) ? OVER_SILENCE_MS : SILENCE_MS;
    int64_t answered_ms = hd_clock_ms();
    uint64_t answers = hd_courier_answers(shell->courier);
    while (!hd_courier_is_idle(shell->courier) && hd_clock_ms() < until_ms &&
           hd_clock_ms() - answered_ms < silence_ms &&
           shell->signals < (shell->hurried ? SIGNALS_LEAVING : SIGNALS_LEAVING + 1)) {
        struct pollfd fd = {.fd = settings->stop_fd, .events = POLLIN};
        if (poll(&fd, 1, (int)hd_watchdog_feed(IDLE_LOOK_MS)) > 0)
            break;
        uint64_t now = hd_courier_answers(shell->courier);
        if (now != answers || hd_courier_is_packing(shell->courier))
            answered_ms = hd_clock_ms();
        answers = now;
    }
}
