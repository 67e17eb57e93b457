/* SPDX-License-Identifier: Apache-2.0 */
/* Asynchronous halving, its brackets, and the rules that stop jobs early, by hand-made cases. */
#include "testlib.h"

#include <hd/iter_gen.h>

#include <math.h>
#include <string.h>

static struct hd_err err;

static struct hd_iter_gen_spec spec_of(const char *name, double budget_min, double budget_max,
                                       double eta)
{
    struct hd_iter_gen_spec spec = {.eta = eta, .budget_min = budget_min, .budget_max = budget_max};
    assert_true(hd_copy_text(spec.name, sizeof(spec.name), name));
    return spec;
}

static struct hd_iter_gen *generator(const struct hd_iter_gen_spec *spec)
{
    struct hd_iter_gen *gen = NULL;
    assert_hd_ok(hd_iter_gen_new(spec, &gen, &err));
    return gen;
}

struct taken {
    struct hd_slot slot;
    uint32_t number;
};

static uint32_t new_number;

/* Takes what is next. */
static struct taken take(struct hd_iter_gen *gen)
{
    struct taken taken;
    assert_hd_ok(hd_iter_gen_reserve(gen, &err));
    hd_iter_gen_next(gen, true, &taken.slot);
    assert_true(taken.slot.kind == HD_SLOT_NEW || taken.slot.kind == HD_SLOT_PROMOTE);
    taken.number = taken.slot.kind == HD_SLOT_NEW ? new_number++ : taken.slot.config_number;
    hd_iter_gen_queued(gen, &taken.slot, taken.number);
    return taken;
}

static void end(struct hd_iter_gen *gen, const struct taken *taken, bool ok, double loss)
{
    hd_iter_gen_ended(gen, taken->slot.iteration, taken->slot.rung, taken->number, ok, loss);
}

static struct taken run(struct hd_iter_gen *gen, double loss)
{
    struct taken taken = take(gen);
    end(gen, &taken, true, loss);
    return taken;
}

static struct hd_report_answer report(struct hd_iter_gen *gen, const struct taken *taken,
                                      double step, double loss)
{
    struct hd_report_answer answer;
    hd_iter_gen_report(gen, taken->slot.iteration, taken->slot.rung, taken->number, step, loss,
                       &answer);
    return answer;
}

/* ---- promotion ------------------------------------------------------------------------------ */

/* The best of three goes on as soon as three have ended, while a straggler still runs. */
static void a_straggler_holds_nobody_up(void **state)
{
    (void)state;
    struct hd_iter_gen_spec spec = spec_of("asha", 1, 9, 3);
    struct hd_iter_gen *gen = generator(&spec);
    new_number = 0;
    struct taken straggler = take(gen);
    assert_true(straggler.slot.budget == 1);
    run(gen, 0.5);
    run(gen, 0.2);
    struct hd_slot slot;
    hd_iter_gen_next(gen, true, &slot);
    assert_int_equal(slot.kind, HD_SLOT_NEW); /* two of two: nobody has earned it */
    run(gen, 0.4);
    hd_iter_gen_next(gen, true, &slot);
    assert_int_equal(slot.kind, HD_SLOT_PROMOTE);
    assert_int_equal(slot.config_number, 2);
    assert_true(slot.budget == 3 && slot.budget_previous == 1 && slot.rung == 1);
    hd_iter_gen_free(gen);
}

static void a_failure_counts_in_its_rung_and_never_advances(void **state)
{
    (void)state;
    struct hd_iter_gen_spec spec = spec_of("asha", 1, 9, 3);
    struct hd_iter_gen *gen = generator(&spec);
    new_number = 0;
    for (int i = 0; i < 2; i++) {
        struct taken failed = take(gen);
        end(gen, &failed, i == 0, NAN);
    }
    run(gen, 0.9);
    struct taken next = take(gen);
    assert_int_equal(next.slot.kind, HD_SLOT_PROMOTE);
    assert_int_equal(next.number, 2);
    for (int i = 0; i < 2; i++)
        assert_int_equal(take(gen).slot.kind, HD_SLOT_NEW);
    hd_iter_gen_free(gen);
}

