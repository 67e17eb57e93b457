/* SPDX-License-Identifier: Apache-2.0 */
/* streams.c: standard input, output and error at the beginning of a program and at its end. */
#include "os_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

void hd_streams_open(void)
{
    /* open() takes the lowest number that is free, which is the one that was found closed. */
    for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++)
        if (fcntl(fd, F_GETFD) < 0 && errno == EBADF && open("/dev/null", O_RDWR) != fd)
            _exit(HD_EXIT_FAILED); /* nobody can be told */
}

static bool reader_is_gone(void)
{
    struct pollfd out = {.fd = STDOUT_FILENO, .events = POLLOUT};
    return poll(&out, 1, 0) == 1 && (out.revents & (POLLERR | POLLHUP)) != 0;
}

enum hd_code hd_streams_end(struct hd_err *err)
{
    bool failed = ferror(stdout) != 0;
    errno = 0;
    if (fflush(stdout) == 0 && !failed)
        return HD_OK;
    int why = errno;
    if (why == EPIPE || reader_is_gone())
        return HD_OK;
    return hd_fail(err, HD_E_IO, "output: %s",
                   why != 0 ? strerror(why) : "some of it could not be written");
}
