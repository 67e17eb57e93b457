/* SPDX-License-Identifier: Apache-2.0 */
/* courier_internal.h: what the parts of the courier share. courier.c has the threads and the calls,
 * courier_send.c what goes to a master, courier_fetch.c what comes from one. */
#ifndef HD_COURIER_INTERNAL_H
#define HD_COURIER_INTERNAL_H

#include "courier.h"
#include "stash.h"

#include <hd/checkpoint.h>
#include <pthread.h>

struct task {
    bool files;      /* of an attempt, for people; otherwise it is a work directory */
    bool waited_for; /* by `waiter`, which writes there when it is packed */
    struct hd_attempt_ref waiter;
    int fd;         /* of what is to be sent */
    uint64_t bytes; /* that it takes on this disk */
    char address[HD_ADDRESS_MAX];
    struct hd_attempt_ref attempt;
    double budget; /* that it has been trained to; NaN: none */
    char path[HD_PATH_MAX];
};

/* A thread and what it has to do, the oldest first; the first is in hand. */
struct lane {
    struct hd_courier *courier;
    void (*work)(struct hd_courier *courier, struct task *task);
    pthread_t thread;
    bool started;
    struct task tasks[HD_COURIER_QUEUE_MAX];
    size_t count;
};

struct hd_courier {
    struct hd_fetch *fetch;
    char state_dir[HD_PATH_MAX], spool[HD_PATH_MAX], files_spool[HD_PATH_MAX];
    uint64_t bytes_max;
    uint64_t (*free_bytes)(const char *directory);
    struct hd_queue *news;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    bool closing;
    uint64_t answers;
    bool packs_files; /* of the task in hand */
    const struct hd_root *root;
    struct hd_stash stash; /* of the fetching lane */
    struct lane packing, sending, fetching, bringing;
};

/* The beginning of a question about the task's attempt; whoever goes on writes the end. */
HD_NODISCARD enum hd_code courier_begin(const struct task *task, const char *op,
                                        struct hd_buf *question, struct hd_err *err);
/* Again after a failure that may pass, `tries` times in a row. */
HD_NODISCARD enum hd_code courier_ask(struct hd_courier *courier, const struct task *task,
                                      const struct hd_buf *question, int tries,
                                      struct hd_value **ret_answer, struct hd_err *err);
bool courier_may_pass(enum hd_code code);
/* Jobs wait for states, nobody for files. */
void courier_let_states_pass(struct hd_courier *courier);
/* HD_E_LIMIT: the lane has count_max tasks already. */
HD_NODISCARD enum hd_code courier_add(struct hd_courier *courier, struct lane *lane,
                                      size_t count_max, const struct task *task,
                                      struct hd_err *err);
const char *courier_text_at(const struct hd_value *answer, const char *key);
void courier_tell(struct hd_courier *courier, struct hd_courier_news *news);
/* News of the task, without a path; NULL: no memory. */
struct hd_courier_news *courier_news(struct hd_attempt_ref attempt);

/* courier_send.c */
void courier_pack_task(struct hd_courier *courier, struct task *task);
void courier_send_task(struct hd_courier *courier, struct task *task);
void courier_bring_task(struct hd_courier *courier, struct task *task);

/* courier_fetch.c */
void courier_fetch_task(struct hd_courier *courier, struct task *task);

#endif
