/* SPDX-License-Identifier: Apache-2.0 */
/* value.c: the tree itself: building, copying, comparing, looking up. */
#include "tree.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

const struct hd_value_limits hd_value_limits_file = {
    .bytes_max = (size_t)1 << 20, .nodes_max = 100000, .depth_max = 64};
const struct hd_value_limits hd_value_limits_target = {
    .bytes_max = (size_t)1 << 20, .nodes_max = 20000, .depth_max = 32};

const char *hd_value_kind_name(enum hd_value_kind kind)
{
    switch (kind) {
    case HD_VALUE_NULL:
        return "null";
    case HD_VALUE_BOOL:
        return "bool";
    case HD_VALUE_INT:
        return "integer";
    case HD_VALUE_DOUBLE:
        return "number";
    case HD_VALUE_STRING:
        return "string";
    case HD_VALUE_ARRAY:
        return "list";
    case HD_VALUE_OBJECT:
        return "map";
    }
    return "unknown";
}

/* ---- building ---- */

static struct hd_value *new_value(enum hd_value_kind kind)
{
    struct hd_value *value = hd_calloc(1, sizeof(*value));
    if (value != NULL)
        value->kind = kind;
    return value;
}

struct hd_value *hd_value_new_null(void)
{
    return new_value(HD_VALUE_NULL);
}

struct hd_value *hd_value_new_bool(bool boolean)
{
    struct hd_value *value = new_value(HD_VALUE_BOOL);
    if (value != NULL)
        value->as.boolean = boolean;
    return value;
}

struct hd_value *hd_value_new_int(int64_t integer)
{
    struct hd_value *value = new_value(HD_VALUE_INT);
    if (value != NULL)
        value->as.integer = integer;
    return value;
}

struct hd_value *hd_value_new_double(double number)
{
    struct hd_value *value = new_value(HD_VALUE_DOUBLE);
    if (value != NULL)
        value->as.number = number;
    return value;
}

struct hd_value *hd_value_new_string(const char *string)
{
    struct hd_value *value = new_value(HD_VALUE_STRING);
    if (value == NULL)
        return NULL;
    value->as.string = hd_strdup(string);
    if (value->as.string == NULL) {
        hd_free(value);
        return NULL;
    }
    return value;
}

struct hd_value *hd_value_new_array(void)
{
    return new_value(HD_VALUE_ARRAY);
}

struct hd_value *hd_value_new_object(void)
{
    return new_value(HD_VALUE_OBJECT);
}

void hd_value_free(struct hd_value *value)
{
    if (value == NULL)
        return;
    if (value->kind == HD_VALUE_STRING)
        hd_free(value->as.string);
    if (value->kind == HD_VALUE_ARRAY) {
        for (size_t i = 0; i < value->as.array.count; i++)
            hd_value_free(value->as.array.items[i]);
        hd_free(value->as.array.items);
    }
    if (value->kind == HD_VALUE_OBJECT) {
        for (size_t i = 0; i < value->as.object.count; i++) {
            hd_free(value->as.object.keys[i]);
            hd_value_free(value->as.object.items[i]);
        }
        hd_free(value->as.object.keys);
        hd_free(value->as.object.items);
    }
    hd_free(value);
}

#define CAPACITY_MIN 4
#define CAPACITY_MAX (SIZE_MAX / 2 / sizeof(void *))

static size_t larger_capacity(size_t capacity)
{
    hd_assert(capacity <= CAPACITY_MAX);
    return capacity < CAPACITY_MIN ? CAPACITY_MIN : capacity * 2;
}

static bool grow_items(struct hd_value ***items, size_t capacity)
{
    struct hd_value **grown = hd_realloc(*items, capacity * sizeof(*grown));
    if (grown == NULL)
        return false;
    *items = grown;
    return true;
}

static bool grow_keys(char ***keys, size_t capacity)
{
    char **grown = hd_realloc(*keys, capacity * sizeof(*grown));
    if (grown == NULL)
        return false;
    *keys = grown;
    return true;
}

