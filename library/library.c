/* SPDX-License-Identifier: Apache-2.0 */
/* library.c: the calls on a session: checks of what is handed in, and texts of what was wrong. */
#include "experiment.h"
#include "session.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define NO_ANSWER "there is nowhere to put the answer"

static enum hyperdock_code refuse(struct hyperdock_session *session, const char *text)
{
    return library_code(hd_fail(&session->err, HD_E_INVALID, "%s", text));
}

const char *hyperdock_error(const struct hyperdock_session *session)
{
    return session != NULL ? session->err.text : "there is no session: it is NULL";
}

/* ---- opening and saving --------------------------------------------------------------------- */

static enum hyperdock_code open_at(struct hyperdock_experiment *experiment, const char *path,
                                   bool keep, struct hyperdock_session **ret_session)
{
    struct hd_experiment *checked = NULL;
    struct hd_err err = {0};
    enum hd_code code = HD_OK;
    if (ret_session == NULL)
        code = hd_fail(&err, HD_E_INVALID, NO_ANSWER);
    bool empty = experiment->root == NULL && !experiment->has_seed;
    if (code == HD_OK && (path == NULL || !empty))
        code = experiment_finish(experiment, &checked, &err);
    if (code == HD_OK)
        code = session_open(checked, path, keep, ret_session, &err);
    hd_experiment_free(checked);
    if (code != HD_OK)
        experiment->err = err;
    return library_code(code);
}

enum hyperdock_code hyperdock_open(struct hyperdock_experiment *experiment, const char *path,
                                   struct hyperdock_session **ret_session)
{
    return experiment == NULL ? HYPERDOCK_E_INVALID : open_at(experiment, path, true, ret_session);
}

enum hyperdock_code hyperdock_load(struct hyperdock_experiment *experiment, const char *path,
                                   struct hyperdock_session **ret_session)
{
    if (experiment == NULL)
        return HYPERDOCK_E_INVALID;
    if (path == NULL)
        return library_code(hd_fail(&experiment->err, HD_E_INVALID, "the path is NULL"));
    return open_at(experiment, path, false, ret_session);
}

enum hyperdock_code hyperdock_save(struct hyperdock_session *session, const char *path)
{
    if (session == NULL)
        return HYPERDOCK_E_INVALID;
    if (path == NULL || path[0] == '\0')
        return refuse(session, "the path is empty");
    return library_code(session_save(session, path, &session->err));
}

void hyperdock_close(struct hyperdock_session *session)
{
    session_close(session);
}

/* ---- asking and telling --------------------------------------------------------------------- */

static bool maximizes(const struct hyperdock_session *session)
{
    struct hd_run_view run;
    hd_core_view_run(session->core, session->run, &run);
    return run.experiment->objective.maximize;
}

enum hyperdock_direction hyperdock_direction(const struct hyperdock_session *session)
{
    return session != NULL && maximizes(session) ? HYPERDOCK_MAXIMIZE : HYPERDOCK_MINIMIZE;
}

enum hyperdock_code hyperdock_ask(struct hyperdock_session *session,
                                  enum hyperdock_answer *ret_answer, uint32_t *ret_job)
{
    if (session == NULL)
        return HYPERDOCK_E_INVALID;
    if (ret_answer == NULL || ret_job == NULL)
        return refuse(session, NO_ANSWER);
    return library_code(session_ask(session, ret_answer, ret_job, &session->err));
}

const char *hyperdock_done_reason(const struct hyperdock_session *session)
{
    if (session == NULL)
        return "";
    struct hd_run_view run;
    hd_core_view_run(session->core, session->run, &run);
    return run.state == HD_RUN_FINISHED || run.state == HD_RUN_CANCELLED ? run.reason : "";
}

static const struct hd_experiment *experiment_of(const struct hyperdock_session *session)
{
    struct hd_run_view run;
    hd_core_view_run(session->core, session->run, &run);
    return run.experiment;
}

size_t hyperdock_measure_count(const struct hyperdock_session *session)
{
    if (session == NULL)
        return 0;
    size_t count = hd_experiment_measure_count(experiment_of(session));
    return count > 0 ? count : 1;
}

const char *hyperdock_measure_name(const struct hyperdock_session *session, size_t index)
{
    return index < hyperdock_measure_count(session)
               ? hd_experiment_measure_name(experiment_of(session), index)
               : NULL;
}

/* Of measure `index`, between what people see and what is minimized. */
static double turned(const struct hd_experiment *experiment, size_t index, double value)
{
    bool negative =
        index < experiment->objective_count && hd_experiment_objective(experiment, index)->maximize;
    return negative ? -value : value;
}

