/* SPDX-License-Identifier: Apache-2.0 */
/* volumes.c: what of a worker's machine a target sees: `target.data` and `target.volumes`. */
#include "describe.h"

#include <hd/services.h>
#include <string.h>

#define PATH "target"
#define DATA_SET_PREFIX "data:"

void hd_volumes_release(struct hd_target *target)
{
    hd_free(target->data);
    hd_free(target->data_name);
    hd_words_free(target->data_sets);
    for (size_t i = 0; i < target->volume_count; i++) {
        hd_free(target->volumes[i].host);
        hd_free(target->volumes[i].data);
        hd_free(target->volumes[i].container);
    }
    hd_free(target->volumes);
}

const char *hd_target_needed_data(const struct hd_target *target, size_t index)
{
    for (size_t i = 0; target->data_sets != NULL && target->data_sets[i] != NULL; i++)
        if (index-- == 0)
            return target->data_sets[i];
    for (size_t i = 0; i < target->volume_count; i++)
        if (target->volumes[i].data != NULL && index-- == 0)
            return target->volumes[i].data;
    return NULL;
}

enum hd_code hd_data_name_check(const char *name, struct hd_err *err)
{
    return hd_check_id("name of a data set", name, err);
}

/* ---- data ----------------------------------------------------------------------------------- */

/* The last component of the path, "data" where it has no name of its own. */
static char *name_of_data(const char *path)
{
    size_t end = strlen(path);
    while (end > 0 && path[end - 1] == '/')
        end--;
    size_t start = end;
    while (start > 0 && path[start - 1] != '/')
        start--;
    const char *last = path + start;
    size_t size = end - start;
    if (size == 0 || (size == 1 && last[0] == '.') || (size == 2 && strncmp(last, "..", 2) == 0))
        return hd_strdup("data");
    char *name = hd_malloc(size + 1);
    if (name != NULL) {
        memcpy(name, last, size);
        name[size] = '\0';
    }
    return name;
}

/* A list of names: each is a directory below /data. */
static enum hd_code parse_data_sets(const struct hd_reader *reader, const struct hd_value *list,
                                    struct hd_target *target)
{
    size_t count = list->as.array.count;
    if (count > HD_DATA_SETS_MAX)
        return hd_read_fail(reader, HD_E_LIMIT, list, PATH, "data", "more than %d data sets",
                            HD_DATA_SETS_MAX);
    target->data_sets = count > 0 ? hd_calloc(count + 1, sizeof(*target->data_sets)) : NULL;
    if (count > 0 && target->data_sets == NULL)
        return hd_read_nomem(reader);
    for (size_t i = 0; i < count; i++) {
        const struct hd_value *item = list->as.array.items[i];
        if (item->kind != HD_VALUE_STRING)
            return hd_read_wrong_type(reader, item, PATH, "data", "the name of a data set");
        if (hd_data_name_check(item->as.string, reader->err) != HD_OK)
            return hd_read_wrap(reader, item, PATH, "data");
        for (size_t k = 0; k < i; k++)
            if (hd_streq(target->data_sets[k], item->as.string))
                return hd_read_fail(reader, HD_E_INVALID, item, PATH, "data", "%s is given twice",
                                    item->as.string);
        target->data_sets[i] = hd_strdup(item->as.string);
        if (target->data_sets[i] == NULL)
            return hd_read_nomem(reader);
    }
    return HD_OK;
}

enum hd_code hd_data_parse(const struct hd_reader *reader, const struct hd_value *object,
                           struct hd_target *target)
{
    const struct hd_value *value = hd_read_member(object, "data");
    if (value != NULL && value->kind == HD_VALUE_ARRAY)
        return parse_data_sets(reader, value, target);
    enum hd_code code = hd_read_text(reader, object, PATH, "data", &target->data);
    if (code != HD_OK || target->data == NULL)
        return code;
    target->data_name = name_of_data(target->data);
    return target->data_name != NULL ? HD_OK : hd_read_nomem(reader);
}

struct hd_value *hd_data_describe(const struct hd_target *target)
{
    if (target->data_sets == NULL)
        return new_text(target->data);
    struct hd_value *list = hd_value_new_array();
    bool good = list != NULL;
    for (size_t i = 0; good && target->data_sets[i] != NULL; i++)
        good = hd_value_append(list, hd_value_new_string(target->data_sets[i])) == HD_OK;
    return finish(list, good);
}

