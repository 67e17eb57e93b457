/* SPDX-License-Identifier: Apache-2.0 */
/* test_conditions.c: what optimizer/space promises about conditions, clauses, and the configs they
 * leave. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "space_checks.h"

/* Everything at once: alternatives three levels deep, comparisons, distributions, clauses. */
static const char *const rich_json =
    "{\"algo\":{\"type\":\"categorical\",\"choices\":[\"svm\",\"knn\",\"net\"],\"weights\":[1,2,5]}"
    ","
    "\"c\":{\"type\":\"float\",\"low\":0.001,\"high\":1000,\"log\":true,\"normal\":{\"mean\":1,"
    "\"sd\":2},"
    "\"when\":{\"algo\":\"svm\"}},"
    "\"k\":{\"type\":\"int\",\"low\":1,\"high\":20,\"when\":{\"algo\":\"knn\"}},"
    "\"layers\":{\"type\":\"int\",\"low\":1,\"high\":5,\"when\":{\"algo\":[\"net\"]}},"
    "\"width\":{\"type\":\"int\",\"low\":4,\"high\":64,\"step\":4,\"when\":{\"layers\":{\"ge\":2}}}"
    ","
    "\"drop\":{\"type\":\"bool\",\"when\":{\"any\":[{\"width\":{\"gt\":32,\"lt\":60}},{\"algo\":"
    "\"svm\","
    "\"c\":{\"lt\":1}}]}},"
    "\"rate\":{\"type\":\"float\",\"low\":0.1,\"high\":0.9,\"when\":{\"drop\":true}},"
    "\"forbidden\":[{\"k\":[2,4,6]},{\"layers\":5,\"width\":{\"not\":[4,8]}}]}";

static void test_conditions_decide_what_is_there(void **state)
{
    /* Promise: a param has a value exactly where its condition holds, to any depth; no clause is
     * ever met; the text and the description say the same. */
    (void)state;
    struct hd_space *space = space_of(rich_json);
    struct hd_rng rng;
    hd_rng_seed(&rng, 3);
    size_t drops = 0, rates = 0, deep = 0;
    for (int i = 0; i < 4000; i++) {
        double v[7];
        hd_space_sample(space, &rng, v);
        assert_true(isnan(v[1]) == (v[0] != 0));
        assert_true(isnan(v[2]) == (v[0] != 1));
        assert_true(isnan(v[3]) == (v[0] != 2));
        assert_true(isnan(v[4]) == !(v[3] >= 2));
        assert_true(isnan(v[5]) == !((v[4] > 32 && v[4] < 60) || (v[0] == 0 && v[1] < 1)));
        assert_true(isnan(v[6]) == !(v[5] == 1));
        assert_false(v[2] == 2 || v[2] == 4 || v[2] == 6);
        assert_false(v[3] == 5 && v[4] > 8);
        drops += isnan(v[5]) ? 0 : 1;
        rates += isnan(v[6]) ? 0 : 1;
        deep += v[3] == 5 ? 1 : 0;
        check_round_trip(space, v);
    }
    assert_true(drops > 400 && rates > 200 && deep > 20);
    check_description(space);
    struct hd_err err = {0};
    struct hd_buf text;
    hd_buf_init(&text, 4096);
    assert_hd_ok(hd_conditions_write(space, space->params[5].conditions,
                                     space->params[5].condition_count, &text, &err));
    assert_string_equal(hd_buf_text(&text),
                        "(width > 32 and width < 60), or (algo is svm and c < 1)");
    hd_buf_release(&text);
    hd_space_free(space);
}

