/* SPDX-License-Identifier: Apache-2.0 */
#include "docker_room.h"

#include "testlib.h"

#include <stdlib.h>
#include <string.h>

char docker_room_image[] = "hyperdock/t:1";
const struct hd_attempt_ref docker_room_attempt = {0xabc, 7, 1};

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

/* ---- the room ------------------------------------------------------------------------------- */

static void make_directory(const struct docker_room *room, const char *name,
                           char path[DOCKER_ROOM_PATH])
{
    struct hd_err err;
    assert_true(hd_format(path, DOCKER_ROOM_PATH, "%s/%s", room->dir, name));
    assert_hd_ok(hd_mkdirs(path, 0755, &err));
}

void room_make(struct docker_room *room)
{
    struct hd_err err;
    room->dir = test_dir_make();
    room->fake = fake_docker_start(room->dir);
    room->tuning = quick;
    fake_docker_add_image(room->fake, docker_room_image, "");
    assert_hd_ok(hd_queue_new(64, &room->queue, &err));
    make_directory(room, "run", room->run_dir);
    make_directory(room, "work", room->work_dir);
    assert_true(hd_format(room->log_path, DOCKER_ROOM_PATH, "%s/log.txt", room->dir));
    hd_docker_container_name(docker_room_attempt, room->name, sizeof(room->name));
}

void room_open(struct docker_room *room)
{
    struct hd_err err;
    const struct hd_engine_options options = {.worker = "host-0",
                                              .state_dir = room->dir,
                                              .docker_host = fake_docker_host(room->fake),
                                              .images = room->images,
                                              .queue = room->queue,
                                              .files = room->files,
                                              .slots = room->slots};
    assert_hd_ok(hd_docker_open(&options, &room->tuning, &room->engine, &err));
}

void room_close_engine(struct docker_room *room)
{
    hd_engine_close(room->engine);
    room->engine = NULL;
}

void room_restart(struct docker_room *room)
{
    room_close_engine(room);
    room_open(room);
}

void room_release(struct docker_room *room)
{
    room_close_engine(room);
    for (void *news; (news = hd_queue_pop(room->queue, 0)) != NULL;)
        hd_free(news);
    hd_queue_free(room->queue);
    fake_docker_stop(room->fake);
    test_dir_remove(room->dir);
}

int room_setup(void **state)
{
    struct docker_room *room = calloc(1, sizeof(*room));
    assert_non_null(room);
    room_make(room);
    room_open(room);
    *state = room;
    return 0;
}

int room_teardown(void **state)
{
    room_release(*state);
    free(*state);
    return 0;
}

/* ---- its job -------------------------------------------------------------------------------- */

struct hd_engine_job room_job(struct docker_room *room, const char *program, const char *argument)
{
    assert_true(hd_copy_text(room->words[0], sizeof(room->words[0]), program));
    assert_true(
        hd_copy_text(room->words[1], sizeof(room->words[1]), argument != NULL ? argument : ""));
    room->argv[0] = room->words[0];
    room->argv[1] = argument != NULL ? room->words[1] : NULL;
    room->argv[2] = NULL;
    return (struct hd_engine_job){
        .attempt = docker_room_attempt,
        .worker = "host-0",
        .run_id = "r",
        .config_id = "[0,0,1]",
        .run_dir = room->run_dir,
        .work_dir = room->work_dir,
        .log_path = room->log_path,
        .image = docker_room_image,
        .argv = room->argv,
        .stop_grace_ms = 1000,
    };
}

void room_start(struct docker_room *room, const struct hd_engine_job *job)
{
    struct hd_err err;
    assert_hd_ok(hd_engine_start(room->engine, job, &err));
}

void room_start_program(struct docker_room *room, const char *program, const char *argument)
{
    struct hd_engine_job job = room_job(room, program, argument);
    room_start(room, &job);
}

void room_run_until_started(struct docker_room *room, const char *program)
{
    room_start_program(room, program, NULL);
    fake_docker_await_running(room->fake, room->name);
    fake_docker_await(room->fake, FAKE_LOGS, 1);
}

void room_adopt(struct docker_room *room, const char *program)
{
    struct hd_engine_job job = room_job(room, program, NULL);
    struct hd_err err;
    assert_hd_ok(hd_engine_adopt(room->engine, job.attempt, &job, &err));
}

void room_forget(struct docker_room *room)
{
    hd_engine_remove(room->engine, docker_room_attempt);
    room_restart(room); /* joins the thread that removes it */
    fake_docker_await_gone(room->fake, room->name);
}

/* ---- what is told --------------------------------------------------------------------------- */

struct hd_engine_end room_end(struct docker_room *room, uint32_t job)
{
    struct hd_engine_news *news;
    room->began_warm = false;
    while ((news = hd_queue_pop(room->queue, DOCKER_ROOM_WAIT_MS)) != NULL && !news->ended) {
        room->half_pulled = room->half_pulled || strstr(news->doing, " 50 %") != NULL;
        room->began_warm = room->began_warm || (news->begun && news->warm);
        (void)hd_copy_text(room->doing, sizeof(room->doing), news->doing);
        hd_free(news);
    }
    if (news == NULL)
        fail_msg("no end was told");
    assert_int_equal(news->attempt.job, job);
    struct hd_engine_end end = news->end;
    hd_free(news);
    return end;
}

struct hd_engine_end room_expect(struct docker_room *room, enum hd_engine_end_kind kind,
                                 int exit_code, const char *message)
{
    struct hd_engine_end end = room_end(room, docker_room_attempt.job);
    if (end.kind != kind || (kind == HD_END_EXITED && end.exit_code != exit_code) ||
        strstr(end.message, message) == NULL)
        fail_msg("kind %d exit %d: %s", end.kind, end.exit_code, end.message);
    return end;
}

void room_assert_no_end(struct docker_room *room)
{
    struct hd_engine_news *news;
    while ((news = hd_queue_pop(room->queue, 0)) != NULL) {
        assert_false(news->ended); /* that it runs may have been told before */
        hd_free(news);
    }
}
