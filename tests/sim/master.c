/* SPDX-License-Identifier: Apache-2.0 */
/*
 * master.c: a master's process: the driver's loop, its disk and its clock.
 *
 *   drain the inbox, step every event  ->  one commit (takes time, may fail)  ->  send
 *
 * It may die between any two of these. The store outlives it; the core, the asks and whatever
 * was parked do not.
 */
#include "cluster.h"

#include <stdlib.h>
#include <string.h>

int64_t sim_master_clock(const struct sim *sim, const struct sim_master *master)
{
    return sim->now_ms + master->clock_offset_ms;
}

/* ---- boot and death
 * -------------------------------------------------------------------------------- */

static uint32_t core_plants(enum sim_plant plant)
{
#ifdef HD_PLANTS
    switch (plant) {
    case SIM_PLANT_NO_FENCING:
        return HD_PLANT_NO_FENCING;
    case SIM_PLANT_NO_DEDUP:
        return HD_PLANT_NO_DEDUP;
    case SIM_PLANT_LEASE_FORGOTTEN:
        return HD_PLANT_LEASE_FORGOTTEN;
    case SIM_PLANT_CUT_FORGOTTEN:
        return HD_PLANT_CUT_FORGOTTEN;
    case SIM_PLANT_SAME_WORKER:
        return HD_PLANT_SAME_WORKER;
    case SIM_PLANT_QUARANTINE_IGNORED:
        return HD_PLANT_QUARANTINE_IGNORED;
    case SIM_PLANT_QUARANTINE_HASTY:
        return HD_PLANT_QUARANTINE_HASTY;
    case SIM_PLANT_LEAVING_FORGIVES:
        return HD_PLANT_LEAVING_FORGIVES;
    case SIM_PLANT_OLD_INCARNATION:
        return HD_PLANT_OLD_INCARNATION;
    case SIM_PLANT_DRAINING_FED:
        return HD_PLANT_DRAINING_FED;
    case SIM_PLANT_STAMP_IGNORED:
        return HD_PLANT_STAMP_IGNORED;
    case SIM_PLANT_OLD_COPY:
        return HD_PLANT_OLD_COPY;
    case SIM_PLANT_STATE_GIVEN_UP:
        return HD_PLANT_STATE_GIVEN_UP;
    case SIM_PLANT_RERUNS_ANYTHING:
        return HD_PLANT_RERUNS_ANYTHING;
    case SIM_PLANT_RIVAL_ADMITTED:
    case SIM_PLANT_REFUSED_STAYS:
    case SIM_PLANT_LEASE_ENDLESS:
    case SIM_PLANT_NONE:
    case SIM_PLANT_REPLY_BEFORE_COMMIT:
    case SIM_PLANT_COMMIT_LOST:
    case SIM_PLANT_REPLY_TWICE:
    case SIM_PLANT_REPLY_FORGOTTEN:
    case SIM_PLANT_SAMPLER_PEEKS:
    case SIM_PLANT_KNOWN_FORGOTTEN:
    case SIM_PLANT_SAMPLER_SLEEPS:
    case SIM_PLANT_TIMEOUT_FORGOTTEN:
    case SIM_PLANT_RESULT_NOT_KEPT:
    case SIM_PLANT_DROP_IGNORED:
    case SIM_PLANT_FACT_LOST:
    case SIM_PLANT_WRONG_LADDER:
    case SIM_PLANT_WRONG_COUNT:
    case SIM_PLANT_HOLD_FORGOTTEN:
    case SIM_PLANT_FACT_TWISTED:
    case SIM_PLANT_VALUES_SWAPPED:
    case SIM_PLANT_OPENING_IGNORED:
    case SIM_PLANT_ATTEMPT_REUSED:
    case SIM_PLANT_DIRECTORY_LOST:
    case SIM_PLANT_WRONG_LIMITS:
    case SIM_PLANT_STOPS_UNASKED:
    case SIM_PLANT_COUNT:
        break;
    }
#else
    (void)plant;
#endif
    return 0;
}

