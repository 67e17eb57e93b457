/* SPDX-License-Identifier: Apache-2.0 */
/*
 * travel.c: copies of work directories at the masters. A worker sends what its master wants while
 * it goes on; it may die before that has arrived. Copies outlive the master's process, and what is
 * leased to a machine that has not the directory is fetched, or cannot be.
 */
#include "cluster.h"

#include <math.h>

#define SENDING_MS_MAX 4000
#define FETCH_FAILS_PERMILLE 100
#define TORN_PERMILLE 50 /* of copies are found to be damaged when they are given */

struct parcel {
    struct sim_copy copy;
    uint32_t master;
};

static struct sim_copy *find_copy(const struct sim_master *master, uint64_t run_uid,
                                  uint32_t config)
{
    for (size_t c = 0; c < master->copy_count; c++)
        if (master->copies[c].whose.run_uid == run_uid && master->copies[c].config == config)
            return &master->copies[c];
    return NULL;
}

static void tell_shelved(struct sim *sim, struct sim_master *master, const struct sim_copy *copy)
{
    struct hd_event event = {.kind = HD_EVENT_SHELVED, .attempt = copy->whose};
    sim_master_push(sim, master, &event, NULL);
}

static void fire_arrive(struct sim *sim, const struct sim_event *event)
{
    const struct parcel *parcel = event->data;
    struct sim_worker *worker = &sim->workers[event->who];
    struct sim_master *master = &sim->masters[parcel->master];
    struct sim_copy copy = parcel->copy;
    if (!worker->alive || worker->epoch != event->epoch || !master->alive ||
        !sim_link_up(sim, SIM_NODE_WORKER + worker->index, parcel->master) ||
        sim_master_is_full(master) ||
        !hd_core_wants_checkpoint(master->core, copy.whose, &copy.config))
        return;
    struct sim_copy *place = find_copy(master, copy.whose.run_uid, copy.config);
    if (place == NULL) {
        master->copies =
            sim_grow(sim, master->copies, sizeof(copy), master->copy_count, &master->copy_capacity);
        place = &master->copies[master->copy_count++];
    }
    *place = copy;
    tell_shelved(sim, master, place);
}

/* Choices of a stream of its own: a seed's other choices keep their meaning. */
static int64_t below(struct sim *sim, int64_t count)
{
    if (!sim->offering.started)
        hd_rng_fork(sim->seed, "offering", 0, &sim->offering.rng);
    sim->offering.started = true;
    return (int64_t)hd_rng_below(&sim->offering.rng, (uint64_t)count);
}

static void send(struct sim *sim, const struct sim_container *container, uint32_t master,
                 int64_t takes_ms)
{
    struct parcel *parcel = sim_alloc(sim, sizeof(*parcel));
    *parcel = (struct parcel){.copy = {.whose = container->attempt,
                                       .budget = container->directory->budget,
                                       .reached = container->directory->reached},
                              .master = master};
    sim_at(sim, sim->now_ms + takes_ms, fire_arrive, container->worker->index,
           container->worker->epoch, parcel);
}

void sim_travel_send(struct sim *sim, const struct sim_container *container)
{
    send(sim, container, container->granted_by, sim_between(sim, 1, SENDING_MS_MAX));
}

static bool goes_on(const struct sim_worker *worker, const struct sim_directory *directory)
{
    for (const struct sim_container *c = worker->containers; c != NULL; c = c->next)
        if (!c->removed && c->directory == directory)
            return true;
    return false;
}

void sim_travel_offer(struct sim *sim, const struct sim_worker *worker,
                      struct hd_attempt_ref attempt, uint32_t master)
{
    const struct sim_container *container = sim_engine_origin(worker, attempt);
    const struct sim_directory *directory = container != NULL ? container->directory : NULL;
    if (directory == NULL || directory->gone || !hd_attempt_ref_same(directory->left, attempt) ||
        directory->left_by == NULL || !hd_streq(directory->left_by, worker->id) ||
        goes_on(worker, directory))
        return;
    send(sim, container, master, 1 + below(sim, SENDING_MS_MAX));
}

/* Nobody knows before it is read; then the core is told, and the next arrival takes its place. */
static bool is_torn(struct sim *sim, uint32_t index, struct sim_copy *copy)
{
    struct sim_master *master = &sim->masters[index];
    struct hd_event event = {.kind = HD_EVENT_UNSHELVED, .attempt = copy->whose};
    copy->torn = copy->torn || (!sim->calm && below(sim, 1000) < TORN_PERMILLE);
    if (copy->torn && !sim_master_is_full(master))
        sim_master_push(sim, master, &event, NULL);
    return copy->torn;
}

const struct sim_copy *sim_travel_fetch(struct sim *sim, const struct sim_container *container)
{
    const struct sim_master *master = &sim->masters[container->granted_by];
    struct hd_attempt_ref whose;
    uint32_t config;
    struct sim_copy *copy = find_copy(master, container->attempt.run_uid, container->config);
    if (copy == NULL || !master->alive || is_torn(sim, container->granted_by, copy) ||
        (!sim->calm && sim_chance(sim, FETCH_FAILS_PERMILLE)) ||
        !hd_core_lends_checkpoint(master->core, container->attempt, &config, &whose) ||
        !hd_attempt_ref_equal(copy->whose, whose)) {
        sim->cover->not_fetched++;
        return NULL;
    }
    sim->cover->travelled++;
    return copy;
}

