/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cluster.h: the inside of one simulated cluster. Everything lives in sim->memory and dies with
 * the seed; what comes from the rooms under test (cores, stores, agents, samplers, the
 * registry) is freed by name.
 */
#ifndef HD_SIM_CLUSTER_H
#define HD_SIM_CLUSTER_H

#include "sim.h"

#include <hd/agent.h>
#include <hd/core.h>
#include <hd/experiment.h>
#include <hd/registry.h>
#include <hd/sampler.h>
#include <hd/store.h>

#define SIM_CONNECTIONS_MAX 4096
#define SIM_INBOX_MAX 2048
#define SIM_INBOX_KEPT 1536 /* of it: for what is no request, ends of connections above all */
#define SIM_OWED_MAX 1024
#define SIM_FIRST_MS 1000 /* clocks do not begin at zero */

struct sim;

/* ---- memory and time (sim.c) ----------------------------------------------------------------- */

void *sim_alloc(struct sim *sim, size_t size); /* zeroed */
void *sim_alloc_raw(struct sim *sim, size_t size);
char *sim_text(struct sim *sim, const char *text);
const char *sim_format(struct sim *sim, const char *fmt, ...) HD_PRINTF(2, 3);
/* Makes room for one more in an array that lives in the seed's memory. */
void *sim_grow(struct sim *sim, void *items, size_t item_size, size_t count, size_t *capacity);

struct sim_event;
typedef void (*sim_fire_fn)(struct sim *sim, const struct sim_event *event);
struct sim_event {
    int64_t at_ms;
    uint64_t order;
    sim_fire_fn fire;
    uint32_t who;
    uint64_t epoch;
    void *data;
};
void sim_at(struct sim *sim, int64_t at_ms, sim_fire_fn fire, uint32_t who, uint64_t epoch,
            void *data);

bool sim_chance(struct sim *sim, uint32_t permille);
int64_t sim_between(struct sim *sim, int64_t low_ms, int64_t high_ms); /* both included */

void sim_trace(struct sim *sim, const char *fmt, ...) HD_PRINTF(2, 3); /* every detail */
void sim_tell(struct sim *sim, const char *fmt, ...) HD_PRINTF(2, 3);  /* stories too */
void sim_fail(struct sim *sim, const char *checker, const char *fmt, ...) HD_PRINTF(3, 4);

/* ---- the ledger: what the committed facts say, folded here and nowhere else (ledger.c) ---------
 */

struct sim_attempt {
    uint32_t number;
    bool open;
    const char *worker;
    uint64_t incarnation, sequence;
    const char *root, *directory;
    double budget_previous;
    uint64_t leased_seq;
    uint32_t stamp;     /* that its worker was told; 0 not yet */
    int64_t leased_ms;  /* the master's clock */
    int64_t renewed_ms; /* last time a message that holds it was stepped */
    int64_t missed_ms;  /* likewise, one that does not, and should */
    enum hd_outcome outcome;
    bool by_report;
    bool spoken; /* its lease has been sent */
};

struct sim_job {
    uint32_t config, iteration, rung;
    double budget, budget_previous;
    uint32_t repeat;
    uint32_t again; /* 0, or 1 + the failed job that it runs once more */
    bool followed;  /* another runs it once more */
    uint64_t queued_seq;
    int64_t waiting_since_ms; /* queued or queued again; virtual time */
    struct sim_attempt *attempts;
    size_t attempt_count, attempt_capacity;
    bool open; /* an attempt is */
    bool closed;
    enum hd_outcome outcome;
    double loss;
    uint64_t closed_seq;
    uint32_t passed; /* rungs, by its curve */
    bool decided;    /* its curve says that it is to be stopped */
    double reached;  /* budget of the last rung or milestone it passed; NaN none */
    uint32_t charged, charged_infra, accepted;
};

struct sim_config {
    struct hd_config_id id;
    const double *values;
    size_t value_count;
    uint64_t cut, seq;
    const char *root, *directory;  /* where its state is */
    double state_budget;           /* the budget that state was trained to; NaN none */
    struct sim_curve {             /* under a rule of early stopping */
        double last, best;         /* step, loss */
        uint32_t passed;           /* milestones */
        double steps[2], bests[2]; /* at the last two, the later one first; NaN none */
    } curve;
};

