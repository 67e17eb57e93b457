/* SPDX-License-Identifier: Apache-2.0 */
/* ask_tell_line.c: a line becomes a call of the library, its answer a JSON object. */
#include "ask_tell.h"

#include <hd/fact.h>
#include <hd/value.h>

#include <inttypes.h>
#include <math.h>

#define OPS "ask, tell, report, best, front or pending"

/* What the library refused, with its words. */
static enum hyperdock_code failed(const struct hyperdock_session *session, enum hyperdock_code code,
                                  struct hd_err *err)
{
    if (code != HYPERDOCK_OK)
        (void)hd_fail(err, HD_E_INVALID, "%s", hyperdock_error(session));
    return code;
}

static enum hyperdock_code refuse(struct hd_err *err, const char *text)
{
    (void)hd_fail(err, HD_E_INVALID, "%s", text);
    return HYPERDOCK_E_INVALID;
}

/* The output has a limit that no answer of a session reaches: what fails is memory. */
static enum hyperdock_code written(enum hd_code code)
{
    return code == HD_OK ? HYPERDOCK_OK : HYPERDOCK_E_NOMEM;
}

static enum hyperdock_code write_job(struct hyperdock_session *session, uint32_t job,
                                     struct hd_buf *out, struct hd_err *err)
{
    const char *json;
    enum hyperdock_code code = failed(session, hyperdock_job_json(session, job, &json), err);
    return code == HYPERDOCK_OK ? written(hd_buf_puts(out, json, err)) : code;
}

static enum hyperdock_code op_ask(struct hyperdock_session *session, struct hd_buf *out,
                                  struct hd_err *err)
{
    enum hyperdock_answer answer;
    uint32_t job;
    enum hyperdock_code code = failed(session, hyperdock_ask(session, &answer, &job), err);
    if (code != HYPERDOCK_OK)
        return code;
    switch (answer) {
    case HYPERDOCK_ASK_JOB:
        return write_job(session, job, out, err);
    case HYPERDOCK_ASK_WAIT:
        return written(hd_buf_puts(out, "{\"wait\":true}", err));
    case HYPERDOCK_ASK_DONE:
        break;
    }
    enum hd_code done = hd_buf_puts(out, "{\"done\":true,\"reason\":", err);
    if (done == HD_OK)
        done = hd_json_write_string(hyperdock_done_reason(session), out, err);
    return written(done == HD_OK ? hd_buf_puts(out, "}", err) : done);
}

static enum hyperdock_code job_of(const struct hyperdock_session *session,
                                  const struct hd_value *line, const char *op, uint32_t *ret_job,
                                  struct hd_err *err)
{
    const struct hd_value *number = hd_value_get(line, "job");
    if (number == NULL || number->kind != HD_VALUE_INT) {
        (void)hd_fail(err, HD_E_INVALID, "%s needs a job number", op);
        return HYPERDOCK_E_INVALID;
    }
    if (number->as.integer < 0 || number->as.integer > UINT32_MAX) {
        (void)hd_fail(err, HD_E_NOTFOUND, "there is no job %" PRId64 " (%u so far)",
                      number->as.integer, hyperdock_job_count(session));
        return HYPERDOCK_E_NOT_FOUND;
    }
    *ret_job = (uint32_t)number->as.integer;
    return HYPERDOCK_OK;
}

/* "loss" is minimized whatever the direction, "value" is as the person sees it. Without either
 * ret_given is false. */
static enum hyperdock_code value_of(const struct hyperdock_session *session,
                                    const struct hd_value *line, bool *ret_given, double *ret_value,
                                    struct hd_err *err)
{
    const struct hd_value *loss = hd_value_get(line, "loss");
    const struct hd_value *value = loss != NULL ? loss : hd_value_get(line, "value");
    *ret_given = value != NULL;
    *ret_value = NAN;
    if (value == NULL)
        return HYPERDOCK_OK;
    if (!hd_value_is_number(value))
        return refuse(err, loss != NULL ? "loss must be a number" : "value must be a number");
    bool turn = loss != NULL && hyperdock_direction(session) == HYPERDOCK_MAXIMIZE;
    *ret_value = turn ? -hd_value_number(value) : hd_value_number(value);
    return HYPERDOCK_OK;
}

