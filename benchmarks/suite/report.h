/* SPDX-License-Identifier: Apache-2.0 */
/* report.h: what comes out of many runs: tables, comparisons, JSON and pictures. */
#ifndef HD_BENCH_REPORT_H
#define HD_BENCH_REPORT_H

#include "pool.h"

#define BENCH_CHECKPOINTS_MAX 32

/* Over all runs of a method (problem SIZE_MAX) or those on one problem. The error is that of the
 * mean for new seeds on the same tasks. NaN when some run has no value yet. */
void bench_mean(const struct bench_plan *plan, const struct bench_result *results, size_t method,
                size_t problem, double checkpoint, double *ret_mean, double *ret_error);
/* To standard output, as Markdown. */
void bench_table_print(const struct bench_plan *plan, const struct bench_result *results,
                       const double *checkpoints, size_t count, bool by_task);

#endif
