/* SPDX-License-Identifier: Apache-2.0 */
#include "testlib.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <hd/value.h>

static const struct hd_value_limits small = {.bytes_max = 200, .nodes_max = 5, .depth_max = 3};

static struct hd_value *parse_json(const char *text)
{
    struct hd_err err;
    struct hd_value *value = NULL;
    assert_hd_ok(hd_json_parse(text, strlen(text), "t.json", &hd_value_limits_file, &value, &err));
    return value;
}

static struct hd_value *parse_yaml(const char *text)
{
    struct hd_err err;
    struct hd_value *value = NULL;
    assert_hd_ok(hd_yaml_parse(text, strlen(text), "t.yaml", &hd_value_limits_file, &value, &err));
    return value;
}

static void assert_written(const struct hd_value *value, enum hd_json_style style,
                           const char *expected)
{
    struct hd_err err;
    struct hd_buf out;
    hd_buf_init(&out, 1 << 20);
    assert_hd_ok(hd_json_write(value, style, &out, &err));
    assert_string_equal(hd_buf_text(&out), expected);
    hd_buf_release(&out);
}

/* ---- reading JSON ---- */

/* Each scalar of JSON, and the literals of Python, become the value they name. */
static void json_scalars(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        enum hd_value_kind kind;
        const char *written;
    } rows[] = {
        {"null", HD_VALUE_NULL, "null"},
        {" true ", HD_VALUE_BOOL, "true"},
        {"false\n", HD_VALUE_BOOL, "false"},
        {"0", HD_VALUE_INT, "0"},
        {"-12", HD_VALUE_INT, "-12"},
        {"9223372036854775807", HD_VALUE_INT, "9223372036854775807"},
        {"9223372036854775808", HD_VALUE_DOUBLE, "9.223372036854776e+18"},
        {"-0", HD_VALUE_DOUBLE, "-0.0"},
        {"27.0", HD_VALUE_DOUBLE, "27.0"},
        {"1e-5", HD_VALUE_DOUBLE, "1e-05"},
        {"1E+2", HD_VALUE_DOUBLE, "100.0"},
        {"1e999", HD_VALUE_DOUBLE, "Infinity"},
        {"NaN", HD_VALUE_DOUBLE, "NaN"},
        {"Infinity", HD_VALUE_DOUBLE, "Infinity"},
        {"-Infinity", HD_VALUE_DOUBLE, "-Infinity"},
        {"Inf", HD_VALUE_DOUBLE, "Infinity"},
        {"-Inf", HD_VALUE_DOUBLE, "-Infinity"},
        {"\"\"", HD_VALUE_STRING, "\"\""},
        {"\"a\\\"\\\\\\/\\b\\f\\n\\r\\t\\u0041\"", HD_VALUE_STRING,
         "\"a\\\"\\\\/\\u0008\\u000c\\n\\r\\tA\""},
        {"\"\\u00e4\\u20ac\\ud83d\\ude00\"", HD_VALUE_STRING,
         "\"\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80\""},
        {"\xef\xbb\xbf[]", HD_VALUE_ARRAY, "[]"},
        {"{}", HD_VALUE_OBJECT, "{}"},
    };
    for (size_t i = 0; i < HD_COUNT(rows); i++) {
        struct hd_value *value = parse_json(rows[i].text);
        assert_int_equal(value->kind, rows[i].kind);
        assert_written(value, HD_JSON_COMPACT, rows[i].written);
        hd_value_free(value);
    }
}

