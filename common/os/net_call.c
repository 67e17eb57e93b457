/* SPDX-License-Identifier: Apache-2.0 */
/*
 * net_call.c: one request and one reply, blocking; calls of the nameserver.
 *
 * A REQ socket dials in the background and says nothing when nobody is there or the certificate
 * is wrong; a person at a command line must be told at once. So a call is one exchange over one
 * stream of nng, in the framing of its TCP transport: eight bytes of greeting (the SP protocol
 * header), then 64-bit lengths before messages, a request id in front of each body.
 */
#include "net_internal.h"

#include <string.h>

#define GREETING_SIZE 8
#define PREFIX_SIZE 12 /* length and request id */
static const uint8_t greeting_of_req[GREETING_SIZE] = {0, 'S', 'P', 0, 0, 0x30, 0, 0};
static const uint8_t greeting_of_rep[GREETING_SIZE] = {0, 'S', 'P', 0, 0, 0x31, 0, 0};

struct call {
    const struct hd_net_target *target;
    nng_stream *stream;
    nng_aio *aio;
    int64_t until_ms;
    int64_t timeout_ms;
    struct hd_err *err;
};

static enum hd_code fail_call(struct call *call, int failed)
{
    if (failed == NNG_ETIMEDOUT)
        return hd_fail(call->err, HD_E_TIMEOUT, "no answer from %s within %lld ms",
                       call->target->url, (long long)call->timeout_ms);
    return hd_fail_nng(call->err, failed, "cannot reach %s", call->target->url);
}

static void set_deadline(struct call *call)
{
    int64_t left_ms = call->until_ms - hd_clock_ms();
    nng_aio_set_timeout(call->aio, left_ms > 0 ? (nng_duration)left_ms : 0);
}

enum direction { SEND, RECEIVE };

/* Moves all of the bytes, through partial sends and receives. */
static enum hd_code transfer(struct call *call, enum direction direction, void *bytes, size_t size)
{
    for (size_t done = 0; done < size;) {
        nng_iov part = {.iov_buf = (char *)bytes + done, .iov_len = size - done};
        int failed = nng_aio_set_iov(call->aio, 1, &part);
        if (failed != 0)
            return fail_call(call, failed);
        set_deadline(call);
        if (direction == SEND)
            nng_stream_send(call->stream, call->aio);
        else
            nng_stream_recv(call->stream, call->aio);
        nng_aio_wait(call->aio);
        failed = nng_aio_result(call->aio);
        if (failed != 0)
            return fail_call(call, failed);
        done += nng_aio_count(call->aio);
    }
    return HD_OK;
}

static void put_big_endian(uint8_t *to, size_t size, uint64_t number)
{
    for (size_t i = 0; i < size; i++)
        to[i] = (uint8_t)(number >> 8 * (size - 1 - i));
}

static uint64_t get_big_endian(const uint8_t *from, size_t size)
{
    uint64_t number = 0;
    for (size_t i = 0; i < size; i++)
        number = number << 8 | from[i];
    return number;
}

static enum hd_code greet(struct call *call)
{
    uint8_t greeting[GREETING_SIZE];
    memcpy(greeting, greeting_of_req, sizeof(greeting));
    enum hd_code code = transfer(call, SEND, greeting, sizeof(greeting));
    if (code == HD_OK)
        code = transfer(call, RECEIVE, greeting, sizeof(greeting));
    if (code == HD_OK && memcmp(greeting, greeting_of_rep, sizeof(greeting)) != 0)
        code = hd_fail(call->err, HD_E_NET, "%s is no port of Hyperdock", call->target->url);
    return code;
}

static enum hd_code send_request(struct call *call, const void *bytes, size_t size, uint32_t id)
{
    uint8_t *message = hd_malloc(PREFIX_SIZE + size);
    if (message == NULL)
        return hd_fail(call->err, HD_E_NOMEM, "no memory for a request");
    put_big_endian(message, 8, size + 4);
    put_big_endian(message + 8, 4, id);
    if (size > 0)
        memcpy(message + PREFIX_SIZE, bytes, size);
    enum hd_code code = transfer(call, SEND, message, PREFIX_SIZE + size);
    hd_free(message);
    return code;
}

