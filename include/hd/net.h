/* SPDX-License-Identifier: Apache-2.0 */
/*
 * net.h: request and reply over NNG. The only room that knows nng.
 *
 * Server: a raw REP socket. Each message's header is its reply address, so a parked request
 * costs no thread, no context and no table entry. Client: one REQ socket per peer with one context
 * per exchange, NNG's own resend switched off in favour of our deadlines. Addresses are
 * "[tcp://|tls+tcp://]HOST:PORT". TLS compares the host with the DNS names of the certificate.
 * Raw REP drops a reply when its pipe already holds about 64 unsent ones: one socket a
 * worker, at most HD_LANE_COUNT requests outstanding on it.
 * TLS: certificate, key and CA files (mutual when the server has a CA); without them only
 * loopback addresses are allowed unless plaintext is said explicitly.
 */
#ifndef HD_NET_H
#define HD_NET_H

#include <hd/base.h>
#include <hd/os.h>

#define HD_NET_NAMESERVER_PORT 7411 /* the documented default */

struct hd_net_security {
    const char *cert_file; /* PEM; with key_file: TLS on */
    const char *key_file;
    const char *ca_file;
    bool plaintext; /* allow non-loopback without TLS */
};
/* Rows of an options table; what the CA is asked for and what plaintext allows differ. */
#define HD_NET_SECURITY_OPTIONS(security, ca_help, plaintext_help)                                 \
    {.name = "cert",                                                                               \
     .kind = HD_OPTION_TEXT,                                                                       \
     .value = &(security).cert_file,                                                               \
     .hint = "FILE",                                                                               \
     .help = "own TLS certificate (PEM)"},                                                         \
        {.name = "key",                                                                            \
         .kind = HD_OPTION_TEXT,                                                                   \
         .value = &(security).key_file,                                                            \
         .hint = "FILE",                                                                           \
         .help = "its private key (PEM)"},                                                         \
        {.name = "ca",                                                                             \
         .kind = HD_OPTION_TEXT,                                                                   \
         .value = &(security).ca_file,                                                             \
         .hint = "FILE",                                                                           \
         .help = (ca_help)},                                                                       \
    {                                                                                              \
        .name = "plaintext", .kind = HD_OPTION_FLAG, .value = &(security).plaintext,               \
        .help = (plaintext_help)                                                                   \
    }

/* host: numeric or name; nic: interface name whose IPv4 address is used when host is NULL;
 * both NULL: 127.0.0.1. Text of the address to bind, for messages and advertisement. */
HD_NODISCARD enum hd_code hd_net_resolve(const char *host, const char *nic, char *ret_host,
                                         size_t host_size, struct hd_err *err);
/* "HOST[:PORT]" or "[v6]:port" */
HD_NODISCARD enum hd_code hd_net_split(const char *text, uint16_t port_default, char *ret_host,
                                       size_t host_size, uint16_t *ret_port, struct hd_err *err);
/* Is there TLS in this build of nng? */
bool hd_net_has_tls(void);
bool hd_net_is_loopback(const char *host);
/* HD_E_AUTH: this host may not be listened on without TLS or the word plaintext. A server checks it
 * too; here it can be asked before anything else is done. */
HD_NODISCARD enum hd_code
hd_net_check_exposure(const char *host, const struct hd_net_security *security, struct hd_err *err);

/* ---- server -------------------------------------------------------------------------------- */
enum hd_net_news_kind { HD_NET_MESSAGE, HD_NET_CLOSED };
struct hd_net_news {
    enum hd_net_news_kind kind;
    uint64_t connection;
    uint64_t address; /* MESSAGE: answer exactly once with hd_net_reply, or hd_net_forget */
    void *bytes;      /* MESSAGE: owned by the news */
    size_t size;
};
void hd_net_news_free(struct hd_net_news *news);

struct hd_net_server;
/* News are pushed as struct hd_net_news * on `queue` (from NNG's threads). port 0: any; the
 * real one is returned. Messages beyond bytes_max end their connection. When the queue is full the
 * server stops receiving until there is room. */
