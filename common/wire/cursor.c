/* SPDX-License-Identifier: Apache-2.0 */
/* cursor.c: msgpack tokens, and the scan that every foreign message passes first. */
#include "cursor.h"

#include <hd/message.h>
#include <string.h>

static bool read_big_endian(struct hd_cursor *cursor, size_t size, uint64_t *ret_number)
{
    if ((size_t)(cursor->end - cursor->at) < size)
        return false;
    uint64_t number = 0;
    for (size_t i = 0; i < size; i++)
        number = number << 8 | *cursor->at++;
    *ret_number = number;
    return true;
}

static bool take_bytes(struct hd_cursor *cursor, enum hd_token_kind kind, uint64_t size,
                       struct hd_token *token)
{
    if (size > (size_t)(cursor->end - cursor->at))
        return false;
    token->kind = kind;
    token->as.text.data = (const char *)cursor->at;
    token->as.text.size = (size_t)size;
    cursor->at += size;
    return true;
}

static bool take_sized(struct hd_cursor *cursor, enum hd_token_kind kind, size_t size_bytes,
                       size_t extra, struct hd_token *token)
{
    uint64_t size;
    return read_big_endian(cursor, size_bytes, &size) &&
           take_bytes(cursor, kind, size + extra, token);
}

static bool take_count(struct hd_cursor *cursor, enum hd_token_kind kind, size_t size_bytes,
                       struct hd_token *token)
{
    uint64_t count;
    if (!read_big_endian(cursor, size_bytes, &count))
        return false;
    token->kind = kind;
    token->as.count = (uint32_t)count;
    return true;
}

static bool take_uint(struct hd_cursor *cursor, size_t size, struct hd_token *token)
{
    token->kind = HD_TOKEN_UINT;
    return read_big_endian(cursor, size, &token->as.uint);
}

static void set_int(struct hd_token *token, int64_t number)
{
    if (number < 0) {
        token->kind = HD_TOKEN_NEGATIVE;
        token->as.negative = number;
    } else {
        token->kind = HD_TOKEN_UINT;
        token->as.uint = (uint64_t)number;
    }
}

static bool take_int(struct hd_cursor *cursor, size_t size, struct hd_token *token)
{
    uint64_t bits;
    if (!read_big_endian(cursor, size, &bits))
        return false;
    uint64_t sign = UINT64_C(1) << (8 * size - 1);
    if ((bits & sign) != 0) /* extend the sign through all 64 bits */
        bits |= ~(sign | (sign - 1));
    int64_t number;
    memcpy(&number, &bits, sizeof(number));
    set_int(token, number);
    return true;
}

static bool take_float(struct hd_cursor *cursor, size_t size, struct hd_token *token)
{
    uint64_t bits;
    if (!read_big_endian(cursor, size, &bits))
        return false;
    token->kind = HD_TOKEN_DOUBLE;
    if (size == 8) {
        memcpy(&token->as.number, &bits, sizeof(bits));
    } else {
        uint32_t half = (uint32_t)bits;
        float number;
        memcpy(&number, &half, sizeof(half));
        token->as.number = (double)number;
    }
    return true;
}

/* The bytes 0xc0 .. 0xdf: everything whose size does not stand in its first byte. */
static bool take_wide(struct hd_cursor *cursor, uint8_t first, struct hd_token *token)
{
    switch (first) {
    case 0xc0:
        token->kind = HD_TOKEN_NIL;
        return true;
    case 0xc2:
    case 0xc3:
        token->kind = HD_TOKEN_BOOL;
        token->as.boolean = first == 0xc3;
        return true;
    case 0xc4:
    case 0xc5:
    case 0xc6: /* bin */
        return take_sized(cursor, HD_TOKEN_BYTES, (size_t)1 << (first - 0xc4), 0, token);
    case 0xc7:
    case 0xc8:
    case 0xc9: /* ext: a type byte follows the size */
        return take_sized(cursor, HD_TOKEN_BYTES, (size_t)1 << (first - 0xc7), 1, token);
    case 0xca:
    case 0xcb:
        return take_float(cursor, first == 0xca ? 4 : 8, token);
    case 0xcc:
    case 0xcd:
    case 0xce:
    case 0xcf:
        return take_uint(cursor, (size_t)1 << (first - 0xcc), token);
    case 0xd0:
    case 0xd1:
    case 0xd2:
    case 0xd3:
        return take_int(cursor, (size_t)1 << (first - 0xd0), token);
    case 0xd4:
    case 0xd5:
    case 0xd6:
    case 0xd7:
    case 0xd8: /* fixext */
        return take_bytes(cursor, HD_TOKEN_BYTES, ((size_t)1 << (first - 0xd4)) + 1, token);
    case 0xd9:
    case 0xda:
    case 0xdb:
        return take_sized(cursor, HD_TOKEN_TEXT, (size_t)1 << (first - 0xd9), 0, token);
    case 0xdc:
    case 0xdd:
        return take_count(cursor, HD_TOKEN_ARRAY, first == 0xdc ? 2 : 4, token);
    case 0xde:
    case 0xdf:
        return take_count(cursor, HD_TOKEN_MAP, first == 0xde ? 2 : 4, token);
    default: /* 0xc1 means nothing */
        return false;
    }
}

