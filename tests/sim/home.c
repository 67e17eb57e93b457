/* SPDX-License-Identifier: Apache-2.0 */
/*
 * home.c: files of attempts on their way to the masters. A worker sends what its master asks for
 * while it goes on; it may die before that has arrived, or not have them. What has come outlives
 * the master's process.
 */
#include "cluster.h"

#define SENDING_MS_MAX 4000
#define LOST_PERMILLE 50 /* of what is asked for is not there any more */

struct delivery {
    struct hd_attempt_ref attempt;
    enum hd_files files;
    uint32_t master;
};

/* Choices of a stream of its own: a seed's other choices keep their meaning. */
static int64_t below(struct sim *sim, int64_t count)
{
    if (!sim->bringing.started)
        hd_rng_fork(sim->seed, "bringing", 0, &sim->bringing.rng);
    sim->bringing.started = true;
    return (int64_t)hd_rng_below(&sim->bringing.rng, (uint64_t)count);
}

static void tell(struct sim *sim, struct sim_master *master, struct hd_attempt_ref attempt,
                 enum hd_files files)
{
    struct hd_event event = {.kind = HD_EVENT_FILES, .attempt = attempt, .files = files};
    sim_master_push(sim, master, &event, NULL);
}

static void fire_arrive(struct sim *sim, const struct sim_event *event)
{
    const struct delivery *delivery = event->data;
    struct sim_worker *worker = &sim->workers[event->who];
    struct sim_master *master = &sim->masters[delivery->master];
    if (!worker->alive || worker->epoch != event->epoch || !master->alive ||
        !sim_link_up(sim, SIM_NODE_WORKER + worker->index, delivery->master) ||
        sim_master_is_full(master))
        return;
    if (!hd_core_wants_files(master->core, delivery->attempt)) {
        sim->cover->not_wanted++;
        return;
    }
    if (delivery->files == HD_FILES_HOME) {
        master->home = sim_grow(sim, master->home, sizeof(*master->home), master->home_count,
                                &master->home_capacity);
        master->home[master->home_count++] = delivery->attempt;
        sim->cover->brought++;
    }
    tell(sim, master, delivery->attempt, delivery->files);
}

void sim_home_bring(struct sim *sim, struct sim_worker *worker, struct hd_attempt_ref attempt,
                    uint32_t master)
{
    struct delivery *delivery = sim_alloc(sim, sizeof(*delivery));
    bool lost = sim_engine_origin(worker, attempt) == NULL || below(sim, 1000) < LOST_PERMILLE;
    *delivery = (struct delivery){
        .attempt = attempt, .files = lost ? HD_FILES_NEVER : HD_FILES_HOME, .master = master};
    sim_at(sim, sim->now_ms + 1 + below(sim, SENDING_MS_MAX), fire_arrive, worker->index,
           worker->epoch, delivery);
}

void sim_home_restart(struct sim *sim, struct sim_master *master)
{
    size_t kept = 0;
    for (size_t h = 0; h < master->home_count; h++)
        if (hd_core_wants_files(master->core, master->home[h]))
            master->home[kept++] = master->home[h];
    master->home_count = kept;
    for (size_t h = 0; h < kept; h++)
        tell(sim, master, master->home[h], HD_FILES_HOME);
}

/* ---- the checkers ---------------------------------------------------------------------------- */

/* The job's last attempt is this one, it was that worker's, and it is over and well: by the facts
 * alone. */
static bool is_good(const struct sim_ledger *ledger, struct hd_attempt_ref attempt,
                    const char *worker)
{
    for (size_t f = ledger->fact_count; f-- > 0;) {
        const struct hd_fact *fact = ledger->facts[f];
        const struct hd_fact_attempt_ended *ended = &fact->as.attempt_ended;
        if (fact->kind == HD_FACT_ATTEMPT_ENDED && ended->job == attempt.job &&
            ledger->runs[fact->run].run_uid == attempt.run_uid)
            return ended->attempt == attempt.attempt && !ended->requeued &&
                   ended->outcome == HD_OUTCOME_OK && hd_streq(ended->worker, worker);
    }
    return false;
}

static void brings_what_is_good(struct sim *sim, const struct sim_checker *self,
                                const struct sim_probe *probe)
{
    sim_check_commands(sim, self, probe, HD_ACTION_BRING, is_good, "that is no result of its");
}

static void best_comes_home(struct sim *sim, const struct sim_checker *self,
                            const struct sim_probe *probe)
{
    if (probe->kind != SIM_PROBE_END)
        return;
    for (uint32_t m = 0; m < sim->master_count; m++)
        if (sim->masters[m].alive && hd_core_awaits_files(sim->masters[m].core, false))
            sim_fail(
                sim, self->name,
                "the files of a best job have not come to master m%u, and their worker is here", m);
}

const struct sim_checker sim_checkers_home[] = {
    {"brings-what-is-good",
     "A worker is asked only for files of its own last attempts that ended well.",
     brings_what_is_good},
    {"best-comes-home",
     "In the end the files of the best jobs are at the master, or their workers are gone or have "
     "said that they do not come.",
     best_comes_home},
};
const size_t sim_checkers_home_count = HD_COUNT(sim_checkers_home);
