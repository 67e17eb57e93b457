/* SPDX-License-Identifier: Apache-2.0 */
/*
 * view_explain.c: why a job was proposed, promoted, retried, refused, and what became of it.
 *
 * The story is told from facts alone: each entry is {seq, time, what, text}. Ranks are counted
 * over the rung as it was when the decision was taken, ties by config id, as the iteration
 * generators count them.
 */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "view_impl.h"

#define TEXT_MAX 2048

struct teller {
    struct hd_view *view;
    struct view_request request;
    struct hd_value *story;
    struct hd_value *job; /* the row about the job */
    char objective[64];
    bool fronts;     /* several objectives or constraints: no loss alone says who is better */
    bool unmeasured; /* no objective: none says so at all */
    char unit[32];
    bool maximize;
    struct hd_buf text;
    bool short_of_memory;
    struct hd_err *err;
};

/* ---- reading rows --------------------------------------------------------------------------- */

static int64_t integer(const struct hd_value *row, const char *key)
{
    const struct hd_value *value = hd_value_get(row, key);
    return value != NULL && value->kind == HD_VALUE_INT ? value->as.integer : 0;
}

static double number(const struct hd_value *row, const char *key)
{
    return hd_value_number(hd_value_get(row, key));
}

static const char *string(const struct hd_value *row, const char *key)
{
    const struct hd_value *value = hd_value_get(row, key);
    return value != NULL && value->kind == HD_VALUE_STRING ? value->as.string : "";
}

static enum hd_code one(struct teller *teller, const char *sql, struct hd_value **ret_row)
{
    return view_one(teller->view, &teller->request, sql, ret_row, teller->err);
}

/* ---- writing -------------------------------------------------------------------------------- */

static void HD_PRINTF(2, 3) say(struct teller *teller, const char *fmt, ...)
{
    char part[TEXT_MAX];
    va_list args;
    va_start(args, fmt);
    int size = vsnprintf(part, sizeof(part), fmt, args);
    va_end(args);
    /* What does not fit is cut; what memory cannot hold fails the entry when it is added. */
    if (size > 0 && hd_buf_puts(&teller->text, part, NULL) == HD_E_NOMEM)
        teller->short_of_memory = true;
}

static void say_number(struct teller *teller, double value)
{
    char text[HD_DOUBLE_TEXT_SIZE];
    hd_format_double(text, sizeof(text), value);
    say(teller, "%s", text);
}

/* The objective as the experiment names it. */
static void say_loss(struct teller *teller, double loss)
{
    say_number(teller, teller->maximize ? -loss : loss);
}

static void say_budget(struct teller *teller, double budget)
{
    say_number(teller, budget);
    if (teller->unit[0] != '\0')
        say(teller, " %s", teller->unit);
}

/* Null for what is true now rather than at some moment. */
static struct hd_value *time_of(const struct hd_value *row)
{
    const char *time = string(row, "time");
    return time[0] != '\0' ? hd_value_new_string(time) : hd_value_new_null();
}

/* Ends the text begun by say() as one entry; the time and seq are those of `row`. */
static enum hd_code add_entry(struct teller *teller, const struct hd_value *row, const char *what)
{
    struct hd_value *entry = teller->short_of_memory ? NULL : hd_value_new_object();
    if (entry == NULL)
        return hd_fail(teller->err, HD_E_NOMEM, "no memory for a story");
    enum hd_code code = view_set(entry, "seq", hd_value_new_int(integer(row, "seq")), teller->err);
    if (code == HD_OK)
        code = view_set(entry, "time", time_of(row), teller->err);
    if (code == HD_OK)
        code = view_set(entry, "what", hd_value_new_string(what), teller->err);
    if (code == HD_OK)
        code =
            view_set(entry, "text", hd_value_new_string(hd_buf_text(&teller->text)), teller->err);
    hd_buf_clear(&teller->text);
    if (code != HD_OK) {
        hd_value_free(entry);
        return code;
    }
    if (hd_value_append(teller->story, entry) != HD_OK)
        return hd_fail(teller->err, HD_E_NOMEM, "no memory for a story");
    return HD_OK;
}

/* ---- proposed ------------------------------------------------------------------------------- */

