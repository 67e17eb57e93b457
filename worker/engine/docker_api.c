/* SPDX-License-Identifier: Apache-2.0 */
/* docker_api.c: see docker_api.h. */
#include "docker_api_internal.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define PUMP_MS 1000
#define INIT_LOG_MAX 1024

static void take_reply(struct hd_docker_call *call, struct docker_reply *ret_reply)
{
    ret_reply->status = call->status;
    ret_reply->body = call->body;
    hd_buf_init(&call->body, 0); /* moved */
    ret_reply->libpod = call->libpod;
    memcpy(ret_reply->api_version, call->api_version, sizeof(ret_reply->api_version));
}

/* Runs one request to its end. The caller releases reply.body on HD_OK only. */
static enum hd_code perform_once(struct hd_docker_api *api, const struct hd_docker_request *request,
                                 struct docker_reply *ret_reply, struct hd_err *err)
{
    struct hd_docker_call *call = NULL;
    enum hd_code code = hd_docker_call_begin(api->http, request, &call, err);
    if (code != HD_OK)
        return code;
    while (!call->done && !api->interrupted(api->context) &&
           (request->enough == NULL || !*request->enough))
        hd_docker_http_pump(api->http, PUMP_MS);
    if (!call->done)
        code = hd_fail(err, HD_E_CANCELLED, "interrupted");
    else if (call->code == HD_E_LIMIT)
        code = hd_fail(err, HD_E_LIMIT, "the Docker engine's answer to %s is longer than %u bytes",
                       request->path, HD_DOCKER_BODY_MAX);
    else if (call->code == HD_E_TIMEOUT && request->stall_ms > 0)
        code = hd_fail(err, HD_E_TIMEOUT, "nothing came for %lld s",
                       (long long)(request->stall_ms / 1000));
    else if (call->code != HD_OK)
        code = hd_fail(err, HD_E_NET, "the Docker engine at %s does not answer: %s",
                       api->endpoint->display, call->error);
    else
        take_reply(call, ret_reply);
    hd_docker_call_end(api->http, call);
    return code;
}

/* An engine that was upgraded between two requests refuses the version that was agreed upon, and
 * has done nothing. */
static bool is_outdated(const struct docker_reply *reply)
{
    char text[HD_MESSAGE_MAX];
    int floor;
    hd_docker_error_text(hd_buf_text(&reply->body), reply->body.size, text, sizeof(text));
    return reply->status == 400 && (hd_docker_parse_version_floor(text, &floor) ||
                                    strstr(text, "is too new. Maximum supported API") != NULL);
}

enum hd_code docker_perform(struct hd_docker_api *api, const struct hd_docker_request *request,
                            struct docker_reply *ret_reply, struct hd_err *err)
{
    enum hd_code code = perform_once(api, request, ret_reply, err);
    if (code != HD_OK || request->unversioned || request->body_fd_size > 0 ||
        !is_outdated(ret_reply))
        return code;
    hd_buf_release(&ret_reply->body);
    code = hd_docker_negotiate(api, err);
    return code == HD_OK ? perform_once(api, request, ret_reply, err) : code;
}

enum hd_code docker_refuse(struct docker_reply *reply, const char *what,
                           struct hd_docker_refusal *refusal, struct hd_err *err)
{
    char text[HD_MESSAGE_MAX];
    hd_docker_error_text(hd_buf_text(&reply->body), reply->body.size, text, sizeof(text));
    if (refusal != NULL) {
        refusal->status = reply->status;
        memcpy(refusal->text, text, sizeof(text));
    }
    enum hd_code code = HD_E_INVALID;
    if (reply->status == 404)
        code = HD_E_NOTFOUND;
    else if (reply->status == 409)
        code = HD_E_EXISTS;
    return hd_fail(err, code, "the Docker engine refused to %s (%d): %s", what, reply->status,
                   text);
}

/* ---- the engine ----------------------------------------------------------------------------- */

