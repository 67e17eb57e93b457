/* SPDX-License-Identifier: Apache-2.0 */
/*
 * engine.c: containers, work directories and kept results of one machine. A container outlives
 * the worker's process; a result is on disk before the agent hears of it; directories follow
 * the rules of the house: in place on the machine that wrote last, a copy elsewhere on the
 * same root, anew otherwise.
 */
#include "cluster.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

#define HARVEST_MS_MAX 20
#define POINTS 2        /* of a curve */
#define POINTS_JUDGED 4 /* ... that a rule of early stopping looks at */

struct sim_container *sim_engine_find(struct sim_worker *worker, struct hd_attempt_ref attempt)
{
    for (struct sim_container *c = worker->containers; c != NULL; c = c->next)
        if (!c->removed && hd_attempt_ref_equal(c->attempt, attempt))
            return c;
    return NULL;
}

const struct sim_container *sim_engine_origin(const struct sim_worker *worker,
                                              struct hd_attempt_ref attempt)
{
    for (const struct sim_container *c = worker->containers; c != NULL; c = c->next)
        if (hd_attempt_ref_equal(c->attempt, attempt) && c->attempt.stamp == attempt.stamp)
            return c;
    return NULL;
}

/* ---- directories
 * --------------------------------------------------------------------------------------- */

static struct sim_directory *find_directory(struct sim_root *root, const char *name)
{
    for (size_t d = 0; d < root->count; d++)
        if (hd_streq(root->directories[d]->name, name))
            return root->directories[d];
    return NULL;
}

static struct sim_directory *make_directory(struct sim *sim, struct sim_root *root,
                                            const char *name)
{
    struct sim_directory *directory = find_directory(root, name);
    if (directory != NULL)
        return directory; /* the same attempt again */
    directory = sim_alloc(sim, sizeof(*directory));
    directory->name = sim_text(sim, name);
    directory->budget = NAN;
    directory->reached = NAN;
    root->directories = sim_grow(sim, root->directories, sizeof(struct sim_directory *),
                                 root->count, &root->capacity);
    root->directories[root->count++] = directory;
    return directory;
}

/* False: it begins from the start. */
static bool take_fetched(struct sim *sim, struct sim_worker *worker,
                         struct sim_container *container, const struct hd_lease *lease,
                         const char *fresh)
{
    const struct sim_copy *copy = sim_travel_fetch(sim, container);
    if (copy == NULL ||
        (!isnan(lease->budget_previous) && !(copy->budget >= lease->budget_previous)))
        return false;
    container->directory = make_directory(sim, worker->root, fresh);
    container->directory->budget = copy->budget;
    container->directory->reached = copy->reached;
    return true;
}

static void choose_directory(struct sim *sim, struct sim_worker *worker,
                             struct sim_container *container, const struct hd_lease *lease)
{
    const char *fresh = sim_format(sim, "%016" PRIx64 "-j%u-a%u-%s", lease->attempt.run_uid,
                                   lease->attempt.job, lease->attempt.attempt, worker->id);
    struct sim_directory *held = NULL;
    if (lease->directory[0] != '\0' && hd_streq(lease->root, worker->root->id))
        held = find_directory(worker->root, lease->directory);
    /* Where a disk or a master's state was copied it may be an older state, or another one of the
     * same name; the worker looks. Elsewhere it would hide what the core has wrong. */
    bool copied = sim->plan->workers[sim->plan->worker_count - 1].twin == SIM_TWIN_COPY ||
                  sim->plan->rival.kind == SIM_RIVAL_COPY;
    /* A fetched one is looked at too; so is what an attempt left that could fetch nothing. */
    copied = copied || sim->plan->travels;
    if (held != NULL && copied && held->budget < lease->budget_previous)
        held = NULL;
    if (held != NULL && copied && isnan(held->budget) && !isnan(lease->budget_previous))
        held = NULL;
    if (lease->directory[0] != '\0' && !hd_streq(lease->root, worker->root->id) &&
        sim->plan->travels && take_fetched(sim, worker, container, lease, fresh))
        return;
    if (held == NULL) {
        container->directory = make_directory(sim, worker->root, fresh);
        container->budget_previous = NAN; /* what is not here is not gone on from */
        sim->cover->resumed_anew++;
        return;
    }
    if (sim->options->plant == SIM_PLANT_DIRECTORY_LOST) {
        container->directory = make_directory(sim, worker->root, fresh);
        return;
    }
    if (hd_streq(lease->directory_owner, worker->id)) {
        container->directory = held;
        sim->cover->resumed_in_place++;
        return;
    }
    container->directory = make_directory(sim, worker->root, fresh);
    container->directory->budget = held->budget;
    container->directory->reached = held->reached;
    sim->cover->resumed_from_copy++;
}

