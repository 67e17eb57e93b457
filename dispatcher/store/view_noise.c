/* SPDX-License-Identifier: Apache-2.0 */
/* view_noise.c: noisy targets: what is believed of each config at the largest budget. */
#include <math.h>
#include <stdlib.h>

#include <hd/race.h>

#include "noise.h"
#include "view_impl.h"

#define TRAJECTORY_CONFIGS_MAX 5000 /* each costs a look at all before it */

static double number_of(const struct hd_value *object, const char *key)
{
    const struct hd_value *number = hd_value_get(object, key);
    return hd_value_is_number(number) ? hd_value_number(number) : (double)NAN;
}

bool view_is_noisy(const struct hd_value *object)
{
    return number_of(hd_value_get(object, "noise"), "repeats") > 1;
}

bool view_wants_estimates(const struct view_request *request, const struct hd_value *object)
{
    return view_is_noisy(object) &&
           (isnan(request->budget) || request->budget == number_of(object, "largest_budget"));
}

/* ---- rows of people -------------------------------------------------------------------------- */

/* What stands in place of a single loss. */
static enum hd_code set_estimate(struct hd_value *row, const struct hd_race_estimate *estimate,
                                 struct hd_err *err)
{
    enum hd_code code = view_set(row, "loss", hd_value_new_double(estimate->loss), err);
    if (code == HD_OK)
        code = view_set(row, "error",
                        isnan(estimate->error) ? hd_value_new_null()
                                               : hd_value_new_double(estimate->error),
                        err);
    if (code == HD_OK)
        code = view_set(row, "mean", hd_value_new_double(estimate->mean), err);
    if (code == HD_OK)
        code = view_set(row, "results", hd_value_new_int(estimate->results), err);
    if (code == HD_OK && estimate->failed)
        code = view_set(row, "failed", hd_value_new_bool(true), err);
    return code;
}

static enum hd_code make_row(struct hd_view *view, const struct view_request *request,
                             const struct hd_race_estimate *estimate, struct hd_value **ret_row,
                             struct hd_err *err)
{
    struct view_request one = *request;
    one.job = estimate->job;
    struct hd_value *row = NULL;
    enum hd_code code = view_one(view, &one,
                                 "SELECT job, config, config_id AS \"config_id:json\", budget,"
                                 " loss, worker, finished, params AS \"params:json\" FROM v_jobs"
                                 " WHERE run = ?1 AND job = ?2",
                                 &row, err);
    if (code == HD_OK)
        code = set_estimate(row, estimate, err);
    if (code == HD_OK)
        *ret_row = row;
    else
        hd_value_free(row);
    return code;
}

enum hd_code view_noisy_incumbent(struct hd_view *view, const struct view_request *request,
                                  struct hd_value **ret_row, struct hd_err *err)
{
    struct hd_race *race;
    struct hd_race_estimate best;
    enum hd_code code = store_race(view->db, request->run, NULL, NULL, &race, err);
    if (code != HD_OK)
        return code;
    code = hd_race_best(race, &best)
               ? make_row(view, request, &best, ret_row, err)
               : hd_fail(err, HD_E_NOTFOUND, "nothing has a result at the largest budget");
    hd_race_free(race);
    return code;
}

static int compare_estimates(const void *a, const void *b)
{
    return hd_race_compare(a, b);
}

static enum hd_code list_best(struct hd_view *view, const struct view_request *request,
                              const struct hd_race *race, struct hd_value *list, struct hd_err *err)
{
    size_t count = hd_race_count(race);
    struct hd_race_estimate *all = hd_calloc(count + 1, sizeof(*all));
    if (all == NULL)
        return hd_fail(err, HD_E_NOMEM, "no memory for an answer");
    hd_race_all(race, all);
    qsort(all, count, sizeof(*all), compare_estimates);
    enum hd_code code = HD_OK;
    for (size_t i = 0; i < count && (int64_t)i < request->limit && code == HD_OK; i++) {
        struct hd_value *row = NULL;
        code = make_row(view, request, &all[i], &row, err);
        if (code == HD_OK && hd_value_append(list, row) != HD_OK)
            code = hd_fail(err, HD_E_NOMEM, "no memory for an answer");
    }
    hd_free(all);
    return code;
}

