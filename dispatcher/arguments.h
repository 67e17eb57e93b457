/* SPDX-License-Identifier: Apache-2.0 */
/* arguments.h: the command line of hd-master, as it was given. */
#ifndef HD_MASTER_ARGUMENTS_H
#define HD_MASTER_ARGUMENTS_H

#include <hd/net.h>

/* A text that was not given is NULL, a number of the experiment NAN or 0. */
struct hd_master_arguments {
    const char *experiment; /* a file */
    const char *run_id, *image, *space, *nameserver, *host, *nic, *advertise, *working_directory;
    const char *checkpoint, *state_dir, *job_queue_sizes, *token_file;
    const char *credentials_dir, *notify, *depot, *depot_limit, *home_limit;
    struct hd_net_security security;
    struct hd_log_words log;
    struct hd_text_list warm_start;
    double budget_min, budget_max, eta;
    int64_t port, min_workers, iterations, seed, time_limit_ms, ping_ms;
    bool resume, shutdown_workers, seed_given, dynamic_queue_size, fixed_queue_size;
};

/* Borrows from argv. Says itself what is wrong, and prints the help. */
enum hd_parse_answer hd_master_arguments_parse(int argc, char **argv,
                                               struct hd_master_arguments *ret_arguments);

#endif
