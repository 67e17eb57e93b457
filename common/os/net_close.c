/* SPDX-License-Identifier: Apache-2.0 */
/*
 * net_close.c: closing a socket without trusting that it ends.
 *
 * nng up to 1.7 may wait for ever in nng_close() when messages are on their way (its reaper waits
 * for a task that was prepared and never started; its maintainers know of it). The close
 * therefore runs on a thread of its own and the caller waits for it a bounded time. A socket that
 * does not end is left behind with its descriptor, and the log says so.
 */
#include "net_internal.h"

#include <errno.h>
#include <pthread.h>
#include <time.h>

#define CLOSE_WAIT_S 2

struct closing {
    nng_socket socket;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    bool done, left; /* whoever is second frees */
};

static void closing_free(struct closing *closing)
{
    pthread_cond_destroy(&closing->changed);
    pthread_mutex_destroy(&closing->lock);
    hd_free(closing);
}

static void *close_main(void *context)
{
    struct closing *closing = context;
    nng_close(closing->socket);
    pthread_mutex_lock(&closing->lock);
    closing->done = true;
    bool left = closing->left;
    pthread_cond_signal(&closing->changed);
    pthread_mutex_unlock(&closing->lock);
    if (left)
        closing_free(closing);
    return NULL;
}

static struct closing *closing_start(nng_socket socket)
{
    struct closing *closing = hd_calloc(1, sizeof(*closing));
    if (closing == NULL)
        return NULL;
    closing->socket = socket;
    pthread_condattr_t monotonic;
    pthread_t thread;
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    hd_assert(pthread_mutex_init(&closing->lock, NULL) == 0);
    hd_assert(pthread_cond_init(&closing->changed, &monotonic) == 0);
    pthread_condattr_destroy(&monotonic);
    if (pthread_create(&thread, NULL, close_main, closing) != 0) {
        closing_free(closing);
        return NULL;
    }
    pthread_detach(thread);
    return closing;
}

void hd_net_close_socket(nng_socket socket)
{
    struct closing *closing = closing_start(socket);
    if (closing == NULL) {
        nng_close(socket);
        return;
    }
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += CLOSE_WAIT_S;
    pthread_mutex_lock(&closing->lock);
    int failed = 0;
    while (!closing->done && failed != ETIMEDOUT)
        failed = pthread_cond_timedwait(&closing->changed, &closing->lock, &until);
    bool done = closing->done;
    closing->left = !done;
    pthread_mutex_unlock(&closing->lock);
    if (done)
        closing_free(closing);
    else
        hd_log(HD_LOG_WARNING, "a socket does not close; it is left behind");
}
