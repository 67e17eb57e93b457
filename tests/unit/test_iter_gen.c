/* SPDX-License-Identifier: Apache-2.0 */
/* The arithmetic of brackets and the stories of single brackets; what every kind of generator
 * promises is in tests/contract/test_iter_gen.c. */
#include "testlib.h"

#include <hd/iter_gen.h>

#include <math.h>
#include <stdio.h>
#include <string.h>

static struct hd_err err;

static struct hd_iter_gen_spec spec_of(const char *name, double budget_min, double budget_max,
                                       double eta)
{
    struct hd_iter_gen_spec spec = {.eta = eta, .budget_min = budget_min, .budget_max = budget_max};
    assert_true(hd_copy_text(spec.name, sizeof(spec.name), name));
    return spec;
}

/* "27 9 3 1 | 9 3 1 | 6 2 | 4" for one cycle. */
static void counts_text(const struct hd_iter_gen_spec *spec, char *text, size_t size)
{
    struct hd_buf buf;
    hd_buf_init(&buf, size - 1);
    for (uint32_t i = 0; i < hd_iter_gen_cycle(spec); i++) {
        struct hd_bracket_plan plan;
        hd_iter_gen_plan(spec, i, &plan);
        if (i > 0)
            assert_hd_ok(hd_buf_puts(&buf, " |", &err));
        for (uint32_t rung = 0; rung < plan.rung_count; rung++)
            assert_hd_ok(hd_buf_printf(&buf, &err, buf.size > 0 ? " %u" : "%u", plan.counts[rung]));
    }
    assert_true(hd_copy_text(text, size, hd_buf_text(&buf)));
    hd_buf_release(&buf);
}

static void plans_are_those_of_hpbandster(void **state)
{
    (void)state;
    static const struct {
        double budget_min, budget_max, eta;
        const char *counts;
    } rows[] = {
        {1, 9, 3, "9 3 1 | 3 1 | 3"},
        {1, 27, 3, "27 9 3 1 | 9 3 1 | 6 2 | 4"},
        {1, 81, 3, "81 27 9 3 1 | 27 9 3 1 | 9 3 1 | 6 2 | 5"},
        {1, 243, 3, "243 81 27 9 3 1 | 81 27 9 3 1 | 27 9 3 1 | 18 6 2 | 9 3 | 6"},
        {3, 100, 3, "27 9 3 1 | 9 3 1 | 6 2 | 4"},
        {1, 64, 2, "64 32 16 8 4 2 1 | 32 16 8 4 2 1 | 16 8 4 2 1 | 8 4 2 1 | 8 4 2 | 6 3 | 7"},
        {0.25, 1, 2, "4 2 1 | 2 1 | 3"},
        {0.0625, 1, 4, "16 4 1 | 4 1 | 3"},
        {25, 100, 2, "4 2 1 | 2 1 | 3"},
        {1, 1, 3, "1"},
        {50, 100, 2, "2 1 | 2"},
        /* a range that eta does not divide, and an eta that is no integer */
        {1, 26.9, 3, "9 3 1 | 3 1 | 3"},
        {1, 6.25, 2.5, "6 2 1 | 2 1 | 3"},
        {1, 15.625, 2.5, "15 6 2 1 | 6 2 1 | 5 2 | 4"},
    };
    for (size_t i = 0; i < HD_COUNT(rows); i++) {
        struct hd_iter_gen_spec spec =
            spec_of("hyperband", rows[i].budget_min, rows[i].budget_max, rows[i].eta);
        char text[512];
        assert_hd_ok(hd_iter_gen_spec_check(&spec, &err));
        counts_text(&spec, text, sizeof(text));
        assert_string_equal(text, rows[i].counts);
    }
}

static void the_paper_rule_rounds_up(void **state)
{
    (void)state;
    struct hd_iter_gen_spec spec = spec_of("hyperband", 1, 81, 3);
    spec.rule = HD_BRACKET_RULE_PAPER;
    char text[512];
    counts_text(&spec, text, sizeof(text));
    assert_string_equal(text, "81 27 9 3 1 | 34 11 3 1 | 15 5 1 | 8 2 | 5");
    spec = spec_of("hyperband", 1, 15.625, 2.5);
    spec.rule = HD_BRACKET_RULE_PAPER;
    counts_text(&spec, text, sizeof(text));
    assert_string_equal(text, "16 6 2 1 | 9 3 1 | 5 2 | 4");
}

