/* SPDX-License-Identifier: Apache-2.0 */
/* utf8.c: well-formedness after the Unicode Standard, table 3-7: no overlong forms, no surrogates.
 */
#include "tree.h"

#include <string.h>

static bool continues(unsigned char byte)
{
    return (byte & 0xc0) == 0x80;
}

size_t hd_utf8_size(const char *text, size_t size)
{
    const unsigned char *byte = (const unsigned char *)text;
    if (size == 0)
        return 0;
    if (byte[0] < 0x80)
        return 1;
    if (byte[0] >= 0xc2 && byte[0] <= 0xdf)
        return size >= 2 && continues(byte[1]) ? 2 : 0;
    if (byte[0] >= 0xe0 && byte[0] <= 0xef) {
        if (size < 3 || !continues(byte[1]) || !continues(byte[2]))
            return 0;
        if ((byte[0] == 0xe0 && byte[1] < 0xa0) || (byte[0] == 0xed && byte[1] > 0x9f))
            return 0;
        return 3;
    }
    if (byte[0] >= 0xf0 && byte[0] <= 0xf4) {
        if (size < 4 || !continues(byte[1]) || !continues(byte[2]) || !continues(byte[3]))
            return 0;
        if ((byte[0] == 0xf0 && byte[1] < 0x90) || (byte[0] == 0xf4 && byte[1] > 0x8f))
            return 0;
        return 4;
    }
    return 0;
}

size_t hd_utf8_encode(uint32_t character, char ret_bytes[4])
{
    hd_assert(character <= 0x10ffff && (character < 0xd800 || character > 0xdfff));
    if (character < 0x80) {
        ret_bytes[0] = (char)character;
        return 1;
    }
    size_t size = character < 0x800 ? 2 : character < 0x10000 ? 3 : 4;
    static const unsigned char leads[] = {0, 0, 0xc0, 0xe0, 0xf0};
    for (size_t i = size - 1; i > 0; i--) {
        ret_bytes[i] = (char)(0x80 | (character & 0x3f));
        character >>= 6;
    }
    ret_bytes[0] = (char)(leads[size] | character);
    return size;
}

size_t hd_utf8_mark_size(const char *text, size_t size)
{
    static const char mark[] = "\xef\xbb\xbf";
    return size >= 3 && memcmp(text, mark, 3) == 0 ? 3 : 0;
}
