/* SPDX-License-Identifier: Apache-2.0 */
/* What arrives: replies, failures, the engine's news, signals. What goes out is agent_send.c. */
#include "agent_internal.h"

#include <math.h>
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

static struct held *find_held(const struct hd_agent *agent, struct hd_attempt_ref attempt)
{
    for (uint32_t i = 0; i < HD_HELD_MAX; i++)
        if (agent->held[i].state != HELD_FREE &&
            hd_attempt_ref_equal(agent->held[i].attempt, attempt))
            return &agent->held[i];
    return NULL;
}

static struct held *add_held(struct hd_agent *agent, struct hd_attempt_ref attempt, uint32_t master)
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
        return held;
    }
    return NULL;
}

static bool is_running(const struct held *held)
{
    return held->state == HELD_RUNNING || held->state == HELD_STOPPING;
}

/* A slot came free or a master came back: every master is worth asking again. */
static void wake_masters(struct hd_agent *agent)
{
    for (uint32_t m = 0; m < HD_AGENT_MASTERS_MAX; m++)
        agent->masters[m].quiet = false;
}

static void forget_held(struct hd_agent *agent, struct held *held)
{
    if (is_running(held)) {
        agent->running_count--;
        wake_masters(agent);
    }
    held->state = HELD_FREE;
    agent->held_count--;
    if (agent->held_count == 0)
        agent->idle_since_ms = agent->now_ms;
}

