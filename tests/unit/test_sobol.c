/* SPDX-License-Identifier: Apache-2.0 */
/* test_sobol.c: the scrambled Sobol sequence. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "testlib.h"

#include <hd/sampler.h>

static struct hd_sobol *sobol_of(uint64_t seed, size_t dimension)
{
    struct hd_err err = {0};
    struct hd_sobol *sobol = NULL;
    assert_hd_ok(hd_sobol_new(seed, dimension, &sobol, &err));
    return sobol;
}

static void test_every_dimension_is_stratified(void **state)
{
    /* Promise: each aligned block of 2^k points has one point in each of 2^k equal parts, in every
     * one of the dimensions up to the limit. */
    (void)state;
    enum { DIMENSION = HD_SOBOL_DIMENSION_MAX };
    struct hd_sobol *sobol = sobol_of(42, DIMENSION);
    double *cube = calloc(DIMENSION * 256, sizeof(double));
    assert_non_null(cube);
    for (uint32_t block = 0; block < 3; block++) {
        for (uint32_t i = 0; i < 256; i++)
            hd_sobol_point(sobol, block * 256 + i, cube + (size_t)i * DIMENSION);
        for (int k = 3; k <= 8; k++) {
            uint32_t count = UINT32_C(1) << k;
            for (size_t d = 0; d < DIMENSION; d++) {
                bool seen[256] = {false};
                for (uint32_t i = 0; i < count; i++) {
                    double x = cube[(size_t)i * DIMENSION + d];
                    assert_true(x >= 0 && x < 1);
                    size_t part = (size_t)(x * count);
                    assert_false(seen[part]);
                    seen[part] = true;
                }
            }
        }
    }
    free(cube);
    hd_sobol_free(sobol);
}

static void test_dimensions_differ(void **state)
{
    /* Promise: no two dimensions are the same sequence (each has its own polynomial). */
    (void)state;
    enum { DIMENSION = HD_SOBOL_DIMENSION_MAX, POINTS = 64 };
    struct hd_sobol *sobol = sobol_of(1, DIMENSION);
    double *cube = calloc(DIMENSION * POINTS, sizeof(double));
    assert_non_null(cube);
    for (uint32_t i = 0; i < POINTS; i++)
        hd_sobol_point(sobol, i, cube + (size_t)i * DIMENSION);
    for (size_t a = 0; a < DIMENSION; a++) {
        for (size_t b = a + 1; b < DIMENSION; b++) {
            /* Equal up to scrambling would mean: same halves together, or opposite halves. */
            uint32_t together = 0;
            for (uint32_t i = 0; i < POINTS; i++)
                together += (cube[i * DIMENSION + a] < 0.5) == (cube[i * DIMENSION + b] < 0.5);
            bool same = together == 0 || together == POINTS;
            for (uint32_t i = 0; same && i < POINTS; i++)
                same = (uint32_t)(cube[i * DIMENSION + a] * POINTS) ==
                       (uint32_t)(cube[i * DIMENSION + b] * POINTS);
            assert_false(same);
        }
    }
    free(cube);
    hd_sobol_free(sobol);
}

/* Centred L2 discrepancy (Hickernell 1998) of the projection on two dimensions, squared. */
static double discrepancy(const double *points, size_t count, size_t width, size_t a, size_t b)
{
    double sum_one = 0, sum_two = 0;
    for (size_t i = 0; i < count; i++) {
        double x = fabs(points[i * width + a] - 0.5), y = fabs(points[i * width + b] - 0.5);
        sum_one += (1 + x / 2 - x * x / 2) * (1 + y / 2 - y * y / 2);
        for (size_t j = 0; j < count; j++) {
            double u = fabs(points[j * width + a] - 0.5), v = fabs(points[j * width + b] - 0.5);
            double dx = fabs(points[i * width + a] - points[j * width + a]);
            double dy = fabs(points[i * width + b] - points[j * width + b]);
            sum_two += (1 + (x + u - dx) / 2) * (1 + (y + v - dy) / 2);
        }
    }
    double n = (double)count;
    return pow(13.0 / 12, 2) - 2 / n * sum_one + sum_two / (n * n);
}

static void test_pairs_are_even(void **state)
{
    /* Promise: every pair of the first 16 dimensions is more even than random points of the same
     * number are on the average, and the pairs of the first 32 are ten times so on the average. */
    (void)state;
    enum { DIMENSION = 32, POINTS = 128 };
    struct hd_sobol *sobol = sobol_of(7, DIMENSION);
    double *points = calloc(DIMENSION * POINTS, sizeof(double));
    double *random = calloc(DIMENSION * POINTS, sizeof(double));
    assert_true(points != NULL && random != NULL);
    struct hd_rng rng;
    hd_rng_seed(&rng, 7);
    for (uint32_t i = 0; i < POINTS; i++)
        hd_sobol_point(sobol, i, points + (size_t)i * DIMENSION);
    for (size_t i = 0; i < DIMENSION * POINTS; i++)
        random[i] = hd_rng_double(&rng);
    double worst = 0, sum = 0, random_sum = 0;
    size_t pairs = 0;
    for (size_t a = 0; a < DIMENSION; a++) {
        for (size_t b = a + 1; b < DIMENSION; b++, pairs++) {
            double found = discrepancy(points, POINTS, DIMENSION, a, b);
            worst = found > worst && b < 16 ? found : worst;
            sum += found;
            random_sum += discrepancy(random, POINTS, DIMENSION, a, b);
        }
    }
    assert_true(sum < 0.1 * random_sum);
    assert_true(worst < random_sum / (double)pairs);
    free(points);
    free(random);
    hd_sobol_free(sobol);
}

static void test_seeds_give_other_points(void **state)
{
    /* Promise: equal seeds give equal points whatever the number of dimensions asked for later;
     * other seeds give other points; beyond the limit is refused. */
    (void)state;
    struct hd_err err = {0};
    struct hd_sobol *a = sobol_of(1, 3), *b = sobol_of(1, 20), *c = sobol_of(2, 3), *none = NULL;
    for (uint32_t i = 0; i < 100; i++) {
        double x[3], y[20], z[3];
        hd_sobol_point(a, i * 1000003u, x);
        hd_sobol_point(b, i * 1000003u, y);
        hd_sobol_point(c, i * 1000003u, z);
        assert_memory_equal(x, y, sizeof(x));
        assert_true(x[0] != z[0] && x[1] != z[1] && x[2] != z[2]);
    }
    assert_hd_fails(hd_sobol_new(1, HD_SOBOL_DIMENSION_MAX + 1, &none, &err), HD_E_LIMIT,
                    "at most 1000");
    hd_sobol_free(a);
    hd_sobol_free(b);
    hd_sobol_free(c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_dimension_is_stratified),
        cmocka_unit_test(test_dimensions_differ),
        cmocka_unit_test(test_pairs_are_even),
        cmocka_unit_test(test_seeds_give_other_points),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
