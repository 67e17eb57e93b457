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

/* What a run has spent: v_runs counts the whole budgets of closed jobs, but a stopped one has spent
 * what it came to by its own word. */
#define BUDGET_SPENT                                                                               \
    "budget_spent -"                                                                               \
    " (SELECT total(max(0, j.budget - coalesce((SELECT max(p.step) FROM curve_points AS p"         \
    "      WHERE p.run = j.run AND p.job = j.job), j.budget)))"                                    \
    "  FROM attempt_ends AS e JOIN jobs AS j ON j.run = e.run AND j.job = e.job"                   \
    "  WHERE e.run = v_runs.run AND e.requeued = 0 AND e.outcome = 'stopped'"                      \
    "      AND e.attempt IS NOT NULL) AS budget_spent"

enum hd_code view_runs(struct hd_view *view, const struct view_request *request,
                       struct hd_value *object, struct hd_err *err)
{
    struct view_request all = *request;
    all.limit = HD_VIEW_LIMIT_MAX;
    enum hd_code code =
        view_list(view, &all,
                  "SELECT run_id, state, reason, created, configs, jobs, jobs_closed, jobs_ok,"
                  " " BUDGET_SPENT ", objective, coalesce(direction, 'minimize') AS direction,"
                  " (SELECT loss FROM v_incumbents AS best WHERE best.run = v_runs.run"
                  "  ORDER BY best.budget DESC LIMIT 1) AS best_loss"
                  " FROM v_runs ORDER BY run",
                  object, "runs", err);
    return code == HD_OK ? view_noisy_runs(view, request, object, err) : code;
}

/* ---- status --------------------------------------------------------------------------------- */

static enum hd_code count_jobs(struct hd_view *view, const struct view_request *request,
                               struct hd_value *object, struct hd_err *err)
{
    struct hd_value *jobs = hd_value_new_object();
    enum hd_code code = view_set(object, "jobs", jobs, err);
    if (code != HD_OK)
        return code;
    return view_merge(
        view, request,
        "SELECT count(*) AS total, count(*) FILTER (WHERE state = 'queued') AS queued,"
        " count(*) FILTER (WHERE state = 'running') AS running,"
        " count(*) FILTER (WHERE state = 'closed') AS closed"
        " FROM v_jobs WHERE run = ?1",
        jobs, err);
}

static enum hd_code add_outcome(void *context, const struct hd_value *row, struct hd_err *err)
{
    return view_set(context, hd_value_get(row, "outcome")->as.string,
                    hd_value_new_int(hd_value_get(row, "count")->as.integer), err);
}

static enum hd_code count_outcomes(struct hd_view *view, const struct view_request *request,
                                   struct hd_value *object, struct hd_err *err)
{
    struct hd_value *outcomes = hd_value_new_object();
    enum hd_code code = view_set(object, "outcomes", outcomes, err);
    return code == HD_OK
               ? view_each(view, request,
                           "SELECT outcome, count(*) AS count FROM attempt_ends"
                           " WHERE run = ?1 AND requeued = 0 GROUP BY outcome ORDER BY outcome",
                           add_outcome, outcomes, err)
               : code;
}

static enum hd_code add_incumbent(struct hd_view *view, const struct view_request *request,
                                  struct hd_value *object, struct hd_err *err)
{
    struct hd_value *incumbent = NULL;
    enum hd_code code = HD_E_NOTFOUND;
    if (view_is_noisy(object))
        code = view_noisy_incumbent(view, request, &incumbent, err);
    if (code == HD_E_NOTFOUND)
        code = view_one(view, request,
                        "SELECT job, config, config_id AS \"config_id:json\", budget, loss,"
                        " measures AS \"measures:some_json\","
                        " CASE WHEN measures IS NOT NULL THEN violation END AS \"violation:some\","
                        " finished,"
                        " params AS \"params:json\" FROM v_incumbents"
                        " WHERE run = ?1 ORDER BY budget DESC LIMIT 1",
                        &incumbent, err);
    if (code == HD_E_NOTFOUND)
        incumbent = hd_value_new_null();
    else if (code != HD_OK)
        return code;
    return view_set(object, "incumbent", incumbent, err);
}

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
    if (code == HD_OK)
        code = count_outcomes(view, request, object, err);
    if (code == HD_OK)
        code = view_merge(
            view, request,
            "SELECT (SELECT count(*) FROM attempts WHERE run = ?1) AS attempts,"
            " (SELECT count(*) FROM attempt_ends WHERE run = ?1 AND requeued = 1) AS requeued,"
            " (SELECT count(*) FROM refused_reports WHERE run = ?1) AS refused_reports,"
            " " BUDGET_SPENT " FROM v_runs WHERE run = ?1",
            object, err);
    /* The last 50 ends tell how fast it goes now. */
    if (code == HD_OK)
        code = view_merge(view, request,
                          "SELECT CASE WHEN count(*) > 1 AND max(wall_ms) > min(wall_ms) THEN"
                          " (count(*) - 1) * 60000.0 / (max(wall_ms) - min(wall_ms)) END"
                          " AS rate_per_minute, utc(max(wall_ms)) AS last_end"
                          " FROM (SELECT wall_ms FROM attempt_ends"
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
        code = view_list(view, &few,
                         "SELECT job, config, config_id AS \"config_id:json\", budget, loss,"
                         " measures AS \"measures:some_json\","
                         " CASE WHEN measures IS NOT NULL THEN violation END"
                         " AS \"violation:some\","
                         " worker, finished, params AS \"params:json\" FROM v_jobs"
                         " WHERE run = ?1 AND outcome = 'ok' AND loss IS NOT NULL AND budget ="
                         " coalesce(?7, (SELECT max(budget) FROM v_incumbents WHERE run = ?1))"
                         " ORDER BY violation, loss, closed_seq LIMIT ?4",
                         object, "best", err);
    if (code == HD_OK)
        code = view_list(view, &many,
                         "SELECT budget, loss, measures AS \"measures:some_json\","
                         " CASE WHEN measures IS NOT NULL THEN violation END"
                         " AS \"violation:some\", job, config, config_id AS \"config_id:json\","
                         " finished, params AS \"params:json\" FROM v_incumbents"
                         " WHERE run = ?1 AND budget < " NOISY_BUDGET " ORDER BY budget",
                         object, "by_budget", err);
    /* How a front grew is no row of losses. */
    if (code == HD_OK && !several && !estimates)
        code = view_list(
            view, &many,
            "SELECT finished, loss, job, config_id AS \"config_id:json\" FROM"
            " (SELECT *, min(loss) OVER (ORDER BY closed_seq"
            "            ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS loss_before"
            "  FROM v_jobs WHERE run = ?1 AND outcome = 'ok' AND loss IS NOT NULL"
            "  AND NOT violation > 0 AND budget ="
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
