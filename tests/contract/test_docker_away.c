/* SPDX-License-Identifier: Apache-2.0 */
/* A Docker engine that is away, answers twice or not at all, against a recorded one; a worker that
 * starts again; and what is no engine. */
#include "docker_room.h"
#include "testlib.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static size_t list(struct docker_room *room, struct hd_engine_found *found, size_t found_max)
{
    struct hd_err err = {0};
    size_t count = 0;
    assert_hd_ok(hd_engine_list(room->engine, found, found_max, &count, &err));
    return count;
}

/* ---- repeated and lost requests ------------------------------------------------------------- */

/* Starting the same attempt twice starts it once. */
static void test_start_twice(void **state)
{
    struct docker_room *room = *state;
    room_run_until_started(room, "run");
    room_start_program(room, "run", NULL);
    fake_docker_exit(room->fake, room->name, 5, false);
    room_expect(room, HD_END_EXITED, 5, "");
    assert_int_equal(fake_docker_count(room->fake, FAKE_START), 1);
    room_restart(room);
    room_assert_no_end(room);
}

/* The reply to create or start was lost: it is found out what happened, and nothing runs twice. */
static void test_lost_replies(void **state)
{
    struct docker_room *room = *state;
    fake_docker_fail(room->fake, FAKE_CREATE, -1, "", 1);
    fake_docker_fail(room->fake, FAKE_START, -1, "", 1);
    room_start_program(room, "run", NULL);
    fake_docker_await_running(room->fake, room->name);
    fake_docker_exit(room->fake, room->name, 6, false);
    room_expect(room, HD_END_EXITED, 6, "");
    assert_int_equal(fake_docker_count(room->fake, FAKE_START), 1);
}

/* Requests that were cut before they were carried out are made again. */
static void test_cut_requests(void **state)
{
    struct docker_room *room = *state;
    static const enum fake_route routes[] = {FAKE_IMAGE, FAKE_CREATE,  FAKE_WAIT,
                                             FAKE_START, FAKE_INSPECT, FAKE_LOGS};
    for (size_t i = 0; i < HD_COUNT(routes); i++)
        fake_docker_fail(room->fake, routes[i], 0, "", 1);
    fake_docker_allow_pulls(room->fake);
    struct hd_engine_job job = room_job(room, "exit", "4");
    job.image = "absent:1";
    room_start(room, &job);
    room_expect(room, HD_END_EXITED, 4, "");
}

/* A stranger that has the name is removed, once we know that it is one. */
static void test_name_taken(void **state)
{
    struct docker_room *room = *state;
    fake_docker_add_stranger(room->fake, room->name);
    room_start_program(room, "exit", "2");
    room_expect(room, HD_END_EXITED, 2, "");
    assert_int_equal(fake_docker_count(room->fake, FAKE_REMOVE), 1);
}

/* ---- the engine away ------------------------------------------------------------------------ */

/* With live-restore the container survives, and an exit while the engine is down counts. */
static void test_engine_restarts_container_survives(void **state)
{
    struct docker_room *room = *state;
    room_run_until_started(room, "run");
    fake_docker_crash(room->fake);
    fake_docker_exit(room->fake, room->name, 9, false);
    fake_docker_come_back(room->fake);
    room_expect(room, HD_END_EXITED, 9, "");
}

static void test_engine_restarts_container_runs_on(void **state)
{
    struct docker_room *room = *state;
    room_run_until_started(room, "run");
    fake_docker_say(room->fake, room->name, "before");
    fake_docker_crash(room->fake);
    int waits = fake_docker_count(room->fake, FAKE_WAIT);
    fake_docker_come_back(room->fake);
    fake_docker_await(room->fake, FAKE_WAIT, waits + 1);
    fake_docker_say(room->fake, room->name, "after");
    fake_docker_exit(room->fake, room->name, 0, false);
    room_expect(room, HD_END_EXITED, 0, "");
    char *text = test_file_read(room->log_path, NULL);
    assert_string_equal(text, "before\nafter\n");
    free(text);
}

/* Without it the container is killed when the engine comes back: the machine's fault. */
static void test_engine_restart_kills(void **state)
{
    struct docker_room *room = *state;
    room_run_until_started(room, "run");
    fake_docker_crash(room->fake);
    fake_docker_exit(room->fake, room->name, 137, false);
    fake_docker_come_back(room->fake);
    room_expect(room, HD_END_ENGINE_LOST, 0, "away or restarting");
}