/* ---- what a target does
 * ------------------------------------------------------------------------------------ */

static double curve(double budget, double quality)
{
    return quality + 0.5 / (1.0 + budget);
}

static double loss_of(struct sim *sim, const struct sim_container *container)
{
    const struct sim_run_plan *plan = container->plan;
    double noise = 0;
    if (plan->repeats > 0) { /* of what its seed says, as a target's own would be */
        struct hd_rng rng;
        hd_rng_fork(container->seed, "noise", 0, &rng);
        noise = 0.3 * (hd_rng_double(&rng) - 0.5);
    }
    if (plan->losses != NULL && plan->loss_count > 0)
        return plan->losses[container->config % plan->loss_count] + 0.01 / container->budget +
               noise;
    double quality = 0;
    const struct sim_ledger_run *run =
        sim_ledger_find(&sim->masters[container->granted_by].ledger, plan->run_uid);
    if (run != NULL && container->config < run->config_count) {
        const struct sim_config *config = &run->configs[container->config];
        for (size_t v = 0; v < config->value_count; v++) {
            double distance = config->values[v] - 0.3;
            quality += isnan(distance) ? 0 : fmin(distance * distance, 10.0);
        }
    }
    return curve(container->budget, quality) + noise;
}

void sim_measures(const struct sim_config *config, double *ret_measures)
{
    double first = config->value_count > 0 ? config->values[0] : 0;
    double last = config->value_count > 0 ? config->values[config->value_count - 1] : 0;
    ret_measures[0] = NAN;
    ret_measures[1] = 1 / (0.1 + fabs(first - 0.3)); /* the loss is better where this is worse */
    ret_measures[2] = fabs(last - 0.3);
}

static void measure(struct sim *sim, const struct sim_container *container,
                    struct hd_result *result)
{
    const struct sim_ledger_run *run =
        sim_ledger_find(&sim->masters[container->granted_by].ledger, container->plan->run_uid);
    hd_assert(run != NULL && container->config < run->config_count);
    sim_measures(&run->configs[container->config], result->measures);
    result->measures[0] = result->loss;
    result->measure_count = container->plan->constrained ? 3 : 2;
}

static enum hd_outcome flaky_outcome(struct hd_rng *rng)
{
    static const enum hd_outcome outcomes[] = {
        HD_OUTCOME_FAILED,  HD_OUTCOME_FAILED,      HD_OUTCOME_FAILED, HD_OUTCOME_NO_RESULT,
        HD_OUTCOME_OOM,     HD_OUTCOME_INFRA,       HD_OUTCOME_INFRA,  HD_OUTCOME_INFRA,
        HD_OUTCOME_TIMEOUT, HD_OUTCOME_CONFIG_ERROR};
    return outcomes[hd_rng_below(rng, HD_COUNT(outcomes))];
}

