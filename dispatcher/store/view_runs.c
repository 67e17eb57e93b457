/* SPDX-License-Identifier: Apache-2.0 */
/* view_runs.c: views of whole runs. */
#include "view_impl.h"

enum hd_code view_head(struct hd_view *view, const struct view_request *request,
                       struct hd_value *object, struct hd_err *err)
{
    return view_merge(
        view, request,
        "SELECT run_id, state, reason, objective,"
        " coalesce(direction, 'minimize') AS direction,"
        " CASE WHEN json_valid(experiment)"
        "      THEN json_extract(experiment, '$.budget.unit') END AS budget_unit"
        ", CASE WHEN objectives > 1 THEN json_extract(experiment, '$.objective') END"
        " AS \"objectives:some_json\""
        ", CASE WHEN constraints > 0 THEN json_extract(experiment, '$.constraints')"
        " END AS \"constraints:some_json\""
        ", CASE WHEN json_valid(experiment) THEN CASE WHEN"
        "      json_extract(experiment, '$.noise.repeats') > 1"
        "      THEN json_extract(experiment, '$.noise') END END AS \"noise:some_json\""
        ", CASE WHEN json_valid(experiment) THEN CASE WHEN"
        "      json_extract(experiment, '$.noise.repeats') > 1"
        "      THEN coalesce(json_extract(experiment, '$.budget.max'), 1) END END"
        " AS \"largest_budget:some\""
        " FROM v_runs WHERE run = ?1",
        object, err);
}

/* What an end of an attempt says of the budget that was spent: a stopped job has spent what it came
 * to by its own word. */
#define SPENT                                                                                      \
    "total(CASE WHEN e.requeued = 1 OR e.attempt IS NULL THEN 0"                                   \
    "   WHEN e.outcome = 'stopped' THEN min(j.budget, coalesce((SELECT max(p.step)"                \
    "     FROM curve_points AS p WHERE p.run = e.run AND p.job = e.job), j.budget))"               \
    "   ELSE j.budget END)"
#define ENDS "attempt_ends AS e JOIN jobs AS j ON j.run = e.run AND j.job = e.job"
/* The incumbent's of these: at the highest budget, feasible before infeasible, the first of equals.
 */
#define BEST_OF_ENDS                                                                               \
    "e.requeued = 0 AND e.outcome = 'ok' AND e.loss IS NOT NULL"                                   \
    " ORDER BY j.budget DESC, e.violation, e.loss, e.seq LIMIT 1"

enum hd_code view_runs(struct hd_view *view, const struct view_request *request,
                       struct hd_value *object, struct hd_err *err)
{
    struct view_request all = *request;
    all.limit = HD_VIEW_LIMIT_MAX;
    enum hd_code code =
        view_list(view, &all,
                  "SELECT run_id, state, reason, created, configs, jobs, jobs_closed, jobs_ok,"
                  " (SELECT " SPENT " FROM " ENDS " WHERE e.run = v_runs.run) AS budget_spent,"
                  " objective, coalesce(direction, 'minimize') AS direction,"
                  " CASE WHEN objective IS NOT NULL THEN"
                  " (SELECT e.loss FROM " ENDS " WHERE e.run = v_runs.run AND " BEST_OF_ENDS ") END"
                  " AS best_loss"
                  " FROM v_runs ORDER BY run",
                  object, "runs", err);
    return code == HD_OK ? view_noisy_runs(view, request, object, err) : code;
}

/* ---- status --------------------------------------------------------------------------------- */

/* A run may have a million jobs, and people look at it twice a second: the ends are gone through
 * once for all that is counted of them, and once more for the incumbent. */
struct ends {
    struct hd_value *outcomes; /* of closed jobs */
    int64_t closed, requeued;
    int64_t attempts; /* that have ended: each does once */
    int64_t failure;  /* the last end that says that something is wrong; 0: none */
    double spent;
};

static int64_t int_at(const struct hd_value *row, const char *key)
{
    return hd_value_get(row, key)->as.integer;
}

/* Jobs are stopped, cancelled and handed back for reasons that are no fault. */
static bool is_failure(const char *outcome)
{
    static const char *const others[] = {"ok", "stopped", "cancelled", "preempted"};
    for (size_t i = 0; i < HD_COUNT(others); i++)
        if (hd_streq(outcome, others[i]))
            return false;
    return true;
}

