/* SPDX-License-Identifier: Apache-2.0 */
/*
 * json_read.c: a bounded reader of JSON (RFC 8259) plus NaN, Infinity, -Infinity, Inf, -Inf.
 * Why it is ours: docs/adr/0001-json-reader.md. The recursion is bounded by depth_max.
 */
#include "tree.h"

#include <math.h>
#include <string.h>

struct reader {
    const char *text;
    size_t size;
    size_t at;
    int line;
    size_t line_start;
    const char *name;
    const struct hd_value_limits *limits;
    size_t node_count;
    struct hd_buf scratch; /* the string being read */
    struct hd_err *err;
};

static enum hd_code read_value(struct reader *reader, int depth, struct hd_value **ret_value);

static int column(const struct reader *reader)
{
    return (int)(reader->at - reader->line_start) + 1;
}

static enum hd_code fail_here(const struct reader *reader, enum hd_code code, const char *what)
{
    return hd_fail(reader->err, code, "%s:%d:%d: %s", reader->name, reader->line, column(reader),
                   what);
}

static enum hd_code fail_nomem(const struct reader *reader)
{
    return hd_fail(reader->err, HD_E_NOMEM, "%s: no memory to read it", reader->name);
}

static bool at_end(const struct reader *reader)
{
    return reader->at == reader->size;
}

/* The next byte, or NUL at the end (a NUL in the text is no legal byte anywhere). */
static char peek(const struct reader *reader)
{
    return at_end(reader) ? '\0' : reader->text[reader->at];
}

static void skip_space(struct reader *reader)
{
    for (;; reader->at++) {
        char c = peek(reader);
        if (c == '\n') {
            reader->line++;
            reader->line_start = reader->at + 1;
        } else if (c != ' ' && c != '\t' && c != '\r') {
            return;
        }
    }
}

static enum hd_code fail_unexpected(const struct reader *reader, const char *wanted)
{
    if (at_end(reader))
        return hd_fail(reader->err, HD_E_INVALID, "%s:%d:%d: the text ends, expected %s",
                       reader->name, reader->line, column(reader), wanted);
    unsigned char c = (unsigned char)peek(reader);
    if (c > 0x20 && c < 0x7f)
        return hd_fail(reader->err, HD_E_INVALID, "%s:%d:%d: unexpected '%c', expected %s",
                       reader->name, reader->line, column(reader), c, wanted);
    return hd_fail(reader->err, HD_E_INVALID, "%s:%d:%d: unexpected byte 0x%02x, expected %s",
                   reader->name, reader->line, column(reader), c, wanted);
}

/* ---- strings ---- */

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

/* Four hexadecimal digits. */
static bool read_unit(struct reader *reader, uint32_t *ret_unit)
{
    uint32_t unit = 0;
    if (reader->size - reader->at < 4)
        return false;
    for (int i = 0; i < 4; i++) {
        int digit = hex_digit(reader->text[reader->at]);
        if (digit < 0)
            return false;
        unit = unit * 16 + (uint32_t)digit;
        reader->at++;
    }
    *ret_unit = unit;
    return true;
}

/* After "\u": one character, of two units when it is beyond the basic plane. */
static enum hd_code read_unicode(struct reader *reader)
{
    uint32_t unit, low = 0;
    if (!read_unit(reader, &unit))
        return fail_unexpected(reader, "four hexadecimal digits after \\u");
    if (unit == 0)
        return fail_here(reader, HD_E_INVALID, "a string must not hold \\u0000");
    if (unit >= 0xd800 && unit <= 0xdfff) {
        bool pair = unit < 0xdc00 && reader->size - reader->at >= 2 && peek(reader) == '\\' &&
                    reader->text[reader->at + 1] == 'u';
        if (pair)
            reader->at += 2;
        if (!pair || !read_unit(reader, &low) || low < 0xdc00 || low > 0xdfff)
            return fail_here(reader, HD_E_INVALID, "half of a surrogate pair");
        unit = 0x10000 + ((unit - 0xd800) << 10) + (low - 0xdc00);
    }
    char bytes[4];
    return hd_buf_append(&reader->scratch, bytes, hd_utf8_encode(unit, bytes), reader->err);
}

