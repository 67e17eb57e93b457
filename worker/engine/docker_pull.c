/* SPDX-License-Identifier: Apache-2.0 */
/* docker_pull.c: images come here: when, once for all jobs that wait for one, with whose login, how
 * often again, and what a person hears of it; see docker.h. */
#include "docker.h"
#include "registry.h"

#include <hd/os.h>

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#define SAY_PERCENT 5 /* the log has a line when it is so much further */

/* ---- one pull of an image at a time --------------------------------------------------------- */

/* With the lock: where this image's pull is noted; HD_DOCKER_PULLS_MAX: nowhere. */
static size_t find_pull(const struct hd_docker *engine, const char *image)
{
    size_t i = 0;
    while (i < HD_DOCKER_PULLS_MAX &&
           (engine->pulled[i] == NULL || !hd_streq(engine->pulled[i], image)))
        i++;
    return i;
}

static size_t free_pull(const struct hd_docker *engine)
{
    size_t i = 0;
    while (i < HD_DOCKER_PULLS_MAX && engine->pulled[i] != NULL)
        i++;
    return i;
}

/* Several jobs of one image need it once: the others wait for the first. */
static bool begin_pull(struct hd_docker_watch *watch)
{
    struct hd_docker *engine = watch->engine;
    const char *image = watch->job.image;
    pthread_mutex_lock(&engine->lock);
    bool there = false;
    while (!engine->closing && !watch->stop_asked && !watch->gone_asked) {
        there = find_pull(engine, image) == HD_DOCKER_PULLS_MAX &&
                free_pull(engine) < HD_DOCKER_PULLS_MAX;
        if (there)
            break;
        pthread_cond_wait(&engine->changed, &engine->lock);
    }
    if (there)
        engine->pulled[free_pull(engine)] = image;
    pthread_mutex_unlock(&engine->lock);
    return there;
}

static void end_pull(struct hd_docker_watch *watch)
{
    struct hd_docker *engine = watch->engine;
    pthread_mutex_lock(&engine->lock);
    engine->pulled[find_pull(engine, watch->job.image)] = NULL;
    pthread_cond_broadcast(&engine->changed);
    pthread_mutex_unlock(&engine->lock);
}

/* ---- pull: always ---------------------------------------------------------------------------- */

/* With the lock. */
static bool is_fresh(const struct hd_docker_watch *watch)
{
    const struct hd_docker *engine = watch->engine;
    uint64_t image = hd_hash_text(0, watch->job.image);
    for (size_t i = 0; i < HD_DOCKER_FRESH_MAX; i++)
        if (engine->fresh[i].run_uid == watch->attempt.run_uid && engine->fresh[i].image == image)
            return true;
    return false;
}

bool hd_docker_image_is_due(struct hd_docker_watch *watch)
{
    pthread_mutex_lock(&watch->engine->lock);
    bool due =
        watch->job.pull == HD_PULL_ALWAYS && watch->job.handed_by == NULL && !is_fresh(watch);
    pthread_mutex_unlock(&watch->engine->lock);
    return due;
}

/* A run keeps to the image that it began with: it is asked for once. */
static void note_fresh(struct hd_docker_watch *watch)
{
    struct hd_docker *engine = watch->engine;
    pthread_mutex_lock(&engine->lock);
    if (!is_fresh(watch)) {
        engine->fresh[engine->fresh_next] = (struct hd_docker_fresh){
            .run_uid = watch->attempt.run_uid,
            .image = hd_hash_text(0, watch->job.image),
        };
        engine->fresh_next = (engine->fresh_next + 1) % HD_DOCKER_FRESH_MAX;
    }
    pthread_mutex_unlock(&engine->lock);
}

/* ---- how far it is --------------------------------------------------------------------------- */

struct pull {
    struct hd_docker_watch *watch;
    struct hd_docker_pull_stream stream;
    int64_t say_at_ms;
    int said_percent; /* in the log */
};

static void say_percent(struct pull *pull)
{
    struct hd_docker_watch *watch = pull->watch;
    char text[HD_DOING_MAX];
    int64_t now_ms = hd_clock_ms();
    int percent = hd_docker_pull_percent(&pull->stream);
    if (now_ms < pull->say_at_ms || percent < 0)
        return;
    pull->say_at_ms = now_ms + watch->engine->tuning.pull_say_ms;
    (void)hd_format(text, sizeof(text), "pulling %.120s %d %%", watch->job.image, percent);
    hd_engine_say(watch->engine->queue, watch->attempt, text);
    if (percent < pull->said_percent + SAY_PERCENT)
        return;
    pull->said_percent = percent;
    hd_log(HD_LOG_INFO, "job %u: %s", watch->attempt.job, text);
}

