/* SPDX-License-Identifier: Apache-2.0 */
/*
 * checkpoint.h: work directories on their way through a master: one archive, cut into pieces that
 * are named by their SHA-256. What is there already is not sent again, and what was interrupted
 * goes on with the pieces that are missing. The requests are in docs/protocol.md.
 */
#ifndef HD_CHECKPOINT_H
#define HD_CHECKPOINT_H

#include <hd/base.h>

/* In base64, and with all around it, below HD_VIEW_JSON_MAX. */
#define HD_CHECKPOINT_PIECE_BYTES (480u * 1024u)
#define HD_CHECKPOINT_PIECES_MAX 9000u                  /* of one directory: 4.1 GiB */
#define HD_CHECKPOINT_HASH_SIZE 64                      /* hexadecimal digits of a piece's name */
#define HD_CHECKPOINT_BYTES_DEFAULT (UINT64_C(1) << 30) /* of one directory that a worker sends */
#define HD_DEPOT_BYTES_DEFAULT (UINT64_C(8) << 30)      /* of all that a master keeps */
#define HD_HOME_BYTES_DEFAULT (UINT64_C(8) << 30)       /* of files of the best that it keeps */

/* ---- directories as archives ----------------------------------------------------------------- */

/* A directory with all that it holds, from the file's end on: links as links, never followed;
 * sockets, FIFOs and devices are left out. HD_E_LIMIT; HD_E_CONFLICT: a file changed while it was
 * read; HD_E_FULL, HD_E_IO. */
HD_NODISCARD enum hd_code hd_checkpoint_pack(const char *directory, uint64_t bytes_max, int fd,
                                             struct hd_err *err);

/* What an attempt leaves for people, of its directory: names[0], a directory, and files. Nothing
 * else of these names is sent: no link, nothing that a target put there instead. */
#define HD_FILES_NAMES 7
extern const char *const hd_files_names[HD_FILES_NAMES];
/* As hd_checkpoint_pack(), of that alone. */
HD_NODISCARD enum hd_code hd_files_pack(const char *directory, uint64_t bytes_max, int fd,
                                        struct hd_err *err);

/* The same the other way round. The bytes come from elsewhere, so that each name is judged and
 * walked without following a link, and nothing is written outside the directory. */
struct hd_unpacking;
/* `directory` exists, is empty and stays where it is. */
HD_NODISCARD enum hd_code hd_unpacking_open(const char *directory, uint64_t bytes_max,
                                            struct hd_unpacking **ret_unpacking,
                                            struct hd_err *err);
HD_NODISCARD enum hd_code hd_unpacking_feed(struct hd_unpacking *unpacking, const void *bytes,
                                            size_t size, struct hd_err *err);
/* HD_E_CORRUPT: the archive was not at its end. */
HD_NODISCARD enum hd_code hd_unpacking_end(struct hd_unpacking *unpacking, struct hd_err *err);
void hd_unpacking_close(struct hd_unpacking *unpacking); /* also of NULL */

#endif
