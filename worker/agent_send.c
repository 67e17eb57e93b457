/* SPDX-License-Identifier: Apache-2.0 */
/* What goes out: after each event, every lane that may speak and has something to say does. */
#include "agent_internal.h"

#include <string.h>

static void want(struct hd_agent *agent, int64_t at_ms)
{
    if (at_ms < agent->deadline_ms)
        agent->deadline_ms = at_ms;
}

/* True when the time has come; otherwise the agent wants to be woken then. */
static bool due(struct hd_agent *agent, int64_t at_ms)
{
    if (agent->now_ms >= at_ms)
        return true;
    want(agent, at_ms);
    return false;
}

/* ---- requests ------------------------------------------------------------------------------- */

static int64_t control_ms(const struct master *master)
{
    int64_t ms = 2 * master->ping_ms;
    if (ms < AGENT_CONTROL_MS_MIN)
        return AGENT_CONTROL_MS_MIN;
    return ms < AGENT_CONTROL_MS_MAX ? ms : AGENT_CONTROL_MS_MAX;
}

/* Marks the lane busy and fills what every request has. No text is left NULL. */
static struct hd_request *send(struct hd_agent *agent, uint32_t m, enum hd_lane number,
                               enum hd_request_kind kind, int64_t within_ms)
{
    struct master *master = &agent->masters[m];
    struct lane *lane = &master->lanes[number];
    if (lane->state != LANE_IN_DOUBT)
        lane->sequence++;
    lane->state = LANE_BUSY;
    lane->kind = kind;
    lane->points_sent = 0;
    lane->echo = 0;
    lane->asleep_ms = 0;
    lane->deadline_ms = agent->now_ms + within_ms;
    want(agent, lane->deadline_ms);
    struct hd_agent_action *action = agent_action(agent, HD_AGENT_SEND);
    action->master = m;
    action->lane = number;
    action->deadline_ms = lane->deadline_ms;
    struct hd_request *request = &action->request;
    request->kind = kind;
    request->token = "";
    request->worker = agent->options.worker;
    request->incarnation = agent->options.incarnation;
    request->lane = number;
    request->sequence = lane->sequence;
    request->run_id = agent->options.run_id;
    request->root = agent->options.root;
    request->host = agent->options.host;
    request->slots = agent->options.slots;
    request->gpus = agent->options.gpus;
    request->data = agent->options.data;
    request->lease_seen = master->lease_seen;
    request->draining = agent->draining;
    request->result.message = request->result.info_json = request->result.directory = "";
    request->experiment_json = request->reason = request->view = request->view_json = "";
    request->about = request->subject = request->doing = request->result.image_id = "";
    return request;
}

static void send_control(struct hd_agent *agent, uint32_t m, enum hd_request_kind kind)
{
    struct master *master = &agent->masters[m];
    struct hd_request *request = send(agent, m, HD_LANE_CONTROL, kind, control_ms(master));
    struct lane *lane = &master->lanes[HD_LANE_CONTROL];
    lane->told_draining = agent->draining;
    size_t held_count = 0;
    for (uint32_t i = 0; i < agent->held_end; i++)
        if (agent->held[i].state != HELD_FREE && agent->held[i].master == m)
            master->held[held_count++] = agent->held[i].attempt;
    request->held = master->held;
    request->held_count = held_count;
    if (kind != HD_REQUEST_PING)
        return;
    lane->points_sent =
        master->point_count < HD_PING_POINTS_MAX ? master->point_count : HD_PING_POINTS_MAX;
    request->points = master->points;
    request->point_count = lane->points_sent;
    request->doing = agent->doing;
    if (master->echo_ready) {
        request->echo = lane->echo = master->echo;
        request->about = agent->about;
        request->unfit = agent->unfit;
    }
    master->ping_due_ms = agent->now_ms + master->ping_ms;
}

/* ---- leases --------------------------------------------------------------------------------- */

static bool wants_lease(const struct hd_agent *agent)
{
    return !agent->draining && agent->lease_master == AGENT_NONE &&
           agent->running_count < agent->options.slots && agent->held_count < HD_HELD_MAX;
}

