/* SPDX-License-Identifier: Apache-2.0 */
/* test_tpe.c: the densities of TPE, its model, and that it is worth having. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "testlib.h"

#include "../../optimizer/sampler/parzen.h"
#include "../../optimizer/sampler/preset.h"

#include <hd/sampler.h>

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

/* The param `child` exists only where the choice of param `parent` is one of the first `count`. */
static void add_condition(struct hd_space *space, size_t child, size_t parent, size_t count)
{
    struct hd_param *param = &space->params[child];
    param->conditions = hd_calloc(1, sizeof(*param->conditions));
    assert_non_null(param->conditions);
    param->condition_count = 1;
    param->conditions[0] = (struct hd_condition){
        .op = HD_CONDITION_IN, .node_count = 1, .parent_index = parent, .value_count = count};
    param->conditions[0].values = hd_calloc(count, sizeof(double));
    assert_non_null(param->conditions[0].values);
    for (size_t i = 0; i < count; i++)
        param->conditions[0].values[i] = (double)i;
}

/* ---- densities ----------------------------------------------------------------------------- */

/* Each optional coordinate of a kernel is missing every other time. */
static void set_kernel(struct hd_density *density, size_t k, const double *sigmas,
                       double log_weight, struct hd_rng *rng)
{
    for (size_t d = 0; d < density->dimension; d++) {
        const struct hd_axis *axis = &density->axes[d];
        double centre = hd_axis_snap(axis, hd_rng_double(rng));
        if (axis->optional && k % 2 == 1)
            centre = NAN;
        *hd_density_centre(density, k, d) = (float)centre;
        if (axis->choice)
            continue;
        double norm = isnan(centre) ? 0 : hd_axis_log_norm(axis, (double)(float)centre, sigmas[d]);
        if (axis->optional)
            *hd_density_norm(density, k, d) = (float)norm;
        else
            log_weight -= norm;
    }
    density->log_weights[k] = (float)log_weight - hd_density_square(density, k);
}

static void fill(struct hd_density *density, size_t count, const double *sigmas, struct hd_rng *rng)
{
    struct hd_err err = {0};
    assert_hd_ok(hd_density_reserve(density, count, &err));
    hd_density_resize(density, count);
    double total = (double)count + 1;
    density->log_prior = log(1 / total);
    hd_density_set_choices(density, (double)count);
    for (size_t d = 0; d < density->dimension; d++) {
        const struct hd_axis *axis = &density->axes[d];
        density->scales[d] = (float)(sqrt(0.5) / sigmas[d]);
        density->log_prior -= axis->choice && !axis->optional ? log(axis->levels) : 0;
    }
    for (size_t k = 0; k < count; k++)
        set_kernel(density, k, sigmas, log(1 / total), rng);
}

static void test_densities_integrate_to_one(void **state)
{
    /* Promise: over the unit cube (levels weighted by their width, choices counted) the mixture has
     * mass one, whatever the kinds of params and the number of kernels. */
    (void)state;
    struct hd_space *space = space_of("{\"x\":{\"type\":\"float\",\"low\":0,\"high\":1},"
                                      "\"n\":{\"type\":\"int\",\"low\":1,\"high\":12,\"log\":true},"
                                      "\"c\":{\"type\":\"categorical\",\"choices\":[1,2,3]}}");
    struct hd_axis axes[3];
    struct hd_density density;
    struct hd_rng rng;
    static const double sigmas[3] = {0.05, 0.1, 0};
    static const size_t counts[] = {1, 5, 16, 17, 100};
    hd_rng_seed(&rng, 1);
    for (size_t d = 0; d < 3; d++)
        hd_axis_init(&axes[d], &space->params[d]);
    hd_density_init(&density, axes, 3);
    for (size_t i = 0; i < HD_COUNT(counts); i++) {
        double mass = 0;
        fill(&density, counts[i], sigmas, &rng);
        for (int x = 0; x < 1000; x++) {
            for (int n = 1; n <= 12; n++) {
                double low, high;
                hd_param_level_range(&space->params[1], n, &low, &high);
                for (int c = 0; c < 3; c++) {
                    float point[3] = {((float)x + 0.5f) / 1000, (float)((low + high) / 2),
                                      (float)hd_param_to_unit(&space->params[2], c)};
                    mass += exp(hd_density_log(&density, point)) * (high - low) / 1000;
                }
            }
        }
        assert_true(fabs(mass - 1) < 1e-3);
    }
    hd_density_release(&density);
    hd_space_free(space);
}

