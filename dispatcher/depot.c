/* SPDX-License-Identifier: Apache-2.0 */
#include "depot_internal.h"

#include <dirent.h>
#include <hd/os.h>
#include <hd/pki.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define MISSING_MAX 256 /* named in one answer */
#define LENDERS_MAX 4   /* copies of a run that are looked through for a piece */
#define UNREAD_MAX 16   /* times in a row that the disk may fail to read a file */
#define LIST_HEAD_MAX 128
#define LIST_BYTES_MAX (HD_CHECKPOINT_PIECES_MAX * HD_CHECKPOINT_HASH_SIZE + LIST_HEAD_MAX)

/* What the file `list` says. */
struct list {
    struct hd_attempt_ref attempt;
    uint64_t size;
    double budget;
    struct hd_buf text;
    const char *pieces; /* in text */
};

/* ---- the list -------------------------------------------------------------------------------- */

static bool parse_list(struct list *list)
{
    int used = 0;
    char *text = list->text.data;
    if (text == NULL || sscanf(text, "%" SCNu32 " %" SCNu32 " %" SCNu64 " %n", &list->attempt.job,
                               &list->attempt.attempt, &list->size, &used) != 3)
        return false;
    char *budget = text + used, *end = strchr(budget, '\n');
    if (end == NULL || list->attempt.attempt == 0)
        return false;
    *end = '\0';
    list->budget = NAN;
    list->pieces = end + 1;
    return hd_streq(budget, "-") || hd_parse_double(budget, &list->budget);
}

/* HD_E_NOTFOUND, HD_E_CORRUPT, HD_E_LIMIT: there is none. Any other: that cannot be told now. */
static enum hd_code read_list(const struct hd_depot *depot, struct hd_depot_place place,
                              struct list *ret_list, struct hd_err *err)
{
    char path[FILE_SIZE];
    struct list list = {.attempt.run_uid = place.run_uid};
    hd_buf_init(&list.text, LIST_BYTES_MAX);
    enum hd_code code = depot_place_path(depot, place, LIST_NAME, path, err);
    if (code == HD_OK)
        code = hd_file_read(path, LIST_BYTES_MAX, true, &list.text, err);
    if (code == HD_E_NOTFOUND)
        code = hd_fail(err, code, "there is no copy of this config's directory");
    if (code == HD_E_INVALID)
        code = hd_fail(err, HD_E_CORRUPT, "%s is no file", path);
    if (code == HD_OK && !parse_list(&list))
        code = hd_fail(err, HD_E_CORRUPT, "%s cannot be read", path);
    if (code != HD_OK) {
        hd_buf_release(&list.text);
        return code;
    }
    *ret_list = list;
    return HD_OK;
}

static bool has_no_list(enum hd_code code)
{
    return code == HD_E_NOTFOUND || code == HD_E_CORRUPT || code == HD_E_LIMIT;
}

static enum hd_code write_list(const struct hd_depot *depot, const struct hd_depot_offer *offer,
                               struct hd_err *err)
{
    char path[FILE_SIZE], budget[HD_DOUBLE_TEXT_SIZE] = "-";
    struct hd_buf text;
    hd_buf_init(&text, LIST_BYTES_MAX);
    if (!isnan(offer->budget))
        hd_format_double(budget, sizeof(budget), offer->budget);
    enum hd_code code = depot_place_path(depot, offer->place, LIST_NAME, path, err);
    if (code == HD_OK)
        code = hd_buf_printf(&text, err, "%u %u %" PRIu64 " %s\n", offer->attempt.job,
                             offer->attempt.attempt, offer->size, budget);
    if (code == HD_OK)
        code = hd_buf_puts(&text, offer->pieces, err);
    if (code == HD_OK)
        code = hd_file_replace(path, text.data, text.size, 0600, err);
    hd_buf_release(&text);
    return code;
}

/* ---- taking ---------------------------------------------------------------------------------- */

