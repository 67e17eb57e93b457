/* SPDX-License-Identifier: Apache-2.0 */
/* fault.c: what goes wrong, when the climate or a story's script says so. */
#include "cluster.h"

#include <math.h>

static const char *const fault_names[SIM_FAULT_COUNT] = {
    [SIM_FAULT_WORKER_CRASH] = "worker-crash",
    [SIM_FAULT_WORKER_REBOOT] = "worker-reboot",
    [SIM_FAULT_WORKER_FREEZE] = "worker-freeze",
    [SIM_FAULT_WORKER_STALL] = "worker-stall",
    [SIM_FAULT_WORKER_DRAIN] = "worker-drain",
    [SIM_FAULT_WORKER_LEAVE] = "worker-leave",
    [SIM_FAULT_WORKER_NOTICE] = "worker-notice",
    [SIM_FAULT_MASTER_CRASH] = "master-crash",
    [SIM_FAULT_CRASH_BEFORE_COMMIT] = "master-crash-before-commit",
    [SIM_FAULT_CRASH_AFTER_COMMIT] = "master-crash-after-commit",
    [SIM_FAULT_DISK_FULL] = "disk-full",
    [SIM_FAULT_FSYNC_FAILED] = "fsync-failed",
    [SIM_FAULT_NAMESERVER_FORGETS] = "nameserver-forgets",
    [SIM_FAULT_NAMESERVER_DOWN] = "nameserver-down",
    [SIM_FAULT_CLOCK_JUMP] = "clock-jump",
    [SIM_FAULT_LINK_CUT] = "link-cut",
    [SIM_FAULT_LINK_CUT_ONE_WAY] = "link-cut-one-way",
    [SIM_FAULT_CONNECTION_RESET] = "connection-reset",
    [SIM_FAULT_MESSAGE_DROP] = "message-drop",
    [SIM_FAULT_MESSAGE_DUPLICATE] = "message-duplicate",
    [SIM_FAULT_MESSAGE_DELAY] = "message-delay",
    [SIM_FAULT_SAMPLER_SLOW] = "sampler-slow",
    [SIM_FAULT_PERSON_PAUSE] = "person-pauses",
    [SIM_FAULT_PERSON_RESUME] = "person-resumes",
    [SIM_FAULT_PERSON_CANCEL_RUN] = "person-cancels-run",
    [SIM_FAULT_PERSON_CANCEL_JOB] = "person-cancels-job",
    [SIM_FAULT_PERSON_ORDERS_WORKER] = "person-orders-worker",
    [SIM_FAULT_PERSON_SETS_LIMIT] = "person-sets-limit",
    [SIM_FAULT_MESSAGE_REPLAYED] = "message-replayed",
    [SIM_FAULT_OLD_RESULT] = "old-result",
    [SIM_FAULT_RIVAL_MASTER] = "rival-master",
    [SIM_FAULT_MASTER_CUT_OFF] = "master-cut-off",
    [SIM_FAULT_STOLEN_ID] = "stolen-id",
    [SIM_FAULT_PERSON_REQUEUES_JOB] = "person-requeues-job",
};

const char *sim_fault_name(enum sim_fault fault)
{
    return fault_names[fault];
}

/* ---- doing
 * ---------------------------------------------------------------------------------------------- */

static uint32_t any_link_end(struct sim *sim)
{
    uint32_t pick = (uint32_t)hd_rng_below(&sim->rng, sim->plan->master_count + 1u);
    return pick == sim->plan->master_count ? (uint32_t)SIM_NODE_NAMESERVER : pick;
}

static void reset_connections(struct sim *sim, uint32_t worker)
{
    for (size_t c = 0; c < sim->connection_count; c++) {
        struct sim_connection *connection = sim->connections[c];
        if (connection->client != SIM_NODE_WORKER + worker || !connection->client_open ||
            !connection->master_open)
            continue;
        sim_connection_break(sim, connection);
    }
}

static void person(struct sim *sim, enum hd_command_op op, uint32_t run, uint32_t job)
{
    if (sim_find_run(sim, sim->plan->runs[run].run_uid, NULL) != NULL)
        sim_person_command(sim, run, op, job, "since I say so");
}

/* Some order to some worker, by the master of this run. */
static void order_worker(struct sim *sim, uint32_t run)
{
    static const enum hd_command_op ops[] = {HD_COMMAND_PAUSE_WORKER, HD_COMMAND_RESUME_WORKER,
                                             HD_COMMAND_DRAIN_WORKER, HD_COMMAND_SHUTDOWN_WORKER};
    enum hd_command_op op = ops[hd_rng_below(&sim->rng, HD_COUNT(ops))];
    uint32_t worker = (uint32_t)hd_rng_below(&sim->rng, sim->plan->worker_count);
    if (sim->workers[worker].epoch > 0)
        sim_person_orders(sim, run, op, worker);
}

