/* SPDX-License-Identifier: Apache-2.0 */
/*
 * docker.h: the Docker engine's own parts: one struct for the engine, one thread and one struct
 * for each attempt that is watched.
 *
 * A watch goes through make -> start -> follow -> ended; whenever the engine could not be asked it
 * goes to away, waits with back-off, and then looks at the container by its id: what inspect says
 * is the truth, everything else only a reason to look. A watch lives on after its end until the
 * attempt is removed or dropped, since its thread does that too.
 */
#ifndef HD_ENGINE_DOCKER_H
#define HD_ENGINE_DOCKER_H

#include "docker_ahead.h"
#include "docker_api.h"
#include "engine_ops.h"
#include "log_sink.h"

#include <pthread.h>

#define HD_DOCKER_WATCHES_MAX (2 * HD_HELD_MAX)
#define HD_DOCKER_CREATE_TRIES_MAX 5
#define HD_DOCKER_PULLS_MAX 16 /* images that are pulled at the same time */
#define HD_DOCKER_FRESH_MAX 64 /* runs whose image was asked for anew, as pull: always wants */

/* Times; tests shorten them. */
struct hd_docker_tuning {
    int64_t hold_ms;        /* how long the engine must have answered before a kill that nobody
                             * asked for is believed not to be the engine's own end */
    int64_t away_ms_max;    /* an engine that is away for longer has lost its attempts */
    int64_t backoff_ms_min; /* doubled up to the maximum while it is away */
    int64_t backoff_ms_max;
    int64_t look_ms;        /* how often a running container is looked at, in case wait hangs */
    int64_t drain_ms;       /* how long the rest of a log may take after the end */
    int64_t answer_ms;      /* of a test: short beside a lease, which nobody renews meanwhile */
    int64_t kill_margin_ms; /* after the grace, before we kill by ourselves */
    uint64_t log_bytes_max;
    int pull_tries;           /* when the registry does not answer */
    int64_t pull_wait_ms_min; /* before the second try; doubled for each further one */
    int64_t pull_stall_ms;    /* a pull that brings nothing for so long has failed */
    int64_t load_stall_ms;    /* likewise for an archive that the engine loads */
    int64_t pull_say_ms;      /* how often it says how far it is */
    int64_t files_ms;         /* how often the curve of a target is fetched */
    int64_t
        ahead_idle_ms; /* how long a container waits for a job when nothing of its run is here */
};
extern const struct hd_docker_tuning hd_docker_tuning_default;

struct hd_docker_watch;

struct hd_docker_fresh {
    uint64_t run_uid;
    uint64_t image; /* hash of its name */
};

struct hd_docker {
    struct hd_engine base;
    struct hd_docker_endpoint endpoint;
    struct hd_docker_tuning tuning;
    char worker[HD_WORKER_ID_MAX];
    char user[HD_DOCKER_USER_SIZE]; /* of containers; "" the image's own */
    bool copies;                    /* files are sent and fetched */
    struct hd_queue *queue;
    const struct hd_image_source *images; /* NULL: only registries */
    char
        volumes_dir[HD_DOCKER_PATH_SIZE]; /* which volumes of data are filled; "" nothing is kept */
    char images_dir[HD_DOCKER_PATH_SIZE]; /* where images that are handed over wait to be loaded */
    char ahead_dir[HD_DOCKER_PATH_SIZE];  /* of containers that are made ahead; "" none are */
    uint32_t slots;                       /* 0: not known */
    uint32_t ahead_serial;
    struct hd_docker_api api; /* of the worker's thread */

    pthread_mutex_t lock;
    pthread_cond_t changed; /* a pull ended, a watch was asked for something, closing */
    /* Guarded by lock. */
    struct hd_docker_watch *watches;
    size_t watch_count;
    const char *pulled[HD_DOCKER_PULLS_MAX];           /* one pull at a time of each; NULL: free */
    struct hd_docker_fresh fresh[HD_DOCKER_FRESH_MAX]; /* the oldest is overwritten */
    size_t fresh_next;
    struct hd_docker_fresh cold[HD_DOCKER_FRESH_MAX]; /* runs whose image has no label of a target
                                                         that stays; likewise */
    size_t cold_next;
    bool filling; /* the volume of a data set */
    bool closing;
    int64_t closing_by_ms; /* removals that are under way may go on until then */
};