#define SIM_RUNGS_MAX 16
struct sim_rung { /* of an asynchronous run, or a milestone of the median rule */
    struct sim_place {
        uint32_t config;
        double loss;
    } * places;
    size_t count, capacity;
    uint32_t failed;
};

struct sim_ledger_run {
    uint64_t run_uid;
    const char *run_id;
    const struct sim_run_plan *plan;
    uint64_t seed;
    enum hd_run_state state;
    const char *reason;
    struct sim_config *configs;
    size_t config_count, config_capacity;
    struct sim_job *jobs;
    size_t job_count, job_capacity;
    uint64_t last_result_seq;
    uint32_t commands[HD_COMMAND_OP_COUNT];
    uint32_t failure_streak; /* since the last success or resume */
    uint32_t ok_count, stopped_count, closed_count, full_count;
    struct sim_rung rungs[SIM_RUNGS_MAX];
    double incumbent; /* best loss at the highest budget that no rule has rejected; NaN none */
    bool has_best;
    double best_budget, best_loss;
    double *ask_budgets; /* by config number, of the last ask */
    size_t ask_count, ask_capacity;
    uint32_t reruns; /* of failed jobs, by people: rungs are then not what the plan says */
    uint32_t starving_ticks;
    int64_t moved_ms; /* when its last state became durable */
};

struct sim_ledger {
    struct sim_ledger_run runs[SIM_RUNS_MAX];
    size_t run_count;
    struct hd_fact **facts;
    size_t fact_count, fact_capacity;
    double *told_budgets; /* by fact: at which the sampler hears its loss; NaN: not at all */
    double *told_losses;  /* likewise: what it hears, of a noisy target the mean of all results */
    size_t told_capacity, loss_capacity;
};

/* check_early.c: what the fold of an asynchronous run needs. The budget of the rung that this point
 * reaches, NaN: none. */
double sim_early_point(struct sim *sim, struct sim_ledger_run *run, struct sim_job *job,
                       const struct hd_fact_curve_point *point);
void sim_early_closed(struct sim *sim, struct sim_ledger_run *run, struct sim_job *job);
/* check_faults.c: what the last fact about this worker lets it do. */
enum hd_worker_state sim_worker_state(const struct sim_ledger *ledger, const char *worker);
struct hd_fact *sim_fact_copy(struct sim *sim, const struct hd_fact *fact);
/* Tolerant: a fact that makes no sense changes nothing here (a checker has said so before). */
void sim_ledger_fold(struct sim *sim, struct sim_ledger *ledger, const struct hd_fact *fact);
/* Of a fact that is told: whose job it is about. */
uint32_t sim_told_job(const struct hd_fact *fact);
/* What its sampler hears: this loss, and the other values of an ended attempt. */
struct hd_score sim_told_score(const struct hd_fact *fact, double loss);
/* What a target with several objectives says of a config besides its loss, which is the first: a
 * second objective and the value that is bounded. */
#define SIM_MEASURES 3
#define SIM_MEASURE_BOUND 0.5
void sim_measures(const struct sim_config *config, double *ret_measures);
struct sim_ledger_run *sim_ledger_find(struct sim_ledger *ledger, uint64_t run_uid);
struct sim_job *sim_ledger_job(struct sim_ledger *ledger, uint32_t run, uint32_t job);
struct sim_attempt *sim_job_attempt(const struct sim_job *job, uint32_t number);
struct sim_attempt *sim_job_open(const struct sim_job *job);
bool sim_run_over(const struct sim_ledger_run *run);

/* ---- the network (net.c) --------------------------------------------------------------------- */

enum { SIM_NODE_MASTER = 0, SIM_NODE_WORKER = SIM_MASTERS_MAX };
enum { SIM_NODE_NAMESERVER = SIM_NODE_WORKER + SIM_WORKERS_MAX, SIM_NODE_PERSON, SIM_NODE_COUNT };

/* A connection between a client (a worker or the person) and a master's process. */
struct sim_connection {
    uint64_t id;
    uint32_t client; /* node */
    uint32_t master;
    uint64_t client_epoch, master_epoch;
    bool client_open, master_open;
    bool stranger; /* nobody hears the answers */
};

struct sim_message {
    struct sim_connection *connection;
    bool is_reply;
    bool stepped;     /* by a master; a copy that the network makes is the same message */
    bool superseded;  /* when that happened first a newer process of its worker had spoken */
    uint64_t send_id; /* the client's send that this is, or answers */
    struct hd_request request;
    struct hd_reply *reply;
    const struct sim_container *origin; /* of the result in it; NULL: nobody knows */
    int64_t arrived_ms;                 /* a reply: at its worker's machine; 0: not yet */
};

