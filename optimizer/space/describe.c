/* SPDX-License-Identifier: Apache-2.0 */
/* describe.c: a space as a tree, the difference of two, and its hash. */
#include "space_priv.h"

#include <math.h>

/* Accumulates set() calls; after the first failure the rest are dropped. */
struct description {
    struct hd_value *object;
    enum hd_code code;
};

static void put(struct description *description, const char *key, struct hd_value *item)
{
    if (description->code == HD_OK)
        description->code = hd_value_set(description->object, key, item);
    else
        hd_value_free(item);
}

static struct hd_value *number_of(const struct hd_param *param, double number)
{
    return param->kind == HD_PARAM_INT ? hd_value_new_int((int64_t)number)
                                       : hd_value_new_double(number);
}

static void put_choices(struct description *description, const struct hd_param *param)
{
    struct hd_value *array = hd_value_new_array();
    if (array == NULL)
        description->code = HD_E_NOMEM;
    for (size_t i = 0; description->code == HD_OK && i < param->choice_count; i++) {
        struct hd_value *copy = NULL;
        description->code = hd_value_copy(param->choices[i], &copy, NULL);
        if (description->code == HD_OK)
            description->code = hd_value_append(array, copy);
    }
    put(description, "choices", array);
}

/* Puts an object that was described apart, or its failure. */
static void put_inner(struct description *description, const char *key, struct description *inner)
{
    if (description->code == HD_OK)
        description->code = inner->code;
    put(description, key, inner->object);
}

static struct description begin_inner(void)
{
    struct description inner = {.object = hd_value_new_object()};
    if (inner.object == NULL)
        inner.code = HD_E_NOMEM;
    return inner;
}

static void put_normal(struct description *description, const struct hd_param *param)
{
    struct description inner = begin_inner();
    put(&inner, "mean", hd_value_new_double(param->mean));
    put(&inner, "sd", hd_value_new_double(param->sd));
    put_inner(description, "normal", &inner);
}

static void put_weights(struct description *description, const struct hd_param *param)
{
    struct hd_value *array = hd_value_new_array();
    if (array == NULL)
        description->code = HD_E_NOMEM;
    for (size_t i = 0; description->code == HD_OK && i < param->choice_count; i++)
        description->code = hd_value_append(array, hd_value_new_double(param->weights[i]));
    put(description, "weights", array);
}

static void put_prior(struct description *description, const struct hd_param *param)
{
    struct description inner = begin_inner();
    struct hd_value *center = NULL;
    if (inner.code == HD_OK)
        inner.code = hd_param_to_value(param, param->prior_center, &center, NULL);
    put(&inner, "center", center);
    put(&inner, "confidence", hd_value_new_string(hd_confidence_name(param->prior_confidence)));
    put_inner(description, "prior", &inner);
}

static void put_body(struct description *description, const struct hd_param *param)
{
    struct hd_value *copy = NULL;
    switch (param->kind) {
    case HD_PARAM_FLOAT:
    case HD_PARAM_INT:
        put(description, "low", number_of(param, param->low));
        put(description, "high", number_of(param, param->high));
        if (param->log)
            put(description, "log", hd_value_new_bool(true));
        if (param->step != 0 && (param->kind == HD_PARAM_FLOAT || param->step != 1))
            put(description, "step", number_of(param, param->step));
        if (param->normal)
            put_normal(description, param);
        return;
    case HD_PARAM_CATEGORICAL:
    case HD_PARAM_ORDINAL:
        put_choices(description, param);
        if (param->weights != NULL)
            put_weights(description, param);
        return;
    case HD_PARAM_BOOL:
        return;
    case HD_PARAM_CONSTANT:
        if (description->code == HD_OK)
            description->code = hd_value_copy(param->choices[0], &copy, NULL);
        put(description, "value", copy);
        return;
    }
    hd_assert(false && "kind");
}

/* ---- expressions ------------------------------------------------------------------------- */

static bool is_leaf(const struct hd_condition *node)
{
    return node->op != HD_CONDITION_ALL && node->op != HD_CONDITION_ANY;
}

/* The numbers that comparisons stand beside need not be values of the param. */
static enum hd_code leaf_scalar(const struct hd_param *param, double number,
                                struct hd_value **ret_value)
{
    if (hd_param_has_choices(param))
        return hd_param_to_value(param, number, ret_value, NULL);
    bool whole = param->kind == HD_PARAM_INT && number == rint(number) && fabs(number) < 0x1p53;
    *ret_value = whole ? hd_value_new_int((int64_t)number) : hd_value_new_double(number);
    return *ret_value != NULL ? HD_OK : HD_E_NOMEM;
}

