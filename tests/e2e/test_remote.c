/* SPDX-License-Identifier: Apache-2.0 */
/* hd and a live master: what it reads and commands without the state directory; and what hd run
 * says when its own directory is taken or gone. */
#include "cluster.h"

#include <hd/os.h>
#include <hd/value.h>

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

static struct cluster cluster;
static char *experiment, *blocked, *master;

static int setup(void **state)
{
    (void)state;
    cluster_open(&cluster);
    cluster_nameserver(&cluster);
    experiment = cluster_path(&cluster, "experiment.yaml");
    test_file_write(experiment, "name: far\n"
                                "target: {command: [sh, -c, 'exit 0']}\n"
                                "objective: {name: score, direction: maximize}\n"
                                "space: {x: {type: float, low: 0.0, high: 1.0}}\n"
                                "sampler: {name: random}\n"
                                "iteration_generator: {name: full}\n"
                                "stop: {configs: 3}\n");
    blocked = cluster_path(&cluster, "blocked.yaml");
    test_file_write(blocked, "name: far\n"
                             "target: {command: [tail, -f, /dev/null], stop_grace: 1s}\n"
                             "space: {x: {type: float, low: 0.0, high: 1.0}}\n"
                             "stop: {configs: 3}\n");
    struct child *child =
        cluster_master(&cluster, (const char *const[]){experiment, "--run-id", "far", NULL});
    child_wait_text(&cluster, child, "serving at ");
    char *at = strstr(child_said(&cluster, child), "tcp://");
    assert_non_null(at);
    master = cluster_text(&cluster, "%.*s", (int)strcspn(at, ", \n"), at);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    cluster_close(&cluster);
    return 0;
}

static void assert_says(struct outcome outcome, int code, const char *part)
{
    if (outcome.exit != code || (part != NULL && strstr(outcome.err, part) == NULL))
        fail_msg("exit %d (wanted %d, \"%s\"); stderr:\n%s\nstdout:\n%s", outcome.exit, code,
                 part != NULL ? part : "", outcome.err, outcome.out);
}

#define HD_SAYS(...) CLUSTER_RUN(&cluster, cluster_program("HD"), __VA_ARGS__)
#define BY_NAME "--nameserver", cluster.nameserver

/* Every reading command prints for a live master what it prints for its state directory. */
static void reads_as_from_the_directory(void **state)
{
    (void)state;
    static const char *const commands[] = {"runs",   "status",  "best",  "jobs",
                                           "events", "workers", "export"};
    for (size_t i = 0; i < HD_COUNT(commands); i++) {
        struct outcome here = HD_SAYS(commands[i], "--json", "--state-dir", cluster.state_dir);
        struct outcome named = HD_SAYS(commands[i], "--json", BY_NAME);
        struct outcome direct = HD_SAYS(commands[i], "--json", "--master", master);
        assert_says(here, 0, NULL);
        assert_says(named, 0, NULL);
        assert_says(direct, 0, NULL);
        assert_string_equal(named.out, here.out);
        assert_string_equal(direct.out, here.out);
    }
}

/* A run that nobody serves, an address where nobody is, a wrong token and options that
 * contradict one another are each said in one line. */
static void says_why_not(void **state)
{
    (void)state;
    char *token = cluster_path(&cluster, "other-token");
    struct hd_err err;
    const char *text = "ffffffffffffffffffffffffffffffffffffffffffffffff\n";
    assert_hd_ok(hd_file_write_atomic(token, text, strlen(text), 0600, &err));
    assert_says(HD_SAYS("status", "nobody", BY_NAME), 1, "knows no master of run nobody");
    assert_says(HD_SAYS("status", "nobody", "--master", master), 1, "nobody");
    assert_says(HD_SAYS("status", "--master", "127.0.0.1:1"), 1, "Connection refused");
    assert_says(HD_SAYS("status", "--master", "127.0.0.1"), 2, "lacks a port");
    assert_says(HD_SAYS("status", "--nameserver", "192.0.2.1"), 1, "beyond this machine");
    assert_says(HD_SAYS("status", BY_NAME, "--token-file", token), 1, "wrong token");
    assert_says(HD_SAYS("status", "--master", master, "--token-file", token), 1, "wrong token");
    assert_says(HD_SAYS("status", BY_NAME, "--master", master), 2, "not both");
    assert_says(HD_SAYS("status", BY_NAME, "--state-dir", cluster.state_dir), 2, "not both");
    assert_says(HD_SAYS("cancel", "far", BY_NAME, "--state-dir", cluster.state_dir), 2, "not both");
    assert_says(HD_SAYS("status", "--token-file", token), 2, "go with --nameserver");
    assert_says(HD_SAYS("pause", "nobody", BY_NAME), 1, "knows no master of run nobody");
}

