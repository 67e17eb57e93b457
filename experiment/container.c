/* SPDX-License-Identifier: Apache-2.0 */
/* container.c: what a container gets beyond its files: `target.resources` that only an engine can
 * give, and `target.container`. Lists are kept as the words that an engine's command line takes. */
#include "describe.h"

#include <string.h>

#define PATH "target.container"
#define RESOURCES "target.resources"
#define LIST_MAX 64
#define WORD_MAX 256
#define ULIMIT_MAX INT64_C(4000000000)

void hd_container_release(struct hd_container *container)
{
    hd_free(container->cpuset);
    hd_free(container->user);
    hd_free(container->network);
    hd_words_free(container->networks);
    hd_words_free(container->ports);
    hd_free(container->runtime);
    hd_words_free(container->ulimits);
    hd_words_free(container->tmpfs);
    hd_words_free(container->cap_add);
    hd_words_free(container->cap_drop);
    *container = (struct hd_container){0};
}

/* ---- words ---- */

static bool consists_of(const char *text, const char *allowed)
{
    return text[0] != '\0' && strlen(text) <= WORD_MAX && strspn(text, allowed) == strlen(text);
}

#define DIGITS "0123456789"
#define LETTERS "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"

/* A text of these characters, not beginning with a sign. */
static enum hd_code parse_word(const struct hd_reader *reader, const struct hd_value *object,
                               const char *path, const char *key, const char *allowed,
                               const char *what, char **text)
{
    enum hd_code code = hd_read_text(reader, object, path, key, text);
    if (code == HD_OK && *text != NULL &&
        (!consists_of(*text, allowed) || strchr("-._:,", (*text)[0]) != NULL))
        return hd_read_fail(reader, HD_E_INVALID, hd_value_get(object, key), path, key,
                            "\"%.100s\" is no %s", *text, what);
    return code;
}

/* Allocates a list with room for `count` words. */
static enum hd_code new_list(const struct hd_reader *reader, const struct hd_value *at,
                             const char *path, const char *key, size_t count, char ***ret_list)
{
    if (count > LIST_MAX)
        return hd_read_fail(reader, HD_E_LIMIT, at, path, key, "more than %d entries", LIST_MAX);
    *ret_list = hd_calloc(count + 1, sizeof(**ret_list));
    return *ret_list != NULL ? HD_OK : hd_read_nomem(reader);
}

typedef enum hd_code check_fn(const struct hd_reader *reader, const struct hd_value *at,
                              const char *key, const char *word);

static enum hd_code parse_list(const struct hd_reader *reader, const struct hd_value *object,
                               const char *key, check_fn *check, char ***list)
{
    const struct hd_value *value = hd_read_member(object, key);
    if (value == NULL)
        return HD_OK;
    if (value->kind != HD_VALUE_ARRAY)
        return hd_read_wrong_type(reader, value, PATH, key, "a list");
    if (value->as.array.count == 0)
        return HD_OK;
    enum hd_code code = new_list(reader, value, PATH, key, value->as.array.count, list);
    for (size_t i = 0; code == HD_OK && i < value->as.array.count; i++) {
        const struct hd_value *item = value->as.array.items[i];
        if (item->kind != HD_VALUE_STRING)
            return hd_read_wrong_type(reader, item, PATH, key, "a text");
        code = check(reader, item, key, item->as.string);
        if (code == HD_OK && ((*list)[i] = hd_strdup(item->as.string)) == NULL)
            code = hd_read_nomem(reader);
    }
    return code;
}

static enum hd_code check_capability(const struct hd_reader *reader, const struct hd_value *at,
                                     const char *key, const char *word)
{
    if (consists_of(word, "ABCDEFGHIJKLMNOPQRSTUVWXYZ_") && strncmp(word, "CAP_", 4) != 0)
        return HD_OK;
    return hd_read_fail(reader, HD_E_INVALID, at, PATH, key,
                        "\"%.60s\" is no capability; write NET_ADMIN, or ALL", word);
}

