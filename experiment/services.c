/* SPDX-License-Identifier: Apache-2.0 */
/*
 * services.c: the plan of services: names, dependencies, and what each container gets.
 *
 * The keys of a list are read without regard to case, since combu's files are written so.
 */
#include "read.h"

#include <hd/services.h>
#include <string.h>

static const char *const service_keys[] = {"name",    "image",    "cmd",     "env",  "ports",
                                           "volumes", "networks", "depends", "ready"};

void hd_services_free(struct hd_services *plan)
{
    if (plan == NULL)
        return;
    for (size_t i = 0; i < plan->count; i++) {
        struct hd_service *service = &plan->items[i];
        hd_free(service->name);
        hd_free(service->image);
        hd_words_free(service->command);
        hd_words_free(service->env);
        hd_free(service->ready_text);
        for (size_t k = 0; k < service->volume_count; k++) {
            hd_free(service->volumes[k].host);
            hd_free(service->volumes[k].container);
        }
        for (size_t k = 0; k < service->network_count; k++)
            hd_free(service->networks[k]);
    }
    hd_free(plan);
}

/* ---- lists ----------------------------------------------------------------------------------- */

/* A list of at most `max`; NULL when absent. */
static enum hd_code read_list(const struct hd_reader *reader, const struct hd_value *object,
                              const char *path, const char *key, const struct hd_value **ret_list)
{
    const struct hd_value *list = hd_read_member(object, key);
    *ret_list = list;
    if (list != NULL && list->kind != HD_VALUE_ARRAY)
        return hd_read_wrong_type(reader, list, path, key, "a list");
    if (list != NULL && list->as.array.count > HD_SERVICE_LIST_MAX)
        return hd_read_fail(reader, HD_E_LIMIT, list, path, key, "at most %d are allowed",
                            HD_SERVICE_LIST_MAX);
    return HD_OK;
}

