/* SPDX-License-Identifier: Apache-2.0 */
/* known_file.c: files with results, as rows: JSON and CSV of `hd export`, HpBandSter's two files.
 */
#include <hd/known.h>

#include <stdlib.h>
#include <string.h>

#define NODES_MAX 4000000u
#define LINE_NODES_MAX 100000u
#define LINES_MAX 1000000u
#define COLUMNS_MAX (HD_SPACE_PARAMS_MAX + HD_MEASURES_MAX + 64)
#define FIELD_BYTES_MAX (64u * 1024u)
#define ID_BYTES_MAX 128

static const struct hd_value_limits rows_limits = {
    .bytes_max = HD_KNOWN_ROWS_BYTES_MAX, .nodes_max = NODES_MAX, .depth_max = 32};
static const struct hd_value_limits line_limits = {
    .bytes_max = HD_KNOWN_ROWS_BYTES_MAX, .nodes_max = LINE_NODES_MAX, .depth_max = 32};

/* ---- JSON ---------------------------------------------------------------------------------- */

static enum hd_code take_json(struct hd_known_taker *taker, const char *text, size_t size,
                              const char *name, struct hd_err *err)
{
    struct hd_value *root = NULL;
    enum hd_code code = hd_json_parse(text, size, name, &rows_limits, &root, err);
    if (code != HD_OK)
        return code;
    /* One row may stand alone. */
    if (root->kind != HD_VALUE_ARRAY)
        code = hd_known_take_row(taker, root, name, err);
    for (size_t i = 0; root->kind == HD_VALUE_ARRAY && i < root->as.array.count && code == HD_OK;
         i++) {
        char where[256];
        (void)hd_format(where, sizeof(where), "%.160s: row %zu", name, i);
        code = hd_known_take_row(taker, root->as.array.items[i], where, err);
    }
    hd_value_free(root);
    return code;
}

/* ---- CSV (RFC 4180) ------------------------------------------------------------------------ */

enum column_kind {
    COLUMN_OTHER,
    COLUMN_BUDGET,
    COLUMN_LOSS,
    COLUMN_OUTCOME,
    COLUMN_MEASURE,
    COLUMN_PARAM
};

struct column {
    enum column_kind kind;
    size_t index; /* of the param or the measure */
};

struct csv {
    const struct hd_experiment *experiment;
    struct hd_known_taker *taker;
    const char *at, *end;
    const char *name;
    size_t line;
    struct column *columns;
    size_t column_count;
    struct hd_buf field;
};

/* The next field into csv->field; *ret_last: its record ends with it. */
static enum hd_code next_field(struct csv *csv, bool *ret_last, struct hd_err *err)
{
    bool quoted = csv->at < csv->end && *csv->at == '"';
    enum hd_code code = HD_OK;
    hd_buf_clear(&csv->field);
    csv->at += quoted ? 1 : 0;
    while (code == HD_OK && csv->at < csv->end) {
        char c = *csv->at;
        if (quoted && c == '"') {
            if (csv->at + 1 < csv->end && csv->at[1] == '"') {
                csv->at++;
            } else {
                csv->at++;
                quoted = false;
                break;
            }
        } else if (!quoted && (c == ',' || c == '\r' || c == '\n')) {
            break;
        }
        code = c != '\0' ? hd_buf_append(&csv->field, &c, 1, err)
                         : hd_fail(err, HD_E_INVALID, "a zero byte");
        csv->at++;
    }
    if (code == HD_OK && quoted)
        code = hd_fail(err, HD_E_INVALID, "a quote is not closed");
    if (code != HD_OK)
        return hd_fail_in(err, "%.160s:%zu", csv->name, csv->line);
    *ret_last = csv->at == csv->end || *csv->at != ',';
    if (*ret_last && csv->at < csv->end && *csv->at != '\r' && *csv->at != '\n')
        return hd_fail(err, HD_E_INVALID, "%.160s:%zu: something follows a quoted field", csv->name,
                       csv->line);
    if (csv->at < csv->end)
        csv->at += csv->at[0] == '\r' && csv->at + 1 < csv->end && csv->at[1] == '\n' ? 2 : 1;
    return HD_OK;
}

