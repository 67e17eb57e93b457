/* SPDX-License-Identifier: Apache-2.0 */
/* cluster_books.c: what the state says, what the targets say, and whether they agree. */
#include "cluster.h"

#include <fcntl.h>
#include <math.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* ---- state ---------------------------------------------------------------------------------- */

static void copy_column(sqlite3_stmt *statement, int column, char *text, size_t size)
{
    const char *value = (const char *)sqlite3_column_text(statement, column);
    snprintf(text, size, "%s", value != NULL ? value : "");
}

static void read_row(sqlite3_stmt *statement, struct results *results)
{
    results->rows = realloc(results->rows, (results->count + 1) * sizeof(*results->rows));
    assert_non_null(results->rows);
    struct result *row = &results->rows[results->count++];
    *row = (struct result){.job = (uint32_t)sqlite3_column_int64(statement, 0),
                           .attempt = (uint32_t)sqlite3_column_int64(statement, 1),
                           .loss = sqlite3_column_type(statement, 3) == SQLITE_NULL
                                       ? NAN
                                       : sqlite3_column_double(statement, 3)};
    copy_column(statement, 2, row->outcome, sizeof(row->outcome));
    copy_column(statement, 4, row->message, sizeof(row->message));
}

static bool each_row(sqlite3 *db, const char *sql, const char *run_id, struct results *results,
                     void (*take)(sqlite3_stmt *, struct results *))
{
    sqlite3_stmt *statement = NULL;
    int code = sqlite3_prepare_v2(db, sql, -1, &statement, NULL);
    if (code == SQLITE_OK)
        sqlite3_bind_text(statement, 1, run_id, -1, SQLITE_STATIC);
    while (code == SQLITE_OK || code == SQLITE_ROW) {
        code = sqlite3_step(statement);
        if (code == SQLITE_ROW)
            take(statement, results);
    }
    sqlite3_finalize(statement);
    return code == SQLITE_DONE;
}

static void read_run(sqlite3_stmt *statement, struct results *results)
{
    copy_column(statement, 0, results->state, sizeof(results->state));
    copy_column(statement, 1, results->reason, sizeof(results->reason));
    results->jobs = (uint32_t)sqlite3_column_int64(statement, 2);
    results->configs = (uint32_t)sqlite3_column_int64(statement, 3);
}

/* One snapshot: both questions in one transaction. */
static bool try_results(const char *path, const char *run_id, struct results *results)
{
    sqlite3 *db = NULL;
    bool done = sqlite3_open_v2(path, &db, SQLITE_OPEN_READONLY, NULL) == SQLITE_OK &&
                sqlite3_busy_timeout(db, 5000) == SQLITE_OK &&
                sqlite3_exec(db, "BEGIN", NULL, NULL, NULL) == SQLITE_OK &&
                each_row(db,
                         "SELECT e.job, coalesce(e.attempt, 0), e.outcome, e.loss, e.message "
                         "FROM attempt_ends AS e JOIN runs ON runs.run = e.run "
                         "WHERE runs.run_id = ? AND e.requeued = 0 ORDER BY e.job, e.seq",
                         run_id, results, read_row) &&
                each_row(db, "SELECT state, reason, jobs, configs FROM v_runs WHERE run_id = ?",
                         run_id, results, read_run);
    sqlite3_close(db);
    return done;
}

void cluster_results(struct cluster *cluster, const char *run_id, struct results *ret_results)
{
    char path[4096];
    assert_true(hd_format(path, sizeof(path), "%s/state.db", cluster->state_dir));
    *ret_results = (struct results){0};
    if (access(path, R_OK) != 0)
        return;
    /* A master that is just making its file, or was killed in the middle of it. */
    if (!try_results(path, run_id, ret_results))
        results_release(ret_results);
}

void results_release(struct results *results)
{
    free(results->rows);
    *results = (struct results){0};
}

static const struct result *find_result(const struct results *results, uint32_t job)
{
    for (size_t i = 0; i < results->count; i++)
        if (results->rows[i].job == job)
            return &results->rows[i];
    return NULL;
}

static bool same_number(double a, double b)
{
    return memcmp(&a, &b, sizeof(a)) == 0 || (isnan(a) && isnan(b));
}