static enum hd_code tell_proposed(struct teller *teller)
{
    struct hd_value *row = NULL;
    enum hd_code code =
        one(teller,
            "SELECT c.seq, utc(c.wall_ms) AS time, c.config, c.sampler, c.model, c.model_budget,"
            " c.model_count, c.cut, config_id(c.iteration, c.budget_index, c.running_index)"
            " AS config_id"
            " FROM jobs JOIN configs AS c ON c.run = jobs.run AND c.config = jobs.config"
            " WHERE jobs.run = ?1 AND jobs.job = ?2",
            &row);
    if (code != HD_OK)
        return code;
    say(teller, "config %lld %s was proposed by %s", (long long)integer(row, "config"),
        string(row, "config_id"), string(row, "sampler"));
    if (integer(row, "model") != 0) {
        say(teller, " from a model of %lld results at budget ",
            (long long)integer(row, "model_count"));
        say_budget(teller, number(row, "model_budget"));
    } else {
        say(teller, " without a model");
    }
    if (integer(row, "cut") > 0)
        say(teller, ", which had seen the results up to fact %lld", (long long)integer(row, "cut"));
    else
        say(teller, ", before any result");
    code = add_entry(teller, row, "proposed");
    hd_value_free(row);
    return code;
}

/* ---- promoted ------------------------------------------------------------------------------- */

/*
 * How the config of job ?2 stands in a rung of its iteration: the rung of the job plus ?3, as it
 * was before fact ?4. "beat" are the best losses behind it; only finite ok results are ranked.
 */
static const char standing_sql[] =
    "WITH me AS (SELECT * FROM jobs WHERE run = ?1 AND job = ?2),"
    " peers AS (SELECT j.job, j.config, e.loss, e.seq AS closed_seq,"
    "   c.iteration, c.budget_index, c.running_index,"
    "   coalesce(e.outcome = 'ok' AND e.loss BETWEEN -1e308 AND 1e308, 0) AS ranked"
    "  FROM me JOIN jobs AS j ON j.run = me.run AND j.iteration = me.iteration"
    "   AND j.rung = me.rung + ?3 AND j.seq < ?4"
    "   AND NOT EXISTS (SELECT 1 FROM jobs AS a WHERE a.run = j.run AND a.again = j.job"
    "    AND a.seq < ?4)"
    "  JOIN configs AS c ON c.run = j.run AND c.config = j.config"
    "  LEFT JOIN attempt_ends AS e ON e.run = j.run AND e.job = j.job AND e.requeued = 0"
    "   AND e.seq < ?4),"
    " mine AS (SELECT * FROM peers WHERE config = (SELECT config FROM me) LIMIT 1),"
    " behind AS (SELECT peers.* FROM peers, mine WHERE peers.ranked AND"
    "   (peers.loss, peers.iteration, peers.budget_index, peers.running_index) >"
    "   (mine.loss, mine.iteration, mine.budget_index, mine.running_index))"
    " SELECT mine.job, mine.loss, mine.ranked, mine.closed_seq AS seq,"
    "  (SELECT count(*) FROM peers) AS total,"
    "  (SELECT count(*) FROM peers WHERE closed_seq IS NOT NULL) AS closed,"
    "  (SELECT count(*) FROM peers WHERE closed_seq IS NOT NULL AND NOT ranked) AS failed,"
    "  (SELECT count(*) FROM peers WHERE ranked) - (SELECT count(*) FROM behind) AS place,"
    "  (SELECT count(*) FROM me JOIN jobs AS n ON n.run = me.run AND n.iteration = me.iteration"
    "    AND n.rung = me.rung + ?3 + 1 AND n.budget_previous IS NOT NULL) AS promoted,"
    "  (SELECT json_group_array(loss) FROM (SELECT loss FROM behind"
    "    ORDER BY loss, iteration, budget_index, running_index LIMIT 5)) AS \"beat:json\""
    " FROM mine";

static enum hd_code find_standing(struct teller *teller, int64_t rung_offset, int64_t until_seq,
                                  struct hd_value **ret_row)
{
    if (teller->fronts)
        return hd_fail(teller->err, HD_E_NOTFOUND, "no order by one loss");
    struct view_request request = teller->request;
    request.after = rung_offset; /* ?3 and ?4 */
    request.limit = until_seq;
    return view_one(teller->view, &request, standing_sql, ret_row, teller->err);
}

