/* SPDX-License-Identifier: Apache-2.0 */
/*
 * net_client.c: the asking side, on a REQ socket.
 *
 * An exchange is one request and its reply, with a context of its own, so that an abandoned one
 * cannot disturb the next. With the resend of REQ switched off, nng ends the exchanges of a
 * connection that is lost at once, and a request that was never sent waits for the next
 * connection until our deadline.
 */
#include "net_internal.h"

#include <nng/protocol/reqrep0/req.h>
#include <nng/supplemental/util/platform.h>
#include <pthread.h>
#include <string.h>

#define LANES_MAX 16
#define REDIAL_MS_MIN 50
#define REDIAL_MS_MAX 1000
#define ROOM_WAIT_MS 2

enum exchange_state { EXCHANGE_IDLE, EXCHANGE_SENDING, EXCHANGE_RECEIVING };

struct exchange {
    struct hd_net_client *client;
    struct exchange *next; /* in the list of all */
    nng_ctx ctx;
    nng_aio *aio;
    enum exchange_state state; /* what follows is under the client's lock */
    bool abandoned;            /* its end is told to nobody */
    uint32_t lane;
    uint64_t sequence;
    int64_t until_ms;
    int64_t timeout_ms;
    struct hd_net_answer *answer; /* made before sending: the end cannot fail for memory */
};

struct hd_net_client {
    nng_socket socket;
    struct hd_queue *queue;
    uint64_t tag;
    uint32_t lane_count;
    char url[HD_NET_URL_MAX];
    pthread_mutex_t send_lock; /* one hd_net_send at a time; only it takes idle exchanges */
    pthread_mutex_t lock;
    struct exchange *all;
    struct exchange *current[LANES_MAX];
    bool closing;
};

void hd_net_answer_free(struct hd_net_answer *answer)
{
    if (answer == NULL)
        return;
    hd_free(answer->bytes);
    hd_free(answer);
}

/* ---- the end of an exchange ------------------------------------------------------------------ */

static void fill_reply(struct hd_net_answer *answer, nng_msg *message)
{
    size_t size = nng_msg_len(message);
    void *bytes = hd_malloc(size);
    if (bytes == NULL) {
        (void)hd_fail(&answer->err, HD_E_NOMEM, "no memory for a reply of %zu bytes", size);
        return;
    }
    memcpy(bytes, nng_msg_body(message), size);
    answer->kind = HD_NET_REPLY;
    answer->bytes = bytes;
    answer->size = size;
}

static void fill_failure(const struct exchange *exchange, struct hd_net_answer *answer, int failed)
{
    const char *url = exchange->client->url;
    if (failed == NNG_ETIMEDOUT)
        (void)hd_fail(&answer->err, HD_E_TIMEOUT, "no answer from %s within %lld ms", url,
                      (long long)exchange->timeout_ms);
    else if (failed == NNG_ECONNRESET)
        (void)hd_fail(&answer->err, HD_E_NET, "the connection to %s ended", url);
    else
        (void)hd_fail_nng(&answer->err, failed, "no answer from %s", url);
}

/* At most one answer a lane waits here, for a consumer that is about to make room. */
static void push_answer(struct hd_net_client *client, struct hd_net_answer *answer)
{
    while (hd_queue_push(client->queue, answer) != HD_OK) {
        pthread_mutex_lock(&client->lock);
        bool closing = client->closing;
        pthread_mutex_unlock(&client->lock);
        if (closing) {
            hd_net_answer_free(answer);
            return;
        }
        nng_msleep(ROOM_WAIT_MS);
    }
}

static void end_exchange(struct exchange *exchange, int failed, nng_msg *message)
{
    struct hd_net_client *client = exchange->client;
    pthread_mutex_lock(&client->lock);
    struct hd_net_answer *answer = exchange->answer;
    exchange->answer = NULL;
    bool silent = exchange->abandoned || client->closing;
    if (client->current[exchange->lane] == exchange)
        client->current[exchange->lane] = NULL;
    if (!silent && failed == 0)
        fill_reply(answer, message);
    else if (!silent)
        fill_failure(exchange, answer, failed);
    exchange->state = EXCHANGE_IDLE; /* from here on hd_net_send may take it again */
    pthread_mutex_unlock(&client->lock);
    if (message != NULL)
        nng_msg_free(message);
    if (silent)
        hd_net_answer_free(answer);
    else
        push_answer(client, answer);
}

