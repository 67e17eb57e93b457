/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What every engine promises, run on each: HD_TEST_ENGINE=process|docker|podman. HD_TEST_TARGET is
 * the program of tests/lib/engine_target.c (process), HD_TEST_IMAGE an image whose entry point it
 * is (docker).
 */
#include "testlib.h"

#include "docker.h"

#include <hd/engine.h>

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define NEWS_WAIT_MS 120000
#define PATH_SIZE 4096

static struct hd_err err;

struct bench {
    bool docker; /* or podman: what runs containers */
    bool podman;
    bool copies; /* its files come and go by copies: the engine does not see ours */
    enum hd_engine_files files;
    char *dir;
    char state_dir[PATH_SIZE];
    struct hd_queue *queue;
    struct hd_engine *engine;
    uint64_t run_uid;
    char worker[HD_WORKER_ID_MAX]; /* another suite may use the same engine */
    /* of the last job */
    char run_dir[PATH_SIZE], work_dir[PATH_SIZE], log_path[PATH_SIZE];
    char *argv[4];
    char *env[4];
    char dir_env[PATH_SIZE + 32];
};

static enum hd_code open_named(struct bench *bench, const struct hd_engine_options *options)
{
    if (bench->podman)
        return hd_engine_open_podman(options, &bench->engine, &err);
    return bench->docker ? hd_engine_open_docker(options, &bench->engine, &err)
                         : hd_engine_open_process(options, &bench->engine, &err);
}

static void open_engine(struct bench *bench)
{
    struct hd_engine_options options = {.worker = bench->worker,
                                        .state_dir = bench->state_dir,
                                        .cgroup = getenv("HD_TEST_CGROUP"),
                                        .queue = bench->queue,
                                        .files = bench->files};
    assert_hd_ok(open_named(bench, &options));
    if (bench->docker)
        ((struct hd_docker *)bench->engine)->tuning.files_ms = 100; /* base is its first member */
}

/* A kill that nobody asked for is held for a while, since an engine may be about to end. This one
 * does not. */
static void hold_shortly(struct bench *bench)
{
    if (bench->docker)
        ((struct hd_docker *)bench->engine)->tuning.hold_ms = 500;
}

static int set_up(void **state)
{
    struct bench *bench = calloc(1, sizeof(*bench));
    bench->podman = hd_streq(getenv("HD_TEST_ENGINE"), "podman");
    bench->docker = bench->podman || hd_streq(getenv("HD_TEST_ENGINE"), "docker");
    const char *files = getenv("HD_TEST_FILES"); /* auto: where the engine sees nothing of ours */
    bench->copies = files != NULL;
    if (files != NULL)
        bench->files = hd_streq(files, "auto") ? HD_FILES_AUTO : HD_FILES_COPY;
    bench->dir = test_dir_make();
    hd_os_random(&bench->run_uid, sizeof(bench->run_uid));
    assert_true(hd_format(bench->worker, sizeof(bench->worker), "w-%016llx",
                          (unsigned long long)bench->run_uid));
    assert_true(hd_format(bench->state_dir, PATH_SIZE, "%s/state", bench->dir));
    assert_hd_ok(hd_mkdirs(bench->state_dir, 0700, &err));
    assert_hd_ok(hd_queue_new(64, &bench->queue, &err));
    open_engine(bench);
    *state = bench;
    return 0;
}

/* What only the process engine promises has no bench elsewhere: Podman takes a second for each. */
static int set_up_process(void **state)
{
    *state = NULL;
    return hd_streq(getenv("HD_TEST_ENGINE"), "process") ? set_up(state) : 0;
}

static int tear_down(void **state)
{
    struct bench *bench = *state;
    if (bench == NULL)
        return 0;
    struct hd_engine_found found[16];
    size_t count = 0;
    assert_hd_ok(hd_engine_list(bench->engine, found, HD_COUNT(found), &count, &err));
    for (size_t i = 0; i < count; i++)
        if (found[i].attempt.run_uid == bench->run_uid)
            hd_engine_drop(bench->engine, found[i].attempt);
    hd_engine_close(bench->engine);
    void *news;
    while ((news = hd_queue_pop(bench->queue, 0)) != NULL)
        hd_free(news);
    hd_queue_free(bench->queue);
    test_dir_remove(bench->dir);
    free(bench);
    return 0;
}

/* ---- helpers -------------------------------------------------------------------------------- */

