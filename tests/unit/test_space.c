/* SPDX-License-Identifier: Apache-2.0 */
/* test_space.c: what optimizer/space promises. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "space_checks.h"
static void test_every_type_is_read(void **state)
{
    /* Promise: each type of the header is understood, a scalar is a constant. */
    (void)state;
    struct hd_space *space =
        space_of("{\"a\":{\"type\":\"float\",\"low\":-1,\"high\":2.5},"
                 "\"b\":{\"type\":\"int\",\"low\":1,\"high\":1000,\"log\":true,\"default\":10},"
                 "\"c\":{\"type\":\"categorical\",\"choices\":[\"x\",3,null,true]},"
                 "\"d\":{\"type\":\"ordinal\",\"choices\":[1,2,4],\"default\":4},"
                 "\"e\":{\"type\":\"bool\"},"
                 "\"f\":{\"type\":\"constant\",\"value\":\"k\"},\"g\":3,\"h\":\"adam\"}");
    assert_int_equal(space->param_count, 8);
    assert_int_equal(space->free_count, 5);
    assert_int_equal(space->params[1].kind, HD_PARAM_INT);
    assert_true(space->params[1].log);
    assert_true(space->params[1].default_value == 10);
    assert_true(space->params[3].default_value == 2);
    assert_true(space->params[0].default_value == 0.75);
    assert_int_equal(space->params[6].kind, HD_PARAM_CONSTANT);
    double values[8];
    hd_space_default(space, values);
    struct hd_err err = {0};
    assert_hd_ok(hd_space_check(space, values, &err));
    struct hd_buf out;
    hd_buf_init(&out, 4096);
    assert_hd_ok(hd_config_to_json(space, values, &out, &err));
    assert_string_equal(hd_buf_text(&out), "{\"a\":0.75,\"b\":10,\"c\":\"x\",\"d\":4,\"e\":false,"
                                           "\"f\":\"k\",\"g\":3,\"h\":\"adam\"}");
    hd_buf_release(&out);
    hd_space_free(space);
}