struct sim_message *sim_message_of_request(struct sim *sim, const struct hd_request *request);
struct hd_reply *sim_reply_copy(struct sim *sim, const struct hd_reply *reply);
void sim_connection_send(struct sim *sim, struct sim_message *message);
struct sim_connection *sim_connection_open(struct sim *sim, uint32_t client, uint64_t client_epoch,
                                           uint32_t master);
/* One end went away; the other is told in time, unless the link is cut. */
void sim_connection_close(struct sim *sim, struct sim_connection *connection, bool by_client);
/* The network itself ends it: both ends are told. */
void sim_connection_break(struct sim *sim, struct sim_connection *connection);
bool sim_link_up(const struct sim *sim, uint32_t from, uint32_t to);
void sim_link_cut(struct sim *sim, uint32_t a, uint32_t b, bool both, int64_t for_ms);
/* How long a datagram takes, or -1 when it is lost. For the nameserver's calls. */
int64_t sim_link_delay(struct sim *sim, uint32_t from, uint32_t to);

/* ---- strangers (stranger.c) -------------------------------------------------------------------
 */

#define SIM_RECORDED_MAX 48
#define SIM_OLD_RESULT_LOSS (-7777.0) /* no target here ever has it */

struct sim_strangers {
    struct hd_rng rng;
    const struct sim_message *recorded[SIM_RECORDED_MAX]; /* requests of workers */
    uint32_t to[SIM_RECORDED_MAX];                        /* which master */
    uint64_t heard_count;
};
void sim_stranger_hears(struct sim *sim, const struct sim_message *message);
bool sim_stranger_replays(struct sim *sim); /* false: there was nothing to do */

/* ---- a master: driver, disk, sampler actors (master.c, actor.c) ---------------------------------
 */

struct sim_inbox {
    struct hd_event event;
    struct sim_message *message;
};

/* A request that waits for its one reply. */
struct sim_owed {
    uint64_t address;
    struct sim_message *message;
    int64_t since_ms;
    bool gone; /* its connection ended: the core may forget it */
};

struct sim_ask {
    struct hd_ask ask;
    struct sim_ask *next;
};

struct sim_actor {
    struct hd_sampler *sampler;
    uint64_t told_seq;
    uint32_t added_count;
    double **values; /* of every config it knows, by number */
    size_t value_capacity;
    struct sim_ask *first, *last;
    uint32_t waiting;
    bool busy;
};

/* The newest control message of a worker that was stepped. */
struct sim_heard {
    uint64_t incarnation, sequence;
    const struct hd_request *request;
    int64_t at_ms; /* virtual time */
};

/* Of a config's directory, at a master; see travel.c. */
struct sim_copy {
    struct hd_attempt_ref whose; /* that left it */
    uint32_t config;
    double budget, reached; /* as in sim_directory */
    bool torn;              /* by a power cut: what is read of it is not what was sent */
};

struct sim_master {
    uint32_t index;
    char id[8]; /* as the nameserver knows it */
    bool alive;
    bool gone;                 /* for good */
    const void *first_request; /* to the nameserver, of this process */
    uint64_t epoch;
    uint64_t port;
    int64_t clock_offset_ms;
    int64_t boot_ms;        /* its own clock at boot */
    int64_t boot_offset_ms; /* ... of virtual time */
    int64_t first_event_ms; /* its own clock at the first step after boot; HD_NEVER_MS none yet */
    struct hd_store *store;
    struct hd_core *core;
    struct hd_core *shadow; /* fed with committed facts alone */
    struct sim_ledger ledger;
    struct sim_inbox *inbox;
    size_t inbox_count;
    bool busy; /* stepping, committing or holding */
    bool wake_set;
    int64_t timer_ms;
    int64_t hold_since_ms; /* -1: not held */
    int64_t full_until_ms;
    bool crash_before, crash_after, fsync_fails;
    bool jumped; /* its clock has, in this life */
    struct hd_fact **batch;
    size_t batch_count, batch_capacity;
    size_t batch_said; /* facts of the batch that is being spoken of */
    struct hd_reply **replies;
    size_t reply_count, reply_capacity;
    struct hd_ask *asks;
    size_t ask_count, ask_capacity;
    uint64_t result_seq[SIM_RUNS_MAX]; /* of the last result, batch included */
    struct sim_owed *owed;
    size_t owed_count;
    uint64_t next_address;
    struct sim_actor actors[SIM_RUNS_MAX];
    struct sim_heard heard[SIM_WORKERS_MAX]; /* in this life */
    int64_t last_held_ms;                    /* how long it was */
    int64_t last_hold_ms;                    /* clock at the end of the last hold */
    int64_t hold_ended_ms;                   /* the same in true time: clocks jump */
    uint64_t commits;
    struct sim_copy *copies; /* they outlive the process */
    size_t copy_count, copy_capacity;
    struct hd_attempt_ref *home; /* whose files it has; they outlive the process too */
    size_t home_count, home_capacity;
};

