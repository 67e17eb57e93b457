/* SPDX-License-Identifier: Apache-2.0 */
/* hmac.c: digests and keyed digests, by mbed TLS. */
#include <hd/pki.h>

#include <mbedtls/md.h>

struct hd_sha256 {
    mbedtls_md_context_t md;
};

enum hd_code hd_hmac_sha256(const void *key, size_t key_size, const void *bytes, size_t size,
                            unsigned char ret_digest[HD_SHA256_SIZE], struct hd_err *err)
{
    const mbedtls_md_info_t *info = mbedtls_md_info_from_type(MBEDTLS_MD_SHA256);
    if (info == NULL || mbedtls_md_hmac(info, key, key_size, bytes, size, ret_digest) != 0)
        return hd_fail(err, HD_E_UNSUPPORTED, "the TLS library gives no HMAC-SHA256");
    return HD_OK;
}

enum hd_code hd_sha256_new(struct hd_sha256 **ret_sha, struct hd_err *err)
{
    struct hd_sha256 *sha = hd_calloc(1, sizeof(*sha));
    if (sha == NULL)
        return hd_fail(err, HD_E_NOMEM, "no memory for a checksum");
    mbedtls_md_init(&sha->md);
    const mbedtls_md_info_t *info = mbedtls_md_info_from_type(MBEDTLS_MD_SHA256);
    if (info == NULL || mbedtls_md_setup(&sha->md, info, 0) != 0) {
        hd_sha256_free(sha);
        return hd_fail(err, HD_E_NOMEM, "the TLS library gives no SHA-256");
    }
    hd_sha256_restart(sha);
    *ret_sha = sha;
    return HD_OK;
}

void hd_sha256_free(struct hd_sha256 *sha)
{
    if (sha == NULL)
        return;
    mbedtls_md_free(&sha->md);
    hd_free(sha);
}

/* The library's only other failure is that of a wrong argument. */
static void expect(int failed)
{
    hd_assert(failed == 0);
}

void hd_sha256_restart(struct hd_sha256 *sha)
{
    expect(mbedtls_md_starts(&sha->md));
}

void hd_sha256_add(struct hd_sha256 *sha, const void *bytes, size_t size)
{
    expect(mbedtls_md_update(&sha->md, bytes, size));
}

void hd_sha256_end(struct hd_sha256 *sha, char ret_text[HD_SHA256_TEXT_SIZE])
{
    unsigned char digest[HD_SHA256_SIZE];
    expect(mbedtls_md_finish(&sha->md, digest));
    hd_hex(digest, sizeof(digest), ret_text);
}

void hd_hex(const unsigned char *bytes, size_t size, char *ret_text)
{
    static const char digits[] = "0123456789abcdef";
    for (size_t i = 0; i < size; i++) {
        ret_text[2 * i] = digits[bytes[i] >> 4];
        ret_text[2 * i + 1] = digits[bytes[i] & 15];
    }
    ret_text[2 * size] = '\0';
}
