/* SPDX-License-Identifier: Apache-2.0 */
/* The Docker engine against a recorded one: every way a container can end, and every way the
 * engine can be away, gives one piece of news that says the truth. */
#include "testlib.h"

#include "docker.h"
#include "fake_docker.h"

#include <hd/os.h>

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define NEWS_WAIT_MS 30000
#define COMMAND_WORDS_MAX 4

static const struct hd_docker_tuning quick = {
    .hold_ms = 300,
    .away_ms_max = 20000,
    .backoff_ms_min = 5,
    .backoff_ms_max = 20,
    .look_ms = 20000,
    .drain_ms = 5000,
    .answer_ms = 50,
    .kill_margin_ms = 20,
    .log_bytes_max = 65536,
    .pull_tries = 3,
    .pull_wait_ms_min = 5,
    .pull_stall_ms = 1000,
    .load_stall_ms = 20000,
    .pull_say_ms = 0,
    .files_ms = 20,
};

struct room {
    char *dir;
    struct fake_docker *fake;
    struct hd_queue *queue;
    struct hd_engine *engine;
    struct hd_docker_tuning tuning;
    const struct hd_image_source *images;
    char run_dir[600], work_dir[600], log_path[600];
    bool said_pulling;
    char doing[HD_DOING_MAX]; /* what was said last before an end */
    char name[HD_ENGINE_NAME_MAX];
    char *argv[COMMAND_WORDS_MAX];
};

static char image_name[] = "hyperdock/t:1";

static void open_engine(struct room *room)
{
    struct hd_err err = {0};
    const struct hd_engine_options options = {.worker = "host-0",
                                              .state_dir = room->dir,
                                              .docker_host = fake_docker_host(room->fake),
                                              .images = room->images,
                                              .queue = room->queue};
    assert_hd_ok(hd_docker_open(&options, &room->tuning, &room->engine, &err));
}

static int setup(void **state)
{
    struct room *room = calloc(1, sizeof(*room));
    struct hd_err err = {0};
    assert_non_null(room);
    room->dir = test_dir_make();
    room->fake = fake_docker_start(room->dir);
    room->tuning = quick;
    fake_docker_add_image(room->fake, image_name, "");
    assert_hd_ok(hd_queue_new(64, &room->queue, &err));
    snprintf(room->run_dir, sizeof(room->run_dir), "%s/run", room->dir);
    snprintf(room->work_dir, sizeof(room->work_dir), "%s/work", room->dir);
    snprintf(room->log_path, sizeof(room->log_path), "%s/log.txt", room->dir);
    assert_hd_ok(hd_mkdirs(room->run_dir, 0755, &err));
    assert_hd_ok(hd_mkdirs(room->work_dir, 0755, &err));
    hd_docker_container_name((struct hd_attempt_ref){0xabc, 7, 1}, room->name, sizeof(room->name));
    open_engine(room);
    *state = room;
    return 0;
}

static int teardown(void **state)
{
    struct room *room = *state;
    hd_engine_close(room->engine);
    for (void *news; (news = hd_queue_pop(room->queue, 0)) != NULL;)
        hd_free(news);
    hd_queue_free(room->queue);
    fake_docker_stop(room->fake);
    test_dir_remove(room->dir);
    free(room);
    return 0;
}

static struct hd_engine_job job_of(struct room *room, const char *program, const char *argument)
{
    static char words[2][64];
    (void)hd_copy_text(words[0], sizeof(words[0]), program);
    (void)hd_copy_text(words[1], sizeof(words[1]), argument != NULL ? argument : "");
    room->argv[0] = words[0];
    room->argv[1] = argument != NULL ? words[1] : NULL;
    room->argv[2] = NULL;
    return (struct hd_engine_job){
        .attempt = {0xabc, 7, 1},
        .worker = "host-0",
        .run_id = "r",
        .config_id = "[0,0,1]",
        .run_dir = room->run_dir,
        .work_dir = room->work_dir,
        .log_path = room->log_path,
        .image = image_name,
        .argv = room->argv,
        .stop_grace_ms = 1000,
    };
}

static void start(struct room *room, const struct hd_engine_job *job)
{
    struct hd_err err = {0};
    assert_hd_ok(hd_engine_start(room->engine, job, &err));
}

static void start_program(struct room *room, const char *program, const char *argument)
{
    struct hd_engine_job job = job_of(room, program, argument);
    start(room, &job);
}

static struct hd_engine_end take_news(struct room *room)
{
    struct hd_engine_news *news = hd_queue_pop(room->queue, NEWS_WAIT_MS);
    for (; news != NULL && !news->ended; news = hd_queue_pop(room->queue, NEWS_WAIT_MS)) {
        room->said_pulling = room->said_pulling || strstr(news->doing, " 50 %") != NULL;
        (void)hd_copy_text(room->doing, sizeof(room->doing), news->doing);
        hd_free(news);
    }
    if (news == NULL)
        fail_msg("no news came");
    struct hd_engine_end end = news->end;
    assert_int_equal(news->attempt.job, 7);
    hd_free(news);
    return end;
}

static void assert_no_news(struct room *room)
{
    struct hd_engine_news *news;
    while ((news = hd_queue_pop(room->queue, 0)) != NULL) {
        assert_false(news->ended); /* that it runs may have been told before */
        hd_free(news);
    }
}

static struct hd_engine_end expect_end(struct room *room, enum hd_engine_end_kind kind,
                                       int exit_code, const char *message)
{
    struct hd_engine_end end = take_news(room);
    if (end.kind != kind || (kind == HD_END_EXITED && end.exit_code != exit_code) ||
        strstr(end.message, message) == NULL)
        fail_msg("kind %d exit %d: %s", end.kind, end.exit_code, end.message);
    return end;
}

static void run_until_started(struct room *room, const char *program)
{
    start_program(room, program, NULL);
    fake_docker_await_running(room->fake, room->name);
    fake_docker_await(room->fake, FAKE_LOGS, 1);
}

