/* SPDX-License-Identifier: Apache-2.0 */
/* test_cma.c: the distribution of CMA-ES. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "testlib.h"

#include "../../optimizer/sampler/cma.h"

#define WIDTH 50

static void test_eigenvectors(void **state)
{
    /* Promise: V^T diag(values) V is the matrix, and V V^T is one, to rounding; also of singular
     * and of badly scaled matrices. */
    (void)state;
    static const size_t sizes[] = {1, 2, 3, 10, 40};
    static double matrix[WIDTH * WIDTH], work[WIDTH * WIDTH], vectors[WIDTH * WIDTH];
    double factors[WIDTH * WIDTH], values[WIDTH];
    struct hd_rng rng;
    hd_rng_seed(&rng, 1);
    for (size_t row = 0; row < 3 * HD_COUNT(sizes); row++) {
        size_t n = sizes[row / 3], rank = row % 3 == 1 ? (n + 1) / 2 : n;
        for (size_t i = 0; i < n * n; i++)
            factors[i] = hd_rng_normal(&rng) * (row % 3 == 2 ? pow(10, -(double)(i % n) / 4) : 1);
        for (size_t i = 0; i < n * n; i++) {
            matrix[i] = 0;
            for (size_t k = 0; k < rank; k++)
                matrix[i] += factors[k * n + i / n] * factors[k * n + i % n];
        }
        memcpy(work, matrix, sizeof(work));
        hd_eigen_symmetric(n, work, values, vectors);
        for (size_t i = 0; i < n * n; i++) {
            double product = 0, one = 0;
            for (size_t k = 0; k < n; k++) {
                product += values[k] * vectors[k * n + i / n] * vectors[k * n + i % n];
                one += vectors[i / n * n + k] * vectors[i % n * n + k];
            }
            assert_true(fabs(product - matrix[i]) < 1e-10 * (double)n);
            assert_true(fabs(one - (i / n == i % n ? 1 : 0)) < 1e-12 * (double)n);
        }
    }
}

static double below(double z)
{
    return 0.5 * erfc(-z / sqrt(2));
}

static void test_quantiles_of_a_level(void **state)
{
    /* Promise: the quantiles of a truncated coordinate lie in the interval, wherever it is, and
     * have the right mass below them where doubles can tell. */
    (void)state;
    static const struct {
        double low, high;
    } rows[] = {{0.4, 0.6},       {-INFINITY, 0.3}, {0.7, INFINITY}, {0.95, 0.96},    {0.01, 0.02},
                {0.49, INFINITY}, {-INFINITY, 0.9}, {50, 60},        {-INFINITY, -50}};
    struct hd_err err = {0};
    struct hd_cma cma;
    double mean[] = {0.5, 0.5}, deviations[] = {0.1, 0.2};
    assert_hd_ok(hd_cma_init(&cma, 2, 4, &err));
    hd_cma_start(&cma, 4, mean, deviations);
    for (size_t i = 0; i < HD_COUNT(rows); i++) {
        for (double u = 0; u < 1; u += 0.125) {
            double x = hd_cma_draw_within(&cma, 0, rows[i].low, rows[i].high, u);
            double a = below((rows[i].low - 0.5) / 0.1), b = below((rows[i].high - 0.5) / 0.1);
            assert_true(x >= rows[i].low - 1e-9 && x <= rows[i].high + 1e-9 && isfinite(x));
            if (b - a < 1e-9)
                continue;
            double mass = (below((x - 0.5) / 0.1) - a) / (b - a);
            assert_true(fabs(mass - u) < 0.01 || fabs(mass - (1 - u)) < 0.01);
        }
    }
    hd_cma_release(&cma);
}

