/* SPDX-License-Identifier: Apache-2.0 */
/* hd show: one job with its attempts. */
#include "commands.h"
#include "common/cli.h"

#include <hd/artifacts.h>
#include <hd/graphs.h>

#include <dirent.h>
#include <math.h>
#include <stdio.h>

#define CURVE_SHOWN 20
#define PATH_SIZE_MAX 4096

static void print_line(const char *label, const char *text)
{
    if (text[0] != '\0')
        printf("%-12s%s\n", label, text);
}

static void print_artifacts(const struct hd_value *status)
{
    char cell[CLI_CELL_MAX];
    if (status == NULL)
        return;
    printf("  artifacts %s", cli_cell(status, "state", cell));
    if (hd_streq(cli_text(status, "state"), "shipped"))
        printf(", %lld files, %lld bytes, to %s", (long long)cli_integer(status, "files"),
               (long long)cli_integer(status, "bytes"), cli_cell(status, "url", cell));
    if (cli_text(status, "message")[0] != '\0')
        printf(": %s", cli_cell(status, "message", cell));
    printf("\n");
}

/* A line for each series: where it stands, and between what it moved. */
static void print_series(const struct hd_value *series)
{
    char cell[CLI_CELL_MAX];
    const struct hd_value *x = hd_value_get(series, "x"), *y = hd_value_get(series, "y");
    double low = INFINITY, high = -INFINITY;
    size_t last = y->as.array.count - 1;
    for (size_t i = 0; i <= last; i++) {
        double value = hd_value_number(y->as.array.items[i]);
        low = value < low ? value : low;
        high = value > high ? value : high;
    }
    printf("    %s: %g at %g", cli_cell(series, "label", cell),
           hd_value_number(y->as.array.items[last]), hd_value_number(x->as.array.items[last]));
    int64_t points = cli_integer(series, "points"); /* before some were left out */
    if (last > 0 && low <= high)
        printf(", %lld points from %g to %g",
               (long long)(points > (int64_t)last ? points : (int64_t)last + 1), low, high);
    printf("\n");
}

static void print_graphs(const struct hd_value *graphs)
{
    char cell[CLI_CELL_MAX];
    for (size_t i = 0; graphs != NULL && i < graphs->as.array.count; i++) {
        const struct hd_value *graph = graphs->as.array.items[i];
        const struct hd_value *list = hd_value_get(graph, "series");
        printf("  chart %s", cli_cell(graph, "name", cell));
        if (cli_text(graph, "y_axis")[0] != '\0')
            printf(", %s", cli_cell(graph, "y_axis", cell));
        if (cli_text(graph, "x_axis")[0] != '\0')
            printf(" over %s", cli_cell(graph, "x_axis", cell));
        printf("\n");
        for (size_t k = 0; k < list->as.array.count; k++)
            print_series(list->as.array.items[k]);
    }
}

static void print_attempt(const struct hd_value *answer, const struct hd_value *attempt)
{
    char cell[CLI_CELL_MAX], other[CLI_CELL_MAX];
    const char *outcome = cli_text(attempt, "outcome");
    printf("attempt %lld on %s, leased %s: %s", (long long)cli_integer(attempt, "attempt"),
           cli_cell(attempt, "worker", cell), cli_time(attempt, "leased", other),
           outcome[0] != '\0' ? outcome : "running");
    cli_objective(answer, hd_value_number(hd_value_get(attempt, "loss")), cell);
    if (cell[0] != '\0')
        printf(", %s %s", cli_objective_name(answer), cell);
    if (cli_duration(attempt, "started", "finished", cell)[0] != '\0')
        printf(", took %s", cell);
    if (outcome[0] != '\0' && cli_integer(attempt, "exit_code") > 0)
        printf(", exit code %lld", (long long)cli_integer(attempt, "exit_code"));
    if (cli_is_true(attempt, "requeued"))
        printf(", queued again");
    printf("\n");
    if (cli_cell(attempt, "message", cell)[0] != '\0')
        printf("  %s\n", cell);
    if (cli_cell(attempt, "info", cell)[0] != '\0')
        printf("  info %s\n", cell);
    if (cli_text(attempt, "image")[0] != '\0')
        printf("  image set to %s\n", cli_cell(attempt, "image", cell));
    if (cli_text(attempt, "image_id")[0] != '\0')
        printf("  image %s\n", cli_cell(attempt, "image_id", cell));
    if (cli_text(attempt, "continues_in")[0] != '\0')
        printf("  continued from %s\n", cli_cell(attempt, "continues_in", cell));
    if (cli_text(attempt, "directory")[0] != '\0')
        printf("  left %s\n", cli_cell(attempt, "directory", cell));
    print_artifacts(hd_value_get(attempt, "artifacts"));
    print_graphs(hd_value_get(attempt, "graphs"));
}

