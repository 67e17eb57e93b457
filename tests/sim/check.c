/* SPDX-License-Identifier: Apache-2.0 */
/* check.c: the table of checkers, and the walk over it. */
#include "cluster.h"

static const struct {
    const struct sim_checker *checkers;
    const size_t *count;
} rooms[] = {
    {sim_checkers_facts, &sim_checkers_facts_count},
    {sim_checkers_brackets, &sim_checkers_brackets_count},
    {sim_checkers_talk, &sim_checkers_talk_count},
    {sim_checkers_noise, &sim_checkers_noise_count},
    {sim_checkers_objectives, &sim_checkers_objectives_count},
    {sim_checkers_early, &sim_checkers_early_count},
    {sim_checkers_strangers, &sim_checkers_strangers_count},
    {sim_checkers_rivals, &sim_checkers_rivals_count},
    {sim_checkers_faults, &sim_checkers_faults_count},
    {sim_checkers_travel, &sim_checkers_travel_count},
    {sim_checkers_again, &sim_checkers_again_count},
    {sim_checkers_keep, &sim_checkers_keep_count},
    {sim_checkers_home, &sim_checkers_home_count},
    {sim_checkers_life, &sim_checkers_life_count},
};

static const struct sim_checker *checker_at(size_t index)
{
    size_t room = 0;
    while (room < HD_COUNT(rooms) && index >= *rooms[room].count)
        index -= *rooms[room++].count;
    hd_assert(room < HD_COUNT(rooms));
    return &rooms[room].checkers[index];
}

size_t sim_checker_count(void)
{
    size_t count = 0;
    for (size_t room = 0; room < HD_COUNT(rooms); room++)
        count += *rooms[room].count;
    return count;
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

/* ---- what checkers have in common ------------------------------------------------------------ */

void sim_check_commands(struct sim *sim, const struct sim_checker *self,
                        const struct sim_probe *probe, enum hd_attempt_action action,
                        sim_command_judge *is_right, const char *wrong)
{
    if (probe->kind != SIM_PROBE_REPLY || probe->message == NULL)
        return;
    const char *worker = probe->message->request.worker;
    for (size_t c = 0; c < probe->reply->command_count; c++) {
        const struct hd_attempt_command *command = &probe->reply->commands[c];
        if (command->action == action &&
            !is_right(&probe->master->ledger, command->attempt, worker))
            sim_fail(sim, self->name, "%s is asked for what job %u attempt %u left: %s", worker,
                     command->attempt.job, command->attempt.attempt, wrong);
    }
}