/* What Docker takes as a name of a container or a network. */
static bool is_name(const char *text)
{
    static const char first[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789";
    size_t size = strlen(text);
    return size >= 2 && size <= 100 && strchr(first, text[0]) != NULL &&
           strspn(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-") ==
               size;
}

static enum hd_code check_name(const struct hd_reader *reader, const struct hd_value *at,
                               const char *path, const char *key)
{
    if (at->kind == HD_VALUE_STRING && is_name(at->as.string))
        return HD_OK;
    return hd_read_wrong_type(reader, at, path, key,
                              "a name of 2 to 100 letters, digits, '_', '.' and '-'");
}

/* The text of a scalar: 8080 and "8080" are the same. */
static enum hd_code scalar(const struct hd_reader *reader, const struct hd_value *value,
                           const char *path, const char *key, char *text, size_t text_size)
{
    struct hd_buf out;
    enum hd_code code = HD_OK;
    hd_buf_init(&out, text_size - 1);
    bool good = hd_scalar_text(value, &out, &code, reader->err);
    if (code == HD_OK && good)
        (void)hd_copy_text(text, text_size, hd_buf_text(&out));
    hd_buf_release(&out);
    if (code == HD_E_NOMEM)
        return code;
    return good && code == HD_OK ? HD_OK
                                 : hd_read_wrong_type(reader, value, path, key, "a short text");
}

/* ---- ports ----------------------------------------------------------------------------------- */

static bool port_number(const char *text, uint16_t *ret_port)
{
    int64_t number;
    if (!hd_parse_i64(text, &number) || number < 1 || number > 65535)
        return false;
    *ret_port = (uint16_t)number;
    return true;
}

/* "80", "80/tcp" */
static bool split_protocol(char *text, char protocol[5])
{
    char *slash = strchr(text, '/');
    (void)hd_copy_text(protocol, 5, "tcp");
    if (slash == NULL)
        return true;
    *slash = '\0';
    return (hd_streq(slash + 1, "tcp") || hd_streq(slash + 1, "udp") ||
            hd_streq(slash + 1, "sctp")) &&
           hd_copy_text(protocol, 5, slash + 1);
}

/* "", "8080", "127.0.0.1:8080", "[::1]:8080"; "/tcp" behind it says nothing more. */
static bool parse_host_port(char *text, struct hd_service_port *port)
{
    char ignored[5];
    uint16_t number;
    if (!split_protocol(text, ignored))
        return false;
    char *colon = strrchr(text, ':');
    if (colon != NULL) {
        *colon = '\0';
        size_t size = strlen(text);
        bool bracket = size > 2 && text[0] == '[' && text[size - 1] == ']';
        if (bracket)
            text[size - 1] = '\0';
        if (!hd_copy_text(port->address, sizeof(port->address), text + (bracket ? 1 : 0)) ||
            strspn(port->address, "0123456789abcdefABCDEF.:") != strlen(port->address))
            return false;
        text = colon + 1;
    }
    return (text[0] == '\0' || port_number(text, &number)) &&
           hd_copy_text(port->host, sizeof(port->host), text);
}

static bool parse_port_texts(char *host, char *container, struct hd_service_port *port)
{
    return parse_host_port(host, port) && split_protocol(container, port->protocol) &&
           port_number(container, &port->container);
}

enum hd_code hd_port_parse(const struct hd_reader *reader, const struct hd_value *item,
                           const char *path, struct hd_service_port *port)
{
    static const char *const names[] = {"host", "container"};
    char host[128] = "", container[128] = "";
    enum hd_code code = HD_OK;
    if (item->kind == HD_VALUE_OBJECT) {
        code = hd_read_keys(reader, item, path, names, HD_COUNT(names));
        if (code == HD_OK && hd_read_member(item, "container") == NULL)
            return hd_read_fail(reader, HD_E_INVALID, item, path, "container", "missing");
        if (code == HD_OK && hd_read_member(item, "host") != NULL)
            code = scalar(reader, hd_read_member(item, "host"), path, "host", host, sizeof(host));
        if (code == HD_OK)
            code = scalar(reader, hd_read_member(item, "container"), path, "container", container,
                          sizeof(container));
    } else {
        code = scalar(reader, item, path, "", container, sizeof(container));
        char *colon = code == HD_OK ? strrchr(container, ':') : NULL;
        if (colon != NULL) {
            *colon = '\0';
            (void)hd_copy_text(host, sizeof(host), container);
            memmove(container, colon + 1, strlen(colon + 1) + 1);
        }
    }
    if (code == HD_OK && !parse_port_texts(host, container, port))
        code =
            hd_read_fail(reader, HD_E_INVALID, item, path, "",
                         "expected a port, such as 80, \"8080:80\", \"127.0.0.1:8080:80/tcp\" or "
                         "{host: 8080, container: 80}");
    return code;
}

/* By one of the ports before it. */
static bool is_taken(const struct hd_service *service, const struct hd_service_port *port)
{
    for (const struct hd_service_port *at = service->ports; at < port; at++)
        if (port->host[0] != '\0' && hd_streq(at->host, port->host) &&
            hd_streq(at->address, port->address) && hd_streq(at->protocol, port->protocol))
            return true;
    return false;
}

static enum hd_code parse_ports(const struct hd_reader *reader, const struct hd_value *object,
                                const char *path, struct hd_service *service)
{
    const struct hd_value *list;
    enum hd_code code = read_list(reader, object, path, "ports", &list);
    for (size_t i = 0; code == HD_OK && list != NULL && i < list->as.array.count; i++) {
        char place[READ_PATH_MAX];
        (void)hd_format(place, sizeof(place), "%s.ports[%zu]", path, i);
        struct hd_service_port *port = &service->ports[service->port_count++];
        code = hd_port_parse(reader, list->as.array.items[i], place, port);
        if (code == HD_OK && is_taken(service, port))
            code = hd_read_fail(reader, HD_E_INVALID, list->as.array.items[i], place, "",
                                "host port %s is given twice", port->host);
    }
    return code;
}

/* ---- volumes --------------------------------------------------------------------------------- */

static enum hd_code set_volume(const struct hd_reader *reader, const struct hd_value *at,
                               const char *path, const char *host, const char *container,
                               const char *base_dir, struct hd_service_volume *volume)
{
    char joined[HD_SERVICES_PATH_MAX];
    if (host[0] == '\0' || container[0] != '/')
        return hd_read_fail(reader, HD_E_INVALID, at, path, "",
                            "expected a path of this machine and an absolute one of the "
                            "container, such as ./data:/data");
    while (host[0] == '.' && host[1] == '/')
        for (host += 2; host[0] == '/';) /* ".//data" is no path from the root */
            host++;
    bool fits = host[0] == '/' || base_dir[0] == '\0'
                    ? hd_copy_text(joined, sizeof(joined), host)
                    : hd_format(joined, sizeof(joined), "%s/%s", base_dir, host);
    if (!fits)
        return hd_read_fail(reader, HD_E_LIMIT, at, path, "", "the path is too long");
    volume->host = hd_strdup(joined);
    volume->container = hd_strdup(container);
    return volume->host != NULL && volume->container != NULL ? HD_OK : hd_read_nomem(reader);
}

static enum hd_code parse_volume(const struct hd_reader *reader, const struct hd_value *item,
                                 const char *path, const char *base_dir,
                                 struct hd_service_volume *volume)
{
    static const char *const names[] = {"host", "container", "read_only"};
    char host[HD_SERVICES_PATH_MAX] = "", container[HD_SERVICES_PATH_MAX] = "";
    enum hd_code code = HD_OK;
    if (item->kind != HD_VALUE_OBJECT) {
        code = scalar(reader, item, path, "", host, sizeof(host));
        char *colon = code == HD_OK ? strchr(host, ':') : NULL;
        if (colon != NULL) {
            *colon = '\0';
            (void)hd_copy_text(container, sizeof(container), colon + 1);
            char *mode = strchr(container, ':');
            volume->read_only = mode != NULL && hd_streq(mode, ":ro");
            if (mode != NULL && !volume->read_only && !hd_streq(mode, ":rw"))
                return hd_read_fail(reader, HD_E_INVALID, item, path, "",
                                    "after the second ':' it is ro or rw");
            if (mode != NULL)
                *mode = '\0';
        }
    } else {
        code = hd_read_keys(reader, item, path, names, HD_COUNT(names));
        const struct hd_value *from = hd_read_member(item, "host");
        const struct hd_value *to = hd_read_member(item, "container");
        if (code == HD_OK && from != NULL)
            code = scalar(reader, from, path, "host", host, sizeof(host));
        if (code == HD_OK && to != NULL)
            code = scalar(reader, to, path, "container", container, sizeof(container));
        if (code == HD_OK)
            code = hd_read_bool(reader, item, path, "read_only", &volume->read_only);
    }
    return code == HD_OK ? set_volume(reader, item, path, host, container, base_dir, volume) : code;
}

static enum hd_code parse_volumes(const struct hd_reader *reader, const struct hd_value *object,
                                  const char *path, const char *base_dir,
                                  struct hd_service *service)
{
    const struct hd_value *list;
    enum hd_code code = read_list(reader, object, path, "volumes", &list);
    for (size_t i = 0; code == HD_OK && list != NULL && i < list->as.array.count; i++) {
        char place[READ_PATH_MAX];
        (void)hd_format(place, sizeof(place), "%s.volumes[%zu]", path, i);
        code = parse_volume(reader, list->as.array.items[i], place, base_dir,
                            &service->volumes[service->volume_count]);
        service->volume_count++;
    }
    return code;
}

/* ---- environment, networks, command ---------------------------------------------------------- */

static enum hd_code add_env(const struct hd_reader *reader, const struct hd_value *at,
                            const char *path, const char *key, const char *value, char **ret_word)
{
    if (key[0] == '\0' || strchr(key, '=') != NULL)
        return hd_read_fail(reader, HD_E_INVALID, at, path, "env", "expected NAME: value");
    struct hd_buf word;
    hd_buf_init(&word, HD_SERVICES_PATH_MAX + 256);
    enum hd_code code = hd_buf_printf(&word, reader->err, "%s=%s", key, value);
    if (code != HD_OK) {
        hd_buf_release(&word);
        return hd_read_wrap(reader, at, path, "env");
    }
    *ret_word = word.data; /* the buffer's memory goes along */
    return HD_OK;
}

static enum hd_code parse_env(const struct hd_reader *reader, const struct hd_value *object,
                              const char *path, struct hd_service *service)
{
    const struct hd_value *env = hd_read_member(object, "env");
    if (env == NULL)
        return HD_OK;
    bool map = env->kind == HD_VALUE_OBJECT;
    if (!map && env->kind != HD_VALUE_ARRAY)
        return hd_read_wrong_type(reader, env, path, "env", "a map, or a list of \"NAME=value\"");
    size_t count = map ? env->as.object.count : env->as.array.count;
    if (count > HD_SERVICE_LIST_MAX)
        return hd_read_fail(reader, HD_E_LIMIT, env, path, "env", "at most %d are allowed",
                            HD_SERVICE_LIST_MAX);
    service->env = hd_calloc(count + 1, sizeof(*service->env));
    if (service->env == NULL)
        return hd_read_nomem(reader);
    for (size_t i = 0; i < count; i++) {
        const struct hd_value *item = map ? env->as.object.items[i] : env->as.array.items[i];
        char text[HD_SERVICES_PATH_MAX];
        enum hd_code code = scalar(reader, item, path, "env", text, sizeof(text));
        char *equal = code == HD_OK && !map ? strchr(text, '=') : NULL;
        if (code == HD_OK && !map && equal == NULL)
            code = hd_read_fail(reader, HD_E_INVALID, item, path, "env", "expected \"NAME=value\"");
        if (code == HD_OK && !map)
            *equal = '\0';
        if (code == HD_OK)
            code = add_env(reader, item, path, map ? env->as.object.keys[i] : text,
                           map ? text : equal + 1, &service->env[i]);
        if (code != HD_OK)
            return code;
    }
    return HD_OK;
}

static enum hd_code parse_networks(const struct hd_reader *reader, const struct hd_value *object,
                                   const char *path, struct hd_service *service)
{
    const struct hd_value *list;
    enum hd_code code = read_list(reader, object, path, "networks", &list);
    for (size_t i = 0; code == HD_OK && list != NULL && i < list->as.array.count; i++) {
        const struct hd_value *item = list->as.array.items[i];
        code = check_name(reader, item, path, "networks");
        for (size_t k = 0; code == HD_OK && k < service->network_count; k++)
            if (hd_streq(service->networks[k], item->as.string))
                code = hd_read_fail(reader, HD_E_INVALID, item, path, "networks",
                                    "\"%s\" is there twice", item->as.string);
        if (code == HD_OK &&
            (service->networks[service->network_count] = hd_strdup(item->as.string)) == NULL)
            code = hd_read_nomem(reader);
        if (code == HD_OK)
            service->network_count++;
    }
    return code;
}

/* A text with shell quoting, or words; an empty one is the image's own. */
static enum hd_code parse_command(const struct hd_reader *reader, const struct hd_value *object,
                                  const char *path, struct hd_service *service)
{
    const struct hd_value *command = hd_read_member(object, "cmd");
    size_t count = 0;
    if (command == NULL || (command->kind == HD_VALUE_STRING &&
                            command->as.string[strspn(command->as.string, " ")] == '\0'))
        return HD_OK;
    if (command->kind == HD_VALUE_STRING) {
        if (hd_words_split(command->as.string, &service->command, &count, reader->err) != HD_OK)
            return hd_read_wrap(reader, command, path, "cmd");
        return HD_OK;
    }
    enum hd_code code = read_list(reader, object, path, "cmd", &command);
    if (code != HD_OK || command->as.array.count == 0)
        return code;
    service->command = hd_calloc(command->as.array.count + 1, sizeof(*service->command));
    if (service->command == NULL)
        return hd_read_nomem(reader);
    for (size_t i = 0; code == HD_OK && i < command->as.array.count; i++) {
        char word[HD_SERVICES_PATH_MAX];
        code = scalar(reader, command->as.array.items[i], path, "cmd", word, sizeof(word));
        if (code == HD_OK && (service->command[i] = hd_strdup(word)) == NULL)
            code = hd_read_nomem(reader);
    }
    return code;
}

/* ---- readiness ------------------------------------------------------------------------------- */

static enum hd_code read_ready_log(const struct hd_reader *reader, const struct hd_value *ready,
                                   const char *path, struct hd_service *service)
{
    enum hd_code code = hd_read_text(reader, ready, path, "log", &service->ready_text);
    service->ready = HD_SERVICE_READY_LOG;
    if (code == HD_OK && hd_log_pattern_check(service->ready_text, reader->err) != HD_OK)
        code = hd_read_wrap(reader, hd_read_member(ready, "log"), path, "log");
    return code;
}

/* true: the image's own check; a text: this command, in the container's shell. */
static enum hd_code read_ready_health(const struct hd_reader *reader, const struct hd_value *ready,
                                      const char *path, struct hd_service *service)
{
    const struct hd_value *health = hd_read_member(ready, "healthcheck");
    service->ready = HD_SERVICE_READY_HEALTH;
    if (health->kind == HD_VALUE_STRING)
        return hd_read_text(reader, ready, path, "healthcheck", &service->ready_text);
    if (health->kind == HD_VALUE_BOOL && health->as.boolean)
        return HD_OK;
    return hd_read_wrong_type(reader, health, path, "healthcheck",
                              "true, or a command such as \"redis-cli ping\"");
}

static enum hd_code parse_ready(const struct hd_reader *reader, const struct hd_value *object,
                                const char *service_path, struct hd_service *service)
{
    static const char *const names[] = {"log", "port", "healthcheck", "exit", "timeout"};
    char path[READ_PATH_MAX];
    const struct hd_value *ready;
    service->ready_ms = HD_SERVICE_READY_MS_DEFAULT;
    enum hd_code code = hd_read_object(reader, object, service_path, "ready", &ready);
    if (code != HD_OK || ready == NULL)
        return code;
    (void)hd_format(path, sizeof(path), "%s.ready", service_path);
    code = hd_read_keys(reader, ready, path, names, HD_COUNT(names));
    int given = 0;
    for (size_t i = 0; i + 1 < HD_COUNT(names); i++)
        given += hd_read_member(ready, names[i]) != NULL ? 1 : 0;
    if (code == HD_OK && given != 1)
        return hd_read_fail(reader, HD_E_INVALID, ready, path, "",
                            "expected one of log, port, healthcheck and exit, got %d of them",
                            given);
    int64_t port = 0;
    bool exit = false;
    if (code == HD_OK && hd_read_member(ready, "log") != NULL)
        code = read_ready_log(reader, ready, path, service);
    if (code == HD_OK && hd_read_member(ready, "healthcheck") != NULL)
        code = read_ready_health(reader, ready, path, service);
    if (code == HD_OK)
        code = hd_read_i64(reader, ready, path, "port", 1, 65535, &port);
    if (code == HD_OK)
        code = hd_read_bool(reader, ready, path, "exit", &exit);
    if (code == HD_OK && hd_read_member(ready, "exit") != NULL && !exit)
        return hd_read_fail(reader, HD_E_INVALID, ready, path, "exit", "expected true");
    if (port != 0 || exit)
        service->ready = port != 0 ? HD_SERVICE_READY_PORT : HD_SERVICE_READY_EXIT;
    service->ready_port = (uint16_t)port;
    return code == HD_OK ? hd_read_ms(reader, ready, path, "timeout", 1, HD_DURATION_MS_MAX,
                                      &service->ready_ms)
                         : code;
}

/* ---- one service ----------------------------------------------------------------------------- */

static enum hd_code parse_service(const struct hd_reader *reader, const struct hd_value *object,
                                  const char *path, const char *base_dir,
                                  struct hd_service *service)
{
    enum hd_code code = hd_read_keys(reader, object, path, service_keys, HD_COUNT(service_keys));
    if (code == HD_OK)
        code = hd_read_image(reader, object, path, &service->image);
    if (code == HD_OK && service->image == NULL)
        code = hd_read_fail(reader, HD_E_INVALID, object, path, "image", "missing");
    if (code == HD_OK)
        code = parse_command(reader, object, path, service);
    if (code == HD_OK)
        code = parse_env(reader, object, path, service);
    if (code == HD_OK)
        code = parse_ports(reader, object, path, service);
    if (code == HD_OK)
        code = parse_volumes(reader, object, path, base_dir, service);
    if (code == HD_OK)
        code = parse_networks(reader, object, path, service);
    return code == HD_OK ? parse_ready(reader, object, path, service) : code;
}

/* A copy whose keys are the ones we know, however they are spelled. */
static enum hd_code fold_keys(const struct hd_reader *reader, const struct hd_value *object,
                              struct hd_value **ret_copy)
{
    struct hd_value *copy = hd_value_new_object();
    enum hd_code code = copy != NULL ? HD_OK : hd_read_nomem(reader);
    for (size_t i = 0; code == HD_OK && i < object->as.object.count; i++) {
        char key[80];
        (void)hd_copy_text(key, sizeof(key), object->as.object.keys[i]);
        for (char *c = key; *c != '\0'; c++)
            if (*c >= 'A' && *c <= 'Z')
                *c = (char)(*c - 'A' + 'a');
        struct hd_value *item = NULL;
        if (hd_value_get(copy, key) != NULL)
            code = hd_read_fail(reader, HD_E_INVALID, object->as.object.items[i], key, "",
                                "is there twice, in different letters");
        if (code == HD_OK)
            code = hd_value_copy(object->as.object.items[i], &item, reader->err);
        if (code == HD_OK && hd_value_set(copy, key, item) != HD_OK)
            code = hd_read_nomem(reader);
    }
    if (code != HD_OK) {
        hd_value_free(copy);
        return code;
    }
    copy->line = object->line;
    *ret_copy = copy;
    return HD_OK;
}

static int find(const struct hd_services *plan, const char *name)
{
    for (size_t i = 0; i < plan->count; i++)
        if (plan->items[i].name != NULL && hd_streq(plan->items[i].name, name))
            return (int)i;
    return -1;
}

/* name NULL: it is a member of the map. */
static enum hd_code add_service(const struct hd_reader *reader, const struct hd_value *object,
                                const char *name, const char *base_dir, struct hd_services *plan)
{
    char path[READ_PATH_MAX];
    const struct hd_value *at = object;
    (void)hd_format(path, sizeof(path), "services[%zu]", plan->count);
    if (name == NULL) {
        at = hd_read_member(object, "name");
        if (at == NULL)
            return hd_read_fail(reader, HD_E_INVALID, object, path, "name", "missing");
        enum hd_code code = check_name(reader, at, path, "name");
        if (code != HD_OK)
            return code;
        name = at->as.string;
    } else if (!is_name(name)) {
        return hd_read_fail(reader, HD_E_INVALID, object, "services", name,
                            "a name has 2 to 100 letters, digits, '_', '.' and '-'");
    }
    if (find(plan, name) >= 0)
        return hd_read_fail(reader, HD_E_INVALID, at, path, "name", "\"%s\" is there twice", name);
    struct hd_service *service = &plan->items[plan->count++];
    if ((service->name = hd_strdup(name)) == NULL)
        return hd_read_nomem(reader);
    (void)hd_format(path, sizeof(path), "services.%s", name);
    return parse_service(reader, object, path, base_dir, service);
}

/* ---- dependencies ---------------------------------------------------------------------------- */

static enum hd_code parse_depends(const struct hd_reader *reader, const struct hd_value *object,
                                  struct hd_services *plan, struct hd_service *service)
{
    char path[READ_PATH_MAX];
    const struct hd_value *list;
    (void)hd_format(path, sizeof(path), "services.%s", service->name);
    enum hd_code code = read_list(reader, object, path, "depends", &list);
    for (size_t i = 0; code == HD_OK && list != NULL && i < list->as.array.count; i++) {
        const struct hd_value *item = list->as.array.items[i];
        code = check_name(reader, item, path, "depends");
        int index = code == HD_OK ? find(plan, item->as.string) : -1;
        if (code == HD_OK && index < 0) {
            const char *names[HD_SERVICES_MAX];
            for (size_t k = 0; k < plan->count; k++)
                names[k] = plan->items[k].name;
            const char *nearest = hd_nearest(item->as.string, names, plan->count);
            code = hd_read_fail(reader, HD_E_INVALID, item, path, "depends",
                                "there is no service \"%s\"%s%s%s", item->as.string,
                                nearest != NULL ? "; did you mean \"" : "",
                                nearest != NULL ? nearest : "", nearest != NULL ? "\"?" : "");
        }
        for (size_t k = 0; code == HD_OK && k < service->depend_count; k++)
            if (service->depends[k] == (uint32_t)index)
                code = hd_read_fail(reader, HD_E_INVALID, item, path, "depends",
                                    "\"%s\" is there twice", item->as.string);
        if (code == HD_OK)
            service->depends[service->depend_count++] = (uint32_t)index;
    }
    return code;
}

/* Names a cycle: what is left depends on something that is left, so a walk must come round. */
static enum hd_code tell_cycle(const struct hd_reader *reader, const struct hd_services *plan,
                               const bool *placed, const struct hd_value *const *objects)
{
    bool seen[HD_SERVICES_MAX] = {false};
    char text[512] = "";
    uint32_t at = 0;
    while (placed[at])
        at++;
    for (bool round = false; !round || !seen[at];) {
        if (seen[at]) { /* the walk is in the cycle now: begin again here, and tell */
            round = true;
            memset(seen, 0, sizeof(seen));
        }
        seen[at] = true;
        size_t used = round ? strlen(text) : 0;
        if (round)
            (void)hd_format(text + used, sizeof(text) - used, "%s -> ", plan->items[at].name);
        const struct hd_service *service = &plan->items[at];
        for (size_t k = 0; k < service->depend_count; k++)
            if (!placed[service->depends[k]]) {
                at = service->depends[k];
                break;
            }
    }
    char path[READ_PATH_MAX];
    (void)hd_format(path, sizeof(path), "services.%s", plan->items[at].name);
    return hd_read_fail(reader, HD_E_INVALID, objects[at], path, "depends",
                        "nothing could start first: %s%s", text, plan->items[at].name);
}

/* Kahn's layers: each service stands one layer above the highest that it depends on. */
static enum hd_code find_layers(const struct hd_reader *reader, struct hd_services *plan,
                                const struct hd_value *const *objects)
{
    bool placed[HD_SERVICES_MAX] = {false};
    size_t left = plan->count;
    for (uint32_t layer = 0; left > 0; layer++) {
        bool now[HD_SERVICES_MAX] = {false}, any = false;
        for (size_t i = 0; i < plan->count; i++) {
            const struct hd_service *service = &plan->items[i];
            now[i] = !placed[i];
            for (size_t k = 0; k < service->depend_count; k++)
                now[i] = now[i] && placed[service->depends[k]];
            any = any || now[i];
        }
        if (!any)
            return tell_cycle(reader, plan, placed, objects);
        for (size_t i = 0; i < plan->count; i++) {
            if (!now[i])
                continue;
            placed[i] = true;
            plan->items[i].layer = layer;
            left--;
        }
        plan->layer_count = layer + 1;
    }
    return HD_OK;
}

/* ---- the whole ------------------------------------------------------------------------------- */

static enum hd_code parse_all(const struct hd_reader *reader, const struct hd_value *value,
                              const char *base_dir, struct hd_value **folded,
                              struct hd_services *plan)
{
    bool list = value->kind == HD_VALUE_ARRAY;
    size_t count = list ? value->as.array.count : value->as.object.count;
    enum hd_code code = HD_OK;
    for (size_t i = 0; code == HD_OK && i < count; i++) {
        const struct hd_value *item = list ? value->as.array.items[i] : value->as.object.items[i];
        if (item->kind != HD_VALUE_OBJECT)
            return hd_read_wrong_type(reader, item, "services", "",
                                      "a map, such as {name: cache, image: \"redis:7\"}");
        code = fold_keys(reader, item, &folded[i]);
        if (code == HD_OK)
            code = add_service(reader, folded[i], list ? NULL : value->as.object.keys[i], base_dir,
                               plan);
    }
    for (size_t i = 0; code == HD_OK && i < count; i++)
        code = parse_depends(reader, folded[i], plan, &plan->items[i]);
    return code == HD_OK ? find_layers(reader, plan, (const struct hd_value *const *)folded) : code;
}

static enum hd_code read_plan(const struct hd_reader *reader, const struct hd_value *value,
                              const char *base_dir, struct hd_services **ret_plan)
{
    struct hd_value *folded[HD_SERVICES_MAX] = {NULL};
    bool list = value->kind == HD_VALUE_ARRAY;
    if (!list && value->kind != HD_VALUE_OBJECT)
        return hd_read_wrong_type(reader, value, "services", "", "a list of services");
    size_t count = list ? value->as.array.count : value->as.object.count;
    if (count == 0)
        return hd_read_fail(reader, HD_E_INVALID, value, "services", "", "there is none");
    if (count > HD_SERVICES_MAX)
        return hd_read_fail(reader, HD_E_LIMIT, value, "services", "", "at most %d are allowed",
                            HD_SERVICES_MAX);
    struct hd_services *plan = hd_calloc(1, sizeof(*plan));
    if (plan == NULL)
        return hd_read_nomem(reader);
    enum hd_code code = parse_all(reader, value, base_dir, folded, plan);
    for (size_t i = 0; i < HD_SERVICES_MAX; i++)
        hd_value_free(folded[i]);
    if (code != HD_OK) {
        hd_services_free(plan);
        return code;
    }
    *ret_plan = plan;
    return HD_OK;
}

enum hd_code hd_services_parse(const struct hd_value *value, const char *file, const char *base_dir,
                               struct hd_services **ret_plan, struct hd_err *err)
{
    struct hd_err unread;
    const struct hd_reader reader = {.file = file, .err = err != NULL ? err : &unread};
    /* A whole experiment has them below a key. */
    if (value->kind == HD_VALUE_OBJECT && hd_value_get(value, "services") != NULL)
        value = hd_value_get(value, "services");
    return read_plan(&reader, value, base_dir, ret_plan);
}

enum hd_code hd_services_read(const struct hd_reader *reader, const struct hd_value *root,
                              const char *base_dir, struct hd_services **ret_plan)
{
    const struct hd_value *value = hd_read_member(root, "services");
    return value != NULL ? read_plan(reader, value, base_dir != NULL ? base_dir : "", ret_plan)
                         : HD_OK;
}
