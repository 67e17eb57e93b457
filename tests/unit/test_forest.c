/* SPDX-License-Identifier: Apache-2.0 */
/* test_forest.c: trees and forests as models, and the samplers forest and cqr. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "testlib.h"

#include <hd/sampler.h>
#include <hd/tree.h>

enum { WIDTH = 3 }; /* a number, a choice of four, a number that may be inactive */

struct row {
    float values[WIDTH];
};

typedef double target_of(const struct row *row);

static void make_rows(struct hd_tree_data *data, size_t count, double inactive, target_of *target,
                      double noise, uint64_t seed)
{
    static const bool choices[WIDTH] = {false, true, false};
    struct hd_err err = {0};
    struct hd_rng rng;
    hd_rng_seed(&rng, seed);
    assert_hd_ok(hd_tree_data_init(data, WIDTH, choices, &err));
    assert_hd_ok(hd_tree_data_reserve(data, count, &err));
    data->row_count = count;
    for (size_t i = 0; i < count; i++) {
        struct row row;
        row.values[0] = (float)hd_rng_double(&rng);
        row.values[1] = (float)hd_rng_below(&rng, 4);
        row.values[2] = hd_rng_double(&rng) < inactive ? NAN : (float)hd_rng_double(&rng);
        memcpy(data->values + i * WIDTH, row.values, sizeof(row.values));
        data->targets[i] = (float)(target(&row) + noise * hd_rng_normal(&rng));
    }
    hd_tree_data_prepare(data);
}

static const struct hd_tree_settings kinds[] = {
    {.tree_count = 20, .leaf_rows_min = 1, .split_rows_min = 2, .depth_max = 64, .bootstrap = true},
    {.tree_count = 20, .leaf_rows_min = 1, .split_rows_min = 2, .depth_max = 64},
    {.tree_count = 20,
     .leaf_rows_min = 1,
     .split_rows_min = 2,
     .depth_max = 64,
     .random_splits = true},
};

static double step(const struct row *row)
{
    return row->values[0] < 0.4f ? 1 : row->values[0] < 0.7f ? -2 : 5;
}

static double subset(const struct row *row)
{
    return row->values[1] == 1 || row->values[1] == 3 ? 4 : 0;
}

/* What an inactive param means cannot be said by any value of it. */
static double inactive(const struct row *row)
{
    return isnan(row->values[2]) ? 3 : row->values[2] < 0.5f ? 0 : 6;
}

static void test_forests_fit_what_is_flat_in_parts(void **state)
{
    /* Promise: a step function, a subset of choices and a meaning of inactive are found by every
     * kind of forest: away from the steps predictions are right, with hardly any variance. */
    (void)state;
    static target_of *const targets[] = {step, subset, inactive};
    static const struct row probes[] = {
        {{0.2f, 0, 0.25f}}, {{0.55f, 1, 0.75f}}, {{0.85f, 2, NAN}}, {{0.1f, 3, NAN}}};
    for (size_t t = 0; t < HD_COUNT(targets); t++) {
        struct hd_tree_data data;
        make_rows(&data, 1000, 0.3, targets[t], 0, 7 + t);
        for (size_t k = 0; k < HD_COUNT(kinds); k++) {
            struct hd_trees trees;
            struct hd_rng rng;
            struct hd_err err = {0};
            hd_rng_seed(&rng, 3);
            hd_trees_init(&trees);
            assert_hd_ok(hd_forest_fit(&trees, &data, &kinds[k], &rng, &err));
            for (size_t i = 0; i < HD_COUNT(probes); i++) {
                double mean, variance;
                hd_forest_predict(&trees, probes[i].values, 1, &mean, &variance);
                assert_true(fabs(mean - targets[t](&probes[i])) < 0.05);
                assert_true(variance < 0.05);
            }
            hd_trees_release(&trees);
        }
        hd_tree_data_release(&data);
    }
}

