/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cluster.h: the real programs on loopback, for tests that start, watch and kill them.
 *
 * Everything lives below one temporary directory: token, state, work roots, logs. The test is
 * the subreaper of what it starts, so that nothing outlives cluster_close(), not even what a
 * killed program left behind; processes are ended by pid only. Waiting means looking again for
 * an event until a deadline; a deadline that passes fails the test and shows the logs' ends.
 *
 * The programs are found in HD_NAMESERVER, HD_MASTER, HD_WORKER and HD.
 */
#ifndef HD_TEST_CLUSTER_H
#define HD_TEST_CLUSTER_H

#include "testlib.h"

#include <hd/os.h>
#include <hd/value.h>

#define CLUSTER_CHILDREN_MAX 16
#define CLUSTER_PATHS_MAX 512
#define CLUSTER_ARGUMENTS_MAX 48
#define CLUSTER_DEADLINE_MS 60000 /* for anything that takes moments */

struct child {
    char name[32];
    char *log; /* stdout and stderr, of every life */
    pid_t pid; /* 0: not running */
    int exit;  /* of its last life: exit code, or 128 + signal */
    long born; /* where the log of this life begins */
};

struct cluster {
    char *dir;
    char *state_dir;
    char *token_file;
    char nameserver[128]; /* host:port once it has started */
    struct child children[CLUSTER_CHILDREN_MAX];
    size_t child_count;
    char *paths[CLUSTER_PATHS_MAX];
    size_t path_count;
    int fifo; /* the ledger of containers; -1 none */
    char *ledger;
};

void cluster_open(struct cluster *cluster);
void cluster_close(struct cluster *cluster);

/* Whether any process that the test has started, or that those have, is still there. */
bool cluster_has_processes(struct cluster *cluster);

/* A formatted text that lives as long as the cluster; a relative path is below its directory when
 * made by cluster_path(). */
char *cluster_text(struct cluster *cluster, const char *fmt, ...) HD_PRINTF(2, 3);
char *cluster_path(struct cluster *cluster, const char *fmt, ...) HD_PRINTF(2, 3);
/* The path of a program from its environment variable. */
const char *cluster_program(const char *variable);

/* ---- waiting -------------------------------------------------------------------------------- */

/* A moment, in which ended children are noticed and the FIFO is emptied. */
void cluster_tick(struct cluster *cluster);
/* Fails the test and shows the ends of all logs. */
void cluster_fail(struct cluster *cluster, const char *fmt, ...) HD_PRINTF(2, 3);
#define CLUSTER_WAIT(cluster, condition)                                                           \
    do {                                                                                           \
        int64_t until_ms_ = hd_clock_ms() + CLUSTER_DEADLINE_MS;                                   \
        while (!(condition)) {                                                                     \
            if (hd_clock_ms() > until_ms_)                                                         \
                cluster_fail((cluster), "%s:%d: never came: %s", __FILE__, __LINE__, #condition);  \
            cluster_tick(cluster);                                                                 \
        }                                                                                          \
    } while (0)

/* ---- programs ------------------------------------------------------------------------------- */

/* The child of that name, made on first use. */
struct child *cluster_child(struct cluster *cluster, const char *name);
/* argv[0] is a path; ends with NULL. The child must not be running. */
void cluster_start(struct cluster *cluster, struct child *child, const char *const argv[]);
bool child_runs(struct cluster *cluster, const struct child *child);
void child_signal(const struct child *child, int number);
/* Sends the signal and waits for the end. */
void child_kill(struct cluster *cluster, struct child *child, int number);
/* Waits for the end: its exit code, or 128 + signal. */
int child_end(struct cluster *cluster, struct child *child);
/* What it has said in this life. */
char *child_said(struct cluster *cluster, const struct child *child);
bool child_has_said(struct cluster *cluster, const struct child *child, const char *text);
/* Waits until it says so; fails when it ends without. */
void child_wait_text(struct cluster *cluster, struct child *child, const char *text);

/* Runs to the end. The texts live as long as the cluster. */
struct outcome {
    int exit;
    char *out, *err;
};
struct outcome cluster_run(struct cluster *cluster, const char *const argv[]);
#define CLUSTER_RUN(cluster, ...) cluster_run((cluster), (const char *const[]){__VA_ARGS__, NULL})
/* An exit code, and a part of what was said on stderr (NULL: any). */
#define assert_outcome(what, code, part) outcome_check(__FILE__, __LINE__, (what), (code), (part))
void outcome_check(const char *file, int line, struct outcome outcome, int code, const char *part);

/* The nameserver on a port of its own, kept over restarts; waits until it listens. */
struct child *cluster_nameserver(struct cluster *cluster);
struct child *cluster_nameserver_with(struct cluster *cluster, const char *const more[]);
/* argv of hd-master or hd-worker: what every test gives, then `more` up to NULL. */
struct child *cluster_master(struct cluster *cluster, const char *const more[]);
struct child *cluster_worker(struct cluster *cluster, unsigned number, const char *const more[]);

/* ---- state ---------------------------------------------------------------------------------- */

struct result {
    uint32_t job;
    uint32_t attempt; /* 0: never leased */
    char outcome[24];
    double loss; /* NaN: none */
    char message[512];
};
struct results {
    struct result *rows; /* accepted, by job */
    size_t count;
    uint32_t jobs, configs; /* of the run, closed or not */
    char state[16];         /* of the run; "" when it is not there */
    char reason[256];
};
/* Reads the state directory beside whoever writes it. What is not there yet is empty. */
void cluster_results(struct cluster *cluster, const char *run_id, struct results *ret_results);
void results_release(struct results *results);
/* Every result of `before` is in `after` unchanged. */
void assert_results_kept(struct cluster *cluster, const struct results *before,
                         const struct results *after);
bool cluster_run_is(struct cluster *cluster, const char *run_id, const char *state);
size_t cluster_accepted(struct cluster *cluster, const char *run_id);
/* JSON that a program printed; free with hd_value_free. */
struct hd_value *cluster_json(const char *text);

/* ---- the targets' ledger -------------------------------------------------------------------- */

struct entry {
    char word[16];
    char run[64];
    uint32_t job, attempt;
    double budget, loss;
};
struct ledger {
    struct entry *entries;
    size_t count;
};
/* Makes <dir>/books/ledger: a file, or a FIFO that is copied into <dir>/ledger. */
void cluster_ledger_open(struct cluster *cluster, bool fifo);
void cluster_ledger_read(struct cluster *cluster, struct ledger *ret_ledger);
void ledger_release(struct ledger *ledger);
/* Every accepted result is in the books with its attempt and its loss, and no two attempts wrote
 * one directory at a time. */
void assert_ledger_agrees(struct cluster *cluster, const char *run_id,
                          const struct results *results, const struct ledger *ledger);

#endif
