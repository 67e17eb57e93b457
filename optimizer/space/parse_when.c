/* SPDX-License-Identifier: Apache-2.0 */
/*
 * parse_when.c: expressions: `when` of a param, and the list `forbidden`.
 *
 * A map is a conjunction of its members: a param and what it must be (a scalar, a list of scalars,
 * or comparisons), or `any` or `all` and a list of maps. Lists of maps cannot be values, so params
 * may be called any and all.
 */
#include "parse.h"

#include <math.h>
#include <string.h>

struct builder {
    struct place place;
    const struct hd_space *space;
    struct hd_condition *nodes;
    size_t count, capacity;
    size_t weight; /* of the expressions so far, and of this one */
};

/* Bounds what one look at all expressions costs. */
static enum hd_code add_weight(struct builder *builder, const struct hd_value *at, size_t weight,
                               struct hd_err *err)
{
    if (weight > HD_SPACE_COMPARED_MAX - builder->weight)
        return FAIL_AT(&builder->place, at, NULL, HD_E_LIMIT,
                       "the conditions and forbidden clauses of a space together have at most %d "
                       "values; say the same with comparisons or fewer clauses",
                       HD_SPACE_COMPARED_MAX);
    builder->weight += weight;
    return HD_OK;
}

static enum hd_code add_node(struct builder *builder, const struct hd_value *at,
                             enum hd_condition_op op, size_t parent_index, struct hd_err *err)
{
    if (builder->count >= HD_CONDITION_NODES_MAX)
        return FAIL_AT(&builder->place, at, NULL, HD_E_LIMIT, "an expression has at most %d parts",
                       HD_CONDITION_NODES_MAX);
    if (builder->count == builder->capacity) {
        size_t capacity = builder->capacity * 2 + 4;
        struct hd_condition *nodes = hd_realloc(builder->nodes, capacity * sizeof(*nodes));
        if (nodes == NULL)
            return hd_fail(err, HD_E_NOMEM, "no memory for a condition");
        builder->nodes = nodes;
        builder->capacity = capacity;
    }
    builder->nodes[builder->count++] =
        (struct hd_condition){.op = op, .node_count = 1, .parent_index = parent_index};
    return HD_OK;
}

/* ---- leaves -------------------------------------------------------------------------------- */

static enum hd_code find_param(const struct builder *builder, const char *name,
                               const struct hd_value *at, size_t *ret_index, struct hd_err *err)
{
    const char *names[HD_SPACE_PARAMS_MAX];
    for (size_t i = 0; i < builder->space->param_count; i++) {
        names[i] = builder->space->params[i].name;
        if (hd_streq(names[i], name)) {
            *ret_index = i;
            return HD_OK;
        }
    }
    const char *nearest = hd_nearest(name, names, builder->space->param_count);
    return FAIL_AT(&builder->place, at, NULL, HD_E_INVALID, "the space has no param \"%s\"%s%s%s",
                   name, nearest != NULL ? "; did you mean \"" : "", nearest != NULL ? nearest : "",
                   nearest != NULL ? "\"?" : "");
}

/* Of the newest node. */
static enum hd_code reserve_values(struct builder *builder, const struct hd_value *at, size_t count,
                                   struct hd_err *err)
{
    struct hd_condition *node = &builder->nodes[builder->count - 1];
    enum hd_code code = add_weight(builder, at, count, err);
    if (code != HD_OK)
        return code;
    node->values = hd_calloc(count, sizeof(double));
    return node->values != NULL
               ? HD_OK
               : hd_fail(err, HD_E_NOMEM, "no memory for the values of a condition");
}

/* is, or is not, one of these: a scalar or a list. */
static enum hd_code add_membership(struct builder *builder, size_t param_index,
                                   enum hd_condition_op op, const struct hd_value *item,
                                   struct hd_err *err)
{
    const struct hd_param *param = &builder->space->params[param_index];
    bool list = item->kind == HD_VALUE_ARRAY;
    size_t count = list ? item->as.array.count : 1;
    if (count == 0)
        return FAIL_AT(&builder->place, item, NULL, HD_E_INVALID,
                       "the list of values of %s is empty", param->name);
    enum hd_code code = add_node(builder, item, op, param_index, err);
    if (code == HD_OK)
        code = reserve_values(builder, item, count, err);
    for (size_t i = 0; i < count && code == HD_OK; i++) {
        const struct hd_value *scalar = list ? item->as.array.items[i] : item;
        struct hd_condition *node = &builder->nodes[builder->count - 1];
        code = hd_param_from_value(param, scalar, &node->values[i], err);
        if (code != HD_OK)
            hd_parse_fail_at(&builder->place, scalar, NULL, err);
        else
            node->value_count++;
    }
    return code;
}

