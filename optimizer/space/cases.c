/* SPDX-License-Identifier: Apache-2.0 */
/* cases.c: sorts the configs of a space into cases, see cases.h. */
#include "cases.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Up to here each level is compared with its neighbour; beyond, only those near mentioned values.
 */
#define LEVELS_SCANNED_MAX 1024

static bool is_leaf(const struct hd_condition *node)
{
    return node->op != HD_CONDITION_ALL && node->op != HD_CONDITION_ANY;
}

double hd_cases_level_value(const struct hd_cases *cases, size_t param_index, double level)
{
    const struct hd_param *param = &cases->space->params[param_index];
    if (!cases->dimensions[param_index].grid)
        return hd_param_level_value(param, level);
    if (cases->points == 1)
        return hd_param_from_unit(param, 0.5);
    return hd_param_from_unit(param, level / (cases->points - 1));
}

/* ---- components --------------------------------------------------------------------------- */

static size_t find_root(size_t *roots, size_t index)
{
    while (roots[index] != index) {
        roots[index] = roots[roots[index]];
        index = roots[index];
    }
    return index;
}

/* The root is the first of them in the file. */
static void join(size_t *roots, size_t a, size_t b)
{
    a = find_root(roots, a);
    b = find_root(roots, b);
    if (a < b)
        roots[b] = a;
    else
        roots[a] = b;
}

static void join_all(struct hd_cases *cases, size_t *roots)
{
    const struct hd_space *space = cases->space;
    for (size_t i = 0; i < space->param_count; i++) {
        for (size_t j = 0; j < space->params[i].condition_count; j++) {
            const struct hd_condition *node = &space->params[i].conditions[j];
            if (!is_leaf(node))
                continue;
            cases->dimensions[node->parent_index].looked_at = true;
            join(roots, i, node->parent_index);
        }
    }
    for (size_t i = 0; i < space->forbidden_count; i++) {
        size_t first = HD_SPACE_PARAMS_MAX;
        for (size_t j = 0; j < space->forbidden[i].condition_count; j++) {
            const struct hd_condition *node = &space->forbidden[i].conditions[j];
            if (!is_leaf(node))
                continue;
            cases->dimensions[node->parent_index].looked_at = true;
            first = first == HD_SPACE_PARAMS_MAX ? node->parent_index : first;
            join(roots, first, node->parent_index);
        }
    }
}

static size_t clause_param(const struct hd_forbidden *forbidden)
{
    size_t node = 0;
    while (!is_leaf(&forbidden->conditions[node]))
        node++;
    return forbidden->conditions[node].parent_index;
}

/* The three lists of all components: first their sizes, then their members. */
static enum hd_code fill_components(struct hd_cases *cases, struct hd_err *err)
{
    const struct hd_space *space = cases->space;
    for (int pass = 0; pass < 2; pass++) {
        for (size_t i = 0; i < cases->component_count && pass == 1; i++) {
            struct hd_component *component = &cases->components[i];
            component->params = hd_calloc(component->param_count + 1, sizeof(size_t));
            component->looked_at = hd_calloc(component->looked_at_count + 1, sizeof(size_t));
            component->clauses = hd_calloc(component->clause_count + 1, sizeof(size_t));
            if (component->params == NULL || component->looked_at == NULL ||
                component->clauses == NULL)
                return hd_fail(err, HD_E_NOMEM, "no memory to count the configs of a space");
            component->param_count = component->looked_at_count = component->clause_count = 0;
        }
        for (size_t i = 0; i < space->param_count; i++) {
            struct hd_component *component = &cases->components[cases->dimensions[i].component];
            size_t at = component->param_count++;
            if (pass == 1)
                component->params[at] = i;
            size_t parent = space->order[i];
            component = &cases->components[cases->dimensions[parent].component];
            if (!cases->dimensions[parent].looked_at)
                continue;
            at = component->looked_at_count++;
            if (pass == 1)
                component->looked_at[at] = parent;
        }
        for (size_t i = 0; i < space->forbidden_count; i++) {
            size_t param = clause_param(&space->forbidden[i]);
            struct hd_component *component = &cases->components[cases->dimensions[param].component];
            size_t at = component->clause_count++;
            if (pass == 1)
                component->clauses[at] = i;
        }
    }
    return HD_OK;
}

static enum hd_code make_components(struct hd_cases *cases, struct hd_err *err)
{
    size_t roots[HD_SPACE_PARAMS_MAX], count = cases->space->param_count;
    for (size_t i = 0; i < count; i++)
        roots[i] = i;
    join_all(cases, roots);
    for (size_t i = 0; i < count; i++) {
        size_t root = find_root(roots, i);
        cases->dimensions[i].component =
            root == i ? cases->component_count++ : cases->dimensions[root].component;
    }
    cases->components = hd_calloc(cases->component_count, sizeof(*cases->components));
    if (cases->components == NULL) {
        cases->component_count = 0;
        return hd_fail(err, HD_E_NOMEM, "no memory to count the configs of a space");
    }
    return fill_components(cases, err);
}