static void say_beaten(struct teller *teller, const struct hd_value *standing)
{
    const struct hd_value *beat = hd_value_get(standing, "beat");
    size_t count = beat != NULL && beat->kind == HD_VALUE_ARRAY ? beat->as.array.count : 0;
    for (size_t i = 0; i < count; i++) {
        say(teller, i == 0 ? "; it beat " : ", ");
        say_loss(teller, hd_value_number(beat->as.array.items[i]));
    }
    int64_t behind =
        integer(standing, "closed") - integer(standing, "failed") - integer(standing, "place");
    if (behind > (int64_t)count)
        say(teller, " and %lld more", (long long)(behind - (int64_t)count));
}

static enum hd_code tell_promoted(struct teller *teller)
{
    struct hd_value *row = NULL;
    enum hd_code code = find_standing(teller, -1, integer(teller->job, "seq"), &row);
    if (code == HD_E_NOTFOUND) { /* a promotion from elsewhere */
        say(teller, "queued at budget ");
        say_budget(teller, number(teller->job, "budget"));
        say(teller, ", to go on from budget ");
        say_budget(teller, number(teller->job, "budget_previous"));
        if (teller->fronts)
            say(teller, ", as one of the best of its rung by front and feasibility");
        return add_entry(teller, teller->job, "promoted");
    }
    if (code != HD_OK)
        return code;
    say(teller, "promoted from budget ");
    say_budget(teller, number(teller->job, "budget_previous"));
    say(teller, " to ");
    say_budget(teller, number(teller->job, "budget"));
    say(teller, ": as job %lld its %s ", (long long)integer(row, "job"), teller->objective);
    say_loss(teller, number(row, "loss"));
    say(teller, " was number %lld of %lld", (long long)integer(row, "place"),
        (long long)integer(row, "total"));
    if (integer(row, "failed") > 0)
        say(teller, " (%lld of them gave no result)", (long long)integer(row, "failed"));
    say_beaten(teller, row);
    hd_value_free(row);
    return add_entry(teller, teller->job, "promoted");
}

static enum hd_code tell_again(struct teller *teller)
{
    say(teller, "queued at budget ");
    say_budget(teller, number(teller->job, "budget"));
    say(teller, ": job %lld, which had failed, once more by command",
        (long long)integer(teller->job, "again"));
    return add_entry(teller, teller->job, "queued");
}

static enum hd_code tell_queued(struct teller *teller)
{
    if (hd_value_get(teller->job, "again")->kind == HD_VALUE_INT)
        return tell_again(teller);
    int64_t rung = integer(teller->job, "rung");
    if (!isnan(number(teller->job, "budget_previous")))
        return tell_promoted(teller);
    say(teller, "queued at budget ");
    say_budget(teller, number(teller->job, "budget"));
    say(teller, " in iteration %lld, rung %lld", (long long)integer(teller->job, "iteration"),
        (long long)rung);
    if (rung > 0)
        say(teller, ": a new config in a slot that no survivor of the rung below filled");
    return add_entry(teller, teller->job, "queued");
}

/* ---- attempts, commands, refusals ----------------------------------------------------------- */

static void say_lease(struct teller *teller, const struct hd_value *row)
{
    say(teller, "attempt %lld was leased to %s", (long long)integer(row, "attempt"),
        string(row, "worker"));
    if (!isnan(number(row, "budget_previous"))) {
        say(teller, ", continuing from its state at budget ");
        say_budget(teller, number(row, "budget_previous"));
    } else if (!isnan(number(teller->job, "budget_previous"))) {
        say(teller, ", from the start: that worker does not have the config's directory");
    }
}

