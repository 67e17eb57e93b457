/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sqlite_batch.c: facts in memory as a table that SQLite reads.
 *
 * A commit then takes one statement a kind, "INSERT ... SELECT ... FROM hd_batch(kind)", however
 * many facts it has: what a statement costs to begin and end is paid once, and nothing is bound.
 */
#include "rows.h"
#include "sqlite_rows.h"

#include <string.h>

#define COLUMN_COUNT (HD_STORE_COLUMNS_COMMON + HD_ROW_COLUMNS_MAX)
#define COLUMN_KIND COLUMN_COUNT /* hidden: the argument */
#define ROWS_EXPECTED 32         /* for SQLite's planner, which has no choice anyway */

struct batch_table {
    sqlite3_vtab base; /* first: SQLite's pointer is ours */
    struct hd_sqlite_batch *batch;
};

struct batch_cursor {
    sqlite3_vtab_cursor base; /* first, likewise */
    enum hd_fact_kind kind;
    size_t at; /* in the batch's facts; their number: the end */
};

static struct hd_sqlite_batch *batch_of(const sqlite3_vtab_cursor *cursor)
{
    return ((const struct batch_table *)(const void *)cursor->pVtab)->batch;
}

static struct batch_cursor *of_cursor(sqlite3_vtab_cursor *cursor)
{
    return (struct batch_cursor *)(void *)cursor;
}

static int declare(sqlite3 *db)
{
    char sql[COLUMN_COUNT * 5 + 64] = "CREATE TABLE x (";
    size_t size = strlen(sql);
    for (int i = 0; i < COLUMN_COUNT; i++) {
        bool fits = hd_format(sql + size, sizeof(sql) - size, "c%d, ", i);
        hd_assert(fits);
        size += strlen(sql + size);
    }
    bool fits = hd_format(sql + size, sizeof(sql) - size, "kind HIDDEN)");
    hd_assert(fits);
    return sqlite3_declare_vtab(db, sql);
}

static int on_connect(sqlite3 *db, void *context, int count, const char *const *words,
                      sqlite3_vtab **ret_table, char **ret_error)
{
    (void)count;
    (void)words;
    (void)ret_error;
    int code = declare(db);
    if (code != SQLITE_OK)
        return code;
    struct batch_table *table = sqlite3_malloc(sizeof(*table));
    if (table == NULL)
        return SQLITE_NOMEM;
    *table = (struct batch_table){.batch = context};
    *ret_table = &table->base;
    return SQLITE_OK;
}

static int on_disconnect(sqlite3_vtab *table)
{
    sqlite3_free(table);
    return SQLITE_OK;
}

static int on_best_index(sqlite3_vtab *table, sqlite3_index_info *info)
{
    (void)table;
    for (int i = 0; i < info->nConstraint; i++) {
        if (info->aConstraint[i].iColumn != COLUMN_KIND ||
            info->aConstraint[i].op != SQLITE_INDEX_CONSTRAINT_EQ)
            continue;
        if (!info->aConstraint[i].usable)
            return SQLITE_CONSTRAINT;
        info->aConstraintUsage[i].argvIndex = 1;
        info->aConstraintUsage[i].omit = 1;
        info->estimatedRows = ROWS_EXPECTED;
        info->estimatedCost = ROWS_EXPECTED;
        return SQLITE_OK;
    }
    return SQLITE_CONSTRAINT; /* the kind must be said */
}

static int on_open(sqlite3_vtab *table, sqlite3_vtab_cursor **ret_cursor)
{
    (void)table;
    struct batch_cursor *cursor = sqlite3_malloc(sizeof(*cursor));
    if (cursor == NULL)
        return SQLITE_NOMEM;
    *cursor = (struct batch_cursor){.at = 0};
    *ret_cursor = &cursor->base;
    return SQLITE_OK;
}

static int on_close(sqlite3_vtab_cursor *cursor)
{
    sqlite3_free(cursor);
    return SQLITE_OK;
}

/* The first fact of the kind from `at` on. */
static void seek(struct batch_cursor *cursor, size_t at)
{
    struct hd_sqlite_batch *batch = batch_of(&cursor->base);
    while (at < batch->fact_count && batch->facts[at].kind != cursor->kind)
        at++;
    cursor->at = at;
    if (at < batch->fact_count)
        batch->last_seq = batch->facts[at].seq;
}

static int on_filter(sqlite3_vtab_cursor *base, int plan, const char *plan_text, int count,
                     sqlite3_value **arguments)
{
    (void)plan;
    (void)plan_text;
    struct batch_cursor *cursor = of_cursor(base);
    int kind = count == 1 ? sqlite3_value_int(arguments[0]) : -1;
    if (kind < 0 || kind >= HD_FACT_KIND_COUNT)
        return SQLITE_MISUSE;
    cursor->kind = (enum hd_fact_kind)kind;
    seek(cursor, 0);
    return SQLITE_OK;
}

static int on_next(sqlite3_vtab_cursor *base)
{
    struct batch_cursor *cursor = of_cursor(base);
    seek(cursor, cursor->at + 1);
    return SQLITE_OK;
}

static int on_eof(sqlite3_vtab_cursor *base)
{
    return of_cursor(base)->at >= batch_of(base)->fact_count;
}

static int on_column(sqlite3_vtab_cursor *base, sqlite3_context *context, int index)
{
    if (index < COLUMN_COUNT)
        hd_row_give(context, &batch_of(base)->facts[of_cursor(base)->at], index);
    else
        sqlite3_result_int(context, (int)of_cursor(base)->kind);
    return SQLITE_OK;
}

static int on_rowid(sqlite3_vtab_cursor *base, sqlite3_int64 *ret_rowid)
{
    *ret_rowid = (sqlite3_int64)of_cursor(base)->at;
    return SQLITE_OK;
}

/* Without xCreate it is there by its name alone and in no file. */
static const sqlite3_module module = {
    .xConnect = on_connect,
    .xBestIndex = on_best_index,
    .xDisconnect = on_disconnect,
    .xOpen = on_open,
    .xClose = on_close,
    .xFilter = on_filter,
    .xNext = on_next,
    .xEof = on_eof,
    .xColumn = on_column,
    .xRowid = on_rowid,
};

enum hd_code hd_sqlite_batch_register(sqlite3 *db, struct hd_sqlite_batch *batch,
                                      struct hd_err *err)
{
    int code = sqlite3_create_module(db, "hd_batch", &module, batch);
    return code == SQLITE_OK ? HD_OK : hd_sqlite_fail(db, code, "hd_batch", err);
}
