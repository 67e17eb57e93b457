/* SPDX-License-Identifier: Apache-2.0 */
/* sqlite_rows.c: facts to columns and back by the description in rows.c. */
#include "sqlite_rows.h"

#include <errno.h>
#include <math.h>
#include <string.h>

#include "rows.h"

#define COLUMNS_COMMON HD_STORE_COLUMNS_COMMON

#if __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "config values are stored as little-endian doubles: swap them here for this machine"
#endif

/* ---- errors -----------------------------------------------------------------------------------
 */

static enum hd_code meaning(int extended, int system_errno)
{
    bool no_space = system_errno == ENOSPC || system_errno == EDQUOT;
    switch (extended) {
    case SQLITE_IOERR_NOMEM:
        return HD_E_NOMEM;
    case SQLITE_IOERR_FSYNC: /* what was written is lost from the cache: never retried */
    case SQLITE_IOERR_DIR_FSYNC:
        return HD_E_IO;
    default: /* SQLite's codes, not ours */
        break;
    }
    switch (extended & 0xff) {
    case SQLITE_NOMEM:
        return HD_E_NOMEM;
    case SQLITE_FULL:
        return HD_E_FULL;
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
        return HD_E_CORRUPT;
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
        return HD_E_BUSY;
    case SQLITE_CONSTRAINT:
    case SQLITE_MISMATCH:
        return HD_E_INVALID;
    case SQLITE_TOOBIG:
        return HD_E_LIMIT;
    case SQLITE_IOERR:
        return no_space ? HD_E_FULL : HD_E_IO;
    default:
        return HD_E_IO;
    }
}

enum hd_code hd_sqlite_fail(sqlite3 *db, int code, const char *what, struct hd_err *err)
{
    const char *text = sqlite3_errstr(code);
    int system_errno = 0;
    /* The connection knows more, unless it speaks of something later. */
    if (db != NULL && (sqlite3_extended_errcode(db) & 0xff) == (code & 0xff)) {
        code = sqlite3_extended_errcode(db);
        text = sqlite3_errmsg(db);
        system_errno = sqlite3_system_errno(db);
    }
    enum hd_code meant = meaning(code, system_errno);
    if (system_errno != 0 && (meant == HD_E_IO || meant == HD_E_FULL))
        return hd_fail(err, meant, "%s: %s (SQLite %d, %s)", what, text, code,
                       strerror(system_errno));
    return hd_fail(err, meant, "%s: %s (SQLite %d)", what, text, code);
}

/* ---- the file --------------------------------------------------------------------------- */

enum hd_code hd_sqlite_number(sqlite3 *db, const char *sql, int64_t *ret_number, struct hd_err *err)
{
    sqlite3_stmt *statement = NULL;
    int prepared = sqlite3_prepare_v2(db, sql, -1, &statement, NULL);
    if (prepared != SQLITE_OK)
        return hd_sqlite_fail(db, prepared, sql, err);
    enum hd_code code = HD_OK;
    int step = sqlite3_step(statement);
    if (step == SQLITE_ROW)
        *ret_number = sqlite3_column_int64(statement, 0);
    else
        code = step == SQLITE_DONE ? hd_fail(err, HD_E_CORRUPT, "%s: no answer", sql)
                                   : hd_sqlite_fail(db, step, sql, err);
    sqlite3_finalize(statement);
    return code;
}

enum hd_code hd_sqlite_version(sqlite3 *db, int64_t *ret_version, struct hd_err *err)
{
    int64_t version = 0, application = 0, object_count = 0;
    enum hd_code code = hd_sqlite_number(db, "PRAGMA user_version", &version, err);
    if (code == HD_OK)
        code = hd_sqlite_number(db, "PRAGMA application_id", &application, err);
    if (code == HD_OK)
        code = hd_sqlite_number(db, "SELECT count(*) FROM sqlite_schema", &object_count, err);
    if (code != HD_OK)
        return code;
    bool empty = version == 0 && application == 0 && object_count == 0;
    if (!empty && application != HD_STORE_APPLICATION_ID)
        return hd_fail(err, HD_E_CORRUPT, "an SQLite file of some other program");
    if (version > HD_STORE_SCHEMA_VERSION)
        return hd_fail(err, HD_E_VERSION,
                       "written by a newer version (format %lld, this program knows up to %d): "
                       "use that version or another state directory",
                       (long long)version, HD_STORE_SCHEMA_VERSION);
    if (!empty && version < 1)
        return hd_fail(err, HD_E_CORRUPT, "format %lld does not exist", (long long)version);
    *ret_version = version;
    return HD_OK;
}

