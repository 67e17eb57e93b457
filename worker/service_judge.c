/* SPDX-License-Identifier: Apache-2.0 */
/* service_judge.c: what a master may have a worker start beside its targets. */
#include "mounts.h"
#include "service_sets.h"

#include <string.h>

#define WORD_SIZE 160

/* As target.ports writes them: the rule sees ADDRESS:PORT of this machine. */
static void write_ports(const struct hd_service *service, char (*words)[WORD_SIZE], char **ports)
{
    for (size_t i = 0; i < service->port_count; i++) {
        const struct hd_service_port *port = &service->ports[i];
        const char *address = port->address[0] != '\0' ? port->address : "0.0.0.0";
        bool v6 = strchr(address, ':') != NULL;
        (void)hd_format(words[i], WORD_SIZE, "%s%s%s:%s:%u/%s", v6 ? "[" : "", address,
                        v6 ? "]" : "", port->host, port->container, port->protocol);
        ports[i] = words[i];
    }
    ports[service->port_count] = NULL;
}

/* What it asks for, as if it were a job. */
static enum hd_code judge_container(const struct hd_policy *policy, const char *engine,
                                    const struct hd_service *service,
                                    struct hd_services_bounds *bounds, struct hd_err *err)
{
    static const struct hd_experiment plain = {.name = NULL};
    char words[HD_SERVICE_LIST_MAX][WORD_SIZE], *ports[HD_SERVICE_LIST_MAX + 1];
    char *networks[HD_SERVICE_LIST_MAX + 1], host[] = "host";
    struct hd_container container = {.ports = ports, .networks = networks};
    size_t count = 0;
    write_ports(service, words, ports);
    for (size_t i = 0; i < service->network_count; i++)
        if (hd_streq(service->networks[i], host))
            container.network = host; /* a rule of its own */
        else
            networks[count++] = service->networks[i];
    networks[count] = NULL;
    struct hd_engine_job job = {.image = service->image, .engine = engine, .container = &container};
    enum hd_code code = hd_policy_apply(policy, &plain, NULL, &job, err);
    if (code == HD_OK)
        *bounds = (struct hd_services_bounds){
            .cpus = job.cpus, .memory_bytes = job.memory_bytes, .pids = job.pids};
    return code;
}

static enum hd_code judge_volumes(const struct hd_policy *policy, struct hd_service *service,
                                  struct hd_err *err)
{
    enum hd_code code = HD_OK;
    for (size_t i = 0; code == HD_OK && i < service->volume_count; i++) {
        struct hd_service_volume *volume = &service->volumes[i];
        char *real = NULL;
        if (volume->host[0] != '/')
            return hd_fail(err, HD_E_INVALID, "%.200s: relative to a directory that is not known",
                           volume->host);
        code = hd_mounts_check_kind("volumes", volume->host, false, err);
        if (code == HD_OK)
            code = hd_policy_service_volume(policy, volume->host, !volume->read_only, &real, err);
        if (code != HD_OK)
            break;
        hd_free(volume->host);
        volume->host = real;
    }
    return code;
}

enum hd_code hd_services_judge(const struct hd_policy *policy, const char *engine,
                               struct hd_services *plan, struct hd_services_bounds *ret_bounds,
                               struct hd_err *err)
{
    struct hd_services_bounds bounds = {.cpus = 0};
    for (size_t i = 0; i < plan->count; i++) {
        struct hd_service *service = &plan->items[i];
        enum hd_code code = judge_container(policy, engine, service, &bounds, err);
        if (code == HD_OK)
            code = judge_volumes(policy, service, err);
        if (code != HD_OK)
            return hd_fail_in(err, "services.%s", service->name);
    }
    *ret_bounds = bounds;
    return HD_OK;
}
