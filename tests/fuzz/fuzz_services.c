/* SPDX-License-Identifier: Apache-2.0 */
/* Whatever stands in a file of services: no crash, layers that hold, and JSON that can be read. */
#include "services.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_service(const struct hd_services *plan, const struct hd_service *service)
{
    const struct hd_services_options options = {.file = "/f", .uuid = "0123456789abcdef"};
    struct hd_buf body;
    struct hd_value *value = NULL;
    struct hd_err err;
    for (size_t k = 0; k < service->depend_count; k++)
        hd_assert(plan->items[service->depends[k]].layer < service->layer);
    hd_assert(service->layer < plan->layer_count);
    hd_buf_init(&body, 1 << 24);
    if (services_write_container(service, &options, &body, &err) == HD_OK) {
        const struct hd_value_limits limits = {1 << 24, 100000, 16};
        hd_assert(hd_json_parse(body.data, body.size, "body", &limits, &value, &err) == HD_OK);
        hd_value_free(value);
    }
    hd_buf_release(&body);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct hd_value *value = NULL;
    struct hd_services *plan = NULL;
    struct hd_service_found *found = NULL;
    struct hd_err err = {0};
    size_t count;
    if (services_parse_list((const char *)data, size, &found, &count, &err) == HD_OK)
        hd_free(found);
    if (hd_yaml_parse((const char *)data, size, "f", &hd_value_limits_file, &value, &err) != HD_OK)
        return 0;
    if (hd_services_parse(value, "f", "/base", &plan, &err) != HD_OK)
        hd_assert(err.text[0] != '\0');
    for (size_t i = 0; plan != NULL && i < plan->count; i++)
        check_service(plan, &plan->items[i]);
    hd_services_free(plan);
    hd_value_free(value);
    return 0;
}
