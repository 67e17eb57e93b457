/* SPDX-License-Identifier: Apache-2.0 */
/*
 * stash.h: pieces of directories that are on their way here, kept on this disk until the whole
 * directory is there: a fetch that ended in the middle of it (the network, the master, or this
 * process) goes on with what is missing. A piece is taken for what it is called only when its
 * SHA-256 says so, each time: nothing is synced, and a power cut leaves what it likes.
 *
 * It never takes room that jobs need: beyond its bounds nothing is kept, and a fetch that ends has
 * to begin anew. Owned by one thread at a time.
 */
#ifndef HD_STASH_H
#define HD_STASH_H

#include "contract.h"

#include <hd/checkpoint.h>

#define HD_STASH_KEPT_MS 3600000 /* after its last use nobody is expected to come for a piece */
#define HD_STASH_BYTES_MAX ((uint64_t)HD_CHECKPOINT_PIECES_MAX * HD_CHECKPOINT_PIECE_BYTES)

struct hd_stash {
    char path[HD_PATH_MAX]; /* "": nothing is kept */
    uint64_t bytes;
    uint64_t (*free_bytes)(const char *directory); /* on the disk of that directory */
};

/* In the worker's own directory; what an earlier process left there is of use. */
void hd_stash_open(struct hd_stash *stash, const char *state_dir,
                   uint64_t (*free_bytes)(const char *directory));
/* Removes what is too old, and what is no piece; counts the rest. */
void hd_stash_tidy(struct hd_stash *stash);
/* Keeps it, when there is room: as much as all pieces take stays free. */
void hd_stash_keep(struct hd_stash *stash, const char *hash, const void *bytes, size_t size);
/* True: it is here and what its name says, and has been appended to `bytes`. */
bool hd_stash_find(struct hd_stash *stash, const char *hash, struct hd_buf *bytes);
/* The pieces that this list names (one after another) are of no use any more. */
void hd_stash_drop(struct hd_stash *stash, const char *pieces);
/* All of them, of a worker that leaves. */
void hd_stash_remove(const char *state_dir);

#endif