HD_NODISCARD enum hd_code hd_net_server_open(const char *host, uint16_t port, size_t bytes_max,
                                             const struct hd_net_security *security,
                                             struct hd_queue *queue,
                                             struct hd_net_server **ret_server, uint16_t *ret_port,
                                             struct hd_err *err);
/* Copies the bytes; an address whose connection is gone is forgotten in silence. Any thread. */
void hd_net_reply(struct hd_net_server *server, uint64_t address, const void *bytes, size_t size);
void hd_net_forget(struct hd_net_server *server, uint64_t address);
/* Replies given just before get a moment (250 ms) to leave. */
void hd_net_server_close(struct hd_net_server *server);

/* ---- client --------------------------------------------------------------------------------- */
enum hd_net_answer_kind { HD_NET_REPLY, HD_NET_FAILED };
struct hd_net_answer {
    enum hd_net_answer_kind kind;
    uint64_t tag; /* chosen by the caller: which client object this is */
    uint32_t lane;
    uint64_t sequence; /* as given to hd_net_send */
    void *bytes;       /* REPLY: owned by the answer */
    size_t size;
    struct hd_err err; /* FAILED */
};
void hd_net_answer_free(struct hd_net_answer *answer);

struct hd_net_client;
/* Dials in the background and again when the connection ends; answers go to `queue` as
 * struct hd_net_answer *. A connection that ends fails its outstanding requests at once (HD_E_NET);
 * a request that could not be sent yet waits for a connection until its deadline. Give the queue
 * room for one answer a lane. */
HD_NODISCARD enum hd_code hd_net_client_open(const char *address, uint32_t lanes, uint64_t tag,
                                             const struct hd_net_security *security,
                                             struct hd_queue *queue,
                                             struct hd_net_client **ret_client, struct hd_err *err);
/* One outstanding a lane; a second send on a lane abandons the first in silence. Copies. timeout_ms
 * is 1..INT32_MAX. Any thread, but not at the same time as close. */
HD_NODISCARD enum hd_code hd_net_send(struct hd_net_client *client, uint32_t lane,
                                      uint64_t sequence, const void *bytes, size_t size,
                                      int64_t timeout_ms, struct hd_err *err);
/* No answer comes after it. */
void hd_net_client_close(struct hd_net_client *client);

/* One request, one reply, blocking: for the command line and the nameserver's callers. Nobody
 * there, a wrong certificate or a foreign port is an error at once. Appends to `out`. */
HD_NODISCARD enum hd_code hd_net_call(const char *address, const struct hd_net_security *security,
                                      const void *bytes, size_t size, int64_t timeout_ms,
                                      struct hd_buf *out, struct hd_err *err);

/* ---- nameserver calls and the credentials file ------------------------------------------------
 */
struct hd_ns_request;
struct hd_ns_reply;
/* A reply that says no is an error with its code and text. */
HD_NODISCARD enum hd_code hd_ns_call(const char *address, const struct hd_net_security *security,
                                     const struct hd_ns_request *request, int64_t timeout_ms,
                                     struct hd_arena *arena, struct hd_ns_reply *ret_reply,
                                     struct hd_err *err);
/* <dir>/hyperdock-<run id>.json: {"version":1,"run_id":..,"nameserver":"host:port","token":..}
 * mode 0600, written atomically. Reading tries `tries` times at interval_ms. */
HD_NODISCARD enum hd_code hd_credentials_write(const char *directory, const char *run_id,
                                               const char *nameserver, const char *token,
                                               struct hd_err *err);
HD_NODISCARD enum hd_code hd_credentials_read(const char *directory, const char *run_id, int tries,
                                              int64_t interval_ms, char *ret_nameserver,
                                              size_t nameserver_size, char *ret_token,
                                              struct hd_err *err);
HD_NODISCARD enum hd_code hd_credentials_remove(const char *directory, const char *run_id,
                                                struct hd_err *err);

#endif
