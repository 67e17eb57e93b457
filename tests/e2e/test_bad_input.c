/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Bad input and the real programs: each gets one clear error or outcome, and nothing else is lost.
 *
 * With HD_TEST_IMAGE the targets are containers, and only what concerns them is tested; otherwise
 * they are processes of HD_ENGINE_TARGET.
 */
#include "cluster.h"

#include <dirent.h>
#include <ftw.h>
#include <netinet/in.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#define HD cluster_program("HD")
#define GOOD_CONFIGS 12
#define LOG_BYTES_MAX (17L << 20) /* 16 MiB and the words about what was left out */

static struct cluster cluster;

static bool on_docker(void)
{
    return getenv("HD_TEST_IMAGE") != NULL;
}

/* ---- experiment files ----------------------------------------------------------------------- */

static const struct bad_file {
    const char *what, *text, *error;
} bad_files[] = {
    {"a wrong type", "space: {x: {type: float, low: zero, high: 1}}", "space.x.low"},
    {"a list for a map", "space: [x]", "space"},
    {"an unknown key", "space: {x: {type: float, low: 0, hihg: 1}}", "did you mean \"high\"?"},
    {"an unknown key at the top", "spcae: {x: {type: float, low: 0, high: 1}}",
     "did you mean \"space\"?"},
    {"an unknown sampler", "space: {x: {type: float, low: 0, high: 1}}\nsampler: tpr",
     "did you mean \"tpe\"?"},
    {"an empty range", "space: {x: {type: float, low: 2, high: 1}}", "space.x"},
    {"no choices", "space: {x: {type: categorical, choices: []}}", "space.x.choices"},
    {"no params", "space: {}", "space"},
    {"a logarithm of zero", "space: {x: {type: float, low: 0, high: 1, log: true}}", "log"},
    {"a logarithm of a negative number", "space: {x: {type: int, low: -5, high: 1, log: true}}",
     "log"},
    {"a minimum above the maximum",
     "space: {x: {type: float, low: 0, high: 1}}\nbudget: {min: 9, max: 1}",
     "budget.min: 9 is above budget.max, which is 1"},
    {"an eta below 2",
     "space: {x: {type: float, low: 0, high: 1}}\nbudget: {min: 1, max: 9}\n"
     "iteration_generator: {name: hyperband, eta: 1.5}",
     "iteration_generator.eta: must be at least 2"},
    {"more rungs than there may be",
     "space: {x: {type: float, low: 0, high: 1}}\nbudget: {min: 1, max: 1.0e300}\n"
     "iteration_generator: asha",
     "more than 64 rungs"},
    {"a generator that is no word",
     "space: {x: {type: float, low: 0, high: 1}}\niteration_generator: {name: [asha]}",
     "iteration_generator.name: expected auto, full"},
    {"a number that is none", "space: {x: {type: float, low: 0, high: .nan}}", "space.x.high"},
    {"not even YAML", "space: {x: [}", "experiment.yaml:"},
};

/* One line on stderr that says where; nothing was made. */
static void check_refusal(struct outcome refused, const struct bad_file *bad, const char *program)
{
    if (refused.exit != 2 || strstr(refused.err, bad->error) == NULL ||
        strstr(refused.err, "experiment.yaml") == NULL)
        fail_msg("%s: %s: exit %d: %s", program, bad->what, refused.exit, refused.err);
    size_t size = strlen(refused.err);
    if (size == 0 || strchr(refused.err, '\n') != refused.err + size - 1)
        fail_msg("%s: %s: more than one line: %s", program, bad->what, refused.err);
}

static void a_bad_file_is_refused_with_one_line(void **state)
{
    (void)state;
    const char *path = cluster_path(&cluster, "experiment.yaml");
    for (size_t i = 0; i < HD_COUNT(bad_files); i++) {
        const struct bad_file *bad = &bad_files[i];
        char text[1024];
        assert_true(hd_format(text, sizeof(text),
                              "target: {command: [train]}\nobjective: loss\n%s\n", bad->text));
        test_file_write(path, text);
        check_refusal(CLUSTER_RUN(&cluster, HD, "check", path), bad, "hd check");
        check_refusal(CLUSTER_RUN(&cluster, HD, "run", path, "--state-dir", cluster.state_dir), bad,
                      "hd run");
        check_refusal(CLUSTER_RUN(&cluster, HD, "ask-tell", path), bad, "hd ask-tell");
        check_refusal(CLUSTER_RUN(&cluster, cluster_program("HD_MASTER"), path, "--state-dir",
                                  cluster.state_dir),
                      bad, "hd-master");
    }
    /* A refused file leaves no run behind. */
    assert_int_equal(cluster_accepted(&cluster, "experiment"), 0);
    assert_true(cluster_run_is(&cluster, "experiment", ""));
}

