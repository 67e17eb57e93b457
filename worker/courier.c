/* SPDX-License-Identifier: Apache-2.0 */
#include "courier_internal.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#define NICE 10
#define RETRY_MS 250 /* doubled with each failure in a row */

/* ---- calls ----------------------------------------------------------------------------------- */

static bool is_off(struct hd_courier *courier)
{
    pthread_mutex_lock(&courier->lock);
    bool off = courier->closing;
    pthread_mutex_unlock(&courier->lock);
    return off;
}

static void count_answer(struct hd_courier *courier)
{
    pthread_mutex_lock(&courier->lock);
    courier->answers++;
    pthread_mutex_unlock(&courier->lock);
}

bool courier_may_pass(enum hd_code code)
{
    return code == HD_E_NET || code == HD_E_TIMEOUT || code == HD_E_NOMEM || code == HD_E_BUSY;
}

/* False: called off. */
static bool pause_for(struct hd_courier *courier, int64_t ms)
{
    int64_t until_ms = hd_clock_ms() + ms;
    pthread_mutex_lock(&courier->lock);
    while (!courier->closing && hd_cond_wait_until(&courier->changed, &courier->lock, until_ms))
        continue;
    bool off = courier->closing;
    pthread_mutex_unlock(&courier->lock);
    return !off;
}

void courier_let_states_pass(struct hd_courier *courier)
{
    pthread_mutex_lock(&courier->lock);
    while (!courier->closing &&
           courier->packing.count + courier->sending.count + courier->fetching.count > 0)
        pthread_cond_wait(&courier->changed, &courier->lock);
    pthread_mutex_unlock(&courier->lock);
}

/* A network that is gone for a while costs patience, not the transfer. */
enum hd_code courier_ask(struct hd_courier *courier, const struct task *task,
                         const struct hd_buf *question, int tries_max, struct hd_value **ret_answer,
                         struct hd_err *err)
{
    const char *view = task->files ? "home" : "checkpoint";
    for (int tries = 1;; tries++) {
        if (task->files)
            courier_let_states_pass(courier);
        if (is_off(courier))
            return hd_fail(err, HD_E_CANCELLED, "called off");
        enum hd_code code = hd_fetch_view(courier->fetch, task->address, "", view,
                                          hd_buf_text(question), HD_FETCH_CALL_MS, ret_answer, err);
        if (code == HD_OK)
            count_answer(courier);
        if (code == HD_OK || !courier_may_pass(code) || tries == tries_max)
            return code;
        if (!pause_for(courier, (int64_t)RETRY_MS << tries))
            return hd_fail(err, HD_E_CANCELLED, "called off");
    }
}

const char *courier_text_at(const struct hd_value *answer, const char *key)
{
    const struct hd_value *value = hd_value_get(answer, key);
    return value != NULL && value->kind == HD_VALUE_STRING ? value->as.string : NULL;
}

enum hd_code courier_begin(const struct task *task, const char *op, struct hd_buf *question,
                           struct hd_err *err)
{
    hd_buf_clear(question);
    return hd_buf_printf(question, err,
                         "{\"op\":\"%s\",\"run\":\"%" PRIu64 "\",\"job\":%u,\"attempt\":%u", op,
                         task->attempt.run_uid, task->attempt.job, task->attempt.attempt);
}

/* ---- news ------------------------------------------------------------------------------------ */

struct hd_courier_news *courier_news(struct hd_attempt_ref attempt)
{
    struct hd_courier_news *news = hd_calloc(1, sizeof(*news));
    if (news == NULL)
        return NULL;
    news->attempt = attempt;
    news->budget = NAN;
    return news;
}

/* Without memory nothing is said: the lease ends, and nothing has been done. */
void courier_tell(struct hd_courier *courier, struct hd_courier_news *news)
{
    if (news != NULL && hd_queue_push(courier->news, news) != HD_OK)
        hd_free(news);
}

/* ---- threads --------------------------------------------------------------------------------- */

