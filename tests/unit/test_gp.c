/* SPDX-License-Identifier: Apache-2.0 */
/* test_gp.c: the Gaussian process against its definition, and that its sampler is worth having. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "testlib.h"

#include "../../optimizer/sampler/gp_data.h"
#include "../../optimizer/sampler/gp_search.h"

#include <hd/sampler.h>

#define WIDTH 4
#define COUNT 37

static const struct hd_gp_feature features[WIDTH] = {
    {HD_GP_NUMBER, 0}, {HD_GP_NUMBER, 1}, {HD_GP_CHOICE, 2}, {HD_GP_NUMBER, 1}};
static const struct hd_gp_shape shape = {features, WIDTH, 3};

struct sample {
    double points[COUNT * WIDTH], fidelities[COUNT], targets[COUNT];
};

static double smooth(const double *point)
{
    return sin(3 * point[0]) + point[1] * point[3] + (point[2] > 0.5 ? 0.3 : 0);
}

static struct hd_gp_data fill(struct sample *sample, bool gapped)
{
    struct hd_rng rng;
    hd_rng_seed(&rng, 7);
    for (int i = 0; i < COUNT; i++) {
        double *point = sample->points + (size_t)i * WIDTH;
        for (int f = 0; f < WIDTH; f++)
            point[f] = hd_rng_double(&rng);
        point[2] = floor(3 * point[2]) / 2;
        sample->fidelities[i] = gapped ? (double)hd_rng_below(&rng, 4) / 3 : 1;
        sample->targets[i] = smooth(point) + 2 * (1 - sample->fidelities[i]);
    }
    return (struct hd_gp_data){sample->points, sample->fidelities, sample->targets, COUNT};
}

static struct hd_gp *model_of(uint32_t points_max)
{
    struct hd_err err = {0};
    struct hd_gp *gp = NULL;
    assert_hd_ok(hd_gp_new(&shape, points_max, &gp, &err));
    return gp;
}

static void test_it_interpolates(void **state)
{
    /* Promise: with little noise the mean goes through the targets and the deviation is small
     * there, and large far away; a pending point narrows the deviation and moves no mean. */
    (void)state;
    static struct sample sample;
    struct hd_gp_data data = fill(&sample, false);
    double hyper[3 + HD_GP_TAIL_COUNT], means[COUNT], deviations[COUNT];
    struct hd_gp *gp = model_of(COUNT + 1);
    hd_gp_hyper_default(&shape, hyper);
    hyper[3 + HD_GP_NOISE] = log(1e-8);
    hd_gp_set_hyper(gp, hyper);
    hd_gp_append(gp, data.points, data.fidelities, COUNT);
    hd_gp_set_targets(gp, data.targets, COUNT);
    hd_gp_predict(gp, data.points, COUNT, means, deviations);
    for (int i = 0; i < COUNT; i++) {
        assert_true(fabs(means[i] - data.targets[i]) < 1e-3);
        assert_true(deviations[i] < 1e-3);
    }
    double far[WIDTH] = {8, 9, 7, 9}, one = 1, mean, deviation, again, narrow;
    hd_gp_predict(gp, far, 1, &mean, &deviation);
    assert_true(deviation > 0.9);
    hd_gp_append(gp, far, &one, 1);
    hd_gp_set_targets(gp, data.targets, COUNT);
    hd_gp_predict(gp, far, 1, &again, &narrow);
    assert_true(narrow < 1e-3);
    assert_true(again == mean);
    hd_gp_free(gp);
}

