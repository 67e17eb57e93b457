/* SPDX-License-Identifier: Apache-2.0 */
/* send.c: one message over HTTP or SMTP. The only file of this room that knows curl. */
#include <hd/notice.h>

#include <curl/curl.h>
#include <pthread.h>
#include <string.h>

#define ANSWER_MAX 65536 /* more is not read */
#define CONNECT_MS_MAX 10000L

struct exchange {
    CURL *easy;
    struct curl_slist *list; /* headers, or recipients */
    struct curl_slist *mail_headers;
    curl_mime *mime;
    struct hd_buf answer;
    const atomic_bool *stop;
    char curl_error[CURL_ERROR_SIZE];
};

/* curl's own global state must be made once, before threads use it. */
static void init_curl(void)
{
    curl_global_init(CURL_GLOBAL_DEFAULT);
}

static size_t on_body(char *bytes, size_t unit, size_t count, void *context)
{
    struct exchange *exchange = context;
    struct hd_err ignored;
    size_t room = ANSWER_MAX - exchange->answer.size, size = unit * count;
    if (hd_buf_append(&exchange->answer, bytes, size < room ? size : room, &ignored) != HD_OK)
        return 0;
    return size;
}

static int on_progress(void *context, curl_off_t a, curl_off_t b, curl_off_t c, curl_off_t d)
{
    (void)a, (void)b, (void)c, (void)d;
    const struct exchange *exchange = context;
    return exchange->stop != NULL && atomic_load(exchange->stop) ? 1 : 0;
}

static bool append(struct curl_slist **list, const char *text)
{
    struct curl_slist *longer = curl_slist_append(*list, text);
    if (longer != NULL)
        *list = longer;
    return longer != NULL;
}

/* No redirects: what is signed or carries a token goes where the file says. */
static bool set_common(struct exchange *exchange, const char *url, int64_t limit_ms)
{
    CURL *easy = exchange->easy;
    return curl_easy_setopt(easy, CURLOPT_URL, url) == CURLE_OK &&
           curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https,smtp,smtps") == CURLE_OK &&
           curl_easy_setopt(easy, CURLOPT_NOPROXY, "127.0.0.1,localhost,::1") == CURLE_OK &&
           curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L) == CURLE_OK &&
           curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS, CONNECT_MS_MAX) == CURLE_OK &&
           curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS, (long)limit_ms) == CURLE_OK &&
           curl_easy_setopt(easy, CURLOPT_NOPROGRESS, 0L) == CURLE_OK &&
           curl_easy_setopt(easy, CURLOPT_XFERINFOFUNCTION, on_progress) == CURLE_OK &&
           curl_easy_setopt(easy, CURLOPT_XFERINFODATA, exchange) == CURLE_OK &&
           curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, on_body) == CURLE_OK &&
           curl_easy_setopt(easy, CURLOPT_WRITEDATA, exchange) == CURLE_OK &&
           curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, exchange->curl_error) == CURLE_OK;
}

static bool set_http(struct exchange *exchange, const struct hd_notice_message *message)
{
    for (size_t i = 0; i < message->header_count; i++)
        if (!append(&exchange->list, message->headers[i]))
            return false;
    return append(&exchange->list, "Expect:") &&
           curl_easy_setopt(exchange->easy, CURLOPT_USERAGENT, "hyperdock") == CURLE_OK &&
           curl_easy_setopt(exchange->easy, CURLOPT_HTTPHEADER, exchange->list) == CURLE_OK &&
           curl_easy_setopt(exchange->easy, CURLOPT_POST, 1L) == CURLE_OK &&
           curl_easy_setopt(exchange->easy, CURLOPT_POSTFIELDSIZE_LARGE,
                            (curl_off_t)message->body_size) == CURLE_OK &&
           curl_easy_setopt(exchange->easy, CURLOPT_POSTFIELDS, message->body) == CURLE_OK;
}

