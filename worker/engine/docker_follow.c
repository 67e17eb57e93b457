/* SPDX-License-Identifier: Apache-2.0 */
/* docker_follow.c: a container from its start to its end: wait, log, stop, and the verdict; see
 * docker.h. */
#include "docker.h"

#include <hd/os.h>

#include <signal.h>
#include <string.h>

#define EXIT_UNSEEN 255 /* what an engine says of a container that ended while it was not there */
#define LOGS_RETRY_MS 1000
#define KILL_RETRY_MS 5000
#define EVENT_LINES_MAX 65536
#define LOG_MAY_TURN_BYTES (4u * 1024u * 1024u) /* well below HD_DOCKER_LOG_FILE_BYTES_MAX */

/* ---- calls ---------------------------------------------------------------------------------- */

static void end_call(struct hd_docker_watch *watch, struct hd_docker_call **call)
{
    hd_docker_call_end(watch->http, *call);
    *call = NULL;
}

void hd_docker_end_calls(struct hd_docker_watch *watch)
{
    end_call(watch, &watch->wait);
    end_call(watch, &watch->logs);
    end_call(watch, &watch->stop);
}

static enum hd_code begin_wait(struct hd_docker_watch *watch, const char *condition,
                               struct hd_err *err)
{
    char path[HD_DOCKER_URL_MAX];
    (void)hd_format(path, sizeof(path), "/containers/%s/wait?condition=%s", watch->id, condition);
    const struct hd_docker_request request = {.method = "POST", .path = path, .stream = true};
    end_call(watch, &watch->wait);
    return hd_docker_call_begin(watch->http, &request, &watch->wait, err);
}

static void feed_log(void *context, const char *bytes, size_t size)
{
    struct hd_docker_watch *watch = context;
    watch->log_bytes += size;
    if (!hd_docker_frames_feed(&watch->frames, bytes, size))
        watch->logs_refused = true;
}

/* What is written so far is how the log begins, and the engine still has all of it, unless the
 * target wrote more than the engine keeps after the stream had ended early: then its first stamp is
 * another one, and the frames go by stamps. */
static bool log_is_prefix(const struct hd_docker_watch *watch)
{
    return watch->log_streams == 1 && watch->log_bytes < LOG_MAY_TURN_BYTES;
}

/* From the last line on that was seen; without a file nothing is asked for. */
static void begin_logs(struct hd_docker_watch *watch, bool follow)
{
    char path[HD_DOCKER_URL_MAX], since[64];
    struct hd_err err;
    if (watch->logs != NULL || watch->logs_complete || watch->logs_refused || watch->sink.fd < 0)
        return;
    watch->frames.by_count =
        atomic_load(&watch->engine->endpoint.podman) || (!follow && log_is_prefix(watch));
    watch->log_streams++;
    hd_docker_frames_begin(&watch->frames);
    if (watch->frames.resume_after[0] == '\0' ||
        !hd_docker_since_text(watch->frames.resume_after, since, sizeof(since)))
        (void)hd_copy_text(since, sizeof(since), "0");
    (void)hd_format(path, sizeof(path),
                    "/containers/%s/logs?stdout=1&stderr=1&timestamps=1&follow=%d&since=%s",
                    watch->id, follow, since);
    const struct hd_docker_request request = {
        .method = "GET", .path = path, .stream = true, .sink = feed_log, .sink_context = watch};
    if (hd_docker_call_begin(watch->http, &request, &watch->logs, &err) != HD_OK)
        watch->logs_again_ms = hd_clock_ms() + LOGS_RETRY_MS;
}

/* A stream that broke is taken up again; one that the engine refuses is not. */
static void tend_logs(struct hd_docker_watch *watch, int64_t now_ms)
{
    if (watch->logs == NULL) {
        if (now_ms >= watch->logs_again_ms)
            begin_logs(watch, true);
        return;
    }
    if (!watch->logs->done)
        return;
    if (watch->logs->code != HD_OK)
        watch->logs_again_ms = now_ms + LOGS_RETRY_MS;
    else if (watch->logs->status == 200)
        watch->logs_complete = true;
    else
        watch->logs_refused = true;
    end_call(watch, &watch->logs);
}

