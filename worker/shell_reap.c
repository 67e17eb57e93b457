/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What workers that died have left running on this machine, or half made on its disk. A worker
 * takes up its own targets when it comes back, so they are left alone until their leases are surely
 * gone: it is a while since it was last seen alive, and nobody holds its seat.
 */
#include "shell_internal.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define REAP_EVERY_MS 600000
#define REAP_AFTER_MS 600000 /* a lease, the silence of a master, and a person who restarts it */
#define ALIVE_EVERY_MS 30000
#define ALIVE_NAME "alive"

/* ---- being alive ---------------------------------------------------------------------------- */

static void show_alive(const char *state_dir)
{
    char path[HD_PATH_MAX];
    if (!hd_format(path, sizeof(path), "%s/" ALIVE_NAME, state_dir))
        return;
    int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0)
        return; /* on a full disk we look dead after a while, and hold our seat */
    (void)!futimens(fd, NULL);
    close(fd);
}

static bool is_long_dead(const char *state_dir)
{
    char path[HD_PATH_MAX];
    struct stat st;
    return hd_format(path, sizeof(path), "%s/" ALIVE_NAME, state_dir) && lstat(path, &st) == 0 &&
           hd_clock_wall_ms() - (int64_t)st.st_mtim.tv_sec * 1000 >= REAP_AFTER_MS;
}

/* ---- reaping -------------------------------------------------------------------------------- */

static void end_running(struct hd_engine *engine, const char *worker)
{
    struct hd_engine_found *found = hd_calloc(HD_HELD_MAX, sizeof(*found));
    size_t count = 0;
    struct hd_err err;
    if (found == NULL || hd_engine_list(engine, found, HD_HELD_MAX, &count, &err) != HD_OK)
        count = 0;
    for (size_t i = 0; i < count; i++) {
        if (!found[i].running)
            continue;
        if (hd_engine_is_warm(found[i].attempt))
            hd_log(HD_LOG_WARNING, "a warm target of worker %s, which died, is ended", worker);
        else
            hd_log(HD_LOG_WARNING,
                   "job %u, attempt %u: worker %s died and left it running: it is ended",
                   found[i].attempt.job, found[i].attempt.attempt, worker);
        hd_engine_drop(engine, found[i].attempt);
    }
    hd_free(found);
}

/* With its seat in our hands it cannot come back meanwhile. Its journal stays: results that wait
 * there are for its return. */
static void reap_seat(const struct shell *shell, const struct hd_seat *seat)
{
    hd_workspace_import_clear(seat->state_dir);
    hd_courier_clean(seat->state_dir);
    struct hd_queue *queue = NULL;
    struct hd_engine *engine = NULL;
    struct hd_err err;
    if (hd_queue_new(SHELL_QUEUE_MAX, &queue, &err) != HD_OK)
        return;
    const struct hd_engine_options options = {
        .worker = seat->worker, .state_dir = seat->state_dir, .queue = queue};
    if (shell->process != NULL && hd_engine_open_process(&options, &engine, &err) == HD_OK) {
        end_running(engine, seat->worker);
        hd_engine_close(engine);
    }
    if (shell->docker != NULL && (shell->settings->engine == HD_ENGINE_PODMAN
                                      ? hd_engine_open_podman(&options, &engine, &err)
                                      : hd_engine_open_docker(&options, &engine, &err)) == HD_OK) {
        end_running(engine, seat->worker);
        hd_engine_close(engine);
    }
    hd_engine_recover_warm(seat->state_dir);
    if (shell->docker != NULL)
        shell_reap_services(shell, seat);
    void *news;
    while ((news = hd_queue_pop(queue, 0)) != NULL)
        hd_free(news);
    hd_queue_free(queue);
}

/* Its warm targets, and containers that were made ahead, live without a job; directories that came
 * or were copied in part are of no use to anybody. */
static bool has_entries(const char *state_dir, const char *name)
{
    char path[HD_PATH_MAX];
    struct dirent *entry;
    bool found = false;
    DIR *stream = hd_format(path, sizeof(path), "%s/%s", state_dir, name) ? opendir(path) : NULL;
    while (stream != NULL && !found && (entry = readdir(stream)) != NULL)
        found = entry->d_name[0] != '.';
    if (stream != NULL)
        closedir(stream);
    return found;
}

static bool has_leftovers(const char *state_dir)
{
    static const char *const names[] = {"warm", "ahead", "services", "incoming", "pieces"};
    bool found = false;
    for (size_t i = 0; i < HD_COUNT(names) && !found; i++)
        found = has_entries(state_dir, names[i]);
    return found;
}

static void look_at(const struct shell *shell, const char *workers_dir, const char *name)
{
    char state_dir[HD_PATH_MAX], journal_dir[HD_PATH_MAX];
    struct hd_attempt_ref attempt;
    struct hd_seat seat;
    struct stat st;
    size_t count = 0;
    struct hd_err err;
    if (name[0] == '.' || hd_streq(name, shell->settings->seat->worker) ||
        !hd_format(state_dir, sizeof(state_dir), "%s/%s", workers_dir, name) ||
        !hd_format(journal_dir, sizeof(journal_dir), "%s/attempts", state_dir) ||
        lstat(journal_dir, &st) != 0 || !S_ISDIR(st.st_mode) || !is_long_dead(state_dir) ||
        hd_journal_list(journal_dir, &attempt, 1, &count, &err) != HD_OK ||
        (count == 0 && !has_leftovers(state_dir)) ||
        hd_seat_take(shell->settings->root, shell->settings->host, name, &seat, &err) != HD_OK)
        return;
    reap_seat(shell, &seat);
    hd_seat_release(&seat);
}

static void reap(const struct shell *shell)
{
    char workers_dir[HD_PATH_MAX];
    (void)hd_copy_text(workers_dir, sizeof(workers_dir), shell->settings->seat->state_dir);
    char *slash = strrchr(workers_dir, '/');
    if (slash == NULL)
        return;
    *slash = '\0';
    DIR *stream = opendir(workers_dir);
    if (stream == NULL)
        return;
    struct dirent *entry;
    for (int i = 0; i < 3 * HD_WORKER_SLOTS_MAX && (entry = readdir(stream)) != NULL; i++)
        look_at(shell, workers_dir, entry->d_name);
    closedir(stream);
}

int64_t shell_reap(struct shell *shell)
{
    int64_t now_ms = hd_clock_ms();
    if (now_ms >= shell->alive_at_ms) {
        shell->alive_at_ms = now_ms + ALIVE_EVERY_MS;
        show_alive(shell->settings->seat->state_dir);
    }
    if (now_ms >= shell->reap_at_ms) {
        shell->reap_at_ms = now_ms + REAP_EVERY_MS;
        reap(shell);
    }
    return shell->alive_at_ms < shell->reap_at_ms ? shell->alive_at_ms : shell->reap_at_ms;
}