/* ---- columns of a fact ------------------------------------------------------------------------
 */

/* Borrowed: the fact stays as it is until the statement has ended. */
static void give_text(sqlite3_context *context, const char *text)
{
    sqlite3_result_text(context, text != NULL ? text : "", -1, SQLITE_STATIC);
}

static void give_doubles(sqlite3_context *context, const struct hd_fact *fact,
                         const struct hd_column *column)
{
    const char *base = (const char *)fact;
    size_t count = *(const size_t *)(const void *)(base + column->count_offset);
    const double *values = *(const double *const *)(const void *)(base + column->offset);
    if (count == 0)
        sqlite3_result_zeroblob(context, 0);
    else
        sqlite3_result_blob(context, values, (int)(count * sizeof(double)), SQLITE_STATIC);
}

/* A copy is given: the text is made here. */
static void give_numbers(sqlite3_context *context, const struct hd_fact *fact,
                         const struct hd_column *column)
{
    const char *base = (const char *)fact;
    size_t count = *(const size_t *)(const void *)(base + column->count_offset);
    const double *values = *(const double *const *)(const void *)(base + column->offset);
    if (count == 0) {
        sqlite3_result_null(context);
        return;
    }
    struct hd_buf text;
    struct hd_err ignored;
    hd_buf_init(&text, HD_STORE_TEXT_MAX);
    enum hd_code code = HD_OK;
    for (size_t i = 0; i < count && code == HD_OK; i++) {
        char number[HD_DOUBLE_TEXT_SIZE] = "null";
        if (isfinite(values[i]))
            hd_format_double(number, sizeof(number), values[i]);
        code = hd_buf_printf(&text, &ignored, "%s%s", i == 0 ? "[" : ",", number);
    }
    if (code == HD_OK)
        code = hd_buf_puts(&text, "]", &ignored);
    if (code == HD_OK)
        sqlite3_result_text(context, hd_buf_text(&text), (int)text.size, SQLITE_TRANSIENT);
    else
        sqlite3_result_error_nomem(context);
    hd_buf_release(&text);
}

static void give_column(sqlite3_context *context, const struct hd_fact *fact,
                        const struct hd_column *column)
{
    const void *field = (const char *)fact + column->offset;
    switch (column->type) {
    case HD_COLUMN_BOOL:
        sqlite3_result_int(context, *(const bool *)field ? 1 : 0);
        return;
    case HD_COLUMN_I32:
        sqlite3_result_int(context, *(const int32_t *)field);
        return;
    case HD_COLUMN_U32:
        sqlite3_result_int64(context, *(const uint32_t *)field);
        return;
    case HD_COLUMN_U32_OR_NULL:
        if (*(const uint32_t *)field == 0)
            sqlite3_result_null(context);
        else
            sqlite3_result_int64(context, *(const uint32_t *)field);
        return;
    case HD_COLUMN_U32_LESS:
        if (*(const uint32_t *)field == 0)
            sqlite3_result_null(context);
        else
            sqlite3_result_int64(context, (int64_t) * (const uint32_t *)field - 1);
        return;
    case HD_COLUMN_I64:
        sqlite3_result_int64(context, *(const int64_t *)field);
        return;
    case HD_COLUMN_U64:
        sqlite3_result_int64(context, (int64_t) * (const uint64_t *)field);
        return;
    case HD_COLUMN_REAL: /* SQLite makes NULL of NaN itself */
        sqlite3_result_double(context, *(const double *)field);
        return;
    case HD_COLUMN_TEXT:
        give_text(context, *(const char *const *)field);
        return;
    case HD_COLUMN_JSON: {
        const char *text = *(const char *const *)field;
        if (text == NULL || text[0] == '\0')
            sqlite3_result_null(context);
        else
            give_text(context, text);
        return;
    }
    case HD_COLUMN_NAME:
        give_text(context, field);
        return;
    case HD_COLUMN_DOUBLES:
        give_doubles(context, fact, column);
        return;
    case HD_COLUMN_NUMBERS:
        give_numbers(context, fact, column);
        return;
    case HD_COLUMN_OUTCOME:
    case HD_COLUMN_STATE:
    case HD_COLUMN_OP:
    case HD_COLUMN_LIMIT:
    case HD_COLUMN_WORKER_STATE: {
        unsigned number;
        memcpy(&number, field, sizeof(number));
        give_text(context, hd_column_word(column->type, number));
        return;
    }
    }
    hd_assert(false);
}

