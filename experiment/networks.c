/* SPDX-License-Identifier: Apache-2.0 */
/* networks.c: `target.networks` and `target.ports`: whom a container meets. */
#include "describe.h"

#include <hd/services.h>
#include <string.h>

#define PATH "target"
#define LIST_MAX HD_SERVICE_LIST_MAX
#define NAME_MAX_SIZE 128
#define LOOPBACK "127.0.0.1"

/* The image decides nothing here, and a command is in the machine's own network. */
static enum hd_code find_list(const struct hd_reader *reader, const struct hd_value *object,
                              const char *key, const struct hd_target *target,
                              const struct hd_value **ret_list)
{
    const struct hd_value *list = hd_read_member(object, key);
    *ret_list = NULL;
    if (list == NULL)
        return HD_OK;
    if (list->kind != HD_VALUE_ARRAY)
        return hd_read_wrong_type(reader, list, PATH, key, "a list");
    if (list->as.array.count > LIST_MAX)
        return hd_read_fail(reader, HD_E_LIMIT, list, PATH, key, "more than %d entries", LIST_MAX);
    if (list->as.array.count > 0 && target->image == NULL)
        return hd_read_fail(reader, HD_E_INVALID, list, PATH, key,
                            "needs an image: a command is in the machine's own network");
    *ret_list = list->as.array.count > 0 ? list : NULL;
    return HD_OK;
}

/* ---- networks -------------------------------------------------------------------------------- */

static bool is_name(const char *text)
{
    return text[0] != '\0' && strlen(text) < NAME_MAX_SIZE && strchr("._-", text[0]) == NULL &&
           strspn(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-") ==
               strlen(text);
}

static enum hd_code add_network(const struct hd_reader *reader, const struct hd_value *item,
                                char **networks, size_t index)
{
    if (item->kind != HD_VALUE_STRING || !is_name(item->as.string))
        return hd_read_wrong_type(reader, item, PATH, "networks", "the name of a network");
    if (hd_streq(item->as.string, "host") || hd_streq(item->as.string, "none"))
        return hd_read_fail(reader, HD_E_INVALID, item, PATH, "networks",
                            "%s goes with no other network: write container: {network: %s}",
                            item->as.string, item->as.string);
    for (size_t i = 0; i < index; i++)
        if (hd_streq(networks[i], item->as.string))
            return hd_read_fail(reader, HD_E_INVALID, item, PATH, "networks", "%s is given twice",
                                item->as.string);
    networks[index] = hd_strdup(item->as.string);
    return networks[index] != NULL ? HD_OK : hd_read_nomem(reader);
}

static enum hd_code parse_networks(const struct hd_reader *reader, const struct hd_value *object,
                                   struct hd_target *target)
{
    const struct hd_value *list;
    enum hd_code code = find_list(reader, object, "networks", target, &list);
    if (code != HD_OK || list == NULL)
        return code;
    if (target->container.network != NULL)
        return hd_read_fail(reader, HD_E_INVALID, list, PATH, "networks",
                            "container.network is given too: name all of them here");
    char **networks = hd_calloc(list->as.array.count + 1, sizeof(*networks));
    if (networks == NULL)
        return hd_read_nomem(reader);
    target->container.networks = networks;
    for (size_t i = 0; i < list->as.array.count && code == HD_OK; i++)
        code = add_network(reader, list->as.array.items[i], networks, i);
    return code;
}

/* ---- ports ----------------------------------------------------------------------------------- */

/* Of two words "ADDRESS:HOST:CONTAINER/PROTOCOL"; a host port that is any free one is never taken.
 */
static bool is_same_host_port(const char *left, const char *right)
{
    const char *left_end = strrchr(left, ':'), *right_end = strrchr(right, ':');
    size_t size = (size_t)(left_end - left);
    return size == (size_t)(right_end - right) && memcmp(left, right, size) == 0 &&
           left_end[-1] != ':' && hd_streq(strchr(left_end, '/'), strchr(right_end, '/'));
}

/* Without an address it is this machine's own: what a target listens on is nobody else's affair. */
static enum hd_code add_port(const struct hd_reader *reader, const struct hd_value *item,
                             char **ports, size_t index)
{
    char path[64], word[160];
    struct hd_service_port port = {0};
    (void)hd_format(path, sizeof(path), PATH ".ports[%zu]", index);
    enum hd_code code = hd_port_parse(reader, item, path, &port);
    if (code != HD_OK)
        return code;
    const char *address = port.address[0] != '\0' ? port.address : LOOPBACK;
    bool v6 = strchr(address, ':') != NULL;
    (void)hd_format(word, sizeof(word), "%s%s%s:%s:%u/%s", v6 ? "[" : "", address, v6 ? "]" : "",
                    port.host, port.container, port.protocol);
    for (size_t i = 0; i < index; i++) {
        if (hd_streq(ports[i], word))
            return hd_read_fail(reader, HD_E_INVALID, item, path, "", "%s is given twice", word);
        if (is_same_host_port(ports[i], word))
            return hd_read_fail(reader, HD_E_INVALID, item, path, "",
                                "%s cannot have the host port of %s", word, ports[i]);
    }
    ports[index] = hd_strdup(word);
    return ports[index] != NULL ? HD_OK : hd_read_nomem(reader);
}

static enum hd_code parse_ports(const struct hd_reader *reader, const struct hd_value *object,
                                struct hd_target *target)
{
    const struct hd_value *list;
    const char *network = target->container.network;
    enum hd_code code = find_list(reader, object, "ports", target, &list);
    if (code != HD_OK || list == NULL)
        return code;
    if (network != NULL && (hd_streq(network, "host") || hd_streq(network, "none")))
        return hd_read_fail(reader, HD_E_INVALID, list, PATH, "ports",
                            "container.network: %s has no ports to publish", network);
    char **ports = hd_calloc(list->as.array.count + 1, sizeof(*ports));
    if (ports == NULL)
        return hd_read_nomem(reader);
    target->container.ports = ports;
    for (size_t i = 0; i < list->as.array.count && code == HD_OK; i++)
        code = add_port(reader, list->as.array.items[i], ports, i);
    return code;
}

enum hd_code hd_networks_parse(const struct hd_reader *reader, const struct hd_value *object,
                               struct hd_target *target)
{
    enum hd_code code = parse_networks(reader, object, target);
    return code == HD_OK ? parse_ports(reader, object, target) : code;
}
