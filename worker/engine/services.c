/* SPDX-License-Identifier: Apache-2.0 */
/*
 * services.c: sets of services over a Docker engine: up, down, list.
 *
 * What is done to the services of a layer is done by a few threads, each with its own client. All
 * that must survive is in the labels of what was made.
 */
#include "services.h"

#include <hd/os.h>

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#define SINK_LOOKS_MAX 8
#define BUSY_TRIES_MAX 100 /* while the engine removes a container by itself */
#define BUSY_MS 100
#define BODY_BYTES_MAX (1u << 20)

/* ---- a client -------------------------------------------------------------------------------- */

static bool never(void *context)
{
    (void)context;
    return false;
}

struct client {
    struct hd_docker_endpoint *endpoint;
    struct hd_docker_api api;
};

static enum hd_code open_client(struct hd_docker_endpoint *endpoint,
                                const struct hd_services_options *options, bool interruptible,
                                struct client *client, struct hd_err *err)
{
    bool may = interruptible && options->interrupted != NULL;
    *client = (struct client){.endpoint = endpoint,
                              .api = {.endpoint = endpoint,
                                      .interrupted = may ? options->interrupted : never,
                                      .context = options->context}};
    return hd_docker_http_new(endpoint, &client->api.http, err);
}

static void close_client(struct client *client)
{
    hd_docker_http_free(client->api.http);
}

/* ---- many at a time -------------------------------------------------------------------------- */

struct crew {
    struct hd_docker_endpoint *endpoint;
    const struct hd_services_options *options;
    bool interruptible, stop_at_failure;
    enum hd_code (*work)(struct crew *crew, struct hd_docker_api *api, size_t index,
                         struct hd_err *err);
    void *context;
    size_t count;
    pthread_mutex_t mutex; /* guards what follows, and options->say */
    size_t next, done;
    bool failed;
    struct hd_err err; /* the first failure */
};

static void say(struct crew *crew, const char *name, const char *text)
{
    if (crew->options->say == NULL)
        return;
    pthread_mutex_lock(&crew->mutex);
    crew->options->say(crew->options->context, name, text);
    pthread_mutex_unlock(&crew->mutex);
}

static bool take(struct crew *crew, size_t *ret_index)
{
    pthread_mutex_lock(&crew->mutex);
    bool some = crew->next < crew->count && !(crew->failed && crew->stop_at_failure);
    if (some)
        *ret_index = crew->next++;
    pthread_mutex_unlock(&crew->mutex);
    return some;
}

static void note(struct crew *crew, enum hd_code code, const struct hd_err *err)
{
    pthread_mutex_lock(&crew->mutex);
    crew->done += code == HD_OK ? 1 : 0;
    if (code != HD_OK && !crew->failed) {
        crew->failed = true;
        crew->err = *err;
    }
    pthread_mutex_unlock(&crew->mutex);
}

/* By the person, or since another service of the layer has failed: nobody waits for the rest. */
static bool is_called_off(void *context)
{
    struct crew *crew = context;
    const struct hd_services_options *options = crew->options;
    pthread_mutex_lock(&crew->mutex);
    bool failed = crew->failed && crew->stop_at_failure;
    pthread_mutex_unlock(&crew->mutex);
    return failed || (options->interrupted != NULL && options->interrupted(options->context));
}

static void *crew_main(void *context)
{
    struct crew *crew = context;
    struct client client;
    struct hd_err err;
    size_t index;
    if (open_client(crew->endpoint, crew->options, false, &client, &err) != HD_OK) {
        note(crew, err.code, &err);
        return NULL;
    }
    if (crew->interruptible) {
        client.api.interrupted = is_called_off;
        client.api.context = crew;
    }
    while (take(crew, &index)) {
        enum hd_code code = crew->work(crew, &client.api, index, &err);
        note(crew, code, &err);
    }
    close_client(&client);
    return NULL;
}