static void freeze(struct sim *sim, uint32_t who, int64_t for_ms, bool machine)
{
    struct sim_worker *worker = &sim->workers[who];
    sim_tell(sim, "%s %s for %lld ms", worker->id, machine ? "freezes" : "stalls",
             (long long)for_ms);
    int64_t *until_ms = machine ? &worker->frozen_until_ms : &worker->stalled_until_ms;
    /* What waits for the end of an earlier one is not let go by a later one. */
    if (sim->now_ms + for_ms > *until_ms)
        *until_ms = sim->now_ms + for_ms;
}

void sim_fault_do(struct sim *sim, enum sim_fault fault, uint32_t who, uint32_t job, int64_t for_ms)
{
    struct sim_master *master = &sim->masters[who < SIM_MASTERS_MAX ? who : 0];
    uint32_t node = SIM_NODE_WORKER + who;
    uint32_t other;
    switch (fault) {
    case SIM_FAULT_WORKER_CRASH:
    case SIM_FAULT_WORKER_REBOOT:
        if (!sim->workers[who].alive)
            return;
        sim_tell(sim, "%s %s", sim->workers[who].id,
                 fault == SIM_FAULT_WORKER_CRASH ? "is killed" : "reboots");
        sim_worker_crash(sim, who, fault == SIM_FAULT_WORKER_REBOOT, for_ms);
        break;
    case SIM_FAULT_WORKER_FREEZE:
        freeze(sim, who, for_ms >= 0 ? for_ms : sim_between(sim, 1000, 120000), true);
        break;
    case SIM_FAULT_WORKER_STALL:
        freeze(sim, who, for_ms >= 0 ? for_ms : sim_between(sim, 1000, 120000), false);
        break;
    case SIM_FAULT_WORKER_DRAIN:
    case SIM_FAULT_WORKER_LEAVE:
        if (!sim->workers[who].alive)
            return;
        sim_tell(sim, "%s gets SIGTERM%s", sim->workers[who].id,
                 fault == SIM_FAULT_WORKER_LEAVE ? ", and again" : "");
        sim_worker_term(sim, who);
        if (fault == SIM_FAULT_WORKER_LEAVE)
            sim_worker_term(sim, who);
        break;
    case SIM_FAULT_WORKER_NOTICE:
        if (!sim->workers[who].alive)
            return;
        sim_worker_notice(sim, who, for_ms >= 0 ? for_ms : sim_between(sim, 1000, 60000));
        break;
    case SIM_FAULT_MASTER_CRASH:
        if (!master->alive)
            return;
        sim_tell(sim, "master m%u is killed", who);
        sim_master_crash(sim, who, for_ms);
        break;
    case SIM_FAULT_CRASH_BEFORE_COMMIT:
        master->crash_before = master->alive;
        return; /* counted when it happens */
    case SIM_FAULT_CRASH_AFTER_COMMIT:
        master->crash_after = master->alive;
        return;
    case SIM_FAULT_FSYNC_FAILED:
        master->fsync_fails = master->alive;
        return;
    case SIM_FAULT_DISK_FULL:
        master->full_until_ms = sim->now_ms + (for_ms >= 0 ? for_ms : sim_between(sim, 500, 60000));
        return;
    case SIM_FAULT_NAMESERVER_FORGETS:
        sim_tell(sim, "the nameserver starts again, empty");
        sim_nameserver_start(sim);
        break;
    case SIM_FAULT_NAMESERVER_DOWN:
        sim_tell(sim, "the nameserver is down");
        sim->nameserver_down_until_ms =
            sim->now_ms + (for_ms >= 0 ? for_ms : sim_between(sim, 1000, 60000));
        break;
    case SIM_FAULT_CLOCK_JUMP:
        if (!master->alive)
            return;
        if (for_ms < 0)
            for_ms = sim_between(sim, 1000, 120000);
        sim_tell(sim, "the clock of m%u jumps by %lld ms", who, (long long)for_ms);
        master->clock_offset_ms += for_ms;
        master->jumped = true;
        break;
    case SIM_FAULT_LINK_CUT:
    case SIM_FAULT_LINK_CUT_ONE_WAY:
        other = any_link_end(sim);
        if (for_ms < 0)
            for_ms = sim_between(sim, 1000, 90000);
        sim_tell(sim, "the link of %s and node %u is cut%s for %lld ms", sim->workers[who].id,
                 other, fault == SIM_FAULT_LINK_CUT ? "" : " one way", (long long)for_ms);
        if (sim_chance(sim, 500))
            sim_link_cut(sim, node, other, fault == SIM_FAULT_LINK_CUT, for_ms);
        else
            sim_link_cut(sim, other, node, fault == SIM_FAULT_LINK_CUT, for_ms);
        break;
    case SIM_FAULT_CONNECTION_RESET:
        reset_connections(sim, who);
        break;
    case SIM_FAULT_MESSAGE_DROP: /* by a story; otherwise these three happen in net.c */
        sim->lose_lease_of = node;
        return;
    case SIM_FAULT_MESSAGE_DUPLICATE:
        sim->repeat_lease_of = node;
        sim->repeat_after_ms = for_ms;
        return;
    case SIM_FAULT_MESSAGE_DELAY:
    case SIM_FAULT_COUNT:
        return;
    case SIM_FAULT_SAMPLER_SLOW: {
        /* What an earlier one holds up is not let go by a later one. */
        int64_t until_ms = sim->now_ms + sim_between(sim, 1000, 60000);
        if (until_ms > sim->slow_sampler_until_ms)
            sim->slow_sampler_until_ms = until_ms;
        break;
    }
    case SIM_FAULT_PERSON_PAUSE:
        person(sim, HD_COMMAND_PAUSE_RUN, who, 0);
        break;
    case SIM_FAULT_PERSON_RESUME:
        person(sim, HD_COMMAND_RESUME_RUN, who, 0);
        break;
    case SIM_FAULT_PERSON_CANCEL_RUN:
        person(sim, HD_COMMAND_CANCEL_RUN, who, 0);
        break;
    case SIM_FAULT_PERSON_CANCEL_JOB:
        person(sim, HD_COMMAND_CANCEL_JOB, who, job);
        break;
    case SIM_FAULT_PERSON_ORDERS_WORKER:
        order_worker(sim, who);
        break;
    case SIM_FAULT_PERSON_SETS_LIMIT:
        person(sim, HD_COMMAND_SET_LIMIT, who, job);
        break;
    case SIM_FAULT_PERSON_REQUEUES_JOB:
        person(sim, HD_COMMAND_REQUEUE_JOB, who, job);
        break;
    case SIM_FAULT_MESSAGE_REPLAYED:
        if (!sim_stranger_replays(sim))
            return;
        break;
    case SIM_FAULT_OLD_RESULT:
        if (!sim_stranger_finds_result(sim, &sim->workers[who]))
            return;
        break;
    case SIM_FAULT_RIVAL_MASTER: /* once, from the plan: rival.c */
    case SIM_FAULT_STOLEN_ID:
        return;
    case SIM_FAULT_MASTER_CUT_OFF:
        if (for_ms < 0)
            for_ms = sim_between(sim, 1000, 60000);
        sim_tell(sim, "m%u and the nameserver do not hear each other for %lld ms", who,
                 (long long)for_ms);
        sim_link_cut(sim, SIM_NODE_MASTER + who, SIM_NODE_NAMESERVER, true, for_ms);
        break;
    }
    sim->cover->faults[fault]++;
}