/* ---- targets -------------------------------------------------------------------------------- */

static const struct bad_target {
    const char *name;
    const char *command;  /* arguments of the target */
    const char *settings; /* of target: in the experiment */
    const char *outcome;
    const char *message; /* part of it */
} bad_targets[] = {
    {"silent", "exit, '0'", "", "no-result", ""},
    {"garbage", "loss, '}{'", "", "no-result", "loss.json"},
    {"not-a-number", "loss, 'NaN'", "", "diverged", ""},
    {"failing", "exit, '7'", "", "failed", "7"},
    {"crashing", "signal, '11'", "", "failed", ""},
    {"deaf", "ignore", "timeout: 1s, stop_grace: 500ms", "timeout", ""},
    {"family", "family", "timeout: 1s, stop_grace: 500ms", "timeout", ""},
    {"orphans", "orphans", "", "no-result", ""},
    {"hungry", "memory, '1073741824'", "timeout: 60s, resources: {memory: 64MiB}", "oom", ""},
    {"flood", "print, '1073741824'", "timeout: 120s", "no-result", ""},
};

static const char *write_target(const char *name, const char *command, const char *settings,
                                unsigned configs)
{
    const char *path = cluster_path(&cluster, "%s.yaml", name);
    const char *words = on_docker() ? cluster_text(&cluster, "image: '%s', command: [%s]",
                                                   getenv("HD_TEST_IMAGE"), command)
                                    : cluster_text(&cluster, "command: ['%s', %s]",
                                                   cluster_program("HD_ENGINE_TARGET"), command);
    test_file_write(path,
                    cluster_text(&cluster,
                                 "name: %s\n"
                                 "target: {%s%s%s}\n"
                                 "objective: loss\n"
                                 "space: {x: {type: float, low: 0.0, high: 1.0}}\n"
                                 "sampler: random\n"
                                 "stop: {configs: %u}\nlease: 5s\nping: 500ms\n",
                                 name, words, settings[0] != '\0' ? ", " : "", settings, configs));
    return path;
}

static long largest_file;

static int measure(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    (void)path;
    (void)ftw;
    if (type == FTW_F && st->st_size > largest_file)
        largest_file = (long)st->st_size;
    return 0;
}

static bool is_target(const char *pid)
{
    char path[300], text[4096];
    snprintf(path, sizeof(path), "/proc/%s/cmdline", pid);
    FILE *file = fopen(path, "r");
    if (file == NULL)
        return false;
    size_t size = fread(text, 1, sizeof(text) - 1, file);
    fclose(file);
    text[size] = '\0';
    /* Other tests may run the same program: ours is below our directory. */
    if (!hd_streq(text, cluster_program("HD_ENGINE_TARGET")))
        return false;
    snprintf(path, sizeof(path), "/proc/%s/environ", pid);
    file = fopen(path, "r");
    if (file == NULL)
        return false;
    static char environment[65536];
    size = fread(environment, 1, sizeof(environment), file);
    fclose(file);
    return memmem(environment, size, cluster.dir, strlen(cluster.dir)) != NULL;
}

static bool any_target_lives(void)
{
    DIR *dir = opendir("/proc");
    bool any = false;
    assert_non_null(dir);
    for (struct dirent *entry; (entry = readdir(dir)) != NULL;)
        any =
            any || (entry->d_name[0] >= '1' && entry->d_name[0] <= '9' && is_target(entry->d_name));
    closedir(dir);
    return any;
}

static bool skips(const struct bad_target *bad)
{
    /* A daemon that writes all of it on its own disk is tested with less by the engine's tests. */
    return on_docker() && hd_streq(bad->name, "flood");
}

static void check_outcome(const struct bad_target *bad)
{
    struct results results;
    cluster_results(&cluster, bad->name, &results);
    assert_int_equal(results.count, 1);
    if (!hd_streq(results.rows[0].outcome, bad->outcome) ||
        strstr(results.rows[0].message, bad->message) == NULL)
        cluster_fail(&cluster, "%s: %s instead of %s: %s", bad->name, results.rows[0].outcome,
                     bad->outcome, results.rows[0].message);
    results_release(&results);
}