/* Returns when all are done; the first failure. */
static enum hd_code run_crew(struct crew *crew, struct hd_err *err)
{
    pthread_t threads[HD_SERVICES_PARALLEL_MAX];
    size_t started = 0, wanted = crew->options->parallel > 0 ? crew->options->parallel
                                                             : HD_SERVICES_PARALLEL_DEFAULT;
    wanted = wanted < HD_SERVICES_PARALLEL_MAX ? wanted : HD_SERVICES_PARALLEL_MAX;
    wanted = wanted < crew->count ? wanted : crew->count;
    pthread_mutex_init(&crew->mutex, NULL);
    while (started < wanted && pthread_create(&threads[started], NULL, crew_main, crew) == 0)
        started++;
    if (started == 0 && wanted > 0) /* no thread to be had: by itself */
        (void)crew_main(crew);
    for (size_t i = 0; i < started; i++)
        pthread_join(threads[i], NULL);
    pthread_mutex_destroy(&crew->mutex);
    if (crew->failed && err != NULL)
        *err = crew->err;
    return crew->failed ? crew->err.code : HD_OK;
}

/* ---- asking ---------------------------------------------------------------------------------- */

static enum hd_code get(struct hd_docker_api *api, const char *path, const char *what,
                        struct hd_buf *ret_body, struct hd_err *err)
{
    int status;
    enum hd_code code = hd_docker_ask(api, "GET", path, NULL, &status, ret_body, err);
    if (code != HD_OK)
        return code;
    if (status == 200)
        return HD_OK;
    code = hd_docker_refused(status, ret_body, what, err);
    hd_buf_release(ret_body);
    return code;
}

static enum hd_code list_by(struct hd_docker_api *api, const char *label, const char *value,
                            const char *host, struct hd_service_found **ret_found,
                            size_t *ret_count, struct hd_err *err)
{
    char filter[HD_DOCKER_URL_MAX - 64], path[HD_DOCKER_URL_MAX];
    struct hd_buf body;
    enum hd_code code = services_write_filter(label, value, host, filter, sizeof(filter), err);
    if (code != HD_OK)
        return code;
    (void)hd_format(path, sizeof(path), "/containers/json?all=1&%s", filter);
    code = get(api, path, "list containers", &body, err);
    if (code != HD_OK)
        return code;
    code = services_parse_list(hd_buf_text(&body), body.size, ret_found, ret_count, err);
    hd_buf_release(&body);
    return code;
}

/* The set or sets that are meant. */
static const char *label_of(const struct hd_services_options *options, const char **ret_value,
                            const char **ret_host)
{
    *ret_host = options->file != NULL ? options->host : NULL; /* a UUID says it all */
    *ret_value = options->file != NULL ? options->file : options->uuid;
    return options->file != NULL ? SERVICES_FILE_LABEL : SERVICES_LABEL;
}

/* ---- networks -------------------------------------------------------------------------------- */

static enum hd_code make_network(struct hd_docker_api *api, const char *name,
                                 const struct hd_services_options *options, struct hd_err *err)
{
    char path[HD_DOCKER_URL_MAX];
    struct hd_buf body, answer;
    int status;
    (void)hd_format(path, sizeof(path), "/networks/%s", name);
    enum hd_code code = hd_docker_ask(api, "GET", path, NULL, &status, &answer, err);
    if (code != HD_OK)
        return code;
    hd_buf_release(&answer);
    if (status == 200) /* somebody's: used, and not removed */
        return HD_OK;
    hd_buf_init(&body, BODY_BYTES_MAX);
    code = services_write_network(name, options, &body, err);
    if (code == HD_OK)
        code = hd_docker_ask(api, "POST", "/networks/create", hd_buf_text(&body), &status, &answer,
                             err);
    hd_buf_release(&body);
    if (code != HD_OK)
        return code;
    if (status != 201 && status != 409) /* 409: another one was quicker */
        code = hd_docker_refused(status, &answer, "create the network", err);
    hd_buf_release(&answer);
    return code == HD_OK ? HD_OK : hd_fail_in(err, "network %s", name);
}

static enum hd_code make_networks(struct hd_docker_api *api, const struct hd_services *plan,
                                  const struct hd_services_options *options, struct hd_err *err)
{
    enum hd_code code = HD_OK;
    char name[HD_SERVICES_NAME_SIZE];
    for (size_t i = 0; code == HD_OK && i < plan->count; i++)
        for (size_t k = 0; code == HD_OK && k < plan->items[i].network_count; k++)
            code =
                make_network(api, services_network_name(options, plan->items[i].networks[k], name),
                             options, err);
    return code;
}

