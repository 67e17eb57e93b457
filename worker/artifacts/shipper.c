/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The queue of a worker's attempts and the thread that ships them. Whoever calls holds the lock for
 * a small file's time at most; the thread gives it up while it speaks with the store. Of an item
 * that is `busy` the thread alone changes anything but `doomed`.
 */
#include "shipper_internal.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define RETRY_MS_FIRST 1000
#define RETRY_MS_MENDING 30000 /* credentials, buckets: a person has to do something */
#define RETRY_MS_MAX 300000

/* ---- items ---------------------------------------------------------------------------------- */

struct hd_item *shipper_find(struct hd_shipper *shipper, struct hd_attempt_ref attempt)
{
    for (size_t i = 0; i < shipper->count; i++)
        if (hd_attempt_ref_equal(shipper->items[i]->attempt, attempt))
            return shipper->items[i];
    return NULL;
}

bool shipper_add(struct hd_shipper *shipper, struct hd_item *item)
{
    if (shipper->count == HD_ARTIFACT_QUEUE_MAX)
        return false;
    if (shipper->count == shipper->capacity) {
        size_t capacity = shipper->capacity == 0 ? 64 : 2 * shipper->capacity;
        struct hd_item **grown = hd_realloc(shipper->items, capacity * sizeof(struct hd_item *));
        if (grown == NULL)
            return false;
        shipper->items = grown;
        shipper->capacity = capacity;
    }
    shipper->items[shipper->count++] = item;
    return true;
}

size_t shipper_count_waiting(const struct hd_shipper *shipper)
{
    size_t count = 0;
    for (size_t i = 0; i < shipper->count; i++)
        count += shipper->items[i]->state == HD_ITEM_ENDED ||
                 shipper->items[i]->state == HD_ITEM_REMOVING;
    return count;
}

void shipper_erase(struct hd_shipper *shipper, struct hd_item *item)
{
    size_t i = 0;
    while (i < shipper->count && shipper->items[i] != item)
        i++;
    hd_assert(i < shipper->count);
    shipper->items[i] = shipper->items[--shipper->count];
    hd_item_erase(shipper->directory, item->attempt);
    hd_item_free(item);
    if (shipper_count_waiting(shipper) == 0)
        (void)!eventfd_write(shipper->event_fd, 1);
}

void shipper_write_down(struct hd_shipper *shipper, const struct hd_item *item)
{
    struct hd_err err;
    if (hd_item_write(shipper->directory, item, &err) != HD_OK)
        hd_log(HD_LOG_ERROR, "job %u, attempt %u: what is to be shipped is not on disk: %s",
               item->attempt.job, item->attempt.attempt, err.text);
}

/* ---- what is kept --------------------------------------------------------------------------- */

static bool counts(const struct hd_item *item)
{
    return (item->state == HD_ITEM_ENDED || item->state == HD_ITEM_KEPT) &&
           item->outcome == HD_OUTCOME_OK && isfinite(item->loss);
}

/* The highest budget, there the feasible, then the lowest loss, then what ended first: as the
 * incumbent is chosen. */
static bool is_better(const struct hd_item *a, const struct hd_item *b)
{
    if (a->budget != b->budget)
        return a->budget > b->budget;
    if (a->violation != b->violation)
        return a->violation < b->violation;
    if (a->loss != b->loss)
        return a->loss < b->loss;
    if (a->since_wall_ms != b->since_wall_ms)
        return a->since_wall_ms < b->since_wall_ms;
    return a->attempt.job != b->attempt.job ? a->attempt.job < b->attempt.job
                                            : a->attempt.attempt < b->attempt.attempt;
}

/* How many of this worker's attempts of its run are better. The best of the run are among the best
 * of their workers, so what is not among these is not among those. */
static size_t rank_of(const struct hd_shipper *shipper, const struct hd_item *item)
{
    size_t rank = 0;
    for (size_t i = 0; i < shipper->count; i++) {
        const struct hd_item *other = shipper->items[i];
        rank += other != item && other->attempt.run_uid == item->attempt.run_uid && counts(other) &&
                is_better(other, item);
    }
    return rank;
}

