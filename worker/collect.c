/* SPDX-License-Identifier: Apache-2.0 */
#include "collect.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define LOOK_EVERY_MS 60000
#define SIZE_ENTRIES_MAX 1000000u
#define LOOK_AGAIN_MS 200 /* however often something ends, and ... */
#define LOOK_SHARE 30     /* ... so many times as long as the last look took */
#define LOOK_AGAIN_MS_MAX 20000
#define KEPT_SHARE 0.9 /* of the limit, so that not every end is followed by a removal */

struct hd_collector {
    const struct hd_root *root;
    char worker[HD_WORKER_ID_MAX];
    uint64_t limit_bytes;
    uint64_t run_limit_bytes;
    hd_run_dir_needed is_needed;
    void *needed_context;
    hd_collect_asker asker;
    void *asker_context;
    pthread_t thread;
    bool started;
    pthread_mutex_t lock;
    pthread_mutex_t looking; /* one look at a time: two would make room twice */
    pthread_cond_t changed;
    bool closing, poked;
    char pins[HD_COLLECT_PINS_MAX][HD_DIR_NAME_MAX];
};

/* ---- what is there -------------------------------------------------------------------------- */

struct candidate {
    char *path;
    uint64_t bytes; /* 0 without a limit */
    int64_t used_ms;
    bool finished;  /* it was evaluated at the highest budget */
    bool has_grant; /* `left` says which was the last */
    struct hd_left_by left;
    enum hd_need need;
};

struct candidates {
    struct candidate *items;
    size_t count, capacity;
    uint64_t bytes;
};

static uint64_t size_inside(int directory, int depth, unsigned *entries);

static uint64_t size_of_entry(int directory, const char *name, int depth, unsigned *entries)
{
    struct stat st;
    if (fstatat(directory, name, &st, AT_SYMLINK_NOFOLLOW) != 0)
        return 0;
    uint64_t bytes = (uint64_t)st.st_blocks * 512;
    int inside = S_ISDIR(st.st_mode) && depth < HD_OWN_DEPTH_MAX
                     ? openat(directory, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)
                     : -1;
    return inside >= 0 ? bytes + size_inside(inside, depth + 1, entries) : bytes;
}

/* Takes the descriptor. */
static uint64_t size_inside(int directory, int depth, unsigned *entries)
{
    DIR *stream = fdopendir(directory);
    uint64_t bytes = 0;
    struct dirent *entry;
    if (stream == NULL) {
        close(directory);
        return 0;
    }
    while ((entry = readdir(stream)) != NULL && (*entries)++ < SIZE_ENTRIES_MAX)
        if (!hd_streq(entry->d_name, ".") && !hd_streq(entry->d_name, ".."))
            bytes += size_of_entry(dirfd(stream), entry->d_name, depth, entries);
    closedir(stream);
    return bytes;
}

uint64_t hd_collector_bytes(const char *path)
{
    unsigned entries = 0;
    return size_of_entry(AT_FDCWD, path, 0, &entries);
}

static bool is_ours(const struct hd_collector *collector, const char *work_dir,
                    int64_t *ret_used_ms)
{
    char path[HD_PATH_MAX];
    struct stat st;
    if (!hd_workspace_is_owner(work_dir, collector->worker) ||
        !hd_format(path, sizeof(path), "%s.owner", work_dir) || lstat(path, &st) != 0)
        return false;
    *ret_used_ms = (int64_t)st.st_mtim.tv_sec * 1000 + st.st_mtim.tv_nsec / 1000000;
    return true;
}

/* Without a limit only those count that their experiments may not keep. */
static void add_candidate(const struct hd_collector *collector, struct candidates *all,
                          const char *work_dir, int64_t used_ms)
{
    struct candidate candidate = {.used_ms = used_ms, .need = HD_NEED_UNKNOWN};
    candidate.has_grant = hd_workspace_left_by(work_dir, &candidate.left);
    if (collector->limit_bytes == 0 && candidate.left.kept == 0)
        return;
    if (all->count == all->capacity) {
        size_t capacity = all->capacity == 0 ? 64 : 2 * all->capacity;
        struct candidate *grown = capacity <= 2 * HD_COLLECT_CANDIDATES_MAX
                                      ? hd_realloc(all->items, capacity * sizeof(*grown))
                                      : NULL;
        if (grown == NULL)
            return; /* one that is not looked at stays */
        all->items = grown;
        all->capacity = capacity;
    }
    candidate.path = hd_strdup(work_dir);
    if (candidate.path == NULL)
        return;
    if (collector->limit_bytes > 0)
        candidate.bytes = hd_collector_bytes(work_dir);
    candidate.finished = hd_workspace_is_finished(work_dir);
    all->bytes += candidate.bytes;
    all->items[all->count++] = candidate;
}

