/* SPDX-License-Identifier: Apache-2.0 */
/* warm.c: the engine of warm targets as <hd/engine.h> wants it; see warm.h. */
#include "warm.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define INNER_NEWS_MAX 4096
#define ENV_MAX 4096

static struct hd_warm *warm_of(struct hd_engine *engine)
{
    return (struct hd_warm *)engine; /* base is its first member */
}

/* ---- targets -------------------------------------------------------------------------------- */

static struct hd_warm_target *find_task(const struct hd_warm *warm, struct hd_attempt_ref attempt)
{
    for (size_t i = 0; i < HD_WARM_MAX; i++)
        if (warm->targets[i] != NULL && warm->targets[i]->has_task &&
            hd_attempt_ref_equal(warm->targets[i]->task.attempt, attempt))
            return warm->targets[i];
    return NULL;
}

static void put_words(struct hd_buf *key, char *const *words, enum hd_code *code,
                      struct hd_err *err)
{
    for (size_t i = 0; words != NULL && words[i] != NULL && *code == HD_OK; i++)
        *code = hd_buf_printf(key, err, "\n%zu:%s", strlen(words[i]), words[i]);
    if (*code == HD_OK)
        *code = hd_buf_puts(key, "\n", err);
}

/* Jobs with one key may use one target. The rest of a job's limits is its run's. */
static enum hd_code make_key(const struct hd_engine_job *job, char **ret_key, struct hd_err *err)
{
    struct hd_buf key;
    hd_buf_init(&key, HD_WARM_KEY_BYTES_MAX);
    enum hd_code code = hd_buf_printf(
        &key, err, "%" PRIx64 " %" PRIu64 " %" PRId64 "\n%s\n%s\n%s\n%s\n%s\n%s\n%s",
        job->attempt.run_uid, job->memory_bytes, job->pids, job->image != NULL ? job->image : "",
        job->cwd != NULL ? job->cwd : "", job->data_dir != NULL ? job->data_dir : "",
        job->code_dir != NULL ? job->code_dir : "", job->program != NULL ? job->program : "",
        job->run_id, job->gpus != NULL ? job->gpus : "");
    for (size_t i = 0; i < job->mount_count && code == HD_OK; i++)
        code = hd_buf_printf(&key, err, "\n%s %s", job->mounts[i].source, job->mounts[i].target);
    put_words(&key, job->argv, &code, err);
    put_words(&key, job->env, &code, err);
    *ret_key = code == HD_OK ? hd_strdup(hd_buf_text(&key)) : NULL;
    hd_buf_release(&key);
    return code == HD_OK && *ret_key == NULL ? hd_fail(err, HD_E_NOMEM, "no memory for a job")
                                             : code;
}

static struct hd_warm_target *find_idle(const struct hd_warm *warm, const char *key)
{
    struct hd_warm_target *found = NULL; /* the one used last: the others may go */
    for (size_t i = 0; i < HD_WARM_MAX; i++) {
        struct hd_warm_target *target = warm->targets[i];
        if (target != NULL && target->state == HD_WARM_IDLE && hd_streq(target->key, key) &&
            (found == NULL || target->idle_until_ms > found->idle_until_ms))
            found = target;
    }
    return found;
}

static struct hd_warm_target *longest_idle(const struct hd_warm *warm)
{
    struct hd_warm_target *found = NULL;
    for (size_t i = 0; i < HD_WARM_MAX; i++) {
        struct hd_warm_target *target = warm->targets[i];
        if (target != NULL && target->state == HD_WARM_IDLE &&
            (found == NULL || target->idle_until_ms < found->idle_until_ms))
            found = target;
    }
    return found;
}

static bool share_gpu(const char *gpus, const char *others)
{
    for (const char *at = gpus; *at != '\0';) {
        size_t size = strcspn(at, ",");
        for (const char *other = others; *other != '\0';) {
            size_t other_size = strcspn(other, ",");
            if (size == other_size && strncmp(at, other, size) == 0)
                return true;
            other += other_size + (other[other_size] == ',' ? 1 : 0);
        }
        at += size + (at[size] == ',' ? 1 : 0);
    }
    return false;
}

