/* SPDX-License-Identifier: Apache-2.0 */
/* shell.h: a command of a person's where a job runs, or would run. It uses the engine's own client
 * (docker, podman), since that knows terminals. */
#ifndef HD_CLI_SHELL_H
#define HD_CLI_SHELL_H

#include <hd/engine.h>
#include <hd/value.h>

struct shell_wish {
    char *const *command; /* ends with NULL; NULL: the target's own */
    bool print;           /* only the line to do it by hand */
    bool fresh;           /* not in the container of the job that runs */
};

/* In the container of the job's running attempt. *ret_there is false when it does not run, or not on
 * an engine of this machine, which is said on stderr. `answer` is the view of the job, `engine` NULL
 * or a name. The exit code is the command's. */
HD_NODISCARD enum hd_code shell_in_running(const struct hd_value *answer,
                                           const struct shell_wish *wish, const char *engine,
                                           int *ret_exit, bool *ret_there, struct hd_err *err);
/* As the engine would start the job, with the command of the wish in place of its own. */
HD_NODISCARD enum hd_code shell_by_hand(const struct hd_engine *engine, struct hd_engine_job *job,
                                        const struct shell_wish *wish, int *ret_exit,
                                        struct hd_err *err);

#endif
