/* SPDX-License-Identifier: Apache-2.0 */
/* test_sampler.c: what every sampler promises, run on each name that hd_sampler_new() knows. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "testlib.h"

#include <hd/sampler.h>

#define VALUES_MAX 256

/* The argument, for sanitizers: they are slow, and where a path is taken twice they see no more.
 * Histories are so many times shorter, as long as models still come in; and failures rarer. */
static uint32_t shorter = 1;

static uint32_t history(uint32_t count)
{
    enum { MODELLED = 40 };
    uint32_t less = count / shorter;
    return less > MODELLED ? less : (count < MODELLED ? count : MODELLED);
}

static const char *const mixed_json =
    "{\"lr\":{\"type\":\"float\",\"low\":1e-5,\"high\":1,\"log\":true},"
    "\"momentum\":{\"type\":\"float\",\"low\":0,\"high\":1,\"step\":0.05},"
    "\"units\":{\"type\":\"int\",\"low\":8,\"high\":1024,\"log\":true},"
    "\"layers\":{\"type\":\"int\",\"low\":1,\"high\":8},"
    "\"act\":{\"type\":\"categorical\",\"choices\":[\"relu\",\"tanh\",\"gelu\"]},"
    "\"size\":{\"type\":\"ordinal\",\"choices\":[16,32,64,128]},"
    "\"bias\":{\"type\":\"bool\"},\"epochs\":3}";

/* Everything at once: three levels of conditions, comparisons, alternatives, normals, weights,
 * priors, clauses that cut a good part away. */
static const char *const conditional_json =
    "{\"optimizer\":{\"type\":\"categorical\",\"choices\":[\"adam\",\"sgd\",\"lbfgs\"],"
    "\"weights\":[3,2,1]},"
    "\"lr\":{\"type\":\"float\",\"low\":1e-5,\"high\":1,\"log\":true,\"normal\":{\"mean\":1e-2,"
    "\"sd\":2},\"prior\":{\"center\":1e-3,\"confidence\":\"high\"}},"
    "\"momentum\":{\"type\":\"float\",\"low\":0,\"high\":1,\"when\":{\"optimizer\":\"sgd\"}},"
    "\"nesterov\":{\"type\":\"bool\",\"when\":{\"momentum\":{\"gt\":0.2}}},"
    "\"beta\":{\"type\":\"float\",\"low\":0.5,\"high\":0.999,\"when\":{\"any\":[{\"optimizer\":"
    "\"adam\"},{\"nesterov\":true,\"layers\":{\"ge\":3}}]}},"
    "\"layers\":{\"type\":\"int\",\"low\":1,\"high\":6,\"normal\":{\"mean\":3,\"sd\":1}},"
    "\"units2\":{\"type\":\"int\",\"low\":8,\"high\":512,\"log\":true,\"when\":{\"layers\":{"
    "\"gt\":1}}},"
    "\"units3\":{\"type\":\"ordinal\",\"choices\":[8,64,512],\"when\":{\"layers\":{\"gt\":2},"
    "\"units2\":{\"not\":[8,9]}}},"
    "\"tag\":{\"type\":\"constant\",\"value\":\"deep\",\"when\":{\"layers\":{\"ge\":4}}},"
    "\"forbidden\":[{\"optimizer\":\"lbfgs\",\"layers\":{\"gt\":3}},{\"optimizer\":\"sgd\",\"lr\":{"
    "\"gt\":0.1}},{\"any\":[{\"units3\":8},{\"units2\":{\"lt\":12}}],\"layers\":[3,4,5]}]}";

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

/* A smooth loss of the unit coordinates, at 0 where all are 0.3. */
static double bowl(const struct hd_space *space, const double *values)
{
    double sum = 0;
    for (size_t i = 0; i < space->param_count; i++) {
        if (isnan(values[i]))
            continue;
        double offset = hd_param_to_unit(&space->params[i], values[i]) - 0.3;
        sum += offset * offset;
    }
    return sum;
}

enum loss_kind { BOWL, CONSTANT, ALL_FAILED, WILD };