static struct hd_core *new_core(const struct sim *sim)
{
    struct hd_core_options options = {.ping_ms = 5000,
                                      .shutdown_workers = sim->plan->shutdown_workers,
                                      .no_copies = !sim->plan->travels,
                                      .no_files = !sim->plan->travels};
#ifdef HD_PLANTS
    options.plants = core_plants(sim->options->plant);
#else
    (void)core_plants;
#endif
    struct hd_core *core = NULL;
    struct hd_err err;
    enum hd_code code = hd_core_new(&options, &core, &err);
    hd_assert(code == HD_OK);
    return core;
}

/* What was heard before belongs to another clock; the first event starts every term anew. */
static void forget_renewals(struct sim_master *master)
{
    for (size_t r = 0; r < master->ledger.run_count; r++)
        for (size_t j = 0; j < master->ledger.runs[r].job_count; j++) {
            struct sim_attempt *attempt = sim_job_open(&master->ledger.runs[r].jobs[j]);
            if (attempt != NULL)
                attempt->renewed_ms = INT64_MIN;
        }
}

struct restore {
    struct sim *sim;
    struct hd_core *core;
};

static enum hd_code apply_one(void *context, const struct hd_fact *fact, struct hd_err *err)
{
    struct restore *restore = context;
    return hd_core_apply(restore->core, fact, err);
}

/* What the workers were told with the grants that both have. */
static void copy_stamps(const struct sim_ledger *from, struct sim_ledger *to)
{
    for (size_t r = 0; r < to->run_count; r++)
        for (size_t j = 0; j < to->runs[r].job_count; j++)
            for (size_t a = 0; a < to->runs[r].jobs[j].attempt_count; a++)
                to->runs[r].jobs[j].attempts[a].stamp = from->runs[r].jobs[j].attempts[a].stamp;
}

void sim_master_found(struct sim *sim, struct sim_master *master, const struct sim_ledger *from,
                      size_t count)
{
    struct hd_fact *facts = sim_alloc(sim, (count + 1) * sizeof(*facts));
    struct hd_err err;
    master->shadow = new_core(sim);
    for (size_t f = 0; f < count; f++) {
        facts[f] = *from->facts[f];
        sim_ledger_fold(sim, &master->ledger, &facts[f]);
        enum hd_code code = hd_core_apply(master->shadow, &facts[f], &err);
        hd_assert(code == HD_OK);
    }
    enum hd_code code = hd_store_append(master->store, facts, count, &err);
    hd_assert(code == HD_OK);
    copy_stamps(from, &master->ledger);
}

void sim_master_start(struct sim *sim, uint32_t index)
{
    struct sim_master *master = &sim->masters[index];
    bool first = master->epoch == 0;
    master->alive = true;
    master->first_request = NULL;
    master->epoch++;
    if (first || sim->plan->climate.new_port)
        master->port = 7000 + master->epoch;
    master->clock_offset_ms = sim->plan->story ? 0 : sim_between(sim, 0, 1000000);
    master->boot_ms = sim_master_clock(sim, master);
    master->boot_offset_ms = master->clock_offset_ms;
    master->first_event_ms = HD_NEVER_MS;
    master->jumped = false;
    master->timer_ms = HD_NEVER_MS;
    master->hold_since_ms = -1;
    master->last_hold_ms = master->boot_ms;
    master->hold_ended_ms = sim->now_ms;
    master->core = new_core(sim);
    if (master->shadow == NULL)
        master->shadow = new_core(sim);
    forget_renewals(master);
    struct restore restore = {sim, master->core};
    struct hd_err err;
    enum hd_code code = hd_store_load(master->store, apply_one, &restore, &err);
    if (code != HD_OK)
        sim_fail(sim, "restore-equals-live", "restore of master %u: %s", index, err.text);
    for (uint32_t r = 0; r < SIM_RUNS_MAX; r++)
        master->result_seq[r] = master->ledger.runs[r].last_result_seq;
    if (!first) {
        sim->cover->restores++;
        sim_tell(sim, "master m%u starts again: %zu facts restored", index,
                 master->ledger.fact_count);
    }
    struct sim_probe probe = {.kind = SIM_PROBE_RESTORED, .master = master};
    sim_probe(sim, &probe);
    sim_travel_restart(sim, master);
    sim_home_restart(sim, master);
    sim_master_renew(sim, master);
    sim_master_wake(sim, master);
}

