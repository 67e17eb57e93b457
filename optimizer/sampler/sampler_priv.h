/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sampler_priv.h: the interface that each sampler fills in. sampler.c owns the history and the
 * common refusals; a sampler adds settings and suggest().
 */
#ifndef HD_SAMPLER_PRIV_H
#define HD_SAMPLER_PRIV_H

#include <hd/sampler.h>

#include "history.h"
#include "scalar.h"

struct hd_sampler_ops {
    const char *name;
    size_t size;         /* of the sampler's struct, which begins with struct hd_sampler */
    enum hd_scale scale; /* what the losses in the history are made of several ones by */
    bool light;          /* see hd_sampler_is_light() */
    /* Reads the settings and prepares; the struct is zeroed but for the base. May be NULL when
     * the sampler has no settings (any key is refused then). */
    enum hd_code (*prepare)(struct hd_sampler *sampler, const struct hd_value *settings,
                            struct hd_err *err);
    /* Also of a half-prepared sampler. May be NULL. */
    void (*release)(struct hd_sampler *sampler);
    /* See hd_sampler_credit(). May be NULL. */
    enum hd_code (*credit)(struct hd_sampler *sampler, uint32_t config_number, const char *name,
                           struct hd_err *err);
    /* The space has a config left (checked). ret_info is filled with the name and no model. */
    enum hd_code (*suggest)(struct hd_sampler *sampler, uint32_t config_number, double budget,
                            double *ret_values, struct hd_proposal_info *ret_info,
                            struct hd_err *err);
};

struct hd_sampler {
    const struct hd_sampler_ops *ops;
    const struct hd_space *space;
    uint64_t seed;
    struct hd_history *history; /* shared by a portfolio and its arms */
    bool owns_history;
    double *initial; /* [initial_count][param_count] */
    size_t initial_count;
    /* Configs with known results come first in the history: numbers there are this much higher
     * than the caller's. 0 in the arms of a portfolio, which are given numbers of the history. */
    uint32_t known_count;
};

extern const struct hd_sampler_ops hd_sampler_random_ops;
extern const struct hd_sampler_ops hd_sampler_sobol_ops;
extern const struct hd_sampler_ops hd_sampler_tpe_ops;
extern const struct hd_sampler_ops hd_sampler_de_ops;
extern const struct hd_sampler_ops hd_sampler_nsga2_ops;
extern const struct hd_sampler_ops hd_sampler_cmaes_ops;
extern const struct hd_sampler_ops hd_sampler_gp_ops;
extern const struct hd_sampler_ops hd_sampler_forest_ops;
extern const struct hd_sampler_ops hd_sampler_cqr_ops;
extern const struct hd_sampler_ops hd_sampler_grid_ops;
extern const struct hd_sampler_ops hd_sampler_auto_ops;
extern const struct hd_sampler_ops hd_sampler_priorband_ops;

/* A sampler over the history of another one (a portfolio's arm): it never adds or tells, its caller
 * has done so. */
HD_NODISCARD enum hd_code hd_sampler_new_arm(const struct hd_sampler_spec *spec,
                                             struct hd_history *history,
                                             struct hd_sampler **ret_sampler, struct hd_err *err);

/* Asks an arm: sets the scale that it wants, then calls its suggest(). */
HD_NODISCARD enum hd_code hd_sampler_ask_arm(struct hd_sampler *arm, uint32_t config_number,
                                             double budget, double *ret_values,
                                             struct hd_proposal_info *ret_info, struct hd_err *err);

/* One setting of a sampler: a number, or (value NULL) something that the sampler reads by itself.
 */
struct hd_setting {
    const char *name;
    double low, high; /* inclusive */
    bool whole;
    double *value; /* holds the default; overwritten when given */
};
/* Reads an object (or NULL) against a table: unknown keys but `name` are refused with the nearest
 * known one, numbers are checked. */
HD_NODISCARD enum hd_code hd_settings_read(const char *sampler_name,
                                           const struct hd_value *settings,
                                           const struct hd_setting *table, size_t count,
                                           struct hd_err *err);
/* Reads one setting that is a name out of choices (NULL-terminated), before or after
 * hd_settings_read(), whose table lists it with value NULL. Not given: *choice stays. */
HD_NODISCARD enum hd_code hd_settings_choice(const struct hd_value *settings, const char *name,
                                             const char *const *choices, size_t *choice,
                                             struct hd_err *err);
/* The Sobol point of this config, or a random unused config when that one is used; ret_info says
 * which. */
HD_NODISCARD enum hd_code hd_suggest_sobol(const struct hd_history *history,
                                           const struct hd_sobol *sobol, struct hd_rng *rng,
                                           uint32_t config_number, double *ret_values,
                                           struct hd_proposal_info *ret_info, struct hd_err *err);

#endif
