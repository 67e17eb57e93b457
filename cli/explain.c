/* SPDX-License-Identifier: Apache-2.0 */
/* hd explain: the story of one job. */
#include "commands.h"
#include "common/cli.h"

#include <stdio.h>

static void print_story(const struct hd_value *answer)
{
    const struct hd_value *story = hd_value_get(answer, "story");
    char cell[CLI_CELL_MAX], other[CLI_CELL_MAX];
    printf("job %lld of run %s, config %s\n", (long long)cli_integer(answer, "job"),
           cli_text(answer, "run_id"), cli_cell(answer, "config_id", cell));
    printf("  %s\n\n", cli_params(hd_value_get(answer, "params"), cell));
    for (size_t i = 0; i < story->as.array.count; i++) {
        const struct hd_value *entry = story->as.array.items[i];
        printf("%-19s  %s\n", cli_time(entry, "time", cell), cli_cell(entry, "text", other));
    }
}

int cmd_explain(int argc, char **argv)
{
    struct cli_common common = {0};
    struct hd_err err;
    struct hd_value *arguments = NULL;
    const char *words[1];
    int64_t job = 0;
    const struct hd_option options[] = {CLI_COMMON_OPTIONS(common)};
    const struct hd_program program = {
        .name = "hd explain",
        .summary = "why a job was proposed, promoted, retried, stopped",
        .usage = "hd explain JOB|best [RUN] [options]",
        .options = options,
        .option_count = HD_COUNT(options),
        .positional_min = 1,
        .positional_max = 2,
        .epilogue = "JOB is a number of hd jobs; best: the one that hd best names first.",
    };
    enum hd_parse_answer answer = cli_parse(&program, argc, argv, &common, words, 1);
    if (answer != HD_PARSE_GO)
        return answer == HD_PARSE_EXIT_OK ? HD_EXIT_OK : HD_EXIT_USAGE;
    enum hd_code code = cli_parse_job(words[0], &job, &err);
    if (code == HD_OK)
        code = cli_argument(&arguments, "job", hd_value_new_int(job), &err);
    if (code != HD_OK) {
        hd_value_free(arguments);
        return cli_fail(&err);
    }
    return cli_run_view(&common, "explain", arguments, print_story);
}
