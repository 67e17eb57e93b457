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
    for (uint32_t f = 0; f < shape->feature_count; f++)
        kernel->weights[f] = exp(-2 * hyper[shape->features[f].scale]);
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

/* ---- covariances --------------------------------------------------------------------------- */

void hd_kernel_squares(const struct hd_kernel *kernel, const double *point, const double *columns,
                       size_t stride, uint32_t count, double *ret_squares)
{
    for (uint32_t i = 0; i < count; i++)
        ret_squares[i] = 0;
    for (uint32_t f = 0; f < kernel->shape->feature_count; f++) {
        const double *restrict column = columns + f * stride;
        double *restrict squares = ret_squares;
        double value = point[f], weight = kernel->weights[f];
        if (kernel->shape->features[f].kind == HD_GP_CHOICE) {
            for (uint32_t i = 0; i < count; i++)
                squares[i] += column[i] != value ? weight : 0;
            continue;
        }
        for (uint32_t i = 0; i < count; i++) {
            double offset = column[i] - value;
            squares[i] += weight * (offset * offset);
        }
    }
}

typedef double pair __attribute__((vector_size(16)));
typedef uint64_t pair_bits __attribute__((vector_size(16)));

static inline pair load(const double *from)
{
    pair numbers;
    memcpy(&numbers, from, sizeof(numbers));
    return numbers;
}

static inline void store(pair numbers, double *to)
{
    memcpy(to, &numbers, sizeof(numbers));
}

/*
 * exp of two numbers in [-700, 0]: the exponent from the nearest multiple of log 2, the rest by its
 * Taylor polynomial (relative error below 1e-14). libm's is exact to the last bit but takes one
 * number at a time.
 */
static inline pair exp_of_negative(pair x)
{
    static const double shifter = 0x1.8p52;
    pair shifted = x * 0x1.71547652b82fep0 + shifter;
    pair whole = shifted - shifter;
    pair rest = (x - whole * 0x1.62e42fefap-1) - whole * 0x1.cf79abc9e3b3ap-40;
    pair square = rest * rest;
    /* Pairs of terms (Estrin), so that few products wait for one another. */
    pair sum = (1.0 / 39916800) * rest + 1.0 / 3628800;
    sum = sum * square + ((1.0 / 362880) * rest + 1.0 / 40320);
    sum = sum * square + ((1.0 / 5040) * rest + 1.0 / 720);
    sum = sum * square + ((1.0 / 120) * rest + 1.0 / 24);
    sum = sum * square + ((1.0 / 6) * rest + 0.5);
    sum = sum * square + (rest + 1);
    /* The low bits of the shifted number are the exponent. */
    return (pair)((pair_bits)sum + ((pair_bits)shifted << 52));
}

#define ROOT_MAX 700.0

void hd_kernel_matern(const double *squares, uint32_t count, double *ret_matern, double *ret_slopes)
{
    for (uint32_t i = 0; i < count; i++) {
        double root = sqrt(5 * squares[i]);
        ret_matern[i] = root < ROOT_MAX ? root : ROOT_MAX;
    }
    for (uint32_t i = 0; i < count; i += 2) {
        bool last = i + 1 == count;
        pair root = last ? (pair){ret_matern[i], 0} : load(ret_matern + i);
        pair decay = exp_of_negative(-root);
        pair line = 1 + root, matern = (line + root * root * (1.0 / 3)) * decay;
        pair slope = (5.0 / 3) * line * decay;
        if (last) {
            ret_matern[i] = matern[0];
            if (ret_slopes != NULL)
                ret_slopes[i] = slope[0];
            return;
        }
        store(matern, ret_matern + i);
        if (ret_slopes != NULL)
            store(slope, ret_slopes + i);
    }
}

void hd_kernel_covariances(const struct hd_kernel *kernel, double gap, const double *gaps,
                           const double *matern, uint32_t count, double *ret_covariances)
{
    double signal = kernel->signal;
    if (gap == 0) {
        for (uint32_t i = 0; i < count; i++)
            ret_covariances[i] = HD_GP_CONSTANT_VARIANCE + signal * matern[i];
        return;
    }
    double gap_signal = kernel->gap_signal;
    for (uint32_t i = 0; i < count; i++)
        ret_covariances[i] = HD_GP_CONSTANT_VARIANCE + signal * matern[i] +
                             gap * gaps[i] * (HD_GP_GAP_CONSTANT_VARIANCE + gap_signal * matern[i]);
}

/* ---- triangles ----------------------------------------------------------------------------- */

_Static_assert(LANES == 8, "the loops below take four pairs at once");

void hd_solve_forward(const double *triangle, const double *inverses, uint32_t zero, uint32_t first,
                      uint32_t end, double *lanes)
{
    for (uint32_t i = first; i < end; i++) {
        const double *row = triangle + hd_row_at(i);
        pair a = {0}, b = {0}, c = {0}, d = {0};
        for (uint32_t k = zero; k < i; k++) {
            const double *solved = lanes + (size_t)k * LANES;
            a += row[k] * load(solved);
            b += row[k] * load(solved + 2);
            c += row[k] * load(solved + 4);
            d += row[k] * load(solved + 6);
        }
        double *at = lanes + (size_t)i * LANES, inverse = inverses[i];
        store((load(at) - a) * inverse, at);
        store((load(at + 2) - b) * inverse, at + 2);
        store((load(at + 4) - c) * inverse, at + 4);
        store((load(at + 6) - d) * inverse, at + 6);
    }
}

void hd_solve_backward_lanes(const double *triangle, const double *inverses, uint32_t count,
                             double *lanes)
{
    for (uint32_t i = count; i-- > 0;) {
        const double *row = triangle + hd_row_at(i);
        double *from = lanes + (size_t)i * LANES, inverse = inverses[i];
        pair a = load(from) * inverse, b = load(from + 2) * inverse;
        pair c = load(from + 4) * inverse, d = load(from + 6) * inverse;
        store(a, from);
        store(b, from + 2);
        store(c, from + 4);
        store(d, from + 6);
        for (uint32_t k = 0; k < i; k++) {
            double *at = lanes + (size_t)k * LANES;
            store(load(at) - row[k] * a, at);
            store(load(at + 2) - row[k] * b, at + 2);
            store(load(at + 4) - row[k] * c, at + 4);
            store(load(at + 6) - row[k] * d, at + 6);
        }
    }
}

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
