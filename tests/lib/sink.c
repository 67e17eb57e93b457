/* SPDX-License-Identifier: Apache-2.0 */
#include "sink.h"

#include "testlib.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define MESSAGES_MAX 1024
#define ANSWERS_MAX 64
#define MESSAGE_BYTES_MAX 262144
#define WAIT_S 60

struct answer {
    int status;
    char body[256];
};

struct sink {
    bool smtp;
    int fd, stop[2];
    uint16_t port;
    pthread_t thread;
    pthread_mutex_t mutex;
    pthread_cond_t changed;
    char *messages[MESSAGES_MAX];
    size_t count;
    struct answer answers[ANSWERS_MAX];
    size_t answer_count, answered;
};

/* ---- one message ----------------------------------------------------------------------------- */

static struct answer next_answer(struct sink *sink)
{
    struct answer answer = {.status = sink->smtp ? 250 : 200, .body = "ok"};
    pthread_mutex_lock(&sink->mutex);
    if (sink->answered < sink->answer_count)
        answer = sink->answers[sink->answered++];
    pthread_mutex_unlock(&sink->mutex);
    return answer;
}

static void keep(struct sink *sink, char *text)
{
    pthread_mutex_lock(&sink->mutex);
    if (sink->count < MESSAGES_MAX)
        sink->messages[sink->count++] = text;
    else
        free(text);
    pthread_cond_broadcast(&sink->changed);
    pthread_mutex_unlock(&sink->mutex);
}

/* false: the sink ends. */
static bool wait_for(struct sink *sink, int fd)
{
    struct pollfd fds[2] = {{.fd = fd, .events = POLLIN}, {.fd = sink->stop[0], .events = POLLIN}};
    while (poll(fds, 2, -1) < 0)
        ;
    return fds[1].revents == 0;
}

static void hold(struct sink *sink)
{
    struct pollfd fd = {.fd = sink->stop[0], .events = POLLIN};
    while (poll(&fd, 1, -1) < 0)
        ;
}

static size_t body_size(const char *head)
{
    for (const char *line = head; line != NULL; line = strchr(line, '\n')) {
        line += *line == '\n' ? 1 : 0;
        if (strncasecmp(line, "content-length:", 15) == 0)
            return (size_t)strtoul(line + 15, NULL, 10);
    }
    return 0;
}

static void serve_http(struct sink *sink, int fd)
{
    char *text = calloc(1, MESSAGE_BYTES_MAX);
    size_t size = 0;
    for (;;) {
        char *end = strstr(text, "\r\n\r\n");
        if (end != NULL && size >= (size_t)(end + 4 - text) + body_size(text))
            break;
        if (!wait_for(sink, fd))
            break;
        ssize_t got = read(fd, text + size, MESSAGE_BYTES_MAX - 1 - size);
        if (got <= 0) {
            free(text);
            return;
        }
        size += (size_t)got;
    }
    struct answer answer = next_answer(sink);
    keep(sink, text);
    if (answer.status < 0)
        hold(sink);
    if (answer.status > 0)
        dprintf(fd, "HTTP/1.1 %d x\r\nContent-Length: %zu\r\nConnection: close\r\n\r\n%s",
                answer.status, strlen(answer.body), answer.body);
}

/* One line of the client at the end of text; false: it is gone. */
static bool read_line(struct sink *sink, int fd, char *text, size_t *size)
{
    for (char c = 0; c != '\n';) {
        if (!wait_for(sink, fd) || read(fd, &c, 1) != 1 || *size + 2 > MESSAGE_BYTES_MAX)
            return false;
        text[(*size)++] = c;
        text[*size] = '\0';
    }
    return true;
}