static double loss_of(enum loss_kind kind, const struct hd_space *space, const double *values,
                      uint32_t number)
{
    static const double wild[] = {NAN, INFINITY, -INFINITY, 1e308, -1e308, 0, -0.0, 5e-324, 1};
    switch (kind) {
    case BOWL:
        return bowl(space, values);
    case CONSTANT:
        return 1;
    case ALL_FAILED:
        return NAN;
    case WILD:
        return wild[number % HD_COUNT(wild)];
    }
    return 0;
}

/* Runs count jobs with `lag` of them always outstanding; every config must be legal and new.
 * Configs go to ret_configs[count][param_count] when given, who proposed them to ret_origins. */
static void run(struct hd_sampler *sampler, const struct hd_space *space, enum loss_kind kind,
                uint32_t count, uint32_t lag, double *ret_configs,
                char (*ret_origins)[HD_SAMPLER_NAME_MAX])
{
    struct hd_err err = {0};
    double *configs = calloc(count, space->param_count * sizeof(double));
    assert_non_null(configs);
    for (uint32_t i = 0; i < count + lag; i++) {
        if (i < count) {
            struct hd_proposal_info info;
            double *values = configs + i * space->param_count;
            assert_hd_ok(hd_sampler_suggest(sampler, i, 1, values, &info, &err));
            assert_hd_ok(hd_space_check(space, values, &err));
            assert_true(strlen(info.sampler) > 0);
            assert_true(info.model == isfinite(info.model_budget));
            for (uint32_t j = 0; j < i; j++)
                assert_false(hd_config_equal(space, values, configs + j * space->param_count));
            assert_hd_ok(hd_sampler_credit(sampler, i, info.sampler, &err));
            assert_hd_ok(hd_sampler_add(sampler, i, values, &err));
            if (ret_origins != NULL)
                memcpy(ret_origins[i], info.sampler, sizeof(info.sampler));
        }
        if (i >= lag) {
            const double *values = configs + (i - lag) * space->param_count;
            assert_hd_ok(
                hd_sampler_tell(sampler, i - lag, 1, loss_of(kind, space, values, i - lag), &err));
        }
    }
    if (ret_configs != NULL)
        memcpy(ret_configs, configs, count * space->param_count * sizeof(double));
    free(configs);
}

#define FOR_EACH_SAMPLER(name_)                                                                    \
    for (const char *const *each_ = hd_sampler_names(); (name_ = *each_) != NULL; each_++)

static void test_configs_are_legal_and_new(void **state)
{
    /* Promise: whatever the losses (failed, NaN, infinite, huge, equal) and however many jobs are
     * outstanding, each proposal is a legal config that was not proposed before. */
    (void)state;
    const char *const jsons[] = {mixed_json, conditional_json};
    const char *name;
    FOR_EACH_SAMPLER(name)
    {
        static const enum loss_kind kinds[] = {BOWL, CONSTANT, ALL_FAILED, WILD};
        for (size_t i = 0; i < HD_COUNT(kinds) * HD_COUNT(jsons); i++) {
            struct hd_space *space = space_of(jsons[i % HD_COUNT(jsons)]);
            for (uint32_t lag = 0; lag <= 16; lag += 16) {
                struct hd_sampler *sampler = sampler_of(name, space, 11 + i);
                uint32_t count = history(i % HD_COUNT(jsons) == 0 ? 120 : 60);
                run(sampler, space, kinds[i / HD_COUNT(jsons)], count, lag, NULL, NULL);
                hd_sampler_free(sampler);
            }
            hd_space_free(space);
        }
    }
}

