/* SPDX-License-Identifier: Apache-2.0 */
/*
 * engine_target.c: a target that behaves as it is told, for the tests of engines:
 *
 *   exit N            prints a line on each stream and ends
 *   signal N          dies of the signal
 *   wait              says "ready" in the file $HYPERDOCK_DIR/ready and waits for ever
 *   stop-code N       the same, and ends with N on SIGTERM
 *   ignore            the same, and ignores SIGTERM
 *   family            starts a child and a grandchild in a session of its own, then waits; their
 *                     pids stand in the ready file
 *   orphans           the same, and ends with 0 at once
 *   print BYTES       prints that much and ends with 0
 *   complain BYTES    prints that much on standard error, then a line on standard output
 *   memory BYTES      touches that much and waits
 *   child-memory B    a child does; ends with 7 when the child was killed
 *   forks N           starts N children that wait; ends with 0 when all could be, otherwise 1
 *   results           writes work/weights, readable by its owner alone, and a loss
 *   data              ends with 0 when /data/x can be read in both places and not written
 *   files             reads given, changes work/, leaves out/, links and a loss that says what it
 *                     was given; 0 when all was as it should be
 *   curve N           writes N points and a line, waits for control/stop, ends with 9
 *   env NAME          prints $NAME and the working directory
 *   confined          ends with 0 when the root cannot be written and /scratch can, the user is
 * 12345, 64 files may be open, /dev/shm has 1 MiB, there is no network, and no capability but CHOWN
 *   loss X            writes loss.json and ends with 0
 *   meet NAME         connects to port 80 of the service of that name, waits until /gate/open is
 *                     there, writes loss 1 and ends with 0
 *   pause MS          does nothing for so long and ends with 0
 *   warm HOW          takes jobs one after another, see engine_target_warm.h
 *   serve PORT        takes connections there after it has said "serving"; ends with 0 on SIGTERM
 */
#include "engine_target_meet.h"
#include "engine_target_warm.h"

#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/wait.h>
#include <unistd.h>

static volatile sig_atomic_t stop_code;

static void on_term(int number)
{
    (void)number;
    _exit(stop_code);
}

static void serve(uint16_t port)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port)};
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    (void)signal(SIGTERM, on_term);
    if (fd < 0 || bind(fd, (struct sockaddr *)&address, sizeof(address)) != 0 || listen(fd, 4) != 0)
        exit(98);
    printf("serving\n");
    fflush(stdout);
    for (;;) {
        int client = accept(fd, NULL, NULL);
        if (client >= 0)
            close(client);
    }
}

static FILE *open_in_dir(const char *name, const char *suffix)
{
    char path[4096];
    const char *dir = getenv("HYPERDOCK_DIR");
    snprintf(path, sizeof(path), "%s/%s%s", dir != NULL ? dir : ".", name, suffix);
    FILE *file = fopen(path, "w");
    if (file == NULL) {
        perror(path);
        exit(99);
    }
    return file;
}

/* Complete when it is there: written beside and renamed. */
static void say_ready(const char *text)
{
    char from[4096], to[4096];
    const char *dir = getenv("HYPERDOCK_DIR");
    FILE *file = open_in_dir("ready", ".tmp");
    fprintf(file, "%s\n", text);
    fclose(file);
    snprintf(from, sizeof(from), "%s/ready.tmp", dir != NULL ? dir : ".");
    snprintf(to, sizeof(to), "%s/ready", dir != NULL ? dir : ".");
    if (rename(from, to) != 0)
        exit(99);
    printf("it is ready\n");
    fflush(stdout);
}

static void wait_for_ever(void)
{
    for (;;)
        pause();
}

static void make_family(void)
{
    char text[64];
    int pipe_fds[2];
    pid_t grandchild = 0;
    if (pipe(pipe_fds) != 0)
        exit(99);
    pid_t child = fork();
    if (child == 0) {
        (void)signal(SIGTERM, SIG_IGN);
        grandchild = fork();
        if (grandchild == 0) {
            (void)setsid();
            wait_for_ever();
        }
        if (write(pipe_fds[1], &grandchild, sizeof(grandchild)) != (ssize_t)sizeof(grandchild))
            _exit(99);
        wait_for_ever();
    }
    if (read(pipe_fds[0], &grandchild, sizeof(grandchild)) != (ssize_t)sizeof(grandchild))
        exit(99);
    snprintf(text, sizeof(text), "%ld %ld", (long)child, (long)grandchild);
    say_ready(text);
}

