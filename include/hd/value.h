/* SPDX-License-Identifier: Apache-2.0 */
/*
 * value.h: one tree for everything people and targets write: JSON, YAML, jsonnet.
 *
 * Every node knows where it came from (line and column in bytes, 1-based; 0 when made by code; a
 * member of an object stands where its key stands), so that an error can say
 * "experiment.yaml:12: space.lr.low: ...". Trees are immutable in use; a node
 * is owned by its parent, the root by whoever parsed it. Parsers are bounded by
 * hd_value_limits and never trust their input.
 */
#ifndef HD_VALUE_H
#define HD_VALUE_H

#include <hd/base.h>

enum hd_value_kind {
    HD_VALUE_NULL,
    HD_VALUE_BOOL,
    HD_VALUE_INT,
    HD_VALUE_DOUBLE, /* JSON texts may hold NaN, Infinity, -Infinity */
    HD_VALUE_STRING, /* UTF-8, no NUL inside */
    HD_VALUE_ARRAY,
    HD_VALUE_OBJECT, /* keeps the order of the file; keys are unique */
};

struct hd_value {
    enum hd_value_kind kind;
    int line;
    int column;
    union {
        bool boolean;
        int64_t integer;
        double number;
        char *string;
        struct {
            struct hd_value **items;
            size_t count;
            size_t capacity;
        } array;
        struct {
            char **keys;
            struct hd_value **items;
            size_t count;
            size_t capacity;
        } object;
    } as;
};

struct hd_value_limits {
    size_t bytes_max; /* of the text */
    size_t nodes_max;
    int depth_max; /* lists and maps within one another; at most 256 */
};
extern const struct hd_value_limits hd_value_limits_file;   /* experiment files: 1 MiB, 100k, 64 */
extern const struct hd_value_limits hd_value_limits_target; /* what targets write: 1 MiB, 20k, 32 */

/* Strict JSON plus the literals NaN, Infinity, -Infinity, Inf and -Inf. `name` is used in messages:
 * "name:line:column: what". Integers beyond int64 become doubles. Refused with HD_E_INVALID:
 * duplicate keys, bytes that are not UTF-8, \u0000; with HD_E_LIMIT: what passes a limit. Why it is
 * not a library's: docs/adr/0001-json-reader.md. */
HD_NODISCARD enum hd_code hd_json_parse(const char *text, size_t size, const char *name,
                                        const struct hd_value_limits *limits,
                                        struct hd_value **ret_value, struct hd_err *err);
/* YAML through libyaml with the scalars of the core schema of YAML 1.2: 1e-5 and 1.0e-5 are both
 * numbers, yes/no/on/off are strings, 0x1f and 0o17 are integers, keys are always text. Refused:
 * anchors, aliases, tags, duplicate keys, a second document. An empty text is null. JSON as
 * hd_json_parse reads it is accepted too. */
HD_NODISCARD enum hd_code hd_yaml_parse(const char *text, size_t size, const char *name,
                                        const struct hd_value_limits *limits,
                                        struct hd_value **ret_value, struct hd_err *err);

/* The same for files of other systems: a list with the tag `list_tag` (in full, "tag:...") becomes
 * a map with one member, of that name. */
HD_NODISCARD enum hd_code hd_yaml_parse_tagged(const char *text, size_t size, const char *name,
                                               const struct hd_value_limits *limits,
                                               const char *list_tag, struct hd_value **ret_value,
                                               struct hd_err *err);

void hd_value_free(struct hd_value *value);
HD_NODISCARD enum hd_code hd_value_copy(const struct hd_value *value, struct hd_value **ret_copy,
                                        struct hd_err *err);

/* Building. The tree takes ownership of item only on success. */
struct hd_value *hd_value_new_null(void);
struct hd_value *hd_value_new_bool(bool boolean);
struct hd_value *hd_value_new_int(int64_t integer);
struct hd_value *hd_value_new_double(double number);
struct hd_value *hd_value_new_string(const char *string);
struct hd_value *hd_value_new_array(void);
struct hd_value *hd_value_new_object(void);
/* These accept item == NULL (an allocation that failed upstream) and then return HD_E_NOMEM; on any
 * failure item is freed. */
HD_NODISCARD enum hd_code hd_value_append(struct hd_value *array, struct hd_value *item);
HD_NODISCARD enum hd_code hd_value_set(struct hd_value *object, const char *key,
                                       struct hd_value *item); /* replaces */

/* Reading. All accept value == NULL and then answer NULL/false. */
struct hd_value *hd_value_get(const struct hd_value *object, const char *key);
bool hd_value_is_number(const struct hd_value *value); /* int or double */
double hd_value_number(const struct hd_value *value);  /* NaN when not a number */
/* Numbers compare by value (1 == 1.0, NaN == NaN), objects regardless of order; lines do not
 * matter. */
bool hd_value_equal(const struct hd_value *a, const struct hd_value *b);
/* For people: "null", "bool", "integer", "number", "string", "list", "map". */
const char *hd_value_kind_name(enum hd_value_kind kind);

/* Appends JSON text. Doubles print so that they read back identical (whole ones as 27.0; NaN and
 * Infinity as such); integers stay integers. canonical: keys sorted by bytes, no white space, the
 * same tree always gives the same bytes. On failure out is as before. */
enum hd_json_style { HD_JSON_COMPACT, HD_JSON_PRETTY, HD_JSON_CANONICAL };
HD_NODISCARD enum hd_code hd_json_write(const struct hd_value *value, enum hd_json_style style,
                                        struct hd_buf *out, struct hd_err *err);
/* A JSON string literal with quotes. Bytes that are not UTF-8 become U+FFFD. */
HD_NODISCARD enum hd_code hd_json_write_string(const char *text, struct hd_buf *out,
                                               struct hd_err *err);

/* The size (1 to 4) of the well-formed UTF-8 character at text, or 0. Reads at most size bytes. */
size_t hd_utf8_size(const char *text, size_t size);
/* 3 when the text begins with the byte order mark that some editors and tables put first, else 0. */
size_t hd_utf8_mark_size(const char *text, size_t size);

#endif
