/* SPDX-License-Identifier: Apache-2.0 */
/* hd doctor on a machine that is made ill, and how it judges what a test cannot bring about. */
#include "cluster.h"

#include <hd/pki.h>

#include "doctor.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define GIB (UINT64_C(1) << 30)
#define DAY_S (INT64_C(24) * 3600)

static struct cluster cluster;
static struct hd_err err;

/* ---- judging ----------------------------------------------------------------------------------
 */

static void assert_line(struct doctor *doctor, enum doctor_status status, const char *part)
{
    assert_true(doctor->count > 0);
    const struct doctor_line *line = &doctor->lines[doctor->count - 1];
    if (line->status != status || strstr(line->text, part) == NULL)
        fail_msg("%s: %s, wanted %s: %s", doctor_status_name(line->status), line->text,
                 doctor_status_name(status), part);
    if (status == DOCTOR_WARN || status == DOCTOR_FAIL)
        assert_true(line->todo[0] != '\0'); /* what is wrong comes with what to do */
}

/* Measured values are judged by their size, and everything that is not well says what to do. */
static void values_are_judged(void **state)
{
    (void)state;
    static struct doctor doctor;
    doctor_judge_disk(&doctor, "state", "/x", 100 * GIB, 200 * GIB, 0, 0);
    assert_line(&doctor, DOCTOR_OK, "102400 MiB of 204800 MiB free");
    doctor_judge_disk(&doctor, "state", "/x", GIB / 2, 200 * GIB, 0, 0);
    assert_line(&doctor, DOCTOR_WARN, "512 MiB");
    doctor_judge_disk(&doctor, "state", "/x", GIB / 1024, 200 * GIB, 0, 0);
    assert_line(&doctor, DOCTOR_FAIL, "1 MiB");
    doctor_judge_disk(&doctor, "state", "/x", 100 * GIB, 200 * GIB, 5000, 1000000);
    assert_line(&doctor, DOCTOR_WARN, "5000 of 1000000 inodes free");
    doctor_judge_disk(&doctor, "state", "/x", 100 * GIB, 200 * GIB, 5, 1000000);
    assert_line(&doctor, DOCTOR_FAIL, "inodes");
    doctor_judge_skew(&doctor, "the master", 40, 100);
    assert_line(&doctor, DOCTOR_OK, "0.040 s ahead");
    doctor_judge_skew(&doctor, "the master", -3000, 10);
    assert_line(&doctor, DOCTOR_WARN, "3.000 s behind");
    doctor_judge_skew(&doctor, "the master", -3000, 2000); /* perhaps only the way was slow */
    assert_line(&doctor, DOCTOR_OK, "3.000 s behind");
    doctor_judge_skew(&doctor, "the master", 7200000, 10);
    assert_line(&doctor, DOCTOR_FAIL, "7200.000 s ahead");
    doctor_judge_version(&doctor, "hd-master", "1.2.3", "1.2.3");
    assert_line(&doctor, DOCTOR_OK, "version 1.2.3");
    doctor_judge_version(&doctor, "hd-master", "1.2.3", "1.3.0");
    assert_line(&doctor, DOCTOR_WARN, "version 1.3.0, this is 1.2.3");
    doctor_judge_expiry(&doctor, "a.pem", 100 * DAY_S, 0, 200 * DAY_S);
    assert_line(&doctor, DOCTOR_OK, "100 more days");
    doctor_judge_expiry(&doctor, "a.pem", 100 * DAY_S, 0, 110 * DAY_S);
    assert_line(&doctor, DOCTOR_WARN, "10 more days");
    doctor_judge_expiry(&doctor, "a.pem", 100 * DAY_S, 0, 90 * DAY_S);
    assert_line(&doctor, DOCTOR_FAIL, "expired 10 days ago");
    doctor_judge_expiry(&doctor, "a.pem", 100 * DAY_S, 101 * DAY_S, 190 * DAY_S);
    assert_line(&doctor, DOCTOR_FAIL, "not valid yet");
    doctor_judge_cgroups(&doctor, "cpuset cpu io memory hugetlb pids rdma\n");
    assert_line(&doctor, DOCTOR_OK, "can limit memory processes CPUs of commands");
    doctor_judge_cgroups(&doctor, "cpu");
    assert_line(&doctor, DOCTOR_OK, "can limit CPUs of");
    doctor_judge_cgroups(&doctor, "hugetlb cpuset\n");
    assert_line(&doctor, DOCTOR_SKIP, "are watched instead");
    doctor_judge_cgroups(&doctor, NULL);
    assert_line(&doctor, DOCTOR_SKIP, "are watched instead");
    doctor_judge_files(&doctor, 65536, 65536);
    assert_line(&doctor, DOCTOR_OK, "65536 open files");
    doctor_judge_files(&doctor, 1024, 65536); /* servers raise it themselves */
    assert_line(&doctor, DOCTOR_OK, "1024 open files at a time, at most 65536");
    doctor_judge_files(&doctor, 1024, 2048);
    assert_line(&doctor, DOCTOR_WARN, "at most 2048");
    assert_true(doctor_failed(&doctor));
}

