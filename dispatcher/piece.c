/* SPDX-License-Identifier: Apache-2.0 */
/* piece.c: large files for workers, piece by piece, and the code of runs, which lies in such files.
 */
#include "driver_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <hd/code.h>

#define PIECE_BYTES (480u * 1024u) /* in base64, and with all around it, below HD_VIEW_JSON_MAX */

enum hd_code hd_piece_read(int fd, uint64_t size, const char *id, uint64_t offset,
                           struct hd_buf *json, struct hd_err *err)
{
    char *piece = hd_malloc(PIECE_BYTES);
    if (piece == NULL)
        return hd_fail(err, HD_E_NOMEM, "no memory for a piece of a file");
    ssize_t count = offset < size ? pread(fd, piece, PIECE_BYTES, (off_t)offset) : 0;
    enum hd_code code = count < 0 ? hd_fail(err, HD_E_IO, "%s: %s", id, strerror(errno))
                                  : hd_buf_printf(json, err,
                                                  "{\"id\":\"%s\",\"size\":%" PRIu64
                                                  ",\"offset\":%" PRIu64 ",\"data\":\"",
                                                  id, size, offset);
    if (code == HD_OK)
        code = hd_base64_encode(piece, (size_t)count, false, json, err);
    hd_free(piece);
    return code == HD_OK ? hd_buf_puts(json, "\"}", err) : code;
}

enum hd_code hd_code_piece_read(const char *store_path, const char *hash, uint64_t offset,
                                struct hd_buf *json, struct hd_err *err)
{
    char path[4096];
    struct stat status;
    int fd = -1;
    enum hd_code code = hd_code_archive_path(store_path, hash, path, sizeof(path), err);
    if (code == HD_OK && !hd_path_exists(path))
        return hd_fail(err, HD_E_NOTFOUND,
                       "the code %.12s is not beside the store of the master: resume the run with "
                       "its experiment file on the master's machine",
                       hash);
    if (code == HD_OK)
        code = hd_file_open_regular(path, &fd, err);
    if (code != HD_OK)
        return code;
    code = fstat(fd, &status) == 0
               ? hd_piece_read(fd, (uint64_t)status.st_size, hash, offset, json, err)
               : hd_fail(err, HD_E_IO, "%s: %s", path, strerror(errno));
    close(fd);
    return code;
}
