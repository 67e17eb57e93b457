/* SPDX-License-Identifier: Apache-2.0 */
/* test_race.c: posterior means against values worked out by hand, and who is evaluated again. */
#include <float.h>
#include <math.h>
#include <string.h>

#include <hd/race.h>

#include "testlib.h"

static struct hd_err err;

static struct hd_race *race_of(uint32_t repeats, double share)
{
    const struct hd_race_spec spec = {.repeats = repeats, .share = share};
    struct hd_race *race;
    assert_hd_ok(hd_race_new(&spec, &race, &err));
    return race;
}

static void end(struct hd_race *race, uint32_t config, bool repeated, enum hd_race_end how,
                double loss)
{
    assert_hd_ok(hd_race_reserve(race, &err));
    hd_race_ended(race, config, config, repeated, how, loss);
}

/* A first evaluation, or another one, queued and ended. */
static void first(struct hd_race *race, uint32_t config, double loss)
{
    hd_race_queued(race, config, 0, 1);
    end(race, config, false, HD_RACE_END_OK, loss);
}

static void again(struct hd_race *race, uint32_t config, uint32_t repeat, double loss)
{
    hd_race_queued(race, config, repeat, 1);
    end(race, config, true, HD_RACE_END_OK, loss);
}

static struct hd_race_estimate find(struct hd_race *race, uint32_t config)
{
    struct hd_race_estimate estimate;
    assert_true(hd_race_find(race, config, &estimate));
    return estimate;
}

/* The one that is to be evaluated again, or UINT32_MAX. */
static uint32_t next(struct hd_race *race, uint32_t *ret_repeat)
{
    struct hd_race_estimate estimate;
    return hd_race_next(race, 1, false, &estimate, ret_repeat) ? estimate.config : UINT32_MAX;
}

static void near_to(double value, double expected)
{
    if (!(fabs(value - expected) <= 1e-5))
        fail_msg("%.9g is not %.9g", value, expected);
}

static void test_means(void **state)
{
    /* Promise: with few configs the mean of its results is all that is said of one, and the noise
     * is pooled from those that have several. */
    (void)state;
    struct hd_race *race = race_of(5, 0.9);
    struct hd_race_estimate best;
    assert_false(hd_race_best(race, &best));
    assert_false(hd_race_find(race, 0, &best));
    first(race, 2, 4);
    first(race, 0, 1);
    assert_true(isnan(find(race, 0).error) && isnan(hd_race_noise(race)));
    first(race, 1, 5);
    again(race, 0, 1, 3);
    again(race, 1, 1, 5);
    near_to(hd_race_noise(race), 1); /* (1 + 1 + 0 + 0) / 2 */
    near_to(find(race, 0).loss, 2);
    near_to(find(race, 0).error, sqrt(0.5));
    near_to(find(race, 2).error, 1);
    assert_true(hd_race_best(race, &best));
    assert_int_equal(best.config, 0);
    assert_int_equal(best.results, 2);
    hd_race_free(race);
}

static void test_shrinks(void **state)
{
    /* Promise: with a prior each mean is drawn to the median, the less the more results it has. */
    (void)state;
    struct hd_race *race = race_of(5, 0.9);
    for (uint32_t i = 0; i < 9; i++)
        first(race, i, i);
    again(race, 0, 1, 2);
    /* Noise 2; prior mean 4, its variance (3 / 1.150349)^2 - 2 = 4.801188. */
    near_to(hd_race_noise(race), 2);
    near_to(find(race, 0).mean, 1);
    near_to(find(race, 0).loss, 1.517137);
    near_to(find(race, 0).error, sqrt(0.827621));
    near_to(find(race, 1).loss, 1.882198);
    near_to(find(race, 1).error, sqrt(1.411868));
    hd_race_free(race);
}

