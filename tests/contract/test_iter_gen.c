/* SPDX-License-Identifier: Apache-2.0 */
/* What every iteration generator promises, run on every kind and on many ladders. */
#include "testlib.h"

#include <hd/iter_gen.h>

#include <math.h>
#include <stdlib.h>
#include <string.h>

static struct hd_err err;

static const struct ladder {
    double budget_min, budget_max, eta;
    enum hd_bracket_rule rule;
    uint32_t iterations_max;
} ladders[] = {
    {1, 9, 3, HD_BRACKET_RULE_HPBANDSTER, 3},   {1, 27, 3, HD_BRACKET_RULE_PAPER, 5},
    {1, 27, 3, HD_BRACKET_RULE_HPBANDSTER, 9},  {0.25, 1, 2, HD_BRACKET_RULE_HPBANDSTER, 7},
    {1, 15.625, 2.5, HD_BRACKET_RULE_PAPER, 4}, {3, 100, 3, HD_BRACKET_RULE_HPBANDSTER, 2},
    {1, 1, 2, HD_BRACKET_RULE_HPBANDSTER, 11},  {1, 64, 2, HD_BRACKET_RULE_HPBANDSTER, 1},
};

static bool is_asynchronous(const struct hd_iter_gen_spec *spec)
{
    return hd_streq(spec->name, "asha") || hd_streq(spec->name, "async_hyperband");
}

static struct hd_iter_gen_spec spec_make(const char *name, const struct ladder *ladder)
{
    struct hd_iter_gen_spec spec = {.eta = ladder->eta,
                                    .budget_min = ladder->budget_min,
                                    .budget_max = ladder->budget_max,
                                    .rule = ladder->rule,
                                    .iterations_max = ladder->iterations_max};
    assert_true(hd_copy_text(spec.name, sizeof(spec.name), name));
    return spec;
}

typedef void promise(const struct hd_iter_gen_spec *spec);

static void on_every_generator(promise *check)
{
    for (const char *const *name = hd_iter_gen_names(); *name != NULL; name++) {
        for (size_t i = 0; i < HD_COUNT(ladders); i++) {
            struct hd_iter_gen_spec spec = spec_make(*name, &ladders[i]);
            check(&spec);
            if (i % 3 != 1)
                continue; /* the variants cost as much again each */
            spec.early_stopping.rule =
                i % 2 == 0 ? HD_STOPPING_RULE_MEDIAN : HD_STOPPING_RULE_CURVE;
            spec.early_stopping.curves_min = 2;
            check(&spec);
            if (!is_asynchronous(&spec))
                continue;
            spec.early_stopping.rule = HD_STOPPING_RULE_NONE;
            spec.delayed = true;
            spec.learned_brackets = spec.raise_uninformative = i % 2 == 0;
            check(&spec);
            spec.delayed = false;
            spec.brackets = 2;
            spec.type = HD_ASHA_TYPE_STOPPING;
            check(&spec);
        }
    }
}

static uint64_t planned_configs(const struct hd_iter_gen_spec *spec)
{
    uint64_t configs = 0;
    for (uint32_t i = 0; i < spec->iterations_max; i++) {
        struct hd_bracket_plan plan;
        hd_iter_gen_plan(spec, i, &plan);
        configs += plan.counts[0];
    }
    return configs;
}

static uint64_t planned_jobs(const struct hd_iter_gen_spec *spec)
{
    uint64_t jobs = 0;
    for (uint32_t i = 0; i < spec->iterations_max; i++) {
        struct hd_bracket_plan plan;
        hd_iter_gen_plan(spec, i, &plan);
        for (uint32_t rung = 0; rung < plan.rung_count; rung++)
            jobs += plan.counts[rung];
    }
    return jobs;
}

/* ---- a world that runs jobs on a generator, in an order drawn from a seed ---------------- */

#define RUNNING_MAX 256

struct running {
    uint32_t iteration, rung, config_number;
    double budget, step;
};

struct step { /* what was told to the generator, for a replay */
    bool queued, report;
    struct hd_slot slot;
    struct running job;
    uint32_t config_number;
    bool ok;
    double loss;
};

