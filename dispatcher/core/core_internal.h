/* SPDX-License-Identifier: Apache-2.0 */
/*
 * core_internal.h: the state inside struct hd_core, shared by the files of this room.
 *
 * "durable" fields are a fold over facts and change only in apply.c; "volatile" ones belong to
 * this life of the master. Arrays grow in reserve and restore, never in a step.
 */
#ifndef HD_CORE_INTERNAL_H
#define HD_CORE_INTERNAL_H

#include <hd/core.h>
#include <hd/known.h>

#define HD_NONE UINT32_MAX
#define HD_STEP_LEASES_MAX 64 /* new live attempts in one step */
#define HD_STEP_ENDS_MAX 128  /* attempts the core itself ends in one step */
#define HD_SCRATCH_BYTES (256u * 1024u)
#define HD_ROOTS_MAX 20000
#define HD_TIME_GAP_MS_MAX 600000 /* how much of a silence between two facts counts as run time */
#define HD_BACKOFF_MS_FIRST 1000
#define HD_BACKOFF_MS_MAX 30000
#define HD_DURATIONS_MAX 64 /* amounts of work whose durations are known */
#define HD_DURATIONS_KEPT 8
#define HD_COMBINED_WAIT_MS_MAX                                                                    \
    1000                       /* how long a report's acknowledgement may wait for the next job */
#define HD_FRONT_HOME_MAX 64   /* results of a front whose files come to the master */
#define HD_ASKED_MAX 16        /* attempts whose files people want at the same time */
#define HD_ASKED_KEPT_MS 60000 /* since they asked last */
#define HD_ASKED_MS 5000       /* a worker that asked for a job so lately will ask again */
#define HD_LOOK_AGAIN_MS                                                                           \
    1000 /* how often a job that avoids a worker looks whether another one is still there */
/* A worker is quarantined when so many different jobs in a row failed on it within the window: by
 * its engine's word, or by their targets' while others had as many successes of the same run. */
#define HD_QUARANTINE_INFRA 3
#define HD_QUARANTINE_FAILED 5
#define HD_QUARANTINE_WINDOW_MS 600000

#ifdef HD_PLANTS
#define HD_PLANTED(core, plant) (((core)->options.plants & (uint32_t)(plant)) != 0)
#else
#define HD_PLANTED(core, plant) false
#endif

enum job_state { JOB_QUEUED, JOB_RUNNING, JOB_CLOSED };

struct job {
    uint32_t config;
    uint32_t iteration;
    uint32_t rung;
    uint32_t stamp; /* of the last attempt: see hd_attempt_ref */
    double budget;
    double budget_previous;
    uint32_t repeat; /* from 1 on: another evaluation, which its race asked for */
    uint32_t again;  /* 0, or 1 + the failed job that it runs once more */
    uint32_t attempt;
    uint16_t retries_infra;
    uint16_t retries_failed;
    uint32_t place;  /* index in run->live (running) or run->queue (queued) */
    uint32_t worker; /* that had the last attempt; HD_NONE before the first */
    uint8_t state;
    uint8_t outcome;
    uint8_t files;       /* volatile: of enum hd_files: AWAY, HOME, NEVER */
    bool last_by_report; /* the last attempt ended by its worker's word */
    bool stopping;       /* the generator wants it ended; its worker hears of it at each ping */
    bool taught;         /* the report that decided so told the sampler of it */
    bool detached;       /* runs once more what the generator no longer waits for */
    bool followed;       /* it failed, and another job runs it once more */
    double loss;
    double curve_loss;     /* the last finite one it reported; NaN: none */
    double budget_reached; /* of the last milestone of the generator that it passed; NaN: none */
    double step_reached;   /* the last it reported; NaN: none */
};

struct config {
    struct hd_config_id id;
    uint32_t root;  /* where its state is: interned root, HD_NONE unknown */
    uint32_t owner; /* worker that wrote it last */
    char directory[HD_DIR_NAME_MAX];
    uint32_t state_job, state_attempt; /* that left it; attempt 0: none */
    double state_budget; /* that the directory's state is known to have been trained to; NaN: an
                          * attempt that began from the start left it */
    /* volatile: what the master has a copy of; attempt 0: nothing */
    uint32_t shelved_job, shelved_attempt;
    /* volatile: when its holder was asked for it last, and which life of that */
    uint64_t offered_incarnation;
    int64_t offered_ms;
    uint32_t jobs_open;  /* queued or running */
    uint32_t jobs_again; /* closed, and a person may have them run again */
};

