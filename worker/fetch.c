/* SPDX-License-Identifier: Apache-2.0 */
/* fetch.c: see fetch.h. */
#include "fetch.h"

#include <hd/message.h>
#include <hd/value.h>

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <pthread.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define WAIT_MS 300    /* while the master saves it */
#define RETRY_MS 500   /* doubled with each failure in a row */
#define FAILURES_MAX 8 /* in a row */
#define SLICE_MS 100   /* how late an interruption is seen */

struct hd_fetch {
    struct hd_image_source source;
    const struct hd_net_security *security;
    pthread_mutex_t lock;
    char token[HD_OS_TOKEN_SIZE]; /* guarded by lock */
};

/* One transfer. */
struct transfer {
    struct hd_fetch *fetch;
    const char *address, *run_id;
    const char *view; /* what it is: "image", "code" */
    const char *name;
    uint64_t size_max;
    int fd;
    uint64_t offset, size;
    char id[HD_IMAGE_ID_MAX];
    bool wait;
};

/* ---- one piece ------------------------------------------------------------------------------- */

static enum hd_code write_question(const struct transfer *transfer, struct hd_buf *out,
                                   struct hd_err *err)
{
    char token[HD_OS_TOKEN_SIZE];
    struct hd_buf json;
    pthread_mutex_lock(&transfer->fetch->lock);
    memcpy(token, transfer->fetch->token, sizeof(token));
    pthread_mutex_unlock(&transfer->fetch->lock);
    hd_buf_init(&json, 1024);
    enum hd_code code = hd_buf_printf(&json, err, "{\"%s\":", transfer->view);
    if (code == HD_OK)
        code = hd_json_write_string(transfer->name, &json, err);
    if (code == HD_OK)
        code = hd_buf_printf(&json, err, ",\"offset\":%" PRIu64 "}", transfer->offset);
    const struct hd_request request = {.kind = HD_REQUEST_VIEW,
                                       .token = token,
                                       .worker = "",
                                       .run_id = transfer->run_id,
                                       .view = transfer->view,
                                       .view_json = hd_buf_text(&json)};
    if (code == HD_OK)
        code = hd_request_encode(&request, out, err);
    explicit_bzero(token, sizeof(token));
    hd_buf_release(&json);
    return code;
}

static bool number_at(const struct hd_value *value, const char *key, uint64_t *ret_number)
{
    const struct hd_value *member = hd_value_get(value, key);
    if (member == NULL || member->kind != HD_VALUE_INT || member->as.integer < 0)
        return false;
    *ret_number = (uint64_t)member->as.integer;
    return true;
}

static enum hd_code write_piece(struct transfer *transfer, const char *text, struct hd_err *err)
{
    struct hd_buf bytes;
    hd_buf_init(&bytes, HD_VIEW_JSON_MAX);
    enum hd_code code = hd_base64_decode(text, strlen(text), &bytes, err);
    if (code == HD_OK && bytes.size > transfer->size - transfer->offset)
        code = hd_fail(err, HD_E_INVALID, "the master sent more than there is");
    for (size_t done = 0; code == HD_OK && done < bytes.size;) {
        ssize_t count =
            pwrite(transfer->fd, bytes.data + done, bytes.size - done, (off_t)transfer->offset);
        if (count < 0 && errno == EINTR)
            continue;
        if (count <= 0) {
            code = hd_fail(err, errno == ENOSPC ? HD_E_FULL : HD_E_IO,
                           "what the master sends cannot be written: %s", strerror(errno));
            break;
        }
        done += (size_t)count;
        transfer->offset += (uint64_t)count;
    }
    if (code == HD_OK && bytes.size == 0 && transfer->offset < transfer->size)
        code = hd_fail(err, HD_E_INVALID, "the master sent nothing");
    hd_buf_release(&bytes);
    return code;
}