/* Mass over a float, and over an int and a choice, one of which two a first choice activates. */
static double conditional_mass(const struct hd_density *density, const struct hd_space *space)
{
    double mass = 0;
    for (int x = 0; x < 1000; x++) {
        float point[4] = {0.25f, ((float)x + 0.5f) / 1000, NAN, NAN};
        mass += exp(hd_density_log(density, point)) / 1000;
    }
    for (int n = 1; n <= 6; n++) {
        double low, high;
        hd_param_level_range(&space->params[2], n, &low, &high);
        for (int c = 0; c < 3; c++) {
            float point[4] = {0.75f, NAN, (float)((low + high) / 2),
                              (float)hd_param_to_unit(&space->params[3], c)};
            mass += exp(hd_density_log(density, point)) * (high - low);
        }
    }
    return mass;
}

static void test_densities_of_conditional_spaces(void **state)
{
    /* Promise: over the configs of a conditional space (numbers and choices that exist in one
     * branch only) the mixture has mass one, with kernels of any branch. */
    (void)state;
    static const size_t counts[] = {0, 1, 5, 16, 17, 100};
    static const double sigmas[4] = {0, 0.05, 0.2, 0};
    struct hd_space *space = space_of("{\"b\":{\"type\":\"bool\"},"
                                      "\"x\":{\"type\":\"float\",\"low\":0,\"high\":1},"
                                      "\"n\":{\"type\":\"int\",\"low\":1,\"high\":6},"
                                      "\"c\":{\"type\":\"categorical\",\"choices\":[1,2,3]}}");
    struct hd_axis axes[4];
    struct hd_density density;
    struct hd_rng rng;
    for (size_t d = 1; d < 4; d++)
        add_condition(space, d, 0, 1); /* only that there is one counts here */
    for (size_t d = 0; d < 4; d++)
        hd_axis_init(&axes[d], &space->params[d]);
    hd_rng_seed(&rng, 2);
    hd_density_init(&density, axes, 4);
    for (size_t i = 0; i < HD_COUNT(counts); i++) {
        fill(&density, counts[i], sigmas, &rng);
        double mass = conditional_mass(&density, space);
        assert_true(fabs(mass - 1) < 1e-4);
    }
    hd_density_release(&density);
    hd_space_free(space);
}

static void test_densities_agree_with_doubles(void **state)
{
    /* Promise: the sweep in single precision is the mixture to 1e-3 in the logarithm, also where
     * the density is tiny. */
    (void)state;
    enum { DIMENSION = 10, COUNT = 1000 };
    char name[] = "x";
    struct hd_param param = {.name = name, .kind = HD_PARAM_FLOAT, .low = 0, .high = 1};
    struct hd_axis axes[DIMENSION];
    struct hd_density density;
    struct hd_rng rng;
    double sigmas[DIMENSION];
    hd_rng_seed(&rng, 2);
    for (size_t d = 0; d < DIMENSION; d++) {
        hd_axis_init(&axes[d], &param);
        sigmas[d] = 0.03 + 0.02 * (double)d;
    }
    hd_density_init(&density, axes, DIMENSION);
    fill(&density, COUNT, sigmas, &rng);
    density.log_prior = -40; /* so that the kernels show */
    for (int i = 0; i < 100; i++) {
        float point[DIMENSION];
        double sum = exp(density.log_prior);
        for (size_t d = 0; d < DIMENSION; d++)
            point[d] = (float)hd_rng_double(&rng);
        for (size_t k = 0; k < COUNT; k++) {
            double log_term = log(1.0 / (COUNT + 1));
            for (size_t d = 0; d < DIMENSION; d++) {
                double centre = (double)*hd_density_centre(&density, k, d);
                double z = ((double)point[d] - centre) / sigmas[d];
                log_term -= z * z / 2 + hd_axis_log_norm(&axes[d], centre, sigmas[d]);
            }
            sum += exp(log_term);
        }
        assert_true(fabs(hd_density_log(&density, point) - log(sum)) < 1e-3);
    }
    hd_density_release(&density);
}

/* ---- the model ----------------------------------------------------------------------------- */

