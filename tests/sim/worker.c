/* SPDX-License-Identifier: Apache-2.0 */
/*
 * worker.c: a worker's process: the real agent, its clients and its timers. What the process
 * does to targets and files is in engine.c and outlives it.
 */
#include "cluster.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#define DIAL_MS 500

/* ---- sleep: a frozen machine or a stalled process hears everything late
 * --------------------------- */

static int64_t awake_at_ms(const struct sim_worker *worker)
{
    return worker->frozen_until_ms > worker->stalled_until_ms ? worker->frozen_until_ms
                                                              : worker->stalled_until_ms;
}

bool sim_worker_asleep(const struct sim *sim, const struct sim_worker *worker)
{
    return sim->now_ms < awake_at_ms(worker);
}

/* The process that this event was for, or NULL: it died, or the event comes again later. */
static struct sim_worker *process_for(struct sim *sim, const struct sim_event *event)
{
    struct sim_worker *worker = &sim->workers[event->who];
    if (!worker->alive || worker->epoch != event->epoch)
        return NULL;
    if (sim_worker_asleep(sim, worker)) {
        sim_at(sim, awake_at_ms(worker), event->fire, event->who, event->epoch, event->data);
        return NULL;
    }
    return worker;
}

static int64_t worker_clock(const struct sim *sim, const struct sim_worker *worker)
{
    return sim->now_ms + worker->clock_offset_ms;
}

/* ---- lanes
 * ------------------------------------------------------------------------------------------ */

struct send {
    uint32_t master; /* the agent's index */
    enum hd_lane lane;
    uint64_t send_id;
};

static struct sim_lane *lane_of(struct sim_worker *worker, const struct send *send)
{
    struct sim_lane *lane = &worker->clients[send->master].lanes[send->lane];
    return lane->waiting && lane->send_id == send->send_id ? lane : NULL;
}

static void lane_failed(struct sim *sim, struct sim_worker *worker, uint32_t master,
                        enum hd_lane lane)
{
    struct sim_lane *state = &worker->clients[master].lanes[lane];
    state->waiting = false;
    struct hd_agent_event event = {.kind = HD_AGENT_EVENT_LANE_FAILED,
                                   .master = master,
                                   .lane = lane,
                                   .sequence = state->sequence};
    sim_worker_step(sim, worker, &event);
}

static void fire_lane_deadline(struct sim *sim, const struct sim_event *event)
{
    struct sim_worker *worker = process_for(sim, event);
    if (worker == NULL)
        return;
    const struct send *send = event->data;
    if (lane_of(worker, send) != NULL)
        lane_failed(sim, worker, send->master, send->lane);
}

static bool dial(struct sim *sim, struct sim_worker *worker, struct sim_client *client)
{
    if (client->connection != NULL && client->connection->client_open)
        return true;
    unsigned index;
    unsigned long long port;
    if (sscanf(client->address, "tcp://m%u:%llu", &index, &port) != 2 ||
        index >= sim->master_count || !sim->masters[index].alive ||
        sim->masters[index].port != port)
        return false;
    client->connection =
        sim_connection_open(sim, SIM_NODE_WORKER + worker->index, worker->epoch, index);
    return client->connection != NULL;
}

/* Sends what a lane holds, or dials again a little later until the lane's deadline. */
static void fire_dial(struct sim *sim, const struct sim_event *event)
{
    struct sim_worker *worker = process_for(sim, event);
    if (worker == NULL)
        return;
    const struct send *send = event->data;
    struct sim_lane *lane = lane_of(worker, send);
    if (lane == NULL)
        return;
    if (!dial(sim, worker, &worker->clients[send->master])) {
        sim_at(sim, sim->now_ms + DIAL_MS, fire_dial, event->who, event->epoch, event->data);
        return;
    }
    lane->message->connection = worker->clients[send->master].connection;
    sim_connection_send(sim, lane->message);
}

