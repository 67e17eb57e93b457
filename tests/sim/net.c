/* SPDX-License-Identifier: Apache-2.0 */
/*
 * net.c: connections and the messages on them. What NNG over TCP may do, and worse: a message
 * is lost, doubled, late or overtaken; a link is cut in silence, perhaps one way only; the end
 * of a connection is told to the other side late, and after a cut only when it heals.
 */
#include "cluster.h"

#include <string.h>

#define UNREAD_MS 100

/* ---- copies
 * -------------------------------------------------------------------------------------- */

static void copy_result(struct sim *sim, struct hd_result *result)
{
    result->message = sim_text(sim, result->message);
    result->info_json = sim_text(sim, result->info_json);
    result->image_id = sim_text(sim, result->image_id);
    result->graphs_json = sim_text(sim, result->graphs_json);
    result->directory = sim_text(sim, result->directory);
}

static void *copy_array(struct sim *sim, const void *items, size_t item_size, size_t count)
{
    void *copy = sim_alloc(sim, (count + 1) * item_size);
    if (count > 0)
        memcpy(copy, items, count * item_size);
    return copy;
}

struct sim_message *sim_message_of_request(struct sim *sim, const struct hd_request *request)
{
    struct sim_message *message = sim_alloc(sim, sizeof(*message));
    struct hd_request *copy = &message->request;
    *copy = *request;
    copy->token = "";
    copy->worker = sim_text(sim, request->worker);
    copy->run_id = sim_text(sim, request->run_id);
    copy->held = copy_array(sim, request->held, sizeof(*request->held), request->held_count);
    copy->data = sim_text(sim, request->data);
    copy->root = sim_text(sim, request->root);
    copy->host = sim_text(sim, request->host);
    copy->points = copy_array(sim, request->points, sizeof(*request->points), request->point_count);
    copy_result(sim, &copy->result);
    copy->experiment_json = sim_text(sim, request->experiment_json);
    copy->known_json = sim_text(sim, request->known_json);
    copy->reason = sim_text(sim, request->reason);
    copy->about = sim_text(sim, request->about);
    copy->doing = sim_text(sim, request->doing);
    copy->view = sim_text(sim, request->view);
    copy->view_json = sim_text(sim, request->view_json);
    message->send_id = ++sim->next_send;
    return message;
}

struct hd_reply *sim_reply_copy(struct sim *sim, const struct hd_reply *reply)
{
    /* The command table is most of a reply and mostly empty. */
    struct hd_reply *copy = sim_alloc_raw(sim, sizeof(*copy));
    memcpy(copy, reply, offsetof(struct hd_reply, commands));
    memcpy(copy->commands, reply->commands, reply->command_count * sizeof(copy->commands[0]));
    size_t rest = offsetof(struct hd_reply, command_count);
    memcpy((char *)copy + rest, (const char *)reply + rest, sizeof(*copy) - rest);
    copy->lease.run_id = sim_text(sim, reply->lease.run_id);
    copy->lease.root = sim_text(sim, reply->lease.root);
    copy->lease.directory = sim_text(sim, reply->lease.directory);
    copy->lease.directory_owner = sim_text(sim, reply->lease.directory_owner);
    copy->lease.image_id = sim_text(sim, reply->lease.image_id);
    copy->lease.params_json = "";
    copy->lease.target_json = "";
    copy->view_json = "";
    return copy;
}

/* ---- links
 * ----------------------------------------------------------------------------------------- */

bool sim_link_up(const struct sim *sim, uint32_t from, uint32_t to)
{
    return sim->now_ms >= sim->cut_until_ms[from][to];
}

void sim_link_cut(struct sim *sim, uint32_t a, uint32_t b, bool both, int64_t for_ms)
{
    sim->cut_until_ms[a][b] = sim->now_ms + for_ms;
    if (both)
        sim->cut_until_ms[b][a] = sim->now_ms + for_ms;
}

static bool bad_luck(struct sim *sim, uint32_t from, uint32_t to, uint32_t permille,
                     enum sim_fault fault)
{
    if (sim->calm || !sim_chance(sim, permille * sim->lossy_permille[from][to] / 1000))
        return false;
    sim->cover->faults[fault]++;
    return true;
}

static int64_t travel_ms(struct sim *sim, uint32_t from, uint32_t to)
{
    const struct sim_climate *climate = &sim->plan->climate;
    int64_t delay_ms = sim_between(sim, climate->delay_min_ms, climate->delay_max_ms);
    if (bad_luck(sim, from, to, climate->delay_permille, SIM_FAULT_MESSAGE_DELAY))
        delay_ms += sim_between(sim, 0, climate->late_max_ms);
    return delay_ms;
}

int64_t sim_link_delay(struct sim *sim, uint32_t from, uint32_t to)
{
    if (!sim_link_up(sim, from, to))
        return -1;
    if (bad_luck(sim, from, to, sim->plan->climate.drop_permille, SIM_FAULT_MESSAGE_DROP))
        return -1;
    return travel_ms(sim, from, to);
}

/* ---- connections
 * --------------------------------------------------------------------------------- */

