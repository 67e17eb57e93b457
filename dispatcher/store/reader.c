/* SPDX-License-Identifier: Apache-2.0 */
/* reader.c: opening a store's file for examination, its facts and its views. */
#include <math.h>
#include <string.h>
#include <unistd.h>

#include "noise.h"
#include "reader_impl.h"

/* ---- open --------------------------------------------------------------------------------------
 */

/* The views and tables of this version are made in a copy that nobody else sees and that is gone
 * with the connection; a copy of more than some megabytes lies in SQLite's directory of temporary
 * files. */
static enum hd_code open_migrated(struct hd_reader *reader, struct hd_err *err)
{
    sqlite3 *copy = NULL;
    int opened = sqlite3_open_v2("", &copy, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX, NULL);
    enum hd_code code = HD_OK;
    if (opened != SQLITE_OK)
        code = hd_sqlite_fail(copy, opened, "a temporary copy", err);
    if (code == HD_OK)
        code = reader_copy_pages(reader->db, copy, err);
    if (code == HD_OK)
        code = hd_sqlite_migrate(copy, reader->version, err);
    if (code != HD_OK) {
        sqlite3_close(copy);
        return hd_fail_in(err, "bringing a copy up to date");
    }
    reader->original = reader->db;
    reader->db = copy;
    return HD_OK;
}

/* From here on the connection sees this commit and no later one. */
static enum hd_code begin(sqlite3 *db, struct hd_err *err)
{
    int code = sqlite3_exec(db, "BEGIN; SELECT count(*) FROM sqlite_schema", NULL, NULL, NULL);
    return code == SQLITE_OK ? HD_OK : hd_sqlite_fail(db, code, "begin", err);
}

enum hd_code hd_reader_open(const char *path, struct hd_reader **ret_reader, struct hd_err *err)
{
    struct hd_err spare;
    err = err != NULL ? err : &spare;
    struct hd_reader *reader = hd_calloc(1, sizeof(*reader));
    if (reader == NULL)
        return hd_fail(err, HD_E_NOMEM, "no memory to read a store");
    enum hd_code code = hd_sqlite_find_file(path, reader->path, err);
    if (code == HD_OK) {
        code = hd_sqlite_open_for_reading(reader->path, &reader->db, err);
        if (code == HD_OK)
            code = begin(reader->db, err);
        if (code == HD_OK)
            code = hd_sqlite_version(reader->db, &reader->version, err);
        if (code == HD_OK && reader->version < HD_STORE_SCHEMA_VERSION)
            code = open_migrated(reader, err);
        if (code != HD_OK)
            (void)hd_fail_in(err, "%s", reader->path);
    }
    if (code != HD_OK) {
        hd_reader_close(reader);
        return code;
    }
    *ret_reader = reader;
    return HD_OK;
}

void hd_reader_close(struct hd_reader *reader)
{
    if (reader == NULL)
        return;
    int code = sqlite3_close(reader->db);
    hd_assert(code == SQLITE_OK);
    code = sqlite3_close(reader->original);
    hd_assert(code == SQLITE_OK);
    hd_free(reader);
}

const char *hd_reader_path(const struct hd_reader *reader)
{
    return reader->path;
}

int64_t hd_reader_version(const struct hd_reader *reader)
{
    return reader->version;
}

enum hd_code hd_reader_load(struct hd_reader *reader, hd_fact_fn each, void *context,
                            uint64_t *ret_last_seq, struct hd_err *err)
{
    return hd_sqlite_load(reader->db, each, context, ret_last_seq, err);
}

/* ---- views ------------------------------------------------------------------------------------
 */

static const char *text_of(sqlite3_stmt *row, int column)
{
    const char *text = (const char *)sqlite3_column_text(row, column);
    return text != NULL ? text : "";
}

static double number_of(sqlite3_stmt *row, int column)
{
    return sqlite3_column_type(row, column) == SQLITE_NULL ? (double)NAN
                                                           : sqlite3_column_double(row, column);
}

static int64_t integer_of(sqlite3_stmt *row, int column)
{
    return sqlite3_column_type(row, column) == SQLITE_NULL ? -1 : sqlite3_column_int64(row, column);
}

