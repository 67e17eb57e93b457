/* SPDX-License-Identifier: Apache-2.0 */
/*
 * shell.h: the worker around its agent: carries out the agent's actions with the network, the
 * engines and the disk, and tells it what happened. One thread decides; the network, the engines
 * and the look-ups have their own and speak through queues.
 */
#ifndef HD_SHELL_H
#define HD_SHELL_H

#include "contract.h"
#include "gpus.h"
#include "lookup.h"
#include "policy.h"

#include <hd/agent.h>
#include <hd/artifacts.h>
#include <hd/net.h>

enum hd_engine_choice { HD_ENGINE_AUTO, HD_ENGINE_DOCKER, HD_ENGINE_PODMAN, HD_ENGINE_PROCESS };

/* All borrowed for as long as the shell runs. */
struct hd_shell_settings {
    const struct hd_root *root;
    const struct hd_seat *seat;
    const char *host;
    const char *nameserver, *credentials_dir, *token;
    struct hd_keyring *keyring; /* NULL: token, or the one of the credentials file */
    const struct hd_net_security *security;
    const char *run_id; /* "" any */
    uint32_t slots;
    const struct hd_gpus *gpus; /* for jobs; count 0: none */
    int64_t idle_timeout_ms;
    int64_t end_ms;      /* hd_clock_ms() by which this worker is gone; 0: not known */
    int64_t grace_ms;    /* how long before it targets are asked to stop */
    bool term_is_notice; /* SIGTERM: the machine goes away in grace_ms */
    enum hd_engine_choice engine;
    enum hd_engine_files files;
    const char *target_user;                   /* of the process engine; NULL: ours */
    const char *cgroup;                        /* for targets of the process engine; NULL none */
    const struct hd_policy *policy;            /* NULL: the defaults */
    const struct hd_text_list *data;           /* "NAME=PATH" */
    const char *data_dir;                      /* of experiments that name none; NULL none */
    char *runtime;                             /* likewise, of containers; NULL the engine's own */
    const struct hd_text_list *env;            /* "K=V" */
    uint64_t work_limit_bytes;                 /* of work directories; 0 none */
    uint64_t travel_bytes_max;             /* of a work directory that is sent */
    uint64_t run_limit_bytes;                  /* of directories of attempts; 0 none */
    const struct hd_artifact_place *artifacts; /* where they are shipped to; NULL nowhere */
    struct hd_artifact_access *artifact_access;
    uint64_t artifact_bytes_max; /* of an attempt; 0: the default */
    int64_t artifact_wait_ms;    /* how long a worker that leaves goes on shipping */
    int stop_fd;                 /* a signalfd of TERM and INT */
};

/* Until the agent leaves. Targets that still run then go on; the next process finds them. */
HD_NODISCARD enum hd_code hd_shell_run(const struct hd_shell_settings *settings,
                                       struct hd_err *err);

#endif
