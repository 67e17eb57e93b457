/* SPDX-License-Identifier: Apache-2.0 */
/* The masters there are: found, lost, moved. */
#include "agent_internal.h"

#include <string.h>

/* ---- masters -------------------------------------------------------------------------------- */

uint32_t agent_find_master(const struct hd_agent *agent, const char *id)
{
    for (uint32_t m = 0; m < agent->masters_end; m++)
        if (agent->masters[m].used && strcmp(agent->masters[m].id, id) == 0)
            return m;
    return AGENT_NONE;
}

static bool master_holds(const struct hd_agent *agent, uint32_t master)
{
    for (uint32_t i = 0; i < agent->held_end; i++)
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
    for (uint32_t m = 0; m < agent->masters_end; m++)
        if (agent->masters[m].lanes[lane].sequence > highest)
            highest = agent->masters[m].lanes[lane].sequence;
    return highest;
}

/* Sequences rise over the whole table: a late answer to the former owner of a place matches
 * nothing, and a master that was forgotten and comes back at another place never sees an old number
 * again (it would take the request for a resend). */
uint32_t agent_add_master(struct hd_agent *agent, const char *id)
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
    if (place >= agent->masters_end)
        agent->masters_end = place + 1;
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
    for (uint32_t m = 0; m < agent->masters_end; m++)
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
    uint32_t m = agent_find_master(agent, found->id);
    if (m == AGENT_NONE)
        m = agent_add_master(agent, found->id);
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

void agent_take_masters(struct hd_agent *agent, const struct hd_agent_event *event)
{
    agent->looking_up = false;
    bool alone = true;
    for (uint32_t m = 0; m < agent->masters_end; m++) {
        struct master *master = &agent->masters[m];
        master->listed = false;
        alone = alone && !(master->used && master->hello == HELLO_DONE);
    }
    agent->lookup_due_ms = agent->now_ms + (alone ? AGENT_LOOKUP_ALONE_MS : AGENT_LOOKUP_MS);
    for (size_t i = 0; i < event->master_count && i < HD_AGENT_MASTERS_MAX; i++) {
        uint32_t m = agent_find_master(agent, event->masters[i].id);
        if (m != AGENT_NONE)
            agent->masters[m].listed = true;
    }
    /* Gone from the list and silent, and nothing of it in our hands. */
    for (uint32_t m = 0; m < agent->masters_end && event->master_count > 0; m++) {
        const struct master *master = &agent->masters[m];
        if (master->used && !master->listed && master->hello != HELLO_DONE &&
            !master_holds(agent, m))
            forget_master(agent, m);
    }
    for (size_t i = 0; i < event->master_count && i < HD_AGENT_MASTERS_MAX; i++)
        see_master(agent, &event->masters[i]);
}

void agent_wake_masters(struct hd_agent *agent)
{
    for (uint32_t m = 0; m < agent->masters_end; m++)
        agent->masters[m].quiet = false;
}
