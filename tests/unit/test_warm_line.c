/* SPDX-License-Identifier: Apache-2.0 */
#include "testlib.h"

#include "warm_line.h"

#include <string.h>

static const struct {
    const char *text;
    enum hd_warm_line_kind kind;
    const char *id;
    const char *says; /* its text, or a part of why it is garbage */
} rows[] = {
    {"{\"stops\": true}", HD_WARM_ABOUT, "", ""},
    {"{\"id\": \"7-1\"}", HD_WARM_BEAT, "7-1", ""},
    {"{\"id\": \"7-1\", \"step\": 3, \"loss\": 0.5}", HD_WARM_POINT, "7-1",
     "{\"step\":3,\"loss\":0.5}"},
    {"{\"loss\": 0.25, \"id\": \"7-1\", \"state\": \"ok\"}", HD_WARM_ANSWER, "7-1",
     "{\"loss\":0.25,\"state\":\"ok\"}"},
    {" {\"id\": \"7-1\", \"state\": \"failed\"} ", HD_WARM_ANSWER, "7-1", "{\"state\":\"failed\"}"},
    {"{\"id\": \"7-1\", \"loss\": -nan}\r", HD_WARM_ANSWER, "7-1", "{\"loss\":NaN}"},
    {"{\"id\": \"7-1\", \"stops\": true}", HD_WARM_ANSWER, "7-1", "{\"stops\":true}"},
    {"", HD_WARM_GARBAGE, "", "''"},
    {"epoch 3 of 10", HD_WARM_GARBAGE, "", "'epoch 3 of 10'"},
    {"0.25", HD_WARM_GARBAGE, "", "it is no JSON object"},
    {"[1, 2]", HD_WARM_GARBAGE, "", "it is no JSON object"},
    {"{\"loss\": 0.25}", HD_WARM_GARBAGE, "", "it has no \"id\""},
    {"{\"id\": 7, \"loss\": 0.25}", HD_WARM_GARBAGE, "", "it has no \"id\""},
    {"{\"id\": \"\", \"loss\": 0.25}", HD_WARM_GARBAGE, "", "it has no \"id\""},
    {"{\"id\": \"0123456789012345678901234567890123456789\"}", HD_WARM_GARBAGE, "",
     "it has no \"id\""},
    {"{\"id\": \"7-1\", \"loss\": 0.25", HD_WARM_GARBAGE, "", "'{\"id\": \"7-1\""},
    {"{\"id\": \"7-1\", \"id\": \"8-1\"}", HD_WARM_GARBAGE, "", "id"},
    {"{\"stops\": \"yes\"}", HD_WARM_GARBAGE, "", "it has no \"id\""},
};

/* Each line is one of five things; what is kept of it does not hold the id. */
static void test_lines(void **state)
{
    (void)state;
    for (size_t i = 0; i < HD_COUNT(rows); i++) {
        struct hd_warm_line line;
        hd_warm_line_read(rows[i].text, strlen(rows[i].text), &line);
        if (line.kind != rows[i].kind)
            fail_msg("%s: kind %d", rows[i].text, line.kind);
        assert_string_equal(line.id, rows[i].id);
        if (line.kind == HD_WARM_GARBAGE)
            assert_non_null(strstr(line.why, rows[i].says));
        else
            assert_string_equal(hd_buf_text(&line.text), rows[i].says);
        hd_warm_line_release(&line);
    }
}

/* Bytes that are no text are not shown as they are. */
static void test_garbage_is_shown_safely(void **state)
{
    (void)state;
    static const char text[] = "\x1b[31m\0red\x80";
    struct hd_warm_line line;
    hd_warm_line_read(text, sizeof(text) - 1, &line);
    assert_int_equal(line.kind, HD_WARM_GARBAGE);
    assert_non_null(strstr(line.why, "'?[31m?red?'"));
    hd_warm_line_release(&line);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_lines),
        cmocka_unit_test(test_garbage_is_shown_safely),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
