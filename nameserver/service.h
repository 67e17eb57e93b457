/* SPDX-License-Identifier: Apache-2.0 */
/*
 * service.h: the nameserver around its registry: sockets in, credentials files out.
 */
#ifndef HD_NAMESERVER_SERVICE_H
#define HD_NAMESERVER_SERVICE_H

#include <hd/net.h>

struct hd_service_settings {
    const char *host;      /* to bind; numeric */
    uint16_t port;         /* 0: any */
    const char *advertise; /* host that stands in credentials files */
    int64_t ttl_ms;
    struct hd_keyring *keyring;  /* outlives the service */
    const char *credentials_dir; /* NULL: none are written */
    struct hd_net_security security;
};

struct hd_service;
HD_NODISCARD enum hd_code hd_service_open(const struct hd_service_settings *settings,
                                          struct hd_service **ret_service, uint16_t *ret_port,
                                          struct hd_err *err);
/* Answers until `stop_fd` becomes readable. */
HD_NODISCARD enum hd_code hd_service_run(struct hd_service *service, int stop_fd,
                                         struct hd_err *err);
/* Removes the credentials files that it wrote. */
void hd_service_close(struct hd_service *service);

#endif