void sim_master_start(struct sim *sim, uint32_t index);
/* Its state is to begin with the first `count` facts of another. */
void sim_master_found(struct sim *sim, struct sim_master *master, const struct sim_ledger *from,
                      size_t count);
void sim_master_crash(struct sim *sim, uint32_t index, int64_t down_ms);
/* A master that waits for its disk takes only so many requests. */
bool sim_master_is_full(const struct sim_master *master);
void sim_master_receive(struct sim *sim, struct sim_message *message);
void sim_master_disconnected(struct sim *sim, struct sim_connection *connection);
bool sim_request_holds(const struct hd_request *request, struct hd_attempt_ref attempt);
/* Its worker had heard of the attempt when it sent this. */
bool sim_request_knows(const struct hd_request *request, const struct sim_attempt *attempt);
int64_t sim_master_clock(const struct sim *sim, const struct sim_master *master);
void sim_master_release(struct sim_master *master);
void sim_master_wake(struct sim *sim, struct sim_master *master);   /* to what its inbox holds */
void sim_master_commit(struct sim *sim, struct sim_master *master); /* what its batch holds */
void sim_actor_ask(struct sim *sim, struct sim_master *master, const struct hd_ask *ask);
void sim_actor_release(struct sim_actor *actor);
/* The event waits in the master's queue (a copy). */
void sim_master_push(struct sim *sim, struct sim_master *master, const struct hd_event *event,
                     struct sim_message *message);

/* ---- workers: process, engine, disk (worker.c, engine.c) ----------------------------------------
 */

struct sim_directory {
    const char *name;
    uint64_t run_uid;
    uint32_t config;
    double budget;  /* trained to */
    double reached; /* NaN, or what its checkpoint has reached, of a target that keeps them */
    struct sim_container *writer;
    struct hd_attempt_ref left; /* the last grant in it that was acknowledged; stamp 0: none */
    const char *left_by;
    bool gone;
};

struct sim_root {
    char id[HD_ROOT_ID_MAX];
    struct sim_directory **directories;
    size_t count, capacity;
};

/* One attempt on one machine: container and files. */
struct sim_container {
    struct sim_worker *worker;
    struct hd_attempt_ref attempt;
    const struct sim_run_plan *plan;
    const char *master_id;
    uint32_t granted_by; /* which master did, and */
    uint64_t leased_seq; /* by which of its facts; 0 not known */
    uint32_t config;
    uint32_t seed; /* its target's */
    double budget, budget_previous;
    double from; /* where its work begins */
    struct sim_directory *directory;
    int64_t started_ms, ends_ms;
    uint32_t points_written, points_read; /* of its curve; read: by this incarnation */
    bool ended;                           /* and counted */
    bool running;
    bool removed;        /* dropped or acknowledged: nothing is left of it */
    bool on_disk;        /* its result is */
    bool settled;        /* acknowledged, or dropped by order: nothing is owed to it any more */
    uint32_t settled_by; /* which master's word it was */
    bool told;           /* this incarnation's agent knows its end */
    uint64_t stop_order; /* a stop changes its end; older end events are void */
    struct hd_result result;
    struct sim_container *next;
};

struct sim_lane {
    bool waiting;
    uint64_t send_id;
    uint64_t sequence;
    struct sim_message *message;
    int64_t deadline_ms; /* virtual */
};

struct sim_client {
    char address[HD_ADDRESS_MAX];
    struct sim_connection *connection;
    struct sim_lane lanes[HD_LANE_COUNT];
};

