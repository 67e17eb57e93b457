/* SPDX-License-Identifier: Apache-2.0 */
/* The Docker engine against a recorded one: every way a container can end or be ended gives one
 * piece of news that says the truth. */
#include "docker_room.h"
#include "testlib.h"

#include <stdlib.h>
#include <string.h>

/* ---- ordinary ends -------------------------------------------------------------------------- */

static void test_exit_codes(void **state)
{
    struct docker_room *room = *state;
    static const char *const codes[] = {"0", "3", "42", "139"};
    for (size_t i = 0; i < HD_COUNT(codes); i++) {
        room_start_program(room, "exit", codes[i]);
        struct hd_engine_end end =
            room_expect(room, HD_END_EXITED, (int)strtol(codes[i], NULL, 10), "");
        assert_false(end.oom_killed || end.stopped || end.timed_out);
        assert_true(end.started_wall_ms > 0 && end.finished_wall_ms >= end.started_wall_ms);
        room_forget(room);
    }
}

/* The target's output is in the log file, whole, without the engine's frames and stamps. */
static void test_log(void **state)
{
    struct docker_room *room = *state;
    room_run_until_started(room, "run");
    for (int i = 0; i < 20; i++)
        fake_docker_say(room->fake, room->name, i % 2 == 0 ? "even" : "odd line");
    fake_docker_exit(room->fake, room->name, 0, false);
    room_expect(room, HD_END_EXITED, 0, "");
    char *text = test_file_read(room->log_path, NULL);
    assert_int_equal(strncmp(text, "even\nodd line\neven\n", 19), 0);
    assert_int_equal(strlen(text), 10 * 5 + 10 * 9);
    free(text);
}

/* Engines before version 23 end a log that is followed before its last lines now and then. */
static void test_log_that_ends_early(void **state)
{
    struct docker_room *room = *state;
    room_run_until_started(room, "run");
    fake_docker_say(room->fake, room->name, "early");
    fake_docker_cut_followers(room->fake, room->name);
    fake_docker_say(room->fake, room->name, "loss: 0.25");
    fake_docker_exit(room->fake, room->name, 0, false);
    room_expect(room, HD_END_EXITED, 0, "");
    char *text = test_file_read(room->log_path, NULL);
    assert_string_equal(text, "early\nloss: 0.25\n");
    free(text);
}

static void test_oom(void **state)
{
    struct docker_room *room = *state;
    room_run_until_started(room, "run");
    fake_docker_exit(room->fake, room->name, 137, true);
    assert_true(room_expect(room, HD_END_EXITED, 137, "").oom_killed);
}

/* The flag is known to be missed; then the event tells. */
static void test_oom_without_flag(void **state)
{
    struct docker_room *room = *state;
    room->tuning.hold_ms = 30000; /* the event ends it */
    room_restart(room);
    fake_docker_forget_oom_flag(room->fake);
    room_run_until_started(room, "run");
    fake_docker_exit(room->fake, room->name, 137, true);
    assert_true(room_expect(room, HD_END_EXITED, 137, "").oom_killed);
}

/* A kill that nobody asked for is believed once the engine has stayed for a while. */
static void test_foreign_kill(void **state)
{
    struct docker_room *room = *state;
    room_run_until_started(room, "run");
    fake_docker_exit(room->fake, room->name, 143, false);
    room_expect(room, HD_END_EXITED, 143, "");
    assert_true(fake_docker_count(room->fake, FAKE_EVENTS) > 0);
}

/* An engine that shuts down kills its containers, answers waits normally, and goes away later:
 * not the target's fault. */
static void test_engine_shuts_down(void **state)
{
    struct docker_room *room = *state;
    room->tuning.hold_ms = 30000;
    room_restart(room);
    room_run_until_started(room, "run");
    fake_docker_exit(room->fake, room->name, 137, false);
    fake_docker_await(room->fake, FAKE_EVENTS, 1);
    fake_docker_crash(room->fake);
    room_expect(room, HD_END_ENGINE_LOST, 0, "away or restarting");
    fake_docker_come_back(room->fake);
}

/* ---- stopping ------------------------------------------------------------------------------- */

static void test_stop(void **state)
{
    struct docker_room *room = *state;
    char query[64];
    room_run_until_started(room, "run");
    hd_engine_stop(room->engine, docker_room_attempt, 2500);
    struct hd_engine_end end = room_expect(room, HD_END_EXITED, 143, "");
    assert_true(end.stopped && !end.timed_out);
    fake_docker_last_stop(room->fake, query, sizeof(query));
    assert_string_equal(query, "t=3");
}

/* Without a grace it is killed at once. */
static void test_stop_at_once(void **state)
{
    struct docker_room *room = *state;
    char query[64];
    room_run_until_started(room, "run");
    hd_engine_stop(room->engine, docker_room_attempt, 0);
    assert_true(room_expect(room, HD_END_EXITED, 137, "").stopped);
    fake_docker_last_stop(room->fake, query, sizeof(query));
    assert_string_equal(query, "signal=SIGKILL");
}

