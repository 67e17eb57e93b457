/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How long jobs take, by what they have to do, and which of them a worker that must leave may
 * still begin. A fold over the ends of attempts, so that a restart forgets nothing.
 */
#include "core_internal.h"

#include <math.h>

/* A worker that stays for a tenth of the job, or this long, is worth a start when the target goes
 * on from its checkpoint. */
#define HD_WORTH_A_START_MS 60000

static double work_of(double budget, double from)
{
    return isnan(from) ? budget : budget - from;
}

static struct duration *duration_of(struct run *run, double work)
{
    for (uint32_t i = 0; i < run->duration_count; i++)
        if (run->durations[i].work == work)
            return &run->durations[i];
    if (run->duration_count == HD_DURATIONS_MAX)
        return NULL;
    struct duration *duration = &run->durations[run->duration_count++];
    *duration = (struct duration){.work = work};
    return duration;
}

/* What nearly all of the last ones needed: the second longest of eight. One that took for ever does
 * not keep the others waiting. */
static int64_t usual_ms(const struct duration *duration)
{
    int64_t longest = 0, second = 0;
    for (uint32_t i = 0; i < duration->count; i++) {
        int64_t ms = duration->kept_ms[i];
        if (ms > longest) {
            second = longest;
            longest = ms;
        } else if (ms > second) {
            second = ms;
        }
    }
    return duration->count < HD_DURATIONS_KEPT / 2 ? longest : second;
}

static void keep(struct duration *duration, int64_t ms)
{
    duration->kept_ms[duration->next] = ms;
    duration->next = (duration->next + 1) % HD_DURATIONS_KEPT;
    if (duration->count < HD_DURATIONS_KEPT)
        duration->count++;
}

void core_learn_duration(struct run *run, const struct job *job, double from_budget,
                         const struct hd_fact_attempt_ended *ended)
{
    int64_t ms = ended->finished_wall_ms - ended->started_wall_ms;
    bool whole = ended->outcome == HD_OUTCOME_OK && ended->attempt == 1;
    bool cut = ended->outcome == HD_OUTCOME_PREEMPTED;
    /* A later attempt may have found half of the work done. */
    if (!ended->by_report || ended->started_wall_ms <= 0 || ms <= 0 || (!whole && !cut))
        return;
    struct duration *duration = duration_of(run, work_of(job->budget, from_budget));
    /* One that was cut says only that it would have taken longer. */
    if (duration != NULL && (whole || ms > usual_ms(duration)))
        keep(duration, ms);
}

int64_t core_usual_ms(const struct run *run, double budget, double from)
{
    double work = work_of(budget, from);
    int64_t usual = 0;
    for (uint32_t i = 0; i < run->duration_count; i++) {
        const struct duration *duration = &run->durations[i];
        int64_t ms = usual_ms(duration);
        /* More work takes at least as long. */
        if (duration->work <= work && ms > usual)
            usual = ms;
    }
    return usual;
}

static void tell_unfit(struct hd_core *core, uint32_t run_number, struct worker *worker,
                       double budget, int64_t usual_ms, int64_t left_ms)
{
    if (worker->unfit_told)
        return;
    worker->unfit_told = true;
    core_note(core, HD_NOTE_INFO, run_number,
              "%s leaves in %lld s: jobs at budget %g take about %lld s and wait for another",
              worker->id, (long long)(left_ms / 1000), budget, (long long)(usual_ms / 1000));
}

/* Shorter jobs that find their workers say nothing about it. */
void core_unfit_served(struct run *run, int64_t usual_ms)
{
    if (usual_ms >= run->unfit_usual_ms)
        run->unfit_since_ms = HD_NEVER_MS;
}

bool core_fits(struct hd_core *core, uint32_t run_number, struct worker *worker, double budget,
               double from)
{
    struct run *run = core->runs[run_number];
    if (worker->parked.leaves_ms == HD_NEVER_MS)
        return true;
    int64_t left_ms = worker->parked.leaves_ms - core->now_ms;
    int64_t usual = core_usual_ms(run, budget, from);
    int64_t needed = usual;
    if (run->experiment->target.checkpoint) {
        needed = usual / 10;
        if (needed > HD_WORTH_A_START_MS)
            needed = HD_WORTH_A_START_MS;
    }
    if (left_ms >= needed)
        return true;
    /* When nobody has come for as long as the job takes, trying costs no more than waiting. */
    if (run->unfit_since_ms == HD_NEVER_MS) {
        run->unfit_since_ms = core->now_ms;
        run->unfit_usual_ms = 0;
    }
    if (usual > run->unfit_usual_ms)
        run->unfit_usual_ms = usual;
    if (core->now_ms - run->unfit_since_ms >= usual)
        return true;
    tell_unfit(core, run_number, worker, budget, usual, left_ms);
    return false;
}