static void each_bad_target_has_its_outcome_and_nothing_else_is_lost(void **state)
{
    (void)state;
    cluster_nameserver(&cluster);
    struct child *master = cluster_master(
        &cluster,
        (const char *const[]){write_target("good", "loss, '0.5'", "", GOOD_CONFIGS), NULL});
    child_wait_text(&cluster, master, "serving at");
    for (size_t i = 0; i < HD_COUNT(bad_targets); i++) {
        const struct bad_target *bad = &bad_targets[i];
        if (!skips(bad))
            assert_outcome(CLUSTER_RUN(&cluster, HD, "submit",
                                       write_target(bad->name, bad->command, bad->settings, 1),
                                       "--state-dir", cluster.state_dir),
                           0, NULL);
    }
    for (unsigned i = 0; i < 2; i++)
        cluster_worker(&cluster, i, NULL);
    CLUSTER_WAIT(&cluster, !child_runs(&cluster, master));
    assert_int_equal(master->exit, 0);
    for (size_t i = 0; i < HD_COUNT(bad_targets); i++)
        if (!skips(&bad_targets[i]))
            check_outcome(&bad_targets[i]);
    struct results good;
    cluster_results(&cluster, "good", &good);
    assert_int_equal(good.count, GOOD_CONFIGS);
    for (size_t i = 0; i < good.count; i++) {
        assert_string_equal(good.rows[i].outcome, "ok");
        assert_true(good.rows[i].loss == 0.5);
    }
    results_release(&good);
    /* What was started is gone, workers live, and no log fills the disk. */
    if (!on_docker())
        CLUSTER_WAIT(&cluster, !any_target_lives());
    for (unsigned i = 0; i < 2; i++) {
        struct child *worker = cluster_child(&cluster, cluster_text(&cluster, "worker-%u", i));
        assert_true(child_runs(&cluster, worker));
        assert_int_equal(nftw(cluster_path(&cluster, "root-%u", i), measure, 16, FTW_PHYS), 0);
    }
    assert_true(largest_file <= LOG_BYTES_MAX);
}

static void what_cannot_start_pauses_the_run_with_the_reason(void **state)
{
    (void)state;
    const char *missing =
        on_docker() ? "image: 'hyperdock-test-none:1', pull: never" : "command: [./none-such]";
    const char *experiment = cluster_path(&cluster, "missing.yaml");
    test_file_write(experiment, cluster_text(&cluster,
                                             "name: missing\ntarget: {%s}\nobjective: loss\n"
                                             "space: {x: {type: float, low: 0, high: 1}}\n"
                                             "stop: {configs: 9}\n",
                                             missing));
    struct outcome paused = CLUSTER_RUN(&cluster, HD, "run", experiment, "--state-dir",
                                        cluster.state_dir, "--workers", "1");
    assert_outcome(paused, 3, NULL);
    assert_non_null(strstr(paused.out, on_docker() ? "hyperdock-test-none:1" : "./none-such"));
    struct results results;
    cluster_results(&cluster, "missing", &results);
    assert_int_equal(results.count, 1);
    assert_string_equal(results.rows[0].outcome, "config-error");
    results_release(&results);
}

static void an_image_without_an_engine_is_refused(void **state)
{
    (void)state;
    const char *experiment = cluster_path(&cluster, "image.yaml");
    test_file_write(experiment, "name: image\ntarget: {image: 'some/image:1'}\nobjective: loss\n"
                                "space: {x: {type: float, low: 0, high: 1}}\n");
    const char *host = getenv("DOCKER_HOST");
    char *before = host != NULL ? strdup(host) : NULL;
    setenv("DOCKER_HOST", cluster_text(&cluster, "unix://%s/none.sock", cluster.dir), 1);
    struct outcome refused =
        CLUSTER_RUN(&cluster, HD, "run", experiment, "--state-dir", cluster.state_dir);
    if (before != NULL)
        setenv("DOCKER_HOST", before, 1);
    else
        unsetenv("DOCKER_HOST");
    free(before);
    assert_outcome(refused, 1, "no Docker engine");
    assert_true(cluster_run_is(&cluster, "image", ""));
}

/* ---- who may talk to whom ------------------------------------------------------------------- */