/* {"values": {"error": 0.1, "seconds": 3}} or a list in the order of the experiment. */
static enum hyperdock_code tell_values(struct hyperdock_session *session, uint32_t job,
                                       const struct hd_value *given, struct hd_err *err)
{
    double values[HYPERDOCK_MEASURES_MAX];
    size_t count = hyperdock_measure_count(session);
    bool list = given->kind == HD_VALUE_ARRAY;
    if (!list && given->kind != HD_VALUE_OBJECT)
        return refuse(err, "values must be an object with the names of the objectives and "
                           "constraints, or a list in their order");
    if (list && given->as.array.count != count) {
        (void)hd_fail(err, HD_E_INVALID,
                      "%zu values; the experiment has %zu objectives and constraints",
                      given->as.array.count, count);
        return HYPERDOCK_E_INVALID;
    }
    for (size_t i = 0; i < count; i++) {
        const char *name = hyperdock_measure_name(session, i);
        const struct hd_value *item = list ? given->as.array.items[i] : hd_value_get(given, name);
        if (!hd_value_is_number(item)) {
            (void)hd_fail(err, HD_E_INVALID, "values need a number for \"%.200s\"", name);
            return HYPERDOCK_E_INVALID;
        }
        values[i] = hd_value_number(item);
    }
    return failed(session, hyperdock_tell_values(session, job, values, count), err);
}

static bool outcome_of(const struct hd_value *state, enum hyperdock_outcome *ret_outcome)
{
    static const struct {
        enum hd_outcome inner;
        enum hyperdock_outcome outer;
    } outcomes[] = {
        {HD_OUTCOME_OK, HYPERDOCK_OUTCOME_OK},
        {HD_OUTCOME_FAILED, HYPERDOCK_OUTCOME_FAILED},
        {HD_OUTCOME_DIVERGED, HYPERDOCK_OUTCOME_DIVERGED},
        {HD_OUTCOME_TIMEOUT, HYPERDOCK_OUTCOME_TIMEOUT},
        {HD_OUTCOME_OOM, HYPERDOCK_OUTCOME_OOM},
        {HD_OUTCOME_NO_RESULT, HYPERDOCK_OUTCOME_NO_RESULT},
        {HD_OUTCOME_CANCELLED, HYPERDOCK_OUTCOME_CANCELLED},
        {HD_OUTCOME_STOPPED, HYPERDOCK_OUTCOME_STOPPED},
    };
    enum hd_outcome inner;
    if (state->kind != HD_VALUE_STRING || !hd_outcome_parse(state->as.string, &inner))
        return false;
    for (size_t i = 0; i < HD_COUNT(outcomes); i++)
        if (outcomes[i].inner == inner) {
            *ret_outcome = outcomes[i].outer;
            return true;
        }
    return false;
}

static enum hyperdock_code op_tell(struct hyperdock_session *session, const struct hd_value *line,
                                   struct hd_buf *out, struct hd_err *err)
{
    uint32_t job;
    bool given;
    double value;
    enum hyperdock_outcome outcome = HYPERDOCK_OUTCOME_OK;
    const struct hd_value *state = hd_value_get(line, "state");
    enum hyperdock_code code = job_of(session, line, "tell", &job, err);
    if (code == HYPERDOCK_OK)
        code = value_of(session, line, &given, &value, err);
    if (code != HYPERDOCK_OK)
        return code;
    if (state != NULL && !outcome_of(state, &outcome))
        return refuse(err, "state must be ok, failed, diverged, timeout, oom, "
                           "no-result, cancelled or stopped");
    const struct hd_value *values = hd_value_get(line, "values");
    if (outcome == HYPERDOCK_OUTCOME_OK && values != NULL) {
        code = tell_values(session, job, values, err);
        return code == HYPERDOCK_OK ? written(hd_buf_puts(out, "{\"ok\":true}", err)) : code;
    }
    if (outcome == HYPERDOCK_OUTCOME_OK && !given)
        return refuse(err,
                      state != NULL
                          ? "state ok needs a loss"
                          : "tell needs a loss (or value; of several objectives or constraints "
                            "\"values\", a map of all), or a state");
    code = failed(session, hyperdock_tell_outcome(session, job, outcome, value), err);
    return code == HYPERDOCK_OK ? written(hd_buf_puts(out, "{\"ok\":true}", err)) : code;
}