/* Choices of an ordinal are compared by their place; numbers need not lie on the grid. */
static enum hd_code compared_value(const struct builder *builder, const struct hd_param *param,
                                   const struct hd_value *item, double *ret_value,
                                   struct hd_err *err)
{
    if (param->kind == HD_PARAM_ORDINAL) {
        enum hd_code code = hd_param_from_value(param, item, ret_value, err);
        if (code != HD_OK)
            hd_parse_fail_at(&builder->place, item, NULL, err);
        return code;
    }
    if (param->kind != HD_PARAM_FLOAT && param->kind != HD_PARAM_INT)
        return FAIL_AT(&builder->place, item, NULL, HD_E_INVALID,
                       "%s is of type %s, which has no order: give a value or a list of values",
                       param->name, hd_param_kind_name(param->kind));
    if (!hd_value_is_number(item) || !isfinite(hd_value_number(item)))
        return FAIL_AT(&builder->place, item, NULL, HD_E_INVALID,
                       "%s is compared with a finite number, not %s", param->name,
                       hd_value_kind_name(item->kind));
    *ret_value = hd_value_number(item);
    return HD_OK;
}

/* A comparison that no value can fulfil is a mistake, and one that tells itself. */
static bool is_hopeless(const struct hd_param *param, enum hd_condition_op op, double value)
{
    bool choices = hd_param_has_choices(param);
    double low = choices ? 0 : param->low;
    double high = choices ? (double)param->choice_count - 1 : param->high;
    switch (op) {
    case HD_CONDITION_LESS:
        return value <= low;
    case HD_CONDITION_LESS_EQUAL:
        return value < low;
    case HD_CONDITION_GREATER:
        return value >= high;
    case HD_CONDITION_GREATER_EQUAL:
        return value > high;
    case HD_CONDITION_ALL:
    case HD_CONDITION_ANY:
    case HD_CONDITION_IN:
    case HD_CONDITION_NOT_IN:
        return false;
    }
    hd_assert(false && "op");
    return false;
}

static enum hd_code add_comparison(struct builder *builder, size_t param_index, const char *word,
                                   const struct hd_value *item, struct hd_err *err)
{
    static const enum hd_condition_op ops[] = {
        HD_CONDITION_IN,         HD_CONDITION_NOT_IN,  HD_CONDITION_LESS,
        HD_CONDITION_LESS_EQUAL, HD_CONDITION_GREATER, HD_CONDITION_GREATER_EQUAL,
    };
    const struct hd_param *param = &builder->space->params[param_index];
    double value = 0;
    size_t at = 0;
    while (at < HD_COUNT(ops) && !hd_streq(hd_condition_word(ops[at]), word))
        at++;
    if (at == HD_COUNT(ops))
        return FAIL_AT(&builder->place, item, NULL, HD_E_INVALID,
                       "\"%s\" is no comparison; known are in, not, lt, le, gt and ge", word);
    if (ops[at] == HD_CONDITION_IN || ops[at] == HD_CONDITION_NOT_IN)
        return add_membership(builder, param_index, ops[at], item, err);
    enum hd_code code = compared_value(builder, param, item, &value, err);
    if (code == HD_OK && is_hopeless(param, ops[at], value))
        code = FAIL_AT(&builder->place, item, NULL, HD_E_INVALID,
                       "no value of %s fulfils this comparison", param->name);
    if (code == HD_OK)
        code = add_node(builder, item, ops[at], param_index, err);
    if (code == HD_OK)
        code = reserve_values(builder, item, 1, err);
    if (code != HD_OK)
        return code;
    struct hd_condition *node = &builder->nodes[builder->count - 1];
    node->values[0] = value;
    node->value_count = 1;
    return HD_OK;
}

/* ---- trees --------------------------------------------------------------------------------- */

static enum hd_code parse_map(struct builder *builder, const struct hd_value *map, int depth,
                              struct hd_err *err);

/* Closes an inner node: of a single child nothing but the child stays. */
static enum hd_code end_group(struct builder *builder, const struct hd_value *at, size_t start,
                              size_t children, struct hd_err *err)
{
    struct hd_condition *node = &builder->nodes[start];
    if (children != 1) {
        node->node_count = builder->count - start;
        return add_weight(builder, at, 1, err);
    }
    builder->count--;
    memmove(node, node + 1, (builder->count - start) * sizeof(*node));
    return HD_OK;
}

