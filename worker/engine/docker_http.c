/* SPDX-License-Identifier: Apache-2.0 */
/* docker_http.c: see docker_http.h. The only file of the engine that knows curl. */
#include "docker_http.h"

#include "docker_json.h"

#include <curl/curl.h>
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#define ERROR_BODY_MAX 65536
#define DOCKER_SOCKET "/var/run/docker.sock"
#define PODMAN_SOCKET "/run/podman/podman.sock"
#define CALLS_MAX 8

/* The public part must stay first: callers hold a pointer to it. */
struct call {
    struct hd_docker_call public;
    CURL *easy;
    struct curl_slist *headers;
    void (*sink)(void *context, const char *bytes, size_t size);
    void *sink_context;
    int body_fd;
    char curl_error[CURL_ERROR_SIZE];
};

struct hd_docker_http {
    const struct hd_docker_endpoint *endpoint;
    CURLM *multi;
    struct call *calls[CALLS_MAX];
};

/* ---- where the engine is -------------------------------------------------------------------- */

static enum hd_code init_unix(struct hd_docker_endpoint *endpoint, const char *path,
                              struct hd_err *err)
{
    if (path[0] != '/' || !hd_copy_text(endpoint->socket_path, 108, path))
        return hd_fail(err, HD_E_INVALID,
                       "DOCKER_HOST %s: the socket must be an absolute path of at most 107 bytes",
                       endpoint->display);
    (void)hd_copy_text(endpoint->base_url, sizeof(endpoint->base_url), "http://docker");
    return HD_OK;
}

static bool has_certificate(const struct hd_docker_endpoint *endpoint, const char *name)
{
    char path[HD_DOCKER_URL_MAX + 16];
    return hd_format(path, sizeof(path), "%s/%s", endpoint->cert_dir, name) &&
           access(path, F_OK) == 0;
}

/* Where Docker's own client looks for them. An engine may do without ours, but never we without
 * its. */
static enum hd_code find_certificates(struct hd_docker_endpoint *endpoint, struct hd_err *err)
{
    const char *named = getenv("DOCKER_CERT_PATH"), *config = getenv("DOCKER_CONFIG");
    const char *home = getenv("HOME");
    bool fits;
    if (named == NULL || named[0] == '\0')
        named = config;
    if (named != NULL && named[0] != '\0')
        fits = hd_copy_text(endpoint->cert_dir, sizeof(endpoint->cert_dir), named);
    else
        fits = hd_format(endpoint->cert_dir, sizeof(endpoint->cert_dir), "%s/.docker",
                         home != NULL ? home : "");
    if (!fits)
        return hd_fail(err, HD_E_INVALID, "DOCKER_CERT_PATH is too long");
    if (!has_certificate(endpoint, "ca.pem"))
        return hd_fail(
            err, HD_E_NOTFOUND,
            "%s/ca.pem does not exist: with TLS, DOCKER_CERT_PATH names a directory with "
            "ca.pem, cert.pem and key.pem",
            endpoint->cert_dir);
    bool cert = has_certificate(endpoint, "cert.pem"), key = has_certificate(endpoint, "key.pem");
    if (cert != key)
        return hd_fail(err, HD_E_NOTFOUND, "DOCKER_CERT_PATH %s has %s and no %s",
                       endpoint->cert_dir, cert ? "cert.pem" : "key.pem",
                       cert ? "key.pem" : "cert.pem");
    endpoint->has_cert = cert;
    return HD_OK;
}

static enum hd_code init_tcp(struct hd_docker_endpoint *endpoint, const char *address, bool tls,
                             struct hd_err *err)
{
    static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
                                ".-:[]";
    const char *slash = strchr(address, '/');
    int length = slash != NULL ? (int)(slash - address) : (int)strlen(address);
    if (length == 0 || strspn(address, plain) < (size_t)length ||
        !hd_format(endpoint->base_url, sizeof(endpoint->base_url), "%s://%.*s",
                   tls ? "https" : "http", length, address))
        return hd_fail(err, HD_E_INVALID, "DOCKER_HOST %s: not a host and port", endpoint->display);
    return tls ? find_certificates(endpoint, err) : HD_OK;
}

