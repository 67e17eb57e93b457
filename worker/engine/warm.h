/* SPDX-License-Identifier: Apache-2.0 */
/*
 * warm.h: targets that stay alive and take jobs one after another, over any other engine.
 *
 * This engine wraps one that runs containers or processes (the inner one). A job without `warm`
 * goes through as it is. For the others it keeps inner targets, each with a socket, and hands them
 * one job at a time: a line out, lines back (warm_line.h). What a target says is written into the
 * files of its attempt by us, so whoever reads an attempt sees the same files as of one that ran
 * alone, and a result is read only from there.
 *
 *   <state dir>/warm/<number>/          ours alone
 *     log.txt                           what the inner target prints; parts go to the attempts'
 *     note                              whose directory the box holds
 *     box/                              -> /hyperdock of the inner target
 *       socket                          gone once the target has connected
 *       <job>-<attempt>/{out,work}, and control once it is asked to stop
 *       .spare/                       an empty one, for the next job
 *
 * A target sees the directories of its one job and of no other, though mounts cannot change while
 * it runs: the config's directory is moved into the box and back. Everything in a box may be a
 * trap: it is reached through descriptors and followed through no link.
 *
 * A stream socket in a mounted directory was chosen over the container's standard input: nothing
 * that a library prints gets between the lines, no engine call is in the way of a job, nothing
 * depends on a connection to the daemon, and commands have it too. It needs a machine that shares
 * its directories with the engine, as the mounts do.
 *
 * Life: starting -> busy <-> idle -> ending. Whatever is in doubt goes to ending: the inner target
 * is killed, its end is awaited, and only then is the directory given back and the job ended. A
 * target is used again only after an answer that was in time, complete, and for its job.
 *
 * Threads: the worker's calls, and one that serves the sockets and the inner engine's news. Both
 * hold `lock` for whatever they do, calls of the inner engine included.
 */
#ifndef HD_ENGINE_WARM_H
#define HD_ENGINE_WARM_H

#include "engine_ops.h"
#include "warm_line.h"

#include <pthread.h>
#include <sys/stat.h>

#define HD_WARM_MAX (2 * HD_HELD_MAX)
#define HD_WARM_PATH_MAX 4096
#define HD_WARM_START_MS_MAX 600000 /* until it has connected */
#define HD_WARM_CLOSED_MS_MAX 5000  /* between the end of its connection and its own */
#define HD_WARM_LOG_EVERY_MS 1000   /* how often its output is passed on in a job */
#define HD_WARM_LOG_BYTES_MAX (HD_LOG_BYTES_MAX / 2) /* of output; then another one is started */
#define HD_WARM_GARBAGE_MAX 16                       /* lines of a job that cannot be read */
#define HD_WARM_KEY_BYTES_MAX (4u * 1024u * 1024u)
#define HD_WARM_KNOWN_MAX 64
#define HD_WARM_SOCKET "socket"
#define HD_WARM_INSIDE "/hyperdock" /* where a container sees its box */

enum hd_warm_state { HD_WARM_STARTING, HD_WARM_IDLE, HD_WARM_BUSY, HD_WARM_ENDING };

/* The job that a target has. */
struct hd_warm_task {
    struct hd_attempt_ref attempt;
    char id[HD_WARM_ID_SIZE];
    char run_dir[HD_WARM_PATH_MAX], work_dir[HD_WARM_PATH_MAX];
    struct hd_buf line;
    size_t line_sent;
    int box_fd;       /* its directory in the box */
    struct stat work; /* the config's directory, to know it again */
    bool boxed;
    int64_t timeout_ms, grace_ms, heartbeat_ms;             /* 0 none, but for the grace */
    int64_t deadline_ms, beat_by_ms, stop_by_ms, log_at_ms; /* HD_NEVER_MS: not */
    int64_t started_wall_ms;
    uint32_t garbage;
    bool stopped, timed_out;
    char doubt[HD_MESSAGE_MAX]; /* why it is ended; "" no doubt */
};

struct hd_warm_target {
    enum hd_warm_state state;
    struct hd_attempt_ref ref; /* of the inner engine */
    bool container;
    char *gpus; /* as in its job; NULL none */
    char *key;  /* jobs with the same may use it; NULL: no more */
    char dir[HD_WARM_PATH_MAX];
    int box_fd, listen_fd, fd, log_fd, note_fd; /* -1: none */
    struct hd_buf in;
    bool has_spare;
    struct stat spare; /* the directory of the last job, to know it again */
    bool stops;
    uint32_t jobs, jobs_max; /* answered */
    int64_t idle_ms, grace_ms;
    uint64_t memory_bytes;
    pid_t pid;                       /* of who connected; 0 not known */
    char oom_path[HD_WARM_PATH_MAX]; /* file of the kernel that counts kills; "" none */
    int64_t oom_count;
    int64_t start_by_ms, idle_until_ms, closed_at_ms; /* HD_NEVER_MS: not */
    uint64_t log_offset;
    bool has_task;
    struct hd_warm_task task;
};

