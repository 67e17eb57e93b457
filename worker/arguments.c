/* SPDX-License-Identifier: Apache-2.0 */
#include "arguments.h"

#include <hd/message.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define WORK_DIR_DEFAULT "./hyperdock-work"
#define GRACE_MS_MAX 86400000
#define ARTIFACTS_WAIT_MS_DEFAULT 60000

/* ---- what was given ------------------------------------------------------------------------- */

/* As workers of Hyperdock were told, by the environment; the command line wins. */
static void read_environment(struct hd_worker_arguments *arguments)
{
    const char *result_dir = getenv("HYPERDOCK_RESULT_DIR");
    const struct {
        const char *name;
        const char **value;
    } rows[] = {{"HYPERDOCK_DATA_DIR", &arguments->data_dir},
                {"HYPERDOCK_RUNTIME", &arguments->runtime}};
    for (size_t i = 0; i < HD_COUNT(rows); i++) {
        const char *given = getenv(rows[i].name);
        if (given != NULL && given[0] != '\0')
            *rows[i].value = given;
    }
    if (result_dir != NULL && result_dir[0] != '\0')
        arguments->work_dir = result_dir;
}

static enum hd_parse_answer parse(struct hd_worker_arguments *arguments, int argc, char **argv)
{
    const struct hd_option options[] = {
        {.name = "nameserver",
         .kind = HD_OPTION_TEXT,
         .value = &arguments->nameserver,
         .hint = "HOST[:PORT]",
         .help = "where masters are found [127.0.0.1]"},
        {.name = "run-id",
         .kind = HD_OPTION_TEXT,
         .value = &arguments->run_id,
         .hint = "NAME",
         .help = "serve this run only, and leave when it is over"},
        {.name = "credentials-dir",
         .aliases = "working-directory",
         .kind = HD_OPTION_TEXT,
         .value = &arguments->credentials_dir,
         .hint = "DIR",
         .help = "shared directory that tells nameserver and token"},
        {.name = "parallelism",
         .kind = HD_OPTION_INT,
         .value = &arguments->parallelism,
         .hint = "N",
         .int_min = 1,
         .int_max = HD_HELD_MAX,
         .help = "jobs at the same time [the number of GPUs, or 1]"},
        {.name = "gpus",
         .kind = HD_OPTION_TEXT,
         .value = &arguments->gpus,
         .hint = "UUID,...",
         .help = "for jobs; none; or I/N: every Nth of them from the Ith on [all]"},
        {.name = "gpu-share",
         .kind = HD_OPTION_INT,
         .value = &arguments->gpu_share,
         .hint = "N",
         .int_min = 1,
         .int_max = HD_GPU_SHARE_MAX,
         .help = "jobs that may have one GPU at the same time"},
        {.name = "worker-id",
         .aliases = "id",
         .kind = HD_OPTION_TEXT,
         .value = &arguments->worker_id,
         .hint = "NAME",
         .help = "instead of the host name and a number"},
        {.name = "work-dir",
         .aliases = "result-dir",
         .kind = HD_OPTION_TEXT,
         .value = &arguments->work_dir,
         .hint = "DIR",
         .help = "files of runs, jobs and this worker"},
        {.name = "work-limit",
         .kind = HD_OPTION_TEXT,
         .value = &arguments->work_limit,
         .hint = "SIZE",
         .help = "work directories used longest ago go when there is more"},
        {.name = "run-limit",
         .kind = HD_OPTION_TEXT,
         .value = &arguments->run_limit,
         .hint = "SIZE",
         .help = "directories of ended attempts go, the oldest first, when there is more"},
        {.name = "travel-limit",
         .kind = HD_OPTION_TEXT,
         .value = &arguments->travel_limit,
         .hint = "SIZE",
         .help = "a larger work directory stays on this machine; 0: all do [1GiB]"},
        {.name = "artifacts",
         .kind = HD_OPTION_TEXT,
         .value = &arguments->artifacts,
         .hint = "URL",
         .help = "ship what targets leave in out/ to s3://BUCKET/PREFIX or a directory"},
        {.name = "artifacts-credentials",
         .kind = HD_OPTION_TEXT,
         .value = &arguments->artifacts_credentials,
         .hint = "FILE",
         .help = "lines NAME=VALUE, over AWS_ACCESS_KEY_ID and the like of the environment"},
        {.name = "artifacts-limit",
         .kind = HD_OPTION_TEXT,
         .value = &arguments->artifacts_limit,
         .hint = "SIZE",
         .help = "of one attempt's files at most [16GiB]"},
        {.name = "artifacts-wait",
         .kind = HD_OPTION_DURATION,
         .value = &arguments->artifacts_wait_ms,
         .hint = "DURATION",
         .help = "how long a worker that leaves goes on shipping"},
        {.name = "data",
         .kind = HD_OPTION_LIST,
         .value = &arguments->data,
         .hint = "NAME=PATH",
         .help = "where a data set is on this machine"},
        {.name = "data-dir",
         .kind = HD_OPTION_TEXT,
         .value = &arguments->data_dir,
         .hint = "DIR",
         .help = "the data of experiments that name none"},
        {.name = "runtime",
         .kind = HD_OPTION_TEXT,
         .value = &arguments->runtime,
         .hint = "NAME",
         .help = "of containers whose experiment names none"},
        {.name = "env",
         .kind = HD_OPTION_LIST,
         .value = &arguments->env,
         .hint = "NAME=VALUE",
         .help = "variable for every target, or a JSON list of them"},
        {.name = "idle-timeout",
         .aliases = "timeout",
         .kind = HD_OPTION_DURATION,
         .value = &arguments->idle_timeout_ms,
         .hint = "DURATION",
         .help = "leave after so long without a job; 0 never"},
        {.name = "until",
         .kind = HD_OPTION_TEXT,
         .value = &arguments->until,
         .hint = "TIME",
         .help = "be gone by then: a duration, 08:30, a date, or @SECONDS"},
        {.name = "grace",
         .kind = HD_OPTION_DURATION,
         .value = &arguments->grace_ms,
         .hint = "DURATION",
         .help = "SIGTERM leaves so long; before --until, targets are asked to stop"},
        {.name = "engine",
         .kind = HD_OPTION_TEXT,
         .value = &arguments->engine_name,
         .hint = "NAME",
         .help = "docker, podman, process, or auto: docker and process"},
        {.name = "files",
         .kind = HD_OPTION_TEXT,
         .value = &arguments->files_name,
         .hint = "HOW",
         .help = "to containers: bind, copy, or auto: as the engine sees this disk"},
        {.name = "cgroup",
         .kind = HD_OPTION_TEXT,
         .value = &arguments->cgroup,
         .hint = "DIR",
         .help = "control group (version 2) in which each command gets one of its own"},
        {.name = "target-user",
         .kind = HD_OPTION_TEXT,
         .value = &arguments->target_user,
         .hint = "USER",
         .help = "who runs targets that are commands, when the worker is root"},
        {.name = "policy",
         .kind = HD_OPTION_TEXT,
         .value = &arguments->policy_file,
         .hint = "FILE",
         .help = "what targets may do here, whatever a master asks for"},
        {.name = "token-file",
         .kind = HD_OPTION_TEXT,
         .value = &arguments->token_file,
         .hint = "FILE",
         .help = "token that the masters know"},
        HD_NET_SECURITY_OPTIONS(arguments->security,
                                "CA that masters and nameserver must be of (PEM)",
                                "speak beyond this machine without TLS"),
        HD_LOG_OPTIONS(arguments->log),
    };
    const struct hd_program program = {
        .name = "hd-worker",
        .summary = "evaluates jobs on this machine",
        .usage = "hd-worker [options]",
        .epilogue = "SIGTERM or Ctrl-C: finish what runs, then leave; twice: stop it and leave.\n"
                    "With --grace, SIGTERM: stop it, hand it back, leave within that time.",
        .options = options,
        .option_count = HD_COUNT(options),
    };
    return hd_options_parse(&program, argc, argv, NULL, NULL);
}

