/* SPDX-License-Identifier: Apache-2.0 */
/*
 * warm_line.h: what a warm target says, one line at a time. Pure; docs/target-contract.md is the
 * version for people.
 *
 *   {"stops": true}                              about itself, before its first job
 *   {"id": "7-1", "step": 3, "loss": 0.4}        a point of the curve
 *   {"id": "7-1"}                                a sign of life
 *   {"id": "7-1", "loss": 0.25}                  the answer: what loss.json would hold, and the id
 */
#ifndef HD_ENGINE_WARM_LINE_H
#define HD_ENGINE_WARM_LINE_H

#include <hd/engine.h>

#define HD_WARM_LINE_MAX (1024u * 1024u) /* of a target; a longer one is garbage */
#define HD_WARM_ID_SIZE 32

enum hd_warm_line_kind {
    HD_WARM_ABOUT,
    HD_WARM_POINT,
    HD_WARM_BEAT,
    HD_WARM_ANSWER,
    HD_WARM_GARBAGE, /* `why` says what is wrong with it */
};

struct hd_warm_line {
    enum hd_warm_line_kind kind;
    char id[HD_WARM_ID_SIZE]; /* "" for ABOUT and GARBAGE */
    bool stops;               /* ABOUT: it obeys control/stop */
    char why[200];
    struct hd_buf text; /* POINT, ANSWER: the object without its id, compact */
};

/* Never fails: what cannot be read is garbage. Release with hd_warm_line_release(). */
void hd_warm_line_read(const char *text, size_t size, struct hd_warm_line *ret_line);
void hd_warm_line_release(struct hd_warm_line *line);

#endif