static void check_replay(const char *json)
{
    enum { COUNT = 80 };
    const uint32_t count = history(COUNT);
    const char *name;
    struct hd_err err = {0};
    struct hd_space *space = space_of(json);
    size_t width = space->param_count;
    FOR_EACH_SAMPLER(name)
    {
        double configs[COUNT * 16], values[16], again[16];
        char origins[COUNT][HD_SAMPLER_NAME_MAX];
        struct hd_sampler *first = sampler_of(name, space, 5);
        run(first, space, BOWL, count, 3, configs, origins);
        struct hd_sampler *replay = sampler_of(name, space, 5);
        struct hd_sampler *other = sampler_of(name, space, 6);
        for (uint32_t i = 0; i < count + 3; i++) {
            if (i < count) {
                assert_hd_ok(hd_sampler_suggest(other, i, 1, values, NULL, &err));
                /* Replaying needs no asking; every seventh is asked to compare. */
                if (i % 7 == 0) {
                    assert_hd_ok(hd_sampler_suggest(replay, i, 1, values, NULL, &err));
                    assert_memory_equal(values, configs + i * width, width * sizeof(double));
                }
                assert_hd_ok(hd_sampler_credit(replay, i, origins[i], &err));
                assert_hd_ok(hd_sampler_add(replay, i, configs + i * width, &err));
                assert_hd_ok(hd_sampler_add(other, i, configs + i * width, &err));
            }
            if (i >= 3) {
                double loss = bowl(space, configs + (i - 3) * width);
                assert_hd_ok(hd_sampler_tell(replay, i - 3, 1, loss, &err));
                assert_hd_ok(hd_sampler_tell(other, i - 3, 1, loss, &err));
            }
        }
        for (uint32_t ahead = 0; ahead < 3; ahead++) {
            assert_hd_ok(hd_sampler_suggest(first, count + ahead, 1, values, NULL, &err));
            assert_hd_ok(hd_sampler_suggest(replay, count + ahead, 1, again, NULL, &err));
            assert_memory_equal(values, again, width * sizeof(double));
            assert_hd_ok(hd_sampler_suggest(first, count + ahead, 1, again, NULL, &err));
            assert_memory_equal(values, again, width * sizeof(double));
            assert_hd_ok(hd_sampler_suggest(other, count + ahead, 1, again, NULL, &err));
            assert_false(hd_config_equal(space, values, again));
        }
        hd_sampler_free(first);
        hd_sampler_free(replay);
        hd_sampler_free(other);
    }
    hd_space_free(space);
}

static void test_same_history_same_proposals(void **state)
{
    /* Promise: a fresh sampler that is fed the same adds and tells proposes the same, bit for bit,
     * also when the first one was asked more often on the way; another seed proposes otherwise. */
    (void)state;
    check_replay(mixed_json);
    check_replay(conditional_json);
}

static void test_the_interleaving_of_adds_and_tells_does_not_show(void **state)
{
    /* Promise: the same configs and the same results propose the same, whether a config was added
     * long before a result came or just before it: a master that was restarted hears of what was
     * computed ahead later than the first one did. */
    (void)state;
    enum { COUNT = 340, TOLD = 30, STRIDE = 11 };
    const char *name;
    struct hd_err err = {0};
    struct hd_space *space = space_of(mixed_json);
    double configs[COUNT][VALUES_MAX], values[VALUES_MAX], again[VALUES_MAX];
    struct hd_rng rng;
    hd_rng_seed(&rng, 9);
    for (uint32_t i = 0; i < COUNT; i++)
        hd_space_sample(space, &rng, configs[i]);
    FOR_EACH_SAMPLER(name)
    {
        struct hd_sampler *ahead = sampler_of(name, space, 5), *behind = sampler_of(name, space, 5);
        for (uint32_t i = 0; i < COUNT; i++)
            assert_hd_ok(hd_sampler_add(ahead, i, configs[i], &err));
        for (uint32_t i = 0; i < COUNT; i++) {
            assert_hd_ok(hd_sampler_add(behind, i, configs[i], &err));
            if (i % STRIDE != 0 || i / STRIDE >= TOLD)
                continue;
            assert_hd_ok(hd_sampler_tell(ahead, i, 1, bowl(space, configs[i]), &err));
            assert_hd_ok(hd_sampler_tell(behind, i, 1, bowl(space, configs[i]), &err));
        }
        assert_hd_ok(hd_sampler_suggest(ahead, COUNT, 1, values, NULL, &err));
        assert_hd_ok(hd_sampler_suggest(behind, COUNT, 1, again, NULL, &err));
        assert_memory_equal(values, again, space->param_count * sizeof(double));
        hd_sampler_free(ahead);
        hd_sampler_free(behind);
    }
    hd_space_free(space);
}