/* ---- the program ------------------------------------------------------------------------------
 */

static struct hd_value *examine(int wanted_exit, const char *const more[])
{
    const char *argv[CLUSTER_ARGUMENTS_MAX] = {cluster_program("HD"), "doctor", "--json"};
    size_t count = 3;
    for (size_t i = 0; more[i] != NULL; i++)
        argv[count++] = more[i];
    argv[count] = NULL;
    struct outcome outcome = cluster_run(&cluster, argv);
    if (outcome.exit != wanted_exit)
        fail_msg("exit %d, wanted %d: %s%s", outcome.exit, wanted_exit, outcome.out, outcome.err);
    return cluster_json(outcome.out);
}
#define EXAMINE(code, ...) examine((code), (const char *const[]){__VA_ARGS__, NULL})

/* A line of that check and status that holds the part; frees the answer. */
static void assert_told(struct hd_value *answer, const char *check, const char *status,
                        const char *part)
{
    const struct hd_value *lines = hd_value_get(answer, "checks");
    bool told = false;
    for (size_t i = 0; i < lines->as.array.count && !told; i++) {
        const struct hd_value *line = lines->as.array.items[i];
        told = hd_streq(hd_value_get(line, "check")->as.string, check) &&
               hd_streq(hd_value_get(line, "status")->as.string, status) &&
               strstr(hd_value_get(line, "text")->as.string, part) != NULL;
        if (told && (hd_streq(status, "warn") || hd_streq(status, "fail")))
            assert_true(hd_value_get(line, "todo")->as.string[0] != '\0');
    }
    if (!told) {
        struct hd_buf text;
        hd_buf_init(&text, 1 << 20);
        assert_hd_ok(hd_json_write(answer, HD_JSON_PRETTY, &text, &err));
        fail_msg("not told: %s %s: %s in %s", status, check, part, hd_buf_text(&text));
    }
    hd_value_free(answer);
}

static const char *experiment(void)
{
    const char *path = cluster_path(&cluster, "well.yaml");
    test_file_write(path, cluster_text(&cluster,
                                       "name: well\n"
                                       "target: {command: ['%s', '%s', '10', '0']}\n"
                                       "objective: loss\n"
                                       "space: {x: {type: float, low: 0.0, high: 1.0}}\n",
                                       cluster_program("HD_TEST_TARGET"), cluster.ledger));
    return path;
}

/* Beside a live master and nameserver all is well: it has asked them, and compared versions and
 * clocks. */
static void a_well_cluster(void **state)
{
    (void)state;
    cluster_nameserver(&cluster);
    struct child *master = cluster_master(&cluster, (const char *const[]){experiment(), NULL});
    child_wait_text(&cluster, master, "serving at");
    const char *work = cluster_path(&cluster, "work");
    assert_told(EXAMINE(0, "--nameserver", cluster.nameserver, "--work-dir", work), "nameserver",
                "ok", "answers");
    assert_told(EXAMINE(0, "--nameserver", cluster.nameserver), "clock", "ok",
                "that of the master");
    assert_told(EXAMINE(0, "--nameserver", cluster.nameserver), "version", "ok", "the master is");
    assert_told(EXAMINE(0, "--state-dir", cluster.state_dir), "master", "ok", "answers in");
    assert_told(EXAMINE(0, "--state-dir", cluster.state_dir), "store", "ok", "format");
    child_kill(&cluster, master, SIGTERM);
    assert_told(EXAMINE(0, "--state-dir", cluster.state_dir), "master", "skip", "no master serves");
    assert_false(hd_path_exists(work)); /* it changes nothing */
}

/* A machine on which hd run is all that is used lacks nothing when it has no token. */
static void a_machine_alone_needs_no_token(void **state)
{
    (void)state;
    const char *empty = cluster_path(&cluster, "alone");
    char *token = strdup(getenv("HYPERDOCK_TOKEN_FILE"));
    assert_non_null(token);
    unsetenv("HYPERDOCK_TOKEN_FILE");
    assert_told(EXAMINE(0, "--state-dir", empty), "token", "skip", "hd run needs none");
    assert_told(EXAMINE(1, "--master", "127.0.0.1:1"), "token", "fail", "cannot open");
    setenv("HYPERDOCK_TOKEN_FILE", token, 1);
    free(token);
}

