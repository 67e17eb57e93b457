/* SPDX-License-Identifier: Apache-2.0 */
#include "story.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include <hd/experiment.h>
#include <hd/store.h>

#include "testlib.h"

#define START_WALL_MS INT64_C(1767225600000) /* 2026-01-01T00:00:00Z */
#define UNKNOWN ((double)NAN)

struct pen {
    struct hd_store *store;
    int64_t wall_ms;
};

/* Each fact ten seconds after the one before. */
static void put(struct pen *pen, uint32_t run, struct hd_fact fact)
{
    struct hd_err err;
    fact.seq = hd_store_last_seq(pen->store) + 1;
    fact.run = run;
    fact.wall_ms = pen->wall_ms;
    pen->wall_ms += 10000;
    assert_hd_ok(hd_store_append(pen->store, &fact, 1, &err));
}

static void create(struct pen *pen, uint32_t run, const char *run_id, const char *experiment)
{
    struct hd_err err;
    struct hd_experiment *parsed = NULL;
    struct hd_buf text;
    hd_buf_init(&text, HD_EXPERIMENT_BYTES_MAX);
    assert_hd_ok(hd_experiment_parse_text(experiment, strlen(experiment), "story.yaml", NULL,
                                          &parsed, &err));
    assert_hd_ok(hd_experiment_to_json(parsed, &text, &err));
    put(pen, run,
        (struct hd_fact){.kind = HD_FACT_RUN_CREATED,
                         .as.run_created = {.run_id = run_id,
                                            .run_uid = 0xfedcba9876543210 + run,
                                            .seed = run == 0 ? 42 : UINT64_MAX,
                                            .experiment_json = hd_buf_text(&text)}});
    hd_experiment_free(parsed);
    hd_buf_release(&text);
}

static void propose(struct pen *pen, uint32_t run, uint32_t config, double lr,
                    const char *activation, bool model, uint64_t cut)
{
    char params[128];
    char lr_text[HD_DOUBLE_TEXT_SIZE];
    double values[] = {lr, hd_streq(activation, "relu") ? 0 : 1};
    struct hd_fact fact = {.kind = HD_FACT_CONFIG_PROPOSED,
                           .as.config_proposed = {.config = config,
                                                  .id = {0, 0, config},
                                                  .values = values,
                                                  .value_count = HD_COUNT(values),
                                                  .params_json = params,
                                                  .info = {.sampler = "tpe",
                                                           .model = model,
                                                           .model_budget = model ? 1 : UNKNOWN,
                                                           .model_count = model ? 3 : 0},
                                                  .cut = cut}};
    hd_format_double(lr_text, sizeof(lr_text), lr);
    assert_true(hd_format(params, sizeof(params), "{\"lr\":%s,\"activation\":\"%s\"}", lr_text,
                          activation));
    put(pen, run, fact);
}

static void queue(struct pen *pen, uint32_t run, uint32_t job, uint32_t config, uint32_t rung,
                  double budget, double budget_previous)
{
    put(pen, run,
        (struct hd_fact){.kind = HD_FACT_JOB_QUEUED,
                         .as.job_queued = {.job = job,
                                           .config = config,
                                           .rung = rung,
                                           .budget = budget,
                                           .budget_previous = budget_previous}});
}

static void lease(struct pen *pen, uint32_t run, uint32_t job, uint32_t attempt, const char *worker,
                  const char *directory, double budget_previous)
{
    put(pen, run,
        (struct hd_fact){.kind = HD_FACT_ATTEMPT_LEASED,
                         .as.attempt_leased = {.job = job,
                                               .attempt = attempt,
                                               .worker = worker,
                                               .incarnation = 1,
                                               .sequence = job + 1,
                                               .root = directory[0] != '\0' ? "root-1" : "",
                                               .directory = directory,
                                               .budget_previous = budget_previous}});
}

static void point(struct pen *pen, uint32_t run, uint32_t job, uint32_t attempt, double step,
                  double loss)
{
    put(pen, run,
        (struct hd_fact){.kind = HD_FACT_CURVE_POINT,
                         .as.curve_point = {job, attempt, step, loss}});
}

