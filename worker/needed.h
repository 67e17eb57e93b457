/* SPDX-License-Identifier: Apache-2.0 */
/*
 * needed.h: asks the masters of this worker what its work directories are still needed for. What
 * several say of one grant, as masters whose state was copied may, is taken at its most cautious;
 * a master that does not know the grant, or does not answer, has no say.
 */
#ifndef HD_NEEDED_H
#define HD_NEEDED_H

#include "collect.h"
#include "fetch.h"

#include "service_sets.h"

#include <hd/agent.h>

struct hd_needed;
/* All are borrowed. */
HD_NODISCARD enum hd_code hd_needed_new(struct hd_fetch *fetch, const char *worker,
                                        const char *root_id, struct hd_needed **ret_needed,
                                        struct hd_err *err);
void hd_needed_free(struct hd_needed *needed); /* nobody asks any more; also of NULL */
/* Where a master is now; "" nowhere. Any thread. */
void hd_needed_set_master(struct hd_needed *needed, uint32_t index, const char *address);
/* Nothing more is asked; what is on its way may take some seconds. Also of NULL. */
void hd_needed_stop(struct hd_needed *needed);
/* A hd_collect_asker; the context is the struct hd_needed. */
void hd_needed_ask(void *context, const struct hd_collect_question *questions, size_t count,
                   enum hd_need *ret_needs);
/* What they say of a run; the context is the struct hd_needed. One that says that it goes on has
 * the last word. */
enum hd_run_word hd_needed_ask_run(void *context, uint64_t run_uid);
/* A master's answer to that: {"over":[true]}, false, or null for a run that it does not know.
 * HD_E_INVALID: it is none. */
HD_NODISCARD enum hd_code hd_needed_take_over(const struct hd_value *answer,
                                              enum hd_run_word *ret_word, struct hd_err *err);
/* Of two words about one grant. */
enum hd_need hd_needed_more(enum hd_need one, enum hd_need other);
/* A master's answer to `count` questions: {"need":["state", ...]}. HD_E_INVALID: it is none, and
 * nothing is taken from it. */
HD_NODISCARD enum hd_code hd_needed_take(const struct hd_value *answer, size_t count,
                                         enum hd_need *needs, struct hd_err *err);

#endif