/* The body goes as base64: no line of it can be taken for SMTP, and any text passes. */
static bool set_body(struct exchange *exchange, const struct hd_notice_message *message)
{
    exchange->mime = curl_mime_init(exchange->easy);
    curl_mimepart *part = exchange->mime != NULL ? curl_mime_addpart(exchange->mime) : NULL;
    return part != NULL && curl_mime_data(part, message->body, message->body_size) == CURLE_OK &&
           curl_mime_type(part, "text/plain; charset=utf-8") == CURLE_OK &&
           curl_mime_encoder(part, "base64") == CURLE_OK &&
           curl_easy_setopt(exchange->easy, CURLOPT_MIMEPOST, exchange->mime) == CURLE_OK;
}

static bool set_mail(struct exchange *exchange, const struct hd_notice_channel *channel,
                     const struct hd_notice_message *message)
{
    CURL *easy = exchange->easy;
    for (size_t i = 0; i < channel->to_count; i++)
        if (!append(&exchange->list, channel->to[i]))
            return false;
    for (size_t i = 0; i < message->header_count; i++)
        if (!append(&exchange->mail_headers, message->headers[i]))
            return false;
    bool good = curl_easy_setopt(easy, CURLOPT_MAIL_FROM, channel->from) == CURLE_OK &&
                curl_easy_setopt(easy, CURLOPT_MAIL_RCPT, exchange->list) == CURLE_OK &&
                curl_easy_setopt(easy, CURLOPT_HTTPHEADER, exchange->mail_headers) == CURLE_OK &&
                curl_easy_setopt(easy, CURLOPT_USE_SSL,
                                 channel->plaintext ? (long)CURLUSESSL_TRY
                                                    : (long)CURLUSESSL_ALL) == CURLE_OK;
    if (good && channel->secret[0] != '\0')
        good = curl_easy_setopt(easy, CURLOPT_USERNAME, channel->user) == CURLE_OK &&
               curl_easy_setopt(easy, CURLOPT_PASSWORD, channel->secret) == CURLE_OK;
    return good && set_body(exchange, message);
}

static enum hd_code judge_result(const struct exchange *exchange,
                                 const struct hd_notice_channel *channel, CURLcode result,
                                 struct hd_err *err)
{
    long status = 0;
    curl_easy_getinfo(exchange->easy, CURLINFO_RESPONSE_CODE, &status);
    if (result == CURLE_ABORTED_BY_CALLBACK)
        return hd_fail(err, HD_E_CANCELLED, "the master ends");
    if (result == CURLE_OK)
        return channel->kind == HD_NOTICE_EMAIL
                   ? HD_OK
                   : hd_notice_judge(channel->kind, (int)status, hd_buf_text(&exchange->answer),
                                     err);
    if (result == CURLE_LOGIN_DENIED)
        return hd_fail(err, HD_E_INVALID, "it refused user and password");
    if (channel->kind == HD_NOTICE_EMAIL && status >= 400)
        return hd_notice_judge(channel->kind, (int)status, "", err);
    return hd_fail(err, HD_E_NET, "%s",
                   exchange->curl_error[0] != '\0' ? exchange->curl_error
                                                   : curl_easy_strerror(result));
}

enum hd_code hd_notice_send(const struct hd_notice_channel *channel,
                            const struct hd_notice_message *message, int64_t limit_ms,
                            const atomic_bool *stop, struct hd_err *err)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, init_curl);
    struct exchange exchange = {.easy = curl_easy_init(), .stop = stop};
    hd_buf_init(&exchange.answer, ANSWER_MAX);
    bool mail = channel->kind == HD_NOTICE_EMAIL;
    bool good = exchange.easy != NULL && set_common(&exchange, message->url, limit_ms) &&
                (mail ? set_mail(&exchange, channel, message) : set_http(&exchange, message));
    enum hd_code code =
        good ? judge_result(&exchange, channel, curl_easy_perform(exchange.easy), err)
             : hd_fail(err, HD_E_NOMEM, "no memory to send a notice");
    curl_easy_cleanup(exchange.easy);
    curl_mime_free(exchange.mime);
    curl_slist_free_all(exchange.list);
    curl_slist_free_all(exchange.mail_headers);
    hd_buf_release(&exchange.answer);
    return code;
}