static void forget_process(struct sim_master *master)
{
    for (uint32_t r = 0; r < SIM_RUNS_MAX; r++)
        sim_actor_release(&master->actors[r]); /* first: samplers borrow the spaces of the core */
    hd_core_free(master->core);
    master->core = NULL;
    master->inbox_count = 0;
    master->batch_count = 0;
    master->reply_count = 0;
    master->ask_count = 0;
    master->owed_count = 0;
    memset(master->heard, 0, sizeof(master->heard));
    master->busy = false;
    master->wake_set = false;
    master->crash_before = false;
    master->crash_after = false;
    master->fsync_fails = false;
}

void sim_master_release(struct sim_master *master)
{
    forget_process(master);
    hd_core_free(master->shadow);
    hd_store_close(master->store);
}

static void fire_start(struct sim *sim, const struct sim_event *event)
{
    struct sim_master *master = &sim->masters[event->who];
    if (!master->alive && master->epoch == event->epoch && !master->gone)
        sim_master_start(sim, event->who);
}

void sim_master_crash(struct sim *sim, uint32_t index, int64_t down_ms)
{
    struct sim_master *master = &sim->masters[index];
    if (!master->alive)
        return;
    master->alive = false;
    forget_process(master);
    for (size_t c = 0; c < sim->connection_count; c++)
        if (sim->connections[c]->master == index && sim->connections[c]->master_open)
            sim_connection_close(sim, sim->connections[c], false);
    if (down_ms < 0)
        down_ms = sim_between(sim, 100, sim->plan->climate.down_max_ms);
    sim_at(sim, sim->now_ms + down_ms, fire_start, index, master->epoch, NULL);
}

/* ---- the inbox
 * ---------------------------------------------------------------------------------------- */

void sim_master_push(struct sim *sim, struct sim_master *master, const struct hd_event *event,
                     struct sim_message *message)
{
    if (master->inbox == NULL)
        master->inbox = sim_alloc(sim, SIM_INBOX_MAX * sizeof(*master->inbox));
    if (master->inbox_count == SIM_INBOX_MAX) {
        sim_fail(sim, "bounded", "inbox of master %u is full", master->index);
        return;
    }
    master->inbox[master->inbox_count++] = (struct sim_inbox){*event, message};
    sim_master_wake(sim, master);
}

bool sim_master_is_full(const struct sim_master *master)
{
    return master->inbox_count >= SIM_INBOX_MAX - SIM_INBOX_KEPT;
}

void sim_master_receive(struct sim *sim, struct sim_message *message)
{
    struct sim_master *master = &sim->masters[message->connection->master];
    if (master->owed == NULL)
        master->owed = sim_alloc(sim, SIM_OWED_MAX * sizeof(*master->owed));
    if (master->owed_count == SIM_OWED_MAX) {
        sim_fail(sim, "bounded", "master %u owes %d replies", master->index, SIM_OWED_MAX);
        return;
    }
    struct hd_event event = {.kind = HD_EVENT_REQUEST,
                             .address = ++master->next_address,
                             .connection = message->connection->id,
                             .request = &message->request};
    master->owed[master->owed_count++] =
        (struct sim_owed){event.address, message, sim->now_ms, false};
    sim_master_push(sim, master, &event, message);
}

void sim_master_disconnected(struct sim *sim, struct sim_connection *connection)
{
    struct sim_master *master = &sim->masters[connection->master];
    struct hd_event event = {.kind = HD_EVENT_DISCONNECT, .connection = connection->id};
    sim_master_push(sim, master, &event, NULL);
}

