/* SPDX-License-Identifier: Apache-2.0 */
/* hd workers: who did what, as the facts know it. */
#include "commands.h"
#include "common/cli.h"

#include <stdio.h>

static void print_workers(const struct hd_value *answer)
{
    static const char *const titles[] = {"WORKER", "ATTEMPTS", "RUNNING",    "OK",
                                         "NOT OK", "REFUSED",  "LAST LEASE", "LAST END"};
    const struct hd_value *workers = hd_value_get(answer, "workers");
    if (workers->as.array.count == 0) {
        printf("no worker has had a job yet\n");
        return;
    }
    struct cli_table *table = cli_table_new(titles, "lrrrrrll", HD_COUNT(titles));
    for (size_t i = 0; i < workers->as.array.count; i++) {
        const struct hd_value *worker = workers->as.array.items[i];
        char cells[8][CLI_CELL_MAX];
        const char *line[] = {
            cli_cell(worker, "worker", cells[0]),     cli_cell(worker, "attempts", cells[1]),
            cli_cell(worker, "running", cells[2]),    cli_cell(worker, "ok", cells[3]),
            cli_cell(worker, "not_ok", cells[4]),     cli_cell(worker, "refused", cells[5]),
            cli_time(worker, "last_lease", cells[6]), cli_time(worker, "last_end", cells[7]),
        };
        cli_table_row(table, line);
    }
    cli_table_end(table);
}

int cmd_workers(int argc, char **argv)
{
    struct cli_common common = {0};
    const struct hd_option options[] = {CLI_COMMON_OPTIONS(common)};
    const struct hd_program program = {
        .name = "hd workers",
        .summary = "who evaluated how much",
        .usage = "hd workers [RUN] [options]",
        .options = options,
        .option_count = HD_COUNT(options),
        .positional_max = 1,
        .epilogue = "Without RUN: over all runs. RUNNING counts leases that have not ended.",
    };
    enum hd_parse_answer answer = cli_parse(&program, argc, argv, &common, NULL, 0);
    if (answer != HD_PARSE_GO)
        return answer == HD_PARSE_EXIT_OK ? HD_EXIT_OK : HD_EXIT_USAGE;
    return cli_run_view(&common, "workers", NULL, print_workers);
}