static void on_exchange(void *data)
{
    struct exchange *exchange = data;
    struct hd_net_client *client = exchange->client;
    int failed = nng_aio_result(exchange->aio);
    pthread_mutex_lock(&client->lock);
    bool sent = exchange->state == EXCHANGE_SENDING && failed == 0;
    bool received = exchange->state == EXCHANGE_RECEIVING && failed == 0;
    bool unsent = exchange->state == EXCHANGE_SENDING && failed != 0;
    int64_t left_ms = exchange->until_ms - hd_clock_ms();
    bool go_on = sent && !exchange->abandoned && !client->closing;
    if (go_on)
        exchange->state = EXCHANGE_RECEIVING;
    pthread_mutex_unlock(&client->lock);
    if (go_on) {
        nng_aio_set_timeout(exchange->aio, left_ms > 0 ? (nng_duration)left_ms : 0);
        nng_ctx_recv(exchange->ctx, exchange->aio);
        return;
    }
    /* A request that was not sent is ours again; a sent one belongs to nng. */
    nng_msg *message = received || unsent ? nng_aio_get_msg(exchange->aio) : NULL;
    nng_aio_set_msg(exchange->aio, NULL);
    end_exchange(exchange, failed, message);
}

/* ---- sending ----------------------------------------------------------------------------------
 */

static struct exchange *idle_exchange(struct hd_net_client *client)
{
    struct exchange *found = NULL;
    pthread_mutex_lock(&client->lock);
    for (struct exchange *at = client->all; at != NULL && found == NULL; at = at->next)
        if (at->state == EXCHANGE_IDLE)
            found = at;
    pthread_mutex_unlock(&client->lock);
    return found;
}

static enum hd_code exchange_new(struct hd_net_client *client, struct exchange **ret_exchange,
                                 struct hd_err *err)
{
    struct exchange *exchange = hd_calloc(1, sizeof(*exchange));
    if (exchange == NULL)
        return hd_fail(err, HD_E_NOMEM, "no memory for a request");
    exchange->client = client;
    int failed = nng_ctx_open(&exchange->ctx, client->socket);
    if (failed == 0)
        failed = nng_ctx_set_ms(exchange->ctx, NNG_OPT_REQ_RESENDTIME, NNG_DURATION_INFINITE);
    if (failed == 0)
        failed = nng_aio_alloc(&exchange->aio, on_exchange, exchange);
    if (failed != 0) {
        if (exchange->ctx.id != 0)
            nng_ctx_close(exchange->ctx);
        hd_free(exchange);
        return hd_fail_nng(err, failed, "cannot prepare a request to %s", client->url);
    }
    pthread_mutex_lock(&client->lock);
    exchange->next = client->all;
    client->all = exchange;
    pthread_mutex_unlock(&client->lock);
    *ret_exchange = exchange;
    return HD_OK;
}

static enum hd_code prepare(struct hd_net_client *client, const void *bytes, size_t size,
                            struct exchange **ret_exchange, nng_msg **ret_message,
                            struct hd_err *err)
{
    struct exchange *exchange = idle_exchange(client);
    if (exchange == NULL) {
        enum hd_code code = exchange_new(client, &exchange, err);
        if (code != HD_OK)
            return code;
    }
    struct hd_net_answer *answer = hd_calloc(1, sizeof(*answer));
    nng_msg *message = NULL;
    if (answer == NULL || nng_msg_alloc(&message, size) != 0) {
        hd_free(answer);
        return hd_fail(err, HD_E_NOMEM, "no memory for a request of %zu bytes", size);
    }
    if (size > 0)
        memcpy(nng_msg_body(message), bytes, size);
    exchange->answer = answer;
    *ret_exchange = exchange;
    *ret_message = message;
    return HD_OK;
}

static void start_exchange(struct hd_net_client *client, struct exchange *exchange, uint32_t lane,
                           uint64_t sequence, nng_msg *message, int64_t timeout_ms)
{
    struct hd_net_answer *answer = exchange->answer;
    answer->kind = HD_NET_FAILED;
    answer->tag = client->tag;
    answer->lane = lane;
    answer->sequence = sequence;
    pthread_mutex_lock(&client->lock);
    struct exchange *old = client->current[lane];
    if (old != NULL)
        old->abandoned = true;
    client->current[lane] = exchange;
    exchange->state = EXCHANGE_SENDING;
    exchange->abandoned = false;
    exchange->lane = lane;
    exchange->sequence = sequence;
    exchange->timeout_ms = timeout_ms;
    exchange->until_ms = hd_clock_ms() + timeout_ms;
    pthread_mutex_unlock(&client->lock);
    if (old != NULL)
        nng_aio_cancel(old->aio);
    nng_aio_set_timeout(exchange->aio, (nng_duration)timeout_ms);
    nng_aio_set_msg(exchange->aio, message);
    nng_ctx_send(exchange->ctx, exchange->aio);
}

