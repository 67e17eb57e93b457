/* SPDX-License-Identifier: Apache-2.0 */
/* docker_json_errors.c: what the engine says when it refuses, and what that means. Pure; see
 * docker_json.h. */
#include "docker_json.h"

#include <string.h>

/* Printable, on one line, without white space at the ends. */
static void copy_line(const char *text, size_t size, char *ret_text, size_t text_size)
{
    size_t used = 0;
    for (size_t i = 0; i < size && used + 1 < text_size; i++) {
        char c = (unsigned char)text[i] < ' ' ? ' ' : text[i];
        if (c == ' ' && (used == 0 || ret_text[used - 1] == ' '))
            continue;
        ret_text[used++] = c;
    }
    while (used > 0 && ret_text[used - 1] == ' ')
        used--;
    ret_text[used] = '\0';
}

void hd_docker_error_text(const char *text, size_t size, char *ret_text, size_t text_size)
{
    static const struct hd_value_limits limits = {
        .bytes_max = HD_DOCKER_BODY_MAX, .nodes_max = 1000, .depth_max = 16};
    struct hd_value *value = NULL;
    const struct hd_value *member = NULL;
    struct hd_err err;
    const char *message = NULL;
    if (size > 0 && hd_json_parse(text, size, "error", &limits, &value, &err) == HD_OK)
        member = hd_value_get(value, "message");
    if (member != NULL && member->kind == HD_VALUE_STRING)
        message = member->as.string;
    if (message != NULL)
        copy_line(message, strlen(message), ret_text, text_size);
    else
        copy_line(text, size, ret_text, text_size);
    hd_value_free(value);
}

static bool holds_any(const char *text, const char *const *parts, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (strcasestr(text, parts[i]) != NULL)
            return true;
    return false;
}

/* Another machine, or the same one later, may well succeed. */
static bool is_machine_trouble(const char *text)
{
    static const char *const parts[] = {
        "no space left on device",   "could not select device driver",
        "unknown runtime",           "unknown or invalid runtime",
        "port is already allocated", "docker-init",
        "container-init binary",     "range of cpus",
        "cannot allocate memory",    "too many open files",
        "context deadline exceeded", "shutting down",
    };
    return holds_any(text, parts, HD_COUNT(parts));
}

/* In this order: a text may hold words of several rows. */
enum hd_pull_trouble hd_docker_pull_trouble(const char *text)
{
    static const struct {
        enum hd_pull_trouble trouble;
        const char *parts[20];
    } rows[] = {
        {HD_PULL_NO_ROOM, {"no space left on device", "disk quota exceeded"}},
        {HD_PULL_NO_ANSWER,
         {"toomanyrequests", "too many requests", "429 too many",
          "received unexpected http status: 5", "500 internal", "502 bad gateway", "503 service",
          "504 gateway", "i/o timeout", "handshake timeout", "timeout exceeded", "timeout awaiting",
          "unexpected eof", "connection reset", "request canceled"}},
        {HD_PULL_NO_NAME,
         {"no such host", "server misbehaving", "temporary failure in name resolution",
          "name or service not known"}},
        {HD_PULL_NO_ANSWER,
         {"temporary failure", "connection refused", "no route to host", "network is unreachable",
          "connection timed out", "context deadline exceeded", "broken pipe", ": eof"}},
        {HD_PULL_NO_LOGIN,
         {"no basic auth credentials", "unauthorized", "authentication required",
          "incorrect username or password", "denied: ", "403 forbidden"}},
        {HD_PULL_NO_SUCH_IMAGE,
         {"manifest unknown", "not found", "pull access denied", "name unknown", "does not exist",
          "no such image", "invalid reference", "no matching manifest"}},
    };
    for (size_t i = 0; i < HD_COUNT(rows); i++)
        for (size_t k = 0; k < HD_COUNT(rows[i].parts) && rows[i].parts[k] != NULL; k++)
            if (strcasestr(text, rows[i].parts[k]) != NULL)
                return rows[i].trouble;
    return HD_PULL_OTHER;
}

static bool is_pull_trouble(const char *text)
{
    switch (hd_docker_pull_trouble(text)) {
    case HD_PULL_NO_ANSWER:
    case HD_PULL_NO_ROOM:
        return true;
    case HD_PULL_NO_SUCH_IMAGE:
    case HD_PULL_NO_NAME: /* a machine without a network: others may have the image, or one */
    case HD_PULL_NO_LOGIN:
    case HD_PULL_OTHER:
        break;
    }
    return false;
}

static bool is_bad_start(const char *text)
{
    static const char *const parts[] = {
        "executable file not found",
        "unable to find user",
        "unable to find group",
        "no matching entries in passwd",
        "hostname",
        "exec: \"",
        "exec format error",
        "not a directory",
        "no such file or directory",
        "invalid argument",
        "read-only file system",
        "not found",
        "invalid mount",
    };
    return holds_any(text, parts, HD_COUNT(parts));
}

bool hd_docker_is_config_error(enum hd_docker_stage stage, int http_status, const char *text)
{
    if (is_machine_trouble(text))
        return false;
    switch (stage) {
    case HD_DOCKER_PULL:
        return !is_pull_trouble(text);
    case HD_DOCKER_CREATE:
        return http_status == 400 || http_status == 404;
    case HD_DOCKER_START:
        return http_status == 400 || http_status == 404 || is_bad_start(text);
    }
    return false;
}
