/* SPDX-License-Identifier: Apache-2.0 */
#include "testlib.h"

#include "ship_world.h"

#include <hd/os.h>

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static struct hd_err err;
static char *dir;
static pid_t store_pid;
static int store_stdin = -1;
struct hd_artifact_place ship_place;
struct hd_artifact_access *ship_access;

const char *in_dir(const char *name)
{
    static char paths[8][4096];
    static unsigned next;
    char *path = paths[next++ % 8];
    assert_true(hd_format(path, 4096, "%s/%s", dir, name));
    return path;
}

void make_dir(const char *name)
{
    assert_hd_ok(hd_mkdirs(in_dir(name), 0755, &err));
}

/* Written long enough ago to be left in peace. */
void write_old(const char *name, const void *bytes, size_t size)
{
    int fd = open(in_dir(name), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, bytes, size), (ssize_t)size);
    assert_int_equal(close(fd), 0);
    time_t then = (time_t)(hd_clock_wall_ms() / 1000) - 60;
    const struct timespec times[2] = {{.tv_sec = then}, {.tv_sec = then}};
    assert_int_equal(utimensat(AT_FDCWD, in_dir(name), times, 0), 0);
}

void write_text(const char *name, const char *text)
{
    write_old(name, text, strlen(text));
}

char *make_big(void)
{
    char *bytes = malloc(BIG_SIZE);
    assert_non_null(bytes);
    for (size_t i = 0; i < BIG_SIZE; i++)
        bytes[i] = (char)(i * 31 + i / 65537);
    return bytes;
}

/* A line may come in pieces, and whoever closes the pipe between them ends the writer. */
static void read_line(int fd, char *ret_line, size_t size)
{
    size_t length = 0;
    char byte;
    while (read(fd, &byte, 1) == 1 && byte != '\n') {
        assert_true(length + 1 < size);
        ret_line[length++] = byte;
    }
    assert_true(length > 0);
    ret_line[length] = '\0';
}

void start_store(const char *session)
{
    int to[2], from[2];
    char port[16] = "", script[4096], endpoint[64];
    assert_int_equal(pipe(to), 0);
    assert_int_equal(pipe(from), 0);
    assert_true(
        hd_format(script, sizeof(script), "%s/tests/lib/fake_s3.py", getenv("HD_SOURCE_ROOT")));
    store_pid = fork();
    assert_true(store_pid >= 0);
    if (store_pid == 0) {
        setenv("FAKE_S3_SESSION", session, 1);
        dup2(to[0], 0);
        dup2(from[1], 1);
        for (int fd = 3; fd < 64; fd++)
            close(fd);
        execlp("python3", "python3", script, dir, (char *)NULL);
        _exit(127);
    }
    close(to[0]);
    close(from[1]);
    store_stdin = to[1];
    read_line(from[0], port, sizeof(port));
    close(from[0]);
    assert_true(hd_format(endpoint, sizeof(endpoint), "http://127.0.0.1:%s", port));
    setenv("S3_ENDPOINT_URL", endpoint, 1);
    setenv("AWS_ACCESS_KEY_ID", "AKIATEST", 1);
    setenv("AWS_SECRET_ACCESS_KEY", "a/secret+of=tests", 1);
    setenv("AWS_SESSION_TOKEN", session, 1);
    assert_hd_ok(hd_artifact_place_parse("s3://bucket/some prefix", &ship_place, &err));
    assert_hd_ok(hd_artifact_access_load(NULL, &ship_access, &err));
}

int ship_set_up(void **state)
{
    (void)state;
    static const char *const names[] = {
        "S3_ENDPOINT_URL",       "AWS_ACCESS_KEY_ID",   "AWS_REGION",
        "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN",   "AWS_DEFAULT_REGION",
        "AWS_ENDPOINT_URL",      "AWS_ENDPOINT_URL_S3", "AWS_CA_BUNDLE"};
    for (size_t i = 0; i < HD_COUNT(names); i++)
        unsetenv(names[i]);
    dir = test_dir_make();
    make_dir("root/demo/run/7-1/out/deep");
    make_dir("store");
    store_pid = 0;
    ship_access = NULL;
    assert_hd_ok(hd_artifact_place_parse(in_dir("store"), &ship_place, &err));
    return 0;
}

int ship_tear_down(void **state)
{
    (void)state;
    if (store_pid > 0) {
        close(store_stdin);
        (void)kill(store_pid, SIGKILL);
        (void)waitpid(store_pid, NULL, 0);
    }
    hd_artifact_access_free(ship_access);
    test_dir_remove(dir);
    return 0;
}

void set_faults(const char *lines)
{
    test_file_write(in_dir("faults"), lines);
}

struct hd_shipper *open_shipper(bool on, uint64_t bytes_max)
{
    struct hd_shipper *shipper = NULL;
    char queue[4096];
    (void)hd_copy_text(queue, sizeof(queue), in_dir("queue"));
    const struct hd_shipper_settings settings = {.directory = queue,
                                                 .place = on ? &ship_place : NULL,
                                                 .access = ship_access,
                                                 .attempt_bytes_max = bytes_max,
                                                 .manual = true};
    assert_hd_ok(hd_shipper_open(&settings, &shipper, &err));
    return shipper;
}

const struct hd_attempt_ref first = {.run_uid = 0xab, .job = 7, .attempt = 1};

void begin(struct hd_shipper *shipper, struct hd_attempt_ref attempt, const char *run_dir,
           uint32_t keep, double budget)
{
    const struct hd_artifacts_spec spec = {.keep = keep};
    const struct hd_shipment shipment = {.attempt = attempt,
                                         .run_id = "demo",
                                         .config_id = "0-0-3",
                                         .run_dir = run_dir,
                                         .spec = &spec,
                                         .budget = budget};
    hd_shipper_begin(shipper, &shipment);
}

/* Until nothing waits; a store that fails for good would make it endless. */
void ship_out(struct hd_shipper *shipper)
{
    for (int i = 0; i < 50 && hd_shipper_waiting(shipper) > 0; i++) {
        (void)hd_shipper_look(shipper);
        hd_shipper_hurry(shipper);
    }
    assert_int_equal(hd_shipper_waiting(shipper), 0);
}

void ship_first(struct hd_shipper *shipper)
{
    begin(shipper, first, in_dir("root/demo/run/7-1"), 0, 9);
    hd_shipper_end(shipper, first, HD_OUTCOME_OK, 0.5, 0);
    ship_out(shipper);
}

bool is_there(const char *name)
{
    return access(in_dir(name), F_OK) == 0;
}

void assert_holds(const char *name, const void *bytes, size_t size)
{
    size_t have;
    char *text = test_file_read(in_dir(name), &have);
    assert_int_equal(have, size);
    assert_memory_equal(text, bytes, size);
    free(text);
}

void assert_text_in(const char *name, const char *part)
{
    char *text = test_file_read(in_dir(name), NULL);
    if (strstr(text, part) == NULL)
        fail_msg("%s does not hold \"%s\":\n%s", name, part, text);
    free(text);
}

size_t count_in(const char *name, const char *part)
{
    size_t count = 0;
    char *text = test_file_read(in_dir(name), NULL);
    for (const char *at = text; (at = strstr(at, part)) != NULL; at++)
        count++;
    free(text);
    return count;
}
