/* SPDX-License-Identifier: Apache-2.0 */
/*
 * shrink.c: takes away from a failing seed's plan what the failure does not need.
 *
 * Greedy: each fault, then runs, workers and the length of the storm; what is taken away stays
 * away when the same checker still fails. Each try is a process of its own, so that an assertion
 * of the code under test is a failure like any other.
 */
#include "soak.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#define STORM_MS_MIN 5000

static bool is_message_fault(int fault)
{
    return fault == SIM_FAULT_MESSAGE_DROP || fault == SIM_FAULT_MESSAGE_DUPLICATE ||
           fault == SIM_FAULT_MESSAGE_DELAY;
}

static uint32_t *message_permille(struct sim_climate *climate, int fault)
{
    return fault == SIM_FAULT_MESSAGE_DROP        ? &climate->drop_permille
           : fault == SIM_FAULT_MESSAGE_DUPLICATE ? &climate->duplicate_permille
                                                  : &climate->delay_permille;
}

static bool has_fault(struct sim_plan *plan, int fault)
{
    if (fault == SIM_FAULT_RIVAL_MASTER)
        return plan->rival.kind != SIM_RIVAL_NONE;
    if (fault == SIM_FAULT_STOLEN_ID) {
        for (uint32_t w = 0; w < plan->worker_count; w++)
            if (plan->workers[w].twin != SIM_TWIN_NONE)
                return true;
        return false;
    }
    return is_message_fault(fault) ? *message_permille(&plan->climate, fault) > 0
                                   : plan->climate.fault_mean_ms[fault] > 0;
}

void sim_plan_ease(struct sim_plan *plan, const struct sim_ease *ease)
{
    for (int fault = 0; fault < SIM_FAULT_COUNT; fault++) {
        if (!ease->without[fault])
            continue;
        plan->climate.fault_mean_ms[fault] = 0;
        if (is_message_fault(fault))
            *message_permille(&plan->climate, fault) = 0;
    }
    if (ease->without[SIM_FAULT_RIVAL_MASTER])
        plan->rival.kind = SIM_RIVAL_NONE;
    for (uint32_t w = 0; w < plan->worker_count && ease->without[SIM_FAULT_STOLEN_ID]; w++)
        plan->workers[w].twin = SIM_TWIN_NONE;
    /* The rival's runs lie behind the others: they stay as they are. */
    if (ease->runs_max > 0 && plan->rival.run_count == 0 && plan->run_count > ease->runs_max)
        plan->run_count = ease->runs_max;
    if (plan->master_count > plan->run_count)
        plan->master_count = plan->run_count;
    if (ease->workers_max > 0 && plan->worker_count > ease->workers_max)
        plan->worker_count = ease->workers_max;
    if (ease->storm_max_ms > 0 && plan->climate.storm_ms > ease->storm_max_ms)
        plan->climate.storm_ms = ease->storm_max_ms;
}

/* ---- trying --------------------------------------------------------------------------------- */

struct sim_result sim_try(uint64_t seed, const struct sim_ease *ease,
                          const struct sim_options *options)
{
    struct sim_result *shared =
        mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    hd_assert(shared != MAP_FAILED);
    fflush(NULL);
    pid_t pid = fork();
    hd_assert(pid >= 0);
    if (pid == 0) {
        static struct sim_plan plan;
        static struct sim_cover cover;
        struct sim_result result;
        sim_plan_draw(seed, &plan);
        sim_plan_ease(&plan, ease);
        sim_run(seed, &plan, options, sim_memory_new(), &cover, &result);
        *shared = result;
        _exit(0);
    }
    int status;
    (void)waitpid(pid, &status, 0);
    struct sim_result result = *shared;
    (void)munmap(shared, sizeof(*shared));
    if (!WIFEXITED(status)) {
        result = (struct sim_result){.failed = true, .checker = SIM_DIED};
        snprintf(result.text, sizeof(result.text), "ended by signal %d", WTERMSIG(status));
    }
    return result;
}

struct shrinking {
    uint64_t seed;
    const struct sim_options *options;
    const char *checker;
    uint32_t tries;
};

