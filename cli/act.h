/* SPDX-License-Identifier: Apache-2.0 */
/* act.h: what the subcommands that act share. */
#ifndef HD_CLI_ACT_H
#define HD_CLI_ACT_H

#include "common/cli.h"

#include <hd/fact.h>

/* Tells the live master: the one that was named, or that of the state directory. *ret_told is false
 * when none serves that directory; a master that was named and is not there is an error. */
HD_NODISCARD enum hd_code cli_command_live(const struct cli_common *where, const char *run_id,
                                           enum hd_command_op op, uint32_t job, const char *reason,
                                           bool *ret_told, struct hd_err *err);

#endif