struct world {
    struct hd_iter_gen *gen;
    struct hd_rng rng;
    uint32_t workers;
    uint32_t running_count;
    struct running running[RUNNING_MAX];
    uint32_t config_count;
    uint64_t job_count;
    double fail_share;
    bool keep_steps;
    bool reports; /* jobs say how they stand */
    struct step *steps;
    size_t step_count;
    bool *spent; /* by config number, where asked for: it is said to go on no more */
    uint32_t *iteration_of;
};

static void world_open(struct world *world, const struct hd_iter_gen_spec *spec, uint64_t seed)
{
    *world = (struct world){0};
    hd_rng_seed(&world->rng, seed);
    world->workers = 1 + (uint32_t)hd_rng_below(&world->rng, 12);
    world->fail_share = (double)hd_rng_below(&world->rng, 4) / 3.0;
    world->reports = seed % 2 == 0;
    assert_hd_ok(hd_iter_gen_new(spec, &world->gen, &err));
}

static void world_close(struct world *world)
{
    hd_iter_gen_free(world->gen);
    free(world->steps);
    free(world->spent);
    free(world->iteration_of);
}

static void world_note(struct world *world, const struct step *step)
{
    if (!world->keep_steps)
        return;
    world->steps = realloc(world->steps, (world->step_count + 1) * sizeof(*step));
    assert_non_null(world->steps);
    world->steps[world->step_count++] = *step;
}

static void world_take(struct world *world, const struct hd_slot *slot)
{
    assert_hd_ok(hd_iter_gen_reserve(world->gen, &err));
    uint32_t number = slot->kind == HD_SLOT_NEW ? world->config_count++ : slot->config_number;
    hd_iter_gen_queued(world->gen, slot, number);
    assert_true(world->running_count < RUNNING_MAX);
    world->running[world->running_count++] =
        (struct running){slot->iteration, slot->rung, number, slot->budget,
                         isnan(slot->budget_previous) ? 0.0 : slot->budget_previous};
    world->job_count++;
    world_note(world, &(struct step){.queued = true, .slot = *slot, .config_number = number});
}

/* Often says how a job stands and ends it when told so; true: that was the move. */
static bool world_report(struct world *world, uint32_t index)
{
    struct running *job = &world->running[index];
    struct hd_report_answer answer, again;
    double step = job->step + (job->budget - job->step) * hd_rng_double(&world->rng);
    if (hd_rng_below(&world->rng, 3) == 0 || !(step > job->step) || step >= job->budget)
        return false;
    job->step = step;
    double loss = hd_rng_below(&world->rng, 30) == 0 ? INFINITY : hd_rng_double(&world->rng);
    hd_iter_gen_report(world->gen, job->iteration, job->rung, job->config_number, step, loss,
                       &answer);
    uint64_t before = hd_iter_gen_digest(world->gen);
    world_note(world, &(struct step){.report = true, .job = *job, .loss = loss});
    hd_iter_gen_report(world->gen, job->iteration, job->rung, job->config_number, step, loss,
                       &again);
    assert_int_equal(again.decision, answer.decision);
    assert_false(again.milestone);
    assert_true(before == hd_iter_gen_digest(world->gen));
    assert_true(!answer.milestone || answer.budget <= step);
    if (answer.decision == HD_DECISION_CONTINUE || hd_rng_below(&world->rng, 4) == 0)
        return true;
    struct running stopped = *job;
    world->running[index] = world->running[--world->running_count];
    hd_iter_gen_ended(world->gen, stopped.iteration, stopped.rung, stopped.config_number, false,
                      loss);
    world_note(world, &(struct step){.job = stopped, .ok = false, .loss = loss});
    return true;
}

static void world_end_one(struct world *world)
{
    assert_true(world->running_count > 0);
    uint32_t index = (uint32_t)hd_rng_below(&world->rng, world->running_count);
    if (world->reports && world_report(world, index))
        return;
    struct running job = world->running[index];
    world->running[index] = world->running[--world->running_count];
    bool ok = hd_rng_double(&world->rng) >= world->fail_share;
    double loss = (double)hd_rng_below(&world->rng, 5); /* many ties */
    if (hd_rng_below(&world->rng, 20) == 0)
        loss = NAN;
    hd_iter_gen_ended(world->gen, job.iteration, job.rung, job.config_number, ok, loss);
    world_note(world, &(struct step){.job = job, .ok = ok, .loss = loss});
}

