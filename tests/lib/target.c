/* SPDX-License-Identifier: Apache-2.0 */
/* target.c: a target for tests that does what its first argument says; linked statically, so that
 * an image holds nothing else. */
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define CHILDREN 20
#define MEGABYTE (1024u * 1024u)

/* Takes memory and touches it until somebody ends this. */
static void eat_memory(void)
{
    for (;;) {
        volatile char *piece = malloc(MEGABYTE);
        if (piece == NULL)
            _exit(12);
        for (size_t i = 0; i < MEGABYTE; i += 4096)
            piece[i] = 1;
    }
}

static int eat_in_child(void)
{
    pid_t child = fork();
    if (child == 0)
        eat_memory();
    int status;
    return child > 0 && waitpid(child, &status, 0) == child && WIFSIGNALED(status) ? 7 : 1;
}

static int leave_children(void)
{
    for (int i = 0; i < CHILDREN; i++) {
        pid_t child = fork();
        if (child < 0)
            return 1;
        if (child == 0) {
            setsid();
            signal(SIGTERM, SIG_IGN);
            for (;;)
                pause();
        }
    }
    return 0;
}

static int write_file(const char *path, const char *text)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    if (fd < 0 || write(fd, text, strlen(text)) != (ssize_t)strlen(text) || close(fd) != 0) {
        perror(path);
        return 1;
    }
    return 0;
}

static int write_results(void)
{
    return write_file("/hyperdock/loss.json", "{\"loss\": 0.5}\n") +
           write_file("/hyperdock/work/weights", "1 2 3\n");
}

static int write_log(const char *megabytes)
{
    static char line[1024];
    long count = strtol(megabytes, NULL, 10) * 1024;
    memset(line, 'x', sizeof(line) - 1);
    line[sizeof(line) - 1] = '\n';
    puts("the first line");
    fflush(stdout);
    for (long i = 0; i < count; i++)
        if (write(i % 2 == 0 ? 1 : 2, line, sizeof(line)) != (ssize_t)sizeof(line))
            return 1;
    puts("the last line");
    return 0;
}

int main(int argc, char **argv)
{
    const char *what = argc > 1 ? argv[1] : "";
    const char *detail = argc > 2 ? argv[2] : "";
    if (strcmp(what, "exit") == 0)
        return (int)strtol(detail, NULL, 10);
    if (strcmp(what, "oom") == 0)
        eat_memory();
    if (strcmp(what, "child-oom") == 0)
        return eat_in_child();
    if (strcmp(what, "children") == 0)
        return leave_children();
    if (strcmp(what, "results") == 0)
        return write_results();
    if (strcmp(what, "log") == 0)
        return write_log(detail);
    if (strcmp(what, "abort") == 0)
        abort();
    if (strcmp(what, "env") == 0)
        return getenv(detail) != NULL ? 0 : 1;
    if (strcmp(what, "data") == 0)
        return access("/data/x", R_OK) == 0 && access("/hyperdock/data/x", R_OK) == 0 &&
                       access("/data", W_OK) != 0
                   ? 0
                   : 1;
    if (strcmp(what, "deaf") == 0)
        signal(SIGTERM, SIG_IGN);
    else if (strcmp(what, "run") != 0)
        return 99;
    puts("running");
    fflush(stdout);
    for (;;)
        pause();
}
