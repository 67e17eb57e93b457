/* SPDX-License-Identifier: Apache-2.0 */
/*
 * core.h: the master as a pure function. No clock, socket, file, thread or global inside.
 *
 *   reserve (fallible: memory for this event)  ->  step (cannot fail)  ->  the driver commits
 *   update->facts in one transaction  ->  only then sends update->replies and passes on asks.
 *
 * Durable state changes in one place, the application of a fact; hd_core_apply() is the same
 * code at restore. Parked polls, lease clocks, connections, asks under way and configs computed
 * but not yet proposed are volatile: after a restore every live lease gets a full term from the
 * first event on.
 *
 * Every request is answered by exactly one reply, now or later (parked). Model: cowsql/raft's
 * raft_step.
 */
#ifndef HD_CORE_H
#define HD_CORE_H

#include <hd/experiment.h>
#include <hd/fact.h>
#include <hd/message.h>

#define HD_RUNS_MAX 1000
#define HD_WORKERS_MAX 10000
#define HD_ATTEMPTS_MAX 1000  /* of one job, whatever their causes */
#define HD_STEP_FACTS_MAX 512 /* a step that wants more asks to be called again at once */
#define HD_STEP_REPLIES_MAX 256
#define HD_STEP_ASKS_MAX 256
#define HD_STEP_NOTES_MAX 256
#define HD_TESTS_MAX 4 /* of one worker, by several people, at a time */
#define HD_NOTE_MAX 240
#define HD_ASKS_MAX 256 /* of one run: outstanding plus computed and not yet used */

struct hd_core;

struct hd_core_options {
    int64_t ping_ms; /* workers ping at least so often; an open run's own `ping` may be shorter */
    bool shutdown_workers; /* when every run is over, tell workers to leave */
    uint32_t min_workers;  /* no job is handed out before this many have said hello */
    bool no_copies;        /* of work directories: they stay where they are */
    bool no_files;         /* of the best jobs: they stay where they are */
#ifdef HD_PLANTS
    uint32_t plants; /* bits of enum hd_plant: bugs planted to test the simulator */
#endif
};

enum hd_plant {
    HD_PLANT_NO_FENCING = 1 << 0,      /* accepts a result of any attempt */
    HD_PLANT_NO_DEDUP = 1 << 1,        /* a resent lease gets another job */
    HD_PLANT_LEASE_FORGOTTEN = 1 << 2, /* restore does not give live leases a term */
    HD_PLANT_CUT_FORGOTTEN = 1 << 3,   /* asks carry a wrong history cut */
    HD_PLANT_SAME_WORKER = 1 << 4,     /* a worker gets again what it failed */
    HD_PLANT_QUARANTINE_IGNORED = 1 << 5,
    HD_PLANT_QUARANTINE_HASTY = 1 << 6, /* after one failure */
    HD_PLANT_LEAVING_FORGIVES = 1 << 7, /* whoever was sent away is active when it is back */
    HD_PLANT_OLD_INCARNATION = 1 << 8,  /* an older process of a worker is obeyed */
    HD_PLANT_DRAINING_FED = 1 << 9,     /* a request of before the drain still gets a job */
    HD_PLANT_OLD_COPY = 1 << 11,        /* any copy of a directory is one of its last state */
    HD_PLANT_STAMP_IGNORED = 1 << 10,   /* takes what a copy of its state granted for its own */
    HD_PLANT_STATE_GIVEN_UP = 1 << 12,  /* no state is needed once its job is closed */
    HD_PLANT_RERUNS_ANYTHING = 1 << 13, /* a job that did not fail is run again too */
    /* "reply before commit" is planted in the simulator's driver */
};

enum hd_event_kind {
    HD_EVENT_TIMEOUT,
    HD_EVENT_REQUEST,    /* authenticated; not VIEW */
    HD_EVENT_DISCONNECT, /* a connection ended */
    HD_EVENT_SUGGESTION, /* a sampler answered an ask */
    HD_EVENT_SHELVED,    /* the master has a copy of the directory that `attempt` left */
    HD_EVENT_UNSHELVED,  /* it has not any more, or what it had is damaged */
    HD_EVENT_FILES,      /* the files that `attempt` left have come, or will not: `files` */
    HD_EVENT_ASKED,      /* a person wants these files, and waits */
    HD_EVENT_HOLD,       /* the last commit took hold_ms: extend every lease by as much */
};

