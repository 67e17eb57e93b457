/* SPDX-License-Identifier: Apache-2.0 */
/* check_objectives.c: results of runs with several objectives and a constraint. */
#include "cluster.h"

#include <math.h>

static void results_are_whole(struct sim *sim, const struct sim_checker *self,
                              const struct sim_probe *probe)
{
    if (probe->kind != SIM_PROBE_FACT || probe->fact->kind != HD_FACT_ATTEMPT_ENDED)
        return;
    const struct sim_ledger *ledger = &probe->master->ledger;
    if (probe->fact->run >= ledger->run_count)
        return;
    const struct sim_ledger_run *run = &ledger->runs[probe->fact->run];
    const struct hd_fact_attempt_ended *ended = &probe->fact->as.attempt_ended;
    if (run->plan == NULL || ended->job >= run->job_count)
        return;
    bool measured = run->plan->several && ended->outcome == HD_OUTCOME_OK;
    size_t count = measured ? (run->plan->constrained ? 3 : 2) : 0;
    uint32_t config = run->jobs[ended->job].config;
    if (ended->measure_count != count) {
        sim_fail(sim, self->name, "job %u: %zu values are kept, and not %zu", ended->job,
                 ended->measure_count, count);
        return;
    }
    if (!measured || config >= run->config_count)
        return;
    sim->cover->scored++;
    double expected[SIM_MEASURES], violation = 0;
    sim_measures(&run->configs[config], expected);
    expected[0] = ended->loss;
    for (size_t i = 0; i < count; i++)
        if (ended->measures[i] != expected[i])
            sim_fail(sim, self->name, "job %u: value %zu is %g, and the target said %g", ended->job,
                     i, ended->measures[i], expected[i]);
    if (run->plan->constrained && expected[2] > SIM_MEASURE_BOUND)
        violation = (expected[2] - SIM_MEASURE_BOUND) / SIM_MEASURE_BOUND;
    if (fabs(ended->violation - violation) > 1e-9)
        sim_fail(sim, self->name, "job %u breaks the constraint by %g, and not by %g", ended->job,
                 ended->violation, violation);
}

const struct sim_checker sim_checkers_objectives[] = {
    {"results-are-whole",
     "A result with several objectives is kept with every value that its target gave, and with "
     "what they break of the constraint; a result with one has nothing but its loss",
     results_are_whole},
};
const size_t sim_checkers_objectives_count = HD_COUNT(sim_checkers_objectives);
