/* SPDX-License-Identifier: Apache-2.0 */
/*
 * agent.h: the worker as a pure state machine: which request goes out on which lane, what is
 * started, stopped, kept and forgotten. No clock, socket, engine or file inside.
 *
 *   events: a reply, a lane that failed, an engine's news, a signal, a timeout, the masters found
 *   actions: send, start, stop, kill, acknowledged, look up masters, exit
 *
 * The shell persists an ended attempt's result on disk before it tells the agent, and deletes
 * it on HD_AGENT_ACKNOWLEDGED: a result outlives the worker and any master downtime.
 *
 * What may be relied on:
 *  - Attempts found at start are told (ADOPTED, ENDED) before the first TIMEOUT or MASTERS, so
 *    that the first hello names them; a master takes for lost what a new incarnation leaves out.
 *  - One lease poll is out at a time over all masters. Several masters are first scanned without
 *    waiting, then polled in turn.
 *  - A request that failed goes out again on the fresh connection with the same sequence (lease,
 *    report) or as a new one (hello, ping), after the hello.
 *  - A lease that arrives while leaving is not started: it is reported as preempted, and its
 *    acknowledgement comes for an attempt that the shell never had.
 *  - A lease whose answer may have lain unread for as long as the lease lasts is asked for again
 *    before it is begun: the worker may have been frozen.
 *  - A worker that knows its end stops its targets grace_ms before it, says in each poll how long a
 *    target may still run, and is gone by then whether it was heard or not.
 *  - STOP comes once an attempt. DROP is never given for an attempt that ended: its report gets a
 *    verdict. An ENDED that nobody waits for is answered by DROP.
 *  - Curve points of an ended attempt go out before its report.
 *  - A draining worker with results that nobody takes leaves all the same, and they stay on disk
 *    for the next worker of its directory: their master may be gone for good.
 *  - Everything is bounded; each event may come twice.
 */
#ifndef HD_AGENT_H
#define HD_AGENT_H

#include <hd/message.h>

#define HD_AGENT_MASTERS_MAX 16
#define HD_AGENT_ACTIONS_MAX 512
#define HD_AGENT_DEADLINE_MS                                                                       \
    25000                        /* the longest deadline of a request; longer than a parked poll */
#define HD_AGENT_POINTS_MAX 1024 /* curve points kept for a master; beyond, every second goes */
#define HD_AGENT_LEAVE_MS 10000  /* how long a leaving worker waits for acknowledgements */
#define HD_AGENT_DRAIN_MS 30000  /* and a draining one, since the last of them */
#define HD_AGENT_BYE_MS 3000     /* and for the answer to its bye */
#define HD_AGENT_REPORT_MS 2000  /* of the time to leave, kept for reports; at most a quarter */

struct hd_agent;

struct hd_agent_options {
    char worker[HD_WORKER_ID_MAX];
    uint64_t incarnation; /* rises with each start of the worker */
    char root[HD_ROOT_ID_MAX];
    char host[HD_ID_MAX + 1];
    char run_id[HD_ID_MAX + 1];   /* "" any */
    uint32_t slots;               /* 1..HD_HELD_MAX */
    uint32_t gpus;                /* for jobs; see struct hd_request */
    char data[HD_DATA_NAMES_MAX]; /* likewise */
    int64_t idle_timeout_ms;      /* 0: never leaves by itself */
    int64_t stop_grace_ms;        /* between TERM and KILL of a target */
    int64_t end_ms;               /* on the clock of the events: gone by then; 0: not known */
    int64_t grace_ms; /* with end_ms: how long before it targets are stopped; 1 or more */
};

enum hd_agent_event_kind {
    HD_AGENT_EVENT_TIMEOUT,
    HD_AGENT_EVENT_MASTERS, /* the answer of a look-up: the masters there are now; none when
                               it failed (a master that answers is kept all the same) */
    HD_AGENT_EVENT_REPLY,
    HD_AGENT_EVENT_LANE_FAILED, /* no answer in time, or the connection broke */
    HD_AGENT_EVENT_ADOPTED,     /* at start: an attempt found running on the engine */
    HD_AGENT_EVENT_PROGRESS,    /* curve points of a running attempt */
    HD_AGENT_EVENT_ENDED,       /* an attempt ended; its result is on disk */
    HD_AGENT_EVENT_DRAIN,       /* first SIGTERM: no more jobs, leave when done */
    HD_AGENT_EVENT_DESCRIBED,   /* what the host could do now: the answer to DESCRIBE */
    HD_AGENT_EVENT_DOING,       /* what is done before a target can run; "" nothing */
    HD_AGENT_EVENT_LEAVE,       /* second SIGTERM, or the machine goes away: stop targets, report
                                   preempted, leave */
};

