/* SPDX-License-Identifier: Apache-2.0 */
/* rows.c: the columns of every kind of fact. */
#include "rows.h"

#include <string.h>

#define COLUMN(part, field, column, kind)                                                          \
    {                                                                                              \
        .name = column, .type = kind, .offset = offsetof(struct hd_fact, as.part.field),           \
    }

static const struct hd_column run_created[] = {
    COLUMN(run_created, run_id, "run_id", HD_COLUMN_TEXT),
    COLUMN(run_created, run_uid, "run_uid", HD_COLUMN_U64),
    COLUMN(run_created, seed, "seed", HD_COLUMN_U64),
    COLUMN(run_created, experiment_json, "experiment", HD_COLUMN_JSON),
    COLUMN(run_created, known_json, "known", HD_COLUMN_JSON),
};

static const struct hd_column config_proposed[] = {
    COLUMN(config_proposed, config, "config", HD_COLUMN_U32),
    COLUMN(config_proposed, id.iteration, "iteration", HD_COLUMN_U32),
    COLUMN(config_proposed, id.budget_index, "budget_index", HD_COLUMN_U32),
    COLUMN(config_proposed, id.running_index, "running_index", HD_COLUMN_U32),
    {
        .name = "values_f64",
        .type = HD_COLUMN_DOUBLES,
        .offset = offsetof(struct hd_fact, as.config_proposed.values),
        .count_offset = offsetof(struct hd_fact, as.config_proposed.value_count),
    },
    COLUMN(config_proposed, params_json, "params", HD_COLUMN_JSON),
    COLUMN(config_proposed, info.sampler, "sampler", HD_COLUMN_NAME),
    COLUMN(config_proposed, info.model, "model", HD_COLUMN_BOOL),
    COLUMN(config_proposed, info.model_budget, "model_budget", HD_COLUMN_REAL),
    COLUMN(config_proposed, info.model_count, "model_count", HD_COLUMN_U32),
    COLUMN(config_proposed, cut, "cut", HD_COLUMN_U64),
};

static const struct hd_column job_queued[] = {
    COLUMN(job_queued, job, "job", HD_COLUMN_U32),
    COLUMN(job_queued, config, "config", HD_COLUMN_U32),
    COLUMN(job_queued, iteration, "iteration", HD_COLUMN_U32),
    COLUMN(job_queued, rung, "rung", HD_COLUMN_U32),
    COLUMN(job_queued, budget, "budget", HD_COLUMN_REAL),
    COLUMN(job_queued, budget_previous, "budget_previous", HD_COLUMN_REAL),
    COLUMN(job_queued, repeat, "repeat", HD_COLUMN_U32),
    COLUMN(job_queued, again, "again", HD_COLUMN_U32_LESS),
};

static const struct hd_column attempt_leased[] = {
    COLUMN(attempt_leased, job, "job", HD_COLUMN_U32),
    COLUMN(attempt_leased, attempt, "attempt", HD_COLUMN_U32),
    COLUMN(attempt_leased, worker, "worker", HD_COLUMN_TEXT),
    COLUMN(attempt_leased, incarnation, "incarnation", HD_COLUMN_U64),
    COLUMN(attempt_leased, sequence, "sequence", HD_COLUMN_U64),
    COLUMN(attempt_leased, root, "root", HD_COLUMN_TEXT),
    COLUMN(attempt_leased, directory, "directory", HD_COLUMN_TEXT),
    COLUMN(attempt_leased, budget_previous, "budget_previous", HD_COLUMN_REAL),
};

static const struct hd_column curve_point[] = {
    COLUMN(curve_point, job, "job", HD_COLUMN_U32),
    COLUMN(curve_point, attempt, "attempt", HD_COLUMN_U32),
    COLUMN(curve_point, step, "step", HD_COLUMN_REAL),
    COLUMN(curve_point, loss, "loss", HD_COLUMN_REAL),
};