enum hyperdock_code hyperdock_tell_values(struct hyperdock_session *session, uint32_t job,
                                          const double *values, size_t count)
{
    if (session == NULL)
        return HYPERDOCK_E_INVALID;
    if (values == NULL)
        return refuse(session, "there are no values");
    const struct hd_experiment *experiment = experiment_of(session);
    size_t wanted = hyperdock_measure_count(session);
    if (count != wanted)
        return library_code(hd_fail(&session->err, HD_E_INVALID,
                                    "%zu values; the experiment has %zu objectives and constraints",
                                    count, wanted));
    double measures[HD_RESULT_MEASURES_MAX];
    for (size_t i = 0; i < count; i++)
        measures[i] = turned(experiment, i, values[i]);
    bool alone = hd_experiment_measure_count(experiment) == 0;
    return library_code(session_tell(session, job, HD_OUTCOME_OK, measures[0], measures,
                                     alone ? 0 : count, &session->err));
}

static bool outcome_of(enum hyperdock_outcome outcome, enum hd_outcome *ret_outcome)
{
    static const enum hd_outcome outcomes[] = {
        [HYPERDOCK_OUTCOME_OK] = HD_OUTCOME_OK,
        [HYPERDOCK_OUTCOME_FAILED] = HD_OUTCOME_FAILED,
        [HYPERDOCK_OUTCOME_DIVERGED] = HD_OUTCOME_DIVERGED,
        [HYPERDOCK_OUTCOME_TIMEOUT] = HD_OUTCOME_TIMEOUT,
        [HYPERDOCK_OUTCOME_OOM] = HD_OUTCOME_OOM,
        [HYPERDOCK_OUTCOME_NO_RESULT] = HD_OUTCOME_NO_RESULT,
        [HYPERDOCK_OUTCOME_CANCELLED] = HD_OUTCOME_CANCELLED,
        [HYPERDOCK_OUTCOME_STOPPED] = HD_OUTCOME_STOPPED,
    };
    if ((unsigned)outcome >= HD_COUNT(outcomes))
        return false;
    *ret_outcome = outcomes[outcome];
    return true;
}

enum hyperdock_code hyperdock_tell_outcome(struct hyperdock_session *session, uint32_t job,
                                           enum hyperdock_outcome outcome, double value)
{
    enum hd_outcome ended;
    if (session == NULL)
        return HYPERDOCK_E_INVALID;
    if (!outcome_of(outcome, &ended))
        return refuse(session, "there is no such outcome");
    if (ended == HD_OUTCOME_OK && hyperdock_measure_count(session) > 1)
        return library_code(hd_fail(&session->err, HD_E_INVALID,
                                    "one value; the experiment has %zu objectives and constraints",
                                    hyperdock_measure_count(session)));
    double loss = maximizes(session) ? -value : value;
    return library_code(session_tell(session, job, ended, loss, NULL, 0, &session->err));
}

enum hyperdock_code hyperdock_tell(struct hyperdock_session *session, uint32_t job, double value)
{
    return hyperdock_tell_outcome(session, job, HYPERDOCK_OUTCOME_OK, value);
}

enum hyperdock_code hyperdock_report(struct hyperdock_session *session, uint32_t job, double budget,
                                     double value, enum hyperdock_decision *ret_decision)
{
    if (session == NULL)
        return HYPERDOCK_E_INVALID;
    if (ret_decision == NULL)
        return refuse(session, NO_ANSWER);
    if (!isfinite(budget) || budget <= 0)
        return refuse(session, "the budget of a report must be finite and above 0");
    if (!isfinite(value))
        return refuse(session, "a report needs a finite number; a job whose value is not finite "
                               "is told as diverged");
    bool stop = false;
    double loss = maximizes(session) ? -value : value;
    enum hd_code code = session_report(session, job, budget, loss, &stop, &session->err);
    if (code == HD_OK)
        *ret_decision = stop ? HYPERDOCK_STOP : HYPERDOCK_CONTINUE;
    return library_code(code);
}

/* ---- looking -------------------------------------------------------------------------------- */

enum hyperdock_code hyperdock_best(struct hyperdock_session *session, uint32_t *ret_job,
                                   double *ret_value)
{
    if (session == NULL)
        return HYPERDOCK_E_INVALID;
    if (ret_job == NULL)
        return refuse(session, NO_ANSWER);
    struct hd_run_view run;
    hd_core_view_run(session->core, session->run, &run);
    if (!run.has_incumbent)
        return library_code(hd_fail(&session->err, HD_E_NOTFOUND, "no job has a value yet"));
    *ret_job = run.incumbent_job;
    if (ret_value != NULL)
        *ret_value = run.experiment->objective.maximize ? -run.incumbent_loss : run.incumbent_loss;
    return HYPERDOCK_OK;
}