static bool is_kept(const struct hd_shipper *shipper, const struct hd_item *item)
{
    return item->spec.keep == 0 || (counts(item) && rank_of(shipper, item) < item->spec.keep);
}

/* Only once what displaced it is in the store whole: never are there fewer than K. */
static void displace(struct hd_shipper *shipper, uint64_t run_uid)
{
    for (size_t i = 0; i < shipper->count; i++) {
        struct hd_item *item = shipper->items[i];
        if (item->state != HD_ITEM_KEPT || item->attempt.run_uid != run_uid)
            continue;
        size_t better = 0;
        for (size_t j = 0; j < shipper->count; j++) {
            const struct hd_item *other = shipper->items[j];
            better += other != item && other->state == HD_ITEM_KEPT &&
                      other->attempt.run_uid == run_uid && is_better(other, item);
        }
        if (better < item->spec.keep)
            continue;
        item->state = HD_ITEM_REMOVING;
        shipper_write_down(shipper, item);
    }
}

/* ---- the store ------------------------------------------------------------------------------ */

/* One store that fails fails for all: nothing else is tried meanwhile. */
static void take_trouble(struct hd_shipper *shipper, enum hd_code code, const struct hd_err *err)
{
    bool mending = code == HD_E_AUTH || code == HD_E_NOTFOUND || code == HD_E_UNSUPPORTED;
    bool first = shipper->retry_ms == 0;
    int64_t base_ms = first ? (mending ? RETRY_MS_MENDING : RETRY_MS_FIRST) : shipper->retry_ms * 2;
    shipper->retry_ms = base_ms > RETRY_MS_MAX ? RETRY_MS_MAX : base_ms;
    /* Workers that saw it fail together do not come back together. */
    int64_t spread_ms = (int64_t)(hd_os_random_u64() % (uint64_t)(shipper->retry_ms / 2 + 1));
    shipper->retry_at_ms = hd_clock_ms() + shipper->retry_ms * 3 / 4 + spread_ms;
    if (first || !hd_streq(shipper->trouble.text, err->text))
        hd_log(HD_LOG_WARNING, "artifacts cannot be shipped, trying again: %s", err->text);
    shipper->trouble = *err;
}

static void take_success(struct hd_shipper *shipper)
{
    if (shipper->retry_ms > 0)
        hd_log(HD_LOG_INFO, "artifacts can be shipped again");
    shipper->retry_ms = 0;
    shipper->retry_at_ms = 0;
}

/* Under the lock; a file of credentials may have been mended. */
static enum hd_code open_store(struct hd_shipper *shipper, struct hd_err *err)
{
    if (shipper->store != NULL && shipper->retry_ms == 0)
        return HD_OK;
    hd_artifact_store_close(shipper->store);
    shipper->store = NULL;
    enum hd_code code =
        shipper->access != NULL ? hd_artifact_access_refresh(shipper->access, err) : HD_OK;
    return code == HD_OK
               ? hd_artifact_store_open(&shipper->place, shipper->access, &shipper->store, err)
               : code;
}

/* ---- one step ------------------------------------------------------------------------------- */

static bool is_due(const struct hd_item *item, int64_t now_ms)
{
    switch (item->state) {
    case HD_ITEM_ENDED:
    case HD_ITEM_REMOVING:
        return true;
    case HD_ITEM_RUNNING: /* whether it will be kept is not known before its end */
        return item->begun && item->spec.keep == 0 && now_ms >= item->look_at_ms;
    case HD_ITEM_KEPT:
    case HD_ITEM_STATE_COUNT:
        break;
    }
    return false;
}

