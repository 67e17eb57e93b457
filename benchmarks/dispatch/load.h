/* SPDX-License-Identifier: Apache-2.0 */
/* load.h: the workers of the benchmark, in one thread. Each has a connection of its own and at
 * most one request outstanding a lane; targets take no time. */
#ifndef HD_BENCHMARKS_LOAD_H
#define HD_BENCHMARKS_LOAD_H

#include <hd/driver.h>

#define WORKERS_MAX 1024
#define TOKEN "bench"

/* Prints the error and ends the program, unless all is well. */
void check(enum hd_code code, const struct hd_err *err);

struct client {
    struct hd_net_client *net;
    char id[32];
    uint64_t sequence[HD_LANE_COUNT];
    struct hd_attempt_ref held;
    bool holds;
    bool pinged;     /* and not yet answered */
    int64_t sent_us; /* paced: when its report went; 0: it has the next job */
};

struct load {
    struct client clients[WORKERS_MAX];
    unsigned worker_count;
    struct hd_queue *answers;
    const void *bytes; /* sent for ever; NULL: real requests */
    size_t size;
    bool paced;       /* who has a job keeps it until load_ask() */
    double *times_ms; /* paced: from each report to the next lease */
    size_t time_count;
    uint64_t done;
    size_t request_size, reply_size; /* seen last */
};

/* Everybody connects and sends a first message. Set `paced` and its room after it. */
void load_begin(struct load *load, const char *address, unsigned worker_count, const void *bytes,
                size_t size);
/* Takes one answer, and sends what follows it; false: none came in wait_ms. */
bool load_go_on(struct load *load, int64_t wait_ms);
/* A report of the job that it holds, which asks for the next one; or a first poll. */
void load_ask(struct load *load, struct client *client);
void load_ping(struct load *load, struct client *client);
void load_end(struct load *load);
/* Processor time of this process so far: the master and the load. */
double load_cpu_seconds(void);

struct load_speed {
    double rate;   /* jobs (or echoes) a second */
    double cpu_us; /* processor time of each, over all threads of this process */
};
/* Runs until the time is over. */
struct load_speed load_run(struct load *load, const char *address, unsigned worker_count,
                           const void *bytes, size_t size, double seconds);

#endif