#define HD_WISHES_MAX 4 /* states that a worker is asked for at a time, beside those it reports */

/* What came of a config, for the list of the best. */
struct best {
    uint32_t config;
    double budget;
    struct hd_score score;
};

/* Of several objectives: a result that none dominates. */
struct front {
    uint32_t job;
    double losses[HD_OBJECTIVES_MAX];
};

/* A live attempt. */
struct live {
    uint32_t job;
    uint32_t worker;
    uint64_t incarnation;
    uint64_t lease_sequence;
    double budget_previous;
    uint32_t root; /* of the directory it continues from; HD_NONE: from the start */
    uint32_t owner;
    char directory[HD_DIR_NAME_MAX];
    bool old_image;         /* another one was set since it began */
    int64_t leased_wall_ms; /* as its fact says, for people */
    int64_t until_ms;       /* volatile */
};

struct queued {
    uint32_t job;
    uint32_t avoid;        /* worker whose infrastructure failed it last: another one goes first */
    int64_t since_ms;      /* volatile; HD_NEVER_MS until the first step after a restore */
    int64_t not_before_ms; /* volatile */
};

/* The limits of a run as they stand: the experiment's, then what people made of them. */
struct limits {
    uint32_t configs, jobs, full_evaluations, iterations, failures, no_improvement; /* 0: none */
    uint32_t parallel;
    int64_t time_ms;
    double budget;
    bool has_goal;
    double goal; /* minimized form */
    int32_t priority;
};

/* What a scheduling pass knows of a run's queue; made when it is first asked for, and again after
 * a change. */
struct placement {
    uint64_t pass;
    bool counted;               /* the two that follow, in this pass */
    uint32_t others;            /* workers that may take jobs of this run and will ask for some */
    uint32_t waiting;           /* ... and waited for one when they were counted */
    bool fresh;                 /* what follows fits the queue */
    uint32_t anyones;           /* best job that any worker may take */
    uint32_t avoiding, avoided; /* best job that any worker but one may take, and that one */
    bool held;                  /* some wait for holders of their directories */
};

struct ready {
    uint32_t config;
    uint64_t cut;
    struct hd_proposal_info info;
};

/* How long the last jobs with this much to do took. */
struct duration {
    double work; /* budget, less what the state they began with had */
    int64_t kept_ms[HD_DURATIONS_KEPT];
    uint32_t count, next;
};

struct run {
    char run_id[HD_ID_MAX + 1];
    uint64_t run_uid;
    uint64_t seed;
    struct hd_experiment *experiment;
    struct hd_buf json; /* canonical experiment */
    struct hd_buf known_json;
    struct hd_known *known; /* what that says; NULL: nothing */
    struct hd_iter_gen *gen;
    struct hd_race *race; /* NULL: a target without noise */
    size_t param_count;

    /* durable */
    enum hd_run_state state;
    char reason[HD_REASON_MAX];
    struct limits limits;
    uint32_t *excluded; /* workers that get no job of this run until it or they are resumed */
    uint32_t excluded_count, excluded_capacity;
    uint32_t unimproved; /* jobs since the incumbent that were not better at its budget or above */
    bool cancelling;     /* a cancel command was given */
    struct config *configs;
    uint32_t config_count, config_capacity;
    double *values; /* config_capacity * param_count */
    struct job *jobs;
    uint32_t job_count, job_capacity;
    struct live *live;
    uint32_t live_count, live_capacity;
    struct queued *queue;
    uint32_t queue_count, queue_capacity;
    uint32_t jobs_ok, jobs_failed;
    double budget_open;     /* sum of the budgets of jobs that are not closed */
    bool set_since_end;     /* a limit was changed after the run had finished */
    bool exhausted_by_fact; /* every config of the space was tried: the run is or was closing */
    uint32_t full_evaluations;
    uint32_t failure_streak; /* failures since the last success or resume */
    bool had_success;
    double budget_spent;
    bool has_incumbent;
    uint32_t incumbent_config, incumbent_job;
    double incumbent_budget, incumbent_loss;
    uint32_t incumbent_results; /* evaluations that the loss is the estimate of */
    double incumbent_error;     /* standard deviation of that estimate; NaN: unknown */
    struct hd_score incumbent_score;
    struct best *best; /* experiment->keep_work of them, the best first; NULL: 0 */
    uint32_t best_count;
    struct front *front; /* HD_FRONT_HOME_MAX of them; NULL: one objective */
    uint32_t front_count;
    double front_budget;
    bool goal_reached; /* by one result, all goals of several objectives */
    uint64_t cut;      /* seq of the last result */
    int64_t created_wall_ms, last_wall_ms;
    int64_t elapsed_ms;
    char image_id[HD_IMAGE_ID_MAX]; /* of the first attempt that told one; "" none yet */
    char image[HD_IMAGE_NAME_MAX];  /* in place of the experiment's; "" none */
    struct hd_buf image_json;       /* the experiment with that image; empty: none */
    struct duration durations[HD_DURATIONS_MAX];
    uint32_t duration_count;

