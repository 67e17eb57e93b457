/* SPDX-License-Identifier: Apache-2.0 */
/* What only a store on a disk can promise. */
#include "sqlite_faults.h"
#include "store_place.h"
#include "testlib.h"

#include <fcntl.h>
#include <sqlite3.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static struct hd_err err;

/* A store on disk is the same after closing and opening, at any point. */
static void reopened_store_goes_on(void **state)
{
    struct place *place = *state;
    struct test_facts *facts = calloc(1, sizeof(*facts));
    test_facts_random(facts, 13, 200);
    for (size_t done = 0; done < facts->count; done += 25) {
        assert_hd_ok(hd_store_append(place->store, facts->items + done, 25, &err));
        place_close(place);
        assert_hd_ok(place_open(place, &err));
        place_assert_holds(place->store, facts, done + 25);
    }
    test_facts_release(facts);
    free(facts);
}

/* A second opener is refused while the first is there, and told its pid. */
static void second_opener_is_refused(void **state)
{
    struct place *place = *state;
    struct hd_store *second = NULL;
    char pid[32];
    assert_true(hd_format(pid, sizeof(pid), "%d", (int)getpid()));
    assert_hd_fails(hd_store_open_sqlite(place->path, &second, &err), HD_E_BUSY, pid);
    assert_null(second);
    place_close(place);
    assert_hd_ok(place_open(place, &err));
}