enum hd_code hd_docker_absent(const struct hd_docker_api *api, enum hd_code code,
                              struct hd_err *err)
{
    const char *socket = api->endpoint->socket_path;
    if (code != HD_E_NET)
        return code;
    if (socket[0] != '\0' && access(socket, F_OK) != 0)
        return hd_fail(err, HD_E_NET,
                       "no Docker engine: %s does not exist; start dockerd, or set DOCKER_HOST",
                       socket);
    if (socket[0] != '\0' && access(socket, R_OK | W_OK) != 0 && errno == EACCES)
        return hd_fail(err, HD_E_AUTH,
                       "no permission for the Docker engine's socket %s; add yourself to its group "
                       "(usermod -aG docker USER, then log in again)",
                       socket);
    return hd_fail(err, HD_E_NET, "no Docker engine answers: %s; start it, or set DOCKER_HOST",
                   err->text);
}

static enum hd_code ping(struct hd_docker_api *api, int *ret_minor, struct hd_err *err)
{
    const struct hd_docker_request request = {
        .method = "GET", .path = "/_ping", .unversioned = true};
    struct docker_reply reply;
    enum hd_code code = docker_perform(api, &request, &reply, err);
    if (code != HD_OK)
        return hd_docker_absent(api, code, err);
    if (reply.status != 200 || !hd_docker_parse_version(reply.api_version, ret_minor))
        code = hd_fail(err, HD_E_NET, "%s answers, but not as a Docker engine does (%d)",
                       api->endpoint->display, reply.status);
    else
        atomic_store(&api->endpoint->podman, reply.libpod);
    hd_buf_release(&reply.body);
    return code;
}

/* An engine that has given up older versions names the oldest it still speaks. */
static enum hd_code check_version(struct hd_docker_api *api, int minor, int *ret_floor,
                                  struct hd_err *err)
{
    const struct hd_docker_request request = {.method = "GET", .path = "/version"};
    struct docker_reply reply;
    char text[HD_MESSAGE_MAX];
    enum hd_code code = perform_once(api, &request, &reply, err);
    if (code != HD_OK)
        return hd_docker_absent(api, code, err);
    hd_docker_error_text(hd_buf_text(&reply.body), reply.body.size, text, sizeof(text));
    *ret_floor = minor;
    if (reply.status == 400 && !hd_docker_parse_version_floor(text, ret_floor))
        code =
            hd_fail(err, HD_E_VERSION, "the Docker engine at %s: %s", api->endpoint->display, text);
    hd_buf_release(&reply.body);
    return code;
}

enum hd_code hd_docker_negotiate(struct hd_docker_api *api, struct hd_err *err)
{
    int newest = 0, floor = 0;
    enum hd_code code = ping(api, &newest, err);
    if (code != HD_OK)
        return code;
    if (newest < HD_DOCKER_MINOR_MIN)
        return hd_fail(err, HD_E_VERSION,
                       "the Docker engine at %s speaks API 1.%d, at least 1.%d is needed (Docker "
                       "19.03)",
                       api->endpoint->display, newest, HD_DOCKER_MINOR_MIN);
    int minor = newest < HD_DOCKER_MINOR_MAX ? newest : HD_DOCKER_MINOR_MAX;
    atomic_store(&api->endpoint->minor, minor);
    code = check_version(api, minor, &floor, err);
    if (code == HD_OK && floor > minor)
        atomic_store(&api->endpoint->minor, floor < newest ? floor : newest);
    return code;
}

enum hd_code hd_docker_describe(struct hd_docker_api *api, struct hd_docker_info *ret_info,
                                struct hd_err *err)
{
    const struct hd_docker_request request = {.method = "GET", .path = "/info"};
    struct docker_reply reply;
    enum hd_code code = docker_perform(api, &request, &reply, err);
    if (code != HD_OK)
        return hd_docker_absent(api, code, err);
    if (reply.status == 200)
        code = hd_docker_parse_info(hd_buf_text(&reply.body), reply.body.size, ret_info, err);
    else
        code = docker_refuse(&reply, "describe itself", NULL, err);
    hd_buf_release(&reply.body);
    return code;
}

