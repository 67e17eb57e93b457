/* SPDX-License-Identifier: Apache-2.0 */
/* experiment.h: an experiment under construction: the tree that a file would give. */
#ifndef LIBRARY_EXPERIMENT_H
#define LIBRARY_EXPERIMENT_H

#include <hd/experiment.h>

#include <hyperdock.h>

struct hyperdock_experiment {
    struct hd_value *root; /* an object; NULL: empty */
    char *file_name;       /* for messages; NULL: built by calls */
    char *base_dir;        /* of the file; NULL: none */
    bool has_seed;         /* given by a call: it wins over the tree's */
    uint64_t seed;
    struct hd_buf text; /* what was handed out last */
    struct hd_err err;
};

/* Checked, with defaults; the caller frees it. */
HD_NODISCARD enum hd_code experiment_finish(struct hyperdock_experiment *experiment,
                                            struct hd_experiment **ret_checked, struct hd_err *err);

#endif
