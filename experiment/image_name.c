/* SPDX-License-Identifier: Apache-2.0 */
/* image_name.c: what cannot be the name of an image, told while nothing runs yet. Engines have the
 * last word on what can. */
#include "read.h"

#include <string.h>

static bool is_small(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
}

static bool is_host(const char *name, size_t size)
{
    return memchr(name, '.', size) != NULL || memchr(name, ':', size) != NULL ||
           (size == strlen("localhost") && memcmp(name, "localhost", size) == 0);
}

/* "./a" is somebody's directory. */
static bool names_registry(const char *name, const char *slash)
{
    return slash != NULL && name[0] != '.' && is_host(name, (size_t)(slash - name));
}

/* The path of a repository, without its registry, tag and digest. */
static const char *path_fault(const char *path, size_t size)
{
    for (size_t i = 0; i < size; i++) {
        bool edge = i == 0 || path[i - 1] == '/' || i + 1 == size || path[i + 1] == '/';
        if (path[i] >= 'A' && path[i] <= 'Z')
            return "capital letters are for its tag only";
        if (path[i] == ':')
            return "a tag stands once, at the end";
        if (!is_small(path[i]) && strchr("._-/", path[i]) == NULL)
            return "letters, digits, '.', '_', '-' and '/' make a name";
        if (edge && !is_small(path[i]))
            return "each part of its path begins and ends with a letter or a digit";
    }
    return size == 0 ? "a name stands before the tag" : NULL;
}

static const char *tag_fault(const char *tag, size_t size)
{
    for (size_t i = 0; i < size; i++)
        if (!is_small(tag[i]) && !(tag[i] >= 'A' && tag[i] <= 'Z') && tag[i] != '_' &&
            (i == 0 || (tag[i] != '.' && tag[i] != '-')))
            return "letters, digits, '.', '_' and '-' make a tag";
    return size == 0 ? "a tag stands behind the ':'" : NULL;
}

const char *hd_image_name_fault(const char *name)
{
    size_t size = strcspn(name, "@");
    const char *slash = memchr(name, '/', size);
    if (name[size] == '@' && strchr(name + size, ':') == NULL)
        return "a digest is written @sha256:...";
    if (names_registry(name, slash)) {
        size -= (size_t)(slash + 1 - name);
        name = slash + 1;
    }
    size_t path = size;
    while (path > 0 && name[path - 1] != ':' && name[path - 1] != '/')
        path--;
    if (path == 0 || name[path - 1] == '/')
        return path_fault(name, size);
    const char *fault = path_fault(name, path - 1);
    return fault != NULL ? fault : tag_fault(name + path, size - path);
}

enum hd_code hd_read_image(const struct hd_reader *reader, const struct hd_value *object,
                           const char *path, char **ret_image)
{
    enum hd_code code = hd_read_text(reader, object, path, "image", ret_image);
    if (code != HD_OK || *ret_image == NULL)
        return code;
    const struct hd_value *at = hd_value_get(object, "image");
    if (strstr(*ret_image, "${") != NULL)
        return hd_read_fail(reader, HD_E_INVALID, at, path, "image",
                            "templates are filled in in command and env only");
    const char *fault = hd_image_name_fault(*ret_image);
    if (fault != NULL)
        return hd_read_fail(reader, HD_E_INVALID, at, path, "image",
                            "\"%.100s\" is not the name of an image, such as registry/name:tag: %s",
                            *ret_image, fault);
    return HD_OK;
}
