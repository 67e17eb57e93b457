/* SPDX-License-Identifier: Apache-2.0 */
/* service_sets.c: see service_sets.h. One thread does one thing after another, and gives up the
 * lock while it speaks with the engine or with masters. Of a set that is `busy` others change only
 * holds, wanted, ending and doubted. */
#include "service_sets.h"

#include <hd/message.h>

#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define FOLDER "services"
#define ASK_EVERY_MS 5000
#define AGAIN_MS 5000 /* after what could not be taken down */
#define LEAVE_AGAIN_MS 500
#define LEAVE_TRIES 8 /* a container that used its network may be on its way out */
#define SILENT_MS_DEFAULT 600000
#define NAME_BYTES_MAX 256 /* of a run's id in its file */

struct set {
    bool used;
    uint64_t run_uid;
    char run_id[HD_ID_MAX + 1];
    char label[HD_SERVICES_PATH_MAX];
    char uuid[HD_SERVICES_UUID_SIZE]; /* when up */
    struct hd_experiment *experiment; /* NULL: noted by an earlier process, and not wanted yet */
    struct hd_services_bounds bounds;
    struct hd_service_news *ended; /* made beforehand: that it is over can always be told */
    uint32_t holds;
    bool up;
    bool doubted; /* to be looked at before it is used again */
    bool wanted;  /* somebody waits for it */
    bool ending;  /* to be taken down */
    bool busy;
    uint32_t failures;  /* in a row, to take it down */
    int64_t look_at_ms; /* nothing is done for it before, unless it is wanted */
    int64_t heard_ms;   /* when somebody last knew of its run */
};

struct hd_service_sets {
    struct hd_service_sets_settings settings;
    char folder[HD_SERVICES_PATH_MAX];
    pthread_t thread;
    bool started;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    /* Guarded by lock. */
    struct set sets[HD_SERVICE_SETS_MAX];
    const struct set *current; /* what the thread works on */
    bool leaving, hurried, closing;
};

enum task { TASK_NONE, TASK_UP, TASK_DOWN, TASK_ASK };

/* ---- the notes on disk ----------------------------------------------------------------------- */

static bool note_path(const char *folder, uint64_t run_uid, char path[HD_SERVICES_PATH_MAX])
{
    return hd_format(path, HD_SERVICES_PATH_MAX, "%s/%016" PRIx64, folder, run_uid);
}

static enum hd_code write_note(const struct hd_service_sets *sets, const struct set *set,
                               struct hd_err *err)
{
    char path[HD_SERVICES_PATH_MAX];
    if (!note_path(sets->folder, set->run_uid, path))
        return hd_fail(err, HD_E_LIMIT, "the path %s is too long", sets->folder);
    enum hd_code code = hd_mkdirs(sets->folder, 0700, err);
    return code == HD_OK ? hd_file_write_atomic(path, set->run_id, strlen(set->run_id), 0600, err)
                         : code;
}

static void erase_note(const char *folder, uint64_t run_uid)
{
    char path[HD_SERVICES_PATH_MAX];
    if (note_path(folder, run_uid, path))
        (void)unlink(path);
}

static bool fill(struct set *set, const char *state_dir, uint64_t run_uid, const char *run_id)
{
    *set = (struct set){.used = true, .run_uid = run_uid};
    return hd_copy_text(set->run_id, sizeof(set->run_id), run_id) &&
           hd_format(set->label, sizeof(set->label), "%s#%s.%016" PRIx64, state_dir, run_id,
                     run_uid);
}

/* false: it is no note. */
static bool read_note(const char *folder, const char *name, const char *state_dir, struct set *set)
{
    struct hd_buf text;
    struct hd_err ignored;
    char path[HD_SERVICES_PATH_MAX];
    uint64_t uid = 0;
    int used = 0;
    if (strlen(name) != 16 || strspn(name, "0123456789abcdef") != 16 ||
        sscanf(name, "%16" SCNx64 "%n", &uid, &used) != 1 || used != 16 ||
        !note_path(folder, uid, path))
        return false;
    hd_buf_init(&text, NAME_BYTES_MAX + 1);
    bool good = hd_file_read(path, NAME_BYTES_MAX, true, &text, &ignored) == HD_OK &&
                hd_check_id("run id", hd_buf_text(&text), &ignored) == HD_OK &&
                fill(set, state_dir, uid, hd_buf_text(&text));
    hd_buf_release(&text);
    return good;
}