/* A stop that does nothing is followed by a kill of our own. */
static void test_stop_that_does_not_stop(void **state)
{
    struct docker_room *room = *state;
    fake_docker_ignore_stops(room->fake);
    room_run_until_started(room, "deaf");
    hd_engine_stop(room->engine, docker_room_attempt, 10);
    assert_true(room_expect(room, HD_END_EXITED, 137, "").stopped);
    assert_int_equal(fake_docker_count(room->fake, FAKE_STOP), 1);
    assert_true(fake_docker_count(room->fake, FAKE_KILL) >= 1);
}

static void test_timeout(void **state)
{
    struct docker_room *room = *state;
    struct hd_engine_job job = room_job(room, "run", NULL);
    job.timeout_ms = 50;
    room_start(room, &job);
    struct hd_engine_end end = room_expect(room, HD_END_EXITED, 143, "");
    assert_true(end.timed_out && !end.stopped);
}

/* Stopping or dropping what is not there does nothing; stopping while the engine is away works
 * when it is back. */
static void test_stop_while_away(void **state)
{
    struct docker_room *room = *state;
    hd_engine_stop(room->engine, (struct hd_attempt_ref){1, 2, 3}, 100);
    room_run_until_started(room, "run");
    fake_docker_crash(room->fake);
    hd_engine_stop(room->engine, docker_room_attempt, 1000);
    fake_docker_come_back(room->fake);
    assert_true(room_expect(room, HD_END_EXITED, 143, "").stopped);
}

/* A stop before the start ends it without ever running. */
static void test_stop_before_start(void **state)
{
    struct docker_room *room = *state;
    struct hd_engine_job job = room_job(room, "run", NULL);
    job.image = "absent:1";
    fake_docker_fail(room->fake, FAKE_IMAGE, 500, "{\"message\":\"busy\"}", 1000000);
    room_start(room, &job);
    fake_docker_await(room->fake, FAKE_IMAGE, 3);
    hd_engine_stop(room->engine, docker_room_attempt, 1000);
    assert_true(room_expect(room, HD_END_NOT_STARTED, 0, "before it was started").stopped);
    assert_false(fake_docker_has(room->fake, room->name));
}

/* The same for a drop, which tells nothing. */
static void test_drop_before_start(void **state)
{
    struct docker_room *room = *state;
    struct hd_engine_job job = room_job(room, "run", NULL);
    job.image = "absent:1";
    fake_docker_fail(room->fake, FAKE_IMAGE, 500, "{\"message\":\"busy\"}", 1000000);
    room_start(room, &job);
    fake_docker_await(room->fake, FAKE_IMAGE, 3);
    hd_engine_drop(room->engine, docker_room_attempt);
    fake_docker_await(room->fake, FAKE_REMOVE, 1);
    room_restart(room);
    room_assert_no_end(room);
    assert_false(fake_docker_has(room->fake, room->name));
}

/* A drop kills and removes, and tells nothing. */
static void test_drop(void **state)
{
    struct docker_room *room = *state;
    room_run_until_started(room, "deaf");
    hd_engine_drop(room->engine, docker_room_attempt);
    fake_docker_await_gone(room->fake, room->name);
    room_restart(room);
    room_assert_no_end(room);
}

/* Two attempts never write one directory: the one that was dropped is gone before the next one
 * runs, however long its removal takes. */
static void test_drop_before_next_attempt(void **state)
{
    struct docker_room *room = *state;
    char second[HD_ENGINE_NAME_MAX];
    room_run_until_started(room, "deaf");
    fake_docker_fail(room->fake, FAKE_REMOVE, 500, "{\"message\":\"busy\"}", 2);
    hd_engine_drop(room->engine, docker_room_attempt);
    struct hd_engine_job job = room_job(room, "run", NULL);
    job.attempt.attempt = 2;
    room_start(room, &job);
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
    struct docker_room *room = *state;
    char third[HD_ENGINE_NAME_MAX];
    room_run_until_started(room, "deaf");
    room_restart(room); /* nobody watches it any more */
    struct hd_engine_job job = room_job(room, "run", NULL);
    job.attempt.attempt = 3;
    job.worker = "host-1";
    room_start(room, &job);
    hd_docker_container_name(job.attempt, third, sizeof(third));
    fake_docker_await_running(room->fake, third);
    assert_false(fake_docker_has(room->fake, room->name));
    hd_engine_drop(room->engine, job.attempt);
    fake_docker_await_gone(room->fake, third);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, room_setup, room_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_exit_codes),
        TEST(test_log),
        TEST(test_log_that_ends_early),
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
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
