/* SPDX-License-Identifier: Apache-2.0 */
/* wait.c: conditions that are waited for until a time. */
#include "os_internal.h"

#include <time.h>

void hd_cond_init(pthread_cond_t *cond)
{
    pthread_condattr_t monotonic;
    hd_assert(pthread_condattr_init(&monotonic) == 0);
    hd_assert(pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC) == 0);
    hd_assert(pthread_cond_init(cond, &monotonic) == 0);
    (void)pthread_condattr_destroy(&monotonic);
}

bool hd_cond_wait_until(pthread_cond_t *cond, pthread_mutex_t *mutex, int64_t until_ms)
{
    int64_t left_ms = until_ms - hd_clock_ms();
    struct timespec until;
    if (left_ms <= 0)
        return false;
    (void)clock_gettime(CLOCK_MONOTONIC, &until);
    int64_t nanoseconds = until.tv_nsec + left_ms % 1000 * 1000000;
    until.tv_sec += (time_t)(left_ms / 1000 + nanoseconds / 1000000000);
    until.tv_nsec = (long)(nanoseconds % 1000000000);
    (void)pthread_cond_timedwait(cond, mutex, &until);
    return true;
}
