/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is in the store already, a line of JSON each:
 *   {"place":"s3://.."}                                  the lines below are about this one
 *   {"path":"out/a","size":3,"inode":9,"mtime_ns":1,"sha256":".."}
 *   {"intent":"out/b"}                                    an upload is going to be begun; "" over
 *   {"upload":"out/b","id":"..","size":..,"inode":..,"mtime_ns":..}   begun; "id":"" given up
 *   {"tag":".."}                                          its next part
 */
#include "answer.h"
#include "item.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define LINE_MAX_BYTES 8192

/* ---- the struct ----------------------------------------------------------------------------- */

static void drop_upload(struct hd_shipped *shipped)
{
    hd_free(shipped->upload_path);
    shipped->upload_path = NULL;
    shipped->upload_id[0] = '\0';
    shipped->tag_count = 0;
}

static void drop_intent(struct hd_shipped *shipped)
{
    hd_free(shipped->intent_path);
    shipped->intent_path = NULL;
}

static void drop_all(struct hd_shipped *shipped)
{
    drop_upload(shipped);
    drop_intent(shipped);
    for (size_t i = 0; i < shipped->count; i++)
        hd_free(shipped->files[i].path);
    shipped->count = 0;
}

void hd_shipped_release(struct hd_shipped *shipped)
{
    drop_all(shipped);
    hd_free(shipped->files);
    hd_free(shipped->tags);
    *shipped = (struct hd_shipped){0};
}

/* Files are asked for in the order in which they were shipped, mostly. */
struct hd_shipped_file *hd_shipped_find(struct hd_shipped *shipped, const char *path)
{
    for (size_t i = 0; i < shipped->count; i++) {
        size_t place = (shipped->hint + i) % shipped->count;
        if (!hd_streq(shipped->files[place].path, path))
            continue;
        shipped->hint = place + 1;
        return &shipped->files[place];
    }
    return NULL;
}

static bool keep_file(struct hd_shipped *shipped, const char *path, const struct hd_stamp *stamp,
                      const char *sha256)
{
    struct hd_shipped_file *file = hd_shipped_find(shipped, path);
    if (file == NULL && shipped->count == shipped->capacity) {
        size_t capacity = shipped->capacity == 0 ? 16 : 2 * shipped->capacity;
        struct hd_shipped_file *grown = hd_realloc(shipped->files, capacity * sizeof(*grown));
        if (grown == NULL)
            return false;
        shipped->files = grown;
        shipped->capacity = capacity;
    }
    if (file == NULL) {
        file = &shipped->files[shipped->count];
        file->path = hd_strdup(path);
        if (file->path == NULL)
            return false;
        shipped->count++;
    }
    file->stamp = *stamp;
    (void)hd_copy_text(file->sha256, sizeof(file->sha256), sha256);
    if (shipped->upload_path != NULL && hd_streq(shipped->upload_path, path))
        drop_upload(shipped);
    return true;
}

static bool keep_intent(struct hd_shipped *shipped, const char *path)
{
    drop_intent(shipped);
    shipped->intent_path = path[0] != '\0' ? hd_strdup(path) : NULL;
    return path[0] == '\0' || shipped->intent_path != NULL;
}

static bool keep_upload(struct hd_shipped *shipped, const char *path, const struct hd_stamp *stamp,
                        const char *id)
{
    drop_upload(shipped);
    if (id[0] != '\0')
        drop_intent(shipped);
    shipped->upload_path = id[0] != '\0' ? hd_strdup(path) : NULL;
    if (id[0] != '\0' && shipped->upload_path == NULL)
        return false;
    shipped->upload_stamp = *stamp;
    (void)hd_copy_text(shipped->upload_id, sizeof(shipped->upload_id), id);
    return true;
}