static enum hd_code remove_network(struct hd_docker_api *api, const struct hd_value *network,
                                   struct hd_err *err)
{
    const struct hd_value *id = hd_value_get(network, "Id");
    const struct hd_value *name = hd_value_get(network, "Name");
    char path[HD_DOCKER_URL_MAX];
    struct hd_buf answer;
    int status;
    if (id == NULL || id->kind != HD_VALUE_STRING ||
        strspn(id->as.string, "0123456789abcdef") != strlen(id->as.string) ||
        !hd_format(path, sizeof(path), "/networks/%s", id->as.string))
        return hd_fail(err, HD_E_INVALID, "the engine's list of networks is none");
    enum hd_code code = hd_docker_ask(api, "DELETE", path, NULL, &status, &answer, err);
    if (code != HD_OK)
        return code;
    if (status != 204 && status != 404)
        code = hd_docker_refused(status, &answer, "remove the network", err);
    hd_buf_release(&answer);
    if (code == HD_OK)
        return HD_OK;
    return hd_fail_in(err, "network %s",
                      name != NULL && name->kind == HD_VALUE_STRING ? name->as.string : "");
}

static enum hd_code remove_networks(struct hd_docker_api *api,
                                    const struct hd_services_options *options, size_t *count,
                                    struct hd_err *err)
{
    const struct hd_value_limits limits = {HD_DOCKER_BODY_MAX, 1000000, 32};
    char filter[HD_DOCKER_URL_MAX - 64], path[HD_DOCKER_URL_MAX];
    const char *value, *host, *label = label_of(options, &value, &host);
    struct hd_buf body;
    struct hd_value *list = NULL;
    enum hd_code code = services_write_filter(label, value, host, filter, sizeof(filter), err);
    if (code != HD_OK)
        return code;
    (void)hd_format(path, sizeof(path), "/networks?%s", filter);
    code = get(api, path, "list networks", &body, err);
    if (code != HD_OK)
        return code;
    code = hd_json_parse(hd_buf_text(&body), body.size, "the engine's list", &limits, &list, err);
    hd_buf_release(&body);
    enum hd_code first = code;
    bool usable = code == HD_OK && list->kind == HD_VALUE_ARRAY;
    for (size_t i = 0; usable && i < list->as.array.count; i++) {
        struct hd_err other;
        code = remove_network(api, list->as.array.items[i], first == HD_OK ? err : &other);
        *count += code == HD_OK ? 1 : 0;
        first = first != HD_OK ? first : code;
    }
    hd_value_free(list);
    return first;
}

/* ---- one service up -------------------------------------------------------------------------- */

struct rise {
    const struct hd_services *plan;
    const struct hd_service_found *found; /* NULL: they are to be made */
    size_t found_count;
    const struct hd_service *layer[HD_SERVICES_MAX];
};

static enum hd_code need_image(struct crew *crew, struct hd_docker_api *api,
                               const struct hd_service *service, struct hd_err *err)
{
    struct hd_docker_refusal refusal = {.status = 0};
    char text[320], id[HD_IMAGE_ID_MAX];
    enum hd_code code = hd_docker_image_id(api, service->image, id, err);
    if (code != HD_E_NOTFOUND)
        return code;
    (void)hd_format(text, sizeof(text), "pulling %s", service->image);
    say(crew, service->name, text);
    code = hd_docker_pull_once(api, service->image, &refusal, err);
    return code == HD_E_INVALID
               ? hd_fail(err, HD_E_INVALID, "cannot pull %s: %s", service->image, refusal.text)
               : code;
}

