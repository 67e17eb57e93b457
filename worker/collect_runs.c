/* SPDX-License-Identifier: Apache-2.0 */
#include "collect_runs.h"

#include "collect.h"

#include <dirent.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define DONE_SUFFIX ".done"
#define DONE_BYTES_MAX 512
#define KEPT_SHARE 0.9 /* of the limit, so that not every end is followed by a removal */

/* ---- the file beside it --------------------------------------------------------------------- */

void hd_run_dir_done(const struct hd_root *root, const char *run_dir, const char *worker,
                     double budget, double loss, double violation)
{
    char path[HD_PATH_MAX], text[DONE_BYTES_MAX];
    char budget_text[HD_DOUBLE_TEXT_SIZE], loss_text[HD_DOUBLE_TEXT_SIZE],
        violation_text[HD_DOUBLE_TEXT_SIZE];
    struct hd_err err;
    if (run_dir[0] == '\0')
        return;
    hd_format_double(budget_text, sizeof(budget_text), budget);
    hd_format_double(loss_text, sizeof(loss_text), loss);
    hd_format_double(violation_text, sizeof(violation_text), violation);
    if (!hd_format(path, sizeof(path), "%s" DONE_SUFFIX, run_dir) ||
        !hd_format(text, sizeof(text), "%s\n%s\n%s\n%s\n", worker, budget_text, loss_text,
                   violation_text) ||
        hd_seat_write(root, worker, path, text, &err) != HD_OK)
        hd_log(HD_LOG_DEBUG, "%s: not marked as done, it stays", run_dir);
}

struct done {
    double budget, loss, violation;
    int64_t at_ms;
};

/* The next line of `at`, cut there; what follows it. */
static char *next_line(char **at)
{
    char *line = *at;
    size_t size = strcspn(line, "\n");
    *at = line + size + (line[size] == '\n');
    line[size] = '\0';
    return line;
}

static bool read_done(const char *run_dir, const char *worker, struct done *ret_done)
{
    char path[HD_PATH_MAX];
    struct hd_buf buf;
    struct hd_err ignored;
    struct stat st;
    bool good = false;
    hd_buf_init(&buf, DONE_BYTES_MAX + 1);
    if (hd_format(path, sizeof(path), "%s" DONE_SUFFIX, run_dir) && lstat(path, &st) == 0 &&
        hd_file_read(path, DONE_BYTES_MAX, true, &buf, &ignored) == HD_OK && buf.size > 0) {
        char *at = buf.data;
        good = hd_streq(next_line(&at), worker) &&
               hd_parse_double(next_line(&at), &ret_done->budget) &&
               hd_parse_double(next_line(&at), &ret_done->loss);
        if (!hd_parse_double(next_line(&at), &ret_done->violation))
            ret_done->violation = 0; /* of a worker that did not say it */
        ret_done->at_ms = (int64_t)st.st_mtim.tv_sec * 1000 + st.st_mtim.tv_nsec / 1000000;
    }
    hd_buf_release(&buf);
    return good;
}

/* ---- what is there -------------------------------------------------------------------------- */

struct dir {
    char *path;
    uint64_t bytes;
    struct done done;
    bool best;
};
struct dirs {
    struct dir *items;
    size_t count, capacity;
    uint64_t bytes;
};

/* As the incumbent is chosen. */
static bool is_better(const struct done *a, const struct done *b)
{
    if (!isfinite(a->loss) || !isfinite(b->loss))
        return isfinite(a->loss);
    if (a->budget != b->budget)
        return a->budget > b->budget;
    if (a->violation != b->violation)
        return a->violation < b->violation;
    return a->loss != b->loss ? a->loss < b->loss : a->at_ms < b->at_ms;
}

static void add(struct dirs *all, const char *path, const struct done *done)
{
    if (all->count == all->capacity) {
        size_t capacity = all->capacity == 0 ? 64 : 2 * all->capacity;
        struct dir *grown = capacity <= 2 * HD_RUN_DIRS_MAX
                                ? hd_realloc(all->items, capacity * sizeof(*grown))
                                : NULL;
        if (grown == NULL)
            return; /* one that is not looked at stays */
        all->items = grown;
        all->capacity = capacity;
    }
    struct dir dir = {.path = hd_strdup(path), .bytes = hd_collector_bytes(path), .done = *done};
    if (dir.path == NULL)
        return;
    all->bytes += dir.bytes;
    all->items[all->count++] = dir;
}

