/* SPDX-License-Identifier: Apache-2.0 */
/* Looks through /proc: the kernel tells children of one process only when built to. */
#include "family.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

struct process {
    pid_t pid, parent;
    uint64_t pages, threads;
};

static bool read_process(pid_t pid, struct process *process)
{
    char path[64], text[1024];
    hd_format(path, sizeof(path), "/proc/%ld/stat", (long)pid);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return false;
    ssize_t got = read(fd, text, sizeof(text) - 1);
    close(fd);
    text[got > 0 ? got : 0] = '\0';
    /* "pid (name) state parent ...": the name may hold anything. Field 20 is the number of threads,
     * 24 the resident pages. */
    const char *at = strrchr(text, ')');
    long parent = 0;
    long long threads = 1;
    if (at == NULL || sscanf(at, ") %*c %ld", &parent) != 1)
        return false;
    for (int field = 2; field < 24 && at != NULL; field++) {
        at = strchr(at, ' ');
        at = at != NULL ? at + 1 : NULL;
        if (field == 19 && at != NULL && sscanf(at, "%lld", &threads) != 1)
            threads = 1;
    }
    long long pages = 0;
    if (at == NULL || sscanf(at, "%lld", &pages) != 1)
        pages = 0;
    *process = (struct process){pid, (pid_t)parent, pages > 0 ? (uint64_t)pages : 0,
                                threads > 0 ? (uint64_t)threads : 1};
    return true;
}

static size_t read_all(struct process *processes, size_t max)
{
    DIR *proc = opendir("/proc");
    size_t count = 0;
    struct dirent *entry;
    if (proc == NULL)
        return 0;
    while (count < max && (entry = readdir(proc)) != NULL) {
        int64_t pid;
        if (isdigit((unsigned char)entry->d_name[0]) && hd_parse_i64(entry->d_name, &pid) &&
            read_process((pid_t)pid, &processes[count]))
            count++;
    }
    closedir(proc);
    return count;
}

/* Moves what is below us to the front: repeats until a pass finds no more, which is at most once a
 * generation. Gives how many there are. */
static size_t gather_ours(struct process *processes, size_t count)
{
    pid_t self = getpid();
    size_t ours = 0, before;
    do {
        before = ours;
        for (size_t i = ours; i < count; i++) {
            bool is_ours = processes[i].parent == self;
            for (size_t j = 0; j < ours && !is_ours; j++)
                is_ours = processes[j].pid == processes[i].parent;
            if (!is_ours)
                continue;
            struct process found = processes[i];
            processes[i] = processes[ours];
            processes[ours++] = found;
        }
    } while (ours > before);
    return ours;
}

/* Our descendants, *ret_count of them; to be freed. */
static struct process *look(size_t *ret_count)
{
    struct process *processes = hd_malloc(HD_FAMILY_PROCESSES_MAX * sizeof(*processes));
    if (processes != NULL)
        *ret_count = gather_ours(processes, read_all(processes, HD_FAMILY_PROCESSES_MAX));
    return processes;
}

size_t hd_family_signal(int signal_number)
{
    size_t count = 0;
    struct process *processes = look(&count);
    for (size_t i = 0; i < count; i++)
        (void)kill(processes[i].pid, signal_number);
    hd_free(processes);
    return count;
}

struct hd_family_use hd_family_use(void)
{
    size_t count = 0;
    uint64_t pages = 0, tasks = 0;
    struct process *processes = look(&count);
    for (size_t i = 0; i < count; i++) {
        pages += processes[i].pages;
        tasks += processes[i].threads;
    }
    hd_free(processes);
    return (struct hd_family_use){pages * (uint64_t)sysconf(_SC_PAGESIZE), tasks};
}

bool hd_family_end(void)
{
    for (int round = 0; round < HD_FAMILY_ROUNDS_MAX; round++) {
        pid_t pid;
        do
            pid = waitpid(-1, NULL, WNOHANG);
        while (pid > 0);
        if (pid < 0 && errno == ECHILD)
            return true;
        /* Stopped first, so that none can fork while the others are killed. */
        (void)hd_family_signal(SIGSTOP);
        (void)hd_family_signal(SIGKILL);
        const struct timespec pause = {.tv_nsec = round < 10 ? 1000000 : 20000000};
        (void)nanosleep(&pause, NULL);
    }
    return false;
}
