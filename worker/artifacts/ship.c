/* SPDX-License-Identifier: Apache-2.0 */
#include "ship.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define PASSES_MAX 3 /* over files that change although their target has ended */

/* What all steps of one attempt need. */
struct work {
    const struct hd_ship *ship;
    const struct hd_item *item;
    struct hd_shipped shipped;
    char shipped_path[4096];
    char base[256];
    char *part; /* HD_ARTIFACT_PART_BYTES */
    struct hd_err *err;
};

static enum hd_code key_of(struct work *work, const char *path, char key[HD_ARTIFACT_KEY_MAX])
{
    return hd_format(key, HD_ARTIFACT_KEY_MAX, "%s/%s", work->base, path)
               ? HD_OK
               : hd_fail(work->err, HD_E_LIMIT, "its name is too long for a store");
}

/* Whoever was killed between the beginning of an upload and the line that notes it has left one
 * that nobody knows. A store that does not tell its uploads holds nothing up: it may end them by
 * rule. */
static enum hd_code sweep(struct work *work)
{
    char key[HD_ARTIFACT_KEY_MAX];
    uint32_t count = 0;
    struct hd_shipped *shipped = &work->shipped;
    if (shipped->intent_path == NULL)
        return HD_OK;
    enum hd_code code = key_of(work, shipped->intent_path, key);
    if (code == HD_OK)
        code = hd_artifact_sweep(work->ship->store, key, &count, work->err);
    if (code == HD_E_AUTH || code == HD_E_UNSUPPORTED || code == HD_E_INVALID) {
        hd_log(HD_LOG_WARNING, "an upload of %s may be left in the store, which does not say: %s",
               key, work->err->text);
        return HD_OK;
    }
    if (code == HD_OK && count > 0)
        hd_log(HD_LOG_INFO, "%" PRIu32 " uploads of %s that nobody knew are ended", count, key);
    return code == HD_OK ? hd_shipped_intend(shipped, work->shipped_path, "", work->err) : code;
}

static enum hd_code begin_work(struct work *work, const struct hd_ship *ship,
                               const struct hd_item *item, struct hd_err *err)
{
    *work = (struct work){.ship = ship, .item = item, .err = err};
    enum hd_code code = hd_artifact_base(item->run_id, item->attempt, item->config_id, work->base,
                                         sizeof(work->base), err);
    if (code == HD_OK)
        code = hd_item_path(ship->directory, item->attempt, "shipped", work->shipped_path,
                            sizeof(work->shipped_path), err);
    if (code == HD_OK)
        code = hd_shipped_read(work->shipped_path, ship->url, &work->shipped, err);
    if (code == HD_OK && (work->part = hd_malloc(HD_ARTIFACT_PART_BYTES)) == NULL)
        code = hd_fail(err, HD_E_NOMEM, "no memory for a part of a file");
    return code == HD_OK ? sweep(work) : code;
}

static void end_work(struct work *work)
{
    hd_shipped_release(&work->shipped);
    hd_free(work->part);
}

/* ---- one file ------------------------------------------------------------------------------- */

static enum hd_code read_at(struct work *work, int fd, uint64_t offset, size_t size)
{
    size_t have = 0;
    while (have < size) {
        ssize_t got = pread(fd, work->part + have, size - have, (off_t)(offset + have));
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return hd_fail(work->err, HD_E_INVALID, "it cannot be read: %s", strerror(errno));
        if (got == 0)
            return hd_fail(work->err, HD_E_BUSY, "it became shorter while it was shipped");
        have += (size_t)got;
    }
    return HD_OK;
}

static enum hd_code ship_small(struct work *work, int fd, size_t size, const char *key,
                               struct hd_sha256 *sha)
{
    enum hd_code code = read_at(work, fd, 0, size);
    if (code != HD_OK)
        return code;
    hd_sha256_add(sha, work->part, size);
    return hd_artifact_put(work->ship->store, key, work->part, size, work->err);
}

static enum hd_code give_up_upload(struct work *work)
{
    char key[HD_ARTIFACT_KEY_MAX];
    struct hd_shipped *shipped = &work->shipped;
    const struct hd_stamp none = {0};
    if (shipped->upload_path == NULL)
        return HD_OK;
    enum hd_code code = key_of(work, shipped->upload_path, key);
    if (code == HD_OK)
        code = hd_artifact_abandon(work->ship->store, key, shipped->upload_id, work->err);
    return code == HD_OK ? hd_shipped_begin(shipped, work->shipped_path, shipped->upload_path,
                                            &none, "", work->err)
                         : code;
}

