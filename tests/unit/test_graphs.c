/* SPDX-License-Identifier: Apache-2.0 */
/* graphs.json: what is a chart, in all the ways that targets write it, and what is none. */
#include "testlib.h"

#include <hd/graphs.h>

#include <math.h>
#include <stdlib.h>
#include <string.h>

static struct hd_err err;

#define SERIES "{\"label\":\"b\",\"x\":[1.0,2.0],\"y\":[3.0,4.5]}"

static void charts_are_taken_in_all_their_forms(void **state)
{
    (void)state;
    static const char whole[] =
        "[{\"name\":\"a\",\"x_axis\":\"\",\"y_axis\":\"\",\"series\":[" SERIES "]}]";
    static const struct {
        const char *text, *taken;
    } rows[] = {
        {"[]", "[]"},
        {"[{\"name\": \"a\", \"series\": [" SERIES "]}]", whole},
        {"{\"name\": \"a\", \"series\": [" SERIES "], \"more\": {}}", whole},
        {"{\"name\": \"a\", \"x_axis\": \"\", \"series\": {\"label\": \"b\", \"x\": [1, 2], "
         "\"y\": [3, 4.5], \"colour\": 7}}",
         whole},
        {"{\"name\": \"a\", \"series\": []}",
         "[{\"name\":\"a\",\"x_axis\":\"\",\"y_axis\":\"\",\"series\":[]}]"},
        {"{\"name\":\"a\",\"x_axis\":\"e\",\"y_axis\":\"l\",\"series\":[{\"label\":\"b\",\"x\":1,"
         "\"y\":nan}]}",
         "[{\"name\":\"a\",\"x_axis\":\"e\",\"y_axis\":\"l\",\"series\":[{\"label\":\"b\","
         "\"x\":[1.0],\"y\":[NaN]}]}]"},
    };
    for (size_t i = 0; i < HD_COUNT(rows); i++) {
        struct hd_value *graphs = NULL;
        struct hd_buf out;
        hd_buf_init(&out, 65536);
        assert_hd_ok(hd_graphs_parse(rows[i].text, strlen(rows[i].text), &graphs, &err));
        assert_hd_ok(hd_json_write(graphs, HD_JSON_COMPACT, &out, &err));
        assert_string_equal(hd_buf_text(&out), rows[i].taken);
        hd_value_free(graphs);
        hd_buf_release(&out);
    }
}

static void what_is_no_chart_is_said(void **state)
{
    (void)state;
    static const struct {
        const char *text, *why;
    } rows[] = {
        {"", "graphs.json"},
        {"3", "chart 1: is no map"},
        {"[{\"name\":\"a\",\"series\":[]}, 3]", "chart 2: is no map"},
        {"[{\"series\": [" SERIES "]}]", "needs a name"},
        {"[{\"name\": \"\", \"series\": [" SERIES "]}]", "needs a name"},
        {"[{\"name\": \"a\"}]", "needs a list of series"},
        {"[{\"name\": \"a\", \"x_axis\": 3, \"series\": []}]", "an axis is called by a text"},
        {"[{\"name\": \"a\", \"series\": [3]}]", "a series is a map"},
        {"[{\"name\": \"a\", \"series\": [{\"x\": 1, \"y\": 1}]}]", "each series a label"},
        {"[{\"name\": \"a\", \"series\": [{\"label\": \"b\", \"x\": 1}]}]", "needs x and y"},
        {"[{\"name\": \"a\", \"series\": [{\"label\": \"b\", \"x\": [], \"y\": []}]}]",
         "has no points"},
        {"[{\"name\": \"a\", \"series\": [{\"label\": \"b\", \"x\": [1, 2], \"y\": 1}]}]",
         "not of one length"},
        {"[{\"name\": \"a\", \"series\": [{\"label\": \"b\", \"x\": NaN, \"y\": 1}]}]",
         "no finite number"},
        {"[{\"name\": \"a\", \"series\": [{\"label\": \"b\", \"x\": 1, \"y\": \"1\"}]}]",
         "y holds what is no number"},
    };
    for (size_t i = 0; i < HD_COUNT(rows); i++) {
        struct hd_value *graphs = NULL;
        assert_hd_fails(hd_graphs_parse(rows[i].text, strlen(rows[i].text), &graphs, &err),
                        HD_E_INVALID, rows[i].why);
        assert_null(graphs);
    }
}

static void what_is_too_much_is_refused(void **state)
{
    (void)state;
    struct hd_value *graphs = NULL;
    struct hd_buf text;
    hd_buf_init(&text, 2u * HD_GRAPHS_BYTES_MAX);
    assert_hd_ok(hd_buf_puts(&text, "[", &err));
    for (int i = 0; i <= HD_GRAPHS_MAX; i++)
        assert_hd_ok(hd_buf_puts(
            &text, i > 0 ? ",{\"name\":\"a\",\"series\":[]}" : "{\"name\":\"a\",\"series\":[]}",
            &err));
    assert_hd_ok(hd_buf_puts(&text, "]", &err));
    assert_hd_fails(hd_graphs_parse(hd_buf_text(&text), text.size, &graphs, &err), HD_E_LIMIT,
                    "more than 64 charts");
    while (text.size <= HD_GRAPHS_BYTES_MAX)
        assert_hd_ok(hd_buf_puts(&text, "                                                ", &err));
    assert_hd_fails(hd_graphs_parse(hd_buf_text(&text), text.size, &graphs, &err), HD_E_LIMIT, "");
    hd_buf_release(&text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(charts_are_taken_in_all_their_forms),
        cmocka_unit_test(what_is_no_chart_is_said),
        cmocka_unit_test(what_is_too_much_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
