/* SPDX-License-Identifier: Apache-2.0 */
/*
 * yaml_read.c: YAML through libyaml's events. Scalars follow the core schema of YAML 1.2 (true,
 * null, 1e-5; yes and on are strings). Anchors, aliases and tags are refused: an experiment is
 * data, and an alias can blow up a small file. The recursion is bounded by depth_max.
 */
#include "tree.h"

#include <math.h>
#include <string.h>

#include <yaml.h>

struct reader {
    yaml_parser_t parser;
    const char *text;
    size_t size;
    const char *name;
    const struct hd_value_limits *limits;
    const char *list_tag; /* of lists, that is read; NULL: none */
    size_t node_count;
    struct hd_err *err;
};

static enum hd_code read_node(struct reader *reader, const yaml_event_t *event, int depth,
                              struct hd_value **ret_value);

static enum hd_code fail_at(const struct reader *reader, enum hd_code code, const yaml_mark_t *mark,
                            const char *what)
{
    return hd_fail(reader->err, code, "%s:%zu:%zu: %s", reader->name, mark->line + 1,
                   mark->column + 1, what);
}

static enum hd_code fail_nomem(const struct reader *reader)
{
    return hd_fail(reader->err, HD_E_NOMEM, "%s: no memory to read it", reader->name);
}

/* The line on which the parser stopped begins with white space that has a tab in it. */
static bool is_indented_by_tab(const struct reader *reader)
{
    const char *at = reader->text, *end = reader->text + reader->size;
    for (size_t line = 0; line < reader->parser.problem_mark.line; line++) {
        at = memchr(at, '\n', (size_t)(end - at));
        if (at == NULL)
            return false;
        at++;
    }
    while (at < end && *at == ' ')
        at++;
    return at < end && *at == '\t';
}

static enum hd_code fail_parser(const struct reader *reader)
{
    const yaml_parser_t *parser = &reader->parser;
    const char *problem = parser->problem != NULL ? parser->problem : "not YAML";
    if (parser->error == YAML_MEMORY_ERROR)
        return fail_nomem(reader);
    if (parser->error == YAML_READER_ERROR)
        return hd_fail(reader->err, HD_E_INVALID, "%s: byte %zu: %s", reader->name,
                       parser->problem_offset, problem);
    if (strstr(problem, "cannot start any token") != NULL && is_indented_by_tab(reader))
        return hd_fail(
            reader->err, HD_E_INVALID,
            "%s:%zu:%zu: this line is indented with a tab: YAML takes only spaces for that",
            reader->name, parser->problem_mark.line + 1, parser->problem_mark.column + 1);
    return hd_fail(reader->err, HD_E_INVALID, "%s:%zu:%zu: %s%s%s", reader->name,
                   parser->problem_mark.line + 1, parser->problem_mark.column + 1,
                   parser->context != NULL ? parser->context : "",
                   parser->context != NULL ? ": " : "", problem);
}

/* On success the event must be deleted. */
static enum hd_code next_event(struct reader *reader, yaml_event_t *ret_event)
{
    return yaml_parser_parse(&reader->parser, ret_event) ? HD_OK : fail_parser(reader);
}

/* ---- scalars ---- */

static bool is_one_of(const char *text, const char *const *words, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (hd_streq(text, words[i]))
            return true;
    return false;
}

/* [+-]? 0x hexadecimal or 0o octal, as the core schema has them. */
static bool read_based(const char *text, int64_t *ret_number)
{
    if (text[0] != '0' || (text[1] != 'x' && text[1] != 'o') || text[2] == '\0')
        return false;
    uint64_t base = text[1] == 'x' ? 16 : 8, number = 0;
    static const char digits[] = "0123456789abcdef";
    for (const char *at = text + 2; *at != '\0'; at++) {
        char c = *at >= 'A' && *at <= 'F' ? (char)(*at - 'A' + 'a') : *at;
        const char *digit = strchr(digits, c);
        if (digit == NULL || (uint64_t)(digit - digits) >= base)
            return false;
        if (number > ((uint64_t)INT64_MAX - (uint64_t)(digit - digits)) / base)
            return false;
        number = number * base + (uint64_t)(digit - digits);
    }
    *ret_number = (int64_t)number;
    return true;
}

