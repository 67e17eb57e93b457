/* SPDX-License-Identifier: Apache-2.0 */
/* cluster.c: see cluster.h. The state and the ledger are in cluster_books.c. */
#include "cluster.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define TICK_MS 5
#define TAIL_BYTES 2500
#define TOKEN "0123456789abcdef0123456789abcdef0123456789abcdef"

/* ---- texts ---------------------------------------------------------------------------------- */

static char *keep(struct cluster *cluster, char *text)
{
    assert_non_null(text);
    assert_true(cluster->path_count < CLUSTER_PATHS_MAX);
    cluster->paths[cluster->path_count++] = text;
    return text;
}

static char *format_kept(struct cluster *cluster, const char *prefix, const char *fmt, va_list args)
    __attribute__((format(printf, 3, 0)));
static char *format_kept(struct cluster *cluster, const char *prefix, const char *fmt, va_list args)
{
    char text[8192];
    size_t used = strlen(prefix);
    memcpy(text, prefix, used + 1);
    int size = vsnprintf(text + used, sizeof(text) - used, fmt, args);
    assert_true(size >= 0 && (size_t)size < sizeof(text) - used);
    return keep(cluster, strdup(text));
}

char *cluster_text(struct cluster *cluster, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    char *text = format_kept(cluster, "", fmt, args);
    va_end(args);
    return text;
}

char *cluster_path(struct cluster *cluster, const char *fmt, ...)
{
    char prefix[1024];
    va_list args;
    assert_true(hd_format(prefix, sizeof(prefix), "%s/", cluster->dir));
    va_start(args, fmt);
    char *text = format_kept(cluster, prefix, fmt, args);
    va_end(args);
    return text;
}

const char *cluster_program(const char *variable)
{
    const char *path = getenv(variable);
    if (path == NULL)
        fail_msg("%s is not set", variable);
    return path;
}

/* ---- opening and closing -------------------------------------------------------------------- */

void cluster_open(struct cluster *cluster)
{
    struct hd_err err;
    *cluster = (struct cluster){.fifo = -1};
    cluster->dir = test_dir_make();
    cluster->state_dir = cluster_path(cluster, "state");
    cluster->token_file = cluster_path(cluster, "token");
    assert_hd_ok(
        hd_file_write_atomic(cluster->token_file, TOKEN "\n", strlen(TOKEN) + 1, 0600, &err));
    assert_int_equal(mkdir(cluster_path(cluster, "logs"), 0755), 0);
    /* Nothing may touch the person's own files. */
    setenv("HYPERDOCK_TOKEN_FILE", cluster->token_file, 1);
    setenv("XDG_CONFIG_HOME", cluster_path(cluster, "config"), 1);
    setenv("HOME", cluster->dir, 1);
    unsetenv("HYPERDOCK_STATE_DIR");
    assert_int_equal(prctl(PR_SET_CHILD_SUBREAPER, 1), 0);
}

static bool is_our_child(pid_t pid)
{
    char path[64], text[512];
    snprintf(path, sizeof(path), "/proc/%ld/stat", (long)pid);
    FILE *file = fopen(path, "r");
    if (file == NULL)
        return false;
    size_t size = fread(text, 1, sizeof(text) - 1, file);
    fclose(file);
    text[size] = '\0';
    const char *after = strrchr(text, ')');
    long parent = 0;
    return after != NULL && sscanf(after + 1, " %*c %ld", &parent) == 1 && parent == getpid();
}

/* Ends our children; theirs become ours then, so it goes on until there are none. */
static void end_children(void)
{
    for (bool any = true; any;) {
        any = false;
        DIR *dir = opendir("/proc");
        if (dir == NULL)
            return;
        for (struct dirent *entry; (entry = readdir(dir)) != NULL;) {
            pid_t pid = (pid_t)strtol(entry->d_name, NULL, 10);
            if (pid <= 1 || !is_our_child(pid))
                continue;
            kill(pid, SIGKILL);
            any = waitpid(pid, NULL, 0) == pid || any;
        }
        closedir(dir);
    }
}

bool cluster_has_processes(struct cluster *cluster)
{
    cluster_tick(cluster);
    DIR *dir = opendir("/proc");
    bool any = false;
    assert_non_null(dir);
    for (struct dirent *entry; (entry = readdir(dir)) != NULL;) {
        pid_t pid = (pid_t)strtol(entry->d_name, NULL, 10);
        any = any || (pid > 1 && is_our_child(pid));
    }
    closedir(dir);
    return any;
}