/* A report of a worker that began with the lease and took eight seconds. */
static struct hd_fact report(const struct pen *pen, uint32_t job, uint32_t attempt,
                             enum hd_outcome outcome, double loss, const char *worker)
{
    return (struct hd_fact){.kind = HD_FACT_ATTEMPT_ENDED,
                            .as.attempt_ended = {.job = job,
                                                 .attempt = attempt,
                                                 .outcome = outcome,
                                                 .loss = loss,
                                                 .by_report = true,
                                                 .worker = worker,
                                                 .incarnation = 1,
                                                 .sequence = job + 1,
                                                 .started_wall_ms = pen->wall_ms - 9500,
                                                 .finished_wall_ms = pen->wall_ms - 1250,
                                                 .exit_code = 0,
                                                 .root = "root-1",
                                                 .directory = "c0"}};
}

static void end_ok(struct pen *pen, uint32_t run, uint32_t job, double loss, const char *worker)
{
    put(pen, run, report(pen, job, 1, HD_OUTCOME_OK, loss, worker));
}

static void state(struct pen *pen, uint32_t run, enum hd_run_state now, const char *reason)
{
    put(pen, run, (struct hd_fact){.kind = HD_FACT_RUN_STATE, .as.run_state = {now, reason}});
}

/* ---- run 0: everything happens -------------------------------------------------------------- */

static void lost_lease(struct pen *pen)
{
    queue(pen, 0, 1, 1, 0, 1, UNKNOWN);
    lease(pen, 0, 1, 1, "attic-0", "", UNKNOWN);
    struct hd_fact lost = report(pen, 1, 1, HD_OUTCOME_INFRA, UNKNOWN, "attic-0");
    lost.as.attempt_ended.by_report = false;
    lost.as.attempt_ended.requeued = true;
    lost.as.attempt_ended.charged = true;
    lost.as.attempt_ended.started_wall_ms = 0;
    lost.as.attempt_ended.finished_wall_ms = 0;
    lost.as.attempt_ended.exit_code = -1;
    lost.as.attempt_ended.message = "the lease ended: the worker was not heard of for 30s";
    put(pen, 0, lost);
    lease(pen, 0, 1, 2, "box-0", "", UNKNOWN);
    put(pen, 0,
        (struct hd_fact){.kind = HD_FACT_REPORT_REFUSED,
                         .as.report_refused = {.job = 1,
                                               .attempt = 1,
                                               .outcome = HD_OUTCOME_OK,
                                               .loss = 0.31,
                                               .worker = "attic-0",
                                               .incarnation = 1,
                                               .sequence = 2,
                                               .reason = "late: attempt 2 is the current one"}});
    struct hd_fact done = report(pen, 1, 2, HD_OUTCOME_OK, 0.3, "box-0");
    done.as.attempt_ended.info_json = "{\"accuracy\":0.91}";
    put(pen, 0, done);
}

static void failures(struct pen *pen)
{
    queue(pen, 0, 2, 2, 0, 1, UNKNOWN);
    lease(pen, 0, 2, 1, "box-0", "", UNKNOWN);
    struct hd_fact diverged = report(pen, 2, 1, HD_OUTCOME_DIVERGED, INFINITY, "box-0");
    put(pen, 0, diverged);
    queue(pen, 0, 3, 3, 0, 1, UNKNOWN);
    lease(pen, 0, 3, 1, "box-1", "", UNKNOWN);
    struct hd_fact preempted = report(pen, 3, 1, HD_OUTCOME_PREEMPTED, UNKNOWN, "box-1");
    preempted.as.attempt_ended.requeued = true;
    preempted.as.attempt_ended.message = "the worker was told to leave";
    put(pen, 0, preempted);
    lease(pen, 0, 3, 2, "box-0", "", UNKNOWN);
    struct hd_fact failed = report(pen, 3, 2, HD_OUTCOME_FAILED, UNKNOWN, "box-0");
    failed.as.attempt_ended.charged = true;
    failed.as.attempt_ended.exit_code = 3;
    failed.as.attempt_ended.message = "exit code 3: \"no data\", said the target";
    put(pen, 0, failed);
}

