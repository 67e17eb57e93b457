/* SPDX-License-Identifier: Apache-2.0 */
/* space_checks.h: what the tests of spaces share: reading one, and checks of configs and spaces. */
#ifndef TESTS_SPACE_CHECKS_H
#define TESTS_SPACE_CHECKS_H

#include <string.h>

#include "testlib.h"

#include <hd/space.h>

static enum hd_code parse(const char *json, struct hd_space **ret_space, struct hd_err *err)
{
    struct hd_value *value = NULL;
    enum hd_code code =
        hd_json_parse(json, strlen(json), "test.json", &hd_value_limits_file, &value, err);
    if (code == HD_OK)
        code = hd_space_parse(value, "test.json", "space", ret_space, err);
    hd_value_free(value);
    return code;
}

static struct hd_space *space_of(const char *json)
{
    struct hd_err err = {0};
    struct hd_space *space = NULL;
    assert_hd_ok(parse(json, &space, &err));
    return space;
}

static void check_round_trip(const struct hd_space *space, const double *values)
{
    struct hd_err err = {0};
    struct hd_buf text;
    struct hd_value *tree = NULL;
    double back[64];
    hd_buf_init(&text, 1 << 20);
    assert_hd_ok(hd_space_check(space, values, &err));
    assert_hd_ok(hd_config_to_json(space, values, &text, &err));
    assert_hd_ok(
        hd_json_parse(hd_buf_text(&text), text.size, "c", &hd_value_limits_file, &tree, &err));
    assert_hd_ok(hd_config_from_value(space, tree, back, &err));
    assert_true(hd_config_equal(space, values, back));
    assert_true(hd_config_hash(space, values) == hd_config_hash(space, back));
    for (size_t i = 0; i < space->param_count; i++)
        assert_memory_equal(&values[i], &back[i], sizeof(double));
    hd_value_free(tree);
    hd_buf_release(&text);
}

static void check_description(const struct hd_space *space)
{
    struct hd_err err = {0};
    struct hd_value *first = NULL, *second = NULL;
    struct hd_space *again = NULL;
    struct hd_buf diff;
    hd_buf_init(&diff, 1 << 20);
    assert_hd_ok(hd_space_describe(space, &first, &err));
    assert_hd_ok(hd_space_parse(first, "d", "space", &again, &err));
    assert_hd_ok(hd_space_describe(again, &second, &err));
    assert_true(hd_value_equal(first, second));
    assert_true(hd_space_hash(space) == hd_space_hash(again));
    assert_hd_ok(hd_space_diff(space, again, &diff, &err));
    assert_string_equal(hd_buf_text(&diff), "");
    hd_buf_release(&diff);
    hd_value_free(first);
    hd_value_free(second);
    hd_space_free(again);
}

#endif
