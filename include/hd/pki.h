/* SPDX-License-Identifier: Apache-2.0 */
/*
 * pki.h: certificates for a cluster that has none: a CA of its own and one certificate a host.
 *
 * Keys are EC P-256, certificates X.509 v3 signed with SHA-256. A host's certificate carries its
 * name as DNS name, for serving and for calling: a master does both. Private keys have mode 0600.
 * The only room that knows mbed TLS, which nng brings along.
 */
#ifndef HD_PKI_H
#define HD_PKI_H

#include <hd/base.h>

#define HD_PKI_DAYS_MAX 36500
#define HD_PKI_HOST_MAX 253 /* bytes of a DNS name */

/* DIR/ca.pem and DIR/ca.key; HD_E_EXISTS when one is there. from_wall_s: seconds since 1970 from
 * which on it is valid. */
HD_NODISCARD enum hd_code hd_pki_make_ca(const char *directory, int64_t from_wall_s, int64_t days,
                                         struct hd_err *err);
/* DIR/HOST.pem and DIR/HOST.key, signed by the CA in DIR; HD_E_EXISTS likewise. The host is a DNS
 * name or an IP address, as the others dial it. */
HD_NODISCARD enum hd_code hd_pki_make_host(const char *directory, const char *host,
                                           int64_t from_wall_s, int64_t days, struct hd_err *err);
/* Seconds since 1970 until which the first certificate of a PEM file is valid, and whether the
 * second file's CA signed it (ca_file NULL: not asked). */
struct hd_pki_info {
    int64_t from_wall_s, until_wall_s;
    bool signed_by_ca;
};
HD_NODISCARD enum hd_code hd_pki_read(const char *cert_file, const char *ca_file,
                                      struct hd_pki_info *ret_info, struct hd_err *err);
/* HD_E_INVALID: the key is not the one of the certificate. */
HD_NODISCARD enum hd_code hd_pki_check_pair(const char *cert_file, const char *key_file,
                                            struct hd_err *err);

/* ---- digests --------------------------------------------------------------------------------- */

#define HD_SHA256_SIZE 32
#define HD_SHA256_TEXT_SIZE (2 * HD_SHA256_SIZE + 1)
/* SHA-256 of whatever is added, for checksums. The caller frees it. HD_E_NOMEM. */
struct hd_sha256;
HD_NODISCARD enum hd_code hd_sha256_new(struct hd_sha256 **ret_sha, struct hd_err *err);
void hd_sha256_free(struct hd_sha256 *sha);
void hd_sha256_add(struct hd_sha256 *sha, const void *bytes, size_t size);
/* Small hexadecimal digits of all since new or restart. Once. */
void hd_sha256_end(struct hd_sha256 *sha, char ret_text[HD_SHA256_TEXT_SIZE]);
/* As new. */
void hd_sha256_restart(struct hd_sha256 *sha);
/* RFC 2104 with SHA-256. */
HD_NODISCARD enum hd_code hd_hmac_sha256(const void *key, size_t key_size, const void *bytes,
                                         size_t size, unsigned char ret_digest[HD_SHA256_SIZE],
                                         struct hd_err *err);
/* Small hexadecimal digits; ret_text has room for 2 * size + 1. */
void hd_hex(const unsigned char *bytes, size_t size, char *ret_text);

#endif
