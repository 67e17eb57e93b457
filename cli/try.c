/* SPDX-License-Identifier: Apache-2.0 */
/*
 * hd try, hd rerun: one job in the foreground, its output on the screen, nothing recorded. It uses
 * the worker's own files and engines, so what works here works in a run.
 */
#include "commands.h"
#include "common/cli.h"
#include "contract.h"
#include "mounts.h"
#include "run_services.h"
#include "shell.h"

#include <hd/code.h>
#include <hd/driver.h>
#include <hd/image.h>

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
    struct hd_mounts mounts;
    const struct hd_text_list *env;
    const char *engine_name;
    const struct shell_wish *wish; /* NULL: the target runs */
    double *values;
    double budget;
    const char *state_dir;         /* of the run that the job is of; NULL none */
    const char *image;             /* instead of the experiment's; NULL none */
    const struct hd_value *params; /* of a job that was; NULL: the defaults */
    struct hd_attempt_ref attempt;
    struct hd_config_id config_id;
    uint32_t seed;
    char root_path[256];
    struct hd_root root;
    char code_dir[HD_PATH_MAX]; /* "" none */
    struct hd_workspace workspace;
    struct hd_plan plan;
    struct hd_engine *engine;
    struct hd_queue *news;
    struct hd_buf params_json;
    struct hd_buf experiment_json;
    bool keep; /* the directory: what was printed needs it */
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
    enum hd_code code = job->params != NULL ? hd_value_copy(job->params, &params, err)
                                            : hd_config_to_value(space, job->values, &params, err);
    for (size_t i = 0; code == HD_OK && i < sets->count; i++)
        code = set_param(params, sets->items[i], err);
    if (code == HD_OK)
        code = hd_config_from_value(space, params, job->values, err);
    hd_value_free(params);
    if (code == HD_OK)
        code = hd_config_to_json(space, job->values, &job->params_json, err);
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
    bool podman = job->engine_name != NULL && hd_streq(job->engine_name, "podman");
    bool docker = job->engine_name != NULL ? hd_streq(job->engine_name, "docker")
                                           : job->experiment->target.image != NULL;
    if ((docker || podman) && job->experiment->target.image == NULL)
        return hd_fail(err, HD_E_INVALID, "the experiment has no target.image for %s",
                       job->engine_name);
    if (podman)
        return hd_engine_open_podman(&options, &job->engine, err);
    return docker ? hd_engine_open_docker(&options, &job->engine, err)
                  : hd_engine_open_process(&options, &job->engine, err);
}

/* What the run was started with where it is kept, or what is in the directory now when that is the
 * same. */
static enum hd_code unpack_code(struct try_job *job, struct hd_err *err)
{
    char archive[HD_PATH_MAX] = "", store[HD_PATH_MAX];
    const struct hd_target *target = &job->experiment->target;
    enum hd_code code = HD_OK;
    if (target->code == NULL)
        return HD_OK;
    if (target->code_hash == NULL)
        return hd_fail(err, HD_E_INVALID, "target.code: its directory was never read");
    if (!hd_format(job->code_dir, sizeof(job->code_dir), "%s/.hyperdock-code", job->root.path))
        return hd_fail(err, HD_E_LIMIT, "the path %s is too long", job->root.path);
    if (job->state_dir != NULL &&
        hd_format(store, sizeof(store), "%s/" HD_STORE_FILE_NAME, job->state_dir))
        code = hd_code_archive_path(store, target->code_hash, archive, sizeof(archive), err);
    if (code == HD_OK && (archive[0] == '\0' || !hd_path_exists(archive))) {
        (void)hd_format(store, sizeof(store), "%s/" HD_STORE_FILE_NAME, job->root_path);
        code = hd_code_keep(store, target, err);
        if (code == HD_OK)
            code = hd_code_archive_path(store, target->code_hash, archive, sizeof(archive), err);
    }
    return code == HD_OK ? hd_code_unpack(archive, target->code_hash, job->code_dir, err) : code;
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
        code = unpack_code(job, err);
    if (code == HD_OK)
        code = open_engine(job, err);
    struct hd_lease lease = {
        .attempt = job->attempt,
        .run_id = "try",
        .config_id = job->config_id,
        .budget = job->budget,
        .budget_previous = NAN,
        .root = "",
        .directory = "",
        .directory_owner = "",
        .seed = job->seed,
        .params_json = hd_buf_text(&job->params_json),
        .target_json = hd_buf_text(&job->experiment_json),
    };
    if (code == HD_OK)
        code = hd_workspace_make(&job->root, TRY_WORKER, &lease, &job->workspace, err);
    struct hd_plan_input input = {
        .worker = TRY_WORKER,
        .lease = &lease,
        .experiment = job->experiment,
        .workspace = &job->workspace,
        .mounts = &job->mounts,
        .code_dir = job->code_dir[0] != '\0' ? job->code_dir : NULL,
        .extra_env = job->env->items,
        .extra_env_count = job->env->count,
        .container = job->engine != NULL && !hd_streq(hd_engine_name(job->engine), "process"),
        .now_wall_ms = hd_clock_wall_ms(),
    };
    return code == HD_OK ? hd_plan_make(&input, &job->plan, err) : code;
}

