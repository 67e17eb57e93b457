/* SPDX-License-Identifier: Apache-2.0 */
/* describe.h: small builders of the description. Private to this room. */
#ifndef HD_EXPERIMENT_DESCRIBE_H
#define HD_EXPERIMENT_DESCRIBE_H

#include "read.h"

/* false: no memory, and item (which may be NULL for that reason) is gone. */
static inline bool put(struct hd_value *map, const char *key, struct hd_value *item)
{
    return hd_value_set(map, key, item) == HD_OK;
}

/* The map, or NULL and nothing left of it. */
static inline struct hd_value *finish(struct hd_value *map, bool good)
{
    if (good)
        return map;
    hd_value_free(map);
    return NULL;
}

static inline struct hd_value *new_text(const char *text)
{
    return text != NULL ? hd_value_new_string(text) : hd_value_new_null();
}

static inline struct hd_value *new_ms(int64_t ms)
{
    char text[READ_MS_TEXT_SIZE];
    hd_format_ms(text, sizeof(text), ms);
    return hd_value_new_string(text);
}

#endif
