/* SPDX-License-Identifier: Apache-2.0 */
/*
 * env_list.h: the variables that a worker gives every target: $HYPERDOCK_ENV, then each --env. One
 * is NAME=VALUE, or, as Hyperdock's worker took it, a JSON list of such texts.
 */
#ifndef HD_ENV_LIST_H
#define HD_ENV_LIST_H

#include <hd/os.h>
#include <hd/value.h>

struct hd_env_list {
    struct hd_text_list
        texts; /* NAME=VALUE; they live in `given`, in $HYPERDOCK_ENV or in `lists` */
    struct hd_value *lists[HD_OPTION_LIST_MAX];
    size_t list_count;
};
/* `variable`: what $HYPERDOCK_ENV holds, NULL: nothing. HD_E_INVALID: neither form; HD_E_LIMIT: too
 * many. On failure there is nothing to release. */
HD_NODISCARD enum hd_code hd_env_list_make(const char *variable, const struct hd_text_list *given,
                                           struct hd_env_list *ret_list, struct hd_err *err);
void hd_env_list_release(struct hd_env_list *list);

#endif
