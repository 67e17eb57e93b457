/* SPDX-License-Identifier: Apache-2.0 */
/* draw.c: a seed becomes a plan: who is there, what is tried, and what weather it is. */
#include "cluster.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

static uint32_t below(struct hd_rng *rng, uint32_t bound)
{
    return (uint32_t)hd_rng_below(rng, bound);
}

static bool chance(struct hd_rng *rng, uint32_t percent)
{
    return below(rng, 100) < percent;
}

static int64_t between(struct hd_rng *rng, int64_t low, int64_t high)
{
    return low + (int64_t)hd_rng_below(rng, (uint64_t)(high - low) + 1);
}

/* ---- runs
 * -------------------------------------------------------------------------------------------- */

static const char *const spaces[] = {
    "{\"x\":{\"type\":\"float\",\"low\":0,\"high\":1},"
    "\"y\":{\"type\":\"float\",\"low\":0.001,\"high\":10,\"log\":true}}",
    "{\"x\":{\"type\":\"float\",\"low\":-1,\"high\":1},"
    "\"units\":{\"type\":\"int\",\"low\":1,\"high\":64,\"log\":true},"
    "\"kind\":{\"type\":\"categorical\",\"choices\":[\"a\",\"b\",\"c\"]}}",
    "{\"on\":{\"type\":\"bool\"},\"size\":{\"type\":\"ordinal\",\"choices\":[1,2,4]},"
    "\"x\":{\"type\":\"float\",\"low\":0,\"high\":1}}",
    /* so small that it runs out: eight configs */
    "{\"on\":{\"type\":\"bool\"},\"n\":{\"type\":\"int\",\"low\":0,\"high\":3}}",
};

static void append(char *text, size_t size, const char *fmt, ...) HD_PRINTF(3, 4);
static void append(char *text, size_t size, const char *fmt, ...)
{
    size_t used = strlen(text);
    va_list args;
    va_start(args, fmt);
    int more = vsnprintf(text + used, size - used, fmt, args);
    va_end(args);
    hd_assert(more >= 0 && used + (size_t)more < size);
}

static void write_objective(const struct sim_run_plan *run, char *text, size_t size)
{
    if (run->several) {
        append(text, size, "\"objective\":[\"loss\",\"cost\"],");
        if (run->constrained)
            append(text, size, "\"constraints\":[{\"name\":\"weight\",\"max\":%.17g}],",
                   SIM_MEASURE_BOUND);
        return;
    }
    append(text, size, "\"objective\":{\"name\":\"loss\"");
    if (run->has_goal)
        append(text, size, ",\"goal\":%.17g", run->goal);
    append(text, size, "},");
}