static enum hd_code connect_further(struct hd_docker_api *api, const struct hd_service *service,
                                    const struct hd_services_options *options, const char *id,
                                    struct hd_err *err)
{
    enum hd_code code = HD_OK;
    for (size_t i = 1; code == HD_OK && i < service->network_count; i++) {
        char path[HD_DOCKER_URL_MAX], name[HD_SERVICES_NAME_SIZE];
        struct hd_buf body, answer;
        int status;
        hd_buf_init(&body, BODY_BYTES_MAX);
        (void)hd_format(path, sizeof(path), "/networks/%s/connect",
                        services_network_name(options, service->networks[i], name));
        code = services_write_connect(service, id, &body, err);
        if (code == HD_OK)
            code = hd_docker_ask(api, "POST", path, hd_buf_text(&body), &status, &answer, err);
        hd_buf_release(&body);
        if (code != HD_OK)
            return code;
        if (status != 200)
            code = hd_docker_refused(status, &answer, "connect it to its network", err);
        hd_buf_release(&answer);
    }
    return code;
}

/* Not to be interrupted: an engine may still carry out a request that was cut, after what was made
 * has been taken down. */
static enum hd_code make_container(struct crew *crew, struct hd_docker_api *api,
                                   const struct hd_service *service, char *id, struct hd_err *err)
{
    struct hd_docker_api whole = *api;
    struct hd_buf body;
    char name[HD_SERVICES_NAME_SIZE];
    if (api->interrupted(api->context))
        return hd_fail(err, HD_E_CANCELLED, "interrupted");
    whole.interrupted = never;
    hd_buf_init(&body, BODY_BYTES_MAX);
    enum hd_code code = services_write_container(service, crew->options, &body, err);
    if (code == HD_OK)
        code = hd_docker_create(&whole, services_container_name(crew->options, service->name, name),
                                hd_buf_text(&body), id, NULL, err);
    hd_buf_release(&body);
    if (code == HD_OK)
        code = connect_further(&whole, service, crew->options, id, err);
    return code == HD_OK ? hd_docker_start(&whole, id, NULL, err) : code;
}

static enum hd_code start_service(struct crew *crew, struct hd_docker_api *api,
                                  const struct hd_service *service, struct hd_err *err)
{
    char id[HD_DOCKER_ID_SIZE];
    int64_t began_ms = hd_clock_ms();
    enum hd_code code = need_image(crew, api, service, err);
    if (code == HD_OK)
        code = make_container(crew, api, service, id, err);
    if (code == HD_OK)
        code = services_await(api, service, id, err);
    if (code == HD_OK) {
        char text[64];
        bool started = service->ready == HD_SERVICE_READY_STARTED;
        (void)hd_format(text, sizeof(text), "%s after %.1f s", started ? "started" : "ready",
                        (double)(hd_clock_ms() - began_ms) / 1000);
        say(crew, service->name, text);
    }
    return code;
}

/* NULL: it is not there yet. */
static const char *find_service(const struct rise *rise, const char *name)
{
    for (size_t i = 0; i < rise->found_count; i++)
        if (hd_streq(rise->found[i].name, name))
            return rise->found[i].id;
    return NULL;
}

static enum hd_code rise_one(struct crew *crew, struct hd_docker_api *api, size_t index,
                             struct hd_err *err)
{
    const struct rise *rise = crew->context;
    const struct hd_service *service = rise->layer[index];
    const char *id = find_service(rise, service->name);
    enum hd_code code =
        id != NULL ? services_await(api, service, id, err) : start_service(crew, api, service, err);
    return code == HD_OK ? HD_OK : hd_fail_in(err, "%s", service->name);
}

static enum hd_code rise_layers(struct hd_docker_endpoint *endpoint, const struct hd_services *plan,
                                const struct hd_service_found *found, size_t found_count,
                                const struct hd_services_options *options, struct hd_err *err)
{
    enum hd_code code = HD_OK;
    for (uint32_t layer = 0; code == HD_OK && layer < plan->layer_count; layer++) {
        struct rise rise = {.plan = plan, .found = found, .found_count = found_count};
        struct crew crew = {.endpoint = endpoint,
                            .options = options,
                            .interruptible = true,
                            .stop_at_failure = true,
                            .work = rise_one,
                            .context = &rise};
        for (size_t i = 0; i < plan->count; i++)
            if (plan->items[i].layer == layer)
                rise.layer[crew.count++] = &plan->items[i];
        code = run_crew(&crew, err);
    }
    return code;
}

