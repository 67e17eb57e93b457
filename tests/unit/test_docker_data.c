/* SPDX-License-Identifier: Apache-2.0 */
/* Data sets for an engine that does not see the worker's directories: they are copied once for all
 * jobs, again when they have changed or their volume was lost, and the old volume goes. */
#include "docker_room.h"
#include "testlib.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static struct hd_err err;

/* The data sets of a job; with no mounts, the directory is its data. */
struct room {
    struct docker_room docker;
    char data_dir[DOCKER_ROOM_PATH];
    struct hd_mount mounts[3];
    size_t mount_count;
    uint32_t job;
};

static int setup(void **state)
{
    struct room *room = calloc(1, sizeof(*room));
    assert_non_null(room);
    struct docker_room *docker = &room->docker;
    room_make(docker);
    docker->tuning = hd_docker_tuning_default;
    docker->files = HD_FILES_COPY;
    assert_true(hd_format(room->data_dir, sizeof(room->data_dir), "%s/data", docker->dir));
    assert_hd_ok(hd_mkdirs(room->data_dir, 0755, &err));
    /* An archive of nothing: what a target left. */
    fake_docker_set_files(docker->fake, (const char[1024]){0}, 1024);
    room_open(docker);
    *state = room;
    return 0;
}

static int teardown(void **state)
{
    struct room *room = *state;
    room_release(&room->docker);
    free(room);
    return 0;
}

static void write_data(struct room *room, const char *text)
{
    char path[DOCKER_ROOM_PATH + 64];
    snprintf(path, sizeof(path), "%s/x", room->data_dir);
    test_file_write(path, text);
}

static struct hd_engine_end run_job(struct room *room)
{
    struct hd_engine_job job = room_job(&room->docker, "exit", "0");
    job.attempt.job = ++room->job;
    job.work_dir = job.log_path = NULL;
    job.data_dir = room->mount_count > 0 ? NULL : room->data_dir;
    job.mounts = room->mounts;
    job.mount_count = room->mount_count;
    room_start(&room->docker, &job);
    return room_end(&room->docker, job.attempt.job);
}

/* Each job sends its own files; a fill is one more. */
static int fills(struct room *room)
{
    return fake_docker_count(room->docker.fake, FAKE_PUT_FILES) - (int)room->job;
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
    assert_int_equal(fake_docker_volumes_removed(room->docker.fake), 1);
}

static void a_volume_that_was_lost_is_filled_again(void **state)
{
    struct room *room = *state;
    write_data(room, "one");
    assert_int_equal(run_job(room).kind, HD_END_EXITED);
    fake_docker_renew_volumes(room->docker.fake);
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
    char other[DOCKER_ROOM_PATH + 64], archive[8192], where[256];
    snprintf(other, sizeof(other), "%s/other", room->docker.dir);
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
        fake_docker_last_files(room->docker.fake, where, sizeof(where), archive, sizeof(archive));
    assert_non_null(memmem(archive, size, "hyperdock/data", 14));
    write_data(room, "another");
    assert_int_equal(run_job(room).kind, HD_END_EXITED);
    assert_int_equal(fills(room), 3);
}

static void what_cannot_be_copied_is_refused(void **state)
{
    struct room *room = *state;
    static char file[DOCKER_ROOM_PATH + 64];
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
    fake_docker_fail(room->docker.fake, FAKE_PUT_FILES, 500,
                     "{\"message\":\"no space left on device\"}", 1);
    struct hd_engine_end end = run_job(room);
    assert_int_equal(end.kind, HD_END_NOT_STARTED);
    assert_non_null(strstr(end.message, "no space left on device"));
    assert_int_equal(run_job(room).kind, HD_END_EXITED);
    assert_int_equal(fake_docker_count(room->docker.fake, FAKE_PUT_FILES), 3);
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