/* The machine's engine when we may use it, otherwise our own rootless one when there is one. */
static void default_host(char *ret_host, size_t host_size)
{
    const char *runtime = getenv("XDG_RUNTIME_DIR");
    char path[HD_DOCKER_URL_MAX];
    bool own = access(DOCKER_SOCKET, R_OK | W_OK) != 0 && runtime != NULL && runtime[0] == '/' &&
               hd_format(path, sizeof(path), "%s/docker.sock", runtime) &&
               access(path, R_OK | W_OK) == 0;
    if (!own || !hd_format(ret_host, host_size, "unix://%s", path))
        (void)hd_format(ret_host, host_size, "unix://%s", DOCKER_SOCKET);
}

enum hd_code hd_docker_endpoint_init(struct hd_docker_endpoint *endpoint, const char *docker_host,
                                     struct hd_err *err)
{
    const char *host = docker_host != NULL ? docker_host : getenv("DOCKER_HOST");
    const char *verify = getenv("DOCKER_TLS_VERIFY");
    char own[HD_DOCKER_URL_MAX + 8];
    bool tls = verify != NULL && verify[0] != '\0';
    if (host == NULL || host[0] == '\0') {
        default_host(own, sizeof(own));
        host = own;
    }
    memset(endpoint, 0, sizeof(*endpoint));
    atomic_init(&endpoint->minor, HD_DOCKER_MINOR_MIN);
    atomic_init(&endpoint->podman, false);
    if (!hd_copy_text(endpoint->display, sizeof(endpoint->display), host))
        return hd_fail(err, HD_E_INVALID, "DOCKER_HOST is too long");
    if (strncmp(host, "unix://", 7) == 0)
        return init_unix(endpoint, host + 7, err);
    if (strncmp(host, "tcp://", 6) == 0)
        return init_tcp(endpoint, host + 6, tls, err);
    if (strncmp(host, "http://", 7) == 0)
        return init_tcp(endpoint, host + 7, false, err);
    if (strncmp(host, "https://", 8) == 0)
        return init_tcp(endpoint, host + 8, true, err);
    return hd_fail(err, HD_E_UNSUPPORTED,
                   "DOCKER_HOST %s: only unix://PATH and tcp://HOST:PORT are understood (for ssh, "
                   "forward the socket: ssh -L /tmp/docker.sock:/var/run/docker.sock HOST)",
                   host);
}

enum hd_code hd_podman_host(char *ret_host, size_t host_size, struct hd_err *err)
{
    static const char *const names[] = {"DOCKER_HOST", "CONTAINER_HOST"};
    const char *runtime = getenv("XDG_RUNTIME_DIR");
    char path[HD_DOCKER_URL_MAX];
    for (size_t i = 0; i < HD_COUNT(names); i++) {
        const char *host = getenv(names[i]);
        if (host != NULL && host[0] != '\0')
            return hd_copy_text(ret_host, host_size, host)
                       ? HD_OK
                       : hd_fail(err, HD_E_INVALID, "%s is too long", names[i]);
    }
    if (runtime != NULL && hd_format(path, sizeof(path), "%s/podman/podman.sock", runtime) &&
        access(path, F_OK) == 0 && hd_format(ret_host, host_size, "unix://%s", path))
        return HD_OK;
    if (access(PODMAN_SOCKET, F_OK) == 0 &&
        hd_format(ret_host, host_size, "unix://%s", PODMAN_SOCKET))
        return HD_OK;
    return hd_fail(err, HD_E_NOTFOUND,
                   "no Podman service: neither $XDG_RUNTIME_DIR/podman/podman.sock nor %s exists; "
                   "start it (systemctl --user start podman.socket, or podman system service "
                   "--time 0), or set DOCKER_HOST",
                   PODMAN_SOCKET);
}

