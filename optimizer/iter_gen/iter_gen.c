/* SPDX-License-Identifier: Apache-2.0 */
/* iter_gen.c: a generator: an engine behind the calls of the header, and perhaps a stopper. */
#include "kind.h"
#include "stopper.h"

#include <math.h>

struct hd_iter_gen {
    const struct hd_iter_engine *engine;
    void *state;
    struct hd_iter_gen_spec spec;
    struct hd_stopper *stopper; /* NULL: no rule */
};

enum hd_code hd_iter_gen_new(const struct hd_iter_gen_spec *spec, struct hd_iter_gen **ret_gen,
                             struct hd_err *err)
{
    enum hd_code code = hd_iter_gen_spec_check(spec, err);
    if (code != HD_OK)
        return code;
    struct hd_iter_gen *gen = hd_calloc(1, sizeof(*gen));
    if (gen == NULL)
        return hd_fail(err, HD_E_NOMEM, "no memory for the iteration generator");
    gen->spec = *spec;
    gen->engine = hd_iter_kind_find(spec->name)->engine;
    code = gen->engine->make(spec, &gen->state, err);
    if (code == HD_OK && spec->early_stopping.rule != HD_STOPPING_RULE_NONE)
        code = hd_stopper_new(spec, &gen->stopper, err);
    if (code != HD_OK) {
        hd_iter_gen_free(gen);
        return code;
    }
    *ret_gen = gen;
    return HD_OK;
}

bool hd_iter_gen_is_asynchronous(const struct hd_iter_gen_spec *spec)
{
    return hd_iter_kind_find(spec->name)->engine == &hd_iter_engine_asynchronous;
}

void hd_iter_gen_free(struct hd_iter_gen *gen)
{
    if (gen == NULL)
        return;
    gen->engine->destroy(gen->state);
    hd_stopper_free(gen->stopper);
    hd_free(gen);
}

enum hd_code hd_iter_gen_reserve(struct hd_iter_gen *gen, struct hd_err *err)
{
    enum hd_code code = gen->engine->reserve(gen->state, err);
    return code == HD_OK && gen->stopper != NULL ? hd_stopper_reserve(gen->stopper, err) : code;
}

void hd_iter_gen_next(const struct hd_iter_gen *gen, bool may_open, struct hd_slot *ret_slot)
{
    gen->engine->next(gen->state, may_open, ret_slot);
}

static bool slot_equal(const struct hd_slot *a, const struct hd_slot *b)
{
    return a->kind == b->kind && a->iteration == b->iteration && a->rung == b->rung &&
           a->id.iteration == b->id.iteration && a->id.budget_index == b->id.budget_index &&
           a->id.running_index == b->id.running_index && a->config_number == b->config_number;
}

void hd_iter_gen_queued(struct hd_iter_gen *gen, const struct hd_slot *slot, uint32_t config_number)
{
    struct hd_slot now;
    gen->engine->next(gen->state, true, &now);
    hd_assert(slot_equal(slot, &now));
    hd_assert(slot->kind == HD_SLOT_NEW ||
              (slot->kind == HD_SLOT_PROMOTE && slot->config_number == config_number));
    gen->engine->queued(gen->state, slot, config_number);
    if (gen->stopper != NULL)
        hd_stopper_started(gen->stopper, config_number, slot->budget);
}

void hd_iter_gen_report(struct hd_iter_gen *gen, uint32_t iteration, uint32_t rung,
                        uint32_t config_number, double step, double loss,
                        struct hd_report_answer *ret_answer)
{
    (void)iteration;
    (void)rung;
    struct hd_report_answer answer = {.decision = HD_DECISION_CONTINUE, .budget = NAN};
    if (gen->engine->report != NULL)
        gen->engine->report(gen->state, config_number, step, loss, &answer);
    bool fresh = false;
    if (gen->stopper != NULL &&
        hd_stopper_report(gen->stopper, config_number, step, loss, &fresh) == HD_DECISION_STOP &&
        answer.decision == HD_DECISION_CONTINUE) {
        answer.decision = HD_DECISION_STOP;
        if (!answer.milestone)
            answer.budget = hd_stopper_budget(gen->stopper, config_number);
        answer.milestone = answer.milestone || fresh;
    }
    *ret_answer = answer;
}

void hd_iter_gen_ended(struct hd_iter_gen *gen, uint32_t iteration, uint32_t rung,
                       uint32_t config_number, bool ok, double loss)
{
    struct hd_score score = hd_score_of(loss);
    for (size_t i = 1; i < HD_OBJECTIVES_MAX; i++)
        score.losses[i] = loss;
    hd_iter_gen_ended_score(gen, iteration, rung, config_number, ok, &score);
}

void hd_iter_gen_ended_score(struct hd_iter_gen *gen, uint32_t iteration, uint32_t rung,
                             uint32_t config_number, bool ok, const struct hd_score *score)
{
    ok = ok &&
         hd_score_is_finite(score, gen->spec.objective_count > 0 ? gen->spec.objective_count : 1);
    gen->engine->ended(gen->state, iteration, rung, config_number, ok, score);
    if (gen->stopper != NULL)
        hd_stopper_ended(gen->stopper, config_number, ok, score->losses[0]);
}

bool hd_iter_gen_reopen(struct hd_iter_gen *gen, uint32_t iteration, uint32_t rung,
                        uint32_t config_number)
{
    if (!gen->engine->reopen(gen->state, iteration, rung, config_number))
        return false;
    if (gen->stopper != NULL)
        hd_stopper_reopened(gen->stopper, config_number);
    return true;
}

bool hd_iter_gen_may_go_on(const struct hd_iter_gen *gen, uint32_t iteration,
                           uint32_t config_number)
{
    return gen->engine->may_go_on(gen->state, iteration, config_number);
}

void hd_iter_gen_close(struct hd_iter_gen *gen)
{
    gen->engine->close(gen->state);
}

void hd_iter_gen_close_new(struct hd_iter_gen *gen)
{
    gen->engine->close_new(gen->state);
}

void hd_iter_gen_open_new(struct hd_iter_gen *gen)
{
    gen->engine->open_new(gen->state);
}

void hd_iter_gen_set_iterations(struct hd_iter_gen *gen, uint32_t iterations_max)
{
    gen->spec.iterations_max = iterations_max;
    gen->engine->set_iterations(gen->state, iterations_max);
}

bool hd_iter_gen_finished(const struct hd_iter_gen *gen)
{
    return gen->engine->finished(gen->state);
}

uint64_t hd_iter_gen_digest(const struct hd_iter_gen *gen)
{
    uint64_t hash = hd_hash_text(HD_HASH_INIT, gen->spec.name);
    hash = hd_hash_double(hash, gen->spec.eta);
    hash = hd_hash_double(hash, gen->spec.budget_min);
    hash = hd_hash_double(hash, gen->spec.budget_max);
    hash = hd_hash_u64(hash, gen->spec.rule);
    hash = hd_hash_u64(hash, gen->spec.iterations_max);
    hash = gen->engine->digest(gen->state, hash);
    return gen->stopper != NULL ? hd_stopper_digest(gen->stopper, hash) : hash;
}