static enum hd_code read_escape(struct reader *reader)
{
    static const char names[] = "\"\\/bfnrt", characters[] = "\"\\/\b\f\n\r\t";
    reader->at++; /* the backslash */
    char c = peek(reader);
    const char *found = c != '\0' ? strchr(names, c) : NULL;
    if (c != 'u' && found == NULL)
        return fail_unexpected(reader, "one of \" \\ / b f n r t u after a backslash");
    reader->at++;
    if (c == 'u')
        return read_unicode(reader);
    return hd_buf_append(&reader->scratch, &characters[found - names], 1, reader->err);
}

/* How many bytes from here on are ASCII that stands for itself. */
static size_t plain_size(const struct reader *reader)
{
    size_t end = reader->at;
    for (; end < reader->size; end++) {
        unsigned char c = (unsigned char)reader->text[end];
        if (c < 0x20 || c >= 0x80 || c == '"' || c == '\\')
            break;
    }
    return end - reader->at;
}

/* Leaves the decoded text in scratch. */
static enum hd_code read_text(struct reader *reader)
{
    hd_buf_clear(&reader->scratch);
    reader->at++; /* the quote */
    enum hd_code code = HD_OK;
    while (code == HD_OK) {
        unsigned char c = (unsigned char)peek(reader);
        if (c == '"') {
            reader->at++;
            return HD_OK;
        }
        if (c == '\\') {
            code = read_escape(reader);
            continue;
        }
        if (at_end(reader))
            return fail_here(reader, HD_E_INVALID, "the text ends within a string");
        if (c < 0x20)
            return fail_here(reader, HD_E_INVALID, "a control character within a string");
        size_t size = plain_size(reader);
        if (size == 0)
            size = hd_utf8_size(reader->text + reader->at, reader->size - reader->at);
        if (size == 0)
            return fail_here(reader, HD_E_INVALID, "a string is not UTF-8");
        code = hd_buf_append(&reader->scratch, reader->text + reader->at, size, reader->err);
        reader->at += size;
    }
    return code;
}

/* ---- numbers and words ---- */

static bool number_char(char c)
{
    return (c >= '0' && c <= '9') || c == '-' || c == '+' || c == '.' || c == 'e' || c == 'E';
}

/* JSON's grammar is narrower than hd_parse_double's: no leading zero, no bare point, no plus. */
static bool json_number(const char *text, bool *ret_integer)
{
    const char *at = text + (text[0] == '-' ? 1 : 0);
    size_t whole = strspn(at, "0123456789");
    if (whole == 0 || (whole > 1 && at[0] == '0'))
        return false;
    at += whole;
    *ret_integer = *at == '\0';
    if (*at == '.') {
        size_t fraction = strspn(++at, "0123456789");
        if (fraction == 0)
            return false;
        at += fraction;
    }
    return *at == '\0' || *at == 'e' || *at == 'E';
}

static enum hd_code read_number(struct reader *reader, struct hd_value **ret_value)
{
    char text[HD_NUMBER_TEXT_MAX];
    size_t size = 0;
    while (size < reader->size - reader->at && number_char(reader->text[reader->at + size]))
        size++;
    if (size >= sizeof(text))
        return fail_here(reader, HD_E_LIMIT, "a number of more than 1023 characters");
    memcpy(text, reader->text + reader->at, size);
    text[size] = '\0';
    bool integer = false;
    int64_t whole;
    double number;
    if (!json_number(text, &integer) || !hd_parse_double(text, &number))
        return hd_fail(reader->err, HD_E_INVALID, "%s:%d:%d: \"%.40s\" is not a number",
                       reader->name, reader->line, column(reader), text);
    reader->at += size;
    /* Minus zero has no integer, and what does not fit is a double. */
    if (integer && hd_parse_i64(text, &whole) && !(whole == 0 && text[0] == '-'))
        *ret_value = hd_value_new_int(whole);
    else
        *ret_value = hd_value_new_double(number);
    return *ret_value != NULL ? HD_OK : fail_nomem(reader);
}

