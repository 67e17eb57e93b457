/* SPDX-License-Identifier: Apache-2.0 */
/* contract_internal.h: what the files of the contract share. */
#ifndef HD_CONTRACT_INTERNAL_H
#define HD_CONTRACT_INTERNAL_H

#include "contract.h"

#define HD_INCOMING "incoming" /* in the worker's own directory: what is not in its place yet */
#define HD_RUN_DIR_INSIDE "/hyperdock"
#define HD_WORK_DIR_INSIDE "/hyperdock/work"

/* Creates path holding `line` unless it exists, and gives what it holds: of several at the same
 * time, on one machine or several, all get the line of the first. */
HD_NODISCARD enum hd_code hd_claim_line(const char *path, const char *line, char *ret_line,
                                        size_t size, struct hd_err *err);
/* The worker's own directory on this root, whether it is there or not. */
HD_NODISCARD bool hd_seat_path(const struct hd_root *root, const char *worker,
                               char ret_path[HD_PATH_MAX]);
/* Where a copy of a work directory is made: in the worker's own directory, on the same disk. Should
 * it die meanwhile, its next process knows whose it was. Nothing is there yet. */
HD_NODISCARD enum hd_code hd_workspace_make_temporary(const struct hd_root *root,
                                                      const char *worker,
                                                      const struct hd_workspace *workspace,
                                                      char ret_path[HD_PATH_MAX],
                                                      struct hd_err *err);
/* Itself one, and no link to one. */
HD_NODISCARD bool hd_is_directory(const char *path);
/* Makes a directory that the target may write to: as root its user is not known, so everybody
 * may; the work root above it is 0700. */
HD_NODISCARD enum hd_code hd_make_open_dir(const char *path, struct hd_err *err);
/* The modes of files handed to a target. */
mode_t hd_open_file_mode(void);

/* The last bytes of a regular file, 0 when it cannot be read; NULs become '?'. */
size_t hd_log_tail(const char *path, char *bytes, size_t size_max);

#endif