static void do_send(struct sim *sim, struct sim_worker *worker,
                    const struct hd_agent_action *action)
{
    hd_assert(action->master < HD_AGENT_MASTERS_MAX && action->lane < HD_LANE_COUNT);
    struct sim_message *message = sim_message_of_request(sim, &action->request);
    if (action->request.kind == HD_REQUEST_REPORT)
        message->origin = sim_engine_origin(worker, action->request.result.attempt);
    struct sim_lane *lane = &worker->clients[action->master].lanes[action->lane];
    *lane = (struct sim_lane){.waiting = true,
                              .send_id = message->send_id,
                              .sequence = action->request.sequence,
                              .message = message,
                              .deadline_ms = action->deadline_ms - worker->clock_offset_ms};
    struct send *send = sim_alloc(sim, sizeof(*send));
    *send = (struct send){action->master, action->lane, message->send_id};
    sim_trace(sim, "%s: %s lane %d seq %llu held %zu", worker->id,
              hd_request_kind_name(action->request.kind), (int)action->lane,
              (unsigned long long)action->request.sequence, action->request.held_count);
    sim_at(sim, sim->now_ms, fire_dial, worker->index, worker->epoch, send);
    sim_at(sim, lane->deadline_ms, fire_lane_deadline, worker->index, worker->epoch, send);
}

static void close_client(struct sim *sim, struct sim_client *client)
{
    if (client->connection != NULL && client->connection->client_open)
        sim_connection_close(sim, client->connection, true);
    client->connection = NULL;
    memset(client->lanes, 0, sizeof(client->lanes));
}

/* Which makes the agent leave; true: where a plant keeps it from hearing. */
static bool is_refused_for_newer(struct sim *sim, struct sim_worker *worker,
                                 const struct hd_reply *reply)
{
    if (reply->kind != HD_REPLY_REFUSED || reply->code != HD_E_CONFLICT)
        return false;
    if (sim->options->plant == SIM_PLANT_REFUSED_STAYS)
        return true;
    worker->refused = true;
    sim->cover->twins_refused++;
    return false;
}

static void fire_receive(struct sim *sim, const struct sim_event *event)
{
    struct sim_worker *worker = process_for(sim, event);
    if (worker == NULL)
        return;
    const struct sim_message *message = event->data;
    for (uint32_t m = 0; m < HD_AGENT_MASTERS_MAX; m++) {
        for (uint32_t l = 0; l < HD_LANE_COUNT; l++) {
            struct sim_lane *lane = &worker->clients[m].lanes[l];
            if (!lane->waiting || lane->send_id != message->send_id)
                continue;
            lane->waiting = false;
            worker->heard_from = message->connection->master;
            worker->unread_ms = sim->now_ms - message->arrived_ms;
            if (is_refused_for_newer(sim, worker, message->reply))
                continue;
            struct hd_agent_event reply = {.kind = HD_AGENT_EVENT_REPLY,
                                           .master = m,
                                           .lane = (enum hd_lane)l,
                                           .sequence = lane->sequence,
                                           .reply = message->reply};
            struct hd_reply endless = *message->reply;
            if (sim->options->plant == SIM_PLANT_LEASE_ENDLESS) {
                endless.lease.lease_ms = 0;
                reply.reply = &endless;
            }
            sim_worker_step(sim, worker, &reply);
            return;
        }
    }
}

void sim_worker_receive(struct sim *sim, struct sim_message *message)
{
    uint32_t index = message->connection->client - SIM_NODE_WORKER;
    if (message->arrived_ms == 0)
        message->arrived_ms = sim->now_ms;
    sim_at(sim, sim->now_ms, fire_receive, index, message->connection->client_epoch, message);
}

static void fire_disconnected(struct sim *sim, const struct sim_event *event)
{
    struct sim_worker *worker = process_for(sim, event);
    if (worker == NULL)
        return;
    for (uint32_t m = 0; m < HD_AGENT_MASTERS_MAX; m++) {
        struct sim_client *client = &worker->clients[m];
        if (client->connection != event->data)
            continue;
        client->connection = NULL;
        for (uint32_t l = 0; l < HD_LANE_COUNT && worker->alive; l++)
            if (client->connection == NULL && client->lanes[l].waiting &&
                client->lanes[l].message->connection == event->data)
                lane_failed(sim, worker, m, (enum hd_lane)l);
    }
}