static void test_appending_is_refactoring(void **state)
{
    /* Promise: predictions are the same, bit for bit, whether points came at once, one by one, or
     * after others were taken back. */
    (void)state;
    static struct sample sample;
    struct hd_gp_data data = fill(&sample, true);
    struct hd_gp *at_once = model_of(COUNT), *one_by_one = model_of(COUNT + 9);
    double expected[2 * COUNT], got[2 * COUNT];
    hd_gp_append(at_once, data.points, data.fidelities, COUNT);
    hd_gp_set_targets(at_once, data.targets, COUNT);
    hd_gp_predict(at_once, data.points, COUNT, expected, expected + COUNT);
    for (uint32_t i = 0; i < COUNT; i++) {
        hd_gp_append(one_by_one, data.points, data.fidelities, 5);
        hd_gp_truncate(one_by_one, i);
        hd_gp_append(one_by_one, data.points + (size_t)i * WIDTH, data.fidelities + i, 1);
    }
    hd_gp_set_targets(one_by_one, data.targets, COUNT);
    hd_gp_predict(one_by_one, data.points, COUNT, got, got + COUNT);
    assert_memory_equal(expected, got, sizeof(got));
    hd_gp_free(at_once);
    hd_gp_free(one_by_one);
}

static void test_own_means_are_predictions(void **state)
{
    /* Promise: what is said of the points that have targets, of full fidelity and of others, is
     * what would be predicted there. */
    (void)state;
    static struct sample sample;
    struct hd_gp_data data = fill(&sample, true);
    struct hd_gp *gp = model_of(COUNT);
    double means[COUNT], predicted[COUNT], bounds[COUNT];
    hd_gp_append(gp, data.points, data.fidelities, COUNT);
    hd_gp_set_targets(gp, data.targets, COUNT - 5);
    hd_gp_own_means(gp, data.points, means);
    hd_gp_predict_mean(gp, data.points, COUNT - 5, predicted, bounds);
    for (int i = 0; i < COUNT - 5; i++)
        assert_true(fabs(means[i] - predicted[i]) < 1e-9);
    hd_gp_free(gp);
}

/* The same quantities by Gauss-Jordan elimination. */
static void reference(const struct hd_gp_data *data, const double *hyper, double *ret_value)
{
    static double k[COUNT][COUNT + 1];
    double log_determinant = 0, value = 0, solution[COUNT];
    double v = exp(hyper[3 + HD_GP_GAP_DECAY]);
    for (int i = 0; i < COUNT; i++) {
        for (int j = 0; j < COUNT; j++) {
            double square = 0, e[2];
            const double *a = data->points + (size_t)i * WIDTH,
                         *b = data->points + (size_t)j * WIDTH;
            for (int f = 0; f < WIDTH; f++) {
                double offset = f == 2 ? (a[f] != b[f] ? 1.0 : 0.0) : a[f] - b[f];
                square += offset * offset * exp(-2 * hyper[features[f].scale]);
            }
            e[0] = (exp(-v * data->fidelities[i]) - exp(-v)) / (1 - exp(-v));
            e[1] = (exp(-v * data->fidelities[j]) - exp(-v)) / (1 - exp(-v));
            double r = sqrt(5 * square), matern = (1 + r + r * r / 3) * exp(-r);
            k[i][j] = 1 + exp(hyper[3 + HD_GP_SIGNAL]) * matern +
                      e[0] * e[1] * (1 + exp(hyper[3 + HD_GP_GAP_SIGNAL]) * matern);
            if (i == j)
                k[i][j] +=
                    exp(hyper[3 + HD_GP_NOISE]) + e[0] * e[0] * exp(hyper[3 + HD_GP_GAP_NOISE]);
        }
        k[i][COUNT] = data->targets[i];
    }
    for (int i = 0; i < COUNT; i++) {
        log_determinant += log(k[i][i]);
        for (int row = i + 1; row < COUNT; row++) {
            double factor = k[row][i] / k[i][i];
            for (int j = i; j <= COUNT; j++)
                k[row][j] -= factor * k[i][j];
        }
    }
    for (int i = COUNT - 1; i >= 0; i--) {
        solution[i] = k[i][COUNT];
        for (int j = i + 1; j < COUNT; j++)
            solution[i] -= k[i][j] * solution[j];
        solution[i] /= k[i][i];
        value += data->targets[i] * solution[i] / 2;
    }
    *ret_value = value + log_determinant / 2 + COUNT * log(2 * acos(-1.0)) / 2;
}

