/* SPDX-License-Identifier: Apache-2.0 */
/* One suite for every store; then what only a store on a disk can promise. */
#include "testlib.h"

#include <fcntl.h>
#include <math.h>
#include <signal.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <hd/store.h>

#include "facts.h"
#include "sqlite_faults.h"

struct place {
    bool sqlite;
    char *dir;
    char path[600];
    struct hd_store *store;
};

static struct hd_err err;

static enum hd_code place_open(struct place *place)
{
    return place->sqlite ? hd_store_open_sqlite(place->path, &place->store, &err)
                         : hd_store_open_memory(&place->store, &err);
}

static void place_make(struct place *place, bool sqlite)
{
    *place = (struct place){.sqlite = sqlite, .dir = test_dir_make()};
    assert_true(hd_format(place->path, sizeof(place->path), "%s/state.db", place->dir));
}

static void place_close(struct place *place)
{
    hd_store_close(place->store);
    place->store = NULL;
}

static void place_remove(struct place *place)
{
    place_close(place);
    test_dir_remove(place->dir);
}

static int setup(void **state, bool sqlite)
{
    struct place *place = calloc(1, sizeof(*place));
    assert_non_null(place);
    place_make(place, sqlite);
    assert_hd_ok(place_open(place));
    *state = place;
    return 0;
}

static int setup_memory(void **state)
{
    return setup(state, false);
}

static int setup_sqlite(void **state)
{
    return setup(state, true);
}

static int teardown(void **state)
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

struct expectation {
    const struct test_facts *facts;
    size_t seen;
    size_t stop_at; /* fail there; 0 never */
};

static enum hd_code expect_next(void *context, const struct hd_fact *fact, struct hd_err *ret_err)
{
    struct expectation *expectation = context;
    if (expectation->stop_at != 0 && expectation->seen + 1 == expectation->stop_at)
        return hd_fail(ret_err, HD_E_CANCELLED, "enough");
    assert_true(expectation->seen < expectation->facts->count);
    test_fact_assert_equal(fact, &expectation->facts->items[expectation->seen]);
    expectation->seen++;
    return HD_OK;
}

/* The store holds exactly the first `count` of the facts. */
static void assert_holds(struct hd_store *store, const struct test_facts *facts, size_t count)
{
    struct expectation expectation = {.facts = facts};
    assert_hd_ok(hd_store_load(store, expect_next, &expectation, &err));
    assert_int_equal(expectation.seen, count);
    assert_int_equal(hd_store_last_seq(store), count);
}

/* ---- every store -------------------------------------------------------------------------- */

