/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sim.h: a whole cluster in one thread and in virtual time, drawn from a seed.
 *
 * Masters (the real core, the memory store, real samplers), workers (the real agent above a
 * simulated engine and disk), the real registry, and a network that loses, doubles, delays,
 * reorders and cuts. A storm of faults, then calm: every run must end. Checkers state the
 * promises, each by its own fold over the committed facts; nothing they know comes from the
 * core alone. The same seed gives the same run, byte for byte of the trace.
 *
 * Models: cowsql/raft's fixture (traces that tell reasons), TigerBeetle's VOPR (a climate a
 * seed, storm and calm, coverage).
 */
#ifndef HD_SIM_H
#define HD_SIM_H

#include <hd/base.h>
#include <hd/core.h>
#include <stdio.h>

#define SIM_MASTERS_MAX 2
#define SIM_WORKERS_MAX 6
#define SIM_RUNS_MAX 3 /* of one master */
#define SIM_SCRIPT_MAX 32
#define SIM_FAIL_TEXT_MAX 512
#define SIM_CHECKERS_MAX 64
#define SIM_ENDS_MAX 8
#define SIM_EXPERIMENT_MAX 2048

/* What can go wrong, or be asked for at a bad moment. One word, one counter. */
enum sim_fault {
    SIM_FAULT_WORKER_CRASH,  /* the process dies; its containers and its disk go on */
    SIM_FAULT_WORKER_REBOOT, /* the machine dies: containers too */
    SIM_FAULT_WORKER_FREEZE, /* the machine sleeps past the lease and returns */
    SIM_FAULT_WORKER_STALL,  /* the process alone stops for a while; containers run */
    SIM_FAULT_WORKER_DRAIN,  /* one SIGTERM */
    SIM_FAULT_WORKER_LEAVE,  /* two */
    SIM_FAULT_WORKER_NOTICE, /* the machine goes away in a moment, and says so */
    SIM_FAULT_MASTER_CRASH,  /* between two batches */
    SIM_FAULT_CRASH_BEFORE_COMMIT,
    SIM_FAULT_CRASH_AFTER_COMMIT, /* durable, and nothing said */
    SIM_FAULT_DISK_FULL,          /* commits fail for lack of space, for a while */
    SIM_FAULT_FSYNC_FAILED,       /* the master must die; the batch may or may not be there */
    SIM_FAULT_NAMESERVER_FORGETS, /* restarted, empty */
    SIM_FAULT_NAMESERVER_DOWN,
    SIM_FAULT_CLOCK_JUMP, /* a master's clock leaps forward (suspended machine) */
    SIM_FAULT_LINK_CUT,   /* both ways, in silence */
    SIM_FAULT_LINK_CUT_ONE_WAY,
    SIM_FAULT_CONNECTION_RESET, /* both ends are told */
    SIM_FAULT_MESSAGE_DROP,
    SIM_FAULT_MESSAGE_DUPLICATE,
    SIM_FAULT_MESSAGE_DELAY, /* beyond its successors: reorders */
    SIM_FAULT_SAMPLER_SLOW,
    SIM_FAULT_PERSON_PAUSE,
    SIM_FAULT_PERSON_RESUME,
    SIM_FAULT_PERSON_CANCEL_RUN,
    SIM_FAULT_PERSON_CANCEL_JOB,
    SIM_FAULT_PERSON_ORDERS_WORKER,
    SIM_FAULT_PERSON_SETS_LIMIT,
    SIM_FAULT_MESSAGE_REPLAYED, /* a request that was recorded long ago, from elsewhere */
    SIM_FAULT_OLD_RESULT,       /* a worker finds a result of an attempt that is over */
    SIM_FAULT_RIVAL_MASTER,     /* another one under the same run ids; see sim_rival */
    SIM_FAULT_MASTER_CUT_OFF,   /* from the nameserver alone */
    SIM_FAULT_STOLEN_ID,        /* two live workers with one id; see sim_twin */
    SIM_FAULT_PERSON_REQUEUES_JOB,
    SIM_FAULT_COUNT
};
const char *sim_fault_name(enum sim_fault fault);