void hd_row_give(sqlite3_context *context, const struct hd_fact *fact, int index)
{
    const struct hd_table *table = hd_table_of(fact->kind);
    if (index == 0)
        sqlite3_result_int64(context, (int64_t)fact->seq);
    else if (index == 1)
        sqlite3_result_int64(context, fact->wall_ms);
    else if (index == 2)
        sqlite3_result_int64(context, fact->run);
    else if ((size_t)(index - COLUMNS_COMMON) < table->column_count)
        give_column(context, fact, &table->columns[index - COLUMNS_COMMON]);
}

/* ---- reading ----------------------------------------------------------------------------------
 */

static bool read_u32(sqlite3_stmt *statement, int index, uint32_t *ret)
{
    int64_t number = sqlite3_column_int64(statement, index);
    if (number < 0 || number > UINT32_MAX)
        return false;
    *ret = (uint32_t)number;
    return true;
}

static bool read_u32_less(sqlite3_stmt *statement, int index, uint32_t *ret)
{
    uint32_t number;
    bool none = sqlite3_column_type(statement, index) == SQLITE_NULL;
    if (!none && (!read_u32(statement, index, &number) || number == UINT32_MAX))
        return false;
    *ret = none ? 0 : number + 1;
    return true;
}

static double read_real(sqlite3_stmt *statement, int index)
{
    if (sqlite3_column_type(statement, index) == SQLITE_NULL)
        return (double)NAN;
    return sqlite3_column_double(statement, index);
}

/* NULL only when memory is short. */
static const char *read_text(sqlite3_stmt *statement, int index)
{
    if (sqlite3_column_type(statement, index) == SQLITE_NULL)
        return "";
    return (const char *)sqlite3_column_text(statement, index);
}

static enum hd_code read_doubles(sqlite3_stmt *statement, int index, double *doubles,
                                 struct hd_fact *fact, const struct hd_column *column)
{
    const void *blob = sqlite3_column_blob(statement, index);
    size_t size = (size_t)sqlite3_column_bytes(statement, index);
    if (size % sizeof(double) != 0 || size / sizeof(double) > HD_SPACE_PARAMS_MAX)
        return HD_E_CORRUPT;
    if (size > 0 && blob == NULL)
        return HD_E_NOMEM;
    if (size > 0)
        memcpy(doubles, blob, size);
    *(const double **)(void *)((char *)fact + column->offset) = doubles;
    *(size_t *)(void *)((char *)fact + column->count_offset) = size / sizeof(double);
    return HD_OK;
}

/* [1,0.5,null] */
static enum hd_code read_numbers(sqlite3_stmt *statement, int index, double *numbers,
                                 struct hd_fact *fact, const struct hd_column *column)
{
    size_t count = 0;
    const char *text = read_text(statement, index);
    if (text == NULL)
        return HD_E_NOMEM;
    if (text[0] != '\0') {
        const char *at = text;
        do {
            char word[HD_DOUBLE_TEXT_SIZE];
            at++; /* the bracket or comma */
            size_t size = strcspn(at, ",]");
            if (size >= sizeof(word) || count == HD_SPACE_PARAMS_MAX)
                return HD_E_CORRUPT;
            memcpy(word, at, size);
            word[size] = '\0';
            numbers[count] = (double)NAN;
            if (!hd_streq(word, "null") && !hd_parse_double(word, &numbers[count]))
                return HD_E_CORRUPT;
            count++;
            at += size;
        } while (*at == ',');
        if (text[0] != '[' || at[0] != ']' || at[1] != '\0')
            return HD_E_CORRUPT;
    }
    *(const double **)(void *)((char *)fact + column->offset) = numbers;
    *(size_t *)(void *)((char *)fact + column->count_offset) = count;
    return HD_OK;
}

static enum hd_code read_name_of_enum(sqlite3_stmt *statement, int index, enum hd_column_type type,
                                      void *field)
{
    const char *text = read_text(statement, index);
    if (text == NULL)
        return HD_E_NOMEM;
    for (unsigned number = 0; number < hd_column_word_count(type); number++)
        if (hd_streq(hd_column_word(type, number), text)) {
            memcpy(field, &number, sizeof(number));
            return HD_OK;
        }
    return HD_E_CORRUPT;
}

