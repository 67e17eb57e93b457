/* SPDX-License-Identifier: Apache-2.0 */
/* buf.c: growable bytes with a limit. */
#include <hd/base.h>

#include <stdio.h>
#include <string.h>

#define BUF_CAPACITY_MIN 64

void hd_buf_init(struct hd_buf *buf, size_t size_max)
{
    *buf = (struct hd_buf){.size_max = size_max};
}

void hd_buf_release(struct hd_buf *buf)
{
    if (buf == NULL)
        return;
    hd_free(buf->data);
    *buf = (struct hd_buf){.size_max = buf->size_max};
}

void hd_buf_clear(struct hd_buf *buf)
{
    buf->size = 0;
    if (buf->data != NULL)
        buf->data[0] = '\0';
}

const char *hd_buf_text(const struct hd_buf *buf)
{
    return buf->data != NULL ? buf->data : "";
}

enum hd_code hd_buf_reserve(struct hd_buf *buf, size_t extra, struct hd_err *err)
{
    hd_assert(buf->size <= buf->size_max);
    if (extra > buf->size_max - buf->size)
        return hd_fail(err, HD_E_LIMIT, "more than %zu bytes", buf->size_max);
    if (buf->data != NULL && extra < buf->capacity - buf->size)
        return HD_OK;
    size_t needed = buf->size + extra;
    if (needed == SIZE_MAX)
        return hd_fail(err, HD_E_LIMIT, "more than %zu bytes", SIZE_MAX - 1);
    needed += 1; /* the terminator */
    size_t capacity = buf->capacity > BUF_CAPACITY_MIN ? buf->capacity : BUF_CAPACITY_MIN;
    while (capacity < needed)
        capacity = capacity <= SIZE_MAX / 2 ? capacity * 2 : needed;
    if (buf->size_max < SIZE_MAX && capacity > buf->size_max + 1)
        capacity = buf->size_max + 1;
    char *data = hd_realloc(buf->data, capacity);
    if (data == NULL)
        return hd_fail(err, HD_E_NOMEM, "no memory for %zu bytes", capacity);
    data[buf->size] = '\0';
    buf->data = data;
    buf->capacity = capacity;
    return HD_OK;
}

enum hd_code hd_buf_append(struct hd_buf *buf, const void *bytes, size_t size, struct hd_err *err)
{
    enum hd_code code = hd_buf_reserve(buf, size, err);
    if (code != HD_OK)
        return code;
    if (size > 0)
        memcpy(buf->data + buf->size, bytes, size);
    buf->size += size;
    buf->data[buf->size] = '\0';
    return HD_OK;
}

enum hd_code hd_buf_puts(struct hd_buf *buf, const char *text, struct hd_err *err)
{
    return hd_buf_append(buf, text, strlen(text), err);
}

enum hd_code hd_buf_printf(struct hd_buf *buf, struct hd_err *err, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    int size = vsnprintf(NULL, 0, fmt, args);
    va_end(args);
    if (size < 0)
        return hd_fail(err, HD_E_INVALID, "text cannot be formatted");
    enum hd_code code = hd_buf_reserve(buf, (size_t)size, err);
    if (code != HD_OK)
        return code;
    va_start(args, fmt);
    vsnprintf(buf->data + buf->size, (size_t)size + 1, fmt, args);
    va_end(args);
    buf->size += (size_t)size;
    return HD_OK;
}