static enum hd_code parse_comparisons(struct builder *builder, size_t param_index,
                                      const struct hd_value *map, struct hd_err *err)
{
    size_t start = builder->count, count = map->as.object.count;
    if (count == 0)
        return FAIL_AT(&builder->place, map, NULL, HD_E_INVALID,
                       "give a comparison, such as {gt: 2}");
    enum hd_code code = add_node(builder, map, HD_CONDITION_ALL, 0, err);
    for (size_t i = 0; i < count && code == HD_OK; i++)
        code = add_comparison(builder, param_index, map->as.object.keys[i], map->as.object.items[i],
                              err);
    return code == HD_OK ? end_group(builder, map, start, count, err) : code;
}

/* any: [..], all: [..] */
static enum hd_code parse_group(struct builder *builder, enum hd_condition_op op,
                                const struct hd_value *list, int depth, struct hd_err *err)
{
    size_t start = builder->count, count = list->as.array.count;
    enum hd_code code = add_node(builder, list, op, 0, err);
    for (size_t i = 0; i < count && code == HD_OK; i++)
        code = parse_map(builder, list->as.array.items[i], depth + 1, err);
    return code == HD_OK ? end_group(builder, list, start, count, err) : code;
}

static bool is_list_of_maps(const struct hd_value *item)
{
    return item->kind == HD_VALUE_ARRAY && item->as.array.count > 0 &&
           item->as.array.items[0]->kind == HD_VALUE_OBJECT;
}

static enum hd_code parse_member(struct builder *builder, const char *key,
                                 const struct hd_value *item, int depth, struct hd_err *err)
{
    size_t index;
    if (is_list_of_maps(item) && hd_streq(key, "any"))
        return parse_group(builder, HD_CONDITION_ANY, item, depth, err);
    if (is_list_of_maps(item) && hd_streq(key, "all"))
        return parse_group(builder, HD_CONDITION_ALL, item, depth, err);
    enum hd_code code = find_param(builder, key, item, &index, err);
    if (code != HD_OK)
        return code;
    return item->kind == HD_VALUE_OBJECT
               ? parse_comparisons(builder, index, item, err)
               : add_membership(builder, index, HD_CONDITION_IN, item, err);
}

static enum hd_code parse_map(struct builder *builder, const struct hd_value *map, int depth,
                              struct hd_err *err)
{
    if (depth > HD_CONDITION_DEPTH_MAX)
        return FAIL_AT(&builder->place, map, NULL, HD_E_LIMIT, "any and all nest at most %d deep",
                       HD_CONDITION_DEPTH_MAX);
    if (map->kind != HD_VALUE_OBJECT || map->as.object.count == 0)
        return FAIL_AT(&builder->place, map, NULL, HD_E_INVALID,
                       "must be a map such as {optimizer: [adam, sgd], layers: {gt: 2}}; "
                       "alternatives are written {any: [{...}, {...}]}");
    size_t start = builder->count, count = map->as.object.count;
    enum hd_code code = add_node(builder, map, HD_CONDITION_ALL, 0, err);
    for (size_t i = 0; i < count && code == HD_OK; i++)
        code = parse_member(builder, map->as.object.keys[i], map->as.object.items[i], depth, err);
    return code == HD_OK ? end_group(builder, map, start, count, err) : code;
}

/* On success the caller owns the nodes. */
static enum hd_code parse_expression(struct builder *builder, const struct hd_value *value,
                                     struct hd_condition **ret_nodes, size_t *ret_count,
                                     struct hd_err *err)
{
    builder->nodes = NULL;
    builder->count = builder->capacity = 0;
    enum hd_code code = parse_map(builder, value, 0, err);
    if (code != HD_OK) {
        hd_conditions_free(builder->nodes, builder->count);
        return code;
    }
    *ret_nodes = builder->nodes;
    *ret_count = builder->count;
    return HD_OK;
}

/* ---- the order of params ------------------------------------------------------------------- */

/* A parent that has no place yet, or SIZE_MAX. */
static size_t unplaced_parent(const struct hd_param *param, const bool *placed)
{
    for (size_t i = 0; i < param->condition_count; i++) {
        const struct hd_condition *node = &param->conditions[i];
        bool leaf = node->op != HD_CONDITION_ALL && node->op != HD_CONDITION_ANY;
        if (leaf && !placed[node->parent_index])
            return node->parent_index;
    }
    return SIZE_MAX;
}