/* Steps to the next row; *ret_more false at the end. */
static enum hd_code next_row(struct hd_reader *reader, sqlite3_stmt *statement, bool *ret_more,
                             const char *what, struct hd_err *err)
{
    int step = sqlite3_step(statement);
    *ret_more = step == SQLITE_ROW;
    return step == SQLITE_ROW || step == SQLITE_DONE ? HD_OK
                                                     : hd_sqlite_fail(reader->db, step, what, err);
}

/* A noisy target's incumbent is no row. As long as nothing has a result at the largest budget it is
 * the best single result. */
static enum hd_code believe(sqlite3 *db, double largest, struct hd_reader_run *row,
                            struct hd_err *err)
{
    struct hd_race *race;
    struct hd_race_estimate best;
    enum hd_code code = store_race(db, row->run, NULL, NULL, &race, err);
    if (code != HD_OK)
        return code;
    if (hd_race_best(race, &best)) {
        row->incumbent_job = best.job;
        row->incumbent_budget = largest;
        row->incumbent_loss = best.loss;
    }
    hd_race_free(race);
    return HD_OK;
}

enum hd_code hd_reader_runs(struct hd_reader *reader, hd_reader_run_fn each, void *context,
                            struct hd_err *err)
{
    sqlite3_stmt *rows = NULL;
    bool more = true;
    int prepared = sqlite3_prepare_v2(
        reader->db,
        "SELECT v.run, v.run_id, v.state, v.reason, v.configs, v.jobs, v.jobs_closed, v.jobs_ok,"
        " best.job, best.budget, best.loss, json_extract(runs.experiment, '$.noise.repeats') > 1,"
        " coalesce(json_extract(runs.experiment, '$.budget.max'), 1)"
        " FROM v_runs AS v JOIN runs ON runs.run = v.run"
        " LEFT JOIN v_incumbents AS best ON best.run = v.run AND best.budget ="
        "  (SELECT max(budget) FROM v_incumbents AS other WHERE other.run = v.run)"
        " ORDER BY v.run",
        -1, &rows, NULL);
    enum hd_code code =
        prepared == SQLITE_OK ? HD_OK : hd_sqlite_fail(reader->db, prepared, "v_runs", err);
    while (code == HD_OK) {
        code = next_row(reader, rows, &more, "v_runs", err);
        if (code != HD_OK || !more)
            break;
        struct hd_reader_run row = {
            .run = sqlite3_column_int64(rows, 0),
            .run_id = text_of(rows, 1),
            .state = text_of(rows, 2),
            .reason = text_of(rows, 3),
            .configs = integer_of(rows, 4),
            .jobs = integer_of(rows, 5),
            .jobs_closed = integer_of(rows, 6),
            .jobs_ok = integer_of(rows, 7),
            .incumbent_job = integer_of(rows, 8),
            .incumbent_budget = number_of(rows, 9),
            .incumbent_loss = number_of(rows, 10),
        };
        if (integer_of(rows, 11) > 0)
            code = believe(reader->db, number_of(rows, 12), &row, err);
        if (code == HD_OK)
            code = each(context, &row, err);
    }
    sqlite3_finalize(rows);
    return code;
}

enum hd_code hd_reader_jobs(struct hd_reader *reader, hd_reader_job_fn each, void *context,
                            struct hd_err *err)
{
    sqlite3_stmt *rows = NULL;
    bool more = true;
    int prepared =
        sqlite3_prepare_v2(reader->db,
                           "SELECT run, job, config, attempt, iteration, rung, config_id, state,"
                           " outcome, worker, budget, budget_previous, loss FROM v_jobs",
                           -1, &rows, NULL);
    enum hd_code code =
        prepared == SQLITE_OK ? HD_OK : hd_sqlite_fail(reader->db, prepared, "v_jobs", err);
    while (code == HD_OK) {
        code = next_row(reader, rows, &more, "v_jobs", err);
        if (code != HD_OK || !more)
            break;
        const struct hd_reader_job row = {
            .run = integer_of(rows, 0),
            .job = integer_of(rows, 1),
            .config = integer_of(rows, 2),
            .attempt = integer_of(rows, 3),
            .iteration = integer_of(rows, 4),
            .rung = integer_of(rows, 5),
            .config_id = text_of(rows, 6),
            .state = text_of(rows, 7),
            .outcome = text_of(rows, 8),
            .worker = text_of(rows, 9),
            .budget = number_of(rows, 10),
            .budget_previous = number_of(rows, 11),
            .loss = number_of(rows, 12),
        };
        code = each(context, &row, err);
    }
    sqlite3_finalize(rows);
    return code;
}
