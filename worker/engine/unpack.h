/* SPDX-License-Identifier: Apache-2.0 */
/*
 * unpack.h: an archive that comes from an engine, put below a directory of ours.
 *
 * Each name is walked from that directory through descriptors and follows no link, also none that
 * the archive made itself: nothing is written anywhere else. Links are kept as they are, devices,
 * FIFOs and sockets are left out, and rights beyond those of files (setuid and the like) are taken
 * away. Bounds are those of tar.h and of the caller.
 */
#ifndef HD_ENGINE_UNPACK_H
#define HD_ENGINE_UNPACK_H

#include "tar.h"

struct hd_unpack {
    int root_fd;
    const char *prefix; /* first name of every entry, which is left off; "" none */
    int fd;             /* of the file that comes; -1 none */
    int64_t mtime;
    struct hd_tar_reader reader;
};

/* `directory` exists and stays where it is. */
HD_NODISCARD enum hd_code hd_unpack_open(struct hd_unpack *unpack, const char *directory,
                                         const char *prefix, uint64_t bytes_max,
                                         uint64_t entries_max, struct hd_err *err);
/* Also of one that could not be opened. */
void hd_unpack_close(struct hd_unpack *unpack);
/* Bytes go to hd_tar_reader_feed(&unpack->reader). */

#endif