/* Each illness is found, alone, with the exit code. */
static void ill_machines(void **state)
{
    (void)state;
    const char *token = cluster_path(&cluster, "open.token"),
               *file = cluster_path(&cluster, "file");
    const char *dir = cluster_path(&cluster, "tls"), *empty = cluster_path(&cluster, "empty");
    test_file_write(file, "");
    test_file_write(token, "0123456789abcdef0123456789abcdef\n");
    assert_int_equal(chmod(token, 0644), 0);
    assert_told(EXAMINE(1, "--master", "127.0.0.1:1", "--token-file", token), "token", "fail",
                "others may read the token file");
    assert_told(EXAMINE(1, "--state-dir", cluster_text(&cluster, "%s/below", file)), "directory",
                "fail", "is not a directory");
    assert_told(EXAMINE(1, "--state-dir", empty, "--work-dir", file), "directory", "fail",
                "work directory");
    assert_told(EXAMINE(1, "--nameserver", "127.0.0.1:1"), "nameserver", "fail", "127.0.0.1:1");
    assert_told(EXAMINE(1, "--master", "127.0.0.1:1"), "master", "fail", "127.0.0.1:1");
    assert_hd_ok(hd_mkdirs(empty, 0777, &err));
    assert_int_equal(chmod(empty, 0777), 0);
    assert_told(EXAMINE(0, "--state-dir", empty), "directory", "warn", "by everybody");
    test_file_write(cluster_path(&cluster, "empty/state.db"),
                    "this is no database at all, but long");
    assert_told(EXAMINE(1, "--state-dir", empty), "store", "fail", "not a database");

    int64_t now_s = hd_clock_wall_ms() / 1000;
    assert_hd_ok(hd_pki_make_ca(dir, now_s - 10 * DAY_S, 3650, &err));
    assert_hd_ok(hd_pki_make_host(dir, "old", now_s - 10 * DAY_S, 5, &err));
    assert_hd_ok(hd_pki_make_host(dir, "new", now_s - DAY_S, 300, &err));
    const char *old = cluster_path(&cluster, "tls/old.pem"),
               *old_key = cluster_path(&cluster, "tls/old.key"),
               *ca = cluster_path(&cluster, "tls/ca.pem"),
               *new = cluster_path(&cluster, "tls/new.pem"),
               *new_key = cluster_path(&cluster, "tls/new.key");
    assert_told(EXAMINE(1, "--master", "localhost:1", "--cert", old, "--key", old_key, "--ca", ca),
                "tls", "fail", "expired 5 days ago");
    assert_told(EXAMINE(1, "--master", "localhost:1", "--cert", new, "--key", old_key, "--ca", ca),
                "tls", "fail", "is not the key of");
    assert_told(EXAMINE(1, "--master", "localhost:1", "--cert", new, "--key", new_key, "--ca", old),
                "tls", "fail", "was not signed by");
    assert_told(EXAMINE(1, "--master", "localhost:1", "--cert", new, "--key", new_key, "--ca", ca),
                "tls", "ok", "more days");
    assert_int_equal(chmod(new_key, 0640), 0);
    assert_told(EXAMINE(1, "--master", "localhost:1", "--cert", new, "--key", new_key, "--ca", ca),
                "tls", "fail", "others can read the key");

    assert_int_equal(setenv("DOCKER_HOST", "unix:///nonexistent/docker.sock", 1), 0);
    assert_told(EXAMINE(0, "--state-dir", cluster.state_dir), "engine", "warn", "no Docker engine");
    assert_int_equal(unsetenv("DOCKER_HOST"), 0);
}

static void copy_program(const char *from, const char *to)
{
    size_t size;
    char *bytes = test_file_read(from, &size);
    FILE *file = fopen(to, "wb");
    assert_non_null(file);
    assert_int_equal(fwrite(bytes, 1, size, file), size);
    assert_int_equal(fclose(file), 0);
    assert_int_equal(chmod(to, 0755), 0);
    free(bytes);
}

/* A program of another version beside it is told. */
static void mixed_versions(void **state)
{
    (void)state;
    char *bin = cluster_path(&cluster, "bin"), *copy = cluster_path(&cluster, "bin/hd"),
         *fake = cluster_path(&cluster, "bin/hd-master");
    assert_hd_ok(hd_mkdirs(bin, 0755, &err));
    copy_program(cluster_program("HD"), copy);
    test_file_write(fake, "#!/bin/sh\necho hd-master 99.0\n");
    assert_int_equal(chmod(fake, 0755), 0);
    struct outcome outcome =
        CLUSTER_RUN(&cluster, copy, "doctor", "--state-dir", cluster.state_dir, "--json");
    assert_told(cluster_json(outcome.out), "version", "warn", "is version 99.0, this is");
    outcome = CLUSTER_RUN(&cluster, copy, "doctor", "--state-dir", cluster.state_dir);
    assert_non_null(strstr(outcome.out, "-> install one version everywhere"));
}

static int setup(void **state)
{
    (void)state;
    cluster_open(&cluster);
    cluster_ledger_open(&cluster, false);
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
        cmocka_unit_test(values_are_judged),
        cmocka_unit_test_setup_teardown(a_well_cluster, setup, teardown),
        cmocka_unit_test_setup_teardown(a_machine_alone_needs_no_token, setup, teardown),
        cmocka_unit_test_setup_teardown(ill_machines, setup, teardown),
        cmocka_unit_test_setup_teardown(mixed_versions, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