static struct hd_engine_job job_of(struct bench *bench, uint32_t job, const char *what,
                                   const char *argument)
{
    assert_true(hd_format(bench->run_dir, PATH_SIZE, "%s/run-%u", bench->dir, job));
    assert_true(hd_format(bench->work_dir, PATH_SIZE, "%s/work-%u", bench->dir, job));
    assert_true(hd_format(bench->log_path, PATH_SIZE, "%s/log.txt", bench->run_dir));
    assert_hd_ok(hd_mkdirs(bench->run_dir, 0777, &err));
    assert_hd_ok(hd_mkdirs(bench->work_dir, 0777, &err));
    char inner[PATH_SIZE + 8];
    assert_true(hd_format(inner, sizeof(inner), "%s/work", bench->run_dir));
    if (bench->docker && !bench->copies)
        assert_hd_ok(hd_mkdirs(inner, 0777, &err));
    assert_true(hd_format(bench->dir_env, sizeof(bench->dir_env), "HYPERDOCK_DIR=%s",
                          bench->docker ? "/hyperdock" : bench->run_dir));
    static char own[] = "OWN=of the job";
    bench->env[0] = bench->dir_env;
    bench->env[1] = own;
    char *program = getenv("HD_TEST_TARGET");
    size_t words = 0;
    if (!bench->docker) {
        assert_non_null(program);
        bench->argv[words++] = program;
    }
    bench->argv[words++] = (char *)(uintptr_t)what;
    bench->argv[words++] = (char *)(uintptr_t)argument;
    bench->argv[words] = NULL;
    return (struct hd_engine_job){
        .attempt = {bench->run_uid, job, 1},
        .worker = bench->worker,
        .run_id = "contract",
        .config_id = "[0,0,0]",
        .run_dir = bench->run_dir,
        .work_dir = bench->work_dir,
        .log_path = bench->log_path,
        .cwd = bench->work_dir,
        .image = bench->docker ? getenv("HD_TEST_IMAGE") : NULL,
        .argv = bench->argv,
        .env = bench->env,
        .stop_grace_ms = 60000,
    };
}

static struct hd_engine_end next_end(struct bench *bench, uint32_t job)
{
    struct hd_engine_news *news = hd_queue_pop(bench->queue, NEWS_WAIT_MS);
    for (; news != NULL && !news->ended; news = hd_queue_pop(bench->queue, NEWS_WAIT_MS))
        hd_free(news);
    assert_non_null(news);
    assert_int_equal(news->attempt.run_uid, bench->run_uid);
    assert_int_equal(news->attempt.job, job);
    struct hd_engine_end end = news->end;
    hd_free(news);
    if (end.kind != HD_END_EXITED)
        printf("# %s\n", end.message);
    return end;
}

static struct hd_engine_end run(struct bench *bench, const struct hd_engine_job *job)
{
    assert_hd_ok(hd_engine_start(bench->engine, job, &err));
    return next_end(bench, job->attempt.job);
}

static bool log_holds(struct bench *bench, const char *part)
{
    size_t size;
    char *text = test_file_read(bench->log_path, &size);
    bool found = strstr(text, part) != NULL;
    free(text);
    return found;
}

/* The target has said so, in a file that we may not see before its end. */
static bool is_ready(struct bench *bench)
{
    char path[PATH_SIZE + 8];
    assert_true(hd_format(path, sizeof(path), "%s/ready", bench->run_dir));
    return hd_path_exists(path) || (bench->copies && log_holds(bench, "it is ready\n"));
}

static void wait_ready(struct bench *bench)
{
    for (int64_t until_ms = hd_clock_ms() + NEWS_WAIT_MS; !is_ready(bench);) {
        assert_true(hd_clock_ms() < until_ms);
        (void)poll(NULL, 0, 2);
    }
}

static bool is_known(struct bench *bench, struct hd_attempt_ref attempt, bool *ret_running)
{
    struct hd_engine_found found[16];
    size_t count = 0;
    assert_hd_ok(hd_engine_list(bench->engine, found, HD_COUNT(found), &count, &err));
    for (size_t i = 0; i < count; i++)
        if (hd_attempt_ref_equal(found[i].attempt, attempt)) {
            *ret_running = found[i].running;
            assert_string_equal(found[i].run_dir, bench->run_dir);
            return true;
        }
    return false;
}

