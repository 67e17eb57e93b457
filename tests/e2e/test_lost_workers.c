/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What ended runs of older systems of this kind, one story each: an idle worker that dies, a
 * worker that dies in a job or while it starts one, or freezes past its lease, one that joins late,
 * a master that dies with its nameserver, two masters with one name. Intervals are long where
 * noticing must not depend on them.
 */
#include "cluster.h"

#include <glob.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define RUN "t"
#define LONG_JOB_MS 4000 /* a test that is late still finds it running */

static struct cluster cluster;

static char *write_experiment(unsigned configs, unsigned work_ms, const char *times)
{
    char *path = cluster_path(&cluster, "experiment.yaml");
    test_file_write(path, cluster_text(&cluster,
                                       "name: %s\n"
                                       "target:\n"
                                       "  command: ['%s', '%s', '%u', '0']\n"
                                       "  retries: {infra: 5, failed: 0}\n"
                                       "objective: loss\n"
                                       "space: {x: {type: float, low: 0.0, high: 1.0}}\n"
                                       "stop: {configs: %u}\n%s",
                                       RUN, cluster_program("HD_TEST_TARGET"), cluster.ledger,
                                       work_ms, configs, times));
    return path;
}

static struct child *start_master(const char *experiment, const char *const more[])
{
    const char *arguments[CLUSTER_ARGUMENTS_MAX] = {experiment, "--run-id", RUN, "--resume"};
    size_t count = 4;
    for (size_t i = 0; more != NULL && more[i] != NULL; i++)
        arguments[count++] = more[i];
    return cluster_master(&cluster, arguments);
}

static void check_end(struct child *master, unsigned configs)
{
    struct results results;
    struct ledger ledger;
    if (child_end(&cluster, master) != 0)
        cluster_fail(&cluster, "the master ended with %d", master->exit);
    cluster_results(&cluster, RUN, &results);
    cluster_ledger_read(&cluster, &ledger);
    assert_string_equal(results.state, "finished");
    assert_int_equal(results.count, configs);
    for (size_t i = 0; i < results.count; i++)
        if (!hd_streq(results.rows[i].outcome, "ok"))
            cluster_fail(&cluster, "job %u ended as %s: %s", results.rows[i].job,
                         results.rows[i].outcome, results.rows[i].message);
    assert_ledger_agrees(&cluster, RUN, &results, &ledger);
    ledger_release(&ledger);
    results_release(&results);
}

static size_t begun(void)
{
    struct ledger ledger;
    cluster_ledger_read(&cluster, &ledger);
    size_t count = 0;
    for (size_t i = 0; i < ledger.count; i++)
        count += hd_streq(ledger.entries[i].word, "start");
    ledger_release(&ledger);
    return count;
}

/* A worker that waits for its first job is killed; the jobs go to those that live, once each. */
static void an_idle_worker_that_dies_costs_nothing(void **state)
{
    (void)state;
    struct results results;
    const char *experiment = write_experiment(4, 10, "lease: 2m\nping: 1m\n");
    struct child *master =
        start_master(experiment, (const char *const[]){"--min-workers", "2", NULL});
    struct child *first = cluster_worker(&cluster, 0, NULL);
    child_wait_text(&cluster, master, "worker ");
    child_kill(&cluster, first, SIGKILL);
    for (unsigned i = 1; i <= 2; i++)
        cluster_worker(&cluster, i, NULL);
    check_end(master, 4);
    cluster_results(&cluster, RUN, &results);
    for (size_t i = 0; i < results.count; i++)
        assert_int_equal(results.rows[i].attempt, 1);
    results_release(&results);
}

/* The job of a worker that is killed and stays away runs again after its lease, elsewhere. */
static void a_worker_that_dies_in_a_job_costs_one_attempt(void **state)
{
    (void)state;
    const char *experiment = write_experiment(2, LONG_JOB_MS, "lease: 2s\nping: 500ms\n");
    struct child *first = cluster_worker(&cluster, 0, NULL);
    struct child *master = start_master(experiment, NULL);
    CLUSTER_WAIT(&cluster, begun() >= 1);
    child_kill(&cluster, first, SIGKILL);
    cluster_worker(&cluster, 1, NULL);
    check_end(master, 2);
    assert_true(child_has_said(&cluster, master, "expired"));
}

