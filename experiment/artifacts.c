/* SPDX-License-Identifier: Apache-2.0 */
/*
 * artifacts.c: which files of an attempt are shipped. Where they go, and with whose credentials, is
 * the affair of each worker's owner: a master could otherwise have a worker write anywhere.
 */
#include "read.h"

#include <stdlib.h>
#include <string.h>

#define MATCH_STEPS_MAX 100000 /* patterns come from strangers */

/* ---- matching ------------------------------------------------------------------------------- */

/* One component: '*' is any number of bytes, '?' one of them. Greedy with one place to go back to,
 * so its time is at most the product of the two lengths. */
static bool match_component(const char *pattern, size_t pattern_size, const char *text,
                            size_t text_size)
{
    size_t p = 0, t = 0, star = SIZE_MAX, from = 0;
    while (t < text_size) {
        if (p < pattern_size && pattern[p] == '*') {
            star = p++;
            from = t;
        } else if (p < pattern_size && (pattern[p] == '?' || pattern[p] == text[t])) {
            p++;
            t++;
        } else if (star != SIZE_MAX) {
            p = star + 1;
            t = ++from;
        } else {
            return false;
        }
    }
    while (p < pattern_size && pattern[p] == '*')
        p++;
    return p == pattern_size;
}

static const char *next_component(const char *at, size_t size)
{
    return at[size] == '/' ? at + size + 1 : NULL;
}

/* Component by component, with the same way back for "**". NULL is the end. */
static bool match_path(const char *pattern, const char *path)
{
    const char *star = NULL, *from = NULL;
    for (int steps = 0; path != NULL && steps < MATCH_STEPS_MAX; steps++) {
        size_t want = pattern != NULL ? strcspn(pattern, "/") : 0;
        size_t have = strcspn(path, "/");
        if (pattern != NULL && want == 2 && strncmp(pattern, "**", 2) == 0) {
            star = pattern = next_component(pattern, want);
            if (pattern == NULL)
                return true;
            from = path;
        } else if (pattern != NULL && match_component(pattern, want, path, have)) {
            pattern = next_component(pattern, want);
            path = next_component(path, have);
        } else if (star != NULL) {
            from = next_component(from, strcspn(from, "/"));
            pattern = star;
            path = from;
        } else {
            return false;
        }
    }
    return path == NULL && pattern == NULL;
}

bool hd_artifacts_match(const struct hd_artifacts_spec *spec, const char *path)
{
    static const char *const defaults[] = {"out/**", "log.txt"};
    const char *const *patterns = spec->files != NULL ? (const char *const *)spec->files : defaults;
    size_t count = spec->files != NULL ? spec->file_count : HD_COUNT(defaults);
    if (spec->off)
        return false;
    for (size_t i = 0; i < count; i++)
        if (match_path(patterns[i], path))
            return true;
    return false;
}

/* ---- reading -------------------------------------------------------------------------------- */

enum hd_code hd_artifacts_check_pattern(const char *pattern, struct hd_err *err)
{
    size_t size = strlen(pattern);
    if (size == 0 || size > HD_ARTIFACT_PATTERN_MAX)
        return hd_fail(err, HD_E_LIMIT, "a pattern has 1 to %d bytes", HD_ARTIFACT_PATTERN_MAX);
    for (const char *at = pattern; at != NULL; at = next_component(at, strcspn(at, "/"))) {
        size_t part = strcspn(at, "/");
        if (part == 0 || (part == 1 && at[0] == '.') || (part == 2 && strncmp(at, "..", 2) == 0))
            return hd_fail(err, HD_E_INVALID,
                           "\"%s\": a path inside the attempt's directory, such as out/**",
                           pattern);
    }
    return HD_OK;
}

static enum hd_code parse_pattern(const struct hd_reader *reader, const struct hd_value *item,
                                  const char *path, struct hd_artifacts_spec *spec)
{
    if (item->kind != HD_VALUE_STRING)
        return hd_read_wrong_type(reader, item, path, "", "a pattern, such as out/**");
    if (hd_artifacts_check_pattern(item->as.string, reader->err) != HD_OK)
        return hd_read_wrap(reader, item, path, "");
    char *copy = hd_strdup(item->as.string);
    if (copy == NULL)
        return hd_read_nomem(reader);
    spec->files[spec->file_count++] = copy;
    return HD_OK;
}

