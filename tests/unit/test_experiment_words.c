/* SPDX-License-Identifier: Apache-2.0 */
/* test_experiment_words.c: descriptions of experiments and their differences; templates, words,
 * limits. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "experiment_texts.h"

static const char *const good_texts[] = {
    issue_text,
    LEAST,
    LEAST "budget: {min: 0.1, max: 1}\niteration_generator: {name: full}\n",
    LEAST "objective: {}\nseed: 3\nsampler: random\n",
    "target: {command: a b, data: ., timeout: 1.5s, resources: {cpus: 0.3}}\nspace:\n"
    "  z: {type: ordinal, choices: [1, 2.5, big]}\n  a: {type: bool}\n"
    "  m: {type: constant, value: x}\n  k: {type: int, low: 1, high: 9, step: 4}\n",
};

/* parse(describe(x)) is x: the description of it is the same, text for text, and no difference is
 * told; through text as through the tree. */
static void description_round_trips(void **state)
{
    (void)state;
    for (size_t i = 0; i < HD_COUNT(good_texts); i++) {
        struct hd_err err;
        struct hd_experiment *e = parse_good(good_texts[i]), *back = NULL, *twice = NULL;
        struct hd_value *first = NULL, *second = NULL;
        struct hd_buf text, again, lines;
        hd_buf_init(&text, HD_EXPERIMENT_BYTES_MAX);
        hd_buf_init(&again, HD_EXPERIMENT_BYTES_MAX);
        hd_buf_init(&lines, 10000);
        assert_hd_ok(hd_experiment_describe(e, &first, &err));
        assert_hd_ok(hd_experiment_parse(first, "described", NULL, &back, &err));
        assert_hd_ok(hd_experiment_describe(back, &second, &err));
        assert_true(hd_value_equal(first, second));
        assert_hd_ok(hd_experiment_to_json(back, &text, &err));
        assert_hd_ok(
            hd_experiment_parse_text(hd_buf_text(&text), text.size, "text", NULL, &twice, &err));
        assert_hd_ok(hd_experiment_to_json(twice, &again, &err));
        assert_string_equal(hd_buf_text(&text), hd_buf_text(&again));
        assert_hd_ok(hd_experiment_diff(e, twice, &lines, &err));
        assert_string_equal(hd_buf_text(&lines), "");
        /* Configs are stored by position: params keep the order of the file. */
        for (size_t k = 0; k < e->space->param_count; k++)
            assert_string_equal(e->space->params[k].name, twice->space->params[k].name);
        hd_value_free(first);
        hd_value_free(second);
        hd_experiment_free(e);
        hd_experiment_free(back);
        hd_experiment_free(twice);
        hd_buf_release(&text);
        hd_buf_release(&again);
        hd_buf_release(&lines);
    }
}

/* Each difference is one line that a person can read; where the file lay is none. */
static void differences_are_told(void **state)
{
    (void)state;
    struct hd_err err;
    struct hd_experiment *before = parse_good(LEAST), *after = NULL;
    struct hd_experiment_overrides elsewhere = {.base_dir = "/elsewhere"};
    const char *text =
        "target: {image: b, env: {A: 1}}\n"
        "space: {x: {type: float, low: 0, high: 2}}\nstop: {jobs: 5}\nobjective: err\n";
    struct hd_buf lines;
    hd_buf_init(&lines, 10000);
    assert_hd_ok(parse(text, &elsewhere, &after, &err));
    assert_hd_ok(hd_experiment_diff(before, after, &lines, &err));
    static const char *const expected[] = {
        "target.image: \"a\" -> \"b\"\n",
        "target.env.A: nothing -> \"1\"\n",
        "objective: nothing -> {\"name\":\"err\",\"direction\":\"minimize\",\"goal\":null}\n",
        "stop.jobs: nothing -> 5\n",
        "space: x: changed",
    };
    for (size_t i = 0; i < HD_COUNT(expected); i++)
        if (strstr(hd_buf_text(&lines), expected[i]) == NULL)
            fail_msg("\"%s\" does not hold \"%s\"", hd_buf_text(&lines), expected[i]);
    assert_null(strstr(hd_buf_text(&lines), "base_dir"));
    size_t count = 0;
    for (const char *at = hd_buf_text(&lines); *at != '\0'; at++)
        count += *at == '\n';
    assert_int_equal(count, HD_COUNT(expected));
    hd_experiment_free(before);
    hd_experiment_free(after);
    hd_buf_release(&lines);
}

