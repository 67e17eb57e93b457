/* SPDX-License-Identifier: Apache-2.0 */
/* Copies of a checkpoint under a master that works, and what they are worth after a disaster. */
#include "cluster.h"

#include <signal.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define CONFIGS 100000 /* more than there is time for */
#define MORE 10
#define COPIES 6
#define EXIT_DAMAGED 4

static struct cluster cluster;

static const char *write_experiment(void)
{
    const char *path = cluster_path(&cluster, "copied.yaml");
    test_file_write(path, cluster_text(&cluster,
                                       "name: copied\n"
                                       "target:\n"
                                       "  command: ['%s', '%s', '20', '0']\n"
                                       "  retries: {infra: 20, failed: 0}\n"
                                       "objective: loss\n"
                                       "space: {x: {type: float, low: 0.0, high: 1.0}}\n"
                                       "stop: {configs: %d}\n"
                                       "lease: 2s\nping: 500ms\n",
                                       cluster_program("HD_TEST_TARGET"), cluster.ledger, CONFIGS));
    return path;
}

static struct hd_value *fsck(const char *path, int wanted_exit)
{
    struct outcome outcome = CLUSTER_RUN(&cluster, cluster_program("HD"), "fsck", path, "--json");
    assert_outcome(outcome, wanted_exit, NULL);
    return cluster_json(outcome.out);
}

static int64_t number(const struct hd_value *object, const char *key)
{
    const struct hd_value *value = hd_value_get(object, key);
    assert_non_null(value);
    return value->as.integer;
}

/* While jobs run and end, each copy is whole and holds at least every result that was accepted
 * before; the directory itself is whole at any moment, and after a kill too. */
static void copies_under_a_working_master(struct child *master)
{
    for (int i = 0; i < COPIES; i++) {
        size_t wanted = (size_t)(i + 1) * 4;
        CLUSTER_WAIT(&cluster, cluster_accepted(&cluster, "copied") >= wanted);
        const char *copy = cluster_path(&cluster, "copy-%d.db", i);
        struct outcome outcome = CLUSTER_RUN(&cluster, cluster_program("HD"), "backup",
                                             cluster.state_dir, copy, "--json");
        assert_outcome(outcome, 0, NULL);
        assert_true(child_runs(&cluster, master));
        struct hd_value *report = fsck(copy, 0);
        assert_true(number(report, "jobs") >= (int64_t)wanted);
        hd_value_free(report);
        hd_value_free(fsck(cluster.state_dir, 0));
    }
    child_kill(&cluster, master, SIGKILL);
    hd_value_free(fsck(cluster.state_dir, 0));
}

/* The store is lost; a copy in its place is a run that goes on, with every result that it held
 * unchanged. */
static void a_run_goes_on_from_its_copy(void **state)
{
    (void)state;
    struct results before, after;
    const char *experiment = write_experiment();
    struct child *master =
        cluster_master(&cluster, (const char *const[]){experiment, "--resume", NULL});
    struct child *worker = cluster_worker(&cluster, 0, NULL);
    copies_under_a_working_master(master);
    child_kill(&cluster, worker, SIGKILL);
    static const char *const lost[] = {"state.db", "state.db-wal", "state.db-shm"};
    for (size_t i = 0; i < HD_COUNT(lost); i++)
        (void)unlink(cluster_text(&cluster, "%s/%s", cluster.state_dir, lost[i]));
    const char *last = cluster_path(&cluster, "copy-%d.db", COPIES - 1);
    assert_int_equal(rename(last, cluster_text(&cluster, "%s/state.db", cluster.state_dir)), 0);
    cluster_results(&cluster, "copied", &before);
    assert_true(before.count >= (size_t)COPIES * 4);
    master = cluster_master(&cluster, (const char *const[]){experiment, "--resume", NULL});
    cluster_worker(&cluster, 1, NULL);
    CLUSTER_WAIT(&cluster, cluster_accepted(&cluster, "copied") >= before.count + MORE);
    child_kill(&cluster, master, SIGTERM);
    cluster_results(&cluster, "copied", &after);
    assert_results_kept(&cluster, &before, &after);
    results_release(&before);
    results_release(&after);
    hd_value_free(fsck(cluster.state_dir, 0));
}

/* The root of a table's tree, overwritten. */
static void damage_a_page(const char *store)
{
    sqlite3 *db = NULL;
    sqlite3_stmt *row = NULL;
    assert_int_equal(sqlite3_open(store, &db), SQLITE_OK);
    assert_int_equal(
        sqlite3_prepare_v2(db,
                           "SELECT (SELECT rootpage FROM sqlite_schema WHERE name ="
                           " 'attempt_ends'), (SELECT page_size FROM pragma_page_size)",
                           -1, &row, NULL),
        SQLITE_OK);
    assert_int_equal(sqlite3_step(row), SQLITE_ROW);
    long page = (long)sqlite3_column_int64(row, 0), size = (long)sqlite3_column_int64(row, 1);
    sqlite3_finalize(row);
    sqlite3_close(db);
    FILE *file = fopen(store, "r+b");
    assert_non_null(file);
    assert_int_equal(fseek(file, (page - 1) * size, SEEK_SET), 0);
    for (long i = 0; i < size; i++)
        assert_true(fputc(0xa5, file) != EOF);
    assert_int_equal(fclose(file), 0);
}

/* A damaged page is told with its place; the salvaged beginning is a run that goes on. */
static void a_damaged_file_is_told_and_its_beginning_kept(void **state)
{
    (void)state;
    const char *experiment = write_experiment();
    struct child *master =
        cluster_master(&cluster, (const char *const[]){experiment, "--resume", NULL});
    cluster_worker(&cluster, 0, NULL);
    CLUSTER_WAIT(&cluster, cluster_accepted(&cluster, "copied") >= 12);
    child_kill(&cluster, master, SIGTERM);
    child_kill(&cluster, cluster_child(&cluster, "worker-0"), SIGKILL);
    const char *store = cluster_text(&cluster, "%s/state.db", cluster.state_dir);
    damage_a_page(store);
    struct hd_value *report = fsck(cluster.state_dir, EXIT_DAMAGED);
    assert_true(hd_value_get(report, "findings")->as.array.count > 0);
    int64_t good = number(report, "facts");
    hd_value_free(report);
    const char *kept = cluster_path(&cluster, "kept.db");
    assert_outcome(
        CLUSTER_RUN(&cluster, cluster_program("HD"), "fsck", cluster.state_dir, "--salvage", kept),
        EXIT_DAMAGED, "the first");
    report = fsck(kept, 0);
    assert_int_equal(number(report, "facts"), good);
    hd_value_free(report);
    assert_outcome(CLUSTER_RUN(&cluster, cluster_program("HD"), "backup", cluster.state_dir,
                               cluster_path(&cluster, "never.db")),
                   EXIT_DAMAGED, "damaged");
    assert_false(hd_path_exists(cluster_path(&cluster, "never.db")));
}

static int setup(void **state)
{
    (void)state;
    cluster_open(&cluster);
    cluster_ledger_open(&cluster, false);
    cluster_nameserver(&cluster);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    cluster_close(&cluster);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_run_goes_on_from_its_copy, setup, teardown),
        cmocka_unit_test_setup_teardown(a_damaged_file_is_told_and_its_beginning_kept, setup,
                                        teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
