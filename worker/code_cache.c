/* SPDX-License-Identifier: Apache-2.0 */
/* code_cache.c: see code_cache.h. */
#include "code_cache.h"

#include <dirent.h>
#include <fcntl.h>
#include <pthread.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define FOLDER ".hyperdock-code"
#define DAY_S (24 * 3600)

struct wanted {
    char hash[HD_CODE_HASH_SIZE];
    char address[HD_ADDRESS_MAX];
    char run_id[HD_ID_MAX + 1];
    struct hd_code_news *ended; /* made beforehand: that it is over can always be told */
};

struct hd_code_cache {
    const struct hd_root *root;
    const char *worker;
    struct hd_fetch *fetch;
    struct hd_queue *queue;
    char folder[HD_PATH_MAX];
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    /* Guarded by lock; the first is under way. */
    struct wanted wanted[HD_CODE_WANTED_MAX];
    size_t wanted_count;
    bool closing;
};

/* ---- the thread ------------------------------------------------------------------------------ */

static bool is_closing(void *context)
{
    struct hd_code_cache *cache = context;
    pthread_mutex_lock(&cache->lock);
    bool closing = cache->closing;
    pthread_mutex_unlock(&cache->lock);
    return closing;
}

/* Few enough that the queue has room for those of all that can be wanted. */
static void tell_percent(void *context, int percent)
{
    struct hd_code_cache *cache = context;
    if (percent % 10 != 0)
        return;
    struct hd_code_news *news = hd_calloc(1, sizeof(*news));
    if (news == NULL)
        return;
    pthread_mutex_lock(&cache->lock);
    (void)hd_copy_text(news->hash, sizeof(news->hash), cache->wanted[0].hash);
    pthread_mutex_unlock(&cache->lock);
    news->percent = percent;
    if (hd_queue_push(cache->queue, news) != HD_OK)
        hd_free(news);
}

/* What nobody has used for long, and what was left on its way. Failure leaves rubbish, no harm. */
static void tidy(const struct hd_code_cache *cache)
{
    struct hd_err ignored;
    int64_t oldest_s = hd_clock_wall_ms() / 1000 - (int64_t)HD_CODE_KEPT_DAYS * DAY_S;
    DIR *stream = opendir(cache->folder);
    for (const struct dirent *entry; stream != NULL && (entry = readdir(stream)) != NULL;) {
        char path[HD_PATH_MAX];
        struct stat status;
        if (entry->d_name[0] != '.' &&
            hd_format(path, sizeof(path), "%s/%s", cache->folder, entry->d_name) &&
            lstat(path, &status) == 0 && (int64_t)status.st_mtime < oldest_s)
            (void)!hd_remove_tree(path, &ignored);
    }
    if (stream != NULL)
        closedir(stream);
}

/* Whoever owns the work root can remove it. */
static enum hd_code make_folder(const struct hd_code_cache *cache, struct hd_err *err)
{
    enum hd_code code = hd_mkdirs(cache->folder, 0755, err);
    if (code == HD_OK && cache->root->is_root)
        (void)!lchown(cache->folder, cache->root->uid, cache->root->gid);
    return code;
}

static enum hd_code get(struct hd_code_cache *cache, const struct wanted *wanted,
                        struct hd_err *err)
{
    char archive[HD_PATH_MAX], directory[HD_PATH_MAX];
    if (!hd_format(archive, sizeof(archive), "%s/%s.%s.tar", cache->folder, wanted->hash,
                   cache->worker) ||
        !hd_format(directory, sizeof(directory), "%s/%s", cache->folder, wanted->hash))
        return hd_fail(err, HD_E_LIMIT, "the work directory's path is too long");
    if (hd_path_exists(directory))
        return HD_OK;
    enum hd_code code = make_folder(cache, err);
    if (code == HD_OK)
        code = hd_fetch_code(cache->fetch, wanted->address, wanted->run_id, wanted->hash, archive,
                             is_closing, tell_percent, cache, err);
    if (code == HD_OK) {
        code = hd_code_unpack(archive, wanted->hash, directory, err);
        (void)unlink(archive); /* when it was wrong, it is fetched anew */
    }
    tidy(cache);
    return code;
}

static void get_first(struct hd_code_cache *cache, const struct wanted *wanted)
{
    struct hd_code_news *news = wanted->ended;
    news->code = get(cache, wanted, &news->err);
    pthread_mutex_lock(&cache->lock);
    cache->wanted_count--;
    memmove(cache->wanted, cache->wanted + 1, cache->wanted_count * sizeof(*cache->wanted));
    pthread_mutex_unlock(&cache->lock);
    if (hd_queue_push(cache->queue, news) != HD_OK)
        hd_free(news);
}