struct sim_connection *sim_connection_open(struct sim *sim, uint32_t client, uint64_t client_epoch,
                                           uint32_t master)
{
    if (!sim->masters[master].alive || !sim_link_up(sim, client, master) ||
        !sim_link_up(sim, master, client))
        return NULL;
    struct sim_connection *connection = sim_alloc(sim, sizeof(*connection));
    *connection = (struct sim_connection){
        .id = ++sim->next_connection,
        .client = client,
        .master = master,
        .client_epoch = client_epoch,
        .master_epoch = sim->masters[master].epoch,
        .client_open = true,
        .master_open = true,
    };
    size_t kept = 0; /* forget the dead ones */
    for (size_t c = 0; c < sim->connection_count; c++)
        if (sim->connections[c]->client_open || sim->connections[c]->master_open)
            sim->connections[kept++] = sim->connections[c];
    sim->connection_count = kept;
    sim->connections = sim_grow(sim, sim->connections, sizeof(struct sim_connection *),
                                sim->connection_count, &sim->connection_capacity);
    sim->connections[sim->connection_count++] = connection;
    return connection;
}

static void fire_master_told(struct sim *sim, const struct sim_event *event)
{
    struct sim_connection *connection = event->data;
    if (!connection->master_open)
        return;
    connection->master_open = false;
    if (sim->masters[connection->master].alive &&
        sim->masters[connection->master].epoch == connection->master_epoch)
        sim_master_disconnected(sim, connection);
}

static void fire_client_told(struct sim *sim, const struct sim_event *event)
{
    struct sim_connection *connection = event->data;
    if (!connection->client_open)
        return;
    connection->client_open = false;
    if (connection->stranger)
        return;
    if (connection->client == SIM_NODE_PERSON)
        sim_person_disconnected(sim, connection);
    else
        sim_worker_disconnected(sim, connection);
}

void sim_connection_close(struct sim *sim, struct sim_connection *connection, bool by_client)
{
    uint32_t from = by_client ? connection->client : connection->master;
    uint32_t to = by_client ? connection->master : connection->client;
    int64_t from_ms = sim->now_ms;
    if (sim->cut_until_ms[from][to] > from_ms)
        from_ms = sim->cut_until_ms[from][to];
    if (by_client)
        connection->client_open = false;
    else
        connection->master_open = false;
    sim_at(sim, from_ms + travel_ms(sim, from, to), by_client ? fire_master_told : fire_client_told,
           0, 0, connection);
}

void sim_connection_break(struct sim *sim, struct sim_connection *connection)
{
    sim_at(sim, sim->now_ms + travel_ms(sim, connection->client, connection->master),
           fire_master_told, 0, 0, connection);
    sim_at(sim, sim->now_ms + travel_ms(sim, connection->master, connection->client),
           fire_client_told, 0, 0, connection);
}

/* ---- messages
 * --------------------------------------------------------------------------------------- */

static void fire_deliver(struct sim *sim, const struct sim_event *event)
{
    struct sim_message *message = event->data;
    struct sim_connection *connection = message->connection;
    uint32_t from = message->is_reply ? connection->master : connection->client;
    uint32_t to = message->is_reply ? connection->client : connection->master;
    if (!sim_link_up(sim, from, to))
        return;
    if (!message->is_reply) {
        if (!connection->master_open || !sim->masters[to].alive ||
            sim->masters[to].epoch != connection->master_epoch)
            return;
        if (sim_master_is_full(
                &sim->masters[to])) /* the server stops reading: it stays out there */
            sim_at(sim, sim->now_ms + UNREAD_MS, fire_deliver, event->who, event->epoch, message);
        else
            sim_master_receive(sim, message);
        return;
    }
    if (!connection->client_open || connection->stranger)
        return;
    if (connection->client == SIM_NODE_PERSON)
        sim_person_receive(sim, message);
    else
        sim_worker_receive(sim, message);
}

/* What a story does to one message; true when it is lost. */
static bool scripted(struct sim *sim, struct sim_message *message)
{
    uint32_t client = message->connection->client;
    if (message->is_reply && message->reply->kind == HD_REPLY_LEASE &&
        sim->lose_lease_of == client) {
        sim->lose_lease_of = 0;
        sim_tell(sim, "the reply that gives job %u to w%u is lost",
                 message->reply->lease.attempt.job, client - SIM_NODE_WORKER);
        return true;
    }
    if (!message->is_reply && message->request.kind == HD_REQUEST_LEASE &&
        sim->repeat_lease_of == client) {
        sim->repeat_lease_of = 0;
        sim_tell(sim, "a poll of w%u will arrive once more", client - SIM_NODE_WORKER);
        sim_at(sim, sim->now_ms + sim->repeat_after_ms, fire_deliver, 0, 0, message);
    }
    return false;
}

void sim_connection_send(struct sim *sim, struct sim_message *message)
{
    struct sim_connection *connection = message->connection;
    uint32_t from = message->is_reply ? connection->master : connection->client;
    uint32_t to = message->is_reply ? connection->client : connection->master;
    if (scripted(sim, message))
        return;
    sim_stranger_hears(sim, message);
    int64_t delay_ms = sim_link_delay(sim, from, to);
    if (delay_ms >= 0)
        sim_at(sim, sim->now_ms + delay_ms, fire_deliver, 0, 0, message);
    if (bad_luck(sim, from, to, sim->plan->climate.duplicate_permille,
                 SIM_FAULT_MESSAGE_DUPLICATE)) {
        delay_ms = sim_between(sim, 0, sim->plan->climate.late_max_ms);
        sim_at(sim, sim->now_ms + delay_ms, fire_deliver, 0, 0, message);
    }
}
