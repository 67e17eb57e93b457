/* SPDX-License-Identifier: Apache-2.0 */
/* test_objectives.c: samplers and generators under several objectives and constraints. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include <hd/iter_gen.h>
#include <hd/optimizer.h>
#include <hd/pareto.h>

#include "testlib.h"
#include "worth.h"

#define SEEDS 20
#define EVALUATIONS 160
#define LAG 4

/* ---- the order ------------------------------------------------------------------------------- */

static void test_order(void **state)
{
    /* Promise: feasible rows go first by non-dominated rank, the ends of a front and lonely rows
     * before crowded ones; then infeasible rows by violation; what is not finite is last. */
    (void)state;
    static const double losses[][2] = {
        {0.5, 0.5},  /* 0: a front with 1, 2, 3 */
        {0.0, 1.0},  /* 1: its end */
        {1.0, 0.0},  /* 2: its end */
        {0.45, 0.6}, /* 3: nearer to its neighbours than 0 */
        {0.9, 0.9},  /* 4: dominated */
        {0.0, 0.0},  /* 5: infeasible by 2 */
        {9.0, 9.0},  /* 6: infeasible by 1 */
        {NAN, 0.0},  /* 7 */
    };
    static const double violations[] = {0, 0, 0, 0, 0, 2, 1, 0};
    static const size_t wanted[] = {1, 2, 0, 3, 4, 6, 5, 7};
    struct hd_pareto_row rows[HD_COUNT(wanted)];
    for (size_t i = 0; i < HD_COUNT(wanted); i++)
        rows[i] = (struct hd_pareto_row){.losses = losses[i], .violation = violations[i]};
    hd_pareto_order(rows, HD_COUNT(wanted), 2);
    for (size_t i = 0; i < HD_COUNT(wanted); i++)
        assert_int_equal(rows[i].index, wanted[i]);
    assert_int_equal(rows[3].rank, 0);
    assert_int_equal(rows[4].rank, 1);
    assert_true(rows[5].rank < rows[6].rank && rows[6].rank < rows[7].rank);
}

/* ---- samplers -------------------------------------------------------------------------------- */

static const char numbers_json[] = "{\"a\":{\"type\":\"float\",\"low\":0,\"high\":1},"
                                   "\"b\":{\"type\":\"float\",\"low\":0,\"high\":1},"
                                   "\"c\":{\"type\":\"float\",\"low\":0,\"high\":1},"
                                   "\"d\":{\"type\":\"float\",\"low\":0,\"high\":1},"
                                   "\"e\":{\"type\":\"float\",\"low\":0,\"high\":1}}";

/* Zitzler, Deb and Thiele 2000, number 1: the front is where all params but the first are 0. */
static struct hd_score zdt1(const struct hd_space *space, const double *values)
{
    double g = 0;
    for (size_t i = 1; i < space->param_count; i++)
        g += values[i];
    g = 1 + 9 * g / (double)(space->param_count - 1);
    return (struct hd_score){.losses = {values[0], g * (1 - sqrt(values[0] / g))}};
}

static const char mixed_json[] =
    "{\"kind\":{\"type\":\"categorical\",\"choices\":[\"slow\",\"fast\",\"bad\"]},"
    "\"width\":{\"type\":\"int\",\"low\":1,\"high\":64,\"log\":true},"
    "\"rate\":{\"type\":\"float\",\"low\":0.0001,\"high\":1,\"log\":true},"
    "\"skip\":{\"type\":\"bool\"},"
    "\"depth\":{\"type\":\"int\",\"low\":1,\"high\":8,\"when\":{\"kind\":\"slow\"}},"
    "\"gate\":{\"type\":\"float\",\"low\":0,\"high\":1,\"when\":{\"kind\":\"fast\"}}}";

