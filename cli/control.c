/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Commands to a run: cancel, pause, submit. A live master is told over the wire; when none
 * runs, the command is made durable in the state directory by the same core.
 */
#include "act.h"
#include "commands.h"
#include "common/cli.h"

#include <hd/driver.h>
#include <hd/value.h>

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#define CALL_TIMEOUT_MS 10000
#define MASTER_FILE_BYTES_MAX 65536
#define PATH_BYTES_MAX 4096

/* ---- the live master
 * ----------------------------------------------------------------------------------- */

struct master {
    char address[HD_ADDRESS_MAX];
    char token[HD_OS_TOKEN_SIZE];
    struct hd_net_security security;
    char cert[PATH_BYTES_MAX], key[PATH_BYTES_MAX], ca[PATH_BYTES_MAX];
};

static const char *text_of(const struct hd_value *object, const char *key)
{
    const struct hd_value *value = hd_value_get(object, key);
    return value != NULL && value->kind == HD_VALUE_STRING ? value->as.string : NULL;
}

/* With what the master itself listens: a command comes from the same machine and person. */
static void read_security(const struct hd_value *record, struct master *master)
{
    const struct hd_value *plaintext = hd_value_get(record, "plaintext");
    const char *cert = text_of(record, "cert"), *key = text_of(record, "key");
    const char *ca = text_of(record, "ca");
    master->security.plaintext =
        plaintext != NULL && plaintext->kind == HD_VALUE_BOOL && plaintext->as.boolean;
    if (cert != NULL && hd_copy_text(master->cert, sizeof(master->cert), cert))
        master->security.cert_file = master->cert;
    if (key != NULL && hd_copy_text(master->key, sizeof(master->key), key))
        master->security.key_file = master->key;
    if (ca != NULL && hd_copy_text(master->ca, sizeof(master->ca), ca))
        master->security.ca_file = master->ca;
}

/* HD_E_NOTFOUND: no master serves this state directory now. */
static enum hd_code find_master(const char *state_dir, struct master *master, struct hd_err *err)
{
    char path[4096];
    struct hd_buf text;
    struct hd_value *record = NULL;
    if (!hd_format(path, sizeof(path), "%s/" HD_STORE_FILE_NAME ".master.json", state_dir))
        return hd_fail(err, HD_E_LIMIT, "the path %s is too long", state_dir);
    if (!hd_path_exists(path))
        return hd_fail(err, HD_E_NOTFOUND, "no master serves %s", state_dir);
    hd_buf_init(&text, MASTER_FILE_BYTES_MAX);
    enum hd_code code = hd_file_read(path, MASTER_FILE_BYTES_MAX, true, &text, err);
    if (code == HD_OK)
        code = hd_json_parse(hd_buf_text(&text), text.size, path, &hd_value_limits_target, &record,
                             err);
    hd_buf_release(&text);
    if (code != HD_OK)
        return code;
    const struct hd_value *pid = hd_value_get(record, "pid");
    const struct hd_value *ticks = hd_value_get(record, "start_ticks");
    const char *address = text_of(record, "address");
    const char *token_file = text_of(record, "token_file");
    if (pid == NULL || pid->kind != HD_VALUE_INT || ticks == NULL || ticks->kind != HD_VALUE_INT ||
        address == NULL || token_file == NULL)
        code = hd_fail(err, HD_E_CORRUPT, "%s is not a master's record", path);
    else if (hd_process_start_ticks((pid_t)pid->as.integer) != (uint64_t)ticks->as.integer)
        code = hd_fail(err, HD_E_NOTFOUND, "no master serves %s", state_dir);
    else
        code = hd_token_load(token_file, master->token, NULL, err);
    if (code == HD_OK)
        (void)hd_copy_text(master->address, sizeof(master->address), address);
    if (code == HD_OK)
        read_security(record, master);
    hd_value_free(record);
    return code;
}

static enum hd_code call(struct master *master, struct hd_request *request, struct hd_err *err)
{
    struct hd_buf out, in;
    struct hd_arena *arena = NULL;
    struct hd_reply *reply = hd_malloc(sizeof(*reply));
    hd_buf_init(&out, HD_MESSAGE_BYTES_MAX);
    hd_buf_init(&in, HD_MESSAGE_BYTES_MAX);
    request->token = master->token;
    request->worker = "";
    request->lane = HD_LANE_CONTROL;
    enum hd_code code = reply == NULL ? hd_fail(err, HD_E_NOMEM, "no memory")
                                      : hd_request_encode(request, &out, err);
    if (code == HD_OK)
        code = hd_net_call(master->address, &master->security, out.data, out.size, CALL_TIMEOUT_MS,
                           &in, err);
    if (code == HD_OK)
        code = hd_arena_new(4 * HD_MESSAGE_BYTES_MAX, &arena, err);
    if (code == HD_OK)
        code = hd_reply_decode(in.data, in.size, arena, reply, err);
    if (code == HD_OK && reply->kind == HD_REPLY_REFUSED)
        code = hd_fail(err, reply->code, "%s", reply->text);
    hd_arena_free(arena);
    hd_buf_release(&in);
    hd_buf_release(&out);
    hd_free(reply);
    return code;
}

enum hd_code cli_command_live(const char *state_dir, const char *run_id, enum hd_command_op op,
                              uint32_t job, const char *reason, bool *ret_told, struct hd_err *err)
{
    struct master master = {.address = ""};
    *ret_told = false;
    enum hd_code code = find_master(state_dir, &master, err);
    if (code == HD_E_NOTFOUND)
        return HD_OK;
    struct hd_request request = {
        .kind = HD_REQUEST_COMMAND, .run_id = run_id, .command = op, .job = job, .reason = reason};
    if (code == HD_OK)
        code = call(&master, &request, err);
    *ret_told = code == HD_OK;
    return code;
}

