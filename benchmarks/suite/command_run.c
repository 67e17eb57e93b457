/* SPDX-License-Identifier: Apache-2.0 */
/* command_run.c: hd-bench run: which methods, on which tasks, with which seeds; and hd-bench tasks.
 */
#include "commands.h"
#include "report.h"

#include <hd/os.h>

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define METHODS_MAX 64
#define SEEDS_MAX 100000

struct options {
    const char *suite, *tasks, *checkpoints, *data_dir, *methods_file, *accounting;
    const char *sampler, *generator, *against, *json, *lines, *svg;
    struct hd_text_list methods;
    int64_t seeds, first_seed, workers, jobs;
    double full_evaluations;
    bool by_task, core, quiet;
};

struct work {
    struct options options;
    struct hd_value *methods_file;
    struct hd_value *own_method;
    struct bench_problem *problems[BENCH_PROBLEMS_MAX];
    const char *method_names[METHODS_MAX];
    const struct hd_value *methods[METHODS_MAX];
    struct bench_unit *units;
    struct bench_result *results;
    double checkpoints[BENCH_CHECKPOINTS_MAX];
    size_t checkpoint_count;
    struct bench_plan plan;
};

/* ---- reading what was asked for -------------------------------------------------------------- */

/* The next word of a list separated by commas or spaces; false at the end. */
static bool next_word(const char **text, char *ret_word, size_t size)
{
    *text += strspn(*text, ", ");
    size_t length = strcspn(*text, ", ");
    if (length == 0 || length >= size)
        return false;
    memcpy(ret_word, *text, length);
    ret_word[length] = '\0';
    *text += length;
    return true;
}

static enum hd_code read_checkpoints(struct work *work, struct hd_err *err)
{
    const char *text = work->options.checkpoints;
    char word[BENCH_NAME_MAX];
    while (next_word(&text, word, sizeof(word))) {
        double number;
        if (!hd_parse_double(word, &number) || !(number > 0) || !isfinite(number))
            return hd_fail(err, HD_E_INVALID, "--checkpoints: %s is no number above 0", word);
        if (work->checkpoint_count == BENCH_CHECKPOINTS_MAX)
            return hd_fail(err, HD_E_INVALID, "--checkpoints: at most %d", BENCH_CHECKPOINTS_MAX);
        if (number <= work->options.full_evaluations)
            work->checkpoints[work->checkpoint_count++] = number;
    }
    if (work->checkpoint_count == 0)
        return hd_fail(err, HD_E_INVALID, "--checkpoints: none up to --full-evaluations");
    return HD_OK;
}

static enum hd_code open_problems(struct work *work, struct hd_err *err)
{
    struct hd_buf names;
    char word[BENCH_NAME_MAX];
    hd_buf_init(&names, 1 << 16);
    enum hd_code code = HD_OK;
    if (work->options.tasks != NULL)
        code = hd_buf_puts(&names, work->options.tasks, err);
    else
        code = bench_tasks(work->options.suite, work->options.data_dir, &names, err);
    const char *text = hd_buf_text(&names);
    while (code == HD_OK && next_word(&text, word, sizeof(word))) {
        if (work->plan.problem_count == BENCH_PROBLEMS_MAX)
            code = hd_fail(err, HD_E_LIMIT, "--task: at most %d", BENCH_PROBLEMS_MAX);
        else
            code = bench_problem_open(work->options.suite, word, work->options.data_dir,
                                      &work->problems[work->plan.problem_count], err);
        if (code == HD_OK)
            work->plan.problem_count++;
    }
    if (code == HD_OK && work->plan.problem_count == 0)
        code = hd_fail(err, HD_E_INVALID, "--task: '' is no task");
    hd_buf_release(&names);
    return code;
}

static enum hd_code parse_yaml(const char *option, const char *text, struct hd_value **ret_value,
                               struct hd_err *err)
{
    return hd_yaml_parse(text, strlen(text), option, &hd_value_limits_file, ret_value, err);
}

/* --sampler and --generator make a method of their own. */
static enum hd_code read_own_method(struct work *work, struct hd_err *err)
{
    const char *const texts[] = {work->options.sampler, work->options.generator};
    static const char *const options[] = {"--sampler", "--generator"};
    static const char *const keys[] = {"sampler", "iteration_generator"};
    if (texts[0] == NULL && texts[1] == NULL)
        return HD_OK;
    work->own_method = hd_value_new_object();
    for (size_t i = 0; i < HD_COUNT(texts); i++) {
        struct hd_value *value = NULL;
        if (texts[i] == NULL)
            continue;
        enum hd_code code = parse_yaml(options[i], texts[i], &value, err);
        if (code != HD_OK)
            return code;
        if (hd_value_set(work->own_method, keys[i], value) != HD_OK)
            return hd_fail(err, HD_E_NOMEM, "no memory for a method");
    }
    work->methods[work->plan.method_count] = work->own_method;
    work->method_names[work->plan.method_count++] = "command-line";
    return HD_OK;
}

