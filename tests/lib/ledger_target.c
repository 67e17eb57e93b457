/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ledger_target.c: a target that keeps books of its own, for tests that kill everything else.
 *
 *   ledger_target LEDGER BASE_MS PER_BUDGET_MS [same]
 *
 * Appends one line at its start and one at its end to LEDGER (a file, or a FIFO when it runs in
 * a container), in one write each:
 *
 *   start RUN JOB ATTEMPT BUDGET 0
 *   end RUN JOB ATTEMPT BUDGET LOSS
 *   clash ...        another attempt writes this work directory now
 *   bad-state ...    the work directory does not hold what budget_previous promises
 *
 * Between them it works BASE_MS + PER_BUDGET_MS * budget milliseconds. The loss depends on x, the
 * budget and the attempt, so that a result can be matched with the attempt that wrote it; with
 * "same" all attempts find the same loss. It is linked statically and uses nothing of ours.
 */
#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <time.h>
#include <unistd.h>

static const char *ledger;

static const char *get(const char *name)
{
    const char *value = getenv(name);
    return value != NULL ? value : "";
}

static void die(const char *what)
{
    fprintf(stderr, "ledger_target: %s: %s\n", what, strerror(errno));
    exit(90);
}

static void say(const char *word, double loss)
{
    char line[512];
    int size =
        snprintf(line, sizeof(line), "%s %s %s %s %s %.17g\n", word, get("HYPERDOCK_RUN_ID"),
                 get("HYPERDOCK_JOB"), get("HYPERDOCK_ATTEMPT"), get("HYPERDOCK_BUDGET"), loss);
    int fd = open(ledger, O_WRONLY | O_APPEND | O_CREAT, 0666);
    if (fd < 0 || write(fd, line, (size_t)size) != size || close(fd) != 0)
        die(ledger);
}

static void in_dir(char *path, size_t size, const char *variable, const char *name)
{
    int used = snprintf(path, size, "%s/%s", get(variable), name);
    if (used < 0 || (size_t)used >= size)
        die("path");
}

static void write_file(const char *path, const char *text)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0666);
    size_t size = strlen(text);
    if (fd < 0 || write(fd, text, size) != (ssize_t)size || close(fd) != 0)
        die(path);
}

/* The lock lives as long as this process. */
static void own_work_directory(void)
{
    char path[4096];
    in_dir(path, sizeof(path), "HYPERDOCK_WORK_DIR", "owner");
    int fd = open(path, O_RDWR | O_CREAT, 0666);
    if (fd < 0)
        die(path);
    if (flock(fd, LOCK_EX | LOCK_NB) != 0)
        say("clash", 0);
}

/* What the config's directory has already spent must be what we are told, or more when an
 * attempt of this very job got further before it was lost. */
static void check_state(double previous)
{
    char path[4096];
    double spent = 0;
    in_dir(path, sizeof(path), "HYPERDOCK_WORK_DIR", "spent");
    FILE *file = fopen(path, "r");
    if (file != NULL) {
        if (fscanf(file, "%lf", &spent) != 1)
            spent = 0;
        fclose(file);
    }
    if (spent < previous)
        say("bad-state", spent);
}

static void save_state(void)
{
    char from[4096], to[4096], text[64];
    in_dir(from, sizeof(from), "HYPERDOCK_WORK_DIR", "spent.new");
    in_dir(to, sizeof(to), "HYPERDOCK_WORK_DIR", "spent");
    snprintf(text, sizeof(text), "%s\n", get("HYPERDOCK_BUDGET"));
    write_file(from, text);
    if (rename(from, to) != 0)
        die(to);
}

static void work(double milliseconds)
{
    struct timespec left = {.tv_sec = (time_t)(milliseconds / 1000),
                            .tv_nsec = (long)(fmod(milliseconds, 1000) * 1e6)};
    while (nanosleep(&left, &left) != 0 && errno == EINTR)
        ;
}

int main(int argc, char **argv)
{
    char path[4096], text[128];
    if (argc < 4) {
        fprintf(stderr, "usage: ledger_target LEDGER BASE_MS PER_BUDGET_MS [same]\n");
        return 2;
    }
    ledger = argv[1];
    int same = argc > 4 && strcmp(argv[4], "same") == 0;
    double budget = strtod(get("HYPERDOCK_BUDGET"), NULL);
    double x = strtod(get("HP_X"), NULL);
    own_work_directory();
    say("start", 0);
    check_state(strtod(get("HYPERDOCK_BUDGET_PREVIOUS"), NULL));
    work(strtod(argv[2], NULL) + strtod(argv[3], NULL) * budget);
    double loss = (x - 0.3) * (x - 0.3) + 1 / budget +
                  (same ? 0 : 1e-6 * strtod(get("HYPERDOCK_ATTEMPT"), NULL));
    save_state();
    say("end", loss);
    in_dir(path, sizeof(path), "HYPERDOCK_DIR", "loss.json");
    snprintf(text, sizeof(text), "{\"loss\": %.17g}\n", loss);
    write_file(path, text);
    return 0;
}
