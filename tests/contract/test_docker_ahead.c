/* SPDX-License-Identifier: Apache-2.0 */
/* Containers that are started before their job is known, against a recorded engine: a job gets the
 * one that it would have made, or one of its own, and none is left over. The test reads the FIFO as
 * the program in the container would. */
#include "docker_room.h"
#include "testlib.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static struct hd_err err;

static int setup(void **state)
{
    struct docker_room *room = calloc(1, sizeof(*room));
    assert_non_null(room);
    room_make(room);
    room->tuning = hd_docker_tuning_default;
    room->tuning.hold_ms = 200;
    room->tuning.backoff_ms_min = 5;
    room->tuning.backoff_ms_max = 20;
    room->tuning.ahead_idle_ms = 600000;
    room->slots = 1;
    room_open(room);
    *state = room;
    return 0;
}

static struct hd_engine_job job_of(struct docker_room *room, uint32_t job)
{
    static char variable[] = "A=b", *env[] = {variable, NULL};
    char path[DOCKER_ROOM_PATH + 64];
    assert_true(hd_format(room->run_dir, DOCKER_ROOM_PATH, "%s/run-%u", room->dir, job));
    assert_true(hd_format(room->work_dir, DOCKER_ROOM_PATH, "%s/work-%u", room->dir, job));
    assert_true(hd_format(room->log_path, DOCKER_ROOM_PATH, "%s/run-%u/log.txt", room->dir, job));
    static const char *const folders[] = {"out", "control", "work"};
    for (size_t i = 0; i < HD_COUNT(folders); i++) {
        assert_true(hd_format(path, sizeof(path), "%s/%s", room->run_dir, folders[i]));
        assert_hd_ok(hd_mkdirs(path, 0755, &err));
    }
    assert_true(hd_format(path, sizeof(path), "%s/params.json", room->run_dir));
    test_file_write(path, "{}");
    assert_hd_ok(hd_mkdirs(room->work_dir, 0711, &err));
    struct hd_engine_job made = room_job(room, "run", NULL);
    made.attempt.job = job;
    made.env = env;
    made.ahead = true;
    return made;
}

static void name_of(const struct hd_engine_job *job, char name[HD_ENGINE_NAME_MAX])
{
    hd_docker_container_name(job->attempt, name, HD_ENGINE_NAME_MAX);
}

static void await_begun(struct docker_room *room, uint32_t job)
{
    struct hd_engine_news *news = hd_queue_pop(room->queue, DOCKER_ROOM_WAIT_MS);
    for (; news != NULL && !news->begun; news = hd_queue_pop(room->queue, DOCKER_ROOM_WAIT_MS)) {
        assert_false(news->ended);
        hd_free(news);
    }
    assert_non_null(news);
    assert_int_equal(news->attempt.job, job);
    hd_free(news);
}

/* The number of a container that was made ahead, other than `not`; how many there are. */
static size_t find_ahead(const struct docker_room *room, const char * not, char number[32])
{
    char path[DOCKER_ROOM_PATH + 16];
    size_t count = 0;
    assert_true(hd_format(path, sizeof(path), "%s/ahead", room->dir));
    DIR *stream = opendir(path);
    for (struct dirent *entry; stream != NULL && (entry = readdir(stream)) != NULL;) {
        if (strlen(entry->d_name) != 16 || hd_streq(entry->d_name, not ))
            continue;
        (void)hd_copy_text(number, 32, entry->d_name);
        count++;
    }
    if (stream != NULL)
        closedir(stream);
    return count;
}

static int open_go(const struct docker_room *room, const char *number)
{
    char path[DOCKER_ROOM_PATH + 64];
    assert_true(hd_format(path, sizeof(path), "%s/ahead/%s/box/go", room->dir, number));
    int fd = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    assert_true(fd >= 0);
    return fd;
}

/* As the program in the container does when it is told. */
static void hear(int go)
{
    char byte;
    assert_int_equal(read(go, &byte, 1), 1);
    assert_int_equal(byte, 'g');
    close(go);
}