/* A master that cannot be asked is not taken for one that does not answer: the cause is told. */
static void says_why_a_master_cannot_be_asked(void **state)
{
    (void)state;
    char path[512];
    struct hd_buf record;
    struct hd_err err;
    snprintf(path, sizeof(path), "%s/state.db.master.json", cluster.state_dir);
    hd_buf_init(&record, 65536);
    assert_hd_ok(hd_file_read(path, 65536, false, &record, &err));
    assert_hd_ok(hd_file_write_atomic(path, "{}\n", 3, 0600, &err));
    struct outcome said = HD_SAYS("status", "far", "--state-dir", cluster.state_dir);
    assert_hd_ok(hd_file_write_atomic(path, record.data, record.size, 0600, &err));
    hd_buf_release(&record);
    assert_says(said, 0, NULL);
    assert_non_null(strstr(said.out, "is not a master's record"));
    assert_null(strstr(said.out, "disk"));
}

/* A master on another machine is commanded as one here: submit, pause, resume, cancel. */
static void obeys(void **state)
{
    (void)state;
    assert_says(HD_SAYS("submit", experiment, "--run-id", "second", "--master", master), 0, NULL);
    assert_true(cluster_run_is(&cluster, "second", "active"));
    assert_says(HD_SAYS("submit", experiment, "--run-id", "third", BY_NAME), 0, NULL);
    assert_says(HD_SAYS("pause", "far", BY_NAME, "--reason", "lunch"), 0, NULL);
    assert_true(cluster_run_is(&cluster, "far", "paused"));
    struct outcome attached = HD_SAYS("attach", "far", BY_NAME);
    assert_says(attached, HD_EXIT_PAUSED, NULL);
    assert_non_null(strstr(attached.out, "hd resume far --nameserver"));
    assert_says(HD_SAYS("resume", "far", "--master", master), 0, NULL);
    assert_true(cluster_run_is(&cluster, "far", "active"));
    assert_says(HD_SAYS("cancel", "far/7", BY_NAME), 1, "has no job 7");
    assert_says(HD_SAYS("cancel", "second", "--master", master), 0, NULL);
    assert_true(cluster_run_is(&cluster, "second", "cancelled"));
}

/* hd status says what a run waits for, and hd workers test which workers answer: all of them, or
 * the exit code says that one did not. */
static void says_what_a_run_waits_for_and_who_answers(void **state)
{
    (void)state;
    struct outcome said = HD_SAYS("status", "far", BY_NAME);
    assert_non_null(strstr(said.out, "waits for   a worker: none is here"));
    said = HD_SAYS("workers", "test", "--master", master);
    assert_says(said, 1, NULL);
    assert_non_null(strstr(said.out, "no worker is here"));
    assert_says(HD_SAYS("submit", blocked, "--run-id", "held", "--master", master), 0, NULL);
    for (unsigned i = 0; i < 2; i++)
        cluster_worker(&cluster, i,
                       (const char *const[]){"--run-id", "held", "--worker-id",
                                             i == 0 ? "first" : "second", NULL});
    CLUSTER_WAIT(&cluster, strstr(HD_SAYS("status", "held", "--master", master).out,
                                  "waits for   job 0 on worker ") != NULL);
    CLUSTER_WAIT(&cluster,
                 HD_SAYS("workers", "test", "first", "second", "--master", master).exit == 0);
    said = HD_SAYS("workers", "test", "--master", master);
    assert_says(said, 0, NULL);
    assert_non_null(strstr(said.out, "2 of 2 workers answered"));
    assert_non_null(strstr(said.out, "process"));
    assert_non_null(strstr(said.out, "slots free"));
    assert_says(HD_SAYS("workers", "test", "third", BY_NAME, "--run", "held"), 1,
                "no worker named third is here");
    child_signal(cluster_child(&cluster, "worker-1"), SIGSTOP);
    said = HD_SAYS("workers", "test", "--master", master, "--timeout", "2s", "--json");
    assert_says(said, 1, NULL);
    struct hd_value *rows = cluster_json(said.out);
    assert_int_equal(rows->as.array.count, 2);
    for (size_t i = 0; i < 2; i++) {
        const struct hd_value *row = rows->as.array.items[i];
        bool frozen = hd_streq(hd_value_get(row, "worker")->as.string, "second");
        assert_true(hd_value_get(row, "answered")->as.boolean == !frozen);
    }
    hd_value_free(rows);
    child_signal(cluster_child(&cluster, "worker-1"), SIGCONT);
    assert_says(HD_SAYS("cancel", "held", "--master", master), 0, NULL);
    for (unsigned i = 0; i < 2; i++)
        child_kill(&cluster, cluster_child(&cluster, i == 0 ? "worker-0" : "worker-1"), SIGTERM);
}

