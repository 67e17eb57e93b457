/* SPDX-License-Identifier: Apache-2.0 */
/* others.c: the nameserver (the real registry), and the person who submits and commands. */
#include "cluster.h"

#include <hd/known.h>

#include <string.h>

#define RENEW_MS 5000
#define TTL_MS 15000
#define PERSON_WAIT_MS 10000
#define PERSON_RETRY_MS 1000
#define SIM_PARAMS_MAX 16 /* of the spaces that are drawn */

/* ---- nameserver
 * ------------------------------------------------------------------------------------ */

void sim_nameserver_start(struct sim *sim)
{
    hd_registry_free(sim->registry);
    sim->registry = NULL;
    struct hd_err err;
    enum hd_code code = hd_registry_new(TTL_MS, &sim->registry, &err);
    hd_assert(code == HD_OK);
    if (sim->options->plant == SIM_PLANT_RIVAL_ADMITTED && sim->second_registry == NULL)
        code = hd_registry_new(TTL_MS, &sim->second_registry, &err);
    hd_assert(code == HD_OK);
}

static bool nameserver_up(const struct sim *sim)
{
    return sim->now_ms >= sim->nameserver_down_until_ms;
}

static void fire_register(struct sim *sim, const struct sim_event *event)
{
    if (!nameserver_up(sim))
        return;
    struct sim_master *master = &sim->masters[event->who];
    struct hd_ns_request *request = event->data;
    struct hd_ns_reply *reply = sim->ns_reply;
    char note[HD_REASON_MAX];
    bool planted = sim->options->plant == SIM_PLANT_RIVAL_ADMITTED && event->who > 0 &&
                   sim->plan->rival.kind != SIM_RIVAL_NONE;
    hd_registry_step(planted ? sim->second_registry : sim->registry, sim->now_ms, request, reply,
                     note);
    if (note[0] != '\0')
        sim_trace(sim, "nameserver: %s", note);
    if (sim->plan->rival.kind != SIM_RIVAL_NONE && master->epoch == event->epoch)
        sim_rival_answered(sim, master, event->data == master->first_request, reply);
}

static void fire_renew(struct sim *sim, const struct sim_event *event)
{
    struct sim_master *master = &sim->masters[event->who];
    if (master->alive && master->epoch == event->epoch)
        sim_master_renew(sim, master);
}

void sim_master_renew(struct sim *sim, struct sim_master *master)
{
    struct hd_ns_request *request = sim_alloc(sim, sizeof(*request));
    if (master->first_request == NULL)
        master->first_request = request;
    request->kind = HD_NS_REGISTER;
    request->token = "";
    request->ttl_ms = TTL_MS;
    request->run_id = "";
    request->entry.role = HD_NS_MASTER;
    request->entry.id = master->id;
    request->entry.incarnation = master->epoch;
    if (sim->plan->rival.kind != SIM_RIVAL_NONE) /* the clock at its start: it may be a copy */
        request->entry.incarnation = (uint64_t)(master->boot_ms - master->boot_offset_ms) + 1;
    request->entry.address =
        sim_format(sim, "tcp://m%u:%llu", master->index, (unsigned long long)master->port);
    for (size_t r = 0; r < master->ledger.run_count; r++)
        request->entry.runs[request->entry.run_count++] = master->ledger.runs[r].run_id;
    int64_t delay_ms = sim_link_delay(sim, SIM_NODE_MASTER + master->index, SIM_NODE_NAMESERVER);
    if (delay_ms >= 0)
        sim_at(sim, sim->now_ms + delay_ms, fire_register, master->index, master->epoch, request);
    sim_at(sim, sim->now_ms + RENEW_MS, fire_renew, master->index, master->epoch, NULL);
}

struct found {
    struct hd_agent_master masters[HD_AGENT_MASTERS_MAX];
    size_t count;
};

static void fire_found(struct sim *sim, const struct sim_event *event)
{
    struct sim_worker *worker = &sim->workers[event->who];
    if (!worker->alive || worker->epoch != event->epoch)
        return;
    if (sim_worker_asleep(sim, worker)) {
        int64_t until_ms = worker->frozen_until_ms > worker->stalled_until_ms
                               ? worker->frozen_until_ms
                               : worker->stalled_until_ms;
        sim_at(sim, until_ms, fire_found, event->who, event->epoch, event->data);
        return;
    }
    const struct found *found = event->data;
    struct hd_agent_event found_event = {
        .kind = HD_AGENT_EVENT_MASTERS, .masters = found->masters, .master_count = found->count};
    sim_worker_step(sim, worker, &found_event);
}

