/* SPDX-License-Identifier: Apache-2.0 */
/* master_commit.c: the batch of a simulated master becomes durable, or not, and then it speaks. */
#include "cluster.h"

#include <string.h>

#define FULL_RETRY_MS 1000

static bool answer(struct sim_master *master, uint64_t address, struct sim_message **ret_request)
{
    for (size_t o = 0; o < master->owed_count; o++)
        if (master->owed[o].address == address) {
            *ret_request = master->owed[o].message;
            master->owed[o] = master->owed[--master->owed_count];
            return true;
        }
    return false;
}

/* The same grant in the state of another master is told with the same stamp, whoever tells it. */
static void note_stamp(struct sim *sim, struct sim_attempt *told, const struct hd_attempt_ref *ref)
{
    told->stamp = ref->stamp;
    for (uint32_t m = 0; m < sim->master_count && sim_is_shared_grant(sim, told); m++) {
        struct sim_ledger_run *run = sim_ledger_find(&sim->masters[m].ledger, ref->run_uid);
        struct sim_attempt *other = run != NULL && ref->job < run->job_count
                                        ? sim_job_attempt(&run->jobs[ref->job], ref->attempt)
                                        : NULL;
        if (other != NULL && other->leased_seq == told->leased_seq)
            other->stamp = ref->stamp;
    }
}

/* A lease that was spoken before: its first reply was lost, or a restart forgot that it was sent.
 */
static void tell_repeat(struct sim *sim, struct sim_master *master, const struct hd_reply *reply)
{
    const struct hd_attempt_ref *ref = &reply->lease.attempt;
    struct sim_ledger_run *run = sim_ledger_find(&master->ledger, ref->run_uid);
    if (reply->kind != HD_REPLY_LEASE || run == NULL || ref->job >= run->job_count)
        return;
    struct sim_attempt *attempt = sim_job_attempt(&run->jobs[ref->job], ref->attempt);
    if (attempt == NULL)
        return;
    bool late = sim_master_clock(sim, master) - attempt->leased_ms > 1000;
    note_stamp(sim, attempt, ref);
    if (attempt->spoken || late)
        sim_tell(sim, "m%u repeats the lease of job %u attempt %u to %s", master->index, ref->job,
                 ref->attempt, attempt->worker);
    attempt->spoken = true;
}

static void send_reply(struct sim *sim, struct sim_master *master, struct hd_reply *reply)
{
    struct sim_message *request = NULL;
    (void)answer(master, reply->address, &request);
    struct sim_probe probe = {
        .kind = SIM_PROBE_REPLY, .master = master, .reply = reply, .message = request};
    sim_probe(sim, &probe);
    sim->cover->replies[reply->kind]++;
    sim->cover->verdicts[reply->verdict]++;
    for (size_t c = 0; c < reply->command_count; c++)
        sim->cover->actions[reply->commands[c].action]++;
    if (request == NULL)
        return;
    sim_trace(sim, "m%u -> %s: %s lane %d seq %llu job %u.%u", master->index,
              request->request.worker, hd_reply_kind_name(reply->kind), (int)reply->lane,
              (unsigned long long)reply->sequence, reply->lease.attempt.job,
              reply->lease.attempt.attempt);
    tell_repeat(sim, master, reply);
    if (!request->connection->master_open)
        return;
    struct sim_message *message = sim_alloc(sim, sizeof(*message));
    message->connection = request->connection;
    message->is_reply = true;
    message->send_id = request->send_id;
    message->reply = reply;
    sim_connection_send(sim, message);
}

static void send_all(struct sim *sim, struct sim_master *master)
{
    enum sim_plant plant = sim->options->plant;
    for (size_t r = 0; r < master->reply_count && !sim->result->failed; r++) {
        struct hd_reply *reply = master->replies[r];
        if (plant == SIM_PLANT_REPLY_FORGOTTEN && reply->kind == HD_REPLY_LEASE && !sim->planted &&
            master->ledger.fact_count > 20) {
            sim->planted = true;
            continue;
        }
        send_reply(sim, master, reply);
        if (plant == SIM_PLANT_REPLY_TWICE && !sim->planted && master->ledger.fact_count > 20) {
            sim->planted = true;
            send_reply(sim, master, reply);
        }
    }
    master->reply_count = 0;
}

static void commit_fact(struct sim *sim, struct sim_master *master, const struct hd_fact *fact)
{
    struct sim_probe probe = {.kind = SIM_PROBE_FACT, .master = master, .fact = fact};
    sim_probe(sim, &probe);
    sim->digest = hd_hash_u64(sim->digest, (uint64_t)sim->now_ms);
    sim->digest = hd_hash_u64(sim->digest, fact->seq * 16 + (uint64_t)fact->kind);
    sim->cover->facts[fact->kind]++;
    if (fact->kind == HD_FACT_ATTEMPT_ENDED) {
        sim->digest = hd_hash_double(sim->digest, fact->as.attempt_ended.loss);
        sim->cover->outcomes[fact->as.attempt_ended.outcome]++;
        if (fact->as.attempt_ended.requeued)
            sim->cover->requeued[fact->as.attempt_ended.outcome]++;
    }
    if (fact->kind == HD_FACT_CONFIG_PROPOSED)
        for (size_t v = 0; v < fact->as.config_proposed.value_count; v++)
            sim->result->proposals =
                hd_hash_double(sim->result->proposals, fact->as.config_proposed.values[v]);
    if (fact->kind == HD_FACT_CONFIG_PROPOSED)
        sim->cover->proposals_by_model += fact->as.config_proposed.info.model;
    if (fact->kind == HD_FACT_WORKER_STATE)
        sim->cover->worker_states[fact->as.worker_state.state]++;
    if (fact->kind == HD_FACT_COMMAND_GIVEN)
        sim->cover->commands[fact->as.command_given.op]++;
    sim_ledger_fold(sim, &master->ledger, fact);
    struct hd_err err;
    if (hd_core_apply(master->shadow, fact, &err) != HD_OK)
        sim_fail(sim, "restore-equals-live", "the shadow refuses fact %llu (%s): %s",
                 (unsigned long long)fact->seq, hd_fact_kind_name(fact->kind), err.text);
}

