/* SPDX-License-Identifier: Apache-2.0 */
/*
 * iter_gen.h: iteration generators: which brackets, rungs, promotions and early stops. Pure and
 * deterministic.
 *
 * A generator is asked what to do next and told, by the facts, what was done. hd_iter_gen_next()
 * only looks; hd_iter_gen_queued(), hd_iter_gen_report() and hd_iter_gen_ended() change state.
 * Replaying the facts therefore gives the same generator. The words are HpBandSter's and
 * UltraOpt's: config id = (iteration, budget index at which the config was sampled, running index).
 *
 * The synchronous kinds (full, successive_halving, hyperband) wait for the whole of a rung before
 * the best of it go on. The asynchronous ones (asha, async_hyperband) decide on what is known: when
 * nothing can be promoted a new config starts, so that no straggler idles a worker.
 */
#ifndef HD_ITER_GEN_H
#define HD_ITER_GEN_H

#include <hd/base.h>
#include <hd/pareto.h>
#include <hd/value.h>

#define HD_RUNGS_MAX 64
#define HD_RUNG_CONFIGS_MAX 10000000u
#define HD_TABLE_BRACKETS_MAX 16
#define HD_TABLE_RUNGS_MAX 16

struct hd_config_id {
    uint32_t iteration;
    uint32_t budget_index; /* the rung at which it was sampled */
    uint32_t running_index;
};

enum hd_bracket_rule {
    HD_BRACKET_RULE_HPBANDSTER, /* n0 = floor(S/(s+1)) * eta^s */
    HD_BRACKET_RULE_PAPER,      /* n0 = ceil(S/(s+1) * eta^s) (Li et al. 2018) */
};

enum hd_asha_type {
    HD_ASHA_TYPE_PROMOTION, /* a job ends at its rung and is resumed when its config is promoted */
    HD_ASHA_TYPE_STOPPING,  /* one job a config, to the top unless a report answers "stop" */
};

/* Which running jobs end early, from what they report on their way; see hd_iter_gen_report(). */
enum hd_stopping_rule {
    HD_STOPPING_RULE_NONE,
    HD_STOPPING_RULE_MEDIAN, /* worse than the median of the others at the same milestone */
    HD_STOPPING_RULE_CURVE,  /* even an optimist does not see it beat the incumbent */
};
struct hd_early_stopping {
    enum hd_stopping_rule rule;
    double grace; /* no stop below this budget; 0: a tenth of budget_max, at least budget_min */
    uint32_t curves_min; /* others that the median needs; 0: 5 */
    double optimism;     /* curve: how many times better than until now it may go on; 0: 1.5 */
};

/* counts[k] configs at budgets[k], rising. */
struct hd_bracket_row {
    uint32_t rung_count;
    uint32_t counts[HD_TABLE_RUNGS_MAX];
    double budgets[HD_TABLE_RUNGS_MAX];
};

/* All kinds below in one struct; a kind ignores what it does not need. Zeros are the defaults. */
struct hd_iter_gen_spec {
    char name[32]; /* "full", "successive_halving", "hyperband", "asha", "async_hyperband" */
    double eta;    /* >= 2 */
    double budget_min, budget_max;
    enum hd_bracket_rule rule;
    /* 0: without end. For full, one iteration = one config; for the asynchronous kinds, as many new
     * configs as the plan of that iteration starts with. */
    uint32_t iterations_max;
    bool budget_integer; /* the rungs of a ladder are rounded to whole numbers */
    /* Own rungs in place of budget_max / eta^k: rising, from budget_min to budget_max. 0: none. */
    uint32_t rung_count;
    double rungs[HD_RUNGS_MAX];
    /* successive_halving, hyperband: own brackets in a cycle, in place of ladder and rule. 0: none.
     */
    uint32_t table_count;
    struct hd_bracket_row table[HD_TABLE_BRACKETS_MAX];
    struct hd_early_stopping early_stopping; /* every kind */

    /* Results have more to them than one loss; a rung is then ranked by hd_pareto_order(). 0: one
     * objective. No early stopping and no stopping type: on their way jobs say one loss only. */
    uint32_t objective_count;
    bool constrained;