struct trajectory {
    struct hd_value *list;
    uint32_t config;
    bool any;
};

/* A row for each change of the incumbent. */
static enum hd_code note_change(void *context, const struct hd_race *race, const char *finished,
                                struct hd_err *err)
{
    struct trajectory *trajectory = context;
    struct hd_race_estimate best;
    if (hd_race_count(race) > TRAJECTORY_CONFIGS_MAX || !hd_race_best(race, &best) ||
        (trajectory->any && best.config == trajectory->config))
        return HD_OK;
    trajectory->any = true;
    trajectory->config = best.config;
    struct hd_value *item = hd_value_new_object();
    if (item == NULL || hd_value_append(trajectory->list, item) != HD_OK)
        return hd_fail(err, HD_E_NOMEM, "no memory for an answer");
    enum hd_code code = view_set(item, "finished", hd_value_new_string(finished), err);
    if (code == HD_OK)
        code = view_set(item, "job", hd_value_new_int(best.job), err);
    return code == HD_OK ? set_estimate(item, &best, err) : code;
}

enum hd_code view_noisy_best(struct hd_view *view, const struct view_request *request,
                             struct hd_value *object, struct hd_err *err)
{
    struct trajectory trajectory = {.list = hd_value_new_array()};
    struct hd_value *list = hd_value_new_array();
    struct hd_race *race;
    enum hd_code code = view_set(object, "best", list, err);
    enum hd_code second = view_set(object, "trajectory", trajectory.list, err);
    if (code == HD_OK)
        code = second;
    if (code == HD_OK)
        code = store_race(view->db, request->run, note_change, &trajectory, &race, err);
    if (code != HD_OK)
        return code;
    code = list_best(view, request, race, list, err);
    if (code == HD_OK && hd_race_count(race) > TRAJECTORY_CONFIGS_MAX)
        code =
            view_set(object, "trajectory_of_first", hd_value_new_int(TRAJECTORY_CONFIGS_MAX), err);
    double noise = hd_race_noise(race);
    if (code == HD_OK)
        code = view_set(object, "noise_deviation",
                        isnan(noise) ? hd_value_new_null() : hd_value_new_double(sqrt(noise)), err);
    hd_race_free(race);
    return code;
}

static struct hd_value *run_named(const struct hd_value *runs, const char *run_id)
{
    for (size_t i = 0; i < runs->as.array.count; i++)
        if (hd_streq(hd_value_get(runs->as.array.items[i], "run_id")->as.string, run_id))
            return runs->as.array.items[i];
    return NULL;
}

struct noisy_runs {
    struct hd_view *view;
    const struct view_request *request;
    struct hd_value *object;
};

static enum hd_code add_best(void *context, const struct hd_value *noisy, struct hd_err *err)
{
    const struct noisy_runs *runs = context;
    struct view_request one = *runs->request;
    struct hd_value *best = NULL;
    one.run = hd_value_get(noisy, "run")->as.integer;
    struct hd_value *run =
        run_named(hd_value_get(runs->object, "runs"), hd_value_get(noisy, "run_id")->as.string);
    enum hd_code code = view_noisy_incumbent(runs->view, &one, &best, err);
    if (code == HD_OK && run != NULL)
        code = view_set(run, "best_loss", hd_value_new_double(number_of(best, "loss")), err);
    hd_value_free(best);
    return code == HD_E_NOTFOUND ? HD_OK : code;
}

enum hd_code view_noisy_runs(struct hd_view *view, const struct view_request *request,
                             struct hd_value *object, struct hd_err *err)
{
    struct noisy_runs runs = {view, request, object};
    return view_each(view, request,
                     "SELECT run, run_id FROM runs WHERE CASE WHEN json_valid(experiment) THEN"
                     " json_extract(experiment, '$.noise.repeats') > 1 END",
                     add_best, &runs, err);
}
