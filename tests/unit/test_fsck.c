/* SPDX-License-Identifier: Apache-2.0 */
/* Damaged checkpoints are told from whole ones, and copies are whole. */
#include "testlib.h"

#include <dirent.h>
#include <fcntl.h>
#include <pthread.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <hd/core.h>
#include <hd/fsck.h>

#define PATH_SIZE_MAX 1024
#define FLIP_COUNT 150

static struct hd_err err;
static struct hd_fsck_report report;
static char *dir;
static char path[PATH_SIZE_MAX], other[PATH_SIZE_MAX];

static void copy_bytes(const char *from, const char *to)
{
    size_t size;
    char *bytes = test_file_read(from, &size);
    FILE *out = fopen(to, "wb");
    assert_non_null(out);
    assert_int_equal(fwrite(bytes, 1, size, out), size);
    assert_int_equal(fclose(out), 0);
    free(bytes);
}

/* A storm that the simulator made of three runs, one of them of a noisy target and one that was
 * told results of others: six outcomes. */
static void copy_checkpoint(const char *to)
{
    char from[PATH_SIZE_MAX];
    assert_true(
        hd_format(from, sizeof(from), "%s/tests/data/checkpoint-v5.db", getenv("HD_SOURCE_ROOT")));
    copy_bytes(from, to);
}

static int setup(void **state)
{
    (void)state;
    dir = test_dir_make();
    assert_true(hd_format(path, sizeof(path), "%s/state.db", dir));
    assert_true(hd_format(other, sizeof(other), "%s/other.db", dir));
    copy_checkpoint(path);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    test_dir_remove(dir);
    return 0;
}

static void sql(const char *file, const char *text)
{
    sqlite3 *db = NULL;
    char *message = NULL;
    assert_int_equal(sqlite3_open(file, &db), SQLITE_OK);
    if (sqlite3_exec(db, text, NULL, NULL, &message) != SQLITE_OK)
        fail_msg("%s: %s", text, message);
    sqlite3_close(db);
}

