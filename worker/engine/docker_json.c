/* SPDX-License-Identifier: Apache-2.0 */
/* docker_json.c: answers of the engine to values. Pure; see docker_json.h. */
#include "docker_json.h"

#include <ctype.h>
#include <string.h>

static const struct hd_value_limits answer_limits = {
    .bytes_max = HD_DOCKER_BODY_MAX, .nodes_max = 400000, .depth_max = 64};

/* ---- helpers over the value tree ------------------------------------------------------------ */

static const struct hd_value *object_at(const struct hd_value *value, const char *key)
{
    const struct hd_value *member = hd_value_get(value, key);
    return member != NULL && member->kind == HD_VALUE_OBJECT ? member : NULL;
}

static const char *text_at(const struct hd_value *value, const char *key)
{
    const struct hd_value *member = hd_value_get(value, key);
    return member != NULL && member->kind == HD_VALUE_STRING ? member->as.string : NULL;
}

/* Also of a text that is not there. */
static bool says(const char *text, const char *word)
{
    return text != NULL && hd_streq(text, word);
}

static bool true_at(const struct hd_value *value, const char *key)
{
    const struct hd_value *member = hd_value_get(value, key);
    return member != NULL && member->kind == HD_VALUE_BOOL && member->as.boolean;
}

static bool int_at(const struct hd_value *value, const char *key, int *ret_number)
{
    const struct hd_value *member = hd_value_get(value, key);
    if (member == NULL || member->kind != HD_VALUE_INT || member->as.integer < INT32_MIN ||
        member->as.integer > INT32_MAX)
        return false;
    *ret_number = (int)member->as.integer;
    return true;
}

/* The answer as an object; the caller frees *ret_value. */
static enum hd_code parse_object(const char *text, size_t size, const char *what,
                                 struct hd_value **ret_value, struct hd_err *err)
{
    struct hd_value *value = NULL;
    enum hd_code code = hd_json_parse(text, size, what, &answer_limits, &value, err);
    if (code != HD_OK)
        return code;
    if (value->kind != HD_VALUE_OBJECT) {
        hd_value_free(value);
        return hd_fail(err, HD_E_INVALID, "the Docker engine's answer to %s is not an object",
                       what);
    }
    *ret_value = value;
    return HD_OK;
}

/* Ids go into paths of further requests, so nothing but hex digits passes. */
static bool copy_id(const char *text, char *ret_id)
{
    size_t length = text != NULL ? strlen(text) : 0;
    if (length == 0 || length >= HD_DOCKER_ID_SIZE)
        return false;
    for (size_t i = 0; i < length; i++)
        if (!isxdigit((unsigned char)text[i]))
            return false;
    return hd_copy_text(ret_id, HD_DOCKER_ID_SIZE, text);
}

/* "sha256:" and hex digits; Podman leaves out the first part, and it is put before it. */
static bool copy_image_id(const char *text, char *ret_id)
{
    static const char kind[] = "sha256:";
    if (text == NULL)
        return false;
    const char *digits =
        strncmp(text, kind, sizeof(kind) - 1) == 0 ? text + sizeof(kind) - 1 : text;
    size_t length = strlen(digits);
    for (size_t i = 0; i < length; i++)
        if (!isxdigit((unsigned char)digits[i]))
            return false;
    return length > 0 && hd_format(ret_id, HD_IMAGE_ID_MAX, "%s%s", kind, digits);
}

/* ---- versions ------------------------------------------------------------------------------- */

bool hd_docker_parse_version(const char *text, int *ret_minor)
{
    int64_t minor;
    if (strncmp(text, "1.", 2) != 0 || !hd_parse_i64(text + 2, &minor) || minor < 0 || minor > 9999)
        return false;
    *ret_minor = (int)minor;
    return true;
}

bool hd_docker_parse_version_floor(const char *text, int *ret_minor)
{
    static const char phrase[] = "Minimum supported API version is ";
    const char *at = strstr(text, phrase);
    char version[16];
    size_t length = 0;
    if (at == NULL || strstr(text, "too old") == NULL)
        return false;
    at += sizeof(phrase) - 1;
    while (length + 1 < sizeof(version) &&
           (isdigit((unsigned char)at[length]) || at[length] == '.'))
        length++;
    while (length > 0 && at[length - 1] == '.') /* the end of the sentence */
        length--;
    memcpy(version, at, length);
    version[length] = '\0';
    return hd_docker_parse_version(version, ret_minor);
}