/* ---- volumes -------------------------------------------------------------------------------- */

/* As written. */
struct parts {
    const char *host, *data, *container;
    bool read_only;
};

static bool leaves(const char *path)
{
    for (const char *at = path; *at != '\0'; at += strcspn(at, "/"), at += *at == '/')
        if (strncmp(at, "..", 2) == 0 && (at[2] == '/' || at[2] == '\0'))
            return true;
    return false;
}

static bool is_below(const char *path, const char *root)
{
    size_t size = strlen(root);
    return strncmp(path, root, size) == 0 && (path[size] == '/' || path[size] == '\0');
}

/* Where it appears: not over what is ours, and not over all there is. */
static enum hd_code check_container(const struct hd_reader *reader, const struct hd_value *at,
                                    const char *path, const char *container,
                                    const struct hd_target *target)
{
    if (container == NULL || container[0] != '/' || container[strspn(container, "/")] == '\0' ||
        leaves(container) || strpbrk(container, ":,\"\n\r") != NULL)
        return hd_read_fail(reader, HD_E_INVALID, at, path, "",
                            "needs an absolute path in the container, such as ./cache:/cache");
    if (strlen(container) >= HD_VOLUME_PATH_MAX)
        return hd_read_fail(reader, HD_E_LIMIT, at, path, "", "the path is too long");
    if (is_below(container, "/hyperdock"))
        return hd_read_fail(reader, HD_E_INVALID, at, path, "",
                            "/hyperdock is where the target's files are");
    if (is_below(container, "/data") && (target->data != NULL || target->data_sets != NULL))
        return hd_read_fail(reader, HD_E_INVALID, at, path, "", "/data is where target.data is");
    for (size_t i = 0; i < target->volume_count; i++)
        if (target->volumes[i].container != NULL &&
            hd_streq(target->volumes[i].container, container))
            return hd_read_fail(reader, HD_E_INVALID, at, path, "", "two volumes are at %.200s",
                                container);
    return HD_OK;
}

static enum hd_code set_volume(const struct hd_reader *reader, const struct hd_value *at,
                               const char *path, const struct parts *parts,
                               struct hd_target *target)
{
    enum hd_code code = check_container(reader, at, path, parts->container, target);
    if (code != HD_OK)
        return code;
    if ((parts->host == NULL || parts->host[0] == '\0') == (parts->data == NULL))
        return hd_read_fail(reader, HD_E_INVALID, at, path, "",
                            "needs a path of the worker's machine, or a data set");
    if (parts->host != NULL && strlen(parts->host) >= HD_VOLUME_PATH_MAX)
        return hd_read_fail(reader, HD_E_LIMIT, at, path, "", "the path is too long");
    if (parts->data != NULL && hd_data_name_check(parts->data, reader->err) != HD_OK)
        return hd_read_wrap(reader, at, path, "");
    if (parts->data != NULL && !parts->read_only)
        return hd_read_fail(reader, HD_E_INVALID, at, path, "",
                            "a data set is read-only: write data:%.60s:%.200s", parts->data,
                            parts->container);
    struct hd_volume *volume = &target->volumes[target->volume_count++];
    volume->read_only = parts->read_only;
    volume->container = hd_strdup(parts->container);
    volume->host = parts->host != NULL ? hd_strdup(parts->host) : NULL;
    volume->data = parts->data != NULL ? hd_strdup(parts->data) : NULL;
    return volume->container != NULL && (volume->host != NULL || volume->data != NULL)
               ? HD_OK
               : hd_read_nomem(reader);
}