static void test_same_stream_same_trees(void **state)
{
    /* Promise: trees depend on the rows, the settings and the stream only, also when they are grown
     * into memory that was used before. */
    (void)state;
    struct hd_tree_data data, other;
    struct hd_trees fresh, used;
    struct hd_rng rng;
    struct hd_err err = {0};
    make_rows(&data, 400, 0.3, step, 1, 1);
    make_rows(&other, 900, 0.1, subset, 1, 2);
    hd_trees_init(&fresh);
    hd_trees_init(&used);
    hd_rng_seed(&rng, 1);
    assert_hd_ok(hd_forest_fit(&used, &other, &kinds[0], &rng, &err));
    hd_rng_seed(&rng, 5);
    assert_hd_ok(hd_forest_fit(&used, &data, &kinds[0], &rng, &err));
    hd_rng_seed(&rng, 5);
    assert_hd_ok(hd_forest_fit(&fresh, &data, &kinds[0], &rng, &err));
    for (size_t i = 0; i < data.row_count; i++) {
        double a[2], b[2];
        hd_forest_predict(&fresh, data.values + i * WIDTH, 1, &a[0], &a[1]);
        hd_forest_predict(&used, data.values + i * WIDTH, 1, &b[0], &b[1]);
        assert_memory_equal(a, b, sizeof(a));
    }
    hd_trees_release(&fresh);
    hd_trees_release(&used);
    hd_tree_data_release(&data);
    hd_tree_data_release(&other);
}

static void test_more_values_than_bins(void **state)
{
    /* Promise: bins hold no two sides of a step: with thousands of distinct values, and with one
     * value that most rows share, a step at a hundredth of the range is still found. */
    (void)state;
    struct hd_tree_data data;
    struct hd_trees trees;
    struct hd_rng rng;
    struct hd_err err = {0};
    make_rows(&data, 5000, 0, step, 0, 3);
    for (size_t i = 0; i < data.row_count; i++) {
        float *value = &data.values[i * WIDTH];
        if (i % 2 == 0)
            *value = 0.5f;
        data.targets[i] = *value < 0.01f ? 1 : *value == 0.5f ? 2 : 3;
    }
    hd_tree_data_prepare(&data);
    hd_rng_seed(&rng, 1);
    hd_trees_init(&trees);
    assert_hd_ok(hd_forest_fit(&trees, &data, &kinds[1], &rng, &err));
    static const struct {
        float value;
        double target;
    } probes[] = {{0.003f, 1}, {0.5f, 2}, {0.1f, 3}, {0.9f, 3}};
    for (size_t i = 0; i < HD_COUNT(probes); i++) {
        double mean, variance;
        struct row row = {{probes[i].value, 0, 0.5f}};
        hd_forest_predict(&trees, row.values, 1, &mean, &variance);
        assert_true(fabs(mean - probes[i].target) < 0.1);
    }
    hd_trees_release(&trees);
    hd_tree_data_release(&data);
}

static void test_boosting_covers_its_quantile(void **state)
{
    /* Promise: of new rows of a noisy function about the wanted part lies below a boosted quantile,
     * in each half of the space, though the noise of one half is four times that of the other. */
    (void)state;
    enum { COUNT = 4000 };
    static const double quantiles[] = {0.1, 0.5, 0.9};
    struct hd_tree_data data[2];
    struct hd_err err = {0};
    for (int i = 0; i < 2; i++) {
        struct hd_rng rng;
        hd_rng_seed(&rng, 90 + (uint64_t)i);
        make_rows(&data[i], COUNT, 0.3, step, 0, 40 + (uint64_t)i);
        for (size_t row = 0; row < COUNT; row++) {
            double sigma = data[i].values[row * WIDTH] < 0.5f ? 0.5 : 2;
            data[i].targets[row] += (float)(sigma * hd_rng_normal(&rng));
        }
    }
    for (size_t q = 0; q < HD_COUNT(quantiles); q++) {
        struct hd_tree_settings settings = {.tree_count = 60,
                                            .leaf_rows_min = 10,
                                            .split_rows_min = 20,
                                            .depth_max = 4,
                                            .quantile = quantiles[q],
                                            .rate = 0.15,
                                            .row_fraction = 0.8};
        struct hd_trees trees;
        struct hd_rng rng;
        double counts[2] = {0}, below[2] = {0};
        hd_rng_seed(&rng, 6);
        hd_trees_init(&trees);
        assert_hd_ok(hd_boost_fit(&trees, &data[0], &settings, &rng, &err));
        for (size_t row = 0; row < COUNT; row++) {
            const float *values = data[1].values + row * WIDTH;
            double level;
            size_t half = values[0] < 0.5f ? 0 : 1;
            hd_boost_predict(&trees, values, 1, &level);
            counts[half]++;
            below[half] += (double)data[1].targets[row] <= level ? 1 : 0;
        }
        for (int half = 0; half < 2; half++)
            assert_true(fabs(below[half] / counts[half] - quantiles[q]) < 0.05);
        hd_trees_release(&trees);
    }
    hd_tree_data_release(&data[0]);
    hd_tree_data_release(&data[1]);
}