/* What was written before the end is all there; the engine may still be handing it on. */
static void drain_logs(struct hd_docker_watch *watch)
{
    int64_t until_ms = hd_clock_ms() + watch->engine->tuning.drain_ms;
    for (;;) {
        int64_t now_ms = hd_clock_ms();
        tend_logs(watch, now_ms);
        if (watch->logs == NULL || now_ms >= until_ms || hd_docker_watch_interrupted(watch))
            return;
        hd_docker_http_pump(watch->http, until_ms - now_ms);
    }
}

/* ---- stopping ------------------------------------------------------------------------------- */

static void begin_stop(struct hd_docker_watch *watch, int64_t grace_ms)
{
    char path[HD_DOCKER_URL_MAX];
    struct hd_err err;
    if (grace_ms > 0)
        (void)hd_format(path, sizeof(path), "/containers/%s/stop?t=%lld", watch->id,
                        (long long)((grace_ms + 999) / 1000));
    else
        (void)hd_format(path, sizeof(path), "/containers/%s/kill?signal=SIGKILL", watch->id);
    const struct hd_docker_request request = {.method = "POST", .path = path, .stream = true};
    end_call(watch, &watch->stop);
    /* When it cannot be sent, the kill after the grace comes in its place. */
    (void)!hd_docker_call_begin(watch->http, &request, &watch->stop, &err);
}

/* A stop that somebody asked for, or the time limit; whichever came first gives the reason. */
static void tend_stop(struct hd_docker_watch *watch, int64_t now_ms)
{
    pthread_mutex_lock(&watch->engine->lock);
    bool asked = watch->stop_asked;
    int64_t grace_ms = watch->stop_grace_ms;
    int64_t by_ms = watch->stop_by_ms;
    pthread_mutex_unlock(&watch->engine->lock);
    bool late = now_ms >= watch->deadline_ms;
    if (!watch->stopping && (asked || late)) {
        watch->timed_out = !asked;
        if (!asked) {
            grace_ms = watch->job.stop_grace_ms;
            by_ms = now_ms + grace_ms;
        }
        watch->stopping = true;
        hd_docker_pass_stop(watch);
        watch->kill_at_ms = by_ms + watch->engine->tuning.kill_margin_ms;
        begin_stop(watch, by_ms > now_ms ? grace_ms : 0);
    }
    if (watch->stopping && asked &&
        by_ms + watch->engine->tuning.kill_margin_ms < watch->kill_at_ms)
        watch->kill_at_ms = by_ms + watch->engine->tuning.kill_margin_ms;
    if (watch->stop != NULL && watch->stop->done)
        end_call(watch, &watch->stop);
    if (watch->stopping && now_ms >= watch->kill_at_ms) {
        begin_stop(watch, 0);
        watch->kill_at_ms = now_ms + KILL_RETRY_MS;
    }
}

/* ---- start and follow ----------------------------------------------------------------------- */

static void begin_following(struct hd_docker_watch *watch)
{
    watch->look_at_ms = hd_clock_ms() + watch->engine->tuning.look_ms;
    watch->logs_again_ms = 0;
    watch->files_at_ms = hd_clock_ms() + watch->engine->tuning.files_ms;
    begin_logs(watch, true);
}

static void set_deadline(struct hd_docker_watch *watch, int64_t ran_ms)
{
    if (watch->job.timeout_ms > 0 && watch->deadline_ms == HD_NEVER_MS)
        watch->deadline_ms = hd_clock_ms() + watch->job.timeout_ms - (ran_ms > 0 ? ran_ms : 0);
}

/* The wait must be registered before the start, or a container that ends at once is missed: the
 * engine sends the headers of its answer when it is. */
enum hd_docker_phase hd_docker_register_wait(struct hd_docker_watch *watch)
{
    struct hd_err err;
    if (begin_wait(watch, "next-exit", &err) != HD_OK)
        return hd_docker_go_away(watch, err.text);
    int64_t until_ms = hd_clock_ms() + HD_DOCKER_CALL_MS_MAX;
    while (!watch->wait->headers_seen && !watch->wait->done) {
        int64_t now_ms = hd_clock_ms();
        if (hd_docker_watch_interrupted(watch))
            return HD_DOCKER_LEAVE;
        if (now_ms >= until_ms)
            return hd_docker_go_away(watch, "the Docker engine does not register a wait");
        hd_docker_http_pump(watch->http, until_ms - now_ms);
    }
    if (watch->wait->done && watch->wait->code != HD_OK)
        return hd_docker_go_away(watch, watch->wait->error);
    return watch->wait->status == 200 ? HD_DOCKER_START_IT
                                      : hd_docker_go_away(watch, "a wait was refused");
}