/* Process engine: the two pids that a family says. */
static void read_family(struct bench *bench, long *ret_child, long *ret_grandchild)
{
    char path[PATH_SIZE + 8];
    assert_true(hd_format(path, sizeof(path), "%s/ready", bench->run_dir));
    size_t size;
    char *text = test_file_read(path, &size);
    assert_int_equal(sscanf(text, "%ld %ld", ret_child, ret_grandchild), 2);
    free(text);
}

static bool process_exists(long pid)
{
    return kill((pid_t)pid, 0) == 0 || errno != ESRCH;
}

/* ---- ends ----------------------------------------------------------------------------------- */

static void exit_codes_and_signals_are_told_as_they_are(void **state)
{
    struct bench *bench = *state;
    static const struct {
        const char *what, *argument;
        int code;
    } rows[] = {
        {"exit", "0", 0},      {"exit", "3", 3},     {"exit", "255", 255},
        {"signal", "11", 139}, {"signal", "6", 134}, {"signal", "9", 137},
    };
    hold_shortly(bench);
    for (uint32_t i = 0; i < HD_COUNT(rows); i++) {
        struct hd_engine_job job = job_of(bench, i, rows[i].what, rows[i].argument);
        struct hd_engine_end end = run(bench, &job);
        assert_int_equal(end.kind, HD_END_EXITED);
        assert_int_equal(end.exit_code, rows[i].code);
        assert_false(end.stopped || end.timed_out || end.oom_killed || end.config_error);
        assert_true(end.started_wall_ms > 0 && end.finished_wall_ms >= end.started_wall_ms);
    }
}

static void both_streams_are_in_the_log(void **state)
{
    struct bench *bench = *state;
    struct hd_engine_job job = job_of(bench, 1, "exit", "0");
    (void)run(bench, &job);
    assert_true(log_holds(bench, "to stdout\n"));
    assert_true(log_holds(bench, "to stderr\n"));
}

static void a_target_has_the_environment_of_its_job(void **state)
{
    struct bench *bench = *state;
    struct hd_engine_job job = job_of(bench, 1, "env", "OWN");
    (void)run(bench, &job);
    assert_true(log_holds(bench, "OWN=of the job"));
    static const char *const secrets[] = {"HYPERDOCK_TOKEN_FILE", "SLACK_API_TOKEN",
                                          "PUSHOVER_API_TOKEN", "PUSHOVER_USER_KEY"};
    for (uint32_t i = 0; i < HD_COUNT(secrets); i++) {
        char name[32];
        assert_true(hd_copy_text(name, sizeof(name), secrets[i]));
        assert_int_equal(setenv(name, "/secret", 1), 0);
        job = job_of(bench, 2 + i, "env", name);
        (void)run(bench, &job);
        assert_int_equal(unsetenv(name), 0);
        assert_true(log_holds(bench, "(not set)"));
        assert_false(log_holds(bench, "/secret"));
    }
    if (!bench->docker) {
        char cwd[PATH_SIZE + 8];
        assert_true(hd_format(cwd, sizeof(cwd), "in %s\n", bench->work_dir));
        assert_true(log_holds(bench, cwd));
    }
}

static void what_cannot_start_is_the_experiments_fault_with_a_reason(void **state)
{
    struct bench *bench = *state;
    struct hd_engine_job job = job_of(bench, 1, "exit", "0");
    char missing[] = "/no/such/program";
    job.pull = HD_PULL_NEVER;
    if (bench->docker)
        job.image = "hyperdock/no-such-image:never";
    else
        bench->argv[0] = missing;
    struct hd_engine_end end = run(bench, &job);
    assert_int_equal(end.kind, HD_END_NOT_STARTED);
    assert_true(end.config_error);
    assert_true(strlen(end.message) > 10);
}

static void a_huge_log_is_cut_in_the_middle(void **state)
{
    struct bench *bench = *state;
    if (bench->copies)
        return; /* output goes the same way */
    /* An engine keeps 32 MiB itself, in two files that it changes now and then; what it has to do
     * for each byte is most of the time that this takes. */
    struct hd_engine_job job =
        job_of(bench, 1, "print", bench->docker ? "100663296" : "1073741824");
    struct hd_engine_end end = run(bench, &job);
    assert_int_equal(end.exit_code, 0);
    struct stat st;
    assert_int_equal(stat(bench->log_path, &st), 0);
    assert_true(st.st_size <= HD_LOG_BYTES_MAX);
    if (bench->podman)
        return; /* it empties its own file when that is full, whether somebody has read it or not */
    assert_true(log_holds(bench, "first line\n"));
    assert_true(log_holds(bench, "last line\n"));
}

