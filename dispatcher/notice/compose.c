/* SPDX-License-Identifier: Apache-2.0 */
/* compose.c: what one channel is sent, and what its answer means. No I/O. */
#include <hd/notice.h>
#include <hd/pki.h>
#include <hd/value.h>

#include <inttypes.h>
#include <string.h>
#include <time.h>

#define BODY_MAX (HD_NOTICE_DATA_MAX + 4096)
#define PUSHOVER_TEXT_MAX 1024 /* characters that the service takes; bytes here */
#define SHOWN_MAX 64

void hd_notice_free(struct hd_notice *notice)
{
    if (notice == NULL)
        return;
    hd_free(notice->data);
    hd_free(notice);
}

void hd_notice_message_release(struct hd_notice_message *message)
{
    for (size_t i = 0; i < message->header_count; i++) {
        explicit_bzero(message->headers[i], strlen(message->headers[i]));
        hd_free(message->headers[i]);
    }
    if (message->body != NULL)
        explicit_bzero(message->body, message->body_size);
    hd_free(message->body);
    hd_free(message->url);
    *message = (struct hd_notice_message){.url = NULL};
}

/* ---- small things ---------------------------------------------------------------------------- */

/* A header's text: one line of ASCII, whatever a target or a host is called. */
static enum hd_code add_header(struct hd_notice_message *message, const char *name,
                               const char *value, struct hd_err *err)
{
    struct hd_buf text;
    hd_buf_init(&text, HD_NOTICE_ADDRESS_MAX + 128);
    hd_assert(message->header_count < HD_NOTICE_HEADERS_MAX);
    enum hd_code code = hd_buf_printf(&text, err, "%s: %s", name, value);
    for (size_t i = 0; i < text.size; i++)
        if ((unsigned char)text.data[i] < ' ' || (unsigned char)text.data[i] > '~')
            text.data[i] = '?';
    if (code != HD_OK) {
        hd_buf_release(&text);
        return code;
    }
    message->headers[message->header_count++] = text.data; /* the buffer's memory goes along */
    return HD_OK;
}

static enum hd_code put_text(struct hd_buf *body, const struct hd_notice *notice, uint64_t left_out,
                             struct hd_err *err)
{
    enum hd_code code = hd_buf_puts(body, notice->text, err);
    if (code == HD_OK && left_out > 0)
        code = hd_buf_printf(body, err, "\n(%" PRIu64 " earlier notice%s could not be sent)",
                             left_out, left_out == 1 ? "" : "s");
    return code;
}

/* Where the kind allows it, failures are shown before the rest. */
static bool is_urgent(const struct hd_notice *notice)
{
    return notice->event == HD_NOTIFY_FAILED;
}

/* ---- webhook --------------------------------------------------------------------------------- */

static enum hd_code sign(const struct hd_notice_channel *channel, const char *time_text,
                         const struct hd_buf *body, struct hd_notice_message *message,
                         struct hd_err *err)
{
    struct hd_buf signed_text;
    unsigned char digest[HD_SHA256_SIZE];
    char value[16 + 2 * HD_SHA256_SIZE] = "sha256=";
    hd_buf_init(&signed_text, BODY_MAX + 64);
    enum hd_code code = hd_buf_printf(&signed_text, err, "%s.%s", time_text, hd_buf_text(body));
    if (code == HD_OK)
        code = hd_hmac_sha256(channel->secret, strlen(channel->secret), signed_text.data,
                              signed_text.size, digest, err);
    if (code == HD_OK) {
        hd_hex(digest, sizeof(digest), value + strlen(value));
        code = add_header(message, "X-Hyperdock-Signature", value, err);
    }
    hd_buf_release(&signed_text);
    return code;
}