enum hd_parse_answer hd_worker_arguments_parse(int argc, char **argv,
                                               struct hd_worker_arguments *ret_arguments)
{
    *ret_arguments = (struct hd_worker_arguments){
        .run_id = "",
        .gpu_share = 1,
        .work_dir = WORK_DIR_DEFAULT,
        .artifacts_wait_ms = ARTIFACTS_WAIT_MS_DEFAULT,
        .engine_name = "auto",
        .files_name = "auto",
    };
    read_environment(ret_arguments);
    return parse(ret_arguments, argc, argv);
}

/* ---- what is wrong with it ------------------------------------------------------------------ */

static enum hd_code check_defaults(const struct hd_worker_arguments *arguments, struct hd_err *err)
{
    struct stat st;
    const char *runtime = arguments->runtime, *data_dir = arguments->data_dir;
    if (runtime != NULL && (runtime[0] == '\0' || strlen(runtime) >= HD_WORKER_RUNTIME_MAX ||
                            strpbrk(runtime, " \t\r\n\"\\") != NULL))
        return hd_fail(err, HD_E_INVALID,
                       "--runtime or HYPERDOCK_RUNTIME: \"%.100s\" is no name of a runtime",
                       runtime);
    if (data_dir != NULL && (stat(data_dir, &st) != 0 || !S_ISDIR(st.st_mode)))
        return hd_fail(err, HD_E_INVALID,
                       "--data-dir or HYPERDOCK_DATA_DIR: %.200s is no directory here", data_dir);
    return HD_OK;
}

