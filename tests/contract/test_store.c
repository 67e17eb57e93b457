/* SPDX-License-Identifier: Apache-2.0 */
/* One suite for every store, and what comes of one whose every operation fails or kills once. */
#include "sqlite_faults.h"
#include "store_place.h"
#include "testlib.h"

#include <math.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static struct hd_err err;

/* ---- every store -------------------------------------------------------------------------- */

/* What was appended, in whatever portions, is loaded again: every field, in order. */
static void load_gives_what_was_appended(void **state)
{
    struct place *place = *state;
    for (uint64_t seed = 1; seed <= 12; seed++) {
        struct place fresh;
        place_make(&fresh, place->sqlite);
        assert_hd_ok(place_open(&fresh, &err));
        struct test_facts *facts = calloc(1, sizeof(*facts));
        test_facts_random(facts, seed, 300);
        struct hd_rng rng;
        hd_rng_seed(&rng, seed + 1000);
        for (size_t done = 0; done < facts->count;) {
            size_t portion = (size_t)hd_rng_below(&rng, 40);
            portion = portion < facts->count - done ? portion : facts->count - done;
            assert_hd_ok(hd_store_append(fresh.store, facts->items + done, portion, &err));
            done += portion;
            assert_int_equal(hd_store_last_seq(fresh.store), done);
        }
        place_assert_holds(fresh.store, facts, facts->count);
        place_assert_holds(fresh.store, facts, facts->count); /* loading changes nothing */
        test_facts_release(facts);
        free(facts);
        place_remove(&fresh);
    }
}

/* The random stories of this suite hold every kind of fact and both NaN and infinity. */
static void stories_hold_everything(void **state)
{
    (void)state;
    struct test_facts *facts = calloc(1, sizeof(*facts));
    test_facts_random(facts, 1, 2000);
    size_t kinds[HD_FACT_KIND_COUNT] = {0}, outcomes[HD_OUTCOME_COUNT] = {0};
    size_t nan_count = 0, inf_count = 0;
    for (size_t i = 0; i < facts->count; i++) {
        const struct hd_fact *fact = &facts->items[i];
        kinds[fact->kind]++;
        if (fact->kind != HD_FACT_ATTEMPT_ENDED)
            continue;
        outcomes[fact->as.attempt_ended.outcome]++;
        nan_count += isnan(fact->as.attempt_ended.loss) ? 1 : 0;
        inf_count += isinf(fact->as.attempt_ended.loss) ? 1 : 0;
    }
    for (size_t i = 0; i < HD_FACT_KIND_COUNT; i++)
        assert_true(kinds[i] > 0);
    for (size_t i = 0; i < HD_OUTCOME_COUNT; i++)
        assert_true(outcomes[i] > 0);
    assert_true(nan_count > 0 && inf_count > 0);
    test_facts_release(facts);
    free(facts);
}

/* An empty store ends with 0, loads nothing, and takes an empty append. */
static void empty_store(void **state)
{
    struct place *place = *state;
    struct test_facts none = {.count = 0};
    place_assert_holds(place->store, &none, 0);
    assert_hd_ok(hd_store_append(place->store, NULL, 0, &err));
    place_assert_holds(place->store, &none, 0);
}

/* A fact that does not continue the sequence is refused and nothing of its batch is kept. */
static void gaps_are_refused(void **state)
{
    struct place *place = *state;
    struct test_facts *facts = calloc(1, sizeof(*facts));
    test_facts_random(facts, 5, 30);
    assert_hd_fails(hd_store_append(place->store, facts->items + 1, 1, &err), HD_E_INVALID,
                    "does not continue");
    assert_hd_ok(hd_store_append(place->store, facts->items, 10, &err));
    assert_hd_fails(hd_store_append(place->store, facts->items, 1, &err), HD_E_INVALID,
                    "fact 1 does not continue a store that ends with 10");
    uint64_t right = facts->items[19].seq;
    facts->items[19].seq = 25;
    assert_hd_fails(hd_store_append(place->store, facts->items + 10, 20, &err), HD_E_INVALID,
                    "fact 25 ");
    facts->items[19].seq = right;
    place_assert_holds(place->store, facts, 10);
    assert_hd_ok(hd_store_append(place->store, facts->items + 10, 20, &err));
    place_assert_holds(place->store, facts, 30);
    test_facts_release(facts);
    free(facts);
}

