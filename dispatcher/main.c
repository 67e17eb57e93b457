/* SPDX-License-Identifier: Apache-2.0 */
/* hd-master: one or several runs: optimizer, dispatcher, checkpoint. */
#include "arguments.h"
#include "startup.h"

#include <errno.h>
#include <hd/checkpoint.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* ---- from options to settings
 * --------------------------------------------------------------------- */

static enum hd_code queue_sizes(const struct hd_master_arguments *arguments,
                                struct hd_experiment_overrides *overrides, struct hd_err *err)
{
    if (arguments->job_queue_sizes == NULL)
        return HD_OK;
    int min, max;
    char rest;
    if (sscanf(arguments->job_queue_sizes, "%d,%d%c", &min, &max, &rest) != 2 || min >= max)
        return hd_fail(err, HD_E_INVALID,
                       "--job-queue-sizes %s: two numbers MIN,MAX with MIN < MAX, like -1,0",
                       arguments->job_queue_sizes);
    overrides->has_queue = true;
    overrides->queue_min = min;
    overrides->queue_max = max;
    overrides->queue_dynamic = !arguments->fixed_queue_size;
    return HD_OK;
}

static enum hd_code make_startup(const struct hd_master_arguments *arguments,
                                 struct hd_startup *startup, struct hd_err *err)
{
    *startup = (struct hd_startup){
        .run_id = arguments->run_id,
        .experiment_file = arguments->experiment,
        .space_file = arguments->space,
        .resume = arguments->resume,
        .warm_start = &arguments->warm_start,
        .overrides = {.name = arguments->experiment == NULL ? arguments->run_id : NULL,
                      .image = arguments->image,
                      .budget_min = arguments->budget_min,
                      .budget_max = arguments->budget_max,
                      .eta = arguments->eta,
                      .iterations = (uint32_t)arguments->iterations,
                      .has_seed = arguments->seed_given,
                      .seed = (uint64_t)arguments->seed,
                      .time_ms = arguments->time_limit_ms},
    };
    if (arguments->run_id != NULL) {
        enum hd_code code = hd_check_id("--run-id", arguments->run_id, err);
        if (code != HD_OK)
            return code;
    }
    if (arguments->experiment == NULL && (arguments->image == NULL) != (arguments->space == NULL))
        return hd_fail(err, HD_E_INVALID, "--image and --space go together");
    return queue_sizes(arguments, &startup->overrides, err);
}

/* The nameserver: given, or from the credentials file, or this machine's. */
static enum hd_code find_nameserver(const struct hd_master_arguments *arguments, bool tls,
                                    char *ret_address, size_t address_size, char *token,
                                    struct hd_err *err)
{
    char named[HD_ADDRESS_MAX] = "127.0.0.1";
    enum hd_code code = HD_OK;
    if (arguments->nameserver != NULL)
        (void)hd_copy_text(named, sizeof(named), arguments->nameserver);
    else if (arguments->credentials_dir != NULL && arguments->run_id != NULL)
        code = hd_credentials_read(arguments->credentials_dir, arguments->run_id, 60, 1000, named,
                                   sizeof(named), token, err);
    if (code != HD_OK)
        return code;
    char host[HD_ADDRESS_MAX];
    uint16_t port;
    code = hd_net_split(named, HD_NET_NAMESERVER_PORT, host, sizeof(host), &port, err);
    if (code != HD_OK)
        return code;
    bool v6 = strchr(host, ':') != NULL;
    if (!hd_format(ret_address, address_size, "%s://%s%s%s:%u", tls ? "tls+tcp" : "tcp",
                   v6 ? "[" : "", host, v6 ? "]" : "", port))
        return hd_fail(err, HD_E_LIMIT, "the nameserver's address %s is too long", named);
    return HD_OK;
}