/* Bugs planted in the simulator's own driver and shell, beside those of the core. */
enum sim_plant {
    SIM_PLANT_NONE,
    SIM_PLANT_NO_FENCING,          /* core */
    SIM_PLANT_NO_DEDUP,            /* core */
    SIM_PLANT_LEASE_FORGOTTEN,     /* core */
    SIM_PLANT_CUT_FORGOTTEN,       /* core */
    SIM_PLANT_SAME_WORKER,         /* core */
    SIM_PLANT_QUARANTINE_IGNORED,  /* core */
    SIM_PLANT_QUARANTINE_HASTY,    /* core */
    SIM_PLANT_LEAVING_FORGIVES,    /* core */
    SIM_PLANT_OLD_INCARNATION,     /* core */
    SIM_PLANT_DRAINING_FED,        /* core */
    SIM_PLANT_REPLY_BEFORE_COMMIT, /* driver: speaks, then commits */
    SIM_PLANT_COMMIT_LOST,         /* driver: says committed, and a restart finds it missing */
    SIM_PLANT_REPLY_TWICE,         /* driver: answers one request twice */
    SIM_PLANT_REPLY_FORGOTTEN,     /* driver: loses a reply inside the process */
    SIM_PLANT_SAMPLER_PEEKS,       /* driver: the sampler sees results beyond the cut */
    SIM_PLANT_KNOWN_FORGOTTEN,     /* driver: a sampler begins without what is known */
    SIM_PLANT_SAMPLER_SLEEPS,      /* driver: an ask is never answered */
    SIM_PLANT_TIMEOUT_FORGOTTEN,   /* driver: no timeout event reaches the core */
    SIM_PLANT_RESULT_NOT_KEPT,     /* shell: a result is not on disk before it is told */
    SIM_PLANT_DROP_IGNORED,        /* shell: a fenced container goes on in its directory */
    SIM_PLANT_FACT_LOST,           /* driver: one fact of a batch is not stored */
    SIM_PLANT_WRONG_LADDER,        /* driver: the run that is created has another eta */
    SIM_PLANT_WRONG_COUNT,         /* driver: ... has an iteration less */
    SIM_PLANT_OPENING_IGNORED,     /* driver: ... promotes from its first results on */
    SIM_PLANT_HOLD_FORGOTTEN,      /* driver: a commit that was held costs lease time */
    SIM_PLANT_FACT_TWISTED,        /* driver: a stored loss is not the reported one */
    SIM_PLANT_VALUES_SWAPPED,      /* driver: of a result with several the first two are */
    SIM_PLANT_ATTEMPT_REUSED,      /* driver: a second attempt is stored as the first */
    SIM_PLANT_DIRECTORY_LOST,      /* shell: starts in an empty directory, says nothing */
    SIM_PLANT_WRONG_LIMITS,    /* driver: the run that is created retries and goes on for ever */
    SIM_PLANT_STOPS_UNASKED,   /* shell: a target's end is reported as an early stop */
    SIM_PLANT_STAMP_IGNORED,   /* core: takes what a copy of its state granted */
    SIM_PLANT_OLD_COPY,        /* core: any copy of a directory is one of its last state */
    SIM_PLANT_STATE_GIVEN_UP,  /* core: a directory is needed no more once its job is closed */
    SIM_PLANT_RERUNS_ANYTHING, /* core: a job that did not fail is run again too */
    SIM_PLANT_RIVAL_ADMITTED,  /* nameserver: another master under one run id is let in */
    SIM_PLANT_REFUSED_STAYS,   /* shell: a worker that is refused for a newer one goes on */
    SIM_PLANT_LEASE_ENDLESS,   /* shell: keeps from its agent how long a lease lasts */
    SIM_PLANT_COUNT
};
const char *sim_plant_name(enum sim_plant plant);
bool sim_plant_parse(const char *name, enum sim_plant *ret_plant);

/* ---- the plan of one cluster: drawn from a seed, or written by a story --------------------- */

enum sim_asha { SIM_ASHA_NONE, SIM_ASHA_PROMOTION, SIM_ASHA_STOPPING };
/* Early stopping from learning curves. */
enum sim_early { SIM_EARLY_NONE, SIM_EARLY_MEDIAN, SIM_EARLY_CURVE };
#define SIM_EARLY_CURVES_MIN 2u /* median: so many others must have been there */
#define SIM_EARLY_OPTIMISM 1.0

