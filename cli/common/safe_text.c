/* SPDX-License-Identifier: Apache-2.0 */
/* safe_text.c: see safe_text.h. */
#include "safe_text.h"

#include <string.h>

#define ESC 0x1b
#define BEL 0x07
#define DEL 0x7f
#define C1_LEAD 0xc2 /* of U+0080 to U+00BF in UTF-8; up to U+009F they are control characters */

struct out {
    char *bytes;
    size_t size;
};

static void put(struct out *out, unsigned char byte)
{
    out->bytes[out->size++] = (char)byte;
}

static void take_plain(struct cli_safe_text *safe, unsigned char byte, struct out *out)
{
    safe->state = CLI_SAFE_TEXT;
    if (byte == ESC)
        safe->state = CLI_SAFE_ESCAPE;
    else if (byte == C1_LEAD)
        safe->state = CLI_SAFE_C1;
    else if ((byte >= ' ' && byte != DEL) || byte == '\n' || byte == '\t' ||
             (byte == '\r' && !safe->lines))
        put(out, byte);
}

static void take_escape(struct cli_safe_text *safe, unsigned char byte, struct out *out)
{
    safe->held_size = 0;
    if (byte == '[')
        safe->state = CLI_SAFE_COLOUR;
    else if (byte != '\0' && strchr("]PX^_", byte) != NULL)
        safe->state = CLI_SAFE_STRING;
    else if (byte == ESC || (byte >= 0x20 && byte <= 0x2f))
        safe->state = CLI_SAFE_ESCAPE;
    else if (byte < ' ')
        take_plain(safe, byte, out);
    else
        safe->state = CLI_SAFE_TEXT;
}

static void keep_colour(struct cli_safe_text *safe, struct out *out)
{
    put(out, ESC);
    put(out, '[');
    for (size_t i = 0; i < safe->held_size; i++)
        put(out, (unsigned char)safe->held[i]);
    put(out, 'm');
    bool plain = safe->held_size == 0 || (safe->held_size == 1 && safe->held[0] == '0');
    safe->coloured = !plain;
}

/* Numbers with ';' or ':' between them and an m are a colour. */
static void take_colour(struct cli_safe_text *safe, unsigned char byte, struct out *out)
{
    if ((byte >= '0' && byte <= ';') && safe->held_size < CLI_SAFE_HELD_MAX - 3) {
        safe->held[safe->held_size++] = (char)byte;
    } else if (byte >= 0x20 && byte <= 0x3f) {
        safe->held_size = CLI_SAFE_HELD_MAX; /* something else */
    } else if (byte < ' ') {
        take_plain(safe, byte, out);
    } else {
        if (byte == 'm' && safe->held_size < CLI_SAFE_HELD_MAX)
            keep_colour(safe, out);
        safe->state = CLI_SAFE_TEXT;
    }
}

/* A line's end ends a string too: a stray one must not swallow the rest of a log. */
static void take_string(struct cli_safe_text *safe, unsigned char byte, struct out *out)
{
    if (byte == BEL)
        safe->state = CLI_SAFE_TEXT;
    else if (byte == ESC || byte == '\n')
        take_plain(safe, byte, out);
}

static void take_c1(struct cli_safe_text *safe, unsigned char byte, struct out *out)
{
    safe->state = CLI_SAFE_TEXT;
    if (byte >= 0x80 && byte <= 0x9f)
        return;
    put(out, C1_LEAD);
    take_plain(safe, byte, out);
}

size_t cli_safe_text(struct cli_safe_text *safe, const char *bytes, size_t size, char *ret_out)
{
    struct out out = {.bytes = ret_out};
    for (size_t i = 0; i < size; i++) {
        unsigned char byte = (unsigned char)bytes[i];
        switch (safe->state) {
        case CLI_SAFE_TEXT:
            take_plain(safe, byte, &out);
            break;
        case CLI_SAFE_ESCAPE:
            take_escape(safe, byte, &out);
            break;
        case CLI_SAFE_COLOUR:
            take_colour(safe, byte, &out);
            break;
        case CLI_SAFE_STRING:
            take_string(safe, byte, &out);
            break;
        case CLI_SAFE_C1:
            take_c1(safe, byte, &out);
            break;
        }
    }
    return out.size;
}
