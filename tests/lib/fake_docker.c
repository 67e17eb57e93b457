/* SPDX-License-Identifier: Apache-2.0 */
/* fake_docker.c: see fake_docker.h. One thread accepts, one serves each connection. */
#include "fake_docker.h"

#include "testlib.h"

#include <hd/value.h>

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#define CONTAINERS_MAX 64
#define IMAGES_MAX 8
#define NETWORKS_MAX 16
#define FAULTS_MAX 16
#define CONNECTIONS_MAX 512
#define REQUEST_MAX (1u << 20)
#define LOG_MAX 65536
#define AWAIT_S 30

enum container_state { STATE_CREATED, STATE_RUNNING, STATE_EXITED };

struct container {
    bool used;
    char id[65];
    char name[128];
    enum container_state state;
    bool paused;
    int exit_code;
    bool oom;
    char error[256];
    char started[64], finished[64];
    struct hd_value *body; /* of create; NULL: a stranger */
    char log[LOG_MAX];     /* whole frames */
    size_t log_size;
};

struct network {
    bool used;
    char id[65];
    char name[128];
    struct hd_value *body; /* of create */
};

struct fault {
    enum fake_route route;
    int status;
    char body[1024];
    int left;
};

struct connection {
    struct fake_docker *fake;
    pthread_t thread;
    int fd; /* -1: over */
    bool used;
};

struct fake_docker {
    char host[256];
    char path[256];
    int listener;
    int wake[2];
    pthread_t acceptor;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    bool down;
    unsigned generation; /* rises with each crash: streams of before end */
    char newest[16];
    int minor_min;
    char *put, *files; /* archives */
    size_t put_size, files_size;
    char put_where[256];
    bool sees_nothing;
    unsigned volumes_made; /* the time when they were */
    char volume[256];
    bool pulls, hang_pulls, hang_waits, hang_lists, hang_stops, ignore_stops, forget_oom;
    struct {
        char name[128], user[64];
    } images[IMAGES_MAX];
    size_t image_count;
    char image_labels[256]; /* a JSON object, or "null" as engines say for none */
    struct container containers[CONTAINERS_MAX];
    struct network networks[NETWORKS_MAX];
    unsigned made;
    struct fault faults[FAULTS_MAX];
    struct connection connections[CONNECTIONS_MAX];
    int counts[FAKE_ROUTE_COUNT];
    char last_stop[256];
    char last_auth[2048];
};

struct request {
    char method[8];
    char path[1024]; /* without version and query */
    char query[1024];
    char *body;
    size_t body_size;
    char auth[2048]; /* X-Registry-Auth */
    int minor;       /* -1: unversioned */
};

/* ---- small helpers -------------------------------------------------------------------------- */

static void stamp_now(char *text, size_t size)
{
    struct timespec now;
    struct tm parts;
    clock_gettime(CLOCK_REALTIME, &now);
    gmtime_r(&now.tv_sec, &parts);
    size_t length = strftime(text, size, "%Y-%m-%dT%H:%M:%S", &parts);
    (void)hd_format(text + length, size - length, ".%09ldZ", now.tv_nsec);
}

static bool send_all(int fd, const char *bytes, size_t size)
{
    while (size > 0) {
        ssize_t count = send(fd, bytes, size, MSG_NOSIGNAL);
        if (count <= 0)
            return false;
        bytes += count;
        size -= (size_t)count;
    }
    return true;
}

static bool send_answer(int fd, const char *version, int status, const char *type, const char *body,
                        size_t size)
{
    char head[512];
    int length = snprintf(head, sizeof(head),
                          "HTTP/1.1 %d X\r\nApi-Version: %s\r\nContent-Type: %s\r\n"
                          "Content-Length: %zu\r\n\r\n",
                          status, version, type, status == 204 || status == 304 ? 0 : size);
    return send_all(fd, head, (size_t)length) && send_all(fd, body, size);
}

static bool send_json(int fd, const struct fake_docker *fake, int status, const char *body)
{
    return send_answer(fd, fake->newest, status, "application/json", body, strlen(body));
}

static bool send_stream_head(int fd)
{
    static const char head[] = "HTTP/1.1 200 OK\r\nContent-Type: application/octet-stream\r\n"
                               "Transfer-Encoding: chunked\r\n\r\n";
    return send_all(fd, head, sizeof(head) - 1);
}

static bool send_chunk(int fd, const char *bytes, size_t size)
{
    char head[32];
    int length = snprintf(head, sizeof(head), "%zx\r\n", size);
    return send_all(fd, head, (size_t)length) && send_all(fd, bytes, size) &&
           send_all(fd, "\r\n", 2);
}

static bool send_message(int fd, const struct fake_docker *fake, int status, const char *text)
{
    char body[1024];
    (void)hd_format(body, sizeof(body), "{\"message\":\"%s\"}", text);
    return send_json(fd, fake, status, body);
}

/* ---- containers (with the lock) ------------------------------------------------------------- */

static struct container *find(struct fake_docker *fake, const char *id_or_name)
{
    for (size_t i = 0; i < CONTAINERS_MAX; i++) {
        struct container *c = &fake->containers[i];
        if (c->used && (strcmp(c->id, id_or_name) == 0 || strcmp(c->name, id_or_name) == 0))
            return c;
    }
    return NULL;
}

static struct container *add(struct fake_docker *fake, const char *name, struct hd_value *body)
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

static void drop(struct fake_docker *fake, struct container *c)
{
    hd_value_free(c->body);
    c->body = NULL;
    c->used = false;
    pthread_cond_broadcast(&fake->changed);
}

static void end(struct fake_docker *fake, struct container *c, int exit_code, bool oom)
{
    c->state = STATE_EXITED;
    c->exit_code = exit_code;
    c->oom = oom;
    stamp_now(c->finished, sizeof(c->finished));
    pthread_cond_broadcast(&fake->changed);
}

static void say(struct fake_docker *fake, struct container *c, const char *line)
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
        say(fake, c, word(c, 1));
    if (strcmp(word(c, 0), "exit") == 0)
        end(fake, c, (int)strtol(word(c, 1), NULL, 10), false); /* a constant of the test */
    else if (strcmp(word(c, 0), "say") == 0)
        end(fake, c, 0, false);
    pthread_cond_broadcast(&fake->changed);
}

