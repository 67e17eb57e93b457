/* SPDX-License-Identifier: Apache-2.0 */
/* view_jobs.c: views of jobs, and the facts themselves. */
#include <string.h>

#include "rows.h"
#include "sqlite_rows.h"
#include "view_impl.h"

#define PAGE_BYTES (HD_VIEW_JSON_MAX - 4096u) /* beside the head */

enum hd_code view_jobs(struct hd_view *view, const struct view_request *request,
                       struct hd_value *object, struct hd_err *err)
{
    size_t bytes_left = PAGE_BYTES;
    int64_t next = -1;
    enum hd_code code = view_head(view, request, object, err);
    if (code == HD_OK)
        code = view_page(view, request,
                         "SELECT job, config_id AS \"config_id:json\", config, iteration, rung,"
                         " budget, budget_previous, nullif(repeat, 0) AS \"repeat:some\","
                         " again AS \"again:some\", state, outcome, CASE WHEN " VIEW_MEASURED
                         " THEN loss END AS loss,"
                         " measures AS \"measures:some_json\","
                         " CASE WHEN measures IS NOT NULL THEN violation END AS \"violation:some\","
                         " attempt, worker,"
                         " submitted, started, finished, sampler, message,"
                         " params AS \"params:json\" FROM v_jobs"
                         " WHERE run = ?1 AND job > ?3"
                         " AND (?5 IS NULL OR state = ?5) AND (?6 IS NULL OR outcome = ?6)"
                         " ORDER BY job LIMIT ?4",
                         object, "jobs", "job", &bytes_left, &next, err);
    return code == HD_OK ? view_set_number(object, "next", next, err) : code;
}

enum hd_code view_export(struct hd_view *view, const struct view_request *request,
                         struct hd_value *object, struct hd_err *err)
{
    size_t bytes_left = PAGE_BYTES;
    int64_t next = -1;
    enum hd_code code = view_head(view, request, object, err);
    if (code == HD_OK)
        code = view_page(
            view, request,
            "SELECT job, config_id AS \"config_id:json\", budget, CASE WHEN " VIEW_MEASURED
            " THEN loss END AS loss,"
            " measures AS \"measures:some_json\","
            " CASE WHEN measures IS NOT NULL THEN violation END AS \"violation:some\","
            " outcome, nullif(repeat, 0) AS \"repeat:some\","
            " attempt, worker, submitted, started, finished,"
            " params AS \"params:json\" FROM v_jobs"
            " WHERE run = ?1 AND job > ?3 ORDER BY job LIMIT ?4",
            object, "jobs", "job", &bytes_left, &next, err);
    return code == HD_OK ? view_set_number(object, "next", next, err) : code;
}

/* ---- one job -------------------------------------------------------------------------------- */

#define GRAPHS_OF                                                                                  \
    "8" /* of so many last attempts: all of a job's might be too much for a message                \
         */

static enum hd_code add_attempts(struct hd_view *view, const struct view_request *request,
                                 struct hd_value *object, struct hd_err *err)
{
    return view_list(view, request,
                     "SELECT * FROM (SELECT a.attempt, a.worker, utc(a.wall_ms) AS leased,"
                     " a.root AS continues_in_root, a.directory AS continues_in,"
                     " a.budget_previous, e.outcome, e.requeued AS \"requeued:bool\","
                     " e.charged AS \"charged:bool\", CASE WHEN " VIEW_MEASURED
                     " THEN e.loss END AS loss, e.by_report AS \"by_report:bool\","
                     " e.exit_code, e.image_id, e.message, e.info AS \"info:json\","
                     " CASE WHEN a.attempt > (SELECT max(l.attempt) FROM attempts AS l"
                     "  WHERE l.run = a.run AND l.job = a.job) - " GRAPHS_OF
                     " THEN e.graphs END AS \"graphs:some_json\","
                     " utc(e.started_wall_ms) AS started,"
                     " coalesce(utc(e.finished_wall_ms), utc(e.wall_ms)) AS finished,"
                     " e.root, e.directory,"
                     " (SELECT c.image FROM commands AS c WHERE c.run = a.run"
                     "  AND c.op = 'set-image' AND c.seq < a.seq ORDER BY c.seq DESC LIMIT 1)"
                     " AS \"image:some\""
                     " FROM attempts AS a LEFT JOIN attempt_ends AS e ON e.seq ="
                     " (SELECT min(f.seq) FROM attempt_ends AS f WHERE f.run = a.run"
                     "  AND f.job = a.job AND f.attempt = a.attempt)"
                     " WHERE a.run = ?1 AND a.job = ?2 ORDER BY a.attempt DESC LIMIT 100)"
                     " ORDER BY attempt",
                     object, "attempts", err);
}

