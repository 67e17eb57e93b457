/* SPDX-License-Identifier: Apache-2.0 */
/*
 * preset.h: the estimators of other systems, rebuilt from their descriptions: what tpe does instead
 * of parzen.h when its setting `preset` names one. Private to optimizer/sampler.
 *
 * Each of them is a split into good and bad, weights, a rule of bandwidths (mixture.h) and a way to
 * make candidates. What every sampler here does holds for them too, and differs from the originals:
 * no config is proposed twice, conditions are honoured jointly (but for hyperopt), draws that meet
 * a forbidden clause are repeated, and of more than HD_PRESET_BAD_MAX bad results a stratified
 * sample stands for all.
 */
#ifndef HD_PRESET_H
#define HD_PRESET_H

#include "mixture.h"

#define HD_PRESET_BAD_MAX 1024u
#define HD_PRESET_PENDING_MAX 256u

enum hd_preset_kind {
    HD_PRESET_DEFAULT, /* parzen.h */
    HD_PRESET_OPTUNA,
    HD_PRESET_HYPEROPT,
    HD_PRESET_WATANABE,
    HD_PRESET_BOHB,
    HD_PRESET_ETPE,
    HD_PRESET_COUNT,
};
extern const char *const hd_preset_names[HD_PRESET_COUNT + 1];

/* What a user may change; the preset has set it. */
struct hd_preset_settings {
    enum hd_preset_kind kind;
    double n_startup; /* results that a budget needs before it has a model */
    double n_candidates;
    double random_fraction;
    double gamma, gamma_max; /* see preset.c for how a preset counts with them */
    double prior_weight;
    double bandwidth_min;    /* watanabe, bohb */
    double bandwidth_factor; /* of draws: bohb; etpe begins with it */
};
void hd_preset_defaults(enum hd_preset_kind kind, size_t dimension,
                        struct hd_preset_settings *ret_settings);

struct hd_preset {
    const struct hd_history *history; /* borrowed */
    struct hd_preset_settings settings;
    struct hd_axis *axes;
    struct hd_mixture good, bad;
    struct hd_mixture_item *items; /* scratch */
    double factor;                 /* of the draws of this model */
};

HD_NODISCARD enum hd_code hd_preset_init(struct hd_preset *preset,
                                         const struct hd_preset_settings *settings,
                                         const struct hd_history *history, struct hd_err *err);
void hd_preset_release(struct hd_preset *preset); /* also of a zeroed struct */
/* The rung has at least n_startup results, two of them finite. */
HD_NODISCARD enum hd_code hd_preset_build(struct hd_preset *preset,
                                          const struct hd_history_rung *rung, struct hd_err *err);
/* See hd_parzen_draw and hd_parzen_score. Of hyperopt a draw is the best of n_candidates already,
 * coordinate by coordinate, and all scores are 0. */
void hd_preset_draw(const struct hd_preset *preset, struct hd_rng *rng, double *ret_point);
double hd_preset_score(const struct hd_preset *preset, const float *point);

#endif
