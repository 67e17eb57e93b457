/* SPDX-License-Identifier: Apache-2.0 */
/* known_take.c: which of another run's results a new run can take, and their text. */
#include <hd/known.h>

#include <hd/fact.h>

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define KEPT_MAX (2 * HD_KNOWN_RESULTS_MAX) /* before those that stay are chosen */
#define SLOTS 16384u                        /* a power of two, well above KEPT_MAX */
#define BUDGET_TOLERANCE 1e-9 /* by which a budget may miss the largest one and is still it */

enum left_out {
    LEFT_UNFINISHED,
    LEFT_UNJUDGED,
    LEFT_BUDGET,
    LEFT_PARAMS,
    LEFT_MEASURES,
    LEFT_BEYOND,
    LEFT_COUNT
};
static const char *const left_texts[LEFT_COUNT] = {
    [LEFT_UNFINISHED] = "not finished",
    [LEFT_UNJUDGED] = "ended without a result (cancelled, stopped, not started ...)",
    [LEFT_BUDGET] = "at a budget that this run does not have",
    [LEFT_PARAMS] = "with params that this space does not have so",
    [LEFT_MEASURES] = "that do not say all objectives and constraints",
    [LEFT_BEYOND] = "beyond what a run takes",
};

struct kept {
    uint32_t config; /* index of its values */
    uint32_t order;  /* of the row */
    uint32_t count;  /* rows in it: its losses are their means */
    bool failed;     /* all of them so far */
    bool stays;
    double budget;
    struct hd_score score; /* means; the losses of failures are not in them */
    uint64_t hash;         /* of config and budget */
};

struct hd_known_taker {
    const struct hd_experiment *experiment;
    size_t width;
    double *values; /* [KEPT_MAX][width] */
    struct kept *kept;
    uint32_t kept_count, row_count;
    uint32_t *slots; /* open addressing: 1 + index into kept */
    uint32_t left[LEFT_COUNT];
    char example[LEFT_COUNT][160]; /* the first of each */
    double *scratch;
};

enum hd_code hd_known_taker_new(const struct hd_experiment *experiment,
                                struct hd_known_taker **ret_taker, struct hd_err *err)
{
    struct hd_known_taker *taker = hd_calloc(1, sizeof(*taker));
    if (taker == NULL)
        return hd_fail(err, HD_E_NOMEM, "no memory for known results");
    taker->experiment = experiment;
    taker->width = experiment->space->param_count;
    taker->values = hd_calloc(KEPT_MAX + 1, (taker->width + 1) * sizeof(double));
    taker->kept = hd_calloc(KEPT_MAX, sizeof(*taker->kept));
    taker->slots = hd_calloc(SLOTS, sizeof(*taker->slots));
    taker->scratch = hd_calloc(taker->width + 1, sizeof(double));
    if (taker->values == NULL || taker->kept == NULL || taker->slots == NULL ||
        taker->scratch == NULL) {
        hd_known_taker_free(taker);
        return hd_fail(err, HD_E_NOMEM, "no memory for known results");
    }
    *ret_taker = taker;
    return HD_OK;
}

void hd_known_taker_free(struct hd_known_taker *taker)
{
    if (taker == NULL)
        return;
    hd_free(taker->values);
    hd_free(taker->kept);
    hd_free(taker->slots);
    hd_free(taker->scratch);
    hd_free(taker);
}

const struct hd_experiment *hd_known_taker_experiment(const struct hd_known_taker *taker)
{
    return taker->experiment;
}

static void leave_out(struct hd_known_taker *taker, enum left_out why, const char *example)
{
    if (taker->left[why]++ == 0)
        (void)hd_copy_text(taker->example[why], sizeof(taker->example[why]), example);
}

/* ---- one row ------------------------------------------------------------------------------- */

/* The row's config as one of the new space; false: it is none, and `why` says which param it is
 * about. */
