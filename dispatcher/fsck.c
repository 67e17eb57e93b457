/* SPDX-License-Identifier: Apache-2.0 */
/* fsck.c: folds a store's facts and holds the result against what its views say. */
#include <inttypes.h>
#include <math.h>
#include <string.h>
#include <sys/stat.h>

#include <hd/core.h>
#include <hd/fsck.h>
#include <hd/value.h>

#define PARAMS_JSON_MAX (1u << 20)
#define PING_MS 5000 /* of a core that never serves */

static const struct {
    const char *check, *advice;
} checks[] = {
    {"pages", "restore a backup (hd backup); without one, keep what is whole with hd fsck "
              "--salvage FILE"},
    {"tables", "something else has changed this file: restore a backup; a table that is not ours "
               "belongs into another file"},
    {"references", "rows were changed or deleted by hand or by a fault: restore a backup, or keep "
                   "what is before them with hd fsck --salvage FILE"},
    {"sequence", "rows were deleted or copied: restore a backup, or keep what is before them with "
                 "hd fsck --salvage FILE"},
    {"replay", "a master refuses to start from here: restore a backup, or keep the facts before "
               "this one with hd fsck --salvage FILE"},
    {"params", "a master uses values_f64 and goes on; people's views show the other: restore a "
               "backup to be sure which is right"},
    {"views", "a master restores what the facts say; do not trust what hd shows of this run until "
              "a backup is restored"},
};

const char *const *hd_fsck_checks(void)
{
    static const char *const names[] = {"pages",  "tables", "references", "sequence",
                                        "replay", "params", "views",      NULL};
    return names;
}

const char *hd_fsck_advice(const char *check)
{
    for (size_t i = 0; i < HD_COUNT(checks); i++)
        if (hd_streq(checks[i].check, check))
            return checks[i].advice;
    return "";
}

struct check {
    struct hd_reader *reader;
    struct hd_core *core;
    struct hd_fsck_report *report;
    const char *run_id; /* NULL: all */
    struct hd_buf json;
    uint32_t *jobs_seen; /* a run: rows of v_jobs */
    uint32_t runs_seen;
};

static void add(struct hd_fsck_report *report, const char *check, const char *where,
                const char *what)
{
    if (report->finding_count == HD_FSCK_FINDINGS_MAX) {
        report->findings_left_out++;
        return;
    }
    struct hd_fsck_finding *finding = &report->findings[report->finding_count++];
    (void)hd_copy_text(finding->check, sizeof(finding->check), check);
    (void)hd_copy_text(finding->where, sizeof(finding->where), where);
    (void)hd_copy_text(finding->what, sizeof(finding->what), what);
}

static void add_damage(void *context, const char *check, const char *where, const char *what)
{
    add(context, check, where, what);
}

static bool is_damage(enum hd_code code)
{
    return code == HD_E_CORRUPT || code == HD_E_INVALID || code == HD_E_LIMIT;
}

/* ---- replay -----------------------------------------------------------------------------------
 */

static bool same_params(const char *stored, const char *made)
{
    struct hd_value *a = NULL, *b = NULL;
    if (hd_streq(stored, made))
        return true;
    /* Spelt otherwise by an earlier version, perhaps. */
    bool same =
        hd_json_parse(stored, strlen(stored), "params", &hd_value_limits_file, &a, NULL) == HD_OK &&
        hd_json_parse(made, strlen(made), "params", &hd_value_limits_file, &b, NULL) == HD_OK &&
        hd_value_equal(a, b);
    hd_value_free(a);
    hd_value_free(b);
    return same;
}

static enum hd_code check_params(struct check *check, const struct hd_fact *fact,
                                 struct hd_err *err)
{
    const struct hd_fact_config_proposed *proposed = &fact->as.config_proposed;
    struct hd_run_view run;
    char where[160];
    if (proposed->params_json[0] == '\0')
        return HD_OK;
    hd_core_view_run(check->core, fact->run, &run);
    hd_buf_clear(&check->json);
    (void)hd_format(where, sizeof(where), "table configs, seq %" PRIu64, fact->seq);
    enum hd_code code =
        hd_config_to_json(run.experiment->space, proposed->values, &check->json, err);
    if (code != HD_OK && !is_damage(code))
        return code;
    if (code != HD_OK)
        add(check->report, "params", where, "values_f64 is no config of this space");
    else if (!same_params(proposed->params_json, hd_buf_text(&check->json)))
        add(check->report, "params", where, "params says otherwise than values_f64");
    return HD_OK;
}

static enum hd_code fold(void *context, const struct hd_fact *fact, struct hd_err *err)
{
    struct check *check = context;
    enum hd_code code = hd_core_apply(check->core, fact, err);
    if (code != HD_OK)
        return code;
    check->report->facts_good = fact->seq;
    check->report->good_wall_ms = fact->wall_ms;
    return fact->kind == HD_FACT_CONFIG_PROPOSED ? check_params(check, fact, err) : HD_OK;
}

