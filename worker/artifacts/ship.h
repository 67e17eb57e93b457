/* SPDX-License-Identifier: Apache-2.0 */
/* ship.h: one attempt's files into a store, and out of it. Waits for the store. Private. */
#ifndef HD_ARTIFACTS_SHIP_H
#define HD_ARTIFACTS_SHIP_H

#include "item.h"

struct hd_ship {
    struct hd_artifact_store *store;
    const char *url;
    const char *directory; /* of the queue */
    uint64_t bytes_max;    /* of an attempt */
    int64_t now_wall_ms;
};
struct hd_ship_sum {
    size_t files;
    uint64_t bytes;
    uint64_t left_out;
    char message[256]; /* about the first that was left out; "" none */
};
/* While the target works: what it has closed and not touched for HD_SHIP_QUIET_MS. */
#define HD_SHIP_QUIET_MS 10000
HD_NODISCARD enum hd_code hd_ship_closed(const struct hd_ship *ship, const struct hd_item *item,
                                         struct hd_err *err);
/* After its end: all of it, then the manifest. What the directory has lost goes from the store.
 * HD_E_CORRUPT: the directory is gone, there is nothing to ship. */
HD_NODISCARD enum hd_code hd_ship_all(const struct hd_ship *ship, const struct hd_item *item,
                                      struct hd_ship_sum *ret_sum, struct hd_err *err);
/* The manifest first. */
HD_NODISCARD enum hd_code hd_ship_remove(const struct hd_ship *ship, const struct hd_item *item,
                                         struct hd_err *err);
/* <run_dir>.artifacts; a failure is nobody's concern but that reader's. */
void hd_ship_tell(const struct hd_item *item, const char *state, const char *url,
                  const struct hd_ship_sum *sum, const char *message);

#endif