/* Error against cost over a conditional space; a cost above 3 is not allowed. */
static struct hd_score mixed(const struct hd_space *space, const double *values)
{
    (void)space;
    double off = fabs(log10(values[2]) + 2), size = log2(values[1]) / 6;
    double error = 0.3 * off + 0.8 * (1 - size) + (values[0] == 2 ? 1.5 : 0);
    double cost = 4 * size + (values[3] == 1 ? 0 : 0.5);
    if (values[0] == 0) {
        error += 0.1 * fabs(values[4] - 5) - 0.3;
        cost += 0.2 * values[4];
    } else if (values[0] == 1) {
        error += fabs(values[5] - 0.3);
    }
    return (struct hd_score){.losses = {error, cost}, .violation = cost > 3 ? cost - 3 : 0};
}

/* Three objectives: DTLZ2 (Deb, Thiele, Laumanns and Zitzler 2002). */
static struct hd_score dtlz2(const struct hd_space *space, const double *values)
{
    double g = 0, half_pi = acos(0);
    for (size_t i = 2; i < space->param_count; i++)
        g += (values[i] - 0.5) * (values[i] - 0.5);
    double a = cos(values[0] * half_pi), b = cos(values[1] * half_pi);
    return (struct hd_score){.losses = {(1 + g) * a * b, (1 + g) * a * sin(values[1] * half_pi),
                                        (1 + g) * sin(values[0] * half_pi)}};
}

struct problem {
    const char *name, *space;
    struct hd_score (*score)(const struct hd_space *space, const double *values);
    uint32_t objectives;
    bool constrained;
    double reference[3];
};
static const struct problem problems[] = {
    {"zdt1", numbers_json, zdt1, 2, false, {1.1, 7}},
    {"mixed", mixed_json, mixed, 2, true, {2.5, 3}},
    {"dtlz2", numbers_json, dtlz2, 3, false, {2, 2, 2}},
};

/* The hypervolume of the feasible results after so many evaluations. */
static double volume_of(const struct problem *problem, const char *sampler_name, uint64_t seed)
{
    struct hd_err err = {0};
    struct hd_space *space = hd_test_space_of(problem->space);
    struct hd_sampler *sampler = NULL;
    struct hd_sampler_spec spec = {.name = sampler_name,
                                   .seed = seed,
                                   .objective_count = problem->objectives,
                                   .constrained = problem->constrained};
    assert_hd_ok(hd_sampler_new(&spec, space, &sampler, &err));
    double losses[EVALUATIONS * 3], values[16], volume = 0;
    struct hd_score scores[EVALUATIONS];
    size_t feasible = 0;
    for (uint32_t i = 0; i < EVALUATIONS; i++) {
        assert_hd_ok(hd_sampler_suggest(sampler, i, 1, values, NULL, &err));
        assert_hd_ok(hd_sampler_add(sampler, i, values, &err));
        scores[i] = problem->score(space, values);
        if (i >= LAG)
            assert_hd_ok(hd_sampler_tell_score(sampler, i - LAG, 1, &scores[i - LAG], &err));
        if (scores[i].violation > 0)
            continue;
        memcpy(losses + feasible++ * problem->objectives, scores[i].losses,
               problem->objectives * sizeof(double));
    }
    assert_hd_ok(
        hd_hypervolume(losses, feasible, problem->objectives, problem->reference, &volume, &err));
    hd_sampler_free(sampler);
    hd_space_free(space);
    return volume;
}

static double compare_with_random(const struct problem *problem, const char *sampler_name)
{
    double own[SEEDS], random[SEEDS], own_mean = 0, random_mean = 0;
    for (uint64_t seed = 0; seed < SEEDS; seed++) {
        own[seed] = volume_of(problem, sampler_name, 100 + seed);
        random[seed] = volume_of(problem, "random", 100 + seed);
        own_mean += own[seed] / SEEDS;
        random_mean += random[seed] / SEEDS;
    }
    double z = hd_test_wilcoxon_z(random, own, SEEDS);
    print_message("# %-6s %-6s hypervolume %.4f, random %.4f, z %.1f\n", problem->name,
                  sampler_name, own_mean, random_mean, z);
    return z;
}

