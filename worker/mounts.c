/* SPDX-License-Identifier: Apache-2.0 */
#include "mounts.h"

#include <errno.h>
#include <hd/message.h>
#include <string.h>
#include <sys/stat.h>

#define SHOWN 200 /* bytes of a path in a message */

void hd_mounts_release(struct hd_mounts *mounts)
{
    hd_free(mounts->data_dir);
    for (size_t i = 0; i < mounts->count; i++)
        hd_free(mounts->items[i].source);
    *mounts = (struct hd_mounts){0};
}

static const char *find_given(const struct hd_text_list *given, const char *name)
{
    size_t size = strlen(name);
    for (size_t i = 0; i < given->count; i++)
        if (strncmp(given->items[i], name, size) == 0 && given->items[i][size] == '=')
            return given->items[i] + size + 1;
    return NULL;
}

/* A FIFO, a socket or a device is a way to something else than data. */
enum hd_code hd_mounts_check_kind(const char *key, const char *path, bool directory,
                                  struct hd_err *err)
{
    struct stat st;
    if (stat(path, &st) != 0)
        return hd_fail(err, errno == ENOENT || errno == ENOTDIR ? HD_E_INVALID : HD_E_IO,
                       "%s: %.*s on this worker: %s", key, SHOWN, path, strerror(errno));
    if (S_ISDIR(st.st_mode) || (S_ISREG(st.st_mode) && !directory))
        return HD_OK;
    return hd_fail(err, HD_E_INVALID, "%s: %.*s %s", key, SHOWN, path,
                   directory ? "is not a directory; name the one that it is in"
                             : "on this worker is no directory and no file");
}

/* ---- data ----------------------------------------------------------------------------------- */

/* What the worker's owner did not name himself is looked at with all links resolved. */
static enum hd_code resolve(const struct hd_policy *policy, char **path, struct hd_err *err)
{
    char *named = *path;
    *path = NULL;
    enum hd_code code = hd_policy_data(policy, named, path, err);
    hd_free(named);
    return code;
}

static enum hd_code find_data(const struct hd_target *target, const struct hd_text_list *given,
                              const struct hd_policy *policy, char **ret_path, struct hd_err *err)
{
    char *path = NULL;
    if (target->data == NULL)
        return HD_OK;
    const char *mapped = find_given(given, target->data_name);
    bool base = target->base_dir != NULL && target->base_dir[0] != '\0';
    enum hd_code code =
        mapped != NULL ? hd_path_absolute(NULL, mapped, &path, err)
                       : hd_path_absolute(base ? target->base_dir : NULL, target->data, &path, err);
    if (code != HD_OK)
        return code;
    if (!hd_path_exists(path)) {
        code = mapped == NULL && base && hd_path_exists(target->base_dir)
                   ? hd_fail(err, HD_E_INVALID, "target.data: %s does not exist", path)
                   : hd_fail(err, HD_E_NOTFOUND,
                             "this worker has no data set %s (%s): give it --data %s=PATH",
                             target->data_name, path, target->data_name);
    } else {
        code = hd_mounts_check_kind("target.data", path, true, err);
        if (code == HD_OK && mapped == NULL)
            code = resolve(policy, &path, err);
    }
    if (code == HD_OK)
        *ret_path = path;
    else
        hd_free(path);
    return code;
}

/* Its owner has named it: no policy is asked. */
static enum hd_code find_set(const struct hd_text_list *given, const char *name, char **ret_path,
                             struct hd_err *err)
{
    const char *mapped = find_given(given, name);
    char *path = NULL;
    if (mapped == NULL)
        return hd_fail(err, HD_E_INVALID, "this worker has no data set %s: give it --data %s=PATH",
                       name, name);
    enum hd_code code = hd_path_absolute(NULL, mapped, &path, err);
    if (code == HD_OK)
        code = hd_mounts_check_kind("--data", path, true, err);
    if (code == HD_OK)
        *ret_path = path;
    else
        hd_free(path);
    return code;
}