static bool read_params(struct hd_known_taker *taker, const struct hd_value *params,
                        struct hd_err *why)
{
    const struct hd_space *space = taker->experiment->space;
    bool lacking[HD_SPACE_PARAMS_MAX];
    for (size_t i = 0; i < space->param_count; i++) {
        const struct hd_param *param = &space->params[i];
        const struct hd_value *value = hd_value_get(params, param->name);
        bool given = value != NULL && value->kind != HD_VALUE_NULL;
        lacking[i] = !given && !param->has_default && param->kind != HD_PARAM_CONSTANT;
        taker->scratch[i] = param->default_value;
        if (given && hd_param_from_value(param, value, &taker->scratch[i], why) != HD_OK) {
            (void)hd_fail_in(why, "%.60s", param->name);
            return false;
        }
    }
    if (!hd_space_finish(space, taker->scratch)) {
        (void)hd_fail(why, HD_E_INVALID, "a forbidden clause");
        return false;
    }
    for (size_t i = 0; i < space->param_count; i++)
        if (lacking[i] && !isnan(taker->scratch[i])) {
            (void)hd_fail(why, HD_E_INVALID, "%.60s is missing and has no default",
                          space->params[i].name);
            return false;
        }
    return hd_space_check(space, taker->scratch, why) == HD_OK;
}

static bool read_budget(const struct hd_experiment *experiment, const struct hd_value *row,
                        double *ret_budget)
{
    double highest = experiment->iter_gen.budget_max;
    const struct hd_value *value = hd_value_get(row, "budget");
    double budget =
        value == NULL || value->kind == HD_VALUE_NULL ? highest : hd_value_number(value);
    if (fabs(budget - highest) <= BUDGET_TOLERANCE * highest)
        budget = highest;
    *ret_budget = budget;
    return isfinite(budget) && budget > 0 && budget <= highest;
}

/* false: there are fewer numbers than the experiment measures. */
static bool read_score(const struct hd_experiment *experiment, const struct hd_value *row,
                       struct hd_score *ret_score)
{
    size_t count = hd_experiment_measure_count(experiment);
    const struct hd_value *measures = hd_value_get(row, "measures");
    double numbers[HD_MEASURES_MAX];
    if (count == 0) {
        const struct hd_value *loss = hd_value_get(row, "loss");
        *ret_score = hd_score_of(hd_value_number(loss));
        return hd_value_is_number(loss);
    }
    if (measures == NULL || measures->kind != HD_VALUE_ARRAY || measures->as.array.count != count)
        return false;
    for (size_t i = 0; i < count; i++)
        numbers[i] = hd_value_number(measures->as.array.items[i]);
    hd_experiment_score(experiment, numbers, ret_score);
    return true;
}

enum row_end { ROW_OK, ROW_FAILED, ROW_UNFINISHED, ROW_UNJUDGED };

static enum row_end end_of_outcome(enum hd_outcome outcome)
{
    switch (outcome) {
    case HD_OUTCOME_OK:
        return ROW_OK;
    case HD_OUTCOME_FAILED:
    case HD_OUTCOME_DIVERGED:
    case HD_OUTCOME_NO_RESULT:
    case HD_OUTCOME_TIMEOUT:
    case HD_OUTCOME_OOM:
        return ROW_FAILED;
    case HD_OUTCOME_CANCELLED: /* these say nothing of the config */
    case HD_OUTCOME_PREEMPTED:
    case HD_OUTCOME_CONFIG_ERROR:
    case HD_OUTCOME_INFRA:
    case HD_OUTCOME_STOPPED: /* its loss is not that of the job's budget */
    case HD_OUTCOME_COUNT:
        return ROW_UNJUDGED;
    }
    return ROW_UNJUDGED;
}

static enum hd_code read_end(const struct hd_value *row, const char *where, enum row_end *ret_end,
                             struct hd_err *err)
{
    const struct hd_value *outcome = hd_value_get(row, "outcome");
    const struct hd_value *loss = hd_value_get(row, "loss");
    bool measured = hd_value_is_number(loss) || hd_value_get(row, "measures") != NULL;
    enum hd_outcome known;
    if (outcome == NULL) {
        *ret_end = measured ? ROW_OK : ROW_FAILED;
        return HD_OK;
    }
    if (outcome->kind == HD_VALUE_NULL ||
        (outcome->kind == HD_VALUE_STRING && outcome->as.string[0] == '\0')) {
        *ret_end = ROW_UNFINISHED;
        return HD_OK;
    }
    if (outcome->kind != HD_VALUE_STRING || !hd_outcome_parse(outcome->as.string, &known))
        return hd_fail(err, HD_E_INVALID, "%s: there is no such outcome: give ok or failed", where);
    *ret_end = end_of_outcome(known);
    return HD_OK;
}

/* ---- keeping ------------------------------------------------------------------------------- */

