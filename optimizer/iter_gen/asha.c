/* SPDX-License-Identifier: Apache-2.0 */
/*
 * asha.c: the plans of the asynchronous kinds. There are no barriers, so a plan says what an
 * iteration comes to when all goes evenly: so many new configs at the lowest rung of its bracket, a
 * share of them at the next. Li, Jamieson, Rostamizadeh, Gonina, Hardt, Recht and Talwalkar 2020,
 * "A system for massively parallel hyperparameter tuning"; several brackets at once: Klein, Tiao,
 * Lienart, Archambeau and Seeger 2020, "Model-based asynchronous hyperparameter and neural
 * architecture search".
 */
#include "kind.h"

#include <string.h>

uint32_t hd_asynchronous_brackets(const struct hd_iter_gen_spec *spec)
{
    uint32_t rungs = hd_ladder_rungs(spec);
    uint32_t brackets = spec->brackets;
    if (brackets == 0)
        brackets = strcmp(spec->name, hd_iter_kind_asha.name) == 0 ? 1 : rungs;
    return brackets < rungs ? brackets : rungs;
}

static void asynchronous_plan(const struct hd_iter_gen_spec *spec, uint32_t iteration,
                              struct hd_bracket_plan *ret_plan)
{
    uint32_t rungs = hd_ladder_rungs(spec);
    hd_ladder_plan(spec, rungs - iteration % hd_asynchronous_brackets(spec), ret_plan);
}

const struct hd_iter_kind hd_iter_kind_asha = {.name = "asha",
                                               .engine = &hd_iter_engine_asynchronous,
                                               .uses_ladder = true,
                                               .cycle = hd_asynchronous_brackets,
                                               .plan = asynchronous_plan};

const struct hd_iter_kind hd_iter_kind_async_hyperband = {.name = "async_hyperband",
                                                          .engine = &hd_iter_engine_asynchronous,
                                                          .uses_ladder = true,
                                                          .cycle = hd_asynchronous_brackets,
                                                          .plan = asynchronous_plan};