void cluster_close(struct cluster *cluster)
{
    if (cluster->dir == NULL)
        return;
    end_children();
    if (cluster->fifo >= 0)
        close(cluster->fifo);
    if (getenv("HD_TEST_KEEP") != NULL)
        fprintf(stderr, "kept: %s\n", cluster->dir);
    else
        test_dir_remove(cluster->dir);
    for (size_t i = 0; i < cluster->path_count; i++)
        free(cluster->paths[i]);
    *cluster = (struct cluster){.fifo = -1};
}

/* ---- waiting -------------------------------------------------------------------------------- */

static int exit_of(int status)
{
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

static void reap(struct cluster *cluster)
{
    int status;
    for (pid_t pid; (pid = waitpid(-1, &status, WNOHANG)) > 0;)
        for (size_t i = 0; i < cluster->child_count; i++)
            if (cluster->children[i].pid == pid) {
                cluster->children[i].pid = 0;
                cluster->children[i].exit = exit_of(status);
            }
}

static void drain(struct cluster *cluster)
{
    char bytes[65536];
    ssize_t size;
    if (cluster->fifo < 0)
        return;
    while ((size = read(cluster->fifo, bytes, sizeof(bytes))) > 0) {
        int fd = open(cluster->ledger, O_WRONLY | O_APPEND | O_CREAT, 0644);
        assert_true(fd >= 0);
        assert_int_equal(write(fd, bytes, (size_t)size), size);
        close(fd);
    }
}

void cluster_tick(struct cluster *cluster)
{
    poll(NULL, 0, TICK_MS);
    reap(cluster);
    drain(cluster);
}

static void show_tail(const struct child *child)
{
    size_t size;
    if (child->log == NULL || access(child->log, R_OK) != 0)
        return;
    char *text = test_file_read(child->log, &size);
    size_t from = size > TAIL_BYTES ? size - TAIL_BYTES : 0;
    fprintf(stderr, "---- %s (%s, last exit %d)\n%s", child->name,
            child->pid > 0 ? "runs" : "does not run", child->exit, text + from);
    free(text);
}

void cluster_fail(struct cluster *cluster, const char *fmt, ...)
{
    char text[2048];
    va_list args;
    va_start(args, fmt);
    vsnprintf(text, sizeof(text), fmt, args);
    va_end(args);
    for (size_t i = 0; i < cluster->child_count; i++)
        show_tail(&cluster->children[i]);
    fail_msg("%s", text);
}

/* ---- programs ------------------------------------------------------------------------------- */

struct child *cluster_child(struct cluster *cluster, const char *name)
{
    for (size_t i = 0; i < cluster->child_count; i++)
        if (hd_streq(cluster->children[i].name, name))
            return &cluster->children[i];
    assert_true(cluster->child_count < CLUSTER_CHILDREN_MAX);
    struct child *child = &cluster->children[cluster->child_count++];
    assert_true(hd_copy_text(child->name, sizeof(child->name), name));
    child->log = cluster_path(cluster, "logs/%s", name);
    return child;
}

static pid_t spawn(const char *const argv[], const char *out, const char *err)
{
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid > 0)
        return pid;
    int in_fd = open("/dev/null", O_RDONLY);
    int out_fd = open(out, O_WRONLY | O_CREAT | O_APPEND, 0644);
    int err_fd = err != NULL ? open(err, O_WRONLY | O_CREAT | O_APPEND, 0644) : out_fd;
    if (in_fd < 0 || out_fd < 0 || err_fd < 0 || dup2(in_fd, 0) < 0 || dup2(out_fd, 1) < 0 ||
        dup2(err_fd, 2) < 0)
        _exit(126);
    setsid();
    execv(argv[0], (char *const *)(uintptr_t)argv);
    fprintf(stderr, "%s: %s\n", argv[0], strerror(errno));
    _exit(127);
}

static long size_of(const char *path)
{
    struct stat st;
    return stat(path, &st) == 0 ? (long)st.st_size : 0;
}

void cluster_start(struct cluster *cluster, struct child *child, const char *const argv[])
{
    reap(cluster);
    if (child->pid != 0)
        cluster_fail(cluster, "%s runs already", child->name);
    child->born = size_of(child->log);
    child->exit = 0;
    child->pid = spawn(argv, child->log, NULL);
}

bool child_runs(struct cluster *cluster, const struct child *child)
{
    reap(cluster);
    return child->pid > 0;
}

void child_signal(const struct child *child, int number)
{
    if (child->pid > 0)
        kill(child->pid, number);
}

int child_end(struct cluster *cluster, struct child *child)
{
    CLUSTER_WAIT(cluster, !child_runs(cluster, child));
    return child->exit;
}

void child_kill(struct cluster *cluster, struct child *child, int number)
{
    child_signal(child, number);
    (void)child_end(cluster, child);
}