void sim_worker_disconnected(struct sim *sim, struct sim_connection *connection)
{
    sim_at(sim, sim->now_ms, fire_disconnected, connection->client - SIM_NODE_WORKER,
           connection->client_epoch, connection);
}

/* ---- stepping
 * ---------------------------------------------------------------------------------------- */

static void end_process(struct sim *sim, struct sim_worker *worker)
{
    worker->alive = false;
    for (uint32_t m = 0; m < HD_AGENT_MASTERS_MAX; m++)
        close_client(sim, &worker->clients[m]);
    memset(worker->clients, 0, sizeof(worker->clients));
    hd_agent_free(worker->agent);
    worker->agent = NULL;
    worker->terms = 0;
}

/* The shell knows the master from the look-up; here the address tells it. */
static uint32_t master_of(const struct sim_client *client)
{
    unsigned index = 0;
    int count = sscanf(client->address, "tcp://m%u:", &index);
    hd_assert(count == 1);
    return index;
}

static void fire_described(struct sim *sim, const struct sim_event *event)
{
    struct sim_worker *worker = process_for(sim, event);
    struct hd_agent_event described = {.kind = HD_AGENT_EVENT_DESCRIBED, .about = "process"};
    if (worker != NULL)
        sim_worker_step(sim, worker, &described);
}

static void act(struct sim *sim, struct sim_worker *worker, const struct hd_agent_action *action)
{
    switch (action->kind) {
    case HD_AGENT_SEND:
        do_send(sim, worker, action);
        break;
    case HD_AGENT_CONNECT:
        hd_assert(action->master < HD_AGENT_MASTERS_MAX);
        close_client(sim, &worker->clients[action->master]);
        (void)hd_copy_text(worker->clients[action->master].address, HD_ADDRESS_MAX,
                           action->address);
        break;
    case HD_AGENT_START:
        sim_engine_start(sim, worker, action->lease, master_of(&worker->clients[action->master]));
        break;
    case HD_AGENT_STOP:
        sim_engine_stop(sim, worker, action->attempt, action->outcome,
                        action->deadline_ms == HD_NEVER_MS
                            ? HD_NEVER_MS
                            : action->deadline_ms - worker->clock_offset_ms);
        break;
    case HD_AGENT_DROP:
        sim_engine_drop(sim, worker, action->attempt);
        break;
    case HD_AGENT_ACKNOWLEDGED:
        sim_engine_acknowledged(sim, worker, action->attempt, action->verdict, action->wanted);
        break;
    case HD_AGENT_BRING:
        sim_home_bring(sim, worker, action->attempt, master_of(&worker->clients[action->master]));
        break;
    case HD_AGENT_OFFER:
        sim_travel_offer(sim, worker, action->attempt, master_of(&worker->clients[action->master]));
        break;
    case HD_AGENT_DESCRIBE:
        sim_at(sim, sim->now_ms, fire_described, worker->index, worker->epoch, NULL);
        break;
    case HD_AGENT_LOOKUP:
        sim_nameserver_lookup(sim, worker);
        break;
    case HD_AGENT_EXIT:
        sim_tell(sim, "%s leaves", worker->id);
        worker->exited = true;
        break;
    }
}

static void fire_timer(struct sim *sim, const struct sim_event *event);
static void fire_start(struct sim *sim, const struct sim_event *event);

static void set_timer(struct sim *sim, struct sim_worker *worker)
{
    int64_t deadline_ms = hd_agent_deadline_ms(worker->agent);
    if (deadline_ms == HD_NEVER_MS)
        return;
    deadline_ms -= worker->clock_offset_ms;
    if (deadline_ms < sim->now_ms)
        deadline_ms = sim->now_ms;
    if (deadline_ms >= worker->timer_ms)
        return;
    worker->timer_ms = deadline_ms;
    sim_at(sim, deadline_ms, fire_timer, worker->index, worker->epoch, NULL);
}

