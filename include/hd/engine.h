/* SPDX-License-Identifier: Apache-2.0 */
/*
 * engine.h: what runs a target: docker, process. One interface, one contract suite.
 *
 * start() returns at once; everything after comes as struct hd_engine_news * on the worker's
 * queue. A target outlives the worker's process: list() finds what an earlier incarnation left
 * (running or ended), and adopt() watches it again.
 */
#ifndef HD_ENGINE_H
#define HD_ENGINE_H

#include <hd/experiment.h>
#include <hd/image.h>
#include <hd/message.h>
#include <hd/os.h>

#define HD_ENGINE_NAME_MAX 128
#define HD_LOG_BYTES_MAX                                                                           \
    (16u * 1024u * 1024u) /* kept per attempt: head and tail, the middle is cut */

/* A job for a target that stays alive: argv and env hold for all jobs of the run. */
struct hd_warm_job {
    const char *line; /* job.json and params as one JSON object on one line, without `work_dir` */
    uint32_t jobs;    /* these as in struct hd_warm_spec */
    int64_t idle_ms;
    int64_t heartbeat_ms;
    bool by_label;    /* only where the image says so: the job is prepared for either way */
    char *const *env; /* by_label: what its target is started with instead of the job's own */
};

#define HD_CODE_DIR_INSIDE "/hyperdock/code" /* of a container */

/* A directory or file of the host inside a container. */
struct hd_mount {
    const char *source, *target;
    bool read_only;
};
#define HD_ENGINE_MOUNTS_MAX (2 * (HD_DATA_SETS_MAX + HD_VOLUMES_MAX))

/* What to run: everything is already expanded and made. Borrowed during start(). */
struct hd_engine_job {
    struct hd_attempt_ref attempt;
    const char *worker; /* stable worker id, for labels */
    const char *run_id;
    const char *config_id; /* "[0,0,3]" */
    const char *run_dir;   /* host directory -> /hyperdock */
    const char *work_dir;  /* host directory -> /hyperdock/work */
    const char *data_dir;  /* host directory, read-only -> /data and /hyperdock/data; NULL none */
    const char *code_dir; /* host directory, read-only -> /hyperdock/code, where a container starts;
                             NULL none */
    const struct hd_mount *mounts; /* docker: further ones; no two at one place */
    size_t mount_count;
    const char *log_path;  /* stdout and stderr of the target */
    const char *cwd;       /* process: where the target starts */
    const char *image;     /* docker */
    const char *engine;    /* its name, for the policy; NULL: docker for an image, else process */
    enum hd_pull pull;     /* docker */
    const char *image_id;  /* docker: what the run's first attempt ran; "" or NULL: any */
    const char *handed_by; /* docker: address of the master that has the image; NULL: a registry */
    bool strict;           /* another image than image_id is refused */
    const char *program;   /* process: the file that is run as argv[0]; NULL: argv[0] itself */
    char *const *argv;     /* command; NULL or empty: the image's own */
    char *const *env;      /* "K=V", NULL-terminated */
    int64_t timeout_ms;    /* 0 none: TERM, grace, KILL, outcome timeout */
    int64_t stop_grace_ms;
    double cpus;           /* 0 none */
    uint64_t memory_bytes; /* 0 none */
    int64_t pids;          /* 0 none */
    const char *gpus;      /* docker: UUIDs that it may use, with commas; NULL or "": none */
    const struct hd_warm_job *warm;       /* NULL: it runs once, for this job */
    const struct hd_container *container; /* docker; NULL: nothing beyond the above */
    bool ahead; /* docker: nothing above but its directories is its own, so that a container for a
                   later one may be made meanwhile */
};

