/* SPDX-License-Identifier: Apache-2.0 */
/*
 * normal.c: the distribution function of a truncated normal with a uniform part, and its inverse.
 *
 * The uniform part keeps the function strictly rising: without it all values beyond eight
 * deviations would share the unit 1, and ints there could not be told apart.
 */
#include "space_priv.h"

#include <math.h>

#define STEPS_MAX 200
#define UNIT_NOISE 0x1p-52

static double cumulative(double z)
{
    return erfc(-z * M_SQRT1_2) / 2;
}

void hd_normal_init(struct hd_normal *normal)
{
    normal->below = cumulative((normal->low - normal->mean) / normal->sd);
    normal->mass = cumulative((normal->high - normal->mean) / normal->sd) - normal->below;
}

double hd_normal_unit(const struct hd_normal *normal, double x)
{
    double share = (cumulative((x - normal->mean) / normal->sd) - normal->below) / normal->mass;
    double uniform = (x - normal->low) / (normal->high - normal->low);
    return (1 - HD_PARAM_UNIFORM_PART) * share + HD_PARAM_UNIFORM_PART * uniform;
}

static double slope_at(const struct hd_normal *normal, double x)
{
    double z = (x - normal->mean) / normal->sd;
    double density = exp(-z * z / 2) * M_SQRT1_2 * M_2_SQRTPI / 2 / normal->sd;
    return (1 - HD_PARAM_UNIFORM_PART) * density / normal->mass +
           HD_PARAM_UNIFORM_PART / (normal->high - normal->low);
}

/* Newton's steps, and halves of the bracket where they leave it or shrink it too little. What is
 * left at UNIT_NOISE is the rounding of the function itself. */
double hd_normal_from_unit(const struct hd_normal *normal, double unit)
{
    double low = normal->low, high = normal->high, x = normal->mean;
    if (unit <= 0)
        return low;
    if (unit >= 1)
        return high;
    double last = high - low;
    for (int step = 0; step < STEPS_MAX; step++) {
        double miss = hd_normal_unit(normal, x) - unit;
        if (fabs(miss) <= UNIT_NOISE)
            return x;
        if (miss > 0)
            high = x;
        else
            low = x;
        double move = miss / slope_at(normal, x), next = x - move;
        if (!(next > low && next < high) || fabs(move) > last / 2)
            next = low + (high - low) / 2;
        last = fabs(next - x);
        if (next == x)
            return next;
        x = next;
    }
    return x;
}