static void end_held(struct hd_agent *agent, struct held *held, const struct hd_result *result)
{
    if (is_running(held)) {
        agent->running_count--;
        wake_masters(agent);
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
    held->result = *result;
    held->result.attempt = held->attempt;
    held->result.message = held->message;
    held->result.info_json = held->info_json;
    held->result.directory = held->directory;
    if (agent->leaving && agent->running_count == 0 &&
        agent->leave_deadline_ms > agent->now_ms + HD_AGENT_LEAVE_MS)
        agent->leave_deadline_ms = agent->now_ms + HD_AGENT_LEAVE_MS;
}

/* ---- masters -------------------------------------------------------------------------------- */

static uint32_t find_master(const struct hd_agent *agent, const char *id)
{
    for (uint32_t m = 0; m < HD_AGENT_MASTERS_MAX; m++)
        if (agent->masters[m].used && strcmp(agent->masters[m].id, id) == 0)
            return m;
    return AGENT_NONE;
}

static bool master_holds(const struct hd_agent *agent, uint32_t master)
{
    for (uint32_t i = 0; i < HD_HELD_MAX; i++)
        if (agent->held[i].state != HELD_FREE && agent->held[i].master == master)
            return true;
    return false;
}

/* Gives up a poll whose answer no longer matters: what it granted is reported as seen, so the
 * master finds it lost at the next ping instead of at the end of its lease. */
void agent_abandon_lease(struct hd_agent *agent, uint32_t m)
{
    struct master *master = &agent->masters[m];
    struct lane *lane = &master->lanes[HD_LANE_LEASE];
    if (lane->state == LANE_IDLE)
        return;
    master->lease_seen = lane->sequence;
    lane->state = LANE_IDLE;
    if (lane->by_report)
        master->lanes[HD_LANE_REPORT].lease_next = false;
    lane->by_report = false;
    if (agent->lease_master == m)
        agent->lease_master = AGENT_NONE;
}

static void forget_master(struct hd_agent *agent, uint32_t m)
{
    struct master *master = &agent->masters[m];
    agent_abandon_lease(agent, m);
    master->used = master->connected = false;
    for (int lane = 0; lane < HD_LANE_COUNT; lane++)
        master->lanes[lane].state = LANE_IDLE;
}

static uint64_t highest_sequence(const struct hd_agent *agent, int lane)
{
    uint64_t highest = 0;
    for (uint32_t m = 0; m < HD_AGENT_MASTERS_MAX; m++)
        if (agent->masters[m].lanes[lane].sequence > highest)
            highest = agent->masters[m].lanes[lane].sequence;
    return highest;
}

/* Sequences rise over the whole table: a late answer to the former owner of a place matches
 * nothing, and a master that was forgotten and comes back at another place never sees an old number
 * again (it would take the request for a resend). */
static uint32_t add_master(struct hd_agent *agent, const char *id)
{
    uint32_t place = AGENT_NONE;
    for (uint32_t m = 0; m < HD_AGENT_MASTERS_MAX && place == AGENT_NONE; m++)
        if (!agent->masters[m].used)
            place = m;
    for (uint32_t m = 0; m < HD_AGENT_MASTERS_MAX && place == AGENT_NONE; m++)
        if (!agent->masters[m].listed && agent->masters[m].hello != HELLO_DONE &&
            !master_holds(agent, m)) {
            forget_master(agent, m);
            place = m;
        }
    if (place == AGENT_NONE)
        return AGENT_NONE;
    struct master *master = &agent->masters[place];
    uint64_t sequences[HD_LANE_COUNT];
    for (int lane = 0; lane < HD_LANE_COUNT; lane++)
        sequences[lane] = highest_sequence(agent, lane);
    memset(master, 0, sizeof(*master));
    for (int lane = 0; lane < HD_LANE_COUNT; lane++)
        master->lanes[lane].sequence = sequences[lane];
    master->lease_seen = sequences[HD_LANE_LEASE];
    master->used = true;
    master->ping_ms = AGENT_PING_MS_DEFAULT;
    (void)hd_copy_text(master->id, sizeof(master->id), id);
    return place;
}

static void hang_up(struct hd_agent *agent, uint32_t m)
{
    struct master *master = &agent->masters[m];
    master->connected = false;
    master->hello = HELLO_NEEDED;
    master->lanes[HD_LANE_CONTROL].state = LANE_IDLE;
    struct lane *lease = &master->lanes[HD_LANE_LEASE];
    struct lane *report = &master->lanes[HD_LANE_REPORT];
    if (lease->state == LANE_BUSY)
        lease->state = LANE_IN_DOUBT;
    if (report->state == LANE_BUSY)
        report->state = LANE_IN_DOUBT;
    if (agent->draining)
        agent_abandon_lease(agent, m);
}

static bool other_master_serves(const struct hd_agent *agent, uint32_t but)
{
    for (uint32_t m = 0; m < HD_AGENT_MASTERS_MAX; m++)
        if (m != but && agent->masters[m].used && agent->masters[m].hello == HELLO_DONE)
            return true;
    return false;
}

void agent_fail_master(struct hd_agent *agent, uint32_t m, const char *why)
{
    struct master *master = &agent->masters[m];
    bool first = master->backoff_ms == 0;
    master->backoff_ms = first ? AGENT_BACKOFF_MS_FIRST : master->backoff_ms * 2;
    if (master->backoff_ms > AGENT_BACKOFF_MS_MAX)
        master->backoff_ms = AGENT_BACKOFF_MS_MAX;
    master->retry_ms = agent->now_ms + master->backoff_ms;
    if (first)
        agent_note(agent, "master %s does not answer (%s): dialling it again", master->id, why);
    hang_up(agent, m);
    /* One slot stays reserved for a poll in doubt; not for ever when another master has work. */
    if (!first && other_master_serves(agent, m))
        agent_abandon_lease(agent, m);
    if (!agent->looking_up)
        agent->lookup_due_ms = agent->now_ms;
}

static void see_master(struct hd_agent *agent, const struct hd_agent_master *found)
{
    uint32_t m = find_master(agent, found->id);
    if (m == AGENT_NONE)
        m = add_master(agent, found->id);
    if (m == AGENT_NONE) {
        agent_note(agent, "more than %d masters: %s is not served", HD_AGENT_MASTERS_MAX,
                   found->id);
        return;
    }
    struct master *master = &agent->masters[m];
    master->listed = true;
    if (strcmp(master->address, found->address) == 0)
        return;
    if (master->address[0] != '\0')
        agent_note(agent, "master %s moved to %s", found->id, found->address);
    else
        agent_note(agent, "master %s at %s", found->id, found->address);
    (void)hd_copy_text(master->address, sizeof(master->address), found->address);
    hang_up(agent, m);
    master->retry_ms = agent->now_ms;
    master->backoff_ms = 0;
}

static void take_masters(struct hd_agent *agent, const struct hd_agent_event *event)
{
    agent->looking_up = false;
    bool alone = true;
    for (uint32_t m = 0; m < HD_AGENT_MASTERS_MAX; m++) {
        struct master *master = &agent->masters[m];
        master->listed = false;
        alone = alone && !(master->used && master->hello == HELLO_DONE);
    }
    agent->lookup_due_ms = agent->now_ms + (alone ? AGENT_LOOKUP_ALONE_MS : AGENT_LOOKUP_MS);
    for (size_t i = 0; i < event->master_count && i < HD_AGENT_MASTERS_MAX; i++) {
        uint32_t m = find_master(agent, event->masters[i].id);
        if (m != AGENT_NONE)
            agent->masters[m].listed = true;
    }
    /* Gone from the list and silent, and nothing of it in our hands. */
    for (uint32_t m = 0; m < HD_AGENT_MASTERS_MAX && event->master_count > 0; m++) {
        const struct master *master = &agent->masters[m];
        if (master->used && !master->listed && master->hello != HELLO_DONE &&
            !master_holds(agent, m))
            forget_master(agent, m);
    }
    for (size_t i = 0; i < event->master_count && i < HD_AGENT_MASTERS_MAX; i++)
        see_master(agent, &event->masters[i]);
}

/* ---- commands and leases -------------------------------------------------------------------- */

static void obey(struct hd_agent *agent, uint32_t m, const struct hd_attempt_command *command)
{
    struct held *held = find_held(agent, command->attempt);
    /* One that ended waits for its verdict: the command crossed its report. */
    if (held == NULL || held->master != m || held->state == HELD_ENDED)
        return;
    if (command->action != HD_ACTION_DROP && held->state == HELD_STOPPING)
        return;
    bool drop = command->action == HD_ACTION_DROP;
    struct hd_agent_action *action = agent_action(agent, drop ? HD_AGENT_DROP : HD_AGENT_STOP);
    action->attempt = held->attempt;
    action->outcome = command->action == HD_ACTION_STOP ? HD_OUTCOME_STOPPED : HD_OUTCOME_CANCELLED;
    if (drop)
        forget_held(agent, held);
    else
        held->state = HELD_STOPPING;
}

static void obey_all(struct hd_agent *agent, uint32_t m, const struct hd_reply *reply)
{
    for (size_t i = 0; i < reply->command_count && i < HD_COMMANDS_MAX; i++)
        obey(agent, m, &reply->commands[i]);
}

static void give_back(struct hd_agent *agent, struct held *held)
{
    struct hd_result result = {
        .outcome = HD_OUTCOME_PREEMPTED,
        .loss = NAN,
        .exit_code = -1,
        .message = "the worker was leaving: not started",
    };
    end_held(agent, held, &result);
}

/* Two attempts of a job never write one directory: the older one has lost its lease, and the
 * master's word about it is still on its way. */
static void drop_older(struct hd_agent *agent, struct hd_attempt_ref attempt)
{
    for (uint32_t i = 0; i < HD_HELD_MAX; i++) {
        struct held *held = &agent->held[i];
        if (!is_running(held) || held->attempt.run_uid != attempt.run_uid ||
            held->attempt.job != attempt.job || held->attempt.attempt >= attempt.attempt)
            continue;
        agent_action(agent, HD_AGENT_DROP)->attempt = held->attempt;
        forget_held(agent, held);
    }
}

static void take_lease(struct hd_agent *agent, uint32_t m, const struct hd_lease *lease)
{
    agent->idle_since_ms = agent->now_ms;
    agent->lease_turn = (m + 1) % HD_AGENT_MASTERS_MAX;
    wake_masters(agent);
    if (find_held(agent, lease->attempt) != NULL)
        return;
    struct held *held = add_held(agent, lease->attempt, m);
    if (held == NULL)
        return; /* cannot be: a poll is sent only while there is room; the master finds it lost */
    if (agent->draining) {
        give_back(agent, held);
        return;
    }
    drop_older(agent, lease->attempt);
    struct hd_agent_action *action = agent_action(agent, HD_AGENT_START);
    action->master = m;
    action->attempt = lease->attempt;
    action->lease = lease;
}

/* The answer to the poll under way, whichever lane brought it. */
static void end_poll(struct hd_agent *agent, uint32_t m)
{
    struct master *master = &agent->masters[m];
    struct lane *lane = &master->lanes[HD_LANE_LEASE];
    lane->state = LANE_IDLE;
    lane->by_report = false;
    lane->stale_once = false;
    master->lease_seen = lane->sequence;
    if (agent->lease_master == m)
        agent->lease_master = AGENT_NONE;
}

/* ---- replies -------------------------------------------------------------------------------- */

/* The master answers as it should: the next failure is a first one. */
static void master_is_well(struct master *master)
{
    master->backoff_ms = 0;
    master->refused_ms = 0;
}

static void say_hello_again(struct master *master, enum hd_lane lane)
{
    master->hello = HELLO_NEEDED;
    if (lane == HD_LANE_CONTROL) {
        master->lanes[lane].state = LANE_IDLE;
        return;
    }
    master->lanes[lane].state = LANE_IN_DOUBT;
    if (master->lanes[HD_LANE_CONTROL].state == LANE_BUSY &&
        master->lanes[HD_LANE_CONTROL].kind == HD_REQUEST_HELLO)
        master->hello = HELLO_SENT; /* it is on its way */
}

static void take_refusal(struct hd_agent *agent, uint32_t m, enum hd_lane lane,
                         const struct hd_reply *reply)
{
    struct master *master = &agent->masters[m];
    agent_note(agent, "master %s refuses: %s (%s)", master->id, reply->text,
               hd_code_name(reply->code));
    if (reply->code == HD_E_CONFLICT) {
        agent_action(agent, HD_AGENT_EXIT);
        agent->exited = true;
        return;
    }
    master->refused_ms = master->refused_ms == 0 ? AGENT_REFUSED_MS_FIRST : master->refused_ms * 2;
    if (master->refused_ms > AGENT_REFUSED_MS_MAX)
        master->refused_ms = AGENT_REFUSED_MS_MAX;
    master->retry_ms = agent->now_ms + master->refused_ms;
    if (lane == HD_LANE_CONTROL)
        master->point_count = 0; /* were they the reason, they would be refused for ever */
    say_hello_again(master, lane);
}

/* True when the same request is to go out once more: a resend may have superseded its own first
 * arrival, whose answer this is. The second time a new sequence is due. */
static bool once_more(struct hd_agent *agent, struct lane *lane)
{
    lane->due_ms = agent->now_ms + AGENT_STALE_MS;
    lane->stale_once = !lane->stale_once;
    if (lane->stale_once)
        lane->state = LANE_IN_DOUBT;
    return lane->stale_once;
}

static void take_hello_reply(struct hd_agent *agent, uint32_t m, const struct hd_reply *reply)
{
    struct master *master = &agent->masters[m];
    struct lane *lane = &master->lanes[HD_LANE_CONTROL];
    lane->state = LANE_IDLE;
    if (reply->kind != HD_REPLY_OK) {
        agent_fail_master(agent, m, "an unexpected answer to hello");
        return;
    }
    if (master->hello == HELLO_SENT)
        master->hello = HELLO_DONE;
    master->drain_told = lane->told_draining;
    if (reply->ping_ms > 0)
        master->ping_ms = reply->ping_ms;
    master->ping_due_ms = agent->now_ms + master->ping_ms;
    master->lanes[HD_LANE_LEASE].due_ms = agent->now_ms;
    if (agent->lookup_due_ms < agent->now_ms + AGENT_LOOKUP_MS)
        agent->lookup_due_ms = agent->now_ms + AGENT_LOOKUP_MS;
    wake_masters(agent);
    obey_all(agent, m, reply);
}

static void take_ping_reply(struct hd_agent *agent, uint32_t m, const struct hd_reply *reply)
{
    struct master *master = &agent->masters[m];
    struct lane *lane = &master->lanes[HD_LANE_CONTROL];
    lane->state = LANE_IDLE;
    if (lane->points_sent > master->point_count)
        lane->points_sent = master->point_count;
    memmove(master->points, master->points + lane->points_sent,
            (master->point_count - lane->points_sent) * sizeof(master->points[0]));
    master->point_count -= lane->points_sent;
    lane->points_sent = 0;
    if (reply->kind != HD_REPLY_OK) {
        master->ping_due_ms = agent->now_ms + AGENT_STALE_MS;
        return;
    }
    master_is_well(master);
    if (lane->told_draining)
        master->drain_told = true;
    if (reply->drain != master->drain && reply->drain)
        agent_note(agent, "master %s lets us go", master->id);
    master->drain = reply->drain;
    obey_all(agent, m, reply);
}

static void take_control_reply(struct hd_agent *agent, uint32_t m, const struct hd_reply *reply)
{
    struct master *master = &agent->masters[m];
    switch (master->lanes[HD_LANE_CONTROL].kind) {
    case HD_REQUEST_HELLO:
        take_hello_reply(agent, m, reply);
        break;
    case HD_REQUEST_BYE:
        master->lanes[HD_LANE_CONTROL].state = LANE_IDLE;
        master->bye_answered = true;
        break;
    case HD_REQUEST_PING:
    case HD_REQUEST_LEASE:
    case HD_REQUEST_REPORT:
    case HD_REQUEST_SUBMIT:
    case HD_REQUEST_COMMAND:
    case HD_REQUEST_VIEW:
    case HD_REQUEST_KIND_COUNT:
        take_ping_reply(agent, m, reply);
        break;
    }
}

static void take_lease_reply(struct hd_agent *agent, uint32_t m, const struct hd_reply *reply)
{
    struct master *master = &agent->masters[m];
    struct lane *lane = &master->lanes[HD_LANE_LEASE];
    if (reply->kind == HD_REPLY_STALE && once_more(agent, lane))
        return;
    end_poll(agent, m);
    master_is_well(master);
    master->over = reply->kind == HD_REPLY_DONE;
    if (reply->kind == HD_REPLY_LEASE) {
        take_lease(agent, m, &reply->lease);
        return;
    }
    master->quiet = true;
    agent->lease_turn = (m + 1) % HD_AGENT_MASTERS_MAX;
    if (reply->kind == HD_REPLY_DONE)
        lane->due_ms = agent->now_ms + AGENT_DONE_MS;
}

static void acknowledge(struct hd_agent *agent, struct hd_attempt_ref attempt,
                        enum hd_verdict verdict)
{
    struct held *held = find_held(agent, attempt);
    if (held == NULL)
        return;
    struct hd_agent_action *action = agent_action(agent, HD_AGENT_ACKNOWLEDGED);
    action->attempt = attempt;
    action->verdict = verdict;
    forget_held(agent, held);
}

static void take_report_reply(struct hd_agent *agent, uint32_t m, const struct hd_reply *reply)
{
    struct master *master = &agent->masters[m];
    struct lane *lane = &master->lanes[HD_LANE_REPORT];
    if (reply->kind == HD_REPLY_STALE && once_more(agent, lane))
        return;
    lane->state = LANE_IDLE;
    lane->stale_once = false;
    bool polled = lane->lease_next;
    lane->lease_next = false;
    if (reply->kind == HD_REPLY_OK || reply->kind == HD_REPLY_LEASE) {
        master_is_well(master);
        acknowledge(agent, lane->attempt,
                    reply->verdict == HD_VERDICT_REFUSED ? HD_VERDICT_REFUSED
                                                         : HD_VERDICT_ACCEPTED);
    }
    if (!polled)
        return;
    end_poll(agent, m);
    if (reply->kind == HD_REPLY_LEASE)
        take_lease(agent, m, &reply->lease);
    else
        master->quiet = true;
}

static void take_reply(struct hd_agent *agent, const struct hd_agent_event *event)
{
    if (event->master >= HD_AGENT_MASTERS_MAX || event->lane >= HD_LANE_COUNT)
        return;
    struct master *master = &agent->masters[event->master];
    struct lane *lane = &master->lanes[event->lane];
    const struct hd_reply *reply = event->reply;
    if (!master->used || lane->state == LANE_IDLE || lane->sequence != event->sequence ||
        (event->lane == HD_LANE_LEASE && lane->by_report))
        return; /* late, or twice */
    if (reply->kind == HD_REPLY_REFUSED && event->lane == HD_LANE_REPORT &&
        (reply->code == HD_E_INVALID || reply->code == HD_E_NOTFOUND)) {
        struct hd_reply verdict = {.kind = HD_REPLY_OK, .verdict = HD_VERDICT_REFUSED};
        agent_note(agent, "master %s refuses a result: %s", master->id, reply->text);
        take_report_reply(agent, event->master, &verdict);
        return;
    }
    if (reply->kind == HD_REPLY_REFUSED) {
        take_refusal(agent, event->master, event->lane, reply);
        return;
    }
    if (reply->kind == HD_REPLY_HELLO_FIRST &&
        !(event->lane == HD_LANE_CONTROL && lane->kind != HD_REQUEST_PING)) {
        say_hello_again(master, event->lane);
        return;
    }
    switch (event->lane) {
    case HD_LANE_CONTROL:
        take_control_reply(agent, event->master, reply);
        break;
    case HD_LANE_LEASE:
        take_lease_reply(agent, event->master, reply);
        break;
    case HD_LANE_REPORT:
        take_report_reply(agent, event->master, reply);
        break;
    case HD_LANE_COUNT:
        break;
    }
}

static void take_failure(struct hd_agent *agent, const struct hd_agent_event *event)
{
    if (event->master >= HD_AGENT_MASTERS_MAX || event->lane >= HD_LANE_COUNT)
        return;
    const struct master *master = &agent->masters[event->master];
    const struct lane *lane = &master->lanes[event->lane];
    if (!master->used || !master->connected || lane->state != LANE_BUSY ||
        lane->sequence != event->sequence)
        return;
    agent_fail_master(agent, event->master, "no reply");
}

/* ---- the engine's news ---------------------------------------------------------------------- */

/* The place in the table for what was found at start; AGENT_NONE when it is full. */
static uint32_t owner_of(struct hd_agent *agent, const char *master_id)
{
    if (master_id == NULL || master_id[0] == '\0')
        return AGENT_NONE;
    uint32_t m = find_master(agent, master_id);
    return m != AGENT_NONE ? m : add_master(agent, master_id);
}

static struct held *adopt(struct hd_agent *agent, const struct hd_agent_event *event)
{
    uint32_t m = owner_of(agent, event->master_id);
    struct held *held = m == AGENT_NONE ? NULL : add_held(agent, event->attempt, m);
    if (held == NULL)
        agent_action(agent, HD_AGENT_DROP)->attempt = event->attempt;
    return held;
}

static void take_end(struct hd_agent *agent, const struct hd_agent_event *event)
{
    struct held *held = find_held(agent, event->attempt);
    if (held == NULL)
        held = adopt(agent, event);
    if (held != NULL && held->state != HELD_ENDED)
        end_held(agent, held, event->result);
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
        const struct held *held = find_held(agent, point->attempt);
        if (held == NULL || held->state == HELD_ENDED)
            continue;
        struct master *master = &agent->masters[held->master];
        if (master->point_count == HD_AGENT_POINTS_MAX)
            thin_points(master);
        master->points[master->point_count++] = *point;
    }
}