/* Looked at whenever something came, so this is where progress is seen. */
static bool pull_interrupted(void *context)
{
    struct pull *pull = context;
    say_percent(pull);
    return hd_docker_watch_interrupted(pull->watch);
}

static void say_begin(struct hd_docker_watch *watch)
{
    char text[HD_DOING_MAX];
    (void)hd_format(text, sizeof(text), "pulling %.120s", watch->job.image);
    hd_engine_say(watch->engine->queue, watch->attempt, text);
    hd_log(HD_LOG_INFO, "job %u: pulling %s", watch->attempt.job, watch->job.image);
}

/* ---- pulling --------------------------------------------------------------------------------- */

struct pull_refusal {
    struct hd_docker_refusal engine;
    bool handed, settled;               /* by a master; and asking again is useless */
    char login_trouble[HD_MESSAGE_MAX]; /* "" none */
};

/* HD_E_INVALID: refused, as the refusal says. HD_E_TIMEOUT: it stood still. */
static enum hd_code pull_once(struct hd_docker_watch *watch, const struct hd_buf *login,
                              struct hd_docker_refusal *refusal, struct hd_err *err)
{
    struct pull *pull = hd_calloc(1, sizeof(*pull));
    if (pull == NULL)
        return hd_fail(err, HD_E_NOMEM, "no memory for pulling an image");
    pull->watch = watch;
    struct hd_docker_api api = watch->api;
    api.interrupted = pull_interrupted;
    api.context = pull;
    *refusal = (struct hd_docker_refusal){0};
    enum hd_code code =
        hd_docker_pull(&api, watch->job.image, login->size > 0 ? hd_buf_text(login) : NULL,
                       watch->engine->tuning.pull_stall_ms, &pull->stream, refusal, err);
    say_percent(pull);
    if (code == HD_E_TIMEOUT)
        (void)hd_format(refusal->text, sizeof(refusal->text), "timeout exceeded: %s", err->text);
    hd_free(pull);
    return code;
}

static bool may_come_later(enum hd_code code, const struct hd_docker_refusal *refusal)
{
    return code == HD_E_TIMEOUT ||
           (code == HD_E_INVALID && hd_docker_pull_trouble(refusal->text) == HD_PULL_NO_ANSWER);
}

static enum hd_code pull_with(struct hd_docker_watch *watch, const struct hd_buf *login,
                              struct hd_docker_refusal *refusal, struct hd_err *err)
{
    const struct hd_docker_tuning *tuning = &watch->engine->tuning;
    enum hd_code code = HD_OK;
    for (int try = 0; try < tuning->pull_tries; try++) {
        if (try > 0) {
            int64_t wait_ms = tuning->pull_wait_ms_min << (try - 1);
            hd_log(HD_LOG_WARNING, "job %u: %s could not be pulled, again in %lld ms: %s",
                   watch->attempt.job, watch->job.image, (long long)wait_ms, refusal->text);
            hd_docker_watch_pause(watch, hd_clock_ms() + wait_ms);
        }
        if (hd_docker_watch_interrupted(watch))
            return hd_fail(err, HD_E_CANCELLED, "interrupted");
        code = pull_once(watch, login, refusal, err);
        if (!may_come_later(code, refusal))
            break;
    }
    return code;
}

/* A login that cannot be had is no reason not to ask: most images need none. */
static void find_login(struct hd_docker_watch *watch, struct hd_buf *login,
                       struct pull_refusal *refusal)
{
    struct hd_err err;
    if (hd_docker_login(watch->job.image, login, &err) == HD_OK)
        return;
    hd_buf_clear(login);
    (void)hd_copy_text(refusal->login_trouble, sizeof(refusal->login_trouble), err.text);
    hd_log(HD_LOG_WARNING, "job %u: pulling %s without a login: %s", watch->attempt.job,
           watch->job.image, err.text);
}

static enum hd_code pull_now(struct hd_docker_watch *watch, struct pull_refusal *refusal,
                             struct hd_err *err)
{
    struct hd_buf login;
    hd_buf_init(&login, HD_REGISTRY_HEADER_BYTES_MAX);
    say_begin(watch);
    find_login(watch, &login, refusal);
    enum hd_code code = pull_with(watch, &login, &refusal->engine, err);
    if (login.data != NULL)
        explicit_bzero(login.data, login.size);
    hd_buf_release(&login);
    if (code == HD_OK)
        hd_log(HD_LOG_INFO, "job %u: %s is here", watch->attempt.job, watch->job.image);
    hd_engine_say(watch->engine->queue, watch->attempt, "");
    return code;
}

