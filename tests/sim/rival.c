/* SPDX-License-Identifier: Apache-2.0 */
/*
 * rival.c: what should be there once and is there twice. A second master under the run ids of the
 * first, with nothing or with an older copy of its state, while the first lives, is cut off or is
 * dead; and a second worker with the id of another, on a disk of its own or on a copy.
 */
#include "cluster.h"

#include <math.h>
#include <string.h>

/* ---- masters ----------------------------------------------------------------------------------
 */

static bool rival_has_started(const struct sim *sim)
{
    return sim->plan->rival.kind != SIM_RIVAL_NONE && sim->masters[1].epoch > 0;
}

uint32_t sim_run_total(const struct sim *sim)
{
    bool theirs = sim->plan->rival.kind == SIM_RIVAL_EMPTY;
    return sim->plan->run_count + (theirs ? sim->plan->rival.run_count : 0);
}

uint32_t sim_serving(const struct sim *sim, uint32_t run)
{
    if (sim->plan->rival.kind != SIM_RIVAL_COPY)
        return sim->plan->runs[run].master;
    return rival_has_started(sim) && sim->plan->rival.stays ? 1 : 0;
}

bool sim_is_served(const struct sim *sim, uint32_t run)
{
    if (sim->plan->rival.kind != SIM_RIVAL_EMPTY)
        return true;
    bool theirs = run >= sim->plan->run_count;
    return theirs == (rival_has_started(sim) && sim->plan->rival.stays);
}

bool sim_is_own_grant(const struct sim *sim, const struct sim_container *container,
                      const struct sim_master *master)
{
    if (container->granted_by == master->index)
        return true;
    return sim->plan->rival.kind == SIM_RIVAL_COPY && container->leased_seq > 0 &&
           container->leased_seq <= sim->copied_facts;
}

bool sim_is_shared_grant(const struct sim *sim, const struct sim_attempt *attempt)
{
    return sim->plan->rival.kind == SIM_RIVAL_COPY && attempt != NULL &&
           attempt->leased_seq <= sim->copied_facts;
}

/* Whoever waits for an answer asks the one that goes on, or nobody. */
static void redirect_people(struct sim *sim, uint32_t gone)
{
    for (size_t t = 0; t < sim->task_count; t++) {
        struct sim_person_task *task = sim->tasks[t];
        if (task->done || task->master != gone)
            continue;
        if (sim->plan->rival.kind == SIM_RIVAL_COPY)
            task->master = 1 - gone;
        else
            task->done = true;
    }
}

static void end_for_good(struct sim *sim, uint32_t index)
{
    sim_tell(sim, "master m%u ends for good", index);
    sim->masters[index].gone = true;
    sim_master_crash(sim, index, 0);
    redirect_people(sim, index);
}

static void fire_copied(struct sim *sim, const struct sim_event *event)
{
    (void)event;
    sim->copied_facts = sim->masters[0].ledger.fact_count;
    sim_tell(sim, "the state of m0 is copied: %llu facts", (unsigned long long)sim->copied_facts);
}

static void fire_rival(struct sim *sim, const struct sim_event *event)
{
    (void)event;
    struct sim_master *rival = &sim->masters[1];
    if (sim->calm)
        return;
    bool copy = sim->plan->rival.kind == SIM_RIVAL_COPY;
    sim_tell(sim, "another master begins with %s", copy ? "the copy" : "nothing");
    sim->cover->faults[SIM_FAULT_RIVAL_MASTER]++;
    struct hd_err err;
    enum hd_code code = hd_store_open_memory(&rival->store, &err);
    hd_assert(code == HD_OK);
    rival->index = 1;
    sim->master_count = 2;
    hd_format(rival->id, sizeof(rival->id), "%s", copy ? "m0" : "m1");
    if (copy)
        sim_master_found(sim, rival, &sim->masters[0].ledger, sim->copied_facts);
    if (sim->plan->rival.stays) {
        sim->cover->copies_served += copy;
        end_for_good(sim, 0);
    }
    sim_master_start(sim, 1);
    /* What was submitted since, the copy does not know: its person does it again. */
    for (uint32_t r = 0; r < sim->plan->run_count && copy && sim->plan->rival.stays; r++)
        if (sim->plan->runs[r].submit_ms < sim->now_ms &&
            sim_ledger_find(&rival->ledger, sim->plan->runs[r].run_uid) == NULL)
            sim_person_submit(sim, r);
    for (uint32_t r = 0; r < sim->plan->rival.run_count; r++)
        sim_person_submit(sim, sim->plan->run_count + r);
}

