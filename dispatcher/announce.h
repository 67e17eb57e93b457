/* SPDX-License-Identifier: Apache-2.0 */
/*
 * announce.h: which facts people are told of, and in which words.
 *
 * A fold over facts beside the core, in a live master and at restore alike; at most one notice a
 * fact. A fact that has been told before the restart is looked at, and not told again.
 */
#ifndef HD_DISPATCHER_ANNOUNCE_H
#define HD_DISPATCHER_ANNOUNCE_H

#include <hd/core.h>
#include <hd/notice.h>

struct hd_announcer;
/* settings outlive it. Positions are kept beside the store. */
HD_NODISCARD enum hd_code hd_announcer_open(const struct hd_notice_settings *settings,
                                            const char *store_path,
                                            struct hd_announcer **ret_announcer,
                                            struct hd_err *err);
/* Facts that are durable and that the core has applied, in order; of one batch, or one at restore.
 * NULL announcer: nobody is told. */
void hd_announcer_see(struct hd_announcer *announcer, const struct hd_core *core,
                      const struct hd_fact *facts, size_t count);
/* Everything restored has been seen: notices begin to go out. */
HD_NODISCARD enum hd_code hd_announcer_start(struct hd_announcer *announcer, uint64_t last_seq,
                                             struct hd_err *err);
/* Whoever is told of this store later hears no history: nothing of before that start. The store is
 * locked by the caller. */
HD_NODISCARD enum hd_code hd_announcer_forget(const char *store_path, struct hd_err *err);
void hd_announcer_close(struct hd_announcer *announcer, int64_t flush_ms); /* also of NULL */

#endif
