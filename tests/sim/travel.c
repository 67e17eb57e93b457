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

void sim_travel_send(struct sim *sim, const struct sim_container *container)
{
    struct parcel *parcel = sim_alloc(sim, sizeof(*parcel));
    *parcel = (struct parcel){.copy = {.whose = container->attempt,
                                       .budget = container->directory->budget,
                                       .reached = container->directory->reached},
                              .master = container->granted_by};
    sim_at(sim, sim->now_ms + sim_between(sim, 1, SENDING_MS_MAX), fire_arrive,
           container->worker->index, container->worker->epoch, parcel);
}

const struct sim_copy *sim_travel_fetch(struct sim *sim, const struct sim_container *container)
{
    const struct sim_master *master = &sim->masters[container->granted_by];
    struct hd_attempt_ref whose;
    uint32_t config;
    const struct sim_copy *copy = find_copy(master, container->attempt.run_uid, container->config);
    if (copy == NULL || !master->alive || (!sim->calm && sim_chance(sim, FETCH_FAILS_PERMILLE)) ||
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
        if (hd_core_keeps_checkpoint(master->core, master->copies[c].whose))
            master->copies[kept++] = master->copies[c];
    master->copy_count = kept;
    for (size_t c = 0; c < kept; c++)
        tell_shelved(sim, master, &master->copies[c]);
}

/* ---- the checker ----------------------------------------------------------------------------- */

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

const struct sim_checker sim_checkers_travel[] = {
    {"travels-with-its-state",
     "A config moves to a machine that has not its directory only when the master has a copy of "
     "what its last attempt left there.",
     travels_with_its_state},
};
const size_t sim_checkers_travel_count = HD_COUNT(sim_checkers_travel);
