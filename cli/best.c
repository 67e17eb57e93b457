/* SPDX-License-Identifier: Apache-2.0 */
/* hd best: the best configs. */
#include "commands.h"
#include "common/cli.h"

#include <math.h>
#include <stdio.h>

static void print_params(const struct hd_value *params)
{
    if (params == NULL || params->kind != HD_VALUE_OBJECT)
        return;
    for (size_t i = 0; i < params->as.object.count; i++) {
        char cell[CLI_CELL_MAX];
        printf("  %s: %s\n", params->as.object.keys[i],
               cli_cell(params, params->as.object.keys[i], cell));
    }
}

static void print_table(const struct hd_value *answer, const struct hd_value *rows)
{
    static const char *const last[] = {"BUDGET", "JOB", "CONFIG", "ENDED", "PARAMS"};
    const char *titles[CLI_COLUMNS_MAX] = {cli_objective_name(answer)};
    char aligned[CLI_COLUMNS_MAX + 1];
    size_t more = cli_measure_titles(answer, titles + 1);
    for (size_t i = 0; i < HD_COUNT(last); i++)
        titles[1 + more + i] = last[i];
    (void)hd_format(aligned, sizeof(aligned), "r%.*srrlll", (int)more, "rrrrrrrr");
    bool noisy = hd_value_get(answer, "noise") != NULL;
    if (noisy) { /* such a run has no further measures */
        titles[1] = "ERROR";
        titles[2] = "RESULTS";
        for (size_t i = 0; i < HD_COUNT(last); i++)
            titles[3 + i] = last[i];
        (void)hd_format(aligned, sizeof(aligned), "rrrrrlll");
        more = 2;
    }
    struct cli_table *table = cli_table_new(titles, aligned, 6 + more);
    for (size_t i = 0; i < rows->as.array.count; i++) {
        const struct hd_value *row = rows->as.array.items[i];
        char cells[6][CLI_CELL_MAX], measures[CLI_MEASURE_COLUMNS_MAX][CLI_CELL_MAX];
        const char *line[CLI_COLUMNS_MAX] = {
            cli_objective(answer, hd_value_number(hd_value_get(row, "loss")), cells[0]),
        };
        size_t at = 1 + (noisy ? 2 : cli_measure_cells(answer, row, measures, line + 1));
        if (noisy) {
            line[1] = cli_cell(row, "error", measures[0]);
            line[2] = cli_cell(row, "results", measures[1]);
        }
        line[at++] = cli_cell(row, "budget", cells[1]);
        line[at++] = cli_cell(row, "job", cells[2]);
        line[at++] = cli_cell(row, "config_id", cells[3]);
        line[at++] = cli_time(row, "finished", cells[4]);
        line[at] = cli_params(hd_value_get(row, "params"), cells[5]);
        cli_table_row(table, line);
    }
    cli_table_end(table);
}

/* Several objectives: all that no other config beats, then the next ones. */
static void print_front(const struct hd_value *answer, const struct hd_value *best)
{
    char cell[CLI_CELL_MAX];
    const struct hd_value *volume = hd_value_get(answer, "hypervolume");
    const struct hd_value *reference = hd_value_get(answer, "reference");
    long long size = (long long)cli_integer(answer, "front_size");
    if (size > 0)
        printf("front of %lld config%s at budget %s%s%s\n", size, size == 1 ? "" : "s",
               cli_cell(answer, "budget", cell), cli_text(answer, "budget_unit")[0] ? " " : "",
               cli_text(answer, "budget_unit"));
    else
        printf("no config was feasible; the nearest first\n");
    if (hd_value_get(answer, "front_of_newest") != NULL)
        printf("of the newest %lld results only\n",
               (long long)cli_integer(answer, "front_of_newest"));
    if (volume != NULL && reference != NULL && reference->kind == HD_VALUE_ARRAY) {
        printf("hypervolume %s from (", cli_number(hd_value_number(volume), cell));
        for (size_t i = 0; i < reference->as.array.count; i++)
            printf("%s%s", i > 0 ? ", " : "",
                   cli_number(hd_value_number(reference->as.array.items[i]), cell));
        printf(")\n");
    }
    printf("\n");
    print_table(answer, best);
    if ((long long)best->as.array.count < size)
        printf("%lld more of the front: --count %lld\n", size - (long long)best->as.array.count,
               size);
}

