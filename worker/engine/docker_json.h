/* SPDX-License-Identifier: Apache-2.0 */
/*
 * docker_json.h: what goes to a Docker engine and what comes back, as values. Pure.
 *
 * The engine is trusted with root, but its bytes still pass through limits: a proxy in between, a
 * label written by somebody else or a later version may hold anything. Parsers take what they need
 * and ignore the rest. Outputs are untouched on failure.
 */
#ifndef HD_ENGINE_DOCKER_JSON_H
#define HD_ENGINE_DOCKER_JSON_H

#include <hd/engine.h>

#define HD_DOCKER_ID_SIZE 72    /* 64 hex digits */
#define HD_DOCKER_STAMP_SIZE 40 /* 2026-11-21T02:07:31.150370958Z */
#define HD_DOCKER_USER_SIZE 64
#define HD_DOCKER_PATH_SIZE 4096
#define HD_DOCKER_GPU_SIZE 128 /* a UUID */
#define HD_DOCKER_BODY_MAX                                                                         \
    (4u * 1024u * 1024u) /* any answer; a list of many containers is the largest */
#define HD_DOCKER_PULL_LINE_MAX 16384
#define HD_DOCKER_LOG_FILE_BYTES_MAX "16m" /* what the engine itself keeps, twice */

/* Versions of the API that we speak: 1.40 (Docker 19.03) and up; nothing that is used here changed
 * its form between these. */
#define HD_DOCKER_MINOR_MIN 40
#define HD_DOCKER_MINOR_MAX 47

/* Of what is made before its job is known: docker_ahead.h. */
#define HD_DOCKER_AHEAD_SIZE 17 /* a number, in hex digits */

enum hd_docker_status {
    HD_DOCKER_CREATED, /* never started, or its start was refused (then state.error says why) */
    HD_DOCKER_RUNNING, /* also paused and restarting */
    HD_DOCKER_EXITED,  /* also dead */
    HD_DOCKER_REMOVING,
};

struct hd_docker_container {
    char id[HD_DOCKER_ID_SIZE];
    enum hd_docker_status status;
    bool oom_killed;
    int exit_code;
    char error[HD_MESSAGE_MAX];
    char image_id[HD_IMAGE_ID_MAX];            /* "" not said */
    int64_t started_wall_ms, finished_wall_ms; /* 0: never */
    /* From our labels. */
    bool labelled; /* attempt, worker and run_dir are valid */
    struct hd_attempt_ref attempt;
    char worker[HD_WORKER_ID_MAX];
    char run_dir[HD_DOCKER_PATH_SIZE];
    bool copied;                      /* it has its files in itself */
    char ahead[HD_DOCKER_AHEAD_SIZE]; /* it was made before its job was known, which its name says
                                         since: the number of its directory; "" it was not */
};

/* GET /containers/{id}/json. */
HD_NODISCARD enum hd_code hd_docker_parse_inspect(const char *text, size_t size,
                                                  struct hd_docker_container *ret_container,
                                                  struct hd_err *err);
/* GET /containers/json: the entries that carry our labels, at most found_max (HD_E_LIMIT beyond).
 */
HD_NODISCARD enum hd_code hd_docker_parse_list(const char *text, size_t size,
                                               struct hd_engine_found *found, size_t found_max,
                                               size_t *ret_count, struct hd_err *err);
/* Likewise those that were made before their job was known. */
struct hd_docker_found_ahead {
    char id[HD_DOCKER_ID_SIZE];
    char ahead[HD_DOCKER_AHEAD_SIZE];
    bool has_job; /* that its name says */
};
HD_NODISCARD enum hd_code hd_docker_parse_aheads(const char *text, size_t size,
                                                 struct hd_docker_found_ahead *found,
                                                 size_t found_max, size_t *ret_count,
                                                 struct hd_err *err);
/* POST /containers/create. */
HD_NODISCARD enum hd_code hd_docker_parse_created(const char *text, size_t size, char *ret_id,
                                                  struct hd_err *err);
/* POST /containers/{id}/wait: the exit code, or the engine's own error. */
HD_NODISCARD enum hd_code hd_docker_parse_wait(const char *text, size_t size, int *ret_exit_code,
                                               struct hd_err *err);
