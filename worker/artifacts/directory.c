/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A directory as a store. An object appears under its name only when it is whole and on disk; an
 * upload in parts is a hidden file beside it, into which the parts are written at their places.
 */
#include "store.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define PATH_SIZE_MAX 4096
#define COPY_CHUNK 65536

static enum hd_code fail(int number, const char *path, struct hd_err *err)
{
    bool full = number == ENOSPC || number == EDQUOT;
    char reason[128];
    return hd_fail(err, full ? HD_E_FULL : HD_E_IO, "%s: %s", path,
                   strerror_r(number, reason, sizeof(reason)));
}

static enum hd_code path_of(const struct hd_artifact_store *store, const char *key,
                            char path[PATH_SIZE_MAX], struct hd_err *err)
{
    if (!hd_format(path, PATH_SIZE_MAX, "%s/%s", store->place.path, key) ||
        strlen(strrchr(path, '/') + 1) > NAME_MAX)
        return hd_fail(err, HD_E_LIMIT, "the name %s is too long for a directory", key);
    return HD_OK;
}

static enum hd_code make_parent(char path[PATH_SIZE_MAX], struct hd_err *err)
{
    char *slash = strrchr(path, '/');
    *slash = '\0';
    enum hd_code code = hd_mkdirs(path, 0755, err);
    *slash = '/';
    return code;
}

static enum hd_code directory_put(struct hd_artifact_store *store, const char *key,
                                  const void *bytes, size_t size, struct hd_err *err)
{
    char path[PATH_SIZE_MAX];
    enum hd_code code = path_of(store, key, path, err);
    if (code == HD_OK)
        code = make_parent(path, err);
    return code == HD_OK ? hd_file_write_atomic(path, bytes, size, 0644, err) : code;
}

/* ---- in parts ------------------------------------------------------------------------------- */

/* <dir>/.<upload>.parts */
static enum hd_code parts_path(const struct hd_artifact_store *store, const char *key,
                               const char *upload, char path[PATH_SIZE_MAX], struct hd_err *err)
{
    enum hd_code code = path_of(store, key, path, err);
    if (code != HD_OK)
        return code;
    char *name = strrchr(path, '/') + 1;
    if (strchr(upload, '/') != NULL ||
        !hd_format(name, (size_t)(path + PATH_SIZE_MAX - name), ".%s.parts", upload))
        code = hd_fail(err, HD_E_CONFLICT, "there is no upload %s", upload);
    return code;
}

static enum hd_code open_parts(const struct hd_artifact_store *store, const char *key,
                               const char *upload, int flags, char path[PATH_SIZE_MAX], int *ret_fd,
                               struct hd_err *err)
{
    enum hd_code code = parts_path(store, key, upload, path, err);
    if (code != HD_OK)
        return code;
    int fd = open(path, O_WRONLY | O_CLOEXEC | O_NOFOLLOW | flags, 0644);
    if (fd < 0)
        return errno == ENOENT ? hd_fail(err, HD_E_CONFLICT, "there is no upload %s", upload)
                               : fail(errno, path, err);
    *ret_fd = fd;
    return HD_OK;
}

static enum hd_code directory_begin(struct hd_artifact_store *store, const char *key,
                                    char *ret_upload, struct hd_err *err)
{
    char path[PATH_SIZE_MAX], upload[HD_ARTIFACT_TAG_MAX];
    int fd = -1;
    enum hd_code code = path_of(store, key, path, err);
    if (code == HD_OK)
        code = make_parent(path, err);
    (void)hd_format(upload, sizeof(upload), "%016" PRIx64, hd_os_random_u64());
    if (code == HD_OK)
        code = open_parts(store, key, upload, O_CREAT | O_EXCL, path, &fd, err);
    if (code != HD_OK)
        return code;
    close(fd);
    (void)hd_copy_text(ret_upload, HD_ARTIFACT_TAG_MAX, upload);
    return HD_OK;
}

static enum hd_code directory_part(struct hd_artifact_store *store, const char *key,
                                   const char *upload, uint32_t number, const void *bytes,
                                   size_t size, char *ret_tag, struct hd_err *err)
{
    char path[PATH_SIZE_MAX];
    const char *at = bytes;
    off_t place = (off_t)(number - 1) * (off_t)HD_ARTIFACT_PART_BYTES;
    int fd = -1;
    enum hd_code code = open_parts(store, key, upload, 0, path, &fd, err);
    if (code != HD_OK)
        return code;
    while (size > 0 && code == HD_OK) {
        ssize_t put = pwrite(fd, at, size, place);
        if (put < 0 && errno == EINTR)
            continue;
        if (put <= 0) {
            code = fail(errno, path, err);
            break;
        }
        at += put;
        place += put;
        size -= (size_t)put;
    }
    /* Who hears that a part is there does not send it again. */
    if (code == HD_OK && fdatasync(fd) != 0)
        code = fail(errno, path, err);
    close(fd);
    if (code == HD_OK)
        (void)hd_format(ret_tag, HD_ARTIFACT_TAG_MAX, "%" PRIu32, number);
    return code;
}