static enum hyperdock_code op_report(struct hyperdock_session *session, const struct hd_value *line,
                                     struct hd_buf *out, struct hd_err *err)
{
    uint32_t job;
    bool given;
    double value;
    enum hyperdock_decision decision;
    const struct hd_value *budget = hd_value_get(line, "budget");
    enum hyperdock_code code = job_of(session, line, "report", &job, err);
    if (code == HYPERDOCK_OK)
        code = value_of(session, line, &given, &value, err);
    if (code != HYPERDOCK_OK)
        return code;
    if (!given || !hd_value_is_number(budget))
        return refuse(err, "report needs a budget and a loss (or value)");
    code = failed(session,
                  hyperdock_report(session, job, hd_value_number(budget), value, &decision), err);
    if (code != HYPERDOCK_OK)
        return code;
    return written(hd_buf_puts(
        out, decision == HYPERDOCK_STOP ? "{\"decision\":\"stop\"}" : "{\"decision\":\"continue\"}",
        err));
}

/* Of a noisy target, as soon as its noise is known. */
static enum hd_code write_error(struct hyperdock_session *session, struct hd_buf *out,
                                struct hd_err *err)
{
    double error;
    uint32_t results;
    char text[HD_DOUBLE_TEXT_SIZE];
    if (hyperdock_best_error(session, &error, &results) != HYPERDOCK_OK || isnan(error))
        return HD_OK;
    hd_format_double(text, sizeof(text), error);
    return hd_buf_printf(out, err, ",\"error\":%s,\"results\":%u", text, results);
}

static enum hyperdock_code op_best(struct hyperdock_session *session, struct hd_buf *out,
                                   struct hd_err *err)
{
    uint32_t job;
    double value, budget;
    const char *config;
    char budget_text[HD_DOUBLE_TEXT_SIZE], loss_text[HD_DOUBLE_TEXT_SIZE];
    enum hyperdock_code code = hyperdock_best(session, &job, &value);
    if (code == HYPERDOCK_E_NOT_FOUND)
        return written(hd_buf_puts(out, "{\"config\":null,\"budget\":null,\"loss\":null}", err));
    if (code == HYPERDOCK_OK)
        code = hyperdock_job_budget(session, job, &budget, NULL);
    if (code == HYPERDOCK_OK)
        code = hyperdock_job_config(session, job, &config);
    if (code != HYPERDOCK_OK)
        return failed(session, code, err);
    hd_format_double(budget_text, sizeof(budget_text), budget);
    hd_format_double(loss_text, sizeof(loss_text),
                     hyperdock_direction(session) == HYPERDOCK_MAXIMIZE ? -value : value);
    enum hd_code wrote =
        hd_buf_printf(out, err, "{\"config\":%s,\"budget\":%s,\"loss\":%s,\"job\":%u", config,
                      budget_text, loss_text, job);
    if (wrote == HD_OK)
        wrote = write_error(session, out, err);
    return written(wrote == HD_OK ? hd_buf_puts(out, "}", err) : wrote);
}

/* Each job of the front with what it measured. */
static enum hyperdock_code write_front_job(struct hyperdock_session *session, uint32_t job,
                                           struct hd_buf *out, struct hd_err *err)
{
    double values[HYPERDOCK_MEASURES_MAX], budget;
    size_t count;
    int feasible;
    const char *config;
    char text[HD_DOUBLE_TEXT_SIZE];
    enum hyperdock_code code =
        hyperdock_job_values(session, job, values, HYPERDOCK_MEASURES_MAX, &count, &feasible);
    if (code == HYPERDOCK_OK)
        code = hyperdock_job_budget(session, job, &budget, NULL);
    if (code == HYPERDOCK_OK)
        code = hyperdock_job_config(session, job, &config);
    if (code != HYPERDOCK_OK)
        return failed(session, code, err);
    hd_format_double(text, sizeof(text), budget);
    enum hd_code done =
        hd_buf_printf(out, err, "{\"config\":%s,\"budget\":%s,\"values\":{", config, text);
    for (size_t i = 0; i < count && done == HD_OK; i++) {
        hd_format_double(text, sizeof(text), values[i]);
        done = i > 0 ? hd_buf_puts(out, ",", err) : HD_OK;
        if (done == HD_OK)
            done = hd_json_write_string(hyperdock_measure_name(session, i), out, err);
        if (done == HD_OK)
            done = hd_buf_printf(out, err, ":%s", text);
    }
    if (done == HD_OK)
        done = hd_buf_printf(out, err, "},\"feasible\":%s,\"job\":%u}",
                             feasible != 0 ? "true" : "false", job);
    return written(done);
}

