/* SPDX-License-Identifier: Apache-2.0 */
/* sqlite_open.c: finding a store's file and opening it for reading, on read-only media too. */
#include <errno.h>
#include <string.h>
#include <sys/stat.h>

#include <hd/store.h>

#include "sqlite_rows.h"

#define BUSY_MS 5000

enum hd_code hd_sqlite_find_file(const char *path, char *ret_path, struct hd_err *err)
{
    struct stat st;
    bool fits = hd_copy_text(ret_path, HD_STORE_PATH_SIZE_MAX, path);
    if (stat(path, &st) == 0 && S_ISDIR(st.st_mode))
        fits = hd_format(ret_path, HD_STORE_PATH_SIZE_MAX, "%s/%s", path, HD_STORE_FILE_NAME);
    if (!fits)
        return hd_fail(err, HD_E_LIMIT, "the path is longer than %d bytes",
                       HD_STORE_PATH_SIZE_MAX - 1);
    if (stat(ret_path, &st) != 0)
        return errno == ENOENT || errno == ENOTDIR
                   ? hd_fail(err, HD_E_NOTFOUND, "there is no store at %s", ret_path)
                   : hd_fail(err, HD_E_IO, "cannot look at %s: %s", ret_path, strerror(errno));
    return HD_OK;
}

/* Nobody writes it and nobody can: a copy on read-only media has no place for the WAL's index. */
static enum hd_code open_immutable(const char *path, sqlite3 **ret_db, struct hd_err *err)
{
    struct hd_buf uri;
    hd_buf_init(&uri, HD_STORE_PATH_SIZE_MAX * 4);
    enum hd_code code = hd_buf_puts(&uri, "file:", err);
    for (const char *at = path; *at != '\0' && code == HD_OK; at++)
        code = strchr("%?#", *at) != NULL ? hd_buf_printf(&uri, err, "%%%02x", (unsigned)*at)
                                          : hd_buf_append(&uri, at, 1, err);
    if (code == HD_OK)
        code = hd_buf_puts(&uri, "?immutable=1", err);
    if (code == HD_OK) {
        int opened =
            sqlite3_open_v2(hd_buf_text(&uri), ret_db,
                            SQLITE_OPEN_READONLY | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_URI, NULL);
        if (opened != SQLITE_OK)
            code = hd_sqlite_fail(*ret_db, opened, path, err);
    }
    hd_buf_release(&uri);
    return code;
}

static enum hd_code check_format(sqlite3 *db, struct hd_err *err)
{
    int64_t version = 0;
    enum hd_code code = hd_sqlite_version(db, &version, err);
    if (code == HD_OK && version == 0)
        code = hd_fail(err, HD_E_NOTFOUND, "the store is empty");
    return code;
}

enum hd_code hd_sqlite_open_for_reading(const char *path, sqlite3 **ret_db, struct hd_err *err)
{
    int opened = sqlite3_open_v2(path, ret_db, SQLITE_OPEN_READONLY | SQLITE_OPEN_NOMUTEX, NULL);
    if (opened != SQLITE_OK)
        return hd_sqlite_fail(*ret_db, opened, path, err);
    (void)sqlite3_busy_timeout(*ret_db, BUSY_MS);
    enum hd_code code = check_format(*ret_db, err);
    if (code != HD_E_IO)
        return code;
    char wal[HD_STORE_PATH_SIZE_MAX + 8];
    struct stat st;
    if (!hd_format(wal, sizeof(wal), "%s-wal", path) || stat(wal, &st) == 0)
        return code; /* there are commits that only a connection with an index could see */
    sqlite3_close(*ret_db);
    *ret_db = NULL;
    code = open_immutable(path, ret_db, err);
    return code == HD_OK ? check_format(*ret_db, err) : code;
}