void assert_results_kept(struct cluster *cluster, const struct results *before,
                         const struct results *after)
{
    for (size_t i = 0; i < before->count; i++) {
        const struct result *old = &before->rows[i];
        const struct result *now = find_result(after, old->job);
        if (now == NULL)
            cluster_fail(cluster, "the accepted result of job %u is lost", old->job);
        else if (now->attempt != old->attempt || !same_number(now->loss, old->loss) ||
                 !hd_streq(now->outcome, old->outcome))
            cluster_fail(cluster,
                         "the accepted result of job %u changed: attempt %u %s %g, then "
                         "attempt %u %s %g",
                         old->job, old->attempt, old->outcome, old->loss, now->attempt,
                         now->outcome, now->loss);
    }
}

bool cluster_run_is(struct cluster *cluster, const char *run_id, const char *state)
{
    struct results results;
    cluster_results(cluster, run_id, &results);
    bool is = hd_streq(results.state, state);
    results_release(&results);
    return is;
}

size_t cluster_accepted(struct cluster *cluster, const char *run_id)
{
    struct results results;
    cluster_results(cluster, run_id, &results);
    size_t count = results.count;
    results_release(&results);
    return count;
}

struct hd_value *cluster_json(const char *text)
{
    struct hd_err err;
    struct hd_value *value = NULL;
    if (hd_json_parse(text, strlen(text), "output", &hd_value_limits_file, &value, &err) != HD_OK)
        fail_msg("%s in: %s", err.text, text);
    return value;
}

/* ---- the targets' ledger -------------------------------------------------------------------- */

void cluster_ledger_open(struct cluster *cluster, bool fifo)
{
    char *path = cluster_path(cluster, "books/ledger");
    assert_int_equal(mkdir(cluster_path(cluster, "books"), 0755), 0);
    cluster->ledger = fifo ? cluster_path(cluster, "ledger") : path;
    if (!fifo)
        return;
    assert_int_equal(mkfifo(path, 0666), 0);
    assert_int_equal(chmod(path, 0666), 0);
    cluster->fifo = open(path, O_RDWR | O_NONBLOCK | O_CLOEXEC);
    assert_true(cluster->fifo >= 0);
}

void cluster_ledger_read(struct cluster *cluster, struct ledger *ret_ledger)
{
    cluster_tick(cluster);
    *ret_ledger = (struct ledger){0};
    if (access(cluster->ledger, R_OK) != 0)
        return;
    FILE *file = fopen(cluster->ledger, "r");
    char line[1024];
    assert_non_null(file);
    while (fgets(line, sizeof(line), file) != NULL) {
        struct entry entry = {0};
        if (sscanf(line, "%15s %63s %u %u %lf %lf", entry.word, entry.run, &entry.job,
                   &entry.attempt, &entry.budget, &entry.loss) != 6)
            cluster_fail(cluster, "a strange line in the ledger: %s", line);
        ret_ledger->entries =
            realloc(ret_ledger->entries, (ret_ledger->count + 1) * sizeof(*ret_ledger->entries));
        assert_non_null(ret_ledger->entries);
        ret_ledger->entries[ret_ledger->count++] = entry;
    }
    fclose(file);
}

void ledger_release(struct ledger *ledger)
{
    free(ledger->entries);
    *ledger = (struct ledger){0};
}

static bool in_ledger(const struct ledger *ledger, const char *run_id, const struct result *result)
{
    for (size_t i = 0; i < ledger->count; i++) {
        const struct entry *entry = &ledger->entries[i];
        if (hd_streq(entry->word, "end") && hd_streq(entry->run, run_id) &&
            entry->job == result->job && entry->attempt == result->attempt &&
            same_number(entry->loss, result->loss))
            return true;
    }
    return false;
}

void assert_ledger_agrees(struct cluster *cluster, const char *run_id,
                          const struct results *results, const struct ledger *ledger)
{
    for (size_t i = 0; i < ledger->count; i++) {
        const struct entry *entry = &ledger->entries[i];
        if (!hd_streq(entry->word, "start") && !hd_streq(entry->word, "end"))
            cluster_fail(cluster, "ledger: %s by job %u of %s, attempt %u", entry->word, entry->job,
                         entry->run, entry->attempt);
    }
    for (size_t i = 0; i < results->count; i++) {
        const struct result *result = &results->rows[i];
        if (hd_streq(result->outcome, "ok") && !in_ledger(ledger, run_id, result))
            cluster_fail(cluster,
                         "the state accepted %.17g for job %u, attempt %u; no target said so",
                         result->loss, result->job, result->attempt);
        if (i > 0 && result->job == results->rows[i - 1].job)
            cluster_fail(cluster, "job %u has two accepted results", result->job);
    }
}
