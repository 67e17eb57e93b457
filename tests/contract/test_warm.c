/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What warm targets promise over each engine: HD_TEST_ENGINE=process|docker. HD_TEST_TARGET is the
 * program of tests/lib/engine_target.c (process), HD_TEST_IMAGE an image whose entry point it is
 * (docker).
 */
#include "testlib.h"

#include <hd/engine.h>

#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define NEWS_WAIT_MS 120000
#define PATH_SIZE 4096
#define DIR_SIZE 3000

static struct hd_err err;

struct bench {
    bool docker;
    char *dir;
    char state_dir[PATH_SIZE];
    struct hd_queue *queue;
    struct hd_engine *engine;
    uint64_t run_uid;
    char worker[HD_WORKER_ID_MAX]; /* another suite may use the same engine */
    char *argv[4];
    char *env[2];
    struct hd_warm_job warm;
    /* of the last job */
    char line[512];
    char run_dir[DIR_SIZE], work_dir[DIR_SIZE], log_path[PATH_SIZE];
};

static void open_engine(struct bench *bench)
{
    struct hd_engine_options options = {
        .worker = bench->worker, .state_dir = bench->state_dir, .queue = bench->queue, .slots = 2};
    assert_hd_ok(hd_engine_open_warm(&options,
                                     bench->docker ? hd_engine_open_docker : hd_engine_open_process,
                                     &bench->engine, &err));
}

static int set_up(void **state)
{
    static char env[] = "TEST_WARM=of the run";
    struct bench *bench = calloc(1, sizeof(*bench));
    bench->docker = hd_streq(getenv("HD_TEST_ENGINE"), "docker");
    bench->dir = test_dir_make();
    hd_os_random(&bench->run_uid, sizeof(bench->run_uid));
    assert_true(hd_format(bench->worker, sizeof(bench->worker), "w-%016llx",
                          (unsigned long long)bench->run_uid));
    bench->env[0] = env;
    bench->warm = (struct hd_warm_job){.jobs = 1000, .idle_ms = 600000};
    assert_true(hd_format(bench->state_dir, PATH_SIZE, "%s/state", bench->dir));
    assert_hd_ok(hd_mkdirs(bench->state_dir, 0700, &err));
    assert_hd_ok(hd_queue_new(64, &bench->queue, &err));
    open_engine(bench);
    *state = bench;
    return 0;
}

static int tear_down(void **state)
{
    struct bench *bench = *state;
    void *news;
    hd_engine_close(bench->engine);
    while ((news = hd_queue_pop(bench->queue, 0)) != NULL)
        hd_free(news);
    hd_queue_free(bench->queue);
    test_dir_remove(bench->dir);
    free(bench);
    return 0;
}

/* Each container takes most of a second, and what is judged here is the same over all engines. */
static uint32_t rows_of(const struct bench *bench, uint32_t count)
{
    return bench->docker ? 1 : count;
}

/* ---- helpers -------------------------------------------------------------------------------- */

static struct hd_engine_job job_with(struct bench *bench, uint32_t job, const char *how,
                                     const char *what, long long number)
{
    char *program = getenv("HD_TEST_TARGET");
    static char warm[] = "warm";
    size_t words = 0;
    assert_true(hd_format(bench->run_dir, DIR_SIZE, "%s/run-%u", bench->dir, job));
    assert_true(hd_format(bench->work_dir, DIR_SIZE, "%s/work-%u", bench->dir, job));
    assert_true(hd_format(bench->log_path, PATH_SIZE, "%s/log.txt", bench->run_dir));
    char out[PATH_SIZE];
    assert_true(hd_format(out, sizeof(out), "%s/out", bench->run_dir));
    assert_hd_ok(hd_mkdirs(out, 0777, &err));
    assert_hd_ok(hd_mkdirs(bench->work_dir, 0777, &err));
    assert_true(hd_format(bench->line, sizeof(bench->line),
                          "{\"job\":%u,\"params\":{\"do\":\"%s\",\"number\":%lld}}", job, what,
                          number));
    bench->warm.line = bench->line;
    if (!bench->docker)
        bench->argv[words++] = program;
    bench->argv[words++] = warm;
    bench->argv[words++] = (char *)(uintptr_t)how;
    bench->argv[words] = NULL;
    return (struct hd_engine_job){
        .attempt = {bench->run_uid, job, 1},
        .worker = bench->worker,
        .run_id = "warm",
        .config_id = "[0,0,0]",
        .run_dir = bench->run_dir,
        .work_dir = bench->work_dir,
        .log_path = bench->log_path,
        .image = bench->docker ? getenv("HD_TEST_IMAGE") : NULL,
        .argv = bench->argv,
        .env = bench->env,
        .stop_grace_ms = 60000,
        .warm = &bench->warm,
    };
}