static void print_curve(const struct hd_value *answer, const struct hd_value *curve)
{
    const char *titles[] = {"STEP", cli_objective_name(answer), "ATTEMPT"};
    size_t count = curve->as.array.count;
    size_t first = count > CURVE_SHOWN ? count - CURVE_SHOWN : 0;
    if (count == 0)
        return;
    printf("\ncurve%s\n", first > 0 ? " (the last values)" : "");
    struct cli_table *table = cli_table_new(titles, "rrr", HD_COUNT(titles));
    for (size_t i = first; i < count; i++) {
        const struct hd_value *point = curve->as.array.items[i];
        char cells[3][CLI_CELL_MAX];
        const char *line[] = {
            cli_cell(point, "step", cells[0]),
            cli_objective(answer, hd_value_number(hd_value_get(point, "loss")), cells[1]),
            cli_cell(point, "attempt", cells[2]),
        };
        cli_table_row(table, line);
    }
    cli_table_end(table);
}

static void print_head(const struct cli_common *common, const struct hd_value *answer)
{
    char cell[CLI_CELL_MAX];
    const char *outcome = cli_text(answer, "outcome");
    printf("%-12s%lld of run %s\n", "job", (long long)cli_integer(answer, "job"),
           cli_text(answer, "run_id"));
    print_line("state", outcome[0] != '\0' ? outcome : cli_text(answer, "job_state"));
    print_line("config", cli_cell(answer, "config_id", cell));
    print_line("params", cli_params(hd_value_get(answer, "params"), cell));
    print_line("sampler", cli_cell(answer, "sampler", cell));
    printf("%-12s%s", "budget", cli_cell(answer, "budget", cell));
    printf("%s%s", cli_text(answer, "budget_unit")[0] ? " " : "", cli_text(answer, "budget_unit"));
    if (cli_cell(answer, "budget_previous", cell)[0] != '\0')
        printf(", before that %s", cell);
    printf("\n");
    print_line("repeat", cli_cell(answer, "repeat", cell));
    print_line("requeue of", cli_cell(answer, "again", cell));
    print_line("requeued as", cli_cell(answer, "requeued_as", cell));
    print_line(cli_objective_name(answer),
               cli_objective(answer, hd_value_number(hd_value_get(answer, "loss")), cell));
    for (size_t i = 1; i < cli_measure_count(answer); i++)
        print_line(cli_measure_name(answer, i), cli_measure(answer, answer, i, cell));
    print_line("feasible", cli_feasible(answer, answer));
    print_line("submitted", cli_time(answer, "submitted", cell));
    print_line("started", cli_time(answer, "started", cell));
    print_line("finished", cli_time(answer, "finished", cell));
    print_line("message", cli_cell(answer, "message", cell));
    printf("%-12shd rerun %lld %s%s --print\n", "by hand", (long long)cli_integer(answer, "job"),
           cli_text(answer, "run_id"), cli_where(common, cell));
}

static void print_job(const struct cli_common *common, const struct hd_value *answer)
{
    const struct hd_value *attempts = hd_value_get(answer, "attempts");
    const struct hd_value *refused = hd_value_get(answer, "refused");
    char cell[CLI_CELL_MAX], other[CLI_CELL_MAX];
    print_head(common, answer);
    if (attempts->as.array.count > 0)
        printf("\n");
    for (size_t i = 0; i < attempts->as.array.count; i++)
        print_attempt(answer, attempts->as.array.items[i]);
    for (size_t i = 0; i < refused->as.array.count; i++)
        printf("refused report of attempt %lld by %s: %s\n",
               (long long)cli_integer(refused->as.array.items[i], "attempt"),
               cli_cell(refused->as.array.items[i], "worker", cell),
               cli_cell(refused->as.array.items[i], "reason", other));
    print_curve(answer, hd_value_get(answer, "curve"));
}

/* ---- what workers of this machine have of a job ---------------------------------------------- */

static struct hd_value *read_status(const char *path)
{
    const struct hd_value_limits limits = {HD_ARTIFACT_STATUS_BYTES_MAX, 100, 3};
    struct hd_value *status = NULL;
    struct hd_buf text;
    struct hd_err ignored;
    hd_buf_init(&text, HD_ARTIFACT_STATUS_BYTES_MAX + 1u);
    if (hd_file_read(path, HD_ARTIFACT_STATUS_BYTES_MAX, true, &text, &ignored) == HD_OK)
        (void)!hd_json_parse(hd_buf_text(&text), text.size, path, &limits, &status, &ignored);
    hd_buf_release(&text);
    return status;
}

/* As the target has drawn them by now; what is no chart is passed over, for it may be half
 * written. */
static struct hd_value *read_graphs(const char *path)
{
    struct hd_value *graphs = NULL;
    struct hd_buf text;
    struct hd_err ignored;
    hd_buf_init(&text, HD_GRAPHS_BYTES_MAX + 1u);
    if (hd_file_read(path, HD_GRAPHS_BYTES_MAX, true, &text, &ignored) == HD_OK && text.size > 0)
        (void)!hd_graphs_parse(hd_buf_text(&text), text.size, &graphs, &ignored);
    hd_buf_release(&text);
    return graphs;
}