static void release_candidates(struct candidates *all)
{
    for (size_t i = 0; i < all->count; i++)
        hd_free(all->items[i].path);
    hd_free(all->items);
}

/* ---- walking -------------------------------------------------------------------------------- */

/* One <run>/cfg: what was renamed is removed, what is ours is gathered. */
static bool walk_configs(const struct hd_collector *collector, const char *cfg,
                         struct candidates *all)
{
    DIR *stream = opendir(cfg);
    bool removed = false;
    struct dirent *entry;
    if (stream == NULL)
        return false;
    while ((entry = readdir(stream)) != NULL) {
        char path[HD_PATH_MAX];
        struct stat st;
        struct hd_err ignored;
        int64_t used_ms;
        if (!hd_format(path, sizeof(path), "%s/%s", cfg, entry->d_name) || lstat(path, &st) != 0 ||
            !S_ISDIR(st.st_mode))
            continue;
        if (strncmp(entry->d_name, HD_GONE_PREFIX, strlen(HD_GONE_PREFIX)) == 0)
            removed = hd_remove_tree(path, &ignored) == HD_OK || removed;
        else if (entry->d_name[0] != '.' && is_ours(collector, path, &used_ms))
            add_candidate(collector, all, path, used_ms);
    }
    closedir(stream);
    return removed;
}

static bool walk_runs(const struct hd_collector *collector, struct candidates *all)
{
    DIR *stream = opendir(collector->root->path);
    bool removed = false;
    struct dirent *entry;
    if (stream == NULL)
        return false;
    while ((entry = readdir(stream)) != NULL) {
        char cfg[HD_PATH_MAX];
        if (entry->d_name[0] != '.' &&
            hd_format(cfg, sizeof(cfg), "%s/%s/cfg", collector->root->path, entry->d_name))
            removed = walk_configs(collector, cfg, all) || removed;
    }
    closedir(stream);
    return removed;
}

/* ---- removing ------------------------------------------------------------------------------- */

static bool is_pinned(const struct hd_collector *collector, const char *name)
{
    for (size_t i = 0; i < HD_COLLECT_PINS_MAX; i++)
        if (hd_streq(collector->pins[i], name))
            return true;
    return false;
}

/* Under the lock. True when it has vanished from under its name. */
static bool vanish(const struct hd_collector *collector, const char *work_dir)
{
    char gone[HD_PATH_MAX];
    const char *slash = strrchr(work_dir, '/');
    if (slash == NULL || is_pinned(collector, slash + 1) ||
        !hd_prefixed_path(work_dir, HD_GONE_PREFIX, gone) || rename(work_dir, gone) != 0)
        return false;
    hd_workspace_forget(work_dir);
    return true;
}

/* What was said of a grant is not said of a later one. */
static bool remove_candidate(struct hd_collector *collector, const struct candidate *candidate,
                             const char *why)
{
    struct hd_left_by left = {0};
    pthread_mutex_lock(&collector->lock);
    bool same =
        !candidate->has_grant || (hd_workspace_left_by(candidate->path, &left) &&
                                  hd_attempt_ref_same(left.attempt, candidate->left.attempt));
    bool gone = same && vanish(collector, candidate->path);
    pthread_mutex_unlock(&collector->lock);
    if (gone && candidate->bytes > 0)
        hd_log(HD_LOG_INFO, "%s: %s is removed, %llu bytes", why, candidate->path,
               (unsigned long long)candidate->bytes);
    else if (gone)
        hd_log(HD_LOG_INFO, "%s: %s is removed", why, candidate->path);
    return gone;
}

/* What no job will go on in comes first, the best of that last. */
static int rank_of(const struct candidate *candidate)
{
    switch (candidate->need) {
    case HD_NEED_NOTHING:
    case HD_NEED_ROOM:
        return 0;
    case HD_NEED_BEST:
        return 1;
    case HD_NEED_UNKNOWN:
        return candidate->finished ? 0 : 2;
    case HD_NEED_STATE:
    case HD_NEED_COUNT:
        break;
    }
    return 2;
}