static void test_lucky_one(void **state)
{
    /* Promise: one lucky result does not beat many that are nearly as good. */
    (void)state;
    struct hd_race *race = race_of(9, 0.9);
    struct hd_race_estimate best;
    for (uint32_t i = 0; i < 9; i++)
        first(race, i, 1.0 + 0.1 * i);
    for (uint32_t repeat = 1; repeat < 9; repeat++)
        again(race, 0, repeat, repeat % 2 == 0 ? 1.3 : 0.7);
    first(race, 9, 0.9);
    assert_true(find(race, 9).mean < find(race, 0).mean);
    assert_true(hd_race_best(race, &best));
    assert_int_equal(best.config, 0);
    hd_race_free(race);
}

static void test_rule(void **state)
{
    /* Promise: the two best are evaluated in turn, repeats under way count, nobody more than
     * `repeats` times. */
    (void)state;
    struct hd_race *race = race_of(3, 0.9);
    uint32_t repeat = 0;
    for (uint32_t i = 0; i < 7; i++)
        first(race, i, i);
    assert_int_equal(next(race, &repeat), UINT32_MAX); /* too few to say who is good */
    first(race, 7, 7);
    static const uint32_t expected[][2] = {{0, 1}, {1, 1}, {0, 2}, {1, 2}};
    for (size_t i = 0; i < HD_COUNT(expected); i++) {
        assert_int_equal(next(race, &repeat), expected[i][0]);
        assert_int_equal(repeat, expected[i][1]);
        hd_race_queued(race, expected[i][0], repeat, 1);
    }
    assert_int_equal(next(race, &repeat), 2); /* both have had their all */
    for (size_t i = 0; i < HD_COUNT(expected); i++)
        end(race, expected[i][0], true, HD_RACE_END_OK, expected[i][0]);
    /* Four degrees of freedom without any noise: they are told apart. */
    assert_int_equal(next(race, &repeat), UINT32_MAX);
    hd_race_free(race);
}

static void test_few(void **state)
{
    /* Promise: of few configs none is evaluated again while a new one may come, and all that may be
     * the best once none can; one alone never is. */
    (void)state;
    struct hd_race *race = race_of(3, 0.9);
    struct hd_race_estimate estimate;
    uint32_t repeat = 0, repeats = 0;
    first(race, 0, 1);
    assert_false(hd_race_next(race, 1, true, &estimate, &repeat));
    for (uint32_t i = 1; i < 4; i++)
        first(race, i, 1 - 0.01 * i);
    assert_int_equal(next(race, &repeat), UINT32_MAX);
    while (hd_race_next(race, 1, true, &estimate, &repeat)) {
        assert_int_equal(next(race, &(uint32_t){0}), UINT32_MAX);
        assert_true(hd_race_next(race, 1, true, &estimate, &repeat));
        again(race, estimate.config, repeat, estimate.config == 0 ? 0.5 : 1.5);
        repeats++;
    }
    assert_true(repeats >= 4 && repeats <= 8);
    assert_true(hd_race_best(race, &estimate));
    assert_int_equal(estimate.config, 0);
    hd_race_free(race);
}

static void test_challengers(void **state)
{
    /* Promise: who is far from the incumbent is left alone, who may be better is looked at. */
    (void)state;
    struct hd_race *race = race_of(50, 0.99);
    uint32_t repeat = 0, looks[8] = {0};
    static const double means[8] = {0, 0.2, 10, 12, 15, 20, 25, 30};
    struct hd_rng rng;
    hd_rng_seed(&rng, 5);
    for (uint32_t i = 0; i < 8; i++)
        first(race, i, means[i] + hd_rng_double(&rng) - 0.5);
    for (uint32_t config; (config = next(race, &repeat)) != UINT32_MAX;) {
        looks[config]++;
        again(race, config, repeat, means[config] + hd_rng_double(&rng) - 0.5);
    }
    assert_true(looks[0] >= 2 && looks[1] >= 2);
    for (size_t i = 2; i < 8; i++)
        assert_int_equal(looks[i], 0);
    struct hd_race_estimate best;
    assert_true(hd_race_best(race, &best));
    assert_int_equal(best.config, 0);
    hd_race_free(race);
}

