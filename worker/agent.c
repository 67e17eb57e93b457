/* SPDX-License-Identifier: Apache-2.0 */
/* The agent's life: events, the engine's news, leaving. Replies are agent_replies.c, masters
 * agent_masters.c; what goes out is agent_send.c. */
#include "agent_internal.h"

#include <stdio.h>
#include <string.h>

/* ---- small things --------------------------------------------------------------------------- */

struct hd_agent_action *agent_action(struct hd_agent *agent, enum hd_agent_action_kind kind)
{
    struct hd_agent_update *update = agent->update;
    hd_assert(update->action_count < HD_AGENT_ACTIONS_MAX);
    struct hd_agent_action *action = &update->actions[update->action_count++];
    memset(action, 0, sizeof(*action));
    action->kind = kind;
    action->deadline_ms = HD_NEVER_MS;
    return action;
}

/* The first note of a step is kept: it is the cause of the others. */
void agent_note(struct hd_agent *agent, const char *fmt, ...)
{
    if (agent->update->note[0] != '\0')
        return;
    va_list args;
    va_start(args, fmt);
    (void)vsnprintf(agent->update->note, sizeof(agent->update->note), fmt, args);
    va_end(args);
}

struct held *agent_find_held(const struct hd_agent *agent, struct hd_attempt_ref attempt)
{
    for (uint32_t i = 0; i < agent->held_end; i++)
        if (agent->held[i].state != HELD_FREE &&
            hd_attempt_ref_equal(agent->held[i].attempt, attempt))
            return &agent->held[i];
    return NULL;
}

struct held *agent_add_held(struct hd_agent *agent, struct hd_attempt_ref attempt, uint32_t master)
{
    for (uint32_t i = 0; i < HD_HELD_MAX; i++) {
        struct held *held = &agent->held[i];
        if (held->state != HELD_FREE)
            continue;
        held->state = HELD_RUNNING;
        held->attempt = attempt;
        held->master = master;
        agent->held_count++;
        agent->running_count++;
        if (i >= agent->held_end)
            agent->held_end = i + 1;
        return held;
    }
    return NULL;
}

bool agent_is_running(const struct held *held)
{
    return held->state == HELD_RUNNING || held->state == HELD_STOPPING;
}

void agent_forget_held(struct hd_agent *agent, struct held *held)
{
    if (agent_is_running(held)) {
        agent->running_count--;
        agent_wake_masters(agent);
    }
    held->state = HELD_FREE;
    agent->held_count--;
    agent->drain_deadline_ms = HD_NEVER_MS;
    if (agent->held_count == 0)
        agent->idle_since_ms = agent->now_ms;
}

void agent_end_held(struct hd_agent *agent, struct held *held, const struct hd_result *result)
{
    if (agent_is_running(held)) {
        agent->running_count--;
        agent_wake_masters(agent);
    }
    held->state = HELD_ENDED;
    held->order = ++agent->end_order;
    (void)hd_copy_text(held->message, sizeof(held->message),
                       result->message != NULL ? result->message : "");
    /* A JSON text that was cut is no JSON: all of it or nothing. */
    if (result->info_json == NULL ||
        !hd_copy_text(held->info_json, sizeof(held->info_json), result->info_json))
        held->info_json[0] = '\0';
    if (result->directory == NULL ||
        !hd_copy_text(held->directory, sizeof(held->directory), result->directory))
        held->directory[0] = '\0';
    (void)hd_copy_text(held->image_id, sizeof(held->image_id),
                       result->image_id != NULL ? result->image_id : "");
    held->result = *result;
    held->result.attempt = held->attempt;
    held->result.message = held->message;
    held->result.info_json = held->info_json;
    held->result.directory = held->directory;
    held->result.image_id = held->image_id;
    held->result.graphs_json = ""; /* the host gives them with the report */
    if (agent->leaving && agent->running_count == 0 &&
        agent->leave_deadline_ms > agent->now_ms + HD_AGENT_LEAVE_MS)
        agent->leave_deadline_ms = agent->now_ms + HD_AGENT_LEAVE_MS;
}

/* ---- the engine's news ---------------------------------------------------------------------- */

/* The place in the table for what was found at start; AGENT_NONE when it is full. */
static uint32_t owner_of(struct hd_agent *agent, const char *master_id)
{
    if (master_id == NULL || master_id[0] == '\0')
        return AGENT_NONE;
    uint32_t m = agent_find_master(agent, master_id);
    return m != AGENT_NONE ? m : agent_add_master(agent, master_id);
}

static struct held *adopt(struct hd_agent *agent, const struct hd_agent_event *event)
{
    uint32_t m = owner_of(agent, event->master_id);
    struct held *held = m == AGENT_NONE ? NULL : agent_add_held(agent, event->attempt, m);
    if (held == NULL)
        agent_action(agent, HD_AGENT_DROP)->attempt = event->attempt;
    return held;
}

static void take_end(struct hd_agent *agent, const struct hd_agent_event *event)
{
    struct held *held = agent_find_held(agent, event->attempt);
    if (held == NULL)
        held = adopt(agent, event);
    if (held != NULL && held->state != HELD_ENDED)
        agent_end_held(agent, held, event->result);
}

