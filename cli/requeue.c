/* SPDX-License-Identifier: Apache-2.0 */
/* hd requeue: failed jobs of a run once more, as jobs of their own. */
#include "act.h"
#include "commands.h"
#include "common/cli.h"

#include <stdio.h>
#include <stdlib.h>

#define JOBS_MAX 64 /* that are named one by one */
#define PAGE 1000

struct list {
    uint32_t *jobs;
    size_t count, capacity;
};

static enum hd_code add(struct list *list, int64_t job, struct hd_err *err)
{
    if (list->count == list->capacity) {
        size_t capacity = list->capacity * 2 + 64;
        uint32_t *jobs = hd_realloc(list->jobs, capacity * sizeof(*jobs));
        if (jobs == NULL)
            return hd_fail(err, HD_E_NOMEM, "no memory");
        list->jobs = jobs;
        list->capacity = capacity;
    }
    list->jobs[list->count++] = (uint32_t)job;
    return HD_OK;
}

/* Rising lists. */
static bool has(const struct list *list, uint32_t job)
{
    size_t low = 0, high = list->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (list->jobs[middle] < job)
            low = middle + 1;
        else
            high = middle;
    }
    return low < list->count && list->jobs[low] == job;
}

static int compare(const void *a, const void *b)
{
    uint32_t left = *(const uint32_t *)a, right = *(const uint32_t *)b;
    return (left > right) - (left < right);
}

/* Diverged is a result; what was cancelled, stopped or preempted was meant so. */
static bool counts_as_failed(const char *outcome)
{
    static const char *const failures[] = {"failed", "no-result",    "timeout",
                                           "oom",    "config-error", "infra"};
    for (size_t i = 0; i < HD_COUNT(failures); i++)
        if (hd_streq(outcome, failures[i]))
            return true;
    return false;
}

struct requeue {
    struct cli_common common;
    bool failed;
    const char *outcome; /* only those; NULL: every failure */
    const char *reason;
    char run_id[HD_ID_MAX + 1];
    struct list jobs;
};

static bool is_wanted(const struct requeue *requeue, const struct hd_value *job)
{
    const char *outcome = cli_text(job, "outcome");
    bool repeats = hd_value_get(job, "repeat") != NULL; /* the run decides about those itself */
    bool fits =
        requeue->outcome != NULL ? hd_streq(outcome, requeue->outcome) : counts_as_failed(outcome);
    return fits && !repeats;
}

/* One page; *after is the last job of it, -1 at the end. */
static enum hd_code read_page(struct cli_source *source, struct requeue *requeue, int64_t *after,
                              struct list *candidates, struct list *followed, struct hd_err *err)
{
    struct hd_value *arguments = NULL, *answer = NULL;
    enum hd_code code = cli_argument(&arguments, "limit", hd_value_new_int(PAGE), err);
    if (code == HD_OK)
        code = cli_argument(&arguments, "after", hd_value_new_int(*after), err);
    if (code == HD_OK)
        code = cli_read(source, "jobs", arguments, &answer, err);
    hd_value_free(arguments);
    if (code != HD_OK)
        return code;
    if (!hd_copy_text(requeue->run_id, sizeof(requeue->run_id), cli_text(answer, "run_id")))
        code = hd_fail(err, HD_E_INVALID, "the answer names no run");
    const struct hd_value *jobs = hd_value_get(answer, "jobs");
    const struct hd_value *next = hd_value_get(answer, "next");
    *after = next != NULL && next->kind == HD_VALUE_INT ? next->as.integer : -1;
    for (size_t i = 0; code == HD_OK && i < jobs->as.array.count; i++) {
        const struct hd_value *job = jobs->as.array.items[i];
        if (hd_value_get(job, "again") != NULL)
            code = add(followed, cli_integer(job, "again"), err);
        if (code == HD_OK && is_wanted(requeue, job))
            code = add(candidates, cli_integer(job, "job"), err);
    }
    hd_value_free(answer);
    return code;
}

/* Every failed job that no other one has run again. */
static enum hd_code find_failed(struct requeue *requeue, struct hd_err *err)
{
    struct cli_source *source = NULL;
    struct list candidates = {0}, followed = {0};
    int64_t after = -1;
    enum hd_code code = cli_open(&requeue->common, &source, err);
    do {
        if (code == HD_OK)
            code = read_page(source, requeue, &after, &candidates, &followed, err);
    } while (code == HD_OK && after >= 0);
    if (followed.count > 0)
        qsort(followed.jobs, followed.count, sizeof(*followed.jobs), compare);
    for (size_t i = 0; code == HD_OK && i < candidates.count; i++)
        if (!has(&followed, candidates.jobs[i]))
            code = add(&requeue->jobs, candidates.jobs[i], err);
    hd_free(candidates.jobs);
    hd_free(followed.jobs);
    cli_close(source);
    return code;
}

/* The run that is meant when only job numbers are given. */
static enum hd_code find_run(struct requeue *requeue, struct hd_err *err)
{
    struct cli_source *source = NULL;
    struct hd_value *answer = NULL;
    enum hd_code code = cli_open(&requeue->common, &source, err);
    if (code == HD_OK)
        code = cli_read(source, "status", NULL, &answer, err);
    if (code == HD_OK)
        (void)hd_copy_text(requeue->run_id, sizeof(requeue->run_id), cli_text(answer, "run_id"));
    hd_value_free(answer);
    cli_close(source);
    return code;
}