struct sim_run_plan {
    char run_id[HD_ID_MAX + 1];
    uint64_t run_uid;
    uint64_t seed;
    uint32_t master;
    int64_t submit_ms;
    char experiment[SIM_EXPERIMENT_MAX]; /* JSON */
    const char *sampler, *space;         /* as written there */
    /* the same, for checkers that must not ask the code under test */
    bool full;
    bool hyperband;
    enum sim_asha asha; /* in place of both */
    enum sim_early early;
    uint32_t eta;
    double budget_min, budget_max;
    uint32_t iterations, configs_max, jobs_max, full_evaluations_max, failures_max; /* 0 none */
    int64_t time_max_ms;
    int32_t queue_min, queue_max;
    bool no_holder_wait; /* it is 0 then; else as the experiment has it without */
    bool has_goal;
    double goal;
    uint32_t repeats;   /* 0: not noisy; most evaluations of a config at the highest budget */
    double share;       /* of the budget, that repeats may take */
    uint32_t opening;   /* of asha's promotions; 0: none */
    bool several;       /* objectives: the loss and another one */
    bool constrained;   /* one of several may be infeasible */
    uint32_t keep_work; /* of so many of the best configs; 0: all */
    uint32_t known;     /* results that it is told before it begins */
    uint32_t retries_infra, retries_failed, pause_after;
    int32_t priority;
    /* how its target behaves */
    int64_t base_ms, per_budget_ms;
    int64_t timeout_ms; /* 0 none; for every budget */
    uint32_t straggler_permille;
    uint32_t failing_permille;   /* of configs: always fail */
    uint32_t diverging_permille; /* of configs: NaN at every budget */
    uint32_t flaky_permille;     /* of attempts: any other outcome */
    bool curves;
    bool checkpoint; /* keeps its state when it is stopped, and goes on from there */
    struct {
        uint32_t job, attempt;
        enum hd_outcome outcome;
    } ends[SIM_ENDS_MAX]; /* stories: how these attempts end */
    uint32_t end_count;
    const double *losses; /* stories: by config number; NaN diverges; NULL: from the values */
    size_t loss_count;
};

/* A second master that is started under the run ids of the first, perhaps while it lives. */
enum sim_rival {
    SIM_RIVAL_NONE,
    SIM_RIVAL_EMPTY, /* its state is: the same experiments are submitted to it */
    SIM_RIVAL_COPY,  /* its state is a copy of the first one's, its id included */
};

/* A second worker with the id of another, perhaps while that lives. */
enum sim_twin {
    SIM_TWIN_NONE,
    SIM_TWIN_EMPTY, /* with a disk of its own */
    SIM_TWIN_COPY,  /* with a copy of the disk, from the moment of its start */
};

struct sim_worker_plan {
    uint32_t slots;
    enum sim_twin twin;
    uint32_t twin_of;
    uint32_t root; /* workers with one number share a file system */
    char run_id[HD_ID_MAX + 1];
    int64_t start_ms;
    int64_t life_mean_ms; /* 0: the machine stays; else it goes away after a random time, and
                             another comes */
    bool knows_end;       /* it is told at its start; otherwise grace_ms before, 0: not at all */
    int64_t grace_ms;
};

struct sim_script_line {
    int64_t at_ms;
    enum sim_fault fault;
    uint32_t who;   /* worker or master */
    uint32_t job;   /* PERSON_CANCEL_JOB */
    int64_t for_ms; /* how long; a process that died starts again after it; < 0 never */
};

struct sim_climate {
    int64_t storm_ms;
    int64_t fault_mean_ms[SIM_FAULT_COUNT]; /* mean interval; 0 never (messages: see below) */
    uint32_t drop_permille, duplicate_permille, delay_permille;
    int64_t delay_min_ms, delay_max_ms; /* of every message */
    int64_t late_max_ms;                /* of a delayed one */
    int64_t commit_max_ms;
    int64_t sampler_max_ms;
    int64_t down_max_ms; /* of a process that died */
    bool new_port;       /* a restarted master may listen elsewhere */
};