static struct hd_value *new_word(size_t index)
{
    switch (index) {
    case 0:
        return hd_value_new_null();
    case 1:
    case 2:
        return hd_value_new_bool(index == 1);
    case 3:
        return hd_value_new_double(NAN);
    case 4:
    case 5:
        return hd_value_new_double(INFINITY);
    default:
        return hd_value_new_double(-INFINITY);
    }
}

static enum hd_code read_word(struct reader *reader, struct hd_value **ret_value)
{
    static const char *const words[] = {"null",     "true", "false",     "NaN",
                                        "Infinity", "Inf",  "-Infinity", "-Inf"};
    const char *text = reader->text + reader->at;
    size_t left = reader->size - reader->at, size = 0;
    while (size < left &&
           ((text[size] >= 'a' && text[size] <= 'z') || (text[size] >= 'A' && text[size] <= 'Z') ||
            (size == 0 && text[size] == '-')))
        size++;
    for (size_t i = 0; i < HD_COUNT(words); i++)
        if (strlen(words[i]) == size && memcmp(words[i], text, size) == 0) {
            reader->at += size;
            *ret_value = new_word(i);
            return *ret_value != NULL ? HD_OK : fail_nomem(reader);
        }
    return fail_unexpected(reader, "a value");
}

static enum hd_code read_string(struct reader *reader, struct hd_value **ret_value)
{
    enum hd_code code = read_text(reader);
    if (code != HD_OK)
        return code;
    *ret_value = hd_value_new_string(hd_buf_text(&reader->scratch));
    return *ret_value != NULL ? HD_OK : fail_nomem(reader);
}

/* ---- lists and maps ---- */

/* After an item: true when another follows, false at the closing bracket (both are passed). */
static enum hd_code read_separator(struct reader *reader, char closing, bool *ret_more)
{
    skip_space(reader);
    char c = peek(reader);
    if (c != ',' && c != closing)
        return fail_unexpected(reader, closing == ']' ? "',' or ']'" : "',' or '}'");
    reader->at++;
    *ret_more = c == ',';
    return HD_OK;
}

/* True, and passed, when the bracket closes at once. */
static bool read_empty(struct reader *reader, char closing)
{
    reader->at++; /* the opening bracket */
    skip_space(reader);
    if (peek(reader) != closing)
        return false;
    reader->at++;
    return true;
}

static enum hd_code read_items(struct reader *reader, int depth, struct hd_value *array)
{
    bool more = !read_empty(reader, ']');
    while (more) {
        struct hd_value *item;
        enum hd_code code = read_value(reader, depth + 1, &item);
        if (code != HD_OK)
            return code;
        if (hd_value_append(array, item) != HD_OK)
            return fail_nomem(reader);
        code = read_separator(reader, ']', &more);
        if (code != HD_OK)
            return code;
    }
    return HD_OK;
}

/* The key becomes the caller's. */
static enum hd_code read_key(struct reader *reader, char **ret_key)
{
    if (peek(reader) != '"')
        return fail_unexpected(reader, "a key in quotes");
    enum hd_code code = read_text(reader);
    if (code != HD_OK)
        return code;
    skip_space(reader);
    if (peek(reader) != ':')
        return fail_unexpected(reader, "':' after a key");
    reader->at++;
    *ret_key = hd_strdup(hd_buf_text(&reader->scratch));
    return *ret_key != NULL ? HD_OK : fail_nomem(reader);
}

static enum hd_code read_member(struct reader *reader, int depth, struct hd_value *object)
{
    skip_space(reader);
    int key_line = reader->line, key_column = column(reader);
    char *key;
    enum hd_code code = read_key(reader, &key);
    if (code != HD_OK)
        return code;
    struct hd_value *item;
    code = read_value(reader, depth + 1, &item);
    if (code == HD_OK) {
        item->line = key_line;
        item->column = key_column;
        if (hd_tree_add(object, key, item) != HD_OK)
            code = fail_nomem(reader);
    }
    hd_free(key);
    return code;
}