static enum hd_code replay(struct check *check, struct hd_err *err)
{
    uint64_t last_seq = 0;
    struct hd_err own;
    struct hd_core_options options = {.ping_ms = PING_MS};
    enum hd_code code = hd_core_new(&options, &check->core, err);
    if (code != HD_OK)
        return code;
    code = hd_reader_load(check->reader, fold, check, &last_seq, &own);
    /* A table that is not there, say, is told as an error of the statement. */
    if (is_damage(code) || (code == HD_E_IO && check->report->finding_count > 0)) {
        char where[160];
        (void)hd_format(where, sizeof(where), "after fact %" PRIu64, check->report->facts_good);
        add(check->report, "replay", where, own.text);
        return HD_OK;
    }
    if (code != HD_OK) {
        if (err != NULL)
            *err = own;
        return code;
    }
    check->report->replayed = true;
    return HD_OK;
}

static void count_state(struct check *check)
{
    struct hd_fsck_report *report = check->report;
    report->runs = hd_core_run_count(check->core);
    report->digest = hd_core_digest(check->core);
    for (uint32_t i = 0; i < report->runs; i++) {
        struct hd_run_view run;
        hd_core_view_run(check->core, i, &run);
        report->configs += run.config_count;
        report->jobs += run.job_count;
    }
}

/* ---- the views against it ---------------------------------------------------------------------
 */

static bool same(double a, double b)
{
    return a == b || (isnan(a) && isnan(b));
}

static bool wanted(const struct check *check, int64_t run, struct hd_run_view *ret_run)
{
    if (run < 0 || run >= hd_core_run_count(check->core))
        return false;
    hd_core_view_run(check->core, (uint32_t)run, ret_run);
    return check->run_id == NULL || hd_streq(check->run_id, ret_run->run_id);
}

static void differs(struct check *check, const char *where, const char *what, const char *view,
                    const char *restored)
{
    char text[512];
    (void)hd_format(text, sizeof(text), "%s is \"%s\" in the view and \"%s\" after a restore", what,
                    view, restored);
    add(check->report, "views", where, text);
}

static void compare_text(struct check *check, const char *where, const char *what, const char *view,
                         const char *restored)
{
    if (!hd_streq(view, restored))
        differs(check, where, what, view, restored);
}

static void compare_count(struct check *check, const char *where, const char *what, int64_t view,
                          int64_t restored)
{
    char a[24], b[24];
    if (view == restored)
        return;
    (void)hd_format(a, sizeof(a), "%" PRId64, view);
    (void)hd_format(b, sizeof(b), "%" PRId64, restored);
    differs(check, where, what, a, b);
}

static void compare_number(struct check *check, const char *where, const char *what, double view,
                           double restored)
{
    char a[HD_DOUBLE_TEXT_SIZE], b[HD_DOUBLE_TEXT_SIZE];
    if (same(view, restored))
        return;
    hd_format_double(a, sizeof(a), view);
    hd_format_double(b, sizeof(b), restored);
    differs(check, where, what, a, b);
}

static enum hd_code compare_run(void *context, const struct hd_reader_run *row, struct hd_err *err)
{
    (void)err;
    struct check *check = context;
    struct hd_run_view run;
    char where[160];
    check->runs_seen++;
    if (!wanted(check, row->run, &run))
        return HD_OK;
    (void)hd_format(where, sizeof(where), "run %s", run.run_id);
    compare_text(check, where, "run_id", row->run_id, run.run_id);
    compare_text(check, where, "state", row->state, hd_run_state_name(run.state));
    compare_text(check, where, "reason", row->reason, run.reason);
    compare_count(check, where, "configs", row->configs, run.config_count);
    compare_count(check, where, "jobs", row->jobs, run.job_count);
    compare_count(check, where, "jobs_closed", row->jobs_closed,
                  run.job_count - run.jobs_queued - run.jobs_running);
    compare_count(check, where, "jobs_ok", row->jobs_ok, run.jobs_ok);
    compare_count(check, where, "the best job", row->incumbent_job,
                  run.has_incumbent ? (int64_t)run.incumbent_job : -1);
    compare_number(check, where, "the best budget", row->incumbent_budget,
                   run.has_incumbent ? run.incumbent_budget : (double)NAN);
    compare_number(check, where, "the best loss", row->incumbent_loss,
                   run.has_incumbent ? run.incumbent_loss : (double)NAN);
    return HD_OK;
}

