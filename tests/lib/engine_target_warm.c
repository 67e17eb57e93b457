/* SPDX-License-Identifier: Apache-2.0 */
#include "engine_target_warm.h"

#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define LINE_MAX_BYTES 65536

struct job {
    char id[64], dir[2048], what[32];
    long long number;
};

/* The text or number behind "key": in a line that the engine wrote. */
static const char *behind(const char *line, const char *key)
{
    char quoted[64];
    snprintf(quoted, sizeof(quoted), "\"%s\":", key);
    const char *at = strstr(line, quoted);
    return at != NULL ? at + strlen(quoted) : "";
}

static void text_behind(const char *line, const char *key, char *text, size_t size)
{
    const char *at = behind(line, key);
    size_t length = at[0] == '"' ? strcspn(at + 1, "\"") : 0;
    snprintf(text, size, "%.*s", (int)length, at[0] == '"' ? at + 1 : "");
}

static FILE *connect_to_worker(void)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    const char *path = getenv("HYPERDOCK_SOCKET");
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    snprintf(address.sun_path, sizeof(address.sun_path), "%s", path != NULL ? path : "");
    if (fd < 0 || connect(fd, (const struct sockaddr *)&address, sizeof(address)) != 0) {
        perror("engine_target: connect");
        exit(95);
    }
    return fdopen(fd, "r+");
}

static void stay(void)
{
    for (;;)
        pause();
}

static int use_files(const struct job *job)
{
    char path[2200];
    snprintf(path, sizeof(path), "%s/work/kept", job->dir);
    int was_there = access(path, F_OK) == 0;
    int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    close(fd);
    snprintf(path, sizeof(path), "%s/out/result", job->dir);
    fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    close(fd);
    return was_there;
}

static void set_traps(const struct job *job)
{
    static const char *const names[] = {"out", "work"};
    char path[2200], aside[2200];
    for (int i = 0; i < 2; i++) {
        snprintf(path, sizeof(path), "%s/%s", job->dir, names[i]);
        snprintf(aside, sizeof(aside), "%s/%s.aside", job->dir, names[i]);
        if (rename(path, aside) != 0 || symlink("/", path) != 0)
            exit(94);
    }
}

static void wait_for_stop(const struct job *job)
{
    char path[2200];
    snprintf(path, sizeof(path), "%s/control/stop", job->dir);
    while (access(path, F_OK) != 0)
        (void)poll(NULL, 0, 2);
}

static void say_garbage(FILE *worker, const struct job *job)
{
    for (long long i = 0; i < job->number; i++)
        fprintf(worker, "epoch %lld of %lld\n", i, job->number);
}

static void say_endless(FILE *worker)
{
    static char chunk[65536];
    memset(chunk, 'x', sizeof(chunk));
    for (int i = 0; i < 64; i++)
        (void)fwrite(chunk, 1, sizeof(chunk), worker);
    fflush(worker);
    stay();
}

/* What comes before the answer; gives the loss. */
static double evaluate(FILE *worker, struct job *job)
{
    if (strcmp(job->what, "exit") == 0)
        exit((int)job->number);
    if (strcmp(job->what, "hang") == 0)
        stay();
    if (strcmp(job->what, "hang-up") == 0) {
        fclose(worker);
        stay();
    }
    if (strcmp(job->what, "obey") == 0)
        wait_for_stop(job);
    if (strcmp(job->what, "foreign") == 0)
        snprintf(job->id, sizeof(job->id), "12345-1");
    if (strcmp(job->what, "garbage") == 0)
        say_garbage(worker, job);
    if (strcmp(job->what, "endless") == 0)
        say_endless(worker);
    if (strcmp(job->what, "points") == 0)
        fprintf(worker,
                "{\"id\":\"%s\",\"step\":1,\"loss\":3}\n{\"id\":\"%s\"}\n"
                "{\"id\":\"%s\",\"step\":2,\"loss\":2}\n",
                job->id, job->id, job->id);
    if (strcmp(job->what, "files") == 0)
        return use_files(job);
    if (strcmp(job->what, "traps") == 0)
        set_traps(job);
    if (strcmp(job->what, "env") == 0)
        printf("TEST_WARM=%s\n", getenv("TEST_WARM"));
    if (strcmp(job->what, "memory") == 0) {
        volatile char *kept = malloc((size_t)job->number);
        for (long long i = 0; kept != NULL && i < job->number; i += 4096)
            kept[i] = 1;
    }
    return 0.5;
}

int serve_warm(const char *how)
{
    static char line[LINE_MAX_BYTES];
    if (strcmp(how, "deaf") == 0)
        return 0;
    FILE *worker = connect_to_worker();
    setvbuf(stdout, NULL, _IOLBF, 0);
    if (strcmp(how, "stops") == 0)
        fprintf(worker, "{\"stops\": true}\n");
    fflush(worker);
    for (int done = 1; fgets(line, sizeof(line), worker) != NULL; done++) {
        struct job job;
        text_behind(line, "id", job.id, sizeof(job.id));
        text_behind(line, "dir", job.dir, sizeof(job.dir));
        text_behind(line, "do", job.what, sizeof(job.what));
        job.number = atoll(behind(line, "number"));
        printf("job %s\n", job.id);
        double loss = evaluate(worker, &job);
        if (strcmp(job.what, "nan") == 0)
            fprintf(worker, "{\"id\":\"%s\",\"loss\":-nan}\n", job.id);
        else
            fprintf(worker, "{\"id\":\"%s\",\"loss\":%g,\"done\":%d}\n", job.id, loss, done);
        if (strcmp(job.what, "twice") == 0)
            fprintf(worker, "{\"id\":\"%s\",\"loss\":0}\n", job.id);
        fflush(worker);
        if (strcmp(job.what, "last") == 0)
            return 0;
    }
    return 0;
}