void sim_travel_restart(struct sim *sim, struct sim_master *master)
{
    size_t kept = 0;
    for (size_t c = 0; c < master->copy_count; c++)
        if (!master->copies[c].torn &&
            hd_core_keeps_checkpoint(master->core, master->copies[c].whose))
            master->copies[kept++] = master->copies[c];
    master->copy_count = kept;
    for (size_t c = 0; c < kept; c++)
        tell_shelved(sim, master, &master->copies[c]);
}

/* ---- the checkers ---------------------------------------------------------------------------- */

/* Who left the directory of this config, by the facts alone. */
static bool find_writer(const struct sim_ledger *ledger, uint32_t run, uint32_t config,
                        struct hd_attempt_ref *ret_whose)
{
    const struct sim_ledger_run *jobs = &ledger->runs[run];
    for (size_t f = ledger->fact_count; f-- > 0;) {
        const struct hd_fact *fact = ledger->facts[f];
        const struct hd_fact_attempt_ended *ended = &fact->as.attempt_ended;
        if (fact->kind != HD_FACT_ATTEMPT_ENDED || fact->run != run ||
            ended->directory[0] == '\0' || ended->job >= jobs->job_count ||
            jobs->jobs[ended->job].config != config || jobs->jobs[ended->job].repeat > 0)
            continue;
        *ret_whose = (struct hd_attempt_ref){
            .run_uid = jobs->run_uid, .job = ended->job, .attempt = ended->attempt};
        return true;
    }
    return false;
}

static const char *root_of(const struct sim *sim, const char *worker)
{
    for (uint32_t w = 0; w < sim->plan->worker_count; w++)
        if (hd_streq(sim->workers[w].id, worker) && !sim_has_twin(sim, w))
            return sim->workers[w].root->id;
    return NULL; /* two have this name, and two disks */
}

static void travels_with_its_state(struct sim *sim, const struct sim_checker *self,
                                   const struct sim_probe *probe)
{
    if (probe->kind != SIM_PROBE_FACT || probe->fact->kind != HD_FACT_ATTEMPT_LEASED)
        return;
    const struct hd_fact_attempt_leased *leased = &probe->fact->as.attempt_leased;
    const struct sim_job *job =
        sim_ledger_job(&probe->master->ledger, probe->fact->run, leased->job);
    const char *root = root_of(sim, leased->worker);
    struct hd_attempt_ref whose;
    if (leased->directory[0] == '\0' || job == NULL || root == NULL || hd_streq(leased->root, root))
        return;
    if (!find_writer(&probe->master->ledger, probe->fact->run, job->config, &whose)) {
        sim_fail(sim, self->name, "job %u goes on from a directory that nobody left", leased->job);
        return;
    }
    const struct sim_copy *copy = find_copy(probe->master, whose.run_uid, job->config);
    if (copy == NULL || !hd_attempt_ref_equal(copy->whose, whose))
        sim_fail(sim, self->name,
                 "job %u is to go on on %s from what attempt %u of job %u left on %s, of which the "
                 "master has %s",
                 leased->job, leased->worker, whose.attempt, whose.job, leased->root,
                 copy == NULL ? "no copy" : "an older one");
}

/* By the facts alone: it was this worker's attempt that left the config's directory. One that goes
 * on in it may have been granted in the same batch; the worker looks. */
static bool is_left(const struct sim_ledger *ledger, struct hd_attempt_ref attempt,
                    const char *worker)
{
    for (size_t f = ledger->fact_count; f-- > 0;) {
        const struct hd_fact *fact = ledger->facts[f];
        const struct hd_fact_attempt_ended *ended = &fact->as.attempt_ended;
        if (fact->kind != HD_FACT_ATTEMPT_ENDED || ended->directory[0] == '\0' ||
            ledger->runs[fact->run].run_uid != attempt.run_uid)
            continue;
        const struct sim_job *jobs = ledger->runs[fact->run].jobs, *job = &jobs[ended->job];
        if (job->config == jobs[attempt.job].config && job->repeat == 0)
            return ended->job == attempt.job && ended->attempt == attempt.attempt &&
                   hd_streq(ended->worker, worker);
    }
    return false;
}

static void asks_for_what_is_left(struct sim *sim, const struct sim_checker *self,
                                  const struct sim_probe *probe)
{
    sim_check_commands(sim, self, probe, HD_ACTION_OFFER, is_left,
                       "that is not its, or not the last state of that config");
}

const struct sim_checker sim_checkers_travel[] = {
    {"asks-for-what-is-left",
     "A worker is asked only for directories that its own attempt left, of their configs' last "
     "states.",
     asks_for_what_is_left},
    {"travels-with-its-state",
     "A config moves to a machine that has not its directory only when the master has a copy of "
     "what its last attempt left there.",
     travels_with_its_state},
};
const size_t sim_checkers_travel_count = HD_COUNT(sim_checkers_travel);