/* Where the files are that an attempt left, as far as the master has to do with them. */
enum hd_files {
    HD_FILES_AWAY,    /* at its worker, if that is anywhere */
    HD_FILES_HOME,    /* the master has them */
    HD_FILES_NEVER,   /* its worker says that they do not come */
    HD_FILES_COMING,  /* wanted, and its worker is here */
    HD_FILES_UNKNOWN, /* it is not the last attempt of a job that is over */
};

struct hd_event {
    enum hd_event_kind kind;
    int64_t now_ms;  /* monotonic, never decreasing */
    int64_t wall_ms; /* for display */
    /* REQUEST */
    uint64_t address;    /* the reply carries it back */
    uint64_t connection; /* whose end HD_EVENT_DISCONNECT names */
    const struct hd_request *request;
    /* SUGGESTION: in the order of the asks of a run */
    uint32_t run;
    uint32_t config; /* number asked for */
    uint64_t cut;
    bool exhausted; /* the space has no unused config left */
    const double *values;
    size_t value_count;
    struct hd_proposal_info info;
    bool at_home; /* HELLO: the sender's work root is on the disk of the master's state */
    /* SHELVED, UNSHELVED, FILES, ASKED */
    struct hd_attempt_ref attempt;
    enum hd_files files; /* HOME, NEVER, or AWAY: the master has removed them */
    /* HOLD */
    int64_t hold_ms;
};

/*
 * A request to a run's sampler: propose config number `config`. The history it may use is all
 * configs with a lower number (as pending until told; earlier asks' answers included, since they
 * become configs in the order of their numbers) and the results of attempts whose fact's seq is
 * at most `cut`, the last such fact of this run when the ask was made; a curve point that is a
 * milestone of the generator is a result too. So a proposal depends only on
 * (seed, config number, cut) for a given history, however many are computed ahead.
 */
struct hd_ask {
    uint32_t run;
    uint32_t config;
    uint64_t cut;
    double budget;
};

enum hd_note_level { HD_NOTE_DEBUG, HD_NOTE_INFO, HD_NOTE_WARNING };
struct hd_note {
    enum hd_note_level level;
    uint32_t run;           /* UINT32_MAX: none */
    char text[HD_NOTE_MAX]; /* tells reasons: "lease of job 7 expired (attempt 2 of 3) -> queued
                               again" */
};

/* Valid until the next call on the core. Facts' strings belong to the core or the event. */
struct hd_update {
    struct hd_fact facts[HD_STEP_FACTS_MAX];
    size_t fact_count;
    struct hd_reply replies[HD_STEP_REPLIES_MAX];
    size_t reply_count;
    struct hd_ask asks[HD_STEP_ASKS_MAX];
    size_t ask_count;
    struct hd_note notes[HD_STEP_NOTES_MAX];
    size_t note_count;
};

HD_NODISCARD enum hd_code hd_core_new(const struct hd_core_options *options,
                                      struct hd_core **ret_core, struct hd_err *err);
void hd_core_free(struct hd_core *core);

/* Restore: facts in order, before the first step. HD_E_CORRUPT when a fact does not fit. */
HD_NODISCARD enum hd_code hd_core_apply(struct hd_core *core, const struct hd_fact *fact,
                                        struct hd_err *err);

/* Memory for this event. A refusal that the sender must hear (an experiment that does not
 * parse) is not an error here: step answers it. */
HD_NODISCARD enum hd_code hd_core_reserve(struct hd_core *core, const struct hd_event *event,
                                          struct hd_err *err);
/* update is cleared first. Allocates nothing. */
void hd_core_step(struct hd_core *core, const struct hd_event *event, struct hd_update *update);
/* When the next HD_EVENT_TIMEOUT is wanted; HD_NEVER_MS for never. */
int64_t hd_core_deadline_ms(const struct hd_core *core);

