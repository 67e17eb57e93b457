/* SPDX-License-Identifier: Apache-2.0 */
/*
 * graphs.h: graphs.json: charts that a target draws while it runs. Pure.
 *
 * What it says is a target's word: everything is checked and bounded, and what is not as it should
 * be is no chart at all. See docs/target-contract.md.
 */
#ifndef HD_GRAPHS_H
#define HD_GRAPHS_H

#include <hd/value.h>

#define HD_GRAPHS_BYTES_MAX (1u << 20) /* of the file */
#define HD_GRAPHS_MAX 64
#define HD_GRAPH_SERIES_MAX 64
#define HD_GRAPH_TEXT_MAX 200 /* bytes of a name or a label */

/*
 * A list of {"name", "x_axis", "y_axis", "series": [{"label", "x": [..], "y": [..]}]} with all of
 * these, x and y of one length of at least 1, finite x, and y that may be NaN or infinite. Taken
 * from a list of such, or from one of them by itself; a number stands for a list of it, an axis may
 * be left out, and other keys are passed over. HD_E_INVALID and HD_E_LIMIT say which chart.
 */
HD_NODISCARD enum hd_code hd_graphs_parse(const char *text, size_t size,
                                          struct hd_value **ret_graphs, struct hd_err *err);

/* ---- graphs_summary.c: charts that travel with a result -------------------------------------- */

/* Charts as hd_graphs_parse() gives them, as JSON of at most size_max bytes: series with many
 * points keep the first, the last, and of each stretch the lowest and the highest; "points" then
 * says how many there were. What is no finite y is null. Charts that do not fit even so are left
 * out, the last ones first. "" when none fits. */
HD_NODISCARD enum hd_code hd_graphs_summary(const struct hd_value *graphs, size_t size_max,
                                            struct hd_buf *out, struct hd_err *err);
/* What such a text says, checked as a target's own words are. HD_E_INVALID, HD_E_LIMIT. */
HD_NODISCARD enum hd_code hd_graphs_read_summary(const struct hd_value *summary,
                                                 struct hd_value **ret_graphs, struct hd_err *err);

#endif
