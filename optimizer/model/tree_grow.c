/* SPDX-License-Identifier: Apache-2.0 */
/* tree_grow.c: one tree: the search for splits, and the order in which nodes are split. */
#include "tree_grow.h"

#include <math.h>
#include <string.h>

/* Nodes of at most so many rows sort their bins; larger ones count into an array of all bins. */
#define SORT_ROWS_MAX 48u
/* A split must explain this part of the sum of squares of the whole tree. */
#define GAIN_MIN 1e-9

/* The rows of a node in one bin. */
struct group {
    double sum;
    uint32_t count, code;
};

struct split {
    double score; /* sum of squares of the sums over the counts, of both sides */
    size_t feature;
    bool choice, inactive_left;
    uint32_t cut;    /* number: the last bin of the left side, or HD_TREE_INACTIVE: all of them */
    float low, high; /* number: the gap that the threshold is drawn from */
    uint64_t mask[4];
};

struct grower {
    struct hd_trees *trees;
    const struct hd_tree_job *job;
    struct hd_rng *rng;
    double gain_min;
    /* The node at work. */
    const uint32_t *rows;
    uint32_t count;
    double sum;
    /* One of its features. */
    struct group groups[HD_TREE_BINS];
    size_t group_count;
    struct group inactive;
};

/* ---- groups -------------------------------------------------------------------------------- */

static void add_group(struct grower *grower, uint32_t code, uint32_t count, double sum)
{
    struct group group = {.sum = sum, .count = count, .code = code};
    if (code == HD_TREE_INACTIVE)
        grower->inactive = group;
    else
        grower->groups[grower->group_count++] = group;
}

static void group_few(struct grower *grower, const uint8_t *codes)
{
    uint32_t order[SORT_ROWS_MAX]; /* the bin above, the place below */
    for (uint32_t i = 0; i < grower->count; i++) {
        uint32_t item = (uint32_t)codes[grower->rows[i]] << 8 | i;
        uint32_t at = i;
        for (; at > 0 && order[at - 1] > item; at--)
            order[at] = order[at - 1];
        order[at] = item;
    }
    const float *targets = grower->job->targets;
    for (uint32_t i = 0; i < grower->count;) {
        uint32_t code = order[i] >> 8, begin = i;
        double sum = 0;
        for (; i < grower->count && order[i] >> 8 == code; i++)
            sum += (double)targets[grower->rows[order[i] & 255]];
        add_group(grower, code, i - begin, sum);
    }
}

static void group_many(struct grower *grower, const uint8_t *codes)
{
    double sums[HD_TREE_BINS] = {0};
    uint32_t counts[HD_TREE_BINS] = {0};
    const float *targets = grower->job->targets;
    for (uint32_t i = 0; i < grower->count; i++) {
        uint32_t row = grower->rows[i], code = codes[row];
        counts[code]++;
        sums[code] += (double)targets[row];
    }
    for (uint32_t code = 0; code < HD_TREE_BINS; code++) {
        if (counts[code] > 0)
            add_group(grower, code, counts[code], sums[code]);
    }
}

static void group_rows(struct grower *grower, size_t feature)
{
    const struct hd_tree_data *data = grower->job->data;
    const uint8_t *codes = data->codes + feature * data->row_capacity;
    grower->group_count = 0;
    grower->inactive = (struct group){0};
    if (grower->count <= SORT_ROWS_MAX)
        group_few(grower, codes);
    else
        group_many(grower, codes);
}

/* ---- splits -------------------------------------------------------------------------------- */

/* NAN when a side would be too small. */
static double score_of(const struct grower *grower, double left_sum, uint32_t left_count)
{
    uint32_t right_count = grower->count - left_count;
    uint32_t least = grower->job->settings->leaf_rows_min;
    double right_sum = grower->sum - left_sum;
    if (left_count == 0 || right_count == 0 || left_count < least || right_count < least)
        return NAN;
    return left_sum * left_sum / left_count + right_sum * right_sum / right_count;
}

static void set_choices(struct grower *grower, size_t cut, struct split *split)
{
    for (size_t word = 0; word < 4; word++)
        split->mask[word] = hd_rng_u64(grower->rng);
    for (size_t i = 0; i < grower->group_count; i++) {
        uint32_t code = grower->groups[i].code;
        uint64_t bit = UINT64_C(1) << (code % 64);
        if (i <= cut)
            split->mask[code / 64] |= bit;
        else
            split->mask[code / 64] &= ~bit;
    }
}

