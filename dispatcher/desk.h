/* SPDX-License-Identifier: Apache-2.0 */
/*
 * desk.h: what may be asked of a master that changes no run: the views of its store, what only it
 * knows, and files for workers and people (images, code, work directories, what attempts left).
 * docs/protocol.md lists the views. Owned by the driver's thread.
 */
#ifndef HD_DISPATCHER_DESK_H
#define HD_DISPATCHER_DESK_H

#include "depot.h"
#include "driver_internal.h"
#include "home.h"

struct hd_desk;

struct hd_desk_settings {
    const struct hd_core *core; /* borrowed */
    const char *store_path;     /* files are kept beside it; copied */
    const char *depot;          /* NULL: beside the store, too */
    uint64_t depot_bytes_max;   /* 0: HD_DEPOT_BYTES_DEFAULT */
    uint64_t home_bytes_max;    /* 0: nothing that attempts left is taken */
    /* Steps the core. */
    void (*tell)(void *context, struct hd_event *event);
    void *context; /* of it; outlives the desk */
};
HD_NODISCARD enum hd_code hd_desk_open(const struct hd_desk_settings *settings,
                                       struct hd_desk **ret_desk, struct hd_err *err);
void hd_desk_close(struct hd_desk *desk); /* also of NULL; files that were kept stay */

/* What a token must allow for such a request: one of enum hd_role. */
unsigned hd_desk_role(const char *view);
/* Every word of the request comes from elsewhere; its role has been checked. */
HD_NODISCARD enum hd_code hd_desk_answer(struct hd_desk *desk, const struct hd_request *request,
                                         struct hd_buf *json, struct hd_err *err);

/* Says of all files that are there that they are. */
void hd_desk_tell_all(struct hd_desk *desk);
/* Removes files that nobody needs any more. */
void hd_desk_sweep(struct hd_desk *desk);
/* Rises with each word of a worker about what an attempt left. */
uint64_t hd_desk_words(const struct hd_desk *desk);
/* This work root is one of those below the directory of the store. */
bool hd_desk_has_root(const struct hd_desk *desk, const char *root);

#endif
