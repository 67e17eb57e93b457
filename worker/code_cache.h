/* SPDX-License-Identifier: Apache-2.0 */
/*
 * code_cache.h: the code of runs on this machine, unpacked once below the work root, and fetched by
 * a thread of its own since that may take a while.
 *
 *   <root>/.hyperdock-code/<hash>/  for reading only; its time is that of its last use
 *   <root>/.hyperdock-code/<hash>.<worker>.tar  on its way
 *
 * Workers with one root share what is there. What nobody used for HD_CODE_KEPT_DAYS goes.
 */
#ifndef HD_CODE_CACHE_H
#define HD_CODE_CACHE_H

#include "contract.h"
#include "fetch.h"

#define HD_CODE_WANTED_MAX 64 /* at the same time */
#define HD_CODE_KEPT_DAYS 30

/* What the thread pushes on the queue; hd_free() it. */
struct hd_code_news {
    char hash[HD_CODE_HASH_SIZE];
    bool ended;  /* otherwise only how far it is */
    int percent; /* of the transfer */
    enum hd_code code;
    struct hd_err err;
};

struct hd_code_cache;
/* All borrowed. */
HD_NODISCARD enum hd_code hd_code_cache_open(const struct hd_root *root, const char *worker,
                                             struct hd_fetch *fetch, struct hd_queue *queue,
                                             struct hd_code_cache **ret_cache, struct hd_err *err);
/* Waits for the thread, which is interrupted. */
void hd_code_cache_close(struct hd_code_cache *cache);
/* Whether it is there; it counts as used now. ret_path: HD_PATH_MAX bytes. */
bool hd_code_cache_find(struct hd_code_cache *cache, const char *hash, char *ret_path);
/* Has it fetched from that master; one that is under way already is not fetched twice. News follow,
 * one of them ended. HD_E_LIMIT: too many at once. */
HD_NODISCARD enum hd_code hd_code_cache_want(struct hd_code_cache *cache, const char *hash,
                                             const char *address, const char *run_id,
                                             struct hd_err *err);

#endif
