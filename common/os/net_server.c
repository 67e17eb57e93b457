/* SPDX-License-Identifier: Apache-2.0 */
/*
 * net_server.c: the answering side, on a raw REP socket.
 *
 * The header of a raw request is its pipe (4 bytes) and its request id (4 bytes): these two are
 * the address, so that a parked request costs nothing here, and there is no table to grow.
 */
#include "net_internal.h"

#include <nng/protocol/reqrep0/rep.h>
#include <nng/supplemental/util/platform.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/resource.h>

#define CONNECTIONS_MAX 8192
#define FILES_KEPT 256 /* of this process, for everything that is not a connection */
#define RETRY_MS 5
#define UNSENT_MAX 256 /* replies between callers and nng's own thread */
#define LINGER_MS 250  /* for the last replies to leave before the socket is closed */

/* News with the link of the list in which they wait for room in the queue. */
struct parcel {
    struct hd_net_news news; /* first: a news pointer is a parcel pointer */
    struct parcel *next;
};

struct hd_net_server {
    nng_socket socket;
    nng_listener listener;
    nng_aio *receive;
    nng_aio *retry;
    struct hd_queue *queue;
    _Atomic int64_t replied_ms; /* when the last reply was given */
    pthread_mutex_t lock;       /* protects what follows */
    struct parcel *first, *last;
    size_t connection_count, connections_max;
    bool receiving;
    bool retrying; /* the timer runs; receiving rests until the list is empty */
    bool closing;
};

void hd_net_news_free(struct hd_net_news *news)
{
    if (news == NULL)
        return;
    hd_free(news->bytes);
    hd_free(news);
}

/* ---- handing news on ------------------------------------------------------------------------ */

static struct parcel *parcel_new(enum hd_net_news_kind kind, uint64_t connection)
{
    struct parcel *parcel = hd_calloc(1, sizeof(*parcel));
    if (parcel != NULL) {
        parcel->news.kind = kind;
        parcel->news.connection = connection;
    }
    return parcel;
}

/* Under the lock. True when nothing waits any more. */
static bool flush_parcels(struct hd_net_server *server)
{
    while (server->first != NULL) {
        struct parcel *parcel = server->first;
        struct parcel *next = parcel->next;
        if (hd_queue_push(server->queue, &parcel->news) != HD_OK)
            return false;
        server->first = next; /* the parcel belongs to the consumer now */
        if (next == NULL)
            server->last = NULL;
    }
    return true;
}

/* What became free with the call. */
enum idle { IDLE_NOTHING, IDLE_RECEIVE, IDLE_TIMER };

/* Hands on what waits and `parcel` (or NULL), then goes on receiving, or, while the queue is full,
 * lets a timer look again. Calls into nng happen outside the lock. */
static void advance(struct hd_net_server *server, struct parcel *parcel, enum idle idle)
{
    pthread_mutex_lock(&server->lock);
    if (idle == IDLE_RECEIVE)
        server->receiving = false;
    if (idle == IDLE_TIMER)
        server->retrying = false;
    if (parcel != NULL && server->last != NULL)
        server->last->next = parcel;
    else if (parcel != NULL)
        server->first = parcel;
    if (parcel != NULL)
        server->last = parcel;
    bool empty = flush_parcels(server);
    bool receive = empty && !server->receiving && !server->closing;
    bool retry = !empty && !server->retrying && !server->closing;
    server->receiving = server->receiving || receive;
    server->retrying = server->retrying || retry;
    pthread_mutex_unlock(&server->lock);
    if (retry)
        nng_sleep_aio(RETRY_MS, server->retry);
    if (receive)
        nng_recv_aio(server->socket, server->receive);
}

static void on_retry(void *data)
{
    advance(data, NULL, IDLE_TIMER);
}

/* ---- receiving ------------------------------------------------------------------------------- */

static bool read_address(nng_msg *message, uint64_t *ret_address)
{
    /* A longer header came through forwarding devices; we have none. */
    if (nng_msg_header_len(message) != 8)
        return false;
    const uint8_t *header = nng_msg_header(message);
    uint64_t address = 0;
    for (size_t i = 0; i < 8; i++)
        address = address << 8 | header[i];
    *ret_address = address;
    return true;
}

/* NULL when it is no request of ours or memory is short: its sender asks again. */
static struct parcel *parcel_of(nng_msg *message)
{
    uint64_t address;
    if (!read_address(message, &address))
        return NULL;
    struct parcel *parcel = parcel_new(HD_NET_MESSAGE, address >> 32);
    size_t size = nng_msg_len(message);
    void *bytes = parcel != NULL ? hd_malloc(size) : NULL;
    if (bytes == NULL) {
        hd_free(parcel);
        return NULL;
    }
    memcpy(bytes, nng_msg_body(message), size);
    parcel->news.address = address;
    parcel->news.bytes = bytes;
    parcel->news.size = size;
    return parcel;
}