static void powers_and_logarithms_do_not_round(void **state)
{
    (void)state;
    static const struct {
        double budget_min, budget_max, eta;
        uint32_t rungs, rung, count; /* in the longest bracket */
    } rows[] = {
        {1, 343, 7, 4, 2, 7},        /* int(343 * 7**-2) gives 6 */
        {1, 2401, 7, 5, 2, 49},      /* gives 48 */
        {1, 4782969, 9, 8, 3, 6561}, /* gives 6560 */
        {0.1, 2.7, 3, 4, 0, 27},     /* 0.1 * 27 > 2.7 in binary */
        {0.1, 0.3, 3, 2, 0, 3},      {1e-3, 1, 10, 4, 0, 1000}, {1e-300, 1e-298, 10, 3, 0, 100},
    };
    for (size_t i = 0; i < HD_COUNT(rows); i++) {
        struct hd_iter_gen_spec spec =
            spec_of("successive_halving", rows[i].budget_min, rows[i].budget_max, rows[i].eta);
        struct hd_bracket_plan plan;
        assert_hd_ok(hd_iter_gen_spec_check(&spec, &err));
        hd_iter_gen_plan(&spec, 0, &plan);
        assert_int_equal(plan.rung_count, rows[i].rungs);
        assert_int_equal(plan.counts[rows[i].rung], rows[i].count);
    }
    /* log(6^12) / log(6) truncates to 11 with doubles; only the rung count is looked at, as the
     * bracket itself is beyond the limit of configs. */
    struct hd_iter_gen_spec spec = spec_of("hyperband", 1, 2176782336.0, 6);
    assert_int_equal(hd_iter_gen_cycle(&spec), 13);
}

static void budgets_hang_from_the_maximum(void **state)
{
    (void)state;
    struct hd_bracket_plan plan;
    struct hd_iter_gen_spec spec = spec_of("hyperband", 3, 100, 3);
    hd_iter_gen_plan(&spec, 0, &plan);
    assert_true(plan.budgets[0] == 100.0 / 27 && plan.budgets[1] == 100.0 / 9);
    assert_true(plan.budgets[2] == 100.0 / 3 && plan.budgets[3] == 100.0);
    hd_iter_gen_plan(&spec, 2, &plan);
    assert_true(plan.rung_count == 2 && plan.budgets[0] == 100.0 / 3 && plan.budgets[1] == 100.0);
    /* the next cycle is the first again */
    hd_iter_gen_plan(&spec, 4, &plan);
    assert_int_equal(plan.counts[0], 27);
    /* the person's own number comes back, whatever the division says */
    spec = spec_of("successive_halving", 0.1, 2.7, 3);
    hd_iter_gen_plan(&spec, 0, &plan);
    assert_true(plan.budgets[0] == 0.1 && plan.budgets[3] == 2.7);
    spec = spec_of("full", 1, 27, 3);
    hd_iter_gen_plan(&spec, 5, &plan);
    assert_true(plan.rung_count == 1 && plan.counts[0] == 1 && plan.budgets[0] == 27.0);
}

static void job_totals_are_the_published_ones(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        double budget_min, budget_max, eta;
        uint32_t iterations, jobs;
    } rows[] = {
        {"hyperband", 1, 27, 3, 4, 65},
        {"hyperband", 0.0625, 1, 4, 3, 29},
        {"hyperband", 0.0625, 1, 4, 5, 55},
        {"hyperband", 0.25, 1, 2, 20, 88},
        {"successive_halving", 0.0625, 1, 4, 3, 63},
        {"successive_halving", 0.0625, 1, 4, 5, 105},
        {"full", 1, 27, 3, 7, 7},
    };
    for (size_t i = 0; i < HD_COUNT(rows); i++) {
        struct hd_iter_gen_spec spec =
            spec_of(rows[i].name, rows[i].budget_min, rows[i].budget_max, rows[i].eta);
        uint32_t jobs = 0;
        for (uint32_t iteration = 0; iteration < rows[i].iterations; iteration++) {
            struct hd_bracket_plan plan;
            hd_iter_gen_plan(&spec, iteration, &plan);
            for (uint32_t rung = 0; rung < plan.rung_count; rung++)
                jobs += plan.counts[rung];
        }
        assert_int_equal(jobs, rows[i].jobs);
    }
}

