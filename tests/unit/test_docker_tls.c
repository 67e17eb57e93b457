/* SPDX-License-Identifier: Apache-2.0 */
/* A Docker engine over TCP with TLS: a job runs through it with the right certificates, and each
 * wrong one gives an error that says which file is at fault. A proxy in front of the recorded
 * engine asks for certificates as dockerd --tlsverify does. */
#include "testlib.h"

#include "docker.h"
#include "fake_docker.h"

#include <hd/os.h>
#include <hd/pki.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define NEWS_WAIT_MS 30000
#define FROM_S INT64_C(1700000000)

static struct hd_err err;

struct room {
    char *dir;
    struct fake_docker *fake;
    struct hd_queue *queue;
    pid_t proxy;
    int leash; /* the proxy ends when this is closed */
    char host[64];
};

static void path_of(struct room *room, const char *name, char path[512])
{
    assert_true(hd_format(path, 512, "%s/%s", room->dir, name));
}

static void move_file(struct room *room, const char *from, const char *to)
{
    char old[512], new[512];
    path_of(room, from, old);
    path_of(room, to, new);
    assert_int_equal(rename(old, new), 0);
}

/* DIR/NAME/{ca,cert,key}.pem of a CA of its own, and HOST.{pem,key} for the server's. */
static void make_authority(struct room *room, const char *name)
{
    char directory[512], path[600];
    path_of(room, name, directory);
    assert_hd_ok(hd_mkdirs(directory, 0700, &err));
    assert_hd_ok(hd_pki_make_ca(directory, FROM_S, HD_PKI_DAYS_MAX, &err));
    assert_hd_ok(hd_pki_make_host(directory, "127.0.0.1", FROM_S, HD_PKI_DAYS_MAX, &err));
    assert_hd_ok(hd_pki_make_host(directory, "client", FROM_S, HD_PKI_DAYS_MAX, &err));
    snprintf(path, sizeof(path), "%s/client.pem", name);
    char to[600];
    snprintf(to, sizeof(to), "%s/cert.pem", name);
    move_file(room, path, to);
    snprintf(path, sizeof(path), "%s/client.key", name);
    snprintf(to, sizeof(to), "%s/key.pem", name);
    move_file(room, path, to);
}

static bool read_line(int fd, char *line, size_t size)
{
    size_t used = 0;
    while (used + 1 < size && read(fd, line + used, 1) == 1)
        if (line[used++] == '\n') {
            line[used - 1] = '\0';
            return true;
        }
    return false;
}

static void start_proxy(struct room *room)
{
    char cert[512], key[512], ca[512], script[512], port[16];
    int in[2], out[2];
    path_of(room, "own/127.0.0.1.pem", cert);
    path_of(room, "own/127.0.0.1.key", key);
    path_of(room, "own/ca.pem", ca);
    snprintf(script, sizeof(script), "%s/tests/lib/tls_proxy.py", getenv("HD_SOURCE_ROOT"));
    assert_int_equal(pipe(in), 0);
    assert_int_equal(pipe(out), 0);
    room->proxy = fork();
    assert_true(room->proxy >= 0);
    if (room->proxy == 0) {
        (void)dup2(in[0], 0);
        (void)dup2(out[1], 1);
        close(in[1]);
        close(out[0]);
        execlp("python3", "python3", script, cert, key, ca,
               fake_docker_host(room->fake) + strlen("unix://"), (char *)NULL);
        _exit(127);
    }
    close(in[0]);
    close(out[1]);
    room->leash = in[1];
    if (!read_line(out[0], port, sizeof(port)))
        port[0] = '\0';
    close(out[0]);
    snprintf(room->host, sizeof(room->host), "tcp://127.0.0.1:%s", port);
}

static int setup(void **state)
{
    struct room *room = calloc(1, sizeof(*room));
    assert_non_null(room);
    room->dir = test_dir_make();
    room->fake = fake_docker_start(room->dir);
    fake_docker_add_image(room->fake, "t:1", "");
    assert_hd_ok(hd_queue_new(64, &room->queue, &err));
    make_authority(room, "own");
    make_authority(room, "other");
    start_proxy(room);
    assert_int_equal(setenv("DOCKER_TLS_VERIFY", "1", 1), 0);
    *state = room;
    return 0;
}

static int teardown(void **state)
{
    struct room *room = *state;
    int status;
    close(room->leash);
    assert_int_equal(waitpid(room->proxy, &status, 0), room->proxy);
    hd_queue_free(room->queue);
    fake_docker_stop(room->fake);
    test_dir_remove(room->dir);
    assert_int_equal(unsetenv("DOCKER_TLS_VERIFY"), 0);
    assert_int_equal(unsetenv("DOCKER_CERT_PATH"), 0);
    free(room);
    return 0;
}

/* Without Python there is no proxy. */
static void need_proxy(const struct room *room)
{
    if (hd_streq(room->host, "tcp://127.0.0.1:"))
        skip();
}

static enum hd_code open_with(struct room *room, const char *certificates,
                              struct hd_engine **ret_engine)
{
    char path[512];
    path_of(room, certificates, path);
    assert_int_equal(setenv("DOCKER_CERT_PATH", path, 1), 0);
    const struct hd_engine_options options = {
        .worker = "w", .state_dir = room->dir, .docker_host = room->host, .queue = room->queue};
    return hd_engine_open_docker(&options, ret_engine, &err);
}