static void test_bad_conditions_are_refused(void **state)
{
    /* Promise: mistakes in conditions and clauses are told with their place; a cycle is named, and
     * clauses that leave nothing are singled out. */
    (void)state;
    static const struct {
        const char *json; /* members after a: int 1..3, b: bool, c: categorical x y */
        enum hd_code code;
        const char *part;
    } rows[] = {
        {"\"d\":{\"type\":\"bool\",\"when\":3}", HD_E_INVALID, "space.d.when: must be a map"},
        {"\"d\":{\"type\":\"bool\",\"when\":[{\"a\":1}]}", HD_E_INVALID, "{any: [{...}"},
        {"\"d\":{\"type\":\"bool\",\"when\":{\"e\":1}}", HD_E_INVALID, "no param \"e\""},
        {"\"d\":{\"type\":\"bool\",\"when\":{\"a\":4}}", HD_E_INVALID, "above its high bound"},
        {"\"d\":{\"type\":\"bool\",\"when\":{\"a\":[]}}", HD_E_INVALID,
         "list of values of a is empty"},
        {"\"d\":{\"type\":\"bool\",\"when\":{\"a\":{}}}", HD_E_INVALID, "give a comparison"},
        {"\"d\":{\"type\":\"bool\",\"when\":{\"a\":{\"more\":1}}}", HD_E_INVALID,
         "known are in, not"},
        {"\"d\":{\"type\":\"bool\",\"when\":{\"a\":{\"gt\":3}}}", HD_E_INVALID,
         "no value of a fulfils"},
        {"\"d\":{\"type\":\"bool\",\"when\":{\"a\":{\"gt\":\"x\"}}}", HD_E_INVALID,
         "finite number"},
        {"\"d\":{\"type\":\"bool\",\"when\":{\"c\":{\"gt\":\"x\"}}}", HD_E_INVALID, "has no order"},
        {"\"d\":{\"type\":\"bool\",\"when\":{\"c\":\"z\"}}", HD_E_INVALID,
         "not among the 2 choices"},
        {"\"d\":{\"type\":\"bool\",\"when\":{\"d\":true}}", HD_E_INVALID, "d <- d"},
        {"\"d\":{\"type\":\"bool\",\"when\":{\"e\":true}},\"e\":{\"type\":\"bool\",\"when\":{\"f\":"
         "true}},"
         "\"f\":{\"type\":\"bool\",\"when\":{\"a\":1,\"d\":true}}",
         HD_E_INVALID, "cycle (each is activated by the next): f <- d <- e <- f"},
        {"\"forbidden\":[1]", HD_E_INVALID, "space.forbidden[0]: must be a map"},
        {"\"forbidden\":[{\"a\":1},{\"z\":1}]", HD_E_INVALID,
         "space.forbidden[1]: the space has no"},
        {"\"forbidden\":[{\"b\":true},{\"a\":2},{\"b\":false}]", HD_E_INVALID,
         "space.forbidden: no config is left: clauses 1, 3 of the list together rule"},
        {"\"forbidden\":[{\"a\":{\"gt\":1}},{\"a\":1,\"c\":\"x\"},{\"c\":\"y\"}]", HD_E_INVALID,
         "clauses 1, 2, 3 of"},
        {"\"forbidden\":[{\"a\":{\"le\":3}}]", HD_E_INVALID, "clause 1 of the list rules"},
        {"\"x\":{\"type\":\"float\",\"low\":0,\"high\":1},\"forbidden\":[{\"x\":{\"lt\":0.5}},{"
         "\"x\":{\"ge\":"
         "0.5}}]",
         HD_E_INVALID, "clauses 1, 2"},
        {"\"x\":{\"type\":\"float\",\"normal\":{\"mean\":0}}", HD_E_INVALID, "\"sd\" is missing"},
        {"\"x\":{\"type\":\"float\",\"normal\":{\"mean\":0,\"sd\":0}}", HD_E_INVALID,
         "space.x.normal.sd: must be above 0"},
        {"\"x\":{\"type\":\"float\",\"low\":0,\"high\":1,\"normal\":{\"mean\":2,\"sd\":1}}",
         HD_E_INVALID, "between low and high"},
        {"\"x\":{\"type\":\"float\",\"log\":true,\"normal\":{\"mean\":-2,\"sd\":1}}", HD_E_INVALID,
         "above 0 because log"},
        {"\"x\":{\"type\":\"float\",\"normal\":{\"mean\":0,\"sd\":1,\"mu\":1}}", HD_E_INVALID,
         "known are mean and sd"},
        {"\"x\":{\"type\":\"categorical\",\"choices\":[1,2],\"weights\":[1]}", HD_E_INVALID,
         "a list of 2 numbers"},
        {"\"x\":{\"type\":\"categorical\",\"choices\":[1,2],\"weights\":[1,0]}", HD_E_INVALID,
         "numbers above 0"},
        {"\"x\":{\"type\":\"bool\",\"prior\":{\"confidence\":\"low\"}}", HD_E_INVALID,
         "{center: 0.01"},
        {"\"x\":{\"type\":\"bool\",\"prior\":{\"center\":1}}", HD_E_INVALID,
         "space.x.prior.center"},
        {"\"x\":{\"type\":\"bool\",\"prior\":{\"center\":true,\"confidence\":\"very\"}}",
         HD_E_INVALID, "low, medium or high"},
        {"\"x\":{\"type\":\"float\",\"low\":0,\"high\":1,\"q\":0.1,\"step\":0.1}", HD_E_INVALID,
         "also given as step"},
    };
    for (size_t i = 0; i < HD_COUNT(rows); i++) {
        struct hd_err err = {0};
        struct hd_space *space = NULL;
        char json[1024];
        hd_format(json, sizeof(json),
                  "{\"a\":{\"type\":\"int\",\"low\":1,\"high\":3},\"b\":{\"type\":\"bool\"},\"c\":{"
                  "\"type\":"
                  "\"categorical\",\"choices\":[\"x\",\"y\"]},%s}",
                  rows[i].json);
        assert_hd_fails(parse(json, &space, &err), rows[i].code, rows[i].part);
        assert_null(space);
    }
}