static size_t read_notes(const char *folder, const char *state_dir, struct set *sets, size_t max)
{
    size_t count = 0;
    DIR *stream = opendir(folder);
    const struct dirent *entry;
    while (stream != NULL && count < max && (entry = readdir(stream)) != NULL)
        count += read_note(folder, entry->d_name, state_dir, &sets[count]) ? 1 : 0;
    if (stream != NULL)
        closedir(stream);
    return count;
}

/* ---- what the thread does -------------------------------------------------------------------- */

static bool is_unwanted(void *context)
{
    struct hd_service_sets *sets = context;
    pthread_mutex_lock(&sets->lock);
    bool unwanted = sets->closing || sets->current == NULL || sets->current->holds == 0;
    pthread_mutex_unlock(&sets->lock);
    return unwanted;
}

static bool is_hurried(void *context)
{
    struct hd_service_sets *sets = context;
    pthread_mutex_lock(&sets->lock);
    bool hurried = sets->hurried;
    pthread_mutex_unlock(&sets->lock);
    return hurried;
}

static void tell_doing(void *context, const char *name, const char *text)
{
    struct hd_service_sets *sets = context;
    struct hd_service_news *news = hd_calloc(1, sizeof(*news));
    if (news == NULL)
        return;
    (void)hd_format(news->doing, sizeof(news->doing), "service %.60s: %.80s", name, text);
    if (hd_queue_push(sets->settings.queue, news) != HD_OK)
        hd_free(news);
}

static struct hd_services_options options_of(struct hd_service_sets *sets, const struct set *set)
{
    return (struct hd_services_options){
        .docker_host = sets->settings.docker_host,
        .podman = sets->settings.podman,
        .file = set->label,
        .host = sets->settings.host,
        .apart = true,
        .bounds = &set->bounds,
        .hurried = is_hurried,
        .context = sets,
    };
}

static enum hd_code bring_up(struct hd_service_sets *sets, const struct set *set,
                             char ret_uuid[HD_SERVICES_UUID_SIZE], struct hd_err *err)
{
    char uuid[HD_SERVICES_UUID_SIZE];
    bool made = false;
    struct hd_services_options options = options_of(sets, set);
    hd_services_make_uuid(uuid);
    options.uuid = uuid;
    options.interrupted = is_unwanted;
    options.say = tell_doing;
    enum hd_code code =
        hd_services_ensure(set->experiment->services, &options, ret_uuid, &made, err);
    if (code == HD_OK)
        hd_log(made ? HD_LOG_INFO : HD_LOG_DEBUG, "services of run %s: %s, UUID %s", set->run_id,
               made ? "up" : "there", ret_uuid);
    return code == HD_OK ? HD_OK : hd_fail_in(err, "services");
}

static enum hd_code take_down(struct hd_service_sets *sets, const struct set *set,
                              struct hd_err *err)
{
    size_t count;
    struct hd_services_options options = options_of(sets, set);
    return hd_services_down(&options, &count, err);
}

/* Under the lock. */
static void erase(struct hd_service_sets *sets, struct set *set)
{
    erase_note(sets->folder, set->run_uid);
    hd_log(HD_LOG_INFO, "services of run %s: taken down", set->run_id);
    hd_experiment_free(set->experiment);
    hd_free(set->ended);
    *set = (struct set){.used = false};
}

static void conclude_up(struct hd_service_sets *sets, struct set *set, enum hd_code code,
                        const char *uuid, const struct hd_err *err)
{
    if (code == HD_E_CANCELLED && set->holds > 0 && !sets->closing)
        return; /* nobody waited for it any more, and now somebody does */
    struct hd_service_news *news = set->ended;
    set->ended = NULL;
    set->wanted = set->doubted = false;
    set->up = code == HD_OK;
    set->ending = code != HD_OK; /* up leaves nothing behind; what was there before may be left */
    set->look_at_ms = set->heard_ms = hd_clock_ms();
    if (code == HD_OK)
        (void)hd_copy_text(set->uuid, sizeof(set->uuid), uuid);
    news->code = code;
    if (code != HD_OK)
        news->err = *err;
    if (hd_queue_push(sets->settings.queue, news) != HD_OK)
        hd_free(news);
}

static void conclude_down(struct hd_service_sets *sets, struct set *set, enum hd_code code,
                          const struct hd_err *err)
{
    set->look_at_ms = hd_clock_ms() + (sets->leaving ? LEAVE_AGAIN_MS : AGAIN_MS);
    if (code != HD_OK && set->failures++ == 0)
        hd_log(HD_LOG_WARNING, "services of run %s are still there, trying again: %s", set->run_id,
               err->text);
    if (code != HD_OK)
        return;
    set->failures = 0;
    set->ending = false;
    if (!set->wanted && set->holds == 0)
        erase(sets, set);
}

