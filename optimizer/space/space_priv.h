/* SPDX-License-Identifier: Apache-2.0 */
/* space_priv.h: what the files of optimizer/space share. */
#ifndef HD_SPACE_PRIV_H
#define HD_SPACE_PRIV_H

#include <hd/space.h>

bool hd_param_has_choices(const struct hd_param *param);
/* Checks range and grid of a float or int; *ret_value is the exact level. */
HD_NODISCARD enum hd_code hd_param_check_number(const struct hd_param *param, double number,
                                                double *ret_value, struct hd_err *err);
void hd_param_release(struct hd_param *param);
/* Frees the nodes and what they hold; of NULL too. */
void hd_conditions_free(struct hd_condition *conditions, size_t count);
/* The description of one param: an object that parses back to the same. */
HD_NODISCARD enum hd_code hd_param_describe(const struct hd_space *space,
                                            const struct hd_param *param,
                                            struct hd_value **ret_value, struct hd_err *err);
const char *hd_param_kind_name(enum hd_param_kind kind);
const char *hd_confidence_name(enum hd_confidence confidence);
/* What looking at an expression costs at most: its values and its groups. */
size_t hd_conditions_weight(const struct hd_condition *conditions, size_t count);
/* The word of a comparison in a file: "gt". */
const char *hd_condition_word(enum hd_condition_op op);

/* The forbidden clauses that hold begin at *index; false when none is left. */
bool hd_forbidden_next(const struct hd_space *space, const double *values, size_t *index);

/* A normal on [low, high] with the uniform part HD_PARAM_UNIFORM_PART; low <= mean <= high. */
struct hd_normal {
    double mean, sd, low, high;
    double below, mass; /* of the normal below low, and between the bounds */
};
void hd_normal_init(struct hd_normal *normal); /* the first four are set */
double hd_normal_unit(const struct hd_normal *normal, double x);
double hd_normal_from_unit(const struct hd_normal *normal, double unit);

/* Fills in size, size_exact and witness of a space that is otherwise complete. HD_E_INVALID, with a
 * text that begins with "forbidden": nothing is left. */
HD_NODISCARD enum hd_code hd_space_analyse(struct hd_space *space, struct hd_err *err);
/* The repair of hd_space_sample(), with a place for what was found: false when the witness had to
 * be taken (or, without one, values is not legal). */
bool hd_space_repair_from(const struct hd_space *space, struct hd_rng *rng, double *values);

#endif
