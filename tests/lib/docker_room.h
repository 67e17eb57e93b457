/* SPDX-License-Identifier: Apache-2.0 */
/*
 * docker_room.h: the engine of a worker beside a recorded Docker engine, in a directory of their
 * own, with the files of one attempt. Every failure fails the running test.
 */
#ifndef HD_TESTS_DOCKER_ROOM_H
#define HD_TESTS_DOCKER_ROOM_H

#include "docker.h"
#include "fake_docker.h"

#include <hd/os.h>

#define DOCKER_ROOM_WAIT_MS 30000
#define DOCKER_ROOM_PATH 1024

struct docker_room {
    char *dir;
    struct fake_docker *fake;
    struct hd_queue *queue;
    struct hd_engine *engine; /* NULL: not open */
    /* as it is opened */
    struct hd_docker_tuning tuning; /* quick; may be changed while the engine is open */
    const struct hd_image_source *images;
    enum hd_engine_files files;
    uint32_t slots;
    /* of the job */
    char run_dir[DOCKER_ROOM_PATH], work_dir[DOCKER_ROOM_PATH], log_path[DOCKER_ROOM_PATH];
    char name[HD_ENGINE_NAME_MAX]; /* of its container */
    char words[2][64], *argv[3];
    /* what was told before the last end */
    char doing[HD_DOING_MAX]; /* last */
    bool half_pulled, began_warm;
};

extern char docker_room_image[]; /* the recorded engine has it */
extern const struct hd_attempt_ref docker_room_attempt;

/* Of zeroed memory: everything but the engine, which room_open() opens with what is set then. */
void room_make(struct docker_room *room);
void room_open(struct docker_room *room);
void room_close_engine(struct docker_room *room);
void room_restart(struct docker_room *room); /* a worker that starts again */
void room_release(struct docker_room *room);
/* For tests that need no more: a quick engine, open. */
int room_setup(void **state);
int room_teardown(void **state);

/* docker_room_attempt with a command of one or two words: argument may be NULL. */
struct hd_engine_job room_job(struct docker_room *room, const char *program, const char *argument);
void room_start(struct docker_room *room, const struct hd_engine_job *job);
void room_start_program(struct docker_room *room, const char *program, const char *argument);
void room_run_until_started(struct docker_room *room, const char *program); /* and is watched */
void room_adopt(struct docker_room *room, const char *program);
/* Its container goes, and the attempt may be had again. */
void room_forget(struct docker_room *room);

/* The end that is told next; it is of this job. */
struct hd_engine_end room_end(struct docker_room *room, uint32_t job);
struct hd_engine_end room_expect(struct docker_room *room, enum hd_engine_end_kind kind,
                                 int exit_code, const char *message);
void room_assert_no_end(struct docker_room *room); /* of what has been told by now */

#endif
