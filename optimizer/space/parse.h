/* SPDX-License-Identifier: Apache-2.0 */
/* parse.h: what the files of the parser share. Private to optimizer/space. */
#ifndef HD_SPACE_PARSE_H
#define HD_SPACE_PARSE_H

#include "space_priv.h"

/* Beyond 2^53 doubles skip whole numbers. */
#define INT_MAGNITUDE_MAX 9007199254740992.0
#define PATH_MAX_SIZE (HD_PARAM_NAME_MAX + 256)

/* Where we are: of one param at a time. */
struct place {
    const char *name;         /* the file */
    char path[PATH_MAX_SIZE]; /* "space.lr" */
};

/* Puts "file:line: path[.key]: " before the text of err. */
enum hd_code hd_parse_fail_at(const struct place *place, const struct hd_value *at, const char *key,
                              struct hd_err *err);

#define FAIL_AT(place, at, key, code, ...)                                                         \
    (hd_fail(err, code, __VA_ARGS__), hd_parse_fail_at(place, at, key, err), code)

/* The number at key. required: it must be there; otherwise *ret_number stays. */
HD_NODISCARD enum hd_code hd_parse_number_at(const struct place *place,
                                             const struct hd_value *object, const char *key,
                                             bool required, bool whole, double *ret_number,
                                             struct hd_err *err);

/* parse_prior.c */
/* `normal`, and the bounds where only it is given; before the range is checked. */
HD_NODISCARD enum hd_code hd_parse_normal(const struct place *place, const struct hd_value *object,
                                          struct hd_param *param, struct hd_err *err);
HD_NODISCARD enum hd_code hd_parse_weights(const struct place *place, const struct hd_value *object,
                                           struct hd_param *param, struct hd_err *err);
/* `prior`; the param is complete but for its conditions. */
HD_NODISCARD enum hd_code hd_parse_prior(const struct place *place, const struct hd_value *object,
                                         struct hd_param *param, struct hd_err *err);

/* parse_when.c: the expressions of all params, their order, and the forbidden clauses. `value` is
 * the object of the space, `path` its path; every param is complete but for its conditions. */
HD_NODISCARD enum hd_code hd_parse_conditions(const struct hd_value *value, const char *name,
                                              const char *path, struct hd_space *space,
                                              struct hd_err *err);

#endif