/* Goes on with the upload that an earlier try, or process, has begun for this very content. */
static enum hd_code find_upload(struct work *work, const char *path, const char *key,
                                const struct hd_stamp *stamp)
{
    struct hd_shipped *shipped = &work->shipped;
    char upload[HD_ARTIFACT_TAG_MAX];
    if (shipped->upload_path != NULL && hd_streq(shipped->upload_path, path) &&
        hd_stamp_equal(&shipped->upload_stamp, stamp))
        return HD_OK;
    enum hd_code code = give_up_upload(work);
    if (code == HD_OK)
        code = hd_shipped_intend(shipped, work->shipped_path, path, work->err);
    if (code == HD_OK)
        code = hd_artifact_begin(work->ship->store, key, upload, work->err);
    return code == HD_OK
               ? hd_shipped_begin(shipped, work->shipped_path, path, stamp, upload, work->err)
               : code;
}

static enum hd_code ship_parts(struct work *work, int fd, const char *path, const char *key,
                               const struct hd_stamp *stamp, struct hd_sha256 *sha)
{
    struct hd_shipped *shipped = &work->shipped;
    enum hd_code code = find_upload(work, path, key, stamp);
    uint32_t count = 0;
    for (uint64_t at = 0; at < stamp->size && code == HD_OK; count++) {
        uint64_t left = stamp->size - at;
        size_t size = left < HD_ARTIFACT_PART_BYTES ? (size_t)left : HD_ARTIFACT_PART_BYTES;
        char tag[HD_ARTIFACT_TAG_MAX];
        code = read_at(work, fd, at, size);
        if (code == HD_OK)
            hd_sha256_add(sha, work->part, size);
        at += size;
        if (code != HD_OK || count < shipped->tag_count)
            continue;
        code = hd_artifact_part(work->ship->store, key, shipped->upload_id, count + 1, work->part,
                                size, tag, work->err);
        if (code == HD_OK)
            code = hd_shipped_part(shipped, work->shipped_path, tag, work->err);
    }
    /* What was sent before and after a change does not belong together. */
    struct hd_stamp now;
    int again = -1;
    if (code == HD_OK)
        code = hd_walk_open(work->item->run_dir, path, &again, &now, work->err);
    if (again >= 0)
        close(again);
    if (code == HD_OK && !hd_stamp_equal(stamp, &now))
        code = hd_fail(work->err, HD_E_BUSY, "it changed while it was shipped");
    return code == HD_OK ? hd_artifact_finish(work->ship->store, key, shipped->upload_id,
                                              (const char(*)[HD_ARTIFACT_TAG_MAX])shipped->tags,
                                              count, work->err)
                         : code;
}

/* HD_E_CONFLICT: the store has forgotten the upload (they expire). */
static enum hd_code ship_contents(struct work *work, int fd, const char *path, const char *key,
                                  const struct hd_stamp *stamp, struct hd_sha256 *sha)
{
    if (stamp->size <= HD_ARTIFACT_PART_BYTES)
        return ship_small(work, fd, (size_t)stamp->size, key, sha);
    enum hd_code code = ship_parts(work, fd, path, key, stamp, sha);
    if (code != HD_E_CONFLICT)
        return code;
    const struct hd_stamp none = {0};
    code = hd_shipped_begin(&work->shipped, work->shipped_path, path, &none, "", work->err);
    hd_sha256_restart(sha);
    return code == HD_OK ? ship_parts(work, fd, path, key, stamp, sha) : code;
}

static enum hd_code ship_file(struct work *work, int fd, const char *path,
                              const struct hd_stamp *stamp)
{
    struct hd_sha256 *sha;
    char key[HD_ARTIFACT_KEY_MAX], text[HD_SHA256_TEXT_SIZE] = "";
    enum hd_code code = hd_sha256_new(&sha, work->err);
    if (code != HD_OK)
        return code;
    code = key_of(work, path, key);
    if (code == HD_OK)
        code = ship_contents(work, fd, path, key, stamp, sha);
    if (code == HD_OK)
        hd_sha256_end(sha, text);
    hd_sha256_free(sha);
    if (code != HD_OK)
        return code;
    return hd_shipped_add(&work->shipped, work->shipped_path, path, stamp, text, work->err);
}

/* ---- while the target works ------------------------------------------------------------------ */

