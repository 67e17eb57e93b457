/* SPDX-License-Identifier: Apache-2.0 */
/* read.c: typed reading with errors that name file, line and path. */
#include "read.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

/* ---- errors ---- */

/* "exp.yaml:12: space.lr", "command line: budget.min". */
static void format_place(const struct hd_reader *reader, const struct hd_value *at,
                         const char *path, const char *key, char place[HD_ERR_TEXT_MAX])
{
    char line[16] = "";
    bool command = at != NULL && at->line == READ_LINE_COMMAND;
    if (at != NULL && at->line > 0)
        hd_format(line, sizeof(line), ":%d", at->line);
    bool both = path[0] != '\0' && key[0] != '\0', any = path[0] != '\0' || key[0] != '\0';
    hd_format(place, HD_ERR_TEXT_MAX, "%s%s%s%s%s%s", command ? "command line" : reader->file, line,
              any ? ": " : "", path, both ? "." : "", key);
}

enum hd_code hd_read_fail(const struct hd_reader *reader, enum hd_code code,
                          const struct hd_value *at, const char *path, const char *key,
                          const char *fmt, ...)
{
    char place[HD_ERR_TEXT_MAX], text[HD_ERR_TEXT_MAX];
    format_place(reader, at, path, key, place);
    va_list args;
    va_start(args, fmt);
    vsnprintf(text, sizeof(text), fmt, args);
    va_end(args);
    return hd_fail(reader->err, code, "%s: %s", place, text);
}

enum hd_code hd_read_nomem(const struct hd_reader *reader)
{
    return hd_fail(reader->err, HD_E_NOMEM, "%s: no memory to read it", reader->file);
}

enum hd_code hd_read_wrap(const struct hd_reader *reader, const struct hd_value *at,
                          const char *path, const char *key)
{
    char place[HD_ERR_TEXT_MAX];
    format_place(reader, at, path, key, place);
    return hd_fail_in(reader->err, "%s", place);
}

static void format_found(const struct hd_value *value, char *text, size_t text_size)
{
    char number[HD_DOUBLE_TEXT_SIZE];
    switch (value->kind) {
    case HD_VALUE_NULL:
        hd_copy_text(text, text_size, "nothing");
        return;
    case HD_VALUE_BOOL:
        hd_copy_text(text, text_size, value->as.boolean ? "true" : "false");
        return;
    case HD_VALUE_INT:
        hd_format(text, text_size, "%" PRId64, value->as.integer);
        return;
    case HD_VALUE_DOUBLE:
        hd_format_double(number, sizeof(number), value->as.number);
        hd_copy_text(text, text_size, number);
        return;
    case HD_VALUE_STRING:
        hd_format(text, text_size, "the text \"%.60s\"", value->as.string);
        return;
    case HD_VALUE_ARRAY:
        hd_copy_text(text, text_size, "a list");
        return;
    case HD_VALUE_OBJECT:
        hd_copy_text(text, text_size, "a map");
        return;
    }
}

enum hd_code hd_read_wrong_type(const struct hd_reader *reader, const struct hd_value *at,
                                const char *path, const char *key, const char *expected)
{
    char found[100];
    format_found(at, found, sizeof(found));
    return hd_read_fail(reader, HD_E_INVALID, at, path, key, "expected %s, got %s", expected,
                        found);
}

/* ---- members ---- */

const struct hd_value *hd_read_member(const struct hd_value *object, const char *key)
{
    const struct hd_value *value = hd_value_get(object, key);
    return value != NULL && value->kind != HD_VALUE_NULL ? value : NULL;
}

enum hd_code hd_read_object(const struct hd_reader *reader, const struct hd_value *object,
                            const char *path, const char *key, const struct hd_value **ret_object)
{
    const struct hd_value *value = hd_read_member(object, key);
    if (value != NULL && value->kind != HD_VALUE_OBJECT)
        return hd_read_wrong_type(reader, value, path, key, "a map");
    *ret_object = value;
    return HD_OK;
}

static bool is_known(const char *name, const char *const *names, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (hd_streq(name, names[i]))
            return true;
    return false;
}

static void list_names(const char *const *names, size_t count, char *text, size_t text_size)
{
    text[0] = '\0';
    for (size_t i = 0; i < count; i++) {
        size_t size = strlen(text);
        hd_format(text + size, text_size - size, "%s%s", i > 0 ? ", " : "", names[i]);
    }
}

