/* SPDX-License-Identifier: Apache-2.0 */
#include "cluster.h"

#include <stdlib.h>
#include <string.h>

#define CHUNK_SIZE (512u * 1024u)
#define CHUNKS_MAX 4096
#define EVENTS_MAX 2000000
#define TICK_MS 1000
#define RESUME_WORKERS_MS 60000
#define SETTLE_MS 90000

/* ---- memory ---------------------------------------------------------------------------------- */

struct sim_memory {
    char *chunks[CHUNKS_MAX];
    size_t chunk_count;
    size_t chunk_index;
    size_t used;
};

struct sim_memory *sim_memory_new(void)
{
    struct sim_memory *memory = calloc(1, sizeof(*memory));
    hd_assert(memory != NULL);
    return memory;
}

void sim_memory_free(struct sim_memory *memory)
{
    if (memory == NULL)
        return;
    for (size_t i = 0; i < memory->chunk_count; i++)
        free(memory->chunks[i]);
    free(memory);
}

static void memory_reset(struct sim_memory *memory)
{
    memory->chunk_index = 0;
    memory->used = 0;
}

static void *memory_alloc(struct sim_memory *memory, size_t size)
{
    size = (size + 15u) & ~(size_t)15u;
    hd_assert(size <= CHUNK_SIZE);
    if (memory->chunk_count > 0 && memory->used + size > CHUNK_SIZE) {
        memory->chunk_index++;
        memory->used = 0;
    }
    if (memory->chunk_index >= memory->chunk_count) {
        hd_assert(memory->chunk_count < CHUNKS_MAX);
        char *chunk = malloc(CHUNK_SIZE);
        hd_assert(chunk != NULL);
        memory->chunks[memory->chunk_count++] = chunk;
    }
    void *at = memory->chunks[memory->chunk_index] + memory->used;
    memory->used += size;
    return at;
}

void *sim_alloc_raw(struct sim *sim, size_t size)
{
    return memory_alloc(sim->memory, size);
}

void *sim_alloc(struct sim *sim, size_t size)
{
    return memset(memory_alloc(sim->memory, size), 0, size);
}

char *sim_text(struct sim *sim, const char *text)
{
    if (text == NULL)
        text = "";
    size_t size = strlen(text) + 1;
    char *copy = sim_alloc(sim, size);
    memcpy(copy, text, size);
    return copy;
}

const char *sim_format(struct sim *sim, const char *fmt, ...)
{
    char text[512];
    va_list args;
    va_start(args, fmt);
    vsnprintf(text, sizeof(text), fmt, args);
    va_end(args);
    return sim_text(sim, text);
}

void *sim_grow(struct sim *sim, void *items, size_t item_size, size_t count, size_t *capacity)
{
    if (count < *capacity)
        return items;
    size_t bigger = *capacity == 0 ? 16 : *capacity * 2;
    void *grown = sim_alloc(sim, bigger * item_size);
    if (count > 0)
        memcpy(grown, items, count * item_size);
    *capacity = bigger;
    return grown;
}

/* ---- time: a binary heap by (at, order) --------------------------------------------------------
 */

static bool event_before(const struct sim_event *a, const struct sim_event *b)
{
    return a->at_ms != b->at_ms ? a->at_ms < b->at_ms : a->order < b->order;
}

void sim_at(struct sim *sim, int64_t at_ms, sim_fire_fn fire, uint32_t who, uint64_t epoch,
            void *data)
{
    sim->heap = sim_grow(sim, sim->heap, sizeof(*sim->heap), sim->heap_count, &sim->heap_capacity);
    struct sim_event event = {
        at_ms < sim->now_ms ? sim->now_ms : at_ms, ++sim->order, fire, who, epoch, data};
    size_t at = sim->heap_count++;
    while (at > 0) {
        size_t parent = (at - 1) / 2;
        if (!event_before(&event, &sim->heap[parent]))
            break;
        sim->heap[at] = sim->heap[parent];
        at = parent;
    }
    sim->heap[at] = event;
}

static bool pop_event(struct sim *sim, struct sim_event *ret_event)
{
    if (sim->heap_count == 0)
        return false;
    *ret_event = sim->heap[0];
    struct sim_event last = sim->heap[--sim->heap_count];
    size_t at = 0;
    for (;;) {
        size_t child = 2 * at + 1;
        if (child >= sim->heap_count)
            break;
        if (child + 1 < sim->heap_count && event_before(&sim->heap[child + 1], &sim->heap[child]))
            child++;
        if (!event_before(&sim->heap[child], &last))
            break;
        sim->heap[at] = sim->heap[child];
        at = child;
    }
    sim->heap[at] = last;
    return true;
}