void sim_run_plan_write(struct sim_run_plan *run, const char *sampler, const char *space)
{
    run->sampler = sampler;
    run->space = space;
    char *text = run->experiment;
    size_t size = sizeof(run->experiment);
    text[0] = '\0';
    const char *generator =
        run->full ? "full" : (run->hyperband ? "hyperband" : "successive_halving");
    if (run->asha != SIM_ASHA_NONE)
        generator = "asha";
    append(text, size,
           "{\"name\":\"%s\",\"target\":{\"command\":[\"./target\"],"
           "\"retries\":{\"infra\":%u,\"failed\":%u},\"checkpoint\":%s},",
           run->run_id, run->retries_infra, run->retries_failed,
           run->checkpoint ? "true" : "false");
    write_objective(run, text, size);
    if (run->repeats > 0)
        append(text, size, "\"noise\":{\"repeats\":%u,\"share\":%.17g},", run->repeats, run->share);
    append(text, size, "\"space\":%s,\"sampler\":{\"name\":\"%s\"},", space, sampler);
    append(text, size, "\"iteration_generator\":{\"name\":\"%s\"", generator);
    if (!run->full)
        append(text, size, ",\"eta\":%u", run->eta);
    if (run->asha == SIM_ASHA_STOPPING)
        append(text, size, ",\"type\":\"stopping\"");
    if (run->opening > 0)
        append(text, size, ",\"opening\":%u", run->opening);
    if (run->early != SIM_EARLY_NONE)
        append(text, size,
               ",\"early_stopping\":{\"rule\":\"%s\",\"grace\":%.17g,\"curves_min\":%u,"
               "\"optimism\":%g}",
               run->early == SIM_EARLY_MEDIAN ? "median" : "curve", run->budget_min,
               SIM_EARLY_CURVES_MIN, SIM_EARLY_OPTIMISM);
    append(text, size, "},\"budget\":{\"min\":%.17g,\"max\":%.17g},", run->budget_min,
           run->budget_max);
    append(text, size, "\"stop\":{\"iterations\":%u", run->iterations);
    if (run->configs_max > 0)
        append(text, size, ",\"configs\":%u", run->configs_max);
    if (run->jobs_max > 0)
        append(text, size, ",\"jobs\":%u", run->jobs_max);
    if (run->full_evaluations_max > 0)
        append(text, size, ",\"full_evaluations\":%u", run->full_evaluations_max);
    if (run->failures_max > 0)
        append(text, size, ",\"failures\":%u", run->failures_max);
    if (run->time_max_ms > 0)
        append(text, size, ",\"time\":\"%lldms\"", (long long)run->time_max_ms);
    append(text, size, "},\"pause_after_failures\":%u,\"priority\":%d", run->pause_after,
           run->priority);
    if (run->keep_work > 0)
        append(text, size, ",\"keep_work\":%u", run->keep_work);
    if (run->no_holder_wait)
        append(text, size, ",\"holder_wait\":\"0s\"");
    if (run->queue_max > 0)
        append(text, size, ",\"job_queue_sizes\":[%d,%d]", run->queue_min, run->queue_max);
    append(text, size, "}");
}

static void draw_ladder(struct hd_rng *rng, struct sim_run_plan *run)
{
    run->full = chance(rng, 30);
    run->hyperband = chance(rng, 45);
    run->eta = 2 + below(rng, 3);
    uint32_t steps = run->full ? 0 : below(rng, run->eta == 2 ? 4 : 3);
    run->budget_min = chance(rng, 70) ? 1 : 0.25 * (double)(1 + below(rng, 9));
    run->budget_max = run->budget_min;
    for (uint32_t i = 0; i < steps; i++)
        run->budget_max *= run->eta;
    if (chance(rng, 20))
        run->budget_max += 0.5; /* the lowest rung is then above the minimum */
    run->iterations = run->full ? 2 + below(rng, chance(rng, 40) ? 40 : 14) : 1 + below(rng, 3);
    if (run->eta == 4 && steps == 2)
        run->iterations = 1;
}

/* From a stream of its own: the other seeds keep their meaning. */
static void draw_asha(struct sim_run_plan *run)
{
    struct hd_rng rng;
    hd_rng_fork(run->run_uid, "asha", 0, &rng);
    if (run->full || run->budget_max < run->budget_min * run->eta || !chance(&rng, 35))
        return;
    run->hyperband = false;
    run->asha = chance(&rng, 50) ? SIM_ASHA_PROMOTION : SIM_ASHA_STOPPING;
    if (run->asha == SIM_ASHA_STOPPING)
        run->curves = true;
}

/* Likewise. */
static void draw_opening(struct sim_run_plan *run)
{
    struct hd_rng rng;
    hd_rng_fork(run->run_uid, "opening", 0, &rng);
    if (run->asha != SIM_ASHA_PROMOTION || !chance(&rng, 50))
        return;
    run->opening = 2 + below(&rng, 12);
    if (run->eta == 2 && chance(&rng, 50)) /* rungs enough to begin above the lowest one */
        run->budget_max = run->budget_min * 16;
}