enum hd_docker_task {
    HD_DOCKER_TASK_RUN,    /* create, start, follow */
    HD_DOCKER_TASK_ADOPT,  /* look, follow */
    HD_DOCKER_TASK_REMOVE, /* nothing but remove */
    HD_DOCKER_TASK_AHEAD,  /* make one, and run it when it has a job */
};

/* A volume of the engine's that holds a directory of ours. */
struct hd_docker_volume {
    const char *source;
    char name[HD_ENGINE_NAME_MAX / 2];
};

struct hd_docker_watch {
    struct hd_docker_watch *next;
    struct hd_docker *engine;
    struct hd_attempt_ref attempt;
    enum hd_docker_task task;
    pthread_t thread;
    struct hd_docker_http *http;

    /* Guarded by the engine's lock. */
    bool stop_asked;
    int64_t stop_by_ms; /* when the grace ends */
    int64_t stop_grace_ms;
    bool gone_asked;  /* remove or drop */
    bool begun, over; /* its target was started; its end is told */
    bool finished;    /* the thread only needs to be joined */

    struct hd_docker_ahead ahead;

    /* The thread's own. */
    struct hd_docker_api api;
    struct hd_arena *arena; /* what job points to */
    struct hd_engine_job job;
    bool interrupt_on_stop; /* before the start a stop ends everything */
    bool removing;
    char name[HD_ENGINE_NAME_MAX];
    char id[HD_DOCKER_ID_SIZE]; /* "" until known; then requests go by it */
    bool engine_was_lost;       /* the connection broke while the container ran */
    bool followed;              /* it was seen running by us */
    int64_t away_since_ms;      /* HD_NEVER_MS: it answers */
    int64_t backoff_ms;
    char away_text[256]; /* the last trouble */
    int64_t deadline_ms; /* of the time limit */
    int64_t look_at_ms;
    bool stopping, timed_out;
    int64_t kill_at_ms;
    bool copied;                      /* its files are in the container: docker_copy.c */
    bool stop_passed;                 /* control/stop is there */
    struct hd_docker_volume *volumes; /* copied: that hold its data, each once */
    size_t volume_count;
    const char **mount_volumes; /* copied: the one of each mount; NULL: a link has it */
    int64_t files_at_ms;        /* when they are looked at again */
    struct hd_docker_call *wait, *logs, *stop;
    bool logs_complete, logs_refused;
    int64_t logs_again_ms;
    uint64_t log_bytes;   /* that came, frames and all */
    unsigned log_streams; /* that were begun */
    struct hd_docker_frames frames;
    struct hd_log_sink sink;
    struct hd_docker_container seen;
    struct hd_engine_end end;
};

HD_NODISCARD enum hd_code hd_docker_open(const struct hd_engine_options *options,
                                         const struct hd_docker_tuning *tuning,
                                         struct hd_engine **ret_engine, struct hd_err *err);

/* The thread of a watch: struct hd_docker_watch *. */
void *hd_docker_watch_main(void *watch);

/* ---- how a running container is followed (docker_follow.c) ------------------------------------
 */

enum hd_docker_phase {
    HD_DOCKER_MAKE,
    HD_DOCKER_START_IT,
    HD_DOCKER_RELEASE, /* it was made ahead: the job is given to it */
    HD_DOCKER_LOOK,
    HD_DOCKER_FOLLOW,
    HD_DOCKER_AWAY,
    HD_DOCKER_ENDED, /* watch->end says how */
    HD_DOCKER_LEAVE, /* dropped, removed or closing: no news */
};
/* Something must end what the thread is doing. */
bool hd_docker_watch_interrupted(void *watch);
bool hd_docker_watch_stop_asked(struct hd_docker_watch *watch);
/* Remembers why, and goes away. */
enum hd_docker_phase hd_docker_go_away(struct hd_docker_watch *watch, const char *text);
void hd_docker_not_started(struct hd_docker_watch *watch, bool config_error, const char *what,
                           const char *text);
/* The same in the engine's own words, with what can be done about it. */
void hd_docker_refused_to(struct hd_docker_watch *watch, bool config_error, const char *what,
                          const char *text);
void hd_docker_lost(struct hd_docker_watch *watch, const char *text);
/* Dropped, removed or closing. */
bool hd_docker_watch_must_leave(struct hd_docker_watch *watch);
/* Waits until then or until something asks for attention, while calls go on. */
void hd_docker_watch_pause(struct hd_docker_watch *watch, int64_t until_ms);
void hd_docker_end_calls(struct hd_docker_watch *watch);