static void test_fronts_beat_random(void **state)
{
    /* Promise: on two and three objectives, over numbers and over a mixed conditional space with a
     * constraint, MOTPE and NSGA-II cover more volume than random search: one-sided Wilcoxon test
     * over 20 seeds at 0.001. */
    (void)state;
    static const char *const names[] = {"tpe", "nsga2"};
    for (size_t p = 0; p < HD_COUNT(problems); p++) {
        for (size_t i = 0; i < HD_COUNT(names); i++)
            assert_true(compare_with_random(&problems[p], names[i]) > 3.1);
    }
}

static void test_scalarised_beat_random(void **state)
{
    /* Promise: what ranks by drawn weights does so as well. */
    (void)state;
    static const char *const names[] = {"de", "cmaes"};
    for (size_t i = 0; i < HD_COUNT(names); i++)
        assert_true(compare_with_random(&problems[0], names[i]) > 3.1);
}

/* A history of two objectives and a constraint, with failures and results told twice. */
static void tell_something(struct hd_sampler *sampler, uint32_t count, struct hd_rng *rng)
{
    struct hd_err err = {0};
    struct hd_score score = {.losses = {hd_rng_double(rng), hd_rng_double(rng)}};
    if (hd_rng_below(rng, 3) == 0)
        score.violation = hd_rng_double(rng);
    if (hd_rng_below(rng, 9) == 0)
        score.losses[1] = NAN;
    double budget = (double)(1 + hd_rng_below(rng, 3));
    uint32_t number = (uint32_t)hd_rng_below(rng, count);
    assert_hd_ok(hd_sampler_tell_score(sampler, number, budget, &score, &err));
}

static void test_proposals_depend_on_history_alone(void **state)
{
    /* Promise: whoever was asked before, and however often, the same history gives the same config;
     * for every sampler under objectives, constraints and both. */
    (void)state;
    static const struct {
        uint32_t objectives;
        bool constrained;
    } kinds[] = {{1, true}, {2, false}, {3, true}};
    struct hd_err err = {0};
    struct hd_space *space = hd_test_space_of(mixed_json);
    const char *const *names = hd_sampler_names();
    for (size_t n = 0; names[n] != NULL; n++) {
        if (hd_streq(names[n], "grid"))
            continue; /* it wants a finite space */
        for (size_t k = 0; k < HD_COUNT(kinds); k++) {
            struct hd_sampler *samplers[2];
            struct hd_sampler_spec spec = {.name = names[n],
                                           .seed = 5,
                                           .objective_count = kinds[k].objectives,
                                           .constrained = kinds[k].constrained};
            double values[2][16];
            for (size_t s = 0; s < 2; s++) {
                struct hd_rng rng;
                assert_hd_ok(hd_sampler_new(&spec, space, &samplers[s], &err));
                hd_rng_seed(&rng, 7);
                for (uint32_t i = 0; i < 60; i++) {
                    if (s == 0 && i % 3 == 0)
                        assert_hd_ok(hd_sampler_suggest(samplers[s], i, 2, values[0], NULL, &err));
                    hd_space_sample(space, &rng, values[0]);
                    assert_hd_ok(hd_sampler_add(samplers[s], i, values[0], &err));
                    tell_something(samplers[s], i + 1, &rng);
                }
            }
            for (size_t s = 0; s < 2; s++)
                assert_hd_ok(hd_sampler_suggest(samplers[s], 70, 3, values[s], NULL, &err));
            if (!hd_config_equal(space, values[0], values[1]))
                fail_msg("sampler %s, %u objectives%s: another config", names[n],
                         kinds[k].objectives, kinds[k].constrained ? ", constrained" : "");
            hd_sampler_free(samplers[0]);
            hd_sampler_free(samplers[1]);
        }
    }
    hd_space_free(space);
}

static double distance(const double *values)
{
    return (values[0] - 0.1) * (values[0] - 0.1) + (values[1] - 0.1) * (values[1] - 0.1);
}

