/* SPDX-License-Identifier: Apache-2.0 */
/*
 * engine_ops.h: what an engine implements; engine.c hands the calls of hd/engine.h to it.
 *
 * An engine embeds struct hd_engine first and allocates itself in its hd_engine_open_*().
 * All calls come from one thread, the worker's; an engine's own threads touch only the queue.
 * stop, drop and remove may not block for longer than one short exchange with the engine, answers
 * not for longer than a few seconds.
 * News are pushed as struct hd_engine_news * had with hd_malloc; whoever pops frees with hd_free.
 */
#ifndef HD_ENGINE_OPS_H
#define HD_ENGINE_OPS_H

#include <hd/engine.h>

struct hd_engine_ops {
    const char *name;
    enum hd_code (*start)(struct hd_engine *engine, const struct hd_engine_job *job,
                          struct hd_err *err);
    void (*stop)(struct hd_engine *engine, struct hd_attempt_ref attempt, int64_t grace_ms);
    void (*drop)(struct hd_engine *engine, struct hd_attempt_ref attempt);
    void (*remove)(struct hd_engine *engine, struct hd_attempt_ref attempt);
    enum hd_code (*list)(struct hd_engine *engine, struct hd_engine_found *found, size_t found_max,
                         size_t *ret_count, struct hd_err *err);
    enum hd_code (*answers)(struct hd_engine *engine, struct hd_err *err);
    enum hd_code (*adopt)(struct hd_engine *engine, struct hd_attempt_ref attempt,
                          const struct hd_engine_job *job, struct hd_err *err);
    enum hd_code (*command_line)(const struct hd_engine *engine, const struct hd_engine_job *job,
                                 struct hd_buf *out, struct hd_err *err);
    bool (*knows_warm)(struct hd_engine *engine, const struct hd_engine_job *job); /* NULL: no */
    void (*close)(struct hd_engine *engine); /* frees the engine */
};

struct hd_engine {
    const struct hd_engine_ops *ops;
    bool copies; /* targets do not see our directories: their files are copied */
};

/* One word for a shell, quoted when it needs it: for command_line. */
HD_NODISCARD enum hd_code hd_engine_quote(const char *word, struct hd_buf *out, struct hd_err *err);
/* The news of an end, on the queue; when memory or the queue is short it waits and tries again,
 * since an end must not be lost. Only from an engine's own thread. */
void hd_engine_tell(struct hd_queue *queue, struct hd_attempt_ref attempt,
                    const struct hd_engine_end *end);
/* News of what is done for an attempt meanwhile; lost when memory or the queue is short. */
void hd_engine_say(struct hd_queue *queue, struct hd_attempt_ref attempt, const char *doing);
/* News that its target runs; lost likewise. */
void hd_engine_begin(struct hd_queue *queue, struct hd_attempt_ref attempt, bool warm);
/* All that a job points to, in the arena; false: it is full. */
bool hd_engine_copy_job(struct hd_arena *arena, const struct hd_engine_job *job,
                        struct hd_engine_job *ret_job);

#endif