static bool is_quiet(const struct work *work, const struct hd_stamp *stamp)
{
    return work->ship->now_wall_ms - stamp->mtime_ns / 1000000 >= HD_SHIP_QUIET_MS;
}

/* One that cannot be shipped now waits for the end. */
static enum hd_code ship_one_closed(struct work *work, const struct hd_walk_file *file)
{
    struct hd_stamp stamp;
    int fd;
    const struct hd_shipped_file *known = hd_shipped_find(&work->shipped, file->path);
    if ((known != NULL && hd_stamp_equal(&known->stamp, &file->stamp)) ||
        !is_quiet(work, &file->stamp))
        return HD_OK;
    enum hd_code code = hd_walk_open(work->item->run_dir, file->path, &fd, &stamp, work->err);
    if (code == HD_OK) {
        /* The stamp first, then the question: whoever opens it later changes the stamp. */
        if (hd_walk_is_closed(fd) && is_quiet(work, &stamp))
            code = ship_file(work, fd, file->path, &stamp);
        close(fd);
    }
    return code == HD_E_BUSY || code == HD_E_INVALID || code == HD_E_LIMIT ? HD_OK : code;
}

enum hd_code hd_ship_closed(const struct hd_ship *ship, const struct hd_item *item,
                            struct hd_err *err)
{
    struct work work;
    struct hd_walk walk = {0};
    enum hd_code code = begin_work(&work, ship, item, err);
    if (code == HD_OK &&
        hd_walk_directory(item->run_dir, &item->spec, ship->bytes_max, &walk, err) != HD_OK) {
        end_work(&work); /* the end will tell */
        return HD_OK;
    }
    for (size_t i = 0; i < walk.count && code == HD_OK; i++)
        /* What Hyperdock itself writes there changes until the end. */
        if (strncmp(walk.files[i].path, "out/", 4) == 0)
            code = ship_one_closed(&work, &walk.files[i]);
    /* Files that grow and are closed, again and again, would make it long. */
    if (code == HD_OK && work.shipped.lines > 2 * work.shipped.count + 1000)
        code = hd_shipped_rewrite(&work.shipped, work.shipped_path, ship->url, err);
    hd_walk_release(&walk);
    end_work(&work);
    return code;
}

/* ---- after its end -------------------------------------------------------------------------- */

/* *changed: another pass is due. */
static enum hd_code ship_one(struct work *work, struct hd_walk *walk, size_t index, bool last,
                             bool *changed)
{
    const struct hd_walk_file *file = &walk->files[index];
    struct hd_stamp stamp;
    int fd;
    const struct hd_shipped_file *known = hd_shipped_find(&work->shipped, file->path);
    if (known != NULL && hd_stamp_equal(&known->stamp, &file->stamp))
        return HD_OK;
    enum hd_code code = hd_walk_open(work->item->run_dir, file->path, &fd, &stamp, work->err);
    if (code == HD_OK) {
        code = ship_file(work, fd, file->path, &stamp);
        close(fd);
    }
    if (code == HD_E_BUSY && !last) {
        *changed = true;
        return HD_OK;
    }
    if (code == HD_E_BUSY || code == HD_E_INVALID || code == HD_E_LIMIT) {
        hd_walk_leave_out(walk, file->path, work->err->text);
        return HD_OK;
    }
    return code;
}

/* Shipped while the target worked, and removed by it since. */
static enum hd_code remove_stale(struct work *work, const struct hd_walk *walk)
{
    struct hd_shipped *shipped = &work->shipped;
    size_t kept = 0, at = 0;
    enum hd_code code = HD_OK;
    for (size_t i = 0; i < shipped->count; i++) {
        struct hd_shipped_file file = shipped->files[i];
        bool there = false;
        for (size_t j = 0; j < walk->count && !there; j++) {
            there = hd_streq(walk->files[(at + j) % walk->count].path, file.path);
            at = there ? (at + j + 1) % walk->count : at;
        }
        char key[HD_ARTIFACT_KEY_MAX];
        if (!there && code == HD_OK && (code = key_of(work, file.path, key)) == HD_OK)
            code = hd_artifact_remove(work->ship->store, key, work->err);
        if (there || code != HD_OK)
            shipped->files[kept++] = file;
        else
            hd_free(file.path);
    }
    bool any = kept < shipped->count;
    shipped->count = kept;
    return code == HD_OK && any
               ? hd_shipped_rewrite(shipped, work->shipped_path, work->ship->url, work->err)
               : code;
}

