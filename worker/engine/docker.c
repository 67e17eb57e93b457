/* SPDX-License-Identifier: Apache-2.0 */
/* docker.c: the Docker engine as <hd/engine.h> wants it; see docker.h. */
#include "docker.h"

#include <hd/os.h>

#include <string.h>
#include <unistd.h>

#define JOB_BYTES_MAX (4u * 1024u * 1024u)
#define CLOSE_MS_MAX 10000 /* for removals that are under way */

const struct hd_docker_tuning hd_docker_tuning_default = {
    .hold_ms = 20000,
    .away_ms_max = 10 * 60 * 1000,
    .backoff_ms_min = 100,
    .backoff_ms_max = 5000,
    .look_ms = 30000,
    .drain_ms = 10000,
    .answer_ms = 3000,
    .kill_margin_ms = 5000,
    .log_bytes_max = HD_LOG_BYTES_MAX,
    .pull_tries = 5,
    .pull_wait_ms_min = 1000,
    .pull_stall_ms = 120 * 1000,
    .load_stall_ms = 10 * 60 * 1000,
    .pull_say_ms = 2000,
    .files_ms = 2000,
    .ahead_idle_ms = 30000,
};

static struct hd_docker *docker_of(struct hd_engine *engine)
{
    return (struct hd_docker *)engine; /* base is its first member */
}

/* ---- watches -------------------------------------------------------------------------------- */

static struct hd_docker_watch *find_watch(struct hd_docker *docker, struct hd_attempt_ref attempt)
{
    for (struct hd_docker_watch *watch = docker->watches; watch != NULL; watch = watch->next)
        if (hd_attempt_ref_equal(watch->attempt, attempt))
            return watch;
    return NULL;
}

static void free_watch(struct hd_docker_watch *watch)
{
    if (watch == NULL)
        return;
    hd_log_sink_close(&watch->sink);
    hd_docker_http_free(watch->http);
    hd_arena_free(watch->arena);
    hd_arena_free(watch->ahead.arena);
    if (watch->ahead.go_fd >= 0)
        close(watch->ahead.go_fd);
    hd_free(watch->ahead.key);
    hd_free(watch);
}

/* Joins the threads that are done; called with the lock held, which a finished thread no longer
 * takes. */
static void reap(struct hd_docker *docker)
{
    for (struct hd_docker_watch **at = &docker->watches; *at != NULL;) {
        struct hd_docker_watch *watch = *at;
        if (!watch->finished) {
            at = &watch->next;
            continue;
        }
        *at = watch->next;
        docker->watch_count--;
        pthread_join(watch->thread, NULL);
        free_watch(watch);
    }
}

/* ---- a new watch ---------------------------------------------------------------------------- */

static void write_log(void *context, const char *bytes, size_t size)
{
    hd_log_sink_write(context, bytes, size);
}

static enum hd_code prepare_watch(struct hd_docker_watch *watch, const struct hd_engine_job *job,
                                  struct hd_err *err)
{
    struct hd_docker *docker = watch->engine;
    enum hd_code code = hd_docker_http_new(&docker->endpoint, &watch->http, err);
    if (code == HD_OK)
        code = hd_arena_new(JOB_BYTES_MAX, &watch->arena, err);
    if (code != HD_OK)
        return code;
    if (job != NULL && !hd_engine_copy_job(watch->arena, job, &watch->job))
        return hd_fail(err, HD_E_LIMIT,
                       "the job's command and environment are longer than %u bytes", JOB_BYTES_MAX);
    if (job != NULL && job->log_path != NULL)
        code = hd_log_sink_open(&watch->sink, job->log_path, docker->tuning.log_bytes_max, err);
    watch->frames.write = write_log;
    watch->frames.context = &watch->sink;
    watch->api = (struct hd_docker_api){.endpoint = &docker->endpoint,
                                        .http = watch->http,
                                        .interrupted = hd_docker_watch_interrupted,
                                        .context = watch};
    hd_docker_container_name(watch->attempt, watch->name, sizeof(watch->name));
    return code;
}

