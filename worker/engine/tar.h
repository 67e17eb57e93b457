/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tar.h: an archive (POSIX ustar with pax headers) as it comes, in pieces of any size. Pure: what
 * an entry is turned into is its handler's affair.
 *
 * What stands in an archive was put there by a target, so all of it is judged: names are relative
 * and lead nowhere above, numbers are octal digits, sums are right, and there is an end. Anything
 * else is HD_E_CORRUPT, and more than the limits allow is HD_E_LIMIT. Files with holes that are not
 * written out, and sizes in base 256, are refused: neither Docker nor Podman makes them.
 */
#ifndef HD_ENGINE_TAR_H
#define HD_ENGINE_TAR_H

#include <hd/base.h>

#define HD_TAR_BLOCK 512
#define HD_TAR_PATH_MAX 4096        /* bytes of a name, its end included */
#define HD_TAR_DEPTH_MAX 64         /* directories above one another */
#define HD_TAR_EXTRA_MAX (1u << 20) /* of a pax header: extended attributes stand there too */

enum hd_tar_kind {
    HD_TAR_FILE,
    HD_TAR_DIRECTORY,
    HD_TAR_SYMLINK,  /* `link` is its text, whatever that says */
    HD_TAR_HARDLINK, /* `link` is the name of an entry, judged as names are */
    HD_TAR_OTHER,    /* a device, a FIFO */
};

struct hd_tar_entry {
    enum hd_tar_kind kind;
    char path[HD_TAR_PATH_MAX]; /* "a/b", without "./" and a last "/"; "" the archive's root */
    char link[HD_TAR_PATH_MAX];
    unsigned mode; /* the lower twelve bits */
    uint64_t size; /* of a file; otherwise 0 */
    int64_t mtime; /* seconds since 1970 */
};

/* A code that is not HD_OK ends the reading with it. */
struct hd_tar_handler {
    enum hd_code (*entry)(void *context, const struct hd_tar_entry *entry, struct hd_err *err);
    /* The next bytes of the file that was told last, also when there are none of them: then size is
     * 0, once. `last`: the file is whole. */
    enum hd_code (*content)(void *context, const char *bytes, size_t size, bool last,
                            struct hd_err *err);
    void *context;
};

enum hd_tar_state { HD_TAR_HEAD, HD_TAR_CONTENT, HD_TAR_EXTRA, HD_TAR_PASS, HD_TAR_ENDED };

struct hd_tar_reader {
    struct hd_tar_handler handler;
    uint64_t bytes_max, entries_max;
    enum hd_code code; /* of the first failure; the reader is useless from then on */
    struct hd_err err;
    enum hd_tar_state state;
    char head[HD_TAR_BLOCK];
    size_t head_used;
    uint64_t left, padding; /* bytes to come of what the state names, and after it */
    uint64_t bytes, entries;
    struct hd_buf extra;
    bool extra_is_global; /* a header that holds for all entries: nothing of it is of use */
    struct hd_tar_entry next;
    bool has_path, has_link, has_size; /* what an extra header said of the next entry */
    uint64_t next_size;
};

/* bytes_max: of all files together. The handler outlives the reader. */
void hd_tar_reader_init(struct hd_tar_reader *reader, const struct hd_tar_handler *handler,
                        uint64_t bytes_max, uint64_t entries_max);
void hd_tar_reader_release(struct hd_tar_reader *reader);
/* After a failure it takes no more and says the same again. */
HD_NODISCARD enum hd_code hd_tar_reader_feed(struct hd_tar_reader *reader, const char *bytes,
                                             size_t size, struct hd_err *err);
/* Nothing more comes: HD_E_CORRUPT when the archive was not at its end. */
HD_NODISCARD enum hd_code hd_tar_reader_end(struct hd_tar_reader *reader, struct hd_err *err);

/* Cleans a name as it stands in an archive, in place; false: it is absolute, leads above, is too
 * deep or holds no name. */
HD_NODISCARD bool hd_tar_clean_path(char *path);

#endif