/* Over the durable projection. The live core and a core restored from its facts are equal. */
uint64_t hd_core_digest(const struct hd_core *core);

/* ---- reading (for the driver, the simulator's checkers and progress lines) --------------- */

struct hd_run_view {
    const char *run_id;
    uint64_t run_uid;
    uint64_t seed;
    enum hd_run_state state;
    const char *reason;
    const struct hd_experiment *experiment; /* lives as long as the core */
    const char *experiment_json;            /* canonical; likewise */
    const char *target_json; /* the same with the image that people set since, for attempts that
                              * begin now; until the next step */
    const struct hd_known *known; /* results its sampler begins with; NULL: none; likewise */
    const char *image_id;         /* of the first attempt that told one; "" none yet */
    uint32_t config_count;
    uint32_t job_count;
    uint32_t jobs_queued, jobs_running, jobs_ok,
        jobs_failed;     /* failed: closed, neither ok nor stopped */
    double budget_spent; /* sum of the budgets of closed jobs */
    bool has_incumbent;
    uint32_t incumbent_config;
    uint32_t incumbent_job;
    double incumbent_budget;
    double incumbent_loss; /* of a noisy target: the posterior mean of its config */
    uint32_t incumbent_results;
    double incumbent_error; /* standard deviation of that mean; NaN: unknown, or no noise */
    bool incumbent_feasible;
};

struct hd_job_view {
    uint32_t config;
    struct hd_config_id config_id;
    uint32_t iteration, rung;
    double budget, budget_previous;
    uint32_t repeat;  /* from 1 on: another evaluation of a config of a noisy target */
    uint32_t again;   /* 0, or 1 + the failed job that a person has run once more by it */
    uint32_t seed;    /* that its target is given */
    uint32_t attempt; /* number of the last one; 0 before the first */
    uint32_t retries_used;
    bool queued, running, closed;
    enum hd_outcome outcome; /* when closed */
    double loss;
    bool stopping;          /* the generator wants it ended early */
    double budget_reached;  /* of the last milestone it passed; NaN: none */
    const char *worker;     /* of the running attempt */
    int64_t lease_until_ms; /* when running */
};

uint32_t hd_core_run_count(const struct hd_core *core);
bool hd_core_find_run(const struct hd_core *core, const char *run_id, uint32_t *ret_run);
void hd_core_view_run(const struct hd_core *core, uint32_t run, struct hd_run_view *ret_view);
void hd_core_view_job(const struct hd_core *core, uint32_t run, uint32_t job,
                      struct hd_job_view *ret_view);
bool hd_core_is_over(const struct hd_core *core, uint32_t run); /* finished, or cancelled */
/* What a fact of the last step or apply teaches its run's sampler: the end of a job at its budget,
 * a curve point that is a milestone there. loss NaN: failed; so does a job that ends as stopped
 * though nobody asked. false: nothing, as the end of a job that was to be stopped, which was taught
 * by the point that decided it (or, without a loss there, now, as failed at that milestone). Of a
 * noisy target's config, at the largest budget, the posterior mean by then. */
struct hd_lesson {
    uint32_t config;
    double budget;
    double loss;           /* the first one of the score */
    struct hd_score score; /* likewise not finite when it failed */
};
bool hd_core_lesson(const struct hd_core *core, const struct hd_fact *fact,
                    struct hd_lesson *ret_lesson);
/* What the results of a noisy target say of a config. false: the target is deterministic, or the
 * config has no result at the largest budget. */
bool hd_core_estimate(const struct hd_core *core, uint32_t run, uint32_t config,
                      struct hd_race_estimate *ret_estimate);
/* The seed that the target of a job is given; repeat 0: not one of a noisy target's further jobs.
 */
uint32_t hd_core_job_seed(uint64_t run_seed, uint32_t config, uint32_t repeat);
/* The config's values, param_count of them; borrowed. */
const double *hd_core_config_values(const struct hd_core *core, uint32_t run, uint32_t config);
/* What a run waits for now. */
struct hd_waits {
    bool running; /* for a job that runs: the one that began first */
    uint32_t job;
    const char *worker;
    int64_t since_ms;         /* how long it has been running there */
    int64_t lease_left_ms;    /* negative: it is about to be ended */
    char text[HD_REASON_MAX]; /* for a person, after "waits for"; "" when the run is over */
};
/* Times are those of events, as it is now. */
void hd_core_waits(const struct hd_core *core, uint32_t run, int64_t now_ms, int64_t wall_ms,
                   struct hd_waits *ret_waits);
