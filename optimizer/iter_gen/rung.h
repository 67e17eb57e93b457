/* SPDX-License-Identifier: Apache-2.0 */
/*
 * rung.h: the results of one rung with what promotion asks of them, in O(log results) an addition.
 *
 * Three heaps stand over the results: the best `quota` of them (worst on top), the rest (best on
 * top) and those not promoted yet (best on top). So whether the best open result is among the best
 * `quota` is a flag. Ties break by config number. Failures are counted and never ranked.
 *
 * Of results with several losses or constraints the order changes with each new one: in place of
 * heaps they lie in fronts (fronts.h), and the flag is that of the best open result alone.
 */
#ifndef HD_ITER_GEN_RUNG_H
#define HD_ITER_GEN_RUNG_H

#include "fronts.h"

#define HD_RUNG_NONE UINT32_MAX

enum hd_rung_heap { HD_RUNG_TOP, HD_RUNG_REST, HD_RUNG_OPEN, HD_RUNG_HEAPS };

struct hd_rung_result {
    double loss; /* the first one */
    uint32_t config_number;
    uint32_t below;               /* of the same config: index in the rung before, or NONE */
    bool in_top;                  /* one of the best `quota` */
    uint32_t heap[HD_RUNG_HEAPS]; /* place i of each heap: they lie here to share one allocation */
};

struct hd_rung {
    struct hd_rung_result *results; /* in the order of their coming */
    uint32_t count, capacity;
    uint32_t failed_count;
    uint32_t promoted_count;
    uint32_t size[HD_RUNG_HEAPS];
    bool has_fronts;
    struct hd_fronts fronts; /* where results have several losses or constraints */
    uint32_t quota;          /* there */
};

/* Of a zeroed struct, before all else. 0 objectives: one. */
void hd_rung_init(struct hd_rung *rung, uint32_t objective_count, bool constrained);

HD_NODISCARD enum hd_code hd_rung_reserve(struct hd_rung *rung, uint32_t capacity,
                                          struct hd_err *err);
void hd_rung_release(struct hd_rung *rung);
/* After reserve. The index of the new result. */
uint32_t hd_rung_add(struct hd_rung *rung, uint32_t config_number, const struct hd_score *score,
                     uint32_t below);
/* Quotas never shrink. */
void hd_rung_set_quota(struct hd_rung *rung, uint32_t quota);
/* The best result not promoted yet, or NULL. */
const struct hd_rung_result *hd_rung_best_open(const struct hd_rung *rung);
/* That one goes on. */
void hd_rung_promote_best(struct hd_rung *rung);

#endif