/* The groups 0 .. cut against the others; cut + 1 == group_count: all against the inactive. */
static void set_split(struct grower *grower, size_t feature, size_t cut, bool inactive_left,
                      double score, struct split *split)
{
    const struct hd_tree_data *data = grower->job->data;
    *split = (struct split){.score = score,
                            .feature = feature,
                            .choice = data->choice[feature],
                            .inactive_left = inactive_left};
    if (split->choice) {
        set_choices(grower, cut, split);
    } else if (cut + 1 == grower->group_count) {
        split->cut = HD_TREE_INACTIVE;
        split->low = split->high = INFINITY;
    } else {
        const float *bins_low = data->bin_low + feature * HD_TREE_BINS;
        const float *bins_high = data->bin_high + feature * HD_TREE_BINS;
        split->cut = grower->groups[cut].code;
        split->low = bins_high[grower->groups[cut].code];
        split->high = bins_low[grower->groups[cut + 1].code];
    }
    /* Nobody inactive was seen: either side will do. */
    if (grower->inactive.count == 0)
        split->inactive_left = (hd_rng_u64(grower->rng) & 1) != 0;
}

static void order_by_mean(struct grower *grower)
{
    for (size_t i = 1; i < grower->group_count; i++) {
        struct group group = grower->groups[i];
        size_t at = i;
        for (; at > 0; at--) {
            const struct group *before = &grower->groups[at - 1];
            if (before->sum / before->count <= group.sum / group.count)
                break;
            grower->groups[at] = *before;
        }
        grower->groups[at] = group;
    }
}

static void shuffle_groups(struct grower *grower)
{
    for (size_t i = grower->group_count; i > 1; i--) {
        size_t j = (size_t)hd_rng_below(grower->rng, i);
        struct group swap = grower->groups[i - 1];
        grower->groups[i - 1] = grower->groups[j];
        grower->groups[j] = swap;
    }
}

/* A place between the groups: after group `at`, with the inactive rows on one side. */
struct cut {
    double score;
    size_t at;
    bool inactive_left, found;
};

static void consider(struct cut *best, double score, size_t at, bool inactive_left)
{
    if (score > best->score)
        *best = (struct cut){score, at, inactive_left, true};
}

/* The best of the cuts after the groups first .. end - 1, and of active against inactive, that is
 * better than `least`. */
static struct cut find_cut(const struct grower *grower, size_t first, size_t end, double least)
{
    const struct group *inactive = &grower->inactive;
    struct cut best = {.score = least};
    double sum = 0;
    uint32_t count = 0;
    for (size_t i = 0; i < grower->group_count && i < end; i++) {
        sum += grower->groups[i].sum;
        count += grower->groups[i].count;
        if (i < first)
            continue;
        consider(&best, score_of(grower, sum, count), i, false);
        if (inactive->count > 0)
            consider(&best, score_of(grower, sum + inactive->sum, count + inactive->count), i,
                     true);
    }
    if (inactive->count > 0)
        consider(&best,
                 score_of(grower, grower->sum - inactive->sum, grower->count - inactive->count),
                 grower->group_count - 1, false);
    return best;
}

/* Looks at the splits of one feature whose groups are made; *best is replaced by a better one.
 * false: the feature does not vary in the node. */
static bool try_feature(struct grower *grower, size_t feature, struct split *best)
{
    const struct group *inactive = &grower->inactive;
    if (grower->group_count + (inactive->count > 0 ? 1 : 0) < 2)
        return false;
    bool random = grower->job->settings->random_splits;
    size_t first = 0, end = grower->group_count - 1;
    if (grower->group_count > 1 && grower->job->data->choice[feature]) {
        if (random)
            shuffle_groups(grower);
        else
            order_by_mean(grower);
    }
    if (random && grower->group_count > 1) {
        first = (size_t)hd_rng_below(grower->rng, grower->group_count - 1);
        end = first + 1;
    }
    struct cut cut = find_cut(grower, first, end, best->score);
    if (cut.found)
        set_split(grower, feature, cut.at, cut.inactive_left, cut.score, best);
    return true;
}

/* What a threshold needs to know of the active rows of a node. */
struct extent {
    uint32_t first, last; /* bins */
    uint32_t active;
};

/* Also leaves the bins of the rows in the grower, side by side. */
static struct extent measure(struct grower *grower, const uint8_t *restrict codes)
{
    const uint32_t *restrict rows = grower->rows;
    uint8_t *restrict bins = grower->trees->bins;
    struct extent extent = {.first = HD_TREE_INACTIVE};
    for (uint32_t i = 0; i < grower->count; i++) {
        uint32_t code = codes[rows[i]];
        uint32_t shown = code == HD_TREE_INACTIVE ? 0 : code;
        bins[i] = (uint8_t)code;
        extent.first = code < extent.first ? code : extent.first;
        extent.last = shown > extent.last ? shown : extent.last;
        extent.active += code != HD_TREE_INACTIVE ? 1 : 0;
    }
    return extent;
}