/* What ended comes before what works, the older before the younger. */
static struct hd_item *pick(struct hd_shipper *shipper, int64_t now_ms)
{
    struct hd_item *best = NULL;
    if (shipper->off || now_ms < shipper->retry_at_ms)
        return NULL;
    for (size_t i = 0; i < shipper->count; i++) {
        struct hd_item *item = shipper->items[i];
        if (!is_due(item, now_ms))
            continue;
        bool works = item->state == HD_ITEM_RUNNING;
        bool best_works = best != NULL && best->state == HD_ITEM_RUNNING;
        if (best == NULL || (best_works && !works) ||
            (best_works == works && item->since_wall_ms < best->since_wall_ms))
            best = item;
    }
    return best;
}

static void drop(struct hd_shipper *shipper, struct hd_item *item, const char *state,
                 const char *why)
{
    hd_ship_tell(item, state, shipper->place.url, NULL, why);
    shipper_erase(shipper, item);
}

static void finish(struct hd_shipper *shipper, struct hd_item *item, const struct hd_ship_sum *sum)
{
    shipper->shipped_attempts++;
    shipper->shipped_bytes += sum->bytes;
    hd_log(HD_LOG_INFO, "job %u, attempt %u: %zu files (%" PRIu64 " bytes) are in %s%s%s",
           item->attempt.job, item->attempt.attempt, sum->files, sum->bytes, shipper->place.url,
           sum->left_out > 0 ? "; left out: " : "", sum->message);
    hd_ship_tell(item, "shipped", shipper->place.url, sum, sum->message);
    if (item->spec.keep == 0) {
        shipper_erase(shipper, item);
        return;
    }
    uint64_t run_uid = item->attempt.run_uid;
    item->state = HD_ITEM_KEPT;
    shipper_write_down(shipper, item);
    displace(shipper, run_uid);
    if (shipper_count_waiting(shipper) == 0)
        (void)!eventfd_write(shipper->event_fd, 1);
}

/* Under the lock, with what the store said. */
static void conclude(struct hd_shipper *shipper, struct hd_item *item, enum hd_item_state state,
                     enum hd_code code, const struct hd_ship_sum *sum, const struct hd_err *err)
{
    item->busy = false;
    item->look_at_ms = hd_clock_ms() + SHIPPER_LOOK_EVERY_MS;
    bool gone = code == HD_E_CORRUPT; /* its directory */
    bool hopeless = code == HD_E_INVALID || code == HD_E_LIMIT;
    if (code == HD_OK || gone || hopeless)
        take_success(shipper);
    else if (code != HD_E_CANCELLED)
        take_trouble(shipper, code, err);
    if (item->doomed) {
        item->doomed = false;
        item->state = HD_ITEM_REMOVING;
        shipper_write_down(shipper, item);
    } else if (state == HD_ITEM_ENDED && code == HD_OK) {
        finish(shipper, item, sum);
    } else if (state == HD_ITEM_ENDED && (gone || hopeless)) {
        hd_log(HD_LOG_WARNING, "job %u, attempt %u: its files are not shipped: %s",
               item->attempt.job, item->attempt.attempt, err->text);
        drop(shipper, item, "failed", err->text);
    } else if (state == HD_ITEM_ENDED && code != HD_E_CANCELLED) {
        hd_ship_tell(item, "waiting", shipper->place.url, NULL, err->text);
    } else if (state == HD_ITEM_REMOVING && (code == HD_OK || hopeless)) {
        drop(shipper, item, "dropped", "its files are not kept: they have been removed");
    }
}

