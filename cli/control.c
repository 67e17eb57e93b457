/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Commands to a run: cancel, pause, submit. A live master is told over the wire; when none
 * runs, the command is made durable in the state directory by the same core.
 */
#include "act.h"
#include "commands.h"
#include "common/cli.h"

#include <hd/code.h>
#include <hd/driver.h>
#include <hd/image.h>
#include <hd/known.h>
#include <hd/value.h>

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

/* ---- a live master ----------------------------------------------------------------------------
 */

/* *ret_elsewhere: the person named a live master, so that nothing else will do. */
static enum hd_code find_master(const struct cli_common *where, const char *run_id,
                                struct cli_master *master, bool *ret_elsewhere, struct hd_err *err)
{
    *ret_elsewhere = true;
    bool remote = false;
    enum hd_code code = cli_remote_check(&where->remote, where->state_dir, &remote, err);
    if (code != HD_OK)
        return code;
    *ret_elsewhere = remote;
    return remote ? cli_master_find(&where->remote, run_id, master, err)
                  : cli_master_of_state(cli_state_dir(where->state_dir), master, err);
}

static struct hd_request request_of(const struct cli_order *order)
{
    return (struct hd_request){
        .kind = HD_REQUEST_COMMAND,
        .token = "",
        .worker = "",
        .run_id = order->run_id != NULL ? order->run_id : "",
        .command = order->op,
        .job = order->job,
        .reason = order->reason != NULL ? order->reason : "",
        .limit = order->limit,
        .limit_value = order->limit_value != NULL ? order->limit_value : "",
        .subject = order->worker != NULL ? order->worker : "",
        .image = order->image != NULL ? order->image : "",
    };
}

enum hd_code cli_order_live(const struct cli_common *where, const struct cli_order *order,
                            bool *ret_told, struct hd_err *err)
{
    struct cli_master master;
    bool elsewhere;
    *ret_told = false;
    struct hd_request request = request_of(order);
    enum hd_code code = find_master(where, request.run_id, &master, &elsewhere, err);
    if (code == HD_E_NOTFOUND && !elsewhere)
        return HD_OK;
    if (code == HD_OK)
        code = cli_master_call(&master, &request, NULL, err);
    *ret_told = code == HD_OK;
    return code;
}

/* ---- no master: the same core, once
 * ---------------------------------------------------------------------- */

static enum hd_code open_offline(const char *state_dir, struct hd_driver **ret_driver,
                                 struct hd_err *err)
{
    char *path = hd_path_join(state_dir, HD_STORE_FILE_NAME);
    if (path == NULL)
        return hd_fail(err, HD_E_NOMEM, "no memory");
    struct hd_driver_options options = {.core = {.ping_ms = 5000},
                                        .store_path = path,
                                        .host = "127.0.0.1",
                                        .nameserver = "",
                                        .master_id = "hd",
                                        .token = ""};
    enum hd_code code = hd_path_exists(path)
                            ? hd_driver_open(&options, ret_driver, err)
                            : hd_fail(err, HD_E_NOTFOUND, "there are no runs in %s", state_dir);
    hd_free(path);
    return code;
}

enum hd_code cli_order_offline(const char *state_dir, const struct cli_order *order,
                               struct hd_err *err)
{
    struct hd_driver *driver = NULL;
    struct hd_request request = request_of(order);
    enum hd_code code = open_offline(state_dir, &driver, err);
    if (code == HD_OK)
        code = hd_driver_request(driver, &request, err);
    hd_driver_close(driver);
    return code;
}

enum hd_code cli_order(const struct cli_common *where, const struct cli_order *order,
                       struct hd_err *err)
{
    bool told;
    enum hd_code code = cli_order_live(where, order, &told, err);
    if (code == HD_OK && !told)
        code = cli_order_offline(cli_state_dir(where->state_dir), order, err);
    return code;
}

/* ---- many orders, one after another
 * ------------------------------------------------------------------------ */

struct cli_orders {
    struct cli_master master;
    struct hd_driver *driver; /* NULL: the master is told */
};

enum hd_code cli_orders_open(const struct cli_common *where, const char *run_id,
                             struct cli_orders **ret_orders, struct hd_err *err)
{
    bool elsewhere;
    struct cli_orders *orders = hd_calloc(1, sizeof(*orders));
    if (orders == NULL)
        return hd_fail(err, HD_E_NOMEM, "no memory");
    enum hd_code code = find_master(where, run_id, &orders->master, &elsewhere, err);
    if (code == HD_E_NOTFOUND && !elsewhere)
        code = open_offline(cli_state_dir(where->state_dir), &orders->driver, err);
    if (code != HD_OK) {
        hd_free(orders);
        return code;
    }
    *ret_orders = orders;
    return HD_OK;
}

bool cli_orders_live(const struct cli_orders *orders)
{
    return orders->driver == NULL;
}