static void fire_lookup(struct sim *sim, const struct sim_event *event)
{
    if (!nameserver_up(sim))
        return;
    struct sim_worker *worker = &sim->workers[event->who];
    struct hd_ns_request request = {
        .kind = HD_NS_LOOKUP, .token = "", .run_id = worker->plan->run_id};
    request.entry.id = "";
    request.entry.address = "";
    struct hd_ns_reply *reply = sim->ns_reply;
    char note[HD_REASON_MAX];
    hd_registry_step(sim->registry, sim->now_ms, &request, reply, note);
    struct found *found = sim_alloc(sim, sizeof(*found));
    for (size_t e = 0; e < reply->entry_count && found->count < HD_AGENT_MASTERS_MAX; e++) {
        struct hd_agent_master *master = &found->masters[found->count++];
        (void)hd_copy_text(master->id, sizeof(master->id), reply->entries[e].id);
        (void)hd_copy_text(master->address, sizeof(master->address), reply->entries[e].address);
    }
    int64_t delay_ms = sim_link_delay(sim, SIM_NODE_NAMESERVER, SIM_NODE_WORKER + worker->index);
    if (delay_ms >= 0)
        sim_at(sim, sim->now_ms + delay_ms, fire_found, event->who, event->epoch, found);
}

void sim_nameserver_lookup(struct sim *sim, struct sim_worker *worker)
{
    int64_t delay_ms = sim_link_delay(sim, SIM_NODE_WORKER + worker->index, SIM_NODE_NAMESERVER);
    if (delay_ms >= 0)
        sim_at(sim, sim->now_ms + delay_ms, fire_lookup, worker->index, worker->epoch, NULL);
}

/* ---- the person
 * ---------------------------------------------------------------------------------------- */

/* A person repeats a request until it is answered: a new connection, the same words. */
static void fire_person(struct sim *sim, const struct sim_event *event)
{
    struct sim_person_task *task = event->data;
    if (task->done || event->epoch != task->tries)
        return;
    if (task->connection != NULL && task->connection->client_open)
        sim_connection_close(sim, task->connection, true);
    task->connection = sim_connection_open(sim, SIM_NODE_PERSON, 0, task->master);
    if (task->connection == NULL) {
        sim_at(sim, sim->now_ms + PERSON_RETRY_MS, fire_person, 0, ++task->tries, task);
        return;
    }
    struct sim_message *message = sim_message_of_request(sim, &task->request);
    message->connection = task->connection;
    task->send_id = message->send_id;
    sim_connection_send(sim, message);
    sim_at(sim, sim->now_ms + PERSON_WAIT_MS, fire_person, 0, ++task->tries, task);
}

static struct sim_person_task *new_task(struct sim *sim, uint32_t run)
{
    const struct sim_run_plan *plan = &sim->plan->runs[run];
    struct sim_person_task *task = sim_alloc(sim, sizeof(*task));
    sim->tasks = sim_grow(sim, sim->tasks, sizeof(struct sim_person_task *), sim->task_count,
                          &sim->task_capacity);
    sim->tasks[sim->task_count++] = task;
    task->master = sim_serving(sim, run);
    task->run = run;
    task->wanted = true;
    task->done = sim->masters[task->master].gone; /* nobody would answer */
    task->request = (struct hd_request){
        .token = "",
        .worker = "",
        .incarnation = 1,
        .lane = HD_LANE_CONTROL,
        .sequence = sim->task_count,
        .run_id = plan->run_id,
        .root = "",
        .host = "",
        .experiment_json = "",
        .known_json = "",
        .reason = "",
        .limit_value = "",
        .subject = "",
        .image = "",
        .view = "",
        .view_json = "",
        .result = {.message = "", .info_json = "", .directory = "", .image_id = ""},
    };
    return task;
}

/* What is submitted, wrong on purpose where a plant says so: the checkers go by the plan. */
static const char *planted_experiment(struct sim *sim, const struct sim_run_plan *plan)
{
    if (sim->options->plant != SIM_PLANT_WRONG_LADDER &&
        sim->options->plant != SIM_PLANT_WRONG_LIMITS &&
        sim->options->plant != SIM_PLANT_OPENING_IGNORED &&
        sim->options->plant != SIM_PLANT_WRONG_COUNT)
        return plan->experiment;
    struct sim_run_plan *wrong = sim_alloc(sim, sizeof(*wrong));
    *wrong = *plan;
    if (sim->options->plant == SIM_PLANT_WRONG_LADDER) {
        wrong->eta++;
    } else if (sim->options->plant == SIM_PLANT_OPENING_IGNORED) {
        wrong->opening = 0;
    } else if (sim->options->plant == SIM_PLANT_WRONG_COUNT) {
        wrong->iterations = wrong->iterations > 1 ? wrong->iterations - 1 : 1;
    } else {
        wrong->retries_infra++;
        wrong->retries_failed++;
        wrong->configs_max = wrong->jobs_max = wrong->full_evaluations_max = 0;
        wrong->failures_max = wrong->pause_after = 0;
        wrong->has_goal = false;
    }
    sim_run_plan_write(wrong, plan->sampler, plan->space);
    return wrong->experiment;
}

