/* SPDX-License-Identifier: Apache-2.0 */
/* base64.c: bytes as text (RFC 4648); see hd/base.h. */
#include <hd/base.h>

#include <string.h>

static const char standard[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
static const char for_urls[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

enum hd_code hd_base64_encode(const void *bytes, size_t size, bool url, struct hd_buf *out,
                              struct hd_err *err)
{
    const char *alphabet = url ? for_urls : standard;
    const unsigned char *from = bytes;
    enum hd_code code = hd_buf_reserve(out, (size + 2) / 3 * 4, err);
    for (size_t i = 0; i < size && code == HD_OK; i += 3) {
        size_t left = size - i < 3 ? size - i : 3;
        unsigned word = (unsigned)from[i] << 16 | (left > 1 ? (unsigned)from[i + 1] << 8 : 0u) |
                        (left > 2 ? (unsigned)from[i + 2] : 0u);
        const char text[4] = {alphabet[word >> 18], alphabet[word >> 12 & 63],
                              left > 1 ? alphabet[word >> 6 & 63] : '=',
                              left > 2 ? alphabet[word & 63] : '='};
        code = hd_buf_append(out, text, sizeof(text), err);
    }
    return code;
}

static int digit_of(char c)
{
    const char *at = c != '\0' ? strchr(standard, c) : NULL;
    if (at != NULL)
        return (int)(at - standard);
    at = c != '\0' ? strchr(for_urls, c) : NULL;
    return at != NULL ? (int)(at - for_urls) : -1;
}

enum hd_code hd_base64_decode(const char *text, size_t size, struct hd_buf *out, struct hd_err *err)
{
    unsigned word = 0, bits = 0;
    while (size > 0 && text[size - 1] == '=')
        size--;
    enum hd_code code = size % 4 == 1 ? hd_fail(err, HD_E_INVALID, "not a text of base64") : HD_OK;
    if (code == HD_OK)
        code = hd_buf_reserve(out, size / 4 * 3 + 3, err);
    for (size_t i = 0; i < size && code == HD_OK; i++) {
        int digit = digit_of(text[i]);
        if (digit < 0)
            return hd_fail(err, HD_E_INVALID, "not a text of base64");
        word = word << 6 | (unsigned)digit;
        bits += 6;
        if (bits < 8)
            continue;
        bits -= 8;
        const char byte = (char)(word >> bits & 255);
        code = hd_buf_append(out, &byte, 1, err);
    }
    return code;
}