static enum hd_code check_keys(struct reader *reader, const struct hd_value *object)
{
    const char *key;
    const struct hd_value *item = NULL;
    if (hd_tree_duplicate(object, &key, &item) != HD_OK)
        return fail_nomem(reader);
    if (key != NULL)
        return hd_fail(reader->err, HD_E_INVALID, "%s:%d:%d: the key \"%.80s\" appears twice",
                       reader->name, item->line, item->column, key);
    return HD_OK;
}

static enum hd_code read_members(struct reader *reader, int depth, struct hd_value *object)
{
    bool more = !read_empty(reader, '}');
    while (more) {
        enum hd_code code = read_member(reader, depth, object);
        if (code == HD_OK)
            code = read_separator(reader, '}', &more);
        if (code != HD_OK)
            return code;
    }
    return check_keys(reader, object);
}

static enum hd_code read_container(struct reader *reader, int depth, struct hd_value **ret_value)
{
    if (depth >= reader->limits->depth_max)
        return fail_here(reader, HD_E_LIMIT, "nested too deeply");
    bool is_array = peek(reader) == '[';
    struct hd_value *value = is_array ? hd_value_new_array() : hd_value_new_object();
    if (value == NULL)
        return fail_nomem(reader);
    enum hd_code code =
        is_array ? read_items(reader, depth, value) : read_members(reader, depth, value);
    if (code != HD_OK) {
        hd_value_free(value);
        return code;
    }
    *ret_value = value;
    return HD_OK;
}

static enum hd_code read_kind(struct reader *reader, int depth, struct hd_value **ret_value)
{
    char c = peek(reader);
    if (c == '{' || c == '[')
        return read_container(reader, depth, ret_value);
    if (c == '"')
        return read_string(reader, ret_value);
    bool minus_word =
        c == '-' && reader->size - reader->at > 1 && reader->text[reader->at + 1] == 'I';
    if (((c >= '0' && c <= '9') || c == '-') && !minus_word)
        return read_number(reader, ret_value);
    return read_word(reader, ret_value);
}

static enum hd_code read_value(struct reader *reader, int depth, struct hd_value **ret_value)
{
    skip_space(reader);
    if (++reader->node_count > reader->limits->nodes_max)
        return fail_here(reader, HD_E_LIMIT, "too many values");
    int value_line = reader->line, value_column = column(reader);
    struct hd_value *value;
    enum hd_code code = read_kind(reader, depth, &value);
    if (code != HD_OK)
        return code;
    value->line = value_line;
    value->column = value_column;
    *ret_value = value;
    return HD_OK;
}

static enum hd_code read_document(struct reader *reader, struct hd_value **ret_value)
{
    reader->at = reader->line_start = hd_utf8_mark_size(reader->text, reader->size);
    struct hd_value *value;
    enum hd_code code = read_value(reader, 0, &value);
    if (code != HD_OK)
        return code;
    skip_space(reader);
    if (!at_end(reader)) {
        hd_value_free(value);
        return fail_unexpected(reader, "nothing after the value");
    }
    *ret_value = value;
    return HD_OK;
}

enum hd_code hd_json_parse(const char *text, size_t size, const char *name,
                           const struct hd_value_limits *limits, struct hd_value **ret_value,
                           struct hd_err *err)
{
    hd_assert(limits->depth_max <= TREE_DEPTH_MAX);
    if (size > limits->bytes_max)
        return hd_fail(err, HD_E_LIMIT, "%s: more than %zu bytes", name, limits->bytes_max);
    struct reader reader = {
        .text = text, .size = size, .line = 1, .name = name, .limits = limits, .err = err};
    hd_buf_init(&reader.scratch, limits->bytes_max);
    enum hd_code code = read_document(&reader, ret_value);
    hd_buf_release(&reader.scratch);
    return code;
}
