/* SPDX-License-Identifier: Apache-2.0 */
/* code.c: `target.code`: a directory of the experiment's that goes with each job. */
#include "describe.h"

#include <string.h>

#define PATH "target.code"
#define HASH_DIGITS 64

void hd_code_release(struct hd_target *target)
{
    hd_free(target->code);
    hd_free(target->code_hash);
}

/* {path: DIR, hash: SHA-256}; the hash is what a description adds once the directory was read. */
static enum hd_code parse_map(const struct hd_reader *reader, const struct hd_value *map,
                              struct hd_target *target)
{
    static const char *const names[] = {"path", "hash"};
    enum hd_code code = hd_read_keys(reader, map, PATH, names, HD_COUNT(names));
    if (code == HD_OK)
        code = hd_read_text(reader, map, PATH, "path", &target->code);
    if (code == HD_OK)
        code = hd_read_text(reader, map, PATH, "hash", &target->code_hash);
    if (code != HD_OK)
        return code;
    if (target->code == NULL)
        return hd_read_fail(reader, HD_E_INVALID, map, PATH, "path",
                            "missing; write code: DIRECTORY");
    const char *hash = target->code_hash;
    if (hash != NULL &&
        (strlen(hash) != HASH_DIGITS || strspn(hash, "0123456789abcdef") != HASH_DIGITS))
        return hd_read_fail(reader, HD_E_INVALID, hd_value_get(map, "hash"), PATH, "hash",
                            "is made from the content of the directory and cannot be chosen");
    return HD_OK;
}

enum hd_code hd_code_parse(const struct hd_reader *reader, const struct hd_value *object,
                           struct hd_target *target)
{
    const struct hd_value *value = hd_read_member(object, "code");
    if (value == NULL)
        return HD_OK;
    enum hd_code code = value->kind == HD_VALUE_OBJECT
                            ? parse_map(reader, value, target)
                            : hd_read_text(reader, object, "target", "code", &target->code);
    if (code == HD_OK && strlen(target->code) >= HD_VOLUME_PATH_MAX)
        code = hd_read_fail(reader, HD_E_LIMIT, value, PATH, "", "the path is too long");
    return code;
}

struct hd_value *hd_code_describe(const struct hd_target *target)
{
    struct hd_value *map = hd_value_new_object();
    bool good = map != NULL && put(map, "path", new_text(target->code)) &&
                (target->code_hash == NULL || put(map, "hash", new_text(target->code_hash)));
    return finish(map, good);
}