static struct hd_sampler *sampler_of(const char *name, const struct hd_space *space, uint64_t seed)
{
    struct hd_err err = {0};
    struct hd_sampler *sampler = NULL;
    struct hd_sampler_spec spec = {.name = name, .seed = seed};
    assert_hd_ok(hd_sampler_new(&spec, space, &sampler, &err));
    return sampler;
}

static void test_what_is_kept_between_proposals_is_only_a_cache(void **state)
{
    /* Promise: with thousands of results, over every change of the sampled bad set, a sampler asked
     * all along proposes what a fresh one does that is asked for the first time. */
    (void)state;
    enum { COUNT = 9000 };
    static const uint32_t marks[] = {2047, 2048, 2049, 3000, 4096, 4097, 8191, 8193, 8999};
    struct hd_err err = {0};
    struct hd_rng rng;
    struct hd_space *space =
        space_of("{\"x\":{\"type\":\"float\",\"low\":0,\"high\":1},\"y\":{\"type\":\"float\","
                 "\"low\":0,\"high\":1},\"n\":{\"type\":\"int\",\"low\":1,\"high\":50}}");
    hd_rng_seed(&rng, 3);
    double(*configs)[3] = calloc(COUNT, sizeof(*configs));
    assert_non_null(configs);
    struct hd_sampler *old = sampler_of("tpe", space, 1);
    size_t mark = 0;
    for (uint32_t i = 0; i < COUNT; i++) {
        double asked[3], fresh[3];
        struct hd_proposal_info info;
        if (i % 50 == 0 || i == marks[mark])
            assert_hd_ok(hd_sampler_suggest(old, i, 1, asked, &info, &err));
        if (i == marks[mark]) {
            struct hd_sampler *young = sampler_of("tpe", space, 1);
            for (uint32_t j = 0; j < i; j++) {
                assert_hd_ok(hd_sampler_add(young, j, configs[j], &err));
                assert_hd_ok(hd_sampler_tell(young, j, 1, configs[j][0] + configs[j][1], &err));
            }
            assert_hd_ok(hd_sampler_suggest(young, i, 1, fresh, NULL, &err));
            assert_memory_equal(asked, fresh, sizeof(fresh));
            hd_sampler_free(young);
            mark += mark + 1 < HD_COUNT(marks);
        }
        hd_space_sample(space, &rng, configs[i]);
        assert_hd_ok(hd_sampler_add(old, i, configs[i], &err));
        assert_hd_ok(hd_sampler_tell(old, i, 1, configs[i][0] + configs[i][1], &err));
    }
    assert_int_equal(mark, HD_COUNT(marks) - 1);
    hd_sampler_free(old);
    free(configs);
    hd_space_free(space);
}

static void tell_many(struct hd_sampler *sampler, uint32_t first, uint32_t count, double budget,
                      bool failed)
{
    struct hd_err err = {0};
    for (uint32_t i = first; i < first + count; i++)
        assert_hd_ok(hd_sampler_tell(sampler, i, budget, failed ? NAN : (double)i, &err));
}

static void test_the_budget_of_the_model(void **state)
{
    /* Promise: quasi-random until a budget has ten results (two of them finite), then the budget
     * with the most, and the highest one as soon as it has 3 (d + 1). */
    (void)state;
    struct hd_err err = {0};
    struct hd_rng rng;
    struct hd_proposal_info info;
    struct hd_value *settings = hd_value_new_object();
    assert_int_equal(hd_value_set(settings, "random_fraction", hd_value_new_int(0)), HD_OK);
    struct hd_sampler_spec spec = {.name = "tpe", .settings = settings};
    struct hd_space *space =
        space_of("{\"x\":{\"type\":\"float\",\"low\":0,\"high\":1},\"y\":{\"type\":\"float\","
                 "\"low\":0,\"high\":1},\"z\":{\"type\":\"float\",\"low\":0,\"high\":1}}");
    struct hd_sampler *sampler = NULL;
    double values[3];
    hd_rng_seed(&rng, 1);
    assert_hd_ok(hd_sampler_new(&spec, space, &sampler, &err));
    for (uint32_t i = 0; i < 60; i++) {
        hd_space_sample(space, &rng, values);
        assert_hd_ok(hd_sampler_add(sampler, i, values, &err));
    }
    static const struct {
        uint32_t first, count;
        double budget;
        bool failed;
        const char *name;
        double model_budget;
    } rows[] = {
        {0, 9, 1, false, "sobol", NAN}, {9, 1, 1, false, "tpe", 1},
        {0, 9, 3, true, "tpe", 1}, /* failures alone make no model */
        {20, 2, 3, false, "tpe", 3},    {10, 15, 1, false, "tpe", 1},
        {0, 11, 9, false, "tpe", 1},    {11, 1, 9, false, "tpe", 9},
    };
    for (size_t i = 0; i < HD_COUNT(rows); i++) {
        tell_many(sampler, rows[i].first, rows[i].count, rows[i].budget, rows[i].failed);
        assert_hd_ok(hd_sampler_suggest(sampler, 60, 1, values, &info, &err));
        assert_string_equal(info.sampler, rows[i].name);
        assert_int_equal(info.model, isfinite(rows[i].model_budget));
        if (info.model)
            assert_true(info.model_budget == rows[i].model_budget);
    }
    hd_sampler_free(sampler);
    hd_value_free(settings);
    hd_space_free(space);
}