static bool read_special(const char *text, double *ret_number)
{
    static const char *const nans[] = {".nan", ".NaN", ".NAN", "NaN"};
    static const char *const infinities[] = {".inf", ".Inf", ".INF", "Infinity", "Inf"};
    if (is_one_of(text, nans, HD_COUNT(nans))) {
        *ret_number = NAN;
        return true;
    }
    const char *bare = text[0] == '-' || text[0] == '+' ? text + 1 : text;
    if (!is_one_of(bare, infinities, HD_COUNT(infinities)))
        return false;
    *ret_number = text[0] == '-' ? -INFINITY : INFINITY;
    return true;
}

/* Words like inf and infinity are strings here, although hd_parse_double knows them. */
static bool read_decimal(const char *text, double *ret_number)
{
    return strpbrk(text, "0123456789") != NULL && hd_parse_double(text, ret_number);
}

static struct hd_value *new_plain(const char *text)
{
    static const char *const nulls[] = {"", "~", "null", "Null", "NULL"};
    static const char *const trues[] = {"true", "True", "TRUE"};
    static const char *const falses[] = {"false", "False", "FALSE"};
    int64_t integer;
    double number;
    if (is_one_of(text, nulls, HD_COUNT(nulls)))
        return hd_value_new_null();
    if (is_one_of(text, trues, HD_COUNT(trues)))
        return hd_value_new_bool(true);
    if (is_one_of(text, falses, HD_COUNT(falses)))
        return hd_value_new_bool(false);
    bool minus_zero = text[0] == '-' && strspn(text + 1, "0") == strlen(text + 1);
    if ((!minus_zero && hd_parse_i64(text, &integer)) || read_based(text, &integer))
        return hd_value_new_int(integer);
    if (read_decimal(text, &number) || read_special(text, &number))
        return hd_value_new_double(number);
    return hd_value_new_string(text);
}

/* The text of a scalar, which libyaml ends with a NUL; NULL when it holds another one. */
static const char *scalar_text(const yaml_event_t *event)
{
    const char *text = (const char *)event->data.scalar.value;
    return strlen(text) == event->data.scalar.length ? text : NULL;
}

static enum hd_code read_scalar(struct reader *reader, const yaml_event_t *event,
                                struct hd_value **ret_value)
{
    const char *text = scalar_text(event);
    if (text == NULL)
        return fail_at(reader, HD_E_INVALID, &event->start_mark, "a string must not hold \\0");
    bool plain = event->data.scalar.style == YAML_PLAIN_SCALAR_STYLE;
    *ret_value = plain ? new_plain(text) : hd_value_new_string(text);
    return *ret_value != NULL ? HD_OK : fail_nomem(reader);
}

/* ---- lists and maps ---- */

static enum hd_code read_items(struct reader *reader, int depth, struct hd_value *array)
{
    for (;;) {
        yaml_event_t event;
        enum hd_code code = next_event(reader, &event);
        if (code != HD_OK)
            return code;
        bool end = event.type == YAML_SEQUENCE_END_EVENT;
        struct hd_value *item = NULL;
        if (!end)
            code = read_node(reader, &event, depth, &item);
        yaml_event_delete(&event);
        if (end || code != HD_OK)
            return code;
        if (hd_value_append(array, item) != HD_OK)
            return fail_nomem(reader);
    }
}

static enum hd_code check_key(const struct reader *reader, const yaml_event_t *event)
{
    if (event->type == YAML_ALIAS_EVENT)
        return fail_at(reader, HD_E_INVALID, &event->start_mark, "aliases are not read here");
    if (event->type != YAML_SCALAR_EVENT)
        return fail_at(reader, HD_E_INVALID, &event->start_mark, "a key must be a plain text");
    if (event->data.scalar.anchor != NULL || event->data.scalar.tag != NULL)
        return fail_at(reader, HD_E_INVALID, &event->start_mark,
                       "anchors and tags are not read here");
    if (scalar_text(event) == NULL)
        return fail_at(reader, HD_E_INVALID, &event->start_mark, "a key must not hold \\0");
    return HD_OK;
}