static enum hd_code compose_webhook(const struct hd_notice_channel *channel,
                                    const struct hd_notice *notice, uint64_t left_out,
                                    int64_t now_wall_ms, struct hd_buf *body,
                                    struct hd_notice_message *message, struct hd_err *err)
{
    char time_text[24];
    size_t size = strlen(notice->data);
    hd_assert(size > 2 && notice->data[size - 1] == '}');
    (void)hd_format(time_text, sizeof(time_text), "%" PRId64, now_wall_ms / 1000);
    enum hd_code code = hd_buf_append(body, notice->data, size - 1, err);
    if (code == HD_OK && left_out > 0)
        code = hd_buf_printf(body, err, ",\"left_out\":%" PRIu64, left_out);
    if (code == HD_OK)
        code = hd_buf_puts(body, "}", err);
    if (code == HD_OK)
        code = add_header(message, "Content-Type", "application/json", err);
    if (code == HD_OK)
        code = add_header(message, "X-Hyperdock-Event", hd_notify_event_name(notice->event), err);
    if (code == HD_OK)
        code = add_header(message, "X-Hyperdock-Id", notice->id, err);
    if (code == HD_OK)
        code = add_header(message, "X-Hyperdock-Timestamp", time_text, err);
    if (code == HD_OK && channel->secret[0] != '\0')
        code = sign(channel, time_text, body, message, err);
    return code;
}

/* ---- chat and push --------------------------------------------------------------------------- */

/* In Slack's markup three characters mean something. */
static enum hd_code put_escaped(struct hd_buf *out, const char *text, struct hd_err *err)
{
    enum hd_code code = HD_OK;
    for (; code == HD_OK && *text != '\0'; text++) {
        if (*text == '&')
            code = hd_buf_puts(out, "&amp;", err);
        else if (*text == '<')
            code = hd_buf_puts(out, "&lt;", err);
        else if (*text == '>')
            code = hd_buf_puts(out, "&gt;", err);
        else
            code = hd_buf_append(out, text, 1, err);
    }
    return code;
}

static enum hd_code put_bearer(const struct hd_notice_channel *channel,
                               struct hd_notice_message *message, struct hd_err *err)
{
    char value[HD_NOTICE_ADDRESS_MAX + 16];
    if (channel->secret[0] == '\0')
        return HD_OK;
    (void)hd_format(value, sizeof(value), "Bearer %s", channel->secret);
    enum hd_code code = add_header(message, "Authorization", value, err);
    explicit_bzero(value, sizeof(value));
    return code;
}

static enum hd_code compose_slack(const struct hd_notice_channel *channel,
                                  const struct hd_notice *notice, const char *text,
                                  struct hd_buf *body, struct hd_notice_message *message,
                                  struct hd_err *err)
{
    struct hd_buf shown;
    hd_buf_init(&shown, BODY_MAX);
    enum hd_code code = hd_buf_puts(&shown, "*", err);
    if (code == HD_OK)
        code = put_escaped(&shown, notice->title, err);
    if (code == HD_OK)
        code = hd_buf_puts(&shown, "*\n", err);
    if (code == HD_OK)
        code = put_escaped(&shown, text, err);
    if (code == HD_OK)
        code = hd_buf_puts(body, "{", err);
    if (code == HD_OK && channel->user[0] != '\0') {
        code = hd_buf_puts(body, "\"channel\":", err);
        if (code == HD_OK)
            code = hd_json_write_string(channel->user, body, err);
        if (code == HD_OK)
            code = hd_buf_puts(body, ",", err);
    }
    if (code == HD_OK)
        code = hd_buf_puts(body, "\"text\":", err);
    if (code == HD_OK)
        code = hd_json_write_string(hd_buf_text(&shown), body, err);
    if (code == HD_OK)
        code = hd_buf_puts(body, "}", err);
    hd_buf_release(&shown);
    if (code == HD_OK)
        code = add_header(message, "Content-Type", "application/json; charset=utf-8", err);
    return code == HD_OK ? put_bearer(channel, message, err) : code;
}

/* name=value of a form; bytes beyond `max` are cut between two characters. */
static enum hd_code put_field(struct hd_buf *body, const char *name, const char *value, size_t max,
                              struct hd_err *err)
{
    static const char plain[] =
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._~";
    size_t size = strlen(value);
    if (size > max)
        for (size = max; size > 0 && ((unsigned char)value[size] & 0xc0) == 0x80;)
            size--;
    enum hd_code code = hd_buf_printf(body, err, "%s%s=", body->size > 0 ? "&" : "", name);
    for (size_t i = 0; code == HD_OK && i < size; i++) {
        if (strchr(plain, value[i]) != NULL)
            code = hd_buf_append(body, &value[i], 1, err);
        else
            code = hd_buf_printf(body, err, "%%%02X", (unsigned)(unsigned char)value[i]);
    }
    return code;
}