static struct hd_engine_job job_of(struct bench *bench, uint32_t job, const char *what)
{
    return job_with(bench, job, "stops", what, 0);
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
    return end;
}

static struct hd_engine_end run(struct bench *bench, const struct hd_engine_job *job)
{
    assert_hd_ok(hd_engine_start(bench->engine, job, &err));
    struct hd_engine_end end = next_end(bench, job->attempt.job);
    hd_engine_remove(bench->engine, job->attempt);
    return end;
}

static bool file_holds(const char *directory, const char *name, const char *part)
{
    char path[PATH_SIZE];
    size_t size;
    assert_true(hd_format(path, sizeof(path), "%s/%s", directory, name));
    if (!hd_path_exists(path))
        return false;
    char *text = test_file_read(path, &size);
    bool found = strstr(text, part) != NULL;
    free(text);
    return found;
}

/* Runs an ordinary job: its process had done so many before it. */
static void assert_done_before(struct bench *bench, uint32_t number, uint32_t count)
{
    char part[32];
    struct hd_engine_job job = job_of(bench, number, "answer");
    struct hd_engine_end end = run(bench, &job);
    assert_int_equal(end.kind, HD_END_EXITED);
    assert_int_equal(end.exit_code, 0);
    assert_false(end.uncharged || end.stopped || end.timed_out || end.oom_killed);
    assert_true(hd_format(part, sizeof(part), "\"done\":%u}", count + 1));
    if (!file_holds(bench->run_dir, "loss.json", part))
        fail_msg("job %u: loss.json does not hold %s", number, part);
}

/* ---- jobs ----------------------------------------------------------------------------------- */

static void one_target_takes_one_job_after_another(void **state)
{
    for (uint32_t i = 0; i < 50; i++)
        assert_done_before(*state, i + 1, i);
}

/* The image's label, as a real engine tells of it. */
static void an_image_may_say_that_its_targets_stay(void **state)
{
    struct bench *bench = *state;
    if (!bench->docker)
        return; /* a command has no label */
    bench->warm.by_label = true;
    bench->warm.env = bench->env;
    for (uint32_t i = 0; i < 3; i++)
        assert_done_before(bench, i + 1, i);
}

static void the_files_of_an_attempt_are_as_if_it_had_run_alone(void **state)
{
    struct bench *bench = *state;
    struct stat st;
    char path[PATH_SIZE];
    struct hd_engine_job job = job_of(bench, 1, "points");
    assert_int_equal(run(bench, &job).kind, HD_END_EXITED);
    assert_true(file_holds(bench->run_dir, "metrics.jsonl",
                           "{\"step\":1,\"loss\":3}\n{\"step\":2,\"loss\":2}\n"));
    assert_true(file_holds(bench->run_dir, "loss.json", "{\"loss\":0.5,\"done\":1}"));
    for (int again = 0; again < 2; again++) {
        job = job_of(bench, 2, "files");
        job.attempt.job += (uint32_t)again;
        assert_int_equal(run(bench, &job).kind, HD_END_EXITED);
        assert_true(file_holds(bench->run_dir, "loss.json", again ? "\"loss\":1," : "\"loss\":0,"));
        assert_true(hd_format(path, sizeof(path), "%s/out/result", bench->run_dir));
        assert_int_equal(lstat(path, &st), 0);
        assert_int_equal(unlink(path), 0);
        assert_true(hd_format(path, sizeof(path), "%s/kept", bench->work_dir));
        assert_int_equal(lstat(path, &st), 0);
    }
    job = job_of(bench, 4, "nan");
    (void)run(bench, &job);
    assert_true(file_holds(bench->run_dir, "loss.json", "NaN"));
}

/* Output takes its own way: what a job prints last may come with the next one's. */
static void what_is_printed_is_in_the_logs_once(void **state)
{
    struct bench *bench = *state;
    struct hd_engine_job job = job_of(bench, 1, "env");
    (void)run(bench, &job);
    bool first = file_holds(bench->run_dir, "log.txt", "TEST_WARM=of the run\n");
    job = job_with(bench, 2, "stops", "exit", 3);
    (void)run(bench, &job);
    assert_true(file_holds(bench->run_dir, "log.txt", "job 2-1\n"));
    assert_int_not_equal(file_holds(bench->run_dir, "log.txt", "TEST_WARM=of the run\n"), first);
}