static void *work(void *argument)
{
    struct lane *lane = argument;
    struct hd_courier *courier = lane->courier;
    if (lane == &courier->sending || lane == &courier->bringing) /* of this thread alone */
        (void)setpriority(PRIO_PROCESS, (id_t)syscall(SYS_gettid), NICE);
    pthread_mutex_lock(&courier->lock);
    while (!courier->closing) {
        if (lane->count == 0) {
            pthread_cond_wait(&courier->changed, &courier->lock);
            continue;
        }
        pthread_mutex_unlock(&courier->lock);
        lane->work(courier, &lane->tasks[0]); /* the first stays where it is */
        pthread_mutex_lock(&courier->lock);
        bool waited_for = lane->tasks[0].waited_for;
        struct hd_attempt_ref waiter = lane->tasks[0].waiter;
        memmove(lane->tasks, lane->tasks + 1, --lane->count * sizeof(lane->tasks[0]));
        pthread_cond_broadcast(&courier->changed); /* to whoever lets others pass */
        if (waited_for)
            courier_tell(courier, courier_news(waiter));
    }
    pthread_mutex_unlock(&courier->lock);
    return NULL;
}

enum hd_code courier_add(struct hd_courier *courier, struct lane *lane, size_t count_max,
                         const struct task *task, struct hd_err *err)
{
    enum hd_code code = HD_OK;
    pthread_mutex_lock(&courier->lock);
    if (lane->count < count_max)
        lane->tasks[lane->count++] = *task;
    else
        code = hd_fail(err, HD_E_LIMIT, "too many directories travel at once");
    pthread_cond_broadcast(&courier->changed);
    pthread_mutex_unlock(&courier->lock);
    return code;
}

static bool fill(struct task *task, const char *address, const char *path)
{
    task->fd = -1;
    return hd_copy_text(task->address, sizeof(task->address), address) &&
           hd_copy_text(task->path, sizeof(task->path), path);
}

static bool has_task(struct hd_courier *courier, const struct lane *lane,
                     struct hd_attempt_ref attempt)
{
    bool found = false;
    pthread_mutex_lock(&courier->lock);
    for (size_t i = 0; i < lane->count; i++)
        found = found || hd_attempt_ref_equal(lane->tasks[i].attempt, attempt);
    pthread_mutex_unlock(&courier->lock);
    return found;
}

void hd_courier_send(struct hd_courier *courier, const char *address, struct hd_attempt_ref attempt,
                     const char *work_dir)
{
    struct hd_err ignored;
    struct task task = {.attempt = attempt};
    if (!has_task(courier, &courier->packing, attempt) &&
        !has_task(courier, &courier->sending, attempt) && fill(&task, address, work_dir))
        (void)!courier_add(courier, &courier->packing, HD_COURIER_QUEUE_MAX, &task, &ignored);
}

void hd_courier_bring(struct hd_courier *courier, const char *address,
                      struct hd_attempt_ref attempt, const char *run_dir)
{
    struct hd_err ignored;
    struct task task = {.files = true, .attempt = attempt, .budget = NAN};
    if (!has_task(courier, &courier->bringing, attempt) && fill(&task, address, run_dir))
        (void)!courier_add(courier, &courier->bringing, HD_COURIER_QUEUE_MAX, &task, &ignored);
}

bool hd_courier_holds(struct hd_courier *courier, const char *run_dir)
{
    bool found = false;
    if (courier == NULL)
        return false;
    pthread_mutex_lock(&courier->lock);
    for (size_t i = 0; i < courier->bringing.count; i++)
        found = found || hd_streq(courier->bringing.tasks[i].path, run_dir);
    pthread_mutex_unlock(&courier->lock);
    return found;
}

enum hd_code hd_courier_fetch(struct hd_courier *courier, const char *address,
                              struct hd_attempt_ref attempt, const char *path, struct hd_err *err)
{
    struct task task = {.attempt = attempt};
    return fill(&task, address, path)
               ? courier_add(courier, &courier->fetching, HD_COURIER_QUEUE_MAX, &task, err)
               : hd_fail(err, HD_E_LIMIT, "the path %s is too long", path);
}

bool hd_courier_must_wait(struct hd_courier *courier, const char *work_dir,
                          struct hd_attempt_ref attempt)
{
    bool found = false;
    pthread_mutex_lock(&courier->lock);
    for (size_t i = 0; i < courier->packing.count; i++) {
        struct task *task = &courier->packing.tasks[i];
        if (found || !hd_streq(task->path, work_dir))
            continue;
        task->waited_for = found = true;
        task->waiter = attempt;
    }
    pthread_mutex_unlock(&courier->lock);
    return found;
}

