/* SPDX-License-Identifier: Apache-2.0 */
/*
 * store.h: where facts are kept. Two implementations: memory (simulator, ask-tell without
 * --state) and SQLite (one file a state directory; WAL, synchronous=FULL).
 */
#ifndef HD_STORE_H
#define HD_STORE_H

#include <hd/fact.h>

#define HD_STORE_FILE_NAME "state.db" /* of the SQLite file in a state directory */

struct hd_store;

/* Memory. A crash in the simulator is: keep the store, drop the core. */
HD_NODISCARD enum hd_code hd_store_open_memory(struct hd_store **ret_store, struct hd_err *err);
/*
 * Creates (mode 0600) or opens `path`; holds an exclusive lock ("path-lock") until closed.
 *   HD_E_BUSY         another process has it open; the text names its pid
 *   HD_E_VERSION      written by a newer version
 *   HD_E_CORRUPT      not one of ours, or damaged
 *   HD_E_UNSUPPORTED  the file system cannot hold a write-ahead log
 * The file can be read by others meanwhile: see docs/storage.md. One thread uses a store at a time.
 */
HD_NODISCARD enum hd_code hd_store_open_sqlite(const char *path, struct hd_store **ret_store,
                                               struct hd_err *err);
void hd_store_close(struct hd_store *store);

/*
 * All of them, in one transaction, durable on return; facts[0].seq must be the last seq + 1, and so
 * on. Texts may be NULL and are then read back as "". On failure nothing was kept: HD_E_FULL,
 * HD_E_NOMEM, HD_E_BUSY  (no room, no memory, somebody's open transaction on the file) may be
 * retried with the same facts HD_E_IO       (a failed write or fsync) must not: the store refuses
 * everything from then on; the process exits and restores. Only then is it known whether these
 * facts are there. HD_E_INVALID, HD_E_LIMIT  these facts can never be stored: a gap, an unknown
 * enum, a text beyond 1 MiB; in SQLite also a run, config, job or attempt that is there already, or
 * a job closed twice. That facts refer to what exists is the core's promise: looking for it in each
 * commit would cost a sixth of it, hd_reader_examine() looks once.
 */
HD_NODISCARD enum hd_code hd_store_append(struct hd_store *store, const struct hd_fact *facts,
                                          size_t fact_count, struct hd_err *err);
/* Calls `each` for every fact in order of seq; stops at its first failure and returns it. The
 * fact's texts and values live during the call. `each` must not use the store. HD_E_CORRUPT: a fact
 * is missing or cannot be one. */
typedef enum hd_code (*hd_fact_fn)(void *context, const struct hd_fact *fact, struct hd_err *err);
HD_NODISCARD enum hd_code hd_store_load(struct hd_store *store, hd_fact_fn each, void *context,
                                        struct hd_err *err);
uint64_t hd_store_last_seq(const struct hd_store *store);

/* Facts with all their texts and arrays in one block; free it with hd_free. fact_count > 0. */
HD_NODISCARD enum hd_code hd_facts_copy(const struct hd_fact *facts, size_t fact_count,
                                        struct hd_fact **ret_copies, struct hd_err *err);

#endif
