/* SPDX-License-Identifier: Apache-2.0 */
/* needs.c: the views "needs", what the work directories of a worker are still needed for, and
 * "over", whether runs are. */
#include "driver_internal.h"

#include <string.h>

static enum hd_code wrong(struct hd_err *err)
{
    return hd_fail(err, HD_E_INVALID,
                   "what is needed is asked for by \"worker\", \"root\" and \"left\", at most %d "
                   "lists of run uid (16 hex digits), job, attempt, stamp and directory",
                   HD_NEEDS_MAX);
}

static bool read_text(const struct hd_value *value, const char **ret_text)
{
    bool good = value != NULL && value->kind == HD_VALUE_STRING;
    *ret_text = good ? value->as.string : "";
    return good;
}

static bool read_number(const struct hd_value *value, uint32_t *ret_number)
{
    bool good = value->kind == HD_VALUE_INT && value->as.integer >= 0 &&
                value->as.integer <= (int64_t)UINT32_MAX;
    *ret_number = good ? (uint32_t)value->as.integer : 0;
    return good;
}

static bool read_uid(const struct hd_value *value, uint64_t *ret_uid)
{
    const char *text;
    uint64_t uid = 0;
    if (!read_text(value, &text) || strlen(text) != 16)
        return false;
    for (; *text != '\0'; text++) {
        static const char digits[] = "0123456789abcdef";
        const char *digit = strchr(digits, *text);
        if (digit == NULL)
            return false;
        uid = uid << 4 | (uint64_t)(digit - digits);
    }
    *ret_uid = uid;
    return true;
}

static bool read_left(const struct hd_value *row, struct hd_left *left)
{
    struct hd_value *const *items = row->as.array.items;
    return row->kind == HD_VALUE_ARRAY && row->as.array.count == 5 &&
           read_uid(items[0], &left->attempt.run_uid) &&
           read_number(items[1], &left->attempt.job) &&
           read_number(items[2], &left->attempt.attempt) &&
           read_number(items[3], &left->attempt.stamp) && read_text(items[4], &left->directory);
}

static enum hd_code answer_all(const struct hd_core *core, const struct hd_value *question,
                               struct hd_buf *json, struct hd_err *err)
{
    struct hd_left left = {0};
    const struct hd_value *list = hd_value_get(question, "left");
    if (!read_text(hd_value_get(question, "worker"), &left.worker) ||
        !read_text(hd_value_get(question, "root"), &left.root) || list == NULL ||
        list->kind != HD_VALUE_ARRAY || list->as.array.count > HD_NEEDS_MAX)
        return wrong(err);
    enum hd_code code = hd_buf_puts(json, "{\"need\":[", err);
    for (size_t i = 0; i < list->as.array.count && code == HD_OK; i++) {
        if (!read_left(list->as.array.items[i], &left))
            return wrong(err);
        code = hd_buf_printf(json, err, "%s\"%s\"", i > 0 ? "," : "",
                             hd_need_name(hd_core_need(core, &left)));
    }
    return code == HD_OK ? hd_buf_puts(json, "]}", err) : code;
}

enum hd_code hd_read_needs(const struct hd_core *core, const char *question, struct hd_buf *json,
                           struct hd_err *err)
{
    static const struct hd_value_limits limits = {
        .bytes_max = HD_VIEW_JSON_MAX, .nodes_max = 6 * HD_NEEDS_MAX + 16, .depth_max = 4};
    struct hd_value *value = NULL;
    enum hd_code code = hd_json_parse(question, strlen(question), "question", &limits, &value, err);
    if (code == HD_OK)
        code = answer_all(core, value, json, err);
    hd_value_free(value);
    return code;
}

/* ---- runs ----------------------------------------------------------------------------------- */

/* What somebody has paused may rest: it begins anew when it goes on. */
static const char *word_of(const struct hd_core *core, uint64_t run_uid)
{
    for (uint32_t run = 0; run < hd_core_run_count(core); run++) {
        struct hd_run_view view;
        hd_core_view_run(core, run, &view);
        if (view.run_uid != run_uid)
            continue;
        return view.state == HD_RUN_ACTIVE || view.state == HD_RUN_CLOSING ? "false" : "true";
    }
    return "null";
}

static enum hd_code answer_over(const struct hd_core *core, const struct hd_value *question,
                                struct hd_buf *json, struct hd_err *err)
{
    const struct hd_value *list = hd_value_get(question, "runs");
    uint64_t uid = 0;
    bool good =
        list != NULL && list->kind == HD_VALUE_ARRAY && list->as.array.count <= HD_RUNS_ASKED_MAX;
    enum hd_code code = hd_buf_puts(json, "{\"over\":[", err);
    for (size_t i = 0; good && code == HD_OK && i < list->as.array.count; i++) {
        good = read_uid(list->as.array.items[i], &uid);
        if (good)
            code = hd_buf_printf(json, err, "%s%s", i > 0 ? "," : "", word_of(core, uid));
    }
    if (!good)
        return hd_fail(err, HD_E_INVALID,
                       "whether runs are over is asked for by \"runs\", at most %d run uids (16 "
                       "hex digits)",
                       HD_RUNS_ASKED_MAX);
    return code == HD_OK ? hd_buf_puts(json, "]}", err) : code;
}

enum hd_code hd_read_over(const struct hd_core *core, const char *question, struct hd_buf *json,
                          struct hd_err *err)
{
    static const struct hd_value_limits limits = {
        .bytes_max = 4096, .nodes_max = HD_RUNS_ASKED_MAX + 16, .depth_max = 4};
    struct hd_value *value = NULL;
    enum hd_code code = hd_json_parse(question, strlen(question), "question", &limits, &value, err);
    if (code == HD_OK)
        code = answer_over(core, value, json, err);
    hd_value_free(value);
    return code;
}