static void conclude_ask(const struct hd_service_sets *sets, struct set *set, enum hd_run_word word)
{
    int64_t now_ms = hd_clock_ms(), silent_ms = sets->settings.silent_ms;
    set->look_at_ms = now_ms + (silent_ms < ASK_EVERY_MS ? silent_ms : ASK_EVERY_MS);
    if (word == HD_RUN_GOES_ON)
        set->heard_ms = now_ms;
    bool lost = word == HD_RUN_UNHEARD && now_ms - set->heard_ms >= silent_ms;
    if (set->holds > 0 || !(word == HD_RUN_OVER || lost))
        return;
    set->ending = true;
    set->look_at_ms = now_ms;
}

static enum task task_of(const struct hd_service_sets *sets, const struct set *set, int64_t now_ms)
{
    if (!set->used)
        return TASK_NONE;
    if (set->wanted && !sets->leaving)
        return TASK_UP;
    bool due = now_ms >= set->look_at_ms;
    if ((set->ending || sets->leaving) && set->holds == 0)
        return due ? TASK_DOWN : TASK_NONE;
    return due && set->holds == 0 && !sets->leaving ? TASK_ASK : TASK_NONE;
}

/* What somebody waits for comes first. */
static struct set *pick(struct hd_service_sets *sets, int64_t now_ms, enum task *ret_task)
{
    struct set *best = NULL;
    *ret_task = TASK_NONE;
    for (size_t i = 0; i < HD_SERVICE_SETS_MAX; i++) {
        enum task task = task_of(sets, &sets->sets[i], now_ms);
        if (task == TASK_NONE || (best != NULL && *ret_task <= task))
            continue;
        best = &sets->sets[i];
        *ret_task = task;
    }
    return best;
}

/* The lock is held, and given up meanwhile. */
static void work_on(struct hd_service_sets *sets, struct set *set, enum task task)
{
    struct hd_err err = {0};
    char uuid[HD_SERVICES_UUID_SIZE] = "";
    enum hd_code code = HD_OK;
    enum hd_run_word word = HD_RUN_UNHEARD;
    set->busy = true;
    set->up = set->up && task != TASK_DOWN;
    sets->current = set;
    pthread_mutex_unlock(&sets->lock);
    if (task == TASK_UP)
        code = bring_up(sets, set, uuid, &err);
    else if (task == TASK_DOWN)
        code = take_down(sets, set, &err);
    else
        word = sets->settings.ask(sets->settings.context, set->run_uid);
    pthread_mutex_lock(&sets->lock);
    sets->current = NULL;
    set->busy = false;
    if (task == TASK_UP)
        conclude_up(sets, set, code, uuid, &err);
    else if (task == TASK_DOWN)
        conclude_down(sets, set, code, &err);
    else
        conclude_ask(sets, set, word);
    pthread_cond_broadcast(&sets->changed);
}

static void *work(void *context)
{
    struct hd_service_sets *sets = context;
    pthread_mutex_lock(&sets->lock);
    while (!sets->closing) {
        enum task task;
        int64_t now_ms = hd_clock_ms(), next_ms = now_ms + SILENT_MS_DEFAULT;
        struct set *set = pick(sets, now_ms, &task);
        if (set != NULL) {
            work_on(sets, set, task);
            continue;
        }
        for (size_t i = 0; i < HD_SERVICE_SETS_MAX; i++)
            if (sets->sets[i].used && sets->sets[i].holds == 0 &&
                sets->sets[i].look_at_ms < next_ms)
                next_ms = sets->sets[i].look_at_ms;
        (void)hd_cond_wait_until(&sets->changed, &sets->lock, next_ms);
    }
    pthread_mutex_unlock(&sets->lock);
    return NULL;
}

/* ---- life ------------------------------------------------------------------------------------ */

static void init_lock(struct hd_service_sets *sets)
{
    hd_assert(pthread_mutex_init(&sets->lock, NULL) == 0);
    hd_cond_init(&sets->changed);
}