bool hd_shipper_look(struct hd_shipper *shipper)
{
    struct hd_err err = {0};
    struct hd_ship_sum sum = {0};
    pthread_mutex_lock(&shipper->lock);
    struct hd_item *item = shipper->closing ? NULL : pick(shipper, hd_clock_ms());
    if (item == NULL) {
        pthread_mutex_unlock(&shipper->lock);
        return false;
    }
    enum hd_item_state state = item->state;
    if (state == HD_ITEM_ENDED && !is_kept(shipper, item)) {
        drop(shipper, item, "dropped", "it is not among the attempts whose files are kept");
        pthread_mutex_unlock(&shipper->lock);
        return true;
    }
    enum hd_code code = open_store(shipper, &err);
    const struct hd_ship ship = {
        .store = shipper->store,
        .url = shipper->place.url,
        .directory = shipper->directory,
        .bytes_max = shipper->bytes_max,
        .now_wall_ms = hd_clock_wall_ms(),
    };
    item->busy = true;
    pthread_mutex_unlock(&shipper->lock);
    if (code == HD_OK && state == HD_ITEM_ENDED)
        code = hd_ship_all(&ship, item, &sum, &err);
    else if (code == HD_OK && state == HD_ITEM_REMOVING)
        code = hd_ship_remove(&ship, item, &err);
    else if (code == HD_OK)
        code = hd_ship_closed(&ship, item, &err);
    pthread_mutex_lock(&shipper->lock);
    conclude(shipper, item, state, code, &sum, &err);
    pthread_mutex_unlock(&shipper->lock);
    return true;
}

/* ---- the thread ----------------------------------------------------------------------------- */

static int64_t next_ms(const struct hd_shipper *shipper, int64_t now_ms)
{
    int64_t at_ms = now_ms + 60000;
    for (size_t i = 0; i < shipper->count; i++) {
        const struct hd_item *item = shipper->items[i];
        int64_t due_ms = item->state == HD_ITEM_RUNNING && item->begun && item->spec.keep == 0
                             ? item->look_at_ms
                         : is_due(item, now_ms) ? now_ms
                                                : at_ms;
        at_ms = due_ms < at_ms ? due_ms : at_ms;
    }
    return at_ms < shipper->retry_at_ms ? shipper->retry_at_ms : at_ms;
}

/* For a moment at least: what is due and cannot be done yet is no reason to hurry. */
static void wait_until(struct hd_shipper *shipper, int64_t at_ms)
{
    int64_t soon_ms = hd_clock_ms() + 1;
    (void)hd_cond_wait_until(&shipper->changed, &shipper->lock, at_ms > soon_ms ? at_ms : soon_ms);
}

static void *ship_on(void *argument)
{
    struct hd_shipper *shipper = argument;
    pthread_mutex_lock(&shipper->lock);
    while (!shipper->closing) {
        pthread_mutex_unlock(&shipper->lock);
        bool did = hd_shipper_look(shipper);
        pthread_mutex_lock(&shipper->lock);
        if (did || shipper->closing)
            continue;
        int64_t now_ms = hd_clock_ms();
        wait_until(shipper, shipper->off ? now_ms + 60000 : next_ms(shipper, now_ms));
    }
    pthread_mutex_unlock(&shipper->lock);
    return NULL;
}

/* ---- what an earlier process left ----------------------------------------------------------- */

/* The directories of its run are gone: nobody will ask for the best of it any more. */
static bool is_of_a_lost_run(const struct hd_item *item)
{
    char home[4096];
    (void)hd_copy_text(home, sizeof(home), item->run_dir);
    for (int i = 0; i < 2; i++) {
        char *slash = strrchr(home, '/');
        if (slash == NULL || slash == home)
            return false;
        *slash = '\0';
    }
    return !hd_path_exists(home);
}

static enum hd_code recover_one(struct hd_shipper *shipper, const char *name, struct hd_err *err)
{
    char path[4096];
    struct hd_item *item = NULL;
    const char *dot = strrchr(name, '.');
    if (dot == NULL || !hd_streq(dot, ".item") ||
        !hd_format(path, sizeof(path), "%s/%s", shipper->directory, name))
        return HD_OK;
    enum hd_code code = hd_item_read(path, &item, err);
    if (code == HD_E_NOMEM)
        return code;
    if (code != HD_OK) {
        hd_log(HD_LOG_ERROR, "passed over in the queue of artifacts: %s", err->text);
        return HD_OK;
    }
    if (item->state == HD_ITEM_KEPT && is_of_a_lost_run(item)) {
        hd_item_erase(shipper->directory, item->attempt);
        hd_item_free(item);
    } else if (shipper_find(shipper, item->attempt) != NULL || !shipper_add(shipper, item)) {
        hd_item_free(item);
    }
    return HD_OK;
}