/* An engine says 255 of a container whose end it did not see: that is no word of the target's, and
 * without a restart it is one. */
static void test_engine_restart_misses_the_end(void **state)
{
    struct docker_room *room = *state;
    room_run_until_started(room, "run");
    fake_docker_crash(room->fake);
    fake_docker_exit(room->fake, room->name, 255, false);
    fake_docker_come_back(room->fake);
    room_expect(room, HD_END_ENGINE_LOST, 0, "did not see its end");
}

static void test_a_target_may_say_255(void **state)
{
    struct docker_room *room = *state;
    room_run_until_started(room, "run");
    fake_docker_exit(room->fake, room->name, 255, false);
    room_expect(room, HD_END_EXITED, 255, "");
}

static void test_container_vanishes(void **state)
{
    struct docker_room *room = *state;
    room_run_until_started(room, "run");
    fake_docker_remove(room->fake, room->name);
    room_expect(room, HD_END_ENGINE_LOST, 0, "removed by somebody");
}

/* An engine that never comes back ends the attempt, at last. */
static void test_engine_stays_away(void **state)
{
    struct docker_room *room = *state;
    room->tuning.away_ms_max = 100;
    room_restart(room);
    room_run_until_started(room, "run");
    fake_docker_crash(room->fake);
    room_expect(room, HD_END_ENGINE_LOST, 0, "did not come back");
    fake_docker_come_back(room->fake);
}

/* A wait that hangs although the container has ended is noticed by looking. */
static void test_wait_hangs(void **state)
{
    struct docker_room *room = *state;
    room->tuning.look_ms = 20;
    room_restart(room);
    fake_docker_hang_waits(room->fake);
    room_run_until_started(room, "run");
    fake_docker_exit(room->fake, room->name, 8, false);
    room_expect(room, HD_END_EXITED, 8, "");
}

/* ---- a worker that restarts ----------------------------------------------------------------- */

static void test_adopt_running(void **state)
{
    struct docker_room *room = *state;
    static struct hd_engine_found found[4];
    room_run_until_started(room, "run");
    fake_docker_say(room->fake, room->name, "one");
    room_restart(room);
    assert_int_equal(list(room, found, 4), 1);
    assert_true(found[0].running);
    assert_int_equal(found[0].attempt.job, 7);
    assert_string_equal(found[0].run_dir, room->run_dir);
    room_adopt(room, "run");
    fake_docker_say(room->fake, room->name, "two");
    fake_docker_exit(room->fake, room->name, 3, false);
    room_expect(room, HD_END_EXITED, 3, "");
    char *text = test_file_read(room->log_path, NULL);
    assert_string_equal(text, "one\ntwo\n");
    free(text);
}

/* What ended while no worker was there is found too, with its code and log. */
static void test_harvest_ended(void **state)
{
    struct docker_room *room = *state;
    static struct hd_engine_found found[4];
    room_run_until_started(room, "run");
    room_close_engine(room);
    fake_docker_say(room->fake, room->name, "last words");
    fake_docker_exit(room->fake, room->name, 0, false);
    room_open(room);
    assert_int_equal(list(room, found, 4), 1);
    assert_false(found[0].running);
    room_adopt(room, "run");
    room_expect(room, HD_END_EXITED, 0, "");
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
    struct docker_room *room = *state;
    room_run_until_started(room, "run");
    room_close_engine(room);
    fake_docker_exit(room->fake, room->name, 143, false);
    room_open(room);
    room_adopt(room, "run");
    room_expect(room, HD_END_ENGINE_LOST, 0, "no worker watched");
}

/* Starting again what an earlier worker started adopts it. */
static void test_start_adopts(void **state)
{
    struct docker_room *room = *state;
    room_run_until_started(room, "run");
    room_restart(room);
    room_start_program(room, "run", NULL);
    fake_docker_await(room->fake, FAKE_INSPECT, 1);
    fake_docker_exit(room->fake, room->name, 11, false);
    room_expect(room, HD_END_EXITED, 11, "");
    assert_int_equal(fake_docker_count(room->fake, FAKE_START), 1);
}

