/* SPDX-License-Identifier: Apache-2.0 */
/*
 * agent_internal.h: the state of the agent, shared by its files.
 */
#ifndef HD_AGENT_INTERNAL_H
#define HD_AGENT_INTERNAL_H

#include <hd/agent.h>

#define AGENT_NONE UINT32_MAX
#define AGENT_BACKOFF_MS_FIRST 100
#define AGENT_BACKOFF_MS_MAX 5000
#define AGENT_REFUSED_MS_FIRST 1000
#define AGENT_REFUSED_MS_MAX 30000
#define AGENT_LOOKUP_MS 10000      /* how often new masters are looked for */
#define AGENT_LOOKUP_ALONE_MS 1000 /* while no master answers */
#define AGENT_LOOKUP_LOST_MS 30000 /* an answer that did not come */
#define AGENT_CONTROL_MS_MIN 3000  /* deadline of hello, ping, report, bye: two pings, within */
#define AGENT_CONTROL_MS_MAX 10000
#define AGENT_WAIT_MS_SHARED 5000 /* a long poll when there are several masters */
#define AGENT_LEASE_SLACK_MS 5000 /* beyond the poll */
#define AGENT_DONE_MS 2000        /* how soon a master that had no run left is asked again */
#define AGENT_STALE_MS 100        /* before asking anew after a stale answer */
#define AGENT_PING_MS_DEFAULT 5000
#define AGENT_GIVE_UP_MS 30000 /* beyond the grace: targets that do not end */

enum held_state { HELD_FREE, HELD_RUNNING, HELD_STOPPING, HELD_ENDED };

/* An attempt in our hands: from START or ADOPTED until ACKNOWLEDGED or DROP. */
struct held {
    enum held_state state;
    struct hd_attempt_ref attempt;
    uint32_t master;
    uint64_t order;          /* ENDED: reported in this order */
    struct hd_result result; /* ENDED; its texts are those below */
    char message[HD_MESSAGE_MAX];
    char info_json[HD_INFO_JSON_MAX];
    char image_id[HD_IMAGE_ID_MAX];
    char directory[HD_DIR_NAME_MAX];
};

enum lane_state {
    LANE_IDLE,
    LANE_BUSY,     /* a request is out */
    LANE_IN_DOUBT, /* it failed: resend with the same sequence */
};

struct lane {
    enum lane_state state;
    uint64_t sequence;   /* of the last request */
    int64_t deadline_ms; /* BUSY: when it has failed */
    int64_t due_ms;      /* nothing goes out before (lease, report) */
    int64_t asleep_ms;   /* BUSY: the longest time between two steps since it went out */
    bool stale_once;
    /* control */
    enum hd_request_kind kind;
    bool told_draining;
    size_t points_sent;
    uint64_t echo; /* the test that it answers; 0 none */
    /* lease */
    bool by_report; /* the poll rides on the report lane's request */
    int64_t wait_ms;
    /* report */
    struct hd_attempt_ref attempt;
    bool lease_next;
    uint64_t lease_sequence;
};

enum hello_state { HELLO_NEEDED, HELLO_SENT, HELLO_DONE };

struct master {
    bool used;
    bool listed;    /* in the last look-up */
    bool connected; /* dialled, and nothing failed since */
    enum hello_state hello;
    char id[HD_WORKER_ID_MAX];
    char address[HD_ADDRESS_MAX]; /* "" not known yet */
    int64_t retry_ms;             /* no connect and no hello before */
    int64_t backoff_ms, refused_ms;
    int64_t ping_ms, ping_due_ms;
    bool quiet;      /* had no job when last asked */
    bool over;       /* will have no job again */
    bool drain;      /* wants us to leave */
    bool drain_told; /* knows that we take no more */
    bool bye_answered;
    uint64_t echo, echo_done; /* the test to be answered, 0 none; the last that was */
    bool echo_ready;          /* the host has said what it could do */
    uint64_t lease_seen;
    struct lane lanes[HD_LANE_COUNT];
    struct hd_attempt_ref held[HD_HELD_MAX]; /* of the request under way */
    struct hd_point points[HD_AGENT_POINTS_MAX];
    size_t point_count;
};

struct hd_agent {
    struct hd_agent_options options;
    struct master *masters; /* HD_AGENT_MASTERS_MAX */
    struct held *held;      /* HD_HELD_MAX */
    /* Beyond the highest places that were ever used: most never are. */
    uint32_t masters_end, held_end;
    uint32_t held_count;
    uint32_t running_count; /* RUNNING and STOPPING */
    uint64_t end_order;
    uint32_t lease_master; /* whose lease lane is not idle; AGENT_NONE */
    uint32_t lease_turn;   /* who is asked next */
    bool draining;         /* takes no more */
    bool leaving;          /* second signal */
    bool exited;
    int64_t leave_deadline_ms;
    int64_t drain_deadline_ms; /* HD_NEVER_MS: something runs, or a result was just taken */
    int64_t bye_deadline_ms;   /* HD_NEVER_MS: not saying bye */
    int64_t lookup_due_ms, lookup_lost_ms;
    bool looking_up;
    char about[HD_ABOUT_MAX];
    char doing[HD_DOING_MAX]; /* what the host said last */
    bool unfit;
    int64_t idle_since_ms;
    bool started;
    int64_t now_ms;
    int64_t deadline_ms;
    struct hd_agent_update *update; /* of this step */
};

/* agent.c */
struct hd_agent_action *agent_action(struct hd_agent *agent, enum hd_agent_action_kind kind);
/* The first note of a step is kept: it is the cause of the others. */
void agent_note(struct hd_agent *agent, const char *fmt, ...) HD_PRINTF(2, 3);
struct held *agent_find_held(const struct hd_agent *agent, struct hd_attempt_ref attempt);
struct held *agent_add_held(struct hd_agent *agent, struct hd_attempt_ref attempt, uint32_t master);
bool agent_is_running(const struct held *held);
void agent_forget_held(struct hd_agent *agent, struct held *held);
void agent_end_held(struct hd_agent *agent, struct held *held, const struct hd_result *result);

/* agent_masters.c */
uint32_t agent_find_master(const struct hd_agent *agent, const char *id);
uint32_t agent_add_master(struct hd_agent *agent, const char *id); /* AGENT_NONE: no room */
void agent_take_masters(struct hd_agent *agent, const struct hd_agent_event *event);
void agent_abandon_lease(struct hd_agent *agent, uint32_t master);
void agent_fail_master(struct hd_agent *agent, uint32_t master, const char *why);
/* A slot came free or a master came back: every master is worth asking again. */
void agent_wake_masters(struct hd_agent *agent);

/* agent_replies.c */
void agent_take_reply(struct hd_agent *agent, const struct hd_agent_event *event);
void agent_take_failure(struct hd_agent *agent, const struct hd_agent_event *event);

/* agent_send.c */
void agent_pump(struct hd_agent *agent);
/* Stops what runs, hands it back, says good-bye, by then at the latest (HD_NEVER_MS: no end). */
void agent_leave(struct hd_agent *agent, int64_t by_ms);

#endif