static void on_receive(void *data)
{
    struct hd_net_server *server = data;
    int failed = nng_aio_result(server->receive);
    if (failed == NNG_ECLOSED || failed == NNG_ECANCELED)
        return;
    struct parcel *parcel = NULL;
    if (failed == 0) {
        nng_msg *message = nng_aio_get_msg(server->receive);
        nng_aio_set_msg(server->receive, NULL);
        parcel = parcel_of(message);
        nng_msg_free(message);
    }
    advance(server, parcel, IDLE_RECEIVE);
}

static void on_pipe(nng_pipe pipe, nng_pipe_ev event, void *data)
{
    struct hd_net_server *server = data;
    pthread_mutex_lock(&server->lock);
    bool closing = server->closing, full = server->connection_count >= server->connections_max;
    if (event == NNG_PIPE_EV_ADD_POST)
        server->connection_count++;
    else if (event == NNG_PIPE_EV_REM_POST && server->connection_count > 0)
        server->connection_count--;
    pthread_mutex_unlock(&server->lock);
    if (event == NNG_PIPE_EV_ADD_PRE && (full || closing))
        nng_pipe_close(pipe);
    if (event != NNG_PIPE_EV_REM_POST || closing)
        return;
    /* Without memory the notice is lost; it only makes "unreachable" show earlier. */
    struct parcel *parcel = parcel_new(HD_NET_CLOSED, (uint64_t)(uint32_t)nng_pipe_id(pipe));
    if (parcel != NULL)
        advance(server, parcel, IDLE_NOTHING);
}

/* ---- open, reply, close ---------------------------------------------------------------------- */

enum hd_code hd_net_check_exposure(const char *host, const struct hd_net_security *security,
                                   struct hd_err *err)
{
    if (hd_net_is_loopback(host) || hd_net_uses_tls(security) ||
        (security != NULL && security->plaintext))
        return HD_OK;
    return hd_fail(err, HD_E_AUTH,
                   "refusing to listen on %s without TLS: give --cert and --key (and --ca to "
                   "check clients), or --plaintext where the network is trusted",
                   host);
}

/* A descriptor each: as many as are allowed, and some left for the store and its readers. */
static size_t find_connections_max(void)
{
    struct rlimit files;
    if (getrlimit(RLIMIT_NOFILE, &files) != 0)
        return CONNECTIONS_MAX;
    rlim_t wanted = CONNECTIONS_MAX + FILES_KEPT;
    if (files.rlim_cur < wanted && files.rlim_cur < files.rlim_max) {
        struct rlimit more = {.rlim_cur = wanted < files.rlim_max ? wanted : files.rlim_max,
                              .rlim_max = files.rlim_max};
        if (setrlimit(RLIMIT_NOFILE, &more) == 0)
            files = more;
    }
    if (files.rlim_cur >= wanted)
        return CONNECTIONS_MAX;
    return files.rlim_cur > 2 * FILES_KEPT ? (size_t)files.rlim_cur - FILES_KEPT
                                           : (size_t)files.rlim_cur / 2;
}

static enum hd_code configure(struct hd_net_server *server, const char *url, size_t bytes_max,
                              const struct hd_net_security *security, struct hd_err *err)
{
    int failed = nng_rep0_open_raw(&server->socket);
    if (failed != 0)
        return hd_fail_nng(err, failed, "cannot open a socket");
    failed = nng_socket_set_size(server->socket, NNG_OPT_RECVMAXSZ, bytes_max);
    if (failed == 0)
        failed = nng_socket_set_int(server->socket, NNG_OPT_SENDBUF, UNSENT_MAX);
    static const nng_pipe_ev events[] = {NNG_PIPE_EV_ADD_PRE, NNG_PIPE_EV_ADD_POST,
                                         NNG_PIPE_EV_REM_POST};
    for (size_t i = 0; i < HD_COUNT(events) && failed == 0; i++)
        failed = nng_pipe_notify(server->socket, events[i], on_pipe, server);
    if (failed == 0)
        failed = nng_listener_create(&server->listener, server->socket, url);
    if (failed == 0)
        failed = nng_listener_set_bool(server->listener, NNG_OPT_TCP_KEEPALIVE, true);
    if (failed != 0)
        return hd_fail_nng(err, failed, "cannot set up %s", url);
    if (!hd_net_uses_tls(security))
        return HD_OK;
    nng_tls_config *config;
    enum hd_code code = hd_net_tls_server(security, &config, err);
    if (code != HD_OK)
        return code;
    failed = nng_listener_set_ptr(server->listener, NNG_OPT_TLS_CONFIG, config);
    nng_tls_config_free(config);
    return failed == 0 ? HD_OK : hd_fail_nng(err, failed, "cannot set up TLS on %s", url);
}

