/* SPDX-License-Identifier: Apache-2.0 */
/* docker_image.c: images that are built here, saved into a file and loaded from one; see
 * hd/image.h and docker_api.h. */
#include "context.h"
#include "docker_api.h"
#include "registry.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define TEMPORARY "/hyperdock-build.XXXXXX"
#define STALL_MS 120000
#define PATH_SIZE 4096

static bool never(void *context)
{
    (void)context;
    return false;
}

struct connection {
    struct hd_docker_endpoint endpoint;
    struct hd_docker_api api;
};

static enum hd_code connect_to(struct connection *connection, const char *host,
                               bool (*interrupted)(void *context), void *context,
                               struct hd_err *err)
{
    connection->api =
        (struct hd_docker_api){.endpoint = &connection->endpoint,
                               .interrupted = interrupted != NULL ? interrupted : never,
                               .context = context};
    enum hd_code code = hd_docker_endpoint_init(&connection->endpoint, host, err);
    if (code == HD_OK)
        code = hd_docker_http_new(&connection->endpoint, &connection->api.http, err);
    return code == HD_OK ? hd_docker_negotiate(&connection->api, err) : code;
}

static void disconnect(struct connection *connection)
{
    hd_docker_http_free(connection->api.http);
    connection->api.http = NULL;
}

/* Docker as its own client would find it; where that does not answer, or does not have what is
 * looked for, Podman. HD_E_NOTFOUND: connected, to the first that answers, which does not have it.
 */
static enum hd_code find_image(struct connection *connection, const char *image, char *ret_id,
                               bool (*interrupted)(void *context), void *context,
                               struct hd_err *err)
{
    char podman[HD_DOCKER_URL_MAX];
    struct hd_err ignored;
    enum hd_code code = connect_to(connection, NULL, interrupted, context, err);
    bool docker = code == HD_OK;
    if (docker)
        code = hd_docker_image_id(&connection->api, image, ret_id, err);
    if ((docker && code != HD_E_NOTFOUND) ||
        hd_podman_host(podman, sizeof(podman), &ignored) != HD_OK)
        return code;
    struct connection other = {.api = {.http = NULL}};
    enum hd_code second = connect_to(&other, podman, interrupted, context, &ignored);
    if (second == HD_OK)
        second = hd_docker_image_id(&other.api, image, ret_id, &ignored);
    bool takes = second == HD_OK || (second == HD_E_NOTFOUND && !docker);
    disconnect(&other);
    if (!takes)
        return code;
    disconnect(connection);
    code = connect_to(connection, podman, interrupted, context, err);
    return code == HD_OK ? hd_docker_image_id(&connection->api, image, ret_id, err) : code;
}

/* ---- pulling --------------------------------------------------------------------------------- */

enum hd_code hd_docker_pull_once(struct hd_docker_api *api, const char *image,
                                 struct hd_docker_refusal *refusal, struct hd_err *err)
{
    struct hd_docker_pull_stream *stream = hd_calloc(1, sizeof(*stream));
    struct hd_buf login;
    if (stream == NULL)
        return hd_fail(err, HD_E_NOMEM, "no memory for pulling an image");
    hd_buf_init(&login, HD_REGISTRY_HEADER_BYTES_MAX);
    if (hd_docker_login(image, &login, err) != HD_OK)
        hd_buf_clear(&login);
    enum hd_code code = hd_docker_pull(api, image, login.size > 0 ? hd_buf_text(&login) : NULL,
                                       STALL_MS, stream, refusal, err);
    if (login.data != NULL)
        explicit_bzero(login.data, login.size);
    hd_buf_release(&login);
    hd_free(stream);
    return code;
}

/* ---- building -------------------------------------------------------------------------------- */

/* A file without a name: nothing is left behind, however we end. */
static enum hd_code open_temporary(int *ret_fd, struct hd_err *err)
{
    char path[PATH_SIZE];
    const char *directory = getenv("TMPDIR");
    if (directory == NULL || directory[0] != '/')
        directory = "/tmp";
    if (!hd_format(path, sizeof(path), "%s" TEMPORARY, directory))
        return hd_fail(err, HD_E_LIMIT, "TMPDIR is too long");
    int fd = mkostemp(path, O_CLOEXEC);
    if (fd < 0)
        return hd_fail(err, HD_E_IO, "%s: %s", path, strerror(errno));
    (void)unlink(path);
    *ret_fd = fd;
    return HD_OK;
}

