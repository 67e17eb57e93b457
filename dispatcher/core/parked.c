/* SPDX-License-Identifier: Apache-2.0 */
/* Long polls that wait for a job: a list in the order of their arrival, one a worker. */
#include "core_internal.h"

static void unlink_parked(struct hd_core *core, struct worker *worker)
{
    struct parked *parked = &worker->parked;
    if (parked->previous == HD_NONE)
        core->parked_first = parked->next;
    else
        core->workers[parked->previous].parked.next = parked->next;
    if (parked->next == HD_NONE)
        core->parked_last = parked->previous;
    else
        core->workers[parked->next].parked.previous = parked->previous;
    core->parked_count--;
    parked->active = false;
}

void core_park(struct hd_core *core, struct worker *worker, const struct parked *poll)
{
    if (worker->parked.active) /* superseded: the worker no longer listens there */
        core_answer_parked(core, worker, HD_REPLY_STALE);
    uint32_t index = (uint32_t)(worker - core->workers);
    worker->parked = *poll;
    worker->parked.active = true;
    worker->parked.next = HD_NONE;
    worker->parked.previous = core->parked_last;
    if (core->parked_last == HD_NONE)
        core->parked_first = index;
    else
        core->workers[core->parked_last].parked.next = index;
    core->parked_last = index;
    core->parked_count++;
    if (poll->deadline_ms < core->parked_expiry_ms)
        core->parked_expiry_ms = poll->deadline_ms;
}

void core_unpark(struct hd_core *core, struct worker *worker)
{
    if (worker->parked.active)
        unlink_parked(core, worker);
}

void core_answer_parked(struct hd_core *core, struct worker *worker, enum hd_reply_kind kind)
{
    struct parked *parked = &worker->parked;
    hd_assert(parked->active);
    enum hd_lane lane = parked->combined ? HD_LANE_REPORT : HD_LANE_LEASE;
    if (parked->combined && kind != HD_REPLY_STALE)
        kind = HD_REPLY_OK; /* the report is acknowledged; no job came */
    if (kind != HD_REPLY_STALE)
        worker->poll_answered = parked->lease_sequence;
    struct hd_reply *reply = core_reply(core, parked->address, kind, lane, parked->sequence);
    reply->verdict = parked->verdict;
    reply->wanted = parked->wanted;
    core_tell_worker(worker, reply);
    unlink_parked(core, worker);
}

void core_expire_parked(struct hd_core *core)
{
    if (core->parked_expiry_ms > core->now_ms)
        return;
    int64_t next_ms = HD_NEVER_MS;
    uint32_t index = core->parked_first;
    while (index != HD_NONE) {
        struct worker *worker = &core->workers[index];
        index = worker->parked.next;
        if (worker->parked.deadline_ms > core->now_ms) {
            if (worker->parked.deadline_ms < next_ms)
                next_ms = worker->parked.deadline_ms;
            continue;
        }
        if (!core_room(core)) {
            core->again = true;
            return;
        }
        core_answer_parked(core, worker, HD_REPLY_NOTHING);
    }
    core->parked_expiry_ms = next_ms;
}