/* One move; false when the generator is done. */
static bool world_move(struct world *world)
{
    struct hd_slot slot;
    hd_iter_gen_next(world->gen, true, &slot);
    bool has = slot.kind == HD_SLOT_NEW || slot.kind == HD_SLOT_PROMOTE;
    if (has && world->running_count < world->workers) {
        world_take(world, &slot);
        return true;
    }
    if (world->running_count > 0) {
        world_end_one(world);
        return true;
    }
    assert_int_equal(slot.kind, HD_SLOT_DONE);
    return false;
}

/* ---- the promises ------------------------------------------------------------------------ */

static void check_totals(const struct hd_iter_gen_spec *spec)
{
    for (uint64_t seed = 0; seed < 12; seed++) {
        struct world world;
        world_open(&world, spec, seed);
        do {
            struct hd_slot slot;
            hd_iter_gen_next(world.gen, true, &slot);
            bool over = slot.kind == HD_SLOT_DONE && world.running_count == 0;
            assert_int_equal(hd_iter_gen_finished(world.gen), over);
        } while (world_move(&world));
        assert_true(hd_iter_gen_finished(world.gen));
        if (is_asynchronous(spec))
            assert_int_equal(world.config_count, planned_configs(spec));
        else
            assert_int_equal(world.job_count, planned_jobs(spec));
        world_close(&world);
    }
}

static void all_that_is_planned_is_run_whatever_fails_in_whatever_order(void **state)
{
    (void)state;
    on_every_generator(check_totals);
}

static void check_replay(const struct hd_iter_gen_spec *spec)
{
    struct world world;
    world_open(&world, spec, 78);
    world.keep_steps = true;
    struct hd_iter_gen *shadow = NULL;
    assert_hd_ok(hd_iter_gen_new(spec, &shadow, &err));
    size_t applied = 0;
    bool more = true;
    while (more) {
        more = world_move(&world);
        for (; applied < world.step_count; applied++) {
            const struct step *step = &world.steps[applied];
            assert_hd_ok(hd_iter_gen_reserve(shadow, &err));
            struct hd_report_answer answer;
            if (step->queued)
                hd_iter_gen_queued(shadow, &step->slot, step->config_number);
            else if (step->report)
                hd_iter_gen_report(shadow, step->job.iteration, step->job.rung,
                                   step->job.config_number, step->job.step, step->loss, &answer);
            else
                hd_iter_gen_ended(shadow, step->job.iteration, step->job.rung,
                                  step->job.config_number, step->ok, step->loss);
        }
        assert_true(hd_iter_gen_digest(shadow) == hd_iter_gen_digest(world.gen));
    }
    hd_iter_gen_free(shadow);
    world_close(&world);
}

static void replaying_the_facts_gives_the_same_generator_after_every_fact(void **state)
{
    (void)state;
    on_every_generator(check_replay);
}

static void check_pure(const struct hd_iter_gen_spec *spec)
{
    struct world world;
    world_open(&world, spec, 5);
    do {
        struct hd_slot first = {0}, second = {0};
        uint64_t before = hd_iter_gen_digest(world.gen);
        hd_iter_gen_next(world.gen, true, &first);
        hd_iter_gen_next(world.gen, false, &second);
        hd_iter_gen_next(world.gen, true, &second);
        assert_int_equal(first.kind, second.kind);
        assert_int_equal(first.id.iteration, second.id.iteration);
        assert_int_equal(first.id.budget_index, second.id.budget_index);
        assert_int_equal(first.id.running_index, second.id.running_index);
        assert_int_equal(first.config_number, second.config_number);
        assert_int_equal(first.new_count, second.new_count);
        assert_true(before == hd_iter_gen_digest(world.gen));
    } while (world_move(&world));
    world_close(&world);
}

static void looking_changes_nothing(void **state)
{
    (void)state;
    on_every_generator(check_pure);
}