/* ---- handed over by a master ----------------------------------------------------------------- */

static bool fetch_interrupted(void *watch)
{
    return hd_docker_watch_interrupted(watch);
}

static void tell_fetched(void *context, int percent)
{
    struct hd_docker_watch *watch = context;
    char text[HD_DOING_MAX];
    (void)hd_format(text, sizeof(text), "fetching %.100s from the master %d %%", watch->job.image,
                    percent);
    hd_engine_say(watch->engine->queue, watch->attempt, text);
}

static enum hd_code load(struct hd_docker_watch *watch, const char *path, struct hd_err *err)
{
    struct hd_docker_pull_stream *stream = hd_calloc(1, sizeof(*stream));
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    enum hd_code code = HD_OK;
    if (stream == NULL)
        code = hd_fail(err, HD_E_NOMEM, "no memory for loading an image");
    else if (fd < 0)
        code = hd_fail(err, HD_E_IO, "%s: %s", path, strerror(errno));
    else
        code = hd_docker_load(&watch->api, fd, watch->engine->tuning.load_stall_ms, stream, err);
    if (fd >= 0)
        close(fd);
    hd_free(stream);
    return code;
}

/* The engine has read it by its content: what it calls it is compared with what the master does. */
static enum hd_code check_loaded(struct hd_docker_watch *watch, const char *wanted,
                                 struct hd_err *err)
{
    char id[HD_IMAGE_ID_MAX];
    enum hd_code code = hd_docker_image_id(&watch->api, watch->job.image, id, err);
    /* An engine that gives short names another first part than the one that saved it. */
    if (code == HD_E_NOTFOUND)
        code = hd_docker_tag(&watch->api, wanted, HD_IMAGE_UNBUILT,
                             strchr(watch->job.image, ':') + 1, err);
    if (code == HD_OK)
        code = hd_docker_image_id(&watch->api, watch->job.image, id, err);
    if (code == HD_OK && !hd_streq(id, wanted))
        code = hd_fail(err, HD_E_CORRUPT, "it came as %s and is %s on the master's machine", id,
                       wanted);
    return code;
}

static enum hd_code fetch_and_load(struct hd_docker_watch *watch, struct hd_err *err)
{
    const struct hd_image_source *images = watch->engine->images;
    const char *tag = strchr(watch->job.image, ':');
    char path[HD_DOCKER_PATH_SIZE + 64], id[HD_IMAGE_ID_MAX];
    if (images == NULL || tag == NULL ||
        !hd_format(path, sizeof(path), "%s/%.40s.tar", watch->engine->images_dir, tag + 1))
        return hd_fail(err, HD_E_UNSUPPORTED, "nothing hands over images here");
    enum hd_code code = hd_mkdirs(watch->engine->images_dir, 0700, err);
    if (code == HD_OK)
        code =
            images->fetch(images->context, watch->job.handed_by, watch->job.run_id,
                          watch->job.image, path, id, fetch_interrupted, tell_fetched, watch, err);
    if (code != HD_OK)
        return code; /* what has come stays, and the next try goes on from there */
    hd_log(HD_LOG_INFO, "job %u: loading %s", watch->attempt.job, watch->job.image);
    code = load(watch, path, err);
    if (code == HD_OK)
        code = check_loaded(watch, id, err);
    if (code != HD_E_CANCELLED)
        (void)unlink(path);
    return code;
}

/* Whatever goes wrong between two machines may go well the next time. */
static enum hd_code take_handed(struct hd_docker_watch *watch, struct pull_refusal *refusal,
                                struct hd_err *err)
{
    hd_log(HD_LOG_INFO, "job %u: fetching %s from the master", watch->attempt.job,
           watch->job.image);
    enum hd_code code = fetch_and_load(watch, err);
    hd_engine_say(watch->engine->queue, watch->attempt, "");
    if (code == HD_OK)
        hd_log(HD_LOG_INFO, "job %u: %s is here", watch->attempt.job, watch->job.image);
    if (code == HD_OK || code == HD_E_CANCELLED)
        return code;
    refusal->handed = true;
    refusal->settled = code == HD_E_NOTFOUND || code == HD_E_UNSUPPORTED;
    (void)hd_copy_text(refusal->engine.text, sizeof(refusal->engine.text), err->text);
    return hd_fail(err, HD_E_INVALID, "%s", refusal->engine.text);
}