static void promotions(struct pen *pen)
{
    queue(pen, 0, 4, 0, 1, 3, 1);
    lease(pen, 0, 4, 1, "box-0", "c0", 1);
    queue(pen, 0, 5, 1, 1, 3, 1);
    point(pen, 0, 4, 1, 1, 0.22);
    point(pen, 0, 4, 1, 2, 0.15);
    end_ok(pen, 0, 4, 0.125, "box-0");
    lease(pen, 0, 5, 1, "box-1", "", UNKNOWN);
}

static void write_digits(struct pen *pen)
{
    create(pen, 0, "digits",
           "name: digits\n"
           "target: {image: 'hyperdock/digits:1'}\n"
           "objective: {name: loss, direction: minimize}\n"
           "space:\n"
           "  lr: {type: float, low: 1.0e-4, high: 1.0, log: true}\n"
           "  activation: {type: categorical, choices: [relu, tanh]}\n"
           "sampler: {name: tpe}\n"
           "iteration_generator: {name: successive_halving, eta: 3}\n"
           "budget: {min: 1, max: 9, unit: epochs}\n"
           "stop: {iterations: 2}\n");
    for (uint32_t config = 0; config < 4; config++)
        propose(pen, 0, config, 0.1 / (config + 1), config % 2 == 0 ? "relu" : "tanh", false, 0);
    queue(pen, 0, 0, 0, 0, 1, UNKNOWN);
    lease(pen, 0, 0, 1, "box-0", "", UNKNOWN);
    end_ok(pen, 0, 0, 0.25, "box-0");
    lost_lease(pen);
    failures(pen);
    promotions(pen);
    propose(pen, 0, 4, 0.05, "tanh", true, 26);
    queue(pen, 0, 6, 4, 0, 1, UNKNOWN);
    put(pen, 0,
        (struct hd_fact){.kind = HD_FACT_COMMAND_GIVEN,
                         .as.command_given = {HD_COMMAND_CANCEL_JOB, 6, "not that one"}});
    struct hd_fact cancelled = report(pen, 6, 0, HD_OUTCOME_CANCELLED, UNKNOWN, "");
    cancelled.as.attempt_ended.by_report = false;
    cancelled.as.attempt_ended.started_wall_ms = 0;
    cancelled.as.attempt_ended.finished_wall_ms = 0;
    cancelled.as.attempt_ended.exit_code = -1;
    cancelled.as.attempt_ended.directory = "";
    cancelled.as.attempt_ended.message = "cancelled: not that one";
    put(pen, 0, cancelled);
}

/* ---- run 1: maximize, over ------------------------------------------------------------------ */

const char test_story_scores[] = "name: scores\n"
                                 "target: {command: [./train, --lr, '${params.lr}']}\n"
                                 "objective: {name: accuracy, direction: maximize, goal: 0.9}\n"
                                 "space:\n"
                                 "  lr: {type: float, low: 1.0e-4, high: 1.0, log: true}\n"
                                 "  activation: {type: categorical, choices: [relu, tanh]}\n"
                                 "sampler: {name: random}\n"
                                 "iteration_generator: {name: full}\n"
                                 "stop: {configs: 10}\n";

static void write_scores(struct pen *pen)
{
    create(pen, 1, "scores", test_story_scores);
    for (uint32_t job = 0; job < 3; job++) {
        propose(pen, 1, job, 0.01 * (job + 1), "relu", false, 0);
        queue(pen, 1, job, job, 0, 1, UNKNOWN);
        lease(pen, 1, job, 1, "box-1", "", UNKNOWN);
        end_ok(pen, 1, job, -0.5 - 0.2 * job, "box-1");
    }
    state(pen, 1, HD_RUN_FINISHED, "goal reached: accuracy 0.9");
}

void test_story_write(const char *path)
{
    struct hd_err err;
    struct pen pen = {.wall_ms = START_WALL_MS};
    assert_hd_ok(hd_store_open_sqlite(path, &pen.store, &err));
    write_digits(&pen);
    write_scores(&pen);
    create(&pen, 2, "fresh",
           "target: {command: [./train]}\n"
           "space: {x: {type: int, low: 1, high: 10}}\n");
    hd_store_close(pen.store);
}
