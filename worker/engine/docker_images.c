/* SPDX-License-Identifier: Apache-2.0 */
/* docker_images.c: images of the engine, and archives of them; see docker_api.h. */
#include "docker_api_internal.h"

#include <hd/image.h>

#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* The slashes of a name stay; everything else that is not plain is escaped. */
static bool escape_image(const char *image, char *ret_text, size_t text_size)
{
    size_t used = 0;
    while (*image != '\0') {
        char part[512];
        size_t length = strcspn(image, "/");
        if (!hd_format(part, sizeof(part), "%.*s", (int)length, image) ||
            !hd_docker_url_escape(part, ret_text + used, text_size - used))
            return false;
        used += strlen(ret_text + used);
        image += length;
        if (*image == '/') {
            if (used + 2 > text_size)
                return false;
            ret_text[used++] = '/';
            ret_text[used] = '\0';
            image++;
        }
    }
    return used > 0;
}

/* HD_OK: the answer, which the caller releases. */
static enum hd_code look_at_image(struct hd_docker_api *api, const char *image,
                                  struct docker_reply *reply, struct hd_err *err)
{
    char path[HD_DOCKER_URL_MAX], escaped[HD_DOCKER_URL_MAX - 64];
    if (!escape_image(image, escaped, sizeof(escaped)) ||
        !hd_format(path, sizeof(path), "/images/%s/json", escaped))
        return hd_fail(err, HD_E_NOTFOUND, "no image has such a name");
    const struct hd_docker_request request = {.method = "GET", .path = path};
    enum hd_code code = docker_perform(api, &request, reply, err);
    if (code != HD_OK || reply->status == 200)
        return code;
    struct hd_docker_refusal refusal;
    code = docker_refuse(reply, "look at the image", &refusal, err);
    hd_buf_release(&reply->body);
    /* 400: that is no name of an image. Whoever pulls it hears so in words. */
    return code == HD_E_INVALID && hd_docker_pull_trouble(refusal.text) == HD_PULL_NO_SUCH_IMAGE
               ? hd_fail(err, HD_E_NOTFOUND, "%s", refusal.text)
               : code;
}

/* Whatever it answers that we cannot read: it is asked again later. */
static enum hd_code cannot_look(enum hd_code code, struct hd_err *err)
{
    return code == HD_E_INVALID ? hd_fail(err, HD_E_NET, "the engine cannot look at the image")
                                : code;
}

enum hd_code hd_docker_image_id(struct hd_docker_api *api, const char *image, char *ret_id,
                                struct hd_err *err)
{
    struct docker_reply reply;
    enum hd_code code = look_at_image(api, image, &reply, err);
    if (code == HD_OK) {
        code = hd_docker_parse_image_id(hd_buf_text(&reply.body), reply.body.size, ret_id, err);
        hd_buf_release(&reply.body);
    }
    return cannot_look(code, err);
}

enum hd_code hd_docker_image_warm(struct hd_docker_api *api, const char *image, bool *ret_warm,
                                  struct hd_err *err)
{
    struct docker_reply reply;
    enum hd_code code = look_at_image(api, image, &reply, err);
    if (code == HD_OK) {
        code = hd_docker_parse_image_warm(hd_buf_text(&reply.body), reply.body.size, ret_warm, err);
        hd_buf_release(&reply.body);
    }
    return cannot_look(code, err);
}

enum hd_code hd_docker_image_words(struct hd_docker_api *api, const char *image, char *const *argv,
                                   struct hd_arena *arena, char *const **ret_words,
                                   struct hd_err *err)
{
    struct docker_reply reply;
    enum hd_code code = look_at_image(api, image, &reply, err);
    if (code != HD_OK)
        return code;
    code = hd_docker_parse_image_words(hd_buf_text(&reply.body), reply.body.size, argv, arena,
                                       ret_words, err);
    hd_buf_release(&reply.body);
    return code;
}

static void feed_pull(void *context, const char *bytes, size_t size)
{
    hd_docker_pull_feed(context, bytes, size);
}

enum hd_code hd_docker_pull(struct hd_docker_api *api, const char *image, const char *registry_auth,
                            int64_t stall_ms, struct hd_docker_pull_stream *stream,
                            struct hd_docker_refusal *refusal, struct hd_err *err)
{
    char repository[512], tag[256], path[HD_DOCKER_URL_MAX];
    char escaped_repository[1024], escaped_tag[768];
    if (!hd_docker_split_image(image, repository, sizeof(repository), tag, sizeof(tag)) ||
        !hd_docker_url_escape(repository, escaped_repository, sizeof(escaped_repository)) ||
        !hd_docker_url_escape(tag, escaped_tag, sizeof(escaped_tag)) ||
        !hd_format(path, sizeof(path), "/images/create?fromImage=%s&tag=%s", escaped_repository,
                   escaped_tag)) {
        *refusal = (struct hd_docker_refusal){.status = 400, .text = "not a name of an image"};
        return hd_fail(err, HD_E_INVALID, "%s: not a name of an image", image);
    }
    const struct hd_docker_request request = {.method = "POST",
                                              .path = path,
                                              .stream = true,
                                              .stall_ms = stall_ms,
                                              .registry_auth = registry_auth,
                                              .sink = feed_pull,
                                              .sink_context = stream};
    struct docker_reply reply;
    enum hd_code code = docker_perform(api, &request, &reply, err);
    if (code != HD_OK)
        return code;
    hd_docker_pull_end(stream);
    if (reply.status != 200) {
        (void)docker_refuse(&reply, "pull the image", refusal, err);
        code = HD_E_INVALID;
    } else if (stream->error[0] != '\0') {
        refusal->status = 0;
        memcpy(refusal->text, stream->error, sizeof(refusal->text));
        code = hd_fail(err, HD_E_INVALID, "%s", stream->error);
    }
    hd_buf_release(&reply.body);
    return code;
}