/* Job 1 runs, and the container of the next one is there, waiting. */
static int begin(struct docker_room *room, char number[32])
{
    char name[HD_ENGINE_NAME_MAX];
    struct hd_engine_job job = job_of(room, 1);
    room_start(room, &job);
    await_begun(room, 1);
    fake_docker_await(room->fake, FAKE_START, 2);
    assert_int_equal(find_ahead(room, "", number), 1);
    hd_docker_ahead_name(number, name, sizeof(name));
    fake_docker_await_running(room->fake, name);
    return open_go(room, number);
}

/* Its directories are the container's, under the names and with the rights that they had. */
static void the_next_job_gets_the_container_that_waits(void **state)
{
    struct docker_room *room = *state;
    char number[32], next[32], name[HD_ENGINE_NAME_MAX], path[DOCKER_ROOM_PATH + 64];
    struct stat before, after;
    int go = begin(room, number);
    assert_true(hd_format(path, sizeof(path), "%s/ahead/%s/work", room->dir, number));
    assert_int_equal(stat(path, &before), 0);
    struct hd_engine_job job = job_of(room, 2);
    room_start(room, &job);
    await_begun(room, 2);
    hear(go);
    assert_int_equal(stat(room->work_dir, &after), 0);
    assert_true(before.st_ino == after.st_ino);
    assert_int_equal(after.st_mode & 07777, 0711);
    static const char *const files[] = {"params.json", "out", "control", "work", "log.txt"};
    for (size_t i = 0; i < HD_COUNT(files); i++) {
        assert_true(hd_format(path, sizeof(path), "%s/%s", room->run_dir, files[i]));
        assert_true(hd_path_exists(path));
    }
    name_of(&job, name);
    assert_true(fake_docker_is_running(room->fake, name));
    /* One for the job after it is made, and none was made for this one. */
    fake_docker_await(room->fake, FAKE_START, 3);
    assert_int_equal(fake_docker_count(room->fake, FAKE_CREATE), 3);
    assert_int_equal(find_ahead(room, number, next), 1);
    fake_docker_say(room->fake, name, "its log");
    fake_docker_exit(room->fake, name, 3, false);
    struct hd_engine_end end = room_end(room, 2);
    assert_int_equal(end.kind, HD_END_EXITED);
    assert_int_equal(end.exit_code, 3);
    size_t size;
    char *log = test_file_read(room->log_path, &size);
    assert_string_equal(log, "its log\n");
    free(log);
    hd_engine_remove(room->engine, job.attempt);
    fake_docker_await_gone(room->fake, name);
}

/* What differs in anything but the job is another container; a second attempt and a config with
 * state of its own have theirs made for them. */
static void what_does_not_fit_gets_its_own(void **state)
{
    struct docker_room *room = *state;
    static char other_word[] = "deaf", other_variable[] = "A=c";
    char number[32], name[HD_ENGINE_NAME_MAX], kept[DOCKER_ROOM_PATH + 16];
    int go = begin(room, number), created = fake_docker_count(room->fake, FAKE_CREATE);
    for (uint32_t i = 0; i < 6; i++) {
        struct hd_engine_job job = job_of(room, 10 + i);
        char *argv[] = {other_word, NULL}, *env[] = {other_variable, NULL};
        job.argv = i == 0 ? argv : job.argv;
        job.env = i == 1 ? env : job.env;
        job.memory_bytes = i == 2 ? 1u << 30 : 0;
        job.attempt.attempt = i == 3 ? 2 : 1;
        job.attempt.run_uid += i == 4 ? 1 : 0;
        job.ahead = i != 0 && i != 1 && i != 2 && i != 4; /* asks for no more of its own */
        if (i == 5) {
            assert_true(hd_format(kept, sizeof(kept), "%s/kept", room->work_dir));
            test_file_write(kept, "state");
        }
        if (i < 3 || i == 4) { /* and asked, it is not given that one */
            struct hd_engine_job asks = job;
            asks.ahead = true;
            struct hd_docker *docker = (struct hd_docker *)room->engine;
            pthread_mutex_lock(&docker->lock);
            assert_false(hd_docker_hand_ahead(docker, &asks));
            pthread_mutex_unlock(&docker->lock);
        }
        room_start(room, &job);
        await_begun(room, job.attempt.job);
        assert_int_equal(fake_docker_count(room->fake, FAKE_CREATE), ++created);
        name_of(&job, name);
        assert_true(fake_docker_is_running(room->fake, name));
    }
    char byte;
    assert_true(read(go, &byte, 1) < 0); /* nobody told it anything */
    close(go);
}

