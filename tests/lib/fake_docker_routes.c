/* SPDX-License-Identifier: Apache-2.0 */
/* Of the fake engine: which call a request is, and the faults that a test has ordered for it. */
#include "fake_docker_internal.h"

#include "testlib.h"

#include <fcntl.h>
#include <string.h>
#include <unistd.h>

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
        return fake_send_answer(fd, fake->newest, 200, "text/plain", "OK", 2);
    case FAKE_VERSION:
        return fake_send_json(fd, fake, 200, "{}");
    case FAKE_INFO:
        return fake_send_json(fd, fake, 200, "{\"SecurityOptions\":[\"name=seccomp\"]}");
    case FAKE_IMAGE:
        return fake_answer_image(fake, fd, id);
    case FAKE_PULL:
        return fake_answer_pull(fake, fd, request);
    case FAKE_BUILD:
        return fake_answer_build(fake, fd, request);
    case FAKE_LOAD:
        return fake_answer_load(fake, fd, request);
    case FAKE_SAVE:
        return fake_answer_save(fake, fd, id);
    case FAKE_TAG:
        return fake_send_json(fd, fake, 201, "");
    case FAKE_CREATE:
        return fake_answer_create(fake, fd, request);
    case FAKE_WAIT:
        return fake_answer_wait(fake, fd, request, id);
    case FAKE_RENAME:
        return fake_answer_rename(fake, fd, request, id);
    case FAKE_START:
        return fake_answer_start(fake, fd, id);
    case FAKE_LOGS:
        return fake_answer_logs(fake, fd, request, id);
    case FAKE_STOP:
        return fake_answer_stop(fake, fd, request, id, false);
    case FAKE_KILL:
        return fake_answer_stop(fake, fd, request, id, true);
    case FAKE_INSPECT:
        return fake_answer_inspect(fake, fd, id);
    case FAKE_REMOVE:
        return fake_answer_remove(fake, fd, request, id);
    case FAKE_LIST:
        return fake_answer_list(fake, fd, request);
    case FAKE_EVENTS:
        return fake_answer_events(fake, fd, request);
    case FAKE_VOLUME:
        (void)hd_format(fake->volume, sizeof(fake->volume),
                        "{\"Name\":\"%.100s\",\"CreatedAt\":\"2026-01-01T00:00:%02uZ\"}", id,
                        fake->volumes_made);
        return fake_send_json(fd, fake, 200, fake->volume);
    case FAKE_REMOVE_VOLUME:
        return fake_send_json(fd, fake, 204, "");
    case FAKE_PUT_FILES:
        return fake_answer_put_files(fake, fd, request, id);
    case FAKE_GET_FILES:
        return fake_answer_get_files(fake, fd, request, id);
    case FAKE_CONNECT:
        return fake_send_json(fd, fake, 200, "");
    case FAKE_MAKE_NETWORK:
        return fake_answer_make_network(fake, fd, request);
    case FAKE_LIST_NETWORKS:
        return fake_answer_list_networks(fake, fd, request);
    case FAKE_NETWORK:
        return fake_has_network(fake, id) ? fake_send_json(fd, fake, 200, "{}")
                                          : fake_send_message(fd, fake, 404, "network not found");
    case FAKE_REMOVE_NETWORK:
        return fake_answer_remove_network(fake, fd, id);
    case FAKE_UNKNOWN:
    case FAKE_ROUTE_COUNT:
        break;
    }
    return fake_send_message(fd, fake, 404, "page not found");
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

bool fake_answer(struct fake_docker *fake, int fd, const struct request *request)
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
        return fake_send_answer(fd, fake->newest, 400, "text/plain", text, strlen(text));
    }
    const struct fault *fault = take_fault(fake, route);
    if (fault == NULL)
        return carry_out(fake, fd, route, request, id);
    if (fault->status == 0)
        return false;
    if (fault->status > 0)
        return fake_send_json(fd, fake, fault->status, fault->body);
    int nowhere = open("/dev/null", O_WRONLY | O_CLOEXEC);
    (void)carry_out(fake, nowhere, route, request, id);
    close(nowhere);
    return false;
}
