/* SPDX-License-Identifier: Apache-2.0 */
/* base64.c: bytes as text (RFC 4648); see hd/base.h. */
#include <hd/base.h>

#include <string.h>

static const char standard[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
static const char for_urls[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/* Whole pieces of states pass here, on the thread that answers everybody: the room is had once, and
 * a digit costs one look. */
enum hd_code hd_base64_encode(const void *bytes, size_t size, bool url, struct hd_buf *out,
                              struct hd_err *err)
{
    const char *alphabet = url ? for_urls : standard;
    const unsigned char *from = bytes;
    enum hd_code code = hd_buf_reserve(out, (size + 2) / 3 * 4, err);
    if (code != HD_OK)
        return code;
    char *to = out->data + out->size;
    for (size_t i = 0; i < size; i += 3) {
        size_t left = size - i < 3 ? size - i : 3;
        unsigned word = (unsigned)from[i] << 16 | (left > 1 ? (unsigned)from[i + 1] << 8 : 0u) |
                        (left > 2 ? (unsigned)from[i + 2] : 0u);
        *to++ = alphabet[word >> 18];
        *to++ = alphabet[word >> 12 & 63];
        *to++ = left > 1 ? alphabet[word >> 6 & 63] : '=';
        *to++ = left > 2 ? alphabet[word & 63] : '=';
    }
    *to = '\0';
    out->size = (size_t)(to - out->data);
    return HD_OK;
}

/* Of both alphabets; -1: no digit. */
static void list_digits(signed char ret_digits[256])
{
    memset(ret_digits, -1, 256);
    for (int i = 0; i < 64; i++) {
        ret_digits[(unsigned char)standard[i]] = (signed char)i;
        ret_digits[(unsigned char)for_urls[i]] = (signed char)i;
    }
}

enum hd_code hd_base64_decode(const char *text, size_t size, struct hd_buf *out, struct hd_err *err)
{
    signed char digits[256];
    unsigned word = 0, bits = 0;
    while (size > 0 && text[size - 1] == '=')
        size--;
    enum hd_code code = size % 4 == 1 ? hd_fail(err, HD_E_INVALID, "not a text of base64") : HD_OK;
    if (code == HD_OK)
        code = hd_buf_reserve(out, size / 4 * 3 + 3, err);
    if (code != HD_OK)
        return code;
    list_digits(digits);
    char *to = out->data + out->size;
    int digit = 0;
    for (size_t i = 0; i < size && (digit = digits[(unsigned char)text[i]]) >= 0; i++) {
        word = word << 6 | (unsigned)digit;
        bits += 6;
        if (bits < 8)
            continue;
        bits -= 8;
        *to++ = (char)(word >> bits & 255);
    }
    if (digit < 0) {
        out->data[out->size] = '\0';
        return hd_fail(err, HD_E_INVALID, "not a text of base64");
    }
    *to = '\0';
    out->size = (size_t)(to - out->data);
    return HD_OK;
}
