/* SPDX-License-Identifier: Apache-2.0 */
#include <hd/driver.h>

#include <hd/code.h>
#include <hd/image.h>
#include <hd/jsonnet.h>
#include <hd/os.h>

#include <string.h>

static enum hd_code parse_file(const char *path, const struct hd_experiment_overrides *overrides,
                               struct hd_experiment **ret_experiment, struct hd_err *err)
{
    struct hd_buf text;
    struct hd_value *value = NULL;
    enum hd_code code;
    if (hd_jsonnet_is_named(path)) {
        code = hd_jsonnet_read(path, NULL, &value, err);
        if (code == HD_OK)
            code = hd_experiment_parse(value, path, overrides, ret_experiment, err);
        hd_value_free(value);
        return code;
    }
    hd_buf_init(&text, HD_EXPERIMENT_BYTES_MAX);
    code = hd_file_read(path, HD_EXPERIMENT_BYTES_MAX, false, &text, err);
    if (code == HD_OK)
        code = hd_experiment_parse_text(hd_buf_text(&text), text.size, path, overrides,
                                        ret_experiment, err);
    hd_buf_release(&text);
    return code;
}

/* A file with too much in it is a wrong file like others, for whoever looks at the exit code. */
static enum hd_code parse_whole(const char *path, const struct hd_experiment_overrides *overrides,
                                struct hd_experiment **ret_experiment, struct hd_err *err)
{
    enum hd_code code = parse_file(path, overrides, ret_experiment, err);
    if (code != HD_E_LIMIT)
        return code;
    if (err != NULL)
        err->code = HD_E_INVALID;
    return HD_E_INVALID;
}

/* An image that is built is named by what its directory holds now. */
static enum hd_code name_built(struct hd_target *target, struct hd_err *err)
{
    char *directory = NULL, name[HD_IMAGE_NAME_MAX];
    const char *base = target->base_dir;
    if (target->build == NULL || !hd_streq(target->image, HD_IMAGE_UNBUILT))
        return HD_OK;
    enum hd_code code = hd_path_absolute(base != NULL && base[0] != '\0' ? base : NULL,
                                         target->build, &directory, err);
    if (code == HD_OK)
        code = hd_image_context_name(directory, target->dockerfile, name, err);
    hd_free(directory);
    if (code != HD_OK)
        return hd_fail_in(err, "target.image.build");
    char *copy = hd_strdup(name);
    if (copy == NULL)
        return hd_fail(err, HD_E_NOMEM, "no memory for the name of an image");
    hd_free(target->image);
    target->image = copy;
    return HD_OK;
}

enum hd_code hd_experiment_read(const char *path, const struct hd_experiment_overrides *overrides,
                                struct hd_experiment **ret_experiment, struct hd_err *err)
{
    struct hd_experiment_overrides with_base = *overrides;
    char *base_dir = NULL;
    enum hd_code code = hd_path_absolute(NULL, path, &base_dir, err);
    if (code != HD_OK)
        return code;
    char *slash = strrchr(base_dir, '/');
    slash[slash == base_dir ? 1 : 0] = '\0';
    with_base.base_dir = base_dir;
    struct hd_experiment *experiment = NULL;
    code = parse_whole(path, &with_base, &experiment, err);
    if (code == HD_OK)
        code = name_built(&experiment->target, err);
    if (code == HD_OK)
        code = hd_code_read(&experiment->target, err);
    if (code == HD_OK)
        *ret_experiment = experiment;
    else
        hd_experiment_free(experiment);
    hd_free(base_dir);
    return code;
}
