/* SPDX-License-Identifier: Apache-2.0 */
/* Whatever a worker says of a work directory: no crash, what is taken is within bounds, and nothing
 * appears in the depot but what its SHA-256 names. */
#include "depot.h"

#include <hd/message.h>
#include <hd/os.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BYTES_MAX 65536u

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static bool keeps(void *context, struct hd_attempt_ref attempt)
{
    (void)context;
    return attempt.job % 2 == 0;
}

static struct hd_depot *open_depot(char *directory)
{
    struct hd_depot *depot = NULL;
    struct hd_err err;
    hd_assert(mkdtemp(directory) != NULL);
    const struct hd_depot_settings settings = {
        .directory = directory, .bytes_max = BYTES_MAX, .keeps = keeps};
    hd_assert(hd_depot_open(&settings, &depot, &err) == HD_OK);
    return depot;
}

static void take(struct hd_depot *depot, const char *line)
{
    struct hd_depot_question question;
    struct hd_err err;
    struct hd_buf json;
    bool shelved = false;
    if (hd_depot_question_parse(line, &question, &err) != HD_OK)
        return;
    hd_assert(question.attempt.attempt > 0 && question.size <= INT64_MAX);
    hd_buf_init(&json, HD_VIEW_JSON_MAX);
    const struct hd_depot_place place = {question.attempt.run_uid, question.attempt.job};
    (void)!hd_depot_take(depot, &question, place, question.attempt, &json, &shelved, &err);
    hd_assert(hd_depot_bytes(depot) <= BYTES_MAX);
    hd_buf_release(&json);
    hd_depot_question_release(&question);
}

/* A question a line. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char directory[] = "/tmp/fuzz-depot-XXXXXX";
    struct hd_err err;
    char *text = hd_calloc(1, size + 1);
    hd_assert(text != NULL);
    memcpy(text, data, size);
    struct hd_depot *depot = open_depot(directory);
    for (char *at = text, *end; *at != '\0'; at = end) {
        end = at + strcspn(at, "\n");
        if (*end != '\0')
            *end++ = '\0';
        take(depot, at);
    }
    hd_depot_close(depot);
    hd_assert(hd_remove_tree(directory, &err) == HD_OK);
    hd_free(text);
    return 0;
}