static enum hyperdock_code op_front(struct hyperdock_session *session, struct hd_buf *out,
                                    struct hd_err *err)
{
    size_t count;
    enum hyperdock_code code = failed(session, hyperdock_front(session, NULL, 0, &count), err);
    if (code != HYPERDOCK_OK)
        return code;
    uint32_t *jobs = hd_calloc(count + 1, sizeof(*jobs));
    if (jobs == NULL) {
        (void)hd_fail(err, HD_E_NOMEM, "no memory for %zu jobs", count);
        return HYPERDOCK_E_NOMEM;
    }
    code = failed(session, hyperdock_front(session, jobs, count, &count), err);
    if (code == HYPERDOCK_OK)
        code = written(hd_buf_puts(out, "{\"front\":[", err));
    for (size_t i = 0; code == HYPERDOCK_OK && i < count; i++) {
        if (i > 0)
            code = written(hd_buf_puts(out, ",", err));
        if (code == HYPERDOCK_OK)
            code = write_front_job(session, jobs[i], out, err);
    }
    hd_free(jobs);
    return code == HYPERDOCK_OK ? written(hd_buf_puts(out, "]}", err)) : code;
}

static enum hyperdock_code op_pending(struct hyperdock_session *session, struct hd_buf *out,
                                      struct hd_err *err)
{
    size_t count;
    enum hyperdock_code code = failed(session, hyperdock_pending(session, NULL, 0, &count), err);
    if (code != HYPERDOCK_OK)
        return code;
    uint32_t *jobs = hd_calloc(count + 1, sizeof(*jobs));
    if (jobs == NULL) {
        (void)hd_fail(err, HD_E_NOMEM, "no memory for %zu pending jobs", count);
        return HYPERDOCK_E_NOMEM;
    }
    code = hyperdock_pending(session, jobs, count, &count);
    if (code == HYPERDOCK_OK)
        code = written(hd_buf_puts(out, "{\"pending\":[", err));
    for (size_t i = 0; code == HYPERDOCK_OK && i < count; i++) {
        if (i > 0)
            code = written(hd_buf_puts(out, ",", err));
        if (code == HYPERDOCK_OK)
            code = write_job(session, jobs[i], out, err);
    }
    hd_free(jobs);
    return code == HYPERDOCK_OK ? written(hd_buf_puts(out, "]}", err)) : code;
}

static enum hyperdock_code obey(struct hyperdock_session *session, const struct hd_value *line,
                                struct hd_buf *out, struct hd_err *err)
{
    const struct hd_value *op = hd_value_get(line, "op");
    if (op == NULL || op->kind != HD_VALUE_STRING)
        return refuse(err, "a line is an object with \"op\": " OPS);
    if (hd_streq(op->as.string, "ask"))
        return op_ask(session, out, err);
    if (hd_streq(op->as.string, "tell"))
        return op_tell(session, line, out, err);
    if (hd_streq(op->as.string, "report"))
        return op_report(session, line, out, err);
    if (hd_streq(op->as.string, "best"))
        return op_best(session, out, err);
    if (hd_streq(op->as.string, "front"))
        return op_front(session, out, err);
    if (hd_streq(op->as.string, "pending"))
        return op_pending(session, out, err);
    (void)hd_fail(err, HD_E_INVALID, "unknown op \"%.40s\": " OPS, op->as.string);
    return HYPERDOCK_E_INVALID;
}

static bool ends_session(enum hyperdock_code code)
{
    return code == HYPERDOCK_E_IO || code == HYPERDOCK_E_FULL || code == HYPERDOCK_E_CORRUPT ||
           code == HYPERDOCK_E_NOMEM;
}

enum hyperdock_code ask_tell_line(struct hyperdock_session *session, const char *text, size_t size,
                                  struct hd_buf *out, struct hd_err *err)
{
    struct hd_value *line = NULL;
    hd_buf_clear(out);
    enum hd_code parsed = hd_json_parse(text, size, "line", &hd_value_limits_target, &line, err);
    enum hyperdock_code code = parsed == HD_E_NOMEM ? HYPERDOCK_E_NOMEM : HYPERDOCK_E_INVALID;
    if (parsed == HD_OK)
        code = obey(session, line, out, err);
    hd_value_free(line);
    if (code == HYPERDOCK_OK || ends_session(code))
        return code;
    hd_buf_clear(out);
    struct hd_err ignored;
    enum hd_code answered = hd_buf_puts(out, "{\"error\":", &ignored);
    if (answered == HD_OK)
        answered = hd_json_write_string(err->text, out, &ignored);
    return written(answered == HD_OK ? hd_buf_puts(out, "}", &ignored) : answered);
}