/* Likewise. */
static void draw_early(struct sim_run_plan *run)
{
    struct hd_rng rng;
    hd_rng_fork(run->run_uid, "early", 0, &rng);
    if (run->asha != SIM_ASHA_NONE || run->budget_max <= run->budget_min || !chance(&rng, 30))
        return;
    run->early = chance(&rng, 50) ? SIM_EARLY_MEDIAN : SIM_EARLY_CURVE;
    if (run->early == SIM_EARLY_CURVE) { /* it needs results of the highest budget */
        run->full = true;
        run->iterations = 6 + below(&rng, 20);
    }
    run->curves = true;
}

/* Likewise. */
static void draw_noise(struct sim_run_plan *run)
{
    struct hd_rng rng;
    hd_rng_fork(run->run_uid, "noise", 0, &rng);
    if (!chance(&rng, 25))
        return;
    run->repeats = 2 + below(&rng, 4);
    run->share = 0.2 + 0.6 * hd_rng_double(&rng);
    run->has_goal = false; /* its estimate is nothing that the ledger folds */
}

/* Likewise. What is promoted from rung to rung is checked with one loss alone. */
static void draw_objectives(struct sim_run_plan *run)
{
    struct hd_rng rng;
    hd_rng_fork(run->run_uid, "objectives", 0, &rng);
    if (!run->full || run->early != SIM_EARLY_NONE || run->repeats > 0 || run->has_goal ||
        !chance(&rng, 40))
        return;
    run->several = true;
    run->constrained = chance(&rng, 50);
}

/* Likewise. */
static void draw_known(struct sim_run_plan *run)
{
    struct hd_rng rng;
    hd_rng_fork(run->run_uid, "known", 0, &rng);
    if (chance(&rng, 15))
        run->known = 1 + below(&rng, 30);
}

/* Likewise; the best are known of one objective without noise. */
static void draw_keep(struct sim_run_plan *run)
{
    struct hd_rng rng;
    hd_rng_fork(run->run_uid, "keep", 0, &rng);
    if (!run->several && run->repeats == 0 && chance(&rng, 60))
        run->keep_work = 1 + below(&rng, 3);
}

static void draw_limits(struct hd_rng *rng, struct sim_run_plan *run)
{
    run->retries_infra = below(rng, 4);
    run->retries_failed = below(rng, 3);
    run->pause_after = chance(rng, 50) ? 5 : below(rng, 8);
    run->priority = (int32_t)below(rng, 3);
    if (chance(rng, 15))
        run->configs_max = 1 + below(rng, 12);
    if (chance(rng, 15))
        run->jobs_max = 1 + below(rng, 20);
    if (chance(rng, 10))
        run->full_evaluations_max = 1 + below(rng, 3);
    if (chance(rng, 7))
        run->failures_max = 1 + below(rng, 6);
    if (chance(rng, 8))
        run->time_max_ms = between(rng, 20000, 200000);
    if (chance(rng, 15)) {
        run->has_goal = true;
        run->goal = 0.05 + hd_rng_double(rng);
    }
    if (chance(rng, 30)) {
        run->queue_max = 1 + (int32_t)below(rng, 4);
        run->queue_min = (int32_t)below(rng, (uint32_t)run->queue_max);
    }
}

static void draw_target(struct hd_rng *rng, struct sim_run_plan *run)
{
    run->base_ms = between(rng, 50, 4000);
    run->per_budget_ms = chance(rng, 60) ? between(rng, 0, 3000) : 0;
    if (chance(rng, 20))
        run->base_ms += 30000; /* longer than a lease: pings must carry it */
    run->straggler_permille = chance(rng, 30) ? 100 : 0;
    run->failing_permille = chance(rng, 30) ? below(rng, 600) : 0;
    run->diverging_permille = chance(rng, 30) ? below(rng, 400) : 0;
    run->flaky_permille = chance(rng, 40) ? below(rng, 400) : 0;
    run->curves = chance(rng, 30);
    if (chance(rng, 10))
        run->timeout_ms = run->base_ms + run->per_budget_ms * (int64_t)run->budget_max;
}

