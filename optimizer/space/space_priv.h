/* SPDX-License-Identifier: Apache-2.0 */
/* space_priv.h: what the files of optimizer/space share. */
#ifndef HD_SPACE_PRIV_H
#define HD_SPACE_PRIV_H

#include <hd/space.h>

/* Checks range and grid of a float or int; *ret_value is the exact level. */
HD_NODISCARD enum hd_code hd_param_check_number(const struct hd_param *param, double number,
                                                double *ret_value, struct hd_err *err);
void hd_param_release(struct hd_param *param);
/* The description of one param: an object that parses back to the same. */
HD_NODISCARD enum hd_code hd_param_describe(const struct hd_param *param,
                                            struct hd_value **ret_value, struct hd_err *err);
const char *hd_param_kind_name(enum hd_param_kind kind);
bool hd_param_same(const struct hd_param *a, const struct hd_param *b);

#endif
