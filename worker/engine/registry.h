/* SPDX-License-Identifier: Apache-2.0 */
/*
 * registry.h: who may pull an image: the client's configuration file (config.json), and what goes
 * to the engine with a pull. Pure; docker_login.c does the reading and runs credential helpers.
 *
 * Secrets live in struct hd_registry_login and in the header only; whoever holds one wipes it.
 */
#ifndef HD_ENGINE_REGISTRY_H
#define HD_ENGINE_REGISTRY_H

#include <hd/base.h>

#define HD_REGISTRY_HOST_MAX 256
#define HD_REGISTRY_SECRET_MAX 8192 /* an identity token is a few thousand bytes */
#define HD_REGISTRY_HELPER_MAX 128
#define HD_REGISTRY_CONFIG_BYTES_MAX (256u * 1024u)
#define HD_REGISTRY_HEADER_BYTES_MAX (4u * HD_REGISTRY_SECRET_MAX)

struct hd_registry_login {
    char server[HD_REGISTRY_HOST_MAX + 16]; /* as the file and helpers call it */
    char user[512];
    char secret[HD_REGISTRY_SECRET_MAX];         /* "" none */
    char identity_token[HD_REGISTRY_SECRET_MAX]; /* "" none; then user and secret do not count */
    char helper[HD_REGISTRY_HELPER_MAX];         /* "" none: ask docker-credential-HELPER */
};

/* "host:5000" of "host:5000/name:tag"; "docker.io" of a name without a host. */
void hd_registry_host(const char *image, char *ret_host, size_t host_size);
/* What the file says about this host: HD_OK with a login or the name of a helper,
 * HD_E_NOTFOUND: nothing, HD_E_INVALID, HD_E_LIMIT: the file is wrong. */
HD_NODISCARD enum hd_code hd_registry_find(const char *text, size_t size, const char *host,
                                           struct hd_registry_login *ret_login, struct hd_err *err);
/* The answer of a helper's "get", into user and secret or the token. */
HD_NODISCARD enum hd_code hd_registry_parse_helper(const char *text, size_t size,
                                                   struct hd_registry_login *login,
                                                   struct hd_err *err);
/* The value of X-Registry-Auth, appended. */
HD_NODISCARD enum hd_code hd_registry_header(const struct hd_registry_login *login,
                                             struct hd_buf *out, struct hd_err *err);

/* docker_login.c: all of it for one image: nothing is appended when nothing is known about its
 * registry. A helper that fails is an error that names it. */
HD_NODISCARD enum hd_code hd_docker_login(const char *image, struct hd_buf *out,
                                          struct hd_err *err);

#endif