static void compare_fields(struct check *check, const char *where, const struct hd_reader_job *row,
                           const struct hd_job_view *job)
{
    char id[96];
    (void)hd_format(id, sizeof(id), "[%" PRIu32 ",%" PRIu32 ",%" PRIu32 "]",
                    job->config_id.iteration, job->config_id.budget_index,
                    job->config_id.running_index);
    compare_count(check, where, "config", row->config, job->config);
    compare_text(check, where, "config_id", row->config_id, id);
    compare_count(check, where, "iteration", row->iteration, job->iteration);
    compare_count(check, where, "rung", row->rung, job->rung);
    compare_number(check, where, "budget", row->budget, job->budget);
    compare_number(check, where, "budget_previous", row->budget_previous, job->budget_previous);
    compare_count(check, where, "attempt", row->attempt, job->attempt);
    compare_text(check, where, "state", row->state,
                 job->closed    ? "closed"
                 : job->running ? "running"
                                : "queued");
    compare_text(check, where, "outcome", row->outcome,
                 job->closed ? hd_outcome_name(job->outcome) : "");
    if (job->closed)
        compare_number(check, where, "loss", row->loss, job->loss);
    if (job->running)
        compare_text(check, where, "worker", row->worker, job->worker);
}

static enum hd_code compare_job(void *context, const struct hd_reader_job *row, struct hd_err *err)
{
    (void)err;
    struct check *check = context;
    struct hd_run_view run;
    struct hd_job_view job;
    char where[160];
    if (!wanted(check, row->run, &run))
        return HD_OK;
    (void)hd_format(where, sizeof(where), "run %s, job %" PRId64, run.run_id, row->job);
    if (row->job < 0 || row->job >= run.job_count) {
        add(check->report, "views", where, "is in the view and not there after a restore");
        return HD_OK;
    }
    check->jobs_seen[row->run]++;
    hd_core_view_job(check->core, (uint32_t)row->run, (uint32_t)row->job, &job);
    compare_fields(check, where, row, &job);
    return HD_OK;
}

/* A row that the views leave out, since something that they join is missing. */
static void compare_totals(struct check *check)
{
    compare_count(check, "v_runs", "the number of runs", check->runs_seen, check->report->runs);
    for (uint32_t i = 0; i < check->report->runs; i++) {
        struct hd_run_view run;
        char where[160];
        if (!wanted(check, i, &run))
            continue;
        (void)hd_format(where, sizeof(where), "run %s", run.run_id);
        compare_count(check, where, "the number of jobs", check->jobs_seen[i], run.job_count);
    }
}

/* Views of a damaged file may fail; that is a finding. */
static enum hd_code compare_views(struct check *check, struct hd_err *err)
{
    struct hd_err own;
    check->jobs_seen = hd_calloc(check->report->runs + 1, sizeof(*check->jobs_seen));
    if (check->jobs_seen == NULL)
        return hd_fail(err, HD_E_NOMEM, "no memory to compare");
    enum hd_code code = hd_reader_runs(check->reader, compare_run, check, &own);
    if (code == HD_OK)
        code = hd_reader_jobs(check->reader, compare_job, check, &own);
    if (code == HD_OK) {
        compare_totals(check);
        check->report->compared = true;
        return HD_OK;
    }
    if (code == HD_E_CORRUPT || check->report->finding_count > 0) {
        add(check->report, "views", "file", own.text);
        return HD_OK;
    }
    if (err != NULL)
        *err = own;
    return code;
}

/* ---- all --------------------------------------------------------------------------------------
 */

static enum hd_code find_run(const struct check *check, struct hd_err *err)
{
    uint32_t run;
    if (check->run_id == NULL || hd_core_find_run(check->core, check->run_id, &run))
        return HD_OK;
    return hd_fail(err, HD_E_NOTFOUND, "there is no run \"%s\" in %s", check->run_id,
                   check->report->path);
}

static enum hd_code examine(struct check *check, struct hd_err *err)
{
    enum hd_code code = hd_reader_examine(check->reader, add_damage, check->report, err);
    if (code == HD_OK)
        code = replay(check, err);
    if (code != HD_OK)
        return code;
    count_state(check);
    if (!check->report->replayed)
        return HD_OK;
    code = find_run(check, err);
    return code == HD_OK ? compare_views(check, err) : code;
}

enum hd_code hd_fsck(const char *path, const char *run_id, struct hd_fsck_report *ret_report,
                     struct hd_err *err)
{
    struct hd_err spare;
    err = err != NULL ? err : &spare;
    struct check check = {.report = ret_report, .run_id = run_id};
    *ret_report = (struct hd_fsck_report){.path = ""};
    (void)hd_copy_text(ret_report->path, sizeof(ret_report->path), path);
    enum hd_code code = hd_reader_open(path, &check.reader, err);
    if (code == HD_E_CORRUPT) {
        add(ret_report, "pages", "file", err->text);
        return HD_OK;
    }
    if (code != HD_OK)
        return code;
    struct stat st;
    (void)hd_copy_text(ret_report->path, sizeof(ret_report->path), hd_reader_path(check.reader));
    if (stat(ret_report->path, &st) == 0)
        ret_report->file_bytes = (uint64_t)st.st_size;
    ret_report->version = hd_reader_version(check.reader);
    hd_buf_init(&check.json, PARAMS_JSON_MAX);
    code = examine(&check, err);
    hd_buf_release(&check.json);
    hd_core_free(check.core);
    hd_free(check.jobs_seen);
    hd_reader_close(check.reader);
    return code;
}