/* Late better ones make plain ASHA promote more than a third; delayed promotion does not. */
static uint32_t promoted_of(bool delayed, uint32_t results)
{
    struct hd_iter_gen_spec spec = spec_of("asha", 1, 9, 3);
    spec.delayed = delayed;
    struct hd_iter_gen *gen = generator(&spec);
    uint32_t promoted = 0, ended = 0;
    new_number = 0;
    while (ended < results) { /* each new one beats all before it */
        struct taken taken = take(gen);
        promoted += taken.slot.kind == HD_SLOT_PROMOTE && taken.slot.rung == 1 ? 1 : 0;
        if (taken.slot.kind == HD_SLOT_NEW)
            end(gen, &taken, true, 1.0 / (1.0 + ended++));
    }
    hd_iter_gen_free(gen);
    return promoted;
}

static void delayed_promotion_keeps_the_ratio(void **state)
{
    (void)state;
    assert_true(promoted_of(false, 60) > 30);
    assert_true(promoted_of(true, 60) <= 20);
    assert_true(promoted_of(true, 60) >= 18);
}

/* ---- the opening ---------------------------------------------------------------------------- */

#define OPENING_MAX 400
#define OPENING_WORKERS_MAX 64

struct call {
    bool is_end;
    struct taken taken;
    double loss;
};

/* Some workers whose jobs end in any order; every call is written down. */
static uint32_t play_opening(struct hd_iter_gen *gen, uint64_t seed, uint32_t workers,
                             struct call *ret_calls)
{
    struct taken running[OPENING_WORKERS_MAX];
    uint32_t count = 0, calls = 0;
    struct hd_rng rng;
    hd_rng_seed(&rng, seed);
    new_number = 0;
    while (calls < OPENING_MAX) {
        if (count < workers) {
            running[count++] = take(gen);
            ret_calls[calls++] = (struct call){.taken = running[count - 1]};
            continue;
        }
        uint32_t index = (uint32_t)hd_rng_below(&rng, count);
        double loss = hd_rng_below(&rng, 10) == 0 ? NAN : hd_rng_double(&rng);
        end(gen, &running[index], isfinite(loss), loss);
        ret_calls[calls++] = (struct call){true, running[index], loss};
        running[index] = running[--count];
    }
    return calls;
}

/* No config reaches the next rung before the opening of its own is full, whoever ends first. */
static void no_config_goes_on_before_the_opening_is_full(void **state)
{
    (void)state;
    static const uint32_t wanted[] = {20, 10, 5};
    for (uint64_t seed = 1; seed <= 40; seed++) {
        struct hd_iter_gen_spec spec = spec_of("asha", 1, 8, 2);
        struct call calls[OPENING_MAX];
        uint32_t results[4] = {0};
        spec.opening = 20;
        spec.delayed = seed % 2 == 0;
        struct hd_iter_gen *gen = generator(&spec);
        uint32_t count = play_opening(gen, seed, 1 + (uint32_t)(seed % 8), calls);
        for (uint32_t i = 0; i < count; i++) {
            uint32_t rung = calls[i].taken.slot.rung;
            if (calls[i].is_end) {
                results[rung]++;
                continue;
            }
            if (calls[i].taken.slot.kind != HD_SLOT_PROMOTE) {
                assert_int_equal(rung, 0); /* with so few workers */
                continue;
            }
            assert_true(results[rung - 1] >= wanted[rung - 1]);
        }
        assert_true(results[3] > 0); /* something came to the top */
        hd_iter_gen_free(gen);
    }
}

