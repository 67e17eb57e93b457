/* SPDX-License-Identifier: Apache-2.0 */
/* decode.c: msgpack to structs by their tables. The bytes have been scanned: cursor calls cannot
 * run out of them, and what they hold is still not believed. */
#include "cursor.h"
#include "shape.h"

#include <hd/message.h>
#include <math.h>
#include <string.h>

struct decoder {
    struct hd_cursor cursor;
    struct hd_arena *arena;
    struct hd_err *err;
};

static enum hd_code fail_broken(struct decoder *decoder)
{
    return hd_fail(decoder->err, HD_E_INVALID, "not a message: incomplete msgpack");
}

static enum hd_code next(struct decoder *decoder, struct hd_token *ret_token)
{
    return hd_cursor_next(&decoder->cursor, ret_token) ? HD_OK : fail_broken(decoder);
}

static enum hd_code fail_type(struct decoder *decoder, const struct hd_shape *shape,
                              const struct hd_field *field, const char *expected)
{
    return hd_fail(decoder->err, HD_E_INVALID, "%s.%s: %s expected", shape->name, field->name,
                   expected);
}

static void *member(const struct hd_field *field, void *object)
{
    return (char *)object + field->offset;
}

/* ---- defaults ------------------------------------------------------------------------------- */

static void set_defaults(const struct hd_shape *shape, void *object)
{
    memset(object, 0, shape->size);
    for (size_t i = 0; i < shape->field_count; i++) {
        const struct hd_field *field = &shape->fields[i];
        void *at = member(field, object);
        if (field->kind == HD_FIELD_TEXT || field->kind == HD_FIELD_ID)
            *(const char **)at = "";
        else if (field->kind == HD_FIELD_DOUBLE)
            *(double *)at = NAN;
        else if (field->kind == HD_FIELD_STRUCT)
            set_defaults(field->shape, at);
    }
}

/* ---- texts ---------------------------------------------------------------------------------- */

/* Length of the UTF-8 sequence at `at` (Unicode 15, table 3-7), 0 when it is none. */
static size_t utf8_size(const unsigned char *at, size_t left)
{
    if (at[0] < 0x80)
        return at[0] != 0 ? 1 : 0;
    size_t size = at[0] >= 0xc2 && at[0] < 0xe0 ? 2 : (at[0] & 0xf0) == 0xe0 ? 3 : 0;
    if (at[0] >= 0xf0 && at[0] < 0xf5)
        size = 4;
    if (size == 0 || size > left)
        return 0;
    for (size_t i = 1; i < size; i++)
        if ((at[i] & 0xc0) != 0x80)
            return 0;
    bool overlong = (at[0] == 0xe0 && at[1] < 0xa0) || (at[0] == 0xf0 && at[1] < 0x90);
    bool outside = (at[0] == 0xed && at[1] > 0x9f) || (at[0] == 0xf4 && at[1] > 0x8f);
    return overlong || outside ? 0 : size;
}

/* How many bytes from `from` on are plain ASCII, by whole words: most of what is sent. */
static size_t ascii_size(const char *from, size_t size)
{
    const uint64_t ones = UINT64_C(0x0101010101010101), tops = ones << 7;
    size_t at = 0;
    for (uint64_t word; size - at >= sizeof(word); at += sizeof(word)) {
        memcpy(&word, from + at, sizeof(word));
        if (((word | (word - ones)) & tops) != 0) /* a byte above 127, or after borrowing a zero */
            break;
    }
    return at;
}

/* What is no UTF-8 (a target's broken output in a message) becomes '?': refusing the whole
 * message would lose a result over its decoration, and what we store must be text. */
static void copy_clean(char *to, const char *from, size_t size)
{
    for (size_t i = 0; i < size;) {
        size_t plain = ascii_size(from + i, size - i);
        memcpy(to + i, from + i, plain);
        i += plain;
        if (i == size)
            break;
        size_t step = utf8_size((const unsigned char *)from + i, size - i);
        if (step == 0)
            to[i++] = '?';
        for (size_t k = 0; k < step; k++, i++)
            to[i] = from[i];
    }
    to[size] = '\0';
}

