/* SPDX-License-Identifier: Apache-2.0 */
/* Images that say by a label that their targets stay, against a recorded engine: the test is the
 * target, which connects to the socket that its container would see. */
#include "docker_room.h"
#include "testlib.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define LABEL "hyperdock.warm"

static struct hd_err err;
static char image_name[] = "hyperdock/warm:1"; /* not every test has it */
static char of_run[] = "A=run", *run_env[] = {of_run, NULL};
static const struct hd_warm_job warm = {
    .line = "{\"budget\":1}", .jobs = 1000, .idle_ms = 600000, .by_label = true, .env = run_env};

static int setup(void **state)
{
    struct docker_room *room = calloc(1, sizeof(*room));
    assert_non_null(room);
    room_make(room);
    const struct hd_engine_options options = {.worker = "host-0",
                                              .state_dir = room->dir,
                                              .docker_host = fake_docker_host(room->fake),
                                              .queue = room->queue,
                                              .slots = 2};
    assert_hd_ok(hd_engine_open_warm(&options, hd_engine_open_docker, &room->engine, &err));
    *state = room;
    return 0;
}

static struct hd_engine_job job_of(struct docker_room *room, uint32_t job)
{
    static char of_job[] = "A=job", *env[] = {of_job, NULL};
    char out[DOCKER_ROOM_PATH + 8];
    assert_true(hd_format(room->run_dir, DOCKER_ROOM_PATH, "%s/run-%u", room->dir, job));
    assert_true(hd_format(room->work_dir, DOCKER_ROOM_PATH, "%s/work-%u", room->dir, job));
    assert_true(hd_format(room->log_path, DOCKER_ROOM_PATH, "%s/run-%u/log.txt", room->dir, job));
    assert_true(hd_format(out, sizeof(out), "%s/out", room->run_dir));
    assert_hd_ok(hd_mkdirs(out, 0755, &err));
    assert_hd_ok(hd_mkdirs(room->work_dir, 0755, &err));
    struct hd_engine_job made = room_job(room, "run", NULL);
    made.attempt.job = job;
    made.image = image_name;
    made.env = env;
    made.warm = &warm;
    return made;
}

/* The only box there is. */
static int open_box(const struct docker_room *room)
{
    char path[DOCKER_ROOM_PATH + 64];
    int fd = -1;
    assert_true(hd_format(path, sizeof(path), "%s/warm", room->dir));
    DIR *stream = opendir(path);
    assert_non_null(stream);
    for (struct dirent *entry; (entry = readdir(stream)) != NULL;) {
        if (entry->d_name[0] == '.')
            continue;
        assert_int_equal(fd, -1);
        assert_true(hd_format(path, sizeof(path), "%s/warm/%.32s/box", room->dir, entry->d_name));
        fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        assert_true(fd >= 0);
    }
    closedir(stream);
    return fd;
}

static int connect_target(const struct docker_room *room)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int box = open_box(room), fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(box >= 0 && fd >= 0);
    assert_true(
        hd_format(address.sun_path, sizeof(address.sun_path), "/proc/self/fd/%d/socket", box));
    assert_int_equal(connect(fd, (const struct sockaddr *)&address, sizeof(address)), 0);
    close(box);
    return fd;
}

/* Reads a job's line and answers it. */
static void answer(int fd, uint32_t job)
{
    char line[4096], text[128];
    size_t used = 0;
    while (used == 0 || line[used - 1] != '\n') {
        ssize_t got = recv(fd, line + used, sizeof(line) - 1 - used, 0);
        assert_true(got > 0);
        used += (size_t)got;
    }
    line[used] = '\0';
    assert_true(hd_format(text, sizeof(text), "{\"id\":\"%u-1\"", job));
    assert_non_null(strstr(line, text));
    assert_true(hd_format(text, sizeof(text), "{\"id\":\"%u-1\",\"loss\":0.25}\n", job));
    assert_int_equal(send(fd, text, strlen(text), MSG_NOSIGNAL), strlen(text));
}

