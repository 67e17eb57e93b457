/* SPDX-License-Identifier: Apache-2.0 */
/* All three programs under a service manager: ready when they serve, alive while they wait, and
 * their targets do not speak in their name. */
#include "cluster.h"

#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

static struct cluster cluster;

static int listen_at(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0 && hd_copy_text(address.sun_path, sizeof(address.sun_path), path));
    assert_int_equal(bind(fd, (const struct sockaddr *)&address, sizeof(address)), 0);
    return fd;
}

/* Somebody must always listen: a datagram socket holds about ten unread messages, and what comes
 * then is lost. */
struct listener {
    int fds[3], stop[2];
    atomic_int ready[3], alive[3], stopping[3], strange[3];
    pthread_t thread;
};

static void count(struct listener *listener, size_t i, const char *text)
{
    atomic_int *which = strstr(text, "READY=1") != NULL      ? listener->ready
                        : strstr(text, "STOPPING=1") != NULL ? listener->stopping
                        : hd_streq(text, "WATCHDOG=1")       ? listener->alive
                                                             : listener->strange;
    atomic_fetch_add(&which[i], 1);
}

static void *listen_on(void *context)
{
    struct listener *listener = context;
    struct pollfd pollers[4] = {{.fd = listener->stop[0], .events = POLLIN}};
    for (size_t i = 0; i < 3; i++)
        pollers[i + 1] = (struct pollfd){.fd = listener->fds[i], .events = POLLIN};
    while (pollers[0].revents == 0) {
        (void)poll(pollers, HD_COUNT(pollers), -1);
        for (size_t i = 0; i < 3; i++) {
            char text[1024];
            ssize_t got = recv(listener->fds[i], text, sizeof(text) - 1, MSG_DONTWAIT);
            text[got > 0 ? got : 0] = '\0';
            if (got > 0)
                count(listener, i, text);
        }
    }
    return NULL;
}

static void listener_open(struct listener *listener, const char *const paths[3])
{
    *listener = (struct listener){0};
    for (size_t i = 0; i < 3; i++)
        listener->fds[i] = listen_at(paths[i]);
    assert_int_equal(pipe2(listener->stop, O_CLOEXEC), 0);
    assert_int_equal(pthread_create(&listener->thread, NULL, listen_on, listener), 0);
}

static void listener_close(struct listener *listener)
{
    close(listener->stop[1]);
    assert_int_equal(pthread_join(listener->thread, NULL), 0);
    close(listener->stop[0]);
    for (size_t i = 0; i < 3; i++)
        close(listener->fds[i]);
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
    static struct listener heard;
    const char *const paths[3] = {cluster_path(&cluster, "n"), cluster_path(&cluster, "m"),
                                  cluster_path(&cluster, "w")};
    const char *out = cluster_path(&cluster, "environment");
    listener_open(&heard, paths);
    manage(paths[0]);
    struct child *nameserver = cluster_nameserver(&cluster);
    CLUSTER_WAIT(&cluster, heard.ready[0] == 1);
    manage(paths[1]);
    struct child *master =
        cluster_master(&cluster, (const char *const[]){write_experiment(out), NULL});
    CLUSTER_WAIT(&cluster, heard.ready[1] == 1);
    CLUSTER_WAIT(&cluster, heard.alive[0] >= 3 && heard.alive[1] >= 3); /* with nothing to do */
    manage(paths[2]);
    struct child *worker = cluster_worker(&cluster, 0, NULL);
    CLUSTER_WAIT(&cluster, heard.ready[2] == 1);
    CLUSTER_WAIT(&cluster, heard.alive[2] >= 3);
    manage_nothing();
    CLUSTER_WAIT(&cluster, cluster_accepted(&cluster, "told") == 1);
    char *environment = test_file_read(out, NULL);
    assert_null(strstr(environment, "NOTIFY_SOCKET"));
    assert_null(strstr(environment, "WATCHDOG"));
    free(environment);
    (void)child_end(&cluster, master);
    CLUSTER_WAIT(&cluster, heard.stopping[1] == 1);
    child_kill(&cluster, worker, SIGTERM);
    CLUSTER_WAIT(&cluster, heard.stopping[2] == 1);
    child_kill(&cluster, nameserver, SIGTERM);
    CLUSTER_WAIT(&cluster, heard.stopping[0] == 1);
    listener_close(&heard);
    for (size_t i = 0; i < 3; i++) {
        assert_int_equal(heard.ready[i], 1);
        assert_int_equal(heard.strange[i], 0);
    }
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
