/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tree.h: regression trees over numbers and choices, some of them inactive, and what is made of
 * many of them: random forests (Breiman 2001; as a model of algorithms: Hutter, Hoos and
 * Leyton-Brown 2011), extremely randomised trees (Geurts, Ernst and Wehenkel 2006) and gradient
 * boosting of a quantile (Friedman 2001). Pure arithmetic; randomness is handed in.
 *
 * A row has one float a feature: a number as it is, a choice as its index, NaN where the param is
 * inactive. Splits are
 *   number   value < threshold, the threshold drawn from the gap between two values of the node
 *   choice   a subset of the choices (in the order of their means, which holds the best subset)
 *   either   inactive or not; in the two above, inactive rows go to the side that suits them better
 * so a tree models the parts of a conditional space jointly. Choices that a node has not seen go to
 * a random side.
 *
 * Numbers are grouped into at most HD_TREE_BINS - 1 bins of equal counts before trees grow on them;
 * the costs are O(rows * features * depth) a tree.
 */
#ifndef HD_TREE_H
#define HD_TREE_H

#include <hd/base.h>

#define HD_TREE_BINS 256u
#define HD_TREE_INACTIVE 255u /* the bin of NaN */
#define HD_TREE_ROWS_MAX 65536u
#define HD_TREE_FEATURES_MAX 4096u
#define HD_TREE_COUNT_MAX 1000u /* trees of one model */
/* Choices are told apart up to this many; index i and i + 255 share a bin. */
#define HD_TREE_CHOICES_MAX 255u

/* The rows that trees grow on. The caller fills values, targets and row_count, then calls
 * hd_tree_data_prepare(). */
struct hd_tree_data {
    size_t feature_count;
    bool *choice; /* [feature] */
    size_t row_count, row_capacity;
    float *values;  /* [row][feature] */
    float *targets; /* [row], finite */
    uint8_t *codes; /* [feature][row_capacity]: bins */
    float *bin_low; /* [feature][HD_TREE_BINS]: smallest value of the bin; numbers only */
    float *bin_high;
    uint32_t *keys; /* [4][row_capacity]: scratch of the sort */
};

HD_NODISCARD enum hd_code hd_tree_data_init(struct hd_tree_data *data, size_t feature_count,
                                            const bool *choice, struct hd_err *err);
void hd_tree_data_release(struct hd_tree_data *data); /* also of a zeroed struct */
/* Room for row_count rows. What was in the rows is lost. */
HD_NODISCARD enum hd_code hd_tree_data_reserve(struct hd_tree_data *data, size_t row_count,
                                               struct hd_err *err);
void hd_tree_data_prepare(struct hd_tree_data *data);

/* One node. flags: see tree_grow.h. Inner: level is the threshold, mask the set of choices,
 * children at child and child + 1. Leaf: level is the mean (boosting: the step), variance that of
 * its rows. */
struct hd_tree_node {
    float level;
    union {
        float variance;
        uint32_t mask;
    } as;
    uint32_t child;
    uint16_t feature;
    uint16_t flags;
};

struct hd_tree_settings {
    uint32_t tree_count;
    uint32_t leaf_rows_min;  /* a leaf has at least so many rows */
    uint32_t split_rows_min; /* a node with fewer is a leaf */
    uint32_t depth_max;
    uint32_t features_tried; /* at each node, of those that vary in it; 0: all */
    bool bootstrap;          /* rows drawn with replacement, for each tree */
    bool random_splits;      /* extra trees: one random split a feature */
    /* Boosting only. */
    double quantile;     /* in (0, 1) */
    double rate;         /* how much of a step is taken, in (0, 1] */
    uint32_t row_count;  /* only the first so many rows; 0: all */
    double row_fraction; /* of the rows, drawn without replacement, for each tree */
};

struct hd_trees {
    struct hd_tree_node *nodes;
    uint32_t node_count, node_capacity;
    uint64_t (*masks)[4];
    uint32_t mask_count, mask_capacity;
    uint32_t roots[HD_TREE_COUNT_MAX];
    uint32_t tree_count;
    size_t feature_count;
    double base; /* boosting: where all predictions begin */
    double rate;
    uint32_t *rows; /* scratch */
    uint32_t *stack;
    uint32_t *features;
    float *slopes, *residuals, *fitted, *sorted;
    double *targets; /* of the rows of the node at work, side by side */
    uint8_t *bins;   /* ... of one feature of theirs */
    size_t row_capacity;
};

void hd_trees_init(struct hd_trees *trees);
void hd_trees_release(struct hd_trees *trees);
/* Room for trees with these settings over as many rows as data has room for: fits do not allocate
 * then. What was there is lost. */
HD_NODISCARD enum hd_code hd_trees_reserve(struct hd_trees *trees, const struct hd_tree_data *data,
                                           const struct hd_tree_settings *settings,
                                           struct hd_err *err);
/* Both: data is prepared and has at least one row. On failure (memory) the trees are empty. */
HD_NODISCARD enum hd_code hd_forest_fit(struct hd_trees *trees, const struct hd_tree_data *data,
                                        const struct hd_tree_settings *settings, struct hd_rng *rng,
                                        struct hd_err *err);
HD_NODISCARD enum hd_code hd_boost_fit(struct hd_trees *trees, const struct hd_tree_data *data,
                                       const struct hd_tree_settings *settings, struct hd_rng *rng,
                                       struct hd_err *err);
/* rows[count][feature_count]. Mean over the trees of the means of the leaves; variance by the law
 * of total variance: mean of the leaves' variances plus variance of their means. */
void hd_forest_predict(const struct hd_trees *trees, const float *rows, size_t count,
                       double *ret_mean, double *ret_variance);
void hd_boost_predict(const struct hd_trees *trees, const float *rows, size_t count,
                      double *ret_quantile);
/* The element of rank ceil(quantile * count) of numbers[count], which are reordered. */
float hd_select_quantile(float *numbers, size_t count, double quantile);

#endif