/* A worker whose shims wait for the file `go` before they do anything. */
static const char *slow_shim_worker(const char *go)
{
    const char *real = cluster_program("HD_WORKER");
    const char *worker = cluster_path(&cluster, "slow/hd-worker");
    const char *shim = cluster_path(&cluster, "slow/hd-shim");
    struct hd_err err;
    assert_hd_ok(hd_mkdirs(cluster_path(&cluster, "slow"), 0700, &err));
    assert_outcome(CLUSTER_RUN(&cluster, "/bin/cp", real, worker), 0, NULL);
    test_file_write(shim, cluster_text(&cluster,
                                       "#!/bin/sh\n"
                                       "echo waits >&2\n"
                                       "until [ -e '%s' ]; do sleep 0.05; done\n"
                                       "exec '%.*s/hd-shim' \"$@\"\n",
                                       go, (int)(strrchr(real, '/') - real), real));
    assert_int_equal(chmod(shim, 0700), 0);
    return worker;
}

/* The shim of the first job, which its record names, has come as far as to wait. */
static bool shim_waits(const char *pattern)
{
    glob_t found;
    bool waits = false;
    if (glob(pattern, 0, NULL, &found) != 0)
        return false;
    for (size_t i = 0; i < found.gl_pathc; i++) {
        size_t size;
        char *text = test_file_read(found.gl_pathv[i], &size);
        waits = waits || strstr(text, "waits") != NULL;
        free(text);
    }
    globfree(&found);
    return waits;
}

/* Killed while its target is being started: the job is handed back uncharged and goes first, and
 * the shim that is late starts nothing. */
static void a_worker_that_dies_while_it_starts_a_target_costs_nothing(void **state)
{
    (void)state;
    struct results results;
    const char *go = cluster_path(&cluster, "go");
    const char *records =
        cluster_path(&cluster, "root-0/.hyperdock-workers/*/process/*-0-1/shim.log");
    const char *experiment = write_experiment(3, 10, "lease: 2m\nping: 1m\n");
    char *real = strdup(cluster_program("HD_WORKER"));
    assert_int_equal(setenv("HD_WORKER", slow_shim_worker(go), 1), 0);
    struct child *worker = cluster_worker(&cluster, 0, NULL);
    assert_int_equal(setenv("HD_WORKER", real, 1), 0);
    free(real);
    struct child *master = start_master(experiment, NULL);
    CLUSTER_WAIT(&cluster, shim_waits(records));
    child_kill(&cluster, worker, SIGKILL);
    cluster_worker(&cluster, 0, NULL);
    child_wait_text(&cluster, master, "job 0: preempted on attempt 1");
    test_file_write(go, "");
    check_end(master, 3);
    cluster_results(&cluster, RUN, &results);
    assert_int_equal(results.rows[0].attempt, 2);
    assert_int_equal(begun(), 3);
    results_release(&results);
    const char *said = child_said(&cluster, master);
    assert_true(strstr(said, "job 0: attempt 2") < strstr(said, "job 1: attempt 1"));
}

/* Frozen past its lease; what it brings when it wakes is refused, and it goes on working. */
static void a_frozen_worker_holds_nobody_up(void **state)
{
    (void)state;
    const char *experiment = write_experiment(3, LONG_JOB_MS, "lease: 2s\nping: 500ms\n");
    struct child *first = cluster_worker(&cluster, 0, NULL);
    struct child *master = start_master(experiment, NULL);
    CLUSTER_WAIT(&cluster, begun() >= 1);
    child_signal(first, SIGSTOP);
    cluster_worker(&cluster, 1, NULL);
    CLUSTER_WAIT(&cluster, child_has_said(&cluster, master, "expired"));
    child_signal(first, SIGCONT);
    check_end(master, 3);
    child_kill(&cluster, first, SIGTERM);
    assert_int_equal(first->exit, 0);
}