    /* volatile */
    bool look_at_workers;   /* its last one may be gone: a step had no room to say so */
    int64_t unfit_since_ms; /* since when nobody stays long enough; HD_NEVER_MS: not so */
    int64_t unfit_usual_ms; /* for a job that takes so long */
    int64_t
        elapsed_mark_ms; /* monotonic time of the last fact in this life, or of the first step */
    struct ready *ready; /* ring of HD_ASKS_MAX */
    double *ready_values;
    uint32_t ready_first, ready_count;
    uint32_t asks_outstanding;
    uint32_t awaiting; /* scratch of one scheduling pass */
    bool exhausted;
    bool refilling;
    bool generated; /* one slot a step: the generator's memory was reserved for one */
    bool visited;
    bool dry; /* scratch: its generator has nothing more in this pass */
    struct placement placement;
    uint32_t *root_able;  /* scratch, by root: workers that may take jobs of this run */
    uint32_t *root_ready; /* scratch, by root: queued jobs whose directory is there */
    uint32_t root_able_capacity, root_ready_capacity;
};

struct parked {
    bool active;
    bool combined; /* a report that also asks for a lease: its reply acknowledges */
    uint64_t address;
    uint64_t sequence;       /* of the lane it came on */
    uint64_t lease_sequence; /* of the lease lane */
    enum hd_verdict verdict;
    uint32_t wanted; /* with it: bits of enum hd_wanted */
    int64_t deadline_ms;
    int64_t leaves_ms;       /* when targets there are stopped; HD_NEVER_MS: it stays */
    uint32_t next, previous; /* list of parked workers, oldest first */
};

struct worker {
    char id[HD_WORKER_ID_MAX];
    /* durable: what was accepted last, so that a resend is recognised after a crash */
    uint64_t lease_incarnation, lease_sequence;
    uint32_t lease_run, lease_job, lease_attempt;
    uint64_t report_incarnation, report_sequence;
    enum hd_worker_state state;
    char reason[HD_REASON_MAX]; /* of that state */
    /* Of one that is told to go: the state it had, which it has again when it is back. */
    enum hd_worker_state before;
    char before_reason[HD_REASON_MAX];
    /* volatile */
    bool known; /* said hello in this life of the master */
    bool reachable;
    bool said_bye;
    bool at_home; /* its work root is on the master's own disk */
    bool draining;
    char run_id[HD_ID_MAX + 1]; /* the only run it serves; empty: any */
    uint64_t incarnation;
    uint64_t control_sequence, poll_sequence;
    uint64_t poll_answered; /* lease sequence that was told that there is no job */
    uint64_t connection;
    uint32_t slots;
    char data[HD_DATA_NAMES_MAX]; /* data sets, with commas, as it said */
    uint32_t gpus;                /* as it said */
    uint32_t gpus_used;           /* by its live attempts; like `running` */
    uint32_t root;
    uint32_t running; /* live attempts; a fold over facts, kept for speed */
    int64_t last_seen_ms;
    struct wish {
        struct hd_attempt_ref attempt;
        int64_t until_ms;
    } wishes[HD_WISHES_MAX];            /* states that it was asked for */
    uint32_t looked_run, looked_config; /* where the next look for such begins */
    bool unfit_told;  /* this incarnation leaves too early for some jobs, and people know */
    int64_t asked_ms; /* when it last wanted a job */
    bool asked;
    struct streak {
        uint32_t count, infra_count;
        uint64_t jobs[HD_QUARANTINE_FAILED]; /* run << 32 | job, different ones */
        uint32_t run;                        /* of the first */
        uint32_t ok_before;                  /* its successes then */
        int64_t since_ms;
    } streak; /* failures in a row */
    /* People test it, maybe several at a time: waiting.c. */
    struct test {
        uint64_t number; /* 0: none */
        int64_t asked_ms, took_ms;
        bool answered;
    } tests[HD_TESTS_MAX]; /* the oldest first */
    bool unfit;            /* by its last answer */
    char about[HD_ABOUT_MAX];
    char doing[HD_DOING_MAX]; /* before a target can run; "" nothing */
    char host[HD_ID_MAX + 1];
    struct parked parked;
};