char *child_said(struct cluster *cluster, const struct child *child)
{
    if (access(child->log, R_OK) != 0)
        return keep(cluster, strdup(""));
    char *text = test_file_read(child->log, NULL);
    char *said = strdup(text + child->born);
    free(text);
    return keep(cluster, said);
}

bool child_has_said(struct cluster *cluster, const struct child *child, const char *text)
{
    bool has = strstr(child_said(cluster, child), text) != NULL;
    free(cluster->paths[--cluster->path_count]);
    return has;
}

void child_wait_text(struct cluster *cluster, struct child *child, const char *text)
{
    int64_t until_ms = hd_clock_ms() + CLUSTER_DEADLINE_MS;
    while (!child_has_said(cluster, child, text)) {
        if (!child_runs(cluster, child) && !child_has_said(cluster, child, text))
            cluster_fail(cluster, "%s ended and never said: %s", child->name, text);
        if (hd_clock_ms() > until_ms)
            cluster_fail(cluster, "%s never said: %s", child->name, text);
        cluster_tick(cluster);
    }
}

struct outcome cluster_run(struct cluster *cluster, const char *const argv[])
{
    struct outcome outcome;
    char *out = cluster_path(cluster, "logs/out"), *err = cluster_path(cluster, "logs/err");
    (void)unlink(out);
    (void)unlink(err);
    struct child *child = cluster_child(cluster, "command");
    reap(cluster);
    assert_int_equal(child->pid, 0);
    child->log = err;
    child->pid = spawn(argv, out, err);
    outcome.exit = child_end(cluster, child);
    outcome.out = keep(cluster, test_file_read(out, NULL));
    outcome.err = keep(cluster, test_file_read(err, NULL));
    return outcome;
}

void outcome_check(const char *file, int line, struct outcome outcome, int code, const char *part)
{
    if (outcome.exit == code && (part == NULL || strstr(outcome.err, part) != NULL))
        return;
    fail_msg("%s:%d: exit %d, wanted %d with \"%s\"; stderr:\n%s\nstdout:\n%s", file, line,
             outcome.exit, code, part != NULL ? part : "", outcome.err, outcome.out);
}

/* ---- the three programs --------------------------------------------------------------------- */

static void start_with(struct cluster *cluster, struct child *child, const char *const first[],
                       const char *const more[])
{
    const char *argv[CLUSTER_ARGUMENTS_MAX];
    size_t count = 0;
    for (size_t i = 0; first[i] != NULL; i++)
        argv[count++] = first[i];
    for (size_t i = 0; more != NULL && more[i] != NULL; i++) {
        assert_true(count + 1 < CLUSTER_ARGUMENTS_MAX);
        argv[count++] = more[i];
    }
    argv[count] = NULL;
    cluster_start(cluster, child, argv);
}

struct child *cluster_nameserver_with(struct cluster *cluster, const char *const more[])
{
    struct child *child = cluster_child(cluster, "nameserver");
    const char *colon = strrchr(cluster->nameserver, ':');
    const char *port = colon != NULL ? colon + 1 : "0";
    start_with(cluster, child,
               (const char *const[]){cluster_program("HD_NAMESERVER"), "--port", port, NULL}, more);
    child_wait_text(cluster, child, "listening on");
    char *said = child_said(cluster, child);
    char *line = strstr(said, "127.0.0.1 ");
    assert_non_null(line);
    unsigned number = (unsigned)strtoul(line + strlen("127.0.0.1 "), NULL, 10);
    assert_true(
        hd_format(cluster->nameserver, sizeof(cluster->nameserver), "127.0.0.1:%u", number));
    return child;
}

struct child *cluster_nameserver(struct cluster *cluster)
{
    return cluster_nameserver_with(cluster, NULL);
}

struct child *cluster_master(struct cluster *cluster, const char *const more[])
{
    struct child *child = cluster_child(cluster, "master");
    start_with(cluster, child,
               (const char *const[]){cluster_program("HD_MASTER"), "--nameserver",
                                     cluster->nameserver, "--state-dir", cluster->state_dir,
                                     "--ping-interval", "500ms", NULL},
               more);
    return child;
}

struct child *cluster_worker(struct cluster *cluster, unsigned number, const char *const more[])
{
    struct child *child = cluster_child(cluster, cluster_text(cluster, "worker-%u", number));
    start_with(cluster, child,
               (const char *const[]){cluster_program("HD_WORKER"), "--nameserver",
                                     cluster->nameserver, "--work-dir",
                                     cluster_path(cluster, "root-%u", number), NULL},
               more);
    return child;
}