/* The transaction itself. Facts go to the store in one call. */
static void commit_now(struct sim *sim, struct sim_master *master)
{
    struct hd_fact *facts = sim_alloc(sim, (master->batch_count + 1) * sizeof(*facts));
    for (size_t f = 0; f < master->batch_count; f++)
        facts[f] = *master->batch[f];
    size_t stored = master->batch_count;
    if (sim->options->plant == SIM_PLANT_COMMIT_LOST && !sim->planted && master->commits > 8) {
        sim->planted = true;
        master->crash_after = false;
        stored = 0;
    }
    struct hd_err err;
    enum hd_code code = hd_store_append(master->store, facts, stored, &err);
    if (code != HD_OK) {
        sim_fail(sim, "facts-in-sequence", "the store refuses a batch: %s", err.text);
        return;
    }
    for (size_t f = 0; f < master->batch_count && !sim->result->failed; f++)
        commit_fact(sim, master, &facts[f]);
    master->batch_count = 0;
    master->commits++;
    if (sim->result->failed)
        return;
    struct sim_probe probe = {.kind = SIM_PROBE_COMMIT, .master = master};
    sim_probe(sim, &probe);
}

static void commit_end(struct sim *sim, struct sim_master *master)
{
    if (sim->options->plant != SIM_PLANT_REPLY_BEFORE_COMMIT)
        send_all(sim, master);
    for (size_t a = 0; a < master->ask_count; a++)
        sim_actor_ask(sim, master, &master->asks[a]);
    master->ask_count = 0;
    master->busy = false;
    if (master->hold_since_ms >= 0) {
        int64_t now_ms = sim_master_clock(sim, master);
        struct hd_event hold = {.kind = HD_EVENT_HOLD, .hold_ms = now_ms - master->hold_since_ms};
        master->last_hold_ms = now_ms;
        master->hold_ended_ms = sim->now_ms;
        master->last_held_ms = hold.hold_ms;
        if (sim->options->plant == SIM_PLANT_HOLD_FORGOTTEN)
            hold.hold_ms = 0;
        master->hold_since_ms = -1;
        sim_tell(sim, "master m%u: the disk has space again after %lld ms", master->index,
                 (long long)hold.hold_ms);
        sim_master_push(sim, master, &hold, NULL);
        /* It goes first: what waits behind it must see the leases extended. */
        struct sim_inbox first = master->inbox[master->inbox_count - 1];
        memmove(&master->inbox[1], &master->inbox[0],
                (master->inbox_count - 1) * sizeof(*master->inbox));
        master->inbox[0] = first;
    }
    sim_master_wake(sim, master);
}

static bool crash_here(struct sim *sim, struct sim_master *master, bool *flag, enum sim_fault fault,
                       const char *where)
{
    if (!*flag)
        return false;
    *flag = false;
    sim->cover->faults[fault]++;
    sim_tell(sim, "master m%u dies %s (%zu facts, %zu replies)", master->index, where,
             master->batch_count > 0 ? master->batch_count : master->batch_said,
             master->reply_count);
    return true;
}

static void fire_commit(struct sim *sim, const struct sim_event *event)
{
    struct sim_master *master = &sim->masters[event->who];
    if (!master->alive || master->epoch != event->epoch)
        return;
    if (sim->now_ms < master->full_until_ms) {
        if (master->hold_since_ms < 0) {
            master->hold_since_ms = sim_master_clock(sim, master);
            sim->cover->faults[SIM_FAULT_DISK_FULL]++;
            sim_tell(sim, "master m%u: no space left, %zu facts and %zu replies are held",
                     master->index, master->batch_count, master->reply_count);
        }
        sim_at(sim, sim->now_ms + FULL_RETRY_MS, fire_commit, event->who, event->epoch, NULL);
        return;
    }
    if (crash_here(sim, master, &master->crash_before, SIM_FAULT_CRASH_BEFORE_COMMIT,
                   "before the commit")) {
        sim_master_crash(sim, event->who, -1);
        return;
    }
    if (crash_here(sim, master, &master->fsync_fails, SIM_FAULT_FSYNC_FAILED,
                   "since fsync failed")) {
        if (sim_chance(sim, 500))
            commit_now(sim, master); /* the bytes were there after all */
        sim_master_crash(sim, event->who, -1);
        return;
    }
    bool after = master->crash_after;
    size_t facts = master->batch_count;
    commit_now(sim, master);
    if (sim->result->failed)
        return;
    master->batch_said = facts;
    if (after && facts > 0 && master->reply_count > 0 &&
        crash_here(sim, master, &master->crash_after, SIM_FAULT_CRASH_AFTER_COMMIT,
                   "between the commit and the replies")) {
        sim_master_crash(sim, event->who, -1);
        return;
    }
    commit_end(sim, master);
}

void sim_master_commit(struct sim *sim, struct sim_master *master)
{
    master->busy = true;
    if (sim->options->plant == SIM_PLANT_REPLY_BEFORE_COMMIT)
        send_all(sim, master);
    if (master->batch_count == 0) {
        commit_end(sim, master);
        return;
    }
    int64_t commit_ms = sim_between(sim, 0, sim->plan->climate.commit_max_ms);
    sim_at(sim, sim->now_ms + commit_ms, fire_commit, master->index, master->epoch, NULL);
}
