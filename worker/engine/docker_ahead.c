/* SPDX-License-Identifier: Apache-2.0 */
/* docker_ahead.c: the life of a container that is started ahead, until it has a job; see
 * docker_ahead.h. */
#include "docker.h"

#include <string.h>
#include <unistd.h>

#define JOB_BYTES_MAX (4u * 1024u * 1024u)
#define CREATE_BODY_MAX (4u * 1024u * 1024u)
#define AHEAD_JOB_FLAG 0x40000000u /* in the job number of its watch; jobs are fewer */

/* ---- which jobs -------------------------------------------------------------------------------
 */

/* Podman's waits hear of no start, files that are copied need none of this, and what runs
 * containers in machines of their own has no FIFO with us. */
static bool can_be_ahead(const struct hd_docker *docker, const struct hd_engine_job *job)
{
    const char *runtime = job->container != NULL ? job->container->runtime : NULL;
    return job->ahead && (job->warm == NULL || job->warm->by_label) &&
           docker->ahead_dir[0] != '\0' && !docker->copies &&
           !atomic_load(&docker->endpoint.podman) &&
           (runtime == NULL || hd_streq(runtime, "runc") || hd_streq(runtime, "nvidia"));
}

/* The request that would make it, without what is one job's. NULL: no memory. */
static char *key_of(const struct hd_docker *docker, const struct hd_engine_job *job)
{
    struct hd_engine_job any = *job;
    struct hd_buf body;
    struct hd_err ignored;
    const struct hd_docker_place place = {.user = docker->user};
    any.attempt.job = any.attempt.attempt = 0;
    any.config_id = "";
    any.run_dir = "run";
    any.work_dir = "work";
    hd_buf_init(&body, CREATE_BODY_MAX);
    enum hd_code code = hd_docker_write_create(&any, &place, &body, &ignored);
    /* Not in the request, and judged when it was made. */
    if (code == HD_OK)
        code = hd_buf_printf(&body, &ignored, "%d %s %d", job->strict,
                             job->image_id != NULL ? job->image_id : "", (int)job->pull);
    char *key = code == HD_OK ? hd_strdup(hd_buf_text(&body)) : NULL;
    hd_buf_release(&body);
    return key;
}

static bool is_free(const struct hd_docker_watch *watch)
{
    return watch->ahead.state == HD_DOCKER_AHEAD_WAITING ||
           watch->ahead.state == HD_DOCKER_AHEAD_MAKING ||
           watch->ahead.state == HD_DOCKER_AHEAD_READY;
}

/* One that is there, before one that is being made. */
static struct hd_docker_watch *find_free(struct hd_docker *docker, const char *key)
{
    struct hd_docker_watch *found = NULL;
    for (struct hd_docker_watch *watch = docker->watches; watch != NULL; watch = watch->next)
        if ((watch->ahead.state == HD_DOCKER_AHEAD_MAKING ||
             watch->ahead.state == HD_DOCKER_AHEAD_READY) &&
            (found == NULL || watch->ahead.state == HD_DOCKER_AHEAD_READY) &&
            hd_streq(watch->ahead.key, key))
            found = watch;
    return found;
}

static bool give(struct hd_docker_watch *watch, const struct hd_engine_job *job)
{
    struct hd_docker_ahead *ahead = &watch->ahead;
    struct hd_err ignored;
    if (hd_arena_new(JOB_BYTES_MAX, &ahead->arena, &ignored) != HD_OK)
        return false;
    if (!hd_engine_copy_job(ahead->arena, job, &ahead->job)) {
        hd_arena_free(ahead->arena);
        ahead->arena = NULL;
        return false;
    }
    ahead->state = HD_DOCKER_AHEAD_HANDED;
    watch->attempt = job->attempt;
    hd_docker_http_wake(watch->http);
    return true;
}

bool hd_docker_hand_ahead(struct hd_docker *docker, const struct hd_engine_job *job)
{
    if (!can_be_ahead(docker, job) || job->attempt.attempt != 1 ||
        !hd_docker_is_empty(job->work_dir))
        return false;
    char *key = key_of(docker, job);
    struct hd_docker_watch *watch = key != NULL ? find_free(docker, key) : NULL;
    hd_free(key);
    return watch != NULL && give(watch, job);
}

/* ---- a new one --------------------------------------------------------------------------------
 */

static uint32_t count_free(const struct hd_docker *docker, const char *key)
{
    uint32_t count = 0;
    for (const struct hd_docker_watch *watch = docker->watches; watch != NULL; watch = watch->next)
        count += is_free(watch) && (key == NULL || hd_streq(watch->ahead.key, key)) ? 1 : 0;
    return count;
}