void sim_rival_start(struct sim *sim)
{
    sim_at(sim, sim->plan->rival.copied_ms, fire_copied, 0, 0, NULL);
    sim_at(sim, sim->plan->rival.start_ms, fire_rival, 0, 0, NULL);
}

void sim_rival_calm(struct sim *sim)
{
    if (rival_has_started(sim) && !sim->plan->rival.stays)
        end_for_good(sim, 1);
}

static void fire_answered(struct sim *sim, const struct sim_event *event)
{
    struct sim_master *master = &sim->masters[event->who];
    const char *text = event->data;
    if (!master->alive || master->epoch != event->epoch)
        return;
    sim->cover->rivals_refused++;
    sim_tell(sim, "master m%u leaves: %s", master->index, text);
    sim_master_crash(sim, event->who, sim_between(sim, 1000, 10000));
}

void sim_rival_answered(struct sim *sim, struct sim_master *master, bool first,
                        const struct hd_ns_reply *reply)
{
    if (reply->code == HD_OK || !first)
        return; /* one that serves already tries on */
    int64_t delay_ms = sim_link_delay(sim, SIM_NODE_NAMESERVER, SIM_NODE_MASTER + master->index);
    if (delay_ms >= 0)
        sim_at(sim, sim->now_ms + delay_ms, fire_answered, master->index, master->epoch,
               sim_text(sim, reply->text));
}

/* ---- workers ----------------------------------------------------------------------------------
 */

bool sim_has_twin(const struct sim *sim, uint32_t worker)
{
    for (uint32_t w = 0; w < sim->plan->worker_count; w++)
        if (sim->plan->workers[w].twin != SIM_TWIN_NONE &&
            (w == worker || sim->plan->workers[w].twin_of == worker))
            return true;
    return false;
}

bool sim_twin_lives(const struct sim *sim, uint32_t worker)
{
    for (uint32_t w = 0; w < sim->plan->worker_count; w++)
        if (w != worker && sim->workers[w].alive &&
            hd_streq(sim->workers[w].id, sim->workers[worker].id))
            return true;
    return false;
}

static void copy_root(struct sim *sim, const struct sim_root *from, struct sim_root *to)
{
    memcpy(to->id, from->id, sizeof(to->id));
    for (size_t d = 0; d < from->count; d++) {
        struct sim_directory *copy = sim_alloc(sim, sizeof(*copy));
        *copy = *from->directories[d];
        copy->writer = NULL;
        to->directories = sim_grow(sim, to->directories, sizeof(struct sim_directory *), to->count,
                                   &to->capacity);
        to->directories[to->count++] = copy;
    }
}

static struct sim_directory *same_directory(struct sim_root *root, const char *name)
{
    for (size_t d = 0; d < root->count; d++)
        if (hd_streq(root->directories[d]->name, name))
            return root->directories[d];
    return NULL;
}

/* What the journal says is believed; what ran elsewhere is not found here. */
static void copy_journal(struct sim *sim, const struct sim_worker *from, struct sim_worker *to)
{
    struct sim_container **end = &to->containers;
    for (const struct sim_container *c = from->containers; c != NULL; c = c->next) {
        if (c->removed)
            continue;
        struct sim_container *copy = sim_alloc(sim, sizeof(*copy));
        *copy = *c;
        copy->worker = to;
        copy->directory = same_directory(to->root, c->directory->name);
        copy->next = NULL;
        *end = copy;
        end = &copy->next;
    }
    sim_engine_reboot(sim, to);
}

