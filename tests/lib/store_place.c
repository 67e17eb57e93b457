/* SPDX-License-Identifier: Apache-2.0 */
#include "store_place.h"

#include "sqlite_faults.h"
#include "testlib.h"

#include <stdlib.h>

enum hd_code place_open(struct place *place, struct hd_err *err)
{
    return place->sqlite ? hd_store_open_sqlite(place->path, &place->store, err)
                         : hd_store_open_memory(&place->store, err);
}

void place_make(struct place *place, bool sqlite)
{
    *place = (struct place){.sqlite = sqlite, .dir = test_dir_make()};
    assert_true(hd_format(place->path, sizeof(place->path), "%s/state.db", place->dir));
}

void place_close(struct place *place)
{
    hd_store_close(place->store);
    place->store = NULL;
}

void place_remove(struct place *place)
{
    place_close(place);
    test_dir_remove(place->dir);
}

static int setup(void **state, bool sqlite)
{
    struct hd_err err;
    struct place *place = calloc(1, sizeof(*place));
    assert_non_null(place);
    place_make(place, sqlite);
    assert_hd_ok(place_open(place, &err));
    *state = place;
    return 0;
}

int place_setup_memory(void **state)
{
    return setup(state, false);
}

int place_setup_sqlite(void **state)
{
    return setup(state, true);
}

int place_teardown(void **state)
{
    struct place *place = *state;
    sqlite_faults_after(-1, SQLITE_FAULT_IO);
    sqlite_faults_sync_after(-1);
    sqlite_faults_disk(-1);
    hd_test_fail_alloc_after(-1);
    place_remove(place);
    free(place);
    return 0;
}

enum hd_code place_expect_next(void *context, const struct hd_fact *fact, struct hd_err *ret_err)
{
    struct expectation *expectation = context;
    if (expectation->stop_at != 0 && expectation->seen + 1 == expectation->stop_at)
        return hd_fail(ret_err, HD_E_CANCELLED, "enough");
    assert_true(expectation->seen < expectation->facts->count);
    test_fact_assert_equal(fact, &expectation->facts->items[expectation->seen]);
    expectation->seen++;
    return HD_OK;
}

void place_assert_holds(struct hd_store *store, const struct test_facts *facts, size_t count)
{
    struct hd_err err;
    struct expectation expectation = {.facts = facts};
    assert_hd_ok(hd_store_load(store, place_expect_next, &expectation, &err));
    assert_int_equal(expectation.seen, count);
    assert_int_equal(hd_store_last_seq(store), count);
}

enum hd_code place_ignore_fact(void *context, const struct hd_fact *fact, struct hd_err *ret_err)
{
    (void)context;
    (void)fact;
    (void)ret_err;
    return HD_OK;
}

void place_assert_recovers(struct place *place, const struct test_facts *facts, size_t acknowledged)
{
    struct hd_err err;
    assert_hd_ok(place_open(place, &err));
    size_t kept = hd_store_last_seq(place->store);
    assert_int_equal(kept % STORE_PLACE_BATCH, 0);
    assert_true(kept >= acknowledged);
    place_assert_holds(place->store, facts, kept);
    assert_hd_ok(hd_store_append(place->store, facts->items + kept, facts->count - kept, &err));
    place_assert_holds(place->store, facts, facts->count);
}