/* Every change is seen by the digest, so that a lost fact cannot hide. */
static void check_digest_moves(const struct hd_iter_gen_spec *spec)
{
    struct world world;
    world_open(&world, spec, 7);
    uint64_t before = hd_iter_gen_digest(world.gen);
    while (world_move(&world)) {
        uint64_t after = hd_iter_gen_digest(world.gen);
        assert_true(after != before);
        before = after;
    }
    world_close(&world);
}

static void every_fact_moves_the_digest(void **state)
{
    (void)state;
    on_every_generator(check_digest_moves);
}

/* Hands out all it can without a result and counts; the world is then as full as can be. */
static void check_new_count(const struct hd_iter_gen_spec *spec)
{
    for (uint64_t seed = 0; seed < 6; seed++) {
        for (uint32_t moves = 0; moves < 40; moves += 3) {
            for (int may_open = 0; may_open < 2; may_open++) {
                struct world world;
                struct hd_slot slot;
                world_open(&world, spec, seed);
                for (uint32_t i = 0; i < moves && world_move(&world); i++)
                    continue;
                hd_iter_gen_next(world.gen, may_open, &slot);
                uint32_t promised = slot.new_count, seen = 0;
                while (slot.kind == HD_SLOT_NEW || slot.kind == HD_SLOT_PROMOTE) {
                    seen += slot.kind == HD_SLOT_NEW;
                    assert_hd_ok(hd_iter_gen_reserve(world.gen, &err));
                    hd_iter_gen_queued(world.gen, &slot,
                                       slot.kind == HD_SLOT_NEW ? world.config_count++
                                                                : slot.config_number);
                    hd_iter_gen_next(world.gen, may_open, &slot);
                }
                assert_int_equal(seen, promised);
                world_close(&world);
            }
        }
    }
}

static void new_count_is_what_can_be_handed_out_without_a_result(void **state)
{
    (void)state;
    on_every_generator(check_new_count);
}

/* Budgets of a config rise, ids are unique and a promoted config keeps its id. */
static void check_ids(const struct hd_iter_gen_spec *spec)
{
    struct world world;
    static struct hd_config_id ids[4096];
    static double budgets[4096];
    world_open(&world, spec, 8);
    bool more = true;
    while (more) {
        struct hd_slot slot;
        uint64_t jobs = world.job_count;
        hd_iter_gen_next(world.gen, true, &slot);
        more = world_move(&world);
        if (world.job_count == jobs)
            continue;
        if (slot.kind == HD_SLOT_NEW) {
            uint32_t number = world.config_count - 1;
            assert_true(number < HD_COUNT(ids));
            assert_true(slot.id.iteration == slot.iteration && slot.id.budget_index <= slot.rung);
            for (uint32_t i = 0; i < number; i++)
                assert_memory_not_equal(&ids[i], &slot.id, sizeof(slot.id));
            ids[number] = slot.id;
            budgets[number] = slot.budget;
            assert_true(isnan(slot.budget_previous));
        } else {
            assert_memory_equal(&ids[slot.config_number], &slot.id, sizeof(slot.id));
            assert_true(slot.budget_previous == budgets[slot.config_number]);
            assert_true(slot.budget > slot.budget_previous);
            budgets[slot.config_number] = slot.budget;
        }
    }
    world_close(&world);
}

static void ids_are_unique_and_budgets_of_a_config_rise(void **state)
{
    (void)state;
    on_every_generator(check_ids);
}

static void check_close(const struct hd_iter_gen_spec *spec)
{
    for (uint64_t seed = 0; seed < 8; seed++) {
        for (uint32_t moves = 0; moves < 30; moves++) {
            struct world world;
            world_open(&world, spec, seed);
            for (uint32_t i = 0; i < moves && world_move(&world); i++)
                continue;
            uint32_t configs = world.config_count;
            uint64_t jobs = world.job_count;
            bool mild = seed % 2 == 1;
            if (mild)
                hd_iter_gen_close_new(world.gen);
            else
                hd_iter_gen_close(world.gen);
            while (world_move(&world))
                continue;
            assert_true(hd_iter_gen_finished(world.gen));
            assert_int_equal(world.config_count, configs);
            assert_true(mild || world.job_count == jobs);
            world_close(&world);
        }
    }
}

