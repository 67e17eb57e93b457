/* SPDX-License-Identifier: Apache-2.0 */
/* describe_services.c: a plan of services as a value. */
#include "describe.h"

#include <hd/services.h>

#include <string.h>

static struct hd_value *describe_texts(char *const *texts, size_t count)
{
    struct hd_value *list = hd_value_new_array();
    bool good = list != NULL;
    for (size_t i = 0; good && i < count; i++)
        good = hd_value_append(list, hd_value_new_string(texts[i])) == HD_OK;
    return finish(list, good);
}

static size_t count_words(char *const *words)
{
    size_t count = 0;
    while (words != NULL && words[count] != NULL)
        count++;
    return count;
}

static struct hd_value *describe_ports(const struct hd_service *service)
{
    struct hd_value *list = hd_value_new_array();
    bool good = list != NULL;
    for (size_t i = 0; good && i < service->port_count; i++) {
        const struct hd_service_port *port = &service->ports[i];
        bool v6 = strchr(port->address, ':') != NULL;
        char host[96] = "", container[32];
        if (port->address[0] != '\0')
            (void)hd_format(host, sizeof(host), "%s%s%s:%s", v6 ? "[" : "", port->address,
                            v6 ? "]" : "", port->host);
        else
            (void)hd_copy_text(host, sizeof(host), port->host);
        (void)hd_format(container, sizeof(container), "%u/%s", port->container, port->protocol);
        struct hd_value *map = hd_value_new_object();
        good = map != NULL && put(map, "host", new_text(host[0] != '\0' ? host : NULL)) &&
               put(map, "container", hd_value_new_string(container));
        map = finish(map, good);
        good = map != NULL && hd_value_append(list, map) == HD_OK;
    }
    return finish(list, good);
}

static struct hd_value *describe_volumes(const struct hd_service *service)
{
    struct hd_value *list = hd_value_new_array();
    bool good = list != NULL;
    for (size_t i = 0; good && i < service->volume_count; i++) {
        const struct hd_service_volume *volume = &service->volumes[i];
        struct hd_value *map = hd_value_new_object();
        good = map != NULL && put(map, "host", hd_value_new_string(volume->host)) &&
               put(map, "container", hd_value_new_string(volume->container)) &&
               put(map, "read_only", hd_value_new_bool(volume->read_only));
        map = finish(map, good);
        good = map != NULL && hd_value_append(list, map) == HD_OK;
    }
    return finish(list, good);
}

static struct hd_value *describe_depends(const struct hd_services *plan,
                                         const struct hd_service *service)
{
    char *names[HD_SERVICES_MAX];
    for (size_t i = 0; i < service->depend_count; i++)
        names[i] = plan->items[service->depends[i]].name;
    return describe_texts(names, service->depend_count);
}

static struct hd_value *describe_ready(const struct hd_service *service)
{
    if (service->ready == HD_SERVICE_READY_STARTED)
        return hd_value_new_null();
    struct hd_value *map = hd_value_new_object();
    bool good = map != NULL;
    switch (service->ready) {
    case HD_SERVICE_READY_LOG:
        good = good && put(map, "log", hd_value_new_string(service->ready_text));
        break;
    case HD_SERVICE_READY_PORT:
        good = good && put(map, "port", hd_value_new_int(service->ready_port));
        break;
    case HD_SERVICE_READY_HEALTH:
        good = good && put(map, "healthcheck",
                           service->ready_text != NULL ? hd_value_new_string(service->ready_text)
                                                       : hd_value_new_bool(true));
        break;
    case HD_SERVICE_READY_EXIT:
        good = good && put(map, "exit", hd_value_new_bool(true));
        break;
    case HD_SERVICE_READY_STARTED:
        break;
    }
    return finish(map, good && put(map, "timeout", new_ms(service->ready_ms)));
}

static struct hd_value *describe_service(const struct hd_services *plan,
                                         const struct hd_service *service)
{
    struct hd_value *map = hd_value_new_object();
    bool good = map != NULL && put(map, "name", hd_value_new_string(service->name)) &&
                put(map, "image", hd_value_new_string(service->image)) &&
                put(map, "cmd",
                    service->command != NULL
                        ? describe_texts(service->command, count_words(service->command))
                        : hd_value_new_null()) &&
                put(map, "env", describe_texts(service->env, count_words(service->env))) &&
                put(map, "ports", describe_ports(service)) &&
                put(map, "volumes", describe_volumes(service)) &&
                put(map, "networks", describe_texts(service->networks, service->network_count)) &&
                put(map, "depends", describe_depends(plan, service)) &&
                put(map, "ready", describe_ready(service));
    return finish(map, good);
}

struct hd_value *hd_services_describe(const struct hd_services *plan)
{
    struct hd_value *list = hd_value_new_array();
    bool good = list != NULL;
    for (size_t i = 0; good && i < plan->count; i++)
        good = hd_value_append(list, describe_service(plan, &plan->items[i])) == HD_OK;
    return finish(list, good);
}