static void a_wrong_token_is_refused_with_clear_words(void **state)
{
    (void)state;
    struct hd_err err;
    static const char wrong[] = "ffffffffffffffffffffffffffffffffffffffffffffffff\n";
    const char *token = cluster_path(&cluster, "wrong-token");
    assert_hd_ok(hd_file_write_atomic(token, wrong, strlen(wrong), 0600, &err));
    cluster_nameserver(&cluster);
    struct child *master = cluster_master(
        &cluster, (const char *const[]){write_target("good", "loss, '0.5'", "", 4), NULL});
    child_wait_text(&cluster, master, "serving at");
    struct child *worker =
        cluster_worker(&cluster, 0, (const char *const[]){"--token-file", token, NULL});
    child_wait_text(&cluster, worker, "wrong token");
    child_kill(&cluster, worker, SIGKILL);
    struct outcome refused = CLUSTER_RUN(&cluster, HD, "status", "good", "--nameserver",
                                         cluster.nameserver, "--token-file", token);
    assert_int_not_equal(refused.exit, 0);
    assert_outcome(refused, refused.exit, "wrong token");
    const char *at = strstr(child_said(&cluster, master), "tcp://");
    assert_non_null(at);
    refused = CLUSTER_RUN(&cluster, HD, "cancel", "good", "--master",
                          cluster_text(&cluster, "%.*s", (int)strcspn(at, ", \n"), at),
                          "--token-file", token);
    assert_int_not_equal(refused.exit, 0);
    assert_outcome(refused, refused.exit, "wrong token");
    /* The run is as it was, for those who know the token. */
    cluster_worker(&cluster, 0, NULL);
    assert_int_equal(child_end(&cluster, master), 0);
    assert_int_equal(cluster_accepted(&cluster, "good"), 4);
}

static void a_token_that_others_can_read_is_refused(void **state)
{
    (void)state;
    assert_int_equal(chmod(cluster.token_file, 0644), 0);
    struct outcome refused = CLUSTER_RUN(&cluster, cluster_program("HD_NAMESERVER"), "--port", "0");
    assert_int_not_equal(refused.exit, 0);
    assert_outcome(refused, refused.exit, cluster.token_file);
}

static void beyond_loopback_needs_tls_or_plaintext(void **state)
{
    (void)state;
    const char *experiment = write_target("good", "loss, '0.5'", "", 4);
    static const char *const hosts[] = {"0.0.0.0", "*"};
    for (size_t i = 0; i < HD_COUNT(hosts); i++) {
        struct outcome refused = CLUSTER_RUN(&cluster, cluster_program("HD_NAMESERVER"), "--port",
                                             "0", "--host", hosts[i]);
        assert_int_not_equal(refused.exit, 0);
        assert_outcome(refused, refused.exit, "--plaintext");
        refused = CLUSTER_RUN(&cluster, cluster_program("HD_MASTER"), experiment, "--state-dir",
                              cluster.state_dir, "--host", hosts[i]);
        assert_int_not_equal(refused.exit, 0);
        assert_outcome(refused, refused.exit, "--plaintext");
    }
    struct outcome refused = CLUSTER_RUN(&cluster, cluster_program("HD_WORKER"), "--nameserver",
                                         "192.0.2.1", "--work-dir", cluster_path(&cluster, "root"));
    assert_int_not_equal(refused.exit, 0);
    assert_outcome(refused, refused.exit, "--plaintext");
}

/* Told before the run is made: with another port it can still be started without --resume. */
static void a_port_that_is_taken_costs_no_run(void **state)
{
    (void)state;
    struct sockaddr_in address = {.sin_family = AF_INET};
    socklen_t size = sizeof(address);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
    assert_int_equal(listen(fd, 1), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&address, &size), 0);
    const char *port = cluster_text(&cluster, "%u", (unsigned)ntohs(address.sin_port));
    struct outcome refused = CLUSTER_RUN(&cluster, cluster_program("HD_MASTER"),
                                         write_target("good", "loss, '0.5'", "", 4), "--run-id",
                                         "taken", "--state-dir", cluster.state_dir, "--port", port);
    assert_outcome(refused, 1, port);
    assert_true(cluster_run_is(&cluster, "taken", ""));
    close(fd);
}

/* ---- TLS ------------------------------------------------------------------------------------ */

static char *openssl;

static void run_openssl(const char *const arguments[])
{
    const char *argv[CLUSTER_ARGUMENTS_MAX] = {openssl};
    size_t count = 1;
    for (size_t i = 0; arguments[i] != NULL; i++)
        argv[count++] = arguments[i];
    argv[count] = NULL;
    assert_outcome(cluster_run(&cluster, argv), 0, NULL);
}

