/* SPDX-License-Identifier: Apache-2.0 */
/*
 * soak.c: one process a lane, each with every n-th seed; what they find is in memory that all
 * share. A lane that dies is a failure of the seed it was at, and another goes on behind it.
 */
#include "soak.h"

#include <malloc.h>
#include <poll.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define FAILURES_MAX 64 /* of one lane; beyond they are only counted */
#define SHOWN_MAX 10    /* shrinking takes up to a hundred runs each */
#define LOOK_MS 200
#define LINE_SECONDS 60

/* Shared by all processes. */
struct lane {
    _Atomic uint64_t at; /* the seed under way */
    _Atomic uint64_t done;
    _Atomic uint64_t failures;
    uint64_t failed[FAILURES_MAX];
    struct sim_cover cover;
};

struct soaking {
    const struct sim_soak *soak;
    struct lane *lanes;
    pid_t pids[SIM_JOBS_MAX];    /* 0: the lane is at its end */
    uint64_t told[SIM_JOBS_MAX]; /* failures of the lane */
    uint32_t lane_count;
    double begin_s, line_s;
    bool terminal;
};

static double seconds(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
}

/* ---- a lane --------------------------------------------------------------------------------- */

static void fail_seed(struct lane *lane, uint64_t seed)
{
    uint64_t number = atomic_load(&lane->failures); /* one process writes at a time */
    if (number < FAILURES_MAX)
        lane->failed[number] = seed;
    atomic_store(&lane->failures, number + 1);
}

static void run_lane(const struct soaking *soaking, struct lane *lane, uint64_t from)
{
    static struct sim_plan plan;
    const struct sim_soak *soak = soaking->soak;
    struct sim_memory *memory = sim_memory_new();
    for (uint64_t seed = from; seed - soak->seed < soak->count; seed += soaking->lane_count) {
        struct sim_result result;
        atomic_store(&lane->at, seed);
        sim_plan_draw(seed, &plan);
        sim_run(seed, &plan, soak->options, memory, &lane->cover, &result);
        if (result.failed)
            fail_seed(lane, seed);
        atomic_fetch_add(&lane->done, 1);
    }
    sim_memory_free(memory);
}

static void start_lane(struct soaking *soaking, uint32_t number, uint64_t from)
{
    fflush(NULL);
    pid_t pid = fork();
    hd_assert(pid >= 0);
    if (pid > 0) {
        soaking->pids[number] = pid;
        return;
    }
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL); /* nobody would hear what it finds */
    /* An agent is large and mostly untouched: fresh pages cost less than clearing. */
    mallopt(M_MMAP_THRESHOLD, 256 * 1024);
    run_lane(soaking, &soaking->lanes[number], from);
    _exit(0);
}

/* Returns whether any lane is at work. */
static bool look_after(struct soaking *soaking)
{
    bool any = false;
    for (uint32_t i = 0; i < soaking->lane_count; i++) {
        struct lane *lane = &soaking->lanes[i];
        int status;
        if (soaking->pids[i] == 0)
            continue;
        any = true;
        if (waitpid(soaking->pids[i], &status, WNOHANG) != soaking->pids[i])
            continue;
        soaking->pids[i] = 0;
        if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
            continue;
        uint64_t seed = atomic_load(&lane->at);
        fail_seed(lane, seed);
        atomic_fetch_add(&lane->done, 1);
        if (seed + soaking->lane_count - soaking->soak->seed < soaking->soak->count)
            start_lane(soaking, i, seed + soaking->lane_count);
    }
    return any;
}

/* ---- telling -------------------------------------------------------------------------------- */

static uint64_t done(const struct soaking *soaking)
{
    uint64_t seeds = 0;
    for (uint32_t i = 0; i < soaking->lane_count; i++)
        seeds += atomic_load(&soaking->lanes[i].done);
    return seeds;
}

static void tell_progress(struct soaking *soaking)
{
    double now_s = seconds();
    if (!soaking->terminal && now_s - soaking->line_s < LINE_SECONDS)
        return;
    soaking->line_s = now_s;
    uint64_t seeds = done(soaking), failures = 0;
    for (uint32_t i = 0; i < soaking->lane_count; i++)
        failures += atomic_load(&soaking->lanes[i].failures);
    double rate = (double)seeds / (now_s - soaking->begin_s + 1e-9);
    double left_s = rate > 0 ? (double)(soaking->soak->count - seeds) / rate : 0;
    fprintf(stderr, "%s%llu of %llu seeds, %.0f/s, %llu failed, %.0f min left%s",
            soaking->terminal ? "\r" : "", (unsigned long long)seeds,
            (unsigned long long)soaking->soak->count, rate, (unsigned long long)failures,
            left_s / 60, soaking->terminal ? "  " : "\n");
    fflush(stderr);
}