/* ---- ranges -------------------------------------------------------------------------------- */

/* The leaves that look at one param. */
struct leaves {
    const struct hd_condition **items;
    size_t count;
};

static void collect(struct leaves *leaves, size_t param_index,
                    const struct hd_condition *conditions, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (!is_leaf(&conditions[i]) || conditions[i].parent_index != param_index)
            continue;
        if (leaves->items != NULL)
            leaves->items[leaves->count] = &conditions[i];
        leaves->count++;
    }
}

static void collect_all(struct leaves *leaves, const struct hd_space *space, size_t param_index)
{
    leaves->count = 0;
    for (size_t i = 0; i < space->param_count; i++)
        collect(leaves, param_index, space->params[i].conditions, space->params[i].condition_count);
    for (size_t i = 0; i < space->forbidden_count; i++)
        collect(leaves, param_index, space->forbidden[i].conditions,
                space->forbidden[i].condition_count);
}

/* Leaves are evaluated through an array of values, which holds this param's at its index. */
static bool same_side(const struct leaves *leaves, double *values, size_t param_index, double a,
                      double b)
{
    for (size_t i = 0; i < leaves->count; i++) {
        values[param_index] = a;
        bool holds = hd_conditions_hold(leaves->items[i], 1, values);
        values[param_index] = b;
        if (hd_conditions_hold(leaves->items[i], 1, values) != holds)
            return false;
    }
    return true;
}

static int compare_doubles(const void *a, const void *b)
{
    double x, y;
    memcpy(&x, a, sizeof(x));
    memcpy(&y, b, sizeof(y));
    return x < y ? -1 : x > y ? 1 : 0;
}

struct cuts {
    double *items;
    size_t count;
};

static void add_cut(struct cuts *cuts, double cut, double low, double high)
{
    if (cut > low && cut < high)
        cuts->items[cuts->count++] = cut;
}

/* Every level at which a range may begin. */
static void cut_levels(struct cuts *cuts, const struct hd_param *param, double levels,
                       const struct leaves *leaves)
{
    cuts->items[cuts->count++] = 0;
    if (levels <= LEVELS_SCANNED_MAX) {
        for (double level = 1; level < levels; level++)
            cuts->items[cuts->count++] = level;
        return;
    }
    for (size_t i = 0; i < leaves->count; i++) {
        for (size_t j = 0; j < leaves->items[i]->value_count; j++) {
            double level = hd_param_level_of(param, leaves->items[i]->values[j]);
            for (int offset = -1; offset <= 2; offset++)
                add_cut(cuts, level + offset, 0, levels);
        }
    }
}

/* Between and at the values that leaves mention; an item is the begin of an open range, and the
 * next one, equal to it, that of the point. */
static void cut_values(struct cuts *cuts, const struct hd_param *param, const struct leaves *leaves)
{
    for (size_t i = 0; i < leaves->count; i++) {
        for (size_t j = 0; j < leaves->items[i]->value_count; j++) {
            double value = leaves->items[i]->values[j];
            if (value >= param->low && value <= param->high)
                cuts->items[cuts->count++] = value;
        }
    }
}

static size_t cut_capacity(double levels, const struct leaves *leaves)
{
    size_t count = 2 + (levels <= LEVELS_SCANNED_MAX ? (size_t)levels : 0);
    for (size_t i = 0; i < leaves->count; i++)
        count += 4 * leaves->items[i]->value_count;
    return count;
}

static void sort_cuts(struct cuts *cuts)
{
    size_t kept = 0;
    if (cuts->count > 1)
        qsort(cuts->items, cuts->count, sizeof(*cuts->items), compare_doubles);
    for (size_t i = 0; i < cuts->count; i++) {
        if (kept == 0 || cuts->items[i] != cuts->items[kept - 1])
            cuts->items[kept++] = cuts->items[i];
    }
    cuts->count = kept;
}

/* Appends a range, or makes the last one longer when no leaf tells them apart. */
static void add_range(struct hd_dimension *dimension, const struct leaves *leaves, double *values,
                      size_t param_index, struct hd_range range)
{
    struct hd_range *last = dimension->ranges + dimension->range_count - 1;
    if (dimension->range_count > 0 &&
        same_side(leaves, values, param_index, last->representative, range.representative)) {
        last->high = range.high;
        last->count += range.count;
        if (isinf(range.count)) /* an inner point rather than an end */
            last->representative = range.representative;
        return;
    }
    dimension->ranges[dimension->range_count++] = range;
}

static void add_open_range(struct hd_dimension *dimension, const struct leaves *leaves,
                           double *values, size_t param_index, double low, double high)
{
    double middle = low + (high - low) / 2;
    if (middle > low && middle < high)
        add_range(dimension, leaves, values, param_index,
                  (struct hd_range){low, high, INFINITY, middle});
}

