/* SPDX-License-Identifier: Apache-2.0 */
/* docker_watch.c: the life of one attempt, in its own thread; see docker.h. */
#include "docker.h"

#include <hd/os.h>

#include <string.h>

#define EARLIER_MAX 8 /* attempts of a job that may have been left on an engine */
#define CREATE_BODY_MAX (4u * 1024u * 1024u)
#define REMOVE_RETRY_MS 200
#define REFUSAL_SHOWN_MAX 300 /* bytes of an engine's own words: advice has room behind them */

/* ---- what the others ask for ---------------------------------------------------------------- */

bool hd_docker_watch_interrupted(void *context)
{
    struct hd_docker_watch *watch = context;
    struct hd_docker *engine = watch->engine;
    pthread_mutex_lock(&engine->lock);
    bool interrupted = engine->closing;
    if (watch->removing)
        interrupted = engine->closing && hd_clock_ms() >= engine->closing_by_ms;
    else if (watch->interrupt_on_stop)
        interrupted = interrupted || watch->stop_asked || watch->gone_asked;
    pthread_mutex_unlock(&engine->lock);
    return interrupted;
}

bool hd_docker_watch_stop_asked(struct hd_docker_watch *watch)
{
    pthread_mutex_lock(&watch->engine->lock);
    bool asked = watch->stop_asked;
    pthread_mutex_unlock(&watch->engine->lock);
    return asked;
}

bool hd_docker_watch_must_leave(struct hd_docker_watch *watch)
{
    pthread_mutex_lock(&watch->engine->lock);
    bool leave = watch->engine->closing || watch->gone_asked;
    pthread_mutex_unlock(&watch->engine->lock);
    return leave;
}

/* A wake only cuts a pump short; what it was for is seen in the flags. */
void hd_docker_watch_pause(struct hd_docker_watch *watch, int64_t until_ms)
{
    for (;;) {
        int64_t now_ms = hd_clock_ms();
        if (now_ms >= until_ms || hd_docker_watch_must_leave(watch) ||
            (watch->interrupt_on_stop && hd_docker_watch_stop_asked(watch)))
            return;
        hd_docker_http_pump(watch->http, until_ms - now_ms);
    }
}

/* ---- ends ----------------------------------------------------------------------------------- */

enum hd_docker_phase hd_docker_go_away(struct hd_docker_watch *watch, const char *text)
{
    (void)hd_copy_text(watch->away_text, sizeof(watch->away_text), text);
    return HD_DOCKER_AWAY;
}

void hd_docker_not_started(struct hd_docker_watch *watch, bool config_error, const char *what,
                           const char *text)
{
    watch->end = (struct hd_engine_end){.kind = HD_END_NOT_STARTED, .config_error = config_error};
    (void)hd_format(watch->end.message, sizeof(watch->end.message), "%s: %s", what, text);
}

void hd_docker_refused_to(struct hd_docker_watch *watch, bool config_error, const char *what,
                          const char *text)
{
    char shown[HD_MESSAGE_MAX];
    const char *advice = hd_docker_advice(text);
    if (advice != NULL)
        (void)hd_format(shown, sizeof(shown), "%.*s; %s", REFUSAL_SHOWN_MAX, text, advice);
    hd_docker_not_started(watch, config_error, what, advice != NULL ? shown : text);
}

void hd_docker_lost(struct hd_docker_watch *watch, const char *text)
{
    watch->end = (struct hd_engine_end){.kind = HD_END_ENGINE_LOST,
                                        .started_wall_ms = watch->seen.started_wall_ms,
                                        .finished_wall_ms = watch->seen.finished_wall_ms};
    (void)hd_copy_text(watch->end.message, sizeof(watch->end.message), text);
}

static enum hd_docker_phase refused(struct hd_docker_watch *watch, enum hd_docker_stage stage,
                                    const struct hd_docker_refusal *refusal, const char *what)
{
    hd_docker_refused_to(watch, hd_docker_is_config_error(stage, refusal->status, refusal->text),
                         what, refusal->text);
    return HD_DOCKER_ENDED;
}

/* ---- away ----------------------------------------------------------------------------------- */

/* Where to go on: the container may have been made although no answer came. */
static enum hd_docker_phase after_away(struct hd_docker_watch *watch)
{
    return watch->id[0] != '\0' || watch->task == HD_DOCKER_TASK_ADOPT ? HD_DOCKER_LOOK
                                                                       : HD_DOCKER_MAKE;
}