/* A worker that restarts: what it started goes on. */
static void restart_worker(struct room *room)
{
    hd_engine_close(room->engine);
    open_engine(room);
}

static void adopt(struct room *room, const char *program)
{
    struct hd_engine_job job = job_of(room, program, NULL);
    struct hd_err err = {0};
    assert_hd_ok(hd_engine_adopt(room->engine, job.attempt, &job, &err));
}

static size_t list(struct room *room, struct hd_engine_found *found, size_t found_max)
{
    struct hd_err err = {0};
    size_t count = 0;
    assert_hd_ok(hd_engine_list(room->engine, found, found_max, &count, &err));
    return count;
}

/* ---- ordinary ends -------------------------------------------------------------------------- */

static void test_exit_codes(void **state)
{
    struct room *room = *state;
    static const char *const codes[] = {"0", "3", "42", "139"};
    for (size_t i = 0; i < HD_COUNT(codes); i++) {
        start_program(room, "exit", codes[i]);
        struct hd_engine_end end =
            expect_end(room, HD_END_EXITED, (int)strtol(codes[i], NULL, 10), "");
        assert_false(end.oom_killed || end.stopped || end.timed_out);
        assert_true(end.started_wall_ms > 0 && end.finished_wall_ms >= end.started_wall_ms);
        hd_engine_remove(room->engine, (struct hd_attempt_ref){0xabc, 7, 1});
        fake_docker_await_gone(room->fake, room->name);
        restart_worker(room); /* joins the thread, so that the attempt can be had again */
    }
}

/* The target's output is in the log file, whole, without the engine's frames and stamps. */
static void test_log(void **state)
{
    struct room *room = *state;
    run_until_started(room, "run");
    for (int i = 0; i < 20; i++)
        fake_docker_say(room->fake, room->name, i % 2 == 0 ? "even" : "odd line");
    fake_docker_exit(room->fake, room->name, 0, false);
    expect_end(room, HD_END_EXITED, 0, "");
    char *text = test_file_read(room->log_path, NULL);
    assert_int_equal(strncmp(text, "even\nodd line\neven\n", 19), 0);
    assert_int_equal(strlen(text), 10 * 5 + 10 * 9);
    free(text);
}

static void test_oom(void **state)
{
    struct room *room = *state;
    run_until_started(room, "run");
    fake_docker_exit(room->fake, room->name, 137, true);
    assert_true(expect_end(room, HD_END_EXITED, 137, "").oom_killed);
}

/* The flag is known to be missed; then the event tells. */
static void test_oom_without_flag(void **state)
{
    struct room *room = *state;
    room->tuning.hold_ms = 30000; /* the event ends it */
    restart_worker(room);
    fake_docker_forget_oom_flag(room->fake);
    run_until_started(room, "run");
    fake_docker_exit(room->fake, room->name, 137, true);
    assert_true(expect_end(room, HD_END_EXITED, 137, "").oom_killed);
}

/* A kill that nobody asked for is believed once the engine has stayed for a while. */
static void test_foreign_kill(void **state)
{
    struct room *room = *state;
    run_until_started(room, "run");
    fake_docker_exit(room->fake, room->name, 143, false);
    expect_end(room, HD_END_EXITED, 143, "");
    assert_true(fake_docker_count(room->fake, FAKE_EVENTS) > 0);
}

/* An engine that shuts down kills its containers, answers waits normally, and goes away later:
 * not the target's fault. */
static void test_engine_shuts_down(void **state)
{
    struct room *room = *state;
    room->tuning.hold_ms = 30000;
    restart_worker(room);
    run_until_started(room, "run");
    fake_docker_exit(room->fake, room->name, 137, false);
    fake_docker_await(room->fake, FAKE_EVENTS, 1);
    fake_docker_crash(room->fake);
    expect_end(room, HD_END_ENGINE_LOST, 0, "away or restarting");
    fake_docker_come_back(room->fake);
}

/* ---- stopping ------------------------------------------------------------------------------- */

static void test_stop(void **state)
{
    struct room *room = *state;
    char query[64];
    run_until_started(room, "run");
    hd_engine_stop(room->engine, (struct hd_attempt_ref){0xabc, 7, 1}, 2500);
    struct hd_engine_end end = expect_end(room, HD_END_EXITED, 143, "");
    assert_true(end.stopped && !end.timed_out);
    fake_docker_last_stop(room->fake, query, sizeof(query));
    assert_string_equal(query, "t=3");
}

/* Without a grace it is killed at once. */
static void test_stop_at_once(void **state)
{
    struct room *room = *state;
    char query[64];
    run_until_started(room, "run");
    hd_engine_stop(room->engine, (struct hd_attempt_ref){0xabc, 7, 1}, 0);
    assert_true(expect_end(room, HD_END_EXITED, 137, "").stopped);
    fake_docker_last_stop(room->fake, query, sizeof(query));
    assert_string_equal(query, "signal=SIGKILL");
}

/* A stop that does nothing is followed by a kill of our own. */
static void test_stop_that_does_not_stop(void **state)
{
    struct room *room = *state;
    fake_docker_ignore_stops(room->fake);
    run_until_started(room, "deaf");
    hd_engine_stop(room->engine, (struct hd_attempt_ref){0xabc, 7, 1}, 10);
    assert_true(expect_end(room, HD_END_EXITED, 137, "").stopped);
    assert_int_equal(fake_docker_count(room->fake, FAKE_STOP), 1);
    assert_true(fake_docker_count(room->fake, FAKE_KILL) >= 1);
}

static void test_timeout(void **state)
{
    struct room *room = *state;
    struct hd_engine_job job = job_of(room, "run", NULL);
    job.timeout_ms = 50;
    start(room, &job);
    struct hd_engine_end end = expect_end(room, HD_END_EXITED, 143, "");
    assert_true(end.timed_out && !end.stopped);
}

/* Stopping or dropping what is not there does nothing; stopping while the engine is away works
 * when it is back. */