static enum hd_code parse_files(const struct hd_reader *reader, const struct hd_value *map,
                                struct hd_artifacts_spec *spec)
{
    const struct hd_value *list = hd_read_member(map, "files");
    if (list == NULL)
        return HD_OK;
    if (list->kind != HD_VALUE_ARRAY || list->as.array.count == 0)
        return hd_read_wrong_type(reader, list, "artifacts", "files",
                                  "a list of patterns, such as [out/**, log.txt]");
    if (list->as.array.count > HD_ARTIFACT_PATTERNS_MAX)
        return hd_read_fail(reader, HD_E_LIMIT, list, "artifacts", "files",
                            "at most %d are allowed", HD_ARTIFACT_PATTERNS_MAX);
    spec->files = hd_calloc(list->as.array.count, sizeof(*spec->files));
    if (spec->files == NULL)
        return hd_read_nomem(reader);
    enum hd_code code = HD_OK;
    for (size_t i = 0; i < list->as.array.count && code == HD_OK; i++) {
        char path[READ_PATH_MAX];
        hd_format(path, sizeof(path), "artifacts.files[%zu]", i);
        code = parse_pattern(reader, list->as.array.items[i], path, spec);
    }
    return code;
}

enum hd_code hd_keep_parse(const struct hd_reader *reader, const struct hd_value *map,
                           const char *path, const char *key,
                           const struct hd_experiment *experiment, uint32_t *keep)
{
    static const char *const words[] = {"all", "incumbent"};
    const struct hd_value *value = hd_read_member(map, key);
    size_t index = 0;
    enum hd_code code = HD_OK;
    if (value == NULL)
        return HD_OK;
    if (value->kind == HD_VALUE_STRING) {
        code = hd_read_choice(reader, map, path, key, words, HD_COUNT(words), &index);
        *keep = (uint32_t)index;
    } else {
        code = hd_read_u32(reader, map, path, key, 1, HD_ARTIFACT_KEEP_MAX, keep);
    }
    /* One result then does not say what is best: a later one may make a worse one part of it. */
    if (code == HD_OK && *keep > 0 &&
        (experiment->objective_count > 1 || experiment->noise.repeats > 1))
        code = hd_read_fail(reader, HD_E_INVALID, value, path, key,
                            "with several objectives or a noisy target no single result is the "
                            "best; leave it out, which keeps all");
    return code;
}

enum hd_code hd_artifacts_parse(const struct hd_reader *reader, const struct hd_value *root,
                                struct hd_experiment *experiment)
{
    static const char *const keys[] = {"files", "keep"};
    const struct hd_value *value = hd_read_member(root, "artifacts");
    struct hd_artifacts_spec *spec = &experiment->artifacts;
    if (value == NULL)
        return HD_OK;
    if (value->kind == HD_VALUE_BOOL) {
        spec->off = !value->as.boolean;
        return HD_OK;
    }
    if (value->kind != HD_VALUE_OBJECT)
        return hd_read_wrong_type(reader, value, "artifacts", "",
                                  "false, or a map, such as {files: [out/**], keep: incumbent}");
    enum hd_code code = hd_read_keys(reader, value, "artifacts", keys, HD_COUNT(keys));
    if (code == HD_OK)
        code = parse_files(reader, value, spec);
    return code == HD_OK
               ? hd_keep_parse(reader, value, "artifacts", "keep", experiment, &spec->keep)
               : code;
}

void hd_artifacts_release(struct hd_artifacts_spec *spec)
{
    for (size_t i = 0; i < spec->file_count; i++)
        hd_free(spec->files[i]);
    hd_free(spec->files);
}

/* ---- describing ----------------------------------------------------------------------------- */

bool hd_artifacts_is_default(const struct hd_artifacts_spec *spec)
{
    return !spec->off && spec->files == NULL && spec->keep == 0;
}

struct hd_value *hd_artifacts_describe(const struct hd_artifacts_spec *spec)
{
    if (spec->off)
        return hd_value_new_bool(false);
    struct hd_value *map = hd_value_new_object();
    struct hd_value *list = spec->files != NULL ? hd_value_new_array() : hd_value_new_null();
    enum hd_code code = map != NULL && list != NULL ? HD_OK : HD_E_NOMEM;
    for (size_t i = 0; i < spec->file_count && code == HD_OK; i++)
        code = hd_value_append(list, hd_value_new_string(spec->files[i]));
    if (code != HD_OK) {
        hd_value_free(list);
        hd_value_free(map);
        return NULL;
    }
    struct hd_value *keep =
        spec->keep == 0 ? hd_value_new_string("all") : hd_value_new_int(spec->keep);
    bool listed = hd_value_set(map, "files", list) == HD_OK;
    bool kept = hd_value_set(map, "keep", keep) == HD_OK;
    if (listed && kept)
        return map;
    hd_value_free(map);
    return NULL;
}
