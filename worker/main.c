/* SPDX-License-Identifier: Apache-2.0 */
/* main.c: hd-worker. */
#include "env_list.h"
#include "shell.h"
#include "until.h"

#include <errno.h>
#include <hd/checkpoint.h>
#include <hd/message.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define WORK_DIR_DEFAULT "./hyperdock-work"
#define GRACE_MS_DEFAULT 30000
#define GRACE_MS_MAX 86400000
#define RUNTIME_MAX 256
#define ARTIFACTS_WAIT_MS_DEFAULT 60000
#define CREDENTIALS_TRIES 100 /* as the reference systems: the master may start after us */
#define CREDENTIALS_INTERVAL_MS 3000

struct settings {
    const char *nameserver, *run_id, *credentials_dir;
    int64_t parallelism;
    const char *worker_id, *work_dir;
    const char *data_dir, *runtime; /* for experiments that name none */
    struct hd_text_list data, env;
    struct hd_env_list env_list; /* made of `env` */
    const char *work_limit, *run_limit, *travel_limit;
    const char *artifacts, *artifacts_credentials, *artifacts_limit;
    int64_t artifacts_wait_ms;
    int64_t idle_timeout_ms;
    const char *until;
    int64_t grace_ms; /* 0: not given */
    const char *engine, *files, *token_file, *policy_file, *cgroup, *target_user;
    const char *gpus;
    int64_t gpu_share;
    struct hd_net_security security;
    struct hd_log_words log;
};

