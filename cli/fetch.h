/* SPDX-License-Identifier: Apache-2.0 */
/* fetch.h: what an attempt left, from a master (fetch_home.c). All is borrowed. */
#ifndef HD_CLI_FETCH_H
#define HD_CLI_FETCH_H

#include "common/cli.h"

struct fetch_home {
    const struct cli_common *common;
    const char *run_id;
    struct hd_attempt_ref attempt;
    const char *worker; /* that had it */
    const char *to;     /* a directory, empty; likewise after a failure */
    int64_t wait_ms;    /* for something of it to come */
};
/* Says on stdout where it came from. HD_E_NOTFOUND: no master that can be found has it.
 * HD_E_CONFLICT: it was removed while it was being fetched. */
HD_NODISCARD enum hd_code fetch_home_take(const struct fetch_home *home, struct hd_err *err);
/* Has the live master ask its worker, and waits; then the same. The error says why it cannot be. */
HD_NODISCARD enum hd_code fetch_home_ask(const struct fetch_home *home, struct hd_err *err);

#endif
