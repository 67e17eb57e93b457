/* SPDX-License-Identifier: Apache-2.0 */
/* Whatever a worker asks about its directories and a master answers: no crash, and an answer for
 * each question or none at all. */
#include "driver_internal.h"
#include "needed.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void try_answer(const char *text, size_t size)
{
    struct hd_value *value = NULL;
    struct hd_err err;
    enum hd_need needs[3] = {HD_NEED_UNKNOWN, HD_NEED_UNKNOWN, HD_NEED_UNKNOWN};
    if (hd_json_parse(text, size, "answer", &hd_value_limits_target, &value, &err) == HD_OK &&
        hd_needed_take(value, HD_COUNT(needs), needs, &err) != HD_OK)
        for (size_t i = 0; i < HD_COUNT(needs); i++)
            hd_assert(needs[i] == HD_NEED_UNKNOWN);
    hd_value_free(value);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct hd_core *core = NULL;
    struct hd_buf json;
    struct hd_err err;
    const struct hd_core_options options = {.ping_ms = 5000};
    char *text = hd_calloc(size + 1, 1);
    hd_assert(text != NULL && hd_core_new(&options, &core, &err) == HD_OK);
    if (size > 0)
        memcpy(text, data, size);
    hd_buf_init(&json, HD_VIEW_JSON_MAX);
    if (hd_read_needs(core, text, &json, &err) == HD_OK)
        hd_assert(strncmp(hd_buf_text(&json), "{\"need\":[", 9) == 0);
    try_answer(text, strlen(text));
    hd_buf_release(&json);
    hd_core_free(core);
    hd_free(text);
    return 0;
}
