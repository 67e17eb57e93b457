/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a worker with containers finds when it starts again, from an engine that answers as a real
 * one was recorded to answer: its container was removed by somebody meanwhile, or was never made,
 * or another --engine is given than before.
 */
#include "cluster.h"
#include "fake_docker.h"

#include <fcntl.h>
#include <glob.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define RUN "t"
#define WORK "root-0/" RUN "/cfg/c0-0-1"

static struct cluster cluster;
static struct fake_docker *docker;
static struct child *master;
static char *experiment;

static int setup(void **state)
{
    (void)state;
    cluster_open(&cluster);
    docker = fake_docker_start(cluster.dir);
    fake_docker_add_image(docker, "tuned:latest", "");
    assert_int_equal(setenv("DOCKER_HOST", fake_docker_host(docker), 1), 0);
    cluster_nameserver(&cluster);
    experiment = cluster_path(&cluster, "experiment.yaml");
    test_file_write(experiment, "name: " RUN "\n"
                                "target: {image: 'tuned:latest', command: [run], pull: never}\n"
                                "objective: loss\n"
                                "space: {x: {type: float, low: 0.0, high: 1.0}}\n"
                                "stop: {configs: 1}\n"
                                "lease: 2m\n");
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    cluster_close(&cluster);
    fake_docker_stop(docker);
    return 0;
}

static void start_master(void)
{
    master = cluster_master(&cluster, (const char *const[]){experiment, "--run-id", RUN, NULL});
}

static struct child *start_worker(const char *engine)
{
    return cluster_worker(&cluster, 0, (const char *const[]){"--engine", engine, NULL});
}

/* A file of the worker's journal, until the next is asked for; NULL: not there. */
static const char *kept(unsigned attempt, const char *suffix)
{
    static char pattern[512], path[512];
    glob_t found;
    bool there = false;
    assert_true(hd_format(pattern, sizeof(pattern),
                          "%s/root-0/.hyperdock-workers/*/attempts/*-0-%u.%s", cluster.dir, attempt,
                          suffix));
    if (glob(pattern, 0, NULL, &found) == 0) {
        there = hd_copy_text(path, sizeof(path), found.gl_pathv[0]);
        globfree(&found);
    }
    return there ? path : NULL;
}

/* What the engine calls the container of job 0, whose target runs by now. */
static char *running(unsigned attempt)
{
    unsigned long long run_uid = 0;
    CLUSTER_WAIT(&cluster, kept(attempt, "begun") != NULL);
    assert_int_equal(sscanf(strrchr(kept(attempt, "begun"), '/'), "/%llx", &run_uid), 1);
    return cluster_text(&cluster, "hyperdock-%016llx-0-%u", run_uid, attempt);
}

static void end_well(unsigned attempt)
{
    struct results results;
    test_file_write(cluster_path(&cluster, "root-0/" RUN "/run/0-%u/loss.json", attempt), "0.5");
    fake_docker_exit(docker, running(attempt), 0, false);
    assert_int_equal(child_end(&cluster, master), 0);
    cluster_results(&cluster, RUN, &results);
    assert_int_equal(results.count, 1);
    assert_string_equal(results.rows[0].outcome, "ok");
    assert_int_equal(results.rows[0].attempt, attempt);
    results_release(&results);
}

static ino_t inode_of(const char *path)
{
    struct stat st;
    assert_int_equal(stat(path, &st), 0);
    return st.st_ino;
}

/* A container that ran and was removed while the worker was down: what its target had written is
 * where the next attempt goes on, in a directory into which nobody else writes any more. */
static void what_a_removed_container_wrote_is_kept(void **state)
{
    (void)state;
    start_master();
    struct child *worker = start_worker("docker");
    char *name = running(1);
    const char *work = cluster_path(&cluster, WORK);
    test_file_write(cluster_path(&cluster, WORK "/checkpoint"), "half way");
    int old = open(work, O_PATH | O_DIRECTORY | O_CLOEXEC);
    ino_t before = inode_of(work);
    child_kill(&cluster, worker, SIGKILL);
    fake_docker_remove(docker, name);
    start_worker("docker");
    (void)running(2);
    char *text = test_file_read(cluster_path(&cluster, WORK "/checkpoint"), NULL);
    assert_string_equal(text, "half way");
    free(text);
    text = test_file_read(kept(2, "attempt"), NULL);
    assert_non_null(strstr(text, "\"directory\": \"c0-0-1\""));
    free(text);
    assert_true(inode_of(work) != before);
    struct stat st;
    assert_true(fstat(old, &st) == 0 && st.st_nlink == 0);
    close(old);
    end_well(2);
}

/* A container that was never made leaves nothing: the job begins afresh, and nothing is charged. */
static void what_was_only_prepared_is_no_state(void **state)
{
    (void)state;
    struct child *worker = start_worker("docker");
    child_wait_text(&cluster, cluster_child(&cluster, "nameserver"), " registered");
    fake_docker_crash(docker);
    start_master();
    CLUSTER_WAIT(&cluster, kept(1, "attempt") != NULL);
    assert_int_equal(access(cluster_path(&cluster, WORK), F_OK), 0);
    child_kill(&cluster, worker, SIGKILL);
    fake_docker_come_back(docker);
    start_worker("docker");
    (void)running(2);
    assert_true(access(cluster_path(&cluster, WORK), F_OK) != 0);
    char *text = test_file_read(kept(2, "attempt"), NULL);
    assert_non_null(strstr(text, "\"directory\": \"c0-0-2\""));
    free(text);
    child_wait_text(&cluster, master, "preempted");
    end_well(2);
}

/* With another --engine than before, what runs is still taken up where it runs; and as long as its
 * engine is not there, the worker says so and touches nothing. */
static void another_engine_takes_up_what_runs(void **state)
{
    (void)state;
    start_master();
    struct child *worker = start_worker("docker");
    char *name = running(1);
    child_kill(&cluster, worker, SIGKILL);
    fake_docker_crash(docker);
    worker = start_worker("process");
    assert_true(child_end(&cluster, worker) != 0);
    assert_true(child_has_said(&cluster, worker, "start it first, and the worker with the same"));
    assert_non_null(kept(1, "attempt"));
    fake_docker_come_back(docker);
    worker = start_worker("process");
    child_wait_text(&cluster, worker, "job 0, attempt 1: found again");
    assert_true(fake_docker_is_running(docker, name));
    end_well(1);
}

#define STORY(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        STORY(what_a_removed_container_wrote_is_kept),
        STORY(what_was_only_prepared_is_no_state),
        STORY(another_engine_takes_up_what_runs),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
