/* SPDX-License-Identifier: Apache-2.0 */
/* message.c: encode and decode of each message, and what must hold beyond its tables. */
#include "shape.h"

#include <hd/message.h>
#include <math.h>

/* Decodes aside, since outputs stay untouched on failure. The copy lives in the arena: a reply of
 * the nameserver is too large for a stack. */
static enum hd_code decode_aside(const struct hd_message_form *form, const void *bytes, size_t size,
                                 struct hd_arena *arena, void **ret_object, struct hd_err *err)
{
    void *object = hd_arena_alloc(arena, form->shape->size);
    if (object == NULL)
        return hd_fail(err, HD_E_NOMEM, "no memory for a %s", form->shape->name);
    enum hd_code code = hd_shape_decode(form, bytes, size, arena, object, err);
    if (code == HD_OK)
        *ret_object = object;
    return code;
}

static enum hd_code check_request(const struct hd_request *request, struct hd_err *err)
{
    if (request->kind == HD_REQUEST_REPORT && request->result.attempt.attempt == 0)
        return hd_fail(err, HD_E_INVALID, "a report without an attempt");
    return HD_OK;
}

static enum hd_code check_reply(const struct hd_reply *reply, struct hd_err *err)
{
    if (reply->kind != HD_REPLY_LEASE)
        return HD_OK;
    const struct hd_lease *lease = &reply->lease;
    if (lease->attempt.attempt == 0 || lease->run_id[0] == '\0')
        return hd_fail(err, HD_E_INVALID, "a lease without an attempt or a run");
    if (!isfinite(lease->budget))
        return hd_fail(err, HD_E_INVALID, "lease.budget: a finite number expected");
    return HD_OK;
}

enum hd_code hd_request_encode(const struct hd_request *request, struct hd_buf *out,
                               struct hd_err *err)
{
    return hd_shape_encode(&hd_form_request, request, out, err);
}

enum hd_code hd_request_decode(const void *bytes, size_t size, struct hd_arena *arena,
                               struct hd_request *ret_request, struct hd_err *err)
{
    void *object = NULL;
    enum hd_code code = decode_aside(&hd_form_request, bytes, size, arena, &object, err);
    if (code == HD_OK)
        code = check_request(object, err);
    if (code == HD_OK)
        *ret_request = *(struct hd_request *)object;
    return code;
}

enum hd_code hd_reply_encode(const struct hd_reply *reply, struct hd_buf *out, struct hd_err *err)
{
    return hd_shape_encode(&hd_form_reply, reply, out, err);
}

enum hd_code hd_reply_decode(const void *bytes, size_t size, struct hd_arena *arena,
                             struct hd_reply *ret_reply, struct hd_err *err)
{
    void *object = NULL;
    enum hd_code code = decode_aside(&hd_form_reply, bytes, size, arena, &object, err);
    if (code == HD_OK)
        code = check_reply(object, err);
    if (code == HD_OK)
        *ret_reply = *(struct hd_reply *)object;
    return code;
}

enum hd_code hd_ns_request_encode(const struct hd_ns_request *request, struct hd_buf *out,
                                  struct hd_err *err)
{
    return hd_shape_encode(&hd_form_ns_request, request, out, err);
}

enum hd_code hd_ns_request_decode(const void *bytes, size_t size, struct hd_arena *arena,
                                  struct hd_ns_request *ret_request, struct hd_err *err)
{
    void *object = NULL;
    enum hd_code code = decode_aside(&hd_form_ns_request, bytes, size, arena, &object, err);
    if (code == HD_OK)
        *ret_request = *(struct hd_ns_request *)object;
    return code;
}

enum hd_code hd_ns_reply_encode(const struct hd_ns_reply *reply, struct hd_buf *out,
                                struct hd_err *err)
{
    return hd_shape_encode(&hd_form_ns_reply, reply, out, err);
}

enum hd_code hd_ns_reply_decode(const void *bytes, size_t size, struct hd_arena *arena,
                                struct hd_ns_reply *ret_reply, struct hd_err *err)
{
    void *object = NULL;
    enum hd_code code = decode_aside(&hd_form_ns_reply, bytes, size, arena, &object, err);
    if (code == HD_OK)
        *ret_reply = *(struct hd_ns_reply *)object;
    return code;
}
