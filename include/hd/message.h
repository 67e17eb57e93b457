/* SPDX-License-Identifier: Apache-2.0 */
/*
 * message.h: what programs say to one another, as plain structs, and their msgpack form.
 *
 * Every request may arrive twice, late or never. Each carries (worker, incarnation, lane,
 * sequence): within a lane the sequence rises, one request is outstanding at a time, and a
 * resend repeats its sequence. Results are fenced by attempt. On the wire a message is a
 * msgpack map with string keys; unknown keys are ignored; "v" is the protocol version.
 * Bytes are scanned within limits (hd_wire_scan) before anything is allocated for them.
 */
#ifndef HD_MESSAGE_H
#define HD_MESSAGE_H

#include <hd/fact.h>

#define HD_PROTOCOL_VERSION 1
#define HD_MESSAGE_BYTES_MAX (1024u * 1024u)
#define HD_WIRE_DEPTH_MAX 16
#define HD_WIRE_NODES_MAX 65536
#define HD_WIRE_ARENA_BYTES_MAX (4u * 1024u * 1024u) /* an arena that holds any decoded message */
#define HD_TOKEN_MAX 128
#define HD_ADDRESS_MAX 256        /* "tcp://host:port" */
#define HD_HELD_MAX 256           /* attempts one worker may hold */
#define HD_PING_POINTS_MAX 256    /* curve points in one ping */
#define HD_COMMANDS_MAX 64        /* commands in one reply */
#define HD_RESULT_MEASURES_MAX 40 /* objectives and constraints of one result */
#define HD_LEASE_WAIT_MS_MAX 20000
#define HD_DOING_MAX 160 /* what a worker does for an attempt before its target runs */
#define HD_ABOUT_MAX 240 /* what a worker says of itself when it is tested */
#define HD_VIEW_JSON_MAX (768u * 1024u)
#define HD_DATA_NAMES_MAX                                                                          \
    1024 /* of all data sets of a worker, with commas, terminator included                         \
          */

enum hd_lane { HD_LANE_CONTROL, HD_LANE_LEASE, HD_LANE_REPORT, HD_LANE_COUNT };

enum hd_request_kind {
    HD_REQUEST_HELLO,   /* control: who I am, what I hold */
    HD_REQUEST_LEASE,   /* lease: long-poll for a job */
    HD_REQUEST_PING,    /* control: renews leases, carries curves, brings commands */
    HD_REQUEST_REPORT,  /* report: an attempt ended; may ask for the next lease too */
    HD_REQUEST_BYE,     /* control: leaving; everything it held has been reported */
    HD_REQUEST_SUBMIT,  /* a person: add a run to a live master */
    HD_REQUEST_COMMAND, /* a person: pause, resume, cancel */
    HD_REQUEST_VIEW, /* a person: read (status, jobs, ...), answered by the driver, not the core */
    HD_REQUEST_TEST, /* a person: have workers answer; nothing of it lasts */
    HD_REQUEST_KIND_COUNT
};
const char *hd_request_kind_name(enum hd_request_kind kind);

/* One attempt on the wire. run_uid is random, so another store's numbers never match. A copy of a
 * store has the same run_uid, and goes on to give the same numbers to other work: the stamp tells
 * such grants apart. 0: not known, which is like any. */
struct hd_attempt_ref {
    uint64_t run_uid;
    uint32_t job;
    uint32_t attempt;
    uint32_t stamp; /* of the fact that granted it */
};
/* Whether one grant is meant. */
bool hd_attempt_ref_same(struct hd_attempt_ref a, struct hd_attempt_ref b);
/* Whether the numbers are equal, whoever gave them. */
bool hd_attempt_ref_equal(struct hd_attempt_ref a, struct hd_attempt_ref b);

struct hd_point {
    struct hd_attempt_ref attempt;
    double step;
    double loss;
};

struct hd_result {
    struct hd_attempt_ref attempt;
    enum hd_outcome outcome;
    double loss;
    double measures[HD_RESULT_MEASURES_MAX]; /* as in hd_fact_attempt_ended */
    size_t measure_count;
    int64_t started_wall_ms, finished_wall_ms;
    int32_t exit_code;
    const char *message;
    const char *info_json;
    const char *directory; /* name of the work directory this attempt leaves in the worker's root;
                              "" none */
    uint32_t rule; /* the experiment's log rule that its output matched, from 1 on; 0: none */
    const char *image_id;    /* what a container was made of; "" not known, or no container */
    const char *graphs_json; /* hd_graphs_summary() of its charts; "" or NULL: none */
};

struct hd_request {
    enum hd_request_kind kind;
    const char *token;  /* checked at the edge; the core never sees a request with a wrong one */
    const char *worker; /* "" for people */
    uint64_t incarnation;
    enum hd_lane lane;
    uint64_t sequence;
    const char *run_id; /* LEASE: "" = any run; SUBMIT, COMMAND, VIEW: which */