/* A result that waits goes first, and the poll rides on its report: what is proposed next then
 * knows it, whatever was lost on the way. */
static bool result_waits(const struct hd_agent *agent, uint32_t m)
{
    for (uint32_t i = 0; i < agent->held_end; i++)
        if (agent->held[i].state == HELD_ENDED && agent->held[i].master == m)
            return true;
    return false;
}

static bool may_poll(struct hd_agent *agent, uint32_t m, bool riding)
{
    const struct master *master = &agent->masters[m];
    if (!riding && master->used && result_waits(agent, m))
        return false;
    return master->used && master->hello == HELLO_DONE && !master->drain &&
           due(agent, master->lanes[HD_LANE_LEASE].due_ms);
}

static uint32_t serving_count(const struct hd_agent *agent)
{
    uint32_t count = 0;
    for (uint32_t m = 0; m < agent->masters_end; m++)
        if (agent->masters[m].used && agent->masters[m].hello == HELLO_DONE)
            count++;
    return count;
}

/* Who is asked next: in turn, first those that may have a job now, then whoever may get one. */
static uint32_t choose_master(struct hd_agent *agent, bool riding, int64_t *ret_wait_ms)
{
    bool alone = serving_count(agent) == 1;
    for (int pass = 0; pass < 2; pass++)
        for (uint32_t i = 0; i < HD_AGENT_MASTERS_MAX; i++) {
            uint32_t m = (agent->lease_turn + i) % HD_AGENT_MASTERS_MAX;
            if (m >= agent->masters_end || !may_poll(agent, m, riding) ||
                (pass == 0 && agent->masters[m].quiet && !alone))
                continue;
            *ret_wait_ms = alone ? HD_LEASE_WAIT_MS_MAX : pass == 0 ? 0 : AGENT_WAIT_MS_SHARED;
            return m;
        }
    return AGENT_NONE;
}

/* How long a target that starts now may run; 0: as long as it likes. */
static int64_t time_left_ms(const struct hd_agent *agent)
{
    const struct hd_agent_options *options = &agent->options;
    if (options->end_ms == 0)
        return 0;
    int64_t left_ms = options->end_ms - options->grace_ms - agent->now_ms;
    return left_ms > 1 ? left_ms : 1;
}

static void send_lease(struct hd_agent *agent, uint32_t m, int64_t wait_ms)
{
    struct lane *lane = &agent->masters[m].lanes[HD_LANE_LEASE];
    lane->wait_ms = wait_ms;
    lane->by_report = false;
    agent->lease_master = m;
    struct hd_request *request =
        send(agent, m, HD_LANE_LEASE, HD_REQUEST_LEASE, wait_ms + AGENT_LEASE_SLACK_MS);
    request->wait_ms = wait_ms;
    request->left_ms = time_left_ms(agent);
}

static void pump_leases(struct hd_agent *agent)
{
    if (agent->lease_master != AGENT_NONE) {
        uint32_t m = agent->lease_master;
        if (agent->draining && agent->masters[m].lanes[HD_LANE_LEASE].state == LANE_IN_DOUBT)
            agent_abandon_lease(agent, m);
        const struct master *master = &agent->masters[m];
        const struct lane *lane = &master->lanes[HD_LANE_LEASE];
        if (lane->state == LANE_IN_DOUBT && !lane->by_report && master->hello == HELLO_DONE &&
            due(agent, lane->due_ms))
            send_lease(agent, m, lane->wait_ms);
        return;
    }
    if (!wants_lease(agent))
        return;
    int64_t wait_ms = 0;
    uint32_t m = choose_master(agent, false, &wait_ms);
    if (m != AGENT_NONE)
        send_lease(agent, m, wait_ms);
}

/* ---- reports -------------------------------------------------------------------------------- */

static bool has_points(const struct master *master, struct hd_attempt_ref attempt)
{
    for (size_t i = 0; i < master->point_count; i++)
        if (hd_attempt_ref_equal(master->points[i].attempt, attempt))
            return true;
    return false;
}

