/* SPDX-License-Identifier: Apache-2.0 */
/*
 * walk.c: runs through the cases of a space: to count its configs, to find a legal one, and to tell
 * which clauses leave none.
 */
#include "cases.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#define WITNESS_DRAWS 2000
#define CORE_CLAUSES_MAX 64 /* up to so many clauses the guilty ones are singled out */

static bool is_active(const struct hd_case_walk *walk, size_t index)
{
    const struct hd_param *param = &walk->cases->space->params[index];
    walk->cases->work += walk->cases->dimensions[index].weight;
    return hd_conditions_hold(param->conditions, param->condition_count, walk->values);
}

/* Params that are not assigned yet are NaN, which makes comparisons false, and expressions know no
 * negation: what holds now holds whatever follows. */
static bool is_forbidden(const struct hd_case_walk *walk)
{
    const struct hd_space *space = walk->cases->space;
    for (size_t i = 0; i < walk->component->clause_count; i++) {
        size_t clause = walk->component->clauses[i];
        const struct hd_forbidden *forbidden = &space->forbidden[clause];
        if (walk->ignored != NULL && walk->ignored[clause])
            continue;
        walk->cases->work += walk->cases->clause_weights[clause];
        if (hd_conditions_hold(forbidden->conditions, forbidden->condition_count, walk->values))
            return true;
    }
    return false;
}

/* The case that was just counted. */
static enum hd_code keep_case(struct hd_case_walk *walk, struct hd_err *err)
{
    struct hd_component *component = walk->component;
    size_t width = component->looked_at_count;
    if ((component->case_count + 1) * width > HD_GRID_ENTRIES_MAX)
        return hd_fail(err, HD_E_LIMIT,
                       "the conditions and forbidden clauses of the space make too many cases for "
                       "a table of all configs (%u entries)",
                       HD_GRID_ENTRIES_MAX);
    if (component->case_count == component->case_capacity) {
        size_t capacity = component->case_capacity * 2 + 16;
        uint32_t *cases = hd_realloc(component->cases, capacity * width * sizeof(*cases));
        component->cases = cases != NULL ? cases : component->cases;
        double *ends = hd_realloc(component->case_ends, capacity * sizeof(*ends));
        component->case_ends = ends != NULL ? ends : component->case_ends;
        if (cases == NULL || ends == NULL)
            return hd_fail(err, HD_E_NOMEM, "no memory for a table of all configs");
        component->case_capacity = capacity;
    }
    if (width > 0)
        memcpy(component->cases + component->case_count * width, walk->chosen,
               width * sizeof(*walk->chosen));
    component->case_ends[component->case_count++] = component->count;
    return HD_OK;
}

static enum hd_code end_case(struct hd_case_walk *walk, double count, struct hd_err *err)
{
    const struct hd_space *space = walk->cases->space;
    const struct hd_component *component = walk->component;
    for (size_t i = 0; i < component->param_count; i++) {
        size_t index = component->params[i];
        const struct hd_dimension *dimension = &walk->cases->dimensions[index];
        if (dimension->looked_at)
            continue;
        bool active = is_active(walk, index);
        walk->values[index] = active ? space->params[index].default_value : NAN;
        count *= active ? dimension->levels : 1;
    }
    for (size_t i = 0; i < component->param_count && !walk->found; i++)
        if (walk->ret_example != NULL)
            walk->ret_example[component->params[i]] = walk->values[component->params[i]];
    walk->found = true;
    walk->component->count += count;
    return walk->keep ? keep_case(walk, err) : HD_OK;
}

static bool has_ended(const struct hd_case_walk *walk)
{
    return walk->component->cut_off || (walk->first_only && walk->found);
}

/* As deep as params are looked at: at most HD_SPACE_PARAMS_MAX small frames. */
static enum hd_code walk_from(struct hd_case_walk *walk, size_t depth, double count,
                              struct hd_err *err)
{
    if (depth == walk->component->looked_at_count)
        return end_case(walk, count, err);
    size_t index = walk->component->looked_at[depth];
    const struct hd_dimension *dimension = &walk->cases->dimensions[index];
    enum hd_code code = HD_OK;
    if (!is_active(walk, index)) {
        walk->chosen[depth] = HD_CASE_INACTIVE;
        return walk_from(walk, depth + 1, count, err);
    }
    for (size_t i = 0; i < dimension->range_count && code == HD_OK && !has_ended(walk); i++) {
        if (walk->visits++ >= walk->visits_max || walk->cases->work >= HD_SPACE_WORK_MAX) {
            walk->component->cut_off = true;
            break;
        }
        walk->chosen[depth] = (uint32_t)i;
        walk->values[index] = dimension->ranges[i].representative;
        if (!is_forbidden(walk))
            code = walk_from(walk, depth + 1, count * dimension->ranges[i].count, err);
    }
    walk->values[index] = NAN;
    return code;
}

static uint64_t to_whole(double count)
{
    return count < 0x1p63 ? (uint64_t)count : UINT64_MAX;
}