bool sim_chance(struct sim *sim, uint32_t permille)
{
    return permille > 0 && hd_rng_below(&sim->rng, 1000) < permille;
}

int64_t sim_between(struct sim *sim, int64_t low_ms, int64_t high_ms)
{
    if (high_ms <= low_ms)
        return low_ms;
    return low_ms + (int64_t)hd_rng_below(&sim->rng, (uint64_t)(high_ms - low_ms) + 1);
}

/* ---- trace and failure
 * --------------------------------------------------------------------------- */

static void print_line(struct sim *sim, const char *fmt, va_list args) HD_PRINTF(2, 0);
static void print_line(struct sim *sim, const char *fmt, va_list args)
{
    fprintf(sim->options->trace, "[%7lld] ", (long long)sim->now_ms);
    vfprintf(sim->options->trace, fmt, args);
    fputc('\n', sim->options->trace);
}

void sim_trace(struct sim *sim, const char *fmt, ...)
{
    if (sim->options->trace == NULL || sim->options->trace_story)
        return;
    va_list args;
    va_start(args, fmt);
    print_line(sim, fmt, args);
    va_end(args);
}

void sim_tell(struct sim *sim, const char *fmt, ...)
{
    if (sim->options->trace == NULL)
        return;
    va_list args;
    va_start(args, fmt);
    print_line(sim, fmt, args);
    va_end(args);
}

void sim_fail(struct sim *sim, const char *checker, const char *fmt, ...)
{
    if (sim->result->failed)
        return; /* the first failure is the cause; what follows is its shadow */
    size_t index;
    if (sim_checker_find(checker, &index) && sim->options->disabled[index]) {
        sim->over = true; /* nobody looks, and beyond this nothing makes sense */
        return;
    }
    sim->result->failed = true;
    sim->result->checker = checker;
    sim->result->at_ms = sim->now_ms;
    va_list args;
    va_start(args, fmt);
    vsnprintf(sim->result->text, sizeof(sim->result->text), fmt, args);
    va_end(args);
    sim_tell(sim, "FAILED %s: %s", checker, sim->result->text);
}

/* ---- phases
 * --------------------------------------------------------------------------------------- */

struct sim_ledger_run *sim_find_run(struct sim *sim, uint64_t run_uid,
                                    struct sim_master **ret_master)
{
    for (uint32_t m = 0; m < sim->master_count; m++) {
        struct sim_ledger_run *run = sim_ledger_find(&sim->masters[m].ledger, run_uid);
        /* Of a copied state the one that goes on. */
        bool other = sim->plan->rival.kind == SIM_RIVAL_COPY && m != sim_serving(sim, 0);
        if (run == NULL || other)
            continue;
        if (ret_master != NULL)
            *ret_master = &sim->masters[m];
        return run;
    }
    return NULL;
}

/* Every run of the plan exists and is at an end, with no attempt believed alive. */
static bool all_over(struct sim *sim)
{
    for (uint32_t r = 0; r < sim_run_total(sim); r++) {
        struct sim_ledger_run *run = sim_find_run(sim, sim->plan->runs[r].run_uid, NULL);
        if (sim_is_served(sim, r) && (run == NULL || !sim_run_over(run)))
            return false;
    }
    for (size_t t = 0; t < sim->task_count; t++)
        if (sim->tasks[t]->wanted && !sim->tasks[t]->done)
            return false;
    return true;
}

/* Faults cease: the dead are started, links heal. What is paused by a person stays so, or not. */
static void begin_calm(struct sim *sim)
{
    sim->calm = true;
    sim_trace(sim, "calm");
    memset(sim->cut_until_ms, 0, sizeof(sim->cut_until_ms));
    sim->nameserver_down_until_ms = 0;
    sim_rival_calm(sim);
    for (uint32_t m = 0; m < sim->master_count; m++) {
        sim->masters[m].full_until_ms = 0;
        sim->masters[m].crash_before = false;
        sim->masters[m].crash_after = false;
        sim->masters[m].fsync_fails = false;
        if (!sim->masters[m].alive && !sim->masters[m].gone)
            sim_master_start(sim, m);
    }
    for (uint32_t w = 0; w < sim->plan->worker_count; w++) {
        const struct sim_worker *worker = &sim->workers[w];
        if (worker->frozen_until_ms > sim->awake_ms)
            sim->awake_ms = worker->frozen_until_ms;
        if (worker->stalled_until_ms > sim->awake_ms)
            sim->awake_ms = worker->stalled_until_ms;
        if (!sim->workers[w].alive && !sim_twin_lives(sim, w))
            sim_worker_start(sim, w);
    }
    if (!sim->plan->resume_paused)
        return;
    for (uint32_t r = 0; r < sim_run_total(sim); r++) {
        struct sim_ledger_run *run = sim_find_run(sim, sim->plan->runs[r].run_uid, NULL);
        if (run != NULL && sim_is_served(sim, r) && run->state == HD_RUN_PAUSED)
            sim_person_command(sim, r, HD_COMMAND_RESUME_RUN, 0, "the storm is over");
    }
}

