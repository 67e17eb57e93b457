/* SPDX-License-Identifier: Apache-2.0 */
/* pareto.c: see pareto.h. */
#include <hd/pareto.h>

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

static int compare_losses(double x, double y)
{
    return (x > y) - (x < y);
}

static bool is_finite(const double *losses, size_t objectives)
{
    for (size_t i = 0; i < objectives; i++) {
        if (!isfinite(losses[i]))
            return false;
    }
    return true;
}

bool hd_score_is_finite(const struct hd_score *score, size_t objectives)
{
    return is_finite(score->losses, objectives) && isfinite(score->violation);
}

int hd_score_compare(const struct hd_score *a, const struct hd_score *b, size_t objectives)
{
    int order = compare_losses(a->violation, b->violation);
    for (size_t i = 0; i < objectives && order == 0; i++)
        order = compare_losses(a->losses[i], b->losses[i]);
    return order;
}

/* ---- ranks ----------------------------------------------------------------------------------- */

static int compare_indexes(const struct hd_pareto_row *x, const struct hd_pareto_row *y)
{
    return (x->index > y->index) - (x->index < y->index);
}

/* What can be compared before what cannot, feasible rows before others, those by their violation
 * and feasible ones by their losses from the first on: only an earlier row can dominate a later
 * one. */
static int compare_rows(const void *a, const void *b)
{
    const struct hd_pareto_row *x = a, *y = b;
    bool x_finite = isfinite(x->violation), y_finite = isfinite(y->violation);
    if (x_finite != y_finite)
        return x_finite ? -1 : 1;
    int order = x_finite ? compare_losses(x->violation, y->violation) : 0;
    for (size_t i = 0; i < x->objectives && order == 0 && x_finite && !(x->violation > 0); i++)
        order = compare_losses(x->losses[i], y->losses[i]);
    return order != 0 ? order : compare_indexes(x, y);
}

/* Fronts are lists of sorted rows, the newest one first. The newest row of front f is kept in
 * rows[f].tail, and each row's link leads to the one before it; both are 1 + a place, 0 is none. */
static bool front_dominates(const struct hd_pareto_row *rows, size_t front, size_t place)
{
    const struct hd_pareto_row *row = &rows[place];
    for (size_t at = rows[front].tail; at != 0; at = rows[at - 1].link) {
        if (hd_pareto_dominates(rows[at - 1].losses, row->losses, row->objectives))
            return true;
        /* With two objectives the newest row of a front has the least second loss. */
        if (row->objectives <= 2)
            return false;
    }
    return false;
}

/* If a front dominates a row then so does every front before it: halving finds the first that does
 * not. */
static size_t find_front(const struct hd_pareto_row *rows, size_t front_count, size_t place)
{
    size_t low = 0, high = front_count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (front_dominates(rows, middle, place))
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

/* Sorts the rows as compare_rows() says and ranks them. */
static void rank_rows(struct hd_pareto_row *rows, size_t count, size_t objectives)
{
    for (size_t i = 0; i < count; i++) {
        rows[i].index = i;
        rows[i].objectives = objectives;
        rows[i].tail = rows[i].link = 0;
        rows[i].crowding = 0;
        if (!is_finite(rows[i].losses, objectives) || isnan(rows[i].violation))
            rows[i].violation = INFINITY;
    }
    qsort(rows, count, sizeof(*rows), compare_rows);
    size_t front_count = 0, place = 0;
    for (; place < count && !(rows[place].violation > 0); place++) {
        size_t front = find_front(rows, front_count, place);
        front_count += front == front_count ? 1 : 0;
        rows[place].link = rows[front].tail;
        rows[front].tail = place + 1;
        rows[place].rank = (uint32_t)front;
    }
    for (; place < count && isfinite(rows[place].violation); place++) {
        bool same = place > 0 && rows[place - 1].violation == rows[place].violation;
        front_count += same ? 0 : 1;
        rows[place].rank = (uint32_t)(front_count - 1);
    }
    for (; place < count; place++)
        rows[place].rank = (uint32_t)front_count;
}

enum hd_code hd_pareto_ranks(const double *losses, size_t count, size_t objectives,
                             uint32_t *ret_ranks, struct hd_err *err)
{
    hd_assert(objectives >= 1 && objectives <= HD_OBJECTIVES_MAX);
    struct hd_pareto_row *rows = hd_calloc(count + 1, sizeof(*rows));
    if (rows == NULL)
        return hd_fail(err, HD_E_NOMEM, "no memory for the ranks of %zu results", count);
    for (size_t i = 0; i < count; i++)
        rows[i].losses = losses + i * objectives;
    rank_rows(rows, count, objectives);
    for (size_t i = 0; i < count; i++)
        ret_ranks[rows[i].index] = rows[i].rank;
    hd_free(rows);
    return HD_OK;
}

/* ---- the order ------------------------------------------------------------------------------- */

static int compare_ranks(const void *a, const void *b)
{
    const struct hd_pareto_row *x = a, *y = b;
    return x->rank != y->rank ? (x->rank > y->rank) - (x->rank < y->rank) : compare_indexes(x, y);
}

static int compare_places(const void *a, const void *b)
{
    const struct hd_pareto_row *x = a, *y = b;
    int order = compare_losses(y->crowding, x->crowding);
    return order != 0 ? order : compare_indexes(x, y);
}

/* By the objective that link names. */
static int compare_along(const void *a, const void *b)
{
    const struct hd_pareto_row *x = a, *y = b;
    int order = compare_losses(x->losses[x->link], y->losses[y->link]);
    return order != 0 ? order : compare_indexes(x, y);
}

static void crowd(struct hd_pareto_row *front, size_t count, size_t objectives)
{
    for (size_t k = 0; k < objectives; k++) {
        for (size_t i = 0; i < count; i++)
            front[i].link = k;
        qsort(front, count, sizeof(*front), compare_along);
        double range = front[count - 1].losses[k] - front[0].losses[k];
        front[0].crowding = front[count - 1].crowding = INFINITY;
        for (size_t i = 1; i + 1 < count; i++) {
            double gap = front[i + 1].losses[k] - front[i - 1].losses[k];
            front[i].crowding += range > 0 && isfinite(range) ? gap / range : 0;
        }
    }
    qsort(front, count, sizeof(*front), compare_places);
}

void hd_pareto_order(struct hd_pareto_row *rows, size_t count, size_t objectives)
{
    hd_assert(objectives >= 1 && objectives <= HD_OBJECTIVES_MAX);
    rank_rows(rows, count, objectives);
    qsort(rows, count, sizeof(*rows), compare_ranks);
    for (size_t first = 0, end = 0; first < count && !(rows[first].violation > 0); first = end) {
        for (end = first; end < count && rows[end].rank == rows[first].rank; end++)
            ;
        if (objectives > 1 && end - first > 1)
            crowd(rows + first, end - first, objectives);
    }
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