/* What no fact can be is refused by name: an unknown kind or outcome, a text beyond its limit. */
static void impossible_facts_are_refused(void **state)
{
    struct place *place = *state;
    char *text = malloc(2u << 20);
    assert_non_null(text);
    memset(text, 'x', (2u << 20) - 1);
    text[(2u << 20) - 1] = '\0';
    struct hd_fact fact = {.seq = 1, .kind = HD_FACT_KIND_COUNT};
    assert_hd_fails(hd_store_append(place->store, &fact, 1, &err), HD_E_INVALID, "kind");
    fact.kind = HD_FACT_ATTEMPT_ENDED;
    fact.as.attempt_ended.outcome = HD_OUTCOME_COUNT;
    assert_hd_fails(hd_store_append(place->store, &fact, 1, &err), HD_E_INVALID, "outcome");
    fact = (struct hd_fact){.seq = 1, .kind = HD_FACT_RUN_CREATED};
    fact.as.run_created.experiment_json = text;
    assert_hd_fails(hd_store_append(place->store, &fact, 1, &err), HD_E_LIMIT, "experiment");
    double value = 0;
    fact = (struct hd_fact){.seq = 1, .kind = HD_FACT_CONFIG_PROPOSED};
    fact.as.config_proposed.values = &value;
    fact.as.config_proposed.value_count = HD_SPACE_PARAMS_MAX + 1;
    assert_hd_fails(hd_store_append(place->store, &fact, 1, &err), HD_E_LIMIT, "1001 values");
    assert_int_equal(hd_store_last_seq(place->store), 0);
    free(text);
}

/* Loading stops at the first failure of the callback and returns it. */
static void load_stops_at_failure(void **state)
{
    struct place *place = *state;
    struct test_facts *facts = calloc(1, sizeof(*facts));
    test_facts_random(facts, 6, 20);
    assert_hd_ok(hd_store_append(place->store, facts->items, 20, &err));
    struct expectation expectation = {.facts = facts, .stop_at = 7};
    assert_hd_fails(hd_store_load(place->store, place_expect_next, &expectation, &err),
                    HD_E_CANCELLED, "enough");
    assert_int_equal(expectation.seen, 6);
    place_assert_holds(place->store, facts, 20);
    test_facts_release(facts);
    free(facts);
}

/* ---- torture --------------------------------------------------------------------------------- */

/* Every so many-th place fails, an odd number: the argument. Sanitizers take their time. */
static int64_t torture_stride = 1;

#define TORTURE_BATCHES 3

struct attempt {
    enum hd_code code;
    size_t acknowledged; /* facts whose append returned HD_OK */
};

/* Open, append batch by batch from where the store ends, load. Ends at the first failure. */
static struct attempt try_all(struct place *place, const struct test_facts *facts)
{
    struct attempt attempt = {.code = place_open(place, &err)};
    if (attempt.code != HD_OK)
        return attempt;
    while (attempt.code == HD_OK && hd_store_last_seq(place->store) < facts->count) {
        size_t done = hd_store_last_seq(place->store);
        attempt.code = hd_store_append(place->store, facts->items + done, STORE_PLACE_BATCH, &err);
        if (attempt.code == HD_OK)
            attempt.acknowledged = done + STORE_PLACE_BATCH;
    }
    if (attempt.code == HD_OK)
        attempt.code = hd_store_load(place->store, place_ignore_fact, NULL, &err);
    return attempt;
}