static void test_expressions_have_limits(void **state)
{
    /* Promise: depth and size of an expression are bounded; at the bound they work. */
    (void)state;
    for (int extra = 0; extra < 2; extra++) {
        struct hd_err err = {0};
        struct hd_space *space = NULL;
        struct hd_value *root = NULL;
        struct hd_buf json;
        hd_buf_init(&json, 1 << 20);
        int depth = HD_CONDITION_DEPTH_MAX / 2 + extra;
        assert_hd_ok(hd_buf_puts(
            &json, "{\"b\":{\"type\":\"bool\"},\"d\":{\"type\":\"bool\",\"when\":", &err));
        for (int i = 0; i < 2 * depth; i++)
            assert_hd_ok(hd_buf_puts(
                &json, i % 2 == 0 ? "{\"any\":[{\"b\":true}," : "{\"all\":[{\"b\":true},", &err));
        assert_hd_ok(hd_buf_puts(&json, "{\"b\":true}", &err));
        for (int i = 0; i < 2 * depth; i++)
            assert_hd_ok(hd_buf_puts(&json, "]}", &err));
        assert_hd_ok(hd_buf_puts(&json, "}}", &err));
        struct hd_value_limits limits = hd_value_limits_file;
        limits.depth_max = 256;
        assert_hd_ok(hd_json_parse(hd_buf_text(&json), json.size, "t", &limits, &root, &err));
        if (extra == 0)
            assert_hd_ok(hd_space_parse(root, "t", "space", &space, &err));
        else
            assert_hd_fails(hd_space_parse(root, "t", "space", &space, &err), HD_E_LIMIT,
                            "32 deep");
        hd_space_free(space);
        hd_value_free(root);
        hd_buf_release(&json);
    }
}

