/* SPDX-License-Identifier: Apache-2.0 */
/* test_presets.c: how well tpe does, ours and as in other systems, against random ones. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "testlib.h"

#include "../../optimizer/sampler/preset.h"

#include <hd/sampler.h>

#define SEEDS 50

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

static struct hd_sampler *sampler_of(const char *name, const struct hd_space *space, uint64_t seed)
{
    struct hd_err err = {0};
    struct hd_sampler *sampler = NULL;
    struct hd_sampler_spec spec = {.name = name, .seed = seed};
    assert_hd_ok(hd_sampler_new(&spec, space, &sampler, &err));
    return sampler;
}

/* ---- worth --------------------------------------------------------------------------------- */

static const double pi = 3.14159265358979323846;

static double branin(const double *v)
{
    double x = v[0], y = v[1];
    double inner = y - 5.1 / (4 * pi * pi) * x * x + 5 / pi * x - 6;
    return inner * inner + 10 * (1 - 1 / (8 * pi)) * cos(x) + 10;
}

/* A float, a log float, a log int, an int and a categorical that interact a little. */
static double mixed(const double *v)
{
    static const double penalty[] = {0, 0.3, 0.15, 0.5};
    double rate = log10(v[0]) + 2.7, drop = v[1] - 0.3, units = log2(v[2]) - 6.5;
    double layers = v[3] - 3 - (v[4] == 0 ? 0 : 1);
    return 0.3 * rate * rate + 3 * drop * drop + 0.05 * units * units + 0.04 * layers * layers +
           penalty[(size_t)v[4]];
}

/* Three branches with own params; the best config is in the widest one. */
static double branched(const double *v)
{
    if (v[0] == 0)
        return 0.6 + fabs(v[1] - 0.5);
    if (v[0] == 1)
        return 0.5 + fabs(v[1] - 0.3) + 0.05 * fabs(v[2] - 4);
    double x = v[3] - 0.8, y = v[4] - 0.2, z = v[5] == 2 ? 0 : 0.5;
    return 1.5 * sqrt(x * x + y * y) + z;
}

#define BRANCHED                                                                                   \
    "\"a\":{\"type\":\"categorical\",\"choices\":[\"p\",\"q\",\"r\"]},"                            \
    "\"x\":{\"type\":\"float\",\"low\":0,\"high\":1,\"when\":{\"a\":[\"p\",\"q\"]}},"              \
    "\"n\":{\"type\":\"int\",\"low\":1,\"high\":9,\"when\":{\"a\":\"q\"}},"                        \
    "\"u\":{\"type\":\"float\",\"low\":0,\"high\":1,\"when\":{\"a\":\"r\"}},"                      \
    "\"v\":{\"type\":\"float\",\"low\":0,\"high\":1,\"when\":{\"a\":\"r\"}},"                      \
    "\"w\":{\"type\":\"categorical\",\"choices\":[0,1,2],\"when\":{\"a\":\"r\"}}"

static struct hd_sampler *preset_of(const char *preset, const struct hd_space *space, uint64_t seed)
{
    struct hd_err err = {0};
    struct hd_sampler *sampler = NULL;
    struct hd_value *settings = hd_value_new_object();
    struct hd_sampler_spec spec = {.name = "tpe", .settings = settings, .seed = seed};
    assert_int_equal(hd_value_set(settings, "preset", hd_value_new_string(preset)), HD_OK);
    assert_hd_ok(hd_sampler_new(&spec, space, &sampler, &err));
    hd_value_free(settings);
    return sampler;
}

/* The best loss of a run; every config is legal and new. Takes the sampler. */
static double best_of_sampler(struct hd_sampler *sampler, const struct hd_space *space,
                              double (*loss)(const double *), uint32_t count)
{
    struct hd_err err = {0};
    double best = INFINITY, values[8];
    for (uint32_t i = 0; i < count; i++) {
        assert_hd_ok(hd_sampler_suggest(sampler, i, 1, values, NULL, &err));
        assert_hd_ok(hd_space_check(space, values, &err));
        assert_hd_ok(hd_sampler_add(sampler, i, values, &err));
        double found = loss(values);
        assert_hd_ok(hd_sampler_tell(sampler, i, 1, found, &err));
        best = found < best ? found : best;
    }
    hd_sampler_free(sampler);
    return best;
}

