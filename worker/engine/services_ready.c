/* SPDX-License-Identifier: Apache-2.0 */
/* services_ready.c: when a service is ready, and what it said when it never was. */
#include "services.h"

#include <arpa/inet.h>
#include <hd/os.h>
#include <netinet/in.h>
#include <poll.h>
#include <regex.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define LINE_MAX_BYTES 8192
#define LOOK_MS 250
#define CONNECT_MS 500
#define LAST_WORDS_MAX 400
#define ADDRESSES_MAX 8

/* ---- the log --------------------------------------------------------------------------------- */

struct watcher {
    regex_t regex;
    struct hd_docker_frames frames;
    char line[LINE_MAX_BYTES];
    size_t used;
    bool seen;
};

static void end_line(struct watcher *watcher)
{
    watcher->line[watcher->used] = '\0';
    watcher->seen = watcher->seen || regexec(&watcher->regex, watcher->line, 0, NULL, 0) == 0;
}

/* The line that is not finished counts too: a prompt has no end. */
static void take_log(void *context, const char *bytes, size_t size)
{
    struct watcher *watcher = context;
    for (size_t i = 0; i < size; i++) {
        if (bytes[i] == '\n') {
            end_line(watcher);
            watcher->used = 0;
        } else if (watcher->used + 1 < sizeof(watcher->line) && bytes[i] != '\0') {
            watcher->line[watcher->used++] = bytes[i];
        }
    }
    if (watcher->used > 0)
        end_line(watcher);
}

static void feed(void *context, const char *bytes, size_t size)
{
    struct watcher *watcher = context;
    bool good = hd_docker_frames_feed(&watcher->frames, bytes, size);
    (void)good; /* broken frames: nothing more is seen, and the time ends it */
}

/* ---- its last words -------------------------------------------------------------------------- */

struct tail {
    char text[LAST_WORDS_MAX];
    size_t used;
    bool line_ended;
};

static void put_last(struct tail *tail, char c)
{
    if (tail->used + 1 == sizeof(tail->text))
        memmove(tail->text, tail->text + 1, --tail->used);
    tail->text[tail->used++] = c;
}

/* A bar stands between two lines. */
static void keep_tail(void *context, const char *bytes, size_t size)
{
    struct tail *tail = context;
    for (size_t i = 0; i < size; i++) {
        unsigned char c = (unsigned char)bytes[i];
        if (c == '\n') {
            tail->line_ended = true;
            continue;
        }
        if (tail->line_ended && tail->used > 0)
            put_last(tail, '|');
        tail->line_ended = false;
        put_last(tail, (char)(c < ' ' || c == 0x7f ? ' ' : c));
    }
    tail->text[tail->used] = '\0';
}

/* "; it said: ..." or nothing. */
static void last_words(struct hd_docker_api *api, const char *id, char *text, size_t text_size)
{
    char path[HD_DOCKER_URL_MAX];
    struct tail tail = {.used = 0};
    struct hd_docker_frames frames = {.write = keep_tail, .context = &tail};
    struct hd_buf body;
    struct hd_err ignored;
    int status;
    text[0] = '\0';
    (void)hd_format(path, sizeof(path), "/containers/%s/logs?stdout=1&stderr=1&timestamps=1&tail=5",
                    id);
    if (hd_docker_ask(api, "GET", path, NULL, &status, &body, &ignored) != HD_OK)
        return;
    hd_docker_frames_begin(&frames);
    if (status == 200 && hd_docker_frames_feed(&frames, hd_buf_text(&body), body.size) &&
        tail.used > 0)
        (void)hd_format(text, text_size, "; it said: %s", tail.text);
    hd_buf_release(&body);
}

static enum hd_code fail_with_words(struct hd_docker_api *api, const char *id, enum hd_code code,
                                    const char *what, struct hd_err *err)
{
    char words[LAST_WORDS_MAX + 32];
    last_words(api, id, words, sizeof(words));
    return hd_fail(err, code, "%s%s", what, words);
}

/* ---- the port -------------------------------------------------------------------------------- */

