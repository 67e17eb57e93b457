/* SPDX-License-Identifier: Apache-2.0 */
/*
 * story.h: a small store made by hand, in which everything happens that people ask about.
 *
 * Run "digits" (minimize loss, successive halving 4 x 1, 2 x 3, 1 x 9): a lost lease and its late
 * report, a divergence, a failure, a preemption, promotions, a job cancelled while queued, one
 * running, curve points. Run "scores" (maximize accuracy, unit epochs): finished. Run "fresh":
 * nothing yet.
 */
#ifndef HD_TEST_STORY_H
#define HD_TEST_STORY_H

/* Writes `path` (a new SQLite store). */
void test_story_write(const char *path);
/* The experiment file of "scores". */
extern const char test_story_scores[];

#endif