/* Its end is drawn at its start, from what it is and not from when it runs. */
static void draw_end(struct sim *sim, struct sim_container *container)
{
    const struct sim_run_plan *plan = container->plan;
    struct hd_result *result = &container->result;
    struct hd_rng rng;
    hd_rng_fork(plan->run_uid ^ sim->seed, "config", container->config, &rng);
    bool fails = hd_rng_below(&rng, 1000) < plan->failing_permille;
    bool diverges = hd_rng_below(&rng, 1000) < plan->diverging_permille;
    hd_rng_fork(plan->run_uid ^ sim->seed, "attempt",
                (uint64_t)container->attempt.job * 1000 + container->attempt.attempt, &rng);
    double work =
        (double)plan->base_ms + (double)plan->per_budget_ms * (container->budget - container->from);
    if (!sim->plan->story)
        work *= 0.5 + hd_rng_double(&rng);
    if (hd_rng_below(&rng, 1000) < plan->straggler_permille)
        work *= 8;
    result->attempt = container->attempt;
    result->loss = loss_of(sim, container);
    result->outcome = isfinite(result->loss) ? HD_OUTCOME_OK : HD_OUTCOME_DIVERGED;
    if (diverges) {
        result->loss = NAN;
        result->outcome = HD_OUTCOME_DIVERGED;
    }
    if (fails)
        result->outcome = HD_OUTCOME_FAILED;
    if (hd_rng_below(&rng, 1000) < plan->flaky_permille) {
        result->outcome = flaky_outcome(&rng);
        work *= hd_rng_double(&rng);
    }
    for (uint32_t e = 0; e < plan->end_count; e++)
        if (plan->ends[e].job == container->attempt.job &&
            plan->ends[e].attempt == container->attempt.attempt)
            result->outcome = plan->ends[e].outcome;
    if (sim->options->plant == SIM_PLANT_STOPS_UNASKED && container->attempt.job % 4 == 3)
        result->outcome = HD_OUTCOME_STOPPED;
    if (plan->timeout_ms > 0 && work > (double)plan->timeout_ms) {
        work = (double)plan->timeout_ms;
        result->outcome = HD_OUTCOME_TIMEOUT;
    }
    if (result->outcome != HD_OUTCOME_OK)
        result->loss = NAN;
    if (result->outcome == HD_OUTCOME_OK && plan->several)
        measure(sim, container, result);
    result->exit_code = result->outcome == HD_OUTCOME_FAILED ? 1 : 0;
    result->message = result->outcome == HD_OUTCOME_OK ? "" : "as planned";
    result->info_json = "";
    result->image_id =
        container->attempt.job % 3 == 0 ? "" : "sha256:1a2b"; /* old workers tell none */
    container->ends_ms = sim->now_ms + (work < 1 ? 1 : (int64_t)work);
}

/* ---- the end, its harvest and its news
 * ---------------------------------------------------------------------- */

static uint32_t point_count(const struct sim_container *container)
{
    return container->plan->early != SIM_EARLY_NONE ? POINTS_JUDGED : POINTS;
}

/* All that its curve has beyond what was read, as the worker reads the file of a target. */
static void read_points(struct sim *sim, struct sim_container *container)
{
    struct hd_point points[POINTS_JUDGED];
    uint32_t count = 0, end = point_count(container);
    if (container->points_read == container->points_written)
        return;
    for (uint32_t p = container->points_read + 1; p <= container->points_written; p++)
        points[count++] = (struct hd_point){container->attempt, container->budget * (double)p / end,
                                            loss_of(sim, container) + 0.05 * (double)(end - p)};
    container->points_read = container->points_written;
    struct hd_agent_event progress = {.kind = HD_AGENT_EVENT_PROGRESS,
                                      .attempt = container->attempt,
                                      .points = points,
                                      .point_count = count};
    sim_worker_step(sim, container->worker, &progress);
}

static void fire_told(struct sim *sim, const struct sim_event *event)
{
    struct sim_container *container = event->data;
    struct sim_worker *worker = container->worker;
    if (!worker->alive || worker->epoch != event->epoch || container->removed || container->told)
        return;
    if (sim_worker_asleep(sim, worker)) {
        sim_at(sim, sim->now_ms + 500, fire_told, 0, event->epoch, container);
        return;
    }
    read_points(sim, container);
    if (!worker->alive || worker->epoch != event->epoch)
        return; /* its agent had nothing left to wait for */
    container->told = true;
    struct hd_agent_event ended = {.kind = HD_AGENT_EVENT_ENDED,
                                   .attempt = container->attempt,
                                   .master_id = container->master_id,
                                   .result = &container->result};
    sim_worker_step(sim, worker, &ended);
}

