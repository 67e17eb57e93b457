/* SPDX-License-Identifier: Apache-2.0 */
/* What masters answer, and the commands and leases in their answers. */
#include "agent_internal.h"

#include <math.h>
#include <string.h>

/* ---- commands and leases -------------------------------------------------------------------- */

/* Of an attempt that it still holds its acknowledgement says so. */
static void send_left(struct hd_agent *agent, uint32_t m, struct hd_attempt_ref attempt,
                      enum hd_agent_action_kind kind)
{
    if (agent_find_held(agent, attempt) != NULL)
        return;
    struct hd_agent_action *action = agent_action(agent, kind);
    action->master = m;
    action->attempt = attempt;
}

static void obey(struct hd_agent *agent, uint32_t m, const struct hd_attempt_command *command)
{
    if (command->action == HD_ACTION_BRING || command->action == HD_ACTION_OFFER) {
        send_left(agent, m, command->attempt,
                  command->action == HD_ACTION_BRING ? HD_AGENT_BRING : HD_AGENT_OFFER);
        return;
    }
    struct held *held = agent_find_held(agent, command->attempt);
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
        agent_forget_held(agent, held);
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
    agent_end_held(agent, held, &result);
}

/* Two attempts of a job never write one directory: the older one has lost its lease, and the
 * master's word about it is still on its way. */
static void drop_older(struct hd_agent *agent, struct hd_attempt_ref attempt)
{
    for (uint32_t i = 0; i < agent->held_end; i++) {
        struct held *held = &agent->held[i];
        if (!agent_is_running(held) || held->attempt.run_uid != attempt.run_uid ||
            held->attempt.job != attempt.job || held->attempt.attempt >= attempt.attempt)
            continue;
        agent_action(agent, HD_AGENT_DROP)->attempt = held->attempt;
        agent_forget_held(agent, held);
    }
}

static void take_lease(struct hd_agent *agent, uint32_t m, const struct hd_lease *lease)
{
    agent->idle_since_ms = agent->now_ms;
    agent->lease_turn = (m + 1) % HD_AGENT_MASTERS_MAX;
    agent_wake_masters(agent);
    const struct held *known = agent_find_held(agent, lease->attempt);
    if (known != NULL && hd_attempt_ref_same(known->attempt, lease->attempt))
        return;
    if (known != NULL) { /* its name is taken: the master finds it lost and gives it another */
        agent_note(agent,
                   "master %s grants job %u, attempt %u, which a copy of its state has granted "
                   "before: not started",
                   agent->masters[m].id, lease->attempt.job, lease->attempt.attempt);
        return;
    }
    struct held *held = agent_add_held(agent, lease->attempt, m);
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

/* A run that joined may have shorter leases than those before it. */
static void take_ping_ms(struct hd_agent *agent, struct master *master, int64_t ping_ms)
{
    if (ping_ms <= 0)
        return;
    master->ping_ms = ping_ms;
    if (master->ping_due_ms - agent->now_ms > ping_ms)
        master->ping_due_ms = agent->now_ms + ping_ms;
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

/* The host is asked what it could do; its answer goes out with a ping at once. */
static void take_test(struct hd_agent *agent, uint32_t m, uint64_t echo)
{
    struct master *master = &agent->masters[m];
    if (echo == 0 || echo == master->echo || echo == master->echo_done)
        return;
    master->echo = echo;
    master->echo_ready = false;
    agent_action(agent, HD_AGENT_DESCRIBE)->master = m;
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
    master->ping_due_ms = agent->now_ms + (master->echo_ready ? 0 : master->ping_ms);
    master->lanes[HD_LANE_LEASE].due_ms = agent->now_ms;
    if (agent->lookup_due_ms < agent->now_ms + AGENT_LOOKUP_MS)
        agent->lookup_due_ms = agent->now_ms + AGENT_LOOKUP_MS;
    agent_wake_masters(agent);
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
    if (lane->echo != 0) {
        master->echo_done = lane->echo;
        if (master->echo == lane->echo) {
            master->echo = 0;
            master->echo_ready = false;
        }
    }
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
    case HD_REQUEST_TEST:
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
    if (reply->kind == HD_REPLY_NOTHING)
        master->drain = master->drain || reply->drain; /* a poll is woken to say so */
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
                        enum hd_verdict verdict, uint32_t wanted)
{
    struct held *held = agent_find_held(agent, attempt);
    if (held == NULL)
        return;
    struct hd_agent_action *action = agent_action(agent, HD_AGENT_ACKNOWLEDGED);
    action->attempt = attempt;
    action->verdict = verdict;
    action->wanted = wanted;
    agent_forget_held(agent, held);
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
        bool refused = reply->verdict == HD_VERDICT_REFUSED;
        acknowledge(agent, lane->attempt, refused ? HD_VERDICT_REFUSED : HD_VERDICT_ACCEPTED,
                    refused ? 0 : reply->wanted);
    }
    if (!polled)
        return;
    end_poll(agent, m);
    if (reply->kind == HD_REPLY_LEASE)
        take_lease(agent, m, &reply->lease);
    else
        master->quiet = true;
}

/* A worker that was frozen, or on a machine that slept, finds a lease that may have ended
 * meanwhile: its job runs elsewhere. The same request again, as if the answer had been lost, and
 * the master says whether it is still ours. */
static bool was_slept_through(struct hd_agent *agent, uint32_t m, struct lane *lane,
                              const struct hd_reply *reply)
{
    if (reply->kind != HD_REPLY_LEASE || reply->lease.lease_ms <= 0 ||
        lane->asleep_ms < reply->lease.lease_ms)
        return false;
    agent_note(agent,
               "asleep for %lld s, longer than the lease of job %u, attempt %u: asking master %s "
               "whether it is still ours",
               (long long)(lane->asleep_ms / 1000), reply->lease.attempt.job,
               reply->lease.attempt.attempt, agent->masters[m].id);
    lane->state = LANE_IN_DOUBT;
    lane->due_ms = agent->now_ms;
    return true;
}

void agent_take_reply(struct hd_agent *agent, const struct hd_agent_event *event)
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
    if (was_slept_through(agent, event->master, lane, reply))
        return;
    take_ping_ms(agent, master, reply->ping_ms);
    if (reply->leave && !agent->leaving) {
        agent_note(agent, "master %s sends us away: %u targets are stopped", master->id,
                   agent->running_count);
        agent_leave(agent, agent->options.end_ms != 0 ? agent->options.end_ms : HD_NEVER_MS);
    }
    take_test(agent, event->master, reply->echo);
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

void agent_take_failure(struct hd_agent *agent, const struct hd_agent_event *event)
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
