/* SPDX-License-Identifier: Apache-2.0 */
/* store.c: what all stores share: the check of what is appended. */
#include "impl.h"
#include "rows.h"

void hd_store_close(struct hd_store *store)
{
    if (store != NULL)
        store->ops->close(store);
}

enum hd_code hd_store_append(struct hd_store *store, const struct hd_fact *facts, size_t fact_count,
                             struct hd_err *err)
{
    for (size_t i = 0; i < fact_count; i++) {
        enum hd_code code = hd_fact_check(&facts[i], store->last_seq + i, err);
        if (code != HD_OK)
            return code;
    }
    if (fact_count == 0)
        return HD_OK;
    enum hd_code code = store->ops->append(store, facts, fact_count, err);
    if (code == HD_OK)
        store->last_seq += fact_count;
    return code;
}

enum hd_code hd_store_load(struct hd_store *store, hd_fact_fn each, void *context,
                           struct hd_err *err)
{
    return store->ops->load(store, each, context, err);
}

uint64_t hd_store_last_seq(const struct hd_store *store)
{
    return store->last_seq;
}
