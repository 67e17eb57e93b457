/* SPDX-License-Identifier: Apache-2.0 */
/* What a target wrote can colour a terminal and do nothing else to it, however it is cut. */
#include "testlib.h"

#include "common/safe_text.h"

#include <stdlib.h>
#include <string.h>

static const struct {
    const char *text, *shown;
    bool lines;
} rows[] = {
    {"plain\ttext\r\n", "plain\ttext\r\n", false},
    {"100 %\r200 %\n", "100 %200 %\n", true},
    {"\033[1;31mred\033[0m \033[mplain", "\033[1;31mred\033[0m \033[mplain", false},
    {"\033[38:2:1:2:3mtrue\n", "\033[38:2:1:2:3mtrue\n", false},
    {"h\303\251 \302\240 \342\202\254", "h\303\251 \302\240 \342\202\254", false},
    /* the cursor, the screen, the keyboard, questions to the terminal */
    {"a\033[2J\033[1;1Hb\033[?25lc\033[6nd\033[>0ce", "abcde", false},
    {"a\033cb\033(0c\033=d\033#8e", "abcde", false},
    /* titles, clipboards, links, strings of any kind, ended in both ways or by the line */
    {"a\033]0;title\007b\033]52;c;c2VjcmV0\033\\c\033Pq#0\033\\d", "abcd", false},
    {"a\033]8;;http://x\nb", "a\nb", false},
    /* controls of one byte, and those of C1 in UTF-8 */
    {"a\001\007\010\013\177b\302\233"
     "2Jc",
     "ab2Jc", false},
    {"cut \033[31", "cut ", false},
    {"\033\033[32mgreen", "\033[32mgreen", false},
    {"\033[1;2;3;4;5;6;7;8;9;10;11;12;13;14;15;16;17;18mlong", "long", false},
    {"\033[1\nline", "\nline", false},
};

static void check(const char *text, size_t piece, bool lines, const char *shown)
{
    char out[512];
    size_t used = 0, size = strlen(text);
    struct cli_safe_text safe = {.lines = lines};
    for (size_t at = 0; at < size; at += piece)
        used += cli_safe_text(&safe, text + at, size - at < piece ? size - at : piece, out + used);
    out[used] = '\0';
    if (strcmp(out, shown) != 0)
        fail_msg("in pieces of %zu: \"%s\" became \"%s\"", piece, text, out);
}

static void colours_stay_and_nothing_else(void **state)
{
    (void)state;
    for (size_t i = 0; i < HD_COUNT(rows); i++)
        for (size_t piece = 1; piece <= strlen(rows[i].text); piece++)
            check(rows[i].text, piece, rows[i].lines, rows[i].shown);
}

/* Whatever comes, no more is written than there is room for, and no escape but a colour's. */
static void noise_is_harmless(void **state)
{
    (void)state;
    uint64_t random = 88172645463325252u;
    for (int round = 0; round < 2000; round++) {
        char bytes[64], out[64 + CLI_SAFE_HELD_MAX + 1];
        struct cli_safe_text safe = {.lines = round % 2 == 0};
        for (size_t i = 0; i < sizeof(bytes); i++) {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            bytes[i] = "\033[]0;9m\007\n\302\233\rxP\\?"[random % 17];
        }
        size_t size = cli_safe_text(&safe, bytes, sizeof(bytes), out);
        assert_true(size <= sizeof(bytes) + CLI_SAFE_HELD_MAX);
        out[size] = '\0';
        for (char *at = out; (at = strchr(at, '\033')) != NULL; at++) {
            assert_int_equal(at[1], '[');
            assert_int_equal(at[2 + strspn(at + 2, "0123456789;:")], 'm');
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(colours_stay_and_nothing_else),
        cmocka_unit_test(noise_is_harmless),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
