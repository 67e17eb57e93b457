/* SPDX-License-Identifier: Apache-2.0 */
/* os_internal.h: what the files of this folder share. */
#ifndef HD_OS_INTERNAL_H
#define HD_OS_INTERNAL_H

#include <hd/os.h>

/* As hd_file_write_atomic(); the file keeps the owner that it has, and nothing changes when we may
 * not give it to that user. */
HD_NODISCARD enum hd_code hd_file_write_as_before(const char *path, const void *bytes, size_t size,
                                                  mode_t mode, struct hd_err *err);
/* The directory part of path as an allocated text ("." when there is none); NULL without memory. */
char *hd_path_directory(const char *path);
/* Writes all of it, through short writes and interruptions; false leaves errno. */
bool hd_write_all(int fd, const void *bytes, size_t size);
/* Where PATH has this program. */
bool hd_search_path(const char *name, char *ret_path, size_t path_size);

#endif
