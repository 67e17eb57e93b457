/* SPDX-License-Identifier: Apache-2.0 */
/* What every view promises, over random facts; what hd says of a small store is golden elsewhere.
 */
#include "testlib.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <hd/store.h>
#include <hd/view.h>

#include "facts.h"
#include "sqlite_faults.h"

static struct hd_err err;

struct place {
    char *dir;
    char path[600];
    struct test_facts facts;
    struct hd_store *store;
    struct hd_view *view;
};

/* A live store with many random facts, some of them with long texts, and a reader on it. */
static int setup(void **state)
{
    struct place *place = calloc(1, sizeof(*place));
    assert_non_null(place);
    place->dir = test_dir_make();
    assert_true(hd_format(place->path, sizeof(place->path), "%s/state.db", place->dir));
    test_facts_random(&place->facts, 77, 3000);
    assert_hd_ok(hd_store_open_sqlite(place->path, &place->store, &err));
    assert_hd_ok(hd_store_append(place->store, place->facts.items, place->facts.count, &err));
    assert_hd_ok(hd_view_open(place->dir, &place->view, &err));
    *state = place;
    return 0;
}

static int teardown(void **state)
{
    struct place *place = *state;
    sqlite_faults_after(-1, SQLITE_FAULT_IO);
    hd_test_fail_alloc_after(-1);
    hd_view_close(place->view);
    hd_store_close(place->store);
    test_facts_release(&place->facts);
    test_dir_remove(place->dir);
    free(place);
    return 0;
}

static struct hd_value *make_arguments(const char *run, int64_t job, int64_t after, int64_t limit)
{
    struct hd_value *arguments = hd_value_new_object();
    assert_non_null(arguments);
    if (run != NULL)
        assert_int_equal(hd_value_set(arguments, "run", hd_value_new_string(run)), HD_OK);
    if (job >= 0)
        assert_int_equal(hd_value_set(arguments, "job", hd_value_new_int(job)), HD_OK);
    assert_int_equal(hd_value_set(arguments, "after", hd_value_new_int(after)), HD_OK);
    assert_int_equal(hd_value_set(arguments, "limit", hd_value_new_int(limit)), HD_OK);
    return arguments;
}

static struct hd_value *ask(struct hd_view *view, const char *name, const char *run, int64_t job,
                            int64_t after, int64_t limit)
{
    struct hd_value *arguments = make_arguments(run, job, after, limit), *answer = NULL;
    assert_hd_ok(hd_view_read(view, name, arguments, &answer, &err));
    hd_value_free(arguments);
    return answer;
}

/* Every view answers over any facts, and its JSON fits into one message. */
static void answers_are_bounded(void **state)
{
    struct place *place = *state;
    for (const char *const *name = hd_view_names(); *name != NULL; name++) {
        struct hd_value *answer = ask(place->view, *name, "run-0", 3, -1, HD_VIEW_LIMIT_MAX);
        struct hd_buf text;
        hd_buf_init(&text, HD_VIEW_JSON_MAX);
        assert_hd_ok(hd_json_write(answer, HD_JSON_COMPACT, &text, &err));
        assert_true(text.size > 2);
        hd_buf_release(&text);
        hd_value_free(answer);
    }
}

/* Following "next" visits every job once and in order, however small the pages are. */
static void pages_of_jobs_hold_every_job_once(void **state)
{
    struct place *place = *state;
    static const int64_t limits[] = {1, 7, HD_VIEW_LIMIT_MAX};
    int64_t expected = 0;
    for (size_t i = 0; i < place->facts.count; i++)
        expected +=
            place->facts.items[i].run == 0 && place->facts.items[i].kind == HD_FACT_JOB_QUEUED ? 1
                                                                                               : 0;
    for (size_t i = 0; i < HD_COUNT(limits); i++) {
        int64_t count = 0;
        for (int64_t after = -1; after >= -1;) {
            struct hd_value *answer = ask(place->view, "jobs", "run-0", -1, after, limits[i]);
            const struct hd_value *jobs = hd_value_get(answer, "jobs");
            for (size_t k = 0; k < jobs->as.array.count; k++)
                assert_int_equal(hd_value_get(jobs->as.array.items[k], "job")->as.integer, count++);
            const struct hd_value *next = hd_value_get(answer, "next");
            after = next->kind == HD_VALUE_INT ? next->as.integer : -2;
            hd_value_free(answer);
        }
        assert_int_equal(count, expected);
    }
}