    /* HELLO, PING */
    const struct hd_attempt_ref *held; /* running, or ended and not yet acknowledged */
    size_t held_count;
    uint64_t lease_seen; /* the highest lease sequence whose reply arrived */
    bool draining;       /* takes no more jobs */
    /* HELLO */
    uint32_t slots;
    uint32_t gpus;    /* that it gives to jobs; one that two jobs may share counts twice */
    const char *data; /* names of the data sets it has, with commas; "" none */
    const char *root; /* HELLO and LEASE: work root id */
    const char *host; /* for display */
    /* PING */
    const struct hd_point *points;
    size_t point_count;
    /* LEASE; REPORT with lease_next */
    int64_t wait_ms;
    int64_t left_ms; /* how long a target may run there; 0: as long as it likes */
    /* REPORT */
    struct hd_result result;
    bool lease_next;
    uint64_t lease_sequence;
    /* SUBMIT */
    const char *experiment_json;
    const char *known_json; /* results known before the run: known.h; "" or NULL: none */
    uint64_t seed;
    uint64_t run_uid; /* chosen by the edge (randomness is I/O) */
    /* COMMAND */
    enum hd_command_op command;
    uint32_t job;
    const char *reason;
    enum hd_limit limit;     /* SET_LIMIT */
    const char *limit_value; /* a number; "none" for no goal */
    const char *subject;     /* *_WORKER: whom it is about; TEST: likewise, "" all */
    const char *image;       /* SET_IMAGE */
    /* TEST: a number that the person chose, not 0. PING: the number of the test that the worker
     * answers with it, and what it says of itself. */
    uint64_t echo;
    const char *about;
    const char *doing; /* PING: what keeps the worker from running a target, for people; "" */
    bool unfit;        /* PING: it could not run a target now, and `about` says why */
    /* VIEW: what ("status", "jobs", ...) and its arguments as JSON */
    const char *view;
    const char *view_json;
};

enum hd_reply_kind {
    HD_REPLY_OK,      /* done (HELLO, PING, BYE, SUBMIT, COMMAND, REPORT accepted) */
    HD_REPLY_LEASE,   /* a job; with REPORT + lease_next also acknowledges the report */
    HD_REPLY_NOTHING, /* the poll ended without a job: ask again */
    HD_REPLY_DONE,    /* no run that this worker may serve will ever have a job again */
    HD_REPLY_STALE,   /* an old sequence or a superseded request: change nothing, expect nothing */
    HD_REPLY_HELLO_FIRST, /* this master does not know this incarnation: say hello */
    HD_REPLY_REFUSED,     /* code and text say why */
    HD_REPLY_VIEW,
    HD_REPLY_KIND_COUNT
};
const char *hd_reply_kind_name(enum hd_reply_kind kind);

/* Of what an attempt leaves, what the master takes a copy of. */
enum hd_wanted {
    HD_WANTED_STATE = 1 << 0, /* its config's directory: others may have to go on with it */
    HD_WANTED_FILES = 1 << 1, /* out/, its result and log: it is the best so far */
};

/* What a work directory is still needed for, as a worker hears that asks. */
enum hd_need {
    HD_NEED_UNKNOWN, /* this master's history does not know the grant that left it */
    HD_NEED_STATE,   /* a job may go on from it */
    HD_NEED_BEST,    /* no job will, and its config is among the best that are kept */
    HD_NEED_ROOM,    /* no job will: it may go when its worker needs room */
    HD_NEED_NOTHING, /* no job will, and the experiment does not keep it */
    HD_NEED_COUNT
};
const char *hd_need_name(enum hd_need need); /* "unknown", "state", "best", "room", "nothing" */
#define HD_NEEDS_MAX 256                     /* directories in one question */

enum hd_verdict { HD_VERDICT_NONE, HD_VERDICT_ACCEPTED, HD_VERDICT_REFUSED };

enum hd_attempt_action {
    HD_ACTION_STOP,   /* early stopping: end it, report "stopped" with the last value */
    HD_ACTION_CANCEL, /* end it, report "cancelled" */
    HD_ACTION_DROP,   /* fenced: end it, report nothing, its directory is not the config's */
    HD_ACTION_BRING,  /* of one that is over: send the files that it left, or say that you cannot */
    HD_ACTION_OFFER,  /* of one that is over: offer the work directory that it left, if it still is */
};
struct hd_attempt_command {
    struct hd_attempt_ref attempt;
    enum hd_attempt_action action;
};

struct hd_lease {
    struct hd_attempt_ref attempt;
    const char *run_id;
    struct hd_config_id config_id;
    uint32_t config;
    uint32_t iteration;
    uint32_t rung;
    double budget;
    double budget_previous; /* NaN: the target starts from the start */
    const char *root;       /* where the state to continue from is; "" none */
    const char *directory;
    const char *directory_owner; /* worker that wrote it last: another one works on a copy */
    uint32_t seed;               /* the same for all budgets of a config, not for its repeats */
    uint32_t repeat;             /* from 1 on: another evaluation of a config of a noisy target */
    int64_t lease_ms;
    const char *image_id;    /* of the first attempt of the run that told one; "" none yet */
    const char *params_json; /* filled at the edge from the run's space */
    const char *target_json; /* filled at the edge: the experiment, canonical JSON */
};