/* GET /info. */
struct hd_docker_info {
    bool rootless;  /* root in a container is the person who runs the engine */
    bool no_memory; /* it says that it cannot limit memory */
};
HD_NODISCARD enum hd_code hd_docker_parse_info(const char *text, size_t size,
                                               struct hd_docker_info *ret_info, struct hd_err *err);
/* GET /images/NAME/json: its id; ret_id: HD_IMAGE_ID_MAX bytes. */
HD_NODISCARD enum hd_code hd_docker_parse_image_id(const char *text, size_t size, char *ret_id,
                                                   struct hd_err *err);
/* The same answer: whether its label hyperdock.warm says that its targets stay. */
HD_NODISCARD enum hd_code hd_docker_parse_image_warm(const char *text, size_t size, bool *ret_warm,
                                                     struct hd_err *err);
/* The same: what a container of it runs, with the job's words or its own, in the arena; ends with
 * NULL. HD_E_INVALID: nothing. */
HD_NODISCARD enum hd_code hd_docker_parse_image_words(const char *text, size_t size,
                                                      char *const *argv, struct hd_arena *arena,
                                                      char *const **ret_words, struct hd_err *err);
/* GET /events: JSON lines; true when one says that memory ran out. */
bool hd_docker_events_have_oom(const char *text, size_t size);
/* The message of an error answer: {"message": ...} or plain text, one line, cut to fit. */
void hd_docker_error_text(const char *text, size_t size, char *ret_text, size_t text_size);

/* "1.41" -> 41. */
HD_NODISCARD bool hd_docker_parse_version(const char *text, int *ret_minor);
/* The least minor version named in "client version 1.41 is too old. Minimum supported ...". */
HD_NODISCARD bool hd_docker_parse_version_floor(const char *text, int *ret_minor);
/* RFC 3339 with fraction to wall-clock milliseconds; the engine's zero date gives 0. */
HD_NODISCARD bool hd_docker_parse_time(const char *text, int64_t *ret_wall_ms);
/* RFC 3339 to "seconds.nanoseconds", as the since parameter wants it. */
HD_NODISCARD bool hd_docker_since_text(const char *stamp, char *ret_text, size_t text_size);

/* "host:5000/repo:tag@digest" to what a pull asks for; the tag is never empty, since an empty one
 * pulls every tag there is. */
HD_NODISCARD bool hd_docker_split_image(const char *image, char *ret_repository,
                                        size_t repository_size, char *ret_tag, size_t tag_size);
/* hyperdock-<run uid>-<job>-<attempt>; size >= HD_ENGINE_NAME_MAX */
void hd_docker_container_name(struct hd_attempt_ref attempt, char *ret_name, size_t name_size);
/* hyperdock-ahead-<number> */
void hd_docker_ahead_name(const char *ahead, char *ret_name, size_t name_size);
/* How a container gets at its files. */
struct hd_docker_place {
    const char *user;        /* of the container; "" leaves the image's */
    bool copied;             /* /hyperdock is a volume of its own instead of our directories */
    const char *data_volume; /* copied: the volume that holds the data; NULL none */
    const char *const *mount_volumes; /* copied: those of the job's mounts; one that is NULL is left
                                         out; NULL: none are there */
    const char *ahead;      /* made before its job is known: the number of its directory; NULL */
    const char *launch_dir; /* ahead: our directory with what it waits by */
    char *const *words;     /* ahead: what it runs then */
};
#define HD_DOCKER_LAUNCH_INSIDE "/.hyperdock"
#define HD_DOCKER_LAUNCH "launch"
#define HD_DOCKER_GO "go"
/* The body of create. */
HD_NODISCARD enum hd_code hd_docker_write_create(const struct hd_engine_job *job,
                                                 const struct hd_docker_place *place,
                                                 struct hd_buf *out, struct hd_err *err);
/* A container of no image that mounts the directory: see docker_copy.c. */
HD_NODISCARD enum hd_code hd_docker_write_probe(const char *directory, struct hd_buf *out,
                                                struct hd_err *err);
/* One with the volumes of another one, for putting files there. */
HD_NODISCARD enum hd_code hd_docker_write_helper(const struct hd_engine_job *job, const char *id,
                                                 struct hd_buf *out, struct hd_err *err);
/* One with the volume at /data, to be written. */
HD_NODISCARD enum hd_code hd_docker_write_filler(const struct hd_engine_job *job,
                                                 const char *volume, struct hd_buf *out,
                                                 struct hd_err *err);
