/* SPDX-License-Identifier: Apache-2.0 */
/* draw.c: making configs: drawing, repairing, one-exchange neighbours, priors of experts. */
#include "space_priv.h"

#include <math.h>
#include <string.h>

#define NEIGHBOUR_DEVIATION 0.2
#define TRUNCATED_DRAWS_MAX 64

static void copy_values(const struct hd_space *space, double *to, const double *from)
{
    memcpy(to, from, space->param_count * sizeof(*to));
}

static double draw_param(const struct hd_param *param, struct hd_rng *rng)
{
    return hd_param_from_unit(param, hd_param_is_free(param) ? hd_rng_double(rng) : 0.5);
}

/* ---- conditions ------------------------------------------------------------------------- */

static bool is_active(const struct hd_space *space, size_t index, const double *values)
{
    const struct hd_param *param = &space->params[index];
    return hd_conditions_hold(param->conditions, param->condition_count, values);
}

void hd_space_deactivate(const struct hd_space *space, double *values)
{
    for (size_t i = 0; i < space->param_count; i++) {
        size_t index = space->order[i];
        if (!is_active(space, index, values))
            values[index] = NAN;
    }
}

bool hd_space_finish(const struct hd_space *space, double *values)
{
    size_t clause = 0;
    hd_space_deactivate(space, values);
    return !hd_forbidden_next(space, values, &clause);
}

bool hd_space_activate(const struct hd_space *space, struct hd_rng *rng, double *values)
{
    size_t clause = 0;
    for (size_t i = 0; i < space->param_count; i++) {
        size_t index = space->order[i];
        if (!is_active(space, index, values))
            values[index] = NAN;
        else if (isnan(values[index]))
            values[index] = draw_param(&space->params[index], rng);
    }
    return !hd_forbidden_next(space, values, &clause);
}

/* ---- repair ------------------------------------------------------------------------------ */

/* Draws one param again that the clause looks at and that is active: of a clause that holds there
 * is one. */
static void redraw_one(const struct hd_space *space, const struct hd_forbidden *forbidden,
                       struct hd_rng *rng, double *values)
{
    size_t seen = 0, chosen = 0;
    for (size_t i = 0; i < forbidden->condition_count; i++) {
        const struct hd_condition *node = &forbidden->conditions[i];
        if (node->op == HD_CONDITION_ALL || node->op == HD_CONDITION_ANY)
            continue;
        /* One of all, each with the same probability, in one pass. */
        if (!isnan(values[node->parent_index]) && hd_rng_below(rng, ++seen) == 0)
            chosen = node->parent_index;
    }
    hd_assert(seen > 0);
    values[chosen] = draw_param(&space->params[chosen], rng);
}

bool hd_space_repair_from(const struct hd_space *space, struct hd_rng *rng, double *values)
{
    for (int step = 0; step < HD_SPACE_REPAIR_MAX; step++) {
        size_t clause = 0;
        if (hd_space_activate(space, rng, values))
            return true;
        if (hd_forbidden_next(space, values, &clause))
            redraw_one(space, &space->forbidden[clause], rng, values);
    }
    return hd_space_activate(space, rng, values);
}

void hd_space_repair(const struct hd_space *space, struct hd_rng *rng, double *values)
{
    if (!hd_space_repair_from(space, rng, values))
        copy_values(space, values, space->witness);
}

/* ---- drawing ------------------------------------------------------------------------------ */

static double draw_prior(const struct hd_param *param, struct hd_rng *rng)
{
    if (!param->has_prior || !hd_param_is_free(param))
        return draw_param(param, rng);
    return hd_param_from_unit(param, hd_param_prior_draw(param, rng));
}

static void draw_legal(const struct hd_space *space, struct hd_rng *rng,
                       double (*draw)(const struct hd_param *, struct hd_rng *), double *ret_values)
{
    for (int i = 0; i < HD_SPACE_DRAWS_MAX; i++) {
        for (size_t j = 0; j < space->param_count; j++)
            ret_values[j] = draw(&space->params[j], rng);
        if (hd_space_finish(space, ret_values))
            return;
    }
    hd_space_repair(space, rng, ret_values);
}

void hd_space_sample(const struct hd_space *space, struct hd_rng *rng, double *ret_values)
{
    draw_legal(space, rng, draw_param, ret_values);
}

void hd_space_prior_sample(const struct hd_space *space, struct hd_rng *rng, double *ret_values)
{
    draw_legal(space, rng, draw_prior, ret_values);
}

void hd_space_from_cube(const struct hd_space *space, const double *cube, double *ret_values)
{
    size_t free_index = 0;
    for (size_t i = 0; i < space->param_count; i++) {
        const struct hd_param *param = &space->params[i];
        ret_values[i] =
            hd_param_from_unit(param, hd_param_is_free(param) ? cube[free_index++] : 0.5);
    }
    hd_assert(free_index == space->free_count);
    if (hd_space_finish(space, ret_values))
        return;
    struct hd_rng rng;
    hd_rng_seed(&rng, hd_hash_bytes(HD_HASH_INIT, cube, free_index * sizeof(*cube)));
    hd_space_repair(space, &rng, ret_values);
}

