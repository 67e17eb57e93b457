/* SPDX-License-Identifier: Apache-2.0 */
/*
 * import_draws.c: what numpy.random.RandomState(seed) draws from distributions of scipy.stats.
 *
 * The generator is the Mersenne Twister MT19937 of Matsumoto and Nishimura (1998), seeded by their
 * init_genrand; doubles have 53 bits of two words. Normals are by the polar method of Marsaglia,
 * exponentials by inversion, integers by masks and rejection.
 */
#include "import.h"

#include <math.h>
#include <string.h>

#define WORDS 624
#define AHEAD 397

struct twister {
    uint32_t words[WORDS];
    size_t at;
    bool has_normal;
    double normal; /* the second of a pair */
};

static void seed_twister(struct twister *twister, uint32_t seed)
{
    *twister = (struct twister){.at = WORDS};
    twister->words[0] = seed;
    for (uint32_t i = 1; i < WORDS; i++) {
        uint32_t before = twister->words[i - 1];
        twister->words[i] = UINT32_C(1812433253) * (before ^ (before >> 30)) + i;
    }
}

static void twist(struct twister *twister)
{
    uint32_t *words = twister->words;
    for (size_t i = 0; i < WORDS; i++) {
        uint32_t joined =
            (words[i] & UINT32_C(0x80000000)) | (words[(i + 1) % WORDS] & UINT32_C(0x7fffffff));
        words[i] = words[(i + AHEAD) % WORDS] ^ (joined >> 1) ^
                   ((joined & 1) != 0 ? UINT32_C(0x9908b0df) : 0);
    }
    twister->at = 0;
}

static uint32_t next_word(struct twister *twister)
{
    if (twister->at == WORDS)
        twist(twister);
    uint32_t word = twister->words[twister->at++];
    word ^= word >> 11;
    word ^= (word << 7) & UINT32_C(0x9d2c5680);
    word ^= (word << 15) & UINT32_C(0xefc60000);
    return word ^ (word >> 18);
}

static double next_unit(struct twister *twister)
{
    double high = next_word(twister) >> 5, low = next_word(twister) >> 6;
    return (high * 67108864.0 + low) / 9007199254740992.0;
}

static double next_normal(struct twister *twister)
{
    if (twister->has_normal) {
        twister->has_normal = false;
        return twister->normal;
    }
    double x, y, square;
    do {
        x = 2.0 * next_unit(twister) - 1.0;
        y = 2.0 * next_unit(twister) - 1.0;
        square = x * x + y * y;
    } while (square >= 1.0 || square == 0.0);
    double factor = sqrt(-2.0 * log(square) / square);
    twister->has_normal = true;
    twister->normal = factor * x;
    return factor * y;
}

/* 0 to range. */
static uint32_t next_below(struct twister *twister, uint32_t range)
{
    uint32_t mask = range, value;
    for (unsigned shift = 1; shift < 32; shift *= 2)
        mask |= mask >> shift;
    if (range == 0)
        return 0;
    do
        value = next_word(twister) & mask;
    while (value > range);
    return value;
}

/* ---- distributions -------------------------------------------------------------------------- */

typedef double (*draw_fn)(struct twister *twister, const struct import_distribution *of);

static double draw_uniform(struct twister *twister, const struct import_distribution *of)
{
    return next_unit(twister) * of->scale + of->loc;
}

static double draw_norm(struct twister *twister, const struct import_distribution *of)
{
    return next_normal(twister) * of->scale + of->loc;
}

static double draw_expon(struct twister *twister, const struct import_distribution *of)
{
    return -log(1.0 - next_unit(twister)) * of->scale + of->loc;
}

static double draw_lognorm(struct twister *twister, const struct import_distribution *of)
{
    return exp(of->shape[0] * next_normal(twister)) * of->scale + of->loc;
}

static double draw_loguniform(struct twister *twister, const struct import_distribution *of)
{
    double low = log(of->shape[0]), high = log(of->shape[1]);
    return exp(low + next_unit(twister) * (high - low)) * of->scale + of->loc;
}

static double draw_randint(struct twister *twister, const struct import_distribution *of)
{
    return of->shape[0] + of->loc +
           next_below(twister, (uint32_t)(of->shape[1] - of->shape[0]) - 1);
}

static bool any_shape(const struct import_distribution *of)
{
    return of->scale > 0;
}

static bool positive_shape(const struct import_distribution *of)
{
    return of->scale > 0 && of->shape[0] > 0;
}

static bool bounds_of_logs(const struct import_distribution *of)
{
    return of->scale > 0 && of->shape[0] > 0 && of->shape[1] > of->shape[0];
}

static bool bounds_of_integers(const struct import_distribution *of)
{
    return of->shape[0] == floor(of->shape[0]) && of->shape[1] == floor(of->shape[1]) &&
           of->loc == floor(of->loc) && fabs(of->shape[0]) < 1e15 && fabs(of->loc) < 1e15 &&
           of->shape[1] > of->shape[0] && of->shape[1] - of->shape[0] <= 4294967295.0;
}

static const struct distribution {
    const char *name;
    const char *shapes[3];
    bool whole;
    draw_fn draw;
    bool (*is_right)(const struct import_distribution *of);
} distributions[] = {
    {"uniform", {NULL}, false, draw_uniform, any_shape},
    {"norm", {NULL}, false, draw_norm, any_shape},
    {"expon", {NULL}, false, draw_expon, any_shape},
    {"lognorm", {"s", NULL}, false, draw_lognorm, positive_shape},
    {"loguniform", {"a", "b", NULL}, false, draw_loguniform, bounds_of_logs},
    {"reciprocal", {"a", "b", NULL}, false, draw_loguniform, bounds_of_logs},
    {"randint", {"low", "high", NULL}, true, draw_randint, bounds_of_integers},
};
const char import_distributions[] =
    "uniform, norm, expon, lognorm, loguniform, reciprocal, randint";

static const struct distribution *find(const char *name)
{
    for (size_t i = 0; i < HD_COUNT(distributions); i++)
        if (hd_streq(distributions[i].name, name))
            return &distributions[i];
    return NULL;
}

const char *const *import_distribution_shapes(const char *name)
{
    const struct distribution *distribution = find(name);
    return distribution != NULL ? distribution->shapes : NULL;
}

bool import_distribution_is_whole(const char *name)
{
    const struct distribution *distribution = find(name);
    return distribution != NULL && distribution->whole;
}

enum hd_code import_draw(const struct import_distribution *of, uint32_t seed, double *ret_values,
                         size_t count, struct hd_err *err)
{
    struct twister twister;
    const struct distribution *distribution = find(of->name);
    hd_assert(distribution != NULL);
    if (!distribution->is_right(of))
        return hd_fail(err, HD_E_INVALID, "%s has no values with these hdock_distr_kwargs",
                       of->name);
    seed_twister(&twister, seed);
    for (size_t i = 0; i < count; i++)
        ret_values[i] = distribution->draw(&twister, of);
    return HD_OK;
}
