/* SPDX-License-Identifier: Apache-2.0 */
/* test_known.c: which results of other runs a new run takes, and in which text it keeps them. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "testlib.h"

#include <hd/known.h>

static struct hd_err err;

static struct hd_experiment *experiment_of(const char *rest)
{
    char text[2048];
    struct hd_experiment *experiment = NULL;
    assert_true(hd_format(text, sizeof(text),
                          "{\"name\":\"e\",\"target\":{\"command\":[\"./t\"]},"
                          "\"budget\":{\"min\":1,\"max\":27},%s}",
                          rest));
    assert_hd_ok(hd_experiment_parse_text(text, strlen(text), "test", NULL, &experiment, &err));
    return experiment;
}

#define SPACE                                                                                      \
    "\"space\":{\"lr\":{\"type\":\"float\",\"low\":0.001,\"high\":1,\"log\":true},"                \
    "\"units\":{\"type\":\"int\",\"low\":1,\"high\":64,\"default\":8},"                            \
    "\"kind\":{\"type\":\"categorical\",\"choices\":[\"sgd\",\"adam\",2]},"                        \
    "\"momentum\":{\"type\":\"float\",\"low\":0,\"high\":1,\"when\":{\"kind\":\"sgd\"}}}"

/* What comes of a file of rows: the code, and on success the text and the report. */
static enum hd_code take(const struct hd_experiment *experiment, const char *text,
                         struct hd_buf *out, char *report)
{
    struct hd_known_taker *taker = NULL;
    hd_buf_init(out, HD_KNOWN_BYTES_MAX);
    enum hd_code code = hd_known_taker_new(experiment, &taker, &err);
    assert_int_equal(code, HD_OK);
    code = hd_known_take_text(taker, text, strlen(text), "rows", &err);
    if (code == HD_OK)
        code = hd_known_taker_finish(taker, out, report, &err);
    hd_known_taker_free(taker);
    return code;
}