/* A random expression over the params before number `end`; some of them cannot hold. */
static struct hd_value *random_condition(struct hd_rng *rng, const struct hd_value *params,
                                         size_t end, int depth)
{
    struct hd_value *map = hd_value_new_object();
    if (depth < 3 && hd_rng_below(rng, 3) == 0) {
        struct hd_value *list = hd_value_new_array();
        for (uint64_t i = 0, n = 1 + hd_rng_below(rng, 3); i < n; i++)
            assert_int_equal(hd_value_append(list, random_condition(rng, params, end, depth + 1)),
                             HD_OK);
        const char *word = hd_rng_below(rng, 2) == 0 ? "any" : "all";
        assert_int_equal(hd_value_set(map, word, list), HD_OK);
        return map;
    }
    for (uint64_t i = 0, n = 1 + hd_rng_below(rng, 2); i < n; i++) {
        size_t parent = hd_rng_below(rng, end);
        const struct hd_value *param = params->as.object.items[parent];
        const struct hd_value *choices = hd_value_get(param, "choices");
        struct hd_value *test = NULL, *inner = hd_value_new_object();
        const char *word = hd_rng_below(rng, 2) == 0 ? "not" : "in";
        if (choices != NULL) {
            size_t choice = hd_rng_below(rng, choices->as.array.count);
            assert_int_equal(hd_value_copy(choices->as.array.items[choice], &test, NULL), HD_OK);
        } else if (hd_value_get(param, "low") != NULL) {
            double low = hd_value_number(hd_value_get(param, "low"));
            double high = hd_value_number(hd_value_get(param, "high"));
            test = hd_value_new_double(low + (high - low) * (0.1 + 0.8 * hd_rng_double(rng)));
            word = hd_rng_below(rng, 2) == 0 ? "ge" : "le";
        } else {
            test = hd_value_new_bool(hd_rng_below(rng, 2) == 0);
        }
        assert_int_equal(hd_value_set(inner, word, test), HD_OK);
        assert_int_equal(hd_value_set(map, params->as.object.keys[parent], inner), HD_OK);
    }
    return map;
}

/* Small params, so that whole spaces can be counted; floats have steps or not. */
static struct hd_value *random_small_param(struct hd_rng *rng, bool finite)
{
    struct hd_value *object = hd_value_new_object(), *choices = hd_value_new_array();
    uint64_t kind = hd_rng_below(rng, 4);
    static const char *const types[] = {"float", "int", "categorical", "bool"};
    assert_int_equal(hd_value_set(object, "type", hd_value_new_string(types[kind])), HD_OK);
    if (kind < 2) {
        assert_int_equal(hd_value_set(object, "low", hd_value_new_int(1)), HD_OK);
        assert_int_equal(
            hd_value_set(object, "high", hd_value_new_int(3 + (int64_t)hd_rng_below(rng, 3))),
            HD_OK);
        if (kind == 0 && finite)
            assert_int_equal(hd_value_set(object, "step", hd_value_new_double(0.5)), HD_OK);
        if (hd_rng_below(rng, 3) == 0) {
            struct hd_value *normal = hd_value_new_object();
            assert_int_equal(hd_value_set(normal, "mean", hd_value_new_double(2)), HD_OK);
            assert_int_equal(hd_value_set(normal, "sd", hd_value_new_double(1)), HD_OK);
            assert_int_equal(hd_value_set(object, "normal", normal), HD_OK);
        }
    }
    for (uint64_t i = 0, n = 2 + hd_rng_below(rng, 3); i < n; i++)
        assert_int_equal(hd_value_append(choices, hd_value_new_int((int64_t)i)), HD_OK);
    if (kind == 2)
        assert_int_equal(hd_value_set(object, "choices", choices), HD_OK);
    else
        hd_value_free(choices);
    return object;
}

/* NULL: everything happens to be forbidden. */
static struct hd_space *random_conditional(struct hd_rng *rng, bool finite)
{
    struct hd_err err = {0};
    struct hd_space *space = NULL;
    struct hd_value *params = hd_value_new_object(), *forbidden = hd_value_new_array();
    for (size_t i = 0, n = 2 + hd_rng_below(rng, 5); i < n; i++) {
        char key[8];
        struct hd_value *param = random_small_param(rng, finite);
        if (i > 0 && hd_rng_below(rng, 2) == 0)
            assert_int_equal(hd_value_set(param, "when", random_condition(rng, params, i, 0)),
                             HD_OK);
        hd_format(key, sizeof(key), "p%zu", i);
        assert_int_equal(hd_value_set(params, key, param), HD_OK);
    }
    for (uint64_t i = 0, n = hd_rng_below(rng, 4); i < n; i++)
        assert_int_equal(
            hd_value_append(forbidden, random_condition(rng, params, params->as.object.count, 0)),
            HD_OK);
    assert_int_equal(hd_value_set(params, "forbidden", forbidden), HD_OK);
    enum hd_code code = hd_space_parse(params, "random", "space", &space, &err);
    if (code != HD_OK)
        assert_non_null(strstr(err.text, "no config is left"));
    hd_value_free(params);
    return space;
}

