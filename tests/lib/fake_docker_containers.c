/* SPDX-License-Identifier: Apache-2.0 */
/* Of the fake engine: containers and what is asked of them. */
#include "fake_docker_internal.h"

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static void stamp_now(char *text, size_t size)
{
    struct timespec now;
    struct tm parts;
    clock_gettime(CLOCK_REALTIME, &now);
    gmtime_r(&now.tv_sec, &parts);
    size_t length = strftime(text, size, "%Y-%m-%dT%H:%M:%S", &parts);
    (void)hd_format(text + length, size - length, ".%09ldZ", now.tv_nsec);
}

struct container *fake_find(struct fake_docker *fake, const char *id_or_name)
{
    for (size_t i = 0; i < CONTAINERS_MAX; i++) {
        struct container *c = &fake->containers[i];
        if (c->used && (strcmp(c->id, id_or_name) == 0 || strcmp(c->name, id_or_name) == 0))
            return c;
    }
    return NULL;
}

struct container *fake_add(struct fake_docker *fake, const char *name, struct hd_value *body)
{
    for (size_t i = 0; i < CONTAINERS_MAX; i++) {
        struct container *c = &fake->containers[i];
        if (c->used)
            continue;
        memset(c, 0, sizeof(*c));
        c->used = true;
        (void)hd_format(c->id, sizeof(c->id), "%064x", ++fake->made + 0xabc000);
        (void)hd_format(c->name, sizeof(c->name), "%s", name);
        (void)hd_format(c->started, sizeof(c->started), "0001-01-01T00:00:00Z");
        (void)hd_format(c->finished, sizeof(c->finished), "0001-01-01T00:00:00Z");
        c->body = body;
        return c;
    }
    hd_assert(!"room for containers");
    return NULL;
}

void fake_drop(struct fake_docker *fake, struct container *c)
{
    hd_value_free(c->body);
    c->body = NULL;
    c->used = false;
    pthread_cond_broadcast(&fake->changed);
}

void fake_end(struct fake_docker *fake, struct container *c, int exit_code, bool oom)
{
    c->state = STATE_EXITED;
    c->exit_code = exit_code;
    c->oom = oom;
    stamp_now(c->finished, sizeof(c->finished));
    pthread_cond_broadcast(&fake->changed);
}

void fake_say(struct fake_docker *fake, struct container *c, const char *line)
{
    char payload[2048];
    char stamp[64];
    stamp_now(stamp, sizeof(stamp));
    int size = snprintf(payload, sizeof(payload), "%s %s\n", stamp, line);
    hd_assert(size > 0 && c->log_size + 8 + (size_t)size <= sizeof(c->log));
    const char head[8] = {1, 0, 0, 0, 0, 0, (char)(size >> 8), (char)size};
    memcpy(c->log + c->log_size, head, 8);
    memcpy(c->log + c->log_size + 8, payload, (size_t)size);
    c->log_size += 8 + (size_t)size;
    pthread_cond_broadcast(&fake->changed);
}

static const char *word(const struct container *c, size_t index)
{
    const struct hd_value *command = hd_value_get(c->body, "Cmd");
    if (command == NULL || index >= command->as.array.count)
        return "";
    return command->as.array.items[index]->as.string;
}

static void run_program(struct fake_docker *fake, struct container *c)
{
    const struct hd_value *entry = hd_value_get(c->body, "Entrypoint");
    c->state = STATE_RUNNING;
    stamp_now(c->started, sizeof(c->started));
    if (entry != NULL) { /* it waits for its job: a test ends it */
        pthread_cond_broadcast(&fake->changed);
        return;
    }
    if (strcmp(word(c, 0), "say") == 0)
        fake_say(fake, c, word(c, 1));
    if (strcmp(word(c, 0), "exit") == 0)
        fake_end(fake, c, (int)strtol(word(c, 1), NULL, 10), false); /* a constant of the test */
    else if (strcmp(word(c, 0), "say") == 0)
        fake_end(fake, c, 0, false);
    pthread_cond_broadcast(&fake->changed);
}

