/* SPDX-License-Identifier: Apache-2.0 */
/* SHA-256 as FIPS 180-4 has it. For content addresses and checksums; no secret passes here. */
#include <hd/base.h>

#include <string.h>

/* The first 32 bits of the fractional parts of the cube roots of the first 64 primes. */
static const uint32_t round_constants[64] = {
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
    0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
    0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
    0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
    0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
    0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
    0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
    0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2,
};

static uint32_t rotate(uint32_t word, unsigned bits)
{
    return word >> bits | word << (32 - bits);
}

static void expand(const unsigned char *block, uint32_t schedule[64])
{
    for (size_t i = 0; i < 16; i++)
        schedule[i] = (uint32_t)block[4 * i] << 24 | (uint32_t)block[4 * i + 1] << 16 |
                      (uint32_t)block[4 * i + 2] << 8 | block[4 * i + 3];
    for (size_t i = 16; i < 64; i++) {
        uint32_t near = schedule[i - 2], far = schedule[i - 15];
        schedule[i] = schedule[i - 16] + schedule[i - 7] +
                      (rotate(far, 7) ^ rotate(far, 18) ^ far >> 3) +
                      (rotate(near, 17) ^ rotate(near, 19) ^ near >> 10);
    }
}

static void take_block(struct hd_sha256 *sha, const unsigned char *block)
{
    uint32_t schedule[64];
    const uint32_t *old = sha->state;
    uint32_t a = old[0], b = old[1], c = old[2], d = old[3];
    uint32_t e = old[4], f = old[5], g = old[6], h = old[7];
    expand(block, schedule);
    for (size_t i = 0; i < 64; i++) {
        uint32_t first = h + (rotate(e, 6) ^ rotate(e, 11) ^ rotate(e, 25)) + ((e & f) ^ (~e & g)) +
                         round_constants[i] + schedule[i];
        uint32_t second =
            (rotate(a, 2) ^ rotate(a, 13) ^ rotate(a, 22)) + ((a & b) ^ (a & c) ^ (b & c));
        h = g, g = f, f = e, e = d + first;
        d = c, c = b, b = a, a = first + second;
    }
    const uint32_t done[8] = {a, b, c, d, e, f, g, h};
    for (size_t i = 0; i < 8; i++)
        sha->state[i] += done[i];
}

void hd_sha256_init(struct hd_sha256 *sha)
{
    static const uint32_t start[8] = {0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a,
                                      0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19};
    *sha = (struct hd_sha256){0};
    memcpy(sha->state, start, sizeof(start));
}

void hd_sha256_add(struct hd_sha256 *sha, const void *bytes, size_t size)
{
    const unsigned char *at = bytes;
    size_t held = (size_t)(sha->size % sizeof(sha->block));
    sha->size += size;
    while (size > 0) {
        size_t part = sizeof(sha->block) - held < size ? sizeof(sha->block) - held : size;
        memcpy(sha->block + held, at, part);
        at += part;
        size -= part;
        held += part;
        if (held == sizeof(sha->block)) {
            take_block(sha, sha->block);
            held = 0;
        }
    }
}

void hd_sha256_end(struct hd_sha256 *sha, unsigned char ret_digest[HD_SHA256_SIZE])
{
    static const unsigned char padding[64] = {0x80};
    unsigned char bits[8];
    uint64_t count = sha->size * 8;
    for (size_t i = 0; i < 8; i++)
        bits[i] = (unsigned char)(count >> (56 - 8 * i));
    size_t held = (size_t)(sha->size % 64);
    hd_sha256_add(sha, padding, held < 56 ? 56 - held : 120 - held);
    hd_sha256_add(sha, bits, sizeof(bits));
    for (size_t i = 0; i < HD_SHA256_SIZE; i++)
        ret_digest[i] = (unsigned char)(sha->state[i / 4] >> (24 - 8 * (i % 4)));
}

void hd_sha256_text(const unsigned char digest[HD_SHA256_SIZE], char ret_text[HD_SHA256_TEXT_SIZE])
{
    static const char hex[] = "0123456789abcdef";
    for (size_t i = 0; i < HD_SHA256_SIZE; i++) {
        ret_text[2 * i] = hex[digest[i] >> 4];
        ret_text[2 * i + 1] = hex[digest[i] & 15];
    }
    ret_text[2 * (size_t)HD_SHA256_SIZE] = '\0';
}