/* Results of some configs, one in five a failure: what an earlier run might have found. */
const char *sim_known_text(struct sim *sim, const struct sim_run_plan *plan, const char *experiment)
{
    struct hd_experiment *parsed = NULL;
    struct hd_err err;
    struct hd_rng rng;
    struct hd_buf text;
    double values[SIM_PARAMS_MAX];
    if (plan->known == 0)
        return "";
    hd_rng_fork(plan->run_uid, "known results", 0, &rng);
    hd_buf_init(&text, HD_KNOWN_BYTES_MAX);
    enum hd_code code =
        hd_experiment_parse_text(experiment, strlen(experiment), "experiment", NULL, &parsed, &err);
    for (uint32_t i = 0; i < plan->known && code == HD_OK; i++) {
        hd_assert(parsed->space->param_count <= SIM_PARAMS_MAX);
        hd_space_sample(parsed->space, &rng, values);
        code = hd_buf_puts(&text, i == 0 ? "[{\"params\":" : ",{\"params\":", &err);
        if (code == HD_OK)
            code = hd_config_to_json(parsed->space, values, &text, &err);
        if (code == HD_OK)
            code = hd_buf_puts(&text, ",\"results\":[{\"budget\":1,\"losses\":[", &err);
        bool failed = hd_rng_below(&rng, 5) == 0;
        for (uint32_t k = 0; k < parsed->objective_count && !failed && code == HD_OK; k++)
            code = hd_buf_printf(&text, &err, "%s%u", k > 0 ? "," : "",
                                 (unsigned)hd_rng_below(&rng, 100));
        if (code == HD_OK)
            code = hd_buf_puts(&text, "]}]}", &err);
    }
    if (code == HD_OK)
        code = hd_buf_puts(&text, "]", &err);
    hd_assert(code == HD_OK);
    const char *copy = sim_text(sim, hd_buf_text(&text));
    hd_buf_release(&text);
    hd_experiment_free(parsed);
    return copy;
}

void sim_person_submit(struct sim *sim, uint32_t run)
{
    const struct sim_run_plan *plan = &sim->plan->runs[run];
    struct sim_person_task *task = new_task(sim, run);
    task->request.kind = HD_REQUEST_SUBMIT;
    task->request.experiment_json = planted_experiment(sim, plan);
    task->request.known_json = sim_known_text(sim, plan, task->request.experiment_json);
    task->request.seed = plan->seed;
    task->request.run_uid = plan->run_uid;
    sim_tell(sim, "person submits run %s", plan->run_id);
    sim_at(sim, sim->now_ms, fire_person, 0, ++task->tries, task);
}

void sim_person_command(struct sim *sim, uint32_t run, enum hd_command_op op, uint32_t job,
                        const char *reason)
{
    struct sim_person_task *task = new_task(sim, run);
    task->request.kind = HD_REQUEST_COMMAND;
    task->request.command = op;
    task->request.job = job;
    task->request.reason = sim_text(sim, reason);
    if (op == HD_COMMAND_SET_LIMIT) { /* of those limits that no checker counts on */
        task->request.limit = HD_LIMIT_PRIORITY;
        task->request.limit_value = sim_format(sim, "%u", job);
    }
    sim_tell(sim, "person: %s %s%s", hd_command_op_name(op), sim->plan->runs[run].run_id,
             op == HD_COMMAND_CANCEL_JOB || op == HD_COMMAND_REQUEUE_JOB
                 ? sim_format(sim, ", job %u", job)
                 : "");
    sim_at(sim, sim->now_ms, fire_person, 0, ++task->tries, task);
}

void sim_person_orders(struct sim *sim, uint32_t run, enum hd_command_op op, uint32_t worker)
{
    struct sim_person_task *task = new_task(sim, run);
    task->request.kind = HD_REQUEST_COMMAND;
    task->request.command = op;
    task->request.subject = sim->workers[worker].id;
    sim_tell(sim, "person: %s %s", hd_command_op_name(op), sim->workers[worker].id);
    sim_at(sim, sim->now_ms, fire_person, 0, ++task->tries, task);
}

void sim_person_receive(struct sim *sim, struct sim_message *message)
{
    for (size_t t = 0; t < sim->task_count; t++) {
        struct sim_person_task *task = sim->tasks[t];
        if (task->done || task->send_id != message->send_id)
            continue;
        task->done = true;
        const struct hd_reply *reply = message->reply;
        sim_trace(sim, "person hears: %s %s", hd_reply_kind_name(reply->kind), reply->text);
        /* A command for a run whose submission is still under way comes again. */
        if (task->request.kind == HD_REQUEST_COMMAND && reply->kind == HD_REPLY_REFUSED &&
            reply->code == HD_E_NOTFOUND)
            sim_trace(sim, "person gives up: the run is not there");
        if (task->connection != NULL && task->connection->client_open)
            sim_connection_close(sim, task->connection, true);
        return;
    }
}

void sim_person_disconnected(struct sim *sim, struct sim_connection *connection)
{
    for (size_t t = 0; t < sim->task_count; t++)
        if (!sim->tasks[t]->done && sim->tasks[t]->connection == connection)
            sim_at(sim, sim->now_ms + PERSON_RETRY_MS, fire_person, 0, ++sim->tasks[t]->tries,
                   sim->tasks[t]);
}