/* Whichever allocation fails, the answer is out of memory (or success, where SQLite can do
 * without), nothing half done is kept, and the next try succeeds. */
static void every_allocation_fails_once(void **state)
{
    struct place *place = *state;
    struct test_facts *facts = calloc(1, sizeof(*facts));
    test_facts_random(facts, 9, STORE_PLACE_BATCH * TORTURE_BATCHES);
    int64_t before = sqlite_faults_allocation_count(), failures = 0;
    struct place sample;
    place_make(&sample, place->sqlite);
    assert_int_equal(try_all(&sample, facts).code, HD_OK);
    int64_t last = sqlite_faults_allocation_count() - before + 40;
    place_remove(&sample);
    /* SQLite allocates thousands of times: the simulator's clusters share this machine. */
    int64_t tries = 600 / torture_stride;
    int64_t stride = last > tries ? last / tries : 1;
    for (int64_t countdown = 0; countdown < last; countdown += stride) {
        struct place fresh;
        place_make(&fresh, place->sqlite);
        hd_test_fail_alloc_after(countdown);
        struct attempt attempt = try_all(&fresh, facts);
        hd_test_fail_alloc_after(-1);
        failures += attempt.code != HD_OK ? 1 : 0;
        if (attempt.code != HD_OK && attempt.code != HD_E_NOMEM)
            fail_msg("allocation %lld: %s: %s", (long long)countdown, hd_code_name(attempt.code),
                     err.text);
        if (fresh.sqlite) {
            place_close(&fresh);
            place_assert_recovers(&fresh, facts, attempt.acknowledged);
        } else if (fresh.store != NULL) {
            place_assert_holds(fresh.store, facts, attempt.acknowledged);
        }
        place_remove(&fresh);
    }
    assert_true(failures > 3);
    test_facts_release(facts);
    free(facts);
}

static int64_t count_operations(const struct test_facts *facts)
{
    struct place sample;
    place_make(&sample, true);
    sqlite_faults_after(-1, SQLITE_FAULT_IO);
    assert_int_equal(try_all(&sample, facts).code, HD_OK);
    int64_t count = sqlite_faults_operation_count();
    place_remove(&sample);
    return count;
}

/* Whichever operation of the file system fails, the answer says so, whole batches are kept, and
 * a reopened store goes on. */
static void every_file_operation_fails_once(void **state)
{
    (void)state;
    struct test_facts *facts = calloc(1, sizeof(*facts));
    test_facts_random(facts, 10, STORE_PLACE_BATCH * TORTURE_BATCHES);
    int64_t last = count_operations(facts), failures = 0;
    assert_true(last > 20);
    for (int64_t countdown = 0; countdown < last; countdown += torture_stride) {
        struct place fresh;
        place_make(&fresh, true);
        sqlite_faults_after(countdown, SQLITE_FAULT_IO);
        struct attempt attempt = try_all(&fresh, facts);
        sqlite_faults_after(-1, SQLITE_FAULT_IO);
        failures += attempt.code != HD_OK ? 1 : 0;
        if (attempt.code != HD_OK && attempt.code != HD_E_IO && attempt.code != HD_E_FULL)
            fail_msg("operation %lld: %s: %s", (long long)countdown, hd_code_name(attempt.code),
                     err.text);
        place_close(&fresh);
        place_assert_recovers(&fresh, facts, attempt.acknowledged);
        place_remove(&fresh);
    }
    assert_true(failures > 10);
    test_facts_release(facts);
    free(facts);
}

/* In a child: says on `out` how many facts are acknowledged, after each append. */
static void child_appends(struct place *place, const struct test_facts *facts, int out)
{
    if (place_open(place, &err) != HD_OK)
        _exit(1);
    while (hd_store_last_seq(place->store) < facts->count) {
        size_t done = hd_store_last_seq(place->store);
        if (hd_store_append(place->store, facts->items + done, STORE_PLACE_BATCH, &err) != HD_OK)
            _exit(2);
        uint32_t acknowledged = (uint32_t)done + STORE_PLACE_BATCH;
        if (write(out, &acknowledged, sizeof(acknowledged)) != sizeof(acknowledged))
            _exit(3);
    }
    _exit(0);
}