/* Every param left has a parent that is left: going to it again and again must come round. */
static enum hd_code refuse_cycle(const struct builder *builder, const bool *placed, size_t start,
                                 const struct hd_value *at, struct hd_err *err)
{
    const struct hd_space *space = builder->space;
    bool seen[HD_SPACE_PARAMS_MAX] = {false};
    char text[HD_ERR_TEXT_MAX / 2], more[HD_ERR_TEXT_MAX / 2];
    size_t index = start;
    while (!seen[index]) {
        seen[index] = true;
        index = unplaced_parent(&space->params[index], placed);
    }
    hd_copy_text(text, sizeof(text), space->params[index].name);
    size_t end = index;
    do {
        index = unplaced_parent(&space->params[index], placed);
        hd_format(more, sizeof(more), "%s <- %s", text, space->params[index].name);
        hd_copy_text(text, sizeof(text), more);
    } while (index != end);
    return FAIL_AT(&builder->place, at, NULL, HD_E_INVALID,
                   "conditions form a cycle (each is activated by the next): %s", text);
}

/* Parents before children, otherwise in the order of the file. */
static enum hd_code order_params(const struct builder *builder, struct hd_space *space,
                                 const struct hd_value *at, struct hd_err *err)
{
    bool placed[HD_SPACE_PARAMS_MAX] = {false};
    size_t count = 0;
    while (count < space->param_count) {
        size_t before = count, left = 0;
        for (size_t i = 0; i < space->param_count; i++) {
            if (placed[i])
                continue;
            left = i;
            if (unplaced_parent(&space->params[i], placed) != SIZE_MAX)
                continue;
            placed[i] = true;
            space->order[count++] = i;
        }
        if (count == before)
            return refuse_cycle(builder, placed, left, at, err);
    }
    return HD_OK;
}

/* ---- forbidden ------------------------------------------------------------------------------ */

static enum hd_code parse_forbidden(struct builder *builder, const char *prefix,
                                    const struct hd_value *list, struct hd_space *space,
                                    struct hd_err *err)
{
    const char *dot = prefix[0] != '\0' ? "." : "";
    hd_format(builder->place.path, sizeof(builder->place.path), "%s%sforbidden", prefix, dot);
    if (list == NULL || list->kind == HD_VALUE_NULL)
        return HD_OK;
    if (list->kind != HD_VALUE_ARRAY)
        return FAIL_AT(
            &builder->place, list, NULL, HD_E_INVALID,
            "must be a list of maps, such as [{optimizer: sgd, lr: {gt: 0.5}}] (the name "
            "is reserved)");
    size_t count = list->as.array.count;
    if (count > HD_SPACE_FORBIDDEN_MAX)
        return FAIL_AT(&builder->place, list, NULL, HD_E_LIMIT, "at most %d clauses are allowed",
                       HD_SPACE_FORBIDDEN_MAX);
    space->forbidden = hd_calloc(count + 1, sizeof(*space->forbidden));
    if (space->forbidden == NULL)
        return hd_fail(err, HD_E_NOMEM, "no memory for forbidden clauses");
    for (size_t i = 0; i < count; i++) {
        struct hd_forbidden *forbidden = &space->forbidden[i];
        hd_format(builder->place.path, sizeof(builder->place.path), "%s%sforbidden[%zu]", prefix,
                  dot, i);
        enum hd_code code =
            parse_expression(builder, list->as.array.items[i], &forbidden->conditions,
                             &forbidden->condition_count, err);
        if (code != HD_OK)
            return code;
        space->forbidden_count++;
    }
    hd_format(builder->place.path, sizeof(builder->place.path), "%s%sforbidden", prefix, dot);
    return HD_OK;
}

enum hd_code hd_parse_conditions(const struct hd_value *value, const char *name, const char *path,
                                 struct hd_space *space, struct hd_err *err)
{
    struct builder builder = {.place = {.name = name}, .space = space};
    const char *dot = path[0] != '\0' ? "." : "";
    for (size_t i = 0; i < space->param_count; i++) {
        struct hd_param *param = &space->params[i];
        const struct hd_value *object = hd_value_get(value, param->name);
        const struct hd_value *when =
            object->kind == HD_VALUE_OBJECT ? hd_value_get(object, "when") : NULL;
        hd_format(builder.place.path, sizeof(builder.place.path), "%s%s%s.when", path, dot,
                  param->name);
        if (when == NULL || when->kind == HD_VALUE_NULL)
            continue;
        enum hd_code code =
            parse_expression(&builder, when, &param->conditions, &param->condition_count, err);
        if (code != HD_OK)
            return code;
    }
    hd_copy_text(builder.place.path, sizeof(builder.place.path), path);
    enum hd_code code = order_params(&builder, space, value, err);
    const struct hd_value *list = hd_value_get(value, "forbidden");
    if (code == HD_OK)
        code = parse_forbidden(&builder, path, list, space, err);
    if (code != HD_OK)
        return code;
    code = hd_space_analyse(space, err);
    return code == HD_E_INVALID ? (hd_parse_fail_at(&builder.place, list, NULL, err), code) : code;
}
