/* SPDX-License-Identifier: Apache-2.0 */
/*
 * hyperdock.h: the optimizer as a library: ask for a job, run it your way, tell how it went.
 *
 * An experiment says what is tuned: a file, a text, or calls. A session asks and tells. Any number
 * of jobs may be outstanding, and results may be told in any order.
 *
 * Every function that can fail returns a code and leaves its ret_ outputs untouched when it is not
 * HYPERDOCK_OK; the handle keeps a text that says what was wrong. NULL, unknown names, wrong types
 * and numbers that are none are such failures: no call aborts on bad input. The library has no
 * globals, starts no threads, and prints nothing. A handle is used by one thread at a time;
 * different handles may be used by different threads at once.
 *
 * Texts that are handed out belong to the handle and live until the next call on it, unless said
 * otherwise. Texts that are handed in are copied. All of it is explained in hyperdock(3).
 */
#ifndef HYPERDOCK_H
#define HYPERDOCK_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define HYPERDOCK_VERSION_MAJOR 0
#define HYPERDOCK_VERSION_MINOR 1
#define HYPERDOCK_VERSION_PATCH 0

/* Numbers never change; later versions may add some. */
enum hyperdock_code {
    HYPERDOCK_OK = 0,
    HYPERDOCK_E_NOMEM = 1,       /* no memory: nothing is lost, the call can be repeated */
    HYPERDOCK_E_INVALID = 2,     /* an argument, a file or a text is wrong */
    HYPERDOCK_E_LIMIT = 3,       /* a limit would be passed */
    HYPERDOCK_E_NOT_FOUND = 4,   /* no such job, param or file, or nothing there yet */
    HYPERDOCK_E_EXISTS = 5,      /* it exists already */
    HYPERDOCK_E_CONFLICT = 6,    /* told twice; the file belongs to another experiment */
    HYPERDOCK_E_INACTIVE = 7,    /* the param's condition does not hold in this config */
    HYPERDOCK_E_BUSY = 8,        /* another process has the file open */
    HYPERDOCK_E_IO = 9,          /* the disk or the file: close the session and open it again */
    HYPERDOCK_E_FULL = 10,       /* the disk is full: nothing is lost, repeat the call */
    HYPERDOCK_E_CORRUPT = 11,    /* the file is damaged, or none of ours */
    HYPERDOCK_E_VERSION = 12,    /* the file is of a newer version */
    HYPERDOCK_E_UNSUPPORTED = 13 /* this build or this file system cannot */
};

enum hyperdock_direction { HYPERDOCK_MINIMIZE = 0, HYPERDOCK_MAXIMIZE = 1 };

enum hyperdock_answer {
    HYPERDOCK_ASK_JOB = 0,  /* run this job */
    HYPERDOCK_ASK_WAIT = 1, /* nothing until an outstanding job is told */
    HYPERDOCK_ASK_DONE = 2  /* nothing ever again; outstanding jobs may still be told */
};

enum hyperdock_decision { HYPERDOCK_CONTINUE = 0, HYPERDOCK_STOP = 1 };

enum hyperdock_outcome {
    HYPERDOCK_OUTCOME_OK = 0,
    HYPERDOCK_OUTCOME_FAILED = 1,
    HYPERDOCK_OUTCOME_DIVERGED = 2, /* its value became NaN or infinite */
    HYPERDOCK_OUTCOME_TIMEOUT = 3,
    HYPERDOCK_OUTCOME_OOM = 4,
    HYPERDOCK_OUTCOME_NO_RESULT = 5,
    HYPERDOCK_OUTCOME_CANCELLED = 6,
    HYPERDOCK_OUTCOME_STOPPED = 7 /* ended early because a report was answered with STOP */
};

/* At most so many objectives and constraints. */
#define HYPERDOCK_MEASURES_MAX 40

/* Flags of float and int params. */
#define HYPERDOCK_LOG 1u /* on a logarithmic scale; low is above 0 */