/* ---- down ------------------------------------------------------------------------------------ */

/* It may end by itself first: a database has something to write. */
static enum hd_code stop_service(struct hd_docker_api *api, const char *id, struct hd_err *err)
{
    char path[HD_DOCKER_URL_MAX];
    struct hd_buf answer;
    int status;
    (void)hd_format(path, sizeof(path), "/containers/%s/stop?t=%d", id, HD_SERVICES_STOP_S);
    enum hd_code code = hd_docker_ask(api, "POST", path, NULL, &status, &answer, err);
    if (code == HD_OK)
        hd_buf_release(&answer);
    return code; /* whatever it says: it is removed by force next */
}

static enum hd_code sink_one(struct crew *crew, struct hd_docker_api *api, size_t index,
                             struct hd_err *err)
{
    const struct hd_service_found *found = (const struct hd_service_found *)crew->context + index;
    const struct hd_services_options *options = crew->options;
    bool at_once = options->hurried != NULL && options->hurried(options->context);
    enum hd_code code =
        hd_streq(found->state, "running") && !at_once ? stop_service(api, found->id, err) : HD_OK;
    if (code == HD_OK)
        code = hd_docker_remove(api, found->id, err);
    for (int i = 0; code == HD_E_BUSY && i < BUSY_TRIES_MAX; i++) {
        hd_docker_http_pump(api->http, BUSY_MS);
        code = hd_docker_remove(api, found->id, err);
    }
    if (code != HD_OK)
        return hd_fail_in(err, "%s", found->name);
    say(crew, found->name, "removed");
    return HD_OK;
}

/* The list is sorted by set and layer: from its end, as long as the layer is the same. */
static enum hd_code sink_layers(struct hd_docker_endpoint *endpoint,
                                const struct hd_services_options *options,
                                struct hd_service_found *found, size_t count, size_t *removed,
                                struct hd_err *err)
{
    enum hd_code first = HD_OK;
    while (count > 0) {
        size_t from = count - 1;
        while (from > 0 && found[from - 1].layer == found[from].layer &&
               hd_streq(found[from - 1].uuid, found[from].uuid))
            from--;
        struct crew crew = {.endpoint = endpoint,
                            .options = options,
                            .work = sink_one,
                            .context = &found[from],
                            .count = count - from};
        enum hd_code code = run_crew(&crew, first == HD_OK ? err : NULL);
        *removed += crew.done;
        first = first != HD_OK ? first : code;
        count = from;
    }
    return first;
}

/* What a client asked for just before it was killed may appear while the rest is removed: looks
 * until a look finds nothing. */
static enum hd_code sink_containers(struct hd_docker_endpoint *endpoint, struct hd_docker_api *api,
                                    const struct hd_services_options *options, size_t *removed,
                                    struct hd_err *err)
{
    const char *value, *host, *label = label_of(options, &value, &host);
    enum hd_code code = HD_OK;
    for (int look = 0; code == HD_OK && look < SINK_LOOKS_MAX; look++) {
        struct hd_service_found *found = NULL;
        size_t count = 0;
        code = list_by(api, label, value, host, &found, &count, err);
        if (code == HD_OK)
            code = sink_layers(endpoint, options, found, count, removed, err);
        hd_free(found);
        if (count == 0)
            break;
    }
    return code;
}

static enum hd_code sink(struct hd_docker_endpoint *endpoint,
                         const struct hd_services_options *options, size_t *ret_count,
                         struct hd_err *err)
{
    struct client client;
    struct hd_err other;
    size_t removed = 0;
    enum hd_code code = open_client(endpoint, options, false, &client, err);
    if (code != HD_OK)
        return code;
    enum hd_code first = sink_containers(endpoint, &client.api, options, &removed, err);
    code = remove_networks(&client.api, options, &removed, first == HD_OK ? err : &other);
    close_client(&client);
    *ret_count = removed;
    return first != HD_OK ? first : code;
}

/* ---- the whole ------------------------------------------------------------------------------- */