static void draw_run(struct hd_rng *rng, uint32_t number, uint32_t master, struct sim_run_plan *run)
{
    hd_format(run->run_id, sizeof(run->run_id), "r%u", number);
    run->run_uid = hd_rng_u64(rng) | 1;
    run->seed = hd_rng_u64(rng);
    run->master = master;
    run->submit_ms = chance(rng, 70) ? 0 : between(rng, 0, 20000);
    draw_ladder(rng, run);
    draw_limits(rng, run);
    draw_target(rng, run);
    draw_asha(run);
    draw_opening(run);
    draw_early(run);
    draw_noise(run);
    draw_objectives(run);
    draw_known(run);
    draw_keep(run);
    static const char *const samplers[] = {"random", "random", "tpe", "tpe", "sobol"};
    const char *sampler = samplers[below(rng, HD_COUNT(samplers))];
    uint32_t space = chance(rng, 12) ? 3 : below(rng, 3);
    sim_run_plan_write(run, sampler, spaces[space]);
}

/* ---- weather
 * ------------------------------------------------------------------------------------------- */

static void draw_climate(struct hd_rng *rng, struct sim_climate *climate)
{
    climate->delay_min_ms = between(rng, 0, 3);
    climate->delay_max_ms = climate->delay_min_ms + between(rng, 0, chance(rng, 30) ? 1500 : 20);
    climate->late_max_ms = between(rng, 100, chance(rng, 30) ? 60000 : 5000);
    climate->commit_max_ms = chance(rng, 20) ? 1500 : between(rng, 0, 15);
    climate->sampler_max_ms = chance(rng, 20) ? 3000 : between(rng, 0, 30);
    climate->down_max_ms = between(rng, 1000, 90000);
    climate->new_port = chance(rng, 40);
    climate->storm_ms = between(rng, 15000, 200000);
    if (chance(rng, 12))
        return; /* fair weather: what fails here fails without any excuse */
    climate->drop_permille = chance(rng, 50) ? below(rng, 200) : 0;
    climate->duplicate_permille = chance(rng, 50) ? below(rng, 300) : 0;
    climate->delay_permille = chance(rng, 50) ? below(rng, 300) : 0;
    for (int fault = 0; fault <= SIM_FAULT_PERSON_SETS_LIMIT; fault++)
        if (chance(rng, 30))
            climate->fault_mean_ms[fault] = between(rng, 8000, 120000);
    /* What a person does is rarer than what machines do. */
    for (int fault = SIM_FAULT_PERSON_PAUSE; fault <= SIM_FAULT_PERSON_SETS_LIMIT; fault++)
        if (!chance(rng, 40))
            climate->fault_mean_ms[fault] = 0;
    if (chance(rng, 6)) /* somebody who cannot leave it alone */
        for (int fault = SIM_FAULT_PERSON_PAUSE; fault <= SIM_FAULT_PERSON_SETS_LIMIT; fault++)
            climate->fault_mean_ms[fault] = between(rng, 5000, 40000);
}

/* Runs that wait for no holder of a directory. */
static void draw_holders(uint64_t seed, struct sim_plan *plan)
{
    struct hd_rng rng;
    hd_rng_fork(seed, "holders", 0, &rng);
    for (uint32_t r = 0; r < plan->run_count; r++)
        plan->runs[r].no_holder_wait = chance(&rng, 15);
}

/* Machines that are lent for a while: some say until when, some only at the last moment. */
static void draw_lives(uint64_t seed, struct sim_plan *plan)
{
    struct hd_rng rng;
    hd_rng_fork(seed, "lives", 0, &rng);
    for (uint32_t r = 0; r < plan->run_count; r++) {
        struct sim_run_plan *run = &plan->runs[r];
        run->checkpoint = chance(&rng, 30);
        sim_run_plan_write(run, run->sampler, run->space);
    }
    bool lent = chance(&rng, 25);
    for (uint32_t w = 0; w < plan->worker_count; w++) {
        struct sim_worker_plan *worker = &plan->workers[w];
        if (!lent || chance(&rng, 30))
            continue;
        worker->life_mean_ms = between(&rng, 10000, 60000);
        worker->knows_end = chance(&rng, 50);
        worker->grace_ms = between(&rng, 100, 10000);
    }
}