static void print_best(const struct hd_value *answer)
{
    const struct hd_value *best = hd_value_get(answer, "best");
    const struct hd_value *by_budget = hd_value_get(answer, "by_budget");
    const struct hd_value *objective = hd_value_get(answer, "objective");
    if (objective != NULL && objective->kind == HD_VALUE_NULL) {
        printf("nothing is optimized here: a job with exit code 0 has succeeded; see hd jobs\n");
        return;
    }
    if (best->as.array.count == 0) {
        printf("no job has a result%s\n",
               by_budget->as.array.count > 0 ? " at this budget" : " yet");
        return;
    }
    const struct hd_value *first = best->as.array.items[0];
    if (cli_objective_count(answer) > 1) {
        print_front(answer, best);
        return;
    }
    char cell[CLI_CELL_MAX], other[CLI_CELL_MAX];
    char estimate[CLI_CELL_MAX];
    printf("%s %s%s at budget %s%s%s (job %lld)\n", cli_objective_name(answer),
           cli_objective(answer, hd_value_number(hd_value_get(first, "loss")), cell),
           cli_estimate(first, estimate), cli_cell(first, "budget", other),
           cli_text(answer, "budget_unit")[0] ? " " : "", cli_text(answer, "budget_unit"),
           (long long)cli_integer(first, "job"));
    if (hd_streq(cli_feasible(answer, first), "no"))
        printf("no config was feasible: this one is the nearest to it\n");
    print_params(hd_value_get(first, "params"));
    printf("\n");
    print_table(answer, best);
    if (by_budget->as.array.count > 1) {
        printf("\nbest at each budget\n");
        print_table(answer, by_budget);
    }
}

int cmd_best(int argc, char **argv)
{
    struct cli_common common = {0};
    struct hd_err err;
    struct hd_value *arguments = NULL;
    int64_t count = 5;
    double budget = (double)NAN;
    const struct hd_option options[] = {
        CLI_COMMON_OPTIONS(common),
        {.name = "count",
         .kind = HD_OPTION_INT,
         .value = &count,
         .hint = "N",
         .int_min = 1,
         .int_max = 1000,
         .help = "how many"},
        {.name = "budget",
         .kind = HD_OPTION_DOUBLE,
         .value = &budget,
         .hint = "B",
         .help = "at this budget; otherwise the highest with a result"},
    };
    const struct hd_program program = {
        .name = "hd best",
        .summary = "the best configs of a run",
        .usage = "hd best [RUN] [options]",
        .options = options,
        .option_count = HD_COUNT(options),
        .positional_max = 1,
        .epilogue =
            "Losses are shown in the direction of the objective; --json has them minimized.\n"
            "Of a noisy target: what is believed of a config after all its results.\n"
            "With several objectives: the configs that no other one beats, and the hypervolume.",
    };
    enum hd_parse_answer answer = cli_parse(&program, argc, argv, &common, NULL, 0);
    if (answer != HD_PARSE_GO)
        return answer == HD_PARSE_EXIT_OK ? HD_EXIT_OK : HD_EXIT_USAGE;
    enum hd_code code = cli_argument(&arguments, "limit", hd_value_new_int(count), &err);
    if (code == HD_OK && !isnan(budget))
        code = cli_argument(&arguments, "budget", hd_value_new_double(budget), &err);
    if (code != HD_OK) {
        hd_value_free(arguments);
        return cli_fail(&err);
    }
    return cli_run_view(&common, "best", arguments, print_best);
}
