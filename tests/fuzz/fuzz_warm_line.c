/* SPDX-License-Identifier: Apache-2.0 */
/* Whatever a warm target says: no crash, an id that fits, and what is kept of it is one line of
 * JSON without the id, which hd_loss_parse() takes. */
#include "warm_line.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct hd_warm_line line;
    struct hd_value *value = NULL;
    struct hd_err err;
    hd_warm_line_read((const char *)data, size, &line);
    hd_assert(strnlen(line.id, sizeof(line.id)) < sizeof(line.id));
    hd_assert(strnlen(line.why, sizeof(line.why)) < sizeof(line.why));
    hd_assert((line.id[0] == '\0') == (line.kind == HD_WARM_ABOUT || line.kind == HD_WARM_GARBAGE));
    if (line.kind == HD_WARM_POINT || line.kind == HD_WARM_ANSWER) {
        static char name[] = "loss";
        struct hd_experiment experiment = {.objective = {.name = name}};
        struct hd_loss loss;
        hd_assert(memchr(line.text.data, '\n', line.text.size) == NULL);
        hd_assert(hd_json_parse(line.text.data, line.text.size, "kept", &hd_value_limits_target,
                                &value, &err) == HD_OK);
        hd_assert(value->kind == HD_VALUE_OBJECT && hd_value_get(value, "id") == NULL);
        hd_assert((hd_value_get(value, "step") != NULL) == (line.kind == HD_WARM_POINT));
        hd_value_free(value);
        hd_loss_parse(line.text.data, line.text.size, &experiment, &loss);
    }
    hd_warm_line_release(&line);
    return 0;
}