/* What was appended, in whatever portions, is loaded again: every field, in order. */
static void load_gives_what_was_appended(void **state)
{
    struct place *place = *state;
    for (uint64_t seed = 1; seed <= 12; seed++) {
        struct place fresh;
        place_make(&fresh, place->sqlite);
        assert_hd_ok(place_open(&fresh));
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
        assert_holds(fresh.store, facts, facts->count);
        assert_holds(fresh.store, facts, facts->count); /* loading changes nothing */
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
    assert_holds(place->store, &none, 0);
    assert_hd_ok(hd_store_append(place->store, NULL, 0, &err));
    assert_holds(place->store, &none, 0);
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
    assert_holds(place->store, facts, 10);
    assert_hd_ok(hd_store_append(place->store, facts->items + 10, 20, &err));
    assert_holds(place->store, facts, 30);
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
    assert_hd_fails(hd_store_load(place->store, expect_next, &expectation, &err), HD_E_CANCELLED,
                    "enough");
    assert_int_equal(expectation.seen, 6);
    assert_holds(place->store, facts, 20);
    test_facts_release(facts);
    free(facts);
}

/* ---- torture --------------------------------------------------------------------------------- */

/* Every so many-th place fails, an odd number: the argument. Sanitizers take their time. */
static int64_t torture_stride = 1;

#define TORTURE_BATCH 12
#define TORTURE_BATCHES 3

struct attempt {
    enum hd_code code;
    size_t acknowledged; /* facts whose append returned HD_OK */
};

static enum hd_code ignore_fact(void *context, const struct hd_fact *fact, struct hd_err *ret_err)
{
    (void)context;
    (void)fact;
    (void)ret_err;
    return HD_OK;
}

/* Open, append batch by batch from where the store ends, load. Ends at the first failure. */
static struct attempt try_all(struct place *place, const struct test_facts *facts)
{
    struct attempt attempt = {.code = place_open(place)};
    if (attempt.code != HD_OK)
        return attempt;
    while (attempt.code == HD_OK && hd_store_last_seq(place->store) < facts->count) {
        size_t done = hd_store_last_seq(place->store);
        attempt.code = hd_store_append(place->store, facts->items + done, TORTURE_BATCH, &err);
        if (attempt.code == HD_OK)
            attempt.acknowledged = done + TORTURE_BATCH;
    }
    if (attempt.code == HD_OK)
        attempt.code = hd_store_load(place->store, ignore_fact, NULL, &err);
    return attempt;
}

/* After whatever happened: whole batches, everything acknowledged, and the rest can follow. */
static void assert_recovers(struct place *place, const struct test_facts *facts,
                            size_t acknowledged)
{
    assert_hd_ok(place_open(place));
    size_t kept = hd_store_last_seq(place->store);
    assert_int_equal(kept % TORTURE_BATCH, 0);
    assert_true(kept >= acknowledged);
    assert_holds(place->store, facts, kept);
    assert_hd_ok(hd_store_append(place->store, facts->items + kept, facts->count - kept, &err));
    assert_holds(place->store, facts, facts->count);
}

/* Whichever allocation fails, the answer is out of memory (or success, where SQLite can do
 * without), nothing half done is kept, and the next try succeeds. */
static void every_allocation_fails_once(void **state)
{
    struct place *place = *state;
    struct test_facts *facts = calloc(1, sizeof(*facts));
    test_facts_random(facts, 9, TORTURE_BATCH * TORTURE_BATCHES);
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
            assert_recovers(&fresh, facts, attempt.acknowledged);
        } else if (fresh.store != NULL) {
            assert_holds(fresh.store, facts, attempt.acknowledged);
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
    test_facts_random(facts, 10, TORTURE_BATCH * TORTURE_BATCHES);
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
        assert_recovers(&fresh, facts, attempt.acknowledged);
        place_remove(&fresh);
    }
    assert_true(failures > 10);
    test_facts_release(facts);
    free(facts);
}

/* In a child: says on `out` how many facts are acknowledged, after each append. */
static void child_appends(struct place *place, const struct test_facts *facts, int out)
{
    if (place_open(place) != HD_OK)
        _exit(1);
    while (hd_store_last_seq(place->store) < facts->count) {
        size_t done = hd_store_last_seq(place->store);
        if (hd_store_append(place->store, facts->items + done, TORTURE_BATCH, &err) != HD_OK)
            _exit(2);
        uint32_t acknowledged = (uint32_t)done + TORTURE_BATCH;
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
    test_facts_random(facts, 11, TORTURE_BATCH * TORTURE_BATCHES);
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
        assert_recovers(&fresh, facts, acknowledged);
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
    test_facts_random(facts, 12, TORTURE_BATCH * 300);
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
        assert_recovers(&fresh, facts, acknowledged > word ? acknowledged : word);
        place_remove(&fresh);
    }
    test_facts_release(facts);
    free(facts);
}

/* ---- SQLite -------------------------------------------------------------------------------------
 */

/* A store on disk is the same after closing and opening, at any point. */
static void reopened_store_goes_on(void **state)
{
    struct place *place = *state;
    struct test_facts *facts = calloc(1, sizeof(*facts));
    test_facts_random(facts, 13, 200);
    for (size_t done = 0; done < facts->count; done += 25) {
        assert_hd_ok(hd_store_append(place->store, facts->items + done, 25, &err));
        place_close(place);
        assert_hd_ok(place_open(place));
        assert_holds(place->store, facts, done + 25);
    }
    test_facts_release(facts);
    free(facts);
}