enum hd_code hd_read_keys(const struct hd_reader *reader, const struct hd_value *object,
                          const char *path, const char *const *names, size_t count)
{
    for (size_t i = 0; i < object->as.object.count; i++) {
        char key[80];
        hd_copy_text(key, sizeof(key), object->as.object.keys[i]);
        if (is_known(object->as.object.keys[i], names, count))
            continue;
        const struct hd_value *at = object->as.object.items[i];
        const char *nearest = hd_nearest(key, names, count);
        if (nearest != NULL)
            return hd_read_fail(reader, HD_E_INVALID, at, path, key,
                                "unknown key, did you mean \"%s\"?", nearest);
        char known[500];
        list_names(names, count, known, sizeof(known));
        return hd_read_fail(reader, HD_E_INVALID, at, path, key, "unknown key; known are: %s",
                            known);
    }
    return HD_OK;
}

/* ---- scalars ---- */

enum hd_code hd_read_text(const struct hd_reader *reader, const struct hd_value *object,
                          const char *path, const char *key, char **text)
{
    const struct hd_value *value = hd_read_member(object, key);
    if (value == NULL)
        return HD_OK;
    if (value->kind != HD_VALUE_STRING)
        return hd_read_wrong_type(reader, value, path, key, "a text (put it in quotes)");
    if (value->as.string[0] == '\0')
        return hd_read_fail(reader, HD_E_INVALID, value, path, key,
                            "must not be empty; leave the key out instead");
    char *copy = hd_strdup(value->as.string);
    if (copy == NULL)
        return hd_read_nomem(reader);
    hd_free(*text);
    *text = copy;
    return HD_OK;
}

enum hd_code hd_read_bool(const struct hd_reader *reader, const struct hd_value *object,
                          const char *path, const char *key, bool *boolean)
{
    const struct hd_value *value = hd_read_member(object, key);
    if (value == NULL)
        return HD_OK;
    if (value->kind != HD_VALUE_BOOL)
        return hd_read_wrong_type(reader, value, path, key, "true or false");
    *boolean = value->as.boolean;
    return HD_OK;
}

static bool whole_number(const struct hd_value *value, int64_t *ret_number)
{
    if (value->kind == HD_VALUE_INT) {
        *ret_number = value->as.integer;
        return true;
    }
    double number = value->kind == HD_VALUE_DOUBLE ? value->as.number : 0.5;
    if (!(fabs(number) <= 0x1p53) || trunc(number) < number || trunc(number) > number)
        return false;
    *ret_number = (int64_t)number;
    return true;
}

enum hd_code hd_read_i64(const struct hd_reader *reader, const struct hd_value *object,
                         const char *path, const char *key, int64_t min, int64_t max,
                         int64_t *number)
{
    const struct hd_value *value = hd_read_member(object, key);
    int64_t whole;
    if (value == NULL)
        return HD_OK;
    if (!whole_number(value, &whole))
        return hd_read_wrong_type(reader, value, path, key, "an integer");
    if (whole < min)
        return hd_read_fail(reader, HD_E_INVALID, value, path, key,
                            "must be at least %" PRId64 ", got %" PRId64, min, whole);
    if (whole > max)
        return hd_read_fail(reader, HD_E_INVALID, value, path, key,
                            "must be at most %" PRId64 ", got %" PRId64, max, whole);
    *number = whole;
    return HD_OK;
}

enum hd_code hd_read_u32(const struct hd_reader *reader, const struct hd_value *object,
                         const char *path, const char *key, uint32_t min, uint32_t max,
                         uint32_t *number)
{
    int64_t whole = *number;
    enum hd_code code = hd_read_i64(reader, object, path, key, min, max, &whole);
    if (code == HD_OK)
        *number = (uint32_t)whole;
    return code;
}

enum hd_code hd_read_double(const struct hd_reader *reader, const struct hd_value *object,
                            const char *path, const char *key, double *number)
{
    const struct hd_value *value = hd_read_member(object, key);
    if (value == NULL)
        return HD_OK;
    if (!hd_value_is_number(value) || !isfinite(hd_value_number(value)))
        return hd_read_wrong_type(reader, value, path, key, "a finite number");
    *number = hd_value_number(value);
    return HD_OK;
}

/* A text with units, or a number in the base unit (its text has no unit, which means the same). */
static enum hd_code quantity_text(const struct hd_reader *reader, const struct hd_value *value,
                                  const char *path, const char *key, const char *expected,
                                  char *text, size_t text_size)
{
    if (value->kind == HD_VALUE_STRING) {
        hd_copy_text(text, text_size, value->as.string);
        return HD_OK;
    }
    double number = hd_value_number(value);
    if (!isfinite(number) || number < 0)
        return hd_read_wrong_type(reader, value, path, key, expected);
    hd_format(text, text_size, "%.6f", number);
    char *point = strpbrk(text, ".,"); /* whatever the locale writes */
    if (point != NULL)
        *point = '.';
    return HD_OK;
}

