/* SPDX-License-Identifier: Apache-2.0 */
/*
 * mounts.h: what of this machine a target sees beyond its own files: the experiment's data, named
 * data sets and volumes, found, judged by the policy, with all links resolved.
 */
#ifndef HD_MOUNTS_H
#define HD_MOUNTS_H

#include "policy.h"

#include <hd/engine.h>

#define HD_MOUNTS_MAX (HD_DATA_SETS_MAX + HD_VOLUMES_MAX)

struct hd_found_mount {
    char *source;     /* a path of this machine */
    const char *data; /* name of the data set; NULL: a volume of the experiment's own */
    const char *at;   /* where a volume appears in a container; NULL: below /data */
    bool read_only;
};

struct hd_mounts {
    char *data_dir; /* of target.data that is a path; NULL none */
    struct hd_found_mount items[HD_MOUNTS_MAX];
    size_t count;
};

/* given: "NAME=PATH". Texts of the target are borrowed. HD_E_INVALID: the experiment cannot run
 * here; HD_E_UNSUPPORTED: the policy refuses it; HD_E_NOTFOUND: this worker has no such data. */
HD_NODISCARD enum hd_code hd_mounts_find(const struct hd_target *target,
                                         const struct hd_text_list *given,
                                         const struct hd_policy *policy,
                                         struct hd_mounts *ret_mounts, struct hd_err *err);
void hd_mounts_release(struct hd_mounts *mounts);

/* A directory or, unless `directory`, a file: nothing else is data. HD_E_INVALID, HD_E_IO; `key` is
 * whose path it is. */
HD_NODISCARD enum hd_code hd_mounts_check_kind(const char *key, const char *path, bool directory,
                                               struct hd_err *err);
/* Checks "NAME=PATH" texts and gathers the names of those whose directory is there, with commas;
 * the others are told in the log. ret_names: HD_DATA_NAMES_MAX bytes. */
HD_NODISCARD enum hd_code hd_mounts_names(const struct hd_text_list *given, char *ret_names,
                                          struct hd_err *err);

#endif
