/* SPDX-License-Identifier: Apache-2.0 */
/* What of a machine a target sees, and what it is told when that is not there. */
#include "testlib.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "mounts.h"

static struct hd_err err;
static char *dir;

static char *below(const char *name)
{
    static char paths[8][4096];
    static size_t next;
    char *path = paths[next++ % HD_COUNT(paths)];
    assert_true(hd_format(path, sizeof(paths[0]), "%s/%s", dir, name));
    return path;
}

static int make_place(void **state)
{
    (void)state;
    dir = test_dir_make();
    assert_int_equal(mkdir(below("mnist"), 0700), 0);
    assert_int_equal(mkdir(below("cache"), 0700), 0);
    test_file_write(below("file"), "x");
    assert_int_equal(symlink(below("cache"), below("link")), 0);
    assert_int_equal(symlink(below("nowhere"), below("broken")), 0);
    assert_int_equal(mkfifo(below("pipe"), 0600), 0);
    return 0;
}

static int remove_place(void **state)
{
    (void)state;
    test_dir_remove(dir);
    return 0;
}

static struct hd_experiment *experiment_of(const char *target)
{
    struct hd_experiment *experiment = NULL;
    char text[8192];
    const struct hd_experiment_overrides overrides = {.base_dir = dir};
    assert_true(hd_format(text, sizeof(text), "target: {%s}\nspace: {x: {type: bool}}\n", target));
    assert_hd_ok(
        hd_experiment_parse_text(text, strlen(text), "e.yaml", &overrides, &experiment, &err));
    return experiment;
}

/* Data sets are where the worker's owner says, volumes where the file says; links are resolved. */
static void all_is_found(void **state)
{
    (void)state;
    char given[4096];
    struct hd_mounts mounts;
    assert_true(hd_format(given, sizeof(given), "mnist=%s", below("mnist")));
    const struct hd_text_list list = {.items = {given}, .count = 1};
    struct hd_experiment *experiment = experiment_of(
        "image: a, data: [mnist], volumes: ['./link:/cache:ro', './file:/f:ro', 'data:mnist:/m']");
    assert_hd_ok(hd_mounts_find(&experiment->target, &list, NULL, &mounts, &err));
    assert_int_equal(mounts.count, 4);
    assert_null(mounts.data_dir);
    assert_string_equal(mounts.items[0].source, below("mnist"));
    assert_null(mounts.items[0].at);
    char *cache = realpath(below("cache"), NULL);
    assert_string_equal(mounts.items[1].source, cache);
    free(cache);
    assert_string_equal(mounts.items[1].at, "/cache");
    assert_true(mounts.items[1].read_only && mounts.items[3].read_only);
    assert_string_equal(mounts.items[3].data, "mnist");
    assert_string_equal(mounts.items[3].at, "/m");
    hd_mounts_release(&mounts);
    hd_experiment_free(experiment);
}

/* A source that is missing, of the wrong kind or not permitted is named, and nothing is mounted. */
static void what_cannot_be_mounted_is_said(void **state)
{
    (void)state;
    char file_set[4096], policy_text[4096];
    assert_true(hd_format(file_set, sizeof(file_set), "file=%s", below("file")));
    const struct hd_text_list list = {.items = {file_set}, .count = 1};
    struct hd_policy *policy = NULL;
    assert_true(hd_format(policy_text, sizeof(policy_text), "mounts: [%s]\n", below("mnist")));
    assert_hd_ok(hd_policy_parse(policy_text, strlen(policy_text), "policy", &policy, &err));
    const struct {
        const char *target;
        enum hd_code code;
        const char *says;
        const struct hd_policy *policy;
    } rows[] = {
        {"image: a, volumes: ['./none:/x:ro']", HD_E_INVALID, "none on this worker: No such file",
         NULL},
        {"image: a, volumes: ['./broken:/x:ro']", HD_E_INVALID,
         "broken on this worker: No such file", NULL},
        {"image: a, volumes: ['./pipe:/x:ro']", HD_E_INVALID, "no directory and no file", NULL},
        {"image: a, volumes: ['/dev/null:/x:ro']", HD_E_INVALID, "no directory and no file", NULL},
        {"image: a, data: ./file", HD_E_INVALID, "file is not a directory", NULL},
        {"image: a, data: [cifar]", HD_E_INVALID, "no data set cifar: give it --data cifar=PATH",
         NULL},
        {"image: a, volumes: ['data:file:/x']", HD_E_INVALID, "is not a directory", NULL},
        {"image: a, volumes: ['./link:/x:ro']", HD_E_UNSUPPORTED, "rule mounts", policy},
    };
    for (size_t i = 0; i < HD_COUNT(rows); i++) {
        struct hd_mounts mounts;
        struct hd_experiment *experiment = experiment_of(rows[i].target);
        assert_hd_fails(hd_mounts_find(&experiment->target, &list, rows[i].policy, &mounts, &err),
                        rows[i].code, rows[i].says);
        hd_experiment_free(experiment);
    }
    hd_policy_free(policy);
}

