/* SPDX-License-Identifier: Apache-2.0 */
/* view_rows.c: rows of a query as objects of a value tree. */
#include <math.h>
#include <string.h>

#include "sqlite_rows.h"
#include "view_impl.h"

#define NAME_SIZE_MAX 64

static const struct hd_value_limits column_limits = {
    .bytes_max = 1024 * 1024, .nodes_max = 100000, .depth_max = 64};

enum hd_code view_set(struct hd_value *object, const char *key, struct hd_value *item,
                      struct hd_err *err)
{
    if (hd_value_set(object, key, item) != HD_OK)
        return hd_fail(err, HD_E_NOMEM, "no memory for an answer");
    return HD_OK;
}

enum hd_code view_set_number(struct hd_value *object, const char *key, int64_t number,
                             struct hd_err *err)
{
    return view_set(object, key, number < 0 ? hd_value_new_null() : hd_value_new_int(number), err);
}

/* ---- queries ----------------------------------------------------------------------------------
 */

static int bind_word(sqlite3_stmt *statement, int index, const char *word)
{
    if (word[0] == '\0')
        return sqlite3_bind_null(statement, index);
    return sqlite3_bind_text(statement, index, word, -1, SQLITE_STATIC);
}

static int bind_request(sqlite3_stmt *statement, const struct view_request *request)
{
    const int64_t limit = request->limit > 0 ? request->limit : HD_VIEW_LIMIT_DEFAULT;
    const int64_t numbers[] = {request->run, request->job, request->after, limit};
    const int count = sqlite3_bind_parameter_count(statement);
    int code = SQLITE_OK;
    for (int i = 0; i < count && i < (int)HD_COUNT(numbers) && code == SQLITE_OK; i++)
        code = sqlite3_bind_int64(statement, i + 1, numbers[i]);
    if (code == SQLITE_OK && count >= 5)
        code = bind_word(statement, 5, request->state);
    if (code == SQLITE_OK && count >= 6)
        code = bind_word(statement, 6, request->outcome);
    if (code == SQLITE_OK && count >= 7)
        code = sqlite3_bind_double(statement, 7, request->budget);
    return code;
}

enum hd_code view_query(struct hd_view *view, const struct view_request *request, const char *sql,
                        sqlite3_stmt **ret_statement, struct hd_err *err)
{
    sqlite3_stmt *statement = NULL;
    int code = sqlite3_prepare_v2(view->db, sql, -1, &statement, NULL);
    if (code == SQLITE_OK)
        code = bind_request(statement, request);
    if (code != SQLITE_OK) {
        enum hd_code failed = hd_sqlite_fail(view->db, code, "query", err);
        sqlite3_finalize(statement);
        return failed;
    }
    *ret_statement = statement;
    return HD_OK;
}

static struct hd_value *unsigned_value(int64_t bits)
{
    char text[32];
    if (bits >= 0)
        return hd_value_new_int(bits);
    bool fits = hd_format(text, sizeof(text), "%llu", (unsigned long long)bits);
    hd_assert(fits);
    return hd_value_new_string(text);
}

/* JSON of a fact as a value; what is not JSON after all stays a text. NULL: no memory. */
static struct hd_value *json_value(const char *text, size_t size)
{
    struct hd_value *value = NULL;
    enum hd_code code = hd_json_parse(text, size, "column", &column_limits, &value, NULL);
    if (code == HD_OK || code == HD_E_NOMEM)
        return value;
    return hd_value_new_string(text);
}

