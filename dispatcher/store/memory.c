/* SPDX-License-Identifier: Apache-2.0 */
/*
 * memory.c: facts in memory, copied whole.
 *
 * Each append becomes one block: the facts, then their doubles, then their texts. Either the
 * block exists or nothing was kept.
 */
#include <stdlib.h>
#include <string.h>

#include "impl.h"
#include "rows.h"

struct batch {
    struct hd_fact *facts;
    size_t fact_count;
};

struct memory_store {
    struct hd_store base;
    struct batch *batches;
    size_t batch_count;
    size_t batch_capacity;
};

static struct memory_store *of_base(struct hd_store *store)
{
    return (struct memory_store *)(void *)store;
}

static void memory_close(struct hd_store *base)
{
    struct memory_store *store = of_base(base);
    for (size_t i = 0; i < store->batch_count; i++)
        hd_free(store->batches[i].facts);
    hd_free(store->batches);
    hd_free(store);
}

/* Where the next doubles and texts of a block go; with NULLs only the sizes are counted. */
struct cursor {
    double *doubles;
    char *texts;
    size_t double_count;
    size_t text_size;
};

static void take_doubles(struct hd_fact *fact, const struct hd_column *column,
                         struct cursor *cursor)
{
    char *base = (char *)fact;
    const double **field = (const double **)(void *)(base + column->offset);
    size_t count = *(size_t *)(void *)(base + column->count_offset);
    if (cursor->doubles != NULL) {
        double *copy = cursor->doubles + cursor->double_count;
        if (count > 0)
            memcpy(copy, *field, count * sizeof(double));
        *field = copy;
    }
    cursor->double_count += count;
}

static void take_text(struct hd_fact *fact, const struct hd_column *column, struct cursor *cursor)
{
    const char **field = (const char **)(void *)((char *)fact + column->offset);
    const char *text = *field != NULL ? *field : "";
    size_t size = strlen(text) + 1;
    if (cursor->texts != NULL) {
        char *copy = cursor->texts + cursor->text_size;
        memcpy(copy, text, size);
        *field = copy;
    }
    cursor->text_size += size;
}

static void take_fact(struct hd_fact *fact, struct cursor *cursor)
{
    const struct hd_table *table = hd_table_of(fact->kind);
    for (size_t i = 0; i < table->column_count; i++) {
        const struct hd_column *column = &table->columns[i];
        if (column->type == HD_COLUMN_DOUBLES || column->type == HD_COLUMN_NUMBERS)
            take_doubles(fact, column, cursor);
        else if (column->type == HD_COLUMN_TEXT || column->type == HD_COLUMN_JSON)
            take_text(fact, column, cursor);
    }
}

enum hd_code hd_facts_copy(const struct hd_fact *facts, size_t fact_count,
                           struct hd_fact **ret_copies, struct hd_err *err)
{
    struct cursor need = {0};
    for (size_t i = 0; i < fact_count; i++) {
        struct hd_fact fact = facts[i];
        take_fact(&fact, &need);
    }
    size_t facts_size = fact_count * sizeof(*facts);
    size_t doubles_size = need.double_count * sizeof(double);
    char *block = hd_malloc(facts_size + doubles_size + need.text_size);
    if (block == NULL)
        return hd_fail(err, HD_E_NOMEM, "no memory for %zu facts", fact_count);
    struct hd_fact *copies = (struct hd_fact *)(void *)block;
    struct cursor cursor = {
        .doubles = (double *)(void *)(block + facts_size),
        .texts = block + facts_size + doubles_size,
    };
    memcpy(copies, facts, facts_size);
    for (size_t i = 0; i < fact_count; i++)
        take_fact(&copies[i], &cursor);
    *ret_copies = copies;
    return HD_OK;
}

static enum hd_code memory_append(struct hd_store *base, const struct hd_fact *facts,
                                  size_t fact_count, struct hd_err *err)
{
    struct memory_store *store = of_base(base);
    if (store->batch_count == store->batch_capacity) {
        size_t capacity = store->batch_capacity > 0 ? store->batch_capacity * 2 : 64;
        struct batch *batches = hd_realloc(store->batches, capacity * sizeof(*batches));
        if (batches == NULL)
            return hd_fail(err, HD_E_NOMEM, "no memory for %zu facts", fact_count);
        store->batches = batches;
        store->batch_capacity = capacity;
    }
    struct hd_fact *copies;
    enum hd_code code = hd_facts_copy(facts, fact_count, &copies, err);
    if (code != HD_OK)
        return code;
    store->batches[store->batch_count++] = (struct batch){copies, fact_count};
    return HD_OK;
}

static enum hd_code memory_load(struct hd_store *base, hd_fact_fn each, void *context,
                                struct hd_err *err)
{
    struct memory_store *store = of_base(base);
    for (size_t i = 0; i < store->batch_count; i++) {
        const struct batch *batch = &store->batches[i];
        for (size_t k = 0; k < batch->fact_count; k++) {
            enum hd_code code = each(context, &batch->facts[k], err);
            if (code != HD_OK)
                return code;
        }
    }
    return HD_OK;
}

static const struct hd_store_ops memory_ops = {
    .close = memory_close,
    .append = memory_append,
    .load = memory_load,
};

enum hd_code hd_store_open_memory(struct hd_store **ret_store, struct hd_err *err)
{
    struct memory_store *store = hd_calloc(1, sizeof(*store));
    if (store == NULL)
        return hd_fail(err, HD_E_NOMEM, "no memory for a store");
    store->base.ops = &memory_ops;
    *ret_store = &store->base;
    return HD_OK;
}