/* What a target may write is named by the owner of the machine when the worker is root. */
static void writing_needs_a_rule_or_an_ordinary_user(void **state)
{
    (void)state;
    char text[4096];
    char *real = NULL;
    struct hd_policy *policy = NULL;
    enum hd_code expected = geteuid() == 0 ? HD_E_UNSUPPORTED : HD_OK;
    assert_int_equal(hd_policy_volume(NULL, below("cache"), true, &real, &err), expected);
    hd_free(real);
    assert_true(hd_format(text, sizeof(text), "mounts: []\nwritable: [%s]\n", below("cache")));
    assert_hd_ok(hd_policy_parse(text, strlen(text), "policy", &policy, &err));
    assert_hd_ok(hd_policy_volume(policy, below("link"), true, &real, &err));
    hd_free(real);
    assert_hd_ok(hd_policy_volume(policy, below("cache"), false, &real, &err));
    hd_free(real);
    real = NULL;
    assert_hd_fails(hd_policy_volume(policy, below("mnist"), true, &real, &err), HD_E_UNSUPPORTED,
                    "rule mounts");
    hd_policy_free(policy);
    assert_hd_ok(hd_policy_parse("writable: []", 12, "policy", &policy, &err));
    assert_hd_fails(hd_policy_volume(policy, below("cache"), true, &real, &err), HD_E_UNSUPPORTED,
                    "rule writable");
    assert_hd_ok(hd_policy_volume(policy, below("cache"), false, &real, &err));
    hd_free(real);
    hd_policy_free(policy);
    assert_hd_fails(hd_policy_parse("writable: [x]", 13, "policy", &policy, &err), HD_E_INVALID,
                    "writable: expected absolute paths");
}

/* Only data sets that are there are offered; one that is given twice is a mistake. */
static void names_are_those_that_are_there(void **state)
{
    (void)state;
    char names[HD_DATA_NAMES_MAX], a[4096], b[4096], c[4096];
    assert_true(hd_format(a, sizeof(a), "mnist=%s", below("mnist")));
    assert_true(hd_format(b, sizeof(b), "gone=%s", below("gone")));
    assert_true(hd_format(c, sizeof(c), "cache=%s", below("link")));
    struct hd_text_list list = {.items = {a, b, c}, .count = 3};
    assert_hd_ok(hd_mounts_names(&list, names, &err));
    assert_string_equal(names, "mnist,cache");
    list = (struct hd_text_list){.items = {a, a}, .count = 2};
    assert_hd_fails(hd_mounts_names(&list, names, &err), HD_E_INVALID, "given twice");
    list = (struct hd_text_list){.items = {"mnist"}, .count = 1};
    assert_hd_fails(hd_mounts_names(&list, names, &err), HD_E_INVALID, "must be NAME=PATH");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(all_is_found),
        cmocka_unit_test(what_cannot_be_mounted_is_said),
        cmocka_unit_test(writing_needs_a_rule_or_an_ordinary_user),
        cmocka_unit_test(names_are_those_that_are_there),
    };
    return cmocka_run_group_tests(tests, make_place, remove_place);
}