static void test_bad_spaces_are_refused(void **state)
{
    /* Promise: each mistake gets its code and a text with the path and the remedy. */
    (void)state;
    static const struct {
        const char *json;
        enum hd_code code;
        const char *part;
    } rows[] = {
        {"3", HD_E_INVALID, "space: must be an object"},
        {"{}", HD_E_INVALID, "has no params"},
        {"{\"a\":null}", HD_E_INVALID, "space.a: is empty"},
        {"{\"a\":[1,2]}", HD_E_INVALID, "{type: categorical"},
        {"{\"a\":{}}", HD_E_INVALID, "\"type\" is missing"},
        {"{\"a\":{\"type\":\"flaot\"}}", HD_E_INVALID, "did you mean float"},
        {"{\"a\":{\"type\":\"zzz\"}}", HD_E_INVALID, "known are float"},
        {"{\"a\":{\"type\":3}}", HD_E_INVALID, "space.a.type: must be text"},
        {"{\"a\":{\"type\":\"float\",\"high\":1}}", HD_E_INVALID, "\"low\" is missing"},
        {"{\"a\":{\"type\":\"float\",\"low\":0}}", HD_E_INVALID, "\"high\" is missing"},
        {"{\"a\":{\"type\":\"float\",\"lwo\":0,\"high\":1}}", HD_E_INVALID, "did you mean \"low\""},
        {"{\n\"a\":{\"type\":\"float\",\n\"low\":2,\"high\":1}}", HD_E_INVALID,
         "test.json:3: space.a.low: the range is empty"},
        {"{\"a\":{\"type\":\"float\",\"low\":0,\"high\":1,\"log\":true}}", HD_E_INVALID,
         "must be above 0 because log"},
        {"{\"a\":{\"type\":\"float\",\"low\":0,\"high\":1,\"log\":1}}", HD_E_INVALID,
         "space.a.log: must be true or false"},
        {"{\"a\":{\"type\":\"float\",\"low\":\"0\",\"high\":1}}", HD_E_INVALID, "must be a number"},
        {"{\"a\":{\"type\":\"float\",\"low\":0,\"high\":Infinity}}", HD_E_INVALID, "finite"},
        {"{\"a\":{\"type\":\"float\",\"low\":-1e308,\"high\":1e308}}", HD_E_INVALID, "too wide"},
        {"{\"a\":{\"type\":\"float\",\"low\":0,\"high\":1,\"step\":0}}", HD_E_INVALID, "above 0"},
        {"{\"a\":{\"type\":\"float\",\"low\":0,\"high\":1,\"step\":1e-300}}", HD_E_INVALID,
         "too small"},
        {"{\"a\":{\"type\":\"int\",\"low\":0.5,\"high\":1}}", HD_E_INVALID, "whole number"},
        {"{\"a\":{\"type\":\"int\",\"low\":0,\"high\":1e17}}", HD_E_INVALID, "2^53"},
        {"{\"a\":{\"type\":\"int\",\"low\":0,\"high\":9,\"default\":10}}", HD_E_INVALID,
         "space.a.default: 10 of a is above its high bound 9"},
        {"{\"a\":{\"type\":\"int\",\"low\":0,\"high\":9,\"step\":2,\"default\":3}}", HD_E_INVALID,
         "not on its grid"},
        {"{\"a\":{\"type\":\"categorical\"}}", HD_E_INVALID, "\"choices\" is missing"},
        {"{\"a\":{\"type\":\"categorical\",\"choices\":[]}}", HD_E_INVALID, "at least one"},
        {"{\"a\":{\"type\":\"categorical\",\"choices\":[[1]]}}", HD_E_INVALID, "scalar"},
        {"{\"a\":{\"type\":\"categorical\",\"choices\":[1,2,1.0]}}", HD_E_INVALID,
         "choice 3 is the same as choice 1"},
        {"{\"a\":{\"type\":\"categorical\",\"choices\":[1],\"default\":2}}", HD_E_INVALID,
         "not among the 1 choices"},
        {"{\"a\":{\"type\":\"constant\"}}", HD_E_INVALID, "\"value\" is missing"},
        {"{\"a\":{\"type\":\"constant\",\"value\":{}}}", HD_E_INVALID, "scalar"},
        {"{\"\":1}", HD_E_INVALID, "needs a name"},
        {"{\"a\\u0007\":1}", HD_E_INVALID, "control"},
        {"{\"a\":{\"type\":\"bool\",\"when\":{}}}", HD_E_INVALID, "space.a.when: must be a map"},
        {"{\"a\":{\"type\":\"bool\",\"condition\":{}}}", HD_E_INVALID, "is written when:"},
        {"{\"forbidden\":[{\"a\":1}]}", HD_E_INVALID, "has no params"},
        {"{\"a\":1,\"forbidden\":{\"a\":1}}", HD_E_INVALID, "space.forbidden: must be a list"},
        {"{\"conditions\":[]}", HD_E_INVALID, "reserved"},
    };
    for (size_t i = 0; i < HD_COUNT(rows); i++) {
        struct hd_err err = {0};
        struct hd_space *space = NULL;
        assert_hd_fails(parse(rows[i].json, &space, &err), rows[i].code, rows[i].part);
        assert_null(space);
    }
}

static void test_limits_are_enforced(void **state)
{
    /* Promise: the named limits are the limits. */
    (void)state;
    struct hd_err err = {0};
    struct hd_space *space = NULL;
    for (int extra = 0; extra < 2; extra++) {
        struct hd_value *object = hd_value_new_object();
        for (int i = 0; i < HD_SPACE_PARAMS_MAX + extra; i++) {
            char key[32];
            hd_format(key, sizeof(key), "p%d", i);
            assert_int_equal(hd_value_set(object, key, hd_value_new_int(1)), HD_OK);
        }
        if (extra == 0)
            assert_hd_ok(hd_space_parse(object, "t", "space", &space, &err));
        else
            assert_hd_fails(hd_space_parse(object, "t", "space", &space, &err), HD_E_LIMIT,
                            "at most 1000 params");
        hd_space_free(space);
        space = NULL;
        hd_value_free(object);
    }
}