/* One <run>/run. What was renamed by a process that died then goes now. */
static void walk_run(const char *home, const char *worker, struct dirs *all)
{
    DIR *stream = opendir(home);
    struct dirent *entry;
    size_t first = all->count, best = SIZE_MAX;
    if (stream == NULL)
        return;
    while ((entry = readdir(stream)) != NULL) {
        char path[HD_PATH_MAX];
        struct stat st;
        struct done done;
        struct hd_err ignored;
        if (!hd_format(path, sizeof(path), "%s/%s", home, entry->d_name) || lstat(path, &st) != 0 ||
            !S_ISDIR(st.st_mode))
            continue;
        if (strncmp(entry->d_name, HD_GONE_PREFIX, strlen(HD_GONE_PREFIX)) == 0)
            (void)!hd_remove_tree(path, &ignored);
        else if (entry->d_name[0] != '.' && read_done(path, worker, &done))
            add(all, path, &done);
    }
    closedir(stream);
    for (size_t i = first; i < all->count; i++)
        if (isfinite(all->items[i].done.loss) &&
            (best == SIZE_MAX || is_better(&all->items[i].done, &all->items[best].done)))
            best = i;
    if (best != SIZE_MAX)
        all->items[best].best = true;
}

/* ---- removing ------------------------------------------------------------------------------- */

/* From under its name first: what is half removed is nobody's directory. */
static bool remove_dir(const char *path)
{
    static const char *const beside[] = {DONE_SUFFIX, ".artifacts"};
    char gone[HD_PATH_MAX], file[HD_PATH_MAX];
    struct hd_err ignored;
    if (!hd_prefixed_path(path, HD_GONE_PREFIX, gone) || rename(path, gone) != 0)
        return false;
    for (size_t i = 0; i < HD_COUNT(beside); i++)
        if (hd_format(file, sizeof(file), "%s%s", path, beside[i]))
            (void)unlink(file);
    (void)!hd_remove_tree(gone, &ignored);
    return true;
}

static int by_age(const void *a, const void *b)
{
    const struct dir *left = a, *right = b;
    return left->done.at_ms < right->done.at_ms ? -1 : left->done.at_ms > right->done.at_ms;
}

static bool remove_oldest(struct dirs *all, uint64_t limit_bytes, hd_run_dir_needed is_needed,
                          void *context)
{
    uint64_t wanted = (uint64_t)((double)limit_bytes * KEPT_SHARE);
    bool any = false;
    if (all->bytes <= limit_bytes)
        return false;
    qsort(all->items, all->count, sizeof(*all->items), by_age);
    for (size_t i = 0; i < all->count && all->bytes > wanted; i++) {
        const struct dir *dir = &all->items[i];
        if (dir->best || (is_needed != NULL && is_needed(context, dir->path)) ||
            !remove_dir(dir->path))
            continue;
        hd_log(HD_LOG_INFO, "--run-limit: %s is removed, %llu bytes", dir->path,
               (unsigned long long)dir->bytes);
        all->bytes -= dir->bytes;
        any = true;
    }
    return any;
}

bool hd_run_dirs_make_room(const struct hd_root *root, const char *worker, uint64_t limit_bytes,
                           hd_run_dir_needed is_needed, void *context)
{
    struct dirs all = {0};
    DIR *stream = opendir(root->path);
    struct dirent *entry;
    if (stream == NULL)
        return false;
    while ((entry = readdir(stream)) != NULL) {
        char home[HD_PATH_MAX];
        if (entry->d_name[0] != '.' &&
            hd_format(home, sizeof(home), "%s/%s/run", root->path, entry->d_name))
            walk_run(home, worker, &all);
    }
    closedir(stream);
    bool any = remove_oldest(&all, limit_bytes, is_needed, context);
    for (size_t i = 0; i < all.count; i++)
        hd_free(all.items[i].path);
    hd_free(all.items);
    return any;
}