static void serve_smtp(struct sink *sink, int fd)
{
    char *text = calloc(1, MESSAGE_BYTES_MAX);
    size_t size = 0;
    bool data = false, done = false;
    dprintf(fd, "220 sink\r\n");
    while (!done) {
        size_t from = size;
        if (!read_line(sink, fd, text, &size))
            break;
        const char *line = text + from;
        if (data) {
            if (strcmp(line, ".\r\n") != 0)
                continue;
            data = false;
            struct answer answer = next_answer(sink);
            dprintf(fd, "%d %s\r\n", answer.status, answer.body);
        } else if (strncmp(line, "EHLO", 4) == 0) {
            dprintf(fd, "250-sink\r\n250 AUTH PLAIN\r\n");
        } else if (strncmp(line, "AUTH", 4) == 0) {
            if (strcmp(line, "AUTH PLAIN\r\n") == 0) { /* the secret comes in a line of its own */
                dprintf(fd, "334 \r\n");
                if (!read_line(sink, fd, text, &size))
                    break;
            }
            dprintf(fd, "235 ok\r\n");
        } else if (strncmp(line, "DATA", 4) == 0) {
            data = true;
            dprintf(fd, "354 go on\r\n");
        } else if (strncmp(line, "QUIT", 4) == 0) {
            dprintf(fd, "221 bye\r\n");
            done = true;
        } else {
            dprintf(fd, "250 ok\r\n");
        }
    }
    keep(sink, text);
}

static void *sink_main(void *context)
{
    struct sink *sink = context;
    while (wait_for(sink, sink->fd)) {
        int fd = accept(sink->fd, NULL, NULL);
        if (fd < 0)
            continue;
        if (sink->smtp)
            serve_smtp(sink, fd);
        else
            serve_http(sink, fd);
        close(fd);
    }
    return NULL;
}

/* ---- the whole ------------------------------------------------------------------------------- */

static struct sink *open_sink(bool smtp)
{
    struct sink *sink = calloc(1, sizeof(*sink));
    assert_non_null(sink);
    sink->smtp = smtp;
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof(address);
    sink->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(sink->fd >= 0);
    assert_int_equal(bind(sink->fd, (struct sockaddr *)&address, sizeof(address)), 0);
    assert_int_equal(listen(sink->fd, 16), 0);
    assert_int_equal(getsockname(sink->fd, (struct sockaddr *)&address, &size), 0);
    sink->port = ntohs(address.sin_port);
    assert_int_equal(pipe(sink->stop), 0);
    pthread_mutex_init(&sink->mutex, NULL);
    pthread_cond_init(&sink->changed, NULL);
    assert_int_equal(pthread_create(&sink->thread, NULL, sink_main, sink), 0);
    return sink;
}

struct sink *sink_open_http(void)
{
    return open_sink(false);
}

struct sink *sink_open_smtp(void)
{
    return open_sink(true);
}

uint16_t sink_port(const struct sink *sink)
{
    return sink->port;
}

void sink_answer(struct sink *sink, int status, const char *body)
{
    pthread_mutex_lock(&sink->mutex);
    assert_true(sink->answer_count < ANSWERS_MAX);
    struct answer *answer = &sink->answers[sink->answer_count++];
    answer->status = status;
    assert_true(hd_copy_text(answer->body, sizeof(answer->body), body));
    pthread_mutex_unlock(&sink->mutex);
}

void sink_wait(struct sink *sink, size_t count)
{
    struct timespec until;
    int failed = 0;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += WAIT_S;
    pthread_mutex_lock(&sink->mutex);
    while (sink->count < count && failed == 0)
        failed = pthread_cond_timedwait(&sink->changed, &sink->mutex, &until);
    size_t came = sink->count;
    pthread_mutex_unlock(&sink->mutex);
    if (came < count)
        fail_msg("%zu messages came instead of %zu", came, count);
}

size_t sink_count(struct sink *sink)
{
    pthread_mutex_lock(&sink->mutex);
    size_t count = sink->count;
    pthread_mutex_unlock(&sink->mutex);
    return count;
}

const char *sink_message(struct sink *sink, size_t index)
{
    pthread_mutex_lock(&sink->mutex);
    assert_true(index < sink->count);
    const char *text = sink->messages[index];
    pthread_mutex_unlock(&sink->mutex);
    return text;
}

void sink_close(struct sink *sink)
{
    if (sink == NULL)
        return;
    assert_int_equal(write(sink->stop[1], "x", 1), 1);
    assert_int_equal(pthread_join(sink->thread, NULL), 0);
    close(sink->fd);
    close(sink->stop[0]);
    close(sink->stop[1]);
    for (size_t i = 0; i < sink->count; i++)
        free(sink->messages[i]);
    pthread_cond_destroy(&sink->changed);
    pthread_mutex_destroy(&sink->mutex);
    free(sink);
}
