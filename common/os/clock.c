/* SPDX-License-Identifier: Apache-2.0 */
/* clock.c: the clocks and the kernel's random numbers. */
#include "os_internal.h"

#include <errno.h>
#include <sys/random.h>
#include <time.h>

static int64_t read_us(clockid_t clock)
{
    struct timespec now;
    if (clock_gettime(clock, &now) != 0)
        return -1;
    return (int64_t)now.tv_sec * 1000000 + (int64_t)(now.tv_nsec / 1000);
}

int64_t hd_clock_us(void)
{
    /* A laptop that slept must find its leases expired: the clock counts suspension. */
    int64_t us = read_us(CLOCK_BOOTTIME);
    if (us < 0)
        us = read_us(CLOCK_MONOTONIC);
    hd_assert(us >= 0);
    return us;
}

int64_t hd_clock_ms(void)
{
    return hd_clock_us() / 1000;
}

int64_t hd_clock_wall_ms(void)
{
    return read_us(CLOCK_REALTIME) / 1000;
}

void hd_time_format(char *text, size_t text_size, int64_t wall_ms)
{
    int64_t ms = wall_ms % 1000;
    if (ms < 0)
        ms += 1000;
    time_t seconds = (time_t)((wall_ms - ms) / 1000);
    struct tm tm;
    if (gmtime_r(&seconds, &tm) == NULL) {
        hd_copy_text(text, text_size, "unknown");
        return;
    }
    hd_format(text, text_size, "%04d-%02d-%02dT%02d:%02d:%02d.%03dZ", tm.tm_year + 1900,
              tm.tm_mon + 1, tm.tm_mday, tm.tm_hour, tm.tm_min, tm.tm_sec, (int)ms);
}

void hd_os_random(void *bytes, size_t size)
{
    unsigned char *at = bytes;
    while (size > 0) {
        ssize_t got = getrandom(at, size, 0);
        if (got < 0 && errno == EINTR)
            continue;
        hd_assert(got > 0);
        at += got;
        size -= (size_t)got;
    }
}

uint64_t hd_os_random_u64(void)
{
    uint64_t number;
    hd_os_random(&number, sizeof(number));
    return number;
}