/* Somebody ended it meanwhile: another one is made, and the job never knows. */
static void a_container_that_has_ended_is_not_used(void **state)
{
    struct docker_room *room = *state;
    char number[32], name[HD_ENGINE_NAME_MAX];
    close(begin(room, number));
    hd_docker_ahead_name(number, name, sizeof(name));
    fake_docker_exit(room->fake, name, 137, false);
    struct hd_engine_job job = job_of(room, 2);
    room_start(room, &job);
    await_begun(room, 2);
    assert_false(fake_docker_has(room->fake, name));
    name_of(&job, name);
    assert_true(fake_docker_is_running(room->fake, name));
    fake_docker_exit(room->fake, name, 0, false);
    assert_int_equal(room_end(room, 2).kind, HD_END_EXITED);
}

/* It ended between our look and our word: no target ran, so there is nothing to judge. */
static void one_that_did_not_hear_has_not_started(void **state)
{
    struct docker_room *room = *state;
    char number[32], name[HD_ENGINE_NAME_MAX];
    close(begin(room, number));
    struct hd_engine_job job = job_of(room, 2);
    room_start(room, &job);
    await_begun(room, 2);
    name_of(&job, name);
    fake_docker_exit(room->fake, name, 125, false);
    struct hd_engine_end end = room_end(room, 2);
    assert_int_equal(end.kind, HD_END_NOT_STARTED);
    assert_false(end.config_error);
}

static void a_name_that_is_taken_and_a_stop_are_no_trouble(void **state)
{
    struct docker_room *room = *state;
    char number[32], name[HD_ENGINE_NAME_MAX];
    close(begin(room, number));
    struct hd_engine_job job = job_of(room, 2);
    name_of(&job, name);
    fake_docker_add_stranger(room->fake, name);
    room_start(room, &job);
    await_begun(room, 2);
    fake_docker_await_running(room->fake, name);
    hd_engine_stop(room->engine, job.attempt, 0);
    struct hd_engine_end end = room_end(room, 2);
    assert_true(end.stopped);
}

/* Nothing of its run is here any more. */
static void one_whose_job_never_comes_is_removed(void **state)
{
    struct docker_room *room = *state;
    char number[32], name[HD_ENGINE_NAME_MAX], ahead[HD_ENGINE_NAME_MAX];
    room_close_engine(room);
    room->tuning.ahead_idle_ms = 20;
    room_open(room);
    close(begin(room, number));
    hd_docker_ahead_name(number, ahead, sizeof(ahead));
    struct hd_engine_job job = job_of(room, 1);
    name_of(&job, name);
    fake_docker_exit(room->fake, name, 0, false);
    (void)room_end(room, 1);
    assert_true(fake_docker_has(room->fake, ahead)); /* its run is here until it is acknowledged */
    hd_engine_remove(room->engine, job.attempt);
    fake_docker_await_gone(room->fake, ahead);
}

static void none_is_left_by_an_engine_that_closes_or_dies(void **state)
{
    struct docker_room *room = *state;
    char number[32], name[HD_ENGINE_NAME_MAX];
    close(begin(room, number));
    hd_docker_ahead_name(number, name, sizeof(name));
    room_close_engine(room);
    assert_false(fake_docker_has(room->fake, name));
    assert_int_equal(find_ahead(room, "", number), 0);
    room_open(room);
    struct hd_engine_job job = job_of(room, 2);
    room_start(room, &job);
    fake_docker_await(room->fake, FAKE_START, 4);
    assert_int_equal(find_ahead(room, "", number), 1);
    hd_docker_ahead_name(number, name, sizeof(name));
    /* A removal that is refused, as by a process that is killed: the next one does it. */
    fake_docker_fail(room->fake, FAKE_REMOVE, 500, "{\"message\":\"busy\"}", 1);
    room_close_engine(room);
    assert_true(fake_docker_has(room->fake, name));
    room_open(room);
    assert_false(fake_docker_has(room->fake, name));
}

/* The next process of the worker finds what was told to begin under its job's name, and since when
 * it runs; what was not told never began. */