/* Every syntax error names file, line, column and what was expected. */
static void json_errors(void **state)
{
    (void)state;
    static const struct {
        const char *text, *error;
    } rows[] = {
        {"", "t.json:1:1: the text ends, expected a value"},
        {"[1,\n 2", "t.json:2:3: the text ends, expected ',' or ']'"},
        {"[1 2]", "t.json:1:4: unexpected '2', expected ',' or ']'"},
        {"[1,]", "t.json:1:4: unexpected ']', expected a value"},
        {"{\"a\" 1}", "t.json:1:6: unexpected '1', expected ':' after a key"},
        {"{a: 1}", "t.json:1:2: unexpected 'a', expected a key in quotes"},
        {"{\"a\": 1,}", "t.json:1:9: unexpected '}', expected a key in quotes"},
        {"{\"a\": 1\n \"b\": 2}", "t.json:2:2: unexpected '\"', expected ',' or '}'"},
        {"{\"a\": 1,\n \"b\": 2,\n \"a\": 3}", "t.json:3:2: the key \"a\" appears twice"},
        {"[1] x", "t.json:1:5: unexpected 'x', expected nothing after the value"},
        {"tru", "t.json:1:1: unexpected 't', expected a value"},
        {"nan", "t.json:1:1: unexpected 'n', expected a value"},
        {"01", "t.json:1:1: \"01\" is not a number"},
        {"1.", "\"1.\" is not a number"},
        {".5", "unexpected '.', expected a value"},
        {"+1", "unexpected '+', expected a value"},
        {"1e", "\"1e\" is not a number"},
        {"-", "\"-\" is not a number"},
        {"1-2", "\"1-2\" is not a number"},
        {"\"abc", "t.json:1:5: the text ends within a string"},
        {"\"a\nb\"", "t.json:1:3: a control character within a string"},
        {"\"\\x\"", "unexpected 'x', expected one of"},
        {"\"\\u12g4\"", "unexpected 'g', expected four hexadecimal digits"},
        {"\"\\u0000\"", "must not hold \\u0000"},
        {"\"\\ud83d\"", "half of a surrogate pair"},
        {"\"\\ud83d\\u0041\"", "half of a surrogate pair"},
        {"\"\\ude00\"", "half of a surrogate pair"},
        {"\"\xc0\xaf\"", "a string is not UTF-8"},
        {"\"\xed\xa0\x80\"", "a string is not UTF-8"},
        {"\"\xf4\x90\x80\x80\"", "a string is not UTF-8"},
        {"\"\xe2\x82\"", "a string is not UTF-8"},
        {"\x01", "unexpected byte 0x01"},
    };
    for (size_t i = 0; i < HD_COUNT(rows); i++) {
        struct hd_err err;
        struct hd_value *value = NULL;
        assert_hd_fails(hd_json_parse(rows[i].text, strlen(rows[i].text), "t.json",
                                      &hd_value_limits_file, &value, &err),
                        HD_E_INVALID, rows[i].error);
        assert_null(value);
    }
    struct hd_err err;
    struct hd_value *value = NULL;
    assert_hd_fails(hd_json_parse("1\0", 2, "t", &hd_value_limits_file, &value, &err), HD_E_INVALID,
                    "unexpected byte 0x00");
    assert_hd_fails(hd_json_parse("\"\0\"", 3, "t", &hd_value_limits_file, &value, &err),
                    HD_E_INVALID, "a control character");
}

/* Both readers stop at each of their limits, and not one before. */
static void limits_hold(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        enum hd_code code;
    } rows[] = {
        {"[[[1]]]", HD_OK},       {"[[[[1]]]]", HD_E_LIMIT},
        {"[1, 2, 3, 4]", HD_OK},  {"[1, 2, 3, 4, 5]", HD_E_LIMIT},
        {"{\"a\": [[]]}", HD_OK}, {"{\"a\": [[{}]]}", HD_E_LIMIT},
    };
    for (size_t i = 0; i < HD_COUNT(rows); i++) {
        struct hd_err err;
        struct hd_value *value = NULL;
        size_t size = strlen(rows[i].text);
        assert_int_equal(hd_json_parse(rows[i].text, size, "t", &small, &value, &err),
                         rows[i].code);
        hd_value_free(value);
        value = NULL;
        assert_int_equal(hd_yaml_parse(rows[i].text, size, "t", &small, &value, &err),
                         rows[i].code);
        hd_value_free(value);
    }
    struct hd_err err;
    struct hd_value *value = NULL;
    char text[300];
    memset(text, ' ', sizeof(text));
    text[0] = '1';
    assert_hd_ok(hd_json_parse(text, 200, "t", &small, &value, &err));
    hd_value_free(value);
    assert_hd_fails(hd_json_parse(text, 201, "t", &small, &value, &err), HD_E_LIMIT,
                    "t: more than 200 bytes");
    assert_hd_fails(hd_yaml_parse(text, 201, "t", &small, &value, &err), HD_E_LIMIT,
                    "t: more than 200 bytes");
    char digits[1100];
    memset(digits, '1', sizeof(digits));
    assert_hd_fails(hd_json_parse(digits, sizeof(digits), "t", &hd_value_limits_file, &value, &err),
                    HD_E_LIMIT, "1023 characters");
}