static enum hd_code store_path(const struct hd_master_arguments *arguments, char **ret_path,
                               struct hd_err *err)
{
    char *joined;
    if (arguments->checkpoint != NULL)
        return hd_path_absolute(NULL, arguments->checkpoint, ret_path, err);
    const char *directory = arguments->state_dir != NULL ? arguments->state_dir : "hyperdock-state";
    enum hd_code code = hd_mkdirs(directory, 0755, err);
    if (code != HD_OK)
        return code;
    if ((joined = hd_path_join(directory, HD_STORE_FILE_NAME)) == NULL)
        return hd_fail(err, HD_E_NOMEM, "no memory");
    code = hd_path_absolute(NULL, joined, ret_path, err);
    hd_free(joined);
    return code;
}

/* ---- what a person sees
 * ------------------------------------------------------------------------------ */

static void print_worker_command(const struct hd_master_arguments *arguments,
                                 const char *nameserver, const char *run_id, const char *token_path)
{
    const char *host = strstr(nameserver, "://") + 3;
    printf("To add a worker, run:\n  hd-worker --nameserver %s%s%s", host,
           run_id[0] != '\0' ? " --run-id " : "", run_id);
    if (arguments->token_file != NULL)
        printf(" --token-file %s", arguments->token_file);
    const struct hd_net_security *security = &arguments->security;
    if (security->ca_file != NULL)
        printf(" --ca %s", security->ca_file);
    if (security->cert_file != NULL && security->ca_file != NULL)
        printf(" --cert CERT --key KEY");
    if (security->plaintext)
        printf(" --plaintext");
    printf("\nOn another machine, first copy the token file %s there, and give it as "
           "--token-file.\n",
           token_path);
    fflush(stdout);
}

static int print_end(const struct hd_core *core)
{
    int exit_code = HD_EXIT_OK;
    for (uint32_t i = 0; i < hd_core_run_count(core); i++) {
        struct hd_run_view run;
        hd_core_view_run(core, i, &run);
        printf("run %s: %s: %s; %u jobs (%u ok, %u failed)\n", run.run_id,
               hd_run_state_name(run.state), run.reason, run.job_count, run.jobs_ok,
               run.jobs_failed);
        if (run.state != HD_RUN_FINISHED)
            exit_code = run.state == HD_RUN_PAUSED ? HD_EXIT_PAUSED : HD_EXIT_INTERRUPTED;
        if (!run.has_incumbent || run.experiment->objective.exit_code_only)
            continue;
        struct hd_buf json;
        struct hd_err err;
        hd_buf_init(&json, HD_MESSAGE_BYTES_MAX);
        double sign = run.experiment->objective.maximize ? -1.0 : 1.0;
        if (hd_config_to_json(run.experiment->space,
                              hd_core_config_values(core, i, run.incumbent_config), &json,
                              &err) == HD_OK)
            printf("best: %s %g at budget %g (job %u, %u result%s): %s\n",
                   run.experiment->objective.name, sign * run.incumbent_loss, run.incumbent_budget,
                   run.incumbent_job, run.incumbent_results, run.incumbent_results == 1 ? "" : "s",
                   hd_buf_text(&json));
        hd_buf_release(&json);
    }
    return exit_code;
}

/* ---- running
 * ------------------------------------------------------------------------------------------ */

struct settings {
    struct hd_driver_options driver;
    struct hd_startup startup;
    char nameserver[HD_ADDRESS_MAX];
    char host[HD_ADDRESS_MAX];
    char token[HD_OS_TOKEN_SIZE];
    char *token_path;
    struct hd_keyring *keyring;
    struct hd_notice_settings *notices;
    char *store_path;
    char *master_id;
    char own_name[HD_ADDRESS_MAX]; /* of this machine, when it listens on all its addresses */
};

/* What workers dial: an address that means all of them is none. */
static const char *advertised(const struct hd_master_arguments *arguments,
                              struct settings *settings)
{
    if (arguments->advertise != NULL ||
        (!hd_streq(settings->host, "0.0.0.0") && !hd_streq(settings->host, "::")))
        return arguments->advertise;
    if (gethostname(settings->own_name, sizeof(settings->own_name)) != 0)
        return NULL;
    settings->own_name[sizeof(settings->own_name) - 1] = '\0';
    return settings->own_name;
}