static enum hd_code find_methods(struct work *work, struct hd_err *err)
{
    struct hd_buf text;
    hd_buf_init(&text, BENCH_FILE_BYTES_MAX);
    enum hd_code code =
        hd_file_read(work->options.methods_file, BENCH_FILE_BYTES_MAX, false, &text, err);
    if (code == HD_OK)
        code = hd_yaml_parse(hd_buf_text(&text), text.size, work->options.methods_file,
                             &hd_value_limits_file, &work->methods_file, err);
    hd_buf_release(&text);
    if (code == HD_OK && work->methods_file->kind != HD_VALUE_OBJECT)
        code =
            hd_fail(err, HD_E_INVALID, "%s: a map of methods expected", work->options.methods_file);
    for (size_t i = 0; code == HD_OK && i < work->options.methods.count; i++) {
        const char *name = work->options.methods.items[i];
        const struct hd_value *method = hd_value_get(work->methods_file, name);
        if (method == NULL) {
            const char *nearest =
                hd_nearest(name, (const char *const *)work->methods_file->as.object.keys,
                           work->methods_file->as.object.count);
            return hd_fail(err, HD_E_NOTFOUND, "there is no method %s in %s%s%s", name,
                           work->options.methods_file, nearest != NULL ? "; did you mean " : "",
                           nearest != NULL ? nearest : "");
        }
        if (work->plan.method_count == METHODS_MAX - 1)
            return hd_fail(err, HD_E_LIMIT, "--method: at most %d", METHODS_MAX - 1);
        work->methods[work->plan.method_count] = method;
        work->method_names[work->plan.method_count++] = name;
    }
    if (code == HD_OK)
        code = read_own_method(work, err);
    if (code == HD_OK && work->plan.method_count == 0)
        code = hd_fail(err, HD_E_INVALID, "name a --method, or give --sampler and --generator");
    return code;
}

/* A method that cannot be is refused before anything runs. */
static enum hd_code check_methods(struct work *work, struct hd_err *err)
{
    for (size_t m = 0; m < work->plan.method_count; m++) {
        struct hd_experiment *experiment = NULL;
        enum hd_code code =
            bench_method_make(work->problems[0], work->methods[m], &experiment, err);
        hd_experiment_free(experiment);
        if (code != HD_OK)
            return hd_fail_in(err, "%s", work->method_names[m]);
    }
    return HD_OK;
}

static enum hd_code read_accounting(const char *name, enum bench_accounting *ret_accounting,
                                    struct hd_err *err)
{
    static const char *const names[] = {"ended", "running", "steps"};
    for (size_t i = 0; i < HD_COUNT(names); i++)
        if (hd_streq(names[i], name)) {
            *ret_accounting = (enum bench_accounting)i;
            return HD_OK;
        }
    return hd_fail(err, HD_E_INVALID, "--accounting: ended, running or steps; not %s", name);
}

/* The runs: seeds outside, so that a stopped bench has compared all methods on some seeds. */
static enum hd_code plan_units(struct work *work, struct hd_err *err)
{
    size_t seeds = (size_t)work->options.seeds;
    size_t count = seeds * work->plan.problem_count * work->plan.method_count, index = 0;
    work->units = calloc(count, sizeof(*work->units));
    if (work->units == NULL)
        return hd_fail(err, HD_E_NOMEM, "no memory for %zu runs", count);
    for (size_t s = 0; s < seeds; s++)
        for (size_t p = 0; p < work->plan.problem_count; p++)
            for (size_t m = 0; m < work->plan.method_count; m++)
                work->units[index++] =
                    (struct bench_unit){p, m, (uint64_t)work->options.first_seed + s};
    work->plan.units = work->units;
    work->plan.unit_count = count;
    work->plan.problems = work->problems;
    work->plan.methods = work->methods;
    work->plan.method_names = work->method_names;
    work->plan.workers = (uint32_t)work->options.workers;
    work->plan.core = work->options.core;
    work->plan.checkpoints = work->checkpoints;
    work->plan.checkpoint_count = work->checkpoint_count;
    work->plan.full_evaluations = work->options.full_evaluations;
    work->plan.processes = (uint32_t)work->options.jobs;
    work->plan.progress = !work->options.quiet && isatty(STDERR_FILENO);
    return bench_results_new(count, &work->results, err);
}

typedef enum hd_code writer(const struct work *work, struct hd_buf *out, struct hd_err *err);

