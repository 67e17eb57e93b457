/* SPDX-License-Identifier: Apache-2.0 */
/* view_front.c: several objectives: which results no other dominates, and the volume they cover. */
#include <math.h>
#include <stdlib.h>

#include <hd/pareto.h>

#include "sqlite_rows.h"
#include "view_impl.h"

/* Results of one budget that are compared, the newest: their order may cost the square of this, and
 * the master answers between its other work. */
#define JOBS_MAX 5000u

struct objective {
    bool maximize;
    bool has_reference;
    double reference; /* minimized */
};

struct front {
    struct objective objectives[HD_OBJECTIVES_MAX];
    size_t objective_count;
    double *losses; /* [count][objective_count] */
    double *violations;
    int64_t *jobs;
    size_t count, capacity;
    bool more; /* than JOBS_MAX */
};

static void front_release(struct front *front)
{
    hd_free(front->losses);
    hd_free(front->violations);
    hd_free(front->jobs);
}

static bool front_grow(struct front *front)
{
    if (front->count < front->capacity)
        return true;
    size_t capacity = front->capacity * 2 + 64;
    double *losses = hd_realloc(front->losses, capacity * front->objective_count * sizeof(*losses));
    front->losses = losses != NULL ? losses : front->losses;
    double *violations = hd_realloc(front->violations, capacity * sizeof(*violations));
    front->violations = violations != NULL ? violations : front->violations;
    int64_t *jobs = hd_realloc(front->jobs, capacity * sizeof(*jobs));
    front->jobs = jobs != NULL ? jobs : front->jobs;
    if (losses == NULL || violations == NULL || jobs == NULL)
        return false;
    front->capacity = capacity;
    return true;
}

static void read_objectives(const struct hd_value *list, struct front *front)
{
    size_t count = list->kind == HD_VALUE_ARRAY ? list->as.array.count : 0;
    front->objective_count = count < HD_OBJECTIVES_MAX ? count : HD_OBJECTIVES_MAX;
    for (size_t i = 0; i < front->objective_count; i++) {
        const struct hd_value *item = list->as.array.items[i];
        const struct hd_value *direction = hd_value_get(item, "direction");
        const struct hd_value *reference = hd_value_get(item, "reference");
        struct objective *objective = &front->objectives[i];
        objective->maximize = direction != NULL && direction->kind == HD_VALUE_STRING &&
                              hd_streq(direction->as.string, "maximize");
        objective->has_reference = hd_value_is_number(reference);
        if (objective->has_reference)
            objective->reference = hd_value_number(reference) * (objective->maximize ? -1 : 1);
    }
}

/* A row whose measures are not those of the experiment is stepped over. */
static enum hd_code take_row(void *context, const struct hd_value *row, struct hd_err *err)
{
    struct front *front = context;
    front->more = front->count == JOBS_MAX;
    if (front->more)
        return HD_OK;
    const struct hd_value *measures = hd_value_get(row, "measures");
    if (measures == NULL || measures->kind != HD_VALUE_ARRAY ||
        measures->as.array.count < front->objective_count)
        return HD_OK;
    if (!front_grow(front))
        return hd_fail(err, HD_E_NOMEM, "no memory for a front");
    double *losses = front->losses + front->count * front->objective_count;
    for (size_t i = 0; i < front->objective_count; i++) {
        const struct hd_value *number = measures->as.array.items[i];
        losses[i] = hd_value_is_number(number) ? hd_value_number(number) : (double)NAN;
    }
    front->violations[front->count] = hd_value_number(hd_value_get(row, "violation"));
    front->jobs[front->count++] = hd_value_get(row, "job")->as.integer;
    return HD_OK;
}

static enum hd_code read_rows(struct hd_view *view, const struct view_request *request,
                              struct front *front, struct hd_err *err)
{
    struct view_request all = *request;
    all.limit = JOBS_MAX + 1;
    return view_each(view, &all,
                     "SELECT e.job, e.measures AS \"measures:json\", e.violation"
                     " FROM attempt_ends AS e JOIN jobs ON jobs.run = e.run AND jobs.job = e.job"
                     " WHERE e.run = ?1 AND e.requeued = 0 AND e.outcome = 'ok'"
                     " AND e.measures IS NOT NULL AND jobs.budget ="
                     " coalesce(?7, (SELECT max(budget) FROM v_incumbents WHERE run = ?1))"
                     " ORDER BY e.seq DESC LIMIT ?4",
                     take_row, front, err);
}

/* One job of the front as people see it. */
static enum hd_code add_job(struct hd_view *view, const struct view_request *request, int64_t job,
                            uint32_t rank, struct hd_value *list, struct hd_err *err)
{
    struct view_request one = *request;
    struct hd_value *row = NULL;
    one.job = job;
    enum hd_code code =
        view_one(view, &one,
                 "SELECT job, config, config_id AS \"config_id:json\", budget, loss,"
                 " measures AS \"measures:some_json\", violation, worker, finished,"
                 " params AS \"params:json\" FROM v_jobs WHERE run = ?1 AND job = ?2",
                 &row, err);
    if (code == HD_OK)
        code = view_set(row, "rank", hd_value_new_int(rank), err);
    if (code != HD_OK) {
        hd_value_free(row);
        return code;
    }
    return hd_value_append(list, row) == HD_OK
               ? HD_OK
               : hd_fail(err, HD_E_NOMEM, "no memory for an answer");
}