static void test_light_samplers_look_at_no_results(void **state)
{
    /* Promise: a sampler that calls itself light proposes the same whatever the results were; the
     * random one is light and TPE is not. */
    (void)state;
    enum { COUNT = 60 };
    const char *name;
    struct hd_space *space = space_of(mixed_json);
    double low[COUNT * VALUES_MAX], wild[COUNT * VALUES_MAX];
    FOR_EACH_SAMPLER(name)
    {
        struct hd_sampler *first = sampler_of(name, space, 5), *second = sampler_of(name, space, 5);
        if (hd_streq(name, "random") || hd_streq(name, "tpe"))
            assert_int_equal(hd_sampler_is_light(first), hd_streq(name, "random"));
        if (hd_sampler_is_light(first)) {
            run(first, space, BOWL, COUNT, 0, low, NULL);
            run(second, space, WILD, COUNT, 0, wild, NULL);
            assert_memory_equal(low, wild, COUNT * space->param_count * sizeof(double));
        }
        hd_sampler_free(first);
        hd_sampler_free(second);
    }
    hd_space_free(space);
}

static void test_small_spaces_are_used_up(void **state)
{
    /* Promise: in a finite space every config is proposed exactly once, then HD_E_LIMIT. */
    (void)state;
    static const struct {
        const char *json;
        uint32_t size;
    } rows[] = {
        {"{\"k\":3}", 1},
        {"{\"k\":{\"type\":\"float\",\"low\":2,\"high\":2}}", 1},
        {"{\"b\":{\"type\":\"bool\"}}", 2},
        {"{\"a\":{\"type\":\"int\",\"low\":1,\"high\":5},\"b\":{\"type\":\"bool\"},\"c\":{\"type\":"
         "\"categorical\",\"choices\":[\"x\",\"y\",\"z\"]},\"d\":{\"type\":\"float\",\"low\":0,"
         "\"high\":1,\"step\":0.25}}",
         150},
        /* a: 1 2 3; b only with a > 1: 3 levels; not b = 1 with a = 3: 1 + 3 + 2 */
        {"{\"a\":{\"type\":\"int\",\"low\":1,\"high\":3},\"b\":{\"type\":\"int\",\"low\":0,"
         "\"high\":"
         "2,\"when\":{\"a\":{\"gt\":1}}},\"forbidden\":[{\"a\":3,\"b\":1}]}",
         6},
    };
    const char *name;
    struct hd_err err = {0};
    FOR_EACH_SAMPLER(name)
    {
        for (size_t i = 0; i < HD_COUNT(rows); i++) {
            double values[VALUES_MAX];
            struct hd_space *space = space_of(rows[i].json);
            struct hd_sampler *sampler = sampler_of(name, space, 3);
            run(sampler, space, BOWL, rows[i].size, 0, NULL, NULL);
            assert_hd_fails(hd_sampler_suggest(sampler, rows[i].size, 1, values, NULL, &err),
                            HD_E_LIMIT, "configs of the space are used");
            hd_sampler_free(sampler);
            hd_space_free(space);
        }
    }
}

static void test_many_dimensions(void **state)
{
    /* Promise: 200 dimensions are no obstacle. */
    (void)state;
    const char *name;
    struct hd_err err = {0};
    struct hd_buf json;
    hd_buf_init(&json, 1 << 20);
    for (int i = 0; i < 200; i++)
        assert_hd_ok(hd_buf_printf(&json, &err, "%s\"p%d\":%s", i == 0 ? "{" : ",", i,
                                   i % 4 == 0 ? "{\"type\":\"categorical\",\"choices\":[1,2,3]}"
                                   : i % 4 == 1
                                       ? "{\"type\":\"int\",\"low\":1,\"high\":1000,\"log\":true}"
                                       : "{\"type\":\"float\",\"low\":0,\"high\":1}"));
    assert_hd_ok(hd_buf_puts(&json, "}", &err));
    struct hd_space *space = space_of(hd_buf_text(&json));
    FOR_EACH_SAMPLER(name)
    {
        struct hd_sampler *sampler = sampler_of(name, space, 2);
        run(sampler, space, BOWL, history(60), 4, NULL, NULL);
        hd_sampler_free(sampler);
    }
    hd_space_free(space);
    hd_buf_release(&json);
}