struct hd_core {
    struct hd_core_options options;
    struct run **runs;
    uint32_t run_count, run_capacity;
    struct worker *workers;
    uint32_t worker_count, worker_capacity;
    uint32_t *worker_table; /* open addressing by hash of id; HD_NONE free */
    uint32_t worker_table_size;
    char (*roots)[HD_ROOT_ID_MAX];
    uint32_t root_count, root_capacity;
    uint64_t last_seq;

    uint32_t parked_first, parked_last, parked_count;
    int64_t parked_expiry_ms;   /* no poll's time is up before */
    uint64_t pass;              /* number of the scheduling pass */
    uint64_t looks;             /* queued jobs and workers that placement looked at */
    uint32_t open[HD_RUNS_MAX]; /* scratch: runs that may hand out jobs in this pass */
    uint32_t open_count;
    uint32_t ends_left, leases_left; /* of this step */
    bool enough_workers;             /* options.min_workers have been seen together */
    bool started;                    /* the first event after creation or restore has come */
    bool again;                      /* call me at once: this step's bounds were reached */
    bool reopened;                   /* a generator wants memory that this step did not reserve */
    int64_t now_ms, wall_ms;
    int64_t expiry_ms; /* no lease ends before */
    /* Of the last step or apply: curve points that the sampler is to be told. */
    struct milestone {
        uint64_t seq;
        double budget;
    } milestones[HD_STEP_FACTS_MAX];
    size_t milestone_count;

    struct run *pending_run;    /* parsed by reserve for a submit */
    struct hd_buf pending_json; /* the experiment with the image of a SET_IMAGE: likewise */
    struct hd_err pending_err;
    double measures[HD_RESULT_MEASURES_MAX]; /* of the report of this step, for its fact */
    struct asked {
        struct hd_attempt_ref attempt;
        int64_t until_ms;
    } asked[HD_ASKED_MAX]; /* what people wait for */
    char *scratch;
    size_t scratch_used;
    struct hd_update *update; /* of this step; NULL during restore */
};

/* state.c: finding, growing */
struct worker *core_find_worker(const struct hd_core *core, const char *id);
uint32_t core_add_worker(struct hd_core *core, const char *id); /* after reserve */
uint32_t core_find_root(const struct hd_core *core, const char *root);
uint32_t core_add_root(struct hd_core *core, const char *root); /* HD_NONE for "" */
const char *core_root_text(const struct hd_core *core, uint32_t root);
struct run *core_find_run_uid(const struct hd_core *core, uint64_t run_uid, uint32_t *ret_run);
enum hd_code core_reserve_worker(struct hd_core *core, struct hd_err *err);
enum hd_code core_reserve_root(struct hd_core *core, struct hd_err *err);
enum hd_code core_reserve_run(struct run *run, uint32_t spare_live, struct hd_err *err);
/* Though it is over: a person has something run once more. */
enum hd_code core_reserve_reopened(struct run *run, struct hd_err *err);
/* For a SET_IMAGE of this run. HD_E_UNSUPPORTED: its target has none that could be another. */
enum hd_code core_prepare_image(struct hd_core *core, const struct run *run, const char *image,
                                struct hd_err *err);
enum hd_code core_reserve_roots(const struct hd_core *core, struct run *run, struct hd_err *err);
enum hd_code core_reserve_slot(struct hd_core *core, struct hd_err *err);
enum hd_code core_new_run(const struct hd_fact_run_created *created, struct run **ret_run,
                          struct hd_err *err);
