/* SPDX-License-Identifier: Apache-2.0 */
/*
 * journal.h: what a worker must remember over its own death: each attempt from before its start
 * until the master has acknowledged its result. Two small files an attempt, written whole:
 * <name>.attempt before the engine is told to start it, <name>.result before the agent is told
 * that it ended; and one more, <name>.begun, when the engine says that its target runs.
 */
#ifndef HD_JOURNAL_H
#define HD_JOURNAL_H

#include "contract.h"

#define HD_JOURNAL_FILE_MAX (2u * 1024u * 1024u)

struct hd_journal_attempt {
    struct hd_attempt_ref attempt;
    const char *master; /* the master id that leased it */
    const char *engine; /* "docker", "podman", "process", "" when none was found */
    const char *run_id;
    const char *config_id;
    const char *run_dir, *work_dir;
    const char *directory; /* "" none */
    enum hd_start start;
    double budget;
    const char *gpus; /* that it was given, with commas; "" none */
    bool begun;       /* only read: see hd_journal_note_begun() */
    bool warm;        /* its target stays after it, and ends with the worker */
    const char *experiment_json;
};

HD_NODISCARD enum hd_code hd_journal_keep_attempt(const char *directory,
                                                  const struct hd_journal_attempt *attempt,
                                                  struct hd_err *err);
/* sync: it survives a power cut too. Without it, the target's work is then done again, as it is
 * when the power goes a moment earlier: for what takes milliseconds that is the cheaper way. */
HD_NODISCARD enum hd_code hd_journal_keep_result(const char *directory,
                                                 const struct hd_result *result, bool sync,
                                                 struct hd_err *err);
/* Its target ran, so that what is in its directory is of worth; `warm`: in a target that stays,
 * which was not known before. Not remembered when that fails. */
void hd_journal_note_begun(const char *directory, struct hd_attempt_ref attempt, bool warm);
/* All files, and it is fine when they are not there. */
void hd_journal_forget(const char *directory, struct hd_attempt_ref attempt);

/* The attempts that are kept, at most max. Makes the directory. */
HD_NODISCARD enum hd_code hd_journal_list(const char *directory,
                                          struct hd_attempt_ref *ret_attempts, size_t max,
                                          size_t *ret_count, struct hd_err *err);
/* Texts live in the arena. *ret_has_result: the second struct was filled too. */
HD_NODISCARD enum hd_code hd_journal_read(const char *directory, struct hd_attempt_ref attempt,
                                          struct hd_arena *arena,
                                          struct hd_journal_attempt *ret_attempt,
                                          struct hd_result *ret_result, bool *ret_has_result,
                                          struct hd_err *err);

#endif