static void test_levels_map_exactly(void **state)
{
    /* Promise: from_unit(to_unit(v)) == v for every level, and the levels tile [0, 1]. */
    (void)state;
    static const char *const rows[] = {
        "{\"a\":{\"type\":\"int\",\"low\":-7,\"high\":1200}}",
        "{\"a\":{\"type\":\"int\",\"low\":1,\"high\":5000,\"log\":true}}",
        "{\"a\":{\"type\":\"int\",\"low\":3,\"high\":1000,\"log\":true,\"step\":8}}",
        "{\"a\":{\"type\":\"int\",\"low\":5,\"high\":5}}",
        "{\"a\":{\"type\":\"float\",\"low\":0.1,\"high\":7.3,\"step\":0.1}}",
        "{\"a\":{\"type\":\"float\",\"low\":1e-3,\"high\":1,\"step\":1e-3,\"log\":true}}",
        "{\"a\":{\"type\":\"float\",\"low\":0.3333333333333333,\"high\":9,\"step\":0.7071}}",
        "{\"a\":{\"type\":\"ordinal\",\"choices\":[1,3,9,27,81]}}",
        "{\"a\":{\"type\":\"bool\"}}",
    };
    for (size_t i = 0; i < HD_COUNT(rows); i++) {
        struct hd_space *space = space_of(rows[i]);
        const struct hd_param *param = &space->params[0];
        double levels = hd_param_levels(param), end = 0;
        assert_true(levels >= 1 && levels <= 5000);
        for (double k = 0; k < levels; k++) {
            double low, high, value = hd_param_level_value(param, k);
            struct hd_err err = {0};
            assert_hd_ok(hd_space_check(space, &value, &err));
            assert_true(hd_param_level_of(param, value) == k);
            double unit = hd_param_to_unit(param, value);
            assert_true(hd_param_from_unit(param, unit) == value);
            hd_param_level_range(param, value, &low, &high);
            assert_true(fabs(low - end) < 1e-12 && low < high && high <= 1);
            assert_true(hd_param_from_unit(param, low + 1e-3 * (high - low)) == value);
            assert_true(hd_param_from_unit(param, high - 1e-3 * (high - low)) == value);
            end = high;
        }
        assert_true(end == 1);
        hd_space_free(space);
    }
}

static void test_huge_ints_stay_exact(void **state)
{
    /* Promise: up to HD_PARAM_EXACT_LEVELS_MAX levels the mapping loses nothing. */
    (void)state;
    struct hd_space *space =
        space_of("{\"a\":{\"type\":\"int\",\"low\":0,\"high\":999999999999},"
                 "\"b\":{\"type\":\"int\",\"low\":1,\"high\":1000000000000,\"log\":true}}");
    struct hd_rng rng;
    hd_rng_seed(&rng, 1);
    for (int i = 0; i < 20000; i++) {
        double values[2];
        hd_space_sample(space, &rng, values);
        for (int j = 0; j < 2; j++) {
            const struct hd_param *param = &space->params[j];
            assert_true(hd_param_from_unit(param, hd_param_to_unit(param, values[j])) == values[j]);
        }
    }
    hd_space_free(space);
}

static void test_decimal_grids_are_the_nearest_doubles(void **state)
{
    /* Promise: a grid of tenths holds 0.3, not 0.30000000000000004, and the last level is there. */
    (void)state;
    struct hd_space *space =
        space_of("{\"a\":{\"type\":\"float\",\"low\":0,\"high\":1,\"step\":0.1}}");
    assert_true(hd_param_levels(&space->params[0]) == 11);
    assert_true(hd_param_level_value(&space->params[0], 3) == 0.3);
    assert_true(hd_param_level_value(&space->params[0], 7) == 0.7);
    assert_true(hd_param_level_value(&space->params[0], 10) == 1.0);
    hd_space_free(space);
}

/* ---- random spaces ----------------------------------------------------------------------- */

static struct hd_value *random_param(struct hd_rng *rng)
{
    static const char *const types[] = {"float", "int", "categorical", "ordinal", "bool"};
    struct hd_value *object = hd_value_new_object();
    const char *type = types[hd_rng_below(rng, 5)];
    assert_int_equal(hd_value_set(object, "type", hd_value_new_string(type)), HD_OK);
    if (hd_streq(type, "float") || hd_streq(type, "int")) {
        bool is_int = hd_streq(type, "int"), log = hd_rng_below(rng, 2) == 0;
        double low = log ? exp(hd_rng_normal(rng) * 3) : hd_rng_normal(rng) * 100;
        double high = low + fabs(hd_rng_normal(rng)) * exp(hd_rng_normal(rng) * 4);
        if (is_int) {
            low = ceil(low);
            high = ceil(high);
        }
        assert_int_equal(hd_value_set(object, "low", hd_value_new_double(low)), HD_OK);
        assert_int_equal(hd_value_set(object, "high", hd_value_new_double(high)), HD_OK);
        assert_int_equal(hd_value_set(object, "log", hd_value_new_bool(log)), HD_OK);
        double step = is_int ? (double)(1 + hd_rng_below(rng, 5)) : (high - low) / 17.3;
        if (hd_rng_below(rng, 3) == 0 && step > 0)
            assert_int_equal(hd_value_set(object, "step", hd_value_new_double(step)), HD_OK);
    } else if (!hd_streq(type, "bool")) {
        struct hd_value *choices = hd_value_new_array();
        for (uint64_t i = 0, n = 1 + hd_rng_below(rng, 30); i < n; i++)
            assert_int_equal(hd_value_append(choices, hd_value_new_int((int64_t)(i * i))), HD_OK);
        assert_int_equal(hd_value_set(object, "choices", choices), HD_OK);
    }
    return object;
}