static enum hd_code find_volume(const struct hd_target *target, const struct hd_volume *volume,
                                const struct hd_policy *policy, char **ret_path, struct hd_err *err)
{
    char *path = NULL;
    bool base = target->base_dir != NULL && target->base_dir[0] != '\0';
    if (volume->host[0] != '/' && !base)
        return hd_fail(err, HD_E_INVALID,
                       "target.volumes: %.200s: relative, and target.base_dir is not known",
                       volume->host);
    enum hd_code code = hd_path_absolute(base ? target->base_dir : NULL, volume->host, &path, err);
    if (code == HD_OK)
        code = hd_mounts_check_kind("target.volumes", path, false, err);
    if (code == HD_OK)
        code = hd_policy_volume(policy, path, !volume->read_only, ret_path, err);
    hd_free(path);
    return code;
}

enum hd_code hd_mounts_find(const struct hd_target *target, const struct hd_text_list *given,
                            const struct hd_policy *policy, struct hd_mounts *ret_mounts,
                            struct hd_err *err)
{
    struct hd_mounts mounts = {0};
    enum hd_code code = find_data(target, given, policy, &mounts.data_dir, err);
    for (size_t i = 0; code == HD_OK && target->data_sets != NULL && target->data_sets[i] != NULL;
         i++) {
        struct hd_found_mount *mount = &mounts.items[mounts.count];
        *mount = (struct hd_found_mount){.data = target->data_sets[i], .read_only = true};
        code = find_set(given, mount->data, &mount->source, err);
        mounts.count += code == HD_OK;
    }
    for (size_t i = 0; code == HD_OK && i < target->volume_count; i++) {
        const struct hd_volume *volume = &target->volumes[i];
        struct hd_found_mount *mount = &mounts.items[mounts.count];
        *mount = (struct hd_found_mount){
            .data = volume->data, .at = volume->container, .read_only = volume->read_only};
        code = volume->data != NULL ? find_set(given, volume->data, &mount->source, err)
                                    : find_volume(target, volume, policy, &mount->source, err);
        mounts.count += code == HD_OK;
    }
    if (code == HD_OK)
        *ret_mounts = mounts;
    else
        hd_mounts_release(&mounts);
    return code;
}

/* ---- what there is -------------------------------------------------------------------------- */

static bool is_listed(const char *names, const char *name)
{
    size_t size = strlen(name);
    for (const char *at = names; *at != '\0'; at += strcspn(at, ","), at += *at == ',')
        if (strcspn(at, ",") == size && strncmp(at, name, size) == 0)
            return true;
    return false;
}

static enum hd_code add_name(const char *text, char *names, struct hd_err *err)
{
    char name[HD_ID_MAX + 1];
    char *path = NULL;
    struct stat st;
    size_t used = strlen(names);
    const char *equals = strchr(text, '=');
    if (equals == NULL || equals[1] == '\0')
        return hd_fail(err, HD_E_INVALID, "--data %.200s: must be NAME=PATH", text);
    if (!hd_format(name, sizeof(name), "%.*s", (int)(equals - text), text) ||
        hd_data_name_check(name, err) != HD_OK)
        return HD_OK; /* a directory may be called so, and be mapped; it is no data set */
    if (is_listed(names, name))
        return hd_fail(err, HD_E_INVALID, "--data %.200s: %s is given twice", text, name);
    enum hd_code code = hd_path_absolute(NULL, equals + 1, &path, err);
    if (code != HD_OK)
        return code;
    bool there = stat(path, &st) == 0 && S_ISDIR(st.st_mode);
    hd_free(path);
    if (!there) {
        hd_log(HD_LOG_WARNING,
               "--data %s: no directory is there, so jobs that need it go elsewhere", text);
        return HD_OK;
    }
    if (!hd_format(names + used, HD_DATA_NAMES_MAX - used, "%s%s", used > 0 ? "," : "", name))
        return hd_fail(err, HD_E_LIMIT, "--data: the names are longer than %d bytes together",
                       HD_DATA_NAMES_MAX - 1);
    return HD_OK;
}

enum hd_code hd_mounts_names(const struct hd_text_list *given, char *ret_names, struct hd_err *err)
{
    enum hd_code code = HD_OK;
    ret_names[0] = '\0';
    for (size_t i = 0; i < given->count && code == HD_OK; i++)
        code = add_name(given->items[i], ret_names, err);
    return code;
}