static void note_begun(struct hd_docker_watch *watch)
{
    watch->followed = true;
    hd_engine_begin(watch->engine->queue, watch->attempt, false);
    set_deadline(watch, 0);
    pthread_mutex_lock(&watch->engine->lock);
    watch->begun = true;
    pthread_cond_broadcast(&watch->engine->changed);
    pthread_mutex_unlock(&watch->engine->lock);
}

void hd_docker_begin_follow(struct hd_docker_watch *watch)
{
    note_begun(watch);
    begin_following(watch);
}

/* Engines before 1.44 take one network when they make a container. */
static enum hd_code start(struct hd_docker_watch *watch, struct hd_docker_refusal *refusal,
                          struct hd_err *err)
{
    const struct hd_container *container = watch->job.container;
    char *const *networks = container != NULL ? container->networks : NULL;
    enum hd_code code = HD_OK;
    for (size_t i = 1; networks != NULL && networks[0] != NULL && networks[i] != NULL; i++)
        if (code == HD_OK)
            code = hd_docker_connect(&watch->api, watch->id, networks[i], refusal, err);
    return code == HD_OK ? hd_docker_start(&watch->api, watch->id, refusal, err) : code;
}

enum hd_docker_phase hd_docker_start_and_wait(struct hd_docker_watch *watch)
{
    struct hd_docker_refusal refusal = {0};
    struct hd_err err;
    if (hd_docker_watch_stop_asked(watch))
        return HD_DOCKER_LEAVE;
    if (watch->copied) {
        enum hd_docker_phase sent = hd_docker_send_files(watch);
        if (sent != HD_DOCKER_START_IT)
            return sent;
    }
    /* Podman sends no headers before the end, but loses no end either: what it waits for is a
     * state, and not a change. */
    bool podman = atomic_load(&watch->engine->endpoint.podman);
    enum hd_docker_phase phase = podman ? HD_DOCKER_START_IT : hd_docker_register_wait(watch);
    if (phase != HD_DOCKER_START_IT)
        return phase;
    switch (start(watch, &refusal, &err)) {
    case HD_OK:
        break;
    case HD_E_CANCELLED:
        return HD_DOCKER_LEAVE;
    case HD_E_NOTFOUND:
        if (strstr(refusal.text, "No such container") != NULL)
            return HD_DOCKER_LOOK;
        __attribute__((fallthrough));
    case HD_E_INVALID:
        hd_docker_refused_to(
            watch, hd_docker_is_config_error(HD_DOCKER_START, refusal.status, refusal.text),
            "the container cannot be started", refusal.text);
        return HD_DOCKER_ENDED;
    case HD_E_NOMEM:
    case HD_E_LIMIT:
    case HD_E_EXISTS:
    case HD_E_CONFLICT:
    case HD_E_BUSY:
    case HD_E_IO:
    case HD_E_FULL:
    case HD_E_CORRUPT:
    case HD_E_NET:
    case HD_E_TIMEOUT:
    case HD_E_AUTH:
    case HD_E_VERSION:
    case HD_E_UNSUPPORTED:
        return hd_docker_go_away(watch, err.text);
    }
    if (podman) {
        note_begun(watch);
        return HD_DOCKER_LOOK;
    }
    hd_docker_begin_follow(watch);
    return HD_DOCKER_FOLLOW;
}

/* It runs already: next-exit could hang for ever if it ended meanwhile, not-running cannot. */
enum hd_docker_phase hd_docker_attach(struct hd_docker_watch *watch)
{
    struct hd_err err;
    if (begin_wait(watch, "not-running", &err) != HD_OK)
        return hd_docker_go_away(watch, err.text);
    set_deadline(watch, hd_clock_wall_ms() - watch->seen.started_wall_ms);
    watch->stopping = false; /* a stop of before may have been lost: say it again */
    watch->logs_complete = false;
    begin_following(watch);
    return HD_DOCKER_FOLLOW;
}