static pid_t start_child(struct place *place, const struct test_facts *facts, int *ret_in)
{
    int pipe_fds[2];
    assert_int_equal(pipe(pipe_fds), 0);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        close(pipe_fds[0]);
        child_appends(place, facts, pipe_fds[1]);
    }
    close(pipe_fds[1]);
    *ret_in = pipe_fds[0];
    return pid;
}

/* Reads until the child's end; the last number it said, 0 for none. */
static uint32_t last_word(int in)
{
    uint32_t word = 0, acknowledged = 0;
    while (read(in, &word, sizeof(word)) == (ssize_t)sizeof(word))
        acknowledged = word;
    close(in);
    return acknowledged;
}

static int wait_for(pid_t pid)
{
    int status = 0;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    return status;
}

/* A process killed before, or in the middle of, any operation of the file system leaves whole
 * batches and all that it acknowledged. */
static void killed_at_every_operation(void **state)
{
    (void)state;
    struct test_facts *facts = calloc(1, sizeof(*facts));
    test_facts_random(facts, 11, STORE_PLACE_BATCH * TORTURE_BATCHES);
    int64_t last = count_operations(facts), kills = 0;
    for (int64_t countdown = 0; countdown < last * 2; countdown += torture_stride) {
        struct place fresh;
        place_make(&fresh, true);
        int in;
        sqlite_faults_after(countdown / 2,
                            countdown % 2 == 0 ? SQLITE_FAULT_KILL : SQLITE_FAULT_HALF);
        pid_t pid = start_child(&fresh, facts, &in);
        sqlite_faults_after(-1, SQLITE_FAULT_IO);
        uint32_t acknowledged = last_word(in);
        int status = wait_for(pid);
        kills += WIFSIGNALED(status) ? 1 : 0;
        place_assert_recovers(&fresh, facts, acknowledged);
        place_remove(&fresh);
    }
    assert_true(kills > last / 2 / torture_stride);
    test_facts_release(facts);
    free(facts);
}

/* kill -9 from outside, after any number of acknowledgements, loses none of them. */
static void killed_from_outside(void **state)
{
    (void)state;
    struct test_facts *facts = calloc(1, sizeof(*facts));
    test_facts_random(facts, 12, STORE_PLACE_BATCH * 300);
    for (int round = 0; round < 8; round++) {
        struct place fresh;
        place_make(&fresh, true);
        int in;
        pid_t pid = start_child(&fresh, facts, &in);
        uint32_t word = 0;
        for (int i = 0; i <= round * 3; i++)
            assert_int_equal(read(in, &word, sizeof(word)), (ssize_t)sizeof(word));
        assert_int_equal(kill(pid, SIGKILL), 0);
        uint32_t acknowledged = last_word(in);
        (void)wait_for(pid);
        place_assert_recovers(&fresh, facts, acknowledged > word ? acknowledged : word);
        place_remove(&fresh);
    }
    test_facts_release(facts);
    free(facts);
}

int main(int argc, char **argv)
{
    if (argc > 1)
        torture_stride = strtol(argv[1], NULL, 10) | 1;
    sqlite_faults_install();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(stories_hold_everything),
        ON_BOTH(load_gives_what_was_appended),
        ON_BOTH(empty_store),
        ON_BOTH(gaps_are_refused),
        ON_BOTH(impossible_facts_are_refused),
        ON_BOTH(load_stops_at_failure),
        ON_BOTH(every_allocation_fails_once),
        ON_SQLITE(every_file_operation_fails_once),
        ON_SQLITE(killed_at_every_operation),
        ON_SQLITE(killed_from_outside),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
