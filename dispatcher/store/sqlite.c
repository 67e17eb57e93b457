/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sqlite.c: one file a state directory, WAL, synchronous=FULL, one transaction an append.
 *
 * The connection is used by one thread (SQLITE_OPEN_NOMUTEX). After an I/O error nobody knows
 * what the disk holds: the store then refuses everything and the process restores.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include <hd/os.h>

#include "impl.h"
#include "rows.h"
#include "sqlite_rows.h"

#define BUSY_MS 10000 /* at opening: somebody's shell with an open transaction */
#define APPEND_BUSY_MS                                                                             \
    500 /* later whoever appends tries again, and may be told to stop meanwhile */

extern const char hd_store_schema_sql[], hd_store_schema_2_sql[], hd_store_schema_3_sql[],
    hd_store_schema_4_sql[], hd_store_schema_5_sql[];
/* scripts[n] brings version n to n + 1; the last one drops the views, which are then made anew. */
static const char *const scripts[HD_STORE_SCHEMA_VERSION] = {
    hd_store_schema_sql, hd_store_schema_2_sql, hd_store_schema_3_sql, hd_store_schema_4_sql,
    hd_store_schema_5_sql};

struct sqlite_store {
    struct hd_store base;
    sqlite3 *db;
    struct hd_lock_file *lock;
    sqlite3_stmt *begin, *commit, *rollback;
    sqlite3_stmt *inserts[HD_FACT_KIND_COUNT];
    struct hd_sqlite_batch batch; /* what they read */
    bool broken;
};

static struct sqlite_store *of_base(struct hd_store *store)
{
    return (struct sqlite_store *)(void *)store;
}

static void sqlite_close(struct hd_store *base)
{
    struct sqlite_store *store = of_base(base);
    sqlite3_finalize(store->begin);
    sqlite3_finalize(store->commit);
    sqlite3_finalize(store->rollback);
    for (size_t i = 0; i < HD_FACT_KIND_COUNT; i++)
        sqlite3_finalize(store->inserts[i]);
    int code = sqlite3_close(store->db);
    hd_assert(code == SQLITE_OK); /* anything else is a statement we forgot */
    hd_lock_file_release(store->lock);
    hd_free(store);
}

/* ---- append -----------------------------------------------------------------------------------
 */

/* Steps a statement without rows and makes it ready for the next use. */
static int run_once(sqlite3_stmt *statement)
{
    int code = sqlite3_step(statement);
    (void)sqlite3_reset(statement); /* repeats the code of step */
    return code == SQLITE_DONE || code == SQLITE_ROW ? SQLITE_OK : code;
}

/* The kinds stand in the order in which they refer to one another. */
static enum hd_code insert_all(struct sqlite_store *store, const struct hd_fact *facts,
                               size_t fact_count, struct hd_err *err)
{
    bool has[HD_FACT_KIND_COUNT] = {false};
    for (size_t i = 0; i < fact_count; i++)
        has[facts[i].kind] = true;
    store->batch = (struct hd_sqlite_batch){.facts = facts, .fact_count = fact_count};
    for (size_t kind = 0; kind < HD_FACT_KIND_COUNT; kind++) {
        int code = has[kind] ? run_once(store->inserts[kind]) : SQLITE_OK;
        if (code == SQLITE_OK)
            continue;
        enum hd_code failed =
            hd_sqlite_fail(store->db, code, hd_table_of((enum hd_fact_kind)kind)->name, err);
        (void)hd_fail_in(err, "fact %llu", (unsigned long long)store->batch.last_seq);
        return failed;
    }
    return HD_OK;
}

/* After a failure SQLite has rolled back by itself or must be told to. */
static void roll_back(struct sqlite_store *store)
{
    if (sqlite3_get_autocommit(store->db) == 0 && run_once(store->rollback) != SQLITE_OK &&
        sqlite3_get_autocommit(store->db) == 0)
        store->broken = true;
}

static enum hd_code append_in_transaction(struct sqlite_store *store, const struct hd_fact *facts,
                                          size_t fact_count, struct hd_err *err)
{
    int code = run_once(store->begin);
    if (code != SQLITE_OK)
        return hd_sqlite_fail(store->db, code, "begin", err);
    enum hd_code failed = insert_all(store, facts, fact_count, err);
    if (failed != HD_OK)
        return failed;
    code = run_once(store->commit);
    return code == SQLITE_OK ? HD_OK : hd_sqlite_fail(store->db, code, "commit", err);
}