/* How it ended, raw; hd_classify() makes the outcome of it. */
enum hd_engine_end_kind {
    HD_END_EXITED,      /* exit_code, oom_killed */
    HD_END_NOT_STARTED, /* create or start refused: config or infra, see not_started */
    HD_END_ENGINE_LOST, /* the engine went away, or the container vanished */
};
struct hd_engine_end {
    enum hd_engine_end_kind kind;
    int exit_code; /* 128 + signal when killed by one */
    bool oom_killed;
    bool config_error; /* NOT_STARTED: the experiment is at fault, not the machine */
    bool timed_out;    /* we stopped it: its time limit */
    bool stopped;      /* we stopped it: hd_engine_stop() */
    bool uncharged;    /* what ran before it in the same target may be at fault: try again */
    bool says_warm;    /* NOT_STARTED, between engines: the image is one of a target that stays */
    char message[HD_MESSAGE_MAX];
    char image_id[HD_IMAGE_ID_MAX]; /* docker: what it ran, whatever its name means by now; "" */
    int64_t started_wall_ms, finished_wall_ms;
};

struct hd_engine_news {
    struct hd_attempt_ref attempt;
    bool ended; /* otherwise only `doing`, which may come often and may be lost */
    bool begun; /* docker: its target runs now and writes where it may; may be lost as well */
    bool warm;  /* begun: in a target that stays, as the image says; told when that was not known */
    struct hd_engine_end end;
    char doing[HD_DOING_MAX]; /* "pulling IMAGE 45 %"; "" it runs */
};

struct hd_engine_found {
    struct hd_attempt_ref attempt;
    bool running;
    char run_dir[4096]; /* as labelled at start */
};

/* How files come to a container and back. */
enum hd_engine_files {
    HD_FILES_BIND, /* the engine mounts our directories: it sees the same disk */
    HD_FILES_COPY, /* it does not: they are sent when the container is made, and fetched */
    HD_FILES_AUTO, /* it is asked */
};

struct hd_engine;
struct hd_engine_options {
    const char *worker;      /* stable id */
    const char *state_dir;   /* the worker's own directory */
    const char *docker_host; /* NULL: $DOCKER_HOST or the default socket */
    const char *cgroup;      /* process: where targets get a control group; NULL none */
    const char *user;        /* process: that targets run as; NULL: the worker's */
    struct hd_queue *queue;  /* where struct hd_engine_news * go */
    const struct hd_image_source *images; /* outlives the engine; NULL: only registries */
    uint32_t slots;             /* jobs at a time: idle warm targets keep within it; 0: no limit */
    enum hd_engine_files files; /* docker, podman */
};

HD_NODISCARD enum hd_code hd_engine_open_process(const struct hd_engine_options *options,
                                                 struct hd_engine **ret_engine, struct hd_err *err);
HD_NODISCARD enum hd_code hd_engine_open_docker(const struct hd_engine_options *options,
                                                struct hd_engine **ret_engine, struct hd_err *err);
/* Podman through its service, which speaks as Docker does; docker_host NULL: see hd-worker(1). */
HD_NODISCARD enum hd_code hd_engine_open_podman(const struct hd_engine_options *options,
                                                struct hd_engine **ret_engine, struct hd_err *err);
typedef enum hd_code (*hd_engine_opener)(const struct hd_engine_options *options,
                                         struct hd_engine **ret_engine, struct hd_err *err);
/* The engine that `open` gives, which jobs with `warm` are handed to target after target: see
 * worker/engine/warm.h. What an earlier process left of these is ended. */
HD_NODISCARD enum hd_code hd_engine_open_warm(const struct hd_engine_options *options,
                                              hd_engine_opener open, struct hd_engine **ret_engine,
                                              struct hd_err *err);
/* Of a worker that is gone, and whose targets have been ended: puts the directories that its warm
 * targets had back where they were. Opening the engine anew does it too. */
