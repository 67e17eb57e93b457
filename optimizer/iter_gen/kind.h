/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kind.h: what the files of this folder share. A kind of iteration generator is a cycle of
 * bracket plans; synchronous.c turns the plans into jobs. All of it is arithmetic: nothing here
 * can fail once the spec has been checked.
 */
#ifndef HD_ITER_GEN_KIND_H
#define HD_ITER_GEN_KIND_H

#include <hd/iter_gen.h>

struct hd_iter_kind {
    const char *name;
    bool uses_ladder; /* eta and budget_min matter */
    /* After how many iterations the plans repeat, 1..HD_RUNGS_MAX. */
    uint32_t (*cycle)(const struct hd_iter_gen_spec *spec);
    void (*plan)(const struct hd_iter_gen_spec *spec, uint32_t iteration,
                 struct hd_bracket_plan *ret_plan);
};

extern const struct hd_iter_kind hd_iter_kind_full;
extern const struct hd_iter_kind hd_iter_kind_successive_halving;
extern const struct hd_iter_kind hd_iter_kind_hyperband;

/* The kind with that name, or NULL. */
const struct hd_iter_kind *hd_iter_kind_find(const char *name);

/* Rungs of the longest bracket: 1 + the largest m with budget_min * eta^m <= budget_max.
 * HD_RUNGS_MAX + 1 when there are more than HD_RUNGS_MAX. */
uint32_t hd_ladder_rungs(const struct hd_iter_gen_spec *spec);
/* Configs at the lowest rung of the bracket with `bracket_rungs` of the ladder's `rungs` rungs, as
 * a double so that the caller can see that it is beyond HD_RUNG_CONFIGS_MAX. */
double hd_ladder_start_count(const struct hd_iter_gen_spec *spec, uint32_t rungs,
                             uint32_t bracket_rungs);
/* The bracket that uses the top `bracket_rungs` rungs of the ladder. */
void hd_ladder_plan(const struct hd_iter_gen_spec *spec, uint32_t bracket_rungs,
                    struct hd_bracket_plan *ret_plan);

#endif