/* From a stream of its own: the other seeds keep their meaning. */
static void draw_strangers(uint64_t seed, struct sim_climate *climate)
{
    struct hd_rng rng;
    hd_rng_fork(seed, "strangers", 0, &rng);
    if (!chance(&rng, 20))
        return;
    for (int fault = SIM_FAULT_MESSAGE_REPLAYED; fault <= SIM_FAULT_OLD_RESULT; fault++)
        if (chance(&rng, 70))
            climate->fault_mean_ms[fault] = between(&rng, 1000, 20000);
}

/* Likewise: somebody has failed jobs run again, and others that did not fail. What a curve decides
 * is counted again by checkers that know one job of a config at a time. */
static void draw_requeues(uint64_t seed, struct sim_plan *plan)
{
    struct hd_rng rng;
    hd_rng_fork(seed, "requeues", 0, &rng);
    for (uint32_t r = 0; r < plan->run_count; r++)
        if (plan->runs[r].early != SIM_EARLY_NONE || plan->runs[r].asha == SIM_ASHA_STOPPING)
            return;
    if (chance(&rng, 20))
        plan->climate.fault_mean_ms[SIM_FAULT_PERSON_REQUEUES_JOB] = between(&rng, 1000, 20000);
}

/* From a stream of its own, as above: another master under the same run ids. */
static void draw_rival(uint64_t seed, struct sim_plan *plan)
{
    struct hd_rng rng;
    hd_rng_fork(seed, "rival", 0, &rng);
    if (plan->master_count > 1 || !chance(&rng, 12))
        return;
    int64_t storm_ms = plan->climate.storm_ms;
    plan->rival.kind = chance(&rng, 60) ? SIM_RIVAL_COPY : SIM_RIVAL_EMPTY;
    plan->rival.start_ms = between(&rng, 2000, storm_ms - 2000);
    plan->rival.copied_ms = between(&rng, plan->rival.start_ms / 4, plan->rival.start_ms);
    plan->rival.stays = chance(&rng, 35);
    plan->shutdown_workers = false;
    if (chance(&rng, 60))
        plan->climate.fault_mean_ms[SIM_FAULT_MASTER_CUT_OFF] = between(&rng, 8000, 60000);
    if (plan->rival.kind == SIM_RIVAL_COPY)
        return;
    for (uint32_t r = 0; r < plan->run_count; r++) {
        struct sim_run_plan *theirs = &plan->runs[plan->run_count + plan->rival.run_count++];
        *theirs = plan->runs[r];
        theirs->run_uid ^= hd_rng_u64(&rng) << 1;
        theirs->seed = hd_rng_u64(&rng);
        theirs->master = 1;
        theirs->submit_ms = plan->rival.start_ms + between(&rng, 0, 3000);
    }
}

/* Likewise: a worker whose disk was copied, or that was given the id of another. */
static void draw_twins(uint64_t seed, struct sim_plan *plan)
{
    struct hd_rng rng;
    hd_rng_fork(seed, "twins", 0, &rng);
    if (plan->worker_count < 2 || !chance(&rng, 12))
        return;
    uint32_t w = plan->worker_count - 1;
    struct sim_worker_plan *twin = &plan->workers[w];
    uint32_t of = below(&rng, w);
    *twin = plan->workers[of];
    twin->twin = chance(&rng, 70) ? SIM_TWIN_COPY : SIM_TWIN_EMPTY;
    twin->twin_of = of;
    twin->root = SIM_WORKERS_MAX;
    twin->start_ms = between(&rng, 1000, plan->climate.storm_ms);
    twin->life_mean_ms = plan->workers[of].life_mean_ms = 0;
    twin->knows_end = plan->workers[of].knows_end = false;
}

