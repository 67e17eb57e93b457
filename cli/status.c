/* SPDX-License-Identifier: Apache-2.0 */
/* hd status: one run at a glance. */
#include "commands.h"
#include "common/cli.h"

#include <stdio.h>

static void print_line(const char *label, const char *text)
{
    printf("%-12s%s\n", label, text);
}

static void print_jobs(const struct hd_value *answer)
{
    const struct hd_value *jobs = hd_value_get(answer, "jobs");
    const struct hd_value *outcomes = hd_value_get(answer, "outcomes");
    printf("%-12s%lld: %lld closed, %lld running, %lld queued\n", "jobs",
           (long long)cli_integer(jobs, "total"), (long long)cli_integer(jobs, "closed"),
           (long long)cli_integer(jobs, "running"), (long long)cli_integer(jobs, "queued"));
    if (outcomes->as.object.count == 0)
        return;
    printf("%-12s", "outcomes");
    for (size_t i = 0; i < outcomes->as.object.count; i++)
        printf("%s%s %lld", i > 0 ? ", " : "", outcomes->as.object.keys[i],
               (long long)outcomes->as.object.items[i]->as.integer);
    printf("\n");
}

static void print_failure(const struct hd_value *answer)
{
    const struct hd_value *failure = hd_value_get(answer, "last_failure");
    char cell[CLI_CELL_MAX], time[CLI_CELL_MAX];
    if (failure == NULL || failure->kind != HD_VALUE_OBJECT)
        return;
    printf("%-12sthe last one: job %lld %s, %s%s\n", "failures",
           (long long)cli_integer(failure, "job"), cli_text(failure, "outcome"),
           cli_time(failure, "finished", time),
           cli_is_true(failure, "requeued") ? ", queued again" : "");
    print_line("", cli_cell(failure, "message", cell));
}

static void print_incumbent(const struct hd_value *answer)
{
    const struct hd_value *incumbent = hd_value_get(answer, "incumbent");
    const struct hd_value *objective = hd_value_get(answer, "objective");
    char cell[CLI_CELL_MAX], other[CLI_CELL_MAX];
    if (objective != NULL && objective->kind == HD_VALUE_NULL) {
        print_line("objective", "none: a job with exit code 0 has succeeded");
        return;
    }
    if (incumbent->kind == HD_VALUE_NULL) {
        print_line("best", "none yet");
        return;
    }
    char estimate[CLI_CELL_MAX];
    printf("%-12s%s %s%s at budget %s%s%s\n", "best", cli_objective_name(answer),
           cli_objective(answer, hd_value_number(hd_value_get(incumbent, "loss")), cell),
           cli_estimate(incumbent, estimate), cli_cell(incumbent, "budget", other),
           cli_text(answer, "budget_unit")[0] ? " " : "", cli_text(answer, "budget_unit"));
    for (size_t i = 1; i < cli_measure_count(answer); i++)
        printf("%-12s%s %s\n", "", cli_measure_name(answer, i),
               cli_measure(answer, incumbent, i, cell));
    if (hd_streq(cli_feasible(answer, incumbent), "no"))
        print_line("", "not feasible: no config was so far");
    if (cli_objective_count(answer) > 1)
        printf("%-12sone of %lld on the front; see hd best\n", "",
               (long long)cli_integer(answer, "front_size"));
    printf("%-12sjob %lld, config %s\n", "", (long long)cli_integer(incumbent, "job"),
           cli_cell(incumbent, "config_id", cell));
    print_line("", cli_params(hd_value_get(incumbent, "params"), cell));
}

static bool is_silent(enum hd_code code)
{
    return code == HD_E_NET || code == HD_E_TIMEOUT;
}

/* A master that holds its commits for want of room answers nobody. */
static const char *why_unknown(enum hd_code code)
{
    if (code == HD_E_NOTFOUND)
        return "a master: none serves it now (hd resume)";
    return is_silent(code) ? "its master, which does not answer: its disk may be full, see its log"
                           : "what its master does not say: ";
}

