/* SPDX-License-Identifier: Apache-2.0 */
#include "stash.h"

#include "pieces.h"

#include <dirent.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define STASH_NAME "pieces"
#define DIGITS "0123456789abcdef"

static bool set_path(char ret_path[HD_PATH_MAX], const char *state_dir)
{
    return hd_format(ret_path, HD_PATH_MAX, "%s/" STASH_NAME, state_dir);
}

/* Names come from a master: nothing else than digits becomes part of a path. */
static bool is_hash(const char *text)
{
    for (size_t i = 0; i < HD_CHECKPOINT_HASH_SIZE; i++)
        if (text[i] == '\0' || strchr(DIGITS, text[i]) == NULL)
            return false;
    return true;
}

static bool piece_path(const struct hd_stash *stash, const char *hash, char ret_path[HD_PATH_MAX])
{
    return stash->path[0] != '\0' && is_hash(hash) &&
           hd_format(ret_path, HD_PATH_MAX, "%s/%.*s", stash->path, HD_CHECKPOINT_HASH_SIZE, hash);
}

static void take_off(struct hd_stash *stash, uint64_t bytes)
{
    stash->bytes -= bytes < stash->bytes ? bytes : stash->bytes;
}

static void unlink_piece(struct hd_stash *stash, const char *path)
{
    struct stat st;
    if (lstat(path, &st) == 0 && unlink(path) == 0)
        take_off(stash, (uint64_t)st.st_size);
    if (stash->bytes == 0)
        (void)rmdir(stash->path);
}

void hd_stash_open(struct hd_stash *stash, const char *state_dir,
                   uint64_t (*free_bytes)(const char *directory))
{
    *stash = (struct hd_stash){.free_bytes = free_bytes};
    if (!set_path(stash->path, state_dir))
        stash->path[0] = '\0';
    hd_stash_tidy(stash);
}

/* One that says to be of the future is of a clock that jumped: its age is not known. */
static bool is_fresh(const struct stat *st)
{
    int64_t age_ms = hd_clock_wall_ms() - (int64_t)st->st_mtim.tv_sec * 1000;
    return age_ms > -HD_STASH_KEPT_MS && age_ms < HD_STASH_KEPT_MS;
}

void hd_stash_tidy(struct hd_stash *stash)
{
    char path[HD_PATH_MAX];
    struct dirent *entry;
    struct stat st;
    DIR *stream = stash->path[0] != '\0' ? opendir(stash->path) : NULL;
    stash->bytes = 0;
    if (stream == NULL)
        return;
    while ((entry = readdir(stream)) != NULL) {
        if (hd_streq(entry->d_name, ".") || hd_streq(entry->d_name, "..") ||
            !hd_format(path, sizeof(path), "%s/%s", stash->path, entry->d_name) ||
            lstat(path, &st) != 0)
            continue;
        if (is_hash(entry->d_name) && entry->d_name[HD_CHECKPOINT_HASH_SIZE] == '\0' &&
            S_ISREG(st.st_mode) && is_fresh(&st))
            stash->bytes += (uint64_t)st.st_size;
        else
            (void)unlink(path);
    }
    closedir(stream);
    (void)rmdir(stash->path); /* when it is empty */
}

void hd_stash_keep(struct hd_stash *stash, const char *hash, const void *bytes, size_t size)
{
    char path[HD_PATH_MAX];
    struct hd_err ignored;
    if (!piece_path(stash, hash, path) || stash->bytes + size > HD_STASH_BYTES_MAX ||
        hd_mkdirs(stash->path, 0700, &ignored) != HD_OK)
        return;
    if (stash->free_bytes(stash->path) >= stash->bytes + 2 * (uint64_t)size &&
        hd_file_replace(path, bytes, size, 0600, &ignored) == HD_OK)
        stash->bytes += size;
    else
        (void)rmdir(stash->path); /* when it is empty */
}

bool hd_stash_find(struct hd_stash *stash, const char *hash, struct hd_buf *bytes)
{
    char path[HD_PATH_MAX], text[HD_CHECKPOINT_HASH_SIZE + 1];
    struct hd_err ignored;
    size_t before = bytes->size;
    if (!piece_path(stash, hash, path) ||
        hd_file_read(path, HD_CHECKPOINT_PIECE_BYTES, true, bytes, &ignored) != HD_OK)
        return false;
    if (bytes->size > before &&
        hd_piece_hash(bytes->data + before, bytes->size - before, text, &ignored) == HD_OK &&
        strncmp(text, hash, HD_CHECKPOINT_HASH_SIZE) == 0) {
        (void)utimensat(AT_FDCWD, path, NULL, AT_SYMLINK_NOFOLLOW); /* used now */
        return true;
    }
    bytes->size = before;
    unlink_piece(stash, path);
    return false;
}

void hd_stash_drop(struct hd_stash *stash, const char *pieces)
{
    char path[HD_PATH_MAX];
    for (const char *at = pieces; stash->bytes > 0 && is_hash(at); at += HD_CHECKPOINT_HASH_SIZE)
        if (piece_path(stash, at, path))
            unlink_piece(stash, path);
}

void hd_stash_remove(const char *state_dir)
{
    char path[HD_PATH_MAX];
    struct hd_err err;
    if (set_path(path, state_dir) && hd_remove_tree(path, &err) != HD_OK)
        hd_log(HD_LOG_WARNING, "pieces of directories are not removed: %s", err.text);
}