static void two_jobs_at_a_time_have_two_targets_and_a_third_run_has_room(void **state)
{
    struct bench *bench = *state;
    struct hd_engine_job first = job_of(bench, 1, "obey");
    assert_hd_ok(hd_engine_start(bench->engine, &first, &err));
    assert_done_before(bench, 2, 0);
    assert_done_before(bench, 3, 1);
    hd_engine_stop(bench->engine, first.attempt, 60000);
    assert_true(next_end(bench, 1).stopped);
    /* Two slots and two idle targets: the one of another environment takes the place of one. */
    static char other[] = "TEST_WARM=of another run";
    bench->env[0] = other;
    assert_done_before(bench, 4, 0);
    assert_done_before(bench, 5, 1);
}

/* A target keeps the GPUs that it was started with; idle, it goes when another job gets one of
 * them. */
static void gpus_are_not_held_by_who_does_nothing(void **state)
{
    struct bench *bench = *state;
    static const struct {
        const char *gpus;
        uint32_t done; /* by the target, before */
    } rows[] = {{"GPU-1", 0},       {"GPU-10", 0}, {"GPU-1", 1}, {"GPU-10", 1},
                {"GPU-2,GPU-1", 0}, {"GPU-1", 0},  {"GPU-2", 0}, {"GPU-2", 1}};
    if (bench->docker)
        return; /* its engine refuses GPUs that are not there */
    for (uint32_t i = 0; i < HD_COUNT(rows); i++) {
        char part[32];
        struct hd_engine_job job = job_of(bench, i + 1, "answer");
        job.gpus = rows[i].gpus;
        (void)run(bench, &job);
        assert_true(hd_format(part, sizeof(part), "\"done\":%u}", rows[i].done + 1));
        if (!file_holds(bench->run_dir, "loss.json", part))
            fail_msg("job %u on %s: not %s", i + 1, rows[i].gpus, part);
    }
}

static void after_its_jobs_a_target_is_replaced(void **state)
{
    struct bench *bench = *state;
    bench->warm.jobs = 3;
    for (uint32_t i = 0; i < 7; i++)
        assert_done_before(bench, i + 1, i % 3);
}

static void a_second_attempt_gets_a_fresh_target(void **state)
{
    struct bench *bench = *state;
    assert_done_before(bench, 1, 0);
    struct hd_engine_job job = job_of(bench, 2, "answer");
    job.attempt.attempt = 2;
    (void)run(bench, &job);
    assert_true(file_holds(bench->run_dir, "loss.json", "\"done\":1}"));
}

static void jobs_that_run_once_go_through(void **state)
{
    struct bench *bench = *state;
    struct hd_engine_job job = job_of(bench, 1, "answer");
    static char exits[] = "exit", seven[] = "7";
    size_t words = bench->docker ? 0 : 1;
    job.warm = NULL;
    bench->argv[words++] = exits;
    bench->argv[words++] = seven;
    struct hd_engine_end end = run(bench, &job);
    assert_int_equal(end.kind, HD_END_EXITED);
    assert_int_equal(end.exit_code, 7);
}

/* ---- doubts --------------------------------------------------------------------------------- */

/* The first job of a target may be at fault itself; a later one is tried again, uncharged, and
 * whoever comes next gets a fresh target. */
static void whatever_is_in_doubt_ends_the_target_and_not_the_next_job(void **state)
{
    struct bench *bench = *state;
    static const struct {
        const char *what;
        long long number;
        int exit_code; /* of a first job; -1: it failed with a message */
        const char *says;
    } rows[] = {
        {"exit", 3, 3, "exit code 3"},
        {"exit", 0, -1, "exit code 0"},
        {"foreign", 0, -1, "answered for job 12345-1"},
        {"garbage", 17, -1, "more than 16 lines"},
        {"endless", 0, -1, "longer than 1048576 bytes"},
    };
    uint32_t number = 1;
    for (size_t i = 0; i < rows_of(bench, HD_COUNT(rows)); i++) {
        struct hd_engine_job job = job_with(bench, number++, "stops", rows[i].what, rows[i].number);
        struct hd_engine_end end = run(bench, &job);
        assert_int_equal(end.kind, HD_END_EXITED);
        assert_false(end.uncharged);
        assert_int_equal(end.exit_code, rows[i].exit_code >= 0 ? rows[i].exit_code : 0);
        assert_int_equal(file_holds(bench->run_dir, "loss.json", "\"state\":\"failed\""),
                         rows[i].exit_code < 0);
        assert_done_before(bench, number++, 0);
        job = job_with(bench, number++, "stops", rows[i].what, rows[i].number);
        end = run(bench, &job);
        assert_true(end.uncharged);
        if (strstr(end.message, rows[i].says) == NULL || strstr(end.message, "1 jobs") == NULL)
            fail_msg("%s: %s", rows[i].what, end.message);
        assert_false(file_holds(bench->run_dir, "loss.json", "loss"));
    }
}

