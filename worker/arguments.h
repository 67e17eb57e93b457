/* SPDX-License-Identifier: Apache-2.0 */
/* arguments.h: the command line of hd-worker over what the environment says. */
#ifndef HD_WORKER_ARGUMENTS_H
#define HD_WORKER_ARGUMENTS_H

#include "shell.h"

#define HD_WORKER_RUNTIME_MAX 256

/* A text that was not given and has no default is NULL. */
struct hd_worker_arguments {
    const char *nameserver, *run_id, *credentials_dir;
    int64_t parallelism;
    const char *worker_id, *work_dir;
    const char *data_dir, *runtime; /* for experiments that name none */
    struct hd_text_list data, env;
    const char *work_limit, *run_limit, *travel_limit;
    const char *artifacts, *artifacts_credentials, *artifacts_limit;
    int64_t artifacts_wait_ms;
    int64_t idle_timeout_ms;
    const char *until;
    int64_t grace_ms; /* 0: not given */
    const char *engine_name, *files_name;
    enum hd_engine_choice engine; /* these two by hd_worker_arguments_check() */
    enum hd_engine_files files;
    const char *token_file, *policy_file, *cgroup, *target_user;
    const char *gpus;
    int64_t gpu_share;
    struct hd_net_security security;
    struct hd_log_words log;
};

/* Borrows from argv and the environment. Says itself what is wrong, and prints the help. */
enum hd_parse_answer hd_worker_arguments_parse(int argc, char **argv,
                                               struct hd_worker_arguments *ret_arguments);
/* What can be known to be wrong before anything is opened. HD_E_INVALID names the option. */
HD_NODISCARD enum hd_code hd_worker_arguments_check(struct hd_worker_arguments *arguments,
                                                    struct hd_err *err);

#endif