static double best_of(const char *name, const struct hd_space *space,
                      double (*loss)(const double *), uint64_t seed, uint32_t count)
{
    return best_of_sampler(sampler_of(name, space, seed), space, loss, count);
}

/* One-sided Wilcoxon signed-rank test by its normal approximation (fine for 50 pairs): the z of
 * "a is smaller than b". */
static double wilcoxon_z(const double *a, const double *b, size_t count)
{
    double positive = 0;
    for (size_t i = 0; i < count; i++) {
        double rank = 0.5;
        for (size_t j = 0; j < count; j++) {
            double x = fabs(a[i] - b[i]), y = fabs(a[j] - b[j]);
            rank += y < x ? 1 : y == x ? 0.5 : 0;
        }
        positive += b[i] > a[i] ? rank : 0;
    }
    double n = (double)count;
    return (positive - n * (n + 1) / 4) / sqrt(n * (n + 1) * (2 * n + 1) / 24);
}

static void test_tpe_beats_random_on_branches(void **state)
{
    /* Promise: in a conditional space every proposal is a legal config, and TPE finds better ones
     * than random search does, p < 0.01, with and without a forbidden clause. */
    (void)state;
    static const char *const jsons[] = {"{" BRANCHED "}",
                                        "{" BRANCHED ",\"forbidden\":[{\"w\":1}]}"};
    for (size_t forbidden_count = 0; forbidden_count < 2; forbidden_count++) {
        double tpe[SEEDS], random[SEEDS];
        struct hd_space *space = space_of(jsons[forbidden_count]);
        for (uint64_t seed = 0; seed < SEEDS; seed++) {
            tpe[seed] = best_of("tpe", space, branched, seed, 60);
            random[seed] = best_of("random", space, branched, seed, 60);
        }
        hd_space_free(space);
        double z = wilcoxon_z(tpe, random, SEEDS);
        print_message("# %zu forbidden clauses: z = %.2f\n", forbidden_count, z);
        assert_true(z > 2.33);
    }
}

static const char *const mixed_json =
    "{\"rate\":{\"type\":\"float\",\"low\":1e-5,\"high\":1,\"log\":true},"
    "\"drop\":{\"type\":\"float\",\"low\":0,\"high\":0.9},"
    "\"units\":{\"type\":\"int\",\"low\":8,\"high\":1024,\"log\":true},"
    "\"layers\":{\"type\":\"int\",\"low\":1,\"high\":8},"
    "\"act\":{\"type\":\"categorical\",\"choices\":[\"a\",\"b\",\"c\",\"d\"]}}";

static void test_tpe_beats_random(void **state)
{
    /* Promise: paired over 50 seeds TPE finds better configs than random search does, on Branin and
     * on a mixed space, with p < 0.01 (z > 2.33). */
    (void)state;
    const struct {
        const char *json;
        double (*loss)(const double *);
        uint32_t count;
    } rows[] = {
        {"{\"x\":{\"type\":\"float\",\"low\":-5,\"high\":10},"
         "\"y\":{\"type\":\"float\",\"low\":0,\"high\":15}}",
         branin, 60},
        {mixed_json, mixed, 80},
    };
    for (size_t i = 0; i < HD_COUNT(rows); i++) {
        double tpe[SEEDS], random[SEEDS];
        struct hd_space *space = space_of(rows[i].json);
        for (uint64_t seed = 0; seed < SEEDS; seed++) {
            tpe[seed] = best_of("tpe", space, rows[i].loss, seed, rows[i].count);
            random[seed] = best_of("random", space, rows[i].loss, seed, rows[i].count);
        }
        double z = wilcoxon_z(tpe, random, SEEDS);
        print_message("# row %zu: z = %.2f\n", i, z);
        assert_true(z > 2.33);
        hd_space_free(space);
    }
}

/* ---- presets ------------------------------------------------------------------------------- */

static void test_presets_beat_random(void **state)
{
    /* Promise: every preset proposes legal new configs only, with and without conditions, and
     * beats random search on a mixed space, p < 0.01. */
    (void)state;
    double random[SEEDS], found[SEEDS];
    struct hd_space *space = space_of(mixed_json), *branches = space_of("{" BRANCHED "}");
    for (uint64_t seed = 0; seed < SEEDS; seed++)
        random[seed] = best_of("random", space, mixed, seed, 80);
    for (size_t i = 0; i < HD_PRESET_COUNT; i++) {
        const char *preset = hd_preset_names[i];
        for (uint64_t seed = 0; seed < SEEDS; seed++)
            found[seed] = best_of_sampler(preset_of(preset, space, seed), space, mixed, 80);
        double z = wilcoxon_z(found, random, SEEDS);
        print_message("# %s: z = %.2f\n", preset, z);
        assert_true(z > 2.33);
        assert_true(
            isfinite(best_of_sampler(preset_of(preset, branches, 1), branches, branched, 80)));
    }
    hd_space_free(space);
    hd_space_free(branches);
}

