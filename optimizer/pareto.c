/* SPDX-License-Identifier: Apache-2.0 */
/* pareto.c: see pareto.h. */
#include "pareto.h"

#include <math.h>
#include <stdlib.h>

bool hd_pareto_dominates(const double *a, const double *b, size_t objectives)
{
    bool better = false;
    for (size_t i = 0; i < objectives; i++) {
        if (a[i] > b[i])
            return false;
        better = better || a[i] < b[i];
    }
    return better;
}

/* A row as it is sorted: by its losses from the first (ranks) or the last (volumes) on. */
struct row {
    const double *losses;
    size_t index, objectives;
};

static int compare_losses(double x, double y)
{
    return (x > y) - (x < y);
}

static int compare_rows(const void *a, const void *b)
{
    const struct row *x = a, *y = b;
    for (size_t i = 0; i < x->objectives; i++) {
        int order = compare_losses(x->losses[i], y->losses[i]);
        if (order != 0)
            return order;
    }
    return (x->index > y->index) - (x->index < y->index);
}

static bool is_finite(const double *losses, size_t objectives)
{
    for (size_t i = 0; i < objectives; i++) {
        if (!isfinite(losses[i]))
            return false;
    }
    return true;
}

/* ---- ranks ----------------------------------------------------------------------------------- */

/* Rows in lexicographic order are put into fronts; only an earlier row can dominate a later one.
 * Each front is a list, the newest row first. */
struct fronts {
    const struct row *rows;
    size_t *newest; /* [front]: 1 + place of its newest row */
    size_t
        *before; /* [place]: 1 + place of the row that entered the same front before it; 0 none */
    size_t count;
};

static bool front_dominates(const struct fronts *fronts, size_t front, size_t place)
{
    const struct row *row = &fronts->rows[place];
    for (size_t at = fronts->newest[front]; at != 0; at = fronts->before[at - 1]) {
        if (hd_pareto_dominates(fronts->rows[at - 1].losses, row->losses, row->objectives))
            return true;
        /* With two objectives the newest row of a front has the least second loss. */
        if (row->objectives <= 2)
            return false;
    }
    return false;
}

/* If a front dominates a row then so does every front before it: halving finds the first that does
 * not. */