static void test_margins(void **state)
{
    /* Promise: after the margin is kept, each neighbour of a level has half of alpha, the only
     * neighbour of a first or last one all of it, and a coordinate that has more is left alone. */
    (void)state;
    static const struct {
        double mean, deviation, low, high;
    } rows[] = {{0.5, 1e-4, 0.4, 0.6},        {0.41, 1e-3, 0.4, 0.6},      {0.59, 1e-9, 0.4, 0.6},
                {0.05, 1e-5, -INFINITY, 0.1}, {0.95, 1e-3, 0.9, INFINITY}, {0.5, 0.3, 0.4, 0.6},
                {0.09, 0.05, -INFINITY, 0.1}};
    const double alpha = 0.02;
    struct hd_err err = {0};
    struct hd_cma cma;
    assert_hd_ok(hd_cma_init(&cma, 1, 4, &err));
    for (size_t i = 0; i < HD_COUNT(rows); i++) {
        hd_cma_start(&cma, 4, &rows[i].mean, &rows[i].deviation);
        hd_cma_keep_margin(&cma, 0, rows[i].low, rows[i].high, alpha);
        double deviation = hd_cma_deviation(&cma, 0);
        double down = below((rows[i].low - cma.mean[0]) / deviation);
        double up = below((cma.mean[0] - rows[i].high) / deviation);
        bool inner = isfinite(rows[i].low) && isfinite(rows[i].high);
        assert_true(isinf(rows[i].low) || down >= (inner ? alpha / 2 : alpha) * 0.999);
        assert_true(isinf(rows[i].high) || up >= (inner ? alpha / 2 : alpha) * 0.999);
        if (rows[i].deviation > 0.01)
            assert_true(cma.mean[0] == rows[i].mean && deviation == rows[i].deviation);
    }
    hd_cma_release(&cma);
}

static double ellipsoid(const double *x, size_t n)
{
    double sum = 0;
    for (size_t d = 0; d < n; d++) {
        double y = x[d] - (d + 1 < n ? 0.4 * x[d + 1] : 0.3);
        sum += pow(1e4, (double)d / (double)n) * y * y;
    }
    return sum;
}

/* The loss at the mean after `generations`. */
static double minimise(size_t n, size_t lambda, int generations, double far)
{
    static double points[64][WIDTH];
    const double *ranked[64];
    double mean[WIDTH], deviations[WIDTH];
    struct hd_err err = {0};
    struct hd_cma cma;
    struct hd_rng rng;
    hd_rng_seed(&rng, 3);
    for (size_t d = 0; d < n; d++) {
        mean[d] = 0.8;
        deviations[d] = 0.2;
    }
    assert_hd_ok(hd_cma_init(&cma, n, 64, &err));
    hd_cma_start(&cma, lambda, mean, deviations);
    for (int generation = 0; generation < generations; generation++) {
        for (size_t i = 0; i < lambda; i++) {
            hd_cma_draw(&cma, 1, &rng, points[i]);
            /* One point of each generation comes from elsewhere. */
            for (size_t d = 0; d < n && i == 0 && far > 0; d++)
                points[i][d] = far * hd_rng_normal(&rng);
            size_t at = i;
            for (; at > 0 && ellipsoid(points[i], n) < ellipsoid(ranked[at - 1], n); at--)
                ranked[at] = ranked[at - 1];
            ranked[at] = points[i];
        }
        hd_cma_update(&cma, ranked);
    }
    double loss = ellipsoid(cma.mean, n);
    hd_cma_release(&cma);
    return loss;
}

static void test_convergence(void **state)
{
    /* Promise: a badly scaled rotated ellipsoid is minimised to 1e-10 in the generations that the
     * strategy is known to need, in one dimension, in many, with the diagonal form, and when points
     * from elsewhere are injected. */
    (void)state;
    assert_true(minimise(1, 4, 100, 0) < 1e-10);
    assert_true(minimise(2, 6, 150, 0) < 1e-10);
    assert_true(minimise(10, 10, 600, 0) < 1e-10);
    assert_true(minimise(10, 10, 800, 2) < 1e-10);
    assert_true(minimise(HD_CMA_FULL_MAX + 5, 16, 1200, 0) < 1e-3);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_eigenvectors),
        cmocka_unit_test(test_quantiles_of_a_level),
        cmocka_unit_test(test_margins),
        cmocka_unit_test(test_convergence),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
