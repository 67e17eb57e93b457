/* SPDX-License-Identifier: Apache-2.0 */
/* encode.c: structs to msgpack by their tables. Limits are checked here too: an error before
 * sending is clearer than a refusal by the peer. */
#include "shape.h"

#include <hd/message.h>
#include <math.h>
#include <msgpack.h>
#include <string.h>

#define ROOM_USUAL                                                                                 \
    384 /* bytes that most messages have at least: taken at once, not in many steps */

struct sink {
    struct hd_buf *out;
    struct hd_err *err;
};

static int sink_write(void *data, const char *bytes, size_t size)
{
    struct sink *sink = data;
    return hd_buf_append(sink->out, bytes, size, sink->err) == HD_OK ? 0 : -1;
}

struct encoder {
    msgpack_packer packer;
    struct sink sink;
    bool failed; /* the sink refused; its error stands in sink.err */
};

/* ---- reading members ------------------------------------------------------------------------ */

static const void *member(const struct hd_field *field, const void *object)
{
    return (const char *)object + field->offset;
}

static size_t count_of(const struct hd_field *field, const void *object)
{
    return *(const size_t *)(const void *)((const char *)object + field->count_offset);
}

static const char *text_of(const struct hd_field *field, const void *object)
{
    if (field->kind == HD_FIELD_CHARS)
        return member(field, object);
    const char *text = *(const char *const *)member(field, object);
    return text != NULL ? text : "";
}

static uint32_t enum_of(const struct hd_field *field, const void *object)
{
    uint32_t number; /* an enum of ours is an unsigned int for gcc and clang */
    memcpy(&number, member(field, object), sizeof(number));
    return number;
}

static bool shape_is_default(const struct hd_shape *shape, const void *object);

static bool field_is_default(const struct hd_field *field, const void *object)
{
    const void *at = member(field, object);
    switch (field->kind) {
    case HD_FIELD_TEXT:
    case HD_FIELD_ID:
    case HD_FIELD_CHARS:
        return text_of(field, object)[0] == '\0';
    case HD_FIELD_BOOL:
        return !*(const bool *)at;
    case HD_FIELD_U32:
        return *(const uint32_t *)at == 0;
    case HD_FIELD_U64:
        return *(const uint64_t *)at == 0;
    case HD_FIELD_I32:
        return *(const int32_t *)at == 0;
    case HD_FIELD_I64:
        return *(const int64_t *)at == 0;
    case HD_FIELD_DOUBLE:
        return isnan(*(const double *)at);
    case HD_FIELD_ENUM:
        return enum_of(field, object) == 0;
    case HD_FIELD_STRUCT:
        return shape_is_default(field->shape, at);
    case HD_FIELD_LIST:
    case HD_FIELD_INLINE:
    case HD_FIELD_IDS:
    case HD_FIELD_DOUBLES:
        return count_of(field, object) == 0;
    }
    return false;
}

/* A struct nobody filled may hold 0 where the default is NaN: it counts as default when all else
 * is, so that requests of other kinds do not carry an empty result. */
static bool shape_is_default(const struct hd_shape *shape, const void *object)
{
    for (size_t i = 0; i < shape->field_count; i++) {
        const struct hd_field *field = &shape->fields[i];
        bool zero = field->kind == HD_FIELD_DOUBLE && *(const double *)member(field, object) == 0;
        if (!zero && !field_is_default(field, object))
            return false;
    }
    return true;
}

/* ---- writing -------------------------------------------------------------------------------- */

static enum hd_code fail_field(const struct hd_field *field, const struct hd_shape *shape,
                               struct hd_err *err, const char *what, uint64_t number)
{
    return hd_fail(err, HD_E_LIMIT, "%s.%s: %s %llu, at most %llu allowed", shape->name,
                   field->name, what, (unsigned long long)number, (unsigned long long)field->max);
}

