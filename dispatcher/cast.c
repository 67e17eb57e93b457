/* SPDX-License-Identifier: Apache-2.0 */
#include "cast.h"

#include <stdlib.h>

#define ANSWERS_QUEUE_MAX (HD_RUNS_MAX * HD_ASKS_MAX)

struct hd_cast {
    const struct hd_core *core;
    struct hd_store *store;
    struct hd_core_options core_options;
    struct hd_queue *answers; /* struct hd_suggestion */
    struct hd_actor *actors[HD_RUNS_MAX];
    struct hd_suggestion *ready_first, *ready_last; /* answered where they were asked */
    size_t asks_outstanding;
    size_t passed_facts, passed_asks; /* of the step in hand */
};

enum hd_code hd_cast_new(const struct hd_core *core, struct hd_store *store,
                         const struct hd_core_options *options, struct hd_cast **ret_cast,
                         struct hd_err *err)
{
    struct hd_cast *cast = hd_calloc(1, sizeof(*cast));
    if (cast == NULL)
        return hd_fail(err, HD_E_NOMEM, "no memory for the samplers");
    cast->core = core;
    cast->store = store;
    cast->core_options = *options;
    enum hd_code code = hd_queue_new(ANSWERS_QUEUE_MAX, &cast->answers, err);
    if (code != HD_OK) {
        hd_cast_free(cast);
        return code;
    }
    *ret_cast = cast;
    return HD_OK;
}

void hd_cast_free(struct hd_cast *cast)
{
    struct hd_suggestion *suggestion;
    if (cast == NULL)
        return;
    for (uint32_t i = 0; i < HD_RUNS_MAX; i++)
        hd_actor_free(cast->actors[i]);
    while (cast->answers != NULL && (suggestion = hd_cast_take(cast)) != NULL)
        hd_free(suggestion);
    hd_queue_free(cast->answers);
    hd_free(cast);
}

/* ---- history --------------------------------------------------------------------------------- */

/* One fact that `core` has applied, to the actor of its run. */
static enum hd_code teach(struct hd_actor *actor, const struct hd_core *core,
                          const struct hd_fact *fact, struct hd_err *err)
{
    struct hd_lesson lesson;
    if (fact->kind == HD_FACT_CONFIG_PROPOSED)
        return hd_actor_add(actor, fact->as.config_proposed.config, fact->as.config_proposed.values,
                            fact->as.config_proposed.info.sampler, err);
    return hd_core_lesson(core, fact, &lesson)
               ? hd_actor_tell(actor, lesson.config, lesson.budget, &lesson.score, err)
               : HD_OK;
}

static enum hd_code pass_fact(struct hd_cast *cast, const struct hd_fact *fact, struct hd_err *err)
{
    struct hd_actor *actor = fact->run == HD_RUN_NONE ? NULL : cast->actors[fact->run];
    return actor == NULL ? HD_OK : teach(actor, cast->core, fact, err);
}

static enum hd_code make_actor(struct hd_cast *cast, uint32_t run, struct hd_err *err)
{
    struct hd_run_view view;
    hd_core_view_run(cast->core, run, &view);
    return hd_actor_new(run, &view, cast->answers, &cast->actors[run], err);
}

static enum hd_code start_actor(struct hd_cast *cast, uint32_t run, struct hd_err *err)
{
    if (cast->actors[run] == NULL) {
        enum hd_code code = make_actor(cast, run, err);
        if (code != HD_OK)
            return code;
    }
    return hd_actor_start(cast->actors[run], err);
}

enum hd_code hd_cast_restore(struct hd_cast *cast, const struct hd_fact *fact, struct hd_err *err)
{
    enum hd_code code = HD_OK;
    if (fact->kind == HD_FACT_RUN_CREATED)
        code = make_actor(cast, fact->run, err);
    return code == HD_OK ? pass_fact(cast, fact, err) : code;
}

enum hd_code hd_cast_start(struct hd_cast *cast, struct hd_err *err)
{
    enum hd_code code = HD_OK;
    hd_cast_dismiss(cast);
    for (uint32_t i = 0; code == HD_OK && i < hd_core_run_count(cast->core); i++)
        if (cast->actors[i] != NULL)
            code = hd_actor_start(cast->actors[i], err);
    return code;
}

