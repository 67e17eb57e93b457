/* SPDX-License-Identifier: Apache-2.0 */
/* pki.c: makes and reads certificates with mbed TLS. */
#include <hd/os.h>
#include <hd/pki.h>

#include <arpa/inet.h>
#include <mbedtls/asn1.h>
#include <mbedtls/ctr_drbg.h>
#include <mbedtls/ecp.h>
#include <mbedtls/entropy.h>
#include <mbedtls/error.h>
#include <mbedtls/pk.h>
#include <mbedtls/version.h>
#include <mbedtls/x509_crt.h>
#include <string.h>
#include <time.h>

#define PEM_BYTES_MAX 65536
#define PATH_SIZE_MAX 4096
#define SERIAL_BYTES 16
#define SECONDS_A_DAY 86400
#define CA_NAME "CN=Hyperdock cluster CA"

/* ---- mbed TLS ---------------------------------------------------------------------------------
 */

static enum hd_code fail(struct hd_err *err, int code, const char *what)
{
    char text[160];
    mbedtls_strerror(code, text, sizeof(text));
    enum hd_code meant = code == MBEDTLS_ERR_X509_ALLOC_FAILED ? HD_E_NOMEM : HD_E_INVALID;
    return hd_fail(err, meant, "%s: %s", what, text);
}

static int draw(void *context, unsigned char *out, size_t size)
{
    (void)context;
    hd_os_random(out, size);
    return 0;
}

/* Version 3 wants random numbers for this; version 2 does not take them. */
static int parse_key(mbedtls_pk_context *key, const struct hd_buf *pem)
{
    const unsigned char *text = (const unsigned char *)hd_buf_text(pem);
#if MBEDTLS_VERSION_MAJOR >= 3
    return mbedtls_pk_parse_key(key, text, pem->size + 1, NULL, 0, draw, NULL);
#else
    return mbedtls_pk_parse_key(key, text, pem->size + 1, NULL, 0);
#endif
}

static int same_pair(mbedtls_pk_context *public_key, mbedtls_pk_context *key)
{
#if MBEDTLS_VERSION_MAJOR >= 3
    return mbedtls_pk_check_pair(public_key, key, draw, NULL);
#else
    return mbedtls_pk_check_pair(public_key, key);
#endif
}

/* ---- files ------------------------------------------------------------------------------------
 */

struct files {
    char cert[PATH_SIZE_MAX], key[PATH_SIZE_MAX];
};

static enum hd_code name_files(const char *directory, const char *name, struct files *files,
                               struct hd_err *err)
{
    if (hd_format(files->cert, sizeof(files->cert), "%s/%s.pem", directory, name) &&
        hd_format(files->key, sizeof(files->key), "%s/%s.key", directory, name))
        return HD_OK;
    return hd_fail(err, HD_E_LIMIT, "the path of the certificate of %s is too long", name);
}

static enum hd_code refuse_existing(const struct files *files, struct hd_err *err)
{
    const char *paths[] = {files->cert, files->key};
    for (size_t i = 0; i < HD_COUNT(paths); i++)
        if (hd_path_exists(paths[i]))
            return hd_fail(err, HD_E_EXISTS,
                           "%s exists: remove it first to replace it, and hand out the new one",
                           paths[i]);
    return HD_OK;
}

static enum hd_code read_cert(const char *path, mbedtls_x509_crt *cert, struct hd_err *err)
{
    struct hd_buf pem;
    hd_buf_init(&pem, PEM_BYTES_MAX + 1);
    enum hd_code code = hd_file_read(path, PEM_BYTES_MAX, false, &pem, err);
    if (code == HD_OK) {
        int failed =
            mbedtls_x509_crt_parse(cert, (const unsigned char *)hd_buf_text(&pem), pem.size + 1);
        if (failed != 0)
            code = hd_fail(err, HD_E_INVALID, "%s holds no certificate in PEM form", path);
    }
    hd_buf_release(&pem);
    return code;
}

static enum hd_code read_key(const char *path, mbedtls_pk_context *key, struct hd_err *err)
{
    struct hd_buf pem;
    hd_buf_init(&pem, PEM_BYTES_MAX + 1);
    enum hd_code code = hd_file_read(path, PEM_BYTES_MAX, false, &pem, err);
    if (code == HD_OK && parse_key(key, &pem) != 0)
        code = hd_fail(err, HD_E_INVALID, "%s holds no private key in PEM form without password",
                       path);
    if (pem.data != NULL)
        explicit_bzero(pem.data, pem.capacity);
    hd_buf_release(&pem);
    return code;
}

