/* SPDX-License-Identifier: Apache-2.0 */
/* warm_line.c: what a warm target says; see warm_line.h. */
#include "warm_line.h"

#include <stdio.h>
#include <string.h>

#define EXCERPT_MAX 40

static void garbage(struct hd_warm_line *line, const char *text, size_t size, const char *why)
{
    char excerpt[EXCERPT_MAX + 1];
    size_t length = size < EXCERPT_MAX ? size : EXCERPT_MAX;
    for (size_t i = 0; i < length; i++)
        excerpt[i] = text[i] >= ' ' && text[i] <= '~' ? text[i] : '?';
    excerpt[length] = '\0';
    line->kind = HD_WARM_GARBAGE;
    line->id[0] = '\0';
    (void)hd_format(line->why, sizeof(line->why), "'%s': %.120s", excerpt, why);
}

/* The text of the key, which goes from the object; false: not there, no text, or too long. */
static bool take_id(struct hd_value *object, char ret_id[HD_WARM_ID_SIZE])
{
    for (size_t i = 0; i < object->as.object.count; i++) {
        struct hd_value *item = object->as.object.items[i];
        if (!hd_streq(object->as.object.keys[i], "id"))
            continue;
        if (item->kind != HD_VALUE_STRING || item->as.string[0] == '\0' ||
            !hd_copy_text(ret_id, HD_WARM_ID_SIZE, item->as.string))
            return false;
        hd_free(object->as.object.keys[i]);
        hd_value_free(item);
        size_t after = --object->as.object.count - i;
        memmove(object->as.object.keys + i, object->as.object.keys + i + 1,
                after * sizeof(*object->as.object.keys));
        memmove(object->as.object.items + i, object->as.object.items + i + 1,
                after * sizeof(struct hd_value *));
        return true;
    }
    return false;
}

static void read_object(struct hd_value *object, const char *text, size_t size,
                        struct hd_warm_line *line)
{
    const struct hd_value *stops = hd_value_get(object, "stops");
    struct hd_err err;
    if (hd_value_get(object, "id") == NULL && stops != NULL && stops->kind == HD_VALUE_BOOL) {
        line->kind = HD_WARM_ABOUT;
        line->stops = stops->as.boolean;
    } else if (!take_id(object, line->id)) {
        garbage(line, text, size, "it has no \"id\": the one that came with the job");
    } else if (object->as.object.count == 0) {
        line->kind = HD_WARM_BEAT;
    } else if (hd_json_write(object, HD_JSON_COMPACT, &line->text, &err) != HD_OK) {
        garbage(line, text, size, err.text);
    } else {
        line->kind = hd_value_get(object, "step") != NULL ? HD_WARM_POINT : HD_WARM_ANSWER;
    }
}

void hd_warm_line_read(const char *text, size_t size, struct hd_warm_line *ret_line)
{
    struct hd_value *value = NULL;
    struct hd_err err = {0};
    memset(ret_line, 0, sizeof(*ret_line));
    hd_buf_init(&ret_line->text, 2 * HD_WARM_LINE_MAX);
    if (hd_target_json_parse(text, size, "line", &value, &err) != HD_OK)
        garbage(ret_line, text, size, err.text);
    else if (value->kind != HD_VALUE_OBJECT)
        garbage(ret_line, text, size, "it is no JSON object");
    else
        read_object(value, text, size, ret_line);
    hd_value_free(value);
}

void hd_warm_line_release(struct hd_warm_line *line)
{
    hd_buf_release(&line->text);
}
