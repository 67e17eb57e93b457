/* SPDX-License-Identifier: Apache-2.0 */
#include "walk.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct walking {
    struct hd_walk *walk;
    const struct hd_artifacts_spec *spec;
    unsigned entries;
    bool nomem;
};

bool hd_stamp_equal(const struct hd_stamp *a, const struct hd_stamp *b)
{
    return a->size == b->size && a->inode == b->inode && a->mtime_ns == b->mtime_ns;
}

static struct hd_stamp stamp_of(const struct stat *st)
{
    return (struct hd_stamp){.size = (uint64_t)st->st_size,
                             .inode = (uint64_t)st->st_ino,
                             .mtime_ns =
                                 (int64_t)st->st_mtim.tv_sec * 1000000000 + st->st_mtim.tv_nsec};
}

void hd_walk_leave_out(struct hd_walk *walk, const char *path, const char *why)
{
    if (walk->left_out == NULL)
        walk->left_out = hd_calloc(HD_ARTIFACT_LEFT_OUT_MAX, sizeof(*walk->left_out));
    if (walk->left_out == NULL || walk->left_out_count == HD_ARTIFACT_LEFT_OUT_MAX) {
        walk->left_out_more++;
        return;
    }
    struct hd_left_out *place = &walk->left_out[walk->left_out_count];
    place->path = hd_strdup(path);
    place->why = hd_strdup(why);
    if (place->path != NULL && place->why != NULL) {
        walk->left_out_count++;
        return;
    }
    hd_free(place->path);
    hd_free(place->why);
    *place = (struct hd_left_out){0};
    walk->left_out_more++;
}

void hd_walk_release(struct hd_walk *walk)
{
    for (size_t i = 0; i < walk->count; i++)
        hd_free(walk->files[i].path);
    for (size_t i = 0; i < walk->left_out_count; i++) {
        hd_free(walk->left_out[i].path);
        hd_free(walk->left_out[i].why);
    }
    hd_free(walk->files);
    hd_free(walk->left_out);
    *walk = (struct hd_walk){0};
}

/* ---- what is there -------------------------------------------------------------------------- */

/* Stores name objects in UTF-8, and people read the names on a terminal. */
static bool is_plain_utf8(const char *text)
{
    const unsigned char *at = (const unsigned char *)text;
    while (*at != '\0') {
        size_t more = *at < 0x80                  ? 0
                      : *at >= 0xc2 && *at < 0xe0 ? 1
                      : *at >= 0xe0 && *at < 0xf0 ? 2
                      : *at >= 0xf0 && *at < 0xf5 ? 3
                                                  : SIZE_MAX;
        unsigned second = more != 0 && more != SIZE_MAX ? at[1] : 0x80u;
        bool odd = (*at == 0xe0 && second < 0xa0) || (*at == 0xed && second > 0x9f) ||
                   (*at == 0xf0 && second < 0x90) || (*at == 0xf4 && second > 0x8f) ||
                   (*at == 0xc2 && second < 0xa0);
        if (more == SIZE_MAX || *at < 0x20 || *at == 0x7f || odd)
            return false;
        for (size_t i = 1; i <= more; i++)
            if ((at[i] & 0xc0) != 0x80)
                return false;
        at += more + 1;
    }
    return true;
}

static bool always_shipped(const char *path)
{
    return hd_streq(path, "params.json") || hd_streq(path, "job.json") ||
           hd_streq(path, "loss.json");
}

static void add_file(struct walking *walking, const char *path, const struct stat *st)
{
    struct hd_walk *walk = walking->walk;
    if (walk->count == walk->capacity) {
        size_t capacity = walk->capacity == 0 ? 16 : 2 * walk->capacity;
        struct hd_walk_file *grown = hd_realloc(walk->files, capacity * sizeof(*grown));
        walking->nomem = walking->nomem || grown == NULL;
        if (grown == NULL)
            return;
        walk->files = grown;
        walk->capacity = capacity;
    }
    char *copy = hd_strdup(path);
    walking->nomem = walking->nomem || copy == NULL;
    if (copy != NULL)
        walk->files[walk->count++] = (struct hd_walk_file){.path = copy, .stamp = stamp_of(st)};
}

static void look_at_file(struct walking *walking, const char *path, const struct stat *st)
{
    struct hd_walk *walk = walking->walk;
    if (!always_shipped(path) && !hd_artifacts_match(walking->spec, path))
        return;
    if (S_ISLNK(st->st_mode))
        hd_walk_leave_out(walk, path, "a link; links are not followed");
    else if (!S_ISREG(st->st_mode))
        hd_walk_leave_out(walk, path, "neither a file nor a directory");
    else if (!is_plain_utf8(path))
        hd_walk_leave_out(walk, "(a name that cannot be shown)",
                          "its name is no UTF-8, or holds control characters");
    else if (hd_streq(path, HD_ARTIFACT_MANIFEST))
        hd_walk_leave_out(walk, path, "this name is the manifest's");
    else if ((uint64_t)st->st_size > HD_ARTIFACT_FILE_BYTES_MAX)
        hd_walk_leave_out(walk, path, "larger than 64 GiB, holes counted as bytes");
    else if (walk->count == HD_ARTIFACT_FILES_MAX)
        hd_walk_leave_out(walk, path, "the attempt has 10000 other files");
    else
        add_file(walking, path, st);
}