static void test_the_objective_is_the_likelihood(void **state)
{
    /* Promise: differences of the objective are those of the textbook's likelihood and the priors'
     * densities; its gradient is that of finite differences. */
    (void)state;
    static struct sample sample;
    struct hd_gp_data data = fill(&sample, true);
    struct hd_err err = {0};
    enum { HYPERS = 3 + HD_GP_TAIL_COUNT };
    double mode[HYPERS], hyper[HYPERS], gradient[HYPERS], at_mode, value, expected;
    hd_gp_hyper_default(&shape, mode);
    assert_hd_ok(hd_gp_objective(&shape, &data, mode, &at_mode, NULL, &err));
    reference(&data, mode, &expected);
    assert_true(fabs(at_mode - expected) < 1e-8 * fabs(expected)); /* the priors are 0 there */
    for (int i = 0; i < HYPERS; i++)
        hyper[i] = mode[i] + 0.3 - 0.1 * (i % 5);
    assert_hd_ok(hd_gp_objective(&shape, &data, hyper, &value, gradient, &err));
    for (int i = 0; i < HYPERS; i++) {
        double kept = hyper[i], up, down;
        hyper[i] = kept + 1e-5;
        assert_hd_ok(hd_gp_objective(&shape, &data, hyper, &up, NULL, &err));
        hyper[i] = kept - 1e-5;
        assert_hd_ok(hd_gp_objective(&shape, &data, hyper, &down, NULL, &err));
        hyper[i] = kept;
        assert_true(fabs((up - down) / 2e-5 - gradient[i]) < 1e-4 * (1 + fabs(gradient[i])));
    }
    double fitted[HYPERS], best;
    assert_hd_ok(hd_gp_fit(&shape, &data, 30, fitted, &err));
    assert_hd_ok(hd_gp_objective(&shape, &data, fitted, &best, NULL, &err));
    assert_true(best < at_mode - 1 && best < value);
}

static void test_functions_of_one_kernel_add_up(void **state)
{
    /* Promise: the objective of several functions is the sum of theirs, and so is its gradient. */
    (void)state;
    static struct sample sample;
    static double targets[2 * COUNT];
    struct hd_gp_data data = fill(&sample, true);
    struct hd_err err = {0};
    enum { HYPERS = 3 + HD_GP_TAIL_COUNT };
    double mode[HYPERS], parts[3], gradients[3][HYPERS];
    hd_gp_hyper_default(&shape, mode); /* the priors are flat there */
    for (int i = 0; i < COUNT; i++) {
        targets[i] = data.targets[i];
        targets[COUNT + i] = cos(5 * data.points[(size_t)i * WIDTH]);
    }
    for (uint32_t i = 0; i < 3; i++) {
        data.targets = i == 1 ? targets + COUNT : targets;
        data.function_count = i == 2 ? 2 : 1;
        assert_hd_ok(hd_gp_objective(&shape, &data, mode, &parts[i], gradients[i], &err));
    }
    assert_true(fabs(parts[2] - parts[0] - parts[1]) < 1e-9 * fabs(parts[2]));
    for (int i = 0; i < HYPERS; i++)
        assert_true(fabs(gradients[2][i] - gradients[0][i] - gradients[1][i]) <
                    1e-9 * (1 + fabs(gradients[2][i])));
}