/* The same calls make the same opening: a run that is restored in the middle of it goes on so. */
static void an_opening_is_restored_by_its_calls(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 8; seed++) {
        struct hd_iter_gen_spec spec = spec_of("asha", 1, 32, 2);
        struct call calls[OPENING_MAX];
        spec.opening = 20;
        struct hd_iter_gen *live = generator(&spec), *restored = generator(&spec);
        uint32_t count = play_opening(live, seed, (uint32_t)seed * 8, calls);
        for (uint32_t i = 0; i < count; i++) {
            struct hd_slot slot;
            if (calls[i].is_end) {
                end(restored, &calls[i].taken, isfinite(calls[i].loss), calls[i].loss);
                continue;
            }
            assert_hd_ok(hd_iter_gen_reserve(restored, &err));
            hd_iter_gen_next(restored, true, &slot);
            assert_int_equal(slot.kind, calls[i].taken.slot.kind);
            assert_int_equal(slot.rung, calls[i].taken.slot.rung);
            hd_iter_gen_queued(restored, &calls[i].taken.slot, calls[i].taken.number);
        }
        assert_true(hd_iter_gen_digest(live) == hd_iter_gen_digest(restored));
        hd_iter_gen_free(live);
        hd_iter_gen_free(restored);
    }
}

/* With so many workers that a whole opening runs at once, new configs begin two rungs up once the
 * lowest has its results, until the opening there is full; and at the lowest one again then. */
static void many_workers_begin_further_up(void **state)
{
    (void)state;
    static const struct {
        double budget_max;
        uint32_t rung, results; /* where they begin, and what its opening needs */
    } rows[] = {
        {32, 2, 5}, {16, 1, 10}, {8, 0, 0}, /* at least three below the top */
    };
    for (size_t r = 0; r < HD_COUNT(rows); r++) {
        struct hd_iter_gen_spec spec = spec_of("asha", 1, rows[r].budget_max, 2);
        spec.opening = 20;
        struct hd_iter_gen *gen = generator(&spec);
        struct taken first[40];
        new_number = 0;
        for (size_t i = 0; i < HD_COUNT(first); i++) {
            first[i] = take(gen);
            assert_int_equal(first[i].slot.rung, 0);
        }
        for (size_t i = 0; i < 20; i++) /* what fails is never promoted */
            end(gen, &first[i], false, NAN);
        for (uint32_t i = 0; i < rows[r].results; i++) {
            struct taken further = take(gen);
            assert_int_equal(further.slot.kind, HD_SLOT_NEW);
            assert_int_equal(further.slot.rung, rows[r].rung);
            assert_int_equal(further.slot.id.budget_index, rows[r].rung);
            assert_true(isnan(further.slot.budget_previous));
            end(gen, &further, false, NAN);
        }
        assert_int_equal(run(gen, 0).slot.rung, 0);
        hd_iter_gen_free(gen);
    }
}

/* Once no more run than a few workers have, new configs begin at the lowest rung as ever. */
static void few_workers_begin_at_the_lowest_rung(void **state)
{
    (void)state;
    struct hd_iter_gen_spec spec = spec_of("asha", 1, 32, 2);
    spec.opening = 20;
    struct hd_iter_gen *gen = generator(&spec);
    struct taken first[39];
    new_number = 0;
    for (size_t i = 0; i < HD_COUNT(first); i++)
        first[i] = take(gen);
    for (size_t i = 0; i < 20; i++)
        end(gen, &first[i], false, NAN);
    assert_int_equal(take(gen).slot.rung, 0); /* 19 were running */
    assert_int_equal(take(gen).slot.rung, 2);
    hd_iter_gen_free(gen);
}

