/* SPDX-License-Identifier: Apache-2.0 */
/*
 * stranger.c: what no agent says now: requests that were recorded and are sent once more much
 * later, by whoever, over a connection of their own; and results of attempts that are long over,
 * as a worker finds them that restored an old copy of its disk.
 */
#include "cluster.h"

#include <math.h>

#define STAYS_MS_MAX 20000 /* how long a stranger's connection stays open */

/* Choices of a stream of its own: a seed without strangers keeps its meaning. */
static uint64_t below(struct sim *sim, uint64_t bound)
{
    return hd_rng_below(&sim->strangers.rng, bound);
}

static bool are_there(const struct sim *sim)
{
    return sim->plan->climate.fault_mean_ms[SIM_FAULT_MESSAGE_REPLAYED] > 0 ||
           sim->plan->climate.fault_mean_ms[SIM_FAULT_OLD_RESULT] > 0;
}

void sim_stranger_hears(struct sim *sim, const struct sim_message *message)
{
    struct sim_strangers *strangers = &sim->strangers;
    if (sim->calm || message->is_reply || message->connection->client == SIM_NODE_PERSON ||
        !are_there(sim))
        return;
    if (strangers->heard_count == 0)
        hd_rng_fork(sim->seed, "strangers", 1, &strangers->rng);
    /* A fair choice of all there ever were: old ones stay among them. */
    uint64_t place = strangers->heard_count < SIM_RECORDED_MAX
                         ? strangers->heard_count
                         : below(sim, strangers->heard_count + 1);
    strangers->heard_count++;
    if (place >= SIM_RECORDED_MAX)
        return;
    strangers->recorded[place] = message;
    strangers->to[place] = message->connection->master;
}

static void fire_hang_up(struct sim *sim, const struct sim_event *event)
{
    struct sim_connection *connection = event->data;
    if (connection->client_open)
        sim_connection_close(sim, connection, true);
}

bool sim_stranger_replays(struct sim *sim)
{
    struct sim_strangers *strangers = &sim->strangers;
    if (strangers->heard_count == 0)
        return false;
    uint64_t known = strangers->heard_count < SIM_RECORDED_MAX ? strangers->heard_count
                                                               : (uint64_t)SIM_RECORDED_MAX;
    uint64_t place = below(sim, known);
    const struct hd_request *request = &strangers->recorded[place]->request;
    struct sim_connection *connection =
        sim_connection_open(sim, SIM_NODE_PERSON, 0, strangers->to[place]);
    if (connection == NULL)
        return false;
    connection->stranger = true;
    struct sim_message *message = sim_message_of_request(sim, request);
    message->connection = connection;
    message->origin = strangers->recorded[place]->origin;
    sim_tell(sim, "a stranger repeats %s %llu of %s", hd_request_kind_name(request->kind),
             (unsigned long long)request->sequence, request->worker);
    sim_connection_send(sim, message);
    sim_at(sim, sim->now_ms + (int64_t)below(sim, STAYS_MS_MAX), fire_hang_up, 0, 0, connection);
    return true;
}

/* Everybody has long forgotten it: its worker, and the master that heard its end. */
static const struct sim_container *find_settled(struct sim *sim, struct sim_worker *worker)
{
    const struct sim_container *found = NULL;
    uint64_t count = 0;
    for (const struct sim_container *c = worker->containers; c != NULL; c = c->next)
        if (c->settled && c->removed && c->master_id != NULL && c->settled_by == c->granted_by &&
            below(sim, ++count) == 0)
            found = c;
    return found;
}

bool sim_stranger_finds_result(struct sim *sim, struct sim_worker *worker)
{
    if (!worker->alive || sim_worker_asleep(sim, worker) || sim->strangers.heard_count == 0)
        return false;
    const struct sim_container *container = find_settled(sim, worker);
    if (container == NULL || hd_agent_holds(worker->agent, container->attempt))
        return false;
    struct hd_result result = {.attempt = container->attempt,
                               .outcome = HD_OUTCOME_OK,
                               .loss = SIM_OLD_RESULT_LOSS,
                               .started_wall_ms = 1,
                               .finished_wall_ms = 2,
                               .message = "",
                               .info_json = "",
                               .image_id = "",
                               .directory = ""};
    struct hd_agent_event ended = {.kind = HD_AGENT_EVENT_ENDED,
                                   .attempt = container->attempt,
                                   .master_id = container->master_id,
                                   .result = &result};
    sim_tell(sim, "%s finds an old result of job %u, attempt %u", worker->id,
             container->attempt.job, container->attempt.attempt);
    sim_worker_step(sim, worker, &ended);
    return true;
}

/* ---- promises -------------------------------------------------------------------------------- */

static void old_results_change_nothing(struct sim *sim, const struct sim_checker *self,
                                       const struct sim_probe *probe)
{
    if (probe->kind != SIM_PROBE_FACT || probe->fact->kind != HD_FACT_ATTEMPT_ENDED)
        return;
    const struct hd_fact_attempt_ended *ended = &probe->fact->as.attempt_ended;
    const struct sim_job *job =
        sim_ledger_job(&probe->master->ledger, probe->fact->run, ended->job);
    if (job != NULL && sim_is_shared_grant(sim, sim_job_attempt(job, ended->attempt)))
        return; /* over for the other master, not for this one */
    if (ended->by_report && ended->outcome == HD_OUTCOME_OK &&
        fabs(ended->loss - SIM_OLD_RESULT_LOSS) < 0.5)
        sim_fail(sim, self->name, "job %u has the result of an attempt that was over before %u",
                 ended->job, ended->attempt);
}

static bool is_of_worker(const struct hd_request *request)
{
    return request->worker[0] != '\0';
}

static void old_incarnations_are_refused(struct sim *sim, const struct sim_checker *self,
                                         const struct sim_probe *probe)
{
    if (probe->kind != SIM_PROBE_REPLY || probe->message == NULL || !probe->message->superseded ||
        !is_of_worker(&probe->message->request))
        return;
    if (probe->reply->kind == HD_REPLY_OK || probe->reply->kind == HD_REPLY_LEASE)
        sim_fail(sim, self->name, "%s of incarnation %llu of %s is obeyed after a newer one",
                 hd_request_kind_name(probe->message->request.kind),
                 (unsigned long long)probe->message->request.incarnation,
                 probe->message->request.worker);
}

const struct sim_checker sim_checkers_strangers[] = {
    {"old-results-change-nothing",
     "A result of an attempt that is over is answered, and is nobody's result.",
     old_results_change_nothing},
    {"old-incarnations-are-refused",
     "Once a newer process of a worker has spoken, what an older one says is refused.",
     old_incarnations_are_refused},
};
const size_t sim_checkers_strangers_count = HD_COUNT(sim_checkers_strangers);