static void add_ahead(struct hd_docker *docker, const struct hd_engine_job *job, char *key)
{
    struct hd_docker_ahead ahead = {.state = HD_DOCKER_AHEAD_WAITING,
                                    .after = job->attempt,
                                    .key = key,
                                    .is = true,
                                    .go_fd = -1};
    struct hd_engine_job next = *job;
    char run[HD_DOCKER_PATH_SIZE], work[HD_DOCKER_PATH_SIZE];
    struct hd_err ignored;
    (void)hd_format(ahead.number, sizeof(ahead.number), "%016llx",
                    (unsigned long long)hd_os_random_u64());
    next.attempt.job = AHEAD_JOB_FLAG | docker->ahead_serial++ % AHEAD_JOB_FLAG;
    next.attempt.attempt = 1;
    next.config_id = "";
    next.run_dir = run;
    next.work_dir = work;
    next.log_path = NULL;
    next.warm = NULL;
    if (!hd_format(ahead.dir, sizeof(ahead.dir), "%s/%s", docker->ahead_dir, ahead.number) ||
        !hd_format(run, sizeof(run), "%s/run", ahead.dir) ||
        !hd_format(work, sizeof(work), "%s/work", ahead.dir) ||
        hd_docker_add_ahead(docker, &next, &ahead, &ignored) != HD_OK)
        hd_free(key);
}

/* As many as there are jobs at a time. */
void hd_docker_want_ahead(struct hd_docker *docker, const struct hd_engine_job *job)
{
    uint32_t wanted = docker->slots > 0 ? docker->slots : 1;
    if (!can_be_ahead(docker, job))
        return;
    char *key = key_of(docker, job);
    if (key != NULL && count_free(docker, key) < wanted &&
        count_free(docker, NULL) < HD_DOCKER_AHEADS_MAX)
        add_ahead(docker, job, key);
    else
        hd_free(key);
}

/* ---- its thread -------------------------------------------------------------------------------
 */

/* With the lock. */
static bool leaves(const struct hd_docker_watch *watch)
{
    return watch->engine->closing || watch->gone_asked;
}

/* With the lock: the job before it has neither begun nor ended. */
static bool is_before(const struct hd_docker_watch *watch)
{
    for (const struct hd_docker_watch *other = watch->engine->watches; other != NULL;
         other = other->next)
        if (hd_attempt_ref_equal(other->attempt, watch->ahead.after))
            return !other->begun && !other->over && !other->gone_asked;
    return false;
}

/* The start that a job waits for goes first. */
static bool wait_for_turn(struct hd_docker_watch *watch)
{
    struct hd_docker *engine = watch->engine;
    pthread_mutex_lock(&engine->lock);
    while (!leaves(watch) && is_before(watch))
        pthread_cond_wait(&engine->changed, &engine->lock);
    bool turn = !leaves(watch);
    if (turn)
        watch->ahead.state = HD_DOCKER_AHEAD_MAKING;
    pthread_mutex_unlock(&engine->lock);
    return turn;
}

static enum hd_code create_and_start(struct hd_docker_watch *watch, struct hd_err *err)
{
    struct hd_docker_ahead *ahead = &watch->ahead;
    struct hd_docker_refusal refusal;
    char box[HD_DOCKER_PATH_SIZE], name[HD_ENGINE_NAME_MAX];
    struct hd_docker_place place = {
        .user = watch->engine->user, .ahead = ahead->number, .launch_dir = box};
    struct hd_buf body;
    hd_buf_init(&body, CREATE_BODY_MAX);
    hd_docker_ahead_name(ahead->number, name, sizeof(name));
    (void)hd_format(box, sizeof(box), "%.*s/box", (int)sizeof(box) - 8, ahead->dir);
    enum hd_code code =
        hd_docker_ahead_make_files(ahead, watch->engine->ahead_dir, &watch->job, err);
    if (code == HD_OK)
        code = hd_docker_image_words(&watch->api, watch->job.image, watch->job.argv, watch->arena,
                                     &place.words, err);
    if (code == HD_OK)
        code = hd_docker_write_create(&watch->job, &place, &body, err);
    if (code == HD_OK)
        code = hd_docker_create(&watch->api, name, hd_buf_text(&body), watch->id, &refusal, err);
    if (code == HD_OK && hd_docker_judge_image(watch) != HD_DOCKER_START_IT)
        code = hd_fail(err, HD_E_CONFLICT, "it is another image than the run's");
    if (code == HD_OK)
        code = hd_docker_start(&watch->api, watch->id, &refusal, err);
    hd_buf_release(&body);
    return code;
}

/* With the lock: something of its run is here, jobs that are done and not yet told of included. */
static bool is_wanted(const struct hd_docker_watch *watch)
{
    for (const struct hd_docker_watch *other = watch->engine->watches; other != NULL;
         other = other->next)
        if (!is_free(other) && other->ahead.state != HD_DOCKER_AHEAD_GONE && !other->finished &&
            other->attempt.run_uid == watch->attempt.run_uid)
            return true;
    return false;
}

