/* SPDX-License-Identifier: Apache-2.0 */
/* What a worker remembers over its own death. */
#include "testlib.h"

#include "journal.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static struct hd_err err;

struct place {
    char *dir;
    struct hd_arena *arena;
};

static int set_up(void **state)
{
    struct place *place = calloc(1, sizeof(*place));
    place->dir = test_dir_make();
    assert_hd_ok(hd_arena_new(16u << 20, &place->arena, &err));
    *state = place;
    return 0;
}

static int tear_down(void **state)
{
    struct place *place = *state;
    hd_arena_free(place->arena);
    test_dir_remove(place->dir);
    free(place);
    return 0;
}

static struct hd_journal_attempt attempt_of(uint32_t job)
{
    return (struct hd_journal_attempt){
        .attempt = {UINT64_MAX - 3, job, 2, UINT32_MAX},
        .master = "m",
        .engine = "process",
        .run_id = "t",
        .config_id = "[0,1,2]",
        .run_dir = "/w/t/run/7-2",
        .work_dir = "/w/t/cfg/c5-7-1",
        .directory = "c5-7-1",
        .start = HD_START_COPY,
        .budget = 1.5,
        .gpus = job % 2 == 0 ? "" : "GPU-1,GPU-2",
        .experiment_json = "{\"name\": \"\\u00e9 \\\"quoted\\\"\"}",
    };
}

static struct hd_result result_of(uint32_t job, double loss)
{
    return (struct hd_result){
        .attempt = {UINT64_MAX - 3, job, 2, UINT32_MAX},
        .outcome = HD_OUTCOME_NO_RESULT,
        .loss = loss,
        .started_wall_ms = 1700000000123,
        .finished_wall_ms = 1700000000456,
        .exit_code = -1,
        .message = "line\nline",
        .info_json = "{\"a\":1}",
        .image_id = "sha256:12",
        .directory = "c5-7-1",
    };
}

static void path_in(const struct place *place, const char *name, char *path)
{
    assert_true(hd_format(path, HD_PATH_MAX, "%s/fffffffffffffffc-%s", place->dir, name));
}

static void what_is_kept_is_read_back(void **state)
{
    struct place *place = *state;
    static const double losses[] = {0.1, -0.0, (double)NAN, (double)INFINITY, -(double)INFINITY};
    for (uint32_t i = 0; i < HD_COUNT(losses); i++) {
        struct hd_journal_attempt kept = attempt_of(i), read;
        struct hd_result result = result_of(i, losses[i]), read_result;
        bool has_result = true;
        assert_hd_ok(hd_journal_keep_attempt(place->dir, &kept, &err));
        assert_hd_ok(hd_journal_read(place->dir, kept.attempt, place->arena, &read, &read_result,
                                     &has_result, &err));
        assert_false(has_result);
        assert_false(read.begun);
        hd_journal_note_begun(place->dir, kept.attempt, false);
        assert_hd_ok(hd_journal_keep_result(place->dir, &result, true, &err));
        assert_hd_ok(hd_journal_read(place->dir, kept.attempt, place->arena, &read, &read_result,
                                     &has_result, &err));
        assert_true(has_result);
        assert_true(read.begun);
        assert_true(hd_attempt_ref_equal(read.attempt, kept.attempt));
        assert_int_equal(read.attempt.stamp, kept.attempt.stamp);
        assert_int_equal(read_result.attempt.stamp, kept.attempt.stamp);
        assert_string_equal(read.master, kept.master);
        assert_string_equal(read.engine, kept.engine);
        assert_string_equal(read.run_id, kept.run_id);
        assert_string_equal(read.config_id, kept.config_id);
        assert_string_equal(read.run_dir, kept.run_dir);
        assert_string_equal(read.work_dir, kept.work_dir);
        assert_string_equal(read.directory, kept.directory);
        assert_int_equal(read.start, kept.start);
        assert_true(read.budget == kept.budget);
        assert_string_equal(read.gpus, kept.gpus);
        assert_string_equal(read.experiment_json, kept.experiment_json);
        assert_int_equal(read_result.outcome, result.outcome);
        assert_true(isnan(losses[i]) ? isnan(read_result.loss) : read_result.loss == losses[i]);
        assert_true(read_result.started_wall_ms == result.started_wall_ms);
        assert_true(read_result.finished_wall_ms == result.finished_wall_ms);
        assert_int_equal(read_result.exit_code, -1);
        assert_string_equal(read_result.message, result.message);
        assert_string_equal(read_result.info_json, result.info_json);
        assert_string_equal(read_result.image_id, result.image_id);
        assert_string_equal(read_result.directory, result.directory);
    }
}

