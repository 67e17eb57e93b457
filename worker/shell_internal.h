/* SPDX-License-Identifier: Apache-2.0 */
/* shell_internal.h: the shell's state, shared by its files: shell.c has the events and actions and
 * the network, the others what is said at their functions below. */
#ifndef HD_SHELL_INTERNAL_H
#define HD_SHELL_INTERNAL_H

#include "code_cache.h"
#include "collect.h"
#include "courier.h"
#include "experiments.h"
#include "fetch.h"
#include "gpus.h"
#include "journal.h"
#include "needed.h"
#include "service_sets.h"
#include "shell.h"

#define SHELL_PENDING_MAX 2048
#define SHELL_QUEUE_MAX 4096
#define SHELL_TICK_MS 1000 /* how often curves are read and a full disk is tried again */

/* An attempt in our hands, as the agent holds it too. */
struct entry {
    struct hd_attempt_ref attempt;
    char master[HD_WORKER_ID_MAX];
    struct hd_engine *engine;               /* NULL: none runs it */
    const struct hd_experiment *experiment; /* NULL: only the result is left */
    struct hd_workspace workspace;
    char pinned[HD_DIR_NAME_MAX]; /* its directory stays; "" none */
    char gpus[HD_GPU_TEXT_SIZE];  /* that it has, with commas */
    enum hd_outcome stop_outcome; /* what an end that we asked for means */
    struct hd_metrics metrics;
    struct hd_output output;
    double last_loss; /* of the curve; NaN none */
    double last_step;
    double budget;
    bool warm;              /* its target stays after it */
    struct hd_lease *lease; /* its files are on the way here; NULL: it has been started */
    bool wants_code;        /* it is the code of its run that is */
    bool wants_services;    /* or its services are not ready */
    bool holds_services;    /* they stay for it */
    char services_uuid[HD_SERVICES_UUID_SIZE]; /* of the set that it meets */
    struct hd_arena *lease_arena;              /* what that lives in */
    bool asked;                                /* to stop by itself, with control/stop */
    int64_t
        term_at_ms; /* when it gets its SIGTERM; HD_NEVER_MS: not to be stopped, or has got it */
    int64_t term_grace_ms;
    bool ended;      /* result is set */
    bool kept;       /* and on disk, and the agent was told */
    bool complained; /* that it could not be put on disk */
    struct hd_result result;
    char message[HD_MESSAGE_MAX];
    char info_json[HD_INFO_JSON_MAX];
    char image_id[HD_IMAGE_ID_MAX];
    char *graphs_json;                  /* of an end: its charts; NULL none */
    char run_image_id[HD_IMAGE_ID_MAX]; /* of the run's first attempt; "" not known */
};

/* An event that an action caused: told to the agent after the actions of this step. */
struct pending {
    enum hd_agent_event_kind kind;
    uint32_t master;
    enum hd_lane lane;
    uint64_t sequence;
    struct hd_attempt_ref attempt;
};

struct client {
    struct hd_net_client *net;
    char address[HD_ADDRESS_MAX];
    uint64_t tag; /* master index and a number that rises: answers to an older one are not ours */
};

#define SIGNALS_LEAVING 2 /* have targets stopped; after one more nothing is waited for */

struct shell {
    const struct hd_shell_settings *settings;
    char journal_dir[HD_PATH_MAX];
    char token[HD_OS_TOKEN_SIZE];
    struct hd_agent *agent;
    struct hd_agent_update update;
    bool stepping;
    struct hd_engine *docker, *process; /* NULL: not there */
    struct hd_queue *engine_news, *net_answers, *lookup_answers;
    struct hd_lookup *lookup;
    struct hd_fetch *fetch;
    struct hd_courier *courier;
    struct hd_queue *courier_news;
    struct hd_queue *code_news;
    struct hd_queue *service_news;
    struct hd_service_sets *services;
    struct hd_code_cache *codes;
    struct hd_collector *collector;
    struct hd_needed *needed;
    struct hd_experiments *experiments;
    struct hd_gpus gpus;
    struct hd_shipper *shipper; /* NULL: nothing is shipped and nothing waits */
    bool lookup_failed;
    struct client clients[HD_AGENT_MASTERS_MAX];
    uint32_t client_number;
    struct entry *entries[HD_HELD_MAX];
    struct pending pending[SHELL_PENDING_MAX];
    size_t pending_first, pending_count;
    int64_t tick_at_ms;
    int64_t terminate_at_ms;                     /* the next SIGTERM that is due */
    int64_t alive_at_ms, reap_at_ms, care_at_ms; /* when shell_reap() has something to do */
    bool leaving;                                /* the agent said EXIT, or a person did */
    bool hurried;                                /* the machine goes away */
    int signals;                                 /* that came */
};

/* shell.c */
void shell_add_pending(struct shell *shell, const struct pending *pending);
void shell_tell(struct shell *shell, struct hd_agent_event *event);
/* What is done before a target can run, for people; "" nothing. */
void shell_tell_doing(struct shell *shell, const char *doing);

/* shell_recover.c */
enum hd_code shell_open_engines(struct shell *shell, struct hd_err *err);
/* What an earlier process left: running, ended, or with a result to report. */
enum hd_code shell_recover(struct shell *shell, struct hd_err *err);

/* shell_reap.c: shows that we are alive, and ends what the dead have left. When it is due again. */
int64_t shell_reap(struct shell *shell);

/* shell_describe.c: true when it could run a target now. */
bool shell_describe(struct shell *shell, char ret_about[HD_ABOUT_MAX]);

