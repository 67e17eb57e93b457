/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fsck.h: is a checkpoint whole, and does restoring it give what it says? And copies of it.
 *
 * A check looks at the file (pages, tables, references, the sequence of facts), folds all facts
 * with the code by which a master restores, and compares what comes out with the views that
 * people read. Nothing is written. What it cannot see: a changed byte inside a text that nothing
 * else depends on (a message, a worker's name in an ended attempt); pages carry no checksums.
 */
#ifndef HD_FSCK_H
#define HD_FSCK_H

#include <hd/reader.h>

#define HD_FSCK_FINDINGS_MAX HD_READER_DAMAGES_MAX

struct hd_fsck_finding {
    char check[16];  /* of hd_fsck_checks() */
    char where[160]; /* "table attempts, seq 17" */
    char what[512];
};

struct hd_fsck_report {
    char path[4096];
    int64_t version;      /* of the file's tables */
    uint64_t file_bytes;  /* without its write-ahead log */
    uint64_t facts_good;  /* so many from the beginning make a state that a master can restore */
    int64_t good_wall_ms; /* when the last of them happened; 0 none */
    bool replayed;        /* all facts were folded */
    bool compared;        /* and what came out was compared with the views */
    uint32_t runs, configs, jobs; /* of the state that was restored */
    uint64_t digest;              /* hd_core_digest() of it */
    size_t finding_count;         /* 0: whole */
    size_t findings_left_out;
    struct hd_fsck_finding findings[HD_FSCK_FINDINGS_MAX];
};

/* The checks in their order, NULL-terminated: "pages", "tables", "references", "sequence",
 * "replay", "params", "views". */
const char *const *hd_fsck_checks(void);
/* What a person should do about a finding of this check; one sentence. */
const char *hd_fsck_advice(const char *check);

/* `path` is a state directory or a file; run_id NULL: all runs are compared, else this one (all
 * facts are folded even so: runs share one sequence). HD_OK whether or not something was found.
 * HD_E_NOTFOUND: no such file or run; HD_E_VERSION: written by a newer version; others: it could
 * not be examined. A file that SQLite cannot even open is a finding, not an error. */
HD_NODISCARD enum hd_code hd_fsck(const char *path, const char *run_id,
                                  struct hd_fsck_report *ret_report, struct hd_err *err);

/*
 * Copies a store, beside a live master too, into `to`: a file, or a directory in which it becomes
 * a state directory's file. The copy is examined by hd_fsck() and appears under its name whole,
 * durable and only if nothing was found. HD_E_EXISTS: there is a file and not `replace`;
 * HD_E_CORRUPT: something was found, see ret_report->findings (of the copy).
 */
HD_NODISCARD enum hd_code hd_backup(const char *path, const char *to, bool replace,
                                    struct hd_fsck_report *ret_report, struct hd_err *err);

/* Writes the facts_good first facts of a store into a new file `to`, which a master can resume. */
HD_NODISCARD enum hd_code hd_salvage(const char *path, const char *to, uint64_t *ret_fact_count,
                                     struct hd_err *err);

#endif
