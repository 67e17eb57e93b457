/* SPDX-License-Identifier: Apache-2.0 */
/*
 * hd try: one job in the foreground, its output on the screen, nothing recorded. It uses the
 * worker's own files and engines, so what works here works in a run.
 */
#include "commands.h"
#include "common/cli.h"
#include "contract.h"
#include "run_services.h"

#include <hd/driver.h>

#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define TICK_MS 50
#define TRY_WORKER "hd-try"
#define QUEUE_ITEMS 16

static volatile sig_atomic_t interrupted;

static void on_signal(int number)
{
    (void)number;
    interrupted = 1;
}

static bool is_interrupted(void)
{
    return interrupted != 0;
}

struct try_job {
    struct hd_experiment *experiment;
    const char *data; /* host directory or NULL */
    const struct hd_text_list *env;
    const char *engine_name;
    double *values;
    double budget;
    char root_path[256];
    struct hd_root root;
    struct hd_workspace workspace;
    struct hd_plan plan;
    struct hd_engine *engine;
    struct hd_queue *news;
    struct hd_buf params;
    struct hd_buf experiment_json;
};

/* ---- the config ------------------------------------------------------------------------------ */

static enum hd_code set_param(struct hd_value *params, const char *text, struct hd_err *err)
{
    const char *equals = strchr(text, '=');
    if (equals == NULL || equals == text)
        return hd_fail(err, HD_E_INVALID, "--set %s: write NAME=VALUE", text);
    char name[HD_PARAM_NAME_MAX];
    if (!hd_format(name, sizeof(name), "%.*s", (int)(equals - text), text))
        return hd_fail(err, HD_E_INVALID, "--set %s: the name is too long", text);
    struct hd_value *value = NULL;
    enum hd_code code = hd_yaml_parse(equals + 1, strlen(equals + 1), "--set",
                                      &hd_value_limits_target, &value, err);
    if (code == HD_OK && hd_value_set(params, name, value) != HD_OK)
        code = hd_fail(err, HD_E_NOMEM, "no memory");
    return code;
}

/* The defaults, then what --set says. */
static enum hd_code make_config(struct try_job *job, const struct hd_text_list *sets,
                                struct hd_err *err)
{
    const struct hd_space *space = job->experiment->space;
    struct hd_value *params = NULL;
    job->values = hd_calloc(space->param_count + 1, sizeof(double));
    if (job->values == NULL)
        return hd_fail(err, HD_E_NOMEM, "no memory");
    hd_space_default(space, job->values);
    enum hd_code code = hd_config_to_value(space, job->values, &params, err);
    for (size_t i = 0; code == HD_OK && i < sets->count; i++)
        code = set_param(params, sets->items[i], err);
    if (code == HD_OK)
        code = hd_config_from_value(space, params, job->values, err);
    hd_value_free(params);
    if (code == HD_OK)
        code = hd_config_to_json(space, job->values, &job->params, err);
    return code;
}

/* ---- the job --------------------------------------------------------------------------------- */

static enum hd_code open_engine(struct try_job *job, struct hd_err *err)
{
    enum hd_code code = hd_queue_new(QUEUE_ITEMS, &job->news, err);
    if (code != HD_OK)
        return code;
    struct hd_engine_options options = {
        .worker = TRY_WORKER, .state_dir = job->root.path, .queue = job->news};
    bool docker = job->engine_name != NULL ? hd_streq(job->engine_name, "docker")
                                           : job->experiment->target.image != NULL;
    if (docker && job->experiment->target.image == NULL)
        return hd_fail(err, HD_E_INVALID, "the experiment has no target.image for docker");
    return docker ? hd_engine_open_docker(&options, &job->engine, err)
                  : hd_engine_open_process(&options, &job->engine, err);
}

static enum hd_code prepare(struct try_job *job, struct hd_err *err)
{
    const char *base = getenv("TMPDIR");
    if (!hd_format(job->root_path, sizeof(job->root_path), "%s/hd-try-XXXXXX",
                   base != NULL ? base : "/tmp") ||
        mkdtemp(job->root_path) == NULL) {
        job->root_path[0] = '\0';
        return hd_fail(err, HD_E_IO, "cannot make a temporary directory");
    }
    enum hd_code code = hd_root_open(job->root_path, &job->root, err);
    if (code == HD_OK)
        code = open_engine(job, err);
    struct hd_lease lease = {
        .attempt = {hd_os_random_u64(), 0, 1},
        .run_id = "try",
        .budget = job->budget,
        .budget_previous = NAN,
        .root = "",
        .directory = "",
        .directory_owner = "",
        .seed = 1,
        .params_json = hd_buf_text(&job->params),
        .target_json = hd_buf_text(&job->experiment_json),
    };
    if (code == HD_OK)
        code = hd_workspace_make(&job->root, TRY_WORKER, &lease, &job->workspace, err);
    struct hd_plan_input input = {
        .worker = TRY_WORKER,
        .lease = &lease,
        .experiment = job->experiment,
        .workspace = &job->workspace,
        .data_dir = job->data,
        .extra_env = job->env->items,
        .extra_env_count = job->env->count,
        .container = job->engine != NULL && hd_streq(hd_engine_name(job->engine), "docker"),
        .now_wall_ms = hd_clock_wall_ms(),
    };
    return code == HD_OK ? hd_plan_make(&input, &job->plan, err) : code;
}