static enum hd_code check_offer(const struct hd_depot *depot, const struct hd_depot_offer *offer,
                                struct hd_err *err)
{
    size_t length = strlen(offer->pieces), count = length / HD_CHECKPOINT_HASH_SIZE;
    if (length % HD_CHECKPOINT_HASH_SIZE != 0 || strspn(offer->pieces, DIGITS) != length ||
        count == 0 || count > HD_CHECKPOINT_PIECES_MAX || count > offer->size ||
        offer->size > (uint64_t)count * HD_CHECKPOINT_PIECE_BYTES)
        return hd_fail(err, HD_E_INVALID, "a directory of %" PRIu64 " bytes has other pieces",
                       offer->size);
    if (offer->size > depot->settings.bytes_max)
        return hd_fail(err, HD_E_FULL, "its %" PRIu64 " bytes are more than the master keeps",
                       offer->size);
    return HD_OK;
}

/* The copies of the same run that were touched last, but for its own. */
static size_t find_lenders(const struct hd_depot *depot, struct hd_depot_place place,
                           const struct copy *ret_lenders[LENDERS_MAX])
{
    size_t count = 0;
    for (size_t i = 0; depot->settings.shares && i < depot->count; i++) {
        const struct copy *copy = &depot->copies[i];
        if (copy->place.run_uid != place.run_uid || copy->place.config == place.config)
            continue;
        size_t at = count < LENDERS_MAX ? count++ : LENDERS_MAX;
        for (; at > 0 && ret_lenders[at - 1]->used < copy->used; at--)
            if (at < LENDERS_MAX)
                ret_lenders[at] = ret_lenders[at - 1];
        if (at < LENDERS_MAX)
            ret_lenders[at] = copy;
    }
    return count;
}

/* A second name of the same file: what it says has no second version. */
static bool borrow(struct hd_depot *depot, struct hd_depot_place place, const char *hash,
                   const char *path, const struct copy *const *lenders, size_t count)
{
    char from[FILE_SIZE];
    struct hd_err ignored;
    bool done = false;
    for (size_t i = 0; i < count && !done; i++)
        done = depot_piece_path(depot, lenders[i]->place, hash, from, &ignored) == HD_OK &&
               depot_size_of(from) > 0 && link(from, path) == 0;
    if (done)
        depot_count_piece(depot, depot_find(depot, place), depot_size_of(path), true);
    return done;
}

static enum hd_code find_missing(struct hd_depot *depot, const struct hd_depot_offer *offer,
                                 size_t *ret_count, struct hd_buf *missing, struct hd_err *err)
{
    char path[FILE_SIZE];
    const struct copy *lenders[LENDERS_MAX];
    size_t count = 0, lender_count = find_lenders(depot, offer->place, lenders);
    enum hd_code code = HD_OK;
    for (const char *at = offer->pieces; code == HD_OK && *at != '\0' && count < MISSING_MAX;
         at += HD_CHECKPOINT_HASH_SIZE) {
        code = depot_piece_path(depot, offer->place, at, path, err);
        if (code != HD_OK || depot_size_of(path) > 0 ||
            borrow(depot, offer->place, at, path, lenders, lender_count))
            continue;
        code = hd_buf_append(missing, at, HD_CHECKPOINT_HASH_SIZE, err);
        count++;
    }
    *ret_count = count;
    return code;
}

static enum hd_code no_room(struct hd_err *err)
{
    return hd_fail(err, HD_E_FULL, "the master has no room for more directories");
}

static enum hd_code begin_copy(struct hd_depot *depot, const struct hd_depot_offer *offer,
                               struct copy **ret_copy, struct hd_err *err)
{
    char path[FILE_SIZE];
    enum hd_code code = check_offer(depot, offer, err);
    if (code == HD_OK)
        code = depot_place_path(depot, offer->place, "", path, err);
    if (code == HD_OK)
        code = hd_mkdirs(path, 0700, err);
    if (code == HD_OK)
        code = depot_add(depot, offer->place, ret_copy, err);
    return code;
}

