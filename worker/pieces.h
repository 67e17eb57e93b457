/* SPDX-License-Identifier: Apache-2.0 */
/*
 * pieces.h: an archive of a directory, cut into pieces that are named by their SHA-256. It is cut
 * before and after the content of each larger file, so that a file which did not change has the
 * same pieces wherever it stands, and need not be sent again. Small files go together.
 */
#ifndef HD_PIECES_H
#define HD_PIECES_H

#include <hd/base.h>
#include <hd/checkpoint.h>

#define HD_PIECES_FILE_MIN 65536u /* bytes; smaller files share pieces */

struct hd_piece {
    uint64_t offset;
    size_t size; /* 1 to HD_CHECKPOINT_PIECE_BYTES */
    char hash[HD_CHECKPOINT_HASH_SIZE + 1];
};
struct hd_pieces {
    struct hd_piece *items;
    size_t count, capacity;
    uint64_t bytes;
};

/* fd: a tar archive of our own, read with pread(). HD_E_LIMIT: more than HD_CHECKPOINT_PIECES_MAX;
 * HD_E_IO. */
HD_NODISCARD enum hd_code hd_pieces_cut(int fd, struct hd_pieces *ret_pieces, struct hd_err *err);
void hd_pieces_release(struct hd_pieces *pieces);
/* `bytes`: room for HD_CHECKPOINT_PIECE_BYTES. HD_E_IO also when the archive is shorter by now. */
HD_NODISCARD enum hd_code hd_piece_read(int fd, const struct hd_piece *piece, char *bytes,
                                        struct hd_err *err);
/* The 64 digits of these bytes and a terminator. */
HD_NODISCARD enum hd_code hd_piece_hash(const void *bytes, size_t size,
                                        char ret_hash[HD_CHECKPOINT_HASH_SIZE + 1],
                                        struct hd_err *err);

#endif