/* The values of a leaf: a scalar, or a list. */
static enum hd_code leaf_values(const struct hd_param *param, const struct hd_condition *leaf,
                                struct hd_value **ret_value)
{
    if (leaf->value_count == 1)
        return leaf_scalar(param, leaf->values[0], ret_value);
    struct hd_value *array = hd_value_new_array();
    enum hd_code code = array != NULL ? HD_OK : HD_E_NOMEM;
    for (size_t i = 0; i < leaf->value_count && code == HD_OK; i++) {
        struct hd_value *scalar = NULL;
        code = leaf_scalar(param, leaf->values[i], &scalar);
        if (code == HD_OK)
            code = hd_value_append(array, scalar);
    }
    if (code != HD_OK) {
        hd_value_free(array);
        return code;
    }
    *ret_value = array;
    return HD_OK;
}

static void put_leaf(struct description *description, const struct hd_space *space,
                     const struct hd_condition *leaf)
{
    const struct hd_param *param = &space->params[leaf->parent_index];
    struct hd_value *values = NULL;
    if (description->code == HD_OK)
        description->code = leaf_values(param, leaf, &values);
    if (leaf->op == HD_CONDITION_IN) {
        put(description, param->name, values);
        return;
    }
    struct description inner = begin_inner();
    put(&inner, hd_condition_word(leaf->op), values);
    put_inner(description, param->name, &inner);
}

/* Can all children be members of one map: leaves of different params? */
static bool is_plain(const struct hd_condition *node)
{
    for (size_t i = 1; i < node->node_count; i++) {
        if (!is_leaf(&node[i]))
            return false;
        for (size_t j = 1; j < i; j++) {
            if (node[j].parent_index == node[i].parent_index)
                return false;
        }
    }
    return true;
}

static void put_node(struct description *description, const struct hd_space *space,
                     const struct hd_condition *node)
{
    if (is_leaf(node)) {
        put_leaf(description, space, node);
        return;
    }
    if (node->op == HD_CONDITION_ALL && is_plain(node)) {
        for (size_t i = 1; i < node->node_count; i++)
            put_leaf(description, space, &node[i]);
        return;
    }
    struct hd_value *array = hd_value_new_array();
    if (array == NULL)
        description->code = HD_E_NOMEM;
    const struct hd_condition *end = node + node->node_count;
    for (const struct hd_condition *child = node + 1; child < end; child += child->node_count) {
        struct description inner = begin_inner();
        put_node(&inner, space, child);
        if (description->code == HD_OK)
            description->code = inner.code;
        if (description->code == HD_OK)
            description->code = hd_value_append(array, inner.object);
        else
            hd_value_free(inner.object);
    }
    put(description, hd_condition_word(node->op), array);
}

static void put_conditions(struct description *description, const char *key,
                           const struct hd_space *space, const struct hd_condition *conditions)
{
    struct description inner = begin_inner();
    put_node(&inner, space, conditions);
    put_inner(description, key, &inner);
}

/* ---- params and the space ------------------------------------------------------------------ */

enum hd_code hd_param_describe(const struct hd_space *space, const struct hd_param *param,
                               struct hd_value **ret_value, struct hd_err *err)
{
    struct description description = begin_inner();
    struct hd_value *scalar = NULL;
    put(&description, "type", hd_value_new_string(hd_param_kind_name(param->kind)));
    put_body(&description, param);
    if (param->has_default && description.code == HD_OK) {
        description.code = hd_param_to_value(param, param->default_value, &scalar, NULL);
        put(&description, "default", scalar);
    }
    if (param->has_prior)
        put_prior(&description, param);
    if (param->condition_count > 0)
        put_conditions(&description, "when", space, param->conditions);
    if (description.code != HD_OK) {
        hd_value_free(description.object);
        return hd_fail(err, description.code, "no memory to describe param %s", param->name);
    }
    *ret_value = description.object;
    return HD_OK;
}

static enum hd_code describe_clause(const struct hd_space *space,
                                    const struct hd_forbidden *forbidden,
                                    struct hd_value **ret_value)
{
    struct description description = begin_inner();
    put_node(&description, space, forbidden->conditions);
    if (description.code != HD_OK)
        hd_value_free(description.object);
    else
        *ret_value = description.object;
    return description.code;
}

static void put_forbidden(struct description *description, const struct hd_space *space)
{
    struct hd_value *array = hd_value_new_array();
    if (array == NULL)
        description->code = HD_E_NOMEM;
    for (size_t i = 0; i < space->forbidden_count && description->code == HD_OK; i++) {
        struct hd_value *clause = NULL;
        description->code = describe_clause(space, &space->forbidden[i], &clause);
        if (description->code == HD_OK)
            description->code = hd_value_append(array, clause);
    }
    put(description, "forbidden", array);
}