/* Checkers' names are in the program itself: the same address in a forked child. */
static bool still_fails(struct shrinking *shrinking, const struct sim_ease *ease)
{
    struct sim_result result = sim_try(shrinking->seed, ease, shrinking->options);
    shrinking->tries++;
    return result.failed && hd_streq(result.checker, shrinking->checker);
}

/* ---- taking away ---------------------------------------------------------------------------- */

/* Returns whether any went. */
static bool drop_faults(struct shrinking *shrinking, struct sim_ease *ease)
{
    bool any = false;
    static struct sim_plan plan;
    sim_plan_draw(shrinking->seed, &plan);
    for (int fault = 0; fault < SIM_FAULT_COUNT; fault++) {
        if (ease->without[fault] || !has_fault(&plan, fault))
            continue;
        ease->without[fault] = true;
        ease->without[fault] = still_fails(shrinking, ease);
        any = any || ease->without[fault];
    }
    return any;
}

/* The smallest of 1..count that still fails, tried upwards: these counts are small. */
static uint32_t least(struct shrinking *shrinking, struct sim_ease *ease, uint32_t *field,
                      uint32_t count)
{
    for (*field = 1; *field < count; ++*field)
        if (still_fails(shrinking, ease))
            return *field;
    return *field = 0;
}

static void shorten_storm(struct shrinking *shrinking, struct sim_ease *ease, int64_t storm_ms)
{
    for (int64_t half_ms = storm_ms / 2; half_ms >= STORM_MS_MIN; half_ms /= 2) {
        int64_t before_ms = ease->storm_max_ms;
        ease->storm_max_ms = half_ms;
        if (still_fails(shrinking, ease))
            continue;
        ease->storm_max_ms = before_ms;
        return;
    }
}

uint32_t sim_shrink(uint64_t seed, const struct sim_options *options, const char *checker,
                    struct sim_ease *ret_ease)
{
    static struct sim_plan plan;
    struct shrinking shrinking = {seed, options, checker, 0};
    struct sim_ease ease = {0};
    sim_plan_draw(seed, &plan);
    (void)least(&shrinking, &ease, &ease.runs_max, plan.run_count);
    (void)least(&shrinking, &ease, &ease.workers_max, plan.worker_count);
    /* Each that goes changes the moments of the others, so what was needed may not be now. */
    while (drop_faults(&shrinking, &ease))
        ;
    shorten_storm(&shrinking, &ease, plan.climate.storm_ms);
    *ret_ease = ease;
    return shrinking.tries;
}

/* ---- telling -------------------------------------------------------------------------------- */

static void print_plan(uint64_t seed, const struct sim_ease *ease)
{
    static struct sim_plan plan;
    sim_plan_draw(seed, &plan);
    sim_plan_ease(&plan, ease);
    printf("  masters %u, workers %u, runs %u, a storm of %lld s:", plan.master_count,
           plan.worker_count, plan.run_count, (long long)plan.climate.storm_ms / 1000);
    bool any = false;
    for (int fault = 0; fault < SIM_FAULT_COUNT; fault++)
        if (has_fault(&plan, fault)) {
            printf(" %s", sim_fault_name((enum sim_fault)fault));
            any = true;
        }
    printf("%s\n", any ? "" : " fair weather");
}

void sim_failure_print(uint64_t seed, const struct sim_result *result, const struct sim_ease *ease,
                       const struct sim_options *options)
{
    printf("seed %llu: %s at %lld ms: %s\n", (unsigned long long)seed, result->checker,
           (long long)result->at_ms, result->text);
    print_plan(seed, ease);
    printf("  again: hd-sim %llu 1 --trace", (unsigned long long)seed);
    if (ease->runs_max > 0)
        printf(" --runs %u", ease->runs_max);
    if (ease->workers_max > 0)
        printf(" --workers %u", ease->workers_max);
    if (ease->storm_max_ms > 0)
        printf(" --storm %lld", (long long)ease->storm_max_ms);
    for (int fault = 0; fault < SIM_FAULT_COUNT; fault++)
        if (ease->without[fault])
            printf(" --without %s", sim_fault_name((enum sim_fault)fault));
    if (options->plant != SIM_PLANT_NONE)
        printf(" --plant %s", sim_plant_name(options->plant));
    printf("\n");
    fflush(stdout);
}