/* An opening that can no longer be filled holds nobody: what there is goes on. */
static void an_opening_ends_with_the_new_configs(void **state)
{
    (void)state;
    struct hd_iter_gen_spec spec = spec_of("asha", 1, 4, 2);
    struct hd_slot slot;
    spec.opening = 20;
    struct hd_iter_gen *gen = generator(&spec);
    new_number = 0;
    for (int i = 0; i < 11; i++)
        run(gen, i);
    struct taken last = take(gen);
    hd_iter_gen_close_new(gen);
    hd_iter_gen_next(gen, true, &slot);
    assert_int_equal(slot.kind, HD_SLOT_WAIT); /* a result may still come */
    end(gen, &last, true, 11);
    uint32_t promoted[3] = {0};
    for (hd_iter_gen_next(gen, true, &slot); slot.kind != HD_SLOT_DONE;
         hd_iter_gen_next(gen, true, &slot)) {
        struct taken taken = take(gen);
        assert_int_equal(taken.slot.kind, HD_SLOT_PROMOTE);
        promoted[taken.slot.rung]++;
        end(gen, &taken, true, taken.number);
    }
    assert_int_equal(promoted[1], 6); /* a half of twelve */
    assert_int_equal(promoted[2], 3);
    assert_true(hd_iter_gen_finished(gen));
    hd_iter_gen_free(gen);
}

/* Of a run with few configs a rung above waits for what is about to come to it: the best of all
 * that are promoted goes on, not the better of the first two. */
static void an_opening_waits_for_promotions(void **state)
{
    (void)state;
    struct hd_iter_gen_spec spec = spec_of("asha", 1, 4, 2);
    struct taken taken;
    spec.opening = 20;
    struct hd_iter_gen *gen = generator(&spec);
    new_number = 0;
    for (int i = 0; i < 7; i++)
        run(gen, i);
    struct taken straggler = take(gen);
    hd_iter_gen_close_new(gen);
    end(gen, &straggler, true, 7);
    for (int i = 0; i < 4; i++) {
        taken = run(gen, -i);
        assert_int_equal(taken.slot.rung, 1);
        assert_int_equal(taken.number, i);
    }
    taken = run(gen, 0);
    assert_int_equal(taken.slot.rung, 2);
    assert_int_equal(taken.number, 3);
    taken = run(gen, 0);
    assert_int_equal(taken.number, 2);
    assert_true(hd_iter_gen_finished(gen));
    hd_iter_gen_free(gen);
}

/* A run with too few configs for its rungs still has a result at the highest budget. */
static void the_best_one_reaches_the_top_at_last(void **state)
{
    (void)state;
    struct hd_iter_gen_spec spec = spec_of("asha", 1, 81, 3);
    struct hd_iter_gen *gen = generator(&spec);
    new_number = 0;
    for (int i = 0; i < 5; i++)
        run(gen, i == 3 ? 0.1 : 0.5 + i);
    hd_iter_gen_close_new(gen);
    double top = 0;
    struct hd_slot slot;
    for (hd_iter_gen_next(gen, true, &slot); slot.kind != HD_SLOT_DONE;
         hd_iter_gen_next(gen, true, &slot)) {
        struct taken taken = take(gen);
        assert_int_equal(taken.slot.kind, HD_SLOT_PROMOTE);
        end(gen, &taken, true, 0.1);
        top = taken.slot.budget;
    }
    assert_true(top == 81);
    assert_true(hd_iter_gen_finished(gen));
    hd_iter_gen_free(gen);
}

/* 100,000 configs on 64 workers whose jobs end in any order; ids stay unique by construction. */
static void a_hundred_thousand_configs_are_no_matter(void **state)
{
    (void)state;
    struct hd_iter_gen_spec spec = spec_of("asha", 1, 81, 3);
    spec.brackets = 2;
    spec.learned_brackets = spec.raise_uninformative = true;
    spec.early_stopping.rule = HD_STOPPING_RULE_MEDIAN;
    struct hd_iter_gen *gen = generator(&spec);
    struct taken running[64];
    uint32_t rungs[5] = {0}, count = 0;
    struct hd_rng rng;
    hd_rng_seed(&rng, 1);
    new_number = 0;
    while (new_number < 100000) {
        if (count < 64) {
            running[count++] = take(gen);
            rungs[running[count - 1].slot.rung]++;
            continue;
        }
        uint32_t index = (uint32_t)hd_rng_below(&rng, count);
        (void)report(gen, &running[index], running[index].slot.budget * 0.5, 1.0);
        end(gen, &running[index], true, (running[index].number * 2654435761u) % 1000u);
        running[index] = running[--count];
    }
    for (uint32_t k = 1; k < 5; k++)
        assert_true(rungs[k] > 0 && rungs[k] < rungs[k - 1]);
    hd_iter_gen_free(gen);
}