/* NULL when memory is short. */
static struct hd_value *column_value(sqlite3_stmt *statement, int index, const char *kind)
{
    switch (sqlite3_column_type(statement, index)) {
    case SQLITE_INTEGER: {
        int64_t number = sqlite3_column_int64(statement, index);
        if (hd_streq(kind, "bool"))
            return hd_value_new_bool(number != 0);
        return hd_streq(kind, "u64") ? unsigned_value(number) : hd_value_new_int(number);
    }
    case SQLITE_FLOAT: {
        double number = sqlite3_column_double(statement, index);
        return isfinite(number) ? hd_value_new_double(number) : hd_value_new_null();
    }
    case SQLITE_TEXT: {
        const char *text = (const char *)sqlite3_column_text(statement, index);
        if (text == NULL)
            return NULL;
        return hd_streq(kind, "json") ? json_value(text, strlen(text)) : hd_value_new_string(text);
    }
    default: /* NULL; BLOBs are not for people */
        return hd_value_new_null();
    }
}

static enum hd_code add_column(sqlite3_stmt *statement, int index, struct hd_value *object,
                               struct hd_err *err)
{
    char name[NAME_SIZE_MAX];
    const char *title = sqlite3_column_name(statement, index);
    if (title == NULL)
        return hd_fail(err, HD_E_NOMEM, "no memory for an answer");
    const char *colon = strchr(title, ':');
    const char *kind = colon != NULL ? colon + 1 : "";
    if (hd_streq(kind, "skip"))
        return HD_OK;
    bool some = strncmp(kind, "some", 4) == 0; /* left out when there is nothing */
    if (some && sqlite3_column_type(statement, index) == SQLITE_NULL)
        return HD_OK;
    kind = hd_streq(kind, "some_json") ? "json" : kind;
    bool fits = hd_format(name, sizeof(name), "%.*s",
                          (int)(colon != NULL ? (size_t)(colon - title) : strlen(title)), title);
    hd_assert(fits);
    return view_set(object, name, column_value(statement, index, kind), err);
}

static enum hd_code add_columns(sqlite3_stmt *statement, struct hd_value *object,
                                struct hd_err *err)
{
    int count = sqlite3_column_count(statement);
    enum hd_code code = HD_OK;
    for (int i = 0; i < count && code == HD_OK; i++)
        code = add_column(statement, i, object, err);
    return code;
}

static enum hd_code row_value(sqlite3_stmt *statement, struct hd_value **ret_row,
                              struct hd_err *err)
{
    struct hd_value *object = hd_value_new_object();
    if (object == NULL)
        return hd_fail(err, HD_E_NOMEM, "no memory for an answer");
    enum hd_code code = add_columns(statement, object, err);
    if (code != HD_OK) {
        hd_value_free(object);
        return code;
    }
    *ret_row = object;
    return HD_OK;
}

enum hd_code view_next(struct hd_view *view, sqlite3_stmt *statement, struct hd_value **ret_row,
                       struct hd_err *err)
{
    int code = sqlite3_step(statement);
    if (code == SQLITE_DONE) {
        *ret_row = NULL;
        return HD_OK;
    }
    if (code != SQLITE_ROW)
        return hd_sqlite_fail(view->db, code, "query", err);
    return row_value(statement, ret_row, err);
}

enum hd_code view_each(struct hd_view *view, const struct view_request *request, const char *sql,
                       view_each_fn each, void *context, struct hd_err *err)
{
    sqlite3_stmt *statement = NULL;
    enum hd_code code = view_query(view, request, sql, &statement, err);
    while (code == HD_OK) {
        struct hd_value *row = NULL;
        code = view_next(view, statement, &row, err);
        if (code != HD_OK || row == NULL)
            break;
        code = each(context, row, err);
        hd_value_free(row);
    }
    sqlite3_finalize(statement);
    return code;
}

enum hd_code view_one(struct hd_view *view, const struct view_request *request, const char *sql,
                      struct hd_value **ret_row, struct hd_err *err)
{
    sqlite3_stmt *statement = NULL;
    struct hd_value *row = NULL;
    enum hd_code code = view_query(view, request, sql, &statement, err);
    if (code == HD_OK)
        code = view_next(view, statement, &row, err);
    sqlite3_finalize(statement);
    if (code == HD_OK && row == NULL)
        return hd_fail(err, HD_E_NOTFOUND, "nothing there");
    if (code == HD_OK)
        *ret_row = row;
    return code;
}