/* What will never be allowed is refused at start rather than tried for ever. */
static enum hd_code check_nameserver(const struct hd_worker_arguments *arguments,
                                     struct hd_err *err)
{
    char host[HD_ADDRESS_MAX];
    uint16_t port;
    const struct hd_net_security *security = &arguments->security;
    if (arguments->nameserver == NULL)
        return HD_OK;
    enum hd_code code =
        hd_net_split(arguments->nameserver, HD_NET_NAMESERVER_PORT, host, sizeof(host), &port, err);
    if (code != HD_OK || hd_net_is_loopback(host) || security->plaintext ||
        security->ca_file != NULL || security->cert_file != NULL)
        return code;
    return hd_fail(err, HD_E_INVALID,
                   "the nameserver %s is beyond this machine: give --ca for TLS, or --plaintext to "
                   "send the token readable over the network",
                   arguments->nameserver);
}

static enum hd_code parse_engine(const char *name, enum hd_engine_choice *ret_choice,
                                 struct hd_err *err)
{
    static const char *const names[] = {"auto", "docker", "podman", "process"};
    for (size_t i = 0; i < HD_COUNT(names); i++)
        if (hd_streq(name, names[i])) {
            *ret_choice = (enum hd_engine_choice)i;
            return HD_OK;
        }
    const char *nearest = hd_nearest(name, names, HD_COUNT(names));
    return hd_fail(err, HD_E_INVALID, "--engine %s: must be auto, docker, podman or process%s%s",
                   name, nearest != NULL ? "; did you mean " : "", nearest != NULL ? nearest : "");
}

static enum hd_code parse_files(const char *name, enum hd_engine_files *ret_files,
                                struct hd_err *err)
{
    static const char *const names[] = {"bind", "copy", "auto"};
    for (size_t i = 0; i < HD_COUNT(names); i++)
        if (hd_streq(name, names[i])) {
            *ret_files = (enum hd_engine_files)i;
            return HD_OK;
        }
    return hd_fail(err, HD_E_INVALID, "--files %s: must be bind, copy or auto", name);
}

enum hd_code hd_worker_arguments_check(struct hd_worker_arguments *arguments, struct hd_err *err)
{
    enum hd_code code = parse_engine(arguments->engine_name, &arguments->engine, err);
    if (code == HD_OK)
        code = parse_files(arguments->files_name, &arguments->files, err);
    if (code == HD_OK && arguments->run_id[0] != '\0')
        code = hd_check_id("run id", arguments->run_id, err);
    if (code == HD_OK && arguments->credentials_dir != NULL && arguments->run_id[0] == '\0')
        code = hd_fail(err, HD_E_INVALID,
                       "--credentials-dir needs --run-id: the file is named by the run");
    if (code == HD_OK && arguments->credentials_dir != NULL && arguments->nameserver != NULL)
        code = hd_fail(err, HD_E_INVALID,
                       "give --nameserver or --credentials-dir, not both: the file names one");
    if (code == HD_OK && (arguments->grace_ms < 0 || arguments->grace_ms > GRACE_MS_MAX))
        code = hd_fail(err, HD_E_INVALID, "--grace: must be at most 1d");
    if (code == HD_OK)
        code = check_nameserver(arguments, err);
    if (code == HD_OK)
        code = check_defaults(arguments, err);
    return code;
}