/* The process writes the result to its disk, then tells the agent; it may die between. */
static void fire_harvest(struct sim *sim, const struct sim_event *event)
{
    struct sim_container *container = event->data;
    struct sim_worker *worker = container->worker;
    if (!worker->alive || worker->epoch != event->epoch || container->removed || container->running)
        return;
    if (sim_worker_asleep(sim, worker)) {
        sim_at(sim, sim->now_ms + 500, fire_harvest, 0, event->epoch, container);
        return;
    }
    container->on_disk = true;
    sim_at(sim, sim->now_ms + sim_between(sim, 0, HARVEST_MS_MAX), fire_told, 0, event->epoch,
           container);
}

/* What it has done, what it has kept of that, and what is lost. */
static void count_work(struct sim *sim, struct sim_container *container, bool kept)
{
    const struct sim_run_plan *plan = container->plan;
    int64_t ran_ms = sim->now_ms - container->started_ms;
    int64_t whole_ms = container->ends_ms - container->started_ms - plan->base_ms;
    int64_t worked_ms = ran_ms - plan->base_ms;
    if (container->ended)
        return;
    container->ended = true;
    sim->cover->computed_ms += ran_ms;
    if (worked_ms < 0 || !kept) {
        sim->cover->lost_ms += ran_ms;
        return;
    }
    double share = whole_ms > 0 ? fmin((double)worked_ms / (double)whole_ms, 1) : 1;
    if (container->result.outcome == HD_OUTCOME_OK)
        share = 1;
    else
        sim->cover->lost_ms += plan->base_ms;
    if (plan->checkpoint)
        container->directory->reached =
            container->from + share * (container->budget - container->from);
}

static void ended(struct sim *sim, struct sim_container *container)
{
    const struct hd_result *result = &container->result;
    bool stopped = container->stop_order > 0 && result->outcome != HD_OUTCOME_INFRA;
    count_work(sim, container,
               result->outcome == HD_OUTCOME_OK || (stopped && container->plan->checkpoint));
    container->running = false;
    sim_trace(sim, "%s: job %u.%u ended: %s", container->worker->id, container->attempt.job,
              container->attempt.attempt, hd_outcome_name(container->result.outcome));
    if (container->directory->writer == container)
        container->directory->writer = NULL;
    container->result.finished_wall_ms = sim->now_ms;
    container->result.directory =
        container->result.outcome == HD_OUTCOME_CONFIG_ERROR ? "" : container->directory->name;
    if (container->result.outcome == HD_OUTCOME_OK)
        container->directory->budget = container->budget;
    if (container->worker->alive)
        sim_at(sim, sim->now_ms + sim_between(sim, 0, HARVEST_MS_MAX), fire_harvest, 0,
               container->worker->epoch, container);
}

static void fire_end(struct sim *sim, const struct sim_event *event)
{
    struct sim_container *container = event->data;
    if (container->removed || !container->running || container->stop_order != event->epoch)
        return;
    if (sim->now_ms < container->worker->frozen_until_ms) {
        sim_at(sim, container->worker->frozen_until_ms + 1, fire_end, 0, event->epoch, container);
        return;
    }
    ended(sim, container);
}

static void fire_point(struct sim *sim, const struct sim_event *event)
{
    struct sim_container *container = event->data;
    struct sim_worker *worker = container->worker;
    if (container->removed || !container->running)
        return;
    container->points_written = event->who;
    if (worker->alive && !sim_worker_asleep(sim, worker))
        read_points(sim, container);
}

/* ---- what the agent asks for
 * ------------------------------------------------------------------------------------ */

static void kill_container(struct sim *sim, struct sim_container *container)
{
    count_work(sim, container, false);
    if (container->directory->writer == container)
        container->directory->writer = NULL;
    container->running = false;
    container->removed = true;
    container->settled = true;
    container->settled_by = container->worker->heard_from;
}