static enum hd_code read_column(sqlite3_stmt *statement, int index, double *doubles,
                                struct hd_fact *fact, const struct hd_column *column)
{
    void *field = (char *)fact + column->offset;
    switch (column->type) {
    case HD_COLUMN_BOOL:
        *(bool *)field = sqlite3_column_int(statement, index) != 0;
        return HD_OK;
    case HD_COLUMN_I32:
        *(int32_t *)field = sqlite3_column_int(statement, index);
        return HD_OK;
    case HD_COLUMN_U32:
    case HD_COLUMN_U32_OR_NULL: /* NULL reads as 0 */
        return read_u32(statement, index, field) ? HD_OK : HD_E_CORRUPT;
    case HD_COLUMN_U32_LESS:
        return read_u32_less(statement, index, field) ? HD_OK : HD_E_CORRUPT;
    case HD_COLUMN_I64:
        *(int64_t *)field = sqlite3_column_int64(statement, index);
        return HD_OK;
    case HD_COLUMN_U64:
        *(uint64_t *)field = (uint64_t)sqlite3_column_int64(statement, index);
        return HD_OK;
    case HD_COLUMN_REAL:
        *(double *)field = read_real(statement, index);
        return HD_OK;
    case HD_COLUMN_TEXT:
    case HD_COLUMN_JSON: {
        const char *text = read_text(statement, index);
        if (text == NULL)
            return HD_E_NOMEM;
        *(const char **)field = text;
        return HD_OK;
    }
    case HD_COLUMN_NAME: {
        const char *text = read_text(statement, index);
        if (text == NULL)
            return HD_E_NOMEM;
        return hd_copy_text(field, HD_SAMPLER_NAME_MAX, text) ? HD_OK : HD_E_CORRUPT;
    }
    case HD_COLUMN_DOUBLES:
        return read_doubles(statement, index, doubles, fact, column);
    case HD_COLUMN_NUMBERS:
        return read_numbers(statement, index, doubles, fact, column);
    case HD_COLUMN_OUTCOME:
    case HD_COLUMN_STATE:
    case HD_COLUMN_OP:
    case HD_COLUMN_LIMIT:
    case HD_COLUMN_WORKER_STATE:
        return read_name_of_enum(statement, index, column->type, field);
    }
    hd_assert(false);
    return HD_E_CORRUPT;
}

enum hd_code hd_row_read(sqlite3_stmt *statement, enum hd_fact_kind kind, double *doubles,
                         struct hd_fact *ret_fact, struct hd_err *err)
{
    const struct hd_table *table = hd_table_of(kind);
    struct hd_fact fact = {
        .seq = (uint64_t)sqlite3_column_int64(statement, 0),
        .wall_ms = sqlite3_column_int64(statement, 1),
        .kind = kind,
    };
    enum hd_code code = read_u32(statement, 2, &fact.run) ? HD_OK : HD_E_CORRUPT;
    const char *name = "run";
    for (size_t i = 0; i < table->column_count && code == HD_OK; i++) {
        name = table->columns[i].name;
        code = read_column(statement, (int)i + COLUMNS_COMMON, doubles, &fact, &table->columns[i]);
    }
    if (code == HD_E_NOMEM)
        return hd_fail(err, code, "no memory to read fact %llu", (unsigned long long)fact.seq);
    if (code != HD_OK)
        return hd_fail(err, code, "table %s, seq %llu, column %s: not a value that was stored",
                       table->name, (unsigned long long)fact.seq, name);
    *ret_fact = fact;
    return HD_OK;
}

/* ---- statements -------------------------------------------------------------------------------
 */

static enum hd_code append_columns(const struct hd_table *table, struct hd_buf *out,
                                   struct hd_err *err)
{
    enum hd_code code = hd_buf_puts(out, "seq, wall_ms, run", err);
    for (size_t i = 0; i < table->column_count && code == HD_OK; i++)
        code = hd_buf_printf(out, err, ", %s", table->columns[i].name);
    return code;
}

enum hd_code hd_row_insert_sql(enum hd_fact_kind kind, struct hd_buf *out, struct hd_err *err)
{
    const struct hd_table *table = hd_table_of(kind);
    enum hd_code code = hd_buf_printf(out, err, "INSERT OR ROLLBACK INTO main.%s (", table->name);
    if (code == HD_OK)
        code = append_columns(table, out, err);
    if (code == HD_OK)
        code = hd_buf_puts(out, ") SELECT c0", err);
    for (size_t i = 1; i < table->column_count + COLUMNS_COMMON && code == HD_OK; i++)
        code = hd_buf_printf(out, err, ", c%zu", i);
    return code == HD_OK ? hd_buf_printf(out, err, " FROM hd_batch(%d)", (int)kind) : code;
}

enum hd_code hd_row_select_sql(enum hd_fact_kind kind, struct hd_buf *out, struct hd_err *err)
{
    const struct hd_table *table = hd_table_of(kind);
    enum hd_code code = hd_buf_puts(out, "SELECT ", err);
    if (code == HD_OK)
        code = append_columns(table, out, err);
    if (code == HD_OK)
        code = hd_buf_printf(out, err, " FROM %s ORDER BY seq", table->name);
    return code;
}