/* What an idle target holds in the memory of a GPU is in the way of a job that gets it. */
static void free_gpus(struct hd_warm *warm, const char *gpus)
{
    for (size_t i = 0; gpus != NULL && i < HD_WARM_MAX; i++) {
        struct hd_warm_target *target = warm->targets[i];
        if (target != NULL && target->state == HD_WARM_IDLE && target->gpus != NULL &&
            share_gpu(gpus, target->gpus))
            hd_warm_retire(warm, target);
    }
}

/* A machine that is meant for so many jobs has no more targets than that, idle ones included:
 * called before one more is started. */
static void make_room(struct hd_warm *warm, const struct hd_engine_job *job)
{
    free_gpus(warm, job->gpus);
    uint32_t count = warm->cold + 1;
    struct hd_warm_target *idle;
    for (size_t i = 0; i < HD_WARM_MAX; i++)
        count += warm->targets[i] != NULL && warm->targets[i]->state != HD_WARM_ENDING ? 1 : 0;
    while (warm->slots > 0 && count > warm->slots && (idle = longest_idle(warm)) != NULL) {
        hd_warm_retire(warm, idle);
        count--;
    }
}

/* ---- a new target --------------------------------------------------------------------------- */

static enum hd_code start_inner(struct hd_warm *warm, struct hd_warm_target *target,
                                const struct hd_engine_job *job, struct hd_err *err)
{
    char box[HD_WARM_PATH_MAX], log[HD_WARM_PATH_MAX], name[HD_WARM_PATH_MAX + 64];
    char *env[ENV_MAX + 2] = {NULL};
    size_t count = 0;
    while (job->env != NULL && job->env[count] != NULL && count < ENV_MAX) {
        env[count] = job->env[count];
        count++;
    }
    if (!hd_format(box, sizeof(box), "%s/box", target->dir) ||
        !hd_format(log, sizeof(log), "%s/log.txt", target->dir) || count == ENV_MAX)
        return hd_fail(err, HD_E_LIMIT, "a warm target has at most %d variables", ENV_MAX - 1);
    (void)hd_format(name, sizeof(name), "HYPERDOCK_SOCKET=%s/" HD_WARM_SOCKET,
                    target->container ? HD_WARM_INSIDE : box);
    env[count] = name;
    struct hd_engine_job inner = *job;
    inner.attempt = target->ref;
    inner.warm = NULL;
    inner.config_id = "warm";
    inner.run_dir = box;
    inner.work_dir = NULL;
    inner.log_path = log;
    inner.cwd = job->cwd != NULL ? job->cwd : box;
    inner.env = env;
    inner.timeout_ms = 0;
    return hd_engine_start(warm->inner, &inner, err);
}

static void init_target(struct hd_warm *warm, struct hd_warm_target *target,
                        const struct hd_engine_job *job)
{
    target->ref = (struct hd_attempt_ref){
        .run_uid = job->attempt.run_uid, .job = HD_WARM_JOB_FLAG | warm->serial++, .attempt = 1};
    target->container = job->image != NULL;
    target->box_fd = target->listen_fd = target->fd = target->log_fd = target->note_fd = -1;
    target->task.box_fd = -1;
    hd_buf_init(&target->in, HD_WARM_LINE_MAX + 1);
    target->jobs_max = job->warm->jobs;
    target->idle_ms = job->warm->idle_ms;
    target->grace_ms = job->stop_grace_ms;
    target->memory_bytes = job->memory_bytes;
    target->start_by_ms = hd_clock_ms() + HD_WARM_START_MS_MAX;
    target->idle_until_ms = target->closed_at_ms = HD_NEVER_MS;
}

