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
        cmocka_unit_test(an_answer_is_read_with_care),
        cmocka_unit_test(the_most_cautious_word_counts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
