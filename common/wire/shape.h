/* SPDX-License-Identifier: Apache-2.0 */
/*
 * shape.h: tables that say how a struct looks on the wire. The encoder and the decoder walk the
 * same table, so that they cannot disagree.
 *
 * A shape is a map with short string keys, where a field at its default (zero, "", NaN) is left
 * out, or, when positional, an array of all fields in order; longer arrays and unknown keys of a
 * later version are stepped over.
 */
#ifndef HD_WIRE_SHAPE_H
#define HD_WIRE_SHAPE_H

#include <hd/base.h>

enum hd_field_kind {
    HD_FIELD_TEXT,  /* const char *, at most max bytes; NULL is written as "", never read */
    HD_FIELD_ID,    /* the same; "" or what hd_check_id allows, since it becomes a file name */
    HD_FIELD_CHARS, /* char[max + 1] */
    HD_FIELD_BOOL,
    HD_FIELD_U32, /* at most max */
    HD_FIELD_U64,
    HD_FIELD_I32,
    HD_FIELD_I64,     /* 0..max, or any number when max is UINT64_MAX */
    HD_FIELD_DOUBLE,  /* NaN stands for "none" */
    HD_FIELD_ENUM,    /* 0..max */
    HD_FIELD_STRUCT,  /* one of shape */
    HD_FIELD_LIST,    /* pointer to at most max of shape; their number is at count_offset */
    HD_FIELD_INLINE,  /* array of at most max of shape inside the struct; number likewise */
    HD_FIELD_IDS,     /* array of at most max const char * inside the struct; number likewise */
    HD_FIELD_DOUBLES, /* array of at most max doubles inside the struct; number likewise */
};

struct hd_shape;
struct hd_field {
    const char *key;  /* on the wire; NULL in positional shapes */
    const char *name; /* in messages */
    enum hd_field_kind kind;
    bool required; /* always written, and missed when not there */
    size_t offset;
    uint64_t max;
    size_t count_offset;
    const struct hd_shape *shape;
};

struct hd_shape {
    const char *name;
    const struct hd_field *fields;
    size_t field_count; /* at most 64 */
    size_t size;
    bool positional;
};

/* What stands before the fields of a message: the protocol version under "v" and which of these
 * it is under "m". */
enum hd_message_kind {
    HD_MESSAGE_REQUEST,
    HD_MESSAGE_REPLY,
    HD_MESSAGE_NS_REQUEST,
    HD_MESSAGE_NS_REPLY,
};
struct hd_message_form {
    enum hd_message_kind kind;
    const struct hd_shape *shape;
};
extern const struct hd_message_form hd_form_request, hd_form_reply, hd_form_ns_request,
    hd_form_ns_reply;

/* Appends the message; on failure `out` is as before. */
HD_NODISCARD enum hd_code hd_shape_encode(const struct hd_message_form *form, const void *object,
                                          struct hd_buf *out, struct hd_err *err);
/* Scans, then fills *ret_object (form->shape->size bytes) whole: fields that did not come get
 * their default. ret_object is undefined on failure. */
HD_NODISCARD enum hd_code hd_shape_decode(const struct hd_message_form *form, const void *bytes,
                                          size_t size, struct hd_arena *arena, void *ret_object,
                                          struct hd_err *err);

#endif