static enum hd_parse_answer parse(struct settings *settings, int argc, char **argv)
{
    const struct hd_option options[] = {
        {.name = "nameserver",
         .kind = HD_OPTION_TEXT,
         .value = &settings->nameserver,
         .hint = "HOST[:PORT]",
         .help = "where masters are found [127.0.0.1]"},
        {.name = "run-id",
         .kind = HD_OPTION_TEXT,
         .value = &settings->run_id,
         .hint = "NAME",
         .help = "serve this run only, and leave when it is over"},
        {.name = "credentials-dir",
         .aliases = "working-directory",
         .kind = HD_OPTION_TEXT,
         .value = &settings->credentials_dir,
         .hint = "DIR",
         .help = "shared directory that tells nameserver and token"},
        {.name = "parallelism",
         .kind = HD_OPTION_INT,
         .value = &settings->parallelism,
         .hint = "N",
         .int_min = 1,
         .int_max = HD_HELD_MAX,
         .help = "jobs at the same time [the number of GPUs, or 1]"},
        {.name = "gpus",
         .kind = HD_OPTION_TEXT,
         .value = &settings->gpus,
         .hint = "UUID,...",
         .help = "for jobs; none; or I/N: every Nth of them from the Ith on [all]"},
        {.name = "gpu-share",
         .kind = HD_OPTION_INT,
         .value = &settings->gpu_share,
         .hint = "N",
         .int_min = 1,
         .int_max = HD_GPU_SHARE_MAX,
         .help = "jobs that may have one GPU at the same time"},
        {.name = "worker-id",
         .aliases = "id",
         .kind = HD_OPTION_TEXT,
         .value = &settings->worker_id,
         .hint = "NAME",
         .help = "instead of the host name and a number"},
        {.name = "work-dir",
         .aliases = "result-dir",
         .kind = HD_OPTION_TEXT,
         .value = &settings->work_dir,
         .hint = "DIR",
         .help = "files of runs, jobs and this worker"},
        {.name = "work-limit",
         .kind = HD_OPTION_TEXT,
         .value = &settings->work_limit,
         .hint = "SIZE",
         .help = "work directories used longest ago go when there is more"},
        {.name = "run-limit",
         .kind = HD_OPTION_TEXT,
         .value = &settings->run_limit,
         .hint = "SIZE",
         .help = "directories of ended attempts go, the oldest first, when there is more"},
        {.name = "travel-limit",
         .kind = HD_OPTION_TEXT,
         .value = &settings->travel_limit,
         .hint = "SIZE",
         .help = "a larger work directory stays on this machine; 0: all do [1GiB]"},
        {.name = "artifacts",
         .kind = HD_OPTION_TEXT,
         .value = &settings->artifacts,
         .hint = "URL",
         .help = "ship what targets leave in out/ to s3://BUCKET/PREFIX or a directory"},
        {.name = "artifacts-credentials",
         .kind = HD_OPTION_TEXT,
         .value = &settings->artifacts_credentials,
         .hint = "FILE",
         .help = "lines NAME=VALUE, over AWS_ACCESS_KEY_ID and the like of the environment"},
        {.name = "artifacts-limit",
         .kind = HD_OPTION_TEXT,
         .value = &settings->artifacts_limit,
         .hint = "SIZE",
         .help = "of one attempt's files at most [16GiB]"},
        {.name = "artifacts-wait",
         .kind = HD_OPTION_DURATION,
         .value = &settings->artifacts_wait_ms,
         .hint = "DURATION",
         .help = "how long a worker that leaves goes on shipping"},
        {.name = "data",
         .kind = HD_OPTION_LIST,
         .value = &settings->data,
         .hint = "NAME=PATH",
         .help = "where a data set is on this machine"},
        {.name = "data-dir",
         .kind = HD_OPTION_TEXT,
         .value = &settings->data_dir,
         .hint = "DIR",
         .help = "the data of experiments that name none"},
        {.name = "runtime",
         .kind = HD_OPTION_TEXT,
         .value = &settings->runtime,
         .hint = "NAME",
         .help = "of containers whose experiment names none"},
        {.name = "env",
         .kind = HD_OPTION_LIST,
         .value = &settings->env,
         .hint = "NAME=VALUE",
         .help = "variable for every target, or a JSON list of them"},
        {.name = "idle-timeout",
         .aliases = "timeout",
         .kind = HD_OPTION_DURATION,
         .value = &settings->idle_timeout_ms,
         .hint = "DURATION",
         .help = "leave after so long without a job; 0 never"},
        {.name = "until",
         .kind = HD_OPTION_TEXT,
         .value = &settings->until,
         .hint = "TIME",
         .help = "be gone by then: a duration, 08:30, a date, or @SECONDS"},
        {.name = "grace",
         .kind = HD_OPTION_DURATION,
         .value = &settings->grace_ms,
         .hint = "DURATION",
         .help = "SIGTERM leaves so long; before --until, targets are asked to stop"},
        {.name = "engine",
         .kind = HD_OPTION_TEXT,
         .value = &settings->engine,
         .hint = "NAME",
         .help = "docker, podman, process, or auto: docker and process"},
        {.name = "files",
         .kind = HD_OPTION_TEXT,
         .value = &settings->files,
         .hint = "HOW",
         .help = "to containers: bind, copy, or auto: as the engine sees this disk"},
        {.name = "cgroup",
         .kind = HD_OPTION_TEXT,
         .value = &settings->cgroup,
         .hint = "DIR",
         .help = "control group (version 2) in which each command gets one of its own"},
        {.name = "target-user",
         .kind = HD_OPTION_TEXT,
         .value = &settings->target_user,
         .hint = "USER",
         .help = "who runs targets that are commands, when the worker is root"},
        {.name = "policy",
         .kind = HD_OPTION_TEXT,
         .value = &settings->policy_file,
         .hint = "FILE",
         .help = "what targets may do here, whatever a master asks for"},
        {.name = "token-file",
         .kind = HD_OPTION_TEXT,
         .value = &settings->token_file,
         .hint = "FILE",
         .help = "token that the masters know"},
        HD_NET_SECURITY_OPTIONS(settings->security,
                                "CA that masters and nameserver must be of (PEM)",
                                "speak beyond this machine without TLS"),
        HD_LOG_OPTIONS(settings->log),
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

/* As workers of Hyperdock were told, by the environment; the command line wins. */
static void read_environment(struct settings *settings)
{
    const char *result_dir = getenv("HYPERDOCK_RESULT_DIR");
    const struct {
        const char *name;
        const char **value;
    } rows[] = {{"HYPERDOCK_DATA_DIR", &settings->data_dir},
                {"HYPERDOCK_RUNTIME", &settings->runtime}};
    for (size_t i = 0; i < HD_COUNT(rows); i++) {
        const char *given = getenv(rows[i].name);
        if (given != NULL && given[0] != '\0')
            *rows[i].value = given;
    }
    if (result_dir != NULL && result_dir[0] != '\0')
        settings->work_dir = result_dir;
}

static enum hd_code check_defaults(const struct settings *settings, struct hd_err *err)
{
    struct stat st;
    const char *runtime = settings->runtime, *data_dir = settings->data_dir;
    if (runtime != NULL && (runtime[0] == '\0' || strlen(runtime) >= RUNTIME_MAX ||
                            strpbrk(runtime, " \t\r\n\"\\") != NULL))
        return hd_fail(err, HD_E_INVALID,
                       "--runtime or HYPERDOCK_RUNTIME: \"%.100s\" is no name of a runtime",
                       runtime);
    if (data_dir != NULL && (stat(data_dir, &st) != 0 || !S_ISDIR(st.st_mode)))
        return hd_fail(err, HD_E_INVALID,
                       "--data-dir or HYPERDOCK_DATA_DIR: %.200s is no directory here", data_dir);
    return HD_OK;
}

/* ---- checks --------------------------------------------------------------------------------- */

/* What will never be allowed is refused at start rather than tried for ever. */
static enum hd_code check_nameserver(const struct settings *settings, struct hd_err *err)
{
    char host[HD_ADDRESS_MAX];
    uint16_t port;
    const struct hd_net_security *security = &settings->security;
    if (settings->nameserver == NULL)
        return HD_OK;
    enum hd_code code =
        hd_net_split(settings->nameserver, HD_NET_NAMESERVER_PORT, host, sizeof(host), &port, err);
    if (code != HD_OK || hd_net_is_loopback(host) || security->plaintext ||
        security->ca_file != NULL || security->cert_file != NULL)
        return code;
    return hd_fail(err, HD_E_INVALID,
                   "the nameserver %s is beyond this machine: give --ca for TLS, or --plaintext to "
                   "send the token readable over the network",
                   settings->nameserver);
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

static enum hd_code check(const struct settings *settings, enum hd_engine_choice *ret_engine,
                          struct hd_err *err)
{
    enum hd_engine_files files;
    enum hd_code code = parse_engine(settings->engine, ret_engine, err);
    if (code == HD_OK)
        code = parse_files(settings->files, &files, err);
    if (code == HD_OK && settings->run_id[0] != '\0')
        code = hd_check_id("run id", settings->run_id, err);
    if (code == HD_OK && settings->credentials_dir != NULL && settings->run_id[0] == '\0')
        code = hd_fail(err, HD_E_INVALID,
                       "--credentials-dir needs --run-id: the file is named by the run");
    if (code == HD_OK && settings->credentials_dir != NULL && settings->nameserver != NULL)
        code = hd_fail(err, HD_E_INVALID,
                       "give --nameserver or --credentials-dir, not both: the file names one");
    if (code == HD_OK && (settings->grace_ms < 0 || settings->grace_ms > GRACE_MS_MAX))
        code = hd_fail(err, HD_E_INVALID, "--grace: must be at most 1d");
    if (code == HD_OK)
        code = check_nameserver(settings, err);
    if (code == HD_OK)
        code = check_defaults(settings, err);
    return code;
}

/* ---- life ----------------------------------------------------------------------------------- */

/* With a credentials directory the token is in the file, which may not be there yet. */
static enum hd_code find_token(const struct settings *settings, char *ret_token, struct hd_err *err)
{
    char nameserver[HD_ADDRESS_MAX];
    if (settings->credentials_dir == NULL)
        return hd_token_load(settings->token_file, ret_token, NULL, err);
    return hd_credentials_read(settings->credentials_dir, settings->run_id, CREDENTIALS_TRIES,
                               CREDENTIALS_INTERVAL_MS, nameserver, sizeof(nameserver), ret_token,
                               err);
}

/* When this worker has to be gone: as we were told, or as Slurm says. */
static enum hd_code find_end(const struct settings *settings, struct hd_shell_settings *shell,
                             struct hd_err *err)
{
    int64_t end_wall_ms = 0, now_wall_ms = hd_clock_wall_ms();
    const char *slurm = getenv("SLURM_JOB_END_TIME");
    struct hd_err ignored;
    shell->term_is_notice = settings->grace_ms > 0;
    shell->grace_ms = settings->grace_ms > 0 ? settings->grace_ms : GRACE_MS_DEFAULT;
    if (settings->until != NULL) {
        if (hd_until_parse(settings->until, now_wall_ms, &end_wall_ms, err) != HD_OK)
            return hd_fail_in(err, "--until");
    } else if (slurm == NULL ||
               hd_until_parse_epoch(slurm, now_wall_ms, &end_wall_ms, &ignored) != HD_OK) {
        return HD_OK;
    }
    shell->end_ms = hd_clock_ms() + (end_wall_ms - now_wall_ms);
    hd_log(HD_LOG_INFO, "leaving in %lld s, targets end %lld s earlier",
           (long long)((end_wall_ms - now_wall_ms) / 1000), (long long)(shell->grace_ms / 1000));
    return HD_OK;
}

/* "I/N", from 0/N on. */
static bool parse_part(const char *text, uint32_t *ret_part, uint32_t *ret_parts)
{
    char first[16];
    int64_t part, parts;
    const char *slash = strchr(text, '/');
    if (slash == NULL || !hd_format(first, sizeof(first), "%.*s", (int)(slash - text), text) ||
        !hd_parse_i64(first, &part) || !hd_parse_i64(slash + 1, &parts) || parts < 1 ||
        parts > HD_WORKER_SLOTS_MAX || part < 0 || part >= parts)
        return false;
    *ret_part = (uint32_t)part;
    *ret_parts = (uint32_t)parts;
    return true;
}

/* A driver that does not answer is no reason not to work without it. */
static enum hd_code find_gpus(const struct settings *settings, const char *state_dir,
                              struct hd_gpus *ret_gpus, struct hd_err *err)
{
    uint32_t part = 0, parts = 1;
    bool some = settings->gpus != NULL && parse_part(settings->gpus, &part, &parts);
    *ret_gpus = (struct hd_gpus){.share = 1};
    if (settings->gpus == NULL || some) {
        if (hd_gpus_find(state_dir, ret_gpus, err) != HD_OK)
            hd_log(HD_LOG_WARNING, "no GPUs for jobs: %s", err->text);
        hd_gpus_keep_part(ret_gpus, part, parts);
    } else if (!hd_streq(settings->gpus, "none")) {
        enum hd_code code = hd_gpus_parse_names(settings->gpus, ret_gpus, err);
        if (code != HD_OK)
            return hd_fail_in(err, "--gpus");
    }
    ret_gpus->share = (uint32_t)settings->gpu_share;
    if (ret_gpus->count > 0)
        hd_log(HD_LOG_INFO, "%u GPUs for jobs", ret_gpus->count);
    return HD_OK;
}

/* The environment can switch shipping off whatever the command line says, and no target inherits
 * the credentials. place: where to, when *ret_on. */
static enum hd_code find_artifacts(const struct settings *settings, bool *ret_on,
                                   struct hd_artifact_place *ret_place,
                                   struct hd_artifact_access **ret_access, struct hd_err *err)
{
    static const char *const on_words[] = {"1", "on", "yes", "true", ""};
    const char *environment = getenv("HYPERDOCK_ARTIFACTS");
    const char *url = settings->artifacts;
    const char *file = settings->artifacts_credentials != NULL
                           ? settings->artifacts_credentials
                           : getenv("HYPERDOCK_ARTIFACTS_CREDENTIALS");
    bool is_url = environment != NULL;
    for (size_t i = 0; i < HD_COUNT(on_words); i++)
        is_url = is_url && !hd_streq(environment, on_words[i]);
    *ret_on = false;
    if (hd_artifacts_are_off(environment)) {
        if (url != NULL)
            hd_log(HD_LOG_INFO, "artifacts are not shipped: HYPERDOCK_ARTIFACTS=%s", environment);
        return HD_OK;
    }
    if (url == NULL && is_url)
        url = environment;
    if (url == NULL)
        return HD_OK;
    enum hd_code code = hd_artifact_place_parse(url, ret_place, err);
    if (code == HD_OK && ret_place->s3) {
        code = hd_artifact_access_load(file, ret_access, err);
        hd_artifact_access_hide();
    }
    if (code != HD_OK) {
        (void)hd_fail_in(err, "--artifacts");
        return code == HD_E_NOTFOUND ? HD_E_INVALID : code;
    }
    *ret_on = true;
    hd_log(HD_LOG_INFO, "artifacts are shipped to %s", ret_place->url);
    return HD_OK;
}

static enum hd_code parse_limit(const char *option, const char *text, uint64_t *ret_bytes,
                                struct hd_err *err)
{
    if (text == NULL || hd_parse_size(text, ret_bytes, err) == HD_OK)
        return HD_OK;
    return hd_fail_in(err, "%s", option);
}

static enum hd_code run_shipping(const struct settings *settings, struct hd_shell_settings *shell,
                                 struct hd_err *err)
{
    struct hd_artifact_place place;
    struct hd_artifact_access *access = NULL;
    bool on = false;
    enum hd_code code = find_artifacts(settings, &on, &place, &access, err);
    if (code == HD_OK)
        code = parse_limit("--work-limit", settings->work_limit, &shell->work_limit_bytes, err);
    if (code == HD_OK)
        code = parse_limit("--run-limit", settings->run_limit, &shell->run_limit_bytes, err);
    shell->travel_bytes_max = HD_CHECKPOINT_BYTES_DEFAULT;
    if (code == HD_OK)
        code = parse_limit("--travel-limit", settings->travel_limit, &shell->travel_bytes_max, err);
    if (code == HD_OK)
        code = parse_limit("--artifacts-limit", settings->artifacts_limit,
                           &shell->artifact_bytes_max, err);
    shell->artifacts = on ? &place : NULL;
    shell->artifact_access = access;
    shell->artifact_wait_ms = settings->artifacts_wait_ms;
    if (code == HD_OK)
        code = hd_shell_run(shell, err);
    hd_artifact_access_free(access);
    return code;
}

/* The policy lasts as long as the shell. */
static enum hd_code run_shell(const struct settings *settings, struct hd_shell_settings *shell,
                              struct hd_err *err)
{
    struct hd_policy *policy = NULL;
    const char *file =
        settings->policy_file != NULL ? settings->policy_file : getenv("HYPERDOCK_POLICY");
    if (file != NULL && hd_policy_load(file, &policy, err) != HD_OK)
        return hd_fail_in(err, "--policy");
    shell->policy = policy;
    struct hd_gpus *gpus = hd_calloc(1, sizeof(*gpus));
    enum hd_code code = gpus != NULL ? find_end(settings, shell, err)
                                     : hd_fail(err, HD_E_NOMEM, "no memory for the worker");
    if (code == HD_OK)
        code = find_gpus(settings, shell->seat->state_dir, gpus, err);
    if (code == HD_OK) {
        uint32_t total = hd_gpus_total(gpus);
        shell->gpus = gpus;
        if (shell->slots == 0)
            shell->slots = total == 0 ? 1 : total < HD_HELD_MAX ? total : HD_HELD_MAX;
        hd_log(HD_LOG_INFO, "worker %s, %u at a time, in %s", shell->seat->worker, shell->slots,
               shell->root->path);
        code = run_shipping(settings, shell, err);
    }
    hd_free(gpus);
    hd_policy_free(policy);
    return code;
}

/* Through the work root to the directories that are open to targets. Other users stay out: within
 * it these are anybody's. */
static enum hd_code let_in(const char *user, const char *work_root, struct hd_err *err)
{
    struct stat st;
    const struct passwd *entry = user != NULL && geteuid() == 0 ? getpwnam(user) : NULL;
    if (entry == NULL || stat(work_root, &st) != 0 || (st.st_mode & S_IXOTH) != 0)
        return HD_OK; /* nothing to do, or the engine says what is wrong */
    if (chown(work_root, (uid_t)-1, entry->pw_gid) != 0 ||
        chmod(work_root, (st.st_mode & 07777) | S_IXGRP) != 0)
        return hd_fail(err, HD_E_IO, "cannot let %s into %s: %s", user, work_root, strerror(errno));
    return HD_OK;
}

static enum hd_code serve(const struct settings *settings, enum hd_engine_choice engine,
                          int stop_fd, struct hd_err *err)
{
    char host[HD_ID_MAX + 1], token[HD_OS_TOKEN_SIZE];
    char runtime[RUNTIME_MAX] = "";
    struct hd_root root;
    struct hd_seat seat;
    (void)hd_copy_text(runtime, sizeof(runtime),
                       settings->runtime != NULL ? settings->runtime : "");
    if (gethostname(host, sizeof(host)) != 0)
        (void)hd_copy_text(host, sizeof(host), "worker");
    host[sizeof(host) - 1] = '\0';
    struct hd_keyring *keyring =
        NULL; /* follows the file; a credentials file is followed by look-ups */
    enum hd_code code = find_token(settings, token, err);
    if (code == HD_OK && settings->credentials_dir == NULL)
        code = hd_keyring_open(settings->token_file, &keyring, err);
    if (code == HD_OK)
        code = hd_root_open(settings->work_dir, &root, err);
    if (code == HD_OK)
        code = hd_seat_take(&root, host, settings->worker_id, &seat, err);
    if (code != HD_OK) {
        hd_keyring_free(keyring);
        return code;
    }
    struct hd_shell_settings shell = {
        .root = &root,
        .seat = &seat,
        .host = host,
        .nameserver = settings->nameserver != NULL ? settings->nameserver : "127.0.0.1",
        .credentials_dir = settings->credentials_dir,
        .token = token,
        .keyring = keyring,
        .security = &settings->security,
        .run_id = settings->run_id,
        .slots = (uint32_t)settings->parallelism,
        .idle_timeout_ms = settings->idle_timeout_ms,
        .engine = engine,
        .cgroup = settings->cgroup,
        .target_user = settings->target_user,
        .data = &settings->data,
        .data_dir = settings->data_dir,
        .runtime = settings->runtime != NULL ? runtime : NULL,
        .env = &settings->env_list.texts,
        .stop_fd = stop_fd,
    };
    code = parse_files(settings->files, &shell.files, err);
    if (code == HD_OK)
        code = let_in(settings->target_user, root.path, err);
    if (code == HD_OK)
        code = run_shell(settings, &shell, err);
    hd_notify_stopping();
    hd_seat_release(&seat);
    hd_keyring_free(keyring);
    hd_log(HD_LOG_INFO, "left");
    return code;
}

int main(int argc, char **argv)
{
    struct settings settings = {.run_id = "",
                                .gpu_share = 1,
                                .work_dir = WORK_DIR_DEFAULT,
                                .artifacts_wait_ms = ARTIFACTS_WAIT_MS_DEFAULT,
                                .engine = "auto",
                                .files = "auto"};
    read_environment(&settings);
    enum hd_parse_answer answer = parse(&settings, argc, argv);
    if (answer != HD_PARSE_GO)
        return answer == HD_PARSE_EXIT_OK ? HD_EXIT_OK : HD_EXIT_USAGE;
    struct hd_err err;
    enum hd_engine_choice engine = HD_ENGINE_AUTO;
    if (check(&settings, &engine, &err) != HD_OK ||
        hd_env_list_make(getenv("HYPERDOCK_ENV"), &settings.env, &settings.env_list, &err) !=
            HD_OK ||
        hd_log_start("hd-worker", &settings.log, &err) != HD_OK) {
        fprintf(stderr, "hd-worker: %s\n", err.text);
        return HD_EXIT_USAGE;
    }
    hd_notify_open();
    (void)umask(022);
    int stop_fd = -1;
    enum hd_code code = hd_stop_fd_open(&stop_fd, &err);
    if (code == HD_OK)
        code = serve(&settings, engine, stop_fd, &err);
    if (stop_fd >= 0)
        close(stop_fd);
    hd_env_list_release(&settings.env_list);
    if (code == HD_OK)
        return HD_EXIT_OK;
    fprintf(stderr, "hd-worker: %s\n", err.text);
    return code == HD_E_INVALID ? HD_EXIT_USAGE : HD_EXIT_FAILED;
}