static void print_command(const struct try_job *job)
{
    struct hd_buf line;
    struct hd_err err;
    hd_buf_init(&line, HD_EXPERIMENT_BYTES_MAX);
    fprintf(stderr, "config: %s\nbudget: %g\n", hd_buf_text(&job->params_json), job->budget);
    if (hd_engine_command_line(job->engine, &job->plan.job, &line, &err) == HD_OK)
        fprintf(stderr, "command: %s\n", hd_buf_text(&line)); /* its directory goes with the job */
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

/* Of what the person gave with --env only the names are printed: the client takes the values from
 * the environment that it is started in. */
static void hide_values(struct try_job *job)
{
    char *const *env = job->plan.job.image != NULL ? job->plan.job.env : NULL;
    for (; env != NULL && *env != NULL; env++)
        for (size_t i = 0; i < job->env->count; i++)
            if (hd_streq(*env, job->env->items[i]))
                *strchr(*env, '=') = '\0';
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
    if (job->wish != NULL) {
        job->keep = job->wish->print;
        if (job->wish->print)
            hide_values(job);
        return shell_by_hand(job->engine, &job->plan.job, job->wish, ret_exit, err);
    }
    print_command(job);
    code = hd_engine_start(job->engine, &job->plan.job, err);
    if (code != HD_OK)
        return code;
    long offset = 0;
    bool stopping = false;
    struct hd_engine_news *news;
    while ((news = hd_queue_pop(job->news, TICK_MS)) == NULL || !news->ended) {
        if (news != NULL && news->doing[0] != '\0')
            fprintf(stderr, "%s\n", news->doing);
        hd_free(news);
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
    hd_buf_release(&job->params_json);
    hd_buf_release(&job->experiment_json);
    hd_free(job->values);
    if (job->root_path[0] != '\0' && !job->keep && hd_remove_tree(job->root_path, &err) != HD_OK)
        fprintf(stderr, "hd try: %s\n", err.text);
}

/* What both commands are told. */
struct try_options {
    struct hd_text_list sets, data, env;
    const char *engine, *image;
    const struct shell_wish *wish;
    double budget;
};

static enum hd_code use_image(struct try_job *job, const char *image, struct hd_err *err)
{
    if (image == NULL)
        return HD_OK;
    if (job->experiment->target.image == NULL)
        return hd_fail(err, HD_E_INVALID, "--image %s: the target of the run is no image", image);
    char *copy = hd_strdup(image);
    if (copy == NULL)
        return hd_fail(err, HD_E_NOMEM, "no memory");
    hd_free(job->experiment->target.image);
    hd_free(job->experiment->target.build);
    job->experiment->target.image = copy;
    job->experiment->target.build = NULL;
    return HD_OK;
}

static void say_build(void *context, const char *line)
{
    (void)context;
    fprintf(stderr, "build: %s\n", line);
}

static enum hd_code build_image(const struct try_job *job, struct hd_err *err)
{
    const struct hd_target *target = &job->experiment->target;
    return target->build != NULL ? hd_image_ensure(target, say_build, NULL, err) : HD_OK;
}

/* The experiment, the params and the budget are known. Frees what the job holds. */
static enum hd_code try_job(struct try_job *job, const struct try_options *options, int *ret_exit,
                            struct hd_err *err)
{
    job->env = &options->env;
    job->engine_name = options->engine;
    job->wish = options->wish;
    if (!isnan(options->budget))
        job->budget = options->budget;
    hd_buf_init(&job->params_json, HD_EXPERIMENT_BYTES_MAX);
    hd_buf_init(&job->experiment_json, HD_EXPERIMENT_BYTES_MAX);
    enum hd_code code =
        hd_mounts_find(&job->experiment->target, &options->data, NULL, &job->mounts, err);
    if (code == HD_OK)
        code = use_image(job, options->image, err);
    if (code == HD_OK)
        code = build_image(job, err);
    if (code == HD_OK)
        code = hd_experiment_to_json(job->experiment, &job->experiment_json, err);
    if (code == HD_OK)
        code = make_config(job, &options->sets, err);
    if (code == HD_OK)
        code = run_job(job, ret_exit, err);
    release(job);
    hd_mounts_release(&job->mounts);
    hd_experiment_free(job->experiment);
    return code;
}

static void catch_signals(void)
{
    struct sigaction action = {.sa_handler = on_signal};
    sigemptyset(&action.sa_mask);
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
}

static enum hd_code try_file(const char *file, const struct try_options *options, int *ret_exit,
                             struct hd_err *err)
{
    struct hd_experiment_overrides overrides = {.budget_min = NAN, .budget_max = NAN, .eta = NAN};
    struct try_job job = {.attempt = {hd_os_random_u64(), 0, 1}, .seed = 1};
    enum hd_code code = hd_experiment_read(file, &overrides, &job.experiment, err);
    if (code != HD_OK)
        return code;
    job.budget = job.experiment->iter_gen.budget_min;
    return try_job(&job, options, ret_exit, err);
}

/* ---- a job that was ----------------------------------------------------------------------------
 */

static uint32_t part_of_id(const struct hd_value *answer, size_t index)
{
    const struct hd_value *id = hd_value_get(answer, "config_id");
    bool there = id != NULL && id->kind == HD_VALUE_ARRAY && id->as.array.count > index &&
                 id->as.array.items[index]->kind == HD_VALUE_INT;
    return there ? (uint32_t)id->as.array.items[index]->as.integer : 0;
}

static void take_job(struct try_job *job, const struct hd_value *answer, uint64_t run_seed)
{
    job->params = hd_value_get(answer, "params");
    job->budget = hd_value_number(hd_value_get(answer, "budget"));
    job->attempt = (struct hd_attempt_ref){hd_os_random_u64(), (uint32_t)cli_integer(answer, "job"),
                                           (uint32_t)cli_integer(answer, "attempt") + 1};
    job->config_id =
        (struct hd_config_id){part_of_id(answer, 0), part_of_id(answer, 1), part_of_id(answer, 2)};
    job->seed = hd_core_job_seed(run_seed, (uint32_t)cli_integer(answer, "config"),
                                 (uint32_t)cli_integer(answer, "repeat"));
}

static uint64_t seed_of(const struct hd_value *answer)
{
    const struct hd_value *seed = hd_value_get(answer, "seed");
    uint64_t number = 0;
    if (seed != NULL && seed->kind == HD_VALUE_INT)
        return (uint64_t)seed->as.integer;
    if (seed == NULL || seed->kind != HD_VALUE_STRING || !hd_parse_u64(seed->as.string, &number))
        return 0;
    return number;
}

/* What people had set when its last attempt began; NULL: the experiment's. */
static const char *image_of(const struct hd_value *answer)
{
    const struct hd_value *attempts = hd_value_get(answer, "attempts");
    size_t count =
        attempts != NULL && attempts->kind == HD_VALUE_ARRAY ? attempts->as.array.count : 0;
    const char *image = count > 0 ? cli_text(attempts->as.array.items[count - 1], "image") : "";
    return image[0] != '\0' ? image : NULL;
}

static enum hd_code rerun(const struct cli_common *common, int64_t number,
                          const struct try_options *options, int *ret_exit, struct hd_err *err)
{
    struct cli_source *source = NULL;
    struct hd_value *arguments = NULL, *answer = NULL, *stored = NULL;
    struct try_job job = {.seed = 1};
    enum hd_code code = cli_open(common, &source, err);
    if (code == HD_OK)
        code = cli_argument(&arguments, "job", hd_value_new_int(number), err);
    if (code == HD_OK)
        code = cli_read(source, "job", arguments, &answer, err);
    if (code == HD_OK)
        code = cli_read(source, "experiment", NULL, &stored, err);
    const struct hd_value *experiment = hd_value_get(stored, "experiment");
    if (code == HD_OK && experiment == NULL)
        code = hd_fail(err, HD_E_CORRUPT, "the run has no experiment");
    if (code == HD_OK)
        code = hd_experiment_parse(experiment, "the stored experiment", NULL, &job.experiment, err);
    struct try_options known = *options;
    if (known.image == NULL)
        known.image = image_of(answer);
    bool there = false;
    if (code == HD_OK && options->wish != NULL && !options->wish->print)
        code = shell_in_running(answer, options->wish, known.engine, ret_exit, &there, err);
    if (code == HD_OK && !there) {
        take_job(&job, answer, seed_of(stored));
        job.state_dir = cli_state_dir(common->state_dir);
        code = try_job(&job, &known, ret_exit, err);
    } else {
        hd_experiment_free(job.experiment);
    }
    hd_value_free(arguments);
    hd_value_free(answer);
    hd_value_free(stored);
    cli_close(source);
    return code;
}

/* ---- the commands ------------------------------------------------------------------------------
 */

#define TRY_OPTIONS(o)                                                                             \
    {.name = "set",                                                                                \
     .kind = HD_OPTION_LIST,                                                                       \
     .value = &(o).sets,                                                                           \
     .hint = "NAME=VALUE",                                                                         \
     .help = "value of a param (others as they are); may be repeated"},                            \
        {.name = "engine",                                                                         \
         .kind = HD_OPTION_TEXT,                                                                   \
         .value = &(o).engine,                                                                     \
         .hint = "NAME",                                                                           \
         .help = "docker, podman or process (default: by the experiment)"},                        \
        {.name = "data",                                                                           \
         .kind = HD_OPTION_LIST,                                                                   \
         .value = &(o).data,                                                                       \
         .hint = "NAME=PATH",                                                                      \
         .help = "where a named data set is on this machine"},                                     \
    {                                                                                              \
        .name = "env", .kind = HD_OPTION_LIST, .value = &(o).env, .hint = "K=V",                   \
        .help = "environment of the target"                                                        \
    }

int cmd_rerun(int argc, char **argv)
{
    struct try_options told = {.budget = NAN};
    struct shell_wish wish = {0};
    struct cli_common common = {0};
    const char *words[1];
    int64_t number = 0;
    const struct hd_option options[] = {
        CLI_RUN_OPTION(common),
        CLI_STATE_DIR_OPTION(common),
        CLI_REMOTE_OPTIONS(common.remote),
        TRY_OPTIONS(told),
        {.name = "image",
         .kind = HD_OPTION_TEXT,
         .value = &told.image,
         .hint = "IMAGE",
         .help = "another image than the run's"},
        {.name = "budget",
         .kind = HD_OPTION_DOUBLE,
         .value = &told.budget,
         .hint = "B",
         .help = "another budget than the job's"},
        {.name = "print",
         .kind = HD_OPTION_FLAG,
         .value = &wish.print,
         .help = "print the line to run it by hand, and run nothing"},
    };
    const struct hd_program program = {
        .name = "hd rerun",
        .summary = "runs a job once more in the foreground and records nothing",
        .usage = "hd rerun JOB|best [RUN] [options]",
        .epilogue = "With the params, the budget and the seed that it had, from the start. Exit "
                    "status: 0 outcome ok, 1 any other outcome or an error, 2 usage.",
        .options = options,
        .option_count = HD_COUNT(options),
        .positional_min = 1,
        .positional_max = 2,
    };
    enum hd_parse_answer parsed = cli_parse(&program, argc, argv, &common, words, 1);
    if (parsed != HD_PARSE_GO)
        return parsed == HD_PARSE_EXIT_OK ? HD_EXIT_OK : HD_EXIT_USAGE;
    struct hd_err err;
    int exit_code = HD_EXIT_FAILED;
    catch_signals();
    enum hd_code code = cli_parse_job(words[0], &number, &err);
    if (wish.print)
        told.wish = &wish;
    if (code == HD_OK)
        code = rerun(&common, number, &told, &exit_code, &err);
    return code == HD_OK ? exit_code : cli_fail(&err);
}

int cmd_shell(int argc, char **argv)
{
    static char shell[] = "/bin/sh", *just_a_shell[] = {shell, NULL};
    struct try_options told = {.budget = NAN};
    struct shell_wish wish = {.command = just_a_shell};
    struct cli_common common = {0};
    const char *words[1];
    int64_t number = 0;
    const struct hd_option options[] = {
        CLI_RUN_OPTION(common),
        CLI_STATE_DIR_OPTION(common),
        CLI_REMOTE_OPTIONS(common.remote),
        TRY_OPTIONS(told),
        {.name = "image",
         .kind = HD_OPTION_TEXT,
         .value = &told.image,
         .hint = "IMAGE",
         .help = "another image than the run's"},
        {.name = "fresh",
         .kind = HD_OPTION_FLAG,
         .value = &wish.fresh,
         .help = "a container of its own, also while the job runs"},
    };
    const struct hd_program program = {
        .name = "hd shell",
        .summary = "a shell, or a command, where a job runs or would run",
        .usage = "hd shell JOB|best [RUN] [options] [-- COMMAND...]",
        .epilogue =
            "In the container of a job that runs on this machine; otherwise in a fresh one with "
            "the params, budget, data and environment that the job had, from the start.",
        .options = options,
        .option_count = HD_COUNT(options),
        .positional_min = 1,
        .positional_max = 2,
    };
    int own = 0;
    while (own < argc && !hd_streq(argv[own], "--"))
        own++;
    if (own + 1 < argc)
        wish.command = argv + own + 1; /* argv ends with a NULL */
    told.wish = &wish;
    enum hd_parse_answer parsed = cli_parse(&program, own, argv, &common, words, 1);
    if (parsed != HD_PARSE_GO)
        return parsed == HD_PARSE_EXIT_OK ? HD_EXIT_OK : HD_EXIT_USAGE;
    struct hd_err err;
    int exit_code = HD_EXIT_FAILED;
    enum hd_code code = cli_parse_job(words[0], &number, &err);
    if (code == HD_OK)
        code = rerun(&common, number, &told, &exit_code, &err);
    return code == HD_OK ? exit_code : cli_fail(&err);
}

int cmd_try(int argc, char **argv)
{
    struct try_options told = {.budget = NAN};
    struct shell_wish wish = {0};
    const char *file;
    const struct hd_option options[] = {
        TRY_OPTIONS(told),
        {.name = "budget",
         .kind = HD_OPTION_DOUBLE,
         .value = &told.budget,
         .hint = "B",
         .help = "budget of the job (default: the smallest)"},
        {.name = "print",
         .kind = HD_OPTION_FLAG,
         .value = &wish.print,
         .help = "print the line to run it by hand, and run nothing"},
    };
    const struct hd_program program = {
        .name = "hd try",
        .summary = "runs one job in the foreground and records nothing",
        .usage = "hd try EXPERIMENT [--set NAME=VALUE] [--budget B] [--print]",
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
    catch_signals();
    struct hd_err err;
    int exit_code = HD_EXIT_FAILED;
    if (wish.print)
        told.wish = &wish;
    enum hd_code code = try_file(file, &told, &exit_code, &err);
    return code == HD_OK ? exit_code : cli_fail(&err);
}