static void *get_all(void *context)
{
    struct hd_code_cache *cache = context;
    for (;;) {
        pthread_mutex_lock(&cache->lock);
        while (cache->wanted_count == 0 && !cache->closing)
            pthread_cond_wait(&cache->changed, &cache->lock);
        struct wanted first = cache->wanted[0];
        bool closing = cache->closing;
        pthread_mutex_unlock(&cache->lock);
        if (closing)
            return NULL;
        get_first(cache, &first);
    }
}

/* ---- the caller's ---------------------------------------------------------------------------- */

enum hd_code hd_code_cache_open(const struct hd_root *root, const char *worker,
                                struct hd_fetch *fetch, struct hd_queue *queue,
                                struct hd_code_cache **ret_cache, struct hd_err *err)
{
    struct hd_code_cache *cache = hd_calloc(1, sizeof(*cache));
    if (cache == NULL)
        return hd_fail(err, HD_E_NOMEM, "no memory for code");
    cache->root = root;
    cache->worker = worker;
    cache->fetch = fetch;
    cache->queue = queue;
    if (!hd_format(cache->folder, sizeof(cache->folder), "%s/" FOLDER, root->path)) {
        hd_free(cache);
        return hd_fail(err, HD_E_LIMIT, "the work directory's path is too long");
    }
    hd_assert(pthread_mutex_init(&cache->lock, NULL) == 0);
    hd_assert(pthread_cond_init(&cache->changed, NULL) == 0);
    if (pthread_create(&cache->thread, NULL, get_all, cache) != 0) {
        pthread_cond_destroy(&cache->changed);
        pthread_mutex_destroy(&cache->lock);
        hd_free(cache);
        return hd_fail(err, HD_E_NOMEM, "cannot start the thread for code");
    }
    *ret_cache = cache;
    return HD_OK;
}

void hd_code_cache_close(struct hd_code_cache *cache)
{
    if (cache == NULL)
        return;
    pthread_mutex_lock(&cache->lock);
    cache->closing = true;
    pthread_cond_broadcast(&cache->changed);
    pthread_mutex_unlock(&cache->lock);
    pthread_join(cache->thread, NULL);
    for (size_t i = 0; i < cache->wanted_count; i++)
        hd_free(cache->wanted[i].ended);
    pthread_cond_destroy(&cache->changed);
    pthread_mutex_destroy(&cache->lock);
    hd_free(cache);
}

bool hd_code_cache_find(struct hd_code_cache *cache, const char *hash, char *ret_path)
{
    struct stat status;
    if (!hd_format(ret_path, HD_PATH_MAX, "%s/%s", cache->folder, hash) ||
        lstat(ret_path, &status) != 0 || !S_ISDIR(status.st_mode))
        return false;
    (void)!utimensat(AT_FDCWD, ret_path, NULL, AT_SYMLINK_NOFOLLOW);
    return true;
}

static enum hd_code add_wanted(struct hd_code_cache *cache, const struct wanted *wanted,
                               struct hd_err *err)
{
    struct wanted *place = &cache->wanted[cache->wanted_count];
    if (cache->wanted_count == HD_CODE_WANTED_MAX)
        return hd_fail(err, HD_E_LIMIT, "this worker fetches the code of %d runs already",
                       HD_CODE_WANTED_MAX);
    *place = *wanted;
    place->ended = hd_calloc(1, sizeof(*place->ended));
    if (place->ended == NULL)
        return hd_fail(err, HD_E_NOMEM, "no memory for code");
    place->ended->ended = true;
    (void)hd_copy_text(place->ended->hash, sizeof(place->ended->hash), wanted->hash);
    cache->wanted_count++;
    pthread_cond_broadcast(&cache->changed);
    return HD_OK;
}

enum hd_code hd_code_cache_want(struct hd_code_cache *cache, const char *hash, const char *address,
                                const char *run_id, struct hd_err *err)
{
    struct wanted wanted = {0};
    if (!hd_copy_text(wanted.hash, sizeof(wanted.hash), hash) ||
        !hd_copy_text(wanted.address, sizeof(wanted.address), address) ||
        !hd_copy_text(wanted.run_id, sizeof(wanted.run_id), run_id))
        return hd_fail(err, HD_E_LIMIT, "the address of the master is too long");
    pthread_mutex_lock(&cache->lock);
    size_t i = 0;
    while (i < cache->wanted_count && !hd_streq(cache->wanted[i].hash, hash))
        i++;
    enum hd_code code = i < cache->wanted_count ? HD_OK : add_wanted(cache, &wanted, err);
    pthread_mutex_unlock(&cache->lock);
    return code;
}