static struct column column_of(const struct hd_experiment *experiment, const char *title)
{
    static const char *const names[] = {
        [COLUMN_BUDGET] = "budget", [COLUMN_LOSS] = "loss", [COLUMN_OUTCOME] = "outcome"};
    for (size_t i = COLUMN_BUDGET; i < HD_COUNT(names); i++)
        if (hd_streq(title, names[i]))
            return (struct column){.kind = (enum column_kind)i};
    for (size_t i = 0; strncmp(title, "params.", 7) == 0 && i < experiment->space->param_count; i++)
        if (hd_streq(title + 7, experiment->space->params[i].name))
            return (struct column){COLUMN_PARAM, i};
    for (size_t i = 0;
         strncmp(title, "measures.", 9) == 0 && i < hd_experiment_measure_count(experiment); i++)
        if (hd_streq(title + 9, hd_experiment_measure_name(experiment, i)))
            return (struct column){COLUMN_MEASURE, i};
    return (struct column){.kind = COLUMN_OTHER};
}

static enum hd_code read_header(struct csv *csv, struct hd_err *err)
{
    bool last = false, has_loss = false, has_params = false;
    csv->line = 1;
    while (!last) {
        enum hd_code code = next_field(csv, &last, err);
        if (code != HD_OK)
            return code;
        if (csv->column_count == COLUMNS_MAX)
            return hd_fail(err, HD_E_LIMIT, "%.160s: more than %zu columns", csv->name,
                           (size_t)COLUMNS_MAX);
        const char *title = hd_buf_text(&csv->field);
        struct column column = column_of(csv->experiment, title);
        csv->columns[csv->column_count++] = column;
        has_loss = has_loss || column.kind == COLUMN_LOSS || column.kind == COLUMN_MEASURE;
        has_params = has_params || strncmp(title, "params.", 7) == 0;
    }
    if (has_loss && has_params)
        return HD_OK;
    return hd_fail(err, HD_E_INVALID,
                   "%.160s: no table of results: the first line names the columns budget, loss, "
                   "outcome and params.NAME, as hd export writes it",
                   csv->name);
}

static bool is_choice(const struct hd_value *choice, const char *text)
{
    double number;
    switch (choice->kind) {
    case HD_VALUE_STRING:
        return hd_streq(choice->as.string, text);
    case HD_VALUE_BOOL:
        return hd_streq(choice->as.boolean ? "true" : "false", text);
    case HD_VALUE_INT:
    case HD_VALUE_DOUBLE:
        return hd_parse_double(text, &number) && number == hd_value_number(choice);
    case HD_VALUE_NULL:
    case HD_VALUE_ARRAY:
    case HD_VALUE_OBJECT:
        return false;
    }
    return false;
}

/* The text of a param in a table as a value of its type. One that is none becomes a text, which the
 * space then refuses. NULL: no memory. */
static struct hd_value *value_of_field(const struct hd_param *param, const char *text)
{
    double number;
    struct hd_value *copy = NULL;
    for (size_t i = 0; i < param->choice_count; i++)
        if (is_choice(param->choices[i], text))
            return hd_value_copy(param->choices[i], &copy, NULL) == HD_OK ? copy : NULL;
    bool numeric = param->kind == HD_PARAM_FLOAT || param->kind == HD_PARAM_INT;
    return numeric && hd_parse_double(text, &number) ? hd_value_new_double(number)
                                                     : hd_value_new_string(text);
}