static void write_bytes(int fd, long long count)
{
    static char chunk[65536];
    memset(chunk, 'x', sizeof(chunk));
    chunk[sizeof(chunk) - 1] = '\n';
    while (count > 0) {
        size_t size = count < (long long)sizeof(chunk) ? (size_t)count : sizeof(chunk);
        if (write(fd, chunk, size) != (ssize_t)size)
            exit(98);
        count -= (long long)size;
    }
}

static void print_bytes(long long count)
{
    printf("first line\n");
    fflush(stdout);
    write_bytes(STDOUT_FILENO, count);
    printf("last line\n");
}

static void touch_memory(long long count)
{
    for (long long done = 0; done < count; done += 1 << 20) {
        volatile char *piece = malloc(1 << 20);
        if (piece == NULL)
            exit(97);
        for (int i = 0; i < 1 << 20; i += 4096)
            piece[i] = 1;
    }
    wait_for_ever();
}

static int touch_in_child(long long count)
{
    int status;
    pid_t child = fork();
    if (child == 0)
        touch_memory(count);
    return child > 0 && waitpid(child, &status, 0) == child && WIFSIGNALED(status) ? 7 : 1;
}

static int fork_children(int count)
{
    for (int i = 0; i < count; i++) {
        pid_t child = fork();
        if (child < 0)
            return 1;
        if (child == 0)
            wait_for_ever();
    }
    return 0;
}

static int write_results(void)
{
    FILE *weights = open_in_dir("work/weights", "");
    FILE *loss = open_in_dir("loss.json", "");
    fprintf(weights, "1 2 3\n");
    fprintf(loss, "{\"loss\": 0.5}\n");
    return fchmod(fileno(weights), 0600) + fclose(weights) + fclose(loss) == 0 ? 0 : 1;
}

static int check_data(void)
{
    return access("/data/x", R_OK) == 0 && access("/hyperdock/data/x", R_OK) == 0 &&
                   access("/data", W_OK) != 0
               ? 0
               : 1;
}

static int change_files(void)
{
    char given[64] = "", state[64] = "", dir[4096];
    const char *home = getenv("HYPERDOCK_DIR");
    if (chdir(home != NULL ? home : ".") != 0)
        return 1;
    FILE *in = fopen("given", "re"), *old = fopen("work/state", "re");
    if (in == NULL || old == NULL || fgets(given, sizeof(given), in) == NULL ||
        fgets(state, sizeof(state), old) == NULL)
        return 2;
    fclose(in);
    fclose(old);
    FILE *loss = open_in_dir("loss.json", ""), *next = open_in_dir("work/next", "");
    fprintf(loss, "{\"loss\": %s}", given);
    fprintf(next, "%s%s", state, getcwd(dir, sizeof(dir)));
    if (fclose(loss) != 0 || fclose(next) != 0 || unlink("work/state") != 0 ||
        symlink("next", "work/latest") != 0 || mkdir("out", 0777) != 0 ||
        mkdir("out/deep", 0777) != 0 || link("work/next", "work/same") != 0 ||
        mkfifo("out/pipe", 0600) != 0 || symlink("/etc", "out/away") != 0)
        return 3;
    FILE *artifact = open_in_dir("out/deep/artifact", "");
    return fprintf(artifact, "kept") == 4 && fclose(artifact) == 0 ? 0 : 4;
}

static int write_curve(int count)
{
    const char *home = getenv("HYPERDOCK_DIR");
    if (chdir(home != NULL ? home : ".") != 0)
        return 1;
    FILE *file = fopen("metrics.jsonl", "we");
    for (int i = 1; file != NULL && i <= count; i++)
        fprintf(file, "{\"step\": %d, \"loss\": 1.5}\n", i);
    if (file == NULL || fclose(file) != 0)
        return 2;
    while (access("control/stop", F_OK) != 0)
        usleep(5000);
    return 9;
}

static bool may_write(const char *path)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    if (fd >= 0)
        close(fd);
    return fd >= 0;
}

