/* SPDX-License-Identifier: Apache-2.0 */
/* What a worker asks about its directories, and what it hears: as text, read as a stranger's. */
#include "driver_internal.h"
#include "needed.h"
#include "testlib.h"

#include <string.h>

static struct hd_err err;

/* A question that is none is refused, and the text says what would be one. */
static void a_question_is_read_with_care(void **state)
{
    (void)state;
    static const struct {
        const char *question, *answer;
    } rows[] = {
        {"{\"worker\":\"w\",\"root\":\"r\",\"left\":[]}", "{\"need\":[]}"},
        {"{\"worker\":\"w\",\"root\":\"r\",\"left\":[[\"00000000000000ff\",0,1,7,\"c0-0-1\"]]}",
         "{\"need\":[\"unknown\"]}"},
        {"", NULL},
        {"{}", NULL},
        {"{\"worker\":\"w\",\"root\":\"r\",\"left\":{}}", NULL},
        {"{\"worker\":1,\"root\":\"r\",\"left\":[]}", NULL},
        {"{\"worker\":\"w\",\"root\":\"r\",\"left\":[1]}", NULL},
        {"{\"worker\":\"w\",\"root\":\"r\",\"left\":[[\"ff\",0,1,7,\"c\"]]}", NULL},
        {"{\"worker\":\"w\",\"root\":\"r\",\"left\":[[\"00000000000000xf\",0,1,7,\"c\"]]}", NULL},
        {"{\"worker\":\"w\",\"root\":\"r\",\"left\":[[\"00000000000000ff\",-1,1,7,\"c\"]]}", NULL},
        {"{\"worker\":\"w\",\"root\":\"r\",\"left\":[[\"00000000000000ff\",0,1,7.5,\"c\"]]}", NULL},
        {"{\"worker\":\"w\",\"root\":\"r\",\"left\":[[\"00000000000000ff\",0,4294967296,7,\"c\"]]}",
         NULL},
        {"{\"worker\":\"w\",\"root\":\"r\",\"left\":[[\"00000000000000ff\",0,1,7,null]]}", NULL},
        {"{\"worker\":\"w\",\"root\":\"r\",\"left\":[[\"00000000000000ff\",0,1,7]]}", NULL},
    };
    struct hd_core *core = NULL;
    const struct hd_core_options options = {.ping_ms = 5000};
    assert_hd_ok(hd_core_new(&options, &core, &err));
    for (size_t i = 0; i < HD_COUNT(rows); i++) {
        struct hd_buf json;
        hd_buf_init(&json, 1024);
        enum hd_code code = hd_read_needs(core, rows[i].question, &json, &err);
        assert_int_equal(code, rows[i].answer != NULL ? HD_OK : HD_E_INVALID);
        if (code == HD_OK)
            assert_string_equal(hd_buf_text(&json), rows[i].answer);
        else if (rows[i].question[0] != '\0')
            assert_non_null(strstr(err.text, "at most 256 lists of run uid"));
        hd_buf_release(&json);
    }
    hd_core_free(core);
}

static void apply(struct hd_core *core, uint64_t seq, uint32_t run, enum hd_run_state state)
{
    static const char experiment[] = "{\"target\":{\"command\":[\"x\"]},\"space\":{\"x\":{"
                                     "\"type\":\"bool\"}}}";
    char id[16];
    (void)hd_format(id, sizeof(id), "run%u", run);
    const struct hd_fact made = {
        .seq = seq,
        .run = run,
        .kind = HD_FACT_RUN_CREATED,
        .as.run_created = {
            .run_id = id, .run_uid = 0xa0 + run, .experiment_json = experiment, .known_json = ""}};
    const struct hd_fact now = {.seq = seq + 1,
                                .run = run,
                                .kind = HD_FACT_RUN_STATE,
                                .as.run_state = {.state = state, .reason = "for the test"}};
    assert_hd_ok(hd_core_apply(core, &made, &err));
    if (state != HD_RUN_ACTIVE)
        assert_hd_ok(hd_core_apply(core, &now, &err));
}

/* Whether a run is over: of one that goes on, of one that is paused, and of strange questions. */
static void a_run_is_over_or_not(void **state)
{
    (void)state;
    static const struct {
        const char *question, *answer;
    } rows[] = {
        {"{\"runs\":[]}", "{\"over\":[]}"},
        {"{\"runs\":[\"00000000000000a0\",\"00000000000000a1\",\"00000000000000a2\","
         "\"00000000000000ff\"]}",
         "{\"over\":[true,true,false,null]}"},
        {"{}", NULL},
        {"", NULL},
        {"{\"runs\":\"00000000000000a0\"}", NULL},
        {"{\"runs\":[160]}", NULL},
        {"{\"runs\":[\"a0\"]}", NULL},
    };
    struct hd_core *core = NULL;
    const struct hd_core_options options = {.ping_ms = 5000};
    assert_hd_ok(hd_core_new(&options, &core, &err));
    apply(core, 1, 0, HD_RUN_PAUSED);
    apply(core, 3, 1, HD_RUN_CANCELLED);
    apply(core, 5, 2, HD_RUN_ACTIVE);
    for (size_t i = 0; i < HD_COUNT(rows); i++) {
        struct hd_buf json;
        hd_buf_init(&json, 1024);
        enum hd_code code = hd_read_over(core, rows[i].question, &json, &err);
        assert_int_equal(code, rows[i].answer != NULL ? HD_OK : HD_E_INVALID);
        if (code == HD_OK)
            assert_string_equal(hd_buf_text(&json), rows[i].answer);
        hd_buf_release(&json);
    }
    hd_core_free(core);
}