static void closing_at_any_moment_leads_to_finished_without_new_configs(void **state)
{
    (void)state;
    on_every_generator(check_close);
}

/* Every allocation fails once; a failed reserve changes nothing and the next try goes on. */
/* Two generators get the same results; to the second one some come as failures first, which are
 * taken back. */
static void check_reopen(const struct hd_iter_gen_spec *spec)
{
    for (uint64_t seed = 1; seed < 12; seed += 2) { /* without reports: nothing stops early */
        struct world world;
        struct hd_iter_gen *twin = NULL;
        uint32_t taken_back = 0;
        world_open(&world, spec, seed);
        world.keep_steps = true;
        assert_hd_ok(hd_iter_gen_new(spec, &twin, &err));
        for (size_t at = 0; world_move(&world); at++) {
            const struct step *step = &world.steps[at];
            struct hd_slot slot, same;
            assert_hd_ok(hd_iter_gen_reserve(twin, &err));
            if (step->queued) {
                hd_iter_gen_queued(twin, &step->slot, step->config_number);
            } else {
                hd_iter_gen_ended(twin, step->job.iteration, step->job.rung,
                                  step->job.config_number, false, NAN);
                if (!hd_iter_gen_reopen(twin, step->job.iteration, step->job.rung,
                                        step->job.config_number)) {
                    /* The rung is over with this end: from here on they may differ. */
                    assert_false(is_asynchronous(spec));
                    break;
                }
                taken_back++;
                assert_false(hd_iter_gen_finished(twin));
                assert_false(hd_iter_gen_reopen(twin, step->job.iteration, step->job.rung,
                                                step->job.config_number));
                assert_hd_ok(hd_iter_gen_reserve(twin, &err));
                hd_iter_gen_ended(twin, step->job.iteration, step->job.rung,
                                  step->job.config_number, step->ok, step->loss);
            }
            hd_iter_gen_next(world.gen, true, &slot);
            hd_iter_gen_next(twin, true, &same);
            assert_int_equal(slot.kind, same.kind);
            assert_int_equal(slot.rung, same.rung);
            assert_int_equal(slot.config_number, same.config_number);
        }
        assert_true(taken_back > 0 || !is_asynchronous(spec));
        hd_iter_gen_free(twin);
        world_close(&world);
    }
}

static void a_failure_that_is_taken_back_in_time_never_was(void **state)
{
    (void)state;
    on_every_generator(check_reopen);
}

#define WATCHED_MAX 20000

/* Asks for every config after every move, and looks whether the answers hold. */
static uint32_t look_at_all(struct world *world, uint32_t known)
{
    uint32_t spent = 0;
    for (uint32_t i = 0; i < known; i++) {
        bool goes_on = hd_iter_gen_may_go_on(world->gen, world->iteration_of[i], i);
        assert_false(world->spent[i] && goes_on);
        world->spent[i] = !goes_on;
        spent += goes_on ? 0 : 1;
    }
    for (uint32_t i = 0; i < world->running_count; i++)
        assert_false(world->spent[world->running[i].config_number]);
    return spent;
}

static void check_spent(const struct hd_iter_gen_spec *spec)
{
    for (uint64_t seed = 20; seed < 24; seed++) {
        struct world world;
        uint32_t known = 0, moves = 0;
        world_open(&world, spec, seed);
        world.spent = calloc(WATCHED_MAX, sizeof(*world.spent));
        world.iteration_of = calloc(WATCHED_MAX, sizeof(*world.iteration_of));
        assert_non_null(world.spent);
        assert_non_null(world.iteration_of);
        for (;;) {
            struct hd_slot slot;
            hd_iter_gen_next(world.gen, true, &slot);
            if (slot.kind == HD_SLOT_PROMOTE)
                assert_false(world.spent[slot.config_number]);
            if (slot.kind == HD_SLOT_NEW && known < WATCHED_MAX)
                world.iteration_of[world.config_count] = slot.iteration;
            if (!world_move(&world))
                break;
            known = world.config_count;
            assert_true(known <= WATCHED_MAX);
            if (moves++ % 7 == 0 || known < 50)
                (void)look_at_all(&world, known);
            if (seed == 23 && moves == 40)
                hd_iter_gen_close_new(world.gen);
        }
        uint32_t spent = look_at_all(&world, known);
        if (!is_asynchronous(spec))
            assert_int_equal(spent, known);
        hd_iter_gen_close(world.gen);
        assert_int_equal(look_at_all(&world, known), known);
        world_close(&world);
    }
}