static void make_value_ranges(struct hd_cases *cases, size_t param_index, const struct cuts *cuts,
                              const struct leaves *leaves, double *values)
{
    const struct hd_param *param = &cases->space->params[param_index];
    struct hd_dimension *dimension = &cases->dimensions[param_index];
    double low = param->low;
    for (size_t i = 0; i < cuts->count; i++) {
        double cut = cuts->items[i];
        add_open_range(dimension, leaves, values, param_index, low, cut);
        add_range(dimension, leaves, values, param_index, (struct hd_range){cut, cut, 1, cut});
        low = cut;
    }
    add_open_range(dimension, leaves, values, param_index, low, param->high);
    if (dimension->range_count == 0) /* no double lies between the bounds */
        dimension->ranges[dimension->range_count++] =
            (struct hd_range){param->low, param->high, INFINITY, param->low};
}

static void make_level_ranges(struct hd_cases *cases, size_t param_index, const struct cuts *cuts,
                              const struct leaves *leaves, double *values)
{
    struct hd_dimension *dimension = &cases->dimensions[param_index];
    for (size_t i = 0; i < cuts->count; i++) {
        double low = cuts->items[i];
        double high = (i + 1 < cuts->count ? cuts->items[i + 1] : dimension->levels) - 1;
        add_range(dimension, leaves, values, param_index,
                  (struct hd_range){low, high, high - low + 1,
                                    hd_cases_level_value(cases, param_index, low)});
    }
}

static enum hd_code make_ranges(struct hd_cases *cases, size_t param_index, double *values,
                                struct hd_err *err)
{
    const struct hd_param *param = &cases->space->params[param_index];
    struct hd_dimension *dimension = &cases->dimensions[param_index];
    struct leaves leaves = {0};
    struct cuts cuts = {0};
    collect_all(&leaves, cases->space, param_index);
    leaves.items = hd_calloc(leaves.count + 1, sizeof(struct hd_condition *));
    if (leaves.items != NULL) {
        collect_all(&leaves, cases->space, param_index);
        size_t capacity = cut_capacity(dimension->levels, &leaves);
        cuts.items = hd_calloc(capacity, sizeof(*cuts.items));
        dimension->ranges = hd_calloc(2 * capacity, sizeof(*dimension->ranges));
    }
    enum hd_code code = HD_OK;
    if (leaves.items == NULL || cuts.items == NULL || dimension->ranges == NULL) {
        code = hd_fail(err, HD_E_NOMEM, "no memory to count the configs of a space");
    } else if (isinf(dimension->levels)) {
        cut_values(&cuts, param, &leaves);
        sort_cuts(&cuts);
        make_value_ranges(cases, param_index, &cuts, &leaves, values);
    } else {
        cut_levels(&cuts, param, dimension->levels, &leaves);
        sort_cuts(&cuts);
        make_level_ranges(cases, param_index, &cuts, &leaves, values);
    }
    hd_free(leaves.items);
    hd_free(cuts.items);
    return code;
}

/* ---- life ---------------------------------------------------------------------------------- */

enum hd_code hd_cases_init(struct hd_cases *cases, const struct hd_space *space, uint32_t points,
                           struct hd_err *err)
{
    double values[HD_SPACE_PARAMS_MAX];
    *cases = (struct hd_cases){.space = space, .points = points};
    cases->dimensions = hd_calloc(space->param_count, sizeof(*cases->dimensions));
    cases->clause_weights = hd_calloc(space->forbidden_count + 1, sizeof(size_t));
    enum hd_code code = cases->dimensions != NULL && cases->clause_weights != NULL
                            ? make_components(cases, err)
                            : hd_fail(err, HD_E_NOMEM, "no memory to count the configs of a space");
    for (size_t i = 0; i < space->forbidden_count && code == HD_OK; i++)
        cases->clause_weights[i] = hd_conditions_weight(space->forbidden[i].conditions,
                                                        space->forbidden[i].condition_count);
    for (size_t i = 0; i < space->param_count && code == HD_OK; i++) {
        struct hd_dimension *dimension = &cases->dimensions[i];
        dimension->levels = hd_param_levels(&space->params[i]);
        dimension->weight =
            hd_conditions_weight(space->params[i].conditions, space->params[i].condition_count);
        dimension->grid = isinf(dimension->levels) && points > 0;
        if (dimension->grid)
            dimension->levels = points;
        if (dimension->looked_at)
            code = make_ranges(cases, i, values, err);
    }
    if (code != HD_OK)
        hd_cases_release(cases);
    return code;
}

void hd_cases_release(struct hd_cases *cases)
{
    for (size_t i = 0; cases->dimensions != NULL && i < cases->space->param_count; i++)
        hd_free(cases->dimensions[i].ranges);
    for (size_t i = 0; i < cases->component_count; i++) {
        struct hd_component *component = &cases->components[i];
        hd_free(component->params);
        hd_free(component->looked_at);
        hd_free(component->clauses);
        hd_free(component->cases);
        hd_free(component->case_ends);
    }
    hd_free(cases->dimensions);
    hd_free(cases->components);
    hd_free(cases->clause_weights);
    *cases = (struct hd_cases){0};
}