/* Until a condition may have changed; false when the engine went down. */
bool fake_wait_change(struct fake_docker *fake, unsigned generation)
{
    pthread_cond_wait(&fake->changed, &fake->lock);
    return !fake->down && fake->generation == generation;
}

bool fake_answer_create(struct fake_docker *fake, int fd, const struct request *request)
{
    char name[128], body[512];
    struct hd_value *value = NULL;
    struct hd_err err;
    fake_query_text(request, "name=", name, sizeof(name));
    if (hd_json_parse(request->body, request->body_size, "create", &hd_value_limits_file, &value,
                      &err) != HD_OK)
        return fake_send_message(fd, fake, 500, "invalid character in the body");
    if (fake->sees_nothing && strstr(request->body, "\"Type\":\"bind\"") != NULL) {
        hd_value_free(value);
        return fake_send_message(
            fd, fake, 400,
            "invalid mount config for type \\\"bind\\\": bind source path does not "
            "exist: /x");
    }
    const struct container *taken = fake_find(fake, name);
    const struct hd_value *image = hd_value_get(value, "Image");
    if (taken != NULL) {
        (void)hd_format(body, sizeof(body),
                        "Conflict. The container name \\\"/%s\\\" is already in use by container "
                        "\\\"%s\\\".",
                        name, taken->id);
        hd_value_free(value);
        return fake_send_message(fd, fake, 409, body);
    }
    if (image == NULL || fake_image_user(fake, image->as.string) == NULL) {
        (void)hd_format(body, sizeof(body), "No such image: %s",
                        image != NULL ? image->as.string : "");
        hd_value_free(value);
        return fake_send_message(fd, fake, 404, body);
    }
    struct container *c = fake_add(fake, name, value);
    (void)hd_format(body, sizeof(body), "{\"Id\":\"%s\",\"Warnings\":[]}", c->id);
    return fake_send_json(fd, fake, 201, body);
}

bool fake_answer_wait(struct fake_docker *fake, int fd, const struct request *request,
                      const char *id)
{
    unsigned generation = fake->generation;
    char body[128], key[65];
    struct container *c = fake_find(fake, id);
    if (c == NULL)
        return fake_send_message(fd, fake, 404, "No such container");
    (void)hd_format(key, sizeof(key), "%s", c->id);
    bool next_exit = strstr(request->query, "condition=next-exit") != NULL;
    /* Recorded traps: a container that was only made is "not running", and next-exit of one that
     * has ended never comes. */
    bool at_once = !next_exit && c->state != STATE_RUNNING;
    bool never = fake->hang_waits || (next_exit && c->state == STATE_EXITED);
    if (!fake_send_stream_head(fd))
        return false;
    while (!at_once) {
        c = fake_find(fake, key);
        if (c == NULL || (c->state == STATE_EXITED && !never))
            break;
        if (!fake_wait_change(fake, generation))
            return false;
    }
    c = fake_find(fake, key);
    (void)hd_format(body, sizeof(body), "{\"Error\":null,\"StatusCode\":%d}\n",
                    c != NULL ? c->exit_code : 0);
    return fake_send_chunk(fd, body, strlen(body)) && fake_send_chunk(fd, "", 0);
}

/* From the start, whatever `since` says: a reader must know what it has seen. */
bool fake_answer_logs(struct fake_docker *fake, int fd, const struct request *request,
                      const char *id)
{
    unsigned generation = fake->generation;
    bool follow = strstr(request->query, "follow=1") != NULL;
    char key[65];
    size_t sent = 0;
    struct container *c = fake_find(fake, id);
    if (c == NULL)
        return fake_send_message(fd, fake, 404, "No such container");
    (void)hd_format(key, sizeof(key), "%s", c->id);
    if (!fake_send_stream_head(fd))
        return false;
    for (;;) {
        c = fake_find(fake, key);
        if (c == NULL)
            break;
        size_t size = follow && c->log_followed > 0 ? c->log_followed : c->log_size;
        while (sent < size) { /* in pieces that split frames */
            size_t count = size - sent < 7 ? size - sent : 7;
            if (!fake_send_chunk(fd, c->log + sent, count))
                return false;
            sent += count;
        }
        if (!follow || c->state != STATE_RUNNING)
            break;
        if (!fake_wait_change(fake, generation))
            return false;
    }
    return fake_send_chunk(fd, "", 0);
}

