/* SPDX-License-Identifier: Apache-2.0 */
/* service.c: one thread takes requests from the queue, steps the registry and answers. */
#include "service.h"

#include <errno.h>
#include <hd/message.h>
#include <hd/registry.h>
#include <poll.h>
#include <string.h>

#define NEWS_MAX 1024
#define REQUEST_BYTES_MAX                                                                          \
    65536                    /* a master with HD_NS_RUNS_PER_MASTER_MAX runs takes about 5000      \
                              */
#define CREDENTIALS_MAX 4096 /* runs with a credentials file at a time */
#define POLL_MS_MAX 60000
#define RENEW_AGAIN_MS 5000

struct hd_service {
    struct hd_service_settings settings;
    char nameserver[HD_ADDRESS_MAX]; /* what credentials files say */
    struct hd_queue *queue;
    struct hd_net_server *server;
    struct hd_registry *registry;
    struct hd_arena *arena;
    struct hd_buf out;
    char (*credentials)[HD_ID_MAX + 1]; /* run ids with a file */
    size_t credentials_count;
    struct hd_log_gate complaints; /* a stranger must not fill the log */
    uint64_t token_generation;     /* of the token in the credentials files */
    int64_t renew_next_ms;         /* after a failure, not before */
    struct hd_ns_request request;
    struct hd_ns_reply reply;
};

/* ---- credentials ------------------------------------------------------------------------------
 */

static bool has_credentials(const struct hd_service *service, const char *run_id)
{
    for (size_t i = 0; i < service->credentials_count; i++)
        if (hd_streq(service->credentials[i], run_id))
            return true;
    return false;
}

static void write_credentials(struct hd_service *service, const char *run_id)
{
    const char *directory = service->settings.credentials_dir;
    struct hd_err err;
    if (has_credentials(service, run_id))
        return;
    if (service->credentials_count == CREDENTIALS_MAX) {
        hd_log(HD_LOG_WARNING, "no credentials file for run %s: there are %d already", run_id,
               CREDENTIALS_MAX);
        return;
    }
    char token[HD_OS_TOKEN_SIZE];
    (void)hd_keyring_own(service->settings.keyring, token);
    if (hd_credentials_write(directory, run_id, service->nameserver, token, &err) != HD_OK) {
        hd_log(HD_LOG_WARNING, "credentials of run %s: %s", run_id, err.text);
        return;
    }
    (void)hd_copy_text(service->credentials[service->credentials_count++], HD_ID_MAX + 1, run_id);
    hd_log(HD_LOG_INFO, "wrote the credentials of run %s into %s", run_id, directory);
}

/* The token in the files has been rotated. A file that could not be written is tried again, all of
 * them then: the token counts as told when every one holds it. */
static void renew_credentials(struct hd_service *service)
{
    char token[HD_OS_TOKEN_SIZE];
    struct hd_err err;
    uint64_t generation = hd_keyring_own(service->settings.keyring, token);
    int64_t now_ms = hd_clock_ms();
    bool good = true;
    if (generation == service->token_generation || now_ms < service->renew_next_ms)
        return;
    for (size_t i = 0; i < service->credentials_count; i++)
        if (hd_credentials_write(service->settings.credentials_dir, service->credentials[i],
                                 service->nameserver, token, &err) != HD_OK) {
            good = false;
            hd_log_gated(&service->complaints, HD_LOG_WARNING, "credentials of run %s: %s",
                         service->credentials[i], err.text);
        }
    if (good)
        service->token_generation = generation;
    else
        service->renew_next_ms = now_ms + RENEW_AGAIN_MS;
}

static void after_register(struct hd_service *service)
{
    const struct hd_ns_entry *entry = &service->request.entry;
    if (service->settings.credentials_dir == NULL || service->request.kind != HD_NS_REGISTER ||
        service->reply.code != HD_OK || entry->role != HD_NS_MASTER)
        return;
    for (size_t i = 0; i < entry->run_count; i++)
        write_credentials(service, entry->runs[i]);
}

/* ---- answering --------------------------------------------------------------------------------
 */

static void refuse(struct hd_service *service, enum hd_code code, const char *text)
{
    service->reply.code = code;
    service->reply.entry_count = 0;
    service->reply.more = false;
    (void)hd_copy_text(service->reply.text, sizeof(service->reply.text), text);
    hd_log_gated(&service->complaints, HD_LOG_WARNING, "refused a request: %s", text);
}

/* What a token must allow; looking up is for everybody who has one. */
static unsigned role_of(const struct hd_ns_request *request)
{
    switch (request->kind) {
    case HD_NS_REGISTER:
    case HD_NS_UNREGISTER:
        return request->entry.role == HD_NS_MASTER ? HD_ROLE_MASTER : HD_ROLE_WORKER;
    case HD_NS_LOOKUP:
        return HD_ROLE_ALL;
    case HD_NS_LIST:
        return HD_ROLE_READER;
    case HD_NS_KIND_COUNT:
        break;
    }
    return 0;
}

/* HD_OK when it may. */
static enum hd_code check_token(struct hd_service *service, struct hd_err *err)
{
    unsigned roles = hd_keyring_roles(service->settings.keyring, service->request.token);
    if ((roles & role_of(&service->request)) != 0)
        return HD_OK;
    if (roles != 0)
        return hd_fail(err, HD_E_AUTH, "a token of the role \"%s\" may not do this",
                       hd_role_name(roles));
    return hd_fail(err, HD_E_AUTH,
                   "wrong token: use the token file with which the nameserver was started");
}