static enum hd_code take_answer(struct transfer *transfer, const struct hd_value *answer,
                                struct hd_err *err)
{
    const struct hd_value *wait = hd_value_get(answer, "wait"), *id = hd_value_get(answer, "id"),
                          *data = hd_value_get(answer, "data");
    uint64_t size = 0, offset = 0;
    transfer->wait = wait != NULL && wait->kind == HD_VALUE_BOOL && wait->as.boolean;
    if (transfer->wait)
        return HD_OK;
    if (id == NULL || id->kind != HD_VALUE_STRING || data == NULL ||
        data->kind != HD_VALUE_STRING || !number_at(answer, "size", &size) ||
        !number_at(answer, "offset", &offset) || offset != transfer->offset ||
        !hd_copy_text(transfer->id, sizeof(transfer->id), id->as.string))
        return hd_fail(err, HD_E_INVALID, "the master's answer is no piece of what was asked for");
    if (size > transfer->size_max)
        return hd_fail(err, HD_E_LIMIT, "the %s is larger than %" PRIu64 " bytes", transfer->view,
                       transfer->size_max);
    transfer->size = size;
    if (transfer->offset > size) { /* what is here is of another one */
        transfer->offset = 0;
        return HD_OK;
    }
    return write_piece(transfer, data->as.string, err);
}

static enum hd_code read_reply(struct transfer *transfer, const struct hd_buf *bytes,
                               struct hd_arena *arena, struct hd_reply *reply, struct hd_err *err)
{
    static const struct hd_value_limits limits = {
        .bytes_max = HD_VIEW_JSON_MAX, .nodes_max = 64, .depth_max = 4};
    struct hd_value *answer = NULL;
    enum hd_code code = hd_reply_decode(bytes->data, bytes->size, arena, reply, err);
    if (code == HD_OK && reply->kind == HD_REPLY_REFUSED)
        code = hd_fail(err, reply->code != HD_OK ? reply->code : HD_E_INVALID, "%s", reply->text);
    else if (code == HD_OK && reply->kind != HD_REPLY_VIEW)
        code = hd_fail(err, HD_E_INVALID, "the master answers something else");
    if (code == HD_OK)
        code = hd_json_parse(reply->view_json, strlen(reply->view_json), "piece", &limits, &answer,
                             err);
    if (code == HD_OK)
        code = take_answer(transfer, answer, err);
    hd_value_free(answer);
    return code;
}

static enum hd_code fetch_piece(struct transfer *transfer, struct hd_err *err)
{
    struct hd_buf question, bytes;
    struct hd_arena *arena = NULL;
    struct hd_reply *reply = hd_calloc(1, sizeof(*reply));
    hd_buf_init(&question, HD_MESSAGE_BYTES_MAX);
    hd_buf_init(&bytes, HD_MESSAGE_BYTES_MAX);
    enum hd_code code = reply != NULL
                            ? hd_arena_new(HD_WIRE_ARENA_BYTES_MAX, &arena, err)
                            : hd_fail(err, HD_E_NOMEM, "no memory for what the master sends");
    if (code == HD_OK)
        code = write_question(transfer, &question, err);
    if (code == HD_OK)
        code = hd_net_call(transfer->address, transfer->fetch->security, question.data,
                           question.size, HD_FETCH_CALL_MS, &bytes, err);
    if (code == HD_OK)
        code = read_reply(transfer, &bytes, arena, reply, err);
    if (question.data != NULL)
        explicit_bzero(question.data, question.size);
    hd_buf_release(&question);
    hd_buf_release(&bytes);
    hd_arena_free(arena);
    hd_free(reply);
    return code;
}

/* ---- all of them ----------------------------------------------------------------------------- */

static bool may_pass(enum hd_code code)
{
    return code == HD_E_NET || code == HD_E_TIMEOUT || code == HD_E_NOMEM || code == HD_E_BUSY;
}

/* False: interrupted. */
static bool pause_for(int64_t ms, bool (*interrupted)(void *watch), void *watch)
{
    for (int64_t until_ms = hd_clock_ms() + ms; hd_clock_ms() < until_ms;) {
        if (interrupted(watch))
            return false;
        (void)poll(NULL, 0, SLICE_MS);
    }
    return !interrupted(watch);
}

