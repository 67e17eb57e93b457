/* SPDX-License-Identifier: Apache-2.0 */
/*
 * hd run: one optimization on this machine, from the file to the best config; hd resume: the same
 * without the file.
 */
#include "act.h"
#include "commands.h"
#include "run_services.h"
#include "watch.h"

#include <hd/driver.h>
#include <hd/engine.h>
#include <hd/known.h>

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define STOP_GRACE_MS 30000
#define SHIPPING_GRACE_MS 90000 /* workers that leave may ship artifacts for a minute */
#define FAILED_GRACE_MS 5000    /* after an error, results may have nowhere to go */
#define WORKERS_DEFAULT_MAX 8
#define NEWS_BYTES_MAX 4096

/* ---- what is there already
 * ---------------------------------------------------------------------------- */

/* What the same words again may be meant for. */
static enum hd_code refuse_existing(const struct run_arguments *arguments, const char *run_id,
                                    const char *file, const char *state, struct hd_err *err)
{
    char where[CLI_PATH_MAX];
    struct cli_quoted quoted;
    watch_name_state_dir(arguments, where, sizeof(where));
    file = cli_quote(file, &quoted);
    if (watch_is_served(arguments))
        return hd_fail(err, HD_E_EXISTS,
                       "run %s exists in %s and is %s, and a master is at work there. Watch it:\n"
                       "  hd attach %s%s\n"
                       "or, when the hd run that began it was killed, take it over:\n"
                       "  hd run %s --run-id %s%s --resume\n"
                       "or have that master do another one, too:\n"
                       "  hd submit %s --run-id OTHER%s",
                       run_id, arguments->state_dir, state, run_id, where, file, run_id, where,
                       file, where);
    return hd_fail(err, HD_E_EXISTS,
                   "run %s exists in %s and is %s. Either go on with it (or see its result):\n"
                   "  hd run %s --run-id %s%s --resume\n"
                   "or start another one:\n"
                   "  hd run %s --run-id OTHER%s",
                   run_id, arguments->state_dir, state, file, run_id, where, file, where);
}

/* A run of that name exists: what to do with it. *ret_over: its result has been printed. */
static enum hd_code look_at_existing(const struct run_arguments *arguments, const char *run_id,
                                     const char *file, const struct hd_experiment *experiment,
                                     bool *ret_over, int *ret_exit, struct hd_err *err)
{
    struct hd_value *status = NULL;
    *ret_over = false;
    enum hd_code code = watch_status(arguments, run_id, &status, err);
    if (code == HD_E_NOTFOUND)
        return HD_OK;
    if (code != HD_OK)
        return code;
    const struct hd_value *state = hd_value_get(status, "state");
    const char *name = state != NULL && state->kind == HD_VALUE_STRING ? state->as.string : "there";
    if (!arguments->resume) {
        code = refuse_existing(arguments, run_id, file, name, err);
    } else if (experiment != NULL) { /* also when a live master is joined, which reads no file */
        code = watch_refuse_difference(arguments, run_id, experiment, err);
    }
    if (code == HD_OK && watch_is_over(status)) {
        if (watch_all_is_over(arguments))
            cluster_sweep(arguments->state_dir);
        progress_print_end(status, arguments->state_dir, arguments->json);
        *ret_over = true;
        *ret_exit = watch_exit_of(status);
    }
    hd_value_free(status);
    return code;
}

/* ---- running
 * ------------------------------------------------------------------------------------------------
 */

static uint32_t default_workers(const struct hd_experiment *experiment)
{
    long cores = sysconf(_SC_NPROCESSORS_ONLN);
    double each = experiment != NULL && experiment->target.cpus > 1 ? experiment->target.cpus : 1;
    double count = floor((double)(cores > 0 ? cores : 1) / each);
    if (count < 1)
        return 1;
    return count > WORKERS_DEFAULT_MAX ? WORKERS_DEFAULT_MAX : (uint32_t)count;
}

static void pass_on(struct hd_text_list *list, const char *name, const char *value)
{
    if (value == NULL || list->count + 2 > HD_OPTION_LIST_MAX)
        return;
    list->items[list->count++] = name;
    list->items[list->count++] = value;
}

/* ---- in the background
 * ---------------------------------------------------------------------------------- */

static int news_fd = -1; /* of a process in the background: to the one that waits for its start */

static void send_news(const char *text)
{
    if (news_fd < 0)
        return;
    (void)!write(news_fd, text, strlen(text));
    close(news_fd);
    news_fd = -1;
}