static enum hd_code directory_of(const struct hd_target *target, char **ret_path,
                                 struct hd_err *err)
{
    const char *base = target->base_dir;
    return hd_path_absolute(base != NULL && base[0] != '\0' ? base : NULL, target->build, ret_path,
                            err);
}

/* What is sent is what the image is named by: a file that changed in between is told. */
static enum hd_code send_context(struct hd_docker_api *api, const struct hd_target *target,
                                 const char *directory, struct hd_docker_pull_stream *stream,
                                 struct hd_err *err)
{
    char wanted[HD_IMAGE_NAME_MAX];
    uint64_t hash = 0;
    int fd = -1;
    enum hd_code code = open_temporary(&fd, err);
    if (code == HD_OK)
        code = hd_context_read(directory, target->dockerfile, fd, &hash, err);
    hd_image_built_name(hash, wanted);
    if (code == HD_OK && !hd_streq(wanted, target->image))
        code =
            hd_fail(err, HD_E_CONFLICT,
                    "%s is not what it was when the experiment was read: start again", directory);
    if (code == HD_OK)
        code = hd_docker_build(api, target->image, target->dockerfile, fd, stream, err);
    if (fd >= 0)
        close(fd);
    return code;
}

static enum hd_code build(struct hd_docker_api *api, const struct hd_target *target,
                          void (*say)(void *context, const char *line), void *context,
                          struct hd_err *err)
{
    char *directory = NULL;
    struct hd_docker_pull_stream *stream = hd_calloc(1, sizeof(*stream));
    enum hd_code code = stream != NULL ? directory_of(target, &directory, err)
                                       : hd_fail(err, HD_E_NOMEM, "no memory for a build");
    if (code == HD_OK) {
        stream->say = say;
        stream->say_context = context;
        code = send_context(api, target, directory, stream, err);
    }
    if (code == HD_E_INVALID)
        code = hd_fail_in(err, "%s cannot be built", directory);
    hd_free(directory);
    hd_free(stream);
    return code;
}

enum hd_code hd_image_ensure(const struct hd_target *target,
                             void (*say)(void *context, const char *line), void *context,
                             struct hd_err *err)
{
    struct connection connection = {.api = {.http = NULL}};
    char id[HD_IMAGE_ID_MAX];
    hd_assert(target->build != NULL && target->image != NULL);
    enum hd_code code = find_image(&connection, target->image, id, NULL, NULL, err);
    if (code == HD_E_NOTFOUND)
        code = build(&connection.api, target, say, context, err);
    disconnect(&connection);
    return code;
}

/* ---- saving ---------------------------------------------------------------------------------- */

static enum hd_code save_into(struct hd_docker_api *api, const char *image, const char *path,
                              struct hd_err *err)
{
    char part[PATH_SIZE];
    if (!hd_format(part, sizeof(part), "%s.part", path))
        return hd_fail(err, HD_E_LIMIT, "the path %s is too long", path);
    int fd = open(part, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd < 0)
        return hd_fail(err, HD_E_IO, "%s: %s", part, strerror(errno));
    enum hd_code code = hd_docker_save(api, image, fd, STALL_MS, err);
    if (close(fd) != 0 && code == HD_OK)
        code = hd_fail(err, HD_E_IO, "%s: %s", part, strerror(errno));
    if (code == HD_OK && rename(part, path) != 0)
        code = hd_fail(err, HD_E_IO, "%s: %s", path, strerror(errno));
    if (code != HD_OK)
        (void)unlink(part);
    return code;
}

enum hd_code hd_image_save(const char *image, const char *path, char *ret_id,
                           bool (*interrupted)(void *context), void *context, struct hd_err *err)
{
    struct connection connection = {.api = {.http = NULL}};
    enum hd_code code = find_image(&connection, image, ret_id, interrupted, context, err);
    if (code == HD_OK)
        code = save_into(&connection.api, image, path, err);
    disconnect(&connection);
    return code;
}