/* Of the first worker's directory where `read` finds something in JOB-ATTEMPT followed by `name`;
 * NULL none. */
static struct hd_value *find_in_runs(const char *work, const char *run_id, int64_t job,
                                     int64_t attempt, const char *name,
                                     struct hd_value *(*read)(const char *path))
{
    struct hd_value *found = NULL;
    DIR *directory = opendir(work);
    struct dirent *entry;
    while (directory != NULL && found == NULL && (entry = readdir(directory)) != NULL) {
        char path[PATH_SIZE_MAX];
        if (entry->d_name[0] != '.' &&
            hd_format(path, sizeof(path), "%s/%s/%s/run/%lld-%lld%s", work, entry->d_name, run_id,
                      (long long)job, (long long)attempt, name))
            found = read(path);
    }
    if (directory != NULL)
        closedir(directory);
    return found;
}

/* What came with results is checked before it is shown: workers said it. Without charts nothing is
 * said of them. */
static enum hd_code take_graphs(struct hd_value *answer, struct hd_err *err)
{
    const struct hd_value *attempts = hd_value_get(answer, "attempts");
    for (size_t i = 0; attempts != NULL && i < attempts->as.array.count; i++) {
        struct hd_value *attempt = attempts->as.array.items[i], *graphs = NULL;
        const struct hd_value *summary = hd_value_get(attempt, "graphs");
        struct hd_err ignored;
        if (summary == NULL)
            continue;
        if (hd_graphs_read_summary(summary, &graphs, &ignored) != HD_OK)
            graphs = hd_value_new_array();
        if (graphs == NULL || hd_value_set(attempt, "graphs", graphs) != HD_OK)
            return hd_fail(err, HD_E_NOMEM, "no memory");
    }
    return HD_OK;
}

static enum hd_code add_local(const char *state_dir, struct hd_value *answer, struct hd_err *err)
{
    static const struct {
        const char *key, *name;
        struct hd_value *(*read)(const char *path);
    } parts[] = {
        {"artifacts", HD_ARTIFACT_STATUS_SUFFIX, read_status},
        {"graphs", "/graph.json", read_graphs}, /* as early targets call it */
        {"graphs", "/graphs.json", read_graphs},
    };
    const struct hd_value *attempts = hd_value_get(answer, "attempts");
    char work[PATH_SIZE_MAX];
    if (!hd_format(work, sizeof(work), "%s/work", state_dir))
        return HD_OK;
    for (size_t i = 0; i < attempts->as.array.count; i++) {
        struct hd_value *attempt = attempts->as.array.items[i];
        for (size_t k = 0; k < HD_COUNT(parts); k++) {
            struct hd_value *found =
                find_in_runs(work, cli_text(answer, "run_id"), cli_integer(answer, "job"),
                             cli_integer(attempt, "attempt"), parts[k].name, parts[k].read);
            if (found != NULL && hd_value_set(attempt, parts[k].key, found) != HD_OK)
                return hd_fail(err, HD_E_NOMEM, "no memory");
        }
    }
    return HD_OK;
}

static int show(const struct cli_common *common, struct hd_value *arguments)
{
    struct hd_err err;
    struct cli_source *source = NULL;
    struct hd_value *answer = NULL;
    enum hd_code code = cli_open(common, &source, &err);
    if (code == HD_OK)
        code = cli_read(source, "job", arguments, &answer, &err);
    if (code == HD_OK)
        code = take_graphs(answer, &err);
    if (code == HD_OK)
        code = add_local(cli_state_dir(common->state_dir), answer, &err);
    if (code == HD_OK && common->json)
        code = cli_print_json(answer, HD_JSON_PRETTY, &err);
    else if (code == HD_OK)
        print_job(common, answer);
    hd_value_free(answer);
    cli_close(source);
    return code == HD_OK ? HD_EXIT_OK : cli_fail(&err);
}

int cmd_show(int argc, char **argv)
{
    struct cli_common common = {0};
    struct hd_err err;
    struct hd_value *arguments = NULL;
    const char *words[1];
    int64_t job = 0;
    const struct hd_option options[] = {CLI_COMMON_OPTIONS(common)};
    const struct hd_program program = {
        .name = "hd show",
        .summary = "everything about one job",
        .usage = "hd show JOB|best [RUN] [options]",
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
    if (code == HD_OK)
        code = cli_argument(&arguments, "limit", hd_value_new_int(1000), &err);
    if (code != HD_OK) {
        hd_value_free(arguments);
        return cli_fail(&err);
    }
    int exit_code = show(&common, arguments);
    hd_value_free(arguments);
    return exit_code;
}