/* ---- templates and words ---- */

static void templates_expand(void **state)
{
    (void)state;
    struct hd_err err;
    struct hd_experiment *e = parse_good(
        "target: {image: a}\nspace:\n  lr: {type: float, low: 1.0e-5, high: 1}\n"
        "  n: {type: int, low: 1, high: 99}\n  act: {type: categorical, choices: [relu, 0.5]}\n"
        "  flag: {type: bool}\n  c: {type: constant, value: k}\n");
    const double config[] = {1e-5, 12, 1, 1, 0};
    struct hd_template_values values = {.space = e->space,
                                        .values = config,
                                        .budget = 27,
                                        .seed = 4000000000u,
                                        .run_id = "r",
                                        .config_id = {1, 2, 3},
                                        .job = 7,
                                        .work_dir = "/w",
                                        .uuid = "u-1"};
    static const struct {
        const char *text, *expanded;
    } rows[] = {
        {"", ""},
        {"plain", "plain"},
        {"--lr=${params.lr}", "--lr=1e-05"},
        {"${params.n}/${params.act}/${params.flag}/${params.c}", "12/0.5/true/k"},
        {"${budget}${seed}", "274000000000"},
        {"${run_id} ${config_id} ${job} ${work_dir} ${uuid}", "r [1,2,3] 7 /w u-1"},
        {"$$ $HOME $", "$ $HOME $"},
        {"$${budget}", "${budget}"},
        {"}{$}", "}{$}"},
    };
    for (size_t i = 0; i < HD_COUNT(rows); i++) {
        struct hd_buf out;
        hd_buf_init(&out, 1000);
        assert_hd_ok(hd_template_check(rows[i].text, e->space, &err));
        assert_hd_ok(hd_template_expand(rows[i].text, &values, &out, &err));
        assert_string_equal(hd_buf_text(&out), rows[i].expanded);
        hd_buf_release(&out);
    }
    struct hd_buf out;
    hd_buf_init(&out, 8);
    assert_hd_ok(hd_buf_puts(&out, "x", &err));
    assert_hd_fails(hd_template_expand("abcd${params.lr}", &values, &out, &err), HD_E_LIMIT,
                    "8 bytes");
    assert_string_equal(hd_buf_text(&out), "x");
    assert_hd_fails(hd_template_expand("a${}", &values, &out, &err), HD_E_INVALID,
                    "a name of 1 to");
    assert_string_equal(hd_buf_text(&out), "x");
    values.budget = 0.1;
    const double inactive[] = {NAN, 12, 1, 1, 0};
    values.values = inactive;
    assert_hd_ok(hd_template_expand("${budget}${params.lr}", &values, &out, &err));
    assert_string_equal(hd_buf_text(&out), "x0.1");
    hd_buf_release(&out);
    hd_experiment_free(e);
}

