/* SPDX-License-Identifier: Apache-2.0 */
/*
 * store.h: where facts are kept. Two implementations: memory (simulator, ask-tell without
 * --state) and SQLite (one file a state directory; WAL, synchronous=FULL).
 */
#ifndef HD_STORE_H
#define HD_STORE_H

#include <hd/fact.h>

struct hd_store;

/* Memory. A crash in the simulator is: keep the store, drop the core. */
HD_NODISCARD enum hd_code hd_store_open_memory(struct hd_store **ret_store, struct hd_err *err);
/* Creates or opens `path`; holds an exclusive lock ("path-lock") until closed: a second opener gets HD_E_BUSY,
 * whose text names the pid of the first. HD_E_VERSION: written by a newer version. HD_E_CORRUPT: not one of ours, or damaged. */
HD_NODISCARD enum hd_code hd_store_open_sqlite(const char *path, struct hd_store **ret_store,
                                               struct hd_err *err);
void hd_store_close(struct hd_store *store);

/* All of them, in one transaction, durable on return; seq must continue the store's. On failure
 * nothing was kept: HD_E_FULL may be retried with the same facts; HD_E_IO after a failed fsync
 * must not: the process exits and restores. */
HD_NODISCARD enum hd_code hd_store_append(struct hd_store *store, const struct hd_fact *facts,
                                          size_t fact_count, struct hd_err *err);
/* Calls `each` for every fact in order of seq; stops at its first failure and returns it. The
 * fact's strings live during the call. */
typedef enum hd_code (*hd_fact_fn)(void *context, const struct hd_fact *fact, struct hd_err *err);
HD_NODISCARD enum hd_code hd_store_load(struct hd_store *store, hd_fact_fn each, void *context,
                                        struct hd_err *err);
uint64_t hd_store_last_seq(const struct hd_store *store);

#endif