/* Events give every fact once, in order of seq, also when a page is cut by its bytes. */
static void events_hold_every_fact_once(void **state)
{
    struct place *place = *state;
    int64_t seq = 0;
    size_t pages = 0;
    for (int64_t after = 0, before = -1; after != before;) {
        struct hd_value *answer = ask(place->view, "events", NULL, -1, after, HD_VIEW_LIMIT_MAX);
        const struct hd_value *events = hd_value_get(answer, "events");
        for (size_t k = 0; k < events->as.array.count; k++)
            assert_int_equal(hd_value_get(events->as.array.items[k], "seq")->as.integer, ++seq);
        before = after;
        after = hd_value_get(answer, "next")->as.integer;
        pages++;
        hd_value_free(answer);
    }
    assert_int_equal(seq, place->facts.count);
    assert_true(pages > 3 + 1); /* 3,000 long facts do not fit into three messages */
}

/* A reader sees what was committed since it was opened. */
static void readers_see_new_commits(void **state)
{
    struct place *place = *state;
    struct hd_fact fact = {.kind = HD_FACT_RUN_STATE,
                           .seq = place->facts.count + 1,
                           .as.run_state = {HD_RUN_PAUSED, "five failures"}};
    assert_hd_ok(hd_store_append(place->store, &fact, 1, &err));
    struct hd_value *answer = ask(place->view, "status", "run-0", -1, -1, 10);
    assert_string_equal(hd_value_get(answer, "state")->as.string, "paused");
    assert_string_equal(hd_value_get(answer, "reason")->as.string, "five failures");
    hd_value_free(answer);
}

/* A job that is stopped has spent what it came to; one that nobody told what that was, its budget.
 */
static void stopped_jobs_spend_what_they_reached(void **state)
{
    struct place *place = *state;
    uint64_t seq = place->facts.count;
    uint32_t run = 0;
    double value = 0.5;
    for (size_t i = 0; i < place->facts.count; i++)
        run += place->facts.items[i].kind == HD_FACT_RUN_CREATED ? 1 : 0;
    struct hd_fact facts[16] = {
        {.kind = HD_FACT_RUN_CREATED, .as.run_created = {"curves", 77, 1, "{}"}},
        {.kind = HD_FACT_CONFIG_PROPOSED,
         .as.config_proposed = {.values = &value, .value_count = 1, .info = {.sampler = "random"}}},
    };
    size_t count = 2;
    static const struct {
        enum hd_outcome outcome;
        double step; /* 0: says nothing */
    } jobs[] = {{HD_OUTCOME_STOPPED, 3}, {HD_OUTCOME_STOPPED, 0}, {HD_OUTCOME_OK, 3}};
    for (uint32_t j = 0; j < HD_COUNT(jobs); j++) {
        facts[count++] = (struct hd_fact){.kind = HD_FACT_JOB_QUEUED,
                                          .as.job_queued = {j, 0, 0, j, 10, (double)NAN}};
        facts[count++] =
            (struct hd_fact){.kind = HD_FACT_ATTEMPT_LEASED,
                             .as.attempt_leased = {j, 1, "w", 1, j + 1, "root", "", (double)NAN}};
        for (double step = 1; step <= jobs[j].step; step += 2)
            facts[count++] =
                (struct hd_fact){.kind = HD_FACT_CURVE_POINT, .as.curve_point = {j, 1, step, 0.5}};
        facts[count++] = (struct hd_fact){.kind = HD_FACT_ATTEMPT_ENDED,
                                          .as.attempt_ended = {.job = j,
                                                               .attempt = 1,
                                                               .outcome = jobs[j].outcome,
                                                               .loss = 0.5,
                                                               .worker = "w",
                                                               .message = "",
                                                               .info_json = "",
                                                               .root = "root",
                                                               .directory = ""}};
    }
    assert_true(count <= HD_COUNT(facts));
    for (size_t i = 0; i < count; i++) {
        facts[i].run = run;
        facts[i].seq = ++seq;
    }
    assert_hd_ok(hd_store_append(place->store, facts, count, &err));
    struct hd_value *answer = ask(place->view, "status", "curves", -1, -1, 10);
    assert_true(hd_value_number(hd_value_get(answer, "budget_spent")) == 3 + 10 + 10);
    hd_value_free(answer);
}

#define CONFIGS_MAX 5000  /* whose incumbents are told one after the other */
#define FACTS_OF_CONFIG 4 /* it, its job, the attempt and its end */