static void words_split(void **state)
{
    (void)state;
    static const struct {
        const char *text, *joined; /* words in <>, or the error after ! */
    } rows[] = {
        {"", ""},
        {"  \t\n ", ""},
        {"a b", "<a><b>"},
        {" a\tb\n c ", "<a><b><c>"},
        {"'a b' \"c d\"", "<a b><c d>"},
        {"a'b'\"c\"d", "<abcd>"},
        {"'' \"\"", "<><>"},
        {"'a\\b' \"a\\b\\\"\\\\\\$\" a\\ b", "<a\\b><a\\b\"\\$><a b>"},
        {"\"${params.x y}\" $HOME *", "<${params.x y}><$HOME><*>"},
        {"sh -c 'a | b > c; d & e < f'", "<sh><-c><a | b > c; d & e < f>"},
        {"a\\|b \"x;y\"", "<a|b><x;y>"},
        {"a \"b", "!a quote \" is not closed"},
        {"a 'b", "!a quote ' is not closed"},
        {"a\\", "!a backslash at the end"},
        {"a | b", "!no shell that would understand '|'"},
        {"a; b", "!no shell that would understand ';'"},
        {"a `b`", "!no shell that would understand '`'"},
    };
    for (size_t i = 0; i < HD_COUNT(rows); i++) {
        struct hd_err err;
        char **words = NULL, joined[300] = "";
        size_t count = 0;
        enum hd_code code = hd_words_split(rows[i].text, &words, &count, &err);
        if (rows[i].joined[0] == '!') {
            assert_int_equal(code, HD_E_INVALID);
            assert_non_null(strstr(err.text, rows[i].joined + 1));
            continue;
        }
        assert_int_equal(code, HD_OK);
        assert_null(words[count]);
        for (size_t k = 0; k < count; k++) {
            size_t size = strlen(joined);
            hd_format(joined + size, sizeof(joined) - size, "<%s>", words[k]);
        }
        assert_string_equal(joined, rows[i].joined);
        hd_words_free(words);
    }
    struct hd_err err;
    struct hd_buf text;
    char **words = NULL;
    size_t count = 0;
    hd_buf_init(&text, 10000);
    for (int i = 0; i < HD_COMMAND_WORDS_MAX; i++)
        assert_hd_ok(hd_buf_puts(&text, "w ", &err));
    assert_hd_ok(hd_words_split(hd_buf_text(&text), &words, &count, &err));
    assert_int_equal(count, HD_COMMAND_WORDS_MAX);
    hd_words_free(words);
    assert_hd_ok(hd_buf_puts(&text, "w", &err));
    assert_hd_fails(hd_words_split(hd_buf_text(&text), &words, &count, &err), HD_E_LIMIT,
                    "1000 words");
    hd_buf_release(&text);
    hd_words_free(NULL);
}

/* The limit of a job grows with its budget and never passes the longest duration. */
static void timeouts(void **state)
{
    (void)state;
    struct hd_experiment *e = parse_good("target: {image: a, timeout: {per_budget: 1d}}\n" SPACE);
    assert_int_equal(hd_experiment_timeout_ms(e, 0.5), 43200000);
    assert_int_equal(hd_experiment_timeout_ms(e, 1e300), HD_DURATION_MS_MAX);
    assert_int_equal(hd_experiment_timeout_ms(e, 1e-300), 1);
    hd_experiment_free(e);
}

/* Whichever allocation fails, parsing ends with an error and leaks nothing. */
static void every_allocation_fails_once(void **state)
{
    (void)state;
    struct hd_err err;
    struct hd_value *value = NULL;
    assert_hd_ok(
        hd_yaml_parse(issue_text, strlen(issue_text), "e", &hd_value_limits_file, &value, &err));
    struct hd_experiment_overrides overrides = {.image = "b", .has_queue = true, .queue_max = 1};
    int64_t failures = 0;
    for (bool done = false; !done; failures++) {
        struct hd_experiment *e = NULL;
        struct hd_buf lines;
        hd_buf_init(&lines, 10000);
        hd_test_fail_alloc_after(failures);
        enum hd_code code = hd_experiment_parse(value, "e.yaml", &overrides, &e, &err);
        if (code == HD_OK)
            code = hd_experiment_diff(e, e, &lines, &err);
        hd_test_fail_alloc_after(-1);
        done = code == HD_OK;
        if (!done)
            assert_int_equal(code, HD_E_NOMEM);
        hd_experiment_free(e);
        hd_buf_release(&lines);
    }
    assert_true(failures > 300);
    hd_value_free(value);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(description_round_trips),
        cmocka_unit_test(differences_are_told),
        cmocka_unit_test(templates_expand),
        cmocka_unit_test(words_split),
        cmocka_unit_test(timeouts),
        cmocka_unit_test(every_allocation_fails_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
