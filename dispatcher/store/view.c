/* SPDX-License-Identifier: Apache-2.0 */
/* view.c: opening for reading, arguments, and which view answers. */
#include <hd/os.h>
#include <hd/store.h>
#include <hd/view.h>

#include <math.h>
#include <string.h>

#include "sqlite_rows.h"
#include "view_impl.h"

#define VIEWS_SQL_MAX 16384u /* bytes: all of views.sql, and a little more */

/* ---- older files ------------------------------------------------------------------------------
 */

/* What the tables of an older file lack, by its version, and then of every one before this. */
static const char *const lacking[HD_STORE_SCHEMA_VERSION] = {
    NULL,
    "CREATE TEMP VIEW attempt_ends AS SELECT *, NULL AS measures, 0.0 AS violation,"
    " 0 AS rule, '' AS label, '' AS image_id, NULL AS graphs FROM main.attempt_ends;",
    "CREATE TEMP VIEW attempt_ends AS SELECT *, 0 AS rule, '' AS label, '' AS image_id, NULL AS "
    "graphs"
    " FROM main.attempt_ends;",
    "CREATE TEMP VIEW attempt_ends AS SELECT *, '' AS image_id, NULL AS graphs FROM "
    "main.attempt_ends;",
    "CREATE TEMP VIEW attempt_ends AS SELECT *, '' AS image_id, NULL AS graphs FROM "
    "main.attempt_ends;",
};
static const char lacking_before_3[] =
    "CREATE TEMP VIEW commands AS SELECT *, 'configs' AS limit_name, NULL AS value,"
    " '' AS image FROM main.commands;"
    "CREATE TEMP VIEW worker_states AS SELECT 0 AS seq, 0 AS wall_ms, 0 AS run, '' AS worker,"
    " '' AS state, '' AS reason WHERE 0;";
static const char lacking_from_3[] =
    "CREATE TEMP VIEW commands AS SELECT *, '' AS image FROM main.commands;";
static const char lacking_before_4[] =
    "CREATE TEMP VIEW jobs AS SELECT *, 0 AS repeat, NULL AS again FROM main.jobs;";
static const char lacking_from_4[] =
    "CREATE TEMP VIEW jobs AS SELECT *, NULL AS again FROM main.jobs;";
static const char lacking_before_5[] =
    "CREATE TEMP VIEW runs AS SELECT *, NULL AS known FROM main.runs;";

/* The views of this version over an older file, which nobody may write here: temporary ones stand
 * before those of the file. */
static enum hd_code shadow_older(sqlite3 *db, struct hd_err *err)
{
    static const char create[] = "CREATE VIEW ";
    struct hd_buf sql;
    int64_t version = 0;
    enum hd_code code = hd_sqlite_version(db, &version, err);
    if (code != HD_OK || version < 1 || version >= HD_STORE_SCHEMA_VERSION)
        return code;
    hd_buf_init(&sql, VIEWS_SQL_MAX);
    code = hd_buf_puts(&sql, lacking[version], err);
    if (code == HD_OK)
        code = hd_buf_puts(&sql, version < 3 ? lacking_before_3 : lacking_from_3, err);
    if (code == HD_OK)
        code = hd_buf_puts(&sql, version < 4 ? lacking_before_4 : lacking_from_4, err);
    if (code == HD_OK)
        code = hd_buf_puts(&sql, lacking_before_5, err);
    const char *at = hd_store_views_sql;
    for (const char *next; code == HD_OK && (next = strstr(at, create)) != NULL;
         at = next + strlen(create)) {
        code = hd_buf_append(&sql, at, (size_t)(next - at), err);
        if (code == HD_OK)
            code = hd_buf_puts(&sql, "CREATE TEMP VIEW ", err);
    }
    if (code == HD_OK)
        code = hd_buf_puts(&sql, at, err);
    if (code == HD_OK) {
        int made = sqlite3_exec(db, hd_buf_text(&sql), NULL, NULL, NULL);
        if (made != SQLITE_OK)
            code = hd_sqlite_fail(db, made, "reading a file of an older version", err);
    }
    hd_buf_release(&sql);
    return code;
}

/* ---- functions of our SQL ------------------------------------------------------------------- */