static void test_slopes_are_those_of_predictions(void **state)
{
    /* Promise: the slopes of mean and deviation, and of both acquisitions, are those of finite
     * differences, pending points included; bounds of the deviation are never below it. */
    (void)state;
    static struct sample sample;
    struct hd_gp_data data = fill(&sample, true);
    struct hd_gp *gp = model_of(COUNT);
    double point[WIDTH] = {0.4, 0.3, 0.5, 0.9}, mean, deviation, by_mean[WIDTH],
           by_deviation[WIDTH];
    double bound, same;
    hd_gp_append(gp, data.points, data.fidelities, COUNT);
    hd_gp_set_targets(gp, data.targets, COUNT - 5);
    hd_gp_predict_slopes(gp, point, 1, &mean, &deviation, by_mean, by_deviation);
    hd_gp_predict_mean(gp, point, 1, &same, &bound);
    assert_true(same == mean && bound >= deviation);
    for (int f = 0; f < WIDTH; f++) {
        double kept = point[f], up[2], down[2];
        if (f == 2) {
            assert_true(by_mean[f] == 0 && by_deviation[f] == 0);
            continue;
        }
        point[f] = kept + 1e-5;
        hd_gp_predict(gp, point, 1, &up[0], &up[1]);
        point[f] = kept - 1e-5;
        hd_gp_predict(gp, point, 1, &down[0], &down[1]);
        point[f] = kept;
        assert_true(fabs((up[0] - down[0]) / 2e-5 - by_mean[f]) < 1e-5);
        assert_true(fabs((up[1] - down[1]) / 2e-5 - by_deviation[f]) < 1e-5);
    }
    hd_gp_free(gp);
}

static void test_acquisitions_are_stable(void **state)
{
    /* Promise: the logarithm of the expected improvement is finite, rises with a lower mean, and
     * has the slopes of finite differences, from certain improvement to hopelessly far. */
    (void)state;
    struct hd_gp_goal goal = {HD_GP_EI, 0.1, 2};
    double previous = INFINITY;
    for (double mean = -20; mean < 60; mean += 0.37) {
        double slope, by_deviation, score = hd_gp_score(&goal, mean, 0.5, &slope, &by_deviation);
        assert_true(isfinite(score) && score < previous);
        previous = score;
        double up = hd_gp_score(&goal, mean + 1e-5, 0.5, NULL, NULL);
        double down = hd_gp_score(&goal, mean - 1e-5, 0.5, NULL, NULL);
        assert_true(fabs((up - down) / 2e-5 - slope) < 1e-4 * (1 + fabs(slope)));
        up = hd_gp_score(&goal, mean, 0.5 + 1e-6, NULL, NULL);
        down = hd_gp_score(&goal, mean, 0.5 - 1e-6, NULL, NULL);
        assert_true(fabs((up - down) / 2e-6 - by_deviation) < 1e-3 * (1 + fabs(by_deviation)));
    }
    /* Against the sum itself where it can be computed: E[max(0, best - f)]. */
    double expected = 0;
    for (double f = -4; f < 0.1; f += 1e-4)
        expected += (0.1 - f) * exp(-f * f / 2 / 0.25) / sqrt(2 * acos(-1.0) * 0.25) * 1e-4;
    assert_true(fabs(hd_gp_score(&goal, 0, 0.5, NULL, NULL) - log(expected)) < 1e-3);
}

/* ---- what it is told of losses --------------------------------------------------------------- */

static struct hd_space *space_of(const char *json)
{
    struct hd_err err = {0};
    struct hd_value *value = NULL;
    struct hd_space *space = NULL;
    assert_hd_ok(hd_json_parse(json, strlen(json), "test", &hd_value_limits_file, &value, &err));
    assert_hd_ok(hd_space_parse(value, "test", "space", &space, &err));
    hd_value_free(value);
    return space;
}

static void test_targets_are_tame(void **state)
{
    /* Promise: whatever the losses, targets are finite and keep their order, equal losses are equal
     * and failed ones the worst. */
    (void)state;
    static const double rows[][6] = {
        {1, 2, 3, 4, 5, 6},
        {1e308, -1e308, 0, 5e-324, INFINITY, 1},
        {7, 7, 7, 7, 7, 7},
        {7, 7, 7, 7, INFINITY, INFINITY},
        {1, 1e300, 1, 1e300, 2, INFINITY},
        {INFINITY, INFINITY, INFINITY, INFINITY, INFINITY, INFINITY},
    };
    for (size_t row = 0; row < HD_COUNT(rows); row++) {
        struct hd_gp_seen items[6];
        double sorted[6], targets[6];
        struct hd_gp_seen_list list = {.items = items, .count = 6, .sorted = sorted};
        for (uint32_t i = 0; i < 6; i++)
            items[i] = (struct hd_gp_seen){i, i, 1, rows[row][i]};
        hd_gp_seen_targets(&list, targets);
        for (int i = 0; i < 6; i++) {
            assert_true(isfinite(targets[i]) && fabs(targets[i]) < 10);
            for (int j = 0; j < 6; j++) {
                if (rows[row][i] == rows[row][j])
                    assert_true(targets[i] == targets[j]);
                /* Differences below the rounding of the largest loss are lost. */
                if (rows[row][i] < rows[row][j])
                    assert_true(targets[i] <= targets[j]);
            }
        }
    }
}