/* The oldest result whose curve has gone out; *ret_waits when one waits for that. */
static const struct held *oldest_ended(const struct hd_agent *agent, uint32_t m, bool *ret_waits)
{
    const struct held *oldest = NULL;
    for (uint32_t i = 0; i < agent->held_end; i++) {
        const struct held *held = &agent->held[i];
        if (held->state != HELD_ENDED || held->master != m)
            continue;
        if (has_points(&agent->masters[m], held->attempt))
            *ret_waits = true;
        else if (oldest == NULL || held->order < oldest->order)
            oldest = held;
    }
    return oldest;
}

static const struct held *find_ended(const struct hd_agent *agent, struct hd_attempt_ref attempt)
{
    for (uint32_t i = 0; i < agent->held_end; i++)
        if (agent->held[i].state == HELD_ENDED &&
            hd_attempt_ref_equal(agent->held[i].attempt, attempt))
            return &agent->held[i];
    return NULL;
}

/* The next job may come with the acknowledgement when it is this master's turn anyway. */
static void ride_along(struct hd_agent *agent, uint32_t m)
{
    struct lane *report = &agent->masters[m].lanes[HD_LANE_REPORT];
    struct lane *lease = &agent->masters[m].lanes[HD_LANE_LEASE];
    int64_t wait_ms;
    report->lease_next = wants_lease(agent) && choose_master(agent, true, &wait_ms) == m;
    if (!report->lease_next)
        return;
    report->lease_sequence = ++lease->sequence;
    lease->state = LANE_BUSY;
    lease->by_report = true;
    lease->stale_once = false;
    agent->lease_master = m;
}

static void send_report(struct hd_agent *agent, uint32_t m, const struct held *held)
{
    struct lane *lane = &agent->masters[m].lanes[HD_LANE_REPORT];
    lane->attempt = held->attempt;
    struct hd_request *request =
        send(agent, m, HD_LANE_REPORT, HD_REQUEST_REPORT, control_ms(&agent->masters[m]));
    request->result = held->result;
    request->lease_next = lane->lease_next;
    request->lease_sequence = lane->lease_next ? lane->lease_sequence : 0;
    request->left_ms = lane->lease_next ? time_left_ms(agent) : 0;
    if (lane->lease_next)
        agent->masters[m].lanes[HD_LANE_LEASE].state = LANE_BUSY;
}

static void pump_reports(struct hd_agent *agent, uint32_t m)
{
    struct master *master = &agent->masters[m];
    struct lane *lane = &master->lanes[HD_LANE_REPORT];
    if (lane->state == LANE_BUSY || !due(agent, lane->due_ms))
        return;
    const struct held *held = NULL;
    if (lane->state == LANE_IN_DOUBT) {
        held = find_ended(agent, lane->attempt);
        hd_assert(held != NULL); /* only its verdict ends it */
        send_report(agent, m, held);
        return;
    }
    bool waits = false;
    held = oldest_ended(agent, m, &waits);
    if (waits)
        master->ping_due_ms = agent->now_ms;
    if (held == NULL)
        return;
    ride_along(agent, m);
    send_report(agent, m, held);
}

/* ---- masters -------------------------------------------------------------------------------- */

static void pump_look_up(struct hd_agent *agent)
{
    if (agent->looking_up && due(agent, agent->lookup_lost_ms)) {
        agent->looking_up = false;
        agent->lookup_due_ms = agent->now_ms;
    }
    if (agent->looking_up || !due(agent, agent->lookup_due_ms))
        return;
    agent->looking_up = true;
    agent->lookup_lost_ms = agent->now_ms + AGENT_LOOKUP_LOST_MS;
    want(agent, agent->lookup_lost_ms);
    agent_action(agent, HD_AGENT_LOOKUP);
}

/* A guard of our own: whoever should have told us that a request failed may have forgotten. */
static void find_overdue(struct hd_agent *agent, uint32_t m)
{
    const struct master *master = &agent->masters[m];
    for (int number = 0; number < HD_LANE_COUNT; number++) {
        const struct lane *lane = &master->lanes[number];
        if (lane->state != LANE_BUSY || (number == HD_LANE_LEASE && lane->by_report))
            continue;
        if (due(agent, lane->deadline_ms + AGENT_LEASE_SLACK_MS)) {
            agent_fail_master(agent, m, "its reply is overdue");
            return;
        }
    }
}