static void sql_utc(sqlite3_context *context, int count, sqlite3_value **values)
{
    (void)count;
    char text[HD_TIME_TEXT_SIZE];
    int64_t wall_ms = sqlite3_value_int64(values[0]);
    if (wall_ms <= 0) {
        sqlite3_result_null(context);
        return;
    }
    hd_time_format(text, sizeof(text), wall_ms);
    sqlite3_result_text(context, text, -1, SQLITE_TRANSIENT);
}

static void sql_config_id(sqlite3_context *context, int count, sqlite3_value **values)
{
    (void)count;
    char text[96];
    bool fits = hd_format(text, sizeof(text), "[%lld,%lld,%lld]", sqlite3_value_int64(values[0]),
                          sqlite3_value_int64(values[1]), sqlite3_value_int64(values[2]));
    hd_assert(fits);
    sqlite3_result_text(context, text, -1, SQLITE_TRANSIENT);
}

static enum hd_code add_functions(sqlite3 *db, struct hd_err *err)
{
    const int flags = SQLITE_UTF8 | SQLITE_DETERMINISTIC;
    int code = sqlite3_create_function(db, "utc", 1, flags, NULL, sql_utc, NULL, NULL);
    if (code == SQLITE_OK)
        code = sqlite3_create_function(db, "config_id", 3, flags, NULL, sql_config_id, NULL, NULL);
    return code == SQLITE_OK ? HD_OK : hd_sqlite_fail(db, code, "functions", err);
}

static enum hd_code prepare_all(struct hd_view *view, struct hd_err *err)
{
    const unsigned flags = SQLITE_PREPARE_PERSISTENT;
    int code = sqlite3_prepare_v3(view->db, "BEGIN", -1, flags, &view->begin, NULL);
    if (code == SQLITE_OK)
        code = sqlite3_prepare_v3(view->db, "ROLLBACK", -1, flags, &view->rollback, NULL);
    return code == SQLITE_OK ? HD_OK : hd_sqlite_fail(view->db, code, "prepare", err);
}

enum hd_code hd_view_open(const char *path, struct hd_view **ret_view, struct hd_err *err)
{
    char file[HD_STORE_PATH_SIZE_MAX];
    struct hd_err spare;
    err = err != NULL ? err : &spare;
    enum hd_code code = hd_sqlite_find_file(path, file, err);
    if (code != HD_OK)
        return code;
    struct hd_view *view = hd_calloc(1, sizeof(*view));
    if (view == NULL)
        return hd_fail(err, HD_E_NOMEM, "no memory to open %s", file);
    code = hd_sqlite_open_for_reading(file, &view->db, err);
    if (code == HD_OK)
        code = shadow_older(view->db, err);
    if (code == HD_OK)
        code = add_functions(view->db, err);
    if (code == HD_OK)
        code = prepare_all(view, err);
    if (code != HD_OK) {
        hd_view_close(view);
        return hd_fail_in(err, "%s", file);
    }
    *ret_view = view;
    return HD_OK;
}

void hd_view_close(struct hd_view *view)
{
    if (view == NULL)
        return;
    sqlite3_finalize(view->begin);
    sqlite3_finalize(view->rollback);
    int code = sqlite3_close(view->db);
    hd_assert(code == SQLITE_OK);
    hd_free(view);
}

/* ---- arguments --------------------------------------------------------------------------------
 */

static enum hd_code read_number(const struct hd_value *arguments, const char *key, int64_t min,
                                int64_t max, int64_t *number, struct hd_err *err)
{
    const struct hd_value *value = hd_value_get(arguments, key);
    if (value == NULL || value->kind == HD_VALUE_NULL)
        return HD_OK;
    if (value->kind != HD_VALUE_INT || value->as.integer < min || value->as.integer > max)
        return hd_fail(err, HD_E_INVALID, "%s must be an integer within %lld..%lld", key,
                       (long long)min, (long long)max);
    *number = value->as.integer;
    return HD_OK;
}