static enum hd_code read_text(struct decoder *decoder, const struct hd_shape *shape,
                              const struct hd_field *field, uint64_t size_max,
                              struct hd_token *ret_token)
{
    enum hd_code code = next(decoder, ret_token);
    if (code != HD_OK)
        return code;
    if (ret_token->kind != HD_TOKEN_TEXT)
        return fail_type(decoder, shape, field, "a text");
    if (ret_token->as.text.size > size_max)
        return hd_fail(decoder->err, HD_E_LIMIT, "%s.%s: %zu bytes, at most %llu allowed",
                       shape->name, field->name, ret_token->as.text.size,
                       (unsigned long long)size_max);
    return HD_OK;
}

static enum hd_code decode_text(struct decoder *decoder, const struct hd_shape *shape,
                                const struct hd_field *field, uint64_t size_max,
                                const char **ret_text)
{
    struct hd_token token;
    enum hd_code code = read_text(decoder, shape, field, size_max, &token);
    if (code != HD_OK)
        return code;
    char *text = hd_arena_alloc(decoder->arena, token.as.text.size + 1);
    if (text == NULL)
        return hd_fail(decoder->err, HD_E_NOMEM, "no memory for %s.%s", shape->name, field->name);
    copy_clean(text, token.as.text.data, token.as.text.size);
    if (text[0] != '\0' && (field->kind == HD_FIELD_ID || field->kind == HD_FIELD_IDS))
        code = hd_check_id(field->name, text, decoder->err);
    if (code == HD_OK)
        *ret_text = text;
    return code;
}

static enum hd_code decode_chars(struct decoder *decoder, const struct hd_shape *shape,
                                 const struct hd_field *field, char *chars)
{
    struct hd_token token;
    enum hd_code code = read_text(decoder, shape, field, field->max, &token);
    if (code == HD_OK)
        copy_clean(chars, token.as.text.data, token.as.text.size);
    return code;
}

/* ---- numbers -------------------------------------------------------------------------------- */

static enum hd_code decode_uint(struct decoder *decoder, const struct hd_shape *shape,
                                const struct hd_field *field, uint64_t max, uint64_t *ret_number)
{
    struct hd_token token;
    enum hd_code code = next(decoder, &token);
    if (code != HD_OK)
        return code;
    if (token.kind != HD_TOKEN_UINT)
        return fail_type(decoder, shape, field, "a whole number from 0 on");
    if (token.as.uint > max)
        return hd_fail(decoder->err, HD_E_LIMIT, "%s.%s: %llu is more than %llu", shape->name,
                       field->name, (unsigned long long)token.as.uint, (unsigned long long)max);
    *ret_number = token.as.uint;
    return HD_OK;
}

static enum hd_code decode_int(struct decoder *decoder, const struct hd_shape *shape,
                               const struct hd_field *field, int64_t min, int64_t max,
                               int64_t *ret_number)
{
    struct hd_token token;
    enum hd_code code = next(decoder, &token);
    if (code != HD_OK)
        return code;
    if (token.kind != HD_TOKEN_UINT && token.kind != HD_TOKEN_NEGATIVE)
        return fail_type(decoder, shape, field, "a whole number");
    bool fits = token.kind == HD_TOKEN_UINT
                    ? token.as.uint <= INT64_MAX && (int64_t)token.as.uint <= max
                    : token.as.negative >= min;
    if (!fits)
        return hd_fail(decoder->err, HD_E_LIMIT, "%s.%s: not within %lld..%lld", shape->name,
                       field->name, (long long)min, (long long)max);
    *ret_number = token.kind == HD_TOKEN_UINT ? (int64_t)token.as.uint : token.as.negative;
    return HD_OK;
}

static enum hd_code decode_double(struct decoder *decoder, const struct hd_shape *shape,
                                  const struct hd_field *field, double *ret_number)
{
    struct hd_token token;
    enum hd_code code = next(decoder, &token);
    if (code != HD_OK)
        return code;
    if (token.kind == HD_TOKEN_DOUBLE)
        *ret_number = token.as.number;
    else if (token.kind == HD_TOKEN_UINT)
        *ret_number = (double)token.as.uint;
    else if (token.kind == HD_TOKEN_NEGATIVE)
        *ret_number = (double)token.as.negative;
    else
        return fail_type(decoder, shape, field, "a number");
    return HD_OK;
}

