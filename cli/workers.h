/* SPDX-License-Identifier: Apache-2.0 */
/* workers.h: what the files of hd workers share. */
#ifndef HD_CLI_WORKERS_H
#define HD_CLI_WORKERS_H

#include "common/cli.h"

/* Has the workers named answer (none: all that are here), waits for them until the time is up, and
 * prints who did. The exit code: failed unless every one answered and could run a target. */
int workers_test(const struct cli_common *common, const char *const *workers, size_t count,
                 int64_t timeout_ms);

#endif