static const char *image_user(const struct fake_docker *fake, const char *name)
{
    char tagged[256];
    (void)hd_format(tagged, sizeof(tagged), "%s%s", name,
                    strchr(name, ':') == NULL ? ":latest" : "");
    for (size_t i = 0; i < fake->image_count; i++)
        if (strcmp(fake->images[i].name, tagged) == 0)
            return fake->images[i].user;
    return NULL;
}

/* ---- routes; each is called with the lock and may let go of it while it waits --------------- */

/* Hex digits of its name: the same image whenever it is asked for. */
static void image_id(const char *name, char ret_id[80])
{
    uint64_t hash = hd_hash_text(HD_HASH_INIT, name);
    (void)hd_format(ret_id, 80, "sha256:%016llx", (unsigned long long)hash);
}

static bool answer_image(struct fake_docker *fake, int fd, const char *name)
{
    char id[80];
    char body[512];
    const char *user = image_user(fake, name);
    if (user == NULL) {
        (void)hd_format(body, sizeof(body), "No such image: %s", name);
        return send_message(fd, fake, 404, body);
    }
    image_id(name, id);
    (void)hd_format(body, sizeof(body),
                    "{\"Id\":\"%s\",\"Config\":{\"User\":\"%s\",\"Entrypoint\":null,"
                    "\"Cmd\":[\"/own\"],\"Labels\":%s}}",
                    id, user, fake->image_labels[0] != '\0' ? fake->image_labels : "null");
    return send_json(fd, fake, 200, body);
}

static void query_text(const struct request *request, const char *key, char *text, size_t size)
{
    const char *at = strstr(request->query, key);
    text[0] = '\0';
    if (at != NULL)
        (void)hd_format(text, size, "%.*s", (int)strcspn(at + strlen(key), "&"), at + strlen(key));
}

/* Until a condition may have changed; false when the engine went down. */
static bool wait_change(struct fake_docker *fake, unsigned generation)
{
    pthread_cond_wait(&fake->changed, &fake->lock);
    return !fake->down && fake->generation == generation;
}

static bool answer_pull(struct fake_docker *fake, int fd, const struct request *request)
{
    char from[128], tag[128];
    query_text(request, "fromImage=", from, sizeof(from));
    query_text(request, "tag=", tag, sizeof(tag));
    hd_assert(tag[0] != '\0'); /* an empty tag pulls everything */
    if (fake->hang_pulls) {
        unsigned generation = fake->generation;
        bool sent = send_stream_head(fd);
        while (sent && wait_change(fake, generation))
            ;
        return false;
    }
    if (!fake->pulls)
        return send_message(fd, fake, 500,
                            "Get \\\"https://registry.invalid/v2/\\\": dial tcp: lookup "
                            "registry.invalid: no such host");
    hd_assert(fake->image_count < IMAGES_MAX);
    (void)hd_format(fake->images[fake->image_count].name, 128, "%s:%s", from, tag);
    fake->images[fake->image_count++].user[0] = '\0';
    static const char text[] =
        "{\"status\":\"Pulling from x\",\"id\":\"1\"}\r\n"
        "{\"status\":\"Pulling fs layer\",\"progressDetail\":{},\"id\":\"aaaaaaaaaaaa\"}\r\n"
        "{\"status\":\"Already exists\",\"progressDetail\":{},\"id\":\"bbbbbbbbbbbb\"}\r\n"
        "{\"status\":\"Downloading\",\"progressDetail\":{\"current\":0,\"total\":9},"
        "\"id\":\"aaaaaaaaaaaa\"}\r\n{\"status\":\"Status: Downloaded\"}\r\n";
    return send_stream_head(fd) && send_chunk(fd, text, sizeof(text) - 1) && send_chunk(fd, "", 0);
}

static void add_image(struct fake_docker *fake, const char *name)
{
    hd_assert(fake->image_count < IMAGES_MAX);
    (void)hd_format(fake->images[fake->image_count].name, 128, "%s", name);
    fake->images[fake->image_count++].user[0] = '\0';
}

static bool answer_lines(int fd, const char *text)
{
    return send_stream_head(fd) && send_chunk(fd, text, strlen(text)) && send_chunk(fd, "", 0);
}

static bool answer_build(struct fake_docker *fake, int fd, const struct request *request)
{
    char name[128];
    query_text(request, "t=", name, sizeof(name));
    hd_assert(request->body_size >= 1024 && request->body_size % 512 == 0); /* a tar archive */
    add_image(fake, name);
    return answer_lines(fd, "{\"stream\":\"Step 1/2 : FROM scratch\\n\"}\r\n"
                            "{\"stream\":\"Successfully built\\n\"}\r\n");
}

static bool answer_load(struct fake_docker *fake, int fd, const struct request *request)
{
    char name[128];
    (void)hd_format(name, sizeof(name), "%.*s", (int)request->body_size, request->body);
    add_image(fake, name);
    return answer_lines(fd, "{\"stream\":\"Loaded image\\n\"}\r\n");
}

static bool answer_save(struct fake_docker *fake, int fd, const char *name)
{
    if (image_user(fake, name) == NULL)
        return send_message(fd, fake, 404, "No such image");
    return send_answer(fd, fake->newest, 200, "application/x-tar", name, strlen(name));
}

static bool answer_create(struct fake_docker *fake, int fd, const struct request *request)
{
    char name[128], body[512];
    struct hd_value *value = NULL;
    struct hd_err err;
    query_text(request, "name=", name, sizeof(name));
    if (hd_json_parse(request->body, request->body_size, "create", &hd_value_limits_file, &value,
                      &err) != HD_OK)
        return send_message(fd, fake, 500, "invalid character in the body");
    if (fake->sees_nothing && strstr(request->body, "\"Type\":\"bind\"") != NULL) {
        hd_value_free(value);
        return send_message(fd, fake, 400,
                            "invalid mount config for type \\\"bind\\\": bind source path does not "
                            "exist: /x");
    }
    const struct container *taken = find(fake, name);
    const struct hd_value *image = hd_value_get(value, "Image");
    if (taken != NULL) {
        (void)hd_format(body, sizeof(body),
                        "Conflict. The container name \\\"/%s\\\" is already in use by container "
                        "\\\"%s\\\".",
                        name, taken->id);
        hd_value_free(value);
        return send_message(fd, fake, 409, body);
    }
    if (image == NULL || image_user(fake, image->as.string) == NULL) {
        (void)hd_format(body, sizeof(body), "No such image: %s",
                        image != NULL ? image->as.string : "");
        hd_value_free(value);
        return send_message(fd, fake, 404, body);
    }
    struct container *c = add(fake, name, value);
    (void)hd_format(body, sizeof(body), "{\"Id\":\"%s\",\"Warnings\":[]}", c->id);
    return send_json(fd, fake, 201, body);
}

