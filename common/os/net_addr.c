/* SPDX-License-Identifier: Apache-2.0 */
/* net_addr.c: hosts, ports and addresses as people write them. */
#include "net_internal.h"

#include <arpa/inet.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <netdb.h>
#include <stdio.h>
#include <string.h>

enum hd_code hd_fail_nng(struct hd_err *err, int number, const char *fmt, ...)
{
    enum hd_code code = HD_E_NET;
    if (number == NNG_ENOMEM)
        code = HD_E_NOMEM;
    else if (number == NNG_ETIMEDOUT)
        code = HD_E_TIMEOUT;
    else if (number == NNG_EADDRINUSE)
        code = HD_E_BUSY;
    else if (number == NNG_ECRYPTO || number == NNG_EPEERAUTH)
        code = HD_E_AUTH;
    else if (number == NNG_ENOTSUP)
        code = HD_E_UNSUPPORTED;
    char text[HD_ERR_TEXT_MAX];
    va_list args;
    va_start(args, fmt);
    if (vsnprintf(text, sizeof(text), fmt, args) < 0)
        text[0] = '\0';
    va_end(args);
    return hd_fail(err, code, "%s: %s", text, nng_strerror(number));
}

bool hd_net_is_loopback(const char *host)
{
    struct in_addr v4;
    struct in6_addr v6;
    if (inet_pton(AF_INET, host, &v4) == 1)
        return (ntohl(v4.s_addr) >> 24) == 127;
    if (inet_pton(AF_INET6, host, &v6) == 1)
        return IN6_IS_ADDR_LOOPBACK(&v6) || (IN6_IS_ADDR_V4MAPPED(&v6) && v6.s6_addr[12] == 127);
    return hd_streq(host, "localhost");
}

static enum hd_code address_of_nic(const char *nic, char *ret_host, size_t host_size,
                                   struct hd_err *err)
{
    struct ifaddrs *all;
    if (getifaddrs(&all) != 0)
        return hd_fail(err, HD_E_NET, "cannot list the network interfaces");
    bool known = false, found = false;
    for (const struct ifaddrs *at = all; at != NULL && !found; at = at->ifa_next) {
        if (!hd_streq(at->ifa_name, nic))
            continue;
        known = true;
        if (at->ifa_addr == NULL || at->ifa_addr->sa_family != AF_INET)
            continue;
        const struct sockaddr_in *address = (const void *)at->ifa_addr;
        char text[INET_ADDRSTRLEN];
        found = inet_ntop(AF_INET, &address->sin_addr, text, sizeof(text)) != NULL &&
                hd_copy_text(ret_host, host_size, text);
    }
    freeifaddrs(all);
    if (found)
        return HD_OK;
    return hd_fail(err, HD_E_NOTFOUND,
                   known ? "the network interface %s has no IPv4 address: use --host"
                         : "there is no network interface %s: see `ip address`",
                   nic);
}

static enum hd_code address_of_name(const char *name, char *ret_host, size_t host_size,
                                    struct hd_err *err)
{
    struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM}, *all;
    int failed = getaddrinfo(name, NULL, &hints, &all);
    if (failed != 0)
        return hd_fail(err, HD_E_NOTFOUND, "cannot find the host %s: %s", name,
                       gai_strerror(failed));
    const struct addrinfo *best = all; /* IPv4 before IPv6, as other programs will dial it */
    for (const struct addrinfo *at = all; at != NULL; at = at->ai_next)
        if (at->ai_family == AF_INET && best->ai_family != AF_INET)
            best = at;
    char text[NI_MAXHOST];
    failed =
        getnameinfo(best->ai_addr, best->ai_addrlen, text, sizeof(text), NULL, 0, NI_NUMERICHOST);
    freeaddrinfo(all);
    if (failed != 0 || !hd_copy_text(ret_host, host_size, text))
        return hd_fail(err, HD_E_NET, "cannot write the address of %s", name);
    return HD_OK;
}