/* ---- brackets ------------------------------------------------------------------------------- */

/* Losses at rung 0 that say what the top will say, or the opposite. */
static void learn_from(struct hd_iter_gen *gen, bool faithful, uint32_t *ret_starts)
{
    struct hd_rng rng;
    hd_rng_seed(&rng, 5);
    new_number = 0;
    for (int i = 0; i < 2000; i++) {
        struct taken taken = take(gen);
        double quality = (double)((taken.number * 2654435761u) % 1000u);
        bool low = taken.slot.rung == 0 && !faithful;
        if (taken.slot.kind == HD_SLOT_NEW)
            ret_starts[taken.slot.id.budget_index]++;
        end(gen, &taken, true, low ? hd_rng_double(&rng) : quality);
    }
}

static void brackets_start_configs_by_their_weights(void **state)
{
    (void)state;
    struct hd_iter_gen_spec spec = spec_of("async_hyperband", 1, 9, 3);
    uint32_t starts[3] = {0};
    struct hd_iter_gen *gen = generator(&spec);
    learn_from(gen, true, starts);
    hd_iter_gen_free(gen);
    /* 9, 3 and 3 new configs an iteration of the cycle */
    assert_true(starts[0] + 15 > 3 * starts[1] && starts[0] < 3 * starts[1] + 15);
    assert_true(starts[1] + 3 > starts[2] && starts[2] + 3 > starts[1]);
}

static void a_rung_that_predicts_the_top_gets_more_configs(void **state)
{
    (void)state;
    struct hd_iter_gen_spec spec = spec_of("async_hyperband", 1, 9, 3);
    spec.learned_brackets = true;
    uint32_t good[3] = {0}, bad[3] = {0};
    struct hd_iter_gen *gen = generator(&spec);
    learn_from(gen, true, good);
    hd_iter_gen_free(gen);
    gen = generator(&spec);
    learn_from(gen, false, bad);
    hd_iter_gen_free(gen);
    assert_true(good[0] > 2 * good[1]);
    assert_true(bad[0] < bad[1]);
}

static void an_uninformative_lowest_rung_is_left_out(void **state)
{
    (void)state;
    struct hd_iter_gen_spec spec = spec_of("asha", 1, 27, 3);
    spec.raise_uninformative = true;
    uint32_t good[4] = {0}, bad[4] = {0};
    struct hd_iter_gen *gen = generator(&spec);
    learn_from(gen, true, good);
    hd_iter_gen_free(gen);
    gen = generator(&spec);
    learn_from(gen, false, bad);
    hd_iter_gen_free(gen);
    assert_true(good[1] == 0);
    assert_true(bad[0] < 100 && bad[1] > 500);
}

/* ---- rungs, tables, whole budgets ----------------------------------------------------------- */

static void own_rungs_set_budgets_and_shares(void **state)
{
    (void)state;
    struct hd_iter_gen_spec spec = spec_of("asha", 1, 50, 3);
    static const double rungs[] = {1, 2, 10, 50};
    spec.rung_count = 4;
    memcpy(spec.rungs, rungs, sizeof(rungs));
    struct hd_bracket_plan plan;
    hd_iter_gen_plan(&spec, 0, &plan);
    static const uint32_t counts[] = {50, 25, 5, 1};
    assert_int_equal(plan.rung_count, 4);
    for (uint32_t k = 0; k < 4; k++) {
        assert_true(plan.budgets[k] == rungs[k]);
        assert_int_equal(plan.counts[k], counts[k]);
    }
    struct hd_iter_gen *gen = generator(&spec);
    new_number = 0;
    run(gen, 0.5);
    run(gen, 0.1); /* half of the rung goes on from 1 to 2 */
    struct taken next = take(gen);
    assert_int_equal(next.slot.kind, HD_SLOT_PROMOTE);
    assert_true(next.slot.budget == 2);
    hd_iter_gen_free(gen);
}

