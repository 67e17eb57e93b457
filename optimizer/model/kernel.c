/* SPDX-License-Identifier: Apache-2.0 */
/* kernel.c: the inner loops of the Gaussian process. */
#include "kernel.h"

#include <math.h>
#include <string.h>

#define LANES HD_GP_LANES
/* A pivot is at least this part of the variance: rounding cannot make the factor break down. */
#define PIVOT_MIN 1e-10

/* ---- hyperparameters ----------------------------------------------------------------------- */

void hd_kernel_set(struct hd_kernel *kernel, const struct hd_gp_shape *shape, const double *hyper)
{
    const double *tail = hyper + shape->scale_count;
    kernel->shape = shape;
    for (uint32_t f = 0; f < shape->feature_count; f++) {
        kernel->weights[f] = exp(-2 * hyper[shape->features[f].scale]);
        kernel->scales[f] = exp(-hyper[shape->features[f].scale]);
    }
    kernel->signal = exp(tail[HD_GP_SIGNAL]);
    kernel->noise = exp(tail[HD_GP_NOISE]);
    kernel->gap_signal = exp(tail[HD_GP_GAP_SIGNAL]);
    kernel->gap_noise = exp(tail[HD_GP_GAP_NOISE]);
    kernel->decay = exp(tail[HD_GP_GAP_DECAY]);
}

double hd_kernel_gap(const struct hd_kernel *kernel, double fidelity)
{
    if (fidelity >= 1)
        return 0;
    return (exp(-kernel->decay * fidelity) - exp(-kernel->decay)) / -expm1(-kernel->decay);
}

double hd_kernel_gap_slope(const struct hd_kernel *kernel, double fidelity)
{
    if (fidelity >= 1)
        return 0;
    double v = kernel->decay, last = exp(-v), whole = -expm1(-v);
    double above = exp(-v * fidelity) - last;
    double above_slope = last - fidelity * exp(-v * fidelity);
    return v * (above_slope * whole - above * last) / (whole * whole);
}

double hd_kernel_variance(const struct hd_kernel *kernel, double gap)
{
    return HD_GP_CONSTANT_VARIANCE + kernel->signal +
           gap * gap * (HD_GP_GAP_CONSTANT_VARIANCE + kernel->gap_signal);
}

double hd_kernel_noise(const struct hd_kernel *kernel, double gap)
{
    return kernel->noise + gap * gap * kernel->gap_noise;
}

/* ---- several numbers at a time ------------------------------------------------------------- */

/*
 * The loops below are written once, over four numbers at a time, and compiled twice: for every
 * processor of the architecture and, where there are such, for those with AVX2. Each number goes
 * through the same operations in the same order in both (nothing is contracted), so they agree to
 * the last bit and what is proposed does not depend on which one ran.
 */
typedef double quad __attribute__((vector_size(32)));
typedef uint64_t quad_bits __attribute__((vector_size(32)));

#define INLINE static inline __attribute__((always_inline))

#if defined(__x86_64__)
#define FOR_EACH_PROCESSOR(name, params, args)                                                     \
    static void name##_plain params                                                                \
    {                                                                                              \
        name##_body args;                                                                          \
    }                                                                                              \
    __attribute__((target("avx2"))) static void name##_avx2 params                                 \
    {                                                                                              \
        name##_body args;                                                                          \
    }                                                                                              \
    void name params                                                                               \
    {                                                                                              \
        if (__builtin_cpu_supports("avx2"))                                                        \
            name##_avx2 args;                                                                      \
        else                                                                                       \
            name##_plain args;                                                                     \
    }
#else
#define FOR_EACH_PROCESSOR(name, params, args)                                                     \
    void name params                                                                               \
    {                                                                                              \
        name##_body args;                                                                          \
    }
#endif

/* By address, since a plain processor has no register for a quad to be handed over in. */
INLINE void load(const double *from, quad *ret_numbers)
{
    memcpy(ret_numbers, from, sizeof(*ret_numbers));
}