static void some_lines_that_are_no_answers_are_passed_over(void **state)
{
    struct bench *bench = *state;
    struct hd_engine_job job = job_with(bench, 1, "stops", "garbage", 16);
    (void)run(bench, &job);
    assert_true(file_holds(bench->run_dir, "loss.json", "\"loss\":0.5"));
    assert_done_before(bench, 2, 1);
}

static void an_answer_is_never_taken_for_the_next_job(void **state)
{
    struct bench *bench = *state;
    for (uint32_t i = 0; i < rows_of(bench, 4); i++) {
        struct hd_engine_job job = job_of(bench, 2 * i + 1, "twice");
        struct hd_engine_end end = run(bench, &job);
        assert_int_equal(end.exit_code, 0);
        assert_true(file_holds(bench->run_dir, "loss.json", "\"loss\":0.5"));
        /* Given to it before or after the second answer was read: a fresh one does it then. */
        job = job_of(bench, 2 * i + 2, "answer");
        end = run(bench, &job);
        assert_int_equal(file_holds(bench->run_dir, "loss.json", "\"loss\":0.5"), !end.uncharged);
        assert_false(file_holds(bench->run_dir, "loss.json", "\"loss\":0}"));
    }
}

static void a_target_that_answers_and_ends_has_answered(void **state)
{
    struct bench *bench = *state;
    struct hd_engine_job job = job_of(bench, 1, "last");
    struct hd_engine_end end = run(bench, &job);
    assert_false(end.uncharged);
    assert_true(file_holds(bench->run_dir, "loss.json", "\"loss\":0.5"));
    /* Handed to it before its end was seen, the next one is tried again. */
    job = job_of(bench, 2, "answer");
    end = run(bench, &job);
    assert_true(end.uncharged || file_holds(bench->run_dir, "loss.json", "\"done\":1}"));
    assert_done_before(bench, 3, end.uncharged ? 0 : 1);
}

static void a_program_that_never_connects_is_the_experiments_fault(void **state)
{
    struct bench *bench = *state;
    struct hd_engine_job job = job_with(bench, 1, "deaf", "answer", 0);
    struct hd_engine_end end = run(bench, &job);
    assert_int_equal(end.kind, HD_END_NOT_STARTED);
    assert_true(end.config_error);
    assert_non_null(strstr(end.message, "before it connected to $HYPERDOCK_SOCKET"));
}

static void what_cannot_start_is_told_with_the_engines_reason(void **state)
{
    struct bench *bench = *state;
    static char missing[] = "/no/such/program";
    struct hd_engine_job job = job_of(bench, 1, "answer");
    job.pull = HD_PULL_NEVER;
    if (bench->docker)
        job.image = "hyperdock/no-such-image:never";
    else
        bench->argv[0] = missing;
    struct hd_engine_end end = run(bench, &job);
    assert_int_equal(end.kind, HD_END_NOT_STARTED);
    assert_true(end.config_error);
    struct stat st;
    assert_int_equal(lstat(bench->work_dir, &st), 0);
}

/* ---- time ----------------------------------------------------------------------------------- */

static void the_time_limit_holds_for_each_job(void **state)
{
    struct bench *bench = *state;
    assert_done_before(bench, 1, 0);
    struct hd_engine_job job = job_of(bench, 2, "hang");
    job.timeout_ms = 100;
    struct hd_engine_end end = run(bench, &job);
    assert_true(end.timed_out);
    assert_false(end.uncharged);
    struct stat st;
    assert_int_equal(lstat(bench->work_dir, &st), 0);
    assert_done_before(bench, 3, 0);
}