/* A second opener is refused while the first is there, and told its pid. */
static void second_opener_is_refused(void **state)
{
    struct place *place = *state;
    struct hd_store *second = NULL;
    char pid[32];
    assert_true(hd_format(pid, sizeof(pid), "%d", (int)getpid()));
    assert_hd_fails(hd_store_open_sqlite(place->path, &second, &err), HD_E_BUSY, pid);
    assert_null(second);
    place_close(place);
    assert_hd_ok(place_open(place));
}

/* Only its owner may read a store: an experiment's environment may hold secrets. */
static void file_is_private(void **state)
{
    struct place *place = *state;
    struct stat st;
    assert_int_equal(stat(place->path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
}

static void run_sql(const char *path, const char *sql)
{
    sqlite3 *db = NULL;
    char *message = NULL;
    assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
    if (sqlite3_exec(db, sql, NULL, NULL, &message) != SQLITE_OK)
        fail_msg("%s: %s", sql, message);
    assert_int_equal(sqlite3_close(db), SQLITE_OK);
}

static int64_t number_of(const char *path, const char *sql)
{
    sqlite3 *db = NULL;
    sqlite3_stmt *statement = NULL;
    assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
    assert_int_equal(sqlite3_prepare_v2(db, sql, -1, &statement, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_step(statement), SQLITE_ROW);
    int64_t number = sqlite3_column_int64(statement, 0);
    assert_int_equal(sqlite3_finalize(statement), SQLITE_OK);
    assert_int_equal(sqlite3_close(db), SQLITE_OK);
    return number;
}

static void fill(struct place *place, uint64_t seed, size_t count)
{
    struct test_facts *facts = calloc(1, sizeof(*facts));
    test_facts_random(facts, seed, count);
    assert_hd_ok(hd_store_append(place->store, facts->items, facts->count, &err));
    test_facts_release(facts);
    free(facts);
}

/* A file that is no store is refused and left as it is. */
static void foreign_files_are_refused(void **state)
{
    struct place *place = *state;
    place_close(place);
    assert_int_equal(unlink(place->path), 0);
    test_file_write(place->path, "this is a text, and long enough to be taken for a header: "
                                 "......................................................");
    assert_hd_fails(place_open(place), HD_E_CORRUPT, place->path);
    assert_int_equal(unlink(place->path), 0);
    run_sql(place->path, "CREATE TABLE bookmarks (url TEXT)");
    char *before = test_file_read(place->path, NULL);
    assert_hd_fails(place_open(place), HD_E_CORRUPT, "some other program");
    char *after = test_file_read(place->path, NULL);
    assert_memory_equal(before, after, 100);
    free(before);
    free(after);
}

/* A store of a later version is refused and both ways out are named. */
static void newer_version_is_refused(void **state)
{
    struct place *place = *state;
    place_close(place);
    run_sql(place->path, "PRAGMA user_version = 99");
    assert_hd_fails(place_open(place), HD_E_VERSION, "99");
    run_sql(place->path, "PRAGMA user_version = 5");
    assert_hd_ok(place_open(place));
}

extern const char hd_store_schema_sql[]; /* of version 1 */

static const char version_1_rows[] =
    "INSERT INTO runs VALUES (1, 1000, 0, 'old', 7, 3, '{\"objective\":{\"name\":\"loss\"}}');"
    "INSERT INTO configs VALUES (2, 1001, 0, 0, 0, 0, 0, x'000000000000f03f', '{}', 'random', 0,"
    " NULL, 0, 0);"
    "INSERT INTO jobs VALUES (3, 1002, 0, 0, 0, 0, 0, 9.0, NULL);"
    "INSERT INTO attempts VALUES (4, 1003, 0, 0, 1, 'w', 1, 1, 'r', '', NULL);"
    "INSERT INTO attempt_ends VALUES (5, 1004, 0, 0, 1, 'ok', 0, 0, 0.25, 1, 'w', 1, 1, 0, 0, 0, "
    "'',"
    " NULL, 'r', 'd');"
    "PRAGMA application_id = 0x48446b31; PRAGMA user_version = 1";

static enum hd_code take_end(void *context, const struct hd_fact *fact, struct hd_err *unused)
{
    (void)unused;
    if (fact->kind == HD_FACT_ATTEMPT_ENDED) {
        assert_true(fact->as.attempt_ended.loss == 0.25);
        assert_int_equal(fact->as.attempt_ended.measure_count, 0);
        assert_true(fact->as.attempt_ended.violation == 0);
    }
    ++*(size_t *)context;
    return HD_OK;
}

/* A file of version 1 opens, holds what it held, and takes new facts; it is of this version then.
 */
static void version_1_is_migrated(void **state)
{
    struct place *place = *state;
    size_t count = 0;
    place_close(place);
    assert_int_equal(unlink(place->path), 0);
    run_sql(place->path, hd_store_schema_sql);
    run_sql(place->path, version_1_rows);
    for (int round = 0; round < 2; round++) {
        assert_hd_ok(place_open(place));
        assert_hd_ok(hd_store_load(place->store, take_end, &count, &err));
        assert_int_equal(count, 5);
        count = 0;
        place_close(place);
        assert_int_equal(number_of(place->path, "PRAGMA user_version"), 5);
        assert_int_equal(number_of(place->path, "SELECT count(*) FROM v_incumbents WHERE"
                                                " loss = 0.25 AND violation = 0"
                                                " AND measures IS NULL"),
                         1);
    }
    static const double measures[] = {0.5, -2, 1e-300};
    struct hd_fact fact = {.seq = 6,
                           .wall_ms = 2000,
                           .kind = HD_FACT_ATTEMPT_ENDED,
                           .as.attempt_ended = {.attempt = 0,
                                                .outcome = HD_OUTCOME_OK,
                                                .requeued = true,
                                                .loss = 0.5,
                                                .measures = measures,
                                                .measure_count = 3,
                                                .violation = 0.125,
                                                .worker = "",
                                                .message = "",
                                                .info_json = "",
                                                .root = "",
                                                .directory = ""}};
    assert_hd_ok(place_open(place));
    assert_hd_ok(hd_store_append(place->store, &fact, 1, &err));
    place_close(place);
    assert_int_equal(number_of(place->path, "SELECT seq FROM attempt_ends WHERE violation = 0.125"
                                            " AND json_extract(measures, '$[1]') = -2"),
                     6);
    assert_hd_ok(place_open(place));
}

static enum hd_code keep_fact(void *context, const struct hd_fact *fact, struct hd_err *unused)
{
    (void)unused;
    struct hd_fact *facts = context;
    if (fact->kind == HD_FACT_COMMAND_GIVEN)
        assert_string_equal(fact->as.command_given.reason, "since I say so");
    if (fact->kind == HD_FACT_ATTEMPT_ENDED)
        assert_string_equal(fact->as.attempt_ended.label, "");
    facts[fact->seq - 1] = *fact;
    return HD_OK;
}

/* A store of version 1 is brought up to date with all that it holds, and goes on. */
static void older_version_is_brought_up_to_date(void **state)
{
    struct place *place = *state;
    place_remove(place);
    place_make(place, true);
    run_sql(place->path, hd_store_schema_sql);
    run_sql(
        place->path,
        "INSERT INTO runs VALUES (1, 7, 0, 'r', 77, 1, '{}');"
        "INSERT INTO configs VALUES (2, 7, 0, 0, 0, 0, 0, x'', '{}', 'random', 0, NULL, 0, 0);"
        "INSERT INTO jobs VALUES (3, 7, 0, 0, 0, 0, 0, 1.0, NULL);"
        "INSERT INTO attempts VALUES (4, 7, 0, 0, 1, 'w', 1, 1, '', '', NULL);"
        "INSERT INTO attempt_ends VALUES (5, 7, 0, 0, 1, 'ok', 0, 0, 0.5, 1, 'w', 1, 1, 0, 0, 0,"
        " '', NULL, '', '');"
        "INSERT INTO commands VALUES (6, 7, 0, 'cancel-job', 3, 'since I say so');"
        "PRAGMA application_id = 0x48446b31; PRAGMA user_version = 1");
    assert_hd_ok(place_open(place));
    struct hd_fact facts[6];
    assert_hd_ok(hd_store_load(place->store, keep_fact, facts, &err));
    assert_int_equal(hd_store_last_seq(place->store), 6);
    assert_int_equal(facts[5].as.command_given.op, HD_COMMAND_CANCEL_JOB);
    assert_int_equal(facts[5].as.command_given.job, 3);
    assert_int_equal(facts[4].as.attempt_ended.rule, 0);
    struct hd_fact more = {.seq = 7,
                           .run = HD_RUN_NONE,
                           .kind = HD_FACT_WORKER_STATE,
                           .as.worker_state = {"w", HD_WORKER_QUARANTINED, "three jobs"}};
    assert_hd_ok(hd_store_append(place->store, &more, 1, &err));
    more = (struct hd_fact){
        .seq = 8,
        .kind = HD_FACT_COMMAND_GIVEN,
        .as.command_given = {.op = HD_COMMAND_SET_LIMIT, .limit = HD_LIMIT_JOBS, .value = 9}};
    assert_hd_ok(hd_store_append(place->store, &more, 1, &err));
}

/* A fact that has gone is noticed when loading, wherever it was. */
static void missing_facts_are_noticed(void **state)
{
    struct place *place = *state;
    static const char *const deletions[] = {
        "DELETE FROM runs WHERE seq = 1",
        "DELETE FROM run_states WHERE seq = (SELECT min(seq) FROM run_states)",
        "UPDATE commands SET seq = 100000 WHERE seq = (SELECT max(seq) FROM commands)",
    };
    for (size_t i = 0; i < HD_COUNT(deletions); i++) {
        struct place fresh;
        place_make(&fresh, place->sqlite);
        assert_hd_ok(place_open(&fresh));
        fill(&fresh, 14, 300);
        place_close(&fresh);
        run_sql(fresh.path, deletions[i]);
        assert_hd_ok(place_open(&fresh));
        assert_hd_fails(hd_store_load(fresh.store, ignore_fact, NULL, &err), HD_E_CORRUPT,
                        "missing");
        place_remove(&fresh);
    }
}

/* A value that no fact could have written is refused with its place. */
static void impossible_values_are_noticed(void **state)
{
    struct place *place = *state;
    fill(place, 15, 100);
    place_close(place);
    run_sql(place->path, "UPDATE jobs SET rung = -3 WHERE seq = (SELECT min(seq) FROM jobs)");
    assert_hd_ok(place_open(place));
    assert_hd_fails(hd_store_load(place->store, ignore_fact, NULL, &err), HD_E_CORRUPT,
                    "column rung");
    place_close(place);
    run_sql(place->path, "UPDATE jobs SET rung = 0; UPDATE configs SET values_f64 = x'0102'");
    assert_hd_ok(place_open(place));
    assert_hd_fails(hd_store_load(place->store, ignore_fact, NULL, &err), HD_E_CORRUPT,
                    "column values_f64");
}

/* Pages overwritten with noise are noticed at open or load; nothing is invented. */
static void damaged_pages_are_noticed(void **state)
{
    struct place *place = *state;
    fill(place, 16, 400);
    place_close(place);
    struct stat st;
    assert_int_equal(stat(place->path, &st), 0);
    int fd = open(place->path, O_RDWR);
    assert_true(fd >= 0);
    unsigned char noise[4096];
    memset(noise, 0xa5, sizeof(noise));
    for (off_t at = 4096; at + 4096 <= st.st_size; at += 4096)
        assert_int_equal(pwrite(fd, noise, sizeof(noise), at), (ssize_t)sizeof(noise));
    close(fd);
    enum hd_code code = place_open(place);
    if (code == HD_OK)
        code = hd_store_load(place->store, ignore_fact, NULL, &err);
    assert_int_equal(code, HD_E_CORRUPT);
}

/* A full disk keeps nothing of the batch; the same batch succeeds when there is room again. */
static void full_disk_can_be_retried(void **state)
{
    struct place *place = *state;
    struct test_facts *facts = calloc(1, sizeof(*facts));
    test_facts_random(facts, 17, 400);
    assert_hd_ok(hd_store_append(place->store, facts->items, 20, &err));
    sqlite_faults_disk(64 * 1024);
    size_t done = 20;
    enum hd_code code = HD_OK;
    while (code == HD_OK && done < facts->count) {
        code = hd_store_append(place->store, facts->items + done, 20, &err);
        done += code == HD_OK ? 20 : 0;
    }
    assert_int_equal(code, HD_E_FULL);
    for (int i = 0; i < 3; i++)
        assert_hd_fails(hd_store_append(place->store, facts->items + done, 20, &err), HD_E_FULL,
                        "full");
    assert_holds(place->store, facts, done);
    sqlite_faults_disk(-1);
    assert_hd_ok(hd_store_append(place->store, facts->items + done, facts->count - done, &err));
    assert_holds(place->store, facts, facts->count);
    place_close(place);
    assert_hd_ok(place_open(place));
    assert_holds(place->store, facts, facts->count);
    test_facts_release(facts);
    free(facts);
}

/* A failed fsync is final: nobody may trust the connection again; a reopened store is whole. */
static void failed_fsync_is_final(void **state)
{
    struct place *place = *state;
    struct test_facts *facts = calloc(1, sizeof(*facts));
    test_facts_random(facts, 18, TORTURE_BATCH * 2);
    assert_hd_ok(hd_store_append(place->store, facts->items, TORTURE_BATCH, &err));
    sqlite_faults_sync_after(0);
    const struct hd_fact *rest = facts->items + TORTURE_BATCH;
    assert_hd_fails(hd_store_append(place->store, rest, TORTURE_BATCH, &err), HD_E_IO, "commit");
    assert_hd_fails(hd_store_append(place->store, rest, TORTURE_BATCH, &err), HD_E_IO,
                    "failed before");
    place_close(place);
    assert_recovers(place, facts, TORTURE_BATCH);
    test_facts_release(facts);
    free(facts);
}

static void append_one(struct place *place, struct hd_fact fact, enum hd_code expected)
{
    fact.seq = hd_store_last_seq(place->store) + 1;
    enum hd_code code = hd_store_append(place->store, &fact, 1, &err);
    if (code != expected)
        fail_msg("kind %d: %s: %s", (int)fact.kind, hd_code_name(code), err.text);
}

/* Nothing is made twice: neither a run, a config, a job, an attempt, nor the end of a job. */
static void what_exists_is_refused(void **state)
{
    struct place *place = *state;
    double value = 0.5;
    struct hd_fact run = {.kind = HD_FACT_RUN_CREATED, .as.run_created = {.run_id = "a"}};
    struct hd_fact config = {.kind = HD_FACT_CONFIG_PROPOSED,
                             .as.config_proposed = {.values = &value, .value_count = 1}};
    struct hd_fact job = {.kind = HD_FACT_JOB_QUEUED, .as.job_queued = {.budget = 1}};
    struct hd_fact lease = {.kind = HD_FACT_ATTEMPT_LEASED,
                            .as.attempt_leased = {.attempt = 1, .worker = "w"}};
    struct hd_fact end = {.kind = HD_FACT_ATTEMPT_ENDED, .as.attempt_ended = {.attempt = 1}};
    const struct hd_fact all[] = {run, config, job, lease, end};
    for (size_t i = 0; i < HD_COUNT(all); i++) {
        append_one(place, all[i], HD_OK);
        append_one(place, all[i], HD_E_INVALID);
    }
    assert_int_equal(hd_store_last_seq(place->store), HD_COUNT(all));
}

/* The fact that is refused is named, and nothing of its commit is kept. */
static void one_that_is_refused_takes_all_with_it(void **state)
{
    struct place *place = *state;
    double value = 0.5;
    struct hd_fact run = {.kind = HD_FACT_RUN_CREATED, .as.run_created = {.run_id = "a"}};
    append_one(place, run, HD_OK);
    struct hd_fact facts[4] = {{.kind = HD_FACT_CONFIG_PROPOSED},
                               {.kind = HD_FACT_JOB_QUEUED, .as.job_queued = {.budget = 1}},
                               {.kind = HD_FACT_CONFIG_PROPOSED},
                               {.kind = HD_FACT_CONFIG_PROPOSED}};
    for (uint32_t i = 0; i < HD_COUNT(facts); i++)
        facts[i].seq = 2 + i;
    for (uint32_t i = 0; i < HD_COUNT(facts); i++)
        if (facts[i].kind == HD_FACT_CONFIG_PROPOSED)
            facts[i].as.config_proposed = (struct hd_fact_config_proposed){
                .config = i == 2 ? 0 : i, .values = &value, .value_count = 1};
    assert_int_equal(hd_store_append(place->store, facts, HD_COUNT(facts), &err), HD_E_INVALID);
    assert_non_null(strstr(err.text, "fact 4: configs"));
    assert_int_equal(hd_store_last_seq(place->store), 1);
    facts[2].as.config_proposed.config = 2;
    assert_hd_ok(hd_store_append(place->store, facts, HD_COUNT(facts), &err));
}

/* A reader in the middle of its transaction does not hold up the master. */
static void readers_do_not_block(void **state)
{
    struct place *place = *state;
    fill(place, 19, 50);
    sqlite3 *db = NULL;
    assert_int_equal(sqlite3_open_v2(place->path, &db, SQLITE_OPEN_READONLY, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_exec(db, "BEGIN; SELECT count(*) FROM runs", NULL, NULL, NULL),
                     SQLITE_OK);
    struct hd_fact fact = {.kind = HD_FACT_RUN_STATE};
    append_one(place, fact, HD_OK);
    assert_int_equal(sqlite3_close(db), SQLITE_OK);
}

static int count_rows(void *context, int column_count, char **values, char **names)
{
    (void)column_count;
    (void)values;
    (void)names;
    ++*(int *)context;
    return 0;
}

/* Every view can be read in full over any facts. */
static void views_can_be_read(void **state)
{
    struct place *place = *state;
    fill(place, 20, 1000);
    static const struct {
        const char *view, *table;
    } rows[] = {{"v_jobs", "jobs"}, {"v_runs", "runs"}, {"v_curve", "curve_points"}};
    sqlite3 *db = NULL;
    assert_int_equal(sqlite3_open_v2(place->path, &db, SQLITE_OPEN_READONLY, NULL), SQLITE_OK);
    for (size_t i = 0; i < HD_COUNT(rows); i++) {
        char sql[128];
        int view_count = 0, table_count = 0;
        assert_true(hd_format(sql, sizeof(sql), "SELECT * FROM %s", rows[i].view));
        assert_int_equal(sqlite3_exec(db, sql, count_rows, &view_count, NULL), SQLITE_OK);
        assert_true(hd_format(sql, sizeof(sql), "SELECT * FROM %s", rows[i].table));
        assert_int_equal(sqlite3_exec(db, sql, count_rows, &table_count, NULL), SQLITE_OK);
        assert_true(view_count > 0);
        assert_int_equal(view_count, table_count);
    }
    int count = 0;
    assert_int_equal(sqlite3_exec(db, "SELECT * FROM v_incumbents", count_rows, &count, NULL),
                     SQLITE_OK);
    assert_true(count > 0);
    assert_int_equal(sqlite3_close(db), SQLITE_OK);
}

#define ON_BOTH(test)                                                                              \
    {"memory: " #test, test, setup_memory, teardown, NULL},                                        \
    {                                                                                              \
        "sqlite: " #test, test, setup_sqlite, teardown, NULL                                       \
    }
#define ON_SQLITE(test)                                                                            \
    {                                                                                              \
        "sqlite: " #test, test, setup_sqlite, teardown, NULL                                       \
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
        ON_SQLITE(reopened_store_goes_on),
        ON_SQLITE(second_opener_is_refused),
        ON_SQLITE(file_is_private),
        ON_SQLITE(foreign_files_are_refused),
        ON_SQLITE(newer_version_is_refused),
        ON_SQLITE(version_1_is_migrated),
        ON_SQLITE(older_version_is_brought_up_to_date),
        ON_SQLITE(missing_facts_are_noticed),
        ON_SQLITE(impossible_values_are_noticed),
        ON_SQLITE(damaged_pages_are_noticed),
        ON_SQLITE(full_disk_can_be_retried),
        ON_SQLITE(failed_fsync_is_final),
        ON_SQLITE(what_exists_is_refused),
        ON_SQLITE(one_that_is_refused_takes_all_with_it),
        ON_SQLITE(readers_do_not_block),
        ON_SQLITE(views_can_be_read),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