/* The label is looked at once for a run; the container gets what all jobs have in common, and the
 * job after the first is its next one. */
static void a_labelled_image_stays(void **state)
{
    static const char *const values[] = {"1", "true"};
    struct docker_room *room = *state;
    fake_docker_add_image(room->fake, image_name, "");
    for (uint32_t i = 0; i < HD_COUNT(values); i++) {
        struct hd_engine_job job = job_of(room, 10 * i + 1);
        fake_docker_label_images(room->fake, LABEL, values[i]);
        job.attempt.run_uid += i;
        assert_false(hd_engine_knows_warm(room->engine, &job));
        room_start(room, &job);
        fake_docker_await(room->fake, FAKE_START, (int)i + 1);
        int fd = connect_target(room);
        answer(fd, job.attempt.job);
        assert_int_equal(room_end(room, job.attempt.job).kind, HD_END_EXITED);
        assert_true(room->began_warm);
        hd_engine_remove(room->engine, job.attempt);
        assert_true(hd_engine_knows_warm(room->engine, &job));
        struct hd_engine_job next = job_of(room, 10 * i + 2);
        next.attempt.run_uid += i;
        room_start(room, &next);
        answer(fd, next.attempt.job);
        assert_int_equal(room_end(room, next.attempt.job).kind, HD_END_EXITED);
        assert_false(room->began_warm);
        assert_int_equal(fake_docker_count(room->fake, FAKE_CREATE), i + 1);
        assert_int_equal(fake_docker_count(room->fake, FAKE_IMAGE), i + 1);
        /* The end of its connection is its own: the next round has a box of its own. */
        close(fd);
        fake_docker_await(room->fake, FAKE_REMOVE, 2 * (int)i + 2);
    }
}

static void an_image_without_the_label_runs_once_a_job(void **state)
{
    static const struct {
        const char *key, *value;
    } rows[] = {{LABEL, NULL}, {LABEL, "0"}, {LABEL, ""}, {"hyperdock.warmth", "1"}};
    struct docker_room *room = *state;
    char name[HD_ENGINE_NAME_MAX];
    fake_docker_add_image(room->fake, image_name, "");
    for (uint32_t i = 0; i < HD_COUNT(rows); i++) {
        fake_docker_label_images(room->fake, rows[i].key, rows[i].value);
        for (uint32_t k = 0; k < 2; k++) {
            struct hd_engine_job job = job_of(room, 10 * i + k + 1);
            job.attempt.run_uid += i;
            room_start(room, &job);
            hd_docker_container_name(job.attempt, name, sizeof(name));
            fake_docker_await_running(room->fake, name);
            fake_docker_exit(room->fake, name, 3, false);
            struct hd_engine_end end = room_end(room, job.attempt.job);
            assert_int_equal(end.kind, HD_END_EXITED);
            assert_int_equal(end.exit_code, 3);
            assert_false(end.says_warm);
            assert_false(room->began_warm);
            assert_false(hd_engine_knows_warm(room->engine, &job));
            hd_engine_remove(room->engine, job.attempt);
        }
        assert_int_equal(fake_docker_count(room->fake, FAKE_IMAGE), i + 1);
    }
}

/* What it says is known when it is here. */
static void a_missing_image_is_pulled_first(void **state)
{
    struct docker_room *room = *state;
    struct hd_engine_job job = job_of(room, 1);
    fake_docker_allow_pulls(room->fake);
    fake_docker_label_images(room->fake, LABEL, "1");
    room_start(room, &job);
    fake_docker_await(room->fake, FAKE_START, 1);
    assert_int_equal(fake_docker_count(room->fake, FAKE_PULL), 1);
    int fd = connect_target(room);
    answer(fd, 1);
    assert_int_equal(room_end(room, 1).kind, HD_END_EXITED);
    close(fd);
}