static void test_results_of_many_budgets(void **state)
{
    /* Promise: results may come at any budget, in any order, more than once for a config. */
    (void)state;
    const char *name;
    struct hd_err err = {0};
    struct hd_space *space = space_of(mixed_json);
    FOR_EACH_SAMPLER(name)
    {
        double values[16];
        struct hd_rng rng;
        hd_rng_seed(&rng, 4);
        struct hd_sampler *sampler = sampler_of(name, space, 8);
        for (uint32_t i = 0; i < history(150); i++) {
            assert_hd_ok(hd_sampler_suggest(sampler, i, 1, values, NULL, &err));
            assert_hd_ok(hd_space_check(space, values, &err));
            assert_hd_ok(hd_sampler_add(sampler, i, values, &err));
            for (uint64_t j = hd_rng_below(&rng, 4); j > 0; j--) {
                uint32_t number = (uint32_t)hd_rng_below(&rng, i + 1);
                double budget = pow(3, (double)hd_rng_below(&rng, 5));
                double loss = hd_rng_below(&rng, 6) == 0 ? NAN : hd_rng_normal(&rng);
                assert_hd_ok(hd_sampler_tell(sampler, number, budget, loss, &err));
            }
        }
        hd_sampler_free(sampler);
    }
    hd_space_free(space);
}

static void test_initial_configs_come_first(void **state)
{
    /* Promise: config number i is the i-th initial config unless an equal one exists; later ones
     * differ from all of them; an illegal one is refused. */
    (void)state;
    const char *name;
    struct hd_err err = {0};
    struct hd_space *space = space_of("{\"a\":{\"type\":\"int\",\"low\":1,\"high\":3},\"b\":{"
                                      "\"type\":\"bool\",\"when\":{\"a\":3}}}");
    const double initial[] = {3, 1, 2, NAN, 3, 1};
    FOR_EACH_SAMPLER(name)
    {
        struct hd_sampler_spec spec = {
            .name = name, .seed = 4, .initial = initial, .initial_count = 3};
        struct hd_sampler *sampler = NULL;
        struct hd_proposal_info info;
        double values[4][2];
        assert_hd_ok(hd_sampler_new(&spec, space, &sampler, &err));
        for (uint32_t i = 0; i < 4; i++) {
            assert_hd_ok(hd_sampler_suggest(sampler, i, 1, values[i], &info, &err));
            assert_true(hd_streq(info.sampler, "initial") == (i < 2));
            assert_false(info.model && i < 2);
            if (i < 2)
                assert_true(hd_config_equal(space, values[i], &initial[2 * i]));
            for (uint32_t j = 0; j < i; j++)
                assert_false(hd_config_equal(space, values[i], values[j]));
            assert_hd_ok(hd_sampler_add(sampler, i, values[i], &err));
            assert_hd_ok(hd_sampler_tell(sampler, i, 1, i, &err));
        }
        assert_hd_fails(hd_sampler_suggest(sampler, 4, 1, values[0], NULL, &err), HD_E_LIMIT,
                        "used");
        hd_sampler_free(sampler);
        const double illegal[] = {2, NAN, 1, 1};
        spec.initial = illegal;
        spec.initial_count = 2;
        assert_hd_fails(hd_sampler_new(&spec, space, &sampler, &err), HD_E_INVALID,
                        "initial config 1: b is inactive");
    }
    hd_space_free(space);
}

static struct hd_sampler *warm_sampler(const char *name, const struct hd_space *space,
                                       const struct hd_known *known, const double *initial)
{
    struct hd_err err = {0};
    struct hd_sampler *sampler = NULL;
    struct hd_sampler_spec spec = {.name = name,
                                   .seed = 5,
                                   .initial = initial,
                                   .initial_count = initial != NULL ? 1 : 0,
                                   .known = known};
    assert_hd_ok(hd_sampler_new(&spec, space, &sampler, &err));
    return sampler;
}