static bool wait_for_job(struct hd_docker_watch *watch, bool made)
{
    struct hd_docker *engine = watch->engine;
    int64_t idle_since_ms = hd_clock_ms();
    for (;;) {
        pthread_mutex_lock(&engine->lock);
        int64_t now_ms = hd_clock_ms();
        bool handed = watch->ahead.state == HD_DOCKER_AHEAD_HANDED;
        if (!handed && is_wanted(watch))
            idle_since_ms = now_ms;
        bool over =
            !made || leaves(watch) || now_ms >= idle_since_ms + engine->tuning.ahead_idle_ms;
        if (!handed)
            watch->ahead.state = over ? HD_DOCKER_AHEAD_GONE : HD_DOCKER_AHEAD_READY;
        pthread_mutex_unlock(&engine->lock);
        if (handed || over)
            return handed;
        hd_docker_http_pump(watch->http, engine->tuning.ahead_idle_ms / 4 + 1);
    }
}

static void discard(struct hd_docker_watch *watch)
{
    struct hd_err ignored;
    watch->removing = true;
    if (watch->id[0] != '\0')
        (void)!hd_docker_remove(&watch->api, watch->id, &ignored);
    watch->removing = false;
    watch->id[0] = '\0';
    watch->ahead.is = false;
    hd_docker_ahead_remove_files(watch->engine->ahead_dir, watch->ahead.number);
}

/* Its own job from now on. */
static void take_job(struct hd_docker_watch *watch)
{
    struct hd_err err;
    hd_arena_free(watch->arena);
    watch->arena = watch->ahead.arena;
    watch->job = watch->ahead.job;
    watch->ahead.arena = NULL;
    hd_docker_container_name(watch->attempt, watch->name, sizeof(watch->name));
    /* As for any other one: without a log it runs. */
    if (watch->job.log_path != NULL &&
        hd_log_sink_open(&watch->sink, watch->job.log_path, watch->engine->tuning.log_bytes_max,
                         &err) != HD_OK)
        hd_log(HD_LOG_WARNING, "job %u: no log: %s", watch->attempt.job, err.text);
}

bool hd_docker_make_ahead(struct hd_docker_watch *watch)
{
    struct hd_err err;
    bool turn = wait_for_turn(watch);
    bool made = turn && create_and_start(watch, &err) == HD_OK;
    if (turn && !made && !hd_docker_watch_must_leave(watch))
        hd_log(HD_LOG_INFO, "no container is made ahead: %s", err.text);
    bool handed = wait_for_job(watch, made);
    if (!handed || !made)
        discard(watch);
    if (handed)
        take_job(watch);
    return handed;
}

/* ---- it has a job -----------------------------------------------------------------------------
 */

/* Another one is made, as if there had been none. */
static enum hd_docker_phase fall_back(struct hd_docker_watch *watch, const char *why)
{
    hd_log(HD_LOG_INFO, "job %u: it cannot have the container that was made ahead: %s",
           watch->attempt.job, why);
    discard(watch);
    return HD_DOCKER_MAKE;
}

static enum hd_docker_phase after(struct hd_docker_watch *watch, enum hd_code code, const char *why)
{
    if (code == HD_E_CANCELLED)
        return HD_DOCKER_LEAVE;
    if (code == HD_E_NET || code == HD_E_TIMEOUT)
        return hd_docker_go_away(watch, why);
    return fall_back(watch, why);
}

enum hd_docker_phase hd_docker_release(struct hd_docker_watch *watch)
{
    struct hd_docker_ahead *ahead = &watch->ahead;
    struct hd_err err;
    enum hd_code code = hd_docker_inspect(&watch->api, watch->id, &watch->seen, &err);
    if (code == HD_OK && watch->seen.status != HD_DOCKER_RUNNING)
        return fall_back(watch, "it has ended");
    if (code == HD_OK && !ahead->renamed) {
        code = hd_docker_rename(&watch->api, watch->id, watch->name, &err);
        ahead->renamed = code == HD_OK;
    }
    if (code != HD_OK)
        return after(watch, code, err.text);
    if (hd_docker_watch_stop_asked(watch))
        return HD_DOCKER_LEAVE;
    if (!ahead->placed && hd_docker_ahead_place(ahead, &watch->job, &err) != HD_OK)
        return fall_back(watch, err.text);
    ahead->placed = true;
    enum hd_docker_phase phase = hd_docker_register_wait(watch);
    if (phase != HD_DOCKER_START_IT)
        return phase;
    if (hd_docker_ahead_tell(ahead, &err) != HD_OK)
        return fall_back(watch, err.text);
    ahead->told = true;
    hd_docker_begin_follow(watch);
    return HD_DOCKER_FOLLOW;
}