static void put_text(struct encoder *encoder, const char *text, size_t size)
{
    encoder->failed |= msgpack_pack_str(&encoder->packer, size) != 0 ||
                       (size > 0 && msgpack_pack_str_body(&encoder->packer, text, size) != 0);
}

static enum hd_code encode_text(struct encoder *encoder, const struct hd_shape *shape,
                                const struct hd_field *field, const char *text, uint64_t size_max)
{
    size_t size = strnlen(text, (size_t)size_max + 1);
    if (size > size_max)
        return hd_fail(encoder->sink.err, HD_E_LIMIT, "%s.%s: longer than %llu bytes", shape->name,
                       field->name, (unsigned long long)size_max);
    if (size > 0 && (field->kind == HD_FIELD_ID || field->kind == HD_FIELD_IDS)) {
        enum hd_code code = hd_check_id(field->name, text, encoder->sink.err);
        if (code != HD_OK)
            return code;
    }
    put_text(encoder, text, size);
    return HD_OK;
}

static enum hd_code encode_shape(struct encoder *encoder, const struct hd_shape *shape,
                                 const void *object, size_t header_count);

static enum hd_code encode_many(struct encoder *encoder, const struct hd_shape *shape,
                                const struct hd_field *field, const void *object)
{
    size_t count = count_of(field, object);
    if (count > field->max)
        return fail_field(field, shape, encoder->sink.err, "count", count);
    encoder->failed |= msgpack_pack_array(&encoder->packer, count) != 0;
    const char *items = field->kind == HD_FIELD_LIST ? *(const char *const *)member(field, object)
                                                     : member(field, object);
    enum hd_code code = HD_OK;
    for (size_t i = 0; i < count && code == HD_OK; i++) {
        if (field->kind == HD_FIELD_IDS) {
            const char *text = ((const char *const *)(const void *)items)[i];
            code = encode_text(encoder, shape, field, text != NULL ? text : "", HD_ID_MAX);
        } else if (field->kind == HD_FIELD_DOUBLES) {
            double number = ((const double *)(const void *)items)[i];
            encoder->failed |= msgpack_pack_double(&encoder->packer, number) != 0;
        } else {
            code = encode_shape(encoder, field->shape, items + i * field->shape->size, 0);
        }
    }
    return code;
}

static enum hd_code encode_i64(struct encoder *encoder, const struct hd_shape *shape,
                               const struct hd_field *field, int64_t number)
{
    if (field->max != UINT64_MAX && (number < 0 || (uint64_t)number > field->max))
        return hd_fail(encoder->sink.err, HD_E_LIMIT, "%s.%s: %lld is not within 0..%llu",
                       shape->name, field->name, (long long)number, (unsigned long long)field->max);
    encoder->failed |= msgpack_pack_int64(&encoder->packer, number) != 0;
    return HD_OK;
}

static enum hd_code encode_field(struct encoder *encoder, const struct hd_shape *shape,
                                 const struct hd_field *field, const void *object)
{
    const void *at = member(field, object);
    msgpack_packer *packer = &encoder->packer;
    switch (field->kind) {
    case HD_FIELD_TEXT:
    case HD_FIELD_ID:
    case HD_FIELD_CHARS:
        return encode_text(encoder, shape, field, text_of(field, object), field->max);
    case HD_FIELD_BOOL:
        encoder->failed |=
            (*(const bool *)at ? msgpack_pack_true(packer) : msgpack_pack_false(packer)) != 0;
        return HD_OK;
    case HD_FIELD_U32:
        encoder->failed |= msgpack_pack_uint32(packer, *(const uint32_t *)at) != 0;
        return HD_OK;
    case HD_FIELD_U64:
        encoder->failed |= msgpack_pack_uint64(packer, *(const uint64_t *)at) != 0;
        return HD_OK;
    case HD_FIELD_I32:
        encoder->failed |= msgpack_pack_int32(packer, *(const int32_t *)at) != 0;
        return HD_OK;
    case HD_FIELD_I64:
        return encode_i64(encoder, shape, field, *(const int64_t *)at);
    case HD_FIELD_DOUBLE:
        encoder->failed |= msgpack_pack_double(packer, *(const double *)at) != 0;
        return HD_OK;
    case HD_FIELD_ENUM:
        if (enum_of(field, object) > field->max)
            return fail_field(field, shape, encoder->sink.err, "number", enum_of(field, object));
        encoder->failed |= msgpack_pack_uint32(packer, enum_of(field, object)) != 0;
        return HD_OK;
    case HD_FIELD_STRUCT:
        return encode_shape(encoder, field->shape, at, 0);
    case HD_FIELD_LIST:
    case HD_FIELD_INLINE:
    case HD_FIELD_IDS:
    case HD_FIELD_DOUBLES:
        return encode_many(encoder, shape, field, object);
    }
    return HD_E_INVALID;
}