enum hd_code hd_value_append(struct hd_value *array, struct hd_value *item)
{
    hd_assert(array->kind == HD_VALUE_ARRAY);
    if (item == NULL)
        return HD_E_NOMEM;
    if (array->as.array.count == array->as.array.capacity) {
        size_t capacity = larger_capacity(array->as.array.capacity);
        if (!grow_items(&array->as.array.items, capacity)) {
            hd_value_free(item);
            return HD_E_NOMEM;
        }
        array->as.array.capacity = capacity;
    }
    array->as.array.items[array->as.array.count++] = item;
    return HD_OK;
}

enum hd_code hd_tree_add(struct hd_value *object, const char *key, struct hd_value *item)
{
    hd_assert(object->kind == HD_VALUE_OBJECT);
    if (item == NULL)
        return HD_E_NOMEM;
    char *own_key = hd_strdup(key);
    bool ready = own_key != NULL;
    if (ready && object->as.object.count == object->as.object.capacity) {
        size_t capacity = larger_capacity(object->as.object.capacity);
        ready = grow_keys(&object->as.object.keys, capacity) &&
                grow_items(&object->as.object.items, capacity);
        if (ready)
            object->as.object.capacity = capacity;
    }
    if (!ready) {
        hd_free(own_key);
        hd_value_free(item);
        return HD_E_NOMEM;
    }
    object->as.object.keys[object->as.object.count] = own_key;
    object->as.object.items[object->as.object.count++] = item;
    return HD_OK;
}

static struct hd_value **find_member(const struct hd_value *object, const char *key)
{
    for (size_t i = 0; i < object->as.object.count; i++)
        if (hd_streq(object->as.object.keys[i], key))
            return &object->as.object.items[i];
    return NULL;
}

enum hd_code hd_value_set(struct hd_value *object, const char *key, struct hd_value *item)
{
    hd_assert(object->kind == HD_VALUE_OBJECT);
    struct hd_value **member = item != NULL ? find_member(object, key) : NULL;
    if (member == NULL)
        return hd_tree_add(object, key, item);
    hd_value_free(*member);
    *member = item;
    return HD_OK;
}

struct member {
    const char *key;
    size_t index;
};

static int compare_members(const void *left, const void *right)
{
    const struct member *a = left, *b = right;
    int order = strcmp(a->key, b->key);
    if (order != 0)
        return order;
    return a->index < b->index ? -1 : 1;
}

enum hd_code hd_tree_duplicate(const struct hd_value *object, const char **ret_key,
                               const struct hd_value **ret_item)
{
    size_t count = object->as.object.count;
    *ret_key = NULL;
    if (count < 2)
        return HD_OK;
    struct member *members = hd_calloc(count, sizeof(*members));
    if (members == NULL)
        return HD_E_NOMEM;
    for (size_t i = 0; i < count; i++)
        members[i] = (struct member){object->as.object.keys[i], i};
    qsort(members, count, sizeof(*members), compare_members);
    for (size_t i = 1; i < count && *ret_key == NULL; i++)
        if (hd_streq(members[i - 1].key, members[i].key)) {
            *ret_key = members[i].key;
            *ret_item = object->as.object.items[members[i].index];
        }
    hd_free(members);
    return HD_OK;
}

/* ---- copying ---- */

static struct hd_value *copy_value(const struct hd_value *value);

static struct hd_value *copy_array(const struct hd_value *value)
{
    struct hd_value *copy = hd_value_new_array();
    for (size_t i = 0; copy != NULL && i < value->as.array.count; i++)
        if (hd_value_append(copy, copy_value(value->as.array.items[i])) != HD_OK) {
            hd_value_free(copy);
            copy = NULL;
        }
    return copy;
}

static struct hd_value *copy_object(const struct hd_value *value)
{
    struct hd_value *copy = hd_value_new_object();
    for (size_t i = 0; copy != NULL && i < value->as.object.count; i++)
        if (hd_tree_add(copy, value->as.object.keys[i], copy_value(value->as.object.items[i])) !=
            HD_OK) {
            hd_value_free(copy);
            copy = NULL;
        }
    return copy;
}

static struct hd_value *copy_kind(const struct hd_value *value)
{
    switch (value->kind) {
    case HD_VALUE_NULL:
        return hd_value_new_null();
    case HD_VALUE_BOOL:
        return hd_value_new_bool(value->as.boolean);
    case HD_VALUE_INT:
        return hd_value_new_int(value->as.integer);
    case HD_VALUE_DOUBLE:
        return hd_value_new_double(value->as.number);
    case HD_VALUE_STRING:
        return hd_value_new_string(value->as.string);
    case HD_VALUE_ARRAY:
        return copy_array(value);
    case HD_VALUE_OBJECT:
        return copy_object(value);
    }
    return NULL;
}