/* /path or /path:size=64m,mode=1777; not over what is ours. */
static enum hd_code check_tmpfs(const struct hd_reader *reader, const struct hd_value *at,
                                const char *key, const char *word)
{
    size_t path_size = strcspn(word, ":");
    const char *options = word[path_size] == ':' ? word + path_size + 1 : "size=1";
    bool good = word[0] == '/' && path_size > 1 && path_size < WORD_MAX &&
                consists_of(options, "abcdefghijklmnopqrstuvwxyz" DIGITS "=,");
    if (!good || strstr(word, "..") != NULL || strpbrk(word, " \t\r\n\"\\") != NULL)
        return hd_read_fail(reader, HD_E_INVALID, at, PATH, key,
                            "\"%.100s\" must be an absolute path, or one with options: "
                            "/tmp:size=64m",
                            word);
    if (strncmp(word, "/hyperdock", 10) == 0 && strchr("/:", word[10]) != NULL)
        return hd_read_fail(reader, HD_E_INVALID, at, PATH, key,
                            "/hyperdock is where the target's files are");
    return HD_OK;
}

/* ---- ulimits ---- */

static enum hd_code parse_bound(const struct hd_reader *reader, const struct hd_value *at,
                                const char *key, const char *text, int64_t *ret_soft,
                                int64_t *ret_hard)
{
    char soft[32];
    const char *colon = strchr(text, ':');
    size_t size = colon != NULL ? (size_t)(colon - text) : strlen(text);
    bool good = size < sizeof(soft);
    if (good) {
        memcpy(soft, text, size);
        soft[size] = '\0';
        good = hd_parse_i64(soft, ret_soft) &&
               hd_parse_i64(colon != NULL ? colon + 1 : soft, ret_hard) && *ret_soft >= -1 &&
               *ret_hard >= -1 && *ret_soft <= ULIMIT_MAX && *ret_hard <= ULIMIT_MAX &&
               (*ret_hard == -1 || (*ret_soft >= 0 && *ret_soft <= *ret_hard));
    }
    return good ? HD_OK
                : hd_read_fail(reader, HD_E_INVALID, at, RESOURCES, key,
                               "\"%.60s\": expected a number, -1 for none, or SOFT:HARD", text);
}

static enum hd_code add_ulimit(const struct hd_reader *reader, const char *name,
                               const struct hd_value *value, char **ret_word)
{
    static const char *const names[] = {"core",    "cpu",      "data",   "fsize",      "locks",
                                        "memlock", "msgqueue", "nice",   "nofile",     "nproc",
                                        "rss",     "rtprio",   "rttime", "sigpending", "stack"};
    char key[80], text[80], word[160];
    int64_t soft = 0, hard = 0;
    size_t i = 0;
    hd_format(key, sizeof(key), "ulimits.%.60s", name);
    while (i < HD_COUNT(names) && !hd_streq(name, names[i]))
        i++;
    if (i == HD_COUNT(names)) {
        const char *nearest = hd_nearest(name, names, HD_COUNT(names));
        return hd_read_fail(reader, HD_E_INVALID, value, RESOURCES, key, "unknown limit%s%s%s",
                            nearest != NULL ? ", did you mean \"" : "",
                            nearest != NULL ? nearest : "", nearest != NULL ? "\"?" : "");
    }
    if (value->kind == HD_VALUE_INT)
        hd_format(text, sizeof(text), "%lld", (long long)value->as.integer);
    else if (value->kind != HD_VALUE_STRING || !hd_copy_text(text, sizeof(text), value->as.string))
        return hd_read_wrong_type(reader, value, RESOURCES, key, "a number or SOFT:HARD");
    enum hd_code code = parse_bound(reader, value, key, text, &soft, &hard);
    if (code != HD_OK)
        return code;
    hd_format(word, sizeof(word), "%s=%lld:%lld", name, (long long)soft, (long long)hard);
    *ret_word = hd_strdup(word);
    return *ret_word != NULL ? HD_OK : hd_read_nomem(reader);
}

static enum hd_code parse_ulimits(const struct hd_reader *reader, const struct hd_value *resources,
                                  struct hd_container *container)
{
    const struct hd_value *map;
    enum hd_code code = hd_read_object(reader, resources, RESOURCES, "ulimits", &map);
    if (code != HD_OK || map == NULL || map->as.object.count == 0)
        return code;
    code = new_list(reader, map, RESOURCES, "ulimits", map->as.object.count, &container->ulimits);
    for (size_t i = 0; code == HD_OK && i < map->as.object.count; i++)
        code = add_ulimit(reader, map->as.object.keys[i], map->as.object.items[i],
                          &container->ulimits[i]);
    return code;
}