INLINE void store(const quad *numbers, double *to)
{
    memcpy(to, numbers, sizeof(*numbers));
}

/* ---- covariances --------------------------------------------------------------------------- */

/*
 * exp of four numbers in [-700, 0]: the exponent from the nearest multiple of log 2, the rest by
 * its Taylor polynomial (relative error below 1e-14). libm's is exact to the last bit but takes one
 * number at a time.
 */
INLINE void exp_of_negative(quad *x)
{
    static const double shifter = 0x1.8p52;
    quad shifted = *x * 0x1.71547652b82fep0 + shifter;
    quad whole = shifted - shifter;
    quad rest = (*x - whole * 0x1.62e42fefap-1) - whole * 0x1.cf79abc9e3b3ap-40;
    quad square = rest * rest;
    /* Pairs of terms (Estrin), so that few products wait for one another. */
    quad sum = (1.0 / 39916800) * rest + 1.0 / 3628800;
    sum = sum * square + ((1.0 / 362880) * rest + 1.0 / 40320);
    sum = sum * square + ((1.0 / 5040) * rest + 1.0 / 720);
    sum = sum * square + ((1.0 / 120) * rest + 1.0 / 24);
    sum = sum * square + ((1.0 / 6) * rest + 0.5);
    sum = sum * square + (rest + 1);
    /* The low bits of the shifted number are the exponent. */
    *x = (quad)((quad_bits)sum + ((quad_bits)shifted << 52));
}

#define ROOT_MAX 700.0
#define TILE 16u
_Static_assert(TILE == HD_KERNEL_PAD, "a row is whole tiles");

/* Of four distances times sqrt(5). */
INLINE void matern_of(const double *roots, double *ret_matern, double *ret_slopes)
{
    quad root;
    load(roots, &root);
    quad_bits near = (quad_bits)(root < ROOT_MAX);
    root = (quad)(((quad_bits)root & near) | ((quad_bits)(ROOT_MAX + (quad){0}) & ~near));
    quad decay = -root, line = 1 + root;
    exp_of_negative(&decay);
    quad matern = (line + root * root * (1.0 / 3)) * decay;
    store(&matern, ret_matern);
    if (ret_slopes != NULL) {
        quad slopes = (5.0 / 3) * line * decay;
        store(&slopes, ret_slopes);
    }
}

INLINE void hd_kernel_matern_body(const struct hd_kernel *kernel, const double *point,
                                  const double *columns, size_t stride, uint32_t count,
                                  double *ret_matern, double *ret_slopes)
{
    const struct hd_gp_feature *features = kernel->shape->features;
    for (uint32_t i = 0; i < count; i += TILE) {
        quad squares[TILE / 4] = {{0}}, offset;
        for (uint32_t f = 0; f < kernel->shape->feature_count; f++) {
            const double *column = columns + f * stride + i;
            bool choice = features[f].kind == HD_GP_CHOICE;
            quad weight = (choice ? kernel->weights[f] : 0) + (quad){0};
            for (uint32_t j = 0; j < TILE / 4; j++) {
                load(column + 4 * j, &offset);
                if (choice) {
                    squares[j] += (quad)((quad_bits)(offset != point[f]) & (quad_bits)weight);
                } else {
                    offset -= point[f];
                    squares[j] += offset * offset;
                }
            }
        }
        /* A loop over memory is what compilers make square roots of several numbers of. */
        double roots[TILE];
        memcpy(roots, squares, sizeof(roots));
        for (uint32_t j = 0; j < TILE; j++)
            roots[j] = sqrt(5 * roots[j]);
        for (uint32_t j = 0; j < TILE; j += 4)
            matern_of(roots + j, ret_matern + i + j,
                      ret_slopes != NULL ? ret_slopes + i + j : NULL);
    }
}

