/* SPDX-License-Identifier: Apache-2.0 */
/*
 * gp_code.h: points of the unit cube as features of a Gaussian process. Private to
 * optimizer/sampler.
 *
 * A number is one feature; when it can be inactive it has a second one with the same length scale,
 * so that inactive and active are 0.87 to 1 apart and two inactive ones 0: a conditional space is
 * one space for the model. A categorical or bool param is a choice; inactive is a choice too.
 */
#ifndef HD_SAMPLER_GP_CODE_H
#define HD_SAMPLER_GP_CODE_H

#include <hd/gp.h>

#include "history.h"

struct hd_gp_code {
    const struct hd_history *history; /* borrowed */
    struct hd_gp_feature *features;
    struct hd_gp_shape shape;
    uint32_t *feature_of; /* [dimension]: its first feature */
    bool *is_choice;      /* [dimension] */
    bool *has_levels;     /* [dimension]: not a float without step */
    bool plain;           /* no conditions, nothing forbidden */
    bool finite;          /* the space is: configs may be used up */
    double *values;       /* [param_count] */
};

HD_NODISCARD enum hd_code hd_gp_code_init(struct hd_gp_code *code, const struct hd_history *history,
                                          struct hd_err *err);
void hd_gp_code_release(struct hd_gp_code *code); /* also of a zeroed struct */
/* The features of a config from its row of the history. */
void hd_gp_code_row(const struct hd_gp_code *code, const float *row, double *ret_features);
/* Moves the point to the middle of its levels and gives its features. false when it is not legal
 * or, in a finite space, used. */
bool hd_gp_code_point(struct hd_gp_code *code, double *point, double *ret_features);
/* Is this feature a number that is free to move in this encoded point? */
bool hd_gp_code_moves(const struct hd_gp_code *code, size_t dimension, const double *features);

#endif