/* More than any pipe holds, on the stream that nobody expects it on. */
static void much_on_standard_error_blocks_nobody(void **state)
{
    struct bench *bench = *state;
    struct hd_engine_job job = job_of(bench, 1, "complain", "1048576");
    assert_int_equal(run(bench, &job).exit_code, 0);
    assert_true(log_holds(bench, "xxx\n"));
    assert_true(log_holds(bench, "and then\n"));
}

static void memory_beyond_the_limit_ends_the_target(void **state)
{
    struct bench *bench = *state;
    struct hd_engine_job job = job_of(bench, 1, "memory", "268435456");
    job.memory_bytes = 64u << 20;
    if (bench->podman) /* where cgroups are of version 1 it does not tell */
        hold_shortly(bench);
    struct hd_engine_end end = run(bench, &job);
    if (!bench->podman)
        assert_true(end.oom_killed);
    assert_int_not_equal(end.exit_code, 0);
}

/* Ten sleepers, and time for the looks that find them. */
static void too_many_processes_end_the_target(void **state)
{
    struct bench *bench = *state;
    static char sh[] = "sh", flag[] = "-c", sleepers[] = "sleep 60 & sleep 60 & sleep 60 & wait";
    static char *argv[] = {sh, flag, sleepers, NULL};
    if (bench == NULL)
        return; /* its engine lets the fork fail instead */
    struct hd_engine_job job = job_of(bench, 1, "exit", "0");
    job.argv = argv;
    job.pids = 3;
    struct hd_engine_end end = run(bench, &job);
    assert_int_equal(end.exit_code, 1);
    assert_false(end.oom_killed);
    assert_non_null(strstr(end.message, "4 processes and threads, resources.pids allows 3"));
}

static void a_target_is_bound_to_its_cpus(void **state)
{
    struct bench *bench = *state;
    static char sh[] = "sh", flag[] = "-c", test[] = "test \"$(nproc)\" -eq 1";
    static char *argv[] = {sh, flag, test, NULL};
    if (bench == NULL)
        return; /* a share of time and no CPUs of its own */
    struct hd_engine_job job = job_of(bench, 1, "exit", "0");
    job.argv = argv;
    job.cpus = 0.5;
    assert_int_equal(run(bench, &job).exit_code, 0);
}

/* Whatever their numbers are, two targets have CPUs of their own while there are enough. */
static void neighbours_are_bound_to_different_cpus(void **state)
{
    struct bench *bench = *state;
    static char sh[] = "sh", flag[] = "-c",
                tell[] = "grep Cpus_allowed_list /proc/self/status >\"$HYPERDOCK_DIR/cpus\"; "
                         ": >\"$HYPERDOCK_DIR/ready\"; exec sleep 600";
    static char *argv[] = {sh, flag, tell, NULL};
    const uint32_t cpus = (uint32_t)sysconf(_SC_NPROCESSORS_ONLN);
    char *said[2];
    if (bench == NULL || cpus < 2)
        return;
    for (uint32_t i = 0; i < 2; i++) {
        char path[PATH_SIZE + 8];
        size_t size;
        struct hd_engine_job job = job_of(bench, 1 + i * cpus, "exit", "0");
        job.argv = argv;
        job.cpus = 1;
        assert_hd_ok(hd_engine_start(bench->engine, &job, &err));
        wait_ready(bench);
        assert_true(hd_format(path, sizeof(path), "%s/cpus", bench->run_dir));
        said[i] = test_file_read(path, &size);
    }
    assert_string_not_equal(said[0], said[1]);
    free(said[0]);
    free(said[1]);
}

static void a_program_is_run_under_the_name_it_is_called_by(void **state)
{
    struct bench *bench = *state;
    static char name[] = "called-so", flag[] = "-c", test[] = "test \"$0\" = called-so";
    static char *argv[] = {name, flag, test, NULL};
    if (bench == NULL)
        return; /* the policy names its images */
    struct hd_engine_job job = job_of(bench, 1, "exit", "0");
    job.argv = argv;
    job.program = "/bin/sh";
    assert_int_equal(run(bench, &job).exit_code, 0);
}

