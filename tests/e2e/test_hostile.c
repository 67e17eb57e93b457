/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Strangers on the network: connections that say nothing, little, too much or rubbish, in numbers.
 * They get nothing, the logs stay short, and the cluster works on meanwhile.
 */
#include "cluster.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#define IDLE 400    /* connections that say nothing, to each server */
#define TALKERS 40  /* connections that send rubbish, to each */
#define MESSAGES 50 /* of one talker */
#define SLOW 40     /* connections that send a byte at a time */
#define FDS_MAX (2 * (IDLE + 2 * TALKERS + SLOW))

static struct cluster cluster;
static int fds[FDS_MAX];
static size_t fd_count;

static const char *write_experiment(void)
{
    const char *path = cluster_path(&cluster, "calm.yaml");
    test_file_write(path, cluster_text(&cluster,
                                       "name: calm\n"
                                       "target:\n"
                                       "  command: ['%s', '%s', '10', '0']\n"
                                       "objective: loss\n"
                                       "space: {x: {type: float, low: 0.0, high: 1.0}}\n"
                                       "stop: {configs: 100000}\n"
                                       "lease: 5s\nping: 1s\n",
                                       cluster_program("HD_TEST_TARGET"), cluster.ledger));
    return path;
}

/* ---- the strangers ----------------------------------------------------------------------------
 */

static int dial(unsigned port)
{
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_port = htons((uint16_t)port),
                                  .sin_addr = {htonl(INADDR_LOOPBACK)}};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0);
    if (connect(fd, (const struct sockaddr *)&address, sizeof(address)) != 0) {
        close(fd);
        return -1; /* turned away: as good */
    }
    assert_true(fd_count < FDS_MAX);
    fds[fd_count++] = fd;
    return fd;
}

/* A server may have closed it: then nothing is sent, and nothing is wrong. */
static void say(int fd, const void *bytes, size_t size)
{
    if (fd >= 0)
        (void)!send(fd, bytes, size, MSG_NOSIGNAL | MSG_DONTWAIT);
}

/* The greeting of a REQ socket (scalability protocols, RFC of nanomsg). */
static const unsigned char greeting[8] = {0, 'S', 'P', 0, 0, 0x30, 0, 0};

/* A frame of a request: length, request id, body. */
static void say_frame(int fd, uint64_t told_size, const void *body, size_t size)
{
    unsigned char frame[1024];
    uint64_t length = told_size;
    hd_assert(size + 12 <= sizeof(frame));
    for (int i = 7; i >= 0; i--, length >>= 8)
        frame[i] = (unsigned char)(length & 0xff);
    memcpy(frame + 8, "\x80\x00\x00\x01", 4);
    if (size > 0)
        memcpy(frame + 12, body, size);
    say(fd, frame, size + 12);
}

static void fill(struct hd_rng *rng, unsigned char *bytes, size_t size)
{
    for (size_t i = 0; i < size; i++)
        bytes[i] = (unsigned char)hd_rng_below(rng, 256);
}

static void besiege(unsigned port, uint64_t seed)
{
    struct hd_rng rng;
    unsigned char body[512];
    hd_rng_seed(&rng, seed);
    for (int i = 0; i < IDLE; i++)
        (void)dial(port);
    for (int i = 0; i < SLOW; i++)
        say(dial(port), greeting, 1 + (size_t)i % 8);
    for (int i = 0; i < TALKERS; i++) {
        int fd = dial(port);
        say(fd, greeting, sizeof(greeting));
        if (i % 4 == 0) { /* a message of an exabyte, then one that never ends */
            say_frame(fd, UINT64_C(1) << 60, body, 100);
            fd = dial(port);
            say(fd, greeting, sizeof(greeting));
            say_frame(fd, 100000, body, 100);
            continue;
        }
        for (int m = 0; m < MESSAGES; m++) {
            size_t size = (size_t)hd_rng_below(&rng, sizeof(body) - 4);
            fill(&rng, body, size);
            if (m % 2 == 0 && size > 8) /* a map, as ours are, with a token that nobody gave */
                memcpy(body, "\x82\xa1v\x01\xa1t\xa3xyz", 10 < size ? 10 : size);
            say_frame(fd, size + 4, body, size);
        }
    }
}

static size_t lines_with(const char *text, const char *part)
{
    size_t count = 0;
    for (const char *at = text; (at = strstr(at, part)) != NULL; at += strlen(part))
        count++;
    return count;
}

static unsigned port_of(struct child *master)
{
    static const char serving[] = "serving at tcp://127.0.0.1:";
    const char *said = strstr(child_said(&cluster, master), serving);
    assert_non_null(said);
    return (unsigned)strtoul(said + sizeof(serving) - 1, NULL, 10);
}

/* While they are there the worker goes on, a new worker gets in and a person gets answers; the
 * strangers' rubbish costs each server a few lines of log. */
static void strangers_hold_nobody_up(void **state)
{
    (void)state;
    struct child *nameserver = cluster_nameserver(&cluster);
    struct child *master =
        cluster_master(&cluster, (const char *const[]){write_experiment(), NULL});
    child_wait_text(&cluster, master, "serving at");
    struct child *worker = cluster_worker(&cluster, 0, NULL);
    CLUSTER_WAIT(&cluster, cluster_accepted(&cluster, "calm") >= 3);
    int64_t since_ms = hd_clock_ms();
    besiege(port_of(master), 1);
    besiege((unsigned)strtoul(strrchr(cluster.nameserver, ':') + 1, NULL, 10), 2);
    size_t before = cluster_accepted(&cluster, "calm");
    CLUSTER_WAIT(&cluster, cluster_accepted(&cluster, "calm") >= before + 20);
    assert_outcome(CLUSTER_RUN(&cluster, cluster_program("HD"), "status", "calm", "--nameserver",
                               cluster.nameserver),
                   0, NULL);
    struct child *second = cluster_worker(&cluster, 1, NULL);
    CLUSTER_WAIT(&cluster, child_has_said(&cluster, second, "started at budget"));
    size_t seconds = (size_t)((hd_clock_ms() - since_ms) / 1000) + 1;
    struct child *servers[] = {master, nameserver};
    for (size_t i = 0; i < HD_COUNT(servers); i++) {
        assert_true(child_runs(&cluster, servers[i]));
        char *said = child_said(&cluster, servers[i]);
        size_t refused = lines_with(said, "refused");
        if (refused == 0 || refused > seconds + 1)
            cluster_fail(&cluster, "%s: %zu lines of refusals in %zu s", servers[i]->name, refused,
                         seconds);
    }
    assert_true(child_runs(&cluster, worker));
    while (fd_count > 0)
        close(fds[--fd_count]);
    /* Afterwards all is as before. */
    before = cluster_accepted(&cluster, "calm");
    CLUSTER_WAIT(&cluster, cluster_accepted(&cluster, "calm") >= before + 5);
}

static int setup(void **state)
{
    (void)state;
    struct rlimit files;
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &files), 0);
    files.rlim_cur = files.rlim_max < 4096 ? files.rlim_max : 4096;
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &files), 0);
    cluster_open(&cluster);
    cluster_ledger_open(&cluster, false);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    while (fd_count > 0)
        close(fds[--fd_count]);
    cluster_close(&cluster);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(strangers_hold_nobody_up, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