/* HD_OK: the list, which the caller releases. */
static enum hd_code ask_list(struct hd_docker_api *api, const char *worker, int64_t limit_ms,
                             struct docker_reply *reply, struct hd_err *err)
{
    struct hd_buf filter;
    char path[HD_DOCKER_URL_MAX], escaped[HD_DOCKER_URL_MAX - 64];
    char label[HD_WORKER_ID_MAX + 32];
    hd_buf_init(&filter, 1024);
    (void)hd_format(label, sizeof(label), "hyperdock.worker=%s", worker);
    enum hd_code code = hd_buf_puts(&filter, "{\"label\":[", err);
    if (code == HD_OK)
        code = hd_json_write_string(label, &filter, err);
    if (code == HD_OK)
        code = hd_buf_puts(&filter, "]}", err);
    if (code == HD_OK &&
        (!hd_docker_url_escape(hd_buf_text(&filter), escaped, sizeof(escaped)) ||
         !hd_format(path, sizeof(path), "/containers/json?all=1&filters=%s", escaped)))
        code = hd_fail(err, HD_E_LIMIT, "the worker id is too long");
    hd_buf_release(&filter);
    const struct hd_docker_request request = {.method = "GET", .path = path, .limit_ms = limit_ms};
    if (code == HD_OK)
        code = docker_perform(api, &request, reply, err);
    if (code != HD_OK || reply->status == 200)
        return code;
    code = docker_refuse(reply, "list containers", NULL, err);
    hd_buf_release(&reply->body);
    return code;
}

enum hd_code hd_docker_list(struct hd_docker_api *api, const char *worker, int64_t limit_ms,
                            struct hd_engine_found *found, size_t found_max, size_t *ret_count,
                            struct hd_err *err)
{
    struct docker_reply reply;
    enum hd_code code = ask_list(api, worker, limit_ms, &reply, err);
    if (code != HD_OK)
        return code;
    code = hd_docker_parse_list(hd_buf_text(&reply.body), reply.body.size, found, found_max,
                                ret_count, err);
    hd_buf_release(&reply.body);
    return code;
}

enum hd_code hd_docker_list_aheads(struct hd_docker_api *api, const char *worker,
                                   struct hd_docker_found_ahead *found, size_t found_max,
                                   size_t *ret_count, struct hd_err *err)
{
    struct docker_reply reply;
    enum hd_code code = ask_list(api, worker, 0, &reply, err);
    if (code != HD_OK)
        return code;
    code = hd_docker_parse_aheads(hd_buf_text(&reply.body), reply.body.size, found, found_max,
                                  ret_count, err);
    hd_buf_release(&reply.body);
    return code;
}

enum hd_code hd_docker_rename(struct hd_docker_api *api, const char *id, const char *name,
                              struct hd_err *err)
{
    char path[HD_DOCKER_URL_MAX];
    struct docker_reply reply;
    (void)hd_format(path, sizeof(path), "/containers/%s/rename?name=%s", id, name);
    const struct hd_docker_request request = {.method = "POST", .path = path};
    enum hd_code code = docker_perform(api, &request, &reply, err);
    if (code != HD_OK)
        return code;
    if (reply.status != 204)
        code = docker_refuse(&reply, "name a container", NULL, err);
    hd_buf_release(&reply.body);
    return code;
}

/* ---- files of containers ----------------------------------------------------------------------
 */

enum hd_code hd_docker_put_archive(struct hd_docker_api *api, const char *id, const char *path,
                                   int fd, int64_t stall_ms, struct hd_docker_refusal *refusal,
                                   struct hd_err *err)
{
    char url[HD_DOCKER_URL_MAX], escaped[HD_DOCKER_URL_MAX / 2];
    struct docker_reply reply;
    struct stat status;
    if (!hd_docker_url_escape(path, escaped, sizeof(escaped)) ||
        !hd_format(url, sizeof(url), "/containers/%s/archive?path=%s", id, escaped))
        return hd_fail(err, HD_E_LIMIT, "a path in a container is too long");
    if (fstat(fd, &status) != 0 || lseek(fd, 0, SEEK_SET) != 0)
        return hd_fail(err, HD_E_IO, "an archive cannot be read again: %s", strerror(errno));
    const struct hd_docker_request request = {.method = "PUT",
                                              .path = url,
                                              .body_fd = fd,
                                              .body_fd_size = (uint64_t)status.st_size,
                                              .content_type = "application/x-tar",
                                              .stream = true,
                                              .stall_ms = stall_ms};
    enum hd_code code = docker_perform(api, &request, &reply, err);
    if (code != HD_OK)
        return code;
    if (reply.status != 200)
        code = docker_refuse(&reply, "take files into the container", refusal, err);
    hd_buf_release(&reply.body);
    return code;
}

struct fetching {
    struct hd_tar_reader *reader;
    struct hd_err err;
    bool failed;
};