static enum hd_docker_phase stay_away(struct hd_docker_watch *watch)
{
    const struct hd_docker_tuning *tuning = &watch->engine->tuning;
    char text[HD_MESSAGE_MAX];
    struct hd_err err;
    hd_docker_end_calls(watch);
    if (watch->away_since_ms == HD_NEVER_MS) {
        watch->away_since_ms = hd_clock_ms();
        watch->backoff_ms = tuning->backoff_ms_min;
    }
    if (hd_clock_ms() - watch->away_since_ms >= tuning->away_ms_max) {
        (void)hd_format(text, sizeof(text), "the Docker engine did not come back: %s",
                        watch->away_text);
        hd_docker_lost(watch, text);
        return HD_DOCKER_ENDED;
    }
    /* What was never made has nothing that would have to be stopped there. */
    bool unmade = after_away(watch) == HD_DOCKER_MAKE;
    watch->interrupt_on_stop = unmade;
    hd_docker_watch_pause(watch, hd_clock_ms() + watch->backoff_ms);
    watch->interrupt_on_stop = false;
    if (hd_docker_watch_must_leave(watch) || (unmade && hd_docker_watch_stop_asked(watch)))
        return HD_DOCKER_LEAVE;
    watch->backoff_ms = watch->backoff_ms * 2 < tuning->backoff_ms_max ? watch->backoff_ms * 2
                                                                       : tuning->backoff_ms_max;
    /* It may be another version now. */
    enum hd_code code = hd_docker_negotiate(&watch->api, &err);
    if (code == HD_E_CANCELLED)
        return after_away(watch);
    return code == HD_OK ? after_away(watch) : hd_docker_go_away(watch, err.text);
}

static void came_back(struct hd_docker_watch *watch)
{
    watch->away_since_ms = HD_NEVER_MS;
}

/* ---- make ----------------------------------------------------------------------------------- */

/* Our own earlier request may have got through: then the container is this attempt's. Whatever
 * else has the name is in the way. */
static enum hd_docker_phase take_name(struct hd_docker_watch *watch)
{
    struct hd_docker_container container;
    struct hd_err err;
    enum hd_code code = hd_docker_inspect(&watch->api, watch->name, &container, &err);
    if (code == HD_E_NOTFOUND)
        return HD_DOCKER_MAKE;
    if (code != HD_OK)
        return hd_docker_go_away(watch, err.text);
    if (container.labelled && hd_attempt_ref_equal(container.attempt, watch->attempt) &&
        hd_streq(container.worker, watch->engine->worker)) {
        memcpy(watch->id, container.id, sizeof(watch->id));
        return HD_DOCKER_LOOK;
    }
    code = hd_docker_remove(&watch->api, container.id, &err);
    return code == HD_OK || code == HD_E_BUSY ? HD_DOCKER_MAKE : hd_docker_go_away(watch, err.text);
}

/* One try; MAKE asks for another one. */
static enum hd_docker_phase create_once(struct hd_docker_watch *watch, const char *body,
                                        bool *pulled)
{
    struct hd_docker_refusal refusal = {0};
    struct hd_err err;
    enum hd_code code = hd_docker_create(&watch->api, watch->name, body, watch->id, &refusal, &err);
    if (code == HD_OK)
        return hd_docker_judge_image(watch);
    if (code == HD_E_CANCELLED)
        return HD_DOCKER_LEAVE;
    if (code == HD_E_EXISTS)
        return take_name(watch);
    if (code == HD_E_NOTFOUND && !*pulled) {
        *pulled = true;
        return hd_docker_get_image(watch, true);
    }
    if (code == HD_E_INVALID || code == HD_E_NOTFOUND)
        return refused(watch, HD_DOCKER_CREATE, &refusal, "the container cannot be created");
    return hd_docker_go_away(watch, err.text);
}

static enum hd_docker_phase create(struct hd_docker_watch *watch, const char *body)
{
    const struct hd_docker_refusal taken = {.status = 409, .text = "somebody makes it anew"};
    bool pulled = false;
    for (int try = 0; try < HD_DOCKER_CREATE_TRIES_MAX; try++) {
        if (hd_docker_watch_must_leave(watch) || hd_docker_watch_stop_asked(watch))
            return HD_DOCKER_LEAVE;
        enum hd_docker_phase phase = create_once(watch, body, &pulled);
        if (phase != HD_DOCKER_MAKE)
            return phase;
        if (try > 0)
            hd_docker_watch_pause(watch,
                                  hd_clock_ms() + (watch->engine->tuning.backoff_ms_min << try));
    }
    return refused(watch, HD_DOCKER_CREATE, &taken, "the container's name is taken");
}

/* With the lock: an older attempt of this job that is still being removed. */
static bool older_remains(const struct hd_docker_watch *watch)
{
    for (const struct hd_docker_watch *other = watch->engine->watches; other != NULL;
         other = other->next)
        if (other->gone_asked && !other->finished &&
            other->attempt.run_uid == watch->attempt.run_uid &&
            other->attempt.job == watch->attempt.job &&
            other->attempt.attempt < watch->attempt.attempt)
            return true;
    return false;
}

