/* SPDX-License-Identifier: Apache-2.0 */
/*
 * density.h: a mixture of product kernels over the unit cube. Private to optimizer/sampler.
 *
 *   p(x) = w_0 * uniform(x) + sum_k w_k * prod_d kernel_kd(x_d),   weights sum to one
 *
 * Numeric dimensions have normal kernels truncated to [0, 1]; where a dimension has at most
 * HD_DENSITY_GRID_MAX levels the kernel is the normal at the centres of the levels, normalised over
 * them (a probability mass, divided by the widths, so that it is a density of the cube too).
 * Choices have the kernel same / other of Aitchison and Aitken.
 *
 * A coordinate is NaN where the param is inactive. Which params are active follows from the others,
 * so an inactive coordinate of the point has no factor at all, and a kernel whose centre has no
 * value in an active coordinate is uniform there: the mixture stays a density over the configs of a
 * conditional space, jointly over all its branches.
 *
 * Kernels lie in a structure of
 * arrays and are evaluated four at a time in single precision; sums have a fixed order, so equal
 * inputs give equal bits.
 */
#ifndef HD_DENSITY_H
#define HD_DENSITY_H

#include <hd/space.h>

#define HD_DENSITY_BLOCK 16u    /* kernels that are evaluated together */
#define HD_DENSITY_GRID_MAX 64u /* levels whose kernels are normalised over the levels */
#define HD_DENSITY_SIGMA_MAX 1.0

/* One dimension as densities see it. */
struct hd_axis {
    const struct hd_param *param;
    bool choice;       /* coordinates compare equal or not */
    bool optional;     /* may be inactive */
    double levels;     /* INFINITY: continuous */
    double width_min;  /* of the narrowest level; 0: continuous */
    size_t grid_count; /* levels when 2 .. HD_DENSITY_GRID_MAX and not a choice, else 0 */
    float grid[HD_DENSITY_GRID_MAX]; /* centres */
    float grid_width[HD_DENSITY_GRID_MAX];
};
void hd_axis_init(struct hd_axis *axis, const struct hd_param *param);
/* The centre of the level that owns unit, as the histories hold it; unit itself when continuous. */
double hd_axis_snap(const struct hd_axis *axis, double unit);
/* log of what a normal of this centre and deviation must be divided by (see above). */
double hd_axis_log_norm(const struct hd_axis *axis, double centre, double sigma);

struct hd_density {
    const struct hd_axis *axes; /* borrowed */
    size_t dimension;
    size_t count, capacity;      /* kernels; capacity is a multiple of HD_DENSITY_BLOCK */
    float *centres;              /* [block][dimension][HD_DENSITY_BLOCK]: read in one sweep */
    float *log_weights;          /* [capacity]: log w_k minus the log norms; what optional
                                  * numbers need is in norms */
    float *norms;                /* as centres: log norms of optional numbers; NULL without any */
    float *scales;               /* [dimension]: 1 / (sigma * sqrt 2), one sigma for all kernels */
    float *log_same, *log_other; /* [dimension]: of choices */
    double log_prior;            /* log(w_0) plus the uniform log density of the choices that
                                  * are always active */
    float *terms, *slopes;       /* [capacity], [dimension]: scratch */
};

static inline float *hd_density_centre(const struct hd_density *density, size_t kernel, size_t d)
{
    size_t block = kernel / HD_DENSITY_BLOCK, lane = kernel % HD_DENSITY_BLOCK;
    return density->centres + (block * density->dimension + d) * HD_DENSITY_BLOCK + lane;
}

static inline float *hd_density_norm(const struct hd_density *density, size_t kernel, size_t d)
{
    return density->norms + (hd_density_centre(density, kernel, d) - density->centres);
}

/* The part of the exponents that depends on the kernel alone: (c - x)^2 is expanded about the
 * middle of the cube, so that a kernel and dimension cost one product in the sweep. */
float hd_density_square(const struct hd_density *density, size_t kernel);

void hd_density_init(struct hd_density *density, const struct hd_axis *axes, size_t dimension);
void hd_density_release(struct hd_density *density);
/* Room for count kernels; what is there stays. */
HD_NODISCARD enum hd_code hd_density_reserve(struct hd_density *density, size_t count,
                                             struct hd_err *err);
/* Sets count; kernels between the old and the new one must be filled by the caller. The lanes after
 * the last kernel are made harmless. */
void hd_density_resize(struct hd_density *density, size_t count);
/* Choices: with n kernels, (1 / (n + 1) + [same]) normalised over the choices. */
void hd_density_set_choices(struct hd_density *density, double kernel_count);
/* log p(point), finite. */
double hd_density_log(const struct hd_density *density, const float *point);

#endif