static void a_target_that_leaves_children_leaves_none(void **state)
{
    struct bench *bench = *state;
    struct hd_engine_job job = job_of(bench, 1, "orphans", "");
    struct hd_engine_end end = run(bench, &job);
    assert_int_equal(end.exit_code, 0);
    if (bench->docker)
        return; /* its pids are the container's own */
    long child, grandchild;
    read_family(bench, &child, &grandchild);
    assert_false(process_exists(child));
    assert_false(process_exists(grandchild));
}

/* ---- files ---------------------------------------------------------------------------------- */

static char *read_in(const char *directory, const char *name)
{
    char path[PATH_SIZE + 32];
    size_t size;
    assert_true(hd_format(path, sizeof(path), "%s/%s", directory, name));
    return test_file_read(path, &size);
}

static void write_in(const char *directory, const char *name, const char *text)
{
    char path[PATH_SIZE + 32];
    assert_true(hd_format(path, sizeof(path), "%s/%s", directory, name));
    test_file_write(path, text);
}

static bool is_there(const char *directory, const char *name, mode_t kind)
{
    char path[PATH_SIZE + 32];
    struct stat st;
    assert_true(hd_format(path, sizeof(path), "%s/%s", directory, name));
    return lstat(path, &st) == 0 && (st.st_mode & S_IFMT) == kind;
}

static void run_with_files(struct bench *bench, const struct hd_container *container)
{
    struct hd_engine_job job = job_of(bench, 1, "files", "");
    job.container = container;
    /* A command has its work directory elsewhere: it is told where, and this one is not. */
    if (!bench->docker)
        assert_true(hd_format(bench->work_dir, PATH_SIZE, "%s/work", bench->run_dir));
    assert_hd_ok(hd_mkdirs(bench->work_dir, 0777, &err));
    write_in(bench->run_dir, "given", "0.25");
    write_in(bench->work_dir, "state", "before and ");
    struct hd_engine_end end = run(bench, &job);
    assert_int_equal(end.kind, HD_END_EXITED);
    assert_int_equal(end.exit_code, 0);
    char *loss = read_in(bench->run_dir, "loss.json"), *next = read_in(bench->work_dir, "next");
    char *kept = read_in(bench->run_dir, "out/deep/artifact");
    assert_string_equal(loss, "{\"loss\": 0.25}");
    assert_memory_equal(next, "before and /", 12);
    assert_string_equal(kept, "kept");
    assert_false(is_there(bench->work_dir, "state", S_IFREG));
    assert_true(is_there(bench->work_dir, "latest", S_IFLNK));
    assert_true(is_there(bench->work_dir, "same", S_IFREG));
    assert_true(is_there(bench->run_dir, "out/away", S_IFLNK));
    assert_int_equal(is_there(bench->run_dir, "out/pipe", S_IFIFO), !bench->copies);
    free(loss);
    free(next);
    free(kept);
}

static void a_curve_is_here_while_it_grows_and_a_request_to_stop_arrives(void **state)
{
    struct bench *bench = *state;
    struct hd_engine_job job = job_of(bench, 1, "curve", "3");
    char control[PATH_SIZE + 16];
    assert_true(hd_format(control, sizeof(control), "%s/control", bench->run_dir));
    assert_hd_ok(hd_mkdirs(control, 0755, &err));
    assert_hd_ok(hd_engine_start(bench->engine, &job, &err));
    for (int64_t until_ms = hd_clock_ms() + NEWS_WAIT_MS;;) {
        char *text = is_there(bench->run_dir, "metrics.jsonl", S_IFREG)
                         ? read_in(bench->run_dir, "metrics.jsonl")
                         : strdup("");
        bool whole = strstr(text, "{\"step\": 3, \"loss\": 1.5}\n") != NULL;
        free(text);
        if (whole)
            break;
        assert_true(hd_clock_ms() < until_ms);
        (void)poll(NULL, 0, 5);
    }
    write_in(control, "stop", "");
    assert_int_equal(next_end(bench, 1).exit_code, 9);
    char *text = read_in(bench->run_dir, "metrics.jsonl");
    assert_int_equal(strlen(text), 3 * strlen("{\"step\": 1, \"loss\": 1.5}\n"));
    free(text);
}

/* Through the directories or by copies: what is given is there, and what is left is here. */
static void a_target_has_its_files_and_leaves_its_own(void **state)
{
    run_with_files(*state, NULL);
}