static enum hd_code add_ends(void *context, const struct hd_value *row, struct hd_err *err)
{
    struct ends *ends = context;
    ends->attempts += int_at(row, "attempts");
    const struct hd_value *spent = hd_value_get(row, "spent");
    ends->spent += hd_value_is_number(spent) ? hd_value_number(spent) : 0;
    if (is_failure(hd_value_get(row, "outcome")->as.string) && int_at(row, "last") > ends->failure)
        ends->failure = int_at(row, "last");
    if (int_at(row, "requeued") != 0) {
        ends->requeued += int_at(row, "count");
        return HD_OK;
    }
    ends->closed += int_at(row, "count");
    return view_set(ends->outcomes, hd_value_get(row, "outcome")->as.string,
                    hd_value_new_int(int_at(row, "count")), err);
}

static enum hd_code count_ends(struct hd_view *view, const struct view_request *request,
                               struct ends *ends, struct hd_err *err)
{
    return view_each(
        view, request,
        "SELECT e.outcome, e.requeued, count(*) AS count, count(e.attempt) AS attempts,"
        " max(e.seq) AS last, " SPENT " AS spent FROM " ENDS
        " WHERE e.run = ?1 GROUP BY e.outcome, e.requeued ORDER BY e.outcome",
        add_ends, ends, err);
}

static enum hd_code add_failure(struct hd_view *view, const struct view_request *request,
                                int64_t seq, struct hd_value *object, struct hd_err *err)
{
    struct view_request that = *request;
    struct hd_value *failure = NULL;
    that.after = seq;
    enum hd_code code = view_one(view, &that,
                                 "SELECT job, attempt, outcome, requeued AS \"requeued:bool\","
                                 " utc(wall_ms) AS finished, message"
                                 " FROM attempt_ends WHERE seq = ?3 AND run = ?1",
                                 &failure, err);
    return code == HD_OK ? view_set(object, "last_failure", failure, err) : code;
}

static enum hd_code count_jobs(struct hd_view *view, const struct view_request *request,
                               struct hd_value *object, struct hd_err *err)
{
    struct hd_value *jobs = hd_value_new_object(), *counts = NULL;
    struct ends ends = {.outcomes = hd_value_new_object()};
    enum hd_code code = view_set(object, "jobs", jobs, err);
    enum hd_code next = view_set(object, "outcomes", ends.outcomes, err); /* takes it, too */
    code = code == HD_OK ? next : code;
    if (code == HD_OK)
        code = count_ends(view, request, &ends, err);
    if (code == HD_OK)
        code = view_one(view, request,
                        "SELECT (SELECT count(*) FROM jobs WHERE run = ?1) AS jobs,"
                        " (SELECT count(*) FROM attempts WHERE run = ?1) AS attempts,"
                        " (SELECT count(*) FROM refused_reports WHERE run = ?1) AS refused",
                        &counts, err);
    if (code != HD_OK)
        return code;
    int64_t total = int_at(counts, "jobs"), attempts = int_at(counts, "attempts");
    int64_t refused = int_at(counts, "refused"), running = attempts - ends.attempts;
    hd_value_free(counts);
    const struct {
        struct hd_value *object;
        const char *key;
        int64_t number;
    } numbers[] = {
        {jobs, "total", total},
        {jobs, "queued", total - running - ends.closed},
        {jobs, "running", running},
        {jobs, "closed", ends.closed},
        {object, "attempts", attempts},
        {object, "requeued", ends.requeued},
        {object, "refused_reports", refused},
    };
    for (size_t i = 0; i < HD_COUNT(numbers) && code == HD_OK; i++)
        code =
            view_set(numbers[i].object, numbers[i].key, hd_value_new_int(numbers[i].number), err);
    if (code == HD_OK && ends.failure > 0)
        code = add_failure(view, request, ends.failure, object, err);
    return code == HD_OK ? view_set(object, "budget_spent", hd_value_new_double(ends.spent), err)
                         : code;
}