static void test_stop_while_away(void **state)
{
    struct room *room = *state;
    hd_engine_stop(room->engine, (struct hd_attempt_ref){1, 2, 3}, 100);
    run_until_started(room, "run");
    fake_docker_crash(room->fake);
    hd_engine_stop(room->engine, (struct hd_attempt_ref){0xabc, 7, 1}, 1000);
    fake_docker_come_back(room->fake);
    assert_true(expect_end(room, HD_END_EXITED, 143, "").stopped);
}

/* A stop before the start ends it without ever running. */
static void test_stop_before_start(void **state)
{
    struct room *room = *state;
    struct hd_engine_job job = job_of(room, "run", NULL);
    job.image = "absent:1";
    fake_docker_fail(room->fake, FAKE_IMAGE, 500, "{\"message\":\"busy\"}", 1000000);
    start(room, &job);
    fake_docker_await(room->fake, FAKE_IMAGE, 3);
    hd_engine_stop(room->engine, (struct hd_attempt_ref){0xabc, 7, 1}, 1000);
    assert_true(expect_end(room, HD_END_NOT_STARTED, 0, "before it was started").stopped);
    assert_false(fake_docker_has(room->fake, room->name));
}

/* The same for a drop, which tells nothing. */
static void test_drop_before_start(void **state)
{
    struct room *room = *state;
    struct hd_engine_job job = job_of(room, "run", NULL);
    job.image = "absent:1";
    fake_docker_fail(room->fake, FAKE_IMAGE, 500, "{\"message\":\"busy\"}", 1000000);
    start(room, &job);
    fake_docker_await(room->fake, FAKE_IMAGE, 3);
    hd_engine_drop(room->engine, (struct hd_attempt_ref){0xabc, 7, 1});
    fake_docker_await(room->fake, FAKE_REMOVE, 1);
    restart_worker(room);
    assert_no_news(room);
    assert_false(fake_docker_has(room->fake, room->name));
}

/* A drop kills and removes, and tells nothing. */
static void test_drop(void **state)
{
    struct room *room = *state;
    run_until_started(room, "deaf");
    hd_engine_drop(room->engine, (struct hd_attempt_ref){0xabc, 7, 1});
    fake_docker_await_gone(room->fake, room->name);
    restart_worker(room);
    assert_no_news(room);
}

/* Two attempts never write one directory: the one that was dropped is gone before the next one
 * runs, however long its removal takes. */
static void test_drop_before_next_attempt(void **state)
{
    struct room *room = *state;
    char second[HD_ENGINE_NAME_MAX];
    run_until_started(room, "deaf");
    fake_docker_fail(room->fake, FAKE_REMOVE, 500, "{\"message\":\"busy\"}", 2);
    hd_engine_drop(room->engine, (struct hd_attempt_ref){0xabc, 7, 1});
    struct hd_engine_job job = job_of(room, "run", NULL);
    job.attempt.attempt = 2;
    start(room, &job);
    hd_docker_container_name(job.attempt, second, sizeof(second));
    fake_docker_await_running(room->fake, second);
    assert_false(fake_docker_has(room->fake, room->name));
    /* three for what was dropped, and a look for what others may have left of that attempt */
    assert_int_equal(fake_docker_count(room->fake, FAKE_REMOVE), 4);
}

/* What a worker that died has left of a job on the same engine ends when the next attempt begins,
 * whoever begins it. */
static void test_earlier_attempts_of_others(void **state)
{
    struct room *room = *state;
    char third[HD_ENGINE_NAME_MAX];
    run_until_started(room, "deaf");
    restart_worker(room); /* nobody watches it any more */
    struct hd_engine_job job = job_of(room, "run", NULL);
    job.attempt.attempt = 3;
    job.worker = "host-1";
    start(room, &job);
    hd_docker_container_name(job.attempt, third, sizeof(third));
    fake_docker_await_running(room->fake, third);
    assert_false(fake_docker_has(room->fake, room->name));
    hd_engine_drop(room->engine, job.attempt);
    fake_docker_await_gone(room->fake, third);
}

/* ---- refusals ------------------------------------------------------------------------------- */

static void expect_pulls(struct room *room, int pulls)
{
    assert_int_equal(fake_docker_count(room->fake, FAKE_PULL), pulls);
}

static void forget(struct room *room)
{
    hd_engine_remove(room->engine, (struct hd_attempt_ref){0xabc, 7, 1});
    restart_worker(room);
    fake_docker_await_gone(room->fake, room->name);
}

/* An image that is absent is pulled once, by its tag, and with what the engine says it is. */
static void test_image_pulled(void **state)
{
    struct room *room = *state;
    struct hd_engine_job job = job_of(room, "exit", "0");
    fake_docker_allow_pulls(room->fake);
    job.image = "some/thing";
    start(room, &job);
    struct hd_engine_end end = expect_end(room, HD_END_EXITED, 0, "");
    expect_pulls(room, 1);
    assert_int_equal(strncmp(end.image_id, "sha256:", 7), 0);
    assert_true(room->said_pulling);
    assert_string_equal(room->doing, "");
}

struct pull_row {
    const char *answer;
    bool config_error;
    int pulls; /* of pull_tries 3 */
    const char *message;
};

/* What a registry says decides: a name or login that is wrong is told at once, to the experiment;
 * one that does not answer is asked again with back-off, and then the job may go elsewhere. */