static enum hd_code write_json(const struct work *work, struct hd_buf *out, struct hd_err *err)
{
    return bench_json_write(&work->plan, work->results, out, err);
}

static enum hd_code write_svg(const struct work *work, struct hd_buf *out, struct hd_err *err)
{
    return bench_svg_write(&work->plan, work->results, out, err);
}

static enum hd_code write_file(const struct work *work, const char *path, writer *write_it,
                               struct hd_err *err)
{
    struct hd_buf text;
    if (path == NULL)
        return HD_OK;
    hd_buf_init(&text, BENCH_REPORT_BYTES_MAX);
    enum hd_code code = write_it(work, &text, err);
    if (code == HD_OK)
        code = hd_file_write_atomic(path, hd_buf_text(&text), text.size, 0644, err);
    hd_buf_release(&text);
    return code;
}

/* SIZE_MAX: not compared. */
static enum hd_code find_against(const struct work *work, size_t *ret_against, struct hd_err *err)
{
    const char *name = work->options.against;
    *ret_against = SIZE_MAX;
    for (size_t m = 0; name != NULL && m < work->plan.method_count; m++)
        if (hd_streq(work->method_names[m], name))
            *ret_against = m;
    return name != NULL && *ret_against == SIZE_MAX
               ? hd_fail(err, HD_E_NOTFOUND, "--against %s: is none of the methods that run", name)
               : HD_OK;
}

static enum hd_code print_all(const struct work *work, size_t against, struct hd_err *err)
{
    bool tables = work->plan.lines != stdout;
    enum hd_code code = HD_OK;
    if (tables)
        bench_table_print(&work->plan, work->results, work->checkpoints, work->checkpoint_count,
                          work->options.by_task);
    if (tables && against != SIZE_MAX)
        code = bench_compare_print(&work->plan, work->results, against, work->checkpoints,
                                   work->checkpoint_count, err);
    if (code == HD_OK)
        code = write_file(work, work->options.json, write_json, err);
    return code == HD_OK ? write_file(work, work->options.svg, write_svg, err) : code;
}

static enum hd_code open_lines(struct work *work, struct hd_err *err)
{
    const char *path = work->options.lines;
    if (path == NULL)
        return HD_OK;
    work->plan.lines = hd_streq(path, "-") ? stdout : fopen(path, "ae");
    return work->plan.lines != NULL
               ? HD_OK
               : hd_fail(err, HD_E_IO, "--lines %s: %s", path, strerror(errno));
}

static enum hd_code execute(struct work *work, struct hd_err *err)
{
    size_t against = SIZE_MAX;
    enum hd_code code = read_accounting(work->options.accounting, &work->plan.accounting, err);
    if (code == HD_OK)
        code = read_checkpoints(work, err);
    if (code == HD_OK)
        code = open_problems(work, err);
    if (code == HD_OK)
        code = find_methods(work, err);
    if (code == HD_OK)
        code = check_methods(work, err);
    if (code == HD_OK)
        code = find_against(work, &against, err);
    if (code == HD_OK)
        code = plan_units(work, err);
    if (code == HD_OK)
        code = open_lines(work, err);
    if (code == HD_OK)
        code = bench_pool_run(&work->plan, work->results, err);
    return code == HD_OK ? print_all(work, against, err) : code;
}

static void release(struct work *work)
{
    for (size_t i = 0; i < work->plan.problem_count; i++)
        bench_problem_free(work->problems[i]);
    bench_results_free(work->results, work->plan.unit_count);
    free(work->units);
    if (work->plan.lines != NULL && work->plan.lines != stdout)
        (void)fclose(work->plan.lines); /* each line was flushed and looked at */
    hd_value_free(work->methods_file);
    hd_value_free(work->own_method);
}