static enum hd_code compose_pushover(const struct hd_notice_channel *channel,
                                     const struct hd_notice *notice, const char *text,
                                     struct hd_buf *body, struct hd_notice_message *message,
                                     struct hd_err *err)
{
    enum hd_code code = put_field(body, "token", channel->secret, HD_NOTICE_ADDRESS_MAX, err);
    if (code == HD_OK)
        code = put_field(body, "user", channel->user, HD_NOTICE_ADDRESS_MAX, err);
    if (code == HD_OK)
        code = put_field(body, "title", notice->title, HD_NOTICE_TITLE_MAX, err);
    if (code == HD_OK)
        code = put_field(body, "message", text[0] != '\0' ? text : notice->title, PUSHOVER_TEXT_MAX,
                         err);
    if (code == HD_OK && is_urgent(notice))
        code = put_field(body, "priority", "1", 1, err);
    return code == HD_OK
               ? add_header(message, "Content-Type", "application/x-www-form-urlencoded", err)
               : code;
}

static enum hd_code compose_ntfy(const struct hd_notice_channel *channel,
                                 const struct hd_notice *notice, const char *text,
                                 struct hd_buf *body, struct hd_notice_message *message,
                                 struct hd_err *err)
{
    enum hd_code code = hd_buf_puts(body, text, err);
    if (code == HD_OK)
        code = add_header(message, "Content-Type", "text/plain; charset=utf-8", err);
    if (code == HD_OK)
        code = add_header(message, "Title", notice->title, err);
    if (code == HD_OK)
        code = add_header(message, "Tags", hd_notify_event_name(notice->event), err);
    if (code == HD_OK && is_urgent(notice))
        code = add_header(message, "Priority", "high", err);
    return code == HD_OK ? put_bearer(channel, message, err) : code;
}

/* ---- mail ------------------------------------------------------------------------------------ */

