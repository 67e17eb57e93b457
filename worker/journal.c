/* SPDX-License-Identifier: Apache-2.0 */
/* JSON files, so that a person can look at what a worker still has to report. */
#include "journal.h"

#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define ATTEMPT_SUFFIX "attempt"
#define RESULT_SUFFIX "result"
#define BEGUN_SUFFIX "begun"
#define BEGUN_WARM "warm\n"

static const char *const start_names[] = {"fresh", "in-place", "copy"};

static enum hd_code path_of(const char *directory, struct hd_attempt_ref attempt,
                            const char *suffix, char *ret_path, struct hd_err *err)
{
    return hd_format(ret_path, HD_PATH_MAX, "%s/%016" PRIx64 "-%" PRIu32 "-%" PRIu32 ".%s",
                     directory, attempt.run_uid, attempt.job, attempt.attempt, suffix)
               ? HD_OK
               : hd_fail(err, HD_E_LIMIT, "the path of %s is too long", directory);
}

/* ---- writing -------------------------------------------------------------------------------- */

static void set(struct hd_value *object, const char *key, struct hd_value *item, enum hd_code *code)
{
    enum hd_code set_code = hd_value_set(object, key, item);
    if (*code == HD_OK)
        *code = set_code;
}

/* Takes the value. */
static enum hd_code write_value(const char *directory, struct hd_attempt_ref attempt,
                                const char *suffix, bool sync, struct hd_value *value,
                                enum hd_code code, struct hd_err *err)
{
    char path[HD_PATH_MAX];
    struct hd_buf buf;
    hd_buf_init(&buf, HD_JOURNAL_FILE_MAX);
    if (code != HD_OK)
        code = hd_fail(err, code, "no memory to write down an attempt");
    if (code == HD_OK)
        code = path_of(directory, attempt, suffix, path, err);
    if (code == HD_OK)
        code = hd_json_write(value, HD_JSON_PRETTY, &buf, err);
    if (code == HD_OK)
        code = sync ? hd_file_write_atomic(path, hd_buf_text(&buf), buf.size, 0600, err)
                    : hd_file_replace(path, hd_buf_text(&buf), buf.size, 0600, err);
    hd_buf_release(&buf);
    hd_value_free(value);
    return code;
}

enum hd_code hd_journal_keep_attempt(const char *directory,
                                     const struct hd_journal_attempt *attempt, struct hd_err *err)
{
    struct hd_value *object = hd_value_new_object();
    enum hd_code code = object != NULL ? HD_OK : HD_E_NOMEM;
    if (object != NULL) {
        set(object, "version", hd_value_new_int(1), &code);
        set(object, "master", hd_value_new_string(attempt->master), &code);
        set(object, "stamp", hd_value_new_int(attempt->attempt.stamp), &code);
        set(object, "engine", hd_value_new_string(attempt->engine), &code);
        set(object, "run_id", hd_value_new_string(attempt->run_id), &code);
        set(object, "config_id", hd_value_new_string(attempt->config_id), &code);
        set(object, "run_dir", hd_value_new_string(attempt->run_dir), &code);
        set(object, "work_dir", hd_value_new_string(attempt->work_dir), &code);
        set(object, "directory", hd_value_new_string(attempt->directory), &code);
        set(object, "start", hd_value_new_string(start_names[attempt->start]), &code);
        set(object, "budget", hd_value_new_double(attempt->budget), &code);
        if (attempt->warm)
            set(object, "warm", hd_value_new_bool(true), &code);
        if (attempt->gpus[0] != '\0')
            set(object, "gpus", hd_value_new_string(attempt->gpus), &code);
        set(object, "experiment", hd_value_new_string(attempt->experiment_json), &code);
    }
    /* A power cut ends the target too: what matters then is that the master hears of neither. */
    return write_value(directory, attempt->attempt, ATTEMPT_SUFFIX, false, object, code, err);
}