    /* asha, async_hyperband */
    enum hd_asha_type type;
    uint32_t brackets; /* bracket s starts at rung s; 0: 1 for asha, all for async_hyperband */
    bool delayed;      /* promotes only while rung k has >= eta times the configs it promoted */
    uint32_t delay_results; /* ... until the next rung has so many results; 0: always */
    /* Promotion type: results that the lowest rung needs before any config of it goes on; each rung
     * above needs the share of them that goes on to it, rounded. 0: no opening. Without effect on a
     * rung that nothing more can come to: no new config, nothing that runs there or below it, and
     * nothing that is about to be promoted to it. While as many jobs run as the lowest rung needs,
     * and that rung has its results, new configs begin two rungs above it (at least three below the
     * top) until the opening there is full. */
    uint32_t opening;
    bool learned_brackets;    /* weights from how well a rung predicts the top one */
    bool raise_uninformative; /* new configs start above a rung that predicts nothing */
    double
        promote_fraction; /* of a rung's results, that goes on; 0: 1/eta, or the ratio of rungs */
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
/* Without barriers: asha and async_hyperband, whose plans are what comes when all goes evenly. */
bool hd_iter_gen_is_asynchronous(const struct hd_iter_gen_spec *spec);

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
/* Synchronous: the oldest iteration that has something to hand out wins; when all wait and
 * may_open, the next iteration is considered. In a rung the promoted come first, the best of them
 * leading. Asynchronous: promotions first, those of the highest rung leading; then, if may_open, a
 * new config. Looks only: calling it twice gives the same answer. O(open iterations) or O(rungs).
 */
void hd_iter_gen_next(const struct hd_iter_gen *gen, bool may_open, struct hd_slot *ret_slot);
/* The slot was taken (its fact exists). config_number: the number of the config that runs; new ones
 * are numbered 0, 1, 2 ... The slot must be what next(may_open=true or false) answers now;
 * hd_assert otherwise. Cannot fail after reserve(). */
void hd_iter_gen_queued(struct hd_iter_gen *gen, const struct hd_slot *slot,
                        uint32_t config_number);
enum hd_decision { HD_DECISION_CONTINUE, HD_DECISION_STOP };
struct hd_report_answer {
    enum hd_decision decision; /* STOP is repeated for every later report of the job */
    bool milestone; /* a rung was reached, or the job is to be stopped by this report: the sampler
                     * is to be told this loss at `budget` */
    double budget;  /* of that rung or, without one, of the last milestone; NaN: none */
};
/*
 * A running job says how it stands: `loss` after `step` (of its budget; smaller than the budget of
 * the job). Steps rise; a repeated or earlier one, as a second attempt makes it, changes nothing
 * and is answered with what was decided. A job that was to be stopped is ended with ok = false,
 * which then counts as neither a success nor a failure of a later rung, also when it was faster and
 * ended well: then runs repeat, however fast a stop travels. O(log configs). No allocation.
 */
void hd_iter_gen_report(struct hd_iter_gen *gen, uint32_t iteration, uint32_t rung,
                        uint32_t config_number, double step, double loss,
                        struct hd_report_answer *ret_answer);
/* A job of the generator ended for good. ok with a finite loss takes part in the ranking (ties
 * by config id); anything else never advances, and each slot of the next rung that no survivor
 * fills is handed out as HD_SLOT_NEW at that rung, with the reference's ids
 * (iteration, rung, running index counted after the promoted ones). Asynchronous kinds: a failed
 * one counts among the results of its rung. O(log configs) there. */
void hd_iter_gen_ended(struct hd_iter_gen *gen, uint32_t iteration, uint32_t rung,
                       uint32_t config_number, bool ok, double loss);
/* The same with all losses and the violation of constraints. */
void hd_iter_gen_ended_score(struct hd_iter_gen *gen, uint32_t iteration, uint32_t rung,
                             uint32_t config_number, bool ok, const struct hd_score *score);
/* A job of the generator that ended without success, and was not to be stopped, runs once more by a
 * person's wish: it counts as running again, until ended() is called for it anew. false: its rung
 * is over, and whatever comes of it the generator does not want to hear. Between the two calls of
 * ended() a reserve() as for queued(). */
bool hd_iter_gen_reopen(struct hd_iter_gen *gen, uint32_t iteration, uint32_t rung,
                        uint32_t config_number);
/* Whether this config, which was handed out, runs or may be handed out by next() again. Once false
 * it stays so whatever comes, unless its failed job is reopened: so an old answer is as good as a
 * new one. Asynchronous kinds: what ended well below the top may always go on. O(log configs). */
bool hd_iter_gen_may_go_on(const struct hd_iter_gen *gen, uint32_t iteration,
                           uint32_t config_number);
/* Nothing more is handed out (a stop rule was reached): next() answers DONE from now on, and the
 * generator is finished when the running jobs have ended. */
void hd_iter_gen_close(struct hd_iter_gen *gen);
/* The milder end: no further new configs, but what exists is still promoted; a rung that wanted
 * more configs goes on with those it has. close() may follow. */
void hd_iter_gen_close_new(struct hd_iter_gen *gen);
/* Takes close_new() back: the open iterations want new configs again where they lack some, and
 * further iterations are opened. Nothing after close(). */
void hd_iter_gen_open_new(struct hd_iter_gen *gen);
/* Another spec.iterations_max from now on; one that is passed already opens nothing more. The next
 * queued() needs a reserve() made after this call and after open_new(). */
void hd_iter_gen_set_iterations(struct hd_iter_gen *gen, uint32_t iterations_max);
bool hd_iter_gen_finished(const struct hd_iter_gen *gen); /* nothing running, nothing to come */
/* Over everything that decides the future: equal after the same calls of queued(), report(),
 * ended(), reopen(), close*(), open_new() and set_iterations(). O(configs in the current rungs of
 * the open iterations), O(1) for asynchronous kinds. */
uint64_t hd_iter_gen_digest(const struct hd_iter_gen *gen);

#endif
