/* SPDX-License-Identifier: Apache-2.0 */
/*
 * batch.h: what is gathered between two commits: facts, notes and encoded replies. A step that has
 * been made cannot be unmade, so keeping its update never fails: it waits for memory.
 */
#ifndef HD_BATCH_H
#define HD_BATCH_H

#include <hd/core.h>

#define HD_BATCH_EVENTS_MAX 512
#define HD_BATCH_FACTS_MAX 4096
#define HD_BATCH_REPLIES_MAX 4096
#define HD_BATCH_NOTES_MAX 4096

struct hd_batch_reply {
    uint64_t address;
    struct hd_buf bytes;
};

struct hd_batch {
    struct hd_fact *facts;
    size_t fact_count;
    struct hd_fact **blocks; /* what the facts' texts live in */
    size_t block_count;
    struct hd_batch_reply *replies;
    size_t reply_count;
    struct hd_note *notes;
    size_t note_count;
};

HD_NODISCARD enum hd_code hd_batch_init(struct hd_batch *batch, struct hd_err *err);
void hd_batch_release(struct hd_batch *batch); /* also of a zeroed struct */
void hd_batch_clear(struct hd_batch *batch);
/* Room for one more step, whatever it makes. */
bool hd_batch_has_room(const struct hd_batch *batch);
/* Facts and notes of a step that has just been made. Replies are kept one by one. */
void hd_batch_keep(struct hd_batch *batch, const struct hd_core *core, struct hd_update *update);
/* Its notes, to the log: once its facts are durable, or the log would tell what never was. */
void hd_batch_log(const struct hd_batch *batch, const struct hd_core *core);
/* Encodes; a lease is completed with the run's params and experiment. */
void hd_batch_keep_reply(struct hd_batch *batch, const struct hd_core *core,
                         const struct hd_reply *reply);

/* Says so and waits a little: memory may come back. */
void hd_wait_for_memory(void);

#endif
