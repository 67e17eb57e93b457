/* SPDX-License-Identifier: Apache-2.0 */
/*
 * successive_halving.c: the longest bracket, again and again. Jamieson and Talwalkar 2016,
 * "Non-stochastic best arm identification and hyperparameter optimization".
 */
#include "kind.h"

static uint32_t successive_halving_cycle(const struct hd_iter_gen_spec *spec)
{
    (void)spec;
    return 1;
}

static void successive_halving_plan(const struct hd_iter_gen_spec *spec, uint32_t iteration,
                                    struct hd_bracket_plan *ret_plan)
{
    (void)iteration;
    hd_ladder_plan(spec, hd_ladder_rungs(spec), ret_plan);
}

const struct hd_iter_kind hd_iter_kind_successive_halving = {.name = "successive_halving",
                                                             .engine = &hd_iter_engine_synchronous,
                                                             .uses_ladder = true,
                                                             .cycle = successive_halving_cycle,
                                                             .plan = successive_halving_plan};
