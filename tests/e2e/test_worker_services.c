/* SPDX-License-Identifier: Apache-2.0 */
/* Services of a worker's own (services_per: worker), with the real programs and a recorded engine:
 * a worker that is killed finds them again, before they are ready and after, and the end of the run
 * leaves nothing of them. */
#include "cluster.h"

#include "fake_docker.h"

#include <glob.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#define RUN "needy"

static struct cluster cluster;
static struct fake_docker *docker;

static int setup(void **state)
{
    (void)state;
    cluster_open(&cluster);
    docker = fake_docker_start(cluster.dir);
    fake_docker_add_image(docker, "tuned:latest", "");
    fake_docker_add_image(docker, "redis:7", "");
    assert_int_equal(setenv("DOCKER_HOST", fake_docker_host(docker), 1), 0);
    cluster_nameserver(&cluster);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    cluster_close(&cluster);
    fake_docker_stop(docker);
    return 0;
}

static struct child *start_master(int retries, const char *services)
{
    char *experiment = cluster_path(&cluster, "experiment.yaml");
    test_file_write(experiment,
                    cluster_text(&cluster,
                                 "name: " RUN "\n"
                                 "target: {image: 'tuned:latest', command: [run], networks: "
                                 "[back], pull: never, retries: {infra: %d}}\n"
                                 "objective: loss\n"
                                 "space: {x: {type: float, low: 0.0, high: 1.0}}\n"
                                 "stop: {configs: 1}\n"
                                 "pause_after_failures: 0\n"
                                 "services_per: worker\n"
                                 "services: {cache: {image: 'redis:7', networks: [back], %s}}\n",
                                 retries, services));
    return cluster_master(&cluster, (const char *const[]){experiment, "--run-id", RUN, NULL});
}

static struct child *start_worker(void)
{
    return cluster_worker(&cluster, 0, (const char *const[]){"--engine", "docker", NULL});
}

/* Its note; NULL: there is none. */
static bool is_noted(void)
{
    glob_t found;
    bool there = glob(cluster_path(&cluster, "root-0/.hyperdock-workers/*/services/*"), 0, NULL,
                      &found) == 0;
    if (there)
        globfree(&found);
    return there;
}

/* The name of a container whose body has this, of all that were made; until the next call. */
static const char *name_of(const char *prefix)
{
    static char name[128];
    return fake_docker_find(docker, prefix, name, sizeof(name)) ? name : NULL;
}

static bool is_target_in(const char *network)
{
    const char *target = name_of("hyperdock-");
    return target != NULL && fake_docker_is_in(docker, target, network);
}

/* Killed while they rise, and again while a target uses them. */
static void a_killed_worker_finds_its_services(void **state)
{
    char cache[128];
    (void)state;
    struct child *master = start_master(1, "cmd: run, ready: {log: serving, timeout: 1h}");
    struct child *worker = start_worker();
    CLUSTER_WAIT(&cluster, name_of("cache-") != NULL);
    assert_true(hd_copy_text(cache, sizeof(cache), name_of("cache-")));
    fake_docker_await_running(docker, cache);
    child_kill(&cluster, worker, SIGKILL);
    assert_true(is_noted());

    (void)start_worker();
    fake_docker_say(docker, cache, "serving");
    char *network = cluster_text(&cluster, "back%s", strchr(cache, '-'));
    CLUSTER_WAIT(&cluster, is_target_in(network));
    fake_docker_await_running(docker, name_of("hyperdock-"));
    assert_true(fake_docker_is_running(docker, cache));
    assert_true(fake_docker_has_network(docker, network));
    child_kill(&cluster, worker, SIGKILL);

    (void)start_worker();
    child_wait_text(&cluster, worker, "found again");
    assert_true(fake_docker_is_running(docker, cache));
    fake_docker_exit(docker, name_of("hyperdock-"), 3, false);
    CLUSTER_WAIT(&cluster, cluster_accepted(&cluster, RUN) == 1);
    child_signal(worker, SIGTERM); /* unless it has left, since the run is over */
    assert_int_equal(child_end(&cluster, worker), HD_EXIT_OK);
    assert_false(fake_docker_has(docker, cache));
    assert_false(fake_docker_has_network(docker, network));
    assert_false(is_noted());
    child_kill(&cluster, master, SIGTERM);
}

/* One that does not get ready is nobody's fault: an infrastructure failure that names it. */
static void what_does_not_get_ready_is_infrastructure(void **state)
{
    struct results results;
    (void)state;
    (void)start_master(0, "cmd: exit 4, ready: {exit: true}");
    (void)start_worker();
    CLUSTER_WAIT(&cluster, cluster_accepted(&cluster, RUN) == 1);
    cluster_results(&cluster, RUN, &results);
    assert_string_equal(results.rows[0].outcome, "infra");
    assert_non_null(strstr(results.rows[0].message,
                           "services: cache: it ended with exit code 4 before it was ready"));
    results_release(&results);
    CLUSTER_WAIT(&cluster, !is_noted());
    assert_null(name_of("cache-"));
}

/* A master cannot make a worker start what its owner forbids. */
static void the_policy_refuses(void **state)
{
    struct results results;
    (void)state;
    (void)start_master(0, "cmd: run, ports: ['6379:6379']");
    (void)start_worker();
    CLUSTER_WAIT(&cluster, cluster_accepted(&cluster, RUN) == 1);
    cluster_results(&cluster, RUN, &results);
    assert_string_equal(results.rows[0].outcome, "config-error");
    assert_non_null(strstr(results.rows[0].message, "services.cache: refused by the policy of this "
                                                    "worker, rule ports: 0.0.0.0:6379:6379"));
    results_release(&results);
    assert_null(name_of("cache-"));
    assert_false(is_noted());
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_killed_worker_finds_its_services, setup, teardown),
        cmocka_unit_test_setup_teardown(what_does_not_get_ready_is_infrastructure, setup, teardown),
        cmocka_unit_test_setup_teardown(the_policy_refuses, setup, teardown),
    };
    return cmocka_run_group_tests_name("worker_services", tests, NULL, NULL);
}
