/* SPDX-License-Identifier: Apache-2.0 */
/*
 * session.h: ask and tell over the master's core with one worker that never dies: an ask is a
 * lease, a tell is a report. So promotions, failures and resume are those of a real run, and a
 * session's file is an ordinary state file.
 *
 * A step moves the core first, then the store, then the sampler. A failure in between that can be
 * repeated (memory, a full disk) leaves the rest of the step waiting: the next call finishes it
 * before it does its own work.
 */
#ifndef LIBRARY_SESSION_H
#define LIBRARY_SESSION_H

#include <hd/core.h>
#include <hd/store.h>

#include <hyperdock.h>

#define SESSION_LEASE_MS                                                                           \
    (INT64_C(1000) * 60 * 60) /* any: time between calls counts for no lease                       \
                               */
#define SESSION_TEXT_BYTES_MAX ((size_t)64 << 20)

enum session_stage {
    SESSION_IDLE,
    SESSION_STEPPED,  /* the update's facts are not stored yet */
    SESSION_APPENDED, /* stored, and the sampler has learned the first `learned` of them */
};

/* Of one job: what it measured when it ended ok. */
struct session_measures {
    bool ok;
    double budget;
    double violation;
    double values[HD_RESULT_MEASURES_MAX]; /* minimized objectives, constraints */
};

struct hyperdock_session {
    struct session_measures *measures; /* [measure_capacity] by job */
    uint32_t measure_capacity;
    struct hd_core *core;
    struct hd_store *store;
    struct hd_sampler *sampler;
    struct hd_update *update;
    enum session_stage stage;
    size_t learned;
    bool failed;                    /* the store is lost: every further step is refused */
    double *values;                 /* of the suggestion under way; a fact may point here */
    struct hd_proposal_info *infos; /* by config number */
    uint32_t info_count, info_capacity;
    uint32_t run; /* its number in the store: 0 */
    uint64_t incarnation;
    uint64_t lease_sequence, report_sequence, control_sequence;
    uint64_t address;      /* of the last request */
    struct hd_reply reply; /* to it */
    bool replied;
    uint64_t poll_address;    /* of the ask under way */
    bool poll_open, poll_won; /* parked in the core; answered with poll_job */
    uint32_t poll_job;
    bool unsure;         /* the last tell moved the core and then failed: ... */
    uint32_t unsure_job; /* ... told again, this job is no conflict */
    int64_t stepped_ms;  /* when; 0 never */
    struct hd_ask asks[HD_ASKS_MAX];
    size_t ask_count;
    uint32_t *held; /* outstanding jobs, rising */
    size_t held_count, held_capacity;
    struct hd_buf text; /* what was handed out last */
    struct hd_err err;
};

/* ---- session.c ------------------------------------------------------------------------------ */

/* One request and all that follows from it; a refusal is an error. */
HD_NODISCARD enum hd_code session_request(struct hyperdock_session *session,
                                          struct hd_request *request, struct hd_err *err);
/* The sampler and the list of proposals hear of a fact. */
HD_NODISCARD enum hd_code session_learn(struct hyperdock_session *session,
                                        const struct hd_fact *fact, struct hd_err *err);
/* Room for one more outstanding job. */
HD_NODISCARD enum hd_code session_reserve_held(struct hyperdock_session *session,
                                               struct hd_err *err);
void session_hold_job(struct hyperdock_session *session, uint32_t job);
HD_NODISCARD enum hd_code session_ask(struct hyperdock_session *session,
                                      enum hyperdock_answer *ret_answer, uint32_t *ret_job,
                                      struct hd_err *err);
/* HD_E_NOTFOUND, HD_E_CONFLICT: see hyperdock_tell(). loss is minimized. */
/* measures: of an ok end, measure_count of them, minimized; NULL and 0 where the loss is all. */
HD_NODISCARD enum hd_code session_tell(struct hyperdock_session *session, uint32_t job,
                                       enum hd_outcome outcome, double loss, const double *measures,
                                       size_t measure_count, struct hd_err *err);
/* The measures of a job that ended ok, with its violation; NULL: it has none. */
const struct session_measures *session_measures_of(const struct hyperdock_session *session,
                                                   uint32_t job);
HD_NODISCARD enum hd_code session_report(struct hyperdock_session *session, uint32_t job,
                                         double budget, double loss, bool *ret_stop,
                                         struct hd_err *err);

/* ---- open.c --------------------------------------------------------------------------------- */

/* keep: the file goes on holding the session. experiment NULL: the file's own. */
HD_NODISCARD enum hd_code session_open(struct hd_experiment *experiment, const char *path,
                                       bool keep, struct hyperdock_session **ret_session,
                                       struct hd_err *err);
HD_NODISCARD enum hd_code session_save(struct hyperdock_session *session, const char *path,
                                       struct hd_err *err);
void session_close(struct hyperdock_session *session);

/* ---- codes.c -------------------------------------------------------------------------------- */

enum hyperdock_code library_code(enum hd_code code);

#endif
