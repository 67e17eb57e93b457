/* SPDX-License-Identifier: Apache-2.0 */
/* courier_fetch.c: states that come from a master, piece by piece. */
#include "courier_internal.h"

#include "pieces.h"

#include <math.h>
#include <string.h>

#define TRIES_MAX 5 /* of one call; beyond, whoever asked says where the master is by now */

static enum hd_code ask_state(struct hd_courier *courier, const struct task *task, const char *op,
                              const char *more, struct hd_value **ret_answer, struct hd_err *err)
{
    struct hd_buf question;
    hd_buf_init(&question, 4096);
    enum hd_code code = courier_begin(task, op, &question, err);
    if (code == HD_OK)
        code = hd_buf_printf(&question, err, "%s}", more);
    if (code == HD_OK)
        code = courier_ask(courier, task, &question, TRIES_MAX, ret_answer, err);
    hd_buf_release(&question);
    return code;
}

/* One piece, checked against its name. */
static enum hd_code ask_piece(struct hd_courier *courier, const struct task *task, const char *hash,
                              struct hd_buf *bytes, struct hd_err *err)
{
    char more[HD_CHECKPOINT_HASH_SIZE + 32], text[HD_CHECKPOINT_HASH_SIZE + 1];
    struct hd_value *answer = NULL;
    (void)hd_format(more, sizeof(more), ",\"piece\":\"%.*s\"", HD_CHECKPOINT_HASH_SIZE, hash);
    enum hd_code code = ask_state(courier, task, "get", more, &answer, err);
    const char *data = code == HD_OK ? courier_text_at(answer, "data") : NULL;
    if (code == HD_OK)
        code = data != NULL ? hd_base64_decode(data, strlen(data), bytes, err)
                            : hd_fail(err, HD_E_INVALID, "the master sent no piece");
    if (code == HD_OK)
        code = hd_piece_hash(bytes->data, bytes->size, text, err);
    if (code == HD_OK && strncmp(text, hash, HD_CHECKPOINT_HASH_SIZE) != 0)
        code = hd_fail(err, HD_E_CORRUPT, "a piece is not what its name says");
    hd_value_free(answer);
    return code;
}

/* Into the archive that is being read; one that came before is not asked for again. */
static enum hd_code take_piece(struct hd_courier *courier, const struct task *task,
                               const char *hash, struct hd_unpacking *unpacking, size_t *ret_asked,
                               struct hd_err *err)
{
    struct hd_buf bytes;
    enum hd_code code = HD_OK;
    hd_buf_init(&bytes, HD_VIEW_JSON_MAX);
    if (!hd_stash_find(&courier->stash, hash, &bytes)) {
        ++*ret_asked;
        code = ask_piece(courier, task, hash, &bytes, err);
        if (code == HD_OK)
            hd_stash_keep(&courier->stash, hash, bytes.data, bytes.size);
    }
    if (code == HD_OK)
        code = hd_unpacking_feed(unpacking, bytes.data, bytes.size, err);
    hd_buf_release(&bytes);
    return code;
}

static enum hd_code fetch_pieces(struct hd_courier *courier, const struct task *task,
                                 const char *pieces, struct hd_err *err)
{
    struct hd_unpacking *unpacking = NULL;
    size_t asked = 0;
    uint64_t bytes_max = (uint64_t)HD_CHECKPOINT_PIECES_MAX * HD_CHECKPOINT_PIECE_BYTES;
    size_t length = strlen(pieces);
    if (length % HD_CHECKPOINT_HASH_SIZE != 0 || length == 0 ||
        length > HD_CHECKPOINT_PIECES_MAX * HD_CHECKPOINT_HASH_SIZE)
        return hd_fail(err, HD_E_INVALID, "the master's list of pieces is none");
    hd_stash_tidy(&courier->stash);
    enum hd_code code = hd_unpacking_open(task->path, bytes_max, &unpacking, err);
    for (const char *at = pieces; code == HD_OK && *at != '\0'; at += HD_CHECKPOINT_HASH_SIZE)
        code = take_piece(courier, task, at, unpacking, &asked, err);
    if (code == HD_OK)
        code = hd_unpacking_end(unpacking, err);
    hd_unpacking_close(unpacking);
    if (code == HD_OK)
        hd_log(HD_LOG_INFO, "job %u, attempt %u: %zu of %zu pieces of its state were here",
               task->attempt.job, task->attempt.attempt, length / HD_CHECKPOINT_HASH_SIZE - asked,
               length / HD_CHECKPOINT_HASH_SIZE);
    if (code != HD_E_CANCELLED && !courier_may_pass(code)) /* nobody comes for them again */
        hd_stash_drop(&courier->stash, pieces);
    return code;
}

void courier_fetch_task(struct hd_courier *courier, struct task *task)
{
    struct hd_err err = {0};
    struct hd_value *list = NULL;
    struct hd_courier_news *news = courier_news(task->attempt);
    enum hd_code code = ask_state(courier, task, "list", "", &list, &err);
    const char *pieces = code == HD_OK ? courier_text_at(list, "pieces") : NULL;
    const struct hd_value *reached = code == HD_OK ? hd_value_get(list, "budget") : NULL;
    double budget = reached != NULL ? hd_value_number(reached) : (double)NAN;
    if (code == HD_OK)
        code = pieces != NULL ? fetch_pieces(courier, task, pieces, &err)
                              : hd_fail(&err, HD_E_INVALID, "the master sent no list");
    hd_value_free(list);
    if (news == NULL)
        return;
    news->failed = code != HD_OK;
    news->lost = code == HD_E_CORRUPT || code == HD_E_NOTFOUND;
    news->may_pass = courier_may_pass(code);
    news->budget = budget;
    (void)hd_copy_text(news->path, sizeof(news->path), task->path);
    (void)hd_copy_text(news->why, sizeof(news->why), code != HD_OK ? err.text : "");
    courier_tell(courier, news);
}
