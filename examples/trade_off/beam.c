/* SPDX-License-Identifier: Apache-2.0 */
/*
 * beam.c: a target with two objectives and a constraint: the cantilever of a round bar that carries
 * a load at its end, as light and as stiff as can be (after Deb, "Multi-Objective Optimization
 * using Evolutionary Algorithms", 2001, section 1.2). Writes loss.json into $HYPERDOCK_DIR, or
 * here.
 *
 *   beam DIAMETER_MM LENGTH_MM
 */
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LOAD_N 1000.0
#define DENSITY_KG_M3 7800.0
#define YOUNG_PA 207e9

static int read_positive(const char *text, double *ret_number)
{
    char *end;
    *ret_number = strtod(text, &end);
    return end > text && *end == '\0' && isfinite(*ret_number) && *ret_number > 0;
}

int main(int argc, char **argv)
{
    const double pi = 3.14159265358979323846;
    double diameter_mm, length_mm;
    char path[4096];
    if (argc != 3 || !read_positive(argv[1], &diameter_mm) || !read_positive(argv[2], &length_mm)) {
        fprintf(stderr, "usage: beam DIAMETER_MM LENGTH_MM\n");
        return 2;
    }
    double d = diameter_mm / 1000, l = length_mm / 1000;
    double weight_kg = DENSITY_KG_M3 * pi * d * d / 4 * l;
    double deflection_mm = 1000 * 64 * LOAD_N * l * l * l / (3 * YOUNG_PA * pi * d * d * d * d);
    double stress_mpa = 32 * LOAD_N * l / (pi * d * d * d) / 1e6;
    const char *dir = getenv("HYPERDOCK_DIR");
    int size = snprintf(path, sizeof(path), "%s/loss.json", dir != NULL ? dir : ".");
    FILE *file = size > 0 && size < (int)sizeof(path) ? fopen(path, "w") : NULL;
    if (file == NULL) {
        fprintf(stderr, "beam: cannot write %s: %s\n", path, strerror(errno));
        return 1;
    }
    fprintf(file, "{\"weight\": %.17g, \"deflection\": %.17g, \"stress\": %.17g}\n", weight_kg,
            deflection_mm, stress_mpa);
    return fclose(file) == 0 ? 0 : 1;
}