static enum hd_code find_engine(const struct hd_services_options *options,
                                struct hd_docker_endpoint **ret_endpoint, struct hd_err *err)
{
    struct client client;
    struct hd_docker_endpoint *endpoint = hd_calloc(1, sizeof(*endpoint));
    if (endpoint == NULL)
        return hd_fail(err, HD_E_NOMEM, "no memory for an engine's address");
    char podman[HD_DOCKER_URL_MAX];
    const char *there = options->docker_host;
    enum hd_code code = HD_OK;
    if (there == NULL && options->podman) {
        code = hd_podman_host(podman, sizeof(podman), err);
        there = podman;
    }
    if (code == HD_OK)
        code = hd_docker_endpoint_init(endpoint, there, err);
    if (code == HD_OK)
        code = open_client(endpoint, options, true, &client, err);
    if (code == HD_OK) {
        code = hd_docker_negotiate(&client.api, err);
        close_client(&client);
    }
    if (code != HD_OK) {
        hd_free(endpoint);
        return code;
    }
    *ret_endpoint = endpoint;
    return HD_OK;
}

static enum hd_code refuse_second(struct hd_docker_api *api,
                                  const struct hd_services_options *options, struct hd_err *err)
{
    struct hd_service_found *found = NULL;
    size_t count;
    enum hd_code code =
        list_by(api, SERVICES_FILE_LABEL, options->file, options->host, &found, &count, err);
    if (code == HD_OK && count > 0)
        code = hd_fail(err, HD_E_EXISTS,
                       "services of %s are there already (%zu, UUID %s): hd services down %s takes "
                       "them down",
                       options->file, count, found[0].uuid, options->file);
    hd_free(found);
    return code;
}

enum hd_code hd_services_up(const struct hd_services *plan,
                            const struct hd_services_options *options, struct hd_err *err)
{
    struct hd_docker_endpoint *endpoint = NULL;
    struct client client;
    enum hd_code code = find_engine(options, &endpoint, err);
    if (code != HD_OK)
        return code;
    code = open_client(endpoint, options, false, &client, err);
    if (code == HD_OK) {
        code = refuse_second(&client.api, options, err);
        if (code != HD_OK) {
            close_client(&client);
            hd_free(endpoint);
            return code;
        }
        code = make_networks(&client.api, plan, options, err);
        close_client(&client);
    }
    if (code == HD_OK)
        code = rise_layers(endpoint, plan, NULL, 0, options, err);
    if (code != HD_OK) { /* only what this set made: another one's would carry another UUID */
        struct hd_services_options own = *options;
        struct hd_err left;
        size_t removed;
        own.file = NULL;
        if (sink(endpoint, &own, &removed, &left) != HD_OK && options->say != NULL)
            options->say(options->context, "taking down", left.text);
    }
    hd_free(endpoint);
    return code;
}

enum hd_code services_await_all(const struct hd_services *plan,
                                const struct hd_service_found *found, size_t count,
                                const struct hd_services_options *options, struct hd_err *err)
{
    struct hd_docker_endpoint *endpoint = NULL;
    enum hd_code code = find_engine(options, &endpoint, err);
    if (code == HD_OK)
        code = rise_layers(endpoint, plan, found, count, options, err);
    hd_free(endpoint);
    return code;
}

enum hd_code hd_services_down(const struct hd_services_options *options, size_t *ret_count,
                              struct hd_err *err)
{
    struct hd_docker_endpoint *endpoint = NULL;
    *ret_count = 0;
    enum hd_code code = find_engine(options, &endpoint, err);
    if (code == HD_OK)
        code = sink(endpoint, options, ret_count, err);
    hd_free(endpoint);
    return code;
}

enum hd_code hd_services_list(const struct hd_services_options *options,
                              struct hd_service_found **ret_found, size_t *ret_count,
                              struct hd_err *err)
{
    struct hd_docker_endpoint *endpoint = NULL;
    struct client client;
    enum hd_code code = find_engine(options, &endpoint, err);
    if (code != HD_OK)
        return code;
    code = open_client(endpoint, options, true, &client, err);
    if (code == HD_OK) {
        code = list_by(&client.api, SERVICES_LABEL, NULL, NULL, ret_found, ret_count, err);
        close_client(&client);
    }
    hd_free(endpoint);
    return code;
}