static enum hd_code add_incumbent(struct hd_view *view, const struct view_request *request,
                                  struct hd_value *object, struct hd_err *err)
{
    struct hd_value *incumbent = NULL;
    enum hd_code code = HD_E_NOTFOUND;
    const struct hd_value *objective = hd_value_get(object, "objective");
    bool measured = objective != NULL && objective->kind != HD_VALUE_NULL;
    if (view_is_noisy(object))
        code = view_noisy_incumbent(view, request, &incumbent, err);
    if (code == HD_E_NOTFOUND && measured)
        code = view_one(
            view, request,
            "SELECT job, config, config_id AS \"config_id:json\", budget, loss,"
            " measures AS \"measures:some_json\","
            " CASE WHEN measures IS NOT NULL THEN violation END AS \"violation:some\","
            " (SELECT utc(e.wall_ms) FROM attempt_ends AS e WHERE e.seq = closed_seq) AS finished,"
            " params AS \"params:json\" FROM v_jobs"
            " WHERE run = ?1 AND job = (SELECT e.job FROM " ENDS
            " WHERE e.run = ?1 AND " BEST_OF_ENDS ")",
            &incumbent, err);
    if (code == HD_E_NOTFOUND)
        incumbent = hd_value_new_null();
    else if (code != HD_OK)
        return code;
    return view_set(object, "incumbent", incumbent, err);
}

#define FIRST_LEASE "SELECT min(wall_ms) FROM attempts WHERE run = ?1"

enum hd_code view_status(struct hd_view *view, const struct view_request *request,
                         struct hd_value *object, struct hd_err *err)
{
    enum hd_code code = view_head(view, request, object, err);
    if (code == HD_OK)
        code = view_merge(
            view, request,
            "SELECT created, configs, (SELECT " VIEW_KNOWN(
                "runs") " FROM runs WHERE run = ?1) AS \"known:some\" FROM v_runs WHERE run = ?1",
            object, err);
    if (code == HD_OK)
        code = count_jobs(view, request, object, err);
    /* The last 50 ends tell how fast it goes now. Of fewer than that, several may have come at
     * once: how long they took counts from the run's first attempt on. */
    if (code == HD_OK)
        code =
            view_merge(view, request,
                       "SELECT CASE WHEN count(*) = 50 AND max(wall_ms) > min(wall_ms) THEN"
                       " (count(*) - 1) * 60000.0 / (max(wall_ms) - min(wall_ms))"
                       " WHEN count(*) BETWEEN 1 AND 49 AND max(wall_ms) > (" FIRST_LEASE ") THEN"
                       " count(*) * 60000.0 / (max(wall_ms) - (" FIRST_LEASE ")) END"
                       " AS rate_per_minute, utc(max(wall_ms)) AS last_end"
                       " FROM (SELECT wall_ms FROM attempt_ends NOT INDEXED"
                       "       WHERE run = ?1 AND requeued = 0 ORDER BY seq DESC LIMIT 50)",
                       object, err);
    if (code == HD_OK)
        code = add_incumbent(view, request, object, err);
    return code == HD_OK && hd_value_get(object, "objectives") != NULL
               ? view_front(view, request, 0, object, err)
               : code;
}

/* ---- best ----------------------------------------------------------------------------------- */

static double number_at(const struct hd_value *object, const char *key)
{
    const struct hd_value *number = hd_value_get(object, key);
    return hd_value_is_number(number) ? hd_value_number(number) : -1;
}

/* A noisy target's results at the largest budget are not told one by one. */
#define NOISY_BUDGET                                                                               \
    "(SELECT CASE WHEN json_valid(experiment)"                                                     \
    " THEN CASE WHEN json_extract(experiment, '$.noise.repeats') > 1"                              \
    "      THEN coalesce(json_extract(experiment, '$.budget.max'), 1) ELSE 9e999 END"              \
    " ELSE 9e999 END FROM runs WHERE run = ?1)"