enum hd_code hd_net_resolve(const char *host, const char *nic, char *ret_host, size_t host_size,
                            struct hd_err *err)
{
    if (host != NULL && host[0] != '\0')
        return address_of_name(hd_streq(host, "*") ? "0.0.0.0" : host, ret_host, host_size, err);
    if (nic != NULL && nic[0] != '\0')
        return address_of_nic(nic, ret_host, host_size, err);
    return address_of_name("127.0.0.1", ret_host, host_size, err);
}

static enum hd_code fail_split(const char *text, struct hd_err *err)
{
    return hd_fail(err, HD_E_INVALID, "\"%s\" is no address: write HOST:PORT, [IPV6]:PORT or HOST",
                   text);
}

enum hd_code hd_net_split(const char *text, uint16_t port_default, char *ret_host, size_t host_size,
                          uint16_t *ret_port, struct hd_err *err)
{
    const char *host = text, *port = NULL;
    size_t size = strlen(text);
    if (text[0] == '[') {
        const char *close = strchr(text, ']');
        if (close == NULL || (close[1] != '\0' && close[1] != ':'))
            return fail_split(text, err);
        host = text + 1;
        size = (size_t)(close - host);
        port = close[1] == ':' ? close + 2 : NULL;
    } else {
        const char *colon = strchr(text, ':');
        bool many = colon != NULL && strchr(colon + 1, ':') != NULL; /* a bare IPv6 address */
        if (colon != NULL && !many) {
            size = (size_t)(colon - text);
            port = colon + 1;
        }
    }
    uint64_t number = port_default;
    if (size == 0 || size >= HD_NET_HOST_MAX || memchr(host, '/', size) != NULL ||
        memchr(host, ' ', size) != NULL)
        return fail_split(text, err);
    if (port != NULL && (!hd_parse_u64(port, &number) || number == 0 || number > UINT16_MAX))
        return fail_split(text, err);
    if (number == 0)
        return hd_fail(err, HD_E_INVALID, "\"%s\" lacks a port: write HOST:PORT", text);
    if (!hd_format(ret_host, host_size, "%.*s", (int)size, host))
        return hd_fail(err, HD_E_LIMIT, "the host name in \"%s\" is too long", text);
    *ret_port = (uint16_t)number;
    return HD_OK;
}

/* nng takes the first address of a name. Where "localhost" is ::1 first, it would not find those who
 * listen on 127.0.0.1, as all of ours do. */
void hd_net_url(char *url, size_t url_size, bool tls, const char *host, uint16_t port)
{
    if (hd_streq(host, "localhost"))
        host = "127.0.0.1";
    bool v6 = strchr(host, ':') != NULL;
    bool fits = hd_format(url, url_size, "%s://%s%s%s:%u", tls ? "tls+tcp" : "tcp", v6 ? "[" : "",
                          host, v6 ? "]" : "", (unsigned)port);
    hd_assert(fits);
}

enum hd_code hd_net_target_parse(const char *address, const struct hd_net_security *security,
                                 struct hd_net_target *ret_target, struct hd_err *err)
{
    static const char tcp[] = "tcp://", tls[] = "tls+tcp://";
    struct hd_net_target target = {.tls = hd_net_uses_tls(security)};
    const char *rest = address;
    if (strncmp(rest, tcp, sizeof(tcp) - 1) == 0) {
        rest += sizeof(tcp) - 1;
    } else if (strncmp(rest, tls, sizeof(tls) - 1) == 0) {
        rest += sizeof(tls) - 1;
        target.tls = true;
    }
    enum hd_code code = hd_net_split(rest, 0, target.host, sizeof(target.host), &target.port, err);
    if (code != HD_OK)
        return code;
    if (!target.tls && !hd_net_is_loopback(target.host) &&
        !(security != NULL && security->plaintext))
        return hd_fail(err, HD_E_AUTH,
                       "%s is beyond this machine: give --ca for TLS, or --plaintext to send the "
                       "token readable over the network",
                       address);
    hd_net_url(target.url, sizeof(target.url), target.tls, target.host, target.port);
    *ret_target = target;
    return HD_OK;
}