static enum hd_code write_key(const char *path, mbedtls_pk_context *key, struct hd_err *err)
{
    unsigned char pem[4096];
    int failed = mbedtls_pk_write_key_pem(key, pem, sizeof(pem));
    enum hd_code code = failed == 0
                            ? hd_file_write_atomic(path, pem, strlen((char *)pem), 0600, err)
                            : fail(err, failed, "writing a key");
    explicit_bzero(pem, sizeof(pem));
    return code;
}

/* ---- making -----------------------------------------------------------------------------------
 */

static enum hd_code make_key(mbedtls_pk_context *key, struct hd_err *err)
{
    int failed = mbedtls_pk_setup(key, mbedtls_pk_info_from_type(MBEDTLS_PK_ECKEY));
    if (failed == 0)
        failed = mbedtls_ecp_gen_key(MBEDTLS_ECP_DP_SECP256R1, mbedtls_pk_ec(*key), draw, NULL);
    return failed == 0 ? HD_OK : fail(err, failed, "making a key");
}

static bool time_text(int64_t wall_s, char *text, size_t size)
{
    time_t seconds = (time_t)wall_s;
    struct tm parts;
    return gmtime_r(&seconds, &parts) != NULL && strftime(text, size, "%Y%m%d%H%M%S", &parts) == 14;
}

/* Its 4 or 16 bytes; 0 when the host is a name. */
static size_t parse_address(const char *host, unsigned char *bytes)
{
    return inet_pton(AF_INET, host, bytes) == 1    ? 4
           : inet_pton(AF_INET6, host, bytes) == 1 ? 16
                                                   : 0;
}

/* SubjectAltName: SEQUENCE of a dNSName ([2] IA5String), before it an iPAddress ([7]) when the host
 * is one, written by hand: lengths below 128 take one byte, up to 255 two. An address is named as
 * text too: mbed TLS before 3.5 compares no others. */
static int add_names(mbedtls_x509write_cert *cert, const char *host)
{
    unsigned char der[HD_PKI_HOST_MAX + 32], address[16];
    size_t size = strlen(host), used = 0, address_size = parse_address(host, address);
    size_t inner = size + (size < 128 ? 2 : 3) + (address_size > 0 ? address_size + 2 : 0);
    der[used++] = MBEDTLS_ASN1_CONSTRUCTED | MBEDTLS_ASN1_SEQUENCE;
    if (inner >= 128)
        der[used++] = 0x81;
    if (inner > 255)
        return MBEDTLS_ERR_X509_BAD_INPUT_DATA;
    der[used++] = (unsigned char)inner;
    if (address_size > 0) {
        der[used++] = MBEDTLS_ASN1_CONTEXT_SPECIFIC | 7;
        der[used++] = (unsigned char)address_size;
        memcpy(der + used, address, address_size);
        used += address_size;
    }
    der[used++] = MBEDTLS_ASN1_CONTEXT_SPECIFIC | 2;
    if (size >= 128)
        der[used++] = 0x81;
    der[used++] = (unsigned char)size;
    memcpy(der + used, host, size);
    return mbedtls_x509write_crt_set_extension(cert, "\x55\x1d\x11", 3, 0, der, used + size);
}

/* ExtendedKeyUsage: serverAuth and clientAuth. */
static int add_usages(mbedtls_x509write_cert *cert)
{
    static const unsigned char der[] = {0x30, 0x14, 0x06, 0x08, 0x2b, 0x06, 0x01, 0x05,
                                        0x05, 0x07, 0x03, 0x01, 0x06, 0x08, 0x2b, 0x06,
                                        0x01, 0x05, 0x05, 0x07, 0x03, 0x02};
    return mbedtls_x509write_crt_set_extension(cert, "\x55\x1d\x25", 3, 0, der, sizeof(der));
}

static int set_serial(mbedtls_x509write_cert *cert)
{
    unsigned char bytes[SERIAL_BYTES];
    mbedtls_mpi serial;
    hd_os_random(bytes, sizeof(bytes));
    bytes[0] = (unsigned char)((bytes[0] & 0x7f) | 0x40); /* positive and of full length */
    mbedtls_mpi_init(&serial);
    int failed = mbedtls_mpi_read_binary(&serial, bytes, sizeof(bytes));
    if (failed == 0)
        failed = mbedtls_x509write_crt_set_serial(cert, &serial);
    mbedtls_mpi_free(&serial);
    return failed;
}

struct order {
    const char *host; /* NULL: a CA, signed by itself */
    const char *subject, *issuer;
    mbedtls_pk_context *key, *issuer_key;
    int64_t from_wall_s, days;
};