/* `ahead`: NULL none; its key is the caller's on failure. */
static enum hd_code add_watch(struct hd_docker *docker, struct hd_attempt_ref attempt,
                              enum hd_docker_task task, const struct hd_engine_job *job,
                              const struct hd_docker_ahead *ahead, struct hd_err *err)
{
    if (docker->watch_count >= HD_DOCKER_WATCHES_MAX)
        return hd_fail(err, HD_E_LIMIT, "more than %d containers at once", HD_DOCKER_WATCHES_MAX);
    struct hd_docker_watch *watch = hd_calloc(1, sizeof(*watch));
    if (watch == NULL)
        return hd_fail(err, HD_E_NOMEM, "no memory for watching a container");
    watch->engine = docker;
    watch->attempt = attempt;
    watch->task = task;
    watch->copied = docker->copies;
    watch->gone_asked = task == HD_DOCKER_TASK_REMOVE;
    watch->sink.fd = -1;
    watch->ahead.go_fd = -1;
    if (ahead != NULL)
        watch->ahead = *ahead;
    watch->away_since_ms = HD_NEVER_MS;
    watch->deadline_ms = HD_NEVER_MS;
    watch->stop_by_ms = HD_NEVER_MS;
    enum hd_code code = prepare_watch(watch, job, err);
    if (code == HD_OK && pthread_create(&watch->thread, NULL, hd_docker_watch_main, watch) != 0)
        code = hd_fail(err, HD_E_NOMEM, "no thread for watching a container");
    if (code != HD_OK) {
        watch->ahead.key = NULL;
        free_watch(watch);
        return code;
    }
    watch->next = docker->watches;
    docker->watches = watch;
    docker->watch_count++;
    return HD_OK;
}

enum hd_code hd_docker_add_ahead(struct hd_docker *docker, const struct hd_engine_job *job,
                                 const struct hd_docker_ahead *ahead, struct hd_err *err)
{
    return add_watch(docker, job->attempt, HD_DOCKER_TASK_AHEAD, job, ahead, err);
}

/* An attempt that is watched already is left alone. */
static enum hd_code watch_once(struct hd_docker *docker, struct hd_attempt_ref attempt,
                               enum hd_docker_task task, const struct hd_engine_job *job,
                               struct hd_err *err)
{
    enum hd_code code = HD_OK;
    pthread_mutex_lock(&docker->lock);
    reap(docker);
    if (find_watch(docker, attempt) == NULL) {
        bool run = task == HD_DOCKER_TASK_RUN;
        if (!run || !hd_docker_hand_ahead(docker, job))
            code = add_watch(docker, attempt, task, job, NULL, err);
        if (run && code == HD_OK)
            hd_docker_want_ahead(docker, job);
    }
    pthread_mutex_unlock(&docker->lock);
    return code;
}

/* ---- the operations ------------------------------------------------------------------------- */

static enum hd_code docker_start(struct hd_engine *engine, const struct hd_engine_job *job,
                                 struct hd_err *err)
{
    if (job->image == NULL || job->image[0] == '\0')
        return hd_fail(err, HD_E_INVALID, "the docker engine needs target.image");
    return watch_once(docker_of(engine), job->attempt, HD_DOCKER_TASK_RUN, job, err);
}

static enum hd_code docker_adopt(struct hd_engine *engine, struct hd_attempt_ref attempt,
                                 const struct hd_engine_job *job, struct hd_err *err)
{
    struct hd_docker *docker = docker_of(engine);
    struct hd_docker_container container;
    char name[HD_ENGINE_NAME_MAX];
    hd_docker_container_name(attempt, name, sizeof(name));
    enum hd_code code = hd_docker_inspect(&docker->api, name, &container, err);
    /* One that was made ahead and not told to begin before its worker died has ended by itself. */
    if (code == HD_OK && container.ahead[0] != '\0' &&
        hd_docker_ahead_begun_ms(docker->ahead_dir, container.ahead) == 0)
        code = HD_E_NOTFOUND;
    if (code == HD_E_NOTFOUND)
        return hd_fail(err, HD_E_NOTFOUND,
                       "the Docker engine has no container of job %u attempt %u", attempt.job,
                       attempt.attempt);
    /* Any other trouble is the watch's, which waits until the engine answers. */
    return watch_once(docker, attempt, HD_DOCKER_TASK_ADOPT, job, err);
}

static void wake(struct hd_docker *docker, struct hd_docker_watch *watch)
{
    pthread_cond_broadcast(&docker->changed);
    hd_docker_http_wake(watch->http);
}

static void docker_stop(struct hd_engine *engine, struct hd_attempt_ref attempt, int64_t grace_ms)
{
    struct hd_docker *docker = docker_of(engine);
    int64_t by_ms = hd_clock_ms() + (grace_ms > 0 ? grace_ms : 0);
    pthread_mutex_lock(&docker->lock);
    struct hd_docker_watch *watch = find_watch(docker, attempt);
    if (watch != NULL) {
        watch->stop_asked = true;
        if (by_ms < watch->stop_by_ms) {
            watch->stop_by_ms = by_ms;
            watch->stop_grace_ms = grace_ms;
        }
        wake(docker, watch);
    }
    pthread_mutex_unlock(&docker->lock);
}