static enum hd_code fetch_pieces(struct transfer *transfer, bool (*interrupted)(void *watch),
                                 void (*tell)(void *watch, int percent), void *watch,
                                 struct hd_err *err)
{
    int said = -1;
    bool known = false;
    for (uint32_t failures = 0; !known || transfer->offset < transfer->size;) {
        if (interrupted(watch))
            return hd_fail(err, HD_E_CANCELLED, "interrupted");
        enum hd_code code = fetch_piece(transfer, err);
        if (code != HD_OK && (!may_pass(code) || ++failures >= FAILURES_MAX))
            return code;
        int64_t wait_ms =
            code != HD_OK ? (int64_t)RETRY_MS << failures : (transfer->wait ? WAIT_MS : 0);
        if (wait_ms > 0 && !pause_for(wait_ms, interrupted, watch))
            return hd_fail(err, HD_E_CANCELLED, "interrupted");
        if (wait_ms > 0)
            continue;
        failures = 0;
        known = true;
        int percent = transfer->size > 0 ? (int)(100 * transfer->offset / transfer->size) : 100;
        if (percent != said)
            tell(watch, percent);
        said = percent;
    }
    if (ftruncate(transfer->fd, (off_t)transfer->size) != 0)
        return hd_fail(err, HD_E_IO, "what the master sends cannot be written: %s",
                       strerror(errno));
    return HD_OK;
}

static enum hd_code fetch_into(struct transfer *transfer, const char *path,
                               bool (*interrupted)(void *watch),
                               void (*tell)(void *watch, int percent), void *watch,
                               struct hd_err *err)
{
    struct stat status;
    transfer->fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (transfer->fd < 0 || fstat(transfer->fd, &status) != 0) {
        if (transfer->fd >= 0)
            close(transfer->fd);
        return hd_fail(err, HD_E_IO, "%s: %s", path, strerror(errno));
    }
    transfer->offset = (uint64_t)status.st_size;
    enum hd_code code = fetch_pieces(transfer, interrupted, tell, watch, err);
    if (close(transfer->fd) != 0 && code == HD_OK)
        code = hd_fail(err, HD_E_IO, "%s: %s", path, strerror(errno));
    return code;
}

static enum hd_code fetch_image(void *context, const char *address, const char *run_id,
                                const char *image, const char *path, char *ret_id,
                                bool (*interrupted)(void *watch),
                                void (*tell)(void *watch, int percent), void *watch,
                                struct hd_err *err)
{
    struct transfer transfer = {.fetch = context,
                                .address = address,
                                .run_id = run_id,
                                .view = "image",
                                .name = image,
                                .size_max = HD_IMAGE_BYTES_MAX};
    enum hd_code code = fetch_into(&transfer, path, interrupted, tell, watch, err);
    if (code == HD_OK)
        memcpy(ret_id, transfer.id, HD_IMAGE_ID_MAX);
    return code;
}

enum hd_code hd_fetch_code(struct hd_fetch *fetch, const char *address, const char *run_id,
                           const char *hash, const char *path, bool (*interrupted)(void *watch),
                           void (*tell)(void *watch, int percent), void *watch, struct hd_err *err)
{
    struct transfer transfer = {.fetch = fetch,
                                .address = address,
                                .run_id = run_id,
                                .view = "code",
                                .name = hash,
                                .size_max = HD_CODE_ARCHIVE_BYTES_MAX};
    return fetch_into(&transfer, path, interrupted, tell, watch, err);
}

/* ---- opening --------------------------------------------------------------------------------- */

enum hd_code hd_fetch_new(const struct hd_net_security *security, struct hd_fetch **ret_fetch,
                          struct hd_err *err)
{
    struct hd_fetch *fetch = hd_calloc(1, sizeof(*fetch));
    if (fetch == NULL)
        return hd_fail(err, HD_E_NOMEM, "no memory for fetching images");
    fetch->source = (struct hd_image_source){.fetch = fetch_image, .context = fetch};
    fetch->security = security;
    pthread_mutex_init(&fetch->lock, NULL);
    *ret_fetch = fetch;
    return HD_OK;
}