static int fill(mbedtls_x509write_cert *cert, const struct order *order)
{
    char from[16], until[16];
    if (!time_text(order->from_wall_s, from, sizeof(from)) ||
        !time_text(order->from_wall_s + order->days * SECONDS_A_DAY, until, sizeof(until)))
        return MBEDTLS_ERR_X509_INVALID_DATE;
    mbedtls_x509write_crt_set_version(cert, MBEDTLS_X509_CRT_VERSION_3);
    mbedtls_x509write_crt_set_md_alg(cert, MBEDTLS_MD_SHA256);
    mbedtls_x509write_crt_set_subject_key(cert, order->key);
    mbedtls_x509write_crt_set_issuer_key(cert, order->issuer_key);
    int failed = set_serial(cert);
    if (failed == 0)
        failed = mbedtls_x509write_crt_set_subject_name(cert, order->subject);
    if (failed == 0)
        failed = mbedtls_x509write_crt_set_issuer_name(cert, order->issuer);
    if (failed == 0)
        failed = mbedtls_x509write_crt_set_validity(cert, from, until);
    if (failed == 0)
        failed = mbedtls_x509write_crt_set_basic_constraints(cert, order->host == NULL, -1);
    if (failed == 0)
        failed = mbedtls_x509write_crt_set_key_usage(
            cert, order->host == NULL ? MBEDTLS_X509_KU_KEY_CERT_SIGN | MBEDTLS_X509_KU_CRL_SIGN
                                      : MBEDTLS_X509_KU_DIGITAL_SIGNATURE);
    if (failed == 0)
        failed = mbedtls_x509write_crt_set_subject_key_identifier(cert);
    if (failed == 0)
        failed = mbedtls_x509write_crt_set_authority_key_identifier(cert);
    if (failed == 0 && order->host != NULL)
        failed = add_names(cert, order->host);
    if (failed == 0 && order->host != NULL)
        failed = add_usages(cert);
    return failed;
}

static enum hd_code write_cert(const char *path, const struct order *order, struct hd_err *err)
{
    mbedtls_x509write_cert cert;
    unsigned char pem[8192];
    mbedtls_x509write_crt_init(&cert);
    int failed = fill(&cert, order);
    if (failed == 0)
        failed = mbedtls_x509write_crt_pem(&cert, pem, sizeof(pem), draw, NULL);
    mbedtls_x509write_crt_free(&cert);
    return failed == 0 ? hd_file_write_atomic(path, pem, strlen((char *)pem), 0644, err)
                       : fail(err, failed, "making a certificate");
}

static enum hd_code check_days(int64_t days, struct hd_err *err)
{
    return days >= 1 && days <= HD_PKI_DAYS_MAX
               ? HD_OK
               : hd_fail(err, HD_E_INVALID, "a certificate is valid for 1 to %d days",
                         HD_PKI_DAYS_MAX);
}

enum hd_code hd_pki_make_ca(const char *directory, int64_t from_wall_s, int64_t days,
                            struct hd_err *err)
{
    struct files files;
    mbedtls_pk_context key;
    mbedtls_pk_init(&key);
    enum hd_code code = name_files(directory, "ca", &files, err);
    if (code == HD_OK)
        code = check_days(days, err);
    if (code == HD_OK)
        code = hd_mkdirs(directory, 0700, err);
    if (code == HD_OK)
        code = refuse_existing(&files, err);
    if (code == HD_OK)
        code = make_key(&key, err);
    if (code == HD_OK)
        code = write_key(files.key, &key, err);
    const struct order order = {.subject = CA_NAME,
                                .issuer = CA_NAME,
                                .key = &key,
                                .issuer_key = &key,
                                .from_wall_s = from_wall_s,
                                .days = days};
    if (code == HD_OK)
        code = write_cert(files.cert, &order, err);
    mbedtls_pk_free(&key);
    return code;
}

/* What becomes a file name and a DNS name. */
static enum hd_code check_host(const char *host, struct hd_err *err)
{
    unsigned char address[16];
    size_t size = strlen(host);
    if (parse_address(host, address) > 0)
        return HD_OK;
    bool good = size > 0 && size <= HD_PKI_HOST_MAX && host[0] != '.' && host[0] != '-' &&
                !hd_streq(host, "ca");
    for (size_t i = 0; i < size; i++)
        good = good && ((host[i] >= 'a' && host[i] <= 'z') || (host[i] >= 'A' && host[i] <= 'Z') ||
                        (host[i] >= '0' && host[i] <= '9') || host[i] == '-' || host[i] == '.' ||
                        host[i] == '_');
    return good ? HD_OK
                : hd_fail(err, HD_E_INVALID,
                          "\"%s\" is no host name and no address: letters, digits, '-' and '.', at "
                          "most %d",
                          host, HD_PKI_HOST_MAX);
}