static void test_the_last_result_of_each_config_counts(void **state)
{
    /* Promise: a config is seen once, at its highest budget, from budgets of the given fraction of
     * the highest; a history that went on looks the same when asked for an earlier time. */
    (void)state;
    struct hd_err err = {0};
    struct hd_space *space = space_of("{\"x\":{\"type\":\"float\",\"low\":0,\"high\":1}}");
    struct hd_history history;
    struct hd_gp_seen_list list = {0};
    assert_hd_ok(hd_history_init(&history, space, &err));
    for (uint32_t i = 0; i < 30; i++) {
        double value = i / 30.0;
        assert_hd_ok(hd_history_add(&history, i, &value, &err));
        assert_hd_ok(hd_history_tell(&history, i, 1, 100 + i, &err));
    }
    for (uint32_t i = 0; i < 10; i++)
        assert_hd_ok(hd_history_tell(&history, i, 9, 50 + i, &err));
    for (uint32_t i = 0; i < 3; i++)
        assert_hd_ok(hd_history_tell(&history, i, 81, i, &err));
    assert_hd_ok(hd_gp_seen_gather(&list, &history, HD_GP_LOSSES_NOW, history.tell_count, 0.1, 4,
                                   100, &err));
    assert_int_equal(list.count, 10); /* budget 1 is below a tenth of 81 */
    assert_int_equal(list.items[9].config_number, 2);
    assert_true(list.items[9].budget == 81 && list.items[9].loss == 2);
    assert_true(hd_gp_seen_fidelity(&list, 81) == 1 && hd_gp_seen_fidelity(&list, 9) == 0);
    assert_true(fabs(hd_gp_seen_fidelity(&list, 27) - 0.5) < 1e-12);
    assert_hd_ok(hd_gp_seen_gather(&list, &history, HD_GP_LOSSES_NOW, history.tell_count, 0.1, 20,
                                   100, &err));
    assert_int_equal(list.count, 30);
    assert_hd_ok(hd_gp_seen_gather(&list, &history, HD_GP_LOSSES_NOW, 35, 0.5, 4, 100, &err));
    assert_int_equal(list.count, 5);
    assert_true(list.budget_high == 9 && list.items[4].loss == 54);
    hd_gp_seen_release(&list);
    hd_history_release(&history);
    hd_space_free(space);
}

static void test_many_results_leave_the_best_and_the_newest(void **state)
{
    /* Promise: of more results than the limit the best ones stay and so do the newest, and the list
     * moves slowly. */
    (void)state;
    enum { CONFIGS = 1000, LIMIT = 150 };
    struct hd_err err = {0};
    struct hd_rng rng;
    struct hd_space *space = space_of("{\"x\":{\"type\":\"float\",\"low\":0,\"high\":1}}");
    struct hd_history history;
    struct hd_gp_seen_list list = {0};
    static double losses[CONFIGS];
    hd_rng_seed(&rng, 3);
    assert_hd_ok(hd_history_init(&history, space, &err));
    for (uint32_t i = 0; i < CONFIGS; i++) {
        double value = hd_rng_double(&rng);
        losses[i] = hd_rng_double(&rng);
        assert_hd_ok(hd_history_add(&history, i, &value, &err));
        assert_hd_ok(hd_history_tell(&history, i, 1, losses[i], &err));
        if (i < LIMIT)
            continue;
        assert_hd_ok(
            hd_gp_seen_gather(&list, &history, HD_GP_LOSSES_NOW, i + 1, 0.1, 4, LIMIT, &err));
        assert_true(list.count <= LIMIT && list.count > LIMIT / 2);
        assert_int_equal(list.items[list.count - 1].config_number, i);
        uint32_t best = 0;
        for (uint32_t j = 1; j <= i; j++)
            best = losses[j] < losses[best] ? j : best;
        bool found = false;
        for (uint32_t j = 0; j < list.count; j++) {
            found |= list.items[j].config_number == best;
            assert_true(j == 0 || list.items[j].sequence > list.items[j - 1].sequence);
        }
        assert_true(found);
    }
    hd_gp_seen_release(&list);
    hd_history_release(&history);
    hd_space_free(space);
}

