/* SPDX-License-Identifier: Apache-2.0 */
/*
 * log_sink.h: a target's output in a file that stays below a limit: the beginning and the end are
 * kept, the middle is cut with a line that says how much is missing.
 *
 * The file is always plain text in order. When it is full, its last part is moved down to behind
 * the first part, so a byte is copied about twice at most however long the output is. A reader
 * who follows the file sees it shrink then, and reads on from its new end.
 */
#ifndef HD_ENGINE_LOG_SINK_H
#define HD_ENGINE_LOG_SINK_H

#include <hd/base.h>

struct hd_log_sink {
    int fd;            /* -1: closed, everything is swallowed */
    uint64_t head_max; /* bytes of the beginning that are kept for ever */
    uint64_t size_max; /* of the file */
    uint64_t size;
    uint64_t cut;         /* bytes left out so far */
    uint64_t notice_size; /* of the line that says so, 0 none */
};

/* Makes or empties the file; refuses links and whatever is no regular file, since the directory
 * may be one that a target can write. */
HD_NODISCARD enum hd_code hd_log_sink_open(struct hd_log_sink *sink, const char *path,
                                           uint64_t size_max, struct hd_err *err);
/* A full disk loses output, it does not stop the job. */
void hd_log_sink_write(struct hd_log_sink *sink, const char *bytes, size_t size);
void hd_log_sink_close(struct hd_log_sink *sink); /* also twice, and of a closed one */

#endif