/* A member stands where its key stands. */
static enum hd_code read_member(struct reader *reader, const yaml_event_t *key, int depth,
                                struct hd_value *object)
{
    enum hd_code code = check_key(reader, key);
    yaml_event_t event;
    if (code == HD_OK)
        code = next_event(reader, &event);
    if (code != HD_OK)
        return code;
    struct hd_value *item = NULL;
    code = read_node(reader, &event, depth, &item);
    yaml_event_delete(&event);
    if (code != HD_OK)
        return code;
    item->line = (int)key->start_mark.line + 1;
    item->column = (int)key->start_mark.column + 1;
    if (hd_tree_add(object, scalar_text(key), item) != HD_OK)
        return fail_nomem(reader);
    return HD_OK;
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
    for (;;) {
        yaml_event_t event;
        enum hd_code code = next_event(reader, &event);
        if (code != HD_OK)
            return code;
        bool end = event.type == YAML_MAPPING_END_EVENT;
        if (!end)
            code = read_member(reader, &event, depth, object);
        yaml_event_delete(&event);
        if (code != HD_OK)
            return code;
        if (end)
            return check_keys(reader, object);
    }
}

static enum hd_code read_container(struct reader *reader, const yaml_event_t *event, int depth,
                                   struct hd_value **ret_value)
{
    if (depth >= reader->limits->depth_max)
        return fail_at(reader, HD_E_LIMIT, &event->start_mark, "nested too deeply");
    bool is_array = event->type == YAML_SEQUENCE_START_EVENT;
    struct hd_value *value = is_array ? hd_value_new_array() : hd_value_new_object();
    if (value == NULL)
        return fail_nomem(reader);
    enum hd_code code =
        is_array ? read_items(reader, depth + 1, value) : read_members(reader, depth + 1, value);
    if (code != HD_OK) {
        hd_value_free(value);
        return code;
    }
    *ret_value = value;
    return HD_OK;
}

/* ---- nodes and the document ---- */

static bool has_list_tag(const struct reader *reader, const yaml_event_t *event)
{
    return reader->list_tag != NULL && event->type == YAML_SEQUENCE_START_EVENT &&
           event->data.sequence_start.tag != NULL &&
           hd_streq((const char *)event->data.sequence_start.tag, reader->list_tag);
}

static enum hd_code check_plain(const struct reader *reader, const yaml_event_t *event)
{
    const yaml_char_t *anchor = NULL, *tag = NULL;
    if (event->type == YAML_ALIAS_EVENT)
        return fail_at(reader, HD_E_INVALID, &event->start_mark, "aliases are not read here");
    if (event->type == YAML_SCALAR_EVENT) {
        anchor = event->data.scalar.anchor;
        tag = event->data.scalar.tag;
    } else if (event->type == YAML_SEQUENCE_START_EVENT) {
        anchor = event->data.sequence_start.anchor;
        tag = event->data.sequence_start.tag;
    } else {
        hd_assert(event->type == YAML_MAPPING_START_EVENT);
        anchor = event->data.mapping_start.anchor;
        tag = event->data.mapping_start.tag;
    }
    if (anchor != NULL || (tag != NULL && !has_list_tag(reader, event)))
        return fail_at(reader, HD_E_INVALID, &event->start_mark,
                       "anchors and tags are not read here");
    return HD_OK;
}

/* The list as the only member of a map, whose key is its tag. */
static enum hd_code wrap_tagged(const struct reader *reader, struct hd_value **value)
{
    struct hd_value *map = hd_value_new_object();
    if (map != NULL) {
        map->line = (*value)->line;
        map->column = (*value)->column;
        if (hd_value_set(map, reader->list_tag, *value) == HD_OK) {
            *value = map;
            return HD_OK;
        }
    } else {
        hd_value_free(*value);
    }
    hd_value_free(map);
    return fail_nomem(reader);
}