/* One result for each config of a noisy target; each is better than those before it. */
static size_t make_noisy_run(struct hd_fact *facts, uint32_t configs, const double *value)
{
    size_t count = 0;
    facts[count++] = (struct hd_fact){
        .kind = HD_FACT_RUN_CREATED,
        .as.run_created = {"noisy", 78, 1, "{\"noise\":{\"repeats\":2,\"share\":0.3}}"}};
    for (uint32_t i = 0; i < configs; i++) {
        facts[count++] = (struct hd_fact){
            .kind = HD_FACT_CONFIG_PROPOSED,
            .as.config_proposed = {
                .config = i, .values = value, .value_count = 1, .info = {.sampler = "random"}}};
        facts[count++] = (struct hd_fact){.kind = HD_FACT_JOB_QUEUED,
                                          .as.job_queued = {i, i, 0, 0, 1, (double)NAN}};
        facts[count++] =
            (struct hd_fact){.kind = HD_FACT_ATTEMPT_LEASED,
                             .as.attempt_leased = {i, 1, "w", 1, i + 1, "root", "", (double)NAN}};
        facts[count++] = (struct hd_fact){.kind = HD_FACT_ATTEMPT_ENDED,
                                          .as.attempt_ended = {.job = i,
                                                               .attempt = 1,
                                                               .outcome = HD_OUTCOME_OK,
                                                               .loss = -(double)i,
                                                               .worker = "w",
                                                               .message = "",
                                                               .info_json = "",
                                                               .root = "root",
                                                               .directory = ""}};
    }
    return count;
}

/* A noisy target with very many configs: the best are told whole, the way to them as far as it was
 * cheap to work out, and how far that is. */
static void a_long_trajectory_says_where_it_ends(void **state)
{
    struct place *place = *state;
    static struct hd_fact facts[1 + FACTS_OF_CONFIG * (CONFIGS_MAX + 1)];
    double value = 0.5;
    uint32_t run = 0;
    for (size_t i = 0; i < place->facts.count; i++)
        run += place->facts.items[i].kind == HD_FACT_RUN_CREATED ? 1 : 0;
    size_t count = make_noisy_run(facts, CONFIGS_MAX + 1, &value);
    for (size_t i = 0; i < count; i++) {
        facts[i].run = run;
        facts[i].seq = place->facts.count + i + 1;
    }
    assert_hd_ok(hd_store_append(place->store, facts, count - FACTS_OF_CONFIG, &err));
    for (uint32_t configs = CONFIGS_MAX; configs <= CONFIGS_MAX + 1; configs++) {
        struct hd_value *answer = ask(place->view, "best", "noisy", -1, -1, 1);
        const struct hd_value *end = hd_value_get(answer, "trajectory_of_first");
        assert_true((end != NULL) == (configs > CONFIGS_MAX));
        assert_true(end == NULL || end->as.integer == CONFIGS_MAX);
        assert_true(hd_value_get(answer, "trajectory")->as.array.count > 1);
        const struct hd_value *best = hd_value_get(answer, "best");
        assert_int_equal(best->as.array.count, 1);
        assert_int_equal(hd_value_get(best->as.array.items[0], "job")->as.integer, configs - 1);
        hd_value_free(answer);
        if (end == NULL)
            assert_hd_ok(hd_store_append(place->store, &facts[count - FACTS_OF_CONFIG],
                                         FACTS_OF_CONFIG, &err));
    }
}

/* Which jobs are asked for has nothing to do with which run is the only one. */
static void the_only_run_needs_no_name(void **state)
{
    struct place *place = *state;
    static struct hd_fact facts[1 + FACTS_OF_CONFIG];
    char path[700];
    double value = 0.5;
    struct hd_store *store = NULL;
    struct hd_view *view = NULL;
    assert_true(hd_format(path, sizeof(path), "%s/only.db", place->dir));
    size_t count = make_noisy_run(facts, 1, &value);
    for (size_t i = 0; i < count; i++)
        facts[i].seq = i + 1;
    assert_hd_ok(hd_store_open_sqlite(path, &store, &err));
    assert_hd_ok(hd_store_append(store, facts, count, &err));
    assert_hd_ok(hd_view_open(path, &view, &err));
    static const struct {
        const char *state;
        size_t jobs;
    } rows[] = {{"closed", 1}, {"queued", 0}};
    for (size_t i = 0; i < HD_COUNT(rows); i++) {
        struct hd_value *arguments = make_arguments(NULL, -1, -1, 10), *answer = NULL;
        assert_int_equal(hd_value_set(arguments, "state", hd_value_new_string(rows[i].state)),
                         HD_OK);
        assert_hd_ok(hd_view_read(view, "jobs", arguments, &answer, &err));
        assert_int_equal(hd_value_get(answer, "jobs")->as.array.count, rows[i].jobs);
        hd_value_free(answer);
        hd_value_free(arguments);
    }
    hd_view_close(view);
    hd_store_close(store);
}