static void walk_inside(struct walking *walking, int directory, const char *path, int depth);

/* work and data are other places: of the config, and of the person. */
static bool is_another_place(const char *path)
{
    return hd_streq(path, "work") || hd_streq(path, "data") || hd_streq(path, "control");
}

static void look_at(struct walking *walking, int directory, const char *inside, const char *name,
                    int depth)
{
    char path[HD_ARTIFACT_PATH_MAX];
    struct stat st;
    if (fstatat(directory, name, &st, AT_SYMLINK_NOFOLLOW) != 0)
        return;
    if (!hd_format(path, sizeof(path), "%s%s%s", inside, inside[0] != '\0' ? "/" : "", name)) {
        hd_walk_leave_out(walking->walk, inside, "a path in it is longer than 511 bytes");
        return;
    }
    if (!S_ISDIR(st.st_mode)) {
        look_at_file(walking, path, &st);
        return;
    }
    if (is_another_place(path))
        return;
    if (depth == HD_ARTIFACT_DEPTH_MAX) {
        hd_walk_leave_out(walking->walk, path, "more than 32 directories within one another");
        return;
    }
    int fd = openat(directory, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd >= 0)
        walk_inside(walking, fd, path, depth + 1);
    else
        hd_walk_leave_out(walking->walk, path, "the directory cannot be read");
}

/* Takes the descriptor. */
static void walk_inside(struct walking *walking, int directory, const char *path, int depth)
{
    DIR *stream = fdopendir(directory);
    struct dirent *entry;
    if (stream == NULL) {
        close(directory);
        return;
    }
    while (!walking->nomem && (entry = readdir(stream)) != NULL) {
        if (hd_streq(entry->d_name, ".") || hd_streq(entry->d_name, ".."))
            continue;
        if (walking->entries++ >= HD_ARTIFACT_ENTRIES_MAX) {
            hd_walk_leave_out(walking->walk, path, "the attempt has more than 200000 entries");
            break;
        }
        look_at(walking, dirfd(stream), path, entry->d_name, depth);
    }
    closedir(stream);
}

static int by_path(const void *a, const void *b)
{
    const struct hd_walk_file *left = a, *right = b;
    return strcmp(left->path, right->path);
}

/* In the order of their paths, so that the same files are left out each time. */
static void keep_within(struct hd_walk *walk, uint64_t bytes_max)
{
    uint64_t total = 0;
    size_t kept = 0;
    for (size_t i = 0; i < walk->count; i++) {
        struct hd_walk_file file = walk->files[i];
        if (file.stamp.size > bytes_max - total) {
            hd_walk_leave_out(walk, file.path,
                              "the attempt's files are larger than the worker's --artifacts-limit");
            hd_free(file.path);
            continue;
        }
        total += file.stamp.size;
        walk->files[kept++] = file;
    }
    walk->count = kept;
}

enum hd_code hd_walk_directory(const char *run_dir, const struct hd_artifacts_spec *spec,
                               uint64_t bytes_max, struct hd_walk *ret_walk, struct hd_err *err)
{
    struct hd_walk walk = {0};
    struct walking walking = {.walk = &walk, .spec = spec};
    int fd = open(run_dir, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0)
        return hd_fail(err, errno == ENOENT || errno == ENOTDIR ? HD_E_NOTFOUND : HD_E_IO,
                       "%s cannot be read: %s", run_dir, strerror(errno));
    walk_inside(&walking, fd, "", 0);
    if (walking.nomem) {
        hd_walk_release(&walk);
        return hd_fail(err, HD_E_NOMEM, "no memory for the files of %s", run_dir);
    }
    if (walk.count > 0)
        qsort(walk.files, walk.count, sizeof(*walk.files), by_path);
    keep_within(&walk, bytes_max);
    *ret_walk = walk;
    return HD_OK;
}

/* ---- one file ------------------------------------------------------------------------------- */

enum hd_code hd_walk_open(const char *run_dir, const char *path, int *ret_fd,
                          struct hd_stamp *ret_stamp, struct hd_err *err)
{
    struct stat st;
    int directory = open(run_dir, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    while (directory >= 0 && strchr(path, '/') != NULL) {
        char name[HD_ARTIFACT_PATH_MAX];
        size_t size = strcspn(path, "/");
        (void)hd_copy_text(name, size + 1 < sizeof(name) ? size + 1 : sizeof(name), path);
        int inside = openat(directory, name, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        close(directory);
        directory = inside;
        path += size + 1;
    }
    int fd = directory >= 0 ? openat(directory, path,
                                     O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC)
                            : -1;
    int failed = errno;
    if (directory >= 0)
        close(directory);
    if (fd < 0 && (failed == EACCES || failed == EPERM))
        return hd_fail(err, HD_E_INVALID, "this worker may not read it");
    if (fd >= 0 && fstat(fd, &st) == 0 && S_ISREG(st.st_mode)) {
        *ret_fd = fd;
        *ret_stamp = stamp_of(&st);
        return HD_OK;
    }
    if (fd >= 0)
        close(fd);
    return hd_fail(err, HD_E_BUSY, "%s changes while it is shipped", path);
}

bool hd_walk_is_closed(int fd)
{
    if (fcntl(fd, F_SETLEASE, F_RDLCK) != 0)
        return false;
    (void)fcntl(fd, F_SETLEASE, F_UNLCK);
    return true;
}