static enum hd_code sqlite_append(struct hd_store *base, const struct hd_fact *facts,
                                  size_t fact_count, struct hd_err *err)
{
    struct sqlite_store *store = of_base(base);
    struct hd_err spare;
    err = err != NULL ? err : &spare;
    if (store->broken)
        return hd_fail(
            err, HD_E_IO,
            "the store failed before: close it, then open it again to see what it holds");
    enum hd_code code = append_in_transaction(store, facts, fact_count, err);
    store->batch = (struct hd_sqlite_batch){.fact_count = 0}; /* they were lent */
    if (code == HD_OK)
        return HD_OK;
    if (code == HD_E_IO || code == HD_E_CORRUPT)
        store->broken = true;
    roll_back(store);
    return code;
}

/* ---- load: merge the tables by seq ------------------------------------------------------------
 */

struct merge {
    sqlite3 *db;
    double *doubles;
    sqlite3_stmt *cursors[HD_FACT_KIND_COUNT];
    int64_t seq[HD_FACT_KIND_COUNT]; /* of the row that each stands on; INT64_MAX: at its end */
};

static enum hd_code advance(struct merge *merge, size_t kind, struct hd_err *err)
{
    int code = sqlite3_step(merge->cursors[kind]);
    merge->seq[kind] =
        code == SQLITE_ROW ? sqlite3_column_int64(merge->cursors[kind], 0) : INT64_MAX;
    if (code == SQLITE_ROW || code == SQLITE_DONE)
        return HD_OK;
    return hd_sqlite_fail(merge->db, code, hd_table_of((enum hd_fact_kind)kind)->name, err);
}

static enum hd_code prepare(sqlite3 *db, const char *sql, unsigned flags, sqlite3_stmt **ret,
                            struct hd_err *err)
{
    int code = sqlite3_prepare_v3(db, sql, -1, flags, ret, NULL);
    return code == SQLITE_OK ? HD_OK : hd_sqlite_fail(db, code, sql, err);
}

static enum hd_code open_cursors(struct merge *merge, struct hd_err *err)
{
    struct hd_buf sql;
    hd_buf_init(&sql, HD_STORE_SQL_MAX);
    enum hd_code code = HD_OK;
    for (size_t kind = 0; kind < HD_FACT_KIND_COUNT && code == HD_OK; kind++) {
        hd_buf_clear(&sql);
        code = hd_row_select_sql((enum hd_fact_kind)kind, &sql, err);
        if (code == HD_OK)
            code = prepare(merge->db, hd_buf_text(&sql), 0, &merge->cursors[kind], err);
        if (code == HD_OK)
            code = advance(merge, kind, err);
    }
    hd_buf_release(&sql);
    return code;
}

/* The table whose next row has the lowest seq; HD_FACT_KIND_COUNT when all are read. */
static size_t lowest(const struct merge *merge)
{
    size_t best = 0;
    for (size_t kind = 1; kind < HD_FACT_KIND_COUNT; kind++)
        if (merge->seq[kind] < merge->seq[best])
            best = kind;
    return merge->seq[best] != INT64_MAX ? best : HD_FACT_KIND_COUNT;
}

static enum hd_code merge_all(struct merge *merge, hd_fact_fn each, void *context,
                              uint64_t *last_seq, struct hd_err *err)
{
    for (size_t kind = lowest(merge); kind != HD_FACT_KIND_COUNT; kind = lowest(merge)) {
        struct hd_fact fact;
        enum hd_code code =
            hd_row_read(merge->cursors[kind], (enum hd_fact_kind)kind, merge->doubles, &fact, err);
        if (code == HD_OK && fact.seq != *last_seq + 1)
            code = hd_fail(err, HD_E_CORRUPT, "fact %llu is missing: %llu follows %llu",
                           (unsigned long long)(*last_seq + 1), (unsigned long long)fact.seq,
                           (unsigned long long)*last_seq);
        if (code == HD_OK)
            code = each(context, &fact, err);
        if (code != HD_OK)
            return code;
        *last_seq = fact.seq;
        code = advance(merge, kind, err);
        if (code != HD_OK)
            return code;
    }
    return HD_OK;
}

enum hd_code hd_sqlite_load(sqlite3 *db, hd_fact_fn each, void *context, uint64_t *ret_last_seq,
                            struct hd_err *err)
{
    struct merge merge = {.db = db};
    *ret_last_seq = 0;
    merge.doubles = hd_calloc(HD_SPACE_PARAMS_MAX, sizeof(double));
    if (merge.doubles == NULL)
        return hd_fail(err, HD_E_NOMEM, "no memory to read facts");
    enum hd_code code = open_cursors(&merge, err);
    if (code == HD_OK)
        code = merge_all(&merge, each, context, ret_last_seq, err);
    for (size_t kind = 0; kind < HD_FACT_KIND_COUNT; kind++)
        sqlite3_finalize(merge.cursors[kind]);
    hd_free(merge.doubles);
    return code;
}