static void test_pull_refusals(void **state)
{
    struct room *room = *state;
    static const struct pull_row rows[] = {
        {"manifest unknown", true, 1, "check its name"},
        {"pull access denied for x, repository does not exist", true, 1, "check its name"},
        {"no basic auth credentials", true, 1, "docker login"},
        {"unauthorized: incorrect username or password", true, 1, "docker login"},
        {"invalid reference format", true, 1, "check its name"},
        {"toomanyrequests: slow down", false, 3, "does not answer now): toomanyrequests"},
        {"received unexpected HTTP status: 503 Service Unavailable", false, 3, "503"},
        {"Get https://r/v2/: dial tcp: lookup r: no such host", true, 1, "knows its registry"},
        {"lookup r on 127.0.0.53:53: server misbehaving", true, 1, "load it into the engine"},
        {"dial tcp 127.0.0.1:5: connect: connection refused", false, 3, "connection refused"},
        {"write /layer.tar: no space left on device", false, 1, "make room"},
    };
    for (size_t i = 0; i < HD_COUNT(rows); i++) {
        char body[300];
        int before = fake_docker_count(room->fake, FAKE_PULL);
        struct hd_engine_job job = job_of(room, "exit", "0");
        job.image = "some/thing";
        snprintf(body, sizeof(body), "{\"message\":\"%s\"}", rows[i].answer);
        fake_docker_fail(room->fake, FAKE_PULL, 500, body, rows[i].pulls);
        start(room, &job);
        struct hd_engine_end end = expect_end(room, HD_END_NOT_STARTED, 0, rows[i].message);
        assert_int_equal(end.config_error, rows[i].config_error);
        expect_pulls(room, before + rows[i].pulls);
        forget(room);
    }
}

/* The same, when the refusal comes in the stream of an answer that began well. */
static void test_pull_refused_in_stream(void **state)
{
    struct room *room = *state;
    struct hd_engine_job job = job_of(room, "exit", "0");
    fake_docker_fail(room->fake, FAKE_PULL, 200,
                     "{\"status\":\"Pulling\"}\n{\"errorDetail\":{\"message\":\"unauthorized\"},"
                     "\"error\":\"unauthorized\"}\n",
                     1);
    job.image = "some/thing";
    start(room, &job);
    assert_true(expect_end(room, HD_END_NOT_STARTED, 0, "unauthorized").config_error);
    expect_pulls(room, 1);
}

/* A registry that comes back in time costs no attempt. */
static void test_pull_succeeds_later(void **state)
{
    struct room *room = *state;
    struct hd_engine_job job = job_of(room, "exit", "0");
    fake_docker_allow_pulls(room->fake);
    fake_docker_fail(room->fake, FAKE_PULL, 500, "{\"message\":\"i/o timeout\"}", 2);
    job.image = "some/thing";
    start(room, &job);
    expect_end(room, HD_END_EXITED, 0, "");
    expect_pulls(room, 3);
}

/* A pull that brings nothing any more is given up, and asked for again. */
static void test_pull_stands_still(void **state)
{
    struct room *room = *state;
    struct hd_engine_job job = job_of(room, "exit", "0");
    room->tuning.pull_tries = 1;
    restart_worker(room);
    fake_docker_hang_pulls(room->fake);
    job.image = "some/thing";
    start(room, &job);
    assert_false(expect_end(room, HD_END_NOT_STARTED, 0, "nothing came for").config_error);
}

/* Never: nobody is asked. Always: the registry is asked once for a run, also when the image is
 * here. */
static void test_pull_policy(void **state)
{
    struct room *room = *state;
    struct hd_engine_job job = job_of(room, "exit", "0");
    job.image = "some/thing";
    job.pull = HD_PULL_NEVER;
    start(room, &job);
    assert_true(expect_end(room, HD_END_NOT_STARTED, 0, "target.pull is never").config_error);
    expect_pulls(room, 0);
    forget(room);
    fake_docker_allow_pulls(room->fake);
    for (uint32_t attempt = 1; attempt <= 2; attempt++) {
        job = job_of(room, "exit", "0");
        job.attempt.attempt = attempt;
        job.pull = HD_PULL_ALWAYS;
        start(room, &job);
        expect_end(room, HD_END_EXITED, 0, "");
        expect_pulls(room, 1);
    }
    job.attempt.run_uid++;
    start(room, &job);
    expect_end(room, HD_END_EXITED, 0, "");
    expect_pulls(room, 2);
}

/* Jobs of one image that start together pull it once. */
static void test_one_pull_an_image(void **state)
{
    struct room *room = *state;
    struct hd_engine_job job = job_of(room, "exit", "0");
    fake_docker_allow_pulls(room->fake);
    job.image = "some/thing";
    for (uint32_t i = 0; i < 5; i++) {
        job.attempt.job = 100 + i;
        start(room, &job);
    }
    for (int ended = 0; ended < 5;) {
        struct hd_engine_news *news = hd_queue_pop(room->queue, NEWS_WAIT_MS);
        assert_non_null(news);
        if (news->ended)
            assert_int_equal(news->end.kind, HD_END_EXITED);
        ended += news->ended;
        hd_free(news);
    }
    expect_pulls(room, 1);
}

/* With the login of the client's file; one that cannot be had is named when the pull is refused. */
static void test_pull_with_login(void **state)
{
    struct room *room = *state;
    char config[700], path[700], auth[1024];
    struct hd_engine_job job = job_of(room, "exit", "0");
    snprintf(config, sizeof(config), "%s/config.json", room->dir);
    assert_int_equal(setenv("DOCKER_CONFIG", room->dir, 1), 0);
    test_file_write(config, "{\"auths\":{\"r.test:5000\":{\"auth\":\"Ym9iOnNlY3JldA==\"}}}");
    fake_docker_allow_pulls(room->fake);
    job.image = "r.test:5000/x:1";
    start(room, &job);
    expect_end(room, HD_END_EXITED, 0, "");
    fake_docker_last_auth(room->fake, auth, sizeof(auth));
    assert_string_equal(auth, "{\"username\":\"bob\",\"password\":\"secret\","
                              "\"serveraddress\":\"r.test:5000\"}");
    forget(room);
    /* A helper, which is found on PATH and run without a shell. */
    snprintf(path, sizeof(path), "%s/docker-credential-mine", room->dir);
    test_file_write(path, "#!/bin/sh\nread server\ntest \"$1 $server\" = 'get h.test' || exit 1\n"
                          "echo '{\"Username\":\"<token>\",\"Secret\":\"tok\"}'\n");
    assert_int_equal(chmod(path, 0700), 0);
    char *before = strdup(getenv("PATH"));
    snprintf(path, sizeof(path), "%s:%s", room->dir, before);
    assert_int_equal(setenv("PATH", path, 1), 0);
    test_file_write(config, "{\"credHelpers\":{\"h.test\":\"mine\"},\"credsStore\":\"nosuch\"}");
    job = job_of(room, "exit", "0");
    job.image = "h.test/x:1";
    start(room, &job);
    expect_end(room, HD_END_EXITED, 0, "");
    fake_docker_last_auth(room->fake, auth, sizeof(auth));
    assert_string_equal(auth, "{\"identitytoken\":\"tok\",\"serveraddress\":\"h.test\"}");
    forget(room);
    fake_docker_fail(room->fake, FAKE_PULL, 500, "{\"message\":\"unauthorized\"}", 1);
    job.image = "other.test/x:1";
    start(room, &job);
    expect_end(room, HD_END_NOT_STARTED, 0, "unauthorized; asked without a login, since ");
    fake_docker_last_auth(room->fake, auth, sizeof(auth));
    assert_string_equal(auth, "");
    assert_int_equal(setenv("PATH", before, 1), 0);
    free(before);
    assert_int_equal(unsetenv("DOCKER_CONFIG"), 0);
}

