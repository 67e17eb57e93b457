/* SPDX-License-Identifier: Apache-2.0 */
/*
 * preempt.c: what is lost when machines are taken away every ten minutes or so. The simulator's
 * cluster (the real core, agents and samplers, in virtual time) under a trace of kills: each
 * machine stays for an exponential time and another takes its place; they share a file system.
 * Wasted is what targets computed and had to compute again, starting up included, as a share of all
 * that they computed.
 *
 *   bench_preempt [SEEDS [MEAN_SECONDS]]
 */
#include <sim.h>

#include <stdio.h>
#include <string.h>

#define SPACE "{\"x\":{\"type\":\"float\",\"low\":0,\"high\":1}}"
#define GRACE_MS 30000

static const struct climate {
    const char *name;
    bool knows_end;
    int64_t grace_ms;
    bool checkpoint;
    double wasted_max; /* percent; more is a failure */
} climates[] = {
    {"killed, nobody is told", false, 0, false, 100},
    {"30 s notice, target starts again", false, GRACE_MS, false, 100},
    {"30 s notice, target keeps checkpoints", false, GRACE_MS, true, 5},
    {"known end, target starts again", true, GRACE_MS, false, 5},
    {"known end, target keeps checkpoints", true, GRACE_MS, true, 5},
};

static void make_plan(struct sim_plan *plan, const struct climate *climate, int64_t mean_ms,
                      uint64_t seed)
{
    memset(plan, 0, sizeof(*plan));
    plan->story = true; /* a job takes exactly its time */
    plan->climate.delay_min_ms = plan->climate.delay_max_ms = 1;
    plan->climate.down_max_ms = 30000; /* until the next machine is there */
    plan->climate.storm_ms = INT64_C(86400000) * 30;
    plan->master_count = plan->run_count = 1;
    plan->worker_count = SIM_WORKERS_MAX;
    for (uint32_t w = 0; w < plan->worker_count; w++)
        plan->workers[w] = (struct sim_worker_plan){.slots = 1,
                                                    .life_mean_ms = mean_ms,
                                                    .knows_end = climate->knows_end,
                                                    .grace_ms = climate->grace_ms};
    plan->runs[0] = (struct sim_run_plan){
        .run_id = "digits",
        .run_uid = seed,
        .seed = seed,
        .hyperband = true,
        .eta = 3,
        .budget_min = 1,
        .budget_max = 27,
        .iterations = 12,
        .retries_infra = 100,
        .base_ms = 2000,
        .per_budget_ms = 6000, /* 164 s at the full budget */
        .checkpoint = climate->checkpoint,
    };
    sim_run_plan_write(&plan->runs[0], "random", SPACE);
}

static bool measure(const struct climate *climate, uint64_t seeds, int64_t mean_ms,
                    struct sim_memory *memory)
{
    static struct sim_plan plan;
    static struct sim_cover cover;
    static const struct sim_options options = {0};
    struct sim_result result;
    memset(&cover, 0, sizeof(cover));
    for (uint64_t seed = 1; seed <= seeds; seed++) {
        make_plan(&plan, climate, mean_ms, seed);
        sim_run(seed, &plan, &options, memory, &cover, &result);
        if (result.failed) {
            printf("seed %llu, %s: %s: %s\n", (unsigned long long)seed, climate->name,
                   result.checker, result.text);
            return false;
        }
    }
    double wasted = 100.0 * (double)cover.lost_ms / (double)cover.computed_ms;
    printf("| %-37s | %6.2f %% | %7.1f h | %5llu |\n", climate->name, wasted,
           (double)cover.computed_ms / 3600e3 / (double)seeds,
           (unsigned long long)(cover.requeued[HD_OUTCOME_PREEMPTED] +
                                cover.requeued[HD_OUTCOME_INFRA]) /
               (unsigned long long)seeds);
    if (wasted >= climate->wasted_max)
        printf("more than %g %% wasted\n", climate->wasted_max);
    return wasted < climate->wasted_max;
}

int main(int argc, char **argv)
{
    int64_t seeds = 10, mean_s = 600;
    if ((argc > 1 && (!hd_parse_i64(argv[1], &seeds) || seeds < 1)) ||
        (argc > 2 && (!hd_parse_i64(argv[2], &mean_s) || mean_s < 1)) || argc > 3) {
        fprintf(stderr, "usage: bench_preempt [SEEDS [MEAN_SECONDS]]\n");
        return 2;
    }
    struct sim_memory *memory = sim_memory_new();
    printf("%u machines of %lld s on average, jobs of 8 to 164 s, %lld seeds\n\n", SIM_WORKERS_MAX,
           (long long)mean_s, (long long)seeds);
    printf(
        "| machines are taken away               | wasted   | computed  | handed back or lost |\n");
    printf("| --- | --- | --- | --- |\n");
    bool good = true;
    for (size_t i = 0; i < HD_COUNT(climates) && good; i++)
        good = measure(&climates[i], (uint64_t)seeds, mean_s * 1000, memory);
    sim_memory_free(memory);
    return good ? 0 : 1;
}
