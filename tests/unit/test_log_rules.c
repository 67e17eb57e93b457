/* SPDX-License-Identifier: Apache-2.0 */
/* Log rules: how they are read, what is refused, and what they find in a target's log. */
#include "testlib.h"

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "contract.h"

static struct hd_err err;
static char *dir;

static int setup(void **state)
{
    (void)state;
    dir = test_dir_make();
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    test_dir_remove(dir);
    return 0;
}

static enum hd_code parse(const char *rules, struct hd_experiment **ret_experiment)
{
    char text[4096];
    assert_true(hd_format(text, sizeof(text),
                          "target: {command: [./t]}\nspace: {x: {type: float, low: 0, high: 1}}\n"
                          "log_rules:\n%s",
                          rules));
    return hd_experiment_parse_text(text, strlen(text), "exp.yaml", NULL, ret_experiment, &err);
}

/* Each mistake is told with its place, what is wrong and what would be right. */
static void mistakes_are_told(void **state)
{
    (void)state;
    static const struct {
        const char *rules, *error;
    } rows[] = {
        {"  - bad", "log_rules[0]: expected a map"},
        {"  - {label: a}", "log_rules[0].match: missing; give a regular expression"},
        {"  - {match: a}", "log_rules[0].label: missing; a rule has a label, or an action"},
        {"  - {match: a, action: stop}", "log_rules[0].action: unknown \"stop\"; known are: label"},
        {"  - {match: a, action: no_retyr}", "did you mean \"no_retry\"?"},
        {"  - {match: a, lable: b}", "log_rules[0].lable: unknown key, did you mean \"label\"?"},
        {"  - {match: \"(a\", label: b}", "log_rules[0].match: not a regular expression: "},
        {"  - {match: '(a)\\1', label: b}", "back references (\\1) are not allowed"},
        {"  - {match: 'a{65}', label: b}", "it repeats too often: at most 64 in one {}"},
        {"  - {match: '((a{40}){40}){40}', label: b}", "it repeats too often"},
        {"  - {match: 'a{1,99999999999}', label: b}", "it repeats too often"},
        {"  - {match: 'a++++++++++++++++++++', label: b}", "it repeats too often"},
        {"  - {match: '((((((((((((((((a+)+)+)+)+)+)+)+)+)+)+)+)+)+)+)+)+', label: b}",
         "it repeats too often"},
        {"  - {match: a, label: "
         "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa}",
         "log_rules[0].label: at most 63 bytes"},
        {"  {match: a}", "log_rules: expected a list of rules"},
    };
    for (size_t i = 0; i < HD_COUNT(rows); i++) {
        struct hd_experiment *experiment = NULL;
        assert_true(parse(rows[i].rules, &experiment) != HD_OK);
        if (strstr(err.text, rows[i].error) == NULL)
            fail_msg("\"%s\" does not hold \"%s\"", err.text, rows[i].error);
        assert_null(experiment);
    }
}

static void a_long_pattern_and_many_rules_are_refused(void **state)
{
    (void)state;
    char pattern[HD_LOG_PATTERN_MAX + 2];
    memset(pattern, 'a', sizeof(pattern) - 1);
    pattern[sizeof(pattern) - 1] = '\0';
    assert_hd_fails(hd_log_pattern_check(pattern, &err), HD_E_LIMIT, "1 to 256 bytes");
    pattern[HD_LOG_PATTERN_MAX] = '\0';
    assert_hd_ok(hd_log_pattern_check(pattern, &err));
    assert_hd_fails(hd_log_pattern_check("", &err), HD_E_LIMIT, "1 to 256 bytes");
    char rules[4096] = "";
    for (int i = 0; i <= HD_LOG_RULES_MAX; i++)
        strncat(rules, "  - {match: a, label: b}\n", sizeof(rules) - strlen(rules) - 1);
    struct hd_experiment *experiment = NULL;
    assert_int_equal(parse(rules, &experiment), HD_E_LIMIT);
    assert_non_null(strstr(err.text, "at most 32 are allowed"));
}

/* What stands in brackets repeats nothing. */
static void brackets_are_no_repetition(void **state)
{
    (void)state;
    static const char *const good[] = {"[{]999[}]",        "[]{99}]", "[^]{99}]",
                                       "[[:alpha:]{99}]x", "a\\{99}", "x{3}y{3}"};
    for (size_t i = 0; i < HD_COUNT(good); i++)
        assert_hd_ok(hd_log_pattern_check(good[i], &err));
}

static uint32_t match(const char *rules, const char *log)
{
    char path[600];
    struct hd_experiment *experiment = NULL;
    assert_hd_ok(parse(rules, &experiment));
    assert_true(hd_format(path, sizeof(path), "%s/log.txt", dir));
    (void)unlink(path);
    if (log != NULL)
        test_file_write(path, log);
    uint32_t rule = hd_log_match(dir, experiment);
    hd_experiment_free(experiment);
    return rule;
}

/* The first rule of the list that matches a line counts, wherever that line is. */
static void the_first_rule_counts(void **state)
{
    (void)state;
    static const char rules[] = "  - {match: '^fatal: [0-9]+$', action: no_retry}\n"
                                "  - {match: 'ECC|XID', action: exclude_worker, label: gpu}\n"
                                "  - {match: slow, label: slow}\n";
    assert_int_equal(match(rules, "all is well\n"), 0);
    assert_int_equal(match(rules, "slow\nan XID came\n"), 2);
    assert_int_equal(match(rules, "slow\nfatal: 12\nXID"), 1);
    assert_int_equal(match(rules, "it is fatal: 12\n"), 0);
    assert_int_equal(match(rules, ""), 0);
    assert_int_equal(match(rules, NULL), 0);
    assert_int_equal(match("  []\n", "XID"), 0);
}

/* Only the end of a long log is looked at; a link in its place is not followed. */
static void the_end_of_the_log_is_looked_at(void **state)
{
    (void)state;
    static const char rules[] = "  - {match: needle, label: found}\n";
    static char log[HD_LOG_TAIL_BYTES + 100];
    memset(log, '.', sizeof(log) - 1);
    for (size_t i = 79; i < sizeof(log) - 1; i += 80)
        log[i] = '\n';
    memcpy(log + 10, "needle", 6);
    assert_int_equal(match(rules, log), 0);
    memcpy(log + sizeof(log) - 60, "needle", 6);
    assert_int_equal(match(rules, log), 1);
    char path[600], elsewhere[600];
    assert_true(hd_format(path, sizeof(path), "%s/log.txt", dir));
    assert_true(hd_format(elsewhere, sizeof(elsewhere), "%s/other", dir));
    assert_int_equal(rename(path, elsewhere), 0);
    assert_int_equal(symlink(elsewhere, path), 0);
    struct hd_experiment *experiment = NULL;
    assert_hd_ok(parse(rules, &experiment));
    assert_int_equal(hd_log_match(dir, experiment), 0);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(mkfifo(path, 0600), 0);
    assert_int_equal(hd_log_match(dir, experiment), 0);
    hd_experiment_free(experiment);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
        T(mistakes_are_told),
        T(a_long_pattern_and_many_rules_are_refused),
        T(brackets_are_no_repetition),
        T(the_first_rule_counts),
        T(the_end_of_the_log_is_looked_at),
#undef T
    };
    return cmocka_run_group_tests_name("log_rules", tests, NULL, NULL);
}