/* All configs by brute force over the levels: how many different legal ones there are. */
static size_t count_by_force(const struct hd_space *space)
{
    double levels[16] = {0}, values[16];
    uint64_t seen[65536];
    size_t count = 0, at = 0;
    while (at < space->param_count) {
        for (size_t i = 0; i < space->param_count; i++)
            values[i] = hd_param_level_value(&space->params[i], levels[i]);
        if (hd_space_finish(space, values)) {
            uint64_t hash = hd_config_hash(space, values);
            size_t i = 0;
            while (i < count && seen[i] != hash)
                i++;
            if (i == count)
                seen[count++] = hash;
        }
        for (at = 0; at < space->param_count; at++) {
            levels[at]++;
            if (levels[at] < hd_param_levels(&space->params[at]))
                break;
            levels[at] = 0;
        }
    }
    return count;
}

static void test_random_conditional_spaces(void **state)
{
    /* Promise: over random spaces with conditions and clauses, whatever is drawn, moved, repaired
     * or made of a point is legal and survives JSON; the description reads back the same. */
    (void)state;
    struct hd_rng rng;
    size_t contradictory = 0;
    hd_rng_seed(&rng, 11);
    for (int round = 0; round < 400; round++) {
        struct hd_space *space = random_conditional(&rng, false);
        double values[16], moved[16], cube[16];
        contradictory += space == NULL ? 1 : 0;
        if (space == NULL)
            continue;
        hd_space_default(space, values);
        check_round_trip(space, values);
        for (int i = 0; i < 20; i++) {
            for (size_t j = 0; j < space->free_count; j++)
                cube[j] = hd_rng_double(&rng);
            hd_space_from_cube(space, cube, values);
            check_round_trip(space, values);
            hd_space_from_cube(space, cube, moved);
            assert_true(hd_config_equal(space, values, moved));
            hd_space_prior_sample(space, &rng, values);
            check_round_trip(space, values);
            hd_space_sample(space, &rng, values);
            check_round_trip(space, values);
            bool found = hd_space_neighbour(space, &rng, values, moved);
            assert_true(found != hd_config_equal(space, values, moved));
            check_round_trip(space, moved);
        }
        check_description(space);
        hd_space_free(space);
    }
    assert_true(contradictory > 0 && contradictory < 200);
}

static void test_finite_spaces_are_counted_and_listed(void **state)
{
    /* Promise: the size is what counting by force says; the grid lists every config once. */
    (void)state;
    struct hd_rng rng;
    struct hd_err err = {0};
    hd_rng_seed(&rng, 12);
    for (int round = 0; round < 200; round++) {
        struct hd_space *space = random_conditional(&rng, true);
        struct hd_grid *grid = NULL;
        double product = 1, values[16];
        for (size_t i = 0; space != NULL && i < space->param_count; i++)
            product *= hd_param_levels(&space->params[i]);
        if (space == NULL || product > 20000) {
            hd_space_free(space);
            continue;
        }
        size_t size = count_by_force(space);
        assert_true(space->size_exact);
        assert_true(hd_space_size(space) == (double)size);
        assert_hd_ok(hd_grid_new(space, 0, &grid, &err));
        assert_int_equal(hd_grid_size(grid), size);
        uint64_t *seen = calloc(size, sizeof(*seen));
        assert_non_null(seen);
        for (size_t i = 0; i < size; i++) {
            hd_grid_config(grid, i, values);
            assert_hd_ok(hd_space_check(space, values, &err));
            seen[i] = hd_config_hash(space, values);
            for (size_t j = 0; j < i; j++)
                assert_true(seen[i] != seen[j]);
            hd_grid_sample(grid, &rng, values);
            assert_hd_ok(hd_space_check(space, values, &err));
        }
        free(seen);
        hd_grid_free(grid);
        hd_space_free(space);
    }
}