static enum hd_code start(struct hd_net_server *server, const char *url, uint16_t port,
                          uint16_t *ret_port, struct hd_err *err)
{
    int failed = nng_listener_start(server->listener, 0);
    if (failed != 0)
        return hd_fail_nng(err, failed, "cannot listen on %s", url);
    int bound = port;
    failed = nng_listener_get_int(server->listener, NNG_OPT_TCP_BOUND_PORT, &bound);
    if (failed != 0 && port == 0)
        return hd_fail_nng(err, failed, "cannot tell the port of %s", url);
    if (ret_port != NULL)
        *ret_port = (uint16_t)bound;
    advance(server, NULL, IDLE_NOTHING);
    return HD_OK;
}

enum hd_code hd_net_server_open(const char *host, uint16_t port, size_t bytes_max,
                                const struct hd_net_security *security, struct hd_queue *queue,
                                struct hd_net_server **ret_server, uint16_t *ret_port,
                                struct hd_err *err)
{
    enum hd_code code = hd_net_check_exposure(host, security, err);
    if (code != HD_OK)
        return code;
    struct hd_net_server *server = hd_calloc(1, sizeof(*server));
    if (server == NULL)
        return hd_fail(err, HD_E_NOMEM, "no memory for a server");
    hd_assert(pthread_mutex_init(&server->lock, NULL) == 0);
    server->queue = queue;
    server->connections_max = find_connections_max();
    atomic_init(&server->replied_ms, hd_clock_ms() - LINGER_MS);
    char url[HD_NET_URL_MAX];
    hd_net_url(url, sizeof(url), hd_net_uses_tls(security), host, port);
    if (nng_aio_alloc(&server->receive, on_receive, server) != 0 ||
        nng_aio_alloc(&server->retry, on_retry, server) != 0)
        code = hd_fail(err, HD_E_NOMEM, "no memory for a server");
    if (code == HD_OK)
        code = configure(server, url, bytes_max, security, err);
    if (code == HD_OK)
        code = start(server, url, port, ret_port, err);
    if (code != HD_OK) {
        hd_net_server_close(server);
        return code;
    }
    *ret_server = server;
    return HD_OK;
}

void hd_net_reply(struct hd_net_server *server, uint64_t address, const void *bytes, size_t size)
{
    nng_msg *message;
    if (nng_msg_alloc(&message, size) != 0)
        return; /* as if lost on the way: the sender asks again */
    if (size > 0)
        memcpy(nng_msg_body(message), bytes, size);
    atomic_store(&server->replied_ms, hd_clock_ms());
    if (nng_msg_header_append_u32(message, (uint32_t)(address >> 32)) != 0 ||
        nng_msg_header_append_u32(message, (uint32_t)address) != 0 ||
        nng_sendmsg(server->socket, message, 0) != 0)
        nng_msg_free(message);
}

void hd_net_forget(struct hd_net_server *server, uint64_t address)
{
    (void)server;
    (void)address; /* an address is a number and holds nothing */
}

void hd_net_server_close(struct hd_net_server *server)
{
    if (server == NULL)
        return;
    pthread_mutex_lock(&server->lock);
    server->closing = true;
    pthread_mutex_unlock(&server->lock);
    if (server->receive != NULL)
        nng_aio_stop(server->receive);
    if (server->retry != NULL)
        nng_aio_stop(server->retry);
    /* nng drops what is unsent when it closes and does not tell when all is sent. */
    int64_t since_ms = hd_clock_ms() - atomic_load(&server->replied_ms);
    if (since_ms < LINGER_MS)
        nng_msleep((nng_duration)(LINGER_MS - since_ms));
    if (server->socket.id != 0)
        hd_net_close_socket(server->socket);
    if (server->receive != NULL)
        nng_aio_free(server->receive);
    if (server->retry != NULL)
        nng_aio_free(server->retry);
    for (struct parcel *parcel = server->first, *next; parcel != NULL; parcel = next) {
        next = parcel->next;
        hd_net_news_free(&parcel->news);
    }
    pthread_mutex_destroy(&server->lock);
    hd_free(server);
}