static int compare_floats(const void *a, const void *b)
{
    float x = *(const float *)a, y = *(const float *)b;
    return (x > y) - (x < y);
}

static void test_selection_is_sorting(void **state)
{
    /* Promise: the selected quantile is the element that sorting would put there, with ties too. */
    (void)state;
    struct hd_rng rng;
    hd_rng_seed(&rng, 2);
    for (int round = 0; round < 300; round++) {
        float numbers[40], sorted[40];
        size_t count = 1 + (size_t)hd_rng_below(&rng, 40);
        uint64_t kinds_count = 1 + hd_rng_below(&rng, 60);
        double quantile = hd_rng_double(&rng);
        for (size_t i = 0; i < count; i++)
            numbers[i] = sorted[i] = (float)hd_rng_below(&rng, kinds_count);
        qsort(sorted, count, sizeof(float), compare_floats);
        size_t rank = (size_t)ceil(quantile * (double)count);
        assert_true(hd_select_quantile(numbers, count, quantile) ==
                    sorted[rank > 0 ? rank - 1 : 0]);
    }
}

static void test_degenerate_rows(void **state)
{
    /* Promise: one row, equal targets, and rows that do not differ make trees of one leaf. */
    (void)state;
    for (int equal_rows = 0; equal_rows < 2; equal_rows++) {
        for (size_t count = 1; count < 40; count += 19) {
            struct hd_tree_data data;
            struct hd_trees trees;
            struct hd_rng rng;
            struct hd_err err = {0};
            double mean, variance;
            make_rows(&data, count, 0.3, step, 1, 1);
            for (size_t i = 0; i < count; i++) {
                for (size_t j = 0; j < WIDTH && equal_rows; j++)
                    data.values[i * WIDTH + j] = j == 2 ? NAN : 1;
                data.targets[i] = equal_rows ? (float)(i % 2) : 2;
            }
            hd_tree_data_prepare(&data);
            hd_rng_seed(&rng, 1);
            hd_trees_init(&trees);
            assert_hd_ok(hd_forest_fit(&trees, &data, &kinds[1], &rng, &err));
            assert_int_equal(trees.node_count, kinds[1].tree_count);
            hd_forest_predict(&trees, data.values, 1, &mean, &variance);
            double expected = equal_rows ? floor((double)count / 2) / (double)count : 2;
            assert_true(fabs(mean - expected) < 1e-6);
            hd_trees_release(&trees);
            hd_tree_data_release(&data);
        }
    }
}

/* ---- samplers ------------------------------------------------------------------------------ */

enum { SEEDS = 20, PROPOSALS = 60, WINS_MIN = 16 }; /* of fair coins: p = 0.006 */

/* A choice of three models: the first has a rate and a depth, the second a width, the third none of
 * them; a flag for all. */
static struct hd_space *branched_space(void)
{
    static const char json[] =
        "{\"model\":{\"type\":\"categorical\",\"choices\":[\"a\",\"b\",\"c\"]},"
        "\"rate\":{\"type\":\"float\",\"low\":1e-5,\"high\":1,\"log\":true},"
        "\"depth\":{\"type\":\"int\",\"low\":1,\"high\":20},"
        "\"width\":{\"type\":\"float\",\"low\":0,\"high\":1},"
        "\"flag\":{\"type\":\"bool\"}}";
    static const double parents[] = {NAN, 0, 0, 1};
    struct hd_err err = {0};
    struct hd_value *value = NULL;
    struct hd_space *space = NULL;
    assert_hd_ok(hd_json_parse(json, strlen(json), "test", &hd_value_limits_file, &value, &err));
    assert_hd_ok(hd_space_parse(value, "test", "space", &space, &err));
    hd_value_free(value);
    for (size_t i = 1; i < HD_COUNT(parents); i++) {
        struct hd_param *param = &space->params[i];
        param->conditions = hd_calloc(1, sizeof(*param->conditions));
        assert_non_null(param->conditions);
        param->condition_count = 1;
        *param->conditions =
            (struct hd_condition){.op = HD_CONDITION_IN, .node_count = 1, .value_count = 1};
        param->conditions->values = hd_calloc(1, sizeof(double));
        assert_non_null(param->conditions->values);
        param->conditions->values[0] = parents[i];
    }
    return space;
}

