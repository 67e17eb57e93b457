/* SPDX-License-Identifier: Apache-2.0 */
/* impl.h: what an implementation of a store provides. One thread uses a store at a time. */
#ifndef HD_STORE_IMPL_H
#define HD_STORE_IMPL_H

#include <hd/store.h>

struct hd_store_ops {
    void (*close)(struct hd_store *store);
    /* fact_count > 0 and every fact has passed hd_fact_check(). All or nothing. */
    enum hd_code (*append)(struct hd_store *store, const struct hd_fact *facts, size_t fact_count,
                           struct hd_err *err);
    enum hd_code (*load)(struct hd_store *store, hd_fact_fn each, void *context,
                         struct hd_err *err);
};

/* The first member of every implementation. */
struct hd_store {
    const struct hd_store_ops *ops;
    uint64_t last_seq; /* kept by store.c after open */
};

#endif
