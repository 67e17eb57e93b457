/* SPDX-License-Identifier: Apache-2.0 */
/* services_write.c: services as the engine's JSON, and its list of containers as ours. Pure. */
#include "services.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define CONTAINERS_MAX 10000 /* of an answer */
#define LOG_BYTES "16m"

/* Writes on until the first failure and remembers it. */
struct writer {
    struct hd_buf *out;
    struct hd_err *err;
    enum hd_code code;
};

static void put(struct writer *w, const char *text)
{
    if (w->code == HD_OK)
        w->code = hd_buf_puts(w->out, text, w->err);
}

static void put_string(struct writer *w, const char *text)
{
    if (w->code == HD_OK)
        w->code = hd_json_write_string(text, w->out, w->err);
}

static void put_pair(struct writer *w, const char *key, const char *value)
{
    put_string(w, key);
    put(w, ":");
    put_string(w, value);
}

static void put_words(struct writer *w, const char *field, char *const *words)
{
    if (words == NULL)
        return;
    put(w, field);
    for (size_t i = 0; words[i] != NULL; i++) {
        put(w, i > 0 ? "," : "");
        put_string(w, words[i]);
    }
    put(w, "]");
}

static void put_set_labels(struct writer *w, const struct hd_services_options *options)
{
    put(w, "\"Labels\":{");
    put_pair(w, SERVICES_LABEL, options->uuid);
    put(w, ",");
    put_pair(w, SERVICES_FILE_LABEL, options->file);
    if (options->host == NULL)
        return;
    put(w, ",");
    put_pair(w, SERVICES_HOST_LABEL, options->host);
}

static bool same_key(const struct hd_service_port *a, const struct hd_service_port *b)
{
    return a->container == b->container && hd_streq(a->protocol, b->protocol);
}

/* An object may not have a key twice. */
static bool is_repeated(const struct hd_service *service, size_t index)
{
    for (size_t k = 0; k < index; k++)
        if (same_key(&service->ports[k], &service->ports[index]))
            return true;
    return false;
}

static void put_exposed(struct writer *w, const struct hd_service *service)
{
    put(w, ",\"ExposedPorts\":{");
    for (size_t i = 0; i < service->port_count; i++) {
        char key[32];
        if (is_repeated(service, i))
            continue;
        (void)hd_format(key, sizeof(key), "%u/%s", service->ports[i].container,
                        service->ports[i].protocol);
        put(w, i > 0 ? "," : "");
        put_string(w, key);
        put(w, ":{}");
    }
    put(w, "}");
}

/* One container port may be published at several places. */
static void put_bindings(struct writer *w, const struct hd_service *service)
{
    put(w, "\"PortBindings\":{");
    bool first_key = true;
    for (size_t i = 0; i < service->port_count; i++) {
        const struct hd_service_port *port = &service->ports[i];
        if (is_repeated(service, i))
            continue;
        char key[32];
        (void)hd_format(key, sizeof(key), "%u/%s", port->container, port->protocol);
        put(w, first_key ? "" : ",");
        first_key = false;
        put_string(w, key);
        put(w, ":[");
        bool first = true;
        for (size_t k = i; k < service->port_count; k++) {
            if (!same_key(&service->ports[k], port))
                continue;
            put(w, first ? "{" : ",{");
            first = false;
            put_pair(w, "HostIp", service->ports[k].address);
            put(w, ",");
            put_pair(w, "HostPort", service->ports[k].host);
            put(w, "}");
        }
        put(w, "]");
    }
    put(w, "}");
}

/* Mounts, not Binds: a missing source is refused instead of being made as an empty directory. */
static void put_mounts(struct writer *w, const struct hd_service *service)
{
    put(w, ",\"Mounts\":[");
    for (size_t i = 0; i < service->volume_count; i++) {
        const struct hd_service_volume *volume = &service->volumes[i];
        put(w, i > 0 ? ",{\"Type\":\"bind\"," : "{\"Type\":\"bind\",");
        put_pair(w, "Source", volume->host);
        put(w, ",");
        put_pair(w, "Target", volume->container);
        put(w, volume->read_only ? ",\"ReadOnly\":true}" : "}");
    }
    put(w, "]");
}

/* Networks of the engine itself know no names. */
static bool has_names(const char *network)
{
    return !hd_streq(network, "host") && !hd_streq(network, "none") && !hd_streq(network, "bridge");
}

bool hd_services_apart_name(const char *name, const char *uuid,
                            char ret_name[HD_SERVICES_NAME_SIZE])
{
    return has_names(name) && hd_format(ret_name, HD_SERVICES_NAME_SIZE, "%s-%s", name, uuid);
}

const char *services_network_name(const struct hd_services_options *options, const char *network,
                                  char name[HD_SERVICES_NAME_SIZE])
{
    return options->apart && hd_services_apart_name(network, options->uuid, name) ? name : network;
}

const char *services_container_name(const struct hd_services_options *options, const char *service,
                                    char name[HD_SERVICES_NAME_SIZE])
{
    return options->apart && hd_format(name, HD_SERVICES_NAME_SIZE, "%s-%s", service, options->uuid)
               ? name
               : service;
}

