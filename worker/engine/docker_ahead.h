/* SPDX-License-Identifier: Apache-2.0 */
/*
 * docker_ahead.h: containers that are started before their job is known (target.ahead), so that a
 * job need not wait for the engine.
 *
 *   <state dir>/ahead/launch          the program that waits in them
 *   <state dir>/ahead/<number>/
 *     box/launch, box/go              -> /.hyperdock: a link to it, and a FIFO
 *     run/, work/                     -> /hyperdock and /hyperdock/work, until the job comes
 *     begun                           it was told to begin; its time is when
 *
 * A mount is of a directory and not of its name. When the job comes, its files are moved into
 * `run`, and `run` and `work` are renamed to what the job's directories are called: from then on
 * nothing differs from a container that was made for it, its name included, which is why only a
 * config without state of its own begins so. Its labels cannot change; they bear the number, and
 * its name says whose it is. One byte in the FIFO tells the program to become the image's.
 *
 * Whether a container fits a job is decided by the request that made it: it has to be the one that
 * the job would make, byte for byte, but for names. One whose job never comes is removed: when
 * nothing of its run has been here for a while, when the engine closes, and when the next process
 * of this worker finds it; the program ends by itself when this process is gone, since nobody else
 * has the FIFO open.
 *
 * Each has a watch like any other; it is made in the watch's thread, and the job is handed to it.
 */
#ifndef HD_ENGINE_DOCKER_AHEAD_H
#define HD_ENGINE_DOCKER_AHEAD_H

#include "docker_api.h"

#define HD_DOCKER_AHEADS_MAX 64

struct hd_docker;
struct hd_docker_watch;

enum hd_docker_ahead_state {
    HD_DOCKER_AHEAD_NONE,    /* an ordinary watch */
    HD_DOCKER_AHEAD_WAITING, /* for the job before it, whose start goes first */
    HD_DOCKER_AHEAD_MAKING,
    HD_DOCKER_AHEAD_READY,
    HD_DOCKER_AHEAD_HANDED, /* it has a job */
    HD_DOCKER_AHEAD_GONE,   /* no job comes to it any more */
};

struct hd_docker_ahead {
    /* Guarded by the engine's lock. */
    enum hd_docker_ahead_state state;
    struct hd_attempt_ref after;
    struct hd_arena *arena; /* of the job that was handed to it */
    struct hd_engine_job job;
    /* Set before its thread begins. */
    char number[HD_DOCKER_AHEAD_SIZE];
    char dir[HD_DOCKER_PATH_SIZE];
    char *key;
    /* The thread's own. */
    bool is; /* its container was made ahead; false: given up, and another one is made */
    int go_fd;
    bool renamed, placed, told;
};

/* ---- docker_ahead.c ---------------------------------------------------------------------------
 */
/* With the lock: gives the job to a container that is there or being made; false: it gets one of
 * its own. */
bool hd_docker_hand_ahead(struct hd_docker *docker, const struct hd_engine_job *job);
/* With the lock: the next one, when there are not enough. */
void hd_docker_want_ahead(struct hd_docker *docker, const struct hd_engine_job *job);
/* The watch's thread until it has a job; false: none came, and nothing is left of it. */
bool hd_docker_make_ahead(struct hd_docker_watch *watch);

/* ---- docker_ahead_files.c ---------------------------------------------------------------------
 */
/* Its directories; job->run_dir and work_dir are those in it. */
HD_NODISCARD enum hd_code hd_docker_ahead_make_files(struct hd_docker_ahead *ahead,
                                                     const char *ahead_dir,
                                                     const struct hd_engine_job *job,
                                                     struct hd_err *err);
/* They become the job's. HD_E_EXISTS: its work directory holds something. */
HD_NODISCARD enum hd_code hd_docker_ahead_place(const struct hd_docker_ahead *ahead,
                                                const struct hd_engine_job *job,
                                                struct hd_err *err);
HD_NODISCARD enum hd_code hd_docker_ahead_tell(const struct hd_docker_ahead *ahead,
                                               struct hd_err *err);
/* It ended without having heard it. */
bool hd_docker_ahead_was_deaf(const struct hd_docker_ahead *ahead);
/* When it was told to begin; 0: it was not. */
int64_t hd_docker_ahead_begun_ms(const char *ahead_dir, const char *number);
void hd_docker_ahead_remove_files(const char *ahead_dir, const char *number);
bool hd_docker_is_empty(const char *directory);
/* What an earlier process left: containers without a job, and directories without a container. */
void hd_docker_clean_aheads(struct hd_docker *docker);

#endif