void hd_space_default(const struct hd_space *space, double *ret_values)
{
    for (size_t i = 0; i < space->param_count; i++)
        ret_values[i] = space->params[i].default_value;
    if (!hd_space_finish(space, ret_values))
        copy_values(space, ret_values, space->witness);
}

/* ---- neighbours --------------------------------------------------------------------------- */

/* mean + deviation * normal, within [0, 1]. */
static double draw_truncated(struct hd_rng *rng, double mean, double deviation)
{
    double unit = mean;
    for (int i = 0; i < TRUNCATED_DRAWS_MAX; i++) {
        unit = mean + deviation * hd_rng_normal(rng);
        if (unit >= 0 && unit <= 1)
            return unit;
    }
    return unit < 0 ? 0 : 1;
}

static double move_number(const struct hd_param *param, double value, struct hd_rng *rng)
{
    double unit = draw_truncated(rng, hd_param_to_unit(param, value), NEIGHBOUR_DEVIATION);
    double moved = hd_param_from_unit(param, unit), levels = hd_param_levels(param);
    if (moved != value || isinf(levels))
        return moved;
    double level = hd_param_level_of(param, value);
    bool up = level == 0 || (level < levels - 1 && hd_rng_below(rng, 2) == 0);
    return hd_param_level_value(param, up ? level + 1 : level - 1);
}

static double move_param(const struct hd_param *param, double value, struct hd_rng *rng)
{
    if (param->kind != HD_PARAM_CATEGORICAL && param->kind != HD_PARAM_BOOL)
        return move_number(param, value, rng);
    double other = (double)hd_rng_below(rng, param->choice_count - 1);
    return other < value ? other : other + 1;
}

bool hd_space_neighbour(const struct hd_space *space, struct hd_rng *rng, const double *values,
                        double *ret_values)
{
    double moved[HD_SPACE_PARAMS_MAX];
    size_t active[HD_SPACE_PARAMS_MAX], count = 0;
    for (size_t i = 0; i < space->param_count; i++) {
        if (!isnan(values[i]) && hd_param_is_free(&space->params[i]))
            active[count++] = i;
    }
    for (int i = 0; i < HD_SPACE_NEIGHBOUR_DRAWS_MAX && count > 0; i++) {
        size_t index = active[hd_rng_below(rng, count)];
        copy_values(space, moved, values);
        moved[index] = move_param(&space->params[index], values[index], rng);
        if (moved[index] != values[index] && hd_space_activate(space, rng, moved)) {
            copy_values(space, ret_values, moved);
            return true;
        }
    }
    memmove(ret_values, values, space->param_count * sizeof(*values));
    return false;
}

/* ---- priors of experts --------------------------------------------------------------------- */

bool hd_space_has_prior(const struct hd_space *space)
{
    for (size_t i = 0; i < space->param_count; i++) {
        if (space->params[i].has_prior)
            return true;
    }
    return false;
}

static double prior_deviation(const struct hd_param *param)
{
    switch (param->prior_confidence) {
    case HD_CONFIDENCE_LOW:
        return 0.5;
    case HD_CONFIDENCE_MEDIUM:
        return 0.25;
    case HD_CONFIDENCE_HIGH:
        return 0.125;
    }
    hd_assert(false && "confidence");
    return 1;
}

/* How much more probable the centre of a choice is: 2, 4, 8. */
static double prior_factor(const struct hd_param *param)
{
    return 1 / prior_deviation(param);
}

static bool is_choice(const struct hd_param *param)
{
    return param->kind == HD_PARAM_CATEGORICAL || param->kind == HD_PARAM_BOOL ||
           param->kind == HD_PARAM_CONSTANT;
}

double hd_param_prior_density(const struct hd_param *param, double unit)
{
    if (!param->has_prior)
        return 1;
    if (is_choice(param)) {
        double low, high, factor = prior_factor(param);
        hd_param_level_range(param, param->prior_center, &low, &high);
        double total = 1 + (factor - 1) * (high - low);
        return (hd_param_from_unit(param, unit) == param->prior_center ? factor : 1) / total;
    }
    double deviation = prior_deviation(param);
    double centre = hd_param_to_unit(param, param->prior_center);
    double z = (unit - centre) / deviation;
    double mass =
        (erfc((centre - 1) / deviation * M_SQRT1_2) - erfc(centre / deviation * M_SQRT1_2));
    return exp(-z * z / 2) * M_SQRT1_2 * M_2_SQRTPI / deviation / mass;
}

double hd_param_prior_draw(const struct hd_param *param, struct hd_rng *rng)
{
    double unit = hd_rng_double(rng), low, high;
    if (!param->has_prior)
        return unit;
    if (!is_choice(param))
        return draw_truncated(rng, hd_param_to_unit(param, param->prior_center),
                              prior_deviation(param));
    hd_param_level_range(param, param->prior_center, &low, &high);
    double factor = prior_factor(param), width = high - low;
    double total = 1 + (factor - 1) * width;
    /* In this part of all draws the centre is taken beyond its share. */
    return hd_rng_double(rng) < (factor - 1) * width / total ? low + unit * width : unit;
}