enum hd_code view_merge(struct hd_view *view, const struct view_request *request, const char *sql,
                        struct hd_value *object, struct hd_err *err)
{
    sqlite3_stmt *statement = NULL;
    enum hd_code code = view_query(view, request, sql, &statement, err);
    if (code != HD_OK)
        return code;
    int step = sqlite3_step(statement);
    if (step == SQLITE_ROW)
        code = add_columns(statement, object, err);
    else if (step != SQLITE_DONE)
        code = hd_sqlite_fail(view->db, step, "query", err);
    sqlite3_finalize(statement);
    return code;
}

/* ---- lists ------------------------------------------------------------------------------ */

struct page {
    struct hd_value *list;
    const char *key_column;
    size_t *bytes_left;
    int64_t last; /* number of the last row that was kept */
    bool cut;
    struct hd_buf scratch;
};

/* Takes the row. Its size is that of its text: only writing it tells. */
static enum hd_code keep_row(struct page *page, struct hd_value *row, struct hd_err *err)
{
    hd_buf_clear(&page->scratch);
    enum hd_code code = hd_json_write(row, HD_JSON_COMPACT, &page->scratch, err);
    size_t size = page->scratch.size + 1; /* the comma */
    if (code == HD_E_LIMIT || (code == HD_OK && size > *page->bytes_left)) {
        page->cut = true;
        hd_value_free(row);
        return HD_OK;
    }
    if (code != HD_OK) {
        hd_value_free(row);
        return code;
    }
    const struct hd_value *number = hd_value_get(row, page->key_column);
    if (number != NULL && number->kind == HD_VALUE_INT)
        page->last = number->as.integer;
    *page->bytes_left -= size;
    if (hd_value_append(page->list, row) != HD_OK)
        return hd_fail(err, HD_E_NOMEM, "no memory for an answer");
    return HD_OK;
}

static enum hd_code fill_page(struct hd_view *view, sqlite3_stmt *statement, struct page *page,
                              struct hd_err *err)
{
    hd_buf_init(&page->scratch, HD_VIEW_JSON_MAX);
    struct hd_value *row = NULL;
    enum hd_code code = view_next(view, statement, &row, err);
    while (code == HD_OK && row != NULL && !page->cut) {
        code = keep_row(page, row, err);
        row = NULL;
        if (code == HD_OK && !page->cut)
            code = view_next(view, statement, &row, err);
    }
    hd_buf_release(&page->scratch);
    return code;
}

enum hd_code view_page(struct hd_view *view, const struct view_request *request, const char *sql,
                       struct hd_value *object, const char *key, const char *key_column,
                       size_t *bytes_left, int64_t *ret_next, struct hd_err *err)
{
    struct page page = {.key_column = key_column, .bytes_left = bytes_left, .last = -1};
    sqlite3_stmt *statement = NULL;
    page.list = hd_value_new_array();
    enum hd_code code = view_set(object, key, page.list, err); /* the object owns it now */
    if (code == HD_OK)
        code = view_query(view, request, sql, &statement, err);
    if (code == HD_OK)
        code = fill_page(view, statement, &page, err);
    sqlite3_finalize(statement);
    if (code != HD_OK)
        return code;
    int64_t limit = request->limit > 0 ? request->limit : HD_VIEW_LIMIT_DEFAULT;
    bool more = page.cut || (int64_t)page.list->as.array.count >= limit;
    *ret_next = more ? page.last : -1;
    return HD_OK;
}

enum hd_code view_list(struct hd_view *view, const struct view_request *request, const char *sql,
                       struct hd_value *object, const char *key, struct hd_err *err)
{
    size_t bytes_left = HD_VIEW_JSON_MAX / 4;
    int64_t next;
    return view_page(view, request, sql, object, key, "", &bytes_left, &next, err);
}
