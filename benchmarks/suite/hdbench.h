/* SPDX-License-Identifier: Apache-2.0 */
/*
 * hdbench.h: the problems of hd-bench for other programs, through libhdbench.so: the same
 * surrogate, tables and functions, whatever language the optimizer is written in.
 *
 * Values are numbers in the order of the space (hdbench_space): a choice is its index, an inactive
 * param NaN. A handle is used by one thread at a time. Nothing is printed and nothing aborts on bad
 * input: functions that fail give NULL or -1, and hdbench_error tells why.
 */
#ifndef HDBENCH_H
#define HDBENCH_H

#ifdef __cplusplus
extern "C" {
#endif

#define HDBENCH_API __attribute__((visibility("default")))

struct hdbench;

/* data_dir NULL: the folder beside the sources. Free with hdbench_close. */
HDBENCH_API struct hdbench *hdbench_open(const char *suite, const char *task, const char *data_dir);
HDBENCH_API void hdbench_close(struct hdbench *bench); /* also of NULL */
/* Of the last call of this thread that failed. */
HDBENCH_API const char *hdbench_error(void);

/* The space as JSON, as an experiment file has it; of the handle. */
HDBENCH_API const char *hdbench_space(const struct hdbench *bench);
HDBENCH_API int hdbench_param_count(const struct hdbench *bench);
HDBENCH_API double hdbench_budget_min(const struct hdbench *bench);
HDBENCH_API double hdbench_budget_max(const struct hdbench *bench);
/* Whole steps of a learning curve, 1 .. this; 0: a function of any budget. */
HDBENCH_API int hdbench_steps(const struct hdbench *bench);
/* The loss that regret is measured against; NaN: not known. */
HDBENCH_API double hdbench_best(const struct hdbench *bench);

/* Tables: a row is used up by the run it is given to; hdbench_reset starts a new run. Elsewhere
 * it does nothing. */
HDBENCH_API void hdbench_reset(struct hdbench *bench);

/* Curves: losses[last] and cumulated costs[last] after steps 1 .. last (the loss of lcbench is the
 * validation accuracy with its sign turned). A config of a table is known by its values: the same
 * values give the same row until the next reset. */
HDBENCH_API int hdbench_curve(struct hdbench *bench, const double *values, int last, double *losses,
                              double *costs);
/* Functions: what a job at this budget sees, and the noise-free loss at the largest one. */
HDBENCH_API int hdbench_value(struct hdbench *bench, const double *values, double budget,
                              unsigned long long noise_seed, double *ret_loss, double *ret_exact);

#ifdef __cplusplus
}
#endif

#endif