static void wrong_specs_are_refused_with_the_reason(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        double budget_min, budget_max, eta;
        enum hd_code code;
        const char *part;
    } rows[] = {
        {"hyperbandd", 1, 27, 3, HD_E_INVALID, "did you mean \"hyperband\""},
        {"xyz", 1, 27, 3, HD_E_INVALID, "successive_halving"},
        {"hyperband", 1, 27, 1.5, HD_E_INVALID, "eta is 1.5"},
        {"hyperband", 1, 27, NAN, HD_E_INVALID, "eta is NaN"},
        {"hyperband", 1, 27, INFINITY, HD_E_INVALID, "eta is Infinity"},
        {"hyperband", 28, 27, 3, HD_E_INVALID, "28 is above the maximum budget 27"},
        {"hyperband", 0, 27, 3, HD_E_INVALID, "minimum budget is 0"},
        {"hyperband", -1, 27, 3, HD_E_INVALID, "minimum budget is -1"},
        {"hyperband", NAN, 27, 3, HD_E_INVALID, "minimum budget is NaN"},
        {"hyperband", 1, INFINITY, 3, HD_E_INVALID, "maximum budget is Infinity"},
        {"full", 1, 0, 3, HD_E_INVALID, "maximum budget is 0"},
        {"hyperband", 1e-300, 1, 2, HD_E_LIMIT, "more than 64 rungs"},
        {"hyperband", 1, 1.7976931348623157e308, 2, HD_E_LIMIT, "more than 64 rungs"},
        {"hyperband", 1, 2176782336.0, 6, HD_E_LIMIT, "2176782336 configs"},
    };
    for (size_t i = 0; i < HD_COUNT(rows); i++) {
        struct hd_iter_gen_spec spec =
            spec_of(rows[i].name, rows[i].budget_min, rows[i].budget_max, rows[i].eta);
        assert_hd_fails(hd_iter_gen_spec_check(&spec, &err), rows[i].code, rows[i].part);
    }
    struct hd_iter_gen_spec spec = spec_of("hyperband", 1, 27, 3);
    spec.rule = (enum hd_bracket_rule)7;
    assert_hd_fails(hd_iter_gen_spec_check(&spec, &err), HD_E_INVALID, "rule 7");
}

/* ---- stories --------------------------------------------------------------------------- */

struct story {
    struct hd_iter_gen *gen;
    uint32_t config_count;
    char taken[2048]; /* ids in the order in which they were handed out */
};

static void story_open(struct story *story, const struct hd_iter_gen_spec *spec)
{
    *story = (struct story){0};
    assert_hd_ok(hd_iter_gen_new(spec, &story->gen, &err));
}

/* Takes the next slot, which must be of that kind; returns its config number. */
static uint32_t story_take(struct story *story, enum hd_slot_kind kind, struct hd_slot *ret_slot)
{
    char id[64];
    hd_iter_gen_next(story->gen, true, ret_slot);
    assert_int_equal(ret_slot->kind, kind);
    assert_hd_ok(hd_iter_gen_reserve(story->gen, &err));
    uint32_t number = kind == HD_SLOT_NEW ? story->config_count++ : ret_slot->config_number;
    hd_iter_gen_queued(story->gen, ret_slot, number);
    snprintf(id, sizeof(id), "%s[%u,%u,%u]@%g", story->taken[0] != '\0' ? " " : "",
             ret_slot->id.iteration, ret_slot->id.budget_index, ret_slot->id.running_index,
             ret_slot->budget);
    assert_true(strlen(story->taken) + strlen(id) < sizeof(story->taken));
    strncat(story->taken, id, sizeof(story->taken) - strlen(story->taken) - 1);
    return number;
}

/* Runs iteration 0 of [9,3,1] one job at a time; config number n fails when bit n is set. */
static void story_fail(struct story *story, uint32_t fail_mask)
{
    struct hd_iter_gen_spec spec = spec_of("successive_halving", 1, 9, 3);
    spec.iterations_max = 1;
    story_open(story, &spec);
    for (uint32_t job = 0; job < 13; job++) {
        struct hd_slot slot;
        hd_iter_gen_next(story->gen, true, &slot);
        uint32_t number = story_take(story, slot.kind, &slot);
        bool ok = (fail_mask >> number & 1) == 0;
        hd_iter_gen_ended(story->gen, slot.iteration, slot.rung, number, ok, 10.0 - number);
    }
    assert_true(hd_iter_gen_finished(story->gen));
    hd_iter_gen_free(story->gen);
}

