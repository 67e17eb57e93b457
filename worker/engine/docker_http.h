/* SPDX-License-Identifier: Apache-2.0 */
/*
 * docker_http.h: requests to a Docker engine over its unix socket or TCP.
 *
 * A struct hd_docker_http belongs to one thread, which may have several calls in flight (a wait, a
 * log stream and a short request); only hd_docker_http_wake() may come from elsewhere. Nothing
 * waits without a bound: short calls have a time limit, and streams are pumped by their owner.
 */
#ifndef HD_ENGINE_DOCKER_HTTP_H
#define HD_ENGINE_DOCKER_HTTP_H

#include <hd/base.h>

#include <stdatomic.h>

#define HD_DOCKER_URL_MAX 2048
#define HD_DOCKER_CONNECT_MS_MAX 5000
#define HD_DOCKER_CALL_MS_MAX 120000 /* a short call: create on a busy engine takes seconds */

/* Where the engine is; made once, read by all threads. */
struct hd_docker_endpoint {
    char display[HD_DOCKER_URL_MAX];     /* as the person wrote it */
    char socket_path[HD_DOCKER_URL_MAX]; /* "" for TCP */
    char base_url[HD_DOCKER_URL_MAX];    /* "http://docker", "https://host:2376" */
    char cert_dir[HD_DOCKER_URL_MAX];    /* "" without TLS: ca.pem, cert.pem, key.pem */
    bool has_cert;                       /* the latter two are there */
    atomic_int minor;                    /* negotiated version 1.minor */
    atomic_bool podman;                  /* it is Podman's service, which differs in a few things */
};

/* docker_host NULL: $DOCKER_HOST, otherwise /var/run/docker.sock, or when that is none of ours
 * $XDG_RUNTIME_DIR/docker.sock. $DOCKER_TLS_VERIFY and
 * $DOCKER_CERT_PATH mean what they mean to Docker's own client; HD_E_NOTFOUND: files are missing
 * there. */
HD_NODISCARD enum hd_code hd_docker_endpoint_init(struct hd_docker_endpoint *endpoint,
                                                  const char *docker_host, struct hd_err *err);

/* Where Podman's service listens: $DOCKER_HOST, $CONTAINER_HOST,
 * $XDG_RUNTIME_DIR/podman/podman.sock or /run/podman/podman.sock, the first that there is;
 * HD_E_NOTFOUND says how to start it. */
HD_NODISCARD enum hd_code hd_podman_host(char *ret_host, size_t host_size, struct hd_err *err);

struct hd_docker_http;
HD_NODISCARD enum hd_code hd_docker_http_new(const struct hd_docker_endpoint *endpoint,
                                             struct hd_docker_http **ret_http, struct hd_err *err);
void hd_docker_http_free(struct hd_docker_http *http); /* its calls must have ended */
/* From any thread: the pump that runs now, or the next one, returns early. */
void hd_docker_http_wake(struct hd_docker_http *http);

struct hd_docker_request {
    const char *method;
    const char *path; /* "/containers/json?all=1"; the version is put before it */
    bool unversioned;
    const char *body; /* JSON, or bytes when body_size > 0; NULL none; outlives the call */
    size_t body_size;
    int body_fd; /* a file from where it stands, when body_fd_size > 0; outlives the call */
    uint64_t body_fd_size;     /* bytes */
    const char *content_type;  /* NULL: application/json */
    const char *registry_auth; /* header X-Registry-Auth; NULL none */
    int64_t stall_ms;          /* of a stream that must keep moving; 0: it may stand still */
    int64_t limit_ms;          /* of a short call; 0: HD_DOCKER_CALL_MS_MAX */
    bool stream; /* no time limit over all; success bytes go to sink when there is one */
    void (*sink)(void *context, const char *bytes, size_t size);
    void *sink_context;
    const bool *enough; /* the sink wants no more: the call may be given up; NULL: it takes all */
};

struct hd_docker_call {
    bool headers_seen; /* the answer has begun: a wait is registered */
    bool done;
    enum hd_code code;  /* when done: HD_OK (status is valid), HD_E_NET, HD_E_TIMEOUT, HD_E_LIMIT */
    int status;         /* HTTP */
    struct hd_buf body; /* of the answer; of errors also when there is a sink */
    bool libpod;        /* a header that only Podman sends came */
    char api_version[16]; /* header Api-Version, "" none */
    char error[512];      /* when code is not HD_OK */
};

HD_NODISCARD enum hd_code hd_docker_call_begin(struct hd_docker_http *http,
                                               const struct hd_docker_request *request,
                                               struct hd_docker_call **ret_call,
                                               struct hd_err *err);
/* Stops the call when it is not done. NULL is fine. */
void hd_docker_call_end(struct hd_docker_http *http, struct hd_docker_call *call);
/* Moves all calls; waits at most wait_ms for something to happen. */
void hd_docker_http_pump(struct hd_docker_http *http, int64_t wait_ms);

/* "a b/c" to "a%20b%2Fc". */
HD_NODISCARD bool hd_docker_url_escape(const char *text, char *ret_text, size_t text_size);

#endif