static void test_constraints_are_met(void **state)
{
    /* Promise: with the optimum outside of what is feasible, every model-based sampler ends nearer
     * to the best feasible point than random search does, over 20 seeds at 0.05. */
    (void)state;
    static const char *const names[] = {"tpe", "gp", "forest", "nsga2", "auto"};
    struct hd_space *space = hd_test_space_of("{\"x\":{\"type\":\"float\",\"low\":0,\"high\":1},"
                                              "\"y\":{\"type\":\"float\",\"low\":0,\"high\":1}}");
    for (size_t n = 0; n < HD_COUNT(names); n++) {
        double best[2][SEEDS];
        for (uint64_t seed = 0; seed < SEEDS; seed++) {
            for (size_t s = 0; s < 2; s++) {
                struct hd_err err = {0};
                struct hd_sampler *sampler = NULL;
                struct hd_sampler_spec spec = {
                    .name = s == 0 ? names[n] : "random", .seed = seed, .constrained = true};
                assert_hd_ok(hd_sampler_new(&spec, space, &sampler, &err));
                best[s][seed] = INFINITY;
                for (uint32_t i = 0; i < 60; i++) {
                    double values[2];
                    assert_hd_ok(hd_sampler_suggest(sampler, i, 1, values, NULL, &err));
                    assert_hd_ok(hd_sampler_add(sampler, i, values, &err));
                    double sum = values[0] + values[1];
                    struct hd_score score = {.losses = {distance(values)},
                                             .violation = sum < 0.8 ? 0.8 - sum : 0};
                    assert_hd_ok(hd_sampler_tell_score(sampler, i, 1, &score, &err));
                    if (score.violation <= 0)
                        best[s][seed] = fmin(best[s][seed], score.losses[0]);
                }
                hd_sampler_free(sampler);
            }
        }
        double z = hd_test_wilcoxon_z(best[0], best[1], SEEDS);
        print_message("# constrained %-6s z %.1f\n", names[n], z);
        assert_true(z > 1.645);
    }
    hd_space_free(space);
}

/* ---- generators ------------------------------------------------------------------------------ */

/* Runs all jobs of a generator, one after the other, and counts how often each config ran. */
static void run_all(struct hd_iter_gen *gen, const struct hd_score *scores, uint32_t count,
                    uint32_t *ret_jobs)
{
    struct hd_err err = {0};
    uint32_t configs = 0;
    for (;;) {
        struct hd_slot slot;
        assert_hd_ok(hd_iter_gen_reserve(gen, &err));
        hd_iter_gen_next(gen, true, &slot);
        if (slot.kind != HD_SLOT_NEW && slot.kind != HD_SLOT_PROMOTE)
            break;
        uint32_t config = slot.kind == HD_SLOT_NEW ? configs++ : slot.config_number;
        assert_true(config < count);
        hd_iter_gen_queued(gen, &slot, config);
        hd_iter_gen_ended_score(gen, slot.iteration, slot.rung, config, true, &scores[config]);
        ret_jobs[config]++;
    }
    assert_true(hd_iter_gen_finished(gen));
}

static void test_generators_promote_the_front(void **state)
{
    /* Promise: of nine configs the three that are feasible and dominated by none go on, whatever
     * the first loss says; synchronously and not. */
    (void)state;
    static const char *const names[] = {"successive_halving", "asha"};
    static const struct hd_score scores[9] = {
        {.losses = {5, 5}},
        {.losses = {1, 9}}, /* front */
        {.losses = {0, 0}, .violation = 0.5},
        {.losses = {2, 10}},
        {.losses = {4, 4}}, /* front */
        {.losses = {9, 1}}, /* front */
        {.losses = {6, 6}},
        {.losses = {10, 2}},
        {.losses = {0, 0}, .violation = 7},
    };
    static const bool front[9] = {false, true, false, false, true, true, false, false, false};
    for (size_t n = 0; n < HD_COUNT(names); n++) {
        struct hd_err err = {0};
        struct hd_iter_gen *gen = NULL;
        struct hd_iter_gen_spec spec = {.eta = 3,
                                        .budget_min = 1,
                                        .budget_max = 9,
                                        .iterations_max = 1,
                                        .objective_count = 2,
                                        .constrained = true};
        uint32_t jobs[9] = {0};
        (void)hd_copy_text(spec.name, sizeof(spec.name), names[n]);
        assert_hd_ok(hd_iter_gen_new(&spec, &gen, &err));
        run_all(gen, scores, 9, jobs);
        uint32_t top = 0;
        for (uint32_t i = 0; i < 9; i++) {
            if (n == 0)
                assert_int_equal(jobs[i] > 1, front[i]);
            else if (i != 0) /* the first was the best of the first three */
                assert_true(jobs[i] == 1 || front[i]);
            top += jobs[i] == 3 ? 1 : 0;
        }
        assert_int_equal(top, 1);
        hd_iter_gen_free(gen);
    }
}

