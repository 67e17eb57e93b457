/* SPDX-License-Identifier: Apache-2.0 */
/* An attempt in the queue, as one small JSON file. */
#include "item.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static const char *const state_names[HD_ITEM_STATE_COUNT] = {"running", "ended", "kept",
                                                             "removing"};

void hd_item_free(struct hd_item *item)
{
    if (item == NULL)
        return;
    for (size_t i = 0; i < item->spec.file_count; i++)
        hd_free(item->spec.files[i]);
    hd_free(item->spec.files);
    hd_free(item->run_dir);
    hd_free(item);
}

enum hd_code hd_item_path(const char *directory, struct hd_attempt_ref attempt, const char *suffix,
                          char *ret_path, size_t size, struct hd_err *err)
{
    return hd_format(ret_path, size, "%s/%016" PRIx64 "-%" PRIu32 "-%" PRIu32 ".%s", directory,
                     attempt.run_uid, attempt.job, attempt.attempt, suffix)
               ? HD_OK
               : hd_fail(err, HD_E_LIMIT, "the path of %s is too long", directory);
}

void hd_item_erase(const char *directory, struct hd_attempt_ref attempt)
{
    static const char *const suffixes[] = {"item", "shipped"};
    char path[4096];
    struct hd_err ignored;
    for (size_t i = 0; i < HD_COUNT(suffixes); i++)
        if (hd_item_path(directory, attempt, suffixes[i], path, sizeof(path), &ignored) == HD_OK)
            (void)unlink(path);
}

/* ---- writing -------------------------------------------------------------------------------- */

static void set(struct hd_value *object, const char *key, struct hd_value *item, enum hd_code *code)
{
    enum hd_code set_code = hd_value_set(object, key, item);
    if (*code == HD_OK)
        *code = set_code;
}

static struct hd_value *patterns_of(const struct hd_artifacts_spec *spec)
{
    struct hd_value *list = spec->files != NULL ? hd_value_new_array() : hd_value_new_null();
    for (size_t i = 0; i < spec->file_count && list != NULL; i++)
        if (hd_value_append(list, hd_value_new_string(spec->files[i])) != HD_OK) {
            hd_value_free(list);
            list = NULL;
        }
    return list;
}

static enum hd_code describe(const struct hd_item *item, struct hd_value *object)
{
    char uid[17];
    enum hd_code code = HD_OK;
    (void)hd_format(uid, sizeof(uid), "%016" PRIx64, item->attempt.run_uid);
    set(object, "version", hd_value_new_int(1), &code);
    set(object, "state", hd_value_new_string(state_names[item->state]), &code);
    set(object, "run_id", hd_value_new_string(item->run_id), &code);
    set(object, "run_uid", hd_value_new_string(uid), &code);
    set(object, "config_id", hd_value_new_string(item->config_id), &code);
    set(object, "job", hd_value_new_int(item->attempt.job), &code);
    set(object, "attempt", hd_value_new_int(item->attempt.attempt), &code);
    set(object, "run_dir", hd_value_new_string(item->run_dir), &code);
    set(object, "files", patterns_of(&item->spec), &code);
    set(object, "keep", hd_value_new_int(item->spec.keep), &code);
    set(object, "budget", hd_value_new_double(item->budget), &code);
    set(object, "loss", hd_value_new_double(item->loss), &code);
    if (item->violation > 0)
        set(object, "violation", hd_value_new_double(item->violation), &code);
    set(object, "outcome", hd_value_new_string(hd_outcome_name(item->outcome)), &code);
    set(object, "since_wall_ms", hd_value_new_int(item->since_wall_ms), &code);
    return code;
}

enum hd_code hd_item_write(const char *directory, const struct hd_item *item, struct hd_err *err)
{
    char path[4096];
    struct hd_buf buf;
    struct hd_value *object = hd_value_new_object();
    hd_buf_init(&buf, HD_ITEM_BYTES_MAX);
    enum hd_code code = object != NULL ? describe(item, object) : HD_E_NOMEM;
    if (code != HD_OK)
        code = hd_fail(err, code, "no memory to write down what is to be shipped");
    if (code == HD_OK)
        code = hd_json_write(object, HD_JSON_PRETTY, &buf, err);
    if (code == HD_OK)
        code = hd_item_path(directory, item->attempt, "item", path, sizeof(path), err);
    /* While it runs a power cut ends the target too, and its result is nobody's. */
    if (code == HD_OK)
        code = item->state == HD_ITEM_RUNNING
                   ? hd_file_replace(path, hd_buf_text(&buf), buf.size, 0600, err)
                   : hd_file_write_atomic(path, hd_buf_text(&buf), buf.size, 0600, err);
    hd_buf_release(&buf);
    hd_value_free(object);
    return code;
}

/* ---- reading -------------------------------------------------------------------------------- */

struct reader {
    const struct hd_value *object;
    bool bad;
};

static const char *text_of(struct reader *reader, const char *key)
{
    const struct hd_value *value = hd_value_get(reader->object, key);
    bool good = value != NULL && value->kind == HD_VALUE_STRING;
    reader->bad = reader->bad || !good;
    return good ? value->as.string : "";
}

static int64_t integer_of(struct reader *reader, const char *key, int64_t max)
{
    const struct hd_value *value = hd_value_get(reader->object, key);
    bool good = value != NULL && value->kind == HD_VALUE_INT && value->as.integer >= 0 &&
                value->as.integer <= max;
    reader->bad = reader->bad || !good;
    return good ? value->as.integer : 0;
}