/* Every connection of it: requests, the wait and the log. */
static void a_job_runs_through_it(void **state)
{
    struct room *room = *state;
    struct hd_engine *engine = NULL;
    char run_dir[512], log_path[512];
    static char say[] = "say", hello[] = "hello";
    static char *argv[] = {say, hello, NULL};
    need_proxy(room);
    assert_hd_ok(open_with(room, "own", &engine));
    path_of(room, "run", run_dir);
    path_of(room, "log", log_path);
    assert_hd_ok(hd_mkdirs(run_dir, 0755, &err));
    const struct hd_engine_job job = {.attempt = {1, 2, 3},
                                      .worker = "w",
                                      .run_id = "r",
                                      .config_id = "[0,0,0]",
                                      .run_dir = run_dir,
                                      .log_path = log_path,
                                      .image = "t:1",
                                      .argv = argv};
    assert_hd_ok(hd_engine_start(engine, &job, &err));
    struct hd_engine_news *news = hd_queue_pop(room->queue, NEWS_WAIT_MS);
    for (; news != NULL && !news->ended; news = hd_queue_pop(room->queue, NEWS_WAIT_MS))
        hd_free(news);
    assert_non_null(news);
    assert_int_equal(news->end.kind, HD_END_EXITED);
    hd_free(news);
    size_t size;
    char *log = test_file_read(log_path, &size);
    assert_string_equal(log, "hello\n");
    free(log);
    hd_engine_close(engine);
}

static void remove_one(struct room *room, const char *name)
{
    char path[512];
    path_of(room, name, path);
    assert_int_equal(unlink(path), 0);
}

static void wrong_certificates_are_told_by_their_files(void **state)
{
    struct room *room = *state;
    struct hd_engine *engine = NULL;
    need_proxy(room);
    /* Its CA is not ours. */
    assert_hd_fails(open_with(room, "other", &engine), HD_E_NET,
                    "its certificate is not of the CA in");
    assert_non_null(strstr(err.text, "other/ca.pem"));
    /* We are not of its CA. */
    remove_one(room, "other/ca.pem");
    char from[512], to[512];
    path_of(room, "own/ca.pem", from);
    path_of(room, "other/ca.pem", to);
    assert_int_equal(link(from, to), 0);
    assert_hd_fails(open_with(room, "other", &engine), HD_E_NET, "our certificate, ");
    assert_non_null(strstr(err.text, "other/cert.pem"));
    /* We have none, and it wants one. */
    remove_one(room, "other/cert.pem");
    assert_hd_fails(open_with(room, "other", &engine), HD_E_NOTFOUND,
                    "has key.pem and no cert.pem");
    remove_one(room, "other/key.pem");
    assert_hd_fails(open_with(room, "other", &engine), HD_E_NET, "certificate, and there is no");
    /* Nothing to know it by. */
    remove_one(room, "other/ca.pem");
    assert_hd_fails(open_with(room, "other", &engine), HD_E_NOTFOUND,
                    "other/ca.pem does not exist");
    assert_hd_fails(open_with(room, "nowhere", &engine), HD_E_NOTFOUND, "DOCKER_CERT_PATH");
    /* What is no certificate. */
    path_of(room, "other/ca.pem", to);
    test_file_write(to, "no certificate");
    assert_hd_fails(open_with(room, "other", &engine), HD_E_NET, "cannot be used");
    /* Somebody at the port who speaks no TLS, and we no TLS to one who does. */
    assert_int_equal(unsetenv("DOCKER_TLS_VERIFY"), 0);
    assert_hd_fails(open_with(room, "own", &engine), HD_E_NET, "DOCKER_TLS_VERIFY=1");
}

/* A rootless engine is found where it listens, when there is no other one that we may use. */
static void a_rootless_engine_is_found_by_itself(void **state)
{
    struct room *room = *state;
    struct hd_docker_endpoint endpoint;
    char wanted[600];
    const char *host = getenv("DOCKER_HOST");
    char *kept = host != NULL ? strdup(host) : NULL;
    assert_int_equal(unsetenv("DOCKER_HOST"), 0);
    assert_int_equal(setenv("XDG_RUNTIME_DIR", room->dir, 1), 0);
    snprintf(wanted, sizeof(wanted), "%s/docker.sock", room->dir);
    assert_hd_ok(hd_docker_endpoint_init(&endpoint, NULL, &err));
    bool usable = access("/var/run/docker.sock", R_OK | W_OK) == 0;
    assert_string_equal(endpoint.socket_path, usable ? "/var/run/docker.sock" : wanted);
    assert_int_equal(setenv("XDG_RUNTIME_DIR", "/nonexistent", 1), 0);
    assert_hd_ok(hd_docker_endpoint_init(&endpoint, NULL, &err));
    assert_string_equal(endpoint.socket_path, "/var/run/docker.sock");
    assert_int_equal(setenv("DOCKER_HOST", "unix:///named.sock", 1), 0);
    assert_int_equal(setenv("XDG_RUNTIME_DIR", room->dir, 1), 0);
    assert_hd_ok(hd_docker_endpoint_init(&endpoint, NULL, &err));
    assert_string_equal(endpoint.socket_path, "/named.sock");
    assert_int_equal(unsetenv("DOCKER_HOST"), 0);
    assert_int_equal(unsetenv("XDG_RUNTIME_DIR"), 0);
    if (kept != NULL)
        assert_int_equal(setenv("DOCKER_HOST", kept, 1), 0);
    free(kept);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_job_runs_through_it),
        TEST(wrong_certificates_are_told_by_their_files),
        TEST(a_rootless_engine_is_found_by_itself),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
