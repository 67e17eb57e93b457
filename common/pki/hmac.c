/* SPDX-License-Identifier: Apache-2.0 */
/* hmac.c: digests and keyed digests, by mbed TLS. */
#include <hd/pki.h>

#include <mbedtls/md.h>

enum hd_code hd_hmac_sha256(const void *key, size_t key_size, const void *bytes, size_t size,
                            unsigned char ret_digest[HD_SHA256_SIZE], struct hd_err *err)
{
    const mbedtls_md_info_t *info = mbedtls_md_info_from_type(MBEDTLS_MD_SHA256);
    if (info == NULL || mbedtls_md_hmac(info, key, key_size, bytes, size, ret_digest) != 0)
        return hd_fail(err, HD_E_UNSUPPORTED, "the TLS library gives no HMAC-SHA256");
    return HD_OK;
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