static void silence_beyond_the_heartbeat_ends_the_target(void **state)
{
    struct bench *bench = *state;
    bench->warm.heartbeat_ms = 100;
    struct hd_engine_job job = job_of(bench, 1, "hang");
    struct hd_engine_end end = run(bench, &job);
    assert_false(end.timed_out);
    assert_true(file_holds(bench->run_dir, "loss.json", "no sign of life for 100 ms"));
}

static void an_idle_target_ends_after_a_while(void **state)
{
    struct bench *bench = *state;
    bench->warm.idle_ms = 0;
    assert_done_before(bench, 1, 0);
    assert_done_before(bench, 2, 0);
}

static void one_that_obeys_a_stop_lives_on(void **state)
{
    struct bench *bench = *state;
    assert_done_before(bench, 1, 0);
    struct hd_engine_job job = job_of(bench, 2, "obey");
    assert_hd_ok(hd_engine_start(bench->engine, &job, &err));
    hd_engine_stop(bench->engine, job.attempt, 60000);
    struct hd_engine_end end = next_end(bench, 2);
    assert_true(end.stopped);
    assert_true(file_holds(bench->run_dir, "loss.json", "\"loss\":0.5"));
    assert_done_before(bench, 3, 2);
}

static void an_unanswered_stop_ends_the_target(void **state)
{
    struct bench *bench = *state;
    static const struct {
        const char *how;
        int64_t grace_ms;
        uint32_t done; /* by the target that takes the next job */
    } rows[] = {{"stops", 50, 0}, {"stops", 0, 0}, {"cannot", 60000, 1}};
    for (uint32_t i = 0; i < rows_of(bench, HD_COUNT(rows)); i++) {
        struct hd_engine_job job = job_with(bench, 2 * i + 1, rows[i].how, "hang", 0);
        assert_hd_ok(hd_engine_start(bench->engine, &job, &err));
        hd_engine_stop(bench->engine, job.attempt, rows[i].grace_ms);
        struct hd_engine_end end = next_end(bench, 2 * i + 1);
        assert_true(end.stopped);
        assert_false(end.uncharged);
        assert_done_before(bench, 2 * i + 2, rows[i].done);
    }
}

static void drop_gives_the_directory_back_and_tells_nothing(void **state)
{
    struct bench *bench = *state;
    struct stat st;
    assert_done_before(bench, 1, 0);
    struct hd_engine_job job = job_of(bench, 2, "hang");
    assert_hd_ok(hd_engine_start(bench->engine, &job, &err));
    assert_hd_ok(hd_engine_start(bench->engine, &job, &err)); /* a resend changes nothing */
    hd_engine_drop(bench->engine, job.attempt);
    assert_int_equal(lstat(bench->work_dir, &st), 0);
    assert_done_before(bench, 3, 0); /* and not the news of job 2 */
}

/* ---- traps ---------------------------------------------------------------------------------- */

static void what_a_target_puts_in_the_place_of_its_directories_is_not_followed(void **state)
{
    struct bench *bench = *state;
    struct stat st;
    char path[PATH_SIZE];
    struct hd_engine_job job = job_of(bench, 1, "traps");
    (void)run(bench, &job);
    assert_int_not_equal(lstat(bench->work_dir, &st), 0);
    assert_true(hd_format(path, sizeof(path), "%s/out", bench->run_dir));
    assert_int_equal(lstat(path, &st), 0);
    assert_true(S_ISDIR(st.st_mode));
}

static void a_target_that_has_grown_is_replaced(void **state)
{
    struct bench *bench = *state;
    struct hd_engine_job job = job_with(bench, 1, "stops", "memory", 61 << 20);
    job.memory_bytes = 64u << 20;
    struct hd_engine_end end = run(bench, &job);
    assert_false(end.uncharged || end.oom_killed);
    job = job_of(bench, 2, "answer");
    job.memory_bytes = 64u << 20;
    (void)run(bench, &job);
    assert_true(file_holds(bench->run_dir, "loss.json", "\"done\":1}"));
}

/* ---- the worker's own death ----------------------------------------------------------------- */

static size_t count_found(struct bench *bench)
{
    struct hd_engine_found found[16];
    size_t count = 0, ours = 0;
    assert_hd_ok(hd_engine_list(bench->engine, found, HD_COUNT(found), &count, &err));
    for (size_t i = 0; i < count; i++)
        ours += found[i].attempt.run_uid == bench->run_uid ? 1 : 0;
    return ours;
}