static const char *say_end(struct teller *teller, const struct hd_value *row)
{
    bool requeued = integer(row, "requeued") != 0;
    const char *outcome = string(row, "outcome");
    if (integer(row, "attempt") > 0)
        say(teller, "attempt %lld ended: %s", (long long)integer(row, "attempt"), outcome);
    else
        say(teller, "closed without an attempt: %s", outcome);
    if (!isnan(number(row, "loss")) && !teller->unmeasured) {
        say(teller, ", %s ", teller->objective);
        say_loss(teller, number(row, "loss"));
    }
    if (string(row, "detail")[0] != '\0')
        say(teller, " (%s)", string(row, "detail"));
    if (integer(row, "by_report") == 0 && integer(row, "attempt") > 0)
        say(teller, "; the master decided this, the worker did not report it");
    if (!requeued)
        return hd_streq(outcome, "stopped") ? "stopped" : "ended";
    say(teller, integer(row, "charged") != 0 ? "; queued again, one retry used up"
                                             : "; queued again, no retry charged");
    return "retried";
}

static const char *say_event(struct teller *teller, const struct hd_value *row)
{
    const char *kind = string(row, "kind");
    if (hd_streq(kind, "lease")) {
        say_lease(teller, row);
        return "leased";
    }
    if (hd_streq(kind, "end"))
        return say_end(teller, row);
    if (hd_streq(kind, "refused")) {
        say(teller, "a report by %s (attempt %lld: %s) was refused: %s", string(row, "worker"),
            (long long)integer(row, "attempt"), string(row, "outcome"), string(row, "detail"));
        return "refused";
    }
    say(teller, "somebody asked to cancel it");
    if (string(row, "detail")[0] != '\0')
        say(teller, ": %s", string(row, "detail"));
    return "command";
}

static enum hd_code tell_attempts(struct teller *teller)
{
    sqlite3_stmt *statement = NULL;
    struct view_request most = teller->request;
    most.limit = HD_VIEW_LIMIT_MAX;
    enum hd_code code = view_query(
        teller->view, &most,
        "SELECT *, utc(wall_ms) AS time FROM (SELECT 'lease' AS kind, seq, wall_ms, attempt, "
        "worker,"
        " '' AS outcome, NULL AS loss, '' AS detail, 0 AS requeued, 0 AS charged, 1 AS by_report,"
        " budget_previous FROM attempts WHERE run = ?1 AND job = ?2"
        " UNION ALL SELECT 'end', seq, wall_ms, coalesce(attempt, 0), worker, outcome, loss,"
        " message, requeued, charged, by_report, NULL FROM attempt_ends"
        " WHERE run = ?1 AND job = ?2"
        " UNION ALL SELECT 'refused', seq, wall_ms, attempt, worker, outcome, loss, reason, 0, 0, "
        "1,"
        " NULL FROM refused_reports WHERE run = ?1 AND job = ?2"
        " UNION ALL SELECT 'command', seq, wall_ms, 0, '', '', NULL, reason, 0, 0, 1, NULL"
        " FROM commands WHERE run = ?1 AND op = 'cancel-job' AND job = ?2)"
        " ORDER BY seq LIMIT ?4",
        &statement, teller->err);
    while (code == HD_OK) {
        struct hd_value *row = NULL;
        code = view_next(teller->view, statement, &row, teller->err);
        if (code != HD_OK || row == NULL)
            break;
        code = add_entry(teller, row, say_event(teller, row));
        hd_value_free(row);
    }
    sqlite3_finalize(statement);
    return code;
}

/* ---- what became of it ---------------------------------------------------------------------- */

