/* SPDX-License-Identifier: Apache-2.0 */
/* report.h: what comes out of many runs: tables, comparisons, JSON and pictures. */
#ifndef HD_BENCH_REPORT_H
#define HD_BENCH_REPORT_H

#include "pool.h"

#define BENCH_CHECKPOINTS_MAX 32
#define BENCH_PROBLEMS_MAX 256
#define BENCH_REPORT_BYTES_MAX (1u << 30)

/* Over all runs of a method (problem SIZE_MAX) or those on one problem. The error is that of the
 * mean for new seeds on the same tasks. NaN when some run has no value yet. */
void bench_mean(const struct bench_plan *plan, const struct bench_result *results, size_t method,
                size_t problem, double checkpoint, double *ret_mean, double *ret_error);
/* To standard output, as Markdown. */
void bench_table_print(const struct bench_plan *plan, const struct bench_result *results,
                       const double *checkpoints, size_t count, bool by_task);

/* A method's regrets less another's, pair by pair. The interval is mean +- half_width with 95 %
 * confidence, for new seeds on the same tasks; p is two-sided. NaN: too few pairs. */
struct bench_comparison {
    size_t pairs;
    double mean, half_width, p;
};
HD_NODISCARD enum hd_code bench_compare(const struct bench_plan *plan,
                                        const struct bench_result *results, size_t method,
                                        size_t against, double checkpoint,
                                        struct bench_comparison *ret_comparison,
                                        struct hd_err *err);
HD_NODISCARD enum hd_code bench_compare_print(const struct bench_plan *plan,
                                              const struct bench_result *results, size_t against,
                                              const double *checkpoints, size_t count,
                                              struct hd_err *err);
/* Wilcoxon's signed-rank test, exact also with ties; zeros are left out. Reorders differences. NaN
 * when there are more than BENCH_PAIRS_MAX. */
#define BENCH_PAIRS_MAX 2000
double bench_wilcoxon(double *differences, size_t count);

/* Appended to out. At most BENCH_PROBLEMS_MAX problems. */
HD_NODISCARD enum hd_code bench_json_write(const struct bench_plan *plan,
                                           const struct bench_result *results, struct hd_buf *out,
                                           struct hd_err *err);
/* One run and what was asked for, in one line. */
HD_NODISCARD enum hd_code bench_json_line(const struct bench_plan *plan,
                                          const struct bench_unit *unit,
                                          const struct bench_trace *trace, struct hd_buf *out,
                                          struct hd_err *err);
HD_NODISCARD enum hd_code bench_svg_write(const struct bench_plan *plan,
                                          const struct bench_result *results, struct hd_buf *out,
                                          struct hd_err *err);

#endif