/* "HOST:IN", "HOST:IN:ro", "data:NAME:IN". */
static enum hd_code parse_text(const struct hd_reader *reader, const struct hd_value *item,
                               const char *path, struct hd_target *target)
{
    char text[2 * HD_VOLUME_PATH_MAX];
    struct parts parts = {0};
    if (!hd_copy_text(text, sizeof(text), item->as.string))
        return hd_read_fail(reader, HD_E_LIMIT, item, path, "", "the path is too long");
    char *at = text;
    bool data = strncmp(at, DATA_SET_PREFIX, strlen(DATA_SET_PREFIX)) == 0;
    at += data ? strlen(DATA_SET_PREFIX) : 0;
    char *colon = strchr(at, ':');
    if (colon == NULL)
        return check_container(reader, item, path, NULL, target);
    *colon = '\0';
    char *mode = strchr(colon + 1, ':');
    if (mode != NULL) {
        *mode++ = '\0';
        if (!hd_streq(mode, "ro") && !hd_streq(mode, "rw"))
            return hd_read_fail(reader, HD_E_INVALID, item, path, "",
                                "what comes last is ro or rw, not \"%.60s\"", mode);
    }
    parts.data = data ? at : NULL;
    parts.host = data ? NULL : at;
    parts.container = colon + 1;
    parts.read_only = mode != NULL ? hd_streq(mode, "ro") : data;
    return set_volume(reader, item, path, &parts, target);
}

static enum hd_code parse_map(const struct hd_reader *reader, const struct hd_value *item,
                              const char *path, struct hd_target *target)
{
    static const char *const names[] = {"host", "data", "container", "read_only"};
    char *host = NULL, *data = NULL, *container = NULL;
    enum hd_code code = hd_read_keys(reader, item, path, names, HD_COUNT(names));
    if (code == HD_OK)
        code = hd_read_text(reader, item, path, "host", &host);
    if (code == HD_OK)
        code = hd_read_text(reader, item, path, "data", &data);
    if (code == HD_OK)
        code = hd_read_text(reader, item, path, "container", &container);
    struct parts parts = {host, data, container, data != NULL};
    if (code == HD_OK)
        code = hd_read_bool(reader, item, path, "read_only", &parts.read_only);
    if (code == HD_OK)
        code = set_volume(reader, item, path, &parts, target);
    hd_free(host);
    hd_free(data);
    hd_free(container);
    return code;
}

enum hd_code hd_volumes_parse(const struct hd_reader *reader, const struct hd_value *object,
                              struct hd_target *target)
{
    const struct hd_value *list = hd_read_member(object, "volumes");
    if (list == NULL)
        return HD_OK;
    if (list->kind != HD_VALUE_ARRAY)
        return hd_read_wrong_type(reader, list, PATH, "volumes", "a list");
    size_t count = list->as.array.count;
    if (count > HD_VOLUMES_MAX)
        return hd_read_fail(reader, HD_E_LIMIT, list, PATH, "volumes", "more than %d volumes",
                            HD_VOLUMES_MAX);
    if (count > 0 && target->image == NULL)
        return hd_read_fail(reader, HD_E_INVALID, list, PATH, "volumes",
                            "needs an image: a command sees the worker's own files; data sets "
                            "reach it by data: [NAME]");
    target->volumes = count > 0 ? hd_calloc(count, sizeof(*target->volumes)) : NULL;
    if (count > 0 && target->volumes == NULL)
        return hd_read_nomem(reader);
    enum hd_code code = HD_OK;
    for (size_t i = 0; i < count && code == HD_OK; i++) {
        const struct hd_value *item = list->as.array.items[i];
        char path[64];
        hd_format(path, sizeof(path), PATH ".volumes[%zu]", i);
        if (item->kind == HD_VALUE_OBJECT)
            code = parse_map(reader, item, path, target);
        else if (item->kind == HD_VALUE_STRING)
            code = parse_text(reader, item, path, target);
        else
            code = hd_read_wrong_type(reader, item, path, "", "HOST:CONTAINER or a map");
    }
    return code;
}

static struct hd_value *describe_volume(const struct hd_volume *volume)
{
    struct hd_value *map = hd_value_new_object();
    bool good = map != NULL &&
                put(map, volume->data != NULL ? "data" : "host",
                    new_text(volume->data != NULL ? volume->data : volume->host)) &&
                put(map, "container", new_text(volume->container)) &&
                put(map, "read_only", hd_value_new_bool(volume->read_only));
    return finish(map, good);
}

struct hd_value *hd_volumes_describe(const struct hd_target *target)
{
    struct hd_value *list = hd_value_new_array();
    bool good = list != NULL;
    for (size_t i = 0; good && i < target->volume_count; i++)
        good = hd_value_append(list, describe_volume(&target->volumes[i])) == HD_OK;
    return finish(list, good);
}