static const struct hd_column attempt_ended[] = {
    COLUMN(attempt_ended, job, "job", HD_COLUMN_U32),
    COLUMN(attempt_ended, attempt, "attempt", HD_COLUMN_U32_OR_NULL),
    COLUMN(attempt_ended, outcome, "outcome", HD_COLUMN_OUTCOME),
    COLUMN(attempt_ended, requeued, "requeued", HD_COLUMN_BOOL),
    COLUMN(attempt_ended, charged, "charged", HD_COLUMN_BOOL),
    COLUMN(attempt_ended, loss, "loss", HD_COLUMN_REAL),
    {
        .name = "measures",
        .type = HD_COLUMN_NUMBERS,
        .offset = offsetof(struct hd_fact, as.attempt_ended.measures),
        .count_offset = offsetof(struct hd_fact, as.attempt_ended.measure_count),
    },
    COLUMN(attempt_ended, violation, "violation", HD_COLUMN_REAL),
    COLUMN(attempt_ended, by_report, "by_report", HD_COLUMN_BOOL),
    COLUMN(attempt_ended, worker, "worker", HD_COLUMN_TEXT),
    COLUMN(attempt_ended, incarnation, "incarnation", HD_COLUMN_U64),
    COLUMN(attempt_ended, sequence, "sequence", HD_COLUMN_U64),
    COLUMN(attempt_ended, started_wall_ms, "started_wall_ms", HD_COLUMN_I64),
    COLUMN(attempt_ended, finished_wall_ms, "finished_wall_ms", HD_COLUMN_I64),
    COLUMN(attempt_ended, exit_code, "exit_code", HD_COLUMN_I32),
    COLUMN(attempt_ended, message, "message", HD_COLUMN_TEXT),
    COLUMN(attempt_ended, info_json, "info", HD_COLUMN_JSON),
    COLUMN(attempt_ended, root, "root", HD_COLUMN_TEXT),
    COLUMN(attempt_ended, directory, "directory", HD_COLUMN_TEXT),
    COLUMN(attempt_ended, rule, "rule", HD_COLUMN_U32),
    COLUMN(attempt_ended, label, "label", HD_COLUMN_TEXT),
    COLUMN(attempt_ended, image_id, "image_id", HD_COLUMN_TEXT),
    COLUMN(attempt_ended, graphs_json, "graphs", HD_COLUMN_JSON),
};

static const struct hd_column report_refused[] = {
    COLUMN(report_refused, job, "job", HD_COLUMN_U32),
    COLUMN(report_refused, attempt, "attempt", HD_COLUMN_U32),
    COLUMN(report_refused, outcome, "outcome", HD_COLUMN_OUTCOME),
    COLUMN(report_refused, loss, "loss", HD_COLUMN_REAL),
    COLUMN(report_refused, worker, "worker", HD_COLUMN_TEXT),
    COLUMN(report_refused, incarnation, "incarnation", HD_COLUMN_U64),
    COLUMN(report_refused, sequence, "sequence", HD_COLUMN_U64),
    COLUMN(report_refused, reason, "reason", HD_COLUMN_TEXT),
};

static const struct hd_column command_given[] = {
    COLUMN(command_given, op, "op", HD_COLUMN_OP),
    COLUMN(command_given, job, "job", HD_COLUMN_U32),
    COLUMN(command_given, reason, "reason", HD_COLUMN_TEXT),
    COLUMN(command_given, limit, "limit_name", HD_COLUMN_LIMIT),
    COLUMN(command_given, value, "value", HD_COLUMN_REAL),
    COLUMN(command_given, image, "image", HD_COLUMN_TEXT),
};

static const struct hd_column run_state[] = {
    COLUMN(run_state, state, "state", HD_COLUMN_STATE),
    COLUMN(run_state, reason, "reason", HD_COLUMN_TEXT),
};

static const struct hd_column worker_state[] = {
    COLUMN(worker_state, worker, "worker", HD_COLUMN_TEXT),
    COLUMN(worker_state, state, "state", HD_COLUMN_WORKER_STATE),
    COLUMN(worker_state, reason, "reason", HD_COLUMN_TEXT),
};

#define TABLE(title, list)                                                                         \
    {                                                                                              \
        .name = title, .columns = list, .column_count = HD_COUNT(list)                             \
    }
static const struct hd_table tables[HD_FACT_KIND_COUNT] = {
    [HD_FACT_RUN_CREATED] = TABLE("runs", run_created),
    [HD_FACT_CONFIG_PROPOSED] = TABLE("configs", config_proposed),
    [HD_FACT_JOB_QUEUED] = TABLE("jobs", job_queued),
    [HD_FACT_ATTEMPT_LEASED] = TABLE("attempts", attempt_leased),
    [HD_FACT_CURVE_POINT] = TABLE("curve_points", curve_point),
    [HD_FACT_ATTEMPT_ENDED] = TABLE("attempt_ends", attempt_ended),
    [HD_FACT_REPORT_REFUSED] = TABLE("refused_reports", report_refused),
    [HD_FACT_COMMAND_GIVEN] = TABLE("commands", command_given),
    [HD_FACT_RUN_STATE] = TABLE("run_states", run_state),
    [HD_FACT_WORKER_STATE] = TABLE("worker_states", worker_state),
};

const struct hd_table *hd_table_of(enum hd_fact_kind kind)
{
    hd_assert((unsigned)kind < HD_FACT_KIND_COUNT);
    return &tables[kind];
}