bool hd_cursor_next(struct hd_cursor *cursor, struct hd_token *ret_token)
{
    if (cursor->at == cursor->end)
        return false;
    uint8_t first = *cursor->at++;
    if (first < 0x80 || first >= 0xe0) {
        set_int(ret_token, first < 0x80 ? first : first - 0x100);
        return true;
    }
    if (first < 0xa0) {
        ret_token->kind = first < 0x90 ? HD_TOKEN_MAP : HD_TOKEN_ARRAY;
        ret_token->as.count = first & 0x0f;
        return true;
    }
    if (first < 0xc0)
        return take_bytes(cursor, HD_TOKEN_TEXT, first & 0x1f, ret_token);
    return take_wide(cursor, first, ret_token);
}

static uint64_t child_count(const struct hd_token *token)
{
    if (token->kind == HD_TOKEN_ARRAY)
        return token->as.count;
    return token->kind == HD_TOKEN_MAP ? 2 * (uint64_t)token->as.count : 0;
}

bool hd_cursor_skip(struct hd_cursor *cursor)
{
    /* Every child takes at least one byte, so that the sum stays below 2^33 times the size. */
    for (uint64_t left = 1; left > 0; left--) {
        struct hd_token token;
        if (!hd_cursor_next(cursor, &token))
            return false;
        left += child_count(&token);
    }
    return true;
}

/* ---- scan ---------------------------------------------------------------------------------- */

static enum hd_code fail_scan(struct hd_err *err, const uint8_t *start, const uint8_t *at,
                              const char *why)
{
    return hd_fail(err, HD_E_INVALID, "not a message: %s at byte %zu", why, (size_t)(at - start));
}

enum hd_code hd_wire_scan(const void *bytes, size_t size, struct hd_err *err)
{
    if (size > HD_MESSAGE_BYTES_MAX)
        return hd_fail(err, HD_E_LIMIT, "the message has %zu bytes, at most %u are allowed", size,
                       HD_MESSAGE_BYTES_MAX);
    const uint8_t *start = bytes;
    if (size == 0)
        return hd_fail(err, HD_E_INVALID, "not a message: it is empty");
    struct hd_cursor cursor = {.at = start, .end = start + size};
    uint64_t open[HD_WIRE_DEPTH_MAX]; /* objects still missing in each open container */
    size_t depth = 0;
    size_t nodes = 0;
    do {
        const uint8_t *at = cursor.at;
        struct hd_token token;
        if (++nodes > HD_WIRE_NODES_MAX)
            return hd_fail(err, HD_E_LIMIT, "the message has more than %d parts",
                           HD_WIRE_NODES_MAX);
        if (!hd_cursor_next(&cursor, &token))
            return fail_scan(err, start, at, "unknown or incomplete msgpack");
        if (depth > 0)
            open[depth - 1]--;
        uint64_t children = child_count(&token);
        if (children > (size_t)(cursor.end - cursor.at))
            return fail_scan(err, start, at, "a container says more than there is");
        if (children > 0 && depth == HD_WIRE_DEPTH_MAX)
            return hd_fail(err, HD_E_LIMIT, "the message nests deeper than %d", HD_WIRE_DEPTH_MAX);
        if (children > 0)
            open[depth++] = children;
        while (depth > 0 && open[depth - 1] == 0)
            depth--;
    } while (depth > 0);
    if (cursor.at != cursor.end)
        return fail_scan(err, start, cursor.at, "something follows its end");
    return HD_OK;
}