void core_free_run(struct run *run);
bool core_run_final(const struct run *run);
int64_t core_ping_ms(const struct hd_core *core); /* how often workers are to ping now */
/* The config of a noisy target to evaluate again, and the number of this repeat. false: none now.
 */
bool core_next_repeat(const struct run *run, struct hd_race_estimate *ret_estimate,
                      uint32_t *ret_repeat);
/* The same for all budgets of a config, another one for each repeat. */
uint32_t core_config_seed(const struct run *run, uint32_t config, uint32_t repeat);
/* The root that holds what this job can go on from; HD_NONE: none. A repeat begins from the start,
 * and what it leaves is nobody's. */
uint32_t core_job_root(const struct run *run, const struct job *job);

/* What the end of an attempt scores, and how far its loss alone counts. */
struct hd_score core_score(const struct run *run, const struct hd_fact_attempt_ended *ended);
/* limits.c: what ends a run */
void core_limits_init(struct run *run);
void core_limits_set(struct run *run, enum hd_limit limit, double value);
bool core_limits_check(enum hd_limit limit, double value);
bool core_limit_reached(const struct run *run); /* hand out no more jobs of it */
const char *core_end_now(struct hd_core *core, const struct run *run);
const char *core_drained(struct hd_core *core, const struct run *run);
int64_t core_run_elapsed_ms(const struct hd_core *core, const struct run *run);
int64_t core_time_mark_ms(const struct run *run);
bool core_time_stands(const struct run *run); /* paused or over: its time does not pass */

/* workers.c: who may take jobs, and why not */
bool core_is_excluded(const struct run *run, uint32_t worker);
/* GPUs that a job of the run needs. */
uint32_t core_gpus_needed(const struct run *run);
/* The first data set of the run that the worker does not have; NULL: it has them all. */
const char *core_missing_data(const struct run *run, const struct worker *worker);
/* Can be relied on to take jobs of this run. */
bool core_is_able(const struct hd_core *core, const struct run *run, const struct worker *worker);
bool core_another_is_able(const struct hd_core *core, const struct run *run,
                          const struct worker *worker);
bool core_serves(const struct worker *worker, const struct run *run);
void core_set_worker_state(struct hd_core *core, struct worker *worker, enum hd_worker_state state,
                           const char *reason);
void core_judge_worker(struct hd_core *core, struct worker *worker, uint32_t run, uint32_t job,
                       enum hd_outcome outcome, const char *message);
void core_pause_without_workers(struct hd_core *core, uint32_t run);
bool core_is_going(enum hd_worker_state state); /* drains or leaves */
/* It has gone, or was started again: what was decided about it before holds once more. */
void core_end_going(struct hd_core *core, struct worker *worker, const char *why);
/* A lease of a job that usually takes so long: whoever waited for it no longer does. */
void core_unfit_served(struct run *run, int64_t usual_ms);
void core_tell_worker(const struct worker *worker, struct hd_reply *reply); /* drain, leave */
void core_handle_worker_command(struct hd_core *core, const struct hd_event *event);

/* placement.c: which queued job a worker may have */
uint32_t core_pick_queued(struct hd_core *core, uint32_t run, struct worker *worker);
bool core_queue_spent(struct hd_core *core, struct run *run); /* has nothing for anybody now */

/* checkpoints.c: directories that travel. The config's state is in the master's hands. */
bool core_has_copy(const struct hd_core *core, const struct config *config);
bool core_is_shelved(const struct hd_core *core, const struct run *run, const struct job *job);
/* It goes to whoever is free, with that copy, rather than wait for the directory's holder. */
bool core_may_travel(const struct hd_core *core, const struct run *run, const struct job *job);
void core_handle_shelved(struct hd_core *core, const struct hd_event *event);
void core_handle_unshelved(struct hd_core *core, const struct hd_event *event);

/* The answer to the report of this attempt asks for what it left. */
bool core_wants_state(struct hd_core *core, const struct worker *worker,
                      struct hd_attempt_ref attempt);
/* States that this worker holds and of which there is no copy, into the answer to its ping. */
void core_ask_states(struct hd_core *core, struct worker *worker, struct hd_reply *reply);