/* ---- stepping
 * -------------------------------------------------------------------------------------------- */

/* The newest hello or ping of a worker, for the checkers' own clock of leases: a copy of an old one
 * renews nothing. */
static bool is_news(struct sim_master *master, const struct hd_request *request,
                    struct sim_heard **ret_heard)
{
    if ((request->kind != HD_REQUEST_PING && request->kind != HD_REQUEST_HELLO &&
         request->kind != HD_REQUEST_BYE) ||
        request->worker[0] != 'w')
        return false;
    uint32_t index = (uint32_t)(request->worker[1] - '0');
    struct sim_heard *heard = &master->heard[index];
    if (request->incarnation < heard->incarnation ||
        (request->incarnation == heard->incarnation && request->sequence <= heard->sequence))
        return false;
    *ret_heard = heard;
    return true;
}

bool sim_request_holds(const struct hd_request *request, struct hd_attempt_ref attempt)
{
    for (size_t h = 0; h < request->held_count; h++)
        if (hd_attempt_ref_same(request->held[h], attempt))
            return true;
    return false;
}

bool sim_request_knows(const struct hd_request *request, const struct sim_attempt *attempt)
{
    return request->incarnation > attempt->incarnation || request->lease_seen >= attempt->sequence;
}

/* Ended by an earlier event of this batch: what comes later renews nothing. */
static bool ended_in_batch(const struct sim_master *master, uint32_t run, uint32_t job)
{
    for (size_t f = 0; f < master->batch_count; f++)
        if (master->batch[f]->kind == HD_FACT_ATTEMPT_ENDED && master->batch[f]->run == run &&
            master->batch[f]->as.attempt_ended.job == job)
            return true;
    return false;
}

static bool is_superseded(const struct sim_master *master, const struct hd_request *request)
{
    return request->worker[0] == 'w' &&
           request->incarnation < master->heard[request->worker[1] - '0'].incarnation;
}

static void note_renewals(struct sim *sim, struct sim_master *master,
                          const struct hd_request *request)
{
    struct sim_heard *heard;
    if (!is_news(master, request, &heard))
        return;
    *heard = (struct sim_heard){request->incarnation, request->sequence, request, sim->now_ms};
    for (size_t r = 0; r < master->ledger.run_count; r++) {
        struct sim_ledger_run *run = &master->ledger.runs[r];
        for (size_t j = 0; j < run->job_count; j++) {
            struct sim_attempt *attempt = sim_job_open(&run->jobs[j]);
            if (attempt == NULL || !hd_streq(attempt->worker, request->worker) ||
                (attempt->stamp == 0 && sim->plan->rival.kind == SIM_RIVAL_COPY) ||
                ended_in_batch(master, (uint32_t)r, (uint32_t)j))
                continue;
            struct hd_attempt_ref ref = {run->run_uid, (uint32_t)j, attempt->number,
                                         attempt->stamp};
            if (sim_request_holds(request, ref))
                attempt->renewed_ms = sim_master_clock(sim, master);
            else if (sim_request_knows(request, attempt))
                attempt->missed_ms = sim->now_ms;
        }
    }
}

static bool drop_by_plant(struct sim *sim, const struct hd_fact *fact)
{
    if (sim->options->plant != SIM_PLANT_FACT_LOST || sim->planted)
        return false;
    if (fact->kind != HD_FACT_CURVE_POINT && fact->kind != HD_FACT_REPORT_REFUSED)
        return false;
    sim->planted = true;
    return true;
}

static void swap_by_plant(struct sim *sim, struct hd_fact_attempt_ended *ended)
{
    double *swapped = sim_alloc(sim, ended->measure_count * sizeof(double));
    memcpy(swapped, ended->measures, ended->measure_count * sizeof(double));
    swapped[0] = ended->measures[1];
    swapped[1] = ended->measures[0];
    ended->measures = swapped;
}