static void test_known_results_come_before(void **state)
{
    /* Promise: a sampler that begins with known results counts its own configs from 0, proposes the
     * initial config first, proposes the same for the same knowledge, and goes on as ever. */
    enum { COUNT = 40, ASKED = 6 };
    (void)state;
    struct hd_err err = {0};
    struct hd_space *space = space_of(mixed_json);
    size_t width = space->param_count;
    double values[COUNT * 16], initial[16];
    struct hd_known_result results[COUNT + COUNT / 4];
    struct hd_known known = {
        .values = values, .config_count = COUNT, .results = results, .result_count = 0};
    struct hd_rng rng;
    hd_rng_seed(&rng, 1);
    hd_space_default(space, initial);
    for (uint32_t i = 0; i < COUNT; i++) {
        double *config = values + i * width;
        hd_space_sample(space, &rng, config);
        double loss = i % 9 == 0 ? NAN : bowl(space, config);
        results[known.result_count++] = (struct hd_known_result){i, 0.5, hd_score_of(loss)};
        if (i % 4 == 0)
            results[known.result_count++] = (struct hd_known_result){i, 1, hd_score_of(loss)};
    }
    const char *name;
    FOR_EACH_SAMPLER(name)
    {
        struct hd_sampler *one = warm_sampler(name, space, &known, initial);
        struct hd_sampler *other = warm_sampler(name, space, &known, initial);
        double config[16], again[16];
        for (uint32_t i = 0; i < ASKED; i++) {
            struct hd_proposal_info info;
            assert_hd_ok(hd_sampler_suggest(one, i, 1, config, &info, &err));
            assert_hd_ok(hd_sampler_suggest(other, i, 1, again, NULL, &err));
            assert_memory_equal(config, again, width * sizeof(double));
            assert_hd_ok(hd_space_check(space, config, &err));
            assert_int_equal(hd_config_equal(space, config, initial), i == 0);
            if (i == 1 && hd_streq(name, "tpe"))
                assert_true(info.model && info.model_count > 0);
            assert_hd_ok(hd_sampler_credit(one, i, info.sampler, &err));
            assert_hd_ok(hd_sampler_credit(other, i, info.sampler, &err));
            assert_hd_ok(hd_sampler_add(one, i, config, &err));
            assert_hd_ok(hd_sampler_add(other, i, config, &err));
            assert_hd_ok(hd_sampler_tell(one, i, 1, bowl(space, config), &err));
            assert_hd_ok(hd_sampler_tell(other, i, 1, bowl(space, config), &err));
        }
        hd_sampler_free(one);
        hd_sampler_free(other);
    }
    known.result_count = HD_KNOWN_RESULTS_MAX + 1;
    struct hd_sampler *refused = NULL;
    struct hd_sampler_spec spec = {.name = "random", .known = &known};
    assert_hd_fails(hd_sampler_new(&spec, space, &refused, &err), HD_E_LIMIT, "known");
    hd_space_free(space);
}

static void test_what_is_known_may_be_tried_again(void **state)
{
    /* Promise: known configs are not used up: in a small space where all are known each of them is
     * still proposed once, and then no more. */
    (void)state;
    struct hd_err err = {0};
    struct hd_space *space =
        space_of("{\"a\":{\"type\":\"int\",\"low\":0,\"high\":2},\"b\":{\"type\":\"bool\"}}");
    double values[6 * 2];
    struct hd_known_result results[6];
    struct hd_known known = {
        .values = values, .config_count = 6, .results = results, .result_count = 6};
    for (uint32_t i = 0; i < 6; i++) {
        values[2 * i] = i / 2;
        values[2 * i + 1] = i % 2;
        results[i] = (struct hd_known_result){i, 1, hd_score_of(i)};
    }
    const char *name;
    FOR_EACH_SAMPLER(name)
    {
        double again[2];
        struct hd_sampler *sampler = warm_sampler(name, space, &known, NULL);
        run(sampler, space, BOWL, 6, 2, NULL, NULL);
        assert_hd_fails(hd_sampler_suggest(sampler, 6, 1, again, NULL, &err), HD_E_LIMIT, "used");
        hd_sampler_free(sampler);
    }
    hd_space_free(space);
}

