/* SPDX-License-Identifier: Apache-2.0 */
/* Of the fake engine: images, networks and archives of files. */
#include "fake_docker_internal.h"

#include <stdlib.h>
#include <string.h>

const char *fake_image_user(const struct fake_docker *fake, const char *name)
{
    char tagged[256];
    (void)hd_format(tagged, sizeof(tagged), "%s%s", name,
                    strchr(name, ':') == NULL ? ":latest" : "");
    for (size_t i = 0; i < fake->image_count; i++)
        if (strcmp(fake->images[i].name, tagged) == 0)
            return fake->images[i].user;
    return NULL;
}

/* Hex digits of its name: the same image whenever it is asked for. */
void fake_image_id(const char *name, char ret_id[80])
{
    uint64_t hash = hd_hash_text(HD_HASH_INIT, name);
    (void)hd_format(ret_id, 80, "sha256:%016llx", (unsigned long long)hash);
}

bool fake_answer_image(struct fake_docker *fake, int fd, const char *name)
{
    char id[80];
    char body[512];
    const char *user = fake_image_user(fake, name);
    if (user == NULL) {
        (void)hd_format(body, sizeof(body), "No such image: %s", name);
        return fake_send_message(fd, fake, 404, body);
    }
    fake_image_id(name, id);
    (void)hd_format(body, sizeof(body),
                    "{\"Id\":\"%s\",\"Config\":{\"User\":\"%s\",\"Entrypoint\":null,"
                    "\"Cmd\":[\"/own\"],\"Labels\":%s}}",
                    id, user, fake->image_labels[0] != '\0' ? fake->image_labels : "null");
    return fake_send_json(fd, fake, 200, body);
}

bool fake_answer_pull(struct fake_docker *fake, int fd, const struct request *request)
{
    char from[128], tag[128];
    fake_query_text(request, "fromImage=", from, sizeof(from));
    fake_query_text(request, "tag=", tag, sizeof(tag));
    hd_assert(tag[0] != '\0'); /* an empty tag pulls everything */
    if (fake->hang_pulls) {
        unsigned generation = fake->generation;
        bool sent = fake_send_stream_head(fd);
        while (sent && fake_wait_change(fake, generation))
            ;
        return false;
    }
    if (!fake->pulls)
        return fake_send_message(fd, fake, 500,
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
    return fake_send_stream_head(fd) && fake_send_chunk(fd, text, sizeof(text) - 1) &&
           fake_send_chunk(fd, "", 0);
}

static void add_image(struct fake_docker *fake, const char *name)
{
    hd_assert(fake->image_count < IMAGES_MAX);
    (void)hd_format(fake->images[fake->image_count].name, 128, "%s", name);
    fake->images[fake->image_count++].user[0] = '\0';
}

static bool answer_lines(int fd, const char *text)
{
    return fake_send_stream_head(fd) && fake_send_chunk(fd, text, strlen(text)) &&
           fake_send_chunk(fd, "", 0);
}

bool fake_answer_build(struct fake_docker *fake, int fd, const struct request *request)
{
    char name[128];
    fake_query_text(request, "t=", name, sizeof(name));
    hd_assert(request->body_size >= 1024 && request->body_size % 512 == 0); /* a tar archive */
    add_image(fake, name);
    return answer_lines(fd, "{\"stream\":\"Step 1/2 : FROM scratch\\n\"}\r\n"
                            "{\"stream\":\"Successfully built\\n\"}\r\n");
}

bool fake_answer_load(struct fake_docker *fake, int fd, const struct request *request)
{
    char name[128];
    (void)hd_format(name, sizeof(name), "%.*s", (int)request->body_size, request->body);
    add_image(fake, name);
    return answer_lines(fd, "{\"stream\":\"Loaded image\\n\"}\r\n");
}

bool fake_answer_save(struct fake_docker *fake, int fd, const char *name)
{
    if (fake_image_user(fake, name) == NULL)
        return fake_send_message(fd, fake, 404, "No such image");
    return fake_send_answer(fd, fake->newest, 200, "application/x-tar", name, strlen(name));
}

struct network *fake_find_network(struct fake_docker *fake, const char *id_or_name)
{
    for (size_t i = 0; i < NETWORKS_MAX; i++) {
        struct network *n = &fake->networks[i];
        if (n->used && (strcmp(n->id, id_or_name) == 0 || strcmp(n->name, id_or_name) == 0))
            return n;
    }
    return NULL;
}

/* The engine's own are always there. */
bool fake_has_network(struct fake_docker *fake, const char *name)
{
    return fake_find_network(fake, name) != NULL || hd_streq(name, "bridge") ||
           hd_streq(name, "host") || hd_streq(name, "none");
}

bool fake_answer_make_network(struct fake_docker *fake, int fd, const struct request *request)
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
        return fake_send_message(fd, fake, 500, "invalid character in the body");
    struct network *n = &fake->networks[place];
    const struct hd_value *name = hd_value_get(value, "Name");
    if (name == NULL || fake_find_network(fake, name->as.string) != NULL) {
        hd_value_free(value);
        return fake_send_message(fd, fake, 409, "network with that name already exists");
    }
    *n = (struct network){.used = true, .body = value};
    (void)hd_format(n->name, sizeof(n->name), "%s", name->as.string);
    (void)hd_format(n->id, sizeof(n->id), "%064x", ++fake->made);
    (void)hd_format(text, sizeof(text), "{\"Id\":\"%s\"}", n->id);
    pthread_cond_broadcast(&fake->changed);
    return fake_send_json(fd, fake, 201, text);
}