static void a_root_that_may_only_be_read_does_not_hinder_its_files(void **state)
{
    struct bench *bench = *state;
    const struct hd_container container = {.read_only = true};
    if (bench->docker)
        run_with_files(bench, &container);
}

/* ---- stopping ------------------------------------------------------------------------------- */

static void a_target_may_end_itself_when_stopped(void **state)
{
    struct bench *bench = *state;
    struct hd_engine_job job = job_of(bench, 1, "stop-code", "7");
    assert_hd_ok(hd_engine_start(bench->engine, &job, &err));
    wait_ready(bench);
    hd_engine_stop(bench->engine, job.attempt, 60000);
    struct hd_engine_end end = next_end(bench, 1);
    assert_true(end.stopped);
    assert_false(end.timed_out);
    assert_int_equal(end.exit_code, 7);
}

static void a_target_that_ignores_the_request_is_killed_after_the_grace(void **state)
{
    struct bench *bench = *state;
    struct hd_engine_job job = job_of(bench, 1, "ignore", "");
    assert_hd_ok(hd_engine_start(bench->engine, &job, &err));
    wait_ready(bench);
    hd_engine_stop(bench->engine, job.attempt, 50);
    struct hd_engine_end end = next_end(bench, 1);
    assert_true(end.stopped);
    assert_int_equal(end.exit_code, 137);
}

static void a_stop_that_follows_the_start_at_once_is_not_lost(void **state)
{
    struct bench *bench = *state;
    for (uint32_t i = 0; i < 5; i++) {
        struct hd_engine_job job = job_of(bench, i, "wait", "");
        assert_hd_ok(hd_engine_start(bench->engine, &job, &err));
        hd_engine_stop(bench->engine, job.attempt, 1000);
        assert_true(next_end(bench, i).stopped);
    }
}

static void the_time_limit_stops_a_target(void **state)
{
    struct bench *bench = *state;
    struct hd_engine_job job = job_of(bench, 1, "ignore", "");
    job.timeout_ms = 300;
    job.stop_grace_ms = 50;
    struct hd_engine_end end = run(bench, &job);
    assert_true(end.timed_out);
    assert_false(end.stopped);
    assert_int_equal(end.exit_code, 137);
}

static void drop_leaves_nothing_and_tells_nothing(void **state)
{
    struct bench *bench = *state;
    struct hd_engine_job job = job_of(bench, 1, "family", "");
    bool running;
    assert_hd_ok(hd_engine_start(bench->engine, &job, &err));
    wait_ready(bench);
    long child = 0, grandchild = 0;
    if (!bench->docker)
        read_family(bench, &child, &grandchild);
    hd_engine_drop(bench->engine, job.attempt);
    assert_false(is_known(bench, job.attempt, &running));
    if (!bench->docker) {
        assert_false(process_exists(child));
        assert_false(process_exists(grandchild));
    }
    /* What is not known is no error. */
    hd_engine_drop(bench->engine, job.attempt);
    hd_engine_stop(bench->engine, job.attempt, 1);
    hd_engine_remove(bench->engine, job.attempt);
    /* The next news is the next job's. */
    job = job_of(bench, 2, "exit", "4");
    assert_int_equal(run(bench, &job).exit_code, 4);
}

/* ---- a worker that starts again ------------------------------------------------------------- */

static void starting_twice_is_starting_once(void **state)
{
    struct bench *bench = *state;
    struct hd_engine_job job = job_of(bench, 1, "stop-code", "5");
    assert_hd_ok(hd_engine_start(bench->engine, &job, &err));
    assert_hd_ok(hd_engine_start(bench->engine, &job, &err));
    wait_ready(bench);
    assert_hd_ok(hd_engine_start(bench->engine, &job, &err));
    hd_engine_stop(bench->engine, job.attempt, 60000);
    assert_int_equal(next_end(bench, 1).exit_code, 5);
    hd_engine_remove(bench->engine, job.attempt);
    job = job_of(bench, 2, "exit", "4");
    assert_int_equal(run(bench, &job).exit_code, 4);
}