void hd_fetch_free(struct hd_fetch *fetch)
{
    if (fetch == NULL)
        return;
    pthread_mutex_destroy(&fetch->lock);
    explicit_bzero(fetch->token, sizeof(fetch->token));
    hd_free(fetch);
}

void hd_fetch_set_token(struct hd_fetch *fetch, const char *token)
{
    pthread_mutex_lock(&fetch->lock);
    (void)hd_copy_text(fetch->token, sizeof(fetch->token), token);
    pthread_mutex_unlock(&fetch->lock);
}

const struct hd_image_source *hd_fetch_source(const struct hd_fetch *fetch)
{
    return &fetch->source;
}

/* ---- other views ----------------------------------------------------------------------------- */

static enum hd_code write_view(struct hd_fetch *fetch, const char *run_id, const char *view,
                               const char *view_json, struct hd_buf *out, struct hd_err *err)
{
    char token[HD_OS_TOKEN_SIZE];
    pthread_mutex_lock(&fetch->lock);
    memcpy(token, fetch->token, sizeof(token));
    pthread_mutex_unlock(&fetch->lock);
    const struct hd_request request = {.kind = HD_REQUEST_VIEW,
                                       .token = token,
                                       .worker = "",
                                       .run_id = run_id,
                                       .view = view,
                                       .view_json = view_json};
    enum hd_code code = hd_request_encode(&request, out, err);
    explicit_bzero(token, sizeof(token));
    return code;
}

static enum hd_code read_view(const struct hd_buf *bytes, struct hd_arena *arena,
                              struct hd_reply *reply, struct hd_value **ret_answer,
                              struct hd_err *err)
{
    static const struct hd_value_limits limits = {
        .bytes_max = HD_VIEW_JSON_MAX, .nodes_max = HD_NEEDS_MAX + 64, .depth_max = 4};
    enum hd_code code = hd_reply_decode(bytes->data, bytes->size, arena, reply, err);
    if (code == HD_OK && reply->kind == HD_REPLY_REFUSED)
        code = hd_fail(err, reply->code != HD_OK ? reply->code : HD_E_INVALID, "%s", reply->text);
    else if (code == HD_OK && reply->kind != HD_REPLY_VIEW)
        code = hd_fail(err, HD_E_INVALID, "the master answers something else");
    return code == HD_OK ? hd_json_parse(reply->view_json, strlen(reply->view_json), "answer",
                                         &limits, ret_answer, err)
                         : code;
}

enum hd_code hd_fetch_view(struct hd_fetch *fetch, const char *address, const char *run_id,
                           const char *view, const char *view_json, int64_t timeout_ms,
                           struct hd_value **ret_answer, struct hd_err *err)
{
    struct hd_buf question, bytes;
    struct hd_arena *arena = NULL;
    struct hd_reply *reply = hd_calloc(1, sizeof(*reply));
    hd_buf_init(&question, HD_MESSAGE_BYTES_MAX);
    hd_buf_init(&bytes, HD_MESSAGE_BYTES_MAX);
    enum hd_code code = reply != NULL ? hd_arena_new(HD_WIRE_ARENA_BYTES_MAX, &arena, err)
                                      : hd_fail(err, HD_E_NOMEM, "no memory for a question");
    if (code == HD_OK)
        code = write_view(fetch, run_id, view, view_json, &question, err);
    if (code == HD_OK)
        code = hd_net_call(address, fetch->security, question.data, question.size, timeout_ms,
                           &bytes, err);
    if (code == HD_OK)
        code = read_view(&bytes, arena, reply, ret_answer, err);
    if (question.data != NULL)
        explicit_bzero(question.data, question.size);
    hd_buf_release(&question);
    hd_buf_release(&bytes);
    hd_arena_free(arena);
    hd_free(reply);
    return code;
}