static void show_failure(const struct soaking *soaking, uint64_t seed)
{
    const struct sim_options *options = soaking->soak->options;
    struct sim_ease ease = {0};
    struct sim_result result = sim_try(seed, &ease, options);
    if (!result.failed) {
        printf("seed %llu: failed among others, not alone\n", (unsigned long long)seed);
        return;
    }
    (void)sim_shrink(seed, options, result.checker, &ease);
    result = sim_try(seed, &ease, options);
    sim_failure_print(seed, &result, &ease, options);
}

/* Says a failing seed as soon as it is known: a long soak may be ended before its end. */
static void tell_failures(struct soaking *soaking)
{
    for (uint32_t i = 0; i < soaking->lane_count; i++) {
        struct lane *lane = &soaking->lanes[i];
        uint64_t count = atomic_load(&lane->failures);
        for (; soaking->told[i] < count && soaking->told[i] < FAILURES_MAX; soaking->told[i]++)
            fprintf(stderr, "%sseed %llu fails\n", soaking->terminal ? "\n" : "",
                    (unsigned long long)lane->failed[soaking->told[i]]);
    }
}

/* Every counter of the coverage is a 64-bit number. */
static void add_cover(struct sim_cover *sum, const struct sim_cover *cover)
{
    _Static_assert(sizeof(*sum) % sizeof(uint64_t) == 0, "counters only");
    uint64_t *to = (uint64_t *)sum;
    const uint64_t *from = (const uint64_t *)cover;
    for (size_t i = 0; i < sizeof(*sum) / sizeof(uint64_t); i++)
        to[i] += from[i];
}

static uint64_t show_all(const struct soaking *soaking, struct sim_cover *ret_cover)
{
    uint64_t failures = 0;
    uint32_t shown = 0;
    for (uint32_t i = 0; i < soaking->lane_count; i++) {
        struct lane *lane = &soaking->lanes[i];
        uint64_t count = atomic_load(&lane->failures);
        failures += count;
        add_cover(ret_cover, &lane->cover);
        for (uint64_t f = 0; f < count && f < FAILURES_MAX && shown < SHOWN_MAX; f++, shown++)
            show_failure(soaking, lane->failed[f]);
    }
    if (failures > shown)
        printf("%llu more failed\n", (unsigned long long)(failures - shown));
    return failures;
}

uint64_t sim_soak(const struct sim_soak *soak, struct sim_cover *ret_cover)
{
    if (soak->count == 0)
        return 0;
    long processors = sysconf(_SC_NPROCESSORS_ONLN);
    uint32_t jobs = soak->jobs > 0 ? soak->jobs : (uint32_t)(processors > 0 ? processors : 1);
    struct soaking soaking = {.soak = soak,
                              .lane_count = jobs < SIM_JOBS_MAX ? jobs : SIM_JOBS_MAX,
                              .begin_s = seconds(),
                              .terminal = isatty(STDERR_FILENO) == 1};
    if (soaking.lane_count > soak->count)
        soaking.lane_count = (uint32_t)soak->count;
    soaking.line_s = soaking.begin_s;
    size_t size = sizeof(*soaking.lanes) * soaking.lane_count;
    soaking.lanes = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    hd_assert(soaking.lanes != MAP_FAILED);
    for (uint32_t i = 0; i < soaking.lane_count; i++)
        start_lane(&soaking, i, soak->seed + i);
    while (look_after(&soaking)) {
        tell_failures(&soaking);
        tell_progress(&soaking);
        (void)poll(NULL, 0, LOOK_MS);
    }
    if (soaking.terminal)
        fputc('\n', stderr);
    uint64_t failures = show_all(&soaking, ret_cover);
    double spent_s = seconds() - soaking.begin_s;
    printf("%llu seeds in %.0f s on %u processes, %llu events, %llu failed\n",
           (unsigned long long)done(&soaking), spent_s, soaking.lane_count,
           (unsigned long long)ret_cover->events, (unsigned long long)failures);
    (void)munmap(soaking.lanes, size);
    return failures;
}