static void tell_started(void)
{
    send_news("+");
}

/* The one in front: waits until there is something to attach to, or the reason why not. */
static _Noreturn void wait_for_news(int fd, const char *run_id, const char *log)
{
    char text[NEWS_BYTES_MAX];
    size_t size = 0;
    for (ssize_t got = 1; got > 0 && size + 1 < sizeof(text); size += got > 0 ? (size_t)got : 0)
        got = read(fd, text + size, sizeof(text) - 1 - size);
    text[size] = '\0';
    if (hd_streq(text, "+")) {
        printf("run %s goes on in the background; hd attach %s shows it\n", run_id, run_id);
        fflush(stdout);
        _exit(HD_EXIT_OK);
    }
    fprintf(stderr, "hd: %s%s\n",
            size > 0 ? text : "it ended at once; its log: ", size > 0 ? "" : log);
    _exit(HD_EXIT_FAILED);
}

/* Goes on in the background: the terminal may close. Returns in the child only. */
static enum hd_code detach(const char *state_dir, const char *run_id, struct hd_err *err)
{
    char log[4096];
    int news[2];
    char *logs = hd_path_join(state_dir, "logs");
    enum hd_code code =
        logs == NULL ? hd_fail(err, HD_E_NOMEM, "no memory") : hd_mkdirs(logs, 0755, err);
    hd_free(logs);
    if (code != HD_OK)
        return code;
    if (!hd_format(log, sizeof(log), "%s/logs/run.log", state_dir))
        return hd_fail(err, HD_E_LIMIT, "the path of the state directory is too long");
    fflush(NULL);
    if (pipe2(news, O_CLOEXEC) != 0)
        return hd_fail(err, HD_E_IO, "cannot make a pipe: %s", strerror(errno));
    pid_t pid = fork();
    if (pid < 0)
        return hd_fail(err, HD_E_IO, "cannot fork: %s", strerror(errno));
    if (pid > 0) {
        close(news[1]);
        wait_for_news(news[0], run_id, log);
    }
    close(news[0]);
    news_fd = news[1];
    setsid();
    int out = open(log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
    int in = open("/dev/null", O_RDONLY | O_CLOEXEC);
    if (out < 0 || in < 0 || dup2(in, STDIN_FILENO) < 0 || dup2(out, STDOUT_FILENO) < 0 ||
        dup2(out, STDERR_FILENO) < 0)
        return hd_fail(err, HD_E_IO, "cannot detach: %s", strerror(errno));
    return HD_OK;
}

/* ---- the cluster
 * ------------------------------------------------------------------------------------------- */

static enum hd_code make_state_dir(struct run_arguments *arguments, char **ret_path,
                                   struct hd_err *err)
{
    enum hd_code code = hd_mkdirs(arguments->state_dir, 0755, err);
    return code == HD_OK ? hd_path_absolute(NULL, arguments->state_dir, ret_path, err) : code;
}

/* What is known of the run: the file, or what the state directory holds. */
static enum hd_code find_stored(const struct run_arguments *arguments, const char *run_id,
                                const struct hd_experiment *experiment,
                                struct hd_experiment **ret_stored, struct hd_err *err)
{
    *ret_stored = NULL;
    if (experiment != NULL || run_id == NULL)
        return HD_OK;
    return run_services_stored(arguments->state_dir, run_id, ret_stored, err);
}

static enum hd_code run_cluster(struct run_arguments *arguments, const char *run_id,
                                const char *file, const struct hd_experiment *experiment,
                                int *ret_exit, struct hd_err *err)
{
    struct hd_text_list master = {.count = 0}, worker = {.count = 0};
    pass_on(&master, "--min-budget", arguments->min_budget);
    pass_on(&master, "--max-budget", arguments->max_budget);
    pass_on(&master, "--eta", arguments->eta);
    pass_on(&master, "--iterations", arguments->iterations);
    pass_on(&master, "--time-limit", arguments->time_limit);
    pass_on(&master, "--seed", arguments->seed);
    pass_on(&master, "--notify", arguments->notify);
    for (size_t i = 0; i < arguments->warm_start.count; i++)
        pass_on(&master, "--warm-start", arguments->warm_start.items[i]);
    pass_on(&worker, "--engine", arguments->engine);
    for (size_t i = 0; i < arguments->data.count; i++)
        pass_on(&worker, "--data", arguments->data.items[i]);
    for (size_t i = 0; i < arguments->env.count; i++)
        pass_on(&worker, "--env", arguments->env.items[i]);
    char *state_dir = NULL;
    enum hd_code code = make_state_dir(arguments, &state_dir, err);
    struct cluster_options options = {
        .state_dir = state_dir,
        .run_id = run_id,
        .experiment_file = file,
        .worker_count =
            arguments->workers > 0 ? (uint32_t)arguments->workers : default_workers(experiment),
        .master_arguments = &master,
        .worker_arguments = &worker,
        .log_level = arguments->log_level,
    };
    struct cluster *cluster = NULL;
    struct hd_experiment *stored = NULL;
    bool made = false;
    if (code == HD_OK)
        code = find_stored(arguments, run_id, experiment, &stored, err);
    const struct hd_experiment *known = experiment != NULL ? experiment : stored;
    bool workers_do = known != NULL && known->services_per_worker;
    if (code == HD_OK && !workers_do)
        code = run_services_up(known, state_dir, run_id, arguments->json, watch_interrupted, &made,
                               err);
    struct progress progress;
    progress_init(&progress, arguments->json);
    if (experiment != NULL)
        progress.budget_total = progress_planned_budget(experiment);
    if (code == HD_OK)
        code = cluster_open(&options, &cluster, err);
    if (code == HD_OK)
        code = watch_resume_paused(arguments, run_id, err);
    if (code == HD_OK)
        code = watch(cluster, arguments, run_id, &progress, tell_started, ret_exit, err);
    progress_end(&progress);
    if (cluster != NULL) {
        if (watch_interrupted() && !arguments->json)
            fprintf(stderr, "stopping; the workers hand back what they run (again to hurry)\n");
        int64_t grace_ms =
            getenv("HYPERDOCK_ARTIFACTS") != NULL ? SHIPPING_GRACE_MS : STOP_GRACE_MS;
        grace_ms += run_services_down_ms(known);
        cluster_stop(cluster, code == HD_OK ? grace_ms : FAILED_GRACE_MS, &watch_hurry);
    }
    if (cluster != NULL && workers_do)
        run_services_down_left(state_dir);
    else if (made || cluster != NULL)
        run_services_down(known, state_dir, run_id);
    cluster_close(cluster);
    hd_experiment_free(stored);
    hd_free(state_dir);
    return code;
}

static enum hd_code read_file(const struct run_arguments *arguments, const char *file,
                              struct hd_experiment **ret_experiment, struct hd_err *err)
{
    struct hd_experiment_overrides overrides = {
        .budget_min = NAN, .budget_max = NAN, .eta = NAN, .name = NULL};
    int64_t iterations = 0;
    if (arguments->min_budget != NULL &&
        !hd_parse_double(arguments->min_budget, &overrides.budget_min))
        return hd_fail(err, HD_E_INVALID, "--min-budget %s is not a number", arguments->min_budget);
    if (arguments->max_budget != NULL &&
        !hd_parse_double(arguments->max_budget, &overrides.budget_max))
        return hd_fail(err, HD_E_INVALID, "--max-budget %s is not a number", arguments->max_budget);
    if (arguments->eta != NULL && !hd_parse_double(arguments->eta, &overrides.eta))
        return hd_fail(err, HD_E_INVALID, "--eta %s is not a number", arguments->eta);
    if (arguments->iterations != NULL && (!hd_parse_i64(arguments->iterations, &iterations) ||
                                          iterations < 1 || iterations > 1000000000))
        return hd_fail(err, HD_E_INVALID, "--iterations %s is not a positive whole number",
                       arguments->iterations);
    overrides.iterations = (uint32_t)iterations;
    if (arguments->seed != NULL && !hd_parse_u64(arguments->seed, &overrides.seed))
        return hd_fail(err, HD_E_INVALID, "--seed %s is not a whole number from 0",
                       arguments->seed);
    overrides.has_seed = arguments->seed != NULL;
    if (arguments->time_limit != NULL &&
        hd_parse_duration(arguments->time_limit, &overrides.time_ms, err) != HD_OK)
        return hd_fail_in(err, "--time-limit");
    return hd_experiment_read(file, &overrides, ret_experiment, err);
}

/* Said at once, and not by a master in the background. */
static enum hd_code check_notify(const struct run_arguments *arguments, struct hd_err *err)
{
    struct hd_notice_settings *settings = NULL;
    if (arguments->notify != NULL && hd_streq(arguments->notify, "none"))
        return HD_OK;
    enum hd_code code = hd_notice_load(arguments->notify, &settings, err);
    if (code == HD_OK && settings->warning[0] != '\0')
        fprintf(stderr, "hd: %s\n", settings->warning);
    hd_notice_settings_free(settings);
    return code;
}

/* An image needs an engine: said at once rather than after five jobs that could not start. */
static enum hd_code check_engine(const struct run_arguments *arguments,
                                 const struct hd_experiment *experiment, struct hd_err *err)
{
    bool podman = arguments->engine != NULL && hd_streq(arguments->engine, "podman");
    bool docker = arguments->engine != NULL ? hd_streq(arguments->engine, "docker")
                                            : experiment->target.image != NULL;
    if (!docker && !podman)
        return HD_OK;
    struct hd_queue *news = NULL;
    struct hd_engine *engine = NULL;
    enum hd_code code = hd_queue_new(16, &news, err);
    struct hd_engine_options options = {
        .worker = "hd-run", .state_dir = arguments->state_dir, .queue = news};
    if (code == HD_OK)
        code = podman ? hd_engine_open_podman(&options, &engine, err)
                      : hd_engine_open_docker(&options, &engine, err);
    hd_engine_close(engine);
    hd_queue_free(news);
    return code;
}

/* Said here what the master would say in its log: which results a new run begins with, or why it
 * cannot. */
static enum hd_code check_warm_start(const struct run_arguments *arguments, const char *run_id,
                                     const struct hd_experiment *experiment, struct hd_err *err)
{
    struct hd_value *status = NULL;
    struct hd_buf known;
    if (arguments->warm_start.count == 0)
        return HD_OK;
    if (watch_status(arguments, run_id, &status, err) == HD_OK) {
        hd_value_free(status);
        return HD_OK; /* it has begun with what there was then */
    }
    hd_buf_init(&known, HD_KNOWN_BYTES_MAX);
    const struct cli_common where = {.state_dir = arguments->state_dir};
    enum hd_code code = cli_warm_start(&where, &arguments->warm_start, experiment, &known, err);
    hd_buf_release(&known);
    return code;
}

static void say_build(void *context, const char *line)
{
    const struct run_arguments *arguments = context;
    if (!arguments->json)
        fprintf(stderr, "build: %s\n", line);
}

/* Here, where the person sees it; the master then finds it. */
static enum hd_code build_image(struct run_arguments *arguments,
                                const struct hd_experiment *experiment, struct hd_err *err)
{
    if (experiment->target.build == NULL)
        return HD_OK;
    return hd_image_ensure(&experiment->target, say_build, arguments, err) == HD_OK
               ? HD_OK
               : hd_fail_in(err, "target.image.build");
}

/* Everything after the options: file NULL resumes what the state directory holds. */
static int run(struct run_arguments *arguments, const char *file)
{
    struct hd_err err;
    struct hd_experiment *experiment = NULL;
    int exit_code = HD_EXIT_FAILED;
    bool over = false;
    enum hd_code code = HD_OK;
    hd_log_open("hd", HD_LOG_WARNING);
    if (file != NULL)
        code = read_file(arguments, file, &experiment, &err);
    const char *run_id = arguments->run_id != NULL ? arguments->run_id
                         : experiment != NULL      ? experiment->name
                                                   : NULL;
    if (code == HD_OK && run_id != NULL)
        code = hd_check_id("--run-id", run_id, &err);
    if (code == HD_OK && run_id != NULL)
        code = look_at_existing(arguments, run_id, file != NULL ? file : "EXPERIMENT", experiment,
                                &over, &exit_code, &err);
    if (code == HD_OK && !over && experiment != NULL)
        code = check_engine(arguments, experiment, &err);
    if (code == HD_OK && !over)
        code = check_notify(arguments, &err);
    if (code == HD_OK && !over && experiment != NULL)
        code = check_warm_start(arguments, run_id, experiment, &err);
    if (code == HD_OK && !over && experiment != NULL)
        code = build_image(arguments, experiment, &err);
    if (code == HD_OK && !over && arguments->detach) {
        code = detach(arguments->state_dir, run_id, &err);
    }
    if (code == HD_OK && !over) {
        watch_catch_signals();
        code = run_cluster(arguments, run_id, file, experiment, &exit_code, &err);
        if (code == HD_OK)
            watch_print_end(arguments, run_id, file);
    }
    hd_experiment_free(experiment);
    send_news(code == HD_OK ? "+" : err.text);
    if (code != HD_OK)
        return cli_fail(&err);
    if (exit_code == HD_EXIT_FAILED)
        watch_show_log_tail(arguments->state_dir);
    return exit_code;
}

/* A cluster on this machine: for a new run, and for one that goes on. */
#define CLUSTER_OPTIONS(a)                                                                         \
    {.name = "workers",                                                                            \
     .aliases = "n-jobs",                                                                          \
     .kind = HD_OPTION_INT,                                                                        \
     .value = &(a)->workers,                                                                       \
     .hint = "N",                                                                                  \
     .help = "workers on this machine (default: one a core, at most 8)",                           \
     .int_min = 1,                                                                                 \
     .int_max = CLUSTER_WORKERS_MAX},                                                              \
        {.name = "state-dir",                                                                      \
         .kind = HD_OPTION_TEXT,                                                                   \
         .value = &(a)->state_dir,                                                                 \
         .hint = "DIR",                                                                            \
         .help = "where runs are kept (default: hyperdock-state)"},                                \
        {.name = "detach",                                                                         \
         .kind = HD_OPTION_FLAG,                                                                   \
         .value = &(a)->detach,                                                                    \
         .help = "go on in the background"},                                                       \
        {.name = "notify",                                                                         \
         .kind = HD_OPTION_TEXT,                                                                   \
         .value = &(a)->notify,                                                                    \
         .hint = "FILE",                                                                           \
         .help = "who is told what (default: the user's hyperdock/notify.yaml); none: nobody"},    \
        {.name = "engine",                                                                         \
         .kind = HD_OPTION_TEXT,                                                                   \
         .value = &(a)->engine,                                                                    \
         .hint = "NAME",                                                                           \
         .help = "docker, podman or process (default: by the experiment)"},                        \
        {.name = "data",                                                                           \
         .kind = HD_OPTION_LIST,                                                                   \
         .value = &(a)->data,                                                                      \
         .hint = "NAME=PATH",                                                                      \
         .help = "where a named data set is on this machine"},                                     \
        {.name = "env",                                                                            \
         .kind = HD_OPTION_LIST,                                                                   \
         .value = &(a)->env,                                                                       \
         .hint = "K=V",                                                                            \
         .help = "environment of every target"},                                                   \
    {                                                                                              \
        .name = "json", .kind = HD_OPTION_FLAG, .value = &(a)->json,                               \
        .help = "print the result as one JSON object, and no progress"                             \
    }

int cmd_run(int argc, char **argv)
{
    struct run_arguments arguments = {.log_level = "info"};
    struct run_arguments *a = &arguments;
    const struct hd_option options[] = {
        {.name = "run-id",
         .kind = HD_OPTION_TEXT,
         .value = &a->run_id,
         .hint = "ID",
         .help = "name of the run (default: the experiment's name)"},
        CLUSTER_OPTIONS(a),
        {.name = "resume",
         .kind = HD_OPTION_FLAG,
         .value = &a->resume,
         .help = "go on with the run when it exists, start it when not"},
        {.name = "warm-start",
         .aliases = "previous-result",
         .kind = HD_OPTION_LIST,
         .value = &a->warm_start,
         .hint = "RUN|FILE",
         .help = "begin a new run with results of earlier ones"},
        {.name = "seed",
         .aliases = "random-state",
         .kind = HD_OPTION_TEXT,
         .value = &a->seed,
         .hint = "S",
         .help = "seed of a new run"},
        {.name = "min-budget",
         .kind = HD_OPTION_TEXT,
         .value = &a->min_budget,
         .hint = "B",
         .help = "smallest budget, over the file's"},
        {.name = "max-budget",
         .kind = HD_OPTION_TEXT,
         .value = &a->max_budget,
         .hint = "B",
         .help = "largest budget, over the file's"},
        {.name = "eta",
         .kind = HD_OPTION_TEXT,
         .value = &a->eta,
         .hint = "E",
         .help = "factor between budgets, over the file's"},
        {.name = "iterations",
         .aliases = "n-iterations",
         .kind = HD_OPTION_TEXT,
         .value = &a->iterations,
         .hint = "N",
         .help = "iterations (brackets), over the file's"},
        {.name = "time-limit",
         .kind = HD_OPTION_TEXT,
         .value = &a->time_limit,
         .hint = "TIME",
         .help = "end the run after this long, like 90m"},
        {.name = "log-level",
         .kind = HD_OPTION_TEXT,
         .value = &a->log_level,
         .hint = "LEVEL",
         .help = "of the logs in DIR/logs: error, warning, info, debug"},
    };
    const struct hd_program program = {
        .name = "hd run",
        .summary = "tunes the experiment's target on this machine",
        .usage = "hd run EXPERIMENT [options]",
        .epilogue =
            "Exit status: 0 finished, 1 error, 2 usage, 3 paused, 130 stopped before the end.",
        .options = options,
        .option_count = HD_COUNT(options),
        .positional_min = 1,
        .positional_max = 1,
    };
    const char *file;
    size_t count;
    enum hd_parse_answer parsed = hd_options_parse(&program, argc, argv, &file, &count);
    if (parsed != HD_PARSE_GO)
        return parsed == HD_PARSE_EXIT_OK ? HD_EXIT_OK : HD_EXIT_USAGE;
    arguments.state_dir = cli_state_dir(arguments.state_dir);
    return run(&arguments, file);
}

static enum hd_code extend(const struct run_arguments *arguments, const struct cli_order *order,
                           bool insist, struct hd_err *err)
{
    struct hd_value *status = NULL;
    struct hd_err ignored;
    if (watch_status(arguments, arguments->run_id, &status, &ignored) != HD_OK)
        return HD_OK; /* said later, as for every run that is not there */
    bool over = watch_is_over(status);
    hd_value_free(status);
    enum hd_code code = over ? cli_order_offline(arguments->state_dir, order, err) : HD_OK;
    return code == HD_E_CONFLICT && !insist ? HD_OK : code;
}

int cmd_resume(int argc, char **argv)
{
    struct hd_text_list limits = {0};
    const char *image = NULL;
    struct run_arguments arguments = {.log_level = "info", .resume = true};
    struct run_arguments *a = &arguments;
    const struct hd_option options[] = {
        CLUSTER_OPTIONS(a),
        {.name = "image",
         .kind = HD_OPTION_TEXT,
         .value = &image,
         .hint = "IMAGE",
         .help = "attempts that begin from now on run this image"},
        {.name = "set",
         .kind = HD_OPTION_LIST,
         .value = &limits,
         .hint = "LIMIT=VALUE",
         .help = "change a limit first, as hd set does"},
        CLI_REMOTE_OPTIONS(a->remote),
    };
    const struct hd_program program = {
        .name = "hd resume",
        .summary = "goes on with a run: tells its master, or starts one here",
        .usage = "hd resume RUN [--set LIMIT=VALUE] [--image IMAGE] [options]",
        .epilogue = "A finished run goes on when a larger limit gives it more to do; see hd set.",
        .options = options,
        .option_count = HD_COUNT(options),
        .positional_min = 1,
        .positional_max = 1,
    };
    size_t count;
    enum hd_parse_answer parsed = hd_options_parse(&program, argc, argv, &arguments.run_id, &count);
    if (parsed != HD_PARSE_GO)
        return parsed == HD_PARSE_EXIT_OK ? HD_EXIT_OK : HD_EXIT_USAGE;
    struct hd_err err;
    bool told = false;
    const struct cli_common where = {.state_dir = arguments.state_dir, .remote = arguments.remote};
    enum hd_code code = HD_OK;
    for (size_t i = 0; code == HD_OK && i < limits.count; i++)
        code = cli_set_limit(&where, arguments.run_id, limits.items[i], &err);
    const struct cli_order other = {
        .op = HD_COMMAND_SET_IMAGE, .run_id = arguments.run_id, .image = image};
    if (code == HD_OK && image != NULL)
        code = cli_order(&where, &other, &err);
    const struct cli_order order = {.op = HD_COMMAND_RESUME_RUN, .run_id = arguments.run_id};
    if (code == HD_OK)
        code = cli_order_live(&where, &order, &told, &err);
    if (code != HD_OK)
        return cli_fail(&err);
    arguments.state_dir = cli_state_dir(arguments.state_dir);
    if (!told) {
        /* A finished run goes on when it has been given more to do; otherwise its end is shown.
         */
        code = extend(&arguments, &order, limits.count > 0, &err);
        return code == HD_OK ? run(&arguments, NULL) : cli_fail(&err);
    }
    printf("run %s goes on\n", arguments.run_id);
    return HD_EXIT_OK;
}