/* ---- when
 * --------------------------------------------------------------------------------------------------
 */

static uint32_t victims(const struct sim *sim, enum sim_fault fault)
{
    if ((fault >= SIM_FAULT_PERSON_PAUSE && fault <= SIM_FAULT_PERSON_SETS_LIMIT) ||
        fault == SIM_FAULT_PERSON_REQUEUES_JOB)
        return sim->plan->run_count;
    if (fault <= SIM_FAULT_WORKER_NOTICE || fault == SIM_FAULT_OLD_RESULT ||
        fault == SIM_FAULT_LINK_CUT || fault == SIM_FAULT_LINK_CUT_ONE_WAY ||
        fault == SIM_FAULT_CONNECTION_RESET)
        return sim->plan->worker_count;
    return sim->master_count;
}

static int64_t next_ms(struct sim *sim, enum sim_fault fault)
{
    double mean_ms = (double)sim->plan->climate.fault_mean_ms[fault];
    double uniform = hd_rng_double(&sim->rng);
    return sim->now_ms + 1 + (int64_t)(-mean_ms * log(1.0 - uniform));
}

static void fire_fault(struct sim *sim, const struct sim_event *event)
{
    if (sim->calm)
        return;
    enum sim_fault fault = (enum sim_fault)event->who;
    uint32_t who = (uint32_t)hd_rng_below(&sim->rng, victims(sim, fault));
    uint32_t job = (uint32_t)hd_rng_below(&sim->rng, 12);
    sim_fault_do(sim, fault, who, job, -1);
    sim_at(sim, next_ms(sim, fault), fire_fault, event->who, 0, NULL);
}

static void fire_script(struct sim *sim, const struct sim_event *event)
{
    const struct sim_script_line *line = &sim->plan->script[event->who];
    sim_fault_do(sim, line->fault, line->who, line->job, line->for_ms);
}

void sim_faults_start(struct sim *sim)
{
    for (uint32_t a = 0; a < SIM_NODE_COUNT; a++)
        for (uint32_t b = 0; b < SIM_NODE_COUNT; b++)
            sim->lossy_permille[a][b] = sim_chance(sim, 300) ? 2500 : 700;
    for (uint32_t fault = 0; fault < SIM_FAULT_COUNT; fault++)
        if (sim->plan->climate.fault_mean_ms[fault] > 0 && fault != SIM_FAULT_MESSAGE_DROP &&
            fault != SIM_FAULT_MESSAGE_DUPLICATE && fault != SIM_FAULT_MESSAGE_DELAY &&
            fault != SIM_FAULT_RIVAL_MASTER && fault != SIM_FAULT_STOLEN_ID)
            sim_at(sim, next_ms(sim, (enum sim_fault)fault), fire_fault, fault, 0, NULL);
    for (uint32_t line = 0; line < sim->plan->script_count; line++)
        sim_at(sim, sim->plan->script[line].at_ms, fire_script, line, 0, NULL);
}