static int by_use(const void *a, const void *b)
{
    const struct candidate *left = a, *right = b;
    if (rank_of(left) != rank_of(right))
        return rank_of(left) < rank_of(right) ? -1 : 1;
    return left->used_ms < right->used_ms ? -1 : left->used_ms > right->used_ms;
}

static bool make_room(struct hd_collector *collector, struct candidates *all)
{
    bool any = false;
    uint64_t wanted = (uint64_t)((double)collector->limit_bytes * KEPT_SHARE);
    if (collector->limit_bytes == 0 || all->bytes <= collector->limit_bytes)
        return false;
    qsort(all->items, all->count, sizeof(*all->items), by_use);
    for (size_t i = 0; i < all->count && all->bytes > wanted; i++) {
        if (!remove_candidate(collector, &all->items[i], "--work-limit"))
            continue;
        all->bytes -= all->items[i].bytes;
        any = true;
    }
    return any;
}

/* Masters are asked about what an experiment may not keep and, when room is needed, all. */
static void ask_masters(struct hd_collector *collector, struct candidates *all)
{
    bool over = collector->limit_bytes > 0 && all->bytes > collector->limit_bytes;
    struct hd_collect_question *questions = hd_calloc(all->count + 1, sizeof(*questions));
    enum hd_need *needs = hd_calloc(all->count + 1, sizeof(*needs));
    size_t *places = hd_calloc(all->count + 1, sizeof(*places));
    size_t count = 0;
    if (questions != NULL && needs != NULL && places != NULL) {
        for (size_t i = 0; i < all->count; i++) {
            const struct candidate *candidate = &all->items[i];
            if (!candidate->has_grant || (!over && candidate->left.kept == 0))
                continue;
            needs[count] = HD_NEED_UNKNOWN;
            questions[count].attempt = candidate->left.attempt;
            questions[count].directory = strrchr(candidate->path, '/') + 1;
            places[count++] = i;
        }
        if (count > 0)
            collector->asker(collector->asker_context, questions, count, needs);
        for (size_t i = 0; i < count; i++)
            all->items[places[i]].need = needs[i];
    }
    hd_free(questions);
    hd_free(needs);
    hd_free(places);
}

/* What no experiment keeps. */
static bool remove_unkept(struct hd_collector *collector, struct candidates *all)
{
    bool any = false;
    for (size_t i = 0; i < all->count; i++) {
        struct candidate *candidate = &all->items[i];
        if (candidate->need != HD_NEED_NOTHING ||
            !remove_candidate(collector, candidate, "keep_work"))
            continue;
        all->bytes -= candidate->bytes;
        hd_free(candidate->path);
        *candidate = all->items[--all->count];
        i--;
        any = true;
    }
    return any;
}

bool hd_collector_look(struct hd_collector *collector)
{
    struct candidates all = {0};
    pthread_mutex_lock(&collector->looking);
    bool removed = walk_runs(collector, &all);
    if (collector->asker != NULL)
        ask_masters(collector, &all);
    bool unkept = remove_unkept(collector, &all);
    if (make_room(collector, &all) || unkept) {
        struct candidates again = {0};
        (void)walk_runs(collector, &again);
        release_candidates(&again);
        removed = true;
    }
    if (collector->run_limit_bytes > 0 &&
        hd_run_dirs_make_room(collector->root, collector->worker, collector->run_limit_bytes,
                              collector->is_needed, collector->needed_context))
        removed = true;
    pthread_mutex_unlock(&collector->looking);
    release_candidates(&all);
    return removed;
}

/* ---- the thread ----------------------------------------------------------------------------- */

/* Under the lock, which waiting lets go. */
static void wait_for(struct hd_collector *collector, int64_t ms, bool poked_too)
{
    int64_t until_ms = hd_clock_ms() + ms;
    while (!collector->closing && !(poked_too && collector->poked) &&
           hd_cond_wait_until(&collector->changed, &collector->lock, until_ms))
        continue;
}

static int64_t pause_after(int64_t took_ms)
{
    if (took_ms > LOOK_AGAIN_MS_MAX / LOOK_SHARE)
        return LOOK_AGAIN_MS_MAX;
    return took_ms * LOOK_SHARE > LOOK_AGAIN_MS ? took_ms * LOOK_SHARE : LOOK_AGAIN_MS;
}

