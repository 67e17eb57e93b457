/* SPDX-License-Identifier: Apache-2.0 */
/* Data sets for an engine that does not see the worker's directories: they are copied once for all
 * jobs, again when they have changed or their volume was lost, and the old volume goes. */
#include "testlib.h"

#include "docker.h"
#include "fake_docker.h"

#include <hd/os.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define NEWS_WAIT_MS 30000

static struct hd_err err;

struct room {
    char *dir;
    struct fake_docker *fake;
    struct hd_queue *queue;
    struct hd_engine *engine;
    char run_dir[600], data_dir[600];
    struct hd_mount mounts[3];
    size_t mount_count;
    uint32_t job;
};

static int setup(void **state)
{
    struct room *room = calloc(1, sizeof(*room));
    assert_non_null(room);
    room->dir = test_dir_make();
    room->fake = fake_docker_start(room->dir);
    fake_docker_add_image(room->fake, "t:1", "");
    assert_hd_ok(hd_queue_new(64, &room->queue, &err));
    snprintf(room->run_dir, sizeof(room->run_dir), "%s/run", room->dir);
    snprintf(room->data_dir, sizeof(room->data_dir), "%s/data", room->dir);
    assert_hd_ok(hd_mkdirs(room->run_dir, 0755, &err));
    assert_hd_ok(hd_mkdirs(room->data_dir, 0755, &err));
    /* An archive of nothing: what a target left. */
    fake_docker_set_files(room->fake, (const char[1024]){0}, 1024);
    const struct hd_engine_options options = {.worker = "w",
                                              .state_dir = room->dir,
                                              .docker_host = fake_docker_host(room->fake),
                                              .queue = room->queue,
                                              .files = HD_FILES_COPY};
    assert_hd_ok(hd_docker_open(&options, &hd_docker_tuning_default, &room->engine, &err));
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

static void write_data(struct room *room, const char *text)
{
    char path[700];
    snprintf(path, sizeof(path), "%s/x", room->data_dir);
    test_file_write(path, text);
}

static struct hd_engine_end run_job(struct room *room)
{
    static char word[] = "exit", zero[] = "0";
    static char *argv[] = {word, zero, NULL};
    const struct hd_engine_job job = {.attempt = {1, ++room->job, 1},
                                      .worker = "w",
                                      .run_id = "r",
                                      .config_id = "[0,0,0]",
                                      .run_dir = room->run_dir,
                                      .data_dir = room->mount_count > 0 ? NULL : room->data_dir,
                                      .mounts = room->mounts,
                                      .mount_count = room->mount_count,
                                      .image = "t:1",
                                      .argv = argv};
    assert_hd_ok(hd_engine_start(room->engine, &job, &err));
    for (;;) {
        struct hd_engine_news *news = hd_queue_pop(room->queue, NEWS_WAIT_MS);
        assert_non_null(news);
        struct hd_engine_end end = news->end;
        bool ended = news->ended;
        hd_free(news);
        if (ended)
            return end;
    }
}

/* Each job sends its own files; a fill is one more. */
static int fills(struct room *room)
{
    return fake_docker_count(room->fake, FAKE_PUT_FILES) - (int)room->job;
}

static void a_data_set_is_copied_once_for_each_of_its_states(void **state)
{
    struct room *room = *state;
    write_data(room, "one");
    for (int i = 0; i < 3; i++)
        assert_int_equal(run_job(room).kind, HD_END_EXITED);
    assert_int_equal(fills(room), 1);
    write_data(room, "another");
    for (int i = 0; i < 2; i++)
        assert_int_equal(run_job(room).kind, HD_END_EXITED);
    assert_int_equal(fills(room), 2);
    assert_int_equal(fake_docker_volumes_removed(room->fake), 1);
}

static void a_volume_that_was_lost_is_filled_again(void **state)
{
    struct room *room = *state;
    write_data(room, "one");
    assert_int_equal(run_job(room).kind, HD_END_EXITED);
    fake_docker_renew_volumes(room->fake);
    assert_int_equal(run_job(room).kind, HD_END_EXITED);
    assert_int_equal(fills(room), 2);
}

static void a_data_set_that_cannot_be_read_is_told(void **state)
{
    struct room *room = *state;
    assert_int_equal(rmdir(room->data_dir), 0);
    struct hd_engine_end end = run_job(room);
    assert_int_equal(end.kind, HD_END_NOT_STARTED);
    assert_non_null(strstr(end.message, "/data cannot be read"));
}

/* One directory in several places is one volume; /hyperdock/data is a link, so that what comes back
 * after the end does not bring it along. */
static void named_data_sets_and_volumes_are_copied_too(void **state)
{
    struct room *room = *state;
    char other[700], archive[8192], where[256];
    snprintf(other, sizeof(other), "%s/other", room->dir);
    assert_hd_ok(hd_mkdirs(other, 0755, &err));
    write_data(room, "one");
    room->mounts[0] = (struct hd_mount){room->data_dir, "/data/set", true};
    room->mounts[1] = (struct hd_mount){room->data_dir, "/hyperdock/data/set", true};
    room->mounts[2] = (struct hd_mount){other, "/cache", true};
    room->mount_count = 3;
    for (int i = 0; i < 2; i++)
        assert_int_equal(run_job(room).kind, HD_END_EXITED);
    assert_int_equal(fills(room), 2);
    size_t size =
        fake_docker_last_files(room->fake, where, sizeof(where), archive, sizeof(archive));
    assert_non_null(memmem(archive, size, "hyperdock/data", 14));
    write_data(room, "another");
    assert_int_equal(run_job(room).kind, HD_END_EXITED);
    assert_int_equal(fills(room), 3);
}

static void what_cannot_be_copied_is_refused(void **state)
{
    struct room *room = *state;
    static char file[700];
    snprintf(file, sizeof(file), "%s/x", room->data_dir);
    write_data(room, "one");
    const struct {
        struct hd_mount mount;
        const char *text;
    } rows[] = {{{room->data_dir, "/cache", false}, "is written to"},
                {{file, "/x", true}, "is not a directory"},
                {{"/nonexistent/hyperdock", "/x", true}, "cannot be read"}};
    room->mount_count = 1;
    for (size_t i = 0; i < HD_COUNT(rows); i++) {
        room->mounts[0] = rows[i].mount;
        struct hd_engine_end end = run_job(room);
        assert_int_equal(end.kind, HD_END_NOT_STARTED);
        assert_non_null(strstr(end.message, rows[i].text));
    }
}

/* A fill that breaks is not remembered as one. */
static void a_fill_that_fails_is_begun_anew(void **state)
{
    struct room *room = *state;
    write_data(room, "one");
    fake_docker_fail(room->fake, FAKE_PUT_FILES, 500, "{\"message\":\"no space left on device\"}",
                     1);
    struct hd_engine_end end = run_job(room);
    assert_int_equal(end.kind, HD_END_NOT_STARTED);
    assert_non_null(strstr(end.message, "no space left on device"));
    assert_int_equal(run_job(room).kind, HD_END_EXITED);
    assert_int_equal(fake_docker_count(room->fake, FAKE_PUT_FILES), 3);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_data_set_is_copied_once_for_each_of_its_states),
        TEST(a_volume_that_was_lost_is_filled_again),
        TEST(a_data_set_that_cannot_be_read_is_told),
        TEST(named_data_sets_and_volumes_are_copied_too),
        TEST(what_cannot_be_copied_is_refused),
        TEST(a_fill_that_fails_is_begun_anew),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