static void test_early_stopping_wants_one_loss(void **state)
{
    /* Promise: rules that judge a loss on its way are refused with several objectives. */
    (void)state;
    struct hd_err err = {0};
    struct hd_iter_gen_spec spec = {.name = "full", .budget_max = 9, .objective_count = 2};
    spec.early_stopping.rule = HD_STOPPING_RULE_MEDIAN;
    assert_int_equal(hd_iter_gen_spec_check(&spec, &err), HD_E_INVALID);
    assert_non_null(strstr(err.text, "one loss"));
    spec.early_stopping.rule = HD_STOPPING_RULE_NONE;
    spec.objective_count = HD_OBJECTIVES_MAX + 1;
    assert_int_equal(hd_iter_gen_spec_check(&spec, &err), HD_E_LIMIT);
}

/* ---- ask and tell ---------------------------------------------------------------------------- */

static void test_front_of_an_optimizer(void **state)
{
    /* Promise: the front holds every feasible result that no other dominates, the best one is an
     * end of it, and a score that is not finite is a failure. */
    (void)state;
    struct hd_err err = {0};
    struct hd_space *space = hd_test_space_of("{\"x\":{\"type\":\"float\",\"low\":0,\"high\":1}}");
    struct hd_sampler_spec sampler = {
        .name = "random", .seed = 3, .objective_count = 2, .constrained = true};
    struct hd_iter_gen_spec gen = {.name = "full",
                                   .budget_max = 1,
                                   .iterations_max = 20,
                                   .objective_count = 2,
                                   .constrained = true};
    static const struct hd_score scores[] = {
        {.losses = {3, 3}, .violation = 0.1},
        {.losses = {2, 5}},
        {.losses = {1, NAN}},
        {.losses = {5, 1}},
        {.losses = {2.5, 6}},
        {.losses = {0, 0}, .violation = 2},
    };
    struct hd_optimizer *optimizer = NULL;
    struct hd_optimizer_best *front = NULL, best;
    size_t count = 7;
    assert_hd_ok(hd_optimizer_new(space, &sampler, &gen, &optimizer, &err));
    assert_hd_ok(hd_optimizer_front(optimizer, &front, &count, &err));
    assert_true(front == NULL && count == 0);
    for (uint32_t i = 0; i < HD_COUNT(scores); i++) {
        enum hd_ask_answer answer;
        struct hd_optimizer_job job;
        assert_hd_ok(hd_optimizer_ask(optimizer, &answer, &job, &err));
        assert_int_equal(answer, HD_ASK_ANSWER_JOB);
        assert_hd_ok(hd_optimizer_tell_score(optimizer, i, true, &scores[i], &err));
        assert_true(hd_optimizer_best(optimizer, &best));
        assert_int_equal(best.job_number, i == 0 ? 0 : 1);
    }
    assert_hd_ok(hd_optimizer_front(optimizer, &front, &count, &err));
    assert_int_equal(count, 2);
    assert_int_equal(front[0].job_number, 1);
    assert_int_equal(front[1].job_number, 3);
    assert_true(front[1].score.losses[1] == 1);
    hd_free(front);
    hd_optimizer_free(optimizer);
    hd_space_free(space);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_order),
        cmocka_unit_test(test_fronts_beat_random),
        cmocka_unit_test(test_scalarised_beat_random),
        cmocka_unit_test(test_proposals_depend_on_history_alone),
        cmocka_unit_test(test_constraints_are_met),
        cmocka_unit_test(test_generators_promote_the_front),
        cmocka_unit_test(test_early_stopping_wants_one_loss),
        cmocka_unit_test(test_front_of_an_optimizer),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
