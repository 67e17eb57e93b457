/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An S3-compatible store, through libcurl's AWS signature version 4.
 *
 * What libcurl does not do in every version we meet is done here: each request carries
 * x-amz-content-sha256 with the hash of its body (so the signature covers it, and the store refuses
 * what arrived changed), names are escaped as the signature wants them, and query parameters are
 * written in the order of their names with a '=' each. Buckets stand in the path, which every store
 * understands. No redirect is followed: it would be signed for another host.
 */
#include "answer.h"
#include "store.h"

#include <hd/pki.h>

#include <curl/curl.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#define URL_MAX 8192
#define CONNECT_MS 10000L
#define SWEEP_LISTED_MAX 20 /* of one answer, which is at most HD_S3_ANSWER_MAX long */
#define SWEEP_ROUNDS_MAX 50
#define STALL_S 60L /* without a byte: ended and tried again */
#define TAGS_XML_EACH (HD_ARTIFACT_TAG_MAX * 6 + 96)

struct s3_store {
    struct hd_artifact_store public;
    struct hd_artifact_access access;
    CURL *easy; /* keeps the connection between calls */
};

struct call {
    const char *method, *key, *query; /* key NULL: the bucket; query: "" or "a=b&c=d" */
    const void *body;
    size_t size;
    uint64_t answer_max; /* bytes of an object that is asked for */
    hd_artifact_sink sink;
    void *sink_context;
    /* What came. */
    struct s3_store *store;
    struct hd_buf answer;
    uint64_t got;
    char etag[HD_ARTIFACT_TAG_MAX];
    bool refused, too_large; /* by the sink; by answer_max */
};

/* ---- names ---------------------------------------------------------------------------------- */

static bool escape(const char *text, bool slashes, char *ret_text, size_t size)
{
    static const char hex[] = "0123456789ABCDEF";
    static const char plain[] =
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._~";
    size_t used = 0;
    for (; *text != '\0'; text++) {
        unsigned char c = (unsigned char)*text;
        if (used + 4 > size)
            return false;
        if (strchr(plain, c) != NULL || (slashes && c == '/')) {
            ret_text[used++] = (char)c;
            continue;
        }
        ret_text[used++] = '%';
        ret_text[used++] = hex[c >> 4];
        ret_text[used++] = hex[c & 15];
    }
    ret_text[used] = '\0';
    return true;
}

static bool make_url(const struct s3_store *store, const struct call *call, char url[URL_MAX])
{
    const struct hd_artifact_place *place = &store->public.place;
    char amazon[128], prefix[3 * HD_ARTIFACT_URL_MAX], key[3 * HD_ARTIFACT_KEY_MAX + 4];
    (void)hd_format(amazon, sizeof(amazon), "https://s3.%s.amazonaws.com", store->access.region);
    const char *endpoint = store->access.endpoint[0] != '\0' ? store->access.endpoint : amazon;
    if (call->key == NULL)
        return hd_format(url, URL_MAX, "%s/%s/?%s", endpoint, place->bucket, call->query);
    if (place->path[0] != '\0' && strlen(place->path) + 1 + strlen(call->key) > HD_ARTIFACT_KEY_MAX)
        return false;
    return escape(place->path, true, prefix, sizeof(prefix)) &&
           escape(call->key, true, key, sizeof(key)) &&
           hd_format(url, URL_MAX, "%s/%s/%s%s%s%s%s", endpoint, place->bucket, prefix,
                     prefix[0] != '\0' ? "/" : "", key, call->query[0] != '\0' ? "?" : "",
                     call->query);
}

/* ---- one request ---------------------------------------------------------------------------- */

static size_t on_header(char *bytes, size_t unit, size_t count, void *context)
{
    static const char name[] = "etag:";
    struct call *call = context;
    size_t size = unit * count, at = sizeof(name) - 1;
    if (size > at && strncasecmp(bytes, name, at) == 0) {
        while (at < size && bytes[at] == ' ')
            at++;
        size_t end = size;
        while (end > at && strchr("\r\n ", bytes[end - 1]) != NULL)
            end--;
        if (!hd_format(call->etag, sizeof(call->etag), "%.*s", (int)(end - at), bytes + at))
            call->etag[0] = '\0';
    }
    return size;
}

