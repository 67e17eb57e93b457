/* SPDX-License-Identifier: Apache-2.0 */
/* forest.c: many trees: forests, boosting of a quantile, and their predictions. */
#include "tree_grow.h"

#include <math.h>
#include <string.h>

void hd_trees_init(struct hd_trees *trees)
{
    *trees = (struct hd_trees){0};
}

void hd_trees_release(struct hd_trees *trees)
{
    hd_free(trees->nodes);
    hd_free(trees->masks);
    hd_free(trees->rows);
    hd_free(trees->stack);
    hd_free(trees->features);
    hd_free(trees->slopes);
    hd_free(trees->residuals);
    hd_free(trees->fitted);
    hd_free(trees->sorted);
    hd_free(trees->targets);
    hd_free(trees->bins);
    *trees = (struct hd_trees){0};
}

/* ---- memory -------------------------------------------------------------------------------- */

/* Replaces *array_address by room for count items, whose old contents are lost. */
static bool renew(void *array_address, size_t count, size_t size)
{
    void *old, *made = hd_calloc(count, size);
    if (made == NULL)
        return false;
    memcpy(&old, array_address, sizeof(old));
    hd_free(old);
    memcpy(array_address, &made, sizeof(made));
    return true;
}

static bool reserve_rows(struct hd_trees *trees, const struct hd_tree_data *data)
{
    size_t capacity = data->row_capacity;
    if (trees->feature_count != data->feature_count || trees->features == NULL) {
        trees->row_capacity = 0;
        if (!renew(&trees->features, data->feature_count + 1, sizeof(uint32_t)))
            return false;
        trees->feature_count = data->feature_count;
    }
    if (capacity <= trees->row_capacity)
        return true;
    /* The stack holds at most one waiting sibling of each node on the way down. */
    if (!renew(&trees->rows, capacity, sizeof(uint32_t)) ||
        !renew(&trees->stack, 4 * capacity + 16, sizeof(uint32_t)) ||
        !renew(&trees->slopes, capacity, sizeof(float)) ||
        !renew(&trees->residuals, capacity, sizeof(float)) ||
        !renew(&trees->fitted, capacity, sizeof(float)) ||
        !renew(&trees->sorted, capacity, sizeof(float)) ||
        !renew(&trees->targets, capacity, sizeof(double)) ||
        !renew(&trees->bins, capacity, sizeof(uint8_t)))
        return false;
    trees->row_capacity = capacity;
    return true;
}

enum hd_code hd_trees_reserve(struct hd_trees *trees, const struct hd_tree_data *data,
                              const struct hd_tree_settings *settings, struct hd_err *err)
{
    size_t leaf = settings->leaf_rows_min > 0 ? settings->leaf_rows_min : 1;
    size_t leaves = data->row_capacity / leaf + 1;
    if (settings->depth_max < 16 && leaves > (size_t)1 << settings->depth_max)
        leaves = (size_t)1 << settings->depth_max;
    size_t inner = (leaves - 1) * settings->tree_count, masks = 0;
    for (size_t feature = 0; feature < data->feature_count; feature++)
        masks = data->choice[feature] ? inner : masks;
    size_t nodes = 2 * inner + settings->tree_count;
    hd_assert(settings->tree_count <= HD_TREE_COUNT_MAX);
    trees->node_count = trees->mask_count = trees->tree_count = 0;
    if (!reserve_rows(trees, data))
        return hd_fail(err, HD_E_NOMEM, "no memory to grow trees");
    if (nodes > trees->node_capacity) {
        if (!renew(&trees->nodes, nodes, sizeof(*trees->nodes)))
            return hd_fail(err, HD_E_NOMEM, "no memory for %zu nodes of trees", nodes);
        trees->node_capacity = (uint32_t)nodes;
    }
    if (masks > trees->mask_capacity) {
        if (!renew(&trees->masks, masks, sizeof(*trees->masks)))
            return hd_fail(err, HD_E_NOMEM, "no memory for %zu nodes of trees", nodes);
        trees->mask_capacity = (uint32_t)masks;
    }
    for (size_t feature = 0; feature < data->feature_count; feature++)
        trees->features[feature] = (uint32_t)feature;
    return HD_OK;
}

/* ---- forests ------------------------------------------------------------------------------- */

enum hd_code hd_forest_fit(struct hd_trees *trees, const struct hd_tree_data *data,
                           const struct hd_tree_settings *settings, struct hd_rng *rng,
                           struct hd_err *err)
{
    hd_assert(data->row_count > 0);
    enum hd_code code = hd_trees_reserve(trees, data, settings, err);
    if (code != HD_OK)
        return code;
    struct hd_tree_job job = {.data = data,
                              .settings = settings,
                              .targets = data->targets,
                              .row_count = (uint32_t)data->row_count};
    for (uint32_t tree = 0; tree < settings->tree_count; tree++) {
        for (uint32_t i = 0; i < job.row_count; i++)
            trees->rows[i] = settings->bootstrap ? (uint32_t)hd_rng_below(rng, job.row_count) : i;
        hd_tree_grow(trees, &job, rng);
    }
    return HD_OK;
}

