/* SPDX-License-Identifier: Apache-2.0 */
/* print.c: answers as people read them. */
#include "cli.h"

#include <ctype.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#define JSON_BYTES_MAX ((size_t)1 << 30)
#define DIGITS 6

int cli_fail(const struct hd_err *err)
{
    fprintf(stderr, "hd: %s\n", err->text);
    return err->code == HD_E_INVALID || err->code == HD_E_CONFLICT ? HD_EXIT_USAGE : HD_EXIT_FAILED;
}

enum hd_code cli_print_json(const struct hd_value *value, enum hd_json_style style,
                            struct hd_err *err)
{
    struct hd_buf text;
    hd_buf_init(&text, JSON_BYTES_MAX);
    enum hd_code code = hd_json_write(value, style, &text, err);
    if (code == HD_OK)
        printf("%s\n", hd_buf_text(&text));
    hd_buf_release(&text);
    return code;
}

static bool is_plain(const char *word)
{
    bool plain = word[0] != '\0';
    for (const char *at = word; *at != '\0' && plain; at++)
        plain = (unsigned char)*at > 127 || isalnum((unsigned char)*at) ||
                strchr("/._-+,:@%", *at) != NULL;
    return plain;
}

const char *cli_quote(const char *word, struct cli_quoted *quoted)
{
    char *to = quoted->text;
    if (is_plain(word) || strlen(word) > CLI_QUOTED_WORD_MAX)
        return word;
    *to++ = '\'';
    for (const char *at = word; *at != '\0'; at++) {
        if (*at == '\'') {
            memcpy(to, "'\\''", 4);
            to += 4;
        } else {
            *to++ = *at;
        }
    }
    memcpy(to, "'", 2);
    return quoted->text;
}

const char *cli_where(const struct cli_common *common, char text[CLI_CELL_MAX])
{
    const struct cli_remote *remote = &common->remote;
    struct cli_quoted quoted;
    const char *option = remote->master != NULL ? "master" : "nameserver";
    const char *word = remote->master != NULL ? remote->master : remote->nameserver;
    if (word == NULL && common->state_dir != NULL &&
        !hd_streq(common->state_dir, cli_state_dir(NULL))) {
        option = "state-dir";
        word = common->state_dir;
    }
    if (word == NULL ||
        !hd_format(text, CLI_CELL_MAX, " --%s %s", option, cli_quote(word, &quoted)))
        text[0] = '\0';
    return text;
}

/* ---- members -------------------------------------------------------------------------------- */

const char *cli_text(const struct hd_value *object, const char *key)
{
    const struct hd_value *value = hd_value_get(object, key);
    return value != NULL && value->kind == HD_VALUE_STRING ? value->as.string : "";
}

int64_t cli_integer(const struct hd_value *object, const char *key)
{
    const struct hd_value *value = hd_value_get(object, key);
    return value != NULL && value->kind == HD_VALUE_INT ? value->as.integer : 0;
}

bool cli_is_true(const struct hd_value *object, const char *key)
{
    const struct hd_value *value = hd_value_get(object, key);
    return value != NULL && value->kind == HD_VALUE_BOOL && value->as.boolean;
}

/* Control characters would move the cursor of whoever reads: they become blanks. */
static void make_printable(char *text)
{
    for (; *text != '\0'; text++)
        if ((unsigned char)*text < 0x20 || *text == 0x7f)
            *text = ' ';
}

static void write_value(const struct hd_value *value, char *cell)
{
    struct hd_buf text;
    hd_buf_init(&text, CLI_CELL_MAX - 1);
    if (hd_json_write(value, HD_JSON_COMPACT, &text, NULL) == HD_OK)
        (void)hd_copy_text(cell, CLI_CELL_MAX, hd_buf_text(&text));
    else
        (void)hd_copy_text(cell, CLI_CELL_MAX, "...");
    hd_buf_release(&text);
}

static const char *value_cell(const struct hd_value *value, char *cell)
{
    cell[0] = '\0';
    if (value == NULL || value->kind == HD_VALUE_NULL)
        return cell;
    if (value->kind == HD_VALUE_STRING)
        (void)hd_copy_text(cell, CLI_CELL_MAX, value->as.string);
    else if (value->kind == HD_VALUE_DOUBLE)
        return cli_number(value->as.number, cell);
    else
        write_value(value, cell);
    make_printable(cell);
    return cell;
}