/* A process that starts the job and dies without a word, as by kill -9. */
static void start_in_another_process(struct bench *bench, const struct hd_engine_job *job)
{
    hd_engine_close(bench->engine);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        struct hd_engine_options options = {.worker = bench->worker,
                                            .state_dir = bench->state_dir,
                                            .queue = bench->queue,
                                            .files = bench->files};
        enum hd_code code = open_named(bench, &options);
        if (code == HD_OK)
            code = hd_engine_start(bench->engine, job, &err);
        while (code == HD_OK && !is_ready(bench))
            (void)poll(NULL, 0, 2);
        _exit(code == HD_OK ? 0 : 1);
    }
    int status;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
    open_engine(bench);
}

static void a_running_target_is_adopted(void **state)
{
    struct bench *bench = *state;
    struct hd_engine_job job = job_of(bench, 1, "stop-code", "6");
    bool running = false;
    start_in_another_process(bench, &job);
    /* Docker says that a container runs a moment after its program does. */
    for (int64_t until_ms = hd_clock_ms() + NEWS_WAIT_MS; !running;) {
        assert_true(is_known(bench, job.attempt, &running));
        assert_true(hd_clock_ms() < until_ms);
        (void)poll(NULL, 0, 2);
    }
    assert_hd_ok(hd_engine_adopt(bench->engine, job.attempt, &job, &err));
    hd_engine_stop(bench->engine, job.attempt, 60000);
    struct hd_engine_end end = next_end(bench, 1);
    assert_true(end.stopped);
    assert_int_equal(end.exit_code, 6);
    hd_engine_remove(bench->engine, job.attempt);
    assert_false(is_known(bench, job.attempt, &running));
}

static void a_target_that_ended_meanwhile_is_harvested(void **state)
{
    struct bench *bench = *state;
    struct hd_engine_job job = job_of(bench, 1, "orphans", "");
    bool running = true;
    start_in_another_process(bench, &job);
    /* it may be about to end: adopting tells its end either way */
    assert_hd_ok(hd_engine_adopt(bench->engine, job.attempt, &job, &err));
    assert_int_equal(next_end(bench, 1).exit_code, 0);
    /* now it has ended for certain: once more from the beginning */
    hd_engine_close(bench->engine);
    open_engine(bench);
    assert_true(is_known(bench, job.attempt, &running));
    assert_false(running);
    assert_hd_ok(hd_engine_adopt(bench->engine, job.attempt, &job, &err));
    struct hd_engine_end end = next_end(bench, 1);
    assert_int_equal(end.kind, HD_END_EXITED);
    assert_int_equal(end.exit_code, 0);
    struct hd_attempt_ref unknown = {bench->run_uid, 99, 1};
    assert_hd_fails(hd_engine_adopt(bench->engine, unknown, &job, &err), HD_E_NOTFOUND, "job 99");
}

static void a_killed_shim_is_told_as_lost_and_takes_its_target_along(void **state)
{
    struct bench *bench = *state;
    if (bench == NULL)
        return; /* a container has no shim of ours */
    struct hd_engine_job job = job_of(bench, 1, "family", "");
    assert_hd_ok(hd_engine_start(bench->engine, &job, &err));
    wait_ready(bench);
    char owner[PATH_SIZE + 128];
    assert_true(hd_format(owner, sizeof(owner), "%s/process/%016llx-1-1/owner", bench->state_dir,
                          (unsigned long long)bench->run_uid));
    size_t size;
    long shim, child, grandchild;
    char *text = test_file_read(owner, &size);
    assert_int_equal(sscanf(text, "%ld", &shim), 1);
    free(text);
    read_family(bench, &child, &grandchild);
    assert_int_equal(kill((pid_t)shim, SIGKILL), 0);
    struct hd_engine_end end = next_end(bench, 1);
    assert_int_equal(end.kind, HD_END_ENGINE_LOST);
    assert_non_null(strstr(end.message, "shim"));
    /* The target itself died with it; what it had started in other sessions is beyond reach. */
    assert_int_equal(kill((pid_t)child, SIGKILL), 0);
    assert_int_equal(kill((pid_t)grandchild, SIGKILL), 0);
}

/* A worker was killed while it started a target. Whatever there was of it by then, an engine that
 * cannot have started the target says that it does not know it, and no late shim starts it. */