/* Likewise: without it configs whose holder is gone begin from the start. */
static void draw_travel(uint64_t seed, struct sim_plan *plan)
{
    struct hd_rng rng;
    hd_rng_fork(seed, "travel", 0, &rng);
    plan->travels = chance(&rng, 50);
}

void sim_plan_draw(uint64_t seed, struct sim_plan *ret_plan)
{
    struct hd_rng rng;
    hd_rng_fork(seed, "plan", 0, &rng);
    struct sim_plan *plan = ret_plan;
    memset(plan, 0, sizeof(*plan));
    draw_climate(&rng, &plan->climate);
    plan->master_count = chance(&rng, 85) ? 1 : 2;
    plan->worker_count = 1 + below(&rng, SIM_WORKERS_MAX);
    plan->run_count = chance(&rng, 70) ? 1 : 1 + below(&rng, SIM_RUNS_MAX);
    if (plan->run_count < plan->master_count)
        plan->run_count = plan->master_count;
    for (uint32_t r = 0; r < plan->run_count; r++)
        draw_run(&rng, r, r % plan->master_count, &plan->runs[r]);
    bool shared = chance(&rng, 35);
    for (uint32_t w = 0; w < plan->worker_count; w++) {
        struct sim_worker_plan *worker = &plan->workers[w];
        worker->slots = 1 + below(&rng, 3);
        worker->root = shared ? below(&rng, 2) : w;
        worker->start_ms = chance(&rng, 70) ? 0 : between(&rng, 0, 30000);
        /* One worker at least serves any run, or some run would have nobody. */
        if (w > 0 && chance(&rng, 15))
            hd_format(worker->run_id, sizeof(worker->run_id), "r%u", below(&rng, plan->run_count));
    }
    draw_holders(seed, plan);
    draw_lives(seed, plan); /* which writes the experiments */
    draw_strangers(seed, &plan->climate);
    draw_requeues(seed, plan);
    plan->resume_paused = chance(&rng, 80);
    /* With several runs whoever has served one may leave before the next is there. */
    plan->shutdown_workers = plan->run_count == 1 && chance(&rng, 30);
    draw_rival(seed, plan);
    draw_twins(seed, plan);
    draw_travel(seed, plan);
}

void sim_plan_alone(struct sim_plan *plan, bool with_kills)
{
    struct sim_climate *climate = &plan->climate;
    memset(climate->fault_mean_ms, 0, sizeof(climate->fault_mean_ms));
    climate->drop_permille = climate->duplicate_permille = climate->delay_permille = 0;
    for (int fault = 0; fault < SIM_FAULT_COUNT && with_kills; fault++)
        if (fault == SIM_FAULT_WORKER_CRASH || fault == SIM_FAULT_MASTER_CRASH ||
            fault == SIM_FAULT_CRASH_BEFORE_COMMIT || fault == SIM_FAULT_CRASH_AFTER_COMMIT)
            climate->fault_mean_ms[fault] = 20000;
    plan->master_count = plan->run_count = plan->worker_count = 1;
    plan->rival.kind = SIM_RIVAL_NONE;
    plan->workers[0].slots = 1;
    plan->workers[0].life_mean_ms = 0;
    plan->shutdown_workers = false;
    struct sim_run_plan *run = &plan->runs[0];
    /* What depends on how often or how long something was tried is out of the comparison. */
    run->flaky_permille = 0;
    run->time_max_ms = 0;
    run->pause_after = 0;
    run->timeout_ms = 0;
    run->retries_failed = 0; /* a back-off gives way to other jobs for a while */
    run->retries_infra = 100;
    run->queue_max = run->queue_min = 0;
    sim_run_plan_write(run, run->sampler, run->space);
}
