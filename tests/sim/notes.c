/* SPDX-License-Identifier: Apache-2.0 */
/* notes.c: the kinds of reasons that a core gives, by a part of their text. */
#include "sim.h"

#include <string.h>

static const char *const kinds[] = {
    "expired",
    "came back without it",
    "wait for another",
    "promoted to budget",
    "(from the start: its directory is elsewhere)",
    "(from the start: its directory holds no finished budget)",
    "(best so far)",
    "queued again",
    "refused: late",
    "is unreachable",
    ": hello (",
    ": bye",
    "created (seed",
    "goal reached",
    "all iterations done",
    "the limit of this run",
    "full evaluations done",
    "time limit reached",
    "every config of the space has been tried",
    "failures without a success",
    "paused by command",
    "resumed by command",
    "cancelled by command",
};

int sim_note_kind_count(void)
{
    return (int)HD_COUNT(kinds);
}

const char *sim_note_kind(int index)
{
    return kinds[index];
}

void sim_note_count(struct sim_cover *cover, const char *text)
{
    for (size_t i = 0; i < HD_COUNT(kinds); i++)
        if (strstr(text, kinds[i]) != NULL)
            cover->notes[i]++;
}
