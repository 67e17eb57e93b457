/* SPDX-License-Identifier: Apache-2.0 */
/* reader_examine.c: what is wrong with a store's file, whatever its facts say. */
#include <string.h>

#include "reader_impl.h"
#include "rows.h"

struct examination {
    struct hd_reader *reader;
    hd_damage_fn each;
    void *context;
    size_t count;
    bool unreadable; /* a page was: what seems missing elsewhere is only not seen */
};

/* False: enough has been found. */
static bool found(struct examination *exam, const char *check, const char *where, const char *what)
{
    exam->each(exam->context, check, where, what);
    return ++exam->count < HD_READER_DAMAGES_MAX;
}

/* Damage is a finding; anything else ends the examination. */
static enum hd_code found_error(struct examination *exam, const char *check, const char *where,
                                int step, struct hd_err *err)
{
    struct hd_err own;
    enum hd_code code = hd_sqlite_fail(exam->reader->db, step, where, &own);
    if (code != HD_E_CORRUPT) {
        if (err != NULL)
            *err = own;
        return code;
    }
    (void)found(exam, check, where, own.text);
    exam->unreadable = true;
    return HD_OK;
}

/* ---- SQLite's own checks ----------------------------------------------------------------------
 */

typedef void (*row_fn)(struct examination *exam, sqlite3_stmt *row);

static enum hd_code each_row(struct examination *exam, sqlite3 *db, const char *check,
                             const char *where, const char *sql, row_fn row, struct hd_err *err)
{
    sqlite3_stmt *statement = NULL;
    int step = sqlite3_prepare_v2(db, sql, -1, &statement, NULL);
    if (step == SQLITE_OK)
        while (exam->count < HD_READER_DAMAGES_MAX &&
               (step = sqlite3_step(statement)) == SQLITE_ROW)
            row(exam, statement);
    enum hd_code code = HD_OK;
    if (step != SQLITE_DONE && step != SQLITE_ROW)
        code = found_error(exam, check, where, step, err);
    sqlite3_finalize(statement);
    return code;
}

static const char *text_of(sqlite3_stmt *row, int column)
{
    const char *text = (const char *)sqlite3_column_text(row, column);
    return text != NULL ? text : "?";
}

static void integrity_row(struct examination *exam, sqlite3_stmt *row)
{
    const char *text = text_of(row, 0);
    if (!hd_streq(text, "ok"))
        (void)found(exam, "pages", "file", text);
}

static void reference_row(struct examination *exam, sqlite3_stmt *row)
{
    char where[160], what[160];
    (void)hd_format(where, sizeof(where), "table %s, seq %s", text_of(row, 0), text_of(row, 1));
    (void)hd_format(what, sizeof(what), "refers to a row of %s that is not there", text_of(row, 2));
    (void)found(exam, "references", where, what);
}

/* ---- tables -----------------------------------------------------------------------------------
 */

static void table_row(struct examination *exam, sqlite3_stmt *row)
{
    char where[160];
    (void)hd_format(where, sizeof(where), "%s %s", text_of(row, 0), text_of(row, 1));
    (void)found(exam, "tables", where, text_of(row, 2));
}

/* What the file has, into a table of the connection `to`. */
static enum hd_code copy_definitions(struct examination *exam, sqlite3 *to, struct hd_err *err)
{
    sqlite3 *from = exam->reader->db;
    sqlite3_stmt *rows = NULL, *insert = NULL;
    int code = sqlite3_exec(to, "CREATE TEMP TABLE had (type TEXT, name TEXT, sql TEXT)", NULL,
                            NULL, NULL);
    if (code == SQLITE_OK)
        code = sqlite3_prepare_v2(to, "INSERT INTO temp.had VALUES (?, ?, ?)", -1, &insert, NULL);
    int step =
        sqlite3_prepare_v2(from, "SELECT type, name, sql FROM sqlite_schema", -1, &rows, NULL);
    while (code == SQLITE_OK && (step == SQLITE_OK || step == SQLITE_ROW)) {
        step = sqlite3_step(rows);
        for (int i = 0; i < 3 && step == SQLITE_ROW; i++)
            (void)sqlite3_bind_value(insert, i + 1, sqlite3_column_value(rows, i));
        if (step == SQLITE_ROW && sqlite3_step(insert) != SQLITE_DONE)
            code = SQLITE_NOMEM;
        (void)sqlite3_reset(insert);
    }
    sqlite3_finalize(rows);
    sqlite3_finalize(insert);
    if (code != SQLITE_OK)
        return hd_fail(err, HD_E_NOMEM, "no memory to compare tables");
    return step == SQLITE_DONE ? HD_OK : found_error(exam, "tables", "file", step, err);
}

/* Against a store that this program makes itself, in memory. SQLite's own tables, and views or
 * indexes that a person has added, are nobody's harm. */
