/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Who may talk to whom, with the real programs: certificates of `hd tls init`, tokens of roles,
 * rotation while everything runs.
 */
#include "cluster.h"

#include <hd/net.h>
#include <hd/pki.h>

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define DAY_S (INT64_C(24) * 3600)

static struct cluster cluster;
static struct hd_err err;

static const char *experiment_of(unsigned configs)
{
    const char *path = cluster_path(&cluster, "secret.yaml");
    test_file_write(path, cluster_text(&cluster,
                                       "name: secret\n"
                                       "target:\n"
                                       "  command: ['%s', '%s', '20', '0']\n"
                                       "objective: loss\n"
                                       "space: {x: {type: float, low: 0.0, high: 1.0}}\n"
                                       "stop: {configs: %u}\n"
                                       "lease: 2s\nping: 500ms\n",
                                       cluster_program("HD_TEST_TARGET"), cluster.ledger, configs));
    return path;
}

static struct outcome hd(const char *const more[])
{
    const char *argv[CLUSTER_ARGUMENTS_MAX] = {cluster_program("HD")};
    size_t count = 1;
    for (size_t i = 0; more[i] != NULL; i++)
        argv[count++] = more[i];
    argv[count] = NULL;
    return cluster_run(&cluster, argv);
}
#define HD(...) hd((const char *const[]){__VA_ARGS__, NULL})

/* ---- TLS ---------------------------------------------------------------------------------------
 */

static const char *pem(const char *dir, const char *name)
{
    return cluster_text(&cluster, "%s/%s", dir, name);
}

/* The nameserver says 127.0.0.1; with TLS it is dialled by name. */
static const char *nameserver_by_name(void)
{
    return cluster_text(&cluster, "localhost:%s", strrchr(cluster.nameserver, ':') + 1);
}

/* A worker with these files and no more; it is asked what it says first. */
static void worker_says(unsigned number, const char *const more[], const char *wanted)
{
    const char *argv[CLUSTER_ARGUMENTS_MAX] = {cluster_program("HD_WORKER"), "--nameserver",
                                               nameserver_by_name(), "--work-dir",
                                               cluster_path(&cluster, "root-%u", number)};
    size_t count = 5;
    for (size_t i = 0; more[i] != NULL; i++)
        argv[count++] = more[i];
    argv[count] = NULL;
    struct child *child = cluster_child(&cluster, cluster_text(&cluster, "worker-%u", number));
    cluster_start(&cluster, child, argv);
    child_wait_text(&cluster, child, wanted);
    child_kill(&cluster, child, SIGKILL);
}

/* With certificates that hd tls made a whole run goes through mutual TLS. A caller with another
 * CA's certificate, an expired one or none, or one who expects another CA, gets nowhere. */
static void tls_lets_in_whom_the_ca_knows(void **state)
{
    (void)state;
    const char *ours = cluster_path(&cluster, "tls"), *theirs = cluster_path(&cluster, "other-tls");
    assert_outcome(HD("tls", "init", ours, "--host", "localhost,worker.example"), 0, NULL);
    assert_outcome(HD("tls", "init", theirs, "--host", "worker.example"), 0, NULL);
    assert_outcome(HD("tls", "init", ours, "--host", "late.example"), 0, NULL);
    int64_t now_s = hd_clock_wall_ms() / 1000;
    assert_hd_ok(hd_pki_make_host(ours, "expired.example", now_s - 10 * DAY_S, 5, &err));
    const char *ca = pem(ours, "ca.pem");
    struct child *nameserver = cluster_nameserver_with(
        &cluster, (const char *const[]){"--cert", pem(ours, "localhost.pem"), "--key",
                                        pem(ours, "localhost.key"), "--ca", ca, NULL});
    struct child *master = cluster_child(&cluster, "master");
    cluster_start(&cluster, master,
                  (const char *const[]){cluster_program("HD_MASTER"), experiment_of(6),
                                        "--nameserver", nameserver_by_name(), "--state-dir",
                                        cluster.state_dir, "--advertise", "localhost", "--cert",
                                        pem(ours, "localhost.pem"), "--key",
                                        pem(ours, "localhost.key"), "--ca", ca, NULL});
    child_wait_text(&cluster, master, "serving at tls+tcp://localhost:");

    static const char nothing[] = "the nameserver does not help";
    worker_says(1, (const char *const[]){"--ca", ca, NULL}, nothing);
    worker_says(2,
                (const char *const[]){"--ca", ca, "--cert", pem(theirs, "worker.example.pem"),
                                      "--key", pem(theirs, "worker.example.key"), NULL},
                nothing);
    worker_says(3,
                (const char *const[]){"--ca", ca, "--cert", pem(ours, "expired.example.pem"),
                                      "--key", pem(ours, "expired.example.key"), NULL},
                nothing);
    worker_says(4,
                (const char *const[]){"--ca", pem(theirs, "ca.pem"), "--cert",
                                      pem(ours, "worker.example.pem"), "--key",
                                      pem(ours, "worker.example.key"), NULL},
                nothing);
    worker_says(5, (const char *const[]){"--engine", "process", NULL}, nothing); /* no TLS at all */
    assert_int_equal(cluster_accepted(&cluster, "secret"), 0);
    assert_true(child_runs(&cluster, nameserver));

    struct child *worker = cluster_child(&cluster, "worker-6");
    cluster_start(&cluster, worker,
                  (const char *const[]){
                      cluster_program("HD_WORKER"), "--nameserver", nameserver_by_name(),
                      "--work-dir", cluster_path(&cluster, "root-6"), "--ca", ca, "--cert",
                      pem(ours, "late.example.pem"), "--key", pem(ours, "late.example.key"), NULL});
    assert_int_equal(child_end(&cluster, master), 0);
    assert_int_equal(cluster_accepted(&cluster, "secret"), 6);
}