enum hd_code hd_space_describe(const struct hd_space *space, struct hd_value **ret_value,
                               struct hd_err *err)
{
    struct description description = begin_inner();
    for (size_t i = 0; i < space->param_count && description.code == HD_OK; i++) {
        struct hd_value *param = NULL;
        description.code = hd_param_describe(space, &space->params[i], &param, NULL);
        put(&description, space->params[i].name, param);
    }
    if (space->forbidden_count > 0)
        put_forbidden(&description, space);
    if (description.code != HD_OK) {
        hd_value_free(description.object);
        return hd_fail(err, description.code, "no memory to describe a space");
    }
    *ret_value = description.object;
    return HD_OK;
}

/* ---- difference ------------------------------------------------------------------------- */

static const struct hd_param *find_param(const struct hd_space *space, const char *name)
{
    for (size_t i = 0; i < space->param_count; i++) {
        if (hd_streq(space->params[i].name, name))
            return &space->params[i];
    }
    return NULL;
}

static enum hd_code write_param(const struct hd_space *space, const struct hd_param *param,
                                struct hd_buf *out, struct hd_err *err)
{
    struct hd_value *description = NULL;
    enum hd_code code = hd_param_describe(space, param, &description, err);
    if (code == HD_OK)
        code = hd_json_write(description, HD_JSON_COMPACT, out, err);
    hd_value_free(description);
    return code;
}

/* A param as one of two spaces has it; param NULL: it has not. */
struct side {
    const struct hd_space *space;
    const struct hd_param *param;
};

static enum hd_code write_line(struct side before, struct side after, struct hd_buf *out,
                               struct hd_err *err)
{
    const char *name = before.param != NULL ? before.param->name : after.param->name;
    const char *what = before.param == NULL ? "added" : after.param == NULL ? "removed" : "changed";
    enum hd_code code = hd_buf_printf(out, err, "%s: %s ", name, what);
    if (code == HD_OK && before.param != NULL)
        code = write_param(before.space, before.param, out, err);
    if (code == HD_OK && before.param != NULL && after.param != NULL)
        code = hd_buf_puts(out, " -> ", err);
    if (code == HD_OK && after.param != NULL)
        code = write_param(after.space, after.param, out, err);
    if (code == HD_OK)
        code = hd_buf_puts(out, "\n", err);
    return code;
}

/* Configs are stored by position, so another order is another space. */
static bool same_order(const struct hd_space *before, const struct hd_space *after)
{
    if (before->param_count != after->param_count)
        return true; /* the lines above say enough */
    for (size_t i = 0; i < before->param_count; i++) {
        if (!hd_streq(before->params[i].name, after->params[i].name))
            return false;
    }
    return true;
}

/* ---- identity --------------------------------------------------------------------------- */

static uint64_t hash_choice(uint64_t hash, const struct hd_value *value)
{
    hash = hd_hash_u64(hash, (uint64_t)value->kind);
    if (value->kind == HD_VALUE_STRING)
        return hd_hash_text(hash, value->as.string);
    if (value->kind == HD_VALUE_BOOL)
        return hd_hash_u64(hash, value->as.boolean ? 1 : 0);
    if (value->kind == HD_VALUE_INT)
        return hd_hash_u64(hash, (uint64_t)value->as.integer);
    return hd_hash_double(hash, hd_value_number(value));
}

/* Params go by name, so that a param keeps its hash when others move. */
static uint64_t hash_conditions(uint64_t hash, const struct hd_space *space,
                                const struct hd_condition *nodes, size_t count)
{
    hash = hd_hash_u64(hash, count);
    for (size_t i = 0; i < count; i++) {
        hash = hd_hash_u64(hash, (uint64_t)nodes[i].op);
        hash = hd_hash_u64(hash, nodes[i].node_count);
        if (is_leaf(&nodes[i]))
            hash = hd_hash_text(hash, space->params[nodes[i].parent_index].name);
        hash = hd_hash_u64(hash, nodes[i].value_count);
        for (size_t j = 0; j < nodes[i].value_count; j++)
            hash = hd_hash_double(hash, nodes[i].values[j]);
    }
    return hash;
}

static uint64_t hash_distribution(uint64_t hash, const struct hd_param *param)
{
    hash = hd_hash_u64(hash, param->normal ? 1 : 0);
    hash = hd_hash_double(hash, param->normal ? param->mean : 0);
    hash = hd_hash_double(hash, param->normal ? param->sd : 0);
    hash = hd_hash_u64(hash, param->weights != NULL ? 1 : 0);
    for (size_t i = 0; i < param->choice_count && param->weights != NULL; i++)
        hash = hd_hash_double(hash, param->weights[i]);
    hash = hd_hash_u64(hash, param->has_prior ? 1 : 0);
    hash = hd_hash_double(hash, param->has_prior ? param->prior_center : 0);
    return hd_hash_u64(hash, param->has_prior ? (uint64_t)param->prior_confidence : 0);
}