static bool has_capabilities(const char *bounding)
{
    char line[256];
    bool same = false;
    FILE *file = fopen("/proc/self/status", "re");
    while (file != NULL && fgets(line, sizeof(line), file) != NULL)
        if (strncmp(line, "CapBnd:", 7) == 0)
            same = strstr(line, bounding) != NULL;
    if (file != NULL)
        fclose(file);
    return same;
}

/* The number of the first thing that is not so. */
static int check_confined(void)
{
    struct rlimit files;
    struct statvfs shm;
    const bool so[] = {
        !may_write("/x"),
        may_write("/scratch/x"),
        getuid() == 12345,
        getrlimit(RLIMIT_NOFILE, &files) == 0 && files.rlim_cur == 64 && files.rlim_max == 128,
        statvfs("/dev/shm", &shm) == 0 && shm.f_blocks * shm.f_frsize == 1048576,
        if_nametoindex("eth0") == 0,
        has_capabilities("0000000000000001"),
    };
    for (size_t i = 0; i < sizeof(so) / sizeof(so[0]); i++)
        if (!so[i])
            return (int)i + 1;
    return 0;
}

int main(int argc, char **argv)
{
    const char *what = argc > 1 ? argv[1] : "";
    const char *argument = argc > 2 ? argv[2] : "0";
    if (strcmp(what, "exit") == 0) {
        printf("to stdout\n");
        fflush(stdout);
        fprintf(stderr, "to stderr\n");
        return atoi(argument);
    }
    if (strcmp(what, "signal") == 0) {
        (void)signal(atoi(argument), SIG_DFL);
        (void)raise(atoi(argument));
    } else if (strcmp(what, "wait") == 0) {
        say_ready("waiting");
        wait_for_ever();
    } else if (strcmp(what, "stop-code") == 0) {
        stop_code = atoi(argument);
        (void)signal(SIGTERM, on_term);
        say_ready("waiting");
        wait_for_ever();
    } else if (strcmp(what, "ignore") == 0) {
        (void)signal(SIGTERM, SIG_IGN);
        say_ready("waiting");
        wait_for_ever();
    } else if (strcmp(what, "family") == 0) {
        make_family();
        wait_for_ever();
    } else if (strcmp(what, "serve") == 0) {
        serve((uint16_t)atoi(argument));
    } else if (strcmp(what, "orphans") == 0) {
        make_family();
        return 0;
    } else if (strcmp(what, "print") == 0) {
        print_bytes(atoll(argument));
        return 0;
    } else if (strcmp(what, "complain") == 0) {
        write_bytes(STDERR_FILENO, atoll(argument));
        printf("and then\n");
        return 0;
    } else if (strcmp(what, "memory") == 0) {
        touch_memory(atoll(argument));
    } else if (strcmp(what, "child-memory") == 0) {
        return touch_in_child(atoll(argument));
    } else if (strcmp(what, "forks") == 0) {
        return fork_children(atoi(argument));
    } else if (strcmp(what, "results") == 0) {
        return write_results();
    } else if (strcmp(what, "files") == 0) {
        return change_files();
    } else if (strcmp(what, "curve") == 0) {
        return write_curve(atoi(argument));
    } else if (strcmp(what, "data") == 0) {
        return check_data();
    } else if (strcmp(what, "env") == 0) {
        char cwd[4096];
        const char *value = getenv(argument);
        printf("%s=%s in %s\n", argument, value != NULL ? value : "(not set)",
               getcwd(cwd, sizeof(cwd)));
        return 0;
    } else if (strcmp(what, "confined") == 0) {
        return check_confined();
    } else if (strcmp(what, "pause") == 0) {
        return poll(NULL, 0, atoi(argument)) == 0 ? 0 : 96;
    } else if (strcmp(what, "loss") == 0 || strcmp(what, "meet") == 0) {
        int failure = what[0] == 'm' ? meet_service(argument, "/gate/open") : 0;
        if (failure != 0)
            return failure;
        argument = what[0] == 'm' ? "1" : argument;
        FILE *file = open_in_dir("loss.json", "");
        fprintf(file, "{\"loss\": %s}\n", argument);
        return fclose(file) == 0 ? 0 : 96;
    }
    if (strcmp(what, "warm") == 0)
        return serve_warm(argument);
    fprintf(stderr, "engine_target: cannot %s\n", what);
    return 99;
}