/* A row is taken as the config of the new space that it is, or left out and counted by why. */
static void rows_are_taken_or_counted(void **state)
{
    (void)state;
    static const struct {
        const char *row, *text, *left_out;
    } rows[] = {
        {"\"params\":{\"lr\":0.1,\"units\":4,\"kind\":\"adam\"},\"budget\":9,\"loss\":0.5",
         "[{\"params\":{\"lr\":0.1,\"units\":4,\"kind\":\"adam\"},"
         "\"results\":[{\"budget\":9,\"losses\":[0.5]}]}]",
         NULL},
        /* A param that the space lacks is dropped, one with a default may be missing, and so may
         * the budget: it is the largest one. */
        {"\"params\":{\"lr\":0.1,\"kind\":2,\"gone\":7},\"loss\":-2",
         "[{\"params\":{\"lr\":0.1,\"units\":8,\"kind\":2},"
         "\"results\":[{\"budget\":27,\"losses\":[-2]}]}]",
         NULL},
        /* What its conditions do not want is dropped as well. */
        {"\"params\":{\"lr\":0.1,\"kind\":\"adam\",\"momentum\":0.5},\"budget\":1,\"loss\":1",
         "[{\"params\":{\"lr\":0.1,\"units\":8,\"kind\":\"adam\"},"
         "\"results\":[{\"budget\":1,\"losses\":[1]}]}]",
         NULL},
        /* A failure is known, too. */
        {"\"params\":{\"lr\":0.1,\"kind\":\"adam\"},\"budget\":1,\"outcome\":\"oom\",\"loss\":null",
         "[{\"params\":{\"lr\":0.1,\"units\":8,\"kind\":\"adam\"},"
         "\"results\":[{\"budget\":1,\"losses\":[]}]}]",
         NULL},
        {"\"params\":{\"lr\":0.1,\"kind\":\"adam\"},\"budget\":1,\"loss\":NaN",
         "[{\"params\":{\"lr\":0.1,\"units\":8,\"kind\":\"adam\"},"
         "\"results\":[{\"budget\":1,\"losses\":[]}]}]",
         NULL},
        /* Rounding on the way is no other budget. */
        {"\"params\":{\"lr\":0.1,\"kind\":\"adam\"},\"budget\":27.000000000001,\"loss\":1",
         "[{\"params\":{\"lr\":0.1,\"units\":8,\"kind\":\"adam\"},"
         "\"results\":[{\"budget\":27,\"losses\":[1]}]}]",
         NULL},
        {"\"params\":{\"lr\":2,\"kind\":\"adam\"},\"loss\":1", NULL, "1 with params"},
        {"\"params\":{\"lr\":\"big\",\"kind\":\"adam\"},\"loss\":1", NULL, "lr is a number"},
        {"\"params\":{\"kind\":\"adam\"},\"loss\":1", NULL, "lr is missing and has no default"},
        {"\"params\":{\"lr\":0.1,\"kind\":\"sgd\"},\"loss\":1", NULL, "momentum is missing"},
        {"\"params\":{\"lr\":0.1,\"kind\":\"lbfgs\"},\"loss\":1", NULL, "not among"},
        {"\"params\":{\"lr\":0.1,\"kind\":\"adam\"},\"budget\":81,\"loss\":1", NULL,
         "1 at a budget that this run does not have (81)"},
        {"\"params\":{\"lr\":0.1,\"kind\":\"adam\"},\"budget\":0,\"loss\":1", NULL, "at a budget"},
        {"\"params\":{\"lr\":0.1,\"kind\":\"adam\"},\"budget\":\"x\",\"loss\":1", NULL,
         "at a budget"},
        {"\"params\":{\"lr\":0.1,\"kind\":\"adam\"},\"outcome\":null,\"loss\":null", NULL,
         "1 not finished"},
        {"\"params\":{\"lr\":0.1,\"kind\":\"adam\"},\"outcome\":\"cancelled\",\"loss\":null", NULL,
         "1 ended without a result"},
        {"\"params\":{\"lr\":0.1,\"kind\":\"adam\"},\"outcome\":\"stopped\",\"loss\":1", NULL,
         "1 ended without a result"},
    };
    struct hd_experiment *experiment = experiment_of(SPACE);
    for (size_t i = 0; i < HD_COUNT(rows); i++) {
        char text[512], report[HD_KNOWN_REPORT_MAX] = "";
        struct hd_buf out;
        assert_true(hd_format(text, sizeof(text), "[{%s}]", rows[i].row));
        enum hd_code code = take(experiment, text, &out, report);
        if (rows[i].text == NULL) {
            assert_int_equal(code, HD_E_NOTFOUND);
            assert_non_null(strstr(err.text, "0 results taken; left out: 1 "));
            assert_non_null(strstr(err.text, rows[i].left_out));
        } else {
            assert_int_equal(code, HD_OK);
            assert_string_equal(report, "1 results taken");
            assert_string_equal(hd_buf_text(&out), rows[i].text);
            struct hd_known *known = NULL;
            assert_hd_ok(hd_known_parse(hd_buf_text(&out), experiment, &known, &err));
            assert_int_equal(known->config_count, 1);
            assert_int_equal(known->result_count, 1);
            hd_known_free(known);
        }
        hd_buf_release(&out);
    }
    hd_experiment_free(experiment);
}

/* Results of one config stand together; several at one budget are one result, their mean, and a
 * failure beside a result says nothing. */
static void results_of_a_config_stand_together(void **state)
{
    (void)state;
    struct hd_experiment *experiment = experiment_of(SPACE);
    char report[HD_KNOWN_REPORT_MAX];
    struct hd_buf out;
    static const char rows[] =
        "[{\"params\":{\"lr\":0.1,\"kind\":\"adam\"},\"budget\":1,\"loss\":0.5},"
        "{\"params\":{\"lr\":0.2,\"kind\":\"adam\"},\"budget\":1,\"loss\":7},"
        "{\"params\":{\"lr\":0.1,\"kind\":\"adam\"},\"budget\":9,\"outcome\":\"failed\"},"
        "{\"params\":{\"lr\":0.1,\"kind\":\"adam\"},\"budget\":9,\"loss\":0.25},"
        "{\"params\":{\"lr\":0.1,\"kind\":\"adam\"},\"budget\":9,\"outcome\":\"timeout\"},"
        "{\"params\":{\"lr\":0.1,\"kind\":\"adam\"},\"budget\":1,\"loss\":1.5}]";
    assert_int_equal(take(experiment, rows, &out, report), HD_OK);
    assert_string_equal(report, "3 results taken");
    assert_string_equal(hd_buf_text(&out),
                        "[{\"params\":{\"lr\":0.1,\"units\":8,\"kind\":\"adam\"},\"results\":["
                        "{\"budget\":1,\"losses\":[1]},{\"budget\":9,\"losses\":[0.25]}]},\n"
                        "{\"params\":{\"lr\":0.2,\"units\":8,\"kind\":\"adam\"},\"results\":["
                        "{\"budget\":1,\"losses\":[7]}]}]");
    hd_buf_release(&out);
    hd_experiment_free(experiment);
}

