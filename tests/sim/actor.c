/* SPDX-License-Identifier: Apache-2.0 */
/*
 * actor.c: one sampler a run, beside the master. It answers asks in order, each with exactly
 * the history its cut allows: every config of a lower number, and the results up to the cut.
 */
#include "cluster.h"

#include <math.h>
#include <string.h>

void sim_actor_release(struct sim_actor *actor)
{
    hd_sampler_free(actor->sampler);
    memset(actor, 0, sizeof(*actor));
}

static void make_sampler(struct sim *sim, struct sim_master *master, uint32_t run,
                         struct sim_actor *actor)
{
    struct hd_run_view view;
    hd_core_view_run(master->core, run, &view);
    struct hd_sampler_spec spec = {
        .name = view.experiment->sampler_name,
        .settings = view.experiment->sampler_settings,
        .seed = view.seed,
        .initial = view.experiment->initial,
        .initial_count = view.experiment->initial_count,
        .objective_count = view.experiment->objective_count,
        .constrained = view.experiment->constraint_count > 0,
        .known = sim->options->plant == SIM_PLANT_KNOWN_FORGOTTEN ? NULL : view.known};
    struct hd_err err;
    enum hd_code code = hd_sampler_new(&spec, view.experiment->space, &actor->sampler, &err);
    if (code != HD_OK)
        sim_fail(sim, "bounded", "sampler: %s", err.text);
    actor->added_count = 0;
    actor->told_seq = 0;
}

static void remember(struct sim *sim, struct sim_actor *actor, uint32_t config,
                     const double *values, size_t value_count)
{
    actor->values =
        sim_grow(sim, actor->values, sizeof(double *), actor->added_count, &actor->value_capacity);
    double *copy = sim_alloc(sim, (value_count + 1) * sizeof(double));
    memcpy(copy, values, value_count * sizeof(double));
    actor->values[config] = copy;
    struct hd_err err;
    enum hd_code code = hd_sampler_add(actor->sampler, config, copy, &err);
    hd_assert(code == HD_OK);
    actor->added_count = config + 1;
}

static void tell_result(struct sim_actor *actor, const struct sim_ledger_run *run,
                        const struct hd_fact *fact, double budget, double loss)
{
    struct hd_score score = sim_told_score(fact, loss);
    uint32_t number = sim_told_job(fact);
    if (number >= run->job_count || run->jobs[number].config >= actor->added_count)
        return;
    struct hd_err err;
    enum hd_code code =
        hd_sampler_tell_score(actor->sampler, run->jobs[number].config, budget, &score, &err);
    hd_assert(code == HD_OK);
}

/* Brings the sampler to the history of this ask. */
static void bring_up(struct sim *sim, struct sim_master *master, struct sim_actor *actor,
                     const struct hd_ask *ask)
{
    struct sim_ledger_run *run = &master->ledger.runs[ask->run];
    if (actor->sampler == NULL || ask->config < actor->added_count)
        make_sampler(sim, master, ask->run, actor);
    while (actor->added_count < ask->config && actor->added_count < run->config_count)
        remember(sim, actor, actor->added_count, run->configs[actor->added_count].values,
                 run->configs[actor->added_count].value_count);
    uint64_t cut = ask->cut;
    if (sim->options->plant == SIM_PLANT_SAMPLER_PEEKS)
        cut = UINT64_MAX;
    for (size_t f = (size_t)actor->told_seq; f < master->ledger.fact_count; f++) {
        const struct hd_fact *fact = master->ledger.facts[f];
        if (fact->seq > cut)
            break;
        actor->told_seq = f + 1;
        if (fact->run == ask->run && !isnan(master->ledger.told_budgets[f]))
            tell_result(actor, run, fact, master->ledger.told_budgets[f],
                        master->ledger.told_losses[f]);
    }
}

static void fire_suggest(struct sim *sim, const struct sim_event *event)
{
    struct sim_master *master = &sim->masters[event->who];
    if (!master->alive || master->epoch != event->epoch)
        return;
    struct sim_ask *first = event->data;
    const struct hd_ask *ask = &first->ask;
    struct sim_actor *actor = &master->actors[ask->run];
    actor->first = first->next;
    if (actor->first == NULL)
        actor->last = NULL;
    actor->waiting--;
    actor->busy = false;
    bring_up(sim, master, actor, ask);
    struct hd_run_view view;
    hd_core_view_run(master->core, ask->run, &view);
    size_t value_count = view.experiment->space->param_count;
    double *values = sim_alloc(sim, (value_count + 1) * sizeof(*values));
    struct hd_event suggestion = {.kind = HD_EVENT_SUGGESTION,
                                  .run = ask->run,
                                  .config = ask->config,
                                  .cut = ask->cut,
                                  .values = values,
                                  .value_count = value_count};
    struct hd_err err;
    enum hd_code code = hd_sampler_suggest(actor->sampler, ask->config, ask->budget, values,
                                           &suggestion.info, &err);
    if (code == HD_E_LIMIT)
        suggestion.exhausted = true;
    else if (code != HD_OK)
        sim_fail(sim, "bounded", "suggest: %s", err.text);
    else
        remember(sim, actor, ask->config, values, value_count);
    sim_master_push(sim, master, &suggestion, NULL);
    if (actor->first != NULL && !actor->busy) {
        struct hd_ask next = actor->first->ask;
        (void)next;
        actor->busy = true;
        sim_at(sim, sim->now_ms + sim_between(sim, 0, sim->plan->climate.sampler_max_ms),
               fire_suggest, master->index, master->epoch, actor->first);
    }
}

void sim_actor_ask(struct sim *sim, struct sim_master *master, const struct hd_ask *ask)
{
    if (sim->options->plant == SIM_PLANT_SAMPLER_SLEEPS && ask->config >= 3)
        return;
    struct sim_actor *actor = &master->actors[ask->run];
    struct sim_ask *node = sim_alloc(sim, sizeof(*node));
    node->ask = *ask;
    if (actor->last != NULL)
        actor->last->next = node;
    else
        actor->first = node;
    actor->last = node;
    if (++actor->waiting > HD_ASKS_MAX)
        sim_fail(sim, "bounded", "%u asks wait for one sampler", actor->waiting);
    if (actor->busy)
        return;
    actor->busy = true;
    int64_t delay_ms = sim_between(sim, 0, sim->plan->climate.sampler_max_ms);
    if (sim->now_ms < sim->slow_sampler_until_ms)
        delay_ms += sim->slow_sampler_until_ms - sim->now_ms;
    sim_at(sim, sim->now_ms + delay_ms, fire_suggest, master->index, master->epoch, actor->first);
}