struct sim_plan {
    struct sim_climate climate;
    uint32_t master_count;
    uint32_t worker_count;
    uint32_t run_count;
    struct sim_worker_plan workers[SIM_WORKERS_MAX];
    struct sim_run_plan runs[SIM_MASTERS_MAX * SIM_RUNS_MAX]; /* run_count, then the rival's */
    struct sim_script_line script[SIM_SCRIPT_MAX];
    uint32_t script_count;
    struct {
        enum sim_rival kind;
        int64_t copied_ms, start_ms; /* what comes later is not in the copy */
        bool stays; /* the first ends for good when this starts; otherwise this ends in the calm */
        uint32_t run_count; /* EMPTY: its runs, behind the others in `runs` */
    } rival;
    bool story;         /* written by hand: clocks begin at 0, targets take their exact time */
    bool resume_paused; /* in the calm a person resumes what a person paused */
    bool shutdown_workers;
    bool travels; /* masters take copies of work directories */
};
void sim_plan_draw(uint64_t seed, struct sim_plan *ret_plan);
/* The same cluster with one worker, one slot and nobody who interferes; with_kills: masters and
 * workers are killed at any time, otherwise nothing goes wrong. */
void sim_plan_alone(struct sim_plan *plan, bool with_kills);
/* Fills plan->experiment from the other fields. */
void sim_run_plan_write(struct sim_run_plan *run, const char *sampler, const char *space);

/* ---- coverage ------------------------------------------------------------------------------- */

#define SIM_NOTE_KINDS_MAX 128
struct sim_cover {
    uint64_t seeds;
    uint64_t events;
    uint64_t faults[SIM_FAULT_COUNT];
    uint64_t facts[HD_FACT_KIND_COUNT];
    uint64_t outcomes[HD_OUTCOME_COUNT];
    uint64_t requeued[HD_OUTCOME_COUNT];
    uint64_t moves[HD_RUN_STATE_COUNT][HD_RUN_STATE_COUNT];
    uint64_t replies[HD_REPLY_KIND_COUNT];
    uint64_t verdicts[3];
    uint64_t actions[HD_ACTION_OFFER + 1]; /* of enum hd_attempt_action, in replies */
    uint64_t commands[HD_COMMAND_OP_COUNT];
    uint64_t worker_states[HD_WORKER_STATE_COUNT];
    uint64_t rivals_refused, copies_served, foreign_results, twins_refused;
    uint64_t restores, resumed_in_place, resumed_from_copy, resumed_anew, adopted, harvested;
    uint64_t travelled, not_fetched;
    uint64_t brought, not_wanted;                          /* files of attempts */
    uint64_t needs[HD_NEED_COUNT], removed[HD_NEED_COUNT]; /* directories */
    uint64_t repeats;             /* evaluations of a config that had a result */
    uint64_t scored;              /* results with several objectives */
    uint64_t opened;              /* promotions that had waited for an opening */
    uint64_t started_above;       /* new configs above the lowest rung */
    uint64_t preempted_in_place;  /* began from what a stopped one had kept */
    int64_t computed_ms, lost_ms; /* by targets; and what had to be done again of it */
    uint64_t paused_ends, finished_ends, cancelled_ends;
    uint64_t proposals_checked, proposals_by_model;
    uint64_t notes[SIM_NOTE_KINDS_MAX];
};
int sim_note_kind_count(void);
const char *sim_note_kind(int index);
void sim_note_count(struct sim_cover *cover, const char *text);
void sim_cover_print(const struct sim_cover *cover, FILE *file);
/* How many counters that must be reached are zero; each is named on file. */
size_t sim_cover_missing(const struct sim_cover *cover, FILE *file);

/* ---- running one ---------------------------------------------------------------------------- */

struct sim_options {
    FILE *trace;      /* NULL: none */
    bool trace_story; /* only what a story tells, not every message */
    enum sim_plant plant;
    bool disabled[SIM_CHECKERS_MAX]; /* by index of the checker's table */
};

struct sim_result {
    bool failed;
    const char *checker; /* its name */
    int64_t at_ms;
    char text[SIM_FAIL_TEXT_MAX];
    uint64_t proposals; /* digest of the configs that were proposed, in order */
    uint64_t digest;    /* of everything that happened: the same seed gives the same one */
};

/* Memory that one thread uses again and again. */
struct sim_memory;
struct sim_memory *sim_memory_new(void);
void sim_memory_free(struct sim_memory *memory);

void sim_run(uint64_t seed, const struct sim_plan *plan, const struct sim_options *options,
             struct sim_memory *memory, struct sim_cover *cover, struct sim_result *ret_result);

struct sim_checker_info {
    const char *name;
    const char *promise;
};
size_t sim_checker_count(void);
struct sim_checker_info sim_checker_info(size_t index);
bool sim_checker_find(const char *name, size_t *ret_index);

#endif
