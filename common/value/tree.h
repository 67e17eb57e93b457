/* SPDX-License-Identifier: Apache-2.0 */
/* tree.h: what the readers of this room share and nobody else sees. */
#ifndef HD_VALUE_TREE_H
#define HD_VALUE_TREE_H

#include <hd/value.h>

/* The deepest limit a caller may set: readers, writer and free() recurse. */
#define TREE_DEPTH_MAX 256

/* Adds a member without looking for the key, which is for hd_tree_duplicate afterwards: looking
 * each time would cost the square of what a stranger sends. item as in hd_value_set. */
HD_NODISCARD enum hd_code hd_tree_add(struct hd_value *object, const char *key,
                                      struct hd_value *item);
/* The later of two members with one key, or NULL in *ret_key when there is none. */
HD_NODISCARD enum hd_code hd_tree_duplicate(const struct hd_value *object, const char **ret_key,
                                            const struct hd_value **ret_item);

/* Encodes a scalar value (not a surrogate, at most 0x10ffff); returns its size. */
size_t hd_utf8_encode(uint32_t character, char ret_bytes[4]);

#endif