enum hd_code hd_read_ms(const struct hd_reader *reader, const struct hd_value *object,
                        const char *path, const char *key, int64_t min_ms, int64_t max_ms,
                        int64_t *ms)
{
    const struct hd_value *value = hd_read_member(object, key);
    char text[64], limit[READ_MS_TEXT_SIZE];
    int64_t read_ms;
    if (value == NULL)
        return HD_OK;
    enum hd_code code =
        quantity_text(reader, value, path, key, "a duration (90s, 1m, 1h30m)", text, sizeof(text));
    if (code != HD_OK)
        return code;
    if (hd_parse_duration(text, &read_ms, reader->err) != HD_OK)
        return hd_read_wrap(reader, value, path, key);
    if (read_ms < min_ms || read_ms > max_ms) {
        hd_format_ms(limit, sizeof(limit), read_ms < min_ms ? min_ms : max_ms);
        return hd_read_fail(reader, HD_E_INVALID, value, path, key, "must be at %s %s, got %s",
                            read_ms < min_ms ? "least" : "most", limit, text);
    }
    *ms = read_ms;
    return HD_OK;
}

enum hd_code hd_read_bytes(const struct hd_reader *reader, const struct hd_value *object,
                           const char *path, const char *key, uint64_t *bytes)
{
    const struct hd_value *value = hd_read_member(object, key);
    char text[64];
    if (value == NULL)
        return HD_OK;
    enum hd_code code =
        quantity_text(reader, value, path, key, "a size (512MiB, 1GB)", text, sizeof(text));
    if (code != HD_OK)
        return code;
    if (hd_parse_size(text, bytes, reader->err) != HD_OK)
        return hd_read_wrap(reader, value, path, key);
    return HD_OK;
}

enum hd_code hd_read_choice(const struct hd_reader *reader, const struct hd_value *object,
                            const char *path, const char *key, const char *const *names,
                            size_t count, size_t *index)
{
    const struct hd_value *value = hd_read_member(object, key);
    char known[300];
    if (value == NULL)
        return HD_OK;
    list_names(names, count, known, sizeof(known));
    if (value->kind != HD_VALUE_STRING)
        return hd_read_wrong_type(reader, value, path, key, known);
    for (size_t i = 0; i < count; i++)
        if (hd_streq(value->as.string, names[i])) {
            *index = i;
            return HD_OK;
        }
    const char *nearest = hd_nearest(value->as.string, names, count);
    if (nearest != NULL)
        return hd_read_fail(reader, HD_E_INVALID, value, path, key,
                            "unknown \"%.60s\", did you mean \"%s\"?", value->as.string, nearest);
    return hd_read_fail(reader, HD_E_INVALID, value, path, key, "unknown \"%.60s\"; known are: %s",
                        value->as.string, known);
}

/* ---- texts of values ---- */

bool hd_scalar_text(const struct hd_value *value, struct hd_buf *out, enum hd_code *ret_code,
                    struct hd_err *err)
{
    char number[HD_DOUBLE_TEXT_SIZE];
    switch (value->kind) {
    case HD_VALUE_BOOL:
        *ret_code = hd_buf_puts(out, value->as.boolean ? "true" : "false", err);
        return true;
    case HD_VALUE_INT:
        *ret_code = hd_buf_printf(out, err, "%" PRId64, value->as.integer);
        return true;
    case HD_VALUE_DOUBLE:
        hd_format_double(number, sizeof(number), value->as.number);
        *ret_code = hd_buf_puts(out, number, err);
        return true;
    case HD_VALUE_STRING:
        *ret_code = hd_buf_puts(out, value->as.string, err);
        return true;
    case HD_VALUE_NULL:
    case HD_VALUE_ARRAY:
    case HD_VALUE_OBJECT:
        break;
    }
    return false;
}

void hd_format_ms(char *dst, size_t dst_size, int64_t ms)
{
    static const struct {
        int64_t ms;
        const char *unit;
    } units[] = {{86400000, "d"}, {3600000, "h"}, {60000, "m"}, {1000, "s"}, {1, "ms"}};
    size_t i = 0;
    if (ms == 0)
        i = 3;
    while (ms % units[i].ms != 0)
        i++;
    hd_format(dst, dst_size, "%" PRId64 "%s", ms / units[i].ms, units[i].unit);
}
