/* SPDX-License-Identifier: Apache-2.0 */
#include <hd/driver.h>

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
    code = parse_file(path, &with_base, ret_experiment, err);
    hd_free(base_dir);
    return code;
}