/* With constraints and several objectives a result needs them all; the bounds are those of the new
 * run. */
static void all_measures_are_wanted(void **state)
{
    (void)state;
    struct hd_experiment *experiment = experiment_of(
        SPACE ",\"objective\":[{\"name\":\"a\"},{\"name\":\"b\",\"direction\":\"maximize\"}],"
              "\"constraints\":[{\"name\":\"c\",\"max\":2}]");
    char report[HD_KNOWN_REPORT_MAX];
    struct hd_buf out;
    static const char rows[] =
        "[{\"params\":{\"lr\":0.1,\"kind\":\"adam\"},\"loss\":0.5,\"measures\":[0.5,-1,3]},"
        "{\"params\":{\"lr\":0.2,\"kind\":\"adam\"},\"loss\":0.5}]";
    assert_int_equal(take(experiment, rows, &out, report), HD_OK);
    assert_string_equal(report, "1 results taken; left out: 1 that do not say all objectives and "
                                "constraints");
    assert_string_equal(hd_buf_text(&out),
                        "[{\"params\":{\"lr\":0.1,\"units\":8,\"kind\":\"adam\"},\"results\":["
                        "{\"budget\":27,\"losses\":[0.5,-1],\"violation\":0.5}]}]");
    hd_buf_release(&out);
    static const char table[] = "params.lr,params.kind,loss,measures.c,measures.a,measures.b\n"
                                "0.1,adam,,3,0.5,-1\n0.1,sgd,,3,0.5,\n";
    assert_int_equal(take(experiment, table, &out, report), HD_OK);
    assert_non_null(strstr(hd_buf_text(&out), "\"losses\":[0.5,-1],\"violation\":0.5"));
    hd_buf_release(&out);
    hd_experiment_free(experiment);
}

/* A table is read by its titles, whatever their order, with quotes and every kind of line end. */
static void tables_are_read(void **state)
{
    static const char marked[] =
        "\xef\xbb\xbfparams.lr,params.kind,budget,loss\r\n0.1,adam,9,0.5\r\n";
    (void)state;
    struct hd_experiment *experiment = experiment_of(SPACE);
    char report[HD_KNOWN_REPORT_MAX];
    struct hd_buf out;
    static const char table[] =
        "job,params.kind,params.momentum,budget,\"loss\",outcome,worker,params.lr\r\n"
        "0,adam,,9,0.5,ok,\"a, \"\"b\"\"\n c\",0.1\r\n"
        "1,\"sgd\",0.25,9,,failed,w,0.2\n"
        "2,2.0,,9,1,,w,0.2\n"
        "3,2,,1,1,ok,w,0.25";
    assert_int_equal(take(experiment, table, &out, report), HD_OK);
    assert_string_equal(report, "3 results taken; left out: 1 not finished");
    assert_string_equal(
        hd_buf_text(&out),
        "[{\"params\":{\"lr\":0.1,\"units\":8,\"kind\":\"adam\"},\"results\":["
        "{\"budget\":9,\"losses\":[0.5]}]},\n"
        "{\"params\":{\"lr\":0.2,\"units\":8,\"kind\":\"sgd\",\"momentum\":0.25},\"results\":["
        "{\"budget\":9,\"losses\":[]}]},\n"
        "{\"params\":{\"lr\":0.25,\"units\":8,\"kind\":2},\"results\":["
        "{\"budget\":1,\"losses\":[1]}]}]");
    hd_buf_release(&out);
    assert_int_equal(take(experiment, marked, &out, report), HD_OK);
    assert_string_equal(report, "1 results taken");
    hd_buf_release(&out);
    hd_experiment_free(experiment);
}