/* ---- containers ----------------------------------------------------------------------------- */

static bool parse_label_number(const struct hd_value *labels, const char *key, uint64_t max,
                               uint64_t *ret_number)
{
    const char *text = text_at(labels, key);
    return text != NULL && hd_parse_u64(text, ret_number) && *ret_number <= max;
}

static bool parse_hex(const char *text, uint64_t *ret_number)
{
    uint64_t number = 0;
    size_t length = text != NULL ? strlen(text) : 0;
    if (length == 0 || length > 16)
        return false;
    for (size_t i = 0; i < length; i++) {
        char c = text[i];
        uint64_t digit;
        if (c >= '0' && c <= '9')
            digit = (uint64_t)(c - '0');
        else if (c >= 'a' && c <= 'f')
            digit = (uint64_t)(c - 'a') + 10;
        else
            return false;
        number = number << 4 | digit;
    }
    *ret_number = number;
    return true;
}

static bool parse_attempt(const struct hd_value *labels, struct hd_attempt_ref *ret_attempt)
{
    uint64_t uid, job, attempt;
    if (!parse_hex(text_at(labels, "hyperdock.run_uid"), &uid) ||
        !parse_label_number(labels, "hyperdock.job", UINT32_MAX, &job) ||
        !parse_label_number(labels, "hyperdock.attempt", UINT32_MAX, &attempt))
        return false;
    *ret_attempt = (struct hd_attempt_ref){uid, (uint32_t)job, (uint32_t)attempt};
    return true;
}

/* "/hyperdock-<run uid>-<job>-<attempt>" */
static bool parse_name(const char *name, struct hd_attempt_ref *ret_attempt)
{
    static const char start[] = "/hyperdock-";
    char uid[HD_DOCKER_AHEAD_SIZE], job[16];
    uint64_t numbers[3];
    if (name == NULL || strncmp(name, start, sizeof(start) - 1) != 0)
        return false;
    const char *at = name + sizeof(start) - 1;
    size_t uid_size = strcspn(at, "-");
    const char *job_at = at + uid_size + (at[uid_size] == '-' ? 1 : 0);
    size_t job_size = strcspn(job_at, "-");
    if (job_at[job_size] != '-' || !hd_format(uid, sizeof(uid), "%.*s", (int)uid_size, at) ||
        !hd_format(job, sizeof(job), "%.*s", (int)job_size, job_at) ||
        !parse_hex(uid, &numbers[0]) || !hd_parse_u64(job, &numbers[1]) ||
        !hd_parse_u64(job_at + job_size + 1, &numbers[2]) || numbers[1] > UINT32_MAX ||
        numbers[2] > UINT32_MAX)
        return false;
    *ret_attempt = (struct hd_attempt_ref){numbers[0], (uint32_t)numbers[1], (uint32_t)numbers[2]};
    return true;
}

/* What is no number in hex digits is none of ours. */
static void copy_ahead(const char *text, char *ret_ahead)
{
    uint64_t number;
    if (text == NULL || !parse_hex(text, &number) ||
        !hd_copy_text(ret_ahead, HD_DOCKER_AHEAD_SIZE, text))
        ret_ahead[0] = '\0';
}

/* `name`: of one that was made before its job was known, whose labels cannot change. */
static void read_labels(const struct hd_value *labels, const char *name,
                        struct hd_docker_container *container)
{
    const char *worker = text_at(labels, "hyperdock.worker");
    const char *run_dir = text_at(labels, "hyperdock.run_dir");
    container->labelled = worker != NULL && run_dir != NULL &&
                          parse_attempt(labels, &container->attempt) &&
                          hd_copy_text(container->worker, sizeof(container->worker), worker) &&
                          hd_copy_text(container->run_dir, sizeof(container->run_dir), run_dir);
    container->copied = says(text_at(labels, "hyperdock.files"), "copy");
    copy_ahead(text_at(labels, "hyperdock.ahead"), container->ahead);
    if (container->ahead[0] != '\0')
        container->labelled = container->labelled && parse_name(name, &container->attempt);
}