static void test_distributions_are_drawn(void **state)
{
    /* Promise: normals, weights and the priors of experts come out as they were given; units of a
     * normal go back and forth. */
    (void)state;
    struct hd_space *space = space_of(
        "{\"x\":{\"type\":\"float\",\"low\":-1,\"high\":9,\"normal\":{\"mean\":2,\"sd\":0.5}},"
        "\"n\":{\"type\":\"int\",\"normal\":{\"mean\":50,\"sd\":10}},"
        "\"l\":{\"type\":\"float\",\"log\":true,\"normal\":{\"mean\":0.001,\"sd\":1}},"
        "\"c\":{\"type\":\"categorical\",\"choices\":[1,2,3],\"weights\":[1,2,5]},"
        "\"p\":{\"type\":\"float\",\"low\":0,\"high\":1,\"prior\":{\"center\":0.8,\"confidence\":"
        "\"high\"}},"
        "\"b\":{\"type\":\"bool\",\"prior\":{\"center\":true,\"confidence\":\"medium\"}}}");
    enum { COUNT = 20000 };
    double sum[3] = {0}, square[3] = {0}, choice[3] = {0}, near = 0, yes = 0;
    struct hd_rng rng;
    hd_rng_seed(&rng, 5);
    assert_true(space->params[1].low == 10 && space->params[1].high == 90);
    for (int i = 0; i < COUNT; i++) {
        double v[6];
        hd_space_sample(space, &rng, v);
        double x[3] = {v[0], v[1], log(v[2])};
        for (int j = 0; j < 3; j++) {
            sum[j] += x[j] / COUNT;
            square[j] += x[j] * x[j] / COUNT;
            const struct hd_param *param = &space->params[j];
            double unit = hd_param_to_unit(param, v[j]), back = hd_param_from_unit(param, unit);
            assert_true(j == 1 ? back == v[j] : fabs(back - v[j]) < 1e-8);
        }
        choice[(int)v[3]] += 1.0 / COUNT;
        hd_space_prior_sample(space, &rng, v);
        near += fabs(v[4] - 0.8) < 0.125 ? 1.0 / COUNT : 0;
        yes += v[5] / COUNT;
    }
    const double means[3] = {2, 50, log(0.001)}, deviations[3] = {0.5, 10, 1};
    for (int j = 0; j < 3; j++) {
        assert_true(fabs(sum[j] - means[j]) < 0.05 * deviations[j]);
        assert_true(fabs(sqrt(square[j] - sum[j] * sum[j]) / deviations[j] - 1) < 0.06);
        assert_true(fabs(choice[j] - (double[]){1, 2, 5}[j] / 8) < 0.015);
    }
    assert_true(fabs(near - 0.7226) < 0.02); /* 0.6827 over the mass within [0, 1], 0.9452 */
    assert_true(fabs(yes - 0.8) < 0.015);    /* 4 to 1 */
    for (size_t i = 4; i < 6; i++) {
        double integral = 0;
        for (int k = 0; k < 10000; k++)
            integral += hd_param_prior_density(&space->params[i], (k + 0.5) / 10000) / 10000;
        assert_true(fabs(integral - 1) < 1e-6);
    }
    hd_space_free(space);
}