static struct hd_space *random_space(struct hd_rng *rng)
{
    struct hd_err err = {0};
    struct hd_space *space = NULL;
    struct hd_value *object = hd_value_new_object();
    for (uint64_t i = 0, n = 1 + hd_rng_below(rng, 12); i < n; i++) {
        char key[32];
        hd_format(key, sizeof(key), "p%d", (int)i);
        struct hd_value *param =
            hd_rng_below(rng, 8) == 0 ? hd_value_new_string("constant") : random_param(rng);
        assert_int_equal(hd_value_set(object, key, param), HD_OK);
    }
    assert_hd_ok(hd_space_parse(object, "random", "space", &space, &err));
    hd_value_free(object);
    return space;
}

static void test_random_spaces_round_trip(void **state)
{
    /* Promise: sampled, cube and default configs are legal and survive JSON bit for bit;
     * parse(describe(s)) is s. */
    (void)state;
    struct hd_rng rng;
    hd_rng_seed(&rng, 7);
    for (int round = 0; round < 300; round++) {
        struct hd_space *space = random_space(&rng);
        double values[64], cube[64];
        hd_space_default(space, values);
        check_round_trip(space, values);
        for (int i = 0; i < 20; i++) {
            hd_space_sample(space, &rng, values);
            check_round_trip(space, values);
            for (size_t j = 0; j < space->free_count; j++)
                cube[j] = i == 0 ? 0 : i == 1 ? 1 - 0x1p-53 : hd_rng_double(&rng);
            hd_space_from_cube(space, cube, values);
            check_round_trip(space, values);
        }
        check_description(space);
        hd_space_free(space);
    }
}

/* ---- configs ------------------------------------------------------------------------------ */

static void test_bad_configs_are_refused(void **state)
{
    /* Promise: a config of foreign origin is checked whole, and nothing is written on failure. */
    (void)state;
    struct hd_space *space =
        space_of("{\"learning_rate\":{\"type\":\"float\",\"low\":0,\"high\":1},\"n\":{\"type\":"
                 "\"int\",\"low\":1,\"high\":9},\"act\":{\"type\":\"categorical\",\"choices\":["
                 "\"relu\"]},\"b\":{\"type\":\"bool\"},\"k\":3}");
    static const struct {
        const char *json;
        const char *part;
    } rows[] = {
        {"[]", "a config is an object"},
        {"{\"learning_rat\":0.1}", "did you mean \"learning_rate\""},
        {"{\"zzzzzzzzz\":0.1}", "no param \"zzzzzzzzz\""},
        {"{\"learning_rate\":0.1,\"n\":2,\"b\":true}", "no value for act"},
        {"{\"learning_rate\":\"x\",\"n\":2,\"act\":\"relu\",\"b\":true}", "is a number, not"},
        {"{\"learning_rate\":2,\"n\":2,\"act\":\"relu\",\"b\":true}", "above its high bound 1"},
        {"{\"learning_rate\":-2,\"n\":2,\"act\":\"relu\",\"b\":true}", "below its low bound 0"},
        {"{\"learning_rate\":NaN,\"n\":2,\"act\":\"relu\",\"b\":true}", "NaN is no value"},
        {"{\"learning_rate\":0,\"n\":2.5,\"act\":\"relu\",\"b\":true}", "not on its grid"},
        {"{\"learning_rate\":0,\"n\":2,\"act\":\"tanh\",\"b\":true}", "\"tanh\" is not among"},
        {"{\"learning_rate\":0,\"n\":2,\"act\":\"relu\",\"b\":1}", "true or false"},
        {"{\"learning_rate\":0,\"n\":2,\"act\":\"relu\",\"b\":true,\"k\":4}",
         "constant value of k"},
    };
    for (size_t i = 0; i < HD_COUNT(rows); i++) {
        struct hd_err err = {0};
        struct hd_value *value = NULL;
        double values[5] = {5, 5, 5, 5, 5};
        assert_hd_ok(hd_json_parse(rows[i].json, strlen(rows[i].json), "c", &hd_value_limits_file,
                                   &value, &err));
        assert_hd_fails(hd_config_from_value(space, value, values, &err), HD_E_INVALID,
                        rows[i].part);
        for (int j = 0; j < 5; j++)
            assert_true(values[j] == 5);
        hd_value_free(value);
    }
    hd_space_free(space);
}