/* An endpoint in a network; others find the service there by its name. */
static void put_endpoint(struct writer *w, const struct hd_service *service, const char *network)
{
    put(w, "{");
    if (has_names(network)) {
        put(w, "\"Aliases\":[");
        put_string(w, service->name);
        put(w, "]");
    }
    put(w, "}");
}

static void put_networks(struct writer *w, const struct hd_service *service,
                         const struct hd_services_options *options)
{
    char name[HD_SERVICES_NAME_SIZE];
    if (service->network_count == 0)
        return;
    put(w, ",\"NetworkingConfig\":{\"EndpointsConfig\":{");
    put_string(w, services_network_name(options, service->networks[0], name));
    put(w, ":");
    put_endpoint(w, service, service->networks[0]);
    put(w, "}}");
}

static void put_health(struct writer *w, const struct hd_service *service)
{
    if (service->ready != HD_SERVICE_READY_HEALTH || service->ready_text == NULL)
        return;
    put(w, ",\"Healthcheck\":{\"Test\":[\"CMD-SHELL\",");
    put_string(w, service->ready_text);
    put(w, "],\"Interval\":1000000000,\"Timeout\":5000000000,\"Retries\":1000000}");
}

/* Where a job of a worker is bounded, so is what comes with it. */
static void put_bounds(struct writer *w, const struct hd_services_bounds *bounds)
{
    char text[96];
    if (bounds == NULL)
        return;
    put(w, ",\"SecurityOpt\":[\"no-new-privileges\"]");
    if (bounds->memory_bytes > 0) {
        (void)hd_format(text, sizeof(text), ",\"Memory\":%" PRIu64 ",\"MemorySwap\":%" PRIu64,
                        bounds->memory_bytes, bounds->memory_bytes);
        put(w, text);
    }
    if (bounds->cpus > 0) {
        (void)hd_format(text, sizeof(text), ",\"NanoCpus\":%" PRId64,
                        (int64_t)(bounds->cpus * 1e9));
        put(w, text);
    }
    if (bounds->pids > 0) {
        (void)hd_format(text, sizeof(text), ",\"PidsLimit\":%" PRId64, bounds->pids);
        put(w, text);
    }
    if (bounds->runtime != NULL) {
        put(w, ",");
        put_pair(w, "Runtime", bounds->runtime);
    }
}

/* No init: some images bring their own, which must be process 1. */
enum hd_code services_write_container(const struct hd_service *service,
                                      const struct hd_services_options *options, struct hd_buf *out,
                                      struct hd_err *err)
{
    struct writer w = {out, err, HD_OK};
    char layer[16], name[HD_SERVICES_NAME_SIZE];
    (void)hd_format(layer, sizeof(layer), "%u", service->layer);
    put(&w, "{\"Image\":");
    put_string(&w, service->image);
    put_words(&w, ",\"Cmd\":[", service->command);
    put_words(&w, ",\"Env\":[", service->env);
    put(&w, ",\"Tty\":false,");
    put_set_labels(&w, options);
    put(&w, ",");
    put_pair(&w, SERVICES_NAME_LABEL, service->name);
    put(&w, ",");
    put_pair(&w, SERVICES_LAYER_LABEL, layer);
    put(&w, "}");
    put_exposed(&w, service);
    put_health(&w, service);
    put(&w, ",\"HostConfig\":{");
    put_bindings(&w, service);
    put_mounts(&w, service);
    if (service->network_count > 0) {
        put(&w, ",");
        put_pair(&w, "NetworkMode", services_network_name(options, service->networks[0], name));
    }
    put_bounds(&w, options->bounds);
    put(&w, ",\"AutoRemove\":false,\"RestartPolicy\":{\"Name\":\"no\"},\"LogConfig\":{\"Type\":"
            "\"json-file\",\"Config\":{\"max-size\":\"" LOG_BYTES "\",\"max-file\":\"2\"}}}");
    put_networks(&w, service, options);
    put(&w, "}");
    return w.code;
}

enum hd_code services_write_network(const char *name, const struct hd_services_options *options,
                                    struct hd_buf *out, struct hd_err *err)
{
    struct writer w = {out, err, HD_OK};
    put(&w, "{");
    put_pair(&w, "Name", name);
    put(&w, ",\"CheckDuplicate\":true,");
    put_set_labels(&w, options);
    put(&w, "}}");
    return w.code;
}

enum hd_code services_write_connect(const struct hd_service *service, const char *id,
                                    struct hd_buf *out, struct hd_err *err)
{
    struct writer w = {out, err, HD_OK};
    put(&w, "{");
    put_pair(&w, "Container", id);
    put(&w, ",\"EndpointConfig\":{\"Aliases\":[");
    put_string(&w, service->name);
    put(&w, "]}}");
    return w.code;
}

