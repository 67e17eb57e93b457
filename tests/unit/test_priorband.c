/* SPDX-License-Identifier: Apache-2.0 */
/* test_priorband.c: a good prior helps at once, a bad one is overcome, and the base is another
 * sampler. (The contract suite runs on priorband too.) */
#include <math.h>
#include <string.h>

#include "testlib.h"

#include <hd/sampler.h>

#define SEEDS 40
#define DIMENSION 4

static struct hd_value *value_of(const char *json)
{
    struct hd_err err = {0};
    struct hd_value *value = NULL;
    assert_hd_ok(hd_json_parse(json, strlen(json), "test", &hd_value_limits_file, &value, &err));
    return value;
}

static struct hd_space *space_with_prior(double center)
{
    struct hd_err err = {0};
    struct hd_buf json;
    struct hd_space *space = NULL;
    hd_buf_init(&json, 4096);
    for (int i = 0; i < DIMENSION; i++) {
        assert_hd_ok(hd_buf_printf(&json, &err,
                                   "%s\"x%d\":{\"type\":\"float\",\"low\":0,\"high\":1",
                                   i == 0 ? "{" : ",", i));
        if (isfinite(center))
            assert_hd_ok(hd_buf_printf(
                &json, &err, ",\"prior\":{\"center\":%.3f,\"confidence\":\"high\"}", center));
        assert_hd_ok(hd_buf_puts(&json, "}", &err));
    }
    assert_hd_ok(hd_buf_puts(&json, "}", &err));
    struct hd_value *value = value_of(hd_buf_text(&json));
    assert_hd_ok(hd_space_parse(value, "test", "space", &space, &err));
    hd_value_free(value);
    hd_buf_release(&json);
    return space;
}

static double bowl(const double *values)
{
    double sum = 0;
    for (int i = 0; i < DIMENSION; i++)
        sum += (values[i] - 0.7) * (values[i] - 0.7);
    return sum;
}

static double best_of(const char *settings_json, const struct hd_space *space, uint64_t seed,
                      uint32_t count)
{
    struct hd_err err = {0};
    struct hd_sampler *sampler = NULL;
    struct hd_value *settings = value_of(settings_json);
    struct hd_sampler_spec spec = {
        .name = hd_value_get(settings, "name")->as.string, .settings = settings, .seed = seed};
    double best = INFINITY, values[DIMENSION];
    assert_hd_ok(hd_sampler_new(&spec, space, &sampler, &err));
    for (uint32_t i = 0; i < count; i++) {
        assert_hd_ok(hd_sampler_suggest(sampler, i, 1, values, NULL, &err));
        assert_hd_ok(hd_sampler_add(sampler, i, values, &err));
        assert_hd_ok(hd_sampler_tell(sampler, i, 1, bowl(values), &err));
        best = fmin(best, bowl(values));
    }
    hd_sampler_free(sampler);
    hd_value_free(settings);
    return best;
}

static void test_priors(void **state)
{
    /* Promise: with a prior about the optimum priorband is ahead of random search after ten jobs;
     * with one far from it, it is after a hundred: in at least 30 of 40 seeds (p < 0.002). */
    (void)state;
    static const struct {
        double center;
        uint32_t count;
        const char *settings;
    } rows[] = {
        {0.72, 10, "{\"name\":\"priorband\"}"},
        {0.72, 10, "{\"name\":\"priorband\",\"base\":\"tpe\"}"},
        {0.1, 100, "{\"name\":\"priorband\"}"},
        {0.1, 100, "{\"name\":\"priorband\",\"base\":{\"name\":\"tpe\",\"preset\":\"optuna\"}}"},
    };
    struct hd_space *plain = space_with_prior(NAN);
    for (size_t i = 0; i < HD_COUNT(rows); i++) {
        struct hd_space *space = space_with_prior(rows[i].center);
        int wins = 0;
        for (uint64_t seed = 0; seed < SEEDS; seed++) {
            double random = best_of("{\"name\":\"random\"}", plain, seed, rows[i].count);
            wins += best_of(rows[i].settings, space, seed, rows[i].count) < random ? 1 : 0;
        }
        print_message("# row %zu: %d of %d\n", i, wins, SEEDS);
        assert_true(wins >= 30);
        hd_space_free(space);
    }
    hd_space_free(plain);
}

static void test_bases(void **state)
{
    /* Promise: the base is any sampler but priorband, with settings of its own, which are checked;
     * half of the proposals at the lowest budget come from it and carry its name. */
    (void)state;
    static const struct {
        const char *settings, *refusal;
    } rows[] = {
        {"{\"base\":\"sobol\"}", NULL},
        {"{\"base\":null}", NULL},
        {"{\"base\":{\"name\":\"tpe\",\"gamma\":0.1}}", NULL},
        {"{\"base\":{\"name\":\"tpe\",\"gama\":0.1}}", "did you mean \"gamma\""},
        {"{\"base\":\"tpee\"}", "did you mean tpe"},
        {"{\"base\":\"priorband\"}", "another base"},
        {"{\"base\":3}", "must be the name of a sampler"},
        {"{\"base\":{}}", "must be the name of a sampler"},
        {"{\"eta\":1}", "sampler.eta"},
    };
    struct hd_err err = {0};
    struct hd_space *space = space_with_prior(0.5);
    for (size_t i = 0; i < HD_COUNT(rows); i++) {
        struct hd_sampler *sampler = NULL;
        struct hd_value *settings = value_of(rows[i].settings);
        struct hd_sampler_spec spec = {.name = "priorband", .settings = settings};
        enum hd_code code = hd_sampler_new(&spec, space, &sampler, &err);
        if (rows[i].refusal == NULL)
            assert_hd_ok(code);
        else
            assert_hd_fails(code, HD_E_INVALID, rows[i].refusal);
        int from_base = 0;
        for (uint32_t k = 0; i == 0 && k < 400; k++) {
            double values[DIMENSION];
            struct hd_proposal_info info;
            assert_hd_ok(hd_sampler_suggest(sampler, k, 1, values, &info, &err));
            assert_hd_ok(hd_sampler_add(sampler, k, values, &err));
            from_base += hd_streq(info.sampler, "sobol") ? 1 : 0;
        }
        assert_true(i > 0 || (from_base > 150 && from_base < 250));
        hd_sampler_free(sampler);
        hd_value_free(settings);
    }
    hd_space_free(space);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_priors),
        cmocka_unit_test(test_bases),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
