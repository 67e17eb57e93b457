/* SPDX-License-Identifier: Apache-2.0 */
/* What a worker gives every target: both spellings, the variable before the options, and errors
 * that name the place. */
#include "testlib.h"

#include "env_list.h"

#include <string.h>

static struct hd_err err;

static void both_spellings_are_read(void **state)
{
    (void)state;
    struct hd_text_list given = {.items = {"A=1", " [\"B=2\", \"C=x=y\"]", "D="}, .count = 3};
    struct hd_env_list list;
    assert_int_equal(hd_env_list_make("[\"Z=0\"]", &given, &list, &err), HD_OK);
    static const char *const wanted[] = {"Z=0", "A=1", "B=2", "C=x=y", "D="};
    assert_int_equal(list.texts.count, HD_COUNT(wanted));
    for (size_t i = 0; i < HD_COUNT(wanted); i++)
        assert_string_equal(list.texts.items[i], wanted[i]);
    hd_env_list_release(&list);
    assert_int_equal(hd_env_list_make("", &(struct hd_text_list){0}, &list, &err), HD_OK);
    assert_int_equal(list.texts.count, 0);
    hd_env_list_release(&list);
}

static void mistakes_name_their_place(void **state)
{
    (void)state;
    static const struct {
        const char *variable, *option, *error;
    } rows[] = {
        {"A", "B=1", "HYPERDOCK_ENV A: must be NAME=VALUE"},
        {NULL, "=1", "--env =1: must be NAME=VALUE"},
        {NULL, "", "--env : must be NAME=VALUE"},
        {NULL, "[\"A=1\", 3]", "--env: item 2 of the list is no text"},
        {NULL, "[\"A\"]", "--env A: must be NAME=VALUE"},
        {NULL, "[\"A=1\"", "--env:1:"},
    };
    for (size_t i = 0; i < HD_COUNT(rows); i++) {
        struct hd_text_list given = {.items = {rows[i].option}, .count = 1};
        struct hd_env_list list;
        assert_int_equal(hd_env_list_make(rows[i].variable, &given, &list, &err), HD_E_INVALID);
        assert_non_null(strstr(err.text, rows[i].error));
    }
}

static void there_is_a_limit(void **state)
{
    (void)state;
    struct hd_text_list given = {.count = HD_OPTION_LIST_MAX};
    struct hd_env_list list;
    for (size_t i = 0; i < HD_OPTION_LIST_MAX; i++)
        given.items[i] = "A=1";
    assert_int_equal(hd_env_list_make("B=2", &given, &list, &err), HD_E_LIMIT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(both_spellings_are_read),
        cmocka_unit_test(mistakes_name_their_place),
        cmocka_unit_test(there_is_a_limit),
    };
    return cmocka_run_group_tests_name("env_list", tests, NULL, NULL);
}