/* Two attempts never write one directory: what this machine still runs of the config dies first. */
static void kill_older(struct sim *sim, struct sim_worker *worker, struct sim_container *container)
{
    if (sim->options->plant == SIM_PLANT_DROP_IGNORED)
        return;
    for (struct sim_container *c = worker->containers; c != NULL; c = c->next)
        if (c != container && c->running && !c->removed && c->directory == container->directory) {
            sim_trace(sim, "%s kills job %u.%u: its directory goes on", worker->id, c->attempt.job,
                      c->attempt.attempt);
            kill_container(sim, c);
        }
}

static const struct sim_run_plan *plan_of(struct sim *sim, uint64_t run_uid)
{
    for (uint32_t r = 0; r < sim_run_total(sim); r++)
        if (sim->plan->runs[r].run_uid == run_uid)
            return &sim->plan->runs[r];
    return NULL;
}

static void tell_start(struct sim *sim, const struct sim_container *container,
                       const struct hd_lease *lease)
{
    char from[64] = "from the start";
    if (!isnan(lease->budget_previous))
        hd_format(from, sizeof(from), "from budget %g", lease->budget_previous);
    if (!isnan(container->directory->reached) && container->from == container->directory->reached)
        hd_format(from, sizeof(from), "from its checkpoint");
    const char *where = "in a new directory";
    if (lease->directory[0] != '\0')
        where = hd_streq(container->directory->name, lease->directory) ? "in place" : "on a copy";
    sim_tell(sim, "%s runs job %u attempt %u of %s %s, %s", container->worker->id,
             lease->attempt.job, lease->attempt.attempt, lease->run_id, from, where);
    sim_trace(sim, "  directory %s", container->directory->name);
}

static uint64_t leased_seq(struct sim *sim, uint32_t master, struct hd_attempt_ref ref)
{
    struct sim_ledger_run *run = sim_ledger_find(&sim->masters[master].ledger, ref.run_uid);
    const struct sim_attempt *attempt = run != NULL && ref.job < run->job_count
                                            ? sim_job_attempt(&run->jobs[ref.job], ref.attempt)
                                            : NULL;
    return attempt != NULL ? attempt->leased_seq : 0;
}

void sim_engine_start(struct sim *sim, struct sim_worker *worker, const struct hd_lease *lease,
                      uint32_t master)
{
    if (sim_engine_find(worker, lease->attempt) != NULL)
        return; /* a resend is harmless */
    struct sim_container *container = sim_alloc(sim, sizeof(*container));
    container->worker = worker;
    container->attempt = lease->attempt;
    container->plan = plan_of(sim, lease->attempt.run_uid);
    hd_assert(container->plan != NULL);
    container->master_id = sim->masters[master].id;
    container->granted_by = master;
    container->leased_seq = leased_seq(sim, master, lease->attempt);
    container->config = lease->config;
    container->seed = lease->seed;
    container->budget = lease->budget;
    container->budget_previous = lease->budget_previous;
    container->started_ms = sim->now_ms;
    container->result.started_wall_ms = sim->now_ms;
    container->running = true;
    choose_directory(sim, worker, container, lease);
    container->from = isnan(container->budget_previous) ? 0 : container->budget_previous;
    if (container->plan->checkpoint && container->directory->reached > container->from) {
        container->from = container->directory->reached;
        sim->cover->preempted_in_place++;
    }
    kill_older(sim, worker, container);
    container->next = worker->containers;
    worker->containers = container;
    struct sim_probe probe = {.kind = SIM_PROBE_CONTAINER, .container = container, .lease = lease};
    sim_probe(sim, &probe);
    container->directory->writer = container;
    container->directory->run_uid = lease->attempt.run_uid;
    container->directory->config = lease->config;
    draw_end(sim, container);
    tell_start(sim, container, lease);
    sim_at(sim, container->ends_ms, fire_end, 0, 0, container);
    if (!container->plan->curves)
        return;
    for (uint32_t p = 1, end = point_count(container); p <= end; p++)
        sim_at(sim, sim->now_ms + (container->ends_ms - sim->now_ms) * p / (end + 1), fire_point, p,
               0, container);
}