/* A file that is none says so, with the line. */
static void other_files_are_refused(void **state)
{
    (void)state;
    static const struct {
        const char *text, *what;
    } rows[] = {
        {"", "no table of results"},
        {"a,b\n1,2\n", "no table of results"},
        {"params.lr,loss\n0.1\n", "rows:2: 1 fields, but there are 2 columns"},
        {"params.lr,loss\n0.1,2,3\n", "rows:2: more fields than columns"},
        {"params.lr,loss\n\"0.1,2\n", "rows:2: a quote is not closed"},
        {"params.lr,loss\n\"0.1\"x,2\n", "rows:2: something follows a quoted field"},
        {"params.lr,loss,outcome\n0.1,2,fine\n", "rows:2: there is no such outcome"},
        {"[1]", "rows: row 0: a row is a map"},
        {"[{\"loss\":1}]", "rows: row 0: a row is a map"},
        {"[{\"params\":{},\"outcome\":3}]", "rows: row 0: there is no such outcome"},
        {"{\"params\":", "rows:1:"},
    };
    struct hd_experiment *experiment = experiment_of(SPACE);
    for (size_t i = 0; i < HD_COUNT(rows); i++) {
        char report[HD_KNOWN_REPORT_MAX];
        struct hd_buf out;
        assert_int_equal(take(experiment, rows[i].text, &out, report), HD_E_INVALID);
        if (strstr(err.text, rows[i].what) == NULL)
            fail_msg("\"%s\" instead of \"%s\"", err.text, rows[i].what);
        hd_buf_release(&out);
    }
    hd_experiment_free(experiment);
}

/* HpBandSter's two files: configs by their ids, failures, and a line that a crash has torn. */
static void hpbandster_is_read(void **state)
{
    (void)state;
    struct hd_experiment *experiment = experiment_of(SPACE);
    static const char configs[] =
        "[[0, 0, 1], {\"lr\": 0.2, \"kind\": \"adam\"}, {\"model_based_pick\": true}]\n"
        "[[0, 0, 0], {\"lr\": 0.1, \"kind\": \"sgd\", \"momentum\": 0.5}, {}]\n"
        "[[0, 0, 2], {\"lr\"";
    static const char results[] =
        "[[0, 0, 0], 1.0, {\"submitted\": 1.5}, {\"loss\": 0.5, \"info\": {}}, null]\n\n"
        "[[0, 0, 1], 1.0, {}, null, \"Traceback\"]\n"
        "[[0, 0, 0], 9.0, {}, {\"loss\": 0.25, \"info\": {}}, null]\n"
        "[[7, 0, 0], 9.0, {}, {\"loss\": 0.25, \"info\": {}}, null]\n"
        "[[0, 0, 1], 9.0, {}, {\"lo";
    struct hd_known_taker *taker = NULL;
    struct hd_buf out;
    char report[HD_KNOWN_REPORT_MAX];
    hd_buf_init(&out, HD_KNOWN_BYTES_MAX);
    assert_hd_ok(hd_known_taker_new(experiment, &taker, &err));
    assert_hd_ok(
        hd_known_take_hpbandster(taker, configs, strlen(configs), results, strlen(results), &err));
    assert_hd_ok(hd_known_taker_finish(taker, &out, report, &err));
    assert_string_equal(report, "3 results taken");
    assert_string_equal(
        hd_buf_text(&out),
        "[{\"params\":{\"lr\":0.1,\"units\":8,\"kind\":\"sgd\",\"momentum\":0.5},\"results\":["
        "{\"budget\":1,\"losses\":[0.5]},{\"budget\":9,\"losses\":[0.25]}]},\n"
        "{\"params\":{\"lr\":0.2,\"units\":8,\"kind\":\"adam\"},\"results\":["
        "{\"budget\":1,\"losses\":[]}]}]");
    hd_buf_release(&out);
    static const char *const torn[] = {"[1]\n", "{}\n", "[[0,0,0]\n", "[3, {}]\n"};
    for (size_t i = 0; i < HD_COUNT(torn); i++)
        assert_hd_fails(hd_known_take_hpbandster(taker, torn[i], strlen(torn[i]), results, 0, &err),
                        HD_E_INVALID, "configs.json: line 1");
    hd_known_taker_free(taker);
    hd_experiment_free(experiment);
}