static size_t on_body(char *bytes, size_t unit, size_t count, void *context)
{
    struct call *call = context;
    struct hd_err ignored;
    size_t size = unit * count;
    long status = 0;
    curl_easy_getinfo(call->store->easy, CURLINFO_RESPONSE_CODE, &status);
    if (status == 200 && call->sink != NULL) {
        call->got += size;
        call->too_large = call->got > call->answer_max;
        call->refused = !call->too_large && !call->sink(call->sink_context, bytes, size);
        return call->too_large || call->refused ? 0 : size;
    }
    /* What is longer than any answer we understand is cut. */
    (void)!hd_buf_append(&call->answer, bytes, size, &ignored);
    return size;
}

static int on_progress(void *context, curl_off_t a, curl_off_t b, curl_off_t c, curl_off_t d)
{
    (void)a, (void)b, (void)c, (void)d;
    struct s3_store *store = context;
    return atomic_load(&store->public.cancelled) ? 1 : 0;
}

static bool add_header(struct curl_slist **list, const char *name, const char *value)
{
    char line[4200];
    struct curl_slist *longer = hd_format(line, sizeof(line), "%s: %s", name, value)
                                    ? curl_slist_append(*list, line)
                                    : NULL;
    if (longer != NULL)
        *list = longer;
    return longer != NULL;
}

/* The order of names is that of the signature, for versions that do not sort them. */
static bool make_headers(const struct s3_store *store, const struct call *call,
                         struct curl_slist **list)
{
    struct hd_sha256 *sha;
    struct hd_err ignored;
    char hash[HD_SHA256_TEXT_SIZE];
    if (hd_sha256_new(&sha, &ignored) != HD_OK)
        return false;
    hd_sha256_add(sha, call->body != NULL ? call->body : "", call->size);
    hd_sha256_end(sha, hash);
    hd_sha256_free(sha);
    return (call->body == NULL || add_header(list, "Content-Type", "application/octet-stream")) &&
           add_header(list, "x-amz-content-sha256", hash) &&
           (store->access.session[0] == '\0' ||
            add_header(list, "x-amz-security-token", store->access.session));
}

static bool set_body(CURL *easy, const struct call *call)
{
    if (call->body == NULL)
        return true;
    return curl_easy_setopt(easy, CURLOPT_POST, 1L) == CURLE_OK &&
           curl_easy_setopt(easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)call->size) ==
               CURLE_OK &&
           curl_easy_setopt(easy, CURLOPT_POSTFIELDS, call->body) == CURLE_OK;
}

static bool set_signature(CURL *easy, const struct hd_artifact_access *access)
{
    char provider[128];
    return hd_format(provider, sizeof(provider), "aws:amz:%s:s3", access->region) &&
           curl_easy_setopt(easy, CURLOPT_AWS_SIGV4, provider) == CURLE_OK &&
           curl_easy_setopt(easy, CURLOPT_USERNAME, access->key_id) == CURLE_OK &&
           curl_easy_setopt(easy, CURLOPT_PASSWORD, access->secret) == CURLE_OK &&
           (access->ca_file[0] == '\0' ||
            curl_easy_setopt(easy, CURLOPT_CAINFO, access->ca_file) == CURLE_OK);
}

static bool set_options(struct s3_store *store, struct call *call, const char *url, char *error)
{
    CURL *easy = store->easy;
    return curl_easy_setopt(easy, CURLOPT_URL, url) == CURLE_OK &&
           curl_easy_setopt(easy, CURLOPT_PATH_AS_IS, 1L) == CURLE_OK &&
           curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L) == CURLE_OK &&
           curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS, CONNECT_MS) == CURLE_OK &&
           curl_easy_setopt(easy, CURLOPT_LOW_SPEED_LIMIT, 1L) == CURLE_OK &&
           curl_easy_setopt(easy, CURLOPT_LOW_SPEED_TIME, STALL_S) == CURLE_OK &&
           curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, on_header) == CURLE_OK &&
           curl_easy_setopt(easy, CURLOPT_HEADERDATA, call) == CURLE_OK &&
           curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, on_body) == CURLE_OK &&
           curl_easy_setopt(easy, CURLOPT_WRITEDATA, call) == CURLE_OK &&
           curl_easy_setopt(easy, CURLOPT_NOPROGRESS, 0L) == CURLE_OK &&
           curl_easy_setopt(easy, CURLOPT_XFERINFOFUNCTION, on_progress) == CURLE_OK &&
           curl_easy_setopt(easy, CURLOPT_XFERINFODATA, store) == CURLE_OK &&
           curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, error) == CURLE_OK && set_body(easy, call) &&
           set_signature(easy, &store->access) &&
           curl_easy_setopt(easy, CURLOPT_CUSTOMREQUEST, call->method) == CURLE_OK;
}