static bool keep_tag(struct hd_shipped *shipped, const char *tag)
{
    if (shipped->upload_path == NULL || shipped->tag_count == HD_ARTIFACT_PARTS_MAX)
        return true;
    if (shipped->tag_count == shipped->tag_capacity) {
        uint32_t capacity = shipped->tag_capacity == 0 ? 16 : 2 * shipped->tag_capacity;
        void *grown = hd_realloc(shipped->tags, capacity * sizeof(*shipped->tags));
        if (grown == NULL)
            return false;
        shipped->tags = grown;
        shipped->tag_capacity = capacity;
    }
    (void)hd_copy_text(shipped->tags[shipped->tag_count++], HD_ARTIFACT_TAG_MAX, tag);
    return true;
}

/* ---- reading -------------------------------------------------------------------------------- */

static const char *text_of(const struct hd_value *object, const char *key, size_t size_max)
{
    const struct hd_value *value = hd_value_get(object, key);
    return value != NULL && value->kind == HD_VALUE_STRING && strlen(value->as.string) < size_max
               ? value->as.string
               : NULL;
}

static bool stamp_in(const struct hd_value *object, struct hd_stamp *ret_stamp)
{
    const struct hd_value *size = hd_value_get(object, "size");
    const struct hd_value *inode = hd_value_get(object, "inode");
    const struct hd_value *mtime = hd_value_get(object, "mtime_ns");
    if (size == NULL || size->kind != HD_VALUE_INT || inode == NULL ||
        inode->kind != HD_VALUE_INT || mtime == NULL || mtime->kind != HD_VALUE_INT)
        return false;
    *ret_stamp = (struct hd_stamp){.size = (uint64_t)size->as.integer,
                                   .inode = (uint64_t)inode->as.integer,
                                   .mtime_ns = mtime->as.integer};
    return true;
}

static void take_line(struct hd_shipped *shipped, const struct hd_value *line, const char *url,
                      bool *here)
{
    const char *place = text_of(line, "place", HD_ARTIFACT_URL_MAX);
    const char *path = text_of(line, "path", HD_ARTIFACT_PATH_MAX);
    const char *upload = text_of(line, "upload", HD_ARTIFACT_PATH_MAX);
    const char *id = text_of(line, "id", HD_ARTIFACT_TAG_MAX);
    const char *tag = text_of(line, "tag", HD_ARTIFACT_TAG_MAX);
    const char *intent = text_of(line, "intent", HD_ARTIFACT_PATH_MAX);
    const char *sha256 = text_of(line, "sha256", HD_SHA256_TEXT_SIZE);
    struct hd_stamp stamp;
    if (place != NULL) {
        *here = hd_streq(place, url);
        drop_all(shipped);
    } else if (!*here) {
        return;
    } else if (path != NULL && sha256 != NULL && strlen(sha256) == HD_SHA256_TEXT_SIZE - 1 &&
               hd_artifact_path_is_inner(path) && stamp_in(line, &stamp)) {
        if (shipped->count < HD_ARTIFACT_FILES_MAX)
            (void)keep_file(shipped, path, &stamp, sha256);
    } else if (upload != NULL && id != NULL && hd_artifact_path_is_inner(upload) &&
               stamp_in(line, &stamp)) {
        (void)keep_upload(shipped, upload, &stamp, id);
    } else if (intent != NULL && (intent[0] == '\0' || hd_artifact_path_is_inner(intent))) {
        (void)keep_intent(shipped, intent);
    } else if (tag != NULL) {
        (void)keep_tag(shipped, tag);
    }
}

void hd_shipped_parse(const char *text, size_t size, const char *url, struct hd_shipped *shipped)
{
    const struct hd_value_limits limits = {LINE_MAX_BYTES, 16, 2};
    const char *end = text + size;
    bool here = false;
    while (text < end) {
        const char *newline = memchr(text, '\n', (size_t)(end - text));
        struct hd_value *line = NULL;
        struct hd_err ignored;
        if (newline == NULL)
            return; /* cut off by the death of its writer */
        if (hd_json_parse(text, (size_t)(newline - text), "shipped", &limits, &line, &ignored) ==
            HD_OK)
            take_line(shipped, line, url, &here);
        hd_value_free(line);
        shipped->lines++;
        text = newline + 1;
    }
    if (!here)
        drop_all(shipped);
}