/* ---- leaving -------------------------------------------------------------------------------- */

static void drain(struct hd_agent *agent)
{
    if (agent->draining)
        return;
    agent->draining = true;
    for (uint32_t m = 0; m < HD_AGENT_MASTERS_MAX; m++) {
        struct master *master = &agent->masters[m];
        master->ping_due_ms = agent->now_ms;
        if (master->lanes[HD_LANE_LEASE].state == LANE_IN_DOUBT)
            agent_abandon_lease(agent, m);
    }
}

static void leave(struct hd_agent *agent)
{
    drain(agent);
    if (agent->leaving)
        return;
    agent->leaving = true;
    agent->leave_deadline_ms =
        agent->now_ms + (agent->running_count == 0
                             ? HD_AGENT_LEAVE_MS
                             : agent->options.stop_grace_ms + AGENT_GIVE_UP_MS);
    for (uint32_t i = 0; i < HD_HELD_MAX; i++) {
        struct held *held = &agent->held[i];
        if (held->state != HELD_RUNNING)
            continue;
        held->state = HELD_STOPPING;
        struct hd_agent_action *action = agent_action(agent, HD_AGENT_STOP);
        action->attempt = held->attempt;
        action->outcome = HD_OUTCOME_PREEMPTED;
    }
}

/* Every master has said that it will have no job again, or that we may go. */
static bool all_over(const struct hd_agent *agent)
{
    bool any = false;
    for (uint32_t m = 0; m < HD_AGENT_MASTERS_MAX; m++) {
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
    } else if (all_over(agent)) {
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
    if (event->now_ms > agent->now_ms)
        agent->now_ms = event->now_ms;
    switch (event->kind) {
    case HD_AGENT_EVENT_TIMEOUT:
        break;
    case HD_AGENT_EVENT_MASTERS:
        take_masters(agent, event);
        break;
    case HD_AGENT_EVENT_REPLY:
        take_reply(agent, event);
        break;
    case HD_AGENT_EVENT_LANE_FAILED:
        take_failure(agent, event);
        break;
    case HD_AGENT_EVENT_ADOPTED:
        if (find_held(agent, event->attempt) == NULL)
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
    case HD_AGENT_EVENT_LEAVE:
        agent_note(agent, "leaving: %u targets are stopped", agent->running_count);
        leave(agent);
        break;
    }
    if (!agent->exited) {
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
    return find_held(agent, attempt) != NULL;
}

const char *hd_agent_master_id(const struct hd_agent *agent, uint32_t master)
{
    return master < HD_AGENT_MASTERS_MAX && agent->masters[master].used ? agent->masters[master].id
                                                                        : "";
}