/* A map of many keys is read in about linear time: this would take minutes otherwise. */
static void many_keys(void **state)
{
    (void)state;
    struct hd_err err;
    struct hd_buf text;
    hd_buf_init(&text, 1 << 20);
    assert_hd_ok(hd_buf_puts(&text, "{", &err));
    for (int i = 0; i < 60000; i++)
        assert_hd_ok(hd_buf_printf(&text, &err, "\"k%d\":%d,", i, i));
    assert_hd_ok(hd_buf_puts(&text, "\"last\":0}", &err));
    struct hd_value *value = parse_json(hd_buf_text(&text));
    assert_int_equal(value->as.object.count, 60001);
    assert_int_equal(hd_value_get(value, "k59999")->as.integer, 59999);
    hd_value_free(value);
    hd_buf_release(&text);
}

/* ---- reading YAML ---- */

/* Plain scalars follow the core schema; quoted ones are always strings. */
static void yaml_scalars(void **state)
{
    (void)state;
    static const struct {
        const char *text, *written;
    } rows[] = {
        {"", "null"},
        {"# nothing\n", "null"},
        {"\xef\xbb\xbf"
         "a: 1\nb: 2",
         "{\"a\":1,\"b\":2}"}, /* a byte order mark */
        {"~", "null"},
        {"null", "null"},
        {"nULL", "\"nULL\""},
        {"true", "true"},
        {"False", "false"},
        {"yes", "\"yes\""},
        {"no", "\"no\""},
        {"on", "\"on\""},
        {"off", "\"off\""},
        {"1", "1"},
        {"+1", "1"},
        {"-12", "-12"},
        {"010", "10"},
        {"0x1F", "31"},
        {"0o17", "15"},
        {"0o8", "\"0o8\""},
        {"0x", "\"0x\""},
        {"1_000", "\"1_000\""},
        {"1e-5", "1e-05"},
        {"1.0e-5", "1e-05"},
        {"1e5", "100000.0"},
        {"1.", "1.0"},
        {".5", "0.5"},
        {"-0", "-0.0"},
        {"-0.0", "-0.0"},
        {".inf", "Infinity"},
        {"-.INF", "-Infinity"},
        {".NaN", "NaN"},
        {"NaN", "NaN"},
        {"-Infinity", "-Infinity"},
        {"inf", "\"inf\""},
        {"nan", "\"nan\""},
        {"1.2.3", "\"1.2.3\""},
        {"12:30", "\"12:30\""},
        {"2024-01-01", "\"2024-01-01\""},
        {"\"1\"", "\"1\""},
        {"'true'", "\"true\""},
        {"|\n a\n b\n", "\"a\\nb\\n\""},
        {">-\n a\n b\n", "\"a b\""},
        {"0x8000000000000000", "\"0x8000000000000000\""},
        {"\"\\U0001F600\"", "\"\xf0\x9f\x98\x80\""},
        {"---\n1\n...\n", "1"},
    };
    for (size_t i = 0; i < HD_COUNT(rows); i++) {
        struct hd_value *value = parse_yaml(rows[i].text);
        assert_written(value, HD_JSON_COMPACT, rows[i].written);
        hd_value_free(value);
    }
}