static enum hd_code put_field(const struct csv *csv, const struct column *column,
                              struct hd_value *row, struct hd_value *params,
                              struct hd_value **measures)
{
    const char *text = hd_buf_text(&csv->field);
    double number;
    switch (column->kind) {
    case COLUMN_OTHER:
        return HD_OK;
    case COLUMN_OUTCOME:
        return hd_value_set(row, "outcome", hd_value_new_string(text));
    case COLUMN_BUDGET:
    case COLUMN_LOSS:
        if (text[0] == '\0')
            return HD_OK;
        return hd_value_set(row, column->kind == COLUMN_LOSS ? "loss" : "budget",
                            hd_parse_double(text, &number) ? hd_value_new_double(number)
                                                           : hd_value_new_string(text));
    case COLUMN_PARAM:
        if (text[0] == '\0')
            return HD_OK;
        const struct hd_param *param = &csv->experiment->space->params[column->index];
        return hd_value_set(params, param->name, value_of_field(param, text));
    case COLUMN_MEASURE:
        measures[column->index] =
            hd_parse_double(text, &number) ? hd_value_new_double(number) : hd_value_new_null();
        return measures[column->index] != NULL ? HD_OK : HD_E_NOMEM;
    }
    return HD_OK;
}

/* The measures of a record become a list where all of them have a number. */
static enum hd_code put_measures(const struct csv *csv, struct hd_value *row,
                                 struct hd_value **measures)
{
    size_t count = hd_experiment_measure_count(csv->experiment);
    struct hd_value *list = hd_value_new_array();
    bool whole = count > 0;
    for (size_t i = 0; i < count; i++)
        whole = whole && hd_value_is_number(measures[i]);
    enum hd_code code = list != NULL ? HD_OK : HD_E_NOMEM;
    for (size_t i = 0; i < count; i++) {
        if (whole && code == HD_OK)
            code = hd_value_append(list, measures[i]);
        else
            hd_value_free(measures[i]);
        measures[i] = NULL;
    }
    if (code == HD_OK && whole)
        return hd_value_set(row, "measures", list);
    hd_value_free(list);
    return code;
}

static enum hd_code read_record(struct csv *csv, struct hd_value *row, struct hd_value *params,
                                struct hd_err *err)
{
    struct hd_value *measures[HD_MEASURES_MAX] = {NULL};
    bool last = false;
    enum hd_code code = HD_OK;
    size_t count = 0;
    for (; !last && code == HD_OK; count++) {
        code = next_field(csv, &last, err);
        if (code == HD_OK && count >= csv->column_count)
            code = hd_fail(err, HD_E_INVALID, "%.160s:%zu: more fields than columns", csv->name,
                           csv->line);
        else if (code == HD_OK && measures[csv->columns[count].index % HD_MEASURES_MAX] != NULL &&
                 csv->columns[count].kind == COLUMN_MEASURE)
            code = hd_fail(err, HD_E_INVALID, "%.160s: a column stands twice", csv->name);
        else if (code == HD_OK &&
                 put_field(csv, &csv->columns[count], row, params, measures) != HD_OK)
            code = hd_fail(err, HD_E_NOMEM, "no memory for a record");
    }
    if (code == HD_OK && count != csv->column_count)
        code = hd_fail(err, HD_E_INVALID, "%.160s:%zu: %zu fields, but there are %zu columns",
                       csv->name, csv->line, count, csv->column_count);
    if (code == HD_OK)
        code = put_measures(csv, row, measures) == HD_OK
                   ? HD_OK
                   : hd_fail(err, HD_E_NOMEM, "no memory for a record");
    for (size_t i = 0; i < HD_MEASURES_MAX; i++)
        hd_value_free(measures[i]);
    return code;
}

static enum hd_code take_record(struct csv *csv, struct hd_err *err)
{
    struct hd_value *row = hd_value_new_object(), *params = hd_value_new_object();
    char where[256];
    csv->line++;
    (void)hd_format(where, sizeof(where), "%.160s:%zu", csv->name, csv->line);
    enum hd_code code = row != NULL && params != NULL
                            ? read_record(csv, row, params, err)
                            : hd_fail(err, HD_E_NOMEM, "no memory for a record");
    if (code != HD_OK) {
        hd_value_free(params);
    } else if (hd_value_set(row, "params", params) != HD_OK) {
        code = hd_fail(err, HD_E_NOMEM, "no memory for a record");
    }
    if (code == HD_OK)
        code = hd_known_take_row(csv->taker, row, where, err);
    hd_value_free(row);
    return code;
}