static enum hd_code judge_transfer(const struct s3_store *store, const struct call *call,
                                   CURLcode result, const char *error, struct hd_err *err)
{
    const char *url = store->public.place.url;
    const char *why = error[0] != '\0' ? error : curl_easy_strerror(result);
    if (atomic_load(&store->public.cancelled))
        return hd_fail(err, HD_E_CANCELLED, "the transfer was ended");
    if (call->too_large)
        return hd_fail(err, HD_E_LIMIT, "%s: %s is larger than %llu bytes", url, call->key,
                       (unsigned long long)call->answer_max);
    if (call->refused)
        return hd_fail(err, HD_E_IO, "%s: what came of %s could not be kept", url, call->key);
    if (result == CURLE_OPERATION_TIMEDOUT)
        return hd_fail(err, HD_E_TIMEOUT, "%s: %s", url, why);
    if (result == CURLE_PEER_FAILED_VERIFICATION || result == CURLE_SSL_CACERT_BADFILE)
        return hd_fail(err, HD_E_AUTH, "%s: %s (AWS_CA_BUNDLE names another CA)", url, why);
    return hd_fail(err, HD_E_NET, "%s: %s", url, why);
}

/* The answer is call->answer, which the caller releases, also after a failure. */
static enum hd_code perform(struct hd_artifact_store *public, struct call *call, struct hd_err *err)
{
    struct s3_store *store = (struct s3_store *)public;
    char url[URL_MAX], error[CURL_ERROR_SIZE] = "", what[HD_ARTIFACT_URL_MAX + 32];
    struct curl_slist *headers = NULL;
    hd_buf_init(&call->answer, HD_S3_ANSWER_MAX);
    call->store = store;
    if (!make_url(store, call, url))
        return hd_fail(err, HD_E_LIMIT, "%s: the name %s is too long for a store",
                       public->place.url, call->key != NULL ? call->key : "");
    curl_easy_reset(store->easy);
    bool good = make_headers(store, call, &headers) && set_options(store, call, url, error) &&
                curl_easy_setopt(store->easy, CURLOPT_HTTPHEADER, headers) == CURLE_OK;
    CURLcode result = good ? curl_easy_perform(store->easy) : CURLE_OUT_OF_MEMORY;
    curl_slist_free_all(headers);
    if (!good)
        return hd_fail(err, HD_E_UNSUPPORTED,
                       "this libcurl cannot sign requests to a store (7.75 or later can)");
    if (result != CURLE_OK)
        return judge_transfer(store, call, result, error, err);
    long status = 0;
    curl_easy_getinfo(store->easy, CURLINFO_RESPONSE_CODE, &status);
    (void)hd_format(what, sizeof(what), "%s: %s", public->place.url, call->method);
    return hd_s3_judge((int)status, hd_buf_text(&call->answer), call->answer.size, what, err);
}

/* ---- objects -------------------------------------------------------------------------------- */

static enum hd_code s3_put(struct hd_artifact_store *store, const char *key, const void *bytes,
                           size_t size, struct hd_err *err)
{
    struct call call = {
        .method = "PUT", .key = key, .query = "", .body = size > 0 ? bytes : "", .size = size};
    enum hd_code code = perform(store, &call, err);
    hd_buf_release(&call.answer);
    return code;
}

static enum hd_code s3_get(struct hd_artifact_store *store, const char *key, uint64_t size_max,
                           hd_artifact_sink sink, void *context, struct hd_err *err)
{
    struct call call = {.method = "GET",
                        .key = key,
                        .query = "",
                        .answer_max = size_max,
                        .sink = sink,
                        .sink_context = context};
    enum hd_code code = perform(store, &call, err);
    hd_buf_release(&call.answer);
    return code;
}

static enum hd_code s3_remove(struct hd_artifact_store *store, const char *key, struct hd_err *err)
{
    struct call call = {.method = "DELETE", .key = key, .query = ""};
    char name[64] = "";
    enum hd_code code = perform(store, &call, err);
    /* Without a bucket nothing can be removed; without the object nothing has to be. */
    bool no_bucket =
        hd_s3_element(hd_buf_text(&call.answer), call.answer.size, "Code", name, sizeof(name)) &&
        hd_streq(name, "NoSuchBucket");
    hd_buf_release(&call.answer);
    return code == HD_E_NOTFOUND && !no_bucket ? HD_OK : code;
}