static double number_of(struct reader *reader, const char *key)
{
    const struct hd_value *value = hd_value_get(reader->object, key);
    reader->bad = reader->bad || !hd_value_is_number(value);
    return hd_value_number(value);
}

static enum hd_code read_patterns(struct reader *reader, struct hd_artifacts_spec *spec)
{
    const struct hd_value *list = hd_value_get(reader->object, "files");
    struct hd_err ignored;
    if (list == NULL || list->kind == HD_VALUE_NULL)
        return HD_OK;
    if (list->kind != HD_VALUE_ARRAY || list->as.array.count > HD_ARTIFACT_PATTERNS_MAX) {
        reader->bad = true;
        return HD_OK;
    }
    spec->files = hd_calloc(list->as.array.count + 1, sizeof(*spec->files));
    if (spec->files == NULL)
        return HD_E_NOMEM;
    for (size_t i = 0; i < list->as.array.count; i++) {
        const struct hd_value *item = list->as.array.items[i];
        if (item->kind != HD_VALUE_STRING ||
            hd_artifacts_check_pattern(item->as.string, &ignored) != HD_OK) {
            reader->bad = true;
            continue;
        }
        spec->files[spec->file_count] = hd_strdup(item->as.string);
        if (spec->files[spec->file_count] == NULL)
            return HD_E_NOMEM;
        spec->file_count++;
    }
    return HD_OK;
}

/* It becomes a part of names. */
static bool is_config_id(const char *text)
{
    return text[0] != '\0' && strspn(text, "0123456789-") == strlen(text);
}

static bool parse_uid(const char *text, uint64_t *ret_uid)
{
    int used = 0;
    return strlen(text) == 16 && strspn(text, "0123456789abcdef") == 16 &&
           sscanf(text, "%16" SCNx64 "%n", ret_uid, &used) == 1 && used == 16;
}

static enum hd_code fill(struct hd_item *item, struct reader *reader)
{
    struct hd_err ignored;
    const char *state = text_of(reader, "state");
    size_t i = 0;
    while (i < HD_ITEM_STATE_COUNT && !hd_streq(state, state_names[i]))
        i++;
    reader->bad = reader->bad || i == HD_ITEM_STATE_COUNT;
    item->state = i < HD_ITEM_STATE_COUNT ? (enum hd_item_state)i : HD_ITEM_ENDED;
    const char *run_id = text_of(reader, "run_id"), *config_id = text_of(reader, "config_id");
    const char *run_dir = text_of(reader, "run_dir");
    reader->bad =
        reader->bad || hd_check_id("run id", run_id, &ignored) != HD_OK ||
        !hd_copy_text(item->run_id, sizeof(item->run_id), run_id) || !is_config_id(config_id) ||
        !hd_copy_text(item->config_id, sizeof(item->config_id), config_id) || run_dir[0] != '/' ||
        !parse_uid(text_of(reader, "run_uid"), &item->attempt.run_uid) ||
        !hd_outcome_parse(text_of(reader, "outcome"), &item->outcome);
    item->attempt.job = (uint32_t)integer_of(reader, "job", UINT32_MAX);
    item->attempt.attempt = (uint32_t)integer_of(reader, "attempt", UINT32_MAX);
    item->spec.keep = (uint32_t)integer_of(reader, "keep", HD_ARTIFACT_KEEP_MAX);
    item->since_wall_ms = integer_of(reader, "since_wall_ms", INT64_MAX);
    item->budget = number_of(reader, "budget");
    item->loss = number_of(reader, "loss");
    if (hd_value_get(reader->object, "violation") != NULL)
        item->violation = number_of(reader, "violation");
    item->run_dir = hd_strdup(run_dir);
    return item->run_dir != NULL ? read_patterns(reader, &item->spec) : HD_E_NOMEM;
}

enum hd_code hd_item_parse(const char *text, size_t size, const char *name,
                           struct hd_item **ret_item, struct hd_err *err)
{
    const struct hd_value_limits limits = {HD_ITEM_BYTES_MAX, 1000, 4};
    struct hd_value *object = NULL;
    enum hd_code code = hd_json_parse(text, size, name, &limits, &object, err);
    if (code != HD_OK)
        return code;
    struct reader reader = {.object = object};
    struct hd_item *item = hd_calloc(1, sizeof(*item));
    if (item == NULL)
        code = HD_E_NOMEM;
    if (code == HD_OK && integer_of(&reader, "version", INT64_MAX) != 1)
        code = HD_E_VERSION;
    if (code == HD_OK)
        code = fill(item, &reader);
    hd_value_free(object);
    if (code == HD_OK && reader.bad)
        code = HD_E_CORRUPT;
    if (code != HD_OK) {
        hd_item_free(item);
        return hd_fail(err, code, "%s: no description of what is to be shipped", name);
    }
    *ret_item = item;
    return HD_OK;
}

enum hd_code hd_item_read(const char *path, struct hd_item **ret_item, struct hd_err *err)
{
    struct hd_buf buf;
    hd_buf_init(&buf, HD_ITEM_BYTES_MAX + 1);
    enum hd_code code = hd_file_read(path, HD_ITEM_BYTES_MAX, true, &buf, err);
    if (code == HD_OK)
        code = hd_item_parse(hd_buf_text(&buf), buf.size, path, ret_item, err);
    hd_buf_release(&buf);
    return code;
}