static void whole_budgets_are_rounded(void **state)
{
    (void)state;
    struct hd_iter_gen_spec spec = spec_of("hyperband", 1, 100, 3);
    spec.budget_integer = true;
    struct hd_bracket_plan plan;
    hd_iter_gen_plan(&spec, 0, &plan);
    static const double budgets[] = {1, 4, 11, 33, 100};
    assert_int_equal(plan.rung_count, 5);
    for (uint32_t k = 0; k < 5; k++)
        assert_true(plan.budgets[k] == budgets[k]);
}

static void a_table_is_run_as_written(void **state)
{
    (void)state;
    struct hd_iter_gen_spec spec = spec_of("hyperband", 1, 9, 3);
    spec.table_count = 2;
    spec.table[0] = (struct hd_bracket_row){2, {4, 2}, {1, 9}};
    spec.table[1] = (struct hd_bracket_row){1, {3}, {9}};
    spec.iterations_max = 3;
    assert_int_equal(hd_iter_gen_cycle(&spec), 2);
    struct hd_iter_gen *gen = generator(&spec);
    uint32_t jobs[2] = {0};
    struct hd_slot slot;
    new_number = 0;
    for (hd_iter_gen_next(gen, true, &slot); slot.kind != HD_SLOT_DONE;
         hd_iter_gen_next(gen, true, &slot))
        jobs[run(gen, 0.5).slot.budget == 9 ? 1 : 0]++;
    assert_int_equal(jobs[0], 8);
    assert_int_equal(jobs[1], 7);
    hd_iter_gen_free(gen);
}

/* ---- early stops ---------------------------------------------------------------------------- */

static void the_stopping_type_ends_what_is_not_among_the_best(void **state)
{
    (void)state;
    struct hd_iter_gen_spec spec = spec_of("asha", 1, 9, 3);
    spec.type = HD_ASHA_TYPE_STOPPING;
    struct hd_iter_gen *gen = generator(&spec);
    static const struct {
        double loss;
        enum hd_decision decision;
    } rows[] = {{0.5, HD_DECISION_CONTINUE}, /* fewer than eta: no judgement */
                {0.6, HD_DECISION_CONTINUE},  {0.7, HD_DECISION_STOP},
                {0.4, HD_DECISION_CONTINUE}, /* best of four */
                {0.45, HD_DECISION_CONTINUE}, {0.46, HD_DECISION_STOP},
                {NAN, HD_DECISION_STOP}};
    new_number = 0;
    for (size_t i = 0; i < HD_COUNT(rows); i++) {
        struct taken taken = take(gen);
        assert_true(taken.slot.budget == 9);
        assert_false(report(gen, &taken, 0.5, 0.0).milestone);
        struct hd_report_answer answer = report(gen, &taken, 1.5, rows[i].loss);
        assert_true(answer.milestone && answer.budget == 1);
        assert_int_equal(answer.decision, rows[i].decision);
        answer = report(gen, &taken, 2, 0.0);
        assert_false(answer.milestone);
        assert_int_equal(answer.decision, rows[i].decision);
        end(gen, &taken, rows[i].decision == HD_DECISION_CONTINUE, 0.3);
    }
    hd_iter_gen_free(gen);
}