static size_t find_front(const struct fronts *fronts, size_t place)
{
    size_t low = 0, high = fronts->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (front_dominates(fronts, middle, place))
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static void rank_rows(struct fronts *fronts, size_t count, uint32_t *ret_ranks)
{
    for (size_t place = 0; place < count; place++) {
        size_t front = find_front(fronts, place);
        fronts->count += front == fronts->count ? 1 : 0;
        fronts->before[place] = fronts->newest[front];
        fronts->newest[front] = place + 1;
        ret_ranks[fronts->rows[place].index] = (uint32_t)front;
    }
}

enum hd_code hd_pareto_ranks(const double *losses, size_t count, size_t objectives,
                             uint32_t *ret_ranks, struct hd_err *err)
{
    hd_assert(objectives >= 1 && objectives <= HD_PARETO_OBJECTIVES_MAX);
    struct row *rows = hd_calloc(count + 1, sizeof(*rows));
    size_t *newest = hd_calloc(count + 1, sizeof(*newest));
    size_t *before = hd_calloc(count + 1, sizeof(*before)), finite = 0;
    enum hd_code code = HD_OK;
    if (rows == NULL || newest == NULL || before == NULL) {
        code = hd_fail(err, HD_E_NOMEM, "no memory for the ranks of %zu results", count);
        goto out;
    }
    for (size_t i = 0; i < count; i++) {
        if (is_finite(losses + i * objectives, objectives))
            rows[finite++] = (struct row){losses + i * objectives, i, objectives};
    }
    qsort(rows, finite, sizeof(*rows), compare_rows);
    struct fronts fronts = {.rows = rows, .newest = newest, .before = before};
    rank_rows(&fronts, finite, ret_ranks);
    for (size_t i = 0; i < count; i++) {
        if (!is_finite(losses + i * objectives, objectives))
            ret_ranks[i] = (uint32_t)fronts.count;
    }
out:
    hd_free(rows);
    hd_free(newest);
    hd_free(before);
    return code;
}

/* ---- volumes --------------------------------------------------------------------------------- */

/* A point better than the reference; missing objectives are 0 with a reference of 1. */
struct corner {
    double x, y, z;
    size_t index;
};

static int compare_by_x(const void *a, const void *b)
{
    const struct corner *p = a, *q = b;
    int order = compare_losses(p->x, q->x);
    return order != 0 ? order : (p->index > q->index) - (p->index < q->index);
}

static int compare_numbers(const void *a, const void *b)
{
    return compare_losses(*(const double *)a, *(const double *)b);
}

/* The area of the corners (sorted by x) that are not above z and are not the skipped one. */
static double area_below(const struct corner *corners, size_t count, size_t skipped,
                         const double *reference, double z)
{
    double area = 0, y = reference[1];
    for (size_t i = 0; i < count; i++) {
        const struct corner *corner = &corners[i];
        if (corner->z > z || corner->index == skipped || corner->y >= y)
            continue;
        area += (reference[0] - corner->x) * (y - corner->y);
        y = corner->y;
    }
    return area;
}

static double sweep(const struct corner *corners, const double *levels, size_t count,
                    size_t skipped, const double *reference)
{
    double volume = 0;
    for (size_t i = 0; i < count; i++) {
        double next = i + 1 < count ? levels[i + 1] : reference[2];
        if (next > levels[i])
            volume +=
                (next - levels[i]) * area_below(corners, count, skipped, reference, levels[i]);
    }
    return volume;
}

struct scene {
    struct corner *corners; /* by x */
    double *levels;         /* of z, rising */
    size_t count;
    double reference[HD_HYPERVOLUME_OBJECTIVES_MAX];
};

static void scene_release(struct scene *scene)
{
    hd_free(scene->corners);
    hd_free(scene->levels);
}

static bool is_inside(const double *losses, size_t objectives, const double *reference)
{
    for (size_t i = 0; i < objectives; i++) {
        if (!(isfinite(losses[i]) && losses[i] < reference[i]))
            return false;
    }
    return true;
}

static enum hd_code scene_init(struct scene *scene, const double *losses, size_t count,
                               size_t objectives, const double *reference, struct hd_err *err)
{
    hd_assert(objectives >= 1 && objectives <= HD_HYPERVOLUME_OBJECTIVES_MAX);
    *scene = (struct scene){.reference = {1, 1, 1}};
    scene->corners = hd_calloc(count + 1, sizeof(*scene->corners));
    scene->levels = hd_calloc(count + 1, sizeof(*scene->levels));
    if (scene->corners == NULL || scene->levels == NULL) {
        scene_release(scene);
        return hd_fail(err, HD_E_NOMEM, "no memory for the hypervolume of %zu results", count);
    }
    for (size_t i = 0; i < objectives; i++)
        scene->reference[i] = reference[i];
    for (size_t i = 0; i < count; i++) {
        const double *row = losses + i * objectives;
        if (!is_inside(row, objectives, reference))
            continue;
        scene->levels[scene->count] = objectives > 2 ? row[2] : 0;
        scene->corners[scene->count++] =
            (struct corner){row[0], objectives > 1 ? row[1] : 0, objectives > 2 ? row[2] : 0, i};
    }
    qsort(scene->corners, scene->count, sizeof(*scene->corners), compare_by_x);
    qsort(scene->levels, scene->count, sizeof(*scene->levels), compare_numbers);
    return HD_OK;
}

enum hd_code hd_hypervolume(const double *losses, size_t count, size_t objectives,
                            const double *reference, double *ret_volume, struct hd_err *err)
{
    struct scene scene;
    enum hd_code code = scene_init(&scene, losses, count, objectives, reference, err);
    if (code != HD_OK)
        return code;
    *ret_volume = sweep(scene.corners, scene.levels, scene.count, SIZE_MAX, scene.reference);
    scene_release(&scene);
    return HD_OK;
}

enum hd_code hd_hypervolume_contributions(const double *losses, size_t count, size_t objectives,
                                          const double *reference, double *ret_contributions,
                                          struct hd_err *err)
{
    struct scene scene;
    enum hd_code code = scene_init(&scene, losses, count, objectives, reference, err);
    if (code != HD_OK)
        return code;
    for (size_t i = 0; i < count; i++)
        ret_contributions[i] = 0;
    double all = sweep(scene.corners, scene.levels, scene.count, SIZE_MAX, scene.reference);
    for (size_t i = 0; i < scene.count; i++) {
        size_t index = scene.corners[i].index;
        double without = sweep(scene.corners, scene.levels, scene.count, index, scene.reference);
        ret_contributions[index] = all > without ? all - without : 0;
    }
    scene_release(&scene);
    return HD_OK;
}
