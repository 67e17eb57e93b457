/* SPDX-License-Identifier: Apache-2.0 */
/*
 * home.h: files that attempts left (out/, result, log), at the master: those of the best jobs and
 * what people asked for. A depot of its own beside the store, with one directory a job, and the
 * questions about it: the views "home" of workers, "fetch" and "bring" of people
 * (docs/protocol.md). Which files are wanted the core decides. Owned by the driver's thread.
 */
#ifndef HD_DISPATCHER_HOME_H
#define HD_DISPATCHER_HOME_H

#include "depot.h"

#define HD_HOME_SUFFIX ".home" /* of the depot, behind the path of the store */

struct hd_home;

struct hd_home_settings {
    const char *store_path;
    uint64_t bytes_max; /* 0: nothing is taken */
    /* These files are wanted. */
    bool (*keeps)(void *context, struct hd_attempt_ref attempt);
    /* Steps the core. */
    void (*tell)(void *context, struct hd_event *event);
    void *context; /* of both; outlives it */
};
HD_NODISCARD enum hd_code hd_home_open(const struct hd_home_settings *settings,
                                       struct hd_home **ret_home, struct hd_err *err);
void hd_home_close(struct hd_home *home); /* also of NULL; what is there stays */

/* Every word of the request comes from elsewhere; its role has been checked. */
HD_NODISCARD enum hd_code hd_home_answer(struct hd_home *home, const struct hd_core *core,
                                         const struct hd_request *request, struct hd_buf *json,
                                         struct hd_err *err);
/* Says of all that is there that it is. */
void hd_home_tell_all(struct hd_home *home);
/* Removes what is wanted no more. */
void hd_home_sweep(struct hd_home *home);
/* Rises with each word of a worker. */
uint64_t hd_home_words(const struct hd_home *home);
/* This work root is one of those below the directory of the store, where hd fetch finds it. */
bool hd_home_has_root(const struct hd_home *home, const char *root);

#endif