int bench_command_run(int argc, char **argv)
{
    struct hd_err err;
    struct work work = {
        .options = {.suite = "lcbench",
                    .checkpoints = "1,2,5,10,20,50",
                    .data_dir = bench_data_dir(),
                    .methods_file = HD_BENCH_METHODS,
                    .accounting = "ended",
                    .seeds = 5,
                    .first_seed = 1,
                    .workers = 8,
                    .jobs = sysconf(_SC_NPROCESSORS_ONLN),
                    .full_evaluations = 50},
    };
    struct options *o = &work.options;
    const struct hd_option table[] = {
        {"suite", NULL, HD_OPTION_TEXT, &o->suite, "NAME", "the suite (lcbench)"},
        {"task", "tasks", HD_OPTION_TEXT, &o->tasks, "A,B", "its tasks; all by default"},
        {"method", NULL, HD_OPTION_LIST, &o->methods, "NAME",
         "a method of methods.yaml; may be repeated"},
        {"sampler", NULL, HD_OPTION_TEXT, &o->sampler, "YAML",
         "a sampler as in an experiment: '{name: tpe}'"},
        {"generator", NULL, HD_OPTION_TEXT, &o->generator, "YAML",
         "an iteration generator: '{name: hyperband}'"},
        {"seeds", NULL, HD_OPTION_INT, &o->seeds, "N", "runs of each method on each task (5)", 1,
         SEEDS_MAX},
        {"first-seed", NULL, HD_OPTION_INT, &o->first_seed, "N", "the first seed (1)", 0,
         INT32_MAX},
        {"workers", NULL, HD_OPTION_INT, &o->workers, "W", "simulated workers (8)", 1, 10000},
        {"full-evaluations", NULL, HD_OPTION_DOUBLE, &o->full_evaluations, "N",
         "how much a run may spend (50)"},
        {"checkpoints", NULL, HD_OPTION_TEXT, &o->checkpoints, "A,B",
         "where regret is shown, in full evaluations (1,2,5,10,20,50)"},
        {"accounting", NULL, HD_OPTION_TEXT, &o->accounting, "NAME",
         "ended: a job's steps are seen and charged when it ends (default); running: seen when "
         "reached; steps: charged when reached too"},
        {"core", NULL, HD_OPTION_FLAG, &o->core, NULL,
         "through the master's core and its workers in place of the optimizer alone"},
        {"against", NULL, HD_OPTION_TEXT, &o->against, "METHOD",
         "compare the others with it, run by run"},
        {"json", NULL, HD_OPTION_TEXT, &o->json, "FILE", "write the raw results"},
        {"lines", NULL, HD_OPTION_TEXT, &o->lines, "FILE",
         "append a line of JSON for each run when it ends; -: to standard output, without tables"},
        {"svg", NULL, HD_OPTION_TEXT, &o->svg, "FILE",
         "draw regret against budget and virtual time"},
        {"by-task", NULL, HD_OPTION_FLAG, &o->by_task, NULL, "a table for each task as well"},
        {"jobs", NULL, HD_OPTION_INT, &o->jobs, "N", "runs at the same time (one a processor)", 1,
         256},
        {"quiet", NULL, HD_OPTION_FLAG, &o->quiet, NULL, "no progress bar"},
        {"methods-file", NULL, HD_OPTION_TEXT, &o->methods_file, "FILE", "another file of methods"},
        {"data", NULL, HD_OPTION_TEXT, &o->data_dir, "DIR", "the folder of the data"},
    };
    const struct hd_program program = {
        .name = "hd-bench run",
        .summary = "run methods on tasks in virtual time and print their regrets",
        .usage = "hd-bench run [options]",
        .options = table,
        .option_count = HD_COUNT(table),
    };
    size_t positional_count;
    switch (hd_options_parse(&program, argc, argv, NULL, &positional_count)) {
    case HD_PARSE_GO:
        break;
    case HD_PARSE_EXIT_OK:
        return HD_EXIT_OK;
    case HD_PARSE_EXIT_USAGE:
        return HD_EXIT_USAGE;
    }
    if (!(o->full_evaluations > 0)) {
        (void)hd_fail(&err, HD_E_INVALID, "--full-evaluations: must be above 0");
        return bench_complain(&err);
    }
    enum hd_code code = execute(&work, &err);
    release(&work);
    return code == HD_OK ? HD_EXIT_OK : bench_complain(&err);
}

/* ---- hd-bench tasks -------------------------------------------------------------------------- */

int bench_command_tasks(int argc, char **argv)
{
    struct hd_err err;
    const char *data_dir = bench_data_dir();
    const struct hd_option table[] = {
        {"data", NULL, HD_OPTION_TEXT, &data_dir, "DIR", "the folder of the data"},
    };
    const struct hd_program program = {
        .name = "hd-bench tasks",
        .summary = "list the suites and their tasks",
        .usage = "hd-bench tasks",
        .options = table,
        .option_count = HD_COUNT(table),
    };
    size_t positional_count;
    switch (hd_options_parse(&program, argc, argv, NULL, &positional_count)) {
    case HD_PARSE_GO:
        break;
    case HD_PARSE_EXIT_OK:
        return HD_EXIT_OK;
    case HD_PARSE_EXIT_USAGE:
        return HD_EXIT_USAGE;
    }
    for (const char *const *suite = bench_suites(); *suite != NULL; suite++) {
        struct hd_buf names;
        hd_buf_init(&names, 1 << 16);
        enum hd_code code = bench_tasks(*suite, data_dir, &names, &err);
        if (code == HD_OK)
            printf("%s: %s\n", *suite, hd_buf_text(&names));
        hd_buf_release(&names);
        if (code != HD_OK)
            return bench_complain(&err);
    }
    return HD_EXIT_OK;
}
