/* SPDX-License-Identifier: Apache-2.0 */
/*
 * context.h: the directory that an image is built from: which files of it, in which order, as a tar
 * archive and as a hash. Links are kept as links and never followed; sockets, FIFOs and devices are
 * left out, as the client of the engine does.
 */
#ifndef HD_ENGINE_CONTEXT_H
#define HD_ENGINE_CONTEXT_H

#include <hd/image.h>

#define HD_IGNORE_BYTES_MAX 65536
#define HD_IGNORE_RULES_MAX 1024

/* .dockerignore: the last rule that fits a path or a directory above it decides. */
struct hd_ignore {
    char *text;   /* what the rules point into */
    char **rules; /* "!" first: this one is sent all the same */
    size_t rule_count;
};
/* HD_E_LIMIT: more than HD_IGNORE_RULES_MAX rules. */
HD_NODISCARD enum hd_code hd_ignore_parse(const char *text, size_t size,
                                          struct hd_ignore *ret_ignore, struct hd_err *err);
void hd_ignore_release(struct hd_ignore *ignore);
/* path: relative, "a/b". */
bool hd_ignore_fits(const struct hd_ignore *ignore, const char *path);

/* fd >= 0: the archive is written there too. */
HD_NODISCARD enum hd_code hd_context_read(const char *directory, const char *dockerfile, int fd,
                                          uint64_t *ret_hash, struct hd_err *err);

#endif