/* Keeps the shape of a curve that nobody collects: every second point goes, the last one stays. */
static void thin_points(struct master *master)
{
    size_t kept = master->lanes[HD_LANE_CONTROL].points_sent;
    for (size_t i = kept + (master->point_count - 1 - kept) % 2; i < master->point_count; i += 2)
        master->points[kept++] = master->points[i];
    master->point_count = kept;
}

static void take_points(struct hd_agent *agent, const struct hd_agent_event *event)
{
    for (size_t i = 0; i < event->point_count; i++) {
        const struct hd_point *point = &event->points[i];
        const struct held *held = agent_find_held(agent, point->attempt);
        if (held == NULL || held->state == HELD_ENDED)
            continue;
        struct master *master = &agent->masters[held->master];
        if (master->point_count == HD_AGENT_POINTS_MAX)
            thin_points(master);
        master->points[master->point_count++] = *point;
    }
}

/* Every test that waits for it is answered with it. */
static void take_description(struct hd_agent *agent, const struct hd_agent_event *event)
{
    (void)hd_copy_text(agent->about, sizeof(agent->about), event->about);
    agent->unfit = event->unfit;
    for (uint32_t m = 0; m < agent->masters_end; m++) {
        struct master *master = &agent->masters[m];
        if (!master->used || master->echo == 0)
            continue;
        master->echo_ready = true;
        master->ping_due_ms = agent->now_ms;
    }
}

/* ---- leaving -------------------------------------------------------------------------------- */

static void drain(struct hd_agent *agent)
{
    if (agent->draining)
        return;
    agent->draining = true;
    for (uint32_t m = 0; m < agent->masters_end; m++) {
        struct master *master = &agent->masters[m];
        master->ping_due_ms = agent->now_ms;
        if (master->lanes[HD_LANE_LEASE].state == LANE_IN_DOUBT)
            agent_abandon_lease(agent, m);
    }
}

/* By when targets must have ended, so that their results can still be reported. */
static int64_t targets_end_ms(const struct hd_agent *agent, int64_t by_ms)
{
    if (by_ms == HD_NEVER_MS)
        return HD_NEVER_MS;
    int64_t left_ms = by_ms > agent->now_ms ? by_ms - agent->now_ms : 0;
    return by_ms - (left_ms / 4 < HD_AGENT_REPORT_MS ? left_ms / 4 : HD_AGENT_REPORT_MS);
}

/* by_ms HD_NEVER_MS: nothing but the targets' own grace is in the way. */
void agent_leave(struct hd_agent *agent, int64_t by_ms)
{
    drain(agent);
    if (agent->leaving) {
        if (by_ms < agent->leave_deadline_ms)
            agent->leave_deadline_ms = by_ms;
        return;
    }
    agent->leaving = true;
    agent->leave_deadline_ms =
        agent->now_ms + (agent->running_count == 0
                             ? HD_AGENT_LEAVE_MS
                             : agent->options.stop_grace_ms + AGENT_GIVE_UP_MS);
    if (by_ms != HD_NEVER_MS && (agent->running_count > 0 || by_ms < agent->leave_deadline_ms))
        agent->leave_deadline_ms = by_ms;
    for (uint32_t i = 0; i < agent->held_end; i++) {
        struct held *held = &agent->held[i];
        if (held->state != HELD_RUNNING)
            continue;
        held->state = HELD_STOPPING;
        struct hd_agent_action *action = agent_action(agent, HD_AGENT_STOP);
        action->attempt = held->attempt;
        action->outcome = HD_OUTCOME_PREEMPTED;
        action->deadline_ms = targets_end_ms(agent, by_ms);
    }
}

static void leave_in_time(struct hd_agent *agent)
{
    const struct hd_agent_options *options = &agent->options;
    if (agent->leaving || options->end_ms == 0 ||
        agent->now_ms < options->end_ms - options->grace_ms)
        return;
    agent_note(agent, "this worker's time is over: leaving, %u targets are stopped",
               agent->running_count);
    agent_leave(agent, options->end_ms);
}

bool hd_agent_all_over(const struct hd_agent *agent)
{
    bool any = false;
    for (uint32_t m = 0; m < agent->masters_end; m++) {
        const struct master *master = &agent->masters[m];
        if (!master->used || master->address[0] == '\0')
            continue;
        if (master->hello != HELLO_DONE || !(master->over || master->drain))
            return false;
        any = true;
    }
    return any;
}

static void leave_when_idle(struct hd_agent *agent)
{
    int64_t timeout_ms = agent->options.idle_timeout_ms;
    if (agent->draining || agent->held_count > 0)
        return;
    if (timeout_ms > 0 && agent->now_ms - agent->idle_since_ms >= timeout_ms) {
        agent_note(agent, "no job for %lld s: leaving", (long long)(timeout_ms / 1000));
        drain(agent);
    } else if (hd_agent_all_over(agent)) {
        agent_note(agent, "every run is over: leaving");
        drain(agent);
    }
}

/* ---- life ----------------------------------------------------------------------------------- */