static enum hd_code sqlite_load(struct hd_store *base, hd_fact_fn each, void *context,
                                struct hd_err *err)
{
    struct sqlite_store *store = of_base(base);
    uint64_t last_seq = 0;
    /* One transaction: all tables as of the same commit. */
    int begun = sqlite3_exec(store->db, "BEGIN", NULL, NULL, NULL);
    enum hd_code code = HD_OK;
    if (begun != SQLITE_OK)
        code = hd_sqlite_fail(store->db, begun, "begin", err);
    if (code == HD_OK)
        code = hd_sqlite_load(store->db, each, context, &last_seq, err);
    roll_back(store);
    if (code == HD_OK && last_seq != store->base.last_seq)
        return hd_fail(err, HD_E_CORRUPT, "the facts end with %llu, %llu were stored",
                       (unsigned long long)last_seq, (unsigned long long)store->base.last_seq);
    return code;
}

static const struct hd_store_ops sqlite_ops = {
    .close = sqlite_close,
    .append = sqlite_append,
    .load = sqlite_load,
};

/* ---- open -------------------------------------------------------------------------------------
 */

static enum hd_code execute(sqlite3 *db, const char *sql, struct hd_err *err)
{
    int code = sqlite3_exec(db, sql, NULL, NULL, NULL);
    return code == SQLITE_OK ? HD_OK : hd_sqlite_fail(db, code, sql, err);
}

/* Every step in its own transaction, so that a crash leaves a whole version. */
enum hd_code hd_sqlite_migrate(sqlite3 *db, int64_t version, struct hd_err *err)
{
    enum hd_code code = HD_OK;
    for (; version < HD_STORE_SCHEMA_VERSION && code == HD_OK; version++) {
        char stamp[128];
        bool fits = hd_format(stamp, sizeof(stamp),
                              "PRAGMA application_id = %d; PRAGMA user_version = %lld; COMMIT",
                              HD_STORE_APPLICATION_ID, (long long)version + 1);
        hd_assert(fits);
        code = execute(db, "BEGIN IMMEDIATE", err);
        if (code == HD_OK) {
            int failed = sqlite3_exec(db, scripts[version], NULL, NULL, NULL);
            if (failed == SQLITE_OK && version + 1 == HD_STORE_SCHEMA_VERSION)
                failed = sqlite3_exec(db, hd_store_views_sql, NULL, NULL, NULL);
            if (failed != SQLITE_OK)
                code = hd_sqlite_fail(db, failed, "making the tables", err);
        }
        if (code == HD_OK)
            code = execute(db, stamp, err);
    }
    return code;
}

static enum hd_code read_last_seq(sqlite3 *db, uint64_t *ret_last_seq, struct hd_err *err)
{
    int64_t last_seq = 0;
    for (size_t kind = 0; kind < HD_FACT_KIND_COUNT; kind++) {
        char sql[128];
        int64_t seq = 0;
        bool fits = hd_format(sql, sizeof(sql), "SELECT coalesce(max(seq), 0) FROM %s",
                              hd_table_of((enum hd_fact_kind)kind)->name);
        hd_assert(fits);
        enum hd_code code = hd_sqlite_number(db, sql, &seq, err);
        if (code != HD_OK)
            return code;
        last_seq = seq > last_seq ? seq : last_seq;
    }
    *ret_last_seq = (uint64_t)last_seq;
    return HD_OK;
}

static enum hd_code prepare_all(struct sqlite_store *store, struct hd_err *err)
{
    const unsigned flags = SQLITE_PREPARE_PERSISTENT;
    enum hd_code code = prepare(store->db, "BEGIN IMMEDIATE", flags, &store->begin, err);
    if (code == HD_OK)
        code = prepare(store->db, "COMMIT", flags, &store->commit, err);
    if (code == HD_OK)
        code = prepare(store->db, "ROLLBACK", flags, &store->rollback, err);
    struct hd_buf sql;
    hd_buf_init(&sql, HD_STORE_SQL_MAX);
    for (size_t kind = 0; kind < HD_FACT_KIND_COUNT && code == HD_OK; kind++) {
        hd_buf_clear(&sql);
        code = hd_row_insert_sql((enum hd_fact_kind)kind, &sql, err);
        if (code == HD_OK)
            code = prepare(store->db, hd_buf_text(&sql), flags, &store->inserts[kind], err);
    }
    hd_buf_release(&sql);
    return code;
}