static void feed_reader(void *context, const char *bytes, size_t size)
{
    struct fetching *fetching = context;
    if (!fetching->failed &&
        hd_tar_reader_feed(fetching->reader, bytes, size, &fetching->err) != HD_OK)
        fetching->failed = true;
}

enum hd_code hd_docker_get_archive(struct hd_docker_api *api, const char *id, const char *path,
                                   int64_t stall_ms, struct hd_tar_reader *reader,
                                   struct hd_err *err)
{
    char url[HD_DOCKER_URL_MAX], escaped[HD_DOCKER_URL_MAX / 2];
    struct fetching fetching = {.reader = reader};
    struct docker_reply reply;
    if (!hd_docker_url_escape(path, escaped, sizeof(escaped)) ||
        !hd_format(url, sizeof(url), "/containers/%s/archive?path=%s", id, escaped))
        return hd_fail(err, HD_E_LIMIT, "a path in a container is too long");
    const struct hd_docker_request request = {.method = "GET",
                                              .path = url,
                                              .stream = true,
                                              .stall_ms = stall_ms,
                                              .sink = feed_reader,
                                              .sink_context = &fetching,
                                              .enough = &fetching.failed};
    enum hd_code code = docker_perform(api, &request, &reply, err);
    if (fetching.failed) {
        if (code == HD_OK)
            hd_buf_release(&reply.body);
        return hd_tar_reader_end(reader, err);
    }
    if (code != HD_OK)
        return code;
    code = reply.status == 200
               ? hd_tar_reader_end(reader, err)
               : docker_refuse(&reply, "hand out files of the container", NULL, err);
    hd_buf_release(&reply.body);
    return code;
}

/* ---- containers ----------------------------------------------------------------------------- */

enum hd_code hd_docker_create(struct hd_docker_api *api, const char *name, const char *body,
                              char *ret_id, struct hd_docker_refusal *refusal, struct hd_err *err)
{
    char path[HD_DOCKER_URL_MAX];
    (void)hd_format(path, sizeof(path), "/containers/create?name=%s", name);
    const struct hd_docker_request request = {.method = "POST", .path = path, .body = body};
    struct docker_reply reply;
    enum hd_code code = docker_perform(api, &request, &reply, err);
    if (code != HD_OK)
        return code;
    if (reply.status == 201)
        code = hd_docker_parse_created(hd_buf_text(&reply.body), reply.body.size, ret_id, err);
    else
        code = docker_refuse(&reply, "create the container", refusal, err);
    hd_buf_release(&reply.body);
    return code;
}

enum hd_code hd_docker_start(struct hd_docker_api *api, const char *id,
                             struct hd_docker_refusal *refusal, struct hd_err *err)
{
    char path[HD_DOCKER_URL_MAX];
    (void)hd_format(path, sizeof(path), "/containers/%s/start", id);
    const struct hd_docker_request request = {.method = "POST", .path = path};
    struct docker_reply reply;
    enum hd_code code = docker_perform(api, &request, &reply, err);
    if (code != HD_OK)
        return code;
    /* 304: a repeated request, after a reply that was lost. */
    if (reply.status != 204 && reply.status != 304)
        code = docker_refuse(&reply, "start the container", refusal, err);
    hd_buf_release(&reply.body);
    return code;
}

enum hd_code hd_docker_connect(struct hd_docker_api *api, const char *id, const char *network,
                               struct hd_docker_refusal *refusal, struct hd_err *err)
{
    char path[HD_DOCKER_URL_MAX], body[HD_DOCKER_ID_SIZE + 32];
    (void)hd_format(path, sizeof(path), "/networks/%s/connect", network);
    (void)hd_format(body, sizeof(body), "{\"Container\":\"%s\"}", id);
    const struct hd_docker_request request = {.method = "POST", .path = path, .body = body};
    struct docker_reply reply;
    enum hd_code code = docker_perform(api, &request, &reply, err);
    if (code != HD_OK)
        return code;
    if (reply.status != 200 && reply.status != 204)
        code = docker_refuse(&reply, "connect it to its network", refusal, err);
    hd_buf_release(&reply.body);
    bool there = code != HD_OK && (strstr(refusal->text, "already exists in network") != NULL ||
                                   strstr(refusal->text, "already connected") != NULL ||
                                   strstr(refusal->text, "already attached") != NULL);
    return there ? HD_OK : code;
}