static void fire_timer(struct sim *sim, const struct sim_event *event)
{
    struct sim_worker *worker = process_for(sim, event);
    if (worker == NULL)
        return;
    if (worker->timer_ms <= sim->now_ms)
        worker->timer_ms = HD_NEVER_MS;
    struct hd_agent_event timeout = {.kind = HD_AGENT_EVENT_TIMEOUT};
    if (hd_agent_deadline_ms(worker->agent) <= worker_clock(sim, worker))
        sim_worker_step(sim, worker, &timeout);
    else
        set_timer(sim, worker);
}

void sim_worker_step(struct sim *sim, struct sim_worker *worker, const struct hd_agent_event *event)
{
    struct hd_agent_event now = *event;
    now.now_ms = worker_clock(sim, worker);
    struct hd_agent_update *update = sim->agent_update;
    update->action_count = 0;
    update->note[0] = '\0';
    hd_agent_step(worker->agent, &now, update);
    if (update->note[0] != '\0')
        sim_trace(sim, "%s: %s", worker->id, update->note);
    for (size_t a = 0; a < update->action_count; a++)
        act(sim, worker, &update->actions[a]);
    if (hd_agent_held_count(worker->agent) > HD_HELD_MAX)
        sim_fail(sim, "bounded", "%s holds %u attempts", worker->id,
                 hd_agent_held_count(worker->agent));
    if (!worker->exited) {
        set_timer(sim, worker);
        return;
    }
    end_process(sim, worker);
    if (worker->refused && !sim->calm && sim_chance(sim, 500)) /* some service starts it again */
        sim_at(sim, sim->now_ms + sim_between(sim, 100, sim->plan->climate.down_max_ms), fire_start,
               worker->index, worker->epoch, NULL);
}

/* ---- birth, death, signals
 * ----------------------------------------------------------------------------- */

static void fire_machine_end(struct sim *sim, const struct sim_event *event)
{
    struct sim_worker *worker = &sim->workers[event->who];
    if (worker->epoch != event->epoch || sim->calm)
        return;
    sim_tell(sim, "%s: its machine goes away", worker->id);
    if (worker->alive) {
        sim_worker_crash(sim, event->who, true, -1);
        return;
    }
    sim_engine_reboot(sim, worker); /* what it had not waited for */
    sim_at(sim, sim->now_ms + sim_between(sim, 100, sim->plan->climate.down_max_ms), fire_start,
           event->who, worker->epoch, NULL);
}

static void fire_notice(struct sim *sim, const struct sim_event *event)
{
    struct sim_worker *worker = process_for(sim, event);
    if (worker == NULL || sim->calm)
        return;
    worker->was_told = true;
    struct hd_agent_event leave = {.kind = HD_AGENT_EVENT_LEAVE,
                                   .leave_by_ms = worker->ends_ms + worker->clock_offset_ms};
    sim_worker_step(sim, worker, &leave);
}

void sim_worker_notice(struct sim *sim, uint32_t index, int64_t grace_ms)
{
    struct sim_worker *worker = &sim->workers[index];
    sim_tell(sim, "%s: its machine goes away in %lld ms", worker->id, (long long)grace_ms);
    worker->ends_ms = sim->now_ms + grace_ms;
    sim_at(sim, sim->now_ms, fire_notice, index, worker->epoch, NULL);
    sim_at(sim, worker->ends_ms, fire_machine_end, index, worker->epoch, NULL);
}

static void fire_late_notice(struct sim *sim, const struct sim_event *event)
{
    const struct sim_worker *worker = &sim->workers[event->who];
    if (worker->epoch == event->epoch && worker->alive && !sim->calm)
        sim_worker_notice(sim, event->who, worker->plan->grace_ms);
}

