/* SPDX-License-Identifier: Apache-2.0 */
/* real_docker.c: see real_docker.h. */
#include "real_docker.h"

#include "docker_api.h"

#include <hd/os.h>

#include <stdio.h>
#include <string.h>

#define PROGRAM_BYTES_MAX (64u * 1024u * 1024u)
#define BLOCK 512

static bool never(void *context)
{
    (void)context;
    return false;
}

static enum hd_code open_api(struct hd_docker_endpoint *endpoint, struct hd_docker_api *api,
                             struct hd_err *err)
{
    *api = (struct hd_docker_api){.endpoint = endpoint, .interrupted = never};
    enum hd_code code = hd_docker_endpoint_init(endpoint, NULL, err);
    if (code == HD_OK)
        code = hd_docker_http_new(endpoint, &api->http, err);
    return code == HD_OK ? hd_docker_negotiate(api, err) : code;
}

bool real_docker_answers(void)
{
    struct hd_docker_endpoint endpoint;
    struct hd_docker_api api;
    struct hd_err err;
    bool answers = open_api(&endpoint, &api, &err) == HD_OK;
    hd_docker_http_free(api.http);
    return answers;
}

/* One regular file in the POSIX ustar format. */
static enum hd_code make_tar(const char *program, struct hd_buf *out, struct hd_err *err)
{
    struct hd_buf bytes;
    char head[BLOCK] = "target";
    static const char zeros[3 * BLOCK];
    unsigned sum = 0;
    hd_buf_init(&bytes, PROGRAM_BYTES_MAX);
    enum hd_code code = hd_file_read(program, PROGRAM_BYTES_MAX, false, &bytes, err);
    snprintf(head + 100, 8, "0000755");
    snprintf(head + 108, 8, "0000000");
    snprintf(head + 116, 8, "0000000");
    snprintf(head + 124, 12, "%011zo", bytes.size);
    snprintf(head + 136, 12, "%011o", 0);
    memset(head + 148, ' ', 8);
    head[156] = '0';
    memcpy(head + 257,
           "ustar\0"
           "00",
           8);
    for (size_t i = 0; i < BLOCK; i++)
        sum += (unsigned char)head[i];
    snprintf(head + 148, 8, "%06o", sum);
    size_t padding = (BLOCK - bytes.size % BLOCK) % BLOCK + 2 * BLOCK;
    if (code == HD_OK)
        code = hd_buf_append(out, head, BLOCK, err);
    if (code == HD_OK)
        code = hd_buf_append(out, bytes.data, bytes.size, err);
    if (code == HD_OK)
        code = hd_buf_append(out, zeros, padding, err);
    hd_buf_release(&bytes);
    return code;
}

static enum hd_code request(const char *method, const char *path, const struct hd_buf *body,
                            int wanted, struct hd_err *err)
{
    struct hd_docker_endpoint endpoint;
    struct hd_docker_api api;
    struct hd_docker_call *call = NULL;
    const struct hd_docker_request question = {.method = method,
                                               .path = path,
                                               .body = body != NULL ? body->data : NULL,
                                               .body_size = body != NULL ? body->size : 0,
                                               .content_type = "application/x-tar"};
    enum hd_code code = open_api(&endpoint, &api, err);
    if (code == HD_OK)
        code = hd_docker_call_begin(api.http, &question, &call, err);
    while (code == HD_OK && !call->done)
        hd_docker_http_pump(api.http, 1000);
    if (code == HD_OK && (call->code != HD_OK || call->status != wanted))
        code = hd_fail(err, HD_E_NET, "%s %s: %d %s%s", method, path, call->status, call->error,
                       hd_buf_text(&call->body));
    hd_docker_call_end(api.http, call);
    hd_docker_http_free(api.http);
    return code;
}

enum hd_code real_docker_import_with(const char *program, const char *repository, const char *tag,
                                     const char *changes, struct hd_err *err)
{
    struct hd_buf tar;
    char path[512];
    hd_buf_init(&tar, PROGRAM_BYTES_MAX + 8 * BLOCK);
    /* Podman takes the tag from here only. */
    (void)hd_format(path, sizeof(path), "/images/create?fromSrc=-&repo=%s%%3A%s%s", repository, tag,
                    changes);
    enum hd_code code = make_tar(program, &tar, err);
    if (code == HD_OK)
        code = request("POST", path, &tar, 200, err);
    hd_buf_release(&tar);
    return code;
}

enum hd_code real_docker_import(const char *program, const char *repository, const char *tag,
                                bool entry_point, struct hd_err *err)
{
    return real_docker_import_with(program, repository, tag,
                                   entry_point ? "&changes=ENTRYPOINT%20%5B%22%2Ftarget%22%5D" : "",
                                   err);
}

void real_docker_remove_image(const char *repository, const char *tag)
{
    char path[512];
    struct hd_err err;
    (void)hd_format(path, sizeof(path), "/images/%s:%s?force=1", repository, tag);
    /* What cannot be removed is left: the test has passed or failed already. */
    (void)!request("DELETE", path, NULL, 200, &err);
}

enum hd_code real_docker_kill(const char *name, struct hd_err *err)
{
    char path[512];
    (void)hd_format(path, sizeof(path), "/containers/%s/kill?signal=SIGKILL", name);
    return request("POST", path, NULL, 204, err);
}