/* Only its owner may read a store: an experiment's environment may hold secrets. */
static void file_is_private(void **state)
{
    struct place *place = *state;
    struct stat st;
    assert_int_equal(stat(place->path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
}

static void run_sql(const char *path, const char *sql)
{
    sqlite3 *db = NULL;
    char *message = NULL;
    assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
    if (sqlite3_exec(db, sql, NULL, NULL, &message) != SQLITE_OK)
        fail_msg("%s: %s", sql, message);
    assert_int_equal(sqlite3_close(db), SQLITE_OK);
}

static int64_t number_of(const char *path, const char *sql)
{
    sqlite3 *db = NULL;
    sqlite3_stmt *statement = NULL;
    assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
    assert_int_equal(sqlite3_prepare_v2(db, sql, -1, &statement, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_step(statement), SQLITE_ROW);
    int64_t number = sqlite3_column_int64(statement, 0);
    assert_int_equal(sqlite3_finalize(statement), SQLITE_OK);
    assert_int_equal(sqlite3_close(db), SQLITE_OK);
    return number;
}

static void fill(struct place *place, uint64_t seed, size_t count)
{
    struct test_facts *facts = calloc(1, sizeof(*facts));
    test_facts_random(facts, seed, count);
    assert_hd_ok(hd_store_append(place->store, facts->items, facts->count, &err));
    test_facts_release(facts);
    free(facts);
}

/* A file that is no store is refused and left as it is. */
static void foreign_files_are_refused(void **state)
{
    struct place *place = *state;
    place_close(place);
    assert_int_equal(unlink(place->path), 0);
    test_file_write(place->path, "this is a text, and long enough to be taken for a header: "
                                 "......................................................");
    assert_hd_fails(place_open(place, &err), HD_E_CORRUPT, place->path);
    assert_int_equal(unlink(place->path), 0);
    run_sql(place->path, "CREATE TABLE bookmarks (url TEXT)");
    char *before = test_file_read(place->path, NULL);
    assert_hd_fails(place_open(place, &err), HD_E_CORRUPT, "some other program");
    char *after = test_file_read(place->path, NULL);
    assert_memory_equal(before, after, 100);
    free(before);
    free(after);
}

/* A store of a later version is refused and both ways out are named. */
static void newer_version_is_refused(void **state)
{
    struct place *place = *state;
    place_close(place);
    run_sql(place->path, "PRAGMA user_version = 99");
    assert_hd_fails(place_open(place, &err), HD_E_VERSION, "99");
    run_sql(place->path, "PRAGMA user_version = 5");
    assert_hd_ok(place_open(place, &err));
}

extern const char hd_store_schema_sql[]; /* of version 1 */

static const char version_1_rows[] =
    "INSERT INTO runs VALUES (1, 1000, 0, 'old', 7, 3, '{\"objective\":{\"name\":\"loss\"}}');"
    "INSERT INTO configs VALUES (2, 1001, 0, 0, 0, 0, 0, x'000000000000f03f', '{}', 'random', 0,"
    " NULL, 0, 0);"
    "INSERT INTO jobs VALUES (3, 1002, 0, 0, 0, 0, 0, 9.0, NULL);"
    "INSERT INTO attempts VALUES (4, 1003, 0, 0, 1, 'w', 1, 1, 'r', '', NULL);"
    "INSERT INTO attempt_ends VALUES (5, 1004, 0, 0, 1, 'ok', 0, 0, 0.25, 1, 'w', 1, 1, 0, 0, 0, "
    "'',"
    " NULL, 'r', 'd');"
    "PRAGMA application_id = 0x48446b31; PRAGMA user_version = 1";

static enum hd_code take_end(void *context, const struct hd_fact *fact, struct hd_err *unused)
{
    (void)unused;
    if (fact->kind == HD_FACT_ATTEMPT_ENDED) {
        assert_true(fact->as.attempt_ended.loss == 0.25);
        assert_int_equal(fact->as.attempt_ended.measure_count, 0);
        assert_true(fact->as.attempt_ended.violation == 0);
    }
    ++*(size_t *)context;
    return HD_OK;
}

/* A file of version 1 opens, holds what it held, and takes new facts; it is of this version then.
 */
static void version_1_is_migrated(void **state)
{
    struct place *place = *state;
    size_t count = 0;
    place_close(place);
    assert_int_equal(unlink(place->path), 0);
    run_sql(place->path, hd_store_schema_sql);
    run_sql(place->path, version_1_rows);
    for (int round = 0; round < 2; round++) {
        assert_hd_ok(place_open(place, &err));
        assert_hd_ok(hd_store_load(place->store, take_end, &count, &err));
        assert_int_equal(count, 5);
        count = 0;
        place_close(place);
        assert_int_equal(number_of(place->path, "PRAGMA user_version"), 5);
        assert_int_equal(number_of(place->path, "SELECT count(*) FROM v_incumbents WHERE"
                                                " loss = 0.25 AND violation = 0"
                                                " AND measures IS NULL"),
                         1);
    }
    static const double measures[] = {0.5, -2, 1e-300};
    struct hd_fact fact = {.seq = 6,
                           .wall_ms = 2000,
                           .kind = HD_FACT_ATTEMPT_ENDED,
                           .as.attempt_ended = {.attempt = 0,
                                                .outcome = HD_OUTCOME_OK,
                                                .requeued = true,
                                                .loss = 0.5,
                                                .measures = measures,
                                                .measure_count = 3,
                                                .violation = 0.125,
                                                .worker = "",
                                                .message = "",
                                                .info_json = "",
                                                .root = "",
                                                .directory = ""}};
    assert_hd_ok(place_open(place, &err));
    assert_hd_ok(hd_store_append(place->store, &fact, 1, &err));
    place_close(place);
    assert_int_equal(number_of(place->path, "SELECT seq FROM attempt_ends WHERE violation = 0.125"
                                            " AND json_extract(measures, '$[1]') = -2"),
                     6);
    assert_hd_ok(place_open(place, &err));
}

static enum hd_code keep_fact(void *context, const struct hd_fact *fact, struct hd_err *unused)
{
    (void)unused;
    struct hd_fact *facts = context;
    if (fact->kind == HD_FACT_COMMAND_GIVEN)
        assert_string_equal(fact->as.command_given.reason, "since I say so");
    if (fact->kind == HD_FACT_ATTEMPT_ENDED)
        assert_string_equal(fact->as.attempt_ended.label, "");
    facts[fact->seq - 1] = *fact;
    return HD_OK;
}

/* A store of version 1 is brought up to date with all that it holds, and goes on. */
static void older_version_is_brought_up_to_date(void **state)
{
    struct place *place = *state;
    place_remove(place);
    place_make(place, true);
    run_sql(place->path, hd_store_schema_sql);
    run_sql(
        place->path,
        "INSERT INTO runs VALUES (1, 7, 0, 'r', 77, 1, '{}');"
        "INSERT INTO configs VALUES (2, 7, 0, 0, 0, 0, 0, x'', '{}', 'random', 0, NULL, 0, 0);"
        "INSERT INTO jobs VALUES (3, 7, 0, 0, 0, 0, 0, 1.0, NULL);"
        "INSERT INTO attempts VALUES (4, 7, 0, 0, 1, 'w', 1, 1, '', '', NULL);"
        "INSERT INTO attempt_ends VALUES (5, 7, 0, 0, 1, 'ok', 0, 0, 0.5, 1, 'w', 1, 1, 0, 0, 0,"
        " '', NULL, '', '');"
        "INSERT INTO commands VALUES (6, 7, 0, 'cancel-job', 3, 'since I say so');"
        "PRAGMA application_id = 0x48446b31; PRAGMA user_version = 1");
    assert_hd_ok(place_open(place, &err));
    struct hd_fact facts[6];
    assert_hd_ok(hd_store_load(place->store, keep_fact, facts, &err));
    assert_int_equal(hd_store_last_seq(place->store), 6);
    assert_int_equal(facts[5].as.command_given.op, HD_COMMAND_CANCEL_JOB);
    assert_int_equal(facts[5].as.command_given.job, 3);
    assert_int_equal(facts[4].as.attempt_ended.rule, 0);
    struct hd_fact more = {.seq = 7,
                           .run = HD_RUN_NONE,
                           .kind = HD_FACT_WORKER_STATE,
                           .as.worker_state = {"w", HD_WORKER_QUARANTINED, "three jobs"}};
    assert_hd_ok(hd_store_append(place->store, &more, 1, &err));
    more = (struct hd_fact){
        .seq = 8,
        .kind = HD_FACT_COMMAND_GIVEN,
        .as.command_given = {.op = HD_COMMAND_SET_LIMIT, .limit = HD_LIMIT_JOBS, .value = 9}};
    assert_hd_ok(hd_store_append(place->store, &more, 1, &err));
}

/* A fact that has gone is noticed when loading, wherever it was. */
static void missing_facts_are_noticed(void **state)
{
    struct place *place = *state;
    static const char *const deletions[] = {
        "DELETE FROM runs WHERE seq = 1",
        "DELETE FROM run_states WHERE seq = (SELECT min(seq) FROM run_states)",
        "UPDATE commands SET seq = 100000 WHERE seq = (SELECT max(seq) FROM commands)",
    };
    for (size_t i = 0; i < HD_COUNT(deletions); i++) {
        struct place fresh;
        place_make(&fresh, place->sqlite);
        assert_hd_ok(place_open(&fresh, &err));
        fill(&fresh, 14, 300);
        place_close(&fresh);
        run_sql(fresh.path, deletions[i]);
        assert_hd_ok(place_open(&fresh, &err));
        assert_hd_fails(hd_store_load(fresh.store, place_ignore_fact, NULL, &err), HD_E_CORRUPT,
                        "missing");
        place_remove(&fresh);
    }
}

/* A value that no fact could have written is refused with its place. */
static void impossible_values_are_noticed(void **state)
{
    struct place *place = *state;
    fill(place, 15, 100);
    place_close(place);
    run_sql(place->path, "UPDATE jobs SET rung = -3 WHERE seq = (SELECT min(seq) FROM jobs)");
    assert_hd_ok(place_open(place, &err));
    assert_hd_fails(hd_store_load(place->store, place_ignore_fact, NULL, &err), HD_E_CORRUPT,
                    "column rung");
    place_close(place);
    run_sql(place->path, "UPDATE jobs SET rung = 0; UPDATE configs SET values_f64 = x'0102'");
    assert_hd_ok(place_open(place, &err));
    assert_hd_fails(hd_store_load(place->store, place_ignore_fact, NULL, &err), HD_E_CORRUPT,
                    "column values_f64");
}

/* Pages overwritten with noise are noticed at open or load; nothing is invented. */
static void damaged_pages_are_noticed(void **state)
{
    struct place *place = *state;
    fill(place, 16, 400);
    place_close(place);
    struct stat st;
    assert_int_equal(stat(place->path, &st), 0);
    int fd = open(place->path, O_RDWR);
    assert_true(fd >= 0);
    unsigned char noise[4096];
    memset(noise, 0xa5, sizeof(noise));
    for (off_t at = 4096; at + 4096 <= st.st_size; at += 4096)
        assert_int_equal(pwrite(fd, noise, sizeof(noise), at), (ssize_t)sizeof(noise));
    close(fd);
    enum hd_code code = place_open(place, &err);
    if (code == HD_OK)
        code = hd_store_load(place->store, place_ignore_fact, NULL, &err);
    assert_int_equal(code, HD_E_CORRUPT);
}

/* A full disk keeps nothing of the batch; the same batch succeeds when there is room again. */
static void full_disk_can_be_retried(void **state)
{
    struct place *place = *state;
    struct test_facts *facts = calloc(1, sizeof(*facts));
    test_facts_random(facts, 17, 400);
    assert_hd_ok(hd_store_append(place->store, facts->items, 20, &err));
    sqlite_faults_disk(64 * 1024);
    size_t done = 20;
    enum hd_code code = HD_OK;
    while (code == HD_OK && done < facts->count) {
        code = hd_store_append(place->store, facts->items + done, 20, &err);
        done += code == HD_OK ? 20 : 0;
    }
    assert_int_equal(code, HD_E_FULL);
    for (int i = 0; i < 3; i++)
        assert_hd_fails(hd_store_append(place->store, facts->items + done, 20, &err), HD_E_FULL,
                        "full");
    place_assert_holds(place->store, facts, done);
    sqlite_faults_disk(-1);
    assert_hd_ok(hd_store_append(place->store, facts->items + done, facts->count - done, &err));
    place_assert_holds(place->store, facts, facts->count);
    place_close(place);
    assert_hd_ok(place_open(place, &err));
    place_assert_holds(place->store, facts, facts->count);
    test_facts_release(facts);
    free(facts);
}

/* A failed fsync is final: nobody may trust the connection again; a reopened store is whole. */
static void failed_fsync_is_final(void **state)
{
    struct place *place = *state;
    struct test_facts *facts = calloc(1, sizeof(*facts));
    test_facts_random(facts, 18, STORE_PLACE_BATCH * 2);
    assert_hd_ok(hd_store_append(place->store, facts->items, STORE_PLACE_BATCH, &err));
    sqlite_faults_sync_after(0);
    const struct hd_fact *rest = facts->items + STORE_PLACE_BATCH;
    assert_hd_fails(hd_store_append(place->store, rest, STORE_PLACE_BATCH, &err), HD_E_IO,
                    "commit");
    assert_hd_fails(hd_store_append(place->store, rest, STORE_PLACE_BATCH, &err), HD_E_IO,
                    "failed before");
    place_close(place);
    place_assert_recovers(place, facts, STORE_PLACE_BATCH);
    test_facts_release(facts);
    free(facts);
}

static void append_one(struct place *place, struct hd_fact fact, enum hd_code expected)
{
    fact.seq = hd_store_last_seq(place->store) + 1;
    enum hd_code code = hd_store_append(place->store, &fact, 1, &err);
    if (code != expected)
        fail_msg("kind %d: %s: %s", (int)fact.kind, hd_code_name(code), err.text);
}

/* Nothing is made twice: neither a run, a config, a job, an attempt, nor the end of a job. */
static void what_exists_is_refused(void **state)
{
    struct place *place = *state;
    double value = 0.5;
    struct hd_fact run = {.kind = HD_FACT_RUN_CREATED, .as.run_created = {.run_id = "a"}};
    struct hd_fact config = {.kind = HD_FACT_CONFIG_PROPOSED,
                             .as.config_proposed = {.values = &value, .value_count = 1}};
    struct hd_fact job = {.kind = HD_FACT_JOB_QUEUED, .as.job_queued = {.budget = 1}};
    struct hd_fact lease = {.kind = HD_FACT_ATTEMPT_LEASED,
                            .as.attempt_leased = {.attempt = 1, .worker = "w"}};
    struct hd_fact end = {.kind = HD_FACT_ATTEMPT_ENDED, .as.attempt_ended = {.attempt = 1}};
    const struct hd_fact all[] = {run, config, job, lease, end};
    for (size_t i = 0; i < HD_COUNT(all); i++) {
        append_one(place, all[i], HD_OK);
        append_one(place, all[i], HD_E_INVALID);
    }
    assert_int_equal(hd_store_last_seq(place->store), HD_COUNT(all));
}

/* The fact that is refused is named, and nothing of its commit is kept. */
static void one_that_is_refused_takes_all_with_it(void **state)
{
    struct place *place = *state;
    double value = 0.5;
    struct hd_fact run = {.kind = HD_FACT_RUN_CREATED, .as.run_created = {.run_id = "a"}};
    append_one(place, run, HD_OK);
    struct hd_fact facts[4] = {{.kind = HD_FACT_CONFIG_PROPOSED},
                               {.kind = HD_FACT_JOB_QUEUED, .as.job_queued = {.budget = 1}},
                               {.kind = HD_FACT_CONFIG_PROPOSED},
                               {.kind = HD_FACT_CONFIG_PROPOSED}};
    for (uint32_t i = 0; i < HD_COUNT(facts); i++)
        facts[i].seq = 2 + i;
    for (uint32_t i = 0; i < HD_COUNT(facts); i++)
        if (facts[i].kind == HD_FACT_CONFIG_PROPOSED)
            facts[i].as.config_proposed = (struct hd_fact_config_proposed){
                .config = i == 2 ? 0 : i, .values = &value, .value_count = 1};
    assert_int_equal(hd_store_append(place->store, facts, HD_COUNT(facts), &err), HD_E_INVALID);
    assert_non_null(strstr(err.text, "fact 4: configs"));
    assert_int_equal(hd_store_last_seq(place->store), 1);
    facts[2].as.config_proposed.config = 2;
    assert_hd_ok(hd_store_append(place->store, facts, HD_COUNT(facts), &err));
}

/* A reader in the middle of its transaction does not hold up the master. */
static void readers_do_not_block(void **state)
{
    struct place *place = *state;
    fill(place, 19, 50);
    sqlite3 *db = NULL;
    assert_int_equal(sqlite3_open_v2(place->path, &db, SQLITE_OPEN_READONLY, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_exec(db, "BEGIN; SELECT count(*) FROM runs", NULL, NULL, NULL),
                     SQLITE_OK);
    struct hd_fact fact = {.kind = HD_FACT_RUN_STATE};
    append_one(place, fact, HD_OK);
    assert_int_equal(sqlite3_close(db), SQLITE_OK);
}

static int count_rows(void *context, int column_count, char **values, char **names)
{
    (void)column_count;
    (void)values;
    (void)names;
    ++*(int *)context;
    return 0;
}

/* Every view can be read in full over any facts. */
static void views_can_be_read(void **state)
{
    struct place *place = *state;
    fill(place, 20, 1000);
    static const struct {
        const char *view, *table;
    } rows[] = {{"v_jobs", "jobs"}, {"v_runs", "runs"}, {"v_curve", "curve_points"}};
    sqlite3 *db = NULL;
    assert_int_equal(sqlite3_open_v2(place->path, &db, SQLITE_OPEN_READONLY, NULL), SQLITE_OK);
    for (size_t i = 0; i < HD_COUNT(rows); i++) {
        char sql[128];
        int view_count = 0, table_count = 0;
        assert_true(hd_format(sql, sizeof(sql), "SELECT * FROM %s", rows[i].view));
        assert_int_equal(sqlite3_exec(db, sql, count_rows, &view_count, NULL), SQLITE_OK);
        assert_true(hd_format(sql, sizeof(sql), "SELECT * FROM %s", rows[i].table));
        assert_int_equal(sqlite3_exec(db, sql, count_rows, &table_count, NULL), SQLITE_OK);
        assert_true(view_count > 0);
        assert_int_equal(view_count, table_count);
    }
    int count = 0;
    assert_int_equal(sqlite3_exec(db, "SELECT * FROM v_incumbents", count_rows, &count, NULL),
                     SQLITE_OK);
    assert_true(count > 0);
    assert_int_equal(sqlite3_close(db), SQLITE_OK);
}

int main(void)
{
    sqlite_faults_install();
    const struct CMUnitTest tests[] = {
        ON_SQLITE(reopened_store_goes_on),
        ON_SQLITE(second_opener_is_refused),
        ON_SQLITE(file_is_private),
        ON_SQLITE(foreign_files_are_refused),
        ON_SQLITE(newer_version_is_refused),
        ON_SQLITE(version_1_is_migrated),
        ON_SQLITE(older_version_is_brought_up_to_date),
        ON_SQLITE(missing_facts_are_noticed),
        ON_SQLITE(impossible_values_are_noticed),
        ON_SQLITE(damaged_pages_are_noticed),
        ON_SQLITE(full_disk_can_be_retried),
        ON_SQLITE(failed_fsync_is_final),
        ON_SQLITE(what_exists_is_refused),
        ON_SQLITE(one_that_is_refused_takes_all_with_it),
        ON_SQLITE(readers_do_not_block),
        ON_SQLITE(views_can_be_read),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