/* A job whose image decides, while the inner engine finds out. */
struct hd_warm_waiting {
    struct hd_arena *arena;
    struct hd_engine_job job;
};

/* An image of a run that says that its targets stay. */
struct hd_warm_known {
    uint64_t run_uid;
    uint64_t image; /* hash of its name */
};

struct hd_warm {
    struct hd_engine base;
    struct hd_engine_ops ops; /* ours, under the inner engine's name */
    struct hd_engine *inner;
    struct hd_queue *inner_news, *news;
    char dir[HD_WARM_PATH_MAX]; /* <state dir>/warm */
    uint32_t slots;
    pthread_t thread;
    int wake_fd;
    pthread_mutex_t lock;
    /* Guarded by it. */
    bool closing;
    uint32_t serial;
    uint32_t cold; /* attempts that run once */
    struct hd_warm_target *targets[HD_WARM_MAX];
    struct hd_attempt_ref ended[HD_WARM_MAX]; /* told, not yet removed */
    size_t ended_count;
    struct hd_warm_waiting *waiting[HD_HELD_MAX];
    struct hd_warm_known known[HD_WARM_KNOWN_MAX]; /* the oldest is overwritten */
    size_t known_next;
};

/* ---- warm.c -----------------------------------------------------------------------------------
 */
/* With the lock: gives the job, whose `warm` says no more that its image decides, to a target. */
HD_NODISCARD enum hd_code hd_warm_start_job(struct hd_warm *warm, const struct hd_engine_job *job,
                                            struct hd_err *err);

/* ---- warm_label.c: images that say that their targets stay; all with the lock ------------------
 */
bool hd_warm_is_known(const struct hd_warm *warm, const struct hd_engine_job *job);
/* As one for a target that stays, until the caller's scope ends. */
struct hd_engine_job hd_warm_as_warm(const struct hd_engine_job *job, struct hd_warm_job *ret_warm);
/* Keeps it until the inner engine knows. */
HD_NODISCARD enum hd_code
hd_warm_wait_for_label(struct hd_warm *warm, const struct hd_engine_job *job, struct hd_err *err);
bool hd_warm_waits(const struct hd_warm *warm, struct hd_attempt_ref attempt);
void hd_warm_forget_waiting(struct hd_warm *warm, struct hd_attempt_ref attempt);
/* The inner engine says that its target stays: it is started as one. */
void hd_warm_take_label(struct hd_warm *warm, struct hd_attempt_ref attempt);

/* ---- warm_run.c: all with the lock ------------------------------------------------------------
 */
void *hd_warm_main(void *warm);
/* Sends what it can of the job's line, and from then on the job's time runs. */
void hd_warm_send(struct hd_warm *warm, struct hd_warm_target *target);
/* Is ended without haste: it has no job. */
void hd_warm_retire(struct hd_warm *warm, struct hd_warm_target *target);
void hd_warm_free_target(struct hd_warm *warm, struct hd_warm_target *target);
void hd_warm_wake(struct hd_warm *warm);

/* ---- warm_box.c: files ------------------------------------------------------------------------
 */
/* Directory, box and socket of a new target. */
HD_NODISCARD enum hd_code hd_warm_box_make(struct hd_warm *warm, struct hd_warm_target *target,
                                           struct hd_err *err);
/* With everything that is left in it. */
void hd_warm_box_remove(struct hd_warm_target *target);
/* The job's directories. The task's id and paths are set. */
HD_NODISCARD enum hd_code hd_warm_box_put(struct hd_warm_target *target, struct hd_err *err);
/* Back to where they were; false: the config's directory is not there any more. */
bool hd_warm_box_take(struct hd_warm_target *target);
void hd_warm_box_ask_stop(struct hd_warm_target *target);
/* What an earlier process left: directories go back to where they were. */
void hd_warm_box_recover(const char *dir);
/* Of the attempt: loss.json, a line of metrics.jsonl. A full disk: false. */
bool hd_warm_write_loss(const struct hd_warm_task *task, const char *text, size_t size);
bool hd_warm_write_point(const struct hd_warm_task *task, struct hd_buf *text);
/* What was printed since the last time goes to the attempt's log. */
void hd_warm_pass_log(struct hd_warm_target *target);
/* Who connected, and where the kernel counts kills for want of memory. */
void hd_warm_look_at_peer(struct hd_warm_target *target);
/* Kills since it was asked last. */
bool hd_warm_had_oom(struct hd_warm_target *target);
/* It holds so much of its memory limit that the next job would pay for it. */
bool hd_warm_is_fat(const struct hd_warm_target *target);

#endif