/* Block and flow forms give the same tree, in the order of the file, with text keys. */
static void yaml_structures(void **state)
{
    (void)state;
    struct hd_value *value =
        parse_yaml("b: 1\na:\n- x\n- {k: [1, 2.5], \"q\":3}\n-\n1: z\nyes: y\n");
    assert_written(
        value, HD_JSON_COMPACT,
        "{\"b\":1,\"a\":[\"x\",{\"k\":[1,2.5],\"q\":3},null],\"1\":\"z\",\"yes\":\"y\"}");
    hd_value_free(value);
    value = parse_yaml("{\"a\": \"\\ud83d\\ude00\", \"b\":NaN}"); /* JSON that is no YAML */
    assert_written(value, HD_JSON_COMPACT, "{\"a\":\"\xf0\x9f\x98\x80\",\"b\":NaN}");
    hd_value_free(value);
}

static void yaml_errors(void **state)
{
    (void)state;
    static const struct {
        const char *text, *error;
    } rows[] = {
        {"a: &x 1\nb: *x\n", "t.yaml:1:4: anchors and tags are not read here"},
        {"b: *x\n", "t.yaml:1:4: aliases are not read here"},
        {"*x : 1\n", "aliases are not read here"},
        {"a: !!int 1\n", "t.yaml:1:4: anchors and tags are not read here"},
        {"a: !x [1]\n", "anchors and tags are not read here"},
        {"a: !x {b: 1}\n", "anchors and tags are not read here"},
        {"!x a: 1\n", "anchors and tags are not read here"},
        {"a: 1\nb: 2\na: 3\n", "t.yaml:3:1: the key \"a\" appears twice"},
        {"a: 1\n---\nb: 2\n", "t.yaml:3:1: a second document"},
        {"? [a]\n: 1\n", "a key must be a plain text"},
        {"a: \"x\\0y\"\n", "t.yaml:1:4: a string must not hold \\0"},
        {"\"x\\0y\": 1\n", "a key must not hold \\0"},
        {"a:\n\t- 1\n", "t.yaml:2:1: "},
        {"a: [1, 2\n",
         "t.yaml:2:1: while parsing a flow sequence: did not find expected ',' or ']'"},
        {"a: b: c\n", "t.yaml:1:5: mapping values are not allowed"},
        {"a: \"\xff\"\n", "t.yaml: byte 4: "},
    };
    for (size_t i = 0; i < HD_COUNT(rows); i++) {
        struct hd_err err;
        struct hd_value *value = NULL;
        assert_hd_fails(hd_yaml_parse(rows[i].text, strlen(rows[i].text), "t.yaml",
                                      &hd_value_limits_file, &value, &err),
                        HD_E_INVALID, rows[i].error);
        assert_null(value);
    }
}

/* A node knows its line and column, a member those of its key. */
static void nodes_know_their_place(void **state)
{
    (void)state;
    struct hd_value *value = parse_yaml("a: 1\nb:\n  c:\n    - x\n    - y\n");
    struct hd_value *c = hd_value_get(hd_value_get(value, "b"), "c");
    assert_int_equal(value->line, 1);
    assert_int_equal(hd_value_get(value, "b")->line, 2);
    assert_int_equal(c->line, 3);
    assert_int_equal(c->column, 3);
    assert_int_equal(c->as.array.items[1]->line, 5);
    assert_int_equal(c->as.array.items[1]->column, 7);
    struct hd_err err;
    struct hd_value *copy = NULL;
    assert_hd_ok(hd_value_copy(value, &copy, &err));
    assert_int_equal(hd_value_get(copy, "b")->line, 2);
    hd_value_free(copy);
    hd_value_free(value);
    value = parse_json("{\"a\": 1,\n \"b\":\n  [\n1,   2]}");
    struct hd_value *b = hd_value_get(value, "b");
    assert_int_equal(b->line, 2);
    assert_int_equal(b->column, 2);
    assert_int_equal(b->as.array.items[1]->line, 4);
    assert_int_equal(b->as.array.items[1]->column, 6);
    hd_value_free(value);
}

/* ---- the tree ---- */

