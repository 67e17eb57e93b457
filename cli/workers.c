/* SPDX-License-Identifier: Apache-2.0 */
/* hd workers: who did what, as the facts know it, and what they may do. */
#include "workers.h"
#include "act.h"
#include "commands.h"
#include "common/cli.h"

#include <hd/fact.h>

#include <stdio.h>

#define WORKERS_MAX 64 /* named in one command */
#define TEST_MS 15000  /* a busy worker answers with its next ping */
#define TEST_MS_MAX 3600000

/* "quarantined: 3 different jobs in a row failed on it". */
static const char *state_text(const struct hd_value *worker, char *cell)
{
    const char *state = cli_text(worker, "state"), *reason = cli_text(worker, "reason");
    bool active = state[0] == '\0' || hd_streq(state, "active");
    (void)hd_format(cell, CLI_CELL_MAX, "%s%s%s", active ? "active" : state,
                    active || reason[0] == '\0' ? "" : ": ", active ? "" : reason);
    return cell;
}

static void print_workers(const struct hd_value *answer)
{
    static const char *const titles[] = {"WORKER",  "ATTEMPTS",   "RUNNING",  "OK",   "NOT OK",
                                         "REFUSED", "LAST LEASE", "LAST END", "STATE"};
    const struct hd_value *workers = hd_value_get(answer, "workers");
    if (workers->as.array.count == 0) {
        printf("no worker has had a job yet\n");
        return;
    }
    struct cli_table *table = cli_table_new(titles, "lrrrrrlll", HD_COUNT(titles));
    for (size_t i = 0; i < workers->as.array.count; i++) {
        const struct hd_value *worker = workers->as.array.items[i];
        char cells[9][CLI_CELL_MAX];
        const char *line[] = {
            cli_cell(worker, "worker", cells[0]),
            cli_cell(worker, "attempts", cells[1]),
            cli_cell(worker, "running", cells[2]),
            cli_cell(worker, "ok", cells[3]),
            cli_cell(worker, "not_ok", cells[4]),
            cli_cell(worker, "refused", cells[5]),
            cli_time(worker, "last_lease", cells[6]),
            cli_time(worker, "last_end", cells[7]),
            state_text(worker, cells[8]),
        };
        cli_table_row(table, line);
    }
    cli_table_end(table);
}

/* ---- orders -----------------------------------------------------------------------------------
 */

static const struct action {
    const char *name;
    enum hd_command_op op;
    const char *done;
} actions[] = {
    {"pause", HD_COMMAND_PAUSE_WORKER, "takes no more jobs until it is resumed"},
    {"resume", HD_COMMAND_RESUME_WORKER, "takes jobs"},
    {"drain", HD_COMMAND_DRAIN_WORKER, "takes no more jobs and leaves when it is idle"},
    {"shutdown", HD_COMMAND_SHUTDOWN_WORKER, "hands its jobs back and leaves"},
};

static const struct action *find_action(const char *word)
{
    for (size_t i = 0; i < HD_COUNT(actions); i++)
        if (hd_streq(word, actions[i].name))
            return &actions[i];
    return NULL;
}

static enum hd_code order_one(const struct cli_common *common, const struct action *action,
                              const char *worker, const char *reason, struct hd_err *err)
{
    const struct cli_order order = {.op = action->op, .reason = reason, .worker = worker};
    enum hd_code code = cli_order(common, &order, err);
    if (code == HD_OK)
        printf("worker %s %s\n", worker, action->done);
    return code;
}

/* Every worker of the list; one that is not here any more cannot be told to leave. */
static enum hd_code order_all(const struct cli_common *common, const struct action *action,
                              const char *reason, struct hd_err *err)
{
    struct cli_source *source = NULL;
    struct hd_value *answer = NULL;
    enum hd_code code = cli_open(common, &source, err);
    if (code == HD_OK)
        code = cli_read(source, "workers", NULL, &answer, err);
    cli_close(source);
    const struct hd_value *workers = code == HD_OK ? hd_value_get(answer, "workers") : NULL;
    for (size_t i = 0; workers != NULL && i < workers->as.array.count && code == HD_OK; i++) {
        code =
            order_one(common, action, cli_text(workers->as.array.items[i], "worker"), reason, err);
        if (code == HD_E_CONFLICT)
            code = HD_OK;
    }
    hd_value_free(answer);
    return code;
}