static void test_share(void **state)
{
    /* Promise: repeats take no more than their share of what is spent, whatever they might tell. */
    (void)state;
    struct hd_race *race = race_of(100, 0.25);
    struct hd_rng rng;
    uint32_t repeats = 0, jobs = 0, repeat = 0;
    hd_rng_seed(&rng, 1);
    for (uint32_t config = 0; config < 200; config++, jobs++) {
        first(race, config, hd_rng_double(&rng));
        for (uint32_t which; (which = next(race, &repeat)) != UINT32_MAX; repeats++, jobs++)
            again(race, which, repeat, hd_rng_double(&rng));
        assert_true(repeats <= 0.25 * jobs + 1);
    }
    assert_true(repeats > 0.2 * jobs);
    hd_race_free(race);
}

static void test_no_noise(void **state)
{
    /* Promise: a target that answers the same each time is found out, also when all are equal. */
    (void)state;
    for (int equal = 0; equal < 2; equal++) {
        struct hd_race *race = race_of(10, 0.9);
        uint32_t repeat = 0, repeats = 0;
        for (uint32_t i = 0; i < 50; i++)
            first(race, i, equal ? 7 : i);
        for (uint32_t which; (which = next(race, &repeat)) != UINT32_MAX; repeats++)
            again(race, which, repeat, equal ? 7 : which);
        assert_int_equal(repeats, 4);
        struct hd_race_estimate best;
        assert_true(hd_race_best(race, &best));
        assert_int_equal(best.config, 0);
        assert_true(best.error == 0 && best.loss == (equal ? 7 : 0));
        hd_race_free(race);
    }
}

static void test_failures(void **state)
{
    /* Promise: a config that fails now and then comes after all that never did and is not evaluated
     * again; an evaluation that was lost changes nothing but the count of repeats. */
    (void)state;
    struct hd_race *race = race_of(3, 0.9);
    struct hd_race_estimate best;
    uint32_t repeat = 0;
    hd_race_queued(race, 9, 0, 1);
    end(race, 9, false, HD_RACE_END_FAILED, NAN); /* no result, not in the race */
    assert_int_equal(hd_race_count(race), 0);
    for (uint32_t i = 0; i < 8; i++)
        first(race, i, i);
    for (uint32_t round = 1; round <= 2; round++) {
        hd_race_queued(race, 0, round, 1);
        end(race, 0, true, HD_RACE_END_LOST, NAN);
    }
    assert_true(hd_race_best(race, &best) && best.config == 0);
    assert_int_equal(next(race, &repeat), 1);
    hd_race_queued(race, 1, 1, 1);
    end(race, 1, true, HD_RACE_END_FAILED, NAN);
    assert_true(find(race, 1).failed);
    assert_int_equal(next(race, &repeat), 2);
    for (uint32_t i = 0; i < 8; i++)
        end(race, i, false, HD_RACE_END_FAILED, NAN);
    assert_int_equal(next(race, &repeat), UINT32_MAX);
    assert_true(hd_race_best(race, &best)); /* all failed: the best of those is still named */
    assert_int_equal(best.config, 0);
    hd_race_free(race);
}

static void test_extremes(void **state)
{
    /* Promise: losses at the ends of what a double holds give no NaN and no loop without end. */
    (void)state;
    struct hd_race *race = race_of(4, 0.9);
    uint32_t repeat = 0, repeats = 0;
    for (uint32_t i = 0; i < 20; i++)
        first(race, i, i % 3 == 0 ? -DBL_MAX : i % 3 == 1 ? DBL_MAX : DBL_MIN);
    for (uint32_t which; (which = next(race, &repeat)) != UINT32_MAX; repeats++)
        again(race, which, repeat, repeats % 2 == 0 ? DBL_MAX : -DBL_MAX);
    assert_true(repeats <= 20 * 3);
    struct hd_race_estimate all[20];
    hd_race_all(race, all);
    for (size_t i = 0; i < hd_race_count(race); i++)
        assert_true(isfinite(all[i].loss) && isfinite(all[i].mean));
    hd_race_free(race);
}