/* It ends with the worker: whoever comes after looks for no target of it. */
static void a_target_that_stays_is_known_as_one(void **state)
{
    static const struct {
        bool kept, begun, begun_warm, expected;
    } rows[] = {{false, false, false, false},
                {false, true, false, false},
                {true, false, false, true},
                {false, true, true, true}};
    struct place *place = *state;
    for (uint32_t i = 0; i < HD_COUNT(rows); i++) {
        struct hd_journal_attempt kept = attempt_of(20 + i), read;
        struct hd_result result;
        bool has_result;
        kept.warm = rows[i].kept;
        assert_hd_ok(hd_journal_keep_attempt(place->dir, &kept, &err));
        if (rows[i].begun)
            hd_journal_note_begun(place->dir, kept.attempt, rows[i].begun_warm);
        assert_hd_ok(hd_journal_read(place->dir, kept.attempt, place->arena, &read, &result,
                                     &has_result, &err));
        assert_int_equal(read.warm, rows[i].expected);
        assert_int_equal(read.begun, rows[i].begun);
    }
}

static void what_is_listed_is_what_is_not_forgotten(void **state)
{
    struct place *place = *state;
    struct hd_attempt_ref found[8];
    size_t count = 9;
    char inner[HD_PATH_MAX], path[HD_PATH_MAX];
    assert_true(hd_format(inner, sizeof(inner), "%s/made/here", place->dir));
    assert_hd_ok(hd_journal_list(inner, found, HD_COUNT(found), &count, &err));
    assert_int_equal(count, 0);
    for (uint32_t i = 0; i < 3; i++) {
        struct hd_journal_attempt kept = attempt_of(i);
        struct hd_result result = result_of(i, 1);
        assert_hd_ok(hd_journal_keep_attempt(place->dir, &kept, &err));
        assert_hd_ok(hd_journal_keep_result(place->dir, &result, true, &err));
    }
    static const char *const rubbish[] = {"1-2.attempt.tmp", "x.attempt", "1-2.result", "7-1"};
    for (size_t i = 0; i < HD_COUNT(rubbish); i++) {
        path_in(place, rubbish[i], path);
        test_file_write(path, "");
    }
    assert_hd_ok(hd_journal_list(place->dir, found, HD_COUNT(found), &count, &err));
    assert_int_equal(count, 3);
    assert_hd_ok(hd_journal_list(place->dir, found, 2, &count, &err));
    assert_int_equal(count, 2);
    hd_journal_forget(place->dir, attempt_of(1).attempt);
    hd_journal_forget(place->dir, attempt_of(1).attempt);
    assert_hd_ok(hd_journal_list(place->dir, found, HD_COUNT(found), &count, &err));
    assert_int_equal(count, 2);
    for (size_t i = 0; i < count; i++)
        assert_int_not_equal(found[i].job, 1);
}

static void a_broken_file_is_an_error_and_a_broken_result_is_none(void **state)
{
    struct place *place = *state;
    struct hd_journal_attempt kept = attempt_of(7), read;
    struct hd_result result = result_of(7, 1), read_result;
    bool has_result = true;
    char path[HD_PATH_MAX];
    assert_hd_fails(hd_journal_read(place->dir, kept.attempt, place->arena, &read, &read_result,
                                    &has_result, &err),
                    HD_E_NOTFOUND, "7-2.attempt");
    assert_hd_ok(hd_journal_keep_attempt(place->dir, &kept, &err));
    assert_hd_ok(hd_journal_keep_result(place->dir, &result, true, &err));
    static const char *const broken[] = {"", "{", "[]", "{\"version\":1}",
                                         "{\"version\":1,\"outcome\":\"splendid\"}"};
    path_in(place, "7-2.result", path);
    for (size_t i = 0; i < HD_COUNT(broken); i++) {
        test_file_write(path, broken[i]);
        has_result = true;
        assert_hd_ok(hd_journal_read(place->dir, kept.attempt, place->arena, &read, &read_result,
                                     &has_result, &err));
        assert_false(has_result);
    }
    path_in(place, "7-2.attempt", path);
    static const struct {
        const char *text;
        enum hd_code code;
    } attempts[] = {
        {"{", HD_E_INVALID},
        {"{\"version\":2}", HD_E_VERSION},
        {"{\"version\":1}", HD_E_CORRUPT},
    };
    for (size_t i = 0; i < HD_COUNT(attempts); i++) {
        test_file_write(path, attempts[i].text);
        assert_hd_fails(hd_journal_read(place->dir, kept.attempt, place->arena, &read, &read_result,
                                        &has_result, &err),
                        attempts[i].code, "");
    }
}

#define IN_PLACE(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        IN_PLACE(what_is_kept_is_read_back),
        IN_PLACE(a_target_that_stays_is_known_as_one),
        IN_PLACE(what_is_listed_is_what_is_not_forgotten),
        IN_PLACE(a_broken_file_is_an_error_and_a_broken_result_is_none),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