/* Gives a target without a job; its inner one is not started. */
static enum hd_code new_target(struct hd_warm *warm, const struct hd_engine_job *job,
                               struct hd_warm_target **ret_target, struct hd_err *err)
{
    size_t place = 0;
    make_room(warm, job);
    while (place < HD_WARM_MAX && warm->targets[place] != NULL)
        place++;
    if (place == HD_WARM_MAX)
        return hd_fail(err, HD_E_LIMIT, "more than %d warm targets at once", HD_WARM_MAX);
    struct hd_warm_target *target = hd_calloc(1, sizeof(*target));
    if (target == NULL)
        return hd_fail(err, HD_E_NOMEM, "no memory for a warm target");
    init_target(warm, target, job);
    warm->targets[place] = target;
    enum hd_code code = HD_OK;
    if (job->gpus != NULL && (target->gpus = hd_strdup(job->gpus)) == NULL)
        code = hd_fail(err, HD_E_NOMEM, "no memory for a warm target");
    if (code == HD_OK)
        code = hd_warm_box_make(warm, target, err);
    if (code != HD_OK) {
        hd_warm_free_target(warm, target);
        return code;
    }
    *ret_target = target;
    return HD_OK;
}

/* ---- a job ---------------------------------------------------------------------------------- */

/* {"id":...,"dir":...,"work_dir":... and then what the plan wrote. */
static enum hd_code write_line(const struct hd_warm_target *target, const char *rest,
                               struct hd_buf *line, struct hd_err *err)
{
    char dir[HD_WARM_PATH_MAX + 64], work[HD_WARM_PATH_MAX + 80];
    const char *id = target->task.id;
    if (target->container)
        (void)hd_format(dir, sizeof(dir), HD_WARM_INSIDE "/%s", id);
    else
        (void)hd_format(dir, sizeof(dir), "%s/box/%s", target->dir, id);
    (void)hd_format(work, sizeof(work), "%s/work", dir);
    hd_buf_init(line, 2 * HD_WARM_LINE_MAX);
    enum hd_code code = hd_buf_printf(line, err, "{\"id\":\"%s\",\"dir\":", id);
    if (code == HD_OK)
        code = hd_json_write_string(dir, line, err);
    if (code == HD_OK)
        code = hd_buf_puts(line, ",\"work_dir\":", err);
    if (code == HD_OK)
        code = hd_json_write_string(work, line, err);
    if (code == HD_OK)
        code = hd_buf_printf(line, err, ",%s\n", rest + 1);
    return code;
}

static enum hd_code give(struct hd_warm_target *target, const struct hd_engine_job *job,
                         struct hd_err *err)
{
    struct hd_warm_task *task = &target->task;
    memset(task, 0, sizeof(*task));
    task->attempt = job->attempt;
    task->box_fd = -1;
    task->timeout_ms = job->timeout_ms;
    task->grace_ms = job->stop_grace_ms;
    task->heartbeat_ms = job->warm->heartbeat_ms;
    task->deadline_ms = task->beat_by_ms = task->stop_by_ms = task->log_at_ms = HD_NEVER_MS;
    (void)hd_format(task->id, sizeof(task->id), "%u-%u", job->attempt.job, job->attempt.attempt);
    if (!hd_copy_text(task->run_dir, sizeof(task->run_dir), job->run_dir) ||
        !hd_copy_text(task->work_dir, sizeof(task->work_dir), job->work_dir))
        return hd_fail(err, HD_E_LIMIT, "a path of job %u is too long", job->attempt.job);
    enum hd_code code = write_line(target, job->warm->line, &task->line, err);
    if (code == HD_OK)
        code = hd_warm_box_put(target, err);
    if (code == HD_OK)
        target->has_task = true;
    else
        hd_buf_release(&task->line);
    return code;
}

/* A second attempt gets a fresh target: the first one may have failed for what ran before it. */
static enum hd_code start_warm(struct hd_warm *warm, const struct hd_engine_job *job, char *key,
                               struct hd_err *err)
{
    struct hd_warm_target *target = job->attempt.attempt == 1 ? find_idle(warm, key) : NULL;
    if (target != NULL) {
        enum hd_code code = give(target, job, err);
        if (code == HD_OK)
            hd_warm_send(warm, target);
        hd_free(key);
        return code;
    }
    enum hd_code code = new_target(warm, job, &target, err);
    if (code != HD_OK) {
        hd_free(key);
        return code;
    }
    target->key = key;
    code = give(target, job, err);
    if (code == HD_OK)
        code = start_inner(warm, target, job, err);
    if (code != HD_OK)
        hd_warm_free_target(warm, target);
    return code;
}

