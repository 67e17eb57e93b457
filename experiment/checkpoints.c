/* SPDX-License-Identifier: Apache-2.0 */
/* checkpoints.c: what becomes of configs' work directories: may they move to another machine, and
 * which are kept when their configs are done. */
#include "describe.h"

#include <string.h>

#define PATH "checkpoints"

static const char *const modes[] = {"travel", "stay"};

static enum hd_code parse_keep(const struct hd_reader *reader, const struct hd_value *map,
                               struct hd_experiment *experiment)
{
    static const char *const words[] = {"all", "incumbent"};
    const struct hd_value *value = hd_read_member(map, "keep");
    struct hd_checkpoints_spec *spec = &experiment->checkpoints;
    size_t index = 0;
    if (value == NULL)
        return HD_OK;
    enum hd_code code;
    if (value->kind == HD_VALUE_STRING) {
        code = hd_read_choice(reader, map, PATH, "keep", words, HD_COUNT(words), &index);
        spec->keep = (uint32_t)index;
    } else {
        code = hd_read_u32(reader, map, PATH, "keep", 1, HD_CHECKPOINTS_KEEP_MAX, &spec->keep);
    }
    if (code == HD_OK && spec->keep > 0 &&
        (experiment->objective_count > 1 || experiment->noise.repeats > 1))
        code = hd_read_fail(reader, HD_E_INVALID, value, PATH, "keep",
                            "with several objectives or a noisy target no single result is the "
                            "best; leave it out, which keeps all");
    return code;
}

enum hd_code hd_checkpoints_parse(const struct hd_reader *reader, const struct hd_value *root,
                                  struct hd_experiment *experiment)
{
    static const char *const keys[] = {"mode", "keep"};
    const struct hd_value *value = hd_read_member(root, PATH);
    size_t mode = 0;
    if (value == NULL)
        return HD_OK;
    if (value->kind != HD_VALUE_OBJECT && value->kind != HD_VALUE_STRING)
        return hd_read_wrong_type(reader, value, PATH, "",
                                  "travel, stay, or a map, such as {mode: stay, keep: incumbent}");
    if (value->kind == HD_VALUE_STRING) {
        enum hd_code code = hd_read_choice(reader, root, "", PATH, modes, HD_COUNT(modes), &mode);
        experiment->checkpoints.stay = mode == 1;
        return code;
    }
    enum hd_code code = hd_read_keys(reader, value, PATH, keys, HD_COUNT(keys));
    if (code == HD_OK)
        code = hd_read_choice(reader, value, PATH, "mode", modes, HD_COUNT(modes), &mode);
    experiment->checkpoints.stay = mode == 1;
    return code == HD_OK ? parse_keep(reader, value, experiment) : code;
}

bool hd_checkpoints_are_default(const struct hd_checkpoints_spec *spec)
{
    return !spec->stay && spec->keep == 0;
}

struct hd_value *hd_checkpoints_describe(const struct hd_checkpoints_spec *spec)
{
    struct hd_value *map = hd_value_new_object();
    bool good = map != NULL && put(map, "mode", hd_value_new_string(modes[spec->stay ? 1 : 0])) &&
                put(map, "keep",
                    spec->keep == 0 ? hd_value_new_string("all") : hd_value_new_int(spec->keep));
    return finish(map, good);
}