static void an_image_that_cannot_be_had_is_said_to_be(void **state)
{
    struct docker_room *room = *state;
    struct hd_engine_job job = job_of(room, 1);
    room_start(room, &job);
    struct hd_engine_end end = room_end(room, 1);
    assert_int_equal(end.kind, HD_END_NOT_STARTED);
    assert_false(end.says_warm);
    assert_non_null(strstr(end.message, image_name));
}

/* An engine that says that this is no name of an image will not say otherwise later. */
static void a_name_that_is_none_is_not_asked_for_ever(void **state)
{
    struct docker_room *room = *state;
    struct hd_engine_job job = job_of(room, 1);
    static const char refusal[] = "{\"message\":\"invalid reference format\"}";
    fake_docker_fail(room->fake, FAKE_IMAGE, 400, refusal, 1000000);
    fake_docker_fail(room->fake, FAKE_PULL, 400, refusal, 1000000);
    room_start(room, &job);
    struct hd_engine_end end = room_end(room, 1);
    assert_int_equal(end.kind, HD_END_NOT_STARTED);
    assert_true(end.config_error);
    assert_non_null(strstr(end.message, "check its name"));
}

/* Of a job that was never made there is nothing that an engine would have to stop: its end waits
 * for none. */
static void a_stop_does_not_wait_for_an_engine(void **state)
{
    struct docker_room *room = *state;
    struct hd_engine_job job = job_of(room, 1);
    fake_docker_fail(room->fake, FAKE_IMAGE, 500, "{\"message\":\"busy\"}", 1000000);
    room_start(room, &job);
    fake_docker_await(room->fake, FAKE_IMAGE, 1);
    hd_engine_stop(room->engine, job.attempt, 1000);
    struct hd_engine_end end = room_end(room, 1);
    assert_int_equal(end.kind, HD_END_NOT_STARTED);
    assert_true(end.stopped);
    assert_int_equal(fake_docker_count(room->fake, FAKE_CREATE), 0);
}

/* A stop, a drop, and the end of the worker, while nobody knows yet how it would run. */
static void what_is_asked_meanwhile_holds(void **state)
{
    struct docker_room *room = *state;
    struct hd_engine_job job = job_of(room, 1);
    fake_docker_hang_pulls(room->fake);
    room_start(room, &job);
    room_start(room, &job); /* a resend */
    fake_docker_await(room->fake, FAKE_PULL, 1);
    hd_engine_stop(room->engine, job.attempt, 0);
    struct hd_engine_end end = room_end(room, 1);
    assert_int_equal(end.kind, HD_END_NOT_STARTED);
    assert_true(end.stopped);
    hd_engine_remove(room->engine, job.attempt);
    job = job_of(room, 2);
    room_start(room, &job);
    fake_docker_await(room->fake, FAKE_PULL, 2);
    hd_engine_drop(room->engine, job.attempt);
    job = job_of(room, 3);
    room_start(room, &job);
    fake_docker_await(room->fake, FAKE_PULL, 3); /* left to the end of the engine */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_labelled_image_stays, setup, room_teardown),
        cmocka_unit_test_setup_teardown(an_image_without_the_label_runs_once_a_job, setup,
                                        room_teardown),
        cmocka_unit_test_setup_teardown(a_missing_image_is_pulled_first, setup, room_teardown),
        cmocka_unit_test_setup_teardown(an_image_that_cannot_be_had_is_said_to_be, setup,
                                        room_teardown),
        cmocka_unit_test_setup_teardown(a_name_that_is_none_is_not_asked_for_ever, setup,
                                        room_teardown),
        cmocka_unit_test_setup_teardown(a_stop_does_not_wait_for_an_engine, setup, room_teardown),
        cmocka_unit_test_setup_teardown(what_is_asked_meanwhile_holds, setup, room_teardown),
    };
    return cmocka_run_group_tests_name("warm_label", tests, NULL, NULL);
}
