/* SPDX-License-Identifier: Apache-2.0 */
/*
 * hd export: all jobs as a table for other programs.
 *
 * CSV after RFC 4180: CRLF ends a record, a field with a comma, a quote or a line end is quoted.
 * The columns of params are those of the experiment's space, so that two exports of one run agree.
 */
#include "commands.h"
#include "common/cli.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define PAGE 1000

static const char *const columns[] = {"job",     "config_id", "budget",    "loss",    "outcome",
                                      "attempt", "worker",    "submitted", "started", "finished"};

struct export
{
    struct cli_source *source;
    const struct hd_value *space; /* of the experiment, or NULL */
    const struct hd_value *head; /* objectives and constraints, as cli_measure_count() takes them */
    FILE *out;
    bool json;
    size_t job_count;
};

/* ---- CSV ------------------------------------------------------------------------------------ */

static void write_field(FILE *out, bool first, const char *text)
{
    if (!first)
        fputc(',', out);
    if (strpbrk(text, ",\"\r\n") == NULL) {
        fputs(text, out);
        return;
    }
    fputc('"', out);
    for (; *text != '\0'; text++) {
        if (*text == '"')
            fputc('"', out);
        fputc(*text, out);
    }
    fputc('"', out);
}

/* Numbers in full, texts as they are, the rest as JSON; null is the empty field. */
static enum hd_code write_value(FILE *out, bool first, const struct hd_value *value,
                                struct hd_err *err)
{
    char number[HD_DOUBLE_TEXT_SIZE];
    if (value == NULL || value->kind == HD_VALUE_NULL) {
        write_field(out, first, "");
        return HD_OK;
    }
    if (value->kind == HD_VALUE_STRING) {
        write_field(out, first, value->as.string);
        return HD_OK;
    }
    if (value->kind == HD_VALUE_DOUBLE) {
        hd_format_double(number, sizeof(number), value->as.number);
        write_field(out, first, number);
        return HD_OK;
    }
    struct hd_buf text;
    hd_buf_init(&text, (size_t)1 << 20);
    enum hd_code code = hd_json_write(value, HD_JSON_COMPACT, &text, err);
    if (code == HD_OK)
        write_field(out, first, hd_buf_text(&text));
    hd_buf_release(&text);
    return code;
}

static size_t key_count(const struct export *export)
{
    return export->space != NULL ? export->space->as.object.count : 0;
}

/* The clauses of what no config may be stand among the params, and are none. */
static bool is_param(const struct export *export, size_t key)
{
    return !hd_streq(export->space->as.object.keys[key], "forbidden");
}

static void write_header(const struct export *export)
{
    for (size_t i = 0; i < HD_COUNT(columns); i++)
        write_field(export->out, i == 0, columns[i]);
    for (size_t i = 0; i < cli_measure_count(export->head); i++) {
        char title[CLI_CELL_MAX];
        (void)hd_format(title, sizeof(title), "measures.%s", cli_measure_name(export->head, i));
        write_field(export->out, false, title);
    }
    if (cli_measure_count(export->head) > 0)
        write_field(export->out, false, "violation");
    if (hd_value_get(export->head, "noise") != NULL)
        write_field(export->out, false, "repeat");
    for (size_t i = 0; i < key_count(export); i++) {
        if (!is_param(export, i))
            continue;
        char title[CLI_CELL_MAX];
        (void)hd_format(title, sizeof(title), "params.%s", export->space->as.object.keys[i]);
        write_field(export->out, false, title);
    }
    fputs("\r\n", export->out);
}

static enum hd_code write_record(const struct export *export, const struct hd_value *job,
                                 struct hd_err *err)
{
    enum hd_code code = HD_OK;
    const struct hd_value *params = hd_value_get(job, "params");
    for (size_t i = 0; i < HD_COUNT(columns) && code == HD_OK; i++)
        code = write_value(export->out, i == 0, hd_value_get(job, columns[i]), err);
    const struct hd_value *measures = hd_value_get(job, "measures");
    size_t count = cli_measure_count(export->head);
    for (size_t i = 0; i < count && code == HD_OK; i++)
        code = write_value(export->out, false,
                           measures != NULL && measures->kind == HD_VALUE_ARRAY &&
                                   i < measures->as.array.count
                               ? measures->as.array.items[i]
                               : NULL,
                           err);
    if (count > 0 && code == HD_OK)
        code = write_value(export->out, false, hd_value_get(job, "violation"), err);
    if (hd_value_get(export->head, "noise") != NULL && code == HD_OK)
        code = write_value(export->out, false, hd_value_get(job, "repeat"), err);
    for (size_t i = 0; i < key_count(export) && code == HD_OK; i++) {
        if (is_param(export, i))
            code = write_value(export->out, false,
                               hd_value_get(params, export->space->as.object.keys[i]), err);
    }
    fputs("\r\n", export->out);
    return code;
}

/* ---- JSON ----------------------------------------------------------------------------------- */

static enum hd_code write_object(const struct export *export, const struct hd_value *job,
                                 struct hd_err *err)
{
    struct hd_buf text;
    hd_buf_init(&text, (size_t)1 << 22);
    enum hd_code code = hd_json_write(job, HD_JSON_COMPACT, &text, err);
    if (code == HD_OK)
        fprintf(export->out, "%s\n  %s", export->job_count > 0 ? "," : "", hd_buf_text(&text));
    hd_buf_release(&text);
    return code;
}