/* ---- in parts ------------------------------------------------------------------------------- */

static enum hd_code s3_begin(struct hd_artifact_store *store, const char *key, char *ret_upload,
                             struct hd_err *err)
{
    struct call call = {.method = "POST", .key = key, .query = "uploads=", .body = ""};
    char upload[HD_ARTIFACT_TAG_MAX];
    enum hd_code code = perform(store, &call, err);
    if (code == HD_OK && (!hd_s3_element(hd_buf_text(&call.answer), call.answer.size, "UploadId",
                                         upload, sizeof(upload)) ||
                          upload[0] == '\0'))
        code = hd_fail(err, HD_E_NET, "%s: the store did not say the id of an upload",
                       store->place.url);
    hd_buf_release(&call.answer);
    if (code == HD_OK)
        (void)hd_copy_text(ret_upload, HD_ARTIFACT_TAG_MAX, upload);
    return code;
}

static enum hd_code s3_part(struct hd_artifact_store *store, const char *key, const char *upload,
                            uint32_t number, const void *bytes, size_t size, char *ret_tag,
                            struct hd_err *err)
{
    char escaped[3 * HD_ARTIFACT_TAG_MAX], query[3 * HD_ARTIFACT_TAG_MAX + 64];
    struct call call = {.method = "PUT", .key = key, .query = query, .body = bytes, .size = size};
    if (!escape(upload, false, escaped, sizeof(escaped)) ||
        !hd_format(query, sizeof(query), "partNumber=%u&uploadId=%s", number, escaped))
        return hd_fail(err, HD_E_CONFLICT, "the id of an upload is too long");
    enum hd_code code = perform(store, &call, err);
    if (code == HD_OK && call.etag[0] == '\0')
        code = hd_fail(err, HD_E_NET, "%s: the store gave a part no tag", store->place.url);
    hd_buf_release(&call.answer);
    if (code == HD_OK)
        (void)hd_copy_text(ret_tag, HD_ARTIFACT_TAG_MAX, call.etag);
    return code;
}

/* A tag comes from the store and goes back into XML. */
static enum hd_code put_tag(struct hd_buf *xml, uint32_t number, const char *tag,
                            struct hd_err *err)
{
    enum hd_code code = hd_buf_printf(xml, err, "<Part><PartNumber>%u</PartNumber><ETag>", number);
    for (; *tag != '\0' && code == HD_OK; tag++) {
        const char one[2] = {*tag, '\0'};
        const char *text = *tag == '&'   ? "&amp;"
                           : *tag == '<' ? "&lt;"
                           : *tag == '>' ? "&gt;"
                           : *tag == '"' ? "&quot;"
                                         : one;
        code = hd_buf_puts(xml, text, err);
    }
    return code == HD_OK ? hd_buf_puts(xml, "</ETag></Part>", err) : code;
}

static enum hd_code s3_finish(struct hd_artifact_store *store, const char *key, const char *upload,
                              const char (*tags)[HD_ARTIFACT_TAG_MAX], uint32_t count,
                              struct hd_err *err)
{
    char escaped[3 * HD_ARTIFACT_TAG_MAX], query[3 * HD_ARTIFACT_TAG_MAX + 64];
    struct hd_buf xml;
    if (!escape(upload, false, escaped, sizeof(escaped)) ||
        !hd_format(query, sizeof(query), "uploadId=%s", escaped))
        return hd_fail(err, HD_E_CONFLICT, "the id of an upload is too long");
    hd_buf_init(&xml, (size_t)HD_ARTIFACT_PARTS_MAX * TAGS_XML_EACH);
    enum hd_code code = hd_buf_puts(&xml, "<CompleteMultipartUpload>", err);
    for (uint32_t i = 0; i < count && code == HD_OK; i++)
        code = put_tag(&xml, i + 1, tags[i], err);
    if (code == HD_OK)
        code = hd_buf_puts(&xml, "</CompleteMultipartUpload>", err);
    if (code == HD_OK) {
        struct call call = {.method = "POST",
                            .key = key,
                            .query = query,
                            .body = hd_buf_text(&xml),
                            .size = xml.size};
        code = perform(store, &call, err);
        hd_buf_release(&call.answer);
    }
    hd_buf_release(&xml);
    return code;
}

