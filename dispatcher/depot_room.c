/* SPDX-License-Identifier: Apache-2.0 */
/* depot_room.c: the files of the copies, how many bytes they are, and which go. */
#include "depot_internal.h"

#include <dirent.h>
#include <hd/os.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* ---- names ----------------------------------------------------------------------------------- */

static bool is_hash(const char *text)
{
    for (size_t i = 0; i < HD_CHECKPOINT_HASH_SIZE; i++)
        if (text[i] == '\0' || strchr(DIGITS, text[i]) == NULL)
            return false;
    return true;
}

enum hd_code depot_place_path(const struct hd_depot *depot, struct hd_depot_place place,
                              const char *name, char ret_path[FILE_SIZE], struct hd_err *err)
{
    return hd_format(ret_path, FILE_SIZE, "%s/%016" PRIx64 "-%u%s%s", depot->directory,
                     place.run_uid, place.config, name[0] != '\0' ? "/" : "", name)
               ? HD_OK
               : hd_fail(err, HD_E_LIMIT, "the path %s is too long", depot->directory);
}

enum hd_code depot_piece_path(const struct hd_depot *depot, struct hd_depot_place place,
                              const char *hash, char ret_path[FILE_SIZE], struct hd_err *err)
{
    char name[HD_CHECKPOINT_HASH_SIZE + 1];
    if (!is_hash(hash))
        return hd_fail(err, HD_E_INVALID, "a piece is named by the digits of its SHA-256");
    (void)hd_format(name, sizeof(name), "%.*s", HD_CHECKPOINT_HASH_SIZE, hash);
    return depot_place_path(depot, place, name, ret_path, err);
}

static bool look_at(const char *path, struct stat *ret_st)
{
    return lstat(path, ret_st) == 0 && S_ISREG(ret_st->st_mode);
}

uint64_t depot_size_of(const char *path)
{
    struct stat st;
    return look_at(path, &st) ? (uint64_t)st.st_size : 0;
}

/* ---- the index ------------------------------------------------------------------------------- */

struct copy *depot_find(const struct hd_depot *depot, struct hd_depot_place place)
{
    for (size_t i = 0; i < depot->count; i++)
        if (depot->copies[i].place.run_uid == place.run_uid &&
            depot->copies[i].place.config == place.config)
            return &depot->copies[i];
    return NULL;
}

enum hd_code depot_add(struct hd_depot *depot, struct hd_depot_place place, struct copy **ret_copy,
                       struct hd_err *err)
{
    struct copy *copy = depot_find(depot, place);
    if (copy == NULL && depot->count == HD_DEPOT_COPIES_MAX)
        return hd_fail(err, HD_E_FULL, "the master keeps %u directories", HD_DEPOT_COPIES_MAX);
    if (copy == NULL && depot->count == depot->capacity) {
        size_t capacity = depot->capacity > 0 ? 2 * depot->capacity : 64;
        struct copy *more = hd_realloc(depot->copies, capacity * sizeof(*more));
        if (more == NULL)
            return hd_fail(err, HD_E_NOMEM, "no memory for copies of directories");
        depot->copies = more;
        depot->capacity = capacity;
    }
    if (copy == NULL) {
        copy = &depot->copies[depot->count++];
        *copy = (struct copy){.place = place};
    }
    *ret_copy = copy;
    return HD_OK;
}

static bool keeps(const struct hd_depot *depot, struct hd_attempt_ref attempt)
{
    return attempt.attempt > 0 && depot->settings.keeps(depot->settings.context, attempt);
}

static bool is_needed(const struct hd_depot *depot, const struct copy *copy)
{
    return keeps(depot, copy->whole) || keeps(depot, copy->offered);
}

/* Another copy of the run has a name for the same file: without this one the disk still holds it.
 */
static bool is_shared(const struct hd_depot *depot, struct hd_depot_place place, const char *hash,
                      const struct stat *st)
{
    char path[FILE_SIZE];
    struct stat other;
    struct hd_err ignored;
    if (st->st_nlink < 2)
        return false;
    for (size_t i = 0; i < depot->count; i++) {
        struct hd_depot_place at = depot->copies[i].place;
        if (at.run_uid == place.run_uid && at.config != place.config &&
            depot_piece_path(depot, at, hash, path, &ignored) == HD_OK && look_at(path, &other) &&
            other.st_dev == st->st_dev && other.st_ino == st->st_ino)
            return true;
    }
    return false;
}

void depot_count_piece(struct hd_depot *depot, struct copy *copy, uint64_t bytes, bool shared)
{
    copy->bytes += bytes;
    depot->bytes += shared ? 0 : bytes;
}