static uint32_t find_slot(const struct hd_known_taker *taker, uint64_t hash, const double *values,
                          double budget)
{
    const struct hd_space *space = taker->experiment->space;
    uint32_t slot = (uint32_t)hash & (SLOTS - 1);
    for (; taker->slots[slot] != 0; slot = (slot + 1) & (SLOTS - 1)) {
        const struct kept *kept = &taker->kept[taker->slots[slot] - 1];
        if (kept->hash == hash && kept->budget == budget &&
            hd_config_equal(space, taker->values + kept->config * taker->width, values))
            break;
    }
    return slot;
}

static int compare_budgets(const struct kept *a, const struct kept *b)
{
    return a->budget != b->budget ? (a->budget < b->budget ? 1 : -1) : 0;
}

/* The largest budgets first, there failures last, otherwise by loss. */
static int by_worth(const void *left, const void *right)
{
    const struct kept *a = left, *b = right;
    int order = compare_budgets(a, b);
    if (order == 0)
        order = (int)a->failed - (int)b->failed;
    if (order == 0 && !a->failed && a->score.violation != b->score.violation)
        order = a->score.violation < b->score.violation ? -1 : 1;
    if (order == 0 && !a->failed && a->score.losses[0] != b->score.losses[0])
        order = a->score.losses[0] < b->score.losses[0] ? -1 : 1;
    return order != 0 ? order : (a->order < b->order ? -1 : 1);
}

/* Those that stay, then the largest budgets, the latest first. */
static int by_age(const void *left, const void *right)
{
    const struct kept *a = left, *b = right;
    if (a->stays != b->stays)
        return a->stays ? -1 : 1;
    int order = compare_budgets(a, b);
    return order != 0 ? order : (a->order > b->order ? -1 : 1);
}

static int by_order(const void *left, const void *right)
{
    const struct kept *a = left, *b = right;
    return a->order < b->order ? -1 : 1;
}

static void index_kept(struct hd_known_taker *taker)
{
    memset(taker->slots, 0, SLOTS * sizeof(*taker->slots));
    for (uint32_t i = 0; i < taker->kept_count; i++) {
        const struct kept *kept = &taker->kept[i];
        const double *values = taker->values + kept->config * taker->width;
        taker->slots[find_slot(taker, kept->hash, values, kept->budget)] = i + 1;
    }
}

/* Leaves the `room` worthiest, in the order of the rows, and the values of the others to new ones.
 */
static void choose(struct hd_known_taker *taker, uint32_t room)
{
    uint32_t count = taker->kept_count;
    if (count <= room)
        return;
    struct kept *kept = taker->kept;
    qsort(kept, count, sizeof(*kept), by_worth);
    uint32_t whole = 0; /* of budgets that stay as a whole */
    for (uint32_t i = 0; i < room; i++)
        if (i > 0 && kept[i].budget != kept[i - 1].budget)
            whole = i;
    uint32_t best = whole + (room - whole + 1) / 2;
    for (uint32_t i = 0; i < count; i++)
        kept[i].stays = i < best;
    qsort(kept, count, sizeof(*kept), by_age);
    taker->left[LEFT_BEYOND] += count - room;
    qsort(kept, room, sizeof(*kept), by_order);
    /* Values move to the front: a free place below `room` belongs to one that goes. */
    bool used[KEPT_MAX] = {false};
    for (uint32_t i = 0; i < room; i++)
        used[kept[i].config] = true;
    for (uint32_t i = 0, place = 0; i < room; i++) {
        if (kept[i].config < room)
            continue;
        while (used[place])
            place++;
        memcpy(taker->values + place * taker->width, taker->values + kept[i].config * taker->width,
               taker->width * sizeof(double));
        kept[i].config = place;
        used[place] = true;
    }
    taker->kept_count = room;
    index_kept(taker);
}

/* A further result of the same config at the same budget. */
static void merge(struct kept *kept, const struct hd_score *score, bool failed, size_t objectives)
{
    if (failed)
        return; /* a result says more than a failure */
    if (kept->failed) {
        kept->failed = false;
        kept->score = *score;
        kept->count = 1;
        return;
    }
    double count = ++kept->count;
    for (size_t i = 0; i < objectives; i++)
        kept->score.losses[i] += (score->losses[i] - kept->score.losses[i]) / count;
    kept->score.violation += (score->violation - kept->score.violation) / count;
}

