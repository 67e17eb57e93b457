/* SPDX-License-Identifier: Apache-2.0 */
/*
 * keep.c: which state of a config is still needed, so that workers can remove the rest.
 *
 * Nothing is sent to a worker that it has to act upon: it asks about a directory, by the grant that
 * left it, and may hear the answer late or never. Two things make an old answer as good as a new
 * one. What may not be gone on from now never may be: the generator promises that, and a failed job
 * that a person may have run again counts as needed until its run is over. And whoever removes
 * looks again whether that grant was the last one in the directory.
 *
 * A grant that this history does not know is none of its business: of the directories of another
 * one a copied or older history says that it does not know.
 */
#include "core_internal.h"

#include <math.h>
#include <string.h>

/* ---- the best ------------------------------------------------------------------------------- */

/* As the incumbent is chosen, which is thus the first of the list: of equals the first result. */
static bool is_better(const struct best *a, const struct best *b)
{
    if (a->budget > b->budget || a->budget < b->budget)
        return a->budget > b->budget;
    return hd_score_compare(&a->score, &b->score, 1) < 0;
}

static uint32_t place_of(const struct run *run, uint32_t config)
{
    uint32_t place = 0;
    while (place < run->best_count && run->best[place].config != config)
        place++;
    return place;
}

/* A config only rises, so that one which fell off the end comes back by a new result or never. */
void core_keep_result(struct run *run, uint32_t config, double budget, const struct hd_score *score)
{
    struct best fresh = {.config = config, .budget = budget, .score = *score};
    uint32_t capacity = run->experiment->keep_work;
    uint32_t place = place_of(run, config);
    if (capacity == 0 || (place < run->best_count && !is_better(&fresh, &run->best[place])))
        return;
    if (place == run->best_count) {
        if (place == capacity && !is_better(&fresh, &run->best[place - 1]))
            return;
        if (place == capacity)
            place--;
        else
            run->best_count++;
    }
    for (; place > 0 && is_better(&fresh, &run->best[place - 1]); place--)
        run->best[place] = run->best[place - 1];
    run->best[place] = fresh;
}

/* ---- what is asked -------------------------------------------------------------------------- */

/* The state that jobs of this config go on from, when they can. */
static bool is_state(const struct hd_core *core, const struct config *config,
                     const struct hd_left *left)
{
    return config->root != HD_NONE && config->owner != HD_NONE &&
           hd_streq(config->directory, left->directory) &&
           hd_streq(core_root_text(core, config->root), left->root) &&
           hd_streq(core->workers[config->owner].id, left->worker);
}

static bool is_among_best(const struct run *run, uint32_t config)
{
    if (run->experiment->keep_work > 0)
        return place_of(run, config) < run->best_count;
    return run->has_incumbent && run->incumbent_config == config;
}

enum hd_need hd_core_need(const struct hd_core *core, const struct hd_left *left)
{
    uint32_t number;
    const struct run *run = core_find_run_uid(core, left->attempt.run_uid, &number);
    if (run == NULL || left->attempt.job >= run->job_count || left->attempt.stamp == 0)
        return HD_NEED_UNKNOWN;
    const struct job *job = &run->jobs[left->attempt.job];
    const struct config *config = &run->configs[job->config];
    if (job->attempt != left->attempt.attempt || job->stamp != left->attempt.stamp)
        return HD_NEED_UNKNOWN;
    if (job->state != JOB_CLOSED || config->jobs_open > 0)
        return HD_NEED_STATE;
    bool state = job->repeat == 0 && is_state(core, config, left);
    bool may_go_on = config->jobs_again > 0 ||
                     hd_iter_gen_may_go_on(run->gen, config->id.iteration, job->config);
    if (state && may_go_on && !core_run_final(run) && !HD_PLANTED(core, HD_PLANT_STATE_GIVEN_UP))
        return HD_NEED_STATE;
    if (state && is_among_best(run, job->config))
        return HD_NEED_BEST;
    return run->experiment->keep_work > 0 ? HD_NEED_NOTHING : HD_NEED_ROOM;
}