/* Every run is finished, cancelled or paused, and none has a live attempt. */
bool hd_core_idle(const struct hd_core *core);
/* Queued jobs, workers and generators that placement has looked at in this life: what a scheduling
 * pass costs, as a number that does not depend on the machine. */
uint64_t hd_core_placement_looks(const struct hd_core *core);
uint64_t hd_core_last_seq(const struct hd_core *core);

/* The directory that this attempt left is its config's, may be gone on with, and some worker here
 * does not see it: a copy of it is worth having. */
bool hd_core_wants_checkpoint(const struct hd_core *core, struct hd_attempt_ref attempt,
                              uint32_t *ret_config);
/* A copy of what this attempt left is still worth its room. */
bool hd_core_keeps_checkpoint(const struct hd_core *core, struct hd_attempt_ref attempt);
/* `leased` runs, and goes on from a directory: which attempt left that one, and whose it is. */
bool hd_core_lends_checkpoint(const struct hd_core *core, struct hd_attempt_ref leased,
                              uint32_t *ret_config, struct hd_attempt_ref *ret_state);

/* What this attempt left (out/, its result and log) is to come to the master, and to stay there
 * while that is so: it is the best of its run, or on the front of its objectives, and not on the
 * master's disk already; or a person has asked for it in the last HD_ASKED_KEPT_MS. */
bool hd_core_wants_files(const struct hd_core *core, struct hd_attempt_ref attempt);
enum hd_files hd_core_files(const struct hd_core *core, struct hd_attempt_ref attempt);
/* Files of best jobs are on their way, or should be. from_leavers: also from workers that have said
 * goodbye, which send the rest before they go. */
bool hd_core_awaits_files(const struct hd_core *core, bool from_leavers);

struct hd_worker_view {
    const char *id;
    const char *host;
    const char *root;
    uint64_t incarnation;
    uint32_t slots;
    uint32_t running;
    uint32_t gpus, gpus_used; /* by its jobs */
    bool reachable;           /* its connection is open */
    bool draining;
    bool parked; /* a lease poll is waiting */
    enum hd_worker_state state;
    const char *reason; /* of that state */
    int64_t last_seen_ms;
};
/* Nothing that was decided keeps this worker from jobs of the run: it is not paused, quarantined,
 * to leave or excluded from it. */
bool hd_core_may_serve(const struct hd_core *core, uint32_t run, const char *worker);
/* That were ever heard of; each keeps its index as long as the core lives. */
uint32_t hd_core_worker_count(const struct hd_core *core);
/* false: it has not said hello in this life, or goodbye since. */
bool hd_core_view_worker(const struct hd_core *core, uint32_t index,
                         struct hd_worker_view *ret_view);
/* What a worker, by the same index, has to say to one HD_REQUEST_TEST. */
struct hd_test_view {
    bool answered;
    bool unfit;        /* it could run nothing, and `about` says why */
    int64_t took_ms;   /* from the test to its answer */
    const char *about; /* as it said last */
};
/* false: it is not here, was not asked, or too many tests ago (HD_TESTS_MAX). */
bool hd_core_view_test(const struct hd_core *core, uint32_t index, uint64_t number,
                       struct hd_test_view *ret_view);

/* ---- which state of a config is still needed ------------------------------------------------- */

/* A work directory as the last accepted grant in it left it, as its worker says. */
struct hd_left {
    struct hd_attempt_ref attempt;
    const char *worker; /* that the grant was for */
    const char *root, *directory;
};
/* A later answer about the same grant needs the state only if people have made a run that was over
 * go on. So an answer may come late; it holds while the grant is the last in the directory. */
enum hd_need hd_core_need(const struct hd_core *core, const struct hd_left *left);

#endif
