/* SPDX-License-Identifier: Apache-2.0 */
/* A library that looks at the clock and remembers. */
#include <time.h>

long bad_calls(void);

long bad_calls(void)
{
    static long call_count;
    return ++call_count + (long)time(NULL);
}