static void take_many(const struct hd_experiment *experiment, size_t count, struct hd_buf *out,
                      char *report)
{
    struct hd_known_taker *taker = NULL;
    hd_buf_init(out, HD_KNOWN_BYTES_MAX);
    assert_hd_ok(hd_known_taker_new(experiment, &taker, &err));
    for (size_t i = 0; i < count; i++) {
        struct hd_value *row = hd_value_new_object(), *params = hd_value_new_object();
        assert_hd_ok(hd_value_set(params, "lr", hd_value_new_double(0.001 + 1e-6 * (double)i)));
        assert_hd_ok(hd_value_set(params, "kind", hd_value_new_string("adam")));
        assert_hd_ok(hd_value_set(row, "params", params));
        /* Of every ten one is at budget 9, the others at 1; the early ones are the best. */
        assert_hd_ok(hd_value_set(row, "budget", hd_value_new_int(i % 10 == 0 ? 9 : 1)));
        assert_hd_ok(hd_value_set(row, "loss", hd_value_new_double((double)i)));
        assert_hd_ok(hd_known_take_row(taker, row, "row", &err));
        hd_value_free(row);
    }
    assert_hd_ok(hd_known_taker_finish(taker, out, report, &err));
    hd_known_taker_free(taker);
}

/* Of too many those of the largest budgets stay, and the best half and the latest of the next. */
static void too_many_are_chosen_from(void **state)
{
    (void)state;
    struct hd_experiment *experiment = experiment_of(SPACE);
    char report[HD_KNOWN_REPORT_MAX];
    struct hd_buf out;
    struct hd_known *known = NULL;
    take_many(experiment, 10000, &out, report);
    assert_string_equal(report, "2000 results taken; left out: 8000 beyond what a run takes");
    assert_hd_ok(hd_known_parse(hd_buf_text(&out), experiment, &known, &err));
    assert_int_equal(known->result_count, HD_KNOWN_RESULTS_MAX);
    uint32_t large = 0, best = 0, latest = 0;
    for (uint32_t i = 0; i < known->result_count; i++) {
        const struct hd_known_result *result = &known->results[i];
        large += result->budget == 9;
        best += result->budget == 1 && result->score.losses[0] < 600;
        latest += result->budget == 1 && result->score.losses[0] >= 10000 - 600;
        assert_true(i == 0 || result->score.losses[0] > known->results[i - 1].score.losses[0]);
    }
    assert_int_equal(large, 1000);
    assert_int_equal(best + latest, 1000);
    assert_int_equal(best, 500);
    hd_known_free(known);
    hd_buf_release(&out);
    hd_experiment_free(experiment);
}

/* A text that would be too long holds fewer results. */
static void the_text_is_bounded(void **state)
{
    (void)state;
    char space[HD_EXPERIMENT_BYTES_MAX / 8];
    struct hd_experiment *experiment = NULL;
    size_t used = 0;
    (void)hd_format(space, sizeof(space),
                    "{\"name\":\"e\",\"target\":{\"command\":[\"./t\"]},\"space\":{"
                    "\"lr\":{\"type\":\"float\",\"low\":0.001,\"high\":1},"
                    "\"kind\":{\"type\":\"categorical\",\"choices\":[\"adam\"]}");
    for (int i = 0; i < 100; i++) {
        used = strlen(space);
        assert_true(hd_format(space + used, sizeof(space) - used,
                              ",\"a_rather_long_name_%d\":{\"type\":\"float\",\"low\":0,"
                              "\"high\":1,\"default\":0.123456789}",
                              i));
    }
    used = strlen(space);
    assert_true(
        hd_format(space + used, sizeof(space) - used, "},\"budget\":{\"min\":1,\"max\":9}}"));
    assert_hd_ok(hd_experiment_parse_text(space, strlen(space), "test", NULL, &experiment, &err));
    char report[HD_KNOWN_REPORT_MAX];
    struct hd_buf out;
    struct hd_known *known = NULL;
    take_many(experiment, 500, &out, report);
    assert_true(out.size < HD_KNOWN_BYTES_MAX && out.size > HD_KNOWN_BYTES_MAX / 2);
    assert_hd_ok(hd_known_parse(hd_buf_text(&out), experiment, &known, &err));
    assert_true(known->result_count < 200 && known->result_count > 50);
    char expected[64];
    (void)hd_format(expected, sizeof(expected), "%u results taken; left out: %u beyond",
                    known->result_count, 500 - known->result_count);
    assert_memory_equal(report, expected, strlen(expected));
    hd_known_free(known);
    hd_buf_release(&out);
    hd_experiment_free(experiment);
}