/* ---- the sampler ----------------------------------------------------------------------------- */

static struct hd_sampler *sampler_of(const struct hd_space *space, const char *name, uint64_t seed,
                                     const char *settings_json)
{
    struct hd_err err = {0};
    struct hd_value *settings = NULL;
    struct hd_sampler *sampler = NULL;
    if (settings_json != NULL)
        assert_hd_ok(hd_json_parse(settings_json, strlen(settings_json), "test",
                                   &hd_value_limits_file, &settings, &err));
    struct hd_sampler_spec spec = {.name = name, .seed = seed, .settings = settings};
    assert_hd_ok(hd_sampler_new(&spec, space, &sampler, &err));
    hd_value_free(settings);
    return sampler;
}

static const char *const branched_json =
    "{\"kind\":{\"type\":\"categorical\",\"choices\":[\"a\",\"b\"]},"
    "\"x\":{\"type\":\"float\",\"low\":0,\"high\":1},"
    "\"n\":{\"type\":\"int\",\"low\":1,\"high\":20},"
    "\"y\":{\"type\":\"float\",\"low\":1e-4,\"high\":1,\"log\":true}}";

/* x is active with kind a (0), n with kind b (1). */
static struct hd_space *branched_space(void)
{
    struct hd_space *space = space_of(branched_json);
    for (size_t i = 1; i <= 2; i++) {
        struct hd_param *param = &space->params[i];
        param->conditions = hd_calloc(1, sizeof(*param->conditions));
        assert_non_null(param->conditions);
        param->condition_count = 1;
        param->conditions[0] = (struct hd_condition){.op = HD_CONDITION_IN, .value_count = 1};
        param->conditions[0].values = hd_calloc(1, sizeof(double));
        assert_non_null(param->conditions[0].values);
        param->conditions[0].values[0] = (double)i - 1;
    }
    return space;
}

/* 0 at kind a, x 0.2, y 0.003; at least 0.3 with kind b. */
static double branched(const double *v)
{
    double y = log10(v[3]) + 2.5, sum = y * y;
    return v[0] == 0 ? sum + 4 * (v[1] - 0.2) * (v[1] - 0.2)
                     : 0.3 + sum + 0.02 * (v[2] - 7) * (v[2] - 7);
}

static void test_the_model_is_a_function_of_the_history(void **state)
{
    /* Promise: with results at several budgets, promotions, failures, replaced results and pending
     * configs, beyond the number of points that the model holds, a sampler that was asked all along
     * proposes what one does that is asked for the first time. */
    (void)state;
    enum { CONFIGS = 130 };
    struct hd_err err = {0};
    struct hd_rng rng;
    struct hd_space *space = branched_space();
    static const char settings[] = "{\"points_max\":60,\"fit_points\":30}";
    struct hd_sampler *asked = sampler_of(space, "gp", 3, settings);
    struct hd_sampler *fresh = sampler_of(space, "gp", 3, settings);
    hd_rng_seed(&rng, 5);
    for (uint32_t i = 0; i < CONFIGS; i++) {
        double values[4], expected[4];
        struct hd_proposal_info info;
        assert_hd_ok(hd_sampler_suggest(asked, i, 1, expected, &info, &err));
        if (i == 40 || i == 90 || i == 91 || i == CONFIGS - 1) {
            assert_true(info.model);
            assert_hd_ok(hd_sampler_suggest(fresh, i, 1, values, NULL, &err));
            assert_memory_equal(values, expected, sizeof(values));
        }
        assert_hd_ok(hd_sampler_add(asked, i, expected, &err));
        assert_hd_ok(hd_sampler_add(fresh, i, expected, &err));
        for (int told = 0; told < 2; told++) {
            uint32_t number = (uint32_t)hd_rng_below(&rng, i + 1);
            double budget = pow(3, (double)hd_rng_below(&rng, 3));
            double loss = hd_rng_below(&rng, 9) == 0 ? NAN : hd_rng_double(&rng) + 1 / budget;
            assert_hd_ok(hd_sampler_tell(asked, number, budget, loss, &err));
            assert_hd_ok(hd_sampler_tell(fresh, number, budget, loss, &err));
        }
    }
    hd_sampler_free(asked);
    hd_sampler_free(fresh);
    hd_space_free(space);
}