static uint64_t hash_param(uint64_t hash, const struct hd_space *space,
                           const struct hd_param *param)
{
    hash = hd_hash_text(hash, param->name);
    hash = hd_hash_u64(hash, (uint64_t)param->kind);
    hash = hd_hash_double(hash, param->low);
    hash = hd_hash_double(hash, param->high);
    hash = hd_hash_double(hash, param->step);
    hash = hd_hash_u64(hash, param->log ? 1 : 0);
    hash = hd_hash_u64(hash, param->has_default ? 1 : 0);
    hash = hd_hash_double(hash, param->default_value);
    hash = hd_hash_u64(hash, param->choice_count);
    for (size_t i = 0; i < param->choice_count; i++)
        hash = hash_choice(hash, param->choices[i]);
    hash = hash_distribution(hash, param);
    return hash_conditions(hash, space, param->conditions, param->condition_count);
}

static uint64_t hash_forbidden(uint64_t hash, const struct hd_space *space, size_t index)
{
    return hash_conditions(hash, space, space->forbidden[index].conditions,
                           space->forbidden[index].condition_count);
}

uint64_t hd_space_hash(const struct hd_space *space)
{
    uint64_t hash = hd_hash_u64(HD_HASH_INIT, space->param_count);
    for (size_t i = 0; i < space->param_count; i++)
        hash = hash_param(hash, space, &space->params[i]);
    hash = hd_hash_u64(hash, space->forbidden_count);
    for (size_t i = 0; i < space->forbidden_count; i++)
        hash = hash_forbidden(hash, space, i);
    return hash;
}

/* ---- lines of a difference ------------------------------------------------------------------ */

static enum hd_code diff_params(const struct hd_space *before, const struct hd_space *after,
                                struct hd_buf *out, struct hd_err *err)
{
    enum hd_code code = HD_OK;
    for (size_t i = 0; i < before->param_count && code == HD_OK; i++) {
        const struct hd_param *param = &before->params[i];
        const struct hd_param *other = find_param(after, param->name);
        if (other == NULL ||
            hash_param(HD_HASH_INIT, before, param) != hash_param(HD_HASH_INIT, after, other))
            code = write_line((struct side){before, param}, (struct side){after, other}, out, err);
    }
    for (size_t i = 0; i < after->param_count && code == HD_OK; i++) {
        if (find_param(before, after->params[i].name) == NULL)
            code = write_line((struct side){before, NULL}, (struct side){after, &after->params[i]},
                              out, err);
    }
    return code;
}

static bool has_clause(const struct hd_space *space, uint64_t hash)
{
    for (size_t i = 0; i < space->forbidden_count; i++) {
        if (hash_forbidden(HD_HASH_INIT, space, i) == hash)
            return true;
    }
    return false;
}

/* The clauses of a that b does not have. */
static enum hd_code diff_clauses(const struct hd_space *a, const struct hd_space *b,
                                 const char *what, struct hd_buf *out, struct hd_err *err)
{
    enum hd_code code = HD_OK;
    for (size_t i = 0; i < a->forbidden_count && code == HD_OK; i++) {
        if (has_clause(b, hash_forbidden(HD_HASH_INIT, a, i)))
            continue;
        code = hd_buf_printf(out, err, "forbidden: %s ", what);
        if (code == HD_OK)
            code = hd_conditions_write(a, a->forbidden[i].conditions,
                                       a->forbidden[i].condition_count, out, err);
        if (code == HD_OK)
            code = hd_buf_puts(out, "\n", err);
    }
    return code;
}

enum hd_code hd_space_diff(const struct hd_space *before, const struct hd_space *after,
                           struct hd_buf *out, struct hd_err *err)
{
    size_t size = out->size;
    enum hd_code code = diff_params(before, after, out, err);
    if (code == HD_OK)
        code = diff_clauses(before, after, "removed", out, err);
    if (code == HD_OK)
        code = diff_clauses(after, before, "added", out, err);
    if (code != HD_OK || out->size > size)
        return code;
    if (!same_order(before, after))
        return hd_buf_puts(out, "the params stand in another order\n", err);
    if (hd_space_hash(before) != hd_space_hash(after))
        return hd_buf_puts(out, "the forbidden clauses stand in another order\n", err);
    return HD_OK;
}
