/* SPDX-License-Identifier: Apache-2.0 */
/* Of the fake engine: its socket: requests read, answers sent, connections cut. One thread accepts,
 * one serves each connection. */
#include "fake_docker_internal.h"

#include "testlib.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define REQUEST_MAX (1u << 20)

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

bool fake_send_answer(int fd, const char *version, int status, const char *type, const char *body,
                      size_t size)
{
    char head[512];
    int length = snprintf(head, sizeof(head),
                          "HTTP/1.1 %d X\r\nApi-Version: %s\r\nContent-Type: %s\r\n"
                          "Content-Length: %zu\r\n\r\n",
                          status, version, type, status == 204 || status == 304 ? 0 : size);
    return send_all(fd, head, (size_t)length) && send_all(fd, body, size);
}

bool fake_send_json(int fd, const struct fake_docker *fake, int status, const char *body)
{
    return fake_send_answer(fd, fake->newest, status, "application/json", body, strlen(body));
}

bool fake_send_stream_head(int fd)
{
    static const char head[] = "HTTP/1.1 200 OK\r\nContent-Type: application/octet-stream\r\n"
                               "Transfer-Encoding: chunked\r\n\r\n";
    return send_all(fd, head, sizeof(head) - 1);
}

bool fake_send_chunk(int fd, const char *bytes, size_t size)
{
    char head[32];
    int length = snprintf(head, sizeof(head), "%zx\r\n", size);
    return send_all(fd, head, (size_t)length) && send_all(fd, bytes, size) &&
           send_all(fd, "\r\n", 2);
}

bool fake_send_message(int fd, const struct fake_docker *fake, int status, const char *text)
{
    char body[1024];
    (void)hd_format(body, sizeof(body), "{\"message\":\"%s\"}", text);
    return fake_send_json(fd, fake, status, body);
}

void fake_query_text(const struct request *request, const char *key, char *text, size_t size)
{
    const char *at = strstr(request->query, key);
    text[0] = '\0';
    if (at != NULL)
        (void)hd_format(text, size, "%.*s", (int)strcspn(at + strlen(key), "&"), at + strlen(key));
}

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
        good = fake_answer(fake, connection->fd, &request);
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

void fake_listen_now(struct fake_docker *fake)
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

void fake_stop_listening(struct fake_docker *fake)
{
    assert_int_equal(write(fake->wake[1], "x", 1), 1);
    pthread_join(fake->acceptor, NULL);
    close(fake->wake[0]);
    close(fake->wake[1]);
    close(fake->listener);
    unlink(fake->path);
}

void fake_cut_connections(struct fake_docker *fake)
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
