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

/* ---- what travels -----------------------------------------------------------------------------
 */

static struct hd_value *wave(size_t count, size_t graph_count)
{
    struct hd_buf text;
    struct hd_value *graphs = NULL;
    hd_buf_init(&text, HD_GRAPHS_BYTES_MAX);
    for (size_t g = 0; g < graph_count; g++) {
        assert_hd_ok(hd_buf_printf(
            &text, &err,
            "%s{\"name\":\"g%zu\",\"x_axis\":\"e\",\"series\":[{\"label\":\"b\",\"x\":[",
            g > 0 ? "," : "[", g));
        for (size_t i = 0; i < count; i++)
            assert_hd_ok(hd_buf_printf(&text, &err, "%s%zu", i > 0 ? "," : "", i));
        assert_hd_ok(hd_buf_puts(&text, "],\"y\":[", &err));
        for (size_t i = 0; i < count; i++)
            assert_hd_ok(hd_buf_printf(&text, &err, "%s%d", i > 0 ? "," : "",
                                       i == count / 2   ? 1000
                                       : i == count / 3 ? -1000
                                                        : (int)(i % 7)));
        assert_hd_ok(hd_buf_puts(&text, "]}]}", &err));
    }
    assert_hd_ok(hd_buf_puts(&text, "]", &err));
    assert_hd_ok(hd_graphs_parse(hd_buf_text(&text), text.size, &graphs, &err));
    hd_buf_release(&text);
    return graphs;
}

static struct hd_value *travel(const struct hd_value *graphs, size_t size_max)
{
    struct hd_buf text;
    struct hd_value *sent = NULL, *taken = NULL;
    hd_buf_init(&text, 65536);
    assert_hd_ok(hd_graphs_summary(graphs, size_max, &text, &err));
    assert_true(text.size <= size_max);
    if (text.size > 0) {
        assert_hd_ok(hd_json_parse(hd_buf_text(&text), text.size, "sent", &hd_value_limits_target,
                                   &sent, &err));
        assert_hd_ok(hd_graphs_read_summary(sent, &taken, &err));
    }
    hd_value_free(sent);
    hd_buf_release(&text);
    return taken;
}

static const struct hd_value *series_of(const struct hd_value *graphs)
{
    return hd_value_get(graphs->as.array.items[0], "series")->as.array.items[0];
}

static double extreme(const struct hd_value *numbers, bool highest)
{
    double found = hd_value_number(numbers->as.array.items[0]);
    for (size_t i = 1; i < numbers->as.array.count; i++) {
        double number = hd_value_number(numbers->as.array.items[i]);
        found = (highest ? number > found : number < found) ? number : found;
    }
    return found;
}

/* A short series travels whole; a long one keeps its ends, its order and its extremes. */
static void long_series_are_thinned(void **state)
{
    (void)state;
    static const struct {
        size_t count, size_max;
        bool whole;
    } rows[] = {{1, 8191, true},     {3, 8191, true},    {200, 8191, true},
                {5000, 8191, false}, {5000, 400, false}, {5000, 200, false}};
    for (size_t i = 0; i < HD_COUNT(rows); i++) {
        struct hd_value *graphs = wave(rows[i].count, 1);
        struct hd_value *taken = travel(graphs, rows[i].size_max);
        assert_non_null(taken);
        const struct hd_value *series = series_of(taken), *x = hd_value_get(series, "x"),
                              *y = hd_value_get(series, "y");
        const struct hd_value *points = hd_value_get(series, "points");
        size_t last = x->as.array.count - 1;
        assert_int_equal(last + 1, y->as.array.count);
        assert_true((points == NULL) == rows[i].whole);
        assert_true(rows[i].whole ? last + 1 == rows[i].count
                                  : points->as.integer == (int64_t)rows[i].count);
        assert_true(hd_value_number(x->as.array.items[0]) == 0);
        assert_true(hd_value_number(x->as.array.items[last]) == (double)(rows[i].count - 1));
        for (size_t k = 1; k <= last; k++)
            assert_true(hd_value_number(x->as.array.items[k - 1]) <
                        hd_value_number(x->as.array.items[k]));
        const struct hd_value *all = hd_value_get(series_of(graphs), "y");
        assert_true(extreme(y, true) == extreme(all, true));
        assert_true(extreme(y, false) == extreme(all, false));
        hd_value_free(taken);
        hd_value_free(graphs);
    }
}

/* Where even four points of each are too much, the last charts stay behind, at worst all. */
static void charts_that_do_not_fit_are_left_out(void **state)
{
    (void)state;
    struct hd_value *graphs = wave(50, 20);
    struct hd_value *taken = travel(graphs, 1000);
    assert_in_range(taken->as.array.count, 3, 19);
    assert_string_equal(hd_value_get(taken->as.array.items[0], "name")->as.string, "g0");
    hd_value_free(taken);
    assert_null(travel(graphs, 50));
    hd_value_free(graphs);
}

/* A value that is no number is shown as none. */
static void what_is_no_number_travels(void **state)
{
    (void)state;
    static const char text[] = "{\"name\":\"a\",\"series\":{\"label\":\"b\",\"x\":[1,2,3],"
                               "\"y\":[nan,-inf,7]}}";
    struct hd_value *graphs = NULL;
    assert_hd_ok(hd_graphs_parse(text, strlen(text), &graphs, &err));
    struct hd_value *taken = travel(graphs, 8191);
    const struct hd_value *y = hd_value_get(series_of(taken), "y");
    assert_true(isnan(hd_value_number(y->as.array.items[0])));
    assert_true(isnan(hd_value_number(y->as.array.items[1])));
    assert_true(hd_value_number(y->as.array.items[2]) == 7);
    hd_value_free(taken);
    hd_value_free(graphs);
}

/* A worker may say anything. */
static void a_strange_summary_is_none(void **state)
{
    (void)state;
    static const char *const rows[] = {
        "3",
        "[3]",
        "[{\"name\":\"a\"}]",
        "[{\"name\":\"a\",\"series\":[{\"label\":\"b\",\"x\":[null],\"y\":[1]}]}]",
        "[{\"name\":\"a\",\"series\":[{\"label\":\"b\",\"x\":[1],\"y\":[true]}]}]",
        "[{\"name\":\"a\",\"series\":[{\"label\":\"b\",\"x\":[1],\"y\":[1],\"points\":0}]}]",
        "[{\"name\":\"a\",\"series\":[{\"label\":\"b\",\"x\":[1],\"y\":[1],\"points\":\"9\"}]}]",
    };
    for (size_t i = 0; i < HD_COUNT(rows); i++) {
        struct hd_value *value = NULL, *graphs = NULL;
        assert_hd_ok(
            hd_json_parse(rows[i], strlen(rows[i]), "sent", &hd_value_limits_target, &value, &err));
        assert_hd_fails(hd_graphs_read_summary(value, &graphs, &err), HD_E_INVALID, "chart");
        hd_value_free(value);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(charts_are_taken_in_all_their_forms),
        cmocka_unit_test(what_is_no_chart_is_said),
        cmocka_unit_test(what_is_too_much_is_refused),
        cmocka_unit_test(long_series_are_thinned),
        cmocka_unit_test(charts_that_do_not_fit_are_left_out),
        cmocka_unit_test(what_is_no_number_travels),
        cmocka_unit_test(a_strange_summary_is_none),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