enum hd_code view_job(struct hd_view *view, const struct view_request *request,
                      struct hd_value *object, struct hd_err *err)
{
    size_t bytes_left = HD_VIEW_JSON_MAX / 4;
    int64_t next = -1;
    enum hd_code code = view_head(view, request, object, err);
    if (code == HD_OK)
        code = view_merge(view, request,
                          "SELECT job, config_id AS \"config_id:json\", config, iteration, rung,"
                          " budget, budget_previous, nullif(repeat, 0) AS \"repeat:some\","
                          " again AS \"again:some\","
                          " (SELECT n.job FROM jobs AS n WHERE n.run = ?1 AND n.again = ?2)"
                          " AS \"requeued_as:some\","
                          " v_jobs.state AS job_state, outcome, CASE WHEN " VIEW_MEASURED
                          " THEN loss END AS loss,"
                          " measures AS \"measures:some_json\","
                          " CASE WHEN measures IS NOT NULL THEN violation END"
                          " AS \"violation:some\","
                          " attempt, worker, submitted, started, finished, sampler, message,"
                          " params AS \"params:json\","
                          " (SELECT printf('%016llx', run_uid) FROM runs WHERE run = ?1) AS run_uid"
                          " FROM v_jobs WHERE run = ?1 AND job = ?2",
                          object, err);
    if (code == HD_OK && hd_value_get(object, "job") == NULL)
        code = hd_fail(err, HD_E_NOTFOUND, "run \"%s\" has no job %lld", request->run_id,
                       (long long)request->job);
    if (code == HD_OK)
        code = add_attempts(view, request, object, err);
    if (code == HD_OK)
        code =
            view_list(view, request,
                      "SELECT seq, utc(wall_ms) AS time, attempt, outcome, CASE WHEN " VIEW_MEASURED
                      " THEN loss END AS loss, worker, reason FROM refused_reports"
                      " WHERE run = ?1 AND job = ?2 ORDER BY seq LIMIT 100",
                      object, "refused", err);
    if (code == HD_OK)
        code = view_page(view, request,
                         "SELECT seq, attempt, step, loss FROM curve_points"
                         " WHERE run = ?1 AND job = ?2 AND seq > ?3 ORDER BY seq LIMIT ?4",
                         object, "curve", "seq", &bytes_left, &next, err);
    return code == HD_OK ? view_set_number(object, "next", next, err) : code;
}

/* ---- events --------------------------------------------------------------------------------- */

/* The part after the column's name that tells view_rows.c what it is. */
static const char *decoration(enum hd_column_type type)
{
    switch (type) {
    case HD_COLUMN_BOOL:
        return ":bool";
    case HD_COLUMN_U64:
        return ":u64";
    case HD_COLUMN_JSON:
        return ":json";
    case HD_COLUMN_NUMBERS:
        return ":some_json";
    case HD_COLUMN_DOUBLES:
        return ":skip";
    case HD_COLUMN_I32:
    case HD_COLUMN_U32:
    case HD_COLUMN_U32_OR_NULL:
    case HD_COLUMN_U32_LESS:
    case HD_COLUMN_I64:
    case HD_COLUMN_REAL:
    case HD_COLUMN_TEXT:
    case HD_COLUMN_NAME:
    case HD_COLUMN_OUTCOME:
    case HD_COLUMN_STATE:
    case HD_COLUMN_OP:
    case HD_COLUMN_LIMIT:
    case HD_COLUMN_WORKER_STATE:
        return "";
    }
    hd_assert(false);
    return "";
}