static enum hd_docker_phase after_wait(struct hd_docker_watch *watch)
{
    if (watch->wait->code != HD_OK) {
        watch->engine_was_lost = true;
        return hd_docker_go_away(watch, watch->wait->error);
    }
    if (watch->wait->status != 200 && watch->wait->status != 404)
        return hd_docker_go_away(watch, "a wait was refused");
    drain_logs(watch);
    end_call(watch, &watch->wait);
    return HD_DOCKER_LOOK;
}

/* wait was seen to hang although the container had ended; looking now and then costs little. */
static enum hd_docker_phase look_again(struct hd_docker_watch *watch)
{
    struct hd_docker_container container;
    struct hd_err err;
    enum hd_code code = hd_docker_inspect(&watch->api, watch->id, &container, &err);
    watch->look_at_ms = hd_clock_ms() + watch->engine->tuning.look_ms;
    if (code == HD_OK && container.status == HD_DOCKER_RUNNING)
        return HD_DOCKER_FOLLOW;
    if (code == HD_E_NET) {
        watch->engine_was_lost = true;
        return hd_docker_go_away(watch, err.text);
    }
    drain_logs(watch);
    return HD_DOCKER_LOOK;
}

static int64_t next_wake_ms(const struct hd_docker_watch *watch)
{
    int64_t next_ms = watch->look_at_ms;
    if (!watch->stopping && watch->deadline_ms < next_ms)
        next_ms = watch->deadline_ms;
    if (watch->stopping && watch->kill_at_ms < next_ms)
        next_ms = watch->kill_at_ms;
    if (watch->logs == NULL && !watch->logs_complete && !watch->logs_refused &&
        watch->sink.fd >= 0 && watch->logs_again_ms < next_ms)
        next_ms = watch->logs_again_ms;
    if (watch->copied && watch->files_at_ms < next_ms)
        next_ms = watch->files_at_ms;
    return next_ms;
}

static bool is_gone(struct hd_docker_watch *watch)
{
    pthread_mutex_lock(&watch->engine->lock);
    bool gone = watch->engine->closing || watch->gone_asked;
    pthread_mutex_unlock(&watch->engine->lock);
    return gone;
}

enum hd_docker_phase hd_docker_follow(struct hd_docker_watch *watch)
{
    for (;;) {
        int64_t now_ms = hd_clock_ms();
        if (is_gone(watch))
            return HD_DOCKER_LEAVE;
        if (watch->wait->done)
            return after_wait(watch);
        if (now_ms >= watch->look_at_ms) {
            enum hd_docker_phase phase = look_again(watch);
            if (phase != HD_DOCKER_FOLLOW)
                return phase;
        }
        tend_stop(watch, now_ms);
        tend_logs(watch, now_ms);
        hd_docker_tend_files(watch, now_ms);
        int64_t wait_ms = next_wake_ms(watch) - now_ms;
        hd_docker_http_pump(watch->http, wait_ms > 0 ? wait_ms : 0);
    }
}

/* ---- the verdict ---------------------------------------------------------------------------- */

struct events {
    char line[EVENT_LINES_MAX];
    size_t used;
    bool oom;
};

static void feed_events(void *context, const char *bytes, size_t size)
{
    struct events *events = context;
    size_t room = sizeof(events->line) - events->used;
    size_t count = size < room ? size : room;
    memcpy(events->line + events->used, bytes, count);
    events->used += count;
    events->oom = hd_docker_events_have_oom(events->line, events->used);
}

enum answer { ANSWER_OOM, ANSWER_STEADY, ANSWER_LOST, ANSWER_LEAVE };

static enum answer hold_with(struct hd_docker_watch *watch, struct events *events)
{
    char path[HD_DOCKER_URL_MAX];
    struct hd_docker_call *call = NULL;
    struct hd_err err;
    int64_t until_ms = hd_clock_ms() + watch->engine->tuning.hold_ms;
    enum answer answer = ANSWER_STEADY;
    (void)hd_format(path, sizeof(path),
                    "/events?since=%lld&filters=%%7B%%22container%%22%%3A%%5B%%22%s%%22%%5D%%2C"
                    "%%22event%%22%%3A%%5B%%22oom%%22%%5D%%7D",
                    (long long)(watch->seen.started_wall_ms / 1000), watch->id);
    const struct hd_docker_request request = {
        .method = "GET", .path = path, .stream = true, .sink = feed_events, .sink_context = events};
    if (hd_docker_call_begin(watch->http, &request, &call, &err) != HD_OK)
        return ANSWER_LOST;
    for (;;) {
        int64_t now_ms = hd_clock_ms();
        if (events->oom)
            answer = ANSWER_OOM;
        else if (is_gone(watch))
            answer = ANSWER_LEAVE;
        else if (call->done)
            answer = ANSWER_LOST;
        else if (now_ms < until_ms) {
            hd_docker_http_pump(watch->http, until_ms - now_ms);
            continue;
        }
        hd_docker_call_end(watch->http, call);
        return answer;
    }
}

