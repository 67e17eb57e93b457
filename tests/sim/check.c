/* SPDX-License-Identifier: Apache-2.0 */
/* check.c: the table of checkers, and the walk over it. */
#include "cluster.h"

static const struct sim_checker *checker_at(size_t index)
{
    if (index < sim_checkers_facts_count)
        return &sim_checkers_facts[index];
    index -= sim_checkers_facts_count;
    if (index < sim_checkers_brackets_count)
        return &sim_checkers_brackets[index];
    index -= sim_checkers_brackets_count;
    if (index < sim_checkers_talk_count)
        return &sim_checkers_talk[index];
    index -= sim_checkers_talk_count;
    if (index < sim_checkers_noise_count)
        return &sim_checkers_noise[index];
    index -= sim_checkers_noise_count;
    if (index < sim_checkers_objectives_count)
        return &sim_checkers_objectives[index];
    index -= sim_checkers_objectives_count;
    if (index < sim_checkers_early_count)
        return &sim_checkers_early[index];
    index -= sim_checkers_early_count;
    if (index < sim_checkers_strangers_count)
        return &sim_checkers_strangers[index];
    index -= sim_checkers_strangers_count;
    if (index < sim_checkers_rivals_count)
        return &sim_checkers_rivals[index];
    index -= sim_checkers_rivals_count;
    if (index < sim_checkers_faults_count)
        return &sim_checkers_faults[index];
    index -= sim_checkers_faults_count;
    if (index < sim_checkers_travel_count)
        return &sim_checkers_travel[index];
    index -= sim_checkers_travel_count;
    if (index < sim_checkers_again_count)
        return &sim_checkers_again[index];
    index -= sim_checkers_again_count;
    if (index < sim_checkers_keep_count)
        return &sim_checkers_keep[index];
    index -= sim_checkers_keep_count;
    if (index < sim_checkers_home_count)
        return &sim_checkers_home[index];
    index -= sim_checkers_home_count;
    hd_assert(index < sim_checkers_life_count);
    return &sim_checkers_life[index];
}

size_t sim_checker_count(void)
{
    return sim_checkers_facts_count + sim_checkers_brackets_count + sim_checkers_talk_count +
           sim_checkers_noise_count + sim_checkers_objectives_count + sim_checkers_early_count +
           sim_checkers_faults_count + sim_checkers_rivals_count + sim_checkers_strangers_count +
           sim_checkers_travel_count + sim_checkers_again_count + sim_checkers_keep_count +
           sim_checkers_home_count + sim_checkers_life_count;
}

struct sim_checker_info sim_checker_info(size_t index)
{
    return (struct sim_checker_info){checker_at(index)->name, checker_at(index)->promise};
}

bool sim_checker_find(const char *name, size_t *ret_index)
{
    for (size_t c = 0; c < sim_checker_count(); c++) {
        if (!hd_streq(checker_at(c)->name, name))
            continue;
        *ret_index = c;
        return true;
    }
    return false;
}

void sim_checkers_choose(struct sim *sim)
{
    size_t count = sim_checker_count();
    hd_assert(count <= SIM_CHECKERS_MAX);
    for (size_t c = 0; c < count; c++)
        if (!sim->options->disabled[c])
            sim->checkers[sim->checker_count++] = checker_at(c);
}

void sim_probe(struct sim *sim, const struct sim_probe *probe)
{
    for (size_t c = 0; c < sim->checker_count && !sim->result->failed; c++)
        sim->checkers[c]->check(sim, sim->checkers[c], probe);
}