static enum hd_code s3_abandon(struct hd_artifact_store *store, const char *key, const char *upload,
                               struct hd_err *err)
{
    char escaped[3 * HD_ARTIFACT_TAG_MAX], query[3 * HD_ARTIFACT_TAG_MAX + 64];
    if (!escape(upload, false, escaped, sizeof(escaped)) ||
        !hd_format(query, sizeof(query), "uploadId=%s", escaped))
        return HD_OK; /* there cannot be one */
    struct call call = {.method = "DELETE", .key = key, .query = query};
    enum hd_code code = perform(store, &call, err);
    hd_buf_release(&call.answer);
    return code == HD_E_CONFLICT || code == HD_E_NOTFOUND ? HD_OK : code;
}

/* ---- uploads that nobody knows ----------------------------------------------------------------
 */

static enum hd_code sweep_listed(struct hd_artifact_store *store, const struct call *list,
                                 const char *key, const char *whole_key, uint32_t *count,
                                 struct hd_err *err)
{
    const char *at = hd_buf_text(&list->answer);
    size_t left = list->answer.size;
    char name[HD_ARTIFACT_KEY_MAX + 1], upload[HD_ARTIFACT_TAG_MAX];
    enum hd_code code = HD_OK;
    while (code == HD_OK &&
           hd_s3_next_upload(&at, &left, name, sizeof(name), upload, sizeof(upload))) {
        if (!hd_streq(name, whole_key)) /* it only begins alike */
            continue;
        code = s3_abandon(store, key, upload, err);
        *count += code == HD_OK ? 1 : 0;
    }
    return code;
}

/* Answers are small, so it asks until nothing more is found. */
static enum hd_code s3_sweep(struct hd_artifact_store *store, const char *key, uint32_t *ret_count,
                             struct hd_err *err)
{
    const char *prefix = store->place.path;
    char whole_key[HD_ARTIFACT_KEY_MAX + 1], escaped[3 * HD_ARTIFACT_KEY_MAX + 8];
    char query[3 * HD_ARTIFACT_KEY_MAX + 64];
    if (!hd_format(whole_key, sizeof(whole_key), "%s%s%s", prefix, prefix[0] != '\0' ? "/" : "",
                   key) ||
        !escape(whole_key, false, escaped, sizeof(escaped)) ||
        !hd_format(query, sizeof(query), "max-uploads=%d&prefix=%s&uploads=", SWEEP_LISTED_MAX,
                   escaped))
        return HD_OK; /* there cannot be one */
    enum hd_code code = HD_OK;
    bool more = true;
    for (int round = 0; code == HD_OK && more && round < SWEEP_ROUNDS_MAX; round++) {
        struct call list = {.method = "GET", .query = query};
        uint32_t before = *ret_count;
        code = perform(store, &list, err);
        if (code == HD_OK)
            code = sweep_listed(store, &list, key, whole_key, ret_count, err);
        hd_buf_release(&list.answer);
        more = *ret_count - before > 0;
    }
    return code;
}

/* ---- life ----------------------------------------------------------------------------------- */

static void s3_close(struct hd_artifact_store *public)
{
    struct s3_store *store = (struct s3_store *)public;
    if (store->easy != NULL)
        curl_easy_cleanup(store->easy);
    explicit_bzero(&store->access, sizeof(store->access));
    hd_free(store);
}

static void init_curl(void)
{
    curl_global_init(CURL_GLOBAL_DEFAULT);
}

enum hd_code hd_s3_store_open(const struct hd_artifact_place *place,
                              const struct hd_artifact_access *access,
                              struct hd_artifact_store **ret_store, struct hd_err *err)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    static const struct hd_artifact_ops ops = {
        .close = s3_close,
        .put = s3_put,
        .begin = s3_begin,
        .part = s3_part,
        .finish = s3_finish,
        .abandon = s3_abandon,
        .sweep = s3_sweep,
        .get = s3_get,
        .remove = s3_remove,
    };
    hd_assert(access != NULL);
    pthread_once(&once, init_curl);
    struct s3_store *store = hd_calloc(1, sizeof(*store));
    if (store == NULL)
        return hd_fail(err, HD_E_NOMEM, "no memory for a store");
    store->public.ops = &ops;
    store->public.place = *place;
    store->access = *access;
    store->easy = curl_easy_init();
    if (store->easy == NULL) {
        hd_free(store);
        return hd_fail(err, HD_E_NOMEM, "no memory for a store");
    }
    *ret_store = &store->public;
    return HD_OK;
}