static void print_command(const struct try_job *job)
{
    struct hd_buf line;
    struct hd_err err;
    hd_buf_init(&line, HD_EXPERIMENT_BYTES_MAX);
    fprintf(stderr, "config: %s\nbudget: %g\n", hd_buf_text(&job->params), job->budget);
    if (hd_engine_command_line(job->engine, &job->plan.job, &line, &err) == HD_OK)
        fprintf(stderr, "by hand: %s\n", hd_buf_text(&line));
    hd_buf_release(&line);
}

/* Copies what the target has written since the last call to standard output. */
static void show_log(const char *path, long *offset)
{
    char bytes[8192];
    ssize_t size;
    int fd = -1;
    struct hd_err ignored;
    if (hd_file_open_regular(path, &fd, &ignored) != HD_OK)
        return;
    while ((size = pread(fd, bytes, sizeof(bytes), *offset)) > 0) {
        *offset += size;
        fwrite(bytes, 1, (size_t)size, stdout);
    }
    fflush(stdout);
    close(fd);
}

static int print_outcome(const struct try_job *job, const struct hd_engine_end *end)
{
    struct hd_loss loss;
    struct hd_result result = {.loss = NAN};
    char message[HD_MESSAGE_MAX];
    hd_workspace_own(&job->root, job->workspace.run_dir);
    hd_workspace_own(&job->root, job->workspace.work_dir);
    hd_loss_read(job->workspace.run_dir, job->experiment, &loss);
    hd_contract_finish(job->workspace.run_dir, job->experiment);
    hd_classify(end, &loss, job->experiment, HD_OUTCOME_CANCELLED, &result, message,
                sizeof(message));
    double sign = job->experiment->objective.maximize ? -1.0 : 1.0;
    fprintf(stderr, "outcome: %s", hd_outcome_name(result.outcome));
    if (result.outcome == HD_OUTCOME_OK)
        fprintf(stderr, ", %s %g", job->experiment->objective.name, sign * result.loss);
    for (size_t i = 1; i < result.measure_count; i++) {
        bool turned = i < job->experiment->objective_count &&
                      hd_experiment_objective(job->experiment, i)->maximize;
        fprintf(stderr, ", %s %g", hd_experiment_measure_name(job->experiment, i),
                turned ? -result.measures[i] : result.measures[i]);
    }
    if (result.measure_count > 0 && job->experiment->constraint_count > 0) {
        struct hd_score score;
        hd_experiment_score(job->experiment, result.measures, &score);
        fprintf(stderr, score.violation > 0 ? ", not feasible" : ", feasible");
    }
    fprintf(stderr, " after %.1f s%s%s\n",
            (double)(end->finished_wall_ms - end->started_wall_ms) / 1000,
            message[0] != '\0' ? ": " : "", message);
    return result.outcome == HD_OUTCOME_OK ? HD_EXIT_OK : HD_EXIT_FAILED;
}

static enum hd_code run_job(struct try_job *job, int *ret_exit, struct hd_err *err)
{
    bool made = false;
    enum hd_code code = prepare(job, err);
    if (code == HD_OK)
        code = run_services_up(job->experiment, job->root_path, "try", false, is_interrupted, &made,
                               err);
    if (code != HD_OK)
        return code;
    print_command(job);
    code = hd_engine_start(job->engine, &job->plan.job, err);
    if (code != HD_OK)
        return code;
    long offset = 0;
    bool stopping = false;
    struct hd_engine_news *news;
    while ((news = hd_queue_pop(job->news, TICK_MS)) == NULL) {
        show_log(job->plan.job.log_path, &offset);
        if (interrupted && !stopping)
            hd_engine_stop(job->engine, job->plan.job.attempt, job->plan.job.stop_grace_ms);
        stopping = interrupted;
    }
    show_log(job->plan.job.log_path, &offset);
    *ret_exit = print_outcome(job, &news->end);
    hd_engine_remove(job->engine, job->plan.job.attempt);
    hd_free(news);
    return HD_OK;
}

