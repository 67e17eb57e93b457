/* SPDX-License-Identifier: Apache-2.0 */
/* condition.c: expressions over params: whether they hold, and how they read. */
#include "space_priv.h"

#include <math.h>

void hd_conditions_free(struct hd_condition *conditions, size_t count)
{
    for (size_t i = 0; i < count; i++)
        hd_free(conditions[i].values);
    hd_free(conditions);
}

static bool is_listed(const struct hd_condition *leaf, double value)
{
    for (size_t i = 0; i < leaf->value_count; i++) {
        if (value == leaf->values[i])
            return true;
    }
    return false;
}

/* Comparisons with NaN (an inactive param) are false; NOT_IN has to look. */
static bool leaf_holds(const struct hd_condition *leaf, double value)
{
    switch (leaf->op) {
    case HD_CONDITION_IN:
        return is_listed(leaf, value);
    case HD_CONDITION_NOT_IN:
        return !isnan(value) && !is_listed(leaf, value);
    case HD_CONDITION_LESS:
        return value < leaf->values[0];
    case HD_CONDITION_LESS_EQUAL:
        return value <= leaf->values[0];
    case HD_CONDITION_GREATER:
        return value > leaf->values[0];
    case HD_CONDITION_GREATER_EQUAL:
        return value >= leaf->values[0];
    case HD_CONDITION_ALL:
    case HD_CONDITION_ANY:
        break;
    }
    hd_assert(false && "leaf");
    return false;
}

/* As deep as the expression: at most HD_CONDITION_DEPTH_MAX. */
static bool node_holds(const struct hd_condition *node, const double *values)
{
    if (node->op != HD_CONDITION_ALL && node->op != HD_CONDITION_ANY)
        return leaf_holds(node, values[node->parent_index]);
    bool all = node->op == HD_CONDITION_ALL;
    const struct hd_condition *end = node + node->node_count;
    for (const struct hd_condition *child = node + 1; child < end; child += child->node_count) {
        if (node_holds(child, values) != all)
            return !all;
    }
    return all;
}

bool hd_conditions_hold(const struct hd_condition *conditions, size_t count, const double *values)
{
    return count == 0 || node_holds(conditions, values);
}

size_t hd_conditions_weight(const struct hd_condition *conditions, size_t count)
{
    size_t weight = 0;
    for (size_t i = 0; i < count; i++)
        weight += conditions[i].value_count > 0 ? conditions[i].value_count : 1;
    return weight;
}

bool hd_forbidden_next(const struct hd_space *space, const double *values, size_t *index)
{
    for (; *index < space->forbidden_count; (*index)++) {
        const struct hd_forbidden *forbidden = &space->forbidden[*index];
        if (hd_conditions_hold(forbidden->conditions, forbidden->condition_count, values))
            return true;
    }
    return false;
}

/* ---- for people -------------------------------------------------------------------------- */

const char *hd_condition_word(enum hd_condition_op op)
{
    switch (op) {
    case HD_CONDITION_ALL:
        return "all";
    case HD_CONDITION_ANY:
        return "any";
    case HD_CONDITION_IN:
        return "in";
    case HD_CONDITION_NOT_IN:
        return "not";
    case HD_CONDITION_LESS:
        return "lt";
    case HD_CONDITION_LESS_EQUAL:
        return "le";
    case HD_CONDITION_GREATER:
        return "gt";
    case HD_CONDITION_GREATER_EQUAL:
        return "ge";
    }
    hd_assert(false && "op");
    return "";
}

static const char *sign_of(const struct hd_condition *leaf)
{
    switch (leaf->op) {
    case HD_CONDITION_IN:
        return " is ";
    case HD_CONDITION_NOT_IN:
        return " is not ";
    case HD_CONDITION_LESS:
        return " < ";
    case HD_CONDITION_LESS_EQUAL:
        return " <= ";
    case HD_CONDITION_GREATER:
        return " > ";
    case HD_CONDITION_GREATER_EQUAL:
        return " >= ";
    case HD_CONDITION_ALL:
    case HD_CONDITION_ANY:
        break;
    }
    hd_assert(false && "leaf");
    return "";
}

static enum hd_code write_value(const struct hd_space *space, const struct hd_condition *leaf,
                                double number, struct hd_buf *out, struct hd_err *err)
{
    const struct hd_param *param = &space->params[leaf->parent_index];
    char text[HD_DOUBLE_TEXT_SIZE];
    struct hd_value *scalar = NULL;
    if (!hd_param_has_choices(param)) {
        hd_format_double(text, sizeof(text), number);
        return hd_buf_puts(out, text, err);
    }
    enum hd_code code = hd_param_to_value(param, number, &scalar, err);
    if (code == HD_OK && scalar->kind == HD_VALUE_STRING)
        code = hd_buf_puts(out, scalar->as.string, err);
    else if (code == HD_OK)
        code = hd_json_write(scalar, HD_JSON_COMPACT, out, err);
    hd_value_free(scalar);
    return code;
}

static enum hd_code write_leaf(const struct hd_space *space, const struct hd_condition *leaf,
                               struct hd_buf *out, struct hd_err *err)
{
    enum hd_code code = hd_buf_puts(out, space->params[leaf->parent_index].name, err);
    if (code == HD_OK)
        code = hd_buf_puts(out, sign_of(leaf), err);
    for (size_t i = 0; i < leaf->value_count && code == HD_OK; i++) {
        if (i > 0)
            code = hd_buf_puts(out, " or ", err);
        if (code == HD_OK)
            code = write_value(space, leaf, leaf->values[i], out, err);
    }
    return code;
}

static enum hd_code write_node(const struct hd_space *space, const struct hd_condition *node,
                               bool is_root, struct hd_buf *out, struct hd_err *err)
{
    if (node->op != HD_CONDITION_ALL && node->op != HD_CONDITION_ANY)
        return write_leaf(space, node, out, err);
    const char *between = node->op == HD_CONDITION_ALL ? " and " : ", or ";
    const struct hd_condition *end = node + node->node_count;
    enum hd_code code = is_root ? HD_OK : hd_buf_puts(out, "(", err);
    for (const struct hd_condition *child = node + 1; child < end && code == HD_OK;
         child += child->node_count) {
        if (child != node + 1)
            code = hd_buf_puts(out, between, err);
        if (code == HD_OK)
            code = write_node(space, child, false, out, err);
    }
    return code == HD_OK && !is_root ? hd_buf_puts(out, ")", err) : code;
}

enum hd_code hd_conditions_write(const struct hd_space *space,
                                 const struct hd_condition *conditions, size_t count,
                                 struct hd_buf *out, struct hd_err *err)
{
    return count == 0 ? hd_buf_puts(out, "always", err)
                      : write_node(space, conditions, true, out, err);
}