bool hd_docker_url_escape(const char *text, char *ret_text, size_t text_size)
{
    static const char hex[] = "0123456789ABCDEF";
    static const char plain[] =
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._~";
    size_t used = 0;
    for (; *text != '\0'; text++) {
        unsigned char c = (unsigned char)*text;
        if (used + 4 > text_size)
            return false;
        if (strchr(plain, c) != NULL) {
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

/* ---- the client of one thread --------------------------------------------------------------- */

/* curl's own global state must be made once, before threads use it. */
static void init_curl(void)
{
    curl_global_init(CURL_GLOBAL_DEFAULT);
}

enum hd_code hd_docker_http_new(const struct hd_docker_endpoint *endpoint,
                                struct hd_docker_http **ret_http, struct hd_err *err)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, init_curl);
    struct hd_docker_http *http = hd_calloc(1, sizeof(*http));
    if (http == NULL)
        return hd_fail(err, HD_E_NOMEM, "no memory for an HTTP client");
    http->endpoint = endpoint;
    http->multi = curl_multi_init();
    if (http->multi == NULL) {
        hd_free(http);
        return hd_fail(err, HD_E_NOMEM, "no memory for an HTTP client");
    }
    *ret_http = http;
    return HD_OK;
}

void hd_docker_http_free(struct hd_docker_http *http)
{
    if (http == NULL)
        return;
    for (size_t i = 0; i < CALLS_MAX; i++)
        hd_assert(http->calls[i] == NULL);
    curl_multi_cleanup(http->multi);
    hd_free(http);
}

void hd_docker_http_wake(struct hd_docker_http *http)
{
    curl_multi_wakeup(http->multi);
}

/* ---- one call ------------------------------------------------------------------------------- */

static size_t on_header(char *bytes, size_t unit, size_t count, void *context)
{
    static const char name[] = "api-version:", libpod[] = "libpod-api-version:";
    struct call *call = context;
    size_t size = unit * count;
    if (size <= 2) { /* the empty line at the end of the headers */
        long status = 0;
        curl_easy_getinfo(call->easy, CURLINFO_RESPONSE_CODE, &status);
        call->public.status = (int)status;
        call->public.headers_seen = status >= 200;
    }
    if (size > sizeof(libpod) && strncasecmp(bytes, libpod, sizeof(libpod) - 1) == 0)
        call->public.libpod = true;
    if (size > sizeof(name) && strncasecmp(bytes, name, sizeof(name) - 1) == 0) {
        size_t at = sizeof(name) - 1;
        while (at < size && bytes[at] == ' ')
            at++;
        size_t length = strcspn(bytes + at, "\r\n ");
        (void)hd_format(call->public.api_version, sizeof(call->public.api_version), "%.*s",
                        (int)length, bytes + at);
    }
    return size;
}

static size_t on_body(char *bytes, size_t unit, size_t count, void *context)
{
    struct call *call = context;
    size_t size = unit * count;
    struct hd_err err;
    bool good = call->public.status >= 200 && call->public.status < 300;
    if (good && call->sink != NULL) {
        call->sink(call->sink_context, bytes, size);
        return size;
    }
    /* An endless error text is cut; an endless answer is an error. */
    if (!good && call->public.body.size + size > ERROR_BODY_MAX)
        return size;
    if (hd_buf_append(&call->public.body, bytes, size, &err) != HD_OK) {
        call->public.code = HD_E_LIMIT;
        return 0;
    }
    return size;
}

static bool set_tls(struct call *call, const struct hd_docker_endpoint *endpoint)
{
    static const struct {
        CURLoption option;
        const char *name;
    } files[] = {
        {CURLOPT_CAINFO, "ca.pem"}, {CURLOPT_SSLCERT, "cert.pem"}, {CURLOPT_SSLKEY, "key.pem"}};
    char path[HD_DOCKER_URL_MAX + 16];
    size_t count = endpoint->has_cert ? HD_COUNT(files) : 1;
    for (size_t i = 0; endpoint->cert_dir[0] != '\0' && i < count; i++)
        if (!hd_format(path, sizeof(path), "%s/%s", endpoint->cert_dir, files[i].name) ||
            curl_easy_setopt(call->easy, files[i].option, path) != CURLE_OK)
            return false;
    return true;
}

static bool add_header(struct call *call, const char *header)
{
    struct curl_slist *longer = curl_slist_append(call->headers, header);
    if (longer != NULL)
        call->headers = longer;
    return longer != NULL;
}

/* curl has its own copy of what it is given; ours does not stay. */
static bool add_registry_auth(struct call *call, const char *auth)
{
    static const char name[] = "X-Registry-Auth: ";
    size_t size = sizeof(name) + strlen(auth);
    char *header = hd_malloc(size);
    bool good =
        header != NULL && hd_format(header, size, "%s%s", name, auth) && add_header(call, header);
    if (header != NULL)
        explicit_bzero(header, size);
    hd_free(header);
    return good;
}

static size_t read_body(char *bytes, size_t unit, size_t count, void *context)
{
    struct call *call = context;
    ssize_t got;
    do
        got = read(call->body_fd, bytes, unit * count);
    while (got < 0 && errno == EINTR);
    return got < 0 ? CURL_READFUNC_ABORT : (size_t)got;
}

/* A connection that was closed meanwhile is made again, and the body begins again. */
static int seek_body(void *context, curl_off_t offset, int origin)
{
    const struct call *call = context;
    return lseek(call->body_fd, (off_t)offset, origin) < 0 ? CURL_SEEKFUNC_FAIL : CURL_SEEKFUNC_OK;
}

static bool set_file_body(struct call *call, const struct hd_docker_request *request)
{
    call->body_fd = request->body_fd;
    return curl_easy_setopt(call->easy, CURLOPT_READFUNCTION, read_body) == CURLE_OK &&
           curl_easy_setopt(call->easy, CURLOPT_READDATA, call) == CURLE_OK &&
           curl_easy_setopt(call->easy, CURLOPT_SEEKFUNCTION, seek_body) == CURLE_OK &&
           curl_easy_setopt(call->easy, CURLOPT_SEEKDATA, call) == CURLE_OK &&
           curl_easy_setopt(call->easy, CURLOPT_POSTFIELDSIZE_LARGE,
                            (curl_off_t)request->body_fd_size) == CURLE_OK;
}

static bool set_text_body(struct call *call, const struct hd_docker_request *request)
{
    size_t size = request->body_size > 0 || request->body == NULL ? request->body_size
                                                                  : strlen(request->body);
    return curl_easy_setopt(call->easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)size) ==
               CURLE_OK &&
           curl_easy_setopt(call->easy, CURLOPT_POSTFIELDS,
                            request->body != NULL ? request->body : "") == CURLE_OK;
}