struct sim_worker {
    uint32_t index;
    char id[HD_WORKER_ID_MAX];
    const struct sim_worker_plan *plan;
    struct sim_root *root;
    bool alive;
    uint64_t epoch;      /* of the process; also its incarnation, where nobody shares its id */
    uint32_t heard_from; /* the master whose reply is looked at */
    int64_t unread_ms;   /* how long that had been here */
    bool refused;        /* it left since a newer process has its id */
    int64_t frozen_until_ms;
    int64_t stalled_until_ms; /* the process only */
    int64_t clock_offset_ms;
    struct hd_agent *agent;
    struct sim_client clients[HD_AGENT_MASTERS_MAX];
    int64_t timer_ms;
    struct sim_container *containers;
    uint32_t terms;  /* SIGTERMs got */
    bool exited;     /* by itself */
    bool was_told;   /* to leave, by a signal or its end */
    int64_t ends_ms; /* of the machine, HD_NEVER_MS: it stays */
};

void sim_worker_start(struct sim *sim, uint32_t index);
void sim_worker_crash(struct sim *sim, uint32_t index, bool machine_too, int64_t down_ms);
void sim_worker_term(struct sim *sim, uint32_t index);
/* The machine goes away in grace_ms, and says so. */
void sim_worker_notice(struct sim *sim, uint32_t index, int64_t grace_ms);
void sim_worker_receive(struct sim *sim, struct sim_message *message);
void sim_worker_disconnected(struct sim *sim, struct sim_connection *connection);
void sim_worker_step(struct sim *sim, struct sim_worker *worker,
                     const struct hd_agent_event *event);
bool sim_stranger_finds_result(struct sim *sim, struct sim_worker *worker);
bool sim_worker_asleep(const struct sim *sim, const struct sim_worker *worker);
void sim_worker_release(struct sim_worker *worker);

void sim_engine_start(struct sim *sim, struct sim_worker *worker, const struct hd_lease *lease,
                      uint32_t master);
void sim_engine_stop(struct sim *sim, struct sim_worker *worker, struct hd_attempt_ref attempt,
                     enum hd_outcome outcome, int64_t deadline_ms);
void sim_engine_drop(struct sim *sim, struct sim_worker *worker, struct hd_attempt_ref attempt);
void sim_engine_acknowledged(struct sim *sim, struct sim_worker *worker,
                             struct hd_attempt_ref attempt, enum hd_verdict verdict,
                             uint32_t wanted);
/* A new incarnation looks at its engine and its disk. */
void sim_engine_adopt(struct sim *sim, struct sim_worker *worker);
void sim_engine_reboot(struct sim *sim, struct sim_worker *worker);
/* Whose result it is, though nothing may be left of it. */
const struct sim_container *sim_engine_origin(const struct sim_worker *worker,
                                              struct hd_attempt_ref attempt);
struct sim_container *sim_engine_find(struct sim_worker *worker, struct hd_attempt_ref attempt);

/* ---- directories that travel (travel.c)
 * ------------------------------------------------------- */

/* The master wants what this one left. */
void sim_travel_send(struct sim *sim, const struct sim_container *container);
/* It asks for what this attempt left, if that is there and nothing goes on in it. */
void sim_travel_offer(struct sim *sim, const struct sim_worker *worker,
                      struct hd_attempt_ref attempt, uint32_t master);
/* What its attempt was leased to go on from, in another machine's root; NULL: it cannot be had. */
const struct sim_copy *sim_travel_fetch(struct sim *sim, const struct sim_container *container);
void sim_travel_restart(struct sim *sim, struct sim_master *master);

/* ---- files that come home (home.c)
 * ---------------------------------------------------------------------------------------- */

/* The master wants what this attempt left. */
void sim_home_bring(struct sim *sim, struct sim_worker *worker, struct hd_attempt_ref attempt,
                    uint32_t master);
void sim_home_restart(struct sim *sim, struct sim_master *master);

/* ---- what is removed on a master's word (keep.c) ------------------------------------------------
 */

struct sim_keeping {
    struct hd_rng rng;
    bool started;
    struct sim_gone {
        const struct sim_root *root;
        const char *name;
        uint64_t run_uid;
        uint32_t master;   /* whose word it was */
        size_t fact_count; /* that it knew then */
        bool over;         /* its run was, by then */
    } * gone;
    size_t count, capacity;
};
void sim_keep_start(struct sim *sim, const struct sim_worker *worker);

/* ---- nameserver, person, faults (others.c, fault.c)
 * ---------------------------------------------- */