enum hd_code hd_shipped_read(const char *path, const char *url, struct hd_shipped *ret_shipped,
                             struct hd_err *err)
{
    struct hd_buf buf;
    struct hd_shipped shipped = {0};
    hd_buf_init(&buf, HD_SHIPPED_BYTES_MAX + 1u);
    enum hd_code code = hd_file_read(path, HD_SHIPPED_BYTES_MAX, true, &buf, err);
    if (code == HD_OK)
        hd_shipped_parse(hd_buf_text(&buf), buf.size, url, &shipped);
    hd_buf_release(&buf);
    if (code != HD_OK && code != HD_E_NOTFOUND)
        return code;
    *ret_shipped = shipped;
    /* The first line says of which place the others speak; a cut one is shut off. */
    bool fresh = shipped.lines == 0 || (shipped.count == 0 && shipped.upload_path == NULL);
    return fresh ? hd_shipped_rewrite(ret_shipped, path, url, err) : HD_OK;
}

/* ---- writing -------------------------------------------------------------------------------- */

static enum hd_code put_stamp(struct hd_buf *out, const struct hd_stamp *stamp, struct hd_err *err)
{
    return hd_buf_printf(out, err,
                         ",\"size\":%" PRId64 ",\"inode\":%" PRId64 ",\"mtime_ns\":%" PRId64,
                         (int64_t)stamp->size, (int64_t)stamp->inode, stamp->mtime_ns);
}

static enum hd_code put_text(struct hd_buf *out, const char *before, const char *text,
                             struct hd_err *err)
{
    enum hd_code code = hd_buf_puts(out, before, err);
    return code == HD_OK ? hd_json_write_string(text, out, err) : code;
}

static enum hd_code put_file(struct hd_buf *out, const char *path, const struct hd_stamp *stamp,
                             const char *sha256, struct hd_err *err)
{
    enum hd_code code = put_text(out, "{\"path\":", path, err);
    if (code == HD_OK)
        code = put_stamp(out, stamp, err);
    return code == HD_OK ? hd_buf_printf(out, err, ",\"sha256\":\"%s\"}\n", sha256) : code;
}

static enum hd_code put_upload(struct hd_buf *out, const char *path, const struct hd_stamp *stamp,
                               const char *id, struct hd_err *err)
{
    enum hd_code code = put_text(out, "{\"upload\":", path, err);
    if (code == HD_OK)
        code = put_text(out, ",\"id\":", id, err);
    if (code == HD_OK)
        code = put_stamp(out, stamp, err);
    return code == HD_OK ? hd_buf_puts(out, "}\n", err) : code;
}

static enum hd_code put_tag(struct hd_buf *out, const char *tag, struct hd_err *err)
{
    enum hd_code code = put_text(out, "{\"tag\":", tag, err);
    return code == HD_OK ? hd_buf_puts(out, "}\n", err) : code;
}

/* In one write, so that a line is whole or cut off at the end of the file. */
static enum hd_code append(struct hd_shipped *shipped, const char *path, const struct hd_buf *line,
                           struct hd_err *err)
{
    int fd = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    bool done = fd >= 0 && write(fd, line->data, line->size) == (ssize_t)line->size;
    int failed = errno;
    if (fd >= 0)
        close(fd);
    if (!done)
        return hd_fail(err, failed == ENOSPC ? HD_E_FULL : HD_E_IO, "%s: %s", path,
                       strerror(failed));
    shipped->lines++;
    return HD_OK;
}

static enum hd_code nomem(struct hd_err *err)
{
    return hd_fail(err, HD_E_NOMEM, "no memory for what has been shipped");
}

