/* SPDX-License-Identifier: Apache-2.0 */
/* grid.c: all configs of a finite space by number. */
#include "cases.h"

#include <math.h>

struct hd_grid {
    struct hd_cases cases;
    uint64_t size;
};

static uint64_t multiply(uint64_t a, uint64_t b)
{
    return b != 0 && a > UINT64_MAX / b ? UINT64_MAX : a * b;
}

static enum hd_code list_component(struct hd_grid *grid, struct hd_component *component,
                                   struct hd_err *err)
{
    double values[HD_SPACE_PARAMS_MAX];
    struct hd_case_walk walk = {.cases = &grid->cases,
                                .component = component,
                                .values = values,
                                .keep = component->looked_at_count > 0,
                                .visits_max = HD_SPACE_VISITS_MAX};
    enum hd_code code = hd_cases_walk(&walk, err);
    if (code == HD_OK && component->cut_off)
        code =
            hd_fail(err, HD_E_LIMIT,
                    "the conditions and forbidden clauses of the space make too many cases for a "
                    "table of all configs (more than %d, or more than %u comparisons to find "
                    "them)",
                    HD_SPACE_VISITS_MAX, HD_SPACE_WORK_MAX);
    if (code == HD_OK && !walk.found)
        code = hd_fail(err, HD_E_INVALID,
                       "the forbidden clauses leave no point of the grid; give more points");
    return code;
}

enum hd_code hd_grid_new(const struct hd_space *space, uint32_t points, struct hd_grid **ret_grid,
                         struct hd_err *err)
{
    hd_assert(points <= HD_GRID_POINTS_MAX);
    if (points == 0 && isinf(space->size))
        return hd_fail(err, HD_E_UNSUPPORTED,
                       "a float without step has no grid; give it a step, or points");
    struct hd_grid *grid = hd_calloc(1, sizeof(*grid));
    if (grid == NULL)
        return hd_fail(err, HD_E_NOMEM, "no memory for a grid");
    enum hd_code code = hd_cases_init(&grid->cases, space, points, err);
    grid->size = 1;
    for (size_t i = 0; i < grid->cases.component_count && code == HD_OK; i++) {
        code = list_component(grid, &grid->cases.components[i], err);
        grid->size = multiply(grid->size, grid->cases.components[i].count_whole);
    }
    if (code != HD_OK) {
        hd_grid_free(grid);
        return code;
    }
    *ret_grid = grid;
    return HD_OK;
}

void hd_grid_free(struct hd_grid *grid)
{
    if (grid == NULL)
        return;
    hd_cases_release(&grid->cases);
    hd_free(grid);
}

uint64_t hd_grid_size(const struct hd_grid *grid)
{
    return grid->size;
}

/* ---- one config ---------------------------------------------------------------------------- */

/* The ranges of a case as configs have them: NULL where there is no case. */
static const uint32_t *case_of(const struct hd_component *component, size_t number)
{
    return component->cases != NULL ? component->cases + number * component->looked_at_count : NULL;
}

/* The case of a config by its place among those of the component. */
static size_t case_at(const struct hd_component *component, double place)
{
    size_t low = 0, high = component->case_count > 0 ? component->case_count - 1 : 0;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (place < component->case_ends[middle])
            high = middle;
        else
            low = middle + 1;
    }
    return low;
}

/* Writes the first value of each range (or NaN), so that the conditions of the others can be
 * told, and the range of each param into low and count. */
static void begin_case(const struct hd_grid *grid, const struct hd_component *component,
                       const uint32_t *chosen, double *values, struct hd_range *ranges)
{
    for (size_t i = 0; i < component->looked_at_count; i++) {
        size_t index = component->looked_at[i];
        bool active = chosen[i] != HD_CASE_INACTIVE;
        ranges[index] = active ? grid->cases.dimensions[index].ranges[chosen[i]]
                               : (struct hd_range){0, 0, 0, NAN};
        values[index] = ranges[index].representative;
    }
    for (size_t i = 0; i < component->param_count; i++) {
        size_t index = component->params[i];
        const struct hd_param *param = &grid->cases.space->params[index];
        if (grid->cases.dimensions[index].looked_at)
            continue;
        bool active = hd_conditions_hold(param->conditions, param->condition_count, values);
        double levels = grid->cases.dimensions[index].levels;
        ranges[index] = (struct hd_range){0, levels - 1, active ? levels : 0, NAN};
        values[index] = NAN;
    }
}

static void set_level(const struct hd_grid *grid, size_t index, const struct hd_range *range,
                      double level, double *values)
{
    values[index] =
        range->count > 0 ? hd_cases_level_value(&grid->cases, index, range->low + level) : NAN;
}

static void component_config(const struct hd_grid *grid, const struct hd_component *component,
                             uint64_t number, double *values, struct hd_range *ranges)
{
    size_t at = case_at(component, (double)number);
    uint64_t before = at > 0 ? (uint64_t)component->case_ends[at - 1] : 0;
    number -= before < number ? before : number; /* sums beyond 2^53 are rounded */
    begin_case(grid, component, case_of(component, at), values, ranges);
    for (size_t i = component->param_count; i-- > 0;) {
        size_t index = component->params[i];
        uint64_t count = ranges[index].count >= 1 ? (uint64_t)ranges[index].count : 1;
        set_level(grid, index, &ranges[index], (double)(number % count), values);
        number /= count;
    }
}

void hd_grid_config(const struct hd_grid *grid, uint64_t index, double *ret_values)
{
    struct hd_range ranges[HD_SPACE_PARAMS_MAX];
    hd_assert(index < grid->size);
    for (size_t i = grid->cases.component_count; i-- > 0;) {
        const struct hd_component *component = &grid->cases.components[i];
        component_config(grid, component, index % component->count_whole, ret_values, ranges);
        index /= component->count_whole;
    }
}

static size_t draw_case(const struct hd_component *component, struct hd_rng *rng)
{
    return case_at(component, hd_rng_double(rng) * component->count);
}

void hd_grid_sample(const struct hd_grid *grid, struct hd_rng *rng, double *ret_values)
{
    struct hd_range ranges[HD_SPACE_PARAMS_MAX];
    for (size_t i = 0; i < grid->cases.component_count; i++) {
        const struct hd_component *component = &grid->cases.components[i];
        begin_case(grid, component, case_of(component, draw_case(component, rng)), ret_values,
                   ranges);
        for (size_t j = 0; j < component->param_count; j++) {
            size_t index = component->params[j];
            double level = floor(hd_rng_double(rng) * ranges[index].count);
            set_level(grid, index, &ranges[index], level, ret_values);
        }
    }
}
