/* SPDX-License-Identifier: Apache-2.0 */
/* facts.h: facts for tests: random ones that refer only to what exists, and their comparison. */
#ifndef HD_TEST_FACTS_H
#define HD_TEST_FACTS_H

#include <hd/fact.h>

#define TEST_FACTS_MAX 4096

struct test_facts {
    struct hd_fact items[TEST_FACTS_MAX];
    size_t count;
    struct hd_arena *arena; /* texts and values */
};

/* count facts of every kind over a few runs, from the seed alone. */
void test_facts_random(struct test_facts *facts, uint64_t seed, size_t count);
void test_facts_release(struct test_facts *facts);
/* Fails the test when any field differs. NaN equals NaN, NULL equals "". */
void test_fact_assert_equal(const struct hd_fact *a, const struct hd_fact *b);

#endif