/* A question that cannot be answered says what would be right. */
static void wrong_questions_are_refused(void **state)
{
    struct place *place = *state;
    static const struct {
        const char *name, *arguments;
        enum hd_code code;
        const char *part;
    } rows[] = {
        {"weather", "{}", HD_E_INVALID, "weather"},
        {"status", "{}", HD_E_CONFLICT, "name one"},
        {"status", "{\"run\":\"x\"}", HD_E_NOTFOUND, "no run \"x\""},
        {"status", "{\"run\":7}", HD_E_INVALID, "run must be a text"},
        {"status",
         "{\"run\":\"0123456789012345678901234567890123456789012345678901234567890123456789\"}",
         HD_E_INVALID, "at most 64"},
        {"job", "{\"run\":\"run-0\"}", HD_E_INVALID, "needs the number of a job"},
        {"job", "{\"run\":\"run-0\",\"job\":-1}", HD_E_INVALID, "job must be"},
        {"job", "{\"run\":\"run-0\",\"job\":99999}", HD_E_NOTFOUND, "no job 99999"},
        {"explain", "{\"run\":\"run-0\",\"job\":99999}", HD_E_NOTFOUND, "no job 99999"},
        {"jobs", "{\"run\":\"run-0\",\"limit\":0}", HD_E_INVALID, "limit must be"},
        {"jobs", "{\"run\":\"run-0\",\"limit\":1001}", HD_E_INVALID, "1..1000"},
        {"jobs", "{\"run\":\"run-0\",\"after\":\"3\"}", HD_E_INVALID, "after must be"},
        {"jobs", "{\"run\":\"run-0\",\"state\":\"closd\"}", HD_E_INVALID,
         "did you mean \"closed\""},
        {"jobs", "{\"run\":\"run-0\",\"state\":\"x\"}", HD_E_INVALID, "queued, running, closed"},
        {"jobs", "{\"run\":\"run-0\",\"outcome\":\"okk\"}", HD_E_INVALID, "did you mean \"ok\""},
        {"jobs", "{\"run\":\"run-0\",\"outcome\":\"lost\"}", HD_E_INVALID, "config-error, infra"},
    };
    for (size_t i = 0; i < HD_COUNT(rows); i++) {
        struct hd_value *arguments = NULL, *answer = NULL;
        assert_hd_ok(hd_json_parse(rows[i].arguments, strlen(rows[i].arguments), "row",
                                   &hd_value_limits_file, &arguments, &err));
        assert_hd_fails(hd_view_read(place->view, rows[i].name, arguments, &answer, &err),
                        rows[i].code, rows[i].part);
        assert_null(answer);
        hd_value_free(arguments);
    }
}

/* Only stores are opened. */
static void foreign_files_are_refused(void **state)
{
    struct place *place = *state;
    struct hd_view *view = NULL;
    char path[700];
    assert_true(hd_format(path, sizeof(path), "%s/none", place->dir));
    assert_hd_fails(hd_view_open(path, &view, &err), HD_E_NOTFOUND, "no store at");
    test_file_write(path, "this is a text, and long enough to be taken for a header of a file: "
                          "................................................................");
    assert_hd_fails(hd_view_open(path, &view, &err), HD_E_CORRUPT, "none");
    test_file_write(path, "");
    assert_hd_fails(hd_view_open(path, &view, &err), HD_E_NOTFOUND, "empty");
    assert_null(view);
}

/* What may not be looked at is not said to be missing. Root may look at everything. */
static void a_store_behind_a_closed_door_is_not_missing(void **state)
{
    struct place *place = *state;
    struct hd_view *view = NULL;
    const uid_t before = geteuid(), uid = before == 0 ? 65534 : before;
    assert_int_equal(chmod(place->dir, 0), 0);
    if (seteuid(uid) != 0) { /* a user namespace that knows root alone */
        assert_int_equal(errno, EINVAL);
        assert_int_equal(chmod(place->dir, 0700), 0);
        skip();
    }
    enum hd_code code = hd_view_open(place->path, &view, &err);
    assert_int_equal(seteuid(before), 0);
    assert_int_equal(chmod(place->dir, 0700), 0);
    assert_hd_fails(code, HD_E_IO, "Permission denied");
}