static void test_far_levels_of_a_normal_stay_apart(void **state)
{
    /* Promise: levels hundreds of deviations from the mean have units of their own. */
    (void)state;
    struct hd_space *space =
        space_of("{\"n\":{\"type\":\"int\",\"low\":0,\"high\":1000,\"normal\":{"
                 "\"mean\":3,\"sd\":2}},\"m\":{\"type\":\"int\",\"low\":1,\"high\":"
                 "5000,\"log\":true,\"normal\":{\"mean\":9,\"sd\":0.1}}}");
    for (size_t i = 0; i < 2; i++) {
        const struct hd_param *param = &space->params[i];
        double end = 0;
        for (double level = 0; level < hd_param_levels(param); level++) {
            double low, high, value = hd_param_level_value(param, level);
            hd_param_level_range(param, value, &low, &high);
            assert_true(fabs(low - end) < 1e-12 && low < high);
            assert_true(hd_param_from_unit(param, hd_param_to_unit(param, value)) == value);
            end = high;
        }
        assert_true(end == 1);
    }
    hd_space_free(space);
}

static void test_sizes_of_large_spaces(void **state)
{
    /* Promise: conditions and clauses over a million levels or a continuum are counted by ranges.
     */
    (void)state;
    struct hd_space *space =
        space_of("{\"n\":{\"type\":\"int\",\"low\":1,\"high\":1000000},\"b\":{\"type\":\"bool\","
                 "\"when\":{\"n\":{\"gt\":"
                 "999000}}},\"forbidden\":[{\"n\":[5,7]},{\"n\":1000000,\"b\":true}]}");
    assert_true(space->size_exact && hd_space_size(space) == 999000 - 2 + 2000 - 1);
    hd_space_free(space);
    space = space_of("{\"x\":{\"type\":\"float\",\"low\":0,\"high\":1},\"b\":{\"type\":\"bool\"},"
                     "\"forbidden\":[{\"x\":{\"lt\":0.5}},{\"x\":{\"gt\":0.5}},{\"b\":true}]}");
    double values[2];
    assert_true(hd_space_size(space) == 1);
    hd_space_default(space, values);
    assert_true(values[0] == 0.5 && values[1] == 0);
    hd_space_free(space);
    space = space_of("{\"x\":{\"type\":\"float\",\"low\":0,\"high\":1},\"b\":{\"type\":\"bool\"},"
                     "\"forbidden\":[{\"x\":0.5}]}");
    assert_true(isinf(hd_space_size(space)));
    hd_space_free(space);
}

static void test_expressions_are_bounded_together(void **state)
{
    /* Promise: what one look at all expressions of a space costs has a limit, which is told. */
    (void)state;
    static const char *const ends[] = {"", ",{\"n\":{\"in\":[1,2]},\"b\":true}"};
    for (size_t extra = 0; extra < HD_COUNT(ends); extra++) {
        struct hd_err err = {0};
        struct hd_space *space = NULL;
        struct hd_buf json;
        hd_buf_init(&json, 1 << 20);
        assert_hd_ok(hd_buf_puts(&json,
                                 "{\"b\":{\"type\":\"bool\"},\"n\":{\"type\":\"int\",\"low\":1,"
                                 "\"high\":20000},\"forbidden\":[{\"n\":[3",
                                 &err));
        for (int i = 4; i < 3 + HD_SPACE_COMPARED_MAX - 1; i++)
            assert_hd_ok(hd_buf_printf(&json, &err, ",%d", i));
        assert_hd_ok(hd_buf_printf(&json, &err, "]},{\"b\":true}%s]}", ends[extra]));
        if (extra == 0)
            assert_hd_ok(parse(hd_buf_text(&json), &space, &err));
        else
            assert_hd_fails(parse(hd_buf_text(&json), &space, &err), HD_E_LIMIT,
                            "space.forbidden[2]: the conditions and forbidden clauses");
        if (extra == 0)
            assert_true(hd_space_size(space) == 20000 - (HD_SPACE_COMPARED_MAX - 1));
        hd_space_free(space);
        hd_buf_release(&json);
    }
}

