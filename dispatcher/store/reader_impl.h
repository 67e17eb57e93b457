/* SPDX-License-Identifier: Apache-2.0 */
/* reader_impl.h: what the files of the reader share. */
#ifndef HD_STORE_READER_IMPL_H
#define HD_STORE_READER_IMPL_H

#include <hd/reader.h>

#include "sqlite_rows.h"

struct hd_reader {
    sqlite3 *db;       /* what is examined */
    sqlite3 *original; /* the file itself when db is a migrated copy of it; else NULL */
    int64_t version;
    char path[HD_STORE_PATH_SIZE_MAX];
};

/* All pages of one open connection into another, as of one commit. */
HD_NODISCARD enum hd_code reader_copy_pages(sqlite3 *from, sqlite3 *to, struct hd_err *err);

#endif