enum hyperdock_code hyperdock_best_error(struct hyperdock_session *session, double *ret_error,
                                         uint32_t *ret_results)
{
    if (session == NULL)
        return HYPERDOCK_E_INVALID;
    if (ret_error == NULL)
        return refuse(session, NO_ANSWER);
    struct hd_run_view run;
    hd_core_view_run(session->core, session->run, &run);
    if (!run.has_incumbent)
        return library_code(hd_fail(&session->err, HD_E_NOTFOUND, "no job has a value yet"));
    *ret_error = run.incumbent_error;
    if (ret_results != NULL)
        *ret_results = run.incumbent_results;
    return HYPERDOCK_OK;
}

/* The jobs of the highest budget as rows; their numbers. */
static size_t gather_rows(const struct hyperdock_session *session, double budget,
                          struct hd_pareto_row *rows, uint32_t *numbers)
{
    size_t count = 0;
    for (uint32_t job = 0; job < session->measure_capacity; job++) {
        const struct session_measures *measures = session_measures_of(session, job);
        if (measures == NULL || measures->budget != budget)
            continue;
        rows[count] =
            (struct hd_pareto_row){.losses = measures->values, .violation = measures->violation};
        numbers[count++] = job;
    }
    return count;
}

static int by_number(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return (x > y) - (x < y);
}

static size_t find_front(const struct hyperdock_session *session, double budget,
                         struct hd_pareto_row *rows, uint32_t *numbers, uint32_t *ret_jobs)
{
    size_t count = gather_rows(session, budget, rows, numbers), front = 0;
    hd_pareto_order(rows, count, experiment_of(session)->objective_count);
    for (; front < count && rows[front].rank == 0; front++)
        ret_jobs[front] = numbers[rows[front].index];
    qsort(ret_jobs, front, sizeof(*ret_jobs), by_number);
    return front;
}

enum hyperdock_code hyperdock_front(struct hyperdock_session *session, uint32_t *jobs,
                                    size_t capacity, size_t *ret_count)
{
    if (session == NULL)
        return HYPERDOCK_E_INVALID;
    if (ret_count == NULL || (jobs == NULL && capacity > 0))
        return refuse(session, NO_ANSWER);
    struct hd_run_view run;
    hd_core_view_run(session->core, session->run, &run);
    size_t most = run.experiment->objective_count > 1 ? session->measure_capacity : 1;
    struct hd_pareto_row *rows = hd_calloc(most + 1, sizeof(*rows));
    uint32_t *numbers = hd_calloc(2 * most + 2, sizeof(*numbers));
    uint32_t *found = numbers != NULL ? numbers + most + 1 : NULL;
    enum hd_code code = HD_OK;
    size_t count = 0;
    if (rows == NULL || numbers == NULL)
        code = hd_fail(&session->err, HD_E_NOMEM, "no memory for the front");
    else if (run.has_incumbent && run.experiment->objective_count > 1)
        count = find_front(session, run.incumbent_budget, rows, numbers, found);
    else if (run.has_incumbent)
        found[count++] = run.incumbent_job;
    if (code == HD_OK) {
        size_t copied = count < capacity ? count : capacity;
        if (copied > 0)
            memcpy(jobs, found, copied * sizeof(*jobs));
        *ret_count = count;
    }
    hd_free(rows);
    hd_free(numbers);
    return library_code(code);
}

enum hyperdock_code hyperdock_job_values(struct hyperdock_session *session, uint32_t job,
                                         double *values, size_t capacity, size_t *ret_count,
                                         int *ret_feasible)
{
    if (session == NULL)
        return HYPERDOCK_E_INVALID;
    if (ret_count == NULL || (values == NULL && capacity > 0))
        return refuse(session, NO_ANSWER);
    const struct session_measures *measures = session_measures_of(session, job);
    if (measures == NULL)
        return library_code(hd_fail(&session->err, HD_E_NOTFOUND, "job %u has no value", job));
    size_t count = hyperdock_measure_count(session);
    for (size_t i = 0; i < count && i < capacity; i++)
        values[i] = turned(experiment_of(session), i, measures->values[i]);
    *ret_count = count;
    if (ret_feasible != NULL)
        *ret_feasible = measures->violation > 0 ? 0 : 1;
    return HYPERDOCK_OK;
}

enum hyperdock_code hyperdock_pending(struct hyperdock_session *session, uint32_t *jobs,
                                      size_t capacity, size_t *ret_count)
{
    if (session == NULL)
        return HYPERDOCK_E_INVALID;
    if (ret_count == NULL || (jobs == NULL && capacity > 0))
        return refuse(session, NO_ANSWER);
    size_t count = session->held_count < capacity ? session->held_count : capacity;
    if (count > 0)
        memcpy(jobs, session->held, count * sizeof(*jobs));
    *ret_count = session->held_count;
    return HYPERDOCK_OK;
}

uint32_t hyperdock_job_count(const struct hyperdock_session *session)
{
    if (session == NULL)
        return 0;
    struct hd_run_view run;
    hd_core_view_run(session->core, session->run, &run);
    return run.job_count;
}