struct hyperdock_experiment;
struct hyperdock_session;

/* "0.1.0", of the library that runs. */
const char *hyperdock_version(void);
/* "invalid", "not found" ...; "unknown" for a number that is no code. */
const char *hyperdock_code_name(enum hyperdock_code code);

/* ---- an experiment -------------------------------------------------------------------------- */

/* Empty. The one failure is HYPERDOCK_E_NOMEM, or INVALID for a NULL. */
enum hyperdock_code hyperdock_experiment_new(struct hyperdock_experiment **ret_experiment);
void hyperdock_experiment_free(struct hyperdock_experiment *experiment); /* also of NULL */
/* What the last failed call on this handle said; "" when none failed. */
const char *hyperdock_experiment_error(const struct hyperdock_experiment *experiment);

/* A file or a text in YAML or JSON replaces all that the handle held. The section `target` may be
 * missing: only workers need it. */
enum hyperdock_code hyperdock_experiment_read(struct hyperdock_experiment *experiment,
                                              const char *path);
enum hyperdock_code hyperdock_experiment_parse(struct hyperdock_experiment *experiment,
                                               const char *text, size_t size);

/* Params, in the order of the calls; a name that exists is HYPERDOCK_E_EXISTS. step: 0 for none. */
enum hyperdock_code hyperdock_experiment_add_float(struct hyperdock_experiment *experiment,
                                                   const char *name, double low, double high,
                                                   double step, unsigned flags);
enum hyperdock_code hyperdock_experiment_add_int(struct hyperdock_experiment *experiment,
                                                 const char *name, int64_t low, int64_t high,
                                                 int64_t step, unsigned flags);
enum hyperdock_code hyperdock_experiment_add_categorical(struct hyperdock_experiment *experiment,
                                                         const char *name,
                                                         const char *const *choices,
                                                         size_t choice_count);
enum hyperdock_code hyperdock_experiment_add_ordinal(struct hyperdock_experiment *experiment,
                                                     const char *name, const char *const *choices,
                                                     size_t choice_count);
enum hyperdock_code hyperdock_experiment_add_bool(struct hyperdock_experiment *experiment,
                                                  const char *name);
/* `value` is a scalar in YAML or JSON: "64", "relu", "true". */
enum hyperdock_code hyperdock_experiment_add_constant(struct hyperdock_experiment *experiment,
                                                      const char *name, const char *value);
/* A whole param as the file has it: "{type: categorical, choices: [1, 2.5, none]}". */
enum hyperdock_code hyperdock_experiment_add_param(struct hyperdock_experiment *experiment,
                                                   const char *name, const char *text);
/* One key of a param that exists: ("momentum", "when", "{optimizer: sgd}"), ("lr", "default",
 * "0.1"). */
enum hyperdock_code hyperdock_experiment_set_param(struct hyperdock_experiment *experiment,
                                                   const char *name, const char *key,
                                                   const char *text);

/* Any key of the experiment file by its path, with a piece of YAML or JSON: ("stop.configs", "50"),
 * ("objective.goal", "0.01"), ("sampler.preset", "optuna"). It replaces what was there. */
enum hyperdock_code hyperdock_experiment_set(struct hyperdock_experiment *experiment,
                                             const char *path, const char *text);
enum hyperdock_code hyperdock_experiment_set_direction(struct hyperdock_experiment *experiment,
                                                       enum hyperdock_direction direction);
enum hyperdock_code hyperdock_experiment_set_budgets(struct hyperdock_experiment *experiment,
                                                     double budget_min, double budget_max);
enum hyperdock_code hyperdock_experiment_set_seed(struct hyperdock_experiment *experiment,
                                                  uint64_t seed);
/* `settings` is a map in YAML or JSON, or NULL: ("tpe", "{preset: optuna}"). */
enum hyperdock_code hyperdock_experiment_set_sampler(struct hyperdock_experiment *experiment,
                                                     const char *name, const char *settings);