static enum hd_code take_csv(struct hd_known_taker *taker, const char *text, size_t size,
                             const char *name, struct hd_err *err)
{
    struct csv csv = {.experiment = hd_known_taker_experiment(taker),
                      .taker = taker,
                      .at = text + hd_utf8_mark_size(text, size),
                      .end = text + size,
                      .name = name};
    hd_buf_init(&csv.field, FIELD_BYTES_MAX);
    csv.columns = hd_calloc(COLUMNS_MAX, sizeof(*csv.columns));
    enum hd_code code = csv.columns != NULL ? read_header(&csv, err)
                                            : hd_fail(err, HD_E_NOMEM, "no memory for a table");
    while (code == HD_OK && csv.at < csv.end)
        code = take_record(&csv, err);
    hd_free(csv.columns);
    hd_buf_release(&csv.field);
    return code;
}

enum hd_code hd_known_take_text(struct hd_known_taker *taker, const char *text, size_t size,
                                const char *name, struct hd_err *err)
{
    size_t blank = 0;
    if (size > HD_KNOWN_ROWS_BYTES_MAX)
        return hd_fail(err, HD_E_LIMIT, "%.160s: more than %u bytes", name,
                       HD_KNOWN_ROWS_BYTES_MAX);
    while (blank < size && strchr(" \t\r\n", text[blank]) != NULL && text[blank] != '\0')
        blank++;
    bool json = blank < size && (text[blank] == '[' || text[blank] == '{');
    return json ? take_json(taker, text, size, name, err) : take_csv(taker, text, size, name, err);
}

/* ---- HpBandSter ---------------------------------------------------------------------------- */

struct hpb_config {
    char id[ID_BYTES_MAX]; /* JSON of the list of three numbers */
    struct hd_value *line; /* [id, config, info] */
};

struct hpb {
    struct hpb_config *configs;
    size_t count, capacity;
    const char *name;
    const char *at, *end;
    size_t line;
};

/* The next line as a list of at least `count` items; *ret_list is NULL at the end, and for a last
 * line without its end. The caller frees it. */
static enum hd_code next_line(struct hpb *hpb, size_t count, struct hd_value **ret_list,
                              struct hd_err *err)
{
    *ret_list = NULL;
    while (hpb->at < hpb->end) {
        const char *stop = memchr(hpb->at, '\n', (size_t)(hpb->end - hpb->at));
        const char *begin = hpb->at;
        size_t size = (size_t)((stop != NULL ? stop : hpb->end) - begin);
        hpb->at = stop != NULL ? stop + 1 : hpb->end;
        hpb->line++;
        if (size == 0 || (size == 1 && begin[0] == '\r'))
            continue;
        struct hd_value *list = NULL;
        enum hd_code code = hd_json_parse(begin, size, hpb->name, &line_limits, &list, err);
        if (code == HD_E_INVALID && stop == NULL)
            return HD_OK; /* torn */
        if (code == HD_OK && (list->kind != HD_VALUE_ARRAY || list->as.array.count < count ||
                              list->as.array.items[0]->kind != HD_VALUE_ARRAY)) {
            hd_value_free(list);
            code = hd_fail(err, HD_E_INVALID, "not a list that begins with an id");
        }
        if (code != HD_OK)
            return hd_fail_in(err, "%s: line %zu", hpb->name, hpb->line);
        *ret_list = list;
        return HD_OK;
    }
    return HD_OK;
}

static enum hd_code write_id(const struct hpb *hpb, const struct hd_value *id, char *ret_id,
                             struct hd_err *err)
{
    struct hd_buf text;
    hd_buf_init(&text, ID_BYTES_MAX - 1);
    enum hd_code code = hd_json_write(id, HD_JSON_CANONICAL, &text, err);
    if (code == HD_OK)
        (void)hd_copy_text(ret_id, ID_BYTES_MAX, hd_buf_text(&text));
    else
        (void)hd_fail_in(err, "%s: line %zu: the id", hpb->name, hpb->line);
    hd_buf_release(&text);
    return code;
}

static int by_id(const void *left, const void *right)
{
    return strcmp(((const struct hpb_config *)left)->id, ((const struct hpb_config *)right)->id);
}