static enum hd_code put_number(struct hd_buf *out, const char *before, double number,
                               struct hd_err *err)
{
    char text[HD_DOUBLE_TEXT_SIZE];
    hd_format_double(text, sizeof(text), number);
    return hd_buf_printf(out, err, "%s%s", before, isfinite(number) ? text : "null");
}

static enum hd_code put_files(const struct work *work, struct hd_buf *out)
{
    enum hd_code code = hd_buf_puts(out, ",\n\"files\":[", work->err);
    for (size_t i = 0; i < work->shipped.count && code == HD_OK; i++) {
        const struct hd_shipped_file *file = &work->shipped.files[i];
        code = hd_buf_puts(out, i > 0 ? ",\n {\"path\":" : "\n {\"path\":", work->err);
        if (code == HD_OK)
            code = hd_json_write_string(file->path, out, work->err);
        if (code == HD_OK)
            code = hd_buf_printf(out, work->err, ",\"size\":%" PRIu64 ",\"sha256\":\"%s\"}",
                                 file->stamp.size, file->sha256);
    }
    return code == HD_OK ? hd_buf_puts(out, "]", work->err) : code;
}

static enum hd_code put_left_out(const struct work *work, const struct hd_walk *walk,
                                 struct hd_buf *out)
{
    enum hd_code code = hd_buf_puts(out, ",\n\"left_out\":[", work->err);
    for (size_t i = 0; i < walk->left_out_count && code == HD_OK; i++) {
        code = hd_buf_puts(out, i > 0 ? ",\n {\"path\":" : "\n {\"path\":", work->err);
        if (code == HD_OK)
            code = hd_json_write_string(walk->left_out[i].path, out, work->err);
        if (code == HD_OK)
            code = hd_buf_puts(out, ",\"why\":", work->err);
        if (code == HD_OK)
            code = hd_json_write_string(walk->left_out[i].why, out, work->err);
        if (code == HD_OK)
            code = hd_buf_puts(out, "}", work->err);
    }
    return code == HD_OK ? hd_buf_printf(out, work->err, "],\n\"left_out_count\":%" PRIu64 "}\n",
                                         walk->left_out_count + walk->left_out_more)
                         : code;
}

static enum hd_code put_manifest(struct work *work, const struct hd_walk *walk)
{
    const struct hd_item *item = work->item;
    char key[HD_ARTIFACT_KEY_MAX];
    struct hd_buf out;
    hd_buf_init(&out, HD_ARTIFACT_MANIFEST_BYTES_MAX);
    enum hd_code code = key_of(work, HD_ARTIFACT_MANIFEST, key);
    if (code == HD_OK)
        code =
            hd_buf_printf(&out, work->err,
                          "{\"version\":1,\"run_id\":\"%s\",\"run_uid\":\"%016" PRIx64
                          "\",\"config_id\":\"%s\",\"job\":%" PRIu32 ",\"attempt\":%" PRIu32
                          ",\n\"outcome\":\"%s\"",
                          item->run_id, item->attempt.run_uid, item->config_id, item->attempt.job,
                          item->attempt.attempt, hd_outcome_name(item->outcome));
    if (code == HD_OK)
        code = put_number(&out, ",\"budget\":", item->budget, work->err);
    if (code == HD_OK)
        code = put_number(&out, ",\"loss\":", item->loss, work->err);
    if (code == HD_OK)
        code = put_files(work, &out);
    if (code == HD_OK)
        code = put_left_out(work, walk, &out);
    if (code == HD_OK && out.size > HD_ARTIFACT_PART_BYTES)
        code = hd_fail(work->err, HD_E_LIMIT, "its manifest is larger than 8 MiB");
    if (code == HD_OK)
        code = hd_artifact_put(work->ship->store, key, hd_buf_text(&out), out.size, work->err);
    hd_buf_release(&out);
    return code;
}

static enum hd_code ship_passes(struct work *work, struct hd_walk *walk)
{
    enum hd_code code = HD_OK;
    bool changed = true;
    for (int pass = 1; pass <= PASSES_MAX && changed && code == HD_OK; pass++) {
        changed = false;
        hd_walk_release(walk);
        code = hd_walk_directory(work->item->run_dir, &work->item->spec, work->ship->bytes_max,
                                 walk, work->err);
        if (code == HD_E_NOTFOUND)
            code =
                hd_fail(work->err, HD_E_CORRUPT, "its directory %s is gone", work->item->run_dir);
        for (size_t i = 0; i < walk->count && code == HD_OK; i++)
            code = ship_one(work, walk, i, pass == PASSES_MAX, &changed);
    }
    return code;
}