/* <name>.key and <name>.pem, signed by ca, for localhost. */
static void make_certificate(const char *name)
{
    char *key = cluster_path(&cluster, "%s.key", name),
         *csr = cluster_path(&cluster, "%s.csr", name);
    char *pem = cluster_path(&cluster, "%s.pem", name), *ext = cluster_path(&cluster, "san.ext");
    test_file_write(ext, "subjectAltName=DNS:localhost\n");
    run_openssl((const char *const[]){"req", "-newkey", "rsa:2048", "-nodes", "-keyout", key,
                                      "-out", csr, "-subj", "/CN=localhost", NULL});
    run_openssl((const char *const[]){"x509", "-req", "-in", csr, "-CA",
                                      cluster_path(&cluster, "ca.pem"), "-CAkey",
                                      cluster_path(&cluster, "ca.key"), "-CAcreateserial", "-out",
                                      pem, "-days", "2", "-extfile", ext, NULL});
}

static void make_authority(const char *name)
{
    run_openssl((const char *const[]){"req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout",
                                      cluster_path(&cluster, "%s.key", name), "-out",
                                      cluster_path(&cluster, "%s.pem", name), "-subj",
                                      "/CN=test authority", "-days", "2", NULL});
}

static void certificates_of_one_authority_work_end_to_end(void **state)
{
    (void)state;
    struct hd_err err;
    if (hd_sibling_program("openssl", &openssl, &err) != HD_OK)
        skip(); /* there is no openssl to make certificates */
    make_authority("ca");
    make_certificate("host");
    make_certificate("worker");
    make_authority("stranger");
    char *ca = cluster_path(&cluster, "ca.pem");
    const char *const host[] = {"--cert", cluster_path(&cluster, "host.pem"),
                                "--key",  cluster_path(&cluster, "host.key"),
                                "--ca",   ca,
                                NULL};
    cluster_nameserver_with(&cluster, host);
    const char *colon = strchr(cluster.nameserver, ':');
    assert_non_null(colon);
    assert_true(hd_format(cluster.nameserver, sizeof(cluster.nameserver), "localhost:%s",
                          cluster_text(&cluster, "%s", colon + 1)));
    struct child *master =
        cluster_master(&cluster, (const char *const[]){write_target("good", "loss, '0.5'", "", 4),
                                                       "--advertise", "localhost", host[0], host[1],
                                                       host[2], host[3], host[4], host[5], NULL});
    child_wait_text(&cluster, master, "serving at tls+tcp://localhost");
    /* A worker with a certificate of its own making is nobody. */
    struct child *stranger = cluster_worker(
        &cluster, 1,
        (const char *const[]){"--cert", cluster_path(&cluster, "stranger.pem"), "--key",
                              cluster_path(&cluster, "stranger.key"), "--ca", ca, NULL});
    cluster_worker(&cluster, 0,
                   (const char *const[]){"--cert", cluster_path(&cluster, "worker.pem"), "--key",
                                         cluster_path(&cluster, "worker.key"), "--ca", ca, NULL});
    assert_int_equal(child_end(&cluster, master), 0);
    assert_int_equal(cluster_accepted(&cluster, "good"), 4);
    assert_false(child_has_said(&cluster, stranger, "started at budget"));
    hd_free(openssl);
    openssl = NULL;
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
    cluster_close(&cluster);
    return 0;
}

#define WITH_CLUSTER(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
    const struct CMUnitTest docker[] = {
        WITH_CLUSTER(each_bad_target_has_its_outcome_and_nothing_else_is_lost),
        WITH_CLUSTER(what_cannot_start_pauses_the_run_with_the_reason),
    };
    const struct CMUnitTest all[] = {
        WITH_CLUSTER(a_bad_file_is_refused_with_one_line),
        WITH_CLUSTER(each_bad_target_has_its_outcome_and_nothing_else_is_lost),
        WITH_CLUSTER(what_cannot_start_pauses_the_run_with_the_reason),
        WITH_CLUSTER(an_image_without_an_engine_is_refused),
        WITH_CLUSTER(a_wrong_token_is_refused_with_clear_words),
        WITH_CLUSTER(a_token_that_others_can_read_is_refused),
        WITH_CLUSTER(beyond_loopback_needs_tls_or_plaintext),
        WITH_CLUSTER(a_port_that_is_taken_costs_no_run),
        WITH_CLUSTER(certificates_of_one_authority_work_end_to_end),
    };
    return on_docker() ? cmocka_run_group_tests_name("bad input on docker", docker, NULL, NULL)
                       : cmocka_run_group_tests_name("bad input", all, NULL, NULL);
}