struct sim_person_task {
    struct hd_request request;
    uint32_t master;
    uint32_t run; /* index into the plan */
    struct sim_connection *connection;
    uint64_t send_id;
    bool done;
    bool wanted; /* from the script or a fault */
    uint64_t tries;
};

void sim_nameserver_start(struct sim *sim);
void sim_nameserver_lookup(struct sim *sim, struct sim_worker *worker);
void sim_master_renew(struct sim *sim, struct sim_master *master);
void sim_person_submit(struct sim *sim, uint32_t run);
/* The known results that it is submitted with, see known.h; "" none. */
const char *sim_known_text(struct sim *sim, const struct sim_run_plan *plan,
                           const char *experiment);
/* By the master of this run. */
void sim_person_orders(struct sim *sim, uint32_t run, enum hd_command_op op, uint32_t worker);
void sim_person_command(struct sim *sim, uint32_t run, enum hd_command_op op, uint32_t job,
                        const char *reason);
void sim_person_receive(struct sim *sim, struct sim_message *message);
void sim_person_disconnected(struct sim *sim, struct sim_connection *connection);

/* ---- what is there twice (rival.c)
 * ----------------------------------------------------------------- */

void sim_rival_start(struct sim *sim); /* plans it */
/* The nameserver's answer to a registration. */
void sim_rival_answered(struct sim *sim, struct sim_master *master, bool first,
                        const struct hd_ns_reply *reply);
void sim_rival_calm(struct sim *sim);
/* Whether this run of the plan is of a master that goes on, so that it must come to an end. */
bool sim_is_served(const struct sim *sim, uint32_t run);
/* Who serves a run of the first master now. */
uint32_t sim_serving(const struct sim *sim, uint32_t run);
uint32_t sim_run_total(const struct sim *sim);
/* The grant behind a container is one of this master's facts. */
bool sim_is_own_grant(const struct sim *sim, const struct sim_container *container,
                      const struct sim_master *master);
/* Two masters go on with it, since the one began with a copy of the other's state. */
bool sim_is_shared_grant(const struct sim *sim, const struct sim_attempt *attempt);
void sim_twin_start(struct sim *sim, struct sim_worker *twin);
bool sim_has_twin(const struct sim *sim, uint32_t worker);
/* Another live process has its id. */
bool sim_twin_lives(const struct sim *sim, uint32_t worker);

void sim_faults_start(struct sim *sim);
void sim_fault_do(struct sim *sim, enum sim_fault fault, uint32_t who, uint32_t job,
                  int64_t for_ms);

/* ---- checkers (check_*.c)
 * ------------------------------------------------------------------------ */

enum sim_probe_kind {
    SIM_PROBE_STEP,      /* update of one step, before anything is committed */
    SIM_PROBE_FACT,      /* committed, not yet folded into the ledger */
    SIM_PROBE_COMMIT,    /* a batch is committed, folded and applied to the shadow */
    SIM_PROBE_REPLY,     /* handed to the network */
    SIM_PROBE_RESTORED,  /* a new core from the store */
    SIM_PROBE_CONTAINER, /* a target starts */
    SIM_PROBE_ACKNOWLEDGED,
    SIM_PROBE_TICK, /* once a virtual second */
    SIM_PROBE_END,  /* every run is over, and time to settle has passed */
};

struct sim_probe {
    enum sim_probe_kind kind;
    struct sim_master *master;
    const struct hd_event *event;      /* STEP */
    const struct hd_update *update;    /* STEP */
    const struct hd_fact *fact;        /* FACT */
    const struct hd_reply *reply;      /* REPLY */
    const struct sim_message *message; /* REPLY: the request it answers; NULL: nobody asked */
    struct sim_container *container;   /* CONTAINER */
    const struct hd_lease *lease;      /* CONTAINER */
    struct hd_attempt_ref attempt;     /* ACKNOWLEDGED */
    enum hd_verdict verdict;
};
void sim_checkers_choose(struct sim *sim);
void sim_probe(struct sim *sim, const struct sim_probe *probe);

/* How many configs an iteration begins with, by the formulas of check_brackets.c. */
uint32_t sim_plan_first_count(const struct sim_run_plan *plan, uint32_t iteration);