static bool takes_connection(const char *address, uint16_t port)
{
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(port)};
    if (inet_pton(AF_INET, address, &to.sin_addr) != 1)
        return false;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0), error = 0;
    if (fd < 0)
        return false;
    socklen_t size = sizeof(error);
    struct pollfd poller = {.fd = fd, .events = POLLOUT};
    (void)connect(fd, (struct sockaddr *)&to, sizeof(to));
    bool open = poll(&poller, 1, CONNECT_MS) == 1 &&
                getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &size) == 0 && error == 0;
    close(fd);
    return open;
}

/* ---- one look -------------------------------------------------------------------------------- */

struct look {
    bool running, exited;
    bool on_host; /* it shares the machine's network */
    int exit_code;
    char health[16]; /* "" the container has no check */
    char addresses[ADDRESSES_MAX][48];
    size_t address_count;
};

static const char *text_at(const struct hd_value *object, const char *key)
{
    const struct hd_value *value = hd_value_get(object, key);
    return value != NULL && value->kind == HD_VALUE_STRING ? value->as.string : "";
}

static void take_look(const struct hd_value *container, struct look *look)
{
    const struct hd_value *state = hd_value_get(container, "State");
    const struct hd_value *networks =
        hd_value_get(hd_value_get(container, "NetworkSettings"), "Networks");
    const struct hd_value *code = hd_value_get(state, "ExitCode");
    const char *status = text_at(state, "Status");
    *look = (struct look){
        .running = hd_streq(status, "running"),
        .exited = hd_streq(status, "exited") || hd_streq(status, "dead"),
        .exit_code = code != NULL && code->kind == HD_VALUE_INT ? (int)code->as.integer : -1};
    (void)hd_copy_text(look->health, sizeof(look->health),
                       text_at(hd_value_get(state, "Health"), "Status"));
    if (networks == NULL || networks->kind != HD_VALUE_OBJECT)
        return;
    look->on_host = hd_value_get(networks, "host") != NULL;
    for (size_t i = 0; i < networks->as.object.count && look->address_count < ADDRESSES_MAX; i++) {
        const char *address = text_at(networks->as.object.items[i], "IPAddress");
        if (address[0] != '\0' &&
            hd_copy_text(look->addresses[look->address_count], sizeof(look->addresses[0]), address))
            look->address_count++;
    }
}

static enum hd_code inspect(struct hd_docker_api *api, const char *id, struct look *look,
                            struct hd_err *err)
{
    const struct hd_value_limits limits = {HD_DOCKER_BODY_MAX, 100000, 32};
    char path[HD_DOCKER_URL_MAX];
    struct hd_buf body;
    struct hd_value *container = NULL;
    int status;
    (void)hd_format(path, sizeof(path), "/containers/%s/json", id);
    enum hd_code code = hd_docker_ask(api, "GET", path, NULL, &status, &body, err);
    if (code != HD_OK)
        return code;
    if (status == 200)
        code = hd_json_parse(hd_buf_text(&body), body.size, "the engine's answer", &limits,
                             &container, err);
    else
        code = hd_docker_refused(status, &body, "look at the container", err);
    if (code == HD_OK)
        take_look(container, look);
    hd_value_free(container);
    hd_buf_release(&body);
    return code;
}

/* true: ready. A container that has ended, or is unhealthy, is a failure. */
static enum hd_code judge(struct hd_docker_api *api, const struct hd_service *service,
                          const char *id, const struct look *look, bool *ret_ready,
                          struct hd_err *err)
{
    char what[128];
    *ret_ready = false;
    if (look->exited) {
        if (service->ready == HD_SERVICE_READY_EXIT && look->exit_code == 0) {
            *ret_ready = true;
            return HD_OK;
        }
        (void)hd_format(what, sizeof(what), "it ended with exit code %d before it was ready",
                        look->exit_code);
        return fail_with_words(api, id, HD_E_CONFLICT, what, err);
    }
    if (service->ready == HD_SERVICE_READY_HEALTH) {
        *ret_ready = hd_streq(look->health, "healthy");
        if (look->running && look->health[0] == '\0')
            return hd_fail(err, HD_E_CONFLICT,
                           "its image has no HEALTHCHECK: give ready.healthcheck a command");
        if (hd_streq(look->health, "unhealthy"))
            return fail_with_words(api, id, HD_E_CONFLICT, "its check calls it unhealthy", err);
    }
    if (service->ready == HD_SERVICE_READY_PORT && look->running) {
        for (size_t i = 0; i < look->address_count && !*ret_ready; i++)
            *ret_ready = takes_connection(look->addresses[i], service->ready_port);
        if (look->on_host)
            *ret_ready = takes_connection("127.0.0.1", service->ready_port);
    }
    return HD_OK;
}

