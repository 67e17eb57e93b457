/* SPDX-License-Identifier: Apache-2.0 */
/* Fronts that are kept up by each result, beside the order of all of them. */
#include "testlib.h"

#include "../../optimizer/iter_gen/rung.h"

#include <string.h>

#define RESULTS 220

static struct hd_err err;

struct shape {
    uint32_t objectives;
    bool constrained;
    uint64_t levels; /* of a loss: few make ties, and results that are equal */
    double trade;    /* 1: no result dominates another */
};

static struct hd_score draw_score(struct hd_rng *rng, const struct shape *shape)
{
    struct hd_score score = {.violation = 0};
    for (uint32_t i = 0; i < shape->objectives; i++)
        score.losses[i] = (double)hd_rng_below(rng, shape->levels) / (double)shape->levels;
    if (shape->trade > 0)
        score.losses[1] = shape->trade - score.losses[0];
    if (shape->constrained && hd_rng_below(rng, 3) == 0)
        score.violation = (double)(1 + hd_rng_below(rng, shape->levels));
    return score;
}

/* Puts all in order, as if nothing were known. */
static uint32_t first_open(const struct hd_score *scores, uint32_t count, uint32_t objectives,
                           const bool *promoted, uint32_t *ret_place)
{
    struct hd_pareto_row rows[RESULTS];
    for (uint32_t i = 0; i < count; i++)
        rows[i] =
            (struct hd_pareto_row){.losses = scores[i].losses, .violation = scores[i].violation};
    hd_pareto_order(rows, count, objectives);
    for (uint32_t place = 0; place < count; place++) {
        if (!promoted[rows[place].index]) {
            *ret_place = place;
            return (uint32_t)rows[place].index;
        }
    }
    return HD_RUNG_NONE;
}

static void play(const struct shape *shape, uint64_t seed)
{
    struct hd_score scores[RESULTS];
    bool promoted[RESULTS] = {false};
    struct hd_rung rung = {0};
    struct hd_rng rng;
    hd_rng_seed(&rng, seed);
    hd_rung_init(&rung, shape->objectives, shape->constrained);
    uint32_t count = 0, quota = 0, place = 0;
    while (count < RESULTS) {
        const struct hd_rung_result *best = hd_rung_best_open(&rung);
        uint32_t expected = first_open(scores, count, shape->objectives, promoted, &place);
        if (expected == HD_RUNG_NONE) {
            assert_null(best);
        } else {
            assert_non_null(best);
            assert_int_equal(best->config_number, expected);
            assert_int_equal(best->in_top, place < quota);
        }
        if (best != NULL && hd_rng_below(&rng, 3) == 0) {
            promoted[expected] = true;
            hd_rung_promote_best(&rung);
            continue;
        }
        scores[count] = draw_score(&rng, shape);
        assert_hd_ok(hd_rung_reserve(&rung, count + 1, &err));
        assert_int_equal(hd_rung_add(&rung, count, &scores[count], HD_RUNG_NONE), count);
        count++;
        quota = hd_rng_below(&rng, 2) == 0 ? count / 2 : quota;
        hd_rung_set_quota(&rung, quota);
    }
    hd_rung_release(&rung);
}

/* After each result and each promotion the best open one, and whether it is among the best, are
 * those of an order made anew: with two and three objectives, constraints, ties and one front. */
static void the_best_open_one_is_that_of_the_whole_order(void **state)
{
    (void)state;
    static const struct shape shapes[] = {
        {2, false, 1000000, 0}, {2, false, 8, 0},      {2, true, 20, 0},  {3, false, 1000000, 0},
        {3, true, 4, 0},        {2, false, 100000, 1}, {1, true, 100, 0}, {1, true, 3, 0},
    };
    for (size_t i = 0; i < HD_COUNT(shapes); i++)
        for (uint64_t seed = 1; seed <= 4; seed++)
            play(&shapes[i], seed);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_best_open_one_is_that_of_the_whole_order),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