/* Registers a wait for the next end, starts, and follows. */
enum hd_docker_phase hd_docker_start_and_wait(struct hd_docker_watch *watch);
/* START_IT: an end from now on is heard of. */
enum hd_docker_phase hd_docker_register_wait(struct hd_docker_watch *watch);
/* Its target runs from now on. */
void hd_docker_begin_follow(struct hd_docker_watch *watch);
/* Gives the job to the container that was made ahead (docker_ahead.c). */
enum hd_docker_phase hd_docker_release(struct hd_docker_watch *watch);
/* With the lock: a watch for one that is made ahead, whose key it then owns. */
HD_NODISCARD enum hd_code hd_docker_add_ahead(struct hd_docker *docker,
                                              const struct hd_engine_job *job,
                                              const struct hd_docker_ahead *ahead,
                                              struct hd_err *err);
/* Waits for the end of what runs already. */
enum hd_docker_phase hd_docker_attach(struct hd_docker_watch *watch);
enum hd_docker_phase hd_docker_follow(struct hd_docker_watch *watch);
/* It has exited: reads what is left of its log, and finds out how it ended. */
enum hd_docker_phase hd_docker_judge(struct hd_docker_watch *watch);

/* ---- files of an engine that does not see ours (docker_copy.c) ---------------------------------
 */

#define HD_DOCKER_COPY_BYTES_MAX (UINT64_C(256) << 30) /* of a job's files, either way */
#define HD_DOCKER_COPY_ENTRIES_MAX 1000000u
#define HD_DOCKER_COPY_STALL_MS 120000 /* a transfer that stands still for so long has failed */
#define HD_DOCKER_CURVE_BYTES_MAX (64u << 20) /* of a curve that is fetched while it grows */

/* Whether the engine finds a directory that is made below `state_dir`. */
bool hd_docker_sees(struct hd_docker *docker, const char *state_dir);
/* Into the container that was made. START_IT: they are there. */
enum hd_docker_phase hd_docker_send_files(struct hd_docker_watch *watch);
/* Names the volumes that hold the job's data sets and volumes as they are now: docker_data.c.
 * HD_E_INVALID: one is written to, or is no directory. */
HD_NODISCARD enum hd_code hd_docker_name_data(struct hd_docker_watch *watch,
                                              struct hd_docker_place *ret_place,
                                              struct hd_err *err);
/* It is below /hyperdock/data, which is a link to /data in a container that has its files in
 * itself. */
bool hd_docker_is_linked_data(const struct hd_mount *mount);
/* Fills those volumes, when the job has any, that are not filled. */
HD_NODISCARD enum hd_code hd_docker_send_data(struct hd_docker_watch *watch, struct hd_err *err);
/* A file without a name on that disk. */
HD_NODISCARD enum hd_code hd_docker_open_archive(const char *directory, int *ret_fd,
                                                 struct hd_err *err);
/* The curve, and a request to stop, when it is time. */
void hd_docker_tend_files(struct hd_docker_watch *watch, int64_t now_ms);
/* control/stop, at once, when the attempt's directory has it. */
void hd_docker_pass_stop(struct hd_docker_watch *watch);
/* All that a target left. FOLLOW: it is here; the end can be judged. */
enum hd_docker_phase hd_docker_fetch_files(struct hd_docker_watch *watch);

/* ---- images (docker_pull.c) --------------------------------------------------------------------
 */

/* Brings the job's image here as its pull policy says, `missing`: the engine has just said that it
 * does not have it. HD_DOCKER_MAKE: it is here. */
enum hd_docker_phase hd_docker_get_image(struct hd_docker_watch *watch, bool missing);
/* pull: always, and this run's image was not asked for yet. */
bool hd_docker_image_is_due(struct hd_docker_watch *watch);
/* A job whose image decides: ENDED with says_warm when it says that its targets stay, MAKE when
 * not, or when nobody asks (docker_label.c). */
enum hd_docker_phase hd_docker_judge_label(struct hd_docker_watch *watch);
/* target.strict: the image that the container was made of is the run's. */
enum hd_docker_phase hd_docker_judge_image(struct hd_docker_watch *watch);

/* ---- files (docker_files.c) -------------------------------------------------------------------
 */

/* Makes the directories that are mounted into the run directory, so that the engine does not make
 * them as root. */
HD_NODISCARD enum hd_code hd_docker_make_mount_points(const struct hd_engine_job *job,
                                                      struct hd_err *err);

#endif