static int give_orders(const struct cli_common *common, const struct action *action,
                       const char *const *workers, size_t count, bool all, const char *reason)
{
    struct hd_err err;
    enum hd_code code = HD_OK;
    if (all == (count > 0)) {
        (void)hd_fail(&err, HD_E_INVALID, "workers %s: name workers, or give --all", action->name);
        return cli_fail(&err);
    }
    if (all)
        code = order_all(common, action, reason, &err);
    for (size_t i = 0; i < count && code == HD_OK; i++)
        code = order_one(common, action, workers[i], reason, &err);
    return code == HD_OK ? HD_EXIT_OK : cli_fail(&err);
}

int cmd_workers(int argc, char **argv)
{
    struct cli_common common = {0};
    const char *reason = "", *words[1 + WORKERS_MAX];
    bool all = false;
    int64_t timeout_ms = TEST_MS;
    const struct hd_option options[] = {
        {.name = "all", .kind = HD_OPTION_FLAG, .value = &all, .help = "every worker of the list"},
        {.name = "reason",
         .kind = HD_OPTION_TEXT,
         .value = &reason,
         .hint = "TEXT",
         .help = "kept with the worker"},
        {.name = "timeout",
         .kind = HD_OPTION_DURATION,
         .value = &timeout_ms,
         .hint = "TIME",
         .help = "test: how long answers are waited for"},
        CLI_COMMON_OPTIONS(common),
    };
    const struct hd_program program = {
        .name = "hd workers",
        .summary = "who evaluated how much; what workers may do",
        .usage =
            "hd workers [list] [RUN] | pause|resume|drain|shutdown WORKER... | test [WORKER...]",
        .options = options,
        .option_count = HD_COUNT(options),
        .positional_max = HD_COUNT(words),
        .epilogue =
            "Without RUN: over all runs. RUNNING counts leases that have not ended.\n"
            "pause: no more jobs until resume, which also ends a quarantine. drain: leaves when\n"
            "idle. shutdown: stops its targets, hands its jobs back uncharged, leaves.\n"
            "test: every worker answers through the live master and says which engines answer it,\n"
            "whether its work directory takes files, and how many slots are free; the exit code "
            "is\n"
            "0 when all did. Nothing of it is kept.",
    };
    size_t count;
    enum hd_parse_answer parsed = hd_options_parse(&program, argc, argv, words, &count);
    if (parsed != HD_PARSE_GO)
        return parsed == HD_PARSE_EXIT_OK ? HD_EXIT_OK : HD_EXIT_USAGE;
    const struct action *action = count > 0 ? find_action(words[0]) : NULL;
    if (action != NULL)
        return give_orders(&common, action, words + 1, count - 1, all, reason);
    if (count > 0 && hd_streq(words[0], "test")) {
        struct hd_err err;
        if (timeout_ms >= 1 && timeout_ms <= TEST_MS_MAX)
            return workers_test(&common, words + 1, all ? 0 : count - 1, timeout_ms);
        (void)hd_fail(&err, HD_E_INVALID, "--timeout: between 1ms and 1h");
        return cli_fail(&err);
    }
    size_t first = count > 0 && hd_streq(words[0], "list") ? 1 : 0;
    if (count > first + 1 || (count > first && common.run != NULL)) {
        struct hd_err err;
        (void)hd_fail(&err, HD_E_INVALID, "one RUN at most; hd workers --help lists the orders");
        return cli_fail(&err);
    }
    if (count > first)
        common.run = words[first];
    return cli_run_view(&common, "workers", NULL, print_workers);
}
