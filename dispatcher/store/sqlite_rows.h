/* SPDX-License-Identifier: Apache-2.0 */
/* sqlite_rows.h: facts to and from SQLite's statements, and what its errors mean. */
#ifndef HD_STORE_SQLITE_ROWS_H
#define HD_STORE_SQLITE_ROWS_H

#include <hd/store.h>
#include <sqlite3.h>

#define HD_STORE_APPLICATION_ID 0x48446b31 /* "HDk1", so that `file` and we know our own */
#define HD_STORE_SCHEMA_VERSION 5
extern const char hd_store_views_sql[]; /* the views of that version */
#define HD_STORE_SQL_MAX 4096           /* bytes of one generated statement */

#define HD_STORE_COLUMNS_COMMON 3 /* seq, wall_ms, run */
/* The value of a fact's column, counted over the common ones and then those of its table; nothing
 * (NULL) beyond them. Texts and doubles are borrowed until the statement is reset. */
void hd_row_give(sqlite3_context *context, const struct hd_fact *fact, int index);
/* The fact of a row of `kind`. Its texts and doubles live until the statement is stepped;
 * `doubles` (HD_SPACE_PARAMS_MAX of them) holds the config's values. HD_E_CORRUPT: not a row
 * that hd_row_give could have made. */
HD_NODISCARD enum hd_code hd_row_read(sqlite3_stmt *statement, enum hd_fact_kind kind,
                                      double *doubles, struct hd_fact *ret_fact,
                                      struct hd_err *err);
/* "INSERT INTO jobs (seq, ...) SELECT c0, ... FROM hd_batch(2)" and "SELECT seq, ... FROM jobs
 * ORDER BY seq". */
HD_NODISCARD enum hd_code hd_row_insert_sql(enum hd_fact_kind kind, struct hd_buf *out,
                                            struct hd_err *err);
HD_NODISCARD enum hd_code hd_row_select_sql(enum hd_fact_kind kind, struct hd_buf *out,
                                            struct hd_err *err);

/* What the connection's last error means to us; `what` was being done. */
enum hd_code hd_sqlite_fail(sqlite3 *db, int code, const char *what, struct hd_err *err);

/* The first column of the first row, which must exist. */
HD_NODISCARD enum hd_code hd_sqlite_number(sqlite3 *db, const char *sql, int64_t *ret_number,
                                           struct hd_err *err);
/* Version of the tables; 0: an empty file. HD_E_CORRUPT: not ours; HD_E_VERSION: too new. */
HD_NODISCARD enum hd_code hd_sqlite_version(sqlite3 *db, int64_t *ret_version, struct hd_err *err);

/* Brings the tables of `version` (0: none) up to HD_STORE_SCHEMA_VERSION. */
HD_NODISCARD enum hd_code hd_sqlite_migrate(sqlite3 *db, int64_t version, struct hd_err *err);
/* hd_store_load() over any connection, in the transaction that it is in. *ret_last_seq: of the last
 * fact that `each` took, also on failure. */
HD_NODISCARD enum hd_code hd_sqlite_load(sqlite3 *db, hd_fact_fn each, void *context,
                                         uint64_t *ret_last_seq, struct hd_err *err);

/* ---- sqlite_batch.c ---------------------------------------------------------------------------
 */

/* What hd_batch(kind) shows: the facts of that kind in order, one a row, columns c0, c1 ... */
struct hd_sqlite_batch {
    const struct hd_fact *facts;
    size_t fact_count;
    uint64_t last_seq; /* of the fact that was read last: an error speaks of it */
};
/* The batch is borrowed until the connection is closed. */
HD_NODISCARD enum hd_code hd_sqlite_batch_register(sqlite3 *db, struct hd_sqlite_batch *batch,
                                                   struct hd_err *err);

/* ---- sqlite_open.c ----------------------------------------------------------------------------
 */

#define HD_STORE_PATH_SIZE_MAX 4096
/* `path` is a state directory or the file in it; HD_E_NOTFOUND. ret_path: HD_STORE_PATH_SIZE_MAX.
 */
HD_NODISCARD enum hd_code hd_sqlite_find_file(const char *path, char *ret_path, struct hd_err *err);
/* Read-only, beside a master too. *ret_db is for sqlite3_close() also on failure. HD_E_NOTFOUND: an
 * empty file. */
HD_NODISCARD enum hd_code hd_sqlite_open_for_reading(const char *path, sqlite3 **ret_db,
                                                     struct hd_err *err);

#endif
