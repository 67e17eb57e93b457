/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fact.h: durable records of what happened: all that a state directory holds.
 *
 * The core's durable state is a fold over facts: hd_core_apply() is the only code that changes
 * it, in a live master and at restore alike. Facts have one sequence over all runs of a store.
 * Strings and arrays are borrowed: whoever hands a fact on says how long they live.
 */
#ifndef HD_FACT_H
#define HD_FACT_H

#include <hd/base.h>
#include <hd/iter_gen.h>
#include <hd/race.h>
#include <hd/sampler.h>

#define HD_WORKER_ID_MAX 128      /* bytes, terminator included */
#define HD_ROOT_ID_MAX 64         /* id of a work root, from the marker file in it */
#define HD_DIR_NAME_MAX 40        /* name of a config's work directory inside the root */
#define HD_MESSAGE_MAX 512        /* what a person is told of an attempt's end */
#define HD_INFO_JSON_MAX 4096     /* what a target may add to its result */
#define HD_RESULT_GRAPHS_MAX 8192 /* its charts, thinned, as JSON; terminator included */
#define HD_REASON_MAX 256
#define HD_IMAGE_ID_MAX 80     /* "sha256:" and 64 digits, terminator included */
#define HD_IMAGE_NAME_MAX 256  /* what people call one, terminator included */
#define HD_RUN_NONE UINT32_MAX /* of a fact that belongs to no run */

/* How an attempt ended; a closed list. */
enum hd_outcome {
    HD_OUTCOME_OK,
    HD_OUTCOME_FAILED,       /* the target said so or exited non-zero */
    HD_OUTCOME_DIVERGED,     /* NaN or infinite loss */
    HD_OUTCOME_NO_RESULT,    /* exit 0, nothing parseable */
    HD_OUTCOME_TIMEOUT,      /* its time limit */
    HD_OUTCOME_OOM,          /* its memory limit */
    HD_OUTCOME_CANCELLED,    /* a person, or a run that ended */
    HD_OUTCOME_STOPPED,      /* early stopping; its last value counts */
    HD_OUTCOME_PREEMPTED,    /* the worker had to leave: no retry is charged */
    HD_OUTCOME_CONFIG_ERROR, /* never ran: no such image, command, user ... */
    HD_OUTCOME_INFRA,        /* engine, worker or network */
    HD_OUTCOME_COUNT
};
const char *hd_outcome_name(enum hd_outcome outcome); /* "ok", "no-result", "config-error" ... */
HD_NODISCARD bool hd_outcome_parse(const char *name,
                                   enum hd_outcome *ret_outcome); /* also "fail" */
/* What it says of a noisy target's config; an ok one has a finite loss. */
enum hd_race_end hd_outcome_race_end(enum hd_outcome outcome);

enum hd_run_state {
    HD_RUN_ACTIVE,
    HD_RUN_CLOSING, /* no new configs (space exhausted); promotions and running jobs go on */
    HD_RUN_PAUSED,
    HD_RUN_FINISHED,  /* final */
    HD_RUN_CANCELLED, /* final */
    HD_RUN_STATE_COUNT
};
const char *hd_run_state_name(enum hd_run_state state);

enum hd_command_op {
    HD_COMMAND_PAUSE_RUN,
    HD_COMMAND_RESUME_RUN,
    HD_COMMAND_CANCEL_RUN,
    HD_COMMAND_CANCEL_JOB,
    HD_COMMAND_SET_LIMIT, /* another limit of a run; of a finished one too, which can then resume */
    HD_COMMAND_PAUSE_WORKER, /* these become facts about the worker */
    HD_COMMAND_RESUME_WORKER,
    HD_COMMAND_DRAIN_WORKER,
    HD_COMMAND_SHUTDOWN_WORKER,
    HD_COMMAND_REQUEUE_JOB, /* a job that failed for good: once more, as a job of its own */
    HD_COMMAND_SET_IMAGE,   /* attempts that begin from now on run another image */
    HD_COMMAND_OP_COUNT
};
const char *hd_command_op_name(enum hd_command_op op);

/* What a master lets a worker do. */
enum hd_worker_state {
    HD_WORKER_ACTIVE,
    HD_WORKER_PAUSED,      /* takes no jobs until a person resumes it */
    HD_WORKER_QUARANTINED, /* likewise: several different jobs failed on it quickly */
    HD_WORKER_DRAINING,    /* takes no jobs and leaves when those that it has are done */
    HD_WORKER_LEAVING,     /* stops its targets, hands its jobs back and leaves */
    HD_WORKER_STATE_COUNT
};
const char *hd_worker_state_name(enum hd_worker_state state);

/* The limits of a run that may be changed while it runs. A value of 0 means no limit; for the
 * goal, NaN does. */
enum hd_limit {
    HD_LIMIT_CONFIGS,
    HD_LIMIT_JOBS,
    HD_LIMIT_FULL_EVALUATIONS,
    HD_LIMIT_ITERATIONS,
    HD_LIMIT_TIME, /* ms */
    HD_LIMIT_FAILURES,
    HD_LIMIT_BUDGET,
    HD_LIMIT_NO_IMPROVEMENT,
    HD_LIMIT_GOAL,     /* in the direction of the experiment */
    HD_LIMIT_PARALLEL, /* attempts of the run at the same time */
    HD_LIMIT_PRIORITY, /* no limit, but changed likewise */
    HD_LIMIT_COUNT
};
const char *hd_limit_name(enum hd_limit limit); /* "configs", "full_evaluations", "time" ... */
HD_NODISCARD bool hd_limit_parse(const char *name, enum hd_limit *ret_limit);

