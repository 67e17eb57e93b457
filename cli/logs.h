/* SPDX-License-Identifier: Apache-2.0 */
/* logs.h: where logs of attempts lie on this machine, and all those of a run. */
#ifndef HD_CLI_LOGS_H
#define HD_CLI_LOGS_H

#include "common/cli.h"

#define LOGS_PATH_MAX 4096

/* path: LOGS_PATH_MAX bytes. false: it is not on this machine. */
bool logs_find(const char *state_dir, const char *run_id, int64_t job, int64_t attempt, char *path);
/* Each line with "JOB-ATTEMPT| " before it; follow: until the run is over. */
HD_NODISCARD enum hd_code logs_print_all(struct cli_source *source, const char *state_dir,
                                         bool follow, struct hd_err *err);

#endif