static void failed_slots_are_refilled_with_the_reference_ids(void **state)
{
    (void)state;
    struct story story;
    story_fail(&story, 0xff); /* configs 0..7 of rung 0 fail */
    assert_string_equal(story.taken,
                        "[0,0,0]@1 [0,0,1]@1 [0,0,2]@1 [0,0,3]@1 [0,0,4]@1 [0,0,5]@1 [0,0,6]@1 "
                        "[0,0,7]@1 [0,0,8]@1 [0,0,8]@3 [0,1,1]@3 [0,1,2]@3 [0,1,2]@9");
    story_fail(&story, 0xffffffff);
    assert_string_equal(story.taken,
                        "[0,0,0]@1 [0,0,1]@1 [0,0,2]@1 [0,0,3]@1 [0,0,4]@1 [0,0,5]@1 [0,0,6]@1 "
                        "[0,0,7]@1 [0,0,8]@1 [0,1,0]@3 [0,1,1]@3 [0,1,2]@3 [0,2,0]@9");
    story_fail(&story, 0); /* later configs are better: the best lead */
    assert_string_equal(story.taken,
                        "[0,0,0]@1 [0,0,1]@1 [0,0,2]@1 [0,0,3]@1 [0,0,4]@1 [0,0,5]@1 [0,0,6]@1 "
                        "[0,0,7]@1 [0,0,8]@1 [0,0,8]@3 [0,0,7]@3 [0,0,6]@3 [0,0,8]@9");
}

static void ties_are_broken_by_config_id_whatever_the_order_of_results(void **state)
{
    (void)state;
    struct hd_iter_gen_spec spec = spec_of("successive_halving", 1, 9, 3);
    struct story story;
    struct hd_slot slot;
    story_open(&story, &spec);
    for (int i = 0; i < 9; i++)
        story_take(&story, HD_SLOT_NEW, &slot);
    for (uint32_t i = 9; i-- > 0;)
        hd_iter_gen_ended(story.gen, 0, 0, i, true, i == 4 ? -1.0 : 0.5);
    story.taken[0] = '\0';
    for (int i = 0; i < 3; i++)
        story_take(&story, HD_SLOT_PROMOTE, &slot);
    assert_string_equal(story.taken, "[0,0,4]@3 [0,0,0]@3 [0,0,1]@3");
    assert_true(slot.budget_previous == 1.0);
    hd_iter_gen_free(story.gen);
}

static void nan_and_infinite_losses_never_advance(void **state)
{
    (void)state;
    static const double losses[9] = {NAN, INFINITY, -INFINITY, 3, NAN, 2, NAN, 1, 0};
    struct hd_iter_gen_spec spec = spec_of("successive_halving", 1, 9, 3);
    struct story story;
    struct hd_slot slot;
    story_open(&story, &spec);
    for (int i = 0; i < 9; i++)
        story_take(&story, HD_SLOT_NEW, &slot);
    for (uint32_t i = 0; i < 9; i++)
        hd_iter_gen_ended(story.gen, 0, 0, i, i != 8, losses[i]); /* 8: failed, with a loss */
    story.taken[0] = '\0';
    for (int i = 0; i < 3; i++)
        story_take(&story, HD_SLOT_PROMOTE, &slot);
    assert_string_equal(story.taken, "[0,0,7]@3 [0,0,5]@3 [0,0,3]@3");
    hd_iter_gen_free(story.gen);
}

static void the_next_bracket_starts_while_one_waits_and_the_older_goes_first(void **state)
{
    (void)state;
    struct hd_iter_gen_spec spec = spec_of("hyperband", 1, 9, 3);
    struct story story;
    struct hd_slot slot;
    story_open(&story, &spec);
    hd_iter_gen_next(story.gen, false, &slot);
    assert_int_equal(slot.kind, HD_SLOT_WAIT); /* nothing is open and nothing may be opened */
    for (int i = 0; i < 9; i++)
        story_take(&story, HD_SLOT_NEW, &slot);
    hd_iter_gen_next(story.gen, false, &slot);
    assert_int_equal(slot.kind, HD_SLOT_WAIT);
    story_take(&story, HD_SLOT_NEW, &slot);
    assert_int_equal(slot.iteration, 1);
    assert_true(slot.budget == 3.0 && isnan(slot.budget_previous));
    for (uint32_t i = 0; i < 9; i++)
        hd_iter_gen_ended(story.gen, 0, 0, i, true, 0.0);
    story_take(&story, HD_SLOT_PROMOTE, &slot);
    assert_int_equal(slot.iteration, 0);
    hd_iter_gen_free(story.gen);
}

