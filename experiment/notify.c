/* SPDX-License-Identifier: Apache-2.0 */
/* notify.c: who is told of what; names of channels, never their addresses. */
#include "describe.h"

#include <string.h>

const char *hd_notify_event_name(enum hd_notify_event event)
{
    switch (event) {
    case HD_NOTIFY_FINISHED:
        return "finished";
    case HD_NOTIFY_FAILED:
        return "failed";
    case HD_NOTIFY_INCUMBENT:
        return "incumbent";
    case HD_NOTIFY_WORKER_LOST:
        return "worker-lost";
    case HD_NOTIFY_EVENT_COUNT:
        break;
    }
    return "unknown";
}

bool hd_notify_event_parse(const char *name, enum hd_notify_event *ret_event)
{
    for (int i = 0; i < HD_NOTIFY_EVENT_COUNT; i++) {
        if (!hd_streq(name, hd_notify_event_name((enum hd_notify_event)i)))
            continue;
        *ret_event = (enum hd_notify_event)i;
        return true;
    }
    return false;
}

/* A list of texts, at most `max`; NULL when absent. */
static enum hd_code read_list(const struct hd_reader *reader, const struct hd_value *object,
                              const char *key, size_t max, const char *expected,
                              const struct hd_value **ret_list)
{
    const struct hd_value *list = hd_read_member(object, key);
    *ret_list = list;
    if (list == NULL)
        return HD_OK;
    if (list->kind != HD_VALUE_ARRAY)
        return hd_read_wrong_type(reader, list, "notify", key, expected);
    if (list->as.array.count > max)
        return hd_read_fail(reader, HD_E_LIMIT, list, "notify", key, "at most %zu are allowed",
                            max);
    for (size_t i = 0; i < list->as.array.count; i++)
        if (list->as.array.items[i]->kind != HD_VALUE_STRING)
            return hd_read_wrong_type(reader, list->as.array.items[i], "notify", key, expected);
    return HD_OK;
}

static enum hd_code parse_to(const struct hd_reader *reader, const struct hd_value *object,
                             struct hd_notify *notify)
{
    const struct hd_value *list;
    enum hd_code code = read_list(reader, object, "to", HD_NOTIFY_MAX,
                                  "a list of names of channels, such as [team]", &list);
    if (code != HD_OK || list == NULL)
        return code;
    notify->to_given = true;
    for (size_t i = 0; i < list->as.array.count; i++) {
        const struct hd_value *item = list->as.array.items[i];
        if (hd_check_id("the name of a channel", item->as.string, reader->err) != HD_OK)
            return hd_read_wrap(reader, item, "notify", "to");
        for (size_t k = 0; k < notify->to_count; k++)
            if (hd_streq(notify->to[k], item->as.string))
                return hd_read_fail(reader, HD_E_INVALID, item, "notify", "to",
                                    "\"%s\" is there twice", item->as.string);
        if ((notify->to[notify->to_count] = hd_strdup(item->as.string)) == NULL)
            return hd_read_nomem(reader);
        notify->to_count++;
    }
    return HD_OK;
}

static enum hd_code parse_on(const struct hd_reader *reader, const struct hd_value *object,
                             struct hd_notify *notify)
{
    const char *names[HD_NOTIFY_EVENT_COUNT];
    for (int i = 0; i < HD_NOTIFY_EVENT_COUNT; i++)
        names[i] = hd_notify_event_name((enum hd_notify_event)i);
    const struct hd_value *list;
    enum hd_code code = read_list(reader, object, "on", 2 * HD_NOTIFY_EVENT_COUNT,
                                  "a list of finished, failed, incumbent and worker-lost", &list);
    if (code != HD_OK || list == NULL)
        return code;
    for (size_t i = 0; i < list->as.array.count; i++) {
        const struct hd_value *item = list->as.array.items[i];
        enum hd_notify_event event;
        if (!hd_notify_event_parse(item->as.string, &event)) {
            const char *nearest = hd_nearest(item->as.string, names, HD_COUNT(names));
            return hd_read_fail(reader, HD_E_INVALID, item, "notify", "on",
                                "there is no event \"%.40s\"; %s%s%s", item->as.string,
                                nearest != NULL ? "did you mean \"" : "they are finished, failed, ",
                                nearest != NULL ? nearest : "incumbent and worker-lost",
                                nearest != NULL ? "\"?" : "");
        }
        notify->events |= 1u << event;
    }
    if (notify->events == 0)
        return hd_read_fail(reader, HD_E_INVALID, list, "notify", "on",
                            "names no event; notify: {to: []} tells nobody");
    return HD_OK;
}

enum hd_code hd_notify_parse(const struct hd_reader *reader, const struct hd_value *root,
                             struct hd_notify *notify)
{
    static const char *const names[] = {"to", "on"};
    const struct hd_value *object;
    enum hd_code code = hd_read_object(reader, root, "", "notify", &object);
    if (code != HD_OK || object == NULL)
        return code;
    code = hd_read_keys(reader, object, "notify", names, HD_COUNT(names));
    if (code == HD_OK)
        code = parse_to(reader, object, notify);
    return code == HD_OK ? parse_on(reader, object, notify) : code;
}

void hd_notify_release(struct hd_notify *notify)
{
    for (size_t i = 0; i < notify->to_count; i++)
        hd_free(notify->to[i]);
    *notify = (struct hd_notify){.to_given = false};
}

bool hd_notify_is_default(const struct hd_notify *notify)
{
    return !notify->to_given && notify->events == 0;
}

struct hd_value *hd_notify_describe(const struct hd_notify *notify)
{
    struct hd_value *map = hd_value_new_object();
    struct hd_value *to = notify->to_given ? hd_value_new_array() : hd_value_new_null();
    struct hd_value *on = notify->events != 0 ? hd_value_new_array() : hd_value_new_null();
    bool good = map != NULL && to != NULL && on != NULL;
    for (size_t i = 0; good && i < notify->to_count; i++)
        good = hd_value_append(to, hd_value_new_string(notify->to[i])) == HD_OK;
    for (int i = 0; good && i < HD_NOTIFY_EVENT_COUNT; i++)
        if ((notify->events & (1u << i)) != 0)
            good = hd_value_append(on, hd_value_new_string(
                                           hd_notify_event_name((enum hd_notify_event)i))) == HD_OK;
    if (!good) {
        hd_value_free(to);
        hd_value_free(on);
        return finish(map, false);
    }
    if (!put(map, "to", to)) {
        hd_value_free(on);
        return finish(map, false);
    }
    return finish(map, put(map, "on", on));
}
