/* SPDX-License-Identifier: Apache-2.0 */
/*
 * known.h: results that are known before a run begins (a warm start): of earlier runs, of other
 * programs, or given by hand. Pure.
 *
 * A taker is fed with rows, one a finished job, and keeps what fits the new experiment: params that
 * the new space lacks are dropped; one that the row lacks gets its default where the experiment
 * gives one; a row that then is no legal config, whose budget the new run does not reach, that does
 * not say all objectives, or that ended without a result is left out, and counted by why. Several
 * results of one config at one budget count as their mean. Of more than HD_KNOWN_RESULTS_MAX those
 * of the largest budgets stay, and at the smallest budget that stays the best half and the latest.
 *
 * The text that comes out is kept with the run's first fact, so a resume needs nothing else. JSON:
 * [{"params": {...}, "results": [{"budget": 9, "losses": [0.1], "violation": 0.5}, ...]}, ...];
 * losses are minimized, none: it failed; violation is left out where it is 0.
 */
#ifndef HD_KNOWN_H
#define HD_KNOWN_H

#include <hd/experiment.h>
#include <hd/sampler.h>

#define HD_KNOWN_BYTES_MAX (384u * 1024u) /* of the text: with an experiment it fits a message */
#define HD_KNOWN_REPORT_MAX 768           /* bytes of what a person is told */
#define HD_KNOWN_ROWS_BYTES_MAX (64u * 1024u * 1024u) /* of a file of rows */

/* "" is nothing: *ret_known is then NULL. HD_E_INVALID: it does not fit the experiment; HD_E_LIMIT.
 * Free it with hd_known_free(). */
HD_NODISCARD enum hd_code hd_known_parse(const char *text, const struct hd_experiment *experiment,
                                         struct hd_known **ret_known, struct hd_err *err);
void hd_known_free(struct hd_known *known);

struct hd_known_taker;

/* `experiment` is that of the new run; borrowed. */
HD_NODISCARD enum hd_code hd_known_taker_new(const struct hd_experiment *experiment,
                                             struct hd_known_taker **ret_taker, struct hd_err *err);
void hd_known_taker_free(struct hd_known_taker *taker);
const struct hd_experiment *hd_known_taker_experiment(const struct hd_known_taker *taker);
/*
 * A row as `hd export --format json` writes it, of which these members count: "params" (a map; must
 * be there), "budget" (default: the largest one), "outcome" (default: ok where there is a loss,
 * otherwise failed), "loss" and "measures" (minimized). Takes it, or counts why not. `where` names
 * it in errors. HD_E_INVALID: it is no such row; HD_E_NOMEM.
 */
HD_NODISCARD enum hd_code hd_known_take_row(struct hd_known_taker *taker,
                                            const struct hd_value *row, const char *where,
                                            struct hd_err *err);
/* The rows of a file: JSON when it begins with [ or {, otherwise CSV, both as `hd export` writes
 * them. `name` is used in errors. HD_E_INVALID, HD_E_LIMIT, HD_E_NOMEM. */
HD_NODISCARD enum hd_code hd_known_take_text(struct hd_known_taker *taker, const char *text,
                                             size_t size, const char *name, struct hd_err *err);
/* The two files of a result folder of HpBandSter: a JSON list a line. A last line that was not
 * written to its end is passed over, as is a result whose config is not there. */
HD_NODISCARD enum hd_code hd_known_take_hpbandster(struct hd_known_taker *taker,
                                                   const char *configs, size_t configs_size,
                                                   const char *results, size_t results_size,
                                                   struct hd_err *err);
/* HD_E_CONFLICT: a run of that experiment measured something else than the new one does. */
HD_NODISCARD enum hd_code hd_known_check_objectives(const struct hd_experiment *before,
                                                    const struct hd_experiment *now,
                                                    struct hd_err *err);
/* Writes the text, at most HD_KNOWN_BYTES_MAX (fewer results are taken rather than more bytes), and
 * tells in ret_report (HD_KNOWN_REPORT_MAX bytes) how many results were taken and why others were
 * not. HD_E_NOTFOUND: not a single one was; the text of err says why. Ends the taking. */
HD_NODISCARD enum hd_code hd_known_taker_finish(struct hd_known_taker *taker, struct hd_buf *out,
                                                char *ret_report, struct hd_err *err);

#endif
