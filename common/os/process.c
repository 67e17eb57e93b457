/* SPDX-License-Identifier: Apache-2.0 */
/* process.c: this program, its siblings, and starting others without a shell. */
#include "os_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

/* ---- where programs are ------------------------------------------------------------------- */

static bool is_program(const char *path)
{
    struct stat st;
    return stat(path, &st) == 0 && S_ISREG(st.st_mode) && access(path, X_OK) == 0;
}

/* The folder of the build tree that makes a program of ours. */
static const char *build_folder(const char *name)
{
    static const char *const folders[][2] = {
        {"hd", "cli"},
        {"hd-master", "dispatcher"},
        {"hd-nameserver", "nameserver"},
        {"hd-worker", "worker"},
    };
    for (size_t i = 0; i < HD_COUNT(folders); i++)
        if (hd_streq(name, folders[i][0]))
            return folders[i][1];
    return "worker"; /* helpers of the engines */
}

bool hd_search_path(const char *name, char *ret_path, size_t path_size)
{
    const char *path = getenv("PATH");
    for (const char *at = path != NULL ? path : "/usr/bin:/bin"; at != NULL;) {
        const char *colon = strchr(at, ':');
        int size = colon != NULL ? (int)(colon - at) : (int)strlen(at);
        if (size > 0 && hd_format(ret_path, path_size, "%.*s/%s", size, at, name) &&
            is_program(ret_path))
            return true;
        at = colon != NULL ? colon + 1 : NULL;
    }
    return false;
}

/* Beside this program, in a build tree, or in one of the two places of an installation. */
static bool search_beside(const char *here, const char *name, char *path, size_t size)
{
    return (hd_format(path, size, "%s/%s", here, name) && is_program(path)) ||
           (hd_format(path, size, "%s/../%s/%s", here, build_folder(name), name) &&
            is_program(path)) ||
           (hd_format(path, size, "%s/../libexec/hyperdock/%s", here, name) && is_program(path)) ||
           (hd_format(path, size, "%s/../bin/%s", here, name) && is_program(path)) ||
           (hd_format(path, size, "%s/../../bin/%s", here, name) && is_program(path));
}

enum hd_code hd_sibling_program(const char *name, char **ret_path, struct hd_err *err)
{
    char here[4096];
    ssize_t size = readlink("/proc/self/exe", here, sizeof(here) - 1);
    here[size > 0 ? size : 0] = '\0';
    char *slash = strrchr(here, '/');
    if (slash != NULL)
        *slash = '\0';
    char path[4096 + 256];
    if (!(slash != NULL && search_beside(here, name, path, sizeof(path))) &&
        !hd_search_path(name, path, sizeof(path)))
        return hd_fail(err, HD_E_NOTFOUND,
                       "cannot find the program %s beside this one (%s) or on PATH: is Hyperdock "
                       "installed whole?",
                       name, here);
    char *copy = hd_strdup(path);
    if (copy == NULL)
        return hd_fail(err, HD_E_NOMEM, "no memory for a path");
    *ret_path = copy;
    return HD_OK;
}

/* ---- starting programs -------------------------------------------------------------------- */

/* Only calls that are safe between fork and exec in a program with threads. Never returns. */
static _Noreturn void run_child(const char *program, const char *const argv[], int log_fd,
                                bool new_session, int report_fd)
{
    sigset_t none;
    sigemptyset(&none);
    for (int number = 1; number < NSIG; number++)
        (void)signal(number, SIG_DFL); /* KILL and STOP refuse, and that is fine */
    sigprocmask(SIG_SETMASK, &none, NULL);
    if (new_session)
        (void)setsid();
    bool ready = true;
    if (log_fd >= 0) {
        int empty = open("/dev/null", O_RDONLY);
        ready = empty >= 0 && dup2(empty, STDIN_FILENO) >= 0 && dup2(log_fd, STDOUT_FILENO) >= 0 &&
                dup2(log_fd, STDERR_FILENO) >= 0;
    }
    if (ready) {
        /* Foreign libraries open descriptors without close-on-exec. */
        (void)close_range(3, ~0u, CLOSE_RANGE_CLOEXEC);
        execv(program, (char *const *)(uintptr_t)argv); /* exec changes nothing */
    }
    int failed = errno;
    (void)!write(report_fd, &failed, sizeof(failed));
    _exit(127);
}

/* What the child says before exec succeeds: 0 when all went well. */
static int read_report(int fd)
{
    int failed = 0;
    ssize_t got;
    do
        got = read(fd, &failed, sizeof(failed));
    while (got < 0 && errno == EINTR);
    return got == (ssize_t)sizeof(failed) ? failed : 0;
}

static enum hd_code fork_and_exec(const char *program, const char *const argv[], int log_fd,
                                  bool new_session, pid_t *ret_pid, struct hd_err *err)
{
    int report[2];
    if (pipe2(report, O_CLOEXEC) != 0)
        return hd_fail_errno(err, errno, "cannot make a pipe to start %s", program);
    pid_t pid = fork();
    if (pid == 0)
        run_child(program, argv, log_fd, new_session, report[1]);
    int failed = pid < 0 ? errno : 0;
    close(report[1]);
    if (pid > 0)
        failed = read_report(report[0]);
    close(report[0]);
    if (failed != 0) {
        if (pid > 0)
            (void)waitpid(pid, NULL, 0);
        return hd_fail_errno(err, failed, "cannot start %s", program);
    }
    *ret_pid = pid;
    return HD_OK;
}

enum hd_code hd_spawn(const char *const argv[], const char *stdio_log, bool new_session,
                      pid_t *ret_pid, struct hd_err *err)
{
    char found[4096];
    const char *program = argv[0];
    if (strchr(program, '/') == NULL) {
        if (!hd_search_path(program, found, sizeof(found)))
            return hd_fail(err, HD_E_NOTFOUND, "cannot find the program %s on PATH", program);
        program = found;
    }
    int log_fd = -1;
    if (stdio_log != NULL) {
        log_fd = open(stdio_log, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
        if (log_fd < 0)
            return hd_fail_errno(err, errno, "cannot open the log file %s", stdio_log);
    }
    enum hd_code code = fork_and_exec(program, argv, log_fd, new_session, ret_pid, err);
    if (log_fd >= 0)
        close(log_fd);
    return code;
}

uint64_t hd_process_start_ticks(pid_t pid)
{
    char path[64];
    hd_format(path, sizeof(path), "/proc/%ld/stat", (long)pid);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return 0;
    char text[1024];
    ssize_t got = read(fd, text, sizeof(text) - 1);
    close(fd);
    text[got > 0 ? got : 0] = '\0';
    /* The name in parentheses may hold anything; after its last ")" come state (field 3) ... */
    const char *at = strrchr(text, ')');
    if (at == NULL || at[1] != ' ' || at[2] == 'Z' || at[2] == 'X')
        return 0;
    at += 2;
    for (int field = 3; field < 22 && at != NULL; field++) {
        at = strchr(at, ' ');
        at = at != NULL ? at + 1 : NULL;
    }
    char ticks[32];
    uint64_t number;
    if (at == NULL || !hd_format(ticks, sizeof(ticks), "%.*s", (int)strcspn(at, " "), at) ||
        !hd_parse_u64(ticks, &number))
        return 0;
    return number;
}