enum hyperdock_code
hyperdock_experiment_set_iteration_generator(struct hyperdock_experiment *experiment,
                                             const char *name, const char *settings);

/* Checks the whole and hands out its JSON with every default explicit. Opening a session does the
 * same check. */
enum hyperdock_code hyperdock_experiment_json(struct hyperdock_experiment *experiment,
                                              const char **ret_json);

/* ---- a session ------------------------------------------------------------------------------ */

/*
 * path NULL: in memory. Otherwise every call is on disk in that file before it returns, and a file
 * that exists is gone on with: its experiment must be the same (HYPERDOCK_E_CONFLICT, with the
 * differences), or the handle empty. Without a seed a new session draws one. What is wrong is said
 * by hyperdock_experiment_error(). The experiment is not needed any more once this returns.
 */
enum hyperdock_code hyperdock_open(struct hyperdock_experiment *experiment, const char *path,
                                   struct hyperdock_session **ret_session);
/* The same session as in the file, but in memory: the file is not touched any more. */
enum hyperdock_code hyperdock_load(struct hyperdock_experiment *experiment, const char *path,
                                   struct hyperdock_session **ret_session);
/* All of a session into a file, at once or not at all. A file of ours is replaced, any other
 * refused; not the file that this session was opened with, which needs no saving
 * (HYPERDOCK_E_BUSY). */
enum hyperdock_code hyperdock_save(struct hyperdock_session *session, const char *path);
void hyperdock_close(struct hyperdock_session *session); /* also of NULL */
const char *hyperdock_error(const struct hyperdock_session *session);

enum hyperdock_direction hyperdock_direction(const struct hyperdock_session *session);

/* ret_job is set for HYPERDOCK_ASK_JOB only: jobs are numbered from 0. */
enum hyperdock_code hyperdock_ask(struct hyperdock_session *session,
                                  enum hyperdock_answer *ret_answer, uint32_t *ret_job);
/* Why nothing more is asked for: "all iterations done"; "" before that. */
const char *hyperdock_done_reason(const struct hyperdock_session *session);

/* The job's value, in the direction of the experiment. NaN and infinities are no errors: the job
 * counts as diverged. HYPERDOCK_E_NOT_FOUND: no such job; CONFLICT: it was told before. */
enum hyperdock_code hyperdock_tell(struct hyperdock_session *session, uint32_t job, double value);
/*
 * With several objectives or constraints: what the experiment asks for, each in the direction of
 * the experiment, objectives first, then constraints, in its order. HYPERDOCK_E_INVALID: another
 * number of them, which hyperdock_measure_count() tells. One objective and no constraints: one
 * value. hyperdock_tell() is refused where one value is not enough.
 */
enum hyperdock_code hyperdock_tell_values(struct hyperdock_session *session, uint32_t job,
                                          const double *values, size_t count);
size_t hyperdock_measure_count(const struct hyperdock_session *session); /* 1 or more; 0 of NULL */
/* "error", "memory" ...; NULL beyond the last. Lives as long as the session. */
const char *hyperdock_measure_name(const struct hyperdock_session *session, size_t index);
/* The job ended otherwise; value: its last one, or NaN. With HYPERDOCK_OUTCOME_OK it is
 * hyperdock_tell(). */
enum hyperdock_code hyperdock_tell_outcome(struct hyperdock_session *session, uint32_t job,
                                           enum hyperdock_outcome outcome, double value);
/* An intermediate value of a running job after `budget` (finite, above 0). After HYPERDOCK_STOP the
 * job need not go on: tell it as HYPERDOCK_OUTCOME_STOPPED with its last value. */
enum hyperdock_code hyperdock_report(struct hyperdock_session *session, uint32_t job, double budget,
                                     double value, enum hyperdock_decision *ret_decision);

/* The best job at the highest budget that has a value; ret_value may be NULL.
 * HYPERDOCK_E_NOT_FOUND: none yet. */