/* The file may hold an experiment's environment: only its owner may read it. SQLite gives its
 * side files the same mode. */
static enum hd_code create_private(const char *path, struct hd_err *err)
{
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0)
        return hd_fail(err, errno == ENOSPC || errno == EDQUOT ? HD_E_FULL : HD_E_IO,
                       "cannot open or create: %s", strerror(errno));
    close(fd);
    return HD_OK;
}

/* Answers with the mode it could have: some file systems cannot map the index of a WAL. */
static enum hd_code use_wal(sqlite3 *db, struct hd_err *err)
{
    sqlite3_stmt *statement = NULL;
    enum hd_code code = prepare(db, "PRAGMA journal_mode = WAL", 0, &statement, err);
    if (code != HD_OK)
        return code;
    int step = sqlite3_step(statement);
    if (step != SQLITE_ROW)
        code = hd_sqlite_fail(db, step, "journal_mode = WAL", err);
    else if (sqlite3_stricmp((const char *)sqlite3_column_text(statement, 0), "wal") != 0)
        code = hd_fail(err, HD_E_UNSUPPORTED,
                       "this file system cannot hold a write-ahead log: put the state directory "
                       "on a local disk");
    sqlite3_finalize(statement);
    return code;
}

static enum hd_code configure(sqlite3 *db, struct hd_err *err)
{
    enum hd_code code = use_wal(db, err);
    if (code != HD_OK)
        return code;
    return execute(db,
                   "PRAGMA synchronous = FULL;"
                   "PRAGMA foreign_keys = OFF;" /* hd fsck checks them */
                   "PRAGMA cell_size_check = ON;"
                   "PRAGMA trusted_schema = OFF",
                   err);
}

static enum hd_code open_db(struct sqlite_store *store, const char *path, struct hd_err *err)
{
    enum hd_code code = create_private(path, err);
    if (code != HD_OK)
        return code;
    int opened =
        sqlite3_open_v2(path, &store->db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX, NULL);
    if (opened != SQLITE_OK)
        return hd_sqlite_fail(store->db, opened, "open", err);
    int64_t version = 0;
    (void)sqlite3_extended_result_codes(store->db, 1);
    (void)sqlite3_busy_timeout(store->db, BUSY_MS);
    code = hd_sqlite_version(store->db, &version, err); /* before anything is written */
    if (code == HD_OK)
        code = configure(store->db, err);
    if (code == HD_OK)
        code = hd_sqlite_migrate(store->db, version, err);
    if (code == HD_OK)
        code = read_last_seq(store->db, &store->base.last_seq, err);
    if (code == HD_OK)
        code = hd_sqlite_batch_register(store->db, &store->batch, err);
    if (code == HD_OK)
        code = prepare_all(store, err);
    if (code == HD_OK)
        (void)sqlite3_busy_timeout(store->db, APPEND_BUSY_MS);
    return code;
}

static enum hd_code take_lock(struct sqlite_store *store, const char *path, struct hd_err *err)
{
    struct hd_buf lock_path;
    hd_buf_init(&lock_path, 4096);
    enum hd_code code = hd_buf_printf(&lock_path, err, "%s-lock", path);
    if (code == HD_OK &&
        (code = hd_lock_file_take(hd_buf_text(&lock_path), &store->lock, err)) == HD_E_BUSY)
        (void)hd_fail_in(err, "another master serves this state (hd submit adds a run to it; stop "
                              "it to serve the state with this one)");
    hd_buf_release(&lock_path);
    return code;
}

enum hd_code hd_store_open_sqlite(const char *path, struct hd_store **ret_store, struct hd_err *err)
{
    struct hd_err spare;
    err = err != NULL ? err : &spare;
    struct sqlite_store *store = hd_calloc(1, sizeof(*store));
    if (store == NULL)
        return hd_fail(err, HD_E_NOMEM, "no memory for a store");
    store->base.ops = &sqlite_ops;
    enum hd_code code = take_lock(store, path, err);
    if (code == HD_OK) {
        code = open_db(store, path, err);
        if (code != HD_OK)
            (void)hd_fail_in(err, "%s", path);
    }
    if (code != HD_OK) {
        sqlite_close(&store->base);
        return code;
    }
    *ret_store = &store->base;
    return HD_OK;
}