static enum hd_code sign_host(const struct files *ca, const struct files *files, const char *host,
                              int64_t from_wall_s, int64_t days, struct hd_err *err)
{
    char subject[HD_PKI_HOST_MAX + 8], issuer[1024];
    mbedtls_pk_context key, ca_key;
    mbedtls_x509_crt ca_cert;
    mbedtls_pk_init(&key);
    mbedtls_pk_init(&ca_key);
    mbedtls_x509_crt_init(&ca_cert);
    /* A common name ends at 64 bytes; the DNS name is the one that is compared. */
    (void)hd_format(subject, sizeof(subject), "CN=%.64s", host);
    enum hd_code code = read_cert(ca->cert, &ca_cert, err);
    if (code == HD_OK)
        code = read_key(ca->key, &ca_key, err);
    if (code == HD_OK && same_pair(&ca_cert.pk, &ca_key) != 0)
        code = hd_fail(err, HD_E_INVALID, "%s is not the key of %s", ca->key, ca->cert);
    if (code == HD_OK && mbedtls_x509_dn_gets(issuer, sizeof(issuer), &ca_cert.subject) <= 0)
        code = hd_fail(err, HD_E_INVALID, "%s has no name that could be signed with", ca->cert);
    if (code == HD_OK)
        code = make_key(&key, err);
    if (code == HD_OK)
        code = write_key(files->key, &key, err);
    const struct order order = {.host = host,
                                .subject = subject,
                                .issuer = issuer,
                                .key = &key,
                                .issuer_key = &ca_key,
                                .from_wall_s = from_wall_s,
                                .days = days};
    if (code == HD_OK)
        code = write_cert(files->cert, &order, err);
    mbedtls_x509_crt_free(&ca_cert);
    mbedtls_pk_free(&ca_key);
    mbedtls_pk_free(&key);
    return code;
}

enum hd_code hd_pki_make_host(const char *directory, const char *host, int64_t from_wall_s,
                              int64_t days, struct hd_err *err)
{
    struct files ca, files;
    enum hd_code code = check_host(host, err);
    if (code == HD_OK)
        code = check_days(days, err);
    if (code == HD_OK)
        code = name_files(directory, "ca", &ca, err);
    if (code == HD_OK)
        code = name_files(directory, host, &files, err);
    if (code == HD_OK)
        code = refuse_existing(&files, err);
    return code == HD_OK ? sign_host(&ca, &files, host, from_wall_s, days, err) : code;
}

/* ---- reading ----------------------------------------------------------------------------------
 */

static int64_t seconds_of(const mbedtls_x509_time *time)
{
    struct tm parts = {.tm_year = time->year - 1900,
                       .tm_mon = time->mon - 1,
                       .tm_mday = time->day,
                       .tm_hour = time->hour,
                       .tm_min = time->min,
                       .tm_sec = time->sec};
    return (int64_t)timegm(&parts);
}

enum hd_code hd_pki_read(const char *cert_file, const char *ca_file, struct hd_pki_info *ret_info,
                         struct hd_err *err)
{
    mbedtls_x509_crt cert, ca;
    uint32_t flags = 0;
    mbedtls_x509_crt_init(&cert);
    mbedtls_x509_crt_init(&ca);
    enum hd_code code = read_cert(cert_file, &cert, err);
    if (code == HD_OK && ca_file != NULL)
        code = read_cert(ca_file, &ca, err);
    if (code == HD_OK) {
        *ret_info = (struct hd_pki_info){.from_wall_s = seconds_of(&cert.valid_from),
                                         .until_wall_s = seconds_of(&cert.valid_to)};
        if (ca_file != NULL) {
            (void)mbedtls_x509_crt_verify(&cert, &ca, NULL, NULL, &flags, NULL, NULL);
            ret_info->signed_by_ca = (flags & MBEDTLS_X509_BADCERT_NOT_TRUSTED) == 0;
        }
    }
    mbedtls_x509_crt_free(&ca);
    mbedtls_x509_crt_free(&cert);
    return code;
}

enum hd_code hd_pki_check_pair(const char *cert_file, const char *key_file, struct hd_err *err)
{
    mbedtls_x509_crt cert;
    mbedtls_pk_context key;
    mbedtls_x509_crt_init(&cert);
    mbedtls_pk_init(&key);
    enum hd_code code = read_cert(cert_file, &cert, err);
    if (code == HD_OK)
        code = read_key(key_file, &key, err);
    if (code == HD_OK && same_pair(&cert.pk, &key) != 0)
        code = hd_fail(err, HD_E_INVALID, "%s is not the key of %s", key_file, cert_file);
    mbedtls_pk_free(&key);
    mbedtls_x509_crt_free(&cert);
    return code;
}
