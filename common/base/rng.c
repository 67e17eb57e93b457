/* SPDX-License-Identifier: Apache-2.0 */
/* rng.c: xoshiro256** (Blackman and Vigna, "Scrambled linear pseudorandom number generators",
 * 2018), its state filled by splitmix64 (Steele, Lea, Flood 2014) as its authors advise. */
#include <hd/base.h>

#include <math.h>

static uint64_t splitmix64(uint64_t *state)
{
    uint64_t mixed = (*state += UINT64_C(0x9e3779b97f4a7c15));
    mixed = (mixed ^ (mixed >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    mixed = (mixed ^ (mixed >> 27)) * UINT64_C(0x94d049bb133111eb);
    return mixed ^ (mixed >> 31);
}

static uint64_t rotate_left(uint64_t word, int bits)
{
    return (word << bits) | (word >> (64 - bits));
}

void hd_rng_seed(struct hd_rng *rng, uint64_t seed)
{
    for (size_t i = 0; i < HD_COUNT(rng->state); i++)
        rng->state[i] = splitmix64(&seed);
}

void hd_rng_fork(uint64_t seed, const char *label, uint64_t number, struct hd_rng *ret_rng)
{
    uint64_t hash = hd_hash_u64(HD_HASH_INIT, seed);
    hash = hd_hash_text(hash, label);
    hash = hd_hash_u64(hash, number);
    hd_rng_seed(ret_rng, hash);
}

uint64_t hd_rng_u64(struct hd_rng *rng)
{
    uint64_t *state = rng->state;
    uint64_t result = rotate_left(state[1] * 5, 7) * 9;
    uint64_t shifted = state[1] << 17;
    state[2] ^= state[0];
    state[3] ^= state[1];
    state[1] ^= state[2];
    state[0] ^= state[3];
    state[2] ^= shifted;
    state[3] = rotate_left(state[3], 45);
    return result;
}

double hd_rng_double(struct hd_rng *rng)
{
    return (double)(hd_rng_u64(rng) >> 11) * 0x1.0p-53;
}

uint64_t hd_rng_below(struct hd_rng *rng, uint64_t bound)
{
    hd_assert(bound > 0);
    /* 2^64 mod bound draws at the low end would be one too many for some remainders; there are
     * fewer than bound of them, so that the division which tells how many is rarely needed. */
    uint64_t drawn = hd_rng_u64(rng);
    while (drawn < bound && drawn < (UINT64_MAX - bound + 1) % bound)
        drawn = hd_rng_u64(rng);
    return drawn % bound;
}

/* Marsaglia's polar method; its second number is thrown away, so that a stream is its state only.
 */
double hd_rng_normal(struct hd_rng *rng)
{
    for (;;) {
        double x = 2 * hd_rng_double(rng) - 1;
        double y = 2 * hd_rng_double(rng) - 1;
        double square = x * x + y * y;
        if (square > 0 && square < 1)
            return x * sqrt(-2 * log(square) / square);
    }
}
