/* SPDX-License-Identifier: Apache-2.0 */
/* pool.c: processes, so that a run that dies takes no other along and nothing is shared but
 * results: unit i of n processes goes to the process that takes it first from a pipe of numbers. */
#include "report.h"

#include <hd/os.h>

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#define PROCESSES_MAX 256

enum hd_code bench_results_new(size_t unit_count, struct bench_result **ret_results,
                               struct hd_err *err)
{
    void *memory = mmap(NULL, (unit_count + 1) * sizeof(struct bench_result),
                        PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED)
        return hd_fail(err, HD_E_NOMEM, "no memory for %zu results", unit_count);
    *ret_results = memory;
    return HD_OK;
}

void bench_results_free(struct bench_result *results, size_t unit_count)
{
    if (results != NULL)
        munmap(results, (unit_count + 1) * sizeof(*results));
}

static void run_unit(const struct bench_plan *plan, const struct bench_unit *unit,
                     struct bench_result *result)
{
    struct hd_err err = {0};
    struct hd_experiment *experiment = NULL;
    const struct bench_problem *problem = plan->problems[unit->problem_index];
    result->code = bench_method_make(problem, plan->methods[unit->method_index], &experiment, &err);
    if (result->code == HD_OK) {
        struct bench_run_spec spec = {
            .problem = problem,
            .experiment = experiment,
            .seed = unit->seed,
            .workers = plan->workers,
            .full_evaluations = plan->full_evaluations,
            .accounting = plan->accounting,
            .core = plan->core,
        };
        result->code = bench_run(&spec, &result->trace, &err);
    }
    if (result->code != HD_OK)
        (void)hd_format(result->error, sizeof(result->error), "%s, task %s, seed %llu: %.800s",
                        plan->method_names[unit->method_index], problem->task,
                        (unsigned long long)unit->seed, err.text);
    hd_experiment_free(experiment);
    __atomic_store_n(&result->done, true, __ATOMIC_RELEASE);
}

/* Takes units until there are none: the counter lies after the last result. */
static void work(const struct bench_plan *plan, struct bench_result *results, int done_fd)
{
    size_t *next = (size_t *)(void *)&results[plan->unit_count];
    for (;;) {
        size_t index = __atomic_fetch_add(next, 1, __ATOMIC_SEQ_CST);
        if (index >= plan->unit_count)
            return;
        run_unit(plan, &plan->units[index], &results[index]);
        if (write(done_fd, "", 1) != 1 || results[index].code != HD_OK)
            return;
    }
}

static void show(const struct bench_plan *plan, size_t done, int64_t started_ms)
{
    enum { WIDTH = 30 };
    char bar[WIDTH + 1];
    if (!plan->progress)
        return;
    size_t filled = plan->unit_count == 0 ? WIDTH : done * WIDTH / plan->unit_count;
    memset(bar, '.', WIDTH);
    memset(bar, '#', filled);
    bar[WIDTH] = '\0';
    int64_t passed_s = (hd_clock_ms() - started_ms) / 1000;
    int64_t left_s = done == 0 ? 0 : passed_s * (int64_t)(plan->unit_count - done) / (int64_t)done;
    fprintf(stderr, "\r[%s] %zu of %zu runs, %llds, about %llds left \x1b[K", bar, done,
            plan->unit_count, (long long)passed_s, (long long)left_s);
    if (done == plan->unit_count)
        fprintf(stderr, "\r\x1b[K");
}

static enum hd_code check(const struct bench_plan *plan, const struct bench_result *results,
                          bool died, struct hd_err *err)
{
    for (size_t i = 0; i < plan->unit_count; i++)
        if (results[i].done && results[i].code != HD_OK)
            return hd_fail(err, results[i].code, "%s", results[i].error);
    if (died)
        return hd_fail(err, HD_E_IO, "a process that ran benchmarks died");
    return HD_OK;
}

/* A line for each run that has ended since the last time. */
static enum hd_code write_lines(const struct bench_plan *plan, const struct bench_result *results,
                                uint8_t *written, struct hd_err *err)
{
    for (size_t i = 0; plan->lines != NULL && i < plan->unit_count; i++) {
        struct hd_buf line;
        if (written[i] || !__atomic_load_n(&results[i].done, __ATOMIC_ACQUIRE) ||
            results[i].code != HD_OK)
            continue;
        written[i] = 1;
        hd_buf_init(&line, BENCH_REPORT_BYTES_MAX);
        enum hd_code code = bench_json_line(plan, &plan->units[i], &results[i].trace, &line, err);
        if (code == HD_OK &&
            (fputs(hd_buf_text(&line), plan->lines) == EOF || fflush(plan->lines) != 0))
            code = hd_fail(err, HD_E_IO, "--lines: %s", strerror(errno));
        hd_buf_release(&line);
        if (code != HD_OK)
            return code;
    }
    return HD_OK;
}

static bool any_failed(const struct bench_plan *plan, const struct bench_result *results)
{
    for (size_t i = 0; i < plan->unit_count; i++)
        if (results[i].done && results[i].code != HD_OK)
            return true;
    return false;
}

/* Counts what comes through the pipe until all ends of it are closed. */
static enum hd_code follow(const struct bench_plan *plan, const struct bench_result *results,
                           int done_fd, const pid_t *pids, uint32_t count, struct hd_err *err)
{
    int64_t started_ms = hd_clock_ms();
    size_t done = 0;
    char bytes[64];
    enum hd_code code = HD_OK;
    uint8_t *written = calloc(plan->unit_count + 1, 1);
    if (written == NULL)
        code = hd_fail(err, HD_E_NOMEM, "no memory for %zu runs", plan->unit_count);
    show(plan, 0, started_ms);
    for (;;) {
        if (code != HD_OK || any_failed(plan, results))
            for (uint32_t p = 0; p < count; p++)
                kill(pids[p], SIGTERM);
        ssize_t got = read(done_fd, bytes, sizeof(bytes));
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            break;
        done += (size_t)got;
        show(plan, done, started_ms);
        if (code == HD_OK)
            code = write_lines(plan, results, written, err);
    }
    free(written);
    return code;
}

enum hd_code bench_pool_run(const struct bench_plan *plan, struct bench_result *ret_results,
                            struct hd_err *err)
{
    pid_t pids[PROCESSES_MAX];
    int ends[2];
    uint32_t count = 0, wanted = plan->processes < PROCESSES_MAX ? plan->processes : PROCESSES_MAX;
    bool died = false;
    if (pipe(ends) != 0)
        return hd_fail(err, HD_E_IO, "pipe: %s", strerror(errno));
    fflush(NULL);
    while (count < wanted && count < plan->unit_count) {
        pid_t pid = fork();
        if (pid == 0) {
            prctl(PR_SET_PDEATHSIG, SIGTERM);
            close(ends[0]);
            work(plan, ret_results, ends[1]);
            _exit(0);
        }
        if (pid < 0)
            break;
        pids[count++] = pid;
    }
    close(ends[1]);
    enum hd_code code = HD_OK;
    if (count > 0)
        code = follow(plan, ret_results, ends[0], pids, count, err);
    close(ends[0]);
    for (uint32_t i = 0; i < count; i++) {
        int status = 0;
        while (waitpid(pids[i], &status, 0) < 0 && errno == EINTR)
            ;
        died = died || !WIFEXITED(status) || WEXITSTATUS(status) != 0;
    }
    if (count == 0 && plan->unit_count > 0)
        return hd_fail(err, HD_E_IO, "fork: %s", strerror(errno));
    return code == HD_OK ? check(plan, ret_results, died, err) : code;
}
