/* SPDX-License-Identifier: Apache-2.0 */
/* walk.h: the files of an attempt's directory that are to be shipped. Private to this room. */
#ifndef HD_ARTIFACTS_WALK_H
#define HD_ARTIFACTS_WALK_H

#include <hd/artifacts.h>

/* What tells one content of a file from another without reading it. */
struct hd_stamp {
    uint64_t size, inode;
    int64_t mtime_ns;
};
bool hd_stamp_equal(const struct hd_stamp *a, const struct hd_stamp *b);

struct hd_walk_file {
    char *path; /* in the attempt's directory */
    struct hd_stamp stamp;
};
struct hd_left_out {
    char *path;
    char *why;
};
struct hd_walk {
    struct hd_walk_file *files; /* by path */
    size_t count, capacity;
    struct hd_left_out *left_out; /* at most HD_ARTIFACT_LEFT_OUT_MAX */
    size_t left_out_count;        /* named */
    uint64_t left_out_more;       /* not named */
};
/*
 * All regular files that the patterns choose, links not followed. HD_E_NOTFOUND: the directory is
 * gone. `bytes_max` is of all files together.
 */
HD_NODISCARD enum hd_code hd_walk_directory(const char *run_dir,
                                            const struct hd_artifacts_spec *spec,
                                            uint64_t bytes_max, struct hd_walk *ret_walk,
                                            struct hd_err *err);
void hd_walk_release(struct hd_walk *walk);
/* A file that is there and is not shipped, and why. */
void hd_walk_leave_out(struct hd_walk *walk, const char *path, const char *why);

/* Opens what the walk found. HD_E_BUSY: it is not there any more, or no regular file. */
HD_NODISCARD enum hd_code hd_walk_open(const char *run_dir, const char *path, int *ret_fd,
                                       struct hd_stamp *ret_stamp, struct hd_err *err);
/*
 * Nobody has it open for writing: the kernel grants a read lease (fcntl(2), F_SETLEASE) on such a
 * file alone, whichever container the writer is in. Where there are no leases (NFS), and for a file
 * of another user without the right to, the answer is no.
 */
bool hd_walk_is_closed(int fd);

#endif