bool fake_answer_events(struct fake_docker *fake, int fd, const struct request *request)
{
    unsigned generation = fake->generation;
    if (!fake_send_stream_head(fd))
        return false;
    for (size_t i = 0; i < CONTAINERS_MAX; i++) {
        const struct container *c = &fake->containers[i];
        static const char event[] = "{\"Type\":\"container\",\"Action\":\"oom\"}\n";
        if (c->used && c->oom && strstr(request->query, c->id) != NULL &&
            !fake_send_chunk(fd, event, sizeof(event) - 1))
            return false;
    }
    while (fake_wait_change(fake, generation)) {
        struct pollfd hung = {.fd = fd, .events = POLLIN};
        if (poll(&hung, 1, 0) > 0)
            break;
    }
    return false;
}

bool fake_answer_rename(struct fake_docker *fake, int fd, const struct request *request,
                        const char *id)
{
    char name[128];
    struct container *c = fake_find(fake, id);
    fake_query_text(request, "name=", name, sizeof(name));
    if (c == NULL)
        return fake_send_message(fd, fake, 404, "No such container: x");
    if (fake_find(fake, name) != NULL)
        return fake_send_message(fd, fake, 409, "Conflict. The container name is already in use");
    (void)hd_copy_text(c->name, sizeof(c->name), name);
    pthread_cond_broadcast(&fake->changed);
    return fake_send_json(fd, fake, 204, "");
}

bool fake_answer_start(struct fake_docker *fake, int fd, const char *id)
{
    struct container *c = fake_find(fake, id);
    if (c == NULL)
        return fake_send_message(fd, fake, 404, "No such container: x");
    if (c->state == STATE_RUNNING)
        return fake_send_json(fd, fake, 304, "");
    run_program(fake, c);
    return fake_send_json(fd, fake, 204, "");
}

bool fake_answer_stop(struct fake_docker *fake, int fd, const struct request *request,
                      const char *id, bool kill)
{
    struct container *c = fake_find(fake, id);
    (void)hd_format(fake->last_stop, sizeof(fake->last_stop), "%s", request->query);
    if (c == NULL)
        return fake_send_message(fd, fake, 404, "No such container");
    unsigned generation = fake->generation;
    while (!kill && fake->hang_stops)
        if (!fake_wait_change(fake, generation))
            return false;
    if (c->state != STATE_RUNNING)
        return kill ? fake_send_message(fd, fake, 409, "Container is not running")
                    : fake_send_json(fd, fake, 304, "");
    if (kill || !fake->ignore_stops)
        fake_end(fake, c, kill || strcmp(word(c, 0), "deaf") == 0 ? 137 : 143, false);
    return fake_send_json(fd, fake, 204, "");
}

static const char *state_name(const struct container *c)
{
    static const char *const names[] = {"created", "running", "exited"};
    return c->state == STATE_RUNNING && c->paused ? "paused" : names[c->state];
}

static void labels_text(const struct container *c, struct hd_buf *out)
{
    struct hd_err err;
    const struct hd_value *labels = hd_value_get(c->body, "Labels");
    hd_buf_clear(out);
    bool good = labels != NULL ? hd_json_write(labels, HD_JSON_COMPACT, out, &err) == HD_OK
                               : hd_buf_puts(out, "{}", &err) == HD_OK;
    hd_assert(good);
}