/* ---- no master: the same core, once
 * ---------------------------------------------------------------------- */

static enum hd_code command_offline(const char *state_dir, const char *run_id,
                                    enum hd_command_op op, uint32_t job, const char *reason,
                                    struct hd_err *err)
{
    char *path = hd_path_join(state_dir, HD_STORE_FILE_NAME);
    if (path == NULL)
        return hd_fail(err, HD_E_NOMEM, "no memory");
    struct hd_driver *driver = NULL;
    struct hd_driver_options options = {.core = {.lease_ms = 30000, .ping_ms = 5000},
                                        .store_path = path,
                                        .host = "127.0.0.1",
                                        .nameserver = "",
                                        .master_id = "hd",
                                        .token = ""};
    struct hd_request request = {.kind = HD_REQUEST_COMMAND,
                                 .token = "",
                                 .worker = "",
                                 .run_id = run_id,
                                 .command = op,
                                 .job = job,
                                 .reason = reason};
    enum hd_code code = hd_path_exists(path)
                            ? hd_driver_open(&options, &driver, err)
                            : hd_fail(err, HD_E_NOTFOUND, "there are no runs in %s", state_dir);
    if (code == HD_OK)
        code = hd_driver_request(driver, &request, err);
    hd_driver_close(driver);
    hd_free(path);
    return code;
}

static enum hd_code command(const char *state_dir, const char *run_id, enum hd_command_op op,
                            uint32_t job, const char *reason, struct hd_err *err)
{
    bool told;
    enum hd_code code = cli_command_live(state_dir, run_id, op, job, reason, &told, err);
    if (code == HD_OK && !told)
        code = command_offline(state_dir, run_id, op, job, reason, err);
    return code;
}

/* ---- the subcommands
 * ---------------------------------------------------------------------------------------- */

/* "7" is a job of --run, "RUN" a run, "RUN/7" a job of it. */
static enum hd_code split_target(const char *target, const char *run, char *ret_run_id,
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
    const char *state_dir = NULL, *reason = "", *run = NULL, *target;
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
        {.name = "state-dir",
         .kind = HD_OPTION_TEXT,
         .value = &state_dir,
         .hint = "DIR",
         .help = "where runs are kept"},
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
    state_dir = cli_state_dir(state_dir);
    char run_id[HD_ID_MAX + 1];
    bool is_job = false;
    uint32_t job = 0;
    enum hd_code code = split_target(target, run, run_id, &is_job, &job, &err);
    if (code == HD_OK)
        code = command(state_dir, run_id, is_job ? HD_COMMAND_CANCEL_JOB : HD_COMMAND_CANCEL_RUN,
                       job, reason, &err);
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
    const char *state_dir = NULL, *reason = "", *run_id;
    const struct hd_option options[] = {
        {.name = "reason",
         .kind = HD_OPTION_TEXT,
         .value = &reason,
         .hint = "TEXT",
         .help = "kept with the run"},
        {.name = "state-dir",
         .kind = HD_OPTION_TEXT,
         .value = &state_dir,
         .hint = "DIR",
         .help = "where runs are kept"},
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
    state_dir = cli_state_dir(state_dir);
    enum hd_code code = command(state_dir, run_id, HD_COMMAND_PAUSE_RUN, 0, reason, &err);
    if (code != HD_OK)
        return cli_fail(&err);
    printf("run %s is paused; to go on: hd resume %s\n", run_id, run_id);
    return HD_EXIT_OK;
}

static enum hd_code submit(const char *state_dir, const char *file, const char *run_id,
                           char *ret_run_id, struct hd_err *err)
{
    struct hd_experiment_overrides overrides = {.budget_min = NAN, .budget_max = NAN, .eta = NAN};
    struct hd_experiment *experiment = NULL;
    struct master master = {.address = ""};
    struct hd_buf json;
    hd_buf_init(&json, HD_EXPERIMENT_BYTES_MAX);
    enum hd_code code = hd_experiment_read(file, &overrides, &experiment, err);
    if (code == HD_OK)
        code = hd_experiment_to_json(experiment, &json, err);
    if (code == HD_OK)
        code = find_master(state_dir, &master, err);
    if (code == HD_E_NOTFOUND)
        (void)hd_fail_in(err, "start one with hd-master or hd run first");
    if (code == HD_OK) {
        struct hd_request request = {
            .kind = HD_REQUEST_SUBMIT,
            .run_id = run_id != NULL ? run_id : experiment->name,
            .experiment_json = hd_buf_text(&json),
            .seed = experiment->has_seed ? experiment->seed : hd_os_random_u64() >> 32,
            .run_uid = hd_os_random_u64(),
        };
        code = call(&master, &request, err);
        (void)hd_copy_text(ret_run_id, HD_ID_MAX + 1, request.run_id);
    }
    hd_experiment_free(experiment);
    hd_buf_release(&json);
    return code;
}

int cmd_submit(int argc, char **argv)
{
    const char *state_dir = NULL, *run_id = NULL, *file;
    const struct hd_option options[] = {
        {.name = "run-id",
         .kind = HD_OPTION_TEXT,
         .value = &run_id,
         .hint = "ID",
         .help = "name of the run (default: the experiment's name)"},
        {.name = "state-dir",
         .kind = HD_OPTION_TEXT,
         .value = &state_dir,
         .hint = "DIR",
         .help = "of the live master"},
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
    state_dir = cli_state_dir(state_dir);
    char name[HD_ID_MAX + 1];
    enum hd_code code = submit(state_dir, file, run_id, name, &err);
    if (code != HD_OK)
        return cli_fail(&err);
    printf("run %s is submitted\n", name);
    return HD_EXIT_OK;
}