static enum hd_code receive_reply(struct call *call, uint32_t id, struct hd_buf *out)
{
    uint8_t prefix[PREFIX_SIZE];
    enum hd_code code = transfer(call, RECEIVE, prefix, sizeof(prefix));
    if (code != HD_OK)
        return code;
    uint64_t size = get_big_endian(prefix, 8);
    if (size < 4 || size - 4 > HD_MESSAGE_BYTES_MAX)
        return hd_fail(call->err, HD_E_LIMIT, "the reply of %s has %llu bytes, at most %u allowed",
                       call->target->url, (unsigned long long)size, HD_MESSAGE_BYTES_MAX);
    if (get_big_endian(prefix + 8, 4) != id)
        return hd_fail(call->err, HD_E_NET, "%s answered something else", call->target->url);
    size -= 4;
    void *bytes = hd_malloc((size_t)size);
    if (bytes == NULL)
        return hd_fail(call->err, HD_E_NOMEM, "no memory for a reply");
    code = transfer(call, RECEIVE, bytes, (size_t)size);
    if (code == HD_OK)
        code = hd_buf_append(out, bytes, (size_t)size, call->err);
    hd_free(bytes);
    return code;
}

static enum hd_code dial(struct call *call, const struct hd_net_security *security)
{
    nng_stream_dialer *dialer;
    int failed = nng_stream_dialer_alloc(&dialer, call->target->url);
    if (failed != 0)
        return fail_call(call, failed);
    nng_tls_config *config = NULL;
    enum hd_code code = HD_OK;
    if (call->target->tls)
        code = hd_net_tls_client(security, call->target->host, &config, call->err);
    if (code == HD_OK && config != NULL)
        failed = nng_stream_dialer_set_ptr(dialer, NNG_OPT_TLS_CONFIG, config);
    if (code == HD_OK && failed == 0) {
        set_deadline(call);
        nng_stream_dialer_dial(dialer, call->aio);
        nng_aio_wait(call->aio);
        failed = nng_aio_result(call->aio);
    }
    if (code == HD_OK && failed != 0)
        code = fail_call(call, failed);
    if (code == HD_OK)
        call->stream = nng_aio_get_output(call->aio, 0);
    if (config != NULL)
        nng_tls_config_free(config);
    nng_stream_dialer_free(dialer);
    return code;
}

enum hd_code hd_net_call(const char *address, const struct hd_net_security *security,
                         const void *bytes, size_t size, int64_t timeout_ms, struct hd_buf *out,
                         struct hd_err *err)
{
    hd_assert(timeout_ms > 0 && timeout_ms <= INT32_MAX);
    struct hd_net_target target;
    struct call call = {.target = &target,
                        .until_ms = hd_clock_ms() + timeout_ms,
                        .timeout_ms = timeout_ms,
                        .err = err};
    uint32_t id = (uint32_t)hd_os_random_u64() | UINT32_C(0x80000000);
    enum hd_code code = hd_net_target_parse(address, security, &target, err);
    if (code != HD_OK)
        return code;
    if (nng_aio_alloc(&call.aio, NULL, NULL) != 0)
        return hd_fail(err, HD_E_NOMEM, "no memory for a call");
    code = dial(&call, security);
    if (code == HD_OK)
        code = greet(&call);
    if (code == HD_OK)
        code = send_request(&call, bytes, size, id);
    if (code == HD_OK)
        code = receive_reply(&call, id, out);
    if (call.stream != NULL) {
        nng_stream_close(call.stream);
        nng_stream_free(call.stream);
    }
    nng_aio_free(call.aio);
    return code;
}

enum hd_code hd_ns_call(const char *address, const struct hd_net_security *security,
                        const struct hd_ns_request *request, int64_t timeout_ms,
                        struct hd_arena *arena, struct hd_ns_reply *ret_reply, struct hd_err *err)
{
    struct hd_buf asked, answered;
    hd_buf_init(&asked, HD_MESSAGE_BYTES_MAX + 1);
    hd_buf_init(&answered, HD_MESSAGE_BYTES_MAX + 1);
    struct hd_err own;
    struct hd_ns_reply *reply = hd_arena_alloc(arena, sizeof(*reply));
    enum hd_code code = reply != NULL ? hd_ns_request_encode(request, &asked, &own)
                                      : hd_fail(&own, HD_E_NOMEM, "no memory for a reply");
    if (code == HD_OK)
        code = hd_net_call(address, security, asked.data, asked.size, timeout_ms, &answered, &own);
    if (code == HD_OK)
        code = hd_ns_reply_decode(answered.data, answered.size, arena, reply, &own);
    if (code == HD_OK && reply->code != HD_OK)
        code = hd_fail(&own, reply->code, "%s", reply->text);
    if (code == HD_OK)
        *ret_reply = *reply;
    hd_buf_release(&asked);
    hd_buf_release(&answered);
    return code == HD_OK ? HD_OK : hd_fail(err, code, "nameserver %s: %s", address, own.text);
}