static enum hd_code recover(struct hd_shipper *shipper, struct hd_err *err)
{
    enum hd_code code = hd_mkdirs(shipper->directory, 0700, err);
    DIR *stream = code == HD_OK ? opendir(shipper->directory) : NULL;
    struct dirent *entry;
    if (code == HD_OK && stream == NULL)
        return hd_fail(err, HD_E_IO, "cannot read %s: %s", shipper->directory, strerror(errno));
    while (code == HD_OK && (entry = readdir(stream)) != NULL)
        code = recover_one(shipper, entry->d_name, err);
    if (stream != NULL)
        closedir(stream);
    return code;
}

/* ---- life ----------------------------------------------------------------------------------- */

static void release(struct hd_shipper *shipper)
{
    for (size_t i = 0; i < shipper->count; i++)
        hd_item_free(shipper->items[i]);
    hd_free(shipper->items);
    hd_artifact_store_close(shipper->store);
    if (shipper->event_fd >= 0)
        close(shipper->event_fd);
    pthread_cond_destroy(&shipper->changed);
    pthread_mutex_destroy(&shipper->lock);
    hd_free(shipper);
}

static void init_lock(struct hd_shipper *shipper)
{
    hd_assert(pthread_mutex_init(&shipper->lock, NULL) == 0);
    hd_cond_init(&shipper->changed);
}

enum hd_code hd_shipper_open(const struct hd_shipper_settings *settings,
                             struct hd_shipper **ret_shipper, struct hd_err *err)
{
    struct hd_shipper *shipper = hd_calloc(1, sizeof(*shipper));
    if (shipper == NULL)
        return hd_fail(err, HD_E_NOMEM, "no memory for shipping artifacts");
    init_lock(shipper);
    shipper->event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    shipper->off = settings->place == NULL;
    if (!shipper->off)
        shipper->place = *settings->place;
    shipper->access = settings->access;
    shipper->bytes_max =
        settings->attempt_bytes_max > 0 ? settings->attempt_bytes_max : HD_ARTIFACT_BYTES_DEFAULT;
    shipper->manual = settings->manual;
    enum hd_code code = HD_OK;
    if (!hd_copy_text(shipper->directory, sizeof(shipper->directory), settings->directory))
        code = hd_fail(err, HD_E_LIMIT, "the path %s is too long", settings->directory);
    if (code == HD_OK && shipper->event_fd < 0)
        code = hd_fail(err, HD_E_NOMEM, "no descriptor for shipping artifacts");
    if (code == HD_OK)
        code = recover(shipper, err);
    if (code == HD_OK && !shipper->manual &&
        pthread_create(&shipper->thread, NULL, ship_on, shipper) != 0)
        code = hd_fail(err, HD_E_NOMEM, "cannot start the thread that ships artifacts");
    if (code != HD_OK) {
        release(shipper);
        return code;
    }
    if (shipper->off && shipper_count_waiting(shipper) > 0)
        hd_log(HD_LOG_WARNING,
               "the artifacts of %zu attempts wait: shipping is off, give --artifacts URL",
               shipper_count_waiting(shipper));
    *ret_shipper = shipper;
    return HD_OK;
}

void hd_shipper_close(struct hd_shipper *shipper)
{
    if (shipper == NULL)
        return;
    pthread_mutex_lock(&shipper->lock);
    shipper->closing = true;
    hd_artifact_store_cancel(shipper->store);
    pthread_cond_signal(&shipper->changed);
    pthread_mutex_unlock(&shipper->lock);
    if (!shipper->manual)
        pthread_join(shipper->thread, NULL);
    release(shipper);
}