/* Unknown words are taken as running: the next wait or inspect will tell more. */
static enum hd_docker_status status_of(const char *word)
{
    if (says(word, "created"))
        return HD_DOCKER_CREATED;
    if (says(word, "exited") || says(word, "dead"))
        return HD_DOCKER_EXITED;
    if (says(word, "removing"))
        return HD_DOCKER_REMOVING;
    return HD_DOCKER_RUNNING;
}

static int64_t time_at(const struct hd_value *state, const char *key)
{
    int64_t wall_ms;
    return hd_docker_parse_time(text_at(state, key), &wall_ms) ? wall_ms : 0;
}

static bool read_state(const struct hd_value *state, struct hd_docker_container *container)
{
    const char *word = text_at(state, "Status");
    if (word == NULL || !int_at(state, "ExitCode", &container->exit_code))
        return false;
    container->status = status_of(word);
    container->oom_killed = true_at(state, "OOMKilled");
    const char *error = text_at(state, "Error");
    (void)hd_copy_text(container->error, sizeof(container->error), error != NULL ? error : "");
    container->started_wall_ms = time_at(state, "StartedAt");
    container->finished_wall_ms = time_at(state, "FinishedAt");
    /* The two clocks are read by different processes: a short run may end "before" it began. */
    if (container->status == HD_DOCKER_EXITED &&
        container->finished_wall_ms < container->started_wall_ms)
        container->finished_wall_ms = container->started_wall_ms;
    return true;
}

enum hd_code hd_docker_parse_inspect(const char *text, size_t size,
                                     struct hd_docker_container *ret_container, struct hd_err *err)
{
    struct hd_value *value = NULL;
    enum hd_code code = parse_object(text, size, "inspect", &value, err);
    if (code != HD_OK)
        return code;
    struct hd_docker_container container = {0};
    if (!copy_id(text_at(value, "Id"), container.id) ||
        !read_state(object_at(value, "State"), &container)) {
        code = hd_fail(err, HD_E_INVALID,
                       "the Docker engine's answer to inspect holds no Id, State.Status and "
                       "State.ExitCode");
    } else {
        read_labels(object_at(object_at(value, "Config"), "Labels"), text_at(value, "Name"),
                    &container);
        if (!copy_image_id(text_at(value, "Image"), container.image_id))
            container.image_id[0] = '\0';
        *ret_container = container;
    }
    hd_value_free(value);
    return code;
}

/* NULL: none. */
static const char *first_name(const struct hd_value *entry)
{
    const struct hd_value *names = hd_value_get(entry, "Names");
    bool has = names != NULL && names->kind == HD_VALUE_ARRAY && names->as.array.count > 0 &&
               names->as.array.items[0]->kind == HD_VALUE_STRING;
    return has ? names->as.array.items[0]->as.string : NULL;
}

static enum hd_code read_list(const struct hd_value *list, struct hd_engine_found *found,
                              size_t found_max, size_t *ret_count, struct hd_err *err)
{
    size_t count = 0;
    for (size_t i = 0; i < list->as.array.count; i++) {
        const struct hd_value *entry = list->as.array.items[i];
        struct hd_docker_container container = {0};
        read_labels(object_at(entry, "Labels"), first_name(entry), &container);
        if (!container.labelled)
            continue;
        if (count == found_max)
            return hd_fail(err, HD_E_LIMIT,
                           "the Docker engine holds more than %zu containers of this worker; "
                           "remove old ones (docker container prune)",
                           found_max);
        enum hd_docker_status status = status_of(text_at(entry, "State"));
        found[count] = (struct hd_engine_found){
            .attempt = container.attempt,
            .running = status == HD_DOCKER_RUNNING,
        };
        (void)hd_copy_text(found[count].run_dir, sizeof(found[count].run_dir), container.run_dir);
        count++;
    }
    *ret_count = count;
    return HD_OK;
}