static bool set_body(struct call *call, const struct hd_docker_request *request)
{
    char type[128];
    if (!hd_streq(request->method, "POST") && !hd_streq(request->method, "PUT"))
        return true;
    (void)hd_format(type, sizeof(type), "Content-Type: %s",
                    request->content_type != NULL ? request->content_type : "application/json");
    return add_header(call, type) && add_header(call, "Expect:") &&
           (request->registry_auth == NULL || add_registry_auth(call, request->registry_auth)) &&
           curl_easy_setopt(call->easy, CURLOPT_HTTPHEADER, call->headers) == CURLE_OK &&
           (request->body_fd_size > 0 ? set_file_body(call, request)
                                      : set_text_body(call, request));
}

static bool set_url(struct call *call, const struct hd_docker_endpoint *endpoint,
                    const struct hd_docker_request *request)
{
    char url[HD_DOCKER_URL_MAX + 64];
    int minor = atomic_load(&((struct hd_docker_endpoint *)(uintptr_t)endpoint)->minor);
    bool fits =
        request->unversioned
            ? hd_format(url, sizeof(url), "%s%s", endpoint->base_url, request->path)
            : hd_format(url, sizeof(url), "%s/v1.%d%s", endpoint->base_url, minor, request->path);
    return fits && curl_easy_setopt(call->easy, CURLOPT_URL, url) == CURLE_OK &&
           (endpoint->socket_path[0] == '\0' ||
            curl_easy_setopt(call->easy, CURLOPT_UNIX_SOCKET_PATH, endpoint->socket_path) ==
                CURLE_OK);
}