bool fake_answer_list_networks(struct fake_docker *fake, int fd, const struct request *request)
{
    struct hd_buf body;
    struct hd_err err;
    hd_buf_init(&body, 65536);
    enum hd_code code = hd_buf_puts(&body, "[", &err);
    for (size_t i = 0; i < NETWORKS_MAX && code == HD_OK; i++) {
        const struct network *n = &fake->networks[i];
        if (n->used && fake_passes(request, n->body))
            code = hd_buf_printf(&body, &err, "%s{\"Id\":\"%s\",\"Name\":\"%s\"}",
                                 body.size > 1 ? "," : "", n->id, n->name);
    }
    if (code == HD_OK)
        code = hd_buf_puts(&body, "]", &err);
    hd_assert(code == HD_OK);
    bool sent = fake_send_json(fd, fake, 200, hd_buf_text(&body));
    hd_buf_release(&body);
    return sent;
}

/* What runs in it keeps it. */
bool fake_answer_remove_network(struct fake_docker *fake, int fd, const char *id)
{
    struct network *n = fake_find_network(fake, id);
    if (n == NULL)
        return fake_send_message(fd, fake, 404, "network not found");
    for (size_t i = 0; i < CONTAINERS_MAX; i++) {
        const struct container *c = &fake->containers[i];
        const struct hd_value *mode =
            hd_value_get(hd_value_get(c->body, "HostConfig"), "NetworkMode");
        if (c->used && c->state == STATE_RUNNING && mode != NULL &&
            hd_streq(mode->as.string, n->name))
            return fake_send_message(fd, fake, 403,
                                     "error while removing network: network has active "
                                     "endpoints");
    }
    hd_value_free(n->body);
    *n = (struct network){.used = false};
    pthread_cond_broadcast(&fake->changed);
    return fake_send_json(fd, fake, 204, "");
}

/* A root that may only be read takes nothing, whatever is mounted below it. */
bool fake_answer_put_files(struct fake_docker *fake, int fd, const struct request *request,
                           const char *id)
{
    const struct container *c = fake_find(fake, id);
    if (c == NULL)
        return fake_send_message(fd, fake, 404, "No such container");
    fake_query_text(request, "path=", fake->put_where, sizeof(fake->put_where));
    const struct hd_value *host = hd_value_get(c->body, "HostConfig");
    const struct hd_value *read_only = hd_value_get(host, "ReadonlyRootfs");
    if (read_only != NULL && read_only->as.boolean && strcmp(fake->put_where, "/") == 0)
        return fake_send_message(fd, fake, 400, "container rootfs is marked read-only");
    free(fake->put);
    fake->put = malloc(request->body_size + 1);
    hd_assert(fake->put != NULL);
    memcpy(fake->put, request->body, request->body_size);
    fake->put_size = request->body_size;
    return fake_send_json(fd, fake, 200, "");
}

bool fake_answer_get_files(struct fake_docker *fake, int fd, const struct request *request,
                           const char *id)
{
    char where[256];
    fake_query_text(request, "path=", where, sizeof(where));
    if (fake_find(fake, id) == NULL)
        return fake_send_message(fd, fake, 404, "No such container");
    if (fake->files == NULL || strcmp(where, "/hyperdock") != 0)
        return fake_send_message(fd, fake, 404, "Could not find the file in container");
    return fake_send_answer(fd, fake->newest, 200, "application/x-tar", fake->files,
                            fake->files_size);
}