/* NULL: no memory. */
static struct hd_value *measures_of(const struct hd_result *result)
{
    struct hd_value *list = hd_value_new_array();
    for (size_t i = 0; i < result->measure_count && list != NULL; i++) {
        if (hd_value_append(list, hd_value_new_double(result->measures[i])) == HD_OK)
            continue;
        hd_value_free(list);
        list = NULL;
    }
    return list;
}

enum hd_code hd_journal_keep_result(const char *directory, const struct hd_result *result,
                                    bool sync, struct hd_err *err)
{
    struct hd_value *object = hd_value_new_object();
    enum hd_code code = object != NULL ? HD_OK : HD_E_NOMEM;
    if (object != NULL) {
        set(object, "version", hd_value_new_int(1), &code);
        set(object, "outcome", hd_value_new_string(hd_outcome_name(result->outcome)), &code);
        set(object, "loss", hd_value_new_double(result->loss), &code);
        if (result->measure_count > 0)
            set(object, "measures", measures_of(result), &code);
        set(object, "started_wall_ms", hd_value_new_int(result->started_wall_ms), &code);
        set(object, "finished_wall_ms", hd_value_new_int(result->finished_wall_ms), &code);
        set(object, "exit_code", hd_value_new_int(result->exit_code), &code);
        set(object, "message", hd_value_new_string(result->message), &code);
        set(object, "info_json", hd_value_new_string(result->info_json), &code);
        set(object, "directory", hd_value_new_string(result->directory), &code);
        set(object, "rule", hd_value_new_int(result->rule), &code);
        set(object, "image_id", hd_value_new_string(result->image_id), &code);
    }
    return write_value(directory, result->attempt, RESULT_SUFFIX, sync, object, code, err);
}

void hd_journal_note_begun(const char *directory, struct hd_attempt_ref attempt, bool warm)
{
    const char *text = warm ? BEGUN_WARM : "";
    char path[HD_PATH_MAX];
    struct hd_err ignored;
    if (path_of(directory, attempt, BEGUN_SUFFIX, path, &ignored) == HD_OK)
        (void)!hd_file_replace(path, text, strlen(text), 0600, &ignored);
}

static bool has_begun_warm(const char *directory, struct hd_attempt_ref attempt)
{
    char path[HD_PATH_MAX];
    struct hd_buf buf;
    struct hd_err ignored;
    hd_buf_init(&buf, sizeof(BEGUN_WARM) + 1);
    bool warm = path_of(directory, attempt, BEGUN_SUFFIX, path, &ignored) == HD_OK &&
                hd_file_read(path, sizeof(BEGUN_WARM), true, &buf, &ignored) == HD_OK &&
                hd_streq(hd_buf_text(&buf), BEGUN_WARM);
    hd_buf_release(&buf);
    return warm;
}

static bool has_begun(const char *directory, struct hd_attempt_ref attempt)
{
    char path[HD_PATH_MAX];
    struct hd_err ignored;
    return path_of(directory, attempt, BEGUN_SUFFIX, path, &ignored) == HD_OK &&
           hd_path_exists(path);
}

void hd_journal_forget(const char *directory, struct hd_attempt_ref attempt)
{
    /* The attempt goes last: a result without it would be nobody's. */
    static const char *const suffixes[] = {RESULT_SUFFIX, BEGUN_SUFFIX, ATTEMPT_SUFFIX};
    char path[HD_PATH_MAX];
    struct hd_err ignored;
    for (size_t i = 0; i < HD_COUNT(suffixes); i++)
        if (path_of(directory, attempt, suffixes[i], path, &ignored) == HD_OK)
            (void)unlink(path);
}

/* ---- reading -------------------------------------------------------------------------------- */

static bool read_name(const char *name, struct hd_attempt_ref *ret_attempt)
{
    struct hd_attempt_ref attempt = {.stamp = 0};
    int used = 0;
    if (sscanf(name, "%16" SCNx64 "-%" SCNu32 "-%" SCNu32 "%n", &attempt.run_uid, &attempt.job,
               &attempt.attempt, &used) != 3 ||
        !hd_streq(name + used, "." ATTEMPT_SUFFIX))
        return false;
    *ret_attempt = attempt;
    return true;
}

