/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sampler.h: what proposes configs. Pure: no clock, no I/O; randomness is forked from
 * (run seed, config number), so a proposal depends only on (seed, config number, history).
 *
 * A sampler is told of every config that exists (pending from then on) and of every result, in
 * the order of the facts, and is asked for one config at a time. One thread uses it at a time.
 * The history's cost is linear in memory; suggest does not slow down with it (see
 * docs/optimizers.md).
 */
#ifndef HD_SAMPLER_H
#define HD_SAMPLER_H

#include <hd/pareto.h>
#include <hd/space.h>

#define HD_SAMPLER_NAME_MAX 32

/*
 * Results that are known before the first config: of an earlier run, or given by hand (known.h). A
 * sampler learns from them as if they had been told to it; they are no configs of this run, which
 * may propose the same ones again.
 */
#define HD_KNOWN_RESULTS_MAX 2000u
struct hd_known_result {
    uint32_t config;       /* index */
    double budget;         /* finite, above 0 */
    struct hd_score score; /* not finite: it failed */
};
struct hd_known {
    double *values; /* [config_count][param_count]: legal, different configs */
    uint32_t config_count;
    struct hd_known_result *results; /* in order of config; each config has one, at each budget at
                                        most one */
    uint32_t result_count;
};

/* Settings as the experiment file gives them: {name: tpe, preset: ..., ...}; each sampler
 * validates its own keys. */
struct hd_sampler_spec {
    const char *name;
    const struct hd_value *settings; /* object or NULL; borrowed during creation only */
    uint64_t seed;
    /* Whole configs to be proposed first: config number i gets the i-th, unless an equal one exists
     * already. [initial_count][param_count], legal; copied. */
    const double *initial;
    size_t initial_count;
    /* Results have more than one loss, or say whether they are feasible: see
     * hd_sampler_tell_score(). 0 objectives: one. */
    uint32_t objective_count;
    bool constrained;
    const struct hd_known *known; /* NULL: nothing; copied */
};
#define HD_INITIAL_MAX 10000

/* What a proposal says of itself; becomes config_info. */
struct hd_proposal_info {
    char sampler[HD_SAMPLER_NAME_MAX]; /* "tpe", "random", "sobol", "initial" */
    bool model;                        /* a model chose it */
    double model_budget;               /* the budget the model was built on; NaN without */
    uint32_t model_count;              /* observations in it */
};

struct hd_sampler;

/* The names that hd_sampler_new knows, NULL-terminated. */
const char *const *hd_sampler_names(void);
/* `space` is borrowed and outlives the sampler. */
HD_NODISCARD enum hd_code hd_sampler_new(const struct hd_sampler_spec *spec,
                                         const struct hd_space *space,
                                         struct hd_sampler **ret_sampler, struct hd_err *err);
void hd_sampler_free(struct hd_sampler *sampler);
/* A proposal is little more than a draw, whatever the history holds: not worth a thread. */
bool hd_sampler_is_light(const struct hd_sampler *sampler);

/* A config exists (whoever proposed it). Numbers rise by one from 0; values are copied and must be
 * legal. */
HD_NODISCARD enum hd_code hd_sampler_add(struct hd_sampler *sampler, uint32_t config_number,
                                         const double *values, struct hd_err *err);
/* The sampler named in the config's hd_proposal_info: a portfolio learns from it which of its arms
 * does well. Just before the config's add(); others ignore it. */
HD_NODISCARD enum hd_code hd_sampler_credit(struct hd_sampler *sampler, uint32_t config_number,
                                            const char *name, struct hd_err *err);
/* A job of that config ended for good. loss NaN or infinite: failed or diverged: counts as
 * among the worst, never breaks the model. A later result at the same budget replaces. */
HD_NODISCARD enum hd_code hd_sampler_tell(struct hd_sampler *sampler, uint32_t config_number,
                                          double budget, double loss, struct hd_err *err);
/*
 * The same with all losses of the spec and the violation of the constraints; a score that is not
 * finite is a failure. What a sampler makes of several losses is said in docs/optimizers.md; under
 * every sampler an infeasible config is worse than a feasible one, and the worse the more it
 * violates.
 */
HD_NODISCARD enum hd_code hd_sampler_tell_score(struct hd_sampler *sampler, uint32_t config_number,
                                                double budget, const struct hd_score *score,
                                                struct hd_err *err);
/* Proposes a config for number config_number (which has not been added yet) to run at `budget`.
 * Never returns a config equal to an added one while an unused one can be found. HD_E_LIMIT:
 * a finite space (grid) has no unused config left. Changes nothing that a later answer shows:
 * asking twice gives the same config. ret_info may be NULL. */
HD_NODISCARD enum hd_code hd_sampler_suggest(struct hd_sampler *sampler, uint32_t config_number,
                                             double budget, double *ret_values,
                                             struct hd_proposal_info *ret_info, struct hd_err *err);

/*
 * Scrambled Sobol points (Sobol 1967; nested uniform scrambling: Owen 1995), addressed by index.
 * Of each aligned block of 2^k indexes every dimension puts exactly one point into each of the 2^k
 * equal parts of [0, 1). Direction numbers are our own: primitive polynomials are searched when the
 * object is made, first numbers are chosen for even two-dimensional projections.
 */
struct hd_sobol;
#define HD_SOBOL_DIMENSION_MAX HD_SPACE_PARAMS_MAX
HD_NODISCARD enum hd_code hd_sobol_new(uint64_t seed, size_t dimension, struct hd_sobol **ret_sobol,
                                       struct hd_err *err);
void hd_sobol_free(struct hd_sobol *sobol);
/* cube[dimension], each in [0, 1). */
void hd_sobol_point(const struct hd_sobol *sobol, uint32_t index, double *ret_cube);

#endif