static void a_target_that_was_never_started_is_not_known(void **state)
{
    struct bench *bench = *state;
    static const struct {
        const char *names[4], *texts[4];
    } rows[] = {
        {{NULL}, {NULL}},
        {{"spec"}, {"cut sh"}},
        {{"spec", "owner"}, {"cut sh", "999999999 1\n"}},
        {{"owner", "grace"}, {"0 0\n", "1000"}},
    };
    if (bench == NULL)
        return; /* its own engine keeps what there is; see contract / docker */
    for (uint32_t i = 0; i < HD_COUNT(rows); i++) {
        struct hd_engine_job job = job_of(bench, i, "exit", "0");
        char record[PATH_SIZE + 64], path[PATH_SIZE + 128];
        assert_true(hd_format(record, sizeof(record), "%s/process/%016llx-%u-1", bench->state_dir,
                              (unsigned long long)bench->run_uid, i));
        assert_hd_ok(hd_mkdirs(record, 0700, &err));
        for (size_t k = 0; rows[i].names[k] != NULL; k++) {
            assert_true(hd_format(path, sizeof(path), "%s/%s", record, rows[i].names[k]));
            test_file_write(path, rows[i].texts[k]);
        }
        assert_hd_fails(hd_engine_adopt(bench->engine, job.attempt, &job, &err), HD_E_NOTFOUND,
                        "was never started");
        assert_true(hd_format(path, sizeof(path), "%s/owner", record));
        assert_true(hd_path_exists(path));
        /* With the mark of a start it is lost and may have done something. */
        assert_true(hd_format(path, sizeof(path), "%s/begun", record));
        test_file_write(path, "1");
        assert_hd_ok(hd_engine_adopt(bench->engine, job.attempt, &job, &err));
        assert_int_equal(next_end(bench, i).kind, HD_END_ENGINE_LOST);
    }
}

/* ---- for people ----------------------------------------------------------------------------- */

static void the_command_line_can_be_pasted(void **state)
{
    struct bench *bench = *state;
    struct hd_engine_job job = job_of(bench, 1, "it's", "a b");
    struct hd_buf out;
    hd_buf_init(&out, 65536);
    assert_hd_ok(hd_engine_command_line(bench->engine, &job, &out, &err));
    assert_non_null(strstr(hd_buf_text(&out), "'it'\\''s' 'a b'"));
    assert_non_null(strstr(hd_buf_text(&out), "'OWN=of the job'"));
    hd_buf_release(&out);
    assert_string_equal(hd_engine_name(bench->engine), getenv("HD_TEST_ENGINE"));
}

#define ON_BENCH(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)
#define OF_PROCESSES(test) cmocka_unit_test_setup_teardown(test, set_up_process, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        ON_BENCH(exit_codes_and_signals_are_told_as_they_are),
        ON_BENCH(both_streams_are_in_the_log),
        ON_BENCH(a_target_has_the_environment_of_its_job),
        ON_BENCH(what_cannot_start_is_the_experiments_fault_with_a_reason),
        ON_BENCH(a_huge_log_is_cut_in_the_middle),
        ON_BENCH(much_on_standard_error_blocks_nobody),
        ON_BENCH(memory_beyond_the_limit_ends_the_target),
        OF_PROCESSES(too_many_processes_end_the_target),
        OF_PROCESSES(a_target_is_bound_to_its_cpus),
        OF_PROCESSES(neighbours_are_bound_to_different_cpus),
        OF_PROCESSES(a_program_is_run_under_the_name_it_is_called_by),
        ON_BENCH(a_target_that_leaves_children_leaves_none),
        ON_BENCH(a_target_has_its_files_and_leaves_its_own),
        ON_BENCH(a_root_that_may_only_be_read_does_not_hinder_its_files),
        ON_BENCH(a_curve_is_here_while_it_grows_and_a_request_to_stop_arrives),
        ON_BENCH(a_target_may_end_itself_when_stopped),
        ON_BENCH(a_target_that_ignores_the_request_is_killed_after_the_grace),
        ON_BENCH(a_stop_that_follows_the_start_at_once_is_not_lost),
        ON_BENCH(the_time_limit_stops_a_target),
        ON_BENCH(drop_leaves_nothing_and_tells_nothing),
        ON_BENCH(starting_twice_is_starting_once),
        ON_BENCH(a_running_target_is_adopted),
        ON_BENCH(a_target_that_ended_meanwhile_is_harvested),
        OF_PROCESSES(a_killed_shim_is_told_as_lost_and_takes_its_target_along),
        OF_PROCESSES(a_target_that_was_never_started_is_not_known),
        ON_BENCH(the_command_line_can_be_pasted),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