/* No proxy: an environment made for web traffic must not carry a socket that is root. */
static bool set_options(struct call *call, const struct hd_docker_request *request)
{
    CURL *easy = call->easy;
    bool good = curl_easy_setopt(easy, CURLOPT_PROXY, "") == CURLE_OK &&
                curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L) == CURLE_OK &&
                curl_easy_setopt(easy, CURLOPT_CUSTOMREQUEST, request->method) == CURLE_OK &&
                curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS, (long)HD_DOCKER_CONNECT_MS_MAX) ==
                    CURLE_OK &&
                curl_easy_setopt(easy, CURLOPT_TCP_KEEPALIVE, 1L) == CURLE_OK &&
                curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, on_header) == CURLE_OK &&
                curl_easy_setopt(easy, CURLOPT_HEADERDATA, call) == CURLE_OK &&
                curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, on_body) == CURLE_OK &&
                curl_easy_setopt(easy, CURLOPT_WRITEDATA, call) == CURLE_OK &&
                curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, call->curl_error) == CURLE_OK;
    if (good && (hd_streq(request->method, "POST") || hd_streq(request->method, "PUT")))
        good = curl_easy_setopt(easy, CURLOPT_POST, 1L) == CURLE_OK;
    if (good && !request->stream)
        good = curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS,
                                (long)(request->limit_ms > 0 ? request->limit_ms
                                                             : HD_DOCKER_CALL_MS_MAX)) == CURLE_OK;
    if (good && request->stall_ms > 0)
        good = curl_easy_setopt(easy, CURLOPT_LOW_SPEED_LIMIT, 1L) == CURLE_OK &&
               curl_easy_setopt(easy, CURLOPT_LOW_SPEED_TIME,
                                (long)((request->stall_ms + 999) / 1000)) == CURLE_OK;
    return good;
}

static void free_call(struct call *call)
{
    curl_slist_free_all(call->headers);
    if (call->easy != NULL)
        curl_easy_cleanup(call->easy);
    hd_buf_release(&call->public.body);
    hd_free(call);
}

enum hd_code hd_docker_call_begin(struct hd_docker_http *http,
                                  const struct hd_docker_request *request,
                                  struct hd_docker_call **ret_call, struct hd_err *err)
{
    size_t slot = 0;
    while (slot < CALLS_MAX && http->calls[slot] != NULL)
        slot++;
    hd_assert(slot < CALLS_MAX);
    struct call *call = hd_calloc(1, sizeof(*call));
    if (call == NULL)
        return hd_fail(err, HD_E_NOMEM, "no memory for a request to the Docker engine");
    hd_buf_init(&call->public.body, HD_DOCKER_BODY_MAX);
    call->sink = request->sink;
    call->sink_context = request->sink_context;
    call->easy = curl_easy_init();
    if (call->easy == NULL || !set_url(call, http->endpoint, request) ||
        !set_options(call, request) || !set_body(call, request) || !set_tls(call, http->endpoint) ||
        curl_multi_add_handle(http->multi, call->easy) != CURLM_OK) {
        free_call(call);
        return hd_fail(err, HD_E_NOMEM, "a request to the Docker engine could not be made (%s)",
                       request->path);
    }
    http->calls[slot] = call;
    *ret_call = &call->public;
    return HD_OK;
}

