/* SPDX-License-Identifier: Apache-2.0 */
/* nearest.c: the word that was probably meant. */
#include <hd/base.h>

#include <string.h>

#define WORD_SIZE_MAX 64

/* People mix up case, '-' and '_' more often than letters: such differences cost nothing. */
static char fold(char c)
{
    if (c >= 'A' && c <= 'Z')
        return (char)(c - 'A' + 'a');
    return c == '-' ? '_' : c;
}

static size_t least(size_t a, size_t b)
{
    return a < b ? a : b;
}

/* Optimal string alignment: insert, delete, replace and swap of neighbours (Damerau 1964,
 * Levenshtein 1966), each substring edited at most once. */
static size_t distance(const char *a, size_t a_size, const char *b, size_t b_size)
{
    size_t rows[3][WORD_SIZE_MAX + 1];
    size_t *before = rows[0], *above = rows[1], *row = rows[2];
    for (size_t j = 0; j <= b_size; j++)
        before[j] = above[j] = j;
    for (size_t i = 1; i <= a_size; i++) {
        row[0] = i;
        for (size_t j = 1; j <= b_size; j++) {
            size_t replaced = above[j - 1] + (fold(a[i - 1]) == fold(b[j - 1]) ? 0 : 1);
            row[j] = least(replaced, least(above[j], row[j - 1]) + 1);
            if (i > 1 && j > 1 && fold(a[i - 1]) == fold(b[j - 2]) &&
                fold(a[i - 2]) == fold(b[j - 1]))
                row[j] = least(row[j], before[j - 2] + 1);
        }
        size_t *oldest = before;
        before = above;
        above = row;
        row = oldest;
    }
    return above[b_size];
}

const char *hd_nearest(const char *word, const char *const *candidates, size_t count)
{
    size_t size = strnlen(word, WORD_SIZE_MAX + 1);
    if (size == 0 || size > WORD_SIZE_MAX)
        return NULL;
    size_t allowed = size / 3;
    if (allowed == 0 && size >= 2)
        allowed = 1; /* "lo" is near "low" */
    const char *found = NULL;
    size_t found_distance = allowed + 1;
    for (size_t i = 0; i < count; i++) {
        size_t other_size = strnlen(candidates[i], WORD_SIZE_MAX + 1);
        if (other_size > WORD_SIZE_MAX)
            continue;
        size_t steps = distance(word, size, candidates[i], other_size);
        if (steps < found_distance) {
            found = candidates[i];
            found_distance = steps;
        }
    }
    return found;
}