void depot_count_all(struct hd_depot *depot, struct copy *copy, const char *path)
{
    char file[FILE_SIZE + 300];
    struct stat st;
    struct dirent *entry;
    DIR *stream = opendir(path);
    while (stream != NULL && (entry = readdir(stream)) != NULL) {
        if (entry->d_name[0] == '.' || hd_streq(entry->d_name, LIST_NAME) ||
            !hd_format(file, sizeof(file), "%s/%s", path, entry->d_name))
            continue;
        bool piece = is_hash(entry->d_name) && entry->d_name[HD_CHECKPOINT_HASH_SIZE] == '\0';
        if (!piece && !depot->settings.reads_only)
            (void)unlink(file);
        if (!piece || !look_at(file, &st))
            continue;
        bool shared = is_shared(depot, copy->place, entry->d_name, &st); /* with one found before */
        depot_count_piece(depot, copy, (uint64_t)st.st_size, shared);
    }
    if (stream != NULL)
        closedir(stream);
}

uint64_t hd_depot_bytes(const struct hd_depot *depot)
{
    return depot->bytes;
}

/* ---- removing -------------------------------------------------------------------------------- */

void depot_unlink_piece(struct hd_depot *depot, struct copy *copy, const char *hash)
{
    char path[FILE_SIZE];
    struct stat st;
    struct hd_err ignored;
    if (depot_piece_path(depot, copy->place, hash, path, &ignored) != HD_OK || !look_at(path, &st))
        return;
    bool shared = is_shared(depot, copy->place, hash, &st);
    if (unlink(path) != 0)
        return;
    uint64_t bytes = (uint64_t)st.st_size;
    copy->bytes -= bytes < copy->bytes ? bytes : copy->bytes;
    if (!shared)
        depot->bytes -= bytes < depot->bytes ? bytes : depot->bytes;
}

static int by_name(const void *left, const void *right)
{
    const char *const *a = left, *const *b = right;
    return strncmp(*a, *b, HD_CHECKPOINT_HASH_SIZE);
}

/* Where each piece's name begins, in their order; NULL: no memory. */
static const char **sort_pieces(const char *pieces, size_t *ret_count)
{
    size_t count = strlen(pieces) / HD_CHECKPOINT_HASH_SIZE;
    const char **names = hd_malloc((count + 1) * sizeof(*names));
    for (size_t i = 0; names != NULL && i < count; i++)
        names[i] = pieces + i * HD_CHECKPOINT_HASH_SIZE;
    if (names != NULL)
        qsort(names, count, sizeof(*names), by_name);
    *ret_count = count;
    return names;
}

void depot_remove_unlisted(struct hd_depot *depot, struct copy *copy, const char *pieces)
{
    char path[FILE_SIZE];
    struct hd_err ignored;
    struct dirent *entry;
    size_t count;
    const char **names = sort_pieces(pieces, &count);
    DIR *stream = names != NULL && depot_place_path(depot, copy->place, "", path, &ignored) == HD_OK
                      ? opendir(path)
                      : NULL;
    while (stream != NULL && (entry = readdir(stream)) != NULL) {
        const char *name = entry->d_name;
        if (is_hash(name) && bsearch(&name, names, count, sizeof(*names), by_name) == NULL)
            depot_unlink_piece(depot, copy, name);
    }
    if (stream != NULL)
        closedir(stream);
    hd_free(names);
}

void depot_remove_copy(struct hd_depot *depot, struct copy *copy)
{
    char path[FILE_SIZE];
    struct hd_err ignored;
    depot_remove_unlisted(depot, copy, "");
    if (depot_place_path(depot, copy->place, "", path, &ignored) == HD_OK)
        (void)!hd_remove_tree(path, &ignored);
    depot->bytes -= copy->bytes < depot->bytes ? copy->bytes : depot->bytes; /* what that left */
    struct hd_attempt_ref whole = copy->whole;
    *copy = depot->copies[--depot->count];
    if (depot->count == 0)
        (void)rmdir(depot->directory);
    if (whole.attempt > 0 && depot->settings.gone != NULL)
        depot->settings.gone(depot->settings.context, whole);
}

void hd_depot_sweep(struct hd_depot *depot)
{
    for (size_t i = 0; i < depot->count;)
        if (is_needed(depot, &depot->copies[i]))
            i++;
        else
            depot_remove_copy(depot, &depot->copies[i]);
}

void hd_depot_each(const struct hd_depot *depot,
                   void (*tell)(void *context, struct hd_attempt_ref attempt), void *context)
{
    for (size_t i = 0; i < depot->count; i++)
        if (depot->copies[i].whole.attempt > 0)
            tell(context, depot->copies[i].whole);
}

static bool has_room(const struct hd_depot *depot, uint64_t bytes)
{
    return bytes <= depot->settings.bytes_max &&
           depot->bytes <= depot->settings.bytes_max - bytes &&
           hd_disk_free(depot->directory) >= HD_DEPOT_SPARE_BYTES;
}

bool depot_make_room(struct hd_depot *depot, struct hd_depot_place place, uint64_t bytes)
{
    while (!has_room(depot, bytes)) {
        struct copy *oldest = NULL;
        const struct copy *own = depot_find(depot, place);
        for (size_t i = 0; i < depot->count; i++) {
            struct copy *copy = &depot->copies[i];
            if (copy != own && (oldest == NULL || copy->used < oldest->used) &&
                !is_needed(depot, copy))
                oldest = copy;
        }
        if (oldest == NULL)
            return false;
        depot_remove_copy(depot, oldest);
    }
    return true;
}