static enum hd_code examine_tables(struct examination *exam, struct hd_err *err)
{
    sqlite3 *fresh = NULL;
    int opened = sqlite3_open_v2(":memory:", &fresh, SQLITE_OPEN_READWRITE, NULL);
    enum hd_code code =
        opened == SQLITE_OK ? HD_OK : hd_sqlite_fail(fresh, opened, "a store in memory", err);
    if (code == HD_OK)
        code = hd_sqlite_migrate(fresh, 0, err);
    if (code == HD_OK)
        code = copy_definitions(exam, fresh, err);
    if (code == HD_OK)
        code = each_row(exam, fresh, "tables", "file",
                        "SELECT w.type, w.name, CASE WHEN h.name IS NULL THEN 'is missing'"
                        " ELSE 'is not the one of this version' END"
                        " FROM main.sqlite_schema AS w LEFT JOIN temp.had AS h"
                        " ON h.type = w.type AND h.name = w.name"
                        " WHERE h.name IS NULL OR h.sql IS NOT w.sql"
                        " UNION ALL SELECT h.type, h.name, 'is not one of ours'"
                        " FROM temp.had AS h WHERE h.type IN ('table', 'trigger')"
                        " AND h.name NOT LIKE 'sqlite\\_%' ESCAPE '\\'"
                        " AND h.name NOT IN (SELECT name FROM main.sqlite_schema)",
                        table_row, err);
    sqlite3_close(fresh);
    return code;
}

/* ---- sequence ---------------------------------------------------------------------------------
 */

struct cursors {
    sqlite3_stmt *rows[HD_FACT_KIND_COUNT];
    bool has[HD_FACT_KIND_COUNT];
};

static enum hd_code advance(struct examination *exam, struct cursors *cursors, size_t kind,
                            struct hd_err *err)
{
    int step = sqlite3_step(cursors->rows[kind]);
    cursors->has[kind] = step == SQLITE_ROW;
    if (step == SQLITE_ROW || step == SQLITE_DONE)
        return HD_OK;
    return found_error(exam, "sequence", hd_table_of((enum hd_fact_kind)kind)->name, step, err);
}

static enum hd_code open_cursors(struct examination *exam, struct cursors *cursors,
                                 struct hd_err *err)
{
    enum hd_code code = HD_OK;
    for (size_t kind = 0; kind < HD_FACT_KIND_COUNT && code == HD_OK; kind++) {
        char sql[160];
        const char *table = hd_table_of((enum hd_fact_kind)kind)->name;
        bool fits = hd_format(sql, sizeof(sql), "SELECT seq FROM %s ORDER BY seq", table);
        hd_assert(fits);
        int prepared = sqlite3_prepare_v2(exam->reader->db, sql, -1, &cursors->rows[kind], NULL);
        if (prepared == SQLITE_OK)
            code = advance(exam, cursors, kind, err);
        else if (prepared != SQLITE_ERROR) /* no such table: told before */
            code = found_error(exam, "sequence", table, prepared, err);
    }
    return code;
}

static size_t lowest(const struct cursors *cursors, int64_t *ret_seq)
{
    size_t best = HD_FACT_KIND_COUNT;
    for (size_t kind = 0; kind < HD_FACT_KIND_COUNT; kind++) {
        if (!cursors->has[kind])
            continue;
        int64_t seq = sqlite3_column_int64(cursors->rows[kind], 0);
        if (best == HD_FACT_KIND_COUNT || seq < *ret_seq) {
            best = kind;
            *ret_seq = seq;
        }
    }
    return best;
}

static bool report_gap(struct examination *exam, const char *table, int64_t before, int64_t seq)
{
    char where[160], what[160];
    (void)hd_format(where, sizeof(where), "table %s, seq %lld", table, (long long)seq);
    if (seq <= before)
        (void)hd_format(what, sizeof(what), "the sequence number %s",
                        seq < 1 ? "is below 1" : "stands in two tables");
    else if (seq == before + 2)
        (void)hd_format(what, sizeof(what), "fact %lld before it is missing",
                        (long long)before + 1);
    else
        (void)hd_format(what, sizeof(what), "facts %lld to %lld before it are missing",
                        (long long)before + 1, (long long)seq - 1);
    return found(exam, "sequence", where, what);
}

static enum hd_code examine_sequence(struct examination *exam, struct hd_err *err)
{
    struct cursors cursors = {{NULL}, {false}};
    int64_t before = 0, seq = 0;
    exam->unreadable = false;
    enum hd_code code = open_cursors(exam, &cursors, err);
    for (size_t kind; code == HD_OK && (kind = lowest(&cursors, &seq)) != HD_FACT_KIND_COUNT;) {
        const char *table = hd_table_of((enum hd_fact_kind)kind)->name;
        if (exam->unreadable)
            break;
        if (seq != before + 1 && !report_gap(exam, table, before, seq))
            break;
        before = seq > before ? seq : before;
        code = advance(exam, &cursors, kind, err);
    }
    for (size_t kind = 0; kind < HD_FACT_KIND_COUNT; kind++)
        sqlite3_finalize(cursors.rows[kind]);
    return code;
}

/* ---- all --------------------------------------------------------------------------------------
 */

enum hd_code hd_reader_examine(struct hd_reader *reader, hd_damage_fn each, void *context,
                               struct hd_err *err)
{
    struct examination exam = {.reader = reader, .each = each, .context = context};
    enum hd_code code = each_row(&exam, reader->db, "pages", "file", "PRAGMA integrity_check(50)",
                                 integrity_row, err);
    if (code == HD_OK)
        code = examine_tables(&exam, err);
    if (code == HD_OK)
        code = each_row(&exam, reader->db, "references", "file", "PRAGMA foreign_key_check",
                        reference_row, err);
    if (code == HD_OK)
        code = examine_sequence(&exam, err);
    return code;
}
