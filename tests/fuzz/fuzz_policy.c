/* SPDX-License-Identifier: Apache-2.0 */
/* Whatever stands in a policy file: no crash, and a policy that was read can judge. */
#include "policy.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static char host[] = "host", capability[] = "NET_ADMIN", *capabilities[] = {capability, NULL};
    struct hd_policy *policy = NULL;
    struct hd_err err = {0};
    if (hd_policy_parse((const char *)data, size, "policy", &policy, &err) != HD_OK) {
        hd_assert(err.text[0] != '\0');
        return 0;
    }
    const struct hd_experiment experiment = {0};
    const struct hd_container container = {.network = host, .cap_add = capabilities};
    struct hd_engine_job job = {.image = "ghcr.io/someone/something:1", .container = &container};
    const struct hd_engine_job asked = job;
    if (hd_policy_apply(policy, &experiment, NULL, &job, &err) != HD_OK)
        hd_assert(strstr(err.text, "refused by the policy") != NULL);
    else
        hd_assert(job.cpus >= asked.cpus && job.timeout_ms >= 0 && job.pids >= 0);
    hd_policy_free(policy);
    return 0;
}