/* RFC 5322's date; the locale has no say. */
static void write_date(char *text, size_t size, int64_t wall_ms)
{
    static const char *const days[] = {"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};
    static const char *const months[] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                         "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
    struct tm tm;
    time_t seconds = (time_t)(wall_ms / 1000);
    gmtime_r(&seconds, &tm);
    (void)hd_format(text, size, "%s, %02d %s %d %02d:%02d:%02d +0000", days[tm.tm_wday], tm.tm_mday,
                    months[tm.tm_mon], tm.tm_year + 1900, tm.tm_hour, tm.tm_min, tm.tm_sec);
}

static enum hd_code compose_mail(const struct hd_notice_channel *channel,
                                 const struct hd_notice *notice, const char *text,
                                 int64_t now_wall_ms, struct hd_buf *body,
                                 struct hd_notice_message *message, struct hd_err *err)
{
    char date[64], id[HD_NOTICE_ID_MAX + 16];
    struct hd_buf to;
    hd_buf_init(&to, HD_NOTICE_ADDRESS_MAX);
    write_date(date, sizeof(date), now_wall_ms);
    (void)hd_format(id, sizeof(id), "<%s@hyperdock>", notice->id);
    enum hd_code code = HD_OK;
    for (size_t i = 0; code == HD_OK && i < channel->to_count; i++) {
        code = hd_buf_printf(&to, err, "%s%s", i > 0 ? ", " : "", channel->to[i]);
        if (code == HD_E_LIMIT) { /* the envelope names them all */
            code = HD_OK;
            break;
        }
    }
    if (code == HD_OK)
        code = add_header(message, "Date", date, err);
    if (code == HD_OK)
        code = add_header(message, "From", channel->from, err);
    if (code == HD_OK)
        code = add_header(message, "To", hd_buf_text(&to), err);
    if (code == HD_OK)
        code = add_header(message, "Message-ID", id, err);
    if (code == HD_OK)
        code = add_header(message, "Subject", notice->title, err);
    if (code == HD_OK)
        code = hd_buf_printf(body, err, "%s\n", text);
    hd_buf_release(&to);
    return code;
}

/* ---- all ------------------------------------------------------------------------------------- */

static enum hd_code compose(const struct hd_notice_channel *channel, const struct hd_notice *notice,
                            uint64_t left_out, int64_t now_wall_ms, struct hd_buf *body,
                            struct hd_notice_message *message, struct hd_err *err)
{
    struct hd_buf text;
    hd_buf_init(&text, HD_NOTICE_TEXT_MAX + 128);
    enum hd_code code = put_text(&text, notice, left_out, err);
    if (code != HD_OK) {
        hd_buf_release(&text);
        return code;
    }
    const char *shown = hd_buf_text(&text);
    switch (channel->kind) {
    case HD_NOTICE_WEBHOOK:
        code = compose_webhook(channel, notice, left_out, now_wall_ms, body, message, err);
        break;
    case HD_NOTICE_SLACK:
        code = compose_slack(channel, notice, shown, body, message, err);
        break;
    case HD_NOTICE_PUSHOVER:
        code = compose_pushover(channel, notice, shown, body, message, err);
        break;
    case HD_NOTICE_NTFY:
        code = compose_ntfy(channel, notice, shown, body, message, err);
        break;
    case HD_NOTICE_EMAIL:
    case HD_NOTICE_KIND_COUNT:
        code = compose_mail(channel, notice, shown, now_wall_ms, body, message, err);
        break;
    }
    hd_buf_release(&text);
    return code;
}

enum hd_code hd_notice_compose(const struct hd_notice_channel *channel,
                               const struct hd_notice *notice, uint64_t left_out,
                               int64_t now_wall_ms, struct hd_notice_message *message,
                               struct hd_err *err)
{
    struct hd_notice_message made = {.url = hd_strdup(channel->url)};
    struct hd_buf body;
    hd_buf_init(&body, BODY_MAX);
    enum hd_code code = made.url != NULL ? HD_OK : hd_fail(err, HD_E_NOMEM, "no memory");
    if (code == HD_OK)
        code = compose(channel, notice, left_out, now_wall_ms, &body, &made, err);
    if (code == HD_OK)
        code = hd_buf_reserve(&body, 1, err); /* a body of no bytes is still a text */
    if (code != HD_OK) {
        hd_buf_release(&body);
        hd_notice_message_release(&made);
        return code;
    }
    body.data[body.size] = '\0';
    made.body = body.data;
    made.body_size = body.size;
    *message = made;
    return HD_OK;
}

/* What Slack calls what went wrong: a word, which is shown when it is one. */
static void slack_error(const struct hd_value *answer, char shown[SHOWN_MAX])
{
    const struct hd_value *error = hd_value_get(answer, "error");
    bool word = error != NULL && error->kind == HD_VALUE_STRING &&
                strspn(error->as.string, "abcdefghijklmnopqrstuvwxyz_") == strlen(error->as.string);
    (void)hd_copy_text(shown, SHOWN_MAX, word ? error->as.string : "an unknown error");
}

/* Its API answers 200 to everything; an incoming webhook answers "ok". */
static enum hd_code judge_slack(const char *body, struct hd_err *err)
{
    struct hd_value *answer = NULL;
    char shown[SHOWN_MAX];
    if (body[0] != '{')
        return HD_OK;
    if (hd_json_parse(body, strlen(body), "answer", &hd_value_limits_target, &answer, NULL) !=
        HD_OK)
        return hd_fail(err, HD_E_NET, "its answer is not JSON");
    const struct hd_value *ok = hd_value_get(answer, "ok");
    bool taken = ok != NULL && ok->kind == HD_VALUE_BOOL && ok->as.boolean;
    slack_error(answer, shown);
    hd_value_free(answer);
    if (taken)
        return HD_OK;
    static const char *const passing[] = {"ratelimited", "internal_error", "fatal_error",
                                          "service_unavailable", "request_timeout"};
    for (size_t i = 0; i < HD_COUNT(passing); i++)
        if (hd_streq(shown, passing[i]))
            return hd_fail(err, HD_E_NET, "it says \"%s\"", shown);
    return hd_fail(err, HD_E_INVALID, "it says \"%s\"", shown);
}

enum hd_code hd_notice_judge(enum hd_notice_kind kind, int status, const char *body,
                             struct hd_err *err)
{
    if (status >= 200 && status < 300)
        return kind == HD_NOTICE_SLACK ? judge_slack(body, err) : HD_OK;
    bool passing = status == 408 || status == 425 || status == 429 || status >= 500 || status < 200;
    if (kind == HD_NOTICE_EMAIL) /* there 4xx passes and 5xx stays */
        passing = status < 500;
    return hd_fail(err, passing ? HD_E_NET : HD_E_INVALID, "it answered %d", status);
}