enum hd_code hd_docker_inspect(struct hd_docker_api *api, const char *id,
                               struct hd_docker_container *ret_container, struct hd_err *err)
{
    char path[HD_DOCKER_URL_MAX];
    (void)hd_format(path, sizeof(path), "/containers/%s/json", id);
    const struct hd_docker_request request = {.method = "GET", .path = path};
    struct docker_reply reply;
    enum hd_code code = docker_perform(api, &request, &reply, err);
    if (code != HD_OK)
        return code;
    if (reply.status == 200)
        code =
            hd_docker_parse_inspect(hd_buf_text(&reply.body), reply.body.size, ret_container, err);
    else
        code = docker_refuse(&reply, "look at the container", NULL, err);
    hd_buf_release(&reply.body);
    return code;
}

enum hd_code hd_docker_remove(struct hd_docker_api *api, const char *id, struct hd_err *err)
{
    char path[HD_DOCKER_URL_MAX];
    (void)hd_format(path, sizeof(path), "/containers/%s?force=1&v=1", id);
    const struct hd_docker_request request = {.method = "DELETE", .path = path};
    struct docker_reply reply;
    enum hd_code code = docker_perform(api, &request, &reply, err);
    if (code != HD_OK)
        return code;
    if (reply.status == 409)
        code = hd_fail(err, HD_E_BUSY, "the container is being removed");
    else if (reply.status != 204 && reply.status != 404)
        code = docker_refuse(&reply, "remove the container", NULL, err);
    hd_buf_release(&reply.body);
    return code;
}

enum hd_code hd_docker_ask(struct hd_docker_api *api, const char *method, const char *path,
                           const char *body, int *ret_status, struct hd_buf *ret_body,
                           struct hd_err *err)
{
    const struct hd_docker_request request = {.method = method, .path = path, .body = body};
    struct docker_reply reply;
    enum hd_code code = docker_perform(api, &request, &reply, err);
    if (code != HD_OK)
        return code;
    *ret_status = reply.status;
    *ret_body = reply.body;
    return HD_OK;
}

enum hd_code hd_docker_refused(int status, const struct hd_buf *body, const char *what,
                               struct hd_err *err)
{
    struct docker_reply reply = {.status = status, .body = *body};
    return docker_refuse(&reply, what, NULL, err);
}

struct head {
    char text[INIT_LOG_MAX];
    size_t used;
};

static void keep_head(void *context, const char *bytes, size_t size)
{
    struct head *head = context;
    size_t room = sizeof(head->text) - 1 - head->used;
    size_t count = size < room ? size : room;
    memcpy(head->text + head->used, bytes, count);
    head->used += count;
    head->text[head->used] = '\0';
}

static void feed_frames(void *context, const char *bytes, size_t size)
{
    /* Once the frames are broken, nothing more is taken: what is kept until then serves. */
    bool good = hd_docker_frames_feed(context, bytes, size);
    (void)good;
}

/* With an init process a command that does not exist is no refused start: the init starts, says
 * "[FATAL tini (7)] exec ./train failed: No such file or directory" and ends with 126 or 127. So
 * does hd-launch. */
bool hd_docker_init_failure(struct hd_docker_api *api, const char *id, char *ret_text,
                            size_t text_size)
{
    static const char *const marks[] = {"[FATAL tini", "[FATAL hd-launch"};
    char path[HD_DOCKER_URL_MAX];
    struct head head = {.used = 0};
    struct hd_docker_frames frames = {.write = keep_head, .context = &head};
    struct docker_reply reply;
    struct hd_err err;
    hd_docker_frames_begin(&frames);
    (void)hd_format(path, sizeof(path), "/containers/%s/logs?stderr=1&tail=5", id);
    const struct hd_docker_request request = {
        .method = "GET", .path = path, .sink = feed_frames, .sink_context = &frames};
    if (docker_perform(api, &request, &reply, &err) != HD_OK)
        return false;
    hd_buf_release(&reply.body);
    const char *at = NULL;
    for (size_t i = 0; i < HD_COUNT(marks) && at == NULL; i++)
        at = strncmp(head.text, marks[i], strlen(marks[i])) == 0 ? strchr(head.text, ']') : NULL;
    if (at == NULL)
        return false;
    at += at[1] == ' ' ? 2 : 1;
    (void)hd_format(ret_text, text_size, "%.*s", (int)strcspn(at, "\n"), at);
    return true;
}
