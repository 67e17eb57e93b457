/* SPDX-License-Identifier: Apache-2.0 */
/*
 * hyperband.c: brackets from the longest to the single rung, in a cycle. Li, Jamieson, DeSalvo,
 * Rostamizadeh and Talwalkar 2018, "Hyperband: a novel bandit-based approach to hyperparameter
 * optimization". The start counts follow HpBandSter unless the rule says "paper".
 */
#include "kind.h"

static uint32_t hyperband_cycle(const struct hd_iter_gen_spec *spec)
{
    return hd_ladder_rungs(spec);
}

static void hyperband_plan(const struct hd_iter_gen_spec *spec, uint32_t iteration,
                           struct hd_bracket_plan *ret_plan)
{
    uint32_t rungs = hd_ladder_rungs(spec);
    hd_ladder_plan(spec, rungs - iteration % rungs, ret_plan);
}

const struct hd_iter_kind hd_iter_kind_hyperband = {.name = "hyperband",
                                                    .engine = &hd_iter_engine_synchronous,
                                                    .uses_ladder = true,
                                                    .cycle = hyperband_cycle,
                                                    .plan = hyperband_plan};