/* target.strict: another image than the run began with is refused before it runs. */
static void test_strict_image(void **state)
{
    struct room *room = *state;
    struct hd_engine_job job = job_of(room, "exit", "0");
    start(room, &job);
    struct hd_engine_end first = expect_end(room, HD_END_EXITED, 0, "");
    forget(room);
    job.strict = true;
    job.image_id = first.image_id;
    start(room, &job);
    expect_end(room, HD_END_EXITED, 0, "");
    forget(room);
    job.image_id = "sha256:beef";
    start(room, &job);
    assert_true(expect_end(room, HD_END_NOT_STARTED, 0, "was sha256:beef").config_error);
    forget(room);
    job.strict = false;
    start(room, &job);
    expect_end(room, HD_END_EXITED, 0, "");
}

/* A master that hands over what it is asked for, and says this of it. */
struct master {
    char id[80];
    int asked;
    enum hd_code code;
};

static enum hd_code hand_over(void *context, const char *address, const char *run_id,
                              const char *image, const char *path, char *ret_id,
                              bool (*interrupted)(void *watch),
                              void (*tell)(void *watch, int percent), void *watch,
                              struct hd_err *err)
{
    struct master *master = context;
    master->asked++;
    if (master->code != HD_OK)
        return hd_fail(err, master->code, "the master says no");
    assert_string_equal(address, "tcp://master:1");
    assert_string_equal(run_id, "r");
    assert_false(interrupted(watch));
    test_file_write(path, image);
    tell(watch, 50);
    (void)hd_copy_text(ret_id, HD_IMAGE_ID_MAX, master->id);
    return HD_OK;
}

/* An image that was built comes from the master, once, and is what the master says it is; no
 * registry is asked. */
static void test_image_handed_over(void **state)
{
    struct room *room = *state;
    struct master master = {.code = HD_OK};
    const struct hd_image_source source = {.fetch = hand_over, .context = &master};
    struct hd_engine_job job = job_of(room, "exit", "0");
    room->images = &source;
    restart_worker(room);
    job.image = "hyperdock-build:abc";
    job.handed_by = "tcp://master:1";
    job.pull = HD_PULL_ALWAYS; /* is of registries */
    fake_docker_image_id(job.image, master.id);
    start(room, &job);
    expect_end(room, HD_END_EXITED, 0, "");
    forget(room);
    start(room, &job);
    expect_end(room, HD_END_EXITED, 0, "");
    forget(room);
    assert_int_equal(master.asked, 1);
    assert_int_equal(fake_docker_count(room->fake, FAKE_LOAD), 1);
    job.image = "hyperdock-build:other";
    start(room, &job);
    assert_false(expect_end(room, HD_END_NOT_STARTED, 0, "on the master's machine").config_error);
    forget(room);
    master.code = HD_E_NOTFOUND;
    job.image = "hyperdock-build:third";
    start(room, &job);
    assert_true(expect_end(room, HD_END_NOT_STARTED, 0, "the master says no").config_error);
    expect_pulls(room, 0);
}

static void keep_line(void *context, const char *line)
{
    (void)hd_copy_text(context, 160, line);
}

/* Built once, of what the directory holds; a build that fails says what it said last. And saved as
 * it is, for those who ask. */
static void test_image_built(void **state)
{
    struct room *room = *state;
    struct hd_err err = {0};
    char path[700], line[160] = "", name[HD_IMAGE_NAME_MAX], id[80], said[80];
    assert_int_equal(setenv("DOCKER_HOST", fake_docker_host(room->fake), 1), 0);
    snprintf(path, sizeof(path), "%s/Dockerfile", room->work_dir);
    test_file_write(path, "FROM scratch\n");
    assert_hd_ok(hd_image_context_name(room->work_dir, "Dockerfile", name, &err));
    static char dockerfile[] = "Dockerfile", base[] = "";
    const struct hd_target target = {
        .image = name, .build = room->work_dir, .dockerfile = dockerfile, .base_dir = base};
    fake_docker_fail(room->fake, FAKE_BUILD, 200,
                     "{\"stream\":\"Step 1/2 : RUN false\\n\"}\n{\"errorDetail\":{\"message\":"
                     "\"it returned 1\"},\"error\":\"x\"}\n",
                     1);
    assert_hd_fails(hd_image_ensure(&target, NULL, NULL, &err), HD_E_INVALID,
                    "it returned 1; after: Step 1/2 : RUN false");
    for (int i = 0; i < 2; i++)
        assert_hd_ok(hd_image_ensure(&target, keep_line, line, &err));
    assert_string_equal(line, "Successfully built");
    assert_int_equal(fake_docker_count(room->fake, FAKE_BUILD), 2);
    snprintf(path, sizeof(path), "%s/image.tar", room->dir);
    assert_hd_ok(hd_image_save(name, path, said, NULL, NULL, &err));
    fake_docker_image_id(name, id);
    assert_string_equal(said, id);
    char *saved = test_file_read(path, NULL);
    assert_string_equal(saved, name);
    free(saved);
    assert_hd_fails(hd_image_save("absent:1", path, said, NULL, NULL, &err), HD_E_NOTFOUND,
                    "absent");
    assert_int_equal(unsetenv("DOCKER_HOST"), 0);
}