/* Whichever allocation fails, a view answers whole or says that memory is short. */
static void every_allocation_fails_once(void **state)
{
    struct place *place = *state;
    size_t failures = 0;
    for (const char *const *name = hd_view_names(); *name != NULL; name++) {
        struct hd_value *arguments = make_arguments("run-0", 3, -1, 5), *whole = NULL;
        assert_hd_ok(hd_view_read(place->view, *name, arguments, &whole, &err));
        size_t successes = 0; /* the countdown has passed the last allocation after some */
        for (int64_t countdown = 0; successes < 20; countdown += 1 + countdown / 16) {
            struct hd_value *answer = NULL;
            hd_test_fail_alloc_after(countdown);
            enum hd_code code = hd_view_read(place->view, *name, arguments, &answer, &err);
            hd_test_fail_alloc_after(-1);
            successes = code == HD_OK ? successes + 1 : 0;
            failures += code == HD_OK ? 0 : 1;
            if (code == HD_OK)
                assert_true(hd_value_equal(answer, whole));
            else if (code != HD_E_NOMEM)
                fail_msg("%s, allocation %lld: %s: %s", *name, (long long)countdown,
                         hd_code_name(code), err.text);
            hd_value_free(answer);
        }
        hd_value_free(whole);
        hd_value_free(arguments);
    }
    assert_true(failures > 100);
}

/* Whichever operation of the file system fails while opening and reading, the answer is whole or
 * an error, and the master's store is not harmed. */
static void every_file_operation_fails_once(void **state)
{
    struct place *place = *state;
    size_t failures = 0;
    struct hd_value *whole = ask(place->view, "status", "run-1", -1, -1, 10);
    struct hd_value *arguments = make_arguments("run-1", -1, -1, 10);
    for (int64_t countdown = 0;; countdown++) {
        struct hd_view *view = NULL;
        struct hd_value *answer = NULL;
        sqlite_faults_after(countdown, SQLITE_FAULT_IO);
        enum hd_code code = hd_view_open(place->dir, &view, &err);
        if (code == HD_OK)
            code = hd_view_read(view, "status", arguments, &answer, &err);
        bool struck = sqlite_faults_operation_count() > countdown;
        sqlite_faults_after(-1, SQLITE_FAULT_IO);
        failures += code == HD_OK ? 0 : 1;
        if (code == HD_OK)
            assert_true(hd_value_equal(answer, whole));
        hd_value_free(answer);
        hd_view_close(view);
        if (!struck)
            break;
    }
    assert_true(failures > 3);
    hd_value_free(whole);
    hd_value_free(arguments);
    struct hd_value *after = ask(place->view, "status", "run-0", -1, -1, 10);
    hd_value_free(after);
}

/* Every view answers over a checkpoint of each version so far, which it leaves as it is. */
static void every_version_is_read(void **state)
{
    struct place *place = *state;
    size_t versions = 0;
    for (;; versions++) {
        char from[600], to[600];
        size_t size, size_after;
        assert_true(hd_format(from, sizeof(from), "%s/tests/data/checkpoint-v%zu.db",
                              getenv("HD_SOURCE_ROOT"), versions + 1));
        if (access(from, R_OK) != 0)
            break;
        assert_true(hd_format(to, sizeof(to), "%s/older-%zu.db", place->dir, versions + 1));
        char *bytes = test_file_read(from, &size);
        FILE *out = fopen(to, "wb");
        assert_non_null(out);
        assert_int_equal(fwrite(bytes, 1, size, out), size);
        assert_int_equal(fclose(out), 0);
        struct hd_view *view = NULL;
        assert_hd_ok(hd_view_open(to, &view, &err));
        for (const char *const *name = hd_view_names(); *name != NULL; name++)
            hd_value_free(ask(view, *name, "r0", 0, -1, 100));
        hd_view_close(view);
        char *after = test_file_read(to, &size_after);
        assert_int_equal(size_after, size);
        assert_memory_equal(after, bytes, size);
        free(after);
        free(bytes);
    }
    assert_true(versions >= 3);
}

#define VIEW_TEST(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
    sqlite_faults_install();
    const struct CMUnitTest tests[] = {
        VIEW_TEST(answers_are_bounded),
        VIEW_TEST(pages_of_jobs_hold_every_job_once),
        VIEW_TEST(events_hold_every_fact_once),
        VIEW_TEST(readers_see_new_commits),
        VIEW_TEST(stopped_jobs_spend_what_they_reached),
        VIEW_TEST(a_long_trajectory_says_where_it_ends),
        VIEW_TEST(the_only_run_needs_no_name),
        VIEW_TEST(wrong_questions_are_refused),
        VIEW_TEST(foreign_files_are_refused),
        VIEW_TEST(a_store_behind_a_closed_door_is_not_missing),
        VIEW_TEST(every_version_is_read),
        VIEW_TEST(every_allocation_fails_once),
        VIEW_TEST(every_file_operation_fails_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
