/* SPDX-License-Identifier: Apache-2.0 */
/* hd runs: what a state directory holds. */
#include "commands.h"
#include "common/cli.h"

#include <stdio.h>

static void print_runs(const struct hd_value *answer)
{
    static const char *const titles[] = {"RUN",    "STATE", "CONFIGS", "JOBS",    "OK",
                                         "BUDGET", "BEST",  "OF",      "CREATED", "REASON"};
    const struct hd_value *runs = hd_value_get(answer, "runs");
    if (runs->as.array.count == 0) {
        printf("no runs yet\n");
        return;
    }
    struct cli_table *table = cli_table_new(titles, "llrrrrrlll", HD_COUNT(titles));
    for (size_t i = 0; i < runs->as.array.count; i++) {
        const struct hd_value *run = runs->as.array.items[i];
        char cells[7][CLI_CELL_MAX];
        double best = hd_value_number(hd_value_get(run, "best_loss"));
        (void)hd_format(cells[0], CLI_CELL_MAX, "%lld/%lld",
                        (long long)cli_integer(run, "jobs_closed"),
                        (long long)cli_integer(run, "jobs"));
        const char *row[] = {
            cli_text(run, "run_id"),
            cli_text(run, "state"),
            cli_cell(run, "configs", cells[1]),
            cells[0],
            cli_cell(run, "jobs_ok", cells[2]),
            cli_cell(run, "budget_spent", cells[3]),
            cli_objective(run, best, cells[4]),
            cli_text(run, "objective"),
            cli_time(run, "created", cells[5]),
            cli_cell(run, "reason", cells[6]),
        };
        cli_table_row(table, row);
    }
    cli_table_end(table);
}

int cmd_runs(int argc, char **argv)
{
    struct cli_common common = {0};
    const struct hd_option options[] = {CLI_STATE_DIR_OPTION(common), CLI_JSON_OPTION(common),
                                        CLI_REMOTE_OPTIONS(common.remote)};
    const struct hd_program program = {
        .name = "hd runs",
        .summary = "list the runs of a state directory or a master",
        .usage = "hd runs [options]",
        .options = options,
        .option_count = HD_COUNT(options),
        .epilogue = "JOBS are those that are closed and all; BUDGET is what they have spent.",
    };
    enum hd_parse_answer answer = hd_options_parse(&program, argc, argv, NULL, NULL);
    if (answer != HD_PARSE_GO)
        return answer == HD_PARSE_EXIT_OK ? HD_EXIT_OK : HD_EXIT_USAGE;
    return cli_run_view(&common, "runs", NULL, print_runs);
}
