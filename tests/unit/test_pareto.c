/* SPDX-License-Identifier: Apache-2.0 */
/* test_pareto.c: ranks and volumes against the definitions, by brute force. */
#include <math.h>

#include <hd/pareto.h>

#include "testlib.h"

#define COUNT_MAX 60

/* Coarse ones, so that there are ties and equal rows. */
static void draw_rows(struct hd_rng *rng, size_t count, size_t objectives, double *ret_losses)
{
    for (size_t i = 0; i < count * objectives; i++)
        ret_losses[i] = (double)hd_rng_below(rng, 12) / 10;
}

/* A row's rank is one more than the greatest of those that dominate it. */
static uint32_t rank_of(const double *losses, size_t count, size_t objectives, size_t row)
{
    uint32_t rank = 0;
    for (size_t i = 0; i < count; i++) {
        if (!hd_pareto_dominates(losses + i * objectives, losses + row * objectives, objectives))
            continue;
        uint32_t above = rank_of(losses, count, objectives, i) + 1;
        rank = above > rank ? above : rank;
    }
    return rank;
}

static void test_ranks(void **state)
{
    /* Promise: ranks are those of the definition, for 1 to 4 objectives, with ties and equal rows.
     */
    (void)state;
    struct hd_err err = {0};
    struct hd_rng rng;
    double losses[COUNT_MAX * 4];
    uint32_t ranks[COUNT_MAX];
    hd_rng_seed(&rng, 1);
    for (size_t round = 0; round < 200; round++) {
        size_t objectives = 1 + round % 4, count = round % 23;
        draw_rows(&rng, count, objectives, losses);
        assert_hd_ok(hd_pareto_ranks(losses, count, objectives, ranks, &err));
        for (size_t i = 0; i < count; i++)
            assert_int_equal(ranks[i], rank_of(losses, count, objectives, i));
    }
}

static void test_failed_rows(void **state)
{
    /* Promise: rows that are not finite come after all others, and have no volume. */
    (void)state;
    struct hd_err err = {0};
    static const double losses[] = {1, 1, NAN, 0, 2, 2, 0, -INFINITY, 3, INFINITY};
    static const double reference[] = {4, 4};
    static const uint32_t expected[] = {0, 2, 1, 2, 2};
    uint32_t ranks[5];
    double volume, contributions[5];
    assert_hd_ok(hd_pareto_ranks(losses, 5, 2, ranks, &err));
    assert_memory_equal(ranks, expected, sizeof(ranks));
    assert_hd_ok(hd_hypervolume(losses, 5, 2, reference, &volume, &err));
    assert_true(volume == 9);
    assert_hd_ok(hd_hypervolume_contributions(losses, 5, 2, reference, contributions, &err));
    assert_true(contributions[0] == 5 && contributions[1] == 0 && contributions[2] == 0);
}

/* Losses are tenths: the cells of that grid that a row covers are counted. */
static double volume_by_cells(const double *losses, size_t count, size_t objectives, size_t skipped)
{
    size_t cells = 1, covered = 0;
    for (size_t d = 0; d < objectives; d++)
        cells *= 10;
    for (size_t cell = 0; cell < cells; cell++) {
        bool is_covered = false;
        for (size_t i = 0; i < count && !is_covered; i++) {
            size_t rest = cell;
            is_covered = i != skipped;
            for (size_t d = 0; d < objectives; d++, rest /= 10)
                is_covered =
                    is_covered && losses[i * objectives + d] < ((double)(rest % 10) + 0.5) / 10;
        }
        covered += is_covered ? 1 : 0;
    }
    return (double)covered / (double)cells;
}

static void test_volumes(void **state)
{
    /* Promise: volumes and contributions are exact for 1 to 3 objectives, whatever lies beyond the
     * reference, is dominated, or is there twice. */
    (void)state;
    struct hd_err err = {0};
    struct hd_rng rng;
    static const double reference[] = {1, 1, 1};
    double losses[COUNT_MAX * 3], contributions[COUNT_MAX], volume;
    hd_rng_seed(&rng, 2);
    for (size_t round = 0; round < 60; round++) {
        size_t objectives = 1 + round % 3, count = round % 17;
        draw_rows(&rng, count, objectives, losses);
        assert_hd_ok(hd_hypervolume(losses, count, objectives, reference, &volume, &err));
        double all = volume_by_cells(losses, count, objectives, SIZE_MAX);
        assert_true(fabs(volume - all) < 1e-9);
        assert_hd_ok(hd_hypervolume_contributions(losses, count, objectives, reference,
                                                  contributions, &err));
        for (size_t i = 0; i < count; i++) {
            double without = volume_by_cells(losses, count, objectives, i);
            assert_true(fabs(contributions[i] - (all - without)) < 1e-9);
        }
    }
}

static void test_without_memory(void **state)
{
    /* Promise: a failed allocation is told, leaves nothing behind and no output touched. */
    (void)state;
    static const double losses[] = {1, 2, 2, 1}, reference[] = {3, 3};
    for (int countdown = 0; countdown < 2; countdown++) {
        struct hd_err err = {0};
        uint32_t ranks[2] = {7, 7};
        double volume = 7;
        enum hd_code code;
        if (countdown == 0) {
            hd_test_fail_alloc_after(countdown);
            code = hd_pareto_ranks(losses, 2, 2, ranks, &err);
            hd_test_fail_alloc_after(-1);
            assert_int_equal(code, HD_E_NOMEM);
            assert_int_equal(ranks[0], 7);
        }
        hd_test_fail_alloc_after(countdown);
        code = hd_hypervolume(losses, 2, 2, reference, &volume, &err);
        hd_test_fail_alloc_after(-1);
        assert_int_equal(code, HD_E_NOMEM);
        assert_true(volume == 7);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_ranks),
        cmocka_unit_test(test_failed_rows),
        cmocka_unit_test(test_volumes),
        cmocka_unit_test(test_without_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