FOR_EACH_PROCESSOR(hd_kernel_matern,
                   (const struct hd_kernel *kernel, const double *point, const double *columns,
                    size_t stride, uint32_t count, double *ret_matern, double *ret_slopes),
                   (kernel, point, columns, stride, count, ret_matern, ret_slopes))

void hd_kernel_scale(const struct hd_kernel *kernel, const double *point, double *ret_scaled)
{
    for (uint32_t f = 0; f < kernel->shape->feature_count; f++) {
        bool choice = kernel->shape->features[f].kind == HD_GP_CHOICE;
        ret_scaled[f] = choice ? point[f] : point[f] * kernel->scales[f];
    }
}

INLINE void hd_kernel_covariances_body(const struct hd_kernel *kernel, double gap,
                                       const double *gaps, const double *matern, uint32_t count,
                                       double *restrict ret_covariances)
{
    double signal = kernel->signal, gap_signal = kernel->gap_signal;
    if (gap == 0) {
        for (uint32_t i = 0; i < count; i++)
            ret_covariances[i] = HD_GP_CONSTANT_VARIANCE + signal * matern[i];
        return;
    }
    for (uint32_t i = 0; i < count; i++)
        ret_covariances[i] = HD_GP_CONSTANT_VARIANCE + signal * matern[i] +
                             gap * gaps[i] * (HD_GP_GAP_CONSTANT_VARIANCE + gap_signal * matern[i]);
}

FOR_EACH_PROCESSOR(hd_kernel_covariances,
                   (const struct hd_kernel *kernel, double gap, const double *gaps,
                    const double *matern, uint32_t count, double *ret_covariances),
                   (kernel, gap, gaps, matern, count, ret_covariances))

INLINE void hd_kernel_explained_body(const double *covariances, const double *inverse_variances,
                                     uint32_t count, double *ret_most)
{
    quad most = {0}, covariance, inverse;
    for (uint32_t i = 0; i < count; i += 4) {
        load(covariances + i, &covariance);
        load(inverse_variances + i, &inverse);
        quad part = covariance * covariance * inverse;
        quad_bits more = (quad_bits)(part > most);
        most = (quad)(((quad_bits)part & more) | ((quad_bits)most & ~more));
    }
    double low = most[0] > most[1] ? most[0] : most[1];
    double high = most[2] > most[3] ? most[2] : most[3];
    *ret_most = low > high ? low : high;
}

FOR_EACH_PROCESSOR(hd_kernel_explained,
                   (const double *covariances, const double *inverse_variances, uint32_t count,
                    double *ret_most),
                   (covariances, inverse_variances, count, ret_most))

/* ---- triangles ----------------------------------------------------------------------------- */

_Static_assert(LANES == 8, "the loops below take two quads at once");

/* Two rows at once, so that sums need not wait for one another. */
INLINE void hd_solve_forward_body(const double *triangle, const double *inverses, uint32_t zero,
                                  uint32_t first, uint32_t end, double *lanes)
{
    quad low, high;
    for (uint32_t i = first; i < end; i += 2) {
        bool both = i + 1 < end;
        const double *row = triangle + hd_row_at(i),
                     *next = both ? triangle + hd_row_at(i + 1) : row;
        quad a = {0}, b = {0}, c = {0}, d = {0};
        for (uint32_t k = zero; k < i; k++) {
            load(lanes + (size_t)k * LANES, &low);
            load(lanes + (size_t)k * LANES + 4, &high);
            a += row[k] * low;
            b += row[k] * high;
            c += next[k] * low;
            d += next[k] * high;
        }
        double *at = lanes + (size_t)i * LANES;
        load(at, &low);
        load(at + 4, &high);
        low = (low - a) * inverses[i];
        high = (high - b) * inverses[i];
        store(&low, at);
        store(&high, at + 4);
        if (!both)
            return;
        c += next[i] * low;
        d += next[i] * high;
        at += LANES;
        load(at, &low);
        load(at + 4, &high);
        low = (low - c) * inverses[i + 1];
        high = (high - d) * inverses[i + 1];
        store(&low, at);
        store(&high, at + 4);
    }
}