enum hd_code hd_service_sets_open(const struct hd_service_sets_settings *settings,
                                  struct hd_service_sets **ret_sets, struct hd_err *err)
{
    struct hd_service_sets *sets = hd_calloc(1, sizeof(*sets));
    if (sets == NULL)
        return hd_fail(err, HD_E_NOMEM, "no memory for services");
    sets->settings = *settings;
    if (sets->settings.silent_ms == 0)
        sets->settings.silent_ms = SILENT_MS_DEFAULT;
    if (!hd_format(sets->folder, sizeof(sets->folder), "%s/" FOLDER, settings->state_dir)) {
        hd_free(sets);
        return hd_fail(err, HD_E_LIMIT, "the path %s is too long", settings->state_dir);
    }
    init_lock(sets);
    size_t count = read_notes(sets->folder, settings->state_dir, sets->sets, HD_SERVICE_SETS_MAX);
    for (size_t i = 0; i < count; i++)
        sets->sets[i].look_at_ms = sets->sets[i].heard_ms = hd_clock_ms();
    *ret_sets = sets;
    return HD_OK;
}

enum hd_code hd_service_sets_start(struct hd_service_sets *sets, struct hd_err *err)
{
    if (pthread_create(&sets->thread, NULL, work, sets) != 0)
        return hd_fail(err, HD_E_NOMEM, "cannot start the thread for services");
    sets->started = true;
    return HD_OK;
}

void hd_service_sets_close(struct hd_service_sets *sets)
{
    if (sets == NULL)
        return;
    pthread_mutex_lock(&sets->lock);
    sets->closing = sets->hurried = true;
    pthread_cond_broadcast(&sets->changed);
    pthread_mutex_unlock(&sets->lock);
    if (sets->started)
        pthread_join(sets->thread, NULL);
    for (size_t i = 0; i < HD_SERVICE_SETS_MAX; i++) {
        hd_experiment_free(sets->sets[i].experiment);
        hd_free(sets->sets[i].ended);
    }
    pthread_cond_destroy(&sets->changed);
    pthread_mutex_destroy(&sets->lock);
    hd_free(sets);
}

static bool has_work(const struct hd_service_sets *sets)
{
    bool any = false;
    for (size_t i = 0; i < HD_SERVICE_SETS_MAX; i++) {
        const struct set *set = &sets->sets[i];
        any = any || (set->used && (set->busy || (set->holds == 0 && set->failures < LEAVE_TRIES)));
    }
    return any;
}

bool hd_service_sets_leave(struct hd_service_sets *sets, int64_t wait_ms)
{
    int64_t until_ms = hd_clock_ms() + wait_ms;
    if (sets == NULL || !sets->started)
        return true;
    pthread_mutex_lock(&sets->lock);
    for (size_t i = 0; i < HD_SERVICE_SETS_MAX && !sets->leaving; i++) {
        sets->sets[i].look_at_ms = 0;
        sets->sets[i].failures = 0;
    }
    sets->leaving = true;
    pthread_cond_broadcast(&sets->changed);
    while (has_work(sets) && hd_cond_wait_until(&sets->changed, &sets->lock, until_ms))
        continue;
    bool done = !has_work(sets);
    pthread_mutex_unlock(&sets->lock);
    return done;
}

void hd_service_sets_hurry(struct hd_service_sets *sets)
{
    pthread_mutex_lock(&sets->lock);
    sets->hurried = true;
    pthread_mutex_unlock(&sets->lock);
}

/* ---- the caller's ---------------------------------------------------------------------------- */

/* Under the lock; NULL: there is none. */
static struct set *find(struct hd_service_sets *sets, uint64_t run_uid)
{
    for (size_t i = 0; i < HD_SERVICE_SETS_MAX; i++)
        if (sets->sets[i].used && sets->sets[i].run_uid == run_uid)
            return &sets->sets[i];
    return NULL;
}

/* Under the lock. */
static enum hd_code add(struct hd_service_sets *sets, uint64_t run_uid, const char *run_id,
                        struct set **ret_set, struct hd_err *err)
{
    size_t place = 0;
    while (place < HD_SERVICE_SETS_MAX && sets->sets[place].used)
        place++;
    if (place == HD_SERVICE_SETS_MAX)
        return hd_fail(err, HD_E_LIMIT, "this worker has services of %d runs already",
                       HD_SERVICE_SETS_MAX);
    struct set *set = &sets->sets[place];
    enum hd_code code = fill(set, sets->settings.state_dir, run_uid, run_id)
                            ? write_note(sets, set, err)
                            : hd_fail(err, HD_E_LIMIT, "the work directory's path is too long");
    if (code == HD_OK)
        *ret_set = set;
    else
        set->used = false;
    return code;
}

bool hd_service_sets_hold(struct hd_service_sets *sets, uint64_t run_uid)
{
    pthread_mutex_lock(&sets->lock);
    struct set *set = find(sets, run_uid);
    if (set != NULL)
        set->holds++;
    pthread_mutex_unlock(&sets->lock);
    return set != NULL;
}

