/* SPDX-License-Identifier: Apache-2.0 */
/* A Docker engine that does not see the worker's directories, against the recorded one: files go
 * with the container before its start and are here before its end is told, whatever breaks in
 * between; what a target made of them is judged. */
#include "docker_room.h"
#include "testlib.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ARCHIVE_MAX (1u << 16)

static struct hd_err err;
static char archive[ARCHIVE_MAX]; /* what the engine hands out */
static size_t archive_size;

static void open_engine(struct docker_room *room, enum hd_engine_files files)
{
    room->files = files;
    room_open(room);
}

static int setup(void **state)
{
    struct docker_room *room = calloc(1, sizeof(*room));
    char control[DOCKER_ROOM_PATH + 16];
    assert_non_null(room);
    room_make(room);
    room->tuning = hd_docker_tuning_default;
    room->tuning.backoff_ms_min = room->tuning.backoff_ms_max = 5;
    room->tuning.files_ms = 5;
    assert_true(hd_format(room->log_path, DOCKER_ROOM_PATH, "%s/run/log.txt", room->dir));
    assert_true(hd_format(control, sizeof(control), "%s/control", room->run_dir));
    assert_hd_ok(hd_mkdirs(control, 0755, &err));
    archive_size = 0;
    *state = room;
    return 0;
}

/* ---- helpers -------------------------------------------------------------------------------- */

static void put_file(const char *directory, const char *name, const char *text)
{
    char path[DOCKER_ROOM_PATH + 64];
    snprintf(path, sizeof(path), "%s/%s", directory, name);
    test_file_write(path, text);
}

static void assert_file(const char *directory, const char *name, const char *wanted)
{
    char path[DOCKER_ROOM_PATH + 64];
    size_t size;
    snprintf(path, sizeof(path), "%s/%s", directory, name);
    char *text = test_file_read(path, &size);
    assert_string_equal(text, wanted);
    free(text);
}

static bool exists(const char *directory, const char *name)
{
    char path[DOCKER_ROOM_PATH + 64];
    snprintf(path, sizeof(path), "%s/%s", directory, name);
    return hd_path_exists(path);
}

static void add_entry(char type, const char *name, const char *text)
{
    char *head = archive + archive_size;
    unsigned sum = 0;
    size_t size = strlen(text), whole = (size + 511) / 512 * 512;
    assert_true(archive_size + 512 + whole <= ARCHIVE_MAX);
    memset(head, 0, 512 + whole);
    snprintf(head, 100, "%s", name);
    snprintf(head + 100, 8, "%07o", type == '5' ? 0777u : 0666u);
    snprintf(head + 124, 12, "%011o", (unsigned)size);
    snprintf(head + 136, 12, "%011o", 1u);
    memset(head + 148, ' ', 8);
    head[156] = type;
    for (int i = 0; i < 512; i++)
        sum += (unsigned char)head[i];
    snprintf(head + 148, 8, "%06o", sum);
    memcpy(head + 512, text, size);
    archive_size += 512 + whole;
}

static void hand_out(struct docker_room *room)
{
    assert_true(archive_size + 1024 <= ARCHIVE_MAX);
    memset(archive + archive_size, 0, 1024);
    fake_docker_set_files(room->fake, archive, archive_size + 1024);
}

/* What an ordinary target leaves. */
static void hand_out_results(struct docker_room *room)
{
    add_entry('5', "hyperdock/", "");
    add_entry('0', "hyperdock/loss.json", "{\"loss\": 1}");
    add_entry('0', "hyperdock/params.json", "changed");
    add_entry('0', "hyperdock/metrics.jsonl", "{\"loss\": 2}\n");
    add_entry('5', "hyperdock/work/", "");
    add_entry('0', "hyperdock/work/new", "state");
    hand_out(room);
}

static void start(struct docker_room *room, const char *program)
{
    room_start_program(room, program, "0");
}

static bool was_sent(struct docker_room *room, const char *words, char *ret_where)
{
    static char sent[ARCHIVE_MAX];
    size_t size = fake_docker_last_files(room->fake, ret_where, 64, sent, sizeof(sent));
    return memmem(sent, size < sizeof(sent) ? size : sizeof(sent), words, strlen(words)) != NULL;
}

/* ---- tests ---------------------------------------------------------------------------------- */