/* home.c: files of attempts that come to the master */
void core_front_result(struct run *run, uint32_t job, double budget, const struct hd_score *score);
void core_handle_files(struct hd_core *core, const struct hd_event *event);
void core_handle_asked(struct hd_core *core, const struct hd_event *event);
/* What this worker has of them, into the answer to its ping. */
void core_bring_files(const struct hd_core *core, const struct worker *worker,
                      struct hd_reply *reply);

/* apply.c: the only changes of durable state */
void core_apply_fact(struct hd_core *core, const struct hd_fact *fact);

/* step.c: what the files of a step share */
struct hd_fact *core_fact(struct hd_core *core, uint32_t run, enum hd_fact_kind kind);
void core_commit(struct hd_core *core, struct hd_fact *fact); /* numbers, keeps and applies it */
bool core_room(const struct hd_core *core); /* for one more decision in this step */
struct hd_reply *core_reply(struct hd_core *core, uint64_t address, enum hd_reply_kind kind,
                            enum hd_lane lane, uint64_t sequence);
void core_refuse(struct hd_core *core, const struct hd_event *event, enum hd_code code,
                 const char *fmt, ...) HD_PRINTF(4, 5);
void core_note(struct hd_core *core, enum hd_note_level level, uint32_t run, const char *fmt, ...)
    HD_PRINTF(4, 5);
const char *core_text(struct hd_core *core, const char *fmt, ...) HD_PRINTF(2, 3);

/* requests.c */
void core_handle_request(struct hd_core *core, const struct hd_event *event);

/* again.c: failed jobs that people have run once more */
void core_handle_requeue(struct hd_core *core, const struct hd_event *event, uint32_t run);
/* What the fact says fits the failed job that it names. */
bool core_again_fits(const struct run *run, const struct hd_fact_job_queued *queued);

/* commands.c: what people ask for */
/* COMMAND_GIVEN as the request has it, but for a limit's value. */
void core_give(struct hd_core *core, uint32_t run, const struct hd_request *request);
/* Why a finished run cannot go on; NULL: it can. */
const char *core_finished_for(struct hd_core *core, struct run *run);
void core_handle_submit(struct hd_core *core, const struct hd_event *event);
void core_handle_command(struct hd_core *core, const struct hd_event *event);

/* attempts.c: leases and ends */
void core_end_attempt(struct hd_core *core, uint32_t run, uint32_t job, enum hd_outcome outcome,
                      const char *why);
void core_end_by_report(struct hd_core *core, uint32_t run, const struct hd_request *request);
void core_lease(struct hd_core *core, uint32_t run, uint32_t job, struct worker *worker);
void core_fill_lease(struct hd_core *core, uint32_t run, const struct live *live,
                     struct hd_reply *reply);
void core_expire_leases(struct hd_core *core);
void core_first_event(struct hd_core *core);

/* durations.c: how long jobs take, and who stays long enough */
void core_learn_duration(struct run *run, const struct job *job, double from_budget,
                         const struct hd_fact_attempt_ended *ended);
/* What jobs with this much to do usually take; 0: not known. */
int64_t core_usual_ms(const struct run *run, double budget, double from);
bool core_fits(struct hd_core *core, uint32_t run, struct worker *worker, double budget,
               double from);

/* keep.c: which states are still needed */
void core_keep_result(struct run *run, uint32_t config, double budget,
                      const struct hd_score *score);

/* parked.c: long polls that wait */
void core_park(struct hd_core *core, struct worker *worker, const struct parked *poll);
void core_unpark(struct hd_core *core, struct worker *worker);
void core_answer_parked(struct hd_core *core, struct worker *worker, enum hd_reply_kind kind);
void core_expire_parked(struct hd_core *core);

/* schedule.c: who gets what, what is asked for */
void core_schedule(struct hd_core *core);

/* waiting.c: tests of workers, and why runs wait */
void core_handle_test(struct hd_core *core, const struct hd_event *event);
/* The oldest that it has not answered yet; 0 none. */
uint64_t core_open_test(const struct worker *worker);
void core_take_doing(struct worker *worker, const struct hd_request *request);
void core_take_echo(struct hd_core *core, struct worker *worker, const struct hd_request *request);

/* states.c: which run is over, paused, closing */
void core_run_states(struct hd_core *core);
void core_set_state(struct hd_core *core, uint32_t run, enum hd_run_state state,
                    const char *reason);

#endif