/* ---- archives of images ---------------------------------------------------------------------- */

/* Sends a file and reads the lines that come back. */
static enum hd_code send_archive(struct hd_docker_api *api, const char *path, const char *what,
                                 int fd, int64_t stall_ms, struct hd_docker_pull_stream *stream,
                                 struct hd_err *err)
{
    struct docker_reply reply;
    struct stat status;
    if (fstat(fd, &status) != 0 || lseek(fd, 0, SEEK_SET) != 0)
        return hd_fail(err, HD_E_IO, "an archive cannot be read again: %s", strerror(errno));
    const struct hd_docker_request request = {.method = "POST",
                                              .path = path,
                                              .body_fd = fd,
                                              .body_fd_size = (uint64_t)status.st_size,
                                              .content_type = "application/x-tar",
                                              .stream = true,
                                              .stall_ms = stall_ms,
                                              .sink = feed_pull,
                                              .sink_context = stream};
    enum hd_code code = docker_perform(api, &request, &reply, err);
    if (code != HD_OK)
        return code;
    hd_docker_pull_end(stream);
    if (reply.status != 200) {
        (void)docker_refuse(&reply, what, NULL, err);
        code = HD_E_INVALID;
    } else if (stream->error[0] != '\0') {
        code = hd_fail(err, HD_E_INVALID, "%s%s%s", stream->error,
                       stream->last[0] != '\0' ? "; after: " : "", stream->last);
    }
    hd_buf_release(&reply.body);
    return code;
}

enum hd_code hd_docker_build(struct hd_docker_api *api, const char *image, const char *dockerfile,
                             int fd, struct hd_docker_pull_stream *stream, struct hd_err *err)
{
    char path[HD_DOCKER_URL_MAX], name[HD_DOCKER_URL_MAX / 4], file[HD_DOCKER_URL_MAX / 2];
    if (!hd_docker_url_escape(image, name, sizeof(name)) ||
        !hd_docker_url_escape(dockerfile, file, sizeof(file)) ||
        !hd_format(path, sizeof(path), "/build?t=%s&dockerfile=%s&rm=1&forcerm=1", name, file))
        return hd_fail(err, HD_E_LIMIT, "the name of the Dockerfile is too long");
    return send_archive(api, path, "build the image", fd, 0, stream, err);
}

enum hd_code hd_docker_load(struct hd_docker_api *api, int fd, int64_t stall_ms,
                            struct hd_docker_pull_stream *stream, struct hd_err *err)
{
    return send_archive(api, "/images/load?quiet=0", "load the image", fd, stall_ms, stream, err);
}

enum hd_code hd_docker_tag(struct hd_docker_api *api, const char *id, const char *repository,
                           const char *tag, struct hd_err *err)
{
    char path[HD_DOCKER_URL_MAX];
    struct docker_reply reply;
    (void)hd_format(path, sizeof(path), "/images/%s/tag?repo=%s&tag=%s", id, repository, tag);
    const struct hd_docker_request request = {.method = "POST", .path = path};
    enum hd_code code = docker_perform(api, &request, &reply, err);
    if (code != HD_OK)
        return code;
    if (reply.status != 201)
        code = docker_refuse(&reply, "name the image", NULL, err);
    hd_buf_release(&reply.body);
    return code;
}

struct saving {
    int fd;
    uint64_t bytes;
    int failed; /* errno; -1: too long */
};

static void save_piece(void *context, const char *bytes, size_t size)
{
    struct saving *saving = context;
    saving->bytes += size;
    if (saving->bytes > HD_IMAGE_BYTES_MAX)
        saving->failed = -1;
    while (saving->failed == 0 && size > 0) {
        ssize_t count = write(saving->fd, bytes, size);
        if (count < 0 && errno != EINTR)
            saving->failed = errno;
        if (count <= 0)
            continue;
        bytes += count;
        size -= (size_t)count;
    }
}

enum hd_code hd_docker_save(struct hd_docker_api *api, const char *image, int fd, int64_t stall_ms,
                            struct hd_err *err)
{
    char path[HD_DOCKER_URL_MAX], escaped[HD_DOCKER_URL_MAX - 64];
    struct saving saving = {.fd = fd};
    struct docker_reply reply;
    if (!escape_image(image, escaped, sizeof(escaped)) ||
        !hd_format(path, sizeof(path), "/images/%s/get", escaped))
        return hd_fail(err, HD_E_NOTFOUND, "no image has such a name");
    const struct hd_docker_request request = {.method = "GET",
                                              .path = path,
                                              .stream = true,
                                              .stall_ms = stall_ms,
                                              .sink = save_piece,
                                              .sink_context = &saving};
    enum hd_code code = docker_perform(api, &request, &reply, err);
    if (code != HD_OK)
        return code;
    if (reply.status != 200)
        code = docker_refuse(&reply, "save the image", NULL, err);
    else if (saving.failed < 0)
        code = hd_fail(err, HD_E_LIMIT, "%s is larger than %llu bytes", image,
                       (unsigned long long)HD_IMAGE_BYTES_MAX);
    else if (saving.failed > 0)
        code = hd_fail(err, saving.failed == ENOSPC ? HD_E_FULL : HD_E_IO,
                       "an image cannot be written: %s", strerror(saving.failed));
    hd_buf_release(&reply.body);
    return code;
}