static void pump_hello(struct hd_agent *agent, uint32_t m)
{
    struct master *master = &agent->masters[m];
    if (master->address[0] == '\0' || master->hello != HELLO_NEEDED ||
        !due(agent, master->retry_ms))
        return;
    if (!master->connected) {
        struct hd_agent_action *action = agent_action(agent, HD_AGENT_CONNECT);
        action->master = m;
        (void)hd_copy_text(action->address, sizeof(action->address), master->address);
        master->connected = true;
        master->bye_answered = false;
    }
    if (master->lanes[HD_LANE_CONTROL].state != LANE_IDLE)
        return;
    master->hello = HELLO_SENT;
    send_control(agent, m, HD_REQUEST_HELLO);
}

static void pump_master(struct hd_agent *agent, uint32_t m)
{
    struct master *master = &agent->masters[m];
    find_overdue(agent, m);
    pump_hello(agent, m);
    if (master->hello != HELLO_DONE)
        return;
    pump_reports(agent, m);
    if (master->lanes[HD_LANE_CONTROL].state == LANE_IDLE && due(agent, master->ping_due_ms))
        send_control(agent, m, HD_REQUEST_PING);
}

/* ---- leaving -------------------------------------------------------------------------------- */

static void quit(struct hd_agent *agent)
{
    agent_action(agent, HD_AGENT_EXIT);
    agent->exited = true;
}

/* With empty hands: each master that answers hears that we take no more (so that nothing is
 * granted while the bye is under way), then bye. True when there is nobody left to tell. */
static bool say_bye(struct hd_agent *agent)
{
    bool all_told = true;
    for (uint32_t m = 0; m < agent->masters_end; m++) {
        struct master *master = &agent->masters[m];
        if (!master->used || master->hello != HELLO_DONE || master->bye_answered)
            continue;
        all_told = false;
        if (master->lanes[HD_LANE_CONTROL].state != LANE_IDLE)
            continue;
        if (!master->drain_told) {
            send_control(agent, m, HD_REQUEST_PING);
            continue;
        }
        agent_abandon_lease(agent, m);
        send_control(agent, m, HD_REQUEST_BYE);
    }
    return all_told;
}

/* How long acknowledgements are waited for. */
static bool waited_enough(struct hd_agent *agent)
{
    if (agent->leaving)
        return due(agent, agent->leave_deadline_ms);
    if (!agent->draining || agent->held_count == 0 || agent->running_count > 0)
        return false;
    if (agent->drain_deadline_ms == HD_NEVER_MS)
        agent->drain_deadline_ms = agent->now_ms + HD_AGENT_DRAIN_MS;
    return due(agent, agent->drain_deadline_ms);
}

static bool pump_leaving(struct hd_agent *agent)
{
    if (waited_enough(agent)) {
        agent_note(agent, "leaving with %u results not acknowledged: they stay on disk",
                   agent->held_count - agent->running_count);
        quit(agent);
        return true;
    }
    if (!agent->draining || agent->held_count > 0) {
        agent->bye_deadline_ms = HD_NEVER_MS;
        return false;
    }
    if (agent->bye_deadline_ms == HD_NEVER_MS)
        agent->bye_deadline_ms = agent->now_ms + HD_AGENT_BYE_MS;
    if (due(agent, agent->bye_deadline_ms) || say_bye(agent))
        quit(agent);
    return true;
}

void agent_pump(struct hd_agent *agent)
{
    agent->deadline_ms = HD_NEVER_MS;
    if (pump_leaving(agent))
        return;
    for (uint32_t m = 0; m < agent->masters_end; m++)
        if (agent->masters[m].used)
            pump_master(agent, m);
    pump_leases(agent);
    pump_look_up(agent);
    if (agent->options.end_ms != 0 && !agent->leaving)
        want(agent, agent->options.end_ms - agent->options.grace_ms);
    if (!agent->draining && agent->held_count == 0 && agent->options.idle_timeout_ms > 0)
        want(agent, agent->idle_since_ms + agent->options.idle_timeout_ms);
}