void sim_engine_stop(struct sim *sim, struct sim_worker *worker, struct hd_attempt_ref attempt,
                     enum hd_outcome outcome, int64_t deadline_ms)
{
    struct sim_container *container = sim_engine_find(worker, attempt);
    if (container == NULL || !container->running || container->stop_order > 0)
        return;
    int64_t end_ms = sim->now_ms + sim_between(sim, 1, 5000);
    if (end_ms > deadline_ms)
        end_ms = deadline_ms > sim->now_ms ? deadline_ms : sim->now_ms;
    container->stop_order++;
    container->result.outcome = outcome;
    container->result.loss = NAN;
    container->result.exit_code = 143;
    container->result.message = "stopped";
    sim_at(sim, end_ms, fire_end, 0, container->stop_order, container);
}

void sim_engine_drop(struct sim *sim, struct sim_worker *worker, struct hd_attempt_ref attempt)
{
    struct sim_container *container = sim_engine_find(worker, attempt);
    if (container == NULL || sim->options->plant == SIM_PLANT_DROP_IGNORED)
        return;
    sim_tell(sim, "%s drops job %u attempt %u", worker->id, attempt.job, attempt.attempt);
    kill_container(sim, container);
}

void sim_engine_acknowledged(struct sim *sim, struct sim_worker *worker,
                             struct hd_attempt_ref attempt, enum hd_verdict verdict,
                             uint32_t wanted)
{
    struct sim_container *container = sim_engine_find(worker, attempt);
    if (container == NULL)
        return;
    struct sim_probe probe = {.kind = SIM_PROBE_ACKNOWLEDGED,
                              .container = container,
                              .attempt = attempt,
                              .verdict = verdict};
    sim_probe(sim, &probe);
    if ((wanted & HD_WANTED_STATE) != 0)
        sim_travel_send(sim, container);
    if ((wanted & HD_WANTED_FILES) != 0)
        sim_home_bring(sim, worker, attempt, container->granted_by);
    if (verdict != HD_VERDICT_REFUSED && container->result.directory != NULL &&
        container->result.directory[0] != '\0') {
        container->directory->left = container->attempt;
        container->directory->left_by = worker->id;
    }
    kill_container(sim, container);
}

/* ---- a new incarnation, a new boot
 * -------------------------------------------------------------------------------- */

void sim_engine_adopt(struct sim *sim, struct sim_worker *worker)
{
    /* Oldest first: the list is newest first. */
    struct sim_container *found[HD_HELD_MAX];
    size_t count = 0;
    for (struct sim_container *c = worker->containers; c != NULL && count < HD_HELD_MAX;
         c = c->next)
        if (!c->removed)
            found[count++] = c;
    for (size_t i = count; i > 0 && worker->alive; i--) {
        struct sim_container *container = found[i - 1];
        container->told = false;
        container->points_read = 0;
        if (sim->options->plant == SIM_PLANT_RESULT_NOT_KEPT && !container->running) {
            container->removed = true;
            continue;
        }
        struct hd_agent_event adopted = {.kind = HD_AGENT_EVENT_ADOPTED,
                                         .attempt = container->attempt,
                                         .master_id = container->master_id};
        sim_worker_step(sim, worker, &adopted);
        if (container->running) {
            read_points(sim, container);
            sim->cover->adopted++;
            continue;
        }
        sim->cover->harvested++;
        sim_at(sim, sim->now_ms, fire_harvest, 0, worker->epoch, container);
    }
}

void sim_engine_reboot(struct sim *sim, struct sim_worker *worker)
{
    for (struct sim_container *c = worker->containers; c != NULL; c = c->next) {
        if (c->removed || !c->running)
            continue;
        c->stop_order++;
        c->result.outcome = HD_OUTCOME_INFRA;
        c->result.loss = NAN;
        c->result.message = "the container vanished";
        ended(sim, c);
    }
}
