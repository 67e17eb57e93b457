/* SPDX-License-Identifier: Apache-2.0 */
/* depot_internal.h: the depot's own parts. depot.c takes and gives; depot_room.c knows the files,
 * how many bytes they are, and which go when there is no room. */
#ifndef HD_DISPATCHER_DEPOT_INTERNAL_H
#define HD_DISPATCHER_DEPOT_INTERNAL_H

#include "depot.h"

#define PATH_SIZE 4096
#define FILE_SIZE (PATH_SIZE + 300)
#define LIST_NAME "list"
#define DIGITS "0123456789abcdef"

/* One config's directory here. */
struct copy {
    struct hd_depot_place place;
    struct hd_attempt_ref whole;   /* whose directory it is; attempt 0: it is not whole */
    struct hd_attempt_ref offered; /* whose directory came last, or comes; attempt 0: none */
    uint64_t bytes;                /* of the pieces that are there, another copy's too or not */
    uint64_t size;                 /* of the archive that was offered last; 0: none in this life */
    int64_t used;                  /* rises: the lowest was not touched for longest */
    unsigned unread;               /* times in a row that the disk failed to read unread_name */
    char unread_name[HD_CHECKPOINT_HASH_SIZE + 1]; /* a piece's, or the list's */
};

struct hd_depot {
    char directory[PATH_SIZE];
    struct hd_depot_settings settings;
    struct copy *copies;
    size_t count, capacity;
    uint64_t bytes; /* that the disk holds: a piece of several copies counts once */
    int64_t used;   /* the highest of all */
};

/* ---- the files of a copy --------------------------------------------------------------------- */

/* name: of a file in it; "" its directory. */
HD_NODISCARD enum hd_code depot_place_path(const struct hd_depot *depot,
                                           struct hd_depot_place place, const char *name,
                                           char ret_path[FILE_SIZE], struct hd_err *err);
/* HD_E_INVALID: hash, of which the first digits are read, is no piece's name. */
HD_NODISCARD enum hd_code depot_piece_path(const struct hd_depot *depot,
                                           struct hd_depot_place place, const char *hash,
                                           char ret_path[FILE_SIZE], struct hd_err *err);
uint64_t depot_size_of(const char *path); /* 0: no regular file */

/* ---- the index and its bytes ----------------------------------------------------------------- */

struct copy *depot_find(const struct hd_depot *depot, struct hd_depot_place place); /* or NULL */
/* The one that is there, or a new one; it stays where it is until the next add or removal. */
HD_NODISCARD enum hd_code depot_add(struct hd_depot *depot, struct hd_depot_place place,
                                    struct copy **ret_copy, struct hd_err *err);
/* A file of its pieces has come, or (shared) a second name of another copy's. */
void depot_count_piece(struct hd_depot *depot, struct copy *copy, uint64_t bytes, bool shared);
/* All that `path`, its directory, holds; what a process that died was writing goes. */
void depot_count_all(struct hd_depot *depot, struct copy *copy, const char *path);

/* ---- removing -------------------------------------------------------------------------------- */

void depot_unlink_piece(struct hd_depot *depot, struct copy *copy, const char *hash);
/* The pieces of earlier copies. What stays for want of memory goes the next time. */
void depot_remove_unlisted(struct hd_depot *depot, struct copy *copy, const char *pieces);
/* Its last neighbour takes its place in the index. */
void depot_remove_copy(struct hd_depot *depot, struct copy *copy);
/* What nobody needs goes, the oldest first, but nothing of `place`: it has pieces in common with
 * what comes. False: that is not enough for so many bytes more. */
bool depot_make_room(struct hd_depot *depot, struct hd_depot_place place, uint64_t bytes);

#endif
