/* SPDX-License-Identifier: Apache-2.0 */
/* Whatever nvidia-smi or a person says: no crash, UUIDs that fit into an environment and into JSON
 * as they are, no GPU twice, and each can be had once. */
#include "gpus.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(struct hd_gpus *gpus)
{
    static char text[HD_GPU_TEXT_SIZE];
    struct hd_err err;
    const struct hd_attempt_ref job = {1, 2, 3}, other = {1, 3, 1};
    hd_assert(gpus->count <= HD_GPUS_MAX && gpus->share == 1);
    for (uint32_t i = 0; i < gpus->count; i++) {
        const char *uuid = gpus->gpus[i].uuid;
        hd_assert(strnlen(uuid, HD_GPU_UUID_SIZE) < HD_GPU_UUID_SIZE);
        hd_assert(strpbrk(uuid, ", \"\\\n=") == NULL);
        for (uint32_t j = 0; j < i; j++)
            hd_assert(!hd_streq(gpus->gpus[j].uuid, uuid));
    }
    hd_assert(hd_gpus_take(gpus, job, gpus->count, text, &err) == HD_OK);
    hd_assert(gpus->count == 0 || hd_gpus_take(gpus, other, 1, text, &err) == HD_E_BUSY);
    hd_gpus_release(gpus, job);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct hd_gpus gpus;
    static char names[4096];
    struct hd_err err;
    if (hd_gpus_parse_list((const char *)data, size, &gpus, &err) == HD_OK)
        check(&gpus);
    (void)hd_format(names, sizeof(names), "%.*s", (int)(size < 4000 ? size : 4000),
                    (const char *)data);
    if (hd_gpus_parse_names(names, &gpus, &err) == HD_OK) {
        hd_assert(gpus.count > 0);
        check(&gpus);
    }
    return 0;
}