static void an_engine_is_asked_whether_it_sees_our_directories(void **state)
{
    struct docker_room *room = *state;
    open_engine(room, HD_FILES_AUTO);
    start(room, "exit");
    assert_int_equal(room_end(room, 7).kind, HD_END_EXITED);
    assert_int_equal(fake_docker_count(room->fake, FAKE_PUT_FILES), 0);
    assert_int_equal(fake_docker_count(room->fake, FAKE_GET_FILES), 0);
    room_close_engine(room);
    fake_docker_await_gone(room->fake, "hyperdock-probe");
    fake_docker_remove(room->fake, room->name);
    fake_docker_see_nothing(room->fake);
    hand_out_results(room);
    open_engine(room, HD_FILES_AUTO);
    start(room, "exit");
    assert_int_equal(room_end(room, 7).kind, HD_END_EXITED);
    assert_int_equal(fake_docker_count(room->fake, FAKE_PUT_FILES), 1);
    assert_int_equal(fake_docker_count(room->fake, FAKE_GET_FILES), 1);
}

static void files_are_sent_before_and_fetched_after(void **state)
{
    struct docker_room *room = *state;
    char where[64];
    put_file(room->run_dir, "params.json", "{\"a\": 1}");
    put_file(room->work_dir, "old", "state before");
    hand_out_results(room);
    open_engine(room, HD_FILES_COPY);
    start(room, "exit");
    assert_int_equal(room_end(room, 7).exit_code, 0);
    assert_true(was_sent(room, "{\"a\": 1}", where));
    assert_string_equal(where, "/");
    assert_true(was_sent(room, "hyperdock/work/old", where));
    assert_false(was_sent(room, "log.txt", where));
    assert_file(room->run_dir, "loss.json", "{\"loss\": 1}");
    assert_file(room->run_dir, "params.json", "{\"a\": 1}"); /* ours, whatever it did to it */
    assert_file(room->run_dir, "metrics.jsonl", "{\"loss\": 2}\n");
    assert_file(room->work_dir, "new", "state");
    assert_false(exists(room->work_dir, "old"));
    assert_false(exists(room->run_dir, ".fetched"));
}

/* Code goes with the other files, and does not come back. */
static void code_is_sent_too(void **state)
{
    struct docker_room *room = *state;
    char where[64], code_dir[DOCKER_ROOM_PATH + 64];
    snprintf(code_dir, sizeof(code_dir), "%s/code", room->dir);
    assert_hd_ok(hd_mkdirs(code_dir, 0755, &err));
    put_file(code_dir, "main.py", "print(1)");
    struct hd_engine_job job = room_job(room, "exit", "0");
    job.code_dir = code_dir;
    add_entry('5', "hyperdock/", "");
    add_entry('5', "hyperdock/code/", "");
    add_entry('0', "hyperdock/code/main.py", "changed");
    hand_out(room);
    open_engine(room, HD_FILES_COPY);
    assert_hd_ok(hd_engine_start(room->engine, &job, &err));
    assert_int_equal(room_end(room, 7).exit_code, 0);
    assert_true(was_sent(room, "hyperdock/code/main.py", where));
    assert_true(was_sent(room, "print(1)", where));
    assert_file(code_dir, "main.py", "print(1)");
    assert_false(exists(room->run_dir, "code"));
}

static void a_root_that_may_only_be_read_is_no_hindrance(void **state)
{
    struct docker_room *room = *state;
    const struct hd_container container = {.read_only = true};
    struct hd_engine_job job = room_job(room, "exit", "0");
    char where[64], helper[HD_ENGINE_NAME_MAX + 8];
    job.container = &container;
    put_file(room->run_dir, "params.json", "{\"a\": 1}");
    hand_out_results(room);
    open_engine(room, HD_FILES_COPY);
    assert_hd_ok(hd_engine_start(room->engine, &job, &err));
    assert_int_equal(room_end(room, 7).exit_code, 0);
    assert_true(was_sent(room, "{\"a\": 1}", where));
    snprintf(helper, sizeof(helper), "%s-files", room->name);
    assert_false(fake_docker_has(room->fake, helper));
}

static void a_transfer_that_breaks_is_begun_anew(void **state)
{
    struct docker_room *room = *state;
    put_file(room->run_dir, "params.json", "{\"a\": 1}");
    hand_out_results(room);
    fake_docker_fail(room->fake, FAKE_PUT_FILES, 0, "", 2);
    fake_docker_fail(room->fake, FAKE_GET_FILES, 0, "", 2);
    open_engine(room, HD_FILES_COPY);
    start(room, "exit");
    assert_int_equal(room_end(room, 7).kind, HD_END_EXITED);
    assert_int_equal(fake_docker_count(room->fake, FAKE_PUT_FILES), 3);
    assert_int_equal(fake_docker_count(room->fake, FAKE_GET_FILES), 3);
    assert_file(room->work_dir, "new", "state");
}