const char *cli_cell(const struct hd_value *object, const char *key, char *cell)
{
    return value_cell(hd_value_get(object, key), cell);
}

/* ---- numbers -------------------------------------------------------------------------------- */

/* Rounded to DIGITS significant digits, so that its shortest text is short. */
static double rounded(double number)
{
    if (!isfinite(number) || fpclassify(number) == FP_ZERO)
        return number;
    double magnitude = floor(log10(fabs(number))) + 1;
    double factor = pow(10, DIGITS - magnitude);
    if (!isfinite(factor))
        return number;
    return factor >= 1 ? round(number * factor) / factor
                       : round(number / pow(10, magnitude - DIGITS)) * pow(10, magnitude - DIGITS);
}

const char *cli_number(double number, char *cell)
{
    cell[0] = '\0';
    if (!isnan(number))
        hd_format_double(cell, CLI_CELL_MAX, rounded(number));
    return cell;
}

const char *cli_plural(double count)
{
    return count == 1 ? "" : "s";
}

const char *cli_objective(const struct hd_value *head, double loss, char *cell)
{
    return cli_number(hd_streq(cli_text(head, "direction"), "maximize") ? -loss : loss, cell);
}

const char *cli_objective_name(const struct hd_value *head)
{
    const char *name = cli_text(head, "objective");
    return name[0] != '\0' ? name : "loss";
}

const char *cli_estimate(const struct hd_value *row, char *cell)
{
    const struct hd_value *results = hd_value_get(row, "results");
    const struct hd_value *error = hd_value_get(row, "error");
    char number[CLI_CELL_MAX];
    cell[0] = '\0';
    if (results == NULL || results->kind != HD_VALUE_INT)
        return cell;
    bool known = hd_value_is_number(error);
    (void)hd_format(cell, CLI_CELL_MAX, "%s%s (%lld result%s)", known ? " +- " : "",
                    known ? cli_number(hd_value_number(error), number) : "",
                    (long long)results->as.integer, results->as.integer == 1 ? "" : "s");
    return cell;
}

/* ---- several objectives, constraints --------------------------------------------------------- */

static size_t list_count(const struct hd_value *head, const char *key)
{
    const struct hd_value *list = hd_value_get(head, key);
    return list != NULL && list->kind == HD_VALUE_ARRAY ? list->as.array.count : 0;
}

size_t cli_objective_count(const struct hd_value *head)
{
    size_t count = list_count(head, "objectives");
    return count > 0 ? count : 1;
}

size_t cli_measure_count(const struct hd_value *head)
{
    size_t objectives = list_count(head, "objectives"),
           constraints = list_count(head, "constraints");
    return objectives + constraints == 0 ? 0 : cli_objective_count(head) + constraints;
}

static const struct hd_value *measure_of(const struct hd_value *head, size_t index)
{
    size_t objectives = cli_objective_count(head);
    const struct hd_value *list =
        hd_value_get(head, index < objectives ? "objectives" : "constraints");
    size_t place = index < objectives ? index : index - objectives;
    return list != NULL && list->kind == HD_VALUE_ARRAY && place < list->as.array.count
               ? list->as.array.items[place]
               : NULL;
}

const char *cli_measure_name(const struct hd_value *head, size_t index)
{
    const struct hd_value *item = measure_of(head, index);
    return item != NULL ? cli_text(item, "name") : cli_objective_name(head);
}

const char *cli_measure(const struct hd_value *head, const struct hd_value *row, size_t index,
                        char *cell)
{
    const struct hd_value *measures = hd_value_get(row, "measures");
    const struct hd_value *item = measure_of(head, index);
    cell[0] = '\0';
    if (measures == NULL || measures->kind != HD_VALUE_ARRAY || index >= measures->as.array.count)
        return cell;
    bool objective = index < cli_objective_count(head);
    bool turned =
        objective && hd_streq(cli_text(item != NULL ? item : head, "direction"), "maximize");
    double number = hd_value_number(measures->as.array.items[index]);
    return cli_number(turned ? -number : number, cell);
}

