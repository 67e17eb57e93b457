/* SPDX-License-Identifier: Apache-2.0 */
/*
 * depot.h: copies of configs' work directories, beside the store. A cache: losing it costs time
 * and no result, so nothing of it is synced. One directory a config, with a file for each piece
 * and a list that appears when all pieces are there. Owned by the driver's thread.
 *
 * Pieces are named by their SHA-256, which is computed anew from what arrives, and from what is
 * given: after a power cut a file may be there with other bytes. Names of files are made of those
 * digits and of numbers, of nothing that a worker could choose otherwise.
 */
#ifndef HD_DISPATCHER_DEPOT_H
#define HD_DISPATCHER_DEPOT_H

#include <hd/checkpoint.h>
#include <hd/core.h>

#define HD_DEPOT_COPIES_MAX 100000u                /* configs */
#define HD_DEPOT_SPARE_BYTES (UINT64_C(256) << 20) /* that stay free on its disk, for the store */

struct hd_depot;

struct hd_depot_settings {
    const char *directory; /* made when it is needed; what an earlier master left there is found */
    uint64_t bytes_max;
    bool shares;     /* pieces that another copy of the same run has are not sent again */
    bool reads_only; /* it is another process': nothing is removed */
    /* A copy of what this attempt left is still of use. */
    bool (*keeps)(void *context, struct hd_attempt_ref attempt);
    /* The whole copy of it is removed, or found to be damaged; NULL: nobody needs to know. */
    void (*gone)(void *context, struct hd_attempt_ref attempt);
    void *context; /* of both; outlives the depot */
};
struct hd_depot_place {
    uint64_t run_uid;
    uint32_t config; /* or, of files of attempts, the job */
};
/* A directory as a worker offers it. */
struct hd_depot_offer {
    struct hd_depot_place place;
    struct hd_attempt_ref attempt; /* that left it */
    uint64_t size;                 /* of the archive, in bytes */
    double budget;                 /* that it has been trained to; NaN none */
    const char *pieces;            /* hashes of its pieces, one after another */
};

/* A copy that cannot be looked at now fails it, and stays; half a copy does not. */
HD_NODISCARD enum hd_code hd_depot_open(const struct hd_depot_settings *settings,
                                        struct hd_depot **ret_depot, struct hd_err *err);
void hd_depot_close(struct hd_depot *depot); /* also of NULL; what is there stays */
uint64_t hd_depot_bytes(const struct hd_depot *depot);

/* *ret_whole: all pieces are there, and it is now the config's copy. Otherwise those that are
 * missing, as many as one answer may hold, are appended to `missing`. Copies that nobody needs make
 * room, the oldest first. HD_E_FULL: that is not enough; HD_E_INVALID: size and pieces do not fit.
 */
HD_NODISCARD enum hd_code hd_depot_offer(struct hd_depot *depot, const struct hd_depot_offer *offer,
                                         bool *ret_whole, struct hd_buf *missing,
                                         struct hd_err *err);
/* A piece of something that was offered. HD_E_CORRUPT: it is not what its name says. */
HD_NODISCARD enum hd_code hd_depot_put(struct hd_depot *depot, struct hd_depot_place place,
                                       const char *hash, const void *bytes, size_t size,
                                       struct hd_err *err);
/* {"size","budget","pieces"} of what `attempt` left; HD_E_NOTFOUND: there is no copy of that.
 * HD_E_BUSY: as of hd_depot_get(). */
HD_NODISCARD enum hd_code hd_depot_list(struct hd_depot *depot, struct hd_depot_place place,
                                        struct hd_attempt_ref attempt, struct hd_buf *json,
                                        struct hd_err *err);
/* {"data"}. HD_E_CORRUPT: what is there is not what its name says, as after a power cut, or the
 * disk fails to read it again and again. Then the copy is none any more, and its next offer asks
 * for that piece. HD_E_BUSY: it cannot be read now, for want of memory or descriptors, or since the
 * disk failed; the copy stays. */
HD_NODISCARD enum hd_code hd_depot_get(struct hd_depot *depot, struct hd_depot_place place,
                                       const char *hash, struct hd_buf *json, struct hd_err *err);
/* How much of what `attempt` left has come; HD_E_NOTFOUND: nothing was offered. */
HD_NODISCARD enum hd_code hd_depot_progress(const struct hd_depot *depot,
                                            struct hd_depot_place place,
                                            struct hd_attempt_ref attempt, uint64_t *ret_bytes,
                                            uint64_t *ret_size, struct hd_err *err);
/* Removes what nobody needs. */
void hd_depot_sweep(struct hd_depot *depot);
/* Says of each whole copy whose it is. */
void hd_depot_each(const struct hd_depot *depot,
                   void (*tell)(void *context, struct hd_attempt_ref attempt), void *context);

/* ---- depot_answer.c: the view "checkpoint" (docs/protocol.md) -------------------------------- */

enum hd_depot_op {
    HD_DEPOT_OFFER,
    HD_DEPOT_PUT,
    HD_DEPOT_LIST,
    HD_DEPOT_GET,
    /* Of files of attempts alone: home.h. */
    HD_DEPOT_BEGIN, /* is it still wanted? */
    HD_DEPOT_NONE,  /* it does not come, and `why` */
    HD_DEPOT_ASK,   /* a person wants it */
};

/* Every word of it comes from a worker. */
struct hd_depot_question {
    enum hd_depot_op op;
    struct hd_attempt_ref attempt; /* not its stamp */
    uint64_t size;
    double budget;
    const char *pieces, *piece, *data, *why; /* of `held`; NULL what the op does not need */
    struct hd_value *held;
};
HD_NODISCARD enum hd_code hd_depot_question_parse(const char *json,
                                                  struct hd_depot_question *ret_question,
                                                  struct hd_err *err);
void hd_depot_question_release(struct hd_depot_question *question);
/* Its answer, when whoever asks may (HD_E_INVALID: not the ops of files alone): about `place`, and
 * (LIST) about what `state` left there. *ret_shelved: what was offered is all there now. */
HD_NODISCARD enum hd_code hd_depot_take(struct hd_depot *depot,
                                        const struct hd_depot_question *question,
                                        struct hd_depot_place place, struct hd_attempt_ref state,
                                        struct hd_buf *json, bool *ret_shelved, struct hd_err *err);
/* Whether it may is asked of the core. *ret_shelved: ret_attempt's directory is there now. */
HD_NODISCARD enum hd_code hd_depot_answer(struct hd_depot *depot, const struct hd_core *core,
                                          const struct hd_request *request, struct hd_buf *json,
                                          bool *ret_shelved, struct hd_attempt_ref *ret_attempt,
                                          struct hd_err *err);

#endif