/* The reference point: as the experiment says, and else the worst feasible result. */
static void choose_reference(const struct front *front, double *ret_reference)
{
    for (size_t k = 0; k < front->objective_count; k++) {
        double worst = -INFINITY;
        for (size_t i = 0; i < front->count; i++) {
            double loss = front->losses[i * front->objective_count + k];
            if (!(front->violations[i] > 0) && isfinite(loss) && loss > worst)
                worst = loss;
        }
        ret_reference[k] =
            front->objectives[k].has_reference ? front->objectives[k].reference : worst;
    }
}

static enum hd_code add_volume(const struct front *front, const struct hd_pareto_row *rows,
                               size_t front_count, struct hd_value *object, struct hd_err *err)
{
    double reference[HD_OBJECTIVES_MAX], volume = 0;
    size_t objectives = front->objective_count;
    if (front_count == 0 || objectives > HD_HYPERVOLUME_OBJECTIVES_MAX)
        return HD_OK;
    choose_reference(front, reference);
    double *losses = hd_calloc(front_count, objectives * sizeof(*losses));
    struct hd_value *list = hd_value_new_array();
    enum hd_code code =
        losses != NULL && list != NULL ? HD_OK : hd_fail(err, HD_E_NOMEM, "no memory for a front");
    for (size_t i = 0; i < front_count && code == HD_OK; i++)
        for (size_t k = 0; k < objectives; k++)
            losses[i * objectives + k] = rows[i].losses[k];
    if (code == HD_OK)
        code = hd_hypervolume(losses, front_count, objectives, reference, &volume, err);
    for (size_t k = 0; k < objectives && code == HD_OK; k++) {
        double shown = front->objectives[k].maximize ? -reference[k] : reference[k];
        if (hd_value_append(list, hd_value_new_double(shown)) != HD_OK)
            code = hd_fail(err, HD_E_NOMEM, "no memory for a front");
    }
    hd_free(losses);
    if (code != HD_OK) {
        hd_value_free(list);
        return code;
    }
    code = view_set(object, "hypervolume", hd_value_new_double(volume), err);
    if (code != HD_OK) {
        hd_value_free(list);
        return code;
    }
    return view_set(object, "reference", list, err);
}

static enum hd_code put_in_order(struct hd_view *view, const struct view_request *request,
                                 const struct front *front, int64_t limit, struct hd_value *object,
                                 struct hd_err *err)
{
    struct hd_pareto_row *rows = hd_calloc(front->count + 1, sizeof(*rows));
    size_t front_count = 0;
    if (rows == NULL)
        return hd_fail(err, HD_E_NOMEM, "no memory for a front of %zu results", front->count);
    for (size_t i = 0; i < front->count; i++) {
        /* Rows came the newest first: the first of equals is the best. */
        size_t from = front->count - 1 - i;
        rows[i] = (struct hd_pareto_row){
            .losses = front->losses + from * front->objective_count,
            .violation = front->violations[from],
        };
    }
    hd_pareto_order(rows, front->count, front->objective_count);
    while (front_count < front->count && rows[front_count].rank == 0 &&
           !(rows[front_count].violation > 0))
        front_count++;
    enum hd_code code = view_set(object, "front_size", hd_value_new_int((int64_t)front_count), err);
    if (code == HD_OK && front->more)
        code = view_set(object, "front_of_newest", hd_value_new_int(JOBS_MAX), err);
    if (code == HD_OK && limit > 0)
        code = add_volume(front, rows, front_count, object, err);
    struct hd_value *list = hd_value_new_array();
    if (list == NULL && code == HD_OK)
        code = hd_fail(err, HD_E_NOMEM, "no memory for an answer");
    for (size_t i = 0; i < front->count && (int64_t)i < limit && code == HD_OK; i++)
        code = add_job(view, request, front->jobs[front->count - 1 - rows[i].index], rows[i].rank,
                       list, err);
    hd_free(rows);
    if (limit == 0 || code != HD_OK) {
        hd_value_free(list);
        return code;
    }
    return view_set(object, "best", list, err);
}

enum hd_code view_front(struct hd_view *view, const struct view_request *request, int64_t limit,
                        struct hd_value *object, struct hd_err *err)
{
    struct front front = {0};
    read_objectives(hd_value_get(object, "objectives"), &front);
    enum hd_code code = front.objective_count > 0 ? read_rows(view, request, &front, err) : HD_OK;
    if (code == HD_OK && front.objective_count > 0)
        code = put_in_order(view, request, &front, limit, object, err);
    front_release(&front);
    return code;
}