static void twist_by_plant(struct sim *sim, struct hd_fact *fact)
{
    if (sim->options->plant == SIM_PLANT_VALUES_SWAPPED && fact->kind == HD_FACT_ATTEMPT_ENDED &&
        fact->as.attempt_ended.measure_count > 1)
        swap_by_plant(sim, &fact->as.attempt_ended);
    if (sim->options->plant == SIM_PLANT_FACT_TWISTED && fact->kind == HD_FACT_ATTEMPT_ENDED)
        fact->as.attempt_ended.loss += 1;
    if (sim->options->plant == SIM_PLANT_ATTEMPT_REUSED && fact->kind == HD_FACT_ATTEMPT_LEASED &&
        fact->as.attempt_leased.attempt > 1)
        fact->as.attempt_leased.attempt--;
}

static void keep_fact(struct sim *sim, struct sim_master *master, const struct hd_fact *fact)
{
    if (drop_by_plant(sim, fact))
        return;
    struct hd_fact *copy = sim_fact_copy(sim, fact);
    if (copy->kind == HD_FACT_CONFIG_PROPOSED)
        copy->as.config_proposed.params_json = "{}";
    twist_by_plant(sim, copy);
    if (copy->kind == HD_FACT_ATTEMPT_ENDED && !copy->as.attempt_ended.requeued &&
        copy->run < SIM_RUNS_MAX)
        master->result_seq[copy->run] = copy->seq;
    master->batch = sim_grow(sim, master->batch, sizeof(struct hd_fact *), master->batch_count,
                             &master->batch_capacity);
    master->batch[master->batch_count++] = copy;
}

/* For the checker of proposals: it must ask what the core asked. */
static void note_ask(struct sim *sim, struct sim_master *master, const struct hd_ask *ask)
{
    if (ask->run >= SIM_RUNS_MAX)
        return;
    struct sim_ledger_run *run = &master->ledger.runs[ask->run];
    while (run->ask_count <= ask->config) {
        run->ask_budgets =
            sim_grow(sim, run->ask_budgets, sizeof(double), run->ask_count, &run->ask_capacity);
        run->ask_budgets[run->ask_count++] = 0;
    }
    run->ask_budgets[ask->config] = ask->budget;
}

/* A lease that is spoken again begins again: its worker starts only now. */
static void note_grant(struct sim *sim, struct sim_master *master, const struct hd_reply *reply)
{
    struct sim_ledger_run *run = sim_ledger_find(&master->ledger, reply->lease.attempt.run_uid);
    if (reply->kind != HD_REPLY_LEASE || run == NULL || reply->lease.attempt.job >= run->job_count)
        return;
    struct sim_attempt *attempt = sim_job_open(&run->jobs[reply->lease.attempt.job]);
    if (attempt != NULL && attempt->number == reply->lease.attempt.attempt)
        attempt->renewed_ms = sim_master_clock(sim, master);
}

static void keep_update(struct sim *sim, struct sim_master *master)
{
    const struct hd_update *update = sim->update;
    for (size_t n = 0; n < update->note_count; n++) {
        sim_note_count(sim->cover, update->notes[n].text);
        if (update->notes[n].level == HD_NOTE_DEBUG)
            sim_trace(sim, "%s", update->notes[n].text);
        else
            sim_tell(sim, "%s", update->notes[n].text);
    }
    for (size_t f = 0; f < update->fact_count; f++)
        keep_fact(sim, master, &update->facts[f]);
    for (size_t r = 0; r < update->reply_count; r++) {
        note_grant(sim, master, &update->replies[r]);
        master->replies = sim_grow(sim, master->replies, sizeof(struct hd_reply *),
                                   master->reply_count, &master->reply_capacity);
        master->replies[master->reply_count++] = sim_reply_copy(sim, &update->replies[r]);
    }
    for (size_t a = 0; a < update->ask_count; a++) {
        note_ask(sim, master, &update->asks[a]);
        master->asks = sim_grow(sim, master->asks, sizeof(*master->asks), master->ask_count,
                                &master->ask_capacity);
        master->asks[master->ask_count++] = update->asks[a];
    }
}

