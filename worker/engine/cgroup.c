/* SPDX-License-Identifier: Apache-2.0 */
#include "cgroup.h"

#include <hd/os.h>

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define FILE_BYTES_MAX 4096
#define CPU_PERIOD_US 100000
#define LOOK_MS 5

/* ---- files ---------------------------------------------------------------------------------- */

static bool write_file(const char *directory, const char *name, const char *text)
{
    char path[HD_CGROUP_PATH_MAX];
    if (!hd_format(path, sizeof(path), "%s/%s", directory, name)) {
        errno = ENAMETOOLONG;
        return false;
    }
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    if (fd < 0)
        return false;
    ssize_t put = write(fd, text, strlen(text));
    int number = errno;
    close(fd);
    errno = number;
    return put == (ssize_t)strlen(text);
}

static bool write_number(const char *directory, const char *name, uint64_t number)
{
    char text[32];
    hd_format(text, sizeof(text), "%" PRIu64, number);
    return write_file(directory, name, text);
}

static bool read_text(const char *directory, const char *name, char ret_text[FILE_BYTES_MAX])
{
    char path[HD_CGROUP_PATH_MAX];
    if (!hd_format(path, sizeof(path), "%s/%s", directory, name))
        return false;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return false;
    ssize_t got = read(fd, ret_text, FILE_BYTES_MAX - 1);
    close(fd);
    ret_text[got > 0 ? got : 0] = '\0';
    return got >= 0;
}

/* Files of one line of words, and of lines of a word and a number. */
static bool has_word(const char *text, const char *word)
{
    size_t size = strlen(word);
    for (text += strspn(text, " \n"); *text != '\0'; text += strspn(text, " \n")) {
        size_t length = strcspn(text, " \n");
        if (length == size && strncmp(text, word, size) == 0)
            return true;
        text += length;
    }
    return false;
}

static uint64_t number_in(const char *directory, const char *name, const char *key)
{
    char text[FILE_BYTES_MAX];
    uint64_t number = 0;
    size_t size = strlen(key);
    if (!read_text(directory, name, text))
        return 0;
    for (char *line = text; *line != '\0';) {
        size_t length = strcspn(line, "\n");
        bool more = line[length] != '\0';
        line[length] = '\0';
        if (strncmp(line, key, size) == 0 && line[size] == ' ')
            return hd_parse_u64(line + size + 1, &number) ? number : 0;
        line += length + (more ? 1 : 0);
    }
    return 0;
}

/* ---- the directory of all ------------------------------------------------------------------- */

struct hd_cgroup_kinds hd_cgroup_kinds_of(const char *text)
{
    text = text != NULL ? text : "";
    return (struct hd_cgroup_kinds){
        .memory = has_word(text, "memory"),
        .pids = has_word(text, "pids"),
        .cpus = has_word(text, "cpu"),
    };
}

/* One by one, since a refused one takes those beside it along. */
static void hand_on(const char *directory)
{
    static const struct {
        const char *name, *wish;
    } controllers[] = {{"memory", "+memory"}, {"pids", "+pids"}, {"cpu", "+cpu"}};
    char text[FILE_BYTES_MAX];
    if (!read_text(directory, "cgroup.controllers", text))
        return;
    for (size_t i = 0; i < HD_COUNT(controllers); i++)
        if (has_word(text, controllers[i].name))
            (void)write_file(directory, "cgroup.subtree_control", controllers[i].wish);
}

/* So that the directory has the controllers that its parent has, which may be ours as well. */
static void hand_on_above(const char *directory)
{
    char parent[HD_CGROUP_PATH_MAX];
    if (!hd_copy_text(parent, sizeof(parent), directory))
        return;
    char *slash = strrchr(parent, '/');
    if (slash == NULL || slash == parent)
        return;
    *slash = '\0';
    hand_on(parent);
}

enum hd_code hd_cgroup_prepare(const char *directory, struct hd_cgroup_kinds *ret_kinds,
                               struct hd_err *err)
{
    char text[FILE_BYTES_MAX];
    if (directory[0] != '/')
        return hd_fail(err, HD_E_INVALID, "%s is not an absolute path", directory);
    if (mkdir(directory, 0755) != 0 && errno != EEXIST)
        return hd_fail(err, HD_E_IO, "%s: %s; a group above it must belong to this user", directory,
                       strerror(errno));
    hand_on_above(directory);
    if (!read_text(directory, "cgroup.controllers", text))
        return hd_fail(err, HD_E_UNSUPPORTED,
                       "%s is no control group of version 2 (it has no cgroup.controllers)",
                       directory);
    if (access(directory, W_OK) != 0)
        return hd_fail(err, HD_E_IO, "%s: %s; it must belong to this user", directory,
                       strerror(errno));
    hand_on(directory);
    *ret_kinds = (struct hd_cgroup_kinds){false};
    if (read_text(directory, "cgroup.subtree_control", text))
        *ret_kinds = hd_cgroup_kinds_of(text);
    return HD_OK;
}

/* ---- one group ------------------------------------------------------------------------------ */

enum hd_code hd_cgroup_make(const char *path, const struct hd_cgroup_limits *limits,
                            struct hd_cgroup_kinds *ret_kept, struct hd_err *err)
{
    char text[64];
    if (mkdir(path, 0755) != 0 && errno != EEXIST)
        return hd_fail(err, HD_E_IO, "cannot make the control group %s: %s", path, strerror(errno));
    struct hd_cgroup_kinds kept = {
        .memory =
            limits->memory_bytes > 0 && write_number(path, "memory.max", limits->memory_bytes),
        .pids = limits->pids > 0 && write_number(path, "pids.max", limits->pids),
    };
    if (kept.memory) {
        (void)write_file(path, "memory.swap.max", "0"); /* not there without swap accounting */
        (void)write_file(path, "memory.oom.group", "1");
    }
    hd_format(text, sizeof(text), "%" PRIu64 " %d", limits->cpu_millis * (CPU_PERIOD_US / 1000),
              CPU_PERIOD_US);
    kept.cpus = limits->cpu_millis > 0 && write_file(path, "cpu.max", text);
    *ret_kept = kept;
    return HD_OK;
}

bool hd_cgroup_enter(const char *path)
{
    return write_file(path, "cgroup.procs", "0");
}

void hd_cgroup_count(const char *path, uint64_t *ret_oom_kills, uint64_t *ret_pids_refused)
{
    *ret_oom_kills = number_in(path, "memory.events", "oom_kill");
    *ret_pids_refused = number_in(path, "pids.events", "max");
}

void hd_cgroup_kill(const char *path)
{
    (void)write_file(path, "cgroup.kill", "1");
}

void hd_cgroup_end(const char *path)
{
    const struct timespec pause = {.tv_nsec = LOOK_MS * 1000000L};
    int64_t until_ms = hd_clock_ms() + HD_CGROUP_EMPTY_MS_MAX;
    hd_cgroup_kill(path);
    while (rmdir(path) != 0 && errno == EBUSY && hd_clock_ms() < until_ms)
        (void)nanosleep(&pause, NULL);
}