static void test_tiny(void **state)
{
    /* Promise: a noise whose variance is hardly a number, or none, does not make all configs alike:
     * the lowest mean is the best. */
    (void)state;
    static const double scales[] = {1e-170, 1e-161, 1e-157, 1e-154, 1e-150, 1e-140};
    for (size_t s = 0; s < HD_COUNT(scales); s++) {
        struct hd_race *race = race_of(4, 0.9);
        struct hd_race_estimate best;
        uint32_t repeat = 0, repeats = 0;
        for (uint32_t i = 0; i < 20; i++)
            first(race, i, (20.0 - i) * scales[s]);
        for (uint32_t which; (which = next(race, &repeat)) != UINT32_MAX; repeats++)
            again(race, which, repeat, (20.0 - which + (repeat % 2 == 0 ? 0.1 : -0.1)) * scales[s]);
        assert_true(repeats >= 4 && repeats <= 20 * 3);
        assert_true(hd_race_best(race, &best));
        assert_int_equal(best.config, 19);
        assert_true(fabs(best.loss - scales[s]) <= 0.2 * scales[s]);
        hd_race_free(race);
    }
}

static void test_digest(void **state)
{
    /* Promise: the same calls give the same race; a look changes nothing. */
    (void)state;
    struct hd_race *a = race_of(5, 0.5), *b = race_of(5, 0.5);
    struct hd_rng rng;
    hd_rng_seed(&rng, 3);
    for (uint32_t i = 0; i < 100; i++) {
        uint32_t repeat = 0, which = next(a, &repeat);
        double loss = hd_rng_double(&rng);
        if (which == UINT32_MAX) {
            first(a, i, loss);
            first(b, i, loss);
        } else {
            again(a, which, repeat, loss);
            again(b, which, repeat, loss);
        }
        assert_true(hd_race_digest(a) == hd_race_digest(b));
    }
    hd_race_free(a);
    hd_race_free(b);
}

static void test_memory(void **state)
{
    /* Promise: each allocation may fail, once each; the race is as it was and goes on. */
    (void)state;
    const struct hd_race_spec spec = {.repeats = 3, .share = 0.5};
    struct hd_race *race = NULL;
    hd_test_fail_alloc_after(0);
    assert_hd_fails(hd_race_new(&spec, &race, &err), HD_E_NOMEM, "memory");
    hd_test_fail_alloc_after(-1);
    assert_null(race);
    race = race_of(3, 0.5);
    for (uint32_t i = 0; i < 200; i++) {
        uint64_t before = hd_race_digest(race);
        for (int64_t countdown = 0;; countdown++) {
            hd_test_fail_alloc_after(countdown);
            enum hd_code code = hd_race_reserve(race, &err);
            hd_test_fail_alloc_after(-1);
            assert_true(hd_race_digest(race) == before);
            if (code == HD_OK)
                break;
            assert_int_equal(code, HD_E_NOMEM);
        }
        first(race, i, i);
    }
    assert_int_equal(hd_race_count(race), 200);
    hd_race_free(race);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_few),      cmocka_unit_test(test_means),
        cmocka_unit_test(test_shrinks),  cmocka_unit_test(test_lucky_one),
        cmocka_unit_test(test_rule),     cmocka_unit_test(test_challengers),
        cmocka_unit_test(test_share),    cmocka_unit_test(test_no_noise),
        cmocka_unit_test(test_failures), cmocka_unit_test(test_extremes),
        cmocka_unit_test(test_tiny),     cmocka_unit_test(test_digest),
        cmocka_unit_test(test_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