static void sum_up(const struct work *work, const struct hd_walk *walk, struct hd_ship_sum *sum)
{
    *sum = (struct hd_ship_sum){.files = work->shipped.count,
                                .left_out = walk->left_out_count + walk->left_out_more};
    for (size_t i = 0; i < work->shipped.count; i++)
        sum->bytes += work->shipped.files[i].stamp.size;
    if (walk->left_out_count > 0)
        (void)hd_format(sum->message, sizeof(sum->message), "%s: %s", walk->left_out[0].path,
                        walk->left_out[0].why);
}

enum hd_code hd_ship_all(const struct hd_ship *ship, const struct hd_item *item,
                         struct hd_ship_sum *ret_sum, struct hd_err *err)
{
    struct work work;
    struct hd_walk walk = {0};
    enum hd_code code = begin_work(&work, ship, item, err);
    if (code == HD_OK)
        code = ship_passes(&work, &walk);
    if (code == HD_OK)
        code = give_up_upload(&work);
    if (code == HD_OK)
        code = remove_stale(&work, &walk);
    if (code == HD_OK)
        code = put_manifest(&work, &walk);
    if (code == HD_OK)
        sum_up(&work, &walk, ret_sum);
    struct hd_err ignored;
    work.err = &ignored;
    if (code == HD_E_CORRUPT || code == HD_E_INVALID || code == HD_E_LIMIT)
        (void)!give_up_upload(&work); /* nobody comes back to it */
    hd_walk_release(&walk);
    end_work(&work);
    return code;
}

enum hd_code hd_ship_remove(const struct hd_ship *ship, const struct hd_item *item,
                            struct hd_err *err)
{
    struct work work;
    char key[HD_ARTIFACT_KEY_MAX];
    enum hd_code code = begin_work(&work, ship, item, err);
    if (code == HD_OK)
        code = key_of(&work, HD_ARTIFACT_MANIFEST, key);
    if (code == HD_OK)
        code = hd_artifact_remove(ship->store, key, err);
    if (code == HD_OK)
        code = give_up_upload(&work);
    for (size_t i = 0; i < work.shipped.count && code == HD_OK; i++) {
        code = key_of(&work, work.shipped.files[i].path, key);
        if (code == HD_OK)
            code = hd_artifact_remove(ship->store, key, err);
    }
    end_work(&work);
    return code;
}

/* ---- for people ----------------------------------------------------------------------------- */

void hd_ship_tell(const struct hd_item *item, const char *state, const char *url,
                  const struct hd_ship_sum *sum, const char *message)
{
    char path[4096], base[256] = "", place[HD_ARTIFACT_URL_MAX + 260];
    struct hd_buf out;
    struct hd_err ignored;
    (void)!hd_artifact_base(item->run_id, item->attempt, item->config_id, base, sizeof(base),
                            &ignored);
    (void)hd_format(place, sizeof(place), "%s%s%s", url, url[strlen(url) - 1] == '/' ? "" : "/",
                    base);
    hd_buf_init(&out, HD_ARTIFACT_STATUS_BYTES_MAX);
    enum hd_code code = hd_buf_printf(&out, &ignored, "{\"state\":\"%s\",\"url\":", state);
    if (code == HD_OK)
        code = hd_json_write_string(place, &out, &ignored);
    if (code == HD_OK && sum != NULL)
        code = hd_buf_printf(&out, &ignored,
                             ",\"files\":%zu,\"bytes\":%" PRIu64 ",\"left_out\":%" PRIu64,
                             sum->files, sum->bytes, sum->left_out);
    if (code == HD_OK)
        code = hd_buf_puts(&out, ",\"message\":", &ignored);
    if (code == HD_OK)
        code = hd_json_write_string(message, &out, &ignored);
    if (code == HD_OK)
        code = hd_buf_puts(&out, "}\n", &ignored);
    if (code == HD_OK &&
        hd_format(path, sizeof(path), "%s" HD_ARTIFACT_STATUS_SUFFIX, item->run_dir))
        (void)!hd_file_replace(path, hd_buf_text(&out), out.size, 0644, &ignored);
    hd_buf_release(&out);
}
