/* SPDX-License-Identifier: Apache-2.0 */
/*
 * warm_start.h: reading the results of earlier runs for a new one (`--warm-start`).
 *
 * A source is, in this order: the id of a run where the new run will be; a checkpoint, as a state
 * directory or the file in it, with :RUN behind it where it holds several; a result folder of
 * HpBandSter (configs.json and results.json); a file of rows as `hd export` writes them, which can
 * be written by hand. What is taken and what not is told by known.h.
 */
#ifndef HD_WARM_START_H
#define HD_WARM_START_H

#include <hd/known.h>
#include <hd/view.h>

#define HD_WARM_SOURCES_MAX 16

/* A view of the store that the new run will be in, as hd_view_read() answers. HD_E_NOTFOUND: it has
 * no such run. */
typedef enum hd_code (*hd_warm_view_fn)(void *context, const char *view, struct hd_value *arguments,
                                        struct hd_value **ret_answer, struct hd_err *err);

/*
 * Writes what is known from the sources, together, to `out` (see hd_known_parse()) and tells about
 * it in ret_report (HD_KNOWN_REPORT_MAX bytes). `read` may be NULL: no runs by their id. Blocks on
 * files. HD_E_NOTFOUND: there is no such source, or nothing of it fits; HD_E_INVALID, HD_E_LIMIT:
 * it is none; HD_E_CONFLICT: its run measured something else.
 */
HD_NODISCARD enum hd_code hd_warm_start(const char *const *sources, size_t source_count,
                                        const struct hd_experiment *experiment,
                                        hd_warm_view_fn read, void *context, struct hd_buf *out,
                                        char *ret_report, struct hd_err *err);

#endif