static bool answer_wait(struct fake_docker *fake, int fd, const struct request *request,
                        const char *id)
{
    unsigned generation = fake->generation;
    char body[128], key[65];
    struct container *c = find(fake, id);
    if (c == NULL)
        return send_message(fd, fake, 404, "No such container");
    (void)hd_format(key, sizeof(key), "%s", c->id);
    bool next_exit = strstr(request->query, "condition=next-exit") != NULL;
    /* Recorded traps: a container that was only made is "not running", and next-exit of one that
     * has ended never comes. */
    bool at_once = !next_exit && c->state != STATE_RUNNING;
    bool never = fake->hang_waits || (next_exit && c->state == STATE_EXITED);
    if (!send_stream_head(fd))
        return false;
    while (!at_once) {
        c = find(fake, key);
        if (c == NULL || (c->state == STATE_EXITED && !never))
            break;
        if (!wait_change(fake, generation))
            return false;
    }
    c = find(fake, key);
    (void)hd_format(body, sizeof(body), "{\"Error\":null,\"StatusCode\":%d}\n",
                    c != NULL ? c->exit_code : 0);
    return send_chunk(fd, body, strlen(body)) && send_chunk(fd, "", 0);
}

/* From the start, whatever `since` says: a reader must know what it has seen. */
static bool answer_logs(struct fake_docker *fake, int fd, const struct request *request,
                        const char *id)
{
    unsigned generation = fake->generation;
    bool follow = strstr(request->query, "follow=1") != NULL;
    char key[65];
    size_t sent = 0;
    struct container *c = find(fake, id);
    if (c == NULL)
        return send_message(fd, fake, 404, "No such container");
    (void)hd_format(key, sizeof(key), "%s", c->id);
    if (!send_stream_head(fd))
        return false;
    for (;;) {
        c = find(fake, key);
        if (c == NULL)
            break;
        while (sent < c->log_size) { /* in pieces that split frames */
            size_t count = c->log_size - sent < 7 ? c->log_size - sent : 7;
            if (!send_chunk(fd, c->log + sent, count))
                return false;
            sent += count;
        }
        if (!follow || c->state != STATE_RUNNING)
            break;
        if (!wait_change(fake, generation))
            return false;
    }
    return send_chunk(fd, "", 0);
}

static bool answer_events(struct fake_docker *fake, int fd, const struct request *request)
{
    unsigned generation = fake->generation;
    if (!send_stream_head(fd))
        return false;
    for (size_t i = 0; i < CONTAINERS_MAX; i++) {
        const struct container *c = &fake->containers[i];
        static const char event[] = "{\"Type\":\"container\",\"Action\":\"oom\"}\n";
        if (c->used && c->oom && strstr(request->query, c->id) != NULL &&
            !send_chunk(fd, event, sizeof(event) - 1))
            return false;
    }
    while (wait_change(fake, generation)) {
        struct pollfd hung = {.fd = fd, .events = POLLIN};
        if (poll(&hung, 1, 0) > 0)
            break;
    }
    return false;
}

static bool answer_rename(struct fake_docker *fake, int fd, const struct request *request,
                          const char *id)
{
    char name[128];
    struct container *c = find(fake, id);
    query_text(request, "name=", name, sizeof(name));
    if (c == NULL)
        return send_message(fd, fake, 404, "No such container: x");
    if (find(fake, name) != NULL)
        return send_message(fd, fake, 409, "Conflict. The container name is already in use");
    (void)hd_copy_text(c->name, sizeof(c->name), name);
    pthread_cond_broadcast(&fake->changed);
    return send_json(fd, fake, 204, "");
}

static bool answer_start(struct fake_docker *fake, int fd, const char *id)
{
    struct container *c = find(fake, id);
    if (c == NULL)
        return send_message(fd, fake, 404, "No such container: x");
    if (c->state == STATE_RUNNING)
        return send_json(fd, fake, 304, "");
    run_program(fake, c);
    return send_json(fd, fake, 204, "");
}