/* Stale, hello-first and refused messages renew nothing. */
static bool was_taken(const struct hd_update *update, uint64_t address)
{
    for (size_t r = 0; r < update->reply_count; r++)
        if (update->replies[r].address == address)
            return update->replies[r].kind == HD_REPLY_OK;
    return false;
}

static void step(struct sim *sim, struct sim_master *master, struct hd_event *event,
                 struct sim_message *message)
{
    event->now_ms = sim_master_clock(sim, master);
    event->wall_ms = sim->now_ms;
    struct hd_err err;
    enum hd_code code = hd_core_reserve(master->core, event, &err);
    if (code != HD_OK) {
        sim_fail(sim, "bounded", "reserve: %s", err.text);
        return;
    }
    if (master->first_event_ms == HD_NEVER_MS)
        master->first_event_ms = event->now_ms;
    if (event->kind == HD_EVENT_DISCONNECT)
        for (size_t o = 0; o < master->owed_count; o++)
            if (master->owed[o].message->connection->id == event->connection)
                master->owed[o].gone = true;
    hd_core_step(master->core, event, sim->update);
    if (message != NULL && !message->stepped) {
        message->stepped = true;
        message->superseded = is_superseded(master, &message->request);
    }
    if (message != NULL && was_taken(sim->update, event->address))
        note_renewals(sim, master, &message->request);
    struct sim_probe probe = {
        .kind = SIM_PROBE_STEP, .master = master, .event = event, .update = sim->update};
    sim_probe(sim, &probe);
    keep_update(sim, master);
}

static bool timer_due(const struct sim *sim, const struct sim_master *master)
{
    return sim->options->plant != SIM_PLANT_TIMEOUT_FORGOTTEN &&
           hd_core_deadline_ms(master->core) <= sim_master_clock(sim, master);
}

static void fire_batch(struct sim *sim, const struct sim_event *event)
{
    struct sim_master *master = &sim->masters[event->who];
    if (!master->alive || master->epoch != event->epoch || master->busy)
        return;
    master->wake_set = false;
    size_t count = master->inbox_count;
    struct sim_inbox *inbox = sim_alloc(sim, (count + 1) * sizeof(*inbox));
    if (count > 0)
        memcpy(inbox, master->inbox, count * sizeof(*inbox));
    master->inbox_count = 0;
    for (size_t i = 0; i < count && !sim->result->failed; i++)
        step(sim, master, &inbox[i].event, inbox[i].message);
    if (timer_due(sim, master)) {
        struct hd_event timeout = {.kind = HD_EVENT_TIMEOUT};
        step(sim, master, &timeout, NULL);
    }
    if (!sim->result->failed)
        sim_master_commit(sim, master);
}

static void fire_timer(struct sim *sim, const struct sim_event *event)
{
    struct sim_master *master = &sim->masters[event->who];
    if (!master->alive || master->epoch != event->epoch)
        return;
    master->timer_ms = HD_NEVER_MS;
    sim_master_wake(sim, master);
}

/* A batch now when there is work, otherwise when the core wants its timeout. */
void sim_master_wake(struct sim *sim, struct sim_master *master)
{
    if (master->busy || master->wake_set)
        return;
    if (master->inbox_count > 0 || timer_due(sim, master)) {
        master->wake_set = true;
        sim_at(sim, sim->now_ms, fire_batch, master->index, master->epoch, NULL);
        return;
    }
    int64_t deadline_ms = hd_core_deadline_ms(master->core);
    if (deadline_ms == HD_NEVER_MS || sim->options->plant == SIM_PLANT_TIMEOUT_FORGOTTEN)
        return;
    deadline_ms -= master->clock_offset_ms; /* in virtual time */
    if (deadline_ms >= master->timer_ms)
        return;
    master->timer_ms = deadline_ms;
    sim_at(sim, deadline_ms, fire_timer, master->index, master->epoch, NULL);
}