enum hd_code hd_agent_new(const struct hd_agent_options *options, struct hd_agent **ret_agent,
                          struct hd_err *err)
{
    if (options->worker[0] == '\0')
        return hd_fail(err, HD_E_INVALID, "a worker needs an id");
    if (options->slots < 1 || options->slots > HD_HELD_MAX)
        return hd_fail(err, HD_E_INVALID, "parallelism is %u, must be 1 to %d", options->slots,
                       HD_HELD_MAX);
    if (options->end_ms != 0 && options->grace_ms < 1)
        return hd_fail(err, HD_E_INVALID, "a worker that has an end needs a grace before it");
    struct hd_agent *agent = hd_calloc(1, sizeof(*agent));
    if (agent != NULL) {
        agent->masters = hd_calloc(HD_AGENT_MASTERS_MAX, sizeof(*agent->masters));
        agent->held = hd_calloc(HD_HELD_MAX, sizeof(*agent->held));
    }
    if (agent == NULL || agent->masters == NULL || agent->held == NULL) {
        hd_agent_free(agent);
        return hd_fail(err, HD_E_NOMEM, "no memory for the agent");
    }
    agent->options = *options;
    agent->lease_master = AGENT_NONE;
    agent->bye_deadline_ms = HD_NEVER_MS;
    agent->leave_deadline_ms = HD_NEVER_MS;
    agent->drain_deadline_ms = HD_NEVER_MS;
    agent->deadline_ms = INT64_MIN;
    *ret_agent = agent;
    return HD_OK;
}

void hd_agent_free(struct hd_agent *agent)
{
    if (agent == NULL)
        return;
    hd_free(agent->masters);
    hd_free(agent->held);
    hd_free(agent);
}

static void start(struct hd_agent *agent, int64_t now_ms)
{
    agent->started = true;
    agent->now_ms = now_ms;
    agent->idle_since_ms = now_ms;
    agent->lookup_due_ms = now_ms;
}

/* An answer may have lain here since the step before this one. */
static void take_time(struct hd_agent *agent, int64_t now_ms)
{
    int64_t since_ms = now_ms - agent->now_ms;
    if (since_ms <= 0)
        return;
    agent->now_ms = now_ms;
    for (uint32_t m = 0; m < agent->masters_end; m++)
        for (int number = 0; number < HD_LANE_COUNT; number++)
            if (agent->masters[m].lanes[number].asleep_ms < since_ms)
                agent->masters[m].lanes[number].asleep_ms = since_ms;
}

void hd_agent_step(struct hd_agent *agent, const struct hd_agent_event *event,
                   struct hd_agent_update *update)
{
    update->action_count = 0;
    update->note[0] = '\0';
    if (agent->exited)
        return;
    agent->update = update;
    if (!agent->started)
        start(agent, event->now_ms);
    take_time(agent, event->now_ms);
    switch (event->kind) {
    case HD_AGENT_EVENT_TIMEOUT:
        break;
    case HD_AGENT_EVENT_MASTERS:
        agent_take_masters(agent, event);
        break;
    case HD_AGENT_EVENT_REPLY:
        agent_take_reply(agent, event);
        break;
    case HD_AGENT_EVENT_LANE_FAILED:
        agent_take_failure(agent, event);
        break;
    case HD_AGENT_EVENT_ADOPTED:
        if (agent_find_held(agent, event->attempt) == NULL)
            (void)adopt(agent, event);
        break;
    case HD_AGENT_EVENT_PROGRESS:
        take_points(agent, event);
        break;
    case HD_AGENT_EVENT_ENDED:
        take_end(agent, event);
        break;
    case HD_AGENT_EVENT_DRAIN:
        agent_note(agent, "draining: %u running, no more jobs are taken", agent->running_count);
        drain(agent);
        break;
    case HD_AGENT_EVENT_DOING:
        (void)hd_copy_text(agent->doing, sizeof(agent->doing), event->about);
        break;
    case HD_AGENT_EVENT_DESCRIBED:
        take_description(agent, event);
        break;
    case HD_AGENT_EVENT_LEAVE:
        agent_note(agent, "leaving: %u targets are stopped", agent->running_count);
        agent_leave(agent, event->leave_by_ms != 0      ? event->leave_by_ms
                           : agent->options.end_ms != 0 ? agent->options.end_ms
                                                        : HD_NEVER_MS);
        break;
    }
    if (!agent->exited) {
        leave_in_time(agent);
        leave_when_idle(agent);
        agent_pump(agent);
    }
    agent->update = NULL;
}

int64_t hd_agent_deadline_ms(const struct hd_agent *agent)
{
    return agent->exited ? HD_NEVER_MS : agent->deadline_ms;
}

uint32_t hd_agent_held_count(const struct hd_agent *agent)
{
    return agent->held_count;
}

bool hd_agent_holds(const struct hd_agent *agent, struct hd_attempt_ref attempt)
{
    return agent_find_held(agent, attempt) != NULL;
}

const char *hd_agent_master_id(const struct hd_agent *agent, uint32_t master)
{
    return master < HD_AGENT_MASTERS_MAX && agent->masters[master].used ? agent->masters[master].id
                                                                        : "";
}
