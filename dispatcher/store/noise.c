/* SPDX-License-Identifier: Apache-2.0 */
/* noise.c: the race of a noisy target again, from the rows of a store. */
#include "noise.h"

#include <math.h>

#include <hd/fact.h>

#include "sqlite_rows.h"

static enum hd_code take_row(struct hd_race *race, sqlite3_stmt *row, struct hd_err *err)
{
    enum hd_outcome outcome;
    const char *name = (const char *)sqlite3_column_text(row, 2);
    if (name == NULL || !hd_outcome_parse(name, &outcome))
        return HD_OK; /* of a damaged store: hd fsck says so */
    enum hd_race_end end = hd_outcome_race_end(outcome);
    double loss =
        sqlite3_column_type(row, 3) == SQLITE_NULL ? (double)NAN : sqlite3_column_double(row, 3);
    if (end == HD_RACE_END_OK && !isfinite(loss))
        end = HD_RACE_END_FAILED; /* as in the master */
    enum hd_code code = hd_race_reserve(race, err);
    if (code == HD_OK)
        hd_race_result(race, (uint32_t)sqlite3_column_int64(row, 1),
                       (uint32_t)sqlite3_column_int64(row, 0), end, loss);
    return code;
}

static enum hd_code fold(sqlite3_stmt *rows, sqlite3 *db, struct hd_race *race, store_race_fn each,
                         void *context, struct hd_err *err)
{
    int step;
    while ((step = sqlite3_step(rows)) == SQLITE_ROW) {
        enum hd_code code = take_row(race, rows, err);
        const char *finished = (const char *)sqlite3_column_text(rows, 4);
        if (code == HD_OK && each != NULL)
            code = each(context, race, finished != NULL ? finished : "", err);
        if (code != HD_OK)
            return code;
    }
    return step == SQLITE_DONE ? HD_OK : hd_sqlite_fail(db, step, "results", err);
}

enum hd_code store_race(sqlite3 *db, int64_t run, store_race_fn each, void *context,
                        struct hd_race **ret_race, struct hd_err *err)
{
    static const struct hd_race_spec spec = {.repeats = 2, .share = 0.5}; /* none is asked for */
    struct hd_race *race;
    sqlite3_stmt *rows = NULL;
    enum hd_code code = hd_race_new(&spec, &race, err);
    if (code != HD_OK)
        return code;
    int prepared = sqlite3_prepare_v2(
        db,
        "SELECT e.job, jobs.config, e.outcome, e.loss,"
        " strftime('%Y-%m-%dT%H:%M:%fZ', e.wall_ms / 1000.0, 'unixepoch')"
        " FROM attempt_ends AS e JOIN jobs ON jobs.run = e.run AND jobs.job = e.job"
        " WHERE e.run = ?1 AND e.requeued = 0 AND jobs.budget >="
        "  (SELECT coalesce(json_extract(experiment, '$.budget.max'), 1) FROM runs WHERE run = ?1)"
        " ORDER BY e.seq",
        -1, &rows, NULL);
    if (prepared == SQLITE_OK)
        prepared = sqlite3_bind_int64(rows, 1, run);
    code = prepared == SQLITE_OK ? fold(rows, db, race, each, context, err)
                                 : hd_sqlite_fail(db, prepared, "results", err);
    sqlite3_finalize(rows);
    if (code == HD_OK)
        *ret_race = race;
    else
        hd_race_free(race);
    return code;
}
