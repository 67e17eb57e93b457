/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cluster.h: the processes of `hd run`: a nameserver, a master and N workers on this machine.
 *
 * They are written down in <state-dir>/local.json (pid and start time), live in sessions of their
 * own and outlive the one who started them: a later `hd run --resume` takes over those that are
 * alive and starts the others. A process that dies is started again, a bounded number of times.
 */
#ifndef HD_CLI_CLUSTER_H
#define HD_CLI_CLUSTER_H

#include <hd/os.h>

#define CLUSTER_WORKERS_MAX 256

struct cluster_options {
    const char *state_dir;       /* absolute */
    const char *run_id;          /* NULL: every unfinished run of the state directory */
    const char *experiment_file; /* NULL: what the state directory holds */
    uint32_t worker_count;
    const struct hd_text_list *master_arguments; /* passed on as they are */
    const struct hd_text_list *worker_arguments;
    const char *log_level;
};

struct cluster;

/* HD_E_BUSY: another `hd run` tends this state directory. */
HD_NODISCARD enum hd_code cluster_open(const struct cluster_options *options,
                                       struct cluster **ret_cluster, struct hd_err *err);
/* Looks after the processes; returns at once. *ret_over: the master ended by itself with
 * *ret_exit. An error: something died too often; its text says where the log is. */
HD_NODISCARD enum hd_code cluster_tend(struct cluster *cluster, bool *ret_over, int *ret_exit,
                                       struct hd_err *err);
/* Workers hand back what they run, then everything ends; KILL after grace_ms or when *hurry
 * becomes true. Returns when all are gone. */
void cluster_stop(struct cluster *cluster, int64_t grace_ms, const volatile bool *hurry);
/* When no run of the directory is left to do and no master serves it: a nameserver and workers that
 * an earlier `hd run` left when it was killed end too. Nothing happens while their own master lives
 * or another `hd run` tends the directory. */
void cluster_sweep(const char *state_dir);
/* Frees; running processes go on. */
void cluster_close(struct cluster *cluster);

#endif