/* While another watch pulled, the image may have come. */
static enum hd_code pull(struct hd_docker_watch *watch, bool missing, struct pull_refusal *refusal,
                         struct hd_err *err)
{
    char id[HD_IMAGE_ID_MAX];
    enum hd_code code = HD_E_NOTFOUND;
    if (!begin_pull(watch))
        return hd_fail(err, HD_E_CANCELLED, "interrupted");
    if (missing)
        code = hd_docker_image_id(&watch->api, watch->job.image, id, err);
    else if (!hd_docker_image_is_due(watch))
        code = HD_OK;
    if (code == HD_E_NOTFOUND)
        code = watch->job.handed_by != NULL ? take_handed(watch, refusal, err)
                                            : pull_now(watch, refusal, err);
    if (code == HD_OK)
        note_fresh(watch);
    end_pull(watch);
    return code;
}

static const char *advice_of(enum hd_pull_trouble trouble)
{
    switch (trouble) {
    case HD_PULL_NO_SUCH_IMAGE:
    case HD_PULL_OTHER:
        return "check its name, or load it into the engine of this worker";
    case HD_PULL_NO_LOGIN:
        return "check its name, or log in (docker login) as the user who runs this worker";
    case HD_PULL_NO_NAME:
        return "nobody here knows its registry: check the name and the network, or load it into "
               "the "
               "engine of this worker";
    case HD_PULL_NO_ANSWER:
        return "its registry does not answer now";
    case HD_PULL_NO_ROOM:
        return "make room on this machine (docker system prune)";
    }
    return "";
}

static enum hd_docker_phase tell_refusal(struct hd_docker_watch *watch, bool missing,
                                         const struct pull_refusal *refusal)
{
    const struct hd_docker_refusal *engine = &refusal->engine;
    char what[HD_MESSAGE_MAX], why[HD_MESSAGE_MAX];
    if (refusal->handed) {
        (void)hd_format(what, sizeof(what), "image %.60s could not be had from the master",
                        watch->job.image);
        hd_docker_not_started(watch, refusal->settled, what, engine->text);
        return HD_DOCKER_ENDED;
    }
    (void)hd_format(what, sizeof(what), "image %.120s %s be pulled (%s)", watch->job.image,
                    missing ? "does not exist here and could not" : "could not",
                    advice_of(hd_docker_pull_trouble(engine->text)));
    (void)hd_format(why, sizeof(why), "%.200s%s%.120s", engine->text,
                    refusal->login_trouble[0] != '\0' ? "; asked without a login, since " : "",
                    refusal->login_trouble);
    hd_docker_not_started(
        watch, hd_docker_is_config_error(HD_DOCKER_PULL, engine->status, engine->text), what, why);
    return HD_DOCKER_ENDED;
}

enum hd_docker_phase hd_docker_get_image(struct hd_docker_watch *watch, bool missing)
{
    struct pull_refusal refusal = {.login_trouble = ""};
    struct hd_err err;
    if (watch->job.pull == HD_PULL_NEVER) {
        hd_docker_not_started(watch, true, "target.pull is never and the image does not exist here",
                              watch->job.image);
        return HD_DOCKER_ENDED;
    }
    watch->interrupt_on_stop = true;
    enum hd_code code = pull(watch, missing, &refusal, &err);
    watch->interrupt_on_stop = false;
    if (code == HD_OK)
        return HD_DOCKER_MAKE;
    if (code == HD_E_CANCELLED)
        return HD_DOCKER_LEAVE;
    if (code == HD_E_INVALID || code == HD_E_TIMEOUT)
        return tell_refusal(watch, missing, &refusal);
    return hd_docker_go_away(watch, err.text);
}

/* ---- which image it is ----------------------------------------------------------------------- */

enum hd_docker_phase hd_docker_judge_image(struct hd_docker_watch *watch)
{
    const char *wanted = watch->job.image_id;
    struct hd_err err;
    char text[HD_MESSAGE_MAX];
    if (!watch->job.strict || wanted == NULL || wanted[0] == '\0')
        return HD_DOCKER_START_IT;
    enum hd_code code = hd_docker_inspect(&watch->api, watch->id, &watch->seen, &err);
    if (code == HD_E_CANCELLED)
        return HD_DOCKER_LEAVE;
    if (code != HD_OK)
        return hd_docker_go_away(watch, err.text);
    if (hd_streq(watch->seen.image_id, wanted))
        return HD_DOCKER_START_IT;
    (void)hd_format(text, sizeof(text),
                    "%.120s is %.80s here and was %.80s where this run began (target.strict)",
                    watch->job.image, watch->seen.image_id, wanted);
    hd_docker_not_started(watch, true, "this worker has another image", text);
    return HD_DOCKER_ENDED;
}