enum hd_code hd_docker_parse_list(const char *text, size_t size, struct hd_engine_found *found,
                                  size_t found_max, size_t *ret_count, struct hd_err *err)
{
    struct hd_value *value = NULL;
    enum hd_code code = hd_json_parse(text, size, "list", &answer_limits, &value, err);
    if (code != HD_OK)
        return code;
    if (value->kind == HD_VALUE_ARRAY)
        code = read_list(value, found, found_max, ret_count, err);
    else
        code = hd_fail(err, HD_E_INVALID, "the Docker engine's list of containers is not an array");
    hd_value_free(value);
    return code;
}

static enum hd_code read_aheads(const struct hd_value *list, struct hd_docker_found_ahead *found,
                                size_t found_max, size_t *ret_count, struct hd_err *err)
{
    size_t count = 0;
    for (size_t i = 0; i < list->as.array.count; i++) {
        const struct hd_value *entry = list->as.array.items[i];
        struct hd_docker_found_ahead one = {.has_job = false};
        struct hd_attempt_ref attempt;
        copy_ahead(text_at(object_at(entry, "Labels"), "hyperdock.ahead"), one.ahead);
        if (one.ahead[0] == '\0' || !copy_id(text_at(entry, "Id"), one.id))
            continue;
        if (count == found_max)
            return hd_fail(err, HD_E_LIMIT, "more than %zu containers were made ahead", found_max);
        one.has_job = parse_name(first_name(entry), &attempt);
        found[count++] = one;
    }
    *ret_count = count;
    return HD_OK;
}

enum hd_code hd_docker_parse_aheads(const char *text, size_t size,
                                    struct hd_docker_found_ahead *found, size_t found_max,
                                    size_t *ret_count, struct hd_err *err)
{
    struct hd_value *value = NULL;
    enum hd_code code = hd_json_parse(text, size, "list", &answer_limits, &value, err);
    if (code != HD_OK)
        return code;
    if (value->kind == HD_VALUE_ARRAY)
        code = read_aheads(value, found, found_max, ret_count, err);
    else
        code = hd_fail(err, HD_E_INVALID, "the Docker engine's list of containers is not an array");
    hd_value_free(value);
    return code;
}

enum hd_code hd_docker_parse_created(const char *text, size_t size, char *ret_id,
                                     struct hd_err *err)
{
    struct hd_value *value = NULL;
    enum hd_code code = parse_object(text, size, "create", &value, err);
    if (code != HD_OK)
        return code;
    if (!copy_id(text_at(value, "Id"), ret_id))
        code = hd_fail(err, HD_E_INVALID, "the Docker engine's answer to create holds no Id");
    hd_value_free(value);
    return code;
}

enum hd_code hd_docker_parse_wait(const char *text, size_t size, int *ret_exit_code,
                                  struct hd_err *err)
{
    struct hd_value *value = NULL;
    enum hd_code code = parse_object(text, size, "wait", &value, err);
    if (code != HD_OK)
        return code;
    const char *message = text_at(object_at(value, "Error"), "Message");
    if (message != NULL && message[0] != '\0')
        code = hd_fail(err, HD_E_IO, "the Docker engine could not wait: %s", message);
    else if (!int_at(value, "StatusCode", ret_exit_code))
        code = hd_fail(err, HD_E_INVALID, "the Docker engine's answer to wait has no StatusCode");
    hd_value_free(value);
    return code;
}

enum hd_code hd_docker_parse_info(const char *text, size_t size, struct hd_docker_info *ret_info,
                                  struct hd_err *err)
{
    struct hd_value *value = NULL;
    enum hd_code code = parse_object(text, size, "info", &value, err);
    if (code != HD_OK)
        return code;
    struct hd_docker_info info = {0};
    const struct hd_value *memory = hd_value_get(value, "MemoryLimit");
    info.no_memory = memory != NULL && memory->kind == HD_VALUE_BOOL && !memory->as.boolean;
    const struct hd_value *options = hd_value_get(value, "SecurityOptions");
    if (options != NULL && options->kind == HD_VALUE_ARRAY)
        for (size_t i = 0; i < options->as.array.count; i++) {
            const struct hd_value *option = options->as.array.items[i];
            if (option->kind == HD_VALUE_STRING &&
                (says(option->as.string, "name=rootless") ||
                 strncmp(option->as.string, "name=rootless,", 14) == 0))
                info.rootless = true;
        }
    *ret_info = info;
    hd_value_free(value);
    return HD_OK;
}