static void a_full_disk_of_the_engine_is_told(void **state)
{
    struct docker_room *room = *state;
    fake_docker_fail(room->fake, FAKE_PUT_FILES, 500,
                     "{\"message\":\"write /x: no space left on device\"}", 1);
    open_engine(room, HD_FILES_COPY);
    start(room, "exit");
    struct hd_engine_end end = room_end(room, 7);
    assert_int_equal(end.kind, HD_END_NOT_STARTED);
    assert_false(end.config_error);
    assert_non_null(strstr(end.message, "no space left on device"));
}

/* Nothing of a state that cannot be read whole is taken, and the one before stays. */
static void what_is_no_archive_changes_nothing(void **state)
{
    struct docker_room *room = *state;
    put_file(room->work_dir, "old", "state before");
    add_entry('5', "hyperdock/", "");
    add_entry('5', "hyperdock/work/", "");
    add_entry('0', "hyperdock/work/new", "state");
    add_entry('0', "hyperdock/../../x", "out");
    hand_out(room);
    open_engine(room, HD_FILES_COPY);
    start(room, "exit");
    struct hd_engine_end end = room_end(room, 7);
    assert_int_equal(end.kind, HD_END_ENGINE_LOST);
    assert_non_null(strstr(end.message, "could not be fetched from the engine: an archive that is "
                                        "none: a name leads out of it"));
    assert_file(room->work_dir, "old", "state before");
    assert_false(exists(room->work_dir, "new"));
    assert_false(exists(room->run_dir, ".fetched"));
}

static void a_target_that_made_a_file_of_its_work_leaves_the_state_before(void **state)
{
    struct docker_room *room = *state;
    put_file(room->work_dir, "old", "state before");
    add_entry('5', "hyperdock/", "");
    add_entry('0', "hyperdock/work", "no directory");
    hand_out(room);
    open_engine(room, HD_FILES_COPY);
    start(room, "exit");
    assert_int_equal(room_end(room, 7).kind, HD_END_EXITED);
    assert_file(room->work_dir, "old", "state before");
}

static void a_request_to_stop_is_there_before_the_signal(void **state)
{
    struct docker_room *room = *state;
    const struct hd_attempt_ref attempt = {0xabc, 7, 1};
    char where[64];
    hand_out_results(room);
    open_engine(room, HD_FILES_COPY);
    start(room, "run");
    fake_docker_await_running(room->fake, room->name);
    put_file(room->run_dir, "control/stop", "");
    hd_engine_stop(room->engine, attempt, 1000);
    struct hd_engine_end end = room_end(room, 7);
    assert_true(end.stopped);
    assert_true(was_sent(room, "control/stop", where));
    assert_string_equal(where, "/hyperdock");
}

/* It was made for copies, and is fetched from, whatever the worker does by now. */
static void a_worker_that_starts_again_fetches_what_it_left(void **state)
{
    struct docker_room *room = *state;
    hand_out_results(room);
    open_engine(room, HD_FILES_COPY);
    start(room, "run");
    fake_docker_await_running(room->fake, room->name);
    fake_docker_await(room->fake, FAKE_LOGS, 1);
    room_close_engine(room);
    fake_docker_exit(room->fake, room->name, 0, false);
    open_engine(room, HD_FILES_BIND);
    struct hd_engine_job job = room_job(room, "run", "0");
    assert_hd_ok(hd_engine_adopt(room->engine, job.attempt, &job, &err));
    assert_int_equal(room_end(room, 7).exit_code, 0);
    assert_file(room->run_dir, "loss.json", "{\"loss\": 1}");
    assert_file(room->work_dir, "new", "state");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, room_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(an_engine_is_asked_whether_it_sees_our_directories),
        TEST(files_are_sent_before_and_fetched_after),
        TEST(code_is_sent_too),
        TEST(a_root_that_may_only_be_read_is_no_hindrance),
        TEST(a_transfer_that_breaks_is_begun_anew),
        TEST(a_full_disk_of_the_engine_is_told),
        TEST(what_is_no_archive_changes_nothing),
        TEST(a_target_that_made_a_file_of_its_work_leaves_the_state_before),
        TEST(a_request_to_stop_is_there_before_the_signal),
        TEST(a_worker_that_starts_again_fetches_what_it_left),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