void hd_forest_predict(const struct hd_trees *trees, const float *rows, size_t count,
                       double *ret_mean, double *ret_variance)
{
    double trees_inverse = 1 / (double)trees->tree_count;
    for (size_t i = 0; i < count; i++)
        ret_mean[i] = ret_variance[i] = 0;
    /* Tree by tree: one tree stays in the cache. */
    for (uint32_t tree = 0; tree < trees->tree_count; tree++) {
        for (size_t i = 0; i < count; i++) {
            const float *row = rows + i * trees->feature_count;
            const struct hd_tree_node *leaf = hd_tree_leaf(trees, trees->roots[tree], row);
            double mean = (double)leaf->level;
            ret_mean[i] += mean;
            ret_variance[i] += (double)leaf->as.variance + mean * mean;
        }
    }
    for (size_t i = 0; i < count; i++) {
        ret_mean[i] *= trees_inverse;
        ret_variance[i] = ret_variance[i] * trees_inverse - ret_mean[i] * ret_mean[i];
        ret_variance[i] = ret_variance[i] > 0 ? ret_variance[i] : 0;
    }
}

/* ---- boosting ------------------------------------------------------------------------------ */

float hd_select_quantile(float *numbers, size_t count, double quantile)
{
    hd_assert(count > 0);
    double rank = ceil(quantile * (double)count);
    ptrdiff_t last = (ptrdiff_t)count - 1;
    ptrdiff_t wanted = rank < 1 ? 0 : rank > (double)count ? last : (ptrdiff_t)rank - 1;
    ptrdiff_t low = 0, high = last;
    while (low < high) { /* Hoare's selection; the pivot is the middle one */
        float pivot = numbers[low + (high - low) / 2];
        ptrdiff_t i = low, j = high;
        while (i <= j) {
            while (numbers[i] < pivot)
                i++;
            while (numbers[j] > pivot)
                j--;
            if (i > j)
                break;
            float swap = numbers[i];
            numbers[i++] = numbers[j];
            numbers[j--] = swap;
        }
        if (wanted <= j)
            high = j;
        else if (wanted >= i)
            low = i;
        else
            break;
    }
    return numbers[wanted];
}

/* The slope of the pinball loss, and what is left to explain. */
static void update_residuals(struct hd_trees *trees, const struct hd_tree_data *data,
                             size_t row_count, double quantile)
{
    for (size_t i = 0; i < row_count; i++) {
        trees->residuals[i] = data->targets[i] - trees->fitted[i];
        trees->slopes[i] = trees->residuals[i] > 0 ? (float)quantile : (float)(quantile - 1);
    }
}

/* The first `wanted` of trees->rows become a draw without replacement. */
static void draw_rows(struct hd_trees *trees, size_t row_count, size_t wanted, struct hd_rng *rng)
{
    for (size_t i = 0; i < row_count; i++)
        trees->rows[i] = (uint32_t)i;
    for (size_t i = 0; i < wanted && wanted < row_count; i++) {
        size_t j = i + (size_t)hd_rng_below(rng, row_count - i);
        uint32_t swap = trees->rows[i];
        trees->rows[i] = trees->rows[j];
        trees->rows[j] = swap;
    }
}

enum hd_code hd_boost_fit(struct hd_trees *trees, const struct hd_tree_data *data,
                          const struct hd_tree_settings *settings, struct hd_rng *rng,
                          struct hd_err *err)
{
    hd_assert(data->row_count > 0);
    enum hd_code code = hd_trees_reserve(trees, data, settings, err);
    if (code != HD_OK)
        return code;
    size_t row_count = settings->row_count != 0 ? settings->row_count : data->row_count;
    hd_assert(row_count <= data->row_count);
    size_t wanted = (size_t)ceil(settings->row_fraction * (double)row_count);
    wanted = wanted < 1 ? 1 : wanted > row_count ? row_count : wanted;
    memcpy(trees->sorted, data->targets, row_count * sizeof(float));
    float base = hd_select_quantile(trees->sorted, row_count, settings->quantile);
    trees->base = (double)base;
    trees->rate = settings->rate;
    for (size_t i = 0; i < row_count; i++)
        trees->fitted[i] = base;
    struct hd_tree_job job = {.data = data,
                              .settings = settings,
                              .targets = trees->slopes,
                              .residuals = trees->residuals,
                              .row_count = (uint32_t)wanted};
    for (uint32_t tree = 0; tree < settings->tree_count; tree++) {
        update_residuals(trees, data, row_count, settings->quantile);
        draw_rows(trees, row_count, wanted, rng);
        hd_tree_grow(trees, &job, rng);
        for (size_t i = 0; i < row_count; i++) {
            const float *row = data->values + i * data->feature_count;
            const struct hd_tree_node *leaf = hd_tree_leaf(trees, trees->roots[tree], row);
            trees->fitted[i] += (float)(settings->rate * (double)leaf->level);
        }
    }
    return HD_OK;
}

void hd_boost_predict(const struct hd_trees *trees, const float *rows, size_t count,
                      double *ret_quantile)
{
    for (size_t i = 0; i < count; i++)
        ret_quantile[i] = trees->base;
    for (uint32_t tree = 0; tree < trees->tree_count; tree++) {
        for (size_t i = 0; i < count; i++) {
            const float *row = rows + i * trees->feature_count;
            const struct hd_tree_node *leaf = hd_tree_leaf(trees, trees->roots[tree], row);
            ret_quantile[i] += trees->rate * (double)leaf->level;
        }
    }
}
