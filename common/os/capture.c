/* SPDX-License-Identifier: Apache-2.0 */
/* capture.c: a short-lived program whose output is wanted. One socket pair is its stdin and its
 * stdout, so that a program that reads nothing gives us an error and no signal. */
#include "os_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#define PROGRAM_PATH_MAX 4096
#define PIECE 4096

/* Only calls that are safe between fork and exec in a program with threads. Never returns. A
 * process group of its own: what it starts is killed with it. */
static _Noreturn void run_child(const char *program, const char *const argv[], int fd)
{
    sigset_t none;
    sigemptyset(&none);
    for (int number = 1; number < NSIG; number++)
        (void)signal(number, SIG_DFL);
    sigprocmask(SIG_SETMASK, &none, NULL);
    (void)setpgid(0, 0);
    int null_fd = open("/dev/null", O_WRONLY);
    if (null_fd >= 0 && dup2(fd, STDIN_FILENO) >= 0 && dup2(fd, STDOUT_FILENO) >= 0 &&
        dup2(null_fd, STDERR_FILENO) >= 0) {
        (void)close_range(3, ~0u, CLOSE_RANGE_CLOEXEC);
        execv(program, (char *const *)(uintptr_t)argv); /* exec changes nothing */
    }
    _exit(127);
}

static void give_input(int fd, const char *input)
{
    size_t size = strlen(input);
    while (size > 0) {
        ssize_t count = send(fd, input, size, MSG_NOSIGNAL);
        if (count < 0 && errno == EINTR)
            continue;
        if (count <= 0)
            break; /* it reads no more, which is its own affair */
        input += count;
        size -= (size_t)count;
    }
    (void)shutdown(fd, SHUT_WR);
}

static enum hd_code take_output(int fd, int64_t until_ms, const char *name, struct hd_buf *out,
                                struct hd_err *err)
{
    char piece[PIECE];
    for (;;) {
        int64_t left_ms = until_ms - hd_clock_ms();
        struct pollfd ready = {.fd = fd, .events = POLLIN};
        if (left_ms <= 0)
            return hd_fail(err, HD_E_TIMEOUT, "%s was not done in time", name);
        if (poll(&ready, 1, left_ms > 60000 ? 60000 : (int)left_ms) <= 0)
            continue;
        ssize_t count = recv(fd, piece, sizeof(piece), 0);
        if (count < 0 && errno == EINTR)
            continue;
        if (count <= 0)
            return HD_OK; /* a reset comes from input that it left unread */
        if (hd_buf_append(out, piece, (size_t)count, err) != HD_OK)
            return hd_fail(err, HD_E_LIMIT, "%s wrote more than %zu bytes", name, out->size_max);
    }
}

/* It has closed its output: it is about to end, or is ended. */
static enum hd_code reap(pid_t pid, int64_t until_ms, const char *name, int *ret_status,
                         struct hd_err *err)
{
    for (;;) {
        pid_t got = waitpid(pid, ret_status, WNOHANG);
        if (got == pid)
            return HD_OK;
        if (got < 0 && errno != EINTR)
            return hd_fail_errno(err, errno, "%s cannot be waited for", name);
        if (hd_clock_ms() >= until_ms)
            return hd_fail(err, HD_E_TIMEOUT, "%s was not done in time", name);
        (void)poll(NULL, 0, 1);
    }
}

enum hd_code hd_capture(const char *const argv[], const char *input, int64_t timeout_ms,
                        struct hd_buf *out, int *ret_status, struct hd_err *err)
{
    char found[PROGRAM_PATH_MAX];
    const char *program = argv[0];
    int pair[2], status = 0;
    int64_t until_ms = hd_clock_ms() + timeout_ms;
    if (strchr(program, '/') == NULL) {
        if (!hd_search_path(program, found, sizeof(found)))
            return hd_fail(err, HD_E_NOTFOUND, "cannot find the program %s on PATH", program);
        program = found;
    }
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) != 0)
        return hd_fail_errno(err, errno, "cannot make a socket pair to start %s", program);
    pid_t pid = fork();
    if (pid == 0)
        run_child(program, argv, pair[1]);
    int failed = errno;
    close(pair[1]);
    if (pid < 0) {
        close(pair[0]);
        return hd_fail_errno(err, failed, "cannot start %s", program);
    }
    give_input(pair[0], input);
    enum hd_code code = take_output(pair[0], until_ms, argv[0], out, err);
    close(pair[0]);
    if (code == HD_OK)
        code = reap(pid, until_ms, argv[0], &status, err);
    if (code != HD_OK) {
        (void)kill(-pid, SIGKILL);
        (void)kill(pid, SIGKILL);
        while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
            ;
        return code;
    }
    *ret_status = status;
    return HD_OK;
}
