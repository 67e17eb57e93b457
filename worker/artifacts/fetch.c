/* SPDX-License-Identifier: Apache-2.0 */
/* An attempt's files home: what the manifest names, each compared with its checksum. */
#include "answer.h"
#include "store.h"

#include <hd/pki.h>

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct fetched {
    int fd;
    struct hd_sha256 *sha;
    uint64_t size;
};

static bool take_text(void *context, const void *bytes, size_t size)
{
    struct hd_err ignored;
    return hd_buf_append(context, bytes, size, &ignored) == HD_OK;
}

static bool take_file(void *context, const void *bytes, size_t size)
{
    struct fetched *fetched = context;
    const char *at = bytes;
    hd_sha256_add(fetched->sha, bytes, size);
    fetched->size += size;
    while (size > 0) {
        ssize_t put = write(fetched->fd, at, size);
        if (put < 0 && errno == EINTR)
            continue;
        if (put <= 0)
            return false;
        at += put;
        size -= (size_t)put;
    }
    return true;
}

/* ---- the manifest --------------------------------------------------------------------------- */

static enum hd_code read_manifest(struct hd_artifact_store *store, const char *base,
                                  struct hd_value **ret_manifest, struct hd_err *err)
{
    const struct hd_value_limits limits = {
        HD_ARTIFACT_MANIFEST_BYTES_MAX, 8 * (HD_ARTIFACT_FILES_MAX + HD_ARTIFACT_LEFT_OUT_MAX), 4};
    char key[HD_ARTIFACT_KEY_MAX];
    struct hd_buf text;
    if (!hd_format(key, sizeof(key), "%s/" HD_ARTIFACT_MANIFEST, base))
        return hd_fail(err, HD_E_LIMIT, "the name %s is too long", base);
    hd_buf_init(&text, HD_ARTIFACT_MANIFEST_BYTES_MAX + 1u);
    enum hd_code code =
        hd_artifact_get(store, key, HD_ARTIFACT_MANIFEST_BYTES_MAX, take_text, &text, err);
    if (code == HD_OK)
        code = hd_json_parse(hd_buf_text(&text), text.size, HD_ARTIFACT_MANIFEST, &limits,
                             ret_manifest, err);
    hd_buf_release(&text);
    return code;
}

static enum hd_code check_manifest(const struct hd_value *manifest, struct hd_err *err)
{
    const struct hd_value *version = hd_value_get(manifest, "version");
    const struct hd_value *files = hd_value_get(manifest, "files");
    if (version == NULL || version->kind != HD_VALUE_INT || version->as.integer != 1)
        return hd_fail(err, HD_E_VERSION, HD_ARTIFACT_MANIFEST ": of a version that is not known");
    if (files == NULL || files->kind != HD_VALUE_ARRAY ||
        files->as.array.count > HD_ARTIFACT_FILES_MAX)
        return hd_fail(err, HD_E_CORRUPT, HD_ARTIFACT_MANIFEST ": it has no list of files");
    return HD_OK;
}

/* ---- files ---------------------------------------------------------------------------------- */

/* `directory` is ours and was empty, so a link in it is not. */
static enum hd_code create(int directory, const char *path, int *ret_fd, struct hd_err *err)
{
    char part[HD_ARTIFACT_PATH_MAX];
    for (const char *slash = strchr(path, '/'); slash != NULL; slash = strchr(slash + 1, '/')) {
        (void)hd_copy_text(part, (size_t)(slash - path) + 1, path);
        if (mkdirat(directory, part, 0777) != 0 && errno != EEXIST)
            return hd_fail(err, HD_E_IO, "cannot make %s: %s", part, strerror(errno));
    }
    int fd = openat(directory, path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0666);
    if (fd < 0)
        return hd_fail(err, HD_E_IO, "cannot make %s: %s", path, strerror(errno));
    *ret_fd = fd;
    return HD_OK;
}

static enum hd_code fetch_file(struct hd_artifact_store *store, const char *base, int directory,
                               const char *path, uint64_t size, const char *sha256,
                               struct hd_err *err)
{
    char key[HD_ARTIFACT_KEY_MAX], text[HD_SHA256_TEXT_SIZE];
    struct fetched fetched = {.fd = -1};
    if (!hd_format(key, sizeof(key), "%s/%s", base, path))
        return hd_fail(err, HD_E_LIMIT, "the name %s is too long", path);
    enum hd_code code = hd_sha256_new(&fetched.sha, err);
    if (code == HD_OK)
        code = create(directory, path, &fetched.fd, err);
    if (code != HD_OK) {
        hd_sha256_free(fetched.sha);
        return code;
    }
    code = hd_artifact_get(store, key, size, take_file, &fetched, err);
    hd_sha256_end(fetched.sha, text);
    hd_sha256_free(fetched.sha);
    if (close(fetched.fd) != 0 && code == HD_OK)
        code = hd_fail(err, HD_E_IO, "%s: %s", path, strerror(errno));
    if (code == HD_OK && (fetched.size != size || !hd_streq(text, sha256)))
        code =
            hd_fail(err, HD_E_CORRUPT,
                    "%s: what the store gave is not what was shipped (the checksum differs)", path);
    if (code != HD_OK)
        (void)unlinkat(directory, path, 0); /* half a file would pass for one */
    return code;
}

static enum hd_code fetch_item(struct hd_artifact_store *store, const char *base, int directory,
                               const struct hd_value *item, uint64_t *bytes, struct hd_err *err)
{
    const struct hd_value *path = hd_value_get(item, "path");
    const struct hd_value *size = hd_value_get(item, "size");
    const struct hd_value *sha256 = hd_value_get(item, "sha256");
    if (path == NULL || path->kind != HD_VALUE_STRING ||
        !hd_artifact_path_is_inner(path->as.string) || size == NULL || size->kind != HD_VALUE_INT ||
        size->as.integer < 0 || (uint64_t)size->as.integer > HD_ARTIFACT_FILE_BYTES_MAX ||
        sha256 == NULL || sha256->kind != HD_VALUE_STRING)
        return hd_fail(err, HD_E_CORRUPT, HD_ARTIFACT_MANIFEST ": an entry of it is no file");
    *bytes += (uint64_t)size->as.integer;
    return fetch_file(store, base, directory, path->as.string, (uint64_t)size->as.integer,
                      sha256->as.string, err);
}

enum hd_code hd_artifacts_fetch(struct hd_artifact_store *store, const char *base, const char *to,
                                size_t *ret_files, uint64_t *ret_bytes, struct hd_err *err)
{
    struct hd_value *manifest = NULL;
    uint64_t bytes = 0;
    enum hd_code code = read_manifest(store, base, &manifest, err);
    if (code == HD_OK)
        code = check_manifest(manifest, err);
    int directory = code == HD_OK ? open(to, O_PATH | O_DIRECTORY | O_CLOEXEC) : -1;
    if (code == HD_OK && directory < 0)
        code = hd_fail(err, HD_E_IO, "%s: %s", to, strerror(errno));
    const struct hd_value *files = hd_value_get(manifest, "files");
    size_t count = 0;
    while (code == HD_OK && count < files->as.array.count) {
        code = fetch_item(store, base, directory, files->as.array.items[count], &bytes, err);
        count += code == HD_OK;
    }
    if (directory >= 0)
        close(directory);
    hd_value_free(manifest);
    if (code == HD_OK) {
        *ret_files = count;
        *ret_bytes = bytes;
    }
    return code;
}