enum hd_code hd_journal_list(const char *directory, struct hd_attempt_ref *ret_attempts, size_t max,
                             size_t *ret_count, struct hd_err *err)
{
    enum hd_code code = hd_mkdirs(directory, 0700, err);
    if (code != HD_OK)
        return code;
    DIR *stream = opendir(directory);
    if (stream == NULL)
        return hd_fail(err, HD_E_IO, "cannot read %s: %s", directory, strerror(errno));
    size_t count = 0;
    struct dirent *entry;
    while (count < max && (entry = readdir(stream)) != NULL)
        if (read_name(entry->d_name, &ret_attempts[count]))
            count++;
    closedir(stream);
    *ret_count = count;
    return HD_OK;
}

struct reader {
    struct hd_arena *arena;
    struct hd_value *object;
    bool bad;
};

static const char *text_of(struct reader *reader, const char *key)
{
    const struct hd_value *value = hd_value_get(reader->object, key);
    const char *copy = value != NULL && value->kind == HD_VALUE_STRING
                           ? hd_arena_strdup(reader->arena, value->as.string)
                           : NULL;
    reader->bad = reader->bad || copy == NULL;
    return copy != NULL ? copy : "";
}

static double number_of(struct reader *reader, const char *key)
{
    const struct hd_value *value = hd_value_get(reader->object, key);
    reader->bad = reader->bad || !hd_value_is_number(value);
    return hd_value_number(value);
}

static int64_t integer_of(struct reader *reader, const char *key)
{
    const struct hd_value *value = hd_value_get(reader->object, key);
    if (value != NULL && value->kind == HD_VALUE_INT)
        return value->as.integer;
    reader->bad = true;
    return 0;
}

/* What an older worker kept has none. */
static const char *image_of(struct reader *reader)
{
    return hd_value_get(reader->object, "image_id") != NULL ? text_of(reader, "image_id") : "";
}

/* Likewise. */
static uint32_t rule_of(const struct reader *reader)
{
    const struct hd_value *value = hd_value_get(reader->object, "rule");
    bool good = value != NULL && value->kind == HD_VALUE_INT && value->as.integer > 0 &&
                value->as.integer <= HD_LOG_RULES_MAX;
    return good ? (uint32_t)value->as.integer : 0;
}

/* Likewise: 0. */
static uint32_t stamp_of(const struct reader *reader)
{
    const struct hd_value *value = hd_value_get(reader->object, "stamp");
    bool good = value != NULL && value->kind == HD_VALUE_INT && value->as.integer > 0 &&
                value->as.integer <= UINT32_MAX;
    return good ? (uint32_t)value->as.integer : 0;
}

static enum hd_code open_reader(const char *directory, struct hd_attempt_ref attempt,
                                const char *suffix, struct hd_arena *arena, struct reader *reader,
                                struct hd_err *err)
{
    char path[HD_PATH_MAX];
    struct hd_buf buf;
    const struct hd_value_limits limits = {HD_JOURNAL_FILE_MAX, 1000, 4};
    hd_buf_init(&buf, HD_JOURNAL_FILE_MAX + 1);
    *reader = (struct reader){.arena = arena};
    enum hd_code code = path_of(directory, attempt, suffix, path, err);
    if (code == HD_OK)
        code = hd_file_read(path, HD_JOURNAL_FILE_MAX, true, &buf, err);
    if (code == HD_OK)
        code = hd_json_parse(hd_buf_text(&buf), buf.size, path, &limits, &reader->object, err);
    if (code == HD_OK && integer_of(reader, "version") != 1)
        code = hd_fail(err, HD_E_VERSION, "%s is of another version", path);
    hd_buf_release(&buf);
    return code;
}

static enum hd_code close_reader(struct reader *reader, enum hd_code code, struct hd_err *err)
{
    hd_value_free(reader->object);
    if (code == HD_OK && reader->bad)
        return hd_fail(err, HD_E_CORRUPT, "a file of the worker's journal lacks a part");
    return code;
}