/* What an earlier worker left and nobody wants is dropped without having been adopted. */
static void test_drop_unwatched(void **state)
{
    struct docker_room *room = *state;
    room_run_until_started(room, "deaf");
    room_restart(room);
    hd_engine_drop(room->engine, docker_room_attempt);
    fake_docker_await_gone(room->fake, room->name);
    room_assert_no_end(room);
}

/* Closing leaves what runs running, and waits for nothing. */
static void test_close_leaves_running(void **state)
{
    struct docker_room *room = *state;
    room_run_until_started(room, "run");
    room_restart(room);
    assert_true(fake_docker_is_running(room->fake, room->name));
    room_assert_no_end(room);
}

/* ---- opening -------------------------------------------------------------------------------- */

static void assert_open_fails(struct docker_room *room, const char *host, enum hd_code code,
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
    struct docker_room *room = *state;
    char host[DOCKER_ROOM_PATH + 64];
    snprintf(host, sizeof(host), "unix://%s/none.sock", room->dir);
    assert_open_fails(room, host, HD_E_NET, "none.sock does not exist");
    assert_open_fails(room, "ssh://me@there", HD_E_UNSUPPORTED, "ssh -L");
    assert_open_fails(room, "unix://relative", HD_E_INVALID, "absolute path");
    assert_open_fails(room, "tcp://", HD_E_INVALID, "host and port");
    assert_open_fails(room, "tcp://127.0.0.1:1", HD_E_NET, "no Docker engine answers");
    fake_docker_set_version(room->fake, "1.39", 12);
    assert_open_fails(room, fake_docker_host(room->fake), HD_E_VERSION, "at least 1.40");
}

/* An engine that goes away in the midst of the first questions is told as one that was never there:
 * that none answers, and what to do. */
static void test_gone_while_asked(void **state)
{
    struct docker_room *room = *state;
    /* The last first: each is asked only when those before it are answered. */
    static const enum fake_route routes[] = {FAKE_INFO, FAKE_VERSION, FAKE_PING};
    static const char what_to_do[] = "; start it, or set DOCKER_HOST";
    struct hd_engine_found found[4];
    struct hd_err err = {0};
    size_t count = 0;
    fake_docker_fail(room->fake, FAKE_LIST, 0, "", 100);
    assert_hd_fails(hd_engine_list(room->engine, found, HD_COUNT(found), &count, &err), HD_E_NET,
                    "no Docker engine answers: ");
    assert_non_null(strstr(err.text, what_to_do));
    for (size_t i = 0; i < HD_COUNT(routes); i++) {
        fake_docker_fail(room->fake, routes[i], 0, "", 100);
        assert_open_fails(room, fake_docker_host(room->fake), HD_E_NET,
                          "no Docker engine answers: ");
        assert_open_fails(room, fake_docker_host(room->fake), HD_E_NET, what_to_do);
    }
}

/* The newest version that both speak is used, also with an engine that gave up older ones. */
static void test_versions(void **state)
{
    struct docker_room *room = *state;
    static const struct {
        const char *newest;
        int minor_min, used;
    } rows[] = {{"1.41", 12, 41}, {"1.40", 12, 40}, {"1.52", 44, 47}, {"1.60", 50, 50}};
    for (size_t i = 0; i < HD_COUNT(rows); i++) {
        fake_docker_set_version(room->fake, rows[i].newest, rows[i].minor_min);
        room_restart(room);
        const struct hd_docker *docker = (const struct hd_docker *)room->engine;
        assert_int_equal(atomic_load(&docker->endpoint.minor), rows[i].used);
    }
}

static void test_command_line(void **state)
{
    struct docker_room *room = *state;
    struct hd_engine_job job = room_job(room, "train", "a b");
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
    struct docker_room *room = *state;
    struct hd_err err = {0};
    assert_hd_ok(hd_engine_answers(room->engine, &err));
    fake_docker_hang_lists(room->fake);
    assert_int_equal(hd_engine_answers(room->engine, &err), HD_E_NET);
    assert_non_null(strstr(err.text, "does not answer"));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, room_setup, room_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
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
        TEST(test_gone_while_asked),
        TEST(test_versions),
        TEST(test_command_line),
        TEST(test_answers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