static void test_wrong_calls_are_refused(void **state)
{
    /* Promise: numbers out of order, unknown configs, illegal values and budgets that are not
     * finite are refused and change nothing. */
    (void)state;
    const char *name;
    struct hd_err err = {0};
    struct hd_space *space = space_of("{\"x\":{\"type\":\"float\",\"low\":0,\"high\":1}}");
    FOR_EACH_SAMPLER(name)
    {
        double before[1], after[1], legal[1] = {0.25}, illegal[1] = {2};
        struct hd_sampler *sampler = sampler_of(name, space, 1);
        assert_hd_ok(hd_sampler_suggest(sampler, 0, 1, before, NULL, &err));
        assert_hd_fails(hd_sampler_add(sampler, 1, legal, &err), HD_E_CONFLICT, "the next is 0");
        assert_hd_fails(hd_sampler_add(sampler, 0, illegal, &err), HD_E_INVALID, "high bound");
        assert_hd_fails(hd_sampler_tell(sampler, 0, 1, 1, &err), HD_E_NOTFOUND, "not added");
        assert_hd_ok(hd_sampler_suggest(sampler, 0, 1, after, NULL, &err));
        assert_true(before[0] == after[0]);
        assert_hd_ok(hd_sampler_add(sampler, 0, legal, &err));
        assert_hd_fails(hd_sampler_tell(sampler, 0, NAN, 1, &err), HD_E_INVALID, "not finite");
        assert_hd_fails(hd_sampler_suggest(sampler, 0, 1, after, NULL, &err), HD_E_CONFLICT,
                        "exists already");
        hd_sampler_free(sampler);
    }
    hd_space_free(space);
}

static void test_settings_are_checked(void **state)
{
    /* Promise: an unknown name or setting is refused by name, with the nearest known one. */
    (void)state;
    const char *name;
    struct hd_err err = {0};
    struct hd_sampler *sampler = NULL;
    struct hd_space *space = space_of("{\"x\":{\"type\":\"float\",\"low\":0,\"high\":1}}");
    FOR_EACH_SAMPLER(name)
    {
        struct hd_value *settings = hd_value_new_object();
        struct hd_sampler_spec spec = {.name = name, .settings = settings};
        assert_int_equal(hd_value_set(settings, "name", hd_value_new_string(name)), HD_OK);
        assert_hd_ok(hd_sampler_new(&spec, space, &sampler, &err));
        hd_sampler_free(sampler);
        assert_int_equal(hd_value_set(settings, "colour", hd_value_new_int(1)), HD_OK);
        assert_hd_fails(hd_sampler_new(&spec, space, &sampler, &err), HD_E_INVALID,
                        "sampler.colour");
        hd_value_free(settings);
        settings = hd_value_new_array();
        spec.settings = settings;
        assert_hd_fails(hd_sampler_new(&spec, space, &sampler, &err), HD_E_INVALID, "an object");
        hd_value_free(settings);
    }
    struct hd_sampler_spec unknown = {.name = "tpee"};
    assert_hd_fails(hd_sampler_new(&unknown, space, &sampler, &err), HD_E_INVALID,
                    "did you mean tpe");
    hd_space_free(space);
}

/* One short life under a failing allocation: NOMEM or success, never anything else. */
static enum hd_code short_life(const char *name, const struct hd_space *space, struct hd_err *err)
{
    struct hd_sampler *sampler = NULL;
    struct hd_sampler_spec spec = {.name = name, .seed = 1};
    double values[16];
    enum hd_code code = hd_sampler_new(&spec, space, &sampler, err);
    for (uint32_t i = 0; i < 70 && code == HD_OK; i++) {
        struct hd_rng rng;
        hd_rng_fork(1, "life", i, &rng);
        if (i % 9 == 0) /* models are dear, and this is lived a thousand times */
            code = hd_sampler_suggest(sampler, i, 1, values, NULL, err);
        else
            hd_space_sample(space, &rng, values);
        if (code == HD_OK)
            code = hd_sampler_add(sampler, i, values, err);
        if (code == HD_OK)
            code = hd_sampler_tell(sampler, i, 1 + i % 2, bowl(space, values), err);
    }
    hd_sampler_free(sampler);
    return code;
}