enum hd_code view_best(struct hd_view *view, const struct view_request *request,
                       struct hd_value *object, struct hd_err *err)
{
    struct view_request few = *request, many = *request;
    few.limit = request->limit > 0 ? request->limit : 10;
    many.limit = HD_VIEW_LIMIT_MAX;
    enum hd_code code = view_head(view, request, object, err);
    if (code == HD_OK)
        code = view_merge(view, request,
                          "SELECT coalesce(?7, max(budget)) AS budget FROM v_incumbents"
                          " WHERE run = ?1",
                          object, err);
    bool several = code == HD_OK && hd_value_get(object, "objectives") != NULL;
    bool estimates = code == HD_OK && view_wants_estimates(request, object) &&
                     number_at(object, "budget") >= number_at(object, "largest_budget");
    if (several)
        code = view_front(view, request, few.limit, object, err);
    else if (estimates)
        code = view_noisy_best(view, &few, object, err);
    else if (code == HD_OK)
        code =
            view_list(view, &few,
                      "SELECT job, config, config_id AS \"config_id:json\", budget, loss,"
                      " measures AS \"measures:some_json\","
                      " CASE WHEN measures IS NOT NULL THEN violation END"
                      " AS \"violation:some\","
                      " worker, finished, params AS \"params:json\" FROM v_jobs"
                      " WHERE run = ?1 AND outcome = 'ok' AND loss IS NOT NULL AND " VIEW_MEASURED
                      " AND budget ="
                      " coalesce(?7, (SELECT max(budget) FROM v_incumbents WHERE run = ?1))"
                      " ORDER BY violation, loss, closed_seq LIMIT ?4",
                      object, "best", err);
    if (code == HD_OK)
        code = view_list(view, &many,
                         "SELECT budget, loss, measures AS \"measures:some_json\","
                         " CASE WHEN measures IS NOT NULL THEN violation END"
                         " AS \"violation:some\", job, config, config_id AS \"config_id:json\","
                         " finished, params AS \"params:json\" FROM v_incumbents"
                         " WHERE run = ?1 AND " VIEW_MEASURED " AND budget < " NOISY_BUDGET
                         " ORDER BY budget",
                         object, "by_budget", err);
    /* How a front grew is no row of losses. */
    if (code == HD_OK && !several && !estimates)
        code = view_list(
            view, &many,
            "SELECT finished, loss, job, config_id AS \"config_id:json\" FROM"
            " (SELECT *, min(loss) OVER (ORDER BY closed_seq"
            "            ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS loss_before"
            "  FROM v_jobs WHERE run = ?1 AND outcome = 'ok' AND loss IS NOT NULL "
            "AND " VIEW_MEASURED "  AND NOT violation > 0 AND budget ="
            "  coalesce(?7, (SELECT max(budget) FROM v_incumbents WHERE run = ?1)))"
            " WHERE loss_before IS NULL OR loss < loss_before ORDER BY closed_seq LIMIT ?4",
            object, "trajectory", err);
    return code;
}

/* ---- the rest ------------------------------------------------------------------------------- */

enum hd_code view_workers(struct hd_view *view, const struct view_request *request,
                          struct hd_value *object, struct hd_err *err)
{
    struct view_request all = *request;
    all.limit = HD_VIEW_LIMIT_MAX;
    /* An attempt may be spoken of by a second end (a requeued job that is cancelled): the first
     * one is its own. */
    return view_list(view, &all,
                     "SELECT a.worker, coalesce(s.state, 'active') AS state,"
                     " coalesce(s.reason, '') AS reason, count(a.attempt) AS attempts,"
                     " count(a.attempt) FILTER (WHERE e.seq IS NULL) AS running,"
                     " count(*) FILTER (WHERE e.outcome = 'ok') AS ok,"
                     " count(*) FILTER (WHERE e.outcome <> 'ok') AS not_ok,"
                     " (SELECT count(*) FROM refused_reports AS r WHERE r.worker = a.worker"
                     "  AND (?1 < 0 OR r.run = ?1)) AS refused,"
                     " utc(max(a.wall_ms)) AS last_lease, utc(max(e.wall_ms)) AS last_end"
                     " FROM (SELECT worker, run, job, attempt, wall_ms FROM attempts"
                     "       WHERE ?1 < 0 OR run = ?1"
                     "       UNION ALL SELECT DISTINCT worker, NULL, NULL, NULL, NULL"
                     "       FROM worker_states AS w WHERE ?1 < 0 AND NOT EXISTS"
                     "       (SELECT 1 FROM attempts AS b WHERE b.worker = w.worker)) AS a"
                     " LEFT JOIN attempt_ends AS e ON e.seq ="
                     " (SELECT min(f.seq) FROM attempt_ends AS f WHERE f.run = a.run"
                     "  AND f.job = a.job AND f.attempt = a.attempt)"
                     " LEFT JOIN worker_states AS s ON s.seq = (SELECT max(t.seq)"
                     "  FROM worker_states AS t WHERE t.worker = a.worker)"
                     " GROUP BY a.worker ORDER BY a.worker",
                     object, "workers", err);
}

enum hd_code view_experiment(struct hd_view *view, const struct view_request *request,
                             struct hd_value *object, struct hd_err *err)
{
    return view_merge(view, request,
                      "SELECT run_id, seed AS \"seed:u64\", experiment AS \"experiment:json\""
                      " FROM runs WHERE run = ?1",
                      object, err);
}