static void release(struct try_job *job)
{
    struct hd_err err;
    void *item;
    if (job->root_path[0] != '\0')
        run_services_down(job->experiment, job->root_path, "try");
    hd_engine_close(job->engine);
    while (job->news != NULL && (item = hd_queue_pop(job->news, 0)) != NULL)
        hd_free(item);
    hd_queue_free(job->news);
    hd_plan_release(&job->plan);
    hd_buf_release(&job->params);
    hd_buf_release(&job->experiment_json);
    hd_free(job->values);
    if (job->root_path[0] != '\0' && hd_remove_tree(job->root_path, &err) != HD_OK)
        fprintf(stderr, "hd try: %s\n", err.text);
}

/* ---- the command ----------------------------------------------------------------------------- */

/* Where the experiment's data are: --data NAME=PATH, or beside the file. */
static enum hd_code find_data(const struct hd_experiment *experiment,
                              const struct hd_text_list *given, char **ret_path, struct hd_err *err)
{
    const struct hd_target *target = &experiment->target;
    *ret_path = NULL;
    if (target->data == NULL)
        return HD_OK;
    size_t size = strlen(target->data_name);
    for (size_t i = 0; i < given->count; i++)
        if (strncmp(given->items[i], target->data_name, size) == 0 && given->items[i][size] == '=')
            return hd_path_absolute(NULL, given->items[i] + size + 1, ret_path, err);
    return hd_path_absolute(target->base_dir, target->data, ret_path, err);
}

static enum hd_code try_file(const char *file, const struct hd_text_list *sets,
                             const struct hd_text_list *data, const struct hd_text_list *env,
                             const char *engine, double budget, int *ret_exit, struct hd_err *err)
{
    struct hd_experiment_overrides overrides = {.budget_min = NAN, .budget_max = NAN, .eta = NAN};
    struct try_job job = {.env = env, .engine_name = engine};
    char *data_dir = NULL;
    hd_buf_init(&job.params, HD_EXPERIMENT_BYTES_MAX);
    hd_buf_init(&job.experiment_json, HD_EXPERIMENT_BYTES_MAX);
    enum hd_code code = hd_experiment_read(file, &overrides, &job.experiment, err);
    if (code == HD_OK) {
        job.budget = isnan(budget) ? job.experiment->iter_gen.budget_min : budget;
        code = find_data(job.experiment, data, &data_dir, err);
        job.data = data_dir;
    }
    if (code == HD_OK)
        code = hd_experiment_to_json(job.experiment, &job.experiment_json, err);
    if (code == HD_OK)
        code = make_config(&job, sets, err);
    if (code == HD_OK)
        code = run_job(&job, ret_exit, err);
    release(&job);
    hd_free(data_dir);
    hd_experiment_free(job.experiment);
    return code;
}

int cmd_try(int argc, char **argv)
{
    struct hd_text_list sets = {.count = 0}, data = {.count = 0}, env = {.count = 0};
    const char *engine = NULL, *file;
    double budget = NAN;
    const struct hd_option options[] = {
        {.name = "set",
         .kind = HD_OPTION_LIST,
         .value = &sets,
         .hint = "NAME=VALUE",
         .help = "value of a param (others: their default); may be repeated"},
        {.name = "budget",
         .kind = HD_OPTION_DOUBLE,
         .value = &budget,
         .hint = "B",
         .help = "budget of the job (default: the smallest)"},
        {.name = "engine",
         .kind = HD_OPTION_TEXT,
         .value = &engine,
         .hint = "NAME",
         .help = "docker or process (default: by the experiment)"},
        {.name = "data",
         .kind = HD_OPTION_LIST,
         .value = &data,
         .hint = "NAME=PATH",
         .help = "where a named data set is on this machine"},
        {.name = "env",
         .kind = HD_OPTION_LIST,
         .value = &env,
         .hint = "K=V",
         .help = "environment of the target"},
    };
    const struct hd_program program = {
        .name = "hd try",
        .summary = "runs one job in the foreground and records nothing",
        .usage = "hd try EXPERIMENT [--set NAME=VALUE] [--budget B]",
        .epilogue = "Exit status: 0 outcome ok, 1 any other outcome or an error, 2 usage.",
        .options = options,
        .option_count = HD_COUNT(options),
        .positional_min = 1,
        .positional_max = 1,
    };
    size_t count;
    enum hd_parse_answer parsed = hd_options_parse(&program, argc, argv, &file, &count);
    if (parsed != HD_PARSE_GO)
        return parsed == HD_PARSE_EXIT_OK ? HD_EXIT_OK : HD_EXIT_USAGE;
    struct sigaction action = {.sa_handler = on_signal};
    sigemptyset(&action.sa_mask);
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
    struct hd_err err;
    int exit_code = HD_EXIT_FAILED;
    enum hd_code code = try_file(file, &sets, &data, &env, engine, budget, &exit_code, &err);
    return code == HD_OK ? exit_code : cli_fail(&err);
}