/* ---- all ---- */

enum hd_code hd_container_parse_resources(const struct hd_reader *reader,
                                          const struct hd_value *resources,
                                          struct hd_container *container)
{
    enum hd_code code = hd_read_bytes(reader, resources, RESOURCES, "shm", &container->shm_bytes);
    if (code == HD_OK)
        code = parse_word(reader, resources, RESOURCES, "cpuset", DIGITS "-,",
                          "list of CPUs, such as 0-3,8", &container->cpuset);
    return code == HD_OK ? parse_ulimits(reader, resources, container) : code;
}

enum hd_code hd_container_parse(const struct hd_reader *reader, const struct hd_value *target,
                                struct hd_container *container)
{
    static const char *const names[] = {"user",  "network", "runtime",  "read_only",
                                        "tmpfs", "cap_add", "cap_drop", "privileged"};
    const struct hd_value *object;
    enum hd_code code = hd_read_object(reader, target, "target", "container", &object);
    if (code != HD_OK || object == NULL)
        return code;
    code = hd_read_keys(reader, object, PATH, names, HD_COUNT(names));
    if (code == HD_OK)
        code = parse_word(reader, object, PATH, "user",
                          LETTERS DIGITS "_.-:", "user: give a name or UID, or USER:GROUP",
                          &container->user);
    if (code == HD_OK) /* no ':': nobody joins another container's network */
        code = parse_word(reader, object, PATH, "network", LETTERS DIGITS "_.-",
                          "network: give none, host, bridge or a name", &container->network);
    if (code == HD_OK)
        code = parse_word(reader, object, PATH, "runtime", LETTERS DIGITS "_.-/", "runtime",
                          &container->runtime);
    if (code == HD_OK)
        code = hd_read_bool(reader, object, PATH, "read_only", &container->read_only);
    if (code == HD_OK)
        code = hd_read_bool(reader, object, PATH, "privileged", &container->privileged);
    if (code == HD_OK)
        code = parse_list(reader, object, "tmpfs", check_tmpfs, &container->tmpfs);
    if (code == HD_OK)
        code = parse_list(reader, object, "cap_add", check_capability, &container->cap_add);
    if (code == HD_OK)
        code = parse_list(reader, object, "cap_drop", check_capability, &container->cap_drop);
    return code;
}

/* ---- described ---- */

struct hd_value *hd_words_describe(char *const *words)
{
    struct hd_value *list = hd_value_new_array();
    for (size_t i = 0; list != NULL && words != NULL && words[i] != NULL; i++)
        if (hd_value_append(list, hd_value_new_string(words[i])) != HD_OK) {
            hd_value_free(list);
            list = NULL;
        }
    return list;
}

struct hd_value *hd_container_describe_ulimits(const struct hd_container *container)
{
    struct hd_value *map = hd_value_new_object();
    bool good = map != NULL;
    for (size_t i = 0; good && container->ulimits != NULL && container->ulimits[i] != NULL; i++) {
        char name[WORD_MAX];
        const char *word = container->ulimits[i];
        size_t size = strcspn(word, "=");
        hd_format(name, sizeof(name), "%.*s", (int)size, word);
        good = put(map, name, hd_value_new_string(word + size + 1));
    }
    return finish(map, good);
}

struct hd_value *hd_container_describe(const struct hd_container *container)
{
    struct hd_value *map = hd_value_new_object();
    bool good = map != NULL && put(map, "user", new_text(container->user)) &&
                put(map, "network", new_text(container->network)) &&
                put(map, "runtime", new_text(container->runtime)) &&
                put(map, "read_only", hd_value_new_bool(container->read_only)) &&
                put(map, "tmpfs", hd_words_describe(container->tmpfs)) &&
                put(map, "cap_add", hd_words_describe(container->cap_add)) &&
                put(map, "cap_drop", hd_words_describe(container->cap_drop)) &&
                put(map, "privileged", hd_value_new_bool(container->privileged));
    return finish(map, good);
}
