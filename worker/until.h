/* SPDX-License-Identifier: Apache-2.0 */
/* until.h: when a worker has to be gone, as people and batch systems say it. Pure but for the time
 * zone of the environment. */
#ifndef HD_UNTIL_H
#define HD_UNTIL_H

#include <hd/base.h>

#define HD_UNTIL_SECONDS_MAX INT64_C(32503680000) /* the year 3000 */

/*
 * Wall time in milliseconds since 1970. One of
 *   90m, 1h30m              from now on
 *   @1767225600             seconds since 1970
 *   2026-01-01T08:30[:15][Z] local time, or with Z universal time; a blank may stand for the T
 *   08:30                   local time, today or tomorrow
 * HD_E_INVALID: none of these, or a moment that has passed.
 */
HD_NODISCARD enum hd_code hd_until_parse(const char *text, int64_t now_wall_ms,
                                         int64_t *ret_wall_ms, struct hd_err *err);
/* SLURM_JOB_END_TIME: seconds since 1970 and nothing else. */
HD_NODISCARD enum hd_code hd_until_parse_epoch(const char *text, int64_t now_wall_ms,
                                               int64_t *ret_wall_ms, struct hd_err *err);

#endif