void hd_engine_recover_warm(const char *state_dir);
/* What list() of an engine that is not wrapped finds: a warm target instead of an attempt. */
#define HD_WARM_JOB_FLAG 0x80000000u /* in its job number; jobs are fewer */
static inline bool hd_engine_is_warm(struct hd_attempt_ref found)
{
    return (found.job & HD_WARM_JOB_FLAG) != 0;
}
/* The job's image is known to say that its targets stay. */
bool hd_engine_knows_warm(struct hd_engine *engine, const struct hd_engine_job *job);
const char *hd_engine_name(const struct hd_engine *engine); /* "docker", "podman", "process" */
/* Whatever goes wrong after the arguments are accepted comes as news. Starting an attempt that
 * already exists adopts it (a resend is harmless). */
HD_NODISCARD enum hd_code hd_engine_start(struct hd_engine *engine, const struct hd_engine_job *job,
                                          struct hd_err *err);
/* TERM, grace, KILL, the whole process group or container. News follow. Unknown: no-op. */
void hd_engine_stop(struct hd_engine *engine, struct hd_attempt_ref attempt, int64_t grace_ms);
/* KILL at once and remove, no news. */
void hd_engine_drop(struct hd_engine *engine, struct hd_attempt_ref attempt);
/* Forget an ended attempt: remove its container or shim record. */
void hd_engine_remove(struct hd_engine *engine, struct hd_attempt_ref attempt);
/* Attempts of this worker that the engine knows, ended ones included. */
HD_NODISCARD enum hd_code hd_engine_list(struct hd_engine *engine, struct hd_engine_found *found,
                                         size_t found_max, size_t *ret_count, struct hd_err *err);
/* HD_OK: it does its work now. Takes a few seconds at most, also when the engine is stuck. */
HD_NODISCARD enum hd_code hd_engine_answers(struct hd_engine *engine, struct hd_err *err);
/* Watch a found attempt again; its end comes as news (at once when it has ended). HD_E_NOTFOUND:
 * not known, or known and its target was never started and never will be: it has to be dropped. */
HD_NODISCARD enum hd_code hd_engine_adopt(struct hd_engine *engine, struct hd_attempt_ref attempt,
                                          const struct hd_engine_job *job, struct hd_err *err);
/* Stops watching; targets go on running. */
void hd_engine_close(struct hd_engine *engine);
/* The line a person can paste to run the same by hand. */
HD_NODISCARD enum hd_code hd_engine_command_line(const struct hd_engine *engine,
                                                 const struct hd_engine_job *job,
                                                 struct hd_buf *out, struct hd_err *err);

/* ---- the files of a target (worker/contract.c; see docs/target-contract.md) -------------------
 */

/* What loss.json said. */
struct hd_loss {
    bool present; /* something parseable */
    bool failed;  /* state or status: fail, failed */
    double loss;  /* minimized form (negated when the direction is maximize); NaN allowed */
    double measures[HD_RESULT_MEASURES_MAX]; /* hd_experiment_measure_count() of them, or none */
    size_t measure_count;
    char message[HD_MESSAGE_MAX];     /* "msg", "message"; or why it could not be read */
    char info_json[HD_INFO_JSON_MAX]; /* unknown keys, info, metrics; "" none */
};
/* Object with loss | value | the objective's name and state | status; a bare number; NaN and
 * Infinity literals. Never fails: an unreadable text is present=false with message. */
void hd_loss_parse(const char *text, size_t size, const struct hd_experiment *experiment,
                   struct hd_loss *ret_loss);

/* JSON as targets write it: with the nan and inf of printf too. `name` begins messages. */
HD_NODISCARD enum hd_code hd_target_json_parse(const char *text, size_t size, const char *name,
                                               struct hd_value **ret_value, struct hd_err *err);

/* First match wins: we stopped it; not started; OOM; exit code; loss. The message says what
 * happened and what to do. Sets all of the result but the attempt and the directory, which the
 * caller knows; its texts are `message` and loss->info_json. */
void hd_classify(const struct hd_engine_end *end, const struct hd_loss *loss,
                 const struct hd_experiment *experiment, enum hd_outcome stop_outcome,
                 struct hd_result *ret_result, char *message, size_t message_size);

#endif