enum hd_fact_kind {
    HD_FACT_RUN_CREATED,
    HD_FACT_CONFIG_PROPOSED,
    HD_FACT_JOB_QUEUED,
    HD_FACT_ATTEMPT_LEASED,
    HD_FACT_CURVE_POINT,
    HD_FACT_ATTEMPT_ENDED,
    HD_FACT_REPORT_REFUSED,
    HD_FACT_COMMAND_GIVEN,
    HD_FACT_RUN_STATE,
    HD_FACT_WORKER_STATE, /* of no run */
    HD_FACT_KIND_COUNT
};
const char *hd_fact_kind_name(enum hd_fact_kind kind);

struct hd_fact_run_created {
    const char *run_id; /* what people call it; unique in a store */
    uint64_t run_uid;   /* random; names the run on the wire */
    uint64_t seed;
    const char *experiment_json; /* canonical, every default explicit */
    const char *known_json;      /* results known before; see known.h; "" or NULL: none */
};

struct hd_fact_config_proposed {
    uint32_t config; /* number: 0, 1, 2 ... in the run */
    struct hd_config_id id;
    const double *values;
    size_t value_count;
    const char
        *params_json; /* for readers of the store; the driver fills it, the core leaves NULL */
    struct hd_proposal_info info;
    uint64_t cut; /* seq of the last result the sampler had seen when it was asked; see core.h */
};

struct hd_fact_job_queued {
    uint32_t job; /* number: 0, 1, 2 ... in the run */
    uint32_t config;
    uint32_t iteration;
    uint32_t rung;
    double budget;
    double budget_previous; /* NaN for a new config and for a repeat */
    uint32_t repeat;        /* 0: the iteration generator asked for it; 1, 2 ...: the race did */
    uint32_t again;         /* 0, or 1 + the failed job that a person has run once more by it */
};

struct hd_fact_attempt_leased {
    uint32_t job;
    uint32_t attempt; /* 1, 2 ...: the fencing token */
    const char *worker;
    uint64_t incarnation;
    uint64_t sequence;      /* of the lease lane: the reply can be rebuilt after a crash */
    const char *root;       /* work root of the worker */
    const char *directory;  /* state it continues from, inside root; "" = from the start */
    double budget_previous; /* what the target is told; NaN when it starts from the start */
};

struct hd_fact_curve_point {
    uint32_t job;
    uint32_t attempt;
    double step;
    double loss;
};

struct hd_fact_attempt_ended {
    uint32_t job;
    uint32_t attempt; /* 0: a job that was never leased */
    enum hd_outcome outcome;
    bool requeued; /* another attempt follows; otherwise the job is closed with this outcome */
    bool charged;  /* uses up one retry */
    double loss;   /* minimized form; NaN when there is none; the first of several */
    /* With several objectives or constraints, of an ok end: as hd_experiment_score() takes them. */
    const double *measures;
    size_t measure_count; /* 0: the loss is all */
    double violation;     /* of the constraints; 0: feasible */
    bool by_report;       /* the worker said it; otherwise the core decided (lease, command) */
    const char *worker;   /* "" when never leased */
    uint64_t incarnation; /* report lane, when by_report */
    uint64_t sequence;
    int64_t started_wall_ms, finished_wall_ms; /* the worker's clock; 0 unknown */
    int32_t exit_code;                         /* -1 unknown */
    const char *message;                       /* for people; "" when all is well */
    const char *info_json;                     /* from the target, or "" */
    const char *root;                          /* where the config's state is now; "" unknown */
    const char *directory;
    uint32_t rule;        /* of the experiment's log rules: which one matched, from 1 on; 0: none */
    const char *label;    /* what that rule calls it; "" */
    const char *image_id; /* what its container was made of; "" not known, or no container */
    const char *graphs_json; /* the target's charts, thinned; "" or NULL: none */
};

struct hd_fact_report_refused {
    uint32_t job;
    uint32_t attempt;
    enum hd_outcome outcome;
    double loss;
    const char *worker;
    uint64_t incarnation;
    uint64_t sequence;
    const char *reason; /* "late: attempt 3 is the current one" */
};

struct hd_fact_command_given {
    enum hd_command_op op;
    uint32_t job; /* CANCEL_JOB, REQUEUE_JOB */
    const char *reason;
    enum hd_limit limit; /* SET_LIMIT */
    double value;        /* likewise */
    const char *image;   /* SET_IMAGE; "" or NULL: none */
};

struct hd_fact_run_state {
    enum hd_run_state state;
    const char *reason; /* "all iterations done", "goal reached: loss 0.01", ... */
};

struct hd_fact_worker_state {
    const char *worker;
    enum hd_worker_state state;
    const char *reason;
};

struct hd_fact {
    uint64_t seq;    /* 1, 2 ... without gaps; set by the core */
    int64_t wall_ms; /* for display only */
    uint32_t run;    /* number of the run in its store: 0, 1 ...; HD_RUN_NONE */
    enum hd_fact_kind kind;
    union {
        struct hd_fact_run_created run_created;
        struct hd_fact_config_proposed config_proposed;
        struct hd_fact_job_queued job_queued;
        struct hd_fact_attempt_leased attempt_leased;
        struct hd_fact_curve_point curve_point;
        struct hd_fact_attempt_ended attempt_ended;
        struct hd_fact_report_refused report_refused;
        struct hd_fact_command_given command_given;
        struct hd_fact_run_state run_state;
        struct hd_fact_worker_state worker_state;
    } as;
};

#endif
