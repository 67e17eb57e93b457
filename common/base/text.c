/* SPDX-License-Identifier: Apache-2.0 */
/* text.c: bounded copying and formatting, and the check of ids. */
#include <hd/base.h>

#include <stdio.h>
#include <string.h>

/* Where to cut `text` (which is at least `size` long) so that no UTF-8 sequence is split. */
static size_t cut_size(const char *text, size_t size)
{
    size_t cut = size;
    while (cut > 0 && size - cut < 3 && ((unsigned char)text[cut] & 0xc0) == 0x80)
        cut--;
    return ((unsigned char)text[cut] & 0xc0) == 0x80 ? size : cut;
}

bool hd_copy_text(char *dst, size_t dst_size, const char *src)
{
    hd_assert(dst_size > 0);
    size_t size = strnlen(src, dst_size);
    bool fits = size < dst_size;
    if (!fits)
        size = cut_size(src, dst_size - 1);
    memmove(dst, src, size);
    dst[size] = '\0';
    return fits;
}

bool hd_format(char *dst, size_t dst_size, const char *fmt, ...)
{
    hd_assert(dst_size > 0);
    va_list args;
    va_start(args, fmt);
    int size = vsnprintf(dst, dst_size, fmt, args);
    va_end(args);
    if (size < 0)
        dst[0] = '\0';
    return size >= 0 && (size_t)size < dst_size;
}

bool hd_streq(const char *a, const char *b)
{
    return strcmp(a, b) == 0;
}

static bool id_char(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' ||
           c == '_' || c == '-';
}

enum hd_code hd_check_id(const char *what, const char *id, struct hd_err *err)
{
    size_t size = strnlen(id, HD_ID_MAX + 1);
    if (size == 0)
        return hd_fail(err, HD_E_INVALID,
                       "%s is empty; give 1 to %d letters, digits, '.', '_', '-'", what, HD_ID_MAX);
    if (size > HD_ID_MAX)
        return hd_fail(err, HD_E_INVALID, "%s is longer than %d characters", what, HD_ID_MAX);
    if (id[0] == '.' || id[0] == '-')
        return hd_fail(err, HD_E_INVALID, "%s \"%s\" must not begin with '%c'", what, id, id[0]);
    for (size_t i = 0; i < size; i++)
        if (!id_char(id[i]))
            return hd_fail(err, HD_E_INVALID,
                           "%s \"%s\" may hold only letters, digits, '.', '_' and '-'", what, id);
    return HD_OK;
}
