/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sobol.c: scrambled Sobol points.
 *
 * Each dimension but the first has its own primitive polynomial over GF(2) and first direction
 * numbers (Sobol 1967; recurrence as in Bratley and Fox 1988). The polynomials are found by
 * search; the first numbers are drawn by a fixed hash, and for the leading dimensions the draw
 * whose pairs with the others are the most even (smallest t of the two-dimensional nets; the
 * criterion is that of Joe and Kuo 2008, the search is ours) is taken. Scrambling is Owen's (1995)
 * nested uniform one: each bit is flipped by a hash of the bits before it, so it needs no tables.
 */
#include <hd/sampler.h>

#define BITS 32
#define DEGREE_MAX 13     /* 1110 primitive polynomials up to here */
#define PREFIX_CHECKED 24 /* dimensions before it that a new one is compared with */
#define CHOSEN_MAX 40     /* dimensions whose first numbers are chosen, not only drawn */
#define DRAWS 16

struct hd_sobol {
    size_t dimension;
    uint64_t seed;
    uint32_t (*columns)[BITS]; /* [dimension][bit of the index], leading binary digit highest */
};

static uint64_t mix(uint64_t x)
{
    x = (x ^ (x >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    x = (x ^ (x >> 27)) * UINT64_C(0x94d049bb133111eb);
    return x ^ (x >> 31);
}

/* ---- primitive polynomials ------------------------------------------------------------------ */

/* a * b modulo the polynomial of this degree; bit i is the coefficient of x^i. */
static uint32_t multiply(uint32_t a, uint32_t b, uint32_t polynomial, int degree)
{
    uint32_t product = 0;
    for (; b != 0; b >>= 1) {
        if (b & 1)
            product ^= a;
        a <<= 1;
        if (a >> degree & 1)
            a ^= polynomial;
    }
    return product;
}

static uint32_t power_of_x(uint32_t exponent, uint32_t polynomial, int degree)
{
    uint32_t result = 1, base = degree == 1 ? (2 ^ polynomial) : 2;
    for (; exponent != 0; exponent >>= 1) {
        if (exponent & 1)
            result = multiply(result, base, polynomial, degree);
        base = multiply(base, base, polynomial, degree);
    }
    return result;
}

/* Primitive: x generates all 2^degree - 1 non-zero elements, so its order has no proper divisor
 * of that number as an exponent. */
static bool is_primitive(uint32_t polynomial, int degree)
{
    uint32_t order = (UINT32_C(1) << degree) - 1, rest = order;
    if ((polynomial & 1) == 0 || power_of_x(order, polynomial, degree) != 1)
        return false;
    for (uint32_t prime = 2; prime <= rest; prime++) {
        if (rest % prime != 0)
            continue;
        while (rest % prime == 0)
            rest /= prime;
        if (order != prime && power_of_x(order / prime, polynomial, degree) == 1)
            return false;
    }
    return true;
}

/* The next primitive polynomial after this one; its degree follows from its highest bit. */
static uint32_t next_primitive(uint32_t polynomial)
{
    for (;;) {
        polynomial++;
        int degree = BITS - 1 - __builtin_clz(polynomial);
        hd_assert(degree <= DEGREE_MAX);
        if (is_primitive(polynomial, degree))
            return polynomial;
    }
}

/* ---- direction numbers ----------------------------------------------------------------------- */

static void fill_columns(uint32_t polynomial, uint64_t draw, uint32_t *ret_columns)
{
    int degree = BITS - 1 - __builtin_clz(polynomial);
    for (int k = 0; k < BITS; k++) {
        if (k < degree) {
            /* An odd number below 2^(k+1), so that every matrix is triangular and regular. */
            uint32_t odd = ((uint32_t)mix(draw + (uint64_t)k * 977) & ((UINT32_C(2) << k) - 1)) | 1;
            ret_columns[k] = odd << (BITS - 1 - k);
            continue;
        }
        uint32_t column = ret_columns[k - degree] ^ (ret_columns[k - degree] >> degree);
        for (int i = 1; i < degree; i++) {
            if (polynomial >> (degree - i) & 1)
                column ^= ret_columns[k - i];
        }
        ret_columns[k] = column;
    }
}

/* Row `row` of the leading m x m matrix as a bit set over columns. */
static uint32_t matrix_row(const uint32_t *columns, int row, int m)
{
    uint32_t bits = 0;
    for (int k = 0; k < m; k++)
        bits |= (columns[k] >> (BITS - 1 - row) & 1) << k;
    return bits;
}

/* Adds a row to a triangular basis; false when it depends on those inside. */
static bool add_row(uint32_t *basis, uint32_t row)
{
    while (row != 0) {
        int top = BITS - 1 - __builtin_clz(row);
        if (basis[top] == 0) {
            basis[top] = row;
            return true;
        }
        row ^= basis[top];
    }
    return false;
}

/* How many leading rows of b stay independent of the first `taken` rows of a. */
static int independent_rows(const uint32_t *a, const uint32_t *b, int taken, int m)
{
    uint32_t basis[BITS] = {0};
    for (int row = 0; row < taken; row++)
        (void)add_row(basis, matrix_row(a, row, m));
    int count = 0;
    while (count < m - taken && add_row(basis, matrix_row(b, count, m)))
        count++;
    return count;
}

/* The t of the two-dimensional net of 2^m points: 0 is best. */
static int pair_t(const uint32_t *a, const uint32_t *b, int m)
{
    int worst = 0;
    for (int taken = 0; taken < m; taken++) {
        int missing = m - taken - independent_rows(a, b, taken, m);
        worst = missing > worst ? missing : worst;
    }
    return worst;
}

static int unevenness(uint32_t (*columns)[BITS], size_t dimension, const uint32_t *candidate)
{
    int sum = 0;
    size_t first = dimension > PREFIX_CHECKED ? dimension - PREFIX_CHECKED : 0;
    for (size_t i = first; i < dimension; i++) {
        for (int m = 4; m <= 8; m += 2) {
            int t = pair_t(columns[i], candidate, m);
            sum += t * t * t;
        }
    }
    return sum;
}

static void choose_columns(struct hd_sobol *sobol, size_t dimension, uint32_t polynomial)
{
    uint32_t candidate[BITS];
    int best = -1;
    uint64_t draws = dimension < CHOSEN_MAX ? DRAWS : 1;
    for (uint64_t draw = 0; draw < draws && best != 0; draw++) {
        fill_columns(polynomial, mix((uint64_t)dimension << 16 | draw), candidate);
        int sum = draws > 1 ? unevenness(sobol->columns, dimension, candidate) : 0;
        if (best >= 0 && sum >= best)
            continue;
        best = sum;
        for (int k = 0; k < BITS; k++)
            sobol->columns[dimension][k] = candidate[k];
    }
}

enum hd_code hd_sobol_new(uint64_t seed, size_t dimension, struct hd_sobol **ret_sobol,
                          struct hd_err *err)
{
    if (dimension > HD_SOBOL_DIMENSION_MAX)
        return hd_fail(err, HD_E_LIMIT, "a Sobol sequence has at most %d dimensions",
                       HD_SOBOL_DIMENSION_MAX);
    struct hd_sobol *sobol = hd_calloc(1, sizeof(*sobol));
    uint32_t(*columns)[BITS] = hd_calloc(dimension + 1, sizeof(*columns));
    if (sobol == NULL || columns == NULL) {
        hd_free(sobol);
        hd_free(columns);
        return hd_fail(err, HD_E_NOMEM, "no memory for a Sobol sequence");
    }
    *sobol = (struct hd_sobol){.dimension = dimension, .seed = seed, .columns = columns};
    uint32_t polynomial = 2; /* the first primitive one is x + 1 */
    for (size_t i = 0; i < dimension; i++) {
        if (i == 0) { /* van der Corput: the identity matrix */
            for (int k = 0; k < BITS; k++)
                columns[0][k] = UINT32_C(1) << (BITS - 1 - k);
            continue;
        }
        polynomial = next_primitive(polynomial);
        choose_columns(sobol, i, polynomial);
    }
    *ret_sobol = sobol;
    return HD_OK;
}

void hd_sobol_free(struct hd_sobol *sobol)
{
    if (sobol == NULL)
        return;
    hd_free(sobol->columns);
    hd_free(sobol);
}

/* ---- points ------------------------------------------------------------------------------------
 */

/* Owen's scrambling to 32 binary digits and 20 more below that no two points share. */
static double scramble(uint32_t point, uint64_t key)
{
    uint32_t flips = 0;
    for (int bit = 0; bit < BITS; bit++) {
        /* The digits before this one, with their number, name the node of the tree. */
        uint64_t node = bit == 0 ? 1 : (uint64_t)(point >> (BITS - bit)) | UINT64_C(1) << bit;
        flips |= (uint32_t)(mix(key ^ mix(node + UINT64_C(0x9e3779b97f4a7c15))) & 1)
                 << (BITS - 1 - bit);
    }
    uint64_t tail = mix(key + point) >> 44;
    return ((double)(point ^ flips) + (double)tail * 0x1.0p-20) * 0x1.0p-32;
}

void hd_sobol_point(const struct hd_sobol *sobol, uint32_t index, double *ret_cube)
{
    for (size_t i = 0; i < sobol->dimension; i++) {
        uint32_t point = 0;
        for (int k = 0; k < BITS && index >> k != 0; k++) {
            if (index >> k & 1)
                point ^= sobol->columns[i][k];
        }
        ret_cube[i] = scramble(point, mix(sobol->seed + mix(i + 1)));
    }
}