static enum hd_code decode_number(struct decoder *decoder, const struct hd_shape *shape,
                                  const struct hd_field *field, void *at)
{
    uint64_t uint = 0;
    int64_t integer = 0;
    bool any = field->max == UINT64_MAX;
    enum hd_code code;
    switch (field->kind) {
    case HD_FIELD_U32:
    case HD_FIELD_ENUM:
        code = decode_uint(decoder, shape, field, field->max, &uint);
        if (code == HD_OK)
            memcpy(at, &(uint32_t){(uint32_t)uint}, sizeof(uint32_t));
        return code;
    case HD_FIELD_U64:
        code = decode_uint(decoder, shape, field, UINT64_MAX, &uint);
        if (code == HD_OK)
            *(uint64_t *)at = uint;
        return code;
    case HD_FIELD_I32:
        code = decode_int(decoder, shape, field, INT32_MIN, INT32_MAX, &integer);
        if (code == HD_OK)
            *(int32_t *)at = (int32_t)integer;
        return code;
    case HD_FIELD_I64:
        code = decode_int(decoder, shape, field, any ? INT64_MIN : 0,
                          any ? INT64_MAX : (int64_t)field->max, &integer);
        if (code == HD_OK)
            *(int64_t *)at = integer;
        return code;
    case HD_FIELD_TEXT:
    case HD_FIELD_ID:
    case HD_FIELD_CHARS:
    case HD_FIELD_BOOL:
    case HD_FIELD_DOUBLE:
    case HD_FIELD_STRUCT:
    case HD_FIELD_LIST:
    case HD_FIELD_INLINE:
    case HD_FIELD_IDS:
    case HD_FIELD_DOUBLES:
        break;
    }
    return HD_E_INVALID;
}

/* ---- containers ------------------------------------------------------------------------------ */

static enum hd_code decode_shape(struct decoder *decoder, const struct hd_shape *shape,
                                 void *object);

static enum hd_code decode_items(struct decoder *decoder, const struct hd_shape *shape,
                                 const struct hd_field *field, char *items, size_t count)
{
    enum hd_code code = HD_OK;
    for (size_t i = 0; i < count && code == HD_OK; i++) {
        if (field->kind == HD_FIELD_IDS)
            code = decode_text(decoder, shape, field, HD_ID_MAX, (const char **)(void *)items + i);
        else if (field->kind == HD_FIELD_DOUBLES)
            code = decode_double(decoder, shape, field, (double *)(void *)items + i);
        else
            code = decode_shape(decoder, field->shape, items + i * field->shape->size);
    }
    return code;
}

static enum hd_code decode_many(struct decoder *decoder, const struct hd_shape *shape,
                                const struct hd_field *field, void *object)
{
    struct hd_token token;
    enum hd_code code = next(decoder, &token);
    if (code != HD_OK)
        return code;
    if (token.kind != HD_TOKEN_ARRAY)
        return fail_type(decoder, shape, field, "a list");
    size_t count = token.as.count;
    if (count > field->max)
        return hd_fail(decoder->err, HD_E_LIMIT, "%s.%s: %zu items, at most %llu allowed",
                       shape->name, field->name, count, (unsigned long long)field->max);
    char *items = member(field, object);
    if (field->kind == HD_FIELD_LIST) {
        items = count > 0 ? hd_arena_alloc(decoder->arena, count * field->shape->size) : NULL;
        if (count > 0 && items == NULL)
            return hd_fail(decoder->err, HD_E_NOMEM, "no memory for %s.%s", shape->name,
                           field->name);
        *(void **)member(field, object) = items;
    }
    code = decode_items(decoder, shape, field, items, count);
    *(size_t *)(void *)((char *)object + field->count_offset) = count;
    return code;
}