/* Building, replacing, looking up and freeing; a failed item fails the call. */
static void tree_is_built(void **state)
{
    (void)state;
    struct hd_value *object = hd_value_new_object();
    struct hd_value *array = hd_value_new_array();
    for (int i = 0; i < 10; i++)
        assert_int_equal(hd_value_append(array, hd_value_new_int(i)), HD_OK);
    assert_int_equal(hd_value_append(array, NULL), HD_E_NOMEM);
    assert_int_equal(hd_value_set(object, "list", array), HD_OK);
    assert_int_equal(hd_value_set(object, "x", hd_value_new_bool(true)), HD_OK);
    assert_int_equal(hd_value_set(object, "x", hd_value_new_double(0.5)), HD_OK);
    assert_int_equal(hd_value_set(object, "x", NULL), HD_E_NOMEM);
    assert_int_equal(hd_value_set(object, "n", hd_value_new_null()), HD_OK);
    assert_int_equal(hd_value_set(object, "s", hd_value_new_string("t")), HD_OK);
    assert_written(object, HD_JSON_COMPACT,
                   "{\"list\":[0,1,2,3,4,5,6,7,8,9],\"x\":0.5,\"n\":null,\"s\":\"t\"}");
    assert_null(hd_value_get(object, "y"));
    assert_null(hd_value_get(NULL, "y"));
    assert_null(hd_value_get(array, "y"));
    assert_true(isnan(hd_value_number(NULL)));
    assert_true(isnan(hd_value_number(object)));
    assert_false(hd_value_is_number(NULL));
    assert_true(hd_value_is_number(hd_value_get(object, "x")));
    hd_value_free(object);
    hd_value_free(NULL);
}

static void values_compare(void **state)
{
    (void)state;
    static const struct {
        const char *a, *b;
        bool equal;
    } rows[] = {
        {"1", "1.0", true},
        {"1", "1.5", false},
        {"NaN", "NaN", true},
        {"NaN", "0", false},
        {"9223372036854775807", "9223372036854775808", false},
        {"9007199254740993", "9007199254740992.0", false},
        {"\"1\"", "1", false},
        {"[1, 2]", "[1, 2]", true},
        {"[1, 2]", "[2, 1]", false},
        {"[1]", "[1, 2]", false},
        {"{\"a\": 1, \"b\": [null]}", "{\"b\": [null], \"a\": 1}", true},
        {"{\"a\": 1}", "{\"b\": 1}", false},
        {"{\"a\": 1}", "{\"a\": 1, \"b\": 2}", false},
        {"null", "false", false},
        {"true", "true", true},
    };
    for (size_t i = 0; i < HD_COUNT(rows); i++) {
        struct hd_value *a = parse_json(rows[i].a), *b = parse_json(rows[i].b);
        assert_int_equal(hd_value_equal(a, b), rows[i].equal);
        assert_int_equal(hd_value_equal(b, a), rows[i].equal);
        hd_value_free(a);
        hd_value_free(b);
    }
    assert_true(hd_value_equal(NULL, NULL));
}

/* ---- writing ---- */

static void styles_differ_only_in_looks(void **state)
{
    (void)state;
    struct hd_value *value = parse_json("{\"b\": [1, {\"d\": 2, \"c\": []}], \"a\": {}}");
    assert_written(value, HD_JSON_CANONICAL, "{\"a\":{},\"b\":[1,{\"c\":[],\"d\":2}]}");
    assert_written(value, HD_JSON_PRETTY,
                   "{\n  \"b\": [\n    1,\n    {\n      \"d\": 2,\n      \"c\": []\n    }\n  ],\n"
                   "  \"a\": {}\n}");
    hd_value_free(value);
}

/* A string of any bytes becomes valid JSON. */
static void strange_bytes_are_written(void **state)
{
    (void)state;
    struct hd_err err;
    struct hd_buf out;
    hd_buf_init(&out, 100);
    assert_hd_ok(hd_json_write_string("a\x01\xff\xc3\xa4\xc3", &out, &err));
    assert_string_equal(hd_buf_text(&out), "\"a\\u0001\\ufffd\xc3\xa4\\ufffd\"");
    /* What YAML does not take as it is, and no terminal should. */
    hd_buf_clear(&out);
    assert_hd_ok(hd_json_write_string(
        "\x7f\xc2\x9b\xc2\x80\xc2\xa0\xef\xbf\xbf\xe2\x80\xa9\xef\xbb\xbf", &out, &err));
    assert_string_equal(hd_buf_text(&out),
                        "\"\\u007f\\u009b\\u0080\xc2\xa0\\uffff\\u2029\\ufeff\"");
    hd_buf_release(&out);
}

