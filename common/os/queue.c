/* SPDX-License-Identifier: Apache-2.0 */
/* queue.c: a bounded ring between threads. The eventfd counts 1 exactly while the ring holds
 * something; both change under the lock. */
#include "os_internal.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <sys/eventfd.h>
#include <unistd.h>

struct hd_queue {
    pthread_mutex_t lock;
    int fd;
    void **items;
    size_t items_max;
    size_t first;
    size_t count;
};

enum hd_code hd_queue_new(size_t items_max, struct hd_queue **ret_queue, struct hd_err *err)
{
    hd_assert(items_max > 0);
    struct hd_queue *queue = hd_calloc(1, sizeof(*queue));
    void **items = hd_calloc(items_max, sizeof(*items));
    int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (queue == NULL || items == NULL || fd < 0) {
        int failed = errno;
        bool memory = queue == NULL || items == NULL;
        hd_free(queue);
        hd_free(items);
        if (fd >= 0)
            close(fd);
        return memory ? hd_fail(err, HD_E_NOMEM, "no memory for a queue of %zu items", items_max)
                      : hd_fail_errno(err, failed, "cannot make an event descriptor");
    }
    hd_assert(pthread_mutex_init(&queue->lock, NULL) == 0);
    queue->fd = fd;
    queue->items = items;
    queue->items_max = items_max;
    *ret_queue = queue;
    return HD_OK;
}

void hd_queue_free(struct hd_queue *queue)
{
    if (queue == NULL)
        return;
    hd_assert(queue->count == 0);
    pthread_mutex_destroy(&queue->lock);
    close(queue->fd);
    hd_free(queue->items);
    hd_free(queue);
}

enum hd_code hd_queue_push(struct hd_queue *queue, void *item)
{
    hd_assert(item != NULL);
    enum hd_code code = HD_OK;
    pthread_mutex_lock(&queue->lock);
    if (queue->count == queue->items_max) {
        code = HD_E_LIMIT;
    } else {
        queue->items[(queue->first + queue->count) % queue->items_max] = item;
        if (queue->count++ == 0)
            hd_assert(eventfd_write(queue->fd, 1) == 0);
    }
    pthread_mutex_unlock(&queue->lock);
    return code;
}

static void *take(struct hd_queue *queue)
{
    void *item = NULL;
    pthread_mutex_lock(&queue->lock);
    if (queue->count > 0) {
        item = queue->items[queue->first];
        queue->first = (queue->first + 1) % queue->items_max;
        eventfd_t counter;
        if (--queue->count == 0)
            hd_assert(eventfd_read(queue->fd, &counter) == 0);
    }
    pthread_mutex_unlock(&queue->lock);
    return item;
}

void *hd_queue_pop(struct hd_queue *queue, int64_t wait_ms)
{
    int64_t until_ms = wait_ms > 0 ? hd_clock_ms() + wait_ms : 0;
    for (;;) {
        void *item = take(queue);
        if (item != NULL || wait_ms == 0)
            return item;
        int64_t left_ms = wait_ms < 0 ? -1 : until_ms - hd_clock_ms();
        if (wait_ms > 0 && left_ms <= 0)
            return NULL;
        struct pollfd poller = {.fd = queue->fd, .events = POLLIN};
        int timeout = left_ms > INT32_MAX ? INT32_MAX : (int)left_ms;
        (void)poll(&poller, 1, timeout); /* an interruption is looked at by the loop */
    }
}

int hd_queue_fd(const struct hd_queue *queue)
{
    return queue->fd;
}