/* Two attempts never write one directory: what was dropped is gone before this one begins. */
static void wait_for_older(struct hd_docker_watch *watch)
{
    struct hd_docker *engine = watch->engine;
    pthread_mutex_lock(&engine->lock);
    while (older_remains(watch) && !engine->closing && !watch->stop_asked && !watch->gone_asked)
        pthread_cond_wait(&engine->changed, &engine->lock);
    pthread_mutex_unlock(&engine->lock);
}

/* Whoever started the job's earlier attempts on this engine has lost them: a worker that died, or
 * one that was silent for too long. Failure is no reason not to begin: they are fenced. */
static void remove_earlier(struct hd_docker_watch *watch)
{
    char name[HD_ENGINE_NAME_MAX];
    struct hd_err err;
    struct hd_attempt_ref earlier = watch->attempt;
    for (int i = 0; i < EARLIER_MAX && earlier.attempt > 1; i++) {
        earlier.attempt--;
        hd_docker_container_name(earlier, name, sizeof(name));
        if (hd_docker_remove(&watch->api, name, &err) == HD_E_CANCELLED)
            return;
    }
}

static enum hd_docker_phase make_container(struct hd_docker_watch *watch)
{
    struct hd_buf body;
    struct hd_err err;
    enum hd_docker_phase phase = HD_DOCKER_ENDED;
    hd_buf_init(&body, CREATE_BODY_MAX);
    struct hd_docker_place place = {.user = watch->engine->user, .copied = watch->copied};
    enum hd_code code = watch->copied ? HD_OK : hd_docker_make_mount_points(&watch->job, &err);
    if (watch->copied)
        code = hd_docker_name_data(watch, &place, &err);
    if (code == HD_OK)
        code = hd_docker_write_create(&watch->job, &place, &body, &err);
    if (code == HD_OK)
        phase = create(watch, hd_buf_text(&body));
    else
        hd_docker_not_started(watch, code == HD_E_INVALID || code == HD_E_LIMIT,
                              "the container cannot be created", err.text);
    hd_buf_release(&body);
    return phase;
}

static enum hd_docker_phase make(struct hd_docker_watch *watch)
{
    enum hd_docker_phase phase = HD_DOCKER_MAKE;
    wait_for_older(watch);
    remove_earlier(watch);
    if (hd_docker_image_is_due(watch))
        phase = hd_docker_get_image(watch, false);
    if (phase == HD_DOCKER_MAKE)
        phase = hd_docker_judge_label(watch);
    if (phase == HD_DOCKER_MAKE)
        phase = make_container(watch);
    if (phase == HD_DOCKER_START_IT)
        came_back(watch);
    return phase;
}

/* ---- look ----------------------------------------------------------------------------------- */

/* Made and not running: either nobody started it yet, or its start was refused and we did not
 * hear the answer. */
static enum hd_docker_phase look_at_created(struct hd_docker_watch *watch)
{
    if (watch->copied && watch->task == HD_DOCKER_TASK_ADOPT) {
        hd_docker_lost(watch, "the worker ended before its files were sent");
        return HD_DOCKER_ENDED;
    }
    if (watch->seen.error[0] == '\0')
        return hd_docker_watch_stop_asked(watch) ? HD_DOCKER_LEAVE : HD_DOCKER_START_IT;
    struct hd_docker_refusal refusal = {.status = 0};
    memcpy(refusal.text, watch->seen.error, sizeof(refusal.text));
    return refused(watch, HD_DOCKER_START, &refusal, "the container cannot be started");
}

/* A container made ahead began when its job did; that is noted after the job was told of it, so
 * that a quick one may have ended before. */
static void take_begun(struct hd_docker_watch *watch)
{
    struct hd_docker_container *seen = &watch->seen;
    seen->started_wall_ms = hd_docker_ahead_begun_ms(watch->engine->ahead_dir, seen->ahead);
    if (seen->status == HD_DOCKER_EXITED && seen->finished_wall_ms < seen->started_wall_ms)
        seen->finished_wall_ms = seen->started_wall_ms;
}