bool hd_courier_is_idle(struct hd_courier *courier)
{
    pthread_mutex_lock(&courier->lock);
    bool idle = courier->packing.count + courier->sending.count + courier->bringing.count == 0;
    pthread_mutex_unlock(&courier->lock);
    return idle;
}

bool hd_courier_is_packing(struct hd_courier *courier)
{
    pthread_mutex_lock(&courier->lock);
    bool packing = courier->packing.count > 0 || courier->packs_files;
    pthread_mutex_unlock(&courier->lock);
    return packing;
}

/* A fetch that is under way needs them, and looks by itself before it begins. */
void hd_courier_tidy(struct hd_courier *courier)
{
    pthread_mutex_lock(&courier->lock);
    if (courier->fetching.count == 0)
        hd_stash_tidy(&courier->stash);
    pthread_mutex_unlock(&courier->lock);
}

uint64_t hd_courier_answers(struct hd_courier *courier)
{
    pthread_mutex_lock(&courier->lock);
    uint64_t answers = courier->answers;
    pthread_mutex_unlock(&courier->lock);
    return answers;
}

static bool start(struct hd_courier *courier, struct lane *lane,
                  void (*task)(struct hd_courier *courier, struct task *task))
{
    lane->courier = courier;
    lane->work = task;
    lane->started = pthread_create(&lane->thread, NULL, work, lane) == 0;
    return lane->started;
}

static bool set_spools(const char *state_dir, char ret_spool[HD_PATH_MAX],
                       char ret_files_spool[HD_PATH_MAX])
{
    return hd_format(ret_spool, HD_PATH_MAX, "%s/travelling.tar", state_dir) &&
           hd_format(ret_files_spool, HD_PATH_MAX, "%s/home.tar", state_dir);
}

/* They have names only while they are packed. */
static void unlink_spools(const char *state_dir)
{
    char spool[HD_PATH_MAX], files_spool[HD_PATH_MAX];
    if (!set_spools(state_dir, spool, files_spool))
        return;
    (void)unlink(spool);
    (void)unlink(files_spool);
}

void hd_courier_clean(const char *state_dir)
{
    unlink_spools(state_dir);
    hd_stash_remove(state_dir);
}

enum hd_code hd_courier_open(const struct hd_courier_settings *settings,
                             struct hd_courier **ret_courier, struct hd_err *err)
{
    struct hd_courier *courier = hd_calloc(1, sizeof(*courier));
    if (courier == NULL)
        return hd_fail(err, HD_E_NOMEM, "no memory for directories that travel");
    courier->fetch = settings->fetch;
    courier->root = settings->root;
    courier->bytes_max = settings->bytes_max;
    courier->free_bytes = settings->free_bytes != NULL ? settings->free_bytes : hd_disk_free;
    courier->news = settings->news;
    hd_assert(pthread_mutex_init(&courier->lock, NULL) == 0);
    hd_cond_init(&courier->changed);
    unlink_spools(settings->state_dir); /* of a process that died */
    hd_stash_open(&courier->stash, settings->state_dir, courier->free_bytes);
    if (!hd_copy_text(courier->state_dir, sizeof(courier->state_dir), settings->state_dir) ||
        !set_spools(settings->state_dir, courier->spool, courier->files_spool) ||
        !start(courier, &courier->bringing, courier_bring_task) ||
        !start(courier, &courier->packing, courier_pack_task) ||
        !start(courier, &courier->sending, courier_send_task) ||
        !start(courier, &courier->fetching, courier_fetch_task)) {
        hd_courier_close(courier);
        return hd_fail(err, HD_E_NOMEM, "no threads for directories that travel");
    }
    *ret_courier = courier;
    return HD_OK;
}

void hd_courier_close(struct hd_courier *courier)
{
    if (courier == NULL)
        return;
    pthread_mutex_lock(&courier->lock);
    courier->closing = true;
    pthread_cond_broadcast(&courier->changed);
    pthread_mutex_unlock(&courier->lock);
    struct lane *lanes[] = {&courier->packing, &courier->sending, &courier->fetching,
                            &courier->bringing};
    for (size_t i = 0; i < HD_COUNT(lanes); i++)
        if (lanes[i]->started)
            pthread_join(lanes[i]->thread, NULL);
    for (size_t i = 0; i < courier->sending.count; i++)
        close(courier->sending.tasks[i].fd);
    pthread_cond_destroy(&courier->changed);
    pthread_mutex_destroy(&courier->lock);
    hd_free(courier);
}