static void *collect(void *argument)
{
    struct hd_collector *collector = argument;
    pthread_mutex_lock(&collector->lock);
    wait_for(collector, LOOK_EVERY_MS, true); /* no master is known yet who could be asked */
    while (!collector->closing) {
        collector->poked = false;
        pthread_mutex_unlock(&collector->lock);
        int64_t began_ms = hd_clock_ms();
        (void)hd_collector_look(collector);
        int64_t pause_ms = pause_after(hd_clock_ms() - began_ms);
        pthread_mutex_lock(&collector->lock);
        wait_for(collector, pause_ms, false);
        wait_for(collector, LOOK_EVERY_MS, true);
    }
    pthread_mutex_unlock(&collector->lock);
    return NULL;
}

enum hd_code hd_collector_open(const struct hd_root *root, const char *worker, uint64_t limit_bytes,
                               struct hd_collector **ret_collector, struct hd_err *err)
{
    struct hd_collector *collector = hd_calloc(1, sizeof(*collector));
    if (collector == NULL)
        return hd_fail(err, HD_E_NOMEM, "no memory for removing directories");
    collector->root = root;
    collector->limit_bytes = limit_bytes;
    (void)hd_copy_text(collector->worker, sizeof(collector->worker), worker);
    hd_assert(pthread_mutex_init(&collector->lock, NULL) == 0);
    hd_assert(pthread_mutex_init(&collector->looking, NULL) == 0);
    hd_cond_init(&collector->changed);
    *ret_collector = collector;
    return HD_OK;
}

enum hd_code hd_collector_start(struct hd_collector *collector, hd_collect_asker asker,
                                void *context, struct hd_err *err)
{
    collector->asker = asker;
    collector->asker_context = context;
    collector->poked = false;
    if (pthread_create(&collector->thread, NULL, collect, collector) != 0)
        return hd_fail(err, HD_E_NOMEM, "cannot start the thread that removes directories");
    collector->started = true;
    return HD_OK;
}

void hd_collector_close(struct hd_collector *collector)
{
    if (collector == NULL)
        return;
    pthread_mutex_lock(&collector->lock);
    collector->closing = true;
    pthread_cond_signal(&collector->changed);
    pthread_mutex_unlock(&collector->lock);
    if (collector->started)
        pthread_join(collector->thread, NULL);
    pthread_cond_destroy(&collector->changed);
    pthread_mutex_destroy(&collector->lock);
    pthread_mutex_destroy(&collector->looking);
    hd_free(collector);
}

void hd_collector_limit_runs(struct hd_collector *collector, uint64_t limit_bytes,
                             hd_run_dir_needed is_needed, void *context)
{
    collector->run_limit_bytes = limit_bytes;
    collector->is_needed = is_needed;
    collector->needed_context = context;
}

/* ---- for the shell -------------------------------------------------------------------------- */

void hd_collector_hold(struct hd_collector *collector)
{
    if (collector != NULL)
        pthread_mutex_lock(&collector->lock);
}

void hd_collector_release(struct hd_collector *collector)
{
    if (collector != NULL)
        pthread_mutex_unlock(&collector->lock);
}

void hd_collector_pin(struct hd_collector *collector, const char *name)
{
    if (collector == NULL || name[0] == '\0')
        return;
    for (size_t i = 0; i < HD_COLLECT_PINS_MAX; i++)
        if (collector->pins[i][0] == '\0') {
            (void)hd_copy_text(collector->pins[i], sizeof(collector->pins[i]), name);
            return;
        }
}

void hd_collector_unpin(struct hd_collector *collector, const char *name)
{
    if (collector == NULL || name[0] == '\0')
        return;
    pthread_mutex_lock(&collector->lock);
    size_t i = 0;
    while (i < HD_COLLECT_PINS_MAX && !hd_streq(collector->pins[i], name))
        i++;
    if (i < HD_COLLECT_PINS_MAX)
        collector->pins[i][0] = '\0';
    collector->poked = true;
    pthread_cond_signal(&collector->changed);
    pthread_mutex_unlock(&collector->lock);
}

void hd_collector_supersede(struct hd_collector *collector, const char *work_dir)
{
    if (collector == NULL || work_dir[0] == '\0')
        return;
    pthread_mutex_lock(&collector->lock);
    (void)vanish(collector, work_dir);
    collector->poked = true;
    pthread_cond_signal(&collector->changed);
    pthread_mutex_unlock(&collector->lock);
}