static void test_presets_differ(void **state)
{
    /* Promise: each preset is another estimator: the same history gives six different proposals,
     * and each of them again when asked again and from a fresh sampler. */
    (void)state;
    enum { COUNT = 60 };
    struct hd_err err = {0};
    struct hd_rng rng;
    struct hd_space *space = space_of(mixed_json);
    double values[HD_PRESET_COUNT][5], again[5], config[5];
    for (size_t i = 0; i < 2 * (size_t)HD_PRESET_COUNT; i++) {
        size_t preset = i / 2;
        struct hd_sampler *sampler = preset_of(hd_preset_names[preset], space, 12);
        struct hd_proposal_info info;
        hd_rng_seed(&rng, 5);
        for (uint32_t k = 0; k < COUNT; k++) {
            hd_space_sample(space, &rng, config);
            assert_hd_ok(hd_sampler_add(sampler, k, config, &err));
            assert_hd_ok(hd_sampler_tell(sampler, k, 1, mixed(config), &err));
        }
        assert_hd_ok(hd_sampler_suggest(sampler, COUNT, 1, again, &info, &err));
        if (i % 2 == 0)
            memcpy(values[preset], again, sizeof(again));
        assert_memory_equal(values[preset], again, sizeof(again));
        assert_hd_ok(hd_sampler_suggest(sampler, COUNT, 1, again, &info, &err));
        assert_memory_equal(values[preset], again, sizeof(again));
        assert_true(info.model || preset == HD_PRESET_BOHB); /* a third of its are random */
        for (size_t j = 0; j < preset; j++)
            assert_false(hd_config_equal(space, values[j], values[preset]));
        hd_sampler_free(sampler);
    }
    hd_space_free(space);
}

static void test_preset_settings(void **state)
{
    /* Promise: an unknown preset is refused with those there are; a preset's own settings can be
     * given, and only to it. */
    (void)state;
    static const struct {
        const char *preset, *key;
        double value;
        const char *refusal;
    } rows[] = {
        {"optunaa", "gamma", 0.2, "must be one of default, optuna, hyperopt, watanabe, bohb, etpe"},
        {"bohb", "bandwidth_factor", 2, NULL},
        {"bohb", "bandwidth_min", 0.01, NULL},
        {"etpe", "bandwidth_factor", 2, NULL},
        {"watanabe", "bandwidth_min", 0.01, NULL},
        {"watanabe", "bandwidth_factor", 2, "sampler.bandwidth_factor"},
        {"default", "bandwidth_min", 0.01, "sampler.bandwidth_min"},
        {"hyperopt", "n_startup", 5, NULL},
        {"bohb", "random_fraction", 2, "sampler.random_fraction: must be a number from 0 to 1"},
    };
    struct hd_err err = {0};
    struct hd_space *space = space_of(mixed_json);
    for (size_t i = 0; i < HD_COUNT(rows); i++) {
        struct hd_sampler *sampler = NULL;
        struct hd_value *settings = hd_value_new_object();
        struct hd_sampler_spec spec = {.name = "tpe", .settings = settings};
        assert_int_equal(hd_value_set(settings, "preset", hd_value_new_string(rows[i].preset)),
                         HD_OK);
        assert_int_equal(hd_value_set(settings, rows[i].key, hd_value_new_double(rows[i].value)),
                         HD_OK);
        enum hd_code code = hd_sampler_new(&spec, space, &sampler, &err);
        if (rows[i].refusal == NULL)
            assert_hd_ok(code);
        else
            assert_hd_fails(code, HD_E_INVALID, rows[i].refusal);
        hd_sampler_free(sampler);
        hd_value_free(settings);
    }
    hd_space_free(space);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_tpe_beats_random),
        cmocka_unit_test(test_tpe_beats_random_on_branches),
        cmocka_unit_test(test_presets_beat_random),
        cmocka_unit_test(test_presets_differ),
        cmocka_unit_test(test_preset_settings),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
