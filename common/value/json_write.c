/* SPDX-License-Identifier: Apache-2.0 */
/* json_write.c: JSON text of a tree. */
#include "tree.h"

#include <stdlib.h>
#include <string.h>

struct writer {
    enum hd_json_style style;
    struct hd_buf *out;
    struct hd_err *err;
};

static enum hd_code write_value(const struct writer *writer, const struct hd_value *value,
                                int depth);

/* Characters that JSON may hold as they are, that end a line in YAML or may not stand there, and
 * that no terminal should be shown: DEL and the controls beyond ASCII, the separators of lines and
 * paragraphs, the mark of byte order, and the two that are no characters. 0: another one. */
static unsigned control_at(const unsigned char *text, size_t step)
{
    if (step == 1)
        return text[0] == 0x7f ? 0x7f : 0;
    if (step == 2)
        return text[0] == 0xc2 && text[1] < 0xa0 ? text[1] : 0;
    if (step != 3)
        return 0;
    unsigned point = (text[0] & 0xfu) << 12 | (text[1] & 0x3fu) << 6 | (text[2] & 0x3fu);
    bool wild = point == 0x2028 || point == 0x2029 || point == 0xfeff || point >= 0xfffe;
    return wild ? point : 0;
}

/* How many bytes from text on can be copied as they are. */
static size_t plain_size(const char *text, size_t size)
{
    size_t at = 0;
    while (at < size) {
        unsigned char byte = (unsigned char)text[at];
        size_t step = hd_utf8_size(text + at, size - at);
        if (byte < 0x20 || byte == '"' || byte == '\\' || step == 0 ||
            control_at((const unsigned char *)text + at, step) != 0)
            break;
        at += step;
    }
    return at;
}

/* Of what plain_size() stopped at; *at moves behind it. */
static enum hd_code write_escape(const char *text, size_t size, size_t *at, struct hd_buf *out,
                                 struct hd_err *err)
{
    unsigned char byte = (unsigned char)text[*at];
    size_t step = hd_utf8_size(text + *at, size - *at);
    unsigned control = control_at((const unsigned char *)text + *at, step);
    *at += control != 0 ? step : 1;
    if (control != 0)
        return hd_buf_printf(out, err, "\\u%04x", control);
    switch (byte) {
    case '"':
        return hd_buf_puts(out, "\\\"", err);
    case '\\':
        return hd_buf_puts(out, "\\\\", err);
    case '\n':
        return hd_buf_puts(out, "\\n", err);
    case '\r':
        return hd_buf_puts(out, "\\r", err);
    case '\t':
        return hd_buf_puts(out, "\\t", err);
    default:
        break;
    }
    if (byte < 0x20)
        return hd_buf_printf(out, err, "\\u%04x", byte);
    return hd_buf_puts(out, "\\ufffd", err); /* not UTF-8 */
}

enum hd_code hd_json_write_string(const char *text, struct hd_buf *out, struct hd_err *err)
{
    size_t size = strlen(text), at = 0;
    enum hd_code code = hd_buf_append(out, "\"", 1, err);
    while (code == HD_OK && at < size) {
        size_t plain = plain_size(text + at, size - at);
        code = hd_buf_append(out, text + at, plain, err);
        at += plain;
        if (code == HD_OK && at < size)
            code = write_escape(text, size, &at, out, err);
    }
    return code == HD_OK ? hd_buf_append(out, "\"", 1, err) : code;
}

/* A whole double keeps a fraction, so that it is read back as a double. */
static enum hd_code write_double(const struct writer *writer, double number)
{
    char text[HD_DOUBLE_TEXT_SIZE];
    hd_format_double(text, sizeof(text), number);
    enum hd_code code = hd_buf_puts(writer->out, text, writer->err);
    if (code == HD_OK && strspn(text, "-0123456789") == strlen(text))
        code = hd_buf_puts(writer->out, ".0", writer->err);
    return code;
}

static enum hd_code write_break(const struct writer *writer, int depth)
{
    if (writer->style != HD_JSON_PRETTY)
        return HD_OK;
    return hd_buf_printf(writer->out, writer->err, "\n%*s", depth * 2, "");
}