static void what_is_said_to_go_on_no_more_never_does(void **state)
{
    (void)state;
    on_every_generator(check_spent);
}

static void check_torture(const struct hd_iter_gen_spec *spec)
{
    for (int64_t countdown = 0;; countdown++) {
        struct hd_iter_gen *gen = NULL;
        hd_test_fail_alloc_after(countdown);
        enum hd_code code = hd_iter_gen_new(spec, &gen, &err);
        hd_test_fail_alloc_after(-1);
        if (code == HD_OK) {
            hd_iter_gen_free(gen);
            break;
        }
        assert_int_equal(code, HD_E_NOMEM);
        assert_null(gen);
        assert_true(countdown < 200);
    }
    struct world world;
    uint32_t refused = 0;
    world_open(&world, spec, 9);
    do {
        uint64_t before = hd_iter_gen_digest(world.gen);
        for (int64_t countdown = 0;; countdown++) {
            hd_test_fail_alloc_after(countdown);
            enum hd_code code = hd_iter_gen_reserve(world.gen, &err);
            hd_test_fail_alloc_after(-1);
            if (code == HD_OK)
                break;
            assert_int_equal(code, HD_E_NOMEM);
            refused++;
            assert_true(before == hd_iter_gen_digest(world.gen));
            assert_true(countdown < 200);
        }
        hd_test_fail_alloc_after(0); /* after a reserve nothing allocates */
        hd_assert(hd_iter_gen_reserve(world.gen, &err) == HD_OK);
        hd_test_fail_alloc_after(-1);
    } while (world_move(&world));
    assert_true(refused > 0);
    assert_true(hd_iter_gen_finished(world.gen));
    world_close(&world);
}

static void every_allocation_may_fail_once(void **state)
{
    (void)state;
    on_every_generator(check_torture);
}

static void check_endless(const struct hd_iter_gen_spec *spec)
{
    struct hd_iter_gen_spec endless = *spec;
    endless.iterations_max = 0;
    struct world world;
    world_open(&world, &endless, 3);
    while (world.job_count < 20000) {
        struct hd_slot slot;
        hd_iter_gen_next(world.gen, true, &slot);
        assert_true(slot.kind == HD_SLOT_NEW || slot.kind == HD_SLOT_PROMOTE);
        assert_int_equal(slot.new_count, UINT32_MAX);
        assert_true(world_move(&world));
    }
    hd_iter_gen_close(world.gen);
    while (world_move(&world))
        continue;
    assert_true(hd_iter_gen_finished(world.gen));
    world_close(&world);
}

static void without_a_maximum_there_is_always_something_to_do(void **state)
{
    (void)state;
    on_every_generator(check_endless);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(all_that_is_planned_is_run_whatever_fails_in_whatever_order),
        cmocka_unit_test(replaying_the_facts_gives_the_same_generator_after_every_fact),
        cmocka_unit_test(looking_changes_nothing),
        cmocka_unit_test(every_fact_moves_the_digest),
        cmocka_unit_test(new_count_is_what_can_be_handed_out_without_a_result),
        cmocka_unit_test(ids_are_unique_and_budgets_of_a_config_rise),
        cmocka_unit_test(closing_at_any_moment_leads_to_finished_without_new_configs),
        cmocka_unit_test(a_failure_that_is_taken_back_in_time_never_was),
        cmocka_unit_test(what_is_said_to_go_on_no_more_never_does),
        cmocka_unit_test(every_allocation_may_fail_once),
        cmocka_unit_test(without_a_maximum_there_is_always_something_to_do),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
