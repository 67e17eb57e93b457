/* SPDX-License-Identifier: Apache-2.0 */
#include "os_internal.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/signalfd.h>

static sigset_t ending_signals(void)
{
    sigset_t signals;
    sigemptyset(&signals);
    sigaddset(&signals, SIGTERM);
    sigaddset(&signals, SIGINT);
    return signals;
}

enum hd_code hd_stop_fd_open(int *ret_fd, struct hd_err *err)
{
    sigset_t signals = ending_signals();
    (void)pthread_sigmask(SIG_BLOCK, &signals, NULL);
    (void)signal(SIGPIPE, SIG_IGN);
    int fd = signalfd(-1, &signals, SFD_CLOEXEC | SFD_NONBLOCK);
    if (fd < 0)
        return hd_fail(err, HD_E_IO, "cannot watch signals: %s", strerror(errno));
    *ret_fd = fd;
    return HD_OK;
}

void hd_stop_fd_let_go(void)
{
    sigset_t signals = ending_signals();
    (void)pthread_sigmask(SIG_UNBLOCK, &signals, NULL);
}
