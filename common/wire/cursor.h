/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cursor.h: reading msgpack one token at a time, never beyond the end, allocating nothing.
 */
#ifndef HD_WIRE_CURSOR_H
#define HD_WIRE_CURSOR_H

#include <hd/base.h>

enum hd_token_kind {
    HD_TOKEN_NIL,
    HD_TOKEN_BOOL,
    HD_TOKEN_UINT,
    HD_TOKEN_NEGATIVE, /* an integer below zero */
    HD_TOKEN_DOUBLE,
    HD_TOKEN_TEXT,
    HD_TOKEN_BYTES, /* bin and ext: no message uses them, readers step over them */
    HD_TOKEN_ARRAY,
    HD_TOKEN_MAP,
};

struct hd_token {
    enum hd_token_kind kind;
    union {
        bool boolean;
        uint64_t uint;
        int64_t negative;
        double number;
        struct {
            const char *data; /* inside the bytes that are read */
            size_t size;
        } text;         /* TEXT and BYTES */
        uint32_t count; /* ARRAY: items; MAP: pairs */
    } as;
};

struct hd_cursor {
    const uint8_t *at;
    const uint8_t *end;
};

/* False when the bytes end too early or hold a byte that msgpack does not know. */
HD_NODISCARD bool hd_cursor_next(struct hd_cursor *cursor, struct hd_token *ret_token);
/* Steps over one whole object, whatever its depth. */
HD_NODISCARD bool hd_cursor_skip(struct hd_cursor *cursor);

#endif
