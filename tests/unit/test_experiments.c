/* SPDX-License-Identifier: Apache-2.0 */
/* Texts of experiments that come with each job. */
#include "testlib.h"

#include "experiments.h"

#include <string.h>

static struct hd_err err;

static const char *text_of(unsigned number)
{
    static char text[512];
    assert_true(hd_format(text, sizeof(text),
                          "{\"name\":\"e%u\",\"target\":{\"command\":[\"./target\"]},"
                          "\"space\":{\"x\":{\"type\":\"float\",\"low\":0,\"high\":1}},"
                          "\"stop\":{\"configs\":%u}}",
                          number, number + 1));
    return text;
}

static const struct hd_experiment *take(struct hd_experiments *all, unsigned number)
{
    const struct hd_experiment *experiment = NULL;
    assert_hd_ok(hd_experiments_take(all, text_of(number), "experiment", &experiment, &err));
    assert_int_equal(experiment->stop.configs, number + 1);
    return experiment;
}

static void jobs_of_one_run_share_what_was_read(void **state)
{
    (void)state;
    struct hd_experiments *all = hd_experiments_new();
    assert_non_null(all);
    const struct hd_experiment *first = take(all, 1), *other = take(all, 2);
    assert_ptr_equal(take(all, 1), first);
    assert_ptr_not_equal(first, other);
    hd_experiments_release(all, first);
    hd_experiments_release(all, first);
    assert_ptr_equal(take(all, 1), first); /* kept for the next job */
    hd_experiments_release(all, NULL);
    hd_experiments_free(all);
}

/* Of those that no job has, only the last few stay; one that a job has stays however old it is. */
static void only_so_many_wait_for_a_job(void **state)
{
    (void)state;
    struct hd_experiments *all = hd_experiments_new();
    assert_non_null(all);
    const struct hd_experiment *held = take(all, 100);
    for (unsigned i = 0; i < 50; i++)
        hd_experiments_release(all, take(all, i));
    assert_int_equal(hd_experiments_count(all), HD_EXPERIMENTS_IDLE_MAX + 1);
    assert_ptr_equal(take(all, 100), held);
    for (unsigned i = 49; i > 49 - HD_EXPERIMENTS_IDLE_MAX; i--)
        hd_experiments_release(all, take(all, i));
    assert_int_equal(hd_experiments_count(all), HD_EXPERIMENTS_IDLE_MAX + 1);
    hd_experiments_free(all);
}

static void a_text_that_is_none_is_told_of_each_time(void **state)
{
    (void)state;
    const struct hd_experiment *experiment = NULL;
    struct hd_experiments *all = hd_experiments_new();
    assert_non_null(all);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(
            hd_experiments_take(all, "{\"name\":1}", "experiment of demo", &experiment, &err),
            HD_E_INVALID);
        assert_non_null(strstr(err.text, "experiment of demo"));
    }
    assert_null(experiment);
    assert_int_equal(hd_experiments_count(all), 0);
    hd_experiments_free(all);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(jobs_of_one_run_share_what_was_read),
        cmocka_unit_test(only_so_many_wait_for_a_job),
        cmocka_unit_test(a_text_that_is_none_is_told_of_each_time),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