/* Both: the thread removes the container, by force when it runs, and tells nothing any more. */
static void forget(struct hd_engine *engine, struct hd_attempt_ref attempt)
{
    struct hd_docker *docker = docker_of(engine);
    struct hd_err err;
    pthread_mutex_lock(&docker->lock);
    reap(docker);
    struct hd_docker_watch *watch = find_watch(docker, attempt);
    if (watch != NULL) {
        watch->gone_asked = true;
        wake(docker, watch);
    } else {
        /* When even this fails, the container is found again at the worker's next start. */
        (void)!add_watch(docker, attempt, HD_DOCKER_TASK_REMOVE, NULL, NULL, &err);
    }
    pthread_mutex_unlock(&docker->lock);
}

/* What is being removed is not there any more, whether the engine has heard of it or not. */
static size_t leave_out_removed(struct hd_docker *docker, struct hd_engine_found *found,
                                size_t count)
{
    size_t kept = 0;
    pthread_mutex_lock(&docker->lock);
    for (size_t i = 0; i < count; i++) {
        const struct hd_docker_watch *watch = find_watch(docker, found[i].attempt);
        if (watch != NULL && watch->gone_asked)
            continue;
        if (kept != i)
            found[kept] = found[i];
        kept++;
    }
    pthread_mutex_unlock(&docker->lock);
    return kept;
}

static enum hd_code docker_list(struct hd_engine *engine, struct hd_engine_found *found,
                                size_t found_max, size_t *ret_count, struct hd_err *err)
{
    struct hd_docker *docker = docker_of(engine);
    size_t count = 0;
    enum hd_code code =
        hd_docker_list(&docker->api, docker->worker, 0, found, found_max, &count, err);
    if (code == HD_OK)
        *ret_count = leave_out_removed(docker, found, count);
    return hd_docker_absent(&docker->api, code, err); /* asked when a worker starts */
}

/* An engine may greet and yet be stuck: it is asked for its containers. */
static enum hd_code docker_answers(struct hd_engine *engine, struct hd_err *err)
{
    struct hd_docker *docker = docker_of(engine);
    struct hd_engine_found *found = hd_calloc(HD_HELD_MAX, sizeof(*found));
    size_t count = 0;
    enum hd_code code = found == NULL
                            ? hd_fail(err, HD_E_NOMEM, "no memory")
                            : hd_docker_list(&docker->api, docker->worker, docker->tuning.answer_ms,
                                             found, HD_HELD_MAX, &count, err);
    hd_free(found);
    return code;
}

static enum hd_code docker_command_line(const struct hd_engine *engine,
                                        const struct hd_engine_job *job, struct hd_buf *out,
                                        struct hd_err *err)
{
    const struct hd_docker *docker = (const struct hd_docker *)engine;
    if (job->image == NULL || job->image[0] == '\0')
        return hd_fail(err, HD_E_INVALID, "the docker engine needs target.image");
    return hd_docker_write_command_line(job, docker->user, out, err);
}

static void free_docker(struct hd_docker *docker)
{
    hd_docker_http_free(docker->api.http);
    pthread_cond_destroy(&docker->changed);
    pthread_mutex_destroy(&docker->lock);
    hd_free(docker);
}

static void docker_close(struct hd_engine *engine)
{
    struct hd_docker *docker = docker_of(engine);
    pthread_mutex_lock(&docker->lock);
    docker->closing = true;
    docker->closing_by_ms = hd_clock_ms() + CLOSE_MS_MAX;
    for (struct hd_docker_watch *watch = docker->watches; watch != NULL; watch = watch->next)
        wake(docker, watch);
    pthread_mutex_unlock(&docker->lock);
    /* Nobody else adds or removes watches: this is the thread that does. They look at each other
     * until the last one has ended. */
    for (struct hd_docker_watch *watch = docker->watches; watch != NULL; watch = watch->next)
        pthread_join(watch->thread, NULL);
    while (docker->watches != NULL) {
        struct hd_docker_watch *watch = docker->watches;
        docker->watches = watch->next;
        free_watch(watch);
    }
    free_docker(docker);
}

/* ---- opening -------------------------------------------------------------------------------- */

#define OPS(title)                                                                                 \
    {                                                                                              \
        .name = title, .start = docker_start, .stop = docker_stop, .drop = forget,                 \
        .remove = forget, .list = docker_list, .answers = docker_answers, .adopt = docker_adopt,   \
        .command_line = docker_command_line, .close = docker_close                                 \
    }
static const struct hd_engine_ops docker_ops = OPS("docker"), podman_ops = OPS("podman");

static bool never_interrupted(void *context)
{
    (void)context;
    return false;
}

/* A container runs as the image's user when the worker is root, otherwise as the worker, so that
 * what it leaves can be used and removed. Under a rootless engine root in a container *is* the
 * person who runs it. */