static enum hd_code read_word(const struct hd_value *arguments, const char *key, char *word,
                              size_t word_size, struct hd_err *err)
{
    const struct hd_value *value = hd_value_get(arguments, key);
    if (value == NULL || value->kind == HD_VALUE_NULL)
        return HD_OK;
    if (value->kind != HD_VALUE_STRING || !hd_copy_text(word, word_size, value->as.string))
        return hd_fail(err, HD_E_INVALID, "%s must be a text of at most %zu bytes", key,
                       word_size - 1);
    return HD_OK;
}

/* A word that no job can have would be answered with an empty table, which looks like an answer. */
static enum hd_code refuse_word(const char *key, const char *word, const char *const *names,
                                size_t count, struct hd_err *err)
{
    char known[160] = "";
    for (size_t i = 0; i < count; i++) {
        if (word[0] == '\0' || hd_streq(word, names[i]))
            return HD_OK;
        size_t size = strlen(known);
        (void)hd_format(known + size, sizeof(known) - size, "%s%s", i > 0 ? ", " : "", names[i]);
    }
    const char *nearest = hd_nearest(word, names, count);
    if (nearest != NULL)
        return hd_fail(err, HD_E_INVALID, "unknown %s \"%s\", did you mean \"%s\"?", key, word,
                       nearest);
    return hd_fail(err, HD_E_INVALID, "unknown %s \"%s\"; known are: %s", key, word, known);
}

static enum hd_code check_words(const struct view_request *request, struct hd_err *err)
{
    static const char *const states[] = {"queued", "running", "closed"};
    const char *outcomes[HD_OUTCOME_COUNT];
    for (size_t i = 0; i < HD_COUNT(outcomes); i++)
        outcomes[i] = hd_outcome_name((enum hd_outcome)i);
    enum hd_code code = refuse_word("state", request->state, states, HD_COUNT(states), err);
    if (code == HD_OK)
        code = refuse_word("outcome", request->outcome, outcomes, HD_COUNT(outcomes), err);
    return code;
}

static enum hd_code read_request(const struct hd_value *arguments, struct view_request *request,
                                 struct hd_err *err)
{
    *request = (struct view_request){.run = -1, .job = -1, .after = -1, .budget = (double)NAN};
    enum hd_code code = read_word(arguments, "run", request->run_id, sizeof(request->run_id), err);
    if (code == HD_OK)
        code = read_number(arguments, "job", 0, UINT32_MAX, &request->job, err);
    if (code == HD_OK)
        code = read_number(arguments, "after", -1, INT64_MAX, &request->after, err);
    if (code == HD_OK)
        code = read_number(arguments, "limit", 1, HD_VIEW_LIMIT_MAX, &request->limit, err);
    if (code == HD_OK)
        code = read_word(arguments, "state", request->state, sizeof(request->state), err);
    if (code == HD_OK)
        code = read_word(arguments, "outcome", request->outcome, sizeof(request->outcome), err);
    if (code == HD_OK)
        code = check_words(request, err);
    if (hd_value_is_number(hd_value_get(arguments, "budget")))
        request->budget = hd_value_number(hd_value_get(arguments, "budget"));
    return code;
}

static enum hd_code fail_ambiguous(struct hd_view *view, const struct view_request *request,
                                   struct hd_err *err)
{
    struct hd_value *row = NULL;
    enum hd_code code = view_one(view, request,
                                 "SELECT count(*) AS count, (SELECT group_concat(run_id, ', ') FROM"
                                 " (SELECT run_id FROM runs ORDER BY run DESC LIMIT 10)) AS names"
                                 " FROM runs",
                                 &row, err);
    if (code != HD_OK)
        return code;
    int64_t count = hd_value_get(row, "count")->as.integer;
    code = hd_fail(err, HD_E_CONFLICT, "there are %lld runs, name one: %s%s", (long long)count,
                   hd_value_get(row, "names")->as.string, count > 10 ? " ..." : "");
    hd_value_free(row);
    return code;
}

