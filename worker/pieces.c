/* SPDX-License-Identifier: Apache-2.0 */
#include "pieces.h"

#include <errno.h>
#include <hd/pki.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define BLOCK 512
#define SIZE_AT 124 /* of an entry's content, in a header: octal digits */
#define SIZE_DIGITS 11

_Static_assert(HD_PIECES_FILE_MIN + 2 * BLOCK <= HD_CHECKPOINT_PIECE_BYTES,
               "a piece holds any small file");
_Static_assert(HD_SHA256_TEXT_SIZE == HD_CHECKPOINT_HASH_SIZE + 1, "the digits of a SHA-256");

struct cut {
    int fd;
    uint64_t size; /* of the archive */
    uint64_t head; /* where the next header is, at or behind what is cut off */
};

enum hd_code hd_piece_hash(const void *bytes, size_t size,
                           char ret_hash[HD_CHECKPOINT_HASH_SIZE + 1], struct hd_err *err)
{
    struct hd_sha256 *sha;
    enum hd_code code = hd_sha256_new(&sha, err);
    if (code != HD_OK)
        return code;
    hd_sha256_add(sha, bytes, size);
    hd_sha256_end(sha, ret_hash);
    hd_sha256_free(sha);
    return HD_OK;
}

static enum hd_code read_at(int fd, uint64_t offset, void *bytes, size_t size, struct hd_err *err)
{
    char *at = bytes;
    while (size > 0) {
        ssize_t got = pread(fd, at, size, (off_t)offset);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            return hd_fail(err, HD_E_IO, "an archive cannot be read: %s",
                           got < 0 ? strerror(errno) : "it is cut off");
        at += got;
        offset += (uint64_t)got;
        size -= (size_t)got;
    }
    return HD_OK;
}

enum hd_code hd_piece_read(int fd, const struct hd_piece *piece, char *bytes, struct hd_err *err)
{
    return read_at(fd, piece->offset, bytes, piece->size, err);
}

/* The content of the entry whose header is at cut->head, with what fills its last block. */
static enum hd_code read_content_size(const struct cut *cut, uint64_t *ret_size, struct hd_err *err)
{
    char head[BLOCK];
    uint64_t size = 0;
    enum hd_code code = read_at(cut->fd, cut->head, head, sizeof(head), err);
    for (size_t i = 0; code == HD_OK && i < SIZE_DIGITS; i++) {
        unsigned digit = (unsigned char)head[SIZE_AT + i];
        if (digit < '0' || digit > '7')
            break;
        size = size * 8 + (digit - '0');
    }
    uint64_t left = cut->size - cut->head - BLOCK;
    size = (size + BLOCK - 1) / BLOCK * BLOCK;
    *ret_size = size < left ? size : left;
    return code;
}

/* Where the piece that begins at `at` ends. */
static enum hd_code next_end(struct cut *cut, uint64_t at, uint64_t *ret_end, struct hd_err *err)
{
    uint64_t limit = at + HD_CHECKPOINT_PIECE_BYTES;
    enum hd_code code = HD_OK;
    bool inside = cut->head > at; /* of a larger file's content */
    while (!inside && code == HD_OK && cut->head + BLOCK <= cut->size) {
        uint64_t content = 0;
        code = read_content_size(cut, &content, err);
        bool large = content >= HD_PIECES_FILE_MIN;
        uint64_t end = cut->head + BLOCK + (large ? 0 : content);
        if (end > limit)
            break;
        cut->head += BLOCK + content;
        if (large) {
            *ret_end = end;
            return code;
        }
    }
    *ret_end = cut->head < limit ? cut->head : limit;
    if (*ret_end == at) /* what is no block more */
        *ret_end = cut->head = cut->size;
    return code;
}

static enum hd_code add(struct hd_pieces *pieces, const struct hd_piece *piece, struct hd_err *err)
{
    if (pieces->count == HD_CHECKPOINT_PIECES_MAX)
        return hd_fail(err, HD_E_LIMIT, "it is larger than a directory may be that travels");
    if (pieces->count == pieces->capacity) {
        size_t capacity = pieces->capacity > 0 ? 2 * pieces->capacity : 64;
        struct hd_piece *more = hd_realloc(pieces->items, capacity * sizeof(*more));
        if (more == NULL)
            return hd_fail(err, HD_E_NOMEM, "no memory for the pieces of an archive");
        pieces->items = more;
        pieces->capacity = capacity;
    }
    pieces->items[pieces->count++] = *piece;
    pieces->bytes += piece->size;
    return HD_OK;
}

enum hd_code hd_pieces_cut(int fd, struct hd_pieces *ret_pieces, struct hd_err *err)
{
    struct hd_pieces pieces = {0};
    struct stat st;
    char *bytes = hd_malloc(HD_CHECKPOINT_PIECE_BYTES);
    enum hd_code code =
        bytes != NULL ? HD_OK : hd_fail(err, HD_E_NOMEM, "no memory for an archive");
    if (code == HD_OK && fstat(fd, &st) != 0)
        code = hd_fail(err, HD_E_IO, "an archive cannot be read: %s", strerror(errno));
    struct cut cut = {.fd = fd, .size = code == HD_OK ? (uint64_t)st.st_size : 0};
    for (uint64_t at = 0, end = 0; code == HD_OK && at < cut.size; at = end) {
        code = next_end(&cut, at, &end, err);
        struct hd_piece piece = {.offset = at, .size = (size_t)(end - at)};
        if (code == HD_OK)
            code = hd_piece_read(fd, &piece, bytes, err);
        if (code == HD_OK)
            code = hd_piece_hash(bytes, piece.size, piece.hash, err);
        if (code == HD_OK)
            code = add(&pieces, &piece, err);
    }
    hd_free(bytes);
    if (code != HD_OK) {
        hd_pieces_release(&pieces);
        return code;
    }
    *ret_pieces = pieces;
    return HD_OK;
}

void hd_pieces_release(struct hd_pieces *pieces)
{
    hd_free(pieces->items);
    *pieces = (struct hd_pieces){0};
}