static enum hd_docker_phase look(struct hd_docker_watch *watch)
{
    struct hd_err err;
    if (watch->ahead.is && !watch->ahead.told)
        return HD_DOCKER_RELEASE;
    const char *id = watch->id[0] != '\0' ? watch->id : watch->name;
    enum hd_code code = hd_docker_inspect(&watch->api, id, &watch->seen, &err);
    if (code == HD_E_CANCELLED)
        return HD_DOCKER_LEAVE;
    if (code == HD_E_NOTFOUND) {
        hd_docker_lost(watch,
                       "its container was removed by somebody else, so that its end is not known");
        return HD_DOCKER_ENDED;
    }
    if (code != HD_OK)
        return hd_docker_go_away(watch, err.text);
    memcpy(watch->id, watch->seen.id, sizeof(watch->id));
    if (watch->seen.ahead[0] != '\0')
        take_begun(watch);
    if (watch->seen.labelled)
        watch->copied = watch->seen.copied; /* as it was made, whatever is chosen now */
    switch (watch->seen.status) {
    case HD_DOCKER_CREATED:
        came_back(watch);
        return look_at_created(watch);
    case HD_DOCKER_RUNNING:
        came_back(watch);
        watch->followed = true;
        return hd_docker_attach(watch);
    case HD_DOCKER_EXITED:
        came_back(watch);
        return hd_docker_judge(watch);
    case HD_DOCKER_REMOVING:
        return hd_docker_go_away(watch, "its container is being removed");
    }
    return HD_DOCKER_LEAVE;
}

/* ---- the thread ----------------------------------------------------------------------------- */

static void watch_attempt(struct hd_docker_watch *watch)
{
    enum hd_docker_phase phase =
        watch->task == HD_DOCKER_TASK_ADOPT ? HD_DOCKER_LOOK : HD_DOCKER_MAKE;
    if (watch->ahead.is)
        phase = HD_DOCKER_RELEASE;
    while (phase != HD_DOCKER_ENDED && phase != HD_DOCKER_LEAVE) {
        if (hd_docker_watch_must_leave(watch)) {
            phase = HD_DOCKER_LEAVE;
        } else if (phase == HD_DOCKER_MAKE) {
            phase = make(watch);
        } else if (phase == HD_DOCKER_START_IT) {
            phase = hd_docker_start_and_wait(watch);
        } else if (phase == HD_DOCKER_RELEASE) {
            phase = hd_docker_release(watch);
        } else if (phase == HD_DOCKER_LOOK) {
            phase = look(watch);
        } else if (phase == HD_DOCKER_FOLLOW) {
            phase = hd_docker_follow(watch);
        } else {
            phase = stay_away(watch);
        }
    }
    hd_docker_end_calls(watch);
    hd_log_sink_close(&watch->sink);
    bool stopped = hd_docker_watch_stop_asked(watch);
    if (phase == HD_DOCKER_LEAVE && (hd_docker_watch_must_leave(watch) || !stopped))
        return;
    if (phase == HD_DOCKER_LEAVE)
        hd_docker_not_started(watch, false, "ended", "before it was started");
    memcpy(watch->end.image_id, watch->seen.image_id, sizeof(watch->end.image_id));
    watch->end.timed_out = watch->timed_out;
    watch->end.stopped = stopped && !watch->timed_out;
    hd_engine_tell(watch->engine->queue, watch->attempt, &watch->end);
}

/* Whoever waits for its start waits no longer. */
static void say_over(struct hd_docker_watch *watch)
{
    pthread_mutex_lock(&watch->engine->lock);
    watch->over = true;
    pthread_cond_broadcast(&watch->engine->changed);
    pthread_mutex_unlock(&watch->engine->lock);
}

/* Until the attempt may be forgotten; false when the engine closes before. */
static bool wait_for_removal(struct hd_docker_watch *watch)
{
    struct hd_docker *engine = watch->engine;
    pthread_mutex_lock(&engine->lock);
    while (!watch->gone_asked && !engine->closing)
        pthread_cond_wait(&engine->changed, &engine->lock);
    bool gone = watch->gone_asked;
    pthread_mutex_unlock(&engine->lock);
    return gone;
}

static void remove_container(struct hd_docker_watch *watch)
{
    struct hd_err err;
    int64_t give_up_ms = hd_clock_ms() + watch->engine->tuning.away_ms_max;
    const char *id = watch->id[0] != '\0' ? watch->id : watch->name;
    watch->removing = true;
    while (hd_clock_ms() < give_up_ms && !hd_docker_watch_interrupted(watch)) {
        if (hd_docker_remove(&watch->api, id, &err) == HD_OK)
            break;
        hd_docker_http_pump(watch->http, REMOVE_RETRY_MS);
    }
    hd_docker_ahead_remove_files(watch->engine->ahead_dir, watch->seen.ahead);
}

void *hd_docker_watch_main(void *context)
{
    struct hd_docker_watch *watch = context;
    bool runs = watch->task != HD_DOCKER_TASK_REMOVE;
    bool unused = watch->task == HD_DOCKER_TASK_AHEAD && !hd_docker_make_ahead(watch);
    if (runs && !unused) {
        watch_attempt(watch);
        say_over(watch);
    }
    if (!unused && wait_for_removal(watch))
        remove_container(watch);
    pthread_mutex_lock(&watch->engine->lock);
    watch->finished = true;
    pthread_cond_broadcast(&watch->engine->changed);
    pthread_mutex_unlock(&watch->engine->lock);
    return NULL;
}
