/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kind.h: what the files of this folder share. A kind of iteration generator is a cycle of
 * bracket plans and an engine that turns plans into jobs: synchronous.c waits for whole rungs,
 * asynchronous.c for nothing. The plans are arithmetic: nothing there can fail once the spec has
 * been checked. iter_gen.c holds an engine and, where the spec says so, a rule for early stopping.
 */
#ifndef HD_ITER_GEN_KIND_H
#define HD_ITER_GEN_KIND_H

#include <hd/iter_gen.h>

/* The calls of iter_gen.h, for a checked spec. Of what the header promises, iter_gen.c has checked
 * that a slot given to queued() is the next one. */
struct hd_iter_engine {
    enum hd_code (*make)(const struct hd_iter_gen_spec *spec, void **ret_state, struct hd_err *err);
    void (*destroy)(void *state);
    enum hd_code (*reserve)(void *state, struct hd_err *err);
    void (*next)(const void *state, bool may_open, struct hd_slot *ret_slot);
    void (*queued)(void *state, const struct hd_slot *slot, uint32_t config_number);
    void (*ended)(void *state, uint32_t iteration, uint32_t rung, uint32_t config_number, bool ok,
                  const struct hd_score *score);
    bool (*reopen)(void *state, uint32_t iteration, uint32_t rung, uint32_t config_number);
    bool (*may_go_on)(const void *state, uint32_t iteration, uint32_t config_number);
    /* NULL: intermediate values decide nothing here. */
    void (*report)(void *state, uint32_t config_number, double step, double loss,
                   struct hd_report_answer *ret_answer);
    void (*close)(void *state);
    void (*close_new)(void *state);
    void (*open_new)(void *state);
    void (*set_iterations)(void *state, uint32_t iterations_max);
    bool (*finished)(const void *state);
    uint64_t (*digest)(const void *state, uint64_t hash);
};

extern const struct hd_iter_engine hd_iter_engine_synchronous;
extern const struct hd_iter_engine hd_iter_engine_asynchronous;

struct hd_iter_kind {
    const char *name;
    const struct hd_iter_engine *engine;
    bool uses_ladder; /* eta and budget_min matter */
    /* After how many iterations the plans repeat, 1..HD_RUNGS_MAX. */
    uint32_t (*cycle)(const struct hd_iter_gen_spec *spec);
    void (*plan)(const struct hd_iter_gen_spec *spec, uint32_t iteration,
                 struct hd_bracket_plan *ret_plan);
};

extern const struct hd_iter_kind hd_iter_kind_full;
extern const struct hd_iter_kind hd_iter_kind_successive_halving;
extern const struct hd_iter_kind hd_iter_kind_hyperband;
extern const struct hd_iter_kind hd_iter_kind_asha;
extern const struct hd_iter_kind hd_iter_kind_async_hyperband;

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
/* All rungs of the ladder, rising; ret_budgets[HD_RUNGS_MAX]. The number of them. */
uint32_t hd_ladder_budgets(const struct hd_iter_gen_spec *spec, double *ret_budgets);
/* Which share of the results at this rung goes on to the next. */
double hd_ladder_fraction(const struct hd_iter_gen_spec *spec, uint32_t rung);
/* Asynchronous kinds: bracket s starts new configs at rung s; 1 .. the number of rungs. */
uint32_t hd_asynchronous_brackets(const struct hd_iter_gen_spec *spec);

#endif
