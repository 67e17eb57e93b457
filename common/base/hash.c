/* SPDX-License-Identifier: Apache-2.0 */
/* hash.c: FNV-1a, 64 bit (Fowler, Noll, Vo). Numbers are hashed as little-endian bytes on every
 * machine, so that a digest can be stored. */
#include <hd/base.h>

#include <math.h>
#include <string.h>

#define FNV_PRIME UINT64_C(0x100000001b3)

uint64_t hd_hash_bytes(uint64_t hash, const void *bytes, size_t size)
{
    const unsigned char *at = bytes;
    for (size_t i = 0; i < size; i++)
        hash = (hash ^ at[i]) * FNV_PRIME;
    return hash;
}

uint64_t hd_hash_u64(uint64_t hash, uint64_t number)
{
    for (int shift = 0; shift < 64; shift += 8)
        hash = (hash ^ ((number >> shift) & 0xff)) * FNV_PRIME;
    return hash;
}

uint64_t hd_hash_text(uint64_t hash, const char *text)
{
    return hd_hash_bytes(hash, text, strlen(text) + 1);
}

uint64_t hd_hash_double(uint64_t hash, double number)
{
    uint64_t bits = 0;
    if (isnan(number))
        bits = UINT64_C(0x7ff8000000000000);
    else if (number > 0 || number < 0) /* both zeros stay at 0 */
        memcpy(&bits, &number, sizeof(bits));
    return hd_hash_u64(hash, bits);
}