static void keep(struct hd_known_taker *taker, double budget, const struct hd_score *score,
                 bool failed)
{
    const struct hd_space *space = taker->experiment->space;
    uint64_t hash = hd_hash_double(hd_config_hash(space, taker->scratch), budget);
    uint32_t slot = find_slot(taker, hash, taker->scratch, budget);
    if (taker->slots[slot] != 0) {
        merge(&taker->kept[taker->slots[slot] - 1], score, failed,
              taker->experiment->objective_count);
        return;
    }
    if (taker->kept_count == KEPT_MAX) {
        choose(taker, HD_KNOWN_RESULTS_MAX);
        slot = find_slot(taker, hash, taker->scratch, budget);
    }
    uint32_t index = taker->kept_count++;
    memcpy(taker->values + index * taker->width, taker->scratch, taker->width * sizeof(double));
    taker->kept[index] = (struct kept){.config = index,
                                       .order = taker->row_count,
                                       .count = 1,
                                       .failed = failed,
                                       .budget = budget,
                                       .score = *score,
                                       .hash = hash};
    taker->slots[slot] = index + 1;
}

enum hd_code hd_known_take_row(struct hd_known_taker *taker, const struct hd_value *row,
                               const char *where, struct hd_err *err)
{
    const struct hd_value *params = hd_value_get(row, "params");
    if (row == NULL || row->kind != HD_VALUE_OBJECT || params == NULL ||
        params->kind != HD_VALUE_OBJECT)
        return hd_fail(err, HD_E_INVALID,
                       "%s: a row is a map with \"params\" (a map), \"budget\" and \"loss\"",
                       where);
    enum row_end end = ROW_UNJUDGED;
    enum hd_code code = read_end(row, where, &end, err);
    if (code != HD_OK)
        return code;
    struct hd_err why = {.text = ""};
    struct hd_score score = hd_score_of(NAN);
    double budget;
    taker->row_count++;
    bool measured = end != ROW_OK || read_score(taker->experiment, row, &score);
    bool failed = !hd_score_is_finite(&score, taker->experiment->objective_count);
    if (end == ROW_UNFINISHED) {
        leave_out(taker, LEFT_UNFINISHED, "");
    } else if (end == ROW_UNJUDGED) {
        leave_out(taker, LEFT_UNJUDGED, "");
    } else if (!read_budget(taker->experiment, row, &budget)) {
        char number[HD_DOUBLE_TEXT_SIZE];
        hd_format_double(number, sizeof(number), budget);
        leave_out(taker, LEFT_BUDGET, number);
    } else if (!measured) {
        leave_out(taker, LEFT_MEASURES, "");
    } else if (!read_params(taker, params, &why)) {
        leave_out(taker, LEFT_PARAMS, why.text);
    } else {
        keep(taker, budget, &score, failed);
    }
    return HD_OK;
}

/* ---- the text ------------------------------------------------------------------------------ */

static enum hd_code write_number(double number, struct hd_buf *out, struct hd_err *err)
{
    char text[HD_DOUBLE_TEXT_SIZE];
    hd_format_double(text, sizeof(text), number);
    return hd_buf_puts(out, text, err);
}

static enum hd_code write_result(const struct hd_known_taker *taker, const struct kept *kept,
                                 struct hd_buf *out, struct hd_err *err)
{
    enum hd_code code = hd_buf_puts(out, "{\"budget\":", err);
    if (code == HD_OK)
        code = write_number(kept->budget, out, err);
    if (code == HD_OK)
        code = hd_buf_puts(out, ",\"losses\":[", err);
    size_t losses = kept->failed ? 0 : taker->experiment->objective_count;
    for (size_t i = 0; i < losses && code == HD_OK; i++) {
        code = hd_buf_puts(out, i > 0 ? "," : "", err);
        if (code == HD_OK)
            code = write_number(kept->score.losses[i], out, err);
    }
    if (code == HD_OK)
        code = hd_buf_puts(out, "]", err);
    if (code == HD_OK && !kept->failed && kept->score.violation > 0) {
        code = hd_buf_puts(out, ",\"violation\":", err);
        if (code == HD_OK)
            code = write_number(kept->score.violation, out, err);
    }
    return code == HD_OK ? hd_buf_puts(out, "}", err) : code;
}