static bool is_written(const struct hd_shape *shape, const struct hd_field *field,
                       const void *object)
{
    return shape->positional || field->required || !field_is_default(field, object);
}

static void encode_header(struct encoder *encoder, enum hd_message_kind kind)
{
    put_text(encoder, "v", 1);
    encoder->failed |= msgpack_pack_uint32(&encoder->packer, HD_PROTOCOL_VERSION) != 0;
    put_text(encoder, "m", 1);
    encoder->failed |= msgpack_pack_uint32(&encoder->packer, (uint32_t)kind) != 0;
}

static enum hd_code encode_fields(struct encoder *encoder, const struct hd_shape *shape,
                                  const void *object)
{
    enum hd_code code = HD_OK;
    for (size_t i = 0; i < shape->field_count && code == HD_OK && !encoder->failed; i++) {
        const struct hd_field *field = &shape->fields[i];
        if (!is_written(shape, field, object))
            continue;
        if (!shape->positional)
            put_text(encoder, field->key, strlen(field->key));
        code = encode_field(encoder, shape, field, object);
    }
    return code;
}

/* Opens the container, with room for header_count pairs that the caller writes first. */
static void open_shape(struct encoder *encoder, const struct hd_shape *shape, const void *object,
                       size_t header_count)
{
    size_t count = header_count;
    for (size_t i = 0; i < shape->field_count; i++)
        if (is_written(shape, &shape->fields[i], object))
            count++;
    encoder->failed |= (shape->positional ? msgpack_pack_array(&encoder->packer, count)
                                          : msgpack_pack_map(&encoder->packer, count)) != 0;
}

static enum hd_code encode_shape(struct encoder *encoder, const struct hd_shape *shape,
                                 const void *object, size_t header_count)
{
    open_shape(encoder, shape, object, header_count);
    return encode_fields(encoder, shape, object);
}

enum hd_code hd_shape_encode(const struct hd_message_form *form, const void *object,
                             struct hd_buf *out, struct hd_err *err)
{
    struct hd_err own;
    size_t size_before = out->size, left = out->size_max - out->size;
    enum hd_code code = hd_buf_reserve(out, left < ROOM_USUAL ? left : ROOM_USUAL, err);
    if (code != HD_OK)
        return code;
    struct encoder encoder = {.sink = {.out = out, .err = &own}};
    msgpack_packer_init(&encoder.packer, &encoder.sink, sink_write);
    open_shape(&encoder, form->shape, object, 2);
    encode_header(&encoder, form->kind);
    code = encode_fields(&encoder, form->shape, object);
    if (code == HD_OK && encoder.failed)
        code = own.code;
    if (code == HD_OK && out->size - size_before > HD_MESSAGE_BYTES_MAX)
        code = hd_fail(&own, HD_E_LIMIT, "the %s has %zu bytes, at most %u are allowed",
                       form->shape->name, out->size - size_before, HD_MESSAGE_BYTES_MAX);
    if (code == HD_OK)
        return HD_OK;
    out->size = size_before;
    if (out->data != NULL)
        out->data[size_before] = '\0';
    return hd_fail(err, code, "%s", own.text);
}
