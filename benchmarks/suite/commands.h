/* SPDX-License-Identifier: Apache-2.0 */
/* commands.h: the commands of hd-bench; each takes its arguments without the command's name and
 * gives an exit code. */
#ifndef HD_BENCH_COMMANDS_H
#define HD_BENCH_COMMANDS_H

#include "bench.h"

int bench_command_run(int argc, char **argv);
int bench_command_best(int argc, char **argv);
int bench_command_tasks(int argc, char **argv);

/* HD_BENCH_DATA of the environment, otherwise the folder beside the sources. */
const char *bench_data_dir(void);
/* Prints the error and gives the exit code. */
int bench_complain(const struct hd_err *err);

#endif