enum hd_code hd_depot_offer(struct hd_depot *depot, const struct hd_depot_offer *offer,
                            bool *ret_whole, struct hd_buf *missing, struct hd_err *err)
{
    struct copy *copy = NULL;
    size_t count = 0;
    enum hd_code code = begin_copy(depot, offer, &copy, err);
    if (code == HD_OK)
        code = find_missing(depot, offer, &count, missing, err);
    if (code != HD_OK)
        return code;
    copy->used = ++depot->used;
    copy->offered = offer->attempt;
    copy->size = offer->size;
    uint64_t next =
        offer->size < HD_CHECKPOINT_PIECE_BYTES ? offer->size : HD_CHECKPOINT_PIECE_BYTES;
    if (count > 0 && !depot_make_room(depot, offer->place, next))
        return no_room(err);
    if (count == 0) {
        code = write_list(depot, offer, err);
        if (code != HD_OK)
            return code;
        copy->whole = offer->attempt;
        depot_remove_unlisted(depot, copy, offer->pieces);
    }
    *ret_whole = count == 0;
    return HD_OK;
}

static enum hd_code check_piece(const char *hash, const void *bytes, size_t size,
                                struct hd_err *err)
{
    char text[HD_SHA256_TEXT_SIZE];
    struct hd_sha256 *sha;
    if (size == 0 || size > HD_CHECKPOINT_PIECE_BYTES)
        return hd_fail(err, HD_E_LIMIT, "a piece has 1 to %u bytes", HD_CHECKPOINT_PIECE_BYTES);
    enum hd_code code = hd_sha256_new(&sha, err);
    if (code != HD_OK)
        return code;
    hd_sha256_add(sha, bytes, size);
    hd_sha256_end(sha, text);
    hd_sha256_free(sha);
    return strncmp(text, hash, HD_CHECKPOINT_HASH_SIZE) == 0
               ? HD_OK
               : hd_fail(err, HD_E_CORRUPT, "a piece is not what its name says");
}

enum hd_code hd_depot_put(struct hd_depot *depot, struct hd_depot_place place, const char *hash,
                          const void *bytes, size_t size, struct hd_err *err)
{
    char path[FILE_SIZE];
    enum hd_code code = depot_piece_path(depot, place, hash, path, err);
    if (code == HD_OK)
        code = check_piece(hash, bytes, size, err);
    if (code == HD_OK && depot_find(depot, place) == NULL)
        code = hd_fail(err, HD_E_NOTFOUND, "nothing that it belongs to was offered");
    if (code != HD_OK || depot_size_of(path) > 0)
        return code; /* it is here: content has no second version */
    if (!depot_make_room(depot, place, size))
        return no_room(err);
    code = hd_file_replace(path, bytes, size, 0600, err);
    if (code != HD_OK)
        return code;
    depot_count_piece(depot, depot_find(depot, place), size, false);
    return HD_OK;
}

/* ---- giving ---------------------------------------------------------------------------------- */

/* What may pass costs no state; a disk that never reads a file again may not hold a job for ever.
 * name: of a piece, or LIST_NAME. What else is read well says nothing of it. */
static enum hd_code give_up_unread(struct copy *copy, const char *name, bool disk_failed,
                                   enum hd_code code, struct hd_err *err)
{
    if (copy == NULL || (!disk_failed && code != HD_OK))
        return code;
    bool same = strncmp(copy->unread_name, name, HD_CHECKPOINT_HASH_SIZE) == 0;
    if (!disk_failed) {
        copy->unread = same ? 0 : copy->unread;
        return code;
    }
    (void)snprintf(copy->unread_name, sizeof(copy->unread_name), "%s", name);
    copy->unread = same ? copy->unread + 1 : 1;
    return copy->unread > UNREAD_MAX
               ? hd_fail(err, HD_E_CORRUPT, "the master's disk cannot read its copy")
               : code;
}

/* HD_E_BUSY: what the copy holds cannot be told now. A worker that hears anything else begins from
 * the start. */
static enum hd_code open_list(struct hd_depot *depot, struct hd_depot_place place,
                              struct list *ret_list, struct hd_err *err)
{
    struct hd_err why = {0};
    enum hd_code code = read_list(depot, place, ret_list, &why);
    bool disk_failed = code == HD_E_IO;
    if (code != HD_OK && !has_no_list(code))
        code =
            hd_fail(err, HD_E_BUSY, "the master cannot read its copy now, try again: %s", why.text);
    else if (code != HD_OK)
        code = hd_fail(err, code, "%s", why.text);
    return give_up_unread(depot_find(depot, place), LIST_NAME, disk_failed, code, err);
}

