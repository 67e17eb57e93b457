/* SPDX-License-Identifier: Apache-2.0 */
/* noise.h: what a store's rows say of a noisy target's configs. */
#ifndef HD_STORE_NOISE_H
#define HD_STORE_NOISE_H

#include <hd/race.h>
#include <sqlite3.h>

/* After every result of the race; `finished`: when, as the views tell it. */
typedef enum hd_code (*store_race_fn)(void *context, const struct hd_race *race,
                                      const char *finished, struct hd_err *err);
/* A run's results at its largest budget in the order in which they came. each: may be NULL; its
 * first failure ends the fold. The caller frees the race. */
HD_NODISCARD enum hd_code store_race(sqlite3 *db, int64_t run, store_race_fn each, void *context,
                                     struct hd_race **ret_race, struct hd_err *err);

#endif
