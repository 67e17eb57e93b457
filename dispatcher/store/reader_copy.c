/* SPDX-License-Identifier: Apache-2.0 */
/* reader_copy.c: a copy of a store's file while its master writes (SQLite's online backup). */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "reader_impl.h"

/* In one step: the source is in a transaction of its own, so that its commit stays the same and a
 * writer, whom a reader does not block, cannot make the copy begin anew. */
enum hd_code reader_copy_pages(sqlite3 *from, sqlite3 *to, struct hd_err *err)
{
    sqlite3_backup *backup = sqlite3_backup_init(to, "main", from, "main");
    if (backup == NULL)
        return hd_sqlite_fail(to, sqlite3_errcode(to), "copying", err);
    int stepped = sqlite3_backup_step(backup, -1);
    int finished = sqlite3_backup_finish(backup);
    if (stepped == SQLITE_DONE && finished == SQLITE_OK)
        return HD_OK;
    return hd_sqlite_fail(to, finished != SQLITE_OK ? finished : stepped, "copying", err);
}

/* Exclusively, so that a link that somebody left there is not followed. */
static enum hd_code create(const char *path, struct hd_err *err)
{
    int fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0)
        return hd_fail(err,
                       errno == EEXIST                      ? HD_E_EXISTS
                       : errno == ENOSPC || errno == EDQUOT ? HD_E_FULL
                                                            : HD_E_IO,
                       "cannot create %s: %s", path, strerror(errno));
    close(fd);
    return HD_OK;
}

/* The copied header says WAL; as a rollback journal the file is whole without others beside it. A
 * store that is opened for writing goes back to WAL by itself. */
static enum hd_code leave_wal(sqlite3 *db, struct hd_err *err)
{
    int code = sqlite3_exec(db, "PRAGMA journal_mode = DELETE; PRAGMA synchronous = FULL", NULL,
                            NULL, NULL);
    return code == SQLITE_OK ? HD_OK : hd_sqlite_fail(db, code, "closing the copy", err);
}

static enum hd_code sync_file(const char *path, struct hd_err *err)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    int failed = fd < 0 || fsync(fd) != 0 ? errno : 0;
    if (fd >= 0)
        close(fd);
    return failed == 0 ? HD_OK
                       : hd_fail(err, HD_E_IO, "cannot sync %s: %s", path, strerror(failed));
}

enum hd_code hd_reader_copy(struct hd_reader *reader, const char *to, struct hd_err *err)
{
    sqlite3 *db = NULL;
    enum hd_code code = create(to, err);
    if (code != HD_OK)
        return code;
    int opened = sqlite3_open_v2(to, &db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX, NULL);
    if (opened != SQLITE_OK)
        code = hd_sqlite_fail(db, opened, "open", err);
    if (code == HD_OK)
        code = reader_copy_pages(reader->original != NULL ? reader->original : reader->db, db, err);
    if (code == HD_OK)
        code = leave_wal(db, err);
    int closed = sqlite3_close(db);
    hd_assert(closed == SQLITE_OK);
    if (code == HD_OK)
        code = sync_file(to, err);
    if (code != HD_OK) {
        unlink(to);
        return code == HD_E_NOMEM ? code : hd_fail_in(err, "%s", to);
    }
    return HD_OK;
}