/* One condition of a filter. */
static enum hd_code write_condition(const char *label, const char *value, struct hd_buf *filter,
                                    struct hd_err *err)
{
    struct hd_buf text;
    hd_buf_init(&text, HD_DOCKER_URL_MAX);
    enum hd_code code = hd_buf_printf(&text, err, "%s%s%s", label, value != NULL ? "=" : "",
                                      value != NULL ? value : "");
    if (code == HD_OK)
        code = hd_json_write_string(hd_buf_text(&text), filter, err);
    hd_buf_release(&text);
    return code;
}

enum hd_code services_write_filter(const char *label, const char *value, const char *host,
                                   char *ret_text, size_t text_size, struct hd_err *err)
{
    struct hd_buf filter;
    char escaped[HD_DOCKER_URL_MAX - 128];
    hd_buf_init(&filter, HD_DOCKER_URL_MAX);
    enum hd_code code = hd_buf_puts(&filter, "{\"label\":[", err);
    if (code == HD_OK)
        code = write_condition(label, value, &filter, err);
    if (code == HD_OK && host != NULL)
        code = hd_buf_puts(&filter, ",", err);
    if (code == HD_OK && host != NULL)
        code = write_condition(SERVICES_HOST_LABEL, host, &filter, err);
    if (code == HD_OK)
        code = hd_buf_puts(&filter, "]}", err);
    if (code == HD_OK && (!hd_docker_url_escape(hd_buf_text(&filter), escaped, sizeof(escaped)) ||
                          !hd_format(ret_text, text_size, "filters=%s", escaped)))
        code = HD_E_LIMIT;
    hd_buf_release(&filter);
    return code == HD_E_LIMIT ? hd_fail(err, HD_E_LIMIT, "the path of the file is too long") : code;
}

/* ---- the list -------------------------------------------------------------------------------- */

static const char *text_at(const struct hd_value *object, const char *key)
{
    const struct hd_value *value = hd_value_get(object, key);
    return value != NULL && value->kind == HD_VALUE_STRING ? value->as.string : "";
}

static bool take_entry(const struct hd_value *entry, struct hd_service_found *found)
{
    const struct hd_value *labels = hd_value_get(entry, "Labels");
    int64_t layer = 0;
    *found = (struct hd_service_found){.layer = 0};
    if (!hd_parse_i64(text_at(labels, SERVICES_LAYER_LABEL), &layer) || layer < 0 ||
        layer > HD_SERVICES_MAX)
        layer = 0;
    found->layer = (uint32_t)layer;
    (void)hd_copy_text(found->name, sizeof(found->name), text_at(labels, SERVICES_NAME_LABEL));
    (void)hd_copy_text(found->host, sizeof(found->host), text_at(labels, SERVICES_HOST_LABEL));
    (void)hd_copy_text(found->image, sizeof(found->image), text_at(entry, "Image"));
    (void)hd_copy_text(found->state, sizeof(found->state), text_at(entry, "State"));
    (void)hd_copy_text(found->status, sizeof(found->status), text_at(entry, "Status"));
    return text_at(labels, SERVICES_LABEL)[0] != '\0' &&
           hd_copy_text(found->uuid, sizeof(found->uuid), text_at(labels, SERVICES_LABEL)) &&
           hd_copy_text(found->file, sizeof(found->file), text_at(labels, SERVICES_FILE_LABEL)) &&
           hd_copy_text(found->id, sizeof(found->id), text_at(entry, "Id")) &&
           strspn(found->id, "0123456789abcdef") == strlen(found->id) && found->id[0] != '\0';
}

static int by_set_and_layer(const void *a, const void *b)
{
    const struct hd_service_found *x = a, *y = b;
    int order = strcmp(x->file, y->file);
    if (order == 0)
        order = strcmp(x->host, y->host);
    if (order == 0)
        order = strcmp(x->uuid, y->uuid);
    if (order == 0)
        order = x->layer < y->layer ? -1 : x->layer > y->layer;
    return order != 0 ? order : strcmp(x->name, y->name);
}

enum hd_code services_parse_list(const char *text, size_t size, struct hd_service_found **ret_found,
                                 size_t *ret_count, struct hd_err *err)
{
    const struct hd_value_limits limits = {HD_DOCKER_BODY_MAX, 1000000, 16};
    struct hd_value *list = NULL;
    enum hd_code code = hd_json_parse(text, size, "the engine's list", &limits, &list, err);
    if (code != HD_OK)
        return code;
    size_t count = list->kind == HD_VALUE_ARRAY ? list->as.array.count : 0, used = 0;
    struct hd_service_found *found = NULL;
    if (list->kind != HD_VALUE_ARRAY || count > CONTAINERS_MAX)
        code = hd_fail(err, HD_E_INVALID, "the engine's list is none, or too long");
    if (code == HD_OK && (found = hd_calloc(count + 1, sizeof(*found))) == NULL)
        code = hd_fail(err, HD_E_NOMEM, "no memory for a list of services");
    for (size_t i = 0; code == HD_OK && i < count; i++)
        used += take_entry(list->as.array.items[i], &found[used]) ? 1 : 0;
    hd_value_free(list);
    if (code != HD_OK)
        return code;
    qsort(found, used, sizeof(*found), by_set_and_layer);
    *ret_found = found;
    *ret_count = used;
    return HD_OK;
}
