/* SPDX-License-Identifier: Apache-2.0 */
/* worth.h: is a sampler worth having? Paired comparisons over seeds. */
#ifndef HD_TEST_WORTH_H
#define HD_TEST_WORTH_H

#include <hd/sampler.h>

/* Fails the test when the text is no space. */
struct hd_space *hd_test_space_of(const char *json);
/* With default settings; fails the test when there is no such sampler. */
struct hd_sampler *hd_test_sampler_of(const char *name, const struct hd_space *space,
                                      uint64_t seed);
/* The lowest loss of `count` configs, each told before the next one but `lag` is asked for. */
double hd_test_best_of(const char *name, const struct hd_space *space,
                       double (*loss)(const struct hd_space *space, const double *values),
                       uint64_t seed, uint32_t count, uint32_t lag);
/* One-sided Wilcoxon signed-rank test by its normal approximation (fine from 20 pairs on): the z
 * of "a is smaller than b". */
double hd_test_wilcoxon_z(const double *a, const double *b, size_t count);

#endif