/* ---- all pages ------------------------------------------------------------------------------ */

static enum hd_code write_page(struct export *export, const struct hd_value *jobs,
                               struct hd_err *err)
{
    enum hd_code code = HD_OK;
    for (size_t i = 0; i < jobs->as.array.count && code == HD_OK; i++) {
        const struct hd_value *job = jobs->as.array.items[i];
        code = export->json ? write_object(export, job, err) : write_record(export, job, err);
        export->job_count++;
    }
    return code;
}

static enum hd_code write_pages(struct export *export, struct hd_err *err)
{
    enum hd_code code = HD_OK;
    for (int64_t after = -1; code == HD_OK;) {
        struct hd_value *arguments = NULL, *answer = NULL;
        code = cli_argument(&arguments, "after", hd_value_new_int(after), err);
        if (code == HD_OK)
            code = cli_argument(&arguments, "limit", hd_value_new_int(PAGE), err);
        if (code == HD_OK)
            code = cli_read(export->source, "export", arguments, &answer, err);
        if (code == HD_OK)
            code = write_page(export, hd_value_get(answer, "jobs"), err);
        const struct hd_value *next = hd_value_get(answer, "next");
        bool more = next != NULL && next->kind == HD_VALUE_INT;
        after = more ? next->as.integer : after;
        hd_value_free(arguments);
        hd_value_free(answer);
        if (!more)
            break;
    }
    return code;
}

static enum hd_code write_all(struct export *export, struct hd_err *err)
{
    struct hd_value *answer = NULL, *head = NULL;
    enum hd_code code = cli_read(export->source, "experiment", NULL, &answer, err);
    if (code == HD_OK)
        code = cli_read(export->source, "status", NULL, &head, err);
    if (code != HD_OK) {
        hd_value_free(answer);
        return code;
    }
    export->head = head;
    const struct hd_value *space = hd_value_get(hd_value_get(answer, "experiment"), "space");
    export->space = space != NULL && space->kind == HD_VALUE_OBJECT ? space : NULL;
    if (export->json)
        fputs("[", export->out);
    else
        write_header(export);
    code = write_pages(export, err);
    if (export->json)
        fputs("\n]\n", export->out);
    hd_value_free(answer);
    hd_value_free(head);
    return code;
}

static enum hd_code open_output(const char *path, FILE **ret_out, struct hd_err *err)
{
    FILE *out = fopen(path, "wbe");
    if (out == NULL)
        return hd_fail(err, HD_E_IO, "%s: %s", path, strerror(errno));
    *ret_out = out;
    return HD_OK;
}

static enum hd_code finish_output(FILE *out, const char *path, struct hd_err *err)
{
    bool failed = ferror(out) != 0;
    failed = (out == stdout ? fflush(out) : fclose(out)) != 0 || failed;
    if (failed)
        return hd_fail(err, HD_E_IO, "%s: %s", path != NULL ? path : "output", strerror(errno));
    return HD_OK;
}

static int export_to(const struct cli_common *common, const char *format, const char *path)
{
    struct hd_err err;
    struct export export = {.json = hd_streq(format, "json"), .out = stdout};
    enum hd_code code = HD_OK;
    if (!export.json && !hd_streq(format, "csv"))
        code = hd_fail(&err, HD_E_INVALID, "--format: \"%s\" is neither csv nor json", format);
    if (code == HD_OK)
        code = cli_open(common, &export.source, &err);
    if (code == HD_OK && path != NULL)
        code = open_output(path, &export.out, &err);
    if (code == HD_OK) {
        code = write_all(&export, &err);
        struct hd_err late;
        if (finish_output(export.out, path, &late) != HD_OK && code == HD_OK) {
            err = late;
            code = late.code;
        }
    }
    cli_close(export.source);
    return code == HD_OK ? HD_EXIT_OK : cli_fail(&err);
}

int cmd_export(int argc, char **argv)
{
    struct cli_common common = {0};
    const char *format = "csv", *path = NULL;
    const struct hd_option options[] = {
        CLI_COMMON_OPTIONS(common),
        {.name = "format",
         .kind = HD_OPTION_TEXT,
         .value = &format,
         .hint = "csv|json",
         .help = "which form"},
        {.name = "output",
         .kind = HD_OPTION_TEXT,
         .value = &path,
         .hint = "FILE",
         .help = "where to; otherwise standard output"},
    };
    const struct hd_program program = {
        .name = "hd export",
        .summary = "all jobs as CSV or JSON",
        .usage = "hd export [RUN] [options]",
        .options = options,
        .option_count = HD_COUNT(options),
        .positional_max = 1,
        .epilogue = "Columns: job, config_id, budget, loss (minimized), outcome, attempt, worker,\n"
                    "submitted, started, finished, params.*; times are UTC. With several\n"
                    "objectives or constraints measures.* (objectives minimized) and violation\n"
                    "stand before params.*.",
    };
    enum hd_parse_answer answer = cli_parse(&program, argc, argv, &common, NULL, 0);
    if (answer != HD_PARSE_GO)
        return answer == HD_PARSE_EXIT_OK ? HD_EXIT_OK : HD_EXIT_USAGE;
    return export_to(&common, common.json ? "json" : format, path);
}