static void read_waits(const struct cli_common *common, struct hd_value *answer)
{
    struct hd_value *waits = NULL;
    struct hd_err err;
    const char *state = cli_text(answer, "state");
    if (!hd_streq(state, "active") && !hd_streq(state, "closing"))
        return;
    enum hd_code code = cli_waits(common, cli_text(answer, "run_id"), &waits, &err);
    if (code != HD_OK && (waits = hd_value_new_object()) != NULL) {
        char text[sizeof(err.text) + 32];
        (void)hd_format(text, sizeof(text), "%s%s", why_unknown(code),
                        code == HD_E_NOTFOUND || is_silent(code) ? "" : err.text);
        if (hd_value_set(waits, "text", hd_value_new_string(text)) != HD_OK) {
            hd_value_free(waits);
            return;
        }
    }
    (void)!hd_value_set(answer, "waits", waits);
}

static void print_status(const struct hd_value *answer)
{
    char cell[CLI_CELL_MAX];
    print_line("run", cli_text(answer, "run_id"));
    printf("%-12s%s%s%s\n", "state", cli_text(answer, "state"),
           cli_text(answer, "reason")[0] != '\0' ? ": " : "", cli_cell(answer, "reason", cell));
    const char *waits = cli_text(hd_value_get(answer, "waits"), "text");
    if (waits[0] != '\0')
        print_line("waits for", waits);
    print_line("created", cli_time(answer, "created", cell));
    print_line("configs", cli_cell(answer, "configs", cell));
    if (hd_value_get(answer, "known") != NULL) {
        char known[CLI_CELL_MAX];
        (void)hd_format(known, sizeof(known), "%s results of earlier runs",
                        cli_cell(answer, "known", cell));
        print_line("known", known);
    }
    print_jobs(answer);
    print_failure(answer);
    printf("%-12s%lld", "attempts", (long long)cli_integer(answer, "attempts"));
    if (cli_integer(answer, "requeued") > 0)
        printf(", %lld queued again", (long long)cli_integer(answer, "requeued"));
    if (cli_integer(answer, "refused_reports") > 0)
        printf(", %lld late reports refused", (long long)cli_integer(answer, "refused_reports"));
    printf("\n%-12s%s", "budget", cli_cell(answer, "budget_spent", cell));
    printf("%s%s spent\n", cli_text(answer, "budget_unit")[0] ? " " : "",
           cli_text(answer, "budget_unit"));
    if (cli_cell(answer, "rate_per_minute", cell)[0] != '\0')
        printf("%-12s%s jobs a minute; the last ended %s\n", "rate", cell,
               cli_time(answer, "last_end", (char[CLI_CELL_MAX]){0}));
    print_incumbent(answer);
}

int cmd_status(int argc, char **argv)
{
    struct cli_common common = {0};
    const struct hd_option options[] = {CLI_COMMON_OPTIONS(common)};
    const struct hd_program program = {
        .name = "hd status",
        .summary = "how a run is doing",
        .usage = "hd status [RUN] [options]",
        .options = options,
        .option_count = HD_COUNT(options),
        .positional_max = 1,
        .epilogue =
            "best: the best config so far at the highest budget that has a result.\n"
            "waits for: the job that runs longest, its worker and its lease, or why nothing\n"
            "runs, as the live master knows it.",
    };
    enum hd_parse_answer answer = cli_parse(&program, argc, argv, &common, NULL, 0);
    if (answer != HD_PARSE_GO)
        return answer == HD_PARSE_EXIT_OK ? HD_EXIT_OK : HD_EXIT_USAGE;
    struct hd_err err;
    struct cli_source *source = NULL;
    struct hd_value *status = NULL;
    enum hd_code code = cli_open(&common, &source, &err);
    if (code == HD_OK)
        code = cli_read(source, "status", NULL, &status, &err);
    cli_close(source);
    if (code == HD_OK)
        read_waits(&common, status);
    if (code == HD_OK && common.json)
        code = cli_print_json(status, HD_JSON_PRETTY, &err);
    else if (code == HD_OK)
        print_status(status);
    hd_value_free(status);
    return code == HD_OK ? HD_EXIT_OK : cli_fail(&err);
}