static double branin(const double *v)
{
    const double pi = acos(-1.0);
    double inner = v[1] - 5.1 / (4 * pi * pi) * v[0] * v[0] + 5 / pi * v[0] - 6;
    return inner * inner + 10 * (1 - 1 / (8 * pi)) * cos(v[0]) + 10;
}

static double hartmann6(const double *v)
{
    static const double a[4][6] = {{10, 3, 17, 3.5, 1.7, 8},
                                   {0.05, 10, 17, 0.1, 8, 14},
                                   {3, 3.5, 1.7, 10, 17, 8},
                                   {17, 8, 0.05, 10, 0.1, 14}};
    static const double p[4][6] = {{0.1312, 0.1696, 0.5569, 0.0124, 0.8283, 0.5886},
                                   {0.2329, 0.4135, 0.8307, 0.3736, 0.1004, 0.9991},
                                   {0.2348, 0.1451, 0.3522, 0.2883, 0.3047, 0.6650},
                                   {0.4047, 0.8828, 0.8732, 0.5743, 0.1091, 0.0381}};
    static const double alpha[4] = {1, 1.2, 3, 3.2};
    double sum = 0;
    for (int i = 0; i < 4; i++) {
        double exponent = 0;
        for (int d = 0; d < 6; d++)
            exponent += a[i][d] * (v[d] - p[i][d]) * (v[d] - p[i][d]);
        sum -= alpha[i] * exp(-exponent);
    }
    return sum;
}

/* The best of count proposals, four at a time. */
static double best_of(struct hd_sampler *sampler, double (*loss)(const double *), uint32_t count)
{
    struct hd_err err = {0};
    double configs[4][8], best = INFINITY;
    for (uint32_t i = 0; i < count; i++) {
        double *values = configs[i % 4];
        assert_hd_ok(hd_sampler_suggest(sampler, i, 1, values, NULL, &err));
        assert_hd_ok(hd_sampler_add(sampler, i, values, &err));
        for (uint32_t j = 0; i % 4 == 3 && j < 4; j++) {
            best = fmin(best, loss(configs[j]));
            assert_hd_ok(hd_sampler_tell(sampler, i - 3 + j, 1, loss(configs[j]), &err));
        }
    }
    hd_sampler_free(sampler);
    return best;
}