static void the_median_rule_stops_the_worse_half(void **state)
{
    (void)state;
    struct hd_iter_gen_spec spec = spec_of("full", 1, 27, 3);
    spec.early_stopping =
        (struct hd_early_stopping){.rule = HD_STOPPING_RULE_MEDIAN, .grace = 3, .curves_min = 3};
    struct hd_iter_gen *gen = generator(&spec);
    static const struct {
        double loss;
        enum hd_decision decision;
    } rows[] = {{5, HD_DECISION_CONTINUE}, {3, HD_DECISION_CONTINUE}, {4, HD_DECISION_CONTINUE},
                {4, HD_DECISION_CONTINUE}, {6, HD_DECISION_STOP},     {1, HD_DECISION_CONTINUE}};
    new_number = 0;
    for (size_t i = 0; i < HD_COUNT(rows); i++) {
        struct taken taken = take(gen);
        assert_int_equal(report(gen, &taken, 1, 100).decision, HD_DECISION_CONTINUE);
        struct hd_report_answer answer = report(gen, &taken, 3, rows[i].loss);
        assert_int_equal(answer.decision, rows[i].decision);
        /* The sampler hears of the decision, once. */
        assert_int_equal(answer.milestone, rows[i].decision == HD_DECISION_STOP);
        if (answer.decision == HD_DECISION_STOP)
            assert_true(answer.budget == 3);
        answer = report(gen, &taken, 4, 0);
        assert_int_equal(answer.decision, rows[i].decision);
        assert_false(answer.milestone);
        end(gen, &taken, answer.decision == HD_DECISION_CONTINUE, rows[i].loss);
    }
    hd_iter_gen_free(gen);
}

/* An incumbent of 0.2; then curves at 8, 16 of 64: who gained enough may go on. */
static void the_curve_rule_stops_the_hopeless(void **state)
{
    (void)state;
    static const struct {
        double at_8, at_16;
        enum hd_decision decision;
    } rows[] = {{0.9, 0.88, HD_DECISION_STOP},
                {0.9, 0.6, HD_DECISION_CONTINUE},
                {0.25, 0.24, HD_DECISION_STOP},
                {0.25, 0.22, HD_DECISION_CONTINUE},
                {0.3, 0.15, HD_DECISION_CONTINUE}};
    for (size_t i = 0; i < HD_COUNT(rows); i++) {
        struct hd_iter_gen_spec spec = spec_of("full", 1, 64, 3);
        spec.early_stopping =
            (struct hd_early_stopping){.rule = HD_STOPPING_RULE_CURVE, .grace = 8, .optimism = 1};
        struct hd_iter_gen *gen = generator(&spec);
        new_number = 0;
        struct taken blind = take(gen); /* nothing to beat yet */
        (void)report(gen, &blind, 8, 0.9);
        assert_int_equal(report(gen, &blind, 16, 0.9).decision, HD_DECISION_CONTINUE);
        end(gen, &blind, true, 0.2);
        struct taken taken = take(gen);
        assert_int_equal(report(gen, &taken, 8, rows[i].at_8).decision, HD_DECISION_CONTINUE);
        assert_int_equal(report(gen, &taken, 16, rows[i].at_16).decision, rows[i].decision);
        hd_iter_gen_free(gen);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_straggler_holds_nobody_up),
        cmocka_unit_test(a_failure_counts_in_its_rung_and_never_advances),
        cmocka_unit_test(delayed_promotion_keeps_the_ratio),
        cmocka_unit_test(the_best_one_reaches_the_top_at_last),
        cmocka_unit_test(no_config_goes_on_before_the_opening_is_full),
        cmocka_unit_test(an_opening_is_restored_by_its_calls),
        cmocka_unit_test(many_workers_begin_further_up),
        cmocka_unit_test(few_workers_begin_at_the_lowest_rung),
        cmocka_unit_test(an_opening_ends_with_the_new_configs),
        cmocka_unit_test(an_opening_waits_for_promotions),
        cmocka_unit_test(a_hundred_thousand_configs_are_no_matter),
        cmocka_unit_test(brackets_start_configs_by_their_weights),
        cmocka_unit_test(a_rung_that_predicts_the_top_gets_more_configs),
        cmocka_unit_test(an_uninformative_lowest_rung_is_left_out),
        cmocka_unit_test(own_rungs_set_budgets_and_shares),
        cmocka_unit_test(whole_budgets_are_rounded),
        cmocka_unit_test(a_table_is_run_as_written),
        cmocka_unit_test(the_stopping_type_ends_what_is_not_among_the_best),
        cmocka_unit_test(the_median_rule_stops_the_worse_half),
        cmocka_unit_test(the_curve_rule_stops_the_hopeless),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