/* 0: none are taken. */
static enum hd_code set_depot(const struct hd_master_arguments *arguments,
                              struct hd_driver_options *driver, struct hd_err *err)
{
    uint64_t bytes_max = HD_DEPOT_BYTES_DEFAULT;
    if (arguments->depot_limit != NULL &&
        hd_parse_size(arguments->depot_limit, &bytes_max, err) != HD_OK)
        return hd_fail_in(err, "--depot-limit");
    driver->depot = arguments->depot;
    driver->depot_bytes_max = bytes_max;
    driver->core.no_copies = bytes_max == 0;
    bytes_max = HD_HOME_BYTES_DEFAULT;
    if (arguments->home_limit != NULL &&
        hd_parse_size(arguments->home_limit, &bytes_max, err) != HD_OK)
        return hd_fail_in(err, "--home-limit");
    driver->home_bytes_max = bytes_max;
    driver->core.no_files = bytes_max == 0;
    return HD_OK;
}

static enum hd_code make_settings(const struct hd_master_arguments *arguments,
                                  struct settings *settings, struct hd_err *err)
{
    const struct hd_net_security *security = &arguments->security;
    enum hd_code code = make_startup(arguments, &settings->startup, err);
    if (code == HD_OK)
        code = hd_token_load(arguments->token_file, settings->token, &settings->token_path, err);
    /* With a credentials directory the one token of the file there counts. */
    if (code == HD_OK)
        code = arguments->credentials_dir == NULL
                   ? hd_keyring_open(settings->token_path, &settings->keyring, err)
                   : HD_OK;
    if (code == HD_OK)
        code = find_nameserver(arguments, security->ca_file != NULL || security->cert_file != NULL,
                               settings->nameserver, sizeof(settings->nameserver), settings->token,
                               err);
    if (code == HD_OK)
        code = hd_net_resolve(arguments->host, arguments->nic, settings->host,
                              sizeof(settings->host), err);
    if (code == HD_OK) /* before a run is made that could not be served */
        code = hd_net_check_exposure(settings->host, security, err);
    if (code == HD_OK && (arguments->notify == NULL || !hd_streq(arguments->notify, "none")))
        code = hd_notice_load(arguments->notify, &settings->notices, err);
    if (code == HD_OK && settings->notices != NULL && settings->notices->warning[0] != '\0')
        hd_log(HD_LOG_WARNING, "%s", settings->notices->warning);
    if (code == HD_OK)
        code = store_path(arguments, &settings->store_path, err);
    settings->startup.store_path = settings->store_path;
    if (code == HD_OK)
        code = hd_startup_master_id(settings->store_path, &settings->master_id, err);
    settings->driver = (struct hd_driver_options){
        .core = {.ping_ms = arguments->ping_ms,
                 .shutdown_workers = arguments->shutdown_workers,
                 .min_workers = (uint32_t)arguments->min_workers},
        .store_path = settings->store_path,
        .host = settings->host,
        .port = (uint16_t)arguments->port,
        .advertise = advertised(arguments, settings),
        .nameserver = settings->nameserver,
        .master_id = settings->master_id,
        .token = settings->token,
        .keyring = settings->keyring,
        .security = *security,
        .notices = settings->notices,
        .notices_off = arguments->notify != NULL && hd_streq(arguments->notify, "none"),
    };
    return code == HD_OK ? set_depot(arguments, &settings->driver, err) : code;
}

static enum hd_code put_path(struct hd_buf *text, const char *key, const char *path,
                             struct hd_err *err)
{
    char *absolute = NULL;
    if (path == NULL)
        return HD_OK;
    enum hd_code code = hd_path_absolute(NULL, path, &absolute, err);
    if (code == HD_OK)
        code = hd_buf_printf(text, err, ",\"%s\":", key);
    if (code == HD_OK)
        code = hd_json_write_string(absolute, text, err);
    hd_free(absolute);
    return code;
}