enum hd_code hd_cases_walk(struct hd_case_walk *walk, struct hd_err *err)
{
    struct hd_component *component = walk->component;
    component->count = 0;
    component->cut_off = walk->found = false;
    for (size_t i = 0; i < component->param_count; i++)
        walk->values[component->params[i]] = NAN;
    enum hd_code code = walk_from(walk, 0, 1, err);
    if (component->cut_off) {
        component->count = 1;
        for (size_t i = 0; i < component->param_count; i++)
            component->count *= walk->cases->dimensions[component->params[i]].levels;
    }
    component->count_whole = to_whole(component->count);
    return code;
}

/* ---- contradictions ------------------------------------------------------------------------ */

static enum hd_code leaves_something(struct hd_cases *cases, struct hd_component *component,
                                     const bool *ignored, bool *ret_found, struct hd_err *err)
{
    double values[HD_SPACE_PARAMS_MAX];
    struct hd_case_walk walk = {.cases = cases,
                                .component = component,
                                .values = values,
                                .ignored = ignored,
                                .first_only = true,
                                .visits_max = HD_SPACE_VISITS_MAX};
    enum hd_code code = hd_cases_walk(&walk, err);
    *ret_found = walk.found || component->cut_off; /* in doubt the clause is guilty */
    return code;
}

/* Leaves out every clause without which still nothing is left: the rest is needed for that. */
static enum hd_code explain(struct hd_cases *cases, struct hd_component *component,
                            struct hd_err *err)
{
    bool ignored[HD_SPACE_FORBIDDEN_MAX] = {false};
    char names[HD_ERR_TEXT_MAX / 2] = "";
    size_t count = 0;
    for (size_t i = 0; i < component->clause_count && component->clause_count <= CORE_CLAUSES_MAX;
         i++) {
        bool found = false;
        ignored[component->clauses[i]] = true;
        enum hd_code code = leaves_something(cases, component, ignored, &found, err);
        if (code != HD_OK)
            return code;
        ignored[component->clauses[i]] = !found;
    }
    for (size_t i = 0; i < component->clause_count; i++) {
        char more[HD_ERR_TEXT_MAX / 2];
        if (ignored[component->clauses[i]])
            continue;
        hd_format(more, sizeof(more), "%s%s%zu", names, count++ > 0 ? ", " : "",
                  component->clauses[i] + 1);
        hd_copy_text(names, sizeof(names), more);
    }
    return hd_fail(err, HD_E_INVALID,
                   "no config is left: %s %s of the list %s out every one; take something out",
                   count == 1 ? "clause" : "clauses", names,
                   count == 1 ? "rules" : "together rule");
}

/* ---- the whole space ------------------------------------------------------------------------ */

static enum hd_code draw_witness(struct hd_space *space, struct hd_err *err)
{
    struct hd_rng rng;
    hd_rng_seed(&rng, HD_HASH_INIT);
    for (int i = 0; i < WITNESS_DRAWS / HD_SPACE_DRAWS_MAX; i++) {
        for (size_t j = 0; j < space->param_count; j++)
            space->witness[j] = hd_param_from_unit(&space->params[j], hd_rng_double(&rng));
        if (hd_space_repair_from(space, &rng, space->witness))
            return HD_OK;
    }
    return hd_fail(
        err, HD_E_INVALID,
        "no legal config was found in %d draws, each of them repaired in up to %d steps: "
        "the clauses leave nothing, or too little to be found",
        WITNESS_DRAWS / HD_SPACE_DRAWS_MAX, HD_SPACE_REPAIR_MAX);
}

static enum hd_code count_component(struct hd_cases *cases, struct hd_component *component,
                                    struct hd_space *space, bool *ret_found, struct hd_err *err)
{
    double values[HD_SPACE_PARAMS_MAX];
    struct hd_case_walk walk = {.cases = cases,
                                .component = component,
                                .values = values,
                                .ret_example = space->witness,
                                .visits_max = HD_SPACE_VISITS_MAX};
    enum hd_code code = hd_cases_walk(&walk, err);
    if (code == HD_OK && !walk.found && !component->cut_off)
        return explain(cases, component, err);
    *ret_found = *ret_found && walk.found;
    space->size *= component->count;
    space->size_exact = space->size_exact && !component->cut_off;
    return code;
}

enum hd_code hd_space_analyse(struct hd_space *space, struct hd_err *err)
{
    struct hd_cases cases;
    bool found = true;
    enum hd_code code = hd_cases_init(&cases, space, 0, err);
    space->size = 1;
    space->size_exact = true;
    for (size_t i = 0; i < cases.component_count && code == HD_OK; i++)
        code = count_component(&cases, &cases.components[i], space, &found, err);
    hd_cases_release(&cases);
    if (code != HD_OK)
        return code;
    double defaults[HD_SPACE_PARAMS_MAX];
    for (size_t i = 0; i < space->param_count; i++)
        defaults[i] = space->params[i].default_value;
    if (hd_space_finish(space, defaults)) {
        memcpy(space->witness, defaults, space->param_count * sizeof(*defaults));
        return HD_OK;
    }
    return found ? HD_OK : draw_witness(space, err);
}