/* ---- waiting --------------------------------------------------------------------------------- */

/* The stream of its log; begun again where it ended when the engine cut it. */
static enum hd_code follow(struct hd_docker_api *api, const char *id, struct watcher *watcher,
                           struct hd_docker_call **call, struct hd_err *err)
{
    char path[HD_DOCKER_URL_MAX];
    if (*call != NULL && !(*call)->done)
        return HD_OK;
    hd_docker_call_end(api->http, *call);
    *call = NULL;
    (void)hd_format(path, sizeof(path),
                    "/containers/%s/logs?follow=1&stdout=1&stderr=1&timestamps=1", id);
    const struct hd_docker_request request = {
        .method = "GET", .path = path, .stream = true, .sink = feed, .sink_context = watcher};
    hd_docker_frames_begin(&watcher->frames);
    return hd_docker_call_begin(api->http, &request, call, err);
}

static const char *awaited(const struct hd_service *service)
{
    switch (service->ready) {
    case HD_SERVICE_READY_LOG:
        return "no line of its output matched ready.log";
    case HD_SERVICE_READY_PORT:
        return "its port took no connection";
    case HD_SERVICE_READY_HEALTH:
        return "its check did not call it healthy";
    case HD_SERVICE_READY_EXIT:
        return "it did not end";
    case HD_SERVICE_READY_STARTED:
        break;
    }
    return "it was not ready";
}

static enum hd_code wait_for(struct hd_docker_api *api, const struct hd_service *service,
                             const char *id, struct watcher *watcher, struct hd_err *err)
{
    struct hd_docker_call *call = NULL;
    enum hd_code code = HD_OK;
    bool ready = false;
    int64_t until_ms = hd_clock_ms() + service->ready_ms;
    while (code == HD_OK && !ready) {
        struct look look;
        if (watcher != NULL)
            code = follow(api, id, watcher, &call, err);
        int64_t next_ms = hd_clock_ms() + LOOK_MS;
        while (code == HD_OK && hd_clock_ms() < next_ms && !(watcher != NULL && watcher->seen) &&
               !api->interrupted(api->context))
            hd_docker_http_pump(api->http, next_ms - hd_clock_ms());
        if (watcher != NULL && watcher->seen)
            break;
        if (code == HD_OK)
            code = inspect(api, id, &look, err);
        /* What it wrote last may still be on its way. */
        if (code == HD_OK && look.exited && watcher != NULL && call != NULL)
            while (!call->done && !watcher->seen && !api->interrupted(api->context) &&
                   hd_clock_ms() < until_ms)
                hd_docker_http_pump(api->http, LOOK_MS);
        if (watcher != NULL && watcher->seen)
            break;
        if (code == HD_OK)
            code = judge(api, service, id, &look, &ready, err);
        if (code == HD_OK && !ready && hd_clock_ms() >= until_ms) {
            char what[160];
            (void)hd_format(what, sizeof(what), "%s within %g s", awaited(service),
                            (double)service->ready_ms / 1000);
            code = fail_with_words(api, id, HD_E_TIMEOUT, what, err);
        }
    }
    hd_docker_call_end(api->http, call);
    return code;
}

enum hd_code services_await(struct hd_docker_api *api, const struct hd_service *service,
                            const char *id, struct hd_err *err)
{
    if (service->ready == HD_SERVICE_READY_STARTED)
        return HD_OK;
    if (service->ready != HD_SERVICE_READY_LOG)
        return wait_for(api, service, id, NULL, err);
    struct watcher *watcher = hd_calloc(1, sizeof(*watcher));
    if (watcher == NULL ||
        regcomp(&watcher->regex, service->ready_text, REG_EXTENDED | REG_NOSUB) != 0) {
        hd_free(watcher);
        return hd_fail(err, HD_E_NOMEM, "no memory to watch a log");
    }
    watcher->frames = (struct hd_docker_frames){.write = take_log, .context = watcher};
    enum hd_code code = wait_for(api, service, id, watcher, err);
    regfree(&watcher->regex);
    hd_free(watcher);
    return code;
}