static void test_differences_are_shown(void **state)
{
    /* Promise: one line for each param that was added, removed or changed; order counts. */
    (void)state;
    struct hd_err err = {0};
    struct hd_buf out;
    hd_buf_init(&out, 4096);
    struct hd_space *a = space_of("{\"x\":{\"type\":\"float\",\"low\":0,\"high\":1},\"y\":1}");
    struct hd_space *b = space_of("{\"x\":{\"type\":\"float\",\"low\":0,\"high\":2},\"z\":1}");
    struct hd_space *c = space_of("{\"y\":1,\"x\":{\"type\":\"float\",\"low\":0,\"high\":1}}");
    assert_hd_ok(hd_space_diff(a, b, &out, &err));
    assert_non_null(strstr(hd_buf_text(&out), "x: changed {\"type\":\"float\""));
    assert_non_null(strstr(hd_buf_text(&out), "y: removed {\"type\":\"constant\",\"value\":1}\n"));
    assert_non_null(strstr(hd_buf_text(&out), "z: added {"));
    assert_true(hd_space_hash(a) != hd_space_hash(b));
    hd_buf_clear(&out);
    assert_hd_ok(hd_space_diff(a, c, &out, &err));
    assert_string_equal(hd_buf_text(&out), "the params stand in another order\n");
    assert_true(hd_space_hash(a) != hd_space_hash(c));
    hd_buf_release(&out);
    hd_space_free(a);
    hd_space_free(b);
    hd_space_free(c);
}

static void test_memory_failures_are_clean(void **state)
{
    /* Promise: whichever allocation fails, parsing and describing fail cleanly or succeed. */
    (void)state;
    const char *json = "{\"a\":{\"type\":\"float\",\"low\":0,\"high\":1},\"b\":{\"type\":"
                       "\"categorical\",\"choices\":[\"x\",\"y\"],\"default\":\"y\"},"
                       "\"c\":{\"type\":\"bool\",\"when\":{\"a\":{\"gt\":0.1,\"lt\":0.9}}},"
                       "\"d\":\"const\",\"forbidden\":[{\"b\":[\"x\"],\"c\":false}]}";
    struct hd_err err = {0};
    struct hd_value *value = NULL;
    assert_hd_ok(hd_json_parse(json, strlen(json), "t", &hd_value_limits_file, &value, &err));
    bool succeeded = false;
    for (int countdown = 0; countdown < 1000 && !succeeded; countdown++) {
        struct hd_space *space = NULL;
        struct hd_value *described = NULL;
        double config[4];
        hd_test_fail_alloc_after(countdown);
        enum hd_code code = hd_space_parse(value, "t", "space", &space, &err);
        if (code == HD_OK)
            code = hd_space_describe(space, &described, &err);
        if (code == HD_OK) {
            struct hd_value *object = NULL;
            hd_space_default(space, config);
            code = hd_config_to_value(space, config, &object, &err);
            if (code == HD_OK)
                code = hd_config_from_value(space, object, config, &err);
            hd_value_free(object);
        }
        hd_test_fail_alloc_after(-1);
        assert_true(code == HD_OK || code == HD_E_NOMEM);
        succeeded = code == HD_OK;
        hd_value_free(described);
        hd_space_free(space);
    }
    assert_true(succeeded);
    hd_value_free(value);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_type_is_read),
        cmocka_unit_test(test_bad_spaces_are_refused),
        cmocka_unit_test(test_limits_are_enforced),
        cmocka_unit_test(test_levels_map_exactly),
        cmocka_unit_test(test_huge_ints_stay_exact),
        cmocka_unit_test(test_decimal_grids_are_the_nearest_doubles),
        cmocka_unit_test(test_random_spaces_round_trip),
        cmocka_unit_test(test_bad_configs_are_refused),
        cmocka_unit_test(test_differences_are_shown),
        cmocka_unit_test(test_memory_failures_are_clean),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