/* The group of the bins up to `below` and, where there are any, that of the inactive rows: without
 * a branch for each row, which no processor could foresee. */
static struct group sum_below(const struct grower *grower, uint32_t below)
{
    static const double part[2] = {0, 1};
    const uint8_t *restrict bins = grower->trees->bins;
    const double *restrict targets = grower->trees->targets;
    struct group group = {0};
    for (uint32_t i = 0; i < grower->count; i++) {
        uint32_t in = bins[i] <= below ? 1 : 0;
        group.sum += targets[i] * part[in];
        group.count += in;
    }
    return group;
}

static struct group sum_inactive(const struct grower *grower, uint32_t active)
{
    struct group group = {.count = grower->count - active};
    for (uint32_t i = 0; i < grower->count && group.count > 0; i++) {
        if (grower->trees->bins[i] == HD_TREE_INACTIVE)
            group.sum += grower->trees->targets[i];
    }
    return group;
}

/* The bins on both sides of the cut that have rows. */
static void find_gap(struct grower *grower, struct extent extent, uint32_t below)
{
    uint32_t left = extent.first, right = extent.last;
    for (uint32_t i = 0; i < grower->count; i++) {
        uint32_t code = grower->trees->bins[i];
        if (code <= below)
            left = code > left ? code : left;
        else
            right = code < right ? code : right;
    }
    grower->groups[0].code = left;
    grower->groups[1].code = right;
}

/* Extra trees, a number: one threshold between the smallest and the largest value. Needs no groups,
 * so it is several times cheaper. Answers like try_feature(). */
static bool try_threshold(struct grower *grower, size_t feature, struct split *best)
{
    const struct hd_tree_data *data = grower->job->data;
    const uint8_t *codes = data->codes + feature * data->row_capacity;
    struct extent extent = measure(grower, codes);
    if (extent.active == 0 || extent.first == extent.last) { /* active against inactive, at most */
        group_rows(grower, feature);
        return try_feature(grower, feature, best);
    }
    uint32_t first = extent.first, last = extent.last;
    const float *bins_low = data->bin_low + feature * HD_TREE_BINS;
    const float *bins_high = data->bin_high + feature * HD_TREE_BINS;
    double low = (double)bins_high[first], high = (double)bins_low[last];
    double threshold = low + (high - low) * hd_rng_double(grower->rng);
    /* The last bin that begins at or before the threshold; the last one stays on the right. No
     * branch depends on what is found: none could be foreseen. */
    uint32_t below = first;
    for (uint32_t left = last - first; left > 1;) {
        uint32_t half = left / 2;
        below += (double)bins_low[below + half] <= threshold ? half : 0;
        left -= half;
    }
    /* Of the rest on the right nothing but its first bin is needed. */
    grower->groups[0] = sum_below(grower, below);
    grower->groups[1] = (struct group){.count = extent.active - grower->groups[0].count};
    grower->group_count = 2;
    grower->inactive = sum_inactive(grower, extent.active);
    struct cut cut = find_cut(grower, 0, 1, best->score);
    if (cut.found) {
        find_gap(grower, extent, below);
        set_split(grower, feature, cut.at, cut.inactive_left, cut.score, best);
    }
    return true;
}

/* The best split of some random features that vary; false when no split is worth it. */
static bool find_split(struct grower *grower, struct split *ret_split)
{
    uint32_t *features = grower->trees->features;
    size_t left = grower->job->data->feature_count;
    size_t wanted = grower->job->settings->features_tried;
    double worth = grower->sum * grower->sum / grower->count + grower->gain_min;
    *ret_split = (struct split){.score = worth};
    for (size_t tried = 0; left > 0 && (wanted == 0 || tried < wanted);) {
        size_t at = (size_t)hd_rng_below(grower->rng, left);
        uint32_t feature = features[at];
        features[at] = features[--left];
        features[left] = feature;
        bool number = !grower->job->data->choice[feature];
        bool varies;
        if (number && grower->job->settings->random_splits) {
            varies = try_threshold(grower, feature, ret_split);
        } else {
            group_rows(grower, feature);
            varies = try_feature(grower, feature, ret_split);
        }
        tried += varies ? 1 : 0;
    }
    return ret_split->score > worth;
}

/* ---- nodes --------------------------------------------------------------------------------- */

static bool goes_left(const struct split *split, uint32_t code)
{
    if (code == HD_TREE_INACTIVE)
        return split->inactive_left;
    if (split->choice)
        return (split->mask[code / 64] >> (code % 64) & 1) != 0;
    return code <= split->cut;
}