const char *cli_feasible(const struct hd_value *head, const struct hd_value *row)
{
    const struct hd_value *violation = hd_value_get(row, "violation");
    if (list_count(head, "constraints") == 0 || !hd_value_is_number(violation))
        return "";
    return hd_value_number(violation) > 0 ? "no" : "yes";
}

size_t cli_measure_titles(const struct hd_value *head, const char **ret_titles)
{
    size_t count = 0;
    for (size_t i = 1; i < cli_objective_count(head) && count + 1 < CLI_MEASURE_COLUMNS_MAX; i++)
        ret_titles[count++] = cli_measure_name(head, i);
    if (list_count(head, "constraints") > 0)
        ret_titles[count++] = "FEASIBLE";
    return count;
}

size_t cli_measure_cells(const struct hd_value *head, const struct hd_value *row,
                         char cells[CLI_MEASURE_COLUMNS_MAX][CLI_CELL_MAX], const char **ret_line)
{
    size_t count = 0;
    for (size_t i = 1; i < cli_objective_count(head) && count + 1 < CLI_MEASURE_COLUMNS_MAX; i++) {
        ret_line[count] = cli_measure(head, row, i, cells[count]);
        count++;
    }
    if (list_count(head, "constraints") > 0)
        ret_line[count++] = cli_feasible(head, row);
    return count;
}

/* ---- times ---------------------------------------------------------------------------------- */

const char *cli_time(const struct hd_value *object, const char *key, char *cell)
{
    (void)hd_copy_text(cell, CLI_CELL_MAX, cli_text(object, key));
    if (strlen(cell) >= 19) {
        cell[10] = ' ';
        cell[19] = '\0';
    }
    return cell;
}

/* Milliseconds of a text as hd_time_format() writes it; -1 for anything else. */
static int64_t read_time(const char *text)
{
    struct tm parts = {0};
    const char *rest = strptime(text, "%Y-%m-%dT%H:%M:%S", &parts);
    int64_t ms = 0;
    if (rest == NULL)
        return -1;
    if (rest[0] == '.' && strlen(rest) >= 4) {
        char digits[4] = {rest[1], rest[2], rest[3], '\0'};
        if (!hd_parse_i64(digits, &ms))
            return -1;
    }
    return (int64_t)timegm(&parts) * 1000 + ms;
}

const char *cli_duration(const struct hd_value *object, const char *from, const char *to,
                         char *cell)
{
    int64_t begin = read_time(cli_text(object, from)), end = read_time(cli_text(object, to));
    int64_t ms = end - begin;
    cell[0] = '\0';
    if (begin < 0 || end < 0 || ms < 0)
        return cell;
    int64_t s = ms / 1000;
    if (ms < 10000)
        (void)hd_format(cell, CLI_CELL_MAX, "%lld.%llds", (long long)s,
                        (long long)(ms % 1000 / 100));
    else if (s < 60)
        (void)hd_format(cell, CLI_CELL_MAX, "%llds", (long long)s);
    else if (s < 3600)
        (void)hd_format(cell, CLI_CELL_MAX, "%lldm%02llds", (long long)(s / 60),
                        (long long)(s % 60));
    else
        (void)hd_format(cell, CLI_CELL_MAX, "%lldh%02lldm", (long long)(s / 3600),
                        (long long)(s / 60 % 60));
    return cell;
}

/* ---- params --------------------------------------------------------------------------------- */

const char *cli_params(const struct hd_value *params, char *cell)
{
    char part[CLI_CELL_MAX];
    struct hd_buf line;
    hd_buf_init(&line, CLI_CELL_MAX - 1);
    size_t count = params != NULL && params->kind == HD_VALUE_OBJECT ? params->as.object.count : 0;
    bool fits = true;
    for (size_t i = 0; i < count && fits; i++)
        fits = hd_buf_printf(&line, NULL, "%s%s=%s", i > 0 ? " " : "", params->as.object.keys[i],
                             value_cell(params->as.object.items[i], part)) == HD_OK;
    (void)hd_copy_text(cell, CLI_CELL_MAX, hd_buf_text(&line));
    make_printable(cell);
    hd_buf_release(&line);
    return cell;
}
