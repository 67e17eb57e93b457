/* SPDX-License-Identifier: Apache-2.0 */
/* act.h: what the subcommands that act share. */
#ifndef HD_CLI_ACT_H
#define HD_CLI_ACT_H

#include <hd/fact.h>

/* Tells the live master of a state directory. *ret_told is false when none serves it. */
HD_NODISCARD enum hd_code cli_command_live(const char *state_dir, const char *run_id,
                                           enum hd_command_op op, uint32_t job, const char *reason,
                                           bool *ret_told, struct hd_err *err);

#endif