struct refusal_row {
    enum fake_route route;
    int status;
    const char *body;
    bool config_error;
    const char *message;
};

/* Each refusal becomes one clear message, blamed on the experiment or on the machine. */
static void test_refusals(void **state)
{
    struct room *room = *state;
    static const struct refusal_row rows[] = {
        {FAKE_CREATE, 400, "{\"message\":\"Minimum memory limit allowed is 6MB\"}", true,
         "cannot be created: Minimum memory"},
        {FAKE_CREATE, 500, "{\"message\":\"no space left on device\"}", false, "no space left"},
        {FAKE_START, 400, "{\"message\":\"exec: \\\"/nope\\\": no such file\"}", true,
         "cannot be started: exec"},
        {FAKE_START, 500, "{\"message\":\"unable to find user bob\"}", true, "find user bob"},
        {FAKE_START, 404, "{\"message\":\"network nonet not found\"}", true, "network nonet"},
        {FAKE_START, 500, "{\"message\":\"could not select device driver\"}", false, "driver"},
        {FAKE_START, 500, "plain text", false, "plain text"},
    };
    for (size_t i = 0; i < HD_COUNT(rows); i++) {
        fake_docker_fail(room->fake, rows[i].route, rows[i].status, rows[i].body, 1);
        start_program(room, "exit", "0");
        struct hd_engine_end end = expect_end(room, HD_END_NOT_STARTED, 0, rows[i].message);
        assert_int_equal(end.config_error, rows[i].config_error);
        hd_engine_remove(room->engine, (struct hd_attempt_ref){0xabc, 7, 1});
        restart_worker(room);
        fake_docker_await_gone(room->fake, room->name);
    }
}

/* It is in all its networks before it starts: the first by how it is made, the others by a call
 * each, which may be repeated. One that is not there is the experiment's fault. */
static void test_networks(void **state)
{
    struct room *room = *state;
    static char back[] = "back", front[] = "front", third[] = "third";
    static char *networks[] = {back, front, third, NULL};
    static const struct hd_container container = {.networks = networks};
    struct hd_engine_job job = job_of(room, "exit", "0");
    struct hd_err err;
    job.container = &container;
    fake_docker_fail(room->fake, FAKE_CONNECT, 403,
                     "{\"message\":\"endpoint with name x already exists in network front\"}", 1);
    assert_hd_ok(hd_engine_start(room->engine, &job, &err));
    expect_end(room, HD_END_EXITED, 0, "");
    assert_int_equal(fake_docker_count(room->fake, FAKE_CONNECT), 2);
    hd_engine_remove(room->engine, job.attempt);
    fake_docker_await_gone(room->fake, room->name);
    restart_worker(room);
    fake_docker_fail(room->fake, FAKE_CONNECT, 404, "{\"message\":\"network front not found\"}", 1);
    assert_hd_ok(hd_engine_start(room->engine, &job, &err));
    struct hd_engine_end end =
        expect_end(room, HD_END_NOT_STARTED, 0, "network front not found; target.networks or");
    assert_true(end.config_error);
    assert_int_equal(fake_docker_count(room->fake, FAKE_START), 1);
}

static void test_no_image_named(void **state)
{
    struct room *room = *state;
    struct hd_engine_job job = job_of(room, "run", NULL);
    struct hd_err err = {0};
    job.image = NULL;
    assert_hd_fails(hd_engine_start(room->engine, &job, &err), HD_E_INVALID, "target.image");
}

/* ---- repeated and lost requests ------------------------------------------------------------- */

/* Starting the same attempt twice starts it once. */
static void test_start_twice(void **state)
{
    struct room *room = *state;
    run_until_started(room, "run");
    start_program(room, "run", NULL);
    fake_docker_exit(room->fake, room->name, 5, false);
    expect_end(room, HD_END_EXITED, 5, "");
    assert_int_equal(fake_docker_count(room->fake, FAKE_START), 1);
    restart_worker(room);
    assert_no_news(room);
}

/* The reply to create or start was lost: it is found out what happened, and nothing runs twice. */
static void test_lost_replies(void **state)
{
    struct room *room = *state;
    fake_docker_fail(room->fake, FAKE_CREATE, -1, "", 1);
    fake_docker_fail(room->fake, FAKE_START, -1, "", 1);
    start_program(room, "run", NULL);
    fake_docker_await_running(room->fake, room->name);
    fake_docker_exit(room->fake, room->name, 6, false);
    expect_end(room, HD_END_EXITED, 6, "");
    assert_int_equal(fake_docker_count(room->fake, FAKE_START), 1);
}

/* Requests that were cut before they were carried out are made again. */
static void test_cut_requests(void **state)
{
    struct room *room = *state;
    static const enum fake_route routes[] = {FAKE_IMAGE, FAKE_CREATE,  FAKE_WAIT,
                                             FAKE_START, FAKE_INSPECT, FAKE_LOGS};
    for (size_t i = 0; i < HD_COUNT(routes); i++)
        fake_docker_fail(room->fake, routes[i], 0, "", 1);
    fake_docker_allow_pulls(room->fake);
    struct hd_engine_job job = job_of(room, "exit", "4");
    job.image = "absent:1";
    start(room, &job);
    expect_end(room, HD_END_EXITED, 4, "");
}