enum hd_code hd_warm_start_job(struct hd_warm *warm, const struct hd_engine_job *job,
                               struct hd_err *err)
{
    char *key = NULL;
    if (warm->inner->copies)
        return hd_fail(
            err, HD_E_UNSUPPORTED,
            "warm targets need an engine that mounts this worker's directories, and this "
            "one does not see them (--files)");
    if (find_task(warm, job->attempt) != NULL)
        return HD_OK;
    enum hd_code code = make_key(job, &key, err);
    return code == HD_OK ? start_warm(warm, job, key, err) : code;
}

static enum hd_code start_cold(struct hd_warm *warm, const struct hd_engine_job *job,
                               struct hd_err *err)
{
    bool waits = job->warm != NULL;
    if (waits && hd_warm_waits(warm, job->attempt))
        return HD_OK;
    enum hd_code code = waits ? hd_warm_wait_for_label(warm, job, err) : HD_OK;
    if (code != HD_OK)
        return code;
    make_room(warm, job);
    code = hd_engine_start(warm->inner, job, err);
    warm->cold += code == HD_OK ? 1 : 0;
    if (code != HD_OK)
        hd_warm_forget_waiting(warm, job->attempt);
    return code;
}

static enum hd_code warm_start(struct hd_engine *engine, const struct hd_engine_job *job,
                               struct hd_err *err)
{
    struct hd_warm *warm = warm_of(engine);
    struct hd_warm_job its;
    enum hd_code code;
    pthread_mutex_lock(&warm->lock);
    if (job->warm != NULL && job->warm->by_label && hd_warm_is_known(warm, job)) {
        const struct hd_engine_job own = hd_warm_as_warm(job, &its);
        code = hd_warm_start_job(warm, &own, err);
    } else if (job->warm == NULL || job->warm->by_label) {
        code = start_cold(warm, job, err);
    } else {
        code = hd_warm_start_job(warm, job, err);
    }
    pthread_mutex_unlock(&warm->lock);
    hd_warm_wake(warm);
    return code;
}

static bool warm_knows(struct hd_engine *engine, const struct hd_engine_job *job)
{
    struct hd_warm *warm = warm_of(engine);
    pthread_mutex_lock(&warm->lock);
    bool known = job->image != NULL && hd_warm_is_known(warm, job);
    pthread_mutex_unlock(&warm->lock);
    return known;
}

/* ---- stop, drop, remove --------------------------------------------------------------------- */

/* A target that obeys control/stop may answer within the grace and lives on; any other one is
 * asked as every target is, and ended. */
static void warm_stop(struct hd_engine *engine, struct hd_attempt_ref attempt, int64_t grace_ms)
{
    struct hd_warm *warm = warm_of(engine);
    pthread_mutex_lock(&warm->lock);
    struct hd_warm_target *target = find_task(warm, attempt);
    if (target == NULL) {
        hd_engine_stop(warm->inner, attempt, grace_ms);
    } else {
        target->task.stopped = true;
        hd_warm_box_ask_stop(target);
        if (target->state == HD_WARM_BUSY && target->stops && grace_ms > 0)
            target->task.stop_by_ms = hd_clock_ms() + grace_ms;
        else
            hd_engine_stop(warm->inner, target->ref, grace_ms);
    }
    pthread_mutex_unlock(&warm->lock);
    hd_warm_wake(warm);
}

static bool forget_ended(struct hd_warm *warm, struct hd_attempt_ref attempt)
{
    for (size_t i = 0; i < warm->ended_count; i++)
        if (hd_attempt_ref_equal(warm->ended[i], attempt)) {
            warm->ended[i] = warm->ended[--warm->ended_count];
            return true;
        }
    return false;
}