static enum hd_code read_configs(struct hpb *hpb, struct hd_err *err)
{
    struct hd_value *list;
    enum hd_code code;
    while ((code = next_line(hpb, 2, &list, err)) == HD_OK && list != NULL) {
        if (hpb->count == hpb->capacity) {
            size_t capacity = hpb->capacity > 0 ? 2 * hpb->capacity : 64;
            struct hpb_config *configs =
                capacity <= 2 * LINES_MAX
                    ? hd_realloc(hpb->configs, capacity * sizeof(*hpb->configs))
                    : NULL;
            if (configs == NULL) {
                hd_value_free(list);
                return hd_fail(err, HD_E_NOMEM, "no memory for the configs of %s", hpb->name);
            }
            hpb->configs = configs;
            hpb->capacity = capacity;
        }
        struct hpb_config *config = &hpb->configs[hpb->count];
        code = write_id(hpb, list->as.array.items[0], config->id, err);
        if (code != HD_OK) {
            hd_value_free(list);
            return code;
        }
        config->line = list;
        hpb->count++;
    }
    if (code == HD_OK && hpb->count > 0)
        qsort(hpb->configs, hpb->count, sizeof(*hpb->configs), by_id);
    return code;
}

/* [id, budget, times, {"loss": ..} or null, null or what went wrong] */
static enum hd_code take_result(struct hpb *hpb, struct hd_known_taker *taker,
                                const struct hd_value *list, struct hd_err *err)
{
    struct hd_value *const *items = list->as.array.items;
    struct hpb_config key;
    enum hd_code code = write_id(hpb, items[0], key.id, err);
    if (code != HD_OK)
        return code;
    const struct hpb_config *config =
        hpb->count > 0 ? bsearch(&key, hpb->configs, hpb->count, sizeof(key), by_id) : NULL;
    if (config == NULL)
        return HD_OK;
    struct hd_value *row = hd_value_new_object(), *params = NULL, *budget = NULL, *loss = NULL;
    const struct hd_value *told = hd_value_get(items[3], "loss");
    bool failed = items[4]->kind != HD_VALUE_NULL || !hd_value_is_number(told);
    char where[128];
    (void)hd_format(where, sizeof(where), "%s: line %zu", hpb->name, hpb->line);
    if (row == NULL)
        code = hd_fail(err, HD_E_NOMEM, "no memory for a result");
    if (code == HD_OK)
        code = hd_value_copy(config->line->as.array.items[1], &params, err);
    if (code == HD_OK)
        code = hd_value_copy(items[1], &budget, err);
    if (code == HD_OK && !failed)
        code = hd_value_copy(told, &loss, err);
    if (code == HD_OK)
        code = hd_value_set(row, "params", params);
    else
        hd_value_free(params);
    if (code == HD_OK)
        code = hd_value_set(row, "budget", budget);
    else
        hd_value_free(budget);
    if (code == HD_OK && !failed)
        code = hd_value_set(row, "loss", loss);
    else
        hd_value_free(loss);
    if (code == HD_OK)
        code = hd_value_set(row, "outcome", hd_value_new_string(failed ? "failed" : "ok"));
    code = code == HD_OK ? hd_known_take_row(taker, row, where, err)
                         : hd_fail(err, HD_E_NOMEM, "no memory for a result");
    hd_value_free(row);
    return code;
}

enum hd_code hd_known_take_hpbandster(struct hd_known_taker *taker, const char *configs,
                                      size_t configs_size, const char *results, size_t results_size,
                                      struct hd_err *err)
{
    struct hpb hpb = {.name = "configs.json", .at = configs, .end = configs + configs_size};
    struct hd_value *list = NULL;
    enum hd_code code = read_configs(&hpb, err);
    hpb.name = "results.json";
    hpb.at = results;
    hpb.end = results + results_size;
    hpb.line = 0;
    while (code == HD_OK && (code = next_line(&hpb, 5, &list, err)) == HD_OK && list != NULL) {
        code = take_result(&hpb, taker, list, err);
        hd_value_free(list);
    }
    for (size_t i = 0; i < hpb.count; i++)
        hd_value_free(hpb.configs[i].line);
    hd_free(hpb.configs);
    return code;
}