static double branched(const double *values)
{
    double loss = values[4] == 1 ? 0 : 0.1;
    if (values[0] == 0)
        return loss + pow(log10(values[1]) + 3, 2) / 9 + pow((values[2] - 13) / 10, 2);
    return loss + (values[0] == 1 ? 0.4 + pow(values[3] - 0.2, 2) : 0.8);
}

static double best_of(const char *settings_json, const struct hd_space *space, uint64_t seed)
{
    struct hd_err err = {0};
    struct hd_value *settings = NULL;
    struct hd_sampler *sampler = NULL;
    double best = INFINITY, values[8];
    assert_hd_ok(hd_json_parse(settings_json, strlen(settings_json), "test", &hd_value_limits_file,
                               &settings, &err));
    struct hd_sampler_spec spec = {
        .name = hd_value_get(settings, "name")->as.string, .settings = settings, .seed = seed};
    assert_hd_ok(hd_sampler_new(&spec, space, &sampler, &err));
    for (uint32_t i = 0; i < PROPOSALS; i++) {
        assert_hd_ok(hd_sampler_suggest(sampler, i, 1, values, NULL, &err));
        assert_hd_ok(hd_space_check(space, values, &err));
        assert_hd_ok(hd_sampler_add(sampler, i, values, &err));
        assert_hd_ok(hd_sampler_tell(sampler, i, 1, branched(values), &err));
        best = fmin(best, branched(values));
    }
    hd_sampler_free(sampler);
    hd_value_free(settings);
    return best;
}

static void test_forests_beat_random_on_branches(void **state)
{
    /* Promise: in a mixed and conditional space with a forbidden clause every proposal is legal,
     * and forest and cqr find better configs than random search does, paired by seed, p < 0.01. */
    (void)state;
    static const char *const settings[] = {"{\"name\":\"forest\"}", "{\"name\":\"cqr\"}"};
    struct hd_space *space = branched_space();
    double forbidden_choice = 2;
    struct hd_condition clause = {
        .op = HD_CONDITION_IN, .node_count = 1, .values = &forbidden_choice, .value_count = 1};
    struct hd_forbidden forbidden = {.conditions = &clause, .condition_count = 1};
    space->forbidden = &forbidden;
    space->forbidden_count = 1;
    for (size_t i = 0; i < HD_COUNT(settings); i++) {
        int wins = 0;
        for (uint64_t seed = 0; seed < SEEDS; seed++) {
            double random = best_of("{\"name\":\"random\"}", space, seed);
            wins += best_of(settings[i], space, seed) < random ? 1 : 0;
        }
        print_message("# %s: %d of %d\n", settings[i], wins, SEEDS);
        assert_true(wins >= WINS_MIN);
    }
    space->forbidden = NULL;
    space->forbidden_count = 0;
    hd_space_free(space);
}

static void test_every_kind_of_forest_proposes(void **state)
{
    /* Promise: random forests and boosted quantiles serve as models too; another kind is refused.
     */
    (void)state;
    struct hd_err err = {0};
    struct hd_value *settings = NULL;
    struct hd_sampler *sampler = NULL;
    struct hd_space *space = branched_space();
    assert_true(best_of("{\"name\":\"forest\",\"kind\":\"rf\"}", space, 1) < 0.5);
    assert_true(best_of("{\"name\":\"forest\",\"kind\":\"gbrt\"}", space, 1) < 0.5);
    static const char wrong[] = "{\"kind\":\"oak\"}";
    assert_hd_ok(
        hd_json_parse(wrong, strlen(wrong), "test", &hd_value_limits_file, &settings, &err));
    struct hd_sampler_spec spec = {.name = "forest", .settings = settings};
    assert_hd_fails(hd_sampler_new(&spec, space, &sampler, &err), HD_E_INVALID, "et, rf, gbrt");
    hd_value_free(settings);
    hd_space_free(space);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_forests_fit_what_is_flat_in_parts),
        cmocka_unit_test(test_same_stream_same_trees),
        cmocka_unit_test(test_more_values_than_bins),
        cmocka_unit_test(test_boosting_covers_its_quantile),
        cmocka_unit_test(test_selection_is_sorting),
        cmocka_unit_test(test_degenerate_rows),
        cmocka_unit_test(test_forests_beat_random_on_branches),
        cmocka_unit_test(test_every_kind_of_forest_proposes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