enum hyperdock_code hyperdock_best(struct hyperdock_session *session, uint32_t *ret_job,
                                   double *ret_value);
/* Of a noisy target (noise.repeats above 1) hyperdock_best() gives the config's first job and the
 * posterior mean of its values. This is that mean's standard deviation, NaN while it is unknown,
 * and how many values it is made of, which may be NULL. */
enum hyperdock_code hyperdock_best_error(struct hyperdock_session *session, double *ret_error,
                                         uint32_t *ret_results);
/* Several objectives: the jobs at the highest budget with a value that no other job beats in all of
 * them, rising; where none is feasible, those that come nearest. One objective: the best alone. At
 * most `capacity` numbers are written, ret_count is how many there are; jobs may be NULL with
 * capacity 0. */
enum hyperdock_code hyperdock_front(struct hyperdock_session *session, uint32_t *jobs,
                                    size_t capacity, size_t *ret_count);
/* What an ok job measured, as hyperdock_tell_values() takes it, and whether it is feasible (1) or
 * not (0); ret_feasible may be NULL. HYPERDOCK_E_NOT_FOUND: no such job, or it has no value. */
enum hyperdock_code hyperdock_job_values(struct hyperdock_session *session, uint32_t job,
                                         double *values, size_t capacity, size_t *ret_count,
                                         int *ret_feasible);
/* Jobs asked for and not told, rising; at most `capacity` numbers are written, ret_count is how
 * many there are. jobs may be NULL with capacity 0. */
enum hyperdock_code hyperdock_pending(struct hyperdock_session *session, uint32_t *jobs,
                                      size_t capacity, size_t *ret_count);
uint32_t hyperdock_job_count(const struct hyperdock_session *session);

/* ---- a job ---------------------------------------------------------------------------------- */

/* ret_previous: the budget its config has reached before, NaN for a new config; may be NULL. */
enum hyperdock_code hyperdock_job_budget(struct hyperdock_session *session, uint32_t job,
                                         double *ret_budget, double *ret_previous);
/* From 1 on: another evaluation of a config of a noisy target, from the start; 0: the first one.
 * ret_seed: to be used by the target, the same for all budgets of a config, another one for each
 * repeat; may be NULL. */
enum hyperdock_code hyperdock_job_repeat(struct hyperdock_session *session, uint32_t job,
                                         uint32_t *ret_repeat, uint32_t *ret_seed);
/* (iteration, budget index, running index): two jobs of one config have the same. */
enum hyperdock_code hyperdock_job_config_id(struct hyperdock_session *session, uint32_t job,
                                            uint32_t ret_id[3]);
/* The config's active params as one JSON object. */
enum hyperdock_code hyperdock_job_config(struct hyperdock_session *session, uint32_t job,
                                         const char **ret_json);
/* The job as `hd ask-tell` prints it. */
enum hyperdock_code hyperdock_job_json(struct hyperdock_session *session, uint32_t job,
                                       const char **ret_json);

/* One param of the job's config. HYPERDOCK_E_NOT_FOUND: no such param (the text names the nearest);
 * E_INVALID: it is of another type; E_INACTIVE: it has no value here. Choices and constants have
 * the type of their scalar; a whole number can be had as an int and as a double. A text lives as
 * long as the session. */
enum hyperdock_code hyperdock_get_double(struct hyperdock_session *session, uint32_t job,
                                         const char *name, double *ret_value);
enum hyperdock_code hyperdock_get_int(struct hyperdock_session *session, uint32_t job,
                                      const char *name, int64_t *ret_value);
enum hyperdock_code hyperdock_get_bool(struct hyperdock_session *session, uint32_t job,
                                       const char *name, int *ret_value);
enum hyperdock_code hyperdock_get_text(struct hyperdock_session *session, uint32_t job,
                                       const char *name, const char **ret_value);

#ifdef __cplusplus
}
#endif

#endif