static enum hd_code directory_finish(struct hd_artifact_store *store, const char *key,
                                     const char *upload, const char (*tags)[HD_ARTIFACT_TAG_MAX],
                                     uint32_t count, struct hd_err *err)
{
    (void)tags;
    (void)count;
    char parts[PATH_SIZE_MAX], path[PATH_SIZE_MAX];
    int fd = -1;
    enum hd_code code = path_of(store, key, path, err);
    if (code == HD_OK)
        code = open_parts(store, key, upload, 0, parts, &fd, err);
    if (code != HD_OK)
        return code;
    if (fsync(fd) != 0 || rename(parts, path) != 0)
        code = fail(errno, path, err);
    close(fd);
    return code;
}

static enum hd_code directory_abandon(struct hd_artifact_store *store, const char *key,
                                      const char *upload, struct hd_err *err)
{
    char path[PATH_SIZE_MAX];
    enum hd_code code = parts_path(store, key, upload, path, err);
    if (code == HD_OK && unlink(path) != 0 && errno != ENOENT)
        return fail(errno, path, err);
    return code;
}

/* "." 16 digits ".parts" */
static bool is_parts(const char *name)
{
    return strlen(name) == 23 && name[0] == '.' && strspn(name + 1, "0123456789abcdef") == 16 &&
           hd_streq(name + 17, ".parts");
}

/* A directory is of one attempt, which has one upload at a time: nothing here is anybody else's. */
static enum hd_code directory_sweep(struct hd_artifact_store *store, const char *key,
                                    uint32_t *ret_count, struct hd_err *err)
{
    char path[PATH_SIZE_MAX];
    enum hd_code code = path_of(store, key, path, err);
    if (code != HD_OK)
        return code;
    *strrchr(path, '/') = '\0';
    DIR *stream = opendir(path);
    if (stream == NULL)
        return errno == ENOENT ? HD_OK : fail(errno, path, err);
    for (const struct dirent *entry; (entry = readdir(stream)) != NULL;)
        if (is_parts(entry->d_name) && unlinkat(dirfd(stream), entry->d_name, 0) == 0)
            ++*ret_count;
    closedir(stream);
    return HD_OK;
}

/* ---- back ----------------------------------------------------------------------------------- */

static enum hd_code directory_get(struct hd_artifact_store *store, const char *key,
                                  uint64_t size_max, hd_artifact_sink sink, void *context,
                                  struct hd_err *err)
{
    char path[PATH_SIZE_MAX];
    static const char gone[] = "%s is not there";
    int fd = -1;
    enum hd_code code = path_of(store, key, path, err);
    if (code == HD_OK)
        code = hd_file_open_regular(path, &fd, err);
    if (code == HD_E_NOTFOUND)
        return hd_fail(err, HD_E_NOTFOUND, gone, path);
    if (code != HD_OK)
        return code;
    uint64_t total = 0;
    for (ssize_t got = 1; code == HD_OK && got > 0;) {
        char bytes[COPY_CHUNK];
        got = read(fd, bytes, sizeof(bytes));
        if (got < 0)
            code = fail(errno, path, err);
        else if ((total += (uint64_t)got) > size_max)
            code = hd_fail(err, HD_E_LIMIT, "%s is larger than %" PRIu64 " bytes", path, size_max);
        else if (got > 0 && !sink(context, bytes, (size_t)got))
            code = hd_fail(err, HD_E_IO, "%s: what came could not be kept", path);
    }
    close(fd);
    return code;
}

/* The directories that are empty then go too, up to the store's own. */
static enum hd_code directory_remove(struct hd_artifact_store *store, const char *key,
                                     struct hd_err *err)
{
    char path[PATH_SIZE_MAX], *slash;
    size_t root = strlen(store->place.path);
    enum hd_code code = path_of(store, key, path, err);
    if (code != HD_OK)
        return code;
    if (unlink(path) != 0 && errno != ENOENT && errno != ENOTDIR)
        return fail(errno, path, err);
    while ((slash = strrchr(path, '/')) != NULL && (size_t)(slash - path) > root) {
        *slash = '\0';
        if (rmdir(path) != 0 && errno != ENOENT)
            break;
    }
    return HD_OK;
}

static void directory_close(struct hd_artifact_store *store)
{
    hd_free(store);
}

enum hd_code hd_directory_store_open(const struct hd_artifact_place *place,
                                     struct hd_artifact_store **ret_store, struct hd_err *err)
{
    static const struct hd_artifact_ops ops = {
        .close = directory_close,
        .put = directory_put,
        .begin = directory_begin,
        .part = directory_part,
        .finish = directory_finish,
        .abandon = directory_abandon,
        .sweep = directory_sweep,
        .get = directory_get,
        .remove = directory_remove,
    };
    struct hd_artifact_store *store = hd_calloc(1, sizeof(*store));
    char *absolute = NULL;
    if (store == NULL)
        return hd_fail(err, HD_E_NOMEM, "no memory for a directory of artifacts");
    enum hd_code code = hd_path_absolute(NULL, place->path, &absolute, err);
    store->ops = &ops;
    store->place = *place;
    if (code == HD_OK && !hd_copy_text(store->place.path, sizeof(store->place.path), absolute))
        code = hd_fail(err, HD_E_LIMIT, "the path %s is too long", absolute);
    hd_free(absolute);
    if (code != HD_OK) {
        hd_free(store);
        return code;
    }
    *ret_store = store;
    return HD_OK;
}
