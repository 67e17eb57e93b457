/* SPDX-License-Identifier: Apache-2.0 */
/* All three programs under a service manager: ready when they serve, alive while they wait, and
 * their targets do not speak in their name. */
#include "cluster.h"

#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define WAIT_MS 30000

static struct cluster cluster;

static int listen_at(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0 && hd_copy_text(address.sun_path, sizeof(address.sun_path), path));
    assert_int_equal(bind(fd, (const struct sockaddr *)&address, sizeof(address)), 0);
    return fd;
}

static void hear(int fd, const char *wanted)
{
    char text[1024];
    struct pollfd poller = {.fd = fd, .events = POLLIN};
    ssize_t got = poll(&poller, 1, WAIT_MS) == 1 ? recv(fd, text, sizeof(text) - 1, 0) : 0;
    text[got > 0 ? got : 0] = '\0';
    if (strstr(text, wanted) == NULL)
        cluster_fail(&cluster, "wanted \"%s\", heard \"%s\"", wanted, text);
}

static void hear_the_end(int fd)
{
    char text[1024];
    struct pollfd poller = {.fd = fd, .events = POLLIN};
    do {
        ssize_t got = poll(&poller, 1, WAIT_MS) == 1 ? recv(fd, text, sizeof(text) - 1, 0) : 0;
        text[got > 0 ? got : 0] = '\0';
    } while (hd_streq(text, "WATCHDOG=1"));
    assert_string_equal(text, "STOPPING=1");
}

/* What is started next is a service of this socket. */
static void manage(const char *socket_path)
{
    assert_int_equal(setenv("NOTIFY_SOCKET", socket_path, 1), 0);
    assert_int_equal(setenv("WATCHDOG_USEC", "600000", 1), 0);
    assert_int_equal(unsetenv("WATCHDOG_PID"), 0);
}

static void manage_nothing(void)
{
    (void)unsetenv("NOTIFY_SOCKET");
    (void)unsetenv("WATCHDOG_USEC");
}

/* A run whose only target says into a file what it finds in its environment. */
static const char *write_experiment(const char *out)
{
    const char *path = cluster_path(&cluster, "told.yaml");
    test_file_write(path, cluster_text(&cluster,
                                       "name: told\n"
                                       "target:\n"
                                       "  command: [/bin/sh, -c, 'env > %s; echo 1; exit 3']\n"
                                       "  retries: {infra: 0, failed: 0}\n"
                                       "objective: loss\n"
                                       "space: {x: {type: float, low: 0.0, high: 1.0}}\n"
                                       "stop: {configs: 1}\n",
                                       out));
    return path;
}

static void three_services(void **state)
{
    (void)state;
    const char *paths[3] = {cluster_path(&cluster, "n"), cluster_path(&cluster, "m"),
                            cluster_path(&cluster, "w")};
    const char *out = cluster_path(&cluster, "environment");
    int fds[3];
    for (size_t i = 0; i < 3; i++)
        fds[i] = listen_at(paths[i]);
    manage(paths[0]);
    struct child *nameserver = cluster_nameserver(&cluster);
    hear(fds[0], "READY=1");
    manage(paths[1]);
    struct child *master =
        cluster_master(&cluster, (const char *const[]){write_experiment(out), NULL});
    hear(fds[1], "READY=1");
    for (int i = 0; i < 3; i++) { /* with nothing to do */
        hear(fds[0], "WATCHDOG=1");
        hear(fds[1], "WATCHDOG=1");
    }
    manage(paths[2]);
    struct child *worker = cluster_worker(&cluster, 0, NULL);
    hear(fds[2], "READY=1");
    for (int i = 0; i < 3; i++)
        hear(fds[2], "WATCHDOG=1");
    manage_nothing();
    CLUSTER_WAIT(&cluster, cluster_accepted(&cluster, "told") == 1);
    char *environment = test_file_read(out, NULL);
    assert_null(strstr(environment, "NOTIFY_SOCKET"));
    assert_null(strstr(environment, "WATCHDOG"));
    free(environment);
    (void)child_end(&cluster, master);
    hear_the_end(fds[1]);
    child_kill(&cluster, worker, SIGTERM);
    hear_the_end(fds[2]);
    child_kill(&cluster, nameserver, SIGTERM);
    hear_the_end(fds[0]);
    for (size_t i = 0; i < 3; i++)
        close(fds[i]);
}

static int setup(void **state)
{
    (void)state;
    cluster_open(&cluster);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    manage_nothing();
    cluster_close(&cluster);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(three_services, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
