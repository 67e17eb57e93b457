/* SPDX-License-Identifier: Apache-2.0 */
/* tree_grow.h: grows one tree. Private to optimizer/model. */
#ifndef HD_TREE_GROW_H
#define HD_TREE_GROW_H

#include <hd/tree.h>

enum { HD_NODE_LEAF = 1, HD_NODE_CHOICE = 2, HD_NODE_INACTIVE_LEFT = 4 };

/* Appends a tree that is grown on rows[0 .. row_count) (which may repeat, and are reordered) and
 * the targets; room was reserved. When residuals is given a leaf's level is their quantile and
 * fitted[row] grows by rate times it. */
struct hd_tree_job {
    const struct hd_tree_data *data;
    const struct hd_tree_settings *settings;
    const float *targets;   /* by row: what splits explain */
    const float *residuals; /* by row, or NULL */
    uint32_t row_count;
};
void hd_tree_grow(struct hd_trees *trees, const struct hd_tree_job *job, struct hd_rng *rng);
/* The leaf of a row. */
static inline const struct hd_tree_node *hd_tree_leaf(const struct hd_trees *trees, uint32_t root,
                                                      const float *row)
{
    const struct hd_tree_node *node = &trees->nodes[root];
    while ((node->flags & HD_NODE_LEAF) == 0) {
        float value = row[node->feature];
        bool left;
        if (value != value) {
            left = (node->flags & HD_NODE_INACTIVE_LEFT) != 0;
        } else if ((node->flags & HD_NODE_CHOICE) != 0) {
            uint32_t code = (uint32_t)value % HD_TREE_CHOICES_MAX;
            left = (trees->masks[node->as.mask][code / 64] >> (code % 64) & 1) != 0;
        } else {
            left = value < node->level;
        }
        node = &trees->nodes[node->child + (left ? 0 : 1)];
    }
    return node;
}

#endif