struct sim_checker {
    const char *name;
    const char *promise;
    void (*check)(struct sim *sim, const struct sim_checker *self, const struct sim_probe *probe);
};
/* That each command of this kind, in a reply to a worker, is right by the facts of its master. */
typedef bool sim_command_judge(const struct sim_ledger *ledger, struct hd_attempt_ref attempt,
                               const char *worker);
void sim_check_commands(struct sim *sim, const struct sim_checker *self,
                        const struct sim_probe *probe, enum hd_attempt_action action,
                        sim_command_judge *is_right, const char *wrong);

extern const struct sim_checker sim_checkers_facts[];
extern const size_t sim_checkers_facts_count;
extern const struct sim_checker sim_checkers_brackets[];
extern const size_t sim_checkers_brackets_count;
extern const struct sim_checker sim_checkers_talk[];
extern const size_t sim_checkers_talk_count;
extern const struct sim_checker sim_checkers_noise[];
extern const size_t sim_checkers_noise_count;
extern const struct sim_checker sim_checkers_objectives[];
extern const size_t sim_checkers_objectives_count;
extern const struct sim_checker sim_checkers_early[];
extern const size_t sim_checkers_early_count;
extern const struct sim_checker sim_checkers_strangers[];
extern const size_t sim_checkers_strangers_count;
extern const struct sim_checker sim_checkers_rivals[];
extern const size_t sim_checkers_rivals_count;
extern const struct sim_checker sim_checkers_faults[];
extern const size_t sim_checkers_faults_count;
extern const struct sim_checker sim_checkers_travel[];
extern const size_t sim_checkers_travel_count;
extern const struct sim_checker sim_checkers_again[];
extern const size_t sim_checkers_again_count;
extern const struct sim_checker sim_checkers_keep[];
extern const size_t sim_checkers_keep_count;
extern const struct sim_checker sim_checkers_home[];
extern const size_t sim_checkers_home_count;
extern const struct sim_checker sim_checkers_life[];
extern const size_t sim_checkers_life_count;

/* ---- the whole
 * ------------------------------------------------------------------------------------ */

struct sim {
    uint64_t seed;
    struct hd_rng rng;
    const struct sim_plan *plan;
    const struct sim_options *options;
    struct sim_memory *memory;
    struct sim_cover *cover;
    struct sim_result *result;
    int64_t now_ms;
    uint64_t order;
    struct sim_event *heap;
    size_t heap_count, heap_capacity;
    bool calm;
    bool over;
    int64_t storm_end_ms;
    int64_t calm_limit_ms;
    int64_t over_since_ms;
    int64_t awake_ms;                                     /* by then no worker sleeps any more */
    const struct sim_checker *checkers[SIM_CHECKERS_MAX]; /* that look, at every probe */
    size_t checker_count;
    uint32_t master_count;               /* the rival included */
    uint64_t copied_facts;               /* that a rival began with */
    struct hd_registry *second_registry; /* of a plant */
    struct sim_master masters[SIM_MASTERS_MAX];
    struct sim_worker workers[SIM_WORKERS_MAX];
    struct sim_root roots[SIM_WORKERS_MAX + 1]; /* the last one: of a twin */
    int64_t cut_until_ms[SIM_NODE_COUNT][SIM_NODE_COUNT];
    uint32_t lossy_permille[SIM_NODE_COUNT][SIM_NODE_COUNT]; /* of the climate's rates */
    uint64_t next_connection;
    struct sim_connection **connections;
    size_t connection_count, connection_capacity;
    uint64_t next_send;
    struct hd_registry *registry;
    int64_t nameserver_down_until_ms;
    struct sim_strangers strangers;
    struct sim_keeping keeping;
    struct {
        struct hd_rng rng;
        bool started;
    } bringing; /* home.c */
    struct {
        struct hd_rng rng;
        bool started;
    } offering; /* travel.c */
    struct sim_person_task **tasks;
    size_t task_count, task_capacity;
    int64_t slow_sampler_until_ms;
    /* The next lease reply to this worker is lost, its next lease request comes twice; 0 none,
     * else its node. For stories. */
    uint32_t lose_lease_of, repeat_lease_of;
    int64_t repeat_after_ms;
    bool planted; /* the plant has done its deed at least once */
    struct hd_update *update;
    struct hd_agent_update *agent_update;
    struct hd_ns_reply *ns_reply;
    uint64_t digest;
};

struct sim_ledger_run *sim_find_run(struct sim *sim, uint64_t run_uid,
                                    struct sim_master **ret_master);

#endif