static enum hd_code tell_fate(struct teller *teller)
{
    struct hd_value *next = NULL, *rank = NULL;
    if (hd_value_get(teller->job, "closed_seq")->kind != HD_VALUE_INT)
        return HD_OK;
    enum hd_code code = one(teller,
                            "SELECT job, seq, utc(wall_ms) AS time FROM jobs"
                            " WHERE run = ?1 AND again = ?2",
                            &next);
    if (code == HD_OK) {
        say(teller, "run once more by command, as job %lld", (long long)integer(next, "job"));
        code = add_entry(teller, next, "requeued");
        hd_value_free(next);
        return code;
    }
    if (code != HD_E_NOTFOUND)
        return code;
    code = one(teller,
               "SELECT n.job, n.seq, n.budget, utc(n.wall_ms) AS time"
               " FROM jobs AS me JOIN jobs AS n ON n.run = me.run AND n.config = me.config"
               " AND n.iteration = me.iteration AND n.rung = me.rung + 1"
               " WHERE me.run = ?1 AND me.job = ?2",
               &next);
    if (code == HD_OK) {
        say(teller, "promoted to budget ");
        say_budget(teller, number(next, "budget"));
        say(teller, " as job %lld", (long long)integer(next, "job"));
        code = add_entry(teller, next, "went-on");
        hd_value_free(next);
        return code;
    }
    if (code != HD_E_NOTFOUND)
        return code;
    if (teller->fronts || teller->unmeasured)
        return HD_OK;
    code = find_standing(teller, 0, INT64_MAX, &rank);
    if (code != HD_OK)
        return code;
    bool waits = integer(rank, "closed") < integer(rank, "total");
    if (integer(rank, "ranked") == 0)
        say(teller, "not promoted: only ok results advance");
    else if (integer(rank, "promoted") > 0)
        say(teller, "not promoted: number %lld of %lld in its rung, and %lld went on",
            (long long)integer(rank, "place"), (long long)integer(rank, "total"),
            (long long)integer(rank, "promoted"));
    else if (waits)
        say(teller, "number %lld of the %lld that ended in its rung; %lld are still open",
            (long long)integer(rank, "place"), (long long)integer(rank, "closed"),
            (long long)(integer(rank, "total") - integer(rank, "closed")));
    else
        say(teller, "number %lld of %lld in its rung", (long long)integer(rank, "place"),
            (long long)integer(rank, "total"));
    code = add_entry(teller, rank, "stands");
    hd_value_free(rank);
    return code;
}

/* ---- the story ------------------------------------------------------------------------------ */

static void learn_words(struct teller *teller, const struct hd_value *head)
{
    const char *objective = string(head, "objective");
    teller->fronts =
        hd_value_get(head, "objectives") != NULL || hd_value_get(head, "constraints") != NULL;
    teller->unmeasured = objective[0] == '\0';
    (void)hd_copy_text(teller->objective, sizeof(teller->objective),
                       objective[0] != '\0' ? objective : "loss");
    (void)hd_copy_text(teller->unit, sizeof(teller->unit), string(head, "budget_unit"));
    teller->maximize = hd_streq(string(head, "direction"), "maximize");
}

static enum hd_code find_job(struct teller *teller)
{
    enum hd_code code =
        one(teller,
            "SELECT jobs.seq, utc(jobs.wall_ms) AS time, jobs.iteration, jobs.rung, jobs.budget,"
            " jobs.budget_previous, jobs.again, closed.seq AS closed_seq FROM jobs"
            " LEFT JOIN attempt_ends AS closed ON closed.run = jobs.run AND closed.job = jobs.job"
            " AND closed.requeued = 0 WHERE jobs.run = ?1 AND jobs.job = ?2",
            &teller->job);
    if (code == HD_E_NOTFOUND)
        return hd_fail(teller->err, code, "run \"%s\" has no job %lld", teller->request.run_id,
                       (long long)teller->request.job);
    return code;
}

enum hd_code view_explain(struct hd_view *view, const struct view_request *request,
                          struct hd_value *object, struct hd_err *err)
{
    struct teller teller = {.view = view, .request = *request, .err = err};
    hd_buf_init(&teller.text, TEXT_MAX);
    enum hd_code code = view_head(view, request, object, err);
    if (code == HD_OK)
        code = find_job(&teller);
    if (code == HD_OK)
        code = view_merge(view, request,
                          "SELECT job, config_id AS \"config_id:json\", state AS job_state,"
                          " outcome, params AS \"params:json\" FROM v_jobs"
                          " WHERE run = ?1 AND job = ?2",
                          object, err);
    if (code == HD_OK) {
        learn_words(&teller, object);
        teller.story = hd_value_new_array();
        code = view_set(object, "story", teller.story, err); /* the object owns it now */
    }
    if (code == HD_OK)
        code = tell_proposed(&teller);
    if (code == HD_OK)
        code = tell_queued(&teller);
    if (code == HD_OK)
        code = tell_attempts(&teller);
    if (code == HD_OK)
        code = tell_fate(&teller);
    hd_buf_release(&teller.text);
    hd_value_free(teller.job);
    return code;
}