static void test_counting_ends(void **state)
{
    /* Promise: clauses that are dear to look at, in many cases, end the counting early: the size is
     * then a bound, and configs are still drawn legal. */
    (void)state;
    enum { BOOLS = 15, CLAUSES = 100 };
    struct hd_err err = {0};
    struct hd_space *space = NULL;
    struct hd_grid *grid = NULL;
    struct hd_buf json;
    double values[BOOLS + 1];
    hd_buf_init(&json, 1 << 20);
    assert_hd_ok(hd_buf_puts(&json, "{\"n\":{\"type\":\"int\",\"low\":1,\"high\":1000}", &err));
    for (int i = 0; i < BOOLS; i++)
        assert_hd_ok(hd_buf_printf(&json, &err, ",\"b%d\":{\"type\":\"bool\"}", i));
    for (int i = 0; i < CLAUSES; i++) {
        assert_hd_ok(hd_buf_printf(&json, &err, "%s{\"b%d\":true,\"b%d\":true,\"n\":[1",
                                   i == 0 ? ",\"forbidden\":[" : ",", i % BOOLS, (i + 7) % BOOLS));
        for (int value = 2; value < 90; value++)
            assert_hd_ok(hd_buf_printf(&json, &err, ",%d", value));
        assert_hd_ok(hd_buf_puts(&json, "]}", &err));
    }
    assert_hd_ok(hd_buf_puts(&json, "]}", &err));
    assert_hd_ok(parse(hd_buf_text(&json), &space, &err));
    assert_false(space->size_exact);
    assert_true(hd_space_size(space) == 1000 * 32768);
    assert_hd_fails(hd_grid_new(space, 0, &grid, &err), HD_E_LIMIT, "too many cases");
    struct hd_rng rng;
    hd_rng_seed(&rng, 13);
    for (int i = 0; i < 50; i++) {
        hd_space_sample(space, &rng, values);
        assert_hd_ok(hd_space_check(space, values, &err));
    }
    hd_space_free(space);
    hd_buf_release(&json);
}

static void test_grids_of_many_cases(void **state)
{
    /* Promise: a case for every second value still lists each config once, in its place. */
    (void)state;
    struct hd_err err = {0};
    struct hd_space *space = NULL;
    struct hd_grid *grid = NULL;
    struct hd_buf json;
    double values[3];
    hd_buf_init(&json, 1 << 20);
    assert_hd_ok(
        hd_buf_puts(&json,
                    "{\"n\":{\"type\":\"int\",\"low\":0,\"high\":999},\"m\":{\"type\":\"int\","
                    "\"low\":1,\"high\":7,\"when\":{\"n\":[0",
                    &err));
    for (int i = 2; i < 1000; i += 2)
        assert_hd_ok(hd_buf_printf(&json, &err, ",%d", i));
    assert_hd_ok(
        hd_buf_puts(&json, "]}},\"k\":{\"type\":\"bool\",\"when\":{\"n\":{\"ge\":0}}}}", &err));
    assert_hd_ok(parse(hd_buf_text(&json), &space, &err));
    assert_hd_ok(hd_grid_new(space, 0, &grid, &err));
    assert_int_equal(hd_grid_size(grid), 500 * (7 + 1) * 2);
    uint64_t place = 0;
    for (int n = 0; n < 1000; n++) {
        for (int m = 1; m <= (n % 2 == 0 ? 7 : 1); m++) {
            for (int k = 0; k < 2; k++) {
                hd_grid_config(grid, place++, values);
                assert_true(values[0] == n && values[2] == k);
                assert_true(n % 2 == 0 ? values[1] == m : isnan(values[1]));
            }
        }
    }
    hd_grid_free(grid);
    hd_space_free(space);
    hd_buf_release(&json);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_conditions_decide_what_is_there),
        cmocka_unit_test(test_bad_conditions_are_refused),
        cmocka_unit_test(test_expressions_have_limits),
        cmocka_unit_test(test_random_conditional_spaces),
        cmocka_unit_test(test_finite_spaces_are_counted_and_listed),
        cmocka_unit_test(test_distributions_are_drawn),
        cmocka_unit_test(test_far_levels_of_a_normal_stay_apart),
        cmocka_unit_test(test_sizes_of_large_spaces),
        cmocka_unit_test(test_expressions_are_bounded_together),
        cmocka_unit_test(test_counting_ends),
        cmocka_unit_test(test_grids_of_many_cases),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