/* Every job of the plan, one after another on one worker, each with all its retries, and twice. */
static int64_t calm_length_ms(const struct sim_plan *plan)
{
    double sum_ms = 600000;
    for (uint32_t r = 0; r < plan->run_count; r++) {
        const struct sim_run_plan *run = &plan->runs[r];
        double jobs = 120; /* no plan of ours is larger; see draw.c */
        double job_ms = (double)run->base_ms + (double)run->per_budget_ms * run->budget_max;
        sum_ms += jobs * (job_ms * 2 + 2000);
    }
    return (int64_t)(sum_ms * 2);
}

static void count_ends(struct sim *sim)
{
    for (uint32_t r = 0; r < sim_run_total(sim); r++) {
        const struct sim_ledger_run *run = sim_find_run(sim, sim->plan->runs[r].run_uid, NULL);
        if (!sim_is_served(sim, r))
            continue;
        sim->cover->finished_ends += run->state == HD_RUN_FINISHED;
        sim->cover->cancelled_ends += run->state == HD_RUN_CANCELLED;
        sim->cover->paused_ends += run->state == HD_RUN_PAUSED;
    }
}

/* Whoever was told to leave is started again: in the calm there is somebody to work. */
static void restart_leavers(struct sim *sim)
{
    for (uint32_t w = 0; w < sim->plan->worker_count; w++) {
        struct sim_worker *worker = &sim->workers[w];
        if (!worker->alive && worker->epoch > 0 && (worker->was_told || worker->exited) &&
            !sim_twin_lives(sim, w))
            sim_worker_start(sim, w);
    }
}

/* What was ordered in the storm is taken back; a late order too. */
static void resume_workers(struct sim *sim)
{
    for (uint32_t m = 0; m < sim->master_count; m++) {
        const struct sim_master *master = &sim->masters[m];
        for (uint32_t r = 0; r < sim_run_total(sim); r++) {
            if (sim_serving(sim, r) != m || !master->alive)
                continue;
            for (uint32_t w = 0; w < sim->plan->worker_count; w++)
                if (sim_worker_state(&master->ledger, sim->workers[w].id) != HD_WORKER_ACTIVE)
                    sim_person_orders(sim, r, HD_COMMAND_RESUME_WORKER, w);
            break;
        }
    }
}

static void on_tick(struct sim *sim, const struct sim_event *event)
{
    (void)event;
    struct sim_probe probe = {.kind = SIM_PROBE_TICK};
    sim_probe(sim, &probe);
    bool over = all_over(sim);
    if (!sim->calm && (sim->now_ms >= sim->storm_end_ms || over)) {
        begin_calm(sim);
        sim->calm_limit_ms = sim->now_ms + calm_length_ms(sim->plan);
        over = all_over(sim);
    }
    if (sim->calm && !over)
        restart_leavers(sim);
    if (sim->calm && !over && sim->now_ms % RESUME_WORKERS_MS == 0)
        resume_workers(sim);
    if (!over || sim->now_ms < sim->awake_ms) /* whoever sleeps wakes up first */
        sim->over_since_ms = -1;
    else if (sim->over_since_ms < 0)
        sim->over_since_ms = sim->now_ms;
    if (sim->calm && sim->over_since_ms >= 0 && sim->now_ms - sim->over_since_ms >= SETTLE_MS) {
        probe.kind = SIM_PROBE_END;
        sim_probe(sim, &probe);
        count_ends(sim);
        sim->over = true;
    }
    if (sim->calm && sim->now_ms > sim->calm_limit_ms + 2 * TICK_MS)
        sim->over = true; /* the checker of promise 7 is disabled */
    sim_at(sim, sim->now_ms + TICK_MS, on_tick, 0, 0, NULL);
}