enum hd_code hd_depot_list(struct hd_depot *depot, struct hd_depot_place place,
                           struct hd_attempt_ref attempt, struct hd_buf *json, struct hd_err *err)
{
    struct list list;
    char budget[HD_DOUBLE_TEXT_SIZE] = "null";
    enum hd_code code = open_list(depot, place, &list, err);
    if (code != HD_OK)
        return code;
    if (!hd_attempt_ref_equal(list.attempt, attempt))
        code = hd_fail(err, HD_E_NOTFOUND, "the copy of this config's directory is out of date");
    if (!isnan(list.budget))
        hd_format_double(budget, sizeof(budget), list.budget);
    if (code == HD_OK)
        code = hd_buf_printf(json, err, "{\"size\":%" PRIu64 ",\"budget\":%s,\"pieces\":\"",
                             list.size, budget);
    if (code == HD_OK)
        code = hd_buf_puts(json, list.pieces, err);
    if (code == HD_OK)
        code = hd_buf_puts(json, "\"}", err);
    hd_buf_release(&list.text);
    return code;
}

enum hd_code hd_depot_progress(const struct hd_depot *depot, struct hd_depot_place place,
                               struct hd_attempt_ref attempt, uint64_t *ret_bytes,
                               uint64_t *ret_size, struct hd_err *err)
{
    const struct copy *copy = depot_find(depot, place);
    if (copy == NULL || copy->size == 0 || !hd_attempt_ref_equal(copy->offered, attempt))
        return hd_fail(err, HD_E_NOTFOUND, "nothing of it has come");
    *ret_bytes = copy->bytes < copy->size ? copy->bytes : copy->size;
    *ret_size = copy->size;
    return HD_OK;
}

/* What is left of the copy is of use to whoever sends it again. */
static void lose_piece(struct hd_depot *depot, struct hd_depot_place place, const char *hash)
{
    char list[FILE_SIZE];
    struct hd_err ignored;
    struct copy *copy = depot_find(depot, place);
    if (copy == NULL || depot->settings.reads_only)
        return;
    depot_unlink_piece(depot, copy, hash);
    copy->unread = 0;
    if (depot_place_path(depot, place, LIST_NAME, list, &ignored) == HD_OK)
        (void)unlink(list);
    struct hd_attempt_ref whole = copy->whole;
    copy->whole = (struct hd_attempt_ref){0};
    if (copy->offered.attempt == 0)
        copy->offered = whole;
    hd_log(HD_LOG_WARNING, "%s/%016" PRIx64 "-%u: a piece is damaged, it is asked for again",
           depot->directory, place.run_uid, place.config);
    if (whole.attempt > 0 && depot->settings.gone != NULL)
        depot->settings.gone(depot->settings.context, whole);
}

/* HD_E_CORRUPT: it is not what its name says. HD_E_BUSY: whether it is cannot be told now. */
static enum hd_code read_piece(const char *path, const char *hash, struct hd_buf *bytes,
                               bool *ret_disk_failed, struct hd_err *err)
{
    struct hd_err why;
    enum hd_code code = hd_file_read(path, HD_CHECKPOINT_PIECE_BYTES, true, bytes, &why);
    *ret_disk_failed = code == HD_E_IO;
    if (code == HD_OK)
        code = check_piece(hash, bytes->data, bytes->size, &why);
    if (code == HD_OK)
        return HD_OK;
    if (code == HD_E_NOTFOUND)
        return hd_fail(err, code, "the master does not have that piece");
    if (code == HD_E_CORRUPT || code == HD_E_LIMIT || code == HD_E_INVALID)
        return hd_fail(err, HD_E_CORRUPT, "the master's copy is damaged: %s", why.text);
    return hd_fail(err, HD_E_BUSY, "the master cannot read its copy now, try again: %s", why.text);
}