enum hd_code cli_orders_give(struct cli_orders *orders, const struct cli_order *order,
                             struct hd_err *err)
{
    struct hd_request request = request_of(order);
    return orders->driver != NULL ? hd_driver_request(orders->driver, &request, err)
                                  : cli_master_call(&orders->master, &request, NULL, err);
}

void cli_orders_close(struct cli_orders *orders)
{
    if (orders == NULL)
        return;
    hd_driver_close(orders->driver);
    hd_free(orders);
}

/* ---- the subcommands
 * ---------------------------------------------------------------------------------------- */

/* "7" is a job of --run, "RUN" a run, "RUN/7" a job of it. */
enum hd_code cli_split_target(const char *target, const char *run, char *ret_run_id,
                              bool *ret_is_job, uint32_t *ret_job, struct hd_err *err)
{
    const char *slash = strrchr(target, '/');
    const char *number = slash != NULL ? slash + 1 : target;
    int64_t job = 0;
    bool is_number = hd_parse_i64(number, &job);
    *ret_is_job = slash != NULL || (run != NULL && is_number);
    if (*ret_is_job && (!is_number || job < 0 || job > UINT32_MAX))
        return hd_fail(err, HD_E_INVALID, "%s is not a job number", number);
    *ret_job = (uint32_t)job;
    size_t size = slash != NULL ? (size_t)(slash - target) : strlen(target);
    bool fits = *ret_is_job && slash == NULL
                    ? hd_copy_text(ret_run_id, HD_ID_MAX + 1, run)
                    : hd_format(ret_run_id, HD_ID_MAX + 1, "%.*s", (int)size, target);
    return fits ? HD_OK : hd_fail(err, HD_E_INVALID, "%s is too long for a run id", target);
}

int cmd_cancel(int argc, char **argv)
{
    struct cli_common where = {0};
    const char *reason = "", *run = NULL, *target;
    const struct hd_option options[] = {
        {.name = "run",
         .kind = HD_OPTION_TEXT,
         .value = &run,
         .hint = "RUN",
         .help = "the run whose job number is given"},
        {.name = "reason",
         .kind = HD_OPTION_TEXT,
         .value = &reason,
         .hint = "TEXT",
         .help = "kept with the run"},
        CLI_STATE_DIR_OPTION(where),
        CLI_REMOTE_OPTIONS(where.remote),
    };
    const struct hd_program program = {
        .name = "hd cancel",
        .summary = "ends a run for good, or one job of it",
        .usage = "hd cancel RUN | RUN/JOB | --run RUN JOB",
        .options = options,
        .option_count = HD_COUNT(options),
        .positional_min = 1,
        .positional_max = 1,
    };
    size_t count;
    enum hd_parse_answer parsed = hd_options_parse(&program, argc, argv, &target, &count);
    if (parsed != HD_PARSE_GO)
        return parsed == HD_PARSE_EXIT_OK ? HD_EXIT_OK : HD_EXIT_USAGE;
    struct hd_err err;
    char run_id[HD_ID_MAX + 1];
    bool is_job = false;
    uint32_t job = 0;
    enum hd_code code = cli_split_target(target, run, run_id, &is_job, &job, &err);
    if (code == HD_OK)
        code = cli_order(
            &where,
            &(struct cli_order){.op = is_job ? HD_COMMAND_CANCEL_JOB : HD_COMMAND_CANCEL_RUN,
                                .run_id = run_id,
                                .job = job,
                                .reason = reason},
            &err);
    if (code != HD_OK)
        return cli_fail(&err);
    if (is_job)
        printf("job %u of run %s is cancelled\n", job, run_id);
    else
        printf("run %s is cancelled\n", run_id);
    return HD_EXIT_OK;
}

int cmd_pause(int argc, char **argv)
{
    struct cli_common where = {0};
    const char *reason = "", *run_id;
    const struct hd_option options[] = {
        {.name = "reason",
         .kind = HD_OPTION_TEXT,
         .value = &reason,
         .hint = "TEXT",
         .help = "kept with the run"},
        CLI_STATE_DIR_OPTION(where),
        CLI_REMOTE_OPTIONS(where.remote),
    };
    const struct hd_program program = {
        .name = "hd pause",
        .summary = "hands out no more jobs of a run; running ones end as they do",
        .usage = "hd pause RUN",
        .options = options,
        .option_count = HD_COUNT(options),
        .positional_min = 1,
        .positional_max = 1,
    };
    size_t count;
    enum hd_parse_answer parsed = hd_options_parse(&program, argc, argv, &run_id, &count);
    if (parsed != HD_PARSE_GO)
        return parsed == HD_PARSE_EXIT_OK ? HD_EXIT_OK : HD_EXIT_USAGE;
    struct hd_err err;
    const struct cli_order order = {.op = HD_COMMAND_PAUSE_RUN, .run_id = run_id, .reason = reason};
    enum hd_code code = cli_order(&where, &order, &err);
    if (code != HD_OK)
        return cli_fail(&err);
    char place[CLI_CELL_MAX];
    printf("run %s is paused; to go on: hd resume %s%s\n", run_id, run_id,
           cli_where(&where, place));
    return HD_EXIT_OK;
}

