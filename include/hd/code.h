/* SPDX-License-Identifier: Apache-2.0 */
/*
 * code.h: a directory of files that goes with a run's jobs (`target.code`).
 *
 * It is known by the SHA-256 of its archive, which is the same for the same files, whoever packs
 * them and when: names, links, contents, and whether a file may be run. Whoever starts a run keeps
 * the archive beside the master's store; workers fetch it from there, check it against the hash,
 * and unpack it once.
 */
#ifndef HD_CODE_H
#define HD_CODE_H

#include <hd/experiment.h>

#define HD_CODE_IGNORE ".hdignore" /* what is left out, with the rules of .dockerignore */
#define HD_CODE_ENTRIES_MAX 20000  /* files, links and directories */
#define HD_CODE_BYTES_MAX (256u << 20)
/* Heads, padding and long names come with each entry. */
#define HD_CODE_ARCHIVE_BYTES_MAX (HD_CODE_BYTES_MAX + UINT64_C(12) * 1024 * HD_CODE_ENTRIES_MAX)
#define HD_CODE_HASH_SIZE 65 /* digits of a SHA-256, terminator included */

/* HD_E_NOTFOUND: no directory; HD_E_LIMIT; HD_E_CONFLICT: a file changed while it was read. */
HD_NODISCARD enum hd_code hd_code_hash(const char *directory, char ret_hash[HD_CODE_HASH_SIZE],
                                       struct hd_err *err);
/* Reads the directory of target->code, which stands in for one whose hash is not known yet. Nothing
 * without code. */
HD_NODISCARD enum hd_code hd_code_read(struct hd_target *target, struct hd_err *err);
/* Keeps the archive of target->code beside a store; what is there already stays. HD_E_CONFLICT:
 * the directory holds something else by now than the hash says. Nothing without code. */
HD_NODISCARD enum hd_code hd_code_keep(const char *store_path, const struct hd_target *target,
                                       struct hd_err *err);
/* Where that archive is. HD_E_LIMIT: too long. */
HD_NODISCARD enum hd_code hd_code_archive_path(const char *store_path, const char *hash,
                                               char *ret_path, size_t path_size,
                                               struct hd_err *err);
/* Checks an archive against its hash and unpacks it: `directory` is there afterwards whole, for
 * reading only, its owner that of the directory above, or not at all. One that is there stays.
 * HD_E_CORRUPT: it is another archive. */
HD_NODISCARD enum hd_code hd_code_unpack(const char *archive, const char *hash,
                                         const char *directory, struct hd_err *err);

#endif