/* What hd tls makes is private, not replaced, and only names are taken. */
static void what_tls_init_makes(void **state)
{
    (void)state;
    const char *dir = cluster_path(&cluster, "tls");
    struct stat st;
    struct hd_pki_info info;
    assert_outcome(HD("tls", "init", dir, "--host", "a.example", "--days", "30"), 0, NULL);
    assert_int_equal(stat(pem(dir, "ca.key"), &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    assert_int_equal(stat(pem(dir, "a.example.key"), &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    assert_outcome(HD("tls", "init", dir, "--host", "a.example"), 1, "exists");
    assert_outcome(HD("tls", "init", dir, "--host", "../up"), 2, "is no host name");
    assert_hd_ok(hd_pki_read(pem(dir, "a.example.pem"), pem(dir, "ca.pem"), &info, &err));
    assert_true(info.signed_by_ca);
    int64_t days = (info.until_wall_s - hd_clock_wall_ms() / 1000 + DAY_S / 2) / DAY_S;
    assert_in_range(days, 29, 30);
    assert_hd_ok(hd_pki_check_pair(pem(dir, "a.example.pem"), pem(dir, "a.example.key"), &err));
    assert_hd_fails(hd_pki_check_pair(pem(dir, "a.example.pem"), pem(dir, "ca.key"), &err),
                    HD_E_INVALID, "is not the key of");
}

/* Another TLS library finds an address in the certificate as an address. */
static void an_address_is_certified_as_one(void **state)
{
    (void)state;
    static const char openssl[] = "/usr/bin/openssl";
    const char *dir = cluster_path(&cluster, "tls"), *ca = pem(dir, "ca.pem");
    assert_outcome(HD("tls", "init", dir, "--host", "10.0.0.5,::1"), 0, NULL);
    assert_outcome(HD("tls", "init", dir, "--host", "10.0.0.5:1"), 2, "is no host name");
    if (!hd_path_exists(openssl))
        skip();
    const char *four = pem(dir, "10.0.0.5.pem"), *six = pem(dir, "::1.pem");
    assert_outcome(
        CLUSTER_RUN(&cluster, openssl, "verify", "-CAfile", ca, "-verify_ip", "10.0.0.5", four), 0,
        NULL);
    assert_outcome(
        CLUSTER_RUN(&cluster, openssl, "verify", "-CAfile", ca, "-verify_ip", "10.0.0.6", four), 2,
        NULL);
    assert_outcome(
        CLUSTER_RUN(&cluster, openssl, "verify", "-CAfile", ca, "-verify_ip", "::1", six), 0, NULL);
}

/* Beyond loopback nothing listens or dials without TLS or the word; nothing is made before. */
static void nothing_is_open_by_mistake(void **state)
{
    (void)state;
    assert_outcome(
        CLUSTER_RUN(&cluster, cluster_program("HD_NAMESERVER"), "--host", "*", "--port", "0"), 1,
        "refusing to listen on 0.0.0.0 without TLS");
    assert_outcome(CLUSTER_RUN(&cluster, cluster_program("HD_MASTER"), experiment_of(1), "--host",
                               "0.0.0.0", "--state-dir", cluster.state_dir),
                   1, "refusing to listen on 0.0.0.0 without TLS");
    assert_false(hd_path_exists(cluster_text(&cluster, "%s/state.db", cluster.state_dir)));
    assert_outcome(CLUSTER_RUN(&cluster, cluster_program("HD_WORKER"), "--nameserver",
                               "192.0.2.1:7411", "--work-dir", cluster_path(&cluster, "root")),
                   2, "is beyond this machine: give --ca for TLS, or --plaintext");
}

/* ---- tokens ------------------------------------------------------------------------------------
 */

static const char *role_token(const char *role)
{
    const char *path = cluster_path(&cluster, "%s.token", role);
    assert_outcome(HD("token", "add", cluster.token_file, "--role", role, "--output", path), 0,
                   NULL);
    return path;
}

static struct outcome ask(const char *token_file, const char *command, const char *argument)
{
    return HD(command, argument, "--nameserver", cluster.nameserver, "--token-file", token_file);
}

/* Each role may do its own and nothing else; programs learn new tokens without a restart. */
static void roles_are_kept_apart(void **state)
{
    (void)state;
    cluster_nameserver(&cluster);
    struct child *master =
        cluster_master(&cluster, (const char *const[]){experiment_of(100000), NULL});
    child_wait_text(&cluster, master, "serving at");
    const char *worker_token = role_token("worker"), *reader = role_token("reader"),
               *person = role_token("operator"), *wrong = cluster_path(&cluster, "wrong.token");
    test_file_write(wrong, "0123456789abcdef0123456789abcdef\n");
    assert_int_equal(chmod(wrong, 0600), 0);
    /* The file is looked at twice a second. */
    CLUSTER_WAIT(&cluster, ask(person, "pause", "secret").exit == 0);
    CLUSTER_WAIT(&cluster, ask(reader, "status", "secret").exit == 0);
    assert_outcome(ask(person, "status", "secret"), 0, NULL);
    assert_outcome(ask(reader, "pause", "secret"), 1, "a token of the role \"reader\" may not");
    assert_outcome(ask(worker_token, "status", "secret"), 1,
                   "a token of the role \"worker\" may not");
    assert_outcome(ask(worker_token, "pause", "secret"), 1,
                   "a token of the role \"worker\" may not");
    assert_outcome(ask(wrong, "status", "secret"), 1, "wrong token");
    cluster_worker(&cluster, 0, (const char *const[]){"--token-file", reader, NULL});
    child_wait_text(&cluster, cluster_child(&cluster, "worker-0"),
                    "a token of the role \"reader\" may not");
    child_kill(&cluster, cluster_child(&cluster, "worker-0"), SIGKILL);
    assert_outcome(ask(person, "resume", "secret"), 0, NULL);
    cluster_worker(&cluster, 1, (const char *const[]){"--token-file", worker_token, NULL});
    CLUSTER_WAIT(&cluster, cluster_accepted(&cluster, "secret") >= 3);
    child_kill(&cluster, cluster_child(&cluster, "worker-1"), SIGKILL);
    child_kill(&cluster, master, SIGTERM);
    /* No token is told to anybody. */
    char *said = child_said(&cluster, master), *token = test_file_read(worker_token, NULL);
    token[strcspn(token, "\n")] = '\0';
    assert_null(strstr(said, token));
    free(token);
}

/* A rotation under a working cluster: the old token ends, jobs go on, nothing is restarted. */
static void rotation_needs_no_restart(void **state)
{
    (void)state;
    struct child *nameserver = cluster_nameserver(&cluster);
    struct child *master =
        cluster_master(&cluster, (const char *const[]){experiment_of(100000), NULL});
    struct child *worker = cluster_worker(&cluster, 0, NULL);
    CLUSTER_WAIT(&cluster, cluster_accepted(&cluster, "secret") >= 2);
    char *old = test_file_read(cluster.token_file, NULL);
    const char *old_file = cluster_path(&cluster, "old.token");
    test_file_write(old_file, old);
    free(old);
    assert_int_equal(chmod(old_file, 0600), 0);
    assert_outcome(ask(old_file, "status", "secret"), 0, NULL);
    assert_outcome(HD("token", "rotate", cluster.token_file, "--keep", "1h"), 0, NULL);
    child_wait_text(&cluster, master, "tokens again from");
    assert_outcome(ask(old_file, "status", "secret"), 0, NULL); /* for an hour */
    assert_outcome(HD("token", "rotate", cluster.token_file, "--keep", "0s"), 0, NULL);
    CLUSTER_WAIT(&cluster, ask(old_file, "status", "secret").exit == 1);
    assert_outcome(ask(old_file, "status", "secret"), 1, "wrong token");
    /* One of the two may have read it before the other. */
    CLUSTER_WAIT(&cluster, ask(cluster.token_file, "status", "secret").exit == 0);
    size_t before = cluster_accepted(&cluster, "secret");
    CLUSTER_WAIT(&cluster, cluster_accepted(&cluster, "secret") >= before + 5);
    assert_true(child_runs(&cluster, nameserver) && child_runs(&cluster, master) &&
                child_runs(&cluster, worker));
    struct outcome list = HD("token", "list", cluster.token_file);
    assert_outcome(list, 0, NULL);
    assert_non_null(strstr(list.out, "no end"));
    /* A file that is wrong changes nothing. */
    test_file_write(cluster.token_file, "short\n");
    CLUSTER_WAIT(&cluster, child_has_said(&cluster, master, "the tokens stay as they were"));
    before = cluster_accepted(&cluster, "secret");
    CLUSTER_WAIT(&cluster, cluster_accepted(&cluster, "secret") >= before + 3);
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

#define WITH_CLUSTER(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_CLUSTER(what_tls_init_makes),           WITH_CLUSTER(an_address_is_certified_as_one),
        WITH_CLUSTER(tls_lets_in_whom_the_ca_knows), WITH_CLUSTER(nothing_is_open_by_mistake),
        WITH_CLUSTER(roles_are_kept_apart),          WITH_CLUSTER(rotation_needs_no_restart),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