static bool answer_stop(struct fake_docker *fake, int fd, const struct request *request,
                        const char *id, bool kill)
{
    struct container *c = find(fake, id);
    (void)hd_format(fake->last_stop, sizeof(fake->last_stop), "%s", request->query);
    if (c == NULL)
        return send_message(fd, fake, 404, "No such container");
    unsigned generation = fake->generation;
    while (!kill && fake->hang_stops)
        if (!wait_change(fake, generation))
            return false;
    if (c->state != STATE_RUNNING)
        return kill ? send_message(fd, fake, 409, "Container is not running")
                    : send_json(fd, fake, 304, "");
    if (kill || !fake->ignore_stops)
        end(fake, c, kill || strcmp(word(c, 0), "deaf") == 0 ? 137 : 143, false);
    return send_json(fd, fake, 204, "");
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

static bool answer_inspect(struct fake_docker *fake, int fd, const char *id)
{
    struct container *c = find(fake, id);
    struct hd_buf labels, body;
    struct hd_err err;
    char id_of_image[80];
    if (c == NULL)
        return send_message(fd, fake, 404, "No such container");
    hd_buf_init(&labels, 65536);
    hd_buf_init(&body, 131072);
    labels_text(c, &labels);
    const struct hd_value *image = hd_value_get(c->body, "Image");
    image_id(image != NULL ? image->as.string : "", id_of_image);
    enum hd_code code = hd_buf_printf(
        &body, &err,
        "{\"Image\":\"%s\",\"Id\":\"%s\",\"Name\":\"/"
        "%s\",\"State\":{\"Status\":\"%s\",\"OOMKilled\":%s,"
        "\"ExitCode\":%d,"
        "\"Error\":\"%s\",\"StartedAt\":\"%s\",\"FinishedAt\":\"%s\"},\"Config\":{\"Labels\":%s}}",
        id_of_image, c->id, c->name, state_name(c), c->oom && !fake->forget_oom ? "true" : "false",
        c->exit_code, c->error, c->started, c->finished, hd_buf_text(&labels));
    hd_assert(code == HD_OK);
    bool sent = send_json(fd, fake, 200, hd_buf_text(&body));
    hd_buf_release(&labels);
    hd_buf_release(&body);
    return sent;
}

/* Whether the labels fulfil every condition of the filter: "key", or "key=value". */
static bool passes(const struct request *request, const struct hd_value *body)
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

/* ---- networks ------------------------------------------------------------------------------- */

static struct network *find_network(struct fake_docker *fake, const char *id_or_name)
{
    for (size_t i = 0; i < NETWORKS_MAX; i++) {
        struct network *n = &fake->networks[i];
        if (n->used && (strcmp(n->id, id_or_name) == 0 || strcmp(n->name, id_or_name) == 0))
            return n;
    }
    return NULL;
}

/* The engine's own are always there. */
static bool has_network(struct fake_docker *fake, const char *name)
{
    return find_network(fake, name) != NULL || hd_streq(name, "bridge") || hd_streq(name, "host") ||
           hd_streq(name, "none");
}

static bool answer_make_network(struct fake_docker *fake, int fd, const struct request *request)
{
    struct hd_value *value = NULL;
    struct hd_err err;
    char text[128];
    size_t place = 0;
    while (place < NETWORKS_MAX && fake->networks[place].used)
        place++;
    hd_assert(place < NETWORKS_MAX);
    if (hd_json_parse(request->body, request->body_size, "network", &hd_value_limits_file, &value,
                      &err) != HD_OK)
        return send_message(fd, fake, 500, "invalid character in the body");
    struct network *n = &fake->networks[place];
    const struct hd_value *name = hd_value_get(value, "Name");
    if (name == NULL || find_network(fake, name->as.string) != NULL) {
        hd_value_free(value);
        return send_message(fd, fake, 409, "network with that name already exists");
    }
    *n = (struct network){.used = true, .body = value};
    (void)hd_format(n->name, sizeof(n->name), "%s", name->as.string);
    (void)hd_format(n->id, sizeof(n->id), "%064x", ++fake->made);
    (void)hd_format(text, sizeof(text), "{\"Id\":\"%s\"}", n->id);
    pthread_cond_broadcast(&fake->changed);
    return send_json(fd, fake, 201, text);
}

static bool answer_list_networks(struct fake_docker *fake, int fd, const struct request *request)
{
    struct hd_buf body;
    struct hd_err err;
    hd_buf_init(&body, 65536);
    enum hd_code code = hd_buf_puts(&body, "[", &err);
    for (size_t i = 0; i < NETWORKS_MAX && code == HD_OK; i++) {
        const struct network *n = &fake->networks[i];
        if (n->used && passes(request, n->body))
            code = hd_buf_printf(&body, &err, "%s{\"Id\":\"%s\",\"Name\":\"%s\"}",
                                 body.size > 1 ? "," : "", n->id, n->name);
    }
    if (code == HD_OK)
        code = hd_buf_puts(&body, "]", &err);
    hd_assert(code == HD_OK);
    bool sent = send_json(fd, fake, 200, hd_buf_text(&body));
    hd_buf_release(&body);
    return sent;
}

/* What runs in it keeps it. */
static bool answer_remove_network(struct fake_docker *fake, int fd, const char *id)
{
    struct network *n = find_network(fake, id);
    if (n == NULL)
        return send_message(fd, fake, 404, "network not found");
    for (size_t i = 0; i < CONTAINERS_MAX; i++) {
        const struct container *c = &fake->containers[i];
        const struct hd_value *mode =
            hd_value_get(hd_value_get(c->body, "HostConfig"), "NetworkMode");
        if (c->used && c->state == STATE_RUNNING && mode != NULL &&
            hd_streq(mode->as.string, n->name))
            return send_message(fd, fake, 403,
                                "error while removing network: network has active "
                                "endpoints");
    }
    hd_value_free(n->body);
    *n = (struct network){.used = false};
    pthread_cond_broadcast(&fake->changed);
    return send_json(fd, fake, 204, "");
}

static bool answer_list(struct fake_docker *fake, int fd, const struct request *request)
{
    struct hd_buf labels, body;
    struct hd_err err;
    bool all = strstr(request->query, "all=1") != NULL;
    unsigned generation = fake->generation;
    while (fake->hang_lists)
        if (!wait_change(fake, generation))
            return false;
    hd_buf_init(&labels, 65536);
    hd_buf_init(&body, 1u << 20);
    enum hd_code code = hd_buf_puts(&body, "[", &err);
    for (size_t i = 0; i < CONTAINERS_MAX; i++) {
        const struct container *c = &fake->containers[i];
        if (!c->used || (!all && c->state != STATE_RUNNING) || !passes(request, c->body))
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
    bool sent = send_json(fd, fake, 200, hd_buf_text(&body));
    hd_buf_release(&labels);
    hd_buf_release(&body);
    return sent;
}

static bool answer_remove(struct fake_docker *fake, int fd, const struct request *request,
                          const char *id)
{
    struct container *c = find(fake, id);
    if (c == NULL)
        return send_message(fd, fake, 404, "No such container");
    if (c->state == STATE_RUNNING && strstr(request->query, "force=1") == NULL)
        return send_message(fd, fake, 409, "You cannot remove a running container");
    drop(fake, c);
    return send_json(fd, fake, 204, "");
}

/* A root that may only be read takes nothing, whatever is mounted below it. */
static bool answer_put_files(struct fake_docker *fake, int fd, const struct request *request,
                             const char *id)
{
    const struct container *c = find(fake, id);
    if (c == NULL)
        return send_message(fd, fake, 404, "No such container");
    query_text(request, "path=", fake->put_where, sizeof(fake->put_where));
    const struct hd_value *host = hd_value_get(c->body, "HostConfig");
    const struct hd_value *read_only = hd_value_get(host, "ReadonlyRootfs");
    if (read_only != NULL && read_only->as.boolean && strcmp(fake->put_where, "/") == 0)
        return send_message(fd, fake, 400, "container rootfs is marked read-only");
    free(fake->put);
    fake->put = malloc(request->body_size + 1);
    hd_assert(fake->put != NULL);
    memcpy(fake->put, request->body, request->body_size);
    fake->put_size = request->body_size;
    return send_json(fd, fake, 200, "");
}

static bool answer_get_files(struct fake_docker *fake, int fd, const struct request *request,
                             const char *id)
{
    char where[256];
    query_text(request, "path=", where, sizeof(where));
    if (find(fake, id) == NULL)
        return send_message(fd, fake, 404, "No such container");
    if (fake->files == NULL || strcmp(where, "/hyperdock") != 0)
        return send_message(fd, fake, 404, "Could not find the file in container");
    return send_answer(fd, fake->newest, 200, "application/x-tar", fake->files, fake->files_size);
}

/* ---- dispatch ------------------------------------------------------------------------------- */

/* The route, and the id or name in the path. */
static enum fake_route route_of(const struct request *request, char *ret_id, size_t id_size)
{
    static const struct {
        const char *method, *prefix, *suffix;
        enum fake_route route;
    } routes[] = {
        {"GET", "/_ping", "", FAKE_PING},
        {"GET", "/version", "", FAKE_VERSION},
        {"GET", "/info", "", FAKE_INFO},
        {"GET", "/events", "", FAKE_EVENTS},
        {"POST", "/images/create", "", FAKE_PULL},
        {"POST", "/images/load", "", FAKE_LOAD},
        {"POST", "/build", "", FAKE_BUILD},
        {"GET", "/images/", "/get", FAKE_SAVE},
        {"POST", "/images/", "/tag", FAKE_TAG},
        {"GET", "/images/", "/json", FAKE_IMAGE},
        {"POST", "/containers/create", "", FAKE_CREATE},
        {"GET", "/containers/json", "", FAKE_LIST},
        {"POST", "/containers/", "/rename", FAKE_RENAME},
        {"POST", "/containers/", "/wait", FAKE_WAIT},
        {"POST", "/containers/", "/start", FAKE_START},
        {"GET", "/containers/", "/logs", FAKE_LOGS},
        {"POST", "/containers/", "/stop", FAKE_STOP},
        {"POST", "/containers/", "/kill", FAKE_KILL},
        {"GET", "/containers/", "/json", FAKE_INSPECT},
        {"GET", "/volumes/", "", FAKE_VOLUME},
        {"DELETE", "/volumes/", "", FAKE_REMOVE_VOLUME},
        {"PUT", "/containers/", "/archive", FAKE_PUT_FILES},
        {"GET", "/containers/", "/archive", FAKE_GET_FILES},
        {"DELETE", "/containers/", "", FAKE_REMOVE},
        {"POST", "/networks/", "/connect", FAKE_CONNECT},
        {"POST", "/networks/create", "", FAKE_MAKE_NETWORK},
        {"GET", "/networks", "", FAKE_LIST_NETWORKS},
        {"GET", "/networks/", "", FAKE_NETWORK},
        {"DELETE", "/networks/", "", FAKE_REMOVE_NETWORK},
    };
    size_t length = strlen(request->path);
    for (size_t i = 0; i < HD_COUNT(routes); i++) {
        size_t prefix = strlen(routes[i].prefix), suffix = strlen(routes[i].suffix);
        bool named = routes[i].prefix[prefix - 1] == '/';
        if (strcmp(request->method, routes[i].method) != 0 ||
            strncmp(request->path, routes[i].prefix, prefix) != 0 || length < prefix + suffix ||
            strcmp(request->path + length - suffix, routes[i].suffix) != 0 ||
            (!named && length != prefix))
            continue;
        (void)hd_format(ret_id, id_size, "%.*s", (int)(length - prefix - suffix),
                        request->path + prefix);
        return routes[i].route;
    }
    return FAKE_UNKNOWN;
}

static bool carry_out(struct fake_docker *fake, int fd, enum fake_route route,
                      const struct request *request, const char *id)
{
    switch (route) {
    case FAKE_PING:
        return send_answer(fd, fake->newest, 200, "text/plain", "OK", 2);
    case FAKE_VERSION:
        return send_json(fd, fake, 200, "{}");
    case FAKE_INFO:
        return send_json(fd, fake, 200, "{\"SecurityOptions\":[\"name=seccomp\"]}");
    case FAKE_IMAGE:
        return answer_image(fake, fd, id);
    case FAKE_PULL:
        return answer_pull(fake, fd, request);
    case FAKE_BUILD:
        return answer_build(fake, fd, request);
    case FAKE_LOAD:
        return answer_load(fake, fd, request);
    case FAKE_SAVE:
        return answer_save(fake, fd, id);
    case FAKE_TAG:
        return send_json(fd, fake, 201, "");
    case FAKE_CREATE:
        return answer_create(fake, fd, request);
    case FAKE_WAIT:
        return answer_wait(fake, fd, request, id);
    case FAKE_RENAME:
        return answer_rename(fake, fd, request, id);
    case FAKE_START:
        return answer_start(fake, fd, id);
    case FAKE_LOGS:
        return answer_logs(fake, fd, request, id);
    case FAKE_STOP:
        return answer_stop(fake, fd, request, id, false);
    case FAKE_KILL:
        return answer_stop(fake, fd, request, id, true);
    case FAKE_INSPECT:
        return answer_inspect(fake, fd, id);
    case FAKE_REMOVE:
        return answer_remove(fake, fd, request, id);
    case FAKE_LIST:
        return answer_list(fake, fd, request);
    case FAKE_EVENTS:
        return answer_events(fake, fd, request);
    case FAKE_VOLUME:
        (void)hd_format(fake->volume, sizeof(fake->volume),
                        "{\"Name\":\"%.100s\",\"CreatedAt\":\"2026-01-01T00:00:%02uZ\"}", id,
                        fake->volumes_made);
        return send_json(fd, fake, 200, fake->volume);
    case FAKE_REMOVE_VOLUME:
        return send_json(fd, fake, 204, "");
    case FAKE_PUT_FILES:
        return answer_put_files(fake, fd, request, id);
    case FAKE_GET_FILES:
        return answer_get_files(fake, fd, request, id);
    case FAKE_CONNECT:
        return send_json(fd, fake, 200, "");
    case FAKE_MAKE_NETWORK:
        return answer_make_network(fake, fd, request);
    case FAKE_LIST_NETWORKS:
        return answer_list_networks(fake, fd, request);
    case FAKE_NETWORK:
        return has_network(fake, id) ? send_json(fd, fake, 200, "{}")
                                     : send_message(fd, fake, 404, "network not found");
    case FAKE_REMOVE_NETWORK:
        return answer_remove_network(fake, fd, id);
    case FAKE_UNKNOWN:
    case FAKE_ROUTE_COUNT:
        break;
    }
    return send_message(fd, fake, 404, "page not found");
}

static struct fault *take_fault(struct fake_docker *fake, enum fake_route route)
{
    for (size_t i = 0; i < FAULTS_MAX; i++)
        if (fake->faults[i].left > 0 && fake->faults[i].route == route) {
            fake->faults[i].left--;
            return &fake->faults[i];
        }
    return NULL;
}

static bool answer(struct fake_docker *fake, int fd, const struct request *request)
{
    char id[256], text[256];
    enum fake_route route = route_of(request, id, sizeof(id));
    fake->counts[route]++;
    if (route == FAKE_PULL)
        (void)hd_format(fake->last_auth, sizeof(fake->last_auth), "%s", request->auth);
    pthread_cond_broadcast(&fake->changed);
    if (fake->down)
        return false;
    if (request->minor >= 0 && request->minor < fake->minor_min) {
        (void)hd_format(
            text, sizeof(text),
            "client version 1.%d is too old. Minimum supported API version is 1.%d, please "
            "upgrade your client to a newer version\n",
            request->minor, fake->minor_min);
        return send_answer(fd, fake->newest, 400, "text/plain", text, strlen(text));
    }
    const struct fault *fault = take_fault(fake, route);
    if (fault == NULL)
        return carry_out(fake, fd, route, request, id);
    if (fault->status == 0)
        return false;
    if (fault->status > 0)
        return send_json(fd, fake, fault->status, fault->body);
    int nowhere = open("/dev/null", O_WRONLY | O_CLOEXEC);
    (void)carry_out(fake, nowhere, route, request, id);
    close(nowhere);
    return false;
}

/* ---- connections ---------------------------------------------------------------------------- */

static void decode(char *text)
{
    char *to = text;
    for (const char *from = text; *from != '\0'; to++) {
        unsigned number;
        if (*from == '%' && sscanf(from + 1, "%2x", &number) == 1) {
            *to = (char)number;
            from += 3;
        } else {
            *to = *from++;
        }
    }
    *to = '\0';
}

static bool parse_head(char *head, struct request *request, size_t *ret_length)
{
    char target[2048];
    request->minor = -1;
    if (sscanf(head, "%7s %2047s", request->method, target) != 2)
        return false;
    char *path = target;
    if (sscanf(target, "/v1.%d", &request->minor) == 1)
        path = strchr(target + 1, '/');
    if (path == NULL)
        return false;
    size_t length = strcspn(path, "?");
    (void)hd_format(request->path, sizeof(request->path), "%.*s", (int)length, path);
    (void)hd_format(request->query, sizeof(request->query), "%s",
                    path[length] == '?' ? path + length + 1 : "");
    decode(request->path);
    decode(request->query);
    const char *auth = strcasestr(head, "\r\nx-registry-auth: ");
    (void)hd_format(request->auth, sizeof(request->auth), "%.*s",
                    auth != NULL ? (int)strcspn(auth + 19, "\r") : 0,
                    auth != NULL ? auth + 19 : "");
    const char *size = strcasestr(head, "\r\ncontent-length:");
    *ret_length = size != NULL ? (size_t)strtoul(size + 17, NULL, 10) : 0;
    return *ret_length < REQUEST_MAX;
}

/* One request; false when the connection is over. */
static bool read_request(int fd, char *buffer, struct request *request)
{
    size_t used = 0, length = 0;
    char *end_of_head = NULL;
    while (end_of_head == NULL) {
        ssize_t count = recv(fd, buffer + used, 16384 - used - 1, 0);
        if (count <= 0)
            return false;
        used += (size_t)count;
        buffer[used] = '\0';
        end_of_head = strstr(buffer, "\r\n\r\n");
    }
    if (!parse_head(buffer, request, &length))
        return false;
    request->body = end_of_head + 4;
    request->body_size = length;
    for (size_t have = used - (size_t)(request->body - buffer); have < length;) {
        ssize_t count = recv(fd, request->body + have, length - have, 0);
        if (count <= 0)
            return false;
        have += (size_t)count;
    }
    return true;
}

static void *serve(void *context)
{
    struct connection *connection = context;
    struct fake_docker *fake = connection->fake;
    char *buffer = malloc(REQUEST_MAX + 16384);
    struct request request;
    bool good = buffer != NULL;
    while (good && read_request(connection->fd, buffer, &request)) {
        pthread_mutex_lock(&fake->lock);
        good = answer(fake, connection->fd, &request);
        pthread_mutex_unlock(&fake->lock);
    }
    free(buffer);
    pthread_mutex_lock(&fake->lock);
    close(connection->fd);
    connection->fd = -1;
    pthread_cond_broadcast(&fake->changed);
    pthread_mutex_unlock(&fake->lock);
    return NULL;
}

static struct connection *free_connection(struct fake_docker *fake)
{
    for (size_t i = 0; i < CONNECTIONS_MAX; i++)
        if (!fake->connections[i].used || fake->connections[i].fd < 0)
            return &fake->connections[i];
    return NULL;
}

/* On a loaded machine clients come faster than the threads of those before them end. */
static void take_connection(struct fake_docker *fake, int fd)
{
    struct connection *connection;
    while ((connection = free_connection(fake)) == NULL)
        pthread_cond_wait(&fake->changed, &fake->lock);
    if (connection->used)
        pthread_join(connection->thread, NULL);
    *connection = (struct connection){.fake = fake, .fd = fd, .used = true};
    hd_assert(pthread_create(&connection->thread, NULL, serve, connection) == 0);
}

static void *accept_all(void *context)
{
    struct fake_docker *fake = context;
    for (;;) {
        struct pollfd ready[2] = {{.fd = fake->listener, .events = POLLIN},
                                  {.fd = fake->wake[0], .events = POLLIN}};
        if (poll(ready, 2, -1) < 0 && errno != EINTR)
            return NULL;
        if (ready[1].revents != 0)
            return NULL;
        int fd = accept4(fake->listener, NULL, NULL, SOCK_CLOEXEC);
        if (fd < 0)
            continue;
        pthread_mutex_lock(&fake->lock);
        take_connection(fake, fd);
        pthread_mutex_unlock(&fake->lock);
    }
}

static void listen_now(struct fake_docker *fake)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    (void)hd_format(address.sun_path, sizeof(address.sun_path), "%s", fake->path);
    fake->listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    assert_true(fake->listener >= 0);
    assert_int_equal(bind(fake->listener, (struct sockaddr *)&address, sizeof(address)), 0);
    assert_int_equal(listen(fake->listener, 256), 0);
    assert_int_equal(pipe2(fake->wake, O_CLOEXEC), 0);
    assert_int_equal(pthread_create(&fake->acceptor, NULL, accept_all, fake), 0);
}

static void stop_listening(struct fake_docker *fake)
{
    assert_int_equal(write(fake->wake[1], "x", 1), 1);
    pthread_join(fake->acceptor, NULL);
    close(fake->wake[0]);
    close(fake->wake[1]);
    close(fake->listener);
    unlink(fake->path);
}

static void cut_connections(struct fake_docker *fake)
{
    pthread_mutex_lock(&fake->lock);
    fake->down = true;
    fake->generation++;
    for (size_t i = 0; i < CONNECTIONS_MAX; i++)
        if (fake->connections[i].used && fake->connections[i].fd >= 0)
            shutdown(fake->connections[i].fd, SHUT_RDWR);
    pthread_cond_broadcast(&fake->changed);
    pthread_mutex_unlock(&fake->lock);
    for (size_t i = 0; i < CONNECTIONS_MAX; i++)
        if (fake->connections[i].used) {
            pthread_join(fake->connections[i].thread, NULL);
            fake->connections[i].used = false;
        }
}

/* ---- for tests ------------------------------------------------------------------------------ */

struct fake_docker *fake_docker_start(const char *directory)
{
    struct fake_docker *fake = calloc(1, sizeof(*fake));
    assert_non_null(fake);
    (void)hd_format(fake->path, sizeof(fake->path), "%s/docker.sock", directory);
    (void)hd_format(fake->host, sizeof(fake->host), "unix://%.240s", fake->path);
    (void)hd_format(fake->newest, sizeof(fake->newest), "1.41");
    pthread_mutex_init(&fake->lock, NULL);
    pthread_cond_init(&fake->changed, NULL);
    listen_now(fake);
    return fake;
}

void fake_docker_stop(struct fake_docker *fake)
{
    if (fake == NULL)
        return;
    if (!fake->down) {
        stop_listening(fake);
        cut_connections(fake);
    }
    for (size_t i = 0; i < CONTAINERS_MAX; i++)
        hd_value_free(fake->containers[i].body);
    for (size_t i = 0; i < NETWORKS_MAX; i++)
        hd_value_free(fake->networks[i].body);
    pthread_cond_destroy(&fake->changed);
    pthread_mutex_destroy(&fake->lock);
    free(fake->put);
    free(fake->files);
    free(fake);
}

void fake_docker_crash(struct fake_docker *fake)
{
    stop_listening(fake);
    cut_connections(fake);
}

void fake_docker_come_back(struct fake_docker *fake)
{
    pthread_mutex_lock(&fake->lock);
    fake->down = false;
    pthread_mutex_unlock(&fake->lock);
    listen_now(fake);
}

const char *fake_docker_host(const struct fake_docker *fake)
{
    return fake->host;
}

#define LOCKED(fake, statement)                                                                    \
    do {                                                                                           \
        pthread_mutex_lock(&(fake)->lock);                                                         \
        statement;                                                                                 \
        pthread_cond_broadcast(&(fake)->changed);                                                  \
        pthread_mutex_unlock(&(fake)->lock);                                                       \
    } while (0)

void fake_docker_set_version(struct fake_docker *fake, const char *newest, int minor_min)
{
    LOCKED(fake, {
        (void)hd_format(fake->newest, sizeof(fake->newest), "%s", newest);
        fake->minor_min = minor_min;
    });
}

void fake_docker_add_image(struct fake_docker *fake, const char *name, const char *user)
{
    LOCKED(fake, {
        hd_assert(fake->image_count < IMAGES_MAX);
        (void)hd_format(fake->images[fake->image_count].name, 128, "%s", name);
        (void)hd_format(fake->images[fake->image_count++].user, 64, "%s", user);
    });
}

void fake_docker_label_images(struct fake_docker *fake, const char *key, const char *value)
{
    pthread_mutex_lock(&fake->lock);
    fake->image_labels[0] = '\0';
    if (value != NULL)
        (void)hd_format(fake->image_labels, sizeof(fake->image_labels), "{\"%s\":\"%s\"}", key,
                        value);
    pthread_mutex_unlock(&fake->lock);
}

void fake_docker_allow_pulls(struct fake_docker *fake)
{
    LOCKED(fake, fake->pulls = true);
}

void fake_docker_fail(struct fake_docker *fake, enum fake_route route, int status, const char *body,
                      int count)
{
    pthread_mutex_lock(&fake->lock);
    size_t i = 0;
    while (i < FAULTS_MAX && fake->faults[i].left > 0)
        i++;
    hd_assert(i < FAULTS_MAX);
    fake->faults[i] = (struct fault){.route = route, .status = status, .left = count};
    (void)hd_format(fake->faults[i].body, sizeof(fake->faults[i].body), "%s", body);
    pthread_mutex_unlock(&fake->lock);
}

void fake_docker_image_id(const char *name, char *ret_id)
{
    image_id(name, ret_id);
}

void fake_docker_hang_pulls(struct fake_docker *fake)
{
    LOCKED(fake, fake->hang_pulls = true);
}

void fake_docker_last_auth(struct fake_docker *fake, char *ret_text, size_t text_size)
{
    struct hd_buf plain;
    struct hd_err err;
    hd_buf_init(&plain, 4096);
    LOCKED(fake,
           assert_int_equal(
               hd_base64_decode(fake->last_auth, strlen(fake->last_auth), &plain, &err), HD_OK));
    (void)hd_format(ret_text, text_size, "%s", hd_buf_text(&plain));
    hd_buf_release(&plain);
}

void fake_docker_hang_waits(struct fake_docker *fake)
{
    LOCKED(fake, fake->hang_waits = true);
}

void fake_docker_hang_lists(struct fake_docker *fake)
{
    LOCKED(fake, fake->hang_lists = true);
}

void fake_docker_hang_stops(struct fake_docker *fake)
{
    LOCKED(fake, fake->hang_stops = true);
}

void fake_docker_ignore_stops(struct fake_docker *fake)
{
    LOCKED(fake, fake->ignore_stops = true);
}

void fake_docker_forget_oom_flag(struct fake_docker *fake)
{
    LOCKED(fake, fake->forget_oom = true);
}

int fake_docker_count(struct fake_docker *fake, enum fake_route route)
{
    int count = 0;
    LOCKED(fake, count = fake->counts[route]);
    return count;
}

/* With the lock; the promise of a test is an event, the limit only ends a broken one. */
static void await_change(struct fake_docker *fake, const char *what)
{
    struct timespec limit;
    clock_gettime(CLOCK_REALTIME, &limit);
    limit.tv_sec += AWAIT_S;
    if (pthread_cond_timedwait(&fake->changed, &fake->lock, &limit) == ETIMEDOUT) {
        pthread_mutex_unlock(&fake->lock);
        fail_msg("the fake engine waited in vain for %s", what);
    }
}

void fake_docker_await(struct fake_docker *fake, enum fake_route route, int count)
{
    pthread_mutex_lock(&fake->lock);
    while (fake->counts[route] < count)
        await_change(fake, "a request");
    pthread_mutex_unlock(&fake->lock);
}

bool fake_docker_find(struct fake_docker *fake, const char *prefix, char *ret_name, size_t size)
{
    pthread_mutex_lock(&fake->lock);
    bool found = false;
    for (size_t i = 0; i < CONTAINERS_MAX && !found; i++)
        if (fake->containers[i].used &&
            strncmp(fake->containers[i].name, prefix, strlen(prefix)) == 0)
            found = hd_copy_text(ret_name, size, fake->containers[i].name);
    pthread_mutex_unlock(&fake->lock);
    return found;
}

bool fake_docker_is_in(struct fake_docker *fake, const char *name, const char *network)
{
    pthread_mutex_lock(&fake->lock);
    const struct container *c = find(fake, name);
    const struct hd_value *mode =
        c != NULL ? hd_value_get(hd_value_get(c->body, "HostConfig"), "NetworkMode") : NULL;
    bool is_in = mode != NULL && hd_streq(mode->as.string, network);
    pthread_mutex_unlock(&fake->lock);
    return is_in;
}

bool fake_docker_has_network(struct fake_docker *fake, const char *name)
{
    pthread_mutex_lock(&fake->lock);
    bool has = find_network(fake, name) != NULL;
    pthread_mutex_unlock(&fake->lock);
    return has;
}

bool fake_docker_has(struct fake_docker *fake, const char *name)
{
    bool has = false;
    LOCKED(fake, has = find(fake, name) != NULL);
    return has;
}

bool fake_docker_is_running(struct fake_docker *fake, const char *name)
{
    pthread_mutex_lock(&fake->lock);
    const struct container *c = find(fake, name);
    bool running = c != NULL && c->state == STATE_RUNNING;
    pthread_mutex_unlock(&fake->lock);
    return running;
}

void fake_docker_await_running(struct fake_docker *fake, const char *name)
{
    pthread_mutex_lock(&fake->lock);
    for (;;) {
        const struct container *c = find(fake, name);
        if (c != NULL && c->state == STATE_RUNNING)
            break;
        await_change(fake, "a running container");
    }
    pthread_mutex_unlock(&fake->lock);
}

void fake_docker_await_gone(struct fake_docker *fake, const char *name)
{
    pthread_mutex_lock(&fake->lock);
    while (find(fake, name) != NULL)
        await_change(fake, "a removal");
    pthread_mutex_unlock(&fake->lock);
}

void fake_docker_exit(struct fake_docker *fake, const char *name, int exit_code, bool oom)
{
    LOCKED(fake, {
        struct container *c = find(fake, name);
        hd_assert(c != NULL && c->state == STATE_RUNNING);
        end(fake, c, exit_code, oom);
    });
}

void fake_docker_pause(struct fake_docker *fake, const char *name)
{
    LOCKED(fake, {
        struct container *c = find(fake, name);
        hd_assert(c != NULL && c->state == STATE_RUNNING);
        c->paused = true;
    });
}

void fake_docker_say(struct fake_docker *fake, const char *name, const char *line)
{
    LOCKED(fake, {
        struct container *c = find(fake, name);
        hd_assert(c != NULL);
        say(fake, c, line);
    });
}

void fake_docker_see_nothing(struct fake_docker *fake)
{
    LOCKED(fake, fake->sees_nothing = true);
}

void fake_docker_renew_volumes(struct fake_docker *fake)
{
    LOCKED(fake, fake->volumes_made++);
}

int fake_docker_volumes_removed(struct fake_docker *fake)
{
    return fake_docker_count(fake, FAKE_REMOVE_VOLUME);
}

void fake_docker_set_files(struct fake_docker *fake, const void *archive, size_t size)
{
    LOCKED(fake, {
        free(fake->files);
        fake->files = malloc(size + 1);
        hd_assert(fake->files != NULL);
        memcpy(fake->files, archive, size);
        fake->files_size = size;
    });
}

size_t fake_docker_last_files(struct fake_docker *fake, char *ret_where, size_t where_size,
                              void *ret_archive, size_t size)
{
    size_t all = 0;
    LOCKED(fake, {
        all = fake->put_size;
        (void)hd_format(ret_where, where_size, "%s", fake->put_where);
        if (fake->put != NULL)
            memcpy(ret_archive, fake->put, all < size ? all : size);
    });
    return all;
}

void fake_docker_add_stranger(struct fake_docker *fake, const char *name)
{
    LOCKED(fake, end(fake, add(fake, name, NULL), 0, false));
}

void fake_docker_remove(struct fake_docker *fake, const char *name)
{
    LOCKED(fake, {
        struct container *c = find(fake, name);
        hd_assert(c != NULL);
        drop(fake, c);
    });
}

void fake_docker_last_stop(struct fake_docker *fake, char *ret_text, size_t text_size)
{
    LOCKED(fake, (void)hd_format(ret_text, text_size, "%s", fake->last_stop));
}