/* shell_waiting.c: attempts that wait for something before they can start.
 * The lease is borrowed from a message that goes before its files are here: keeps a copy of it with
 * the entry. False: no memory. */
bool shell_keep_lease(struct entry *entry, const struct hd_lease *lease);
void shell_forget_lease(struct entry *entry);
/* What it waited for is here; or why it will not be, and it has ended. */
void shell_go_on(struct shell *shell, struct entry *entry, const char *why_not);
/* Of the master with this id; NULL: it is not known any more. */
const char *shell_address_of(const struct shell *shell, const char *master);
/* shell_travel.c: work directories that come from other machines, and go there. true: the lease's
 * state is on its way, and shell_take_fetched() starts the target. */
bool shell_fetch_state(struct shell *shell, struct entry *entry, const struct hd_lease *lease,
                       const char *address);
void shell_take_fetched(struct shell *shell, const struct hd_courier_news *news);
/* The master has accepted what it left. */
void shell_send_state(struct shell *shell, const struct entry *entry);
/* The master wants what it left for people: at its acknowledgement, and later. */
void shell_send_files(struct shell *shell, const struct entry *entry);
void shell_bring(struct shell *shell, struct hd_attempt_ref attempt, uint32_t master);
/* The master lacks the state that it left, and may need it elsewhere. */
void shell_offer(struct shell *shell, struct hd_attempt_ref attempt, uint32_t master);
/* Leaving: until all is sent, the time is up, or a third signal. */
void shell_send_rest(struct shell *shell);

/* shell_attempts.c: targets, from the lease to the end. */
struct entry *shell_add_entry(struct shell *shell, struct hd_attempt_ref attempt);
void shell_free_entry(struct shell *shell, struct entry *entry);
/* Its artifacts may be shipped from now on. */
void shell_begin_shipping(struct shell *shell, const struct entry *entry, const char *run_id,
                          const char *config_id);
/* The texts of `result` are copied. */
void shell_end(struct shell *shell, struct entry *entry, const struct hd_result *result);
/* How it ended, by what the engine says and what the target left. */
void shell_classify(struct shell *shell, struct entry *entry, const struct hd_engine_end *raw);
void shell_end_unstarted(struct shell *shell, struct entry *entry, enum hd_outcome outcome,
                         const char *why);
/* Its directory stays where it is until the entry goes; the collector is held. */
void shell_pin(struct shell *shell, struct entry *entry);
void shell_start(struct shell *shell, const struct hd_lease *lease, uint32_t master);
/* The second half of it: what could not be started has ended. */
void shell_start_target(struct shell *shell, struct entry *entry, const struct hd_lease *lease,
                        const char *address);
/* Fetches what it needs, one thing after another, and starts it; it may wait for them. */
void shell_prepare(struct shell *shell, struct entry *entry, const struct hd_lease *lease,
                   const char *address);
/* It never started: its end is kept for the master that leased it. */
void shell_fail_start(struct shell *shell, struct entry *entry, const struct hd_lease *lease,
                      enum hd_outcome outcome, const char *why);
void shell_take_end(struct shell *shell, const struct hd_engine_news *news);
struct entry *shell_find(struct shell *shell, struct hd_attempt_ref attempt);
/* Reads curves and keeps what could not be kept. */
void shell_tick(struct shell *shell);
bool shell_needs_ticks(const struct shell *shell);
void shell_free_entries(struct shell *shell);

/* shell_ends.c: attempts that are stopped, dropped, acknowledged. */
/* The target has ended by deadline_ms; HD_NEVER_MS: it has the grace of its experiment. */
void shell_stop(struct shell *shell, struct hd_attempt_ref attempt, enum hd_outcome outcome,
                int64_t deadline_ms);
/* Sends the SIGTERMs whose time has come; all of them when `hurry`. When the next one is due. */
int64_t shell_terminate(struct shell *shell, bool hurry);
void shell_drop(struct shell *shell, struct hd_attempt_ref attempt);
void shell_acknowledge(struct shell *shell, struct hd_attempt_ref attempt, enum hd_verdict verdict,
                       uint32_t wanted);

/* shell_code.c: true when the experiment's code is here, or it has none; otherwise the entry waits
 * for it, or has ended. */
bool shell_has_code(struct shell *shell, struct entry *entry, const struct hd_lease *lease,
                    const char *master_address);
void shell_take_code(struct shell *shell, const struct hd_code_news *news);

/* shell_services.c: services of this worker's own (services_per: worker). */
enum hd_code shell_open_services(struct shell *shell, struct hd_err *err);
/* What the dead worker of this seat has left. */
void shell_reap_services(const struct shell *shell, const struct hd_seat *seat);
/* true when they are up, or it has none; otherwise the entry waits for them, or has ended. */
bool shell_has_services(struct shell *shell, struct entry *entry, const struct hd_lease *lease);
void shell_take_services(struct shell *shell, const struct hd_service_news *news);
/* They stay as long as it runs. */
void shell_hold_services(struct shell *shell, struct entry *entry);
void shell_release_services(struct shell *shell, struct entry *entry);
/* The same, and a master knows its end. */
void shell_leave_services(struct shell *shell, struct entry *entry);
/* Networks of theirs become those of this worker's set; what is new lives in the arena. */
enum hd_code shell_join_services(const struct entry *entry, struct hd_arena *arena,
                                 struct hd_container *container, struct hd_err *err);
/* Leaving: those that nothing uses go. No engine has anything of ours any more that should end. */
void shell_end_services(struct shell *shell, bool (*hurried)(struct shell *shell));

#endif