/* Draws how long this machine stays, and says so in the way of its plan. */
static void draw_life(struct sim *sim, struct sim_worker *worker, struct hd_agent_options *options)
{
    const struct sim_worker_plan *plan = worker->plan;
    worker->ends_ms = HD_NEVER_MS;
    if (plan->life_mean_ms == 0 || sim->calm)
        return;
    int64_t life_ms =
        1 + (int64_t)(-log(1.0 - hd_rng_double(&sim->rng)) * (double)plan->life_mean_ms);
    int64_t ends_ms = sim->now_ms + life_ms;
    if (!plan->knows_end && plan->grace_ms > 0) {
        int64_t told_ms = ends_ms - plan->grace_ms;
        sim_at(sim, told_ms > sim->now_ms ? told_ms : sim->now_ms, fire_late_notice, worker->index,
               worker->epoch, NULL);
        return;
    }
    worker->ends_ms = ends_ms;
    sim_at(sim, ends_ms, fire_machine_end, worker->index, worker->epoch, NULL);
    if (!plan->knows_end)
        return;
    sim_tell(sim, "%s has %lld ms", worker->id, (long long)life_ms);
    options->end_ms = ends_ms + worker->clock_offset_ms;
    options->grace_ms = plan->grace_ms;
    worker->was_told = true;
}

void sim_worker_start(struct sim *sim, uint32_t index)
{
    struct sim_worker *worker = &sim->workers[index];
    struct hd_agent_options options = {
        .incarnation = ++worker->epoch, .slots = worker->plan->slots, .stop_grace_ms = 10000};
    (void)hd_copy_text(options.worker, sizeof(options.worker), worker->id);
    (void)hd_copy_text(options.root, sizeof(options.root), worker->root->id);
    (void)hd_copy_text(options.host, sizeof(options.host), worker->id);
    (void)hd_copy_text(options.run_id, sizeof(options.run_id), worker->plan->run_id);
    worker->was_told = worker->refused = false;
    if (sim_has_twin(sim, index)) /* as in the shell: the clock, and chance */
        options.incarnation = ((uint64_t)sim->now_ms << 4 | index) + 1;
    worker->clock_offset_ms = sim->plan->story ? 0 : sim_between(sim, 0, 1000000);
    draw_life(sim, worker, &options);
    struct hd_err err;
    enum hd_code code = hd_agent_new(&options, &worker->agent, &err);
    hd_assert(code == HD_OK);
    worker->alive = true;
    worker->exited = false;
    worker->terms = 0;
    worker->timer_ms = HD_NEVER_MS;
    worker->stalled_until_ms = 0;
    sim_tell(sim, "%s starts (incarnation %llu)", worker->id,
             (unsigned long long)options.incarnation);
    sim_keep_start(sim, worker);
    sim_engine_adopt(sim, worker);
    struct hd_agent_event timeout = {.kind = HD_AGENT_EVENT_TIMEOUT};
    if (worker->alive)
        sim_worker_step(sim, worker, &timeout);
}

static void fire_start(struct sim *sim, const struct sim_event *event)
{
    struct sim_worker *worker = &sim->workers[event->who];
    if (!worker->alive && worker->epoch == event->epoch &&
        !(sim->calm && sim_twin_lives(sim, event->who)))
        sim_worker_start(sim, event->who);
}

void sim_worker_crash(struct sim *sim, uint32_t index, bool machine_too, int64_t down_ms)
{
    struct sim_worker *worker = &sim->workers[index];
    if (!worker->alive)
        return;
    end_process(sim, worker);
    if (machine_too) {
        worker->frozen_until_ms = 0;
        sim_engine_reboot(sim, worker);
    }
    if (down_ms < 0)
        down_ms = sim_between(sim, 100, sim->plan->climate.down_max_ms);
    sim_at(sim, sim->now_ms + down_ms, fire_start, index, worker->epoch, NULL);
}

static void fire_term(struct sim *sim, const struct sim_event *event)
{
    struct sim_worker *worker = process_for(sim, event);
    if (worker == NULL)
        return;
    worker->terms++;
    worker->was_told = true;
    struct hd_agent_event signal = {.kind = worker->terms == 1 ? HD_AGENT_EVENT_DRAIN
                                                               : HD_AGENT_EVENT_LEAVE};
    sim_worker_step(sim, worker, &signal);
}

void sim_worker_term(struct sim *sim, uint32_t index)
{
    sim_at(sim, sim->now_ms, fire_term, index, sim->workers[index].epoch, NULL);
}

void sim_worker_release(struct sim_worker *worker)
{
    hd_agent_free(worker->agent);
    worker->agent = NULL;
}