enum hd_code hd_net_send(struct hd_net_client *client, uint32_t lane, uint64_t sequence,
                         const void *bytes, size_t size, int64_t timeout_ms, struct hd_err *err)
{
    hd_assert(lane < client->lane_count);
    hd_assert(timeout_ms > 0 && timeout_ms <= INT32_MAX);
    struct exchange *exchange = NULL;
    nng_msg *message = NULL;
    pthread_mutex_lock(&client->send_lock);
    enum hd_code code = prepare(client, bytes, size, &exchange, &message, err);
    if (code == HD_OK)
        start_exchange(client, exchange, lane, sequence, message, timeout_ms);
    pthread_mutex_unlock(&client->send_lock);
    return code;
}

/* ---- open and close ---------------------------------------------------------------------------
 */

static enum hd_code configure_dialer(const struct hd_net_target *target,
                                     const struct hd_net_security *security, nng_socket socket,
                                     nng_dialer *ret_dialer, struct hd_err *err)
{
    nng_dialer dialer;
    int failed = nng_socket_set_size(socket, NNG_OPT_RECVMAXSZ, HD_MESSAGE_BYTES_MAX);
    if (failed == 0)
        failed = nng_dialer_create(&dialer, socket, target->url);
    if (failed == 0)
        failed = nng_dialer_set_ms(dialer, NNG_OPT_RECONNMINT, REDIAL_MS_MIN);
    if (failed == 0)
        failed = nng_dialer_set_ms(dialer, NNG_OPT_RECONNMAXT, REDIAL_MS_MAX);
    if (failed == 0)
        failed = nng_dialer_set_bool(dialer, NNG_OPT_TCP_KEEPALIVE, true);
    if (failed != 0)
        return hd_fail_nng(err, failed, "cannot set up a connection to %s", target->url);
    if (target->tls) {
        nng_tls_config *config;
        enum hd_code code = hd_net_tls_client(security, target->host, &config, err);
        if (code != HD_OK)
            return code;
        failed = nng_dialer_set_ptr(dialer, NNG_OPT_TLS_CONFIG, config);
        nng_tls_config_free(config);
        if (failed != 0)
            return hd_fail_nng(err, failed, "cannot set up TLS to %s", target->url);
    }
    *ret_dialer = dialer;
    return HD_OK;
}

enum hd_code hd_net_client_open(const char *address, uint32_t lanes, uint64_t tag,
                                const struct hd_net_security *security, struct hd_queue *queue,
                                struct hd_net_client **ret_client, struct hd_err *err)
{
    hd_assert(lanes > 0 && lanes <= LANES_MAX);
    struct hd_net_target target;
    enum hd_code code = hd_net_target_parse(address, security, &target, err);
    if (code != HD_OK)
        return code;
    struct hd_net_client *client = hd_calloc(1, sizeof(*client));
    if (client == NULL)
        return hd_fail(err, HD_E_NOMEM, "no memory for a client");
    hd_assert(pthread_mutex_init(&client->lock, NULL) == 0);
    hd_assert(pthread_mutex_init(&client->send_lock, NULL) == 0);
    client->queue = queue;
    client->tag = tag;
    client->lane_count = lanes;
    (void)hd_copy_text(client->url, sizeof(client->url), target.url);
    nng_dialer dialer;
    int failed = nng_req0_open(&client->socket);
    if (failed != 0)
        code = hd_fail_nng(err, failed, "cannot open a socket");
    else
        code = configure_dialer(&target, security, client->socket, &dialer, err);
    if (code == HD_OK && (failed = nng_dialer_start(dialer, NNG_FLAG_NONBLOCK)) != 0)
        code = hd_fail_nng(err, failed, "cannot dial %s", target.url);
    if (code != HD_OK) {
        hd_net_client_close(client);
        return code;
    }
    *ret_client = client;
    return HD_OK;
}

void hd_net_client_close(struct hd_net_client *client)
{
    if (client == NULL)
        return;
    pthread_mutex_lock(&client->lock);
    client->closing = true;
    pthread_mutex_unlock(&client->lock);
    /* Stopping waits for callbacks, so that afterwards nobody uses an exchange. */
    for (struct exchange *at = client->all; at != NULL; at = at->next)
        nng_aio_stop(at->aio);
    if (client->socket.id != 0)
        hd_net_close_socket(client->socket);
    for (struct exchange *at = client->all, *next; at != NULL; at = next) {
        next = at->next;
        nng_aio_free(at->aio);
        hd_net_answer_free(at->answer);
        hd_free(at);
    }
    pthread_mutex_destroy(&client->send_lock);
    pthread_mutex_destroy(&client->lock);
    hd_free(client);
}