static void what_began_is_found_again(void **state)
{
    struct docker_room *room = *state;
    char number[32], name[HD_ENGINE_NAME_MAX], path[DOCKER_ROOM_PATH + 64];
    struct hd_engine_found found[4];
    size_t count = 0;
    int64_t before_ms = hd_clock_wall_ms();
    int go = begin(room, number);
    struct hd_engine_job job = job_of(room, 2);
    room_start(room, &job);
    await_begun(room, 2);
    hear(go);
    room_close_engine(room);
    room_open(room);
    assert_hd_ok(hd_engine_list(room->engine, found, HD_COUNT(found), &count, &err));
    assert_int_equal(count, 2);
    assert_true(found[0].attempt.job == 2 || found[1].attempt.job == 2);
    assert_hd_ok(hd_engine_adopt(room->engine, job.attempt, &job, &err));
    name_of(&job, name);
    fake_docker_exit(room->fake, name, 0, false);
    struct hd_engine_end end = room_end(room, 2);
    assert_int_equal(end.kind, HD_END_EXITED);
    assert_true(end.started_wall_ms + 1 >= before_ms);
    room_close_engine(room);
    assert_true(hd_format(path, sizeof(path), "%s/ahead/%s/begun", room->dir, number));
    assert_int_equal(unlink(path), 0);
    room_open(room);
    assert_hd_fails(hd_engine_adopt(room->engine, job.attempt, &job, &err), HD_E_NOTFOUND, "");
}

/* The byte goes out before the beginning is noted: a quick target has ended by then, and took no
 * time. */
static void one_that_ended_before_its_beginning_was_noted_took_no_time(void **state)
{
    struct docker_room *room = *state;
    char number[32], name[HD_ENGINE_NAME_MAX], path[DOCKER_ROOM_PATH + 64];
    int go = begin(room, number);
    struct hd_engine_job job = job_of(room, 2);
    room_start(room, &job);
    await_begun(room, 2);
    hear(go);
    const struct timespec later[] = {{.tv_sec = time(NULL) + 3600}, {.tv_sec = time(NULL) + 3600}};
    assert_true(hd_format(path, sizeof(path), "%s/ahead/%s/begun", room->dir, number));
    assert_int_equal(utimensat(AT_FDCWD, path, later, 0), 0);
    name_of(&job, name);
    fake_docker_exit(room->fake, name, 0, false);
    struct hd_engine_end end = room_end(room, 2);
    assert_int_equal(end.started_wall_ms, (int64_t)later[0].tv_sec * 1000);
    assert_int_equal(end.finished_wall_ms, end.started_wall_ms);
}

/* Where it could not work none is made. */
static void it_is_off_where_it_cannot_work(void **state)
{
    struct docker_room *room = *state;
    static char machine[] = "kata";
    char number[32];
    struct hd_container container = {.runtime = machine};
    for (uint32_t i = 0; i < 2; i++) {
        struct hd_engine_job job = job_of(room, 1 + i);
        if (i == 0) {
            job.container = &container;
        } else {
            room_close_engine(room);
            room->files = HD_FILES_COPY;
            room_open(room);
        }
        room_start(room, &job);
        await_begun(room, job.attempt.job);
        struct hd_docker *docker = (struct hd_docker *)room->engine;
        pthread_mutex_lock(&docker->lock);
        assert_int_equal(docker->watch_count, 1);
        pthread_mutex_unlock(&docker->lock);
        assert_int_equal(find_ahead(room, "", number), 0);
    }
}

#define IN_ROOM(test) cmocka_unit_test_setup_teardown(test, setup, room_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        IN_ROOM(the_next_job_gets_the_container_that_waits),
        IN_ROOM(what_does_not_fit_gets_its_own),
        IN_ROOM(a_container_that_has_ended_is_not_used),
        IN_ROOM(one_that_did_not_hear_has_not_started),
        IN_ROOM(a_name_that_is_taken_and_a_stop_are_no_trouble),
        IN_ROOM(one_whose_job_never_comes_is_removed),
        IN_ROOM(none_is_left_by_an_engine_that_closes_or_dies),
        IN_ROOM(what_began_is_found_again),
        IN_ROOM(one_that_ended_before_its_beginning_was_noted_took_no_time),
        IN_ROOM(it_is_off_where_it_cannot_work),
    };
    return cmocka_run_group_tests_name("docker_ahead", tests, NULL, NULL);
}