static enum hd_code read_attempt(const char *directory, struct hd_attempt_ref attempt,
                                 struct hd_arena *arena, struct hd_journal_attempt *kept,
                                 struct hd_err *err)
{
    struct reader reader;
    enum hd_code code = open_reader(directory, attempt, ATTEMPT_SUFFIX, arena, &reader, err);
    if (code == HD_OK) {
        *kept = (struct hd_journal_attempt){
            .attempt = attempt,
            .master = text_of(&reader, "master"),
            .engine = text_of(&reader, "engine"),
            .run_id = text_of(&reader, "run_id"),
            .config_id = text_of(&reader, "config_id"),
            .run_dir = text_of(&reader, "run_dir"),
            .work_dir = text_of(&reader, "work_dir"),
            .directory = text_of(&reader, "directory"),
            .budget = number_of(&reader, "budget"),
            .experiment_json = text_of(&reader, "experiment"),
            .begun = has_begun(directory, attempt),
        };
        kept->attempt.stamp = stamp_of(&reader);
        kept->warm =
            hd_value_get(reader.object, "warm") != NULL || has_begun_warm(directory, attempt);
        kept->gpus = hd_value_get(reader.object, "gpus") != NULL ? text_of(&reader, "gpus") : "";
        const char *start = text_of(&reader, "start");
        size_t i = 0;
        while (i < HD_COUNT(start_names) && !hd_streq(start, start_names[i]))
            i++;
        reader.bad = reader.bad || i == HD_COUNT(start_names);
        kept->start = reader.bad ? HD_START_IN_PLACE : (enum hd_start)i;
    }
    return close_reader(&reader, code, err);
}

/* What a version without them wrote has none. */
static void read_measures(struct reader *reader, struct hd_result *result)
{
    const struct hd_value *list = hd_value_get(reader->object, "measures");
    if (list == NULL)
        return;
    bool good = list->kind == HD_VALUE_ARRAY && list->as.array.count <= HD_RESULT_MEASURES_MAX;
    for (size_t i = 0; good && i < list->as.array.count; i++) {
        good = hd_value_is_number(list->as.array.items[i]);
        if (good)
            result->measures[result->measure_count++] = hd_value_number(list->as.array.items[i]);
    }
    reader->bad = reader->bad || !good;
}

static enum hd_code read_result(const char *directory, struct hd_attempt_ref attempt,
                                struct hd_arena *arena, struct hd_result *result,
                                struct hd_err *err)
{
    struct reader reader;
    enum hd_code code = open_reader(directory, attempt, RESULT_SUFFIX, arena, &reader, err);
    if (code == HD_OK) {
        *result = (struct hd_result){
            .attempt = attempt,
            .loss = number_of(&reader, "loss"),
            .started_wall_ms = integer_of(&reader, "started_wall_ms"),
            .finished_wall_ms = integer_of(&reader, "finished_wall_ms"),
            .exit_code = (int32_t)integer_of(&reader, "exit_code"),
            .message = text_of(&reader, "message"),
            .info_json = text_of(&reader, "info_json"),
            .directory = text_of(&reader, "directory"),
            .rule = rule_of(&reader),
            .image_id = image_of(&reader),
        };
        read_measures(&reader, result);
        reader.bad = !hd_outcome_parse(text_of(&reader, "outcome"), &result->outcome) || reader.bad;
    }
    return close_reader(&reader, code, err);
}

enum hd_code hd_journal_read(const char *directory, struct hd_attempt_ref attempt,
                             struct hd_arena *arena, struct hd_journal_attempt *ret_attempt,
                             struct hd_result *ret_result, bool *ret_has_result, struct hd_err *err)
{
    struct hd_journal_attempt kept;
    struct hd_result result;
    enum hd_code code = read_attempt(directory, attempt, arena, &kept, err);
    if (code != HD_OK)
        return code;
    /* A result that cannot be read is as good as none: the attempt is looked at again. */
    struct hd_err ignored;
    *ret_has_result = read_result(directory, kept.attempt, arena, &result, &ignored) == HD_OK;
    if (*ret_has_result)
        *ret_result = result;
    *ret_attempt = kept;
    return HD_OK;
}
