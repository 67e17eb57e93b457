/* SPDX-License-Identifier: Apache-2.0 */
/* main.c: hd-worker. */
#include "arguments.h"
#include "env_list.h"
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

#define GRACE_MS_DEFAULT 30000
#define CREDENTIALS_TRIES 100 /* as the reference systems: the master may start after us */
#define CREDENTIALS_INTERVAL_MS 3000

/* ---- life ----------------------------------------------------------------------------------- */

/* With a credentials directory the token is in the file, which may not be there yet. */
static enum hd_code find_token(const struct hd_worker_arguments *arguments, char *ret_token,
                               struct hd_err *err)
{
    char nameserver[HD_ADDRESS_MAX];
    if (arguments->credentials_dir == NULL)
        return hd_token_load(arguments->token_file, ret_token, NULL, err);
    return hd_credentials_read(arguments->credentials_dir, arguments->run_id, CREDENTIALS_TRIES,
                               CREDENTIALS_INTERVAL_MS, nameserver, sizeof(nameserver), ret_token,
                               err);
}

/* When this worker has to be gone: as we were told, or as Slurm says. */
static enum hd_code find_end(const struct hd_worker_arguments *arguments,
                             struct hd_shell_settings *shell, struct hd_err *err)
{
    int64_t end_wall_ms = 0, now_wall_ms = hd_clock_wall_ms();
    const char *slurm = getenv("SLURM_JOB_END_TIME");
    struct hd_err ignored;
    shell->term_is_notice = arguments->grace_ms > 0;
    shell->grace_ms = arguments->grace_ms > 0 ? arguments->grace_ms : GRACE_MS_DEFAULT;
    if (arguments->until != NULL) {
        if (hd_until_parse(arguments->until, now_wall_ms, &end_wall_ms, err) != HD_OK)
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
static enum hd_code find_gpus(const struct hd_worker_arguments *arguments, const char *state_dir,
                              struct hd_gpus *ret_gpus, struct hd_err *err)
{
    uint32_t part = 0, parts = 1;
    bool some = arguments->gpus != NULL && parse_part(arguments->gpus, &part, &parts);
    *ret_gpus = (struct hd_gpus){.share = 1};
    if (arguments->gpus == NULL || some) {
        if (hd_gpus_find(state_dir, ret_gpus, err) != HD_OK)
            hd_log(HD_LOG_WARNING, "no GPUs for jobs: %s", err->text);
        hd_gpus_keep_part(ret_gpus, part, parts);
    } else if (!hd_streq(arguments->gpus, "none")) {
        enum hd_code code = hd_gpus_parse_names(arguments->gpus, ret_gpus, err);
        if (code != HD_OK)
            return hd_fail_in(err, "--gpus");
    }
    ret_gpus->share = (uint32_t)arguments->gpu_share;
    if (ret_gpus->count > 0)
        hd_log(HD_LOG_INFO, "%u GPUs for jobs", ret_gpus->count);
    return HD_OK;
}

/* The environment can switch shipping off whatever the command line says, and no target inherits
 * the credentials. place: where to, when *ret_on. */
static enum hd_code find_artifacts(const struct hd_worker_arguments *arguments, bool *ret_on,
                                   struct hd_artifact_place *ret_place,
                                   struct hd_artifact_access **ret_access, struct hd_err *err)
{
    static const char *const on_words[] = {"1", "on", "yes", "true", ""};
    const char *environment = getenv("HYPERDOCK_ARTIFACTS");
    const char *url = arguments->artifacts;
    const char *file = arguments->artifacts_credentials != NULL
                           ? arguments->artifacts_credentials
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

static enum hd_code run_shipping(const struct hd_worker_arguments *arguments,
                                 struct hd_shell_settings *shell, struct hd_err *err)
{
    struct hd_artifact_place place;
    struct hd_artifact_access *access = NULL;
    bool on = false;
    enum hd_code code = find_artifacts(arguments, &on, &place, &access, err);
    if (code == HD_OK)
        code = parse_limit("--work-limit", arguments->work_limit, &shell->work_limit_bytes, err);
    if (code == HD_OK)
        code = parse_limit("--run-limit", arguments->run_limit, &shell->run_limit_bytes, err);
    shell->travel_bytes_max = HD_CHECKPOINT_BYTES_DEFAULT;
    if (code == HD_OK)
        code =
            parse_limit("--travel-limit", arguments->travel_limit, &shell->travel_bytes_max, err);
    if (code == HD_OK)
        code = parse_limit("--artifacts-limit", arguments->artifacts_limit,
                           &shell->artifact_bytes_max, err);
    shell->artifacts = on ? &place : NULL;
    shell->artifact_access = access;
    shell->artifact_wait_ms = arguments->artifacts_wait_ms;
    if (code == HD_OK)
        code = hd_shell_run(shell, err);
    hd_artifact_access_free(access);
    return code;
}

/* The policy lasts as long as the shell. */
static enum hd_code run_shell(const struct hd_worker_arguments *arguments,
                              struct hd_shell_settings *shell, struct hd_err *err)
{
    struct hd_policy *policy = NULL;
    const char *file =
        arguments->policy_file != NULL ? arguments->policy_file : getenv("HYPERDOCK_POLICY");
    if (file != NULL && hd_policy_load(file, &policy, err) != HD_OK)
        return hd_fail_in(err, "--policy");
    shell->policy = policy;
    struct hd_gpus *gpus = hd_calloc(1, sizeof(*gpus));
    enum hd_code code = gpus != NULL ? find_end(arguments, shell, err)
                                     : hd_fail(err, HD_E_NOMEM, "no memory for the worker");
    if (code == HD_OK)
        code = find_gpus(arguments, shell->seat->state_dir, gpus, err);
    if (code == HD_OK) {
        uint32_t total = hd_gpus_total(gpus);
        shell->gpus = gpus;
        if (shell->slots == 0)
            shell->slots = total == 0 ? 1 : total < HD_HELD_MAX ? total : HD_HELD_MAX;
        hd_log(HD_LOG_INFO, "worker %s, %u at a time, in %s", shell->seat->worker, shell->slots,
               shell->root->path);
        code = run_shipping(arguments, shell, err);
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

static enum hd_code serve(const struct hd_worker_arguments *arguments,
                          const struct hd_env_list *env, int stop_fd, struct hd_err *err)
{
    char host[HD_ID_MAX + 1], token[HD_OS_TOKEN_SIZE];
    char runtime[HD_WORKER_RUNTIME_MAX] = "";
    struct hd_root root;
    struct hd_seat seat;
    (void)hd_copy_text(runtime, sizeof(runtime),
                       arguments->runtime != NULL ? arguments->runtime : "");
    if (gethostname(host, sizeof(host)) != 0)
        (void)hd_copy_text(host, sizeof(host), "worker");
    host[sizeof(host) - 1] = '\0';
    struct hd_keyring *keyring =
        NULL; /* follows the file; a credentials file is followed by look-ups */
    enum hd_code code = find_token(arguments, token, err);
    if (code == HD_OK && arguments->credentials_dir == NULL)
        code = hd_keyring_open(arguments->token_file, &keyring, err);
    if (code == HD_OK)
        code = hd_root_open(arguments->work_dir, &root, err);
    if (code == HD_OK)
        code = hd_seat_take(&root, host, arguments->worker_id, &seat, err);
    if (code != HD_OK) {
        hd_keyring_free(keyring);
        return code;
    }
    struct hd_shell_settings shell = {
        .root = &root,
        .seat = &seat,
        .host = host,
        .nameserver = arguments->nameserver != NULL ? arguments->nameserver : "127.0.0.1",
        .credentials_dir = arguments->credentials_dir,
        .token = token,
        .keyring = keyring,
        .security = &arguments->security,
        .run_id = arguments->run_id,
        .slots = (uint32_t)arguments->parallelism,
        .idle_timeout_ms = arguments->idle_timeout_ms,
        .engine = arguments->engine,
        .files = arguments->files,
        .cgroup = arguments->cgroup,
        .target_user = arguments->target_user,
        .data = &arguments->data,
        .data_dir = arguments->data_dir,
        .runtime = arguments->runtime != NULL ? runtime : NULL,
        .env = &env->texts,
        .stop_fd = stop_fd,
    };
    code = let_in(arguments->target_user, root.path, err);
    if (code == HD_OK)
        code = run_shell(arguments, &shell, err);
    hd_notify_stopping();
    hd_seat_release(&seat);
    hd_keyring_free(keyring);
    hd_log(HD_LOG_INFO, "left");
    return code;
}

int main(int argc, char **argv)
{
    struct hd_worker_arguments arguments;
    hd_streams_open();
    enum hd_parse_answer answer = hd_worker_arguments_parse(argc, argv, &arguments);
    if (answer != HD_PARSE_GO)
        return answer == HD_PARSE_EXIT_OK ? HD_EXIT_OK : HD_EXIT_USAGE;
    struct hd_err err;
    struct hd_env_list env;
    if (hd_worker_arguments_check(&arguments, &err) != HD_OK ||
        hd_env_list_make(getenv("HYPERDOCK_ENV"), &arguments.env, &env, &err) != HD_OK) {
        fprintf(stderr, "hd-worker: %s\n", err.text);
        return HD_EXIT_USAGE;
    }
    int stop_fd = -1;
    enum hd_code code = hd_log_start("hd-worker", &arguments.log, &err);
    hd_notify_open();
    (void)umask(022);
    if (code == HD_OK)
        code = hd_stop_fd_open(&stop_fd, &err);
    if (code == HD_OK)
        code = serve(&arguments, &env, stop_fd, &err);
    if (stop_fd >= 0)
        close(stop_fd);
    hd_env_list_release(&env);
    if (code == HD_OK)
        return HD_EXIT_OK;
    fprintf(stderr, "hd-worker: %s\n", err.text);
    return code == HD_E_INVALID ? HD_EXIT_USAGE : HD_EXIT_FAILED;
}
