/* SPDX-License-Identifier: Apache-2.0 */
/*
 * reader.h: a store's file as it lies on the disk, for whoever examines or copies it.
 *
 * A reader sees one commit from open to close, beside a live master too, and writes nothing into
 * the file. A file of an older version is examined as a migrated temporary copy. One thread uses
 * a reader at a time.
 */
#ifndef HD_READER_H
#define HD_READER_H

#include <hd/store.h>

#define HD_READER_DAMAGES_MAX 100 /* findings of one examination; more are not looked for */

struct hd_reader;

/* `path` is a state directory or the file in it. HD_E_NOTFOUND: none, or an empty one;
 * HD_E_CORRUPT, HD_E_VERSION as for hd_store_open_sqlite(); HD_E_IO, HD_E_BUSY: it cannot be read.
 */
HD_NODISCARD enum hd_code hd_reader_open(const char *path, struct hd_reader **ret_reader,
                                         struct hd_err *err);
void hd_reader_close(struct hd_reader *reader);
const char *hd_reader_path(const struct hd_reader *reader); /* of the file */
int64_t hd_reader_version(const struct hd_reader *reader);  /* user_version of the file */

/* What is wrong with the file itself: `check` is "pages" (SQLite's own integrity check), "tables"
 * (a table, index or view is not the one of this version), "references" (a row refers to a row
 * that is not there) or "sequence" (facts are missing or there twice). */
typedef void (*hd_damage_fn)(void *context, const char *check, const char *where, const char *what);
/* An error only when the examination itself could not go on for another reason than damage. */
HD_NODISCARD enum hd_code hd_reader_examine(struct hd_reader *reader, hd_damage_fn each,
                                            void *context, struct hd_err *err);

/* hd_store_load() that tells how far it came: *ret_last_seq is the last fact that `each` took. */
HD_NODISCARD enum hd_code hd_reader_load(struct hd_reader *reader, hd_fact_fn each, void *context,
                                         uint64_t *ret_last_seq, struct hd_err *err);

/* ---- what the views say -----------------------------------------------------------------------
 */

/* A row of v_runs of a store whose facts can be restored; texts live during the call. Numbers that
 * are NULL are NaN or -1. */
struct hd_reader_run {
    int64_t run;
    const char *run_id, *state, *reason;
    int64_t configs, jobs, jobs_closed, jobs_ok;
    int64_t incumbent_job; /* of v_incumbents at its highest budget; -1 none. Of a noisy target as
                            * the views of people work it out, with the posterior mean. */
    double incumbent_budget, incumbent_loss;
};
/* A row of v_jobs. */
struct hd_reader_job {
    int64_t run, job, config, attempt, iteration, rung;
    const char *config_id, *state, *outcome, *worker;
    double budget, budget_previous, loss;
};
typedef enum hd_code (*hd_reader_run_fn)(void *context, const struct hd_reader_run *row,
                                         struct hd_err *err);
typedef enum hd_code (*hd_reader_job_fn)(void *context, const struct hd_reader_job *row,
                                         struct hd_err *err);
HD_NODISCARD enum hd_code hd_reader_runs(struct hd_reader *reader, hd_reader_run_fn each,
                                         void *context, struct hd_err *err);
HD_NODISCARD enum hd_code hd_reader_jobs(struct hd_reader *reader, hd_reader_job_fn each,
                                         void *context, struct hd_err *err);

/* ---- copying ----------------------------------------------------------------------------------
 */

/* The reader's commit into a new file (mode 0600) that needs no other beside it, durable on
 * return. HD_E_EXISTS; on failure nothing is left. */
HD_NODISCARD enum hd_code hd_reader_copy(struct hd_reader *reader, const char *to,
                                         struct hd_err *err);

#endif