/* Who watches a run whose master is gone is told so, and does not wait for ever. */
static void notices_that_the_master_left(void **state)
{
    (void)state;
    struct child *watcher = cluster_child(&cluster, "watcher");
    cluster_start(
        &cluster, watcher,
        (const char *const[]){cluster_program("HD"), "attach", "far", "--master", master, NULL});
    child_wait_text(&cluster, watcher, "far: 0 done");
    child_kill(&cluster, cluster_child(&cluster, "master"), 9);
    assert_int_equal(child_end(&cluster, watcher), HD_EXIT_FAILED);
    assert_true(child_has_said(&cluster, watcher, "the master has left"));
    assert_says(HD_SAYS("attach", "far", "--state-dir", cluster.state_dir), 1, "hd resume far");
}

/* hd run --detach does not return before there is something to attach to, and a second one on the
 * same directory says why it could not start. */
static void detaches_when_it_runs(void **state)
{
    (void)state;
    char *dir = cluster_path(&cluster, "detached");
    struct outcome started = HD_SAYS("run", blocked, "--workers", "1", "--state-dir", dir,
                                     "--run-id", "behind", "--detach");
    assert_says(started, 0, NULL);
    assert_non_null(strstr(started.out, "hd attach behind"));
    assert_says(HD_SAYS("status", "behind", "--state-dir", dir), 0, NULL);
    assert_says(HD_SAYS("run", blocked, "--run-id", "other", "--state-dir", dir, "--detach"), 1,
                "another hd run tends this state directory");
    assert_says(HD_SAYS("cancel", "behind", "--state-dir", dir), 0, NULL);
    assert_says(HD_SAYS("attach", "behind", "--state-dir", dir), HD_EXIT_INTERRUPTED, NULL);
}

/* A state directory that is removed under a run ends it with a sentence. */
static void notices_that_the_directory_is_gone(void **state)
{
    (void)state;
    struct hd_err err;
    char *dir = cluster_path(&cluster, "removed");
    struct child *run = cluster_child(&cluster, "run");
    cluster_start(&cluster, run,
                  (const char *const[]){cluster_program("HD"), "run", blocked, "--workers", "1",
                                        "--state-dir", dir, NULL});
    child_wait_text(&cluster, run, "far: 0 done");
    /* The run still writes there: what appears between two looks is for the next. */
    CLUSTER_WAIT(&cluster, hd_remove_tree(dir, &err) == HD_OK);
    assert_int_equal(child_end(&cluster, run), HD_EXIT_FAILED);
    assert_true(child_has_said(&cluster, run, "has been removed"));
}

/* So does another directory in its place, even if no look fell between the two. */
static void notices_that_the_directory_is_another_one(void **state)
{
    (void)state;
    char *dir = cluster_path(&cluster, "swapped");
    char *other = cluster_path(&cluster, "newcomer");
    struct child *run = cluster_child(&cluster, "run");
    cluster_start(&cluster, run,
                  (const char *const[]){cluster_program("HD"), "run", blocked, "--workers", "1",
                                        "--state-dir", dir, NULL});
    child_wait_text(&cluster, run, "far: 0 done");
    assert_int_equal(mkdir(other, 0700), 0);
    assert_int_equal(renameat2(AT_FDCWD, dir, AT_FDCWD, other, RENAME_EXCHANGE), 0);
    assert_int_equal(child_end(&cluster, run), HD_EXIT_FAILED);
    assert_true(child_has_said(&cluster, run, "has been removed"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_as_from_the_directory),
        cmocka_unit_test(says_why_not),
        cmocka_unit_test(says_why_a_master_cannot_be_asked),
        cmocka_unit_test(says_what_a_run_waits_for_and_who_answers),
        cmocka_unit_test(obeys),
        cmocka_unit_test(notices_that_the_master_left),
        cmocka_unit_test(detaches_when_it_runs),
        cmocka_unit_test(notices_that_the_directory_is_gone),
        cmocka_unit_test(notices_that_the_directory_is_another_one),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