/*
 * A signal ended it that nobody here sent. An engine that is being shut down kills its containers
 * first and answers waits as if nothing were wrong, and goes away seconds later; and the memory
 * flag is known to be missed where the event is not. So the stream of events is watched for a
 * while: it tells of memory at once, and it breaks when the engine ends.
 */
static enum answer hold(struct hd_docker_watch *watch)
{
    struct events *events = hd_calloc(1, sizeof(*events));
    if (events == NULL)
        return ANSWER_LOST;
    enum answer answer = hold_with(watch, events);
    hd_free(events);
    return answer;
}

static void exited(struct hd_docker_watch *watch)
{
    const struct hd_docker_container *seen = &watch->seen;
    watch->end = (struct hd_engine_end){
        .kind = HD_END_EXITED,
        .exit_code = seen->exit_code,
        .oom_killed = seen->oom_killed,
        .started_wall_ms = seen->started_wall_ms,
        .finished_wall_ms = seen->finished_wall_ms,
    };
}

static enum hd_docker_phase judge_kill(struct hd_docker_watch *watch)
{
    static const char text[] = "killed while the Docker engine was away or restarting; with "
                               "live-restore the engine leaves containers running";
    if (watch->engine_was_lost) {
        hd_docker_lost(watch, text);
        return HD_DOCKER_ENDED;
    }
    if (!watch->followed) {
        hd_docker_lost(watch, "killed while no worker watched it");
        return HD_DOCKER_ENDED;
    }
    switch (hold(watch)) {
    case ANSWER_LEAVE:
        return HD_DOCKER_LEAVE;
    case ANSWER_LOST:
        hd_docker_lost(watch, text);
        break;
    case ANSWER_OOM:
        watch->seen.oom_killed = true;
        exited(watch);
        break;
    case ANSWER_STEADY:
        exited(watch);
        break;
    }
    return HD_DOCKER_ENDED;
}

enum hd_docker_phase hd_docker_judge(struct hd_docker_watch *watch)
{
    char text[HD_MESSAGE_MAX];
    const struct hd_docker_container *seen = &watch->seen;
    hd_docker_end_calls(watch);
    /* A log that is followed was seen to end before its last lines, with the loss in them: by an
     * engine that replaces its files, and by those before version 23 at any time. */
    watch->logs_complete = false;
    begin_logs(watch, false);
    drain_logs(watch);
    if (watch->copied) {
        enum hd_docker_phase fetched = hd_docker_fetch_files(watch);
        if (fetched != HD_DOCKER_FOLLOW)
            return fetched;
    }
    if (watch->ahead.is && hd_docker_ahead_was_deaf(&watch->ahead)) {
        hd_docker_not_started(watch, false, "not started",
                              "its container, which was made ahead, ended before it had its job");
        return HD_DOCKER_ENDED;
    }
    bool restarted = watch->engine_was_lost || !watch->followed;
    bool killed = seen->exit_code == 128 + SIGKILL || seen->exit_code == 128 + SIGTERM;
    bool asked = watch->timed_out || hd_docker_watch_stop_asked(watch);
    if (killed && !asked && !seen->oom_killed)
        return judge_kill(watch);
    if (seen->exit_code == EXIT_UNSEEN && restarted && !asked && !seen->oom_killed) {
        hd_docker_lost(watch, "the Docker engine did not see its end: it was away or restarting");
        return HD_DOCKER_ENDED;
    }
    if ((seen->exit_code == 126 || seen->exit_code == 127) &&
        hd_docker_init_failure(&watch->api, watch->id, text, sizeof(text)))
        hd_docker_refused_to(watch, true, "its command could not be executed", text);
    else
        exited(watch);
    return HD_DOCKER_ENDED;
}