/* A config with all its results, each at its budget; they are marked as written. */
static enum hd_code write_config(struct hd_known_taker *taker, uint32_t first, bool begins,
                                 struct hd_buf *out, struct hd_err *err)
{
    const struct hd_space *space = taker->experiment->space;
    const double *values = taker->values + taker->kept[first].config * taker->width;
    enum hd_code code = hd_buf_puts(out, begins ? "[{\"params\":" : ",\n{\"params\":", err);
    if (code == HD_OK)
        code = hd_config_to_json(space, values, out, err);
    const char *before = ",\"results\":[";
    for (uint32_t i = first; i < taker->kept_count && code == HD_OK; i++) {
        struct kept *kept = &taker->kept[i];
        const double *others = taker->values + kept->config * taker->width;
        if (!kept->stays || !hd_config_equal(space, values, others))
            continue;
        kept->stays = false;
        code = hd_buf_puts(out, before, err);
        before = ",";
        if (code == HD_OK)
            code = write_result(taker, kept, out, err);
    }
    return code == HD_OK ? hd_buf_puts(out, "]}", err) : code;
}

static enum hd_code write_all(struct hd_known_taker *taker, struct hd_buf *out, struct hd_err *err)
{
    enum hd_code code = HD_OK;
    hd_buf_clear(out);
    for (uint32_t i = 0; i < taker->kept_count; i++)
        taker->kept[i].stays = true; /* to be written */
    for (uint32_t i = 0; i < taker->kept_count && code == HD_OK; i++)
        if (taker->kept[i].stays)
            code = write_config(taker, i, i == 0, out, err);
    return code == HD_OK ? hd_buf_puts(out, "]", err) : code;
}

static void report(const struct hd_known_taker *taker, char *ret_report)
{
    size_t used = 0;
    uint32_t left = 0;
    (void)hd_format(ret_report, HD_KNOWN_REPORT_MAX, "%u results taken", taker->kept_count);
    for (size_t i = 0; i < LEFT_COUNT; i++) {
        if (taker->left[i] == 0)
            continue;
        used = strlen(ret_report);
        const char *example = taker->example[i];
        (void)hd_format(ret_report + used, HD_KNOWN_REPORT_MAX - used, "%s%u %s%s%s%s",
                        left++ == 0 ? "; left out: " : ", ", taker->left[i], left_texts[i],
                        example[0] != '\0' ? " (" : "", example, example[0] != '\0' ? ")" : "");
    }
}

enum hd_code hd_known_taker_finish(struct hd_known_taker *taker, struct hd_buf *out,
                                   char *ret_report, struct hd_err *err)
{
    struct hd_buf text;
    enum hd_code code = HD_OK;
    choose(taker, HD_KNOWN_RESULTS_MAX);
    report(taker, ret_report);
    if (taker->kept_count == 0)
        return hd_fail(err, HD_E_NOTFOUND, "%s", ret_report);
    hd_buf_init(&text, HD_KNOWN_BYTES_MAX - 1);
    while ((code = write_all(taker, &text, err)) == HD_E_LIMIT && taker->kept_count > 1)
        choose(taker, taker->kept_count / 8 * 7 > 0 ? taker->kept_count / 8 * 7 : 1);
    report(taker, ret_report);
    if (code == HD_OK)
        code = hd_buf_append(out, hd_buf_text(&text), text.size, err);
    hd_buf_release(&text);
    return code;
}

/* ---- what was measured --------------------------------------------------------------------- */

enum hd_code hd_known_check_objectives(const struct hd_experiment *before,
                                       const struct hd_experiment *now, struct hd_err *err)
{
    size_t count = now->objective_count;
    if (before->objective.exit_code_only)
        return hd_fail(
            err, HD_E_CONFLICT,
            "it has no objective: all that is known of its jobs is that they ended well");
    for (size_t i = 0; i < before->objective_count && i < count; i++) {
        const struct hd_objective *a = hd_experiment_objective(before, i);
        const struct hd_objective *b = hd_experiment_objective(now, i);
        if (a->maximize != b->maximize || !hd_streq(a->name, b->name))
            return hd_fail(err, HD_E_CONFLICT, "it %s %s and this run %s %s",
                           a->maximize ? "maximizes" : "minimizes", a->name,
                           b->maximize ? "maximizes" : "minimizes", b->name);
    }
    return before->objective_count == count
               ? HD_OK
               : hd_fail(err, HD_E_CONFLICT, "it has %u objectives and this run %u",
                         before->objective_count, now->objective_count);
}