/* A text that no taker wrote is refused: it came from elsewhere. */
static void other_texts_are_refused(void **state)
{
    (void)state;
    static const char *const texts[] = {
        "x",
        "{}",
        "[]",
        "[{}]",
        "[{\"params\":{\"lr\":0.1,\"units\":8,\"kind\":\"adam\"}}]",
        "[{\"params\":{\"lr\":0.1,\"units\":8,\"kind\":\"adam\"},\"results\":[]}]",
        "[{\"params\":{\"lr\":0.1,\"units\":8,\"kind\":\"adam\"},\"results\":[{}]}]",
        "[{\"params\":{\"lr\":0.1,\"units\":8,\"kind\":\"adam\"},"
        "\"results\":[{\"budget\":-1,\"losses\":[1]}]}]",
        "[{\"params\":{\"lr\":0.1,\"units\":8,\"kind\":\"adam\"},"
        "\"results\":[{\"budget\":1,\"losses\":[NaN]}]}]",
        "[{\"params\":{\"lr\":0.1,\"units\":8,\"kind\":\"adam\"},"
        "\"results\":[{\"budget\":1,\"losses\":[1,2]}]}]",
        "[{\"params\":{\"lr\":0.1,\"units\":8,\"kind\":\"adam\"},"
        "\"results\":[{\"budget\":1,\"losses\":[1],\"violation\":-1}]}]",
        "[{\"params\":{\"lr\":0.1,\"units\":8,\"kind\":\"adam\"},"
        "\"results\":[{\"budget\":1,\"losses\":[1]},{\"budget\":1,\"losses\":[1]}]}]",
        "[{\"params\":{\"lr\":7,\"units\":8,\"kind\":\"adam\"},"
        "\"results\":[{\"budget\":1,\"losses\":[1]}]}]",
    };
    struct hd_experiment *experiment = experiment_of(SPACE);
    struct hd_known *known = NULL;
    for (size_t i = 0; i < HD_COUNT(texts); i++) {
        enum hd_code code = hd_known_parse(texts[i], experiment, &known, &err);
        assert_int_equal(code, HD_E_INVALID);
        assert_non_null(strstr(err.text, "known results"));
    }
    assert_hd_ok(hd_known_parse("", experiment, &known, &err));
    assert_null(known);
    hd_experiment_free(experiment);
}

/* Every allocation of taking and parsing fails once: an error, and nothing is lost or left. */
static void every_allocation_fails_once(void **state)
{
    (void)state;
    struct hd_experiment *experiment = experiment_of(SPACE);
    static const char table[] = "params.lr,params.kind,loss\n0.1,adam,1\n";
    static const char configs[] = "[[0,0,0],{\"lr\":0.1,\"kind\":\"adam\"},{}]\n";
    static const char results[] = "[[0,0,0],1,{},{\"loss\":2},null]\n";
    bool done = false;
    for (uint64_t n = 0; !done; n++) {
        struct hd_known_taker *taker = NULL;
        struct hd_known *known = NULL;
        struct hd_buf out;
        char report[HD_KNOWN_REPORT_MAX];
        hd_buf_init(&out, HD_KNOWN_BYTES_MAX);
        hd_test_fail_alloc_after((int64_t)n);
        enum hd_code code = hd_known_taker_new(experiment, &taker, &err);
        if (code == HD_OK)
            code = hd_known_take_text(taker, table, strlen(table), "t", &err);
        if (code == HD_OK)
            code = hd_known_take_hpbandster(taker, configs, strlen(configs), results,
                                            strlen(results), &err);
        if (code == HD_OK)
            code = hd_known_taker_finish(taker, &out, report, &err);
        if (code == HD_OK)
            code = hd_known_parse(hd_buf_text(&out), experiment, &known, &err);
        done = code == HD_OK;
        hd_test_fail_alloc_after(-1);
        assert_true(done || code == HD_E_NOMEM);
        assert_true(!done || known->result_count == 2);
        hd_known_free(known);
        hd_buf_release(&out);
        hd_known_taker_free(taker);
    }
    hd_experiment_free(experiment);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rows_are_taken_or_counted),
        cmocka_unit_test(results_of_a_config_stand_together),
        cmocka_unit_test(all_measures_are_wanted),
        cmocka_unit_test(tables_are_read),
        cmocka_unit_test(other_files_are_refused),
        cmocka_unit_test(hpbandster_is_read),
        cmocka_unit_test(too_many_are_chosen_from),
        cmocka_unit_test(the_text_is_bounded),
        cmocka_unit_test(other_texts_are_refused),
        cmocka_unit_test(every_allocation_fails_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