/* A text that does not fit leaves the buffer as it was. */
static void writer_keeps_limits(void **state)
{
    (void)state;
    struct hd_err err;
    struct hd_buf out;
    struct hd_value *value = parse_json("[1, 2, 3, {\"a\": \"bcd\"}]");
    for (size_t size = 3; size < 22; size++) {
        hd_buf_init(&out, size);
        assert_hd_ok(hd_buf_puts(&out, "x: ", &err));
        assert_hd_fails(hd_json_write(value, HD_JSON_COMPACT, &out, &err), HD_E_LIMIT, "bytes");
        assert_string_equal(hd_buf_text(&out), "x: ");
        hd_buf_release(&out);
    }
    hd_value_free(value);
}

static struct hd_value *random_string(struct hd_rng *rng)
{
    static const char *const parts[] = {
        "a", "\"", "\\", "\n", " ",  "\x01", "\xc3\xa4", "\xe2\x82\xac", "\xf0\x9f\x98\x80",
        "0", "/",  "#",  ": ", "\t", "-",    "{"};
    char text[100] = "";
    size_t size = 0, count = (size_t)hd_rng_below(rng, 12);
    for (size_t i = 0; i < count; i++) {
        const char *part = parts[hd_rng_below(rng, HD_COUNT(parts))];
        memcpy(text + size, part, strlen(part) + 1);
        size += strlen(part);
    }
    return hd_value_new_string(text);
}

static struct hd_value *random_number(struct hd_rng *rng)
{
    uint64_t bits = hd_rng_u64(rng);
    double number;
    memcpy(&number, &bits, sizeof(number));
    if (hd_rng_below(rng, 3) == 0)
        return hd_value_new_int((int64_t)bits >> hd_rng_below(rng, 64));
    return hd_value_new_double(hd_rng_below(rng, 2) == 0 ? number
                                                         : trunc(hd_rng_normal(rng) * 100));
}

static struct hd_value *random_value(struct hd_rng *rng, int depth)
{
    uint64_t kind = hd_rng_below(rng, depth > 0 ? 8 : 5);
    if (kind == 0)
        return hd_value_new_null();
    if (kind == 1)
        return hd_value_new_bool(hd_rng_below(rng, 2) == 0);
    if (kind < 4)
        return random_number(rng);
    if (kind == 4)
        return random_string(rng);
    struct hd_value *value = kind < 7 ? hd_value_new_object() : hd_value_new_array();
    size_t count = (size_t)hd_rng_below(rng, 6);
    for (size_t i = 0; i < count; i++) {
        struct hd_value *item = random_value(rng, depth - 1);
        if (kind < 7) {
            struct hd_value *key = random_string(rng);
            assert_int_equal(hd_value_set(value, key->as.string, item), HD_OK);
            hd_value_free(key);
        } else {
            assert_int_equal(hd_value_append(value, item), HD_OK);
        }
    }
    return value;
}

/* Whatever tree is written reads back as the same tree, in each style, and through YAML too. */
static void random_trees_round_trip(void **state)
{
    (void)state;
    static const enum hd_json_style styles[] = {HD_JSON_COMPACT, HD_JSON_PRETTY, HD_JSON_CANONICAL};
    struct hd_rng rng;
    hd_rng_seed(&rng, 11);
    for (int i = 0; i < 1500; i++) {
        struct hd_err err;
        struct hd_value *value = random_value(&rng, 5), *back = NULL;
        struct hd_buf text;
        hd_buf_init(&text, 1 << 20);
        assert_hd_ok(hd_buf_puts(&text, "#\n", &err)); /* makes it YAML that is no JSON */
        assert_hd_ok(hd_json_write(value, styles[i % 3], &text, &err));
        assert_hd_ok(hd_json_parse(hd_buf_text(&text) + 2, text.size - 2, "t",
                                   &hd_value_limits_file, &back, &err));
        assert_true(hd_value_equal(value, back));
        assert_int_equal(value->kind, back->kind);
        hd_value_free(back);
        assert_hd_ok(
            hd_yaml_parse(hd_buf_text(&text), text.size, "t", &hd_value_limits_file, &back, &err));
        assert_true(hd_value_equal(value, back));
        hd_value_free(back);
        hd_value_free(value);
        hd_buf_release(&text);
    }
}