void hd_cast_dismiss(struct hd_cast *cast)
{
    for (uint32_t i = 0; i < hd_core_run_count(cast->core); i++) {
        if (cast->actors[i] != NULL && hd_core_is_over(cast->core, i)) {
            hd_actor_free(cast->actors[i]);
            cast->actors[i] = NULL;
        }
    }
}

/* A finished run that is extended: what its sampler knew is read from the store again, by a core
 * of its own. It takes as long as a restart. */
struct revival {
    struct hd_core *core;
    struct hd_actor *actor;
    uint32_t run;
};

static enum hd_code revive_fact(void *context, const struct hd_fact *fact, struct hd_err *err)
{
    const struct revival *revival = context;
    (void)hd_watchdog_feed(0); /* the loop waits for it, and lives */
    enum hd_code code = hd_core_apply(revival->core, fact, err);
    if (code != HD_OK || fact->run != revival->run)
        return code;
    return teach(revival->actor, revival->core, fact, err);
}

static enum hd_code revive_actor(struct hd_cast *cast, uint32_t run, struct hd_err *err)
{
    struct revival revival = {.run = run};
    enum hd_code code = make_actor(cast, run, err);
    revival.actor = cast->actors[run];
    if (code == HD_OK)
        code = hd_core_new(&cast->core_options, &revival.core, err);
    if (code == HD_OK)
        code = hd_store_load(cast->store, revive_fact, &revival, err);
    hd_core_free(revival.core);
    if (code == HD_OK)
        return hd_actor_start(revival.actor, err);
    hd_actor_free(cast->actors[run]);
    cast->actors[run] = NULL;
    return code;
}

/* A run without a sampler that is active again. */
static bool is_extended(const struct hd_cast *cast, const struct hd_fact *fact)
{
    return fact->kind == HD_FACT_RUN_STATE && fact->as.run_state.state == HD_RUN_ACTIVE &&
           cast->actors[fact->run] == NULL;
}

/* ---- questions and answers ------------------------------------------------------------------- */

static void keep_ready(struct hd_cast *cast, struct hd_suggestion *suggestion)
{
    if (cast->ready_first == NULL)
        cast->ready_first = suggestion;
    else
        cast->ready_last->next = suggestion;
    cast->ready_last = suggestion;
}

void hd_cast_begin_step(struct hd_cast *cast)
{
    cast->passed_facts = cast->passed_asks = 0;
}

enum hd_code hd_cast_pass(struct hd_cast *cast, const struct hd_update *update, struct hd_err *err)
{
    enum hd_code code = HD_OK;
    for (; cast->passed_facts < update->fact_count; cast->passed_facts++) {
        const struct hd_fact *fact = &update->facts[cast->passed_facts];
        if (fact->kind == HD_FACT_RUN_CREATED)
            code = start_actor(cast, fact->run, err);
        else if (is_extended(cast, fact))
            code = revive_actor(cast, fact->run, err);
        else
            code = pass_fact(cast, fact, err);
        if (code != HD_OK)
            return code;
    }
    for (; cast->passed_asks < update->ask_count; cast->passed_asks++) {
        const struct hd_ask *ask = &update->asks[cast->passed_asks];
        struct hd_suggestion *suggestion;
        code = hd_actor_ask(cast->actors[ask->run], ask, &suggestion, err);
        if (code != HD_OK)
            return code;
        if (suggestion != NULL)
            keep_ready(cast, suggestion);
        cast->asks_outstanding++;
    }
    return HD_OK;
}

struct hd_suggestion *hd_cast_take(struct hd_cast *cast)
{
    struct hd_suggestion *first = cast->ready_first;
    if (first != NULL)
        cast->ready_first = first->next;
    else
        first = hd_queue_pop(cast->answers, 0);
    if (first != NULL)
        cast->asks_outstanding--;
    return first;
}

bool hd_cast_has_ready(const struct hd_cast *cast)
{
    return cast->ready_first != NULL;
}

bool hd_cast_is_asked(const struct hd_cast *cast)
{
    return cast->asks_outstanding > 0;
}

int hd_cast_fd(const struct hd_cast *cast)
{
    return hd_queue_fd(cast->answers);
}