/* A new member needs a word in a CHECK of schema.sql, so a migration. */
_Static_assert(HD_OUTCOME_COUNT == 11 && HD_RUN_STATE_COUNT == 5 && HD_COMMAND_OP_COUNT == 11 &&
                   HD_FACT_KIND_COUNT == 10 && HD_WORKER_STATE_COUNT == 5 && HD_LIMIT_COUNT == 11,
               "the file format lists these enums");

unsigned hd_column_word_count(enum hd_column_type type)
{
    if (type == HD_COLUMN_OUTCOME)
        return HD_OUTCOME_COUNT;
    if (type == HD_COLUMN_STATE)
        return HD_RUN_STATE_COUNT;
    if (type == HD_COLUMN_LIMIT)
        return HD_LIMIT_COUNT;
    if (type == HD_COLUMN_WORKER_STATE)
        return HD_WORKER_STATE_COUNT;
    hd_assert(type == HD_COLUMN_OP);
    return HD_COMMAND_OP_COUNT;
}

const char *hd_column_word(enum hd_column_type type, unsigned number)
{
    if (type == HD_COLUMN_OUTCOME)
        return hd_outcome_name((enum hd_outcome)number);
    if (type == HD_COLUMN_STATE)
        return hd_run_state_name((enum hd_run_state)number);
    if (type == HD_COLUMN_LIMIT)
        return hd_limit_name((enum hd_limit)number);
    if (type == HD_COLUMN_WORKER_STATE)
        return hd_worker_state_name((enum hd_worker_state)number);
    hd_assert(type == HD_COLUMN_OP);
    return hd_command_op_name((enum hd_command_op)number);
}

static enum hd_code check_column(const struct hd_fact *fact, const struct hd_column *column,
                                 struct hd_err *err)
{
    const char *field = (const char *)fact + column->offset;
    switch (column->type) {
    case HD_COLUMN_TEXT:
    case HD_COLUMN_JSON: {
        const char *text = *(const char *const *)(const void *)field;
        if (text != NULL && strnlen(text, HD_STORE_TEXT_MAX + 1) > HD_STORE_TEXT_MAX)
            return hd_fail(err, HD_E_LIMIT, "%s is longer than %u bytes", column->name,
                           HD_STORE_TEXT_MAX);
        return HD_OK;
    }
    case HD_COLUMN_DOUBLES:
    case HD_COLUMN_NUMBERS: {
        size_t count = *(const size_t *)(const void *)((const char *)fact + column->count_offset);
        if (count > HD_SPACE_PARAMS_MAX)
            return hd_fail(err, HD_E_LIMIT, "%s: %zu values; at most %d", column->name, count,
                           HD_SPACE_PARAMS_MAX);
        return HD_OK;
    }
    case HD_COLUMN_OUTCOME:
    case HD_COLUMN_STATE:
    case HD_COLUMN_OP:
    case HD_COLUMN_LIMIT:
    case HD_COLUMN_WORKER_STATE: {
        unsigned number;
        memcpy(&number, field, sizeof(number));
        if (number >= hd_column_word_count(column->type))
            return hd_fail(err, HD_E_INVALID, "no such %s: %u", column->name, number);
        return HD_OK;
    }
    case HD_COLUMN_NAME:
        if (memchr(field, '\0', HD_SAMPLER_NAME_MAX) == NULL)
            return hd_fail(err, HD_E_LIMIT, "the sampler's name is longer than %d characters",
                           HD_SAMPLER_NAME_MAX - 1);
        return HD_OK;
    case HD_COLUMN_BOOL:
    case HD_COLUMN_I32:
    case HD_COLUMN_U32:
    case HD_COLUMN_U32_OR_NULL:
    case HD_COLUMN_U32_LESS:
    case HD_COLUMN_I64:
    case HD_COLUMN_U64:
    case HD_COLUMN_REAL:
        return HD_OK;
    }
    hd_assert(false);
    return HD_OK;
}

enum hd_code hd_fact_check(const struct hd_fact *fact, uint64_t last_seq, struct hd_err *err)
{
    if (fact->seq != last_seq + 1)
        return hd_fail(err, HD_E_INVALID, "fact %llu does not continue a store that ends with %llu",
                       (unsigned long long)fact->seq, (unsigned long long)last_seq);
    if ((unsigned)fact->kind >= HD_FACT_KIND_COUNT)
        return hd_fail(err, HD_E_INVALID, "fact %llu: no such kind: %u",
                       (unsigned long long)fact->seq, (unsigned)fact->kind);
    const struct hd_table *table = hd_table_of(fact->kind);
    for (size_t i = 0; i < table->column_count; i++) {
        enum hd_code code = check_column(fact, &table->columns[i], err);
        if (code != HD_OK)
            return code;
    }
    return HD_OK;
}