/* ---- torture ---- */

static const char torture_text[] =
    "#\n{\"a\": [1, 2.5, true, null, \"text\", [], {}, 1, 2], \"b\": {\"c\": \"d\", \"e\": NaN,"
    " \"f\": 1, \"g\": 2, \"h\": 3, \"a long string beyond the first capacity of a buffer of "
    "bytes, so"
    " that it must grow at least once while it is read and again while it is written\": 0}}";

typedef enum hd_code parse_function(const char *, size_t, const char *,
                                    const struct hd_value_limits *, struct hd_value **,
                                    struct hd_err *);

static void torture_parse(parse_function *parse, const char *text)
{
    int64_t failures = 0;
    for (;; failures++) {
        struct hd_err err;
        struct hd_value *value = NULL;
        hd_test_fail_alloc_after(failures);
        enum hd_code code = parse(text, strlen(text), "t", &hd_value_limits_file, &value, &err);
        hd_test_fail_alloc_after(-1);
        if (code == HD_OK) {
            hd_value_free(value);
            break;
        }
        assert_int_equal(code, HD_E_NOMEM);
        assert_null(value);
    }
    assert_true(failures > 30);
}

/* Whichever allocation fails, reading ends with "out of memory" and leaks nothing. */
static void every_allocation_of_readers_fails_once(void **state)
{
    (void)state;
    torture_parse(hd_json_parse, torture_text + 2);
    torture_parse(hd_yaml_parse, torture_text);
}

/* The same for writing and copying; the buffer stays empty. */
static void every_allocation_of_writers_fails_once(void **state)
{
    (void)state;
    struct hd_value *value = parse_yaml(torture_text);
    int64_t failures = 0;
    for (bool done = false; !done; failures++) {
        struct hd_err err;
        struct hd_value *copy = NULL;
        struct hd_buf out;
        hd_buf_init(&out, 1 << 20);
        hd_test_fail_alloc_after(failures);
        enum hd_code code = hd_value_copy(value, &copy, &err);
        if (code == HD_OK)
            code = hd_json_write(copy, HD_JSON_CANONICAL, &out, &err);
        hd_test_fail_alloc_after(-1);
        done = code == HD_OK;
        if (!done) {
            assert_int_equal(code, HD_E_NOMEM);
            assert_string_equal(hd_buf_text(&out), "");
        }
        hd_value_free(copy);
        hd_buf_release(&out);
    }
    assert_true(failures > 40);
    hd_value_free(value);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(json_scalars),
        cmocka_unit_test(json_errors),
        cmocka_unit_test(limits_hold),
        cmocka_unit_test(many_keys),
        cmocka_unit_test(yaml_scalars),
        cmocka_unit_test(yaml_structures),
        cmocka_unit_test(yaml_errors),
        cmocka_unit_test(nodes_know_their_place),
        cmocka_unit_test(tree_is_built),
        cmocka_unit_test(values_compare),
        cmocka_unit_test(styles_differ_only_in_looks),
        cmocka_unit_test(strange_bytes_are_written),
        cmocka_unit_test(writer_keeps_limits),
        cmocka_unit_test(random_trees_round_trip),
        cmocka_unit_test(every_allocation_of_readers_fails_once),
        cmocka_unit_test(every_allocation_of_writers_fails_once),
    };
    return cmocka_run_group_tests_name("value", tests, NULL, NULL);
}
