/* SPDX-License-Identifier: Apache-2.0 */
/* The interface of engines: hands each call to the engine's table. */
#include "engine_ops.h"

#include <string.h>
#include <time.h>

#define TELL_RETRY_MS 50

const char *hd_engine_name(const struct hd_engine *engine)
{
    return engine->ops->name;
}

enum hd_code hd_engine_start(struct hd_engine *engine, const struct hd_engine_job *job,
                             struct hd_err *err)
{
    return engine->ops->start(engine, job, err);
}

void hd_engine_stop(struct hd_engine *engine, struct hd_attempt_ref attempt, int64_t grace_ms)
{
    engine->ops->stop(engine, attempt, grace_ms);
}

void hd_engine_drop(struct hd_engine *engine, struct hd_attempt_ref attempt)
{
    engine->ops->drop(engine, attempt);
}

void hd_engine_remove(struct hd_engine *engine, struct hd_attempt_ref attempt)
{
    engine->ops->remove(engine, attempt);
}

enum hd_code hd_engine_list(struct hd_engine *engine, struct hd_engine_found *found,
                            size_t found_max, size_t *ret_count, struct hd_err *err)
{
    return engine->ops->list(engine, found, found_max, ret_count, err);
}

enum hd_code hd_engine_answers(struct hd_engine *engine, struct hd_err *err)
{
    return engine->ops->answers(engine, err);
}

enum hd_code hd_engine_adopt(struct hd_engine *engine, struct hd_attempt_ref attempt,
                             const struct hd_engine_job *job, struct hd_err *err)
{
    return engine->ops->adopt(engine, attempt, job, err);
}

enum hd_code hd_engine_command_line(const struct hd_engine *engine, const struct hd_engine_job *job,
                                    struct hd_buf *out, struct hd_err *err)
{
    return engine->ops->command_line(engine, job, out, err);
}

bool hd_engine_knows_warm(struct hd_engine *engine, const struct hd_engine_job *job)
{
    return engine->ops->knows_warm != NULL && engine->ops->knows_warm(engine, job);
}

void hd_engine_close(struct hd_engine *engine)
{
    if (engine != NULL)
        engine->ops->close(engine);
}

/* ---- for the engines ------------------------------------------------------------------------ */

enum hd_code hd_engine_quote(const char *word, struct hd_buf *out, struct hd_err *err)
{
    static const char plain[] =
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-./:=,@%+";
    if (word[0] != '\0' && strspn(word, plain) == strlen(word))
        return hd_buf_puts(out, word, err);
    enum hd_code code = hd_buf_puts(out, "'", err);
    for (const char *c = word; *c != '\0' && code == HD_OK; c++)
        code = *c == '\'' ? hd_buf_puts(out, "'\\''", err) : hd_buf_append(out, c, 1, err);
    return code == HD_OK ? hd_buf_puts(out, "'", err) : code;
}

void hd_engine_tell(struct hd_queue *queue, struct hd_attempt_ref attempt,
                    const struct hd_engine_end *end)
{
    const struct timespec pause = {.tv_nsec = TELL_RETRY_MS * 1000000L};
    struct hd_engine_news *news;
    while ((news = hd_malloc(sizeof(*news))) == NULL)
        (void)nanosleep(&pause, NULL);
    *news = (struct hd_engine_news){.attempt = attempt, .ended = true, .end = *end};
    while (hd_queue_push(queue, news) != HD_OK)
        (void)nanosleep(&pause, NULL);
}

static void say(struct hd_queue *queue, struct hd_attempt_ref attempt, bool begun, bool warm,
                const char *doing)
{
    struct hd_engine_news *news = hd_malloc(sizeof(*news));
    if (news == NULL)
        return;
    *news = (struct hd_engine_news){.attempt = attempt, .begun = begun, .warm = warm};
    (void)hd_copy_text(news->doing, sizeof(news->doing), doing);
    if (hd_queue_push(queue, news) != HD_OK)
        hd_free(news);
}

void hd_engine_say(struct hd_queue *queue, struct hd_attempt_ref attempt, const char *doing)
{
    say(queue, attempt, false, false, doing);
}

void hd_engine_begin(struct hd_queue *queue, struct hd_attempt_ref attempt, bool warm)
{
    say(queue, attempt, true, warm, "");
}