static enum hd_code write_array(const struct writer *writer, const struct hd_value *value,
                                int depth)
{
    enum hd_code code = hd_buf_puts(writer->out, "[", writer->err);
    for (size_t i = 0; code == HD_OK && i < value->as.array.count; i++) {
        if (i > 0)
            code = hd_buf_puts(writer->out, ",", writer->err);
        if (code == HD_OK)
            code = write_break(writer, depth + 1);
        if (code == HD_OK)
            code = write_value(writer, value->as.array.items[i], depth + 1);
    }
    if (code == HD_OK && value->as.array.count > 0)
        code = write_break(writer, depth);
    return code == HD_OK ? hd_buf_puts(writer->out, "]", writer->err) : code;
}

struct member {
    const char *key;
    const struct hd_value *item;
};

static int compare_members(const void *left, const void *right)
{
    const struct member *a = left, *b = right;
    return strcmp(a->key, b->key);
}

static enum hd_code write_members(const struct writer *writer, const struct member *members,
                                  size_t count, int depth)
{
    enum hd_code code = hd_buf_puts(writer->out, "{", writer->err);
    for (size_t i = 0; code == HD_OK && i < count; i++) {
        if (i > 0)
            code = hd_buf_puts(writer->out, ",", writer->err);
        if (code == HD_OK)
            code = write_break(writer, depth + 1);
        if (code == HD_OK)
            code = hd_json_write_string(members[i].key, writer->out, writer->err);
        if (code == HD_OK)
            code =
                hd_buf_puts(writer->out, writer->style == HD_JSON_PRETTY ? ": " : ":", writer->err);
        if (code == HD_OK)
            code = write_value(writer, members[i].item, depth + 1);
    }
    if (code == HD_OK && count > 0)
        code = write_break(writer, depth);
    return code == HD_OK ? hd_buf_puts(writer->out, "}", writer->err) : code;
}

static enum hd_code write_object(const struct writer *writer, const struct hd_value *value,
                                 int depth)
{
    size_t count = value->as.object.count;
    struct member *members = hd_calloc(count, sizeof(*members));
    if (members == NULL)
        return hd_fail(writer->err, HD_E_NOMEM, "no memory to write JSON");
    for (size_t i = 0; i < count; i++)
        members[i] = (struct member){value->as.object.keys[i], value->as.object.items[i]};
    if (writer->style == HD_JSON_CANONICAL)
        qsort(members, count, sizeof(*members), compare_members);
    enum hd_code code = write_members(writer, members, count, depth);
    hd_free(members);
    return code;
}

static enum hd_code write_value(const struct writer *writer, const struct hd_value *value,
                                int depth)
{
    switch (value->kind) {
    case HD_VALUE_NULL:
        return hd_buf_puts(writer->out, "null", writer->err);
    case HD_VALUE_BOOL:
        return hd_buf_puts(writer->out, value->as.boolean ? "true" : "false", writer->err);
    case HD_VALUE_INT:
        return hd_buf_printf(writer->out, writer->err, "%lld", (long long)value->as.integer);
    case HD_VALUE_DOUBLE:
        return write_double(writer, value->as.number);
    case HD_VALUE_STRING:
        return hd_json_write_string(value->as.string, writer->out, writer->err);
    case HD_VALUE_ARRAY:
        return write_array(writer, value, depth);
    case HD_VALUE_OBJECT:
        return write_object(writer, value, depth);
    }
    return hd_fail(writer->err, HD_E_INVALID, "a value of no kind");
}

enum hd_code hd_json_write(const struct hd_value *value, enum hd_json_style style,
                           struct hd_buf *out, struct hd_err *err)
{
    struct writer writer = {.style = style, .out = out, .err = err};
    size_t size = out->size;
    enum hd_code code = write_value(&writer, value, 0);
    if (code != HD_OK && out->data != NULL) {
        out->size = size; /* nothing, rather than half a text */
        out->data[size] = '\0';
    }
    return code;
}
