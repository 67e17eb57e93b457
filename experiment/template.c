/* SPDX-License-Identifier: Apache-2.0 */
/* template.c: ${...} in commands and environment values. */
#include "read.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

enum name_kind {
    NAME_BUDGET,
    NAME_CONFIG_ID,
    NAME_JOB,
    NAME_RUN_ID,
    NAME_SEED,
    NAME_UUID,
    NAME_WORK_DIR,
    NAME_PARAM, /* has no fixed name */
};
static const char *const names[] = {"budget", "config_id", "job",     "run_id",
                                    "seed",   "uuid",      "work_dir"};

static const char params_prefix[] = "params.";
#define PARAMS_PREFIX_SIZE (sizeof(params_prefix) - 1)

static const struct hd_param *find_param(const struct hd_space *space, const char *name,
                                         size_t *ret_index)
{
    for (size_t i = 0; i < space->param_count; i++)
        if (hd_streq(space->params[i].name, name)) {
            *ret_index = i;
            return &space->params[i];
        }
    return NULL;
}

static const char *nearest_param(const struct hd_space *space, const char *word)
{
    const char **candidates = hd_calloc(space->param_count, sizeof(*candidates));
    if (candidates == NULL)
        return NULL; /* the error is told without advice */
    for (size_t i = 0; i < space->param_count; i++)
        candidates[i] = space->params[i].name;
    const char *found = hd_nearest(word, candidates, space->param_count);
    hd_free(candidates);
    return found;
}

static enum hd_code fail_unknown(const struct hd_space *space, const char *name, struct hd_err *err)
{
    bool param = strncmp(name, params_prefix, PARAMS_PREFIX_SIZE) == 0;
    const char *nearest = param ? NULL : hd_nearest(name, names, HD_COUNT(names));
    if (nearest != NULL)
        return hd_fail(err, HD_E_INVALID, "unknown ${%s}, did you mean ${%s}?", name, nearest);
    nearest = nearest_param(space, param ? name + PARAMS_PREFIX_SIZE : name);
    if (nearest != NULL)
        return hd_fail(err, HD_E_INVALID, "unknown ${%s}, did you mean ${params.%s}?", name,
                       nearest);
    return hd_fail(err, HD_E_INVALID,
                   "unknown ${%s}; known are ${params.NAME} of the space, ${budget}, ${config_id}, "
                   "${job}, ${run_id}, ${seed}, ${uuid}, ${work_dir}; $$ is a dollar",
                   name);
}

static enum hd_code resolve(const struct hd_space *space, const char *name,
                            enum name_kind *ret_kind, size_t *ret_param, struct hd_err *err)
{
    for (size_t i = 0; i < HD_COUNT(names); i++)
        if (hd_streq(name, names[i])) {
            *ret_kind = (enum name_kind)i;
            return HD_OK;
        }
    if (strncmp(name, params_prefix, PARAMS_PREFIX_SIZE) == 0 &&
        find_param(space, name + PARAMS_PREFIX_SIZE, ret_param) != NULL) {
        *ret_kind = NAME_PARAM;
        return HD_OK;
    }
    return fail_unknown(space, name, err);
}

/* An inactive param is the empty text. */
static enum hd_code expand_param(const struct hd_template_values *values, size_t index,
                                 struct hd_buf *out, struct hd_err *err)
{
    const struct hd_param *param = &values->space->params[index];
    struct hd_value *scalar = NULL;
    if (isnan(values->values[index]))
        return HD_OK;
    enum hd_code code = hd_param_to_value(param, values->values[index], &scalar, err);
    if (code != HD_OK)
        return code;
    if (scalar->kind == HD_VALUE_NULL)
        code = hd_buf_puts(out, "null", err);
    else
        (void)hd_scalar_text(scalar, out, &code, err);
    hd_value_free(scalar);
    return code;
}

static enum hd_code expand_name(const struct hd_template_values *values, enum name_kind kind,
                                size_t param, struct hd_buf *out, struct hd_err *err)
{
    char number[HD_DOUBLE_TEXT_SIZE];
    switch (kind) {
    case NAME_BUDGET:
        hd_format_double(number, sizeof(number), values->budget);
        return hd_buf_puts(out, number, err);
    case NAME_CONFIG_ID:
        return hd_buf_printf(out, err, "[%" PRIu32 ",%" PRIu32 ",%" PRIu32 "]",
                             values->config_id.iteration, values->config_id.budget_index,
                             values->config_id.running_index);
    case NAME_JOB:
        return hd_buf_printf(out, err, "%" PRIu32, values->job);
    case NAME_RUN_ID:
        return hd_buf_puts(out, values->run_id, err);
    case NAME_SEED:
        return hd_buf_printf(out, err, "%" PRIu32, values->seed);
    case NAME_UUID:
        return hd_buf_puts(out, values->uuid, err);
    case NAME_WORK_DIR:
        return hd_buf_puts(out, values->work_dir, err);
    case NAME_PARAM:
        return expand_param(values, param, out, err);
    }
    return hd_fail(err, HD_E_INVALID, "a template of no kind");
}

#define NAME_SIZE (HD_PARAM_NAME_MAX + 16)

/* text stands at "${"; *ret_size is the size up to and with the brace. */
static enum hd_code read_name(const char *text, char name[NAME_SIZE], size_t *ret_size,
                              struct hd_err *err)
{
    const char *end = strchr(text, '}');
    if (end == NULL)
        return hd_fail(err, HD_E_INVALID, "\"%.60s\": \"${\" without \"}\"; $$ is a dollar", text);
    size_t size = (size_t)(end - text) - 2;
    if (size == 0 || size >= NAME_SIZE)
        return hd_fail(err, HD_E_INVALID,
                       "\"%.60s\": a name of 1 to %d characters is expected in "
                       "${...}",
                       text, NAME_SIZE - 1);
    memcpy(name, text + 2, size);
    name[size] = '\0';
    *ret_size = size + 3;
    return HD_OK;
}

/* Without values it only checks. */
static enum hd_code walk(const char *text, const struct hd_space *space,
                         const struct hd_template_values *values, struct hd_buf *out,
                         struct hd_err *err)
{
    enum hd_code code = HD_OK;
    while (code == HD_OK && *text != '\0') {
        size_t size = strcspn(text, "$"), param = 0;
        char name[NAME_SIZE];
        enum name_kind kind = NAME_BUDGET;
        if (size == 0 && text[1] == '{') {
            code = read_name(text, name, &size, err);
            if (code == HD_OK)
                code = resolve(space, name, &kind, &param, err);
            if (code == HD_OK && values != NULL)
                code = expand_name(values, kind, param, out, err);
        } else {
            size_t copied = size > 0 ? size : 1; /* a lone dollar is itself */
            size = size > 0 ? size : text[1] == '$' ? 2 : 1;
            if (values != NULL)
                code = hd_buf_append(out, text, copied, err);
        }
        text += code == HD_OK ? size : 0;
    }
    return code;
}

enum hd_code hd_template_check(const char *text, const struct hd_space *space, struct hd_err *err)
{
    return walk(text, space, NULL, NULL, err);
}

enum hd_code hd_template_expand(const char *text, const struct hd_template_values *values,
                                struct hd_buf *out, struct hd_err *err)
{
    size_t size = out->size;
    enum hd_code code = walk(text, values->space, values, out, err);
    if (code != HD_OK && out->data != NULL) {
        out->size = size; /* all or nothing */
        out->data[size] = '\0';
    }
    return code;
}