/* The run named, or the only one. */
static enum hd_code find_run(struct hd_view *view, bool optional, struct view_request *request,
                             struct hd_err *err)
{
    bool named = request->run_id[0] != '\0';
    if (!named && optional)
        return HD_OK;
    sqlite3_stmt *statement = NULL;
    enum hd_code code = view_query(view, request,
                                   "SELECT run, run_id, count(*) OVER () FROM runs"
                                   " WHERE ?5 IS NULL OR run_id = ?5 LIMIT 1",
                                   &statement, err);
    if (code != HD_OK)
        return code;
    if (named) /* ?5 is the state that is asked for elsewhere; here it is the run */
        (void)sqlite3_bind_text(statement, 5, request->run_id, -1, SQLITE_STATIC);
    else
        (void)sqlite3_bind_null(statement, 5);
    int step = sqlite3_step(statement);
    int64_t count = 0;
    if (step == SQLITE_ROW) {
        const char *run_id = (const char *)sqlite3_column_text(statement, 1);
        request->run = sqlite3_column_int64(statement, 0);
        (void)hd_copy_text(request->run_id, sizeof(request->run_id), run_id != NULL ? run_id : "");
        count = sqlite3_column_int64(statement, 2);
    } else if (step != SQLITE_DONE) {
        code = hd_sqlite_fail(view->db, step, "runs", err);
    }
    sqlite3_finalize(statement);
    if (code == HD_OK && count == 0)
        code = named ? hd_fail(err, HD_E_NOTFOUND, "there is no run \"%s\"", request->run_id)
                     : hd_fail(err, HD_E_NOTFOUND, "there is no run yet");
    return code == HD_OK && count > 1 ? fail_ambiguous(view, request, err) : code;
}

/* ---- dispatch ---------------------------------------------------------------------------------
 */

static const struct {
    const char *name;
    view_fn fill;
    bool run_optional;
    bool needs_job;
} views[] = {
    {"runs", view_runs, true, false},      {"status", view_status, false, false},
    {"best", view_best, false, false},     {"jobs", view_jobs, false, false},
    {"job", view_job, false, true},        {"explain", view_explain, false, true},
    {"events", view_events, true, false},  {"workers", view_workers, true, false},
    {"export", view_export, false, false}, {"experiment", view_experiment, false, false},
};

const char *const *hd_view_names(void)
{
    static const char *const names[] = {"runs",   "status",     "best",   "jobs",
                                        "job",    "explain",    "events", "workers",
                                        "export", "experiment", NULL};
    return names;
}

static enum hd_code answer(struct hd_view *view, size_t index, const struct hd_value *arguments,
                           struct hd_value *object, struct hd_err *err)
{
    struct view_request request;
    enum hd_code code = read_request(arguments, &request, err);
    if (code == HD_OK && views[index].needs_job && request.job < 0)
        code = hd_fail(err, HD_E_INVALID, "%s needs the number of a job", views[index].name);
    if (code == HD_OK)
        code = find_run(view, views[index].run_optional, &request, err);
    return code == HD_OK ? views[index].fill(view, &request, object, err) : code;
}

static void end_reading(struct hd_view *view)
{
    if (sqlite3_get_autocommit(view->db) != 0)
        return;
    (void)sqlite3_step(view->rollback);
    (void)sqlite3_reset(view->rollback);
}

/* A transaction that could not be ended would hide all later commits: it is ended first. */
static enum hd_code begin_reading(struct hd_view *view, struct hd_err *err)
{
    end_reading(view);
    int code = sqlite3_step(view->begin);
    (void)sqlite3_reset(view->begin);
    return code == SQLITE_DONE ? HD_OK : hd_sqlite_fail(view->db, code, "begin", err);
}

enum hd_code hd_view_read(struct hd_view *view, const char *name, const struct hd_value *arguments,
                          struct hd_value **ret_value, struct hd_err *err)
{
    size_t index = 0;
    while (index < HD_COUNT(views) && !hd_streq(views[index].name, name))
        index++;
    if (index == HD_COUNT(views))
        return hd_fail(err, HD_E_INVALID, "there is no view \"%s\"", name);
    struct hd_value *object = hd_value_new_object();
    if (object == NULL)
        return hd_fail(err, HD_E_NOMEM, "no memory for an answer");
    enum hd_code code = begin_reading(view, err);
    if (code == HD_OK)
        code = answer(view, index, arguments, object, err);
    end_reading(view);
    if (code != HD_OK) {
        hd_value_free(object);
        return code;
    }
    *ret_value = object;
    return HD_OK;
}