enum hd_code hd_shipped_add(struct hd_shipped *shipped, const char *path, const char *file,
                            const struct hd_stamp *stamp, const char *sha256, struct hd_err *err)
{
    struct hd_buf line;
    hd_buf_init(&line, LINE_MAX_BYTES);
    enum hd_code code = put_file(&line, file, stamp, sha256, err);
    if (code == HD_OK)
        code = append(shipped, path, &line, err);
    hd_buf_release(&line);
    return code != HD_OK || keep_file(shipped, file, stamp, sha256) ? code : nomem(err);
}

static enum hd_code put_intent(struct hd_buf *out, const char *path, struct hd_err *err)
{
    enum hd_code code = put_text(out, "{\"intent\":", path, err);
    return code == HD_OK ? hd_buf_puts(out, "}\n", err) : code;
}

enum hd_code hd_shipped_intend(struct hd_shipped *shipped, const char *path, const char *file,
                               struct hd_err *err)
{
    struct hd_buf line;
    hd_buf_init(&line, LINE_MAX_BYTES);
    enum hd_code code = put_intent(&line, file, err);
    if (code == HD_OK)
        code = append(shipped, path, &line, err);
    hd_buf_release(&line);
    return code != HD_OK || keep_intent(shipped, file) ? code : nomem(err);
}

enum hd_code hd_shipped_begin(struct hd_shipped *shipped, const char *path, const char *file,
                              const struct hd_stamp *stamp, const char *upload_id,
                              struct hd_err *err)
{
    struct hd_buf line;
    hd_buf_init(&line, LINE_MAX_BYTES);
    enum hd_code code = put_upload(&line, file, stamp, upload_id, err);
    if (code == HD_OK)
        code = append(shipped, path, &line, err);
    hd_buf_release(&line);
    return code != HD_OK || keep_upload(shipped, file, stamp, upload_id) ? code : nomem(err);
}

enum hd_code hd_shipped_part(struct hd_shipped *shipped, const char *path, const char *tag,
                             struct hd_err *err)
{
    struct hd_buf line;
    hd_buf_init(&line, LINE_MAX_BYTES);
    enum hd_code code = put_tag(&line, tag, err);
    if (code == HD_OK)
        code = append(shipped, path, &line, err);
    hd_buf_release(&line);
    return code != HD_OK || keep_tag(shipped, tag) ? code : nomem(err);
}

static enum hd_code put_all(const struct hd_shipped *shipped, const char *url, struct hd_buf *out,
                            struct hd_err *err)
{
    enum hd_code code = put_text(out, "{\"place\":", url, err);
    if (code == HD_OK)
        code = hd_buf_puts(out, "}\n", err);
    for (size_t i = 0; i < shipped->count && code == HD_OK; i++)
        code = put_file(out, shipped->files[i].path, &shipped->files[i].stamp,
                        shipped->files[i].sha256, err);
    if (code == HD_OK && shipped->upload_path != NULL)
        code =
            put_upload(out, shipped->upload_path, &shipped->upload_stamp, shipped->upload_id, err);
    for (uint32_t i = 0; i < shipped->tag_count && code == HD_OK; i++)
        code = put_tag(out, shipped->tags[i], err);
    if (code == HD_OK && shipped->intent_path != NULL)
        code = put_intent(out, shipped->intent_path, err);
    return code;
}

enum hd_code hd_shipped_rewrite(struct hd_shipped *shipped, const char *path, const char *url,
                                struct hd_err *err)
{
    struct hd_buf out;
    hd_buf_init(&out, HD_SHIPPED_BYTES_MAX);
    enum hd_code code = put_all(shipped, url, &out, err);
    if (code == HD_OK)
        code = hd_file_replace(path, hd_buf_text(&out), out.size, 0600, err);
    hd_buf_release(&out);
    if (code == HD_OK)
        shipped->lines = 1 + shipped->count + shipped->tag_count;
    return code;
}
