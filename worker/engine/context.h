/* SPDX-License-Identifier: Apache-2.0 */
/*
 * context.h: the directory that an image is built from: which files of it, in which order, as a tar
 * archive and as a hash; and directories that are sent into containers. Links are kept as links and
 * never followed; sockets, FIFOs and devices are left out, as the client of the engine does.
 */
#ifndef HD_ENGINE_CONTEXT_H
#define HD_ENGINE_CONTEXT_H

#include <hd/code.h>
#include <hd/image.h>
#include <hd/pki.h>

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

/* Code as an archive, whose bytes are added to `sha`: the same for the same files, whoever has them
 * and since when. fd >= 0: it is written there too. */
HD_NODISCARD enum hd_code hd_context_pack_code(const char *directory, int fd, struct hd_sha256 *sha,
                                               struct hd_err *err);

/* ---- archives for containers ------------------------------------------------------------------
 */

/* A directory with all that it holds, links as links, as the same in a container: what its owner
 * may, everybody may there. */
struct hd_pack_tree {
    const char *directory;
    const char *name;      /* in the archive: "hyperdock/work" */
    const char *leave_out; /* a name in the directory that is not sent; NULL none */
    /* Of what is directly in it, what is sent; NULL all. */
    bool (*takes)(const char *name, bool is_directory, bool is_file);
    bool for_owner;    /* rights stay as they are */
    unsigned uid, gid; /* whose it is there */
    uint64_t bytes_max;
};
/* Appends to an archive; HD_E_LIMIT, HD_E_CONFLICT: a file changed while it was read. */
HD_NODISCARD enum hd_code hd_pack_tree(const struct hd_pack_tree *tree, int fd, struct hd_err *err);
/* name and to: below 100 bytes. */
HD_NODISCARD enum hd_code hd_pack_link(const char *name, const char *to, int fd,
                                       struct hd_err *err);
HD_NODISCARD enum hd_code hd_pack_end(int fd, struct hd_err *err);

#endif
