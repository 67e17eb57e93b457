/* SPDX-License-Identifier: Apache-2.0 */
/* view_impl.h: what the views share: queries whose rows become objects. */
#ifndef HD_STORE_VIEW_IMPL_H
#define HD_STORE_VIEW_IMPL_H

#include <hd/view.h>
#include <sqlite3.h>

struct hd_view {
    sqlite3 *db;
    sqlite3_stmt *begin;
    sqlite3_stmt *rollback; /* ready beforehand: ending a transaction must not need memory */
};

/* Arguments, checked; what was not given has its default. */
struct view_request {
    int64_t run; /* number; -1 all */
    char run_id[HD_ID_MAX + 1];
    int64_t job;    /* -1 not given */
    int64_t after;  /* -1 from the beginning */
    int64_t limit;  /* 0 not given */
    double budget;  /* NaN not given */
    char state[32]; /* "" any */
    char outcome[32];
};

/* How many results a run was told before it began; NULL: none. */
#define VIEW_KNOWN(runs)                                                                           \
    "CASE WHEN json_valid(" runs ".known) THEN (SELECT sum(CASE WHEN type = 'object'"              \
    " THEN json_array_length(value, '$.results') END) FROM json_each(" runs ".known)) END"

/* A run without an objective has no losses to tell: jobs that are ok have 0 there, which no target
 * has reported. */
#define VIEW_MEASURED                                                                              \
    "(SELECT CASE WHEN json_valid(experiment) THEN json_extract(experiment, '$.objective') END"    \
    " FROM runs WHERE run = ?1) IS NOT NULL"

/*
 * A query's parameters are ?1 run, ?2 job, ?3 after, ?4 limit, ?5 state, ?6 outcome, ?7 budget
 * (NULL: not given), as far as it has them. A column
 * "name:json" holds JSON text, "name:bool" 0 or 1, "name:u64" the bits of an unsigned number;
 * "name:skip" is left out of the object. SQL here knows utc(milliseconds): a time as text, NULL
 * for NULL and 0; and config_id(iteration, budget_index, running_index): "[0,0,3]".
 */
HD_NODISCARD enum hd_code view_query(struct hd_view *view, const struct view_request *request,
                                     const char *sql, sqlite3_stmt **ret_statement,
                                     struct hd_err *err);
/* *ret_row NULL at the end. */
HD_NODISCARD enum hd_code view_next(struct hd_view *view, sqlite3_stmt *statement,
                                    struct hd_value **ret_row, struct hd_err *err);
/* Calls `each` for every row of a query in turn and ends at its first failure; the row is freed
 * afterwards. */
typedef enum hd_code (*view_each_fn)(void *context, const struct hd_value *row, struct hd_err *err);
HD_NODISCARD enum hd_code view_each(struct hd_view *view, const struct view_request *request,
                                    const char *sql, view_each_fn each, void *context,
                                    struct hd_err *err);
/* The one row of a query; HD_E_NOTFOUND when there is none. */
HD_NODISCARD enum hd_code view_one(struct hd_view *view, const struct view_request *request,
                                   const char *sql, struct hd_value **ret_row, struct hd_err *err);
/* Adds the columns of the first row to `object`; nothing when there is none. */
HD_NODISCARD enum hd_code view_merge(struct hd_view *view, const struct view_request *request,
                                     const char *sql, struct hd_value *object, struct hd_err *err);
/* All rows as a list under `key`. */
HD_NODISCARD enum hd_code view_list(struct hd_view *view, const struct view_request *request,
                                    const char *sql, struct hd_value *object, const char *key,
                                    struct hd_err *err);
/* As view_list, but within *bytes_left bytes of JSON, which is lowered. *ret_next: the last row's
 * number in `key_column` when there is more (rows did not fit or the limit was met), else -1. */
HD_NODISCARD enum hd_code view_page(struct hd_view *view, const struct view_request *request,
                                    const char *sql, struct hd_value *object, const char *key,
                                    const char *key_column, size_t *bytes_left, int64_t *ret_next,
                                    struct hd_err *err);
/* hd_value_set with the error's text. */
HD_NODISCARD enum hd_code view_set(struct hd_value *object, const char *key, struct hd_value *item,
                                   struct hd_err *err);
HD_NODISCARD enum hd_code view_set_number(struct hd_value *object, const char *key, int64_t number,
                                          struct hd_err *err); /* -1: null */

/* A view: fills `object`, which is empty. */
typedef enum hd_code (*view_fn)(struct hd_view *view, const struct view_request *request,
                                struct hd_value *object, struct hd_err *err);
enum hd_code view_runs(struct hd_view *view, const struct view_request *request,
                       struct hd_value *object, struct hd_err *err);
enum hd_code view_status(struct hd_view *view, const struct view_request *request,
                         struct hd_value *object, struct hd_err *err);
enum hd_code view_best(struct hd_view *view, const struct view_request *request,
                       struct hd_value *object, struct hd_err *err);
enum hd_code view_workers(struct hd_view *view, const struct view_request *request,
                          struct hd_value *object, struct hd_err *err);
enum hd_code view_experiment(struct hd_view *view, const struct view_request *request,
                             struct hd_value *object, struct hd_err *err);
enum hd_code view_jobs(struct hd_view *view, const struct view_request *request,
                       struct hd_value *object, struct hd_err *err);
enum hd_code view_export(struct hd_view *view, const struct view_request *request,
                         struct hd_value *object, struct hd_err *err);
enum hd_code view_job(struct hd_view *view, const struct view_request *request,
                      struct hd_value *object, struct hd_err *err);
enum hd_code view_events(struct hd_view *view, const struct view_request *request,
                         struct hd_value *object, struct hd_err *err);
enum hd_code view_explain(struct hd_view *view, const struct view_request *request,
                          struct hd_value *object, struct hd_err *err);
/* Of a run with several objectives, whose view_head() stands in object: "front_size", with two or
 * three objectives "hypervolume" and "reference", and with a limit above 0 "best", the front first.
 */
HD_NODISCARD enum hd_code view_front(struct hd_view *view, const struct view_request *request,
                                     int64_t limit, struct hd_value *object, struct hd_err *err);
/* A noisy target, whose view_head() stands in object: its configs are told by what is believed of
 * them ("loss", "error", "mean", "results") where the largest budget is asked for. */
bool view_is_noisy(const struct hd_value *object);
bool view_wants_estimates(const struct view_request *request, const struct hd_value *object);
/* HD_E_NOTFOUND: nothing has a result there. */
HD_NODISCARD enum hd_code view_noisy_incumbent(struct hd_view *view,
                                               const struct view_request *request,
                                               struct hd_value **ret_row, struct hd_err *err);
/* Puts it in the place of "best_loss" in the "runs" of the object. */
HD_NODISCARD enum hd_code view_noisy_runs(struct hd_view *view, const struct view_request *request,
                                          struct hd_value *object, struct hd_err *err);
/* "best", as many as the limit says, "trajectory" and "noise_deviation". */
HD_NODISCARD enum hd_code view_noisy_best(struct hd_view *view, const struct view_request *request,
                                          struct hd_value *object, struct hd_err *err);
/* run_id, state, reason, objective, direction: what every answer about one run begins with. */
enum hd_code view_head(struct hd_view *view, const struct view_request *request,
                       struct hd_value *object, struct hd_err *err);

#endif