static enum hd_code decode_bool(struct decoder *decoder, const struct hd_shape *shape,
                                const struct hd_field *field, bool *ret_boolean)
{
    struct hd_token token;
    enum hd_code code = next(decoder, &token);
    if (code == HD_OK && token.kind != HD_TOKEN_BOOL)
        code = fail_type(decoder, shape, field, "true or false");
    if (code == HD_OK)
        *ret_boolean = token.as.boolean;
    return code;
}

static enum hd_code decode_field(struct decoder *decoder, const struct hd_shape *shape,
                                 const struct hd_field *field, void *object)
{
    void *at = member(field, object);
    switch (field->kind) {
    case HD_FIELD_TEXT:
    case HD_FIELD_ID:
        return decode_text(decoder, shape, field, field->max, at);
    case HD_FIELD_CHARS:
        return decode_chars(decoder, shape, field, at);
    case HD_FIELD_BOOL:
        return decode_bool(decoder, shape, field, at);
    case HD_FIELD_U32:
    case HD_FIELD_U64:
    case HD_FIELD_I32:
    case HD_FIELD_I64:
    case HD_FIELD_ENUM:
        return decode_number(decoder, shape, field, at);
    case HD_FIELD_DOUBLE:
        return decode_double(decoder, shape, field, at);
    case HD_FIELD_STRUCT:
        return decode_shape(decoder, field->shape, at);
    case HD_FIELD_LIST:
    case HD_FIELD_INLINE:
    case HD_FIELD_IDS:
    case HD_FIELD_DOUBLES:
        return decode_many(decoder, shape, field, object);
    }
    return HD_E_INVALID;
}

static enum hd_code skip(struct decoder *decoder)
{
    return hd_cursor_skip(&decoder->cursor) ? HD_OK : fail_broken(decoder);
}

static enum hd_code decode_positional(struct decoder *decoder, const struct hd_shape *shape,
                                      size_t count, void *object)
{
    if (count < shape->field_count)
        return hd_fail(decoder->err, HD_E_INVALID, "%s: %zu items, %zu expected", shape->name,
                       count, shape->field_count);
    enum hd_code code = HD_OK;
    for (size_t i = 0; i < count && code == HD_OK; i++)
        code = i < shape->field_count ? decode_field(decoder, shape, &shape->fields[i], object)
                                      : skip(decoder);
    return code;
}

static bool key_is(const struct hd_token *token, const char *key)
{
    return token->kind == HD_TOKEN_TEXT && token->as.text.size == strlen(key) &&
           memcmp(token->as.text.data, key, token->as.text.size) == 0;
}

/* *from: where the field after the last one stands in the table: the encoder writes them in order.
 */
static enum hd_code decode_pair(struct decoder *decoder, const struct hd_shape *shape, void *object,
                                uint64_t *seen, size_t *from)
{
    /* A key may be anything, a container even: what is no text of ours is stepped over whole. */
    struct hd_cursor before = decoder->cursor;
    struct hd_token key;
    enum hd_code code = next(decoder, &key);
    if (code != HD_OK)
        return code;
    for (size_t n = 0, i = *from; n < shape->field_count; n++, i++) {
        i = i < shape->field_count ? i : 0;
        if (!key_is(&key, shape->fields[i].key))
            continue;
        if ((*seen >> i & 1) != 0)
            return hd_fail(decoder->err, HD_E_INVALID, "%s.%s: given twice", shape->name,
                           shape->fields[i].name);
        *seen |= UINT64_C(1) << i;
        *from = i + 1;
        return decode_field(decoder, shape, &shape->fields[i], object);
    }
    decoder->cursor = before;
    code = skip(decoder);
    return code == HD_OK ? skip(decoder) : code;
}

static enum hd_code decode_map(struct decoder *decoder, const struct hd_shape *shape, size_t count,
                               void *object)
{
    uint64_t seen = 0;
    size_t from = 0;
    enum hd_code code = HD_OK;
    for (size_t i = 0; i < count && code == HD_OK; i++)
        code = decode_pair(decoder, shape, object, &seen, &from);
    for (size_t i = 0; i < shape->field_count && code == HD_OK; i++)
        if (shape->fields[i].required && (seen >> i & 1) == 0)
            code = hd_fail(decoder->err, HD_E_INVALID, "%s.%s: missing", shape->name,
                           shape->fields[i].name);
    return code;
}

