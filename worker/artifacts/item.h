/* SPDX-License-Identifier: Apache-2.0 */
/*
 * item.h: what a worker remembers of an attempt's files over its own death. Two files an attempt in
 * the queue's directory: <name>.item, written whole, says what it is and what is to become of it;
 * <name>.shipped grows by a line for each file, and each part of a file, that is in the store. A
 * line that was lost or cut costs a transfer, never a file. Private to this room.
 */
#ifndef HD_ARTIFACTS_ITEM_H
#define HD_ARTIFACTS_ITEM_H

#include "walk.h"

#include <hd/pki.h>

#define HD_ITEM_BYTES_MAX 131072u
#define HD_SHIPPED_BYTES_MAX (32u * 1024u * 1024u)

enum hd_item_state {
    HD_ITEM_RUNNING,  /* the target works */
    HD_ITEM_ENDED,    /* its result counts: to be shipped */
    HD_ITEM_KEPT,     /* shipped, and removed once others are better */
    HD_ITEM_REMOVING, /* to be removed from the store */
    HD_ITEM_STATE_COUNT
};

struct hd_item {
    enum hd_item_state state;
    struct hd_attempt_ref attempt;
    char run_id[HD_ID_MAX + 1];
    char config_id[48];
    char *run_dir;
    struct hd_artifacts_spec spec;
    double budget, loss, violation;
    enum hd_outcome outcome;
    int64_t since_wall_ms; /* of its end; the order in which they are shipped */
    /* Not on disk. */
    bool busy;   /* the thread works on it */
    bool begun;  /* by this process */
    bool doomed; /* forgotten while it was worked on */
    int64_t look_at_ms;
};
void hd_item_free(struct hd_item *item);
HD_NODISCARD enum hd_code hd_item_write(const char *directory, const struct hd_item *item,
                                        struct hd_err *err);
/* From the bytes of a file; `name` for messages. */
HD_NODISCARD enum hd_code hd_item_parse(const char *text, size_t size, const char *name,
                                        struct hd_item **ret_item, struct hd_err *err);
HD_NODISCARD enum hd_code hd_item_read(const char *path, struct hd_item **ret_item,
                                       struct hd_err *err);
/* Both files; it is fine when they are not there. */
void hd_item_erase(const char *directory, struct hd_attempt_ref attempt);
HD_NODISCARD enum hd_code hd_item_path(const char *directory, struct hd_attempt_ref attempt,
                                       const char *suffix, char *ret_path, size_t size,
                                       struct hd_err *err);

/* ---- what is in the store ------------------------------------------------------------------- */

struct hd_shipped_file {
    char *path;
    struct hd_stamp stamp;
    char sha256[HD_SHA256_TEXT_SIZE];
};
struct hd_shipped {
    struct hd_shipped_file *files;
    size_t count, capacity;
    /* An upload in parts that is not finished; upload_id "" none. */
    char *upload_path;
    char upload_id[HD_ARTIFACT_TAG_MAX];
    struct hd_stamp upload_stamp;
    char *intent_path; /* an upload for it may have been begun whose id nobody has; NULL none */
    char (*tags)[HD_ARTIFACT_TAG_MAX];
    uint32_t tag_count, tag_capacity;
    size_t lines; /* of the file */
    size_t hint;  /* where the next search begins */
};
void hd_shipped_release(struct hd_shipped *shipped);
/* Lines that are not understood are passed over; of another place nothing counts. */
void hd_shipped_parse(const char *text, size_t size, const char *url, struct hd_shipped *shipped);
/* A missing file is an empty one. */
HD_NODISCARD enum hd_code hd_shipped_read(const char *path, const char *url,
                                          struct hd_shipped *ret_shipped, struct hd_err *err);
struct hd_shipped_file *hd_shipped_find(struct hd_shipped *shipped, const char *path);
/* These change the struct and the file. */
HD_NODISCARD enum hd_code hd_shipped_add(struct hd_shipped *shipped, const char *path,
                                         const char *file, const struct hd_stamp *stamp,
                                         const char *sha256, struct hd_err *err);
/* An upload for this file is going to be begun; "": there is none but what is written down. Its
 * beginning is that too. */
HD_NODISCARD enum hd_code hd_shipped_intend(struct hd_shipped *shipped, const char *path,
                                            const char *file, struct hd_err *err);
HD_NODISCARD enum hd_code hd_shipped_begin(struct hd_shipped *shipped, const char *path,
                                           const char *file, const struct hd_stamp *stamp,
                                           const char *upload_id, struct hd_err *err);
HD_NODISCARD enum hd_code hd_shipped_part(struct hd_shipped *shipped, const char *path,
                                          const char *tag, struct hd_err *err);
/* Written anew with what holds now, when it has become long; and after a removal. */
HD_NODISCARD enum hd_code hd_shipped_rewrite(struct hd_shipped *shipped, const char *path,
                                             const char *url, struct hd_err *err);

#endif