void sim_twin_start(struct sim *sim, struct sim_worker *twin)
{
    const struct sim_worker *first = &sim->workers[twin->plan->twin_of];
    bool copy = twin->plan->twin == SIM_TWIN_COPY;
    sim->cover->faults[SIM_FAULT_STOLEN_ID]++;
    sim_tell(sim, "another machine is %s too, with %s", twin->id,
             copy ? "a copy of its disk" : "an empty disk");
    if (!copy)
        return;
    copy_root(sim, first->root, twin->root);
    copy_journal(sim, first, twin);
}

/* ---- promises -------------------------------------------------------------------------------- */

static void results_of_own_grants(struct sim *sim, const struct sim_checker *self,
                                  const struct sim_probe *probe)
{
    if (probe->kind != SIM_PROBE_REPLY || probe->message == NULL ||
        probe->message->request.kind != HD_REQUEST_REPORT || probe->message->origin == NULL)
        return;
    const struct sim_container *origin = probe->message->origin;
    if (sim_is_own_grant(sim, origin, probe->master))
        return;
    sim->cover->foreign_results += probe->reply->verdict == HD_VERDICT_REFUSED;
    if (probe->reply->verdict == HD_VERDICT_ACCEPTED)
        sim_fail(sim, self->name,
                 "m%u takes the result of job %u attempt %u, which fact %llu of m%u granted",
                 probe->master->index, origin->attempt.job, origin->attempt.attempt,
                 (unsigned long long)origin->leased_seq, origin->granted_by);
}

static bool lists_run(const struct hd_ns_entry *entry, const char *run_id)
{
    for (size_t r = 0; r < entry->run_count; r++)
        if (hd_streq(entry->runs[r], run_id))
            return true;
    return false;
}

static uint32_t masters_of(struct sim *sim, struct hd_registry *registry, const char *run_id)
{
    struct hd_ns_request request = {
        .kind = HD_NS_LIST, .role = HD_NS_MASTER, .token = "", .run_id = ""};
    char note[HD_REASON_MAX];
    uint32_t count = 0;
    request.entry.id = request.entry.address = "";
    hd_registry_step(registry, sim->now_ms, &request, sim->ns_reply, note);
    for (size_t e = 0; e < sim->ns_reply->entry_count; e++)
        count += lists_run(&sim->ns_reply->entries[e], run_id) ? 1 : 0;
    return count;
}

static void one_master_a_run(struct sim *sim, const struct sim_checker *self,
                             const struct sim_probe *probe)
{
    if (probe->kind != SIM_PROBE_TICK || sim->plan->rival.kind == SIM_RIVAL_NONE)
        return;
    for (uint32_t r = 0; r < sim->plan->run_count; r++) {
        const char *run_id = sim->plan->runs[r].run_id;
        uint32_t count = masters_of(sim, sim->registry, run_id);
        if (sim->options->plant == SIM_PLANT_RIVAL_ADMITTED)
            count += masters_of(sim, sim->second_registry, run_id);
        if (count > 1)
            sim_fail(sim, self->name, "the nameserver sends workers of run %s to %u masters",
                     run_id, count);
    }
}

static void one_process_a_worker(struct sim *sim, const struct sim_checker *self,
                                 const struct sim_probe *probe)
{
    if (probe->kind != SIM_PROBE_END)
        return;
    for (uint32_t w = 0; w < sim->plan->worker_count; w++)
        if (sim->workers[w].alive && sim_twin_lives(sim, w)) {
            sim_fail(sim, self->name, "two processes still are %s", sim->workers[w].id);
            return;
        }
}

const struct sim_checker sim_checkers_rivals[] = {
    {"results-of-own-grants",
     "A master takes a result only of an attempt that its own history granted, not one of the same "
     "number from a copy of its state.",
     results_of_own_grants},
    {"one-master-a-run", "The nameserver never names two masters for one run id.",
     one_master_a_run},
    {"one-process-a-worker", "Of two processes with one worker id the older one leaves.",
     one_process_a_worker},
};
const size_t sim_checkers_rivals_count = HD_COUNT(sim_checkers_rivals);
