/* SPDX-License-Identifier: Apache-2.0 */
/*
 * safe_text.h: what a target wrote, for a terminal. Colours stay; sequences that move the cursor,
 * name the window, fill the clipboard or ask the terminal to answer, and all other control
 * characters but newline, tab and (outside of `lines`) carriage return, are left out. Pure; pieces
 * may be cut anywhere.
 */
#ifndef HD_CLI_SAFE_TEXT_H
#define HD_CLI_SAFE_TEXT_H

#include <hd/base.h>

#define CLI_SAFE_HELD_MAX 40 /* bytes of a colour; a longer one is left out */

struct cli_safe_text {
    bool lines; /* each line has something before it: nothing may go back over that */
    enum { CLI_SAFE_TEXT, CLI_SAFE_ESCAPE, CLI_SAFE_COLOUR, CLI_SAFE_STRING, CLI_SAFE_C1 } state;
    bool coloured; /* what follows has a colour that the target chose */
    char held[CLI_SAFE_HELD_MAX];
    size_t held_size;
};

/* ret_out: room for size + CLI_SAFE_HELD_MAX bytes. Returns how many there are. */
size_t cli_safe_text(struct cli_safe_text *safe, const char *bytes, size_t size, char *ret_out);

#endif