FOR_EACH_PROCESSOR(hd_solve_forward,
                   (const double *triangle, const double *inverses, uint32_t zero, uint32_t first,
                    uint32_t end, double *lanes),
                   (triangle, inverses, zero, first, end, lanes))

INLINE void hd_solve_backward_lanes_body(const double *triangle, const double *inverses,
                                         uint32_t count, double *lanes)
{
    quad low, high;
    for (uint32_t end = count; end > 0;) {
        uint32_t i = end - 1, before = i > 0 ? i - 1 : 0;
        const double *row = triangle + hd_row_at(i), *next = triangle + hd_row_at(before);
        double *at = lanes + (size_t)i * LANES;
        quad a, b, c = {0}, d = {0};
        load(at, &a);
        load(at + 4, &b);
        a *= inverses[i];
        b *= inverses[i];
        store(&a, at);
        store(&b, at + 4);
        if (i > 0) {
            at = lanes + (size_t)before * LANES;
            load(at, &c);
            load(at + 4, &d);
            c = (c - row[before] * a) * inverses[before];
            d = (d - row[before] * b) * inverses[before];
            store(&c, at);
            store(&d, at + 4);
        }
        for (uint32_t k = 0; k < before; k++) {
            at = lanes + (size_t)k * LANES;
            load(at, &low);
            load(at + 4, &high);
            low = (low - row[k] * a) - next[k] * c;
            high = (high - row[k] * b) - next[k] * d;
            store(&low, at);
            store(&high, at + 4);
        }
        end = before;
    }
}

FOR_EACH_PROCESSOR(hd_solve_backward_lanes,
                   (const double *triangle, const double *inverses, uint32_t count, double *lanes),
                   (triangle, inverses, count, lanes))

void hd_solve_backward(const double *triangle, const double *inverses, uint32_t count,
                       double *vector)
{
    for (uint32_t i = count; i-- > 0;) {
        const double *restrict row = triangle + hd_row_at(i);
        double *restrict at = vector;
        double solved = at[i] * inverses[i];
        at[i] = solved;
        for (uint32_t k = 0; k < i; k++)
            at[k] -= row[k] * solved;
    }
}

void hd_factor_append(double *triangle, double *inverses, uint32_t first, uint32_t count,
                      const double *diagonal, double *lanes)
{
    hd_solve_forward(triangle, inverses, 0, 0, first, lanes);
    for (uint32_t lane = 0; lane < count; lane++) {
        uint32_t row = first + lane;
        double *at = triangle + hd_row_at(row), pivot = diagonal[lane];
        for (uint32_t k = 0; k < row; k++) {
            at[k] = lanes[(size_t)k * LANES + lane];
            pivot -= at[k] * at[k];
        }
        double least = PIVOT_MIN * diagonal[lane];
        at[row] = sqrt(pivot > least ? pivot : least);
        inverses[row] = 1 / at[row];
        /* The new row is the next equation of the points after it. */
        hd_solve_forward(triangle, inverses, 0, row, row + 1, lanes);
    }
}

/* ---- sums ---------------------------------------------------------------------------------- */

INLINE void hd_dot_body(const double *a, const double *b, uint32_t count, double *ret_sum)
{
    quad low = {0}, high = {0}, x, y;
    double rest = 0;
    uint32_t i = 0;
    for (; i + 8 <= count; i += 8) {
        load(a + i, &x);
        load(b + i, &y);
        low += x * y;
        load(a + i + 4, &x);
        load(b + i + 4, &y);
        high += x * y;
    }
    for (; i < count; i++)
        rest += a[i] * b[i];
    low += high;
    *ret_sum = ((low[0] + low[1]) + (low[2] + low[3])) + rest;
}

FOR_EACH_PROCESSOR(hd_dot, (const double *a, const double *b, uint32_t count, double *ret_sum),
                   (a, b, count, ret_sum))
