/* SPDX-License-Identifier: Apache-2.0 */
/* worth.c: see worth.h. */
#include "worth.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "testlib.h"

struct hd_space *hd_test_space_of(const char *json)
{
    struct hd_err err = {0};
    struct hd_value *value = NULL;
    struct hd_space *space = NULL;
    assert_hd_ok(hd_json_parse(json, strlen(json), "test", &hd_value_limits_file, &value, &err));
    assert_hd_ok(hd_space_parse(value, "test", "space", &space, &err));
    hd_value_free(value);
    return space;
}

struct hd_sampler *hd_test_sampler_of(const char *name, const struct hd_space *space, uint64_t seed)
{
    struct hd_err err = {0};
    struct hd_sampler *sampler = NULL;
    struct hd_sampler_spec spec = {.name = name, .seed = seed};
    assert_hd_ok(hd_sampler_new(&spec, space, &sampler, &err));
    return sampler;
}

double hd_test_best_of(const char *name, const struct hd_space *space,
                       double (*loss)(const struct hd_space *space, const double *values),
                       uint64_t seed, uint32_t count, uint32_t lag)
{
    struct hd_err err = {0};
    struct hd_sampler *sampler = hd_test_sampler_of(name, space, seed);
    double best = INFINITY, *losses = calloc(count, sizeof(double));
    double *values = calloc(space->param_count, sizeof(double));
    assert_true(losses != NULL && values != NULL);
    for (uint32_t i = 0; i < count; i++) {
        assert_hd_ok(hd_sampler_suggest(sampler, i, 1, values, NULL, &err));
        assert_hd_ok(hd_sampler_add(sampler, i, values, &err));
        losses[i] = loss(space, values);
        best = losses[i] < best ? losses[i] : best;
        if (i >= lag)
            assert_hd_ok(hd_sampler_tell(sampler, i - lag, 1, losses[i - lag], &err));
    }
    hd_sampler_free(sampler);
    free(losses);
    free(values);
    return best;
}

double hd_test_wilcoxon_z(const double *a, const double *b, size_t count)
{
    double positive = 0, n = (double)count;
    for (size_t i = 0; i < count; i++) {
        double rank = 0.5;
        for (size_t j = 0; j < count; j++) {
            double x = fabs(a[i] - b[i]), y = fabs(a[j] - b[j]);
            rank += y < x ? 1 : y == x ? 0.5 : 0;
        }
        positive += b[i] > a[i] ? rank : 0;
    }
    return (positive - n * (n + 1) / 4) / sqrt(n * (n + 1) * (2 * n + 1) / 24);
}