static enum hd_code read_node(struct reader *reader, const yaml_event_t *event, int depth,
                              struct hd_value **ret_value)
{
    enum hd_code code = check_plain(reader, event);
    if (code != HD_OK)
        return code;
    if (++reader->node_count > reader->limits->nodes_max)
        return fail_at(reader, HD_E_LIMIT, &event->start_mark, "too many values");
    struct hd_value *value;
    code = event->type == YAML_SCALAR_EVENT ? read_scalar(reader, event, &value)
                                            : read_container(reader, event, depth, &value);
    if (code != HD_OK)
        return code;
    value->line = (int)event->start_mark.line + 1;
    value->column = (int)event->start_mark.column + 1;
    if (has_list_tag(reader, event) && (code = wrap_tagged(reader, &value)) != HD_OK)
        return code;
    *ret_value = value;
    return HD_OK;
}

/* Passes stream and document starts and ends. An empty text is null; a second document is refused.
 */
static enum hd_code read_stream(struct reader *reader, struct hd_value **ret_value)
{
    struct hd_value *value = NULL;
    for (;;) {
        yaml_event_t event;
        enum hd_code code = next_event(reader, &event);
        if (code == HD_OK) {
            bool end = event.type == YAML_STREAM_END_EVENT;
            bool frame = end || event.type == YAML_STREAM_START_EVENT ||
                         event.type == YAML_DOCUMENT_START_EVENT ||
                         event.type == YAML_DOCUMENT_END_EVENT;
            if (!frame && value == NULL)
                code = read_node(reader, &event, 0, &value);
            else if (!frame)
                code = fail_at(reader, HD_E_INVALID, &event.start_mark,
                               "a second document; one file holds one");
            yaml_event_delete(&event);
            if (end)
                break;
        }
        if (code != HD_OK) {
            hd_value_free(value);
            return code;
        }
    }
    if (value == NULL) {
        value = hd_value_new_null();
        if (value == NULL)
            return fail_nomem(reader);
        value->line = value->column = 1;
    }
    *ret_value = value;
    return HD_OK;
}

/* YAML is nearly a superset of JSON; what it lacks (surrogate pairs in escapes) matters. */
static bool looks_like_json(const char *text, size_t size)
{
    size_t at = 0;
    while (at < size && strchr(" \t\r\n", text[at]) != NULL && text[at] != '\0')
        at++;
    return at < size && (text[at] == '{' || text[at] == '[');
}

enum hd_code hd_yaml_parse(const char *text, size_t size, const char *name,
                           const struct hd_value_limits *limits, struct hd_value **ret_value,
                           struct hd_err *err)
{
    return hd_yaml_parse_tagged(text, size, name, limits, NULL, ret_value, err);
}

enum hd_code hd_yaml_parse_tagged(const char *text, size_t size, const char *name,
                                  const struct hd_value_limits *limits, const char *list_tag,
                                  struct hd_value **ret_value, struct hd_err *err)
{
    hd_assert(limits->depth_max <= TREE_DEPTH_MAX);
    if (size > limits->bytes_max)
        return hd_fail(err, HD_E_LIMIT, "%s: more than %zu bytes", name, limits->bytes_max);
    size_t mark_size = hd_utf8_mark_size(text, size);
    text += mark_size;
    size -= mark_size;
    if (looks_like_json(text, size) &&
        hd_json_parse(text, size, name, limits, ret_value, NULL) == HD_OK)
        return HD_OK;
    struct reader reader = {.text = text,
                            .size = size,
                            .name = name,
                            .limits = limits,
                            .list_tag = list_tag,
                            .err = err};
    if (!yaml_parser_initialize(&reader.parser))
        return fail_nomem(&reader);
    yaml_parser_set_encoding(&reader.parser, YAML_UTF8_ENCODING);
    yaml_parser_set_input_string(&reader.parser, (const unsigned char *)text, size);
    enum hd_code code = read_stream(&reader, ret_value);
    yaml_parser_delete(&reader.parser);
    return code;
}