/* What a master answers to that is read with care. */
static void a_word_about_a_run_is_read_with_care(void **state)
{
    (void)state;
    static const struct {
        const char *answer;
        int word; /* -1: refused */
    } rows[] = {
        {"{\"over\":[true]}", HD_RUN_OVER},
        {"{\"over\":[false]}", HD_RUN_GOES_ON},
        {"{\"over\":[null]}", HD_RUN_UNHEARD},
        {"{\"over\":[]}", -1},
        {"{\"over\":[true,true]}", -1},
        {"{\"over\":true}", -1},
        {"{\"over\":[1]}", -1},
        {"{}", -1},
    };
    for (size_t i = 0; i < HD_COUNT(rows); i++) {
        struct hd_value *value = NULL;
        enum hd_run_word word = HD_RUN_UNHEARD;
        assert_hd_ok(hd_json_parse(rows[i].answer, strlen(rows[i].answer), "answer",
                                   &hd_value_limits_target, &value, &err));
        enum hd_code code = hd_needed_take_over(value, &word, &err);
        assert_int_equal(code, rows[i].word < 0 ? HD_E_INVALID : HD_OK);
        assert_int_equal(word, rows[i].word < 0 ? HD_RUN_UNHEARD : rows[i].word);
        hd_value_free(value);
    }
}

/* An answer that is none changes nothing. */
static void an_answer_is_read_with_care(void **state)
{
    (void)state;
    static const struct {
        const char *answer;
        enum hd_need first, second; /* COUNT: refused */
    } rows[] = {
        {"{\"need\":[\"nothing\",\"best\"]}", HD_NEED_NOTHING, HD_NEED_BEST},
        {"{\"need\":[\"unknown\",\"state\"]}", HD_NEED_UNKNOWN, HD_NEED_STATE},
        {"{\"need\":[\"nothing\"]}", HD_NEED_COUNT, HD_NEED_COUNT},
        {"{\"need\":[\"nothing\",\"something\"]}", HD_NEED_COUNT, HD_NEED_COUNT},
        {"{\"need\":[\"nothing\",4]}", HD_NEED_COUNT, HD_NEED_COUNT},
        {"{\"need\":\"nothing\"}", HD_NEED_COUNT, HD_NEED_COUNT},
        {"[]", HD_NEED_COUNT, HD_NEED_COUNT},
    };
    for (size_t i = 0; i < HD_COUNT(rows); i++) {
        struct hd_value *value = NULL;
        enum hd_need needs[2] = {HD_NEED_UNKNOWN, HD_NEED_UNKNOWN};
        assert_hd_ok(hd_json_parse(rows[i].answer, strlen(rows[i].answer), "answer",
                                   &hd_value_limits_target, &value, &err));
        enum hd_code code = hd_needed_take(value, 2, needs, &err);
        bool refused = rows[i].first == HD_NEED_COUNT;
        assert_int_equal(code, refused ? HD_E_INVALID : HD_OK);
        assert_int_equal(needs[0], refused ? HD_NEED_UNKNOWN : rows[i].first);
        assert_int_equal(needs[1], refused ? HD_NEED_UNKNOWN : rows[i].second);
        hd_value_free(value);
    }
}

/* Of several words the most cautious counts, and who knows nothing of it has no say. */
static void the_most_cautious_word_counts(void **state)
{
    (void)state;
    for (int one = 0; one < HD_NEED_COUNT; one++) {
        assert_int_equal(hd_needed_more((enum hd_need)one, HD_NEED_UNKNOWN), one);
        assert_int_equal(hd_needed_more(HD_NEED_UNKNOWN, (enum hd_need)one), one);
        if (one != HD_NEED_UNKNOWN)
            assert_int_equal(hd_needed_more((enum hd_need)one, HD_NEED_STATE), HD_NEED_STATE);
    }
    assert_int_equal(hd_needed_more(HD_NEED_NOTHING, HD_NEED_ROOM), HD_NEED_ROOM);
    assert_int_equal(hd_needed_more(HD_NEED_BEST, HD_NEED_NOTHING), HD_NEED_BEST);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_question_is_read_with_care),
        cmocka_unit_test(a_run_is_over_or_not),
        cmocka_unit_test(a_word_about_a_run_is_read_with_care),
        cmocka_unit_test(an_answer_is_read_with_care),
        cmocka_unit_test(the_most_cautious_word_counts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
