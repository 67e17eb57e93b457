/* SPDX-License-Identifier: Apache-2.0 */
/* hd jobs: a table of jobs. */
#include "commands.h"
#include "common/cli.h"

#include <stdio.h>

static void add_job(struct cli_table *table, const struct hd_value *answer,
                    const struct hd_value *job)
{
    char cells[8][CLI_CELL_MAX], more[CLI_MEASURE_COLUMNS_MAX][CLI_CELL_MAX];
    const char *outcome = cli_text(job, "outcome");
    const char *line[CLI_COLUMNS_MAX] = {
        cli_cell(job, "job", cells[0]),
        cli_cell(job, "config_id", cells[1]),
        cli_cell(job, "budget", cells[2]),
        outcome[0] != '\0' ? outcome : cli_text(job, "state"),
        cli_objective(answer, hd_value_number(hd_value_get(job, "loss")), cells[3]),
    };
    size_t at = 5 + cli_measure_cells(answer, job, more, line + 5);
    line[at++] = cli_cell(job, "attempt", cells[4]);
    line[at++] = cli_cell(job, "worker", cells[5]);
    line[at++] = cli_duration(job, "started", "finished", cells[6]);
    line[at] = cli_params(hd_value_get(job, "params"), cells[7]);
    cli_table_row(table, line);
}

static void print_jobs(const struct hd_value *answer)
{
    static const char *const last[] = {"TRIES", "WORKER", "TOOK", "PARAMS"};
    const char *titles[CLI_COLUMNS_MAX] = {"JOB", "CONFIG", "BUDGET", "OUTCOME",
                                           cli_objective_name(answer)};
    char aligned[CLI_COLUMNS_MAX + 1];
    size_t more = cli_measure_titles(answer, titles + 5);
    for (size_t i = 0; i < HD_COUNT(last); i++)
        titles[5 + more + i] = last[i];
    (void)hd_format(aligned, sizeof(aligned), "rlrlr%.*srlrl", (int)more, "rrrrrrrr");
    const struct hd_value *jobs = hd_value_get(answer, "jobs");
    const struct hd_value *next = hd_value_get(answer, "next");
    struct cli_table *table = cli_table_new(titles, aligned, 9 + more);
    for (size_t i = 0; i < jobs->as.array.count; i++)
        add_job(table, answer, jobs->as.array.items[i]);
    cli_table_end(table);
    if (next != NULL && next->kind == HD_VALUE_INT)
        printf("there may be more: --after %lld\n", (long long)next->as.integer);
}

int cmd_jobs(int argc, char **argv)
{
    struct cli_common common = {0};
    struct hd_err err;
    struct hd_value *arguments = NULL;
    int64_t limit = 100, after = -1;
    const char *state = NULL, *outcome = NULL;
    const struct hd_option options[] = {
        CLI_COMMON_OPTIONS(common),
        {.name = "state",
         .kind = HD_OPTION_TEXT,
         .value = &state,
         .hint = "STATE",
         .help = "only those queued, running or closed"},
        {.name = "outcome",
         .kind = HD_OPTION_TEXT,
         .value = &outcome,
         .hint = "OUTCOME",
         .help = "only those that ended so: ok, failed, timeout ..."},
        {.name = "limit",
         .kind = HD_OPTION_INT,
         .value = &limit,
         .hint = "N",
         .int_min = 1,
         .int_max = 1000,
         .help = "at most so many"},
        {.name = "after",
         .kind = HD_OPTION_INT,
         .value = &after,
         .hint = "JOB",
         .int_min = -1,
         .int_max = UINT32_MAX,
         .help = "only those with a higher number"},
    };
    const struct hd_program program = {
        .name = "hd jobs",
        .summary = "list the jobs (others: trials) of a run",
        .usage = "hd jobs [RUN] [options]",
        .options = options,
        .option_count = HD_COUNT(options),
        .positional_max = 1,
        .epilogue = "hd show JOB tells more of one, hd explain JOB why it is there.",
    };
    enum hd_parse_answer answer = cli_parse(&program, argc, argv, &common, NULL, 0);
    if (answer != HD_PARSE_GO)
        return answer == HD_PARSE_EXIT_OK ? HD_EXIT_OK : HD_EXIT_USAGE;
    enum hd_code code = cli_argument(&arguments, "limit", hd_value_new_int(limit), &err);
    if (code == HD_OK)
        code = cli_argument(&arguments, "after", hd_value_new_int(after), &err);
    if (code == HD_OK && state != NULL)
        code = cli_argument(&arguments, "state", hd_value_new_string(state), &err);
    if (code == HD_OK && outcome != NULL)
        code = cli_argument(&arguments, "outcome", hd_value_new_string(outcome), &err);
    if (code != HD_OK) {
        hd_value_free(arguments);
        return cli_fail(&err);
    }
    return cli_run_view(&common, "jobs", arguments, print_jobs);
}
