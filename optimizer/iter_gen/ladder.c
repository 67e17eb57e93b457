/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ladder.c: the arithmetic of successive halving: how many rungs, which budgets, how many configs.
 *
 * Budgets are anchored at the top: budgets[k] = budget_max / eta^(rungs - 1 - k), so the lowest
 * one may be above budget_min. The usual formulas, int(log(max / min) / log(eta)) and
 * int(n * eta^-i), are wrong by one in floating point for innocent numbers (1..6^12 by 6; 343
 * configs by 7). Here powers are products, counts are integers whenever eta is one, and elsewhere
 * a relative slack far above rounding and far below any real difference decides.
 *
 * Rungs given by hand take the place of the budgets; the ratio of two of them that of eta.
 */
#include "kind.h"

#include <math.h>

#define LADDER_SLACK 1e-9

/* Exact as long as the result stays below 2^53, which counts always do. */
static double power(double base, uint32_t exponent)
{
    double product = 1.0;
    for (uint32_t i = 0; i < exponent; i++)
        product *= base;
    return product;
}

static bool is_integer(double number)
{
    return number < 9007199254740992.0 && number == (double)(uint64_t)number;
}

/* The integer part of a non-negative number that rounding may have pushed just below it. */
static uint64_t floor_with_slack(double number)
{
    return (uint64_t)(number * (1.0 + LADDER_SLACK));
}

uint32_t hd_ladder_rungs(const struct hd_iter_gen_spec *spec)
{
    if (spec->rung_count > 0)
        return spec->rung_count;
    double ceiling = spec->budget_max * (1.0 + LADDER_SLACK);
    double budget = spec->budget_min;
    uint32_t rungs = 1;
    while (rungs <= HD_RUNGS_MAX) {
        budget *= spec->eta;
        if (!isfinite(budget) || budget > ceiling)
            break;
        rungs++;
    }
    return rungs;
}

/* How many times the budget of the rung `steps` below the top goes into the top one. */
static double ratio_to_top(const struct hd_iter_gen_spec *spec, uint32_t steps)
{
    if (spec->rung_count > 0)
        return spec->budget_max / spec->rungs[spec->rung_count - 1 - steps];
    return power(spec->eta, steps);
}

double hd_ladder_start_count(const struct hd_iter_gen_spec *spec, uint32_t rungs,
                             uint32_t bracket_rungs)
{
    double full = ratio_to_top(spec, bracket_rungs - 1);
    switch (spec->rule) {
    case HD_BRACKET_RULE_HPBANDSTER:
        return (double)(rungs / bracket_rungs) * full;
    case HD_BRACKET_RULE_PAPER:
        return (double)rungs * full / (double)bracket_rungs;
    }
    hd_assert(false);
    return 0.0;
}

/* The start count rounded by the rule; the spec check has bounded it. */
static uint64_t start_count(const struct hd_iter_gen_spec *spec, uint32_t rungs,
                            uint32_t bracket_rungs)
{
    double count = hd_ladder_start_count(spec, rungs, bracket_rungs);
    uint64_t whole = floor_with_slack(count);
    if (spec->rule == HD_BRACKET_RULE_HPBANDSTER)
        return whole;
    if (is_integer(spec->eta) && spec->rung_count == 0) {
        uint64_t scaled = rungs * (uint64_t)power(spec->eta, bracket_rungs - 1);
        return (scaled + bracket_rungs - 1) / bracket_rungs;
    }
    return (double)whole * (1.0 + LADDER_SLACK) < count ? whole + 1 : whole;
}

static uint32_t rung_count_at(const struct hd_iter_gen_spec *spec, uint64_t start,
                              uint32_t bracket_rungs, uint32_t rung)
{
    uint64_t count;
    if (spec->rung_count > 0)
        count = floor_with_slack((double)start * ratio_to_top(spec, bracket_rungs - 1 - rung) /
                                 ratio_to_top(spec, bracket_rungs - 1));
    else if (is_integer(spec->eta))
        count = start / (uint64_t)power(spec->eta, rung);
    else
        count = floor_with_slack((double)start / power(spec->eta, rung));
    return count > 0 ? (uint32_t)count : 1;
}

static double budget_at(const struct hd_iter_gen_spec *spec, uint32_t steps_below_top)
{
    if (spec->rung_count > 0)
        return spec->rungs[spec->rung_count - 1 - steps_below_top];
    double budget = spec->budget_max / power(spec->eta, steps_below_top);
    double distance = budget - spec->budget_min;
    /* 2.7 / 27 is not 0.1 in binary, but who asked for 0.1 shall get 0.1. */
    if (distance < spec->budget_min * LADDER_SLACK)
        return spec->budget_min;
    /* Never two alike: the lowest is at least 1 and the next at least twice as much. */
    return spec->budget_integer ? round(budget) : budget;
}

void hd_ladder_plan(const struct hd_iter_gen_spec *spec, uint32_t bracket_rungs,
                    struct hd_bracket_plan *ret_plan)
{
    uint32_t rungs = hd_ladder_rungs(spec);
    hd_assert(rungs <= HD_RUNGS_MAX && bracket_rungs >= 1 && bracket_rungs <= rungs);
    uint64_t start = start_count(spec, rungs, bracket_rungs);
    struct hd_bracket_plan plan = {.rung_count = bracket_rungs};
    for (uint32_t rung = 0; rung < bracket_rungs; rung++) {
        plan.counts[rung] = rung_count_at(spec, start, bracket_rungs, rung);
        plan.budgets[rung] = budget_at(spec, bracket_rungs - 1 - rung);
    }
    *ret_plan = plan;
}

uint32_t hd_ladder_budgets(const struct hd_iter_gen_spec *spec, double *ret_budgets)
{
    uint32_t rungs = hd_ladder_rungs(spec);
    for (uint32_t rung = 0; rung < rungs; rung++)
        ret_budgets[rung] = budget_at(spec, rungs - 1 - rung);
    return rungs;
}

double hd_ladder_fraction(const struct hd_iter_gen_spec *spec, uint32_t rung)
{
    if (spec->promote_fraction > 0.0)
        return spec->promote_fraction;
    if (spec->rung_count > 0)
        return rung + 1 < spec->rung_count ? spec->rungs[rung] / spec->rungs[rung + 1] : 1.0;
    return 1.0 / spec->eta;
}