enum hd_code hd_docker_parse_image_id(const char *text, size_t size, char *ret_id,
                                      struct hd_err *err)
{
    struct hd_value *value = NULL;
    enum hd_code code = parse_object(text, size, "an image", &value, err);
    if (code != HD_OK)
        return code;
    if (!copy_image_id(text_at(value, "Id"), ret_id))
        code = hd_fail(err, HD_E_INVALID, "the Docker engine's answer to an image holds no Id");
    hd_value_free(value);
    return code;
}

enum hd_code hd_docker_parse_image_warm(const char *text, size_t size, bool *ret_warm,
                                        struct hd_err *err)
{
    struct hd_value *value = NULL;
    enum hd_code code = parse_object(text, size, "an image", &value, err);
    if (code != HD_OK)
        return code;
    const char *label = text_at(object_at(object_at(value, "Config"), "Labels"), "hyperdock.warm");
    *ret_warm = says(label, "1") || says(label, "true");
    hd_value_free(value);
    return HD_OK;
}

/* Appends what a list of texts holds; "null" and none are an empty one. */
static bool add_words(const struct hd_value *list, struct hd_arena *arena, char **words,
                      size_t *count)
{
    bool good = list == NULL || list->kind == HD_VALUE_NULL || list->kind == HD_VALUE_ARRAY;
    for (size_t i = 0;
         good && list != NULL && list->kind == HD_VALUE_ARRAY && i < list->as.array.count; i++) {
        const struct hd_value *item = list->as.array.items[i];
        good = item->kind == HD_VALUE_STRING &&
               (words[*count] = hd_arena_strdup(arena, item->as.string)) != NULL;
        (*count)++;
    }
    return good;
}

static size_t list_size(const struct hd_value *list)
{
    return list != NULL && list->kind == HD_VALUE_ARRAY ? list->as.array.count : 0;
}

enum hd_code hd_docker_parse_image_words(const char *text, size_t size, char *const *argv,
                                         struct hd_arena *arena, char *const **ret_words,
                                         struct hd_err *err)
{
    struct hd_value *value = NULL;
    size_t argc = 0, count = 0;
    enum hd_code code = parse_object(text, size, "an image", &value, err);
    if (code != HD_OK)
        return code;
    const struct hd_value *config = object_at(value, "Config");
    const struct hd_value *entry = hd_value_get(config, "Entrypoint");
    const struct hd_value *command = hd_value_get(config, "Cmd");
    while (argv != NULL && argv[argc] != NULL)
        argc++;
    size_t max = list_size(entry) + list_size(command) + argc + 1;
    char **words = hd_arena_alloc(arena, max * sizeof(*words));
    bool good = words != NULL && add_words(entry, arena, words, &count) &&
                (argc > 0 || add_words(command, arena, words, &count));
    for (size_t i = 0; good && i < argc; i++)
        good = (words[count++] = hd_arena_strdup(arena, argv[i])) != NULL;
    if (!good || count == 0)
        code = hd_fail(err, HD_E_INVALID, "the image does not say what it runs");
    hd_value_free(value);
    if (code == HD_OK) {
        words[count] = NULL;
        *ret_words = words;
    }
    return code;
}

static bool is_oom_event(const char *line, size_t size)
{
    struct hd_value *value = NULL;
    struct hd_err err;
    if (hd_json_parse(line, size, "event", &answer_limits, &value, &err) != HD_OK)
        return false;
    bool oom = says(text_at(value, "Action"), "oom") || says(text_at(value, "status"), "oom");
    hd_value_free(value);
    return oom;
}

bool hd_docker_events_have_oom(const char *text, size_t size)
{
    while (size > 0) {
        const char *end = memchr(text, '\n', size);
        size_t length = end != NULL ? (size_t)(end - text) : size;
        if (length > 0 && is_oom_event(text, length))
            return true;
        size_t step = end != NULL ? length + 1 : length;
        text += step;
        size -= step;
    }
    return false;
}
