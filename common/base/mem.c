/* SPDX-License-Identifier: Apache-2.0 */
/* mem.c: allocation with a fault point. The countdown is the only writable state of this room;
 * it exists for tests and is never touched otherwise. */
#include <hd/base.h>

#include <stdlib.h>
#include <string.h>

static int64_t fail_countdown = -1;

void hd_test_fail_alloc_after(int64_t countdown)
{
    fail_countdown = countdown;
}

/* With a countdown of n the n+1st allocation fails, once. */
static bool must_fail(void)
{
    if (fail_countdown < 0)
        return false;
    return fail_countdown-- == 0;
}

void *hd_malloc(size_t size)
{
    return must_fail() ? NULL : malloc(size != 0 ? size : 1);
}

void *hd_calloc(size_t count, size_t size)
{
    if (must_fail())
        return NULL;
    return count != 0 && size != 0 ? calloc(count, size) : calloc(1, 1);
}

void *hd_realloc(void *old, size_t size)
{
    return must_fail() ? NULL : realloc(old, size != 0 ? size : 1);
}

char *hd_strdup(const char *text)
{
    size_t size = strlen(text) + 1;
    char *copy = hd_malloc(size);
    if (copy != NULL)
        memcpy(copy, text, size);
    return copy;
}

void hd_free(void *memory)
{
    free(memory);
}
