/* SPDX-License-Identifier: Apache-2.0 */
/* full.c: no ladder: every config runs once, at the maximum budget; one iteration is one config. */
#include "kind.h"

static uint32_t full_cycle(const struct hd_iter_gen_spec *spec)
{
    (void)spec;
    return 1;
}

static void full_plan(const struct hd_iter_gen_spec *spec, uint32_t iteration,
                      struct hd_bracket_plan *ret_plan)
{
    (void)iteration;
    *ret_plan =
        (struct hd_bracket_plan){.rung_count = 1, .counts = {1}, .budgets = {spec->budget_max}};
}

const struct hd_iter_kind hd_iter_kind_full = {.name = "full",
                                               .engine = &hd_iter_engine_synchronous,
                                               .uses_ladder = false,
                                               .cycle = full_cycle,
                                               .plan = full_plan};