void hd_service_sets_release(struct hd_service_sets *sets, uint64_t run_uid)
{
    pthread_mutex_lock(&sets->lock);
    struct set *set = find(sets, run_uid);
    if (set != NULL) {
        hd_assert(set->holds > 0);
        set->holds--;
        set->look_at_ms = set->heard_ms = hd_clock_ms();
        pthread_cond_broadcast(&sets->changed);
    }
    pthread_mutex_unlock(&sets->lock);
}

void hd_service_sets_look(struct hd_service_sets *sets, uint64_t run_uid)
{
    pthread_mutex_lock(&sets->lock);
    struct set *set = find(sets, run_uid);
    if (set != NULL && set->failures == 0)
        set->look_at_ms = hd_clock_ms();
    pthread_cond_broadcast(&sets->changed);
    pthread_mutex_unlock(&sets->lock);
}

void hd_service_sets_doubt(struct hd_service_sets *sets, uint64_t run_uid)
{
    pthread_mutex_lock(&sets->lock);
    struct set *set = find(sets, run_uid);
    if (set != NULL)
        set->doubted = true;
    pthread_mutex_unlock(&sets->lock);
}

bool hd_service_sets_find(struct hd_service_sets *sets, uint64_t run_uid, bool hold,
                          char ret_uuid[HD_SERVICES_UUID_SIZE])
{
    pthread_mutex_lock(&sets->lock);
    struct set *set = find(sets, run_uid);
    bool up = set != NULL && set->up && !set->doubted;
    if (up) {
        set->ending = false;
        set->holds += hold ? 1 : 0;
        (void)hd_copy_text(ret_uuid, HD_SERVICES_UUID_SIZE, set->uuid);
    }
    pthread_mutex_unlock(&sets->lock);
    return up;
}

static enum hd_code want(struct hd_service_sets *sets, uint64_t run_uid, const char *run_id,
                         struct hd_experiment **experiment, bool hold,
                         const struct hd_services_bounds *bounds, struct hd_err *err)
{
    struct set *set = find(sets, run_uid);
    enum hd_code code = set != NULL ? HD_OK : add(sets, run_uid, run_id, &set, err);
    if (code != HD_OK)
        return code;
    if (set->ended == NULL && (set->ended = hd_calloc(1, sizeof(*set->ended))) == NULL)
        return hd_fail(err, HD_E_NOMEM, "no memory for services");
    set->ended->run_uid = run_uid;
    set->ended->ended = true;
    if (set->experiment == NULL) {
        set->experiment = *experiment;
        set->bounds = *bounds;
        *experiment = NULL;
    }
    set->wanted = true;
    set->holds += hold ? 1 : 0;
    pthread_cond_broadcast(&sets->changed);
    return HD_OK;
}

enum hd_code hd_service_sets_want(struct hd_service_sets *sets, uint64_t run_uid,
                                  const char *run_id, bool hold, struct hd_experiment *experiment,
                                  const struct hd_services_bounds *bounds, struct hd_err *err)
{
    pthread_mutex_lock(&sets->lock);
    enum hd_code code = want(sets, run_uid, run_id, &experiment, hold, bounds, err);
    pthread_mutex_unlock(&sets->lock);
    hd_experiment_free(experiment);
    return code;
}

/* ---- of the dead ----------------------------------------------------------------------------- */

void hd_service_sets_reap(const struct hd_service_sets_settings *settings)
{
    struct set *left = hd_calloc(HD_SERVICE_SETS_MAX, sizeof(*left));
    char folder[HD_SERVICES_PATH_MAX];
    if (left == NULL || !hd_format(folder, sizeof(folder), "%s/" FOLDER, settings->state_dir)) {
        hd_free(left);
        return;
    }
    size_t count = read_notes(folder, settings->state_dir, left, HD_SERVICE_SETS_MAX);
    for (size_t i = 0; i < count; i++) {
        struct hd_err err;
        size_t removed;
        const struct hd_services_options options = {.docker_host = settings->docker_host,
                                                    .podman = settings->podman,
                                                    .file = left[i].label,
                                                    .host = settings->host};
        if (hd_services_down(&options, &removed, &err) == HD_OK)
            erase_note(folder, left[i].run_uid);
        hd_log(HD_LOG_WARNING, "services of run %s that a dead worker left: %zu removed",
               left[i].run_id, removed);
    }
    hd_free(left);
}
