/* SPDX-License-Identifier: Apache-2.0 */
#include "batch.h"

#include "driver_internal.h"

#include <string.h>
#include <time.h>

#define KNOWN_FACTS 8 /* newest ones that are looked at for a config's text */

void hd_batch_clear(struct hd_batch *batch)
{
    for (size_t i = 0; i < batch->block_count; i++)
        hd_free(batch->blocks[i]);
    for (size_t i = 0; i < batch->reply_count; i++)
        hd_buf_release(&batch->replies[i].bytes);
    batch->fact_count = batch->block_count = batch->reply_count = batch->note_count = 0;
}

enum hd_code hd_batch_init(struct hd_batch *batch, struct hd_err *err)
{
    *batch = (struct hd_batch){.fact_count = 0};
    batch->facts = hd_calloc(HD_BATCH_FACTS_MAX, sizeof(*batch->facts));
    batch->blocks = hd_calloc(HD_BATCH_FACTS_MAX, sizeof(*batch->blocks));
    batch->replies = hd_calloc(HD_BATCH_REPLIES_MAX, sizeof(*batch->replies));
    batch->notes = hd_calloc(HD_BATCH_NOTES_MAX, sizeof(*batch->notes));
    if (batch->facts != NULL && batch->blocks != NULL && batch->replies != NULL &&
        batch->notes != NULL)
        return HD_OK;
    hd_batch_release(batch);
    return hd_fail(err, HD_E_NOMEM, "no memory for a batch of facts");
}

void hd_batch_release(struct hd_batch *batch)
{
    hd_batch_clear(batch);
    hd_free(batch->facts);
    hd_free(batch->blocks);
    hd_free(batch->replies);
    hd_free(batch->notes);
    *batch = (struct hd_batch){.fact_count = 0};
}

void hd_wait_for_memory(void)
{
    hd_log(HD_LOG_ERROR, "out of memory; trying again");
    struct timespec pause = {.tv_nsec = 100000000L};
    nanosleep(&pause, NULL);
}

static void keep_notes(struct hd_batch *batch, const struct hd_update *update)
{
    hd_assert(batch->note_count + update->note_count <= HD_BATCH_NOTES_MAX);
    for (size_t i = 0; i < update->note_count; i++)
        batch->notes[batch->note_count++] = update->notes[i];
}

void hd_batch_log(const struct hd_batch *batch, const struct hd_core *core)
{
    for (size_t i = 0; i < batch->note_count; i++) {
        enum hd_log_level level = HD_LOG_DEBUG;
        switch (batch->notes[i].level) {
        case HD_NOTE_DEBUG:
            break;
        case HD_NOTE_INFO:
            level = HD_LOG_INFO;
            break;
        case HD_NOTE_WARNING:
            level = HD_LOG_WARNING;
            break;
        }
        struct hd_run_view run = {.run_id = NULL};
        if (batch->notes[i].run < hd_core_run_count(core))
            hd_core_view_run(core, batch->notes[i].run, &run);
        hd_log_run(level, run.run_id, "%s", batch->notes[i].text);
    }
}

static void keep_facts(struct hd_batch *batch, const struct hd_core *core, struct hd_update *update)
{
    if (update->fact_count == 0)
        return;
    struct hd_buf params;
    struct hd_err err;
    hd_buf_init(&params, SIZE_MAX / 2);
    while (hd_update_fill_params(core, update, &params, &err) != HD_OK) {
        hd_wait_for_memory();
        hd_buf_clear(&params);
    }
    struct hd_fact *block;
    while (hd_facts_copy(update->facts, update->fact_count, &block, &err) != HD_OK)
        hd_wait_for_memory();
    hd_buf_release(&params);
    batch->blocks[batch->block_count++] = block;
    memcpy(batch->facts + batch->fact_count, block, update->fact_count * sizeof(*block));
    batch->fact_count += update->fact_count;
}

/* The text that a fact of this batch has of the config already; NULL: it is older. */
static const char *known_params(const struct hd_batch *batch, const struct hd_reply *reply)
{
    for (size_t i = batch->fact_count; i > 0 && i + KNOWN_FACTS > batch->fact_count; i--) {
        const struct hd_fact *fact = &batch->facts[i - 1];
        if (fact->kind == HD_FACT_CONFIG_PROPOSED && fact->run == reply->lease_run &&
            fact->as.config_proposed.config == reply->lease.config)
            return fact->as.config_proposed.params_json;
    }
    return NULL;
}

static enum hd_code encode_reply(const struct hd_batch *batch, const struct hd_core *core,
                                 const struct hd_reply *reply, struct hd_buf *out,
                                 struct hd_err *err)
{
    if (reply->kind != HD_REPLY_LEASE)
        return hd_reply_encode(reply, out, err);
    struct hd_run_view run;
    hd_core_view_run(core, reply->lease_run, &run);
    struct hd_buf params;
    hd_buf_init(&params, HD_MESSAGE_BYTES_MAX);
    const double *values = hd_core_config_values(core, reply->lease_run, reply->lease.config);
    const char *known = known_params(batch, reply);
    enum hd_code code =
        known != NULL ? HD_OK : hd_config_to_json(run.experiment->space, values, &params, err);
    if (code == HD_OK) {
        struct hd_reply filled = *reply;
        filled.lease.params_json = known != NULL ? known : hd_buf_text(&params);
        filled.lease.target_json = run.target_json;
        filled.lease.image_id = run.image_id;
        code = hd_reply_encode(&filled, out, err);
    }
    hd_buf_release(&params);
    return code;
}

void hd_batch_keep_reply(struct hd_batch *batch, const struct hd_core *core,
                         const struct hd_reply *reply)
{
    hd_assert(batch->reply_count < HD_BATCH_REPLIES_MAX);
    struct hd_batch_reply *pending = &batch->replies[batch->reply_count++];
    pending->address = reply->address;
    hd_buf_init(&pending->bytes, HD_MESSAGE_BYTES_MAX);
    struct hd_err err;
    enum hd_code code;
    while ((code = encode_reply(batch, core, reply, &pending->bytes, &err)) == HD_E_NOMEM)
        hd_wait_for_memory();
    if (code != HD_OK) /* a lease too large for a message: the worker's lease ends and says so */
        hd_log(HD_LOG_ERROR, "reply %s: %s", hd_reply_kind_name(reply->kind), err.text);
}

void hd_batch_keep(struct hd_batch *batch, const struct hd_core *core, struct hd_update *update)
{
    keep_notes(batch, update);
    keep_facts(batch, core, update);
}

bool hd_batch_has_room(const struct hd_batch *batch)
{
    return batch->fact_count + HD_STEP_FACTS_MAX <= HD_BATCH_FACTS_MAX &&
           batch->reply_count + HD_STEP_REPLIES_MAX + 1 <= HD_BATCH_REPLIES_MAX &&
           batch->note_count + HD_STEP_NOTES_MAX <= HD_BATCH_NOTES_MAX &&
           batch->block_count < HD_BATCH_FACTS_MAX;
}