static uint32_t divide(const struct grower *grower, const struct split *split, uint32_t *rows)
{
    const struct hd_tree_data *data = grower->job->data;
    const uint8_t *codes = data->codes + split->feature * data->row_capacity;
    uint32_t left = 0, right = grower->count;
    while (left < right) {
        uint32_t row = rows[left];
        if (goes_left(split, codes[row])) {
            left++;
        } else {
            rows[left] = rows[--right];
            rows[right] = row;
        }
    }
    return left;
}

static void make_inner(struct grower *grower, const struct split *split, uint32_t index)
{
    struct hd_trees *trees = grower->trees;
    struct hd_tree_node *node = &trees->nodes[index];
    *node = (struct hd_tree_node){.feature = (uint16_t)split->feature, .child = trees->node_count};
    hd_assert(trees->node_count + 2 <= trees->node_capacity);
    trees->node_count += 2;
    node->flags = split->inactive_left ? HD_NODE_INACTIVE_LEFT : 0;
    if (split->choice) {
        hd_assert(trees->mask_count < trees->mask_capacity);
        node->flags |= HD_NODE_CHOICE;
        node->as.mask = trees->mask_count++;
        memcpy(trees->masks[node->as.mask], split->mask, sizeof(split->mask));
        return;
    }
    /* Drawn from the gap: means of trees change smoothly where there are no rows (and the left side
     * stays the left side after rounding). */
    float level = split->high;
    if (split->high > split->low) {
        double part = hd_rng_double(grower->rng);
        level = (float)((double)split->high - part * ((double)split->high - (double)split->low));
    }
    node->level = level > split->low ? level : split->high;
}

static void make_leaf(struct grower *grower, const uint32_t *rows, uint32_t index)
{
    const struct hd_tree_job *job = grower->job;
    struct hd_trees *trees = grower->trees;
    struct hd_tree_node *node = &trees->nodes[index];
    *node = (struct hd_tree_node){.flags = HD_NODE_LEAF};
    if (job->residuals != NULL) {
        for (uint32_t i = 0; i < grower->count; i++)
            trees->sorted[i] = job->residuals[rows[i]];
        node->level = hd_select_quantile(trees->sorted, grower->count, job->settings->quantile);
        return;
    }
    double mean = grower->sum / grower->count, squares = 0;
    for (uint32_t i = 0; i < grower->count; i++) {
        double offset = (double)job->targets[rows[i]] - mean;
        squares += offset * offset;
    }
    node->level = (float)mean;
    node->as.variance = (float)(squares / grower->count);
}

/* Leaves the targets of the rows side by side, too. */
static double sum_of(const struct grower *grower)
{
    double sum = 0;
    for (uint32_t i = 0; i < grower->count; i++) {
        double target = (double)grower->job->targets[grower->rows[i]];
        grower->trees->targets[i] = target;
        sum += target;
    }
    return sum;
}

static double spread_of(const struct grower *grower)
{
    double mean = grower->sum / grower->count, squares = 0;
    for (uint32_t i = 0; i < grower->count; i++) {
        double offset = (double)grower->job->targets[grower->rows[i]] - mean;
        squares += offset * offset;
    }
    return squares;
}

void hd_tree_grow(struct hd_trees *trees, const struct hd_tree_job *job, struct hd_rng *rng)
{
    /* An entry of the stack: node, first row, end of the rows, depth. */
    struct grower grower = {.trees = trees, .job = job, .rng = rng};
    uint32_t *stack = trees->stack;
    size_t top = 0;
    hd_assert(job->row_count > 0 && trees->tree_count < HD_TREE_COUNT_MAX);
    hd_assert(trees->node_count < trees->node_capacity);
    trees->roots[trees->tree_count++] = trees->node_count;
    stack[top++] = trees->node_count++;
    stack[top++] = 0;
    stack[top++] = job->row_count;
    stack[top++] = 0;
    while (top > 0) {
        struct split split;
        uint32_t depth = stack[--top], end = stack[--top], begin = stack[--top];
        uint32_t index = stack[--top];
        uint32_t *rows = trees->rows + begin;
        grower.rows = rows;
        grower.count = end - begin;
        grower.sum = sum_of(&grower);
        if (index == trees->roots[trees->tree_count - 1])
            grower.gain_min = GAIN_MIN * spread_of(&grower);
        if (depth >= job->settings->depth_max || grower.count < job->settings->split_rows_min ||
            grower.count < 2 * job->settings->leaf_rows_min || !find_split(&grower, &split)) {
            make_leaf(&grower, rows, index);
            continue;
        }
        uint32_t middle = begin + divide(&grower, &split, rows);
        make_inner(&grower, &split, index);
        uint32_t child = trees->nodes[index].child;
        const uint32_t entries[8] = {child + 1, middle, end,    depth + 1,
                                     child,     begin,  middle, depth + 1};
        memcpy(stack + top, entries, sizeof(entries));
        top += 8;
    }
}