bool fake_answer_inspect(struct fake_docker *fake, int fd, const char *id)
{
    struct container *c = fake_find(fake, id);
    struct hd_buf labels, body;
    struct hd_err err;
    char id_of_image[80];
    if (c == NULL)
        return fake_send_message(fd, fake, 404, "No such container");
    hd_buf_init(&labels, 65536);
    hd_buf_init(&body, 131072);
    labels_text(c, &labels);
    const struct hd_value *image = hd_value_get(c->body, "Image");
    fake_image_id(image != NULL ? image->as.string : "", id_of_image);
    enum hd_code code = hd_buf_printf(
        &body, &err,
        "{\"Image\":\"%s\",\"Id\":\"%s\",\"Name\":\"/"
        "%s\",\"State\":{\"Status\":\"%s\",\"OOMKilled\":%s,"
        "\"ExitCode\":%d,"
        "\"Error\":\"%s\",\"StartedAt\":\"%s\",\"FinishedAt\":\"%s\"},\"Config\":{\"Labels\":%s}}",
        id_of_image, c->id, c->name, state_name(c), c->oom && !fake->forget_oom ? "true" : "false",
        c->exit_code, c->error, c->started, c->finished, hd_buf_text(&labels));
    hd_assert(code == HD_OK);
    bool sent = fake_send_json(fd, fake, 200, hd_buf_text(&body));
    hd_buf_release(&labels);
    hd_buf_release(&body);
    return sent;
}

/* Whether the labels fulfil every condition of the filter: "key", or "key=value". */
bool fake_passes(const struct request *request, const struct hd_value *body)
{
    struct hd_value *filter = NULL;
    struct hd_err err;
    const char *text = strstr(request->query, "filters=");
    if (text == NULL || hd_json_parse(text + 8, strlen(text + 8), "filters", &hd_value_limits_file,
                                      &filter, &err) != HD_OK)
        return text == NULL;
    const struct hd_value *list = hd_value_get(filter, "label");
    const struct hd_value *labels = hd_value_get(body, "Labels");
    bool good = list != NULL && labels != NULL;
    for (size_t i = 0; good && i < list->as.array.count; i++) {
        char key[128];
        const char *condition = list->as.array.items[i]->as.string;
        size_t size = strcspn(condition, "=");
        (void)hd_format(key, sizeof(key), "%.*s", (int)size, condition);
        const struct hd_value *value = hd_value_get(labels, key);
        good = value != NULL &&
               (condition[size] == '\0' || hd_streq(value->as.string, condition + size + 1));
    }
    hd_value_free(filter);
    return good;
}

bool fake_answer_list(struct fake_docker *fake, int fd, const struct request *request)
{
    struct hd_buf labels, body;
    struct hd_err err;
    bool all = strstr(request->query, "all=1") != NULL;
    unsigned generation = fake->generation;
    while (fake->hang_lists)
        if (!fake_wait_change(fake, generation))
            return false;
    hd_buf_init(&labels, 65536);
    hd_buf_init(&body, 1u << 20);
    enum hd_code code = hd_buf_puts(&body, "[", &err);
    for (size_t i = 0; i < CONTAINERS_MAX; i++) {
        const struct container *c = &fake->containers[i];
        if (!c->used || (!all && c->state != STATE_RUNNING) || !fake_passes(request, c->body))
            continue;
        labels_text(c, &labels);
        const struct hd_value *image = hd_value_get(c->body, "Image");
        code = hd_buf_printf(&body, &err,
                             "%s{\"Id\":\"%s\",\"Names\":[\"/%s\"],\"Image\":\"%s\",\"State\":"
                             "\"%s\",\"Labels\":%s}",
                             body.size > 1 ? "," : "", c->id, c->name,
                             image != NULL ? image->as.string : "", state_name(c),
                             hd_buf_text(&labels));
        hd_assert(code == HD_OK);
    }
    code = hd_buf_puts(&body, "]", &err);
    hd_assert(code == HD_OK);
    bool sent = fake_send_json(fd, fake, 200, hd_buf_text(&body));
    hd_buf_release(&labels);
    hd_buf_release(&body);
    return sent;
}

bool fake_answer_remove(struct fake_docker *fake, int fd, const struct request *request,
                        const char *id)
{
    struct container *c = fake_find(fake, id);
    if (c == NULL)
        return fake_send_message(fd, fake, 404, "No such container");
    if (c->state == STATE_RUNNING && strstr(request->query, "force=1") == NULL)
        return fake_send_message(fd, fake, 409, "You cannot remove a running container");
    fake_drop(fake, c);
    return fake_send_json(fd, fake, 204, "");
}