static struct hd_value *copy_value(const struct hd_value *value)
{
    struct hd_value *copy = copy_kind(value);
    if (copy != NULL) {
        copy->line = value->line;
        copy->column = value->column;
    }
    return copy;
}

enum hd_code hd_value_copy(const struct hd_value *value, struct hd_value **ret_copy,
                           struct hd_err *err)
{
    struct hd_value *copy = copy_value(value);
    if (copy == NULL)
        return hd_fail(err, HD_E_NOMEM, "no memory to copy a value");
    *ret_copy = copy;
    return HD_OK;
}

/* ---- reading ---- */

struct hd_value *hd_value_get(const struct hd_value *object, const char *key)
{
    if (object == NULL || object->kind != HD_VALUE_OBJECT)
        return NULL;
    struct hd_value **member = find_member(object, key);
    return member != NULL ? *member : NULL;
}

bool hd_value_is_number(const struct hd_value *value)
{
    return value != NULL && (value->kind == HD_VALUE_INT || value->kind == HD_VALUE_DOUBLE);
}

double hd_value_number(const struct hd_value *value)
{
    if (value == NULL)
        return NAN;
    if (value->kind == HD_VALUE_INT)
        return (double)value->as.integer;
    return value->kind == HD_VALUE_DOUBLE ? value->as.number : NAN;
}

static bool equal_doubles(double a, double b)
{
    return (isnan(a) && isnan(b)) || !(isnan(a) || isnan(b) || a < b || a > b);
}

/* Without losing the low bits of large integers. */
static bool equal_int_double(int64_t integer, double number)
{
    return number >= -0x1p63 && number < 0x1p63 && equal_doubles(trunc(number), number) &&
           (int64_t)number == integer;
}

static bool equal_numbers(const struct hd_value *a, const struct hd_value *b)
{
    if (a->kind == HD_VALUE_INT && b->kind == HD_VALUE_INT)
        return a->as.integer == b->as.integer;
    if (a->kind == HD_VALUE_INT)
        return equal_int_double(a->as.integer, b->as.number);
    if (b->kind == HD_VALUE_INT)
        return equal_int_double(b->as.integer, a->as.number);
    return equal_doubles(a->as.number, b->as.number);
}

static bool equal_arrays(const struct hd_value *a, const struct hd_value *b)
{
    if (a->as.array.count != b->as.array.count)
        return false;
    for (size_t i = 0; i < a->as.array.count; i++)
        if (!hd_value_equal(a->as.array.items[i], b->as.array.items[i]))
            return false;
    return true;
}

static bool equal_objects(const struct hd_value *a, const struct hd_value *b)
{
    if (a->as.object.count != b->as.object.count)
        return false;
    for (size_t i = 0; i < a->as.object.count; i++) {
        const char *key = a->as.object.keys[i];
        const struct hd_value *other =
            hd_streq(key, b->as.object.keys[i]) ? b->as.object.items[i] : hd_value_get(b, key);
        if (other == NULL || !hd_value_equal(a->as.object.items[i], other))
            return false;
    }
    return true;
}

bool hd_value_equal(const struct hd_value *a, const struct hd_value *b)
{
    if (a == NULL || b == NULL)
        return a == b;
    if (hd_value_is_number(a) && hd_value_is_number(b))
        return equal_numbers(a, b);
    if (a->kind != b->kind)
        return false;
    switch (a->kind) {
    case HD_VALUE_NULL:
        return true;
    case HD_VALUE_BOOL:
        return a->as.boolean == b->as.boolean;
    case HD_VALUE_INT:
    case HD_VALUE_DOUBLE:
        return equal_numbers(a, b);
    case HD_VALUE_STRING:
        return hd_streq(a->as.string, b->as.string);
    case HD_VALUE_ARRAY:
        return equal_arrays(a, b);
    case HD_VALUE_OBJECT:
        return equal_objects(a, b);
    }
    return false;
}