/* Nobody answers, and whoever stops the worker has lost patience: what it knows stays on disk, and
 * the next worker there goes on with it. */
static void a_third_signal_waits_for_no_master(void **state)
{
    (void)state;
    const char *experiment = write_experiment(3, LONG_JOB_MS, "lease: 2m\nping: 1m\n");
    struct child *worker = cluster_worker(&cluster, 0, NULL);
    struct child *master = start_master(experiment, NULL);
    CLUSTER_WAIT(&cluster, begun() >= 1);
    child_signal(master, SIGSTOP);
    child_signal(worker, SIGTERM);
    child_wait_text(&cluster, worker, "once more to stop the targets");
    child_signal(worker, SIGINT);
    child_signal(worker, SIGTERM); /* another one: equal ones become one */
    assert_int_equal(child_end(&cluster, worker), 0);
    assert_true(child_has_said(&cluster, worker, "leaving at once"));
    child_signal(master, SIGCONT);
    cluster_worker(&cluster, 0, NULL);
    check_end(master, 3);
}

/* The whole run takes less than one ping interval, although its worker comes late. */
static void a_late_worker_works_at_once(void **state)
{
    (void)state;
    const char *experiment = write_experiment(3, 10, "lease: 30m\nping: 10m\n");
    struct child *master =
        start_master(experiment, (const char *const[]){"--ping-interval", "10m", NULL});
    child_wait_text(&cluster, master, "serving at");
    cluster_worker(&cluster, 0, NULL);
    check_end(master, 3);
}

/* Master and nameserver die together and come back: the same workers serve them, with what they
 * have finished meanwhile. */
static void workers_outlive_master_and_nameserver(void **state)
{
    (void)state;
    const char *experiment = write_experiment(8, 300, "lease: 2m\nping: 1m\n");
    for (unsigned i = 0; i < 2; i++)
        cluster_worker(&cluster, i, NULL);
    struct child *master = start_master(experiment, NULL);
    struct child *nameserver = cluster_child(&cluster, "nameserver");
    CLUSTER_WAIT(&cluster, begun() >= 3);
    child_kill(&cluster, master, SIGKILL);
    child_kill(&cluster, nameserver, SIGKILL);
    size_t before = begun();
    cluster_nameserver(&cluster);
    start_master(experiment, NULL);
    check_end(master, 8);
    assert_true(begun() > before);
    assert_true(begun() == 8); /* nothing was done twice */
}

/* One state directory has one master, and so has the name of a run. */
static void a_second_master_of_the_same_run_is_refused(void **state)
{
    (void)state;
    const char *experiment = write_experiment(3, 10, "");
    struct child *master = start_master(experiment, NULL);
    child_wait_text(&cluster, master, "serving at");
    struct outcome second =
        CLUSTER_RUN(&cluster, cluster_program("HD_MASTER"), experiment, "--run-id", RUN, "--resume",
                    "--nameserver", cluster.nameserver, "--state-dir", cluster.state_dir);
    assert_outcome(second, 1, "another master serves this state");
    second = CLUSTER_RUN(&cluster, cluster_program("HD_MASTER"), experiment, "--run-id", RUN,
                         "--resume", "--nameserver", cluster.nameserver, "--state-dir",
                         cluster_path(&cluster, "other-state"));
    assert_outcome(second, 1, "is served by another master");
    cluster_worker(&cluster, 0, NULL);
    check_end(master, 3);
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

#define WITH_CLUSTER(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_CLUSTER(an_idle_worker_that_dies_costs_nothing),
        WITH_CLUSTER(a_worker_that_dies_in_a_job_costs_one_attempt),
        WITH_CLUSTER(a_worker_that_dies_while_it_starts_a_target_costs_nothing),
        WITH_CLUSTER(a_frozen_worker_holds_nobody_up),
        WITH_CLUSTER(a_third_signal_waits_for_no_master),
        WITH_CLUSTER(a_late_worker_works_at_once),
        WITH_CLUSTER(workers_outlive_master_and_nameserver),
        WITH_CLUSTER(a_second_master_of_the_same_run_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