static void answer(struct hd_service *service, const struct hd_net_news *news)
{
    struct hd_err err;
    char note[HD_REASON_MAX] = "";
    if (hd_ns_request_decode(news->bytes, news->size, service->arena, &service->request, &err) !=
        HD_OK) {
        refuse(service, err.code, err.text);
    } else if (check_token(service, &err) != HD_OK) {
        refuse(service, HD_E_AUTH, err.text);
    } else {
        hd_registry_step(service->registry, hd_clock_ms(), &service->request, &service->reply,
                         note);
        after_register(service);
    }
    if (note[0] != '\0')
        hd_log(HD_LOG_INFO, "%s", note);
    if (service->reply.code != HD_OK)
        hd_log(HD_LOG_DEBUG, "answered: %s", service->reply.text);
    hd_buf_clear(&service->out);
    if (hd_ns_reply_encode(&service->reply, &service->out, &err) != HD_OK) {
        hd_log(HD_LOG_ERROR, "cannot answer: %s", err.text);
        hd_net_forget(service->server, news->address);
        return;
    }
    hd_net_reply(service->server, news->address, service->out.data, service->out.size);
}

/* A fresh arena a message: what one request decoded does not stay. */
static void answer_one(struct hd_service *service, struct hd_net_news *news)
{
    if (news->kind == HD_NET_MESSAGE) {
        if (hd_arena_new(HD_WIRE_ARENA_BYTES_MAX, &service->arena, NULL) == HD_OK)
            answer(service, news);
        else
            hd_net_forget(service->server, news->address);
        hd_arena_free(service->arena);
        service->arena = NULL;
    }
    hd_net_news_free(news);
}

enum hd_code hd_service_run(struct hd_service *service, int stop_fd, struct hd_err *err)
{
    struct pollfd pollers[2] = {{.fd = hd_queue_fd(service->queue), .events = POLLIN},
                                {.fd = stop_fd, .events = POLLIN}};
    for (;;) {
        int64_t now_ms = hd_clock_ms();
        int64_t next_ms = hd_registry_expire(service->registry, now_ms);
        int64_t wait_ms = next_ms == HD_NEVER_MS ? POLL_MS_MAX : next_ms - now_ms;
        if (wait_ms > POLL_MS_MAX)
            wait_ms = POLL_MS_MAX;
        wait_ms = hd_watchdog_feed(wait_ms);
        if (poll(pollers, HD_COUNT(pollers), (int)wait_ms) < 0 && errno != EINTR)
            return hd_fail(err, HD_E_IO, "cannot wait for requests: %s", strerror(errno));
        if (pollers[1].revents != 0)
            return HD_OK;
        struct hd_net_news *news = hd_queue_pop(service->queue, 0);
        renew_credentials(service);
        if (news != NULL)
            answer_one(service, news);
    }
}

/* ---- open and close ---------------------------------------------------------------------------
 */

static enum hd_code open_parts(struct hd_service *service, uint16_t *ret_port, struct hd_err *err)
{
    const struct hd_service_settings *settings = &service->settings;
    enum hd_code code = hd_registry_new(settings->ttl_ms, &service->registry, err);
    if (code == HD_OK)
        code = hd_queue_new(NEWS_MAX, &service->queue, err);
    if (code == HD_OK && settings->credentials_dir != NULL) {
        service->credentials = hd_calloc(CREDENTIALS_MAX, sizeof(service->credentials[0]));
        if (service->credentials == NULL)
            return hd_fail(err, HD_E_NOMEM, "no memory for credentials");
        code = hd_mkdirs(settings->credentials_dir, 0700, err);
    }
    uint16_t port = 0;
    if (code == HD_OK)
        code =
            hd_net_server_open(settings->host, settings->port, REQUEST_BYTES_MAX,
                               &settings->security, service->queue, &service->server, &port, err);
    if (code != HD_OK)
        return code;
    bool v6 = strchr(settings->advertise, ':') != NULL;
    if (!hd_format(service->nameserver, sizeof(service->nameserver), "%s%s%s:%u", v6 ? "[" : "",
                   settings->advertise, v6 ? "]" : "", (unsigned)port))
        return hd_fail(err, HD_E_LIMIT, "the host name %s is too long", settings->advertise);
    *ret_port = port;
    return HD_OK;
}

enum hd_code hd_service_open(const struct hd_service_settings *settings,
                             struct hd_service **ret_service, uint16_t *ret_port,
                             struct hd_err *err)
{
    struct hd_service *service = hd_calloc(1, sizeof(*service));
    if (service == NULL)
        return hd_fail(err, HD_E_NOMEM, "no memory for a nameserver");
    service->settings = *settings;
    hd_buf_init(&service->out, HD_MESSAGE_BYTES_MAX + 1);
    enum hd_code code = open_parts(service, ret_port, err);
    if (code != HD_OK) {
        hd_service_close(service);
        return code;
    }
    *ret_service = service;
    return HD_OK;
}

void hd_service_close(struct hd_service *service)
{
    if (service == NULL)
        return;
    struct hd_err err;
    for (size_t i = 0; i < service->credentials_count; i++)
        if (hd_credentials_remove(service->settings.credentials_dir, service->credentials[i],
                                  &err) != HD_OK)
            hd_log(HD_LOG_WARNING, "%s", err.text);
    hd_net_server_close(service->server);
    struct hd_net_news *news;
    while (service->queue != NULL && (news = hd_queue_pop(service->queue, 0)) != NULL)
        hd_net_news_free(news);
    hd_queue_free(service->queue);
    hd_registry_free(service->registry);
    hd_buf_release(&service->out);
    hd_free(service->credentials);
    hd_free(service);
}