static enum hd_code take_names(struct requeue *requeue, const char *const *names, size_t count,
                               struct hd_err *err)
{
    enum hd_code code = HD_OK;
    for (size_t i = 0; code == HD_OK && i < count; i++) {
        char run_id[HD_ID_MAX + 1];
        bool is_job;
        uint32_t job;
        const char *run = requeue->common.run != NULL ? requeue->common.run : "";
        code = cli_split_target(names[i], run, run_id, &is_job, &job, err);
        if (code == HD_OK && !is_job)
            code = hd_fail(err, HD_E_INVALID,
                           "%s is not a job number: give JOB or RUN/JOB, or "
                           "--failed RUN",
                           names[i]);
        if (code == HD_OK && requeue->run_id[0] != '\0' && run_id[0] != '\0' &&
            !hd_streq(run_id, requeue->run_id))
            code = hd_fail(err, HD_E_INVALID, "jobs of one run at a time");
        if (code == HD_OK && run_id[0] != '\0')
            (void)hd_copy_text(requeue->run_id, sizeof(requeue->run_id), run_id);
        if (code == HD_OK)
            code = add(&requeue->jobs, job, err);
    }
    return code == HD_OK && requeue->run_id[0] == '\0' ? find_run(requeue, err) : code;
}

static enum hd_code give_all(struct requeue *requeue, bool *ret_live, struct hd_err *err)
{
    struct cli_orders *orders = NULL;
    enum hd_code code = cli_orders_open(&requeue->common, requeue->run_id, &orders, err);
    if (code != HD_OK)
        return code;
    *ret_live = cli_orders_live(orders);
    for (size_t i = 0; code == HD_OK && i < requeue->jobs.count; i++) {
        const struct cli_order order = {.op = HD_COMMAND_REQUEUE_JOB,
                                        .run_id = requeue->run_id,
                                        .job = requeue->jobs.jobs[i],
                                        .reason = requeue->reason};
        code = cli_orders_give(orders, &order, err);
        if (code == HD_OK)
            printf("job %u of run %s is queued once more\n", order.job, order.run_id);
        if (code == HD_E_EXISTS) { /* by somebody before, or by us and the answer was lost */
            printf("%s\n", err->text);
            code = HD_OK;
        }
    }
    cli_orders_close(orders);
    return code;
}

static enum hd_code requeue_jobs(struct requeue *requeue, const char *const *names, size_t count,
                                 struct hd_err *err)
{
    bool live = true;
    enum hd_code code;
    if (requeue->failed && count > 1)
        return hd_fail(err, HD_E_INVALID, "with --failed at most one run is named");
    if (!requeue->failed && (count == 0 || requeue->outcome != NULL))
        return hd_fail(err, HD_E_INVALID,
                       "which jobs? give their numbers, or --failed for all failures of a run");
    if (requeue->failed && count == 1)
        requeue->common.run = names[0];
    code = requeue->failed ? find_failed(requeue, err) : take_names(requeue, names, count, err);
    if (code == HD_OK && requeue->jobs.count == 0)
        printf("run %s has no failed job that has not been run again\n", requeue->run_id);
    if (code == HD_OK && requeue->jobs.count > 0)
        code = give_all(requeue, &live, err);
    char place[CLI_CELL_MAX];
    if (code == HD_OK && !live)
        printf("no master serves it: to go on, hd resume %s%s\n", requeue->run_id,
               cli_where(&requeue->common, place));
    return code;
}

int cmd_requeue(int argc, char **argv)
{
    struct requeue requeue = {.reason = ""};
    const char *names[JOBS_MAX];
    const struct hd_option options[] = {
        {.name = "failed",
         .kind = HD_OPTION_FLAG,
         .value = &requeue.failed,
         .help = "every job of the run that failed and was not run again"},
        {.name = "outcome",
         .kind = HD_OPTION_TEXT,
         .value = &requeue.outcome,
         .hint = "OUTCOME",
         .help = "with --failed, only those that ended so: failed, timeout, infra ..."},
        {.name = "reason",
         .kind = HD_OPTION_TEXT,
         .value = &requeue.reason,
         .hint = "TEXT",
         .help = "kept with the run"},
        CLI_RUN_OPTION(requeue.common),
        CLI_STATE_DIR_OPTION(requeue.common),
        CLI_REMOTE_OPTIONS(requeue.common.remote),
    };
    const struct hd_program program = {
        .name = "hd requeue",
        .summary = "failed jobs once more, as part of their run",
        .usage = "hd requeue JOB... | RUN/JOB... | --failed [RUN]",
        .options = options,
        .option_count = HD_COUNT(options),
        .positional_max = HD_COUNT(names),
        .epilogue =
            "Each becomes a job of its own with the same config, budget and seed; a finished run "
            "goes on for it. After a failure that the image caused: hd resume RUN --image NEW.",
    };
    size_t count;
    struct hd_err err;
    enum hd_parse_answer parsed = hd_options_parse(&program, argc, argv, names, &count);
    if (parsed != HD_PARSE_GO)
        return parsed == HD_PARSE_EXIT_OK ? HD_EXIT_OK : HD_EXIT_USAGE;
    enum hd_code code = requeue_jobs(&requeue, names, count, &err);
    hd_free(requeue.jobs.jobs);
    return code == HD_OK ? HD_EXIT_OK : cli_fail(&err);
}