struct hd_reply {
    enum hd_reply_kind kind;
    uint64_t address; /* not on the wire: which request this answers */
    enum hd_lane lane;
    uint64_t sequence;       /* echoed */
    enum hd_verdict verdict; /* REPORT */
    uint32_t wanted;         /* REPORT: bits of enum hd_wanted */
    struct hd_lease lease;   /* LEASE */
    uint32_t lease_run;      /* not on the wire: run number, for the edge to fill params_json */
    struct hd_attempt_command commands[HD_COMMANDS_MAX]; /* PING, HELLO */
    size_t command_count;
    bool drain;        /* PING, NOTHING: take no more jobs and leave when idle */
    bool leave;        /* likewise: stop the targets, hand the jobs back, leave */
    int64_t ping_ms;   /* HELLO, PING, LEASE: ping so often from now on; 0: as before */
    uint64_t echo;     /* to a worker: answer this test with a ping; 0: none */
    enum hd_code code; /* REFUSED */
    char text[HD_REASON_MAX];
    const char *view_json; /* VIEW */
};

/* ---- nameserver ------------------------------------------------------------------------- */

#define HD_NS_ENTRIES_MAX 10000
#define HD_NS_RUNS_PER_MASTER_MAX 64
#define HD_NS_LIST_MAX 256
#define HD_NS_TTL_MS_MAX 3600000

enum hd_ns_role { HD_NS_MASTER, HD_NS_WORKER };
enum hd_ns_kind { HD_NS_REGISTER, HD_NS_UNREGISTER, HD_NS_LOOKUP, HD_NS_LIST, HD_NS_KIND_COUNT };

struct hd_ns_entry {
    enum hd_ns_role role;
    const char *id;                              /* master id or worker id */
    uint64_t incarnation;                        /* a lower one never replaces a higher one */
    const char *address;                         /* masters: where to dial; workers: "" */
    const char *runs[HD_NS_RUNS_PER_MASTER_MAX]; /* run ids served */
    size_t run_count;
};
struct hd_ns_request {
    enum hd_ns_kind kind;
    const char *token;
    struct hd_ns_entry entry; /* REGISTER (also renews), UNREGISTER (role, id, incarnation) */
    int64_t ttl_ms;           /* REGISTER */
    const char *run_id;       /* LOOKUP: masters of this run; "" = all masters */
    enum hd_ns_role role;     /* LIST */
};
struct hd_ns_reply {
    enum hd_code code; /* HD_OK or why not */
    char text[HD_REASON_MAX];
    struct hd_ns_entry entries[HD_NS_LIST_MAX];
    size_t entry_count;
    bool more; /* there are more than fit */
};

/* ---- msgpack forms ----------------------------------------------------------------------- */

/* Walks the bytes once, allocating nothing: well-formed, one object, within
 * HD_MESSAGE_BYTES_MAX, HD_WIRE_DEPTH_MAX, HD_WIRE_NODES_MAX. HD_E_INVALID or HD_E_LIMIT. */
HD_NODISCARD enum hd_code hd_wire_scan(const void *bytes, size_t size, struct hd_err *err);

/* Encoding appends to `out` and checks the limits too; NULL texts count as "". Decoded strings and
 * arrays live in `arena`. Decoding scans, checks every limit of this header and leaves no pointer
 * NULL where the struct says text ("" instead). Run ids and directory names are "" or what
 * hd_check_id allows, since they become file names. Bytes that are no UTF-8 become '?'. A double
 * that did not come is NaN. HD_E_VERSION names both versions. */
HD_NODISCARD enum hd_code hd_request_encode(const struct hd_request *request, struct hd_buf *out,
                                            struct hd_err *err);
HD_NODISCARD enum hd_code hd_request_decode(const void *bytes, size_t size, struct hd_arena *arena,
                                            struct hd_request *ret_request, struct hd_err *err);
HD_NODISCARD enum hd_code hd_reply_encode(const struct hd_reply *reply, struct hd_buf *out,
                                          struct hd_err *err);
HD_NODISCARD enum hd_code hd_reply_decode(const void *bytes, size_t size, struct hd_arena *arena,
                                          struct hd_reply *ret_reply, struct hd_err *err);
HD_NODISCARD enum hd_code hd_ns_request_encode(const struct hd_ns_request *request,
                                               struct hd_buf *out, struct hd_err *err);
HD_NODISCARD enum hd_code hd_ns_request_decode(const void *bytes, size_t size,
                                               struct hd_arena *arena,
                                               struct hd_ns_request *ret_request,
                                               struct hd_err *err);
HD_NODISCARD enum hd_code hd_ns_reply_encode(const struct hd_ns_reply *reply, struct hd_buf *out,
                                             struct hd_err *err);
HD_NODISCARD enum hd_code hd_ns_reply_decode(const void *bytes, size_t size, struct hd_arena *arena,
                                             struct hd_ns_reply *ret_reply, struct hd_err *err);

#endif
