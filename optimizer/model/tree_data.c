/* SPDX-License-Identifier: Apache-2.0 */
/* tree_data.c: rows, and their grouping into bins. */
#include <hd/tree.h>

#include <math.h>
#include <string.h>

enum hd_code hd_tree_data_init(struct hd_tree_data *data, size_t feature_count, const bool *choice,
                               struct hd_err *err)
{
    hd_assert(feature_count <= HD_TREE_FEATURES_MAX);
    *data = (struct hd_tree_data){.feature_count = feature_count};
    data->choice = hd_calloc(feature_count + 1, sizeof(*data->choice));
    data->bin_low = hd_calloc((feature_count + 1) * HD_TREE_BINS, sizeof(float));
    data->bin_high = hd_calloc((feature_count + 1) * HD_TREE_BINS, sizeof(float));
    if (data->choice == NULL || data->bin_low == NULL || data->bin_high == NULL) {
        hd_tree_data_release(data);
        return hd_fail(err, HD_E_NOMEM, "no memory for the features of a tree");
    }
    memcpy(data->choice, choice, feature_count * sizeof(*choice));
    return HD_OK;
}

void hd_tree_data_release(struct hd_tree_data *data)
{
    hd_free(data->choice);
    hd_free(data->values);
    hd_free(data->targets);
    hd_free(data->codes);
    hd_free(data->bin_low);
    hd_free(data->bin_high);
    hd_free(data->keys);
    *data = (struct hd_tree_data){0};
}

enum hd_code hd_tree_data_reserve(struct hd_tree_data *data, size_t row_count, struct hd_err *err)
{
    hd_assert(row_count <= HD_TREE_ROWS_MAX);
    if (row_count <= data->row_capacity)
        return HD_OK;
    size_t capacity = 64;
    while (capacity < row_count)
        capacity *= 2;
    float *values = hd_calloc(capacity * (data->feature_count + 1), sizeof(float));
    float *targets = hd_calloc(capacity, sizeof(float));
    uint8_t *codes = hd_calloc(capacity * (data->feature_count + 1), 1);
    uint32_t *keys = hd_calloc(capacity * 4, sizeof(uint32_t));
    if (values == NULL || targets == NULL || codes == NULL || keys == NULL) {
        hd_free(values);
        hd_free(targets);
        hd_free(codes);
        hd_free(keys);
        return hd_fail(err, HD_E_NOMEM, "no memory for %zu rows of a tree", row_count);
    }
    hd_free(data->values);
    hd_free(data->targets);
    hd_free(data->codes);
    hd_free(data->keys);
    data->values = values;
    data->targets = targets;
    data->codes = codes;
    data->keys = keys;
    data->row_capacity = capacity;
    data->row_count = 0;
    return HD_OK;
}

/* ---- bins ---------------------------------------------------------------------------------- */

/* An order of the bits that is the order of the floats. -0 becomes 0. */
static uint32_t key_of(float value)
{
    uint32_t bits;
    value += 0.0f;
    memcpy(&bits, &value, sizeof(bits));
    return bits & 0x80000000u ? ~bits : bits | 0x80000000u;
}

/* Sorts count keys with their rows; radix of 2^11, three passes; the result is where it began or in
 * the other pair of arrays. */
static const uint32_t *sort_keys(uint32_t *keys, uint32_t *rows, uint32_t *other_keys,
                                 uint32_t *other_rows, size_t count, const uint32_t **ret_rows)
{
    enum { BITS = 11, SIZE = 1 << BITS };
    for (uint32_t shift = 0; shift < 32; shift += BITS) {
        uint32_t places[SIZE] = {0};
        uint32_t sum = 0;
        for (size_t i = 0; i < count; i++)
            places[(keys[i] >> shift) & (SIZE - 1)]++;
        for (size_t b = 0; b < SIZE; b++) {
            uint32_t size = places[b];
            places[b] = sum;
            sum += size;
        }
        for (size_t i = 0; i < count; i++) {
            uint32_t place = places[(keys[i] >> shift) & (SIZE - 1)]++;
            other_keys[place] = keys[i];
            other_rows[place] = rows[i];
        }
        uint32_t *swap = keys;
        keys = other_keys;
        other_keys = swap;
        swap = rows;
        rows = other_rows;
        other_rows = swap;
    }
    *ret_rows = rows;
    return keys;
}

static void bin_numbers(struct hd_tree_data *data, size_t feature)
{
    size_t capacity = data->row_capacity, width = data->feature_count, count = 0;
    uint32_t *keys = data->keys, *rows = keys + capacity;
    uint8_t *codes = data->codes + feature * capacity;
    float *low = data->bin_low + feature * HD_TREE_BINS;
    float *high = data->bin_high + feature * HD_TREE_BINS;
    for (size_t row = 0; row < data->row_count; row++) {
        float value = data->values[row * width + feature];
        codes[row] = HD_TREE_INACTIVE;
        if (isnan(value))
            continue;
        keys[count] = key_of(value);
        rows[count++] = (uint32_t)row;
    }
    const uint32_t *sorted_rows;
    const uint32_t *sorted =
        sort_keys(keys, rows, keys + 2 * capacity, keys + 3 * capacity, count, &sorted_rows);
    size_t distinct = count > 0 ? 1 : 0;
    for (size_t i = 1; i < count; i++)
        distinct += sorted[i] != sorted[i - 1];
    /* Equal values share a bin. With more of them than bins a bin also takes the next value until
     * it has its part of the rows that are left. */
    bool few = distinct <= HD_TREE_INACTIVE;
    size_t bin = 0, begin = 0;
    for (size_t i = 0; i < count; i++) {
        if (i > begin && sorted[i] != sorted[i - 1]) {
            size_t bins_left = HD_TREE_INACTIVE - bin;
            if (bins_left > 1 && (few || (i - begin) * bins_left >= count - begin)) {
                bin++;
                begin = i;
            }
        }
        float value = data->values[sorted_rows[i] * width + feature];
        codes[sorted_rows[i]] = (uint8_t)bin;
        low[bin] = i == begin ? value : low[bin];
        high[bin] = value;
    }
}

static void bin_choices(struct hd_tree_data *data, size_t feature)
{
    uint8_t *codes = data->codes + feature * data->row_capacity;
    for (size_t row = 0; row < data->row_count; row++) {
        float value = data->values[row * data->feature_count + feature];
        codes[row] = isnan(value) ? (uint8_t)HD_TREE_INACTIVE
                                  : (uint8_t)((uint32_t)value % HD_TREE_CHOICES_MAX);
    }
}

void hd_tree_data_prepare(struct hd_tree_data *data)
{
    for (size_t feature = 0; feature < data->feature_count; feature++) {
        if (data->choice[feature])
            bin_choices(data, feature);
        else
            bin_numbers(data, feature);
    }
}
