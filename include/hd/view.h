/* SPDX-License-Identifier: Apache-2.0 */
/*
 * view.h: what people ask of a run, read from a store's file over a read-only connection of its
 * own: a reader never blocks the master. Every answer is one consistent state.
 *
 * Answers are value trees. In all of them a loss is in minimized form ("direction" tells when the
 * objective is its negation), NaN and infinities are null, times are UTC texts, a config id is
 * [iteration, budget_index, running_index]. The JSON of an answer is at most HD_VIEW_JSON_MAX
 * bytes: lists end early then, and "next" is the "after" to ask on with (null: that was all).
 *
 * Arguments are an object or NULL: "run" (its id; may be left out when the store holds one run),
 * "job", "after", "limit", "budget", "state", "outcome".
 *
 *   runs        {runs: [...]}
 *   status      one run: state, jobs: {total, queued, running, closed}, outcomes: {ok: 7, ...},
 *               budget_spent, incumbent or null, rate_per_minute or null
 *   best        {budget, best: [limit jobs], by_budget: [...], trajectory: [...]}; budget: default
 *               the highest with a result. Of a noisy target with very many configs the
 *               trajectory ends early: "trajectory_of_first" says after how many
 *   jobs        {jobs: [...], next}; only those of "state" and "outcome" when given
 *   job         one job: attempts, refused reports, {curve: [...], next} (after a seq)
 *   explain     one job: {story: [{seq, time, what, text}]}
 *   events      {events: [facts], next}: of one run or of all; next is never null: ask on later
 *   workers     {workers: [...]}, as the facts know them; of one run or of all
 *   export      {jobs: [rows of the CSV], next}
 *   experiment  {experiment}: with every default explicit
 */
#ifndef HD_VIEW_H
#define HD_VIEW_H

#include <hd/message.h>
#include <hd/value.h>

#define HD_VIEW_LIMIT_DEFAULT 100
#define HD_VIEW_LIMIT_MAX 1000

struct hd_view;

/* `path` is a state directory or the file in it. HD_E_NOTFOUND: there is none. HD_E_CORRUPT,
 * HD_E_VERSION as for hd_store_open_sqlite(). One thread uses a view at a time. */
HD_NODISCARD enum hd_code hd_view_open(const char *path, struct hd_view **ret_view,
                                       struct hd_err *err);
void hd_view_close(struct hd_view *view);
/* HD_E_INVALID: no such view or a wrong argument; HD_E_NOTFOUND: no such run or job; HD_E_CONFLICT:
 * several runs and none named. The caller frees the answer. */
HD_NODISCARD enum hd_code hd_view_read(struct hd_view *view, const char *name,
                                       const struct hd_value *arguments,
                                       struct hd_value **ret_value, struct hd_err *err);
/* NULL-terminated. */
const char *const *hd_view_names(void);

#endif
