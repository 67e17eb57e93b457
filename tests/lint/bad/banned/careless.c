/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <string.h>

/* Words in comments are no calls: strcat(a, b). */
void careless(char *to, const char *from);

void careless(char *to, const char *from)
{
    strcpy(to, from);
    if (atoi(from) > 0)
        system ("true; sprintf(x)");
}