enum hd_code hd_depot_get(struct hd_depot *depot, struct hd_depot_place place, const char *hash,
                          struct hd_buf *json, struct hd_err *err)
{
    char path[FILE_SIZE];
    struct hd_buf bytes;
    bool disk_failed;
    enum hd_code code = depot_piece_path(depot, place, hash, path, err);
    if (code != HD_OK)
        return code;
    hd_buf_init(&bytes, HD_VIEW_JSON_MAX);
    code = read_piece(path, hash, &bytes, &disk_failed, err);
    code = give_up_unread(depot_find(depot, place), hash, disk_failed, code, err);
    if (code == HD_E_CORRUPT)
        lose_piece(depot, place, hash);
    if (code == HD_OK)
        code = hd_buf_puts(json, "{\"data\":\"", err);
    if (code == HD_OK)
        code = hd_base64_encode(bytes.data, bytes.size, false, json, err);
    if (code == HD_OK)
        code = hd_buf_puts(json, "\"}", err);
    hd_buf_release(&bytes);
    return code;
}

/* ---- opening --------------------------------------------------------------------------------- */

/* A power cut leaves files in name only: nothing here is synced. */
static bool is_torn(const struct hd_depot *depot, struct hd_depot_place place,
                    const struct list *list)
{
    char path[FILE_SIZE];
    struct hd_err ignored;
    uint64_t bytes = 0, piece = 1;
    const char *at = list->pieces;
    for (; piece > 0 && *at != '\0'; at += HD_CHECKPOINT_HASH_SIZE) {
        if (depot_piece_path(depot, place, at, path, &ignored) != HD_OK)
            return true;
        piece = depot_size_of(path);
        bytes += piece;
    }
    return piece == 0 || bytes != list->size;
}

static bool parse_place(const char *name, struct hd_depot_place *ret_place)
{
    int used = 0;
    return strspn(name, DIGITS) == 16 && name[16] == '-' && strspn(name + 17, DIGITS) <= 10 &&
           sscanf(name, "%16" SCNx64 "-%" SCNu32 "%n", &ret_place->run_uid, &ret_place->config,
                  &used) == 2 &&
           name[used] == '\0';
}

static enum hd_code find_copy(struct hd_depot *depot, struct hd_depot_place place,
                              struct hd_err *err)
{
    char path[FILE_SIZE];
    struct copy *copy;
    struct list list;
    struct stat st;
    enum hd_code code = depot_place_path(depot, place, "", path, err);
    if (code == HD_OK)
        code = depot_add(depot, place, &copy, err);
    if (code != HD_OK)
        return code;
    depot_count_all(depot, copy, path);
    copy->used = lstat(path, &st) == 0 ? (int64_t)st.st_mtime : 0;
    if (copy->used > depot->used)
        depot->used = copy->used;
    code = read_list(depot, place, &list, err);
    if (has_no_list(code))
        return HD_OK;  /* half a copy, or none: it goes, or is sent again */
    if (code != HD_OK) /* perhaps the only state of a config: it may not go for that */
        return hd_fail_in(err, "the copy of a work directory in %s cannot be looked at", path);
    bool torn = is_torn(depot, place, &list);
    if (torn && !depot->settings.reads_only)
        depot_remove_copy(depot, copy);
    else if (!torn)
        copy->whole = list.attempt;
    hd_buf_release(&list.text);
    return HD_OK;
}

enum hd_code hd_depot_open(const struct hd_depot_settings *settings, struct hd_depot **ret_depot,
                           struct hd_err *err)
{
    struct dirent *entry;
    enum hd_code code = HD_OK;
    struct hd_depot *depot = hd_calloc(1, sizeof(*depot));
    if (depot == NULL)
        return hd_fail(err, HD_E_NOMEM, "no memory for copies of directories");
    depot->settings = *settings;
    if (!hd_copy_text(depot->directory, sizeof(depot->directory), settings->directory))
        code = hd_fail(err, HD_E_LIMIT, "the path %s is too long", settings->directory);
    DIR *stream = code == HD_OK ? opendir(depot->directory) : NULL;
    while (code == HD_OK && stream != NULL && (entry = readdir(stream)) != NULL) {
        struct hd_depot_place place;
        if (parse_place(entry->d_name, &place))
            code = find_copy(depot, place, err);
    }
    if (stream != NULL)
        closedir(stream);
    if (code != HD_OK) {
        hd_depot_close(depot);
        return code;
    }
    *ret_depot = depot;
    return HD_OK;
}

void hd_depot_close(struct hd_depot *depot)
{
    if (depot == NULL)
        return;
    hd_free(depot->copies);
    hd_free(depot);
}
