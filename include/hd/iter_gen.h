/* SPDX-License-Identifier: Apache-2.0 */
/*
 * iter_gen.h: iteration generators: which brackets, rungs and promotions. Pure and deterministic.
 *
 * A generator is asked what to do next and told, by the facts, what was done. hd_iter_gen_next()
 * only looks; hd_iter_gen_queued() and hd_iter_gen_ended() change state. Replaying the facts
 * therefore gives the same generator. The words are HpBandSter's and UltraOpt's: config id =
 * (iteration, budget index at which the config was sampled, running index).
 */
#ifndef HD_ITER_GEN_H
#define HD_ITER_GEN_H

#include <hd/base.h>
#include <hd/value.h>

#define HD_RUNGS_MAX 64
#define HD_RUNG_CONFIGS_MAX 10000000u

struct hd_config_id {
    uint32_t iteration;
    uint32_t budget_index; /* the rung at which it was sampled */
    uint32_t running_index;
};

enum hd_bracket_rule {
    HD_BRACKET_RULE_HPBANDSTER, /* n0 = floor(S/(s+1)) * eta^s */
    HD_BRACKET_RULE_PAPER,      /* n0 = ceil(S/(s+1) * eta^s) (Li et al. 2018) */
};

/* All kinds below in one struct; a kind ignores what it does not need. */
struct hd_iter_gen_spec {
    char name[32]; /* "full", "successive_halving", "hyperband" */
    double eta;    /* >= 2 */
    double budget_min, budget_max;
    enum hd_bracket_rule rule;
    uint32_t iterations_max; /* 0: without end. For full, one iteration = one config. */
};

/* One bracket = one iteration: counts[k] configs run at budgets[k]. */
struct hd_bracket_plan {
    uint32_t rung_count;
    uint32_t counts[HD_RUNGS_MAX];
    double budgets[HD_RUNGS_MAX];
};

const char *const *hd_iter_gen_names(void);
/* HD_E_INVALID: the name, eta, rule or a budget is wrong; HD_E_LIMIT: more rungs or configs in a
 * rung than the limits above. The functions below want a spec that passed. */
HD_NODISCARD enum hd_code hd_iter_gen_spec_check(const struct hd_iter_gen_spec *spec,
                                                 struct hd_err *err);
/* The plan of iteration number `iteration`: pure arithmetic with integers where it matters
 * (int(n0*eta^-i) is computed exactly for integer eta). Golden values in docs/optimizers.md. */
void hd_iter_gen_plan(const struct hd_iter_gen_spec *spec, uint32_t iteration,
                      struct hd_bracket_plan *ret_plan);
/* After how many iterations the plans repeat (hyperband: the number of brackets; else 1). */
uint32_t hd_iter_gen_cycle(const struct hd_iter_gen_spec *spec);

struct hd_iter_gen;
HD_NODISCARD enum hd_code hd_iter_gen_new(const struct hd_iter_gen_spec *spec,
                                          struct hd_iter_gen **ret_gen, struct hd_err *err);
void hd_iter_gen_free(struct hd_iter_gen *gen);

enum hd_slot_kind {
    HD_SLOT_NEW,     /* sample a config: it gets `id` and runs at rung `rung` */
    HD_SLOT_PROMOTE, /* run config `config_number` at rung `rung` */
    HD_SLOT_WAIT,    /* nothing until a result comes */
    HD_SLOT_DONE,    /* all iterations finished, or exhausted by hd_iter_gen_close() */
};
struct hd_slot {
    enum hd_slot_kind kind;
    struct hd_config_id id; /* of the config to sample or to promote */
    uint32_t config_number; /* PROMOTE */
    uint32_t iteration;
    uint32_t rung;
    double budget;
    double budget_previous; /* PROMOTE: the budget it comes from; NaN for NEW */
    uint32_t new_count;     /* NEW and PROMOTE: how many new configs could be handed out from now
                             * on without a result, this one included; with may_open those of
                             * the iterations not opened yet too; UINT32_MAX: at least so many */
};

/* Memory for one more call of queued(); the only fallible state change. */
HD_NODISCARD enum hd_code hd_iter_gen_reserve(struct hd_iter_gen *gen, struct hd_err *err);
/* The oldest iteration that has something to hand out wins; when all wait and may_open, the
 * next iteration is considered. In a rung the promoted come first, the best of them leading.
 * Looks only: calling it twice gives the same answer. O(open iterations). */
void hd_iter_gen_next(const struct hd_iter_gen *gen, bool may_open, struct hd_slot *ret_slot);
/* The slot was taken (its fact exists). config_number: the number of the config that runs. The
 * slot must be what next(may_open=true or false) answers now; hd_assert otherwise. Cannot fail
 * after reserve(). */
void hd_iter_gen_queued(struct hd_iter_gen *gen, const struct hd_slot *slot,
                        uint32_t config_number);
/* A job of the generator ended for good. ok with a finite loss takes part in the ranking (ties
 * by config id); anything else never advances, and each slot of the next rung that no survivor
 * fills is handed out as HD_SLOT_NEW at that rung, with the reference's ids
 * (iteration, rung, running index counted after the promoted ones). */
void hd_iter_gen_ended(struct hd_iter_gen *gen, uint32_t iteration, uint32_t rung,
                       uint32_t config_number, bool ok, double loss);
/* Nothing more is handed out (a stop rule was reached): next() answers DONE from now on, and the
 * generator is finished when the running jobs have ended. */
void hd_iter_gen_close(struct hd_iter_gen *gen);
/* The milder end: no further new configs, but what exists is still promoted; a rung that wanted
 * more configs goes on with those it has. close() may follow. */
void hd_iter_gen_close_new(struct hd_iter_gen *gen);
bool hd_iter_gen_finished(const struct hd_iter_gen *gen); /* nothing running, nothing to come */
/* Over everything that decides the future: equal after the same calls of queued(), ended() and
 * close*(). O(configs in the current rungs of the open iterations). */
uint64_t hd_iter_gen_digest(const struct hd_iter_gen *gen);

#endif