/* Begins a job and kills the worker in the middle of it. */
static void kill_a_worker(struct bench *bench, const struct hd_engine_job *job)
{
    struct stat st;
    hd_engine_close(bench->engine);
    pid_t worker = fork();
    if (worker == 0) {
        open_engine(bench);
        if (hd_engine_start(bench->engine, job, &err) != HD_OK)
            _exit(1);
        while (!file_holds(bench->run_dir, "log.txt", "job 1-1"))
            (void)usleep(2000);
        (void)kill(getpid(), SIGKILL);
    }
    int status = 0;
    assert_int_equal(waitpid(worker, &status, 0), worker);
    assert_true(WIFSIGNALED(status));
    assert_int_not_equal(lstat(bench->work_dir, &st), 0);
}

static void a_killed_worker_loses_its_warm_targets_and_no_directory(void **state)
{
    struct bench *bench = *state;
    struct hd_engine_job job = job_of(bench, 1, "hang");
    struct stat st;
    kill_a_worker(bench, &job);
    open_engine(bench);
    assert_int_equal(lstat(bench->work_dir, &st), 0);
    assert_int_equal(count_found(bench), 0);
    assert_hd_fails(hd_engine_adopt(bench->engine, job.attempt, &job, &err), HD_E_NOTFOUND, "");
    assert_done_before(bench, 2, 0);
}

/* A neighbour ends what it finds, and then the directories are free. */
static void a_neighbour_gives_the_directories_of_a_dead_worker_back(void **state)
{
    struct bench *bench = *state;
    struct hd_engine_job job = job_of(bench, 1, "hang");
    struct hd_engine_found found[16];
    struct stat st;
    size_t count = 0;
    kill_a_worker(bench, &job);
    struct hd_engine_options options = {
        .worker = bench->worker, .state_dir = bench->state_dir, .queue = bench->queue};
    struct hd_engine *raw = NULL;
    assert_hd_ok(bench->docker ? hd_engine_open_docker(&options, &raw, &err)
                               : hd_engine_open_process(&options, &raw, &err));
    assert_hd_ok(hd_engine_list(raw, found, HD_COUNT(found), &count, &err));
    for (size_t i = 0; i < count; i++)
        if (found[i].attempt.run_uid == bench->run_uid) {
            assert_true(hd_engine_is_warm(found[i].attempt));
            hd_engine_drop(raw, found[i].attempt);
        }
    hd_engine_close(raw);
    hd_engine_recover_warm(bench->state_dir);
    assert_int_equal(lstat(bench->work_dir, &st), 0);
    open_engine(bench);
    assert_int_equal(count_found(bench), 0);
}

#define ON_BENCH(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        ON_BENCH(one_target_takes_one_job_after_another),
        ON_BENCH(an_image_may_say_that_its_targets_stay),
        ON_BENCH(the_files_of_an_attempt_are_as_if_it_had_run_alone),
        ON_BENCH(what_is_printed_is_in_the_logs_once),
        ON_BENCH(two_jobs_at_a_time_have_two_targets_and_a_third_run_has_room),
        ON_BENCH(gpus_are_not_held_by_who_does_nothing),
        ON_BENCH(after_its_jobs_a_target_is_replaced),
        ON_BENCH(a_second_attempt_gets_a_fresh_target),
        ON_BENCH(jobs_that_run_once_go_through),
        ON_BENCH(whatever_is_in_doubt_ends_the_target_and_not_the_next_job),
        ON_BENCH(some_lines_that_are_no_answers_are_passed_over),
        ON_BENCH(an_answer_is_never_taken_for_the_next_job),
        ON_BENCH(a_target_that_answers_and_ends_has_answered),
        ON_BENCH(a_program_that_never_connects_is_the_experiments_fault),
        ON_BENCH(what_cannot_start_is_told_with_the_engines_reason),
        ON_BENCH(the_time_limit_holds_for_each_job),
        ON_BENCH(silence_beyond_the_heartbeat_ends_the_target),
        ON_BENCH(an_idle_target_ends_after_a_while),
        ON_BENCH(one_that_obeys_a_stop_lives_on),
        ON_BENCH(an_unanswered_stop_ends_the_target),
        ON_BENCH(drop_gives_the_directory_back_and_tells_nothing),
        ON_BENCH(what_a_target_puts_in_the_place_of_its_directories_is_not_followed),
        ON_BENCH(a_target_that_has_grown_is_replaced),
        ON_BENCH(a_killed_worker_loses_its_warm_targets_and_no_directory),
        ON_BENCH(a_neighbour_gives_the_directories_of_a_dead_worker_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