/* ---- one seed
 * ---------------------------------------------------------------------------------------- */

static void fire_worker_start(struct sim *sim, const struct sim_event *event)
{
    if (sim->workers[event->who].alive || sim->workers[event->who].epoch > 0)
        return;
    if (sim->plan->workers[event->who].twin != SIM_TWIN_NONE && sim->calm)
        return;
    if (sim->plan->workers[event->who].twin != SIM_TWIN_NONE)
        sim_twin_start(sim, &sim->workers[event->who]);
    sim_worker_start(sim, event->who);
}

static void fire_submit(struct sim *sim, const struct sim_event *event)
{
    sim_person_submit(sim, event->who);
}

static void build(struct sim *sim)
{
    const struct sim_plan *plan = sim->plan;
    sim->storm_end_ms = plan->climate.storm_ms;
    sim->over_since_ms = -1;
    sim_nameserver_start(sim);
    sim->master_count = plan->master_count;
    for (uint32_t m = 0; m < plan->master_count; m++) {
        struct hd_err err;
        sim->masters[m].index = m;
        hd_format(sim->masters[m].id, sizeof(sim->masters[m].id), "m%u", m);
        enum hd_code code = hd_store_open_memory(&sim->masters[m].store, &err);
        hd_assert(code == HD_OK);
        sim_master_start(sim, m);
    }
    if (plan->rival.kind != SIM_RIVAL_NONE)
        sim_rival_start(sim);
    for (uint32_t w = 0; w < plan->worker_count; w++) {
        struct sim_worker *worker = &sim->workers[w];
        worker->index = w;
        worker->plan = &plan->workers[w];
        worker->root = &sim->roots[plan->workers[w].root];
        hd_format(worker->root->id, sizeof(worker->root->id), "root%u", plan->workers[w].root);
        hd_format(worker->id, sizeof(worker->id), "w%u",
                  plan->workers[w].twin != SIM_TWIN_NONE ? plan->workers[w].twin_of : w);
        sim_at(sim, plan->workers[w].start_ms, fire_worker_start, w, 0, NULL);
    }
    for (uint32_t r = 0; r < plan->run_count; r++)
        sim_at(sim, plan->runs[r].submit_ms, fire_submit, r, 0, NULL);
    sim_faults_start(sim);
    sim_at(sim, TICK_MS, on_tick, 0, 0, NULL);
}

static void tear_down(struct sim *sim)
{
    for (uint32_t m = 0; m < sim->master_count; m++)
        sim_master_release(&sim->masters[m]);
    for (uint32_t w = 0; w < sim->plan->worker_count; w++)
        sim_worker_release(&sim->workers[w]);
    hd_registry_free(sim->registry);
    hd_registry_free(sim->second_registry);
}

void sim_run(uint64_t seed, const struct sim_plan *plan, const struct sim_options *options,
             struct sim_memory *memory, struct sim_cover *cover, struct sim_result *ret_result)
{
    memory_reset(memory);
    struct sim *sim = memory_alloc(memory, sizeof(*sim));
    memset(sim, 0, sizeof(*sim));
    memset(ret_result, 0, sizeof(*ret_result));
    sim->seed = seed;
    hd_rng_fork(seed, "sim", 0, &sim->rng);
    sim->plan = plan;
    sim->options = options;
    sim->memory = memory;
    sim->cover = cover;
    sim->result = ret_result;
    sim->digest = HD_HASH_INIT;
    sim_checkers_choose(sim);
    /* The updates are large: they live outside the chunks, once a call. */
    sim->update = malloc(sizeof(*sim->update));
    sim->agent_update = malloc(sizeof(*sim->agent_update));
    sim->ns_reply = calloc(1, sizeof(*sim->ns_reply));
    hd_assert(sim->update != NULL && sim->agent_update != NULL && sim->ns_reply != NULL);
    build(sim);
    struct sim_event event;
    uint64_t events = 0;
    while (!sim->over && !ret_result->failed && pop_event(sim, &event)) {
        sim->now_ms = event.at_ms;
        event.fire(sim, &event);
        if (++events > EVENTS_MAX) {
            sim_fail(sim, "bounded", "more than %d events: something spins", EVENTS_MAX);
            break;
        }
    }
    cover->seeds++;
    cover->events += events;
    ret_result->digest = sim->digest;
    tear_down(sim);
    free(sim->update);
    free(sim->agent_update);
    free(sim->ns_reply);
}