static enum hd_code decode_shape(struct decoder *decoder, const struct hd_shape *shape,
                                 void *object)
{
    hd_assert(shape->field_count <= 64);
    set_defaults(shape, object);
    struct hd_token token;
    enum hd_code code = next(decoder, &token);
    if (code != HD_OK)
        return code;
    if (token.kind != (shape->positional ? HD_TOKEN_ARRAY : HD_TOKEN_MAP))
        return hd_fail(decoder->err, HD_E_INVALID, "%s: a %s expected", shape->name,
                       shape->positional ? "list" : "map");
    return shape->positional ? decode_positional(decoder, shape, token.as.count, object)
                             : decode_map(decoder, shape, token.as.count, object);
}

/* ---- the header ------------------------------------------------------------------------------ */

static const char *message_kind_name(uint64_t kind)
{
    static const char *const names[] = {"a request to a master", "a reply of a master",
                                        "a request to a nameserver", "a reply of a nameserver"};
    return kind < HD_COUNT(names) ? names[kind] : "an unknown message";
}

static enum hd_code check_header(const struct hd_message_form *form, const struct hd_token *version,
                                 const struct hd_token *kind, struct hd_err *err)
{
    if (version->kind != HD_TOKEN_UINT)
        return hd_fail(err, HD_E_INVALID, "not a message of Hyperdock: no protocol version");
    if (version->as.uint != HD_PROTOCOL_VERSION)
        return hd_fail(err, HD_E_VERSION,
                       "the peer speaks protocol version %llu, this program speaks %d: install "
                       "the same Hyperdock on both sides",
                       (unsigned long long)version->as.uint, HD_PROTOCOL_VERSION);
    if (kind->kind != HD_TOKEN_UINT || kind->as.uint != (uint64_t)form->kind)
        return hd_fail(err, HD_E_INVALID, "%s came where %s was expected: is the address right?",
                       message_kind_name(kind->kind == HD_TOKEN_UINT ? kind->as.uint : UINT64_MAX),
                       message_kind_name((uint64_t)form->kind));
    return HD_OK;
}

/* Looks at "v" and "m" first, wherever they stand: a message of another version may differ in
 * everything else. */
static enum hd_code read_header(const struct hd_message_form *form, struct hd_cursor cursor,
                                struct hd_err *err)
{
    struct hd_token map, key, version = {.kind = HD_TOKEN_NIL}, kind = {.kind = HD_TOKEN_NIL};
    if (!hd_cursor_next(&cursor, &map) || map.kind != HD_TOKEN_MAP)
        return hd_fail(err, HD_E_INVALID, "not a message of Hyperdock: no map");
    for (uint32_t i = 0; i < map.as.count; i++) {
        struct hd_cursor before = cursor;
        if (!hd_cursor_next(&cursor, &key))
            break;
        struct hd_cursor value = cursor;
        if (key_is(&key, "v") && !hd_cursor_next(&value, &version))
            break;
        if (key_is(&key, "m") && !hd_cursor_next(&value, &kind))
            break;
        cursor = before;
        if (!hd_cursor_skip(&cursor) || !hd_cursor_skip(&cursor))
            break;
    }
    return check_header(form, &version, &kind, err);
}

enum hd_code hd_shape_decode(const struct hd_message_form *form, const void *bytes, size_t size,
                             struct hd_arena *arena, void *ret_object, struct hd_err *err)
{
    enum hd_code code = hd_wire_scan(bytes, size, err);
    if (code != HD_OK)
        return code;
    const uint8_t *start = bytes;
    struct decoder decoder = {
        .cursor = {.at = start, .end = start + size}, .arena = arena, .err = err};
    code = read_header(form, decoder.cursor, err);
    return code == HD_OK ? decode_shape(&decoder, form->shape, ret_object) : code;
}