static void test_it_beats_random(void **state)
{
    /* Promise: with either acquisition it wins against random search in at least nine of ten pairs
     * (by chance: 1 in 93) on functions with 2 and 6 params and on a conditional space. */
    (void)state;
    enum { SEEDS = 10 };
    static const struct {
        const char *json, *settings;
        double (*loss)(const double *);
        uint32_t count;
    } rows[] = {
        {"{\"x\":{\"type\":\"float\",\"low\":-5,\"high\":10},"
         "\"y\":{\"type\":\"float\",\"low\":0,\"high\":15}}",
         NULL, branin, 40},
        {"{\"x\":{\"type\":\"float\",\"low\":-5,\"high\":10},"
         "\"y\":{\"type\":\"float\",\"low\":0,\"high\":15}}",
         "{\"acquisition\":\"ucb\"}", branin, 40},
        {"{\"a\":{\"type\":\"float\",\"low\":0,\"high\":1},\"b\":{\"type\":\"float\",\"low\":0,"
         "\"high\":1},"
         "\"c\":{\"type\":\"float\",\"low\":0,\"high\":1},\"d\":{\"type\":\"float\",\"low\":0,"
         "\"high\":1},"
         "\"e\":{\"type\":\"float\",\"low\":0,\"high\":1},\"f\":{\"type\":\"float\",\"low\":0,"
         "\"high\":1}}",
         NULL, hartmann6, 48},
        {NULL, NULL, branched, 40},
    };
    for (size_t row = 0; row < HD_COUNT(rows); row++) {
        struct hd_space *space =
            rows[row].json != NULL ? space_of(rows[row].json) : branched_space();
        int wins = 0;
        for (uint64_t seed = 0; seed < SEEDS; seed++) {
            double gp = best_of(sampler_of(space, "gp", seed, rows[row].settings), rows[row].loss,
                                rows[row].count);
            double random =
                best_of(sampler_of(space, "random", seed, NULL), rows[row].loss, rows[row].count);
            wins += gp < random ? 1 : 0;
        }
        print_message("# row %zu: %d wins\n", row, wins);
        assert_true(wins >= 9);
        hd_space_free(space);
    }
}

static void test_a_useless_budget_does_no_harm(void **state)
{
    /* Promise: when the losses at the lowest budget are pure noise, the model at the highest budget
     * still points to the minimum there. */
    (void)state;
    struct hd_err err = {0};
    struct hd_rng rng;
    struct hd_space *space = space_of("{\"x\":{\"type\":\"float\",\"low\":0,\"high\":1},"
                                      "\"y\":{\"type\":\"float\",\"low\":0,\"high\":1}}");
    struct hd_sampler *sampler = sampler_of(space, "gp", 1, "{\"budget_fraction\":0}");
    hd_rng_seed(&rng, 2);
    for (uint32_t i = 0; i < 60; i++) {
        double v[2] = {hd_rng_double(&rng), hd_rng_double(&rng)};
        assert_hd_ok(hd_sampler_add(sampler, i, v, &err));
        assert_hd_ok(hd_sampler_tell(sampler, i, 1, 3 + hd_rng_normal(&rng), &err));
        double loss = (v[0] - 0.7) * (v[0] - 0.7) + (v[1] - 0.2) * (v[1] - 0.2);
        if (i % 3 == 0)
            assert_hd_ok(hd_sampler_tell(sampler, i, 27, loss, &err));
    }
    double near = 0;
    for (uint32_t i = 60; i < 70; i++) {
        double v[2];
        assert_hd_ok(hd_sampler_suggest(sampler, i, 1, v, NULL, &err));
        assert_hd_ok(hd_sampler_add(sampler, i, v, &err));
        double loss = (v[0] - 0.7) * (v[0] - 0.7) + (v[1] - 0.2) * (v[1] - 0.2);
        assert_hd_ok(hd_sampler_tell(sampler, i, 27, loss, &err));
        near += sqrt(loss) < 0.15 ? 1 : 0;
    }
    assert_true(near >= 5);
    hd_sampler_free(sampler);
    hd_space_free(space);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_it_interpolates),
        cmocka_unit_test(test_appending_is_refactoring),
        cmocka_unit_test(test_own_means_are_predictions),
        cmocka_unit_test(test_functions_of_one_kernel_add_up),
        cmocka_unit_test(test_the_objective_is_the_likelihood),
        cmocka_unit_test(test_slopes_are_those_of_predictions),
        cmocka_unit_test(test_acquisitions_are_stable),
        cmocka_unit_test(test_targets_are_tame),
        cmocka_unit_test(test_the_last_result_of_each_config_counts),
        cmocka_unit_test(test_many_results_leave_the_best_and_the_newest),
        cmocka_unit_test(test_the_model_is_a_function_of_the_history),
        cmocka_unit_test(test_it_beats_random),
        cmocka_unit_test(test_a_useless_budget_does_no_harm),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