static void warm_drop(struct hd_engine *engine, struct hd_attempt_ref attempt)
{
    struct hd_warm *warm = warm_of(engine);
    pthread_mutex_lock(&warm->lock);
    struct hd_warm_target *target = find_task(warm, attempt);
    if (target != NULL) {
        hd_engine_drop(warm->inner, target->ref);
        hd_warm_free_target(warm, target);
    } else if (!forget_ended(warm, attempt)) {
        hd_warm_forget_waiting(warm, attempt);
        hd_engine_drop(warm->inner, attempt);
        warm->cold -= warm->cold > 0 ? 1 : 0;
    }
    pthread_mutex_unlock(&warm->lock);
    hd_warm_wake(warm);
}

static void warm_remove(struct hd_engine *engine, struct hd_attempt_ref attempt)
{
    struct hd_warm *warm = warm_of(engine);
    pthread_mutex_lock(&warm->lock);
    if (!forget_ended(warm, attempt))
        hd_engine_remove(warm->inner, attempt);
    pthread_mutex_unlock(&warm->lock);
}

/* ---- what there is -------------------------------------------------------------------------- */

static size_t leave_out_inner(struct hd_engine_found *found, size_t count)
{
    size_t kept = 0;
    for (size_t i = 0; i < count; i++)
        if (!hd_engine_is_warm(found[i].attempt)) {
            if (kept != i)
                found[kept] = found[i];
            kept++;
        }
    return kept;
}

static enum hd_code warm_list(struct hd_engine *engine, struct hd_engine_found *found,
                              size_t found_max, size_t *ret_count, struct hd_err *err)
{
    struct hd_warm *warm = warm_of(engine);
    size_t count = 0;
    pthread_mutex_lock(&warm->lock);
    enum hd_code code = hd_engine_list(warm->inner, found, found_max, &count, err);
    count = leave_out_inner(found, count);
    for (size_t i = 0; i < HD_WARM_MAX && code == HD_OK && count < found_max; i++) {
        const struct hd_warm_target *target = warm->targets[i];
        if (target == NULL || !target->has_task)
            continue;
        found[count] = (struct hd_engine_found){.attempt = target->task.attempt, .running = true};
        (void)hd_copy_text(found[count].run_dir, sizeof(found[count].run_dir),
                           target->task.run_dir);
        count++;
    }
    pthread_mutex_unlock(&warm->lock);
    if (code == HD_OK)
        *ret_count = count;
    return code;
}

static enum hd_code warm_answers(struct hd_engine *engine, struct hd_err *err)
{
    struct hd_warm *warm = warm_of(engine);
    pthread_mutex_lock(&warm->lock);
    enum hd_code code = hd_engine_answers(warm->inner, err);
    pthread_mutex_unlock(&warm->lock);
    return code;
}

/* Warm targets end with their worker: there are only others to be found. */
static enum hd_code warm_adopt(struct hd_engine *engine, struct hd_attempt_ref attempt,
                               const struct hd_engine_job *job, struct hd_err *err)
{
    struct hd_warm *warm = warm_of(engine);
    pthread_mutex_lock(&warm->lock);
    enum hd_code code = hd_engine_adopt(warm->inner, attempt, job, err);
    warm->cold += code == HD_OK ? 1 : 0;
    pthread_mutex_unlock(&warm->lock);
    return code;
}

static enum hd_code warm_command_line(const struct hd_engine *engine,
                                      const struct hd_engine_job *job, struct hd_buf *out,
                                      struct hd_err *err)
{
    return hd_engine_command_line(((const struct hd_warm *)engine)->inner, job, out, err);
}

/* ---- life ----------------------------------------------------------------------------------- */

static void warm_close(struct hd_engine *engine)
{
    struct hd_warm *warm = warm_of(engine);
    struct hd_engine_news *news;
    pthread_mutex_lock(&warm->lock);
    warm->closing = true;
    pthread_mutex_unlock(&warm->lock);
    hd_warm_wake(warm);
    pthread_join(warm->thread, NULL);
    for (size_t i = 0; i < HD_WARM_MAX; i++)
        if (warm->targets[i] != NULL) {
            hd_engine_drop(warm->inner, warm->targets[i]->ref);
            hd_warm_free_target(warm, warm->targets[i]);
        }
    for (size_t i = 0; i < HD_HELD_MAX; i++)
        if (warm->waiting[i] != NULL)
            hd_warm_forget_waiting(warm, warm->waiting[i]->job.attempt);
    hd_engine_close(warm->inner);
    while ((news = hd_queue_pop(warm->inner_news, 0)) != NULL)
        hd_free(news);
    hd_queue_free(warm->inner_news);
    pthread_mutex_destroy(&warm->lock);
    close(warm->wake_fd);
    hd_free(warm);
}

