/* SPDX-License-Identifier: Apache-2.0 */
/* net_internal.h: what the net files share. */
#ifndef HD_NET_INTERNAL_H
#define HD_NET_INTERNAL_H

#include <hd/message.h>
#include <hd/net.h>

#include <nng/nng.h>
#include <nng/supplemental/tls/tls.h>

#define HD_NET_HOST_MAX 254 /* a DNS name, terminator included */
#define HD_NET_URL_MAX 320
#define HD_NET_PEM_MAX (1024u * 1024u)

/* The code that fits an error of nng, and "text: reason". */
enum hd_code hd_fail_nng(struct hd_err *err, int number, const char *fmt, ...) HD_PRINTF(3, 4);

struct hd_net_target {
    bool tls;
    char host[HD_NET_HOST_MAX];
    uint16_t port;
    char url[HD_NET_URL_MAX]; /* for nng */
};
/* Reads "[tcp://|tls+tcp://]HOST:PORT" and applies the rule: TLS where a certificate or CA is
 * given or the address says so, otherwise loopback or --plaintext only. */
HD_NODISCARD enum hd_code hd_net_target_parse(const char *address,
                                              const struct hd_net_security *security,
                                              struct hd_net_target *ret_target, struct hd_err *err);
void hd_net_url(char *url, size_t url_size, bool tls, const char *host, uint16_t port);

/* *ret_config is freed with nng_tls_config_free. The client checks the server's name against
 * `host` (a DNS name of the certificate). */
HD_NODISCARD enum hd_code hd_net_tls_server(const struct hd_net_security *security,
                                            nng_tls_config **ret_config, struct hd_err *err);
HD_NODISCARD enum hd_code hd_net_tls_client(const struct hd_net_security *security,
                                            const char *host, nng_tls_config **ret_config,
                                            struct hd_err *err);

/* nng_close() that returns within seconds whatever nng does. */
void hd_net_close_socket(nng_socket socket);

bool hd_net_uses_tls(const struct hd_net_security *security);

#endif