static void test_pending_jobs_repel(void **state)
{
    /* Promise: configs without a result count as bad, so that proposals made together keep away
     * from each other. Compared: the nearest pair of eight proposals made without a result, when
     * the earlier ones were added and when they were not. */
    (void)state;
    struct hd_err err = {0};
    struct hd_space *space =
        space_of("{\"x\":{\"type\":\"float\",\"low\":0,\"high\":1},\"y\":{\"type\":\"float\","
                 "\"low\":0,\"high\":1}}");
    double spread[2] = {0, 0};
    for (uint64_t seed = 0; seed < 40; seed++) {
        for (int added = 0; added < 2; added++) {
            struct hd_rng rng;
            double values[8][2];
            struct hd_sampler *sampler = sampler_of("tpe", space, seed);
            hd_rng_seed(&rng, seed);
            for (uint32_t i = 0; i < 40; i++) {
                hd_space_sample(space, &rng, values[0]);
                double x = values[0][0] - 0.7, y = values[0][1] - 0.2;
                assert_hd_ok(hd_sampler_add(sampler, i, values[0], &err));
                assert_hd_ok(hd_sampler_tell(sampler, i, 1, x * x + y * y, &err));
            }
            for (uint32_t i = 0; i < 8; i++) {
                assert_hd_ok(hd_sampler_suggest(sampler, 40 + i, 1, values[i], NULL, &err));
                if (added == 1)
                    assert_hd_ok(hd_sampler_add(sampler, 40 + i, values[i], &err));
            }
            for (int i = 0; i < 8; i++) {
                for (int j = 0; j < i; j++)
                    spread[added] +=
                        hypot(values[i][0] - values[j][0], values[i][1] - values[j][1]);
            }
            hd_sampler_free(sampler);
        }
    }
    assert_true(spread[1] > 1.1 * spread[0]);
    hd_space_free(space);
}

static double loss_with_outliers(double x, uint32_t number)
{
    static const double bad[] = {NAN, INFINITY, -INFINITY, 1e308, 1e300};
    return x > 0.5 ? bad[number % HD_COUNT(bad)] : fabs(x - 0.2);
}

/* Differences of these overflow. */
static double loss_of_huge_range(double x, uint32_t number)
{
    (void)number;
    return (fabs(x - 0.2) - 0.4) * 4 * 1e308;
}

static void test_outliers_do_not_matter(void **state)
{
    /* Promise: failed, infinite and huge results leave a model that still finds the good place. */
    (void)state;
    static double (*const losses[])(double, uint32_t) = {loss_with_outliers, loss_of_huge_range};
    struct hd_err err = {0};
    struct hd_space *space = space_of("{\"x\":{\"type\":\"float\",\"low\":0,\"high\":1}}");
    for (size_t row = 0; row < HD_COUNT(losses); row++) {
        struct hd_sampler *sampler = sampler_of("tpe", space, 4);
        double x = 0, near = 0;
        for (uint32_t i = 0; i < 100; i++) {
            assert_hd_ok(hd_sampler_suggest(sampler, i, 1, &x, NULL, &err));
            assert_hd_ok(hd_sampler_add(sampler, i, &x, &err));
            assert_hd_ok(hd_sampler_tell(sampler, i, 1, losses[row](x, i), &err));
            near += i >= 50 && fabs(x - 0.2) < 0.1 ? 1 : 0;
        }
        assert_true(near >= 25);
        hd_sampler_free(sampler);
    }
    hd_space_free(space);
}