static const struct hd_engine_ops warm_ops = {
    .start = warm_start,
    .stop = warm_stop,
    .drop = warm_drop,
    .remove = warm_remove,
    .list = warm_list,
    .answers = warm_answers,
    .adopt = warm_adopt,
    .command_line = warm_command_line,
    .knows_warm = warm_knows,
    .close = warm_close,
};

/* Their connections are gone with the process that had them. */
static void drop_leftovers(struct hd_warm *warm)
{
    struct hd_engine_found *found = hd_calloc(HD_WARM_MAX, sizeof(*found));
    size_t count = 0;
    struct hd_err ignored;
    if (found == NULL || hd_engine_list(warm->inner, found, HD_WARM_MAX, &count, &ignored) != HD_OK)
        count = 0;
    for (size_t i = 0; i < count; i++)
        if (hd_engine_is_warm(found[i].attempt))
            hd_engine_drop(warm->inner, found[i].attempt);
    hd_free(found);
}

void hd_engine_recover_warm(const char *state_dir)
{
    char dir[HD_WARM_PATH_MAX];
    if (hd_format(dir, sizeof(dir), "%s/warm", state_dir))
        hd_warm_box_recover(dir);
}

static enum hd_code open_parts(struct hd_warm *warm, const struct hd_engine_options *options,
                               hd_engine_opener open, struct hd_err *err)
{
    struct hd_engine_options inner = *options;
    if (options->state_dir == NULL ||
        !hd_format(warm->dir, sizeof(warm->dir), "%s/warm", options->state_dir))
        return hd_fail(err, HD_E_INVALID, "warm targets need the worker's own directory");
    if ((warm->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) < 0)
        return hd_fail(err, HD_E_IO, "no event descriptor: %s", strerror(errno));
    enum hd_code code = hd_queue_new(INNER_NEWS_MAX, &warm->inner_news, err);
    inner.queue = warm->inner_news;
    return code == HD_OK ? open(&inner, &warm->inner, err) : code;
}

static void free_parts(struct hd_warm *warm)
{
    hd_engine_close(warm->inner);
    if (warm->inner_news != NULL)
        hd_queue_free(warm->inner_news);
    if (warm->wake_fd >= 0)
        close(warm->wake_fd);
    hd_free(warm);
}

enum hd_code hd_engine_open_warm(const struct hd_engine_options *options, hd_engine_opener open,
                                 struct hd_engine **ret_engine, struct hd_err *err)
{
    struct hd_warm *warm = hd_calloc(1, sizeof(*warm));
    if (warm == NULL)
        return hd_fail(err, HD_E_NOMEM, "no memory for warm targets");
    warm->wake_fd = -1;
    warm->news = options->queue;
    warm->slots = options->slots;
    warm->serial = (uint32_t)hd_os_random_u64() & (HD_WARM_JOB_FLAG - 1);
    enum hd_code code = open_parts(warm, options, open, err);
    if (code != HD_OK) {
        free_parts(warm);
        return code;
    }
    warm->ops = warm_ops;
    warm->ops.name = hd_engine_name(warm->inner);
    warm->base.ops = &warm->ops;
    drop_leftovers(warm);
    hd_warm_box_recover(warm->dir);
    hd_assert(pthread_mutex_init(&warm->lock, NULL) == 0);
    if (pthread_create(&warm->thread, NULL, hd_warm_main, warm) != 0) {
        pthread_mutex_destroy(&warm->lock);
        free_parts(warm);
        return hd_fail(err, HD_E_NOMEM, "cannot start the thread of warm targets");
    }
    *ret_engine = &warm->base;
    return HD_OK;
}
