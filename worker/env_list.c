/* SPDX-License-Identifier: Apache-2.0 */
#include "env_list.h"

#include <string.h>

static enum hd_code add(struct hd_env_list *list, const char *where, const char *text,
                        struct hd_err *err)
{
    if (strchr(text, '=') == NULL || text[0] == '=')
        return hd_fail(err, HD_E_INVALID,
                       "%s %.200s: must be NAME=VALUE, or a JSON list of such texts", where, text);
    if (list->texts.count == HD_OPTION_LIST_MAX)
        return hd_fail(err, HD_E_LIMIT, "%s: more than %d variables", where, HD_OPTION_LIST_MAX);
    list->texts.items[list->texts.count++] = text;
    return HD_OK;
}

static enum hd_code add_list(struct hd_env_list *list, const char *where, const char *json,
                             struct hd_err *err)
{
    struct hd_value *value = NULL;
    if (list->list_count == HD_OPTION_LIST_MAX)
        return hd_fail(err, HD_E_LIMIT, "%s: more than %d lists", where, HD_OPTION_LIST_MAX);
    enum hd_code code =
        hd_json_parse(json, strlen(json), where, &hd_value_limits_target, &value, err);
    if (code != HD_OK)
        return code;
    list->lists[list->list_count++] = value;
    for (size_t i = 0; i < value->as.array.count && code == HD_OK; i++) {
        const struct hd_value *item = value->as.array.items[i];
        code =
            item->kind == HD_VALUE_STRING
                ? add(list, where, item->as.string, err)
                : hd_fail(err, HD_E_INVALID, "%s: item %zu of the list is no text", where, i + 1);
    }
    return code;
}

static enum hd_code take(struct hd_env_list *list, const char *where, const char *text,
                         struct hd_err *err)
{
    return text[strspn(text, " \t\n")] == '[' ? add_list(list, where, text, err)
                                              : add(list, where, text, err);
}

enum hd_code hd_env_list_make(const char *variable, const struct hd_text_list *given,
                              struct hd_env_list *ret_list, struct hd_err *err)
{
    *ret_list = (struct hd_env_list){0};
    enum hd_code code = variable != NULL && variable[0] != '\0'
                            ? take(ret_list, "HYPERDOCK_ENV", variable, err)
                            : HD_OK;
    for (size_t i = 0; i < given->count && code == HD_OK; i++)
        code = take(ret_list, "--env", given->items[i], err);
    if (code != HD_OK)
        hd_env_list_release(ret_list);
    return code;
}

void hd_env_list_release(struct hd_env_list *list)
{
    for (size_t i = 0; i < list->list_count; i++)
        hd_value_free(list->lists[i]);
    *list = (struct hd_env_list){0};
}