/* A history of `count` results: four good ones at 0.1, every `step`th from `first` on, the rest at
 * 0.9. */
static void check_good_is_not_bad(const struct hd_space *space, uint32_t count, uint32_t first,
                                  uint32_t step)
{
    struct hd_err err = {0};
    struct hd_history history;
    struct hd_parzen parzen;
    struct hd_parzen_settings settings = {.gamma = 0.2, .gamma_max = 4, .prior_weight = 1};
    float good_place = 0.1f;
    assert_hd_ok(hd_history_init(&history, space, &err));
    for (uint32_t i = 0; i < count; i++) {
        bool good = i >= first && i <= first + 3 * step && (i - first) % step == 0;
        double x = good ? 0.1 : 0.9;
        assert_hd_ok(hd_history_add(&history, i, &x, &err));
        assert_hd_ok(hd_history_tell(&history, i, 1, x, &err));
    }
    assert_hd_ok(hd_parzen_init(&parzen, &history, &err));
    assert_hd_ok(hd_parzen_build(&parzen, &settings, history.rungs[0], &err));
    assert_int_equal(parzen.good.count, 4);
    double uniform = -log((double)count - 4 + 1);
    assert_true(fabs(hd_density_log(&parzen.bad, &good_place) - uniform) < 0.01);
    hd_parzen_release(&parzen);
    hd_history_release(&history);
}

static void test_good_configs_are_not_bad(void **state)
{
    /* Promise: the bad density has nothing but its uniform part where only good configs are, with
     * few results and with so many that they are sampled (whichever of them the sample holds). */
    (void)state;
    struct hd_space *space = space_of("{\"x\":{\"type\":\"float\",\"low\":0,\"high\":1}}");
    for (uint32_t first = 0; first < 5; first++) {
        check_good_is_not_bad(space, 20, first, 5);
        check_good_is_not_bad(space, 3000, first, 750);
        check_good_is_not_bad(space, 4099, 4091 + first, 1); /* over the last full block */
    }
    hd_space_free(space);
}

static void test_scores_are_finite(void **state)
{
    /* Promise: whatever finite losses there are, the good ones have finite weights of sum one less
     * the uniform part, and every point has a finite score. */
    (void)state;
    static const double losses[][4] = {
        {-1.7e308, 1.7e308, 0, 1}, {0, 0, 0, 0}, {1, 1, 1, 5e-324}, {1e308, 1e308, 1e308, -1e308}};
    struct hd_err err = {0};
    struct hd_space *space = space_of("{\"x\":{\"type\":\"float\",\"low\":0,\"high\":1}}");
    struct hd_parzen_settings settings = {.gamma = 0.5, .gamma_max = 25, .prior_weight = 1};
    for (size_t row = 0; row < HD_COUNT(losses); row++) {
        struct hd_history history;
        struct hd_parzen parzen;
        assert_hd_ok(hd_history_init(&history, space, &err));
        assert_hd_ok(hd_parzen_init(&parzen, &history, &err));
        for (uint32_t i = 0; i < 4; i++) {
            double x = 0.2 + 0.2 * i;
            assert_hd_ok(hd_history_add(&history, i, &x, &err));
            assert_hd_ok(hd_history_tell(&history, i, 1, losses[row][i], &err));
        }
        assert_hd_ok(hd_parzen_build(&parzen, &settings, history.rungs[0], &err));
        assert_true(fabs(parzen.good_cumulative[1] - 2.0 / 3) < 1e-9);
        for (float x = 0; x < 1; x += 0.125f)
            assert_true(isfinite(hd_parzen_score(&parzen, &x)));
        hd_parzen_release(&parzen);
        hd_history_release(&history);
    }
    hd_space_free(space);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_densities_integrate_to_one),
        cmocka_unit_test(test_densities_of_conditional_spaces),
        cmocka_unit_test(test_densities_agree_with_doubles),
        cmocka_unit_test(test_what_is_kept_between_proposals_is_only_a_cache),
        cmocka_unit_test(test_the_budget_of_the_model),
        cmocka_unit_test(test_pending_jobs_repel),
        cmocka_unit_test(test_outliers_do_not_matter),
        cmocka_unit_test(test_good_configs_are_not_bad),
        cmocka_unit_test(test_scores_are_finite),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