/* A stranger that has the name is removed, once we know that it is one. */
static void test_name_taken(void **state)
{
    struct room *room = *state;
    fake_docker_add_stranger(room->fake, room->name);
    start_program(room, "exit", "2");
    expect_end(room, HD_END_EXITED, 2, "");
    assert_int_equal(fake_docker_count(room->fake, FAKE_REMOVE), 1);
}

/* ---- the engine away ------------------------------------------------------------------------ */

/* With live-restore the container survives, and an exit while the engine is down counts. */
static void test_engine_restarts_container_survives(void **state)
{
    struct room *room = *state;
    run_until_started(room, "run");
    fake_docker_crash(room->fake);
    fake_docker_exit(room->fake, room->name, 9, false);
    fake_docker_come_back(room->fake);
    expect_end(room, HD_END_EXITED, 9, "");
}

static void test_engine_restarts_container_runs_on(void **state)
{
    struct room *room = *state;
    run_until_started(room, "run");
    fake_docker_say(room->fake, room->name, "before");
    fake_docker_crash(room->fake);
    int waits = fake_docker_count(room->fake, FAKE_WAIT);
    fake_docker_come_back(room->fake);
    fake_docker_await(room->fake, FAKE_WAIT, waits + 1);
    fake_docker_say(room->fake, room->name, "after");
    fake_docker_exit(room->fake, room->name, 0, false);
    expect_end(room, HD_END_EXITED, 0, "");
    char *text = test_file_read(room->log_path, NULL);
    assert_string_equal(text, "before\nafter\n");
    free(text);
}

/* Without it the container is killed when the engine comes back: the machine's fault. */
static void test_engine_restart_kills(void **state)
{
    struct room *room = *state;
    run_until_started(room, "run");
    fake_docker_crash(room->fake);
    fake_docker_exit(room->fake, room->name, 137, false);
    fake_docker_come_back(room->fake);
    expect_end(room, HD_END_ENGINE_LOST, 0, "away or restarting");
}

/* An engine says 255 of a container whose end it did not see: that is no word of the target's, and
 * without a restart it is one. */
static void test_engine_restart_misses_the_end(void **state)
{
    struct room *room = *state;
    run_until_started(room, "run");
    fake_docker_crash(room->fake);
    fake_docker_exit(room->fake, room->name, 255, false);
    fake_docker_come_back(room->fake);
    expect_end(room, HD_END_ENGINE_LOST, 0, "did not see its end");
}

static void test_a_target_may_say_255(void **state)
{
    struct room *room = *state;
    run_until_started(room, "run");
    fake_docker_exit(room->fake, room->name, 255, false);
    expect_end(room, HD_END_EXITED, 255, "");
}

static void test_container_vanishes(void **state)
{
    struct room *room = *state;
    run_until_started(room, "run");
    fake_docker_remove(room->fake, room->name);
    expect_end(room, HD_END_ENGINE_LOST, 0, "removed by somebody");
}

/* An engine that never comes back ends the attempt, at last. */
static void test_engine_stays_away(void **state)
{
    struct room *room = *state;
    room->tuning.away_ms_max = 100;
    restart_worker(room);
    run_until_started(room, "run");
    fake_docker_crash(room->fake);
    expect_end(room, HD_END_ENGINE_LOST, 0, "did not come back");
    fake_docker_come_back(room->fake);
}

/* A wait that hangs although the container has ended is noticed by looking. */
static void test_wait_hangs(void **state)
{
    struct room *room = *state;
    room->tuning.look_ms = 20;
    restart_worker(room);
    fake_docker_hang_waits(room->fake);
    run_until_started(room, "run");
    fake_docker_exit(room->fake, room->name, 8, false);
    expect_end(room, HD_END_EXITED, 8, "");
}

/* ---- a worker that restarts ----------------------------------------------------------------- */

static void test_adopt_running(void **state)
{
    struct room *room = *state;
    static struct hd_engine_found found[4];
    run_until_started(room, "run");
    fake_docker_say(room->fake, room->name, "one");
    restart_worker(room);
    assert_int_equal(list(room, found, 4), 1);
    assert_true(found[0].running);
    assert_int_equal(found[0].attempt.job, 7);
    assert_string_equal(found[0].run_dir, room->run_dir);
    adopt(room, "run");
    fake_docker_say(room->fake, room->name, "two");
    fake_docker_exit(room->fake, room->name, 3, false);
    expect_end(room, HD_END_EXITED, 3, "");
    char *text = test_file_read(room->log_path, NULL);
    assert_string_equal(text, "one\ntwo\n");
    free(text);
}

/* What ended while no worker was there is found too, with its code and log. */
static void test_harvest_ended(void **state)
{
    struct room *room = *state;
    static struct hd_engine_found found[4];
    run_until_started(room, "run");
    hd_engine_close(room->engine);
    fake_docker_say(room->fake, room->name, "last words");
    fake_docker_exit(room->fake, room->name, 0, false);
    open_engine(room);
    assert_int_equal(list(room, found, 4), 1);
    assert_false(found[0].running);
    adopt(room, "run");
    expect_end(room, HD_END_EXITED, 0, "");
    char *text = test_file_read(room->log_path, NULL);
    assert_string_equal(text, "last words\n");
    free(text);
    hd_engine_remove(room->engine, found[0].attempt);
    fake_docker_await_gone(room->fake, room->name);
    assert_int_equal(list(room, found, 4), 0);
}

/* A kill that no worker saw was most likely the machine's. */
static void test_harvest_killed(void **state)
{
    struct room *room = *state;
    run_until_started(room, "run");
    hd_engine_close(room->engine);
    fake_docker_exit(room->fake, room->name, 143, false);
    open_engine(room);
    adopt(room, "run");
    expect_end(room, HD_END_ENGINE_LOST, 0, "no worker watched");
}

/* Starting again what an earlier worker started adopts it. */
static void test_start_adopts(void **state)
{
    struct room *room = *state;
    run_until_started(room, "run");
    restart_worker(room);
    start_program(room, "run", NULL);
    fake_docker_await(room->fake, FAKE_INSPECT, 1);
    fake_docker_exit(room->fake, room->name, 11, false);
    expect_end(room, HD_END_EXITED, 11, "");
    assert_int_equal(fake_docker_count(room->fake, FAKE_START), 1);
}