static void test_every_allocation_may_fail(void **state)
{
    /* Promise: whichever allocation fails, the call says so and nothing leaks or breaks. */
    (void)state;
    const char *name;
    struct hd_space *space = space_of(mixed_json);
    FOR_EACH_SAMPLER(name)
    {
        bool succeeded = false;
        for (int countdown = 0; countdown < 1000 && !succeeded; countdown++) {
            struct hd_err err = {0};
            hd_test_fail_alloc_after(countdown);
            enum hd_code code = short_life(name, space, &err);
            hd_test_fail_alloc_after(-1);
            assert_true(code == HD_OK || code == HD_E_NOMEM);
            succeeded = code == HD_OK;
        }
        assert_true(succeeded);
    }
    hd_space_free(space);
}

static void test_a_failed_call_changes_nothing(void **state)
{
    /* Promise: add, tell and suggest that run out of memory can be repeated with the result that
     * they would have had. At first, and then in one of three turns, every allocation of each call
     * fails once. */
    (void)state;
    const char *name;
    struct hd_err err = {0};
    struct hd_space *space = space_of(mixed_json);
    FOR_EACH_SAMPLER(name)
    {
        struct hd_sampler *calm = sampler_of(name, space, 9), *torn = sampler_of(name, space, 9);
        for (uint32_t i = 0; i < history(140); i++) {
            double expected[16], values[16];
            enum hd_code code;
            bool fails = i < 20 || i % (3 * shorter) == 0;
            assert_hd_ok(hd_sampler_suggest(calm, i, 1, expected, NULL, &err));
            int countdown = fails ? 0 : -1;
            do {
                hd_test_fail_alloc_after(countdown++);
                code = hd_sampler_suggest(torn, i, 1, values, NULL, &err);
                hd_test_fail_alloc_after(-1);
            } while (code == HD_E_NOMEM);
            assert_memory_equal(expected, values, space->param_count * sizeof(double));
            assert_hd_ok(hd_sampler_add(calm, i, values, &err));
            assert_hd_ok(hd_sampler_tell(calm, i, 1, bowl(space, values), &err));
            countdown = fails ? 0 : -1;
            do {
                hd_test_fail_alloc_after(countdown++);
                code = hd_sampler_add(torn, i, values, &err);
                hd_test_fail_alloc_after(-1);
            } while (code == HD_E_NOMEM);
            assert_int_equal(code, HD_OK);
            countdown = fails ? 0 : -1;
            do {
                hd_test_fail_alloc_after(countdown++);
                code = hd_sampler_tell(torn, i, 1, bowl(space, values), &err);
                hd_test_fail_alloc_after(-1);
            } while (code == HD_E_NOMEM);
            assert_int_equal(code, HD_OK);
        }
        hd_sampler_free(calm);
        hd_sampler_free(torn);
    }
    hd_space_free(space);
}

int main(int argc, char **argv)
{
    int64_t given;
    if (argc > 1 && hd_parse_i64(argv[1], &given) && given > 0 && given < 100)
        shorter = (uint32_t)given;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_configs_are_legal_and_new),
        cmocka_unit_test(test_same_history_same_proposals),
        cmocka_unit_test(test_the_interleaving_of_adds_and_tells_does_not_show),
        cmocka_unit_test(test_light_samplers_look_at_no_results),
        cmocka_unit_test(test_small_spaces_are_used_up),
        cmocka_unit_test(test_many_dimensions),
        cmocka_unit_test(test_results_of_many_budgets),
        cmocka_unit_test(test_initial_configs_come_first),
        cmocka_unit_test(test_known_results_come_before),
        cmocka_unit_test(test_what_is_known_may_be_tried_again),
        cmocka_unit_test(test_wrong_calls_are_refused),
        cmocka_unit_test(test_settings_are_checked),
        cmocka_unit_test(test_every_allocation_may_fail),
        cmocka_unit_test(test_a_failed_call_changes_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