static enum hd_code events_sql(enum hd_fact_kind kind, struct hd_buf *sql, struct hd_err *err)
{
    const struct hd_table *table = hd_table_of(kind);
    hd_buf_clear(sql);
    enum hd_code code =
        hd_buf_printf(sql, err, "SELECT t.seq, utc(t.wall_ms) AS time, runs.run_id, '%s' AS kind",
                      hd_fact_kind_name(kind));
    for (size_t i = 0; i < table->column_count && code == HD_OK; i++)
        if (hd_streq(table->columns[i].name, "violation")) /* says something beside measures only */
            code = hd_buf_puts(
                sql,
                ", CASE WHEN t.measures IS NOT NULL THEN t.violation END AS \"violation:some\"",
                err);
        else if (hd_streq(table->columns[i].name, "repeat"))
            code = hd_buf_puts(sql, ", nullif(t.repeat, 0) AS \"repeat:some\"", err);
        else if (hd_streq(table->columns[i].name, "again"))
            code = hd_buf_puts(sql, ", t.again AS \"again:some\"", err);
        else if (hd_streq(table->columns[i].name, "image"))
            code = hd_buf_puts(sql, ", nullif(t.image, '') AS \"image:some\"", err);
        else if (hd_streq(table->columns[i].name, "known")) /* as many as a run may have */
            code = hd_buf_puts(sql, ", " VIEW_KNOWN("t") " AS \"known:some\"", err);
        else if (!hd_streq(table->columns[i].name, "run_id") &&
                 !hd_streq(table->columns[i].name, "graphs")) /* hd show has them */
            code = hd_buf_printf(sql, err, ", t.%s AS \"%s%s\"", table->columns[i].name,
                                 table->columns[i].name, decoration(table->columns[i].type));
    if (code == HD_OK)
        code = hd_buf_printf(sql, err,
                             " FROM %s AS t LEFT JOIN runs ON runs.run = t.run WHERE t.seq > ?3"
                             " AND (?1 < 0 OR t.run = ?1)"
                             " ORDER BY t.seq LIMIT ?4",
                             table->name);
    return code;
}

struct events {
    sqlite3_stmt *cursors[HD_FACT_KIND_COUNT];
    struct hd_value *rows[HD_FACT_KIND_COUNT]; /* the next of each; NULL at the end */
};

static enum hd_code open_events(struct hd_view *view, const struct view_request *request,
                                struct events *events, struct hd_err *err)
{
    struct hd_buf sql;
    hd_buf_init(&sql, HD_STORE_SQL_MAX);
    enum hd_code code = HD_OK;
    for (size_t kind = 0; kind < HD_FACT_KIND_COUNT && code == HD_OK; kind++) {
        code = events_sql((enum hd_fact_kind)kind, &sql, err);
        if (code == HD_OK)
            code = view_query(view, request, hd_buf_text(&sql), &events->cursors[kind], err);
        if (code == HD_OK)
            code = view_next(view, events->cursors[kind], &events->rows[kind], err);
    }
    hd_buf_release(&sql);
    return code;
}

static size_t earliest(const struct events *events)
{
    size_t best = HD_FACT_KIND_COUNT;
    int64_t best_seq = INT64_MAX;
    for (size_t kind = 0; kind < HD_FACT_KIND_COUNT; kind++) {
        if (events->rows[kind] == NULL)
            continue;
        int64_t seq = hd_value_get(events->rows[kind], "seq")->as.integer;
        if (seq < best_seq) {
            best = kind;
            best_seq = seq;
        }
    }
    return best;
}

static enum hd_code merge_events(struct hd_view *view, struct events *events, int64_t limit,
                                 struct hd_value *list, int64_t *next, struct hd_err *err)
{
    struct hd_buf scratch;
    hd_buf_init(&scratch, PAGE_BYTES);
    enum hd_code code = HD_OK;
    size_t bytes = 0;
    for (int64_t count = 0; count < limit && code == HD_OK; count++) {
        size_t kind = earliest(events);
        if (kind == HD_FACT_KIND_COUNT)
            break;
        hd_buf_clear(&scratch);
        code = hd_json_write(events->rows[kind], HD_JSON_COMPACT, &scratch, err);
        bytes += scratch.size + 1;
        if (code != HD_OK || bytes > PAGE_BYTES)
            break;
        *next = hd_value_get(events->rows[kind], "seq")->as.integer;
        struct hd_value *row = events->rows[kind];
        events->rows[kind] = NULL;
        if (hd_value_append(list, row) != HD_OK)
            code = hd_fail(err, HD_E_NOMEM, "no memory for an answer");
        if (code == HD_OK)
            code = view_next(view, events->cursors[kind], &events->rows[kind], err);
    }
    hd_buf_release(&scratch);
    return code;
}

enum hd_code view_events(struct hd_view *view, const struct view_request *request,
                         struct hd_value *object, struct hd_err *err)
{
    struct events events = {0};
    int64_t next = request->after > 0 ? request->after : 0;
    int64_t limit = request->limit > 0 ? request->limit : HD_VIEW_LIMIT_DEFAULT;
    struct hd_value *list = hd_value_new_array();
    enum hd_code code = view_set(object, "events", list, err);
    if (code == HD_OK)
        code = open_events(view, request, &events, err);
    if (code == HD_OK)
        code = merge_events(view, &events, limit, list, &next, err);
    for (size_t kind = 0; kind < HD_FACT_KIND_COUNT; kind++) {
        hd_value_free(events.rows[kind]);
        sqlite3_finalize(events.cursors[kind]);
    }
    return code == HD_OK ? view_set_number(object, "next", next, err) : code;
}