/* What an earlier worker left and nobody wants is dropped without having been adopted. */
static void test_drop_unwatched(void **state)
{
    struct room *room = *state;
    run_until_started(room, "deaf");
    restart_worker(room);
    hd_engine_drop(room->engine, (struct hd_attempt_ref){0xabc, 7, 1});
    fake_docker_await_gone(room->fake, room->name);
    assert_no_news(room);
}

/* Closing leaves what runs running, and waits for nothing. */
static void test_close_leaves_running(void **state)
{
    struct room *room = *state;
    run_until_started(room, "run");
    restart_worker(room);
    assert_true(fake_docker_is_running(room->fake, room->name));
    assert_no_news(room);
}

/* ---- opening -------------------------------------------------------------------------------- */

static void assert_open_fails(struct room *room, const char *host, enum hd_code code,
                              const char *text)
{
    struct hd_err err = {0};
    struct hd_engine *engine = NULL;
    const struct hd_engine_options options = {
        .worker = "host-0", .docker_host = host, .queue = room->queue};
    assert_hd_fails(hd_docker_open(&options, &room->tuning, &engine, &err), code, text);
    assert_null(engine);
}

/* What cannot be an engine is refused with what to do. */
static void test_open_errors(void **state)
{
    struct room *room = *state;
    char host[700];
    snprintf(host, sizeof(host), "unix://%s/none.sock", room->dir);
    assert_open_fails(room, host, HD_E_NET, "none.sock does not exist");
    assert_open_fails(room, "ssh://me@there", HD_E_UNSUPPORTED, "ssh -L");
    assert_open_fails(room, "unix://relative", HD_E_INVALID, "absolute path");
    assert_open_fails(room, "tcp://", HD_E_INVALID, "host and port");
    assert_open_fails(room, "tcp://127.0.0.1:1", HD_E_NET, "no Docker engine answers");
    fake_docker_set_version(room->fake, "1.39", 12);
    assert_open_fails(room, fake_docker_host(room->fake), HD_E_VERSION, "at least 1.40");
}

/* The newest version that both speak is used, also with an engine that gave up older ones. */
static void test_versions(void **state)
{
    struct room *room = *state;
    static const struct {
        const char *newest;
        int minor_min, used;
    } rows[] = {{"1.41", 12, 41}, {"1.40", 12, 40}, {"1.52", 44, 47}, {"1.60", 50, 50}};
    for (size_t i = 0; i < HD_COUNT(rows); i++) {
        fake_docker_set_version(room->fake, rows[i].newest, rows[i].minor_min);
        restart_worker(room);
        const struct hd_docker *docker = (const struct hd_docker *)room->engine;
        assert_int_equal(atomic_load(&docker->endpoint.minor), rows[i].used);
    }
}

static void test_command_line(void **state)
{
    struct room *room = *state;
    struct hd_engine_job job = job_of(room, "train", "a b");
    struct hd_buf out;
    struct hd_err err = {0};
    hd_buf_init(&out, 65536);
    assert_hd_ok(hd_engine_command_line(room->engine, &job, &out, &err));
    assert_non_null(strstr(hd_buf_text(&out), "docker run --rm --init"));
    assert_non_null(strstr(hd_buf_text(&out), "hyperdock/t:1 train 'a b'"));
    hd_buf_release(&out);
    assert_string_equal(hd_engine_name(room->engine), "docker");
}

/* Whether an engine works now is known soon, also of one that greets and then is stuck: the worker
 * renews no lease meanwhile. */
static void test_answers(void **state)
{
    struct room *room = *state;
    struct hd_err err = {0};
    assert_hd_ok(hd_engine_answers(room->engine, &err));
    fake_docker_hang_lists(room->fake);
    assert_int_equal(hd_engine_answers(room->engine, &err), HD_E_NET);
    assert_non_null(strstr(err.text, "does not answer"));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_exit_codes),
        TEST(test_log),
        TEST(test_oom),
        TEST(test_oom_without_flag),
        TEST(test_foreign_kill),
        TEST(test_engine_shuts_down),
        TEST(test_stop),
        TEST(test_stop_at_once),
        TEST(test_stop_that_does_not_stop),
        TEST(test_timeout),
        TEST(test_stop_while_away),
        TEST(test_stop_before_start),
        TEST(test_drop_before_start),
        TEST(test_drop),
        TEST(test_drop_before_next_attempt),
        TEST(test_earlier_attempts_of_others),
        TEST(test_image_pulled),
        TEST(test_pull_refusals),
        TEST(test_pull_refused_in_stream),
        TEST(test_pull_succeeds_later),
        TEST(test_pull_stands_still),
        TEST(test_pull_policy),
        TEST(test_one_pull_an_image),
        TEST(test_pull_with_login),
        TEST(test_strict_image),
        TEST(test_image_handed_over),
        TEST(test_image_built),
        TEST(test_refusals),
        TEST(test_no_image_named),
        TEST(test_networks),
        TEST(test_start_twice),
        TEST(test_lost_replies),
        TEST(test_cut_requests),
        TEST(test_name_taken),
        TEST(test_engine_restarts_container_survives),
        TEST(test_engine_restarts_container_runs_on),
        TEST(test_engine_restart_kills),
        TEST(test_engine_restart_misses_the_end),
        TEST(test_a_target_may_say_255),
        TEST(test_container_vanishes),
        TEST(test_engine_stays_away),
        TEST(test_wait_hangs),
        TEST(test_adopt_running),
        TEST(test_harvest_ended),
        TEST(test_harvest_killed),
        TEST(test_start_adopts),
        TEST(test_drop_unwatched),
        TEST(test_close_leaves_running),
        TEST(test_open_errors),
        TEST(test_versions),
        TEST(test_command_line),
        TEST(test_answers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