static int64_t sql_number(const char *file, const char *text)
{
    sqlite3 *db = NULL;
    sqlite3_stmt *row = NULL;
    assert_int_equal(sqlite3_open(file, &db), SQLITE_OK);
    assert_int_equal(sqlite3_prepare_v2(db, text, -1, &row, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_step(row), SQLITE_ROW);
    int64_t number = sqlite3_column_int64(row, 0);
    sqlite3_finalize(row);
    sqlite3_close(db);
    return number;
}

/* All commits in the one file, so that bytes of it can be damaged. */
static void settle(void)
{
    sql(path, "PRAGMA wal_checkpoint(TRUNCATE); PRAGMA journal_mode = DELETE");
}

static bool has(const char *check, const char *where, const char *what)
{
    for (size_t i = 0; i < report.finding_count; i++)
        if (hd_streq(report.findings[i].check, check) &&
            strstr(report.findings[i].where, where) != NULL &&
            strstr(report.findings[i].what, what) != NULL)
            return true;
    return false;
}

static void assert_has(const char *check, const char *where, const char *what)
{
    if (has(check, where, what))
        return;
    for (size_t i = 0; i < report.finding_count; i++)
        print_message("# %s: %s: %s\n", report.findings[i].check, report.findings[i].where,
                      report.findings[i].what);
    fail_msg("not found: %s: %s: %s", check, where, what);
}

/* ---- whole -------------------------------------------------------------------------------------
 */

/* A whole checkpoint has no findings, and what it restores to is counted. */
static void a_whole_one_is_whole(void **state)
{
    (void)state;
    assert_hd_ok(hd_fsck(dir, NULL, &report, &err));
    for (size_t i = 0; i < report.finding_count; i++)
        print_message("# %s: %s: %s\n", report.findings[i].check, report.findings[i].where,
                      report.findings[i].what);
    assert_int_equal(report.finding_count, 0);
    assert_string_equal(report.path, path);
    assert_true(report.replayed && report.compared);
    assert_int_equal(report.runs, 3);
    assert_int_equal(report.jobs, sql_number(path, "SELECT count(*) FROM jobs"));
    assert_int_equal(report.configs, sql_number(path, "SELECT count(*) FROM configs"));
    assert_true(report.facts_good > 50);
    /* The incumbent of a noisy target, which no row tells, was compared as well. */
    assert_true(sql_number(path, "SELECT count(*) FROM jobs WHERE repeat > 0") > 1);
    assert_true(report.digest != 0);
    assert_hd_ok(hd_fsck(path, "r0", &report, &err));
    assert_int_equal(report.finding_count, 0);
    assert_hd_fails(hd_fsck(path, "nobody", &report, &err), HD_E_NOTFOUND, "no run \"nobody\"");
}

/* Beside a master the newest commit is seen, and nothing is written into the file. */
static void it_reads_beside_a_master(void **state)
{
    (void)state;
    struct hd_store *store = NULL;
    assert_hd_ok(hd_store_open_sqlite(path, &store, &err));
    struct hd_fact fact = {.seq = hd_store_last_seq(store) + 1,
                           .kind = HD_FACT_COMMAND_GIVEN,
                           .as.command_given = {.op = HD_COMMAND_RESUME_RUN, .reason = "test"}};
    assert_hd_ok(hd_store_append(store, &fact, 1, &err));
    size_t size_before, size_after;
    char *before = test_file_read(path, &size_before);
    assert_hd_ok(hd_fsck(path, NULL, &report, &err));
    assert_int_equal(report.finding_count, 0);
    assert_int_equal(report.facts_good, fact.seq);
    char *after = test_file_read(path, &size_after);
    assert_int_equal(size_before, size_after);
    assert_memory_equal(before, after, size_before);
    free(before);
    free(after);
    hd_store_close(store);
}

/* ---- damaged -----------------------------------------------------------------------------------
 */

struct damage {
    const char *name, *statements;
    const char *check, *where, *what; /* parts of what must be found */
    bool replays;
};

static const struct damage damages[] = {
    {"a job is missing", "DELETE FROM jobs WHERE seq = (SELECT max(seq) FROM jobs)", "sequence",
     "seq", "is missing", false},
    {"a result is missing",
     "DELETE FROM attempt_ends WHERE seq = (SELECT min(seq) FROM attempt_ends)", "sequence", "seq",
     "is missing", false},
    {"a run is missing", "DELETE FROM runs WHERE run = 1", "references", "table configs",
     "row of runs that is not there", false},
    {"several rows are missing", "DELETE FROM curve_points", "sequence", "seq", "missing", false},
    {"an order that cannot be",
     "CREATE TEMP TABLE t AS SELECT (SELECT min(seq) FROM attempts) AS a,"
     " (SELECT min(seq) FROM attempt_ends) AS b;"
     "UPDATE attempts SET seq = -1 WHERE seq = (SELECT a FROM t);"
     "UPDATE attempt_ends SET seq = (SELECT a FROM t) WHERE seq = (SELECT b FROM t);"
     "UPDATE attempts SET seq = (SELECT b FROM t) WHERE seq = -1",
     "replay", "after fact", "does not fit", false},
    {"one number twice",
     "UPDATE commands SET seq = (SELECT max(seq) FROM attempts) WHERE seq = (SELECT min(seq) FROM "
     "commands)",
     "sequence", "seq", "stands in two tables", false},
    {"an experiment that is none", "UPDATE runs SET experiment = '{\"target\":' WHERE run = 0",
     "replay", "after fact 0", "", false},
    {"a config cut in the middle of a number",
     "UPDATE configs SET values_f64 = substr(values_f64, 1, 5) WHERE config = 1 AND run = 1",
     "replay", "after fact", "values_f64", false},
    {"a config of too few numbers",
     "UPDATE configs SET values_f64 = substr(values_f64, 1, 8) WHERE config = 1 AND run = 1",
     "replay", "after fact", "another space", false},
    {"params that say otherwise",
     "UPDATE configs SET params = '{\"x\":0.5,\"y\":1}' WHERE seq = (SELECT max(seq) FROM configs)",
     "params", "table configs", "otherwise", true},
    {"a job at another budget", "UPDATE jobs SET budget = budget + 1 WHERE run = 0 AND job = 0",
     "replay", "after fact", "generator decides otherwise", false},
    {"an attempt of another number",
     "UPDATE attempts SET attempt = 9 WHERE seq = (SELECT max(seq) FROM attempts)", "replay",
     "after fact", "", false},
    {"a state after the end",
     "INSERT INTO run_states SELECT (SELECT max(seq) FROM (SELECT seq FROM runs UNION SELECT seq "
     "FROM configs UNION SELECT seq FROM jobs UNION SELECT seq FROM attempts UNION SELECT seq FROM "
     "curve_points UNION SELECT seq FROM attempt_ends UNION SELECT seq FROM refused_reports UNION "
     "SELECT seq FROM commands UNION SELECT seq FROM run_states)) + 1, 0, run, 'closing', '' FROM "
     "v_runs WHERE state = 'finished' LIMIT 1",
     "replay", "after fact", "the run is over", false},
    {"a view that shows something else",
     "DROP VIEW v_runs; CREATE VIEW v_runs AS SELECT run_id, 'finished' AS state, '' AS reason,"
     " 0 AS configs, 0 AS jobs, 0 AS jobs_closed, 0 AS jobs_ok, run FROM runs",
     "views", "run r1", "configs is \"0\" in the view", true},
    {"a view is gone", "DROP VIEW v_curve", "tables", "view v_curve", "is missing", true},
    {"the view of jobs is gone", "DROP VIEW v_jobs", "views", "file", "v_jobs", true},
    {"an index is gone", "DROP INDEX attempt_ends_close", "tables", "index attempt_ends_close",
     "is missing", true},
    {"a trigger", "CREATE TRIGGER spy AFTER INSERT ON jobs BEGIN DELETE FROM jobs; END", "tables",
     "trigger spy", "is not one of ours", true},
    {"a foreign table", "CREATE TABLE notes (text)", "tables", "table notes", "is not one of ours",
     true},
    {"a table is gone", "DROP TABLE refused_reports", "tables", "table refused_reports",
     "is missing", false},
};

/* What is wrong is found, with its place; and how far a restore would come is told. */
static void what_is_wrong_is_found(void **state)
{
    (void)state;
    settle();
    for (size_t i = 0; i < HD_COUNT(damages); i++) {
        const struct damage *damage = &damages[i];
        print_message("# %s\n", damage->name);
        copy_bytes(path, other);
        sql(other, damage->statements);
        assert_hd_ok(hd_fsck(other, NULL, &report, &err));
        assert_has(damage->check, damage->where, damage->what);
        assert_int_equal(report.replayed, damage->replays);
        for (size_t k = 0; k < report.finding_count; k++)
            assert_true(hd_fsck_advice(report.findings[k].check)[0] != '\0');
    }
}

/* Files that are no store of ours, or of a later version, are told apart. */
static void other_files(void **state)
{
    (void)state;
    settle();
    assert_hd_fails(hd_fsck(other, NULL, &report, &err), HD_E_NOTFOUND, "no store");
    test_file_write(other, "");
    assert_hd_fails(hd_fsck(other, NULL, &report, &err), HD_E_NOTFOUND, "empty");
    test_file_write(other,
                    "this is a text and no database, whatever its name may say: long enough");
    assert_hd_ok(hd_fsck(other, NULL, &report, &err));
    assert_has("pages", "file", "not a database");
    assert_true(unlink(other) == 0);
    sql(other, "CREATE TABLE t (x)");
    assert_hd_ok(hd_fsck(other, NULL, &report, &err));
    assert_has("pages", "file", "some other program");
    copy_bytes(path, other);
    sql(other, "PRAGMA user_version = 9999");
    assert_hd_fails(hd_fsck(other, NULL, &report, &err), HD_E_VERSION,
                    "newer version (format 9999");
}

/* A file cut anywhere is never called whole, unless nothing was cut off. */
static void a_cut_file_is_damaged(void **state)
{
    (void)state;
    settle();
    size_t size;
    free(test_file_read(path, &size));
    const size_t sizes[] = {50, 100, 511, 4096, 4097, 2 * 4096, size / 2, size - 4096, size - 1};
    for (size_t i = 0; i < HD_COUNT(sizes); i++) {
        copy_bytes(path, other);
        assert_int_equal(truncate(other, (off_t)sizes[i]), 0);
        assert_hd_ok(hd_fsck(other, NULL, &report, &err));
        if (report.finding_count == 0)
            fail_msg("cut to %zu of %zu bytes and called whole", sizes[i], size);
    }
}

static enum hd_code apply(void *context, const struct hd_fact *fact, struct hd_err *error)
{
    return hd_core_apply(context, fact, error);
}

/* Would a master start from it? */
static bool restores(const char *file, uint64_t *ret_digest)
{
    struct hd_store *store = NULL;
    struct hd_core *core = NULL;
    struct hd_core_options options = {.ping_ms = 5000};
    assert_hd_ok(hd_core_new(&options, &core, &err));
    enum hd_code code = hd_store_open_sqlite(file, &store, &err);
    if (code == HD_OK)
        code = hd_store_load(store, apply, core, &err);
    *ret_digest = hd_core_digest(core);
    hd_store_close(store);
    hd_core_free(core);
    return code == HD_OK;
}

/* Whatever byte changes: no crash, and what is called whole can be restored to what was told. */
static void a_flipped_byte_is_found_or_does_no_harm(void **state)
{
    (void)state;
    settle();
    size_t size, found = 0;
    uint64_t digest;
    struct hd_rng rng;
    char *bytes = test_file_read(path, &size);
    hd_rng_seed(&rng, 20260131);
    for (unsigned i = 0; i < FLIP_COUNT; i++) {
        size_t at = (size_t)hd_rng_below(&rng, size);
        char flip = (char)(1u << hd_rng_below(&rng, 8));
        copy_bytes(path, other);
        int fd = open(other, O_WRONLY);
        char byte = (char)(bytes[at] ^ flip);
        assert_int_equal(pwrite(fd, &byte, 1, (off_t)at), 1);
        close(fd);
        enum hd_code code = hd_fsck(other, NULL, &report, &err);
        if (code != HD_OK || report.finding_count > 0) {
            found++;
            continue;
        }
        uint64_t told = report.digest;
        if (!restores(other, &digest) || digest != told)
            fail_msg("byte %zu (bit %02x): called whole, but: %s", at, (unsigned char)flip,
                     err.text);
    }
    /* Most of a small file is empty space and texts; a good part of the rest must be seen. */
    print_message("# %zu of %d flips found\n", found, FLIP_COUNT);
    assert_true(found > FLIP_COUNT / 10);
    free(bytes);
}

/* ---- versions ---------------------------------------------------------------------------------
 */

/* The checkpoint of each version so far, this one's too, is examined without a change, and a master
 * brings it up to date: all facts are there and mean the same. */
static void every_version_opens(void **state)
{
    (void)state;
    static const struct {
        uint64_t facts, runs, jobs;
    } held[] = {{137, 3, 22}, {137, 3, 22}, {137, 3, 22}, {137, 3, 22}, {237, 3, 34}};
    struct hd_store *store = NULL;
    assert_hd_ok(hd_store_open_sqlite(other, &store, &err));
    hd_store_close(store);
    int64_t version_now = sql_number(other, "PRAGMA user_version");
    assert_int_equal(version_now, HD_COUNT(held));
    for (int64_t version = 1; version <= version_now; version++) {
        char from[PATH_SIZE_MAX];
        uint64_t digest;
        assert_true(hd_format(from, sizeof(from), "%s/tests/data/checkpoint-v%d.db",
                              getenv("HD_SOURCE_ROOT"), (int)version));
        copy_bytes(from, path);
        assert_hd_ok(hd_fsck(path, NULL, &report, &err));
        assert_int_equal(report.finding_count, 0);
        assert_int_equal(report.version, version);
        assert_int_equal(report.facts_good, held[version - 1].facts);
        assert_int_equal(report.runs, held[version - 1].runs);
        assert_int_equal(report.jobs, held[version - 1].jobs);
        uint64_t told = report.digest;
        assert_true(restores(path, &digest));
        assert_true(digest == told);
        assert_int_equal(sql_number(path, "PRAGMA user_version"), version_now);
        assert_hd_ok(hd_fsck(path, NULL, &report, &err));
        assert_int_equal(report.finding_count, 0);
        assert_true(report.compared && report.digest == told);
    }
}

/* ---- salvage ------------------------------------------------------------------------------- */

/* What is before the damage becomes a whole checkpoint again, and only that. */
static void salvage_keeps_what_is_whole(void **state)
{
    (void)state;
    settle();
    copy_bytes(path, other);
    int64_t last = sql_number(other, "SELECT max(seq) FROM jobs WHERE run = 0");
    sql(other, "DELETE FROM jobs WHERE seq = (SELECT max(seq) FROM jobs WHERE run = 0)");
    char kept[PATH_SIZE_MAX];
    uint64_t count = 0;
    assert_true(hd_format(kept, sizeof(kept), "%s/kept.db", dir));
    assert_hd_ok(hd_salvage(other, kept, &count, &err));
    assert_int_equal(count, last - 1);
    assert_hd_ok(hd_fsck(kept, NULL, &report, &err));
    assert_int_equal(report.finding_count, 0);
    assert_int_equal(report.facts_good, last - 1);
    assert_hd_fails(hd_salvage(other, kept, &count, &err), HD_E_EXISTS, "exists");
}

/* ---- backup ------------------------------------------------------------------------------------
 */

static size_t files_in(const char *directory)
{
    DIR *handle = opendir(directory);
    size_t count = 0;
    assert_non_null(handle);
    for (struct dirent *entry; (entry = readdir(handle)) != NULL;)
        count += entry->d_name[0] != '.' ? 1 : 0;
    closedir(handle);
    return count;
}

/* A copy is whole, private, alone, restores to the same state; it replaces only when told. */
static void a_copy_is_the_same(void **state)
{
    (void)state;
    char place[PATH_SIZE_MAX], copy[PATH_SIZE_MAX];
    struct stat st;
    assert_true(hd_format(place, sizeof(place), "%s/copies", dir));
    assert_true(hd_format(copy, sizeof(copy), "%s/copies/state.db", dir));
    assert_int_equal(mkdir(place, 0755), 0);
    assert_hd_ok(hd_fsck(path, NULL, &report, &err));
    uint64_t digest = report.digest;
    assert_hd_ok(hd_backup(dir, place, false, &report, &err));
    assert_string_equal(report.path, copy);
    assert_true(report.digest == digest);
    assert_int_equal(files_in(place), 1);
    assert_int_equal(stat(copy, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    assert_hd_fails(hd_backup(dir, place, false, &report, &err), HD_E_EXISTS, "--replace");
    assert_hd_ok(hd_backup(dir, copy, true, &report, &err));
    assert_int_equal(files_in(place), 1);
    uint64_t restored;
    assert_true(restores(copy, &restored));
    assert_true(restored == digest);
}

/* A damaged store gives no copy that one would trust, and nothing is left of the try. */
static void a_damaged_store_is_not_copied(void **state)
{
    (void)state;
    char place[PATH_SIZE_MAX];
    assert_true(hd_format(place, sizeof(place), "%s/copies", dir));
    assert_int_equal(mkdir(place, 0755), 0);
    sql(path, "DELETE FROM jobs WHERE seq = (SELECT max(seq) FROM jobs)");
    assert_hd_fails(hd_backup(dir, place, false, &report, &err), HD_E_CORRUPT,
                    "so no copy was kept");
    assert_int_equal(files_in(place), 0);
    assert_hd_fails(hd_backup(dir, "/proc/nowhere/copy.db", false, &report, &err), HD_E_IO,
                    "cannot create");
}

/* A file that a master has open is not exchanged under it. */
static void a_live_store_is_not_replaced(void **state)
{
    (void)state;
    char live[PATH_SIZE_MAX];
    struct hd_store *store = NULL;
    assert_true(hd_format(live, sizeof(live), "%s/live.db", dir));
    assert_hd_ok(hd_store_open_sqlite(live, &store, &err));
    assert_hd_fails(hd_backup(path, live, true, &report, &err), HD_E_CONFLICT, "in use");
    hd_store_close(store);
}

struct writer {
    struct hd_store *store;
    _Atomic bool stop;
    _Atomic uint64_t written;
};

static void *write_on(void *context)
{
    struct writer *writer = context;
    struct hd_err own;
    while (!writer->stop) {
        struct hd_fact fact = {.seq = hd_store_last_seq(writer->store) + 1,
                               .kind = HD_FACT_COMMAND_GIVEN,
                               .as.command_given = {.op = HD_COMMAND_RESUME_RUN,
                                                    .reason = "one fact more of the many that a "
                                                              "master writes"}};
        if (hd_store_append(writer->store, &fact, 1, &own) != HD_OK)
            break;
        writer->written = fact.seq;
    }
    return NULL;
}

/* While somebody writes without pause, each copy holds at least what was durable when it was asked
 * for, is whole, and the writer goes on. */
static void copies_beside_a_writer(void **state)
{
    (void)state;
    struct writer writer = {.stop = false};
    pthread_t thread;
    assert_hd_ok(hd_store_open_sqlite(path, &writer.store, &err));
    assert_int_equal(pthread_create(&thread, NULL, write_on, &writer), 0);
    for (unsigned i = 0; i < 10; i++) {
        while (writer.written < (i + 1) * 20u)
            sched_yield();
        uint64_t before = writer.written;
        assert_hd_ok(hd_backup(path, other, true, &report, &err));
        assert_true(report.facts_good >= before);
    }
    uint64_t last = writer.written;
    while (writer.written == last)
        sched_yield();
    writer.stop = true;
    assert_int_equal(pthread_join(thread, NULL), 0);
    hd_store_close(writer.store);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_whole_one_is_whole, setup, teardown),
        cmocka_unit_test_setup_teardown(it_reads_beside_a_master, setup, teardown),
        cmocka_unit_test_setup_teardown(what_is_wrong_is_found, setup, teardown),
        cmocka_unit_test_setup_teardown(other_files, setup, teardown),
        cmocka_unit_test_setup_teardown(a_cut_file_is_damaged, setup, teardown),
        cmocka_unit_test_setup_teardown(a_flipped_byte_is_found_or_does_no_harm, setup, teardown),
        cmocka_unit_test_setup_teardown(every_version_opens, setup, teardown),
        cmocka_unit_test_setup_teardown(salvage_keeps_what_is_whole, setup, teardown),
        cmocka_unit_test_setup_teardown(a_copy_is_the_same, setup, teardown),
        cmocka_unit_test_setup_teardown(a_damaged_store_is_not_copied, setup, teardown),
        cmocka_unit_test_setup_teardown(a_live_store_is_not_replaced, setup, teardown),
        cmocka_unit_test_setup_teardown(copies_beside_a_writer, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
