/* SPDX-License-Identifier: Apache-2.0 */
/* store_place.h: a store in a directory of its own, in memory or on disk, for tests of all stores.
 */
#ifndef HD_TESTS_STORE_PLACE_H
#define HD_TESTS_STORE_PLACE_H

#include "facts.h"

#include <hd/store.h>

struct place {
    bool sqlite;
    char *dir;
    char path[600];
    struct hd_store *store;
};

void place_make(struct place *place, bool sqlite); /* not open yet */
HD_NODISCARD enum hd_code place_open(struct place *place, struct hd_err *err);
void place_close(struct place *place);
void place_remove(struct place *place);

/* Of tests: an open store as *state; afterwards no fault is planned any more. */
int place_setup_memory(void **state);
int place_setup_sqlite(void **state);
int place_teardown(void **state);

/* For hd_store_load(): the facts come one by one as they are here. */
struct expectation {
    const struct test_facts *facts;
    size_t seen;
    size_t stop_at; /* fail there; 0 never */
};
enum hd_code place_expect_next(void *expectation, const struct hd_fact *fact, struct hd_err *err);
/* The store holds exactly the first `count` of the facts. */
void place_assert_holds(struct hd_store *store, const struct test_facts *facts, size_t count);

enum hd_code place_ignore_fact(void *context, const struct hd_fact *fact, struct hd_err *err);
#define STORE_PLACE_BATCH 12
/* After whatever happened to a store to which batches of so many facts were appended: it opens, and
 * has whole batches, everything acknowledged, and takes the rest. */
void place_assert_recovers(struct place *place, const struct test_facts *facts,
                           size_t acknowledged);

#define ON_SQLITE(test)                                                                            \
    {                                                                                              \
        "sqlite: " #test, test, place_setup_sqlite, place_teardown, NULL                           \
    }
#define ON_BOTH(test)                                                                              \
    {"memory: " #test, test, place_setup_memory, place_teardown, NULL}, ON_SQLITE(test)

#endif
