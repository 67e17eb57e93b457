/* SPDX-License-Identifier: Apache-2.0 */
/*
 * keep.c: workers that ask their masters which of their directories are still needed, and remove
 * the others. What a master says may be heard minutes later, when much has happened since.
 */
#include "cluster.h"

#include <string.h>

#define ASK_MIN_MS 3000
#define ASK_MAX_MS 40000
#define ANSWER_MAX_MS 120000

/* Choices of a stream of its own: a seed's other choices keep their meaning. */
static int64_t between(struct sim *sim, int64_t low_ms, int64_t high_ms)
{
    return low_ms + (int64_t)hd_rng_below(&sim->keeping.rng, (uint64_t)(high_ms - low_ms + 1));
}

struct answer {
    struct sim_directory *directory;
    struct hd_attempt_ref left;
    enum hd_need need;
    uint32_t master;
    size_t fact_count;
    bool over; /* its run was */
};

static bool is_in_hand(const struct sim_worker *worker, const struct sim_directory *directory)
{
    for (const struct sim_container *c = worker->containers; c != NULL; c = c->next)
        if (!c->removed && c->directory == directory)
            return true;
    return false;
}

static void remove_directory(struct sim *sim, struct sim_worker *worker,
                             const struct answer *answer)
{
    struct sim_root *root = worker->root;
    struct sim_keeping *keeping = &sim->keeping;
    for (size_t d = 0; d < root->count; d++)
        if (root->directories[d] == answer->directory)
            root->directories[d] = root->directories[--root->count];
    keeping->gone =
        sim_grow(sim, keeping->gone, sizeof(*keeping->gone), keeping->count, &keeping->capacity);
    keeping->gone[keeping->count++] = (struct sim_gone){.root = root,
                                                        .name = answer->directory->name,
                                                        .run_uid = answer->left.run_uid,
                                                        .master = answer->master,
                                                        .fact_count = answer->fact_count,
                                                        .over = answer->over};
    answer->directory->gone = true;
    sim->cover->removed[answer->need]++;
    sim_trace(sim, "%s removes directory %s: needed for %s", worker->id, answer->directory->name,
              hd_need_name(answer->need));
}

static void fire_answer(struct sim *sim, const struct sim_event *event)
{
    struct sim_worker *worker = &sim->workers[event->who];
    const struct answer *answer = event->data;
    if (!worker->alive || worker->epoch != event->epoch)
        return;
    if (sim_worker_asleep(sim, worker)) {
        sim_at(sim, sim->now_ms + 500, fire_answer, event->who, event->epoch, event->data);
        return;
    }
    bool last = hd_attempt_ref_same(answer->directory->left, answer->left);
    if (!answer->directory->gone && last && !is_in_hand(worker, answer->directory))
        remove_directory(sim, worker, answer);
}

static void ask(struct sim *sim, const struct sim_worker *worker, struct sim_directory *directory,
                const struct sim_master *master)
{
    const struct hd_left left = {.attempt = directory->left,
                                 .worker = worker->id,
                                 .root = worker->root->id,
                                 .directory = directory->name};
    /* It is told when all that it follows from is on disk, as every reply. */
    enum hd_need need = hd_core_need(master->shadow, &left);
    sim->cover->needs[need]++;
    if (need < HD_NEED_ROOM)
        return;
    const struct sim_ledger_run *run = NULL;
    for (size_t r = 0; r < master->ledger.run_count; r++)
        if (master->ledger.runs[r].run_uid == left.attempt.run_uid)
            run = &master->ledger.runs[r];
    struct answer *answer = sim_alloc(sim, sizeof(*answer));
    *answer = (struct answer){
        .directory = directory,
        .left = left.attempt,
        .need = need,
        .master = master->index,
        .fact_count = master->ledger.fact_count,
        .over = run != NULL && (run->state == HD_RUN_FINISHED || run->state == HD_RUN_CANCELLED)};
    sim_at(sim, sim->now_ms + between(sim, 1, ANSWER_MAX_MS), fire_answer, worker->index,
           worker->epoch, answer);
}

static void fire_ask(struct sim *sim, const struct sim_event *event)
{
    struct sim_worker *worker = &sim->workers[event->who];
    if (!worker->alive || worker->epoch != event->epoch)
        return;
    const struct sim_master *master =
        &sim->masters[between(sim, 0, (int64_t)sim->master_count - 1)];
    bool heard = master->alive && master->shadow != NULL && !sim_worker_asleep(sim, worker) &&
                 sim_link_up(sim, SIM_NODE_WORKER + worker->index, SIM_NODE_MASTER + master->index);
    for (size_t d = 0; heard && d < worker->root->count; d++) {
        struct sim_directory *directory = worker->root->directories[d];
        if (directory->left.stamp != 0 && hd_streq(directory->left_by, worker->id))
            ask(sim, worker, directory, master);
    }
    sim_at(sim, sim->now_ms + between(sim, ASK_MIN_MS, ASK_MAX_MS), fire_ask, event->who,
           event->epoch, NULL);
}

void sim_keep_start(struct sim *sim, const struct sim_worker *worker)
{
    if (sim->plan->story)
        return;
    if (!sim->keeping.started)
        hd_rng_fork(sim->seed, "keeping", 0, &sim->keeping.rng);
    sim->keeping.started = true;
    sim_at(sim, sim->now_ms + between(sim, ASK_MIN_MS, ASK_MAX_MS), fire_ask, worker->index,
           worker->epoch, NULL);
}

/* ---- the promise ---------------------------------------------------------------------------- */

/* A frozen worker that wakes begins what ended long ago: nothing will come of it. */
static bool had_ended(const struct sim *sim, const struct sim_gone *gone,
                      struct hd_attempt_ref attempt)
{
    const struct sim_ledger *ledger = &sim->masters[gone->master].ledger;
    for (size_t f = 0; f < gone->fact_count && f < ledger->fact_count; f++) {
        const struct hd_fact *fact = ledger->facts[f];
        if (fact->kind == HD_FACT_ATTEMPT_ENDED && fact->as.attempt_ended.job == attempt.job &&
            fact->as.attempt_ended.attempt == attempt.attempt &&
            ledger->runs[fact->run].run_uid == attempt.run_uid)
            return true;
    }
    return false;
}

static void needed_state_stays(struct sim *sim, const struct sim_checker *self,
                               const struct sim_probe *probe)
{
    if (probe->kind != SIM_PROBE_CONTAINER || probe->lease->directory[0] == '\0')
        return;
    const struct sim_container *container = probe->container;
    const struct sim_root *root = container->worker->root;
    if (!hd_streq(probe->lease->root, root->id))
        return;
    for (size_t g = 0; g < sim->keeping.count; g++) {
        const struct sim_gone *gone = &sim->keeping.gone[g];
        /* People may make a run go on that was over; another history has its own view. */
        if (gone->root == root && hd_streq(gone->name, probe->lease->directory) && !gone->over &&
            gone->run_uid == container->attempt.run_uid && gone->master == container->granted_by &&
            !had_ended(sim, gone, container->attempt))
            sim_fail(sim, self->name,
                     "job %u.%u goes on from %s, which was said to be needed no more",
                     container->attempt.job, container->attempt.attempt, gone->name);
    }
}

const struct sim_checker sim_checkers_keep[] = {
    {"needed-state-stays",
     "No directory that a live attempt goes on from has been removed on its master's word, however "
     "late that was heard.",
     needed_state_stays},
};
const size_t sim_checkers_keep_count = HD_COUNT(sim_checkers_keep);