void hd_docker_call_end(struct hd_docker_http *http, struct hd_docker_call *call)
{
    if (call == NULL)
        return;
    for (size_t i = 0; i < CALLS_MAX; i++) {
        if (http->calls[i] == NULL || &http->calls[i]->public != call)
            continue;
        curl_multi_remove_handle(http->multi, http->calls[i]->easy);
        free_call(http->calls[i]);
        http->calls[i] = NULL;
        return;
    }
    hd_assert(!"the call belongs to this client");
}

/* The other end went away before it said anything. Since TLS 1.3 a refused certificate may look
 * like this: the handshake is over for us when the server has its doubts. */
static bool was_cut(const struct call *call, CURLcode result, const char *said)
{
    bool lost = result == CURLE_RECV_ERROR || result == CURLE_SEND_ERROR ||
                result == CURLE_GOT_NOTHING || result == CURLE_SSL_CONNECT_ERROR;
    return !call->public.headers_seen && (lost || strstr(said, "getpeername") != NULL);
}

/* Which of the files it is about, in front of what curl says. */
static void explain_tls(const struct hd_docker_endpoint *endpoint, struct call *call,
                        CURLcode result, const char *said)
{
    const char *dir = endpoint->cert_dir;
    char *text = call->public.error;
    const size_t size = sizeof(call->public.error);
    bool tls = dir[0] != '\0', alert = strstr(said, "alert") != NULL;
    bool cut = alert || was_cut(call, result, said);
    if (tls && result == CURLE_PEER_FAILED_VERIFICATION)
        (void)hd_format(text, size,
                        "its certificate is not of the CA in %s/ca.pem, or of another host: %s",
                        dir, said);
    else if (tls && (result == CURLE_SSL_CERTPROBLEM || result == CURLE_SSL_CACERT_BADFILE))
        (void)hd_format(text, size, "the certificates in %s cannot be used: %s", dir, said);
    else if (tls && cut && endpoint->has_cert)
        (void)hd_format(text, size, "it %s our certificate, %s/cert.pem: %s",
                        alert ? "refuses" : "ended the connection, perhaps for", dir, said);
    else if (tls && cut)
        (void)hd_format(text, size, "it %s certificate, and there is no %s/cert.pem: %s",
                        alert ? "wants a" : "ended the connection, perhaps for want of a", dir,
                        said);
    else if (cut && endpoint->socket_path[0] == '\0')
        (void)hd_format(text, size, "%s; if it wants TLS, set DOCKER_TLS_VERIFY=1", said);
    else
        (void)hd_copy_text(text, size, said);
}

static void finish_call(const struct hd_docker_endpoint *endpoint, struct call *call,
                        CURLcode result)
{
    call->public.done = true;
    if (result == CURLE_OK)
        return;
    if (call->public.code == HD_OK)
        call->public.code = result == CURLE_OPERATION_TIMEDOUT ? HD_E_TIMEOUT : HD_E_NET;
    explain_tls(endpoint, call, result,
                call->curl_error[0] != '\0' ? call->curl_error : curl_easy_strerror(result));
}

static void collect_finished(struct hd_docker_http *http)
{
    int left;
    for (CURLMsg *message; (message = curl_multi_info_read(http->multi, &left)) != NULL;) {
        if (message->msg != CURLMSG_DONE)
            continue;
        for (size_t i = 0; i < CALLS_MAX; i++)
            if (http->calls[i] != NULL && http->calls[i]->easy == message->easy_handle)
                finish_call(http->endpoint, http->calls[i], message->data.result);
    }
}

void hd_docker_http_pump(struct hd_docker_http *http, int64_t wait_ms)
{
    int running;
    if (wait_ms > 0)
        curl_multi_poll(http->multi, NULL, 0, wait_ms > 60000 ? 60000 : (int)wait_ms, NULL);
    curl_multi_perform(http->multi, &running);
    collect_finished(http);
}
