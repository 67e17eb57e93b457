/* SPDX-License-Identifier: Apache-2.0 */
/* hd set: other limits for a run, while it goes on or after it finished. */
#include "act.h"
#include "commands.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

/* The value as the master reads it: a number; times in milliseconds. */
static enum hd_code read_value(const char *text, struct cli_order *order,
                               char ret_value[HD_DOUBLE_TEXT_SIZE], struct hd_err *err)
{
    double number;
    int64_t ms;
    bool none = hd_streq(text, "none");
    if (none && order->limit == HD_LIMIT_GOAL) {
        (void)hd_copy_text(ret_value, HD_DOUBLE_TEXT_SIZE, text);
        return HD_OK;
    }
    if (none) {
        number = 0;
    } else if (order->limit == HD_LIMIT_TIME) {
        enum hd_code code = hd_parse_duration(text, &ms, err);
        if (code != HD_OK)
            return hd_fail_in(err, "time");
        number = (double)ms;
    } else if (!hd_parse_double(text, &number) || !isfinite(number)) {
        return hd_fail(err, HD_E_INVALID, "%s=%.60s: not a number", hd_limit_name(order->limit),
                       text);
    }
    hd_format_double(ret_value, HD_DOUBLE_TEXT_SIZE, number);
    return HD_OK;
}

enum hd_code cli_parse_limit(const char *text, struct cli_order *order,
                             char ret_value[HD_DOUBLE_TEXT_SIZE], struct hd_err *err)
{
    const char *equals = strchr(text, '=');
    char name[HD_ID_MAX + 1];
    if (equals == NULL || !hd_format(name, sizeof(name), "%.*s", (int)(equals - text), text))
        return hd_fail(err, HD_E_INVALID, "\"%.60s\" is not LIMIT=VALUE, such as jobs=200", text);
    if (!hd_limit_parse(name, &order->limit)) {
        const char *names[HD_LIMIT_COUNT];
        for (int i = 0; i < HD_LIMIT_COUNT; i++)
            names[i] = hd_limit_name((enum hd_limit)i);
        const char *nearest = hd_nearest(name, names, HD_LIMIT_COUNT);
        return nearest != NULL
                   ? hd_fail(err, HD_E_INVALID, "unknown limit \"%s\"; did you mean \"%s\"?", name,
                             nearest)
                   : hd_fail(err, HD_E_INVALID, "unknown limit \"%s\"; see hd set --help", name);
    }
    order->op = HD_COMMAND_SET_LIMIT;
    enum hd_code code = read_value(equals + 1, order, ret_value, err);
    order->limit_value = ret_value;
    return code;
}

enum hd_code cli_set_limit(const struct cli_common *where, const char *run_id, const char *text,
                           struct hd_err *err)
{
    char value[HD_DOUBLE_TEXT_SIZE];
    struct cli_order order = {.run_id = run_id};
    enum hd_code code = cli_parse_limit(text, &order, value, err);
    return code == HD_OK ? cli_order(where, &order, err) : code;
}

int cmd_set(int argc, char **argv)
{
    struct cli_common where = {0};
    const char *positionals[1 + HD_LIMIT_COUNT];
    const struct hd_option options[] = {
        CLI_STATE_DIR_OPTION(where),
        CLI_REMOTE_OPTIONS(where.remote),
    };
    const struct hd_program program = {
        .name = "hd set",
        .summary = "changes limits of a run, while it goes on or after it finished",
        .usage = "hd set RUN LIMIT=VALUE ...",
        .options = options,
        .option_count = HD_COUNT(options),
        .positional_min = 2,
        .positional_max = HD_COUNT(positionals),
        .epilogue =
            "LIMIT: configs, jobs, full_evaluations, iterations, time (90m), failures, budget,\n"
            "no_improvement, goal, parallel, priority. VALUE none takes a limit away.\n"
            "A finished run goes on with hd resume when it has more to do.",
    };
    size_t count;
    enum hd_parse_answer parsed = hd_options_parse(&program, argc, argv, positionals, &count);
    if (parsed != HD_PARSE_GO)
        return parsed == HD_PARSE_EXIT_OK ? HD_EXIT_OK : HD_EXIT_USAGE;
    struct hd_err err;
    for (size_t i = 1; i < count; i++) { /* all are read before one is sent */
        struct cli_order order = {0};
        char value[HD_DOUBLE_TEXT_SIZE];
        if (cli_parse_limit(positionals[i], &order, value, &err) != HD_OK)
            return cli_fail(&err);
    }
    for (size_t i = 1; i < count; i++) {
        if (cli_set_limit(&where, positionals[0], positionals[i], &err) != HD_OK)
            return cli_fail(&err);
        printf("run %s: %s\n", positionals[0], positionals[i]);
    }
    return HD_EXIT_OK;
}
