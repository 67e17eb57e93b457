/* SPDX-License-Identifier: Apache-2.0 */
/*
 * shelf.c: images that this master's machine has built, for workers without a registry. The first
 * that asks has its image saved into a file, by a thread, since that takes a while; it and all
 * others then read the file piece by piece.
 */
#include "driver_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <pthread.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <hd/image.h>

#define IMAGES_MAX 16
#define FORGET_FAILURE_MS 5000

enum state { FREE, WANTED, READY, FAILED };

struct image {
    enum state state;
    char name[HD_IMAGE_NAME_MAX];
    char id[HD_IMAGE_ID_MAX];
    int fd; /* of the file, when READY */
    uint64_t size;
    struct hd_err err; /* FAILED */
    int64_t failed_ms;
};

struct hd_shelf {
    char directory[4096];
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    /* Guarded by lock. */
    struct image images[IMAGES_MAX];
    bool closing;
};

/* ---- the thread ------------------------------------------------------------------------------ */

static bool is_closing(void *context)
{
    struct hd_shelf *shelf = context;
    pthread_mutex_lock(&shelf->lock);
    bool closing = shelf->closing;
    pthread_mutex_unlock(&shelf->lock);
    return closing;
}

/* The file has no name once it is open: it goes when we go. */
static enum hd_code save(struct hd_shelf *shelf, struct image *image)
{
    char path[sizeof(shelf->directory) + 64];
    struct stat status;
    image->fd = -1;
    (void)hd_format(path, sizeof(path), "%s/image.tar", shelf->directory);
    enum hd_code code = hd_mkdirs(shelf->directory, 0700, &image->err);
    if (code == HD_OK)
        code = hd_image_save(image->name, path, image->id, is_closing, shelf, &image->err);
    if (code == HD_OK)
        image->fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    (void)unlink(path);
    if (code == HD_OK && (image->fd < 0 || fstat(image->fd, &status) != 0))
        code = hd_fail(&image->err, HD_E_IO, "%s: %s", path, strerror(errno));
    if (code == HD_OK)
        image->size = (uint64_t)status.st_size;
    return code;
}

static void *save_all(void *context)
{
    struct hd_shelf *shelf = context;
    pthread_mutex_lock(&shelf->lock);
    while (!shelf->closing) {
        size_t i = 0;
        while (i < IMAGES_MAX && shelf->images[i].state != WANTED)
            i++;
        if (i == IMAGES_MAX) {
            pthread_cond_wait(&shelf->changed, &shelf->lock);
            continue;
        }
        struct image image = shelf->images[i];
        pthread_mutex_unlock(&shelf->lock);
        hd_log(HD_LOG_INFO, "saving image %s for workers that ask for it", image.name);
        enum hd_code code = save(shelf, &image);
        if (code != HD_OK)
            hd_log(HD_LOG_WARNING, "image %s cannot be handed over: %s", image.name,
                   image.err.text);
        image.state = code == HD_OK ? READY : FAILED;
        image.failed_ms = hd_clock_ms();
        pthread_mutex_lock(&shelf->lock);
        shelf->images[i] = image;
    }
    pthread_mutex_unlock(&shelf->lock);
    return NULL;
}

/* ---- opening and closing --------------------------------------------------------------------- */

enum hd_code hd_shelf_new(const char *directory, struct hd_shelf **ret_shelf, struct hd_err *err)
{
    struct hd_shelf *shelf = hd_calloc(1, sizeof(*shelf));
    if (shelf == NULL)
        return hd_fail(err, HD_E_NOMEM, "no memory for handing over images");
    if (!hd_copy_text(shelf->directory, sizeof(shelf->directory), directory)) {
        hd_free(shelf);
        return hd_fail(err, HD_E_LIMIT, "the path %s is too long", directory);
    }
    pthread_mutex_init(&shelf->lock, NULL);
    pthread_cond_init(&shelf->changed, NULL);
    if (pthread_create(&shelf->thread, NULL, save_all, shelf) != 0) {
        pthread_cond_destroy(&shelf->changed);
        pthread_mutex_destroy(&shelf->lock);
        hd_free(shelf);
        return hd_fail(err, HD_E_NOMEM, "no thread for handing over images");
    }
    *ret_shelf = shelf;
    return HD_OK;
}

void hd_shelf_free(struct hd_shelf *shelf)
{
    struct hd_err err;
    if (shelf == NULL)
        return;
    pthread_mutex_lock(&shelf->lock);
    shelf->closing = true;
    pthread_cond_broadcast(&shelf->changed);
    pthread_mutex_unlock(&shelf->lock);
    pthread_join(shelf->thread, NULL);
    for (size_t i = 0; i < IMAGES_MAX; i++)
        if (shelf->images[i].state == READY)
            close(shelf->images[i].fd);
    (void)!hd_remove_tree(shelf->directory, &err);
    pthread_cond_destroy(&shelf->changed);
    pthread_mutex_destroy(&shelf->lock);
    hd_free(shelf);
}

/* ---- reading --------------------------------------------------------------------------------- */

/* With the lock. A failure is forgotten after a while: the engine may be back. */
static struct image *find_image(struct hd_shelf *shelf, const char *name)
{
    struct image *place = NULL;
    for (size_t i = 0; i < IMAGES_MAX; i++) {
        struct image *image = &shelf->images[i];
        if (image->state == FAILED && hd_clock_ms() - image->failed_ms >= FORGET_FAILURE_MS)
            image->state = FREE;
        if (image->state != FREE && hd_streq(image->name, name))
            return image;
        if (image->state == FREE && place == NULL)
            place = image;
    }
    if (place == NULL)
        return NULL;
    *place = (struct image){.state = WANTED};
    (void)hd_copy_text(place->name, sizeof(place->name), name);
    pthread_cond_broadcast(&shelf->changed);
    return place;
}

enum hd_code hd_shelf_read(struct hd_shelf *shelf, const char *name, uint64_t offset,
                           struct hd_buf *json, struct hd_err *err)
{
    struct image image = {.state = FREE};
    pthread_mutex_lock(&shelf->lock);
    const struct image *found = find_image(shelf, name);
    if (found != NULL)
        image = *found; /* what is READY stays as it is until the end */
    pthread_mutex_unlock(&shelf->lock);
    switch (image.state) {
    case FREE:
        return hd_fail(err, HD_E_LIMIT, "more than %d images are handed over here", IMAGES_MAX);
    case WANTED:
        return hd_buf_puts(json, "{\"wait\":true}", err);
    case FAILED:
        return hd_fail(err, image.err.code, "%s", image.err.text);
    case READY:
        break;
    }
    return hd_piece_read(image.fd, image.size, image.id, offset, json, err);
}