static void choose_user(struct hd_docker *docker, bool rootless)
{
    docker->user[0] = '\0';
    if (rootless)
        (void)hd_copy_text(docker->user, sizeof(docker->user), "0:0");
    else if (geteuid() != 0)
        (void)hd_format(docker->user, sizeof(docker->user), "%u:%u", (unsigned)geteuid(),
                        (unsigned)getegid());
}

static enum hd_code connect_docker(struct hd_docker *docker, const char *docker_host,
                                   struct hd_err *err)
{
    struct hd_docker_info info = {0};
    enum hd_code code = hd_docker_endpoint_init(&docker->endpoint, docker_host, err);
    if (code == HD_OK)
        code = hd_docker_http_new(&docker->endpoint, &docker->api.http, err);
    if (code == HD_OK)
        code = hd_docker_negotiate(&docker->api, err);
    if (code == HD_OK)
        code = hd_docker_describe(&docker->api, &info, err);
    if (code == HD_OK)
        choose_user(docker, info.rootless);
    if (code == HD_OK && info.no_memory)
        hd_log(HD_LOG_WARNING,
               "%s cannot limit memory (without root, cgroups of version 2 are needed for it): "
               "resources.memory has no effect",
               docker->endpoint.display);
    return code;
}

/* Once: an engine does not move while we work with it. */
static void choose_files(struct hd_docker *docker, const struct hd_engine_options *options)
{
    docker->copies =
        options->files == HD_FILES_COPY ||
        (options->files == HD_FILES_AUTO && !hd_docker_sees(docker, options->state_dir));
    docker->base.copies = docker->copies;
    if (docker->copies)
        hd_log(HD_LOG_INFO, "%s: files are copied to containers and back%s",
               docker->endpoint.display,
               options->files == HD_FILES_AUTO ? ", the engine does not see this worker's" : "");
}

enum hd_code hd_docker_open(const struct hd_engine_options *options,
                            const struct hd_docker_tuning *tuning, struct hd_engine **ret_engine,
                            struct hd_err *err)
{
    struct hd_docker *docker = hd_calloc(1, sizeof(*docker));
    if (docker == NULL)
        return hd_fail(err, HD_E_NOMEM, "no memory for the Docker engine");
    docker->base.ops = &docker_ops;
    docker->tuning = *tuning;
    docker->queue = options->queue;
    docker->images = options->images;
    if (options->state_dir == NULL ||
        !hd_format(docker->images_dir, sizeof(docker->images_dir), "%s/images", options->state_dir))
        docker->images = NULL;
    if (options->state_dir == NULL || !hd_format(docker->volumes_dir, sizeof(docker->volumes_dir),
                                                 "%s/volumes", options->state_dir))
        docker->volumes_dir[0] = '\0';
    if (options->state_dir == NULL ||
        !hd_format(docker->ahead_dir, sizeof(docker->ahead_dir), "%s/ahead", options->state_dir))
        docker->ahead_dir[0] = '\0';
    docker->slots = options->slots;
    docker->api.endpoint = &docker->endpoint;
    docker->api.interrupted = never_interrupted;
    pthread_mutex_init(&docker->lock, NULL);
    pthread_cond_init(&docker->changed, NULL);
    enum hd_code code = HD_OK;
    if (!hd_copy_text(docker->worker, sizeof(docker->worker), options->worker))
        code =
            hd_fail(err, HD_E_LIMIT, "the worker id is longer than %d bytes", HD_WORKER_ID_MAX - 1);
    if (code == HD_OK)
        code = connect_docker(docker, options->docker_host, err);
    if (code == HD_OK)
        choose_files(docker, options);
    if (code == HD_OK)
        hd_docker_clean_aheads(docker);
    if (code != HD_OK) {
        free_docker(docker);
        return code;
    }
    *ret_engine = &docker->base;
    return HD_OK;
}

enum hd_code hd_engine_open_docker(const struct hd_engine_options *options,
                                   struct hd_engine **ret_engine, struct hd_err *err)
{
    return hd_docker_open(options, &hd_docker_tuning_default, ret_engine, err);
}

enum hd_code hd_engine_open_podman(const struct hd_engine_options *options,
                                   struct hd_engine **ret_engine, struct hd_err *err)
{
    char host[HD_DOCKER_URL_MAX];
    struct hd_engine_options there = *options;
    enum hd_code code = HD_OK;
    if (options->docker_host == NULL) {
        code = hd_podman_host(host, sizeof(host), err);
        there.docker_host = host;
    }
    if (code == HD_OK)
        code = hd_docker_open(&there, &hd_docker_tuning_default, ret_engine, err);
    if (code == HD_OK)
        (*ret_engine)->ops = &podman_ops;
    return code;
}