static void closing_hands_out_nothing_and_closing_new_still_promotes(void **state)
{
    (void)state;
    struct hd_iter_gen_spec spec = spec_of("successive_halving", 1, 9, 3);
    for (int mild = 0; mild < 2; mild++) {
        struct story story;
        struct hd_slot slot;
        story_open(&story, &spec);
        for (int i = 0; i < 5; i++)
            story_take(&story, HD_SLOT_NEW, &slot);
        for (uint32_t i = 0; i < 4; i++)
            hd_iter_gen_ended(story.gen, 0, 0, i, i < 2, (double)i);
        if (mild)
            hd_iter_gen_close_new(story.gen);
        else
            hd_iter_gen_close(story.gen);
        hd_iter_gen_next(story.gen, true, &slot);
        assert_int_equal(slot.kind, mild ? HD_SLOT_WAIT : HD_SLOT_DONE);
        assert_false(hd_iter_gen_finished(story.gen)); /* config 4 is still running */
        hd_iter_gen_ended(story.gen, 0, 0, 4, false, NAN);
        assert_int_equal(hd_iter_gen_finished(story.gen), !mild);
        if (mild) { /* two survivors where three are wanted, then the better one */
            story_take(&story, HD_SLOT_PROMOTE, &slot);
            story_take(&story, HD_SLOT_PROMOTE, &slot);
            hd_iter_gen_next(story.gen, true, &slot);
            assert_int_equal(slot.kind, HD_SLOT_WAIT);
            hd_iter_gen_ended(story.gen, 0, 1, 0, true, 2.0);
            hd_iter_gen_ended(story.gen, 0, 1, 1, true, 1.0);
            assert_int_equal(story_take(&story, HD_SLOT_PROMOTE, &slot), 1);
            hd_iter_gen_ended(story.gen, 0, 2, 1, true, 1.0);
        }
        assert_true(hd_iter_gen_finished(story.gen));
        hd_iter_gen_next(story.gen, true, &slot);
        assert_int_equal(slot.kind, HD_SLOT_DONE);
        hd_iter_gen_free(story.gen);
    }
}

static void closing_an_idle_bracket_finishes_it_at_once(void **state)
{
    (void)state;
    struct hd_iter_gen_spec spec = spec_of("successive_halving", 1, 9, 3);
    for (int mild = 0; mild < 2; mild++) {
        struct story story;
        struct hd_slot slot;
        story_open(&story, &spec);
        story_take(&story, HD_SLOT_NEW, &slot);
        hd_iter_gen_ended(story.gen, 0, 0, 0, false, NAN);
        if (mild)
            hd_iter_gen_close_new(story.gen);
        else
            hd_iter_gen_close(story.gen);
        assert_true(hd_iter_gen_finished(story.gen));
        hd_iter_gen_free(story.gen);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(plans_are_those_of_hpbandster),
        cmocka_unit_test(the_paper_rule_rounds_up),
        cmocka_unit_test(powers_and_logarithms_do_not_round),
        cmocka_unit_test(budgets_hang_from_the_maximum),
        cmocka_unit_test(job_totals_are_the_published_ones),
        cmocka_unit_test(wrong_specs_are_refused_with_the_reason),
        cmocka_unit_test(failed_slots_are_refilled_with_the_reference_ids),
        cmocka_unit_test(ties_are_broken_by_config_id_whatever_the_order_of_results),
        cmocka_unit_test(nan_and_infinite_losses_never_advance),
        cmocka_unit_test(the_next_bracket_starts_while_one_waits_and_the_older_goes_first),
        cmocka_unit_test(closing_hands_out_nothing_and_closing_new_still_promotes),
        cmocka_unit_test(closing_an_idle_bracket_finishes_it_at_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
