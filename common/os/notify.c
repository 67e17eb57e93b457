/* SPDX-License-Identifier: Apache-2.0 */
/*
 * notify.c: what systemd wants to hear of a service (sd_notify(3)): datagrams of KEY=VALUE lines
 * to the socket named in NOTIFY_SOCKET. Few lines, so that no program needs libsystemd. Without a
 * service manager nothing happens. One thread.
 */
#include "os_internal.h"

#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

static struct {
    struct sockaddr_un address;
    socklen_t address_size; /* 0: nobody listens */
    int64_t watchdog_ms;    /* 0: none wanted */
    int64_t fed_ms;
} manager;

static void read_watchdog(void)
{
    const char *usec = getenv("WATCHDOG_USEC"), *pid = getenv("WATCHDOG_PID");
    int64_t interval_us, for_pid;
    if (usec == NULL || !hd_parse_i64(usec, &interval_us) || interval_us < 1000)
        return;
    if (pid != NULL && (!hd_parse_i64(pid, &for_pid) || for_pid != getpid()))
        return; /* meant for our parent */
    manager.watchdog_ms = interval_us / 1000;
}

void hd_notify_open(void)
{
    const char *path = getenv("NOTIFY_SOCKET");
    size_t size = path != NULL ? strlen(path) : 0;
    memset(&manager, 0, sizeof(manager));
    if (size > 1 && size < sizeof(manager.address.sun_path) && (path[0] == '/' || path[0] == '@')) {
        manager.address.sun_family = AF_UNIX;
        memcpy(manager.address.sun_path, path, size);
        if (path[0] == '@') /* the abstract namespace */
            manager.address.sun_path[0] = '\0';
        manager.address_size = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + size);
        read_watchdog();
    }
    /* Targets and engines that we start are not the service. */
    (void)unsetenv("NOTIFY_SOCKET");
    (void)unsetenv("WATCHDOG_USEC");
    (void)unsetenv("WATCHDOG_PID");
}

static void tell(const char *text)
{
    if (manager.address_size == 0)
        return;
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return;
    (void)sendto(fd, text, strlen(text), MSG_NOSIGNAL, (const struct sockaddr *)&manager.address,
                 manager.address_size);
    close(fd);
}

void hd_notify_ready(const char *status)
{
    char text[512];
    (void)hd_format(text, sizeof(text), "READY=1\nSTATUS=%s", status);
    tell(text);
    manager.fed_ms = hd_clock_ms();
}

void hd_notify_stopping(void)
{
    tell("STOPPING=1");
}

int64_t hd_watchdog_feed(int64_t wait_ms)
{
    if (manager.watchdog_ms == 0)
        return wait_ms;
    int64_t now_ms = hd_clock_ms(), period_ms = manager.watchdog_ms / 3;
    if (now_ms - manager.fed_ms >= period_ms) {
        manager.fed_ms = now_ms;
        tell("WATCHDOG=1");
    }
    int64_t left_ms = manager.fed_ms + period_ms - now_ms;
    left_ms = left_ms > 0 ? left_ms : 1;
    return wait_ms < 0 || wait_ms > left_ms ? left_ms : wait_ms;
}