struct hd_agent_master {
    char id[HD_WORKER_ID_MAX];
    char address[HD_ADDRESS_MAX];
};

struct hd_agent_event {
    enum hd_agent_event_kind kind;
    int64_t now_ms;
    /* MASTERS */
    const struct hd_agent_master *masters;
    size_t master_count;
    /* REPLY, LANE_FAILED */
    uint32_t master; /* index in the agent's table, as given in the SEND action */
    enum hd_lane lane;
    uint64_t sequence;
    const struct hd_reply *reply;
    /* ADOPTED: attempt and the master id it came from; ENDED: result, and master_id when the
     * result was found on disk; PROGRESS: points */
    struct hd_attempt_ref attempt;
    const char *master_id;
    const struct hd_result *result;
    const struct hd_point *points;
    size_t point_count;
    /* DESCRIBED, DOING */
    const char *about;
    bool unfit; /* it could run nothing, and `about` says why */
    /* LEAVE: gone by then; 0: when all is reported */
    int64_t leave_by_ms;
};

enum hd_agent_action_kind {
    HD_AGENT_SEND,    /* request on lane to master; borrowed until the next step */
    HD_AGENT_CONNECT, /* (re)dial masters[master].address afresh, dropping what was outstanding */
    HD_AGENT_START,   /* run this lease */
    HD_AGENT_STOP,    /* TERM, grace, KILL; then report the outcome given */
    HD_AGENT_DROP,    /* kill at once; remove it; report nothing */
    HD_AGENT_ACKNOWLEDGED, /* the result arrived (accepted or refused: see verdict): forget it */
    HD_AGENT_BRING,        /* send the files that this attempt left to this master */
    HD_AGENT_OFFER,        /* likewise the work directory, while nothing has gone on in it */
    HD_AGENT_DESCRIBE,     /* a master tests this worker: say what it could do now */
    HD_AGENT_LOOKUP,       /* ask the nameserver for masters */
    HD_AGENT_EXIT,         /* nothing left to do */
};

struct hd_agent_action {
    enum hd_agent_action_kind kind;
    uint32_t master;
    enum hd_lane lane;
    struct hd_request request;     /* SEND */
    int64_t deadline_ms;           /* SEND: report LANE_FAILED when no reply came by then. STOP: the
                                      target must have ended by then; HD_NEVER_MS: its own grace */
    const struct hd_lease *lease;  /* START: borrowed from the reply event */
    struct hd_attempt_ref attempt; /* STOP, DROP, ACKNOWLEDGED, BRING, OFFER */
    enum hd_outcome outcome;       /* STOP: stopped, cancelled or preempted */
    enum hd_verdict verdict;       /* ACKNOWLEDGED */
    uint32_t wanted;               /* ACKNOWLEDGED: bits of enum hd_wanted */
    char address[HD_ADDRESS_MAX];  /* CONNECT */
};

struct hd_agent_update {
    struct hd_agent_action actions[HD_AGENT_ACTIONS_MAX];
    size_t action_count;
    char note[HD_REASON_MAX]; /* a line for the log, or "" */
};

HD_NODISCARD enum hd_code hd_agent_new(const struct hd_agent_options *options,
                                       struct hd_agent **ret_agent, struct hd_err *err);
void hd_agent_free(struct hd_agent *agent);
/* Cannot fail: all memory is had at hd_agent_new() (slots are bounded). */
void hd_agent_step(struct hd_agent *agent, const struct hd_agent_event *event,
                   struct hd_agent_update *update);
int64_t hd_agent_deadline_ms(const struct hd_agent *agent);

/* For checkers and progress lines. */
uint32_t hd_agent_held_count(const struct hd_agent *agent);
/* The id of the master with this index; "" when there is none. */
const char *hd_agent_master_id(const struct hd_agent *agent, uint32_t master);
bool hd_agent_holds(const struct hd_agent *agent, struct hd_attempt_ref attempt);
/* Every master has said that it will have no job again, or that we may go. */
bool hd_agent_all_over(const struct hd_agent *agent);

#endif