/* Where people's commands find this master, and with what they may talk to it. */
static enum hd_code write_record(const struct settings *settings, const char *address,
                                 const char *path, struct hd_err *err)
{
    struct hd_buf text;
    const struct hd_net_security *security = &settings->driver.security;
    hd_buf_init(&text, HD_MESSAGE_BYTES_MAX);
    enum hd_code code = hd_buf_printf(
        &text, err,
        "{\"pid\":%ld,\"start_ticks\":%" PRIu64 ",\"plaintext\":%s,\"address\":", (long)getpid(),
        hd_process_start_ticks(getpid()), security->plaintext ? "true" : "false");
    if (code == HD_OK)
        code = hd_json_write_string(address, &text, err);
    if (code == HD_OK)
        code = put_path(&text, "token_file", settings->token_path, err);
    if (code == HD_OK)
        code = put_path(&text, "cert", security->cert_file, err);
    if (code == HD_OK)
        code = put_path(&text, "key", security->key_file, err);
    if (code == HD_OK)
        code = put_path(&text, "ca", security->ca_file, err);
    if (code == HD_OK)
        code = hd_buf_puts(&text, "}\n", err);
    if (code == HD_OK)
        code = hd_file_write_atomic(path, hd_buf_text(&text), text.size, 0600, err);
    hd_buf_release(&text);
    return code;
}

static enum hd_code serve(const struct hd_master_arguments *arguments, struct settings *settings,
                          int *ret_exit, struct hd_err *err)
{
    int stop_fd = -1;
    struct hd_driver *driver = NULL;
    char run_id[HD_ID_MAX + 1] = "";
    char record[4096];
    if (!hd_format(record, sizeof(record), "%s.master.json", settings->store_path))
        return hd_fail(err, HD_E_LIMIT, "the path %s is too long", settings->store_path);
    enum hd_code code = hd_stop_fd_open(&stop_fd, err);
    if (code == HD_OK)
        code = hd_driver_open(&settings->driver, &driver, err);
    if (code == HD_OK) /* before a run is made that could not be served */
        code = hd_driver_listen(driver, err);
    if (code == HD_OK)
        code = hd_startup_run(driver, &settings->startup, run_id, err);
    if (code == HD_OK)
        code = hd_driver_register(driver, err);
    if (code == HD_OK)
        code = write_record(settings, hd_driver_address(driver), record, err);
    if (code == HD_OK) {
        hd_log(HD_LOG_INFO, "serving at %s, state in %s", hd_driver_address(driver),
               settings->store_path);
        print_worker_command(arguments, settings->nameserver, run_id, settings->token_path);
        hd_notify_ready("serving");
        code = hd_driver_serve(driver, stop_fd, err);
        hd_notify_stopping();
        (void)unlink(record);
    }
    if (code == HD_OK)
        *ret_exit = print_end(hd_driver_core(driver));
    if (code == HD_OK && *ret_exit == HD_EXIT_INTERRUPTED)
        printf("To go on: start hd-master with the same options and --resume.\n");
    hd_driver_close(driver);
    if (stop_fd >= 0)
        close(stop_fd);
    return code;
}

int main(int argc, char **argv)
{
    struct hd_master_arguments arguments;
    hd_streams_open();
    enum hd_parse_answer answer = hd_master_arguments_parse(argc, argv, &arguments);
    if (answer != HD_PARSE_GO)
        return answer == HD_PARSE_EXIT_OK ? HD_EXIT_OK : HD_EXIT_USAGE;
    struct hd_err err;
    enum hd_code code = hd_log_start("hd-master", &arguments.log, &err);
    hd_notify_open();
    if (code == HD_OK && arguments.working_directory != NULL &&
        chdir(arguments.working_directory) != 0)
        code = hd_fail(&err, HD_E_IO, "cannot change to %s: %s", arguments.working_directory,
                       strerror(errno));
    struct settings settings = {0};
    int exit_code = HD_EXIT_FAILED;
    if (code == HD_OK)
        code = make_settings(&arguments, &settings, &err);
    if (code == HD_OK)
        code = serve(&arguments, &settings, &exit_code, &err);
    hd_keyring_free(settings.keyring);
    hd_notice_settings_free(settings.notices);
    hd_free(settings.token_path);
    hd_free(settings.store_path);
    hd_free(settings.master_id);
    if (code == HD_OK)
        return exit_code;
    fprintf(stderr, "hd-master: %s\n", err.text);
    return code == HD_E_INVALID ? HD_EXIT_USAGE : HD_EXIT_FAILED;
}