/* The same as one line for a shell. */
HD_NODISCARD enum hd_code hd_docker_write_command_line(const struct hd_engine_job *job,
                                                       const char *user, struct hd_buf *out,
                                                       struct hd_err *err);

/* ---- refusals ------------------------------------------------------------------------------- */

/* What a registry's or engine's refusal of a pull means. */
enum hd_pull_trouble {
    HD_PULL_NO_SUCH_IMAGE, /* or none that we may read without a login */
    HD_PULL_NO_LOGIN,      /* the login is missing or wrong */
    HD_PULL_NO_NAME,       /* its registry's name leads nowhere from here */
    HD_PULL_NO_ANSWER,     /* network, too many requests, an error of the registry's own */
    HD_PULL_NO_ROOM,       /* the machine's disk */
    HD_PULL_OTHER,         /* not known: as if there were no such image */
};
enum hd_pull_trouble hd_docker_pull_trouble(const char *text);

enum hd_docker_stage { HD_DOCKER_PULL, HD_DOCKER_CREATE, HD_DOCKER_START };
/* Whether the experiment is at fault (true: trying elsewhere or again is useless) or the machine.
 * http_status 0: the error came inside a stream. */
bool hd_docker_is_config_error(enum hd_docker_stage stage, int http_status, const char *text);

/* What a person can do about a refusal, one clause; NULL: nothing is known of it. */
const char *hd_docker_advice(const char *text);

/* ---- streams -------------------------------------------------------------------------------- */

/*
 * Log frames: [stream, 0, 0, 0, length BE32] and the payload, which begins with a time stamp and a
 * blank. They arrive split anywhere. Payloads go to `write` without header and stamp; those
 * stamped up to resume_after were seen before and are left out. Nothing is buffered but the stamp.
 */
struct hd_docker_frames {
    void (*write)(void *context, const char *bytes, size_t size);
    void *context;
    unsigned char header[8];
    size_t header_used;
    uint32_t left; /* payload bytes to come */
    bool in_stamp, skip, broken;
    char stamp[HD_DOCKER_STAMP_SIZE];
    size_t stamp_used;
    char last[HD_DOCKER_STAMP_SIZE]; /* the newest stamp so far, "" none */
    char resume_after[HD_DOCKER_STAMP_SIZE];
    /* Set before a stream begins: it is the whole log, and as many bytes as were written before are
     * left out. Podman's stamps are whole seconds and cannot tell lines apart; Docker's are one for
     * all pieces of a long line. Unset when the stream does not begin as the first one did: the
     * engine has dropped the beginning since, and stamps have to do. */
    bool by_count;
    bool stamped;                     /* this stream has begun with a stamp */
    char first[HD_DOCKER_STAMP_SIZE]; /* of all streams, "" none */
    uint64_t came, written;           /* in this stream; in all of them */
};
/* Begins a stream; what `last` holds from an earlier one becomes resume_after. */
void hd_docker_frames_begin(struct hd_docker_frames *frames);
/* False when the bytes are not frames; the stream is useless from there on. */
HD_NODISCARD bool hd_docker_frames_feed(struct hd_docker_frames *frames, const char *bytes,
                                        size_t size);

/* The JSON lines of a pull, a load or a build; keeps the last error, and how far each layer is. */
#define HD_DOCKER_LAYERS_MAX 128 /* an image has at most 127 */
struct hd_docker_layer {
    char id[16]; /* "" this place is free */
    double done; /* 0 to 1 */
};
struct hd_docker_pull_stream {
    struct hd_docker_layer layers[HD_DOCKER_LAYERS_MAX];
    size_t layer_count;
    char last[160];                               /* the last line of text that a build said */
    void (*say)(void *context, const char *line); /* each of these lines; NULL none */
    void *say_context;
    char line[HD_DOCKER_PULL_LINE_MAX];
    size_t line_used;
    bool line_cut;
    char error[HD_MESSAGE_MAX]; /* "" none */
};
void hd_docker_pull_feed(struct hd_docker_pull_stream *pull, const char *bytes, size_t size);
void hd_docker_pull_end(struct hd_docker_pull_stream *pull); /* an unterminated last line counts */
/* 0 to 100; -1: it has said nothing of layers yet. */
int hd_docker_pull_percent(const struct hd_docker_pull_stream *pull);

#endif