static void say_build(void *context, const char *line)
{
    (void)context;
    fprintf(stderr, "build: %s\n", line);
}

/* Beside the master's store, where workers get it from. */
static enum hd_code keep_code(const struct cli_common *where, bool elsewhere,
                              const struct hd_target *target, struct hd_err *err)
{
    if (target->code == NULL)
        return HD_OK;
    if (elsewhere)
        return hd_fail(err, HD_E_UNSUPPORTED,
                       "target.code: its files are here and the master is elsewhere: submit on the "
                       "master's machine, with --state-dir");
    char *path = hd_path_join(cli_state_dir(where->state_dir), HD_STORE_FILE_NAME);
    if (path == NULL)
        return hd_fail(err, HD_E_NOMEM, "no memory");
    enum hd_code code = hd_code_keep(path, target, err);
    hd_free(path);
    return code;
}

static enum hd_code submit(const struct cli_common *where, const char *file, const char *run_id,
                           const struct hd_text_list *warm_start, char *ret_run_id,
                           struct hd_err *err)
{
    struct hd_experiment_overrides overrides = {.budget_min = NAN, .budget_max = NAN, .eta = NAN};
    struct hd_experiment *experiment = NULL;
    struct cli_master master;
    struct hd_buf json, known;
    bool elsewhere = true;
    hd_buf_init(&json, HD_EXPERIMENT_BYTES_MAX);
    hd_buf_init(&known, HD_KNOWN_BYTES_MAX);
    enum hd_code code = hd_experiment_read(file, &overrides, &experiment, err);
    /* On this machine, since the directory is here: a master elsewhere does not have the image. */
    if (code == HD_OK && experiment->target.build != NULL)
        code = hd_image_ensure(&experiment->target, say_build, NULL, err);
    if (code == HD_OK)
        code = hd_experiment_to_json(experiment, &json, err);
    if (code == HD_OK)
        code = cli_warm_start(where, warm_start, experiment, &known, err);
    if (code == HD_OK)
        code = find_master(where, "", &master, &elsewhere, err);
    if (code == HD_E_NOTFOUND && !elsewhere)
        (void)hd_fail(err, code, "no master serves %s: start one with hd-master or hd run first",
                      cli_state_dir(where->state_dir));
    if (code == HD_OK)
        code = keep_code(where, elsewhere, &experiment->target, err);
    if (code == HD_OK) {
        struct hd_request request = {
            .kind = HD_REQUEST_SUBMIT,
            .run_id = run_id != NULL ? run_id : experiment->name,
            .experiment_json = hd_buf_text(&json),
            .known_json = hd_buf_text(&known),
            .seed = experiment->has_seed ? experiment->seed : hd_os_random_u64() >> 32,
            .run_uid = hd_os_random_u64(),
        };
        code = cli_master_call(&master, &request, NULL, err);
        (void)hd_copy_text(ret_run_id, HD_ID_MAX + 1, request.run_id);
    }
    hd_experiment_free(experiment);
    hd_buf_release(&json);
    hd_buf_release(&known);
    return code;
}

int cmd_submit(int argc, char **argv)
{
    struct cli_common where = {0};
    struct hd_text_list warm_start = {0};
    const char *run_id = NULL, *file;
    const struct hd_option options[] = {
        {.name = "run-id",
         .kind = HD_OPTION_TEXT,
         .value = &run_id,
         .hint = "ID",
         .help = "name of the run (default: the experiment's name)"},
        {.name = "warm-start",
         .aliases = "previous-result",
         .kind = HD_OPTION_LIST,
         .value = &warm_start,
         .hint = "RUN|FILE",
         .help = "begin it with results of earlier ones"},
        CLI_STATE_DIR_OPTION(where),
        CLI_REMOTE_OPTIONS(where.remote),
    };
    const struct hd_program program = {
        .name = "hd submit",
        .summary = "adds a run to a live master",
        .usage = "hd submit EXPERIMENT [--run-id ID]",
        .options = options,
        .option_count = HD_COUNT(options),
        .positional_min = 1,
        .positional_max = 1,
    };
    size_t count;
    enum hd_parse_answer parsed = hd_options_parse(&program, argc, argv, &file, &count);
    if (parsed != HD_PARSE_GO)
        return parsed == HD_PARSE_EXIT_OK ? HD_EXIT_OK : HD_EXIT_USAGE;
    struct hd_err err;
    char name[HD_ID_MAX + 1];
    enum hd_code code = submit(&where, file, run_id, &warm_start, name, &err);
    if (code != HD_OK)
        return cli_fail(&err);
    printf("run %s is submitted\n", name);
    return HD_EXIT_OK;
}
